// Key commands: what can be done with a key of any type: delete, count, rename, copy, move,
// inspect.
//
// All of them work on entries as a whole and never look into a value, so they need no change when a
// new type arrives: the keyspace knows how to copy, move and free what an entry holds. Commands
// about expiries are in expire_commands.cc, those that walk over all keys in scan_commands.cc.
//
// Must hold: a handle is used only until the next insert or erase in its table. RENAME and COPY
// touch two keys that may live in one table, so the source is looked up again after the target was
// settled. The order of events is Redis's: "expired" of a dead target, then "new", then the
// command's own.
//
// Cost: O(1) a key. Thread: the one that runs the command; the leases of all its keys are held.
#include <climits>
#include <cstdint>
#include <string_view>

#include "base/strings.h"
#include "commands/families.h"
#include "commands/help.h"
#include "commands/shared_integers.h"
#include "engine/command_context.h"
#include "engine/handlers.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::Key;
using engine::Keyspace;

constexpr std::string_view kSameObject = "ERR source and destination objects are the same";
constexpr std::string_view kIntRange =
    "ERR value is out of range, value must between -2147483648 and 2147483647";
constexpr std::string_view kNoFrequency =
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that "
    "when "
    "switching between policies at runtime LRU and LFU data will take some time to adjust.";
constexpr std::string_view kNoIdleTime =
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when "
    "switching "
    "between policies at runtime LRU and LFU data will take some time to adjust.";

struct CopyOptions {
  int db = 0;
  bool replace = false;
};

// ---- Parsing ----

/// Parses args[index] as a database number; replies with the error and returns false.
bool ParseDatabase(CommandContext& ctx, size_t index, int* db) {
  int64_t value = 0;
  if (!ctx.ParseInteger(index, &value)) return false;
  if (value < INT_MIN || value > INT_MAX) {
    ctx.reply.Error(kIntRange);
    return false;
  }
  if (value < 0 || value >= ctx.engine.database_count()) {
    ctx.reply.Error(engine::errors::kDbIndexOutOfRange);
    return false;
  }
  *db = static_cast<int>(value);
  return true;
}

/// COPY source destination [DB n] [REPLACE]: each database number is checked as it is met, so that
/// the first error of the line is the one reported.
bool ParseCopy(CommandContext& ctx, CopyOptions* options) {
  options->db = ctx.db;
  for (size_t i = 3; i < ctx.args.size(); i++) {
    if (ctx.ArgIs(i, "replace")) {
      options->replace = true;
    } else if (ctx.ArgIs(i, "db") && i + 1 < ctx.args.size()) {
      if (!ParseDatabase(ctx, ++i, &options->db)) return false;
    } else {
      ctx.reply.Error(engine::errors::kSyntax);
      return false;
    }
  }
  if (options->db == ctx.db && ctx.key(0).name == ctx.key(1).name) {
    ctx.reply.Error(kSameObject);
    return false;
  }
  return true;
}

// ---- Work ----

int64_t OpDelete(CommandContext& ctx, bool lazy) {
  int64_t deleted = 0;
  for (const Key& key : ctx.keys) {
    const Handle handle = ctx.LookupWrite(key, engine::kNoTouch);
    if (!handle) continue;
    ctx.Delete(key, handle, lazy);
    ctx.SignalModified(key);
    ctx.Notify(engine::kEventGeneric, "del", key);
    deleted++;
  }
  ctx.AddDirty(deleted);
  return deleted;
}

int64_t OpCount(CommandContext& ctx, uint32_t flags) {
  int64_t found = 0;
  for (const Key& key : ctx.keys) found += ctx.LookupRead(key, flags) ? 1 : 0;
  return found;
}

/// Deletes a target that is about to be replaced.
void EraseTarget(CommandContext& ctx, int db, const Key& key, Handle existing) {
  ctx.keyspace(key).Erase(db, existing, static_cast<bool>(ctx.options().lazyfree_lazy_server_del));
}

enum class RenameResult { kRenamed, kNoSource, kTargetExists };

RenameResult OpRename(CommandContext& ctx, bool only_if_absent) {
  const Key& source_key = ctx.key(0);
  const Key& target_key = ctx.key(1);
  if (!ctx.LookupWrite(source_key)) return RenameResult::kNoSource;
  if (source_key.name == target_key.name) {
    return only_if_absent ? RenameResult::kTargetExists : RenameResult::kRenamed;
  }
  const Handle existing = ctx.LookupWrite(target_key);
  if (existing) {
    if (only_if_absent) return RenameResult::kTargetExists;
    EraseTarget(ctx, ctx.db, target_key, existing);
  }
  Keyspace& from = ctx.keyspace(source_key);
  from.MoveEntry(ctx.db, from.Find(ctx.db, source_key), ctx.keyspace(target_key), ctx.db,
                 target_key);
  ctx.Notify(engine::kEventNew, "new", target_key);
  ctx.SignalModified(source_key);
  ctx.SignalModified(target_key);
  ctx.Notify(engine::kEventGeneric, "rename_from", source_key);
  ctx.Notify(engine::kEventGeneric, "rename_to", target_key);
  ctx.AddDirty(1);
  return RenameResult::kRenamed;
}

/// False: no source, or the target exists and may not be replaced.
bool OpCopy(CommandContext& ctx, const CopyOptions& options) {
  const Key& source_key = ctx.key(0);
  const Key& target_key = ctx.key(1);
  if (!ctx.LookupRead(source_key)) return false;
  const Handle existing = ctx.LookupIn(options.db, target_key, engine::kNoStats);
  if (existing) {
    if (!options.replace) return false;
    EraseTarget(ctx, options.db, target_key, existing);
  }
  const Entry& source = *ctx.keyspace(source_key).Find(ctx.db, source_key).entry();
  ctx.keyspace(target_key).InsertCopy(options.db, target_key, source, source.expiry_ms());
  ctx.NotifyIn(options.db, engine::kEventNew, "new", target_key.name);
  ctx.SignalModifiedIn(options.db, target_key);
  ctx.NotifyIn(options.db, engine::kEventGeneric, "copy_to", target_key.name);
  ctx.AddDirty(1);
  return true;
}

/// False: no such key, or the target database has it already.
bool OpMove(CommandContext& ctx, int target_db) {
  const Key& key = ctx.key(0);
  const Handle handle = ctx.LookupWrite(key);
  if (!handle) return false;
  if (ctx.LookupIn(target_db, key, engine::kNoStats)) return false;
  Keyspace& space = ctx.keyspace(key);
  space.MoveEntry(ctx.db, handle, space, target_db, key);
  ctx.NotifyIn(target_db, engine::kEventNew, "new", key.name);
  ctx.SignalModified(key);
  ctx.SignalModifiedIn(target_db, key);
  ctx.Notify(engine::kEventGeneric, "move_from", key);
  ctx.NotifyIn(target_db, engine::kEventGeneric, "move_to", key.name);
  ctx.AddDirty(1);
  return true;
}

/// OBJECT counts hits and misses, but neither touches the key nor tells of a miss (Redis:
/// NONOTIFY).
Handle LookupObject(CommandContext& ctx) {
  const Handle handle = ctx.LookupIn(ctx.db, ctx.key(0), engine::kNoTouch | engine::kNoStats);
  if (handle) {
    ctx.counters->keyspace_hits.Increment();
  } else {
    ctx.counters->keyspace_misses.Increment();
  }
  return handle;
}

// ---- Handlers ----

void CmdDel(CommandContext& ctx) {
  ctx.reply.Integer(OpDelete(ctx, static_cast<bool>(ctx.options().lazyfree_lazy_user_del)));
}

void CmdUnlink(CommandContext& ctx) { ctx.reply.Integer(OpDelete(ctx, true)); }

void CmdExists(CommandContext& ctx) { ctx.reply.Integer(OpCount(ctx, engine::kNoTouch)); }

void CmdTouch(CommandContext& ctx) {
  // TOUCH is what a client under CLIENT NO-TOUCH uses to touch a key after all.
  ctx.no_touch = false;
  ctx.reply.Integer(OpCount(ctx, engine::kLookupDefault));
}

void CmdType(CommandContext& ctx) {
  const Handle handle = ctx.LookupRead(ctx.key(0), engine::kNoTouch);
  ctx.reply.SimpleString(handle ? engine::TypeName(handle.entry()->type()) : "none");
}

void CmdRename(CommandContext& ctx) {
  if (OpRename(ctx, false) == RenameResult::kNoSource)
    return ctx.reply.Error(engine::errors::kNoSuchKey);
  ctx.reply.Ok();
}

void CmdRenameNx(CommandContext& ctx) {
  const RenameResult result = OpRename(ctx, true);
  if (result == RenameResult::kNoSource) return ctx.reply.Error(engine::errors::kNoSuchKey);
  ctx.reply.Integer(result == RenameResult::kRenamed ? 1 : 0);
}

void CmdCopy(CommandContext& ctx) {
  CopyOptions options;
  if (!ParseCopy(ctx, &options)) return;
  ctx.reply.Integer(OpCopy(ctx, options) ? 1 : 0);
}

void CmdMove(CommandContext& ctx) {
  int target_db = 0;
  if (!ParseDatabase(ctx, 2, &target_db)) return;
  if (target_db == ctx.db) return ctx.reply.Error(kSameObject);
  ctx.reply.Integer(OpMove(ctx, target_db) ? 1 : 0);
}

void CmdObjectEncoding(CommandContext& ctx) {
  const Handle handle = LookupObject(ctx);
  if (!handle) return ctx.reply.Null();
  ctx.reply.Bulk(engine::EncodingName(handle.entry()->encoding()));
}

void CmdObjectRefCount(CommandContext& ctx) {
  const Handle handle = LookupObject(ctx);
  if (!handle) return ctx.reply.Null();
  ctx.reply.Integer(ReportedRefCount(ctx, *handle.entry()));
}

void CmdObjectFreq(CommandContext& ctx) {
  const Handle handle = LookupObject(ctx);
  if (!handle) return ctx.reply.Null();
  if (!engine::IsLfuPolicy(ctx.options().maxmemory_policy.Get()))
    return ctx.reply.Error(kNoFrequency);
  ctx.reply.Integer(Keyspace::LfuFrequency(*handle.entry(), ctx.clock));
}

void CmdObjectIdleTime(CommandContext& ctx) {
  const Handle handle = LookupObject(ctx);
  if (!handle) return ctx.reply.Null();
  if (engine::IsLfuPolicy(ctx.options().maxmemory_policy.Get()))
    return ctx.reply.Error(kNoIdleTime);
  // The clock has 24 bits of seconds and wraps after 194 days.
  ctx.reply.Integer((ctx.clock.lru_seconds - handle.entry()->clock24()) & 0xffffff);
}

void CmdObjectHelp(CommandContext& ctx) {
  static constexpr std::string_view kLines[] = {
      "ENCODING <key>",
      "    How the value of <key> is stored: its internal encoding.",
      "FREQ <key>",
      "    How often <key> was accessed lately, on a logarithmic scale (LFU policies",
      "    only).",
      "IDLETIME <key>",
      "    Seconds since the last access to <key> (not with LFU policies).",
      "REFCOUNT <key>",
      "    How many references the value of <key> has.",
  };
  ReplyHelp(ctx.reply, "OBJECT", kLines);
}

constexpr HandlerRow kHandlers[] = {
    {"copy", CmdCopy},
    {"del", CmdDel},
    {"exists", CmdExists},
    {"move", CmdMove},
    {"object|encoding", CmdObjectEncoding},
    {"object|freq", CmdObjectFreq},
    {"object|help", CmdObjectHelp},
    {"object|idletime", CmdObjectIdleTime},
    {"object|refcount", CmdObjectRefCount},
    {"rename", CmdRename},
    {"renamenx", CmdRenameNx},
    {"touch", CmdTouch},
    {"type", CmdType},
    {"unlink", CmdUnlink},
};

}  // namespace

std::span<const HandlerRow> KeyHandlers() { return kHandlers; }

}  // namespace sherd
