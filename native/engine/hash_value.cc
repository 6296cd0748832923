// Hashes: see the header; at the end, what the keyspace does with them.
#include "engine/hash_value.h"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/value_ops.h"

namespace sherd::engine {

namespace {

using ds::Listpack;
using ds::PackedValue;

PackedValue AsPacked(std::string_view text) { return {text.data(), text.size(), 0}; }

FieldTable* TableOf(uint64_t payload) { return reinterpret_cast<FieldTable*>(payload); }
Listpack PackOf(uint64_t payload) { return Listpack(reinterpret_cast<uint8_t*>(payload)); }

/// An element's value, kept while the listpack changes around it.
struct KeptElement {
  explicit KeptElement(const PackedValue& value)
      : text(value.is_integer() ? "" : std::string(value.text, value.size)),
        integer(value.integer),
        is_integer(value.is_integer()) {}
  void Insert(Listpack* pack, SlabHeap& heap, Listpack::Position at) const {
    if (is_integer) {
      pack->InsertInteger(heap, at, integer);
    } else {
      pack->Insert(heap, at, text);
    }
  }
  std::string text;
  int64_t integer;
  bool is_integer;
};

}  // namespace

HashValue::HashValue(Encoding encoding, uint64_t payload, int64_t now_ms)
    : encoding_(encoding), payload_(payload), now_ms_(now_ms) {
  has_expired_ = Expired(next_expiry_ms());
}

HashValue HashValue::Create(SlabHeap& heap) {
  const Listpack pack = Listpack::Create(heap);
  return HashValue(Encoding::kListPack, reinterpret_cast<uint64_t>(pack.data()), kSeeAll);
}

// ---- Looking ----

size_t HashValue::stored_size() const {
  return is_table() ? table().size() : pack().count() / stride();
}

int64_t HashValue::TimeAt(Listpack::Position time) const {
  const int64_t at_ms = pack().Get(time).integer;
  return at_ms == 0 ? kNoExpiry : at_ms;
}

int64_t HashValue::next_expiry_ms() const {
  if (is_table()) return table().next_expiry_ms();
  if (!has_times()) return kNoExpiry;
  const Listpack pack = this->pack();
  return pack.is_empty() ? kNoExpiry : TimeAt(pack.Next(pack.Next(pack.First())));
}

size_t HashValue::CountExpired() const {
  if (is_table()) return table().CountExpired(now_ms_);
  const Listpack pack = this->pack();
  size_t count = 0;
  for (auto at = pack.First(); at != Listpack::kNone; count++) {
    const auto time = pack.Next(pack.Next(at));
    if (!Expired(TimeAt(time))) break;
    at = pack.Next(time);
  }
  return count;
}

HashValue::Place HashValue::FindStored(std::string_view name) const {
  Place place;
  if (is_table()) {
    place.field_ = table().Find(name);
  } else {
    place.at_ = pack().Find(pack().First(), name, stride() - 1);
  }
  return place;
}

HashValue::Place HashValue::Find(std::string_view name) const {
  const Place place = FindStored(name);
  return place && IsExpired(place) ? Place() : place;
}

PackedValue HashValue::NameAt(const Place& place) const {
  return is_table() ? AsPacked(place.field_.entry()->name()) : pack().Get(place.at_);
}

PackedValue HashValue::ValueAt(const Place& place) const {
  return is_table() ? AsPacked(place.field_.entry()->value()) : pack().Get(pack().Next(place.at_));
}

int64_t HashValue::ExpiryAt(const Place& place) const {
  if (is_table()) return table().ExpiryOf(*place.field_.entry());
  return has_times() ? TimeAt(pack().Next(pack().Next(place.at_))) : kNoExpiry;
}

// ---- Changing: encodings ----

void HashValue::ConvertToTable(SlabHeap& heap) {
  if (is_table()) return;
  FieldTable* fields = FieldTable::Create(heap);
  HashValue(encoding_, payload_, kSeeAll)
      .ForEachWithExpiry([&](std::string_view name, std::string_view value, int64_t at_ms) {
        const auto position = fields->Insert(name, FieldHasher::Hash(name), value);
        fields->SetExpiry(position, at_ms);
        return true;
      });
  pack().Free(heap);
  encoding_ = Encoding::kHashTable;
  payload_ = reinterpret_cast<uint64_t>(fields);
}

/// From kListPack to kListPackEx. Elements are copied as they lie: an insert for each time would move the
/// rest of the block each time.
void HashValue::AddTimes(SlabHeap& heap) {
  // Zero as an element: the integer in one byte, and how long that is.
  constexpr std::string_view kZero("\x00\x01", 2);
  Listpack pack = this->pack();
  const std::string_view old = pack.view();
  std::string bytes(old.substr(0, Listpack::kHeaderSize));
  bytes.reserve(old.size() + pack.count());
  size_t elements = 0;
  for (auto at = pack.First(); at != Listpack::kNone; elements += 3) {
    const auto value = pack.Next(at);
    bytes.append(old.substr(at, pack.SizeAt(at))).append(old.substr(value, pack.SizeAt(value)));
    bytes.append(kZero);
    at = pack.Next(value);
  }
  bytes.push_back(old.back());
  StoreLittle32(reinterpret_cast<uint8_t*>(bytes.data()), static_cast<uint32_t>(bytes.size()));
  StoreLittle16(reinterpret_cast<uint8_t*>(bytes.data()) + 4,
                static_cast<uint16_t>(std::min<size_t>(elements, Listpack::kCountUnknown)));
  set_pack(Listpack::CreateFrom(heap, bytes));
  pack.Free(heap);
  encoding_ = Encoding::kListPackEx;
}

void HashValue::PrepareFor(SlabHeap& heap, const HashLimits& limits,
                           std::span<const std::string_view> pairs) {
  if (is_table()) return;
  if (pairs.size() / 2 > limits.max_entries) return ConvertToTable(heap);
  size_t added = 0;
  for (const std::string_view text : pairs) {
    if (text.size() > limits.max_value) return ConvertToTable(heap);
    added += text.size();
  }
  if (pack().bytes() + added > Listpack::kMaxBytes) ConvertToTable(heap);
}

// ---- Changing: values ----

bool HashValue::Set(SlabHeap& heap, const HashLimits& limits, std::string_view name,
                    std::string_view value, FieldTtl ttl) {
  if (!is_table() && (name.size() > limits.max_value || value.size() > limits.max_value)) {
    ConvertToTable(heap);
  }
  if (is_table()) return SetInTable(name, value, ttl);
  const bool is_new = SetInPack(heap, name, value, ttl);
  if (stored_size() > limits.max_entries) ConvertToTable(heap);
  return is_new;
}

bool HashValue::SetInTable(std::string_view name, std::string_view value, FieldTtl ttl) {
  FieldTable& fields = table();
  const uint64_t hash = FieldHasher::Hash(name);
  const FieldTable::Position position = fields.Find(name, hash);
  if (!position) {
    fields.Insert(name, hash, value);
    return true;
  }
  const bool was_expired = has_expired_ && Expired(fields.ExpiryOf(*position.entry()));
  fields.SetValue(position, value);
  if (ttl == FieldTtl::kDrop || was_expired) fields.SetExpiry(position, kNoExpiry);
  return was_expired;
}

bool HashValue::SetInPack(SlabHeap& heap, std::string_view name, std::string_view value,
                          FieldTtl ttl) {
  const Place place = FindStored(name);
  Listpack pack = this->pack();
  if (!place) {
    const std::string_view texts[] = {name, value, "0"};
    pack.AppendAll(heap, {texts, stride()});
    set_pack(pack);
    return true;
  }
  const int64_t at_ms = ExpiryAt(place);
  const bool was_expired = Expired(at_ms);
  pack.Replace(heap, pack.Next(place.at_), value);
  set_pack(pack);
  if (at_ms != kNoExpiry && (ttl == FieldTtl::kDrop || was_expired)) {
    MoveToTime(heap, place.at_, kNoExpiry);
  }
  return was_expired;
}

bool HashValue::Erase(SlabHeap& heap, std::string_view name) {
  const Place place = Find(name);
  if (!place) return false;
  if (is_table()) {
    table().Erase(place.field_);
  } else {
    Listpack pack = this->pack();
    pack.Erase(heap, place.at_, stride());
    set_pack(pack);
  }
  return true;
}

// ---- Changing: times ----

void HashValue::SetExpiry(SlabHeap& heap, const Place& place, int64_t at_ms) {
  if (is_table()) return table().SetExpiry(place.field_, at_ms);
  if (!has_times()) {
    if (at_ms == kNoExpiry) return;
    char text[kInt64CharsMax];
    const std::string name(NameAt(place).View(text));
    AddTimes(heap);
    return MoveToTime(heap, FindStored(name).at_, at_ms);
  }
  MoveToTime(heap, place.at_, at_ms);
}

/// Where a field with this time goes: behind those that are due earlier or at the same time.
Listpack::Position HashValue::PlaceForTime(int64_t at_ms) const {
  const Listpack pack = this->pack();
  if (at_ms != kNoExpiry) {
    for (auto at = pack.First(); at != Listpack::kNone;) {
      const auto time = pack.Next(pack.Next(at));
      const int64_t other_ms = TimeAt(time);
      if (other_ms == kNoExpiry || other_ms > at_ms) return at;
      at = pack.Next(time);
    }
  }
  return pack.bytes() - 1;
}

void HashValue::MoveToTime(SlabHeap& heap, Listpack::Position name, int64_t at_ms) {
  Listpack pack = this->pack();
  const auto value = pack.Next(name);
  const KeptElement kept_name(pack.Get(name));
  const KeptElement kept_value(pack.Get(value));
  pack.Erase(heap, name, 3);
  set_pack(pack);
  const auto at = PlaceForTime(at_ms);
  // Each before the one that came before it.
  pack.InsertInteger(heap, at, at_ms == kNoExpiry ? 0 : at_ms);
  kept_value.Insert(&pack, heap, at);
  kept_name.Insert(&pack, heap, at);
  set_pack(pack);
}

// ---- Building ----

HashBuilder::~HashBuilder() {
  if (is_taken_) return;
  uint64_t payload = hash_.payload();
  while (!kHashOps.free_slice(heap_, hash_.encoding(), &payload, ~size_t{0})) {
  }
}

bool HashBuilder::Add(std::string_view name, std::string_view value, int64_t expiry_ms) {
  if (hash_.Find(name)) return false;
  hash_.Set(heap_, limits_, name, value, FieldTtl::kDrop);
  if (expiry_ms != kNoExpiry) hash_.SetExpiry(heap_, hash_.Find(name), expiry_ms);
  return true;
}

bool IsHashListpack(Listpack pack, bool has_times) {
  const unsigned stride = has_times ? 3 : 2;
  if (pack.count() % stride != 0) return false;
  std::vector<std::string> names;
  int64_t last_ms = 0;
  char text[kInt64CharsMax];
  for (auto at = pack.First(); at != Listpack::kNone;) {
    names.emplace_back(pack.Get(at).View(text));
    at = pack.Next(pack.Next(at));
    if (!has_times) continue;
    const PackedValue time = pack.Get(at);
    if (!time.is_integer() || time.integer < 0) return false;
    // Without a time, and so behind all that have one, is "as late as can be".
    const int64_t at_ms = time.integer == 0 ? INT64_MAX : time.integer;
    if (at_ms < last_ms) return false;
    last_ms = at_ms;
    at = pack.Next(at);
  }
  std::sort(names.begin(), names.end());
  return std::adjacent_find(names.begin(), names.end()) == names.end();
}

// ---- For the keyspace ----

namespace {

bool FreeSlice(SlabHeap& heap, Encoding encoding, uint64_t* payload, size_t max_elements) {
  if (encoding == Encoding::kHashTable) return FieldTable::FreeSlice(TableOf(*payload), max_elements);
  PackOf(*payload).Free(heap);
  return true;
}

size_t FreeEffort(Encoding encoding, uint64_t payload) {
  return encoding == Encoding::kHashTable ? TableOf(payload)->size() : 1;
}

uint64_t Clone(SlabHeap& heap, Encoding encoding, uint64_t payload) {
  if (encoding == Encoding::kHashTable) return reinterpret_cast<uint64_t>(TableOf(payload)->Clone(heap));
  return reinterpret_cast<uint64_t>(PackOf(payload).Clone(heap).data());
}

size_t Memory(Encoding encoding, uint64_t payload, size_t samples) {
  if (encoding == Encoding::kHashTable) return TableOf(payload)->memory(samples);
  return SlabHeap::GoodSize(PackOf(payload).bytes());
}

size_t Length(Encoding encoding, uint64_t payload) {
  return HashValue(encoding, payload, HashValue::kSeeAll).stored_size();
}

void Validate(Encoding encoding, uint64_t payload) {
  if (encoding == Encoding::kHashTable) return TableOf(payload)->Validate();
  CHECK(Listpack::Validate(PackOf(payload).view()));
  CHECK(PackOf(payload).IsCanonical());
  CHECK(IsHashListpack(PackOf(payload), encoding == Encoding::kListPackEx));
}

}  // namespace

const ValueOps kHashOps = {FreeSlice, FreeEffort, Clone, Memory, Length, Validate};

}  // namespace sherd::engine
