// Snapshots as RDB files.
//
//   "REDIS" version in four digits
//   AUX name value …, FUNCTION2 code …
//   SELECTDB db, RESIZEDB keys expires          for each database with keys
//   records and SELECTDBs, in any order
//   EOF, CRC64 of all before (0 without checksums)
//
//   record = [EXPIRETIME_MS u64] [IDLE seconds | FREQ counter] type key value
//
// Redis writes one database after the other; a snapshot that goes on while commands change the data comes back to
// a database as often as it must. Readers do not mind.
#include "engine/options.h"
#include "persistence/snapshot_records.h"
#include "persistence/value_writer.h"

namespace sherd::persistence {

using engine::Entry;

namespace {

class RdbRecords final : public SnapshotRecords {
 public:
  explicit RdbRecords(const RecordOptions& options) : options_(options) {}

  void FileHead(const SnapshotHead& head, std::string* out) override {
    RdbWriter writer(out, options_.compresses);
    char digits[5] = "0000";
    digits[2] = static_cast<char>('0' + options_.version / 10);
    digits[3] = static_cast<char>('0' + options_.version % 10);
    writer.Raw("REDIS");
    writer.Raw({digits, 4});
    for (const auto& [name, value] : head.aux) {
      Opcode(RdbOpcode::kAux, &writer);
      writer.String(name);
      writer.String(value);
    }
    // Readers of version 9 know no functions.
    for (const std::string& code : head.function_libraries) {
      if (options_.version < 10) break;
      Opcode(RdbOpcode::kFunction, &writer);
      writer.String(code);
    }
    for (const SnapshotDatabase& database : head.databases) {
      Select(database.db, out);
      Opcode(RdbOpcode::kResizeDb, &writer);
      writer.Length(database.keys);
      writer.Length(database.expires);
    }
  }

  void Select(int db, std::string* out) override {
    RdbWriter writer(out, false);
    Opcode(RdbOpcode::kSelectDb, &writer);
    writer.Length(static_cast<uint64_t>(db));
  }

  void Head(const Entry& entry, std::string* out) override {
    RdbWriter writer(out, options_.compresses);
    if (entry.has_expiry()) {
      Opcode(RdbOpcode::kExpiryMs, &writer);
      writer.Milliseconds(entry.expiry_ms());
    }
    if (engine::IsLruPolicy(options_.maxmemory_policy)) {
      Opcode(RdbOpcode::kIdle, &writer);
      // A key that was used since the instant has a clock ahead of ours.
      const uint32_t idle = (options_.clock.lru_seconds - entry.clock24()) & 0xffffff;
      writer.Length(idle > 0x800000 ? 0 : idle);
    } else if (engine::IsLfuPolicy(options_.maxmemory_policy)) {
      Opcode(RdbOpcode::kFrequency, &writer);
      writer.Byte(engine::Keyspace::LfuFrequency(entry, options_.clock));
    }
    WriteType(entry, options_.version, &writer);
    writer.String(entry.key());
  }

  void Body(const Entry& entry, std::string* out, RdbSink* sink) override {
    RdbWriter writer(out, options_.compresses, sink);
    WriteBody(entry, options_.version, &writer);
  }

  void FileEnd(std::string* out) override {
    RdbWriter writer(out, false);
    Opcode(RdbOpcode::kEnd, &writer);
  }
  bool has_checksum() const override { return true; }

 private:
  static void Opcode(RdbOpcode opcode, RdbWriter* writer) { writer->Byte(static_cast<uint8_t>(opcode)); }

  const RecordOptions options_;
};

}  // namespace

std::unique_ptr<SnapshotRecords> MakeSnapshotRecords(const RecordOptions& options) {
  if (options.format == SnapshotFormat::kAof) return MakeAofRecords();
  return std::make_unique<RdbRecords>(options);
}

}  // namespace sherd::persistence
