// CLIENT PAUSE and UNPAUSE, MONITOR.
#include "commands/families.h"
#include "engine/command_context.h"

namespace sherd {
namespace {

void NotYet(engine::CommandContext& ctx) { ctx.reply.Error("ERR the command does not exist yet"); }

constexpr engine::HandlerRow kHandlers[] = {
    {"client|pause", NotYet},
    {"client|unpause", NotYet},
    {"monitor", NotYet},
};

}  // namespace

std::span<const engine::HandlerRow> ClientControlHandlers() { return kHandlers; }

}  // namespace sherd
