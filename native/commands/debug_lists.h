// DEBUG's looks into listpacks and quicklists, apart from DEBUG itself.
//
// As in Redis, what LISTPACK and QUICKLIST find out is printed to the server's standard output, for
// people at the terminal; the reply says so.
//
// Thread: the one that runs the command; the lease of the key's shard is held.
#pragma once

#include <cstddef>
#include <string>

#include "engine/command_context.h"

namespace sherd {

/// DEBUG LISTPACK key: every element of a value that is one listpack, whatever its type.
void DebugListpack(engine::CommandContext& ctx, const engine::Entry& entry);
/// DEBUG QUICKLIST key [0|1]: the nodes of a quicklist; their elements as well when `is_full`.
void DebugQuicklist(engine::CommandContext& ctx, const engine::Entry& entry, bool is_full);
/// DEBUG QUICKLIST-PACKED-THRESHOLD size: from which size on elements get a node of their own.
void DebugPackedThreshold(engine::CommandContext& ctx);

/// Bytes of a length in an RDB file.
size_t RdbLengthSize(size_t length);
/// Bytes of a list in an RDB file that is written without compression.
size_t RdbListSize(const engine::Entry& entry);
/// What DEBUG OBJECT says about a quicklist beside what it says about all.
std::string QuicklistFigures(const engine::Entry& entry);

}  // namespace sherd
