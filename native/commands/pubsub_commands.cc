// Publish and subscribe.
#include "commands/families.h"
#include "engine/command_context.h"

namespace sherd {
namespace {

void NotYet(engine::CommandContext& ctx) { ctx.reply.Error("ERR the command does not exist yet"); }

constexpr engine::HandlerRow kHandlers[] = {
    {"psubscribe", NotYet},
    {"publish", NotYet},
    {"pubsub|channels", NotYet},
    {"pubsub|help", NotYet},
    {"pubsub|numpat", NotYet},
    {"pubsub|numsub", NotYet},
    {"pubsub|shardchannels", NotYet},
    {"pubsub|shardnumsub", NotYet},
    {"punsubscribe", NotYet},
    {"spublish", NotYet},
    {"ssubscribe", NotYet},
    {"subscribe", NotYet},
    {"sunsubscribe", NotYet},
    {"unsubscribe", NotYet},
};

}  // namespace

std::span<const engine::HandlerRow> PubsubHandlers() { return kHandlers; }

}  // namespace sherd
