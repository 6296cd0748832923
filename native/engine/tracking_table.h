// TrackingTable: which clients may hold which keys of one shard in a cache of their own (CLIENT TRACKING in
// its default mode).
//
// A client is entered when it reads a key, and forgotten when it is told that the key has changed: it is
// told once, and must read again to be told again. Keys are known by name alone, whatever the database, as
// in Redis: clients get no database with an invalidation.
//
// A TRACKER is a client in one word, so that it can be reached without a look-up:
//
//   bit 63           48                                             0
//   +----------------+----------------------------------------------+
//   | worker         | client id                                    |
//   +----------------+----------------------------------------------+
//
// A KEY is one allocation of the shard's heap, found by the hash that every key has already:
//
//   0           4       8             8 + name, up to 8     + 8 x capacity
//   +-----------+-------+- - - - - - -+- - - - - - - - - - - - - -+
//   | name size | count | name        | trackers, ascending       |
//   +-----------+-------+- - - - - - -+- - - - - - - - - - - - - -+
//
// A read of a key that is entered already, the common case, is one look-up and a look at few words behind
// the name: nothing is allocated or copied. A key with one tracker and a name of 16 bytes takes 32 bytes and
// its 14 of the table. Trackers ascend, so that those of one worker stand together, and a key with many of
// them is searched by halves.
//
// Invariants: capacity is count rounded up to a power of two; items() is the sum of all counts; `*interests`
// counts one for a table that is not empty; limits and flushes see published() <= size() by a few (see
// Publish).
//
// FLUSHING a large table takes long: Retire() sets it aside, to be freed in slices.
//
// Thread: under the lease of the shard, but for the Prefetch functions. Memory: the heap given.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <span>
#include <string_view>

#include "base/slab_heap.h"
#include "ds/hash_table.h"
#include "engine/counters.h"

namespace sherd::engine {

uint64_t HashKey(std::string_view key);

// ---- Trackers ----

using Tracker = uint64_t;
inline constexpr int kTrackerWorkerShift = 48;
inline constexpr Tracker MakeTracker(uint16_t worker, uint64_t client_id) {
  return uint64_t{worker} << kTrackerWorkerShift | client_id;
}
inline constexpr uint16_t WorkerOf(Tracker tracker) {
  return static_cast<uint16_t>(tracker >> kTrackerWorkerShift);
}
inline constexpr uint64_t ClientOf(Tracker tracker) {
  return tracker & ((uint64_t{1} << kTrackerWorkerShift) - 1);
}

// ---- Keys ----

/// One key with its trackers, as it lies in the heap.
class TrackedKey {
 public:
  static TrackedKey* Create(SlabHeap& heap, std::string_view name, Tracker tracker);
  void Free(SlabHeap& heap) { heap.Free(this, SizeFor(name_size_, count_)); }

  std::string_view name() const { return {reinterpret_cast<const char*>(this) + kHeader, name_size_}; }
  std::span<const Tracker> trackers() const { return {first(), count_}; }
  bool Has(Tracker tracker) const {
    const Tracker* const trackers = first();
    if (__builtin_expect(count_ > kFewTrackers, 0)) return HasAmongMany(tracker);
    for (uint32_t i = 0; i < count_; i++) {
      if (trackers[i] == tracker) return true;
    }
    return false;
  }
  /// Adds a tracker that is not there. The key may move: its new address is returned.
  TrackedKey* Add(SlabHeap& heap, Tracker tracker);

 private:
  static constexpr size_t kHeader = 8;
  static constexpr uint32_t kFewTrackers = 16;
  static size_t PlaceOfTrackers(size_t name_size) { return (kHeader + name_size + 7) & ~size_t{7}; }
  static size_t Capacity(size_t count) {
    size_t capacity = 1;
    while (capacity < count) capacity *= 2;
    return capacity;
  }
  static size_t SizeFor(size_t name_size, size_t count) {
    return PlaceOfTrackers(name_size) + Capacity(count) * sizeof(Tracker);
  }
  bool HasAmongMany(Tracker tracker) const;
  const Tracker* first() const {
    return reinterpret_cast<const Tracker*>(reinterpret_cast<const char*>(this) + PlaceOfTrackers(name_size_));
  }
  Tracker* first() {
    return reinterpret_cast<Tracker*>(reinterpret_cast<char*>(this) + PlaceOfTrackers(name_size_));
  }

  uint32_t name_size_;
  uint32_t count_;
};
static_assert(sizeof(TrackedKey) == 8);

// ---- Table ----

class TrackingTable {
  struct Policy {
    using Entry = TrackedKey;
    using Key = std::string_view;
    static uint64_t Hash(const TrackedKey* key) { return HashKey(key->name()); }
    static bool Equals(const TrackedKey* key, std::string_view name) { return key->name() == name; }
  };
  using Table = ds::HashTable<Policy>;

 public:
  /// `*interests`: see the invariants.
  TrackingTable(SlabHeap* heap, uint32_t* interests, ShardCounters* counters)
      : heap_(heap), interests_(interests), counters_(counters), table_(heap) {}
  ~TrackingTable();
  TrackingTable(const TrackingTable&) = delete;
  TrackingTable& operator=(const TrackingTable&) = delete;

  bool empty() const { return table_.size() == 0; }
  size_t size() const { return table_.size(); }
  /// Pairs of key and tracker.
  size_t items() const { return items_; }

  /// Enters a tracker with a key. True: the key is new.
  bool Remember(uint64_t hash, std::string_view name, Tracker tracker) {
    const Table::Position at = table_.Find(hash, name);
    if (__builtin_expect(at && at.entry()->Has(tracker), 1)) return false;
    return Enter(at, hash, name, tracker);
  }
  bool Has(uint64_t hash, std::string_view name, Tracker tracker) const {
    const Table::Position at = table_.Find(hash, name);
    return at && at.entry()->Has(tracker);
  }
  /// Takes a key out. The caller reads it and gives it back with Release(). Null: not entered.
  TrackedKey* Take(uint64_t hash, std::string_view name) {
    const Table::Position at = table_.Find(hash, name);
    return at ? TakeAt(at) : nullptr;
  }
  /// The same for a random key of a table that is not empty. `random` yields 64 random bits a call.
  template <class Random>
  TrackedKey* TakeRandom(Random&& random) {
    return TakeAt(table_.RandomPosition(static_cast<Random&&>(random)));
  }
  void Release(TrackedKey* key) { key->Free(*heap_); }

  /// Forgets all keys. Returns how many are left to be freed by FreeRetired().
  size_t Retire();
  bool has_retired() const { return !retired_.empty(); }
  /// Frees about `max` retired keys, and returns how many it freed.
  size_t FreeRetired(size_t max);

  /// Keys of all shards are counted together in `*total`, for tracking-table-max-keys. A shard adds its own
  /// once `step` of them have come or gone, so that shards do not fight over the counter's cache line.
  void Publish(std::atomic<int64_t>* total, int64_t step) {
    const int64_t missing = static_cast<int64_t>(table_.size()) - published_;
    if (missing < step && missing > -step) return;
    total->fetch_add(missing, std::memory_order_relaxed);
    published_ += missing;
  }

  // Without the lease: see the header of hash_table.h.
  void PrefetchBucket(uint64_t hash) const { table_.PrefetchBucket(hash); }
  void PrefetchKey(uint64_t hash) const { table_.PrefetchEntry(hash); }

  /// Deep check. O(n).
  void Validate() const;

 private:
  bool Enter(Table::Position at, uint64_t hash, std::string_view name, Tracker tracker);
  TrackedKey* TakeAt(Table::Position at);
  void Count();

  SlabHeap* heap_;
  uint32_t* interests_;
  ShardCounters* counters_;
  Table table_;
  size_t items_ = 0;
  int64_t published_ = 0;
  bool is_counted_ = false;  // in *interests_
  std::deque<std::unique_ptr<Table>> retired_;
};

}  // namespace sherd::engine
