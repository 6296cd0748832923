// Worker: one I/O thread: its epoll set, its connections, and the batch of commands it is running.
//
// It has no thread of its own: a Node worker_thread enters RunUntil() where its libuv loop would go to
// sleep, and calls Cron() from a timer. The two loops are one inside the other: libuv's epoll descriptor is
// in the worker's set, and the worker waits for both. The other way round (libuv polls the worker's set) each
// turn costs a second epoll_wait, and each event two wake-up chains in the kernel.
//
// LIFE OF A BATCH. A read yields many pipelined commands. They are parsed ahead, a window at a time, and
// for each the key's hash is computed and its bucket prefetched; then the entries are prefetched; then
// the commands run in order. By the time a command looks its key up, both cache lines are on their way.
//
//   read -> [parse, hash, prefetch bucket] x window -> [prefetch entry] x window -> [run] x window -> write
//
// A command runs in place if the leases of its shards are free, else it is queued and its connection is
// parked (R2, R3).
//
// Thread: the worker's own, but for PostToControl... and what says otherwise.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/command_context.h"
#include "engine/handlers.h"
#include "engine/tracking.h"
#include "net/connection.h"
#include "net/server.h"
#include "net/turn_log.h"

namespace sherd::net {

/// One read takes at most this much; a connection with more to say is served again after the others.
inline constexpr size_t kReadBytes = 64 * 1024;
/// Replies of a batch are built in a block of this size; a batch with more goes on in blocks of its own.
inline constexpr size_t kScratchBytes = 64 * 1024;
/// Replies of up to this size wait for the end of the round, those of this many connections at most.
inline constexpr size_t kDeferredBytesMax = 4096;
inline constexpr size_t kDeferredMax = 32;

/// A command for the control plane (TypeScript), waiting for its reply.
struct ControlCall {
  uint64_t token;
  const CommandSpec* spec;
  std::vector<std::string> args;
  int resp;
  uint64_t client_id;
  int db;
};

/// Filter of CLIENT LIST and CLIENT KILL.
struct ClientFilter {
  std::vector<uint64_t> ids;
  std::string address, local_address, user, type;
  bool has_address = false, has_local_address = false, has_user = false, has_type = false;
  int64_t max_age_sec = -1;
  uint64_t skip_id = 0;
  uint64_t caller_id = 0;  // if it is killed too, it gets its reply first
  bool has_ids = false;
};

/// Commands that the worker itself knows by name.
struct SpecialCommands {
  CommandId client, debug, exec, unwatch, watch, reset, ping;
  std::array<CommandId, 4> immediate;   // what MULTI does not queue beside EXEC and DISCARD
  std::array<CommandId, 9> subscriber;  // what a RESP2 client that listens may call
};

class Worker final : public engine::WorkerPort {
 public:
  Worker(Server* server, engine::WorkerId index);
  virtual ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  engine::WorkerId index() const override { return index_; }
  engine::ThreadState& thread() { return thread_; }
  int64_t now_ms() const { return now_ms_; }
  /// Readable when RunOnce() has something to do.
  int epoll_fd() const { return epoll_fd_; }

  using ControlCallback = std::function<void(ControlCall&&)>;
  using LogCallback = std::function<void(const char* level, const std::string& text)>;
  /// `on_control` gets each control command, `on_log` each line for the log (level: debug, verbose,
  /// notice, warning); both on the worker's thread, from within RunOnce().
  void Start(ControlCallback on_control, LogCallback on_log = nullptr);
  /// Closes all connections and stops serving.
  void Stop();

  /// Serves whatever is ready, without waiting. Returns when nothing is left or its turn is over.
  void RunOnce();
  /// Serves, and waits for more, until the outer loop has something to do or `wait_ms` are over (0: only what
  /// is there now; -1: no end). The caller must come again before it sleeps.
  void RunUntil(int wait_ms);
  /// The descriptor that becomes readable when the loop around this one has something to do.
  void WatchOuterLoop(int fd);
  /// Timer duty, hz times a second: expiry, deferred frees, time-outs, output limits, left shards.
  void Cron();

  /// Accepts from a listener; the main thread adds and removes them.
  void AddListener(Listener* listener);
  void RemoveListener(Listener* listener);

  /// Serves bytes that did not come from a socket (`bench:scale`, an embedded engine): as if `input` had
  /// been read from `connection`, which the caller made (no descriptor, writable false) and whose output
  /// the caller takes. Returns the bytes consumed. Afterwards the connection may be parked: RunOnce()
  /// until it is active, then call again with the rest.
  size_t ServeBytes(Connection* connection, std::string_view input) {
    engine::SetThisThread(&thread_);
    RefreshClock();
    DrainInbox();
    return Serve(connection, input);
  }

  // ---- Control plane, worker's thread ----
  void AnswerControl(uint64_t token, std::string_view reply);
  std::string DescribeClients(const ClientFilter& filter);
  int KillClients(const ClientFilter& filter);

  // ---- Server, on this worker's thread ----
  /// Queues a line for the log; `level` is a literal.
  void Log(const char* level, std::string text) { log_lines_.emplace_back(level, std::move(text)); }
  /// Rings another worker at the end of this round: something was put into its inbox.
  void RingLater(engine::WorkerId worker) {
    if (bells_due_[worker] != 0) return;
    bells_due_[worker] = 1;
    bells_to_ring_.push_back(worker);
  }
  /// Messages to this worker: a request of its own with an outcome; one that must wait.
  void ComeHome(QueuedRequest* request);
  void NoteBlocked(QueuedRequest* request);
  /// CLIENT UNBLOCK for a client of this worker. kBusy: somebody is just looking whether it can be served,
  /// and may need this worker for it; to be asked again in a later turn.
  enum class Unblock : uint8_t { kWasNotBlocked, kUnblocked, kBusy };
  Unblock UnblockClient(uint64_t client_id, bool with_error);
  /// CLIENT PAUSE is over, or another one has begun.
  void LookAtPostponed() override { must_look_at_postponed_ = true; }

  // ---- engine::WorkerPort ----
  engine::Session* FindSession(uint64_t client_id) override;
  resp::OutputBuffer* OutputOf(engine::Session* session) override;
  void EndPush(engine::Session* session) override;
  char* TurnMemory(int resp, size_t size) override { return turn_logs_[resp == 3 ? 1 : 0].Take(size); }
  void PushTurnBytes(engine::Session* session, std::string_view bytes) override;
  /// Another worker has found that the clients hold too much memory, and that the largest are here.
  void EvictLater();
  void Drain() override { DrainInboxOnce(); }
  engine::WorkerTracking& tracking() override { return tracking_; }
  /// Whether replies wait here for the journal. Any thread; relaxed: read behind a fence that pairs with the
  /// one before this worker sleeps.
  bool holds_replies() const { return has_held_.load(std::memory_order_relaxed); }
  void PollLater(engine::ShardId shard) { shards_to_poll_.push_back(shard); }
  /// Fills what all commands of this worker share.
  void PrepareContext(engine::CommandContext* ctx);

 private:
  struct ParsedCommand {
    const CommandSpec* spec;
    uint32_t first_arg, arg_count;
    size_t end;             // offset behind the command in the input
    engine::Key key;        // the first key, where its place is simple
    bool has_key;
  };
  enum class Outcome : uint8_t { kDone, kParked, kPostponed, kClose };
  struct WindowEnd {
    Outcome outcome;
    size_t bytes;   // behind the last command run, when parked or cut
    bool is_cut;    // the rest of the window must be parsed again
  };

  // ---- Events (worker.cc) ----
  void BeginTurn();
  bool Round(int sleep_ms);
  void HandleEvents(const epoll_event* events, int count);
  void HandleFrame(engine::WorkerId from, const ring::Frame& frame);
  bool HasWork();
  void ServeLists();
  void DrainInbox();
  bool DrainInboxOnce();
  void ReleasePushes(Connection* connection);
  size_t PendingOutput(const Connection& connection) const;
  void ResumeAnswered();
  void SubmitPrepared();
  void FlushPushed();
  void RingBells();
  void DeliverControlReplies();
  void PollShards();
  void MarkReady(Connection* connection);
  void Resume(Connection* connection);
  Connection* FinishControl(uint64_t token, bool failed);

  // ---- Sockets (worker_io.cc) ----
  void Accept(Listener* listener);
  void ReadAhead(Connection* connection);
  void Adopt(int fd, Listener* listener);
  void Reject(int fd, std::string_view text);
  void ReadAndServe(Connection* connection);
  ssize_t ReadSome(Connection* connection, char* buffer, size_t size);
  bool ReadIntoInput(Connection* connection);
  void ServeInput(Connection* connection);
  void KeepInput(Connection* connection, std::string_view rest);
  bool StartLargeArgument(Connection* connection, std::string_view rest);
  void ReadLargeArgument(Connection* connection);
  void ServeLargeArgument(Connection* connection);
  void PauseAccepting(Listener* listener);
  void Flush(Connection* connection);
  void FlushAnswered();
  void SendSoon(Connection* connection);
  void SendDeferred();
  bool IsHeld(const Connection& connection) const;
  void Hold(Connection* connection);
  void FlushHeld();
  bool MayFlushHeld() const;
  void Close(Connection* connection);
  const engine::OutputLimit& OutputLimitOf(const Connection& connection) const;
  bool IsOverOutputLimit(Connection* connection);
  void CloseOverLimit(Connection* connection);
  bool CheckInputLimit(Connection* connection, size_t arrived = 0);
  void BorrowScratch(Connection* connection);
  void ReturnScratch(Connection* connection);

  // ---- Commands (worker_commands.cc) ----
  size_t Serve(Connection* connection, std::string_view input);
  size_t ParseWindow(Connection* connection, std::string_view input, resp::ParseStatus* status);
  void PrefetchEntries(const Connection& connection);
  WindowEnd RunWindow(Connection* connection);
  void RefuseProtocol(Connection* connection);
  Outcome RunParsed(Connection* connection, const ParsedCommand& command);
  void AddToWindow(const std::vector<std::string_view>& args, size_t end, int db);
  Outcome Dispatch(Connection* connection, const CommandSpec* spec, const engine::HandlerRow& row,
                   std::span<const std::string_view> args, const engine::Key* key);
  void SendError(Connection* connection, std::string_view text);
  void ShowToMonitors(Connection* connection, const CommandSpec* spec, std::span<const std::string_view> args);
  void Park(Connection* connection);
  bool IsLargeArgument(std::string_view arg) const;
  bool MayRunHere(engine::ShardId shard) const;
  Outcome RunOnShard(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                     std::span<const std::string_view> args, const engine::Key& key);
  Outcome RunOnKeys(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                    std::span<const std::string_view> args);
  Outcome RunOnSet(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                   std::span<const std::string_view> args);
  bool IsRefusedByDisk(const CommandSpec& spec, const engine::Session& session) const;
  bool Refuse(Connection* connection, const CommandSpec* spec, std::span<const std::string_view> args);
  void RefuseUnknown(Connection* connection, const CommandSpec* container,
                     std::span<const std::string_view> args);
  Outcome RunOnConnection(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                          std::span<const std::string_view> args);
  Outcome RunOnShards(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                      std::span<const std::string_view> args, engine::ShardId first_shard);
  bool RunsInMulti(const CommandSpec& spec) const;
  /// Ends the unit of the command that has just run, while its leases are held.
  void NoteUnit(Connection* connection, const CommandSpec& spec) {
    const uint64_t seq = engine::EndUnit(thread_);
    // A key that a reader has found expired is nothing that its reply speaks of.
    if (__builtin_expect(seq != 0, 0) && (spec.flags & kFlagReadonly) == 0) connection->written_seq = seq;
  }
  Outcome RunHere(Connection* connection, const CommandSpec* spec, engine::Handler handler,
               std::span<const std::string_view> args, std::span<const engine::Key> keys);
  void QueueInTransaction(Connection* connection, const CommandSpec* spec, const engine::HandlerRow& row,
                          std::span<const std::string_view> args, const engine::Key* key);
  Outcome RunTransactionCommand(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                                std::span<const std::string_view> args);
  void FinishTransaction(Connection* connection, const CommandSpec& spec);
  QueuedRequest* MakeRequest(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                             std::span<const std::string_view> args, std::span<const engine::Key> keys,
                             std::span<const shard::ShardId> shards);
  void Wait(Connection* connection, const CommandSpec* spec, engine::Handler handler,
            std::span<const std::string_view> args, std::span<const engine::Key> keys, bool skip_answer);
  void StopWaiting(Connection* connection, QueuedRequest* request);
  void CancelWaiting(Connection* connection);
  void FinishCancelled(Connection* connection);
  void WriteTimeoutReply(Connection* connection, QueuedRequest* request);
  void Dispose(QueuedRequest* request);
  void ForgetTransaction(Connection* connection);
  void Bury(Connection* connection);
  void ExpireWaiting();
  void ArmTimer();
  void Submit(QueuedRequest* request);
  void ResumeLater(Connection* connection);
  void CallNextControl(Connection* connection);
  void StartFilling(Connection* connection, QueuedRequest* request);
  void FillHole(Connection* connection, std::string&& answer);
  Outcome QueueForRunner(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                         std::span<const std::string_view> args, std::span<const engine::Key> keys,
                         std::span<const shard::ShardId> shards);
  Outcome Queue(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                std::span<const std::string_view> args, std::span<const engine::Key> keys,
                std::span<const shard::ShardId> shards);
  Outcome CallControl(Connection* connection, const CommandSpec* spec,
                      std::span<const std::string_view> args);
  bool TakeLease(engine::ShardId shard);
  bool BeginReply(Connection* connection);
  void EndReply(Connection* connection, bool is_covered);
  void EndCachingAfter(Connection* connection, const ParsedCommand& command);
  void EndCaching(engine::Session* session) {
    if ((session->tracking & engine::kTrackingCaching) != 0) engine::SetCaching(session, &tracking_, false);
  }

  // ---- Clients as a whole (worker_clients.cc) ----
  void Account(Connection* connection);
  void SetAccount(Connection* connection, size_t bytes, ClientMemory::Bucket bucket);
  void EvictClients();
  bool KeepsLimits(Connection* connection);
  void NotePeaks();
  void NotePeak(size_t input, size_t output);
  bool IsIdle(const Connection& connection, int64_t timeout_ms) const;
  void CheckConnections();
  Outcome Postpone(Connection* connection, bool awaits_snapshot = false);
  void PostponeRequest(QueuedRequest* request);
  void NotePostponed(Connection* connection);
  void NoteResumed(Connection* connection);
  void ForgetPostponed(Connection* connection);
  void ResumePostponed();

  // ---- Cron (worker_cron.cc) ----
  void RefreshClock();
  bool RunBackgroundSlice();
  bool ExpireSlice(int64_t deadline_ns);
  bool FreeSlice(int64_t deadline_ns);
  bool ExpireDatabase(engine::ShardId shard, int db, int64_t deadline_ns);
  void UpdateWorkerCounters();
  void UpdateShardCounters(engine::ShardId shard);

  Server* const server_;
  engine::Engine& engine_;
  const engine::WorkerId index_;
  engine::WorkerCounters& counters_;
  const SpecialCommands ids_;
  int epoll_fd_ = -1;
  bool is_running_ = false;
  bool is_in_turn_ = false;
  bool must_leave_ = false;  // the outer loop has something to do
  ControlCallback on_control_;
  LogCallback on_log_;
  std::vector<std::pair<const char*, std::string>> log_lines_;
  uint64_t text_version_ = ~uint64_t{0};      // of the engine's text options, as output_limits_ shows them

  engine::OutputLimit output_limits_[3];      // by ClientClass, as of this turn
  bool has_client_limits_ = false;            // something is to be looked at after each command (KeepsLimits)
  bool must_evict_ = false;                   // clients hold more than maxmemory-clients
  int64_t over_memory_logged_second_ = 0;
  struct BufferPeaks {
    size_t input = 0;
    size_t output = 0;
  };
  std::array<BufferPeaks, 8> peaks_;          // of the last seconds, by second
  std::vector<Listener*> paused_listeners_;   // out of descriptors when we last accepted
  std::vector<Connection*> connections_;
  std::vector<Connection*> ready_;            // to be served again this turn or the next
  std::vector<Connection*> ready_now_;        // scratch of ServeLists
  std::vector<Connection*> dead_;             // closed, freed at the end of the turn
  std::vector<Connection*> to_resume_;        // answered, to be served again
  std::vector<Connection*> to_flush_;         // have got messages
  TurnLog turn_logs_[2];                      // messages to many, by protocol, until FlushPushed
  std::vector<Connection*> to_close_;         // have got too many
  std::vector<Connection*> held_replies_;     // their output waits for the journal
  uint64_t held_seq_min_ = 0;                 // the first unit that one of them waits for
  std::atomic<bool> has_held_{false};
  // Messages to connections whose reply is not complete (Session::holds_pushes).
  std::unordered_map<const Connection*, resp::OutputBuffer> held_pushes_;
  std::vector<QueuedRequest*> prepared_;      // to be submitted, or run at home, when no command runs
  std::vector<Connection*> postponed_;        // by CLIENT PAUSE
  std::vector<QueuedRequest*> postponed_requests_;
  bool must_look_at_postponed_ = false;
  bool was_paused_ = false;  // some of them may wait for the end of a pause
  std::set<std::pair<int64_t, QueuedRequest*>> timeouts_;  // of waiting commands, by deadline
  int timer_fd_ = -1;
  int64_t timer_armed_ms_ = 0;
  std::vector<uint8_t> bells_due_;
  std::vector<engine::WorkerId> bells_to_ring_;
  engine::BlockRequest block_;                // of the command under way
  engine::ThreadState thread_;
  engine::WorkerTracking tracking_;
  std::vector<engine::ShardId> shards_to_poll_;

  // Control commands under way.
  uint64_t next_token_ = 1;
  struct PendingControl {
    uint64_t token;
    Connection* connection;
    const CommandSpec* spec;
    uint64_t started;       // CycleClock
    engine::MonitorLine monitor_line;  // to be shown when it is answered; null: nobody monitors
  };
  std::vector<PendingControl> pending_control_;
  std::vector<ControlCall> control_calls_;    // to be handed over at the end of the turn
  std::vector<std::pair<uint64_t, std::string>> control_replies_;

  // The batch under way.
  std::unique_ptr<char[]> read_buffer_;
  std::unique_ptr<char[]> scratch_;
  size_t scratch_used_ = 0;                 // its front, by the outputs of deferred_
  std::vector<Connection*> deferred_;       // have small replies to be sent at the end of the round
  std::vector<std::string_view> args_;
  std::vector<ParsedCommand> window_;
  std::vector<engine::Key> keys_;
  std::vector<shard::ShardId> shards_;
  std::vector<shard::ShardId> held_;
  std::vector<uint32_t> key_positions_;
  resp::OutputBuffer::Mark reply_mark_;
  engine::LargeString* large_argument_ = nullptr;  // of the command under way, ours until somebody takes it
  engine::AccessClock clock_;
  int64_t now_ms_ = 0;
  int64_t last_second_ = 0;
  int64_t counted_second_ = 0;
  uint64_t tick_ = 0;                         // CycleClock at the end of the last command
  size_t expire_shard_ = 0;                   // where the expiry cycle goes on
  int expire_db_ = 0;
  size_t expire_buckets_left_ = 0;            // this tick's share of the sweep
  bool has_deferred_frees_ = false;
};

/// The line of CLIENT LIST for one connection, without the line end.
void DescribeConnection(const Connection& connection, int64_t now_ms, std::string* line);
/// The same for the session of a connection, on its worker's thread (CLIENT INFO).
void DescribeSession(const engine::Session& session, std::string* line);

}  // namespace sherd::net
