// SortOrder: weights and the radix sort. See the header.
#include "commands/sort_order.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string>

#include "base/numbers.h"

namespace sherd {

namespace {

constexpr int kDigits = 8;
constexpr int kBuckets = 256;
// Below this, counting 256 buckets costs more than comparing.
constexpr size_t kRadixMin = 200;

int DigitOf(uint64_t key, int digit) { return static_cast<int>(key >> (8 * digit) & 0xff); }

}  // namespace

bool ParseSortWeight(std::string_view text, double* weight) {
  int64_t integer;
  if (ParseInt64(text, &integer)) {
    *weight = static_cast<double>(integer);
    return true;
  }
  // The usual decimal; whatever else strtod takes (blanks, hexadecimal, edges of the range) is left
  // to it.
  const char* end = text.data() + text.size();
  const std::from_chars_result result = std::from_chars(text.data(), end, *weight);
  if (result.ec == std::errc() && result.ptr == end && std::isnormal(*weight)) return true;
  const std::string terminated(text);
  char* stop = nullptr;
  errno = 0;
  *weight = std::strtod(terminated.c_str(), &stop);
  return *stop == '\0' && errno != ERANGE && !std::isnan(*weight);
}

void SortByKey(std::vector<SortItem>* items) {
  if (items->size() < kRadixMin) {
    return std::stable_sort(items->begin(), items->end(),
                            [](const SortItem& a, const SortItem& b) { return a.key < b.key; });
  }
  std::vector<size_t> counts(kDigits * kBuckets, 0);
  for (const SortItem& item : *items) {
    for (int digit = 0; digit < kDigits; digit++)
      counts[digit * kBuckets + DigitOf(item.key, digit)]++;
  }
  std::vector<SortItem> other(items->size());
  for (int digit = 0; digit < kDigits; digit++) {
    size_t* count = &counts[digit * kBuckets];
    if (count[DigitOf(items->front().key, digit)] == items->size()) continue;
    size_t place = 0;
    for (int bucket = 0; bucket < kBuckets; bucket++) {
      const size_t here = count[bucket];
      count[bucket] = place;
      place += here;
    }
    for (const SortItem& item : *items) other[count[DigitOf(item.key, digit)]++] = item;
    items->swap(other);
  }
}

size_t CommonPrefix(std::span<const std::string_view> texts) {
  std::string_view prefix;
  bool is_first = true;
  for (const std::string_view text : texts) {
    if (text.data() == nullptr) continue;
    if (is_first) prefix = text;
    is_first = false;
    const size_t length = std::min(prefix.size(), text.size());
    prefix = prefix.substr(
        0, static_cast<size_t>(
               std::mismatch(prefix.begin(), prefix.begin() + length, text.begin()).first -
               prefix.begin()));
    if (prefix.empty()) return 0;
  }
  return prefix.size();
}

uint64_t SortKeyOfText(std::string_view text, size_t skip) {
  if (text.data() == nullptr) return 0;
  const size_t size = std::min<size_t>(text.size() - skip, sizeof(uint64_t));
  uint64_t key = 0;
  for (size_t i = 0; i < size; i++) {
    key |= uint64_t{static_cast<unsigned char>(text[skip + i])} << (56 - 8 * i);
  }
  return key;
}

}  // namespace sherd
