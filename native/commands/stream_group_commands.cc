// Consumer groups: XGROUP, XACK, XPENDING, XCLAIM and XAUTOCLAIM. (XREADGROUP is in
// stream_read_commands.cc.)
//
// Claims are replayed as XCLAIM … FORCE JUSTID LASTID with absolute times, one for each entry that
// changed hands or turned out to be deleted; the command itself is not.
//
// None of these touch watchers of the key, as in Redis: the stream's entries stay what they are.
//
// Thread: the one that holds the lease of the key.
#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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
using engine::Key;
using engine::StreamOf;
using engine::Type;
namespace errors = engine::errors;

// ---- XGROUP ----

struct GroupOptions {
  bool makes_stream = false;
  int64_t entries_read = StreamGroup::kUnknown;
};

// MKSTREAM (CREATE only) and ENTRIESREAD, from args[5] on.
bool ParseGroupOptions(CommandContext& ctx, bool is_create, GroupOptions* options) {
  for (size_t i = 5; i < ctx.args.size(); i++) {
    if (is_create && ctx.ArgIs(i, "mkstream")) {
      options->makes_stream = true;
    } else if (i + 1 < ctx.args.size() && ctx.ArgIs(i, "entriesread")) {
      if (!ctx.ParseInteger(++i, &options->entries_read)) return false;
      if (options->entries_read < StreamGroup::kUnknown) {
        ctx.reply.Error("ERR value for ENTRIESREAD must be positive or -1");
        return false;
      }
    } else {
      ReplySubcommandSyntaxError(ctx);
      return false;
    }
  }
  return true;
}

// The stream that XGROUP is about. Null, and the error is the reply: it does not exist.
Stream* FindGroupStream(CommandContext& ctx, bool may_be_missing, Handle* handle) {
  const Key& key = ctx.key(0);
  if (!ctx.FindWrite(key, Type::kStream, handle)) return nullptr;
  if (*handle) return &StreamOf(ctx.Mutate(key, *handle));
  if (!may_be_missing) {
    ctx.reply.Error(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to "
        "use the "
        "MKSTREAM option to create an empty stream automatically.");
  }
  return nullptr;
}

// The group that XGROUP names. Null, and the error is the reply: there is none.
StreamGroup* FindNamedGroup(CommandContext& ctx) {
  Handle handle;
  const Stream* stream = FindGroupStream(ctx, false, &handle);
  if (stream == nullptr) return nullptr;
  StreamGroup* group = stream->FindGroup(ctx.args[3]);
  if (group == nullptr) {
    ctx.reply.Error("NOGROUP No such consumer group '" + std::string(UpToZero(ctx.args[3])) +
                    "' for key name '" + std::string(UpToZero(ctx.args[2])) + "'");
  }
  return group;
}

void ReportGroup(CommandContext& ctx, const char* event) {
  ctx.AddDirty(1);
  ctx.Notify(engine::kEventStream, event, ctx.key(0));
  ctx.keyspace(ctx.key(0)).PublishMemory();
}

void CmdXGroupCreate(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  GroupOptions options;
  if (!ParseGroupOptions(ctx, true, &options)) return;
  Handle handle;
  Stream* stream = FindGroupStream(ctx, options.makes_stream, &handle);
  if (stream == nullptr && (handle || !options.makes_stream)) return;  // the error is the reply
  constexpr size_t kArgumentsMax = 8;
  if (ctx.args.size() > kArgumentsMax) return ReplySubcommandSyntaxError(ctx);
  StreamId id;
  if (ctx.args[4] == "$") {
    if (stream != nullptr) id = stream->last_id;
  } else if (!ParseStreamId(ctx, ctx.args[4], {}, &id)) {
    return;
  }
  if (stream == nullptr) {
    stream = Stream::Create(ctx.heap(key));
    ctx.SetValue(key, handle, Type::kStream, engine::Encoding::kStream, stream);
    ctx.Notify(engine::kEventNew, "new", key);
    ctx.SignalModified(key);
  }
  if (stream->FindGroup(ctx.args[3]) != nullptr) {
    return ctx.reply.Error("BUSYGROUP Consumer Group name already exists");
  }
  stream->AddGroup(ctx.heap(key), ctx.args[3], id, options.entries_read);
  ReportGroup(ctx, "xgroup-create");
  ctx.reply.Ok();
}

void CmdXGroupSetId(CommandContext& ctx) {
  GroupOptions options;
  if (!ParseGroupOptions(ctx, false, &options)) return;
  StreamGroup* group = FindNamedGroup(ctx);
  if (group == nullptr) return;
  if (ctx.args.size() != 5 && ctx.args.size() != 7) return ReplySubcommandSyntaxError(ctx);
  StreamId id;
  if (ctx.args[4] == "$") {
    Handle handle;
    id = FindGroupStream(ctx, false, &handle)->last_id;
  } else if (!ParseStreamId(ctx, ctx.args[4], {.allows_ends = true}, &id)) {
    return;
  }
  group->last_id = id;
  group->entries_read = options.entries_read;
  ReportGroup(ctx, "xgroup-setid");
  ctx.reply.Ok();
}

void CmdXGroupDestroy(CommandContext& ctx) {
  Handle handle;
  Stream* stream = FindGroupStream(ctx, false, &handle);
  if (stream == nullptr) return;
  StreamGroup* group = stream->FindGroup(ctx.args[3]);
  if (group == nullptr) return ctx.reply.Integer(0);
  stream->DeleteGroup(ctx.heap(ctx.key(0)), group);
  ReportGroup(ctx, "xgroup-destroy");
  // Who waits in XREADGROUP learns that there is no group any more.
  ctx.WakeWaiters(ctx.key(0));
  ctx.reply.Integer(1);
}

void CmdXGroupCreateConsumer(CommandContext& ctx) {
  StreamGroup* group = FindNamedGroup(ctx);
  if (group == nullptr) return;
  if (group->FindConsumer(ctx.args[4]) != nullptr) return ctx.reply.Integer(0);
  CreateStreamConsumer(ctx, ctx.key(0), group, ctx.args[4]);
  ctx.keyspace(ctx.key(0)).PublishMemory();
  ctx.reply.Integer(1);
}

void CmdXGroupDelConsumer(CommandContext& ctx) {
  StreamGroup* group = FindNamedGroup(ctx);
  if (group == nullptr) return;
  StreamConsumer* consumer = group->FindConsumer(ctx.args[4]);
  if (consumer == nullptr) return ctx.reply.Integer(0);
  const size_t pending = consumer->pel.size();
  group->DeleteConsumer(ctx.heap(ctx.key(0)), consumer);
  ReportGroup(ctx, "xgroup-delconsumer");
  ctx.reply.Integer(static_cast<int64_t>(pending));
}

void CmdXGroupHelp(CommandContext& ctx) {
  constexpr std::string_view kLines[] = {
      "CREATE <key> <groupname> <id|$> [option]",
      "    Create a group that reads what comes after an ID. Options:",
      "    * MKSTREAM",
      "      Make an empty stream if there is none.",
      "    * ENTRIESREAD entries_read",
      "      How many entries the group has read so far (for replication).",
      "CREATECONSUMER <key> <groupname> <consumer>",
      "    Create a consumer of a group.",
      "DELCONSUMER <key> <groupname> <consumer>",
      "    Delete a consumer with what it has not acknowledged.",
      "DESTROY <key> <groupname>",
      "    Delete a group.",
      "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
      "    Let a group go on from another ID.",
  };
  ReplyHelp(ctx.reply, "XGROUP", kLines);
}

// ---- XACK ----

void CmdXAck(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindRead(key, Type::kStream, &handle)) return;
  StreamGroup* group = handle ? StreamOf(*handle.entry()).FindGroup(ctx.args[2]) : nullptr;
  if (group == nullptr) return ctx.reply.Integer(0);
  StreamIdList ids;
  if (!ids.Parse(ctx, 3)) return;
  ctx.Mutate(key, handle);
  int64_t acknowledged = 0;
  for (const StreamId id : ids.view()) {
    if (group->Acknowledge(ctx.heap(key), id)) acknowledged++;
  }
  ctx.AddDirty(acknowledged);
  ctx.keyspace(key).PublishMemory();
  ctx.reply.Integer(acknowledged);
}

// ---- XPENDING ----

struct PendingOptions {
  bool is_range = false;
  int64_t min_idle_ms = 0;
  StreamId start;
  StreamId end;
  int64_t count = 0;
  size_t consumer_index = 0;  // 0: of all consumers
};

bool ParsePendingOptions(CommandContext& ctx, PendingOptions* options) {
  const size_t size = ctx.args.size();
  if (size == 3) return true;
  options->is_range = true;
  size_t at = 3;
  const bool has_idle = size >= 6 && size <= 9 && ctx.ArgIs(3, "idle");
  if (has_idle) {
    if (!ctx.ParseInteger(4, &options->min_idle_ms)) return false;
    at += 2;
  }
  if (size < at + 3 || size > 9) {
    ctx.reply.Error(errors::kSyntax);
    return false;
  }
  if (!ctx.ParseInteger(at + 2, &options->count)) return false;
  if (!ParseStreamStart(ctx, ctx.args[at], &options->start)) return false;
  if (!ParseStreamEnd(ctx, ctx.args[at + 1], &options->end)) return false;
  if (at + 3 < size) options->consumer_index = at + 3;
  return true;
}

void ReplyPendingSummary(CommandContext& ctx, const StreamGroup& group) {
  ctx.reply.Array(4);
  ctx.reply.Integer(static_cast<int64_t>(group.pel.size()));
  if (group.pel.is_empty()) {
    ctx.reply.Null();
    ctx.reply.Null();
    return ctx.reply.NullArray();
  }
  ReplyStreamId(ctx.reply, group.pel.IdAt(group.pel.First()));
  ReplyStreamId(ctx.reply, group.pel.IdAt(group.pel.Last()));
  const auto has_pending = [](const StreamConsumer* consumer) { return !consumer->pel.is_empty(); };
  ctx.reply.Array(static_cast<size_t>(
      std::count_if(group.consumers.begin(), group.consumers.end(), has_pending)));
  for (const StreamConsumer* consumer : group.consumers) {
    if (!has_pending(consumer)) continue;
    ctx.reply.Array(2);
    ctx.reply.Bulk(consumer->name());
    ctx.reply.BulkInteger(static_cast<int64_t>(consumer->pel.size()));
  }
}

// Calls f(id, nack) for each pending entry that was asked for; returns how many there were.
template <class F>
size_t ForEachPending(CommandContext& ctx, const ds::IdMap<StreamNack>& pel,
                      const PendingOptions& options, F&& f) {
  size_t found = 0;
  for (auto at = pel.Ceiling(options.start); at && static_cast<int64_t>(found) < options.count;
       at = pel.Next(at)) {
    if (pel.IdAt(at) > options.end) break;
    const StreamNack& nack = *pel.ValueAt(at);
    if (options.min_idle_ms != 0 && ElapsedMs(ctx.now_ms, nack.delivery_time_ms) < options.min_idle_ms) continue;
    found++;
    f(pel.IdAt(at), nack);
  }
  return found;
}

void CmdXPending(CommandContext& ctx) {
  PendingOptions options;
  if (!ParsePendingOptions(ctx, &options)) return;
  Handle handle;
  StreamGroup* group;
  if (!FindStreamGroup(ctx, ctx.key(0), ctx.args[2], "", &handle, &group)) return;
  if (!options.is_range) return ReplyPendingSummary(ctx, *group);
  const ds::IdMap<StreamNack>* pel = &group->pel;
  if (options.consumer_index != 0) {
    const StreamConsumer* consumer = group->FindConsumer(ctx.args[options.consumer_index]);
    if (consumer == nullptr) return ctx.reply.EmptyArray();
    pel = &consumer->pel;
  }
  ctx.reply.Array(ForEachPending(ctx, *pel, options, [](StreamId, const StreamNack&) {}));
  ForEachPending(ctx, *pel, options, [&ctx](StreamId id, const StreamNack& nack) {
    ctx.reply.Array(4);
    ReplyStreamId(ctx.reply, id);
    ctx.reply.Bulk(nack.consumer->name());
    ctx.reply.Integer(std::max<int64_t>(ElapsedMs(ctx.now_ms, nack.delivery_time_ms), 0));
    ctx.reply.Integer(static_cast<int64_t>(nack.delivery_count));
  });
}

// ---- XCLAIM ----

struct ClaimOptions {
  int64_t min_idle_ms = 0;
  int64_t delivery_time_ms = -1;  // -1: now
  int64_t retry_count = -1;       // -1: one more than it was
  bool is_forced = false;
  bool just_id = false;
  StreamId last_id;
};

// The option at args[*index], which moves on to its last word.
bool ParseClaimOption(CommandContext& ctx, size_t* index, ClaimOptions* options) {
  const size_t i = *index;
  const bool has_more = i + 1 < ctx.args.size();
  if (ctx.ArgIs(i, "force")) return options->is_forced = true;
  if (ctx.ArgIs(i, "justid")) return options->just_id = true;
  ++*index;
  if (has_more && ctx.ArgIs(i, "idle")) {
    int64_t idle_ms;
    if (!ctx.ParseInteger(i + 1, &idle_ms, "ERR Invalid IDLE option argument for XCLAIM"))
      return false;
    // As Redis counts, who lets it wrap.
    options->delivery_time_ms =
        static_cast<int64_t>(static_cast<uint64_t>(ctx.now_ms) - static_cast<uint64_t>(idle_ms));
    return true;
  }
  if (has_more && ctx.ArgIs(i, "time")) {
    return ctx.ParseInteger(i + 1, &options->delivery_time_ms,
                            "ERR Invalid TIME option argument for XCLAIM");
  }
  if (has_more && ctx.ArgIs(i, "retrycount")) {
    return ctx.ParseInteger(i + 1, &options->retry_count,
                            "ERR Invalid RETRYCOUNT option argument for XCLAIM");
  }
  if (has_more && ctx.ArgIs(i, "lastid"))
    return ParseStreamId(ctx, ctx.args[i + 1], {}, &options->last_id);
  ctx.reply.Error("ERR Unrecognized XCLAIM option '" + std::string(UpToZero(ctx.args[i])) + "'");
  return false;
}

bool ParseClaim(CommandContext& ctx, StreamIdList* ids, ClaimOptions* options) {
  if (!ctx.ParseInteger(4, &options->min_idle_ms, "ERR Invalid min-idle-time argument for XCLAIM"))
    return false;
  if (options->min_idle_ms < 0) options->min_idle_ms = 0;
  for (size_t i = ids->ParseSome(ctx, 5); i < ctx.args.size(); i++) {
    if (!ParseClaimOption(ctx, &i, options)) return false;
  }
  // A time that cannot be is taken for now: clients compute with clocks of their own.
  if (options->delivery_time_ms < 0 || options->delivery_time_ms > ctx.now_ms) {
    options->delivery_time_ms = ctx.now_ms;
  }
  return true;
}

StreamConsumer* ClaimingConsumer(CommandContext& ctx, const Key& key, StreamGroup* group) {
  StreamConsumer* consumer = group->FindConsumer(ctx.args[3]);
  if (consumer == nullptr) consumer = CreateStreamConsumer(ctx, key, group, ctx.args[3]);
  consumer->seen_time_ms = ctx.now_ms;
  return consumer;
}

// Reports what became of a pending entry.
void ReportClaim(CommandContext& ctx, const Key& key, const StreamGroup& group, StreamId id,
                 const StreamNack& nack) {
  if (ctx.is_propagating()) PropagateStreamClaim(ctx, key, group, id, nack);
  ctx.AddDirty(1);
}

bool IsIdle(const CommandContext& ctx, const StreamNack& nack, int64_t min_idle_ms) {
  return min_idle_ms == 0 || ElapsedMs(ctx.now_ms, nack.delivery_time_ms) >= min_idle_ms;
}

// True: the entry is now the consumer's. `*is_reported`: an effect was reported, and the group's
// last id with it.
bool OpClaim(CommandContext& ctx, const Key& key, const Stream& stream, StreamGroup* group,
             StreamConsumer* consumer, StreamId id, const ClaimOptions& options,
             bool* is_reported) {
  StreamNack* nack = group->pel.Get(id);
  if (!stream.log.Contains(id)) {
    if (nack == nullptr) return false;
    // Nobody can process it any more.
    ReportClaim(ctx, key, *group, id, *nack);
    *is_reported = true;
    group->Acknowledge(ctx.heap(key), id);
    return false;
  }
  if (nack == nullptr) {
    if (!options.is_forced) return false;
    nack = group->AddNack(ctx.heap(key), id, ctx.now_ms, 1);
  } else if (!IsIdle(ctx, *nack, options.min_idle_ms)) {
    return false;
  }
  group->Assign(ctx.heap(key), id, nack, consumer);
  nack->delivery_time_ms = options.delivery_time_ms;
  if (options.retry_count >= 0) {
    nack->delivery_count = static_cast<uint64_t>(options.retry_count);
  } else if (!options.just_id) {
    nack->delivery_count++;
  }
  consumer->active_time_ms = ctx.now_ms;
  ReportClaim(ctx, key, *group, id, *nack);
  *is_reported = true;
  return true;
}

void ReplyClaimed(CommandContext& ctx, const Stream& stream, std::span<const StreamId> ids,
                  bool just_id) {
  ctx.reply.Array(ids.size());
  for (const StreamId id : ids) {
    if (just_id) {
      ReplyStreamId(ctx.reply, id);
    } else {
      CHECK(ReplyStreamEntryWithId(ctx.reply, stream, id));
    }
  }
}

void CmdXClaim(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle;
  StreamGroup* group;
  if (!FindStreamGroup(ctx, key, ctx.args[2], "", &handle, &group)) return;
  StreamIdList ids;
  ClaimOptions options;
  if (!ParseClaim(ctx, &ids, &options)) return;
  const Stream& stream = StreamOf(ctx.Mutate(key, handle));
  bool is_last_id_due = options.last_id > group->last_id;
  if (is_last_id_due) group->last_id = options.last_id;
  StreamConsumer* consumer = ClaimingConsumer(ctx, key, group);
  std::vector<StreamId> claimed;
  for (const StreamId id : ids.view()) {
    bool is_reported = false;
    if (OpClaim(ctx, key, stream, group, consumer, id, options, &is_reported))
      claimed.push_back(id);
    if (is_reported) is_last_id_due = false;
  }
  if (is_last_id_due) {
    if (ctx.is_propagating()) PropagateStreamGroupId(ctx, key, *group);
    ctx.AddDirty(1);
  }
  ReplyClaimed(ctx, stream, claimed, options.just_id);
  ctx.keyspace(key).PublishMemory();
  ctx.PreventPropagation();
}

// ---- XAUTOCLAIM ----

struct AutoClaimOptions {
  int64_t min_idle_ms = 0;
  StreamId start;
  int64_t count = 100;
  bool just_id = false;
};

bool ParseAutoClaim(CommandContext& ctx, AutoClaimOptions* options) {
  constexpr int64_t kCountMax =
      INT64_MAX / 16;  // as Redis, whose ids of 16 bytes must fit into memory
  if (!ctx.ParseInteger(4, &options->min_idle_ms,
                        "ERR Invalid min-idle-time argument for XAUTOCLAIM")) {
    return false;
  }
  if (options->min_idle_ms < 0) options->min_idle_ms = 0;
  if (!ParseStreamStart(ctx, ctx.args[5], &options->start)) return false;
  for (size_t i = 6; i < ctx.args.size(); i++) {
    if (i + 1 < ctx.args.size() && ctx.ArgIs(i, "count")) {
      if (!ctx.ParseIntegerIn(++i, 1, kCountMax, &options->count, "ERR COUNT must be > 0"))
        return false;
    } else if (ctx.ArgIs(i, "justid")) {
      options->just_id = true;
    } else {
      ctx.reply.Error(errors::kSyntax);
      return false;
    }
  }
  return true;
}

struct AutoClaimed {
  std::vector<StreamId> claimed;
  std::vector<StreamId> deleted;  // pending no more, since they are gone from the stream
  StreamId next;                  // where to go on, 0-0 at the end
};

void OpAutoClaim(CommandContext& ctx, const Key& key, const Stream& stream, StreamGroup* group,
                 StreamConsumer* consumer, const AutoClaimOptions& options, AutoClaimed* result) {
  constexpr int64_t kAttemptsPerEntry = 10;
  int64_t attempts = options.count * kAttemptsPerEntry;
  int64_t count = options.count;
  auto at = group->pel.Ceiling(options.start);
  for (; at && attempts > 0 && count > 0; attempts--) {
    const StreamId id = group->pel.IdAt(at);
    StreamNack* nack = group->pel.ValueAt(at);
    if (!stream.log.Contains(id)) {
      ReportClaim(ctx, key, *group, id, *nack);
      group->Acknowledge(ctx.heap(key), id);
      result->deleted.push_back(id);
      count--;
      at = group->pel.Ceiling(id);
      continue;
    }
    at = group->pel.Next(at);
    if (!IsIdle(ctx, *nack, options.min_idle_ms)) continue;
    group->Assign(ctx.heap(key), id, nack, consumer);
    nack->delivery_time_ms = ctx.now_ms;
    if (!options.just_id) nack->delivery_count++;
    consumer->active_time_ms = ctx.now_ms;
    result->claimed.push_back(id);
    count--;
    ReportClaim(ctx, key, *group, id, *nack);
  }
  if (at) result->next = group->pel.IdAt(at);
}

void CmdXAutoClaim(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  AutoClaimOptions options;
  // Redis looks the key up first, so that it counts as read even if the line is wrong.
  const Handle handle = ctx.LookupRead(key);
  if (!ParseAutoClaim(ctx, &options)) return;
  if (handle && !ctx.ExpectType(handle, Type::kStream)) return;
  StreamGroup* group = handle ? StreamOf(*handle.entry()).FindGroup(ctx.args[2]) : nullptr;
  if (group == nullptr) {
    return ctx.reply.Error("NOGROUP No such key '" + std::string(UpToZero(key.name)) +
                           "' or consumer group '" + std::string(UpToZero(ctx.args[2])) + "'");
  }
  // Redis allocates 16 bytes for each at once; here only as many as there are. This much no machine
  // has.
  constexpr int64_t kTransientMax = int64_t{1} << 43;
  if (options.count > kTransientMax) {
    return ctx.reply.Error(
        "ERR Insufficient memory, failed allocating transient memory, COUNT too high.");
  }
  const Stream& stream = StreamOf(ctx.Mutate(key, handle));
  StreamConsumer* consumer = ClaimingConsumer(ctx, key, group);
  AutoClaimed result;
  OpAutoClaim(ctx, key, stream, group, consumer, options, &result);
  ctx.reply.Array(3);
  ReplyStreamId(ctx.reply, result.next);
  ReplyClaimed(ctx, stream, result.claimed, options.just_id);
  ctx.reply.Array(result.deleted.size());
  for (const StreamId id : result.deleted) ReplyStreamId(ctx.reply, id);
  ctx.keyspace(key).PublishMemory();
  ctx.PreventPropagation();
}

// ---- Registration ----

constexpr HandlerRow kHandlers[] = {
    {"xack", CmdXAck},
    {"xautoclaim", CmdXAutoClaim},
    {"xclaim", CmdXClaim},
    {"xgroup|create", CmdXGroupCreate},
    {"xgroup|createconsumer", CmdXGroupCreateConsumer},
    {"xgroup|delconsumer", CmdXGroupDelConsumer},
    {"xgroup|destroy", CmdXGroupDestroy},
    {"xgroup|help", CmdXGroupHelp},
    {"xgroup|setid", CmdXGroupSetId},
    {"xpending", CmdXPending},
};

}  // namespace

std::span<const HandlerRow> StreamGroupHandlers() { return kHandlers; }

}  // namespace sherd
