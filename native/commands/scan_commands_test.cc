// Scan commands: cursors and errors as Redis, and the guarantee of SCAN while tables grow and
// shrink.
#include "commands/scan_commands.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
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
using test::TestServer;

using Lines = std::vector<std::string>;

/// A reply of SCAN taken apart.
struct ScanReply {
  std::string cursor;
  std::vector<std::string> keys;
};

std::string TakeBulk(std::string_view* rest) {
  const size_t line = rest->find("\r\n");
  const size_t size = static_cast<size_t>(std::stoul(std::string(rest->substr(1, line - 1))));
  const std::string bulk(rest->substr(line + 2, size));
  rest->remove_prefix(line + 2 + size + 2);
  return bulk;
}

std::vector<std::string> TakeArray(std::string_view* rest) {
  const size_t line = rest->find("\r\n");
  const size_t count = static_cast<size_t>(std::stoul(std::string(rest->substr(1, line - 1))));
  rest->remove_prefix(line + 2);
  std::vector<std::string> items;
  for (size_t i = 0; i < count; i++) items.push_back(TakeBulk(rest));
  return items;
}

ScanReply Scan(TestServer& server, const std::string& cursor, Lines options = {}) {
  std::vector<std::string_view> args = {"SCAN", cursor};
  args.insert(args.end(), options.begin(), options.end());
  const std::string reply = server.RunLine(args);
  std::string_view rest = reply;
  CHECK(rest.substr(0, 4) == "*2\r\n");
  rest.remove_prefix(4);
  ScanReply result;
  result.cursor = TakeBulk(&rest);
  result.keys = TakeArray(&rest);
  CHECK(rest.empty());
  return result;
}

/// All keys of a whole scan, repeated ones included.
Lines ScanAll(TestServer& server, const Lines& options = {}) {
  Lines keys;
  std::string cursor = "0";
  do {
    const ScanReply reply = Scan(server, cursor, options);
    keys.insert(keys.end(), reply.keys.begin(), reply.keys.end());
    cursor = reply.cursor;
  } while (cursor != "0");
  return keys;
}

Lines Keys(TestServer& server, std::string_view pattern) {
  const std::string reply = server.Run({"KEYS", pattern});
  std::string_view rest = reply;
  Lines keys = TakeArray(&rest);
  std::sort(keys.begin(), keys.end());
  return keys;
}

TEST(scan_cursors_are_read_like_strtoul) {
  uint64_t cursor = 1;
  EXPECT_TRUE(ParseScanCursor("", &cursor));
  EXPECT_EQ(cursor, 0u);
  EXPECT_TRUE(ParseScanCursor("+5", &cursor));
  EXPECT_EQ(cursor, 5u);
  EXPECT_TRUE(ParseScanCursor("-1", &cursor));
  EXPECT_EQ(cursor, UINT64_MAX);
  EXPECT_TRUE(ParseScanCursor("18446744073709551615", &cursor));
  EXPECT_TRUE(ParseScanCursor({"7\0x", 3}, &cursor));
  EXPECT_EQ(cursor, 7u);
  for (const char* text : {"abc", "1a", " 1", "1 ", "0x10", "18446744073709551616", "-", "+",
                           "-99999999999999999999999"}) {
    EXPECT_MSG(!ParseScanCursor(text, &cursor), text);
  }
}

TEST(scan_errors_come_in_redis_order) {
  TestServer server(8);
  EXPECT_EQ(server.Run({"SCAN", "abc", "COUNT", "0"}), Error("ERR invalid cursor"));
  EXPECT_EQ(server.Run({"SCAN", "0", "COUNT"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"SCAN", "0", "COUNT", "0", "FOO"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"SCAN", "0", "COUNT", "x"}),
            Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(server.Run({"SCAN", "0", "FOO", "bar"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"SCAN", "0", "COUNT", "5", "MATCH"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"SCAN", "-1"}), "*2\r\n$1\r\n0\r\n*0\r\n");
  EXPECT_EQ(server.Run({"SCAN", "0", "COUNT", "9223372036854775807"}), "*2\r\n$1\r\n0\r\n*0\r\n");
}

TEST(scan_of_a_small_database_is_one_call) {
  for (const int shards : {1, 8, 64}) {
    TestServer server(shards);
    for (int i = 0; i < 5; i++) server.Run({"SET", "key:" + std::to_string(i), "v"});
    const ScanReply reply = Scan(server, "0");
    EXPECT_EQ(reply.cursor, "0");
    EXPECT_EQ(reply.keys.size(), 5u);
  }
}

TEST(scan_filters_by_pattern_and_type) {
  TestServer server(8);
  server.Run({"MSET", "a1", "v", "a2", "v", "b1", "v", "", "v"});
  EXPECT_EQ(ScanAll(server).size(), 4u);
  EXPECT_EQ(ScanAll(server, {"MATCH", "*"}).size(), 4u);
  EXPECT_EQ(ScanAll(server, {"match", "a*"}).size(), 2u);
  EXPECT_EQ(ScanAll(server, {"MATCH", "a*", "MATCH", "b*"}).size(), 1u);
  EXPECT_EQ(ScanAll(server, {"TYPE", "STRING"}).size(), 4u);
  EXPECT_EQ(ScanAll(server, {"TYPE", "hash"}).size(), 0u);
  EXPECT_EQ(ScanAll(server, {"TYPE", "nonsense"}).size(), 0u);
}

TEST(scan_deletes_the_expired_keys_that_match) {
  TestServer server(8);
  server.Run({"SET", "old", "v", "PX", "1"});
  server.Run({"SET", "new", "v", "PX", "1000"});
  server.AdvanceMs(2);
  server.Listen();
  EXPECT_EQ(ScanAll(server, {"MATCH", "n*"}).size(), 1u);
  EXPECT_TRUE(server.TakeEvents().empty());
  EXPECT_EQ(Keys(server, "*").size(), 1u);
  EXPECT_EQ(server.Run({"DBSIZE"}), ":2\r\n");  // KEYS deletes nothing
  EXPECT_EQ(ScanAll(server, {"TYPE", "string"}).size(), 1u);
  EXPECT_TRUE(server.TakeEvents() == Lines{"expired old"});
  EXPECT_EQ(server.counters().keyspace_hits.Get(), 1u);
  EXPECT_EQ(server.counters().keyspace_misses.Get(), 1u);
  EXPECT_EQ(server.Run({"DBSIZE"}), ":1\r\n");
}

TEST(scan_looks_at_a_bounded_number_of_buckets) {
  TestServer server(8);
  for (int i = 0; i < 20'000; i++) server.Run({"SET", "key:" + std::to_string(i), "v"});
  const ScanReply reply = Scan(server, "0", {"MATCH", "nothing", "COUNT", "1"});
  EXPECT_NE(reply.cursor, "0");
  size_t calls = 0;
  for (std::string cursor = "0"; calls == 0 || cursor != "0"; calls++) {
    const ScanReply step = Scan(server, cursor, {"COUNT", "100"});
    EXPECT_LE(step.keys.size(), 130u);
    cursor = step.cursor;
  }
  EXPECT_GT(calls, 150u);
}

TEST(scan_is_routed_by_its_cursor) {
  TestServer server(8);
  const engine::Router router = Handlers().Find(FindCommand("scan")->id).router;
  const auto route = [&](std::string_view cursor) {
    const std::vector<std::string_view> args = {"SCAN", cursor};
    engine::Route result;
    router(server.engine(), args, &result);
    return result;
  };
  EXPECT_TRUE(route("0").runs == Runs::kAllShards);
  EXPECT_EQ(route("0").first_shard, 0);
  EXPECT_EQ(route("83").first_shard, 3);
  EXPECT_TRUE(route("x").runs == Runs::kConnection);
}

TEST(scan_returns_each_lasting_key_while_tables_change) {
  for (const int shards : {1, 8}) {
    Random random(test::Seed() + static_cast<uint64_t>(shards));
    for (int round = 0; round < 5; round++) {
      TestServer server(shards);
      std::set<std::string> lasting;
      const uint64_t count = 1 + random.Below(400);
      while (lasting.size() < count)
        lasting.insert("lasting:" + std::to_string(random.Below(10'000)));
      for (const std::string& key : lasting) server.Run({"SET", key, "v"});
      std::set<std::string> missing = lasting;
      const std::string calls = std::to_string(1 + random.Below(30));
      uint64_t passing = 0;
      std::string cursor = "0";
      do {
        // Waves of other keys come and go, so that tables split and merge between the calls.
        const uint64_t target = random.OneIn(2) ? random.Below(4000) : 0;
        for (; passing < target; passing++)
          server.Run({"SET", "p:" + std::to_string(passing), "v"});
        for (; passing > target; passing--) server.Run({"DEL", "p:" + std::to_string(passing - 1)});
        const ScanReply reply = Scan(server, cursor, {"COUNT", calls});
        for (const std::string& key : reply.keys) missing.erase(key);
        cursor = reply.cursor;
      } while (cursor != "0");
      EXPECT_EQ(missing.size(), 0u);
      server.Validate();
    }
  }
}

TEST(scan_of_a_resting_database_repeats_nothing) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    for (int i = 0; i < 3000; i++) server.Run({"SET", "key:" + std::to_string(i), "v"});
    const Lines keys = ScanAll(server, {"COUNT", "7"});
    EXPECT_EQ(keys.size(), 3000u);
    EXPECT_EQ(std::set<std::string>(keys.begin(), keys.end()).size(), 3000u);
  }
}

TEST(keys_matches_globs_over_all_shards) {
  TestServer server(8);
  server.Run({"MSET", "one", "1", "two", "2", "three", "3", "", "0"});
  EXPECT_TRUE(Keys(server, "t*") == (Lines{"three", "two"}));
  EXPECT_TRUE(Keys(server, "*") == (Lines{"", "one", "three", "two"}));
  EXPECT_TRUE(Keys(server, "") == Lines{""});
  EXPECT_TRUE(Keys(server, "t[hx]*") == Lines{"three"});
  server.session.db = 1;
  EXPECT_EQ(server.Run({"KEYS", "*"}), "*0\r\n");
}

TEST(randomkey_finds_every_living_key) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    EXPECT_EQ(server.Run({"RANDOMKEY"}), "$-1\r\n");
    for (int i = 0; i < 20; i++) {
      server.Run({"SET", "live:" + std::to_string(i), "v"});
      server.Run({"SET", "dead:" + std::to_string(i), "v", "PX", "1"});
    }
    server.AdvanceMs(2);
    std::map<std::string, int> seen;
    for (int i = 0; i < 4000; i++) seen[server.Run({"RANDOMKEY"})]++;
    EXPECT_EQ(seen.size(), 20u);
    // 200 expected of each; a binomial deviation to half or double has a chance below 1e-20.
    for (const auto& [reply, count] : seen) EXPECT_MSG(count > 100 && count < 400, reply);
    EXPECT_EQ(server.Run({"DBSIZE"}), ":20\r\n");
    for (int i = 0; i < 20; i++) server.Run({"PEXPIRE", "live:" + std::to_string(i), "1"});
    server.AdvanceMs(2);
    EXPECT_EQ(server.Run({"RANDOMKEY"}), "$-1\r\n");
    EXPECT_EQ(server.Run({"DBSIZE"}), ":0\r\n");
  }
}

}  // namespace
}  // namespace sherd
