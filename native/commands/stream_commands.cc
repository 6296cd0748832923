// Streams.
#include "commands/families.h"

namespace sherd {

std::span<const engine::HandlerRow> StreamHandlers() { return {}; }

}  // namespace sherd
