// DEBUG: exact replies where Redis has the subcommand, routes, access, and the digest against
// values that redis-server 7.0.15 printed for the same data.
#include "commands/debug_commands.h"

#include "engine/debug_access.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/random.h"
#include "commands/registry.h"
#include "commands/test_util.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;

std::string Unknown(const std::string& name) {
  return Error("ERR unknown subcommand or wrong number of arguments for '" + name +
               "'. Try DEBUG HELP.");
}

TEST(debug_refuses_unknown_names_and_wrong_counts_alike) {
  TestServer server(8);
  EXPECT_EQ(server.Run({"DEBUG", "FOO"}), Unknown("FOO"));
  EXPECT_EQ(server.Run({"DEBUG", std::string(200, 'x')}), Unknown(std::string(128, 'x')));
  for (const char* name :
       {"SLEEP", "OBJECT", "POPULATE", "SET-ACTIVE-EXPIRE", "PROTOCOL", "HTSTATS", "HTSTATS-KEY",
        "DICT-RESIZING", "PAUSE-CRON", "LOG", "SDSLEN", "ERROR"}) {
    EXPECT_EQ(server.Run({"DEBUG", name}), Unknown(name));
  }
  for (const char* name : {"SLEEP", "SET-ACTIVE-EXPIRE", "PROTOCOL", "LOG", "SDSLEN"}) {
    EXPECT_EQ(server.Run({"DEBUG", name, "a", "b"}), Unknown(name));
  }
  EXPECT_EQ(server.Run({"DEBUG", "DIGEST", "x"}), Unknown("DIGEST"));
  EXPECT_EQ(server.Run({"DEBUG", "POPULATE", "1", "p", "1", "x"}), Unknown("POPULATE"));
  EXPECT_EQ(server.Run({"DEBUG", "REPLYBUFFER", "resizing"}), Unknown("REPLYBUFFER"));
  EXPECT_EQ(server.Run({"DEBUG", "REPLYBUFFER", "foo", "1"}), Unknown("REPLYBUFFER"));
}

TEST(debug_is_routed_by_its_subcommand) {
  TestServer server(8);
  const engine::Router router = Handlers().Find(FindCommand("debug")->id).router;
  const auto route = [&](std::vector<std::string_view> args) {
    engine::Route result;
    router(server.engine(), args, &result);
    return result;
  };
  EXPECT_TRUE(route({"debug", "sleep", "0"}).runs == Runs::kAllShards);
  EXPECT_TRUE(route({"debug", "DIGEST"}).runs == Runs::kAllShards);
  EXPECT_TRUE(route({"debug", "foo"}).runs == Runs::kConnection);
  EXPECT_TRUE(route({"debug", "object"}).runs == Runs::kConnection);
  EXPECT_TRUE(route({"debug", "digest-value"}).runs == Runs::kConnection);
  EXPECT_TRUE(route({"debug", "object", "k"}).runs == Runs::kKeys);
  EXPECT_TRUE(route({"debug", "object", "k", "fast"}).key_positions == std::vector<uint32_t>{2});
  EXPECT_TRUE(route({"debug", "digest-value", "a", "b"}).key_positions ==
              (std::vector<uint32_t>{2, 3}));
}

TEST(debug_access_follows_the_option) {
  TestServer server;
  engine::Engine& engine = server.engine();
  engine::Session session;
  EXPECT_FALSE(engine::DebugAllowed(engine.options(), session));
  engine.options().enable_debug_command.Set(engine::kDebugLocal);
  EXPECT_FALSE(engine::DebugAllowed(engine.options(), session));
  session.is_loopback = true;
  EXPECT_TRUE(engine::DebugAllowed(engine.options(), session));
  session.is_loopback = false;
  session.is_unix_socket = true;
  EXPECT_TRUE(engine::DebugAllowed(engine.options(), session));
  session.is_unix_socket = false;
  engine.options().enable_debug_command.Set(engine::kDebugYes);
  EXPECT_TRUE(engine::DebugAllowed(engine.options(), session));
}

// What redis-server 7.0 says of the same commands.
TEST(debug_digest_of_collections_is_that_of_redis) {
  TestServer server(4);
  server.Run({"RPUSH", "l", "a", "1", "bb"});
  server.Run({"SADD", "s", "a", "1", "bb"});
  server.Run({"ZADD", "z", "1.1", "a", "-inf", "b", "-0", "c"});
  server.Run({"XADD", "x", "1-1", "f", "v", "n", "12"});
  server.Run({"XADD", "x", "2-0", "g", "w"});
  server.Run({"HSET", "h", "f", "v", "n", "12"});
  EXPECT_EQ(server.Run({"DEBUG", "DIGEST-VALUE", "l", "s", "z", "x", "h"}),
            "*5\r\n+3e69a7772f4a0e2ac5ae9eb9043fe68db8295ad3\r\n"
            "+9bb43bb6747536182c2f56b3820766db59f44e27\r\n"
            "+25d4b761a7afc949dc69a316aeb93a0408bd71df\r\n"
            "+96c206c5ebca7fc9e343d0175e38423ab6768669\r\n"
            "+76d7ce7d8cb69c65ddb54b94589fa9396351461b\r\n");
}

TEST(debug_digest_is_that_of_redis) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    EXPECT_EQ(server.Run({"DEBUG", "DIGEST"}), "+0000000000000000000000000000000000000000\r\n");
    server.Run({"SET", "a", "1"});
    server.Run({"SET", "b", "hello"});
    server.session.db = 3;
    server.Run({"SET", "c", "world", "EX", "1000"});
    EXPECT_EQ(server.Run({"DEBUG", "DIGEST"}), "+c463c1dba81bc732dc62772640881ccbccc63914\r\n");
    EXPECT_EQ(server.Run({"DEBUG", "DIGEST-VALUE", "a", "c"}),
              "*2\r\n+0000000000000000000000000000000000000000\r\n"
              "+9b57a64cff36f9a962c2df21b924b0916c6e2b53\r\n");
    server.session.db = 0;
    EXPECT_EQ(server.Run({"DEBUG", "DIGEST-VALUE", "a", "b"}),
              "*2\r\n+b4fc66738120fba0b5aa500ab5c2bf89cea1c5da\r\n"
              "+36b23a1456b2dce2c3ed252c456761301dba8060\r\n");
    EXPECT_EQ(server.Run({"DEBUG", "DIGEST-VALUE"}), "*0\r\n");
  }
}

/// The same keys and values, in an order and by ways that the generator chooses.
std::string DigestOfData(int shards, Random& random) {
  TestServer server(shards);
  std::vector<int> order;
  for (int i = 0; i < 300; i++)
    order.insert(order.begin() + static_cast<long>(random.Below(order.size() + 1)), i);
  for (const int i : order) {
    const std::string key = "key:" + std::to_string(i);
    if (random.OneIn(2)) server.Run({"SET", key, "something else", "EX", "5"});
    const std::string value = std::string(static_cast<size_t>(i) * 10, 'v') + std::to_string(i);
    if (random.OneIn(2)) {
      server.Run({"SET", key, value});
    } else {
      server.Run({"SET", "tmp", value});
      server.Run({"RENAME", "tmp", key});
    }
    if (i % 3 == 0) server.Run({"EXPIRE", key, std::to_string(100 + random.Below(100))});
  }
  server.Run({"SET", "gone", "v", "PX", "1"});
  server.AdvanceMs(2);
  return server.Run({"DEBUG", "DIGEST"});
}

TEST(debug_digest_depends_on_the_data_alone) {
  Random random(test::Seed());
  const std::string digest = DigestOfData(1, random);
  EXPECT_EQ(DigestOfData(1, random), digest);
  EXPECT_EQ(DigestOfData(8, random), digest);
  TestServer server;
  server.Run({"SET", "a", "1"});
  const std::string before = server.Run({"DEBUG", "DIGEST"});
  server.Run({"EXPIRE", "a", "100"});
  EXPECT_NE(server.Run({"DEBUG", "DIGEST"}), before);
  server.Run({"PERSIST", "a"});
  EXPECT_EQ(server.Run({"DEBUG", "DIGEST"}), before);
  server.Run({"APPEND", "a", ""});  // another encoding
  EXPECT_EQ(server.Run({"DEBUG", "DIGEST"}), before);
  server.Run({"MOVE", "a", "1"});
  EXPECT_NE(server.Run({"DEBUG", "DIGEST"}), before);
}

TEST(debug_object_has_the_form_of_redis) {
  TestServer server(8);
  server.Run({"SET", "n", "123"});
  server.Run({"SET", "long", "12345678901"});
  server.Run({"SET", "s", "hello"});
  server.Run({"SET", "d", std::string(95, 'a')});
  EXPECT_EQ(server.Run({"DEBUG", "OBJECT", "nokey"}), Error("ERR no such key"));
  const auto tail = [&](const char* key) {
    const std::string line = server.Run({"DEBUG", "OBJECT", key});
    EXPECT_EQ(line.substr(0, 12), "+Value at:0x");
    return line.substr(line.find(" refcount"), line.find(" lru:") - line.find(" refcount"));
  };
  EXPECT_EQ(tail("n"), " refcount:2147483647 encoding:int serializedlength:2");
  EXPECT_EQ(tail("long"), " refcount:1 encoding:int serializedlength:12");
  EXPECT_EQ(tail("s"), " refcount:1 encoding:embstr serializedlength:6");
  EXPECT_EQ(tail("d"), " refcount:1 encoding:raw serializedlength:97");
  EXPECT_TRUE(server.Run({"DEBUG", "OBJECT", "s", "fast"}).find("serializedlength") ==
              std::string::npos);
  EXPECT_EQ(server.Run({"DEBUG", "SDSLEN", "n"}), Error("ERR Not an sds encoded string."));
  EXPECT_EQ(server.Run({"DEBUG", "SDSLEN", "s"}).substr(0, 38),
            "+key_sds_len:1, key_sds_avail:0, key_z");
}

TEST(debug_populate_makes_keys_and_spares_existing_ones) {
  TestServer server(8);
  server.Run({"SET", "key:1", "mine"});
  server.Listen();
  EXPECT_EQ(server.Run({"DEBUG", "POPULATE", "3"}), "+OK\r\n");
  EXPECT_TRUE(server.TakeEffects().empty());
  EXPECT_TRUE(server.TakeEvents() == (std::vector<std::string>{"new key:0", "new key:2"}));
  EXPECT_EQ(server.Run({"GET", "key:0"}), Bulk("value:0"));
  EXPECT_EQ(server.Run({"GET", "key:1"}), Bulk("mine"));
  EXPECT_EQ(server.Run({"DEBUG", "POPULATE", "2", "p", "10"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"GET", "p:1"}), Bulk({"value:1\0\0\0", 10}));
  EXPECT_EQ(server.Run({"DEBUG", "POPULATE", "1", "q", "3"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"GET", "q:0"}), Bulk("val"));
  EXPECT_EQ(server.Run({"DEBUG", "POPULATE", "0"}), "+OK\r\n");
  const std::string error = Error("ERR value is out of range, must be positive");
  EXPECT_EQ(server.Run({"DEBUG", "POPULATE", "abc"}), error);
  EXPECT_EQ(server.Run({"DEBUG", "POPULATE", "-1"}), error);
  EXPECT_EQ(server.Run({"DEBUG", "POPULATE", "3", "p", "-1"}), error);
  EXPECT_EQ(server.Run({"DEBUG", "POPULATE", "9223372036854775807"}),
            Error("ERR OOM in dictTryExpand"));
  EXPECT_EQ(server.Run({"DEBUG", "VALIDATE"}), "+OK\r\n");
}

TEST(debug_protocol_in_both_versions) {
  struct Row {
    const char* type;
    const char* resp2;
    const char* resp3;
  };
  const Row rows[] = {
      {"string", "$11\r\nHello World\r\n", "$11\r\nHello World\r\n"},
      {"INTEGER", ":12345\r\n", ":12345\r\n"},
      {"double", "$5\r\n3.141\r\n", ",3.141\r\n"},
      {"null", "$-1\r\n", "_\r\n"},
      {"array", "*3\r\n:0\r\n:1\r\n:2\r\n", "*3\r\n:0\r\n:1\r\n:2\r\n"},
      {"set", "*3\r\n:0\r\n:1\r\n:2\r\n", "~3\r\n:0\r\n:1\r\n:2\r\n"},
      {"map", "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n",
       "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"},
      {"attrib", "$39\r\nSome real reply following the attribute\r\n",
       "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n"
       "$39\r\nSome real reply following the attribute\r\n"},
      {"push", "-ERR RESP2 is not supported by this command\r\n",
       ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push "
       "reply\r\n"},
      {"verbatim", "$25\r\nThis is a verbatim\nstring\r\n",
       "=29\r\ntxt:This is a verbatim\nstring\r\n"},
      {"true", ":1\r\n", "#t\r\n"},
      {"false", ":0\r\n", "#f\r\n"},
      {"bignum", "$37\r\n1234567999999999999999999999999999999\r\n",
       "(1234567999999999999999999999999999999\r\n"},
  };
  TestServer server;
  for (const Row& row : rows) {
    server.session.resp = 2;
    EXPECT_EQ(server.Run({"DEBUG", "PROTOCOL", row.type}), row.resp2);
    server.session.resp = 3;
    EXPECT_EQ(server.Run({"DEBUG", "PROTOCOL", row.type}), row.resp3);
  }
  EXPECT_EQ(
      server.Run({"DEBUG", "PROTOCOL", "foo"}),
      Error("ERR Wrong protocol type name. Please use one of the following: "
            "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"));
  EXPECT_EQ(server.Run({"DEBUG", "ERROR", "FOO bar\r\nbaz"}), "-FOO bar  baz\r\n");
}

TEST(debug_htstats_adds_up_the_shards) {
  TestServer server(8);
  EXPECT_EQ(server.Run({"DEBUG", "HTSTATS", "0"}),
            Bulk("[Dictionary HT]\nHash table 0 stats (main hash table):\n"
                 "No stats available for empty dictionaries\n[Expires HT]\n"
                 "Hash table 0 stats (main hash table):\n"
                 "No stats available for empty dictionaries\n"));
  server.Run({"DEBUG", "POPULATE", "500"});
  const std::string brief = server.Run({"DEBUG", "HTSTATS", "0"});
  EXPECT_TRUE(brief.find(" number of elements: 500\n") != std::string::npos);
  EXPECT_TRUE(brief.find("Chain") == std::string::npos);
  const std::string full = server.Run({"DEBUG", "HTSTATS", "0", "full"});
  EXPECT_TRUE(full.find(" Chain length distribution:\n") != std::string::npos);
  EXPECT_EQ(server.Run({"DEBUG", "HTSTATS", "x"}),
            Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(server.Run({"DEBUG", "HTSTATS", "99"}), Error("ERR Out of range database"));
  EXPECT_EQ(server.Run({"DEBUG", "HTSTATS-KEY", "nokey"}), Error("ERR no such key"));
  EXPECT_EQ(
      server.Run({"DEBUG", "HTSTATS-KEY", "key:1"}),
      Error("ERR The value stored at the specified key is not represented using an hash table"));
}

TEST(debug_switches) {
  TestServer server;
  server.Run({"DEBUG", "SET-ACTIVE-EXPIRE", "0"});
  EXPECT_FALSE(server.engine().active_expire.load());
  server.Run({"DEBUG", "SET-ACTIVE-EXPIRE", "1"});
  EXPECT_TRUE(server.engine().active_expire.load());
  EXPECT_EQ(server.Run({"DEBUG", "SET-ACTIVE-EXPIRE", "a"}), "+OK\r\n");
  EXPECT_FALSE(server.engine().active_expire.load());
  server.Run({"DEBUG", "PAUSE-CRON", "1"});
  EXPECT_TRUE(server.engine().cron_paused.load());
  EXPECT_EQ(server.Run({"DEBUG", "DICT-RESIZING", "0"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"DEBUG", "REPLYBUFFER", "peak-reset-time", "NEVER"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"DEBUG", "REPLYBUFFER", "PEAK-RESET-TIME", "100"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"DEBUG", "REPLYBUFFER", "PEAK-RESET-TIME", "x"}),
            Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(server.Run({"DEBUG", "REPLYBUFFER", "RESIZING", "x"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"DEBUG", "SLEEP", "abc"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"DEBUG", "SLEEP", "0.001"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"DEBUG", "SLEEP", "-1"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"DEBUG", "STRINGMATCH-TEST"}),
            "+Apparently Redis did not crash: test passed\r\n");
}

std::string logged;

TEST(debug_log_goes_to_the_hook) {
  TestServer server;
  EXPECT_EQ(server.Run({"DEBUG", "LOG", "to nobody"}), "+OK\r\n");
  SetDebugLog([](std::string_view line) { logged = line; });
  EXPECT_EQ(server.Run({"DEBUG", "LOG", "hello"}), "+OK\r\n");
  SetDebugLog(nullptr);
  EXPECT_EQ(logged, "DEBUG LOG: hello");
}

TEST(debug_shards_and_rings_count) {
  TestServer server(8);
  server.Run({"DEBUG", "POPULATE", "100"});
  const std::string shards = server.Run({"DEBUG", "SHARDS"});
  EXPECT_EQ(shards.substr(0, 4), "*8\r\n");
  int64_t keys = 0;
  for (size_t at = shards.find("$4\r\nkeys\r\n:"); at != std::string::npos;
       at = shards.find("$4\r\nkeys\r\n:", at + 1)) {
    keys += std::stoll(shards.substr(at + 11));
  }
  EXPECT_EQ(keys, 100);
  EXPECT_EQ(server.Run({"DEBUG", "RINGS"}).substr(0, 5), "*1\r\n*");
  EXPECT_EQ(server.Run({"DEBUG", "HELP"}).substr(0, 3), "*57");
}

TEST(debug_crashes_end_the_process) {
  for (const char* name : {"SEGFAULT", "ASSERT", "PANIC"}) {
    const pid_t child = fork();
    ASSERT_TRUE(child >= 0);
    if (child == 0) {
      std::freopen("/dev/null", "w", stderr);
      TestServer server;
      server.Run({"DEBUG", name});
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
}

}  // namespace
}  // namespace sherd
