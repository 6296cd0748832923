// RecentReads: a copy of what a TrackingTable is asked most: "has this client been entered with this key?"
//
// A client that caches reads the same keys again and again, and each GET asks the table. The table's answer
// touches a bucket, and the key with its name and trackers, behind the table's directory: four cache lines
// that were not needed otherwise, which cost a pipelined GET a sixth of its time. Here the answer is one
// line: each place has the name of a key (as long as it is short) and one of its words of trackers.
//
//   place, 32 bytes    0          8      9                     32
//                      +----------+------+----------------------+
//                      | trackers | size | name, up to 23 bytes |
//                      +----------+------+----------------------+
//
// A pair of key and word may stand in the two places of one cache line, found by the key's hash and the word's
// upper part; the two that came last have them. There are four places to a key up to kPlacesMax; with more
// keys than that only those that are read often are found here, and the others cost one look in vain.
//
// Invariant: the bits of a place are bits of that key's word in the table. So "yes" is always right; "no"
// says nothing. Whoever takes a key out of the table forgets all its words.
//
// Thread: under the lease of the shard, but for Prefetch(). Memory: blocks of the shard's heap, which stay
// mapped, so that a stale address may be prefetched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/bytes.h"
#include "base/slab_heap.h"
#include "engine/tracker.h"

namespace sherd::engine {

class RecentReads {
 public:
  explicit RecentReads(SlabHeap* heap) : heap_(heap) {}
  ~RecentReads() { Clear(); }
  RecentReads(const RecentReads&) = delete;
  RecentReads& operator=(const RecentReads&) = delete;

  /// True: the tracker is entered with the key. False: ask the table.
  bool Has(uint64_t hash, std::string_view name, Tracker tracker) const {
    if (block_ == 0) return false;
    const Line& line = LineOf(block_, hash, tracker);
    return line.places[0].Has(name, tracker) || line.places[1].Has(name, tracker);
  }
  /// The table has just been found to have `word` with the key.
  void Note(uint64_t hash, std::string_view name, Trackers word) {
    if (block_ == 0 || name.size() > kNameMax) return;
    Line& line = LineOf(block_, hash, word);
    // An older copy of the word goes, or the one that came first.
    if (!line.places[0].IsOf(name, word)) line.places[1] = line.places[0];
    Place& place = line.places[0];
    place.trackers = word;
    place.size = static_cast<uint8_t>(name.size());
    std::memcpy(place.name, name.data(), name.size());
  }
  /// The key is leaving the table, and had `word`.
  void Forget(uint64_t hash, Trackers word) {
    if (block_ == 0) return;
    for (Place& place : LineOf(block_, hash, word).places) {
      if (AreNeighbours(place.trackers, word)) place.trackers = 0;
    }
  }
  /// Forgets everything and gives the memory back.
  void Clear();
  /// The table has so many keys. May forget everything.
  void FitTo(size_t keys) {
    if (__builtin_expect(keys * kPlacesPerKey > places(), 0) && keys >= kKeysMin && places() < kPlacesMax) Grow(keys);
  }

  /// Whether a table of so many keys finds most of them here.
  static bool Covers(size_t keys) { return keys * 2 <= kPlacesMax; }
  /// Without the lease.
  void Prefetch(uint64_t hash, Tracker tracker) const {
    const uint64_t block = __atomic_load_n(&block_, __ATOMIC_RELAXED);
    if (block != 0) __builtin_prefetch(&LineOf(block, hash, tracker), 0, 3);
  }

  /// visit(name, trackers) for each place in use. For tests.
  template <class Visit>
  void ForEach(Visit&& visit) const {
    for (size_t i = 0; i < places(); i++) {
      const Place& place = LinesOf(block_)[i / 2].places[i % 2];
      if (place.trackers != 0) visit(place.view(), place.trackers);
    }
  }

 private:
  static constexpr size_t kNameMax = 23;
  struct Place {
    Trackers trackers;  // 0: nothing here
    uint8_t size;
    char name[kNameMax];
    std::string_view view() const { return {name, size}; }
    bool IsOf(std::string_view key, Trackers word) const {
      return AreNeighbours(trackers, word) && EqualBytes(view(), key);
    }
    bool Has(std::string_view key, Tracker tracker) const {
      return (trackers & tracker & kTrackerBits) != 0 && IsOf(key, tracker);
    }
  };
  struct Line {
    Place places[2];
  };
  static_assert(sizeof(Line) == 64);
  static constexpr size_t kPlacesPerPage = SlabHeap::kPageSize / sizeof(Place);
  static constexpr size_t kPlacesPerKey = 4;
  static constexpr size_t kKeysMin = 32;  // fewer are in the cache anyway
  static constexpr size_t kPlacesMax = 16 * kPlacesPerPage;  // 64 KiB a shard

  // block_: the address of a block of 2^k pages, k + 1 in its low bits; 0: none. One word, so that a thread
  // without the lease sees an address with its size.
  static size_t PlaceCount(uint64_t block) { return block == 0 ? 0 : kPlacesPerPage << ((block & 0xff) - 1); }
  static Line* LinesOf(uint64_t block) {
    return reinterpret_cast<Line*>(block & ~uint64_t{SlabHeap::kPageSize - 1});
  }
  static Line& LineOf(uint64_t block, uint64_t hash, Trackers word) {
    constexpr uint64_t kSpread = 0x9e3779b97f4a7c15;
    const uint64_t mixed = hash + (word >> kTrackerNumberShift) * kSpread;
    return LinesOf(block)[mixed & (PlaceCount(block) / 2 - 1)];
  }
  size_t places() const { return PlaceCount(block_); }
  void Grow(size_t keys);
  void SetBlock(uint64_t block) { __atomic_store_n(&block_, block, __ATOMIC_RELAXED); }

  SlabHeap* const heap_;
  uint64_t block_ = 0;
};

}  // namespace sherd::engine
