// MemberTable: a set of strings: a HashTable whose entries are a length and the bytes, in one
// allocation.
//
//   0        1
//   +--------+------- - -+
//   | length | bytes     |                  length < 255
//   +--------+------- - -+---- - -+
//   | 255    | u64 length| bytes  |         longer ones
//   +--------+------- - -+---- - -+
//     0        1           9
//
// A 10-byte member takes 11 bytes, so 16 of the heap; with its place in the table (14.3 bytes) it
// costs 30 bytes where Redis 7.0 spends 56 (a string, an entry of the dictionary and a share of its
// array).
//
// WALKING. The members of a big set lie all over the heap, so a plain walk waits for memory once a
// member. ForEachBatch reads the pointers of some buckets ahead, asks for the lines they point to,
// and hands out the batch before it, whose lines have arrived by then. Filter does the same for
// lookups: all buckets of a batch, then all entries that may match, and then the comparisons. Each
// hides nearly all of the wait.
//
// The hash is the caller's, by template: it must be the same for all tables that are walked along
// one another, and is computed once for a member that is looked up in several.
//
// Invariant: member_bytes() is the sum of GoodSize(Member::SizeFor(length)) over all members.
//
// Thread: the owner's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/slab_heap.h"
#include "ds/hash_table.h"

namespace sherd::ds {

/// One member, as it lies in the heap. Never constructed: Create gives the address of its bytes.
class Member {
 public:
  static Member* Create(SlabHeap& heap, std::string_view text);
  void Free(SlabHeap& heap) { heap.Free(this, SizeFor(view().size())); }

  std::string_view view() const {
    if (__builtin_expect(bytes()[0] != kLong, 1)) return {text() + 1, bytes()[0]};
    return {text() + kLongHeader, static_cast<size_t>(LoadLittle64(text() + 1))};
  }
  static size_t SizeFor(size_t length) { return length + (length < kLong ? 1 : kLongHeader); }

 private:
  static constexpr size_t kLong = 255;
  static constexpr size_t kLongHeader = 9;
  const uint8_t* bytes() const { return reinterpret_cast<const uint8_t*>(this); }
  const char* text() const { return reinterpret_cast<const char*>(this); }
};

template <uint64_t (*HashText)(std::string_view)>
class MemberTable {
  struct Policy {
    using Entry = Member;
    using Key = std::string_view;
    static uint64_t Hash(const Member* member) { return HashText(member->view()); }
    static bool Equals(const Member* member, std::string_view text) { return EqualBytes(member->view(), text); }
  };
  using Table = HashTable<Policy>;

 public:
  using Position = typename Table::Position;
  /// Members of one batch at most.
  static constexpr size_t kBatchMax = 64;

  explicit MemberTable(SlabHeap* heap) : table_(heap) {}

  size_t size() const { return table_.size(); }
  size_t member_bytes() const { return member_bytes_; }
  /// Bytes of buckets and members, without this object itself.
  size_t memory() const { return table_.memory() + member_bytes_; }

  static uint64_t Hash(std::string_view text) { return HashText(text); }

  bool Contains(std::string_view text) const { return Contains(HashText(text), text); }
  bool Contains(uint64_t hash, std::string_view text) const {
    return static_cast<bool>(table_.Find(hash, text));
  }
  /// Adds a member; false if it is there already.
  bool Add(SlabHeap& heap, std::string_view text) { return Add(heap, HashText(text), text); }
  bool Add(SlabHeap& heap, uint64_t hash, std::string_view text) {
    if (table_.Find(hash, text)) return false;
    AddNew(heap, hash, text);
    return true;
  }
  /// Adds a member that is known not to be there.
  void AddNew(SlabHeap& heap, uint64_t hash, std::string_view text) {
    table_.Insert(hash, Member::Create(heap, text));
    member_bytes_ += SlabHeap::GoodSize(Member::SizeFor(text.size()));
  }
  /// Removes a member; false if it is not there.
  bool Remove(SlabHeap& heap, std::string_view text) {
    const Position position = table_.Find(HashText(text), text);
    if (!position) return false;
    Erase(heap, position);
    return true;
  }
  void Erase(SlabHeap& heap, Position position) { FreeMember(heap, table_.Erase(position)); }

  /// A uniformly random member; the table must not be empty. `random` yields 64 random bits a call.
  template <class RandomBits>
  Position RandomPosition(RandomBits&& random) const {
    return table_.RandomPosition(random);
  }

  /// SCAN's walk: visit(std::string_view) for the members of one bucket; see HashTable::Scan.
  template <class Visit>
  uint64_t Scan(uint64_t cursor, Visit&& visit) const {
    return table_.Scan(cursor, [&](Position position) { visit(position.entry()->view()); });
  }

  /// Calls visit(std::span<std::string_view>) for all members, some dozens at a time, until it
  /// returns false; returns whether it never did. The visitor may change the span's elements; it
  /// must not change the table.
  template <class Visit>
  bool ForEachBatch(Visit&& visit) const;

  /// Of `count` texts with their hashes (count <= kBatchMax), keeps those that are members (or,
  /// unless `keep_members`, those that are not), in their order. Returns how many.
  size_t Filter(std::string_view* texts, uint64_t* hashes, size_t count, bool keep_members) const;

  /// Adds the texts of a batch (count <= kBatchMax), which may be members already. Returns how many
  /// were not.
  size_t AddBatch(SlabHeap& heap, const std::string_view* texts, const uint64_t* hashes,
                  size_t count);
  /// Fetches what looking up these hashes will touch.
  void PrefetchBatch(const uint64_t* hashes, size_t count) const {
    for (size_t i = 0; i < count; i++) table_.PrefetchBucket(hashes[i]);
    for (size_t i = 0; i < count; i++) table_.PrefetchEntry(hashes[i]);
  }

  /// Frees about `max_members` members; true when nothing is left. The table must not be used
  /// otherwise any more.
  bool FreeSlice(SlabHeap& heap, size_t max_members);

  /// Deep check of the structure. O(n).
  void Validate() const {
    table_.Validate();
    size_t bytes = 0;
    table_.VisitBuckets(0, table_.bucket_count(), [&](Position position) {
      bytes += SlabHeap::GoodSize(Member::SizeFor(position.entry()->view().size()));
    });
    CHECK(bytes == member_bytes_);
  }

 private:
  // A bucket is added to a batch while it can still hold this many: longer chains hardly exist.
  static constexpr size_t kChainRoom = 16;

  void FreeMember(SlabHeap& heap, Member* member) {
    member_bytes_ -= SlabHeap::GoodSize(Member::SizeFor(member->view().size()));
    member->Free(heap);
  }

  Table table_;
  size_t member_bytes_ = 0;
};

template <uint64_t (*HashText)(std::string_view)>
template <class Visit>
bool MemberTable<HashText>::ForEachBatch(Visit&& visit) const {
  const Member* ahead[kBatchMax];
  std::string_view batch[kBatchMax];
  size_t ahead_count = 0;
  const size_t buckets = table_.bucket_count();
  bool goes_on = true;
  for (size_t bucket = 0; bucket < buckets || ahead_count > 0;) {
    // Those asked for a round ago.
    const size_t count = ahead_count;
    for (size_t i = 0; i < count; i++) batch[i] = ahead[i]->view();
    ahead_count = 0;
    while (bucket < buckets && ahead_count + kChainRoom <= kBatchMax && goes_on) {
      table_.VisitBuckets(bucket++, 1, [&](Position position) {
        const Member* member = position.entry();
        if (ahead_count < kBatchMax) {
          __builtin_prefetch(member);
          // Members of more than a few bytes straddle lines as often as not.
          __builtin_prefetch(reinterpret_cast<const char*>(member) + 24);
          ahead[ahead_count++] = member;
          return;
        }
        std::string_view one = member->view();
        goes_on = goes_on && visit(std::span<std::string_view>(&one, 1));
      });
    }
    if (count > 0) goes_on = goes_on && visit(std::span<std::string_view>(batch, count));
    if (!goes_on) return false;
  }
  return true;
}

template <uint64_t (*HashText)(std::string_view)>
size_t MemberTable<HashText>::Filter(std::string_view* texts, uint64_t* hashes, size_t count,
                                     bool keep_members) const {
  DCHECK(count <= kBatchMax);
  PrefetchBatch(hashes, count);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (Contains(hashes[i], texts[i]) != keep_members) continue;
    texts[kept] = texts[i];
    hashes[kept++] = hashes[i];
  }
  return kept;
}

template <uint64_t (*HashText)(std::string_view)>
size_t MemberTable<HashText>::AddBatch(SlabHeap& heap, const std::string_view* texts,
                                       const uint64_t* hashes, size_t count) {
  DCHECK(count <= kBatchMax);
  PrefetchBatch(hashes, count);
  size_t added = 0;
  for (size_t i = 0; i < count; i++) added += Add(heap, hashes[i], texts[i]) ? 1 : 0;
  return added;
}

template <uint64_t (*HashText)(std::string_view)>
bool MemberTable<HashText>::FreeSlice(SlabHeap& heap, size_t max_members) {
  size_t freed = 0;
  while (freed < max_members) {
    const bool has_more = table_.DismantleBucket([&](Member* member) {
      FreeMember(heap, member);
      freed++;
    });
    if (!has_more) return true;
  }
  return false;
}

}  // namespace sherd::ds
