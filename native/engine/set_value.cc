// Sets: conversions between the encodings, and what the keyspace does with sets. See the header for
// the rules.
#include "engine/set_value.h"

#include <algorithm>
#include <new>

#include "engine/value_ops.h"

namespace sherd::engine {

namespace {

/// An intset is not allowed more integers than this whatever the configuration says (Redis).
size_t IntSetEntriesMax(int64_t configured) {
  return std::min(static_cast<size_t>(configured), ds::IntSet::kMaxCount);
}

}  // namespace

SetLimits::SetLimits(const Options& options)
    : intset_entries(IntSetEntriesMax(options.set_max_intset_entries.Get())),
      listpack_entries(static_cast<size_t>(options.set_max_listpack_entries.Get())),
      listpack_value(static_cast<size_t>(options.set_max_listpack_value.Get())) {}

// ---- Making ----

SetObject SetObject::CreateTable(SlabHeap& heap) {
  void* memory = heap.Allocate(sizeof(SetTable));
  return {Encoding::kHashTable, reinterpret_cast<uint64_t>(new (memory) SetTable(&heap))};
}

SetObject SetObject::CreateFor(SlabHeap& heap, const SetLimits& limits, std::string_view first,
                               size_t size_hint) {
  int64_t integer;
  if (size_hint <= limits.intset_entries && ParseInt64(first, &integer)) return CreateIntSet(heap);
  return size_hint <= limits.listpack_entries ? CreateListpack(heap) : CreateTable(heap);
}

SetObject SetObject::CreateForLoad(SlabHeap& heap, const SetLimits& limits, size_t count) {
  return count <= limits.intset_entries ? CreateIntSet(heap) : CreateTable(heap);
}

void SetObject::Free(SlabHeap& heap) {
  while (!FreeSlice(heap, ~size_t{0})) {
  }
}

bool SetObject::FreeSlice(SlabHeap& heap, size_t max_members) {
  if (is_intset()) {
    intset().Free(heap);
    return true;
  }
  if (is_listpack()) {
    listpack().Free(heap);
    return true;
  }
  if (!table()->FreeSlice(heap, max_members)) return false;
  table()->~SetTable();
  heap.Free(table(), sizeof(SetTable));
  return true;
}

SetObject SetObject::Clone(SlabHeap& heap) const {
  if (is_intset()) return SetObject(intset().Clone(heap));
  if (is_listpack()) return SetObject(listpack().Clone(heap));
  const SetObject copy = CreateTable(heap);
  table()->ForEachBatch([&](std::span<std::string_view> batch) {
    uint64_t hashes[kBatchMax];
    for (size_t i = 0; i < batch.size(); i++) hashes[i] = HashKey(batch[i]);
    for (size_t i = 0; i < batch.size(); i++) copy.table()->AddNew(heap, hashes[i], batch[i]);
    return true;
  });
  return copy;
}

// ---- Asking ----

size_t SetObject::size() const {
  if (is_intset()) return intset().count();
  return is_listpack() ? listpack().count() : table()->size();
}

bool SetObject::Contains(std::string_view member) const {
  if (is_table()) return table()->Contains(member);
  if (is_listpack()) {
    const ds::Listpack pack = listpack();
    return pack.Find(pack.First(), member, 0) != ds::Listpack::kNone;
  }
  int64_t integer;
  return ParseInt64(member, &integer) && intset().Contains(integer);
}

size_t SetObject::memory() const {
  if (is_intset()) return SlabHeap::GoodSize(intset().bytes());
  if (is_listpack()) return SlabHeap::GoodSize(listpack().bytes());
  return SlabHeap::GoodSize(sizeof(SetTable)) + table()->memory();
}

// ---- Conversions ----

void SetObject::ConvertToTable(SlabHeap& heap) {
  const SetObject made = CreateTable(heap);
  ForEach([&](std::string_view member) {
    made.table()->AddNew(heap, HashKey(member), member);
    return true;
  });
  Free(heap);
  *this = made;
}

void SetObject::ConvertToListpack(SlabHeap& heap) {
  ds::IntSet old = intset();
  ds::Listpack pack = ds::Listpack::Create(heap);
  old.ForEach([&](int64_t value) {
    pack.AppendInteger(heap, value);
    return true;
  });
  old.Free(heap);
  SetListpack(pack);
}

void SetObject::ExpectMore(SlabHeap& heap, const SetLimits& limits, size_t count) {
  if (is_listpack() ? count > limits.listpack_entries
                    : is_intset() && count > limits.intset_entries) {
    ConvertToTable(heap);
  }
}

void SetObject::CompactIntegers(SlabHeap& heap, const SetLimits& limits) {
  if (is_intset() || size() > limits.intset_entries) return;
  ds::IntSet made = ds::IntSet::Create(heap);
  ForEach([&](std::string_view member) {
    int64_t integer;
    CHECK(ParseInt64(member, &integer));
    made.Add(heap, integer);
    return true;
  });
  Free(heap);
  SetIntSet(made);
}

// ---- Adding and removing ----

bool SetObject::Add(SlabHeap& heap, const SetLimits& limits, std::string_view member) {
  if (is_table()) return table()->Add(heap, member);
  return is_intset() ? AddToIntSet(heap, limits, member) : AddToListpack(heap, limits, member);
}

/// Whether an intset that is to hold this text as well can become a listpack.
bool SetObject::FitsListpack(const SetLimits& limits, std::string_view member) const {
  const ds::IntSet set = intset();
  const size_t count = set.count();
  if (count >= limits.listpack_entries || member.size() > limits.listpack_value) return false;
  if (count == 0) return member.size() <= ds::Listpack::kMaxBytes;
  Text text;
  const size_t longest = std::max(FormatInt64(set.Min(), text), FormatInt64(set.Max(), text));
  if (longest > limits.listpack_value) return false;
  const size_t largest = std::max(ds::Listpack::ElementSizeOfInteger(set.Min()),
                                  ds::Listpack::ElementSizeOfInteger(set.Max()));
  return ds::Listpack::kEmptySize + count * largest + member.size() <= ds::Listpack::kMaxBytes;
}

bool SetObject::AddToIntSet(SlabHeap& heap, const SetLimits& limits, std::string_view member) {
  int64_t integer;
  if (ParseInt64(member, &integer)) {
    ds::IntSet set = intset();
    if (!set.Add(heap, integer)) return false;
    SetIntSet(set);
    if (set.count() > limits.intset_entries) ConvertToTable(heap);
    return true;
  }
  if (FitsListpack(limits, member)) {
    ConvertToListpack(heap);
    ds::Listpack pack = listpack();
    pack.Append(heap, member);
    SetListpack(pack);
  } else {
    ConvertToTable(heap);
    table()->AddNew(heap, HashKey(member), member);
  }
  return true;
}

bool SetObject::AddToListpack(SlabHeap& heap, const SetLimits& limits, std::string_view member) {
  ds::Listpack pack = listpack();
  if (pack.Find(pack.First(), member, 0) != ds::Listpack::kNone) return false;
  if (pack.count() < limits.listpack_entries && member.size() <= limits.listpack_value &&
      pack.bytes() + member.size() <= ds::Listpack::kMaxBytes) {
    pack.Append(heap, member);
    SetListpack(pack);
  } else {
    ConvertToTable(heap);
    table()->AddNew(heap, HashKey(member), member);
  }
  return true;
}

size_t SetObject::AddAll(SlabHeap& heap, const SetLimits& limits,
                         std::span<const std::string_view> members) {
  size_t added = 0;
  while (!members.empty() && (!is_table() || members.size() == 1)) {
    added += Add(heap, limits, members.front()) ? 1 : 0;
    members = members.subspan(1);
  }
  uint64_t hashes[kBatchMax];
  while (!members.empty()) {
    const size_t count = std::min(members.size(), kBatchMax);
    for (size_t i = 0; i < count; i++) hashes[i] = HashKey(members[i]);
    added += table()->AddBatch(heap, members.data(), hashes, count);
    members = members.subspan(count);
  }
  return added;
}

size_t SetObject::AppendToListpack(SlabHeap& heap, const SetLimits& limits,
                                   std::span<const std::string_view> members) {
  ds::Listpack pack = listpack();
  const size_t present = pack.count();
  const size_t room = limits.listpack_entries > present ? limits.listpack_entries - present : 0;
  size_t bytes = pack.bytes();
  size_t count = 0;
  while (count < std::min(room, members.size()) && members[count].size() <= limits.listpack_value &&
         bytes + members[count].size() <= ds::Listpack::kMaxBytes) {
    bytes += ds::Listpack::ElementSize(members[count++]);
  }
  if (count > 0) pack.AppendAll(heap, members.first(count));
  SetListpack(pack);
  return count;
}

void SetObject::AddDistinct(SlabHeap& heap, const SetLimits& limits,
                            std::span<const std::string_view> members) {
  while (!members.empty() && !is_table()) {
    const size_t count = is_listpack() ? AppendToListpack(heap, limits, members) : 0;
    members = members.subspan(count);
    if (members.empty()) return;
    // One that does not fit, or decides what an intset becomes.
    Add(heap, limits, members.front());
    members = members.subspan(1);
  }
  for (const std::string_view member : members) table()->AddNew(heap, HashKey(member), member);
}

bool SetObject::Remove(SlabHeap& heap, std::string_view member) {
  if (is_table()) return table()->Remove(heap, member);
  if (is_listpack()) {
    ds::Listpack pack = listpack();
    const ds::Listpack::Position at = pack.Find(pack.First(), member, 0);
    if (at == ds::Listpack::kNone) return false;
    pack.Erase(heap, at);
    SetListpack(pack);
    return true;
  }
  int64_t integer;
  ds::IntSet set = intset();
  if (!ParseInt64(member, &integer) || !set.Remove(heap, integer)) return false;
  SetIntSet(set);
  return true;
}

// ---- Picking at random ----

std::string_view SetObject::RandomMember(Random& random, Text& text) const {
  if (is_table()) {
    return table()->RandomPosition([&] { return random.Next(); }).entry()->view();
  }
  const size_t index = random.Below(size());
  if (is_intset()) return {text, FormatInt64(intset().Get(index), text)};
  const ds::Listpack pack = listpack();
  return pack.Get(pack.Seek(static_cast<int64_t>(index))).View(text);
}

SetObject SetObject::ExtractRandom(SlabHeap& heap, const SetLimits& limits, Random& random,
                                   size_t count) {
  // Redis chooses by how the first member was stored: an integer in a table is a text.
  SetObject taken = is_intset() ? CreateIntSet(heap) : CreateListpack(heap);
  PopRandom(heap, random, count, [&](std::string_view member) { taken.Add(heap, limits, member); });
  return taken;
}

std::vector<const ds::Member*> SetObject::PickDistinct(Random& random, size_t count) const {
  std::vector<const ds::Member*> picks;
  picks.reserve(count);
  // Open addressing over the addresses, at most half full.
  size_t places = 16;
  while (places < count * 2) places *= 2;
  std::vector<const ds::Member*> seen(places, nullptr);
  while (picks.size() < count) {
    const ds::Member* member = table()->RandomPosition([&] { return random.Next(); }).entry();
    size_t place =
        (reinterpret_cast<uint64_t>(member) * 0x9e3779b97f4a7c15ull >> 32) & (places - 1);
    while (seen[place] != nullptr && seen[place] != member) place = (place + 1) & (places - 1);
    if (seen[place] == member) continue;
    seen[place] = member;
    picks.push_back(member);
  }
  return picks;
}

// ---- Probing ----

SetProbe::SetProbe(const SetObject& set, size_t lookups) : set_(set) {
  // About what making the places costs, in comparisons.
  constexpr size_t kWorthwhile = 16;
  const size_t size = set.size();
  if (!set.is_listpack() || size <= kWorthwhile || lookups <= kWorthwhile) return;
  const ds::Listpack pack = set.listpack();
  if (pack.bytes() > UINT32_MAX) return;
  size_t count = 64;
  while (count < size * 2) count *= 2;
  places_.resize(count);
  SetObject::Text text;
  for (auto at = pack.First(); at != ds::Listpack::kNone; at = pack.Next(at)) {
    const uint64_t hash = HashKey(pack.Get(at).View(text));
    size_t place = hash & (count - 1);
    while (places_[place].position != 0) place = (place + 1) & (count - 1);
    places_[place] = {static_cast<uint32_t>(at), static_cast<uint32_t>(hash >> 32)};
  }
}

bool SetProbe::Contains(uint64_t hash, std::string_view text) const {
  const size_t mask = places_.size() - 1;
  for (size_t place = hash & mask; places_[place].position != 0; place = (place + 1) & mask) {
    if (places_[place].hash != static_cast<uint32_t>(hash >> 32)) continue;
    if (set_.listpack().Equals(places_[place].position, text)) return true;
  }
  return false;
}

size_t SetProbe::Filter(std::string_view* texts, uint64_t* hashes, size_t count,
                        bool keep_members) const {
  if (set_.is_table()) return set_.table()->Filter(texts, hashes, count, keep_members);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    const bool is_member =
        places_.empty() ? set_.Contains(texts[i]) : Contains(hashes[i], texts[i]);
    if (is_member != keep_members) continue;
    texts[kept] = texts[i];
    hashes[kept++] = hashes[i];
  }
  return kept;
}

// ---- Bytes from outside ----

bool SetObject::AdoptIntSet(SlabHeap& heap, const SetLimits& limits, std::string_view bytes,
                            SetObject* set) {
  if (!ds::IntSet::Validate(bytes)) return false;
  *set = SetObject(ds::IntSet::CreateFrom(heap, bytes));
  if (set->size() > limits.intset_entries) set->ConvertToTable(heap);
  return true;
}

bool SetObject::AdoptListpack(SlabHeap& heap, const SetLimits& limits, std::string_view bytes,
                              SetObject* set) {
  size_t count = 0;
  if (!ds::Listpack::Validate(bytes, &count) || count == 0) return false;
  ds::Listpack pack = ds::Listpack::CreateFrom(heap, bytes);
  // A table finds members that stand twice, at any size.
  SetObject made = CreateTable(heap);
  bool is_distinct = true;
  Text text;
  for (auto at = pack.First(); at != ds::Listpack::kNone && is_distinct; at = pack.Next(at)) {
    is_distinct = made.table()->Add(heap, pack.Get(at).View(text));
  }
  const bool stays = is_distinct && count <= limits.listpack_entries;
  if (stays) {
    made.Free(heap);
    made = CreateListpack(heap);
    ds::Listpack copy = made.listpack();
    if (pack.IsCanonical()) {
      copy.AppendPack(heap, pack);
    } else {
      for (auto at = pack.First(); at != ds::Listpack::kNone; at = pack.Next(at)) {
        copy.Append(heap, pack.Get(at).View(text));
      }
    }
    made.SetListpack(copy);
  }
  pack.Free(heap);
  if (is_distinct) {
    *set = made;
  } else {
    made.Free(heap);
  }
  return is_distinct;
}

void SetObject::Validate() const {
  if (is_intset()) {
    CHECK(intset().count() == 0 || ds::IntSet::Validate(intset().view()));
  } else if (is_listpack()) {
    CHECK(ds::Listpack::Validate(listpack().view()));
    CHECK(listpack().IsCanonical());
  } else {
    table()->Validate();
  }
  CHECK(size() > 0);  // a set without members does not exist
}

// ---- What the keyspace does with sets ----

namespace {

bool FreeSetSlice(SlabHeap& heap, Encoding encoding, uint64_t* payload, size_t max_elements) {
  return SetObject(encoding, *payload).FreeSlice(heap, max_elements);
}

size_t SetFreeEffort(Encoding encoding, uint64_t payload) {
  return encoding == Encoding::kHashTable ? SetObject(encoding, payload).size() : 1;
}

uint64_t CloneSet(SlabHeap& heap, Encoding encoding, uint64_t payload) {
  return SetObject(encoding, payload).Clone(heap).payload();
}

size_t SetMemory(Encoding encoding, uint64_t payload, size_t) {
  return SetObject(encoding, payload).memory();
}

size_t SetLength(Encoding encoding, uint64_t payload) {
  return SetObject(encoding, payload).size();
}

void ValidateSet(Encoding encoding, uint64_t payload) { SetObject(encoding, payload).Validate(); }

}  // namespace

const ValueOps kSetOps = {
    .free_slice = FreeSetSlice,
    .free_effort = SetFreeEffort,
    .clone = CloneSet,
    .memory = SetMemory,
    .length = SetLength,
    .validate = ValidateSet,
};

}  // namespace sherd::engine
