// Micro-benchmarks of leases, rings, inboxes and doorbells on one thread: what the protocol costs when
// nobody is in the way, which is the common case. What contention costs is measured by bench/scale.
#include "bench/bench.h"
#include "ring/inbox.h"
#include "ring/mesh.h"
#include "shard/lease.h"

namespace sherd {

namespace {

using bench::Keep;

class Nothing final : public shard::Executor {
 public:
  void Execute(shard::Request*, shard::WorkerId) override {}
  void RingOwner(shard::ShardId, shard::WorkerId) override {}
};

constexpr shard::ShardId kShards[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/// Submits a request over `count` idle shards.
void SubmitIdle(bench::Bench& bench, uint16_t count) {
  Nothing executor;
  shard::LeaseTable table(16, 2, &executor);
  shard::Request request;
  request.shards = kShards;
  request.shard_count = count;
  bench.Run([&](uint64_t) { table.Submit(&request, 0); });
}

}  // namespace

BENCH(lease_acquire_release_one_shard) {
  Nothing executor;
  shard::LeaseTable table(16, 2, &executor);
  bench.Run([&](uint64_t) {
    Keep(table.TryAcquire(3, 1));
    table.Release(3, 1);
  });
}

BENCH(lease_acquire_release_64_shards_in_turn) {
  Nothing executor;
  shard::LeaseTable table(64, 2, &executor);
  bench.Run([&](uint64_t i) {
    const auto shard = static_cast<shard::ShardId>(i * 37 & 63);
    Keep(table.TryAcquire(shard, 1));
    table.Release(shard, 1);
  });
}

BENCH(lease_acquire_refused) {
  Nothing executor;
  shard::LeaseTable table(16, 2, &executor);
  Keep(table.TryAcquire(3, 0));
  bench.Run([&](uint64_t) { Keep(table.TryAcquire(3, 1)); });
}

BENCH(lease_acquire_release_10_shards) {
  Nothing executor;
  shard::LeaseTable table(16, 2, &executor);
  bench.Run([&](uint64_t) {
    Keep(table.TryAcquireAll(kShards, 10, 0));
    table.ReleaseAll(kShards, 10, 0);
  });
}

BENCH(lease_submit_idle_1_shard) { SubmitIdle(bench, 1); }
BENCH(lease_submit_idle_10_shards) { SubmitIdle(bench, 10); }

BENCH(lease_queued_request) {
  Nothing executor;
  shard::LeaseTable table(1, 2, &executor);
  shard::Request requests[16];
  for (shard::Request& request : requests) {
    request.shards = kShards;
    request.shard_count = 1;
  }
  // Per request: one of 16 that wait for a held lease and are served when it is given up.
  bench.Run([&](uint64_t i) {
    if (i % 16 == 0) Keep(table.TryAcquire(0, 0));
    table.Submit(&requests[i % 16], 1);
    if (i % 16 == 15) table.Release(0, 0);
  });
}

BENCH(ring_push_pop_batches_of_16) {
  ring::SpscRing ring(256);
  ring::Frame frame = ring::Frame::Of(1, 2, uint64_t{3});
  ring::Frame frames[16];
  bench.Run([&](uint64_t i) {
    Keep(ring.TryPush(frame));
    if (i % 16 == 15) Keep(ring.PopBatch(frames, 16));
  });
}

BENCH(inbox_push_take_batches_of_16) {
  ring::Inbox inbox;
  ring::InboxNode nodes[16];
  bench.Run([&](uint64_t i) {
    inbox.Push(&nodes[i % 16]);
    if (i % 16 == 15) Keep(inbox.TakeAll());
  });
}

BENCH(doorbell_ring_awake) {
  ring::Doorbell bell;
  bench.Run([&](uint64_t) { bell.Ring(); });
}

BENCH(mesh_drain_empty_64_workers) {
  ring::Mesh mesh(64);
  bench.Run([&](uint64_t) { Keep(mesh.Drain(5, [](uint16_t, const ring::Frame&) {})); });
}

}  // namespace sherd
