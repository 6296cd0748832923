// Listpack: a short sequence of strings and integers in one block of bytes, in Redis's own format, so
// that a value can go into an RDB file or a DUMP payload as it lies in memory.
//
//   0             4        6                                     total_bytes
//   +-------------+--------+---------+---------+-- - - --+-------+
//   | total_bytes | count  | element | element |         | 0xFF  |
//   +-------------+--------+---------+---------+-- - - --+-------+
//     u32 little    u16 little; 0xFFFF: too many to say, walk and count
//
//   element = encoding and data | backlen
//
//   0xxxxxxx                       integer 0 … 127
//   10xxxxxx bytes                 string of up to 63 bytes
//   110xxxxx xxxxxxxx              integer, 13 bits, signed
//   1110xxxx xxxxxxxx bytes        string of up to 4095 bytes
//   11110000 u32 little, bytes     string
//   11110001 … 11110100            integer in 16, 24, 32, 64 bits, little endian, signed
//
//   backlen: the element's length without it, in 7-bit groups, most significant first; all but the first
//   byte have their top bit set, so that it reads from its end towards the front. A text that reads as an
//   int64 and prints back the same is always stored as an integer.
//
// A value of this class is just the address of such a block. The block lives in a SlabHeap and occupies
// exactly heap.Allocate(bytes()); functions that change it take the heap and may move it, so the owner
// stores data() again afterwards. Elements are named by their offset ("position"); kNone is none. A
// position is valid until the next change.
//
// Cost: everything is a walk or a memmove over at most a few KiB; the thresholds of the encodings keep it
// so. There is no cascade: an element's bytes depend on its own value alone.
//
// Bytes from outside (RESTORE, files) must pass Validate() before any other function sees them.
//
// Format: Redis's listpack specification (antirez/listpack) and what Redis 7 writes.
// Thread: the owner's; nothing here is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/numbers.h"
#include "base/slab_heap.h"

namespace sherd::ds {

/// One element as it is stored: either text, which points into the block, or an integer.
struct PackedValue {
  const char* text = nullptr;  // null: an integer
  size_t size = 0;
  int64_t integer = 0;

  bool is_integer() const { return text == nullptr; }
  /// The element's bytes; those of an integer are written to `buffer`.
  std::string_view View(char (&buffer)[kInt64CharsMax]) const {
    if (text != nullptr) return {text, size};
    return {buffer, FormatInt64(integer, buffer)};
  }
};

class Listpack {
 public:
  using Position = size_t;
  static constexpr Position kNone = 0;
  static constexpr size_t kHeaderSize = 6;
  static constexpr size_t kEmptySize = kHeaderSize + 1;
  static constexpr uint32_t kCountUnknown = 0xFFFF;
  /// Redis refuses to let one grow beyond this; so do the families, by their thresholds.
  static constexpr size_t kMaxBytes = size_t{1} << 30;

  Listpack() = default;
  explicit Listpack(uint8_t* data) : data_(data) {}

  /// An empty one.
  static Listpack Create(SlabHeap& heap);
  /// A block with these bytes, which are a valid listpack.
  static Listpack CreateFrom(SlabHeap& heap, std::string_view bytes);
  void Free(SlabHeap& heap) { heap.Free(data_, bytes()); }
  Listpack Clone(SlabHeap& heap) const { return CreateFrom(heap, view()); }

  uint8_t* data() const { return data_; }
  size_t bytes() const { return LoadLittle32(data_); }
  std::string_view view() const { return {reinterpret_cast<const char*>(data_), bytes()}; }
  /// Number of elements. O(1) up to 65534 of them, a walk above.
  size_t count() const;
  bool is_empty() const { return data_[kHeaderSize] == kEnd; }

  // ---- Walking. All return kNone at the end. ----

  Position First() const { return is_empty() ? kNone : kHeaderSize; }
  Position Last() const { return PreviousOf(bytes() - 1); }
  Position Next(Position at) const {
    const Position next = at + SizeAt(at);
    return data_[next] == kEnd ? kNone : next;
  }
  Position Previous(Position at) const { return PreviousOf(at); }
  /// The element with this index, from the back when negative (-1 is the last). O(n).
  Position Seek(int64_t index) const;

  PackedValue Get(Position at) const {
    size_t data_size;
    return Decode(data_ + at, &data_size);
  }
  /// Calls f(PackedValue) -> bool for up to `count` elements from `at` on (kNone: none), until one says
  /// false. Returns whether none did. Decodes each element once: the way to read many.
  template <class F>
  bool Visit(Position at, size_t count, F&& f) const {
    if (at == kNone) return true;
    for (const uint8_t* p = data_ + at; count > 0 && *p != kEnd; count--) {
      size_t data_size;
      if (!f(Decode(p, &data_size))) return false;
      p += data_size + BacklenSize(data_size);
    }
    return true;
  }
  /// The same towards the front, `at` first.
  template <class F>
  bool VisitBackward(Position at, size_t count, F&& f) const {
    for (; count > 0 && at != kNone; count--, at = PreviousOf(at)) {
      if (!f(Get(at))) return false;
    }
    return true;
  }
  /// Whether the element's bytes are `text`. For many comparisons with one text prefer Find.
  bool Equals(Position at, std::string_view text) const;
  /// The first element at or after `from` (kNone: none) that equals `text`, looking at one element and
  /// then passing over `skip` (1: the fields of field-value pairs).
  Position Find(Position from, std::string_view text, unsigned skip) const;

  // ---- Changing. The block may move. ----

  void Append(SlabHeap& heap, std::string_view text) { Insert(heap, bytes() - 1, text); }
  void AppendInteger(SlabHeap& heap, int64_t value) { InsertInteger(heap, bytes() - 1, value); }
  void Prepend(SlabHeap& heap, std::string_view text) { Insert(heap, kHeaderSize, text); }
  /// Inserts before the element at `at` (bytes() - 1: at the end). The new element is then at `at`.
  void Insert(SlabHeap& heap, Position at, std::string_view text);
  void InsertInteger(SlabHeap& heap, Position at, int64_t value);
  /// Appends all, with one move of the block.
  void AppendAll(SlabHeap& heap, std::span<const std::string_view> texts);
  /// Prepends one after the other, so that the last of them becomes the first element; one move.
  void PrependAll(SlabHeap& heap, std::span<const std::string_view> texts);
  /// Puts another value in an element's place; its position stays.
  void Replace(SlabHeap& heap, Position at, std::string_view text);
  void ReplaceInteger(SlabHeap& heap, Position at, int64_t value);
  /// Removes `count` elements from `at` on (fewer when it ends before). Returns the position of the
  /// element that followed them, or kNone.
  Position Erase(SlabHeap& heap, Position at, size_t count = 1);
  /// Removes `count` elements from an index on, as Seek understands it.
  void EraseRange(SlabHeap& heap, int64_t index, size_t count);
  /// Removes elements that equal `text`: passes over the first `skip` of them, then removes up to `limit`.
  /// One pass, one move. Returns how many it removed.
  size_t EraseMatches(SlabHeap& heap, std::string_view text, size_t skip, size_t limit);
  /// How many elements equal `text`.
  size_t CountMatches(std::string_view text) const;
  /// Appends all elements of another one.
  void AppendPack(SlabHeap& heap, Listpack other);

  /// Bytes that an element with this value takes, backlen included.
  static size_t ElementSize(std::string_view text);
  static size_t ElementSizeOfInteger(int64_t value);
  /// Bytes that an element of `size` bytes of text takes at most.
  static constexpr size_t ElementSizeMax(size_t size) { return size + 10; }
  /// Write one element to `at`, which has room for it, and return the place behind it: for writers of
  /// whole blocks, which see to header and end mark themselves.
  static uint8_t* WriteElement(uint8_t* at, std::string_view text);
  static uint8_t* WriteIntegerElement(uint8_t* at, int64_t value);

  // ---- Raw access, for owners that keep the bytes in memory of their own (quicklist) ----

  /// An element's encoding and length bytes, ready to be written; the string's bytes follow. Refers to
  /// the text that it was made from.
  struct Encoded {
    uint8_t head[9];
    uint8_t head_size;
    std::string_view tail;
    size_t data_size() const { return head_size + tail.size(); }
    size_t size() const { return data_size() + BacklenSize(data_size()); }
  };
  static Encoded Encode(std::string_view text);
  /// Writes element.size() bytes.
  static void Write(uint8_t* at, const Encoded& element);
  /// Writes the six bytes in front of the elements.
  static void WriteHeader(uint8_t* at, size_t bytes, size_t count) {
    StoreLittle32(at, static_cast<uint32_t>(bytes));
    StoreLittle16(at + 4, static_cast<uint16_t>(count < kCountUnknown ? count : kCountUnknown));
  }
  /// EraseMatches on a valid listpack in place: moves what stays together, mends the header and returns
  /// the new total size. `*removed` receives the number of elements that went.
  static size_t CompactMatches(uint8_t* data, std::string_view text, size_t skip, size_t limit,
                               size_t* removed);

  /// Bytes of the element at `at`, backlen included.
  size_t SizeAt(Position at) const {
    const size_t size = DataSizeAt(data_ + at);
    return size + BacklenSize(size);
  }

  /// Whether `bytes` are a well-formed listpack: header, every element inside the block, backlens that
  /// match, the end mark where it belongs, and the count right. Safe on any bytes. O(n). `count`, when
  /// not null, receives the number of elements.
  static bool Validate(std::string_view bytes, size_t* count = nullptr);
  /// Whether every element has the one encoding that we (and Redis) would give it. Find relies on that:
  /// a valid listpack of another writer that is not canonical must be built anew, element by element.
  bool IsCanonical() const;

 private:
  static constexpr uint8_t kEnd = 0xFF;

  static Encoded EncodeInteger(int64_t value);
  /// Whether the element at `p`, whose size is known to be right, is this one.
  static bool Matches(const uint8_t* p, const Encoded& element);

  static size_t BacklenSize(size_t data_size) {
    if (data_size <= 127) return 1;
    if (data_size < 16383) return 2;
    if (data_size < 2097151) return 3;
    return data_size < 268435455 ? 4 : 5;
  }
  static void WriteBacklen(uint8_t* at, size_t data_size);
  /// Size of an element without its backlen, from its first bytes.
  static size_t DataSizeAt(const uint8_t* p) {
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xC0) return 1 + (p[0] & 0x3Fu);
    return DataSizeOfLong(p);
  }
  static size_t DataSizeOfLong(const uint8_t* p);
  /// The element at `p`; `*data_size` receives its size without backlen.
  static PackedValue Decode(const uint8_t* p, size_t* data_size) {
    const uint8_t head = p[0];
    PackedValue value;
    if (__builtin_expect(head >= 0x80 && head < 0xC0, 1)) {
      value.text = reinterpret_cast<const char*>(p + 1);
      value.size = head & 0x3Fu;
      *data_size = 1 + value.size;
    } else if (head < 0x80) {
      value.integer = head;
      *data_size = 1;
    } else {
      value = DecodeLong(p);
      *data_size = DataSizeOfLong(p);
    }
    return value;
  }
  static PackedValue DecodeLong(const uint8_t* p);
  Position PreviousOf(Position at) const;

  /// Makes the gap or closes it: `old_size` bytes at `at` become `new_size`, the rest moves.
  void Resize(SlabHeap& heap, Position at, size_t old_size, size_t new_size);
  void InsertEncoded(SlabHeap& heap, Position at, const Encoded& element);
  void ReplaceEncoded(SlabHeap& heap, Position at, const Encoded& element);
  void SetBytes(size_t bytes) { StoreLittle32(data_, static_cast<uint32_t>(bytes)); }
  uint32_t stored_count() const { return LoadLittle16(data_ + 4); }
  void SetCount(size_t count) {
    StoreLittle16(data_ + 4, static_cast<uint16_t>(count < kCountUnknown ? count : kCountUnknown));
  }
  void AddCount(int64_t delta);

  uint8_t* data_ = nullptr;
};
static_assert(sizeof(Listpack) == sizeof(void*));

}  // namespace sherd::ds
