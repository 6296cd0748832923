// What the families on lists share: pops of several elements and moves from list to list, which exist
// in a form that waits (BLPOP, BLMOVE: blocking_commands.cc) and in one that does not (list_commands.cc).
//
// Each function replies and reports what it does (events, effects, dirty), as the command that does not
// wait; how it is to be replayed is the caller's business where that is not the command as sent.
//
// Thread: the one that holds the leases of the keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "ds/listpack.h"
#include "engine/command_context.h"
#include "engine/list_value.h"

namespace sherd {

// ---- Parsing; the error is the reply ----

/// LEFT or RIGHT.
bool ParseListEnd(engine::CommandContext& ctx, size_t index, engine::ListEnd* end);

struct ListMultiPop {
  size_t keys = 0;
  engine::ListEnd end = engine::ListEnd::kHead;
  int64_t count = 1;
};
/// numkeys key … LEFT|RIGHT [COUNT count], numkeys being args[index].
bool ParseListMultiPop(engine::CommandContext& ctx, size_t index, ListMultiPop* options);

// ---- Reporting ----

inline const char* ListPushEvent(engine::ListEnd end) {
  return end == engine::ListEnd::kHead ? "lpush" : "rpush";
}
inline const char* ListPopEvent(engine::ListEnd end) {
  return end == engine::ListEnd::kHead ? "lpop" : "rpop";
}
/// What every removal of `count` elements reports; the list shrinks its encoding, or is deleted.
void ReportListRemoval(engine::CommandContext& ctx, const engine::Key& key, engine::Handle handle,
                       const char* event, size_t count);
/// Replayed as LPOP or RPOP, with a count if `count` is not 0.
void PropagateListPop(engine::CommandContext& ctx, const engine::Key& key, engine::ListEnd end, size_t count);

// ---- Doing ----

inline void ReplyListElement(engine::CommandContext& ctx, ds::PackedValue value) {
  if (value.is_integer()) return ctx.reply.BulkInteger(value.integer);
  ctx.reply.Bulk({value.text, value.size});
}
struct ListRange {
  size_t start = 0;
  size_t count = 0;
};
/// The elements of a range as an array, from its other end when `is_backward`.
void ReplyListRange(engine::CommandContext& ctx, const engine::Entry& entry, ListRange range,
                    bool is_backward);

/// An empty list under a name that does not exist. It must not stay empty.
engine::Handle CreateList(engine::CommandContext& ctx, const engine::Key& key);
/// Replies with the element at one end and removes it.
void OpPopElement(engine::CommandContext& ctx, const engine::Key& key, engine::Handle handle,
                  engine::ListEnd end);
/// Replies with the elements of one end as an array, outermost first, and removes them: `count`, or all
/// there are. Returns how many.
size_t OpPopRange(engine::CommandContext& ctx, const engine::Key& key, engine::Handle handle,
                  engine::ListEnd end, size_t count);
/// Replies with name and elements ([key, [element …]]), and replays as LPOP or RPOP.
void OpPopNamedRange(engine::CommandContext& ctx, const engine::Key& key, engine::Handle handle,
                     const ListMultiPop& options);
/// Moves an element from the list at key 0 to the one at key 1, which may be the same, and replies with
/// it. False: key 1 has another type, and the error is the reply.
bool OpMoveElement(engine::CommandContext& ctx, engine::Handle source, engine::ListEnd from,
                   engine::ListEnd to);

}  // namespace sherd
