// DEBUG: what the layers above need to know: where its LOG goes. Who may use DEBUG is decided before a
// command is routed, see engine/debug_access.h.
//
// Thread: any.
#pragma once

#include <string_view>

namespace sherd {

/// Where DEBUG LOG writes its line, at level warning; nullptr: nowhere. Called on the worker that
/// runs the command, so it must be callable from any thread.
using DebugLog = void (*)(std::string_view line);
void SetDebugLog(DebugLog log);

}  // namespace sherd
