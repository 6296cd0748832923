// Publish and subscribe: SUBSCRIBE and its five kin, PUBLISH, SPUBLISH, PUBSUB.
//
// The work is the engine's (engine/pubsub.h). Here are the arguments and the confirmations: one for each
// name, as a message of its own (a push in RESP3), which CLIENT REPLY does not hold back.
//
// SUBSCRIBE and its kin change the connection and run on its worker. PUBLISH and PUBSUB touch no
// connection and run anywhere, also within a transaction that another worker executes.
//
// Within EXEC the messages to this connection wait until the transaction's reply is complete
// (Session::holds_pushes): they must not stand between its elements.
//
// Thread: the connection's worker; PUBLISH, SPUBLISH and PUBSUB: any.
#include <algorithm>

#include "commands/families.h"
#include "commands/help.h"
#include "engine/command_context.h"
#include "engine/pubsub.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::HashedName;
using engine::PubSubChange;
using engine::Session;
using engine::TopicKind;

// ---- Confirmations ----

// The number in a confirmation: channels and patterns count together, shard channels for themselves.
int64_t ConfirmedCount(const Session& session, TopicKind kind) {
  if (kind == TopicKind::kShardChannel) return static_cast<int64_t>(TopicCount(session, kind));
  return static_cast<int64_t>(TopicCount(session, TopicKind::kChannel) + TopicCount(session, TopicKind::kPattern));
}

// Within EXEC the confirmations are elements of its reply. If CLIENT REPLY OFF covers that, they come
// behind it, as messages.
resp::OutputBuffer* OutputFor(CommandContext& ctx) {
  const bool is_covered = ctx.session->in_multi && ctx.session->reply_mode == engine::ReplyMode::kOff;
  engine::WorkerPort* port = engine::ThisThread().port;
  return is_covered && port != nullptr ? port->OutputOf(ctx.session) : ctx.reply.out();
}

// `name`: null for none.
void Confirm(CommandContext& ctx, std::string_view word, const std::string_view* name, int64_t count) {
  resp::ReplyBuilder confirmation(OutputFor(ctx), ctx.session->resp);
  confirmation.Push(3);
  confirmation.Bulk(word);
  if (name == nullptr) {
    confirmation.Null();
  } else {
    confirmation.Bulk(*name);
  }
  confirmation.Integer(count);
  ctx.reply.KeepWritten();
}

void HoldPushesInExec(CommandContext& ctx) {
  if (ctx.session->in_multi) ctx.session->holds_pushes = true;
}

// The arguments from `first` on, as many as may be changed at once.
std::span<const HashedName> NextNames(CommandContext& ctx, size_t first, HashedName* names) {
  const size_t left = ctx.args.size() - first;
  const size_t count = left < PubSubChange::kNamesMax ? left : PubSubChange::kNamesMax;
  for (size_t i = 0; i < count; i++) names[i] = HashedName::Of(ctx.args[first + i]);
  return {names, count};
}

// ---- SUBSCRIBE and UNSUBSCRIBE ----

void Subscribe(CommandContext& ctx, TopicKind kind, std::string_view word) {
  HoldPushesInExec(ctx);
  HashedName memory[PubSubChange::kNamesMax];
  for (size_t first = 1; first < ctx.args.size();) {
    const std::span<const HashedName> names = NextNames(ctx, first, memory);
    PubSubChange change(&ctx.engine.pubsub(), ctx.session, kind, names);
    for (const HashedName& name : names) {
      change.Add(name);
      Confirm(ctx, word, &name.text, ConfirmedCount(*ctx.session, kind));
    }
    first += names.size();
  }
}

void RemoveNames(CommandContext& ctx, TopicKind kind, std::string_view word, std::span<const HashedName> names) {
  PubSubChange change(&ctx.engine.pubsub(), ctx.session, kind, names);
  ctx.reply.KeepWritten();  // messages that came before the end
  for (const HashedName& name : names) {
    // Removing may be the end of what the name refers to, so it is confirmed before.
    const int64_t removed = change.Has(name) ? 1 : 0;
    Confirm(ctx, word, &name.text, ConfirmedCount(*ctx.session, kind) - removed);
    change.Remove(name);
  }
}

void Unsubscribe(CommandContext& ctx, TopicKind kind, std::string_view word) {
  HoldPushesInExec(ctx);
  if (ctx.args.size() > 1) {
    HashedName memory[PubSubChange::kNamesMax];
    for (size_t first = 1; first < ctx.args.size();) {
      const std::span<const HashedName> names = NextNames(ctx, first, memory);
      RemoveNames(ctx, kind, word, names);
      first += names.size();
    }
    return;
  }
  if (TopicCount(*ctx.session, kind) == 0) {
    return Confirm(ctx, word, nullptr, ConfirmedCount(*ctx.session, kind));
  }
  std::vector<HashedName> names;
  CollectTopics(*ctx.session, kind, &names);
  // The session may be killed by what is delivered on the way; then the names are gone with it.
  for (std::span<const HashedName> left = names; !left.empty() && ctx.session->subscriptions != nullptr;) {
    const std::span<const HashedName> some = left.first(std::min(left.size(), PubSubChange::kNamesMax));
    RemoveNames(ctx, kind, word, some);
    left = left.subspan(some.size());
  }
}

void CmdSubscribe(CommandContext& ctx) { Subscribe(ctx, TopicKind::kChannel, "subscribe"); }
void CmdPSubscribe(CommandContext& ctx) { Subscribe(ctx, TopicKind::kPattern, "psubscribe"); }
void CmdSSubscribe(CommandContext& ctx) {
  // SUBSCRIBE and PSUBSCRIBE worked in transactions before Redis had this rule, so it lets them through.
  if (ctx.session->in_multi) return ctx.reply.Error("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
  Subscribe(ctx, TopicKind::kShardChannel, "ssubscribe");
}
void CmdUnsubscribe(CommandContext& ctx) { Unsubscribe(ctx, TopicKind::kChannel, "unsubscribe"); }
void CmdPUnsubscribe(CommandContext& ctx) { Unsubscribe(ctx, TopicKind::kPattern, "punsubscribe"); }
void CmdSUnsubscribe(CommandContext& ctx) { Unsubscribe(ctx, TopicKind::kShardChannel, "sunsubscribe"); }

// ---- PUBLISH ----

void Publish(CommandContext& ctx, TopicKind kind) {
  ctx.reply.Integer(static_cast<int64_t>(ctx.engine.pubsub().Publish(kind, ctx.args[1], ctx.args[2])));
}
void CmdPublish(CommandContext& ctx) { Publish(ctx, TopicKind::kChannel); }
void CmdSPublish(CommandContext& ctx) { Publish(ctx, TopicKind::kShardChannel); }

// ---- PUBSUB ----

void ReplyChannels(CommandContext& ctx, TopicKind kind) {
  if (ctx.args.size() > 3) {
    const std::string_view sent = ctx.args[1].substr(0, 128);
    return ctx.reply.Error("ERR unknown subcommand or wrong number of arguments for '" +
                           std::string(sent.substr(0, sent.find('\0'))) + "'. Try PUBSUB HELP.");
  }
  const bool has_pattern = ctx.args.size() == 3;
  std::vector<std::string> names;
  ctx.engine.pubsub().CollectChannels(kind, has_pattern ? ctx.args[2] : std::string_view(), has_pattern, &names);
  ctx.reply.Array(names.size());
  for (const std::string& name : names) ctx.reply.Bulk(name);
}

void ReplyCounts(CommandContext& ctx, TopicKind kind) {
  ctx.reply.Array((ctx.args.size() - 2) * 2);
  for (const std::string_view channel : ctx.args.subspan(2)) {
    ctx.reply.Bulk(channel);
    ctx.reply.Integer(static_cast<int64_t>(ctx.engine.pubsub().CountListeners(kind, channel)));
  }
}

void CmdChannels(CommandContext& ctx) { ReplyChannels(ctx, TopicKind::kChannel); }
void CmdShardChannels(CommandContext& ctx) { ReplyChannels(ctx, TopicKind::kShardChannel); }
void CmdNumSub(CommandContext& ctx) { ReplyCounts(ctx, TopicKind::kChannel); }
void CmdShardNumSub(CommandContext& ctx) { ReplyCounts(ctx, TopicKind::kShardChannel); }
void CmdNumPat(CommandContext& ctx) {
  ctx.reply.Integer(static_cast<int64_t>(ctx.engine.pubsub().topic_count(TopicKind::kPattern)));
}

void CmdHelp(CommandContext& ctx) {
  static constexpr std::string_view kLines[] = {
      "CHANNELS [<pattern>]",
      "    Name the channels that somebody listens to; with a pattern, those that match.",
      "NUMPAT",
      "    Count the patterns that somebody listens to.",
      "NUMSUB [<channel> ...]",
      "    Count the listeners of each channel, those by pattern left out.",
      "SHARDCHANNELS [<pattern>]",
      "    Name the shard channels that somebody listens to; with a pattern, those that match.",
      "SHARDNUMSUB [<shardchannel> ...]",
      "    Count the listeners of each shard channel.",
  };
  ReplyHelp(ctx.reply, "PUBSUB", kLines);
}

// ---- Registration ----

constexpr engine::HandlerRow kHandlers[] = {
    {"psubscribe", CmdPSubscribe},
    {"publish", CmdPublish},
    {"pubsub|channels", CmdChannels},
    {"pubsub|help", CmdHelp},
    {"pubsub|numpat", CmdNumPat},
    {"pubsub|numsub", CmdNumSub},
    {"pubsub|shardchannels", CmdShardChannels},
    {"pubsub|shardnumsub", CmdShardNumSub},
    {"punsubscribe", CmdPUnsubscribe},
    {"spublish", CmdSPublish},
    {"ssubscribe", CmdSSubscribe},
    {"subscribe", CmdSubscribe},
    {"sunsubscribe", CmdSUnsubscribe},
    {"unsubscribe", CmdUnsubscribe},
};

}  // namespace

std::span<const engine::HandlerRow> PubsubHandlers() { return kHandlers; }

}  // namespace sherd
