// Sorted sets.
#include "commands/families.h"

namespace sherd {

std::span<const engine::HandlerRow> SortedSetHandlers() { return {}; }

}  // namespace sherd
