// Geo: sorted sets of places.
#include "commands/families.h"

namespace sherd {

std::span<const engine::HandlerRow> GeoHandlers() { return {}; }

}  // namespace sherd
