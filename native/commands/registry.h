// Registry: which function runs which command.
//
// The command table (metadata) and the families (functions) meet here and nowhere else; the addon hands
// the result to the network layer.
//
// Thread: the first call builds the table and must come before the workers start; constant afterwards.
#pragma once

#include "engine/handlers.h"

namespace sherd {

/// The handlers of all commands, by CommandId. CHECKs that table and families fit together.
const engine::HandlerTable& Handlers();

}  // namespace sherd
