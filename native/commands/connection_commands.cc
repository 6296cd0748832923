// Connection commands: who is talking, in which protocol, to which database.
//
// They touch the connection's Session alone (ctx.session is set) and run on its I/O worker, without
// any lease. Whatever concerns other connections (CLIENT LIST, KILL, PAUSE) is the control plane's.
//
// Sherd knows one user, "default", so that AUTH and HELLO compare with the password of requirepass;
// the replies are those of Redis 7.2, which clients match.
//
// CLIENT REPLY only sets session->reply_mode; the network loop drops the replies. It reads the mode
// after the command has run, which is how CLIENT REPLY ON is answered and OFF is not.
//
// Thread: the connection's I/O worker.
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/clock.h"
#include "base/numbers.h"
#include "base/strings.h"
#include "base/version.h"
#include "commands/client_info.h"
#include "commands/families.h"
#include "commands/help.h"
#include "engine/command_context.h"
#include "engine/pubsub.h"
#include "engine/tracking.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::HandlerRow;
using engine::ReplyMode;
using engine::Session;
namespace errors = engine::errors;

constexpr std::string_view kDefaultUser = "default";
constexpr std::string_view kBadName =
    "ERR Client names cannot contain spaces, newlines or special characters.";

Session& SessionOf(CommandContext& ctx) {
  DCHECK(ctx.session != nullptr);
  return *ctx.session;
}

// Names and library facts stand in CLIENT LIST's line, so they may hold neither spaces nor
// controls.
bool IsPrintableWord(std::string_view text) {
  for (const char c : text) {
    if (c < '!' || c > '~') return false;
  }
  return true;
}

// ---- Liveness ----

// A subscriber that speaks RESP2 expects messages, so PING's answer looks like one.
void PingSubscriber(CommandContext& ctx) {
  ctx.reply.Array(2);
  ctx.reply.Bulk("pong");
  ctx.reply.Bulk(ctx.args.size() == 2 ? ctx.args[1] : std::string_view());
}

void CmdPing(CommandContext& ctx) {
  const Session& session = SessionOf(ctx);
  if (session.is_subscriber && session.resp == 2 && ctx.args.size() <= 2) return PingSubscriber(ctx);
  if (ctx.args.size() == 1) return ctx.reply.SimpleString("PONG");
  if (ctx.args.size() == 2) return ctx.reply.Bulk(ctx.args[1]);
  ctx.RefuseArity();
}

void CmdEcho(CommandContext& ctx) { ctx.reply.Bulk(ctx.args[1]); }

void CmdTime(CommandContext& ctx) {
  const int64_t now_us = Clock::WallUs();
  ctx.reply.Array(2);
  ctx.reply.BulkInteger(now_us / 1'000'000);
  ctx.reply.BulkInteger(now_us % 1'000'000);
}

void CmdQuit(CommandContext& ctx) {
  SessionOf(ctx).close_after_reply = true;
  ctx.reply.Ok();
}

// ---- Database ----

void CmdSelect(CommandContext& ctx) {
  int64_t index;
  if (!ctx.ParseInteger(1, &index)) return;
  // Redis reads the number as an int and has words of their own for what does not fit.
  if (index < std::numeric_limits<int32_t>::min() || index > std::numeric_limits<int32_t>::max()) {
    return ctx.reply.Error(
        "ERR value is out of range, value must between -2147483648 and 2147483647");
  }
  if (index < 0 || index >= ctx.engine.database_count()) {
    return ctx.reply.Error(errors::kDbIndexOutOfRange);
  }
  SessionOf(ctx).db = static_cast<int>(index);
  ctx.reply.Ok();
}

// ---- Authentication and protocol ----

// Without requirepass the default user has no password, and any is accepted for it.
bool Authenticate(CommandContext& ctx, std::string_view user, std::string_view password) {
  const bool is_right =
      user == kDefaultUser && (!ctx.engine.has_password() || ctx.engine.PasswordMatches(password));
  if (is_right) {
    SessionOf(ctx).authenticated = true;
  } else {
    ctx.reply.Error("WRONGPASS invalid username-password pair or user is disabled.");
  }
  return is_right;
}

void CmdAuth(CommandContext& ctx) {
  if (ctx.args.size() > 3) return ctx.reply.Error(errors::kSyntax);
  if (ctx.args.size() == 2 && !ctx.engine.has_password()) {
    return ctx.reply.Error(
        "ERR AUTH <password> called without any password configured for the default user. Are you "
        "sure your configuration is correct?");
  }
  const std::string_view user = ctx.args.size() == 3 ? ctx.args[1] : kDefaultUser;
  if (Authenticate(ctx, user, ctx.args.back())) ctx.reply.Ok();
}

struct HelloOptions {
  int64_t version = 0;  // 0: leave the protocol as it is
  bool has_credentials = false;
  bool has_name = false;
  std::string_view user;
  std::string_view password;
  std::string_view name;
};

// Takes the option at args[*index], moving on to its last word. Replies with the error itself.
bool ParseHelloOption(CommandContext& ctx, size_t* index, HelloOptions* options) {
  const size_t left = ctx.args.size() - 1 - *index;
  if (ctx.ArgIs(*index, "auth") && left >= 2) {
    options->has_credentials = true;
    options->user = ctx.args[*index + 1];
    options->password = ctx.args[*index + 2];
    *index += 2;
    return true;
  }
  if (ctx.ArgIs(*index, "setname") && left >= 1) {
    options->has_name = true;
    options->name = ctx.args[++*index];
    if (IsPrintableWord(options->name)) return true;
    ctx.reply.Error(kBadName);
    return false;
  }
  std::string error = "ERR Syntax error in HELLO option '";
  error.append(UpToZero(ctx.args[*index])).append("'");
  ctx.reply.Error(error);
  return false;
}

bool ParseHello(CommandContext& ctx, HelloOptions* options) {
  if (ctx.args.size() == 1) return true;
  if (!ctx.ParseInteger(1, &options->version,
                        "ERR Protocol version is not an integer or out of range")) {
    return false;
  }
  if (options->version < 2 || options->version > 3) {
    ctx.reply.Error("NOPROTO unsupported protocol version");
    return false;
  }
  for (size_t i = 2; i < ctx.args.size(); i++) {
    if (!ParseHelloOption(ctx, &i, options)) return false;
  }
  return true;
}

void ReplyHello(CommandContext& ctx) {
  ctx.reply.Map(7);
  ctx.reply.Bulk("server");
  ctx.reply.Bulk("redis");
  ctx.reply.Bulk("version");
  ctx.reply.Bulk(kRedisVersion);
  ctx.reply.Bulk("proto");
  ctx.reply.Integer(SessionOf(ctx).resp);
  ctx.reply.Bulk("id");
  ctx.reply.Integer(static_cast<int64_t>(SessionOf(ctx).id));
  ctx.reply.Bulk("mode");
  ctx.reply.Bulk("standalone");
  ctx.reply.Bulk("role");
  ctx.reply.Bulk("master");
  ctx.reply.Bulk("modules");
  ctx.reply.EmptyArray();
}

void CmdHello(CommandContext& ctx) {
  HelloOptions options;
  if (!ParseHello(ctx, &options)) return;
  if (options.has_credentials && !Authenticate(ctx, options.user, options.password)) return;
  Session& session = SessionOf(ctx);
  if (!session.authenticated) {
    return ctx.reply.Error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
        "<proto> AUTH <user> <pass> option can be used to authenticate the client and select the "
        "RESP protocol version at the same time");
  }
  if (options.has_name) session.name = options.name;
  if (options.version != 0) session.resp = static_cast<int>(options.version);
  ctx.reply.set_resp(session.resp);  // the reply is the first in the new protocol
  ReplyHello(ctx);
}

// Back to how the connection was accepted. The library's name and version stay: the library does.
void CmdReset(CommandContext& ctx) {
  Session& session = SessionOf(ctx);
  if (session.is_monitor) ctx.engine.monitors.Remove(ctx.worker, &session);
  session.is_monitor = false;
  if (session.is_subscriber) {
    UnsubscribeAll(&ctx.engine.pubsub(), &session);
    ctx.reply.KeepWritten();
  }
  session.db = 0;
  session.resp = 2;
  session.name.clear();
  session.no_evict = false;
  session.no_touch = false;
  engine::WorkerPort* port = engine::ThisThread().port;
  engine::StopTracking(&session, port == nullptr ? nullptr : &port->tracking());
  // Lifts OFF, but a SKIP that covers RESET itself still takes its reply away, as in Redis.
  if (session.reply_mode != ReplyMode::kSkipping) session.reply_mode = ReplyMode::kOn;
  session.authenticated = !ctx.engine.has_password();
  ctx.reply.set_resp(session.resp);
  ctx.reply.SimpleString("RESET");
}

// ---- CLIENT ----

void CmdClientId(CommandContext& ctx) {
  ctx.reply.Integer(static_cast<int64_t>(SessionOf(ctx).id));
}

void CmdClientGetName(CommandContext& ctx) {
  const std::string& name = SessionOf(ctx).name;
  if (name.empty()) return ctx.reply.Null();
  ctx.reply.Bulk(name);
}

void CmdClientSetName(CommandContext& ctx) {
  if (!IsPrintableWord(ctx.args[2])) return ctx.reply.Error(kBadName);
  SessionOf(ctx).name = ctx.args[2];
  ctx.reply.Ok();
}

void CmdClientSetInfo(CommandContext& ctx) {
  const std::string_view attribute = UpToZero(ctx.args[2]);
  Session& session = SessionOf(ctx);
  std::string* place = ctx.ArgIs(2, "lib-name")  ? &session.library_name
                       : ctx.ArgIs(2, "lib-ver") ? &session.library_version
                                                 : nullptr;
  if (place == nullptr) {
    std::string error = "ERR Unrecognized option '";
    return ctx.reply.Error(error.append(attribute).append("'"));
  }
  if (!IsPrintableWord(ctx.args[3])) {
    std::string error = "ERR ";
    error.append(attribute).append(" cannot contain spaces, newlines or special characters.");
    return ctx.reply.Error(error);
  }
  *place = ctx.args[3];
  ctx.reply.Ok();
}

void CmdClientInfo(CommandContext& ctx) {
  CHECK_MSG(client_describer != nullptr, "the network layer has not brought its function");
  std::string line;
  Session& session = SessionOf(ctx);
  for (const std::string_view arg : ctx.args) session.argument_bytes += arg.size();
  client_describer(session, &line);
  session.argument_bytes = 0;
  ctx.reply.Verbatim(line.append("\n"), "txt");
}

void CmdClientReply(CommandContext& ctx) {
  ReplyMode& mode = SessionOf(ctx).reply_mode;
  if (ctx.ArgIs(2, "on")) {
    mode = ReplyMode::kOn;
    ctx.reply.Ok();
  } else if (ctx.ArgIs(2, "off")) {
    mode = ReplyMode::kOff;
  } else if (ctx.ArgIs(2, "skip")) {
    if (mode != ReplyMode::kOff) mode = ReplyMode::kSkipNext;
  } else {
    ctx.reply.Error(errors::kSyntax);
  }
}

// CLIENT NO-EVICT and NO-TOUCH.
void SetSwitch(CommandContext& ctx, bool* value) {
  const bool is_on = ctx.ArgIs(2, "on");
  if (!is_on && !ctx.ArgIs(2, "off")) return ctx.reply.Error(errors::kSyntax);
  *value = is_on;
  ctx.reply.Ok();
}
void CmdClientNoEvict(CommandContext& ctx) { SetSwitch(ctx, &SessionOf(ctx).no_evict); }
void CmdClientNoTouch(CommandContext& ctx) { SetSwitch(ctx, &SessionOf(ctx).no_touch); }

// ---- HELP ----

constexpr std::string_view kClientHelp[] = {
    "CACHING (YES|NO)",
    "    Track the keys of the next command, or do not (see TRACKING, OPTIN and OPTOUT).",
    "GETNAME",
    "    Tell the name of this connection.",
    "GETREDIR",
    "    Tell the number of the connection that invalidations are sent to instead of this one.",
    "ID",
    "    Tell the number of this connection.",
    "INFO",
    "    Describe this connection in one line of CLIENT LIST.",
    "KILL <ip:port>",
    "    Close the connection that comes from this address.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Close the connections that match all of:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      They come from this address.",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      They came in at this address of ours.",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      They are of this kind.",
    "    * USER <username>",
    "      They have authenticated as this user.",
    "    * SKIPME (YES|NO)",
    "      Spare the connection that asks (the default) or not.",
    "    * ID <client-id>",
    "      They have this number.",
    "    * MAXAGE <seconds>",
    "      They are at least this old.",
    "LIST [options ...]",
    "    Describe connections, one in a line. Options:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Those of this kind.",
    "    * ID <client-id> [<client-id> [...]]",
    "      Those with these numbers.",
    "UNPAUSE",
    "    Let run again what PAUSE holds back.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Hold back all commands, or those that write, for some milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Switch replies to this connection on or off, or leave out the next one.",
    "SETNAME <name>",
    "    Name this connection.",
    "SETINFO <option> <value>",
    "    Record a fact about the client library. Options:",
    "    * LIB-NAME: its name.",
    "    * LIB-VER: its version.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    End the waiting of another connection, as if its time was over or with an error.",
    "TRACKING (ON|OFF) [options ...]",
    "    Send an invalidation when a key changes that this connection has read, or stop it. Options:",
    "    * REDIRECT <client-id>",
    "      Send them to this connection instead.",
    "    * BCAST",
    "      Send them for all keys, whether read or not.",
    "    * PREFIX <prefix>",
    "      With BCAST: only for keys that begin so. May be given several times.",
    "    * OPTIN",
    "      Track only what is read by commands that follow CLIENT CACHING YES.",
    "    * OPTOUT",
    "      Track all but what is read by commands that follow CLIENT CACHING NO.",
    "    * NOLOOP",
    "      Leave out what this connection changes itself.",
    "TRACKINGINFO",
    "    Tell how TRACKING is set for this connection.",
    "NO-EVICT (ON|OFF)",
    "    Spare this connection when memory for connections runs short.",
    "NO-TOUCH (ON|OFF)",
    "    Keep commands of this connection out of the keys' LRU and LFU clocks.",
};

void CmdClientHelp(CommandContext& ctx) { ReplyHelp(ctx.reply, "CLIENT", kClientHelp); }

// ---- Registration ----

constexpr HandlerRow kHandlers[] = {
    {"auth", CmdAuth},
    {"client|getname", CmdClientGetName},
    {"client|help", CmdClientHelp},
    {"client|id", CmdClientId},
    {"client|info", CmdClientInfo},
    {"client|no-evict", CmdClientNoEvict},
    {"client|no-touch", CmdClientNoTouch},
    {"client|reply", CmdClientReply},
    {"client|setinfo", CmdClientSetInfo},
    {"client|setname", CmdClientSetName},
    {"echo", CmdEcho},
    {"hello", CmdHello},
    {"ping", CmdPing},
    {"quit", CmdQuit},
    {"reset", CmdReset},
    {"select", CmdSelect},
    {"time", CmdTime},
};

}  // namespace

std::span<const HandlerRow> ConnectionHandlers() { return kHandlers; }

}  // namespace sherd
