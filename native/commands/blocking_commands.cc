// Commands that wait.
#include "commands/families.h"
#include "engine/command_context.h"

namespace sherd {
namespace {

void NotYet(engine::CommandContext& ctx) { ctx.reply.Error("ERR the command does not exist yet"); }

constexpr engine::HandlerRow kHandlers[] = {
    {"blmove", NotYet},
    {"blmpop", NotYet},
    {"blpop", NotYet},
    {"brpop", NotYet},
    {"brpoplpush", NotYet},
    {"bzmpop", NotYet},
    {"bzpopmax", NotYet},
    {"bzpopmin", NotYet},
    {"wait", NotYet},
    {"waitaof", NotYet},
};

}  // namespace

std::span<const engine::HandlerRow> BlockingHandlers() { return kHandlers; }

}  // namespace sherd
