// Saver: see the header.
#include "net/saver.h"

#include "net/lease_guest.h"

namespace sherd::net {

namespace {

/// Tells a worker that what a snapshot held back may be tried again.
class LetGoNotice final : public engine::Message {
 public:
  void Deliver(engine::WorkerPort& port) override {
    port.LookAtPostponed();
    delete this;
  }
};

}  // namespace

bool Saver::Begin() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (is_running_) return false;
  is_running_ = true;
  is_cancelled_ = false;
  return true;
}

persistence::SnapshotOutcome Saver::Run(const persistence::SnapshotOptions& options,
                                        const std::function<void()>& on_instant) {
  LeaseGuest& guest = server_->saver();
  guest.Attach();
  persistence::SnapshotOutcome outcome;
  {
    persistence::Snapshot snapshot(server_->engine(), this, options);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      CHECK(is_running_);
      snapshot_ = &snapshot;
      if (is_cancelled_) snapshot.Cancel();
    }
    outcome = snapshot.Run(on_instant);
    const std::lock_guard<std::mutex> lock(mutex_);
    snapshot_ = nullptr;
    is_running_ = false;
  }
  guest.Detach();
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

// ---- SnapshotAccess ----

void Saver::Acquire(engine::ShardId shard) { server_->saver().Acquire(shard); }
void Saver::Release(engine::ShardId shard) { server_->saver().Release(shard); }
void Saver::WithAll(const std::function<void()>& work) { server_->saver().WithAll(work); }

void Saver::LetGo() {
  for (int worker = 0; worker < server_->engine().config().workers; worker++) {
    server_->Post(static_cast<engine::WorkerId>(worker), new LetGoNotice());
  }
}

}  // namespace sherd::net
