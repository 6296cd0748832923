// Lists: pushes, pops, ranges, searches, moves.
//
// A list is a listpack while it fits into one (list-max-listpack-size), else a quicklist; see
// engine/list_value.h for when it turns into which, and ds/quicklist.h for how it lies in memory.
//
// Cost of the hot ones: LPUSH, RPUSH, LPOP and RPOP of a quicklist are one lookup and a few stores,
// whichever end; LRANGE decodes each element once and writes it straight into the output.
//
// Effects go out as sent, but for LMPOP, which is replayed as LPOP or RPOP of as many elements as it
// took. A list that has become empty is deleted, and "del" follows the event of the command.
//
// Thread: the one that holds the leases of the keys.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/numbers.h"
#include "base/strings.h"
#include "commands/families.h"
#include "engine/command_context.h"
#include "engine/list_value.h"
#include "resp/reply_builder.h"

namespace sherd {
namespace {

using ds::Listpack;
using ds::PackedValue;
using engine::CommandContext;
using engine::Encoding;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::IntegerText;
using engine::Key;
using engine::ListEnd;
using engine::ListLimits;
using engine::Type;
namespace errors = engine::errors;

constexpr std::string_view kNotNegatable =
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
constexpr std::string_view kRankZero =
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to "
    "start from the end of the list";

const char* PushEvent(ListEnd end) { return end == ListEnd::kHead ? "lpush" : "rpush"; }
const char* PopEvent(ListEnd end) { return end == ListEnd::kHead ? "lpop" : "rpop"; }

// ---- Parsing ----

// An integer whose sign means a direction, so that the one without a counterpart is refused.
bool ParseSigned(CommandContext& ctx, size_t index, int64_t* value) {
  if (!ctx.ParseInteger(index, value)) return false;
  if (*value != std::numeric_limits<int64_t>::min()) return true;
  ctx.reply.Error(kNotNegatable);
  return false;
}

bool ParseAtLeast(CommandContext& ctx, size_t index, int64_t low, int64_t* value, std::string_view error) {
  return ctx.ParseIntegerIn(index, low, std::numeric_limits<int64_t>::max(), value, error);
}

// LEFT or RIGHT.
bool ParseEnd(CommandContext& ctx, size_t index, ListEnd* end) {
  if (ctx.ArgIs(index, "left")) {
    *end = ListEnd::kHead;
  } else if (ctx.ArgIs(index, "right")) {
    *end = ListEnd::kTail;
  } else {
    ctx.reply.Error(errors::kSyntax);
    return false;
  }
  return true;
}

struct Range {
  size_t start = 0;
  size_t count = 0;
};

// What start and stop, both inclusive and counted from the end when negative, mean in a list of this
// length.
Range Resolve(int64_t start, int64_t stop, size_t length) {
  const auto size = static_cast<int64_t>(length);
  if (start < 0) start = std::max<int64_t>(start + size, 0);
  if (stop < 0) stop += size;
  if (start > stop || start >= size) return {};
  stop = std::min(stop, size - 1);
  return {static_cast<size_t>(start), static_cast<size_t>(stop - start + 1)};
}

// The element that `index` means, counted from the end when negative; false: none.
bool ResolveIndex(int64_t index, size_t length, size_t* resolved) {
  const auto size = static_cast<int64_t>(length);
  if (index < 0) index += size;
  *resolved = static_cast<size_t>(index);
  return index >= 0 && index < size;
}

// ---- Replying and reporting ----

void ReplyElement(CommandContext& ctx, PackedValue value) {
  if (value.is_integer()) return ctx.reply.BulkInteger(value.integer);
  ctx.reply.Bulk({value.text, value.size});
}

// The elements of a range as an array, from its other end when `is_backward`.
void ReplyRange(CommandContext& ctx, const Entry& entry, Range range, bool is_backward) {
  ctx.reply.Array(range.count);
  if (range.count == 0) return;
  resp::BulkWriter writer(ctx.reply);
  const auto add = [&writer](PackedValue value) {
    if (value.is_integer()) {
      writer.AddInteger(value.integer);
    } else {
      writer.Add({value.text, value.size});
    }
    return true;
  };
  if (is_backward) {
    engine::VisitListBackward(entry, range.start + range.count - 1, range.count, add);
  } else {
    engine::VisitList(entry, range.start, range.count, add);
  }
}

// What every removal of `count` elements reports; the list shrinks its encoding, or is deleted.
void ReportRemoved(CommandContext& ctx, const Key& key, Handle handle, const char* event, size_t count) {
  ctx.Notify(engine::kEventList, event, key);
  if (engine::ListLength(*handle.entry()) == 0) {
    ctx.Delete(key, handle, false);
    ctx.Notify(engine::kEventGeneric, "del", key);
  } else {
    engine::ShrinkList(ctx.heap(key), *handle.entry(), ListLimits::Of(ctx.options()));
  }
  ctx.SignalModified(key);
  ctx.AddDirty(static_cast<int64_t>(count));
}

// An empty list under a name that does not exist. It must not stay empty.
Handle CreateList(CommandContext& ctx, const Key& key) {
  const Listpack pack = Listpack::Create(ctx.heap(key));
  const Handle handle = ctx.SetValue(key, {}, Type::kList, Encoding::kListPack, pack.data());
  ctx.Notify(engine::kEventNew, "new", key);
  return handle;
}

// ---- Pushes ----

void Push(CommandContext& ctx, ListEnd end, bool must_exist) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kList, &handle)) return;
  if (!handle) {
    if (must_exist) return ctx.reply.Integer(0);
    handle = CreateList(ctx, key);
  }
  const std::span<const std::string_view> texts = ctx.args.subspan(2);
  Entry& entry = ctx.Mutate(key, handle);
  if (engine::IsPackedList(entry)) {
    size_t bytes = 0;
    for (const std::string_view text : texts) bytes += text.size();
    engine::GrowList(ctx.heap(key), entry, ListLimits::Of(ctx.options()), bytes, texts.size());
  }
  engine::PushToList(ctx.heap(key), entry, end, texts);
  ctx.AddDirty(static_cast<int64_t>(texts.size()));
  ctx.reply.Integer(static_cast<int64_t>(engine::ListLength(entry)));
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventList, PushEvent(end), key);
}

void CmdLPush(CommandContext& ctx) { Push(ctx, ListEnd::kHead, false); }
void CmdRPush(CommandContext& ctx) { Push(ctx, ListEnd::kTail, false); }
void CmdLPushX(CommandContext& ctx) { Push(ctx, ListEnd::kHead, true); }
void CmdRPushX(CommandContext& ctx) { Push(ctx, ListEnd::kTail, true); }

void CmdLInsert(CommandContext& ctx) {
  const bool is_after = ctx.ArgIs(2, "after");
  if (!is_after && !ctx.ArgIs(2, "before")) return ctx.reply.Error(errors::kSyntax);
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kList, &handle)) return;
  if (!handle) return ctx.reply.Integer(0);
  // As in Redis, the list converts for the new element before it is known that there is a pivot.
  Entry& entry = ctx.Mutate(key, handle);
  engine::GrowList(ctx.heap(key), entry, ListLimits::Of(ctx.options()), ctx.args[4].size(), 1);
  if (!engine::InsertIntoList(ctx.heap(key), entry, ctx.args[3], ctx.args[4], is_after)) {
    return ctx.reply.Integer(-1);
  }
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventList, "linsert", key);
  ctx.AddDirty(1);
  ctx.reply.Integer(static_cast<int64_t>(engine::ListLength(entry)));
}

void CmdLSet(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle = ctx.LookupWrite(key);
  if (!handle) return ctx.reply.Error(errors::kNoSuchKey);
  if (!ctx.ExpectType(handle, Type::kList)) return;
  int64_t index;
  if (!ctx.ParseInteger(2, &index)) return;
  // As in Redis, the list converts as if the value came in addition, and before the index is checked.
  Entry& entry = ctx.Mutate(key, handle);
  const ListLimits limits = ListLimits::Of(ctx.options());
  engine::GrowList(ctx.heap(key), entry, limits, ctx.args[3].size(), 1);
  size_t at;
  if (!ResolveIndex(index, engine::ListLength(entry), &at)) return ctx.reply.Error(errors::kOutOfRange);
  engine::ReplaceInList(ctx.heap(key), entry, at, ctx.args[3]);
  ctx.reply.Ok();
  engine::ShrinkList(ctx.heap(key), entry, limits);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventList, "lset", key);
  ctx.AddDirty(1);
}

// ---- Reading ----

void CmdLLen(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kList, &handle)) return;
  ctx.reply.Integer(handle ? static_cast<int64_t>(engine::ListLength(*handle.entry())) : 0);
}

void CmdLIndex(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kList, &handle)) return;
  if (!handle) return ctx.reply.Null();
  int64_t index;
  if (!ctx.ParseInteger(2, &index)) return;
  size_t at;
  if (!ResolveIndex(index, engine::ListLength(*handle.entry()), &at)) return ctx.reply.Null();
  engine::VisitList(*handle.entry(), at, 1, [&ctx](PackedValue value) {
    ReplyElement(ctx, value);
    return false;
  });
}

void CmdLRange(CommandContext& ctx) {
  int64_t start;
  int64_t stop;
  if (!ctx.ParseInteger(2, &start) || !ctx.ParseInteger(3, &stop)) return;
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kList, &handle)) return;
  if (!handle) return ctx.reply.EmptyArray();
  const Entry& entry = *handle.entry();
  ReplyRange(ctx, entry, Resolve(start, stop, engine::ListLength(entry)), false);
}

// ---- LPOS ----

struct PositionOptions {
  int64_t rank = 1;
  int64_t count = -1;      // -1: no COUNT, the reply is one position; 0: all
  int64_t length_max = 0;  // elements to look at; 0: all
};

bool ParsePositionOption(CommandContext& ctx, size_t index, PositionOptions* options) {
  if (index + 1 < ctx.args.size()) {
    if (ctx.ArgIs(index, "rank")) {
      if (!ParseSigned(ctx, index + 1, &options->rank)) return false;
      if (options->rank != 0) return true;
      ctx.reply.Error(kRankZero);
      return false;
    }
    if (ctx.ArgIs(index, "count")) {
      return ParseAtLeast(ctx, index + 1, 0, &options->count, "ERR COUNT can't be negative");
    }
    if (ctx.ArgIs(index, "maxlen")) {
      return ParseAtLeast(ctx, index + 1, 0, &options->length_max, "ERR MAXLEN can't be negative");
    }
  }
  ctx.reply.Error(errors::kSyntax);
  return false;
}

// Positions of elements that equal `text`, in the order in which they are met.
std::vector<size_t> FindPositions(const Entry& entry, std::string_view text, const PositionOptions& options) {
  std::vector<size_t> positions;
  const size_t length = engine::ListLength(entry);
  const bool is_backward = options.rank < 0;
  const auto rank = static_cast<uint64_t>(is_backward ? -options.rank : options.rank);
  const size_t wanted = options.count < 0 ? 1 : static_cast<size_t>(options.count);
  const ds::ListNeedle needle(text);
  size_t passed = 0;
  uint64_t matches = 0;
  const auto look = [&](PackedValue value) {
    const size_t position = is_backward ? length - 1 - passed : passed;
    passed++;
    if (!needle.Equals(value) || ++matches < rank) return true;
    positions.push_back(position);
    return positions.size() != wanted;
  };
  const size_t looked_at = options.length_max == 0 ? length : static_cast<size_t>(options.length_max);
  if (is_backward) {
    engine::VisitListBackward(entry, length - 1, looked_at, look);
  } else {
    engine::VisitList(entry, 0, looked_at, look);
  }
  return positions;
}

void CmdLPos(CommandContext& ctx) {
  PositionOptions options;
  for (size_t i = 3; i < ctx.args.size(); i += 2) {
    if (!ParsePositionOption(ctx, i, &options)) return;
  }
  const bool is_array = options.count >= 0;
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kList, &handle)) return;
  if (!handle) return is_array ? ctx.reply.EmptyArray() : ctx.reply.Null();
  const std::vector<size_t> positions = FindPositions(*handle.entry(), ctx.args[2], options);
  if (is_array) {
    ctx.reply.Array(positions.size());
  } else if (positions.empty()) {
    return ctx.reply.Null();
  }
  for (const size_t position : positions) ctx.reply.Integer(static_cast<int64_t>(position));
}

// ---- Pops and removals ----

// Replies with the elements of one end as an array, outermost first, and removes them.
void OpPopRange(CommandContext& ctx, const Key& key, Handle handle, ListEnd end, size_t count) {
  Entry& entry = ctx.Mutate(key, handle);
  const size_t length = engine::ListLength(entry);
  count = std::min(count, length);
  const bool is_tail = end == ListEnd::kTail;
  const size_t start = is_tail ? length - count : 0;
  ReplyRange(ctx, entry, {start, count}, is_tail);
  engine::EraseFromList(ctx.heap(key), entry, start, count);
  ReportRemoved(ctx, key, handle, PopEvent(end), count);
}

void PopMany(CommandContext& ctx, ListEnd end) {
  if (ctx.args.size() > 3) {
    return ctx.reply.Error(std::string("ERR wrong number of arguments for '") + ctx.spec->full_name +
                           "' command");
  }
  int64_t count;
  if (!ParseAtLeast(ctx, 2, 0, &count, errors::kMustBePositive)) return;
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kList, &handle)) return;
  if (!handle) return ctx.reply.NullArray();
  if (count == 0) return ctx.reply.EmptyArray();
  OpPopRange(ctx, key, handle, end, static_cast<size_t>(count));
}

void Pop(CommandContext& ctx, ListEnd end) {
  if (ctx.args.size() > 2) return PopMany(ctx, end);
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kList, &handle)) return;
  if (!handle) return ctx.reply.Null();
  Entry& entry = ctx.Mutate(key, handle);
  ReplyElement(ctx, engine::PeekList(entry, end));
  engine::PopFromList(ctx.heap(key), entry, end);
  ReportRemoved(ctx, key, handle, PopEvent(end), 1);
}

void CmdLPop(CommandContext& ctx) { Pop(ctx, ListEnd::kHead); }
void CmdRPop(CommandContext& ctx) { Pop(ctx, ListEnd::kTail); }

void CmdLRem(CommandContext& ctx) {
  int64_t count;
  if (!ParseSigned(ctx, 2, &count)) return;
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kList, &handle)) return;
  if (!handle) return ctx.reply.Integer(0);
  const ListEnd from = count < 0 ? ListEnd::kTail : ListEnd::kHead;
  size_t limit = static_cast<size_t>(count < 0 ? -count : count);
  if (limit == 0) limit = ~size_t{0};
  const size_t removed =
      engine::EraseMatchesFromList(ctx.heap(key), ctx.Mutate(key, handle), ctx.args[3], limit, from);
  if (removed > 0) ReportRemoved(ctx, key, handle, "lrem", removed);
  ctx.reply.Integer(static_cast<int64_t>(removed));
}

void CmdLTrim(CommandContext& ctx) {
  int64_t start;
  int64_t stop;
  if (!ctx.ParseInteger(2, &start) || !ctx.ParseInteger(3, &stop)) return;
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kList, &handle)) return;
  if (!handle) return ctx.reply.Ok();
  Entry& entry = ctx.Mutate(key, handle);
  const size_t length = engine::ListLength(entry);
  const Range kept = Resolve(start, stop, length);
  const size_t behind = kept.start + kept.count;
  if (behind < length) engine::EraseFromList(ctx.heap(key), entry, behind, length - behind);
  if (kept.start > 0) engine::EraseFromList(ctx.heap(key), entry, 0, kept.start);
  // Redis reports a trim that removes nothing as well, but does not replay it.
  ReportRemoved(ctx, key, handle, "ltrim", length - kept.count);
  ctx.reply.Ok();
}

// ---- Moves ----

// Pops and pushes within one list. The value is copied: its place goes before it is pushed.
void OpRotate(CommandContext& ctx, const Key& key, Handle handle, ListEnd from, ListEnd to) {
  Entry& entry = ctx.Mutate(key, handle);
  char digits[kInt64CharsMax];
  const PackedValue value = engine::PeekList(entry, from);
  const std::string text(value.View(digits));
  const bool is_counted = engine::IsPackedList(entry) || !value.is_integer();
  engine::PopFromList(ctx.heap(key), entry, from);
  engine::GrowList(ctx.heap(key), entry, ListLimits::Of(ctx.options()), is_counted ? text.size() : 0, 1);
  const std::string_view texts[] = {text};
  engine::PushToList(ctx.heap(key), entry, to, texts);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventList, PushEvent(to), key);
  ctx.reply.Bulk(text);
  ReportRemoved(ctx, key, handle, PopEvent(from), 1);
}

void OpMove(CommandContext& ctx, Handle source, ListEnd from, ListEnd to) {
  const Key& source_key = ctx.key(0);
  const Key& key = ctx.key(1);
  // The value stays where it is while entries move: no handle of the source survives the table's change.
  const bool was_packed = engine::IsPackedList(*source.entry());
  const PackedValue value = engine::PeekList(*source.entry(), from);
  Handle target;
  if (!ctx.FindWrite(key, Type::kList, &target)) return;
  if (!target) target = CreateList(ctx, key);

  char digits[kInt64CharsMax];
  const std::string_view texts[] = {value.View(digits)};
  // Redis counts an integer that comes out of a quicklist with no bytes.
  const size_t bytes = value.is_integer() && !was_packed ? 0 : texts[0].size();
  Entry& entry = ctx.Mutate(key, target);
  engine::GrowList(ctx.heap(key), entry, ListLimits::Of(ctx.options()), bytes, 1);
  engine::PushToList(ctx.heap(key), entry, to, texts);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventList, PushEvent(to), key);
  ctx.reply.Bulk(texts[0]);

  source = ctx.keyspace(source_key).Find(ctx.db, source_key);
  engine::PopFromList(ctx.heap(source_key), ctx.Mutate(source_key, source), from);
  ReportRemoved(ctx, source_key, source, PopEvent(from), 1);
}

void Move(CommandContext& ctx, ListEnd from, ListEnd to) {
  Handle source;
  if (!ctx.FindWrite(ctx.key(0), Type::kList, &source)) return;
  if (!source) return ctx.reply.Null();
  if (ctx.key(0).name == ctx.key(1).name) return OpRotate(ctx, ctx.key(0), source, from, to);
  OpMove(ctx, source, from, to);
}

void CmdLMove(CommandContext& ctx) {
  ListEnd from;
  ListEnd to;
  if (ParseEnd(ctx, 3, &from) && ParseEnd(ctx, 4, &to)) Move(ctx, from, to);
}

void CmdRPopLPush(CommandContext& ctx) { Move(ctx, ListEnd::kTail, ListEnd::kHead); }

// ---- LMPOP ----

struct MultiPopOptions {
  size_t keys = 0;
  ListEnd end = ListEnd::kHead;
  int64_t count = 1;
};

// numkeys key … LEFT|RIGHT [COUNT count]
bool ParseMultiPop(CommandContext& ctx, MultiPopOptions* options) {
  int64_t keys;
  if (!ParseAtLeast(ctx, 1, 1, &keys, "ERR numkeys should be greater than 0")) return false;
  const size_t words = ctx.args.size();
  const size_t end_index = static_cast<uint64_t>(keys) < words ? static_cast<size_t>(keys) + 2 : words;
  if (end_index >= words) {
    ctx.reply.Error(errors::kSyntax);
    return false;
  }
  options->keys = static_cast<size_t>(keys);
  if (!ParseEnd(ctx, end_index, &options->end)) return false;
  bool has_count = false;
  for (size_t i = end_index + 1; i < words; i += 2) {
    if (has_count || !ctx.ArgIs(i, "count") || i + 1 == words) {
      ctx.reply.Error(errors::kSyntax);
      return false;
    }
    has_count = true;
    if (!ParseAtLeast(ctx, i + 1, 1, &options->count, "ERR count should be greater than 0")) return false;
  }
  return true;
}

void CmdLMPop(CommandContext& ctx) {
  MultiPopOptions options;
  if (!ParseMultiPop(ctx, &options)) return;
  for (size_t i = 0; i < options.keys; i++) {
    const Key& key = ctx.key(i);
    Handle handle;
    if (!ctx.FindWrite(key, Type::kList, &handle)) return;
    if (!handle) continue;
    const size_t length = engine::ListLength(*handle.entry());
    const size_t count = std::min(static_cast<size_t>(options.count), length);
    ctx.reply.Array(2);
    ctx.reply.Bulk(key.name);
    OpPopRange(ctx, key, handle, options.end, count);
    if (!ctx.is_propagating()) return;
    IntegerText text;
    ctx.Propagate({options.end == ListEnd::kHead ? "LPOP" : "RPOP", key.name,
                   {text.bytes, FormatInt64(static_cast<int64_t>(count), text.bytes)}});
    return;
  }
  ctx.reply.NullArray();
}

// ---- Registration ----

constexpr HandlerRow kHandlers[] = {
    {"lindex", CmdLIndex}, {"linsert", CmdLInsert}, {"llen", CmdLLen},     {"lmove", CmdLMove},
    {"lmpop", CmdLMPop},   {"lpop", CmdLPop},       {"lpos", CmdLPos},     {"lpush", CmdLPush},
    {"lpushx", CmdLPushX}, {"lrange", CmdLRange},   {"lrem", CmdLRem},     {"lset", CmdLSet},
    {"ltrim", CmdLTrim},   {"rpop", CmdRPop},       {"rpoplpush", CmdRPopLPush}, {"rpush", CmdRPush},
    {"rpushx", CmdRPushX},
};

}  // namespace

std::span<const HandlerRow> ListHandlers() { return kHandlers; }

}  // namespace sherd
