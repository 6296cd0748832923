// main() of the native test program. See test.h.
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "base/numbers.h"
#include "test/test.h"

namespace sherd::test {

namespace {

struct Options {
  std::vector<std::string_view> filters;
  bool is_list = false;
};

bool ParseOptions(int argc, char** argv, Options* options) {
  internal::seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch() /
                                         std::chrono::microseconds(1));
  for (int i = 1; i < argc; i++) {
    if (std::strcmp(argv[i], "--list") == 0) {
      options->is_list = true;
    } else if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
      if (!ParseUint64(argv[++i], &internal::seed)) return false;
    } else if (argv[i][0] == '-') {
      return false;
    } else {
      options->filters.emplace_back(argv[i]);
    }
  }
  return true;
}

bool IsSelected(const Options& options, std::string_view name) {
  if (options.filters.empty()) return true;
  for (const std::string_view filter : options.filters) {
    if (name.find(filter) != std::string_view::npos) return true;
  }
  return false;
}

int RunAll(const Options& options) {
  int passed = 0;
  int failed = 0;
  for (const Case& test : Cases()) {
    if (!IsSelected(options, test.name)) continue;
    if (options.is_list) {
      std::printf("%s\n", test.name);
      continue;
    }
    internal::failures.store(0, std::memory_order_relaxed);
    const auto start = std::chrono::steady_clock::now();
    test.run();
    const auto took_ms = (std::chrono::steady_clock::now() - start) / std::chrono::milliseconds(1);
    if (internal::failures.load(std::memory_order_relaxed) == 0) {
      passed++;
    } else {
      failed++;
      std::printf("FAILED %s (%s), replay with: %s --seed %llu\n", test.name, test.file, test.name,
                  static_cast<unsigned long long>(Seed()));
    }
    if (took_ms >= 1000)
      std::printf("slow: %s took %lld ms\n", test.name, static_cast<long long>(took_ms));
  }
  if (options.is_list) return 0;
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace

}  // namespace sherd::test

int main(int argc, char** argv) {
  sherd::test::Options options;
  if (!sherd::test::ParseOptions(argc, argv, &options)) {
    std::fprintf(stderr, "usage: %s [--seed N] [--list] [part of a test's name]...\n", argv[0]);
    return 2;
  }
  return sherd::test::RunAll(options);
}
