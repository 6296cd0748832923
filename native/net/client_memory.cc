// ClientMemory: see the header.
#include "net/client_memory.h"

#include "base/check.h"

namespace sherd::net {

namespace {

constexpr int kFirstBucketBits = 15;
// As Redis: with less than this a server could not talk to anybody.
constexpr uint64_t kLimitMin = 128 * 1024;

}  // namespace

ClientMemory::ClientMemory(engine::Engine& engine)
    : engine_(engine),
      workers_(static_cast<size_t>(engine.config().workers)),
      lines_(new Line[static_cast<size_t>(engine.config().workers)]) {}

ClientMemory::Bucket ClientMemory::BucketOf(uint64_t bytes) {
  const int bits = bytes == 0 ? 0 : 63 - __builtin_clzll(bytes);
  if (bits <= kFirstBucketBits) return 0;
  const int bucket = bits - kFirstBucketBits;
  return static_cast<Bucket>(bucket < kBuckets ? bucket : kBuckets - 1);
}

uint64_t ClientMemory::limit() const {
  const int64_t option = engine_.options().maxmemory_clients.Get();
  if (option == 0) return 0;
  uint64_t bytes = static_cast<uint64_t>(option);
  if (option < 0) {
    // A percentage, of a limit that may go up to 2^64.
    const uint64_t maxmemory = static_cast<uint64_t>(engine_.options().maxmemory.Get());
    if (maxmemory == 0) return 0;
    bytes = static_cast<uint64_t>(static_cast<double>(maxmemory) * static_cast<double>(-option) / 100);
  }
  return bytes < kLimitMin ? kLimitMin : bytes;
}

uint64_t ClientMemory::used() const {
  uint64_t bytes = 0;
  for (size_t worker = 0; worker < workers_; worker++) {
    bytes += engine_.worker_counters(static_cast<engine::WorkerId>(worker)).client_memory_bytes.Get();
  }
  return bytes;
}

void ClientMemory::Move(engine::WorkerId worker, Bucket from, Bucket to) {
  // One writer: a load and a store will do.
  const auto add = [&](Bucket bucket, uint32_t delta) {
    if (bucket == kNoBucket) return;
    std::atomic<uint32_t>& count = lines_[worker].counts[static_cast<size_t>(bucket)];
    count.store(count.load(std::memory_order_relaxed) + delta, std::memory_order_relaxed);
  };
  add(from, ~uint32_t{0});
  add(to, 1);
}

bool ClientMemory::FindLargest(engine::WorkerId self, engine::WorkerId* worker) const {
  for (size_t bucket = kBuckets; bucket-- > 0;) {
    const auto has_any = [&](size_t index) {
      return lines_[index].counts[bucket].load(std::memory_order_relaxed) > 0;
    };
    *worker = self;
    if (has_any(self)) return true;
    for (size_t index = 0; index < workers_; index++) {
      *worker = static_cast<engine::WorkerId>(index);
      if (has_any(index)) return true;
    }
  }
  return false;
}

}  // namespace sherd::net
