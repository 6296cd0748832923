// InputBuffer: see connection.h.
#include "net/connection.h"

#include <cstring>

#include "base/check.h"
#include "base/slab_heap.h"
#include "engine/transaction.h"

namespace sherd::net {

size_t Connection::memory() const {
  size_t bytes = sizeof *this + input_memory() + output.memory();
  if (session.transaction != nullptr) bytes += session.transaction->memory();
  if (session.subscriptions != nullptr) bytes += session.subscriptions->memory();
  if (filling != nullptr) bytes += filling->reply.size();
  return bytes;
}

namespace {
constexpr size_t kFirstCapacity = 512;
}

InputBuffer::~InputBuffer() { Free(); }

void InputBuffer::Free() {
  if (data_ != nullptr) FreeLarge(data_);
  data_ = nullptr;
  begin_ = end_ = capacity_ = 0;
}

char* InputBuffer::Reserve(size_t size) {
  if (room() >= size) return data_ + end_;
  const size_t used = end_ - begin_;
  if (begin_ > 0 && capacity_ - used >= size && begin_ >= used) {
    // The content fits in front of where it is: move it instead of growing.
    std::memmove(data_, data_ + begin_, used);
  } else {
    size_t wanted = capacity_ == 0 ? kFirstCapacity : capacity_;
    // Doubling while small; a big value announces its size, which is then taken as it is.
    while (wanted < used + size) wanted = wanted < 1024 * 1024 ? wanted * 2 : used + size;
    char* grown = static_cast<char*>(AllocateLarge(wanted));
    if (used > 0) std::memcpy(grown, data_ + begin_, used);
    if (data_ != nullptr) FreeLarge(data_);
    data_ = grown;
    capacity_ = wanted;
  }
  begin_ = 0;
  end_ = used;
  return data_ + end_;
}

void InputBuffer::Append(std::string_view bytes) {
  if (bytes.empty()) return;
  std::memcpy(Reserve(bytes.size()), bytes.data(), bytes.size());
  end_ += bytes.size();
}

void InputBuffer::Consume(size_t size) {
  DCHECK(size <= end_ - begin_);
  begin_ += size;
  if (begin_ == end_) Free();
}

}  // namespace sherd::net
