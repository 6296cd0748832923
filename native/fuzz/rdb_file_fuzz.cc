// Fuzz targets of loading: whole files, whose outer forms are mostly right so that what is within gets read.
//
// rdb_file  records of every type, changed as restore_fuzz changes them, with keys, expiries and opcodes around
//           them, under a right checksum: refused, or a sound dataset with as many keys as the loader says
// aof_file  commands, transactions, annotations and checksum lines with changed bytes: refused, or what the
//           loader calls valid loads once more, by itself, to the same dataset
//
// Each run leaves the engine empty and every byte given back.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/random.h"
#include "commands/dataset_digest.h"
#include "commands/registry.h"
#include "fuzz/engine_rig.h"
#include "fuzz/fuzz.h"
#include "fuzz/payload_parts.h"
#include "fuzz/payload_samples.h"
#include "persistence/aof_loader.h"
#include "persistence/rdb_loader.h"
#include "persistence/rdb_writer.h"

namespace sherd::fuzz {

namespace {

using persistence::MemorySource;
using persistence::RdbWriter;

// What a load may hold beside its input: batches, windows, and what LZF unpacks to.
constexpr size_t kInputMax = 64 * 1024;

uint64_t SeedOf(const uint8_t* data, size_t size) {
  return Crc64(0, {reinterpret_cast<const char*>(data), size});
}

size_t KeyCount(engine::Engine& engine) {
  size_t keys = 0;
  for (int shard = 0; shard < engine.shard_count(); shard++) {
    for (int db = 0; db < engine.database_count(); db++) {
      keys += engine.keyspace(static_cast<engine::ShardId>(shard)).db(db).table.size();
    }
  }
  return keys;
}

// ---- RDB ----

void WriteOpcode(Random& random, RdbWriter* writer) {
  switch (random.Below(9)) {
    case 0: writer->Byte(0xFE), writer->Length(random.Below(18)); break;
    case 1: writer->Byte(0xFB), writer->Length(random.Next()), writer->Length(random.Below(9)); break;
    case 2: writer->Byte(0xFA), writer->String("name"), writer->String("value"); break;
    case 3: writer->Byte(0xFC), writer->Little64(1'700'000'000'000 + random.Below(2'000'000) - 1'000'000); break;
    case 4: writer->Byte(0xFC), writer->Little64(random.Next()); break;
    case 5: writer->Byte(0xF8), writer->Length(random.Next() >> random.Below(64)); break;
    case 6: writer->Byte(0xF9), writer->Byte(static_cast<uint8_t>(random.Below(256))); break;
    case 7: writer->Byte(0xF4), writer->Length(1), writer->Length(2), writer->Length(3); break;
    default: writer->Byte(0xF5), writer->String("#!lua name=x\n"); break;
  }
}

std::string MakeRdbFile(Random& random) {
  std::string file = "REDIS00" + std::string(random.Below(2) == 0 ? "09" : "12");
  RdbWriter writer(&file, random.Below(2) == 0);
  for (uint64_t count = random.Below(6); count > 0; count--) {
    for (uint64_t opcodes = random.Below(3); opcodes > 0; opcodes--) WriteOpcode(random, &writer);
    ValueParts value = SplitValue(PayloadSamples()[random.Below(PayloadSamples().size())].body);
    for (uint64_t changes = random.Below(3); changes > 0; changes--) MutateValue(random, &value);
    const std::string body = JoinValue(&random, value);
    if (body.empty()) continue;
    file += body[0];
    writer.String(random.Below(3) == 0 ? std::to_string(random.Below(50)) : "key:" + std::to_string(random.Below(100)));
    file.append(body, 1);
  }
  for (uint64_t changes = random.Below(4) == 0 ? random.Below(4) : 0; changes > 0; changes--) {
    file[random.Below(file.size())] = static_cast<char>(random.Below(256));
  }
  file += '\xff';
  writer.Little64(Crc64(0, file));
  return file;
}

void CheckRdb(test::ServerRig& rig, std::string_view file, bool keeps_expired) {
  const ExactCopy copy(file);
  MemorySource source(copy.view());
  persistence::RdbLoadOptions options;
  options.now_ms = kStartUs / 1000;
  options.keeps_expired = keeps_expired;
  persistence::RdbLoadResult result;
  const Status status = LoadRdb(rig.engine(), source, options, nullptr, &result);
  if (!status.ok()) return;
  CHECK(result.keys_loaded == KeyCount(rig.engine()));
  CHECK(result.end_offset <= file.size());
}

}  // namespace

FUZZ_TARGET(rdb_file) {
  if (size < 2 || size > kInputMax) return;
  TheClock().SetWallUs(kStartUs);
  test::ServerRig& rig = Rig();
  const size_t used_before = rig.UsedBytes();
  Random random(SeedOf(data, size));
  const bool keeps_expired = random.Below(2) == 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  // The input by itself, or as a seed for a file.
  if (data[0] % 4 != 0) {
    CheckRdb(rig, MakeRdbFile(random), keeps_expired);
  } else {
    std::string file = "REDIS0011" + std::string(input) + '\xff';
    CheckRdb(rig, file + std::string(8, '\0'), keeps_expired);
  }
  CheckNothingIsLeft(rig, used_before);
}
FUZZ_SEEDS(rdb_file, "1", "12345", "2abc", "@\x01\x01k\x02\x01" "a\x01" "b", "@\xfa\x01n\x01v\xfe\x01\x0e\x01k\x01\x05hello",
           "@\xfc" "12345678\x04\x02kk\x01\x01" "f\xc3\x05\x20" "abcde");

// ---- AOF ----

namespace {

std::string Words(const std::vector<std::string>& words) { return test::Line(words); }

std::string MakeCommand(Random& random) {
  const std::string key = "k" + std::to_string(random.Below(4));
  const std::string number = std::to_string(random.Below(100));
  switch (random.Below(12)) {
    case 0: return Words({"SET", key, std::string(random.Below(60), 'x')});
    case 1: return Words({"SET", key, number, "PXAT", "16999999" + std::to_string(10000 + random.Below(80000))});
    case 2: return Words({"RPUSH", key, number, "b"});
    case 3: return Words({"HSET", key, "f", number});
    case 4: return Words({"ZADD", key, number, "m" + number});
    case 5: return Words({"SADD", key, number});
    case 6: return Words({"XADD", key, std::to_string(random.Below(1000)) + "-1", "f", "v"});
    case 7: return Words({"SELECT", std::to_string(random.Below(3))});
    case 8: return Words({"DEL", key});
    case 9: return Words({"INCRBY", key, number});
    case 10: return "#TS:" + number + "\r\n";
    default: return Words({"PEXPIREAT", key, "1699999900000"});
  }
}

void SealAof(std::string* file, uint64_t* crc, size_t* summed) {
  char text[32];
  *crc = Crc64(*crc, std::string_view(*file).substr(*summed));
  std::snprintf(text, sizeof text, "#SHERD:%016zx:", file->size());
  *crc = Crc64(*crc, text);
  *file += text;
  std::snprintf(text, sizeof text, "%016llx\r\n", static_cast<unsigned long long>(*crc));
  *crc = Crc64(*crc, text);
  *file += text;
  *summed = file->size();
}

std::string MakeAofFile(Random& random) {
  std::string file;
  uint64_t crc = 0;
  size_t summed = 0;
  const bool has_lines = random.Below(2) == 0;
  for (uint64_t units = random.Below(12); units > 0; units--) {
    if (random.Below(4) == 0) {
      file += Words({"MULTI"});
      for (uint64_t count = random.Below(4); count > 0; count--) file += MakeCommand(random);
      file += Words({"EXEC"});
    } else {
      file += MakeCommand(random);
    }
    if (has_lines && random.Below(3) == 0) SealAof(&file, &crc, &summed);
  }
  for (uint64_t changes = random.Below(3); changes > 0 && !file.empty(); changes--) {
    const size_t at = random.Below(file.size());
    switch (random.Below(4)) {
      case 0: file[at] = static_cast<char>(random.Below(256)); break;
      case 1: file[at] = "0123456789\r\n$*#"[random.Below(15)]; break;
      case 2: file.erase(at, 1 + random.Below(9)); break;
      default: file.resize(at); break;
    }
  }
  return file;
}

/// Loads into an engine that is empty; true if it was not refused.
bool LoadFile(test::ServerRig& rig, std::string_view file, bool verifies, bool may_be_torn,
              persistence::AofLoadResult* result) {
  const ExactCopy copy(file);
  MemorySource source(copy.view());
  persistence::AofLoadOptions options;
  options.verifies_checksums = verifies;
  options.may_be_torn = may_be_torn;
  rig.engine().is_loading = true;
  const Status status = LoadAof(rig.engine(), Handlers(), source, options, nullptr, result);
  rig.engine().is_loading = false;
  return status.ok();
}

}  // namespace

FUZZ_TARGET(aof_file) {
  if (size < 2 || size > kInputMax) return;
  TheClock().SetWallUs(kStartUs);
  test::ServerRig& rig = Rig();
  const size_t used_before = rig.UsedBytes();
  Random random(SeedOf(data, size));
  const bool verifies = random.Below(2) == 0;
  std::string file = MakeAofFile(random);
  if (data[0] % 4 == 0) file.assign(reinterpret_cast<const char*>(data) + 1, size - 1);
  persistence::AofLoadResult result;
  const bool is_loaded = LoadFile(rig, file, verifies, true, &result);
  const Digest digest = DatasetDigest(rig.engine(), 0);
  CheckNothingIsLeft(rig, used_before);
  if (!is_loaded) return;
  CHECK(result.valid_bytes <= file.size() && result.covered_bytes <= result.valid_bytes + file.size());
  persistence::AofLoadResult again;
  const std::string_view valid = std::string_view(file).substr(0, result.valid_bytes);
  CHECK_MSG(LoadFile(rig, valid, verifies, false, &again), "what was valid is refused");
  CHECK(again.valid_bytes == result.valid_bytes && again.crc == result.crc);
  const Digest same = DatasetDigest(rig.engine(), 0);
  CHECK(digest.Hex() == same.Hex());
  CheckNothingIsLeft(rig, used_before);
}
FUZZ_SEEDS(aof_file, "1", "12345", "2abc", "@*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
           "@*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nEXEC\r\n", "@#TS:1\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n");

}  // namespace sherd::fuzz
