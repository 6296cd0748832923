// Sorted sets as commands: replies in both protocols and encodings, events, effects, edges of numbers,
// what 7.2 has and the differential test's oracle has not, keys of several shards, big values.
#include <string>
#include <vector>

#include "commands/test_util.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;

using Lines = std::vector<std::string>;

std::string Flat(std::initializer_list<std::string_view> items) {
  std::string reply = "*" + std::to_string(items.size()) + "\r\n";
  for (const std::string_view item : items) reply += Bulk(item);
  return reply;
}

// Runs `body` over listpack and skiplist, RESP2 and RESP3, one shard and several.
template <class Body>
void Matrix(Body&& body) {
  for (const int shards : {1, 8}) {
    for (const int resp : {2, 3}) {
      for (const bool is_packed : {true, false}) {
        TestServer server(shards);
        server.session.resp = resp;
        if (!is_packed) server.engine().options().zset_max_listpack_entries.Set(0);
        body(server, is_packed);
        server.Validate();
      }
    }
  }
}

}  // namespace

TEST(zadd_and_its_options) {
  Matrix([](TestServer& s, bool is_packed) {
    EXPECT_EQ(s.Run({"ZADD", "z", "1", "a", "2", "b", "1", "a"}), Integer(2));
    EXPECT_EQ(s.encoding("z"), std::string(is_packed ? "listpack" : "skiplist"));
    EXPECT_EQ(s.Run({"ZADD", "z", "NX", "5", "a", "3", "c"}), Integer(1));
    EXPECT_EQ(s.Run({"ZADD", "z", "XX", "CH", "5", "a", "3", "d"}), Integer(1));
    EXPECT_EQ(s.Run({"ZADD", "z", "GT", "CH", "4", "a"}), Integer(0));
    EXPECT_EQ(s.Run({"ZADD", "z", "LT", "CH", "4.5", "a"}), Integer(1));
    const bool resp3 = s.session.resp == 3;
    EXPECT_EQ(s.Run({"ZADD", "z", "INCR", "0.5", "a"}), resp3 ? ",5\r\n" : Bulk("5"));
    EXPECT_EQ(s.Run({"ZADD", "z", "XX", "INCR", "1", "nobody"}), resp3 ? "_\r\n" : "$-1\r\n");
    EXPECT_EQ(s.Run({"ZADD", "none", "XX", "INCR", "1", "a"}), resp3 ? "_\r\n" : "$-1\r\n");
    EXPECT_EQ(s.Run({"EXISTS", "none"}), Integer(0));
    EXPECT_EQ(s.Run({"ZSCORE", "z", "a"}), resp3 ? ",5\r\n" : Bulk("5"));
    EXPECT_EQ(s.Run({"ZCARD", "z"}), Integer(3));
  });
}

TEST(zadd_errors_come_in_order) {
  TestServer s;
  const std::string syntax = Error("ERR syntax error");
  EXPECT_EQ(s.Run({"ZADD", "z", "NX", "XX", "1"}), syntax);
  EXPECT_EQ(s.Run({"ZADD", "z", "NX", "XX", "x", "a"}),
            Error("ERR XX and NX options at the same time are not compatible"));
  EXPECT_EQ(s.Run({"ZADD", "z", "GT", "LT", "1", "a"}),
            Error("ERR GT, LT, and/or NX options at the same time are not compatible"));
  EXPECT_EQ(s.Run({"ZADD", "z", "INCR", "1", "a", "2", "b"}),
            Error("ERR INCR option supports a single increment-element pair"));
  EXPECT_EQ(s.Run({"ZADD", "z", "1", "a", "x", "b"}), Error("ERR value is not a valid float"));
  EXPECT_EQ(s.Run({"EXISTS", "z"}), Integer(0));
  EXPECT_EQ(s.Run({"ZINCRBY", "z", "incr", "a"}), syntax);
  s.Run({"ZADD", "z", "inf", "a"});
  EXPECT_EQ(s.Run({"ZINCRBY", "z", "-inf", "a"}),
            Error("ERR resulting score is not a number (NaN)"));
  s.Run({"SET", "s", "x"});
  EXPECT_EQ(s.Run({"ZADD", "s", "1", "a"}),
            Error("WRONGTYPE Operation against a key holding the wrong kind of value"));
}

TEST(zadd_takes_the_floats_that_redis_takes) {
  TestServer s;
  struct Row {
    const char* text;
    const char* score;  // null: refused
  };
  const Row rows[] = {
      {"0", "0"},
      {"-0", "0"},
      {"1", "1"},
      {"+1", "1"},
      {"2147483648", "2147483648"},
      {"-2147483649", "-2147483649"},
      {"9007199254740993", "9007199254740992"},
      {"9223372036854775807", "9223372036854775807"},
      {"4611686018427387904", "4611686018427387904"},
      {"1e308", "1e+308"},
      {"inf", "inf"},
      {"-inf", "-inf"},
      {"+inf", "inf"},
      {"3.0", "3"},
      {"0x10", "16"},
      {"0.1", "0.1"},
      {"1e17", "100000000000000000"},
      {"nan", nullptr},
      {"1 ", nullptr},
      {" 1", nullptr},
      {"", nullptr},
      {"1e400", nullptr},
      {"1e-400", nullptr},
      {"abc", nullptr},
      {"1,5", nullptr},
  };
  for (const Row& row : rows) {
    const std::string reply = s.Run({"ZADD", "z", row.text, "m"});
    if (row.score == nullptr) {
      EXPECT_EQ(reply, Error("ERR value is not a valid float"));
      continue;
    }
    EXPECT_EQ(reply, Integer(1));
    if (row.text != std::string_view("9223372036854775807"))
      EXPECT_EQ(s.Run({"ZSCORE", "z", "m"}), Bulk(row.score));
    s.Run({"DEL", "z"});
  }
  // Redis's listpacks keep -0 as the integer 0; its skiplists do not.
  s.engine().options().zset_max_listpack_entries.Set(0);
  s.Run({"ZADD", "z", "-0", "m"});
  EXPECT_EQ(s.Run({"ZSCORE", "z", "m"}), Bulk("-0"));
}

TEST(zadd_converts_by_the_number_of_pairs) {
  TestServer s;
  s.engine().options().zset_max_listpack_entries.Set(2);
  // Redis 7.2 goes by the words of the command, here one member three times.
  s.Run({"ZADD", "new", "1", "a", "2", "a", "3", "a"});
  EXPECT_EQ(s.encoding("new"), std::string("skiplist"));
  s.Run({"ZADD", "old", "1", "a"});
  EXPECT_EQ(s.encoding("old"), std::string("listpack"));
  s.Run({"ZADD", "old", "XX", "1", "a", "1", "b", "1", "c"});
  EXPECT_EQ(s.encoding("old"), std::string("skiplist"));
}

TEST(zrank_with_score) {
  Matrix([](TestServer& s, bool) {
    const bool resp3 = s.session.resp == 3;
    const std::string score = resp3 ? ",2.5\r\n" : Bulk("2.5");
    s.Run({"ZADD", "z", "1", "a", "2.5", "b", "3", "c"});
    EXPECT_EQ(s.Run({"ZRANK", "z", "b"}), Integer(1));
    EXPECT_EQ(s.Run({"ZRANK", "z", "b", "WITHSCORE"}), "*2\r\n:1\r\n" + score);
    EXPECT_EQ(s.Run({"ZREVRANK", "z", "c", "withscore"}),
              "*2\r\n:0\r\n" + std::string(resp3 ? ",3\r\n" : Bulk("3")));
    EXPECT_EQ(s.Run({"ZRANK", "z", "x"}), resp3 ? "_\r\n" : "$-1\r\n");
    EXPECT_EQ(s.Run({"ZRANK", "z", "x", "WITHSCORE"}), resp3 ? "_\r\n" : "*-1\r\n");
    EXPECT_EQ(s.Run({"ZRANK", "none", "x", "WITHSCORE"}), resp3 ? "_\r\n" : "*-1\r\n");
    EXPECT_EQ(s.Run({"ZRANK", "z", "b", "WITHSCORES"}), Error("ERR syntax error"));
    EXPECT_EQ(s.Run({"ZRANK", "z", "b", "WITHSCORE", "x"}),
              Error("ERR wrong number of arguments for 'zrank' command"));
  });
}

TEST(zrange_in_all_its_forms) {
  Matrix([](TestServer& s, bool) {
    s.Run({"ZADD", "z", "1", "a", "2", "b", "3", "c", "4", "d"});
    EXPECT_EQ(s.Run({"ZRANGE", "z", "0", "-1"}), Flat({"a", "b", "c", "d"}));
    EXPECT_EQ(s.Run({"ZRANGE", "z", "1", "2", "REV"}), Flat({"c", "b"}));
    EXPECT_EQ(s.Run({"ZRANGE", "z", "(1", "3", "BYSCORE"}), Flat({"b", "c"}));
    EXPECT_EQ(s.Run({"ZRANGE", "z", "+inf", "2", "BYSCORE", "REV", "LIMIT", "1", "1"}),
              Flat({"c"}));
    EXPECT_EQ(s.Run({"ZRANGEBYSCORE", "z", "1", "4", "LIMIT", "1", "-1"}), Flat({"b", "c", "d"}));
    EXPECT_EQ(s.Run({"ZRANGEBYSCORE", "z", "1", "4", "LIMIT", "-1", "2"}), "*0\r\n");
    EXPECT_EQ(s.Run({"ZREVRANGEBYSCORE", "z", "(4", "-inf", "LIMIT", "0", "2"}), Flat({"c", "b"}));
    EXPECT_EQ(s.Run({"ZREVRANGE", "z", "-2", "-1"}), Flat({"b", "a"}));
    EXPECT_EQ(s.Run({"ZRANGE", "z", "5", "9"}), "*0\r\n");
    EXPECT_EQ(s.Run({"ZRANGE", "none", "0", "-1", "WITHSCORES"}), "*0\r\n");
    const bool resp3 = s.session.resp == 3;
    EXPECT_EQ(s.Run({"ZRANGE", "z", "0", "1", "WITHSCORES"}),
              resp3 ? "*2\r\n*2\r\n$1\r\na\r\n,1\r\n*2\r\n$1\r\nb\r\n,2\r\n"
                    : Flat({"a", "1", "b", "2"}));
    EXPECT_EQ(s.Run({"ZCOUNT", "z", "(1", "+inf"}), Integer(3));
    s.Run({"ZADD", "lex", "0", "a", "0", "b", "0", "c"});
    EXPECT_EQ(s.Run({"ZRANGE", "lex", "[b", "+", "BYLEX"}), Flat({"b", "c"}));
    EXPECT_EQ(s.Run({"ZRANGE", "lex", "+", "(a", "BYLEX", "REV", "LIMIT", "0", "1"}), Flat({"c"}));
    EXPECT_EQ(s.Run({"ZREVRANGEBYLEX", "lex", "(c", "-"}), Flat({"b", "a"}));
    EXPECT_EQ(s.Run({"ZLEXCOUNT", "lex", "-", "(c"}), Integer(2));
  });
}

TEST(zpop_shapes_and_events) {
  Matrix([](TestServer& s, bool) {
    s.Run({"ZADD", "z", "1", "a", "2", "b", "3", "c"});
    s.Listen();
    const bool resp3 = s.session.resp == 3;
    EXPECT_EQ(s.Run({"ZPOPMIN", "z"}), resp3 ? "*2\r\n$1\r\na\r\n,1\r\n" : Flat({"a", "1"}));
    EXPECT_EQ(s.Run({"ZPOPMAX", "z", "1"}),
              resp3 ? "*1\r\n*2\r\n$1\r\nc\r\n,3\r\n" : Flat({"c", "3"}));
    EXPECT_EQ(s.Run({"ZPOPMAX", "z", "0"}), "*0\r\n");
    EXPECT_EQ(s.TakeEvents(), (Lines{"zpopmin z", "zpopmax z"}));
    EXPECT_EQ(s.TakeEffects(), (Lines{"ZPOPMIN z", "ZPOPMAX z 1"}));
    EXPECT_EQ(
        s.Run({"ZMPOP", "2", "none", "z", "MIN", "COUNT", "10"}),
        "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\nb\r\n" + std::string(resp3 ? ",2\r\n" : Bulk("2")));
    EXPECT_EQ(s.TakeEvents(), (Lines{"zpopmin z", "del z"}));
    EXPECT_EQ(s.TakeEffects(), (Lines{"ZPOPMIN z 1"}));
    EXPECT_EQ(s.Run({"ZMPOP", "1", "z", "MAX"}), resp3 ? "_\r\n" : "*-1\r\n");
    EXPECT_EQ(s.Run({"ZPOPMIN", "z", "-1"}), Error("ERR value is out of range, must be positive"));
  });
}

TEST(zset_events_and_effects) {
  TestServer s(4);
  s.Listen();
  s.Run({"ZADD", "z", "1", "a", "2", "b", "3", "c", "4", "d"});
  EXPECT_EQ(s.TakeEvents(), (Lines{"new z", "zadd z"}));
  EXPECT_EQ(s.last_dirty(), 4);
  s.Run({"ZADD", "z", "1", "a"});
  EXPECT_TRUE(s.TakeEvents().empty());
  s.Run({"ZINCRBY", "z", "1", "a"});
  s.Run({"ZREM", "z", "a", "nobody"});
  s.Run({"ZREMRANGEBYRANK", "z", "0", "0"});
  s.Run({"ZREMRANGEBYSCORE", "z", "3", "3"});
  EXPECT_EQ(s.TakeEvents(),
            (Lines{"zincr z", "zrem z", "zremrangebyrank z", "zremrangebyscore z"}));
  s.TakeEffects();
  s.Run({"ZUNIONSTORE", "u", "2", "z", "none"});
  s.Run({"ZRANGESTORE", "r", "u", "0", "-1"});
  EXPECT_EQ(s.TakeEvents(),
            (Lines{"keymiss none", "new u", "zunionstore u", "new r", "zrangestore r"}));
  s.Run({"ZREMRANGEBYLEX", "z", "-", "+"});
  EXPECT_EQ(s.TakeEvents(), (Lines{"zremrangebylex z", "del z"}));
  s.TakeEffects();
  s.Run({"ZINTERSTORE", "u", "2", "u", "z"});
  EXPECT_EQ(s.TakeEvents(), (Lines{"keymiss z", "del u"}));
  EXPECT_EQ(s.TakeEffects(), (Lines{"ZINTERSTORE u 2 u z"}));
  s.Run({"ZDIFFSTORE", "u", "1", "z"});
  EXPECT_EQ(s.TakeEvents(), (Lines{"keymiss z"}));
  EXPECT_TRUE(s.TakeEffects().empty());
}

TEST(zset_combinations_across_shards) {
  Matrix([](TestServer& s, bool is_packed) {
    s.Run({"ZADD", "one", "1", "a", "2", "b", "3", "c"});
    s.Run({"ZADD", "two", "10", "b", "20", "c", "inf", "d"});
    EXPECT_EQ(s.Run({"ZUNIONSTORE", "out", "2", "one", "two", "WEIGHTS", "2", "1"}), Integer(4));
    EXPECT_EQ(s.encoding("out"), std::string(is_packed ? "listpack" : "skiplist"));
    EXPECT_EQ(s.Run({"ZRANGE", "out", "0", "-1"}), Flat({"a", "b", "c", "d"}));
    EXPECT_EQ(s.Run({"ZUNION", "2", "one", "two", "AGGREGATE", "MAX"}), Flat({"a", "b", "c", "d"}));
    EXPECT_EQ(s.Run({"ZINTER", "2", "one", "two"}), Flat({"b", "c"}));
    EXPECT_EQ(s.Run({"ZDIFF", "2", "one", "two"}), Flat({"a"}));
    EXPECT_EQ(s.Run({"ZINTERCARD", "2", "one", "two", "LIMIT", "1"}), Integer(1));
    // A destination that is a source, and infinities of both signs.
    EXPECT_EQ(s.Run({"ZUNIONSTORE", "two", "2", "two", "two", "WEIGHTS", "1", "-1"}), Integer(3));
    EXPECT_EQ(s.Run({"ZCOUNT", "two", "0", "0"}), Integer(3));
    EXPECT_EQ(s.Run({"ZRANGESTORE", "part", "one", "2", "+inf", "BYSCORE", "LIMIT", "0", "1"}),
              Integer(1));
    EXPECT_EQ(s.Run({"ZRANGE", "part", "0", "-1"}), Flat({"b"}));
  });
}

TEST(zset_combinations_take_sets) {
  for (const size_t set_entries : {size_t{128}, size_t{0}}) {
    Matrix([&](TestServer& s, bool) {
      s.engine().options().set_max_listpack_entries.Set(static_cast<int64_t>(set_entries));
      s.engine().options().set_max_intset_entries.Set(static_cast<int64_t>(set_entries));
      s.Run({"ZADD", "z", "1", "a", "2", "7", "3", "c"});
      s.Run({"SADD", "texts", "a", "b", "7"});
      s.Run({"SADD", "numbers", "7", "8", "-9"});
      EXPECT_EQ(
          s.Run({"ZUNIONSTORE", "out", "3", "texts", "z", "numbers", "WEIGHTS", "10", "1", "100"}),
          Integer(6));
      EXPECT_EQ(s.Run({"ZRANGE", "out", "0", "-1"}), Flat({"c", "b", "a", "-9", "8", "7"}));
      EXPECT_EQ(s.Run({"ZRANGEBYSCORE", "out", "112", "112"}), Flat({"7"}));
      EXPECT_EQ(s.Run({"ZINTER", "2", "z", "texts"}), Flat({"a", "7"}));
      EXPECT_EQ(s.Run({"ZINTERCARD", "3", "texts", "numbers", "z"}), Integer(1));
      EXPECT_EQ(s.Run({"ZDIFF", "2", "numbers", "z"}), Flat({"-9", "8"}));
      EXPECT_EQ(s.Run({"ZDIFF", "2", "z", "numbers"}), Flat({"a", "c"}));
      EXPECT_EQ(s.Run({"ZUNION", "1", "texts"}), Flat({"7", "a", "b"}));
    });
  }
}

TEST(zset_store_replaces_any_value_and_its_expiry) {
  TestServer s(8);
  s.Run({"SET", "out", "text", "EX", "100"});
  s.Run({"ZADD", "z", "1", "a"});
  EXPECT_EQ(s.Run({"ZUNIONSTORE", "out", "1", "z"}), Integer(1));
  EXPECT_EQ(s.expiry_ms("out"), -1);
  EXPECT_EQ(s.Run({"ZRANGESTORE", "out", "none", "0", "-1"}), Integer(0));
  EXPECT_EQ(s.Run({"EXISTS", "out"}), Integer(0));
}

TEST(zrandmember_takes_each_member_once_or_not) {
  Matrix([](TestServer& s, bool) {
    s.session.resp = 2;
    s.Run({"ZADD", "z", "1", "a", "2", "b", "3", "c", "4", "d", "5", "e", "6", "f", "7", "g", "8",
           "h"});
    for (const char* count : {"1", "2", "5", "8", "100"}) {
      const std::string reply = s.Run({"ZRANDMEMBER", "z", count});
      for (const char member : std::string("abcdefgh")) {
        const std::string bulk = Bulk(std::string(1, member));
        const size_t found = reply.find(bulk);
        EXPECT_TRUE(found == std::string::npos || reply.find(bulk, found + 1) == std::string::npos);
      }
    }
    EXPECT_TRUE(s.Run({"ZRANDMEMBER", "z", "100"}).starts_with("*8\r\n"));
    EXPECT_TRUE(s.Run({"ZRANDMEMBER", "z", "-100", "WITHSCORES"}).starts_with("*200\r\n"));
    EXPECT_EQ(s.Run({"ZRANDMEMBER", "z", "-67108865"}), Error("ERR value is out of range"));
    EXPECT_EQ(s.Run({"ZRANDMEMBER", "none"}), "$-1\r\n");
    EXPECT_EQ(s.Run({"ZRANDMEMBER", "none", "3"}), "*0\r\n");
  });
}

TEST(zscan_visits_all_and_prints_as_redis_does) {
  TestServer s;
  s.Run({"ZADD", "small", "0.1", "a"});
  EXPECT_EQ(s.Run({"ZSCAN", "small", "0"}), "*2\r\n$1\r\n0\r\n" + Flat({"a", "0.1"}));
  s.engine().options().zset_max_listpack_entries.Set(0);
  s.Run({"ZADD", "big", "0.1", "a"});
  EXPECT_EQ(s.Run({"ZSCAN", "big", "0"}), "*2\r\n$1\r\n0\r\n" + Flat({"a", "0.10000000000000001"}));
  EXPECT_EQ(s.Run({"ZSCAN", "big", "0", "MATCH", "b*"}), "*2\r\n$1\r\n0\r\n*0\r\n");
  EXPECT_EQ(s.Run({"ZSCAN", "big", "x"}), Error("ERR invalid cursor"));
  EXPECT_EQ(s.Run({"ZSCAN", "big", "0", "COUNT", "0"}), Error("ERR syntax error"));
}

TEST(zset_big_values_go_in_slices) {
  TestServer s;
  constexpr int kMembers = 20'000;
  for (int i = 0; i < kMembers; i++)
    s.Run({"ZADD", "z", std::to_string(i), "member:" + std::to_string(i)});
  engine::Keyspace& space = s.engine().keyspace(0);
  const size_t full = space.heap().used_bytes();
  s.Run({"ZREMRANGEBYSCORE", "z", "-inf", "+inf"});
  EXPECT_EQ(s.Run({"EXISTS", "z"}), Integer(0));
  EXPECT_TRUE(space.has_deferred_frees());
  EXPECT_TRUE(space.FreeDeferred(100));
  EXPECT_TRUE(space.heap().used_bytes() > full / 2);
  while (space.FreeDeferred(1000)) {
  }
  EXPECT_TRUE(space.heap().used_bytes() < full / 20);
}

TEST(geo_places_and_distances) {
  Matrix([](TestServer& s, bool) {
    s.Listen();
    EXPECT_EQ(s.Run({"GEOADD", "g", "13.361389", "38.115556", "Palermo", "15.087269", "37.502669",
                     "Catania"}),
              Integer(2));
    EXPECT_EQ(s.TakeEffects(), (Lines{"zadd g 3479099956230698 Palermo 3479447370796909 Catania"}));
    EXPECT_EQ(s.TakeEvents(), (Lines{"new g", "zadd g"}));
    EXPECT_EQ(s.Run({"GEODIST", "g", "Palermo", "Catania"}), Bulk("166274.1516"));
    EXPECT_EQ(s.Run({"GEODIST", "g", "Palermo", "Catania", "KM"}), Bulk("166.2742"));
    EXPECT_EQ(s.Run({"GEOHASH", "g", "Palermo", "Catania"}), Flat({"sqc8b49rny0", "sqdtr74hyu0"}));
    const bool resp3 = s.session.resp == 3;
    EXPECT_EQ(s.Run({"GEOPOS", "g", "Palermo", "x"}),
              resp3
                  ? "*2\r\n*2\r\n,13.36138933897018433\r\n,38.11555639549629859\r\n_\r\n"
                  : "*2\r\n" + Flat({"13.36138933897018433", "38.11555639549629859"}) + "*-1\r\n");
    EXPECT_EQ(s.Run({"GEORADIUS", "g", "15", "37", "200", "km", "WITHDIST", "DESC"}),
              "*2\r\n" + Flat({"Palermo", "190.4424"}) + Flat({"Catania", "56.4413"}));
    EXPECT_EQ(s.Run({"GEOSEARCH", "g", "FROMLONLAT", "15", "37", "BYBOX", "400", "400", "km", "ASC",
                     "COUNT", "1"}),
              Flat({"Catania"}));
    EXPECT_EQ(s.Run({"GEORADIUSBYMEMBER_RO", "g", "Palermo", "100", "km"}), Flat({"Palermo"}));
    s.TakeEffects();
    s.TakeEvents();
    EXPECT_EQ(s.Run({"GEOSEARCHSTORE", "near", "g", "FROMMEMBER", "Catania", "BYRADIUS", "1", "m",
                     "STOREDIST"}),
              Integer(1));
    EXPECT_EQ(s.Run({"ZSCORE", "near", "Catania"}), resp3 ? ",0\r\n" : Bulk("0"));
    EXPECT_EQ(s.Run({"GEORADIUS", "g", "15", "37", "200", "km", "STORE", "all"}), Integer(2));
    EXPECT_EQ(s.TakeEvents(),
              (Lines{"new near", "geosearchstore near", "new all", "georadiusstore all"}));
    EXPECT_EQ(s.Run({"GEORADIUS", "g", "15", "37", "1", "m", "STORE", "all"}), Integer(0));
    EXPECT_EQ(s.TakeEvents(), (Lines{"del all"}));
    EXPECT_EQ(s.Run({"GEOADD", "g", "200", "100", "x"}),
              Error("ERR invalid longitude,latitude pair 200.000000,100.000000"));
  });
}

}  // namespace sherd
