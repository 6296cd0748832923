// Fuzz targets of base and resp.
//
// request_parser  any bytes: parsed at once and in pieces (cut as the first bytes say) they give
// the same
//                 commands, the same rest and the same error
// numbers         any text: what parses prints back, and the C library agrees
// glob            pattern and text: the answer of a recursive twin
// canary          fails on purpose; see fuzz.h
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/glob.h"
#include "base/numbers.h"
#include "base/random.h"
#include "fuzz/fuzz.h"
#include "resp/request_parser.h"

namespace sherd::fuzz {

namespace {

// ---- Request parser ----

// Everything that can be seen of a parse: arguments, commands, empty lines, error and rest, as one
// text. `next_piece()` gives how many more bytes the parser sees after each kNeedMore.
template <typename NextPiece>
std::string ParseAll(std::string_view input, const resp::ParserLimits& limits,
                     NextPiece next_piece) {
  std::string seen;
  resp::RequestParser parser;
  size_t start = 0;
  size_t visible = std::min(input.size(), next_piece());
  while (true) {
    const ExactCopy copy(input.substr(start, visible - start));
    const resp::ParseStatus status = parser.Parse(copy.view(), limits);
    if (status == resp::ParseStatus::kError) return seen + "error " + std::string(parser.error());
    if (status == resp::ParseStatus::kNeedMore) {
      const size_t wanted = parser.bytes_wanted();
      CHECK(wanted == 0 || wanted > copy.view().size());
      if (visible == input.size()) return seen + "rest " + std::to_string(visible - start);
      visible = std::min(input.size(), visible + next_piece());
      continue;
    }
    CHECK(parser.consumed() > 0);
    CHECK(parser.consumed() <= copy.view().size());
    if (status == resp::ParseStatus::kCommand) {
      CHECK(!parser.args().empty());
      for (const std::string_view arg : parser.args()) {
        seen += std::to_string(arg.size());
        seen += ':';
        seen += arg;
      }
    }
    seen += ';';
    start += parser.consumed();
  }
}

}  // namespace

FUZZ_TARGET(request_parser) {
  if (size < 2) return;
  resp::ParserLimits limits;
  limits.authenticated = (data[0] & 1) == 0;
  if ((data[0] & 2) != 0) limits.max_bulk_length = 100;
  Random random(data[1]);
  const uint64_t longest = 1 + (data[0] >> 2);
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string at_once = ParseAll(input, limits, [&] { return input.size(); });
  const std::string in_pieces = ParseAll(input, limits, [&] { return 1 + random.Below(longest); });
  CHECK(at_once == in_pieces);
}
FUZZ_SEEDS(request_parser, "@1*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n*1\r\n$4\r\nPING\r\n",
           "01PING\r\n\r\nECHO \"a\\x41\\n\" 'b c'\r\n*0\r\n*-1\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
           "\xf1x*11\r\n$16385\r\n", "\xf2x*2\r\n$101\r\n", "01*2147483647\r\n$536870912\r\n",
           "01*2\r\n:1\r\n");

// ---- Numbers ----

FUZZ_TARGET(numbers) {
  const ExactCopy copy({reinterpret_cast<const char*>(data), size});
  const std::string_view text = copy.view();
  char out[kLongDoubleCharsMax];
  int64_t integer = 0;
  if (ParseInt64(text, &integer)) {
    CHECK(std::string_view(out, FormatInt64(integer, out)) == text);
    CHECK(std::strtoll(std::string(text).c_str(), nullptr, 10) == integer);
  }
  uint64_t natural = 0;
  if (ParseUint64(text, &natural)) {
    CHECK(std::string_view(out, FormatUint64(natural, out)) == text);
    CHECK(DigitCount(natural) == text.size());
  }
  double real = 0;
  const bool is_double = ParseDouble(text, &real);
  if (is_double) {
    CHECK(std::strtod(std::string(text).c_str(), nullptr) == real);
    double again = 0;
    const size_t written = FormatDouble(real, out);
    CHECK(written <= kDoubleCharsMax);
    CHECK(ParseDouble({out, written}, &again));
    CHECK(again == real);
    CHECK(std::signbit(again) == std::signbit(real));
  }
  long double wide = 0;
  const bool is_long_double = ParseLongDouble(text, &wide);
  if (is_long_double) CHECK(FormatLongDoubleHuman(wide, out) <= kLongDoubleCharsMax);
  // A wider type takes at least what the narrow one takes, up to its limit of length.
  if (is_double && text.size() < kLongDoubleCharsMax) CHECK(is_long_double);
}
FUZZ_SEEDS(numbers, "0", "-1", "9223372036854775807", "-9223372036854775808",
           "18446744073709551615", "0.1", "1e308", "-1.5e-10", "0x1.8p3", "inf", "-Infinity", "nan",
           "5e-324", "12345678901234567890.5");

// ---- Globs ----

namespace {

// Redis's rules by plain recursion over elements: an oracle for the backtracking, with its own
// reading of classes. Only for short inputs.
bool MatchesSlowly(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    if (MatchesSlowly(pattern.substr(1), text)) return true;
    return !text.empty() && MatchesSlowly(pattern, text.substr(1));
  }
  if (text.empty()) return false;
  const auto c = static_cast<signed char>(text[0]);
  if (pattern[0] == '?') return MatchesSlowly(pattern.substr(1), text.substr(1));
  if (pattern[0] != '[') {
    if (pattern[0] == '\\' && pattern.size() > 1) pattern.remove_prefix(1);
    return pattern[0] == text[0] && MatchesSlowly(pattern.substr(1), text.substr(1));
  }
  pattern.remove_prefix(1);
  const bool is_negated = !pattern.empty() && pattern[0] == '^';
  if (is_negated) pattern.remove_prefix(1);
  bool is_member = false;
  while (!pattern.empty() && pattern[0] != ']') {
    size_t used = 1;
    auto low = static_cast<signed char>(pattern[0]);
    signed char high = low;
    if (pattern[0] == '\\' && pattern.size() >= 2) {
      low = high = static_cast<signed char>(pattern[1]);
      used = 2;
    } else if (pattern.size() >= 3 && pattern[1] == '-') {
      high = static_cast<signed char>(pattern[2]);
      used = 3;
    }
    if ((c >= low && c <= high) || (c >= high && c <= low)) is_member = true;
    pattern.remove_prefix(used);
  }
  if (!pattern.empty()) pattern.remove_prefix(1);
  return is_member != is_negated && MatchesSlowly(pattern, text.substr(1));
}

}  // namespace

FUZZ_TARGET(glob) {
  if (size < 1) return;
  const std::string_view all(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t cut = std::min<size_t>(data[0], all.size());
  const ExactCopy pattern(all.substr(0, cut));
  const ExactCopy text(all.substr(cut));
  const bool is_match = GlobMatch(pattern.view(), text.view());
  // Folding case can not lose a match without classes; with them "[^a]" or a range may.
  const bool has_class = pattern.view().find('[') != std::string_view::npos;
  const bool is_match_folded = GlobMatch(pattern.view(), text.view(), true);
  if (is_match && !has_class) CHECK(is_match_folded);
  if (pattern.view().size() > 16 || text.view().size() > 16) return;
  if (!text.view().empty()) CHECK(is_match == MatchesSlowly(pattern.view(), text.view()));
}
FUZZ_SEEDS(glob, "\x03h*ohello", "\x08h[a-e]llohello", "\x05[^a]bcb", "\x04\\*?[*a[",
           "\x06[a-\\]]]",
           "\x09"
           "a*a*a*a*baaaaaa");

// ---- Canary ----

FUZZ_TARGET(canary) {
  // One byte away from the sample input.
  if (size < 4) return;
  CHECK_MSG(!(data[0] == 'b' && data[1] == 'i' && data[2] == 'r' && data[3] == 'd'),
            "the canary sings: the fuzzer works");
}
FUZZ_SEEDS(canary, "bxrd");

}  // namespace sherd::fuzz
