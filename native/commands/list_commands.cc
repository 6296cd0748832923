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
#include "commands/list_moves.h"
#include "engine/command_context.h"
#include "engine/list_value.h"

namespace sherd {
namespace {

using ds::PackedValue;
using engine::CommandContext;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
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

// What start and stop, both inclusive and counted from the end when negative, mean in a list of this
// length.
ListRange Resolve(int64_t start, int64_t stop, size_t length) {
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
  ctx.Notify(engine::kEventList, ListPushEvent(end), key);
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
    ReplyListElement(ctx, value);
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
  ReplyListRange(ctx, entry, Resolve(start, stop, engine::ListLength(entry)), false);
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
  OpPopElement(ctx, key, handle, end);
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
  if (removed > 0) ReportListRemoval(ctx, key, handle, "lrem", removed);
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
  const ListRange kept = Resolve(start, stop, length);
  const size_t behind = kept.start + kept.count;
  if (behind < length) engine::EraseFromList(ctx.heap(key), entry, behind, length - behind);
  if (kept.start > 0) engine::EraseFromList(ctx.heap(key), entry, 0, kept.start);
  // Redis reports a trim that removes nothing as well, but does not replay it.
  ReportListRemoval(ctx, key, handle, "ltrim", length - kept.count);
  ctx.reply.Ok();
}

// ---- Moves ----

void Move(CommandContext& ctx, ListEnd from, ListEnd to) {
  Handle source;
  if (!ctx.FindWrite(ctx.key(0), Type::kList, &source)) return;
  if (!source) return ctx.reply.Null();
  OpMoveElement(ctx, source, from, to);
}

void CmdLMove(CommandContext& ctx) {
  ListEnd from;
  ListEnd to;
  if (ParseListEnd(ctx, 3, &from) && ParseListEnd(ctx, 4, &to)) Move(ctx, from, to);
}

void CmdRPopLPush(CommandContext& ctx) { Move(ctx, ListEnd::kTail, ListEnd::kHead); }

// ---- LMPOP ----

void CmdLMPop(CommandContext& ctx) {
  ListMultiPop options;
  if (!ParseListMultiPop(ctx, 1, &options)) return;
  for (size_t i = 0; i < options.keys; i++) {
    Handle handle;
    if (!ctx.FindWrite(ctx.key(i), Type::kList, &handle)) return;
    if (handle) return OpPopNamedRange(ctx, ctx.key(i), handle, options);
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
