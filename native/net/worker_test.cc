// The worker from bytes to replies, in one process and on one thread: what pipelines, windows,
// parking, reply modes and big arguments must come to, in the layout that executes in place and in
// the one that sends everything to the owner.
//
// Method: the same bytes give the same replies however they are cut. Where the interplay with a
// socket is the point (output limits, reads that end inside a command, killed clients), a loopback
// listener is driven from the same thread.
#include "net/worker.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/clock.h"
#include "base/random.h"
#include "net/test_rig.h"
#include "test/loopback_socket.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::DetachedClient;
using test::Line;
using test::RigOptions;
using test::ServerRig;

constexpr RigOptions kAlone = {.workers = 1, .shards = 1};
constexpr RigOptions kInPlace = {.workers = 2, .shards = 4};
constexpr RigOptions kOnOwner = {.workers = 2, .shards = 4, .in_place = false};
constexpr RigOptions kLayouts[] = {kAlone, kInPlace, kOnOwner};

std::string Bulk(std::string_view text) {
  return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
}

/// Holds the lease of a shard, as a worker in the middle of a command would.
class BusyShard {
 public:
  BusyShard(ServerRig& rig, int shard, int worker)
      : rig_(rig),
        shard_(static_cast<engine::ShardId>(shard)),
        worker_(static_cast<engine::WorkerId>(worker)) {
    CHECK(rig.server().leases().TryAcquire(shard_, worker_));
  }
  ~BusyShard() { rig_.server().leases().Release(shard_, worker_); }

 private:
  ServerRig& rig_;
  engine::ShardId shard_;
  engine::WorkerId worker_;
};

// ---- Pipelines ----

std::string MixedPipeline() {
  return Line({"FLUSHALL"}) + Line({"SET", "a", "1"}) + "PING\r\n" + Line({"INCR", "a"}) + "\r\n" +
         Line({"MSET", "b", "x", "c", std::string(300, 'y'), "d", "z"}) + "SET e 'quo\\'ted'\r\n" +
         Line({"MGET", "d", "c", "b", "a", "e"}) + "*0\r\n" + Line({"NOSUCH", "command"}) +
         Line({"GET"}) + Line({"RENAME", "b", "c"}) + Line({"GET", "c"}) + Line({"DBSIZE"}) +
         Line({"SET", "", ""}) + Line({"GET", ""}) + Line({"CONFIG", "GET", "maxmemory"}) +
         Line({"SELECT", "3"}) + Line({"SET", "a", "other"}) + Line({"SELECT", "0"}) +
         Line({"GET", "a"}) + Line({"ECHO", "end"});
}

TEST(worker_answers_a_pipeline_alike_however_it_is_cut) {
  const std::string pipeline = MixedPipeline();
  std::string first;
  for (const RigOptions& layout : kLayouts) {
    ServerRig rig(layout);
    DetachedClient whole(rig, 0);
    const std::string expected = whole.Run(pipeline);
    if (first.empty()) first = expected;
    EXPECT_EQ(expected, first);
    EXPECT_EQ(test::CutReplies(expected).size(), size_t{20});
    EXPECT_TRUE(expected.ends_with("$1\r\n2\r\n$3\r\nend\r\n"));
    for (size_t cut = 1; cut < pipeline.size(); cut++) {
      DetachedClient client(rig, 0);
      client.Send(std::string_view(pipeline).substr(0, cut));
      ASSERT_EQ(client.Run(std::string_view(pipeline).substr(cut)), expected);
      EXPECT_EQ(client.unread_bytes(), size_t{0});
    }
    DetachedClient slow(rig, layout.workers - 1);
    for (const char byte : pipeline) slow.Send({&byte, 1});
    EXPECT_EQ(slow.Run(""), expected);
    rig.Validate();
  }
}

TEST(worker_takes_any_number_of_commands_at_once) {
  for (const RigOptions& layout : kLayouts) {
    ServerRig rig(layout);
    for (const int count : {1, 15, 16, 17, 31, 32, 33, 48, 49, 200}) {
      DetachedClient client(rig, 0);
      std::string pipeline = Line({"DEL", "n"});
      std::string expected = ":0\r\n";
      if (count > 1) expected = ":1\r\n";
      for (int i = 1; i <= count; i++) {
        pipeline += Line({"INCR", "n"});
        expected += ":" + std::to_string(i) + "\r\n";
      }
      const std::string tail = Line({"INCR", "n"});
      pipeline += tail.substr(0, tail.size() - 3);
      const std::string got = client.Run(pipeline);
      EXPECT_EQ(got.substr(4), expected.substr(4));
      EXPECT_EQ(client.unread_bytes(), tail.size() - 3);
      EXPECT_EQ(client.Run(tail.substr(tail.size() - 3)), ":" + std::to_string(count + 1) + "\r\n");
    }
  }
}

// Reads see the writes of their own connection across shards, whatever takes a ring and what does
// not.
TEST(worker_random_pipelines_are_answered_in_order) {
  Random random(test::Seed());
  for (const RigOptions& layout : kLayouts) {
    ServerRig rig(layout);
    DetachedClient client(rig, 0);
    std::string values[20];
    for (int round = 0; round < 200; round++) {
      std::string pipeline;
      std::string expected;
      const int commands = static_cast<int>(random.Below(40));
      for (int i = 0; i < commands; i++) {
        const size_t key = random.Below(20);
        const std::string name = "key" + std::to_string(key);
        if (random.OneIn(2)) {
          values[key] = std::to_string(random.Below(1000));
          pipeline += Line({"SET", name, values[key]});
          expected += "+OK\r\n";
        } else if (random.OneIn(2)) {
          const size_t other = random.Below(20);
          pipeline += Line({"MGET", name, "key" + std::to_string(other)});
          expected += "*2\r\n";
          for (const size_t k : {key, other})
            expected += values[k].empty() ? "$-1\r\n" : Bulk(values[k]);
        } else {
          pipeline += Line({"GET", name});
          expected += values[key].empty() ? "$-1\r\n" : Bulk(values[key]);
        }
      }
      const size_t cut = random.Below(pipeline.size() + 1);
      client.Send(std::string_view(pipeline).substr(0, cut));
      ASSERT_EQ(client.Run(std::string_view(pipeline).substr(cut)), expected);
    }
  }
}

// ---- Parked connections ----

TEST(worker_parked_connection_resumes_in_order) {
  ServerRig rig(kInPlace);
  const std::string busy_key = rig.KeyOn(2);
  const std::string free_key = rig.KeyOn(1);
  DetachedClient waiting(rig, 0);
  DetachedClient other(rig, 0);
  {
    BusyShard busy(rig, 2, 1);
    waiting.Send(Line({"SET", free_key, "0"}) + Line({"SET", busy_key, "1"}) + Line({"PING"}) +
                 Line({"INCR", free_key}) + Line({"APPEND", busy_key, "2"}) + Line({"ECHO", "x"}));
    EXPECT_TRUE(waiting.is_parked());
    rig.Pump();
    EXPECT_TRUE(waiting.is_parked());
    EXPECT_EQ(waiting.Take(), "+OK\r\n");
    EXPECT_EQ(other.Run(Line({"GET", free_key})), Bulk("0"));  // nobody else waits
    EXPECT_EQ(rig.counters(0).commands_queued.Get(), uint64_t{1});
  }
  EXPECT_EQ(waiting.Run(""), "+OK\r\n+PONG\r\n:1\r\n:2\r\n$1\r\nx\r\n");
  EXPECT_EQ(other.Run(Line({"GET", busy_key})), Bulk("12"));
}

TEST(worker_command_on_several_shards_waits_for_all_of_them) {
  ServerRig rig(kInPlace);
  std::string keys[4];
  for (int shard = 0; shard < 4; shard++) keys[shard] = rig.KeyOn(shard);
  for (int busy_shard = 0; busy_shard < 4; busy_shard++) {
    DetachedClient client(rig, 0);
    {
      BusyShard busy(rig, busy_shard, 1);
      client.Send(Line({"MSET", keys[3], "d", keys[0], "a", keys[2], "c", keys[1], "b"}) +
                  Line({"MGET", keys[0], keys[1], keys[2], keys[3]}) + Line({"FLUSHALL"}) +
                  Line({"DBSIZE"}));
      rig.Pump();
      EXPECT_TRUE(client.is_parked());
      EXPECT_EQ(client.Take(), "");
    }
    EXPECT_EQ(client.Run(""),
              "+OK\r\n*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n+OK\r\n:0\r\n");
  }
}

TEST(worker_control_commands_hold_up_their_connection_only) {
  ServerRig rig(kAlone);
  std::vector<net::ControlCall> calls;
  rig.on_control = [&](int, net::ControlCall&& call) { calls.push_back(std::move(call)); };
  DetachedClient client(rig, 0);
  DetachedClient other(rig, 0);
  client.Send(Line({"PING"}) + Line({"CONFIG", "GET", "x"}) + Line({"ECHO", "behind"}));
  rig.Pump();
  ASSERT_EQ(calls.size(), size_t{1});
  EXPECT_EQ(calls[0].args.size(), size_t{3});
  EXPECT_EQ(calls[0].args[2], "x");
  EXPECT_EQ(client.Take(), "+PONG\r\n");
  EXPECT_EQ(other.Run(Line({"PING"})), "+PONG\r\n");
  rig.worker(0).AnswerControl(calls[0].token, "*0\r\n");
  EXPECT_EQ(client.Run(""), "*0\r\n$6\r\nbehind\r\n");
}

// ---- CLIENT REPLY ----

TEST(worker_client_reply_covers_whatever_way_a_command_takes) {
  for (const RigOptions& layout : kLayouts) {
    ServerRig rig(layout);
    DetachedClient client(rig, 0);
    std::string pipeline = Line({"CLIENT", "REPLY", "OFF"});
    for (int shard = 0; shard < layout.shards; shard++)
      pipeline += Line({"SET", rig.KeyOn(shard), "v"});
    pipeline += Line({"NOSUCH"}) + Line({"GET"}) + Line({"CONFIG", "GET", "x"}) + Line({"DBSIZE"}) +
                Line({"CLIENT", "REPLY", "SKIP"}) + Line({"PING"}) +
                Line({"CLIENT", "REPLY", "ON"});
    for (int shard = 0; shard < layout.shards; shard++) {
      // SKIP covers one command, whether it runs here, on the owner or in the control plane.
      pipeline += Line({"CLIENT", "REPLY", "SKIP"}) + Line({"GET", rig.KeyOn(shard)}) +
                  Line({"GET", rig.KeyOn(shard)});
    }
    pipeline += Line({"CLIENT", "REPLY", "SKIP"}) + Line({"CONFIG", "GET", "x"}) +
                Line({"DBSIZE"}) + Line({"CLIENT", "REPLY", "SKIP"}) + Line({"NOSUCH"}) +
                Line({"ECHO", "end"});
    std::string expected = "+OK\r\n";
    for (int shard = 0; shard < layout.shards; shard++) expected += Bulk("v");
    expected += ":" + std::to_string(layout.shards) + "\r\n$3\r\nend\r\n";
    EXPECT_EQ(client.Run(pipeline), expected);
    DetachedClient slow(rig, 0);
    for (const char byte : pipeline) slow.Send({&byte, 1});
    EXPECT_EQ(slow.Run(""), expected);
  }
}

// ---- Authentication ----

TEST(worker_auth_and_reset_count_from_the_next_command_of_a_window) {
  for (const RigOptions& layout : kLayouts) {
    ServerRig rig(layout);
    rig.engine().SetPassword("secret");
    const std::string noauth = "-NOAUTH Authentication required.\r\n";
    const std::string pipeline =
        Line({"GET", "a"}) + Line({"AUTH", "secret"}) + Line({"SET", "a", "1"}) +
        Line({"MSET", "1", "1", "2", "2", "3", "3", "4", "4", "5", "5", "6", "6"}) +
        Line({"RESET"}) + Line({"SET", "a", "2"}) + Line({"AUTH", "wrong"}) + Line({"GET", "a"}) +
        Line({"AUTH", "default", "secret"}) + Line({"GET", "a"}) + Line({"RESET"}) +
        Line({"MSET", "1", "1", "2", "2", "3", "3", "4", "4", "5", "5", "6", "6"}) + Line({"PING"});
    const std::string expected =
        noauth + "+OK\r\n+OK\r\n+OK\r\n+RESET\r\n" + noauth +
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n" + noauth +
        "+OK\r\n$1\r\n1\r\n+RESET\r\n-ERR Protocol error: unauthenticated multibulk length\r\n";
    for (size_t cut = 0; cut < pipeline.size(); cut += 7) {
      DetachedClient client(rig, 0);
      client.Send(std::string_view(pipeline).substr(0, cut));
      ASSERT_EQ(client.Run(std::string_view(pipeline).substr(cut)), expected);
      EXPECT_TRUE(client.is_closing());
    }
  }
}

// ---- The end of a connection ----

TEST(worker_runs_nothing_behind_quit) {
  for (const RigOptions& layout : kLayouts) {
    ServerRig rig(layout);
    DetachedClient client(rig, 0);
    EXPECT_EQ(client.Run(Line({"SET", "a", "1"}) + Line({"QUIT"}) + Line({"INCR", "a"})),
              "+OK\r\n+OK\r\n");
    EXPECT_TRUE(client.is_closing());
    DetachedClient other(rig, 0);
    EXPECT_EQ(other.Run(Line({"GET", "a"})), Bulk("1"));
  }
}

// Bytes may go on arriving while the last replies are still on their way out.
TEST(worker_serves_nothing_that_arrives_after_quit_or_a_protocol_error) {
  for (const std::string& end : {Line({"QUIT"}), std::string("*1\r\n!\r\n")}) {
    ServerRig rig(kInPlace);
    DetachedClient client(rig, 0);
    client.Run(Line({"SET", "a", "1"}) + end);
    ASSERT_TRUE(client.is_closing());
    EXPECT_EQ(client.Run(Line({"INCR", "a"}) + Line({"PING"})), "");
    DetachedClient other(rig, 0);
    EXPECT_EQ(other.Run(Line({"GET", "a"})), Bulk("1"));
  }
}

// ---- Sockets ----

/// A peer on the loopback; every wait drives the rig's workers.
class SocketClient {
 public:
  SocketClient(ServerRig& rig, int port, int receive_bytes = 0) : rig_(rig), socket_(port, receive_bytes) {
    for (int i = 0; i < 5; i++) rig_.Pump();
  }

  /// Sends all of it, as far as the server takes it.
  void Send(std::string_view bytes) {
    for (int idle = 0; !bytes.empty() && idle < kIdleTurnsMax;) {
      const ssize_t sent = send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
      if (sent < 0 && errno != EAGAIN) break;  // closed by the server
      idle = sent > 0 ? 0 : idle + 1;
      rig_.Pump();
      // The kernel may take its time to open a window again.
      pollfd waits = {socket_.fd(), POLLOUT, 0};
      if (idle > 10) poll(&waits, 1, 1);
    }
    EXPECT_TRUE(bytes.empty() || errno != EAGAIN);
    for (int i = 0; i < 3; i++) rig_.Pump();
  }
  /// Reads until `count` whole replies are there, or the server hangs up, or nothing comes for a
  /// second.
  std::string Read(size_t count) {
    std::string bytes;
    size_t seen = 0;
    for (size_t at = 0; seen < count;) {
      const size_t size = test::ReplySize(std::string_view(bytes).substr(at));
      if (size == std::string::npos) break;
      if (size > 0) {
        at += size;
        seen++;
      } else if (!Receive(&bytes)) {
        break;
      }
    }
    return bytes;
  }
  std::string ReadToEnd() {
    std::string bytes;
    while (Receive(&bytes)) {
    }
    return bytes;
  }
  bool is_ended() const { return is_ended_; }

 private:
  static constexpr int kIdleTurnsMax = 1000;

  bool Receive(std::string* bytes) {
    for (int idle = 0; idle < kIdleTurnsMax; idle++) {
      rig_.Pump();
      const ssize_t got = socket_.Receive(bytes);
      if (got > 0) return true;
      if (got == 0 || errno != EAGAIN) {
        is_ended_ = true;
        return false;
      }
      pollfd waits = {socket_.fd(), POLLIN, 0};
      poll(&waits, 1, 1);
    }
    return false;
  }

  ServerRig& rig_;
  test::LoopbackSocket socket_;
  bool is_ended_ = false;
};

class ListeningRig : public ServerRig {
 public:
  explicit ListeningRig(const RigOptions& options) : ServerRig(options) {
    const auto result = server().ListenTcp("127.0.0.1", 0, 16);
    CHECK(result.error == 0);
    port_ = result.port;
  }
  int port() const { return port_; }

 private:
  int port_;
};

TEST(worker_socket_keeps_input_between_reads) {
  Random random(test::Seed());
  for (const RigOptions& layout : kLayouts) {
    ListeningRig rig(layout);
    SocketClient client(rig, rig.port());
    // 150 KB, so that reads of 64 KB end inside commands; and cut at random as well.
    std::string pipeline;
    std::string expected;
    for (int i = 0; i < 300; i++) {
      const std::string value(random.Below(1000), static_cast<char>('a' + i % 26));
      pipeline += Line({"SET", "k" + std::to_string(i % 7), value});
      pipeline += Line({"GET", "k" + std::to_string(i % 7)});
      expected += "+OK\r\n" + Bulk(value);
    }
    for (std::string_view rest = pipeline; !rest.empty();) {
      const size_t piece =
          std::min<size_t>(rest.size(), 1 + random.Below(random.OneIn(4) ? 70000 : 50));
      client.Send(rest.substr(0, piece));
      rest.remove_prefix(piece);
    }
    EXPECT_TRUE(client.Read(600) == expected);
    client.Send(pipeline);
    EXPECT_TRUE(client.Read(600) == expected);
  }
}

TEST(worker_socket_big_arguments_arrive_whole) {
  Random random(test::Seed());
  for (const RigOptions& layout : kLayouts) {
    ListeningRig rig(layout);
    const size_t used = rig.UsedBytes();
    SocketClient client(rig, rig.port());
    for (const size_t size : {size_t{32} << 10, (size_t{32} << 10) - 1, size_t{100'000},
                              size_t{1} << 20, (size_t{3} << 20) + 17}) {
      std::string value(size, '\0');
      for (size_t i = 0; i < size; i++) value[i] = static_cast<char>(i * 31 >> 3);
      const std::string set = Line({"SET", "big", value});
      const std::string pipeline =
          Line({"SET", "small", "1"}) + set + Line({"STRLEN", "big"}) + Line({"GET", "big"}) +
          Line({"APPEND", "big", value}) + Line({"STRLEN", "big"}) +
          Line({"SETRANGE", "big", "1", value}) + Line({"GETSET", "big", value}) +
          Line({"MSET", "other", "x", "big", value}) + Line({"GET", value}) +
          Line({"ECHO", value}) + Line({"NOSUCH", value}) + Line({"PING", "a", value}) +
          Line({"CLIENT", "REPLY", "SKIP"}) + Line({"SET", "big2", value}) + Line({"GET", "big2"}) +
          Line({"SETNX", "big2", value}) + Line({"INCRBY", "small", value}) + Line({"PING"});
      const std::string shown(value.c_str());
      const std::string n = std::to_string(size);
      const std::string expected =
          "+OK\r\n+OK\r\n:" + n + "\r\n" + Bulk(value) + ":" + std::to_string(2 * size) +
          "\r\n:" + std::to_string(2 * size) + "\r\n:" + std::to_string(2 * size) + "\r\n" +
          Bulk(value.substr(0, 1) + value + value.substr(1)) + "+OK\r\n$-1\r\n" + Bulk(value) +
          "-ERR unknown command 'NOSUCH', with args beginning with: '" + shown.substr(0, 128) +
          "' \r\n-ERR wrong number of arguments for 'ping' command\r\n" + Bulk(value) +
          ":0\r\n-ERR value is not an integer or out of range\r\n+PONG\r\n";
      for (std::string_view rest = pipeline; !rest.empty();) {
        const size_t piece = std::min<size_t>(rest.size(), 1 + random.Below(size / 2));
        client.Send(rest.substr(0, piece));
        rest.remove_prefix(piece);
      }
      const std::string got = client.Read(17);
      EXPECT_EQ(got.size(), expected.size());
      EXPECT_TRUE(got == expected);
    }
    client.Send(Line({"FLUSHALL"}));
    EXPECT_EQ(client.Read(1), "+OK\r\n");
    rig.Validate();
    EXPECT_EQ(rig.UsedBytes(), used);
  }
}

TEST(worker_socket_big_argument_waits_for_a_busy_shard) {
  ListeningRig rig(kInPlace);
  SocketClient client(rig, rig.port());
  const std::string key = rig.KeyOn(3);
  const std::string value(200'000, 'v');
  const std::string set = Line({"SET", key, value});
  for (const size_t cut : {size_t{1}, size_t{40}, size_t{90'000}, set.size() - 1, set.size()}) {
    client.Send(std::string_view(set).substr(0, cut));
    {
      // Held by whichever worker does not own the connection, or by its own: either must do.
      BusyShard busy(rig, 3, cut % 2 == 0 ? 0 : 1);
      client.Send(set.substr(cut) + Line({"STRLEN", key}) + Line({"DEL", key}));
    }
    EXPECT_EQ(client.Read(3), "+OK\r\n:200000\r\n:1\r\n");
  }
}

TEST(worker_socket_slow_reader_is_cut_at_its_output_limit) {
  for (const RigOptions& layout : kLayouts) {
    ListeningRig rig(layout);
    ASSERT_TRUE(rig.engine().SetOutputLimits("normal 4000000 0 0"));
    SocketClient reader(rig, rig.port());
    reader.Send(Line({"SET", "big", std::string(100'000, 'x')}) + Line({"SET", "n", "0"}));
    EXPECT_EQ(reader.Read(2), "+OK\r\n+OK\r\n");
    SocketClient slow(rig, rig.port(), 4096);
    std::string pipeline;
    for (int i = 0; i < 400; i++) pipeline += Line({"GET", "big"});
    slow.Send(pipeline + Line({"INCR", "n"}));
    slow.ReadToEnd();
    EXPECT_TRUE(slow.is_ended());
    uint64_t cut = 0;
    for (int i = 0; i < layout.workers; i++)
      cut += rig.counters(i).output_buffer_limit_disconnections.Get();
    EXPECT_EQ(cut, uint64_t{1});
    reader.Send(Line({"GET", "n"}) + Line({"STRLEN", "big"}));
    EXPECT_EQ(reader.Read(2), "$1\r\n0\r\n:100000\r\n");
  }
}

TEST(worker_socket_reads_no_more_after_quit_while_replies_wait) {
  ListeningRig rig(kInPlace);
  SocketClient slow(rig, rig.port(), 4096);
  std::string pipeline = Line({"SET", "big", std::string(100'000, 'x')}) + Line({"SET", "n", "0"});
  for (int i = 0; i < 100; i++) pipeline += Line({"GET", "big"});
  slow.Send(pipeline + Line({"QUIT"}));
  slow.Send(Line({"INCR", "n"}));
  const std::string replies = slow.ReadToEnd();
  EXPECT_TRUE(slow.is_ended());
  EXPECT_TRUE(replies.ends_with("xxx\r\n+OK\r\n"));
  SocketClient other(rig, rig.port());
  other.Send(Line({"GET", "n"}));
  EXPECT_EQ(other.Read(1), "$1\r\n0\r\n");
}

TEST(worker_socket_client_killed_while_parked_runs_nothing_more) {
  ListeningRig rig({.workers = 1, .shards = 4});
  const std::string key = rig.KeyOn(2);
  const std::string other_key = rig.KeyOn(1);
  SocketClient client(rig, rig.port());
  client.Send(Line({"CLIENT", "ID"}));
  int64_t id = 0;
  const std::string reply = client.Read(1);
  ASSERT_TRUE(ParseInt64(std::string_view(reply).substr(1, reply.size() - 3), &id));
  {
    BusyShard busy(rig, 2, 0);
    client.Send(Line({"SET", key, "1"}) + Line({"SET", other_key, "2"}));
    net::ClientFilter filter;
    filter.has_ids = true;
    filter.ids = {static_cast<uint64_t>(id)};
    EXPECT_EQ(rig.worker(0).KillClients(filter), 1);
  }
  client.ReadToEnd();
  EXPECT_TRUE(client.is_ended());
  SocketClient other(rig, rig.port());
  other.Send(Line({"EXISTS", other_key}));
  EXPECT_EQ(other.Read(1), ":0\r\n");
}

TEST(worker_socket_peer_that_leaves_while_parked_is_forgotten) {
  ListeningRig rig({.workers = 2, .shards = 4});
  const std::string key = rig.KeyOn(2);
  {
    BusyShard busy(rig, 2, 1);
    for (int i = 0; i < 8; i++) {
      SocketClient client(rig, rig.port());
      client.Send(Line({"INCR", key}) + Line({"INCR", key}));
    }
    for (int i = 0; i < 5; i++) rig.Pump();
  }
  for (int i = 0; i < 20; i++) rig.Pump();
  EXPECT_EQ(rig.engine().connected_clients.load(), int64_t{0});
  SocketClient client(rig, rig.port());
  client.Send(Line({"EXISTS", key}));
  EXPECT_EQ(client.Read(1), ":1\r\n");
}

// ---- Expiry and deferred frees in the background ----

TEST(worker_cron_expires_and_frees_in_slices) {
  FakeClock clock;
  ServerRig rig(kInPlace);
  const size_t used = rig.UsedBytes();
  DetachedClient client(rig, 0);
  for (int i = 0; i < 2000; i++) {
    client.Run(Line(
        {"SET", "k" + std::to_string(i), "v", "PX", std::to_string(i % 2 == 0 ? 100 : 1'000'000)}));
  }
  EXPECT_EQ(client.Run(Line({"DBSIZE"})), ":2000\r\n");
  clock.AdvanceMs(200);
  for (int tick = 0; tick < 20; tick++) {
    for (int i = 0; i < 2; i++) rig.worker(i).Cron();
  }
  EXPECT_EQ(client.Run(Line({"DBSIZE"})), ":1000\r\n");
  EXPECT_EQ(rig.counters(0).expired_keys.Get() + rig.counters(1).expired_keys.Get(),
            uint64_t{1000});
  rig.Validate();
  EXPECT_EQ(client.Run(Line({"FLUSHALL", "ASYNC"}) + Line({"DBSIZE"})), "+OK\r\n:0\r\n");
  for (int tick = 0; tick < 20; tick++) {
    for (int i = 0; i < 2; i++) rig.worker(i).Cron();
  }
  EXPECT_EQ(rig.UsedBytes(), used);
  EXPECT_EQ(rig.counters(0).lazyfreed_objects.Get() + rig.counters(1).lazyfreed_objects.Get(),
            uint64_t{1000});
}

}  // namespace
}  // namespace sherd
