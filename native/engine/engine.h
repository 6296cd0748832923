// Engine: everything that the shards of one server have in common: options, keyspaces, counters, and the
// hooks through which later layers listen (keyspace events, propagation).
//
// It holds no locks. Keyspaces are entered under their lease only; the rest is constant after creation
// or atomic. Created and destroyed by the main thread, while no worker runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/crc16.h"
#include "engine/counters.h"
#include "engine/effects.h"
#include "engine/key_events.h"
#include "engine/keyspace.h"
#include "engine/monitor.h"
#include "engine/options.h"
#include "engine/pubsub.h"
#include "engine/snapshot_journal.h"
#include "engine/tracking.h"

namespace sherd::engine {

class SnapshotJournal;
using WorkerId = uint16_t;

/// Listens to effects of writes, in the form they are to be replayed (R9). Called under the leases of
/// all shards concerned, once per effect, before the leases are let go.
class PropagationSink {
 public:
  virtual void OnEffect(int db, std::span<const std::string_view> args) = 0;

 protected:
  ~PropagationSink() = default;
};

inline constexpr uint32_t kGatePauseWrites = 1;
inline constexpr uint32_t kGatePauseAll = 2;
inline constexpr uint32_t kGatePause = kGatePauseWrites | kGatePauseAll;
inline constexpr uint32_t kGateWaiter = 4;
inline constexpr uint32_t kGateSnapshot = uint32_t{1} << 31;

/// Limits of one client class (client-output-buffer-limit): bytes, bytes, seconds; 0 is no limit.
struct OutputLimit {
  int64_t hard_bytes = 0;
  int64_t soft_bytes = 0;
  int64_t soft_seconds = 0;
};
enum class ClientClass : uint8_t { kNormal = 0, kReplica = 1, kPubsub = 2 };

struct EngineConfig {
  int workers = 1;
  int shards = 1;  // power of two
  int databases = 16;
  bool in_place = true;
  char run_id[41] = {};
  std::byte* counter_memory = nullptr;  // CounterLayout::total_bytes(), zeroed, outlives the engine
};

class Engine {
 public:
  explicit Engine(const EngineConfig& config);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const EngineConfig& config() const { return config_; }
  int shard_count() const { return config_.shards; }
  int database_count() const { return config_.databases; }
  Keyspace& keyspace(ShardId shard) { return *keyspaces_[shard]; }

  /// Contiguous slot ranges, so that a shard's slots are one range for the cluster.
  ShardId ShardOfSlot(uint16_t slot) const { return static_cast<ShardId>(slot >> slot_shift_); }
  Key MakeKey(std::string_view name) const {
    const uint16_t slot = KeySlot(name);
    return {name, HashKey(name), slot, ShardOfSlot(slot)};
  }
  /// The worker whose timers care for a shard.
  WorkerId OwnerOf(ShardId shard) const { return static_cast<WorkerId>(shard % config_.workers); }

  Options& options() { return options_; }
  const Options& options() const { return options_; }

  const CounterLayout& layout() const { return layout_; }
  WorkerCounters& worker_counters(WorkerId worker);
  CommandCounters& command_counters(WorkerId worker, size_t command);
  ShardCounters& shard_counters(ShardId shard);
  DatabaseCounters& database_counters(ShardId shard, int db);
  /// Zeroes what CONFIG RESETSTAT resets. Any thread; a concurrent increment may survive.
  void ResetStatistics();

  // ---- Text options (any thread; copied under a lock, versioned so that readers can cache) ----
  void SetPassword(std::string_view password);
  /// Constant-time comparison. An empty stored password matches nothing.
  bool PasswordMatches(std::string_view password) const;
  bool has_password() const { return has_password_.load(std::memory_order_acquire); }
  /// "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60". False: malformed.
  bool SetOutputLimits(std::string_view text);
  OutputLimit output_limit(ClientClass client_class) const;
  /// Changes with every text option, so that threads can keep copies. acquire: pairs with the release
  /// of the setters.
  uint64_t text_version() const { return text_version_.load(std::memory_order_acquire); }

  // ---- Switches of DEBUG ----
  std::atomic<bool> active_expire{true};   // DEBUG SET-ACTIVE-EXPIRE
  std::atomic<bool> cron_paused{false};    // DEBUG PAUSE-CRON

  /// What a new entry's 24-bit clock starts with (seconds, or minutes and LFU counter). A hint that may
  /// be a moment old: relaxed.
  std::atomic<uint32_t> initial_clock{0};

  /// Who listens to channels. Any thread; see there.
  PubSub& pubsub() { return pubsub_; }
  /// notify-keyspace-events has changed.
  void ApplyNotifyFlags();

  // ---- Hooks; null while nobody listens, so that they cost one predicted branch ----
  std::atomic<EventSink*> event_sink{nullptr};
  std::atomic<PropagationSink*> propagation_sink{nullptr};

  // ---- Persistence ----

  /// The dataset is being read: commands that need it are refused, nothing expires. relaxed: who sees it late
  /// meets a shard whose lease the loader holds.
  std::atomic<bool> is_loading{false};
  /// What the journal has on disk, and whether it can write at all.
  Durability durability;
  /// While set, commands that write (and PING) are refused with write_refusal(), "MISCONF …". Any thread.
  void RefuseWrites(std::string_view error);
  bool refuses_writes() const { return refuses_writes_.load(std::memory_order_acquire); }
  std::string write_refusal() const;
  /// Function libraries as they stood in the file that was loaded, for the next one: opaque until there is an
  /// interpreter. All leases held.
  std::vector<std::string> function_libraries;

  /// Snapshots that were cancelled or failed since the last one that was finished. The saver's.
  int unfinished_snapshots = 0;
  /// The journal, for snapshots to cut; null while there is none.
  std::atomic<SnapshotJournal*> snapshot_journal{nullptr};

  // ---- The gate: what a command must look at, once it holds its leases and before it runs ----

  /// Zero nearly always. Bits 0 and 1: CLIENT PAUSE (kGatePauseWrites, kGatePauseAll), changed under all
  /// leases, so that whoever takes a lease afterwards sees it. Above, in steps of kGateWaiter: waiters that
  /// need more shards than the key they wait for (BLMOVE), changed under the leases of that key. Top bit: a
  /// snapshot runs, and commands that would change a big value that it has not saved yet are held back; set
  /// under all leases.
  std::atomic<uint32_t> gate{0};
  /// How many times a snapshot has let go what it held back; counted before workers are told.
  std::atomic<uint32_t> snapshot_releases{0};
  /// When the pause ends, unix ms. Changed like the bits.
  std::atomic<int64_t> pause_until_ms{0};
  /// Whether CLIENT PAUSE holds anything back; where the clock is read, a command's or a turn's now.
  bool IsPaused(int64_t now_ms) const {
    return (gate.load(std::memory_order_relaxed) & kGatePause) != 0 &&
           pause_until_ms.load(std::memory_order_relaxed) > now_ms;
  }
  /// Whether a snapshot may hold commands back.
  bool HoldsForSnapshot() const { return (gate.load(std::memory_order_relaxed) & kGateSnapshot) != 0; }
  /// CLIENT PAUSE. As long as one goes on, another makes it longer or stricter, never less. All leases are
  /// held.
  void Pause(int64_t until_ms, bool holds_all, int64_t now_ms);
  /// CLIENT UNPAUSE. Any thread; workers must then look at what they hold back.
  void Unpause();
  /// Takes the bits of a pause off whose time is over. Any thread.
  void EndPause(int64_t now_ms);

  /// Who sees every command. Its count stands beside the gate: every command looks at both.
  Monitors monitors;

  /// Who has CLIENT TRACKING on.
  TrackingHub tracking;
  /// Whether anybody wants to know that a key of `space` has changed.
  bool HasListeners(const Keyspace& space) const { return space.has_interests() || tracking.has_broadcasts(); }

  /// Connected clients of all workers, for maxclients: exact, taken before a client is accepted.
  std::atomic<int64_t> connected_clients{0};
  uint64_t NextClientId() { return next_client_id_.fetch_add(1, std::memory_order_relaxed); }
  int64_t start_time_ms() const { return start_time_ms_; }

 private:
  EngineConfig config_;
  int slot_shift_ = 14;
  CounterLayout layout_;
  Options options_;
  std::vector<std::unique_ptr<Keyspace>> keyspaces_;
  PubSub pubsub_;
  KeyEvents key_events_;
  std::atomic<uint64_t> next_client_id_{1};
  int64_t start_time_ms_ = 0;
  std::mutex pause_mutex_;         // orders those who begin and end pauses; readers look at atomics
  mutable std::mutex text_mutex_;  // guards the two below; taken at AUTH and CONFIG SET only
  std::string password_;
  OutputLimit output_limits_[3];
  std::atomic<bool> has_password_{false};
  std::string write_refusal_;  // guarded by text_mutex_
  std::atomic<bool> refuses_writes_{false};
  std::atomic<uint64_t> text_version_{0};
};

}  // namespace sherd::engine
