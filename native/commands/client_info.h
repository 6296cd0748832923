// The line that describes a client, as CLIENT INFO and CLIENT LIST print it.
//
// Half of its fields (buffers, events, file descriptor) are known to the network layer alone, which
// lies above this folder. So the layer above brings the function, and this header holds the place
// for it.
//
// Thread: set once by the network layer before the first connection; read by I/O workers, for a
// session of their own.
#pragma once

#include <string>

#include "engine/session.h"

namespace sherd {

/// Appends "id=1 addr=… lib-ver=" (no line end) to `*out`.
using ClientDescriber = void (*)(const engine::Session& session, std::string* out);

/// nullptr until the network layer has started.
inline ClientDescriber client_describer = nullptr;

}  // namespace sherd
