// Transactions and commands on random sets of shards, from every worker at once.
//
// Each worker has several clients that send random commands: single keys, MSET and RENAME over any keys,
// transactions over any shards (with SELECT and PING in them, so that they must run at home; with watched
// keys), commands on all shards, and commands so long that they go to the runner. What is watched:
//
//   - money moved by transactions is never seen in part, whether by MGET, by EXEC, or at the end;
//   - a counter that is raised under WATCH is raised exactly as often as EXEC said so;
//   - nobody waits for ever (a deadlock, a lost wake-up), and at the end all leases are free and all
//     memory is given back.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/test_rig.h"
#include "stress/stress.h"

namespace sherd::stress {

namespace {

using test::DetachedClient;
using test::Line;
using test::ServerRig;

constexpr int kAccounts = 12;
constexpr int64_t kStart = 1000;
// Long enough for the runner (engine::kLongEffort).
constexpr int kLongList = 12'000;
constexpr int kOptimists = 2;  // counters raised under WATCH

std::string Account(uint64_t i) { return "account:" + std::to_string(i); }
std::string Counter(uint64_t i) { return "counter:" + std::to_string(i); }

/// All numbers of a reply that are bulks or integers, in order, whatever the nesting.
std::vector<int64_t> Numbers(const std::string& reply) {
  std::vector<int64_t> numbers;
  size_t at = 0;
  while (at < reply.size()) {
    size_t end = reply.find("\r\n", at);
    const char kind = reply[at];
    if (kind == '$' && reply[at + 1] != '-') {
      at = end + 2;
      end = reply.find("\r\n", at);
    } else if (kind != ':') {
      at = end + 2;
      continue;
    } else {
      at++;
    }
    int64_t value = 0;
    if (ParseInt64(std::string_view(reply).substr(at, end - at), &value)) numbers.push_back(value);
    at = end + 2;
  }
  return numbers;
}

class Player {
 public:
  Player(ServerRig& rig, int worker, uint64_t id) : client_(rig, worker), id_(id) {}

  /// One look. True while it waits for an answer. `stops`: begins nothing new.
  bool Play(Random* random, bool stops) {
    while (client_.Serve()) {
    }
    output_ += client_.Take();
    if (client_.is_parked()) return true;
    if (is_waiting_) {
      Check();
      is_waiting_ = false;
    }
    output_.clear();
    if (is_watching_ && stops) {
      // Nothing of it may stay linked when the client goes.
      is_watching_ = false;
      return Begin({Line({"UNWATCH"})}, Kind::kAny);
    }
    return stops ? false : Next(random);
  }
  bool is_parked() const { return client_.is_parked(); }
  int64_t raised() const { return raised_; }
  uint64_t which() const { return id_ % kOptimists; }

 private:
  enum class Kind { kAny, kSum, kWatched, kRaise };

  bool Begin(const std::vector<std::string>& lines, Kind kind) {
    std::string bytes;
    for (const std::string& line : lines) bytes += line;
    expected_ = lines.size();
    kind_ = kind;
    is_waiting_ = true;
    client_.Send(bytes);
    return true;
  }

  bool Next(Random* random) {
    if (is_watching_) {
      is_watching_ = false;
      return Begin({Line({"MULTI"}), Line({"SET", Counter(which()), std::to_string(seen_ + 1)}),
                    Line({"INCR", "raises"}), Line({"EXEC"})},
                   Kind::kRaise);
    }
    const std::string from = Account(random->Below(kAccounts));
    const std::string to = Account(random->Below(kAccounts));
    const std::string amount = std::to_string(random->Below(100));
    switch (random->Below(14)) {
      case 0:
      case 1:
      case 2: return Begin({Line({"MULTI"}), Line({"DECRBY", from, amount}), Line({"INCRBY", to, amount}),
                            Line({"EXEC"})}, Kind::kAny);
      case 3: return Begin({Line({"MULTI"}), Line({"DECRBY", from, amount}), Line({"PING"}),
                            Line({"SELECT", "0"}), Line({"INCRBY", to, amount}), Line({"EXEC"})}, Kind::kAny);
      case 4: return Begin({Line(AllAccounts("MGET"))}, Kind::kSum);
      case 5: return Begin({Line({"MULTI"}), Line(AllAccounts("MGET")), Line({"EXEC"})}, Kind::kSum);
      case 6: return Begin({Line({"MSET", Free(random), "1", Free(random), "2", Free(random), "3"})}, Kind::kAny);
      case 7: return Begin({Line({"SET", "free:0", "x"}), Line({"RENAME", "free:0", Free(random)})}, Kind::kAny);
      case 8: return Begin({Line({"DBSIZE"}), Line({"SCAN", "0", "COUNT", "10"})}, Kind::kAny);
      case 9: return Begin({Line({"LREM", "long", "0", "nobody"})}, Kind::kAny);
      case 10: return Begin({Line({"MULTI"}), Line({"DBSIZE"}), Line({"DEL", Free(random)}), Line({"EXEC"})},
                            Kind::kAny);
      case 11: return Begin({Line({"MULTI"}), Line({"SET", Free(random), "1"}), Line({"DISCARD"})}, Kind::kAny);
      default:
        is_watching_ = true;
        return Begin({Line({"WATCH", Counter(which()), "raises"}), Line({"GET", Counter(which())})},
                     Kind::kWatched);
    }
  }

  static std::vector<std::string> AllAccounts(const std::string& command) {
    std::vector<std::string> words = {command};
    for (uint64_t i = 0; i < kAccounts; i++) words.push_back(Account(i));
    return words;
  }
  static std::string Free(Random* random) { return "free:" + std::to_string(random->Below(20)); }

  void Check() {
    const std::vector<std::string> replies = test::CutReplies(output_);
    STRESS_EXPECT(replies.size() == expected_, static_cast<int64_t>(replies.size()));
    if (replies.empty()) return;
    const std::vector<int64_t> numbers = Numbers(replies.back());
    switch (kind_) {
      case Kind::kAny: return;
      case Kind::kSum: {
        int64_t sum = 0;
        for (const int64_t number : numbers) sum += number;
        STRESS_EXPECT(sum == kAccounts * kStart, sum);
        return;
      }
      case Kind::kWatched: seen_ = numbers.empty() ? 0 : numbers[0]; return;
      case Kind::kRaise:
        if (replies.back() != "*-1\r\n") raised_++;
        return;
    }
  }

  DetachedClient client_;
  const uint64_t id_;
  std::string output_;
  Kind kind_ = Kind::kAny;
  size_t expected_ = 0;
  bool is_waiting_ = false;
  bool is_watching_ = false;
  int64_t seen_ = 0;
  int64_t raised_ = 0;
};

class Hall {
 public:
  Hall(const Options& options, bool in_place)
      : options_(options),
        threads_(options.threads > 0 ? options.threads : 3),
        rig_({.workers = threads_, .shards = options.shards > 0 ? options.shards : 8, .in_place = in_place}),
        used_at_start_(rig_.UsedBytes()),
        players_(static_cast<size_t>(threads_)) {
    DetachedClient setup(rig_, 0);
    for (uint64_t i = 0; i < kAccounts; i++) setup.Run(Line({"SET", Account(i), std::to_string(kStart)}));
    std::vector<std::string> words = {"RPUSH", "long"};
    for (int i = 0; i < kLongList; i++) words.push_back(std::to_string(i));
    setup.Run(Line(words));
    for (size_t thread = 0; thread < players_.size(); thread++) {
      for (uint64_t i = 0; i < 6; i++) {
        players_[thread].push_back(std::make_unique<Player>(rig_, static_cast<int>(thread), thread * 6 + i));
      }
    }
  }

  void Run() {
    busy_threads_.store(threads_);
    std::vector<std::thread> threads;
    for (int i = 0; i < threads_; i++) threads.emplace_back([this, i] { Drive(i); });
    std::this_thread::sleep_for(std::chrono::duration<double>(options_.seconds));
    must_stop_.store(true);
    for (std::thread& thread : threads) thread.join();
    if (!is_lost_.load()) CheckEnd();
  }

 private:
  void Drive(int index) {
    Random random(options_.seed * 977 + static_cast<uint64_t>(index));
    net::Worker& worker = rig_.worker(index);
    auto& players = players_[static_cast<size_t>(index)];
    bool is_counted_out = false;
    for (uint64_t turn = 0; busy_threads_.load() > 0 && !is_lost_.load(); turn++) {
      bool is_busy = false;
      for (auto& player : players) {
        if (player->Play(&random, must_stop_.load(std::memory_order_relaxed))) is_busy = true;
      }
      turn % 128 == 0 ? worker.Cron() : worker.RunOnce();
      if (!is_busy && must_stop_.load() && !is_counted_out) {
        is_counted_out = true;
        busy_threads_.fetch_sub(1);
      }
      const bool all_parked =
          std::all_of(players.begin(), players.end(), [](const auto& player) { return player->is_parked(); });
      if (all_parked) Sleep(index);
      if (is_counted_out) {
        pollfd waits = {worker.epoll_fd(), POLLIN, 0};
        poll(&waits, 1, 1);
      }
    }
  }

  /// All clients of the thread are parked: only an answer can go on, and it must wake us.
  void Sleep(int index) {
    pollfd waits = {rig_.worker(index).epoll_fd(), POLLIN, 0};
    if (poll(&waits, 1, kLostAfterMs) != 0) return;
    Fail("clients wait for ever", index);
    is_lost_.store(true);
  }

  void CheckEnd() {
    int64_t raised[kOptimists] = {};
    for (auto& players : players_) {
      for (auto& player : players) raised[player->which()] += player->raised();
    }
    DetachedClient client(rig_, 0);
    int64_t total = 0;
    for (uint64_t i = 0; i < kOptimists; i++) {
      const std::vector<int64_t> value = Numbers(client.Run(Line({"GET", Counter(i)})));
      STRESS_EXPECT((value.empty() ? 0 : value[0]) == raised[i], value.empty() ? 0 : value[0], raised[i]);
      total += raised[i];
    }
    STRESS_EXPECT(total > 0);
    const uint64_t on_runner = rig_.counters(threads_).commands_processed.Get();
    std::printf("  threads %d shards %d: %lld raises under WATCH, %llu long commands on the runner\n", threads_,
                rig_.engine().shard_count(), static_cast<long long>(total),
                static_cast<unsigned long long>(on_runner));
    STRESS_EXPECT(on_runner > 0);
    for (int shard = 0; shard < rig_.engine().shard_count(); shard++) {
      const auto id = static_cast<engine::ShardId>(shard);
      const bool is_free = rig_.server().leases().TryAcquire(id, 0);
      STRESS_EXPECT(is_free, shard);
      if (is_free) rig_.server().leases().Release(id, 0);
      STRESS_EXPECT(!rig_.engine().keyspace(id).has_interests(), shard);
    }
    STRESS_EXPECT(client.Run(Line({"FLUSHALL"})) == "+OK\r\n");
    rig_.FreeDeferred();
    rig_.Validate();
    STRESS_EXPECT(rig_.UsedBytes() == used_at_start_, static_cast<int64_t>(rig_.UsedBytes()));
  }

  const Options options_;
  const int threads_;
  ServerRig rig_;
  const size_t used_at_start_;
  std::vector<std::vector<std::unique_ptr<Player>>> players_;
  std::atomic<int> busy_threads_{0};
  std::atomic<bool> must_stop_{false};
  std::atomic<bool> is_lost_{false};
};

}  // namespace

STRESS(transactions_in_place) { Hall(options, true).Run(); }
STRESS(transactions_on_owner) { Hall(options, false).Run(); }

}  // namespace sherd::stress
