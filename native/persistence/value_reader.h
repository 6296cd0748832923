// Values from their RDB form.
//
// Every type byte of RDB 1 to 12 that has no module in it is read, old encodings included. What was read
// is built in the current encodings and by the current thresholds, as if commands had made it, except
// that Redis's own encodings are taken over as they are where both are the same bytes (listpacks, intsets,
// stream nodes), after they were checked element by element.
//
// A value is refused (false) when its bytes are malformed in any way that Redis's deep check knows: sizes,
// encodings, duplicate fields or members, wrong order, NaN scores, no elements at all.
//
// Thread: the holder of the lease of the shard whose heap is used.
#pragma once

#include <cstdint>

#include "base/slab_heap.h"
#include "engine/keyspace.h"
#include "engine/options.h"
#include "persistence/rdb_format.h"
#include "persistence/rdb_reader.h"

namespace sherd::persistence {

/// A value that belongs to no key yet.
struct LoadedValue {
  engine::Type type = engine::Type::kString;
  engine::Encoding encoding = engine::Encoding::kRaw;
  uint64_t payload = 0;      // collections; memory of the heap that ReadValue was given
  bool has_field_expiry = false;
  RdbString text;            // strings; a view into the input or the unpacked bytes
};

/// Reads a value of the given type. False: malformed; nothing is kept then. The value is to be adopted
/// or discarded.
bool ReadValue(RdbReader* reader, RdbType type, SlabHeap& heap, const engine::Options& options,
               LoadedValue* value);

/// Makes `value` the value of `key`, which must not exist, of the keyspace whose heap it was read into.
engine::Handle AdoptValue(engine::Keyspace& keyspace, int db, const engine::Key& key, LoadedValue* value,
                          int64_t expiry_ms);

/// Frees a value that nobody adopts.
void DiscardValue(SlabHeap& heap, LoadedValue* value);

}  // namespace sherd::persistence
