// IntSet: see the header for the format.
#include "ds/intset.h"

#include <cstring>

namespace sherd::ds {

// ---- Making ----

IntSet IntSet::Create(SlabHeap& heap) {
  IntSet set(static_cast<uint8_t*>(heap.Allocate(kHeaderSize)));
  set.SetHeader(2, 0);
  return set;
}

IntSet IntSet::CreateFrom(SlabHeap& heap, std::string_view bytes) {
  IntSet set(static_cast<uint8_t*>(heap.Allocate(bytes.size())));
  std::memcpy(set.data_, bytes.data(), bytes.size());
  DCHECK(set.bytes() == bytes.size());
  return set;
}

void IntSet::Store(size_t width, size_t index, int64_t value) {
  uint8_t* const at = data_ + kHeaderSize + index * width;
  if (width == 2) {
    StoreLittle16(at, static_cast<uint16_t>(value));
  } else if (width == 4) {
    StoreLittle32(at, static_cast<uint32_t>(value));
  } else {
    StoreLittle64(at, static_cast<uint64_t>(value));
  }
}

// ---- Searching ----

size_t IntSet::LowerBoundIn(size_t low, size_t high, int64_t value) const {
  const size_t width = this->width();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (Load(width, middle) < value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

size_t IntSet::Seek(size_t from, int64_t value) const {
  const size_t width = this->width();
  const size_t end = count();
  size_t step = 1;
  size_t low = from;
  size_t probe = from;
  while (probe < end && Load(width, probe) < value) {
    low = probe + 1;
    probe += step;
    step *= 2;
  }
  return LowerBoundIn(low, probe < end ? probe : end, value);
}

// ---- Changing ----

void IntSet::Resize(SlabHeap& heap, size_t old_size, size_t new_size) {
  // The heap knows its classes: within one, the block is already large enough.
  if (SlabHeap::GoodSize(old_size) == SlabHeap::GoodSize(new_size)) return;
  uint8_t* moved = static_cast<uint8_t*>(heap.Allocate(new_size));
  std::memcpy(moved, data_, old_size < new_size ? old_size : new_size);
  heap.Free(data_, old_size);
  data_ = moved;
}

void IntSet::Widen(SlabHeap& heap, int64_t value) {
  const size_t old_width = width();
  const size_t new_width = WidthOf(value);
  const size_t count = this->count();
  Resize(heap, kHeaderSize + count * old_width, kHeaderSize + (count + 1) * new_width);
  const size_t shift = value < 0 ? 1 : 0;
  // From the back, so that no integer is overwritten before it was read.
  for (size_t index = count; index-- > 0;) Store(new_width, index + shift, Load(old_width, index));
  Store(new_width, value < 0 ? 0 : count, value);
  SetHeader(new_width, count + 1);
}

bool IntSet::Add(SlabHeap& heap, int64_t value) {
  const size_t width = this->width();
  if (WidthOf(value) > width) {
    Widen(heap, value);
    return true;
  }
  const size_t count = this->count();
  // Behind the last one is where sorted input goes.
  const bool is_last = count == 0 || Load(width, count - 1) < value;
  const size_t index = is_last ? count : LowerBound(value);
  if (index < count && Load(width, index) == value) return false;
  CHECK(count < kMaxCount + kMaxCount);  // far below what u32 holds
  const size_t old_size = kHeaderSize + count * width;
  Resize(heap, old_size, old_size + width);
  uint8_t* const at = data_ + kHeaderSize + index * width;
  std::memmove(at + width, at, (count - index) * width);
  Store(width, index, value);
  SetHeader(width, count + 1);
  return true;
}

bool IntSet::Remove(SlabHeap& heap, int64_t value) {
  const size_t index = LowerBound(value);
  if (index >= count() || Get(index) != value) return false;
  RemoveAt(heap, index);
  return true;
}

void IntSet::RemoveAt(SlabHeap& heap, size_t index) {
  const size_t width = this->width();
  const size_t count = this->count();
  DCHECK(index < count);
  uint8_t* const at = data_ + kHeaderSize + index * width;
  std::memmove(at, at + width, (count - index - 1) * width);
  SetHeader(width, count - 1);
  const size_t new_size = kHeaderSize + (count - 1) * width;
  Resize(heap, new_size + width, new_size);
}

// ---- Hostile bytes ----

bool IntSet::Validate(std::string_view bytes) {
  if (bytes.size() < kHeaderSize) return false;
  const uint8_t* data = reinterpret_cast<const uint8_t*>(bytes.data());
  const uint64_t width = LoadLittle32(data);
  if (width != 2 && width != 4 && width != 8) return false;
  const uint64_t count = LoadLittle32(data + 4);
  if (count == 0 || count > kMaxCount || kHeaderSize + count * width != bytes.size()) return false;
  int64_t previous = LoadFrom(data + kHeaderSize, width, 0);
  for (size_t index = 1; index < count; index++) {
    const int64_t value = LoadFrom(data + kHeaderSize, width, index);
    if (value <= previous) return false;
    previous = value;
  }
  return true;
}

}  // namespace sherd::ds
