// Snapshot: a file with the dataset of one instant, written while every command goes on, without fork (R7).
//
// THE INSTANT. All leases are held for as long as it takes to add one to each keyspace's epoch: from then on every
// entry that is there differs from its keyspace in the epoch, and whatever is written later does not. What differs
// is not saved yet.
//
// SAVING. One thread, the saver, walks the tables bucket by bucket. It takes a shard's lease for a slice
// (kSliceNs or kSliceBytes, whichever comes first), appends the records of unsaved entries to a buffer and stamps
// them; the buffer is summed up and written to the file when the lease has been given back. A command that is about
// to change or free an entry which is not saved appends its record to the shard's side buffer first (Save, Retire),
// still under the lease; the saver writes side buffers out when it next has the shard, which is soon when they grow.
// Records of a database may stand anywhere in the file: each run of them is preceded by its SELECTDB.
//
//        epochs differ                    saver's slice, or a command that is about to change it
//      UNSAVED ------------------------------------------------------------------------------> SAVED
//         |  \                                                                                   ^
//         |   \ big: the saver freezes it, lets the lease go, writes it out       done           |
//         |    +--------------------------------------------------> FROZEN ----------------------+
//         |                                                            | erased
//         | erased, and big                                            v
//         +------------------------> KEPT: in no table, saved without a lease, then given back to be freed
//
// BIG VALUES (more than big_bytes) would hold everybody up if they were saved at once. They are saved after all
// small entries, so that nothing has to be kept for long while one of them is being written, and each like this:
// it is frozen, which means that nobody changes it or frees it until it is saved; so the saver needs no lease while
// it reads it (reading a value changes nothing in it, whoever reads), and hands the bytes over to the file piece by
// piece. Commands that would change a big unsaved value are held back at the gate (Engine::gate, Server::CheckGate)
// and tell us which one they wait for, so that it is next. What the gate cannot foresee (a served BLMOVE, EXEC after
// SELECT) comes to Save: there a big value is saved on the spot, and for a frozen one the thread waits until the
// saver is done with it, which needs no lease to get there. Erasing and replacing wait for nothing: the value is
// kept for us.
//
// FLUSHALL and FLUSHDB hand us the whole table, which is then walked without the lease, since nobody else knows it.
// SWAPDB exchanges pointers; Database::db_at_instant travels along.
//
// INVARIANTS
//   S1  Each entry of the instant is in the file exactly once, as it was in the instant.
//   S2  An entry whose epoch differs from its keyspace's, in a shard with snapshot() set, is only changed, moved or
//       freed after Save or Retire; the keyspace stamps it behind Save.
//   S3  Tables keep their buckets while they are walked (HashTable::KeepBuckets), so that entries move upwards only:
//       behind the walk there is nothing unsaved but big ones, whose names are noted.
//   S4  While Shard::frozen is set, that entry is neither changed nor freed, and stays where it is. It is set and
//       cleared under the lease.
//   S5  When a shard's hook is gone, nothing of it is unsaved, kept or in its side buffer, or the snapshot has been
//       cancelled.
//   S6  Epochs are eight bits. A snapshot that is done leaves every entry with the epoch of its keyspace; one that is
//       cancelled does not. After kCancelledMax of those in a row the next one begins with a sweep that stamps
//       everything and writes nothing, so that no entry's epoch is ever one that comes round again.
//
// Threads: Run on one thread, the saver; the hook's functions on whoever holds the shard's lease; Cancel and the
// counters on any. The object lives until Run has returned.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/snapshot_hook.h"
#include "persistence/saver_pace.h"
#include "persistence/snapshot_file.h"
#include "persistence/snapshot_records.h"

namespace sherd::persistence {

enum class JournalStep : uint8_t { kNone, kCut, kBegin };

struct SnapshotOptions {
  std::string path;
  SnapshotFormat format = SnapshotFormat::kRdb;
  uint32_t version = 11;
  bool compresses = true;
  bool has_checksum = true;
  bool syncs_on_the_way = true;
  std::vector<std::pair<std::string, std::string>> aux;
  int64_t key_delay_us = 0;
  JournalStep journal = JournalStep::kNone;
  bool gives_way = false;  // rests while commands are executed

  // Measures; tests make them small.
  int64_t slice_ns = 100'000;
  int64_t slice_with_clients_ns = 50'000;  // where it gives way to some
  size_t slice_bytes = 64 * 1024;
  size_t side_bytes = 64 * 1024;  // a side buffer of this size is written soon
  size_t big_bytes = 64 * 1024;   // an entry with a value above is big
};

struct SnapshotOutcome {
  bool is_cancelled = false;
  bool is_past_instant = false;  // and the journal has done what it was asked
  int error = 0;  // errno
  uint64_t keys = 0;
  uint64_t bytes = 0;
  uint32_t version = 0;  // 0 for commands
  uint64_t extra_bytes_peak = 0;
  // How long commands can have waited for it, in processor time of its thread: the machine's own delays are not in it.
  int64_t longest_stay_ns = 0;  // with the lease of one shard
  int64_t instant_ns = 0;       // with those of all
  uint64_t held_back = 0;  // commands that found a big value unsaved, counted each time they came
  uint64_t offset = 0;   // of the replication stream at the instant
};

class Snapshot final : private engine::SnapshotHook, private RdbSink {
 public:
  Snapshot(engine::Engine& engine, engine::SnapshotAccess* access, const SnapshotOptions& options);
  ~Snapshot();

  /// The whole of it. `on_instant` is called when the instant is over and the journal has done what it was asked.
  SnapshotOutcome Run(const std::function<void()>& on_instant);

  void Cancel() { is_cancelled_.store(true, std::memory_order_relaxed); }

  uint64_t keys_done() const { return keys_done_.load(std::memory_order_relaxed); }
  uint64_t keys_total() const { return keys_total_.load(std::memory_order_relaxed); }
  uint64_t bytes_written() const { return file_.bytes(); }

 private:
  /// A database as the walk sees it.
  struct Walk {
    engine::Database* database = nullptr;
    int db = 0;                             // at the instant
    std::unique_ptr<engine::Table> taken;   // it was flushed: this is what was in it
    size_t next_bucket = 0;
    bool is_done = false;                   // nothing of it is needed any more, or it has been given back
    std::vector<std::string> big_names;     // unsaved ones that the walk has passed by
    engine::Table& table() { return taken != nullptr ? *taken : database->table; }
  };
  /// An entry that was erased before it was saved.
  struct Kept {
    engine::Entry* entry;
    int db;
    size_t bytes;
  };
  struct alignas(64) Shard {
    // Under the lease.
    engine::Keyspace* space = nullptr;
    std::string side;        // records saved first
    int side_db = -1;        // the database that `side` has selected last
    std::vector<Walk> walks;
    std::deque<Kept> kept;
    engine::Entry* frozen = nullptr;
    bool is_frozen_kept = false;  // the frozen entry was erased: it is ours to give back
    // relaxed: says when it is time to look.
    std::atomic<size_t> side_size{0};
  };
  struct Wanted {
    uint16_t shard;
    int db;  // its present number
    std::string name;
  };

  // ---- SnapshotHook ----
  void Save(uint16_t shard, int db, engine::Entry* entry) override;
  bool Retire(uint16_t shard, int db, engine::Entry* entry) override;
  bool TakeTable(uint16_t shard, engine::Database& database) override;
  bool IsBig(const engine::Entry& entry) const override;
  void Want(uint16_t shard, int db, const engine::Key& key) override;

  // ---- RdbSink: the pieces of a big value ----
  bool Take(std::string* out) override;

  // ---- The saver ----
  void Sweep();
  void BeginShards();
  void Acquire(uint16_t index);
  void Release(uint16_t index);
  void Instant();
  void WriteFile(const std::function<void()>& on_instant);
  int WaitForJournal();
  bool Stops() const { return is_cancelled_.load(std::memory_order_relaxed) || file_.error() != 0; }
  void WalkShard(uint16_t index);
  bool Slice(uint16_t index, Walk* walk);
  bool SliceTable(Shard* shard, Walk* walk, uint64_t* keys);
  bool SaveOne(Shard* shard, Walk* walk, engine::Entry* entry);
  void SaveRest(uint16_t index);
  void SaveBigOnes(uint16_t index, Walk* walk);
  void SaveKept(uint16_t index);
  void SaveBig(uint16_t index, int db, engine::Entry* entry);
  void WriteFrozen();
  void SaveWanted();
  bool TakeWanted(Wanted* wanted);
  void DrainFullSides();
  void DrainSide(Shard* shard);
  bool FinishShard(uint16_t index);
  void EndShard(Shard* shard);
  void Abandon();
  void LetGo();
  void Flush();
  void EndFile();
  void GiveWay();
  void Rest(uint64_t keys);
  void CountSaved(uint64_t keys) { keys_done_.fetch_add(keys, std::memory_order_relaxed); }
  void AppendToSide(Shard* shard, int db, const engine::Entry& entry);
  void AddExtra(int64_t bytes);

  engine::Engine& engine_;
  engine::SnapshotAccess* const access_;
  const SnapshotOptions options_;
  uint32_t version_;
  SnapshotFile file_;
  std::unique_ptr<SnapshotRecords> records_;
  std::unique_ptr<Shard[]> shards_;

  // The saver's.
  SnapshotHead head_;
  std::string out_;         // what is to be written next
  int out_db_ = -1;         // the database selected at its end
  uint64_t offset_ = 0;
  int journal_error_ = 0;
  bool is_past_instant_ = false;
  int64_t stay_began_ns_ = 0;
  int64_t longest_stay_ns_ = 0;
  int64_t instant_ns_ = 0;
  bool is_sweep_ = false;
  bool holds_lease_ = false;  // where it matters: in WriteFrozen
  SaverPace pace_;
  engine::SnapshotJournal* journal_ = nullptr;
  std::thread::id saver_;
  engine::Entry* frozen_ = nullptr;  // the one being written, whoever has it

  // The frozen entry has been read to its end. release: pairs with the acquire of whoever waits for it in Save.
  std::atomic<uint32_t> is_frozen_done_{0};
  std::atomic<bool> is_frozen_awaited_{false};  // by a thread that can do nothing else

  std::mutex wanted_mutex_;
  std::deque<Wanted> wanted_;  // guarded by wanted_mutex_
  std::atomic<size_t> wanted_count_{0};
  std::atomic<uint64_t> held_back_{0};
  std::atomic<bool> is_awaited_{false};  // somebody has been held back since the last LetGo

  std::atomic<bool> is_cancelled_{false};
  std::atomic<uint64_t> keys_done_{0};
  std::atomic<uint64_t> keys_total_{0};
  std::atomic<int64_t> extra_bytes_{0};
  std::atomic<int64_t> extra_bytes_peak_{0};
};

}  // namespace sherd::persistence
