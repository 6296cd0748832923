// The readers of single types, and what they have in common. Private to value_reader*.cc.
//
// Each reader returns true with `value` filled in, or false with nothing kept; reader->ok() may be either
// then.
//
// Thread: the holder of the lease of the shard whose heap is used.
#pragma once

#include <string_view>

#include "ds/listpack.h"
#include "engine/options.h"
#include "persistence/rdb_reader.h"
#include "persistence/value_reader.h"

namespace sherd::persistence {

/// What every reader is given.
struct ReadContext {
  RdbReader* reader;
  SlabHeap& heap;
  const engine::Options& options;
};

bool ReadListValue(const ReadContext& context, RdbType type, LoadedValue* value);
bool ReadSetValue(const ReadContext& context, RdbType type, LoadedValue* value);
bool ReadSortedSetValue(const ReadContext& context, RdbType type, LoadedValue* value);
bool ReadHashValue(const ReadContext& context, RdbType type, LoadedValue* value);
bool ReadStreamValue(const ReadContext& context, RdbType type, LoadedValue* value);

/// Checks bytes as a listpack whose elements come in groups of `group` (2: pairs), at least one of them.
bool CheckPack(std::string_view bytes, size_t group, size_t* count);

/// Whether a valid listpack may be taken over as it is: canonical, and no element that starts a group
/// occurs twice.
bool IsAdoptable(std::string_view bytes, size_t group);

/// The elements of a valid listpack, in order.
template <class Visit>
bool ForEachPacked(std::string_view bytes, Visit&& visit) {
  const ds::Listpack pack(reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data())));
  char buffer[kInt64CharsMax];
  for (ds::Listpack::Position at = pack.First(); at != ds::Listpack::kNone; at = pack.Next(at)) {
    if (!visit(pack.Get(at).View(buffer))) return false;
  }
  return true;
}

}  // namespace sherd::persistence
