// LoadAof: see the header.
//
// Commands are read ahead in windows of some, so that the buckets and entries of their keys arrive while the
// others are being read, as workers do it (net/worker_commands.cc).
#include "persistence/aof_loader.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/numbers.h"
#include "base/strings.h"
#include "engine/command_context.h"
#include "persistence/aof_reader.h"

namespace sherd::persistence {

using engine::CommandContext;
using engine::Key;

namespace {

constexpr size_t kWindow = 16;
// Clock and progress are refreshed this often.
constexpr uint64_t kRefreshCommands = 1024;

/// Which commands need the present time (see the header).
enum class Time : uint8_t { kNever, kIfRelative, kUnlessAbsolute, kAlways };

Time TimeOf(const CommandSpec& spec) {
  const std::string_view name = spec.full_name;
  for (const std::string_view relative : {"setex", "psetex", "expire", "pexpire", "hexpire", "hpexpire"}) {
    if (name == relative) return Time::kAlways;
  }
  for (const std::string_view relative : {"set", "getex", "hgetex", "hsetex"}) {
    if (name == relative) return Time::kIfRelative;
  }
  if (name == "restore") return Time::kUnlessAbsolute;
  static const uint8_t stream_group = FindCommand("xadd")->group;
  return spec.group == stream_group ? Time::kAlways : Time::kNever;
}

bool HasWord(std::span<const std::string_view> args, size_t from, std::string_view word) {
  for (size_t i = from; i < args.size(); i++) {
    if (EqualsIgnoreCase(args[i], word)) return true;
  }
  return false;
}

/// The name of a library: what follows "name=" in the first line of its code.
std::string_view LibraryName(std::string_view code) {
  code = code.substr(0, code.find('\n'));
  const size_t at = code.find("name=");
  return at == std::string_view::npos ? "" : code.substr(at + 5, code.substr(at + 5).find_first_of(" \t\r"));
}

class AofFileLoader {
 public:
  AofFileLoader(engine::Engine& engine, const engine::HandlerTable& handlers, ByteSource& source,
                const AofLoadOptions& options, LoadProgress* progress, AofLoadResult* result)
      : engine_(engine),
        handlers_(handlers),
        source_(source),
        options_(options),
        progress_(progress),
        result_(result) {
    for (const CommandSpec& spec : AllCommands()) times_.push_back(TimeOf(spec));
  }

  Status Run();

 private:
  /// A command of the window.
  struct Command {
    const CommandSpec* spec;
    uint32_t first_arg, arg_count;
    bool has_key;
    Key key;
  };
  /// An argument of a transaction that has not ended yet.
  struct StoredArg {
    uint64_t offset;
    size_t size;
  };

  Status LoadPreamble(uint64_t* start);
  Status Replay(AofReader* reader);
  Status Finish(AofReader* reader);
  Status Take(AofReader* reader);
  Status Store(const AofReader& reader);
  Status RunTransaction(const AofReader& reader);
  Status Find(std::span<const std::string_view> args, uint64_t offset, const CommandSpec** spec);
  Status AddToWindow(std::span<const std::string_view> args, uint64_t offset);
  void RunWindow();
  void Run(const Command& command, std::span<const std::string_view> args);
  void RunWithKeys(const Command& command, std::span<const std::string_view> args,
                   std::span<const Key> keys);
  void Select(std::span<const std::string_view> args);
  void RunFunction(std::span<const std::string_view> args);
  bool NeedsTime(const CommandSpec& spec, std::span<const std::string_view> args) const;
  void Refresh(const AofReader& reader);

  engine::Engine& engine_;
  const engine::HandlerTable& handlers_;
  ByteSource& source_;
  const AofLoadOptions& options_;
  LoadProgress* const progress_;
  AofLoadResult* const result_;
  std::vector<Time> times_;  // by CommandId
  int db_ = 0;
  int64_t now_ms_ = 0;
  engine::AccessClock clock_;
  resp::OutputBuffer output_;
  std::vector<Command> window_;
  std::vector<std::string_view> args_;  // of the window's commands
  std::vector<StoredArg> stored_args_;
  std::vector<size_t> stored_counts_;   // arguments of each command of the transaction
  std::vector<Key> keys_;
  std::vector<uint32_t> positions_;
  engine::Route route_;
};

Status AofFileLoader::Run() {
  result_->file_bytes = source_.size();
  uint64_t start = 0;
  RETURN_IF_ERROR(LoadPreamble(&start));
  AofReader reader(&source_, start, options_.verifies_checksums);
  // Nobody is to hear of what happened long ago.
  engine::EventSink* const events = engine_.event_sink.exchange(nullptr, std::memory_order_relaxed);
  engine::PropagationSink* const sink = engine_.propagation_sink.exchange(nullptr, std::memory_order_relaxed);
  const Status status = Replay(&reader);
  engine_.propagation_sink.store(sink, std::memory_order_relaxed);
  engine_.event_sink.store(events, std::memory_order_relaxed);
  for (int shard = 0; shard < engine_.shard_count(); shard++) {
    engine_.keyspace(static_cast<engine::ShardId>(shard)).PublishMemory();
  }
  RETURN_IF_ERROR(status);
  return Finish(&reader);
}

Status AofFileLoader::LoadPreamble(uint64_t* start) {
  constexpr std::string_view kSignature = "REDIS";
  char head[kSignature.size()];
  const int64_t count = source_.ReadAt(0, head, sizeof head);
  if (count < static_cast<int64_t>(sizeof head) || std::string_view(head, sizeof head) != kSignature) {
    return Status::Ok();
  }
  RdbLoadOptions options;
  options.keeps_expired = true;
  options.now_ms = Clock::WallMs();
  options.threads = options_.threads;
  RETURN_IF_ERROR(LoadRdb(engine_, source_, options, progress_, &result_->rdb));
  engine_.function_libraries = std::move(result_->rdb.functions);
  *start = result_->rdb.end_offset;
  return Status::Ok();
}

/// Runs everything up to the end or to what is wrong; the verdict is Finish's.
Status AofFileLoader::Replay(AofReader* reader) {
  Refresh(*reader);
  for (;;) {
    switch (reader->Next(false)) {
      case AofReader::Item::kAnnotation: break;
      case AofReader::Item::kCommand: RETURN_IF_ERROR(Take(reader)); break;
      case AofReader::Item::kWouldRead: {
        RunWindow();
        Refresh(*reader);
        const AofReader::Item item = reader->Next();
        if (item == AofReader::Item::kCommand) RETURN_IF_ERROR(Take(reader));
        if (item != AofReader::Item::kCommand && item != AofReader::Item::kAnnotation) return Status::Ok();
        break;
      }
      case AofReader::Item::kEnd:
      case AofReader::Item::kFailure:
      case AofReader::Item::kIoError: RunWindow(); return Status::Ok();
    }
  }
}

Status AofFileLoader::Finish(AofReader* reader) {
  Refresh(*reader);
  const AofReader::Item end = reader->io_error() != 0 ? AofReader::Item::kIoError : reader->Next();
  if (end == AofReader::Item::kIoError) {
    return Status::Io(std::strerror(reader->io_error()), reader->io_error());
  }
  const AofFailure& failure = reader->failure();
  const bool has_failed = end == AofReader::Item::kFailure;
  const std::string where = " reading the append only file " + options_.name + " at offset " +
                            std::to_string(failure.offset) + ": " + failure.text + ". It is good up to offset " +
                            std::to_string(reader->last_good_offset()) + "; see sherd-check-aof.";
  if (has_failed && !failure.is_torn) return Status::Corrupt("Bad file format" + where);
  if (has_failed && !options_.may_be_torn) return Status::Corrupt("Unexpected end of file" + where);
  result_->valid_bytes = reader->last_good_offset();
  result_->crc = reader->CrcAtLastGood();
  result_->covered_bytes = reader->has_verified() ? reader->verified_offset() : 0;
  return Status::Ok();
}

// ---- From the reader to the window ----

Status AofFileLoader::Take(AofReader* reader) {
  switch (reader->place()) {
    case AofReader::Place::kMulti:
      stored_args_.clear();
      stored_counts_.clear();
      return Status::Ok();
    case AofReader::Place::kInside: return Store(*reader);
    case AofReader::Place::kExec: return RunTransaction(*reader);
    case AofReader::Place::kAlone: break;
  }
  RETURN_IF_ERROR(AddToWindow(reader->args(), reader->command_offset()));
  if (window_.size() == kWindow) RunWindow();
  if (result_->commands % kRefreshCommands == 0) Refresh(*reader);
  return Status::Ok();
}

Status AofFileLoader::Store(const AofReader& reader) {
  for (const std::string_view arg : reader.args()) {
    stored_args_.push_back({reader.OffsetOf(arg), arg.size()});
  }
  stored_counts_.push_back(reader.args().size());
  return Status::Ok();
}

Status AofFileLoader::RunTransaction(const AofReader& reader) {
  RunWindow();
  size_t next = 0;
  std::vector<std::string_view> args;
  for (const size_t count : stored_counts_) {
    args.clear();
    for (size_t i = 0; i < count; i++, next++) {
      args.push_back(reader.BytesAt(stored_args_[next].offset, stored_args_[next].size));
    }
    // An unknown one is found before anything of the window has run, but for those in front of it.
    RETURN_IF_ERROR(AddToWindow(args, reader.command_offset()));
    if (window_.size() == kWindow) RunWindow();
  }
  RunWindow();
  return Status::Ok();
}

Status AofFileLoader::Find(std::span<const std::string_view> args, uint64_t offset, const CommandSpec** spec) {
  *spec = FindCommand(args[0]);
  if (*spec != nullptr && (*spec)->subcommand_count > 0 && args.size() > 1) *spec = FindSubcommand(**spec, args[1]);
  // A script that was written down as such needs an interpreter; to pass over it would lose data.
  const bool is_control = *spec != nullptr && (*spec)->runs == Runs::kControl;
  const bool may_write = *spec != nullptr && ((*spec)->flags & (kFlagWrite | kFlagMayReplicate)) != 0;
  if (*spec != nullptr && ArityMatches(**spec, args.size()) && !(is_control && may_write)) return Status::Ok();
  constexpr size_t kShownMax = 128;
  const std::string name(args[0].substr(0, kShownMax));
  const bool is_arity = *spec != nullptr && !(is_control && may_write);
  return Status::Corrupt((is_arity ? "Wrong number of arguments for '" : "Unknown command '") + name +
                         "' reading the append only file " + options_.name + " at offset " + std::to_string(offset));
}

Status AofFileLoader::AddToWindow(std::span<const std::string_view> args, uint64_t offset) {
  result_->commands++;
  if (__builtin_expect(EqualsIgnoreCase(args[0], "function"), 0)) {
    RunWindow();
    RunFunction(args);
    return Status::Ok();
  }
  Command command;
  RETURN_IF_ERROR(Find(args, offset, &command.spec));
  command.first_arg = static_cast<uint32_t>(args_.size());
  command.arg_count = static_cast<uint32_t>(args.size());
  command.has_key = false;
  args_.insert(args_.end(), args.begin(), args.end());
  const CommandSpec& spec = *command.spec;
  if (spec.simple_keys && spec.first_key > 0 && spec.first_key == spec.last_key && spec.runs == Runs::kKeys) {
    command.key = engine_.MakeKey(args[static_cast<size_t>(spec.first_key)]);
    command.has_key = true;
    engine_.keyspace(command.key.shard).db(db_).table.PrefetchBucket(command.key.hash);
  }
  window_.push_back(command);
  return Status::Ok();
}

// ---- Execution ----

void AofFileLoader::RunWindow() {
  for (const Command& command : window_) {
    if (command.has_key) engine_.keyspace(command.key.shard).db(db_).table.PrefetchEntry(command.key.hash);
  }
  for (const Command& command : window_) {
    Run(command, std::span<const std::string_view>(args_).subspan(command.first_arg, command.arg_count));
  }
  window_.clear();
  args_.clear();
}

void AofFileLoader::Run(const Command& command, std::span<const std::string_view> args) {
  const CommandSpec& spec = *command.spec;
  // What does not write changes nothing here.
  if ((spec.flags & kFlagWrite) == 0) return Select(args);
  if (command.has_key) return RunWithKeys(command, args, {&command.key, 1});
  positions_.clear();
  switch (spec.runs) {
    case Runs::kConnection:
    case Runs::kControl:
    case Runs::kTransaction: return;
    case Runs::kAllShards: break;
    case Runs::kKeys: ExtractKeys(spec, args, &positions_); break;
    case Runs::kRouted:
      handlers_.Find(spec.id).router(engine_, args, &route_);
      if (route_.runs == Runs::kConnection || route_.runs == Runs::kControl) return;
      if (route_.runs == Runs::kKeys) positions_ = route_.key_positions;
      break;
  }
  keys_.clear();
  for (const uint32_t position : positions_) keys_.push_back(engine_.MakeKey(args[position]));
  RunWithKeys(command, args, keys_);
}

bool AofFileLoader::NeedsTime(const CommandSpec& spec, std::span<const std::string_view> args) const {
  switch (times_[static_cast<size_t>(spec.id)]) {
    case Time::kNever: return false;
    case Time::kAlways: return true;
    case Time::kIfRelative: return args.size() > 3 && (HasWord(args, 2, "ex") || HasWord(args, 2, "px"));
    case Time::kUnlessAbsolute: return !HasWord(args, 4, "absttl");
  }
  return false;
}

void AofFileLoader::RunWithKeys(const Command& command, std::span<const std::string_view> args,
                                std::span<const Key> keys) {
  const auto before = output_.GetMark();
  resp::ReplyBuilder reply(&output_, 2);
  CommandContext ctx(engine_, reply);
  ctx.spec = command.spec;
  ctx.args = args;
  ctx.keys = keys;
  ctx.db = db_;
  ctx.now_ms = NeedsTime(*command.spec, args) ? now_ms_ : 0;
  ctx.worker = options_.worker;
  ctx.counters = &engine_.worker_counters(options_.worker);
  ctx.clock = clock_;
  handlers_.Find(command.spec->id).handler(ctx);
  // Nobody reads the reply; its block serves for the next one.
  output_.Truncate(before);
}

void AofFileLoader::Select(std::span<const std::string_view> args) {
  int64_t db = 0;
  if (!EqualsIgnoreCase(args[0], "select") || !ParseInt64(args[1], &db)) return;
  if (db >= 0 && db < engine_.database_count()) db_ = static_cast<int>(db);
}

void AofFileLoader::RunFunction(std::span<const std::string_view> args) {
  std::vector<std::string>& libraries = engine_.function_libraries;
  const auto is = [&](std::string_view word) { return args.size() > 1 && EqualsIgnoreCase(args[1], word); };
  const auto remove = [&](std::string_view name) {
    std::erase_if(libraries, [&](const std::string& code) { return LibraryName(code) == name; });
  };
  if (is("flush")) libraries.clear();
  if (is("delete") && args.size() > 2) remove(args[2]);
  if (is("load") && args.size() > 2) {
    remove(LibraryName(args.back()));
    libraries.emplace_back(args.back());
  }
}

void AofFileLoader::Refresh(const AofReader& reader) {
  now_ms_ = Clock::WallMs();
  clock_ = engine::MakeAccessClock(engine_.options(), now_ms_);
  if (progress_ != nullptr) progress_->SetFileOffset(reader.offset());
}

}  // namespace

Status LoadAof(engine::Engine& engine, const engine::HandlerTable& handlers, ByteSource& source,
               const AofLoadOptions& options, LoadProgress* progress, AofLoadResult* result) {
  return AofFileLoader(engine, handlers, source, options, progress, result).Run();
}

}  // namespace sherd::persistence
