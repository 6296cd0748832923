// Commands that wait: pops and moves of lists and sorted sets, WAIT and WAITAOF. (XREAD and XREADGROUP
// stand with the streams.)
//
// A command that waits is an ordinary one that may end with ctx.Block() instead of a reply. When one of
// its keys has changed it is run again, as a whole, under the leases of the command that changed it
// (ctx.Holds() says which keys those are); so there is one code for "served at once" and "served later",
// as in Redis 7.2. All arguments are checked before any key is looked at, in Redis's order: the time
// comes last wherever it stands.
//
// Replayed as the command that does not wait: LPOP, RPOP, LMOVE, RPOPLPUSH, ZPOPMIN, ZPOPMAX.
//
// Cost: that of the pop; waiting itself is the network layer's (server_blocking.cc).
//
// Thread: the one that holds the leases of the keys; WAIT and WAITAOF on the connection's worker.
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include "base/numbers.h"
#include "commands/families.h"
#include "commands/list_moves.h"
#include "commands/sorted_set_pops.h"
#include "engine/command_context.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Handle;
using engine::HandlerRow;
using engine::Key;
using engine::ListEnd;
using engine::TimeoutReply;
using engine::Type;
namespace errors = engine::errors;

// ---- The first of several keys ----

// Calls serve(key, handle) for the first key that holds something; waits if none does.
template <class Serve>
void ServeFirst(CommandContext& ctx, Type type, int64_t deadline_ms, Serve&& serve) {
  for (const Key& key : ctx.keys) {
    if (!ctx.Holds(key)) continue;
    Handle handle;
    if (!ctx.FindWrite(key, type, &handle)) return;
    if (handle) return serve(key, handle);
  }
  if (!ctx.Block(type, ctx.keys.size(), deadline_ms)) ctx.reply.NullArray();
}

// ---- Lists ----

void PopList(CommandContext& ctx, ListEnd end) {
  int64_t deadline_ms;
  if (!ctx.ParseTimeoutSeconds(ctx.args.size() - 1, &deadline_ms)) return;
  ServeFirst(ctx, Type::kList, deadline_ms, [&](const Key& key, Handle handle) {
    ctx.reply.Array(2);
    ctx.reply.Bulk(key.name);
    OpPopElement(ctx, key, handle, end);
    PropagateListPop(ctx, key, end, 0);
  });
}
void CmdBLPop(CommandContext& ctx) { PopList(ctx, ListEnd::kHead); }
void CmdBRPop(CommandContext& ctx) { PopList(ctx, ListEnd::kTail); }

void CmdBLMPop(CommandContext& ctx) {
  ListMultiPop options;
  int64_t deadline_ms;
  if (!ParseListMultiPop(ctx, 2, &options) || !ctx.ParseTimeoutSeconds(1, &deadline_ms)) return;
  ServeFirst(ctx, Type::kList, deadline_ms, [&](const Key& key, Handle handle) {
    OpPopNamedRange(ctx, key, handle, options);
  });
}

// True: an element was moved.
bool MoveOrWait(CommandContext& ctx, ListEnd from, ListEnd to, int64_t deadline_ms) {
  Handle source;
  if (!ctx.FindWrite(ctx.key(0), Type::kList, &source)) return false;
  // The destination's shard may be missing when it is tried again; then it will be once more, with both.
  if (source && ctx.Holds(ctx.key(1))) return OpMoveElement(ctx, source, from, to);
  if (!ctx.Block(Type::kList, 1, deadline_ms)) ctx.reply.Null();
  return false;
}

void CmdBLMove(CommandContext& ctx) {
  ListEnd from;
  ListEnd to;
  int64_t deadline_ms;
  if (!ParseListEnd(ctx, 3, &from) || !ParseListEnd(ctx, 4, &to)) return;
  if (!ctx.ParseTimeoutSeconds(5, &deadline_ms)) return;
  if (!MoveOrWait(ctx, from, to, deadline_ms) || !ctx.is_propagating()) return;
  ctx.Propagate({"LMOVE", ctx.args[1], ctx.args[2], ctx.args[3], ctx.args[4]});
}

void CmdBRPopLPush(CommandContext& ctx) {
  int64_t deadline_ms;
  if (!ctx.ParseTimeoutSeconds(3, &deadline_ms)) return;
  if (!MoveOrWait(ctx, ListEnd::kTail, ListEnd::kHead, deadline_ms) || !ctx.is_propagating()) return;
  ctx.Propagate({"RPOPLPUSH", ctx.args[1], ctx.args[2]});
}

// ---- Sorted sets ----

void PopSortedSet(CommandContext& ctx, bool is_max) {
  int64_t deadline_ms;
  if (!ctx.ParseTimeoutSeconds(ctx.args.size() - 1, &deadline_ms)) return;
  ServeFirst(ctx, Type::kSortedSet, deadline_ms, [&](const Key& key, Handle handle) {
    ctx.reply.Array(3);
    ctx.reply.Bulk(key.name);
    OpPopMembers(ctx, key, handle, is_max, 1, false);
    PropagateSortedSetPop(ctx, key, is_max, 0);
  });
}
void CmdBZPopMin(CommandContext& ctx) { PopSortedSet(ctx, false); }
void CmdBZPopMax(CommandContext& ctx) { PopSortedSet(ctx, true); }

void CmdBZMPop(CommandContext& ctx) {
  SortedSetMultiPop pop;
  int64_t deadline_ms;
  if (!ParseSortedSetMultiPop(ctx, 2, &pop) || !ctx.ParseTimeoutSeconds(1, &deadline_ms)) return;
  ServeFirst(ctx, Type::kSortedSet, deadline_ms, [&](const Key& key, Handle handle) {
    OpPopNamedMembers(ctx, key, handle, pop);
  });
}

// ---- Replicas and files. There are none yet: nobody acknowledges, so who asks for more waits in vain. ----

void CmdWait(CommandContext& ctx) {
  int64_t replicas;
  int64_t deadline_ms;
  if (!ctx.ParseInteger(1, &replicas) || !ctx.ParseTimeoutMs(2, &deadline_ms)) return;
  if (replicas > 0 && ctx.Block(Type::kList, 0, deadline_ms, TimeoutReply::kZero)) return;
  ctx.reply.Integer(0);
}

void CmdWaitAof(CommandContext& ctx) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  int64_t local;
  int64_t replicas;
  int64_t deadline_ms;
  if (!ctx.ParseInteger(1, &local)) return;
  if (local < 0 || local > 1) return ctx.reply.Error("ERR value is out of range, value must between 0 and 1");
  if (!ctx.ParseIntegerIn(2, 0, kMax, &replicas, errors::kMustBePositive)) return;
  if (!ctx.ParseTimeoutMs(3, &deadline_ms)) return;
  if (local > 0) {
    return ctx.reply.Error(
        "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
  }
  if (replicas > 0 && ctx.Block(Type::kList, 0, deadline_ms, TimeoutReply::kTwoZeros)) return;
  ctx.reply.Array(2);
  ctx.reply.Integer(0);
  ctx.reply.Integer(0);
}

constexpr HandlerRow kHandlers[] = {
    {"blmove", CmdBLMove},     {"blmpop", CmdBLMPop}, {"blpop", CmdBLPop},       {"brpop", CmdBRPop},
    {"brpoplpush", CmdBRPopLPush}, {"bzmpop", CmdBZMPop}, {"bzpopmax", CmdBZPopMax}, {"bzpopmin", CmdBZPopMin},
    {"wait", CmdWait},         {"waitaof", CmdWaitAof},
};

}  // namespace

std::span<const HandlerRow> BlockingHandlers() { return kHandlers; }

}  // namespace sherd
