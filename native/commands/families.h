// Families: the tables of handlers that the files of this folder export.
//
// One function for each family of commands; registry.cc joins them. A family never includes another
// one, this header is all that they share. The spans refer to constant data and are valid for ever.
//
// Thread: any.
#pragma once

#include <span>

#include "engine/handlers.h"

namespace sherd {

/// Strings: string_commands.cc and lcs_command.cc.
std::span<const engine::HandlerRow> StringHandlers();
std::span<const engine::HandlerRow> LcsHandlers();
/// Bitmaps: bitmap_commands.cc, bitfield_commands.cc. HyperLogLog: hyperloglog_commands.cc.
std::span<const engine::HandlerRow> BitmapHandlers();
std::span<const engine::HandlerRow> BitfieldHandlers();
std::span<const engine::HandlerRow> HyperLogLogHandlers();
/// Lists: list_commands.cc.
std::span<const engine::HandlerRow> ListHandlers();
/// Sets: set_commands.cc. Several sets at once: set_combine_commands.cc.
std::span<const engine::HandlerRow> SetHandlers();
std::span<const engine::HandlerRow> SetCombineHandlers();
/// Hashes: hash_commands.cc.
std::span<const engine::HandlerRow> HashHandlers();
/// Sorted sets: member by member: sorted_set_commands.cc; ranges: sorted_set_range_commands.cc; unions
/// and their kin: sorted_set_combine_commands.cc.
/// Hashes: hash_commands.cc. Their fields' times to live: hash_field_ttl_commands.cc.
std::span<const engine::HandlerRow> HashFieldTtlHandlers();
/// Sorted sets: sorted_set_commands.cc.
std::span<const engine::HandlerRow> SortedSetHandlers();
std::span<const engine::HandlerRow> SortedSetRangeHandlers();
std::span<const engine::HandlerRow> SortedSetCombineHandlers();
/// Geo: sorted sets of places: geo_commands.cc.
std::span<const engine::HandlerRow> GeoHandlers();
/// Streams: stream_commands.cc. XREAD and XREADGROUP: stream_read_commands.cc. Consumer groups:
/// stream_group_commands.cc. XINFO: stream_info_commands.cc.
std::span<const engine::HandlerRow> StreamHandlers();
std::span<const engine::HandlerRow> StreamReadHandlers();
std::span<const engine::HandlerRow> StreamGroupHandlers();
std::span<const engine::HandlerRow> StreamInfoHandlers();
/// SORT and SORT_RO: sort_command.cc.
std::span<const engine::HandlerRow> SortHandlers();
/// DUMP and RESTORE: dump_commands.cc.
std::span<const engine::HandlerRow> DumpHandlers();
/// What touches the session alone: connection_commands.cc.
std::span<const engine::HandlerRow> ConnectionHandlers();
/// Keys of any type: key_commands.cc.
std::span<const engine::HandlerRow> KeyHandlers();
/// Their expiries: expire_commands.cc. Walks over all of them: scan_commands.cc.
std::span<const engine::HandlerRow> ExpireHandlers();
std::span<const engine::HandlerRow> ScanHandlers();
/// MULTI, EXEC, DISCARD, WATCH, UNWATCH: transaction_commands.cc.
std::span<const engine::HandlerRow> TransactionHandlers();
/// Commands that wait: blocking_commands.cc.
std::span<const engine::HandlerRow> BlockingHandlers();
/// Publish and subscribe: pubsub_commands.cc.
std::span<const engine::HandlerRow> PubsubHandlers();
/// CLIENT TRACKING and its kin: tracking_commands.cc.
std::span<const engine::HandlerRow> TrackingHandlers();
/// CLIENT PAUSE and UNPAUSE, MONITOR: client_control_commands.cc.
std::span<const engine::HandlerRow> ClientControlHandlers();
/// The server as a whole: server_commands.cc. DEBUG: debug_commands.cc.
std::span<const engine::HandlerRow> ServerHandlers();
std::span<const engine::HandlerRow> DebugHandlers();

}  // namespace sherd
