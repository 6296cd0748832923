// What the pops of sorted sets share, which exist in a form that waits (BZPOPMIN, BZMPOP:
// blocking_commands.cc) and in one that does not (sorted_set_commands.cc).
//
// Each function replies and reports what it does (events, effects, dirty), as the command that does not
// wait; how it is to be replayed is the caller's business where that is not the command as sent.
//
// Thread: the one that holds the leases of the keys.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/command_context.h"

namespace sherd {

struct SortedSetMultiPop {
  size_t keys = 0;
  bool is_max = false;
  int64_t count = 1;
};
/// numkeys key … MIN|MAX [COUNT count], numkeys being args[index]. The error is the reply.
bool ParseSortedSetMultiPop(engine::CommandContext& ctx, size_t index, SortedSetMultiPop* pop);

/// Replies with `count` members (of those that are there, at least one) from one end, in pairs if `nests`,
/// and removes them.
void OpPopMembers(engine::CommandContext& ctx, const engine::Key& key, engine::Handle handle, bool is_max,
                  size_t count, bool nests);
/// Replies with name and members ([key, [[member, score] …]]), and replays as ZPOPMIN or ZPOPMAX.
void OpPopNamedMembers(engine::CommandContext& ctx, const engine::Key& key, engine::Handle handle,
                       const SortedSetMultiPop& pop);
/// Replayed as ZPOPMIN or ZPOPMAX, with a count if `count` is not 0.
void PropagateSortedSetPop(engine::CommandContext& ctx, const engine::Key& key, bool is_max, size_t count);

}  // namespace sherd
