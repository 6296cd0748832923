// Scan commands: what other files may know of them: how a cursor is read, and what is said of a wrong option.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <string_view>

namespace sherd {

/// Parses a SCAN cursor by Redis's rules (those of strtoul: "+5", "-1" and "" are numbers, " 5" is
/// not). False: "ERR invalid cursor".
bool ParseScanCursor(std::string_view text, uint64_t* cursor);

/// The error for an option that a scan does not know. NOVALUES is one, except in HSCAN.
std::string_view ScanOptionError(std::string_view option);

}  // namespace sherd
