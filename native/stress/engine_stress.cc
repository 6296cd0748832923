// The engine under many threads: real commands through real workers, on few shards, so that leases
// collide, commands queue, and requests travel; without sockets, so that collisions are what the
// time goes into.
//
// Each thread has a worker of its own and several detached connections. An actor sits on each: it
// makes pipelines and knows what their replies may be. A connection's replies are counted: every
// command is answered exactly once, and ECHOs between the commands show that it is in order.
//
//   scenario              actors                                          databases
//   engine_commands_*     bank, twins, order, counters, expiry, churn     one for each kind
//   engine_flushes_*      FLUSHALL and SWAPDB among all-or-nothing MSETs  0
//
// each with execution in place and with execution on the owner only.
//
// Checked
//   - atomicity (R4): pairs of accounts keep their sum in every MGET; keys set by one MSET are
//   equal in
//     every MGET, also beside FLUSHALL; a key that RENAME moves is in one of two places;
//   - order (R3): of two SETs on different shards in one pipeline, nobody sees the second alone;
//   - values referenced by outputs do not change under their reader;
//   - exactly once: the workers' counters sum up to the commands sent;
//   - no lost wake-up: a thread whose connections are all parked sleeps on its worker's descriptor;
//   - nothing left: leases free, structures valid, all memory back after FLUSHALL.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "net/test_rig.h"
#include "stress/stress.h"

namespace sherd::stress {
namespace {

using test::CutReplies;
using test::DetachedClient;
using test::Line;
using test::ServerRig;

// ---- Actors ----

struct Pipeline {
  std::string bytes;
  size_t commands = 0;

  void Add(const std::vector<std::string>& words) {
    bytes += Line(words);
    commands++;
  }
};

using Replies = std::vector<std::string>;

class Actor {
 public:
  virtual ~Actor() = default;
  virtual void Next(Random* random, Pipeline* pipeline) = 0;
  virtual void Check(const Replies& replies) = 0;
};

std::string Number(uint64_t n) { return std::to_string(n); }
std::string Bulk(const std::string& text) {
  return "$" + Number(text.size()) + "\r\n" + text + "\r\n";
}

/// The elements of an array reply.
Replies Elements(const std::string& reply) {
  if (reply[0] != '*') {
    Fail("an array was due");
    return {};
  }
  return CutReplies(std::string_view(reply).substr(reply.find("\r\n") + 2));
}
/// The number in a bulk or integer reply; `missing` for a null.
int64_t Value(const std::string& reply, int64_t missing) {
  if (reply == "$-1\r\n") return missing;
  const size_t start = reply[0] == '$' ? reply.find("\r\n") + 2 : 1;
  int64_t value = 0;
  const bool is_number =
      ParseInt64(std::string_view(reply).substr(start, reply.size() - start - 2), &value);
  STRESS_EXPECT(is_number);
  return value;
}

constexpr int kPairs = 4;
constexpr int64_t kPairSum = 1000;

std::string Account(int pair, int side) {
  return (side == 0 ? "left:" : "right:") + std::to_string(pair);
}

/// Moves money within its pair of accounts: nobody else writes them.
class Banker final : public Actor {
 public:
  explicit Banker(int pair) : pair_(pair) {}
  void Next(Random* random, Pipeline* pipeline) override {
    const std::string sides[] = {Account(pair_, 0), Account(pair_, 1)};
    if (is_known_) {
      left_ += random->Between(-50, 50);
      pipeline->Add(
          {"MSET", sides[0], std::to_string(left_), sides[1], std::to_string(kPairSum - left_)});
    }
    pipeline->Add({"MGET", sides[0], sides[1]});
  }
  void Check(const Replies& replies) override {
    const Replies both = Elements(replies.back());
    const int64_t left = Value(both[0], 0);
    STRESS_EXPECT(left + Value(both[1], kPairSum) == kPairSum, left);
    STRESS_EXPECT(!is_known_ || left == left_, left, left_);
    left_ = left;
    is_known_ = true;
  }

 private:
  const int pair_;
  bool is_known_ = false;
  int64_t left_ = 0;
};

class Auditor final : public Actor {
 public:
  void Next(Random* random, Pipeline* pipeline) override {
    std::vector<std::string> words = {"MGET"};
    for (int pair = 0; pair < kPairs; pair++) {
      for (const int side : {0, 1}) words.push_back(Account(pair, side));
    }
    for (uint64_t i = 0; i <= random->Below(4); i++) pipeline->Add(words);
  }
  void Check(const Replies& replies) override {
    for (const std::string& reply : replies) {
      const Replies all = Elements(reply);
      for (size_t i = 0; i + 1 < all.size(); i += 2) {
        const int64_t sum = Value(all[i], 0) + Value(all[i + 1], kPairSum);
        STRESS_EXPECT(sum == kPairSum, sum, static_cast<int64_t>(i));
      }
    }
  }
};

constexpr int kTwins = 7;
std::string Twin(int i) { return "twin:" + Number(static_cast<uint64_t>(i)); }

/// Sets all twins to one value, in changing order.
class TwinWriter final : public Actor {
 public:
  void Next(Random* random, Pipeline* pipeline) override {
    for (uint64_t i = 0; i <= random->Below(20); i++) {
      std::vector<std::string> words = {"MSET"};
      const int first = static_cast<int>(random->Below(kTwins));
      const std::string value = Number(random->Below(1'000'000));
      for (int k = 0; k < kTwins; k++) {
        words.push_back(Twin((first + k) % kTwins));
        words.push_back(value);
      }
      pipeline->Add(words);
    }
  }
  void Check(const Replies& replies) override {
    for (const std::string& reply : replies) STRESS_EXPECT(reply == "+OK\r\n");
  }
};

/// Sees all twins with one value, or none of them at all.
class TwinReader final : public Actor {
 public:
  void Next(Random* random, Pipeline* pipeline) override {
    for (uint64_t i = 0; i <= random->Below(5); i++) {
      std::vector<std::string> words = {"MGET"};
      for (int k = 0; k < kTwins; k++) words.push_back(Twin(k));
      pipeline->Add(words);
      pipeline->Add({"DBSIZE"});
      pipeline->Add({"KEYS", "twin:*"});
      pipeline->Add({"EXISTS", Twin(0), Twin(3), Twin(6)});
    }
  }
  void Check(const Replies& replies) override {
    for (size_t i = 0; i + 3 < replies.size(); i += 4) {
      const Replies values = Elements(replies[i]);
      for (const std::string& value : values) STRESS_EXPECT(value == values[0]);
      const int64_t size = Value(replies[i + 1], -1);
      STRESS_EXPECT(size == 0 || size == kTwins, size);
      const size_t keys = Elements(replies[i + 2]).size();
      STRESS_EXPECT(keys == 0 || keys == kTwins, static_cast<int64_t>(keys));
      const int64_t existing = Value(replies[i + 3], -1);
      STRESS_EXPECT(existing == 0 || existing == 3, existing);
    }
  }
};

/// Moves one key to and fro; `EXISTS x y` is always 1, whoever asks.
class Renamer final : public Actor {
 public:
  explicit Renamer(bool is_writer) : is_writer_(is_writer) {}
  void Next(Random* random, Pipeline* pipeline) override {
    for (uint64_t i = 0; i <= random->Below(8); i++) {
      if (is_writer_) {
        pipeline->Add({"RENAME", "place:1", "place:22"});
        pipeline->Add({"RENAME", "place:22", "place:1"});
      } else {
        pipeline->Add({"EXISTS", "place:1", "place:22"});
      }
    }
  }
  void Check(const Replies& replies) override {
    for (const std::string& reply : replies)
      STRESS_EXPECT(reply == (is_writer_ ? "+OK\r\n" : ":1\r\n"));
  }

 private:
  const bool is_writer_;
};

constexpr int kOrdered = 8;

/// Pipelines SET a:i v, SET b:i v with rising v. a and b are on different shards, as a rule.
class OrderWriter final : public Actor {
 public:
  void Next(Random* random, Pipeline* pipeline) override {
    for (uint64_t i = 0; i <= random->Below(24); i++) {
      const std::string which = Number(random->Below(kOrdered));
      const std::string value = Number(++value_);
      pipeline->Add({"SET", "first:" + which, value});
      pipeline->Add({"SET", "second:" + which, value});
    }
  }
  void Check(const Replies& replies) override {
    for (const std::string& reply : replies) STRESS_EXPECT(reply == "+OK\r\n");
  }

 private:
  uint64_t value_ = 0;
};

class OrderReader final : public Actor {
 public:
  void Next(Random* random, Pipeline* pipeline) override {
    for (uint64_t i = 0; i <= random->Below(12); i++) {
      const std::string which = Number(random->Below(kOrdered));
      pipeline->Add({"MGET", "second:" + which, "first:" + which});
      // One at a time, the later one first: the same must hold.
      pipeline->Add({"GET", "second:" + which});
      pipeline->Add({"GET", "first:" + which});
    }
  }
  void Check(const Replies& replies) override {
    for (size_t i = 0; i + 2 < replies.size(); i += 3) {
      const Replies both = Elements(replies[i]);
      const int64_t second = Value(both[0], 0);
      STRESS_EXPECT(Value(both[1], 0) >= second, second);
      STRESS_EXPECT(Value(replies[i + 2], 0) >= Value(replies[i + 1], 0));
    }
  }
};

/// Counts on keys of its own; every reply is known beforehand.
class Counter final : public Actor {
 public:
  explicit Counter(uint64_t id) : id_(id) {}
  void Next(Random* random, Pipeline* pipeline) override {
    expected_.clear();
    for (uint64_t i = 0; i <= random->Below(40); i++) {
      const size_t which = random->Below(4);
      const std::string key = "count:" + Number(id_) + ":" + Number(which);
      if (OneIn(random, 5)) {
        const std::string token = Number(random->Next());
        pipeline->Add({"ECHO", token});
        expected_.push_back(Bulk(token));
      } else if (OneIn(random, 5)) {
        pipeline->Add({"MGET", key, "count:" + Number(id_) + ":none"});
        expected_.push_back(
            "*2\r\n" +
            (counts_[which] == 0 ? std::string("$-1\r\n") : Bulk(Number(counts_[which]))) +
            "$-1\r\n");
      } else {
        pipeline->Add({"INCR", key});
        expected_.push_back(":" + Number(++counts_[which]) + "\r\n");
      }
    }
  }
  void Check(const Replies& replies) override {
    STRESS_EXPECT(replies == expected_, static_cast<int64_t>(replies.size()),
                  static_cast<int64_t>(expected_.size()));
  }

 private:
  const uint64_t id_;
  uint64_t counts_[4] = {};
  Replies expected_;
};

/// Keys that live for a few milliseconds, while the expiry cycle is after them.
class Mortal final : public Actor {
 public:
  void Next(Random* random, Pipeline* pipeline) override {
    for (uint64_t i = 0; i <= random->Below(20); i++) {
      const std::string key = "mortal:" + Number(random->Below(200));
      pipeline->Add({"SET", key, "alive", "PX", Number(1 + random->Below(5))});
      pipeline->Add({"GET", "mortal:" + Number(random->Below(200))});
      pipeline->Add({"PEXPIRE", key, Number(1 + random->Below(3)), "LT"});
    }
  }
  void Check(const Replies& replies) override {
    for (size_t i = 0; i + 2 < replies.size(); i += 3) {
      STRESS_EXPECT(replies[i] == "+OK\r\n");
      STRESS_EXPECT(replies[i + 1] == "$-1\r\n" || replies[i + 1] == "$5\r\nalive\r\n");
      STRESS_EXPECT(replies[i + 2] == ":0\r\n" || replies[i + 2] == ":1\r\n");
    }
  }
};

/// Everything that takes whole databases apart, in two databases that are swapped; and large values
/// that are changed in place while outputs refer to them.
class Churner final : public Actor {
 public:
  void Next(Random* random, Pipeline* pipeline) override {
    for (uint64_t i = 0; i <= random->Below(16); i++) pipeline->Add(Command(random));
  }
  void Check(const Replies& replies) override {
    for (const std::string& reply : replies) {
      STRESS_EXPECT(reply[0] != '-' || reply == "-ERR no such key\r\n" ||
                    reply == "-ERR source and destination objects are the same\r\n");
      if (reply[0] == '$' && reply.size() > kLargeBytes) CheckLarge(reply);
    }
  }

 private:
  static constexpr size_t kLargeBytes = 20'000;

  // A large value is made of one letter, whenever it is read.
  static void CheckLarge(const std::string& reply) {
    const size_t start = reply.find("\r\n") + 2;
    const size_t same = reply.find_first_not_of(reply[start], start);
    STRESS_EXPECT(same == reply.size() - 2, static_cast<int64_t>(same));
  }
  static std::vector<std::string> Command(Random* random) {
    const std::string key = "churn:" + Number(random->Below(50));
    const std::string other = "churn:" + Number(random->Below(50));
    const std::string large = "large:" + Number(random->Below(3));
    const std::string letters(kLargeBytes, static_cast<char>('a' + random->Below(26)));
    // Seldom, so that there is something to take apart.
    if (OneIn(random, 100)) return {"FLUSHDB"};
    if (OneIn(random, 100)) return {"FLUSHDB", "ASYNC"};
    switch (random->Below(24)) {
      case 0:
      case 1: return {"SETRANGE", large, "0", letters};
      case 2: return {"SWAPDB", "4", "5"};
      case 3: return {"KEYS", "churn:*"};
      case 4: return {"SCAN", "0", "COUNT", "100"};
      case 5: return {"RANDOMKEY"};
      case 6: return {"DBSIZE"};
      case 7: return {"COPY", key, other, "DB", "5", "REPLACE"};
      case 8: return {"MOVE", key, "5"};
      case 9: return {"RENAME", key, other};
      case 10: return {"DEL", key, other};
      case 11: return {"UNLINK", key, large};
      case 12: return {"SET", large, letters};
      case 13: return {"SETRANGE", large, "0", letters};
      case 14:
      case 15:
      case 16: return {"GET", large};
      case 17: return {"COPY", large, "large:0", "REPLACE"};
      case 18: return {"RENAME", large, "large:1"};
      case 19: return {"EXPIRE", key, "100"};
      case 20: return {"TYPE", key};
      default: return {"SET", key, Number(random->Next())};
    }
  }
};

/// FLUSHALL now and then, and commands that see all shards.
class Flusher final : public Actor {
 public:
  void Next(Random* random, Pipeline* pipeline) override {
    if (OneIn(random, 2)) pipeline->Add({OneIn(random, 2) ? "FLUSHALL" : "FLUSHDB", "ASYNC"});
    if (OneIn(random, 2)) pipeline->Add({"FLUSHALL"});
    if (OneIn(random, 2)) pipeline->Add({"SWAPDB", "0", "1"});
    pipeline->Add({"PING"});
  }
  void Check(const Replies& replies) override {
    for (const std::string& reply : replies)
      STRESS_EXPECT(reply == "+OK\r\n" || reply == "+PONG\r\n");
  }
};

// ---- The stage ----

/// A connection, its actor, and the replies still due.
struct Seat {
  std::unique_ptr<DetachedClient> client;
  std::unique_ptr<Actor> actor;
  Pipeline pipeline;
  std::string output;
  bool is_waiting = false;
};

class Stage {
 public:
  Stage(const Options& options, bool in_place, bool is_flushing)
      : options_(options),
        threads_(options.threads > 0 ? options.threads : 3),
        rig_({.workers = threads_,
              .shards = options.shards > 0 ? options.shards : 4,
              .in_place = in_place}),
        used_at_start_(rig_.UsedBytes()),
        seats_(static_cast<size_t>(threads_)) {
    is_flushing ? PlaceFlushers() : PlaceAll();
  }

  void Run();

 private:
  void Place(size_t thread, int db, std::unique_ptr<Actor> actor);
  void PlaceAll();
  void PlaceFlushers();
  void Drive(int index);
  bool Serve(Seat* seat, Random* random, bool is_issuing);
  void CheckReplies(Seat* seat);
  void Sleep(int index);
  void CheckEnd();

  const Options options_;
  const int threads_;
  ServerRig rig_;
  const size_t used_at_start_;
  std::vector<std::vector<Seat>> seats_;  // by thread
  std::atomic<uint64_t> sent_{0};
  std::atomic<int> busy_threads_{0};
  std::atomic<bool> must_stop_{false};
  std::atomic<bool> is_lost_{false};
};

void Stage::Place(size_t thread, int db, std::unique_ptr<Actor> actor) {
  thread %= seats_.size();
  Seat seat;
  seat.client = std::make_unique<DetachedClient>(rig_, static_cast<int>(thread));
  seat.client->connection().session.db = db;
  seat.actor = std::move(actor);
  seats_[thread].push_back(std::move(seat));
}

void Stage::PlaceAll() {
  for (int pair = 0; pair < kPairs; pair++)
    Place(static_cast<size_t>(pair), 0, std::make_unique<Banker>(pair));
  for (size_t thread = 0; thread < seats_.size(); thread++) {
    Place(thread, 0, std::make_unique<Auditor>());
    Place(thread, 0, std::make_unique<Counter>(thread));
    Place(thread, 1, std::make_unique<TwinWriter>());
    Place(thread, 1, std::make_unique<TwinReader>());
    Place(thread, 2, std::make_unique<OrderReader>());
    Place(thread, 3, std::make_unique<Mortal>());
    Place(thread, 4 + static_cast<int>(thread % 2), std::make_unique<Churner>());
    Place(thread, 6, std::make_unique<Renamer>(thread == 0));
  }
  Place(1, 2, std::make_unique<OrderWriter>());  // alone: its values rise
  DetachedClient setup(rig_, 0);
  setup.connection().session.db = 6;
  setup.Send(Line({"SET", "place:1", "here"}));
  setup.Settle();
  sent_++;
}

void Stage::PlaceFlushers() {
  for (size_t thread = 0; thread < seats_.size(); thread++) {
    Place(thread, 0, std::make_unique<TwinWriter>());
    Place(thread, 0, std::make_unique<TwinReader>());
    Place(thread, 1, std::make_unique<TwinWriter>());
    Place(thread, 1, std::make_unique<TwinReader>());
  }
  Place(0, 0, std::make_unique<Flusher>());
  Place(1, 1, std::make_unique<Flusher>());
}

void Stage::CheckReplies(Seat* seat) {
  size_t at = 0;
  Replies replies;
  while (at < seat->output.size()) {
    const size_t size = test::ReplySize(std::string_view(seat->output).substr(at));
    if (size == 0 || size == std::string::npos)
      return Fail("a reply is broken", static_cast<int64_t>(at));
    replies.push_back(seat->output.substr(at, size));
    at += size;
  }
  if (replies.size() != seat->pipeline.commands) {
    return Fail("not every command was answered once", static_cast<int64_t>(replies.size()),
                static_cast<int64_t>(seat->pipeline.commands));
  }
  seat->actor->Check(replies);
}

/// One look at a connection. True if it waits for an answer.
bool Stage::Serve(Seat* seat, Random* random, bool is_issuing) {
  DetachedClient& client = *seat->client;
  while (client.Serve()) {
  }
  seat->output += client.Take();
  if (client.is_parked()) return true;
  if (seat->is_waiting) {
    STRESS_EXPECT(client.unread_bytes() == 0);
    CheckReplies(seat);
    seat->is_waiting = false;
  }
  if (!is_issuing) return false;
  seat->output.clear();
  seat->pipeline = {};
  seat->actor->Next(random, &seat->pipeline);
  sent_.fetch_add(seat->pipeline.commands, std::memory_order_relaxed);
  seat->is_waiting = true;
  client.Send(seat->pipeline.bytes);
  return true;
}

/// All connections of the thread are parked: only an answer can go on, and it must wake us.
void Stage::Sleep(int index) {
  pollfd waits = {rig_.worker(index).epoll_fd(), POLLIN, 0};
  if (poll(&waits, 1, kLostAfterMs) != 0) return;
  Fail("lost wake-up of a worker", index);
  is_lost_.store(true);
}

void Stage::Drive(int index) {
  Random random(options_.seed * 131 + static_cast<uint64_t>(index));
  net::Worker& worker = rig_.worker(index);
  bool is_counted_out = false;
  for (uint64_t turn = 0; busy_threads_.load() > 0 && !is_lost_.load(); turn++) {
    const bool is_issuing = !must_stop_.load(std::memory_order_relaxed);
    std::vector<Seat>& seats = seats_[static_cast<size_t>(index)];
    size_t waiting = 0;
    for (Seat& seat : seats) waiting += Serve(&seat, &random, is_issuing) ? 1 : 0;
    turn % 128 == 0 ? worker.Cron() : worker.RunOnce();
    if (!is_issuing && waiting == 0 && !is_counted_out) {
      is_counted_out = true;
      busy_threads_.fetch_sub(1);
    }
    const bool all_parked = std::all_of(seats.begin(), seats.end(),
                                        [](const Seat& seat) { return seat.client->is_parked(); });
    if (all_parked) Sleep(index);
    if (is_counted_out) {
      pollfd waits = {worker.epoll_fd(), POLLIN, 0};
      poll(&waits, 1, 1);
    }
  }
}

void Stage::Run() {
  busy_threads_.store(threads_);
  std::vector<std::thread> threads;
  for (int i = 0; i < threads_; i++) threads.emplace_back([this, i] { Drive(i); });
  std::this_thread::sleep_for(std::chrono::duration<double>(options_.seconds));
  must_stop_.store(true);
  for (std::thread& thread : threads) thread.join();
  CheckEnd();
}

void Stage::CheckEnd() {
  uint64_t processed = 0;
  uint64_t queued = 0;
  uint64_t expired = 0;
  for (int i = 0; i < threads_; i++) {
    processed += rig_.counters(i).commands_processed.Get();
    queued += rig_.counters(i).commands_queued.Get();
    expired += rig_.counters(i).expired_keys.Get();
  }
  std::printf("  threads %d shards %d: %llu commands, %llu queued, %llu keys expired\n", threads_,
              rig_.engine().shard_count(), static_cast<unsigned long long>(processed),
              static_cast<unsigned long long>(queued), static_cast<unsigned long long>(expired));
  if (is_lost_.load()) return;
  STRESS_EXPECT(processed == sent_.load(), static_cast<int64_t>(processed),
                static_cast<int64_t>(sent_.load()));
  STRESS_EXPECT(processed > 0);
  for (int shard = 0; shard < rig_.engine().shard_count(); shard++) {
    const auto id = static_cast<engine::ShardId>(shard);
    const bool is_free = rig_.server().leases().TryAcquire(id, 0);
    STRESS_EXPECT(is_free, shard);
    if (is_free) rig_.server().leases().Release(id, 0);
  }
  rig_.Validate();
  DetachedClient client(rig_, 0);
  STRESS_EXPECT(client.Run(Line({"FLUSHALL"})) == "+OK\r\n");
  rig_.FreeDeferred();
  rig_.Validate();
  const size_t used = rig_.UsedBytes();
  STRESS_EXPECT(used == used_at_start_, static_cast<int64_t>(used),
                static_cast<int64_t>(used_at_start_));
}

}  // namespace

STRESS(engine_commands_in_place) { Stage(options, true, false).Run(); }
STRESS(engine_commands_on_owner) { Stage(options, false, false).Run(); }
STRESS(engine_flushes_in_place) { Stage(options, true, true).Run(); }
STRESS(engine_flushes_on_owner) { Stage(options, false, true).Run(); }

}  // namespace sherd::stress
