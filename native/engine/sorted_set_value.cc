// Sorted sets as values: see the header for the encodings.
#include "engine/sorted_set_value.h"

#include <algorithm>
#include <new>

#include "engine/value_ops.h"

namespace sherd::engine {

using ds::Listpack;
using ds::ScoreNode;
using sorted_set_detail::ScoreAt;
using sorted_set_detail::SetOf;

namespace sorted_set_detail {

double ScoreAt(Listpack pack, Listpack::Position at) {
  const ds::PackedValue value = pack.Get(at);
  if (value.is_integer()) return static_cast<double>(value.integer);
  double score = 0;
  CHECK(ParseDouble({value.text, value.size}, &score));
  return score;
}

}  // namespace sorted_set_detail

namespace {

bool IsPacked(const Entry& entry) { return entry.encoding() == Encoding::kListPack; }

// ---- Listpacks ----

struct ScoreText {
  char bytes[kDoubleCharsMax];
  size_t size;
  explicit ScoreText(double score) {
    int64_t integer;
    size =
        DoubleToInt64(score, &integer) ? FormatInt64(integer, bytes) : FormatDouble(score, bytes);
  }
  std::string_view view() const { return {bytes, size}; }
};

// Whether (score, member) comes before the pair whose member stands at `at`.
bool IsBefore(Listpack pack, Listpack::Position at, double score, std::string_view member) {
  const double there = ScoreAt(pack, pack.Next(at));
  if (score != there) return score < there;
  char buffer[kInt64CharsMax];
  return member < pack.Get(at).View(buffer);
}

void InsertPair(SlabHeap& heap, Listpack* pack, double score, std::string_view member) {
  const ScoreText text(score);
  const Listpack::Position last = pack->is_empty() ? Listpack::kNone : pack->Previous(pack->Last());
  if (last == Listpack::kNone || !IsBefore(*pack, last, score, member)) {
    const std::string_view pair[] = {member, text.view()};
    return pack->AppendAll(heap, pair);
  }
  Listpack::Position at = pack->First();
  while (!IsBefore(*pack, at, score, member)) at = pack->Next(pack->Next(at));
  pack->Insert(heap, at, text.view());
  pack->Insert(heap, at, member);
}

// Gives the pair at `at` another score: in place if it stays between its neighbours.
void ChangePackedScore(SlabHeap& heap, Listpack* pack, Listpack::Position at, double score,
                       std::string_view member) {
  const Listpack::Position score_at = pack->Next(at);
  const Listpack::Position next = pack->Next(score_at);
  const Listpack::Position before = pack->Previous(at);
  const bool stays =
      (next == Listpack::kNone || IsBefore(*pack, next, score, member)) &&
      (before == Listpack::kNone || !IsBefore(*pack, pack->Previous(before), score, member));
  if (stays) return pack->Replace(heap, score_at, ScoreText(score).view());
  pack->Erase(heap, at, 2);
  InsertPair(heap, pack, score, member);
}

bool AllowsMin(const TextBound& min, std::string_view text) {
  if (min.kind != TextBound::kText) return min.kind == TextBound::kLowest;
  return min.is_exclusive ? text > min.text : text >= min.text;
}

bool AllowsMax(const TextBound& max, std::string_view text) {
  if (max.kind != TextBound::kText) return max.kind == TextBound::kHighest;
  return max.is_exclusive ? text < max.text : text <= max.text;
}

RankRange PackedRangeByScore(Listpack pack, const ScoreRange& range) {
  RankRange found;
  for (Listpack::Position at = pack.First(); at != Listpack::kNone;) {
    const Listpack::Position score_at = pack.Next(at);
    const double score = ScoreAt(pack, score_at);
    if (range.excludes_max ? score >= range.max : score > range.max) break;
    if (range.excludes_min ? score <= range.min : score < range.min) {
      found.start++;
    } else {
      found.count++;
    }
    at = pack.Next(score_at);
  }
  return found;
}

// Redis first asks whether the last member is above the minimum and the first below the maximum, then
// walks from its end of the list. Members of unequal scores make these questions visible.
RankRange PackedRangeByText(Listpack pack, const TextRange& range, bool reverse) {
  char buffer[kInt64CharsMax];
  const auto text_at = [&](Listpack::Position at) { return pack.Get(at).View(buffer); };
  const Listpack::Position first = pack.First();
  const Listpack::Position last = pack.Previous(pack.Last());
  if (!AllowsMin(range.min, text_at(last)) || !AllowsMax(range.max, text_at(first))) return {};
  RankRange found;
  if (!reverse) {
    Listpack::Position at = first;
    for (; at != Listpack::kNone && !AllowsMin(range.min, text_at(at));
         at = pack.Next(pack.Next(at))) {
      found.start++;
    }
    for (; at != Listpack::kNone && AllowsMax(range.max, text_at(at));
         at = pack.Next(pack.Next(at))) {
      found.count++;
    }
    return found;
  }
  const auto step_back = [&](Listpack::Position at) {
    const Listpack::Position score_at = pack.Previous(at);
    return score_at == Listpack::kNone ? Listpack::kNone : pack.Previous(score_at);
  };
  size_t end = pack.count() / 2;
  Listpack::Position at = last;
  for (; at != Listpack::kNone && !AllowsMax(range.max, text_at(at)); at = step_back(at)) end--;
  for (; at != Listpack::kNone && AllowsMin(range.min, text_at(at)); at = step_back(at))
    found.count++;
  found.start = end - found.count;
  return found;
}

void RemovePairs(SlabHeap& heap, Entry& entry, RankRange range) {
  Listpack pack = entry.listpack();
  pack.EraseRange(heap, static_cast<int64_t>(2 * range.start), 2 * range.count);
  entry.set_listpack(pack);
}

// ---- Skiplists ----

void InsertNode(SlabHeap& heap, SortedSet& set, uint64_t hash, double score,
                std::string_view member) {
  ScoreNode* node = ScoreNode::Create(heap, score, member);
  set.table.Insert(hash, node);
  set.tree.Insert(heap, node);
}

size_t RankBefore(const ds::ScoreTree& tree, const TextBound& bound, bool is_min) {
  if (bound.kind == TextBound::kLowest) return 0;
  if (bound.kind == TextBound::kHighest) return tree.size();
  return tree.Rank(ds::BeforeText{bound.text, bound.is_exclusive == is_min});
}

// ---- Adding ----

// What ZADD's flags say about a member that exists; kUpdated: give it `*score`.
AddOutcome DecideUpdate(double current, uint32_t flags, double* score) {
  if ((flags & kAddIfMissing) != 0) return AddOutcome::kSkipped;
  if ((flags & kAddIncrement) != 0) {
    *score += current;
    if (*score != *score) return AddOutcome::kNotANumber;
  }
  if ((flags & kAddIfLess) != 0 && *score >= current) return AddOutcome::kSkipped;
  if ((flags & kAddIfGreater) != 0 && *score <= current) return AddOutcome::kSkipped;
  return *score == current ? AddOutcome::kUnchanged : AddOutcome::kUpdated;
}

AddOutcome AddPacked(SlabHeap& heap, Entry& entry, const SortedSetLimits& limits, double* score,
                     std::string_view member, uint32_t flags) {
  Listpack pack = entry.listpack();
  const Listpack::Position at = pack.Find(pack.First(), member, 1);
  if (at != Listpack::kNone) {
    const AddOutcome outcome = DecideUpdate(ScoreAt(pack, pack.Next(at)), flags, score);
    if (outcome == AddOutcome::kUpdated) {
      ChangePackedScore(heap, &pack, at, *score, member);
      entry.set_listpack(pack);
    }
    return outcome;
  }
  if ((flags & kAddIfExists) != 0) return AddOutcome::kSkipped;
  if (pack.count() / 2 + 1 > limits.max_entries || member.size() > limits.max_value ||
      pack.bytes() + member.size() > Listpack::kMaxBytes) {
    ConvertToSkipList(heap, entry);
    InsertNode(heap, SetOf(entry), HashKey(member), *score, member);
  } else {
    InsertPair(heap, &pack, *score, member);
    entry.set_listpack(pack);
  }
  return AddOutcome::kAdded;
}

AddOutcome AddNode(SlabHeap& heap, Entry& entry, double* score, std::string_view member,
                   uint32_t flags) {
  SortedSet& set = SetOf(entry);
  const uint64_t hash = HashKey(member);
  const ScoreTable::Position found = set.table.Find(hash, member);
  if (found) {
    ScoreNode* node = found.entry();
    const AddOutcome outcome = DecideUpdate(node->score, flags, score);
    if (outcome == AddOutcome::kUpdated) set.tree.ChangeScore(heap, node, *score);
    return outcome;
  }
  if ((flags & kAddIfExists) != 0) return AddOutcome::kSkipped;
  InsertNode(heap, set, hash, *score, member);
  return AddOutcome::kAdded;
}

}  // namespace

// ---- Making ----

SortedSet* SortedSet::Create(SlabHeap& heap) {
  return new (heap.Allocate(sizeof(SortedSet))) SortedSet(&heap);
}

void SortedSet::Destroy(SlabHeap& heap, SortedSet* set) {
  set->~SortedSet();
  heap.Free(set, sizeof(SortedSet));
}

bool SortedSet::FreeSlice(SlabHeap& heap, SortedSet* set, size_t max_members) {
  // Members go with the leaves of the tree; the table then points to nothing, and is taken apart bucket
  // by bucket without looking.
  constexpr size_t kBucketMembers = 5;
  size_t freed = 0;
  while (freed < max_members) {
    const size_t before = set->tree.size();
    if (before == 0 && set->table.bucket_count() == 0) {
      Destroy(heap, set);
      return true;
    }
    if (before > 0) {
      set->tree.DismantleLeaf(heap, [&](ScoreNode* node) { node->Free(heap); });
      freed += before - set->tree.size();
    } else {
      set->table.DismantleBucket([](ScoreNode*) {});
      freed += kBucketMembers;
    }
  }
  return false;
}

uint64_t CreateSortedSet(SlabHeap& heap, const SortedSetLimits& limits, size_t members,
                         size_t member_length, Encoding* encoding) {
  if (members <= limits.max_entries && member_length <= limits.max_value) {
    *encoding = Encoding::kListPack;
    return reinterpret_cast<uint64_t>(Listpack::Create(heap).data());
  }
  *encoding = Encoding::kSkipList;
  return reinterpret_cast<uint64_t>(SortedSet::Create(heap));
}

void ConvertToSkipList(SlabHeap& heap, Entry& entry) {
  SortedSet* set = SortedSet::Create(heap);
  ForEachScore(entry, [&](std::string_view member, double score) {
    ScoreNode* node = ScoreNode::Create(heap, score, member);
    set->table.Insert(HashKey(member), node);
    set->tree.Append(heap, node);
    return true;
  });
  entry.listpack().Free(heap);
  entry.SetType(Type::kSortedSet, Encoding::kSkipList);
  entry.set_payload(reinterpret_cast<uint64_t>(set));
}

// ---- One member ----

size_t SortedSetLength(const Entry& entry) {
  return IsPacked(entry) ? entry.listpack().count() / 2 : SetOf(entry).tree.size();
}

bool FindScore(const Entry& entry, std::string_view member, double* score) {
  if (IsPacked(entry)) {
    const Listpack pack = entry.listpack();
    const Listpack::Position at = pack.Find(pack.First(), member, 1);
    if (at == Listpack::kNone) return false;
    *score = ScoreAt(pack, pack.Next(at));
    return true;
  }
  const ScoreTable::Position found = SetOf(entry).table.Find(HashKey(member), member);
  if (!found) return false;
  *score = found.entry()->score;
  return true;
}

bool FindRank(const Entry& entry, std::string_view member, size_t* rank, double* score) {
  if (IsPacked(entry)) {
    const Listpack pack = entry.listpack();
    const Listpack::Position found = pack.Find(pack.First(), member, 1);
    if (found == Listpack::kNone) return false;
    *score = ScoreAt(pack, pack.Next(found));
    *rank = 0;
    for (Listpack::Position at = pack.First(); at != found; at = pack.Next(pack.Next(at))) ++*rank;
    return true;
  }
  const SortedSet& set = SetOf(entry);
  const ScoreTable::Position found = set.table.Find(HashKey(member), member);
  if (!found) return false;
  *score = found.entry()->score;
  *rank = set.tree.Rank(ds::BeforeMember{*score, member});
  return true;
}

AddOutcome AddMember(SlabHeap& heap, Entry& entry, const SortedSetLimits& limits, double score,
                     std::string_view member, uint32_t flags, double* result) {
  const AddOutcome outcome = IsPacked(entry) ? AddPacked(heap, entry, limits, &score, member, flags)
                                             : AddNode(heap, entry, &score, member, flags);
  if (outcome != AddOutcome::kSkipped) *result = score;
  return outcome;
}

bool RemoveMember(SlabHeap& heap, Entry& entry, std::string_view member) {
  if (IsPacked(entry)) {
    Listpack pack = entry.listpack();
    const Listpack::Position at = pack.Find(pack.First(), member, 1);
    if (at == Listpack::kNone) return false;
    pack.Erase(heap, at, 2);
    entry.set_listpack(pack);
    return true;
  }
  SortedSet& set = SetOf(entry);
  const ScoreTable::Position found = set.table.Find(HashKey(member), member);
  if (!found) return false;
  ScoreNode* node = set.table.Erase(found);
  set.tree.Erase(heap, node);
  node->Free(heap);
  return true;
}

// ---- Ranges ----

RankRange RangeByScore(const Entry& entry, const ScoreRange& range) {
  if (IsPacked(entry)) return PackedRangeByScore(entry.listpack(), range);
  const ds::ScoreTree& tree = SetOf(entry).tree;
  const size_t start = tree.Rank(ds::BeforeScore{range.min, range.excludes_min});
  const size_t end = tree.Rank(ds::BeforeScore{range.max, !range.excludes_max});
  return {start, end > start ? end - start : 0};
}

RankRange RangeByText(const Entry& entry, const TextRange& range, bool reverse) {
  if (IsPacked(entry)) return PackedRangeByText(entry.listpack(), range, reverse);
  const ds::ScoreTree& tree = SetOf(entry).tree;
  const size_t start = RankBefore(tree, range.min, true);
  const size_t end = RankBefore(tree, range.max, false);
  return {start, end > start ? end - start : 0};
}

void RemoveRange(SlabHeap& heap, Entry& entry, RankRange range) {
  if (range.count == 0) return;
  if (IsPacked(entry)) return RemovePairs(heap, entry, range);
  SortedSet& set = SetOf(entry);
  set.tree.EraseRange(heap, range.start, range.count, [&](ScoreNode* node) {
    set.table.Erase(set.table.Find(HashKey(node->member()), node->member()));
    node->Free(heap);
  });
}

bool IsSortedSetPack(Listpack pack) {
  if (pack.count() % 2 != 0) return false;
  double last = 0;
  for (Listpack::Position at = pack.First(); at != Listpack::kNone;) {
    const Listpack::Position score_at = pack.Next(at);
    const Listpack::Position next = pack.Next(score_at);
    const ds::PackedValue value = pack.Get(score_at);
    double score = static_cast<double>(value.integer);
    if (!value.is_integer() && !ParseDouble({value.text, value.size}, &score)) return false;
    if (at != pack.First() && score < last) return false;
    char buffer[kInt64CharsMax];
    const std::string_view member = pack.Get(at).View(buffer);
    if (at != pack.First() && score == last) {
      char previous[kInt64CharsMax];
      if (member <= pack.Get(pack.Previous(pack.Previous(at))).View(previous)) return false;
    }
    if (next != Listpack::kNone && pack.Find(next, member, 1) != Listpack::kNone) return false;
    last = score;
    at = next;
  }
  return true;
}

// ---- Building ----

SortedSetBuilder::~SortedSetBuilder() {
  for (const Item& item : items_) item.node->Free(heap_);
  if (set_ == nullptr) return;
  while (set_->table.DismantleBucket([](ScoreNode*) {})) {
  }
  SortedSet::Destroy(heap_, set_);
}

bool SortedSetBuilder::AddHashed(std::string_view member, uint64_t hash, double score) {
  bool is_new = true;
  AddOrCombine(member, hash, score, [&](double*) { is_new = false; });
  return is_new;
}

const std::vector<SortedSetBuilder::Item>& SortedSetBuilder::Sorted() {
  const auto is_less = [](const Item& a, const Item& b) {
    if (a.score != b.score) return a.score < b.score;
    return a.node->member() < b.node->member();
  };
  // Scores may have changed by AddOrCombine.
  for (Item& item : items_) item.score = item.node->score;
  if (!std::is_sorted(items_.begin(), items_.end(), is_less)) {
    std::sort(items_.begin(), items_.end(), is_less);
  }
  return items_;
}

uint64_t SortedSetBuilder::FinishListpack() {
  Listpack pack = Listpack::Create(heap_);
  for (const Item& item : items_) {
    const ScoreText text(item.score);
    const std::string_view pair[] = {item.node->member(), text.view()};
    pack.AppendAll(heap_, pair);
  }
  return reinterpret_cast<uint64_t>(pack.data());
}

uint64_t SortedSetBuilder::Finish(const SortedSetLimits& limits, Encoding* encoding) {
  CHECK(set_ != nullptr && !items_.empty());
  Sorted();
  if (items_.size() <= limits.max_entries && longest_ <= limits.max_value) {
    *encoding = Encoding::kListPack;
    return FinishListpack();  // the destructor frees the rest
  }
  *encoding = Encoding::kSkipList;
  for (const Item& item : items_) set_->tree.Append(heap_, item.node);
  items_.clear();
  SortedSet* set = set_;
  set_ = nullptr;
  return reinterpret_cast<uint64_t>(set);
}

// ---- Operations of the keyspace ----

namespace {

SortedSet* SetAt(uint64_t payload) { return reinterpret_cast<SortedSet*>(payload); }
Listpack PackAt(uint64_t payload) { return Listpack(reinterpret_cast<uint8_t*>(payload)); }

bool FreeSlice(SlabHeap& heap, Encoding encoding, uint64_t* payload, size_t max_elements) {
  if (encoding != Encoding::kListPack)
    return SortedSet::FreeSlice(heap, SetAt(*payload), max_elements);
  PackAt(*payload).Free(heap);
  return true;
}

size_t FreeEffort(Encoding encoding, uint64_t payload) {
  return encoding == Encoding::kListPack ? 1 : SetAt(payload)->tree.size();
}

uint64_t Clone(SlabHeap& heap, Encoding encoding, uint64_t payload) {
  if (encoding == Encoding::kListPack) {
    return reinterpret_cast<uint64_t>(PackAt(payload).Clone(heap).data());
  }
  SortedSet* copy = SortedSet::Create(heap);
  const ds::ScoreTree& tree = SetAt(payload)->tree;
  tree.VisitRange(0, tree.size(), false, [&](std::string_view member, double score) {
    ScoreNode* node = ScoreNode::Create(heap, score, member);
    copy->table.Insert(HashKey(member), node);
    copy->tree.Append(heap, node);
  });
  return reinterpret_cast<uint64_t>(copy);
}

size_t Memory(Encoding encoding, uint64_t payload, size_t samples) {
  if (encoding == Encoding::kListPack) return SlabHeap::GoodSize(PackAt(payload).bytes());
  const SortedSet& set = *SetAt(payload);
  const size_t size = set.tree.size();
  size_t sampled = 0;
  size_t node_bytes = 0;
  for (ds::ScoreTree::Position at = set.tree.First(); at && (samples == 0 || sampled < samples);
       at = at.Next(), sampled++) {
    node_bytes += SlabHeap::GoodSize(ScoreNode::SizeFor(at.member().size()));
  }
  if (sampled > 0 && sampled < size) {
    node_bytes = static_cast<size_t>(static_cast<double>(node_bytes) /
                                     static_cast<double>(sampled) * static_cast<double>(size));
  }
  return SlabHeap::GoodSize(sizeof(SortedSet)) + set.table.memory() + set.tree.memory() +
         node_bytes;
}

size_t Length(Encoding encoding, uint64_t payload) {
  return encoding == Encoding::kListPack ? PackAt(payload).count() / 2
                                         : SetAt(payload)->tree.size();
}

void Validate(Encoding encoding, uint64_t payload) {
  if (encoding == Encoding::kListPack) {
    const Listpack pack = PackAt(payload);
    CHECK(Listpack::Validate(pack.view()) && pack.IsCanonical() && !pack.is_empty());
    CHECK(IsSortedSetPack(pack));
    return;
  }
  const SortedSet& set = *SetAt(payload);
  CHECK(set.tree.size() > 0 && set.tree.size() == set.table.size());
  set.tree.Validate();
  set.table.Validate();
  for (ds::ScoreTree::Position at = set.tree.First(); at; at = at.Next()) {
    const ScoreTable::Position found = set.table.Find(HashKey(at.member()), at.member());
    CHECK(found && found.entry() == at.node());
  }
}

}  // namespace

const ValueOps kSortedSetOps = {FreeSlice, FreeEffort, Clone, Memory, Length, Validate};

}  // namespace sherd::engine
