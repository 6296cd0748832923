// DUMP and RESTORE.
#include "commands/families.h"

namespace sherd {

std::span<const engine::HandlerRow> DumpHandlers() { return {}; }

}  // namespace sherd
