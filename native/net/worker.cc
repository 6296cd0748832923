// Worker: the turn of the loop. See worker.h.
#include "net/worker.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

namespace sherd::net {

namespace {

// Events fetched at once; more are left for the next round of the same turn.
constexpr int kEventsMax = 128;
// Rounds of RunOnce, after which its caller gets its turn.
constexpr int kRoundsMax = 16;
// epoll_data carries a pointer; its low bits say to what.
constexpr uint64_t kTagMask = 7;
constexpr uint64_t kTagConnection = 0;
constexpr uint64_t kTagListener = 1;
constexpr uint64_t kTagBell = 2;
constexpr uint64_t kTagTimer = 3;
constexpr uint64_t kTagOuterLoop = 4;

SpecialCommands FindSpecialCommands() {
  const auto id = [](std::string_view name) { return FindCommand(name)->id; };
  return {id("client"), id("debug"), id("exec"), id("unwatch"), id("watch"), id("reset"), id("ping"),
          {id("multi"), id("watch"), id("quit"), id("reset")},
          {id("subscribe"), id("unsubscribe"), id("psubscribe"), id("punsubscribe"), id("ssubscribe"),
           id("sunsubscribe"), id("ping"), id("quit"), id("reset")}};
}

}  // namespace

Worker::Worker(Server* server, engine::WorkerId index)
    : server_(server),
      engine_(server->engine()),
      index_(index),
      counters_(server->engine().worker_counters(index)),
      ids_(FindSpecialCommands()),
      tracking_(&engine_.tracking, index, &counters_),
      read_buffer_(new char[kReadBytes]),
      scratch_(new char[kScratchBytes]) {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  CHECK(epoll_fd_ >= 0);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = kTagBell;
  CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, server->mesh().bell(index).fd(), &event) == 0);
  timer_fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  CHECK(timer_fd_ >= 0);
  event.data.u64 = kTagTimer;
  CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, timer_fd_, &event) == 0);
  bells_due_.resize(server->mesh().workers());
  thread_.post_office = server;
  thread_.port = this;
  thread_.counters = &counters_;
  thread_.worker = index;
  args_.reserve(256);
  window_.reserve(64);
  RefreshClock();
}

Worker::~Worker() {
  Stop();
  if (&engine::ThisThread() == &thread_) engine::SetThisThread(nullptr);  // tests go on without us
  close(timer_fd_);
  close(epoll_fd_);
}

void Worker::Start(ControlCallback on_control, LogCallback on_log) {
  on_control_ = std::move(on_control);
  on_log_ = std::move(on_log);
  is_running_ = true;
}

void Worker::Stop() {
  if (!is_running_) return;
  is_running_ = false;
  while (!connections_.empty()) Close(connections_.back());
  held_replies_.clear();
  for (Connection* connection : dead_) delete connection;
  dead_.clear();
  ready_.clear();
  // What has come home, or can still be undone here; requests still at a shard are the process's to forget.
  for (int round = 0; round < 4; round++) {
    DrainInbox();
    SubmitPrepared();
  }
  for (Connection* connection : dead_) delete connection;
  dead_.clear();
  for (const PendingControl& pending : pending_control_) delete pending.connection;
  pending_control_.clear();
}

void Worker::AddListener(Listener* listener) {
  epoll_event event{};
  // Exclusive: one waiting worker is woken for a new connection, not all of them.
  event.events = EPOLLIN | EPOLLEXCLUSIVE;
  event.data.u64 = reinterpret_cast<uint64_t>(listener) | kTagListener;
  CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, listener->fd, &event) == 0);
}

void Worker::RemoveListener(Listener* listener) {
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, listener->fd, nullptr);
}

// ---- The turn ----

void Worker::RunOnce() {
  if (!is_running_) return;
  BeginTurn();
  ring::Doorbell& bell = server_->mesh().bell(index_);
  for (int round = 0; round < kRoundsMax; round++) {
    if (Round(0)) continue;
    if (bell.PrepareToSleep([this] { return HasWork(); })) {
      is_in_turn_ = false;
      return;
    }
  }
  // Out of rounds with work left: our own bell brings us back after whoever called has had its turn.
  (void)bell.PrepareToSleep([] { return false; });
  bell.Ring();
  is_in_turn_ = false;
}

void Worker::RunUntil(int wait_ms) {
  if (!is_running_) return;
  BeginTurn();
  ring::Doorbell& bell = server_->mesh().bell(index_);
  const int64_t begin_ms = now_ms_;
  must_leave_ = false;
  int sleep_ms = 0;
  while (!must_leave_) {
    const bool has_more = Round(sleep_ms);
    bell.Awake();
    // The wall clock, which is at hand: when it is set, the stay is shorter or as long as the timer that
    // ends it, no more.
    const int64_t stayed_ms = now_ms_ - begin_ms;
    if (wait_ms >= 0 && (stayed_ms >= wait_ms || stayed_ms < 0)) break;
    sleep_ms = 0;
    if (has_more || must_leave_ || !bell.PrepareToSleep([this] { return HasWork(); })) continue;
    sleep_ms = wait_ms < 0 ? -1 : static_cast<int>(wait_ms - stayed_ms);
  }
  is_in_turn_ = false;
}

void Worker::WatchOuterLoop(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kTagOuterLoop;
  CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0);
}

void Worker::BeginTurn() {
  engine::SetThisThread(&thread_);
  is_in_turn_ = true;
  server_->mesh().bell(index_).Awake();
}

/// Waits for events for at most `sleep_ms` and serves what there is. True: there is more to do at once.
bool Worker::Round(int sleep_ms) {
  counters_.loop_iterations.Increment();
  epoll_event events[kEventsMax];
  const int count = epoll_wait(epoll_fd_, events, kEventsMax, sleep_ms);
  RefreshClock();
  // Before the events: what had happened before a client sent its command must reach it first.
  DrainInbox();
  if (count > 0) HandleEvents(events, count);
  server_->mesh().Drain(index_, [this](engine::WorkerId from, const ring::Frame& frame) {
    HandleFrame(from, frame);
  });
  ServeLists();
  const bool more_background = RunBackgroundSlice();
  server_->mesh().Flush(index_);
  RingBells();
  ArmTimer();
  return count == kEventsMax || more_background;
}

bool Worker::HasWork() {
  return !ready_.empty() || !to_resume_.empty() || !prepared_.empty() || !shards_to_poll_.empty() ||
         !control_replies_.empty() || MayFlushHeld() || !server_->inbox(index_).empty() || server_->mesh().HasWork(index_);
}

void Worker::HandleEvents(const epoll_event* events, int count) {
  for (int i = 0; i < count; i++) {
    const uint64_t data = events[i].data.u64;
    if ((data & kTagMask) == kTagListener) {
      Accept(reinterpret_cast<Listener*>(data & ~kTagMask));
      continue;
    }
    // Edge-triggered: rings, inbox and timeouts are looked at anyway.
    if ((data & kTagMask) == kTagBell) continue;
    if ((data & kTagMask) == kTagTimer) {
      timer_armed_ms_ = -1;
      continue;
    }
    if ((data & kTagMask) == kTagOuterLoop) {
      must_leave_ = true;
      continue;
    }
    Connection* connection = reinterpret_cast<Connection*>(data & ~kTagMask);
    static_assert(kTagConnection == 0);
    if (connection->state == ConnectionState::kClosing) continue;
    const uint32_t what = events[i].events;
    if ((what & EPOLLOUT) != 0 && !connection->writable) {
      connection->writable = true;
      Flush(connection);
    }
    if ((what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
      connection->readable = true;
      if ((what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) connection->has_hung_up = true;
      if (connection->state == ConnectionState::kActive) ReadAndServe(connection);
      // A parked connection is read when it is answered; but one that is gone should not wait so long, and
      // one that waits for a key may wait for ever: what it sends is kept, so that its end is seen.
      if (connection->state == ConnectionState::kParked) {
        if ((what & (EPOLLHUP | EPOLLERR)) != 0) {
          Close(connection);
        } else if (connection->blocked != nullptr || connection->is_postponed) {
          ReadAhead(connection);
        }
      }
    }
  }
  SendDeferred();
}

void Worker::HandleFrame(engine::WorkerId, const ring::Frame& frame) {
  switch (static_cast<FrameType>(frame.type())) {
    case FrameType::kSubmit:
      server_->leases().Submit(frame.pointer<shard::Request>(), index_);
      return;
    case FrameType::kPollShard:
      shards_to_poll_.push_back(static_cast<engine::ShardId>(frame.payload()));
      return;
    case FrameType::kConnection:
      Adopt(static_cast<int>(frame.payload()), frame.pointer<Listener>());
      return;
  }
  CHECK_MSG(false, "unknown frame type");
}

void Worker::MarkReady(Connection* connection) {
  if (connection->in_ready_list) return;
  connection->in_ready_list = true;
  ready_.push_back(connection);
}

void Worker::ServeLists() {
  PollShards();
  ExpireWaiting();
  if (__builtin_expect(!held_replies_.empty(), 0)) FlushHeld();
  DrainInbox();
  DeliverControlReplies();
  ResumePostponed();
  ResumeAnswered();
  SubmitPrepared();
  ready_now_.swap(ready_);
  for (Connection* connection : ready_now_) {
    connection->in_ready_list = false;
    if (connection->state == ConnectionState::kActive) {
      ReadAndServe(connection);
    } else if (connection->blocked != nullptr || connection->is_postponed) {
      ReadAhead(connection);
    }
  }
  SendDeferred();
  ready_now_.clear();
  // Control commands go to TypeScript last, when all sockets have been served. A handler may answer at
  // once, through AnswerControl.
  while (!control_calls_.empty()) {
    std::vector<ControlCall> calls;
    calls.swap(control_calls_);
    must_leave_ = true;  // JavaScript runs: it may have set timers
    for (ControlCall& call : calls) on_control_(std::move(call));
  }
  DrainInbox();
  tracking_.SendCollected(*this);
  FlushPushed();
  if (__builtin_expect(must_evict_, 0)) EvictClients();
  if (!log_lines_.empty()) must_leave_ = true;
  for (const auto& [level, text] : log_lines_) {
    if (on_log_ != nullptr) on_log_(level, text);
  }
  log_lines_.clear();
  std::erase_if(dead_, [this](Connection* connection) {
    if (connection->in_ready_list || connection->in_resume_list || connection->in_flush_list ||
        connection->in_held_list) {
      return false;  // a list still names it
    }
    Bury(connection);
    delete connection;
    return true;
  });
}

void Worker::PollShards() {
  if (shards_to_poll_.empty()) return;
  std::vector<engine::ShardId> shards;
  shards.swap(shards_to_poll_);
  for (engine::ShardId shard : shards) server_->leases().Poll(shard, index_);
}

/// Takes what other threads have for this worker. Never executes a command: safe between any two.
void Worker::DrainInbox() {
  while (DrainInboxOnce()) {
  }
}

/// The same with what is there now: bounded, whatever others send meanwhile. False: there was nothing.
bool Worker::DrainInboxOnce() {
  ring::Inbox& inbox = server_->inbox(index_);
  if (inbox.empty()) return false;
  ring::InboxNode* node = inbox.TakeAll();
  while (node != nullptr) {
    ring::InboxNode* next = node->next_in_inbox;
    static_cast<engine::Message*>(node)->Deliver(*this);
    node = next;
  }
  return true;
}

void Worker::ResumeAnswered() {
  std::vector<Connection*> connections;
  connections.swap(to_resume_);
  for (Connection* connection : connections) {
    connection->in_resume_list = false;
    if (connection->state == ConnectionState::kParked) Resume(connection);
  }
}

void Worker::RingBells() {
  if (__builtin_expect(thread_.effects.must_wake, 0)) {
    thread_.effects.must_wake = false;
    thread_.effects.sink()->Wake();
  }
  if (bells_to_ring_.empty()) return;
  ring::FullFence();  // one for all bells
  for (const engine::WorkerId worker : bells_to_ring_) {
    bells_due_[worker] = 0;
    server_->mesh().bell(worker).RingAfterFence();
  }
  bells_to_ring_.clear();
}

// ---- engine::WorkerPort ----

engine::Session* Worker::FindSession(uint64_t client_id) {
  Connection* connection = server_->FindConnection(client_id, index_);
  if (connection == nullptr || connection->state == ConnectionState::kClosing) return nullptr;
  return &connection->session;
}

resp::OutputBuffer* Worker::OutputOf(engine::Session* session) {
  // Sessions of connections are the first member of one.
  Connection* connection = reinterpret_cast<Connection*>(session);
  if (__builtin_expect(session->holds_pushes, 0)) return &held_pushes_[connection];
  return &connection->output;
}

/// The reply under way is complete: what came meanwhile goes behind it. Messages that a command sets off
/// are on their way before its answer, when another worker executes it, and Redis 7.2 sends them after it.
void Worker::ReleasePushes(Connection* connection) {
  if (__builtin_expect(!connection->session.holds_pushes, 1)) return;
  connection->session.holds_pushes = false;
  const auto found = held_pushes_.find(connection);
  if (found == held_pushes_.end()) return;
  if (connection->state != ConnectionState::kClosing) connection->output.AppendBuffer(found->second);
  held_pushes_.erase(found);
}

size_t Worker::PendingOutput(const Connection& connection) const {
  size_t pending = connection.output.size();
  if (__builtin_expect(connection.session.holds_pushes, 0)) {
    const auto found = held_pushes_.find(&connection);
    if (found != held_pushes_.end()) pending += found->second.size();
  }
  return pending;
}

void Worker::EndPush(engine::Session* session) {
  Connection* connection = reinterpret_cast<Connection*>(session);
  if (connection->state == ConnectionState::kClosing) return;
  if (!connection->in_flush_list) {
    connection->in_flush_list = true;
    to_flush_.push_back(connection);
  }
  if (!connection->is_over_limit && IsOverOutputLimit(connection)) {
    connection->is_over_limit = true;
    to_close_.push_back(connection);
  }
}

void Worker::PushTurnBytes(engine::Session* session, std::string_view bytes) {
  Connection* connection = reinterpret_cast<Connection*>(session);
  if (connection->state == ConnectionState::kClosing) return;
  if (session->holds_pushes || !connection->writable) {
    // It will not be sent this turn: copied at once.
    OutputOf(session)->Append(bytes);
  } else {
    connection->output.AppendBorrowed(bytes);
  }
  EndPush(session);
}

void Worker::FlushPushed() {
  std::vector<Connection*> connections;
  connections.swap(to_close_);
  for (Connection* connection : connections) {
    if (connection->state != ConnectionState::kClosing) CloseOverLimit(connection);
  }
  connections.clear();
  connections.swap(to_flush_);
  for (Connection* connection : connections) {
    connection->in_flush_list = false;
    Flush(connection);
    connection->output.OwnBorrowed();
  }
  // Nobody refers to them any more: whoever does stands in the list.
  for (TurnLog& log : turn_logs_) log.Clear();
}

void Worker::DeliverControlReplies() {
  while (!control_replies_.empty()) {
    std::vector<std::pair<uint64_t, std::string>> replies;
    replies.swap(control_replies_);
    for (auto& [token, reply] : replies) {
      Connection* connection = FinishControl(token, !reply.empty() && reply[0] == '-');
      if (connection == nullptr) continue;
      if (connection->filling != nullptr && connection->state != ConnectionState::kClosing) {
        FillHole(connection, std::move(reply));
        continue;
      }
      connection->waits_for_answer = false;
      if (connection->state == ConnectionState::kClosing) {
        dead_.push_back(connection);
        continue;
      }
      if (!connection->skip_answer) connection->output.Append(reply);
      connection->skip_answer = false;
      // A monitor sees its own command behind the reply and before the next one.
      DrainInbox();
      if (connection->state == ConnectionState::kParked) Resume(connection);
    }
  }
}

/// Takes a control command off the list of those under way and counts the call.
Connection* Worker::FinishControl(uint64_t token, bool failed) {
  for (PendingControl& pending : pending_control_) {
    if (pending.token != token) continue;
    Connection* connection = pending.connection;
    engine::CommandCounters& counters =
        engine_.command_counters(index_, static_cast<size_t>(pending.spec->id));
    counters.calls.Increment();
    counters.nanoseconds.Add(CycleClock::ToNs(CycleClock::Now() - pending.started));
    if (failed) counters.failed_calls.Increment();
    if (failed) counters_.error_replies.Increment();
    counters_.commands_processed.Increment();
    if (pending.monitor_line != nullptr) engine_.monitors.Post(pending.monitor_line);
    pending = pending_control_.back();
    pending_control_.pop_back();
    return connection;
  }
  return nullptr;
}

/// An answered connection goes on with what it had sent behind the command.
void Worker::Resume(Connection* connection) {
  connection->state = ConnectionState::kActive;
  connection->session.argument_bytes = 0;
  if (!connection->input.empty()) {
    ServeInput(connection);
  } else {
    Flush(connection);
  }
  if (connection->state == ConnectionState::kActive && connection->readable) MarkReady(connection);
}

void Worker::AnswerControl(uint64_t token, std::string_view reply) {
  control_replies_.emplace_back(token, std::string(reply));
  if (!is_in_turn_) server_->mesh().bell(index_).Ring();
}

void Worker::PrepareContext(engine::CommandContext* ctx) {
  ctx->now_ms = now_ms_;
  ctx->worker = index_;
  ctx->counters = &counters_;
  ctx->clock = clock_;
}

}  // namespace sherd::net
