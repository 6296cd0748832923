// CLIENT TRACKING and its kin.
#include "commands/families.h"
#include "engine/command_context.h"

namespace sherd {
namespace {

void NotYet(engine::CommandContext& ctx) { ctx.reply.Error("ERR the command does not exist yet"); }

constexpr engine::HandlerRow kHandlers[] = {
    {"client|caching", NotYet},
    {"client|getredir", NotYet},
    {"client|tracking", NotYet},
    {"client|trackinginfo", NotYet},
};

}  // namespace

std::span<const engine::HandlerRow> TrackingHandlers() { return kHandlers; }

}  // namespace sherd
