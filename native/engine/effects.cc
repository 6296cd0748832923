// Effects: see the header.
#include "engine/effects.h"

#include <cstring>

#include "base/numbers.h"

namespace sherd::engine {

namespace {

// What a buffer keeps between units; one huge value must not stay for ever.
constexpr size_t kKeptMax = 1 << 20;
constexpr size_t kCapacityMin = 1024;

char* PutLine(char* at, char kind, uint64_t number) {
  *at++ = kind;
  char text[24];
  const size_t size = FormatUint64(number, text);
  std::memcpy(at, text, size);
  at += size;
  *at++ = '\r';
  *at++ = '\n';
  return at;
}

}  // namespace

char* EffectBuffer::Reserve(size_t size) {
  if (size_ + size > capacity_) {
    size_t capacity = capacity_ < kCapacityMin ? kCapacityMin : capacity_ * 2;
    if (capacity < size_ + size) capacity = size_ + size;
    std::unique_ptr<char[]> larger(new char[capacity]);
    if (size_ > 0) std::memcpy(larger.get(), data_.get(), size_);
    data_ = std::move(larger);
    capacity_ = capacity;
  }
  return data_.get() + size_;
}

void EffectBuffer::Add(UnitSink* sink, int db, std::span<const std::string_view> args) {
  sink_ = sink;
  // A line of a length is at most 1 + 20 digits + 2 bytes.
  constexpr size_t kLineMax = 23;
  size_t bound = sizeof(EffectHead) + kLineMax;
  for (const std::string_view arg : args) bound += kLineMax + arg.size() + 2;
  char* const start = Reserve(bound);
  char* const command = start + sizeof(EffectHead);
  char* at = PutLine(command, '*', args.size());
  for (const std::string_view arg : args) {
    at = PutLine(at, '$', arg.size());
    if (!arg.empty()) std::memcpy(at, arg.data(), arg.size());
    at += arg.size();
    *at++ = '\r';
    *at++ = '\n';
  }
  const EffectHead head{static_cast<uint64_t>(at - command), db};
  std::memcpy(start, &head, sizeof head);
  size_ += static_cast<size_t>(at - start);
  count_++;
}

void EffectBuffer::Clear() {
  size_ = 0;
  count_ = 0;
  if (capacity_ > kKeptMax) {
    data_.reset();
    capacity_ = 0;
  }
}

}  // namespace sherd::engine
