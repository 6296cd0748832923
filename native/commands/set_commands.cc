// Sets.
#include "commands/families.h"

namespace sherd {

std::span<const engine::HandlerRow> SetHandlers() { return {}; }

}  // namespace sherd
