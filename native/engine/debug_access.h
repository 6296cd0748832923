// Who may use DEBUG (enable-debug-command): asked once a command's arity is known, where Redis asks too, and
// before it is routed, because a command on shards has no session any more.
//
// Thread: the connection's I/O worker.
#pragma once

#include <string_view>

#include "engine/options.h"
#include "engine/session.h"

namespace sherd::engine {

/// The reply when DebugAllowed() says no.
inline constexpr std::string_view kDebugNotAllowed =
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it "
    "from a local connection, otherwise you need to set this option in the configuration file, and then "
    "restart the server.";

/// Whether enable-debug-command (no, yes, local) lets this client use DEBUG.
inline bool DebugAllowed(const Options& options, const Session& session) {
  switch (options.enable_debug_command.Get()) {
    case kDebugYes: return true;
    case kDebugLocal: return session.is_unix_socket || session.is_loopback;
    default: return false;
  }
}

}  // namespace sherd::engine
