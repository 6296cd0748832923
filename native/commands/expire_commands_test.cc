// Expire commands: replies, conditions, overflow, effects and events, as redis-server 7.0.15 gave
// them.
#include <cstdint>
#include <string>
#include <vector>

#include "commands/test_util.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Error;
using test::Integer;
using test::TestServer;

using Lines = std::vector<std::string>;

TEST(expire_sets_relative_and_absolute_times) {
  TestServer server;
  server.Run({"SET", "k", "v"});
  EXPECT_EQ(server.Run({"EXPIRE", "k", "100"}), Integer(1));
  EXPECT_EQ(server.expiry_ms("k"), server.now_ms() + 100'000);
  EXPECT_EQ(server.Run({"PEXPIRE", "k", "1500"}), Integer(1));
  EXPECT_EQ(server.expiry_ms("k"), server.now_ms() + 1500);
  EXPECT_EQ(server.Run({"EXPIREAT", "k", "33177117420"}), Integer(1));
  EXPECT_EQ(server.expiry_ms("k"), 33177117420'000);
  EXPECT_EQ(server.Run({"PEXPIREAT", "k", "33177117420001"}), Integer(1));
  EXPECT_EQ(server.expiry_ms("k"), 33177117420'001);
  EXPECT_EQ(server.Run({"EXPIRE", "nokey", "100"}), Integer(0));
}

TEST(expire_conditions_compare_with_the_present_expiry) {
  TestServer server;
  server.Run({"SET", "k", "v"});
  EXPECT_EQ(server.Run({"EXPIRE", "k", "100", "XX"}), Integer(0));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "100", "GT"}), Integer(0));  // no expiry is infinitely late
  EXPECT_EQ(server.Run({"EXPIRE", "k", "100", "XX", "LT"}), Integer(0));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "100", "NX"}), Integer(1));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "200", "nx"}), Integer(0));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "100", "GT"}), Integer(0));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "101", "GT", "xx"}), Integer(1));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "101", "LT"}), Integer(0));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "7", "LT"}), Integer(1));
  EXPECT_EQ(server.Run({"TTL", "k"}), Integer(7));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "-1", "GT"}), Integer(0));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "-1", "LT"}), Integer(1));
  EXPECT_EQ(server.Run({"EXISTS", "k"}), Integer(0));
}

TEST(expire_errors_come_in_redis_order) {
  TestServer server;
  server.Run({"SET", "k", "v"});
  EXPECT_EQ(server.Run({"EXPIRE", "nokey", "x", "FOO"}), Error("ERR Unsupported option FOO"));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "1", {"F\0O", 3}}), Error("ERR Unsupported option F"));
  const std::string nx = "ERR NX and XX, GT or LT options at the same time are not compatible";
  EXPECT_EQ(server.Run({"EXPIRE", "k", "x", "XX", "NX"}), Error(nx));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "1", "LT", "NX"}), Error(nx));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "1", "GT", "LT"}),
            Error("ERR GT and LT options at the same time are not compatible"));
  EXPECT_EQ(server.Run({"EXPIRE", "nokey", "x"}),
            Error("ERR value is not an integer or out of range"));
}

TEST(expire_refuses_what_milliseconds_cannot_hold) {
  TestServer server;
  server.Run({"SET", "k", "v"});
  for (const char* command : {"EXPIRE", "EXPIREAT"}) {
    const std::string name = command == std::string("EXPIRE") ? "expire" : "expireat";
    const std::string error = "ERR invalid expire time in '" + name + "' command";
    EXPECT_EQ(server.Run({command, "k", "9223372036854776"}), Error(error));
    EXPECT_EQ(server.Run({command, "nokey", "-9223372036854776"}), Error(error));
  }
  EXPECT_EQ(server.Run({"EXPIRE", "k", "9223372036854775"}),
            Error("ERR invalid expire time in 'expire' command"));
  EXPECT_EQ(server.Run({"PEXPIRE", "k", "9223372036854775807"}),
            Error("ERR invalid expire time in 'pexpire' command"));
  EXPECT_EQ(server.Run({"EXPIREAT", "k", "9223372036854775"}), Integer(1));
  EXPECT_EQ(server.Run({"PEXPIREAT", "k", "9223372036854775807"}), Integer(1));
  EXPECT_EQ(server.Run({"EXPIRETIME", "k"}), Integer(9223372036854776));
  EXPECT_EQ(server.Run({"PEXPIRE", "k", "-9223372036854775808"}), Integer(1));
  EXPECT_EQ(server.Run({"EXISTS", "k"}), Integer(0));
}

TEST(ttl_rounds_to_the_nearest_second) {
  TestServer server;
  server.Run({"SET", "k", "v", "PX", "1499"});
  EXPECT_EQ(server.Run({"TTL", "k"}), Integer(1));
  EXPECT_EQ(server.Run({"PTTL", "k"}), Integer(1499));
  server.Run({"PEXPIREAT", "k", "33177117420500"});
  EXPECT_EQ(server.Run({"EXPIRETIME", "k"}), Integer(33177117421));
  EXPECT_EQ(server.Run({"PEXPIRETIME", "k"}), Integer(33177117420500));
  server.Run({"SET", "plain", "v"});
  for (const char* command : {"TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"}) {
    EXPECT_EQ(server.Run({command, "plain"}), Integer(-1));
    EXPECT_EQ(server.Run({command, "nokey"}), Integer(-2));
  }
}

TEST(ttl_of_an_expired_key_is_that_of_no_key) {
  TestServer server;
  server.Run({"SET", "k", "v", "PX", "10"});
  server.AdvanceMs(10);
  EXPECT_EQ(server.Run({"PTTL", "k"}), Integer(0));  // its last millisecond
  server.AdvanceMs(1);
  EXPECT_EQ(server.Run({"PTTL", "k"}), Integer(-2));
  EXPECT_EQ(server.Run({"PERSIST", "k"}), Integer(0));
  EXPECT_EQ(server.Run({"EXPIRE", "k", "10"}), Integer(0));
}

TEST(persist_removes_an_expiry_once) {
  TestServer server;
  server.Run({"SET", "k", "a value that stays", "EX", "10"});
  EXPECT_EQ(server.Run({"PERSIST", "k"}), Integer(1));
  EXPECT_EQ(server.last_dirty(), 1);
  EXPECT_EQ(server.Run({"PERSIST", "k"}), Integer(0));
  EXPECT_EQ(server.last_dirty(), 0);
  EXPECT_EQ(server.Run({"GET", "k"}), test::Bulk("a value that stays"));
  EXPECT_EQ(server.Run({"PERSIST", "nokey"}), Integer(0));
  server.Validate();
}

TEST(expire_is_propagated_as_an_absolute_time_or_a_deletion) {
  TestServer server;
  server.Run({"SET", "k", "v"});
  server.Listen();
  server.Run({"EXPIRE", "k", "100", "NX"});
  const std::string at = std::to_string(server.now_ms() + 100'000);
  EXPECT_TRUE(server.TakeEffects() == Lines{"PEXPIREAT k " + at + " NX"});
  EXPECT_TRUE(server.TakeEvents() == Lines{"expire k"});
  server.Run({"EXPIRE", "k", "100", "NX"});
  EXPECT_TRUE(server.TakeEffects().empty());
  server.Run({"PERSIST", "k"});
  EXPECT_TRUE(server.TakeEffects() == Lines{"PERSIST k"});
  EXPECT_TRUE(server.TakeEvents() == Lines{"persist k"});
  server.Run({"EXPIRE", "k", "0"});
  EXPECT_TRUE(server.TakeEffects() == Lines{"DEL k"});
  EXPECT_TRUE(server.TakeEvents() == Lines{"del k"});
  EXPECT_EQ(server.last_dirty(), 1);
  server.Run({"SET", "k", "v"});
  server.TakeEffects();
  server.engine().options().lazyfree_lazy_expire.Set(1);
  server.Run({"PEXPIREAT", "k", "1"});
  EXPECT_TRUE(server.TakeEffects() == Lines{"UNLINK k"});
}

}  // namespace
}  // namespace sherd
