// HashTable: the dictionary of the keyspace (and of big hashes and sets): linear hashing over
// cache-line buckets.
//
// WHY LINEAR HASHING. A table that doubles must move all its entries at some time, at once (a pause) or
// bit by bit beside a second table (twice the buckets for as long as it takes, and every lookup in two
// places). Linear hashing (Litwin 1980) splits one bucket each time the load passes a limit: an insert
// does a constant amount of work at any size, there is never a second table, and the load stays where we
// want it, so the memory per key is the same at every size.
//
//   bucket_count = 2^level + split, 0 <= split < 2^level
//   bucket of hash h:  i = h mod 2^(level+1); if i >= bucket_count: i -= 2^level
//
// A BUCKET is one cache line, seven entries with one byte of their hash each, and a chain where seven
// are not enough (about one bucket in seven at our load):
//
//   byte 0        7    8       16                          64
//   +-------------+----+-------+-------+-- - - --+---------+
//   | tag[0..6]   |used| slot0 | slot1 |   ...   | slot6   |
//   +-------------+----+-------+-------+-- - - --+---------+
//     hash >> 56    |    slot: bits 0-47 entry pointer, 48-62 hash bits 8-22, bit 63 the caller's mark
//                   +-- bits 0-6: slot in use; bit 7: slot6 points to an overflow bucket
//
// The 15 hash bits in a slot decide most splits without touching the entry, and make a lookup that
// finds nothing touch no entry at all (23 hash bits compared).
//
// Buckets live in chunks of 256 (16 KiB) behind a directory of pointers; the first chunk starts with a
// single bucket and doubles.
//
// PREFETCHING WITHOUT THE LEASE. The Prefetch functions follow directory -> chunk -> bucket while another
// thread may be changing or freeing all three. What they read must be mapped, and what they follow must
// be a pointer; whether it is the right one does not matter, since it is only prefetched:
//   - directories are stable memory (SlabHeap::AllocateStable): whatever a stale one is used for next, it
//     is a directory of the same capacity, whose entries are null or chunks;
//   - a directory's entry carries the chunk's size in its low bits, so that pointer and bound are one word;
//   - chunks stay mapped for ever. Their bytes may be anything by then: slots are not followed.
//
// SCAN works as on any table that splits in place: the cursor counts in bit-reversed order, so that the
// entries which a split or a merge moves are always ahead of the cursor or already seen with their
// bucket. Guarantee: an entry that is in the table during the whole scan is returned at least once.
//
// Cost: lookup touches 1.15 buckets on average and, when it hits, one entry. Memory: 14.3 bytes a key at
// kMaxLoad (5.5 entries a bucket; 5.0 gives 15.0, 6.0 gives 13.8 with longer chains).
//
// LIMITATIONS. Pointers must fit 48 bits (user space on x86-64 and AArch64 without opt-in does).
//
// Policy: `using Entry`, `using Key`; `static uint64_t Hash(const Entry*)`, `static bool Equals(const
// Entry*, const Key&)`. Thread: the holder of the shard's lease, but for the Prefetch functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/check.h"
#include "base/slab_heap.h"

namespace sherd::ds {

namespace hash_table_detail {

constexpr int kSlots = 7;
constexpr uint8_t kSlotMask = 0x7f;
constexpr uint8_t kChained = 0x80;
constexpr uint64_t kPointerMask = (uint64_t{1} << 48) - 1;
constexpr uint64_t kMark = uint64_t{1} << 63;
constexpr int kStoredShift = 8;   // first hash bit kept in a slot
constexpr int kStoredBits = 15;
constexpr size_t kChunkBuckets = 256;
constexpr int kChunkShift = 8;
constexpr int kChunkOrder = 2;    // 16 KiB
// Grow above 5.5 entries a bucket, shrink below 2: far enough apart that neither undoes the other.
constexpr size_t kMaxLoadTimes2 = 11;
constexpr size_t kMinLoad = 2;

struct alignas(64) Bucket {
  uint8_t tags[kSlots];
  uint8_t used;
  uint64_t slots[kSlots];

  bool chained() const { return (used & kChained) != 0; }
  Bucket* next() const { return reinterpret_cast<Bucket*>(slots[kSlots - 1] & kPointerMask); }
  /// Slots that hold entries (the last one holds the link when chained).
  unsigned live_mask() const { return chained() ? (used & 0x3fu) : (used & kSlotMask); }
  unsigned Match(uint8_t tag) const {
#if defined(__SSE2__)
    const __m128i line = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(tags));
    const __m128i equal = _mm_cmpeq_epi8(line, _mm_set1_epi8(static_cast<char>(tag)));
    return static_cast<unsigned>(_mm_movemask_epi8(equal)) & live_mask();
#else
    unsigned mask = 0;
    for (int i = 0; i < kSlots; i++) mask |= static_cast<unsigned>(tags[i] == tag) << i;
    return mask & live_mask();
#endif
  }
};
static_assert(sizeof(Bucket) == 64);
static_assert(offsetof(Bucket, slots) == 8);

/// A chunk's address with the logarithm of its bucket count in the low six bits; 0: no chunk.
using ChunkWord = uint64_t;
constexpr ChunkWord kChunkLogMask = 63;

struct Directory {
  uint64_t order;      // AllocateStable order of this directory; constant for its memory
  ChunkWord chunks[];  // capacity() of them
  static size_t Capacity(uint64_t order) { return ((size_t{64} << order) - sizeof(uint64_t)) / sizeof(ChunkWord); }
};

inline uint8_t TagOf(uint64_t hash) { return static_cast<uint8_t>(hash >> 56); }
inline uint64_t StoredBitsOf(uint64_t hash) {
  return ((hash >> kStoredShift) & ((uint64_t{1} << kStoredBits) - 1)) << 48;
}

uint64_t NextScanCursor(uint64_t cursor, int bits);

}  // namespace hash_table_detail

template <class Policy>
class HashTable {
  using Bucket = hash_table_detail::Bucket;
  using Directory = hash_table_detail::Directory;

 public:
  using Entry = typename Policy::Entry;
  using Key = typename Policy::Key;

  /// Where an entry stands. Valid until the next Insert or Erase on the table.
  class Position {
   public:
    Position() = default;
    explicit operator bool() const { return bucket_ != nullptr; }
    Entry* entry() const {
      return reinterpret_cast<Entry*>(bucket_->slots[index_] & hash_table_detail::kPointerMask);
    }
    /// The entry was reallocated: same key, new address.
    void Replace(Entry* entry) {
      uint64_t& slot = bucket_->slots[index_];
      slot = (slot & ~hash_table_detail::kPointerMask) | reinterpret_cast<uint64_t>(entry);
    }
    /// One bit that the caller may keep with the entry, readable without touching the entry.
    bool mark() const { return (bucket_->slots[index_] & hash_table_detail::kMark) != 0; }
    void SetMark(bool mark) {
      uint64_t& slot = bucket_->slots[index_];
      slot = mark ? slot | hash_table_detail::kMark : slot & ~hash_table_detail::kMark;
    }

   private:
    friend class HashTable;
    Position(Bucket* head, Bucket* bucket, int index) : head_(head), bucket_(bucket), index_(index) {}
    Bucket* head_ = nullptr;
    Bucket* bucket_ = nullptr;
    int index_ = 0;
  };

  explicit HashTable(SlabHeap* heap) : heap_(heap) {}
  HashTable(const HashTable&) = delete;
  HashTable& operator=(const HashTable&) = delete;
  HashTable(HashTable&& other) noexcept { *this = static_cast<HashTable&&>(other); }
  HashTable& operator=(HashTable&& other) noexcept {
    CHECK(directory_ == nullptr);
    std::memcpy(static_cast<void*>(this), static_cast<const void*>(&other), sizeof(*this));
    SlabHeap* heap = other.heap_;
    std::memset(static_cast<void*>(&other), 0, sizeof(other));
    other.heap_ = heap;
    return *this;
  }
  /// The table must be empty of memory: Clear() it, or hand its entries over first.
  ~HashTable() { CHECK(directory_ == nullptr); }

  size_t size() const { return size_; }
  size_t bucket_count() const { return bucket_count_; }
  size_t chained_buckets() const { return chained_; }
  /// Bytes of buckets, chunks and directories.
  size_t memory() const { return memory_; }

  Position Find(uint64_t hash, const Key& key) const {
    if (bucket_count_ == 0) return {};
    Bucket* head = BucketAt(IndexOf(hash));
    const uint64_t stored = hash_table_detail::StoredBitsOf(hash);
    for (Bucket* bucket = head;;) {
      unsigned mask = bucket->Match(hash_table_detail::TagOf(hash));
      while (mask != 0) {
        const int index = __builtin_ctz(mask);
        mask &= mask - 1;
        const uint64_t slot = bucket->slots[index];
        if (((slot ^ stored) & kStoredMask) != 0) continue;
        if (Policy::Equals(Pointer(slot), key)) return {head, bucket, index};
      }
      if (!bucket->chained()) return {};
      bucket = bucket->next();
    }
  }

  /// Adds an entry whose key is not in the table.
  Position Insert(uint64_t hash, Entry* entry) {
    if ((size_ + 1) * 2 > bucket_count_ * hash_table_detail::kMaxLoadTimes2) Grow();
    size_++;
    return InsertInto(BucketAt(IndexOf(hash)), SlotWord(hash, entry),
                      hash_table_detail::TagOf(hash));
  }

  /// Removes the entry at a position from the table and returns it; the caller frees it.
  Entry* Erase(Position position) {
    Entry* entry = position.entry();
    RemoveAt(position.head_, position.bucket_, position.index_);
    size_--;
    // Two merges an erase at most, so that the table shrinks as fast as it empties.
    for (int i = 0; i < 2 && bucket_count_ > 1 && size_ < bucket_count_ * hash_table_detail::kMinLoad &&
                    !keeps_buckets_;
         i++) {
      Shrink();
    }
    if (size_ == 0) ReleaseMemory();
    return entry;
  }

  /// Calls visit(Position) for the entries of the bucket under `cursor` and returns the next cursor; 0
  /// ends the scan. The visitor must not insert or erase. O(entries in the bucket).
  template <class Visit>
  uint64_t Scan(uint64_t cursor, Visit&& visit) const {
    if (bucket_count_ == 0) return 0;
    const size_t index = IndexOf(cursor);
    VisitChain(BucketAt(index), visit);
    // A bucket that has been split (or is the upper half of one) is told apart by one more bit.
    const bool is_split = index < split_ || index >= (size_t{1} << level_);
    return hash_table_detail::NextScanCursor(cursor, is_split ? level_ + 1 : level_);
  }

  /// While set, buckets are added but not taken back (but for those of an empty table). Entries then move
  /// upwards only, so that a walk by VisitBuckets from the first bucket to the last meets every entry that is
  /// there all the time, some of them twice.
  void KeepBuckets(bool keeps) { keeps_buckets_ = keeps; }

  /// Visits buckets [first, first + count) in storage order; for cron work that needs no cursor
  /// guarantees and for taking tables apart. The visitor must not insert or erase.
  template <class Visit>
  void VisitBuckets(size_t first, size_t count, Visit&& visit) const {
    const size_t end = first + count < bucket_count_ ? first + count : bucket_count_;
    for (size_t index = first; index < end; index++) VisitChain(BucketAt(index), visit);
  }

  /// Calls visit(Entry*) for every entry in storage order until it returns false. The visitor must not
  /// insert or erase. Entries are scattered over the heap, yet fetching them ahead of the visit was measured
  /// to win nothing (bench hash_walk): the next addresses do not depend on the present entry, so the core
  /// has those misses under way by itself.
  template <class Visit>
  void ForEach(Visit&& visit) const {
    bool goes_on = true;
    for (size_t index = 0; index < bucket_count_ && goes_on; index++) {
      VisitChain(BucketAt(index), [&](Position p) { goes_on = goes_on && visit(p.entry()); });
    }
  }

  /// A uniformly random entry; `random` yields 64 random bits a call. Empty position when empty.
  ///
  /// Rejection sampling over (bucket, place in its chain) keeps the choice fair: a chain of n entries is
  /// taken with probability n / kPlaces. Towards the end of a round of splits the buckets still to be
  /// split hold 11 entries on average, so that one in some thousand of them holds more than kPlaces; its
  /// entries are chosen a little too seldom, but all are. The tries are made in groups whose buckets are
  /// fetched together, since nearly every one of a big table is a cache miss.
  template <class Random>
  Position RandomPosition(Random&& random) const {
    if (size_ == 0) return {};
    constexpr size_t kPlaces = 24;
    constexpr int kGroup = 4;
    constexpr int kTries = 256;
    for (int tries = 0; tries < kTries; tries += kGroup) {
      Bucket* heads[kGroup];
      size_t places[kGroup];
      for (int i = 0; i < kGroup; i++) {
        const uint64_t bits = random();
        heads[i] = BucketAt((bits >> 16) % bucket_count_);
        places[i] = (bits & 0xffff) * kPlaces >> 16;
        __builtin_prefetch(heads[i]);
      }
      for (int i = 0; i < kGroup; i++) {
        const size_t length = ChainLength(heads[i]);
        if (__builtin_expect(length > kPlaces, 0)) places[i] = random() % length;
        if (places[i] < length) return PositionIn(heads[i], places[i]);
      }
    }
    // A table whose hash is weak: any entry behind a random bucket.
    const size_t start = random() % bucket_count_;
    for (size_t i = 0; i < bucket_count_; i++) {
      Bucket* head = BucketAt((start + i) % bucket_count_);
      const size_t length = ChainLength(head);
      if (length != 0) return PositionIn(head, random() % length);
    }
    return {};
  }

  /// Calls release(Entry*) for every entry and frees the table's memory. O(n).
  template <class Release>
  void Clear(Release&& release) {
    VisitBuckets(0, bucket_count_, [&](Position p) { release(p.entry()); });
    size_ = 0;
    FreeBuckets();
    ReleaseMemory();
  }

  /// Takes the last bucket off with all its entries; for freeing a table in slices. Returns false when
  /// nothing is left (and then holds no memory). The table must not be used otherwise any more.
  template <class Release>
  bool DismantleBucket(Release&& release) {
    if (bucket_count_ == 0) return false;
    Bucket* head = BucketAt(bucket_count_ - 1);
    VisitChain(head, [&](Position p) {
      release(p.entry());
      size_--;
    });
    FreeChain(head);
    DropLastBucket();
    if (bucket_count_ == 0) ReleaseMemory();
    return bucket_count_ != 0;
  }

#if !SHERD_PLAIN_HEAP
  /// Prefetches the bucket of a hash. May be called without the lease: see the file's header.
  void PrefetchBucket(uint64_t hash) const {
    const Bucket* bucket = RacyBucket(hash);
    if (bucket != nullptr) __builtin_prefetch(bucket, 0, 3);
  }
  /// Prefetches the entries that a lookup of this hash would touch, from the first bucket only.
  void PrefetchEntry(uint64_t hash) const {
    const Bucket* bucket = RacyBucket(hash);
    if (bucket == nullptr) return;
    unsigned mask = bucket->Match(hash_table_detail::TagOf(hash));
    while (mask != 0) {
      const uint64_t slot = bucket->slots[__builtin_ctz(mask)];
      mask &= mask - 1;
      const char* entry = reinterpret_cast<const char*>(slot & hash_table_detail::kPointerMask);
      __builtin_prefetch(entry, 1, 3);
      // Two entries in five straddle a line: without this the key comparison waits for the second one.
      __builtin_prefetch(entry + 40, 1, 3);
    }
  }
#else
  // The sanitizers would report the intended race, and freed chunks are really gone there.
  void PrefetchBucket(uint64_t) const {}
  void PrefetchEntry(uint64_t) const {}
#endif

  /// Deep check of the structure: counts, places, tags. For tests and DEBUG. O(n).
  void Validate() const {
    size_t seen = 0;
    for (size_t index = 0; index < bucket_count_; index++) {
      VisitChain(BucketAt(index), [&](Position p) {
        const uint64_t hash = Policy::Hash(p.entry());
        CHECK(IndexOf(hash) == index);
        CHECK(p.bucket_->tags[p.index_] == hash_table_detail::TagOf(hash));
        seen++;
      });
    }
    CHECK(seen == size_);
  }

  /// Counts buckets by chain length in entries (0 … max - 1, the last class holds the rest).
  void ChainHistogram(size_t* counts, size_t max) const {
    for (size_t index = 0; index < bucket_count_; index++) {
      size_t length = 0;
      VisitChain(BucketAt(index), [&](Position) { length++; });
      counts[length < max ? length : max - 1]++;
    }
  }

 private:
  static constexpr uint64_t kStoredMask =
      ((uint64_t{1} << hash_table_detail::kStoredBits) - 1) << 48;

  static Entry* Pointer(uint64_t slot) {
    return reinterpret_cast<Entry*>(slot & hash_table_detail::kPointerMask);
  }
  static uint64_t SlotWord(uint64_t hash, Entry* entry) {
    return reinterpret_cast<uint64_t>(entry) | hash_table_detail::StoredBitsOf(hash);
  }

  size_t IndexOf(uint64_t hash) const {
    const size_t low = size_t{1} << level_;
    const size_t index = hash & (low * 2 - 1);
    return index >= bucket_count_ ? index - low : index;
  }

  static Bucket* ChunkAt(hash_table_detail::ChunkWord word) {
    return reinterpret_cast<Bucket*>(word & ~hash_table_detail::kChunkLogMask);
  }

  Bucket* BucketAt(size_t index) const {
    return ChunkAt(directory_->chunks[index >> hash_table_detail::kChunkShift]) +
           (index & (hash_table_detail::kChunkBuckets - 1));
  }

  void SetChunk(size_t chunk, Bucket* memory, size_t buckets) {
    // release: a prefetching thread that sees the word finds the chunk zeroed, not that it mattered.
    const uint64_t log = buckets == 0 ? 0 : static_cast<uint64_t>(__builtin_ctzll(buckets));
    __atomic_store_n(&directory_->chunks[chunk], reinterpret_cast<uint64_t>(memory) | log, __ATOMIC_RELEASE);
  }

  const Bucket* RacyBucket(uint64_t hash) const {
    Directory* directory = __atomic_load_n(&directory_, __ATOMIC_RELAXED);
    if (directory == nullptr) return nullptr;
    const size_t index = IndexOf(hash);
    const size_t chunk = index >> hash_table_detail::kChunkShift;
    if (chunk >= Directory::Capacity(directory->order)) return nullptr;
    const hash_table_detail::ChunkWord word = __atomic_load_n(&directory->chunks[chunk], __ATOMIC_RELAXED);
    const size_t offset = index & (hash_table_detail::kChunkBuckets - 1);
    if (word == 0 || (offset >> (word & hash_table_detail::kChunkLogMask)) != 0) return nullptr;
    return ChunkAt(word) + offset;
  }

  template <class Visit>
  void VisitChain(Bucket* head, Visit&& visit) const {
    for (Bucket* bucket = head;;) {
      unsigned mask = bucket->live_mask();
      while (mask != 0) {
        const int index = __builtin_ctz(mask);
        mask &= mask - 1;
        visit(Position(head, bucket, index));
      }
      if (!bucket->chained()) return;
      bucket = bucket->next();
    }
  }

  static size_t ChainLength(const Bucket* head) {
    size_t length = 0;
    for (const Bucket* bucket = head;; bucket = bucket->next()) {
      length += static_cast<size_t>(__builtin_popcount(bucket->live_mask()));
      if (!bucket->chained()) return length;
    }
  }
  /// The entry with this index (below its length) in a chain.
  static Position PositionIn(Bucket* head, size_t index) {
    Bucket* bucket = head;
    for (;;) {
      unsigned mask = bucket->live_mask();
      const size_t here = static_cast<size_t>(__builtin_popcount(mask));
      if (index < here) {
        while (index-- > 0) mask &= mask - 1;
        return {head, bucket, __builtin_ctz(mask)};
      }
      index -= here;
      bucket = bucket->next();
    }
  }

  Position InsertInto(Bucket* head, uint64_t slot_word, uint8_t tag) {
    Bucket* bucket = head;
    while (bucket->chained()) bucket = bucket->next();
    unsigned free_mask = ~unsigned{bucket->used} & hash_table_detail::kSlotMask;
    if (free_mask == 0) {
      bucket = Chain(bucket);
      free_mask = ~unsigned{bucket->used} & hash_table_detail::kSlotMask;
    }
    const int index = __builtin_ctz(free_mask);
    bucket->tags[index] = tag;
    bucket->slots[index] = slot_word;
    bucket->used = static_cast<uint8_t>(bucket->used | 1u << index);
    return {head, bucket, index};
  }

  /// Puts an overflow bucket behind a full one; its first entry is the one that gave up slot 6.
  Bucket* Chain(Bucket* full) {
    Bucket* child = static_cast<Bucket*>(heap_->Allocate(sizeof(Bucket)));
    std::memset(static_cast<void*>(child), 0, sizeof(Bucket));
    constexpr int kLast = hash_table_detail::kSlots - 1;
    child->tags[0] = full->tags[kLast];
    child->slots[0] = full->slots[kLast];
    child->used = 1;
    full->slots[kLast] = reinterpret_cast<uint64_t>(child);
    full->used |= hash_table_detail::kChained;
    chained_++;
    memory_ += sizeof(Bucket);
    return child;
  }

  /// Empties one slot; the hole is filled from the chain's last bucket so that chains stay dense.
  void RemoveAt(Bucket* head, Bucket* bucket, int index) {
    Bucket* parent = nullptr;
    Bucket* last = head;
    while (last->chained()) {
      parent = last;
      last = last->next();
    }
    if (parent == nullptr) {
      bucket->used = static_cast<uint8_t>(bucket->used & ~(1u << index));
      return;
    }
    const int donor = 31 - __builtin_clz(last->live_mask());
    if (last != bucket || donor != index) {
      bucket->tags[index] = last->tags[donor];
      bucket->slots[index] = last->slots[donor];
    }
    last->used = static_cast<uint8_t>(last->used & ~(1u << donor));
    if (last->live_mask() == 0) Unchain(parent, last);
  }

  void Unchain(Bucket* parent, Bucket* child) {
    heap_->Free(child, sizeof(Bucket));
    constexpr unsigned kLinkBits = 1u << (hash_table_detail::kSlots - 1) | hash_table_detail::kChained;
    parent->used = static_cast<uint8_t>(parent->used & ~kLinkBits);
    parent->slots[hash_table_detail::kSlots - 1] = 0;
    chained_--;
    memory_ -= sizeof(Bucket);
  }

  void FreeChain(Bucket* head) {
    if (!head->chained()) return;
    Bucket* child = head->next();
    while (child != nullptr) {
      Bucket* next = child->chained() ? child->next() : nullptr;
      heap_->Free(child, sizeof(Bucket));
      chained_--;
      memory_ -= sizeof(Bucket);
      child = next;
    }
    head->used = 0;
  }

  void FreeBuckets() {
    while (bucket_count_ > 0) {
      FreeChain(BucketAt(bucket_count_ - 1));
      DropLastBucket();
    }
  }

  /// Adds one bucket: bucket `split_` is split by hash bit `level_`.
  void Grow() {
    if (bucket_count_ == 0) {
      AddBucketMemory(0);
      bucket_count_ = 1;
      level_ = 0;
      split_ = 0;
      return;
    }
    AddBucketMemory(bucket_count_);
    Bucket* upper = BucketAt(bucket_count_);
    Bucket* lower = BucketAt(split_);
    SplitChain(lower, upper);
    bucket_count_++;
    if (++split_ == size_t{1} << level_) {
      level_++;
      split_ = 0;
    }
  }

  bool GoesUp(uint64_t slot) const {
    const int bit = level_ - hash_table_detail::kStoredShift;
    if (bit >= 0 && bit < hash_table_detail::kStoredBits) return (slot >> (48 + bit) & 1) != 0;
    return (Policy::Hash(Pointer(slot)) >> level_ & 1) != 0;
  }

  void SplitChain(Bucket* lower, Bucket* upper) {
    // Take the chain apart into a copy, then insert each entry where it belongs now.
    Bucket* source = lower;
    Bucket copy = *lower;
    std::memset(static_cast<void*>(lower), 0, sizeof(Bucket));
    Bucket* child = nullptr;
    for (;;) {
      const Bucket& from = source == lower ? copy : *source;
      unsigned mask = from.live_mask();
      while (mask != 0) {
        const int index = __builtin_ctz(mask);
        mask &= mask - 1;
        InsertInto(GoesUp(from.slots[index]) ? upper : lower, from.slots[index], from.tags[index]);
      }
      Bucket* next = from.chained() ? from.next() : nullptr;
      if (child != nullptr) {
        heap_->Free(child, sizeof(Bucket));
        chained_--;
        memory_ -= sizeof(Bucket);
      }
      if (next == nullptr) return;
      child = source = next;
    }
  }

  /// Takes the last bucket back into the one it was split from.
  void Shrink() {
    if (split_ == 0) {
      level_--;
      split_ = size_t{1} << level_;
    }
    split_--;
    Bucket* upper = BucketAt(bucket_count_ - 1);
    Bucket* lower = BucketAt(split_);
    VisitChain(upper, [&](Position p) {
      InsertInto(lower, p.bucket_->slots[p.index_], p.bucket_->tags[p.index_]);
    });
    FreeChain(upper);
    upper->used = 0;
    DropLastBucket();
  }

  // ---- Memory of buckets ----

  void AddBucketMemory(size_t index) {
    const size_t chunk = index >> hash_table_detail::kChunkShift;
    if (directory_ == nullptr || chunk >= Directory::Capacity(directory_->order)) GrowDirectory();
    if (chunk > 0) {
      if (directory_->chunks[chunk] == 0) {
        SetChunk(chunk, AllocateChunk(hash_table_detail::kChunkBuckets), hash_table_detail::kChunkBuckets);
      }
      return;
    }
    if (index < first_chunk_buckets_) return;
    const size_t wanted = first_chunk_buckets_ == 0 ? 1 : first_chunk_buckets_ * 2;
    Bucket* grown = AllocateChunk(wanted);
    Bucket* old = ChunkAt(directory_->chunks[0]);
    if (old != nullptr) {
      std::memcpy(static_cast<void*>(grown), old, ChunkBytes(first_chunk_buckets_));
    }
    SetChunk(0, grown, wanted);
    if (old != nullptr) FreeChunk(old, first_chunk_buckets_);
    first_chunk_buckets_ = wanted;
  }

  /// Forgets the last bucket (already empty) and frees its chunk when it was the first in it.
  void DropLastBucket() {
    bucket_count_--;
    const size_t chunk = bucket_count_ >> hash_table_detail::kChunkShift;
    std::memset(static_cast<void*>(BucketAt(bucket_count_)), 0, sizeof(Bucket));
    if (chunk == 0 || (bucket_count_ & (hash_table_detail::kChunkBuckets - 1)) != 0) return;
    Bucket* memory = ChunkAt(directory_->chunks[chunk]);
    SetChunk(chunk, nullptr, 0);
    FreeChunk(memory, hash_table_detail::kChunkBuckets);
  }

  static size_t ChunkBytes(size_t buckets) { return buckets * sizeof(Bucket); }

  Bucket* AllocateChunk(size_t buckets) {
    const size_t bytes = ChunkBytes(buckets);
    memory_ += bytes;
    if (bytes >= SlabHeap::kPageSize) {
      return static_cast<Bucket*>(heap_->AllocateBlock(BlockOrder(bytes)));
    }
    void* memory = heap_->Allocate(bytes);
    std::memset(memory, 0, bytes);
    return static_cast<Bucket*>(memory);
  }
  void FreeChunk(Bucket* chunk, size_t buckets) {
    const size_t bytes = ChunkBytes(buckets);
    memory_ -= bytes;
    if (bytes >= SlabHeap::kPageSize) {
      heap_->FreeBlock(chunk, BlockOrder(bytes));
    } else {
      heap_->Free(chunk, bytes);
    }
  }

  static int BlockOrder(size_t bytes) {
    int order = 0;
    while ((SlabHeap::kPageSize << order) < bytes) order++;
    return order;
  }

  void GrowDirectory() {
    const uint64_t order = directory_ == nullptr ? 0 : directory_->order + 1;
    Directory* grown = static_cast<Directory*>(heap_->AllocateStable(static_cast<int>(order)));
    grown->order = order;
    memory_ += size_t{64} << order;
    Directory* old = directory_;
    if (old != nullptr) {
      std::memcpy(grown->chunks, old->chunks, Directory::Capacity(old->order) * sizeof(old->chunks[0]));
    }
    __atomic_store_n(&directory_, grown, __ATOMIC_RELEASE);
    if (old != nullptr) FreeDirectory(old);
  }

  /// A directory is given back empty: the next one at its place starts from null entries.
  void FreeDirectory(Directory* directory) {
    const uint64_t order = directory->order;
    std::memset(directory->chunks, 0, Directory::Capacity(order) * sizeof(directory->chunks[0]));
    memory_ -= size_t{64} << order;
    heap_->FreeStable(directory, static_cast<int>(order));
  }

  /// Frees the first chunk and the directory of a table without entries.
  void ReleaseMemory() {
    if (directory_ == nullptr) return;
    while (bucket_count_ > 0) {
      FreeChain(BucketAt(bucket_count_ - 1));
      DropLastBucket();
    }
    Bucket* first = ChunkAt(directory_->chunks[0]);
    if (first != nullptr) FreeChunk(first, first_chunk_buckets_);
    first_chunk_buckets_ = 0;
    Directory* directory = directory_;
    __atomic_store_n(&directory_, static_cast<Directory*>(nullptr), __ATOMIC_RELEASE);
    FreeDirectory(directory);
    level_ = 0;
    split_ = 0;
  }

  SlabHeap* heap_ = nullptr;
  Directory* directory_ = nullptr;
  size_t bucket_count_ = 0;
  size_t split_ = 0;             // next bucket to split
  size_t size_ = 0;
  size_t first_chunk_buckets_ = 0;
  size_t chained_ = 0;
  size_t memory_ = 0;
  int level_ = 0;
  bool keeps_buckets_ = false;
};

}  // namespace sherd::ds
