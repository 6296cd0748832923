// Saver: a server's snapshots, one at a time: who may start one, how it is cancelled, how far it is.
//
// Threads: Run blocks and is for a thread of its own; the others from any.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>

#include "persistence/snapshot.h"

namespace sherd::persistence {

class Saver {
 public:
  /// Both outlive the saver.
  Saver(engine::Engine& engine, engine::SnapshotAccess* access) : engine_(engine), access_(access) {}
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
  /// Instead of Run: there will be none.
  void GiveUp();
  /// Makes the snapshot, after Begin. `on_instant` is called on this thread.
  SnapshotOutcome Run(const SnapshotOptions& options, const std::function<void()>& on_instant);
  /// Of the one that was begun last, if any; also one that Run has not got to yet.
  void Cancel();
  Progress progress();

 private:
  engine::Engine& engine_;
  engine::SnapshotAccess* const access_;
  std::mutex mutex_;  // guards what is below; never taken under a lease
  bool is_running_ = false;
  bool is_cancelled_ = false;
  Snapshot* snapshot_ = nullptr;
};

}  // namespace sherd::persistence
