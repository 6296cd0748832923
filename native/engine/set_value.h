// Sets: what a value of the set type is: an intset, a listpack or a table of members, and when it
// changes from one to the other.
//
//   encoding   payload points to      holds                       up to
//   intset     ds::IntSet's block     integers                    set-max-intset-entries
//   listpack   ds::Listpack's block   short members of any kind   set-max-listpack-entries, -value
//   hashtable  SetTable               all others
//
//              an integer too many
//     intset ---------------------------------> hashtable
//        |                                        ^
//        | a text, few and short members          | one too many or too long
//        +--------------> listpack ---------------+
//
// Conversions are Redis 7.2's, in its order (OBJECT ENCODING shows them), and never go back; only
// stores of whole results choose again. Rules that are easy to get wrong:
//   - the first member alone decides between intset and listpack; the number of members that SADD
//     brings is a hint that may choose the hashtable at once, though they may turn out to be equal;
//   - a text that does not fit a listpack makes a hashtable even of a small intset.
//
// A SetObject is a set without an entry: two words to be copied out of an entry, changed, and
// stored again (Store), or to be built and then put into the keyspace, or freed.
//
// WALKING AND PROBING go by batches of some dozens of members (see ds/member_table.h): ForEachBatch
// gives them as texts whatever the encoding, a SetProbe looks all of them up at once.
//
// Thread: the holder of the lease of the value's shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/numbers.h"
#include "base/random.h"
#include "base/slab_heap.h"
#include "ds/intset.h"
#include "ds/listpack.h"
#include "ds/member_table.h"
#include "engine/entry.h"
#include "engine/keyspace.h"
#include "engine/options.h"

namespace sherd::engine {

using SetTable = ds::MemberTable<HashKey>;

/// The thresholds of the encodings, read once a command.
struct SetLimits {
  explicit SetLimits(const Options& options);
  size_t intset_entries;
  size_t listpack_entries;
  size_t listpack_value;
};

class SetObject {
 public:
  /// Members of one batch at most.
  static constexpr size_t kBatchMax = SetTable::kBatchMax;
  /// Where a member that is stored as an integer is written to.
  using Text = char[kInt64CharsMax];

  SetObject(Encoding encoding, uint64_t payload) : encoding_(encoding), payload_(payload) {}
  explicit SetObject(const Entry& entry) : encoding_(entry.encoding()), payload_(entry.payload()) {}

  static SetObject CreateIntSet(SlabHeap& heap) { return SetObject(ds::IntSet::Create(heap)); }
  static SetObject CreateListpack(SlabHeap& heap) { return SetObject(ds::Listpack::Create(heap)); }
  static SetObject CreateTable(SlabHeap& heap);
  /// An empty one for a set whose first member is `first` and that is going to have up to
  /// `size_hint`.
  static SetObject CreateFor(SlabHeap& heap, const SetLimits& limits, std::string_view first,
                             size_t size_hint);
  void Free(SlabHeap& heap);
  SetObject Clone(SlabHeap& heap) const;

  Encoding encoding() const { return encoding_; }
  const void* object() const { return reinterpret_cast<const void*>(payload_); }
  uint64_t payload() const { return payload_; }
  bool is_intset() const { return encoding_ == Encoding::kIntSet; }
  bool is_listpack() const { return encoding_ == Encoding::kListPack; }
  bool is_table() const { return encoding_ == Encoding::kHashTable; }
  ds::IntSet intset() const { return ds::IntSet(reinterpret_cast<uint8_t*>(payload_)); }
  ds::Listpack listpack() const { return ds::Listpack(reinterpret_cast<uint8_t*>(payload_)); }
  SetTable* table() const { return reinterpret_cast<SetTable*>(payload_); }

  /// Puts the (possibly moved or converted) value back where it came from.
  void Store(Entry* entry) const {
    entry->SetType(Type::kSet, encoding_);
    entry->set_payload(payload_);
  }

  size_t size() const;
  bool Contains(std::string_view member) const;

  // ---- Changing. Store() it again afterwards. ----

  /// Adds a member; false if it is there already.
  bool Add(SlabHeap& heap, const SetLimits& limits, std::string_view member);
  /// Adds `members`, which may be there already or equal. Returns how many were not.
  size_t AddAll(SlabHeap& heap, const SetLimits& limits, std::span<const std::string_view> members);
  /// Adds `members`, which differ from one another and are not there yet: the same without
  /// searching.
  void AddDistinct(SlabHeap& heap, const SetLimits& limits,
                   std::span<const std::string_view> members);
  /// Removes a member; false if it is not there.
  bool Remove(SlabHeap& heap, std::string_view member);
  /// `count` more members are announced: a set that would outgrow its encoding by them alone
  /// becomes a table at once.
  void ExpectMore(SlabHeap& heap, const SetLimits& limits, size_t count);
  /// Makes a set whose members are all integers an intset, unless it is too large.
  void CompactIntegers(SlabHeap& heap, const SetLimits& limits);

  // ---- Picking at random, all members being equally likely ----

  /// A member; the set must not be empty. Valid until the next change.
  std::string_view RandomMember(Random& random, Text& text) const;
  /// Removes `count` <= size() members and calls sink(std::string_view) for each before it goes.
  template <class Sink>
  void PopRandom(SlabHeap& heap, Random& random, size_t count, Sink&& sink);
  /// Moves `count` < size() members into a new set.
  SetObject ExtractRandom(SlabHeap& heap, const SetLimits& limits, Random& random, size_t count);
  /// Calls sink(std::string_view) for `count` < size() different members.
  template <class Sink>
  void SampleRandom(Random& random, size_t count, Sink&& sink) const;

  // ---- Walking and probing ----

  /// Calls visit(std::span<std::string_view>) for all members, at most kBatchMax at a time, until
  /// it returns false; returns whether it never did. The visitor may change the span's elements,
  /// but not the set. Intsets go in ascending order, listpacks in the order of insertion.
  template <class Visit>
  bool ForEachBatch(Visit&& visit) const;
  /// The same, one by one: visit(std::string_view).
  template <class Visit>
  bool ForEach(Visit&& visit) const {
    return ForEachBatch([&](std::span<std::string_view> batch) {
      for (const std::string_view member : batch) {
        if (!visit(member)) return false;
      }
      return true;
    });
  }

  // ---- Bytes from outside (RESTORE, files). False: they are refused, and nothing was made. ----

  static bool AdoptIntSet(SlabHeap& heap, const SetLimits& limits, std::string_view bytes,
                          SetObject* set);
  static bool AdoptListpack(SlabHeap& heap, const SetLimits& limits, std::string_view bytes,
                            SetObject* set);
  /// An empty set that `count` > 0 members are going to be added to one by one; Add() says which is
  /// twice.
  static SetObject CreateForLoad(SlabHeap& heap, const SetLimits& limits, size_t count);

  /// Bytes of the value. O(1).
  size_t memory() const;
  /// Full check of the structure; CHECKs. O(n).
  void Validate() const;
  bool FreeSlice(SlabHeap& heap, size_t max_members);

 private:
  explicit SetObject(ds::IntSet set) { SetIntSet(set); }
  explicit SetObject(ds::Listpack pack) { SetListpack(pack); }
  void SetIntSet(ds::IntSet set) {
    encoding_ = Encoding::kIntSet;
    payload_ = reinterpret_cast<uint64_t>(set.data());
  }
  void SetListpack(ds::Listpack pack) {
    encoding_ = Encoding::kListPack;
    payload_ = reinterpret_cast<uint64_t>(pack.data());
  }

  bool AddToIntSet(SlabHeap& heap, const SetLimits& limits, std::string_view member);
  bool AddToListpack(SlabHeap& heap, const SetLimits& limits, std::string_view member);
  /// Appends as many of `members` as a listpack may hold; returns their number.
  size_t AppendToListpack(SlabHeap& heap, const SetLimits& limits,
                          std::span<const std::string_view> members);
  bool FitsListpack(const SetLimits& limits, std::string_view member) const;
  void ConvertToTable(SlabHeap& heap);
  void ConvertToListpack(SlabHeap& heap);
  /// `count` different members of a table, few of many.
  std::vector<const ds::Member*> PickDistinct(Random& random, size_t count) const;

  Encoding encoding_;
  uint64_t payload_;
};

/// A set in which many members are going to be looked up. Tables and intsets are ready for that;
/// for a listpack, which would be walked each time, the hashes of its members are sorted into
/// places first. The set must not change meanwhile.
class SetProbe {
 public:
  /// `lookups`: about how many there will be.
  SetProbe(const SetObject& set, size_t lookups);

  /// Whether Filter looks at the hashes.
  bool needs_hashes() const { return set_.is_table() || !places_.empty(); }
  /// Of `count` texts (count <= kBatchMax) with their hashes, keeps those that are members (or,
  /// unless `keep_members`, those that are not), in their order. Returns how many.
  size_t Filter(std::string_view* texts, uint64_t* hashes, size_t count, bool keep_members) const;

 private:
  /// A member of the listpack; open addressing, at most half of the places are taken.
  struct Place {
    uint32_t position = 0;  // 0: free
    uint32_t hash = 0;
  };
  bool Contains(uint64_t hash, std::string_view text) const;

  SetObject set_;
  std::vector<Place> places_;  // empty: looked up in the set itself
};

/// Calls visit(std::string_view) for the members of a set until it returns false; returns whether
/// it never did. The visitor must not change the set. For commands that know any type (DUMP, SORT,
/// DEBUG DIGEST).
template <class Visit>
bool ForEachSetMember(const Entry& entry, Visit&& visit) {
  return SetObject(entry).ForEach(visit);
}

// ---- Templates ----

template <class Visit>
bool SetObject::ForEachBatch(Visit&& visit) const {
  if (is_table()) return table()->ForEachBatch(visit);
  // Integers are written here; only as many batches as a small block needs.
  Text texts[kBatchMax];
  std::string_view batch[kBatchMax];
  size_t count = 0;
  bool goes_on = true;
  const auto flush = [&] {
    goes_on = goes_on && visit(std::span<std::string_view>(batch, count));
    count = 0;
    return goes_on;
  };
  if (is_intset()) {
    intset().ForEach([&](int64_t value) {
      batch[count] = {texts[count], FormatInt64(value, texts[count])};
      return ++count < kBatchMax || flush();
    });
  } else {
    const ds::Listpack pack = listpack();
    for (auto at = pack.First(); at != ds::Listpack::kNone && goes_on; at = pack.Next(at)) {
      batch[count] = pack.Get(at).View(texts[count]);
      if (++count == kBatchMax) flush();
    }
  }
  return count == 0 ? goes_on : flush();
}

template <class Sink>
void SetObject::PopRandom(SlabHeap& heap, Random& random, size_t count, Sink&& sink) {
  DCHECK(count <= size());
  if (is_table()) {
    for (; count > 0; count--) {
      const SetTable::Position position = table()->RandomPosition([&] { return random.Next(); });
      sink(position.entry()->view());
      table()->Erase(heap, position);
    }
    return;
  }
  // One walk over the block; each member goes with the chance that makes all choices equally
  // likely.
  size_t left = size();
  Text text;
  const auto goes = [&] { return random.Below(left--) < count; };
  if (is_intset()) {
    ds::IntSet set = intset();
    set.RemoveIf(heap, [&](int64_t value) {
      if (!goes()) return false;
      count--;
      sink(std::string_view(text, FormatInt64(value, text)));
      return true;
    });
    SetIntSet(set);
    return;
  }
  ds::Listpack pack = listpack();
  for (auto at = pack.First(); at != ds::Listpack::kNone && count > 0;) {
    if (!goes()) {
      at = pack.Next(at);
      continue;
    }
    count--;
    sink(pack.Get(at).View(text));
    at = pack.Erase(heap, at);
  }
  SetListpack(pack);
}

template <class Sink>
void SetObject::SampleRandom(Random& random, size_t count, Sink&& sink) const {
  size_t left = size();
  DCHECK(count < left);
  // A walk costs a fraction of what a random access does.
  constexpr size_t kWalkAdvantage = 16;
  if (is_table() && count < left / kWalkAdvantage) {
    for (const ds::Member* member : PickDistinct(random, count)) sink(member->view());
    return;
  }
  ForEach([&](std::string_view member) {
    if (random.Below(left--) < count) {
      count--;
      sink(member);
    }
    return count > 0;
  });
}

}  // namespace sherd::engine
