// Lists.
#include "commands/families.h"

namespace sherd {

std::span<const engine::HandlerRow> ListHandlers() { return {}; }

}  // namespace sherd
