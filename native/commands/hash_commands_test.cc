// Hash commands: replies, errors, effects and events over both protocols, several encodings and one or
// several shards; as redis-server 7.0.15 gave them where nothing else is said.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

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

/// Runs a test in each protocol, encoding (listpack, listpackex, hashtable) and layout. `prepare` is to be
/// called once the hash "h" exists: it gives the key the encoding.
struct Variant {
  TestServer* server;
  int resp;
  std::string encoding;

  void Prepare() const {
    if (encoding != "listpackex") return;
    server->Run({"HSET", "h", "timed", "t"});
    server->Run({"HPEXPIRE", "h", "1000000", "FIELDS", "1", "timed"});
  }
};

void ForEachVariant(const std::function<void(const Variant&)>& body) {
  for (const int shards : {1, 8}) {
    for (const int resp : {2, 3}) {
      for (const char* encoding : {"listpack", "listpackex", "hashtable"}) {
        TestServer server(shards);
        server.session.resp = resp;
        if (std::string(encoding) == "hashtable") server.engine().options().hash_max_listpack_entries.Set(0);
        body({&server, resp, encoding});
        server.Validate();
      }
    }
  }
}

std::string Array(std::initializer_list<std::string> items) {
  std::string reply = "*" + std::to_string(items.size()) + "\r\n";
  for (const std::string& item : items) reply += item;
  return reply;
}
std::string Null(int resp) { return resp == 2 ? "$-1\r\n" : "_\r\n"; }
std::string Header(int resp, size_t pairs) {
  return resp == 2 ? "*" + std::to_string(pairs * 2) + "\r\n" : "%" + std::to_string(pairs) + "\r\n";
}

const std::string kWrongType =
    Error("WRONGTYPE Operation against a key holding the wrong kind of value");

// ---- Basics ----

TEST(hash_basics_in_every_encoding) {
  ForEachVariant([](const Variant& v) {
    TestServer& server = *v.server;
    v.Prepare();
    const int64_t timed = v.encoding == "listpackex" ? 1 : 0;
    EXPECT_EQ(server.Run({"HSET", "h", "a", "1", "b", "two", "a", "3"}), Integer(2));
    EXPECT_EQ(server.last_dirty(), 3);
    EXPECT_EQ(server.encoding("h"), v.encoding);
    EXPECT_EQ(server.Run({"HGET", "h", "a"}), Bulk("3"));
    EXPECT_EQ(server.Run({"HGET", "h", "c"}), Null(v.resp));
    EXPECT_EQ(server.Run({"HGET", "nokey", "c"}), Null(v.resp));
    EXPECT_EQ(server.Run({"HMGET", "h", "b", "c", "a"}), Array({Bulk("two"), Null(v.resp), Bulk("3")}));
    EXPECT_EQ(server.Run({"HMGET", "nokey", "b"}), Array({Null(v.resp)}));
    EXPECT_EQ(server.Run({"HLEN", "h"}), Integer(2 + timed));
    EXPECT_EQ(server.Run({"HLEN", "nokey"}), Integer(0));
    EXPECT_EQ(server.Run({"HSTRLEN", "h", "b"}), Integer(3));
    EXPECT_EQ(server.Run({"HSTRLEN", "h", "a"}), Integer(1));
    EXPECT_EQ(server.Run({"HSTRLEN", "h", "c"}), Integer(0));
    EXPECT_EQ(server.Run({"HEXISTS", "h", "a"}), Integer(1));
    EXPECT_EQ(server.Run({"HEXISTS", "h", "c"}), Integer(0));
    EXPECT_EQ(server.Run({"HEXISTS", "nokey", "c"}), Integer(0));
    EXPECT_EQ(server.Run({"HSETNX", "h", "a", "9"}), Integer(0));
    EXPECT_EQ(server.Run({"HSETNX", "h", "c", "9"}), Integer(1));
    EXPECT_EQ(server.Run({"HMSET", "h", "c", "10"}), "+OK\r\n");
    EXPECT_EQ(server.Run({"HDEL", "h", "c", "d", "c"}), Integer(1));
    EXPECT_EQ(server.Run({"HDEL", "h", "timed", "a", "b"}), Integer(2 + timed));
    EXPECT_EQ(server.Run({"EXISTS", "h"}), Integer(0));
    EXPECT_EQ(server.Run({"HDEL", "h", "a"}), Integer(0));
  });
}

TEST(hash_whole_replies) {
  ForEachVariant([](const Variant& v) {
    TestServer& server = *v.server;
    v.Prepare();
    server.Run({"HSET", "h", "a", "1"});
    server.Run({"HDEL", "h", "timed"});
    EXPECT_EQ(server.Run({"HGETALL", "h"}), Header(v.resp, 1) + Bulk("a") + Bulk("1"));
    EXPECT_EQ(server.Run({"HKEYS", "h"}), Array({Bulk("a")}));
    EXPECT_EQ(server.Run({"HVALS", "h"}), Array({Bulk("1")}));
    EXPECT_EQ(server.Run({"HGETALL", "nokey"}), Header(v.resp, 0));
    EXPECT_EQ(server.Run({"HKEYS", "nokey"}), "*0\r\n");
    EXPECT_EQ(server.Run({"HVALS", "nokey"}), "*0\r\n");
  });
}

TEST(hash_commands_refuse_other_types) {
  TestServer server(8);
  server.Run({"SET", "s", "v"});
  EXPECT_EQ(server.Run({"HSET", "s", "a", "1"}), kWrongType);
  EXPECT_EQ(server.Run({"HSETNX", "s", "a", "1"}), kWrongType);
  EXPECT_EQ(server.Run({"HGETALL", "s"}), kWrongType);
  EXPECT_EQ(server.Run({"HSCAN", "s", "0", "FOO"}), kWrongType);
  EXPECT_EQ(server.Run({"HRANDFIELD", "s"}), kWrongType);
  // What is wrong with the arguments alone is told first.
  EXPECT_EQ(server.Run({"HSET", "s", "a", "1", "b"}),
            Error("ERR wrong number of arguments for 'hset' command"));
  EXPECT_EQ(server.Run({"HMSET", "s", "a", "1", "b"}),
            Error("ERR wrong number of arguments for 'hmset' command"));
  EXPECT_EQ(server.Run({"HINCRBY", "s", "a", "x"}),
            Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(server.Run({"HINCRBYFLOAT", "s", "a", "x"}), Error("ERR value is not a valid float"));
  EXPECT_EQ(server.Run({"HSCAN", "s", "x"}), Error("ERR invalid cursor"));
  EXPECT_EQ(server.Run({"HRANDFIELD", "s", "1", "FOO"}), Error("ERR syntax error"));
}

TEST(hash_converts_as_redis_7_2) {
  TestServer server;
  server.engine().options().hash_max_listpack_entries.Set(2);
  server.engine().options().hash_max_listpack_value.Set(4);
  server.Run({"HSET", "h", "a", "1234", "b", "2"});
  EXPECT_EQ(server.encoding("h"), "listpack");
  server.Run({"HSET", "h", "c", "1"});
  EXPECT_EQ(server.encoding("h"), "hashtable");
  server.Run({"HDEL", "h", "c"});
  EXPECT_EQ(server.encoding("h"), "hashtable");
  server.Run({"HSET", "v", "a", "12345"});
  EXPECT_EQ(server.encoding("v"), "hashtable");
  // More pairs than entries convert before the first is set, though they are doubles.
  server.Run({"HSET", "d", "a", "1", "a", "2", "a", "3"});
  EXPECT_EQ(server.encoding("d"), "hashtable");
  EXPECT_EQ(server.Run({"HLEN", "d"}), Integer(1));
  server.Run({"HSET", "i", "a", "9999"});
  server.Run({"HINCRBY", "i", "a", "1"});
  EXPECT_EQ(server.encoding("i"), "hashtable");
  server.Run({"HSET", "t", "a", "1"});
  server.Run({"HEXPIRE", "t", "100", "FIELDS", "1", "a"});
  EXPECT_EQ(server.encoding("t"), "listpackex");
  server.Run({"HSET", "t", "b", "1", "c", "1"});
  EXPECT_EQ(server.encoding("t"), "hashtable");
  EXPECT_EQ(server.Run({"HTTL", "t", "FIELDS", "2", "a", "b"}), Array({Integer(100), Integer(-1)}));
  server.Validate();
}

TEST(hash_effects_and_events) {
  TestServer server;
  server.Listen();
  server.Run({"HSET", "h", "a", "1", "b", "2"});
  EXPECT_TRUE((server.TakeEvents() == Lines{"new h", "hset h"}));
  EXPECT_TRUE((server.TakeEffects() == Lines{"HSET h a 1 b 2"}));
  server.Run({"HSETNX", "h", "a", "1"});
  server.Run({"HDEL", "h", "x"});
  EXPECT_TRUE(server.TakeEvents().empty());
  EXPECT_TRUE(server.TakeEffects().empty());
  server.Run({"HINCRBY", "h", "a", "1"});
  server.Run({"HINCRBYFLOAT", "h", "b", "0.5"});
  EXPECT_TRUE((server.TakeEvents() == Lines{"hincrby h", "hincrbyfloat h"}));
  EXPECT_TRUE((server.TakeEffects() == Lines{"HINCRBY h a 1", "HSET h b 2.5"}));
  server.Run({"HPEXPIRE", "h", "5000", "FIELDS", "1", "b"});
  server.TakeEvents();
  server.TakeEffects();
  server.Run({"HINCRBYFLOAT", "h", "b", "0.5"});
  EXPECT_TRUE((server.TakeEffects() == Lines{"HSETEX h KEEPTTL FIELDS 1 b 3"}));
  server.TakeEvents();
  server.Run({"HDEL", "h", "a", "b", "c"});
  EXPECT_TRUE((server.TakeEvents() == Lines{"hdel h", "del h"}));
  EXPECT_TRUE((server.TakeEffects() == Lines{"HDEL h a b c"}));
}

// ---- Counters ----

TEST(hash_counters_at_the_edges) {
  ForEachVariant([](const Variant& v) {
    TestServer& server = *v.server;
    v.Prepare();
    const std::string overflow = Error("ERR increment or decrement would overflow");
    EXPECT_EQ(server.Run({"HINCRBY", "h", "n", "9223372036854775807"}), Integer(INT64_MAX));
    EXPECT_EQ(server.Run({"HINCRBY", "h", "n", "1"}), overflow);
    EXPECT_EQ(server.Run({"HINCRBY", "h", "n", "-9223372036854775808"}), Integer(-1));
    EXPECT_EQ(server.Run({"HINCRBY", "h", "n", "-9223372036854775807"}), Integer(INT64_MIN));
    EXPECT_EQ(server.Run({"HINCRBY", "h", "n", "-1"}), overflow);
    for (const char* bad : {"", "x", " 1", "1 ", "+1", "1.0", "9223372036854775808", "-9223372036854775809",
                            "1e3", "nan", "inf", "-0", "01"}) {
      EXPECT_EQ(server.Run({"HINCRBY", "h", "n", bad}),
                Error("ERR value is not an integer or out of range"));
    }
    for (const char* text : {"x", "", " 1", "1 ", "+1", "01", "1.0", "9223372036854775808"}) {
      server.Run({"HSET", "h", "t", text});
      EXPECT_EQ(server.Run({"HINCRBY", "h", "t", "1"}), Error("ERR hash value is not an integer"));
    }
    for (const int64_t edge : {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{1} << 31, -(int64_t{1} << 31) - 1,
                               int64_t{1} << 53, INT64_MAX, INT64_MIN}) {
      server.Run({"HSET", "h", "e", std::to_string(edge)});
      EXPECT_EQ(server.Run({"HINCRBY", "h", "e", "0"}), Integer(edge));
      EXPECT_EQ(server.Run({"HGET", "h", "e"}), Bulk(std::to_string(edge)));
    }
  });
}

TEST(hash_float_counters) {
  ForEachVariant([](const Variant& v) {
    TestServer& server = *v.server;
    v.Prepare();
    EXPECT_EQ(server.Run({"HINCRBYFLOAT", "h", "f", "10.5"}), Bulk("10.5"));
    EXPECT_EQ(server.Run({"HINCRBYFLOAT", "h", "f", "0.1"}), Bulk("10.6"));
    EXPECT_EQ(server.Run({"HINCRBYFLOAT", "h", "f", "-5"}), Bulk("5.6"));
    EXPECT_EQ(server.Run({"HINCRBYFLOAT", "h", "g", "3.0e3"}), Bulk("3000"));
    EXPECT_EQ(server.Run({"HINCRBY", "h", "g", "1"}), Integer(3001));
    EXPECT_EQ(server.Run({"HINCRBYFLOAT", "h", "g", "+1"}), Bulk("3002"));
    for (const char* bad : {"", "x", " 1", "1 ", "nan", "1e5000"}) {
      EXPECT_EQ(server.Run({"HINCRBYFLOAT", "h", "f", bad}), Error("ERR value is not a valid float"));
    }
    for (const char* infinite : {"inf", "-inf", "+Infinity"}) {
      EXPECT_EQ(server.Run({"HINCRBYFLOAT", "h", "f", infinite}), Error("ERR value is NaN or Infinity"));
    }
    server.Run({"HSET", "h", "t", "text", "i", "inf"});
    EXPECT_EQ(server.Run({"HINCRBYFLOAT", "h", "t", "1"}), Error("ERR hash value is not a float"));
    EXPECT_EQ(server.Run({"HINCRBYFLOAT", "h", "i", "1"}),
              Error("ERR increment would produce NaN or Infinity"));
  });
}

// ---- HRANDFIELD ----

std::vector<std::string> BulksOf(const std::string& reply) {
  std::vector<std::string> bulks;
  for (size_t at = 0; at < reply.size();) {
    const size_t end = reply.find("\r\n", at);
    if (reply[at] == '$') {
      const size_t size = std::stoul(reply.substr(at + 1, end - at - 1));
      bulks.push_back(reply.substr(end + 2, size));
      at = end + 2 + size + 2;
    } else {
      at = end + 2;
    }
  }
  return bulks;
}

TEST(hash_random_fields) {
  ForEachVariant([](const Variant& v) {
    TestServer& server = *v.server;
    v.Prepare();
    std::map<std::string, std::string> fields;
    for (int i = 0; i < 40; i++) {
      fields["f" + std::to_string(i)] = std::to_string(i);
      server.Run({"HSET", "h", "f" + std::to_string(i), std::to_string(i)});
    }
    server.Run({"HDEL", "h", "timed"});
    EXPECT_EQ(server.encoding("h"), v.encoding);
    EXPECT_EQ(fields.count(BulksOf(server.Run({"HRANDFIELD", "h"})).at(0)), 1u);
    for (const char* count : {"1", "5", "13", "14", "39", "40", "1000"}) {
      const size_t expected = std::min<size_t>(std::stoul(count), 40);
      const std::vector<std::string> names = BulksOf(server.Run({"HRANDFIELD", "h", count}));
      EXPECT_EQ(names.size(), expected);
      EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), expected);
    }
    for (const char* count : {"-1", "-7", "-100", "7"}) {
      const std::string reply = server.Run({"HRANDFIELD", "h", count, "withvalues"});
      const std::vector<std::string> pairs = BulksOf(reply);
      const size_t expected = static_cast<size_t>(std::abs(std::stol(count)));
      EXPECT_EQ(pairs.size(), expected * 2);
      for (size_t i = 0; i + 1 < pairs.size(); i += 2) EXPECT_EQ(fields[pairs[i]], pairs[i + 1]);
      const std::string header = "*" + std::to_string(v.resp == 2 ? expected * 2 : expected) + "\r\n";
      EXPECT_EQ(reply.substr(0, header.size()), header);
      if (v.resp == 3) EXPECT_EQ(reply.substr(header.size(), 4), "*2\r\n");
    }
    EXPECT_EQ(server.Run({"HRANDFIELD", "h", "0"}), "*0\r\n");
    EXPECT_EQ(server.Run({"HRANDFIELD", "nokey"}), Null(v.resp));
    EXPECT_EQ(server.Run({"HRANDFIELD", "nokey", "-5", "WITHVALUES"}), "*0\r\n");
  });
}

TEST(hash_random_fields_are_uniform_with_and_without_repeats) {
  for (const int max_entries : {512, 0}) {
    TestServer server;
    server.engine().options().hash_max_listpack_entries.Set(max_entries);
    for (int i = 0; i < 20; i++) server.Run({"HSET", "h", std::to_string(i), "v"});
    for (const char* count : {"-5", "5", "12"}) {
      std::map<std::string, int> hits;
      const int rounds = 4000;
      for (int i = 0; i < rounds; i++) {
        for (const std::string& name : BulksOf(server.Run({"HRANDFIELD", "h", count}))) hits[name]++;
      }
      const double expected = rounds * std::abs(std::stod(count)) / 20;
      for (const auto& [name, times] : hits) EXPECT_TRUE(std::abs(times - expected) < 6 * std::sqrt(expected));
      EXPECT_EQ(hits.size(), 20u);
    }
  }
}

TEST(hash_random_field_errors) {
  TestServer server;
  const std::string range = Error("ERR value is out of range");
  EXPECT_EQ(server.Run({"HRANDFIELD", "h", "-9223372036854775808"}),
            Error("ERR value is out of range, value must between -9223372036854775807 and "
                  "9223372036854775807"));
  EXPECT_EQ(server.Run({"HRANDFIELD", "h", "9223372036854775808"}),
            Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(server.Run({"HRANDFIELD", "h", "4611686018427387904", "WITHVALUES"}), range);
  EXPECT_EQ(server.Run({"HRANDFIELD", "h", "-9223372036854775807", "WITHVALUES"}), range);
  EXPECT_EQ(server.Run({"HRANDFIELD", "h", "4611686018427387903", "WITHVALUES"}), "*0\r\n");
  EXPECT_EQ(server.Run({"HRANDFIELD", "h", "1", "WITHVALUES", "x"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"HRANDFIELD", "h", "1", "VALUES"}), Error("ERR syntax error"));
}

// ---- HSCAN ----

TEST(hash_scan_of_listpacks_is_whole) {
  TestServer server;
  server.Run({"HSET", "h", "a1", "1", "b2", "two", "a3", "3"});
  EXPECT_EQ(server.Run({"HSCAN", "h", "0", "COUNT", "1"}),
            Array({Bulk("0"), Array({Bulk("a1"), Bulk("1"), Bulk("b2"), Bulk("two"), Bulk("a3"), Bulk("3")})}));
  EXPECT_EQ(server.Run({"HSCAN", "h", "77", "MATCH", "a*", "NOVALUES"}),
            Array({Bulk("0"), Array({Bulk("a1"), Bulk("a3")})}));
  EXPECT_EQ(server.Run({"HSCAN", "h", "0", "novalues", "match", "x*"}), Array({Bulk("0"), "*0\r\n"}));
  EXPECT_EQ(server.Run({"HSCAN", "nokey", "0", "FOO"}), Array({Bulk("0"), "*0\r\n"}));
  const std::string syntax = Error("ERR syntax error");
  EXPECT_EQ(server.Run({"HSCAN", "h", "0", "FOO"}), syntax);
  EXPECT_EQ(server.Run({"HSCAN", "h", "0", "COUNT"}), syntax);
  EXPECT_EQ(server.Run({"HSCAN", "h", "0", "COUNT", "0"}), syntax);
  EXPECT_EQ(server.Run({"HSCAN", "h", "0", "MATCH"}), syntax);
  EXPECT_EQ(server.Run({"HSCAN", "h", "0", "TYPE", "hash"}), syntax);
  EXPECT_EQ(server.Run({"HSCAN", "h", "0", "COUNT", "x"}),
            Error("ERR value is not an integer or out of range"));
}

TEST(hash_scan_of_tables_returns_what_stays) {
  Random random(test::Seed());
  TestServer server;
  server.engine().options().hash_max_listpack_entries.Set(0);
  for (int i = 0; i < 2000; i++) server.Run({"HSET", "h", "stays" + std::to_string(i), "v"});
  std::set<std::string> seen;
  std::string cursor = "0";
  int passing = 0;
  do {
    const std::vector<std::string> bulks =
        BulksOf(server.Run({"HSCAN", "h", cursor, "COUNT", "7", "MATCH", "stays*", "NOVALUES"}));
    cursor = bulks.at(0);
    seen.insert(bulks.begin() + 1, bulks.end());
    const bool grows = random.OneIn(2);
    for (int i = 0; i < 50; i++) {
      if (grows) {
        server.Run({"HSET", "h", "passes" + std::to_string(passing++), "v"});
      } else if (passing > 0) {
        server.Run({"HDEL", "h", "passes" + std::to_string(--passing)});
      }
    }
  } while (cursor != "0");
  EXPECT_EQ(seen.size(), 2000u);
}

// ---- Copies ----

TEST(hash_moves_and_copies_keep_times) {
  ForEachVariant([](const Variant& v) {
    TestServer& server = *v.server;
    v.Prepare();
    server.Run({"HSET", "h", "a", "1", "b", "2"});
    server.Run({"HPEXPIREAT", "h", "4102444800000", "FIELDS", "1", "a"});
    const std::string times = Array({Integer(4102444800000), Integer(-1)});
    EXPECT_EQ(server.Run({"COPY", "h", "copy"}), Integer(1));
    EXPECT_EQ(server.Run({"HPEXPIRETIME", "copy", "FIELDS", "2", "a", "b"}), times);
    for (const char* name : {"r1", "r2", "r3"}) {
      EXPECT_EQ(server.Run({"RENAME", "h", name}), "+OK\r\n");
      EXPECT_EQ(server.Run({"HPEXPIRETIME", name, "FIELDS", "2", "a", "b"}), times);
      server.Validate();
      EXPECT_EQ(server.Run({"RENAME", name, "h"}), "+OK\r\n");
    }
    EXPECT_EQ(server.Run({"MOVE", "h", "3"}), Integer(1));
    server.session.db = 3;
    EXPECT_EQ(server.Run({"HPEXPIRETIME", "h", "FIELDS", "2", "a", "b"}), times);
    server.Run({"SET", "h", "v"});  // an overwritten hash takes its mark along
    server.session.db = 0;
    EXPECT_EQ(server.Run({"DEL", "copy"}), Integer(1));
  });
}

}  // namespace
}  // namespace sherd
