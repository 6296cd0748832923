// Sorted sets: unions, intersections and differences, answered, counted or stored.
//
// Sources are sorted sets, or sets, whose members count with score 1. The result is gathered in a
// SortedSetBuilder: a table of nodes while scores add up, sorted once at the end, and then made a tree in
// one pass without a search; the nodes themselves become the stored value's. Without a destination the
// builder works in the heap of the first key's shard for a moment.
//
// WALKS IN BATCHES. Members of big sources are nowhere in cache when their hash sends us to a bucket. So
// the union takes its members sixteen at a time: hashes and buckets first, then the nodes that a lookup
// would touch, then the lookups.
//
// Order matters for the sums of doubles: sources are taken in the order of their size, as in Redis.
//
// Thread: the one that holds the leases of the keys.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "commands/families.h"
#include "commands/sorted_set_arguments.h"
#include "engine/command_context.h"
#include "engine/set_value.h"
#include "engine/sorted_set_value.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::HashKey;
using engine::Key;
using engine::SetObject;
using engine::SortedSetBuilder;
using engine::Type;
namespace errors = engine::errors;

enum class Operation : uint8_t { kUnion, kIntersection, kDifference };
enum class Aggregate : uint8_t { kSum, kMin, kMax };

struct Source {
  const Key* key = nullptr;
  const Entry* entry = nullptr;  // null: no such key
  double weight = 1;
  size_t length = 0;
};

struct Combination {
  Operation operation = Operation::kUnion;
  Aggregate aggregate = Aggregate::kSum;
  bool stores = false;
  bool counts = false;  // ZINTERCARD
  bool with_scores = false;
  int64_t limit = 0;  // ZINTERCARD: 0 is none
  std::vector<Source> sources;
};

// ---- Sources ----

bool IsSource(const Entry& entry) {
  return entry.type() == Type::kSortedSet || entry.type() == Type::kSet;
}

bool IsSet(const Entry& entry) { return entry.type() == Type::kSet; }

size_t SourceLength(const Entry& entry) {
  return IsSet(entry) ? SetObject(entry).size() : engine::SortedSetLength(entry);
}

// Whether the views that a walk gives stay valid behind it; those into packed values may be of a buffer
// that the next member uses again.
bool HasStableMembers(const Entry& entry) {
  return entry.encoding() == engine::Encoding::kSkipList ||
         entry.encoding() == engine::Encoding::kHashTable;
}

// Calls visit(member, score); false stops. Members of a set have the score 1.
template <class Visit>
void ForEachMember(const Entry& entry, Visit&& visit) {
  if (IsSet(entry)) {
    engine::ForEachSetMember(entry, [&](std::string_view member) { return visit(member, 1.0); });
  } else {
    engine::ForEachScore(entry, visit);
  }
}

bool FindInSource(const Entry& entry, std::string_view member, double* score) {
  if (!IsSet(entry)) return engine::FindScore(entry, member, score);
  *score = 1;
  return SetObject(entry).Contains(member);
}

// ---- Parsing ----

bool ParseWeights(CommandContext& ctx, size_t* index, Combination* what) {
  for (Source& source : what->sources) {
    if (!ParseFloat(ctx, ++*index, &source.weight, "ERR weight value is not a float")) return false;
  }
  return true;
}

bool ParseAggregate(CommandContext& ctx, size_t index, Combination* what) {
  if (ctx.ArgIs(index, "sum")) {
    what->aggregate = Aggregate::kSum;
  } else if (ctx.ArgIs(index, "min")) {
    what->aggregate = Aggregate::kMin;
  } else if (ctx.ArgIs(index, "max")) {
    what->aggregate = Aggregate::kMax;
  } else {
    ctx.reply.Error(errors::kSyntax);
    return false;
  }
  return true;
}

bool ParseOptions(CommandContext& ctx, size_t first, Combination* what) {
  const bool takes_scores = what->operation != Operation::kDifference && !what->counts;
  for (size_t i = first; i < ctx.args.size(); i++) {
    const size_t behind = ctx.args.size() - i - 1;
    if (takes_scores && behind >= what->sources.size() && ctx.ArgIs(i, "weights")) {
      if (!ParseWeights(ctx, &i, what)) return false;
    } else if (takes_scores && behind >= 1 && ctx.ArgIs(i, "aggregate")) {
      if (!ParseAggregate(ctx, ++i, what)) return false;
    } else if (!what->stores && !what->counts && ctx.ArgIs(i, "withscores")) {
      what->with_scores = true;
    } else if (what->counts && behind >= 1 && ctx.ArgIs(i, "limit")) {
      if (!ParseNotNegative(ctx, ++i, &what->limit, "ERR LIMIT can't be negative")) return false;
    } else {
      ctx.reply.Error(errors::kSyntax);
      return false;
    }
  }
  return true;
}

// Looks all sources up, in the order of the line: the first one of another type is the error.
bool FindSources(CommandContext& ctx, Combination* what) {
  for (const Source& source : what->sources) {
    const Handle handle = ctx.LookupRead(*source.key);
    if (!handle || IsSource(*handle.entry())) continue;
    ctx.reply.Error(errors::kWrongType);
    return false;
  }
  // Only now are they all where they stay: a lookup may remove an expired key.
  for (Source& source : what->sources) {
    const Handle handle = ctx.keyspace(*source.key).Find(ctx.db, *source.key);
    if (!handle) continue;
    source.entry = handle.entry();
    source.length = SourceLength(*source.entry);
  }
  return true;
}

// `numkeys_index` is the argument that says how many keys follow it.
bool ParseCombination(CommandContext& ctx, size_t numkeys_index, Combination* what) {
  int64_t count;
  if (!ctx.ParseInteger(numkeys_index, &count)) return false;
  if (count < 1) {
    ctx.reply.Error(std::string("ERR at least 1 input key is needed for '") + ctx.spec->full_name +
                    "' command");
    return false;
  }
  if (static_cast<uint64_t>(count) > ctx.args.size() - numkeys_index - 1) {
    ctx.reply.Error(errors::kSyntax);
    return false;
  }
  const size_t first_key = what->stores ? 1 : 0;
  what->sources.resize(static_cast<size_t>(count));
  CHECK(ctx.keys.size() == first_key + what->sources.size());
  for (size_t i = 0; i < what->sources.size(); i++) what->sources[i].key = &ctx.keys[first_key + i];
  return FindSources(ctx, what) &&
         ParseOptions(ctx, numkeys_index + 1 + what->sources.size(), what);
}

// ---- Scores ----

// 0 times infinity counts as 0.
double Weighted(double score, double weight) {
  const double value = score * weight;
  return std::isnan(value) ? 0 : value;
}

void Combine(Aggregate aggregate, double value, double* score) {
  switch (aggregate) {
    case Aggregate::kSum:
      *score += value;
      // Infinities of both signs make 0.
      if (std::isnan(*score)) *score = 0;
      break;
    case Aggregate::kMin: *score = value < *score ? value : *score; break;
    case Aggregate::kMax: *score = value > *score ? value : *score; break;
  }
}

// ---- Work ----

// The members of one source on their way into the result, a batch at a time.
class UnionBatch {
 public:
  UnionBatch(SortedSetBuilder& builder, Aggregate aggregate, double weight)
      : builder_(builder), aggregate_(aggregate), weight_(weight) {}

  void Add(std::string_view member, double score) {
    const uint64_t hash = HashKey(member);
    builder_.Prefetch(hash);
    items_[count_++] = {member, hash, Weighted(score, weight_)};
    if (count_ == kBatch) Flush();
  }
  void Flush() {
    for (size_t i = 0; i < count_; i++) builder_.PrefetchMember(items_[i].hash);
    for (size_t i = 0; i < count_; i++) {
      const Item& item = items_[i];
      builder_.AddOrCombine(item.member, item.hash, item.score,
                            [&](double* score) { Combine(aggregate_, item.score, score); });
    }
    count_ = 0;
  }

 private:
  static constexpr size_t kBatch = 16;
  struct Item {
    std::string_view member;
    uint64_t hash;
    double score;
  };
  SortedSetBuilder& builder_;
  Aggregate aggregate_;
  double weight_;
  size_t count_ = 0;
  Item items_[kBatch];
};

void OpUnion(const Combination& what, SortedSetBuilder& builder) {
  if (!what.sources.empty()) builder.Reserve(what.sources.back().length);
  for (const Source& source : what.sources) {
    if (source.entry == nullptr) continue;
    UnionBatch batch(builder, what.aggregate, source.weight);
    const bool is_stable = HasStableMembers(*source.entry);
    ForEachMember(*source.entry, [&](std::string_view member, double score) {
      batch.Add(member, score);
      if (!is_stable) batch.Flush();
      return true;
    });
    batch.Flush();
  }
}

// Calls take(member, score) for the members that are in all sources, until it returns false.
template <class Take>
void ForEachCommon(const Combination& what, Take&& take) {
  const Source& first = what.sources[0];
  if (first.entry == nullptr) return;
  ForEachMember(*first.entry, [&](std::string_view member, double member_score) {
    double score = Weighted(member_score, first.weight);
    for (size_t i = 1; i < what.sources.size(); i++) {
      const Source& other = what.sources[i];
      double found = member_score;
      if (other.entry == nullptr) return true;
      if (other.entry != first.entry && !FindInSource(*other.entry, member, &found)) return true;
      Combine(what.aggregate, found * other.weight, &score);
    }
    return take(member, score);
  });
}

void OpDifference(const Combination& what, SortedSetBuilder& builder) {
  const Source& first = what.sources[0];
  if (first.entry == nullptr) return;
  ForEachMember(*first.entry, [&](std::string_view member, double score) {
    double unused;
    for (size_t i = 1; i < what.sources.size(); i++) {
      const Entry* other = what.sources[i].entry;
      if (other == nullptr) continue;
      if (other == first.entry || FindInSource(*other, member, &unused)) return true;
    }
    builder.Add(member, score);
    return true;
  });
}

void OpCombine(Combination& what, SortedSetBuilder& builder) {
  if (what.operation == Operation::kDifference) return OpDifference(what, builder);
  // The smallest first.
  std::stable_sort(what.sources.begin(), what.sources.end(),
                   [](const Source& a, const Source& b) { return a.length < b.length; });
  if (what.operation == Operation::kUnion) return OpUnion(what, builder);
  ForEachCommon(what, [&](std::string_view member, double score) {
    builder.Add(member, score);
    return true;
  });
}

// ---- Handlers ----

void ReplyCombined(CommandContext& ctx, Operation operation) {
  Combination what;
  what.operation = operation;
  if (!ParseCombination(ctx, 1, &what)) return;
  SortedSetBuilder builder(ctx.heap(ctx.key(0)));
  OpCombine(what, builder);
  MemberReply reply(ctx, what.with_scores);
  reply.Begin(builder.size());
  for (const SortedSetBuilder::Item& item : builder.Sorted())
    reply.Add(item.node->member(), item.score);
}

void StoreCombined(CommandContext& ctx, Operation operation, const char* event) {
  Combination what;
  what.operation = operation;
  what.stores = true;
  if (!ParseCombination(ctx, 2, &what)) return;
  SortedSetBuilder builder(ctx.heap(ctx.key(0)));
  OpCombine(what, builder);
  StoreSortedSet(ctx, ctx.key(0), builder, event);
}

void CmdZUnion(CommandContext& ctx) { ReplyCombined(ctx, Operation::kUnion); }
void CmdZInter(CommandContext& ctx) { ReplyCombined(ctx, Operation::kIntersection); }
void CmdZDiff(CommandContext& ctx) { ReplyCombined(ctx, Operation::kDifference); }
void CmdZUnionStore(CommandContext& ctx) { StoreCombined(ctx, Operation::kUnion, "zunionstore"); }
void CmdZInterStore(CommandContext& ctx) {
  StoreCombined(ctx, Operation::kIntersection, "zinterstore");
}
void CmdZDiffStore(CommandContext& ctx) {
  StoreCombined(ctx, Operation::kDifference, "zdiffstore");
}

void CmdZInterCard(CommandContext& ctx) {
  Combination what;
  what.operation = Operation::kIntersection;
  what.counts = true;
  if (!ParseCombination(ctx, 1, &what)) return;
  std::stable_sort(what.sources.begin(), what.sources.end(),
                   [](const Source& a, const Source& b) { return a.length < b.length; });
  int64_t count = 0;
  ForEachCommon(what, [&](std::string_view, double) {
    count++;
    return what.limit == 0 || count < what.limit;
  });
  ctx.reply.Integer(count);
}

constexpr HandlerRow kHandlers[] = {
    {"zdiff", CmdZDiff},
    {"zdiffstore", CmdZDiffStore},
    {"zinter", CmdZInter},
    {"zintercard", CmdZInterCard},
    {"zinterstore", CmdZInterStore},
    {"zunion", CmdZUnion},
    {"zunionstore", CmdZUnionStore},
};

}  // namespace

std::span<const HandlerRow> SortedSetCombineHandlers() { return kHandlers; }

}  // namespace sherd
