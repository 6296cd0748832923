// Keyspace: all data of one shard: its allocator, its databases, its expiry and its deferred frees.
//
// This is the single-threaded heart that R1 promises: plain code, no atomics (but for counters that the
// control plane reads), entered only by the holder of the shard's lease. Commands reach it through
// CommandContext, which adds what a command means for clients (hits and misses, events, propagation).
//
// Invariants:
//   1. every entry of a table has its mark bit set iff it has an expiry or is a hash with fields that
//      have one (so that expiry cycles find what may expire without touching the rest);
//   2. db(i).expires == number of entries of db(i) with an expiry; db(i).field_expires == number of
//      entries with fields that expire;
//   3. heap().used_bytes() == bytes of all entries, values and tables, tracked keys and deferred frees
//      included.
//
//   4. while a snapshot runs, no entry whose epoch differs from the keyspace's is changed, moved or freed
//      before the snapshot has had its say (see engine/snapshot_hook.h).
//
// Handles (Table::Position) are valid until the next insert or erase in the same table; functions that
// may move an entry take the handle by reference or return a new one.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/numbers.h"
#include "base/slab_heap.h"
#include "ds/hash_table.h"
#include "engine/counters.h"
#include "engine/entry.h"
#include "engine/interests.h"
#include "engine/snapshot_hook.h"
#include "engine/tracking_table.h"

namespace sherd::engine {

using ShardId = uint16_t;

/// Seeds the hash of all tables; once, before the first keyspace exists.
void SeedKeyHash(const uint8_t seed[16]);
/// SipHash-1-3 of a key with the process's seed.
uint64_t HashKey(std::string_view key);

struct EntryPolicy {
  using Entry = engine::Entry;
  using Key = std::string_view;
  static uint64_t Hash(const Entry* entry) { return HashKey(entry->key()); }
  static bool Equals(const Entry* entry, std::string_view key) { return EqualBytes(entry->key(), key); }
};
using Table = ds::HashTable<EntryPolicy>;
using Handle = Table::Position;

/// A key as the router found it in a command: name, hash, and where it lives.
struct Key {
  std::string_view name;
  uint64_t hash = 0;
  uint16_t slot = 0;
  ShardId shard = 0;
};

/// No expiry; also: keep none.
inline constexpr int64_t kNoExpiry = -1;

/// How SetString chooses the encoding.
enum class StringForm : uint8_t {
  kAuto,   // int when it is one, embstr up to 44 bytes, else raw (SET and most others)
  kPlain,  // embstr or raw, never int (INCRBYFLOAT)
  kRaw,    // raw at any length (SETRANGE on a new key)
};

/// One logical database of one shard.
struct alignas(64) Database {
  explicit Database(SlabHeap* heap) : table(heap) {}
  Table table;
  size_t expires = 0;           // entries with an expiry
  size_t field_expires = 0;     // hashes with fields that have an expiry
  uint64_t expire_bucket = 0;   // where the active expiry cycle goes on
  int64_t average_ttl_ms = 0;
  int db_at_instant = 0;        // its number when the last snapshot began; SWAPDB may have changed it since
  DatabaseCounters* counters = nullptr;
};

/// Clock settings that decide what an entry's 24-bit clock means.
struct AccessClock {
  bool is_lfu = false;
  uint32_t lru_seconds = 0;     // unix seconds & 0xffffff
  uint32_t lfu_minutes = 0;     // unix minutes & 0xffff
  int lfu_log_factor = 10;
  int lfu_decay_minutes = 1;
};

/// When the first field of a hash with kHasFieldExpiry expires, in unix ms; kNoExpiry for other entries.
/// O(1). Defined in field_expiry.cc.
int64_t NextFieldExpiry(const Entry& entry);

class alignas(128) Keyspace {
 public:
  /// `initial_clock` is the 24-bit clock that new entries start with, kept up to date by the workers.
  Keyspace(ShardId id, int databases, ShardCounters* counters, DatabaseCounters* database_counters,
           const std::atomic<uint32_t>* initial_clock);
  ~Keyspace();
  Keyspace(const Keyspace&) = delete;
  Keyspace& operator=(const Keyspace&) = delete;

  ShardId id() const { return id_; }
  SlabHeap& heap() { return heap_; }
  Database& db(int index) { return *databases_[static_cast<size_t>(index)]; }
  int database_count() const { return static_cast<int>(databases_.size()); }
  ShardCounters& counters() { return *counters_; }

  /// Raw lookup: no expiry check, no clock.
  Handle Find(int db, const Key& key) { return this->db(db).table.Find(key.hash, key.name); }

  // ---- Strings ----

  /// Sets `key` to a string, replacing whatever `existing` (the key's handle, or empty) holds.
  /// `expiry_ms` is the new expiry, kNoExpiry for none. In place when the heap class stays the same.
  Handle SetString(int db, const Key& key, Handle existing, std::string_view value, StringForm form,
                   int64_t expiry_ms);
  Handle SetInteger(int db, const Key& key, Handle existing, int64_t value, int64_t expiry_ms);
  /// Sets `key` to a large string whose block the caller gives up.
  Handle SetLarge(int db, const Key& key, Handle existing, LargeString* block, int64_t expiry_ms);
  /// Makes the string at `handle` (which moves along) raw and `size` bytes long, keeping its bytes and
  /// zero-filling behind them, and returns the place to write to. Unshares large blocks.
  char* MutableString(int db, const Key& key, Handle& handle, size_t size);

  // ---- Collections: the payload is memory of this keyspace's heap (see value_ops.h) ----

  /// Sets `key` to a collection, replacing whatever `existing` (the key's handle, or empty) holds; the
  /// keyspace owns the value from now on.
  Handle SetValue(int db, const Key& key, Handle existing, Type type, Encoding encoding, uint64_t payload,
                  int64_t expiry_ms);
  /// Says whether a hash has fields with an expiry, so that the expiry cycle visits it.
  void SetFieldExpiry(int db, Handle handle, bool has_field_expiry);

  // ---- Any type ----

  /// Removes the entry from its database and frees it. What takes long to free is freed later, in
  /// slices: a big collection always (nobody can tell, and a long pause helps nobody), a big string if
  /// `lazy`.
  void Erase(int db, Handle handle, bool lazy);
  /// Sets or clears (kNoExpiry) the expiry; the entry may move, `handle` follows.
  void SetExpiry(int db, Handle& handle, int64_t expiry_ms);
  /// Adds a copy of `source` (of any shard whose lease is held) under `key`, which must not exist. The
  /// copy keeps the value's encoding; the expiry is the caller's choice.
  Handle InsertCopy(int db, const Key& key, const Entry& source, int64_t expiry_ms);
  /// Moves the entry at `handle` to another name or database of this or another keyspace (both leases
  /// held); the target key must not exist. Values are moved, not copied, where the heap is the same.
  Handle MoveEntry(int db, Handle handle, Keyspace& target, int target_db, const Key& target_key);

  /// Empties a database: now, or (lazy) detached at once and freed in slices.
  void Flush(int db, bool lazy);
  void SwapDatabases(int a, int b);

  // ---- Clocks and expiry ----

  /// Marks an access (LRU time or LFU counter). `random` is any pseudo-random number.
  static void Touch(Entry* entry, const AccessClock& clock, uint32_t random);
  /// LFU counter after decay, as OBJECT FREQ shows it.
  static uint8_t LfuFrequency(const Entry& entry, const AccessClock& clock);

  bool IsExpired(const Entry& entry, int64_t now_ms) const {
    return entry.has_expiry() && entry.expiry_ms() < now_ms;
  }

  /// Looks at up to `max_buckets` buckets of one database for keys past their time and hands each to
  /// `expire(db, Key)`, which deletes it (and tells whoever must know). Returns how many buckets it
  /// looked at (less than asked: the database has none left with an expiry). Hashes with fields that
  /// are due are handed to `expire_fields(db, name)`.
  template <class Expire, class ExpireFields>
  size_t ExpireCycle(int db, int64_t now_ms, size_t max_buckets, Expire&& expire,
                     ExpireFields&& expire_fields);

  // ---- Deferred frees ----

  bool has_deferred_frees() const {
    return !deferred_tables_.empty() || !deferred_values_.empty() || tracking_.has_retired();
  }
  size_t deferred_free_objects() const { return deferred_objects_; }
  /// Frees up to `max_objects` entries of detached tables and values. Returns false when none are left.
  bool FreeDeferred(size_t max_objects);

  /// Bytes that one key costs, MEMORY USAGE's view (entry, its slot, value). `samples` as in ValueOps.
  size_t MemoryUsage(const Entry& entry, size_t samples) const;
  // ---- Who wants to know ----

  /// Clients that watch keys of a database or wait for them.
  Interests& interests(int db) { return interests_[static_cast<size_t>(db)]; }
  /// Clients that may have keys of this shard in caches of their own.
  TrackingTable& tracking() { return tracking_; }
  /// Empties it; a large one is freed in slices.
  void ForgetTrackedKeys();
  /// Whether anybody wants to know that a key of this shard has changed.
  bool has_interests() const { return interest_keys_ != 0; }

  /// Shows the world the bytes in use; after values were changed in place.
  void PublishMemory() { counters_->used_memory.Set(heap_.used_bytes()); }

  // ---- Snapshots (R7; see engine/snapshot_hook.h) ----

  /// Stamped into entries on every write.
  uint8_t epoch() const { return epoch_; }
  /// A snapshot begins: every entry that is there now is one that it has not saved. All leases are held.
  void BeginSnapshot(SnapshotHook* hook);
  /// Nothing of this shard is needed any more.
  void EndSnapshot();
  /// The running snapshot that still needs something of this shard, or null.
  SnapshotHook* snapshot() const { return snapshot_; }
  bool IsUnsaved(const Entry& entry) const { return entry.epoch != epoch_ && snapshot_ != nullptr; }
  /// To be called before an entry of a database's table is changed in place or moved.
  void Preserve(int db, Entry* entry) {
    if (__builtin_expect(entry->epoch != epoch_, 0)) PreserveOld(db, entry);
  }
  /// Whether a change of the entry must wait for the snapshot, if it can: it is big, and not saved.
  bool IsHeld(const Entry& entry) const { return IsUnsaved(entry) && snapshot_->IsBig(entry); }
  /// Takes back what a snapshot kept: an entry that is in no table, and a table.
  void Retire(Entry* entry) { RetireEntry(entry, true); }
  void RetireTable(std::unique_ptr<Table> table);

  /// Full structural check of all databases. O(n).
  void Validate();

 private:
  Entry* AllocateEntry(std::string_view key, bool has_expiry, bool is_inline, size_t value_length);
  void FreeEntry(Entry* entry);
  void PreserveOld(int db, Entry* entry);
  /// RetireEntry for an entry that a snapshot may still need.
  void Discard(int db, Entry* entry, bool lazy);
  /// Frees the entry now or, when its value is big, later.
  void RetireEntry(Entry* entry, bool lazy);
  /// Frees what the entry's payload points to.
  void FreeValue(Entry* entry);
  /// Puts `entry` where `existing` stood (freeing the old entry and value) or inserts it.
  Handle Place(int db, const Key& key, Handle existing, Entry* entry);
  void CountExpiry(int db, bool before, bool after);
  void CountFieldExpiry(int db, bool before, bool after);
  static void PublishExpires(Database& database);
  void UpdateCounters(Database& database);
  /// Erases an entry whose value lives on in another one.
  void EraseShell(int db, Handle handle);
  /// Frees up to about `max_elements` elements of a retired entry. Returns how much work it was, or 0 if
  /// there is more to do.
  size_t FreeSlice(Entry* entry, size_t max_elements);
  bool OverwriteInline(int db, Entry* entry, std::string_view value, Encoding encoding, int64_t expiry_ms);

  ShardId id_;
  uint8_t epoch_ = 0;
  SnapshotHook* snapshot_ = nullptr;
  uint32_t interest_keys_ = 0;  // of all databases, and one for tracked keys
  const std::atomic<uint32_t>* initial_clock_;
  SlabHeap heap_;
  // Plain pointers: SWAPDB exchanges them, and a thread that prefetches without the lease must never see
  // the null that moving a unique_ptr leaves for a moment.
  std::vector<Database*> databases_;
  std::vector<Interests> interests_;
  TrackingTable tracking_;
  ShardCounters* counters_;
  DatabaseCounters* database_counters_;
  std::deque<std::unique_ptr<Table>> deferred_tables_;
  std::deque<Entry*> deferred_values_;
  size_t deferred_objects_ = 0;
};

/// Decimal text of an int-encoded string is built here.
struct IntegerText {
  char bytes[24];
};
/// The bytes of a string entry; `text` holds them for int-encoded ones. Valid until the entry changes.
std::string_view StringBytes(const Entry& entry, IntegerText* text);
size_t StringLength(const Entry& entry);

template <class Expire, class ExpireFields>
size_t Keyspace::ExpireCycle(int db_index, int64_t now_ms, size_t max_buckets, Expire&& expire,
                             ExpireFields&& expire_fields) {
  Database& database = db(db_index);
  size_t looked = 0;
  std::vector<std::string> expired;
  std::vector<std::string> with_fields;
  while (looked < max_buckets && database.expires + database.field_expires > 0) {
    if (database.expire_bucket >= database.table.bucket_count()) database.expire_bucket = 0;
    const size_t step = max_buckets - looked < 16 ? max_buckets - looked : 16;
    database.table.VisitBuckets(database.expire_bucket, step, [&](Handle handle) {
      if (!handle.mark()) return;
      const Entry& entry = *handle.entry();
      if (IsExpired(entry, now_ms)) {
        expired.emplace_back(entry.key());
        return;
      }
      if (entry.has_field_expiry() && NextFieldExpiry(entry) < now_ms) with_fields.emplace_back(entry.key());
      if (!entry.has_expiry()) return;
      const int64_t ttl_ms = entry.expiry_ms() - now_ms;
      database.average_ttl_ms = database.average_ttl_ms == 0
                                    ? ttl_ms
                                    : (database.average_ttl_ms * 15 + ttl_ms) / 16;
    });
    database.expire_bucket += step;
    looked += step;
    for (const std::string& name : expired) expire(db_index, name);
    for (const std::string& name : with_fields) expire_fields(db_index, name);
    expired.clear();
    with_fields.clear();
  }
  if (database.expires == 0) database.average_ttl_ms = 0;
  return looked;
}

}  // namespace sherd::engine
