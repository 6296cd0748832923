// XREAD and XREADGROUP: what is new in some streams.
//
// Both are routed by a function of their own, since their keys stand behind STREAMS, a word that
// may as well be the name of a group or a consumer: the router reads the options as the handler
// does, so that the leases held are those of the keys that are read.
//
// XREADGROUP changes its group: it is replayed as one XCLAIM for each entry that became pending,
// and XGROUP SETID for where the group now stands, never as itself.
//
// With BLOCK, where nothing is there, the command waits, and is run again when one of its streams
// has changed (see blocking_commands.cc). "$" is replaced by the last ID when it begins to wait, or it
// would never see what came meanwhile. XREADGROUP is run again as well when a stream is gone or is no
// stream any more, or has lost the group, and then ends with the error that tells so, as in Redis 7.2.
//
// Thread: the one that holds the leases of the keys.
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/numbers.h"
#include "base/strings.h"
#include "commands/families.h"
#include "commands/stream_util.h"
#include "engine/command_context.h"
#include "engine/stream_value.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Handle;
using engine::HandlerRow;
using engine::Key;
using engine::StreamOf;
using engine::Type;
namespace errors = engine::errors;

// ---- Arguments ----

struct ReadOptions {
  bool is_group = false;  // XREADGROUP
  bool has_group = false;
  bool no_ack = false;
  bool may_wait = false;   // BLOCK
  int64_t timeout_ms = 0;  // 0: for ever
  uint64_t count = 0;      // 0: all
  size_t group_index = 0;
  size_t streams_at = 0;  // first key; 0: no STREAMS
  size_t stream_count = 0;
};

// A timeout in ms. It must not end after the end of time.
bool ParseTimeout(std::string_view text, int64_t now_ms, ReadOptions* options, std::string* error) {
  options->may_wait = true;
  int64_t& timeout_ms = options->timeout_ms;
  if (!ParseInt64(text, &timeout_ms)) {
    *error = "ERR timeout is not an integer or out of range";
  } else if (timeout_ms < 0) {
    *error = "ERR timeout is negative";
  } else if (timeout_ms > std::numeric_limits<int64_t>::max() - now_ms) {
    *error = "ERR timeout is out of range";
  }
  return error->empty();
}

bool ParseCount(std::string_view text, ReadOptions* options, std::string* error) {
  int64_t count;
  if (!ParseInt64(text, &count)) {
    *error = errors::kNotInteger;
    return false;
  }
  options->count = count < 0 ? 0 : static_cast<uint64_t>(count);
  return true;
}

// STREAMS key … id …, the keys beginning at `at`.
bool ParseStreams(std::span<const std::string_view> args, size_t at, ReadOptions* options,
                  std::string* error) {
  const size_t rest = args.size() - at;
  if (rest % 2 != 0) {
    *error = std::string("ERR Unbalanced '") + (options->is_group ? "xreadgroup" : "xread") +
             "' list of streams: for each stream key an ID or '" + (options->is_group ? ">" : "$") +
             "' must be specified.";
    return false;
  }
  options->streams_at = at;
  options->stream_count = rest / 2;
  return true;
}

// GROUP and NOACK are XREADGROUP's alone.
bool ExpectGroupCommand(const ReadOptions& options, const char* word, std::string* error) {
  if (options.is_group) return true;
  *error = std::string("ERR The ") + word +
           " option is only supported by XREADGROUP. You called XREAD instead.";
  return false;
}

// One option at args[*index], which moves on to its last word. False: an error.
bool ParseReadOption(std::span<const std::string_view> args, int64_t now_ms, size_t* index,
                     ReadOptions* options, std::string* error) {
  const std::string_view word = args[*index];
  const size_t more = args.size() - *index - 1;
  if (more >= 1 && EqualsIgnoreCase(word, "block"))
    return ParseTimeout(args[++*index], now_ms, options, error);
  if (more >= 1 && EqualsIgnoreCase(word, "count"))
    return ParseCount(args[++*index], options, error);
  if (more >= 1 && EqualsIgnoreCase(word, "streams"))
    return ParseStreams(args, *index + 1, options, error);
  if (more >= 2 && EqualsIgnoreCase(word, "group")) {
    if (!ExpectGroupCommand(*options, "GROUP", error)) return false;
    options->has_group = true;
    options->group_index = *index + 1;
    *index += 2;
    return true;
  }
  if (EqualsIgnoreCase(word, "noack")) {
    if (!ExpectGroupCommand(*options, "NOACK", error)) return false;
    options->no_ack = true;
    return true;
  }
  *error = errors::kSyntax;
  return false;
}

bool ParseReadOptions(std::span<const std::string_view> args, int64_t now_ms, ReadOptions* options,
                      std::string* error) {
  constexpr size_t kReadGroupSize = 10;  // the two names differ in length
  options->is_group = args[0].size() == kReadGroupSize;
  for (size_t i = 1; i < args.size() && options->streams_at == 0; i++) {
    if (!ParseReadOption(args, now_ms, &i, options, error)) return false;
  }
  if (options->streams_at == 0) {
    *error = errors::kSyntax;
  } else if (options->is_group && !options->has_group) {
    *error = "ERR Missing GROUP option for XREADGROUP";
  }
  return error->empty();
}

void RouteRead(const engine::Engine&, std::span<const std::string_view> args,
               engine::Route* route) {
  ReadOptions options;
  std::string error;
  route->runs = Runs::kConnection;
  // At time 0 every timeout ends in time: what the router lets pass, the handler may still refuse.
  if (!ParseReadOptions(args, 0, &options, &error)) return;
  route->runs = Runs::kKeys;
  for (size_t i = 0; i < options.stream_count; i++) {
    route->key_positions.push_back(static_cast<uint32_t>(options.streams_at + i));
  }
}

// ---- Where to read from ----

// One of the streams of the line.
struct Source {
  StreamId after;                // read what comes behind
  bool is_new = false;           // XREADGROUP's ">"
  bool is_skipped = false;       // tried again, and not among what is held
  StreamGroup* group = nullptr;  // XREADGROUP only
};

constexpr std::string_view kDollarInGroup =
    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of "
    "this consumer "
    "by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an "
    "empty "
    "result set.";
constexpr std::string_view kLastInGroup =
    "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of "
    "this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would "
    "just return an empty result set.";
constexpr std::string_view kNewWithoutGroup =
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> "
    "option.";

// "$": what comes behind the last entry. "+", as since Redis 7.4: the last entry itself.
bool ParseSourceId(CommandContext& ctx, const ReadOptions& options, std::string_view text,
                   Handle handle, Source* source) {
  if (text == "$") {
    if (options.is_group) {
      ctx.reply.Error(kDollarInGroup);
      return false;
    }
    if (handle) source->after = StreamOf(*handle.entry()).last_id;
    return true;
  }
  if (text == "+") {
    if (options.is_group) {
      ctx.reply.Error(kLastInGroup);
      return false;
    }
    if (!handle) return true;
    source->after = StreamOf(*handle.entry()).last_id;
    if (source->after.Decrement()) return true;
    ctx.reply.Error("ERR the stream last element ID is 0-0");
    return false;
  }
  if (text == ">") {
    if (!options.is_group) {
      ctx.reply.Error(kNewWithoutGroup);
      return false;
    }
    source->is_new = true;
    return true;
  }
  if (!ParseStreamId(ctx, text, {}, &source->after)) return false;
  // Redis tells ">" by the highest id, so that id means the same.
  source->is_new = options.is_group && source->after == StreamId::Max();
  return true;
}

bool FindSource(CommandContext& ctx, const ReadOptions& options, size_t index, Source* source) {
  const Key& key = ctx.key(index);
  source->is_skipped = !ctx.Holds(key);
  if (source->is_skipped) return true;
  Handle handle;
  if (options.is_group) {
    if (!FindStreamGroup(ctx, key, ctx.args[options.group_index],
                         " in XREADGROUP with GROUP option", &handle, &source->group)) {
      return false;
    }
  } else if (!ctx.FindRead(key, Type::kStream, &handle)) {
    return false;
  }
  return ParseSourceId(ctx, options, ctx.args[options.streams_at + options.stream_count + index],
                       handle, source);
}

// ---- Replies ----

// Entries that were delivered to the consumer before. Those that are gone have no fields.
void ReplyHistory(CommandContext& ctx, resp::ReplyBuilder& reply, const Stream& stream,
                  const StreamConsumer& consumer, StreamId start, uint64_t limit) {
  const auto first = consumer.pel.Ceiling(start);
  uint64_t count = 0;
  for (auto at = first; at && (limit == 0 || count < limit); at = consumer.pel.Next(at)) count++;
  reply.Array(count);
  auto at = first;
  for (uint64_t i = 0; i < count; i++, at = consumer.pel.Next(at)) {
    const StreamId id = consumer.pel.IdAt(at);
    if (ReplyStreamEntryWithId(reply, stream, id)) {
      StreamNack* nack = consumer.pel.ValueAt(at);
      nack->delivery_time_ms = ctx.now_ms;
      nack->delivery_count++;
    } else {
      reply.Array(2);
      ReplyStreamId(reply, id);
      reply.NullArray();
    }
  }
}

// Entries behind the group's last one, which become pending for the consumer unless NOACK was
// given.
void ReplyDelivery(CommandContext& ctx, resp::ReplyBuilder& reply, const Key& key,
                   const Stream& stream, StreamGroup* group, StreamConsumer* consumer,
                   const ReadOptions& options) {
  StreamId start = group->last_id;
  start.Increment();
  ds::StreamCursor cursor(stream.log, start, StreamId::Max(), false);
  CHECK(cursor.Next());
  const uint64_t count = cursor.CountRest(options.count);
  reply.Array(count);
  for (uint64_t i = 0; i < count; i++) {
    if (i > 0) CHECK(cursor.Next());
    const StreamId id = cursor.entry().id;
    stream.Advance(group, id);
    ReplyStreamEntry(reply, cursor);
    if (options.no_ack) continue;
    const StreamNack* nack = group->Deliver(ctx.heap(key), consumer, id, ctx.now_ms);
    consumer->active_time_ms = ctx.now_ms;
    if (ctx.is_propagating()) PropagateStreamClaim(ctx, key, *group, id, *nack);
  }
  if (ctx.is_propagating()) PropagateStreamGroupId(ctx, key, *group);
}

void ReplyName(resp::ReplyBuilder& reply, const Key& key) {
  if (reply.resp() == 2) reply.Array(2);
  reply.Bulk(key.name);
}

// True: the stream had something, which is now in the reply.
bool ReadPlain(CommandContext& ctx, resp::ReplyBuilder& reply, const Key& key, Source source,
               uint64_t limit) {
  const Handle handle = ctx.LookupRead(key);
  if (!handle || !source.after.Increment()) return false;
  const Stream& stream = StreamOf(*handle.entry());
  ds::StreamCursor cursor(stream.log, source.after, StreamId::Max(), false);
  // Nobody asks for more than there is: the last id says at once whether there is anything.
  if (source.after > stream.last_id || !cursor.Next()) return false;
  ReplyName(reply, key);
  const uint64_t count = cursor.CountRest(limit);
  reply.Array(count);
  for (uint64_t i = 0; i < count; i++) {
    if (i > 0) CHECK(cursor.Next());
    ReplyStreamEntry(reply, cursor);
  }
  return true;
}

bool HasNew(const Stream& stream, const StreamGroup& group) {
  StreamId last;
  return stream.log.LastId(&last) && last > group.last_id;
}

bool ReadForGroup(CommandContext& ctx, resp::ReplyBuilder& reply, const Key& key,
                  const Source& source, const ReadOptions& options) {
  const Handle handle = ctx.LookupRead(key);
  if (!handle) return false;
  const Stream& stream = StreamOf(ctx.Mutate(key, handle));
  StreamGroup* group = source.group;
  const bool has_something = !source.is_new || HasNew(stream, *group);
  const std::string_view name = ctx.args[options.group_index + 1];
  StreamConsumer* consumer = group->FindConsumer(name);
  if (consumer == nullptr) {
    consumer = CreateStreamConsumer(ctx, key, group, name);
    if (options.no_ack && ctx.is_propagating())
      PropagateStreamConsumer(ctx, key, *group, *consumer);
  }
  consumer->seen_time_ms = ctx.now_ms;
  if (has_something) {
    ReplyName(reply, key);
    if (source.is_new) {
      ReplyDelivery(ctx, reply, key, stream, group, consumer, options);
    } else {
      StreamId start = source.after;
      start.Increment();
      ReplyHistory(ctx, reply, stream, *consumer, start, options.count);
    }
    ctx.AddDirty(1);
  }
  ctx.keyspace(key).PublishMemory();
  return has_something;
}

bool ReadOne(CommandContext& ctx, resp::ReplyBuilder& reply, size_t index, const Source& source,
             const ReadOptions& options) {
  if (source.is_skipped) return false;
  const Key& key = ctx.key(index);
  return options.is_group ? ReadForGroup(ctx, reply, key, source, options)
                          : ReadPlain(ctx, reply, key, source, options.count);
}

void ReplyHead(resp::ReplyBuilder& reply, size_t count) {
  if (reply.resp() == 2) {
    reply.Array(count);
  } else {
    reply.Map(count);
  }
}

// The common case: the head of the reply can be written before it is known that there is a rest. False:
// there is nothing, and no reply.
bool ReadSingle(CommandContext& ctx, const Source& source, const ReadOptions& options) {
  const resp::OutputBuffer::Mark mark = ctx.reply.out()->GetMark();
  ReplyHead(ctx.reply, 1);
  if (ReadOne(ctx, ctx.reply, 0, source, options)) return true;
  ctx.reply.out()->Truncate(mark);
  return false;
}

// How many streams have something shows only as they are read, since each delivery changes its
// group, and a stream may stand there twice. False: none has, and there is no reply.
bool ReadSeveral(CommandContext& ctx, std::span<const Source> sources, const ReadOptions& options) {
  resp::OutputBuffer body;
  resp::ReplyBuilder reply(&body, ctx.reply.resp());
  size_t count = 0;
  for (size_t i = 0; i < sources.size(); i++) {
    if (ReadOne(ctx, reply, i, sources[i], options)) count++;
  }
  if (count == 0) return false;
  ReplyHead(ctx.reply, count);
  ctx.reply.out()->AppendBuffer(body);
  return true;
}

// Waits for something new in any of the streams. False: the line does not ask for it, or it may not.
bool WaitForNew(CommandContext& ctx, std::span<const Source> sources, const ReadOptions& options) {
  const int64_t deadline_ms = options.timeout_ms == 0 ? 0 : ctx.now_ms + options.timeout_ms;
  if (!options.may_wait || !ctx.Block(Type::kStream, sources.size(), deadline_ms,
                                      engine::TimeoutReply::kNullArray, options.is_group)) {
    return false;
  }
  for (size_t i = 0; i < sources.size(); i++) {
    const size_t id_index = options.streams_at + options.stream_count + i;
    if (ctx.args[id_index] != "$") continue;
    char text[StreamId::kCharsMax];
    ctx.block->rewrites.push_back({id_index, std::string(text, sources[i].after.Format(text))});
  }
  return true;
}

void CmdXRead(CommandContext& ctx) {
  ReadOptions options;
  std::string error;
  // What was found to end in time when it began to wait still does.
  const int64_t now_ms = ctx.is_retry ? 0 : ctx.now_ms;
  if (!ParseReadOptions(ctx.args, now_ms, &options, &error)) return ctx.reply.Error(error);
  CHECK(ctx.keys.size() == options.stream_count);
  constexpr size_t kFew = 8;
  Source few[kFew];
  std::vector<Source> many(options.stream_count > kFew ? options.stream_count : 0);
  const std::span<Source> sources(many.empty() ? few : many.data(), options.stream_count);
  for (size_t i = 0; i < sources.size(); i++) {
    if (!FindSource(ctx, options, i, &sources[i])) return;
  }
  const bool has_something = sources.size() == 1 ? ReadSingle(ctx, sources[0], options)
                                                 : ReadSeveral(ctx, sources, options);
  ctx.PreventPropagation();
  if (!has_something && !WaitForNew(ctx, sources, options)) ctx.reply.NullArray();
}

// ---- Registration ----

constexpr HandlerRow kHandlers[] = {
    {"xread", CmdXRead, RouteRead},
    {"xreadgroup", CmdXRead, RouteRead},
};

}  // namespace

std::span<const HandlerRow> StreamReadHandlers() { return kHandlers; }

}  // namespace sherd
