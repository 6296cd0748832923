// Number parsing and printing. See numbers.h for the contracts.
//
// The rules about what is accepted were compared with a running redis-server; numbers_test.cc
// holds the cases.
#include "base/numbers.h"

#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/check.h"

namespace sherd {

namespace internal {

const uint64_t kPowersOfTen[20] = {
    1ULL,
    10ULL,
    100ULL,
    1000ULL,
    10000ULL,
    100000ULL,
    1000000ULL,
    10000000ULL,
    100000000ULL,
    1000000000ULL,
    10000000000ULL,
    100000000000ULL,
    1000000000000ULL,
    10000000000000ULL,
    100000000000000ULL,
    1000000000000000ULL,
    10000000000000000ULL,
    100000000000000000ULL,
    1000000000000000000ULL,
    10000000000000000000ULL,
};

}  // namespace internal

namespace {

// "000102...99": two digits per division.
struct DigitPairs {
  char text[200];
  constexpr DigitPairs() : text() {
    for (int i = 0; i < 100; i++) {
      text[2 * i] = static_cast<char>('0' + i / 10);
      text[2 * i + 1] = static_cast<char>('0' + i % 10);
    }
  }
};
constexpr DigitPairs kDigitPairs;

// Digits that can be summed up without an overflow test: 10^19 - 1 fits into 64 unsigned bits.
constexpr size_t kSafeDigits = 19;

// Parses 1 to 20 digits without leading zeros ("0" alone is fine).
inline bool ParseDigits(const char* text, size_t size, uint64_t* value) {
  if (size == 0 || size > kSafeDigits + 1) return false;
  if (text[0] == '0') {
    *value = 0;
    return size == 1;
  }
  uint64_t sum = 0;
  const size_t safe = size < kSafeDigits ? size : kSafeDigits;
  for (size_t i = 0; i < safe; i++) {
    const unsigned digit = static_cast<unsigned char>(text[i]) - unsigned{'0'};
    if (digit > 9) return false;
    sum = sum * 10 + digit;
  }
  if (size > kSafeDigits) {
    const unsigned digit = static_cast<unsigned char>(text[kSafeDigits]) - unsigned{'0'};
    if (digit > 9) return false;
    if (__builtin_mul_overflow(sum, uint64_t{10}, &sum)) return false;
    if (__builtin_add_overflow(sum, uint64_t{digit}, &sum)) return false;
  }
  *value = sum;
  return true;
}

// Writes the `digits` digits of `value` so that they end at `end`.
inline void WriteDigitsBackwards(uint64_t value, char* end) {
  while (value >= 100) {
    const uint64_t rest = value / 100;
    const auto pair = static_cast<size_t>(value - rest * 100);
    end -= 2;
    std::memcpy(end, kDigitPairs.text + 2 * pair, 2);
    value = rest;
  }
  if (value >= 10) {
    std::memcpy(end - 2, kDigitPairs.text + 2 * value, 2);
  } else {
    end[-1] = static_cast<char>('0' + value);
  }
}

// The refusal rule for strtod and strtold results. Denormals report ERANGE on glibc too, but are
// good.
template <typename Float>
bool IsRangeError(Float value) {
  return errno == ERANGE && (std::isinf(value) || value == 0);
}

// strtod on a zero-terminated copy; `size` bytes must all be used.
bool ParseDoubleSlow(const char* text, size_t size, double* value) {
  errno = 0;
  char* end = nullptr;
  const double parsed = std::strtod(text, &end);
  if (static_cast<size_t>(end - text) != size) return false;
  if (errno == EINVAL || IsRangeError(parsed)) return false;
  if (std::isnan(parsed)) return false;
  *value = parsed;
  return true;
}

// Writes digits d1 d2 ... dn * 10^exponent in Redis 7.2's shape: plain integer when at most seven
// zeros have to be added; plain decimal when at most six decimals are needed, or when the number is
// at least 0.001 and below 10000; else scientific without padding of the exponent.
size_t EmitDigits(const char* digits, int count, int exponent, char* out) {
  const int scientific = exponent + count - 1;
  const int magnitude = scientific < 0 ? -scientific : scientific;
  char* cursor = out;
  if (exponent >= 0 && magnitude < count + 7) {
    std::memcpy(cursor, digits, static_cast<size_t>(count));
    std::memset(cursor + count, '0', static_cast<size_t>(exponent));
    return static_cast<size_t>(count + exponent);
  }
  if (exponent < 0 && (exponent > -7 || magnitude < 4)) {
    const int point = count + exponent;
    if (point <= 0) {
      std::memcpy(cursor, "0.", 2);
      std::memset(cursor + 2, '0', static_cast<size_t>(-point));
      std::memcpy(cursor + 2 - point, digits, static_cast<size_t>(count));
      return static_cast<size_t>(count + 2 - point);
    }
    std::memcpy(cursor, digits, static_cast<size_t>(point));
    cursor[point] = '.';
    std::memcpy(cursor + point + 1, digits + point, static_cast<size_t>(count - point));
    return static_cast<size_t>(count + 1);
  }
  *cursor++ = digits[0];
  if (count > 1) {
    *cursor++ = '.';
    std::memcpy(cursor, digits + 1, static_cast<size_t>(count - 1));
    cursor += count - 1;
  }
  *cursor++ = 'e';
  *cursor++ = scientific < 0 ? '-' : '+';
  cursor += FormatUint64(static_cast<uint64_t>(magnitude), cursor);
  return static_cast<size_t>(cursor - out);
}

// "nan", "inf", "-inf", "0", "-0"; returns 0 for all other values.
size_t FormatSpecialDouble(double value, char* out) {
  const char* text = nullptr;
  if (std::isnan(value)) {
    text = "nan";
  } else if (std::isinf(value)) {
    text = value < 0 ? "-inf" : "inf";
  } else if (value == 0) {
    text = std::signbit(value) ? "-0" : "0";
  } else {
    return 0;
  }
  const size_t size = std::strlen(text);
  std::memcpy(out, text, size);
  return size;
}

}  // namespace

// ---- Parsing ----

bool ParseInt64(std::string_view text, int64_t* value) {
  const char* digits = text.data();
  size_t size = text.size();
  if (size == 0) return false;
  const bool is_negative = digits[0] == '-';
  if (is_negative) {
    digits++;
    size--;
  }
  uint64_t magnitude;
  if (!ParseDigits(digits, size, &magnitude)) return false;
  if (is_negative) {
    if (magnitude == 0 || magnitude > uint64_t{1} << 63) return false;
    *value = static_cast<int64_t>(uint64_t{0} - magnitude);
    return true;
  }
  if (magnitude > static_cast<uint64_t>(INT64_MAX)) return false;
  *value = static_cast<int64_t>(magnitude);
  return true;
}

bool ParseUint64(std::string_view text, uint64_t* value) {
  uint64_t parsed;
  if (!ParseDigits(text.data(), text.size(), &parsed)) return false;
  *value = parsed;
  return true;
}

bool ParseDouble(std::string_view text, double* value) {
  if (text.empty() || std::isspace(static_cast<unsigned char>(text[0]))) return false;
  // Plain decimals: from_chars rounds as strtod does and is several times faster. It knows no '+'
  // and no "0x" and reports the edges of the range differently, so those go to strtod.
  double parsed = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, parsed);
  if (result.ec == std::errc() && result.ptr == end && std::isnormal(parsed)) {
    *value = parsed;
    return true;
  }
  char buffer[256];
  if (text.size() < sizeof(buffer)) {
    std::memcpy(buffer, text.data(), text.size());
    buffer[text.size()] = '\0';
    return ParseDoubleSlow(buffer, text.size(), value);
  }
  const std::string copy(text);
  return ParseDoubleSlow(copy.c_str(), copy.size(), value);
}

bool ParseLongDouble(std::string_view text, long double* value) {
  char buffer[kLongDoubleCharsMax];
  if (text.empty() || text.size() >= sizeof(buffer)) return false;
  if (std::isspace(static_cast<unsigned char>(text[0]))) return false;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  errno = 0;
  char* end = nullptr;
  const long double parsed = std::strtold(buffer, &end);
  if (static_cast<size_t>(end - buffer) != text.size()) return false;
  if (errno == EINVAL || IsRangeError(parsed)) return false;
  if (std::isnan(parsed)) return false;
  *value = parsed;
  return true;
}

// ---- Printing ----

size_t FormatUint64(uint64_t value, char* out) {
  const size_t digits = DigitCount(value);
  WriteDigitsBackwards(value, out + digits);
  return digits;
}

size_t FormatInt64(int64_t value, char* out) {
  if (value >= 0) return FormatUint64(static_cast<uint64_t>(value), out);
  *out = '-';
  return 1 + FormatUint64(uint64_t{0} - static_cast<uint64_t>(value), out + 1);
}

bool DoubleToInt64(double value, int64_t* integer) {
  constexpr double kLimit = 4611686018427387904.0;  // 2^62, as Redis 7.2
  if (!(value >= -kLimit && value <= kLimit)) return false;
  const auto truncated = static_cast<int64_t>(value);
  if (static_cast<double>(truncated) != value) return false;
  *integer = truncated;
  return true;
}

size_t FormatDouble(double value, char* out) {
  if (const size_t special = FormatSpecialDouble(value, out); special != 0) return special;
  int64_t integer;
  if (DoubleToInt64(value, &integer)) return FormatInt64(integer, out);

  // to_chars gives "d.ddde+XX" with the fewest digits; take it apart into digits and exponent.
  char text[40];
  const auto result =
      std::to_chars(text, text + sizeof(text), std::fabs(value), std::chars_format::scientific);
  CHECK(result.ec == std::errc());
  char digits[20];
  int count = 0;
  const char* cursor = text;
  for (; *cursor != 'e'; cursor++) {
    if (*cursor != '.') digits[count++] = *cursor;
  }
  cursor++;
  const bool is_small = *cursor++ == '-';
  int scientific = 0;
  for (; cursor < result.ptr; cursor++) scientific = scientific * 10 + (*cursor - '0');
  if (is_small) scientific = -scientific;

  size_t sign = 0;
  if (value < 0) out[sign++] = '-';
  return sign + EmitDigits(digits, count, scientific - (count - 1), out + sign);
}

size_t FormatDouble17(double value, char* out) {
  if (const size_t special = FormatSpecialDouble(value, out); special != 0) return special;
  const int size = std::snprintf(out, kDoubleCharsMax, "%.17g", value);
  CHECK(size > 0);
  CHECK(static_cast<size_t>(size) < kDoubleCharsMax);
  return static_cast<size_t>(size);
}

size_t FormatLongDoubleHuman(long double value, char* out) {
  CHECK(!std::isnan(value));
  if (std::isinf(value)) {
    const char* text = value < 0 ? "-inf" : "inf";
    std::memcpy(out, text, std::strlen(text));
    return std::strlen(text);
  }
  const int written = std::snprintf(out, kLongDoubleCharsMax, "%.17Lf", value);
  CHECK(written > 0);
  CHECK(static_cast<size_t>(written) < kLongDoubleCharsMax);
  auto size = static_cast<size_t>(written);
  while (out[size - 1] == '0') size--;
  if (out[size - 1] == '.') size--;
  if (size == 2 && out[0] == '-' && out[1] == '0') {
    out[0] = '0';
    size = 1;
  }
  return size;
}

}  // namespace sherd
