// Shared integers: which values OBJECT REFCOUNT and DEBUG OBJECT report as shared.
//
// Redis keeps one object for each integer of 0 to 9999 and reports INT_MAX references to it, unless
// a memory limit with an LRU or LFU policy needs a clock for each value. Here nothing is shared; the
// figure follows from the value alone, since clients and tests look at it.
//
// Thread: the one that runs the command; the lease of the entry's shard is held.
#pragma once

#include <climits>
#include <cstdint>

#include "engine/command_context.h"

namespace sherd {

/// The number of references that Redis reports for an entry's value.
inline int ReportedRefCount(engine::CommandContext& ctx, const engine::Entry& entry) {
  constexpr int64_t kSharedIntegers = 10000;
  if (entry.type() != engine::Type::kString || entry.encoding() != engine::Encoding::kInt) return 1;
  const int64_t policy = ctx.options().maxmemory_policy.Get();
  if (ctx.options().maxmemory && (engine::IsLruPolicy(policy) || engine::IsLfuPolicy(policy)))
    return 1;
  const int64_t value = static_cast<int64_t>(entry.payload());
  return value >= 0 && value < kSharedIntegers ? INT_MAX : 1;
}

}  // namespace sherd
