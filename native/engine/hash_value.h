// HashValue: a hash: what it is stored as, when that changes, and how its fields are found and changed.
//
//   kListPack     one Listpack:   name, value, name, value, …            in the order of arrival
//   kListPackEx   one Listpack:   name, value, time, name, value, time … by time; those without (0) last
//   kHashTable    a FieldTable
//
// A hash starts as a listpack and becomes a table when it outgrows hash-max-listpack-entries or a name or
// value outgrows hash-max-listpack-value; it becomes a listpackex when a field first gets a time to live.
// There is no way back (as in Redis). The bytes of both listpacks are those of Redis, times are unix ms.
//
// An object of this class is a view: encoding and payload, taken from an entry and, after changes, stored
// back by StoreTo(). Fields whose time lies before `now_ms` do not exist for it, whether or not somebody
// has deleted them yet; with kSeeAll it sees everything that is stored.
//
// Cost: in listpacks a walk (the thresholds keep it short), in tables O(1), O(log n) where a time changes.
// Places are valid until the next change.
//
// Thread: the holder of the lease of the hash's shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "ds/field_table.h"
#include "ds/listpack.h"
#include "engine/entry.h"
#include "engine/keyspace.h"
#include "engine/options.h"

namespace sherd::engine {

struct FieldHasher {
  static uint64_t Hash(std::string_view name) { return HashKey(name); }
};
using FieldTable = ds::FieldTable<FieldHasher>;
static_assert(FieldTable::kNoExpiry == kNoExpiry);

/// How large a hash may be as a listpack.
struct HashLimits {
  size_t max_entries;
  size_t max_value;

  explicit HashLimits(const Options& options)
      : max_entries(static_cast<size_t>(options.hash_max_listpack_entries.Get())),
        max_value(static_cast<size_t>(options.hash_max_listpack_value.Get())) {}
  HashLimits(size_t entries, size_t value) : max_entries(entries), max_value(value) {}
};

/// What becomes of the time to live of a field that is set.
enum class FieldTtl : uint8_t { kDrop, kKeep };

class HashValue {
 public:
  static constexpr int64_t kSeeAll = INT64_MIN;

  /// A field that was found.
  class Place {
   public:
    explicit operator bool() const { return at_ != ds::Listpack::kNone || field_; }

   private:
    friend class HashValue;
    ds::Listpack::Position at_ = ds::Listpack::kNone;  // of the name, in listpacks
    FieldTable::Position field_;
  };

  explicit HashValue(const Entry& entry, int64_t now_ms = kSeeAll)
      : HashValue(entry.encoding(), entry.payload(), now_ms) {}
  HashValue(Encoding encoding, uint64_t payload, int64_t now_ms);
  /// An empty one.
  static HashValue Create(SlabHeap& heap);
  void StoreTo(Entry* entry) const {
    entry->SetType(Type::kHash, encoding_);
    entry->set_payload(payload_);
  }
  Encoding encoding() const { return encoding_; }
  uint64_t payload() const { return payload_; }
  const void* object() const { return reinterpret_cast<const void*>(payload_); }

  // ---- Looking ----

  /// Fields that are stored, expired ones too.
  size_t stored_size() const;
  /// Fields that exist. O(1), and O(expired fields) while there are some.
  size_t size() const { return has_expired_ ? stored_size() - CountExpired() : stored_size(); }
  /// When the first field expires, kNoExpiry for never. O(1).
  int64_t next_expiry_ms() const;

  Place Find(std::string_view name) const;
  /// Views into the hash. Integers of listpacks are as they are.
  ds::PackedValue NameAt(const Place& place) const;
  ds::PackedValue ValueAt(const Place& place) const;
  int64_t ExpiryAt(const Place& place) const;

  /// Calls visit(std::string_view name, std::string_view value) for every field, until it returns false.
  template <class Visit>
  void ForEach(Visit&& visit) const;
  /// The same with a third argument: the field's expiry in unix ms, or kNoExpiry.
  template <class Visit>
  void ForEachWithExpiry(Visit&& visit) const;

  /// Calls visit(Place) for every field.
  template <class Visit>
  void ForEachPlace(Visit&& visit) const;

  bool is_table() const { return encoding_ == Encoding::kHashTable; }
  /// One step of a scan of a table: as ForEach for some fields; returns the next cursor, 0 at the end.
  template <class Visit>
  uint64_t ScanTable(uint64_t cursor, Visit&& visit) const;
  /// A field, each being equally likely; expired ones come up too. `random` yields 64 random bits a call.
  template <class Random>
  Place RandomStored(Random&& random) const;
  bool IsExpired(const Place& place) const { return has_expired_ && Expired(ExpiryAt(place)); }
  /// Whether some stored fields do not exist any more.
  bool has_expired() const { return has_expired_; }

  // ---- Changing ----

  /// Becomes a table, if names and values, in turns, do not fit a listpack. Redis looks at all arguments of
  /// a command before it sets the first.
  void PrepareFor(SlabHeap& heap, const HashLimits& limits, std::span<const std::string_view> pairs);
  /// Sets a field; true when it did not exist.
  bool Set(SlabHeap& heap, const HashLimits& limits, std::string_view name, std::string_view value,
           FieldTtl ttl);
  /// False: there is none.
  bool Erase(SlabHeap& heap, std::string_view name);
  /// `at_ms`: unix time, kNoExpiry for none. Invalidates `place`.
  void SetExpiry(SlabHeap& heap, const Place& place, int64_t at_ms);
  void ConvertToTable(SlabHeap& heap);

  /// Erases the fields that expired before `now_ms`, the earliest first, at most `max_fields`; each name is
  /// handed to erased(std::string_view) before it goes. Returns their number.
  template <class Erased>
  size_t EraseExpired(SlabHeap& heap, int64_t now_ms, size_t max_fields, Erased&& erased);

 private:
  ds::Listpack pack() const { return ds::Listpack(reinterpret_cast<uint8_t*>(payload_)); }
  void set_pack(ds::Listpack pack) { payload_ = reinterpret_cast<uint64_t>(pack.data()); }
  FieldTable& table() const { return *reinterpret_cast<FieldTable*>(payload_); }
  bool has_times() const { return encoding_ == Encoding::kListPackEx; }
  /// Elements that one field takes in the listpack.
  unsigned stride() const { return has_times() ? 3 : 2; }

  bool Expired(int64_t at_ms) const { return at_ms != kNoExpiry && at_ms < now_ms_; }
  size_t CountExpired() const;
  Place FindStored(std::string_view name) const;
  bool SetInPack(SlabHeap& heap, std::string_view name, std::string_view value, FieldTtl ttl);
  bool SetInTable(std::string_view name, std::string_view value, FieldTtl ttl);
  int64_t TimeAt(ds::Listpack::Position time) const;
  void AddTimes(SlabHeap& heap);
  void MoveToTime(SlabHeap& heap, ds::Listpack::Position name, int64_t at_ms);
  ds::Listpack::Position PlaceForTime(int64_t at_ms) const;

  Encoding encoding_;
  bool has_expired_ = false;  // some stored fields do not exist any more
  uint64_t payload_;
  int64_t now_ms_;
};

/// Calls f(name, value, expiry in unix ms or kNoExpiry) for every stored field, until it returns false.
template <class F>
void ForEachHashField(const Entry& entry, F&& f) {
  HashValue(entry).ForEachWithExpiry(static_cast<F&&>(f));
}

/// Builds a hash field by field, for those who read one from bytes. Frees what was not taken.
class HashBuilder {
 public:
  HashBuilder(SlabHeap& heap, const HashLimits& limits)
      : heap_(heap), limits_(limits), hash_(HashValue::Create(heap)) {}
  ~HashBuilder();
  HashBuilder(const HashBuilder&) = delete;
  HashBuilder& operator=(const HashBuilder&) = delete;

  /// Many fields are to come: a table at once.
  void Expect(size_t fields) {
    if (fields > limits_.max_entries) hash_.ConvertToTable(heap_);
  }
  /// False: the name came before.
  bool Add(std::string_view name, std::string_view value, int64_t expiry_ms = kNoExpiry);
  size_t size() const { return hash_.stored_size(); }
  /// The value is the caller's from now on: for Keyspace::SetValue, and SyncFieldExpiry after it.
  HashValue Take() {
    is_taken_ = true;
    return hash_;
  }

 private:
  SlabHeap& heap_;
  HashLimits limits_;
  HashValue hash_;
  bool is_taken_ = false;
};

/// Whether a well-formed, canonical listpack (see Listpack) is a hash's: whole fields, no name twice,
/// and, with times, times in their order. `has_times`: the form of kListPackEx. O(n log n).
bool IsHashListpack(ds::Listpack pack, bool has_times);

// ---- Templates ----

template <class Visit>
void HashValue::ForEachWithExpiry(Visit&& visit) const {
  if (is_table()) {
    const FieldTable& fields = table();
    fields.table().ForEach([&](const ds::Field* field) {
      const int64_t at_ms = fields.ExpiryOf(*field);
      return Expired(at_ms) || visit(field->name(), field->value(), at_ms);
    });
    return;
  }
  const ds::Listpack pack = this->pack();
  char name_text[kInt64CharsMax];
  char value_text[kInt64CharsMax];
  for (ds::Listpack::Position at = pack.First(); at != ds::Listpack::kNone;) {
    const std::string_view name = pack.Get(at).View(name_text);
    at = pack.Next(at);
    const std::string_view value = pack.Get(at).View(value_text);
    at = pack.Next(at);
    int64_t at_ms = kNoExpiry;
    if (has_times()) {
      at_ms = TimeAt(at);
      at = pack.Next(at);
    }
    if (!Expired(at_ms) && !visit(name, value, at_ms)) return;
  }
}

template <class Visit>
void HashValue::ForEach(Visit&& visit) const {
  // The usual table: nothing has expired, so that nobody need ask for times.
  if (is_table() && !has_expired_) {
    table().table().ForEach(
        [&](const ds::Field* field) { return visit(field->name(), field->value()); });
    return;
  }
  ForEachWithExpiry([&](std::string_view name, std::string_view value, int64_t) {
    return visit(name, value);
  });
}

template <class Visit>
void HashValue::ForEachPlace(Visit&& visit) const {
  Place place;
  if (is_table()) {
    const FieldTable::Table& fields = table().table();
    fields.VisitBuckets(0, fields.bucket_count(), [&](FieldTable::Position position) {
      place.field_ = position;
      if (!IsExpired(place)) visit(place);
    });
    return;
  }
  const ds::Listpack pack = this->pack();
  for (auto at = pack.First(); at != ds::Listpack::kNone;) {
    place.at_ = at;
    if (!IsExpired(place)) visit(place);
    for (unsigned i = 0; i < stride(); i++) at = pack.Next(at);
  }
}

template <class Visit>
uint64_t HashValue::ScanTable(uint64_t cursor, Visit&& visit) const {
  const FieldTable& fields = table();
  return fields.table().Scan(cursor, [&](FieldTable::Position position) {
    const ds::Field& field = *position.entry();
    if (has_expired_ && Expired(fields.ExpiryOf(field))) return;
    visit(field.name(), field.value());
  });
}

template <class Random>
HashValue::Place HashValue::RandomStored(Random&& random) const {
  Place place;
  if (is_table()) {
    place.field_ = table().table().RandomPosition(random);
    return place;
  }
  // By multiplication: the remainder of a division would prefer no index noticeably either.
  const uint64_t index =
      static_cast<uint64_t>(static_cast<unsigned __int128>(random()) * stored_size() >> 64);
  place.at_ = pack().Seek(static_cast<int64_t>(index * stride()));
  return place;
}

template <class Erased>
size_t HashValue::EraseExpired(SlabHeap& heap, int64_t now_ms, size_t max_fields, Erased&& erased) {
  size_t count = 0;
  if (is_table()) {
    FieldTable& fields = table();
    while (count < max_fields && fields.timed_fields() > 0 && fields.next_expiry_ms() < now_ms) {
      const std::string_view name = fields.FirstToExpire()->name();
      erased(name);
      fields.Erase(fields.Find(name));
      count++;
    }
    return count;
  }
  if (!has_times()) return 0;
  ds::Listpack pack = this->pack();
  char text[kInt64CharsMax];
  for (auto at = pack.First(); at != ds::Listpack::kNone && count < max_fields; count++) {
    const auto time = pack.Next(pack.Next(at));
    const int64_t at_ms = TimeAt(time);
    if (at_ms == kNoExpiry || at_ms >= now_ms) break;
    erased(pack.Get(at).View(text));
    at = pack.Next(time);
  }
  if (count > 0) pack.Erase(heap, pack.First(), count * 3);
  set_pack(pack);
  return count;
}

}  // namespace sherd::engine
