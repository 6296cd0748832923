// CLIENT PAUSE and UNPAUSE, MONITOR: what one client does to all.
//
// PAUSE comes with the leases of all shards, so that no command is under way when it takes effect, and
// whoever takes a lease afterwards sees it. UNPAUSE needs none: it only lets go, and tells every worker to
// look at what it has held back.
//
// MONITOR runs on the connection's own worker, which keeps the list of its monitors.
#include "commands/families.h"
#include "engine/command_context.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::HandlerRow;

// ---- PAUSE and UNPAUSE ----

/// Sent to every worker when a pause ends before its time.
class PauseIsOver final : public engine::Message {
 public:
  void Deliver(engine::WorkerPort& port) override {
    port.LookAtPostponed();
    delete this;
  }
};

void CmdClientPause(CommandContext& ctx) {
  if (ctx.args.size() > 4) {
    std::string error = "ERR unknown subcommand or wrong number of arguments for '";
    error.append(ctx.args[1].substr(0, 128)).append("'. Try CLIENT HELP.");
    return ctx.reply.Error(error);
  }
  bool holds_all = true;
  if (ctx.args.size() == 4) {
    holds_all = ctx.ArgIs(3, "all");
    if (!holds_all && !ctx.ArgIs(3, "write")) return ctx.reply.Error("ERR CLIENT PAUSE mode must be WRITE or ALL");
  }
  int64_t until_ms;
  if (!ctx.ParseTimeoutMs(2, &until_ms)) return;
  ctx.engine.Pause(until_ms, holds_all, ctx.now_ms);
  ctx.reply.Ok();
}

void CmdClientUnpause(CommandContext& ctx) {
  ctx.engine.Unpause();
  if (engine::PostOffice* office = engine::ThisThread().post_office) {
    for (int worker = 0; worker < ctx.engine.config().workers; worker++) {
      office->Post(static_cast<engine::WorkerId>(worker), new PauseIsOver());
    }
  }
  ctx.reply.Ok();
}

// ---- MONITOR ----

void CmdMonitor(CommandContext& ctx) {
  engine::Session& session = *ctx.session;
  // Still so while EXEC runs: EXEC has to answer each command with one reply.
  if (session.in_multi) return ctx.reply.Error("ERR MONITOR isn't allowed for DENY BLOCKING client");
  if (session.is_monitor) return;  // without a word, as Redis
  session.is_monitor = true;
  ctx.engine.monitors.Add(ctx.worker, &session);
  ctx.reply.Ok();
}

constexpr HandlerRow kHandlers[] = {
    {"client|pause", CmdClientPause},
    {"client|unpause", CmdClientUnpause},
    {"monitor", CmdMonitor},
};

}  // namespace

std::span<const HandlerRow> ClientControlHandlers() { return kHandlers; }

}  // namespace sherd
