// SortOrder: brings elements into SORT's order.
//
// Each element is 16 bytes: a key of 64 bits whose order is that of the weights, and its index.
// Keys are sorted by their bytes from the last to the first (least significant digit radix sort:
// linear, no branch on data; bytes that are equal in all keys, as most are, are passed over), then
// runs of equal keys are put in order by comparing what the key could not hold.
//
//   numbers   the double's bits, made to ascend; ties: the elements' texts
//   texts     the eight bytes behind what all texts begin with; ties: the whole texts
//
// Redis calls a comparison function about n log n times, each following two pointers or more.
//
// Thread: any.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace sherd {

struct SortItem {
  uint64_t key;
  uint64_t index;
};

/// A key that ascends with the number; -0 and 0 are equal. Not for NaN.
inline uint64_t SortKeyOfNumber(double number) {
  number += 0.0;  // -0 becomes 0
  uint64_t bits;
  std::memcpy(&bits, &number, sizeof bits);
  constexpr uint64_t kSign = uint64_t{1} << 63;
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

/// A weight as SORT reads it: what strtod takes up to the first zero byte, all of it; "" is 0.
/// False: it is no number, or too large or too small for one.
bool ParseSortWeight(std::string_view text, double* weight);

/// Sorts by key, ascending; equal keys stay in their order.
void SortByKey(std::vector<SortItem>* items);

/// How many bytes all texts begin with. Texts without data are no texts.
size_t CommonPrefix(std::span<const std::string_view> texts);
/// The key of a text whose first `skip` bytes are common to all.
uint64_t SortKeyOfText(std::string_view text, size_t skip);

/// Sorts by key, runs of equal keys by compare(index, index) < 0, and what is equal then by index;
/// all but the latter reversed if `is_descending`.
template <class Compare>
void SortItems(std::vector<SortItem>* items, bool is_descending, Compare&& compare) {
  SortByKey(items);
  const auto comes_first = [&](const SortItem& a, const SortItem& b) {
    const int order = compare(a.index, b.index);
    if (order != 0) return order < 0;
    return is_descending ? a.index > b.index : a.index < b.index;
  };
  for (size_t first = 0; first < items->size();) {
    size_t end = first + 1;
    while (end < items->size() && (*items)[end].key == (*items)[first].key) end++;
    if (end - first > 1) {
      std::sort(items->begin() + static_cast<ptrdiff_t>(first),
                items->begin() + static_cast<ptrdiff_t>(end), comes_first);
    }
    first = end;
  }
  if (is_descending) std::reverse(items->begin(), items->end());
}

}  // namespace sherd
