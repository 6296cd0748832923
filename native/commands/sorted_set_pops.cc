// What the pops of sorted sets share: see the header.
#include "commands/sorted_set_pops.h"

#include <limits>
#include <string_view>

#include "base/numbers.h"
#include "commands/sorted_set_arguments.h"
#include "engine/sorted_set_value.h"

namespace sherd {

using engine::CommandContext;
using engine::Handle;
using engine::IntegerText;
using engine::Key;
using engine::RankRange;
namespace errors = engine::errors;

bool ParseSortedSetMultiPop(CommandContext& ctx, size_t index, SortedSetMultiPop* pop) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  int64_t keys;
  if (!ctx.ParseIntegerIn(index, 1, kMax, &keys, "ERR numkeys should be greater than 0")) return false;
  const size_t behind = ctx.args.size() - index - 1;
  bool fits = static_cast<uint64_t>(keys) < behind;
  if (fits) {
    index += 1 + static_cast<size_t>(keys);
    pop->is_max = ctx.ArgIs(index, "max");
    fits = pop->is_max || ctx.ArgIs(index, "min");
  }
  bool has_count = false;
  while (fits && ++index < ctx.args.size()) {
    fits = !has_count && ctx.ArgIs(index, "count") && index + 1 < ctx.args.size();
    if (!fits) break;
    has_count = true;
    if (!ctx.ParseIntegerIn(++index, 1, kMax, &pop->count, "ERR count should be greater than 0")) {
      return false;
    }
  }
  if (!fits) ctx.reply.Error(errors::kSyntax);
  pop->keys = static_cast<size_t>(keys);
  return fits;
}

void OpPopMembers(CommandContext& ctx, const Key& key, Handle handle, bool is_max, size_t count, bool nests) {
  const engine::Entry& entry = *handle.entry();
  const size_t length = engine::SortedSetLength(entry);
  const RankRange range = {is_max ? length - count : 0, count};
  engine::VisitRange(entry, range, is_max, [&](std::string_view member, double score) {
    if (nests) ctx.reply.Array(2);
    ctx.reply.Bulk(member);
    ctx.reply.Double(score);
  });
  RemoveRanks(ctx, key, handle, range, is_max ? "zpopmax" : "zpopmin");
}

void OpPopNamedMembers(CommandContext& ctx, const Key& key, Handle handle, const SortedSetMultiPop& pop) {
  const size_t length = engine::SortedSetLength(*handle.entry());
  const size_t count = static_cast<uint64_t>(pop.count) < length ? static_cast<size_t>(pop.count) : length;
  ctx.reply.Array(2);
  ctx.reply.Bulk(key.name);
  ctx.reply.Array(count);
  OpPopMembers(ctx, key, handle, pop.is_max, count, true);
  PropagateSortedSetPop(ctx, key, pop.is_max, count);
}

void PropagateSortedSetPop(CommandContext& ctx, const Key& key, bool is_max, size_t count) {
  if (!ctx.is_propagating()) return;
  const std::string_view name = is_max ? "ZPOPMAX" : "ZPOPMIN";
  if (count == 0) return ctx.Propagate({name, key.name});
  IntegerText text;
  ctx.Propagate({name, key.name, {text.bytes, FormatUint64(count, text.bytes)}});
}

}  // namespace sherd
