// Server: the engine together with what moves commands between threads: leases, rings, workers,
// listeners. One per engine; created by the main thread before its workers start, destroyed after they
// have stopped.
//
// It is the Executor of the lease table: whoever completes a request's leases runs it here, and the
// answer goes to the worker whose connection sent it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "command_table/command_table.h"
#include "engine/engine.h"
#include "engine/handlers.h"
#include "engine/interests.h"
#include "engine/thread_state.h"
#include "engine/transaction.h"
#include "net/client_memory.h"
#include "ring/inbox.h"
#include "ring/mesh.h"
#include "shard/lease.h"

namespace sherd::net {

struct Connection;
class Worker;
class Runner;
class LeaseGuest;
class SnapshotAccess;

/// A command that waits at a shard, travels to another worker, or waits for a key (then it is the waiter).
/// Owns copies of its arguments: the connection's buffers are the worker's.
///
/// Life: made by the connection's worker, submitted, executed by whoever has its leases, and posted home
/// with its outcome. A command that must wait stays linked to its keys' shards instead; whoever makes a key
/// serves it and posts it home. Links that are left then are undone by submitting it once more. If it could
/// not be served for lack of shards it comes home claimed, and is submitted to all its shards (kRetry).
struct QueuedRequest final : shard::Request, engine::Waiter, engine::Message {
  /// What Execute is to do.
  enum class Phase : uint8_t { kCommand, kRetry, kUnlink, kUnwatch, kGuest };
  /// Why it comes home.
  enum class Outcome : uint8_t {
    kAnswered,   // the reply is there
    kCancelled,  // its worker asked for it while it was being served, in vain
    kWiden,      // it needs more shards: shard_list has been extended, submit again
    kPostponed,  // CLIENT PAUSE or a snapshot holds it back
    kGranted,    // it has all its leases and is to be run at home
    kUnlinked,   // nothing of it is left anywhere
  };

  void Deliver(engine::WorkerPort& port) override;

  Phase phase = Phase::kCommand;
  Outcome outcome = Outcome::kAnswered;
  engine::BlockRequest block;
  int64_t deadline_ms = 0;                    // of a waiting command; 0: none
  bool unblocked_with_error = false;          // CLIENT UNBLOCK … ERROR
  bool needs_more_shards = false;             // counted in Engine::gate while it waits
  engine::Transaction* transaction = nullptr;  // the connection's, for commands of transactions
  engine::Session* session = nullptr;          // when it runs on its origin only
  std::vector<std::unique_ptr<std::string>> rewritten;  // arguments replaced when it began to wait
  std::vector<engine::TransactionHole> holes;  // see CommandContext::transaction_holes
  std::unique_ptr<engine::WatchSet> watches;  // kUnwatch
  const CommandSpec* spec = nullptr;
  engine::Handler handler = nullptr;
  int db = 0;
  bool awaits_snapshot = false;    // who holds it back is not CLIENT PAUSE
  uint32_t snapshot_releases = 0;  // Engine's, when that was found
  int resp = 2;
  bool no_touch = false;
  engine::Tracker tracker = 0;  // see CommandContext
  uint64_t client_id = 0;
  Connection* connection = nullptr;
  std::string bytes;                    // arguments, back to back
  std::vector<std::string_view> args;   // views into bytes
  std::vector<engine::Key> keys;
  std::vector<shard::ShardId> shard_list;
  uint64_t written_seq = 0;             // its unit of effects, see Connection
  resp::OutputBuffer reply;
  engine::LargeString* large = nullptr;  // the last argument's block, if it has one of its own

  QueuedRequest() = default;
  ~QueuedRequest() {
    if (large != nullptr) large->Unref();
  }
  QueuedRequest(const QueuedRequest&) = delete;
  QueuedRequest& operator=(const QueuedRequest&) = delete;
};

/// Tells a shard's owner that it was left with work queued, from a thread without rings.
class PollNotice final : public engine::Message {
 public:
  explicit PollNotice(engine::ShardId shard) : shard_(shard) {}
  void Deliver(engine::WorkerPort& port) override;

 private:
  engine::ShardId shard_;
};

/// Tells a connection's worker that its request, executed elsewhere, must wait.
class BlockedNotice final : public engine::Message {
 public:
  explicit BlockedNotice(QueuedRequest* request) : request_(request) {}
  void Deliver(engine::WorkerPort& port) override;

 private:
  QueuedRequest* request_;
};

/// Frames between workers (ring::Frame types).
enum class FrameType : uint8_t {
  kSubmit = 1,      // word1: QueuedRequest* for a shard that the target owns
  kPollShard = 3,   // payload: shard left with work queued
  kConnection = 4,  // payload: accepted descriptor; word1: Listener*
};

/// A bound socket that all I/O workers accept from.
struct Listener {
  int fd = -1;
  bool is_unix = false;
  int port = 0;
  std::string path;  // unix socket path
};

class Server final : public shard::Executor, public engine::PostOffice {
 public:
  Server(const engine::EngineConfig& config, const engine::HandlerTable* handlers);
  ~Server();

  engine::Engine& engine() { return engine_; }
  shard::LeaseTable& leases() { return leases_; }
  ring::Mesh& mesh() { return mesh_; }
  Worker& worker(engine::WorkerId index) { return *workers_[index]; }
  Runner& runner() { return *runner_; }
  /// Threads of persistence and how they get into shards; by number.
  LeaseGuest& guest(engine::WorkerId id) { return *guests_[id - static_cast<size_t>(engine_.config().workers) - 1]; }
  LeaseGuest& saver() { return *guests_[0]; }
  LeaseGuest& loader() { return *guests_[1]; }
  LeaseGuest& journaler() { return *guests_[2]; }
  /// What a thread that writes a snapshot needs of this server.
  SnapshotAccess& snapshot_access() { return *snapshot_access_; }
  /// Fills what all commands that run on a thread beside the workers share.
  void PrepareGuestContext(engine::WorkerId id, engine::CommandContext* ctx);
  /// The journal, once there is one (persistence/journal.h): before workers start, and for good.
  void SetJournal(std::unique_ptr<engine::UnitSink> journal) { journal_ = std::move(journal); }
  engine::UnitSink* journal() { return journal_.get(); }
  /// Units have been acknowledged: wakes the workers that hold replies back. The journal's thread.
  void WakeHolders();
  const engine::HandlerTable& handlers() const { return *handlers_; }
  ClientMemory& client_memory() { return client_memory_; }

  // ---- Listeners (main thread) ----

  struct ListenResult {
    int port = 0;
    int error = 0;               // errno, 0 when bound
    const char* failed = "bind";  // the call that failed: getaddrinfo, socket, bind, listen
  };
  ListenResult ListenTcp(const std::string& address, int port, int backlog);
  ListenResult ListenUnix(const std::string& path, int permissions, int backlog);
  void CloseListeners();

  /// The worker with the fewest connections; counts one more for it. Any worker.
  engine::WorkerId AssignConnection();
  void UnassignConnection(engine::WorkerId worker);

  // ---- shard::Executor ----

  void Execute(shard::Request* request, shard::WorkerId self) override;
  void Grant(shard::Request* request, shard::WorkerId self) override;
  void RingOwner(shard::ShardId shard, shard::WorkerId self) override;

  // ---- engine::PostOffice (any thread with a ThreadState) ----

  void Post(engine::WorkerId to, engine::Message* message) override;
  bool Holds(engine::ShardId shard) override;
  bool FindClient(uint64_t client_id, engine::WorkerId* worker) override;
  ring::Inbox& inbox(engine::WorkerId worker) { return inboxes_[worker]; }

  // ---- Who is connected (any thread) ----

  void AddClient(uint64_t client_id, engine::WorkerId worker, Connection* connection);
  void RemoveClient(uint64_t client_id);
  /// The connection, if it is one of `worker`'s: for that worker's own thread.
  Connection* FindConnection(uint64_t client_id, engine::WorkerId worker);

  // ---- Commands that wait; server_blocking.cc. The calling thread holds the leases concerned. ----

  /// Links a command that must wait to the keys it waits for.
  void RegisterWaiter(QueuedRequest* request);
  /// Serves those who wait for keys that the command that just ran has changed. To be called before its
  /// leases are given up.
  void ServeReady(engine::ThreadState& thread) {
    if (__builtin_expect(!thread.ready_keys.empty(), 0)) ServeReadyKeys(thread);
  }

  // ---- The gate (Engine::gate), leases held ----

  enum class Verdict : uint8_t { kRun, kPostpone, kAwaitSnapshot, kWiden };
  /// Whether a command may run now with the shards it has. kPostpone: CLIENT PAUSE holds it back. kWiden: `*shards` has been extended by those
  /// that it needs too.
  Verdict CheckGate(const CommandSpec& spec, const engine::Transaction* transaction, int db,
                    std::span<const engine::Key> keys, size_t arg_count,
                    std::vector<shard::ShardId>* shards);
  /// The same for a command with one key, at once: true if it may run with the key's shard. False: ask
  /// CheckGate.
  bool PassesGate(const CommandSpec& spec, int db, const engine::Key& key) {
    const uint32_t gate = engine_.gate.load(std::memory_order_relaxed);
    if (__builtin_expect(gate == 0, 1)) return true;
    if ((gate & engine::kGatePause) != 0) return false;
    if ((spec.flags & kFlagWrite) == 0) return true;
    if ((gate & engine::kGateSnapshot) != 0 && IsHeldBySnapshot(db, key)) return false;
    return (gate & ~engine::kGateSnapshot) == 0 || !engine_.keyspace(key.shard).has_interests();
  }
  /// Whether CLIENT PAUSE holds a command back.
  bool IsPaused(const CommandSpec& spec, const engine::Transaction* transaction) const;

  /// Whether a command takes so long that it belongs on the runner. The leases of its shards are held.
  bool IsForRunner(const CommandSpec& spec, std::span<const std::string_view> args,
                   std::span<const engine::Key> keys, int db);

 private:
  /// Whether a key's value is big and a snapshot has not saved it yet: commands that would change it are held
  /// back meanwhile. The lease of its shard is held.
  bool IsHeldBySnapshot(int db, const engine::Key& key) {
    engine::Keyspace& space = engine_.keyspace(key.shard);
    if (space.snapshot() == nullptr) return false;
    const engine::Handle handle = space.Find(db, key);
    return handle && space.IsHeld(*handle.entry());
  }
  bool AwaitsSnapshot(const CommandSpec& spec, const engine::Transaction* transaction, int db,
                      std::span<const engine::Key> keys);
  void ServeReadyKeys(engine::ThreadState& thread);
  void ServeKey(const engine::ReadyKey& ready, engine::WorkerId self);
  void Serve(QueuedRequest* request, engine::WorkerId self);
  void ExecuteRetry(QueuedRequest* request, engine::WorkerId self);
  void SendCancelled(QueuedRequest* request);
  bool HoldsAll(const QueuedRequest& request);
  void UnlinkHeld(QueuedRequest* request);
  void CollectWaiterShards(const engine::Key& key, size_t waiters_max, std::vector<engine::Key>* reached,
                           std::vector<shard::ShardId>* shards);
  void Reach(const engine::Key& key, std::vector<engine::Key>* reached, std::vector<shard::ShardId>* shards);
  void ExecuteCommand(QueuedRequest* request, engine::WorkerId self);
  void ExecuteCleanup(QueuedRequest* request);
  void NoteUnit(QueuedRequest* request);
  void FillContext(QueuedRequest* request, engine::CommandContext* ctx, engine::WorkerId self);
  ListenResult AddListener(std::unique_ptr<Listener> listener);

  engine::Engine engine_;
  ClientMemory client_memory_;
  const engine::HandlerTable* handlers_;
  const uint8_t list_group_;  // CommandSpec::group of commands on lists
  shard::LeaseTable leases_;
  ring::Mesh mesh_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Runner> runner_;
  std::vector<std::unique_ptr<LeaseGuest>> guests_;
  std::unique_ptr<SnapshotAccess> snapshot_access_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unique_ptr<engine::UnitSink> journal_;
  std::unique_ptr<std::atomic<int>[]> connection_counts_;
  std::unique_ptr<ring::Inbox[]> inboxes_;

  // Clients by number, in stripes so that workers seldom meet.
  struct Location {
    engine::WorkerId worker;
    Connection* connection;
  };
  struct alignas(64) Stripe {
    std::mutex mutex;
    std::unordered_map<uint64_t, Location> clients;
  };
  static constexpr size_t kStripes = 64;
  Stripe& StripeOf(uint64_t client_id) { return stripes_[client_id % kStripes]; }
  std::unique_ptr<Stripe[]> stripes_;
};

}  // namespace sherd::net
