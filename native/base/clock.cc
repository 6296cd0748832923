// Calibration of the cycle counter. See clock.h.
#include "base/clock.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace sherd {

#if defined(__x86_64__)

namespace {

// Bit 8 of EDX of leaf 0x80000007: the counter runs at one rate in all power states, and on all
// cores.
bool HasInvariantCounter() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & (1u << 8)) != 0;
}

struct Sample {
  uint64_t ticks;
  int64_t ns;
};

int64_t SystemNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

// The tightest of some readings: an interrupt between the two clocks makes a reading wide.
Sample TakeSample() {
  Sample best{};
  uint64_t best_width = UINT64_MAX;
  for (int i = 0; i < 16; i++) {
    const uint64_t before = __rdtsc();
    const int64_t ns = SystemNs();
    const uint64_t after = __rdtsc();
    if (after - before >= best_width) continue;
    best_width = after - before;
    best = {before + best_width / 2, ns};
  }
  return best;
}

}  // namespace

void CycleClock::Calibrate() {
  if (is_cycles_ || !HasInvariantCounter()) return;
  constexpr int64_t kSpanNs = 2'000'000;  // some 50 ns of error in 2 ms: 25 ppm
  const Sample first = TakeSample();
  while (SystemNs() - first.ns < kSpanNs) {
  }
  const Sample second = TakeSample();
  if (second.ticks <= first.ticks) return;
  const auto ns = static_cast<unsigned __int128>(second.ns - first.ns);
  ns_per_tick_ = static_cast<uint64_t>((ns << 32) / (second.ticks - first.ticks));
  is_cycles_ = true;
}

#else

// Other processors keep clock_gettime: a count of nanoseconds, factor one.
void CycleClock::Calibrate() {}

#endif

}  // namespace sherd
