// Sets: commands on one set (and SMOVE). Those that combine several are in set_combine_commands.cc.
//
// How a set is stored and when it changes its encoding is SetObject's matter (engine/set_value.h).
// A command copies the two words that are a set out of the entry, works on them, and stores them
// again.
//
// What is random is replayed as what it did: SPOP as SREM of the members (1024 a line at most), or
// as DEL when it took all. SPOP of nearly all members moves those that stay into a new set, which
// then may have another encoding, as in Redis.
//
// Cost: O(1) a member; a random member of a table costs about three cache misses.
// Thread: the one that holds the leases of the keys.
#include <algorithm>
#include <climits>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/numbers.h"
#include "commands/collection_scan.h"
#include "commands/families.h"
#include "engine/command_context.h"
#include "engine/set_value.h"
#include "engine/thread_random.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::Key;
using engine::SetLimits;
using engine::SetObject;
using engine::ThreadRandom;
using engine::Type;
namespace errors = engine::errors;

constexpr std::string_view kLongRange =
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";

// ---- Work ----

/// Deletes a set that has lost its last member.
void DeleteEmpty(CommandContext& ctx, const Key& key, Handle handle) {
  ctx.Delete(key, handle, static_cast<bool>(ctx.options().lazyfree_lazy_server_del));
  ctx.Notify(engine::kEventGeneric, "del", key);
}

/// Adds members to the set at `key` (its handle, or empty: it is made). Returns how many are new.
size_t OpAdd(CommandContext& ctx, const Key& key, Handle handle,
             std::span<const std::string_view> members) {
  const SetLimits limits(ctx.options());
  SlabHeap& heap = ctx.heap(key);
  if (!handle) {
    SetObject set = SetObject::CreateFor(heap, limits, members[0], members.size());
    const size_t added = set.AddAll(heap, limits, members);
    ctx.SetValue(key, {}, Type::kSet, set.encoding(), set.object());
    ctx.Notify(engine::kEventNew, "new", key);
    return added;
  }
  Entry& entry = ctx.Mutate(key, handle);
  SetObject set(entry);
  set.ExpectMore(heap, limits, members.size());
  const size_t added = set.AddAll(heap, limits, members);
  set.Store(&entry);
  return added;
}

/// Removes one member; false if it is not there. The set may be empty afterwards.
bool OpRemove(CommandContext& ctx, const Key& key, Handle handle, std::string_view member) {
  Entry& entry = ctx.Mutate(key, handle);
  SetObject set(entry);
  if (!set.Remove(ctx.heap(key), member)) return false;
  set.Store(&entry);
  return true;
}

size_t SizeOf(Handle handle) { return SetObject(*handle.entry()).size(); }

/// Members that were removed at random, on their way to whoever replays effects.
class Removals {
 public:
  Removals(CommandContext& ctx, const Key& key)
      : ctx_(ctx), key_(key), is_needed_(ctx.is_propagating()) {}
  ~Removals() { Flush(); }
  void Add(std::string_view member) {
    if (__builtin_expect(!is_needed_, 1)) return;
    members_.emplace_back(member);
    if (members_.size() == kBatch) Flush();
  }

 private:
  static constexpr size_t kBatch = 1024;  // as Redis
  void Flush() {
    if (members_.empty()) return;
    std::vector<std::string_view> effect = {"SREM", key_.name};
    effect.insert(effect.end(), members_.begin(), members_.end());
    ctx_.Propagate(ctx_.db, effect);
    members_.clear();
  }
  CommandContext& ctx_;
  const Key& key_;
  const bool is_needed_;
  std::vector<std::string> members_;
};

// ---- Members ----

void CmdSAdd(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kSet, &handle)) return;
  const size_t added = OpAdd(ctx, key, handle, ctx.args.subspan(2));
  if (added > 0) {
    ctx.SignalModified(key);
    ctx.Notify(engine::kEventSet, "sadd", key);
    ctx.AddDirty(static_cast<int64_t>(added));
  }
  ctx.reply.Integer(static_cast<int64_t>(added));
}

void CmdSRem(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kSet, &handle)) return;
  int64_t removed = 0;
  bool is_empty = false;
  for (size_t i = 2; handle && !is_empty && i < ctx.args.size(); i++) {
    if (!OpRemove(ctx, key, handle, ctx.args[i])) continue;
    removed++;
    is_empty = SizeOf(handle) == 0;
  }
  if (removed > 0) {
    ctx.SignalModified(key);
    ctx.Notify(engine::kEventSet, "srem", key);
    if (is_empty) DeleteEmpty(ctx, key, handle);
    ctx.AddDirty(removed);
  }
  ctx.reply.Integer(removed);
}

void CmdSIsMember(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSet, &handle)) return;
  ctx.reply.Integer(handle && SetObject(*handle.entry()).Contains(ctx.args[2]) ? 1 : 0);
}

void CmdSMIsMember(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSet, &handle)) return;
  std::span<const std::string_view> members = ctx.args.subspan(2);
  ctx.reply.Array(members.size());
  while (!members.empty()) {
    const size_t count = std::min(members.size(), SetObject::kBatchMax);
    if (!handle) {
      for (size_t i = 0; i < count; i++) ctx.reply.Integer(0);
    } else if (const SetObject set(*handle.entry()); set.is_table()) {
      uint64_t hashes[SetObject::kBatchMax];
      for (size_t i = 0; i < count; i++) hashes[i] = engine::HashKey(members[i]);
      set.table()->PrefetchBatch(hashes, count);
      for (size_t i = 0; i < count; i++) {
        ctx.reply.Integer(set.table()->Contains(hashes[i], members[i]) ? 1 : 0);
      }
    } else {
      for (size_t i = 0; i < count; i++) ctx.reply.Integer(set.Contains(members[i]) ? 1 : 0);
    }
    members = members.subspan(count);
  }
}

void CmdSCard(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSet, &handle)) return;
  ctx.reply.Integer(handle ? static_cast<int64_t>(SizeOf(handle)) : 0);
}

void CmdSMove(CommandContext& ctx) {
  const Key& source = ctx.key(0);
  const Key& target = ctx.key(1);
  const std::string_view member = ctx.args[3];
  if (!ctx.LookupWrite(source)) {
    ctx.LookupWrite(target);
    return ctx.reply.Integer(0);
  }
  const Handle existing = ctx.LookupWrite(target);
  // Dropping an expired target may have moved what stands beside it.
  const Handle handle = ctx.keyspace(source).Find(ctx.db, source);
  if (!ctx.ExpectType(handle, Type::kSet)) return;
  if (existing && !ctx.ExpectType(existing, Type::kSet)) return;
  if (source.name == target.name) {
    return ctx.reply.Integer(SetObject(*handle.entry()).Contains(member) ? 1 : 0);
  }
  if (!OpRemove(ctx, source, handle, member)) return ctx.reply.Integer(0);
  ctx.Notify(engine::kEventSet, "srem", source);
  if (SizeOf(handle) == 0) DeleteEmpty(ctx, source, handle);
  ctx.SignalModified(source);
  ctx.AddDirty(1);
  if (OpAdd(ctx, target, ctx.keyspace(target).Find(ctx.db, target), {&member, 1}) > 0) {
    ctx.AddDirty(1);
    ctx.SignalModified(target);
    ctx.Notify(engine::kEventSet, "sadd", target);
  }
  ctx.reply.Integer(1);
}

void CmdSMembers(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSet, &handle)) return;
  if (!handle) return ctx.reply.Set(0);
  const SetObject set(*handle.entry());
  ctx.reply.Set(set.size());
  resp::BulkWriter writer(ctx.reply);
  set.ForEach([&](std::string_view member) {
    writer.Add(member);
    return true;
  });
}

// ---- SPOP ----

void PopOne(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kSet, &handle)) return;
  if (!handle) return ctx.reply.Null();
  Entry& entry = ctx.Mutate(key, handle);
  SetObject set(entry);
  set.PopRandom(ctx.heap(key), ThreadRandom(), 1, [&](std::string_view member) {
    ctx.reply.Bulk(member);
    if (ctx.is_propagating()) ctx.Propagate({"SREM", key.name, member});
  });
  set.Store(&entry);
  ctx.Notify(engine::kEventSet, "spop", key);
  if (set.size() == 0) DeleteEmpty(ctx, key, handle);
  ctx.SignalModified(key);
  ctx.AddDirty(1);
}

/// All members go, and the key with them.
void PopAll(CommandContext& ctx, const Key& key) {
  // Redis answers with the union of the one set, so that the lookup counts as a read as well.
  const Handle handle = ctx.LookupRead(key);
  const SetObject set(*handle.entry());
  ctx.reply.Set(set.size());
  {
    resp::BulkWriter writer(ctx.reply);
    set.ForEach([&](std::string_view member) {
      writer.Add(member);
      return true;
    });
  }
  DeleteEmpty(ctx, key, handle);
  if (ctx.is_propagating()) {
    ctx.Propagate({ctx.options().lazyfree_lazy_server_del ? "UNLINK" : "DEL", key.name});
  }
}

/// `count` of more members go.
void PopSome(CommandContext& ctx, const Key& key, Handle handle, size_t count) {
  // Redis's measure of "nearly all": then those that stay are the ones that are picked.
  constexpr size_t kMoveStrategyMultiplier = 5;
  Entry& entry = ctx.Mutate(key, handle);
  SlabHeap& heap = ctx.heap(key);
  SetObject set(entry);
  const size_t remaining = set.size() - count;
  Removals removals(ctx, key);
  ctx.reply.Set(count);
  resp::BulkWriter writer(ctx.reply);
  const auto take = [&](std::string_view member) {
    writer.Add(member);
    removals.Add(member);
    return true;
  };
  if (remaining * kMoveStrategyMultiplier > count) {
    set.PopRandom(heap, ThreadRandom(), count, take);
    set.Store(&entry);
    return;
  }
  const SetLimits limits(ctx.options());
  const SetObject rest = set.ExtractRandom(heap, limits, ThreadRandom(), remaining);
  set.ForEach(take);
  set.Store(&entry);
  ctx.SetValue(key, handle, Type::kSet, rest.encoding(), rest.object(), entry.expiry_ms());
}

void PopCount(CommandContext& ctx) {
  int64_t wanted;
  if (!ctx.ParseIntegerIn(2, 0, LONG_MAX, &wanted, errors::kMustBePositive)) return;
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kSet, &handle)) return;
  if (!handle || wanted == 0) return ctx.reply.Set(0);
  const size_t size = SizeOf(handle);
  const size_t count = std::min(static_cast<size_t>(wanted), size);
  ctx.Notify(engine::kEventSet, "spop", key);
  ctx.AddDirty(static_cast<int64_t>(count));
  if (count == size) {
    PopAll(ctx, key);
  } else {
    PopSome(ctx, key, handle, count);
  }
  ctx.SignalModified(key);
}

void CmdSPop(CommandContext& ctx) {
  if (ctx.args.size() == 2) return PopOne(ctx);
  if (ctx.args.size() == 3) return PopCount(ctx);
  ctx.reply.Error(errors::kSyntax);
}

// ---- SRANDMEMBER ----

void RandomOne(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSet, &handle)) return;
  if (!handle) return ctx.reply.Null();
  SetObject::Text text;
  ctx.reply.Bulk(SetObject(*handle.entry()).RandomMember(ThreadRandom(), text));
}

void RandomCount(CommandContext& ctx) {
  int64_t wanted;
  if (!ctx.ParseInteger(2, &wanted)) return;
  if (wanted == LONG_MIN) return ctx.reply.Error(kLongRange);
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSet, &handle)) return;
  if (!handle || wanted == 0) return ctx.reply.EmptyArray();
  const SetObject set(*handle.entry());
  const size_t size = set.size();
  // A negative count may return a member several times; it is also the only one in random order.
  const size_t count = static_cast<size_t>(wanted < 0 ? -wanted : wanted);
  const bool is_whole = wanted > 0 && count >= size;
  ctx.reply.Array(is_whole ? size : count);
  resp::BulkWriter writer(ctx.reply);
  const auto write = [&](std::string_view member) {
    writer.Add(member);
    return true;
  };
  if (is_whole) {
    set.ForEach(write);
  } else if (wanted > 1) {
    set.SampleRandom(ThreadRandom(), count, write);
  } else {
    SetObject::Text text;
    for (size_t i = 0; i < count; i++) write(set.RandomMember(ThreadRandom(), text));
  }
}

void CmdSRandMember(CommandContext& ctx) {
  if (ctx.args.size() == 2) return RandomOne(ctx);
  if (ctx.args.size() == 3) return RandomCount(ctx);
  ctx.reply.Error(errors::kSyntax);
}

// ---- SSCAN ----

/// A set of one block is one page.
void ReplyWholeSet(CommandContext& ctx, const SetObject& set, const CollectionScan& scan) {
  ctx.reply.Bulk("0");
  ctx.reply.BeginDeferred();
  size_t count = 0;
  {
    resp::BulkWriter writer(ctx.reply);
    set.ForEach([&](std::string_view member) {
      if (scan.Matches(member)) {
        writer.Add(member);
        count++;
      }
      return true;
    });
  }
  ctx.reply.EndArray(count);
}

void ReplyTablePage(CommandContext& ctx, const engine::SetTable& table,
                    const CollectionScan& scan) {
  std::vector<std::string_view> found;
  int64_t buckets_left = scan.buckets_max();
  int64_t sampled = 0;
  uint64_t cursor = scan.cursor;
  do {
    cursor = table.Scan(cursor, [&](std::string_view member) {
      sampled++;
      if (scan.Matches(member)) found.push_back(member);
    });
  } while (cursor != 0 && --buckets_left > 0 && sampled < scan.count);
  char text[kInt64CharsMax];
  ctx.reply.Bulk({text, FormatUint64(cursor, text)});
  ctx.reply.Array(found.size());
  resp::BulkWriter writer(ctx.reply);
  for (const std::string_view member : found) writer.Add(member);
}

void CmdSScan(CommandContext& ctx) {
  CollectionScan scan;
  if (!ParseCollectionCursor(ctx, &scan)) return;
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kSet, &handle)) return;
  if (!handle) {
    ctx.reply.Array(2);
    ctx.reply.Bulk("0");
    return ctx.reply.EmptyArray();
  }
  if (!ParseCollectionScan(ctx, &scan)) return;
  const SetObject set(*handle.entry());
  ctx.reply.Array(2);
  if (!set.is_table()) return ReplyWholeSet(ctx, set, scan);
  ReplyTablePage(ctx, *set.table(), scan);
}

constexpr HandlerRow kHandlers[] = {
    {"sadd", CmdSAdd},
    {"scard", CmdSCard},
    {"sismember", CmdSIsMember},
    {"smembers", CmdSMembers},
    {"smismember", CmdSMIsMember},
    {"smove", CmdSMove},
    {"spop", CmdSPop},
    {"srandmember", CmdSRandMember},
    {"srem", CmdSRem},
    {"sscan", CmdSScan},
};

}  // namespace

std::span<const HandlerRow> SetHandlers() { return kHandlers; }

}  // namespace sherd
