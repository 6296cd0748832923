// Numbers as text, both ways, exactly as a Redis client sees them.
//
// Whether "007", "+1", "1e5" or " 1" is a number is part of the protocol: a command answers "value
// is not an integer or out of range" or it does not, and a value is stored as an integer or as a
// string. So these functions follow Redis's rules and not the C library's. Printing decides what a
// client reads back, so it follows the shapes of Redis 7.2 too.
//
// Cost: integers print two digits at a time from a table and parse without a multiplication
// overflow test per digit; they stand in the path of every INCR and of every length header. Doubles
// use std::from_chars and std::to_chars (Ryu), with strtod only for hexadecimal, infinities and the
// edges.
//
// Formatting functions return the number of bytes written; none writes a terminating zero. Nothing
// here allocates, except ParseDouble on texts above 255 bytes. Any thread may call anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sherd {

/// Bytes that FormatInt64 and FormatUint64 may write ("-9223372036854775808" is 20).
inline constexpr size_t kInt64CharsMax = 21;
/// Bytes that FormatDouble may write ("-2.2250738585072014e-308" is 24).
inline constexpr size_t kDoubleCharsMax = 32;
/// Bytes that FormatLongDoubleHuman may write, and one more than the longest text that
/// ParseLongDouble takes. As in Redis: the longest 80-bit number needs 4933 + 1 + 17 characters.
inline constexpr size_t kLongDoubleCharsMax = 5 * 1024;

/// Strict decimal integer: optional '-', no leading zeros, no '+', no spaces, "-0" refused, the
/// whole range of int64_t. This is also the test for "can be stored as an integer": a text that
/// passes prints back byte for byte. `*value` is untouched on failure.
bool ParseInt64(std::string_view text, int64_t* value);

/// The same without a sign, for the whole range of uint64_t.
bool ParseUint64(std::string_view text, uint64_t* value);

/// A floating-point argument (scores, increments of sorted sets, coordinates): what strtod takes,
/// including hexadecimal and "inf"/"infinity" in any case, except leading white space, trailing
/// bytes, NaN, overflow and underflow to zero. Embedded zero bytes are trailing bytes.
bool ParseDouble(std::string_view text, double* value);

/// The 80-bit argument of INCRBYFLOAT and HINCRBYFLOAT: rules as for ParseDouble; texts of
/// kLongDoubleCharsMax bytes or more are refused.
bool ParseLongDouble(std::string_view text, long double* value);

/// Decimal digits of `value`, 1 to 20.
inline uint32_t DigitCount(uint64_t value);

/// Writes the number to `out`, which has room for kInt64CharsMax bytes.
size_t FormatUint64(uint64_t value, char* out);
size_t FormatInt64(int64_t value, char* out);

/// Writes a double as Redis 7.2 prints scores and RESP doubles: "nan", "inf", "-inf", "0", "-0";
/// integers up to 2^62 in magnitude as integers; else the shortest digits that read back as the
/// same double, plain where that is short and in the form d.ddde+X elsewhere. (Redis 7.0 printed
/// %.17g.) Redis 7.2's own algorithm (Grisu2) misses the shortest digits for about one random
/// double in a thousand and then prints one digit more; we always print the shortest. `out` has
/// room for kDoubleCharsMax bytes.
size_t FormatDouble(double value, char* out);

/// Writes a double with %.17g ("inf", "-inf", "nan", "-0" as above): the form of Redis 7.0, and of
/// RDB files of the old score encoding. `out` has room for kDoubleCharsMax bytes.
size_t FormatDouble17(double value, char* out);

/// Writes a long double as INCRBYFLOAT does: %.17Lf without trailing zeros, "-0" as "0", and "inf"
/// or "-inf". NaN CHECKs: commands refuse it before they store it. `out` has room for
/// kLongDoubleCharsMax bytes.
size_t FormatLongDoubleHuman(long double value, char* out);

/// Whether `value` is an integer that FormatDouble prints as one (magnitude at most 2^62); stores
/// it.
bool DoubleToInt64(double value, int64_t* integer);

// ---- Inline part ----

namespace internal {
extern const uint64_t kPowersOfTen[20];
}  // namespace internal

inline uint32_t DigitCount(uint64_t value) {
  // 1233/4096 approximates log10(2): the estimate is exact or one too small.
  const uint32_t bits = 64 - static_cast<uint32_t>(__builtin_clzll(value | 1));
  const uint32_t estimate = (bits * 1233) >> 12;
  // Estimate 0 must not compare with 10^0, or zero would have no digit.
  return estimate + (value >= internal::kPowersOfTen[estimate] || estimate == 0 ? 1 : 0);
}

}  // namespace sherd
