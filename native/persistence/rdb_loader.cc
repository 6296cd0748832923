// LoadRdb: the scanner. See the header for the picture.
#include "persistence/rdb_loader.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <limits>
#include <memory>
#include <thread>

#include "base/crc16.h"
#include "base/crc64.h"
#include "persistence/rdb_builders.h"
#include "persistence/rdb_skipper.h"

namespace sherd::persistence {

namespace {

constexpr size_t kHeaderSize = 9;
constexpr size_t kChecksumSize = 8;

/// The name in a module's id: nine letters of six bits, above ten bits of version.
std::string ModuleName(uint64_t id) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string name;
  for (int shift = 58; shift >= 10; shift -= 6) name += kLetters[id >> shift & 63];
  return name;
}

class RdbFileLoader {
 public:
  RdbFileLoader(engine::Engine& engine, ByteSource& source, const RdbLoadOptions& options,
                LoadProgress* progress, RdbLoadResult* result)
      : engine_(engine),
        source_(source),
        options_(options),
        progress_(progress),
        result_(result),
        builders_(&engine, options, progress) {}

  Status Run();

 private:
  /// What stands before an entry's type byte.
  struct Prelude {
    int64_t expiry_ms = engine::kNoExpiry;
    int64_t idle_sec = -1;
    int16_t frequency = -1;
  };
  enum class Step { kRecord, kShort, kEnd, kFailed };

  Status ReadHeader();
  Status ScanAll();
  Status Fill(RdbBatch* batch);
  Status MakeRoom(std::unique_ptr<RdbBatch>* batch, uint64_t wanted);
  Status FinishFile(RdbBatch* batch);
  Step ScanRecord(RdbBatch* batch);
  bool ReadPrelude(RdbOpcode opcode, RdbSkipper* at, Prelude* prelude);
  bool ReadOther(RdbOpcode opcode, RdbSkipper* at, std::string_view bytes);
  bool ReadAux(RdbSkipper* at, std::string_view bytes);
  bool RefuseModule(RdbSkipper* at, const char* fault);
  bool ReadFunction(RdbSkipper* at, std::string_view bytes);
  bool ReadEntry(uint8_t type, size_t start, const Prelude& prelude, RdbSkipper* at, RdbBatch* batch);
  Step EndOf(const RdbSkipper& at, const RdbBatch& batch, size_t start);
  Status Fault(uint64_t offset, const std::string& reason) const;

  engine::Engine& engine_;
  ByteSource& source_;
  const RdbLoadOptions& options_;
  LoadProgress* const progress_;
  RdbLoadResult* const result_;
  RdbBuilders builders_;
  uint64_t read_offset_ = 0;  // in the file, behind what has been read
  uint64_t crc_ = 0;          // of everything in front of the batch
  uint64_t wanted_ = 0;       // after kShort: bytes that the batch must have from its record on
  uint64_t fault_offset_ = 0;
  std::string fault_;         // after kFailed
  std::string module_;        // whose data cannot be loaded
  Prelude prelude_;           // of the entry to come; as in Redis, other records may stand in between
  int db_ = 0;
};

Status RdbFileLoader::Fault(uint64_t offset, const std::string& reason) const {
  return Status::Corrupt("Internal error in RDB reading offset " + std::to_string(offset) + ": " + reason);
}

Status RdbFileLoader::Run() {
  RETURN_IF_ERROR(ReadHeader());
  Status status = ScanAll();
  builders_.Finish();
  result_->keys_loaded = builders_.keys();
  result_->empty_keys_skipped = builders_.empty_keys();
  // What a builder has found stands in front of what the scanner has met since.
  if (builders_.has_failed()) return Fault(builders_.fault_offset(), builders_.fault());
  return status;
}

Status RdbFileLoader::ReadHeader() {
  char header[kHeaderSize];
  const int64_t count = source_.ReadAt(options_.offset, header, sizeof header);
  if (count < 0) return Status::Io(std::strerror(errno), errno);
  const std::string_view text(header, static_cast<size_t>(count));
  if (!text.starts_with("REDIS")) return Status::Corrupt("Wrong signature trying to load DB from file");
  if (text.size() < kHeaderSize) return Fault(options_.offset + text.size(), "Unexpected EOF reading RDB file");
  const std::string_view digits = text.substr(5);
  int version = 0;
  for (const char c : digits) version = c >= '0' && c <= '9' && version >= 0 ? version * 10 + (c - '0') : INT_MIN / 16;
  if (version < static_cast<int>(kRdbFileVersionMin) || version > static_cast<int>(kRdbVersionMax)) {
    return Status::Unsupported("Can't handle RDB format version " +
                               (version < 0 ? std::string(digits) : std::to_string(version)));
  }
  result_->version = version;
  read_offset_ = options_.offset + kHeaderSize;
  crc_ = Crc64(0, text);
  return Status::Ok();
}

// ---- Batches ----

/// Reads on until the batch is full or the file ends.
Status RdbFileLoader::Fill(RdbBatch* batch) {
  const size_t room = batch->capacity - batch->filled;
  const int64_t count = source_.ReadAt(read_offset_, batch->bytes.get() + batch->filled, room);
  if (count < 0) return Status::Io(std::strerror(errno), errno);
  batch->filled += static_cast<size_t>(count);
  read_offset_ += static_cast<uint64_t>(count);
  if (static_cast<size_t>(count) < room && read_offset_ < source_.size()) {
    return Status::Corrupt("the file has become shorter while it was read");
  }
  return Status::Ok();
}

/// The record at batch->scanned needs `wanted` bytes: sends what comes before it, and makes it the first of a
/// batch that has room.
Status RdbFileLoader::MakeRoom(std::unique_ptr<RdbBatch>* batch, uint64_t wanted) {
  const size_t start = (*batch)->scanned;
  const size_t kept = (*batch)->filled - start;
  const uint64_t on_disk = source_.size() > read_offset_ ? source_.size() - read_offset_ : 0;
  // A length beyond the end is found out here, before anything is allocated for it.
  if (wanted > kept + on_disk) {
    return Fault((*batch)->file_offset + (*batch)->filled + on_disk, "Unexpected EOF reading RDB file");
  }
  if (start == 0) {
    const uint64_t doubled = std::max<uint64_t>(wanted, (*batch)->capacity * uint64_t{2});
    if (wanted > (*batch)->capacity || kept == (*batch)->capacity) {
      builders_.Enlarge(batch->get(), static_cast<size_t>(std::min<uint64_t>(doubled, kept + on_disk)));
    }
    return Fill(batch->get());
  }
  std::unique_ptr<RdbBatch> next =
      builders_.Take(std::max<size_t>(RdbBuilders::kBatchBytes, static_cast<size_t>(wanted)));
  next->file_offset = (*batch)->file_offset + start;
  std::memcpy(next->bytes.get(), (*batch)->bytes.get() + start, kept);
  next->filled = kept;
  crc_ = Crc64(crc_, (*batch)->view().substr(0, start));
  if (progress_ != nullptr) progress_->SetFileOffset(next->file_offset);
  builders_.Send(std::move(*batch));
  *batch = std::move(next);
  return Fill(batch->get());
}

Status RdbFileLoader::ScanAll() {
  std::unique_ptr<RdbBatch> batch = builders_.Take(RdbBuilders::kBatchBytes);
  batch->file_offset = read_offset_;
  RETURN_IF_ERROR(Fill(batch.get()));
  while (!builders_.has_failed()) {
    switch (ScanRecord(batch.get())) {
      case Step::kRecord: break;
      case Step::kShort: RETURN_IF_ERROR(MakeRoom(&batch, wanted_)); break;
      case Step::kFailed: return Fault(fault_offset_, fault_);
      case Step::kEnd: {
        const Status status = FinishFile(batch.get());
        builders_.Send(std::move(batch));
        return status;
      }
    }
  }
  return Status::Ok();
}

/// The end has been read: the checksum is what is left. It lies within the batch.
Status RdbFileLoader::FinishFile(RdbBatch* batch) {
  const bool has_checksum = result_->version >= static_cast<int>(kRdbChecksumVersionMin);
  const size_t end = batch->scanned - (has_checksum ? kChecksumSize : 0);
  result_->end_offset = batch->file_offset + batch->scanned;
  if (progress_ != nullptr) progress_->SetFileOffset(result_->end_offset);
  if (!has_checksum || !options_.verifies_checksum) return Status::Ok();
  const uint64_t stated = LoadLittle64(batch->bytes.get() + end);
  const uint64_t found = Crc64(crc_, batch->view().substr(0, end));
  if (stated == 0 || stated == found) return Status::Ok();
  char text[128];
  std::snprintf(text, sizeof text, "Wrong RDB checksum expected: (%016llx) but got (%016llx)",
                static_cast<unsigned long long>(stated), static_cast<unsigned long long>(found));
  return Fault(batch->file_offset + end, text);
}

// ---- Records ----

/// What a skipper's state means for the record that began at `start`.
RdbFileLoader::Step RdbFileLoader::EndOf(const RdbSkipper& at, const RdbBatch& batch, size_t start) {
  if (at.ok()) return Step::kRecord;
  if (at.is_short()) {
    wanted_ = at.wanted() - start;
    return Step::kShort;
  }
  fault_ = at.fault() + module_;
  fault_offset_ = batch.file_offset + at.offset();
  return Step::kFailed;
}

RdbFileLoader::Step RdbFileLoader::ScanRecord(RdbBatch* batch) {
  const std::string_view bytes = batch->view();
  const size_t start = batch->scanned;
  RdbSkipper at(bytes, start);
  Prelude prelude = prelude_;
  uint8_t head = at.Byte();
  while (at.ok() && ReadPrelude(static_cast<RdbOpcode>(head), &at, &prelude)) head = at.Byte();
  const auto opcode = static_cast<RdbOpcode>(head);
  Step step = Step::kRecord;
  if (!at.ok()) {
    // Reported below.
  } else if (opcode == RdbOpcode::kEnd) {
    if (result_->version >= static_cast<int>(kRdbChecksumVersionMin)) at.Little64();
    step = Step::kEnd;
  } else if (!ReadOther(opcode, &at, bytes)) {
    ReadEntry(head, start, prelude, &at, batch);
    prelude = Prelude();
  }
  const Step end = EndOf(at, *batch, start);
  if (end != Step::kRecord) return end;
  batch->scanned = at.offset();
  prelude_ = prelude;
  return step;
}

/// Reads the arguments of an opcode that may precede an entry; false if it is another.
bool RdbFileLoader::ReadPrelude(RdbOpcode opcode, RdbSkipper* at, Prelude* prelude) {
  switch (opcode) {
    case RdbOpcode::kExpirySeconds:
      prelude->expiry_ms = int64_t{static_cast<int32_t>(at->Little32())} * 1000;
      return true;
    case RdbOpcode::kExpiryMs: prelude->expiry_ms = static_cast<int64_t>(at->Little64()); return true;
    case RdbOpcode::kFrequency: prelude->frequency = at->Byte(); return true;
    case RdbOpcode::kIdle:
      prelude->idle_sec =
          static_cast<int64_t>(std::min<uint64_t>(at->Length(), std::numeric_limits<int64_t>::max()));
      return true;
    default: return false;
  }
}

/// Reads a record that is no entry; false if it is one. Acts only on records that are whole, since the others
/// are read once more.
bool RdbFileLoader::ReadOther(RdbOpcode opcode, RdbSkipper* at, std::string_view bytes) {
  switch (opcode) {
    case RdbOpcode::kSelectDb: {
      const uint64_t db = at->Length();
      if (at->ok() && db >= static_cast<uint64_t>(engine_.database_count())) {
        at->Fail("Data file was created with a server configured to handle more databases");
      } else if (at->ok()) {
        db_ = static_cast<int>(db);
      }
      return true;
    }
    case RdbOpcode::kSlotInfo: at->Length(); [[fallthrough]];
    case RdbOpcode::kResizeDb:
      at->Length();
      at->Length();
      return true;
    case RdbOpcode::kAux: return ReadAux(at, bytes);
    case RdbOpcode::kFunction: return ReadFunction(at, bytes);
    case RdbOpcode::kFunctionPreRelease: at->Fail("Pre-release function format not supported."); return true;
    case RdbOpcode::kModuleAux:
      RefuseModule(at, "The RDB file contains AUX module data I can't load: no matching module");
      return true;
    default: return false;
  }
}

/// A string at `start`, which the skipper has stepped over.
bool TextAt(std::string_view bytes, size_t start, size_t end, std::string* text) {
  RdbReader reader(bytes.substr(start, end - start));
  RdbString found;
  if (!reader.String(&found)) return false;
  text->assign(found.view);
  return true;
}

bool RdbFileLoader::ReadAux(RdbSkipper* at, std::string_view bytes) {
  const size_t name_at = at->offset();
  at->SkipString();
  const size_t value_at = at->offset();
  if (!at->SkipString()) return true;
  std::pair<std::string, std::string> field;
  if (TextAt(bytes, name_at, value_at, &field.first) && TextAt(bytes, value_at, at->offset(), &field.second)) {
    result_->aux.push_back(std::move(field));
  } else {
    at->Fail("Invalid LZF compressed string");
  }
  return true;
}

bool RdbFileLoader::RefuseModule(RdbSkipper* at, const char* fault) {
  const uint64_t id = at->Length();
  if (at->ok()) module_ = " '" + ModuleName(id) + "'";
  return at->Fail(fault);
}

bool RdbFileLoader::ReadFunction(RdbSkipper* at, std::string_view bytes) {
  const size_t start = at->offset();
  if (!at->SkipString()) return true;
  std::string code;
  if (TextAt(bytes, start, at->offset(), &code)) {
    result_->functions.push_back(std::move(code));
  } else {
    at->Fail("Failed loading library, Failed loading library payload");
  }
  return true;
}

bool RdbFileLoader::ReadEntry(uint8_t type, size_t start, const Prelude& prelude, RdbSkipper* at,
                              RdbBatch* batch) {
  const size_t key_at = at->offset();
  std::string_view key;
  if (!at->SkipString(&key)) return false;
  const size_t value_at = at->offset();
  if (type == static_cast<uint8_t>(RdbType::kModule) || type == static_cast<uint8_t>(RdbType::kModule2)) {
    return RefuseModule(at, "The RDB file contains module data I can't load: no matching module type");
  }
  if (!at->SkipValue(type)) return false;
  const std::string_view bytes = batch->view();
  if (key.data() == nullptr) {
    std::string unpacked;
    if (!TextAt(bytes, key_at, value_at, &unpacked)) return at->Fail("Invalid LZF compressed string");
    batch->keys.push_back(std::move(unpacked));
    key = batch->keys.back();
  }
  const bool has_expiry = prelude.expiry_ms != engine::kNoExpiry;
  if (has_expiry && prelude.expiry_ms < options_.now_ms && !options_.keeps_expired) {
    result_->keys_expired++;
    return true;
  }
  const uint16_t slot = KeySlot(key);
  batch->records[builders_.BuilderOf(slot)].push_back(
      {key, bytes.substr(value_at, at->offset() - value_at), batch->file_offset + start, prelude.expiry_ms,
       prelude.idle_sec, db_, prelude.frequency, slot, type});
  return true;
}

}  // namespace

Status LoadRdb(engine::Engine& engine, ByteSource& source, const RdbLoadOptions& options, LoadProgress* progress,
               RdbLoadResult* result) {
  return RdbFileLoader(engine, source, options, progress, result).Run();
}

int LoaderThreads(int shards) {
  constexpr int kThreadsMax = 32;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  return std::min(std::clamp(cores, 2, kThreadsMax), shards);
}

}  // namespace sherd::persistence
