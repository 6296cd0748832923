// sherd_stress: runs the registered scenarios and prints `N passed, N failed`.
//
//   sherd_stress [name] [--seed=N] [--threads=N] [--shards=N] [--seconds=S]
//
// Without a name all scenarios run. The seed fixes what each thread does, not how threads
// interleave; a failure is replayed by running its scenario with its seed for longer.
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>

#include "stress/stress.h"

namespace {

using sherd::stress::Options;

/// The value of `--name=value` if `argument` is that option.
const char* ValueOf(const char* argument, const char* name) {
  const size_t length = std::strlen(name);
  if (std::strncmp(argument, "--", 2) != 0) return nullptr;
  if (std::strncmp(argument + 2, name, length) != 0) return nullptr;
  return argument[2 + length] == '=' ? argument + 3 + length : nullptr;
}

bool ParseOptions(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; i++) {
    if (const char* seed = ValueOf(argv[i], "seed")) {
      options->seed = std::strtoull(seed, nullptr, 10);
    } else if (const char* threads = ValueOf(argv[i], "threads")) {
      options->threads = std::atoi(threads);
    } else if (const char* shards = ValueOf(argv[i], "shards")) {
      options->shards = std::atoi(shards);
    } else if (const char* seconds = ValueOf(argv[i], "seconds")) {
      options->seconds = std::atof(seconds);
    } else if (argv[i][0] != '-') {
      options->only = argv[i];
    } else {
      return false;
    }
  }
  return true;
}

uint64_t FreshSeed() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, &options)) {
    std::fprintf(stderr, "usage: %s [name] [--seed=N] [--threads=N] [--shards=N] [--seconds=S]\n",
                 argv[0]);
    return 2;
  }
  if (options.seed == 0) options.seed = FreshSeed();
  int passed = 0;
  int failed = 0;
  for (const auto& scenario : sherd::stress::Scenarios()) {
    if (options.only != nullptr && std::strstr(scenario.name, options.only) == nullptr) continue;
    std::printf("%s --seed=%llu\n", scenario.name, static_cast<unsigned long long>(options.seed));
    std::fflush(stdout);
    sherd::stress::failures.store(0);
    // A thread of its own, so that what a scenario does to its thread (PinTo) ends with it.
    std::thread([&] { scenario.run(options); }).join();
    sherd::stress::failures.load() == 0 ? passed++ : failed++;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}
