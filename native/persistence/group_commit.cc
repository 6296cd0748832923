// GroupCommit: see the header.
#include "persistence/group_commit.h"

#include <algorithm>

namespace sherd::persistence {

namespace {

constexpr int64_t kSyncsPerWait = 4;
constexpr int64_t kWaitMaxNs = 2'000'000;
// A disk so fast that a thread can hardly sleep for less than its sync takes.
constexpr int64_t kWaitMinNs = 20'000;
// Looks at how many have come, in a wait.
constexpr int64_t kLooks = 4;
// One that is late is not worth the others' time.
constexpr uint64_t kLateShare = 16;
constexpr uint32_t kPauseMaxSyncs = 63;

}  // namespace

void GroupCommit::EndSync(int64_t now_ns, int64_t took_ns, uint64_t released, uint64_t waiting) {
  took_ns_ = took_ns;
  until_ns_ = started_ns_ = 0;
  target_ = released + waiting;
  if (pause_left_syncs_ > 0) {
    pause_left_syncs_--;
    return;
  }
  const int64_t wait_ns = std::min(took_ns / kSyncsPerWait, kWaitMaxNs);
  if (wait_ns >= kWaitMinNs) until_ns_ = now_ns + wait_ns;
}

int64_t GroupCommit::WaitNs(int64_t now_ns, uint64_t waiting) {
  if (until_ns_ == 0) return 0;
  if (started_ns_ == 0) {
    started_ns_ = now_ns;
    at_start_ = waiting;
  }
  if (now_ns >= until_ns_ || waiting >= target_ - target_ / kLateShare) {
    EndWait(now_ns, waiting);
    return 0;
  }
  return std::min(until_ns_ - now_ns, std::max(took_ns_ / kSyncsPerWait / kLooks, kWaitMinNs));
}

/// The group has grown by a share, and so has the time from sync to sync: which has grown more?
void GroupCommit::EndWait(int64_t now_ns, uint64_t waiting) {
  const auto gained = static_cast<double>(waiting - at_start_) / static_cast<double>(at_start_);
  const auto waited = static_cast<double>(now_ns - started_ns_) / static_cast<double>(took_ns_);
  pause_syncs_ = gained >= waited ? 0 : std::min(pause_syncs_ * 2 + 1, kPauseMaxSyncs);
  pause_left_syncs_ = pause_syncs_;
  until_ns_ = 0;
}

}  // namespace sherd::persistence
