// Set commands on one set: replies, errors and their order, events, effects; and a random stream of
// commands against std::set, over encodings, protocols and numbers of shards. Expected replies were
// asked of redis-server 7.0.15, encodings follow 7.2.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/numbers.h"
#include "base/random.h"
#include "commands/test_util.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;
using Lines = std::vector<std::string>;

const std::string kWrongType =
    Error("WRONGTYPE Operation against a key holding the wrong kind of value");
const std::string kNotInteger = Error("ERR value is not an integer or out of range");
const std::string kNotPositive = Error("ERR value is out of range, must be positive");
const std::string kSyntax = Error("ERR syntax error");

/// The elements of a reply that is one array or set of bulk strings.
Lines Elements(const std::string& reply, char prefix = '*') {
  Lines elements;
  EXPECT_EQ(reply[0], prefix);
  size_t at = reply.find("\r\n") + 2;
  const size_t count = std::stoul(reply.substr(1));
  for (size_t i = 0; i < count; i++) {
    EXPECT_EQ(reply[at], '$');
    const size_t size = std::stoul(reply.substr(at + 1));
    at = reply.find("\r\n", at) + 2;
    elements.push_back(reply.substr(at, size));
    at += size + 2;
  }
  EXPECT_EQ(at, reply.size());
  return elements;
}
Lines Sorted(Lines lines) {
  std::sort(lines.begin(), lines.end());
  return lines;
}
std::string AddNumbers(TestServer& server, std::string_view key, int count,
                       std::string prefix = "") {
  std::vector<std::string> words = {"SADD", std::string(key)};
  for (int i = 0; i < count; i++) words.push_back(prefix + std::to_string(i));
  return server.RunLine(std::vector<std::string_view>(words.begin(), words.end()));
}

TEST(set_add_and_remove) {
  TestServer server(4);
  server.Listen();
  EXPECT_EQ(server.Run({"SADD", "s", "a", "b", "a"}), Integer(2));
  EXPECT_EQ(server.last_dirty(), 2);
  EXPECT_EQ(server.TakeEvents(), (Lines{"new s", "sadd s"}));
  EXPECT_EQ(server.TakeEffects(), (Lines{"SADD s a b a"}));
  EXPECT_EQ(server.Run({"SADD", "s", "a"}), Integer(0));
  EXPECT_EQ(server.last_dirty(), 0);
  EXPECT_EQ(server.TakeEvents(), Lines{});
  EXPECT_EQ(server.TakeEffects(), Lines{});
  EXPECT_EQ(server.Run({"SREM", "s", "x"}), Integer(0));
  EXPECT_EQ(server.TakeEvents(), Lines{});
  EXPECT_EQ(server.Run({"SREM", "s", "x", "a", "b", "b"}), Integer(2));
  EXPECT_EQ(server.TakeEvents(), (Lines{"srem s", "del s"}));
  EXPECT_EQ(server.Run({"EXISTS", "s"}), Integer(0));
  EXPECT_EQ(server.Run({"SREM", "s", "a"}), Integer(0));
  server.Validate();
}

TEST(set_commands_refuse_other_types) {
  TestServer server(4);
  server.Run({"SET", "text", "x"});
  server.Run({"SADD", "s", "1"});
  for (const char* command : {"SADD", "SREM", "SISMEMBER", "SMISMEMBER"}) {
    EXPECT_EQ(server.Run({command, "text", "a"}), kWrongType);
  }
  for (const char* command : {"SCARD", "SMEMBERS", "SPOP", "SRANDMEMBER"}) {
    EXPECT_EQ(server.Run({command, "text"}), kWrongType);
  }
  EXPECT_EQ(server.Run({"SMOVE", "text", "s", "1"}), kWrongType);
  EXPECT_EQ(server.Run({"SMOVE", "s", "text", "1"}), kWrongType);
  EXPECT_EQ(server.Run({"SMOVE", "none", "text", "1"}), Integer(0));
  EXPECT_EQ(server.Run({"SPOP", "text", "1"}), kWrongType);
  EXPECT_EQ(server.Run({"SPOP", "text", "x"}), kNotPositive);
  EXPECT_EQ(server.Run({"SRANDMEMBER", "text", "1"}), kWrongType);
  EXPECT_EQ(server.Run({"SRANDMEMBER", "text", "x"}), kNotInteger);
  EXPECT_EQ(server.Run({"SSCAN", "text", "0"}), kWrongType);
}

TEST(set_reads) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    server.Run({"SADD", "s", "3", "1", "2"});
    EXPECT_EQ(server.Run({"SMEMBERS", "s"}), "*3\r\n" + Bulk("1") + Bulk("2") + Bulk("3"));
    EXPECT_EQ(server.Run({"SMEMBERS", "none"}), "*0\r\n");
    EXPECT_EQ(server.Run({"SCARD", "s"}), Integer(3));
    EXPECT_EQ(server.Run({"SCARD", "none"}), Integer(0));
    EXPECT_EQ(server.Run({"SISMEMBER", "s", "3"}), Integer(1));
    EXPECT_EQ(server.Run({"SISMEMBER", "s", "03"}), Integer(0));
    EXPECT_EQ(server.Run({"SISMEMBER", "none", "3"}), Integer(0));
    EXPECT_EQ(server.Run({"SMISMEMBER", "s", "3", "4", ""}), "*3\r\n:1\r\n:0\r\n:0\r\n");
    EXPECT_EQ(server.Run({"SMISMEMBER", "none", "3", "4"}), "*2\r\n:0\r\n:0\r\n");
    server.session.resp = 3;
    EXPECT_EQ(server.Run({"SMEMBERS", "s"}), "~3\r\n" + Bulk("1") + Bulk("2") + Bulk("3"));
    EXPECT_EQ(server.Run({"SMEMBERS", "none"}), "~0\r\n");
  }
}

TEST(set_encodings_follow_first_member_and_thresholds) {
  TestServer server;
  server.Run({"SADD", "ints", "1", "2"});
  EXPECT_EQ(server.encoding("ints"), "intset");
  server.Run({"SADD", "ints", "x"});
  EXPECT_EQ(server.encoding("ints"), "listpack");
  server.Run({"SREM", "ints", "x"});
  EXPECT_EQ(server.encoding("ints"), "listpack");
  AddNumbers(server, "many", 512);
  EXPECT_EQ(server.encoding("many"), "intset");
  server.Run({"SADD", "many", "512"});
  EXPECT_EQ(server.encoding("many"), "hashtable");
  AddNumbers(server, "hint", 513);
  EXPECT_EQ(server.encoding("hint"), "hashtable");
  AddNumbers(server, "texts", 128, "t");
  EXPECT_EQ(server.encoding("texts"), "listpack");
  server.Run({"SADD", "texts", "one more"});
  EXPECT_EQ(server.encoding("texts"), "hashtable");
  server.Run({"SADD", "long", std::string(64, 'x')});
  EXPECT_EQ(server.encoding("long"), "listpack");
  server.Run({"SADD", "long", std::string(65, 'x')});
  EXPECT_EQ(server.encoding("long"), "hashtable");
  // 200 integers do not fit a listpack: a text makes a table at once.
  AddNumbers(server, "mixed", 200);
  server.Run({"SADD", "mixed", "x"});
  EXPECT_EQ(server.encoding("mixed"), "hashtable");
  // The number of words alone converts, even if all of them are there already.
  server.Run({"SADD", "same", "a"});
  std::vector<std::string_view> words = {"SADD", "same"};
  words.resize(2 + 129, "a");
  EXPECT_EQ(server.RunLine(words), Integer(0));
  EXPECT_EQ(server.encoding("same"), "hashtable");
  server.Validate();
}

TEST(set_move) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    server.Listen();
    server.Run({"SADD", "s", "1", "2"});
    server.TakeEvents();
    EXPECT_EQ(server.Run({"SMOVE", "s", "t", "9"}), Integer(0));
    EXPECT_EQ(server.Run({"SMOVE", "s", "s", "1"}), Integer(1));
    EXPECT_EQ(server.Run({"SMOVE", "s", "s", "9"}), Integer(0));
    EXPECT_EQ(server.TakeEvents(), (Lines{}));
    EXPECT_EQ(server.Run({"SMOVE", "s", "t", "1"}), Integer(1));
    EXPECT_EQ(server.last_dirty(), 2);
    EXPECT_EQ(server.TakeEvents(), (Lines{"srem s", "new t", "sadd t"}));
    server.Run({"SADD", "t", "2"});
    server.TakeEvents();
    EXPECT_EQ(server.Run({"SMOVE", "s", "t", "2"}), Integer(1));
    EXPECT_EQ(server.last_dirty(), 1);  // the target had it
    EXPECT_EQ(server.TakeEvents(), (Lines{"srem s", "del s"}));
    EXPECT_EQ(server.Run({"SMEMBERS", "t"}), "*2\r\n" + Bulk("1") + Bulk("2"));
    server.Validate();
  }
}

TEST(set_move_over_an_expired_target) {
  TestServer server;
  server.Run({"SADD", "s", "1", "2"});
  server.Run({"SADD", "t", "8"});
  server.Run({"PEXPIRE", "t", "10"});
  server.AdvanceMs(20);
  EXPECT_EQ(server.Run({"SMOVE", "s", "t", "1"}), Integer(1));
  EXPECT_EQ(server.Run({"SMEMBERS", "t"}), "*1\r\n" + Bulk("1"));
  EXPECT_EQ(server.expiry_ms("t"), -1);
  server.Validate();
}

// ---- SPOP ----

TEST(set_pop_arguments) {
  TestServer server;
  server.Run({"SADD", "s", "1"});
  EXPECT_EQ(server.Run({"SPOP", "s", "1", "2"}), kSyntax);
  for (const char* count :
       {"-1", "abc", "", "1 ", "+1", "9223372036854775808", "-9223372036854775808", "1e308"}) {
    EXPECT_EQ(server.Run({"SPOP", "s", count}), kNotPositive);
  }
  EXPECT_EQ(server.Run({"SPOP", "none"}), "$-1\r\n");
  EXPECT_EQ(server.Run({"SPOP", "none", "3"}), "*0\r\n");
  EXPECT_EQ(server.Run({"SPOP", "s", "0"}), "*0\r\n");
  server.session.resp = 3;
  EXPECT_EQ(server.Run({"SPOP", "none"}), "_\r\n");
  EXPECT_EQ(server.Run({"SPOP", "none", "3"}), "~0\r\n");
  EXPECT_EQ(server.Run({"SPOP", "s", "9223372036854775807"}), "~1\r\n" + Bulk("1"));
  EXPECT_EQ(server.Run({"EXISTS", "s"}), Integer(0));
}

TEST(set_pop_is_replayed_as_what_it_removed) {
  TestServer server;
  server.Listen();
  server.Run({"SADD", "s", "1"});
  server.TakeEvents();
  server.TakeEffects();
  EXPECT_EQ(server.Run({"SPOP", "s"}), Bulk("1"));
  EXPECT_EQ(server.TakeEvents(), (Lines{"spop s", "del s"}));
  EXPECT_EQ(server.TakeEffects(), (Lines{"SREM s 1"}));
  EXPECT_EQ(server.last_dirty(), 1);
  server.Run({"SADD", "s", "1", "2"});
  server.TakeEvents();
  server.TakeEffects();
  EXPECT_EQ(Sorted(Elements(server.Run({"SPOP", "s", "5"}))), (Lines{"1", "2"}));
  EXPECT_EQ(server.TakeEvents(), (Lines{"spop s", "del s"}));
  EXPECT_EQ(server.TakeEffects(), (Lines{"DEL s"}));
  EXPECT_EQ(server.last_dirty(), 2);
  server.engine().options().lazyfree_lazy_server_del.Set(1);
  server.Run({"SADD", "s", "1", "2"});
  server.TakeEffects();
  server.Run({"SPOP", "s", "5"});
  EXPECT_EQ(server.TakeEffects(), (Lines{"UNLINK s"}));
}

TEST(set_pop_of_some_replays_batches) {
  for (const char* prefix : {"", "t"}) {
    for (const int count : {100, 1024, 2500, 2900}) {
      TestServer server;
      AddNumbers(server, "s", 3000, prefix);
      AddNumbers(server, "copy", 3000, prefix);
      server.Run({"PEXPIRE", "s", "100000"});
      server.Listen();
      const Lines popped = Elements(server.Run({"SPOP", "s", std::to_string(count)}));
      EXPECT_EQ(popped.size(), static_cast<size_t>(count));
      EXPECT_EQ(server.TakeEvents(), (Lines{"spop s"}));
      EXPECT_EQ(server.last_dirty(), count);
      EXPECT_NE(server.expiry_ms("s"), -1);
      const Lines effects = server.TakeEffects();
      EXPECT_EQ(effects.size(), static_cast<size_t>(count + 1023) / 1024);
      Lines replayed;
      for (std::string line : effects) {
        EXPECT_EQ(line.substr(0, 7), "SREM s ");
        line.erase(0, 7);
        for (size_t at; (at = line.find(' ')) != std::string::npos; line.erase(0, at + 1)) {
          replayed.push_back(line.substr(0, at));
        }
        replayed.push_back(line);
      }
      EXPECT_EQ(replayed, popped);
      EXPECT_EQ(server.Run({"SCARD", "s"}), Integer(3000 - count));
      for (const std::string& member : popped) {
        EXPECT_EQ(server.Run({"SISMEMBER", "s", member}), Integer(0));
        EXPECT_EQ(server.Run({"SREM", "copy", member}), Integer(1));
      }
      // Nearly all went: those that stay are a new set, which is small again.
      EXPECT_EQ(server.encoding("s"), count == 2900 ? "listpack" : "hashtable");
      server.Validate();
    }
  }
}

// ---- SRANDMEMBER ----

TEST(set_random_member_arguments) {
  TestServer server;
  server.Run({"SADD", "s", "1"});
  EXPECT_EQ(server.Run({"SRANDMEMBER", "s", "1", "2"}), kSyntax);
  for (const char* count :
       {"abc", "", "1 ", "+1", "9223372036854775808", "-9223372036854775809", "1e308"}) {
    EXPECT_EQ(server.Run({"SRANDMEMBER", "s", count}), kNotInteger);
  }
  EXPECT_EQ(server.Run({"SRANDMEMBER", "s", "-9223372036854775808"}),
            Error("ERR value is out of range, value must between -9223372036854775807 and "
                  "9223372036854775807"));
  EXPECT_EQ(server.Run({"SRANDMEMBER", "none", "-9223372036854775807"}), "*0\r\n");
  EXPECT_EQ(server.Run({"SRANDMEMBER", "none"}), "$-1\r\n");
  EXPECT_EQ(server.Run({"SRANDMEMBER", "s", "0"}), "*0\r\n");
  EXPECT_EQ(server.Run({"SRANDMEMBER", "s"}), Bulk("1"));
  EXPECT_EQ(server.Run({"SRANDMEMBER", "s", "9223372036854775807"}), "*1\r\n" + Bulk("1"));
  EXPECT_EQ(server.Run({"SRANDMEMBER", "s", "-2"}), "*2\r\n" + Bulk("1") + Bulk("1"));
  server.session.resp = 3;
  EXPECT_EQ(server.Run({"SRANDMEMBER", "none"}), "_\r\n");
  EXPECT_EQ(server.Run({"SRANDMEMBER", "s", "1"}), "*1\r\n" + Bulk("1"));  // an array here too
}

TEST(set_random_members_are_members_and_distinct) {
  for (const char* prefix : {"", "t"}) {
    for (const int size : {40, 100, 2000}) {
      TestServer server;
      AddNumbers(server, "s", size, prefix);
      const Lines all = Elements(server.Run({"SMEMBERS", "s"}));
      for (const int count : {1, 2, 30, size / 20, size - 1, size, size + 5}) {
        Lines picked = Sorted(Elements(server.Run({"SRANDMEMBER", "s", std::to_string(count)})));
        EXPECT_EQ(picked.size(), static_cast<size_t>(std::min(count, size)));
        EXPECT_TRUE(std::unique(picked.begin(), picked.end()) == picked.end());
        for (const std::string& member : picked) {
          EXPECT_EQ(server.Run({"SISMEMBER", "s", member}), Integer(1));
        }
        picked = Elements(server.Run({"SRANDMEMBER", "s", std::to_string(-count)}));
        EXPECT_EQ(picked.size(), static_cast<size_t>(count));
        for (const std::string& member : picked) {
          EXPECT_EQ(server.Run({"SISMEMBER", "s", member}), Integer(1));
        }
      }
      EXPECT_EQ(Elements(server.Run({"SMEMBERS", "s"})), all);  // nothing was taken
    }
  }
}

// ---- SSCAN ----

TEST(set_scan_arguments_in_redis_order) {
  TestServer server;
  server.Run({"SADD", "s", "1", "2"});
  const std::string empty_page = "*2\r\n" + Bulk("0") + "*0\r\n";
  EXPECT_EQ(server.Run({"SSCAN", "none", "abc"}), Error("ERR invalid cursor"));
  EXPECT_EQ(server.Run({"SSCAN", "none", "0", "FOO"}), empty_page);
  EXPECT_EQ(server.Run({"SSCAN", "s", "0", "FOO"}), kSyntax);
  EXPECT_EQ(server.Run({"SSCAN", "s", "0", "COUNT"}), kSyntax);
  EXPECT_EQ(server.Run({"SSCAN", "s", "0", "COUNT", "0"}), kSyntax);
  EXPECT_EQ(server.Run({"SSCAN", "s", "0", "COUNT", "x"}), kNotInteger);
  EXPECT_EQ(server.Run({"SSCAN", "s", "0", "TYPE", "set"}), kSyntax);
  EXPECT_EQ(server.Run({"SSCAN", "s", "0", "NOVALUES"}),
            Error("ERR NOVALUES option can only be used in HSCAN"));
  EXPECT_EQ(server.Run({"SSCAN", "s", "0", "MATCH", "x*"}), empty_page);
  EXPECT_EQ(server.Run({"SSCAN", "s", "7", "count", "1", "match", "2"}),
            "*2\r\n" + Bulk("0") + "*1\r\n" + Bulk("2"));
}

TEST(set_scan_meets_all) {
  for (const char* prefix : {"", "t"}) {
    TestServer server;
    AddNumbers(server, "s", 1000, prefix);
    for (const char* count : {"1", "10", "100000"}) {
      std::set<std::string> seen;
      std::string cursor = "0";
      int pages = 0;
      do {
        const std::string reply = server.Run({"SSCAN", "s", cursor, "COUNT", count});
        const size_t cursor_at = reply.find("\r\n", 4) + 2;
        const size_t cursor_end = reply.find("\r\n", cursor_at);
        cursor = reply.substr(cursor_at, cursor_end - cursor_at);
        for (std::string& member : Elements(reply.substr(cursor_end + 2))) seen.insert(member);
        pages++;
      } while (cursor != "0");
      EXPECT_EQ(seen.size(), 1000u);
      if (std::string(count) == "10") EXPECT_TRUE(pages > 50);
    }
  }
}

// ---- Any key command works on sets ----

TEST(set_survives_copy_rename_and_expiry) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    for (const char* prefix : {"", "t"}) {
      for (const int size : {3, 1000}) {
        AddNumbers(server, "s", size, prefix);
        const std::string encoding = server.encoding("s");
        EXPECT_EQ(server.Run({"COPY", "s", "c"}), Integer(1));
        EXPECT_EQ(server.Run({"RENAME", "c", "d"}), "+OK\r\n");
        EXPECT_EQ(server.encoding("d"), encoding);
        EXPECT_EQ(Sorted(Elements(server.Run({"SMEMBERS", "d"}))),
                  Sorted(Elements(server.Run({"SMEMBERS", "s"}))));
        server.Run({"SADD", "d", "more"});
        EXPECT_EQ(server.Run({"SISMEMBER", "s", "more"}), Integer(0));
        EXPECT_EQ(server.Run({"TYPE", "d"}), "+set\r\n");
        server.Validate();
        EXPECT_EQ(server.Run({"DEL", "s"}), Integer(1));
        EXPECT_EQ(server.Run({"UNLINK", "d"}), Integer(1));
      }
    }
    server.Run({"FLUSHALL"});
    size_t used = 0;
    for (int shard = 0; shard < shards; shard++) {
      engine::Keyspace& space = server.engine().keyspace(static_cast<engine::ShardId>(shard));
      while (space.FreeDeferred(1000)) {
      }
      used += space.heap().used_bytes();
    }
    EXPECT_EQ(used, 0u);
  }
}

// ---- Random streams against a twin ----

struct Twin {
  std::map<std::string, std::set<std::string>> sets;
};

void RunStream(uint64_t seed, int shards, int resp, int64_t threshold) {
  Random random(seed);
  TestServer server(shards);
  server.session.resp = resp;
  server.engine().options().set_max_intset_entries.Set(threshold);
  server.engine().options().set_max_listpack_entries.Set(threshold);
  const char set_prefix = resp == 3 ? '~' : '*';
  Twin twin;
  const auto member = [&] {
    return (random.OneIn(6) ? "m" : "") + std::to_string(random.Below(60));
  };
  for (int step = 0; step < 1500; step++) {
    const std::string key(1, static_cast<char>('a' + random.Below(4)));
    const std::string other(1, static_cast<char>('a' + random.Below(4)));
    const std::string one = member();
    const std::string two = member();
    std::set<std::string>& set = twin.sets[key];
    switch (random.Below(8)) {
      case 0:
      case 1:
      case 2: {
        const size_t before = set.size();
        set.insert(one);
        set.insert(two);
        EXPECT_EQ(server.Run({"SADD", key, one, two}),
                  Integer(static_cast<int64_t>(set.size() - before)));
        break;
      }
      case 3:
        EXPECT_EQ(server.Run({"SREM", key, one}), Integer(static_cast<int64_t>(set.erase(one))));
        break;
      case 4: {
        const bool moves = set.count(one) != 0;
        EXPECT_EQ(server.Run({"SMOVE", key, other, one}), Integer(moves ? 1 : 0));
        if (moves) {
          set.erase(one);
          twin.sets[other].insert(one);
        }
        break;
      }
      case 5: {
        const size_t count = random.Below(random.OneIn(4) ? 80 : 4);
        const Lines popped = Elements(server.Run({"SPOP", key, std::to_string(count)}), set_prefix);
        EXPECT_EQ(popped.size(), std::min(count, set.size()));
        for (const std::string& gone : popped) EXPECT_EQ(set.erase(gone), 1u);
        break;
      }
      case 6:
        EXPECT_EQ(server.Run({"SISMEMBER", key, one}),
                  Integer(static_cast<int64_t>(set.count(one))));
        break;
      default: {
        EXPECT_EQ(server.Run({"SCARD", key}), Integer(static_cast<int64_t>(set.size())));
        EXPECT_EQ(Sorted(Elements(server.Run({"SMEMBERS", key}), set_prefix)),
                  Lines(set.begin(), set.end()));
        EXPECT_EQ(server.Run({"EXISTS", key}), Integer(set.empty() ? 0 : 1));
        break;
      }
    }
    if (step % 100 == 0) server.Validate();
  }
}

TEST(set_commands_behave_like_sets) {
  uint64_t seed = test::Seed();
  for (const int shards : {1, 8}) {
    for (const int resp : {2, 3}) {
      for (const int64_t threshold : {512, 10, 0}) RunStream(seed++, shards, resp, threshold);
    }
  }
}

}  // namespace
}  // namespace sherd
