// A ring of 16-byte frames from one producer thread to one consumer thread.
//
// Idea. The classic bounded queue with two free-running indices: `tail` counts the frames ever
// pushed and is written by the producer alone, `head` counts the frames ever popped and is written
// by the consumer alone; slot i of frame number f is f & mask. No RMW, no lock: a push is a copy
// and a release store. Each side keeps a private copy of the other side's index and re-reads the
// real one only when the copy says "full" (producer) or "empty" (consumer). Without the copies
// every push would load the line that the consumer has just written, and every pop the producer's:
// one cache miss a frame. With them a miss happens once per lap (producer) or once per batch
// (consumer).
//
//   line 0   read-only after construction       slots_ | mask_
//            +-------------------------------------------------------------------+
//   line 1   | tail_ (published) | cached_head_ | stalled_ |   producer's line   |
//            +-------------------------------------------------------------------+
//   line 2   | head_ (published) | cached_tail_ |              consumer's line   |
//            +-------------------------------------------------------------------+
//   slots_   | Frame 0 | Frame 1 | Frame 2 | ... | Frame mask_ |   16 bytes each, 64-byte aligned
//
// Invariants
//   I1  head <= tail <= head + capacity, in the view of either side.
//   I2  cached_head_ <= head and cached_tail_ <= tail: a stale copy is only ever too careful.
//   I3  A slot is written by the producer only while it lies outside [head, tail), read by the
//       consumer only while it lies inside.
//
// When the ring is full, TryPush and PushBatch take less than was offered and say so; they never
// wait. RingSender puts an overflow list in front, so that a sender need not care: Push never fails
// and frames arrive in the order pushed. The list has no limit of its own because what goes into it
// has one above: a connection has at most one request under way, so frames are bounded by
// connections.
//
// `stalled_` closes the last gap. A producer whose overflow list is not empty may go to sleep, and
// then nobody would push the rest. So it raises `stalled_`, and before it sleeps it looks at the
// ring once more, after the doorbell's fence (Doorbell::PrepareToSleep with Mesh::HasWork). The
// consumer, when it has freed slots, fences, looks at `stalled_`, and rings the producer's doorbell
// if it is up. Each side puts its fence between its store and its load, so at least one of them
// sees the other.
//
// Threads: producer functions from one thread at a time, consumer functions from one thread at a
// time. Ownership: the ring owns its slots; what a frame's words point to belongs to whoever reads
// the frame.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <new>

#include "base/check.h"

namespace sherd::ring {

/// Two cores must not write into one line. 64 is the line of x86-64 and of most arm64 cores.
inline constexpr size_t kCacheLineBytes = 64;

/// The full barrier of the store-then-look handshakes (doorbell, stalled ring). gcc warns that TSan
/// does not model fences; that is harmless here, because no data is published by these fences:
/// frames are published by the release store of `tail_`, and the fence only decides who sees whose
/// flag.
inline void FullFence() {
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
  std::atomic_thread_fence(std::memory_order_seq_cst);
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

/// One message. Host byte order: frames never leave the process.
///
///      63                                     8 7       0
///     +----------------------------------------+---------+
///     | payload (56 bits)                      | type    |  word0
///     +----------------------------------------+---------+
///     | pointer or integer                               |  word1
///     +--------------------------------------------------+
struct Frame {
  uint64_t word0;
  uint64_t word1;

  static constexpr uint64_t kPayloadMax = (uint64_t{1} << 56) - 1;

  static Frame Of(uint8_t type, uint64_t payload, uint64_t word1) {
    DCHECK(payload <= kPayloadMax);
    return Frame{payload << 8 | type, word1};
  }
  static Frame Of(uint8_t type, uint64_t payload, const void* pointer) {
    return Of(type, payload, static_cast<uint64_t>(reinterpret_cast<uintptr_t>(pointer)));
  }
  uint8_t type() const { return static_cast<uint8_t>(word0 & 0xFF); }
  uint64_t payload() const { return word0 >> 8; }
  template <class T>
  T* pointer() const {
    return reinterpret_cast<T*>(static_cast<uintptr_t>(word1));
  }
};
static_assert(sizeof(Frame) == 16);
static_assert(offsetof(Frame, word0) == 0);
static_assert(offsetof(Frame, word1) == 8);

class SpscRing {
 public:
  /// `capacity` frames; a power of two, at least 2.
  explicit SpscRing(size_t capacity)
      : slots_(static_cast<Frame*>(
            ::operator new(capacity * sizeof(Frame), std::align_val_t{kCacheLineBytes}))),
        mask_(capacity - 1) {
    CHECK(capacity >= 2);
    CHECK((capacity & (capacity - 1)) == 0);
  }
  ~SpscRing() { ::operator delete(slots_, std::align_val_t{kCacheLineBytes}); }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  size_t capacity() const { return mask_ + 1; }

  // ---- Producer's side ----

  /// Copies up to `count` frames into the ring and publishes them together. Returns how many
  /// fitted.
  size_t PushBatch(const Frame* frames, size_t count) {
    // relaxed: only this thread writes tail_.
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    size_t room = capacity() - static_cast<size_t>(tail - cached_head_);
    if (room < count) {
      // acquire: pairs with the release of head_ in PopBatch, so that the consumer's reads of the
      // slots come before our overwriting them (I3).
      cached_head_ = head_.load(std::memory_order_acquire);
      room = capacity() - static_cast<size_t>(tail - cached_head_);
    }
    const size_t pushed = count < room ? count : room;
    for (size_t i = 0; i < pushed; i++) slots_[(tail + i) & mask_] = frames[i];
    // release: pairs with the acquire of tail_ in PopBatch and HasFrames; publishes the slots and
    // all that they point to.
    if (pushed > 0) tail_.store(tail + pushed, std::memory_order_release);
    return pushed;
  }
  bool TryPush(const Frame& frame) { return PushBatch(&frame, 1) == 1; }

  /// Raised by a producer that has frames left and may go to sleep; see the header comment.
  void SetStalled(bool stalled) {
    // relaxed: ordered against the consumer by the fence in Doorbell::PrepareToSleep.
    stalled_.store(stalled, std::memory_order_relaxed);
  }

  // ---- Consumer's side ----

  /// Moves up to `count` frames to `out`, oldest first. Returns how many there were.
  size_t PopBatch(Frame* out, size_t count) {
    // relaxed: only this thread writes head_.
    const uint64_t head = head_.load(std::memory_order_relaxed);
    size_t ready = static_cast<size_t>(cached_tail_ - head);
    if (ready < count) {
      // acquire: pairs with the release of tail_ in PushBatch.
      cached_tail_ = tail_.load(std::memory_order_acquire);
      ready = static_cast<size_t>(cached_tail_ - head);
    }
    const size_t popped = count < ready ? count : ready;
    for (size_t i = 0; i < popped; i++) out[i] = slots_[(head + i) & mask_];
    // release: pairs with the acquire of head_ in PushBatch: our reads are over before the slots
    // are written again.
    if (popped > 0) head_.store(head + popped, std::memory_order_release);
    return popped;
  }
  bool TryPop(Frame* out) { return PopBatch(out, 1) == 1; }

  /// True if a frame is ready. Reads the real tail: this is the look after `sleeping` is set, so
  /// the private copy would not do.
  bool HasFrames() const {
    // acquire: pairs with PushBatch; its order after the store of `sleeping` is the doorbell's
    // fence.
    return tail_.load(std::memory_order_acquire) != head_.load(std::memory_order_relaxed);
  }

  /// To be read after a FullFence() that follows the pops.
  bool IsProducerStalled() const { return stalled_.load(std::memory_order_relaxed); }

  // ---- Either side, or any thread for statistics ----

  /// Frames inside, as seen now; exact only for the two sides when the other rests.
  size_t size() const {
    // Two relaxed loads may disagree by what moved in between; head first, so never negative.
    const uint64_t head = head_.load(std::memory_order_relaxed);
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    return tail > head ? static_cast<size_t>(tail - head) : 0;
  }
  uint64_t pushed_total() const { return tail_.load(std::memory_order_relaxed); }
  uint64_t popped_total() const { return head_.load(std::memory_order_relaxed); }

 private:
  friend struct SpscRingLayout;

  alignas(kCacheLineBytes) Frame* const slots_;
  const size_t mask_;

  alignas(kCacheLineBytes) std::atomic<uint64_t> tail_{0};  // frames ever pushed
  uint64_t cached_head_ = 0;                                // producer's copy of head_
  std::atomic<bool> stalled_{false};                        // the producer has frames left over

  alignas(kCacheLineBytes) std::atomic<uint64_t> head_{0};  // frames ever popped
  uint64_t cached_tail_ = 0;                                // consumer's copy of tail_
};

/// Asserts the picture above; a friend only because offsetof needs the names.
struct SpscRingLayout {
  static_assert(sizeof(SpscRing) == 3 * kCacheLineBytes);
  static_assert(alignof(SpscRing) == kCacheLineBytes);
  static_assert(offsetof(SpscRing, tail_) == 1 * kCacheLineBytes);
  static_assert(offsetof(SpscRing, cached_head_) == 1 * kCacheLineBytes + 8);
  static_assert(offsetof(SpscRing, stalled_) == 1 * kCacheLineBytes + 16);
  static_assert(offsetof(SpscRing, head_) == 2 * kCacheLineBytes);
  static_assert(offsetof(SpscRing, cached_tail_) == 2 * kCacheLineBytes + 8);
};

/// The producer's end of a ring with an overflow list in front: Push never fails, order is kept.
///
/// While the list is empty a push goes straight into the ring. Once the ring was full, every later
/// frame queues behind the list, or it would overtake. Flush moves as much as fits; call it at
/// least once per turn of the loop, and before going to sleep.
///
/// Thread: the producer's. The counters may be read from any thread.
class RingSender {
 public:
  explicit RingSender(SpscRing* ring) : ring_(ring) {}
  RingSender(const RingSender&) = delete;
  RingSender& operator=(const RingSender&) = delete;

  void Push(const Frame& frame) {
    if (__builtin_expect(overflow_.empty(), 1) && ring_->TryPush(frame)) return;
    PushOverflow(frame);
  }

  /// Moves overflow into the ring. True if nothing is left. False: the ring is full, and its
  /// consumer will ring our doorbell (because of `stalled`) once it has made room. Retry every
  /// turn; before sleeping, look for room as Mesh::HasWork does.
  bool Flush() {
    if (__builtin_expect(overflow_.empty(), 1)) return true;
    while (!overflow_.empty() && ring_->TryPush(overflow_.front())) overflow_.pop_front();
    overflow_count_.store(overflow_.size(), std::memory_order_relaxed);
    ring_->SetStalled(!overflow_.empty());
    return overflow_.empty();
  }

  bool HasOverflow() const { return !overflow_.empty(); }
  SpscRing* ring() const { return ring_; }

  /// Frames in the overflow list now, the most there ever were, and how often a push found the ring
  /// full while the list was empty. Written by the producer only; relaxed, since nothing hangs on
  /// them.
  uint64_t overflow_count() const { return overflow_count_.load(std::memory_order_relaxed); }
  uint64_t overflow_count_max() const {
    return overflow_count_max_.load(std::memory_order_relaxed);
  }
  uint64_t stalls() const { return stalls_.load(std::memory_order_relaxed); }

 private:
  void PushOverflow(const Frame& frame) {
    if (overflow_.empty()) stalls_.store(stalls() + 1, std::memory_order_relaxed);
    overflow_.push_back(frame);
    overflow_count_.store(overflow_.size(), std::memory_order_relaxed);
    if (overflow_.size() > overflow_count_max()) {
      overflow_count_max_.store(overflow_.size(), std::memory_order_relaxed);
    }
  }

  SpscRing* const ring_;
  std::deque<Frame> overflow_;  // frames not yet in the ring, oldest first
  std::atomic<uint64_t> overflow_count_{0};
  std::atomic<uint64_t> overflow_count_max_{0};
  std::atomic<uint64_t> stalls_{0};
};

}  // namespace sherd::ring
