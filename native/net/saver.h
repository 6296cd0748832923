// Saver: a server's snapshots: takes the lease guest of that name into shards for persistence/snapshot.h.
//
// Threads: Run blocks and is for a thread of its own, one at a time; the others from any.
#pragma once

#include <functional>
#include <mutex>

#include "net/server.h"
#include "persistence/snapshot.h"

namespace sherd::net {

class Saver final : private persistence::SnapshotAccess {
 public:
  explicit Saver(Server* server) : server_(server) {}
  Saver(const Saver&) = delete;
  Saver& operator=(const Saver&) = delete;

  struct Progress {
    bool is_running = false;
    uint64_t keys_done = 0;
    uint64_t keys_total = 0;
    uint64_t bytes_written = 0;
  };

  /// Claims the saver for a snapshot that Run will make. False: there is one already.
  bool Begin();
  /// Makes the snapshot, after Begin. `on_instant` is called on this thread.
  persistence::SnapshotOutcome Run(const persistence::SnapshotOptions& options,
                                   const std::function<void()>& on_instant);
  /// Of the one that was begun last, if any; also one that Run has not got to yet.
  void Cancel();
  Progress progress();

 private:
  // ---- SnapshotAccess ----
  void Acquire(engine::ShardId shard) override;
  void Release(engine::ShardId shard) override;
  void WithAll(const std::function<void()>& work) override;
  void LetGo() override;

  Server* const server_;
  std::mutex mutex_;  // guards what is below; never taken under a lease
  bool is_running_ = false;
  bool is_cancelled_ = false;
  persistence::Snapshot* snapshot_ = nullptr;
};

}  // namespace sherd::net
