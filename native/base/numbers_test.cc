// Numbers as text: recorded answers of redis-server, edges, and random round trips against the C
// library.
#include "base/numbers.h"

#include <cinttypes>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/random.h"
#include "test/test.h"

namespace sherd {

namespace {

using std::string_view_literals::operator""sv;

std::string Formatted(int64_t value) {
  char text[kInt64CharsMax];
  return {text, FormatInt64(value, text)};
}
std::string FormattedUnsigned(uint64_t value) {
  char text[kInt64CharsMax];
  return {text, FormatUint64(value, text)};
}
std::string Formatted(double value) {
  char text[kDoubleCharsMax];
  return {text, FormatDouble(value, text)};
}
std::string Formatted17(double value) {
  char text[kDoubleCharsMax];
  return {text, FormatDouble17(value, text)};
}
std::string FormattedHuman(long double value) {
  char text[kLongDoubleCharsMax];
  return {text, FormatLongDoubleHuman(value, text)};
}

// Numbers of every length are equally likely, and so are both signs.
uint64_t RandomMagnitude(Random& random) { return random.Next() >> random.Below(64); }

struct NumberCase {
  std::string_view text;
  std::string_view integer;      // empty: refused
  std::string_view score;        // as %.17g; empty: refused
  std::string_view long_double;  // INCRBYFLOAT from 0; empty: refused; "infinite"
};
const NumberCase kNumberCases[] = {
#include "test/data/number_cases.inc"
};

}  // namespace

TEST(numbers_integers_are_taken_as_by_redis) {
  for (const NumberCase& c : kNumberCases) {
    int64_t value = 0;
    const bool is_taken = ParseInt64(c.text, &value);
    EXPECT_MSG(is_taken == !c.integer.empty(), "acceptance of " + test::Quoted(c.text));
    if (is_taken) EXPECT_EQ(Formatted(value), c.integer);
  }
}

TEST(numbers_doubles_are_taken_as_by_redis) {
  for (const NumberCase& c : kNumberCases) {
    double value = 0;
    const bool is_taken = ParseDouble(c.text, &value);
    EXPECT_MSG(is_taken == !c.score.empty(), "acceptance of " + test::Quoted(c.text));
    // The recording server's small sorted sets forget the sign of zero.
    if (is_taken) EXPECT_EQ(Formatted17(value == 0 ? 0.0 : value), c.score);
  }
}

TEST(numbers_long_doubles_are_taken_and_printed_as_by_redis) {
  for (const NumberCase& c : kNumberCases) {
    long double value = 0;
    const bool is_taken = ParseLongDouble(c.text, &value);
    EXPECT_MSG(is_taken == !c.long_double.empty(), "acceptance of " + test::Quoted(c.text));
    if (!is_taken) continue;
    EXPECT_EQ(std::isinf(value), c.long_double == "infinite");
    if (!std::isinf(value)) EXPECT_EQ(FormattedHuman(0.0L + value), c.long_double);
  }
}

TEST(numbers_failed_parse_leaves_the_value) {
  int64_t integer = 7;
  uint64_t natural = 8;
  double real = 9;
  long double wide = 10;
  EXPECT_FALSE(ParseInt64("12x", &integer));
  EXPECT_FALSE(ParseUint64("-1", &natural));
  EXPECT_FALSE(ParseDouble("1e999", &real));
  EXPECT_FALSE(ParseLongDouble("nan", &wide));
  EXPECT_EQ(integer, 7);
  EXPECT_EQ(natural, 8u);
  EXPECT_EQ(real, 9.0);
  EXPECT_EQ(wide, 10.0L);
}

TEST(numbers_unsigned_range) {
  uint64_t value = 0;
  EXPECT_TRUE(ParseUint64("18446744073709551615", &value));
  EXPECT_EQ(value, UINT64_MAX);
  EXPECT_TRUE(ParseUint64("0", &value));
  EXPECT_EQ(value, 0u);
  for (const auto text :
       {""sv, "18446744073709551616"sv, "28446744073709551615"sv, "00"sv, "01"sv, "+1"sv, " 1"sv,
        "-0"sv, "99999999999999999999"sv, "111111111111111111111"sv, "1\0"sv}) {
    EXPECT_MSG(!ParseUint64(text, &value), "accepted " + test::Quoted(text));
  }
}

TEST(numbers_integers_around_powers_of_ten) {
  uint64_t power = 1;
  for (int digits = 1; digits <= 20; digits++) {
    for (const uint64_t value : {power - 1, power, power + 1}) {
      EXPECT_EQ(FormattedUnsigned(value), std::to_string(value));
      EXPECT_EQ(DigitCount(value), std::to_string(value).size());
      const auto negative = static_cast<int64_t>(uint64_t{0} - value);
      EXPECT_EQ(Formatted(negative), std::to_string(negative));
    }
    power *= 10;
  }
  EXPECT_EQ(Formatted(INT64_MIN), "-9223372036854775808");
  EXPECT_EQ(FormattedUnsigned(UINT64_MAX), "18446744073709551615");
}

TEST(numbers_random_integers_read_back) {
  Random random(test::Seed());
  for (int i = 0; i < 100'000; i++) {
    const auto value = static_cast<int64_t>(RandomMagnitude(random)) * (random.OneIn(2) ? 1 : -1);
    const std::string text = Formatted(value);
    int64_t parsed = 0;
    EXPECT_TRUE(ParseInt64(text, &parsed));
    EXPECT_EQ(parsed, value);
    EXPECT_EQ(text, std::to_string(value));
  }
}

// Whatever ParseInt64 takes must print back byte for byte, or a string stored as an integer
// changes.
TEST(numbers_random_texts_parse_only_in_canonical_form) {
  Random random(test::Seed());
  const auto alphabet = "0123456789-+ 0919"sv;
  for (int i = 0; i < 100'000; i++) {
    std::string text(random.Below(23), ' ');
    for (char& c : text) c = alphabet[random.Below(random.OneIn(3) ? alphabet.size() : 10)];
    int64_t value = 0;
    const bool is_taken = ParseInt64(text, &value);
    if (is_taken) EXPECT_EQ(Formatted(value), text);
    errno = 0;
    const long long expected = std::strtoll(text.c_str(), nullptr, 10);
    const bool is_canonical = errno == 0 && std::to_string(expected) == text;
    EXPECT_MSG(is_taken == is_canonical, "acceptance of " + test::Quoted(text));
  }
}

TEST(numbers_doubles_have_the_shape_of_redis_7_2) {
  EXPECT_EQ(Formatted(0.0), "0");
  EXPECT_EQ(Formatted(-0.0), "-0");
  EXPECT_EQ(Formatted(std::nan("")), "nan");
  EXPECT_EQ(Formatted(-std::nan("")), "nan");
  EXPECT_EQ(Formatted(HUGE_VAL), "inf");
  EXPECT_EQ(Formatted(-HUGE_VAL), "-inf");
  EXPECT_EQ(Formatted(0.1), "0.1");
  EXPECT_EQ(Formatted(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(Formatted(-2.5), "-2.5");
  EXPECT_EQ(Formatted(3.0), "3");
  EXPECT_EQ(Formatted(1e17), "100000000000000000");
  EXPECT_EQ(Formatted(4611686018427387904.0), "4611686018427387904");
  EXPECT_EQ(Formatted(-4611686018427387904.0), "-4611686018427387904");
  EXPECT_EQ(Formatted(9223372036854775808.0), "9223372036854776000");
  EXPECT_EQ(Formatted(1e21), "1e+21");
  EXPECT_EQ(Formatted(1.5e300), "1.5e+300");
  EXPECT_EQ(Formatted(0.000001), "0.000001");
  EXPECT_EQ(Formatted(0.0000001), "1e-7");
  EXPECT_EQ(Formatted(0.00012345), "1.2345e-4");
  EXPECT_EQ(Formatted(0.0012345), "0.0012345");
  EXPECT_EQ(Formatted(1234.56789012345), "1234.56789012345");
  EXPECT_EQ(Formatted(12345.678901234567), "1.2345678901234567e+4");
  EXPECT_EQ(Formatted(12345.6789), "12345.6789");
  EXPECT_EQ(Formatted(5e-324), "5e-324");
  EXPECT_EQ(Formatted(-2.2250738585072014e-308), "-2.2250738585072014e-308");
  EXPECT_EQ(Formatted(1.7976931348623157e308), "1.7976931348623157e+308");
}

TEST(numbers_random_doubles_read_back) {
  Random random(test::Seed());
  for (int i = 0; i < 50'000; i++) {
    const uint64_t bits = random.Next();
    double value;
    std::memcpy(&value, &bits, sizeof(value));
    if (random.OneIn(2)) value = static_cast<double>(random.Between(-1'000'000, 1'000'000)) / 1000;
    if (std::isnan(value)) continue;
    const std::string text = Formatted(value);
    const double read = std::strtod(text.c_str(), nullptr);
    EXPECT_MSG(std::memcmp(&read, &value, sizeof(value)) == 0,
               text + " is not " + Formatted17(value));
    EXPECT_LE(text.size(), kDoubleCharsMax);
    EXPECT_LE(text.find_first_of("e.") == std::string::npos ? 0 : text.size(), size_t{25});
    double parsed = 0;
    EXPECT_TRUE(ParseDouble(text, &parsed));
    EXPECT_EQ(parsed, value);
  }
}

TEST(numbers_long_doubles_print_without_trailing_zeros) {
  EXPECT_EQ(FormattedHuman(10.0L), "10");
  EXPECT_EQ(FormattedHuman(1000000.0L), "1000000");
  EXPECT_EQ(FormattedHuman(-0.0L), "0");
  EXPECT_EQ(FormattedHuman(-1e-30L), "0");
  EXPECT_EQ(FormattedHuman(-0.5L), "-0.5");
  EXPECT_EQ(FormattedHuman(HUGE_VALL), "inf");
  EXPECT_EQ(FormattedHuman(-HUGE_VALL), "-inf");
  EXPECT_EQ(FormattedHuman(__LDBL_MAX__).size(), size_t{4933});
}

TEST(numbers_double_to_integer_limits) {
  int64_t value = 0;
  EXPECT_TRUE(DoubleToInt64(4611686018427387904.0, &value));
  EXPECT_EQ(value, int64_t{1} << 62);
  EXPECT_FALSE(DoubleToInt64(9223372036854775808.0, &value));
  EXPECT_FALSE(DoubleToInt64(0.5, &value));
  EXPECT_FALSE(DoubleToInt64(std::nan(""), &value));
  EXPECT_FALSE(DoubleToInt64(-HUGE_VAL, &value));
}

}  // namespace sherd
