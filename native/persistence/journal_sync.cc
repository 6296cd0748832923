// Journal: when the file is written and synced, and what happens when that fails.

#include <cerrno>
#include <chrono>
#include <thread>

#include "base/check.h"
#include "base/clock.h"
#include "persistence/journal.h"

namespace sherd::persistence {

namespace {

constexpr int64_t kMs = 1'000'000;
// Writes resume this soon after the disk works again, at the latest.
constexpr int64_t kRetryMs = 100;
// everysec: what was written is on disk within a second, the time of the sync included. So the next one begins
// a little early, and earlier the longer they take.
constexpr int64_t kSyncEveryMs = 900;
constexpr int64_t kSyncEveryMinMs = 500;
// As Redis: a sync that writes had to go on beside for so long counts as delayed.
constexpr int64_t kDelayedMs = 2000;

}  // namespace

/// One round: take, write, sync, tell. True if anything moved.
bool Journal::Step() {
  bool did_something = TakeSyncResult();
  if (WaitForOthers()) return true;
  did_something = Merge() || did_something;
  const bool has_failed = (write_error_ | sync_error_) != 0;
  if (!has_failed || Clock::MonotonicNs() >= retry_at_ns_) {
    did_something = WriteAndSync() || did_something;
  }
  Publish();
  return did_something;
}

/// Waits a moment for more units that the next sync could cover (group_commit.h). True if it did.
bool Journal::WaitForOthers() {
  const bool syncs_each = policy_.load(std::memory_order_relaxed) == AppendFsync::kAlways &&
                          !holds_sync_.load(std::memory_order_relaxed);
  const bool is_asked_for = wanted_sync_ > durable_seq_ || cut_seq_.load(std::memory_order_relaxed) != UINT64_MAX;
  if (!syncs_each || is_asked_for || state_ != FileState::kWriting || (write_error_ | sync_error_) != 0) return false;
  const uint64_t waiting = last_seq_.load(std::memory_order_relaxed) - durable_seq_;
  const int64_t wait_ns = waiting == 0 ? 0 : group_.WaitNs(Clock::MonotonicNs(), waiting);
  if (wait_ns > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(wait_ns));
  return wait_ns > 0;
}

/// Everything written must be synced before anything else happens.
bool Journal::MustSyncNow() const {
  if (wanted_sync_ > durable_seq_) return true;
  return policy_.load(std::memory_order_relaxed) == AppendFsync::kAlways &&
         !holds_sync_.load(std::memory_order_relaxed);
}

bool Journal::WriteAndSync() {
  const bool had_failed = (write_error_ | sync_error_) != 0;
  if (sync_error_ != 0) {
    // A failed sync may have dropped what it did not write, and the next one would say that all is well.
    if (const int error = file_->WriteAgain()) {
      SetError(error, true);
      return false;
    }
  }
  const uint64_t written = file_->written();
  if (!WritePending()) return false;
  bool did_something = file_->written() != written;
  if (file_->synced() == file_->written()) {
    durable_seq_ = written_seq_;
  } else if (MustSyncNow() || sync_error_ != 0) {
    if (const int error = SyncNow()) {
      SetError(error, true);
      return false;
    }
    did_something = true;
  } else if (wanted_beside_ > durable_seq_) {
    StartSync();
  } else if (policy_.load(std::memory_order_relaxed) == AppendFsync::kEverySec &&
             !holds_sync_.load(std::memory_order_relaxed) && Clock::MonotonicNs() >= next_sync_ns_) {
    StartSync();
  }
  if (had_failed) {
    write_error_ = sync_error_ = 0;
    engine_.durability.error.store(0, std::memory_order_relaxed);
    is_failing_.store(false, std::memory_order_relaxed);
  }
  return did_something;
}

bool Journal::WritePending() {
  if (file_->pending_bytes() == 0) return true;
  const AppendFsync policy = policy_.load(std::memory_order_relaxed);
  const AofFile::Keep keep = policy == AppendFsync::kAlways     ? AofFile::Keep::kAll
                             : policy == AppendFsync::kEverySec ? AofFile::Keep::kSome
                                                                : AofFile::Keep::kNone;
  if (const int error = file_->Write(keep)) {
    SetError(error, false);
    return false;
  }
  write_error_ = 0;
  written_seq_ = merged_seq_;
  const std::lock_guard<std::mutex> lock(sync_mutex_);
  if (job_.disk != nullptr && !job_.is_done && !job_.counted_as_delayed &&
      Clock::MonotonicNs() - job_.started_ns >= kDelayedMs * kMs) {
    job_.counted_as_delayed = true;
    delayed_syncs_++;
  }
  return true;
}

void Journal::SetError(int error, bool is_sync) {
  (is_sync ? sync_error_ : write_error_) = error;
  engine_.durability.error.store(error, std::memory_order_relaxed);
  is_failing_.store(true, std::memory_order_relaxed);
  retry_at_ns_ = Clock::MonotonicNs() + kRetryMs * kMs;
  new_error_ = error;
}

/// Moves what replies wait for.
void Journal::Publish() {
  // Without always, and with syncs held back (no-appendfsync-on-rewrite), a write is all that is promised: it outlives
  // this process, though not the machine. As in Redis.
  const bool is_always = policy_.load(std::memory_order_relaxed) == AppendFsync::kAlways;
  const bool is_without_sync = holds_sync_.load(std::memory_order_relaxed) && (write_error_ | sync_error_) == 0;
  const bool is_written_enough = !is_always || is_without_sync;
  const uint64_t seq = is_written_enough ? written_seq_ : durable_seq_;
  if (seq <= published_seq_) return;
  published_seq_ = seq;
  // release: pairs with the acquire of workers who let replies go.
  engine_.durability.acknowledged.store(seq, std::memory_order_release);
  if (engine_.durability.holds_replies.load(std::memory_order_relaxed)) on_acknowledged_();
}

// ---- Syncs ----

int Journal::SyncNow() {
  WaitForSync();
  const int64_t started_ns = Clock::MonotonicNs();
  sync_started_ms_.store(Clock::WallMs(), std::memory_order_relaxed);
  const int error = file_->Sync();
  sync_started_ms_.store(0, std::memory_order_relaxed);
  if (error != 0) return error;
  const int64_t now_ns = Clock::MonotonicNs();
  group_.EndSync(now_ns, now_ns - started_ns, written_seq_ - durable_seq_,
                 last_seq_.load(std::memory_order_relaxed) - written_seq_);
  durable_seq_ = written_seq_;
  next_sync_ns_ = now_ns + kSyncEveryMs * kMs;
  return 0;
}

/// Everything so far is synced, and replies go out meanwhile. Any thread.
int Journal::SyncBeside() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (state_ != FileState::kWriting) return EBADF;
  const uint64_t target = last_seq_.load(std::memory_order_relaxed);
  if (target > beside_target_) beside_target_ = target;
  const uint64_t failures = failures_;
  bell_.Ring();
  changed_.wait(lock, [&] { return synced_target_ >= target || failures_ != failures || state_ == FileState::kOff; });
  return synced_target_ >= target ? 0 : last_error_;
}

/// Begins a sync beside this thread, unless one is under way.
void Journal::StartSync() {
  const std::lock_guard<std::mutex> lock(sync_mutex_);
  if (job_.disk != nullptr) return;
  job_ = {};
  job_.disk = file_->disk();
  job_.covered = file_->written();
  job_.seq = written_seq_;
  job_.started_ns = Clock::MonotonicNs();
  sync_started_ms_.store(Clock::WallMs(), std::memory_order_relaxed);
  sync_changed_.notify_all();
}

/// The end of a sync beside this thread. True if there was one.
bool Journal::TakeSyncResult() {
  SyncJob job;
  {
    const std::lock_guard<std::mutex> lock(sync_mutex_);
    if (job_.disk == nullptr || !job_.is_done) return false;
    job = job_;
    job_ = {};
  }
  sync_started_ms_.store(0, std::memory_order_relaxed);
  if (job.error != 0) {
    SetError(job.error, true);
    return true;
  }
  file_->EndSync(job.covered);
  if (job.seq > durable_seq_) durable_seq_ = job.seq;
  const int64_t took_ns = Clock::MonotonicNs() - job.started_ns;
  const int64_t every_ns = kSyncEveryMs * kMs - took_ns;
  next_sync_ns_ = job.started_ns + (every_ns > kSyncEveryMinMs * kMs ? every_ns : kSyncEveryMinMs * kMs);
  return true;
}

/// Until no sync is under way beside this thread.
void Journal::WaitForSync() {
  {
    std::unique_lock<std::mutex> lock(sync_mutex_);
    if (job_.disk == nullptr) return;
    sync_changed_.wait(lock, [this] { return job_.is_done; });
  }
  if (file_ != nullptr) TakeSyncResult();
}

void Journal::SyncLoop() {
  std::unique_lock<std::mutex> lock(sync_mutex_);
  for (;;) {
    sync_changed_.wait(lock, [this] {
      return is_sync_thread_stopping_ || (job_.disk != nullptr && !job_.is_done);
    });
    if (job_.disk == nullptr || job_.is_done) return;
    DiskFile* disk = job_.disk;
    lock.unlock();
    const int error = disk->Sync();
    lock.lock();
    job_.error = error;
    job_.is_done = true;
    sync_changed_.notify_all();
    bell_.Ring();
  }
}

}  // namespace sherd::persistence
