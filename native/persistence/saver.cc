// Saver: see the header.
#include "persistence/saver.h"

namespace sherd::persistence {

bool Saver::Begin() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (is_running_) return false;
  is_running_ = true;
  is_cancelled_ = false;
  return true;
}

void Saver::GiveUp() {
  const std::lock_guard<std::mutex> lock(mutex_);
  is_running_ = false;
}

SnapshotOutcome Saver::Run(const SnapshotOptions& options, const std::function<void()>& on_instant) {
  access_->Enter();
  SnapshotOutcome outcome;
  {
    Snapshot snapshot(engine_, access_, options);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      CHECK(is_running_);
      snapshot_ = &snapshot;
      if (is_cancelled_) snapshot.Cancel();
    }
    outcome = snapshot.Run(on_instant);
    const std::lock_guard<std::mutex> lock(mutex_);
    snapshot_ = nullptr;
  }
  access_->Leave();
  const std::lock_guard<std::mutex> lock(mutex_);
  is_running_ = false;
  return outcome;
}

void Saver::Cancel() {
  const std::lock_guard<std::mutex> lock(mutex_);
  is_cancelled_ = true;
  if (snapshot_ != nullptr) snapshot_->Cancel();
}

Saver::Progress Saver::progress() {
  const std::lock_guard<std::mutex> lock(mutex_);
  Progress progress;
  progress.is_running = is_running_;
  if (snapshot_ == nullptr) return progress;
  progress.keys_done = snapshot_->keys_done();
  progress.keys_total = snapshot_->keys_total();
  progress.bytes_written = snapshot_->bytes_written();
  return progress;
}

}  // namespace sherd::persistence
