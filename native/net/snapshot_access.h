// SnapshotAccess of a server: its lease guest for snapshots, and a word to all workers when commands that a
// snapshot has held back may look again.
//
// Thread: the one between Enter and Leave.
#pragma once

#include <functional>

#include "engine/snapshot_hook.h"
#include "net/server.h"

namespace sherd::net {

class SnapshotAccess final : public engine::SnapshotAccess {
 public:
  explicit SnapshotAccess(Server* server) : server_(server) {}

  void Enter() override;
  void Leave() override;
  void Acquire(uint16_t shard) override;
  void Release(uint16_t shard) override;
  void WithAll(const std::function<void()>& work) override;
  void LetGo() override;

 private:
  Server* const server_;
};

}  // namespace sherd::net
