// Sorted sets: members one by one: ZADD and its kin, pops, random members, ZSCAN. Ranges are in
// sorted_set_range_commands.cc, unions and their kin in sorted_set_combine_commands.cc.
//
// The type: members with a score each, in the order of (score, member); listpack up to
// zset-max-listpack-entries members of zset-max-listpack-value bytes, else skiplist (see
// engine/sorted_set_value.h). A key whose last member goes, goes with it.
//
// Cost: ZADD of a member that exists: one lookup by hash, and nothing else if its score stays; a new
// one: O(log n). Scores of up to kScoresInline members are parsed into the stack.
//
// Effects are replayed as they were sent, but ZMPOP as the ZPOPMIN or ZPOPMAX that it came to.
//
// Thread: the one that holds the leases of the keys.
#include <cstdint>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/numbers.h"
#include "base/random.h"
#include "commands/collection_scan.h"
#include "commands/families.h"
#include "commands/sorted_set_arguments.h"
#include "commands/sorted_set_pops.h"
#include "engine/command_context.h"
#include "engine/sorted_set_value.h"
#include "engine/thread_random.h"

namespace sherd {
namespace {

using engine::AddOutcome;
using engine::CommandContext;
using engine::Encoding;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::Key;
using engine::SortedSetLimits;
using engine::ThreadRandom;
using engine::Type;
namespace errors = engine::errors;

// ---- ZADD and ZINCRBY ----

struct AddOptions {
  uint32_t flags = 0;           // engine::AddFlag
  bool counts_changed = false;  // CH
  size_t first = 0;             // argument of the first score
  size_t members = 0;
};

struct AddWord {
  std::string_view word;
  uint32_t flag;
};
constexpr AddWord kAddWords[] = {
    {"nx", engine::kAddIfMissing}, {"xx", engine::kAddIfExists},    {"gt", engine::kAddIfGreater},
    {"lt", engine::kAddIfLess},    {"incr", engine::kAddIncrement}, {"ch", 0},
};

// Takes an option word; "ch" has no flag.
bool TakeAddWord(const CommandContext& ctx, size_t index, AddOptions* options) {
  // A score is no word; this spares the comparisons.
  if (ctx.args[index].size() < 2 || ctx.args[index].size() > 4) return false;
  for (const AddWord& row : kAddWords) {
    if (!ctx.ArgIs(index, row.word)) continue;
    options->flags |= row.flag;
    if (row.flag == 0) options->counts_changed = true;
    return true;
  }
  return false;
}

bool ParseAdd(CommandContext& ctx, uint32_t flags, AddOptions* options) {
  options->flags = flags;
  size_t first = 2;
  while (first < ctx.args.size() && TakeAddWord(ctx, first, options)) first++;
  const size_t words = ctx.args.size() - first;
  options->first = first;
  options->members = words / 2;
  const auto has = [&](uint32_t flag) { return (options->flags & flag) != 0; };
  std::string_view error;
  if (words % 2 != 0 || words == 0) {
    error = errors::kSyntax;
  } else if (has(engine::kAddIfMissing) && has(engine::kAddIfExists)) {
    error = "ERR XX and NX options at the same time are not compatible";
  } else if (has(engine::kAddIfGreater) + has(engine::kAddIfLess) + has(engine::kAddIfMissing) >
             1) {
    error = "ERR GT, LT, and/or NX options at the same time are not compatible";
  } else if (has(engine::kAddIncrement) && options->members > 1) {
    error = "ERR INCR option supports a single increment-element pair";
  } else {
    return true;
  }
  ctx.reply.Error(error);
  return false;
}

struct AddCounts {
  int64_t added = 0;
  int64_t updated = 0;
  bool is_skipped = false;  // the last one
  bool is_not_a_number = false;
  double score = 0;  // of the last one
};

AddCounts OpAdd(CommandContext& ctx, const Key& key, Handle handle, const AddOptions& options,
                const double* scores) {
  const SortedSetLimits limits = SortedSetLimits::Of(ctx.options());
  handle = OpenSortedSet(ctx, key, handle, limits, options.members,
                         ctx.args[options.first + 1].size());
  Entry& entry = *handle.entry();
  AddCounts counts;
  for (size_t i = 0; i < options.members && !counts.is_not_a_number; i++) {
    const AddOutcome outcome =
        engine::AddMember(ctx.heap(key), entry, limits, scores[i],
                          ctx.args[options.first + 2 * i + 1], options.flags, &counts.score);
    counts.added += outcome == AddOutcome::kAdded ? 1 : 0;
    counts.updated += outcome == AddOutcome::kUpdated ? 1 : 0;
    counts.is_skipped = outcome == AddOutcome::kSkipped;
    counts.is_not_a_number = outcome == AddOutcome::kNotANumber;
  }
  return counts;
}

void ReplyAdded(CommandContext& ctx, const AddOptions& options, const AddCounts& counts) {
  if ((options.flags & engine::kAddIncrement) == 0) {
    ctx.reply.Integer(counts.added + (options.counts_changed ? counts.updated : 0));
  } else if (counts.is_skipped) {
    ctx.reply.Null();
  } else {
    ctx.reply.Double(counts.score);
  }
}

void AddWithScores(CommandContext& ctx, const AddOptions& options, double* scores) {
  for (size_t i = 0; i < options.members; i++) {
    if (!ParseFloat(ctx, options.first + 2 * i, &scores[i])) return;
  }
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kSortedSet, &handle)) return;
  const bool is_increment = (options.flags & engine::kAddIncrement) != 0;
  if (!handle && (options.flags & engine::kAddIfExists) != 0) {
    return is_increment ? ctx.reply.Null() : ctx.reply.Integer(0);
  }
  const AddCounts counts = OpAdd(ctx, key, handle, options, scores);
  if (counts.is_not_a_number) {
    ctx.reply.Error("ERR resulting score is not a number (NaN)");
  } else {
    ReplyAdded(ctx, options, counts);
  }
  if (counts.added + counts.updated == 0) return;
  ctx.AddDirty(counts.added + counts.updated);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventSortedSet, is_increment ? "zincr" : "zadd", key);
}

void Add(CommandContext& ctx, uint32_t flags) {
  constexpr size_t kScoresInline = 64;
  AddOptions options;
  if (!ParseAdd(ctx, flags, &options)) return;
  if (options.members <= kScoresInline) {
    double scores[kScoresInline];
    return AddWithScores(ctx, options, scores);
  }
  std::vector<double> scores(options.members);
  AddWithScores(ctx, options, scores.data());
}

void CmdZAdd(CommandContext& ctx) { Add(ctx, 0); }
// As in Redis, the options of ZADD are words here too, and then a pair is missing.
void CmdZIncrBy(CommandContext& ctx) { Add(ctx, engine::kAddIncrement); }

// ---- Looking at members ----

void CmdZCard(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSortedSet, &handle)) return;
  ctx.reply.Integer(handle ? static_cast<int64_t>(engine::SortedSetLength(*handle.entry())) : 0);
}

void ReplyScore(CommandContext& ctx, Handle handle, std::string_view member) {
  double score;
  if (handle && engine::FindScore(*handle.entry(), member, &score)) {
    ctx.reply.Double(score);
  } else {
    ctx.reply.Null();
  }
}

void CmdZScore(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSortedSet, &handle)) return;
  ReplyScore(ctx, handle, ctx.args[2]);
}

void CmdZMScore(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSortedSet, &handle)) return;
  ctx.reply.Array(ctx.args.size() - 2);
  for (const std::string_view member : ctx.args.subspan(2)) ReplyScore(ctx, handle, member);
}

void ReplyRank(CommandContext& ctx, bool is_reverse) {
  if (ctx.args.size() > 4) return ctx.RefuseArity();
  const bool with_score = ctx.args.size() > 3;
  if (with_score && !ctx.ArgIs(3, "withscore")) return ctx.reply.Error(errors::kSyntax);
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSortedSet, &handle)) return;
  size_t rank;
  double score;
  if (!handle || !engine::FindRank(*handle.entry(), ctx.args[2], &rank, &score)) {
    return with_score ? ctx.reply.NullArray() : ctx.reply.Null();
  }
  if (is_reverse) rank = engine::SortedSetLength(*handle.entry()) - 1 - rank;
  if (with_score) ctx.reply.Array(2);
  ctx.reply.Integer(static_cast<int64_t>(rank));
  if (with_score) ctx.reply.Double(score);
}
void CmdZRank(CommandContext& ctx) { ReplyRank(ctx, false); }
void CmdZRevRank(CommandContext& ctx) { ReplyRank(ctx, true); }

// ---- Removing ----

void CmdZRem(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kSortedSet, &handle)) return;
  if (!handle) return ctx.reply.Integer(0);
  Entry& entry = ctx.Mutate(key, handle);
  int64_t removed = 0;
  for (const std::string_view member : ctx.args.subspan(2)) {
    removed += engine::RemoveMember(ctx.heap(key), entry, member) ? 1 : 0;
    if (engine::SortedSetLength(entry) == 0) break;
  }
  ctx.reply.Integer(removed);
  if (removed == 0) return;
  ctx.Notify(engine::kEventSortedSet, "zrem", key);
  DeleteIfEmpty(ctx, key, handle);
  ctx.SignalModified(key);
  ctx.AddDirty(removed);
}

void Pop(CommandContext& ctx, bool is_max) {
  if (ctx.args.size() > 3) return ctx.reply.Error(errors::kSyntax);
  int64_t count = 1;
  const bool has_count = ctx.args.size() == 3;
  if (has_count &&
      !ParseNotNegative(ctx, 2, &count, errors::kMustBePositive)) {
    return;
  }
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kSortedSet, &handle)) return;
  if (!handle || count == 0) return ctx.reply.EmptyArray();
  const size_t length = engine::SortedSetLength(*handle.entry());
  const size_t popped = static_cast<uint64_t>(count) < length ? static_cast<size_t>(count) : length;
  const bool nests = has_count && ctx.reply.resp() == 3;
  ctx.reply.Array(nests ? popped : 2 * popped);
  OpPopMembers(ctx, key, handle, is_max, popped, nests);
}
void CmdZPopMin(CommandContext& ctx) { Pop(ctx, false); }
void CmdZPopMax(CommandContext& ctx) { Pop(ctx, true); }

void CmdZMPop(CommandContext& ctx) {
  SortedSetMultiPop pop;
  if (!ParseSortedSetMultiPop(ctx, 1, &pop)) return;
  CHECK(ctx.keys.size() == pop.keys);
  for (const Key& key : ctx.keys) {
    Handle handle;
    if (!ctx.FindWrite(key, Type::kSortedSet, &handle)) return;
    if (handle) return OpPopNamedMembers(ctx, key, handle, pop);
  }
  ctx.reply.NullArray();
}

// ---- Random members ----

// `count` members with repetition, each chosen among all.
void ReplyRandomMembers(MemberReply& reply, const Entry& entry, size_t count) {
  const size_t length = engine::SortedSetLength(entry);
  for (size_t i = 0; i < count; i++) {
    engine::VisitRange(entry, {ThreadRandom().Below(length), 1}, false,
                       [&](std::string_view member, double score) { reply.Add(member, score); });
  }
}

// `count` different members. Few of many: drawn until there are enough; else each is taken with the
// probability that leaves the right number (Knuth's algorithm S), in one walk.
void ReplyDifferentMembers(MemberReply& reply, const Entry& entry, size_t count) {
  const size_t length = engine::SortedSetLength(entry);
  if (count <= length / 4) {
    std::unordered_set<uint64_t> drawn;
    while (drawn.size() < count) {
      const uint64_t rank = ThreadRandom().Below(length);
      if (!drawn.insert(rank).second) continue;
      engine::VisitRange(entry, {rank, 1}, false,
                         [&](std::string_view member, double score) { reply.Add(member, score); });
    }
    return;
  }
  size_t seen = 0;
  size_t taken = 0;
  engine::ForEachScore(entry, [&](std::string_view member, double score) {
    if (ThreadRandom().Below(length - seen++) < count - taken) {
      reply.Add(member, score);
      taken++;
    }
    return taken < count;
  });
}

// Replies with an error if the count makes no sense.
bool ParseRandomCount(CommandContext& ctx, int64_t* count, bool* with_scores) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  // Nobody wants more repetitions: Redis would go on until it has no memory left.
  constexpr int64_t kRepetitionsMax = int64_t{1} << 26;
  if (!ParseInt64(ctx.args[2], count)) {
    ctx.reply.Error(errors::kNotInteger);
  } else if (*count < -kMax) {
    ctx.reply.Error(
        "ERR value is out of range, value must between -9223372036854775807 and "
        "9223372036854775807");
  } else if (ctx.args.size() > 4 || (ctx.args.size() == 4 && !ctx.ArgIs(3, "withscores"))) {
    ctx.reply.Error(errors::kSyntax);
  } else if (*count < -kRepetitionsMax || (ctx.args.size() == 4 && *count > kMax / 2)) {
    ctx.reply.Error("ERR value is out of range");
  } else {
    *with_scores = ctx.args.size() == 4;
    return true;
  }
  return false;
}

void CmdZRandMember(CommandContext& ctx) {
  Handle handle;
  if (ctx.args.size() == 2) {
    if (!ctx.FindRead(ctx.key(0), Type::kSortedSet, &handle)) return;
    if (!handle) return ctx.reply.Null();
    MemberReply reply(ctx, false);
    return ReplyRandomMembers(reply, *handle.entry(), 1);
  }
  int64_t count;
  bool with_scores = false;
  if (!ParseRandomCount(ctx, &count, &with_scores)) return;
  if (!ctx.FindRead(ctx.key(0), Type::kSortedSet, &handle)) return;
  if (!handle || count == 0) return ctx.reply.EmptyArray();
  const Entry& entry = *handle.entry();
  const size_t length = engine::SortedSetLength(entry);
  MemberReply reply(ctx, with_scores);
  if (count < 0) {
    reply.Begin(static_cast<size_t>(-count));
    return ReplyRandomMembers(reply, entry, static_cast<size_t>(-count));
  }
  const size_t wanted = static_cast<uint64_t>(count) < length ? static_cast<size_t>(count) : length;
  reply.Begin(wanted);
  ReplyDifferentMembers(reply, entry, wanted);
}

// ---- ZSCAN ----

// One member as ZSCAN tells it: in a skiplist the score is printed with %.17g, as Redis does.
void ReplyScanned(CommandContext& ctx, bool is_packed, std::string_view member, double score) {
  char text[kDoubleCharsMax];
  ctx.reply.Bulk(member);
  ctx.reply.Bulk({text, is_packed ? FormatDouble(score, text) : FormatDouble17(score, text)});
}

// What one call of ZSCAN finds. Members of a listpack are copied: integers have no bytes of their own.
struct ScannedMember {
  std::string_view member;
  double score;
};
struct ScannedPage {
  std::vector<ScannedMember> members;
  std::vector<std::string> copies;
};

uint64_t OpScan(const Entry& entry, const CollectionScan& scan, bool is_packed, ScannedPage* page) {
  if (is_packed) page->copies.reserve(engine::SortedSetLength(entry));
  int64_t buckets = scan.buckets_max();
  int64_t seen = 0;
  uint64_t cursor = scan.cursor;
  for (;;) {
    cursor = engine::ScanSortedSet(entry, cursor, [&](std::string_view member, double score) {
      seen++;
      if (!scan.Matches(member)) return;
      if (is_packed) member = page->copies.emplace_back(member);
      page->members.push_back({member, score});
    });
    if (cursor == 0 || seen >= scan.count || --buckets == 0) return cursor;
  }
}

void CmdZScan(CommandContext& ctx) {
  CollectionScan scan;
  if (!ParseCollectionCursor(ctx, &scan)) return;
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSortedSet, &handle)) return;
  if (handle && !ParseCollectionScan(ctx, &scan)) return;
  const bool is_packed = handle && handle.entry()->encoding() == Encoding::kListPack;
  ScannedPage page;
  const uint64_t cursor = handle ? OpScan(*handle.entry(), scan, is_packed, &page) : 0;
  char text[kInt64CharsMax];
  ctx.reply.Array(2);
  ctx.reply.Bulk({text, FormatUint64(cursor, text)});
  ctx.reply.Array(2 * page.members.size());
  for (const ScannedMember& item : page.members)
    ReplyScanned(ctx, is_packed, item.member, item.score);
}

constexpr HandlerRow kHandlers[] = {
    {"zadd", CmdZAdd},         {"zcard", CmdZCard},
    {"zincrby", CmdZIncrBy},   {"zmpop", CmdZMPop},
    {"zmscore", CmdZMScore},   {"zpopmax", CmdZPopMax},
    {"zpopmin", CmdZPopMin},   {"zrandmember", CmdZRandMember},
    {"zrank", CmdZRank},       {"zrem", CmdZRem},
    {"zrevrank", CmdZRevRank}, {"zscan", CmdZScan},
    {"zscore", CmdZScore},
};

}  // namespace

std::span<const HandlerRow> SortedSetHandlers() { return kHandlers; }

}  // namespace sherd
