// Streams as a log: appending, reading ranges, deleting, trimming, and setting the counters by
// hand. Reading for what is new is in stream_read_commands.cc, consumer groups are in
// stream_group_commands.cc, XINFO is in stream_info_commands.cc.
//
// Streams have one encoding: nodes of entries, cut by stream-node-max-bytes and
// stream-node-max-entries. A stream without entries stays a key, as in Redis: its ids and groups
// are worth keeping.
//
// Cost: XADD is one lookup, the comparison with the master fields and the bytes written. Trimming
// with MAXLEN frees whole nodes; "~" never touches a node that has anything to keep.
//
// Effects are replayed as they came out: XADD with the id that was made, and approximate trimming
// as exact trimming to what is left.
//
// Thread: the one that holds the lease of the key.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "commands/families.h"
#include "commands/stream_util.h"
#include "engine/command_context.h"
#include "engine/stream_value.h"

namespace sherd {
namespace {

using ds::StreamLog;
using ds::StreamTrim;
using engine::CommandContext;
using engine::Handle;
using engine::HandlerRow;
using engine::Key;
using engine::StreamOf;
using engine::Type;
namespace errors = engine::errors;

// ---- Options of XADD and XTRIM ----

struct AddOptions {
  bool no_create = false;
  bool has_id = false;   // not "*"
  bool has_seq = false;  // not "ms-*"
  StreamId id;
  size_t id_index = 0;
  bool is_trimming = false;
  StreamTrim trim;
  bool has_limit = false;
  int64_t limit = 0;
  size_t trim_index = 0;  // argument that holds MAXLEN's or MINID's value
};

// MAXLEN or MINID at args[*index], which moves on to the value.
bool ParseStrategy(CommandContext& ctx, bool by_id, size_t* index, AddOptions* options) {
  if (options->is_trimming) {
    ctx.reply.Error(
        "ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
    return false;
  }
  options->is_trimming = true;
  options->trim.by_id = by_id;
  const std::string_view next = ctx.args[*index + 1];
  const bool has_operator = *index + 2 < ctx.args.size() && (next == "~" || next == "=");
  options->trim.is_exact = !(has_operator && next == "~");
  *index += has_operator ? 2 : 1;
  options->trim_index = *index;
  if (by_id) return ParseStreamId(ctx, ctx.args[*index], {}, &options->trim.min_id);
  int64_t length;
  if (!ctx.ParseInteger(*index, &length)) return false;
  if (length < 0) {
    ctx.reply.Error("ERR The MAXLEN argument must be >= 0.");
    return false;
  }
  options->trim.length_max = static_cast<uint64_t>(length);
  return true;
}

bool ParseLimit(CommandContext& ctx, size_t index, AddOptions* options) {
  if (!ctx.ParseInteger(index, &options->limit)) return false;
  if (options->limit < 0) {
    ctx.reply.Error("ERR The LIMIT argument must be >= 0.");
    return false;
  }
  options->has_limit = true;
  return true;
}

// What the options say together. Approximate trimming without LIMIT does a bounded amount of work.
bool CheckTrim(CommandContext& ctx, bool is_add, AddOptions* options) {
  const auto refuse = [&ctx](std::string_view error) {
    ctx.reply.Error(error);
    return false;
  };
  if (options->limit != 0 && !options->is_trimming) {
    return refuse("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
  }
  if (!is_add && !options->is_trimming) {
    return refuse("ERR syntax error, XTRIM must be called with a trimming strategy");
  }
  if (options->has_limit && options->trim.is_exact) {
    return refuse("ERR syntax error, LIMIT cannot be used without the special ~ option");
  }
  if (options->trim.is_exact) return true;
  constexpr int64_t kNodesMax = 100;
  constexpr int64_t kLimitDefault = 10000;
  constexpr int64_t kLimitMax = 1000000;
  int64_t limit = options->limit;
  if (!options->has_limit) {
    if (__builtin_mul_overflow(kNodesMax, ctx.options().stream_node_max_entries.Get(), &limit))
      limit = kLimitMax;
    if (limit <= 0) limit = kLimitDefault;
    if (limit > kLimitMax) limit = kLimitMax;
  }
  options->trim.limit = static_cast<uint64_t>(limit);
  return true;
}

// Reads options from args[2] on. For XADD, they end with the id; id_index is then its place (or
// that of the line's end).
bool ParseAddOptions(CommandContext& ctx, bool is_add, AddOptions* options) {
  size_t i = 2;
  for (; i < ctx.args.size(); i++) {
    const bool has_more = i + 1 < ctx.args.size();
    if (is_add && ctx.args[i] == "*") break;
    if (has_more && ctx.ArgIs(i, "maxlen")) {
      if (!ParseStrategy(ctx, false, &i, options)) return false;
    } else if (has_more && ctx.ArgIs(i, "minid")) {
      if (!ParseStrategy(ctx, true, &i, options)) return false;
    } else if (has_more && ctx.ArgIs(i, "limit")) {
      if (!ParseLimit(ctx, ++i, options)) return false;
    } else if (is_add && ctx.ArgIs(i, "nomkstream")) {
      options->no_create = true;
    } else if (is_add) {
      options->has_id = true;
      if (!ParseStreamId(ctx, ctx.args[i], {.allows_any_seq = true}, &options->id,
                         &options->has_seq))
        return false;
      break;
    } else {
      ctx.reply.Error(errors::kSyntax);
      return false;
    }
  }
  options->id_index = i;
  return CheckTrim(ctx, is_add, options);
}

// ---- XADD ----

bool CheckAdd(CommandContext& ctx, const AddOptions& options) {
  const size_t pairs_at = options.id_index + 1;
  if (pairs_at + 2 > ctx.args.size() || (ctx.args.size() - pairs_at) % 2 == 1) {
    ctx.RefuseArity();
    return false;
  }
  if (options.has_id && options.has_seq && options.id.is_zero()) {
    ctx.reply.Error("ERR The ID specified in XADD must be greater than 0-0");
    return false;
  }
  return true;
}

// The id of a new entry behind `last`. False: there is none.
bool ChooseId(CommandContext& ctx, const AddOptions& options, StreamId last, StreamId* id) {
  if (last == StreamId::Max()) {
    ctx.reply.Error("ERR The stream has exhausted the last possible ID, unable to add more items");
    return false;
  }
  if (!options.has_id) {
    *id = {static_cast<uint64_t>(ctx.now_ms), 0};
    // The clock may stand still or go back; ids do neither.
    if (id->ms <= last.ms) {
      *id = last;
      id->Increment();
    }
    return true;
  }
  *id = options.id;
  if (!options.has_seq && id->ms == last.ms) id->seq = last.seq + 1;
  const bool is_used_up = !options.has_seq && id->ms == last.ms && last.seq == UINT64_MAX;
  if (!is_used_up && *id > last) return true;
  ctx.reply.Error(
      "ERR The ID specified in XADD is equal or smaller than the target stream top item");
  return false;
}

bool CheckSize(CommandContext& ctx, std::span<const std::string_view> pairs) {
  size_t size = 0;
  for (const std::string_view text : pairs) size += text.size();
  if (size <= StreamLog::kEntryBytesMax) return true;
  ctx.reply.Error("ERR Elements are too large to be stored");
  return false;
}

// The line with its id as it was made, and with approximate trimming as what it came to.
void PropagateTrimmed(CommandContext& ctx, const AddOptions& options, const Stream& stream,
                      std::string_view id) {
  std::vector<std::string_view> effect(ctx.args.begin(), ctx.args.end());
  char text[StreamId::kCharsMax];
  if (options.is_trimming && !options.trim.is_exact) {
    effect[options.trim_index - 1] = "=";
    if (options.trim.by_id) {
      StreamId first = StreamId::Max();
      stream.log.FirstStoredId(&first);
      effect[options.trim_index] = {text, first.Format(text)};
    } else {
      effect[options.trim_index] = {text, FormatUint64(stream.length(), text)};
    }
  }
  if (!id.empty()) effect[options.id_index] = id;
  ctx.Propagate(ctx.db, effect);
}

void CmdXAdd(CommandContext& ctx) {
  AddOptions options;
  if (!ParseAddOptions(ctx, true, &options) || !CheckAdd(ctx, options)) return;
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kStream, &handle)) return;
  if (!handle && options.no_create) return ctx.reply.Null();

  const auto pairs = ctx.args.subspan(options.id_index + 1);
  StreamId id;
  if (!ChooseId(ctx, options, handle ? StreamOf(*handle.entry()).last_id : StreamId{}, &id)) return;
  if (!CheckSize(ctx, pairs)) return;
  Stream* stream;
  if (handle) {
    stream = &StreamOf(ctx.Mutate(key, handle));
  } else {
    stream = Stream::Create(ctx.heap(key));
    ctx.SetValue(key, handle, Type::kStream, engine::Encoding::kStream, stream);
    ctx.Notify(engine::kEventNew, "new", key);
  }
  stream->Append(ctx.heap(key), id, pairs, StreamLimits(ctx));
  ctx.AddDirty(1);
  ctx.Notify(engine::kEventStream, "xadd", key);
  if (options.is_trimming && stream->Trim(ctx.heap(key), options.trim) > 0) {
    ctx.Notify(engine::kEventStream, "xtrim", key);
  }
  ctx.SignalModified(key);
  ReplyStreamId(ctx.reply, id);

  const bool is_id_made = !options.has_id || !options.has_seq;
  if (!ctx.is_propagating() || (!is_id_made && options.trim.is_exact)) return;
  char text[StreamId::kCharsMax];
  const size_t size = id.Format(text);
  PropagateTrimmed(ctx, options, *stream,
                   is_id_made ? std::string_view(text, size) : std::string_view());
}

// ---- XTRIM and XDEL ----

void CmdXTrim(CommandContext& ctx) {
  AddOptions options;
  if (!ParseAddOptions(ctx, false, &options)) return;
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kStream, &handle)) return;
  if (!handle) return ctx.reply.Integer(0);
  Stream& stream = StreamOf(ctx.Mutate(key, handle));
  const uint64_t deleted = stream.Trim(ctx.heap(key), options.trim);
  if (deleted > 0) {
    ctx.Notify(engine::kEventStream, "xtrim", key);
    ctx.SignalModified(key);
    ctx.AddDirty(static_cast<int64_t>(deleted));
    if (!options.trim.is_exact && ctx.is_propagating()) PropagateTrimmed(ctx, options, stream, "");
  }
  ctx.reply.Integer(static_cast<int64_t>(deleted));
}

void CmdXDel(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kStream, &handle)) return;
  if (!handle) return ctx.reply.Integer(0);
  StreamIdList ids;
  if (!ids.Parse(ctx, 2)) return;
  const uint64_t deleted = StreamOf(ctx.Mutate(key, handle)).Delete(ctx.heap(key), ids.view());
  if (deleted > 0) {
    ctx.SignalModified(key);
    ctx.Notify(engine::kEventStream, "xdel", key);
    ctx.AddDirty(static_cast<int64_t>(deleted));
  }
  ctx.reply.Integer(static_cast<int64_t>(deleted));
}

// ---- Reading ----

void CmdXLen(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kStream, &handle)) return;
  ctx.reply.Integer(handle ? static_cast<int64_t>(StreamOf(*handle.entry()).length()) : 0);
}

void RangeIn(CommandContext& ctx, bool is_reverse) {
  StreamId start;
  StreamId end;
  if (!ParseStreamStart(ctx, ctx.args[is_reverse ? 3 : 2], &start)) return;
  if (!ParseStreamEnd(ctx, ctx.args[is_reverse ? 2 : 3], &end)) return;
  int64_t count = -1;
  for (size_t i = 4; i < ctx.args.size(); i += 2) {
    if (!ctx.ArgIs(i, "count") || i + 1 == ctx.args.size()) return ctx.reply.Error(errors::kSyntax);
    if (!ctx.ParseInteger(i + 1, &count)) return;
    if (count < 0) count = 0;
  }
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kStream, &handle)) return;
  if (!handle) return ctx.reply.EmptyArray();
  if (count == 0) return ctx.reply.NullArray();  // as Redis, but only where there is a stream
  ReplyStreamRange(ctx.reply, StreamOf(*handle.entry()), start, end, is_reverse,
                   count < 0 ? 0 : static_cast<uint64_t>(count));
}

void CmdXRange(CommandContext& ctx) { RangeIn(ctx, false); }
void CmdXRevRange(CommandContext& ctx) { RangeIn(ctx, true); }

// ---- XSETID ----

struct SetIdOptions {
  StreamId id;
  StreamId max_deleted;
  int64_t entries_added = -1;  // -1: not given
};

bool ParseSetIdOptions(CommandContext& ctx, SetIdOptions* options) {
  const auto refuse = [&ctx](std::string_view error) {
    ctx.reply.Error(error);
    return false;
  };
  if (!ParseStreamId(ctx, ctx.args[2], {}, &options->id)) return false;
  for (size_t i = 3; i < ctx.args.size(); i += 2) {
    const bool has_more = i + 1 < ctx.args.size();
    if (has_more && ctx.ArgIs(i, "entriesadded")) {
      if (!ctx.ParseInteger(i + 1, &options->entries_added)) return false;
      if (options->entries_added < 0) return refuse("ERR entries_added must be positive");
    } else if (has_more && ctx.ArgIs(i, "maxdeletedid")) {
      if (!ParseStreamId(ctx, ctx.args[i + 1], {}, &options->max_deleted)) return false;
      if (options->id < options->max_deleted) {
        return refuse(
            "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
      }
    } else {
      return refuse(errors::kSyntax);
    }
  }
  return true;
}

void CmdXSetId(CommandContext& ctx) {
  SetIdOptions options;
  if (!ParseSetIdOptions(ctx, &options)) return;
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kStream, &handle)) return;
  if (!handle) return ctx.reply.Error(errors::kNoSuchKey);
  Stream& stream = StreamOf(ctx.Mutate(key, handle));
  if (options.id < stream.max_deleted_id) {
    return ctx.reply.Error(
        "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id");
  }
  StreamId top;
  if (stream.log.LastId(&top)) {
    if (options.id < top) {
      return ctx.reply.Error(
          "ERR The ID specified in XSETID is smaller than the target stream top item");
    }
    if (options.entries_added != -1 &&
        stream.length() > static_cast<uint64_t>(options.entries_added)) {
      return ctx.reply.Error(
          "ERR The entries_added specified in XSETID is smaller than the target stream length");
    }
  }
  stream.last_id = options.id;
  if (options.entries_added != -1)
    stream.entries_added = static_cast<uint64_t>(options.entries_added);
  if (!options.max_deleted.is_zero()) stream.max_deleted_id = options.max_deleted;
  ctx.AddDirty(1);
  ctx.Notify(engine::kEventStream, "xsetid", key);
  ctx.reply.Ok();
}

// ---- Registration ----

constexpr HandlerRow kHandlers[] = {
    {"xadd", CmdXAdd},           {"xdel", CmdXDel},     {"xlen", CmdXLen},   {"xrange", CmdXRange},
    {"xrevrange", CmdXRevRange}, {"xsetid", CmdXSetId}, {"xtrim", CmdXTrim},
};

}  // namespace

std::span<const HandlerRow> StreamHandlers() { return kHandlers; }

}  // namespace sherd
