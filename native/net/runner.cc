// Runner: see the header.
#include "net/runner.h"

#include <poll.h>

#include "net/server.h"

namespace sherd::net {

Runner::Runner(Server* server, engine::WorkerId id) : server_(server), id_(id) {
  state_.post_office = server;
  state_.worker = id;
  state_.counters = &server->engine().worker_counters(id);
}

Runner::~Runner() {
  if (!thread_.joinable()) return;
  is_stopping_.store(true, std::memory_order_release);
  bell_.Ring();
  thread_.join();
}

void Runner::Run(QueuedRequest* request) {
  std::call_once(started_, [this] { thread_ = std::thread([this] { Loop(); }); });
  inbox_.Push(request);
  bell_.Ring();
}

void Runner::Loop() {
  engine::SetThisThread(&state_);
  while (!is_stopping_.load(std::memory_order_acquire)) {
    TakeRequests();
    const auto has_work = [this] { return !inbox_.empty() || is_stopping_.load(std::memory_order_relaxed); };
    if (!bell_.PrepareToSleep(has_work)) continue;
    pollfd wait{bell_.fd(), POLLIN, 0};
    poll(&wait, 1, -1);
    bell_.Awake();
    bell_.Drain();
  }
}

void Runner::TakeRequests() {
  ring::InboxNode* node = inbox_.TakeAll();
  while (node != nullptr) {
    ring::InboxNode* next = node->next_in_inbox;
    QueuedRequest* request = static_cast<QueuedRequest*>(static_cast<engine::Message*>(node));
    if (request->outcome == QueuedRequest::Outcome::kGranted) {
      server_->leases().RunGranted(request, id_);
    } else {
      server_->leases().Submit(request, id_);
    }
    node = next;
  }
}

}  // namespace sherd::net
