// ThreadRandom: the running thread's random generator, for choices that a client sees (SPOP,
// SRANDMEMBER, RANDOMKEY). Seeded from the clock and the thread: not for secrets, not for tests,
// which bring their own.
//
// Thread: any; each has its own.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/random.h"

namespace sherd::engine {

inline Random& ThreadRandom() {
  thread_local Random random(static_cast<uint64_t>(Clock::MonotonicNs()) ^
                             reinterpret_cast<uintptr_t>(&random));
  return random;
}

}  // namespace sherd::engine
