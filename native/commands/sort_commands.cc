// SORT and SORT_RO.
#include "commands/families.h"

namespace sherd {

std::span<const engine::HandlerRow> SortHandlers() { return {}; }

}  // namespace sherd
