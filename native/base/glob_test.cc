// Globs: recorded answers of redis-server (KEYS, COMMAND LIST), a recursive twin, and the
// exponential trap.
#include "base/glob.h"

#include <chrono>
#include <string>

#include "base/random.h"
#include "test/test.h"

namespace sherd {

namespace {

using std::string_view_literals::operator""sv;

struct GlobCase {
  std::string_view pattern;
  std::string_view matches;  // one '0' or '1' for each text
};

#define GLOB_TEXTS
constexpr std::string_view kTexts[] = {
#include "test/data/glob_cases.inc"
};
#undef GLOB_TEXTS
#define GLOB_CASES
constexpr GlobCase kCases[] = {
#include "test/data/glob_cases.inc"
};
#undef GLOB_CASES
#define GLOB_NAMES
constexpr std::string_view kNames[] = {
#include "test/data/glob_cases.inc"
};
#undef GLOB_NAMES
#define GLOB_NOCASE_CASES
constexpr GlobCase kNocaseCases[] = {
#include "test/data/glob_cases.inc"
};
#undef GLOB_NOCASE_CASES

// The plain meaning of stars and question marks, by trying everything.
bool MatchesNaively(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    for (size_t skip = 0; skip <= text.size(); skip++) {
      if (MatchesNaively(pattern.substr(1), text.substr(skip))) return true;
    }
    return false;
  }
  if (text.empty() || (pattern[0] != '?' && pattern[0] != text[0])) return false;
  return MatchesNaively(pattern.substr(1), text.substr(1));
}

}  // namespace

TEST(glob_matches_what_redis_matches) {
  for (const GlobCase& c : kCases) {
    ASSERT_EQ(c.matches.size(), std::size(kTexts));
    for (size_t i = 0; i < std::size(kTexts); i++) {
      EXPECT_MSG(GlobMatch(c.pattern, kTexts[i]) == (c.matches[i] == '1'),
                 test::Quoted(c.pattern) + " on " + test::Quoted(kTexts[i]));
    }
  }
}

TEST(glob_ignores_case_as_redis_does) {
  for (const GlobCase& c : kNocaseCases) {
    ASSERT_EQ(c.matches.size(), std::size(kNames));
    for (size_t i = 0; i < std::size(kNames); i++) {
      EXPECT_MSG(GlobMatch(c.pattern, kNames[i], true) == (c.matches[i] == '1'),
                 test::Quoted(c.pattern) + " on " + test::Quoted(kNames[i]));
    }
  }
}

TEST(glob_agrees_with_trying_everything) {
  Random random(test::Seed());
  for (int i = 0; i < 50'000; i++) {
    std::string pattern(random.Below(8), ' ');
    std::string text(1 + random.Below(9), ' ');
    for (char& c : pattern) c = "ab*?"[random.Below(4)];
    for (char& c : text) c = "ab"[random.Below(2)];
    EXPECT_MSG(GlobMatch(pattern, text) == MatchesNaively(pattern, text),
               test::Quoted(pattern) + " on " + test::Quoted(text));
  }
}

// Tried naively this takes longer than the universe has; the bound is generous for a sanitizer
// build.
TEST(glob_trap_is_not_exponential) {
  std::string pattern;
  for (int i = 0; i < 50; i++) pattern += "a*";
  pattern += 'b';
  const std::string text(20'000, 'a');
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(GlobMatch(pattern, text));
  EXPECT_LT((std::chrono::steady_clock::now() - start) / std::chrono::milliseconds(1), 500);
}

TEST(glob_empty_text_matches_the_empty_pattern_only) {
  EXPECT_TRUE(GlobMatch("", ""));
  EXPECT_FALSE(GlobMatch("*", ""));
  EXPECT_FALSE(GlobMatch("", "a"));
}

}  // namespace sherd
