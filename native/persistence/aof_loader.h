// LoadAof: one AOF file, with an RDB preamble or without, into the keyspaces: its commands are run by the
// handlers that run those of clients, without anybody noticing: no propagation, no events, no counters of
// calls.
//
// TIME. The file says what happened in its order, deletions of what had expired included; so nothing may expire
// while it is replayed, and a time in the past is kept as it is: what was written behind it relies on the key
// being there. Commands therefore run at time 0, at which nothing has expired, but for those that state a
// relative time (SET with EX, EXPIRE, RESTORE without ABSTTL) or note when they ran (streams): they run at
// the present time, and Engine::is_loading keeps lookups from deleting.
//
// A MULTI … EXEC is executed when its EXEC has been seen, as a whole. Error replies are passed over, as in Redis;
// a command that does not exist ends the load. Commands that do not write have nothing to do here and are
// passed over; SELECT is followed. FUNCTION LOAD, DELETE and FLUSH keep the libraries, which are
// opaque, up to date.
//
// Thread: the caller, who holds the leases of all shards; the RDB preamble is read by several.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/handlers.h"
#include "persistence/byte_source.h"
#include "persistence/load_progress.h"
#include "persistence/rdb_loader.h"

namespace sherd::persistence {

struct AofLoadOptions {
  /// A file that only ends too early is loaded up to there.
  bool may_be_torn = false;
  /// Lines with checksums must hold.
  bool verifies_checksums = true;
  /// Under which number the caller counts.
  engine::WorkerId worker = 0;
  /// For messages.
  std::string name;
  /// As RdbLoadOptions.
  int threads = 0;
};

struct AofLoadResult {
  RdbLoadResult rdb;  // version 0: there was no preamble. Counts of keys are the preamble's.
  uint64_t commands = 0;
  uint64_t valid_bytes = 0;    // up to the end of the last whole command or transaction
  uint64_t file_bytes = 0;
  uint64_t crc = 0;            // as checksum lines count it, at valid_bytes
  uint64_t covered_bytes = 0;  // end of the last line that holds; 0 without
};

Status LoadAof(engine::Engine& engine, const engine::HandlerTable& handlers, ByteSource& source,
               const AofLoadOptions& options, LoadProgress* progress, AofLoadResult* result);

}  // namespace sherd::persistence
