// Sorted sets: ranges: ZRANGE in all its forms, counts, ZREMRANGEBY…, ZRANGESTORE.
//
// Ten commands are one: they name a source, two ends, by what the ends are meant (rank, score, text), a
// direction, and perhaps a limit. RangeQuery holds that; Resolve() turns it into a range of ranks, after
// which replying, counting, removing and storing are one walk each.
//
// Thread: the one that holds the leases of the keys.
#include <cstdint>
#include <string_view>

#include "commands/families.h"
#include "commands/sorted_set_arguments.h"
#include "engine/command_context.h"
#include "engine/sorted_set_value.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::Key;
using engine::RankRange;
using engine::ScoreRange;
using engine::TextRange;
using engine::Type;
namespace errors = engine::errors;

enum class By : uint8_t { kUnsaid, kRank, kScore, kText };
enum class Direction : uint8_t { kUnsaid, kForward, kReverse };

struct RangeQuery {
  By by = By::kUnsaid;
  Direction direction = Direction::kUnsaid;
  bool with_scores = false;
  int64_t offset = 0;
  int64_t limit = -1;  // negative: none
  int64_t start = 0;   // ranks
  int64_t end = 0;
  ScoreRange scores;
  TextRange texts;

  bool is_reverse() const { return direction == Direction::kReverse; }
};

// ---- Parsing ----

// Reads the ends at `min_index` and the word behind it.
bool ParseEnds(CommandContext& ctx, size_t min_index, RangeQuery* query) {
  const size_t max_index = min_index + 1;
  // Reversed ranges of scores and texts name the greater end first.
  const bool swaps = query->is_reverse();
  switch (query->by) {
    case By::kScore:
      return ParseScoreRange(ctx, swaps ? max_index : min_index, swaps ? min_index : max_index,
                             &query->scores);
    case By::kText:
      return ParseTextRange(ctx, swaps ? max_index : min_index, swaps ? min_index : max_index,
                            &query->texts);
    default:
      return ctx.ParseInteger(min_index, &query->start) && ctx.ParseInteger(max_index, &query->end);
  }
}

// Takes the option at args[*index], moving on to its last word. `*is_replied`: with an error, and done.
bool TakeOption(CommandContext& ctx, bool stores, size_t* index, RangeQuery* query,
                bool* is_replied) {
  if (!stores && ctx.ArgIs(*index, "withscores")) return query->with_scores = true;
  if (ctx.ArgIs(*index, "limit") && *index + 2 < ctx.args.size()) {
    *is_replied = !ctx.ParseInteger(*index + 1, &query->offset) ||
                  !ctx.ParseInteger(*index + 2, &query->limit);
    *index += 2;
    return !*is_replied;
  }
  if (query->direction == Direction::kUnsaid && ctx.ArgIs(*index, "rev")) {
    query->direction = Direction::kReverse;
    return true;
  }
  if (query->by != By::kUnsaid) return false;
  if (ctx.ArgIs(*index, "bylex")) query->by = By::kText;
  if (ctx.ArgIs(*index, "byscore")) query->by = By::kScore;
  return query->by != By::kUnsaid;
}

// Reads the ends at `min_index` and all that follows. Replies with the error.
bool ParseQuery(CommandContext& ctx, size_t min_index, bool stores, RangeQuery* query) {
  for (size_t i = min_index + 2; i < ctx.args.size(); i++) {
    bool is_replied = false;
    if (TakeOption(ctx, stores, &i, query, &is_replied)) continue;
    if (!is_replied) ctx.reply.Error(errors::kSyntax);
    return false;
  }
  if (query->direction == Direction::kUnsaid) query->direction = Direction::kForward;
  if (query->by == By::kUnsaid) query->by = By::kRank;
  if (query->limit != -1 && query->by == By::kRank) {
    ctx.reply.Error(
        "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
    return false;
  }
  if (query->with_scores && query->by == By::kText) {
    ctx.reply.Error("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
    return false;
  }
  return ParseEnds(ctx, min_index, query);
}

// ---- Work ----

// Takes LIMIT's part of a range. A negative offset skips everything, as in Redis.
RankRange ApplyLimit(RankRange range, const RangeQuery& query) {
  if (query.offset < 0 || static_cast<uint64_t>(query.offset) >= range.count) return {};
  const size_t offset = static_cast<size_t>(query.offset);
  const size_t rest = range.count - offset;
  const size_t count = query.limit < 0 || static_cast<uint64_t>(query.limit) > rest
                           ? rest
                           : static_cast<size_t>(query.limit);
  // From the end of the range that comes first in the reply.
  return {query.is_reverse() ? range.start + rest - count : range.start + offset, count};
}

RankRange Resolve(const Entry& entry, const RangeQuery& query) {
  if (query.by == By::kScore) return ApplyLimit(engine::RangeByScore(entry, query.scores), query);
  if (query.by == By::kText) {
    return ApplyLimit(engine::RangeByText(entry, query.texts, query.is_reverse()), query);
  }
  const size_t length = engine::SortedSetLength(entry);
  RankRange range = ClampRanks(query.start, query.end, length);
  if (query.is_reverse() && range.count > 0) range.start = length - range.start - range.count;
  return range;
}

// ---- ZRANGE and its kin ----

void ReplyRange(CommandContext& ctx, RangeQuery query) {
  if (!ParseQuery(ctx, 2, false, &query)) return;
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSortedSet, &handle)) return;
  if (!handle) return ctx.reply.EmptyArray();
  const RankRange range = Resolve(*handle.entry(), query);
  MemberReply reply(ctx, query.with_scores);
  reply.Begin(range.count);
  engine::VisitRange(*handle.entry(), range, query.is_reverse(),
                     [&](std::string_view member, double score) { reply.Add(member, score); });
}

RangeQuery QueryFor(By by, Direction direction) {
  RangeQuery query;
  query.by = by;
  query.direction = direction;
  return query;
}

void CmdZRange(CommandContext& ctx) { ReplyRange(ctx, {}); }
void CmdZRevRange(CommandContext& ctx) {
  ReplyRange(ctx, QueryFor(By::kRank, Direction::kReverse));
}
void CmdZRangeByScore(CommandContext& ctx) {
  ReplyRange(ctx, QueryFor(By::kScore, Direction::kForward));
}
void CmdZRevRangeByScore(CommandContext& ctx) {
  ReplyRange(ctx, QueryFor(By::kScore, Direction::kReverse));
}
void CmdZRangeByLex(CommandContext& ctx) {
  ReplyRange(ctx, QueryFor(By::kText, Direction::kForward));
}
void CmdZRevRangeByLex(CommandContext& ctx) {
  ReplyRange(ctx, QueryFor(By::kText, Direction::kReverse));
}

void CmdZRangeStore(CommandContext& ctx) {
  RangeQuery query;
  if (!ParseQuery(ctx, 3, true, &query)) return;
  Handle handle;
  if (!ctx.FindRead(ctx.key(1), Type::kSortedSet, &handle)) return;
  engine::SortedSetBuilder builder(ctx.heap(ctx.key(0)));
  if (handle) {
    const RankRange range = Resolve(*handle.entry(), query);
    builder.Reserve(range.count);
    engine::VisitRange(*handle.entry(), range, false,
                       [&](std::string_view member, double score) { builder.Add(member, score); });
  }
  StoreSortedSet(ctx, ctx.key(0), builder, "zrangestore");
}

// ---- Counts ----

void ReplyCount(CommandContext& ctx, By by) {
  RangeQuery query = QueryFor(by, Direction::kForward);
  if (!ParseEnds(ctx, 2, &query)) return;
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSortedSet, &handle)) return;
  ctx.reply.Integer(handle ? static_cast<int64_t>(Resolve(*handle.entry(), query).count) : 0);
}
void CmdZCount(CommandContext& ctx) { ReplyCount(ctx, By::kScore); }
void CmdZLexCount(CommandContext& ctx) { ReplyCount(ctx, By::kText); }

// ---- Removing ----

void RemoveBy(CommandContext& ctx, By by, const char* event) {
  RangeQuery query = QueryFor(by, Direction::kForward);
  if (!ParseEnds(ctx, 2, &query)) return;
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kSortedSet, &handle)) return;
  if (!handle) return ctx.reply.Integer(0);
  const RankRange range = Resolve(*handle.entry(), query);
  ctx.reply.Integer(static_cast<int64_t>(range.count));
  if (range.count == 0) return;
  RemoveRanks(ctx, key, handle, range, event);
}
void CmdZRemRangeByRank(CommandContext& ctx) { RemoveBy(ctx, By::kRank, "zremrangebyrank"); }
void CmdZRemRangeByScore(CommandContext& ctx) { RemoveBy(ctx, By::kScore, "zremrangebyscore"); }
void CmdZRemRangeByLex(CommandContext& ctx) { RemoveBy(ctx, By::kText, "zremrangebylex"); }

constexpr HandlerRow kHandlers[] = {
    {"zcount", CmdZCount},
    {"zlexcount", CmdZLexCount},
    {"zrange", CmdZRange},
    {"zrangebylex", CmdZRangeByLex},
    {"zrangebyscore", CmdZRangeByScore},
    {"zrangestore", CmdZRangeStore},
    {"zremrangebylex", CmdZRemRangeByLex},
    {"zremrangebyrank", CmdZRemRangeByRank},
    {"zremrangebyscore", CmdZRemRangeByScore},
    {"zrevrange", CmdZRevRange},
    {"zrevrangebylex", CmdZRevRangeByLex},
    {"zrevrangebyscore", CmdZRevRangeByScore},
};

}  // namespace

std::span<const HandlerRow> SortedSetRangeHandlers() { return kHandlers; }

}  // namespace sherd
