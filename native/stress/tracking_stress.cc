// Client-side caching under many threads: readers keep what they have read in caches of their own, writers
// change it, and no cache may hold on to a value that has changed.
//
// Each thread has a worker with several detached connections. A reader follows the rules of a caching client
// to the letter: it keeps the value of a reply, and drops it when an invalidation comes; a reader whose
// invalidations go to another connection (REDIRECT) does not keep what was under way when one came.
//
//   reader      default mode, over GET, MGET, transactions, and transactions with a control command
//   opt-in      CLIENT CACHING before what it keeps
//   self        NOLOOP, and writes the keys itself
//   broadcast   BCAST with a prefix
//   redirected  its invalidations go to a connection of another worker
//   writer      SET, MSET, DEL, RENAME, COPY, transactions, keys that expire, FLUSHALL now and then
//
// The table's limit changes all the time, so that keys are dropped from it as well.
//
// It goes in short rounds. Checked at the end of each, when all have stopped and all messages have come: every
// value in every cache is what the server has. And that caches did hold something, that replies and messages
// are whole, structures valid.
#include <poll.h>

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "net/test_rig.h"
#include "stress/stress.h"

namespace sherd::stress {
namespace {

using test::DetachedClient;
using test::Line;
using test::ServerRig;

constexpr uint64_t kKeys = 20;
constexpr int kRoundMs = 25;

std::string Name(uint64_t n) { return (n % 2 == 0 ? "even:" : "odd:") + std::to_string(n); }
std::string RandomName(Random* random) { return Name(random->Below(kKeys)); }

/// The elements of an array or push.
std::vector<std::string> Elements(const std::string& frame) {
  return test::CutReplies(std::string_view(frame).substr(frame.find("\r\n") + 2));
}
std::string TextOf(const std::string& bulk) {
  const size_t start = bulk.find("\r\n") + 2;
  return bulk.substr(start, bulk.size() - start - 2);
}

// ---- A client's cache ----

/// Values by key, as their replies. Locked: with REDIRECT two threads use it.
class Cache {
 public:
  /// A read of this key is sent.
  void Expect(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    slots_[name].under_way++;
  }
  void Fill(const std::string& name, const std::string& reply) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Slot& slot = slots_[name];
    slot.under_way--;
    if (!slot.is_spoilt) slot.value = reply;
    if (slot.under_way == 0) slot.is_spoilt = false;
    fills_++;
  }
  /// `is_beside`: it came over another connection than the replies.
  void Drop(const std::string& name, bool is_beside) {
    const std::lock_guard<std::mutex> lock(mutex_);
    DropSlot(&slots_[name], is_beside);
  }
  void DropAll(bool is_beside) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& [name, slot] : slots_) DropSlot(&slot, is_beside);
  }
  uint64_t fills() const { return fills_; }
  template <class Visit>
  void ForEach(Visit&& visit) {
    for (auto& [name, slot] : slots_) {
      if (!slot.value.empty()) visit(name, slot.value);
    }
  }

 private:
  struct Slot {
    std::string value;  // empty: not cached
    int under_way = 0;
    bool is_spoilt = false;
  };
  static void DropSlot(Slot* slot, bool is_beside) {
    slot->value.clear();
    if (is_beside && slot->under_way > 0) slot->is_spoilt = true;
  }
  std::mutex mutex_;
  std::map<std::string, Slot> slots_;
  uint64_t fills_ = 0;
};

// ---- Connections ----

enum class Role { kReader, kOptIn, kSelf, kBroadcast, kRedirected, kTarget, kWriter };

class Seat {
 public:
  Seat(ServerRig& rig, int worker, Role role, std::shared_ptr<Cache> cache)
      : client_(rig, worker), role_(role), cache_(std::move(cache)) {
    net::Connection& connection = client_.connection();
    connection.session.resp = 3;
    rig.server().AddClient(connection.session.id, static_cast<engine::WorkerId>(worker), &connection);
  }

  uint64_t id() { return client_.connection().session.id; }
  Role role() const { return role_; }
  Cache& cache() { return *cache_; }
  bool is_idle() { return !client_.is_parked() && due_.empty() && client_.unread_bytes() == 0; }
  bool is_parked() const { return client_.is_parked(); }

  void Begin(uint64_t target_id) {
    switch (role_) {
      case Role::kReader: Add({"CLIENT", "TRACKING", "on"}); break;
      case Role::kOptIn: Add({"CLIENT", "TRACKING", "on", "OPTIN"}); break;
      case Role::kSelf: Add({"CLIENT", "TRACKING", "on", "NOLOOP"}); break;
      case Role::kBroadcast: Add({"CLIENT", "TRACKING", "on", "BCAST", "PREFIX", "even:"}); break;
      case Role::kRedirected: Add({"CLIENT", "TRACKING", "on", "REDIRECT", std::to_string(target_id)}); break;
      case Role::kTarget:
      case Role::kWriter: break;
    }
    Flush();
  }
  /// Serves what can be served and takes what has come.
  void Serve() {
    while (client_.Serve()) {
    }
    for (const std::string& frame : test::CutReplies(client_.Take())) TakeFrame(frame);
  }
  void Issue(Random* random) {
    if (role_ == Role::kTarget) return;
    for (uint64_t i = 0; i <= random->Below(6); i++) role_ == Role::kWriter ? Write(random) : Read(random);
    Flush();
  }

 private:
  /// What the next reply is to be used for: the keys whose values it holds, in order; or the keys that the
  /// command has changed.
  struct Due {
    std::vector<std::string> read;
    std::vector<std::string> written;
    bool is_array;
  };

  void Add(const std::vector<std::string>& words) { Add(words, Due{{}, {}, false}); }
  void Add(const std::vector<std::string>& words, Due due) {
    bytes_ += Line(words);
    for (const std::string& name : due.read) cache_->Expect(name);
    due_.push_back(std::move(due));
  }
  void Flush() {
    std::string bytes;
    bytes.swap(bytes_);
    client_.Send(bytes);
  }

  void TakeFrame(const std::string& frame) {
    if (frame[0] == '>') return TakePush(frame);
    if (due_.empty()) return Fail("a reply that nobody waits for");
    const Due due = std::move(due_.front());
    due_.pop_front();
    STRESS_EXPECT(frame[0] != '-' || frame == "-ERR no such key\r\n" ||
                  frame == "-ERR source and destination objects are the same\r\n");
    for (const std::string& name : due.written) cache_->Drop(name, false);
    if (due.read.empty()) return;
    if (!due.is_array) return cache_->Fill(due.read[0], frame);
    const std::vector<std::string> values = Elements(frame);
    STRESS_EXPECT(values.size() >= due.read.size());
    for (size_t i = 0; i < due.read.size() && i < values.size(); i++) cache_->Fill(due.read[i], values[i]);
  }
  void TakePush(const std::string& frame) {
    const std::vector<std::string> elements = Elements(frame);
    STRESS_EXPECT(elements.size() == 2 && TextOf(elements[0]) == "invalidate");
    const bool is_beside = role_ == Role::kTarget;
    if (elements[1] == "_\r\n") return cache_->DropAll(is_beside);
    for (const std::string& name : Elements(elements[1])) cache_->Drop(TextOf(name), is_beside);
  }

  void Read(Random* random) {
    const std::string a = role_ == Role::kBroadcast ? Name(random->Below(kKeys / 2) * 2) : RandomName(random);
    const std::string b = role_ == Role::kBroadcast ? Name(random->Below(kKeys / 2) * 2) : RandomName(random);
    if (role_ == Role::kSelf && OneIn(random, 3)) return Add({"SET", a, Value(random)}, {{}, {a}, false});
    if (role_ == Role::kReader && OneIn(random, 6)) Add({"SET", a, Value(random)});
    if (role_ == Role::kOptIn) {
      if (OneIn(random, 4)) Add({"GET", a});  // not kept
      Add({"CLIENT", "CACHING", "yes"});
    }
    switch (random->Below(6)) {
      case 0: return Add({"MGET", a, b}, {{a, b}, {}, true});
      case 1: return ReadInTransaction(a, b, false);
      case 2: return ReadInTransaction(a, b, true);
      default: return Add({"GET", a}, {{a}, {}, false});
    }
  }
  void ReadInTransaction(const std::string& a, const std::string& b, bool with_control) {
    Add({"MULTI"});
    Add({"GET", a});
    Add({"GET", b});
    if (with_control) Add({"CONFIG", "GET", "hz"});
    Add({"EXEC"}, {{a, b}, {}, true});
  }
  void Write(Random* random) {
    const std::string a = RandomName(random);
    const std::string b = RandomName(random);
    switch (random->Below(300) == 0 ? 100 : random->Below(12)) {
      case 100: return Add({OneIn(random, 2) ? "FLUSHALL" : "FLUSHDB"});
      case 0: return Add({"MSET", a, Value(random), b, Value(random)});
      case 1: return Add({"DEL", a, b});
      case 2: return Add({"RENAME", a, b});
      case 3: return Add({"COPY", a, b, "REPLACE"});
      case 4: return Add({"SET", a, Value(random), "PX", std::to_string(1 + random->Below(4))});
      case 5: return Add({"PEXPIRE", a, std::to_string(random->Below(3))});
      case 6:
        Add({"MULTI"});
        Add({"SET", a, Value(random)});
        Add({"APPEND", b, "x"});
        return Add({"EXEC"});
      default: return Add({"SET", a, Value(random)});
    }
  }
  static std::string Value(Random* random) { return std::to_string(random->Below(1'000'000'000)); }

  DetachedClient client_;
  const Role role_;
  const std::shared_ptr<Cache> cache_;
  std::string bytes_;
  std::deque<Due> due_;
};

// ---- The stage ----

class Stage {
 public:
  Stage(const Options& options, bool in_place)
      : options_(options),
        threads_(options.threads > 0 ? options.threads : 3),
        rig_({.workers = threads_, .shards = options.shards > 0 ? options.shards : 4, .in_place = in_place}),
        seats_(static_cast<size_t>(threads_)) {
    for (int i = 0; i < threads_; i++) {
      for (const Role role : {Role::kReader, Role::kOptIn, Role::kSelf, Role::kBroadcast, Role::kWriter}) {
        Place(i, role, std::make_shared<Cache>())->Begin(0);
      }
      const auto cache = std::make_shared<Cache>();
      const uint64_t target = Place((i + 1) % threads_, Role::kTarget, cache)->id();
      Place(i, Role::kRedirected, cache)->Begin(target);
    }
    for (int i = 0; i < 4; i++) Settle();
  }

  void Run() {
    const int64_t end_ms = Clock::WallMs() + static_cast<int64_t>(options_.seconds * 1000);
    while (!is_lost_.load() && (round_ == 0 || Clock::WallMs() < end_ms)) RunRound();
    STRESS_EXPECT(cached_ > 0);
    std::printf("  %llu rounds, %llu values read, %llu still cached at their ends\n",
                static_cast<unsigned long long>(round_), static_cast<unsigned long long>(Fills()),
                static_cast<unsigned long long>(cached_));
    rig_.Validate();
  }

 private:
  void RunRound() {
    round_++;
    must_stop_.store(false);
    busy_threads_.store(threads_);
    std::vector<std::thread> threads;
    for (int i = 0; i < threads_; i++) threads.emplace_back([this, i] { Drive(i); });
    std::this_thread::sleep_for(std::chrono::milliseconds(kRoundMs));
    must_stop_.store(true);
    for (std::thread& thread : threads) thread.join();
    if (!is_lost_.load()) CheckCaches();
  }
  Seat* Place(int worker, Role role, std::shared_ptr<Cache> cache) {
    std::vector<std::unique_ptr<Seat>>& seats = seats_[static_cast<size_t>(worker)];
    seats.push_back(std::make_unique<Seat>(rig_, worker, role, std::move(cache)));
    return seats.back().get();
  }
  template <class Visit>
  void ForEachSeat(Visit&& visit) {
    for (auto& seats : seats_) {
      for (auto& seat : seats) visit(*seat);
    }
  }
  /// All that is under way arrives; from one thread.
  void Settle() {
    for (int i = 0; i < 20; i++) {
      rig_.Pump();
      ForEachSeat([](Seat& seat) { seat.Serve(); });
    }
  }

  void Drive(int index) {
    Random random((options_.seed * 131 + static_cast<uint64_t>(index)) * 7919 + round_);
    net::Worker& worker = rig_.worker(index);
    std::vector<std::unique_ptr<Seat>>& seats = seats_[static_cast<size_t>(index)];
    int64_t last_busy_ms = Clock::WallMs();
    bool is_counted_out = false;
    for (uint64_t turn = 0; busy_threads_.load() > 0 && !is_lost_.load(); turn++) {
      const bool is_issuing = !must_stop_.load(std::memory_order_relaxed);
      bool all_idle = true;
      for (auto& seat : seats) {
        seat->Serve();
        all_idle = all_idle && seat->is_idle();
        if (is_issuing && seat->is_idle() && !OneIn(&random, 3)) seat->Issue(&random);
      }
      if (all_idle) last_busy_ms = Clock::WallMs();
      turn % 128 == 0 ? worker.Cron() : worker.RunOnce();
      if (index == 0 && turn % 64 == 0) {
        rig_.engine().options().tracking_table_max_keys.Set(OneIn(&random, 4) ? 8 : 0);
      }
      if (!is_issuing && all_idle && !is_counted_out) {
        is_counted_out = true;
        busy_threads_.fetch_sub(1);
      }
      if (!is_issuing && Clock::WallMs() - last_busy_ms > kLostAfterMs) {
        Fail("commands were never answered", index);
        is_lost_.store(true);
      }
      if (OneIn(&random, 16)) sched_yield();
    }
  }

  void CheckCaches() {
    // What expires has expired, and is found out.
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    DetachedClient reader(rig_, 0);
    reader.connection().session.resp = 3;
    const auto get = [&](const std::string& name) {
      reader.Send(Line({"GET", name}));
      reader.Settle();
      return reader.Take();
    };
    std::map<std::string, std::string> present;
    for (uint64_t i = 0; i < kKeys; i++) present[Name(i)] = get(Name(i));
    Settle();
    ForEachSeat([&](Seat& seat) {
      STRESS_EXPECT(seat.is_idle());
      seat.cache().ForEach([&](const std::string& name, const std::string& value) {
        cached_++;
        if (value == present[name]) return;
        std::printf("  %s: cached %s, is %s", name.c_str(), value.c_str(), present[name].c_str());
        Fail("a stale value is cached", static_cast<int64_t>(seat.role()), static_cast<int64_t>(seat.id()));
      });
    });
  }
  uint64_t Fills() {
    uint64_t fills = 0;
    ForEachSeat([&](Seat& seat) { fills += seat.cache().fills(); });
    return fills;
  }

  const Options options_;
  const int threads_;
  ServerRig rig_;
  std::vector<std::vector<std::unique_ptr<Seat>>> seats_;  // by thread
  uint64_t round_ = 0;
  uint64_t cached_ = 0;
  std::atomic<int> busy_threads_{0};
  std::atomic<bool> must_stop_{false};
  std::atomic<bool> is_lost_{false};
};

STRESS(tracking_in_place) { Stage(options, true).Run(); }
STRESS(tracking_on_owner) { Stage(options, false).Run(); }

}  // namespace
}  // namespace sherd::stress
