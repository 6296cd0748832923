// SnapshotRecords: in which form a snapshot is written. The snapshot engine (snapshot.h) decides what is written
// when; this says what it looks like: an RDB file, or commands that make the dataset (the old form of an AOF's
// base).
//
// An entry's record has two parts, so that a big value can be written apart from its head: what may change while
// the value does not (the clock of the last access) is in the head.
//
// Thread: one at a time. Record and Head: the holder of the entry's lease. Body: whoever knows that nobody changes
// the value meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/keyspace.h"
#include "persistence/rdb_writer.h"

namespace sherd::persistence {

enum class SnapshotFormat : uint8_t { kRdb, kAof };

/// A database as it stood at the instant; those without keys are left out.
struct SnapshotDatabase {
  int db = 0;
  uint64_t keys = 0;
  uint64_t expires = 0;
};

/// What a file begins with.
struct SnapshotHead {
  std::vector<std::pair<std::string, std::string>> aux;
  std::vector<std::string> function_libraries;
  std::vector<SnapshotDatabase> databases;
};

struct RecordOptions {
  SnapshotFormat format = SnapshotFormat::kRdb;
  uint32_t version = 11;
  bool compresses = true;
  int64_t maxmemory_policy = 0;  // LRU and LFU policies save what they know of a key
  engine::AccessClock clock;     // at the instant
};

class SnapshotRecords {
 public:
  virtual ~SnapshotRecords() = default;

  virtual void FileHead(const SnapshotHead& head, std::string* out) = 0;
  /// What follows belongs to this database.
  virtual void Select(int db, std::string* out) = 0;
  virtual void Head(const engine::Entry& entry, std::string* out) = 0;
  /// `sink` (or null) takes the bytes, but the last ones, as they come.
  virtual void Body(const engine::Entry& entry, std::string* out, RdbSink* sink) = 0;
  /// What stands behind the last record, and before a checksum.
  virtual void FileEnd(std::string* out) = 0;
  /// Whether the file ends with its checksum.
  virtual bool has_checksum() const = 0;

  void Record(const engine::Entry& entry, std::string* out) {
    Head(entry, out);
    Body(entry, out, nullptr);
  }
};

std::unique_ptr<SnapshotRecords> MakeSnapshotRecords(const RecordOptions& options);
/// In aof_records.cc.
std::unique_ptr<SnapshotRecords> MakeAofRecords();

}  // namespace sherd::persistence
