// Sorted sets as values: members with scores, in the order of (score, member).
//
//   encoding     payload
//   listpack     ds::Listpack: member, score, member, score … in order; a score is an integer where it
//                is one, else its shortest text (Redis 7.2; so -0 becomes 0 here)
//   skiplist     SortedSet: the members twice, by hash and in order, as one allocation each
//
//        SortedSet
//        +--------------------+        +--------+-----+--------+
//        | table, by member   |------->| score  | len | member |   ds::ScoreNode
//        | tree, by score     |------->|        |     |        |
//        +--------------------+        +--------+-----+--------+
//
// A listpack becomes a skiplist when it gets more than zset-max-listpack-entries members or one longer
// than zset-max-listpack-value; never back, but for results of *STORE commands, which are gathered by a
// SortedSetBuilder and get the smaller form if it fits.
//
// All ways to name a part of a sorted set (ranks, scores, texts) end in a RankRange, so that a command
// is one search and one walk whatever the encoding.
//
// Cost: listpack: a walk. skiplist: score by member O(1), all else O(log n) and the members concerned.
//
// Functions that change a value take its entry and heap; the entry stays where it is, its encoding and
// payload may change. Nothing here tells anybody: events and effects are the commands' business.
// Thread: the holder of the lease of the value's shard.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/numbers.h"
#include "ds/hash_table.h"
#include "ds/listpack.h"
#include "ds/score_tree.h"
#include "engine/entry.h"
#include "engine/keyspace.h"
#include "engine/options.h"

namespace sherd::engine {

struct ScoreNodePolicy {
  using Entry = ds::ScoreNode;
  using Key = std::string_view;
  static uint64_t Hash(const Entry* node) { return HashKey(node->member()); }
  static bool Equals(const Entry* node, std::string_view member) { return EqualBytes(node->member(), member); }
};
using ScoreTable = ds::HashTable<ScoreNodePolicy>;

/// What a skiplist-encoded entry points to. Invariant: both hold the same nodes.
struct SortedSet {
  explicit SortedSet(SlabHeap* heap) : table(heap) {}
  ScoreTable table;
  ds::ScoreTree tree;

  static SortedSet* Create(SlabHeap& heap);
  /// Frees an empty one.
  static void Destroy(SlabHeap& heap, SortedSet* set);
  /// Frees about `max_members` members, then the tables; true when nothing is left.
  static bool FreeSlice(SlabHeap& heap, SortedSet* set, size_t max_members);
};

/// The thresholds of the listpack encoding.
struct SortedSetLimits {
  size_t max_entries;
  size_t max_value;
  static SortedSetLimits Of(const Options& options) {
    return {static_cast<size_t>(options.zset_max_listpack_entries.Get()),
            static_cast<size_t>(options.zset_max_listpack_value.Get())};
  }
};

/// Members from rank `start` on.
struct RankRange {
  size_t start = 0;
  size_t count = 0;
};

struct ScoreRange {
  double min = 0;
  double max = 0;
  bool excludes_min = false;
  bool excludes_max = false;
};

/// An end of a range of texts: "-", "+", "[text" or "(text".
struct TextBound {
  enum Kind : uint8_t { kLowest, kText, kHighest };
  Kind kind = kText;
  bool is_exclusive = false;
  std::string_view text;
};
struct TextRange {
  TextBound min;
  TextBound max;
};

/// Conditions of ZADD.
enum AddFlag : uint32_t {
  kAddIfMissing = 1,   // NX
  kAddIfExists = 2,    // XX
  kAddIfGreater = 4,   // GT
  kAddIfLess = 8,      // LT
  kAddIncrement = 16,  // INCR
};
enum class AddOutcome : uint8_t {
  kAdded,
  kUpdated,
  kUnchanged,   // the member had this score
  kSkipped,     // the conditions forbid it
  kNotANumber,  // inf - inf
};

// ---- Making ----

/// An empty value in the encoding for this many members of this length; returns its payload.
uint64_t CreateSortedSet(SlabHeap& heap, const SortedSetLimits& limits, size_t members,
                         size_t member_length, Encoding* encoding);
/// Makes a listpack a skiplist.
void ConvertToSkipList(SlabHeap& heap, Entry& entry);

// ---- One member ----

size_t SortedSetLength(const Entry& entry);
bool FindScore(const Entry& entry, std::string_view member, double* score);
/// The member's rank in ascending order, and its score.
bool FindRank(const Entry& entry, std::string_view member, size_t* rank, double* score);
/// Adds a member or changes its score. `*result` is the member's score afterwards, if it was not
/// skipped.
AddOutcome AddMember(SlabHeap& heap, Entry& entry, const SortedSetLimits& limits, double score,
                     std::string_view member, uint32_t flags, double* result);
bool RemoveMember(SlabHeap& heap, Entry& entry, std::string_view member);

// ---- Ranges ----

RankRange RangeByScore(const Entry& entry, const ScoreRange& range);
/// Means something where all scores are equal. Where they are not, a listpack gives what Redis gives:
/// the run of members from the first (in `reverse`: the last) that the range allows.
RankRange RangeByText(const Entry& entry, const TextRange& range, bool reverse);
/// Calls visit(std::string_view member, double score) in ascending or descending order. The view is
/// valid during the call, in a skiplist until the member is removed.
template <class Visit>
void VisitRange(const Entry& entry, RankRange range, bool reverse, Visit&& visit);
void RemoveRange(SlabHeap& heap, Entry& entry, RankRange range);

// ---- All members ----

/// Calls visit(std::string_view member, double score) in ascending order until it returns false.
template <class Visit>
void ForEachScore(const Entry& entry, Visit&& visit);
/// One step of ZSCAN: calls visit(member, score) for some members and returns the next cursor. A
/// listpack is given at once.
template <class Visit>
uint64_t ScanSortedSet(const Entry& entry, uint64_t cursor, Visit&& visit);

/// Whether a well-formed listpack from outside is a sorted set: pairs in order, each member once, each
/// score a number.
bool IsSortedSetPack(ds::Listpack pack);

// ---- Building ----

/// Gathers members in any order, then makes a value of them.
///
///   SortedSetBuilder builder(heap);
///   builder.Add("a", 1);
///   if (builder.size() > 0) payload = builder.Finish(limits, &encoding);
class SortedSetBuilder {
 public:
  struct Item {
    double score;
    ds::ScoreNode* node;
  };

  explicit SortedSetBuilder(SlabHeap& heap) : heap_(heap), set_(SortedSet::Create(heap)) {}
  SortedSetBuilder(const SortedSetBuilder&) = delete;
  SortedSetBuilder& operator=(const SortedSetBuilder&) = delete;
  ~SortedSetBuilder();

  size_t size() const { return items_.size(); }
  void Reserve(size_t members) { items_.reserve(members); }
  /// Adds a member. False: it is there already, and keeps its score.
  bool Add(std::string_view member, double score) {
    return AddHashed(member, HashKey(member), score);
  }
  /// Adds a member, or calls combine(double* score) with the score it has.
  template <class Combine>
  void AddOrCombine(std::string_view member, uint64_t hash, double score, Combine&& combine);
  void Prefetch(uint64_t hash) const { set_->table.PrefetchBucket(hash); }
  void PrefetchMember(uint64_t hash) const { set_->table.PrefetchEntry(hash); }

  /// The members in order; valid until the builder goes or Finish is called.
  const std::vector<Item>& Sorted();
  /// The value's payload and encoding. Not for an empty builder; the builder is empty afterwards.
  uint64_t Finish(const SortedSetLimits& limits, Encoding* encoding);

 private:
  bool AddHashed(std::string_view member, uint64_t hash, double score);
  uint64_t FinishListpack();

  SlabHeap& heap_;
  SortedSet* set_;  // its table only, until Finish
  std::vector<Item> items_;
  size_t longest_ = 0;  // longest member
};

// ---- Templates ----

namespace sorted_set_detail {

/// The score that stands at a place of a listpack.
double ScoreAt(ds::Listpack pack, ds::Listpack::Position at);
inline SortedSet& SetOf(const Entry& entry) { return *entry.object<SortedSet>(); }

template <class Visit>
void VisitPairs(ds::Listpack pack, RankRange range, bool reverse, Visit&& visit) {
  if (range.count == 0) return;
  char buffer[kInt64CharsMax];
  const size_t first = reverse ? range.start + range.count - 1 : range.start;
  ds::Listpack::Position at = pack.Seek(static_cast<int64_t>(2 * first));
  for (size_t i = 0; i < range.count; i++) {
    const ds::Listpack::Position score_at = pack.Next(at);
    visit(pack.Get(at).View(buffer), ScoreAt(pack, score_at));
    if (i + 1 == range.count) return;
    at = reverse ? pack.Previous(pack.Previous(at)) : pack.Next(score_at);
  }
}

}  // namespace sorted_set_detail

template <class Visit>
void VisitRange(const Entry& entry, RankRange range, bool reverse, Visit&& visit) {
  if (entry.encoding() == Encoding::kListPack) {
    sorted_set_detail::VisitPairs(entry.listpack(), range, reverse, visit);
  } else {
    sorted_set_detail::SetOf(entry).tree.VisitRange(range.start, range.count, reverse, visit);
  }
}

template <class Visit>
void ForEachScore(const Entry& entry, Visit&& visit) {
  if (entry.encoding() == Encoding::kListPack) {
    const ds::Listpack pack = entry.listpack();
    char buffer[kInt64CharsMax];
    for (ds::Listpack::Position at = pack.First(); at != ds::Listpack::kNone;) {
      const ds::Listpack::Position score_at = pack.Next(at);
      if (!visit(pack.Get(at).View(buffer), sorted_set_detail::ScoreAt(pack, score_at))) return;
      at = pack.Next(score_at);
    }
    return;
  }
  const ds::ScoreTree& tree = sorted_set_detail::SetOf(entry).tree;
  for (ds::ScoreTree::Position at = tree.First(); at; at = at.Next()) {
    if (!visit(at.member(), at.score())) return;
  }
}

template <class Visit>
uint64_t ScanSortedSet(const Entry& entry, uint64_t cursor, Visit&& visit) {
  if (entry.encoding() == Encoding::kListPack) {
    VisitRange(entry, {0, SortedSetLength(entry)}, false, visit);
    return 0;
  }
  return sorted_set_detail::SetOf(entry).table.Scan(
      cursor, [&](ScoreTable::Position at) { visit(at.entry()->member(), at.entry()->score); });
}

template <class Combine>
void SortedSetBuilder::AddOrCombine(std::string_view member, uint64_t hash, double score,
                                    Combine&& combine) {
  const ScoreTable::Position found = set_->table.Find(hash, member);
  if (found) {
    combine(&found.entry()->score);
    return;
  }
  ds::ScoreNode* node = ds::ScoreNode::Create(heap_, score, member);
  set_->table.Insert(hash, node);
  items_.push_back({score, node});
  if (member.size() > longest_) longest_ = member.size();
}

}  // namespace sherd::engine
