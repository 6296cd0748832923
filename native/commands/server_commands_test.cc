// Server commands: flushing, swapping and counting databases over one and several shards.
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

void Fill(TestServer& server, int keys) {
  for (int i = 0; i < keys; i++) server.Run({"SET", "key:" + std::to_string(i), "value"});
}

size_t UsedBytes(TestServer& server) {
  size_t bytes = 0;
  for (int i = 0; i < server.engine().shard_count(); i++) {
    bytes += server.engine().keyspace(static_cast<engine::ShardId>(i)).heap().used_bytes();
  }
  return bytes;
}

TEST(flushdb_empties_one_database_of_all_shards) {
  for (const int shards : {1, 8}) {
    TestServer server(shards);
    Fill(server, 100);
    server.session.db = 1;
    Fill(server, 50);
    EXPECT_EQ(server.Run({"DBSIZE"}), Integer(50));
    server.session.db = 0;
    EXPECT_EQ(server.Run({"FLUSHDB"}), "+OK\r\n");
    EXPECT_EQ(server.last_dirty(), 100);
    EXPECT_EQ(server.Run({"DBSIZE"}), Integer(0));
    server.session.db = 1;
    EXPECT_EQ(server.Run({"DBSIZE"}), Integer(50));
    EXPECT_EQ(server.Run({"FLUSHALL", "sync"}), "+OK\r\n");
    EXPECT_EQ(server.Run({"DBSIZE"}), Integer(0));
    EXPECT_EQ(UsedBytes(server), 0u);
    server.Validate();
  }
}

TEST(flush_async_frees_later) {
  TestServer server(8);
  Fill(server, 1000);
  EXPECT_EQ(server.Run({"FLUSHALL", "ASYNC"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"DBSIZE"}), Integer(0));
  EXPECT_GT(UsedBytes(server), 0u);
  for (int i = 0; i < 8; i++) {
    engine::Keyspace& space = server.engine().keyspace(static_cast<engine::ShardId>(i));
    while (space.FreeDeferred(10)) {
    }
  }
  EXPECT_EQ(UsedBytes(server), 0u);
  Fill(server, 10);
  server.engine().options().lazyfree_lazy_user_flush.Set(1);
  server.Run({"FLUSHDB"});
  EXPECT_GT(UsedBytes(server), 0u);
  Fill(server, 10);
  server.Validate();
}

TEST(flush_refuses_other_words_and_is_always_propagated) {
  TestServer server(8);
  for (const char* command : {"FLUSHDB", "FLUSHALL"}) {
    EXPECT_EQ(server.Run({command, "FOO"}), Error("ERR syntax error"));
    EXPECT_EQ(server.Run({command, "SYNC", "ASYNC"}), Error("ERR syntax error"));
  }
  server.Listen();
  server.Run({"FLUSHDB"});
  EXPECT_EQ(server.last_dirty(), 0);
  EXPECT_TRUE(server.TakeEffects() == Lines{"FLUSHDB"});
  Fill(server, 1);
  server.TakeEffects();
  server.Run({"FLUSHALL", "ASYNC"});
  EXPECT_TRUE(server.TakeEffects() == Lines{"FLUSHALL ASYNC"});
}

TEST(swapdb_exchanges_databases_in_all_shards) {
  TestServer server(8);
  Fill(server, 40);
  server.Run({"EXPIRE", "key:1", "100"});
  EXPECT_EQ(server.Run({"SWAPDB", "0", "5"}), "+OK\r\n");
  EXPECT_EQ(server.last_dirty(), 1);
  EXPECT_EQ(server.Run({"DBSIZE"}), Integer(0));
  server.session.db = 5;
  EXPECT_EQ(server.Run({"DBSIZE"}), Integer(40));
  EXPECT_EQ(server.Run({"TTL", "key:1"}), Integer(100));
  EXPECT_EQ(server.Run({"SWAPDB", "5", "5"}), "+OK\r\n");
  EXPECT_EQ(server.Run({"DBSIZE"}), Integer(40));
  server.Validate();
}

TEST(swapdb_names_the_bad_index) {
  TestServer server;
  EXPECT_EQ(server.Run({"SWAPDB", "a", "b"}), Error("ERR invalid first DB index"));
  EXPECT_EQ(server.Run({"SWAPDB", "0", "99999999999"}), Error("ERR invalid second DB index"));
  EXPECT_EQ(server.Run({"SWAPDB", "99", "0"}), Error("ERR DB index is out of range"));
  EXPECT_EQ(server.Run({"SWAPDB", "0", "-1"}), Error("ERR DB index is out of range"));
}

TEST(memory_usage_tells_what_a_key_takes) {
  TestServer server(8);
  server.Run({"SET", "k", "v"});
  server.Run({"SET", "large", std::string(100'000, 'x')});
  EXPECT_EQ(server.Run({"MEMORY", "USAGE", "nokey"}), "$-1\r\n");
  const std::string small = server.Run({"MEMORY", "USAGE", "k"});
  EXPECT_LT(std::stoi(small.substr(1)), 60);
  const std::string large = server.Run({"MEMORY", "USAGE", "large", "SAMPLES", "0"});
  EXPECT_GE(std::stoi(large.substr(1)), 100'000);
  EXPECT_EQ(server.Run({"MEMORY", "USAGE", "k", "samples", "0", "SAMPLES", "5"}), small);
  EXPECT_EQ(server.Run({"MEMORY", "USAGE", "nokey", "FOO"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"MEMORY", "USAGE", "k", "SAMPLES"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"MEMORY", "USAGE", "nokey", "SAMPLES", "-1"}), Error("ERR syntax error"));
  EXPECT_EQ(server.Run({"MEMORY", "USAGE", "k", "SAMPLES", "x"}),
            Error("ERR value is not an integer or out of range"));
  EXPECT_EQ(server.counters().keyspace_misses.Get(), 0u);
}

}  // namespace
}  // namespace sherd
