// Values in their RDB form.
//
// `version` decides the encodings: from 10 on listpacks are written as they lie in memory, version 9 gets
// plain elements, which every older server reads; sets of listpacks need 11, field expiries 12.
//
// Thread: the holder of the lease of the entry's shard, or (WriteBody) whoever knows that nobody changes the
// value meanwhile.
#pragma once

#include <cstdint>

#include "engine/entry.h"
#include "persistence/rdb_format.h"
#include "persistence/rdb_writer.h"

namespace sherd::persistence {

/// The version that an entry's value must be written in when `version` is asked for.
uint32_t WriterVersion(const engine::Entry& entry, uint32_t version);

/// Writes the type byte.
void WriteType(const engine::Entry& entry, uint32_t version, RdbWriter* writer);
/// Writes the value without its type byte, which WriteType has written for the same version.
void WriteBody(const engine::Entry& entry, uint32_t version, RdbWriter* writer);
/// Writes the type byte and the value.
void WriteValue(const engine::Entry& entry, uint32_t version, RdbWriter* writer);

}  // namespace sherd::persistence
