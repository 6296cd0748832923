// TrackingTable: which clients may hold which keys of one shard in a cache of their own (CLIENT TRACKING in
// its default mode).
//
// A client is entered when it reads a key, and forgotten when it is told that the key has changed: it is
// told once, and must read again to be told again. Keys are known by name alone, whatever the database, as
// in Redis: clients get no database with an invalidation.
//
// A KEY is one allocation of the shard's heap, found by the hash that every key has already:
//
//   0           4       8             8 + name, up to 8     + 8 x capacity
//   +-----------+-------+- - - - - - -+- - - - - - - - - - - - - -+
//   | name size | count | name        | trackers, ascending       |
//   +-----------+-------+- - - - - - -+- - - - - - - - - - - - - -+
//
// A read of a key that is entered already, the common case, is mostly answered by a copy (tracking_recent.h),
// else by one look-up and a look at few words behind the name: nothing is allocated. A key with up to sixteen
// neighbours and a name of 16 bytes takes 32 bytes and its 14 of the table. Words (tracker.h) ascend, so that
// those of one worker stand together, and a key with many of them is searched by halves.
//
// Invariants: capacity is count rounded up to a power of two; no two words of a key agree in their upper 48
// bits, and none has all its lower 16 clear; items() is the sum of all bits; `*interests` counts one for a
// table that is not empty; limits and flushes see published() <= size() by a few (see Publish).
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

#include "base/bytes.h"
#include "base/slab_heap.h"
#include "ds/hash_table.h"
#include "engine/counters.h"
#include "engine/tracker.h"
#include "engine/tracking_recent.h"

namespace sherd::engine {

uint64_t HashKey(std::string_view key);

// ---- Keys ----

/// One key with its trackers, as it lies in the heap.
class TrackedKey {
 public:
  static TrackedKey* Create(SlabHeap& heap, std::string_view name, Tracker tracker);
  void Free(SlabHeap& heap) { heap.Free(this, SizeFor(name_size_, count_)); }

  std::string_view name() const { return {reinterpret_cast<const char*>(this) + kHeader, name_size_}; }
  std::span<const Trackers> trackers() const { return {first(), count_}; }
  bool Has(Tracker tracker) const {
    if (__builtin_expect(count_ > kFewWords, 0)) return (WordOf(tracker) & tracker & kTrackerBits) != 0;
    const Trackers* const words = first();
    for (uint32_t i = 0; i < count_; i++) {
      if (AreNeighbours(words[i], tracker)) return (words[i] & tracker & kTrackerBits) != 0;
    }
    return false;
  }
  /// The word that a tracker is or would be in; 0: there is none.
  Trackers WordOf(Tracker tracker) const;
  /// Adds a tracker that is not there. The key may move: its new address is returned.
  TrackedKey* Add(SlabHeap& heap, Tracker tracker);

 private:
  static constexpr size_t kHeader = 8;
  static constexpr uint32_t kFewWords = 16;
  static size_t PlaceOfTrackers(size_t name_size) { return (kHeader + name_size + 7) & ~size_t{7}; }
  static size_t Capacity(size_t count) {
    size_t capacity = 1;
    while (capacity < count) capacity *= 2;
    return capacity;
  }
  static size_t SizeFor(size_t name_size, size_t count) {
    return PlaceOfTrackers(name_size) + Capacity(count) * sizeof(Trackers);
  }
  const Trackers* first() const {
    return reinterpret_cast<const Trackers*>(reinterpret_cast<const char*>(this) + PlaceOfTrackers(name_size_));
  }
  Trackers* first() {
    return reinterpret_cast<Trackers*>(reinterpret_cast<char*>(this) + PlaceOfTrackers(name_size_));
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
    static bool Equals(const TrackedKey* key, std::string_view name) { return EqualBytes(key->name(), name); }
  };
  using Table = ds::HashTable<Policy>;

 public:
  /// `*interests`: see the invariants.
  TrackingTable(SlabHeap* heap, uint32_t* interests, ShardCounters* counters)
      : heap_(heap), interests_(interests), counters_(counters), recent_(heap), table_(heap) {}
  ~TrackingTable();
  TrackingTable(const TrackingTable&) = delete;
  TrackingTable& operator=(const TrackingTable&) = delete;

  bool empty() const { return table_.size() == 0; }
  size_t size() const { return table_.size(); }
  /// Pairs of key and tracker.
  size_t items() const { return items_; }

  /// Enters a tracker with a key. True: the key is new.
  bool Remember(uint64_t hash, std::string_view name, Tracker tracker) {
    return !recent_.Has(hash, name, tracker) && RememberInTable(hash, name, tracker);
  }
  bool Has(uint64_t hash, std::string_view name, Tracker tracker) const {
    const Table::Position at = table_.Find(hash, name);
    return at && at.entry()->Has(tracker);
  }
  /// Takes a key out. The caller reads it and gives it back with Release(). Null: not entered.
  TrackedKey* Take(uint64_t hash, std::string_view name) {
    const Table::Position at = table_.Find(hash, name);
    return at ? TakeAt(hash, at) : nullptr;
  }
  /// The same for a random key of a table that is not empty. `random` yields 64 random bits a call.
  template <class Random>
  TrackedKey* TakeRandom(Random&& random) {
    const Table::Position at = table_.RandomPosition(static_cast<Random&&>(random));
    return TakeAt(HashKey(at.entry()->name()), at);
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

  // Without the lease, in two stages: see the headers of hash_table.h and tracking_recent.h. Where most keys
  // are found among the recent ones, the table's lines would only drive others out of the cache.
  void PrefetchRecent(uint64_t hash, Tracker tracker) const {
    recent_.Prefetch(hash, tracker);
    if (is_large_.load(std::memory_order_relaxed)) table_.PrefetchBucket(hash);
  }
  void PrefetchKey(uint64_t hash) const {
    if (is_large_.load(std::memory_order_relaxed)) table_.PrefetchEntry(hash);
  }

  /// Deep check. O(n).
  void Validate() const;

 private:
  bool RememberInTable(uint64_t hash, std::string_view name, Tracker tracker);
  bool Enter(Table::Position at, uint64_t hash, std::string_view name, Tracker tracker);
  TrackedKey* TakeAt(uint64_t hash, Table::Position at);
  void Count();

  SlabHeap* heap_;
  uint32_t* interests_;
  ShardCounters* counters_;
  std::atomic<bool> is_large_{false};  // more keys than RecentReads covers
  RecentReads recent_;
  Table table_;
  size_t items_ = 0;
  int64_t published_ = 0;
  bool is_counted_ = false;  // in *interests_
  std::deque<std::unique_ptr<Table>> retired_;
};

}  // namespace sherd::engine
