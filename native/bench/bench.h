// Micro-benchmarks: register with BENCH, measure a loop, print nanoseconds per operation.
//
//   BENCH(crc16_16_bytes) {
//     std::string key(16, 'k');
//     bench.Run([&](uint64_t i) {          // called many times; i counts up
//       key[0] = static_cast<char>(i);
//       bench::Keep(Crc16(key));           // the result may not be optimised away
//     });
//   }
//   BENCH(parse_batch) { bench.RunBatch(50, [&] { ... 50 commands ... }); }
//
// Each measurement is repeated; the median is what counts, the smallest shows what the machine can
// do when nothing disturbs it. The loop's own cost (under a nanosecond) is not subtracted.
// sherd_micro runs every benchmark whose name contains one of its arguments.
//
// Thread: one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <vector>

namespace sherd::bench {

/// Makes the compiler believe that `value` is used.
template <typename T>
inline void Keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

class Bench {
 public:
  static constexpr int kRepeats = 15;
  static constexpr int64_t kRepeatNs = 10'000'000;

  explicit Bench(const char* name) : name_(name) {}

  template <typename Body>
  void Run(Body body) {
    uint64_t i = 0;
    Measure(1, [&](uint64_t count) {
      for (uint64_t n = 0; n < count; n++) body(i++);
    });
  }

  /// For a body that does `operations` operations at once.
  template <typename Body>
  void RunBatch(uint64_t operations, Body body) {
    Measure(operations, [&](uint64_t count) {
      for (uint64_t n = 0; n < count; n++) body();
    });
  }

 private:
  static int64_t NowNs() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
  }

  template <typename Loop>
  void Measure(uint64_t operations, Loop loop) {
    // Find a count of about kRepeatNs; this also warms caches and branch predictors.
    uint64_t count = 1;
    for (;;) {
      const int64_t start = NowNs();
      loop(count);
      const int64_t took = NowNs() - start;
      if (took > kRepeatNs / 4) {
        count = std::max<uint64_t>(
            1, count * static_cast<uint64_t>(kRepeatNs) / static_cast<uint64_t>(took));
        break;
      }
      count *= 4;
    }
    std::vector<double> ns;
    for (int repeat = 0; repeat < kRepeats; repeat++) {
      const int64_t start = NowNs();
      loop(count);
      ns.push_back(static_cast<double>(NowNs() - start) / static_cast<double>(count * operations));
    }
    std::sort(ns.begin(), ns.end());
    std::printf("%-36s %10.2f ns/op  (least %.2f)\n", name_, ns[ns.size() / 2], ns[0]);
    std::fflush(stdout);
  }

  const char* name_;
};

struct Entry {
  const char* name;
  void (*run)(Bench& bench);
};

/// All benchmarks linked into the program.
inline std::vector<Entry>& Entries() {
  static std::vector<Entry> entries;
  return entries;
}

struct Registration {
  Registration(const char* name, void (*run)(Bench&)) { Entries().push_back({name, run}); }
};

}  // namespace sherd::bench

#define BENCH(name)                                                                   \
  static void name##_bench(::sherd::bench::Bench& bench);                             \
  static const ::sherd::bench::Registration name##_registration(#name, name##_bench); \
  static void name##_bench(::sherd::bench::Bench& bench)
