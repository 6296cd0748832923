// SnapshotAccess: see the header.
#include "net/snapshot_access.h"

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

void SnapshotAccess::Enter() { server_->saver().Attach(); }
void SnapshotAccess::Leave() { server_->saver().Detach(); }
void SnapshotAccess::Acquire(uint16_t shard) { server_->saver().Acquire(shard); }
void SnapshotAccess::Release(uint16_t shard) { server_->saver().Release(shard); }
void SnapshotAccess::WithAll(const std::function<void()>& work) { server_->saver().WithAll(work); }

void SnapshotAccess::LetGo() {
  for (int worker = 0; worker < server_->engine().config().workers; worker++) {
    server_->Post(static_cast<engine::WorkerId>(worker), new LetGoNotice());
  }
}

}  // namespace sherd::net
