// Snapshots while commands run: random commands on every type are run between the saver's slices (and while a big
// value is frozen), and what the file holds must be what was there at the instant, key by key.
//
// Slices, side buffers and "big" are made tiny, so that a small dataset sees every path. The data lives in the
// databases below kCopyDb; the file is read back into those above, and both sides are compared by digest, expiry
// and (lists and streams, whose bytes tell everything) by their RDB form.
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/crc64.h"
#include "base/random.h"
#include "commands/dataset_digest.h"
#include "commands/test_util.h"
#include "persistence/snapshot.h"
#include "persistence/value_reader.h"
#include "persistence/value_writer.h"
#include "test/files.h"
#include "test/test.h"

namespace sherd {
namespace {

using engine::Entry;
using engine::Handle;
using persistence::RdbOpcode;
using persistence::Snapshot;
using persistence::SnapshotFormat;
using persistence::SnapshotOptions;
using persistence::SnapshotOutcome;
using test::ReadWhole;
using test::TestServer;

constexpr int kDatabases = 3;
constexpr int kCopyDb = 8;  // database n is read back into kCopyDb + n
constexpr int kShards = 4;

std::string TempPath() {
  const char* folder = std::getenv("TMPDIR");
  return std::string(folder == nullptr ? "/tmp" : folder) + "/sherd-snapshot-test-" + std::to_string(getpid());
}

// ---- What there is ----

using Contents = std::map<std::string, std::string>;

/// All keys of the databases from `first` on, with all that can be said of each.
Contents ContentsOf(TestServer& server, int first, uint32_t version) {
  Contents contents;
  for (int shard = 0; shard < kShards; shard++) {
    engine::Keyspace& space = server.engine().keyspace(static_cast<engine::ShardId>(shard));
    for (int db = 0; db < kDatabases; db++) {
      space.db(first + db).table.ForEach([&](const Entry* entry) {
        Digest digest;
        MixEntry(&digest, *entry, 0);
        std::string text = digest.Hex() + " " + std::to_string(entry->expiry_ms());
        // Older versions tell less of a stream, and cut a list's nodes anew.
        const bool is_exact = (entry->type() == engine::Type::kList && version >= 10) ||
                              (entry->type() == engine::Type::kStream && version >= 11);
        if (is_exact) {
          persistence::RdbWriter writer(&text, false);
          persistence::WriteValue(*entry, 12, &writer);
        }
        if (entry->has_field_expiry()) text += " " + std::to_string(engine::NextFieldExpiry(*entry));
        CHECK(contents.emplace(std::to_string(db) + " " + std::string(entry->key()), std::move(text)).second);
        return true;
      });
    }
  }
  return contents;
}

// ---- Reading files ----

struct FileReader {
  TestServer& server;
  std::string bytes;
  uint32_t version = 0;
  uint64_t keys = 0;

  void ReadRdb(bool has_checksum) {
    persistence::RdbReader reader(std::string_view(bytes).substr(0, bytes.size() - 8));
    EXPECT_EQ(reader.Raw(5), std::string_view("REDIS"));
    version = static_cast<uint32_t>(std::stoi(std::string(reader.Raw(4))));
    uint64_t db = 99;
    int64_t expiry_ms = engine::kNoExpiry;
    persistence::RdbString text;
    for (;;) {
      const uint8_t type = reader.Byte();
      ASSERT_TRUE(reader.ok());
      if (type == static_cast<uint8_t>(RdbOpcode::kEnd)) break;
      if (type == static_cast<uint8_t>(RdbOpcode::kAux)) {
        EXPECT_TRUE(reader.String(&text) && reader.String(&text));
      } else if (type == static_cast<uint8_t>(RdbOpcode::kFunction)) {
        EXPECT_TRUE(reader.String(&text));
        EXPECT_EQ(text.view, std::string_view("#!lua name=x"));
      } else if (type == static_cast<uint8_t>(RdbOpcode::kSelectDb)) {
        db = reader.Length();
      } else if (type == static_cast<uint8_t>(RdbOpcode::kResizeDb)) {
        reader.Length();
        reader.Length();
      } else if (type == static_cast<uint8_t>(RdbOpcode::kExpiryMs)) {
        expiry_ms = static_cast<int64_t>(reader.Little64());
      } else if (type == static_cast<uint8_t>(RdbOpcode::kIdle)) {
        reader.Length();
      } else if (type == static_cast<uint8_t>(RdbOpcode::kFrequency)) {
        reader.Byte();
      } else {
        ReadRecord(&reader, type, static_cast<int>(db), expiry_ms);
        expiry_ms = engine::kNoExpiry;
      }
    }
    EXPECT_TRUE(reader.AtEnd());
    const uint64_t crc = LoadLittle64(bytes.data() + bytes.size() - 8);
    EXPECT_EQ(crc, has_checksum ? Crc64(0, std::string_view(bytes).substr(0, bytes.size() - 8)) : 0);
  }

  void ReadRecord(persistence::RdbReader* reader, uint8_t type, int db, int64_t expiry_ms) {
    ASSERT_TRUE(db < kDatabases);
    persistence::RdbString name;
    ASSERT_TRUE(reader->String(&name));
    const std::string key_name(name.view);
    const engine::Key key = server.engine().MakeKey(key_name);
    engine::Keyspace& space = server.engine().keyspace(key.shard);
    EXPECT_MSG(!space.Find(kCopyDb + db, key), "twice: " + key_name);
    persistence::LoadedValue value;
    ASSERT_TRUE(persistence::ReadValue(reader, static_cast<persistence::RdbType>(type), space.heap(),
                                       server.engine().options(), &value));
    persistence::AdoptValue(space, kCopyDb + db, key, &value, expiry_ms);
    keys++;
  }

  void ReplayAof() {
    size_t at = 0;
    std::vector<std::string_view> words;
    const auto number = [&](char kind) {
      CHECK(bytes[at] == kind);
      const size_t end = bytes.find("\r\n", at);
      int64_t value = 0;
      CHECK(ParseInt64(std::string_view(bytes).substr(at + 1, end - at - 1), &value));
      at = end + 2;
      return value;
    };
    while (at < bytes.size()) {
      words.clear();
      for (int64_t count = number('*'); count > 0; count--) {
        const int64_t size = number('$');
        words.push_back(std::string_view(bytes).substr(at, static_cast<size_t>(size)));
        at += static_cast<size_t>(size) + 2;
      }
      if (words[0] == "SELECT") {
        server.session.db = kCopyDb + std::stoi(std::string(words[1]));
      } else if (words[0] != "FUNCTION") {
        const std::string reply = server.RunLine(words);
        EXPECT_MSG(reply[0] != '-', std::string(words[0]) + ": " + reply);
      }
    }
    server.session.db = 0;
  }
};

// ---- Commands ----

class Commands {
 public:
  Commands(TestServer& server, Random& random, bool moves_time)
      : server_(server), random_(random), moves_time_(moves_time) {}

  void RunSome(uint64_t count) {
    for (uint64_t i = 0; i < count; i++) Run();
  }

  void Run() {
    server_.session.db = static_cast<int>(random_.Below(kDatabases));
    switch (random_.Below(8)) {
      case 0: return Strings();
      case 1: return Lists();
      case 2: return Sets();
      case 3: return Hashes();
      case 4: return SortedSets();
      case 5: return Streams();
      case 6: return Keys();
      default: return random_.OneIn(6) ? Databases() : Strings();
    }
  }

 private:
  std::string Name(char type) { return std::string(1, type) + std::to_string(random_.Below(25)); }
  std::string Any() { return Name("slehzx"[random_.Below(6)]); }
  std::string Number() { return std::to_string(random_.Below(40)); }
  std::string Text() {
    if (random_.OneIn(60)) return std::string(100'000 + random_.Below(100'000), static_cast<char>('a' + random_.Below(26)));
    if (random_.OneIn(8)) return std::string(random_.Below(3000), static_cast<char>('a' + random_.Below(26)));
    return random_.OneIn(2) ? Number() : "text" + Number();
  }
  std::string Later() { return std::to_string(server_.now_ms() + 1 + static_cast<int64_t>(random_.Below(5000))); }
  void Do(std::initializer_list<std::string_view> words) { server_.Run(words); }

  void Strings() {
    const std::string key = Name('s');
    switch (random_.Below(11)) {
      case 0: return Do({"SET", key, Text(), "PXAT", Later()});
      case 1: return Do({"APPEND", key, Text()});
      case 2: return Do({"SETRANGE", key, Number(), Text()});
      case 3: return Do({"INCR", key});
      case 4: return Do({"GETDEL", key});
      case 5: return Do({"GETEX", key, "PERSIST"});
      case 6: return Do({"SETBIT", key, Number(), "1"});
      case 7: return Do({"PFADD", "hll", Text()});
      case 8: return Do({"MSET", key, Text(), Name('s'), Text()});
      case 9: return Do({"INCRBYFLOAT", key, "1.5"});
      default: return Do({"SET", key, Text(), "KEEPTTL"});
    }
  }
  void Lists() {
    const std::string key = Name('l');
    switch (random_.Below(9)) {
      case 0: return Do({"LPOP", key, Number()});
      case 1: return Do({"LTRIM", key, "2", "-2"});
      case 2: return Do({"LSET", key, "0", Text()});
      case 3: return Do({"LINSERT", key, "BEFORE", Number(), Text()});
      case 4: return Do({"LMOVE", key, Name('l'), "LEFT", "RIGHT"});
      case 5: return Do({"LREM", key, "0", Number()});
      case 6: return Do({"SORT", key, "ALPHA", "STORE", Name('l')});
      default: return Do({"RPUSH", key, Text(), Number(), Text(), Text()});
    }
  }
  void Sets() {
    const std::string key = Name('e');
    switch (random_.Below(7)) {
      case 0: return Do({"SREM", key, Number()});
      case 1: return Do({"SPOP", key});
      case 2: return Do({"SPOP", key, Number()});
      case 3: return Do({"SMOVE", key, Name('e'), Number()});
      case 4: return Do({"SUNIONSTORE", key, Name('e'), Name('e')});
      default: return Do({"SADD", key, Number(), random_.OneIn(3) ? Text() : Number(), Number()});
    }
  }
  void Hashes() {
    const std::string key = Name('h');
    switch (random_.Below(8)) {
      case 0: return Do({"HDEL", key, Number()});
      case 1: return Do({"HINCRBY", key, Number(), "3"});
      case 2: return with_field_times ? Do({"HPEXPIREAT", key, Later(), "FIELDS", "2", Number(), Number()}) : void();
      case 3: return Do({"HPERSIST", key, "FIELDS", "1", Number()});
      case 4: return Do({"HGETALL", key});
      default: return Do({"HSET", key, Number(), Text(), Number(), Text()});
    }
  }
  void SortedSets() {
    const std::string key = Name('z');
    switch (random_.Below(6)) {
      case 0: return Do({"ZREM", key, Number()});
      case 1: return Do({"ZINCRBY", key, "0.1", Number()});
      case 2: return Do({"ZPOPMIN", key, "2"});
      case 3: return Do({"ZREMRANGEBYRANK", key, "0", "1"});
      default: return Do({"ZADD", key, Number(), Number(), Number(), random_.OneIn(3) ? Text() : Number()});
    }
  }
  void Streams() {
    const std::string key = Name('x');
    switch (random_.Below(9)) {
      case 0: return Do({"XTRIM", key, "MAXLEN", Number()});
      case 1: return Do({"XGROUP", "CREATE", key, "g" + Number(), "0", "MKSTREAM"});
      case 2: return Do({"XREADGROUP", "GROUP", "g" + Number(), "c" + Number(), "COUNT", "3", "STREAMS", key, ">"});
      case 3: return Do({"XAUTOCLAIM", key, "g" + Number(), "c" + Number(), "0", "0"});
      case 4: return Do({"XGROUP", "DESTROY", key, "g" + Number()});
      case 5: return Do({"XACK", key, "g" + Number(), std::to_string(random_.Below(50)) + "-1"});
      case 6: return Do({"XDEL", key, std::to_string(random_.Below(50)) + "-1"});
      default: return Do({"XADD", key, std::to_string(++stream_ms_ % 100000) + "-1", "f", Text(), Number(), Text()});
    }
  }
  void Keys() {
    const std::string key = Any();
    switch (random_.Below(10)) {
      case 0: return Do({"DEL", key, Any()});
      case 1: return Do({"UNLINK", key});
      case 2: return Do({"PEXPIREAT", key, Later()});
      case 3: return Do({"PERSIST", key});
      case 4: return Do({"RENAME", key, Name(key[0])});
      case 5: return Do({"RENAMENX", key, Name(key[0])});
      case 6: return Do({"COPY", key, Name(key[0]), "DB", std::to_string(random_.Below(kDatabases)), "REPLACE"});
      case 7: return Do({"MOVE", key, std::to_string(random_.Below(kDatabases))});
      case 8: return moves_time_ ? server_.AdvanceMs(static_cast<int64_t>(random_.Below(40))) : void();
      default: return Do({"TOUCH", key});
    }
  }
  void Databases() {
    switch (random_.Below(8)) {
      case 0: return random_.OneIn(6) ? Do({"FLUSHALL", random_.OneIn(2) ? "ASYNC" : "SYNC"}) : void();
      case 1: return random_.OneIn(3) ? Do({"FLUSHDB", random_.OneIn(2) ? "ASYNC" : "SYNC"}) : void();
      default:
        return Do({"SWAPDB", std::to_string(random_.Below(kDatabases)), std::to_string(random_.Below(kDatabases))});
    }
  }

 public:
  bool with_field_times = true;

 private:
  TestServer& server_;
  Random& random_;
  const bool moves_time_;
  uint64_t stream_ms_ = 0;
};

// ---- The saver's world: every time it lets a lease go, commands run ----

class Meddler final : public engine::SnapshotAccess {
 public:
  void Enter() override {}
  void Leave() override {}
  void Acquire(engine::ShardId) override {}
  void Release(engine::ShardId shard) override {
    if (on_release) on_release();
    engine::Keyspace& space = engine->keyspace(shard);
    if (space.has_deferred_frees()) space.FreeDeferred(50);
  }
  void WithAll(const std::function<void()>& work) override {
    work();
    if (on_instant) on_instant();
  }
  void LetGo() override {}

  engine::Engine* engine = nullptr;
  std::function<void()> on_release;
  std::function<void()> on_instant;
};

SnapshotOptions TinyOptions(Random& random) {
  SnapshotOptions options;
  options.path = TempPath();
  options.version = static_cast<uint32_t>(9 + random.Below(4));
  options.compresses = random.OneIn(2);
  options.has_checksum = !random.OneIn(4);
  options.aux = {{"redis-ver", "7.2.0"}, {"ctime", "1700000000"}};
  options.gives_way = random.OneIn(2);
  options.slice_bytes = 1 + random.Below(300);
  options.side_bytes = 1 + random.Below(2000);
  options.big_bytes = random.OneIn(3) ? 64 * 1024 : 200 + random.Below(1500);
  return options;
}

void Report(const Contents& expected, const Contents& found) {
  for (const auto& [key, text] : expected) {
    const auto at = found.find(key);
    EXPECT_MSG(at != found.end(), "missing: " + key);
    if (at != found.end()) EXPECT_MSG(at->second == text, "differs: " + key + "\n" + text.substr(0, 300) + "\n" + at->second.substr(0, 300));
  }
  for (const auto& [key, text] : found) EXPECT_MSG(expected.count(key) == 1, "too many: " + key);
}

void EmptyCopies(TestServer& server) {
  for (int db = 0; db < kDatabases; db++) {
    server.session.db = kCopyDb + db;
    server.Run({"FLUSHDB"});
  }
  server.session.db = 0;
}

void RunSnapshots(SnapshotFormat format, int rounds) {
  const bool is_aof = format == SnapshotFormat::kAof;
  Random random(test::Seed());
  TestServer server(kShards);
  server.engine().options().list_compress_depth.Set(1);
  server.engine().options().list_max_listpack_size.Set(8);
  server.engine().options().set_max_listpack_entries.Set(8);
  server.engine().options().hash_max_listpack_entries.Set(8);
  server.engine().options().zset_max_listpack_entries.Set(8);
  server.engine().options().stream_node_max_entries.Set(4);
  server.engine().function_libraries = {"#!lua name=x"};
  Commands commands(server, random, !is_aof);
  for (int round = 0; round < rounds; round++) {
    SnapshotOptions options = TinyOptions(random);
    options.format = format;
    server.engine().options().maxmemory_policy.Set(static_cast<int64_t>(random.Below(8)));
    commands.with_field_times = is_aof || random.OneIn(2);
    commands.RunSome(random.Below(400));
    Meddler meddler;
    meddler.engine = &server.engine();
    Contents expected;
    const bool is_cancelled = random.OneIn(4);
    const uint64_t busy = random.Below(12);
    Snapshot snapshot(server.engine(), &meddler, options);
    meddler.on_instant = [&] { expected = ContentsOf(server, 0, is_aof ? 0 : options.version); };
    meddler.on_release = [&] {
      commands.RunSome(random.Below(busy + 1));
      if (is_cancelled && random.OneIn(20)) snapshot.Cancel();
    };
    const SnapshotOutcome outcome = snapshot.Run({});
    server.Validate();
    EXPECT_EQ(outcome.error, 0);
    EXPECT_EQ(server.engine().gate.load(), 0u);
    if (outcome.is_cancelled) continue;
    EXPECT_EQ(outcome.keys, expected.size());
    EXPECT_EQ(snapshot.keys_total(), expected.size());
    FileReader reader{server, ReadWhole(options.path)};
    EXPECT_EQ(outcome.bytes, reader.bytes.size());
    if (is_aof) {
      reader.ReplayAof();
    } else {
      reader.ReadRdb(options.has_checksum);
      EXPECT_EQ(outcome.version, reader.version);
      EXPECT_EQ(reader.keys, expected.size());
    }
    Report(expected, ContentsOf(server, kCopyDb, is_aof ? 0 : options.version));
    EmptyCopies(server);
  }
  unlink(TempPath().c_str());
}

TEST(snapshot_is_of_one_instant_whatever_happens_meanwhile) { RunSnapshots(SnapshotFormat::kRdb, 150); }

TEST(snapshot_as_commands_makes_the_same_data) { RunSnapshots(SnapshotFormat::kAof, 60); }

TEST(snapshot_epochs_that_come_round_again_hide_nothing) {
  Random random(test::Seed());
  TestServer server(2);
  for (int i = 0; i < 50; i++) server.Run({"SET", "key" + std::to_string(i), "old"});
  SnapshotOptions options = TinyOptions(random);
  options.slice_bytes = 1;
  for (int round = 0; round < 700; round++) {
    Meddler meddler;
    meddler.engine = &server.engine();
    Snapshot snapshot(server.engine(), &meddler, options);
    const bool is_whole = random.OneIn(150);
    const uint64_t cancel_at = random.Below(10);
    uint64_t releases = 0;
    if (!is_whole) meddler.on_release = [&] { releases++ == cancel_at ? snapshot.Cancel() : void(); };
    const SnapshotOutcome outcome = snapshot.Run({});
    EXPECT_EQ(outcome.is_cancelled, !is_whole);
    if (is_whole) EXPECT_EQ(outcome.keys, 50u);
    server.Run({"SET", "key" + std::to_string(random.Below(10)), "new"});
  }
  Meddler meddler;
  meddler.engine = &server.engine();
  Snapshot snapshot(server.engine(), &meddler, options);
  EXPECT_EQ(snapshot.Run({}).keys, 50u);
  unlink(TempPath().c_str());
}

TEST(snapshot_reports_what_the_disk_says) {
  Random random(test::Seed());
  TestServer server(2);
  for (int i = 0; i < 500; i++) server.Run({"SET", "key" + std::to_string(i), std::string(1000, 'x')});
  server.Run({"RPUSH", "list", std::string(300'000, 'x')});
  SnapshotOptions options = TinyOptions(random);
  Meddler meddler;
  meddler.engine = &server.engine();
  options.path = "/dev/full";
  {
    Snapshot snapshot(server.engine(), &meddler, options);
    EXPECT_EQ(snapshot.Run({}).error, ENOSPC);
  }
  options.path = "/nowhere/file";
  {
    Snapshot snapshot(server.engine(), &meddler, options);
    EXPECT_EQ(snapshot.Run({}).error, ENOENT);
  }
  options.path = TempPath();
  Snapshot snapshot(server.engine(), &meddler, options);
  const SnapshotOutcome outcome = snapshot.Run({});
  EXPECT_EQ(outcome.error, 0);
  EXPECT_EQ(outcome.keys, 501u);
  unlink(options.path.c_str());
}

}  // namespace
}  // namespace sherd
