// What the families on lists share: see the header.
#include "commands/list_moves.h"

#include <algorithm>
#include <span>
#include <string>

#include "base/numbers.h"

namespace sherd {

using ds::Listpack;
using ds::PackedValue;
using engine::CommandContext;
using engine::Encoding;
using engine::Entry;
using engine::Handle;
using engine::IntegerText;
using engine::Key;
using engine::ListEnd;
using engine::ListLimits;
using engine::Type;
namespace errors = engine::errors;

// ---- Parsing ----

bool ParseListEnd(CommandContext& ctx, size_t index, ListEnd* end) {
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

bool ParseListMultiPop(CommandContext& ctx, size_t index, ListMultiPop* options) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  int64_t keys;
  if (!ctx.ParseIntegerIn(index, 1, kMax, &keys, "ERR numkeys should be greater than 0")) return false;
  const size_t words = ctx.args.size();
  const size_t end_index =
      static_cast<uint64_t>(keys) < words ? index + 1 + static_cast<size_t>(keys) : words;
  if (end_index >= words) {
    ctx.reply.Error(errors::kSyntax);
    return false;
  }
  options->keys = static_cast<size_t>(keys);
  if (!ParseListEnd(ctx, end_index, &options->end)) return false;
  bool has_count = false;
  for (size_t i = end_index + 1; i < words; i += 2) {
    if (has_count || !ctx.ArgIs(i, "count") || i + 1 == words) {
      ctx.reply.Error(errors::kSyntax);
      return false;
    }
    has_count = true;
    if (!ctx.ParseIntegerIn(i + 1, 1, kMax, &options->count, "ERR count should be greater than 0")) {
      return false;
    }
  }
  return true;
}

// ---- Replying and reporting ----

void ReplyListRange(CommandContext& ctx, const Entry& entry, ListRange range, bool is_backward) {
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

void ReportListRemoval(CommandContext& ctx, const Key& key, Handle handle, const char* event, size_t count) {
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

void PropagateListPop(CommandContext& ctx, const Key& key, ListEnd end, size_t count) {
  if (!ctx.is_propagating()) return;
  const std::string_view name = end == ListEnd::kHead ? "LPOP" : "RPOP";
  if (count == 0) return ctx.Propagate({name, key.name});
  IntegerText text;
  ctx.Propagate({name, key.name, {text.bytes, FormatUint64(count, text.bytes)}});
}

// ---- Pops ----

Handle CreateList(CommandContext& ctx, const Key& key) {
  const Listpack pack = Listpack::Create(ctx.heap(key));
  const Handle handle = ctx.SetValue(key, {}, Type::kList, Encoding::kListPack, pack.data());
  ctx.Notify(engine::kEventNew, "new", key);
  return handle;
}

void OpPopElement(CommandContext& ctx, const Key& key, Handle handle, ListEnd end) {
  Entry& entry = ctx.Mutate(key, handle);
  ReplyListElement(ctx, engine::PeekList(entry, end));
  engine::PopFromList(ctx.heap(key), entry, end);
  ReportListRemoval(ctx, key, handle, ListPopEvent(end), 1);
}

size_t OpPopRange(CommandContext& ctx, const Key& key, Handle handle, ListEnd end, size_t count) {
  Entry& entry = ctx.Mutate(key, handle);
  const size_t length = engine::ListLength(entry);
  count = std::min(count, length);
  const bool is_tail = end == ListEnd::kTail;
  const size_t start = is_tail ? length - count : 0;
  ReplyListRange(ctx, entry, {start, count}, is_tail);
  engine::EraseFromList(ctx.heap(key), entry, start, count);
  ReportListRemoval(ctx, key, handle, ListPopEvent(end), count);
  return count;
}

void OpPopNamedRange(CommandContext& ctx, const Key& key, Handle handle, const ListMultiPop& options) {
  ctx.reply.Array(2);
  ctx.reply.Bulk(key.name);
  const size_t count = OpPopRange(ctx, key, handle, options.end, static_cast<size_t>(options.count));
  PropagateListPop(ctx, key, options.end, count);
}

// ---- Moves ----

namespace {

// Pops and pushes within one list. The value is copied: its place goes before it is pushed.
void Rotate(CommandContext& ctx, const Key& key, Handle handle, ListEnd from, ListEnd to) {
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
  ctx.Notify(engine::kEventList, ListPushEvent(to), key);
  ctx.reply.Bulk(text);
  ReportListRemoval(ctx, key, handle, ListPopEvent(from), 1);
}

}  // namespace

bool OpMoveElement(CommandContext& ctx, Handle source, ListEnd from, ListEnd to) {
  const Key& source_key = ctx.key(0);
  const Key& key = ctx.key(1);
  if (source_key.name == key.name) {
    Rotate(ctx, key, source, from, to);
    return true;
  }
  // The value stays where it is while entries move: no handle of the source survives the table's change.
  const bool was_packed = engine::IsPackedList(*source.entry());
  const PackedValue value = engine::PeekList(*source.entry(), from);
  Handle target;
  if (!ctx.FindWrite(key, Type::kList, &target)) return false;
  if (!target) target = CreateList(ctx, key);

  char digits[kInt64CharsMax];
  const std::string_view texts[] = {value.View(digits)};
  // Redis counts an integer that comes out of a quicklist with no bytes.
  const size_t bytes = value.is_integer() && !was_packed ? 0 : texts[0].size();
  Entry& entry = ctx.Mutate(key, target);
  engine::GrowList(ctx.heap(key), entry, ListLimits::Of(ctx.options()), bytes, 1);
  engine::PushToList(ctx.heap(key), entry, to, texts);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventList, ListPushEvent(to), key);
  ctx.reply.Bulk(texts[0]);

  source = ctx.keyspace(source_key).Find(ctx.db, source_key);
  engine::PopFromList(ctx.heap(source_key), ctx.Mutate(source_key, source), from);
  ReportListRemoval(ctx, source_key, source, ListPopEvent(from), 1);
  return true;
}

}  // namespace sherd
