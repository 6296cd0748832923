// Tests of the lease protocol at the granularity of calls. A worker is only a number to the table,
// so one thread plays all workers, and every interleaving of calls can be written down; what
// happens inside the calls is the business of the model (model/lease.pml) and of the stress driver
// (stress/).
#include "shard/lease.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <deque>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/random.h"
#include "test/test.h"

namespace sherd::shard {
namespace {

/// A request that owns its list of shards.
struct Command : Request {
  Command(int id, WorkerId from, std::initializer_list<ShardId> on) : id(id), list(on) {
    shards = list.data();
    shard_count = static_cast<uint16_t>(list.size());
    origin = from;
  }
  const int id;
  std::vector<ShardId> list;
};

/// Notes what is executed and rung; `during` runs inside Execute, as if on other threads.
class Recorder final : public Executor {
 public:
  void Execute(Request* request, WorkerId self) override {
    auto* command = static_cast<Command*>(request);
    executed.emplace_back(command->id, self);
    if (during) during(command, self);
  }
  void RingOwner(ShardId shard, WorkerId self) override { rung.emplace_back(shard, self); }

  std::vector<int> Ids() const {
    std::vector<int> ids;
    for (const auto& [id, worker] : executed) ids.push_back(id);
    return ids;
  }

  std::vector<std::pair<int, WorkerId>> executed;
  std::vector<std::pair<ShardId, WorkerId>> rung;
  std::function<void(Command*, WorkerId)> during;
};

void ExpectAllIdle(LeaseTable* table) {
  for (ShardId shard = 0; shard < table->shard_count(); shard++) {
    EXPECT_FALSE(table->HasQueue(shard));
    EXPECT_TRUE(table->TryAcquire(shard, 0));
    table->Release(shard, 0);
  }
}

TEST(lease_is_taken_by_one_and_given_back) {
  Recorder recorder;
  LeaseTable table(2, 3, &recorder);
  EXPECT_TRUE(table.TryAcquire(1, 2));
  EXPECT_TRUE(table.HeldBy(1, 2));
  EXPECT_FALSE(table.HeldBy(1, 0));
  EXPECT_FALSE(table.TryAcquire(1, 0));
  EXPECT_FALSE(table.TryAcquire(1, 2));
  EXPECT_TRUE(table.TryAcquire(0, 0));  // another shard
  table.Release(1, 2);
  EXPECT_FALSE(table.HeldBy(1, 2));
  EXPECT_TRUE(table.TryAcquire(1, 0));
  EXPECT_EQ(table.counters(1).in_place, 2u);
  EXPECT_EQ(table.counters(1).queued, 0u);
}

TEST(lease_submit_runs_at_once_when_idle) {
  Recorder recorder;
  LeaseTable table(4, 2, &recorder);
  Command single(1, 0, {3}), several(2, 1, {0, 2, 3});
  table.Submit(&single, 0);
  table.Submit(&several, 1);
  EXPECT_TRUE(recorder.Ids() == (std::vector<int>{1, 2}));
  EXPECT_EQ(several.granted, 3);
  ExpectAllIdle(&table);
}

TEST(lease_queue_is_served_in_order_by_the_releaser) {
  Recorder recorder;
  LeaseTable table(1, 3, &recorder);
  ASSERT_TRUE(table.TryAcquire(0, 0));
  Command a(1, 1, {0}), b(2, 2, {0}), c(3, 1, {0});
  for (Command* command : {&a, &b, &c}) table.Submit(command, command->origin);
  EXPECT_TRUE(recorder.executed.empty());
  EXPECT_TRUE(table.HasQueue(0));
  recorder.during = [&](Command*, WorkerId) { EXPECT_TRUE(table.HeldBy(0, 0)); };
  table.Release(0, 0);
  EXPECT_TRUE(recorder.executed ==
              (std::vector<std::pair<int, WorkerId>>{{1, 0}, {2, 0}, {3, 0}}));
  EXPECT_EQ(table.counters(0).queued, 3u);
  EXPECT_EQ(table.counters(0).queue_length_max, 3u);
  ExpectAllIdle(&table);
}

TEST(lease_request_that_comes_while_serving_is_served_too) {
  Recorder recorder;
  LeaseTable table(1, 2, &recorder);
  Command first(1, 0, {0}), second(2, 1, {0});
  recorder.during = [&](Command* command, WorkerId) {
    if (command == &first) table.Submit(&second, 1);
  };
  table.Submit(&first, 0);
  EXPECT_TRUE(recorder.Ids() == (std::vector<int>{1, 2}));
  ExpectAllIdle(&table);
}

TEST(lease_batch_is_bounded_and_the_owner_is_rung) {
  Recorder recorder;
  LeaseTable table(1, 2, &recorder, 2);
  ASSERT_TRUE(table.TryAcquire(0, 0));
  std::deque<Command> commands;
  for (int i = 0; i < 5; i++) commands.emplace_back(i, 1, std::initializer_list<ShardId>{0});
  for (Command& command : commands) table.Submit(&command, 1);
  table.Release(0, 0);
  EXPECT_TRUE(recorder.Ids() == (std::vector<int>{0, 1}));
  EXPECT_EQ(recorder.rung.size(), 1u);
  EXPECT_TRUE(table.IsLeft(0));
  EXPECT_FALSE(table.TryAcquire(0, 0));  // nobody overtakes those who are queued
  table.Poll(0, 1);
  EXPECT_EQ(recorder.executed.size(), 4u);
  EXPECT_EQ(recorder.rung.size(), 2u);
  table.Poll(0, 0);
  EXPECT_TRUE(recorder.Ids() == (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_EQ(recorder.rung.size(), 2u);
  table.Poll(0, 0);  // nothing there: nothing happens
  EXPECT_EQ(table.counters(0).left_with_queue, 2u);
  ExpectAllIdle(&table);
}

TEST(lease_left_shard_is_taken_by_the_next_submitter) {
  Recorder recorder;
  LeaseTable table(1, 3, &recorder, 1);
  ASSERT_TRUE(table.TryAcquire(0, 0));
  Command a(1, 1, {0}), b(2, 1, {0}), c(3, 2, {0});
  table.Submit(&a, 1);
  table.Submit(&b, 1);
  table.Release(0, 0);  // executes a, leaves b
  EXPECT_TRUE(table.IsLeft(0));
  table.Submit(&c, 2);  // executes b, which is before it, and leaves c
  EXPECT_TRUE(recorder.executed == (std::vector<std::pair<int, WorkerId>>{{1, 0}, {2, 2}}));
  EXPECT_TRUE(table.IsLeft(0));
  table.Poll(0, 1);
  EXPECT_TRUE(recorder.Ids() == (std::vector<int>{1, 2, 3}));
  ExpectAllIdle(&table);
}

TEST(lease_poll_leaves_a_held_shard_alone) {
  Recorder recorder;
  LeaseTable table(1, 2, &recorder);
  ASSERT_TRUE(table.TryAcquire(0, 0));
  Command a(1, 1, {0});
  table.Submit(&a, 1);
  table.Poll(0, 1);
  EXPECT_TRUE(recorder.executed.empty());
  EXPECT_TRUE(table.HeldBy(0, 0));
  table.Release(0, 0);
  EXPECT_EQ(recorder.executed.size(), 1u);
}

TEST(lease_multi_shard_request_is_handed_over) {
  Recorder recorder;
  LeaseTable table(4, 3, &recorder);
  ASSERT_TRUE(table.TryAcquire(1, 0));
  ASSERT_TRUE(table.TryAcquire(3, 2));
  Command several(1, 1, {0, 1, 3});
  table.Submit(&several, 1);
  EXPECT_EQ(several.granted, 1);  // has 0, waits at 1
  for (WorkerId worker = 0; worker < 3; worker++) EXPECT_FALSE(table.HeldBy(0, worker));
  EXPECT_FALSE(table.TryAcquire(0, 1));
  table.Release(1, 0);            // hands 1 over; now it waits at 3
  EXPECT_EQ(several.granted, 2);
  EXPECT_TRUE(recorder.executed.empty());
  EXPECT_FALSE(table.HeldBy(1, 0));
  Command behind(2, 0, {0});
  table.Submit(&behind, 0);       // waits behind the waiting request
  EXPECT_TRUE(recorder.executed.empty());
  recorder.during = [&](Command* command, WorkerId self) {
    for (const ShardId shard : command->list) EXPECT_TRUE(table.HeldBy(shard, self));
  };
  table.Release(3, 2);            // completes the set: worker 2 executes, then serves shard 0
  EXPECT_TRUE(recorder.executed == (std::vector<std::pair<int, WorkerId>>{{1, 2}, {2, 2}}));
  EXPECT_EQ(table.counters(1).handed_over, 1u);
  EXPECT_EQ(table.counters(3).handed_over, 1u);
  ExpectAllIdle(&table);
}

TEST(lease_try_acquire_all_takes_all_or_nothing) {
  Recorder recorder;
  LeaseTable table(4, 2, &recorder);
  const ShardId set[] = {0, 2, 3};
  ASSERT_TRUE(table.TryAcquire(3, 1));
  EXPECT_FALSE(table.TryAcquireAll(set, 3, 0));
  EXPECT_FALSE(table.HeldBy(0, 0));
  table.Release(3, 1);
  EXPECT_TRUE(table.TryAcquireAll(set, 3, 0));
  for (const ShardId shard : set) EXPECT_TRUE(table.HeldBy(shard, 0));
  EXPECT_FALSE(table.HeldBy(1, 0));
  Command a(1, 1, {0}), b(2, 1, {3}), both(3, 1, {0, 3});
  for (Command* command : {&a, &b, &both}) table.Submit(command, 1);
  table.ReleaseAll(set, 3, 0);
  EXPECT_EQ(recorder.executed.size(), 3u);
  ExpectAllIdle(&table);
}

TEST(lease_release_all_has_one_batch_for_all) {
  Recorder recorder;
  LeaseTable table(3, 2, &recorder, 2);
  const ShardId set[] = {0, 1, 2};
  ASSERT_TRUE(table.TryAcquireAll(set, 3, 0));
  std::deque<Command> commands;
  for (int i = 0; i < 6; i++) {
    commands.emplace_back(i, 1, std::initializer_list<ShardId>{static_cast<ShardId>(i % 3)});
    table.Submit(&commands.back(), 1);
  }
  table.ReleaseAll(set, 3, 0);
  EXPECT_EQ(recorder.executed.size(), 2u);
  EXPECT_EQ(recorder.rung.size(), 2u);
  for (const auto& [shard, worker] : std::vector(recorder.rung)) table.Poll(shard, worker);
  EXPECT_EQ(recorder.executed.size(), 6u);
  ExpectAllIdle(&table);
}

TEST(lease_executor_may_free_the_request) {
  Recorder recorder;
  LeaseTable table(3, 2, &recorder);
  recorder.during = [](Command* command, WorkerId) { delete command; };
  ASSERT_TRUE(table.TryAcquire(0, 0));
  table.Submit(new Command(1, 1, {0}), 1);
  table.Submit(new Command(2, 1, {0, 1, 2}), 1);
  table.Submit(new Command(3, 1, {0}), 1);
  table.Release(0, 0);
  table.Submit(new Command(4, 1, {1, 2}), 1);
  EXPECT_TRUE(recorder.Ids() == (std::vector<int>{1, 2, 3, 4}));
  ExpectAllIdle(&table);
}

TEST(lease_long_chains_do_not_grow_the_stack) {
  Recorder recorder;
  constexpr int kCommands = 20000;
  LeaseTable table(4, 2, &recorder, kCommands);
  uintptr_t lowest = UINTPTR_MAX, highest = 0;
  recorder.during = [&](Command*, WorkerId) {
    const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    lowest = here < lowest ? here : lowest;
    highest = here > highest ? here : highest;
  };
  ASSERT_TRUE(table.TryAcquire(0, 0));
  std::deque<Command> commands;
  for (int i = 0; i < kCommands; i++) {
    const auto last = static_cast<ShardId>(1 + i % 3);
    commands.emplace_back(i, 1, std::initializer_list<ShardId>{0, last});
    table.Submit(&commands.back(), 1);
  }
  table.Release(0, 0);
  EXPECT_EQ(recorder.executed.size(), static_cast<size_t>(kCommands));
  EXPECT_LT(highest - lowest, 1024u);
  ExpectAllIdle(&table);
}

/// All workers at random, one call at a time: everything executed once, in order, nothing left.
TEST(lease_random_calls_execute_all_in_order) {
  Random random(test::Seed());
  constexpr WorkerId kWorkers = 5;
  constexpr ShardId kShards = 4;
  for (int round = 0; round < 200; round++) {
    Recorder recorder;
    const int batch = 1 + static_cast<int>(random.Below(4));
    LeaseTable table(kShards, kWorkers, &recorder, batch);
    std::map<std::pair<WorkerId, ShardId>, int> last;  // of single-shard commands
    recorder.during = [&](Command* command, WorkerId self) {
      for (const ShardId shard : command->list) EXPECT_TRUE(table.HeldBy(shard, self));
      if (command->list.size() > 1) return;
      int& previous = last[{command->origin, command->list[0]}];
      EXPECT_LT(previous, command->id);
      previous = command->id;
    };
    std::deque<Command> commands;
    std::vector<std::pair<ShardId, WorkerId>> held;
    for (int id = 1; id <= 60; id++) {
      const auto worker = static_cast<WorkerId>(random.Below(kWorkers));
      const auto shard = static_cast<ShardId>(random.Below(kShards));
      if (random.Below(3) == 0 && table.TryAcquire(shard, worker)) held.emplace_back(shard, worker);
      commands.emplace_back(id, worker, std::initializer_list<ShardId>{});
      std::vector<ShardId>& list = commands.back().list;
      for (ShardId s = 0; s < kShards; s++) {
        if (s == shard || random.Below(6) == 0) list.push_back(s);
      }
      commands.back().shards = list.data();
      commands.back().shard_count = static_cast<uint16_t>(list.size());
      table.Submit(&commands.back(), worker);
      if (!held.empty() && random.Below(2) == 0) {
        const size_t which = random.Below(held.size());
        const auto [held_shard, holder] = held[which];
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
        table.Release(held_shard, holder);
      }
    }
    for (const auto& [shard, worker] : held) table.Release(shard, worker);
    for (size_t i = 0; i < recorder.rung.size(); i++) {
      const auto [shard, worker] = recorder.rung[i];
      table.Poll(shard, worker);
    }
    EXPECT_EQ(recorder.executed.size(), commands.size());
    std::map<int, int> times;
    for (const int id : recorder.Ids()) times[id]++;
    EXPECT_EQ(times.size(), commands.size());
    ExpectAllIdle(&table);
  }
}

// ---- Programmer's errors end the process ----

/// True if `body` ends a child process by SIGABRT.
template <class Body>
bool Aborts(Body&& body) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    close(STDERR_FILENO);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(lease_release_of_anothers_lease_aborts) {
  Recorder recorder;
  LeaseTable table(1, 2, &recorder);
  ASSERT_TRUE(table.TryAcquire(0, 0));
  EXPECT_TRUE(Aborts([&] { table.Release(0, 1); }));
  EXPECT_FALSE(Aborts([&] { table.Release(0, 0); }));
}

TEST(lease_submit_of_unordered_shards_aborts) {
  Recorder recorder;
  LeaseTable table(3, 1, &recorder);
  Command twice(1, 0, {1, 1}), descending(2, 0, {2, 0}), beyond(3, 0, {3}), none(4, 0, {});
  for (Command* command : {&twice, &descending, &beyond, &none}) {
    EXPECT_TRUE(Aborts([&] { table.Submit(command, 0); }));
  }
}

TEST(lease_executor_that_calls_the_table_aborts) {
  Recorder recorder;
  LeaseTable table(2, 1, &recorder);
  Command outer(1, 0, {0}), inner(2, 0, {1});
  recorder.during = [&](Command* command, WorkerId self) {
    if (command == &outer) table.Submit(&inner, self);
  };
  EXPECT_TRUE(Aborts([&] { table.Submit(&outer, 0); }));
}

}  // namespace
}  // namespace sherd::shard
