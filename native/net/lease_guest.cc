// LeaseGuest: see the header.
#include "net/lease_guest.h"

#include <poll.h>

#include <chrono>
#include <thread>

#include "base/spin.h"

namespace sherd::net {

namespace {

// Commands hold a lease for about a microsecond; this many looks take some ten.
constexpr int kAwakeTries = 200;
constexpr std::chrono::microseconds kNap(20);

}  // namespace

LeaseGuest::LeaseGuest(Server* server, engine::WorkerId id) : server_(server), id_(id) {
  state_.post_office = server;
  state_.worker = id;
  state_.counters = &server->engine().worker_counters(id);
}

void LeaseGuest::Acquire(engine::ShardId shard) {
  for (;;) {
    for (int i = 0; i < kAwakeTries; i++) {
      if (TryAcquire(shard)) return;
      SpinPause();
    }
    std::this_thread::sleep_for(kNap);
  }
}

void LeaseGuest::WithAll(const std::function<void()>& work) {
  QueuedRequest request;
  request.phase = QueuedRequest::Phase::kGuest;
  request.origin = id_;
  request.runs_on = id_;
  for (int shard = 0; shard < server_->engine().shard_count(); shard++) {
    request.shard_list.push_back(static_cast<shard::ShardId>(shard));
  }
  request.shards = request.shard_list.data();
  request.shard_count = static_cast<uint16_t>(request.shard_list.size());
  work_ = &work;
  is_done_ = false;
  // relaxed: whoever sets it got the request through the lease table's release and acquire.
  is_granted_.store(false, std::memory_order_relaxed);
  server_->leases().Submit(&request, id_);
  while (!is_done_) {
    const auto has_work = [this] { return is_granted_.load(std::memory_order_acquire); };
    if (has_work()) {
      server_->leases().RunGranted(&request, id_);
      CHECK(is_done_);
      break;
    }
    if (!bell_.PrepareToSleep(has_work)) continue;
    pollfd wait{bell_.fd(), POLLIN, 0};
    poll(&wait, 1, -1);
    bell_.Awake();
    bell_.Drain();
  }
  work_ = nullptr;
}

void LeaseGuest::NoteGranted() {
  // release: pairs with the acquire in WithAll; the leases' memory comes with it.
  is_granted_.store(true, std::memory_order_release);
  bell_.Ring();
}

}  // namespace sherd::net
