// What clients may do while the dataset is being loaded.
#include "base/clock.h"
#include "net/test_rig.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Line;

constexpr const char* kLoading = "-LOADING Redis is loading the dataset in memory\r\n";

TEST(loading_refuses_what_needs_the_dataset) {
  test::ServerRig rig({.workers = 1, .shards = 2});
  test::DetachedClient client(rig, 0);
  EXPECT_EQ(client.Run(Line({"SET", "k", "v"})), "+OK\r\n");
  rig.engine().is_loading = true;
  EXPECT_EQ(client.Run(Line({"GET", "k"})), kLoading);
  EXPECT_EQ(client.Run(Line({"PING"})), kLoading);
  EXPECT_EQ(client.Run(Line({"FLUSHALL"})), kLoading);
  // Redis's order of checks: name and arity come first.
  EXPECT_EQ(client.Run(Line({"GET"})), "-ERR wrong number of arguments for 'get' command\r\n");
  EXPECT_EQ(client.Run(Line({"SELECT", "1"})), "+OK\r\n");
  EXPECT_EQ(client.Run(Line({"CONFIG", "GET", "x"})), "+OK\r\n");
  rig.engine().is_loading = false;
  EXPECT_EQ(client.Run(Line({"SELECT", "0"})), "+OK\r\n");
  EXPECT_EQ(client.Run(Line({"GET", "k"})), "$1\r\nv\r\n");
}

TEST(loading_refuses_transactions_with_such_commands) {
  test::ServerRig rig({.workers = 1, .shards = 2});
  test::DetachedClient client(rig, 0);
  rig.engine().is_loading = true;
  EXPECT_EQ(client.Run(Line({"MULTI"})), "+OK\r\n");
  EXPECT_EQ(client.Run(Line({"GET", "k"})), kLoading);
  EXPECT_EQ(client.Run(Line({"EXEC"})), "-EXECABORT Transaction discarded because of previous errors.\r\n");
  EXPECT_EQ(client.Run(Line({"MULTI"})), "+OK\r\n");
  EXPECT_EQ(client.Run(Line({"SELECT", "1"})), "+QUEUED\r\n");
  EXPECT_EQ(client.Run(Line({"EXEC"})), "*1\r\n+OK\r\n");
  rig.engine().is_loading = false;
  EXPECT_EQ(client.Run(Line({"MULTI"})), "+OK\r\n");
  EXPECT_EQ(client.Run(Line({"GET", "k"})), "+QUEUED\r\n");
  rig.engine().is_loading = true;
  EXPECT_EQ(client.Run(Line({"EXEC"})),
            "-EXECABORT Transaction discarded because of: LOADING Redis is loading the dataset in memory\r\n");
  rig.engine().is_loading = false;
  EXPECT_EQ(client.Run(Line({"EXEC"})), "-ERR EXEC without MULTI\r\n");
}

TEST(loading_keeps_expiry_at_rest) {
  FakeClock clock;
  test::ServerRig rig({.workers = 1, .shards = 1});
  test::DetachedClient client(rig, 0);
  EXPECT_EQ(client.Run(Line({"SET", "k", "v", "PX", "10"})), "+OK\r\n");
  rig.engine().is_loading = true;
  clock.AdvanceMs(1000);
  for (int i = 0; i < 5; i++) rig.worker(0).Cron();
  EXPECT_EQ(rig.engine().keyspace(0).db(0).table.size(), 1u);
  rig.engine().is_loading = false;
  for (int i = 0; i < 5; i++) rig.worker(0).Cron();
  EXPECT_EQ(rig.engine().keyspace(0).db(0).table.size(), 0u);
}

}  // namespace
}  // namespace sherd
