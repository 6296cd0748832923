// Set combinations: SINTER, SUNION, SDIFF, their STORE forms, and SINTERCARD.
//
// STREAMING. What can be told of a member alone goes straight into the reply, with its number
// written in front afterwards, and no table is built:
//   intersection  the members of the smallest set that all others have (intsets are merged)
//   difference    the members of the first set that no other has
//   union         all members of the largest set, then of each next one those that no earlier has
//
// Members pass in batches of some dozens: hashed once, then looked up in one set after the other,
// all buckets and entries of a batch being fetched together (see ds/member_table.h). A member of
// 100,000 costs some 40 ns where a lookup that waits for memory costs several hundred.
//
// A union of many sets is built as Redis builds it, in an intset that becomes a listpack or a
// table: asking ninety-nine sets for each member would cost more. So is a union of intsets, whose
// integers then ascend.
//
// STORES build the result member by member under the rules of encodings, as OBJECT ENCODING shows:
// a union or difference starts as an intset, an intersection as the smallest set is stored, to
// become an intset in the end if all members are integers. A union that must become a table anyway
// starts as a copy of its largest table.
//
// Must hold: the result is complete before the destination, which may be a source, is looked up.
// Thread: the one that holds the leases of all keys, which may lie in different shards.
#include <algorithm>
#include <climits>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/numbers.h"
#include "commands/families.h"
#include "engine/command_context.h"
#include "engine/set_value.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Encoding;
using engine::Handle;
using engine::HandlerRow;
using engine::HashKey;
using engine::Key;
using engine::SetLimits;
using engine::SetObject;
using engine::SetProbe;
using engine::Type;
namespace errors = engine::errors;

using Keys = std::span<const Key>;
using Sets = std::vector<SetObject>;
using Batch = std::span<std::string_view>;

// Up to this many members together, a union is replied in the order of the keys, as in Redis.
constexpr size_t kSmallTotal = 512;
// Asking more sets than this for each member costs more than building a table once.
constexpr size_t kProbedSetsMax = 8;

/// The sets at `keys`. Missing ones are counted and left out, but for the first, which is then
/// empty too:
/// `*first_is_missing`. False: one is no set, and the error is the reply.
struct Sources {
  Sets sets;
  size_t missing = 0;
  bool first_is_missing = false;
};
bool LoadSources(CommandContext& ctx, Keys keys, Sources* sources) {
  sources->sets.reserve(keys.size());
  for (size_t i = 0; i < keys.size(); i++) {
    Handle handle;
    if (!ctx.FindRead(keys[i], Type::kSet, &handle)) return false;
    if (handle) {
      sources->sets.emplace_back(*handle.entry());
    } else {
      sources->missing++;
      if (i == 0) sources->first_is_missing = true;
    }
  }
  return true;
}

bool IsSame(const SetObject& a, const SetObject& b) { return a.payload() == b.payload(); }

size_t TotalSize(const Sets& sets) {
  size_t total = 0;
  for (const SetObject& set : sets) total += set.size();
  return total;
}

bool AreIntSets(const Sets& sets) {
  return std::all_of(sets.begin(), sets.end(),
                     [](const SetObject& set) { return set.is_intset(); });
}

// ---- Walks: visit(Batch) until it says false ----

/// The members of `from` that are (`keep_members`: in all, else: in none) of `probed`.
template <class Visit>
void VisitFiltered(const SetObject& from, std::span<const SetObject> probed, bool keep_members,
                   Visit&& visit) {
  std::vector<SetProbe> probes;
  probes.reserve(probed.size());
  bool needs_hashes = false;
  for (const SetObject& set : probed) {
    probes.emplace_back(set, from.size());
    needs_hashes = needs_hashes || probes.back().needs_hashes();
  }
  from.ForEachBatch([&](Batch batch) {
    uint64_t hashes[SetObject::kBatchMax];
    if (needs_hashes) {
      for (size_t i = 0; i < batch.size(); i++) hashes[i] = HashKey(batch[i]);
    }
    size_t count = batch.size();
    for (size_t i = 0; i < probes.size() && count > 0; i++) {
      count = probes[i].Filter(batch.data(), hashes, count, keep_members);
    }
    return count == 0 || visit(batch.first(count));
  });
}

/// The intersection of intsets: they are walked side by side, none by more than its length.
template <class Visit>
void VisitCommonIntegers(const Sets& sets, Visit&& visit) {
  std::vector<size_t> places(sets.size(), 0);
  SetObject::Text text;
  sets[0].intset().ForEach([&](int64_t value) {
    for (size_t i = 1; i < sets.size(); i++) {
      const ds::IntSet other = sets[i].intset();
      places[i] = other.Seek(places[i], value);
      if (places[i] == other.count()) return false;  // all that follow are larger
      if (other.Get(places[i]) != value) return true;
    }
    std::string_view member(text, FormatInt64(value, text));
    return static_cast<bool>(visit(Batch(&member, 1)));
  });
}

/// Sorts the sets by size (the first is walked afterwards) and visits what all of them have.
template <class Visit>
void VisitIntersection(Sets* sets, Visit&& visit) {
  std::stable_sort(sets->begin(), sets->end(),
                   [](const SetObject& a, const SetObject& b) { return a.size() < b.size(); });
  const SetObject smallest = sets->front();
  // A key that is named twice asks nothing new.
  sets->erase(std::remove_if(sets->begin() + 1, sets->end(),
                             [&](const SetObject& set) { return IsSame(set, smallest); }),
              sets->end());
  if (AreIntSets(*sets)) return VisitCommonIntegers(*sets, visit);
  VisitFiltered(smallest, std::span(*sets).subspan(1), true, visit);
}

/// What the first set has and no other, unless it stands among them. Sorts the others by size.
template <class Visit>
void VisitDifference(SlabHeap& heap, Sets* sets, Visit&& visit) {
  const SetObject first = sets->front();
  std::span<SetObject> others = std::span(*sets).subspan(1);
  if (std::any_of(others.begin(), others.end(),
                  [&](const SetObject& s) { return IsSame(s, first); })) {
    return;
  }
  if (others.size() <= kProbedSetsMax) {
    // The largest first: it removes the most.
    std::stable_sort(others.begin(), others.end(),
                     [](const SetObject& a, const SetObject& b) { return a.size() > b.size(); });
    return VisitFiltered(first, others, false, visit);
  }
  SetObject all = SetObject::CreateTable(heap);
  const SetLimits limits{engine::Options()};  // a table has none
  for (const SetObject& set : others) {
    set.ForEachBatch([&](Batch batch) {
      all.AddAll(heap, limits, batch);
      return true;
    });
  }
  VisitFiltered(first, {&all, 1}, false, visit);
  all.Free(heap);
}

/// Each member of any set once. Big sets are sorted by size.
template <class Visit>
void VisitUnion(Sets* sets, Visit&& visit) {
  if (TotalSize(*sets) > kSmallTotal) {
    std::stable_sort(sets->begin(), sets->end(),
                     [](const SetObject& a, const SetObject& b) { return a.size() > b.size(); });
  }
  for (size_t i = 0; i < sets->size(); i++) {
    VisitFiltered((*sets)[i], std::span(*sets).first(i), false, visit);
  }
}

// ---- Results as sets ----

void AddMembers(SlabHeap& heap, const SetLimits& limits, const SetObject& from, SetObject* to) {
  from.ForEachBatch([&](Batch batch) {
    to->AddAll(heap, limits, batch);
    return true;
  });
}

SetObject MakeIntersection(SlabHeap& heap, const SetLimits& limits, Sets* sets) {
  bool is_made = false;
  bool only_integers = true;
  SetObject result = SetObject::CreateIntSet(heap);
  const auto add = [&](Batch batch) {
    if (!is_made && !sets->front().is_intset()) {
      result.Free(heap);
      result = SetObject::CreateListpack(heap);
    }
    is_made = true;
    int64_t integer;
    for (size_t i = 0; i < batch.size() && only_integers; i++) {
      only_integers = ParseInt64(batch[i], &integer);
    }
    result.AddDistinct(heap, limits, batch);
    return true;
  };
  VisitIntersection(sets, add);
  if (only_integers) result.CompactIntegers(heap, limits);
  return result;
}

SetObject MakeUnion(SlabHeap& heap, const SetLimits& limits, const Sets& sets) {
  // A table larger than any other encoding may be stays one: copied, it need not be searched.
  const SetObject* base = nullptr;
  for (const SetObject& set : sets) {
    if (!set.is_table() || (base != nullptr && set.size() <= base->size())) continue;
    if (set.size() > std::max(limits.intset_entries, limits.listpack_entries)) base = &set;
  }
  SetObject result = base == nullptr ? SetObject::CreateIntSet(heap) : base->Clone(heap);
  for (const SetObject& set : sets) {
    if (base == nullptr || !IsSame(set, *base)) AddMembers(heap, limits, set, &result);
  }
  return result;
}

SetObject MakeDifference(SlabHeap& heap, const SetLimits& limits, Sets* sets) {
  SetObject result = SetObject::CreateIntSet(heap);
  VisitDifference(heap, sets, [&](Batch batch) {
    result.AddDistinct(heap, limits, batch);
    return true;
  });
  return result;
}

// ---- Replies and stores ----

/// Replies with the members that walk(visit) visits.
template <class Walk>
void ReplyStreamed(CommandContext& ctx, Walk&& walk) {
  ctx.reply.BeginDeferred();
  size_t count = 0;
  {
    resp::BulkWriter writer(ctx.reply);
    walk([&](Batch batch) {
      for (const std::string_view member : batch) writer.Add(member);
      count += batch.size();
      return true;
    });
  }
  ctx.reply.EndSet(count);
}

/// Replies with the members of a set that was made for it, and frees it.
void ReplyMade(CommandContext& ctx, SlabHeap& heap, SetObject set) {
  ctx.reply.Set(set.size());
  {
    resp::BulkWriter writer(ctx.reply);
    set.ForEach([&](std::string_view member) {
      writer.Add(member);
      return true;
    });
  }
  set.Free(heap);
}

/// Nothing is left to store: the destination goes. An expired one counts as there (Redis does not
/// look).
void StoreNothing(CommandContext& ctx, const Key& key) {
  if (const Handle handle = ctx.keyspace(key).Find(ctx.db, key)) {
    ctx.Delete(key, handle, static_cast<bool>(ctx.options().lazyfree_lazy_server_del));
    ctx.SignalModified(key);
    ctx.Notify(engine::kEventGeneric, "del", key);
    ctx.AddDirty(1);
  }
  ctx.reply.Integer(0);
}

/// Puts a result (of the destination's heap) at `key` and replies with its size.
void StoreResult(CommandContext& ctx, const Key& key, SetObject result, const char* event) {
  const size_t size = result.size();
  if (size == 0) {
    result.Free(ctx.heap(key));
    return StoreNothing(ctx, key);
  }
  const Handle existing = ctx.LookupWrite(key);
  const bool existed = static_cast<bool>(existing);
  ctx.SetValue(key, existing, Type::kSet, result.encoding(), result.object());
  if (!existed) ctx.Notify(engine::kEventNew, "new", key);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventSet, event, key);
  ctx.AddDirty(1);
  ctx.reply.Integer(static_cast<int64_t>(size));
}

// ---- Handlers ----

void CmdSInter(CommandContext& ctx) {
  Sources sources;
  if (!LoadSources(ctx, ctx.keys, &sources)) return;
  if (sources.missing > 0) return ctx.reply.Set(0);
  ReplyStreamed(ctx, [&](auto&& visit) { VisitIntersection(&sources.sets, visit); });
}

void CmdSInterStore(CommandContext& ctx) {
  const Key& target = ctx.key(0);
  Sources sources;
  if (!LoadSources(ctx, ctx.keys.subspan(1), &sources)) return;
  if (sources.missing > 0) return StoreNothing(ctx, target);
  const SetLimits limits(ctx.options());
  StoreResult(ctx, target, MakeIntersection(ctx.heap(target), limits, &sources.sets),
              "sinterstore");
}

/// SINTERCARD numkeys key [key …] [LIMIT limit]
bool ParseInterCard(CommandContext& ctx, size_t* limit) {
  int64_t key_count = 0;
  if (!ctx.ParseIntegerIn(1, 1, LONG_MAX, &key_count, "ERR numkeys should be greater than 0"))
    return false;
  if (static_cast<size_t>(key_count) > ctx.args.size() - 2) {
    ctx.reply.Error("ERR Number of keys can't be greater than number of args");
    return false;
  }
  for (size_t i = 2 + static_cast<size_t>(key_count); i < ctx.args.size(); i++) {
    if (!ctx.ArgIs(i, "limit") || i + 1 == ctx.args.size()) {
      ctx.reply.Error(errors::kSyntax);
      return false;
    }
    int64_t value = 0;
    if (!ctx.ParseIntegerIn(++i, 0, LONG_MAX, &value, "ERR LIMIT can't be negative")) return false;
    *limit = static_cast<size_t>(value);
  }
  return true;
}

void CmdSInterCard(CommandContext& ctx) {
  size_t limit = 0;
  if (!ParseInterCard(ctx, &limit)) return;
  Sources sources;
  if (!LoadSources(ctx, ctx.keys, &sources)) return;
  if (sources.missing > 0) return ctx.reply.Integer(0);
  if (limit == 0) limit = ~size_t{0};
  size_t count = 0;
  VisitIntersection(&sources.sets, [&](Batch batch) {
    count += batch.size();
    return count < limit;
  });
  ctx.reply.Integer(static_cast<int64_t>(std::min(count, limit)));
}

void CmdSUnion(CommandContext& ctx) {
  Sources sources;
  if (!LoadSources(ctx, ctx.keys, &sources)) return;
  if (sources.sets.size() <= kProbedSetsMax && !AreIntSets(sources.sets)) {
    return ReplyStreamed(ctx, [&](auto&& visit) { VisitUnion(&sources.sets, visit); });
  }
  SlabHeap& heap = ctx.heap(ctx.key(0));
  ReplyMade(ctx, heap, MakeUnion(heap, SetLimits(ctx.options()), sources.sets));
}

void CmdSUnionStore(CommandContext& ctx) {
  const Key& target = ctx.key(0);
  Sources sources;
  if (!LoadSources(ctx, ctx.keys.subspan(1), &sources)) return;
  const SetLimits limits(ctx.options());
  StoreResult(ctx, target, MakeUnion(ctx.heap(target), limits, sources.sets), "sunionstore");
}

void CmdSDiff(CommandContext& ctx) {
  Sources sources;
  if (!LoadSources(ctx, ctx.keys, &sources)) return;
  if (sources.first_is_missing) return ctx.reply.Set(0);
  SlabHeap& heap = ctx.heap(ctx.key(0));
  ReplyStreamed(ctx, [&](auto&& visit) { VisitDifference(heap, &sources.sets, visit); });
}

void CmdSDiffStore(CommandContext& ctx) {
  const Key& target = ctx.key(0);
  Sources sources;
  if (!LoadSources(ctx, ctx.keys.subspan(1), &sources)) return;
  if (sources.first_is_missing) return StoreNothing(ctx, target);
  const SetLimits limits(ctx.options());
  StoreResult(ctx, target, MakeDifference(ctx.heap(target), limits, &sources.sets), "sdiffstore");
}

constexpr HandlerRow kHandlers[] = {
    {"sdiff", CmdSDiff},
    {"sdiffstore", CmdSDiffStore},
    {"sinter", CmdSInter},
    {"sintercard", CmdSInterCard},
    {"sinterstore", CmdSInterStore},
    {"sunion", CmdSUnion},
    {"sunionstore", CmdSUnionStore},
};

}  // namespace

std::span<const HandlerRow> SetCombineHandlers() { return kHandlers; }

}  // namespace sherd
