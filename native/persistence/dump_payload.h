// DUMP payloads: one value in RDB form with a version and a checksum behind it.
//
// Thread: the caller's, who holds the leases of the data.
#pragma once

#include <string>
#include <string_view>

#include "engine/entry.h"
#include "persistence/rdb_format.h"

namespace sherd::persistence {

/// Appends the payload of an entry's value. `version`: 9 to 12; a hash whose fields expire is written
/// in version 12 whatever it says, since older ones cannot hold it.
void WriteDumpPayload(const engine::Entry& entry, uint32_t version, bool compress, std::string* out);

/// Whether a payload has a version that we read and a checksum that is right. `body` is then what lies
/// before the footer.
bool CheckDumpPayload(std::string_view payload, std::string_view* body);

}  // namespace sherd::persistence
