// NameIndex: pointers to things that have a name, in order of the names' bytes: a stream's groups,
// a group's consumers.
//
//   items_ -> [ T* | T* | T* | free … ]      T has `std::string_view name() const`
//
// A sorted array: there are few of them, mostly one to ten, and then nothing is smaller or faster.
// With 100,000 an insert moves 400 KB on average, some 20 µs, which is what a rare case may cost.
//
// Invariants: names ascend strictly; capacity_ is a power of two, or 0 without an array.
//
// Thread: the owner's. Memory: the array from the heap given to changing functions; the things are
// the caller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "base/slab_heap.h"

namespace sherd::ds {

template <class T>
class NameIndex {
 public:
  size_t size() const { return size_; }
  bool is_empty() const { return size_ == 0; }
  T* const* begin() const { return items_; }
  T* const* end() const { return items_ + size_; }
  T* last() const { return items_[size_ - 1]; }

  /// The thing with this name, or null.
  T* Find(std::string_view name) const {
    const size_t at = LowerBound(name);
    return at < size_ && items_[at]->name() == name ? items_[at] : nullptr;
  }
  /// Adds a thing whose name is not there yet.
  void Insert(SlabHeap& heap, T* item) {
    const size_t at = size_ > 0 && last()->name() < item->name() ? size_ : LowerBound(item->name());
    if (size_ == capacity_) Resize(heap, capacity_ == 0 ? 1 : 2 * capacity_);
    std::memmove(items_ + at + 1, items_ + at, (size_ - at) * sizeof(T*));
    items_[at] = item;
    size_++;
  }
  /// Takes a thing out.
  void Erase(SlabHeap& heap, T* item) {
    const size_t at = LowerBound(item->name());
    CHECK(at < size_ && items_[at] == item);
    size_--;
    std::memmove(items_ + at, items_ + at + 1, (size_ - at) * sizeof(T*));
    if (size_ == 0) return Resize(heap, 0);
    if (size_ <= capacity_ / 4) Resize(heap, capacity_ / 2);
  }
  void Clear(SlabHeap& heap) {
    size_ = 0;
    Resize(heap, 0);
  }

  /// Bytes of the array.
  size_t memory() const { return capacity_ == 0 ? 0 : SlabHeap::GoodSize(capacity_ * sizeof(T*)); }
  void Validate() const {
    for (size_t i = 1; i < size_; i++) CHECK(items_[i - 1]->name() < items_[i]->name());
  }

 private:
  // The first place whose name is `name` or above.
  size_t LowerBound(std::string_view name) const {
    size_t low = 0;
    size_t high = size_;
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (items_[middle]->name() < name) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
  void Resize(SlabHeap& heap, size_t capacity) {
    T** items = nullptr;
    if (capacity > 0) items = static_cast<T**>(heap.Allocate(capacity * sizeof(T*)));
    if (items != nullptr && size_ > 0) std::memcpy(items, items_, size_ * sizeof(T*));
    if (items_ != nullptr) heap.Free(items_, capacity_ * sizeof(T*));
    items_ = items;
    capacity_ = capacity;
  }

  T** items_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace sherd::ds
