// FieldTable: the dictionary of a big hash: fields with their values, some with a time to live.
//
// A HashTable whose entry, a Field, is one allocation:
//
//   0      1        2         3                                  short: name and value up to 255 bytes
//   +------+--------+---------+-----------+------------+-------------+
//   |flags | name u8| value u8| timer u32 | name bytes | value bytes |
//   +------+--------+---------+-----------+------------+-------------+
//                               if kTimed
//   0      1           5            9                            wide
//   +------+-----------+------------+-----------+------------+-------------+
//   |flags | name u32  | value u32  | timer u32 | name bytes | value bytes |
//   +------+-----------+------------+-----------+------------+-------------+
//
// Ten bytes of name and ten of value take 23, so 24 of the heap; with its place in the table (14.3) a field
// costs 38 bytes where Redis 7.0 spends about 72. A new value is written over the old one when the heap
// class stays the same.
//
// TIMES TO LIVE. What must be quick: whether anything is due (on every access to the hash), which fields are
// due (without walking the others), and the change of one field's time. So the times stand in a heap of
// their own, FieldTimers, and a field holds its place in it instead of the time: 4 bytes rather than 8, and
// what a removal needs anyway. Reading a time costs one more cache line, but only the commands that ask for
// it do so: while next_expiry_ms() lies ahead, no field has expired and nobody looks.
// The heap is 4-ary with 16-byte nodes, laid out so that the four children of a node are one cache line:
// half the levels of a binary heap and one miss for each. It grows by chunks, without moving what is there,
// for the same reason as the HashTable. Rejected: the table's mark bit with a cursor (the least expiry is
// then known only after a full round), and leaving dead nodes in the heap (a field that is touched a
// million times would leave a million nodes).
//
// Invariants: a field's allocation is a function of its header (AllocationSize); a field is kTimed iff it
// stands in the timers, at the place that it names; a timer is never later than its children.
//
// Hasher: `static uint64_t Hash(std::string_view name)`, the same for the life of the table.
// Thread: the holder of the lease of the heap's shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/slab_heap.h"
#include "ds/hash_table.h"

namespace sherd::ds {

/// A name and its value. The bytes behind the header are its own.
struct Field {
  enum Flag : uint8_t { kWide = 1, kTimed = 2 };
  static constexpr size_t kShortHeader = 3;
  static constexpr size_t kWideHeader = 9;
  static constexpr size_t kShortMax = 255;
  static constexpr size_t kTimerSize = 4;

  uint8_t flags;
  uint8_t name_length8;
  uint8_t value_length8;

  bool is_wide() const { return (flags & kWide) != 0; }
  bool is_timed() const { return (flags & kTimed) != 0; }
  size_t name_length() const { return is_wide() ? Load32(1) : name_length8; }
  size_t value_length() const { return is_wide() ? Load32(5) : value_length8; }
  std::string_view name() const { return {bytes() + NameOffset(), name_length()}; }
  std::string_view value() const { return {bytes() + NameOffset() + name_length(), value_length()}; }
  size_t AllocationSize() const { return NameOffset() + name_length() + value_length(); }

  /// Its place among the timers.
  uint32_t timer() const { return Load32(TimerOffset()); }
  void set_timer(uint32_t timer) { std::memcpy(bytes() + TimerOffset(), &timer, sizeof timer); }

  static bool NeedsWide(size_t name_length, size_t value_length) {
    return name_length > kShortMax || value_length > kShortMax;
  }
  static size_t SizeFor(size_t name_length, size_t value_length, bool is_timed) {
    return (NeedsWide(name_length, value_length) ? kWideHeader : kShortHeader) +
           (is_timed ? kTimerSize : 0) + name_length + value_length;
  }
  static Field* Create(SlabHeap& heap, std::string_view name, std::string_view value, bool is_timed);
  static void Free(SlabHeap& heap, Field* field) { heap.Free(field, field->AllocationSize()); }
  /// Writes another value over the present one; false if that takes another allocation.
  bool Overwrite(std::string_view value);

 private:
  void SetLengths(size_t name_length, size_t value_length);
  char* bytes() { return reinterpret_cast<char*>(this); }
  const char* bytes() const { return reinterpret_cast<const char*>(this); }
  size_t TimerOffset() const { return is_wide() ? kWideHeader : kShortHeader; }
  size_t NameOffset() const { return TimerOffset() + (is_timed() ? kTimerSize : 0); }
  uint32_t Load32(size_t offset) const {
    uint32_t value;
    std::memcpy(&value, bytes() + offset, sizeof value);
    return value;
  }
};
static_assert(sizeof(Field) == Field::kShortHeader);
static_assert(alignof(Field) == 1);

/// Times to live of fields: a heap, the next one first.
class FieldTimers {
 public:
  struct Node {
    int64_t at_ms;
    Field* field;
  };
  static_assert(sizeof(Node) == 16);

  size_t size() const { return size_; }
  /// The first to be due; there must be one.
  const Node& First() const { return At(kRoot); }
  const Node& Get(uint32_t timer) const { return At(timer); }

  /// Adds a field and tells it its place.
  void Add(SlabHeap& heap, Field* field, int64_t at_ms);
  void Remove(SlabHeap& heap, uint32_t timer);
  void Change(uint32_t timer, int64_t at_ms);
  /// The field was reallocated.
  void Moved(Field* field) { At(field->timer()).field = field; }

  /// How many were due before `now_ms`. O(result).
  size_t CountBefore(int64_t now_ms) const { return size_ == 0 ? 0 : CountBelow(kRoot, now_ms); }

  /// Frees the memory of about `max_nodes` nodes, whose fields are not touched; true when nothing is left.
  /// Nothing else may be called from the first slice on.
  bool FreeSlice(SlabHeap& heap, size_t max_nodes);
  size_t memory() const;
  /// CHECKs order and places.
  void Validate() const;

 private:
  // The root stands at 3, so that children (4 to 7 of the root, then groups of four) begin at multiples of
  // four: node i has 4(i - 2) … 4(i - 2) + 3.
  static constexpr size_t kRoot = 3;
  static constexpr size_t kChunkShift = 10;
  static constexpr size_t kChunkNodes = size_t{1} << kChunkShift;  // 16 KiB
  static constexpr size_t kFirstNodes = 8;

  static size_t Parent(size_t index) { return index / 4 + 2; }
  static size_t FirstChild(size_t index) { return 4 * (index - 2); }
  size_t end() const { return kRoot + size_; }
  Node& At(size_t index) const { return chunks_[index >> kChunkShift][index & (kChunkNodes - 1)]; }
  void Put(size_t index, const Node& node) {
    At(index) = node;
    node.field->set_timer(static_cast<uint32_t>(index));
  }
  void SiftUp(size_t index, Node node);
  void SiftDown(size_t index, Node node);
  /// Puts `node` into the hole at `index`, wherever it has to go from there.
  void Settle(size_t index, const Node& node);
  size_t CountBelow(size_t index, int64_t now_ms) const;

  void Reserve(SlabHeap& heap);
  void Trim(SlabHeap& heap);
  void ResizeFirstChunk(SlabHeap& heap, size_t nodes);
  void GrowDirectory(SlabHeap& heap);
  void FreeLastChunk(SlabHeap& heap);
  size_t ChunkCapacity(size_t chunk) const { return chunk == 0 ? first_capacity_ : kChunkNodes; }

  Node** chunks_ = nullptr;      // directory_capacity_ of them, chunk_count_ in use
  size_t size_ = 0;
  uint32_t chunk_count_ = 0;
  uint32_t directory_capacity_ = 0;
  uint32_t first_capacity_ = 0;  // nodes of the first chunk, which grows by doubling
};

template <class Hasher>
class FieldTable {
  struct Policy {
    using Entry = Field;
    using Key = std::string_view;
    static uint64_t Hash(const Field* field) { return Hasher::Hash(field->name()); }
    static bool Equals(const Field* field, std::string_view name) { return EqualBytes(field->name(), name); }
  };

 public:
  using Table = HashTable<Policy>;
  using Position = typename Table::Position;
  static constexpr int64_t kNoExpiry = -1;

  explicit FieldTable(SlabHeap& heap) : heap_(heap), table_(&heap) {}

  /// One that lives in the heap itself.
  static FieldTable* Create(SlabHeap& heap) { return new (heap.Allocate(sizeof(FieldTable))) FieldTable(heap); }
  /// Frees about `max_fields` fields of a table that is used no more; true when it is gone altogether.
  static bool FreeSlice(FieldTable* table, size_t max_fields) {
    SlabHeap& heap = table->heap_;
    if (!table->FreeFields(max_fields)) return false;
    if (!table->timers_.FreeSlice(heap, max_fields)) return false;
    table->~FieldTable();
    heap.Free(table, sizeof(FieldTable));
    return true;
  }
  /// A copy in another heap (or the same).
  FieldTable* Clone(SlabHeap& heap) const {
    FieldTable* copy = Create(heap);
    table_.ForEach([&](const Field* field) {
      const Position position = copy->Insert(field->name(), Hasher::Hash(field->name()), field->value());
      if (field->is_timed()) copy->SetExpiry(position, timers_.Get(field->timer()).at_ms);
      return true;
    });
    return copy;
  }

  size_t size() const { return table_.size(); }
  const Table& table() const { return table_; }

  Position Find(std::string_view name) const { return Find(name, Hasher::Hash(name)); }
  Position Find(std::string_view name, uint64_t hash) const { return table_.Find(hash, name); }
  /// Adds a field that is not there.
  Position Insert(std::string_view name, uint64_t hash, std::string_view value) {
    return table_.Insert(hash, Field::Create(heap_, name, value, false));
  }
  /// Changes the value; the time to live stays.
  void SetValue(Position position, std::string_view value) {
    Field* field = position.entry();
    if (!field->Overwrite(value)) Rebuild(position, value, field->is_timed());
  }
  void Erase(Position position) {
    Field* field = position.entry();
    if (field->is_timed()) timers_.Remove(heap_, field->timer());
    Field::Free(heap_, table_.Erase(position));
  }

  /// When the field expires in unix ms, or kNoExpiry.
  int64_t ExpiryOf(const Field& field) const {
    return field.is_timed() ? timers_.Get(field.timer()).at_ms : kNoExpiry;
  }
  /// `at_ms` may be kNoExpiry.
  void SetExpiry(Position position, int64_t at_ms) {
    Field* field = position.entry();
    if (at_ms == kNoExpiry) {
      if (!field->is_timed()) return;
      timers_.Remove(heap_, field->timer());
      Rebuild(position, field->value(), false);
    } else if (field->is_timed()) {
      timers_.Change(field->timer(), at_ms);
    } else {
      Rebuild(position, field->value(), true);
      timers_.Add(heap_, position.entry(), at_ms);
    }
  }

  /// The time of the first field to expire, or kNoExpiry. O(1).
  int64_t next_expiry_ms() const { return timers_.size() == 0 ? kNoExpiry : timers_.First().at_ms; }
  /// The field whose time comes first; there must be one.
  const Field* FirstToExpire() const { return timers_.First().field; }
  /// How many fields were to expire before `now_ms`. O(result).
  size_t CountExpired(int64_t now_ms) const { return timers_.CountBefore(now_ms); }
  size_t timed_fields() const { return timers_.size(); }

  /// Bytes of the table. `samples`: how many fields to look at, 0 for all.
  size_t memory(size_t samples) const {
    size_t seen = 0;
    size_t bytes = 0;
    table_.ForEach([&](const Field* field) {
      bytes += SlabHeap::GoodSize(field->AllocationSize());
      return ++seen != samples;
    });
    if (seen < size()) {
      bytes = static_cast<size_t>(static_cast<double>(bytes) / static_cast<double>(seen) *
                                  static_cast<double>(size()));
    }
    return SlabHeap::GoodSize(sizeof(FieldTable)) + table_.memory() + timers_.memory() + bytes;
  }

  /// CHECKs everything. O(n).
  void Validate() const {
    table_.Validate();
    timers_.Validate();
    size_t timed = 0;
    table_.ForEach([&](const Field* field) {
      if (!field->is_timed()) return true;
      CHECK(timers_.Get(field->timer()).field == field);
      timed++;
      return true;
    });
    CHECK(timed == timers_.size());
  }

 private:
  /// True when no field is left.
  bool FreeFields(size_t max_fields) {
    size_t freed = 0;
    while (freed < max_fields) {
      // A bucket may be empty: it counts as work all the same.
      freed++;
      if (!table_.DismantleBucket([&](Field* field) {
            Field::Free(heap_, field);
            freed++;
          })) {
        return true;
      }
    }
    return table_.bucket_count() == 0;
  }

  /// Puts a field of another shape in the place of the present one.
  void Rebuild(Position position, std::string_view value, bool is_timed) {
    Field* old = position.entry();
    Field* field = Field::Create(heap_, old->name(), value, is_timed);
    if (is_timed && old->is_timed()) {
      field->set_timer(old->timer());
      timers_.Moved(field);
    }
    position.Replace(field);
    Field::Free(heap_, old);
  }

  SlabHeap& heap_;
  Table table_;
  FieldTimers timers_;
};

}  // namespace sherd::ds
