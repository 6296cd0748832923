// What the families on sorted sets share: see the header.
#include "commands/sorted_set_arguments.h"

#include <cmath>
#include <cstdlib>
#include <string>

#include "base/numbers.h"

namespace sherd {

using engine::CommandContext;
using engine::Encoding;
using engine::Handle;
using engine::Key;
using engine::RankRange;
using engine::ScoreRange;
using engine::TextBound;
using engine::TextRange;
using engine::Type;

namespace {

// One end of a range of scores; what it says about "(".
bool ParseScoreBound(std::string_view text, double* score, bool* is_exclusive) {
  *is_exclusive = !text.empty() && text[0] == '(';
  if (*is_exclusive) text.remove_prefix(1);
  if (ParseDouble(text, score)) return true;
  // What ParseDouble refuses may still be a bound.
  const std::string terminated(text);
  char* end = nullptr;
  *score = std::strtod(terminated.c_str(), &end);
  return *end == '\0' && !std::isnan(*score);
}

// "-" and "+" end at a zero byte, as C strings do.
bool IsSign(std::string_view text, char sign) {
  return text[0] == sign && (text.size() == 1 || text[1] == '\0');
}

bool ParseTextBound(std::string_view text, TextBound* bound) {
  if (text.empty()) return false;
  if (IsSign(text, '-') || IsSign(text, '+')) {
    bound->kind = text[0] == '-' ? TextBound::kLowest : TextBound::kHighest;
    bound->is_exclusive = true;
    return true;
  }
  if (text[0] != '(' && text[0] != '[') return false;
  bound->kind = TextBound::kText;
  bound->is_exclusive = text[0] == '(';
  bound->text = text.substr(1);
  return true;
}

}  // namespace

bool ParseScoreRange(CommandContext& ctx, size_t min_index, size_t max_index, ScoreRange* range) {
  if (ParseScoreBound(ctx.args[min_index], &range->min, &range->excludes_min) &&
      ParseScoreBound(ctx.args[max_index], &range->max, &range->excludes_max)) {
    return true;
  }
  ctx.reply.Error("ERR min or max is not a float");
  return false;
}

bool ParseTextRange(CommandContext& ctx, size_t min_index, size_t max_index, TextRange* range) {
  if (ParseTextBound(ctx.args[min_index], &range->min) &&
      ParseTextBound(ctx.args[max_index], &range->max)) {
    return true;
  }
  ctx.reply.Error("ERR min or max not valid string range item");
  return false;
}

bool ParseNotNegative(CommandContext& ctx, size_t index, int64_t* value, std::string_view error) {
  if (ParseInt64(ctx.args[index], value) && *value >= 0) return true;
  ctx.reply.Error(error);
  return false;
}

bool ParseFloat(CommandContext& ctx, size_t index, double* value, std::string_view error) {
  if (ParseDouble(ctx.args[index], value)) return true;
  ctx.reply.Error(error);
  return false;
}

RankRange ClampRanks(int64_t start, int64_t end, size_t length) {
  const int64_t signed_length = static_cast<int64_t>(length);
  if (start < 0) start += signed_length;
  if (end < 0) end += signed_length;
  if (start < 0) start = 0;
  if (start > end || start >= signed_length) return {};
  if (end >= signed_length) end = signed_length - 1;
  return {static_cast<size_t>(start), static_cast<size_t>(end - start + 1)};
}

const Key* KeyOfArgument(const CommandContext& ctx, size_t index) {
  for (const Key& key : ctx.keys) {
    if (key.name.data() == ctx.args[index].data() && key.name.size() == ctx.args[index].size())
      return &key;
  }
  return nullptr;
}

engine::Handle OpenSortedSet(engine::CommandContext& ctx, const engine::Key& key, engine::Handle handle,
                             const engine::SortedSetLimits& limits, size_t members,
                             size_t first_length) {
  if (handle) {
    engine::Entry& entry = ctx.Mutate(key, handle);
    // Redis 7.2 goes by the number of pairs, whether they are members already or not.
    if (entry.encoding() == engine::Encoding::kListPack && members > limits.max_entries) {
      engine::ConvertToSkipList(ctx.heap(key), entry);
    }
    return handle;
  }
  engine::Encoding encoding;
  const uint64_t payload =
      engine::CreateSortedSet(ctx.heap(key), limits, members, first_length, &encoding);
  handle = ctx.SetValue(key, handle, engine::Type::kSortedSet, encoding,
                        reinterpret_cast<const void*>(payload));
  ctx.Notify(engine::kEventNew, "new", key);
  return handle;
}

void DeleteIfEmpty(CommandContext& ctx, const Key& key, Handle handle) {
  if (engine::SortedSetLength(*handle.entry()) > 0) return;
  ctx.Delete(key, handle, static_cast<bool>(ctx.options().lazyfree_lazy_server_del));
  ctx.Notify(engine::kEventGeneric, "del", key);
}

void RemoveRanks(CommandContext& ctx, const Key& key, Handle handle, RankRange range,
                 const char* event) {
  engine::Entry& entry = ctx.Mutate(key, handle);
  const bool is_all = range.count == engine::SortedSetLength(entry);
  if (is_all) {
    // The value goes as a whole, in slices if it is big.
    ctx.Delete(key, handle, static_cast<bool>(ctx.options().lazyfree_lazy_server_del));
  } else {
    engine::RemoveRange(ctx.heap(key), entry, range);
  }
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventSortedSet, event, key);
  if (is_all) ctx.Notify(engine::kEventGeneric, "del", key);
  ctx.AddDirty(static_cast<int64_t>(range.count));
}

void StoreSortedSet(CommandContext& ctx, const Key& key, engine::SortedSetBuilder& builder,
                    const char* event) {
  const Handle existing = ctx.LookupWrite(key);
  const size_t members = builder.size();
  ctx.reply.Integer(static_cast<int64_t>(members));
  if (members == 0) {
    if (!existing) return;
    ctx.Delete(key, existing, static_cast<bool>(ctx.options().lazyfree_lazy_server_del));
    ctx.SignalModified(key);
    ctx.Notify(engine::kEventGeneric, "del", key);
    ctx.AddDirty(1);
    return;
  }
  Encoding encoding;
  const uint64_t payload = builder.Finish(engine::SortedSetLimits::Of(ctx.options()), &encoding);
  ctx.SetValue(key, existing, Type::kSortedSet, encoding, reinterpret_cast<const void*>(payload));
  if (!existing) ctx.Notify(engine::kEventNew, "new", key);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventSortedSet, event, key);
  ctx.AddDirty(1);
}

}  // namespace sherd
