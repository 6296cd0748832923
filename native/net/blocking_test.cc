// Commands that wait, through several workers and shards on one thread: who is served, in which order and
// from where; what wakes; what becomes of those who give up; and that nothing is left of them.
//
// Method: each test runs in three layouts (alone, in place, on the owner); connections are spread over the
// workers and keys over the shards. At the end no key may have anybody interested in it, the gate must be
// open and no client counted as blocked. What threads do to each other at the same moment is driven by
// stress/blocking_stress.cc; here those moments are made by hand where they can be.
#include <algorithm>
#include <memory>

#include "base/clock.h"
#include "base/random.h"
#include "net/test_rig.h"
#include "test/test.h"

namespace sherd {
namespace {

using engine::WaitState;
using test::DetachedClient;
using test::Line;
using test::RigOptions;
using test::ServerRig;

constexpr RigOptions kAlone = {.workers = 1, .shards = 1};
constexpr RigOptions kInPlace = {.workers = 3, .shards = 8};
constexpr RigOptions kOnOwner = {.workers = 3, .shards = 8, .in_place = false};
constexpr RigOptions kLayouts[] = {kAlone, kInPlace, kOnOwner};

std::string Bulk(std::string_view text) { return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n"; }
std::string Bulks(const std::vector<std::string>& texts) {
  std::string reply = "*" + std::to_string(texts.size()) + "\r\n";
  for (const std::string& text : texts) reply += Bulk(text);
  return reply;
}

/// A rig whose clients come and go by number: client i sits on worker i modulo their count.
class Hall {
 public:
  explicit Hall(const RigOptions& layout) : rig(layout), layout_(layout) {}
  ~Hall() {
    for (auto& client : clients_) {
      if (client != nullptr) rig.server().RemoveClient(client->connection().session.id);
    }
  }

  DetachedClient& client(size_t index) {
    if (index >= clients_.size()) clients_.resize(index + 1);
    if (clients_[index] == nullptr) {
      clients_[index] = std::make_unique<DetachedClient>(rig, WorkerOf(index));
      net::Connection& connection = clients_[index]->connection();
      rig.server().AddClient(connection.session.id, static_cast<engine::WorkerId>(WorkerOf(index)), &connection);
    }
    return *clients_[index];
  }
  int WorkerOf(size_t index) const { return static_cast<int>(index % static_cast<size_t>(layout_.workers)); }
  /// A name on a shard of its own, as far as there are shards.
  std::string Key(int index) { return rig.KeyOn(index % layout_.shards, index / layout_.shards); }
  std::string Run(size_t index, const std::vector<std::string>& words) { return client(index).Run(Line(words)); }
  bool IsBlocked(size_t index) { return client(index).connection().blocked != nullptr; }
  /// Sends a command that must wait.
  void Block(size_t index, const std::vector<std::string>& words) {
    client(index).Send(Line(words));
    for (int turn = 0; turn < 1000 && !IsBlocked(index); turn++) rig.Pump();
    EXPECT_TRUE(IsBlocked(index));
    EXPECT_EQ(client(index).Take(), "");
  }
  /// What a client that waited has got by now.
  std::string Got(size_t index) {
    for (int turn = 0; turn < 20; turn++) rig.Pump();
    return client(index).Take();
  }
  /// The same for one whose time must pass.
  std::string GotInTime(size_t index) {
    std::string got;
    for (const int64_t start = Clock::WallMs(); got.empty() && Clock::WallMs() < start + 5000;) {
      rig.Pump();
      got = client(index).Take();
    }
    return got;
  }
  bool Unblock(size_t index, bool with_error = false) {
    net::Worker& worker = rig.worker(WorkerOf(index));
    const auto outcome = worker.UnblockClient(client(index).connection().session.id, with_error);
    for (int turn = 0; turn < 20; turn++) rig.Pump();
    return outcome == net::Worker::Unblock::kUnblocked;
  }
  void ExpectNothingLeft() {
    for (int turn = 0; turn < 20; turn++) rig.Pump();
    for (int shard = 0; shard < layout_.shards; shard++) {
      EXPECT_FALSE(rig.engine().keyspace(static_cast<engine::ShardId>(shard)).has_interests());
    }
    EXPECT_EQ(rig.engine().gate.load(), uint32_t{0});
    for (int worker = 0; worker < layout_.workers; worker++) {
      EXPECT_EQ(rig.counters(worker).blocked_clients.Get(), uint64_t{0});
      EXPECT_TRUE(rig.worker(worker).thread().ready_keys.empty());
    }
    rig.Validate();
  }

  ServerRig rig;

 private:
  const RigOptions layout_;
  std::vector<std::unique_ptr<DetachedClient>> clients_;
};

// ---- Who is served ----

TEST(blocking_waiters_are_served_in_order_of_arrival) {
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    const std::string key = hall.Key(2);
    for (size_t i = 1; i <= 6; i++) hall.Block(i, {i % 2 == 0 ? "BRPOP" : "BLPOP", key, "0"});
    EXPECT_EQ(hall.Run(0, {"RPUSH", key, "a", "b"}), ":2\r\n");
    EXPECT_EQ(hall.Got(1), Bulks({key, "a"}));
    EXPECT_EQ(hall.Got(2), Bulks({key, "b"}));
    EXPECT_EQ(hall.Got(3), "");
    EXPECT_EQ(hall.Run(4 + 9, {"EXISTS", key}), ":0\r\n");
    EXPECT_EQ(hall.Run(0, {"RPUSH", key, "c", "d", "e", "f", "g"}), ":5\r\n");
    EXPECT_EQ(hall.Got(3), Bulks({key, "c"}));
    EXPECT_EQ(hall.Got(4), Bulks({key, "g"}));
    EXPECT_EQ(hall.Got(5), Bulks({key, "d"}));
    EXPECT_EQ(hall.Got(6), Bulks({key, "f"}));
    EXPECT_EQ(hall.Run(0, {"LRANGE", key, "0", "-1"}), Bulks({"e"}));
    hall.ExpectNothingLeft();
  }
}

TEST(blocking_on_keys_of_several_shards_takes_from_the_one_that_comes) {
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    std::vector<std::string> words = {"BLPOP"};
    for (int i = 0; i < 12; i++) words.push_back(hall.Key(i));
    words.push_back("0");
    for (int i = 0; i < 12; i++) {
      const size_t waiter = static_cast<size_t>(i) + 1;
      hall.Block(waiter, words);
      EXPECT_EQ(hall.Run(0, {"RPUSH", hall.Key(i), "x"}), ":1\r\n");
      EXPECT_EQ(hall.Got(waiter), Bulks({hall.Key(i), "x"}));
      hall.ExpectNothingLeft();
    }
    // Whoever came first, on whichever of its keys.
    hall.Block(1, {"BLPOP", hall.Key(0), hall.Key(1), "0"});
    hall.Block(2, {"BLPOP", hall.Key(1), hall.Key(2), "0"});
    hall.Block(3, {"BLPOP", hall.Key(2), hall.Key(1), "0"});
    hall.Run(0, {"RPUSH", hall.Key(1), "1", "2"});
    EXPECT_EQ(hall.Got(1), Bulks({hall.Key(1), "1"}));
    EXPECT_EQ(hall.Got(2), Bulks({hall.Key(1), "2"}));
    hall.Run(0, {"RPUSH", hall.Key(2), "3"});
    EXPECT_EQ(hall.Got(3), Bulks({hall.Key(2), "3"}));
    hall.ExpectNothingLeft();
  }
}

TEST(blocking_pops_take_what_they_say) {
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    const std::string key = hall.Key(3), other = hall.Key(1);
    hall.Block(1, {"BLMPOP", "0", "2", other, key, "RIGHT", "COUNT", "2"});
    hall.Block(2, {"BLMPOP", "0", "1", key, "LEFT"});
    hall.Run(0, {"RPUSH", key, "a", "b", "c", "d"});
    EXPECT_EQ(hall.Got(1), "*2\r\n" + Bulk(key) + Bulks({"d", "c"}));
    EXPECT_EQ(hall.Got(2), "*2\r\n" + Bulk(key) + Bulks({"a"}));
    hall.Run(0, {"DEL", key});
    hall.Block(1, {"BZPOPMIN", key, other, "0"});
    hall.Block(2, {"BZPOPMAX", key, "0"});
    hall.Block(3, {"BZMPOP", "0", "1", key, "MAX", "COUNT", "5"});
    hall.Run(0, {"ZADD", key, "1", "a", "2", "b", "3", "c", "4", "d"});
    EXPECT_EQ(hall.Got(1), Bulks({key, "a", "1"}));
    EXPECT_EQ(hall.Got(2), Bulks({key, "d", "4"}));
    EXPECT_EQ(hall.Got(3), "*2\r\n" + Bulk(key) + "*2\r\n" + Bulks({"c", "3"}) + Bulks({"b", "2"}));
    EXPECT_EQ(hall.Run(0, {"EXISTS", key}), ":0\r\n");
    // A key of another type does not wake, and is an error for who comes now.
    hall.Block(1, {"BLPOP", key, "0"});
    hall.Run(0, {"ZADD", key, "1", "a"});
    EXPECT_EQ(hall.Got(1), "");
    EXPECT_TRUE(hall.Run(2, {"BLPOP", other, key, "0"}).starts_with("-WRONGTYPE"));
    hall.Run(0, {"DEL", key});
    hall.Run(0, {"RPUSH", key, "x"});
    EXPECT_EQ(hall.Got(1), Bulks({key, "x"}));
    hall.ExpectNothingLeft();
  }
}

TEST(blocking_is_ended_by_whatever_makes_the_key) {
  const std::vector<std::vector<std::string>> makers = {
      {"RENAME", "from", "q"},          {"RENAMENX", "from", "q"},
      {"COPY", "from", "q"},            {"SORT", "from", "ALPHA", "STORE", "q"},
      {"LMOVE", "from", "q", "LEFT", "LEFT"}, {"RPOPLPUSH", "from", "q"},
      {"BLMOVE", "from", "q", "LEFT", "LEFT", "0"}, {"SWAPDB", "0", "1"}, {"MOVE"}};
  for (const RigOptions& layout : kLayouts) {
    for (std::vector<std::string> words : makers) {
      Hall hall(layout);
      const std::string key = hall.Key(5), from = hall.Key(2);
      for (std::string& word : words) word = word == "q" ? key : word == "from" ? from : word;
      hall.Block(1, {"BLPOP", key, "0"});
      hall.Run(0, {"RPUSH", from, "x"});
      hall.Run(2, {"SELECT", "1"});
      hall.Run(2, {"RPUSH", key, "x"});
      EXPECT_EQ(hall.Got(1), "");
      if (words[0] == "MOVE") {
        hall.Run(2, {"MOVE", key, "0"});
      } else {
        hall.Run(0, words);
      }
      EXPECT_EQ(hall.Got(1), Bulks({key, "x"}));
      hall.ExpectNothingLeft();
    }
  }
}

TEST(blocking_is_ended_when_exec_is_over) {
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    const std::string key = hall.Key(4), other = hall.Key(6);
    hall.Block(1, {"BLPOP", key, other, "0"});
    hall.Block(2, {"BLPOP", other, "0"});
    const std::string exec = Line({"MULTI"}) + Line({"RPUSH", other, "1", "2", "3"}) + Line({"LLEN", other}) +
                             Line({"RPUSH", key, "4"}) + Line({"BLPOP", "none", "0"}) + Line({"EXEC"});
    EXPECT_EQ(hall.client(0).Run(exec), "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n:3\r\n:3\r\n:1\r\n*-1\r\n");
    // As the whole command that it is: its first key comes first, although the other was written first.
    EXPECT_EQ(hall.Got(1), Bulks({key, "4"}));
    EXPECT_EQ(hall.Got(2), Bulks({other, "1"}));
    // What is gone again by then wakes nobody.
    hall.Block(1, {"BLPOP", key, "0"});
    hall.client(0).Run(Line({"MULTI"}) + Line({"RPUSH", key, "1"}) + Line({"DEL", key}) + Line({"EXEC"}));
    EXPECT_EQ(hall.Got(1), "");
    hall.Run(0, {"RPUSH", key, "5"});
    EXPECT_EQ(hall.Got(1), Bulks({key, "5"}));
    hall.ExpectNothingLeft();
  }
}

// ---- From one key to another ----

TEST(blocking_moves_go_across_shards_in_one_step) {
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    constexpr int kHops = 6;
    // A chain in both directions of the shards' order, and somebody at its end.
    for (int i = 0; i < kHops; i++) {
      const int from = i % 2 == 0 ? i : 20 - i, to = i % 2 == 0 ? 20 - (i + 1) : i + 1;
      hall.Block(static_cast<size_t>(i) + 1, {"BLMOVE", hall.Key(from), hall.Key(to), "LEFT", "RIGHT", "0"});
    }
    const std::string end = hall.Key(kHops);
    hall.Block(kHops + 1, {"BLPOP", end, "0"});
    EXPECT_EQ(hall.Run(0, {"RPUSH", hall.Key(0), "x"}), ":1\r\n");
    for (size_t i = 1; i <= kHops; i++) EXPECT_EQ(hall.Got(i), Bulk("x"));
    EXPECT_EQ(hall.Got(kHops + 1), Bulks({end, "x"}));
    EXPECT_EQ(hall.Run(0, {"DBSIZE"}), ":0\r\n");
    hall.ExpectNothingLeft();
    // In a circle: once round, and it lies where it began.
    for (int i = 0; i < 3; i++) {
      hall.Block(static_cast<size_t>(i) + 1, {"BRPOPLPUSH", hall.Key(i), hall.Key((i + 1) % 3), "0"});
    }
    hall.Run(0, {"RPUSH", hall.Key(0), "y"});
    for (size_t i = 1; i <= 3; i++) EXPECT_EQ(hall.Got(i), Bulk("y"));
    EXPECT_EQ(hall.Run(0, {"LRANGE", hall.Key(0), "0", "-1"}), Bulks({"y"}));
    hall.ExpectNothingLeft();
  }
}

TEST(blocking_moves_to_many_destinations) {
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    const std::string queue = hall.Key(0);
    constexpr size_t kWaiters = 20;
    for (size_t i = 1; i <= kWaiters; i++) {
      hall.Block(i, {"BLMOVE", queue, hall.Key(static_cast<int>(i)), "LEFT", "RIGHT", "0"});
    }
    // More at once than one: each to its own.
    hall.Run(0, {"RPUSH", queue, "1", "2", "3"});
    for (size_t i = 1; i <= 3; i++) EXPECT_EQ(hall.Got(i), Bulk(std::to_string(i)));
    EXPECT_EQ(hall.Got(4), "");
    // As many as come in one piece.
    hall.Run(0, {"RPUSH", hall.Key(50), "4", "5", "6", "7", "8", "9", "10", "11"});
    hall.Run(0, {"RENAME", hall.Key(50), queue});
    for (size_t i = 4; i <= 11; i++) EXPECT_EQ(hall.Got(i), Bulk(std::to_string(i)));
    // Reads, and writes elsewhere, are not concerned.
    EXPECT_EQ(hall.Run(0, {"LLEN", queue}), ":0\r\n");
    EXPECT_EQ(hall.Run(0, {"SET", hall.Key(60), "v"}), "+OK\r\n");
    std::string exec = Line({"MULTI"});
    for (size_t i = 12; i <= kWaiters; i++) exec += Line({"RPUSH", queue, std::to_string(i)});
    hall.client(0).Run(exec + Line({"EXEC"}));
    for (size_t i = 12; i <= kWaiters; i++) {
      EXPECT_EQ(hall.Got(i), Bulk(std::to_string(i)));
      EXPECT_EQ(hall.Run(0, {"LRANGE", hall.Key(static_cast<int>(i)), "0", "-1"}), Bulks({std::to_string(i)}));
    }
    hall.ExpectNothingLeft();
  }
}

TEST(blocking_move_to_a_key_of_another_type_leaves_the_element_to_the_next) {
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    const std::string source = hall.Key(1), target = hall.Key(2);
    hall.Block(1, {"BLMOVE", source, target, "LEFT", "RIGHT", "0"});
    hall.Block(2, {"BLMOVE", source, hall.Key(3), "LEFT", "RIGHT", "0"});
    hall.Run(0, {"SET", target, "v"});
    EXPECT_EQ(hall.Run(0, {"RPUSH", source, "x"}), ":1\r\n");
    EXPECT_TRUE(hall.Got(1).starts_with("-WRONGTYPE"));
    // The second was not foreseen: it is served with its own shards, a little later.
    EXPECT_EQ(hall.Got(2), Bulk("x"));
    EXPECT_EQ(hall.Run(0, {"LRANGE", hall.Key(3), "0", "-1"}), Bulks({"x"}));
    EXPECT_EQ(hall.Run(0, {"EXISTS", source}), ":0\r\n");
    hall.ExpectNothingLeft();
  }
}

// ---- Streams ----

TEST(blocking_reads_of_streams_begin_where_they_began_to_wait) {
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    const std::string first = hall.Key(1), second = hall.Key(2);
    hall.Run(0, {"XADD", first, "5-1", "f", "v"});
    hall.Block(1, {"XREAD", "BLOCK", "0", "STREAMS", first, second, "$", "$"});
    hall.Block(2, {"XREAD", "COUNT", "1", "BLOCK", "0", "STREAMS", second, first, "9-0", "$"});
    hall.Run(0, {"XADD", second, "1-1", "a", "b"});
    EXPECT_EQ(hall.Got(1), "*1\r\n*2\r\n" + Bulk(second) + "*1\r\n*2\r\n" + Bulk("1-1") + Bulks({"a", "b"}));
    EXPECT_EQ(hall.Got(2), "");
    const std::string exec = Line({"MULTI"}) + Line({"XADD", first, "5-2", "c", "d"}) +
                             Line({"XADD", first, "5-3", "e", "f"}) + Line({"EXEC"});
    hall.client(0).Run(exec);
    EXPECT_EQ(hall.Got(2), "*1\r\n*2\r\n" + Bulk(first) + "*1\r\n*2\r\n" + Bulk("5-2") + Bulks({"c", "d"}));
    hall.ExpectNothingLeft();
  }
}

TEST(blocking_readers_of_a_group_learn_that_it_is_gone) {
  const std::vector<std::vector<std::string>> enders = {
      {"DEL", "s"}, {"XGROUP", "DESTROY", "s", "g"}, {"SET", "s", "v"}, {"RENAME", "s", "t"}, {"FLUSHALL"},
      {"SWAPDB", "0", "1"}, {"PEXPIREAT", "s", "1"}, {"MOVE", "s", "1"}};
  for (const RigOptions& layout : kLayouts) {
    for (std::vector<std::string> words : enders) {
      Hall hall(layout);
      const std::string key = hall.Key(3), other = hall.Key(4);
      for (std::string& word : words) word = word == "s" ? key : word == "t" ? other : word;
      for (const std::string& stream : {key, hall.Key(5)}) {
        hall.Run(0, {"XGROUP", "CREATE", stream, "g", "$", "MKSTREAM"});
      }
      hall.Block(1, {"XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", key, hall.Key(5), ">", ">"});
      hall.Block(2, {"XREAD", "BLOCK", "0", "STREAMS", key, "0"});
      hall.Run(0, words);
      EXPECT_TRUE(hall.Got(1).starts_with(words[0] == "SET" ? "-WRONGTYPE" : "-NOGROUP"));
      EXPECT_EQ(hall.Got(2), "");
      EXPECT_TRUE(hall.Unblock(2));
      EXPECT_EQ(hall.Got(2), "*-1\r\n");
      hall.ExpectNothingLeft();
    }
  }
}

// ---- The end of waiting ----

TEST(blocking_ends_when_its_time_is_over) {
  const std::vector<std::vector<std::string>> lines = {
      {"BLPOP", "a", "b", "0.01"}, {"BRPOP", "a", "0.0001"}, {"BLMOVE", "a", "b", "LEFT", "LEFT", "0.01"},
      {"BRPOPLPUSH", "a", "b", "0.01"}, {"BLMPOP", "0.01", "2", "a", "b", "LEFT"}, {"BZPOPMIN", "a", "0.01"},
      {"BZPOPMAX", "a", "b", "0.01"}, {"BZMPOP", "0.01", "1", "a", "MIN"},
      {"XREAD", "BLOCK", "10", "STREAMS", "a", "b", "$", "0"}, {"WAIT", "1", "10"}, {"WAITAOF", "0", "1", "10"}};
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    hall.Run(2, {"HELLO", "3"});
    for (const std::vector<std::string>& words : lines) {
      std::string expected = "*-1\r\n", expected3 = "_\r\n";
      if (words[0] == "WAIT") expected = expected3 = ":0\r\n";
      if (words[0] == "WAITAOF") expected = expected3 = "*2\r\n:0\r\n:0\r\n";
      for (const size_t index : {size_t{1}, size_t{2}}) {
        const int64_t start = Clock::WallMs();
        hall.Block(index, words);
        EXPECT_EQ(hall.GotInTime(index), index == 1 ? expected : expected3);
        EXPECT_TRUE(Clock::WallMs() - start >= (words[0] == "BRPOP" ? 1 : 10));
      }
    }
    EXPECT_EQ(hall.Run(0, {"LPUSH", "a", "x"}), ":1\r\n");
    hall.ExpectNothingLeft();
  }
}

TEST(blocking_timeouts_as_redis_reads_them) {
  Hall hall(kAlone);
  const std::string no_float = "-ERR timeout is not a float or out of range\r\n";
  for (const char* text : {"abc", "", " 1", "1 ", "nan", "1e5000"}) EXPECT_EQ(hall.Run(0, {"BLPOP", "a", text}), no_float);
  for (const char* text : {"-1", "-0.5", "-inf", "-1e300"}) {
    EXPECT_EQ(hall.Run(0, {"BLPOP", "a", text}), "-ERR timeout is negative\r\n");
  }
  for (const char* text : {"1e300", "1e400", "inf", "1e18", "9223372036854775807", "9223372036854775"}) {
    EXPECT_EQ(hall.Run(0, {"BLMPOP", text, "1", "a", "LEFT"}), "-ERR timeout is out of range\r\n");
  }
  for (const char* text : {"-0.0001", "-0", "0x10", "+1", "1e-320", "2147483648", "9223370000000", "0x1p-1", "1e15"}) {
    hall.Block(0, {"BZPOPMIN", "a", text});
    if (!hall.Unblock(0)) continue;
    EXPECT_EQ(hall.Got(0), "*-1\r\n");
  }
  EXPECT_EQ(hall.Run(0, {"XREAD", "BLOCK", "1.5", "STREAMS", "a", "0"}), "-ERR timeout is not an integer or out of range\r\n");
  EXPECT_EQ(hall.Run(0, {"WAIT", "0", "-1"}), "-ERR timeout is negative\r\n");
  EXPECT_EQ(hall.Run(0, {"WAIT", "x", "y"}), "-ERR value is not an integer or out of range\r\n");
  EXPECT_EQ(hall.Run(0, {"WAIT", "0", "y"}), "-ERR timeout is not an integer or out of range\r\n");
  EXPECT_EQ(hall.Run(0, {"WAIT", "-1", "0"}), ":0\r\n");
  EXPECT_EQ(hall.Run(0, {"WAITAOF", "1", "0", "10"}),
            "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n");
  EXPECT_EQ(hall.Run(0, {"WAITAOF", "2", "0", "10"}), "-ERR value is out of range, value must between 0 and 1\r\n");
  EXPECT_EQ(hall.Run(0, {"WAITAOF", "0", "x", "10"}), "-ERR value is out of range, must be positive\r\n");
  EXPECT_EQ(hall.Run(0, {"WAITAOF", "0", "0", "10"}), "*2\r\n:0\r\n:0\r\n");
  hall.ExpectNothingLeft();
}

TEST(blocking_client_that_is_unblocked_takes_nothing) {
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    const std::string key = hall.Key(2), other = hall.Key(7);
    hall.Block(1, {"BLPOP", key, other, "0"});
    hall.Block(2, {"BLMOVE", key, other, "LEFT", "LEFT", "0"});
    hall.Block(3, {"BLPOP", other, key, "0"});
    EXPECT_TRUE(hall.Unblock(1));
    EXPECT_FALSE(hall.Unblock(1));
    EXPECT_EQ(hall.Got(1), "*-1\r\n");
    EXPECT_TRUE(hall.Unblock(2, true));
    EXPECT_EQ(hall.Got(2), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    hall.Run(0, {"RPUSH", key, "x"});
    EXPECT_EQ(hall.Got(1) + hall.Got(2), "");
    EXPECT_EQ(hall.Got(3), Bulks({key, "x"}));
    hall.ExpectNothingLeft();
  }
}

TEST(blocking_commands_behind_come_when_it_is_over) {
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    const std::string key = hall.Key(2);
    hall.client(1).Send(Line({"BLPOP", key, "0"}) + Line({"PING"}) + Line({"BLPOP", key, "0"}) + Line({"ECHO", "x"}) +
                        Line({"CLIENT", "REPLY", "SKIP"}) + Line({"BLPOP", key, "0"}) + Line({"ECHO", "y"}));
    for (int i = 0; i < 3; i++) {
      hall.Got(0);
      EXPECT_TRUE(hall.IsBlocked(1));
      hall.client(0).Run(Line({"RPUSH", key, std::to_string(i)}));
      for (int turn = 0; turn < 20; turn++) {
        hall.rig.Pump();
        hall.client(1).Serve();
      }
      const std::string expected[] = {Bulks({key, "0"}) + "+PONG\r\n", Bulks({key, "1"}) + Bulk("x"), Bulk("y")};
      EXPECT_EQ(hall.client(1).Take(), expected[i]);
    }
    hall.ExpectNothingLeft();
  }
}

// ---- Moments made by hand ----

/// The waiting request of a client, as another worker sees it.
net::QueuedRequest* RequestOf(Hall& hall, size_t index) { return hall.client(index).connection().blocked; }

TEST(blocking_change_found_while_another_serves_is_not_lost) {
  for (const RigOptions& layout : {kInPlace, kOnOwner}) {
    Hall hall(layout);
    const std::string first = hall.Key(1), second = hall.Key(2);
    hall.Block(1, {"XREAD", "BLOCK", "0", "STREAMS", first, second, "9-0", "0"});
    net::QueuedRequest* request = RequestOf(hall, 1);
    // Somebody has it for the first key …
    ASSERT_TRUE(request->TryClaim());
    // … when the second is written.
    hall.Run(0, {"XADD", second, "1-1", "a", "b"});
    EXPECT_EQ(hall.Got(1), "");
    EXPECT_TRUE(request->state.load() == WaitState::kServingMissed);
    // There was nothing in the first: it learns of the second.
    EXPECT_TRUE(request->Unclaim(false) == WaitState::kRetrying);
    request->phase = net::QueuedRequest::Phase::kRetry;
    request->outcome = net::QueuedRequest::Outcome::kWiden;
    hall.rig.server().Post(request->origin, request);
    EXPECT_EQ(hall.Got(1), "*1\r\n*2\r\n" + Bulk(second) + "*1\r\n*2\r\n" + Bulk("1-1") + Bulks({"a", "b"}));
    hall.ExpectNothingLeft();
  }
}

TEST(blocking_wait_given_up_while_somebody_serves_ends_when_he_is_done) {
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    const std::string key = hall.Key(1);
    for (const bool is_written : {false, true}) {
      for (const bool by_command : {false, true}) {
        hall.Block(1, {"BLPOP", key, hall.Key(2), by_command ? "0" : "0.01"});
        net::QueuedRequest* request = RequestOf(hall, 1);
        ASSERT_TRUE(request->TryClaim());
        if (is_written) hall.Run(0, {"RPUSH", key, "x"});  // finds it taken, and leaves a note
        EXPECT_TRUE(request->TryTakeBack() == engine::Waiter::TakenBack::kNotYet);
        if (by_command) {
          // He was done, and it is on its way to be tried with all its shards.
          EXPECT_TRUE(request->Unclaim(true) == WaitState::kRetrying);
          EXPECT_TRUE(hall.Unblock(1, true));
        } else {
          const int64_t start = Clock::WallMs();
          while (request->state.load() != WaitState::kCancelled && Clock::WallMs() < start + 5000) hall.rig.Pump();
          EXPECT_TRUE(request->state.load() == WaitState::kCancelled);
        }
        EXPECT_FALSE(hall.Unblock(1));
        EXPECT_EQ(hall.Got(1), "");
        request->phase = net::QueuedRequest::Phase::kRetry;
        request->outcome = net::QueuedRequest::Outcome::kWiden;
        hall.rig.server().Post(request->origin, request);
        EXPECT_EQ(hall.Got(1), by_command ? "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n" : "*-1\r\n");
        EXPECT_EQ(hall.Run(0, {"DEL", key}), is_written ? ":1\r\n" : ":0\r\n");
        hall.ExpectNothingLeft();
      }
    }
  }
}

TEST(blocking_command_that_makes_keys_ready_and_waits_itself_leaves_none_to_others) {
  FakeClock clock;
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    const std::string key = hall.Key(1);
    hall.Block(1, {"BLPOP", key, "0"});
    hall.Run(0, {"SET", key, "v", "PX", "50"});
    clock.AdvanceMs(100);
    hall.Block(2, {"BLPOP", key, "0"});  // deletes what has expired
    for (int worker = 0; worker < layout.workers; worker++) {
      EXPECT_TRUE(hall.rig.worker(worker).thread().ready_keys.empty());
    }
    hall.Run(0, {"RPUSH", key, "1", "2"});
    EXPECT_EQ(hall.Got(1), Bulks({key, "1"}));
    EXPECT_EQ(hall.Got(2), Bulks({key, "2"}));
    hall.ExpectNothingLeft();
  }
}

// ---- Against a model ----

/// Waiters, elements and who must get which: Redis on one page.
class QueueModel {
 public:
  struct Waiter {
    size_t client;
    std::vector<std::string> keys;
    std::string target;  // of a move
  };
  void Wait(Waiter waiter) { waiters_.push_back(std::move(waiter)); }
  void Remove(size_t client) {
    std::erase_if(waiters_, [&](const Waiter& waiter) { return waiter.client == client; });
  }
  /// What each client gets when `values` are pushed to the back of `key`.
  std::vector<std::pair<size_t, std::string>> Push(const std::string& key, const std::vector<std::string>& values) {
    std::vector<std::pair<size_t, std::string>> replies;
    std::vector<std::string> ready = {key};
    lists_[key].insert(lists_[key].end(), values.begin(), values.end());
    for (size_t i = 0; i < ready.size(); i++) Serve(std::string(ready[i]), &ready, &replies);
    return replies;
  }
  std::vector<std::string>& list(const std::string& key) { return lists_[key]; }

 private:
  void Serve(const std::string& key, std::vector<std::string>* ready,
             std::vector<std::pair<size_t, std::string>>* replies) {
    for (size_t i = 0; i < waiters_.size() && !lists_[key].empty();) {
      const Waiter waiter = waiters_[i];
      if (std::find(waiter.keys.begin(), waiter.keys.end(), key) == waiter.keys.end()) {
        i++;
        continue;
      }
      waiters_.erase(waiters_.begin() + static_cast<ptrdiff_t>(i));
      // As in 7.2, the first of its own keys that holds something, whichever has woken it.
      const std::string from = *std::find_if(waiter.keys.begin(), waiter.keys.end(),
                                             [&](const std::string& name) { return !lists_[name].empty(); });
      const std::string value = lists_[from].front();
      lists_[from].erase(lists_[from].begin());
      replies->push_back({waiter.client, waiter.target.empty() ? Bulks({from, value}) : Bulk(value)});
      if (waiter.target.empty()) continue;
      lists_[waiter.target].push_back(value);
      ready->push_back(waiter.target);
    }
  }

  std::vector<Waiter> waiters_;
  std::unordered_map<std::string, std::vector<std::string>> lists_;
};

TEST(blocking_behaves_like_its_model) {
  constexpr size_t kClients = 12;
  constexpr int kKeys = 6;
  Random random(test::Seed());
  for (const RigOptions& layout : kLayouts) {
    Hall hall(layout);
    QueueModel model;
    for (int step = 0; step < 1500; step++) {
      const size_t index = 1 + random.Below(kClients);
      const auto any_key = [&] { return hall.Key(static_cast<int>(random.Below(kKeys))); };
      if (hall.IsBlocked(index)) {
        if (!random.OneIn(3)) continue;
        EXPECT_TRUE(hall.Unblock(index));
        EXPECT_EQ(hall.Got(index), "*-1\r\n");
        model.Remove(index);
        continue;
      }
      if (random.OneIn(2)) {
        const std::string key = any_key();
        std::vector<std::string> words = {"RPUSH", key};
        for (uint64_t i = 0; i <= random.Below(3); i++) words.push_back(std::to_string(step) + "." + std::to_string(i));
        hall.client(0).Run(Line(words));
        words.erase(words.begin(), words.begin() + 2);
        for (const auto& [client, reply] : model.Push(key, words)) ASSERT_EQ(hall.Got(client), reply);
        continue;
      }
      QueueModel::Waiter waiter{index, {}, ""};
      std::vector<std::string> words = {"BLPOP"};
      for (uint64_t i = 0; i <= random.Below(3); i++) waiter.keys.push_back(any_key());
      if (random.OneIn(2)) {
        waiter.keys.resize(1);
        waiter.target = any_key();
        words = {"BLMOVE", waiter.keys[0], waiter.target, "LEFT", "RIGHT", "0"};
      } else {
        words.insert(words.end(), waiter.keys.begin(), waiter.keys.end());
        words.push_back("0");
      }
      // Those that would not wait are the other tests' business.
      if (std::any_of(waiter.keys.begin(), waiter.keys.end(), [&](const auto& key) { return !model.list(key).empty(); })) {
        hall.Run(0, {"DEL", any_key()});
        for (int i = 0; i < kKeys; i++) {
          if (hall.Run(0, {"EXISTS", hall.Key(i)}) == ":0\r\n") model.list(hall.Key(i)).clear();
        }
        continue;
      }
      hall.Block(index, words);
      model.Wait(waiter);
    }
    for (size_t i = 1; i <= kClients; i++) hall.Unblock(i);
    for (int i = 0; i < kKeys; i++) {
      EXPECT_EQ(hall.Run(0, {"LRANGE", hall.Key(i), "0", "-1"}), Bulks(model.list(hall.Key(i))));
    }
    hall.ExpectNothingLeft();
  }
}

}  // namespace
}  // namespace sherd
