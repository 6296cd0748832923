// What the stress programs share: options, the list of scenarios, randomness, and a failure
// counter.
//
// sherd_stress drives rings, doorbells and leases with many threads, to be built with TSan or ASan:
// the sanitizer watches the memory, the scenarios watch order, exactly-once, and wake-ups. Each
// scenario is a function that runs for about `seconds` and reports what it counted; STRESS
// registers it.
//
// A wait that outlasts kLostAfterMs counts as a lost wake-up: everything waited for here takes
// microseconds, so only a bug or a machine stopped for half a minute can make it last that long.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "base/random.h"

namespace sherd::stress {

inline constexpr int kLostAfterMs = 30'000;

struct Options {
  uint64_t seed = 0;       // printed; 0 on the command line means: pick one
  int threads = 0;         // 0: the scenario's own choice
  int shards = 0;          // 0: the scenario's own choice
  double seconds = 1.0;    // per scenario
  const char* only = nullptr;  // run scenarios whose name contains this
};

struct Scenario {
  const char* name;
  void (*run)(const Options&);
};

inline std::vector<Scenario>& Scenarios() {
  static std::vector<Scenario> scenarios;
  return scenarios;
}

struct Registration {
  Registration(const char* name, void (*run)(const Options&)) {
    Scenarios().push_back({name, run});
  }
};

/// Failures of the running scenario; any thread.
inline std::atomic<uint64_t> failures{0};

/// Notes a failure; prints the first few only, since a broken invariant fails a million times.
inline void Fail(const char* what, int64_t a = 0, int64_t b = 0) {
  if (failures.fetch_add(1, std::memory_order_relaxed) < 5) {
    std::printf("  FAILED: %s (%lld, %lld)\n", what, static_cast<long long>(a),
                static_cast<long long>(b));
    std::fflush(stdout);  // an abort may follow
  }
}
#define STRESS_EXPECT(condition, ...)                                         \
  do {                                                                        \
    if (!(condition)) ::sherd::stress::Fail(#condition __VA_OPT__(, ) __VA_ARGS__); \
  } while (0)

#define STRESS(name)                                                          \
  static void Run_##name(const ::sherd::stress::Options& options);            \
  static const ::sherd::stress::Registration registration_##name(#name, &Run_##name); \
  static void Run_##name(const ::sherd::stress::Options& options)

/// Busy for some `iterations` x 2 ns, so that threads meet at all moments of each other's work.
inline void Waste(uint64_t iterations) {
  for (volatile uint64_t i = 0; i < iterations;) i = i + 1;
}
/// Binds the calling thread to a CPU, so that the two sides of a litmus test truly run at once.
inline void PinTo(unsigned cpu) {
  cpu_set_t allowed, wanted;
  CPU_ZERO(&wanted);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  for (unsigned c = 0, nth = 0; c < CPU_SETSIZE; c++) {
    if (!CPU_ISSET(c, &allowed)) continue;
    if (nth++ == cpu) CPU_SET(c, &wanted);
  }
  if (CPU_COUNT(&wanted) == 1) sched_setaffinity(0, sizeof wanted, &wanted);
}

/// Spins until `ready()`, giving way now and then in case the other side has no CPU of its own.
template <class Ready>
void SpinUntil(Ready&& ready) {
  for (uint32_t spins = 1; !ready(); spins++) {
    if (spins % 4096 == 0) sched_yield();
  }
}

inline bool OneIn(Random* random, uint64_t n) { return random->Below(n) == 0; }

}  // namespace sherd::stress
