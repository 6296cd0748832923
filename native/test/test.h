// A small unit test framework: register with TEST, state with EXPECT, replay with the seed.
//
//   TEST(glob_star_matches_nothing) {
//     EXPECT_TRUE(GlobMatch("a*", "a"));
//   }
//   TEST(dict_behaves_like_a_map) {
//     Random random(test::Seed());        // every failure line shows the seed
//     ...
//     EXPECT_EQ(dict.size(), model.size());
//   }
//
// A failed EXPECT is printed and the test goes on; a failed ASSERT also leaves the function it
// stands in. The program (test_main.cc) runs every test whose name contains one of its arguments
// (all without one), ends with the line `N passed, N failed`, and exits with 1 if anything failed
// or nothing ran. Options: --seed N, --list.
//
// Why not a library: the tests of native code run in plain, ASan, UBSan and TSan builds that must
// start from a fresh clone without downloads, and need no more than this.
//
// Thread: EXPECT may be used from any thread of a test; tests run one after the other.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace sherd::test {

struct Case {
  const char* name;
  const char* file;
  void (*run)();
};

/// All tests linked into the program, in the order of their registration.
inline std::vector<Case>& Cases() {
  static std::vector<Case> cases;
  return cases;
}

struct Registration {
  Registration(const char* name, const char* file, void (*run)()) {
    Cases().push_back({name, file, run});
  }
};

namespace internal {
inline uint64_t seed = 0;
inline std::atomic<uint32_t> failures{0};  // of the running test
}  // namespace internal

/// The seed of this run: from --seed, else different in each run. Mixed with nothing: a test that
/// needs several generators derives them itself.
inline uint64_t Seed() { return internal::seed; }

// ---- Printing of values ----

/// Text with everything outside printable ASCII escaped, cut at 200 bytes.
inline std::string Quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text.substr(0, 200)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte >= 0x20 && byte < 0x7f) {
      result += c;
    } else {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\x%02x", byte);
      result += escape;
    }
  }
  result += '"';
  if (text.size() > 200) result += " (" + std::to_string(text.size()) + " bytes)";
  return result;
}

template <typename T>
std::string Printed(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return Quoted(std::string_view(value));
  } else if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    char text[64];
    std::snprintf(text, sizeof(text), "%.21Lg", static_cast<long double>(value));
    return text;
  } else if constexpr (std::is_arithmetic_v<T>) {
    return std::to_string(value);
  } else if constexpr (std::is_pointer_v<T>) {
    return value == nullptr ? "nullptr" : "a pointer";
  } else {
    return "(" + std::to_string(sizeof(T)) + " bytes)";
  }
}

/// Prints and counts a failure of the running test.
inline void ReportFailure(const char* file, int line, const std::string& what) {
  internal::failures.fetch_add(1, std::memory_order_relaxed);
  std::printf("%s:%d: %s (seed %llu)\n", file, line, what.c_str(),
              static_cast<unsigned long long>(Seed()));
  std::fflush(stdout);
}

template <typename Operation, typename A, typename B>
bool Compare(const char* file, int line, const char* expression, const A& a, const B& b,
             Operation holds) {
  if (holds(a, b)) return true;
  ReportFailure(
      file, line,
      std::string("expected ") + expression + ", got " + Printed(a) + " and " + Printed(b));
  return false;
}

inline bool Require(const char* file, int line, const char* expression, bool holds) {
  if (!holds) ReportFailure(file, line, std::string("expected ") + expression);
  return holds;
}

}  // namespace sherd::test

#define TEST(name)                                                                            \
  static void name##_test();                                                                  \
  static const ::sherd::test::Registration name##_registration(#name, __FILE__, name##_test); \
  static void name##_test()

#define SHERD_TEST_COMPARE(a, operation, b)                                      \
  ::sherd::test::Compare(__FILE__, __LINE__, #a " " #operation " " #b, (a), (b), \
                         [](const auto& left, const auto& right) { return left operation right; })

#define EXPECT_EQ(a, b) (void)SHERD_TEST_COMPARE(a, ==, b)
#define EXPECT_NE(a, b) (void)SHERD_TEST_COMPARE(a, !=, b)
#define EXPECT_LT(a, b) (void)SHERD_TEST_COMPARE(a, <, b)
#define EXPECT_LE(a, b) (void)SHERD_TEST_COMPARE(a, <=, b)
#define EXPECT_GT(a, b) (void)SHERD_TEST_COMPARE(a, >, b)
#define EXPECT_GE(a, b) (void)SHERD_TEST_COMPARE(a, >=, b)
#define EXPECT_TRUE(a) (void)::sherd::test::Require(__FILE__, __LINE__, #a, (a))
#define EXPECT_FALSE(a) (void)::sherd::test::Require(__FILE__, __LINE__, "not " #a, !(a))
/// Fails with a text of the caller's, for checks whose expression says too little.
#define EXPECT_MSG(condition, text)                                             \
  do {                                                                          \
    if (!(condition)) ::sherd::test::ReportFailure(__FILE__, __LINE__, (text)); \
  } while (0)

#define ASSERT_EQ(a, b)                        \
  do {                                         \
    if (!SHERD_TEST_COMPARE(a, ==, b)) return; \
  } while (0)
#define ASSERT_TRUE(a)                                                \
  do {                                                                \
    if (!::sherd::test::Require(__FILE__, __LINE__, #a, (a))) return; \
  } while (0)
