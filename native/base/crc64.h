// CRC64 of RDB files and DUMP payloads (Jones's polynomial 0xad93d23594c935a9, reflected, start 0,
// no final xor), by slicing over eight bytes a step.
//
// Invariant: Crc64(0, "123456789") == 0xe9c6d914c4b8d9ca. Constant tables; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace sherd {

/// Continues `crc` (0 to begin with) over `bytes`: Crc64(Crc64(0, a), b) == Crc64(0, a + b).
uint64_t Crc64(uint64_t crc, std::string_view bytes);

}  // namespace sherd
