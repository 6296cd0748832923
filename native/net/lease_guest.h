// LeaseGuest: how a thread that is no worker gets into shards: the one that writes snapshots, the one that
// loads, the one that begins or ends the journal. To the lease table it is a worker with a number of its own
// behind the runner's.
//
// Two ways in. One shard at a time, for a short while: Acquire, work, Release; like any worker the guest
// then executes what has queued meanwhile. All shards at once, for an instant: WithAll, which queues fairly
// at each shard, as FLUSHALL does.
//
// Threads: one at a time may use a guest, whichever it is; it must call Attach() first. NoteGranted from any.
#pragma once

#include <atomic>
#include <functional>

#include "engine/thread_state.h"
#include "net/server.h"
#include "ring/doorbell.h"

namespace sherd::net {

class LeaseGuest {
 public:
  LeaseGuest(Server* server, engine::WorkerId id);
  LeaseGuest(const LeaseGuest&) = delete;
  LeaseGuest& operator=(const LeaseGuest&) = delete;

  engine::WorkerId id() const { return id_; }
  engine::ThreadState& thread() { return state_; }

  /// The calling thread is the guest until Detach().
  void Attach() { engine::SetThisThread(&state_); }
  void Detach() { engine::SetThisThread(nullptr); }

  /// Waits for the shard's lease: first awake, then in naps. Not fair: a shard whose queue never runs empty
  /// keeps the guest waiting, which nobody but a snapshot minds.
  void Acquire(engine::ShardId shard);
  bool TryAcquire(engine::ShardId shard) { return server_->leases().TryAcquire(shard, id_); }
  /// Executes what has queued meanwhile, a batch at most, and lets go.
  void Release(engine::ShardId shard) { server_->leases().Release(shard, id_); }

  /// Runs `work` while all leases are held, on the calling thread. They are taken in ascending order, each as
  /// soon as those before us at the shard are done.
  void WithAll(const std::function<void()>& work);

  // ---- Server ----
  /// The request of WithAll has all its leases; guest's thread.
  void Enter() {
    (*work_)();
    is_done_ = true;
  }
  /// The same, found by another thread.
  void NoteGranted();

 private:
  Server* const server_;
  const engine::WorkerId id_;
  engine::ThreadState state_;
  const std::function<void()>* work_ = nullptr;
  bool is_done_ = false;  // work_ has run; guest's thread
  std::atomic<bool> is_granted_{false};
  ring::Doorbell bell_;
};

}  // namespace sherd::net
