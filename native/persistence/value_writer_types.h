// The writers of single types. Private to value_writer*.cc. Each writes the value without its type byte,
// which TypeOf… names.
//
// Thread: the holder of the lease of the entry's shard.
#pragma once

#include "engine/entry.h"
#include "persistence/rdb_writer.h"

namespace sherd::persistence {

RdbType TypeOfList(const engine::Entry& entry, uint32_t version);
RdbType TypeOfSet(const engine::Entry& entry, uint32_t version);
RdbType TypeOfSortedSet(const engine::Entry& entry, uint32_t version);
RdbType TypeOfHash(const engine::Entry& entry, uint32_t version);
RdbType TypeOfStream(const engine::Entry& entry, uint32_t version);

void WriteListValue(const engine::Entry& entry, RdbType type, RdbWriter* writer);
void WriteSetValue(const engine::Entry& entry, RdbType type, RdbWriter* writer);
void WriteSortedSetValue(const engine::Entry& entry, RdbType type, RdbWriter* writer);
void WriteHashValue(const engine::Entry& entry, RdbType type, RdbWriter* writer);
void WriteStreamValue(const engine::Entry& entry, RdbType type, RdbWriter* writer);

}  // namespace sherd::persistence
