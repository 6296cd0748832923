// ValueOps: what the keyspace must be able to do with a value without knowing what it is: free it (in
// slices), copy it, measure it, check it.
//
// Each collection type has one row, defined beside its data (list_value.cc, set_value.cc, hash_value.cc,
// sorted_set_value.cc, stream_value.cc). Strings have none: their bytes are the entry's own business.
//
// A value is known by its encoding and its entry's payload, which points to memory of the shard's heap.
// Values refer to nothing outside themselves, so a value may move to another entry of the same shard by
// moving the payload; to another shard it goes by Clone and Free.
//
// Thread: the holder of the lease of the value's shard (Clone: of both shards).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/slab_heap.h"
#include "engine/entry.h"

namespace sherd::engine {

struct ValueOps {
  /// Frees about `max_elements` elements of a value that is in no table any more, less from `*payload`
  /// what is gone; true when nothing is left. Called again until then; one call takes time in
  /// proportion to `max_elements`, whatever the size of the value.
  bool (*free_slice)(SlabHeap& heap, Encoding encoding, uint64_t* payload, size_t max_elements);
  /// About how many allocations freeing takes. O(1).
  size_t (*free_effort)(Encoding encoding, uint64_t payload);
  /// A copy in `heap`, in the same encoding; returns its payload.
  uint64_t (*clone)(SlabHeap& heap, Encoding encoding, uint64_t payload);
  /// Bytes of the value. `samples`: elements to look at where the exact figure would be a walk (MEMORY
  /// USAGE's SAMPLES); 0: all.
  size_t (*memory)(Encoding encoding, uint64_t payload, size_t samples);
  /// Number of elements, as LLEN, SCARD, HLEN, ZCARD, XLEN count them. O(1) but for giant listpacks.
  size_t (*length)(Encoding encoding, uint64_t payload);
  /// Full check of the structure; CHECKs. O(n).
  void (*validate)(Encoding encoding, uint64_t payload);
};

extern const ValueOps kListOps;
extern const ValueOps kSetOps;
extern const ValueOps kSortedSetOps;
extern const ValueOps kHashOps;
extern const ValueOps kStreamOps;

/// The row of a collection type. CHECKs for strings.
const ValueOps& OpsOf(Type type);

}  // namespace sherd::engine
