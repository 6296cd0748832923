// The server that fuzz targets of the engine share: one for all inputs of all targets, since each leaves
// it empty. The clock stands still but for what a target says, so that an input replays.
//
// Thread: the fuzzer's only one.
#pragma once

#include <cstdint>

#include "base/check.h"
#include "base/clock.h"
#include "net/test_rig.h"

namespace sherd::fuzz {

inline constexpr int64_t kStartUs = 1'700'000'000'000'000;

/// Never destroyed, as libFuzzer ends by exit().
inline FakeClock& TheClock() {
  static FakeClock* const clock = new FakeClock();
  return *clock;
}

inline test::ServerRig& Rig() {
  static test::ServerRig* const rig = [] {
    auto* made = new test::ServerRig({.workers = 1, .shards = 4});
    made->engine().options().enable_debug_command.Set(engine::kDebugYes);
    // Bounds what SETRANGE and APPEND build and what LCS takes for its table.
    made->engine().options().proto_max_bulk_len.Set(2500);
    return made;
  }();
  return *rig;
}

/// All structures are sound, and FLUSHALL gives every byte back.
inline void CheckNothingIsLeft(test::ServerRig& rig, size_t used_before) {
  rig.Validate();
  test::DetachedClient cleaner(rig, 0);
  CHECK(cleaner.Run(test::Line({"FLUSHALL"})) == "+OK\r\n");
  rig.FreeDeferred();
  rig.Validate();
  CHECK_MSG(rig.UsedBytes() == used_before, "memory is missing after FLUSHALL");
}

}  // namespace sherd::fuzz
