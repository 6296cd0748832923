// LoadRdb: an RDB file, version 1 to 12, into the keyspaces of all shards, by several threads.
//
//   file --> scanner (caller's thread) --> batch --+--> builder 0: shards 0, n, 2n …
//            finds records, reads keys,            +--> builder 1: shards 1, n + 1 …
//            sums the checksum                     +--> …   n - 1
//
// The scanner reads some 256 KB at a time into a batch's own buffer and cuts it into records by looking at
// lengths only (RdbSkipper). A record that does not fit starts the next batch; one that is larger than a batch
// gets a buffer of its size, once the file has been seen to have that many bytes. Each builder takes the
// records of its shards from every batch, in the order of the file, and whoever is last gives the batch back.
// Batches in flight are bounded in bytes, so the memory beside the dataset is some megabytes, or twice the
// largest record.
//
// Tables need no room made ahead: they grow by one bucket at a time anyway, and splits go by hash bits that
// stand in the bucket. So RESIZEDB is passed over.
//
// As Redis: keys whose time is over are left out (but not of an AOF's preamble, since the rest of the file
// speaks of them), so are collections without elements; a key that comes twice, a value that is malformed in
// any way that a deep check knows, an unknown type, module data: the load fails, with what was loaded so far
// in place.
//
// Threads: the caller holds the leases of all shards, for its threads too; they end before LoadRdb returns.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "persistence/byte_source.h"
#include "persistence/load_progress.h"

namespace sherd::persistence {

struct RdbLoadOptions {
  /// Where in the file the RDB begins.
  uint64_t offset = 0;
  /// rdbchecksum.
  bool verifies_checksum = true;
  /// Keys whose time is over are loaded like others.
  bool keeps_expired = false;
  /// A key that exists is replaced (DEBUG RELOAD MERGE) and no error.
  bool replaces_keys = false;
  int64_t now_ms = 0;
  /// Builders; 0: everything on the calling thread.
  int threads = 0;
};

struct RdbLoadResult {
  uint64_t keys_loaded = 0;
  uint64_t keys_expired = 0;
  uint64_t empty_keys_skipped = 0;
  int version = 0;
  std::vector<std::pair<std::string, std::string>> aux;
  std::vector<std::string> functions;  // code of the libraries
  uint64_t end_offset = 0;             // behind the checksum
};

/// `progress` counts bytes and keys up; may be null.
Status LoadRdb(engine::Engine& engine, ByteSource& source, const RdbLoadOptions& options,
               LoadProgress* progress, RdbLoadResult* result);

/// Builders for this machine: as many as there are cores, at least two, at most one a shard.
int LoaderThreads(int shards);

}  // namespace sherd::persistence
