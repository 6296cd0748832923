// SaverPace: rests in proportion to its work while commands are executed, and never without them.
#include "persistence/saver_pace.h"

#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/clock.h"
#include "command_table/command_table.h"
#include "test/test.h"

namespace sherd::persistence {
namespace {

struct Rig {
  Rig() {
    engine::EngineConfig config;
    config.workers = 2;
    config.shards = 4;
    const engine::CounterLayout layout{2, 4, 16, AllCommands().size()};
    const size_t size = (layout.total_bytes() + 63) / 64 * 64;
    memory.reset(static_cast<std::byte*>(std::aligned_alloc(64, size)));
    std::memset(memory.get(), 0, size);
    config.counter_memory = memory.get();
    engine = std::make_unique<engine::Engine>(config);
  }

  struct Freer {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<std::byte, Freer> memory;
  std::unique_ptr<engine::Engine> engine;
};

struct Seen {
  int64_t rested_ns = 0;
  int rests = 0;
  int with_clients = 0;
};

/// Works for so long in pieces of 50 µs; a worker executes something between two of them if there are clients.
Seen Work(Rig& rig, bool is_on, bool has_clients, int64_t work_ns) {
  SaverPace pace(*rig.engine, is_on);
  pace.Begin();
  Seen seen;
  const int64_t until_ns = Clock::ThreadCpuNs() + work_ns;
  while (Clock::ThreadCpuNs() < until_ns) {
    const int64_t piece_ns = Clock::ThreadCpuNs() + 50'000;
    while (Clock::ThreadCpuNs() < piece_ns) {
    }
    if (has_clients) rig.engine->worker_counters(1).commands_processed.Increment();
    const int64_t before_ns = Clock::MonotonicNs();
    if (pace.GiveWay()) {
      seen.rests++;
      seen.rested_ns += Clock::MonotonicNs() - before_ns;
    }
    if (pace.has_clients()) seen.with_clients++;
  }
  return seen;
}

constexpr int64_t kMs = 1'000'000;

TEST(saver_pace_rests_in_proportion_while_there_are_clients) {
  Rig rig;
  const Seen seen = Work(rig, true, true, 20 * kMs);
  EXPECT_TRUE(seen.rests >= 5);
  // What a rest was too long is taken off the next; on a busy machine single ones may last.
  EXPECT_TRUE(seen.rested_ns >= 11 * kMs);
  EXPECT_TRUE(seen.with_clients > 0);
}

TEST(saver_pace_does_not_rest_without_clients) {
  Rig rig;
  rig.engine->worker_counters(0).commands_processed.Add(1000);  // long ago
  const Seen seen = Work(rig, true, false, 20 * kMs);
  EXPECT_EQ(seen.rests, 0);
  EXPECT_EQ(seen.with_clients, 0);
}

TEST(saver_pace_does_not_rest_where_it_is_off) {
  Rig rig;
  const Seen seen = Work(rig, false, true, 5 * kMs);
  EXPECT_EQ(seen.rests, 0);
  EXPECT_EQ(seen.with_clients, 0);
}

}  // namespace
}  // namespace sherd::persistence
