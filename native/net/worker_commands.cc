// Worker: from bytes to executed commands. See worker.h for the life of a batch.
#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "base/strings.h"
#include "base/spin.h"
#include "engine/debug_access.h"
#include "engine/errors.h"
#include "net/worker.h"

namespace sherd::net {

namespace {

// Commands parsed and prefetched ahead of execution. Beyond about 16 the first lines are evicted or the
// line-fill buffers are full anyway; measured in ARCHITECTURE.
constexpr size_t kWindow = 16;
// How often a busy lease is looked at before its command is queued. A holder needs some 300 ns for a
// short command; queueing costs more than that on both sides.
constexpr int kLeaseSpins = 24;

/// What "%.128s" prints: up to 128 bytes, or to the first NUL.
std::string_view Clip(std::string_view text, size_t max = 128) {
  text = text.substr(0, max);
  const size_t nul = text.find('\0');
  return nul == std::string_view::npos ? text : text.substr(0, nul);
}

/// What a monitor may not run, as Redis takes it for a replica.
bool TouchesKeyspace(const CommandSpec& spec, const engine::Session& session) {
  uint64_t flags = spec.flags;
  if (spec.id == CommandId::kExec && session.transaction != nullptr) flags |= session.transaction->flags();
  return (flags & (kFlagWrite | kFlagReadonly | kFlagMayReplicate)) != 0;
}

/// Whether a command may run while the dataset is being loaded; EXEC only if all of its commands may.
bool MayRunLoading(const CommandSpec& spec, const engine::Session& session) {
  uint64_t flags = spec.flags;
  if (spec.id == CommandId::kExec && session.in_multi) flags &= session.transaction->common_flags();
  return (flags & kFlagLoading) != 0;
}

/// strerror, without its buffer.
const char* ErrorText(int error) {
  const char* text = strerrordesc_np(error);
  return text == nullptr ? "Unknown error" : text;
}

}  // namespace

// ---- Parse ahead ----

size_t Worker::Serve(Connection* connection, std::string_view input) {
  // After QUIT, a kill or a protocol error nothing more of this client runs, whatever it has sent.
  if (__builtin_expect(connection->ignores_input || connection->session.close_after_reply, 0)) {
    return input.size();
  }
  size_t consumed = 0;
  while (connection->state == ConnectionState::kActive) {
    resp::ParseStatus status;
    const size_t bytes = ParseWindow(connection, input.substr(consumed), &status);
    PrefetchEntries(*connection);
    tick_ = CycleClock::Now();
    const WindowEnd end = RunWindow(connection);
    if (end.outcome == Outcome::kClose) return input.size();
    if (end.outcome == Outcome::kParked) return consumed + end.bytes;
    if (end.is_cut) {
      consumed += end.bytes;
      continue;
    }
    consumed += bytes;
    if (status == resp::ParseStatus::kNeedMore) break;
    if (status == resp::ParseStatus::kError) {
      RefuseProtocol(connection);
      return input.size();
    }
  }
  return consumed;
}

/// A protocol error is answered and ends the connection. Where CLIENT REPLY covers the answer, Redis
/// keeps the connection open for ever and listens no more; so do we.
void Worker::RefuseProtocol(Connection* connection) {
  const std::string text = "ERR " + std::string(connection->parser.error());
  const bool is_covered = connection->session.reply_mode != engine::ReplyMode::kOn;
  SendError(connection, text);
  connection->ignores_input = is_covered;
  connection->session.close_after_reply = !is_covered;
}

/// Runs what ParseWindow found, in order. What is parsed behind a command that parks the connection, or
/// that changes what its client may send, is parsed again later.
Worker::WindowEnd Worker::RunWindow(Connection* connection) {
  const bool was_authenticated = connection->session.authenticated;
  // Subscribers have limits of their own, which are on by default: only they pay for the look.
  const bool has_limits = has_client_limits_ || connection->session.is_subscriber;
  for (size_t i = 0; i < window_.size(); i++) {
    const Outcome outcome = RunParsed(connection, window_[i]);
    if (__builtin_expect((connection->session.tracking & engine::kTrackingCaching) != 0, 0) &&
        outcome != Outcome::kPostponed) {
      EndCachingAfter(connection, window_[i]);
    }
    if (outcome == Outcome::kClose) return {outcome, 0, false};
    if (outcome == Outcome::kParked) {
      connection->parser.Reset();
      return {outcome, window_[i].end, false};
    }
    if (__builtin_expect(outcome == Outcome::kPostponed, 0)) {
      connection->parser.Reset();
      return {Outcome::kParked, i == 0 ? 0 : window_[i - 1].end, false};
    }
    // Messages set off by the command, or by others meanwhile, come before the next reply.
    if (__builtin_expect(!server_->inbox(index_).empty(), 0)) DrainInbox();
    if (__builtin_expect(has_limits, 0) && !KeepsLimits(connection)) return {Outcome::kClose, 0, false};
    if (__builtin_expect(connection->session.authenticated != was_authenticated, 0)) {
      connection->parser.Reset();
      return {Outcome::kDone, window_[i].end, true};
    }
  }
  return {Outcome::kDone, 0, false};
}

/// Parses up to a window of commands into window_ and args_; returns the bytes they take.
size_t Worker::ParseWindow(Connection* connection, std::string_view input, resp::ParseStatus* status) {
  window_.clear();
  args_.clear();
  const bool is_trusted = connection->session.authenticated || !engine_.has_password();
  resp::ParserLimits limits;
  limits.max_bulk_length = engine_.options().proto_max_bulk_len.Get();
  limits.authenticated = is_trusted;
  const size_t window_max = is_trusted ? kWindow : 1;
  size_t offset = 0;
  *status = resp::ParseStatus::kCommand;
  while (window_.size() < window_max) {
    if (offset == input.size()) {
      *status = resp::ParseStatus::kNeedMore;
      break;
    }
    const std::string_view rest = input.substr(offset);
    *status = connection->parser.Parse(rest, limits);
    if (*status == resp::ParseStatus::kNeedMore || *status == resp::ParseStatus::kError) break;
    offset += connection->parser.consumed();
    if (*status == resp::ParseStatus::kEmpty) continue;
    AddToWindow(connection->parser.args(), offset, connection->session.db);
    const ParsedCommand& added = window_.back();
    if (__builtin_expect(connection->session.tracker != 0, 0) && added.has_key) {
      engine_.keyspace(added.key.shard).tracking().PrefetchRecent(added.key.hash, connection->session.tracker);
    }
    // Unquoted inline arguments live in the parser until its next command.
    if (rest[0] != '*') break;
  }
  return offset;
}

void Worker::AddToWindow(const std::vector<std::string_view>& args, size_t end, int db) {
  ParsedCommand command;
  command.first_arg = static_cast<uint32_t>(args_.size());
  command.arg_count = static_cast<uint32_t>(args.size());
  command.end = end;
  command.has_key = false;
  args_.insert(args_.end(), args.begin(), args.end());
  command.spec = FindCommand(args[0]);
  const CommandSpec* spec = command.spec;
  if (spec != nullptr && spec->simple_keys && spec->first_key > 0 &&
      static_cast<size_t>(spec->first_key) < args.size()) {
    command.key = engine_.MakeKey(args[static_cast<size_t>(spec->first_key)]);
    command.has_key = true;
    engine_.keyspace(command.key.shard).db(db).table.PrefetchBucket(command.key.hash);
    server_->leases().Prefetch(command.key.shard);
  }
  window_.push_back(command);
}

/// Second stage of the prefetch: the buckets asked for while parsing have arrived by now, mostly.
void Worker::PrefetchEntries(const Connection& connection) {
  if (window_.size() < 2) return;  // nothing to overlap with
  const int db = connection.session.db;
  const bool is_tracked = connection.session.tracker != 0;
  for (const ParsedCommand& command : window_) {
    if (!command.has_key) continue;
    engine::Keyspace& space = engine_.keyspace(command.key.shard);
    space.db(db).table.PrefetchEntry(command.key.hash);
    if (__builtin_expect(is_tracked, 0)) space.tracking().PrefetchKey(command.key.hash);
  }
}

// ---- Checks before a command runs ----

Worker::Outcome Worker::RunParsed(Connection* connection, const ParsedCommand& command) {
  const std::span<const std::string_view> args(&args_[command.first_arg], command.arg_count);
  const CommandSpec* spec = command.spec;
  if (__builtin_expect(spec == nullptr, 0)) {
    connection->session.last_command = nullptr;
    if (EqualsIgnoreCase(args[0], "post") || EqualsIgnoreCase(args[0], "host:")) {
      // A browser was made to talk to us: Redis drops the connection without a word.
      Log("warning", "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: "
                     "commands to Redis. This is likely due to an attacker attempting to use Cross Protocol "
                     "Scripting to compromise your Redis instance. Connection aborted.");
      Close(connection);
      return Outcome::kClose;
    }
    RefuseUnknown(connection, nullptr, args);
    return Outcome::kDone;
  }
  if (__builtin_expect(spec->subcommand_count > 0 && args.size() > 1, 0)) {
    const CommandSpec* subcommand = FindSubcommand(*spec, args[1]);
    if (subcommand == nullptr) {
      connection->session.last_command = nullptr;
      RefuseUnknown(connection, spec, args);
      return Outcome::kDone;
    }
    spec = subcommand;
  }
  // CLIENT LIST tells what was asked, also when it was refused or is held back.
  connection->session.last_command = spec->full_name;
  if (__builtin_expect(Refuse(connection, spec, args), 0)) return Outcome::kDone;
  if (__builtin_expect(engine_.gate.load(std::memory_order_relaxed) != 0, 0) &&
      !connection->session.is_monitor &&  // as Redis, which takes them for replicas
      server_->IsPaused(*spec, connection->session.transaction.get())) {
    return Postpone(connection);
  }
  connection->session.commands++;
  const engine::HandlerRow& row = server_->handlers().Find(spec->id);
  const engine::Key* key = command.has_key ? &command.key : nullptr;
  if (connection->session.in_multi && !RunsInMulti(*spec)) {
    QueueInTransaction(connection, spec, row, args, key);
    return Outcome::kDone;
  }
  if (__builtin_expect(spec->id == ids_.watch, 0)) {
    if (connection->session.in_multi) {
      SendError(connection, "ERR WATCH inside MULTI is not allowed");
      ShowToMonitors(connection, spec, args);
      return Outcome::kDone;
    }
    if (connection->session.transaction == nullptr) {
      connection->session.transaction = std::make_unique<engine::Transaction>();
    }
  }
  const Outcome outcome = Dispatch(connection, spec, row, args, key);
  if (connection->session.close_after_reply && outcome == Outcome::kDone) return Outcome::kClose;
  return outcome;
}

/// What MULTI does not queue.
bool Worker::RunsInMulti(const CommandSpec& spec) const {
  return spec.runs == Runs::kTransaction ? spec.id != ids_.unwatch
                                         : std::find(ids_.immediate.begin(), ids_.immediate.end(), spec.id) !=
                                               ids_.immediate.end();
}

/// What is refused while the disk fails, in Redis's words and at its place: whatever writes, and PING, by which
/// monitoring is to notice it.
bool Worker::IsRefusedByDisk(const CommandSpec& spec, const engine::Session& session) const {
  if ((spec.flags & kFlagWrite) != 0 || spec.id == ids_.ping) return true;
  return spec.id == ids_.exec && session.transaction != nullptr && (session.transaction->flags() & kFlagWrite) != 0;
}

/// Redis's order of checks: known, arity, protected, authenticated, disk, subscriber, loading, monitor. True: an
/// error was sent.
bool Worker::Refuse(Connection* connection, const CommandSpec* spec,
                    std::span<const std::string_view> args) {
  const engine::Session& session = connection->session;
  const bool bad_arity = !ArityMatches(*spec, args.size());
  const bool no_auth = !session.authenticated && (spec->flags & kFlagNoAuth) == 0 && engine_.has_password();
  const bool is_debug = spec->id == ids_.debug;
  const bool no_multi = session.in_multi && (spec->flags & kFlagNoMulti) != 0;
  const bool is_monitor = session.is_monitor;
  const bool is_subscriber =
      session.is_subscriber && session.resp == 2 &&
      std::find(ids_.subscriber.begin(), ids_.subscriber.end(), spec->id) == ids_.subscriber.end();
  const bool is_loading = engine_.is_loading.load(std::memory_order_relaxed);
  const int journal_error = engine_.durability.error.load(std::memory_order_relaxed);
  const bool no_writes = journal_error != 0 || engine_.refuses_writes();
  const bool is_special = is_debug || no_multi || is_monitor || is_subscriber || is_loading || no_writes;
  if (__builtin_expect(!bad_arity && !no_auth && !is_special, 1)) return false;
  std::string text;
  if (bad_arity) {
    text = "ERR wrong number of arguments for '" + std::string(spec->full_name) + "' command";
  } else if (is_debug && !engine::DebugAllowed(engine_.options(), session)) {
    text = engine::kDebugNotAllowed;
  } else if (no_multi) {
    text = "ERR Command not allowed inside a transaction";
  } else if (no_auth) {
    text = engine::errors::kNoAuth;
  } else if (no_writes && IsRefusedByDisk(*spec, session)) {
    text = engine_.write_refusal();
    if (text.empty()) text = std::string("MISCONF Errors writing to the AOF file: ") + ErrorText(journal_error);
  } else if (is_subscriber) {
    text = "ERR Can't execute '" + std::string(spec->full_name) +
           "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
  } else if (is_loading && !MayRunLoading(*spec, session)) {
    text = engine::errors::kLoading;
  } else if (is_monitor && TouchesKeyspace(*spec, session)) {
    text = "ERR Replica can't interact with the keyspace";
  } else {
    return false;
  }
  engine_.command_counters(index_, static_cast<size_t>(spec->id)).rejected_calls.Increment();
  if (spec->id == ids_.exec) {
    // An EXEC that is refused ends the transaction all the same, and is answered so without one, as in Redis.
    const std::string_view reason = std::string_view(text).substr(text.starts_with("ERR ") ? 4 : 0);
    SendError(connection, "EXECABORT Transaction discarded because of: " + std::string(reason));
    ForgetTransaction(connection);
    // They have seen MULTI, and are to see its end.
    ShowToMonitors(connection, spec, args);
    return true;
  }
  if (session.in_multi) session.transaction->Abort();
  SendError(connection, text);
  return true;
}

/// For a command that was answered without a handler, where Redis counts it as one that has run.
void Worker::ShowToMonitors(Connection* connection, const CommandSpec* spec,
                            std::span<const std::string_view> args) {
  if (!engine_.monitors.any()) return;
  engine_.monitors.Show(*spec, connection->session, connection->session.db, args);
}

void Worker::SendError(Connection* connection, std::string_view text) {
  const bool is_covered = BeginReply(connection);
  resp::ReplyBuilder reply(&connection->output, connection->session.resp);
  reply.Error(text);
  counters_.error_replies.Increment();
  EndReply(connection, is_covered);
}

void Worker::RefuseUnknown(Connection* connection, const CommandSpec* container,
                           std::span<const std::string_view> args) {
  std::string text;
  if (container != nullptr) {
    std::string name(container->name);
    for (char& c : name) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
    text = "ERR unknown subcommand '" + std::string(Clip(args[1])) + "'. Try " + name + " HELP.";
  } else {
    std::string rest;
    for (size_t i = 1; i < args.size() && rest.size() < 128; i++) {
      rest += "'" + std::string(Clip(args[i], 128 - rest.size())) + "' ";
    }
    text = "ERR unknown command '" + std::string(Clip(args[0])) + "', with args beginning with: " + rest;
  }
  if (connection->session.in_multi) connection->session.transaction->Abort();
  SendError(connection, text);
}

// ---- CLIENT REPLY ----

/// Before a command writes its reply. True: CLIENT REPLY OFF or SKIP covers this command.
bool Worker::BeginReply(Connection* connection) {
  engine::Session& session = connection->session;
  if (__builtin_expect(session.reply_mode == engine::ReplyMode::kOn, 1)) return false;
  if (session.reply_mode == engine::ReplyMode::kSkipNext) session.reply_mode = engine::ReplyMode::kSkipping;
  reply_mark_ = connection->output.GetMark();
  return true;
}

/// Takes a covered reply back, unless the command itself (CLIENT REPLY ON, RESET) has lifted the cover.
void Worker::EndReply(Connection* connection, bool is_covered) {
  if (__builtin_expect(!is_covered, 1)) return;
  engine::Session& session = connection->session;
  if (session.reply_mode == engine::ReplyMode::kOn) return;
  connection->output.Truncate(reply_mark_);
  if (session.reply_mode == engine::ReplyMode::kSkipping) session.reply_mode = engine::ReplyMode::kOn;
}

// ---- CLIENT CACHING ----

/// What CLIENT CACHING said was for the command that has just run, unless that was one of CLIENT's, or only
/// begins or continues a transaction, for the whole of which it is said.
void Worker::EndCachingAfter(Connection* connection, const ParsedCommand& command) {
  engine::Session& session = connection->session;
  if (session.in_multi) return;
  const bool is_client = command.spec != nullptr && command.spec->id == ids_.client && command.arg_count > 1 &&
                         FindSubcommand(*command.spec, args_[command.first_arg + 1]) != nullptr;
  if (!is_client) EndCaching(&session);
}

// ---- Where a command runs ----

Worker::Outcome Worker::Dispatch(Connection* connection, const CommandSpec* spec,
                                 const engine::HandlerRow& row, std::span<const std::string_view> args,
                                 const engine::Key* key) {
  switch (spec->runs) {
    case Runs::kConnection:
      return RunOnConnection(connection, spec, row.handler, args);
    case Runs::kControl:
      return CallControl(connection, spec, args);
    case Runs::kKeys:
      // One key, already hashed: the case that must be fast.
      if (key != nullptr && spec->first_key == spec->last_key) {
        return RunOnShard(connection, spec, row.handler, args, *key);
      }
      key_positions_.clear();
      // A line that does not fit its key specs still gets its handler, which replies with the error.
      ExtractKeys(*spec, args, &key_positions_);
      return RunOnKeys(connection, spec, row.handler, args);
    case Runs::kAllShards:
      return RunOnShards(connection, spec, row.handler, args, 0);
    case Runs::kRouted: {
      engine::Route route;
      row.router(engine_, args, &route);
      switch (route.runs) {
        case Runs::kConnection: return RunOnConnection(connection, spec, row.handler, args);
        case Runs::kControl: return CallControl(connection, spec, args);
        case Runs::kAllShards: return RunOnShards(connection, spec, row.handler, args, route.first_shard);
        case Runs::kKeys:
          key_positions_ = route.key_positions;
          return RunOnKeys(connection, spec, row.handler, args);
        case Runs::kRouted:
        case Runs::kTransaction: break;
      }
      break;
    }
    case Runs::kTransaction:
      return RunTransactionCommand(connection, spec, row.handler, args);
  }
  CHECK_MSG(false, "a route leads nowhere");
  return Outcome::kClose;
}

Worker::Outcome Worker::RunOnConnection(Connection* connection, const CommandSpec* spec,
                                        engine::Handler handler, std::span<const std::string_view> args) {
  const bool is_covered = BeginReply(connection);
  resp::ReplyBuilder reply(&connection->output, connection->session.resp);
  engine::CommandContext ctx(engine_, reply);
  PrepareContext(&ctx);
  ctx.spec = spec;
  ctx.args = args;
  ctx.db = connection->session.db;
  ctx.client_id = connection->session.id;
  ctx.session = &connection->session;
  ctx.sender = &connection->session;
  if ((spec->flags & kFlagBlocking) != 0) ctx.block = &block_;
  RunCommand(ctx, handler, &tick_);
  NoteUnit(connection, *spec);
  if (__builtin_expect(block_.is_set, 0)) {
    EndReply(connection, is_covered);
    Wait(connection, spec, handler, args, {}, is_covered);
    return Outcome::kParked;
  }
  if (__builtin_expect(spec->id == ids_.reset, 0)) ForgetTransaction(connection);
  if (is_covered && reply.has_push()) reply_mark_ = reply.push_end();
  EndReply(connection, is_covered);
  return Outcome::kDone;
}

/// Runs a command whose shards are held. It may end parked: then it waits for a key.
Worker::Outcome Worker::RunHere(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                                std::span<const std::string_view> args, std::span<const engine::Key> keys) {
  const bool is_covered = BeginReply(connection);
  resp::ReplyBuilder reply(&connection->output, connection->session.resp);
  engine::CommandContext ctx(engine_, reply);
  PrepareContext(&ctx);
  ctx.spec = spec;
  ctx.args = args;
  ctx.keys = keys;
  ctx.db = connection->session.db;
  ctx.no_touch = connection->session.no_touch;
  ctx.tracker = connection->session.tracker;
  ctx.client_id = connection->session.id;
  ctx.large_argument = &large_argument_;
  ctx.transaction = connection->session.transaction.get();
  ctx.sender = &connection->session;
  if (spec->runs == Runs::kTransaction) ctx.session = &connection->session;
  if ((spec->flags & kFlagBlocking) != 0) ctx.block = &block_;
  RunCommand(ctx, handler, &tick_);
  NoteUnit(connection, *spec);
  counters_.commands_in_place.Increment();
  EndReply(connection, is_covered);
  const bool must_wait = block_.is_set;
  if (__builtin_expect(must_wait, 0)) Wait(connection, spec, handler, args, keys, is_covered);
  server_->ServeReady(thread_);
  return must_wait ? Outcome::kParked : Outcome::kDone;
}

/// Takes a free lease, waiting a few hundred nanoseconds for one that is about to become free.
bool Worker::TakeLease(engine::ShardId shard) {
  shard::LeaseTable& leases = server_->leases();
  if (__builtin_expect(leases.TryAcquire(shard, index_), 1)) return true;
  for (int spin = 0; spin < kLeaseSpins; spin++) {
    if (leases.HasQueue(shard)) return false;  // others wait already: in line behind them
    SpinPause();
    if (leases.TryAcquire(shard, index_)) return true;
  }
  return false;
}

Worker::Outcome Worker::RunOnShard(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                                   std::span<const std::string_view> args, const engine::Key& key) {
  const shard::ShardId shard = key.shard;
  if (MayRunHere(shard) && TakeLease(shard)) {
    if (__builtin_expect(!server_->PassesGate(*spec, connection->session.db, key), 0)) {
      server_->leases().Release(shard, index_);
      keys_.assign(1, key);
      shards_.assign(1, shard);
      return RunOnSet(connection, spec, handler, args);
    }
    if (server_->IsForRunner(*spec, args, {&key, 1}, connection->session.db)) {
      server_->leases().Release(shard, index_);
      return QueueForRunner(connection, spec, handler, args, {&key, 1}, {&shard, 1});
    }
    const Outcome outcome = RunHere(connection, spec, handler, args, {&key, 1});
    server_->leases().Release(shard, index_);
    return outcome;
  }
  return Queue(connection, spec, handler, args, {&key, 1}, {&shard, 1});
}

bool Worker::MayRunHere(engine::ShardId shard) const {
  return engine_.config().in_place || engine_.OwnerOf(shard) == index_;
}

Worker::Outcome Worker::RunOnKeys(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                                  std::span<const std::string_view> args) {
  keys_.clear();
  shards_.clear();
  for (uint32_t position : key_positions_) {
    keys_.push_back(engine_.MakeKey(args[position]));
    shards_.push_back(keys_.back().shard);
  }
  for (const engine::Key& key : keys_) {
    engine_.keyspace(key.shard).db(connection->session.db).table.PrefetchBucket(key.hash);
  }
  std::sort(shards_.begin(), shards_.end());
  shards_.erase(std::unique(shards_.begin(), shards_.end()), shards_.end());
  for (const engine::Key& key : keys_) {
    engine_.keyspace(key.shard).db(connection->session.db).table.PrefetchEntry(key.hash);
  }
  return RunOnSet(connection, spec, handler, args);
}

Worker::Outcome Worker::RunOnShards(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                                    std::span<const std::string_view> args, engine::ShardId first_shard) {
  keys_.clear();
  shards_.clear();
  for (int shard = first_shard; shard < engine_.shard_count(); shard++) {
    shards_.push_back(static_cast<shard::ShardId>(shard));
  }
  return RunOnSet(connection, spec, handler, args);
}

/// Runs on the shards in shards_ (ascending, distinct; none: no data is touched), keys in keys_.
Worker::Outcome Worker::RunOnSet(Connection* connection, const CommandSpec* spec, engine::Handler handler,
                                 std::span<const std::string_view> args) {
  if (shards_.empty()) return RunHere(connection, spec, handler, args, keys_);
  for (;;) {
    bool may_run_here = engine_.config().in_place;
    if (!may_run_here) {
      may_run_here = std::all_of(shards_.begin(), shards_.end(),
                                 [this](shard::ShardId shard) { return engine_.OwnerOf(shard) == index_; });
    }
    const uint16_t count = static_cast<uint16_t>(shards_.size());
    if (!may_run_here || !server_->leases().TryAcquireAll(shards_.data(), count, index_)) break;
    Server::Verdict verdict = Server::Verdict::kRun;
    if (__builtin_expect(engine_.gate.load(std::memory_order_relaxed) != 0, 0)) {
      held_ = shards_;
      verdict = server_->CheckGate(*spec, connection->session.transaction.get(), connection->session.db, keys_,
                                   args.size(), &shards_);
    }
    if (verdict == Server::Verdict::kRun && server_->IsForRunner(*spec, args, keys_, connection->session.db)) {
      server_->leases().ReleaseAll(shards_.data(), count, index_);
      return QueueForRunner(connection, spec, handler, args, keys_, shards_);
    }
    if (verdict == Server::Verdict::kRun) {
      const Outcome outcome = RunHere(connection, spec, handler, args, keys_);
      // The release may run requests of others, which may come back to this worker's scratch vectors only
      // after we are done with them: Execute never touches them.
      server_->leases().ReleaseAll(shards_.data(), count, index_);
      return outcome;
    }
    server_->leases().ReleaseAll(held_.data(), count, index_);
    if (verdict != Server::Verdict::kWiden) return Postpone(connection, verdict == Server::Verdict::kAwaitSnapshot);
  }
  if (spec->runs != Runs::kTransaction) return Queue(connection, spec, handler, args, keys_, shards_);
  QueuedRequest* request = MakeRequest(connection, spec, handler, args, {}, shards_);
  if (spec->id == ids_.exec && connection->session.transaction->needs_session()) {
    request->runs_on = index_;
    request->session = &connection->session;
  }
  Park(connection);
  connection->session.holds_pushes = true;
  counters_.commands_queued.Increment();
  Submit(request);
  return Outcome::kParked;
}

Worker::Outcome Worker::CallControl(Connection* connection, const CommandSpec* spec,
                                    std::span<const std::string_view> args) {
  ControlCall call;
  call.token = next_token_++;
  call.spec = spec;
  for (std::string_view arg : args) call.args.emplace_back(arg);
  call.resp = connection->session.resp;
  call.client_id = connection->session.id;
  call.db = connection->session.db;
  connection->session.argument_bytes = 0;
  for (std::string_view arg : args) connection->session.argument_bytes += arg.size();
  engine::MonitorLine line;
  // Those of a transaction have been shown in their places, by EXEC.
  if (__builtin_expect(engine_.monitors.any(), 0) && connection->filling == nullptr) {
    line = engine::MakeMonitorLine(*spec, connection->session, connection->session.db, args);
  }
  pending_control_.push_back({call.token, connection, spec, CycleClock::Now(), std::move(line)});
  control_calls_.push_back(std::move(call));
  counters_.control_commands.Increment();
  Park(connection);
  return Outcome::kParked;
}

}  // namespace sherd::net
