// GroupCommit against clients and a disk that are simulated.
#include "persistence/group_commit.h"

#include <algorithm>
#include <queue>
#include <vector>

#include "base/random.h"
#include "test/test.h"

namespace sherd::persistence {
namespace {

struct Outcome {
  double per_sync = 0;      // units
  double per_sec = 0;       // units
  double longest_ms = 0;    // from unit to acknowledgement
};

/// Clients that each wait for their unit and send the next one between `think_min_ns` and `think_max_ns` later.
Outcome Simulate(int clients, int64_t sync_ns, int64_t think_min_ns, int64_t think_max_ns, bool gathers) {
  Random random(test::Seed());
  GroupCommit group;
  constexpr int64_t kEndNs = 3'000'000'000;
  std::priority_queue<int64_t, std::vector<int64_t>, std::greater<>> arrivals;
  const auto next = [&](int64_t now_ns) {
    const auto range = static_cast<uint64_t>(think_max_ns - think_min_ns + 1);
    arrivals.push(now_ns + think_min_ns + static_cast<int64_t>(random.Below(range)));
  };
  for (int i = 0; i < clients; i++) next(0);
  std::vector<int64_t> waiting;
  const auto arrive = [&](int64_t now_ns) {
    for (; !arrivals.empty() && arrivals.top() <= now_ns; arrivals.pop()) waiting.push_back(arrivals.top());
  };
  Outcome outcome;
  double syncs = 0;
  double units = 0;
  int64_t now_ns = 0;
  while (now_ns < kEndNs) {
    arrive(now_ns);
    if (waiting.empty()) now_ns = arrivals.top();
    arrive(now_ns);
    const int64_t wait_ns = gathers ? group.WaitNs(now_ns, waiting.size()) : 0;
    if (wait_ns > 0) {
      now_ns += wait_ns;
      continue;
    }
    const std::vector<int64_t> covered = std::move(waiting);
    waiting.clear();
    now_ns += sync_ns;
    arrive(now_ns);
    for (const int64_t at_ns : covered) {
      outcome.longest_ms = std::max(outcome.longest_ms, static_cast<double>(now_ns - at_ns) / 1e6);
      next(now_ns);
    }
    group.EndSync(now_ns, sync_ns, covered.size(), waiting.size());
    syncs++;
    units += static_cast<double>(covered.size());
  }
  outcome.per_sync = units / syncs;
  outcome.per_sec = units / (static_cast<double>(now_ns) / 1e9);
  return outcome;
}

constexpr int64_t kUs = 1'000;
constexpr int64_t kMs = 1'000'000;

TEST(group_commit_clients_that_come_back_share_a_sync) {
  for (const int64_t sync_ns : {kMs / 2, 2 * kMs, 5 * kMs}) {
    const Outcome at_once = Simulate(50, sync_ns, 20 * kUs, sync_ns / 10, false);
    const Outcome gathered = Simulate(50, sync_ns, 20 * kUs, sync_ns / 10, true);
    EXPECT_TRUE(at_once.per_sync < 30);
    EXPECT_TRUE(gathered.per_sync > 45);
    EXPECT_TRUE(gathered.per_sec > at_once.per_sec * 1.5);
  }
}

TEST(group_commit_never_waits_where_nobody_comes_back) {
  // Clients that think for ten syncs, one client alone, a disk that needs no time.
  struct Case {
    int clients;
    int64_t sync_ns, think_ns;
  };
  for (const Case& one : {Case{50, 2 * kMs, 20 * kMs}, Case{1, 2 * kMs, 20 * kUs}, Case{50, 10 * kUs, 5 * kUs}}) {
    const Outcome at_once = Simulate(one.clients, one.sync_ns, one.think_ns, one.think_ns * 2, false);
    const Outcome gathered = Simulate(one.clients, one.sync_ns, one.think_ns, one.think_ns * 2, true);
    EXPECT_TRUE(gathered.per_sec > at_once.per_sec * 0.97);
    EXPECT_TRUE(gathered.longest_ms <= at_once.longest_ms + static_cast<double>(one.sync_ns) / 2 / 1e6);
  }
}

TEST(group_commit_is_bounded) {
  Random random(test::Seed());
  GroupCommit group;
  int64_t now_ns = 1;
  for (int i = 0; i < 20'000; i++) {
    const auto took_ns = static_cast<int64_t>(random.Below(20 * kMs));
    group.EndSync(now_ns, took_ns, random.Below(100), random.Below(100));
    int64_t waited_ns = 0;
    uint64_t waiting = 1 + random.Below(50);
    int looks = 0;
    while (const int64_t wait_ns = group.WaitNs(now_ns, waiting)) {
      EXPECT_TRUE(wait_ns > 0);
      waited_ns += wait_ns;
      now_ns += wait_ns;
      waiting += random.Below(3);
      looks++;
    }
    EXPECT_TRUE(waited_ns <= took_ns / 4);
    EXPECT_TRUE(looks <= 5);
    now_ns += static_cast<int64_t>(random.Below(kMs));
  }
}

}  // namespace
}  // namespace sherd::persistence
