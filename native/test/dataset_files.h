// What tests of loading share: RDB files written by hand, a dataset with all types, and a look at what was loaded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/crc64.h"
#include "commands/dataset_digest.h"
#include "commands/test_util.h"
#include "persistence/rdb_loader.h"
#include "persistence/rdb_writer.h"
#include "persistence/value_writer.h"

namespace sherd::test {

/// A length prefix in its shortest form, and a string.
inline std::string RdbLength(uint64_t value) {
  std::string bytes;
  persistence::RdbWriter(&bytes, false).Length(value);
  return bytes;
}
inline std::string RdbText(std::string_view text) { return RdbLength(text.size()) + std::string(text); }
inline std::string RdbEntry(uint8_t type, std::string_view key, std::string_view value) {
  return std::string(1, static_cast<char>(type)) + RdbText(key) + std::string(value);
}
inline std::string Little(uint64_t value, size_t size) {
  char bytes[8];
  StoreLittle64(bytes, value);
  return {bytes, size};
}
/// Puts the checksum behind a file that ends with 0xFF, if its version has one.
inline std::string Sealed(std::string body, int version) {
  return version < 5 ? body : body + Little(Crc64(0, body), 8);
}
inline std::string RdbFile(int version, const std::vector<std::string>& records) {
  const std::string digits = std::to_string(version);
  std::string body = "REDIS" + std::string(4 - digits.size(), '0') + digits;
  for (const std::string& record : records) body += record;
  return Sealed(body + "\xff", version);
}

/// One hash of everything that the engine holds.
inline std::string DigestOf(TestServer& server) {
  return DatasetDigest(server.engine(), server.now_ms()).Hex();
}

/// The dataset as an RDB file, as plainly as can be.
inline std::string SaveAll(TestServer& server, int version, bool compress) {
  std::vector<std::string> records;
  for (int db = 0; db < server.engine().database_count(); db++) {
    std::string record = "\xfe" + RdbLength(static_cast<uint64_t>(db));
    for (int shard = 0; shard < server.engine().shard_count(); shard++) {
      const auto id = static_cast<engine::ShardId>(shard);
      server.engine().keyspace(id).db(db).table.ForEach([&](const engine::Entry* entry) {
        if (entry->has_expiry()) record += "\xfc" + Little(static_cast<uint64_t>(entry->expiry_ms()), 8);
        std::string value;
        persistence::RdbWriter writer(&value, compress);
        persistence::WriteValue(*entry, persistence::WriterVersion(*entry, static_cast<uint32_t>(version)), &writer);
        // The type byte stands in front of the key, the value behind it.
        std::string key;
        persistence::RdbWriter(&key, compress).String(entry->key());
        record += value.substr(0, 1) + key + value.substr(1);
        return true;
      });
    }
    if (record.size() > 2) records.push_back(std::move(record));
  }
  return RdbFile(version, records);
}

/// A few keys of each type, with expiries, in two databases; `count` also makes collections that large.
inline void FillAllTypes(TestServer& server, int count) {
  const auto run = [&](std::vector<std::string> words) {
    const std::vector<std::string_view> views(words.begin(), words.end());
    const std::string reply = server.RunLine(views);
    CHECK_MSG(reply[0] != '-', reply.c_str());
  };
  for (int i = 0; i < count; i++) {
    const std::string n = std::to_string(i);
    run({"SET", "string:" + n, i % 3 == 0 ? n : std::string(static_cast<size_t>(i % 700), 'x') + n});
    if (i % 5 == 0) run({"PEXPIREAT", "string:" + n, "4102444800123"});
    run({"RPUSH", "list", "element " + n, n});
    run({"SADD", "set", "member " + n});
    run({"SADD", "integers", n});
    run({"HSET", "hash", "field " + n, "value " + n});
    run({"ZADD", "zset", std::to_string(i) + ".5", "member " + n});
    run({"XADD", "stream", std::to_string(i + 1) + "-1", "name", n});
    if (i < 8) {
      run({"HSET", "small hash", "f" + n, n});
      run({"SADD", "small set", "m" + n});
      run({"ZADD", "small zset", n, "m" + n});
      run({"RPUSH", "small list", n});
      run({"SET", n, "key that is a number"});
    }
  }
  run({"XGROUP", "CREATE", "stream", "group", "0"});
  run({"XREADGROUP", "GROUP", "group", "alice", "COUNT", "3", "STREAMS", "stream", ">"});
  run({"SELECT", "3"});
  run({"SET", "other", "database"});
  run({"SELECT", "0"});
}

}  // namespace sherd::test
