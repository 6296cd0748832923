// Clock: what time it is, and a cheap counter for timing commands.
//
// Two readings are kept apart by name: monotonic time for durations and timers, wall time for what
// clients see (EXPIREAT, TIME, LASTSAVE). Both can be replaced as a whole by a test (FakeClock) so
// that expiry, timeouts and failovers are tested without sleeping; in production the override costs
// one predicted branch on top of the vDSO call (about 25 ns).
//
// CycleClock is for timing every single command: the processor's time-stamp counter where it is
// invariant (8 ns or less, no call), else clock_gettime. Differences of Now() are turned into
// nanoseconds by a factor that Calibrate() measures once.
//
// Thread: all static functions may be called by any thread. Calibrate() and Clock::SetOverride()
// are called while no other thread reads (start of the process; start and end of a test).
#pragma once

#include <atomic>
#include <cstdint>
#include <ctime>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace sherd {

/// What a test implements to take over the clock.
struct ClockSource {
  virtual int64_t MonotonicNs() = 0;
  virtual int64_t WallUs() = 0;

 protected:
  ~ClockSource() = default;
};

class Clock {
 public:
  /// Nanoseconds since some fixed moment; never goes back.
  static int64_t MonotonicNs() {
    // Relaxed: the override is set while no other thread runs, so there is nothing to order.
    ClockSource* source = override_.load(std::memory_order_relaxed);
    if (__builtin_expect(source != nullptr, 0)) return source->MonotonicNs();
    return ReadNs(CLOCK_MONOTONIC);
  }
  static int64_t MonotonicMs() { return MonotonicNs() / 1'000'000; }
  /// Processor time of the calling thread; no test's clock stands in for it.
  static int64_t ThreadCpuNs() { return ReadNs(CLOCK_THREAD_CPUTIME_ID); }

  /// Microseconds since 1970-01-01 UTC; jumps when the administrator sets the clock.
  static int64_t WallUs() {
    ClockSource* source = override_.load(std::memory_order_relaxed);
    if (__builtin_expect(source != nullptr, 0)) return source->WallUs();
    return ReadNs(CLOCK_REALTIME) / 1000;
  }
  static int64_t WallMs() { return WallUs() / 1000; }

  /// Installs `source` (nullptr: the system's clocks again). The caller keeps ownership.
  static void SetOverride(ClockSource* source) {
    override_.store(source, std::memory_order_relaxed);
  }

 private:
  static int64_t ReadNs(clockid_t id) {
    timespec now;
    clock_gettime(id, &now);
    return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
  }

  static inline std::atomic<ClockSource*> override_{nullptr};
};

/// A clock that stands still until it is told to move. Overrides Clock for its lifetime.
class FakeClock final : public ClockSource {
 public:
  explicit FakeClock(int64_t wall_us = 1'700'000'000'000'000LL) : wall_us_(wall_us) {
    Clock::SetOverride(this);
  }
  ~FakeClock() { Clock::SetOverride(nullptr); }
  FakeClock(const FakeClock&) = delete;
  FakeClock& operator=(const FakeClock&) = delete;

  int64_t MonotonicNs() override { return monotonic_ns_; }
  int64_t WallUs() override { return wall_us_; }

  /// Moves both clocks forward.
  void AdvanceMs(int64_t ms) { AdvanceUs(ms * 1000); }
  void AdvanceUs(int64_t us) {
    monotonic_ns_ += us * 1000;
    wall_us_ += us;
  }
  /// Sets the wall clock alone, as an administrator would.
  void SetWallUs(int64_t wall_us) { wall_us_ = wall_us; }

 private:
  int64_t monotonic_ns_ = 1'000'000'000;
  int64_t wall_us_;
};

class CycleClock {
 public:
  /// Measures the counter against the monotonic clock (about 2 ms). Call once at start, before
  /// other threads read; until then Now() counts nanoseconds, which is right as well but dearer.
  static void Calibrate();

  /// A count that rises with time. Only differences mean anything, through ToNs().
  static uint64_t Now() {
#if defined(__x86_64__)
    if (__builtin_expect(is_cycles_, 1)) return __rdtsc();
#endif
    return static_cast<uint64_t>(Clock::MonotonicNs());
  }

  /// Nanoseconds of a difference of two Now() values.
  static uint64_t ToNs(uint64_t ticks) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(ticks) * ns_per_tick_) >> 32);
  }

  /// Whether Now() is the processor's counter.
  static bool IsCycles() { return is_cycles_; }

 private:
  // Written by Calibrate() before other threads start, constant afterwards.
  static inline bool is_cycles_ = false;
  static inline uint64_t ns_per_tick_ = uint64_t{1} << 32;  // fixed point, 32 fraction bits
};

}  // namespace sherd
