// What one client does to others: MONITOR, CLIENT PAUSE, and the memory that clients may take, on several
// workers in both layouts. The last test drives the workers from a thread each (TSan).
#include <atomic>
#include <map>
#include <thread>

#include "base/clock.h"
#include "base/random.h"
#include "net/client_memory.h"
#include "net/test_rig.h"
#include "test/test.h"

namespace sherd {
namespace {

using net::ClientMemory;
using test::DetachedClient;
using test::Line;
using test::RigOptions;
using test::ServerRig;
using Unblock = net::Worker::Unblock;

constexpr RigOptions kLayouts[] = {{.workers = 1, .shards = 1},
                                   {.workers = 3, .shards = 8},
                                   {.workers = 3, .shards = 8, .in_place = false}};

/// A clock that stands until it is moved.
class StandingClock final : public ClockSource {
 public:
  StandingClock() { Clock::SetOverride(this); }
  ~StandingClock() { Clock::SetOverride(nullptr); }
  int64_t MonotonicNs() override { return us_ * 1000; }
  int64_t WallUs() override { return us_; }
  void Advance(int64_t ms) { us_ += ms * 1000; }

 private:
  int64_t us_ = 1'700'000'000'123'456;
};

/// A client with an address.
class Client : public DetachedClient {
 public:
  Client(ServerRig& rig, int worker, std::string address = "127.0.0.1:5000") : DetachedClient(rig, worker) {
    connection().session.address = std::move(address);
  }
};

/// A client in MONITOR.
class Monitor : public Client {
 public:
  Monitor(ServerRig& rig, int worker) : Client(rig, worker), rig_(rig) {
    EXPECT_EQ(Run(Line({"MONITOR"})), "+OK\r\n");
  }
  ~Monitor() { Run(Line({"CLIENT", "REPLY", "ON"}) + Line({"RESET"})); }
  /// What it has got since.
  std::string Lines() {
    for (int i = 0; i < 5; i++) rig_.Pump();
    return Take();
  }

 private:
  ServerRig& rig_;
};

const std::string kStamp = "+1700000000.123456 ";

// ---- MONITOR ----

TEST(monitor_sees_the_commands_of_all_workers) {
  for (const RigOptions& layout : kLayouts) {
    StandingClock clock;
    ServerRig rig(layout);
    Monitor first(rig, 0);
    Monitor second(rig, layout.workers - 1);
    for (int worker = 0; worker < layout.workers; worker++) {
      Client client(rig, worker, "10.0.0.1:" + std::to_string(worker));
      client.Run(Line({"SET", "key", "va lue"}) + Line({"PING"}) + Line({"MSET", "a", "1", "b", "2", "c", "3"}) +
                 Line({"DBSIZE"}) + Line({"SELECT", "2"}) + Line({"INFO", "x"}));
      const std::string from = "10.0.0.1:" + std::to_string(worker) + "] ";
      const std::string expected = kStamp + "[0 " + from + "\"SET\" \"key\" \"va lue\"\r\n" + kStamp + "[0 " +
                                   from + "\"PING\"\r\n" + kStamp + "[0 " + from +
                                   "\"MSET\" \"a\" \"1\" \"b\" \"2\" \"c\" \"3\"\r\n" + kStamp + "[0 " + from +
                                   "\"DBSIZE\"\r\n" + kStamp + "[2 " + from + "\"SELECT\" \"2\"\r\n" + kStamp +
                                   "[2 " + from + "\"INFO\" \"x\"\r\n";
      EXPECT_EQ(first.Lines(), expected);
      EXPECT_EQ(second.Lines(), expected);
    }
  }
}

TEST(monitor_quotes_as_redis_and_hides_passwords) {
  StandingClock clock;
  ServerRig rig({.workers = 2, .shards = 4});
  Monitor monitor(rig, 1);
  Client client(rig, 0);
  const auto shown = [&](const std::vector<std::string>& words) {
    client.Run(Line(words));
    const std::string lines = monitor.Lines();
    const std::string head = kStamp + "[0 127.0.0.1:5000] ";
    if (lines.empty()) return lines;
    EXPECT_TRUE(lines.starts_with(head));
    return lines.substr(head.size());
  };
  EXPECT_EQ(shown({"echo", std::string("\0\x01\r\n\t\a\b\"\\ ~\x7f\xff", 13)}),
            "\"echo\" \"\\x00\\x01\\r\\n\\t\\a\\b\\\"\\\\ ~\\x7f\\xff\"\r\n");
  EXPECT_EQ(shown({"ECHO", ""}), "\"ECHO\" \"\"\r\n");
  EXPECT_EQ(shown({"AUTH", "secret"}), "\"AUTH\" \"(redacted)\"\r\n");
  EXPECT_EQ(shown({"auth", "user", "secret"}), "\"auth\" \"(redacted)\" \"(redacted)\"\r\n");
  EXPECT_EQ(shown({"AUTH", "a", "b", "c"}), "\"AUTH\" \"a\" \"b\" \"c\"\r\n");
  EXPECT_EQ(shown({"HELLO", "3", "SETNAME", "n", "auth", "u", "p"}),
            "\"HELLO\" \"3\" \"SETNAME\" \"n\" \"auth\" \"(redacted)\" \"(redacted)\"\r\n");
  EXPECT_EQ(shown({"HELLO", "2", "AUTH", "u", "p", "AUTH", "v", "q"}),
            "\"HELLO\" \"2\" \"AUTH\" \"(redacted)\" \"(redacted)\" \"AUTH\" \"(redacted)\" \"(redacted)\"\r\n");
  EXPECT_EQ(shown({"HELLO", "2", "AUTH", "u"}), "\"HELLO\" \"2\" \"AUTH\" \"u\"\r\n");
  EXPECT_EQ(shown({"HELLO", "9", "AUTH", "u", "p"}), "\"HELLO\" \"9\" \"AUTH\" \"u\" \"p\"\r\n");
  // Administration, and what did not run at all.
  EXPECT_EQ(shown({"CONFIG", "SET", "requirepass", "x"}), "");
  EXPECT_EQ(shown({"CLIENT", "NO-EVICT", "on"}), "");
  EXPECT_EQ(shown({"GET"}), "");
  EXPECT_EQ(shown({"NOSUCH", "command"}), "");
  client.connection().session.is_unix_socket = true;
  client.connection().session.address = "/tmp/a.sock:0";
  client.Run(Line({"PING"}));
  EXPECT_EQ(monitor.Lines(), kStamp + "[0 unix:/tmp/a.sock] \"PING\"\r\n");
}

TEST(monitor_shows_a_transaction_when_it_runs) {
  for (const RigOptions& layout : kLayouts) {
    StandingClock clock;
    ServerRig rig(layout);
    Monitor monitor(rig, layout.workers - 1);
    Client client(rig, 0);
    const std::string head = kStamp + "[0 127.0.0.1:5000] ";
    client.Run(Line({"MULTI"}) + Line({"SET", "a", "1"}) + Line({"SET", "b", "2"}) + Line({"MONITOR"}));
    EXPECT_EQ(monitor.Lines(), head + "\"MULTI\"\r\n");
    EXPECT_EQ(client.Run(Line({"EXEC"})),
              "*3\r\n+OK\r\n+OK\r\n-ERR MONITOR isn't allowed for DENY BLOCKING client\r\n");
    EXPECT_EQ(monitor.Lines(), head + "\"SET\" \"a\" \"1\"\r\n" + head + "\"SET\" \"b\" \"2\"\r\n" + head +
                                   "\"EXEC\"\r\n");
  }
}

TEST(monitor_shows_what_was_answered_in_place_of_running) {
  for (const RigOptions& layout : kLayouts) {
    StandingClock clock;
    ServerRig rig(layout);
    Monitor monitor(rig, layout.workers - 1);
    Client client(rig, 0);
    const std::string head = kStamp + "[0 127.0.0.1:5000] ";
    client.Run(Line({"MULTI"}) + Line({"WATCH", "a"}) + Line({"EXEC", "x"}));
    EXPECT_EQ(monitor.Lines(), head + "\"MULTI\"\r\n" + head + "\"WATCH\" \"a\"\r\n" + head +
                                   "\"EXEC\" \"x\"\r\n");
    // What the control plane answers stands in its place, once.
    client.Run(Line({"MULTI"}) + Line({"SET", "a", "1"}) + Line({"INFO", "x"}) + Line({"SELECT", "1"}) +
               Line({"CONFIG", "GET", "x"}) + Line({"COMMAND", "COUNT"}) + Line({"EXEC"}));
    const std::string then = kStamp + "[1 127.0.0.1:5000] ";
    EXPECT_EQ(monitor.Lines(), head + "\"MULTI\"\r\n" + head + "\"SET\" \"a\" \"1\"\r\n" + head +
                                   "\"INFO\" \"x\"\r\n" + then + "\"SELECT\" \"1\"\r\n" + then +
                                   "\"COMMAND\" \"COUNT\"\r\n" + then + "\"EXEC\"\r\n");
  }
}

TEST(monitor_may_not_touch_keys_and_sees_itself) {
  for (const RigOptions& layout : kLayouts) {
    StandingClock clock;
    ServerRig rig(layout);
    Monitor monitor(rig, 0);
    const std::string head = kStamp + "[0 127.0.0.1:5000] ";
    const std::string refusal = "-ERR Replica can't interact with the keyspace\r\n";
    // Reply, line, reply, line, however much comes at once.
    monitor.Send(Line({"PING"}) + Line({"GET", "a"}) + Line({"ECHO", "x"}) + Line({"SET", "a", "b"}) +
                 Line({"MONITOR"}) + Line({"PUBLISH", "a", "b"}) + Line({"INFO"}) + Line({"PING"}));
    monitor.Settle();
    EXPECT_EQ(monitor.Lines(), "+PONG\r\n" + head + "\"PING\"\r\n" + refusal + "$1\r\nx\r\n" + head +
                                   "\"ECHO\" \"x\"\r\n" + refusal + refusal + "+OK\r\n" + head +
                                   "\"INFO\"\r\n+PONG\r\n" + head + "\"PING\"\r\n");
    // CLIENT REPLY OFF silences it; RESET ends it.
    monitor.Run(Line({"CLIENT", "REPLY", "OFF"}));
    Client client(rig, layout.workers - 1);
    client.Run(Line({"PING"}));
    EXPECT_EQ(monitor.Lines(), "");
    monitor.Run(Line({"RESET"}));
    client.Run(Line({"PING"}));
    EXPECT_EQ(monitor.Lines(), "");
    EXPECT_FALSE(rig.engine().monitors.any());
    EXPECT_EQ(monitor.Run(Line({"GET", "a"})), "$-1\r\n");
  }
}

// ---- CLIENT PAUSE ----

TEST(pause_holds_writes_back_on_all_workers_until_unpause) {
  for (const RigOptions& layout : kLayouts) {
    StandingClock clock;
    ServerRig rig(layout);
    Client admin(rig, 0);
    admin.Run(Line({"SET", "k", "v"}));
    EXPECT_EQ(admin.Run(Line({"CLIENT", "PAUSE", "1000", "WRITE"})), "+OK\r\n");
    Client writer(rig, layout.workers - 1);
    Client transaction(rig, 0);
    EXPECT_EQ(writer.Run(Line({"GET", "k"})), "$1\r\nv\r\n");
    writer.Send(Line({"PING"}) + Line({"SET", "k", "new"}) + Line({"GET", "k"}));
    transaction.Send(Line({"MULTI"}) + Line({"GET", "k"}) + Line({"EXEC"}) + Line({"MULTI"}));
    for (int i = 0; i < 5; i++) rig.Pump();
    EXPECT_EQ(writer.Take(), "+PONG\r\n");
    EXPECT_EQ(transaction.Take(), "+OK\r\n+QUEUED\r\n*1\r\n$1\r\nv\r\n+OK\r\n");
    transaction.Send(Line({"DEL", "k"}));
    EXPECT_TRUE(writer.is_parked());
    EXPECT_TRUE(transaction.is_parked());
    uint64_t blocked = 0;
    for (int i = 0; i < layout.workers; i++) blocked += rig.counters(i).blocked_clients.Get();
    EXPECT_EQ(blocked, uint64_t{2});
    EXPECT_EQ(admin.Run(Line({"CLIENT", "UNPAUSE"})), "+OK\r\n");
    writer.Settle();
    transaction.Settle();
    EXPECT_EQ(writer.Take(), "+OK\r\n$3\r\nnew\r\n");
    EXPECT_EQ(transaction.Take(), "+QUEUED\r\n");
    blocked = 0;
    for (int i = 0; i < layout.workers; i++) blocked += rig.counters(i).blocked_clients.Get();
    EXPECT_EQ(blocked, uint64_t{0});
    EXPECT_EQ(rig.engine().gate.load(), uint32_t{0});
  }
}

TEST(pause_ends_by_itself_and_only_grows_longer_and_stricter) {
  StandingClock clock;
  ServerRig rig({.workers = 2, .shards = 4});
  Client admin(rig, 0);
  Client other(rig, 1);
  const auto pause = [&](const char* ms, const char* mode) {
    EXPECT_EQ(admin.Run(Line({"CLIENT", "PAUSE", ms, mode})), "+OK\r\n");
  };
  const auto held = [&](const std::string& line) {
    other.Send(line);
    for (int i = 0; i < 5; i++) rig.Pump();
    return other.Take().empty();
  };
  pause("1000", "WRITE");
  pause("10", "WRITE");  // the longer one wins
  clock.Advance(900);
  EXPECT_TRUE(held(Line({"SET", "a", "1"})));
  clock.Advance(101);
  other.Settle();
  EXPECT_EQ(other.Take(), "+OK\r\n");
  // The stricter one wins: ALL stays ALL. (A pause of all can only be followed by another in EXEC.)
  EXPECT_EQ(admin.Run(Line({"MULTI"}) + Line({"CLIENT", "PAUSE", "100", "ALL"}) +
                      Line({"CLIENT", "PAUSE", "500", "WRITE"}) + Line({"SET", "a", "2"}) + Line({"EXEC"})),
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n+OK\r\n+OK\r\n");
  clock.Advance(400);
  EXPECT_TRUE(held(Line({"GET", "a"})));
  clock.Advance(101);
  other.Settle();
  EXPECT_EQ(other.Take(), "$1\r\n2\r\n");
  rig.worker(1).Cron();
  EXPECT_EQ(rig.engine().gate.load(), uint32_t{0});
  // After the end an easier one begins anew; one of no time at all does nothing.
  pause("0", "ALL");
  EXPECT_EQ(other.Run(Line({"PING"})), "+PONG\r\n");
  pause("100", "WRITE");
  EXPECT_EQ(other.Run(Line({"PING"})), "+PONG\r\n");
  pause("0", "ALL");  // stricter, for as long as the first
  EXPECT_TRUE(held(Line({"PING"})));
  clock.Advance(101);
  other.Settle();
}

TEST(pause_checks_its_arguments_in_the_order_of_redis) {
  ServerRig rig({.workers = 1, .shards = 1});
  Client client(rig, 0);
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"CLIENT", "PAUSE"}, "-ERR wrong number of arguments for 'client|pause' command\r\n"},
      {{"CLIENT", "PAUSE", "x", "both"}, "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n"},
      {{"CLIENT", "PAUSE", "x", "write"}, "-ERR timeout is not an integer or out of range\r\n"},
      {{"CLIENT", "PAUSE", "1.5"}, "-ERR timeout is not an integer or out of range\r\n"},
      {{"CLIENT", "PAUSE", "-1"}, "-ERR timeout is negative\r\n"},
      {{"CLIENT", "PAUSE", "9223372036854775807"}, "-ERR timeout is out of range\r\n"},
      {{"CLIENT", "PAUSE", "1", "write", "x"},
       "-ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.\r\n"},
      {{"CLIENT", "UNPAUSE", "x"}, "-ERR wrong number of arguments for 'client|unpause' command\r\n"},
  };
  for (const auto& [words, reply] : cases) EXPECT_EQ(client.Run(Line(words)), reply);
  EXPECT_EQ(rig.engine().gate.load(), uint32_t{0});
}

TEST(pause_finds_requests_that_wait_at_a_shard) {
  StandingClock clock;
  ServerRig rig({.workers = 2, .shards = 4});
  const std::string key = rig.KeyOn(2);
  Client admin(rig, 0);
  Client writer(rig, 1);
  CHECK(rig.server().leases().TryAcquire(2, 0));
  writer.Send(Line({"SET", key, "v"}));
  admin.Send(Line({"CLIENT", "PAUSE", "1000", "WRITE"}));
  EXPECT_TRUE(admin.is_parked());
  rig.engine().Pause(Clock::WallMs() + 1000, false, Clock::WallMs());
  rig.server().leases().Release(2, 0);
  admin.Settle();
  EXPECT_EQ(admin.Take(), "+OK\r\n");
  for (int i = 0; i < 5; i++) rig.Pump();
  EXPECT_TRUE(writer.is_parked());
  EXPECT_EQ(rig.counters(1).blocked_clients.Get(), uint64_t{1});
  EXPECT_EQ(admin.Run(Line({"EXISTS", key})), ":0\r\n");
  clock.Advance(1001);
  writer.Settle();
  EXPECT_EQ(writer.Take(), "+OK\r\n");
  EXPECT_EQ(rig.counters(1).blocked_clients.Get(), uint64_t{0});
}

TEST(pause_keeps_expired_keys_but_hides_them) {
  StandingClock clock;
  ServerRig rig({.workers = 1, .shards = 1});
  Client client(rig, 0);
  client.Run(Line({"SET", "k", "v", "PX", "100"}) + Line({"CLIENT", "PAUSE", "1000", "WRITE"}));
  clock.Advance(200);
  for (int i = 0; i < 5; i++) rig.worker(0).Cron();
  EXPECT_EQ(client.Run(Line({"GET", "k"}) + Line({"EXISTS", "k"}) + Line({"TTL", "k"}) + Line({"DBSIZE"})),
            "$-1\r\n:0\r\n:-2\r\n:1\r\n");
  EXPECT_EQ(client.Run(Line({"RANDOMKEY"})), "$1\r\nk\r\n");  // as Redis, where there is no other
  EXPECT_EQ(rig.counters(0).expired_keys.Get(), uint64_t{0});
  clock.Advance(801);
  for (int i = 0; i < 5; i++) rig.worker(0).Cron();
  EXPECT_EQ(client.Run(Line({"DBSIZE"})), ":0\r\n");
  EXPECT_EQ(rig.counters(0).expired_keys.Get(), uint64_t{1});
  // A write that is not held back, in the EXEC that pauses, finds the place free.
  client.Run(Line({"SET", "k", "v", "PX", "100"}));
  clock.Advance(50);
  client.Run(Line({"MULTI"}) + Line({"CLIENT", "PAUSE", "1000", "WRITE"}) + Line({"SET", "k", "w", "NX"}));
  clock.Advance(60);
  EXPECT_EQ(client.Run(Line({"EXEC"}) + Line({"GET", "k"})), "*2\r\n+OK\r\n+OK\r\n$1\r\nw\r\n");
  rig.Validate();
}

// ---- CLIENT UNBLOCK and KILL of waiting clients ----

TEST(unblock_answers_who_waits_and_nobody_else) {
  for (const RigOptions& layout : kLayouts) {
    StandingClock clock;
    ServerRig rig(layout);
    Client client(rig, layout.workers - 1);
    const uint64_t id = client.connection().session.id;
    net::Worker& worker = rig.worker(layout.workers - 1);
    // Worker::UnblockClient finds a connection by its number.
    rig.server().AddClient(id, static_cast<engine::WorkerId>(layout.workers - 1), &client.connection());
    const auto counted = [&](engine::Counter engine::WorkerCounters::*counter) {
      uint64_t sum = 0;
      for (int i = 0; i < layout.workers; i++) sum += (rig.counters(i).*counter).Get();
      return sum;
    };
    const auto wait = [&](const std::string& bytes) {
      client.Send(bytes);
      for (int i = 0; i < 5; i++) rig.Pump();
      EXPECT_EQ(client.Take(), "");
      EXPECT_TRUE(client.is_parked());
    };
    EXPECT_TRUE(worker.UnblockClient(id, false) == Unblock::kWasNotBlocked);
    wait(Line({"BLPOP", "a", "b", "0"}) + Line({"PING"}));
    EXPECT_EQ(counted(&engine::WorkerCounters::blocked_clients), uint64_t{1});
    EXPECT_EQ(counted(&engine::WorkerCounters::blocking_keys), uint64_t{2});
    EXPECT_EQ(counted(&engine::WorkerCounters::clients_in_timeout_table), uint64_t{0});
    EXPECT_TRUE(worker.UnblockClient(id, false) == Unblock::kUnblocked);
    EXPECT_TRUE(worker.UnblockClient(id, false) == Unblock::kWasNotBlocked);  // once
    client.Settle();
    EXPECT_EQ(client.Take(), "*-1\r\n+PONG\r\n");
    wait(Line({"BLPOP", "a", "100"}));
    EXPECT_EQ(counted(&engine::WorkerCounters::clients_in_timeout_table), uint64_t{1});
    EXPECT_TRUE(worker.UnblockClient(id, true) == Unblock::kUnblocked);
    client.Settle();
    EXPECT_EQ(client.Take(), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    EXPECT_EQ(counted(&engine::WorkerCounters::blocked_clients), uint64_t{0});
    EXPECT_EQ(counted(&engine::WorkerCounters::clients_in_timeout_table), uint64_t{0});
    // Served first: it does not wait any more, although it has not been told yet.
    wait(Line({"BLPOP", "a", "0"}));
    Client pusher(rig, 0);
    pusher.Run(Line({"RPUSH", "a", "x"}));
    EXPECT_TRUE(worker.UnblockClient(id, true) == Unblock::kWasNotBlocked);
    client.Settle();
    EXPECT_EQ(client.Take(), "*2\r\n$1\r\na\r\n$1\r\nx\r\n");
    for (int i = 0; i < 5; i++) rig.Pump();
    EXPECT_EQ(counted(&engine::WorkerCounters::blocking_keys), uint64_t{0});
    rig.server().RemoveClient(id);
  }
}

TEST(monitor_shows_a_waiting_command_when_it_begins_to_wait_only) {
  for (const RigOptions& layout : kLayouts) {
    StandingClock clock;
    ServerRig rig(layout);
    Monitor monitor(rig, 0);
    Client client(rig, layout.workers - 1, "c:1");
    Client pusher(rig, 0, "p:1");
    client.Send(Line({"BLPOP", "a", "0"}));
    EXPECT_EQ(monitor.Lines(), kStamp + "[0 c:1] \"BLPOP\" \"a\" \"0\"\r\n");
    pusher.Run(Line({"RPUSH", "a", "x"}));
    client.Settle();
    EXPECT_EQ(client.Take(), "*2\r\n$1\r\na\r\n$1\r\nx\r\n");
    EXPECT_EQ(monitor.Lines(), kStamp + "[0 p:1] \"RPUSH\" \"a\" \"x\"\r\n");
  }
}

// ---- Memory ----

TEST(client_memory_buckets_are_powers_of_two) {
  EXPECT_EQ(int{ClientMemory::BucketOf(0)}, 0);
  EXPECT_EQ(int{ClientMemory::BucketOf(65535)}, 0);
  EXPECT_EQ(int{ClientMemory::BucketOf(65536)}, 1);
  EXPECT_EQ(int{ClientMemory::BucketOf(131071)}, 1);
  EXPECT_EQ(int{ClientMemory::BucketOf(uint64_t{8} << 30)}, 18);
  EXPECT_EQ(int{ClientMemory::BucketOf(~uint64_t{0})}, 18);
}

TEST(client_memory_limit_may_be_a_percentage) {
  ServerRig rig({.workers = 2, .shards = 1});
  ClientMemory& memory = rig.server().client_memory();
  engine::Options& options = rig.engine().options();
  EXPECT_EQ(memory.limit(), uint64_t{0});
  options.maxmemory_clients.Set(10 << 20);
  EXPECT_EQ(memory.limit(), uint64_t{10 << 20});
  options.maxmemory_clients.Set(5);
  EXPECT_EQ(memory.limit(), uint64_t{128 * 1024});
  options.maxmemory_clients.Set(-5);
  EXPECT_EQ(memory.limit(), uint64_t{0});  // of no limit at all
  options.maxmemory.Set(100 << 20);
  EXPECT_EQ(memory.limit(), uint64_t{5 << 20});
  rig.counters(0).client_memory_bytes.Set(3 << 20);
  rig.counters(1).client_memory_bytes.Set((2 << 20) - 1);
  EXPECT_FALSE(memory.IsOver());
  rig.counters(1).client_memory_bytes.Add(1);
  EXPECT_TRUE(memory.IsOver());
  rig.counters(0).client_memory_bytes.Set(0);
  rig.counters(1).client_memory_bytes.Set(0);
}

TEST(client_memory_finds_the_worker_with_the_largest) {
  ServerRig rig({.workers = 3, .shards = 1});
  ClientMemory memory(rig.engine());
  engine::WorkerId worker = 9;
  EXPECT_FALSE(memory.FindLargest(0, &worker));
  memory.Move(0, ClientMemory::kNoBucket, 0);
  memory.Move(1, ClientMemory::kNoBucket, 3);
  memory.Move(2, ClientMemory::kNoBucket, 3);
  EXPECT_TRUE(memory.FindLargest(0, &worker));
  EXPECT_EQ(int{worker}, 1);
  EXPECT_TRUE(memory.FindLargest(2, &worker));
  EXPECT_EQ(int{worker}, 2);
  memory.Move(2, 3, 1);
  EXPECT_TRUE(memory.FindLargest(2, &worker));
  EXPECT_EQ(int{worker}, 1);
  memory.Move(1, 3, ClientMemory::kNoBucket);
  EXPECT_TRUE(memory.FindLargest(0, &worker));
  EXPECT_EQ(int{worker}, 2);
  EXPECT_TRUE(memory.Ask(1));
  EXPECT_FALSE(memory.Ask(1));
  memory.TakeQuestion(1);
  EXPECT_TRUE(memory.Ask(1));
}

// ---- Threads ----

// Two workers write the same keys while one client pauses and lets go, and monitors on both look on. SET with
// GET answers with the value before: each key's values form a chain, which is the order in which the commands
// ran. Both monitors must have seen just that order.
TEST(monitor_lines_of_a_key_come_in_the_order_of_execution) {
  constexpr int kWorkers = 2;
  constexpr int kRounds = 300;
  constexpr int kKeys = 3;
  ServerRig rig({.workers = kWorkers, .shards = 4});
  std::vector<std::unique_ptr<Client>> monitors;
  std::vector<std::unique_ptr<Client>> writers;
  Client admin(rig, 0);
  std::string seen[kWorkers];
  for (int i = 0; i < kWorkers; i++) {
    monitors.push_back(std::make_unique<Client>(rig, i));
    EXPECT_EQ(monitors.back()->Run(Line({"MONITOR"})), "+OK\r\n");
    writers.push_back(std::make_unique<Client>(rig, i, "w:" + std::to_string(i)));
  }
  std::map<std::string, std::string> before[kWorkers];  // value -> the value that it replaced
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kWorkers; i++) {
    threads.emplace_back([&, i] {
      Random random(test::Seed() + static_cast<uint64_t>(i));
      for (int round = 0; round < kRounds; round++) {
        if (i == 0 && round % 30 == 0) admin.Send(Line({"CLIENT", "PAUSE", "100000", "WRITE"}));
        const std::string key = "k" + std::to_string(random.Below(kKeys));
        const std::string value = key + "-" + std::to_string(i) + "-" + std::to_string(round);
        writers[static_cast<size_t>(i)]->Send(Line({"SET", key, value, "GET"}));
        if (i == 0 && round % 30 == 0) {
          rig.worker(0).RunOnce();
          admin.Send(Line({"CLIENT", "UNPAUSE"}));
        }
        Client& writer = *writers[static_cast<size_t>(i)];
        // Serving on may end in the next pause at once.
        std::string reply;
        while (reply.empty() || (i == 0 && admin.is_parked())) {
          rig.worker(i).RunOnce();
          writer.Serve();
          if (i == 0) admin.Serve();
          reply += writer.Take();
        }
        const size_t start = reply.find("\r\n") + 2;
        before[i][value] = reply == "$-1\r\n" ? "" : reply.substr(start, reply.size() - start - 2);
      }
      done++;
      while (done.load() < kWorkers) rig.worker(i).RunOnce();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 5; i++) rig.Pump();
  for (int i = 0; i < kWorkers; i++) seen[i] = monitors[static_cast<size_t>(i)]->Take();
  for (const std::string& lines : seen) {
    std::map<std::string, std::string> last;
    int count = 0;
    for (size_t at = 0; at < lines.size();) {
      const std::string line = lines.substr(at, lines.find("\r\n", at) - at);
      at += line.size() + 2;
      const size_t set = line.find("\"SET\" \"");
      if (set == std::string::npos) continue;
      const std::string key = line.substr(set + 7, 2);
      const std::string value = line.substr(set + 12, line.find('"', set + 12) - set - 12);
      const std::string& replaced = before[value[3] - '0'][value];
      ASSERT_EQ(replaced, last[key]);
      last[key] = value;
      count++;
    }
    EXPECT_EQ(count, kWorkers * kRounds);
  }
  for (auto& monitor : monitors) monitor->Run(Line({"RESET"}));
}

}  // namespace
}  // namespace sherd
