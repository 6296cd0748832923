// Times to live of hash fields: replies, errors and effects as Redis 7.4 and 8.0 document and test them, in
// every encoding; what expired fields look like to each command; their deletion on lookup and by the cycle.
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "commands/test_util.h"
#include "engine/field_expiry.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;
using Lines = std::vector<std::string>;

void ForEachVariant(const std::function<void(TestServer&)>& body) {
  for (const int shards : {1, 8}) {
    for (const int max_entries : {512, 0}) {
      TestServer server(shards);
      server.engine().options().hash_max_listpack_entries.Set(max_entries);
      body(server);
      server.Validate();
    }
  }
}

std::string Array(std::initializer_list<std::string> items) {
  std::string reply = "*" + std::to_string(items.size()) + "\r\n";
  for (const std::string& item : items) reply += item;
  return reply;
}
std::string Codes(std::initializer_list<int64_t> codes) {
  std::string reply = "*" + std::to_string(codes.size()) + "\r\n";
  for (const int64_t code : codes) reply += Integer(code);
  return reply;
}
const std::string kNull = "$-1\r\n";

std::string At(const TestServer& server, int64_t after_ms) { return std::to_string(server.now_ms() + after_ms); }

// ---- HEXPIRE and its like ----

TEST(field_ttl_codes) {
  ForEachVariant([](TestServer& server) {
    server.Run({"HSET", "h", "a", "1", "b", "2", "c", "3"});
    EXPECT_EQ(server.Run({"HEXPIRE", "h", "100", "FIELDS", "3", "a", "x", "b"}), Codes({1, -2, 1}));
    EXPECT_EQ(server.last_dirty(), 2);
    EXPECT_EQ(server.Run({"HTTL", "h", "FIELDS", "4", "a", "b", "c", "x"}), Codes({100, 100, -1, -2}));
    EXPECT_EQ(server.Run({"HPTTL", "h", "FIELDS", "1", "a"}), Codes({100'000}));
    EXPECT_EQ(server.Run({"HPEXPIRE", "h", "1001", "FIELDS", "1", "a"}), Codes({1}));
    EXPECT_EQ(server.Run({"HTTL", "h", "FIELDS", "1", "a"}), Codes({2}));  // rounded up
    EXPECT_EQ(server.Run({"HPEXPIREAT", "h", "4102444800123", "FIELDS", "1", "a"}), Codes({1}));
    EXPECT_EQ(server.Run({"HEXPIRETIME", "h", "FIELDS", "2", "a", "c"}), Codes({4102444801, -1}));
    EXPECT_EQ(server.Run({"HPEXPIRETIME", "h", "FIELDS", "2", "a", "x"}), Codes({4102444800123, -2}));
    EXPECT_EQ(server.Run({"HEXPIREAT", "h", "4102444800", "FIELDS", "1", "b"}), Codes({1}));
    EXPECT_EQ(server.Run({"HPEXPIRETIME", "h", "FIELDS", "1", "b"}), Codes({4102444800000}));
    EXPECT_EQ(server.Run({"HPERSIST", "h", "FIELDS", "3", "a", "c", "x"}), Codes({1, -1, -2}));
    EXPECT_EQ(server.Run({"HTTL", "h", "FIELDS", "1", "a"}), Codes({-1}));
    for (const char* command : {"HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME", "HPERSIST"}) {
      EXPECT_EQ(server.Run({command, "nokey", "FIELDS", "2", "a", "b"}), Codes({-2, -2}));
    }
    EXPECT_EQ(server.Run({"HPEXPIRE", "nokey", "1", "FIELDS", "1", "a"}), Codes({-2}));
  });
}

TEST(field_ttl_conditions) {
  ForEachVariant([](TestServer& server) {
    server.Run({"HSET", "h", "a", "1", "b", "2"});
    const auto expire = [&](const char* time, const char* condition, const char* field) {
      return server.Run({"HEXPIRE", "h", time, condition, "FIELDS", "1", field});
    };
    EXPECT_EQ(expire("100", "XX", "a"), Codes({0}));
    EXPECT_EQ(expire("100", "GT", "a"), Codes({0}));
    EXPECT_EQ(expire("100", "nx", "a"), Codes({1}));
    EXPECT_EQ(expire("50", "NX", "a"), Codes({0}));
    EXPECT_EQ(expire("100", "GT", "a"), Codes({0}));
    EXPECT_EQ(expire("101", "gt", "a"), Codes({1}));
    EXPECT_EQ(expire("101", "LT", "a"), Codes({0}));
    EXPECT_EQ(expire("99", "LT", "a"), Codes({1}));
    EXPECT_EQ(expire("9", "LT", "b"), Codes({1}));  // none is infinitely late
    EXPECT_EQ(expire("8", "XX", "b"), Codes({1}));
    EXPECT_EQ(server.Run({"HTTL", "h", "FIELDS", "2", "a", "b"}), Codes({99, 8}));
    // A time that has passed is subject to the condition as well.
    EXPECT_EQ(server.Run({"HPEXPIREAT", "h", "1", "GT", "FIELDS", "1", "a"}), Codes({0}));
    EXPECT_EQ(server.Run({"HPEXPIREAT", "h", "1", "LT", "FIELDS", "2", "a", "x"}), Codes({2, -2}));
  });
}

TEST(field_ttl_of_the_past_deletes) {
  ForEachVariant([](TestServer& server) {
    server.Run({"HSET", "h", "a", "1", "b", "2", "c", "3"});
    server.Listen();
    EXPECT_EQ(server.Run({"HEXPIRE", "h", "0", "FIELDS", "3", "a", "x", "b"}), Codes({2, -2, 2}));
    EXPECT_TRUE((server.TakeEffects() == Lines{"HDEL h a b"}));
    EXPECT_TRUE((server.TakeEvents() == Lines{"hdel h"}));
    EXPECT_EQ(server.Run({"HLEN", "h"}), Integer(1));
    EXPECT_EQ(server.Run({"HPEXPIREAT", "h", At(server, 0), "FIELDS", "1", "c"}), Codes({2}));
    EXPECT_TRUE((server.TakeEffects() == Lines{"HDEL h c"}));
    EXPECT_TRUE((server.TakeEvents() == Lines{"hdel h", "del h"}));
    EXPECT_EQ(server.Run({"EXISTS", "h"}), Integer(0));
  });
}

TEST(field_ttl_effects) {
  ForEachVariant([](TestServer& server) {
    server.Run({"HSET", "h", "a", "1", "b", "2", "c", "3"});
    server.Listen();
    server.Run({"HPEXPIRE", "h", "500", "FIELDS", "3", "a", "x", "b"});
    EXPECT_TRUE((server.TakeEffects() == Lines{"HPEXPIREAT h " + At(server, 500) + " FIELDS 2 a b"}));
    EXPECT_TRUE((server.TakeEvents() == Lines{"hexpire h"}));
    server.Run({"HEXPIRE", "h", "7", "NX", "FIELDS", "2", "a", "c"});
    EXPECT_TRUE((server.TakeEffects() == Lines{"HPEXPIREAT h " + At(server, 7000) + " NX FIELDS 1 c"}));
    server.TakeEvents();
    server.Run({"HEXPIRE", "h", "7", "NX", "FIELDS", "1", "a"});
    server.Run({"HPERSIST", "h", "FIELDS", "1", "x"});
    EXPECT_TRUE(server.TakeEffects().empty());
    EXPECT_TRUE(server.TakeEvents().empty());
    server.Run({"HPERSIST", "h", "FIELDS", "2", "a", "x"});
    EXPECT_TRUE((server.TakeEffects() == Lines{"HPERSIST h FIELDS 2 a x"}));
    EXPECT_TRUE((server.TakeEvents() == Lines{"hpersist h"}));
  });
}

TEST(field_ttl_errors_of_hexpire) {
  TestServer server;
  server.Run({"HSET", "h", "a", "1"});
  server.Run({"SET", "s", "v"});
  const auto expire = [&](std::string_view time, std::string_view word, std::string_view count) {
    return server.Run({"HEXPIRE", "h", time, word, count, "a"});
  };
  EXPECT_EQ(expire("-1", "FIELDS", "1"), Error("ERR invalid expire time, must be >= 0"));
  EXPECT_EQ(expire("abc", "FIELDS", "1"), Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(expire("9223372036854775807", "FIELDS", "1"), Error("ERR invalid expire time in 'hexpire' command"));
  EXPECT_EQ(expire("70368744177", "FIELDS", "1"), Error("ERR invalid expire time in 'hexpire' command"));
  EXPECT_EQ(expire("10", "FIELD", "1"),
            Error("ERR Mandatory argument FIELDS is missing or not at the right position"));
  for (const char* count : {"0", "-1", "x", "", "1.5", "9223372036854775808"}) {
    EXPECT_EQ(expire("10", "FIELDS", count), Error("ERR Parameter `numFields` should be greater than 0"));
  }
  EXPECT_EQ(expire("10", "FIELDS", "2"),
            Error("ERR The `numfields` parameter must match the number of arguments"));
  EXPECT_EQ(server.Run({"HEXPIRE", "h", "10", "NX", "XX", "FIELDS", "1", "a"}),
            Error("ERR Mandatory argument FIELDS is missing or not at the right position"));
  EXPECT_EQ(server.Run({"HPEXPIREAT", "h", "70368744177664", "FIELDS", "1", "a"}),
            Error("ERR invalid expire time in 'hpexpireat' command"));
  EXPECT_EQ(server.Run({"HPEXPIREAT", "h", "70368744177663", "FIELDS", "1", "a"}), Codes({1}));
  // The type is looked at before the arguments.
  EXPECT_EQ(server.Run({"HEXPIRE", "s", "x", "y", "z", "a"}),
            Error("WRONGTYPE Operation against a key holding the wrong kind of value"));
  EXPECT_EQ(server.Run({"HTTL", "s", "y", "z", "a"}),
            Error("WRONGTYPE Operation against a key holding the wrong kind of value"));
}

TEST(field_ttl_errors_of_the_others) {
  TestServer server;
  server.Run({"HSET", "h", "a", "1"});
  for (const char* command : {"HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME", "HPERSIST", "HGETDEL", "HGETEX"}) {
    EXPECT_EQ(server.Run({command, "h", "FIELD", "1", "a"}),
              Error("ERR Mandatory argument FIELDS is missing or not at the right position"));
    EXPECT_EQ(server.Run({command, "h", "FIELDS", "0", "a"}),
              Error("ERR Number of fields must be a positive integer"));
    EXPECT_EQ(server.Run({command, "h", "FIELDS", "9223372036854775808", "a"}),
              Error("ERR Number of fields must be a positive integer"));
    EXPECT_EQ(server.Run({command, "h", "FIELDS", "2", "a"}),
              Error("ERR The `numfields` parameter must match the number of arguments"));
  }
}

TEST(field_ttl_hset_drops_and_hincrby_keeps) {
  ForEachVariant([](TestServer& server) {
    server.Run({"HSET", "h", "a", "1", "b", "2", "c", "3.5", "d", "4"});
    server.Run({"HEXPIRE", "h", "1000", "FIELDS", "4", "a", "b", "c", "d"});
    server.Run({"HSET", "h", "a", "9"});
    server.Run({"HINCRBY", "h", "b", "5"});
    server.Run({"HINCRBYFLOAT", "h", "c", "1.5"});
    server.Run({"HSETNX", "h", "d", "7"});
    EXPECT_EQ(server.Run({"HTTL", "h", "FIELDS", "4", "a", "b", "c", "d"}), Codes({-1, 1000, 1000, 1000}));
    EXPECT_EQ(server.Run({"HMGET", "h", "a", "b", "c", "d"}), Array({Bulk("9"), Bulk("7"), Bulk("5"), Bulk("4")}));
    EXPECT_EQ(server.Run({"HDEL", "h", "b"}), Integer(1));
    EXPECT_EQ(server.Run({"HTTL", "h", "FIELDS", "1", "b"}), Codes({-2}));
  });
}

// ---- HGETEX, HSETEX, HGETDEL ----

TEST(field_ttl_hgetex) {
  ForEachVariant([](TestServer& server) {
    server.Run({"HSET", "h", "a", "1", "b", "two"});
    server.Listen();
    EXPECT_EQ(server.Run({"HGETEX", "h", "FIELDS", "3", "a", "x", "b"}), Array({Bulk("1"), kNull, Bulk("two")}));
    EXPECT_EQ(server.Run({"HGETEX", "h", "PERSIST", "FIELDS", "1", "a"}), Array({Bulk("1")}));
    EXPECT_EQ(server.Run({"HGETEX", "nokey", "EX", "1", "FIELDS", "2", "a", "b"}), Array({kNull, kNull}));
    EXPECT_TRUE(server.TakeEffects().empty());
    EXPECT_TRUE(server.TakeEvents().empty());
    EXPECT_EQ(server.Run({"HGETEX", "h", "EX", "10", "FIELDS", "2", "a", "x"}), Array({Bulk("1"), kNull}));
    EXPECT_TRUE((server.TakeEffects() == Lines{"HPEXPIREAT h " + At(server, 10'000) + " FIELDS 1 a"}));
    EXPECT_TRUE((server.TakeEvents() == Lines{"hexpire h"}));
    EXPECT_EQ(server.Run({"HGETEX", "h", "pxat", At(server, 77), "FIELDS", "1", "b"}), Array({Bulk("two")}));
    EXPECT_EQ(server.Run({"HPTTL", "h", "FIELDS", "2", "a", "b"}), Codes({10'000, 77}));
    server.TakeEffects();
    server.TakeEvents();
    EXPECT_EQ(server.Run({"HGETEX", "h", "PERSIST", "FIELDS", "2", "b", "x"}), Array({Bulk("two"), kNull}));
    EXPECT_TRUE((server.TakeEffects() == Lines{"HPERSIST h FIELDS 1 b"}));
    EXPECT_TRUE((server.TakeEvents() == Lines{"hpersist h"}));
    EXPECT_EQ(server.Run({"HGETEX", "h", "PX", "0", "FIELDS", "3", "a", "b", "a"}),
              Array({Bulk("1"), Bulk("two"), kNull}));
    EXPECT_TRUE((server.TakeEffects() == Lines{"HDEL h a b"}));
    EXPECT_TRUE((server.TakeEvents() == Lines{"hdel h", "del h"}));
  });
}

TEST(field_ttl_hgetex_errors) {
  TestServer server;
  server.Run({"HSET", "h", "a", "1"});
  const std::string position = Error("ERR Mandatory argument FIELDS is missing or not at the right position");
  EXPECT_EQ(server.Run({"HGETEX", "h", "PXAT", "1", "1"}), position);
  EXPECT_EQ(server.Run({"HGETEX", "h", "PERSIST", "1", "FIELDS", "1", "a"}), position);
  EXPECT_EQ(server.Run({"HGETEX", "h", "EX", "1", "PERSIST", "FIELDS", "1", "a"}), position);
  EXPECT_EQ(server.Run({"HGETEX", "h", "KEEPTTL", "FIELDS", "1", "a"}), position);
  EXPECT_EQ(server.Run({"HGETEX", "h", "EX", "bla", "FIELDS", "1", "a"}),
            Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(server.Run({"HGETEX", "h", "PX", "-1", "FIELDS", "1", "a"}),
            Error("ERR invalid expire time, must be >= 0"));
  EXPECT_EQ(server.Run({"HGETEX", "h", "PX", "70368744177663", "FIELDS", "1", "a"}),
            Error("ERR invalid expire time in 'hgetex' command"));
  EXPECT_EQ(server.Run({"HGETEX", "h", "EX", "5", "FIELDS"}),
            Error("ERR wrong number of arguments for 'hgetex' command"));
}

TEST(field_ttl_hsetex) {
  ForEachVariant([](TestServer& server) {
    server.Listen();
    EXPECT_EQ(server.Run({"HSETEX", "h", "FXX", "FIELDS", "1", "a", "1"}), Integer(0));
    EXPECT_EQ(server.Run({"EXISTS", "h"}), Integer(0));
    server.TakeEvents();
    EXPECT_EQ(server.Run({"HSETEX", "h", "FNX", "FIELDS", "2", "a", "1", "b", "2"}), Integer(1));
    EXPECT_EQ(server.last_dirty(), 2);
    EXPECT_TRUE((server.TakeEffects() == Lines{"HSETEX h FNX FIELDS 2 a 1 b 2"}));
    EXPECT_TRUE((server.TakeEvents() == Lines{"new h", "hset h"}));
    EXPECT_EQ(server.Run({"HSETEX", "h", "FNX", "FIELDS", "2", "c", "1", "a", "2"}), Integer(0));
    EXPECT_EQ(server.Run({"HSETEX", "h", "FXX", "FIELDS", "2", "a", "1", "c", "2"}), Integer(0));
    EXPECT_TRUE(server.TakeEffects().empty());
    EXPECT_EQ(server.Run({"HSETEX", "h", "EX", "100", "fxx", "FIELDS", "1", "a", "9"}), Integer(1));
    EXPECT_TRUE((server.TakeEffects() == Lines{"HSETEX h PXAT " + At(server, 100'000) + " fxx FIELDS 1 a 9"}));
    EXPECT_TRUE((server.TakeEvents() == Lines{"hset h", "hexpire h"}));
    EXPECT_EQ(server.Run({"HSETEX", "h", "KEEPTTL", "FIELDS", "2", "a", "10", "b", "3"}), Integer(1));
    EXPECT_EQ(server.Run({"HTTL", "h", "FIELDS", "2", "a", "b"}), Codes({100, -1}));
    EXPECT_EQ(server.Run({"HSETEX", "h", "FIELDS", "1", "a", "11"}), Integer(1));
    EXPECT_EQ(server.Run({"HTTL", "h", "FIELDS", "1", "a"}), Codes({-1}));
    server.TakeEffects();
    server.TakeEvents();
    EXPECT_EQ(server.Run({"HSETEX", "h", "EXAT", "1", "FIELDS", "2", "a", "1", "z", "1"}), Integer(1));
    EXPECT_TRUE((server.TakeEffects() == Lines{"HDEL h a z"}));
    EXPECT_TRUE((server.TakeEvents() == Lines{"hset h", "hdel h"}));
    EXPECT_EQ(server.Run({"HGETALL", "h"}), Array({Bulk("b"), Bulk("3")}));
    EXPECT_EQ(server.Run({"HSETEX", "new", "PX", "0", "FIELDS", "1", "a", "1"}), Integer(1));
    EXPECT_TRUE((server.TakeEvents() == Lines{"new new", "hset new", "hdel new", "del new"}));
    EXPECT_EQ(server.Run({"EXISTS", "new"}), Integer(0));
  });
}

TEST(field_ttl_hsetex_errors) {
  TestServer server;
  server.Run({"SET", "s", "v"});
  const auto run = [&](std::initializer_list<std::string_view> words) {
    std::vector<std::string_view> line = {"HSETEX", "s"};
    line.insert(line.end(), words.begin(), words.end());
    return server.RunLine(line);
  };
  const std::string arity = Error("ERR wrong number of arguments for 'hsetex' command");
  EXPECT_EQ(run({"FIELDS", "2", "a", "1"}), arity);
  EXPECT_EQ(run({"FIELDS", "1", "a", "1", "b"}), arity);
  EXPECT_EQ(run({"EX", "1", "FIELDS", "1"}), arity);
  for (const char* count : {"0", "-1", "x", "9223372036854775808", "2147483648"}) {
    EXPECT_EQ(run({"FIELDS", count, "a", "1"}), Error("ERR invalid number of fields"));
  }
  EXPECT_EQ(run({"nx", "FIELDS", "1", "a", "1"}), Error("ERR unknown argument: nx"));
  const std::string conditions = Error("ERR Only one of FXX or FNX arguments can be specified");
  EXPECT_EQ(run({"FXX", "FNX", "FIELDS", "1", "a", "1"}), conditions);
  EXPECT_EQ(run({"FXX", "fxx", "FIELDS", "1", "a", "1"}), conditions);
  const std::string times = Error("ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified");
  EXPECT_EQ(run({"EX", "1", "PX", "1", "FIELDS", "1", "a", "1"}), times);
  EXPECT_EQ(run({"KEEPTTL", "KEEPTTL", "FIELDS", "1", "a", "1"}), times);
  EXPECT_EQ(run({"EX", "FIELDS", "1", "a", "1"}), Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(run({"EXAT", "-1", "1", "a", "b"}), Error("ERR invalid expire time, must be >= 0"));
  EXPECT_EQ(run({"PX", "70368744177663", "FIELDS", "1", "a", "b"}),
            Error("ERR invalid expire time in 'hsetex' command"));
  EXPECT_EQ(run({"FXX", "KEEPTTL", "FXY", "EX"}), Error("ERR unknown argument: FXY"));
  EXPECT_EQ(run({"FXX", "x", "x", "EX"}), Error("ERR unknown argument: x"));
  EXPECT_EQ(run({"FNX", "PX", "7", "KEEPTTL"}), times);
  EXPECT_EQ(run({"FIELDS", "1", "a", "1"}),
            Error("WRONGTYPE Operation against a key holding the wrong kind of value"));
}

TEST(field_ttl_hgetdel) {
  ForEachVariant([](TestServer& server) {
    server.Run({"HSET", "h", "a", "1", "b", "2"});
    server.Run({"HEXPIRE", "h", "100", "FIELDS", "1", "a"});
    server.Listen();
    EXPECT_EQ(server.Run({"HGETDEL", "h", "FIELDS", "3", "a", "x", "a"}), Array({Bulk("1"), kNull, kNull}));
    EXPECT_TRUE((server.TakeEffects() == Lines{"HDEL h a"}));
    EXPECT_TRUE((server.TakeEvents() == Lines{"hdel h"}));
    EXPECT_EQ(server.Run({"HGETDEL", "h", "FIELDS", "1", "x"}), Array({kNull}));
    EXPECT_TRUE(server.TakeEffects().empty());
    EXPECT_EQ(server.Run({"HGETDEL", "h", "FIELDS", "1", "b"}), Array({Bulk("2")}));
    EXPECT_TRUE((server.TakeEvents() == Lines{"hdel h", "del h"}));
    EXPECT_EQ(server.Run({"HGETDEL", "h", "FIELDS", "1", "b"}), Array({kNull}));
  });
}

// ---- Expiry ----

// Five fields, two of which (b, d) expire after 100 ms.
void MakePartlyExpiring(TestServer& server) {
  server.Run({"HSET", "h", "a", "1", "b", "2", "c", "3", "d", "4", "e", "5"});
  server.Run({"HPEXPIRE", "h", "100", "FIELDS", "2", "b", "d"});
}

TEST(field_expiry_shows_at_the_millisecond) {
  ForEachVariant([](TestServer& server) {
    MakePartlyExpiring(server);
    server.AdvanceMs(100);
    EXPECT_EQ(server.Run({"HLEN", "h"}), Integer(5));
    EXPECT_EQ(server.Run({"HPTTL", "h", "FIELDS", "1", "b"}), Codes({0}));
    server.AdvanceMs(1);
    EXPECT_EQ(server.Run({"HLEN", "h"}), Integer(3));
    EXPECT_EQ(server.Run({"HPTTL", "h", "FIELDS", "1", "b"}), Codes({-2}));
  });
}

TEST(field_expiry_on_lookup_tells_everyone) {
  ForEachVariant([](TestServer& server) {
    MakePartlyExpiring(server);
    server.Listen();
    server.AdvanceMs(101);
    EXPECT_EQ(server.Run({"HGET", "h", "a"}), Bulk("1"));
    const Lines effects = server.TakeEffects();
    EXPECT_TRUE(effects == Lines{"HDEL h b d"} || effects == Lines{"HDEL h d b"});
    EXPECT_TRUE((server.TakeEvents() == Lines{"hexpired h"}));
    server.Run({"HPEXPIRE", "h", "100", "FIELDS", "3", "a", "c", "e"});
    server.TakeEvents();
    server.AdvanceMs(101);
    EXPECT_EQ(server.Run({"EXISTS", "h"}), Integer(0));
    EXPECT_TRUE((server.TakeEvents() == Lines{"hexpired h", "del h", "keymiss h"}));
  });
}

// More fields expire than one lookup deletes: the rest must be invisible all the same.
TEST(field_expiry_hides_what_is_not_deleted_yet) {
  ForEachVariant([](TestServer& server) {
    constexpr int kFields = static_cast<int>(engine::kExpiredFieldsMax) * 10;
    server.engine().options().hash_max_listpack_entries.Set(
        server.engine().options().hash_max_listpack_entries.Get() == 0 ? 0 : kFields * 2);
    for (int i = 0; i < kFields; i++) {
      const std::string name = "f" + std::to_string(i);
      server.Run({"HSETEX", "h", "PX", i % 2 == 0 ? "50" : "60", "FIELDS", "1", name, "1"});
    }
    server.Run({"HSET", "h", "stays", "v"});
    const std::string last = "f" + std::to_string(kFields - 1);
    server.AdvanceMs(100);
    EXPECT_EQ(server.Run({"HLEN", "h"}), Integer(1));
    EXPECT_EQ(server.Run({"HGETALL", "h"}), Array({Bulk("stays"), Bulk("v")}));
    EXPECT_EQ(server.Run({"HRANDFIELD", "h", "-2"}), Array({Bulk("stays"), Bulk("stays")}));
    EXPECT_EQ(server.Run({"HRANDFIELD", "h"}), Bulk("stays"));
    EXPECT_EQ(server.Run({"HEXISTS", "h", last}), Integer(0));
    EXPECT_EQ(server.Run({"HDEL", "h", last}), Integer(0));
    EXPECT_EQ(server.Run({"HINCRBY", "h", last, "5"}), Integer(5));
    EXPECT_EQ(server.Run({"HSETEX", "h", "KEEPTTL", "FIELDS", "1", "f" + std::to_string(kFields - 3), "x"}), Integer(1));
    EXPECT_EQ(server.Run({"HTTL", "h", "FIELDS", "1", "f" + std::to_string(kFields - 3)}), Codes({-1}));
    EXPECT_EQ(server.Run({"HLEN", "h"}), Integer(3));
    server.Validate();
  });
}

// What the worker does at its ticks.
void RunCycle(TestServer& server, int db, int64_t now_ms) {
  for (int shard = 0; shard < server.engine().shard_count(); shard++) {
    engine::Keyspace& space = server.engine().keyspace(static_cast<engine::ShardId>(shard));
    space.ExpireCycle(
        db, now_ms, space.db(db).table.bucket_count(), [](int, std::string_view) {},
        [&](int db_index, std::string_view name) {
          const engine::Key key = server.engine().MakeKey(name);
          const engine::Handle handle = space.Find(db_index, key);
          while (engine::ExpireHashFields(server.engine(), db_index, key, handle, now_ms)) {
          }
        });
  }
}

TEST(field_expiry_by_the_cycle) {
  ForEachVariant([](TestServer& server) {
    Random random(test::Seed());
    std::map<std::string, std::map<std::string, int64_t>> model;
    for (int i = 0; i < 3000; i++) {
      const std::string key = "h" + std::to_string(random.Below(20));
      const std::string name = "f" + std::to_string(random.Below(700));
      const int64_t ttl_ms = random.OneIn(3) ? -1 : 1 + static_cast<int64_t>(random.Below(1000));
      server.Run({"HSET", key, name, "v"});
      if (ttl_ms > 0) server.Run({"HPEXPIRE", key, std::to_string(ttl_ms), "FIELDS", "1", name});
      model[key][name] = ttl_ms;
    }
    int64_t elapsed_ms = 0;
    while (elapsed_ms < 1100) {
      const int64_t step_ms = static_cast<int64_t>(random.Below(300));
      server.AdvanceMs(step_ms);
      elapsed_ms += step_ms;
      RunCycle(server, 0, server.now_ms());
      server.Validate();
      for (const auto& [key, fields] : model) {
        int64_t alive = 0;
        for (const auto& [name, ttl_ms] : fields) alive += ttl_ms < 0 || ttl_ms >= elapsed_ms ? 1 : 0;
        // Beneath the commands: what is really stored.
        const engine::Key found = server.engine().MakeKey(key);
        const engine::Handle handle = server.engine().keyspace(found.shard).Find(0, found);
        EXPECT_EQ(static_cast<bool>(handle), alive > 0);
        EXPECT_EQ(server.Run({"HLEN", key}), Integer(alive));
      }
    }
    for (int shard = 0; shard < server.engine().shard_count(); shard++) {
      EXPECT_EQ(server.engine().keyspace(static_cast<engine::ShardId>(shard)).db(0).field_expires, 0u);
    }
  });
}

TEST(field_expiry_follows_keys) {
  ForEachVariant([](TestServer& server) {
    MakePartlyExpiring(server);
    server.Run({"COPY", "h", "copy"});
    server.Run({"RENAME", "h", "renamed"});
    server.Run({"PEXPIRE", "renamed", "1000"});
    server.Run({"MOVE", "copy", "5"});
    server.Run({"SWAPDB", "5", "6"});
    server.Validate();
    server.AdvanceMs(101);
    RunCycle(server, 0, server.now_ms());
    RunCycle(server, 6, server.now_ms());
    EXPECT_EQ(server.Run({"HLEN", "renamed"}), Integer(3));
    server.session.db = 6;
    EXPECT_EQ(server.Run({"HLEN", "copy"}), Integer(3));
    server.Run({"FLUSHALL"});
  });
}

}  // namespace
}  // namespace sherd
