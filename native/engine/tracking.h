// Tracking: client-side caching (CLIENT TRACKING). Clients are told that what they have read has changed.
//
// DEFAULT MODE. Each shard knows which clients may hold which of its keys (tracking_table.h). A command that
// reads enters its keys before its leases are given up; a command that changes a key takes it out and posts
// an invalidation to the workers of those clients, before its leases are given up.
//
// BCAST. A client names prefixes and is told of every change below them, whether it has read the key or not.
// Which worker has clients for which prefix is known to all (TrackingHub); a change is posted to those
// workers. Each collects what it hears for the rest of its turn and then sends every client one message a
// prefix, its keys in order, as Redis does.
//
//                     shard's lease held                                its client's worker
//   GET k   ------->  TrackingTable: k -> client                         reply
//   SET k   ------->  TrackingTable: k taken out  --- Invalidation --->  Session: push, or on to REDIRECT
//                     prefixes that k begins with --- Broadcast ------>  WorkerTracking: push at end of turn
//
// NEVER A STALE CACHE. Why no client keeps a value that has changed for ever:
//   1. a value is read and its key entered under one lease, so a later writer finds the client entered;
//   2. the reply with the old value is in the client's output, or in its worker's inbox, before that lease
//      is given up, and the writer posts the invalidation afterwards: inboxes keep that order, so the client
//      gets the old value first and the invalidation last;
//   3. whether a client still tracks is looked at when the message arrives, by the client's own worker.
// An invalidation may come later than it could, or for a value that is new already: that costs a read.
//
// The own client's invalidation comes behind the reply of the command that set it off, as in Redis 7.2: its
// worker holds messages back while a command is under way elsewhere (Session::holds_pushes).
//
// Thread: said with each function. Locks: TrackingHub's is taken under leases and guards few words.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/counters.h"
#include "engine/tracking_table.h"

namespace sherd::engine {

class CommandContext;
class Engine;
class Keyspace;
class WorkerPort;
struct Key;
struct Session;
using WorkerId = uint16_t;

// ---- What all workers share ----

/// Who tracks, by worker. Any thread.
class TrackingHub {
 public:
  /// `prefix_count`: where the number of prefixes is shown; written under our lock.
  TrackingHub(size_t workers, Counter* prefix_count);

  /// Whether any client is in BCAST mode. relaxed: a client's registration happened before its next read,
  /// and whoever then changes what it has read took a lease after that.
  bool has_broadcasts() const { return has_broadcasts_.load(std::memory_order_relaxed); }

  /// A client of `worker` begins or ends to track.
  void AddClient(WorkerId worker) { clients_[worker].fetch_add(1, std::memory_order_relaxed); }
  void RemoveClient(WorkerId worker) { clients_[worker].fetch_sub(1, std::memory_order_relaxed); }
  bool has_clients(WorkerId worker) const { return clients_[worker].load(std::memory_order_relaxed) > 0; }

  /// `worker` has its first client for a prefix, or none any more.
  void AddPrefix(std::string_view prefix, WorkerId worker);
  void RemovePrefix(std::string_view prefix, WorkerId worker);

  /// Replaces `*targets` by the workers that must hear of a change of `name`, ascending. The prefixes are
  /// looked up in the calling thread's copy, which is renewed when they have changed.
  void FindTargets(std::string_view name, std::vector<WorkerId>* targets);

  /// Keys in the tables of all shards, but for a few (TrackingTable::Publish).
  std::atomic<int64_t> keys{0};

 private:
  struct Route {
    std::string prefix;
    std::vector<WorkerId> workers;
  };
  struct Routes {
    uint64_t version = 0;
    std::vector<Route> routes;
  };
  void Changed();

  std::atomic<bool> has_broadcasts_{false};
  std::atomic<uint64_t> version_;  // of prefixes_; no two hubs of a process share one
  std::unique_ptr<std::atomic<int64_t>[]> clients_;
  Counter* const prefix_count_;
  std::mutex mutex_;  // guards prefixes_ and *prefix_count_
  std::map<std::string, std::set<WorkerId>, std::less<>> prefixes_;
};

// ---- What a worker knows of its own clients ----

/// The tracking clients of one worker and what is to be broadcast to them. Worker's thread. Clients are
/// named by number, so that one that has gone is merely not found.
class WorkerTracking {
 public:
  WorkerTracking(TrackingHub* hub, WorkerId worker, WorkerCounters* counters)
      : hub_(hub), worker_(worker), counters_(counters) {}

  WorkerId worker() const { return worker_; }
  void AddClient(uint64_t client_id);
  void RemoveClient(uint64_t client_id);
  const std::set<uint64_t>& clients() const { return clients_; }
  void AddPrefix(std::string_view prefix, uint64_t client_id);
  void RemovePrefix(std::string_view prefix, uint64_t client_id);

  /// A key has changed; `writer_id` (0: the server) has done it.
  void Collect(std::string_view name, uint64_t writer_id);
  bool has_collected() const { return has_collected_; }
  /// Sends what was collected; at the end of a turn.
  void SendCollected(WorkerPort& port);

 private:
  struct Prefix {
    std::vector<uint64_t> clients;
    std::map<std::string, uint64_t> keys;  // collected, with their last writers
  };
  static bool AppendKeys(const Prefix& prefix, uint64_t but_of, std::string* array);

  TrackingHub* const hub_;
  const WorkerId worker_;
  WorkerCounters* const counters_;
  std::set<uint64_t> clients_;
  std::map<std::string, Prefix, std::less<>> prefixes_;
  bool has_collected_ = false;
};

// ---- Sessions: the connection's worker ----

struct TrackingOptions {
  uint8_t flags = 0;  // of TrackingFlag: kTrackingBcast, kTrackingOptIn, kTrackingOptOut, kTrackingNoLoop
  uint64_t redirect_id = 0;
  std::vector<std::string_view> prefixes;  // kTrackingBcast; none: all keys
};

/// Switches tracking on, or changes its options; which may be combined is the caller's to check. Prefixes
/// are added to those that the client has. `worker`: what the session's worker knows; null in tests of
/// single handlers, which have none.
void StartTracking(Session* session, WorkerTracking* worker, const TrackingOptions& options);
/// Switches it off; also when the connection closes or is reset. Does nothing when it is off.
void StopTracking(Session* session, WorkerTracking* worker);
/// CLIENT CACHING has been given for the next command, or that command has run.
void SetCaching(Session* session, WorkerTracking* worker, bool is_given);

// ---- Commands: the leases of their shards are held ----

/// Enters the keys of a command that has read them, for ctx.tracker.
void RememberKeys(CommandContext& ctx);
/// Tells everybody who tracks a key that it has changed. `client_id`: who did it, 0 for the server.
void InvalidateKey(Engine& engine, Keyspace& space, const Key& key, uint64_t client_id);
/// The same for all keys: the tables are emptied, every tracking client gets a null. All shards are held.
void InvalidateAll(Engine& engine);
/// Keeps to tracking-table-max-keys: while there are too many keys, this shard's are dropped at random, some
/// at a time, and their clients are told.
void LimitTracking(Engine& engine, Keyspace& space);

}  // namespace sherd::engine
