// IntSet: a sorted array of integers in one block of bytes, in Redis's own format, so that a set
// can go into an RDB file or a DUMP payload as it lies in memory.
//
//   0          4          8                                bytes()
//   +----------+----------+---------+---------+-- - - --+
//   | width    | count    | integer | integer |         |
//   +----------+----------+---------+---------+-- - - --+
//     u32 little u32 little, all integers of the same width: 2, 4 or 8 bytes, little endian, signed
//
// Invariants: the integers ascend, each stands once; every one fits the width. The width only
// grows: as in Redis, removing the one large integer does not make the others narrow again
// (payloads would differ).
//
// A value of this class is just the address of such a block. The block lives in a SlabHeap and
// occupies exactly heap.Allocate(bytes()); functions that change it take the heap and may move it,
// so the owner stores data() again afterwards.
//
// Cost: a search is a binary search within at most a few KiB (the threshold of the encoding keeps
// it so), a change is a memmove. Appending in ascending order moves nothing.
//
// Bytes from outside (RESTORE, files) must pass Validate() before any other function sees them.
//
// Thread: the owner's; nothing here is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/slab_heap.h"

namespace sherd::ds {

class IntSet {
 public:
  static constexpr size_t kHeaderSize = 8;
  /// Redis refuses to let one grow beyond this; so does our set type, by its thresholds.
  static constexpr size_t kMaxCount = size_t{1} << 30;

  IntSet() = default;
  explicit IntSet(uint8_t* data) : data_(data) {}

  /// An empty one, of the smallest width.
  static IntSet Create(SlabHeap& heap);
  /// A block with these bytes, which are a valid set of integers.
  static IntSet CreateFrom(SlabHeap& heap, std::string_view bytes);
  void Free(SlabHeap& heap) { heap.Free(data_, bytes()); }
  IntSet Clone(SlabHeap& heap) const { return CreateFrom(heap, view()); }

  uint8_t* data() const { return data_; }
  size_t count() const { return LoadLittle32(data_ + 4); }
  /// Bytes of one integer.
  size_t width() const { return LoadLittle32(data_); }
  size_t bytes() const { return kHeaderSize + count() * width(); }
  std::string_view view() const { return {reinterpret_cast<const char*>(data_), bytes()}; }

  /// The integer with this index, in ascending order; index < count().
  int64_t Get(size_t index) const {
    DCHECK(index < count());
    return Load(width(), index);
  }
  int64_t Min() const { return Get(0); }
  int64_t Max() const { return Get(count() - 1); }

  bool Contains(int64_t value) const {
    const size_t index = LowerBound(value);
    return index < count() && Get(index) == value;
  }
  /// Index of the first integer that is at least `value`; count() when there is none.
  size_t LowerBound(int64_t value) const { return LowerBoundIn(0, count(), value); }
  /// The same from index `from` on, where all before are smaller than `value`. Cost: the logarithm
  /// of the distance, so that walking one set along another costs at most as much as merging them.
  size_t Seek(size_t from, int64_t value) const;

  /// Adds the value; false if it is there already. The block may move.
  bool Add(SlabHeap& heap, int64_t value);
  /// Removes the value; false if it is not there. The block may move.
  bool Remove(SlabHeap& heap, int64_t value);
  /// Removes the integer with this index. The block may move.
  void RemoveAt(SlabHeap& heap, size_t index);

  /// Removes all integers for which decide(int64_t), asked in ascending order, says true. The block
  /// may move. One pass, however many go.
  template <class Decide>
  void RemoveIf(SlabHeap& heap, Decide&& decide) {
    const size_t width = this->width();
    const size_t count = this->count();
    size_t kept = 0;
    for (size_t index = 0; index < count; index++) {
      const int64_t value = Load(width, index);
      if (!decide(value)) Store(width, kept++, value);
    }
    SetHeader(width, kept);
    Resize(heap, kHeaderSize + count * width, kHeaderSize + kept * width);
  }

  /// Calls visit(int64_t) in ascending order until it returns false; returns whether it never did.
  template <class Visit>
  bool ForEach(Visit&& visit) const {
    const size_t width = this->width();
    const size_t count = this->count();
    for (size_t index = 0; index < count; index++) {
      if (!visit(Load(width, index))) return false;
    }
    return true;
  }

  /// Whether `bytes` are a well-formed set of integers: a width that exists, the length that header
  /// says, at least one integer, all ascending. Safe on any bytes. O(n).
  static bool Validate(std::string_view bytes);

 private:
  static size_t WidthOf(int64_t value) {
    if (value >= INT16_MIN && value <= INT16_MAX) return 2;
    return value >= INT32_MIN && value <= INT32_MAX ? 4 : 8;
  }
  static int64_t LoadFrom(const uint8_t* integers, size_t width, size_t index) {
    if (width == 2) return static_cast<int16_t>(LoadLittle16(integers + index * 2));
    if (width == 4) return static_cast<int32_t>(LoadLittle32(integers + index * 4));
    return static_cast<int64_t>(LoadLittle64(integers + index * 8));
  }
  int64_t Load(size_t width, size_t index) const {
    return LoadFrom(data_ + kHeaderSize, width, index);
  }
  void Store(size_t width, size_t index, int64_t value);
  void SetHeader(size_t width, size_t count) {
    StoreLittle32(data_, static_cast<uint32_t>(width));
    StoreLittle32(data_ + 4, static_cast<uint32_t>(count));
  }
  size_t LowerBoundIn(size_t low, size_t high, int64_t value) const;
  /// Makes the block `new_size` bytes long; what is behind the shorter of both lengths is lost.
  void Resize(SlabHeap& heap, size_t old_size, size_t new_size);
  /// Adds a value that no integer of the present width can be: it stands before or behind all
  /// others.
  void Widen(SlabHeap& heap, int64_t value);

  uint8_t* data_ = nullptr;
};
static_assert(sizeof(IntSet) == sizeof(void*));

}  // namespace sherd::ds
