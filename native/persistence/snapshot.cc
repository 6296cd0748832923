// Snapshot: the hook, and what it has in common with the saver. The saver is in snapshot_saver.cc; the protocol
// is told in the header.
#include "persistence/snapshot.h"

#include <algorithm>

#include "engine/value_ops.h"

namespace sherd::persistence {

using engine::Entry;

namespace {

// Elements to look at when a value's size is estimated.
constexpr size_t kSizeSamples = 5;

}  // namespace

Snapshot::Snapshot(engine::Engine& engine, engine::SnapshotAccess* access, const SnapshotOptions& options)
    : engine_(engine),
      access_(access),
      options_(options),
      version_(options.version),
      file_(options.has_checksum && options.format == SnapshotFormat::kRdb, options.syncs_on_the_way),
      shards_(new Shard[static_cast<size_t>(engine.shard_count())]),
      pace_(engine, options.gives_way) {
  for (int i = 0; i < engine.shard_count(); i++) {
    shards_[static_cast<size_t>(i)].space = &engine.keyspace(static_cast<engine::ShardId>(i));
  }
}

Snapshot::~Snapshot() {
  for (int i = 0; i < engine_.shard_count(); i++) {
    const Shard& shard = shards_[static_cast<size_t>(i)];
    CHECK(shard.kept.empty());
    CHECK(shard.space->snapshot() != this);
  }
}

// ---- The hook ----

void Snapshot::AppendToSide(Shard* shard, int db, const Entry& entry) {
  const size_t before = shard->side.size();
  if (shard->side_db != db) {
    records_->Select(db, &shard->side);
    shard->side_db = db;
  }
  records_->Record(entry, &shard->side);
  shard->side_size.store(shard->side.size(), std::memory_order_relaxed);
  AddExtra(static_cast<int64_t>(shard->side.size() - before));
  CountSaved(1);
}

void Snapshot::Save(uint16_t index, int db, Entry* entry) {
  if (is_sweep_) return;
  Shard& shard = shards_[index];
  if (shard.frozen != entry) {
    if (!Stops()) AppendToSide(&shard, db, *entry);
    return;
  }
  // The saver serves queues when it lets a lease go: then it is its own turn to write what it was about to.
  if (std::this_thread::get_id() == saver_) {
    holds_lease_ = true;
    WriteFrozen();
    holds_lease_ = false;
  }
  is_frozen_awaited_.store(true, std::memory_order_relaxed);
  // acquire: pairs with the release in WriteFrozen: its reads of the value come before our caller's changes.
  while (is_frozen_done_.load(std::memory_order_acquire) == 0) is_frozen_done_.wait(0, std::memory_order_acquire);
  shard.frozen = nullptr;  // it may move from now on
}

bool Snapshot::Retire(uint16_t index, int db, Entry* entry) {
  if (is_sweep_) return false;
  Shard& shard = shards_[index];
  if (shard.frozen == entry) {
    shard.is_frozen_kept = true;
    return true;
  }
  if (Stops()) return false;
  if (!IsBig(*entry)) {
    AppendToSide(&shard, db, *entry);
    return false;
  }
  const size_t bytes = shard.space->MemoryUsage(*entry, kSizeSamples);
  shard.kept.push_back({entry, db, bytes});
  AddExtra(static_cast<int64_t>(bytes));
  return true;
}

bool Snapshot::TakeTable(uint16_t index, engine::Database& database) {
  if (is_sweep_) return false;
  Shard& shard = shards_[index];
  for (Walk& walk : shard.walks) {
    if (walk.database != &database || walk.taken != nullptr || walk.is_done) continue;
    // Also when the snapshot stops: the frozen entry may be in there.
    AddExtra(static_cast<int64_t>(database.table.memory()));
    walk.taken = std::make_unique<engine::Table>(std::move(database.table));
    return true;
  }
  return false;
}

bool Snapshot::IsBig(const Entry& entry) const {
  if (is_sweep_) return false;
  if (entry.type() == engine::Type::kString) {
    return !entry.is_inline() && entry.encoding() != engine::Encoding::kInt && entry.large()->size > options_.big_bytes;
  }
  return engine::OpsOf(entry.type()).memory(entry.encoding(), entry.payload(), kSizeSamples) > options_.big_bytes;
}

void Snapshot::Want(uint16_t shard, int db, const engine::Key& key) {
  held_back_.fetch_add(1, std::memory_order_relaxed);
  is_awaited_.store(true, std::memory_order_relaxed);
  const std::lock_guard<std::mutex> lock(wanted_mutex_);
  const bool is_known = std::any_of(wanted_.begin(), wanted_.end(), [&](const Wanted& wanted) {
    return wanted.shard == shard && wanted.db == db && wanted.name == key.name;
  });
  if (is_known) return;
  wanted_.push_back({shard, db, std::string(key.name)});
  wanted_count_.store(wanted_.size(), std::memory_order_relaxed);
}

bool Snapshot::TakeWanted(Wanted* wanted) {
  // relaxed: who sees it late sees it a slice later.
  if (wanted_count_.load(std::memory_order_relaxed) == 0) return false;
  const std::lock_guard<std::mutex> lock(wanted_mutex_);
  if (wanted_.empty()) return false;
  *wanted = std::move(wanted_.front());
  wanted_.pop_front();
  wanted_count_.store(wanted_.size(), std::memory_order_relaxed);
  return true;
}

void Snapshot::AddExtra(int64_t bytes) {
  const int64_t now = extra_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  int64_t peak = extra_bytes_peak_.load(std::memory_order_relaxed);
  while (now > peak && !extra_bytes_peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

}  // namespace sherd::persistence
