// Server commands: what concerns whole databases, and what a key costs: DBSIZE, FLUSHDB, FLUSHALL,
// SWAPDB, MEMORY USAGE.
//
// The first four run with the leases of all shards held, so that no client ever sees a database
// half emptied or half swapped (R4). A flush with ASYNC detaches the tables and leaves the freeing
// to the shards' owners.
//
// Must hold: FLUSHDB and FLUSHALL are propagated even if there was nothing to delete, because a
// replica may have what we have not (Redis: forceCommandPropagation).
//
// Cost: O(shards), FLUSH without ASYNC O(keys). Thread: the one that runs the command.
#include <climits>
#include <cstdint>
#include <string_view>

#include "commands/families.h"
#include "commands/help.h"
#include "engine/command_context.h"
#include "engine/handlers.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Handle;
using engine::HandlerRow;
using engine::Keyspace;
using engine::ShardId;

// ---- Parsing ----

/// [ASYNC|SYNC]; without it the option lazyfree-lazy-user-flush decides.
bool ParseFlush(CommandContext& ctx, bool* lazy) {
  *lazy = static_cast<bool>(ctx.options().lazyfree_lazy_user_flush);
  if (ctx.args.size() == 1) return true;
  *lazy = ctx.ArgIs(1, "async");
  if (ctx.args.size() == 2 && (*lazy || ctx.ArgIs(1, "sync"))) return true;
  ctx.reply.Error(engine::errors::kSyntax);
  return false;
}

/// MEMORY USAGE key [SAMPLES n]: 5 elements unless told, 0 is all.
bool ParseMemoryUsage(CommandContext& ctx, size_t* samples) {
  *samples = 5;
  for (size_t i = 3; i < ctx.args.size(); i += 2) {
    int64_t count = 0;
    if (i + 1 < ctx.args.size() && ctx.ArgIs(i, "samples")) {
      if (!ctx.ParseInteger(i + 1, &count)) return false;
      *samples = static_cast<size_t>(count);
      if (count >= 0) continue;
    }
    ctx.reply.Error(engine::errors::kSyntax);
    return false;
  }
  return true;
}

// ---- Work ----

template <class Visit>
void ForEachShard(CommandContext& ctx, Visit&& visit) {
  for (int shard = 0; shard < ctx.engine.shard_count(); shard++) {
    visit(ctx.keyspace(static_cast<ShardId>(shard)));
  }
}

/// Empties a database in all shards and returns how many keys it had.
int64_t OpFlush(CommandContext& ctx, int db, bool lazy) {
  int64_t removed = 0;
  ForEachShard(ctx, [&](Keyspace& space) {
    removed += static_cast<int64_t>(space.db(db).table.size());
    space.Flush(db, lazy);
  });
  return removed;
}

// ---- Handlers ----

void CmdDbSize(CommandContext& ctx) {
  int64_t size = 0;
  ForEachShard(
      ctx, [&](Keyspace& space) { size += static_cast<int64_t>(space.db(ctx.db).table.size()); });
  ctx.reply.Integer(size);
}

void CmdFlushDb(CommandContext& ctx) {
  bool lazy = false;
  if (!ParseFlush(ctx, &lazy)) return;
  ctx.SignalFlushed(ctx.db);
  ctx.AddDirty(OpFlush(ctx, ctx.db, lazy));
  if (ctx.is_propagating()) ctx.Propagate(ctx.db, ctx.args);
  ctx.reply.Ok();
}

void CmdFlushAll(CommandContext& ctx) {
  bool lazy = false;
  if (!ParseFlush(ctx, &lazy)) return;
  ctx.SignalFlushed(-1);
  for (int db = 0; db < ctx.engine.database_count(); db++) ctx.AddDirty(OpFlush(ctx, db, lazy));
  // The control plane looks at it: an RDB file, if save points want one, must not have what is gone.
  ctx.counters->flushes_of_all.Increment();
  if (ctx.is_propagating()) ctx.Propagate(ctx.db, ctx.args);
  ctx.reply.Ok();
}

void CmdSwapDb(CommandContext& ctx) {
  int64_t first = 0;
  int64_t second = 0;
  if (!ctx.ParseIntegerIn(1, INT_MIN, INT_MAX, &first, "ERR invalid first DB index")) return;
  if (!ctx.ParseIntegerIn(2, INT_MIN, INT_MAX, &second, "ERR invalid second DB index")) return;
  const int64_t databases = ctx.engine.database_count();
  if (first < 0 || first >= databases || second < 0 || second >= databases) {
    return ctx.reply.Error(engine::errors::kDbIndexOutOfRange);
  }
  const int a = static_cast<int>(first);
  const int b = static_cast<int>(second);
  ForEachShard(ctx, [&](Keyspace& space) { space.SwapDatabases(a, b); });
  if (a != b) ctx.SignalSwapped(a, b);
  ctx.AddDirty(1);
  ctx.reply.Ok();
}

void CmdMemoryUsage(CommandContext& ctx) {
  size_t samples;
  if (!ParseMemoryUsage(ctx, &samples)) return;
  // Neither a hit nor a touch, and expired keys are told about as long as they are there (Redis).
  Keyspace& space = ctx.keyspace(ctx.key(0));
  const Handle handle = space.Find(ctx.db, ctx.key(0));
  if (!handle) return ctx.reply.Null();
  ctx.reply.Integer(static_cast<int64_t>(space.MemoryUsage(*handle.entry(), samples)));
}

void CmdMemoryHelp(CommandContext& ctx) {
  static constexpr std::string_view kLines[] = {
      "USAGE <key> [SAMPLES <count>]",
      "    Bytes that <key> and its value take. SAMPLES is accepted for compatibility:",
      "    the sizes of nested values are known without sampling.",
  };
  ReplyHelp(ctx.reply, "MEMORY", kLines);
}

constexpr HandlerRow kHandlers[] = {
    {"dbsize", CmdDbSize},          {"flushall", CmdFlushAll},        {"flushdb", CmdFlushDb},
    {"memory|help", CmdMemoryHelp}, {"memory|usage", CmdMemoryUsage}, {"swapdb", CmdSwapDb},
};

}  // namespace

std::span<const HandlerRow> ServerHandlers() { return kHandlers; }

}  // namespace sherd
