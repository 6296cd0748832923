// Counters that the control plane reads without asking: plain 64-bit cells in a SharedArrayBuffer.
//
//   +------------------+-----------------+------------------------------+----------------------------+
//   | WorkerCounters   | ShardCounters   | DatabaseCounters             | CommandCounters            |
//   | x workers        | x shards        | x shards x databases         | x workers x commands       |
//   +------------------+-----------------+------------------------------+----------------------------+
//
// Each cell has one writer at a time (its worker, or the holder of the shard's lease), which uses a
// relaxed load and store, no locked instruction; readers may see a value that is a moment old, never a
// torn one. The layout is told to TypeScript by the addon (statsLayout), names and order from the lists
// below, so that there is one source for both.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sherd::engine {

/// One 64-bit counter with a single writer.
class Counter {
 public:
  void Add(uint64_t delta) { Set(Get() + delta); }
  void Increment() { Add(1); }
  void Set(uint64_t value) { cell_.store(value, std::memory_order_relaxed); }
  uint64_t Get() const { return cell_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> cell_;
};
static_assert(sizeof(Counter) == 8);

// clang-format off
#define SHERD_WORKER_COUNTERS(X)                                                                     \
  X(connections_received) X(connections_rejected) X(connected_clients) X(commands_processed)         \
  X(net_input_bytes) X(net_output_bytes) X(keyspace_hits) X(keyspace_misses) X(expired_keys)         \
  X(error_replies) X(reads_processed) X(writes_processed) X(query_buffer_limit_disconnections)       \
  X(output_buffer_limit_disconnections) X(commands_in_place)           \
  X(commands_queued) X(commands_served_for_others) X(loop_iterations)               \
  X(expired_time_cap_reached) X(client_memory_bytes) X(max_input_buffer) X(max_output_buffer)        \
  X(ring_pushes) X(ring_stalls) X(ring_high_water) X(doorbells_rung) X(timeouts) X(control_commands) \
  X(expire_cycle_us) X(dirty) X(lazyfreed_objects) X(heartbeat)    \
  X(blocked_clients) X(commands_long) X(clients_in_timeout_table) X(watching_clients) X(watched_keys) \
  X(blocking_keys) X(blocking_keys_on_nokey) X(evicted_clients)                                      \
  X(pubsub_clients) X(pubsub_channels) X(pubsubshard_channels) X(pubsub_patterns) X(tracking_clients) \
  X(tracking_prefixes) /* of all workers, in the first one's cell */ X(flushes_of_all)
#define SHERD_SHARD_COUNTERS(X)                                                                      \
  X(used_memory) X(mapped_memory) X(table_memory) X(leases_in_place) X(leases_queued)                \
  X(lease_hand_overs) X(queue_high_water) X(lazyfree_pending_objects)                              \
  X(tracking_keys) X(tracking_items)
#define SHERD_DATABASE_COUNTERS(X) X(keys) X(expires) X(field_expires) X(average_ttl_ms)
#define SHERD_COMMAND_COUNTERS(X) X(calls) X(nanoseconds) X(rejected_calls) X(failed_calls)
// clang-format on

#define SHERD_DECLARE_COUNTER(name) Counter name;
struct alignas(64) WorkerCounters { SHERD_WORKER_COUNTERS(SHERD_DECLARE_COUNTER) };
struct alignas(64) ShardCounters { SHERD_SHARD_COUNTERS(SHERD_DECLARE_COUNTER) };
struct DatabaseCounters { SHERD_DATABASE_COUNTERS(SHERD_DECLARE_COUNTER) };
struct CommandCounters { SHERD_COMMAND_COUNTERS(SHERD_DECLARE_COUNTER) };
#undef SHERD_DECLARE_COUNTER

/// Threads beside the workers that enter shards: the runner for commands that take long, the one that writes
/// snapshots, the one that loads, the one that begins and ends the journal. Their numbers are those behind the last
/// worker's, in this order.
inline constexpr size_t kRunners = 4;

/// Places the four groups behind each other in one block of memory.
struct CounterLayout {
  size_t workers, shards, databases, commands;

  /// Threads that enter shards: the workers and the others behind them.
  size_t threads() const { return workers + kRunners; }
  size_t worker_offset() const { return 0; }
  size_t shard_offset() const { return threads() * sizeof(WorkerCounters); }
  size_t database_offset() const { return shard_offset() + shards * sizeof(ShardCounters); }
  size_t command_offset() const {
    return database_offset() + shards * databases * sizeof(DatabaseCounters);
  }
  size_t total_bytes() const { return command_offset() + threads() * commands * sizeof(CommandCounters); }
};

}  // namespace sherd::engine
