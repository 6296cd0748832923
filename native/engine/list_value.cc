// Lists: conversions, changes, the builder, and the row that the keyspace knows them by.
#include "engine/list_value.h"

#include <algorithm>

#include "base/check.h"
#include "engine/value_ops.h"

namespace sherd::engine {

namespace {

using ds::Listpack;
using ds::ListNeedle;
using ds::PackedValue;
using ds::Quicklist;
using ds::QuicklistNode;

void BecomeListpack(SlabHeap& heap, Entry& entry) {
  const Listpack pack = Quicklist::TakeOnlyPack(heap, QuicklistOf(entry));
  entry.SetType(Type::kList, Encoding::kListPack);
  entry.set_listpack(pack);
}

/// Index of the first element that equals `text`, or the list's length.
size_t FindInList(const Entry& entry, std::string_view text) {
  const ListNeedle needle(text);
  size_t index = 0;
  VisitList(entry, 0, ~size_t{0}, [&](PackedValue value) {
    if (needle.Equals(value)) return false;
    index++;
    return true;
  });
  return index;
}

}  // namespace

// ---- Conversions ----

void GrowList(SlabHeap& heap, Entry& entry, const ListLimits& limits, size_t bytes, size_t count) {
  if (!IsPackedList(entry)) return;
  const Listpack pack = entry.listpack();
  if (!limits.fill.IsExceeded(pack.bytes() + bytes, pack.count() + count)) return;
  Quicklist* list = Quicklist::Create(heap, limits.fill, limits.compress_depth);
  list->AppendPack(heap, pack);
  entry.SetType(Type::kList, Encoding::kQuickList);
  entry.set_payload(reinterpret_cast<uint64_t>(list));
}

void ShrinkList(SlabHeap& heap, Entry& entry, const ListLimits& limits) {
  if (IsPackedList(entry)) return;
  const Quicklist* list = QuicklistOf(entry);
  if (list->node_count() != 1 || list->head()->is_plain) return;
  // Half, so that a list that breathes around the limit does not convert at each command. (For one of
  // the two the limit is ~0, and half of it no limit either.)
  if (list->head()->size > limits.fill.bytes_max() / 2) return;
  if (list->count() > limits.fill.count_max() / 2) return;
  BecomeListpack(heap, entry);
}

// ---- Changing ----

void PushToList(SlabHeap& heap, Entry& entry, ListEnd end, std::span<const std::string_view> texts) {
  if (!IsPackedList(entry)) {
    Quicklist* list = QuicklistOf(entry);
    for (const std::string_view text : texts) list->Push(heap, end, text);
    return;
  }
  Listpack pack = entry.listpack();
  if (end == ListEnd::kTail) {
    pack.AppendAll(heap, texts);
  } else {
    pack.PrependAll(heap, texts);
  }
  entry.set_listpack(pack);
}

void PopFromList(SlabHeap& heap, Entry& entry, ListEnd end) {
  if (!IsPackedList(entry)) return QuicklistOf(entry)->Pop(heap, end);
  Listpack pack = entry.listpack();
  pack.Erase(heap, end == ListEnd::kHead ? pack.First() : pack.Last());
  entry.set_listpack(pack);
}

void EraseFromList(SlabHeap& heap, Entry& entry, size_t start, size_t count) {
  if (!IsPackedList(entry)) return QuicklistOf(entry)->EraseRange(heap, start, count);
  Listpack pack = entry.listpack();
  pack.EraseRange(heap, static_cast<int64_t>(start), count);
  entry.set_listpack(pack);
}

size_t EraseMatchesFromList(SlabHeap& heap, Entry& entry, std::string_view text, size_t limit,
                            ListEnd from) {
  if (!IsPackedList(entry)) return QuicklistOf(entry)->EraseMatches(heap, text, limit, from);
  Listpack pack = entry.listpack();
  size_t skip = 0;
  if (from == ListEnd::kTail) {
    const size_t matches = pack.CountMatches(text);
    skip = matches - std::min(matches, limit);
  }
  const size_t removed = pack.EraseMatches(heap, text, skip, limit);
  entry.set_listpack(pack);
  return removed;
}

void ReplaceInList(SlabHeap& heap, Entry& entry, size_t index, std::string_view text) {
  if (!IsPackedList(entry)) {
    Quicklist* list = QuicklistOf(entry);
    return list->Replace(heap, list->Locate(index), text);
  }
  Listpack pack = entry.listpack();
  pack.Replace(heap, pack.Seek(static_cast<int64_t>(index)), text);
  entry.set_listpack(pack);
}

bool InsertIntoList(SlabHeap& heap, Entry& entry, std::string_view pivot, std::string_view text,
                    bool is_after) {
  if (!IsPackedList(entry)) {
    Quicklist* list = QuicklistOf(entry);
    const size_t index = FindInList(entry, pivot);
    if (index == list->count()) return false;
    list->Insert(heap, list->Locate(index), text, is_after);
    return true;
  }
  Listpack pack = entry.listpack();
  const Listpack::Position at = pack.Find(pack.First(), pivot, 0);
  if (at == Listpack::kNone) return false;
  pack.Insert(heap, is_after ? at + pack.SizeAt(at) : at, text);
  entry.set_listpack(pack);
  return true;
}

PackedValue PeekList(const Entry& entry, ListEnd end) {
  if (!IsPackedList(entry)) return QuicklistOf(entry)->Peek(end);
  const Listpack pack = entry.listpack();
  return pack.Get(end == ListEnd::kHead ? pack.First() : pack.Last());
}

// ---- Building ----

ListBuilder::ListBuilder(SlabHeap& heap, const ListLimits& limits)
    : heap_(heap), limits_(limits), list_(Quicklist::Create(heap, limits.fill, limits.compress_depth)) {}

ListBuilder::~ListBuilder() {
  if (list_ != nullptr) Quicklist::Free(heap_, list_);
}

void ListBuilder::AppendPack(std::string_view bytes) {
  Listpack pack = Listpack::CreateFrom(heap_, bytes);
  if (!pack.IsCanonical()) {
    Listpack canonical = Listpack::Create(heap_);
    char digits[kInt64CharsMax];
    pack.Visit(pack.First(), ~size_t{0}, [&](PackedValue value) {
      canonical.Append(heap_, value.View(digits));
      return true;
    });
    pack.Free(heap_);
    pack = canonical;
  }
  list_->AppendPack(heap_, pack);
}

void ListBuilder::AppendPlain(std::string_view bytes) {
  if (bytes.empty()) return Append(bytes);  // nothing to lie bare
  list_->AppendPlain(heap_, bytes);
}

ListBuilder::Value ListBuilder::Finish() {
  Quicklist* list = list_;
  list_ = nullptr;
  if (list->count() == 0) {
    Quicklist::Free(heap_, list);
    return {};
  }
  const QuicklistNode* head = list->head();
  if (list->node_count() == 1 && !head->is_plain && head->size <= limits_.fill.bytes_max() &&
      list->count() <= limits_.fill.count_max()) {
    return {Encoding::kListPack, Quicklist::TakeOnlyPack(heap_, list).data()};
  }
  return {Encoding::kQuickList, list};
}

// ---- What the keyspace does with lists ----

namespace {

Listpack PackOf(uint64_t payload) { return Listpack(reinterpret_cast<uint8_t*>(payload)); }
Quicklist* ListOf(uint64_t payload) { return reinterpret_cast<Quicklist*>(payload); }

bool FreeSlice(SlabHeap& heap, Encoding encoding, uint64_t* payload, size_t max_elements) {
  if (encoding == Encoding::kListPack) {
    PackOf(*payload).Free(heap);
    return true;
  }
  return Quicklist::FreeSlice(heap, ListOf(*payload), max_elements);
}

size_t FreeEffort(Encoding encoding, uint64_t payload) {
  return encoding == Encoding::kListPack ? 1 : ListOf(payload)->node_count();
}

uint64_t Clone(SlabHeap& heap, Encoding encoding, uint64_t payload) {
  if (encoding == Encoding::kListPack) {
    return reinterpret_cast<uint64_t>(PackOf(payload).Clone(heap).data());
  }
  return reinterpret_cast<uint64_t>(ListOf(payload)->Clone(heap));
}

size_t Memory(Encoding encoding, uint64_t payload, size_t samples) {
  if (encoding == Encoding::kListPack) return SlabHeap::GoodSize(PackOf(payload).bytes());
  return ListOf(payload)->Memory(samples);
}

size_t Length(Encoding encoding, uint64_t payload) {
  return encoding == Encoding::kListPack ? PackOf(payload).count() : ListOf(payload)->count();
}

void Validate(Encoding encoding, uint64_t payload) {
  if (encoding == Encoding::kListPack) {
    size_t count = 0;
    CHECK(Listpack::Validate(PackOf(payload).view(), &count));
    CHECK(count > 0);
    CHECK(PackOf(payload).IsCanonical());
    return;
  }
  CHECK(encoding == Encoding::kQuickList);
  ListOf(payload)->Validate();
  CHECK(ListOf(payload)->count() > 0);
}

}  // namespace

const ValueOps kListOps = {
    .free_slice = FreeSlice,
    .free_effort = FreeEffort,
    .clone = Clone,
    .memory = Memory,
    .length = Length,
    .validate = Validate,
};

}  // namespace sherd::engine
