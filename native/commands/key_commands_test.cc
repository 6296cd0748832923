// Key commands: replies, events and effects as redis-server gave them, and a random walk against a
// model.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "commands/test_util.h"
#include "engine/options.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;

using Lines = std::vector<std::string>;
constexpr const char* kNoSuchKey = "ERR no such key";
constexpr const char* kSame = "ERR source and destination objects are the same";
constexpr const char* kDbRange = "ERR DB index is out of range";
constexpr const char* kIntRange =
    "ERR value is out of range, value must between -2147483648 and 2147483647";

TEST(del_and_exists_count_arguments) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    server.Run({"MSET", "a", "1", "b", "2", "c", "3"});
    EXPECT_EQ(server.Run({"EXISTS", "a", "a", "b", "x"}), Integer(3));
    EXPECT_EQ(server.Run({"DEL", "a", "a", "x"}), Integer(1));
    EXPECT_EQ(server.last_dirty(), 1);
    EXPECT_EQ(server.Run({"UNLINK", "a", "b", "c"}), Integer(2));
    EXPECT_EQ(server.Run({"DBSIZE"}), Integer(0));
    server.Validate();
  }
}

TEST(del_tells_of_each_key) {
  TestServer server(8);
  server.Run({"MSET", "a", "1", "b", "2"});
  server.Listen();
  server.Run({"DEL", "a", "x", "b"});
  EXPECT_TRUE(server.TakeEvents() == (Lines{"del a", "del b"}));
  EXPECT_TRUE(server.TakeEffects() == Lines{"DEL a x b"});
  server.Run({"UNLINK", "a"});
  EXPECT_TRUE(server.TakeEffects().empty());
}

TEST(del_of_an_expired_key_counts_nothing) {
  TestServer server;
  server.Run({"SET", "k", "v", "PX", "1"});
  server.AdvanceMs(2);
  server.Listen();
  EXPECT_EQ(server.Run({"DEL", "k"}), Integer(0));
  EXPECT_TRUE(server.TakeEvents() == Lines{"expired k"});
  EXPECT_TRUE(server.TakeEffects() == Lines{"DEL k"});
}

TEST(type_and_touch) {
  TestServer server;
  server.Run({"SET", "k", "v"});
  EXPECT_EQ(server.Run({"TYPE", "k"}), "+string\r\n");
  EXPECT_EQ(server.Run({"TYPE", "nokey"}), "+none\r\n");
  server.Run({"GET", "k"});  // sets the clock, which a timer does for new keys
  server.AdvanceMs(5000);
  EXPECT_EQ(server.Run({"OBJECT", "IDLETIME", "k"}), Integer(5));
  EXPECT_EQ(server.Run({"TYPE", "k"}), "+string\r\n");
  EXPECT_EQ(server.Run({"EXISTS", "k"}), Integer(1));
  EXPECT_EQ(server.Run({"OBJECT", "IDLETIME", "k"}), Integer(5));
  server.session.no_touch = true;
  EXPECT_EQ(server.Run({"GET", "k"}), Bulk("v"));
  EXPECT_EQ(server.Run({"OBJECT", "IDLETIME", "k"}), Integer(5));
  EXPECT_EQ(server.Run({"TOUCH", "k", "nokey", "k"}), Integer(2));
  EXPECT_EQ(server.Run({"OBJECT", "IDLETIME", "k"}), Integer(0));
}

TEST(rename_moves_value_and_expiry) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    const std::string large(5000, 'x');
    for (const std::string& value : {std::string("12"), std::string("short"), large}) {
      server.Run({"SET", "a", value, "EX", "100"});
      server.Run({"SET", "b", large});
      const int64_t at_ms = server.expiry_ms("a");
      EXPECT_EQ(server.Run({"RENAME", "a", "b"}), "+OK\r\n");
      EXPECT_EQ(server.Run({"GET", "b"}), Bulk(value));
      EXPECT_EQ(server.expiry_ms("b"), at_ms);
      EXPECT_EQ(server.Run({"EXISTS", "a"}), Integer(0));
    }
    EXPECT_EQ(server.Run({"RENAME", "b", "b"}), "+OK\r\n");
    EXPECT_EQ(server.last_dirty(), 0);
    EXPECT_EQ(server.Run({"RENAMENX", "b", "b"}), Integer(0));
    EXPECT_EQ(server.Run({"RENAMENX", "b", "c"}), Integer(1));
    server.Run({"SET", "d", "v"});
    EXPECT_EQ(server.Run({"RENAMENX", "c", "d"}), Integer(0));
    EXPECT_EQ(server.Run({"RENAME", "nokey", "nokey"}), Error(kNoSuchKey));
    EXPECT_EQ(server.Run({"RENAMENX", "nokey", "c"}), Error(kNoSuchKey));
    server.Validate();
  }
}

TEST(rename_copy_and_move_tell_in_redis_order) {
  TestServer server(8);
  server.Run({"SET", "a", "1"});
  server.Run({"SET", "b", "2", "PX", "1"});
  server.AdvanceMs(2);
  server.Listen();
  server.Run({"RENAME", "a", "b"});
  EXPECT_TRUE(server.TakeEvents() == (Lines{"expired b", "new b", "rename_from a", "rename_to b"}));
  EXPECT_TRUE(server.TakeEffects() == (Lines{"DEL b", "RENAME a b"}));
  server.Run({"COPY", "b", "c", "DB", "3"});
  EXPECT_TRUE(server.TakeEvents() == (Lines{"3: new c", "3: copy_to c"}));
  server.Run({"COPY", "b", "c"});
  server.TakeEvents();
  server.Run({"COPY", "b", "c", "REPLACE"});
  EXPECT_TRUE(server.TakeEvents() == (Lines{"new c", "copy_to c"}));
  server.Run({"MOVE", "c", "4"});
  EXPECT_TRUE(server.TakeEvents() == (Lines{"4: new c", "move_from c", "4: move_to c"}));
}

TEST(copy_checks_its_options_in_order) {
  TestServer server(8);
  server.Run({"SET", "j", "v", "EX", "100"});
  EXPECT_EQ(server.Run({"COPY", "nokey", "k"}), Integer(0));
  EXPECT_EQ(server.Run({"COPY", "nokey", "nokey"}), Error(kSame));
  EXPECT_EQ(server.Run({"COPY", "j", "j", "DB", "0"}), Error(kSame));
  EXPECT_EQ(server.Run({"COPY", "j", "j", "DB", "1"}), Integer(1));
  EXPECT_EQ(server.Run({"COPY", "j", "k", "DB"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"COPY", "j", "k", "FOO", "DB", "99"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"COPY", "j", "k", "DB", "99", "FOO"}), Error(kDbRange));
  EXPECT_EQ(server.Run({"COPY", "j", "k", "DB", "-1"}), Error(kDbRange));
  EXPECT_EQ(server.Run({"COPY", "j", "k", "DB", "9999999999"}), Error(kIntRange));
  EXPECT_EQ(server.Run({"COPY", "j", "k", "DB", "x"}),
            Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(server.Run({"COPY", "j", "k"}), Integer(1));
  EXPECT_EQ(server.expiry_ms("k"), server.expiry_ms("j"));
  EXPECT_EQ(server.Run({"COPY", "j", "k"}), Integer(0));
  EXPECT_EQ(server.Run({"COPY", "j", "k", "replace", "REPLACE", "db", "1", "DB", "0"}), Integer(1));
}

TEST(copy_keeps_the_encoding_and_shares_nothing) {
  TestServer server(8);
  server.Run({"SET", "a", "x"});
  server.Run({"APPEND", "a", "y"});
  server.Run({"COPY", "a", "b"});
  EXPECT_EQ(server.encoding("b"), "raw");
  server.Run({"APPEND", "b", std::string(3000, 'z')});
  server.Run({"COPY", "b", "c"});
  server.Run({"SETRANGE", "c", "0", "Q"});
  EXPECT_EQ(server.Run({"GETRANGE", "b", "0", "1"}), Bulk("xy"));
  EXPECT_EQ(server.Run({"GETRANGE", "c", "0", "1"}), Bulk("Qy"));
}

TEST(move_checks_the_database_first) {
  TestServer server(8);
  server.Run({"SET", "j", "v", "EX", "100"});
  EXPECT_EQ(server.Run({"MOVE", "nokey", "99"}), Error(kDbRange));
  EXPECT_EQ(server.Run({"MOVE", "nokey", "0"}), Error(kSame));
  EXPECT_EQ(server.Run({"MOVE", "j", "2147483648"}), Error(kIntRange));
  EXPECT_EQ(server.Run({"MOVE", "nokey", "3"}), Integer(0));
  const int64_t at_ms = server.expiry_ms("j");
  EXPECT_EQ(server.Run({"MOVE", "j", "3"}), Integer(1));
  server.session.db = 3;
  EXPECT_EQ(server.expiry_ms("j"), at_ms);
  server.session.db = 0;
  server.Run({"SET", "j", "w"});
  EXPECT_EQ(server.Run({"MOVE", "j", "3"}), Integer(0));
}

TEST(object_speaks_of_encoding_references_and_clocks) {
  TestServer server;
  server.Run({"SET", "n", "9999"});
  server.Run({"SET", "big", "10000"});
  server.Run({"SET", "s", "text"});
  EXPECT_EQ(server.Run({"OBJECT", "ENCODING", "n"}), Bulk("int"));
  EXPECT_EQ(server.Run({"OBJECT", "encoding", "s"}), Bulk("embstr"));
  EXPECT_EQ(server.Run({"OBJECT", "ENCODING", "nokey"}), "$-1\r\n");
  EXPECT_EQ(server.Run({"OBJECT", "REFCOUNT", "n"}), Integer(2147483647));
  EXPECT_EQ(server.Run({"OBJECT", "REFCOUNT", "big"}), Integer(1));
  EXPECT_EQ(server.Run({"OBJECT", "REFCOUNT", "s"}), Integer(1));
  engine::Options& options = server.engine().options();
  options.maxmemory_policy.Set(engine::kAllKeysLru);
  EXPECT_EQ(server.Run({"OBJECT", "REFCOUNT", "n"}), Integer(2147483647));
  options.maxmemory.Set(1 << 30);
  EXPECT_EQ(server.Run({"OBJECT", "REFCOUNT", "n"}), Integer(1));
  EXPECT_EQ(
      server.Run({"OBJECT", "FREQ", "n"}),
      Error("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please "
            "note that when switching between policies at runtime LRU and LFU data will take "
            "some time to adjust."));
  options.maxmemory_policy.Set(engine::kVolatileLfu);
  EXPECT_EQ(server.Run({"OBJECT", "FREQ", "n"}).substr(0, 1), ":");
  EXPECT_EQ(server.Run({"OBJECT", "IDLETIME", "nokey"}), "$-1\r\n");
  EXPECT_EQ(
      server.Run({"OBJECT", "IDLETIME", "n"}),
      Error("ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that "
            "when switching between policies at runtime LRU and LFU data will take some time "
            "to adjust."));
}

TEST(object_counts_hits_but_tells_of_no_miss) {
  TestServer server;
  server.Listen();
  server.Run({"OBJECT", "ENCODING", "nokey"});
  EXPECT_EQ(server.counters().keyspace_misses.Get(), 1u);
  EXPECT_TRUE(server.TakeEvents().empty());
  server.Run({"TTL", "nokey"});
  EXPECT_TRUE(server.TakeEvents() == Lines{"keymiss nokey"});
}

// ---- Random walk ----

struct ModelKey {
  std::string value;
  int64_t at_ms = -1;
};
using ModelDatabase = std::map<std::string, ModelKey>;

/// The same commands on maps. Databases 0 to 2 only.
class Model {
 public:
  void Purge(int64_t now_ms) {
    for (ModelDatabase& db : dbs) {
      std::erase_if(db, [&](const auto& item) {
        return item.second.at_ms >= 0 && item.second.at_ms < now_ms;
      });
    }
  }
  bool Transfer(int from_db, const std::string& from, int to_db, const std::string& to, bool keep,
                bool replace) {
    const auto source = dbs[from_db].find(from);
    if (source == dbs[from_db].end()) return false;
    if (!replace && dbs[to_db].count(to) != 0) return false;
    const ModelKey value = source->second;
    if (!keep) dbs[from_db].erase(source);
    dbs[to_db][to] = value;
    return true;
  }
  ModelDatabase dbs[3];
};

void Step(TestServer& server, Model& model, Random& random) {
  const auto name = [&] { return "key:" + std::to_string(random.Below(60)); };
  const std::string a = name();
  const std::string b = name();
  const int db = server.session.db;
  const int other = static_cast<int>(random.Below(3));
  ModelDatabase& keys = model.dbs[db];
  switch (random.Below(10)) {
    case 0:
    case 1: {
      const std::string value(random.Below(random.OneIn(4) ? 3000 : 60),
                              static_cast<char>('a' + random.Below(26)));
      server.Run({"SET", a, value});
      keys[a] = {value, -1};
      break;
    }
    case 2:
      EXPECT_EQ(server.Run({random.OneIn(2) ? "DEL" : "UNLINK", a, b}),
                Integer(static_cast<int64_t>(keys.erase(a) + keys.erase(b))));
      break;
    case 3: {
      const bool exists = keys.count(a) != 0;
      EXPECT_EQ(server.Run({"RENAME", a, b}), exists ? "+OK\r\n" : Error(kNoSuchKey));
      if (exists && a != b) model.Transfer(db, a, db, b, false, true);
      break;
    }
    case 4: {
      if (keys.count(a) == 0 || a == b) break;
      EXPECT_EQ(server.Run({"RENAMENX", a, b}),
                Integer(model.Transfer(db, a, db, b, false, false)));
      break;
    }
    case 5: {
      const bool replace = random.OneIn(2);
      const std::string to_db = std::to_string(other);
      const std::string reply = replace ? server.Run({"COPY", a, b, "DB", to_db, "REPLACE"})
                                        : server.Run({"COPY", a, b, "DB", to_db});
      if (a == b && other == db) {
        EXPECT_EQ(reply, Error(kSame));
      } else {
        EXPECT_EQ(reply, Integer(model.Transfer(db, a, other, b, true, replace)));
      }
      break;
    }
    case 6:
      if (other == db) break;
      EXPECT_EQ(server.Run({"MOVE", a, std::to_string(other)}),
                Integer(model.Transfer(db, a, other, a, false, false)));
      break;
    case 7: {
      const int64_t ms = random.Between(-5, 300);
      const bool exists = keys.count(a) != 0;
      EXPECT_EQ(server.Run({"PEXPIRE", a, std::to_string(ms)}), Integer(exists));
      if (exists && ms <= 0) keys.erase(a);
      if (exists && ms > 0) keys[a].at_ms = server.now_ms() + ms;
      break;
    }
    case 8: {
      const bool persists = keys.count(a) != 0 && keys[a].at_ms >= 0;
      EXPECT_EQ(server.Run({"PERSIST", a}), Integer(persists));
      if (persists) keys[a].at_ms = -1;
      break;
    }
    default:
      server.session.db = other;
      server.AdvanceMs(static_cast<int64_t>(random.Below(20)));
      model.Purge(server.now_ms());
      if (random.OneIn(50)) {
        server.Run({"SWAPDB", "0", std::to_string(other)});
        std::swap(model.dbs[0], model.dbs[other]);
      }
      if (random.OneIn(200)) {
        server.Run({"FLUSHDB", random.OneIn(2) ? "SYNC" : "ASYNC"});
        model.dbs[other].clear();
      }
  }
}

TEST(key_commands_behave_like_maps_of_maps) {
  for (const int shards : {1, 8}) {
    Random random(test::Seed() + static_cast<uint64_t>(shards));
    TestServer server(shards);
    Model model;
    for (int step = 0; step < 20'000; step++) Step(server, model, random);
    for (int db = 0; db < 3; db++) {
      server.session.db = db;
      for (const auto& [name, key] : model.dbs[db]) {
        EXPECT_EQ(server.Run({"GET", name}), Bulk(key.value));
        EXPECT_EQ(server.expiry_ms(name), key.at_ms);
      }
      for (int i = 0; i < 60; i++) server.Run({"EXISTS", "key:" + std::to_string(i)});  // expires
      EXPECT_EQ(server.Run({"DBSIZE"}), Integer(static_cast<int64_t>(model.dbs[db].size())));
    }
    server.Validate();
  }
}

}  // namespace
}  // namespace sherd
