// Glob matching with one level of backtracking. See glob.h.
#include "base/glob.h"

#include <utility>

#include "base/strings.h"

namespace sherd {

namespace {

char Fold(char c, bool ignore_case) { return ignore_case ? AsciiLower(c) : c; }

// The value by which a class range compares a byte: signed, as Redis does. With folded case Redis
// goes through the C library's tolower(), which maps the negative values except -1 to 128 ... 254.
int RangeValue(char c, bool ignore_case) {
  const auto value = static_cast<signed char>(c);
  if (!ignore_case) return value;
  if (value < -1) return static_cast<unsigned char>(c);
  return static_cast<signed char>(AsciiLower(c));
}

bool InRange(char first, char last, char c, bool ignore_case) {
  if (static_cast<signed char>(first) > static_cast<signed char>(last)) std::swap(first, last);
  const int value = RangeValue(c, ignore_case);
  return value >= RangeValue(first, ignore_case) && value <= RangeValue(last, ignore_case);
}

// Matches `c` against the class whose '[' is at `*position`; moves `*position` behind its ']', or
// to the pattern's end when there is none.
bool MatchClass(std::string_view pattern, size_t* position, char c, bool ignore_case) {
  size_t i = *position + 1;
  const bool is_negated = i < pattern.size() && pattern[i] == '^';
  if (is_negated) i++;
  bool is_member = false;
  while (i < pattern.size() && pattern[i] != ']') {
    const size_t left = pattern.size() - i;
    if (left >= 2 && pattern[i] == '\\') {
      if (pattern[i + 1] == c) is_member = true;
      i += 2;
    } else if (left >= 3 && pattern[i + 1] == '-') {
      if (InRange(pattern[i], pattern[i + 2], c, ignore_case)) is_member = true;
      i += 3;
    } else {
      if (Fold(pattern[i], ignore_case) == Fold(c, ignore_case)) is_member = true;
      i++;
    }
  }
  *position = i < pattern.size() ? i + 1 : i;
  return is_member != is_negated;
}

// Matches `c` against the element at `*position`, which is not a star; moves `*position` behind it.
bool MatchElement(std::string_view pattern, size_t* position, char c, bool ignore_case) {
  const char element = pattern[*position];
  if (element == '?') {
    ++*position;
    return true;
  }
  if (element == '[') return MatchClass(pattern, position, c, ignore_case);
  if (element == '\\' && *position + 1 < pattern.size()) ++*position;
  const char literal = pattern[*position];
  ++*position;
  return Fold(literal, ignore_case) == Fold(c, ignore_case);
}

}  // namespace

bool GlobMatch(std::string_view pattern, std::string_view text, bool ignore_case) {
  if (text.empty()) return pattern.empty();
  constexpr size_t kNoStar = static_cast<size_t>(-1);
  size_t in_pattern = 0;
  size_t in_text = 0;
  size_t behind_star = kNoStar;  // pattern position behind the last star seen
  size_t star_text = 0;          // text position where what follows that star is being tried
  while (in_text < text.size()) {
    if (in_pattern < pattern.size() && pattern[in_pattern] == '*') {
      behind_star = ++in_pattern;
      star_text = in_text;
      if (behind_star == pattern.size()) return true;
      continue;
    }
    if (in_pattern < pattern.size() &&
        MatchElement(pattern, &in_pattern, text[in_text], ignore_case)) {
      in_text++;
      continue;
    }
    if (behind_star == kNoStar) return false;
    in_pattern = behind_star;
    in_text = ++star_text;
  }
  while (in_pattern < pattern.size() && pattern[in_pattern] == '*') in_pattern++;
  return in_pattern == pattern.size();
}

}  // namespace sherd
