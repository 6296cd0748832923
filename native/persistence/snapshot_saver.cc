// Snapshot: the saver's half, from the instant to the last fsync. The protocol is told in snapshot.h.
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/bytes.h"
#include "base/clock.h"
#include "engine/command_context.h"
#include "persistence/snapshot.h"

namespace sherd::persistence {

using engine::Entry;
using engine::Handle;
using engine::Table;

namespace {

// Of 255 epochs that differ from the present one (S6), with some to spare.
constexpr int kCancelledMax = 250;

}  // namespace

SnapshotOutcome Snapshot::Run(const std::function<void()>& on_instant) {
  saver_ = std::this_thread::get_id();
  SnapshotOutcome outcome;
  if (file_.Open(options_.path)) {
    if (engine_.unfinished_snapshots >= kCancelledMax) Sweep();
    pace_.Begin();
    WriteFile(on_instant);
    engine_.unfinished_snapshots = Stops() ? engine_.unfinished_snapshots + 1 : 0;
    if (!Stops()) EndFile();
  }
  outcome.error = file_.error() != 0 ? file_.error() : journal_error_;
  outcome.is_cancelled = outcome.error == 0 && is_cancelled_.load(std::memory_order_relaxed);
  outcome.is_past_instant = is_past_instant_;
  outcome.keys = keys_done();
  outcome.bytes = file_.bytes();
  outcome.version = options_.format == SnapshotFormat::kRdb ? version_ : 0;
  outcome.extra_bytes_peak = static_cast<uint64_t>(extra_bytes_peak_.load(std::memory_order_relaxed));
  outcome.longest_stay_ns = longest_stay_ns_;
  outcome.instant_ns = instant_ns_;
  outcome.held_back = held_back_.load(std::memory_order_relaxed);
  outcome.offset = offset_;
  return outcome;
}

// ---- Stays in shards ----

void Snapshot::Acquire(uint16_t index) {
  access_->Acquire(index);
  stay_began_ns_ = Clock::ThreadCpuNs();
}

void Snapshot::Release(uint16_t index) {
  longest_stay_ns_ = std::max(longest_stay_ns_, Clock::ThreadCpuNs() - stay_began_ns_);
  access_->Release(index);
}

// ---- The instant ----

/// All leases are held.
void Snapshot::BeginShards() {
  for (int i = 0; i < engine_.shard_count(); i++) {
    Shard& shard = shards_[static_cast<size_t>(i)];
    shard.walks.clear();
    for (int db = 0; db < engine_.database_count(); db++) {
      engine::Database& database = shard.space->db(db);
      if (database.table.size() == 0) continue;
      Walk& walk = shard.walks.emplace_back();
      walk.database = &database;
      walk.db = db;
    }
    shard.space->BeginSnapshot(this);
  }
}

/// Stamps every entry with the epoch of its keyspace, so that epochs of long ago may come round again.
void Snapshot::Sweep() {
  is_sweep_ = true;
  access_->WithAll([this] { BeginShards(); });
  for (int i = 0; i < engine_.shard_count(); i++) {
    const uint16_t index = static_cast<uint16_t>(i);
    Shard& shard = shards_[index];
    for (Walk& walk : shard.walks) {
      while (!Slice(index, &walk)) {
      }
    }
    Acquire(index);
    EndShard(&shard);
    Release(index);
  }
  is_sweep_ = false;
  engine_.unfinished_snapshots = 0;
}

/// All leases are held.
void Snapshot::Instant() {
  std::vector<SnapshotDatabase> databases(static_cast<size_t>(engine_.database_count()));
  bool has_field_expiries = false;
  uint64_t keys = 0;
  for (int i = 0; i < engine_.shard_count(); i++) {
    for (int db = 0; db < engine_.database_count(); db++) {
      const engine::Database& database = shards_[static_cast<size_t>(i)].space->db(db);
      databases[static_cast<size_t>(db)].db = db;
      databases[static_cast<size_t>(db)].keys += database.table.size();
      databases[static_cast<size_t>(db)].expires += database.expires;
      has_field_expiries = has_field_expiries || database.field_expires > 0;
      keys += database.table.size();
    }
  }
  std::erase_if(databases, [](const SnapshotDatabase& database) { return database.keys == 0; });
  head_.databases = std::move(databases);
  head_.aux = options_.aux;
  head_.function_libraries = engine_.function_libraries;
  if (has_field_expiries) version_ = kRdbVersionMax;
  keys_total_.store(keys, std::memory_order_relaxed);

  RecordOptions form;
  form.format = options_.format;
  form.version = version_;
  form.compresses = options_.compresses;
  form.maxmemory_policy = engine_.options().maxmemory_policy.Get();
  form.clock = engine::MakeAccessClock(engine_.options(), Clock::WallMs());
  records_ = MakeSnapshotRecords(form);

  BeginShards();
  // relaxed: whoever takes a lease from now on sees it.
  engine_.gate.fetch_or(engine::kGateSnapshot, std::memory_order_relaxed);
  if (options_.journal == JournalStep::kNone) return;
  journal_ = engine_.snapshot_journal;
  if (journal_ == nullptr) return;
  options_.journal == JournalStep::kCut ? journal_->Cut() : journal_->Begin();
}

int Snapshot::WaitForJournal() {
  if (journal_ == nullptr) return 0;
  const engine::CutResult cut = journal_->Wait();
  offset_ = cut.offset;
  return cut.error;
}

// ---- The walk ----

void Snapshot::WriteFile(const std::function<void()>& on_instant) {
  access_->WithAll([this] {
    const int64_t began_ns = Clock::ThreadCpuNs();
    Instant();
    instant_ns_ = Clock::ThreadCpuNs() - began_ns;
  });
  journal_error_ = WaitForJournal();
  if (journal_error_ != 0) Cancel();
  is_past_instant_ = journal_error_ == 0;
  if (is_past_instant_ && on_instant) on_instant();
  records_->FileHead(head_, &out_);
  if (!head_.databases.empty()) out_db_ = head_.databases.back().db;
  if (options_.format == SnapshotFormat::kAof) out_db_ = -1;
  Flush();
  const int shards = engine_.shard_count();
  for (int i = 0; i < shards && !Stops(); i++) WalkShard(static_cast<uint16_t>(i));
  // Nothing small is left, and hardly anything that a command would have to save.
  for (int i = 0; i < shards && !Stops(); i++) SaveRest(static_cast<uint16_t>(i));
  if (Stops()) Abandon();
  // relaxed: whoever sees it late finds nothing that holds him back.
  engine_.gate.fetch_and(~engine::kGateSnapshot, std::memory_order_relaxed);
  is_awaited_.store(true, std::memory_order_relaxed);
  LetGo();
}

/// Saves what is small, and ends the shard if that was all.
void Snapshot::WalkShard(uint16_t index) {
  Shard& shard = shards_[index];
  for (Walk& walk : shard.walks) {
    bool is_done = false;
    while (!is_done && !Stops()) {
      SaveWanted();
      DrainFullSides();
      is_done = Slice(index, &walk);
    }
  }
  if (!Stops()) FinishShard(index);
}

/// One stay in a shard. True: the table's end is reached.
bool Snapshot::Slice(uint16_t index, Walk* walk) {
  Shard& shard = shards_[index];
  uint64_t keys = 0;
  Acquire(index);
  DrainSide(&shard);
  const bool is_done = SliceTable(&shard, walk, &keys);
  if (is_done && walk->taken == nullptr && walk->big_names.empty()) walk->is_done = true;
  Release(index);
  CountSaved(is_sweep_ ? 0 : keys);
  // Short slices share a write.
  if (out_.size() >= options_.slice_bytes / 2) Flush();
  // Where a core is short, those who answer clients come first, and a thread that gives it up now is not
  // stopped in its next stay, under a lease.
  GiveWay();
  Rest(keys);
  return is_done;
}

bool Snapshot::SliceTable(Shard* shard, Walk* walk, uint64_t* keys) {
  const int64_t slice_ns = pace_.has_clients() ? options_.slice_with_clients_ns : options_.slice_ns;
  const int64_t until_ns = Clock::MonotonicNs() + slice_ns;
  Table& table = walk->table();
  while (walk->next_bucket < table.bucket_count()) {
    table.VisitBuckets(walk->next_bucket++, 1, [&](Handle handle) {
      if (SaveOne(shard, walk, handle.entry())) (*keys)++;
    });
    if (options_.key_delay_us != 0 && *keys > 0) break;
    if (out_.size() >= options_.slice_bytes || Clock::MonotonicNs() >= until_ns) break;
  }
  return walk->next_bucket >= table.bucket_count();
}

bool Snapshot::SaveOne(Shard* shard, Walk* walk, Entry* entry) {
  if (entry->epoch == shard->space->epoch()) return false;
  if (IsBig(*entry)) {
    walk->big_names.emplace_back(entry->key());
    return false;
  }
  if (!is_sweep_) {
    if (out_db_ != walk->db) records_->Select(walk->db, &out_);
    out_db_ = walk->db;
    records_->Record(*entry, &out_);
  }
  entry->epoch = shard->space->epoch();
  return true;
}

// ---- Big ones ----

/// Saves what is left of a shard after its walk.
void Snapshot::SaveRest(uint16_t index) {
  Shard& shard = shards_[index];
  if (shard.space->snapshot() == nullptr) return;  // only we end shards
  for (Walk& walk : shard.walks) SaveBigOnes(index, &walk);
  do {
    SaveKept(index);
  } while (!Stops() && !FinishShard(index));
}

void Snapshot::SaveBigOnes(uint16_t index, Walk* walk) {
  Shard& shard = shards_[index];
  // The names are ours alone: nobody walks any more.
  for (const std::string& name : walk->big_names) {
    if (Stops()) return;
    SaveWanted();
    DrainFullSides();
    Acquire(index);
    const Handle handle = walk->table().Find(engine::HashKey(name), name);
    if (handle && handle.entry()->epoch != shard.space->epoch()) {
      SaveBig(index, walk->db, handle.entry());
    } else {
      Release(index);
    }
  }
  walk->big_names.clear();
}

/// Saves what was erased. Nobody else knows these entries.
void Snapshot::SaveKept(uint16_t index) {
  Shard& shard = shards_[index];
  while (!Stops()) {
    DrainFullSides();
    Acquire(index);
    if (shard.kept.empty()) return Release(index);
    const Kept kept = shard.kept.front();
    shard.kept.pop_front();
    shard.is_frozen_kept = true;
    AddExtra(-static_cast<int64_t>(kept.bytes));
    SaveBig(index, kept.db, kept.entry);
  }
}

/// Saves a big entry. The shard's lease is held and will be given up.
void Snapshot::SaveBig(uint16_t index, int db, Entry* entry) {
  Shard& shard = shards_[index];
  DrainSide(&shard);
  if (out_db_ != db) records_->Select(db, &out_);
  out_db_ = db;
  records_->Head(*entry, &out_);
  is_frozen_done_.store(0, std::memory_order_relaxed);  // under the lease, as `frozen`
  is_frozen_awaited_.store(false, std::memory_order_relaxed);
  shard.frozen = entry;
  frozen_ = entry;
  Release(index);

  WriteFrozen();
  Flush();

  Acquire(index);
  // Else somebody has waited for it, and it may be anywhere by now.
  if (shard.frozen == entry) {
    shard.frozen = nullptr;
    if (shard.is_frozen_kept) {
      shard.space->Retire(entry);
    } else {
      entry->epoch = shard.space->epoch();
    }
  }
  shard.is_frozen_kept = false;
  Release(index);
  CountSaved(1);
  LetGo();
  Rest(1);
}

/// Writes the body of the frozen entry, unless that is done. No lease needed.
void Snapshot::WriteFrozen() {
  if (frozen_ == nullptr) return;
  records_->Body(*frozen_, &out_, this);
  frozen_ = nullptr;
  // release: pairs with the acquire in Save.
  is_frozen_done_.store(1, std::memory_order_release);
  is_frozen_done_.notify_all();
}

bool Snapshot::Take(std::string* out) {
  file_.Write(*out);
  out->clear();
  if (!holds_lease_) GiveWay();
  return !Stops();
}

void Snapshot::SaveWanted() {
  Wanted wanted;
  while (!Stops() && TakeWanted(&wanted)) {
    engine::Keyspace& space = *shards_[wanted.shard].space;
    Acquire(wanted.shard);
    const Handle handle = space.Find(wanted.db, engine_.MakeKey(wanted.name));
    if (handle && space.IsHeld(*handle.entry())) {
      SaveBig(wanted.shard, space.db(wanted.db).db_at_instant, handle.entry());
    } else {
      Release(wanted.shard);
      LetGo();
    }
  }
}

// ---- Side buffers, and the end ----

void Snapshot::DrainFullSides() {
  for (int i = 0; i < engine_.shard_count(); i++) {
    Shard& shard = shards_[static_cast<size_t>(i)];
    if (shard.side_size.load(std::memory_order_relaxed) < options_.side_bytes) continue;
    const engine::ShardId index = static_cast<engine::ShardId>(i);
    Acquire(index);
    DrainSide(&shard);
    Release(index);
    Flush();
  }
}

/// The shard's lease is held.
void Snapshot::DrainSide(Shard* shard) {
  if (shard->side.empty()) return;
  AddExtra(-static_cast<int64_t>(shard->side.size()));
  if (out_.empty()) {
    out_.swap(shard->side);
  } else {
    out_.append(shard->side);
    shard->side.clear();
  }
  out_db_ = shard->side_db;
  shard->side_db = -1;
  shard->side_size.store(0, std::memory_order_relaxed);
}

/// Ends a shard of which nothing is needed any more. False: something is.
bool Snapshot::FinishShard(uint16_t index) {
  Shard& shard = shards_[index];
  Acquire(index);
  const bool has_big = std::any_of(shard.walks.begin(), shard.walks.end(),
                                   [](const Walk& walk) { return !walk.big_names.empty(); });
  DrainSide(&shard);
  const bool is_done = shard.kept.empty() && !has_big;
  if (is_done) EndShard(&shard);
  Release(index);
  Flush();
  return is_done;
}

/// The shard's lease is held.
void Snapshot::EndShard(Shard* shard) {
  for (const Kept& kept : shard->kept) shard->space->Retire(kept.entry);
  shard->kept.clear();
  for (Walk& walk : shard->walks) {
    if (walk.taken != nullptr) shard->space->RetireTable(std::move(walk.taken));
    walk.is_done = true;
  }
  shard->side.clear();
  shard->side_size.store(0, std::memory_order_relaxed);
  shard->space->EndSnapshot();
}

void Snapshot::Abandon() {
  for (int i = 0; i < engine_.shard_count(); i++) {
    Shard& shard = shards_[static_cast<size_t>(i)];
    if (shard.space->snapshot() == nullptr) continue;
    const engine::ShardId index = static_cast<engine::ShardId>(i);
    Acquire(index);
    EndShard(&shard);
    Release(index);
  }
}

/// Rests behind work that was done, unless somebody waits for what is being done.
void Snapshot::GiveWay() {
  if (is_sweep_ || is_awaited_.load(std::memory_order_relaxed) || is_frozen_awaited_.load(std::memory_order_relaxed)) return;
  pace_.GiveWay();
}

void Snapshot::LetGo() {
  // relaxed: who was held back said so under the lease that we have had since.
  if (!is_awaited_.exchange(false, std::memory_order_relaxed)) return;
  // relaxed: who is told meets it in the message, and who comes home late compares it (Worker::PostponeRequest).
  engine_.snapshot_releases.fetch_add(1, std::memory_order_relaxed);
  access_->LetGo();
}

void Snapshot::Flush() {
  if (out_.empty()) return;
  file_.Write(out_);
  out_.clear();
  constexpr size_t kKeptMax = 1024 * 1024;
  if (out_.capacity() > kKeptMax) out_.shrink_to_fit();
}

void Snapshot::EndFile() {
  records_->FileEnd(&out_);
  Flush();
  if (records_->has_checksum()) {
    char checksum[8];
    StoreLittle64(checksum, file_.crc());
    file_.Write({checksum, sizeof checksum});
  }
  file_.Finish();
}

/// rdb-key-save-delay: microseconds for each key, or, below zero, one for so many keys.
void Snapshot::Rest(uint64_t keys) {
  if (options_.key_delay_us == 0 || is_sweep_) return;
  const int64_t count = static_cast<int64_t>(keys);
  int64_t left_us = options_.key_delay_us > 0 ? options_.key_delay_us * count : count / -options_.key_delay_us;
  constexpr int64_t kStepUs = 5000;
  while (left_us > 0 && !Stops() && wanted_count_.load(std::memory_order_relaxed) == 0) {
    const int64_t step_us = std::min(left_us, kStepUs);
    usleep(static_cast<useconds_t>(step_us));
    left_us -= step_us;
  }
}

}  // namespace sherd::persistence
