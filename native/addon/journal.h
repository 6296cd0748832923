// The journal of a server, for the addon's files.
#pragma once

#include "net/server.h"
#include "persistence/journal.h"

namespace sherd {

/// Made when it is first asked for, and also the engine's snapshot_journal from then on. Main thread.
persistence::Journal& JournalOf(net::Server& server);

}  // namespace sherd
