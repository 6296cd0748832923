// The mesh: one ring for each ordered pair of workers, one doorbell for each worker.
//
//              to 0     to 1     to 2
//   from 0      -      ring     ring        Worker w pushes into row w, drains column w.
//   from 1     ring      -      ring        Memory O(workers^2), never O(workers x shards).
//   from 2     ring     ring      -
//
// A worker's turn of the loop:
//
//   mesh.Drain(self, handler)        frames that others sent; handler may Send
//   ... sockets, timers ... Send()   frames go out, nobody is woken yet
//   mesh.Flush(self)                 overflow moves on; one fence; the bells of all targets
//   mesh.bell(self).PrepareToSleep([&] { return mesh.HasWork(self) || ...; })
//
// Bells are rung once per turn and target, not once per frame. A Send without a later Flush may
// leave its target asleep: Flush is a duty before sleep and after each bounded piece of work.
//
// Invariants
//   M1  Frames from a to b arrive in the order sent. Nothing is said about different senders.
//   M2  After Flush(self) each target of self is awake or its eventfd is written, or its ring has
//       no frame of ours.
//   M3  A worker that sleeps with frames left over (ring full) has `stalled` raised, and is rung by
//       the consumer of that ring as soon as that has made room.
//
// Threads: functions taking `self` only from worker self's thread. The mesh must outlive the
// workers.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/check.h"
#include "ring/doorbell.h"
#include "ring/spsc_ring.h"

namespace sherd::ring {

class Mesh {
 public:
  /// 256 frames are 4 KiB a pair: 17 MiB at 64 workers. A worker's batch is seldom above 64
  /// commands and they spread over the others, so a ring holds several batches.
  static constexpr size_t kRingCapacityDefault = 256;
  /// Frames copied out of a ring at a time: 1 KiB of stack, one index store for all of them.
  static constexpr size_t kDrainBatch = 64;

  explicit Mesh(uint16_t workers, size_t ring_capacity = kRingCapacityDefault)
      : workers_(workers), bells_(new Doorbell[workers]), rows_(new Row[workers]) {
    CHECK(workers >= 1);
    links_.resize(size_t{workers} * workers);
    for (uint16_t from = 0; from < workers; from++) {
      rows_[from].dirty.assign(workers, 0);
      for (uint16_t to = 0; to < workers; to++) {
        if (from != to) links_[Index(from, to)] = std::make_unique<Link>(ring_capacity);
      }
    }
  }
  Mesh(const Mesh&) = delete;
  Mesh& operator=(const Mesh&) = delete;

  uint16_t workers() const { return workers_; }
  Doorbell& bell(uint16_t worker) { return bells_[worker]; }

  /// Sends a frame to another worker. Never fails, never waits; the target is rung by Flush.
  void Send(uint16_t self, uint16_t to, const Frame& frame) {
    DCHECK(self != to);
    links_[Index(self, to)]->sender.Push(frame);
    MarkDirty(self, to);
  }

  /// Moves overflow into the rings and rings the bells of all workers that were sent something.
  void Flush(uint16_t self) {
    Row& row = rows_[self];
    if (row.targets.empty()) return;
    size_t kept = 0;
    for (uint16_t to : row.targets) {
      const bool empty = links_[Index(self, to)]->sender.Flush();
      row.dirty[to] = empty ? kClean : kKept;
    }
    FullFence();  // one for all bells; pairs with PrepareToSleep's.
    for (uint16_t to : row.targets) {
      bells_[to].RingAfterFence();
      if (row.dirty[to] == kKept) row.targets[kept++] = to;
    }
    row.targets.resize(kept);
  }

  /// Hands every frame that has arrived for `self` to `handler(from, frame)`: of each ring what it
  /// held when its turn came (at most one lap), so that a busy sender cannot keep us here. Rings
  /// senders that waited for room. Returns the number of frames. The handler may Send; it must not
  /// Drain.
  template <class Handler>
  size_t Drain(uint16_t self, Handler&& handler) {
    size_t total = 0;
    Row& row = rows_[self];
    for (uint16_t from = 0; from < workers_; from++) {
      if (from == self) continue;
      const size_t drained = DrainRing(from, &links_[Index(from, self)]->ring, handler);
      if (drained > 0) row.drained.push_back(from);
      total += drained;
    }
    if (total == 0) return 0;
    // Between head_ and stalled_, sleeping_; pairs with the fence in PrepareToSleep.
    FullFence();
    for (uint16_t from : row.drained) {
      if (links_[Index(from, self)]->ring.IsProducerStalled()) bells_[from].RingAfterFence();
    }
    row.drained.clear();
    return total;
  }

  /// True if a frame waits for `self`, or room has come for frames that self could not send: the
  /// look between `sleeping` and sleep.
  bool HasWork(uint16_t self) const {
    for (uint16_t from = 0; from < workers_; from++) {
      if (from != self && links_[Index(from, self)]->ring.HasFrames()) return true;
    }
    for (uint16_t to : rows_[self].targets) {
      const Link& link = *links_[Index(self, to)];
      if (!link.sender.HasOverflow()) return true;  // sent but not flushed: the bell is still owed
      if (link.ring.size() < link.ring.capacity()) return true;
    }
    return false;
  }

  /// True if self has frames that their rings had no room for. Flush every turn until it is false.
  bool HasOverflow(uint16_t self) const {
    for (uint16_t to : rows_[self].targets) {
      if (links_[Index(self, to)]->sender.HasOverflow()) return true;
    }
    return false;
  }

  /// For DEBUG RINGS: any thread may read the counters of a pair.
  const SpscRing& ring(uint16_t from, uint16_t to) const { return links_[Index(from, to)]->ring; }
  const RingSender& sender(uint16_t from, uint16_t to) const {
    return links_[Index(from, to)]->sender;
  }

 private:
  struct Link {
    explicit Link(size_t capacity) : ring(capacity), sender(&ring) {}
    SpscRing ring;
    alignas(kCacheLineBytes) RingSender sender;
  };
  enum Dirty : uint8_t { kClean = 0, kSent = 1, kKept = 2 };
  /// What one worker notes for itself; no other thread looks here.
  struct alignas(kCacheLineBytes) Row {
    std::vector<uint8_t> dirty;      // by target: Dirty
    std::vector<uint16_t> targets;   // those that are not kClean
    std::vector<uint16_t> drained;   // scratch of Drain: rings that gave frames
  };

  size_t Index(uint16_t from, uint16_t to) const { return size_t{from} * workers_ + to; }

  void MarkDirty(uint16_t self, uint16_t to) {
    Row& row = rows_[self];
    if (row.dirty[to] == kClean) {
      row.dirty[to] = kSent;
      row.targets.push_back(to);
    }
  }

  template <class Handler>
  static size_t DrainRing(uint16_t from, SpscRing* ring, Handler&& handler) {
    Frame frames[kDrainBatch];
    size_t total = 0;
    while (total < ring->capacity()) {
      const size_t count = ring->PopBatch(frames, kDrainBatch);
      for (size_t i = 0; i < count; i++) handler(from, frames[i]);
      total += count;
      if (count < kDrainBatch) break;
    }
    return total;
  }

  const uint16_t workers_;
  std::unique_ptr<Doorbell[]> bells_;
  std::unique_ptr<Row[]> rows_;
  std::vector<std::unique_ptr<Link>> links_;  // [from * workers + to]; null on the diagonal
};

}  // namespace sherd::ring
