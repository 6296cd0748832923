// Worker: commands that do not end where they began: requests that wait at shards, commands that wait for
// keys or for the time, commands held back by CLIENT PAUSE, and transactions with their parts.
//
// See server.h for the life of a request. What comes home is delivered by DrainInbox, which may be in the
// middle of a batch: so here replies are appended and lists are filled, and whatever executes commands or
// touches leases (prepared_, to_resume_) has its turn in ServeLists.
#include <sys/timerfd.h>

#include <algorithm>

#include "base/clock.h"
#include "net/runner.h"
#include "net/worker.h"

namespace sherd::net {

// ---- Making requests ----

QueuedRequest* Worker::MakeRequest(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                                   std::span<const std::string_view> args,
                                   std::span<const engine::Key> keys,
                                   std::span<const shard::ShardId> shards) {
  QueuedRequest* request = new QueuedRequest();
  connection->session.argument_bytes = 0;
  for (const std::string_view arg : args) connection->session.argument_bytes += arg.size();
  request->spec = spec;
  request->handler = handler;
  request->db = connection->session.db;
  request->resp = connection->session.resp;
  request->no_touch = connection->session.no_touch;
  request->tracker = connection->session.tracker;
  request->client_id = connection->session.id;
  request->transaction = connection->session.transaction.get();
  request->connection = connection;
  request->origin = index_;
  size_t total = 0;
  for (std::string_view arg : args) total += IsLargeArgument(arg) ? 0 : arg.size();
  request->bytes.reserve(total);
  request->args.reserve(args.size());
  for (std::string_view arg : args) {
    if (IsLargeArgument(arg)) {
      request->args.push_back(arg);
      continue;
    }
    const size_t start = request->bytes.size();
    request->bytes.append(arg);
    request->args.emplace_back(request->bytes.data() + start, arg.size());
  }
  request->keys.assign(keys.begin(), keys.end());
  size_t index = 0;
  for (engine::Key& key : request->keys) {
    // Point the key's name at our copy of the argument it came from. Keys come in the order of the
    // arguments, as a rule: so the search goes on where the last one was found, and round once.
    for (size_t looked_at = 0;; looked_at++) {
      CHECK(looked_at < args.size());
      index = index + 1 == args.size() ? 0 : index + 1;
      if (args[index].data() == key.name.data() && args[index].size() == key.name.size()) break;
    }
    key.name = request->args[index];
  }
  request->large = large_argument_;
  large_argument_ = nullptr;
  request->shard_list.assign(shards.begin(), shards.end());
  return request;
}

Worker::Outcome Worker::Queue(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                              std::span<const std::string_view> args, std::span<const engine::Key> keys,
                              std::span<const shard::ShardId> shards) {
  QueuedRequest* request = MakeRequest(connection, spec, handler, args, keys, shards);
  Park(connection);
  connection->session.holds_pushes = true;
  counters_.commands_queued.Increment();
  Submit(request);
  return Outcome::kParked;
}

/// A long command: parked here, run beside the loop.
Worker::Outcome Worker::QueueForRunner(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                                       std::span<const std::string_view> args,
                                       std::span<const engine::Key> keys,
                                       std::span<const shard::ShardId> shards) {
  QueuedRequest* request = MakeRequest(connection, spec, handler, args, keys, shards);
  request->shards = request->shard_list.data();
  request->shard_count = static_cast<uint16_t>(request->shard_list.size());
  request->runs_on = server_->runner().id();
  Park(connection);
  connection->session.holds_pushes = true;
  counters_.commands_long.Increment();
  server_->runner().Run(request);
  return Outcome::kParked;
}

/// Hands a request to the shards of its list, or runs it here if it needs none.
void Worker::Submit(QueuedRequest* request) {
  if (request->phase == QueuedRequest::Phase::kCommand) request->connection->is_away = true;
  if (request->shard_list.empty()) return server_->Execute(request, index_);
  request->shards = request->shard_list.data();
  request->shard_count = static_cast<uint16_t>(request->shard_list.size());
  const engine::WorkerId owner = engine_.OwnerOf(request->shard_list[0]);
  if (engine_.config().in_place || owner == index_) {
    server_->leases().Submit(request, index_);
  } else {
    server_->mesh().Send(index_, owner, ring::Frame::Of(static_cast<uint8_t>(FrameType::kSubmit), 0,
                                                        static_cast<shard::Request*>(request)));
  }
}

/// Whether an argument lies in the block that goes along with the request.
bool Worker::IsLargeArgument(std::string_view arg) const {
  return large_argument_ != nullptr && arg.data() == large_argument_->data();
}

void Worker::Park(Connection* connection) {
  engine::Session& session = connection->session;
  connection->skip_answer = session.reply_mode != engine::ReplyMode::kOn;
  if (session.reply_mode == engine::ReplyMode::kSkipNext) session.reply_mode = engine::ReplyMode::kOn;
  connection->state = ConnectionState::kParked;
  connection->waits_for_answer = true;
}

// ---- Requests come home ----

void Worker::ComeHome(QueuedRequest* request) {
  using HomeFor = QueuedRequest::Outcome;
  Connection* connection = request->connection;
  switch (request->outcome) {
    case HomeFor::kUnlinked:
      delete request;
      return;
    case HomeFor::kGranted:
    case HomeFor::kWiden:
      prepared_.push_back(request);
      return;
    case HomeFor::kPostponed:
      ReleasePushes(connection);
      return PostponeRequest(request);
    case HomeFor::kAnswered:
    case HomeFor::kCancelled:
      break;
  }
  if (connection->blocked == request) StopWaiting(connection, request);
  if (request->written_seq > connection->written_seq) connection->written_seq = request->written_seq;
  connection->waits_for_answer = false;
  connection->is_away = false;
  if (connection->state == ConnectionState::kClosing) {
    dead_.push_back(connection);
    return Dispose(request);
  }
  if (request->outcome == HomeFor::kCancelled) {
    WriteTimeoutReply(connection, request);
  } else if (!request->holes.empty()) {
    StartFilling(connection, request);
    return Dispose(request);
  } else if (!connection->skip_answer) {
    connection->output.AppendBuffer(request->reply);
  }
  if (request->spec->runs == Runs::kTransaction) FinishTransaction(connection, *request->spec);
  ReleasePushes(connection);
  Dispose(request);
  ResumeLater(connection);
}

void Worker::ResumeLater(Connection* connection) {
  connection->skip_answer = false;
  if (connection->in_resume_list) return;
  connection->in_resume_list = true;
  to_resume_.push_back(connection);
}

/// Deletes a request, after its links to keys of other shards have been undone.
void Worker::Dispose(QueuedRequest* request) {
  std::vector<shard::ShardId> shards;
  for (uint32_t i = 0; i < request->node_count; i++) {
    if (request->nodes[i].interest != nullptr) shards.push_back(request->nodes[i].shard);
  }
  if (shards.empty()) {
    delete request;
    return;
  }
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  request->phase = QueuedRequest::Phase::kUnlink;
  request->shard_list = std::move(shards);
  request->runs_on = shard::kAnyWorker;
  request->outcome = QueuedRequest::Outcome::kUnlinked;
  prepared_.push_back(request);
}

/// What was put aside while commands were running: requests to be submitted, or to be run here.
void Worker::SubmitPrepared() {
  while (!prepared_.empty()) {
    std::vector<QueuedRequest*> requests;
    requests.swap(prepared_);
    for (QueuedRequest* request : requests) {
      if (request->outcome == QueuedRequest::Outcome::kGranted) {
        server_->leases().RunGranted(request, index_);
      } else {
        Submit(request);
      }
    }
  }
}

/// RESET: what MULTI and WATCH have collected is dropped.
void Worker::ForgetTransaction(Connection* connection) {
  if (connection->session.transaction == nullptr) return;
  connection->session.in_multi = false;
  connection->session.transaction->Reset();
  Bury(connection);
}

/// The last thing before a connection is deleted: what it watches is forgotten.
void Worker::Bury(Connection* connection) {
  engine::Transaction* transaction = connection->session.transaction.get();
  if (transaction == nullptr || !transaction->has_watches()) return;
  QueuedRequest* request = new QueuedRequest();
  request->phase = QueuedRequest::Phase::kUnwatch;
  request->origin = index_;
  transaction->CollectWatchedShards(&request->shard_list);
  request->watches = transaction->TakeWatches();
  prepared_.push_back(request);
}

// ---- Waiting ----

/// The command that just ran must wait; its leases are still held.
void Worker::Wait(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                  std::span<const std::string_view> args, std::span<const engine::Key> keys,
                  bool skip_answer) {
  std::vector<shard::ShardId> shards;
  for (const engine::Key& key : keys) shards.push_back(key.shard);
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  QueuedRequest* request = MakeRequest(connection, spec, handler, args, keys, shards);
  request->block = std::move(block_);
  request->deadline_ms = request->block.deadline_ms;
  block_ = {};
  Park(connection);
  connection->skip_answer = connection->skip_answer || skip_answer;
  server_->RegisterWaiter(request);
  NoteBlocked(request);
}

void Worker::NoteBlocked(QueuedRequest* request) {
  Connection* connection = request->connection;
  connection->blocked = request;
  connection->is_away = false;
  ReleasePushes(connection);
  counters_.blocked_clients.Add(1);
  if (request->deadline_ms != 0) timeouts_.insert({request->deadline_ms, request});
  counters_.clients_in_timeout_table.Set(timeouts_.size());
  if (connection->readable) MarkReady(connection);
  // It went away, or was killed, while the request was executed elsewhere.
  if (connection->state == ConnectionState::kClosing) CancelWaiting(connection);
}

void Worker::StopWaiting(Connection* connection, QueuedRequest* request) {
  connection->blocked = nullptr;
  if (request->written_seq > connection->written_seq) connection->written_seq = request->written_seq;
  counters_.blocked_clients.Set(counters_.blocked_clients.Get() - 1);
  if (request->deadline_ms != 0) timeouts_.erase({request->deadline_ms, request});
  counters_.clients_in_timeout_table.Set(timeouts_.size());
}

/// Takes the connection's waiting command back: its time is over, or its client is gone. If somebody
/// serves it just now it comes home by itself.
void Worker::CancelWaiting(Connection* connection) {
  if (connection->blocked->TryCancel()) FinishCancelled(connection);
}

/// Answers a connection whose waiting command has been taken back, or buries it.
void Worker::FinishCancelled(Connection* connection) {
  QueuedRequest* request = connection->blocked;
  StopWaiting(connection, request);
  connection->waits_for_answer = false;
  if (connection->state == ConnectionState::kClosing) {
    dead_.push_back(connection);
  } else {
    WriteTimeoutReply(connection, request);
    ResumeLater(connection);
  }
  Dispose(request);
}

void Worker::WriteTimeoutReply(Connection* connection, QueuedRequest* request) {
  if (connection->skip_answer) return;
  resp::ReplyBuilder reply(&connection->output, connection->session.resp);
  if (request->unblocked_with_error) {
    counters_.error_replies.Increment();
    return reply.Error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
  }
  switch (request->block.timeout_reply) {
    case engine::TimeoutReply::kNullArray: return reply.NullArray();
    case engine::TimeoutReply::kNull: return reply.Null();
    case engine::TimeoutReply::kZero: return reply.Integer(0);
    case engine::TimeoutReply::kTwoZeros:
      reply.Array(2);
      reply.Integer(0);
      return reply.Integer(0);
  }
}

void Worker::ExpireWaiting() {
  // As Redis: a deadline is over when its millisecond has passed.
  while (!timeouts_.empty() && timeouts_.begin()->first < now_ms_) {
    QueuedRequest* request = timeouts_.begin()->second;
    // Out of the list first: one that is being served stays blocked until it comes home.
    timeouts_.erase(timeouts_.begin());
    CancelWaiting(request->connection);
  }
}

/// Sets the timer for the earliest of what is to come.
void Worker::ArmTimer() {
  int64_t next_ms = timeouts_.empty() ? 0 : timeouts_.begin()->first + 1;
  const bool has_postponed = !postponed_.empty() || !postponed_requests_.empty();
  const int64_t pause_ms = engine_.pause_until_ms.load(std::memory_order_relaxed);
  // A snapshot tells us when it lets go: there is no time for which to wait.
  const bool waits_for_snapshot = engine_.HoldsForSnapshot() && !must_look_at_postponed_ && pause_ms <= now_ms_;
  if (has_postponed && !waits_for_snapshot && (next_ms == 0 || pause_ms < next_ms)) next_ms = pause_ms;
  if (next_ms == timer_armed_ms_) return;
  timer_armed_ms_ = next_ms;
  itimerspec spec{};
  if (next_ms != 0) {
    // Far away is soon enough looked at again.
    constexpr int64_t kLongestMs = 24 * 3600 * 1000;
    int64_t wait_ms = next_ms - Clock::WallMs();
    if (wait_ms > kLongestMs) wait_ms = kLongestMs;
    if (wait_ms == kLongestMs) timer_armed_ms_ = -1;
    spec.it_value.tv_sec = wait_ms > 0 ? wait_ms / 1000 : 0;
    spec.it_value.tv_nsec = wait_ms > 0 ? wait_ms % 1000 * 1'000'000 : 1;
  }
  CHECK(timerfd_settime(timer_fd_, 0, &spec, nullptr) == 0);
}

// ---- Transactions ----

void Worker::QueueInTransaction(Connection* connection, const CommandSpec* spec, const engine::HandlerRow& row,
                                std::span<const std::string_view> args, const engine::Key* key) {
  engine::Transaction& transaction = *connection->session.transaction;
  if (transaction.is_aborted()) {
    // It will never run: nothing more of it is kept.
  } else if (key != nullptr && spec->runs == Runs::kKeys && spec->first_key == spec->last_key) {
    transaction.Add(spec, row.handler, args, static_cast<uint32_t>(spec->first_key), *key);
  } else {
    engine::Route route;
    route.runs = spec->runs;
    if (spec->runs == Runs::kRouted) {
      row.router(engine_, args, &route);
    } else if (spec->runs == Runs::kKeys) {
      ExtractKeys(*spec, args, &route.key_positions);
    }
    transaction.Add(engine_, spec, row.handler, route.runs, route.first_shard, args, route.key_positions);
  }
  const bool is_covered = BeginReply(connection);
  resp::ReplyBuilder reply(&connection->output, connection->session.resp);
  reply.SimpleString("QUEUED");
  EndReply(connection, is_covered);
}

Worker::Outcome Worker::RunTransactionCommand(Connection* connection, const CommandSpec* spec,
                                              engine::Handler handler,
                                              std::span<const std::string_view> args) {
  engine::Session& session = connection->session;
  engine::Transaction* transaction = session.transaction.get();
  const bool is_unwatch = spec->id == ids_.unwatch;
  if (!is_unwatch && !session.in_multi) return RunOnConnection(connection, spec, handler, args);
  keys_.clear();
  shards_.clear();
  if (transaction != nullptr) {
    if (spec->id == ids_.exec) {
      transaction->CollectShards(engine_.shard_count(), &shards_);
    } else {
      transaction->CollectWatchedShards(&shards_);
    }
  }
  if (spec->id == ids_.exec && transaction->needs_control() && !transaction->is_aborted()) {
    // Its reply is put together later, so it must not go straight into the output.
    QueuedRequest* request = MakeRequest(connection, spec, handler, args, {}, shards_);
    request->runs_on = index_;
    request->session = &session;
    Park(connection);
    session.holds_pushes = true;
    Submit(request);
    return Outcome::kParked;
  }
  const Outcome outcome = RunOnSet(connection, spec, handler, args);
  if (outcome == Outcome::kDone) FinishTransaction(connection, *spec);
  return outcome;
}

void Worker::FinishTransaction(Connection* connection, const CommandSpec& spec) {
  engine::Session& session = connection->session;
  if (spec.id == ids_.unwatch || session.transaction == nullptr) return;
  session.in_multi = false;
  session.transaction->Reset();
  EndCaching(&session);
  ReleasePushes(connection);
}

// ---- Control commands in transactions ----

void Worker::StartFilling(Connection* connection, QueuedRequest* request) {
  auto filling = std::make_unique<HoleFilling>();
  std::vector<std::string_view> pieces(4096);
  while (!request->reply.empty()) {
    const size_t count = request->reply.Peek(pieces.data(), pieces.size());
    size_t taken = 0;
    for (size_t i = 0; i < count; i++) {
      filling->reply.append(pieces[i]);
      taken += pieces[i].size();
    }
    request->reply.Consume(taken);
  }
  filling->holes = std::move(request->holes);
  connection->filling = std::move(filling);
  connection->waits_for_answer = true;
  CallNextControl(connection);
}

/// Asks for the first control command of the transaction that has no answer yet.
void Worker::CallNextControl(Connection* connection) {
  const engine::Transaction& transaction = *connection->session.transaction;
  size_t skip = connection->filling->answers.size();
  for (const engine::Transaction::Command& command : transaction.commands()) {
    if (command.runs != Runs::kControl || skip-- > 0) continue;
    std::vector<std::string_view> args;
    std::vector<engine::Key> keys;
    transaction.Load(command, &args, &keys);
    const bool skip_answer = connection->skip_answer;
    CallControl(connection, command.spec, args);
    // HELLO may have changed it since.
    control_calls_.back().resp = connection->filling->holes[connection->filling->answers.size()].resp;
    connection->skip_answer = skip_answer;
    return;
  }
  CHECK_MSG(false, "more holes than control commands");
}

void Worker::FillHole(Connection* connection, std::string&& answer) {
  HoleFilling& filling = *connection->filling;
  filling.answers.push_back(std::move(answer));
  // Who has killed itself gets that answer last, whatever else the transaction did.
  if (connection->session.close_after_reply && filling.shown_max > filling.answers.size()) {
    filling.shown_max = filling.answers.size();
  }
  if (filling.answers.size() < filling.holes.size()) return CallNextControl(connection);
  const bool is_cut = filling.shown_max != SIZE_MAX;
  if (!connection->skip_answer) {
    size_t from = 0;
    for (size_t i = 0; i < filling.holes.size() && i < filling.shown_max; i++) {
      const size_t offset = filling.holes[i].offset;
      connection->output.Append(std::string_view(filling.reply).substr(from, offset - from));
      connection->output.Append(filling.answers[i]);
      from = offset;
    }
    if (!is_cut) {
      connection->output.Append(std::string_view(filling.reply).substr(from));
    }
  }
  connection->filling.reset();
  connection->waits_for_answer = false;
  connection->session.in_multi = false;
  connection->session.transaction->Reset();
  EndCaching(&connection->session);
  ReleasePushes(connection);
  ResumeLater(connection);
}

}  // namespace sherd::net
