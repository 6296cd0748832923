// JournalLane: see the header.
#include "persistence/journal_lane.h"

#include <cstring>
#include <new>

#include "base/check.h"

namespace sherd::persistence {

namespace {
// Large enough that a chunk is taken once in a thousand small units, small enough for the second-level cache.
constexpr size_t kChunkBytes = 64 * 1024;

constexpr uint64_t Padded(uint64_t size) { return (size + 7) / 8 * 8; }
}  // namespace

JournalLane::JournalLane() {
  last_ = first_ = NewChunk(kChunkBytes);
}

JournalLane::~JournalLane() {
  while (first_ != nullptr) {
    Chunk* next = first_->next.load(std::memory_order_relaxed);
    Free(first_);
    first_ = next;
  }
  if (Chunk* spare = spare_.load(std::memory_order_relaxed)) Free(spare);
}

JournalLane::Chunk* JournalLane::NewChunk(size_t capacity) {
  if (capacity <= kChunkBytes) {
    // acquire: pairs with the release in Pop; the consumer has done with its bytes.
    if (Chunk* spare = spare_.exchange(nullptr, std::memory_order_acquire)) return spare;
    capacity = kChunkBytes;
  }
  void* memory = ::operator new(sizeof(Chunk) + capacity);
  Chunk* chunk = new (memory) Chunk();
  chunk->capacity = capacity;
  return chunk;
}

void JournalLane::Free(Chunk* chunk) {
  chunk->~Chunk();
  ::operator delete(chunk);
}

bool JournalLane::Push(uint64_t seq, const engine::EffectBuffer& unit, std::atomic<uint64_t>* queued_bytes) {
  const std::string_view effects = unit.bytes();
  const uint64_t size = Padded(sizeof(FrameHead) + effects.size());
  // relaxed: only this thread writes it.
  uint64_t filled = last_->filled.load(std::memory_order_relaxed);
  Chunk* chunk = last_;
  if (filled + size > chunk->capacity) {
    chunk = NewChunk(size);
    filled = 0;
    // relaxed: a sum to compare with a bound, which orders nothing.
    queued_bytes->fetch_add(chunk->capacity, std::memory_order_relaxed);
  }
  const FrameHead head{seq, effects.size(), unit.count(), 0};
  std::memcpy(chunk->data() + filled, &head, sizeof head);
  std::memcpy(chunk->data() + filled + sizeof head, effects.data(), effects.size());
  // release, both: publish the frame; pair with the acquires in Peek.
  chunk->filled.store(filled + size, std::memory_order_release);
  if (chunk == last_) return false;
  last_->next.store(chunk, std::memory_order_release);
  last_ = chunk;
  return true;
}

bool JournalLane::Peek(JournalFrame* frame, std::atomic<uint64_t>* queued_bytes) {
  while (read_ == seen_) {
    seen_ = first_->filled.load(std::memory_order_acquire);
    if (read_ != seen_) break;
    Chunk* next = first_->next.load(std::memory_order_acquire);
    if (next == nullptr) return false;
    // Now that `next` is set, `filled` is final.
    seen_ = first_->filled.load(std::memory_order_acquire);
    if (read_ == seen_) Leave(next, queued_bytes);
  }
  FrameHead head;
  std::memcpy(&head, first_->data() + read_, sizeof head);
  *frame = {head.seq, head.effect_count, {first_->data() + read_ + sizeof head, head.bytes}};
  return true;
}

/// Goes on to the next chunk; the one in use does not count as queued.
void JournalLane::Leave(Chunk* next, std::atomic<uint64_t>* queued_bytes) {
  Chunk* left = first_;
  first_ = next;
  read_ = seen_ = 0;
  queued_bytes->fetch_sub(next->capacity, std::memory_order_relaxed);
  if (left->capacity != kChunkBytes) return Free(left);
  left->next.store(nullptr, std::memory_order_relaxed);
  left->filled.store(0, std::memory_order_relaxed);
  // release: pairs with the acquire in NewChunk.
  if (Chunk* other = spare_.exchange(left, std::memory_order_acq_rel)) Free(other);
}

void JournalLane::Pop() {
  FrameHead head;
  std::memcpy(&head, first_->data() + read_, sizeof head);
  read_ += Padded(sizeof head + head.bytes);
}

}  // namespace sherd::persistence
