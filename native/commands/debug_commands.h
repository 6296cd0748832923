// DEBUG: what the layers above need to know: who may use it, and where its LOG goes.
//
// The network layer asks DebugAllowed() before it routes a DEBUG command (after the arity check,
// where Redis asks too), because a command on shards has no session any more.
//
// Thread: DebugAllowed() on the connection's I/O worker; SetDebugLog() any thread.
#pragma once

#include <string_view>

#include "engine/engine.h"
#include "engine/session.h"

namespace sherd {

/// The reply when DebugAllowed() says no.
inline constexpr std::string_view kDebugNotAllowed =
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you "
    "can run "
    "it from a local connection, otherwise you need to set this option in the configuration file, "
    "and "
    "then restart the server.";

/// Whether enable-debug-command (no, yes, local) lets this client use DEBUG.
bool DebugAllowed(const engine::Engine& engine, const engine::Session& session);

/// Where DEBUG LOG writes its line, at level warning; nullptr: nowhere. Called on the worker that
/// runs the command, so it must be callable from any thread.
using DebugLog = void (*)(std::string_view line);
void SetDebugLog(DebugLog log);

}  // namespace sherd
