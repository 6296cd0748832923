// XINFO: what a stream, its groups and their consumers look like from inside.
//
// radix-tree-keys and radix-tree-nodes are those of Redis's radix tree over the same nodes,
// computed from their ids (StreamLog::RadixNodeCount).
//
// Thread: the one that holds the lease of the key.
#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/strings.h"
#include "commands/families.h"
#include "commands/help.h"
#include "commands/stream_util.h"
#include "engine/command_context.h"
#include "engine/stream_value.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Handle;
using engine::HandlerRow;
using engine::StreamOf;
using engine::Type;
namespace errors = engine::errors;

// The stream to tell about. Null: the error is the reply.
const Stream* FindStream(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kStream, &handle)) return nullptr;
  if (handle) return &StreamOf(*handle.entry());
  ctx.reply.Error(errors::kNoSuchKey);
  return nullptr;
}

void Field(CommandContext& ctx, std::string_view name, int64_t value) {
  ctx.reply.Bulk(name);
  ctx.reply.Integer(value);
}

void Count(CommandContext& ctx, std::string_view name, uint64_t value) {
  Field(ctx, name, static_cast<int64_t>(value));
}

void Id(CommandContext& ctx, std::string_view name, StreamId id) {
  ctx.reply.Bulk(name);
  ReplyStreamId(ctx.reply, id);
}

void Name(CommandContext& ctx, std::string_view name) {
  ctx.reply.Bulk("name");
  ctx.reply.Bulk(name);
}

// entries-read and lag, either of which may be unknown.
void Progress(CommandContext& ctx, const Stream& stream, const StreamGroup& group) {
  ctx.reply.Bulk("entries-read");
  if (group.entries_read == StreamGroup::kUnknown) {
    ctx.reply.Null();
  } else {
    ctx.reply.Integer(group.entries_read);
  }
  ctx.reply.Bulk("lag");
  int64_t lag;
  if (stream.Lag(group, &lag)) {
    ctx.reply.Integer(lag);
  } else {
    ctx.reply.Null();
  }
}

// ---- XINFO STREAM ----

void Head(CommandContext& ctx, const Stream& stream) {
  Count(ctx, "length", stream.length());
  Count(ctx, "radix-tree-keys", stream.log.node_count());
  Count(ctx, "radix-tree-nodes", stream.log.RadixNodeCount());
  Id(ctx, "last-generated-id", stream.last_id);
  Id(ctx, "max-deleted-entry-id", stream.max_deleted_id);
  Count(ctx, "entries-added", stream.entries_added);
  Id(ctx, "recorded-first-entry-id", stream.first_id);
}

void EndEntry(CommandContext& ctx, const Stream& stream, std::string_view name, bool is_reverse) {
  ctx.reply.Bulk(name);
  ds::StreamCursor cursor(stream.log, StreamId::Min(), StreamId::Max(), is_reverse);
  if (!cursor.Next()) return ctx.reply.Null();
  ReplyStreamEntry(ctx.reply, cursor);
}

// At most `limit` (0: all) of a list of pending entries; of the group's list with the consumer's
// name.
void Pending(CommandContext& ctx, const ds::IdMap<StreamNack>& pel, uint64_t limit,
             bool has_consumer) {
  ctx.reply.Bulk("pending");
  const uint64_t count = limit == 0 ? pel.size() : std::min<uint64_t>(limit, pel.size());
  ctx.reply.Array(count);
  auto at = pel.First();
  for (uint64_t i = 0; i < count; i++, at = pel.Next(at)) {
    const StreamNack* nack = pel.ValueAt(at);
    ctx.reply.Array(has_consumer ? 4 : 3);
    ReplyStreamId(ctx.reply, pel.IdAt(at));
    if (has_consumer) ctx.reply.Bulk(nack->consumer->name());
    ctx.reply.Integer(nack->delivery_time_ms);
    ctx.reply.Integer(static_cast<int64_t>(nack->delivery_count));
  }
}

void FullGroup(CommandContext& ctx, const Stream& stream, const StreamGroup& group,
               uint64_t limit) {
  ctx.reply.Map(7);
  Name(ctx, group.name());
  Id(ctx, "last-delivered-id", group.last_id);
  Progress(ctx, stream, group);
  Count(ctx, "pel-count", group.pel.size());
  Pending(ctx, group.pel, limit, true);
  ctx.reply.Bulk("consumers");
  ctx.reply.Array(group.consumers.size());
  for (const StreamConsumer* consumer : group.consumers) {
    ctx.reply.Map(5);
    Name(ctx, consumer->name());
    Field(ctx, "seen-time", consumer->seen_time_ms);
    Field(ctx, "active-time", consumer->active_time_ms);
    Count(ctx, "pel-count", consumer->pel.size());
    Pending(ctx, consumer->pel, limit, false);
  }
}

// FULL [COUNT count]. False: the error is the reply.
bool ParseFull(CommandContext& ctx, uint64_t* limit) {
  const size_t size = ctx.args.size();
  if ((size != 4 && size != 6) || !ctx.ArgIs(3, "full") || (size == 6 && !ctx.ArgIs(4, "count"))) {
    ReplySubcommandSyntaxError(ctx);
    return false;
  }
  constexpr int64_t kCountDefault = 10;
  int64_t count = kCountDefault;
  if (size == 6 && !ctx.ParseInteger(5, &count)) return false;
  *limit = static_cast<uint64_t>(count < 0 ? kCountDefault : count);
  return true;
}

void CmdXInfoStream(CommandContext& ctx) {
  const Stream* stream = FindStream(ctx);
  if (stream == nullptr) return;
  if (ctx.args.size() == 3) {
    ctx.reply.Map(10);
    Head(ctx, *stream);
    Count(ctx, "groups", stream->groups.size());
    EndEntry(ctx, *stream, "first-entry", false);
    return EndEntry(ctx, *stream, "last-entry", true);
  }
  uint64_t limit;
  if (!ParseFull(ctx, &limit)) return;
  ctx.reply.Map(9);
  Head(ctx, *stream);
  ctx.reply.Bulk("entries");
  ReplyStreamRange(ctx.reply, *stream, StreamId::Min(), StreamId::Max(), false, limit);
  ctx.reply.Bulk("groups");
  ctx.reply.Array(stream->groups.size());
  for (const StreamGroup* group : stream->groups) FullGroup(ctx, *stream, *group, limit);
}

// ---- XINFO GROUPS and CONSUMERS ----

void CmdXInfoGroups(CommandContext& ctx) {
  const Stream* stream = FindStream(ctx);
  if (stream == nullptr) return;
  ctx.reply.Array(stream->groups.size());
  for (const StreamGroup* group : stream->groups) {
    ctx.reply.Map(6);
    Name(ctx, group->name());
    Count(ctx, "consumers", group->consumers.size());
    Count(ctx, "pending", group->pel.size());
    Id(ctx, "last-delivered-id", group->last_id);
    Progress(ctx, *stream, *group);
  }
}

void CmdXInfoConsumers(CommandContext& ctx) {
  const Stream* stream = FindStream(ctx);
  if (stream == nullptr) return;
  const StreamGroup* group = stream->FindGroup(ctx.args[3]);
  if (group == nullptr) {
    return ctx.reply.Error("NOGROUP No such consumer group '" + std::string(UpToZero(ctx.args[3])) +
                           "' for key name '" + std::string(UpToZero(ctx.args[2])) + "'");
  }
  ctx.reply.Array(group->consumers.size());
  for (const StreamConsumer* consumer : group->consumers) {
    ctx.reply.Map(4);
    Name(ctx, consumer->name());
    Count(ctx, "pending", consumer->pel.size());
    Field(ctx, "idle", std::max<int64_t>(ElapsedMs(ctx.now_ms, consumer->seen_time_ms), 0));
    const int64_t active_ms = consumer->active_time_ms;
    Field(ctx, "inactive", active_ms == -1 ? -1 : std::max<int64_t>(ElapsedMs(ctx.now_ms, active_ms), 0));
  }
}

void CmdXInfoHelp(CommandContext& ctx) {
  constexpr std::string_view kLines[] = {
      "CONSUMERS <key> <groupname>",
      "    Tell about the consumers of a group.",
      "GROUPS <key>",
      "    Tell about the groups of a stream.",
      "STREAM <key> [FULL [COUNT <count>]",
      "    Tell about a stream, with FULL also about entries, groups and consumers.",
  };
  ReplyHelp(ctx.reply, "XINFO", kLines);
}

// ---- Registration ----

constexpr HandlerRow kHandlers[] = {
    {"xinfo|consumers", CmdXInfoConsumers},
    {"xinfo|groups", CmdXInfoGroups},
    {"xinfo|help", CmdXInfoHelp},
    {"xinfo|stream", CmdXInfoStream},
};

}  // namespace

std::span<const HandlerRow> StreamInfoHandlers() { return kHandlers; }

}  // namespace sherd
