// OutputBuffer: the chain of segments behind ReplyBuilder. See reply_builder.h.
#include <algorithm>
#include <cstdlib>
#include <functional>

#include "resp/reply_builder.h"

namespace sherd::resp {

namespace {

// A heap block is this header and then its bytes.
struct BlockHeader {
  size_t capacity;
};

// A first block holds a batch of small replies or messages, which then leave in one piece; blocks grow with
// what is pending, so that a slow reader's backlog costs few allocations, up to a size that is still easy to
// find room for.
constexpr size_t kBlockBytesMin = 2048;
constexpr size_t kBlockBytesMax = 64 * 1024;
// Moving a block costs a segment in the chain and an iovec in the write: below this, copy instead.
constexpr size_t kCopyBytesMax = 1024;
// Borrowed bytes that are fewer than this and stand alone behind others are copied.
constexpr size_t kBorrowBytesMin = 256;
// Consumed segments are cut off the front of the vector when they are this many and the majority.
constexpr size_t kDeadSegmentsMax = 64;
// The vector of an empty buffer gives its memory back above this.
constexpr size_t kKeptSegmentsMax = 64;

char* BlockBegin(char* block) { return block + sizeof(BlockHeader); }
size_t BlockCapacity(const char* block) {
  BlockHeader header;
  std::memcpy(&header, block, sizeof(header));
  return header.capacity;
}

// Order of pointers into different blocks is only defined for std::less.
bool Within(const char* data, const char* begin, size_t size) {
  return !std::less<>()(data, begin) && !std::less<>()(begin + size, data);
}

}  // namespace

OutputBuffer::~OutputBuffer() {
  scratch_ = nullptr;
  Clear();
}

// ---- Blocks and the open segment ----

void OutputBuffer::FreeBlock(char* block) {
  memory_ -= BlockCapacity(block);
  std::free(block);
}

void OutputBuffer::ReleaseSegment(const Segment& segment) {
  if (segment.owned != nullptr) FreeBlock(segment.owned);
  if (segment.block != nullptr) {
    memory_ -= segment.block_bytes;
    segment.block->Unref();
  }
}

void OutputBuffer::PushSegment(const char* data, size_t size, char* owned, SharedBlock* block) {
  segments_.push_back({data, size, block != nullptr ? size : 0, owned, block});
  sealed_size_ += size;
}

bool OutputBuffer::InScratch(const char* data) const {
  return scratch_ != nullptr && Within(data, scratch_, scratch_capacity_);
}

// Turns the filled part of the open segment into a sealed piece; the open segment goes on behind it
// and keeps the block.
void OutputBuffer::Seal() {
  if (cursor_ == open_begin_) return;
  PushSegment(open_begin_, static_cast<size_t>(cursor_ - open_begin_), nullptr, nullptr);
  open_begin_ = cursor_;
}

// Gives up the open segment. Its block goes to the last piece that lies in it, or is freed.
void OutputBuffer::CloseOpen() {
  Seal();
  if (open_owned_ != nullptr) {
    char* const block = open_owned_;
    const bool is_last_piece =
        segments_.size() > first_ && segments_.back().block == nullptr &&
        segments_.back().owned == nullptr &&
        Within(segments_.back().data, block, BlockCapacity(block) + sizeof(BlockHeader));
    if (is_last_piece) {
      segments_.back().owned = block;
    } else if (segments_.size() > first_) {
      // Earlier pieces may stand before a reference: an empty segment carries the block until they
      // went.
      PushSegment(cursor_, 0, block, nullptr);
    } else {
      FreeBlock(block);
    }
  }
  open_begin_ = cursor_ = limit_ = open_owned_ = nullptr;
}

void OutputBuffer::OpenBlock(size_t capacity) {
  auto* block = static_cast<char*>(std::malloc(sizeof(BlockHeader) + capacity));
  CHECK_MSG(block != nullptr, "out of memory");
  const BlockHeader header{capacity};
  std::memcpy(block, &header, sizeof(header));
  memory_ += capacity;
  open_owned_ = block;
  open_begin_ = cursor_ = BlockBegin(block);
  limit_ = cursor_ + capacity;
}

void OutputBuffer::Grow(size_t size) {
  CloseOpen();
  const size_t usual = std::clamp(2 * this->size(), kBlockBytesMin, kBlockBytesMax);
  OpenBlock(std::max(size, usual));
}

// Brings an empty buffer back to its first state: at the scratch block, without heap blocks.
void OutputBuffer::Restart() {
  DCHECK(sealed_size_ == 0);
  while (first_ < segments_.size()) ReleaseSegment(segments_[first_++]);
  segments_.clear();
  first_ = 0;
  has_borrowed_ = false;
  if (segments_.capacity() > kKeptSegmentsMax) segments_ = std::vector<Segment>();
  if (open_owned_ != nullptr) FreeBlock(open_owned_);
  open_owned_ = nullptr;
  open_begin_ = cursor_ = scratch_;
  limit_ = scratch_ == nullptr ? nullptr : scratch_ + scratch_capacity_;
}

// ---- Scratch ----

void OutputBuffer::AttachScratch(char* scratch, size_t capacity) {
  CHECK(empty());
  CHECK(scratch_ == nullptr);
  scratch_ = scratch;
  scratch_capacity_ = capacity;
  Restart();
}

size_t OutputBuffer::TrimScratch() {
  if (scratch_ == nullptr) return 0;
  if (InScratch(cursor_) && open_owned_ == nullptr) {
    limit_ = cursor_;
    scratch_capacity_ = static_cast<size_t>(cursor_ - scratch_);
  }
  return scratch_capacity_;
}

void OutputBuffer::DetachScratch() {
  if (scratch_ == nullptr) return;
  if (empty()) {
    scratch_ = nullptr;
    Restart();
    return;
  }
  if (InScratch(cursor_) && open_owned_ == nullptr) {
    Seal();
    open_begin_ = cursor_ = limit_ = nullptr;
  }
  for (size_t i = first_; i < segments_.size(); i++) {
    Segment& segment = segments_[i];
    if (segment.owned != nullptr || segment.block != nullptr || !InScratch(segment.data)) continue;
    auto* block = static_cast<char*>(std::malloc(sizeof(BlockHeader) + segment.size));
    CHECK_MSG(block != nullptr, "out of memory");
    const BlockHeader header{segment.size};
    std::memcpy(block, &header, sizeof(header));
    std::memcpy(BlockBegin(block), segment.data, segment.size);
    memory_ += segment.size;
    segment.data = BlockBegin(block);
    segment.owned = block;
  }
  scratch_ = nullptr;
}

// ---- Appending ----

void OutputBuffer::AppendShared(std::string_view bytes, SharedBlock* block) {
  if (bytes.empty()) return;
  Seal();
  block->Ref();
  PushSegment(bytes.data(), bytes.size(), nullptr, block);
  memory_ += bytes.size();
}

void OutputBuffer::AppendBorrowed(std::string_view bytes) {
  if (bytes.empty()) return;
  if (cursor_ == open_begin_ && segments_.size() > first_) {
    Segment& last = segments_.back();
    if (last.block_bytes == kBorrowed && last.data + last.size == bytes.data()) {
      last.size += bytes.size();
      sealed_size_ += bytes.size();
      return;
    }
  }
  if (bytes.size() < kBorrowBytesMin && !empty()) return Append(bytes);
  Seal();
  segments_.push_back({bytes.data(), bytes.size(), kBorrowed, nullptr, nullptr});
  sealed_size_ += bytes.size();
  has_borrowed_ = true;
}

void OutputBuffer::OwnBorrowed() {
  if (!has_borrowed_) return;
  has_borrowed_ = false;
  for (size_t i = first_; i < segments_.size();) {
    size_t end = i;
    size_t size = 0;
    while (end < segments_.size() && segments_[end].block_bytes == kBorrowed) size += segments_[end++].size;
    if (end == i) {
      i++;
      continue;
    }
    // The whole run becomes one piece; what is left of the others is empty.
    auto* block = static_cast<char*>(std::malloc(sizeof(BlockHeader) + size));
    CHECK_MSG(block != nullptr, "out of memory");
    const BlockHeader header{size};
    std::memcpy(block, &header, sizeof(header));
    memory_ += size;
    char* at = BlockBegin(block);
    for (size_t piece = i; piece < end; piece++) {
      std::memcpy(at, segments_[piece].data, segments_[piece].size);
      at += segments_[piece].size;
      segments_[piece] = {at, 0, 0, nullptr, nullptr};
    }
    segments_[i] = {BlockBegin(block), size, 0, block, nullptr};
    i = end;
  }
}

size_t OutputBuffer::SetPieceAside(size_t capacity) {
  Reserve(capacity);
  Seal();
  PushSegment(cursor_, 0, nullptr, nullptr);
  cursor_ += capacity;
  open_begin_ = cursor_;
  return segments_.size() - 1;
}

void OutputBuffer::FillPiece(size_t piece, std::string_view bytes) {
  Segment& segment = segments_[piece];
  CHECK(segment.size == 0);
  // The place is ours, though segments promise not to change theirs.
  std::memcpy(const_cast<char*>(segment.data), bytes.data(), bytes.size());
  segment.size = bytes.size();
  sealed_size_ += bytes.size();
}

void OutputBuffer::AppendBuffer(OutputBuffer& other) {
  CHECK(this != &other);
  CHECK(!other.has_borrowed_);
  other.CloseOpen();
  const bool is_small = other.sealed_size_ <= kCopyBytesMax;
  for (size_t i = other.first_; i < other.segments_.size(); i++) {
    const Segment& segment = other.segments_[i];
    // Pieces of a block whose owner comes later must move with it, so only whole buffers are
    // copied.
    const bool must_copy = is_small || (segment.block == nullptr && other.InScratch(segment.data));
    if (must_copy) {
      Append({segment.data, segment.size});
      other.ReleaseSegment(segment);
      continue;
    }
    Seal();
    segments_.push_back(segment);
    sealed_size_ += segment.size;
    size_t held = segment.block_bytes;
    if (segment.owned != nullptr) held += BlockCapacity(segment.owned);
    memory_ += held;
    other.memory_ -= held;
  }
  other.segments_.clear();
  other.first_ = 0;
  other.sealed_size_ = 0;
  other.Restart();
}

// ---- Taking away ----

size_t OutputBuffer::Peek(std::string_view* out, size_t max) const {
  size_t count = 0;
  for (size_t i = first_; i < segments_.size() && count < max; i++) {
    if (segments_[i].size != 0) out[count++] = {segments_[i].data, segments_[i].size};
  }
  if (cursor_ != open_begin_ && count < max) {
    out[count++] = {open_begin_, static_cast<size_t>(cursor_ - open_begin_)};
  }
  return count;
}

void OutputBuffer::Consume(size_t size) {
  CHECK(size <= this->size());
  while (first_ < segments_.size()) {
    Segment& segment = segments_[first_];
    if (segment.size > size) {
      segment.data += size;
      segment.size -= size;
      sealed_size_ -= size;
      break;
    }
    size -= segment.size;
    sealed_size_ -= segment.size;
    ReleaseSegment(segment);
    first_++;
  }
  if (first_ == segments_.size()) {
    open_begin_ += size;
    if (empty()) return Restart();
  }
  if (first_ >= kDeadSegmentsMax && 2 * first_ >= segments_.size()) {
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(first_));
    first_ = 0;
  }
}

void OutputBuffer::Clear() {
  while (first_ < segments_.size()) ReleaseSegment(segments_[first_++]);
  sealed_size_ = 0;
  Restart();
  CHECK(memory_ == 0);
}

// ---- Marks ----

OutputBuffer::Mark OutputBuffer::GetMark() const { return {segments_.size() - first_, size()}; }

// Drops the last sealed segment. A block that it owned goes to the piece before it in the same
// block.
void OutputBuffer::PopSegment() {
  Segment last = segments_.back();
  segments_.pop_back();
  sealed_size_ -= last.size;
  if (last.owned != nullptr) {
    const size_t block_size = BlockCapacity(last.owned) + sizeof(BlockHeader);
    for (size_t i = segments_.size(); i > first_; i--) {
      Segment& earlier = segments_[i - 1];
      if (earlier.block != nullptr || !Within(earlier.data, last.owned, block_size)) continue;
      CHECK(earlier.owned == nullptr);
      earlier.owned = last.owned;
      last.owned = nullptr;
      break;
    }
  }
  ReleaseSegment(last);
}

void OutputBuffer::Truncate(const Mark& mark) {
  CHECK(mark.size <= size());
  CHECK(mark.segment_count <= segments_.size() - first_);
  size_t excess = size() - mark.size;
  const size_t from_open = std::min(excess, static_cast<size_t>(cursor_ - open_begin_));
  cursor_ -= from_open;
  excess -= from_open;
  while (excess > 0) {
    Segment& last = segments_.back();
    if (last.size > excess) {
      last.size -= excess;
      sealed_size_ -= excess;
      break;
    }
    excess -= last.size;
    PopSegment();
  }
  if (empty()) Restart();
}

}  // namespace sherd::resp
