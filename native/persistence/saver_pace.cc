// SaverPace: see the header.
#include "persistence/saver_pace.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/clock.h"

namespace sherd::persistence {

namespace {

constexpr int64_t kRestPercent = 75;  // of the work
// Shorter rests are gathered: the kernel's timers are not finer.
constexpr int64_t kRestMinNs = 100'000;
// Nobody gains by longer ones (a piece of a big value, a file system that is slow).
constexpr int64_t kRestMaxNs = 2'000'000;
// What a rest was too long is taken off the next, but work in one piece stays short.
constexpr int64_t kCreditMaxNs = 100'000;
constexpr int64_t kLookEveryNs = 1'000'000;

}  // namespace

void SaverPace::Begin() {
  if (!is_on_) return;
  cpu_ns_ = Clock::ThreadCpuNs();
  LookForClients(Clock::MonotonicNs());
  has_clients_ = false;  // all that was ever executed is no news
}

/// Whether a worker has executed anything since we looked last. What other threads execute comes from workers.
void SaverPace::LookForClients(int64_t now_ns) {
  uint64_t commands = 0;
  for (int worker = 0; worker < engine_.config().workers; worker++) {
    commands += engine_.worker_counters(static_cast<engine::WorkerId>(worker)).commands_processed.Get();
  }
  has_clients_ = commands != commands_seen_;
  commands_seen_ = commands;
  looked_at_ns_ = now_ns;
}

bool SaverPace::GiveWay() {
  if (!is_on_) {
    std::this_thread::yield();
    return false;
  }
  const int64_t now_ns = Clock::MonotonicNs();
  if (now_ns - looked_at_ns_ >= kLookEveryNs) LookForClients(now_ns);
  const int64_t cpu_ns = Clock::ThreadCpuNs();
  const int64_t worked_ns = cpu_ns - cpu_ns_;
  cpu_ns_ = cpu_ns;
  if (!has_clients_) {
    owed_ns_ = 0;
    return false;
  }
  owed_ns_ = std::min(owed_ns_ + worked_ns * kRestPercent / 100, kRestMaxNs);
  if (owed_ns_ < kRestMinNs) return false;
  std::this_thread::sleep_for(std::chrono::nanoseconds(owed_ns_));
  const int64_t slept_ns = Clock::MonotonicNs() - now_ns;
  owed_ns_ = std::max(owed_ns_ - slept_ns, -kCreditMaxNs);
  return true;
}

}  // namespace sherd::persistence
