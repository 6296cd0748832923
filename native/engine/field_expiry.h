// Expiry of hash fields: what the expiry cycle does with a hash whose fields have a time to live.
//
// Thread: the holder of the lease of the key's shard.
#pragma once

#include <cstdint>

#include "engine/engine.h"

namespace sherd::engine {

/// Deletes a bounded number of the fields of the hash at `handle` whose time has come, and the key when
/// none is left, and tells everyone (HDEL or DEL propagated, "hexpired" and "del" events, counters).
void ExpireHashFields(Engine& engine, WorkerCounters* counters, int db, const Key& key, Handle handle,
                      int64_t now_ms);

}  // namespace sherd::engine
