// SnapshotHook: what a keyspace asks of a running snapshot (persistence/snapshot.h) before it changes something
// that the snapshot has not saved yet.
//
//   entry.epoch == keyspace.epoch()   the snapshot has the entry, or it is younger than the snapshot's instant
//   entry.epoch != keyspace.epoch()   not saved yet, if a snapshot runs here (snapshot() != nullptr)
//
// The keyspace compares the two bytes on every change and calls only where they differ, so that entries which
// have been saved, and servers without a snapshot, pay one comparison with a byte of a line that they need
// anyway. `db` is always the database's number at the instant (Database::db_at_instant).
//
// SnapshotAccess is the other direction: what a snapshot needs of the server around it.
//
// Thread: whoever holds the lease of the keyspace's shard.
#pragma once

#include <cstdint>
#include <functional>

#include "engine/entry.h"

namespace sherd::engine {

struct Database;
struct Key;

class SnapshotHook {
 public:
  /// `entry`, not saved yet, is about to be changed in place or moved elsewhere: it is saved before this returns.
  /// The keyspace stamps it then.
  virtual void Save(uint16_t shard, int db, Entry* entry) = 0;
  /// `entry`, not saved yet, has been taken out of its table and would now be freed. True: the snapshot keeps it,
  /// and gives it back through Keyspace::Retire when it has been saved. False: it has been saved.
  virtual bool Retire(uint16_t shard, int db, Entry* entry) = 0;
  /// `database` is about to be emptied. True: the snapshot has taken all entries with their table, to be given back
  /// through Keyspace::RetireTable, and `database.table` is empty. False: nothing there is needed any more.
  virtual bool TakeTable(uint16_t shard, Database& database) = 0;
  /// Whether `entry`, not saved yet, is so big that saving it at once would hold everybody up.
  virtual bool IsBig(const Entry& entry) const = 0;
  /// Somebody has been postponed until the entry of this key, of the database that has this number now, is saved:
  /// it is the next one.
  virtual void Want(uint16_t shard, int db, const Key& key) = 0;

 protected:
  ~SnapshotHook() = default;
};

/// The way into shards of the thread that writes a snapshot.
class SnapshotAccess {
 public:
  /// The calling thread is the one until Leave().
  virtual void Enter() = 0;
  virtual void Leave() = 0;
  virtual void Acquire(uint16_t shard) = 0;
  /// May execute what has queued meanwhile, on this thread.
  virtual void Release(uint16_t shard) = 0;
  /// Runs `work` while the leases of all shards are held.
  virtual void WithAll(const std::function<void()>& work) = 0;
  /// Commands that were held back may look again.
  virtual void LetGo() = 0;

 protected:
  ~SnapshotAccess() = default;
};

}  // namespace sherd::engine
