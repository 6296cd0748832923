// Hashes.
#include "commands/families.h"

namespace sherd {

std::span<const engine::HandlerRow> HashHandlers() { return {}; }

}  // namespace sherd
