// Expiry of hash fields: deleting the fields whose time has come, and telling everyone.
//
// A field that has expired does not exist for any command (HashValue sees to that); here it is deleted, by
// two callers: a lookup that meets a hash with fields that are due (so that a hash whose fields have all
// expired is gone for whoever asks), and the expiry cycle. Each call takes a bounded number of fields, so
// that a million fields that expire in the same millisecond hold nobody up.
//
// An entry has kHasFieldExpiry iff a field of its hash has a time to live; whoever changes times calls
// SyncFieldExpiry afterwards.
//
// Thread: the holder of the lease of the key's shard.
#pragma once

#include <cstdint>

#include "engine/engine.h"

namespace sherd::engine {

/// Deletes up to kExpiredFieldsMax fields of the hash at `handle` whose time has come, and the key when none
/// is left, and tells everyone: HDEL propagated, "hexpired" and "del" events. True: more are due, and
/// `handle` is still valid. O(1) when nothing is due.
bool ExpireHashFields(Engine& engine, int db, const Key& key, Handle handle, int64_t now_ms);

/// About a quarter of a millisecond's work.
inline constexpr size_t kExpiredFieldsMax = 256;

/// Marks the entry by what its hash holds.
void SyncFieldExpiry(Keyspace& space, int db, Handle handle);

}  // namespace sherd::engine
