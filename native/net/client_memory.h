// ClientMemory: how much memory the clients of all workers take, and who holds most (maxmemory-clients).
//
// Each worker keeps its own sum (WorkerCounters::client_memory_bytes) and counts, in a line of its own, how
// many of its clients lie in each bucket: bucket b holds those of 2^(15+b) bytes and more, the first one all
// that are smaller, too. Everybody may read all of them. A worker that finds the sum over the limit evicts
// its own largest clients as long as nobody else has one in a higher bucket, and else asks the worker that
// has. One at a time evicts, under the mutex, so that no client goes for bytes that another has just freed.
//
// Thread: any, but for Move: the worker's own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "engine/engine.h"

namespace sherd::net {

class ClientMemory {
 public:
  using Bucket = int8_t;
  static constexpr Bucket kNoBucket = -1;  // may not be evicted
  static constexpr Bucket kBuckets = 19;   // 32 KB … 8 GB

  explicit ClientMemory(engine::Engine& engine);

  static Bucket BucketOf(uint64_t bytes);
  /// The limit in bytes; 0: none.
  uint64_t limit() const;
  uint64_t used() const;
  bool IsOver() const {
    const uint64_t bytes = limit();
    return bytes != 0 && used() >= bytes;
  }

  /// A client of `worker` moves from one bucket to another; kNoBucket: comes, or goes.
  void Move(engine::WorkerId worker, Bucket from, Bucket to);
  /// A worker that has clients in the highest bucket in use, `self` if it is one. False: nobody has any.
  bool FindLargest(engine::WorkerId self, engine::WorkerId* worker) const;

  /// To be held from the look at IsOver() until the evicted client's bytes are taken off.
  std::mutex& mutex() { return mutex_; }
  /// True: `worker` has to be told; false: it has been, and has not looked yet.
  bool Ask(engine::WorkerId worker) { return !lines_[worker].is_asked.exchange(true, std::memory_order_relaxed); }
  void TakeQuestion(engine::WorkerId worker) { lines_[worker].is_asked.store(false, std::memory_order_relaxed); }

 private:
  struct alignas(64) Line {
    std::atomic<uint32_t> counts[kBuckets] = {};
    std::atomic<bool> is_asked{false};
  };

  engine::Engine& engine_;
  const size_t workers_;
  std::unique_ptr<Line[]> lines_;
  std::mutex mutex_;
};

}  // namespace sherd::net
