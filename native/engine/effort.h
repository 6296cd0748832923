// Effort: how long a command will take, told before it starts from the sizes of what it will look at.
//
// A command of tens of milliseconds (SORT of a million elements) must not sit on an I/O loop: all clients
// of that worker would wait, whatever their keys. Such commands go to the runner (net/runner.h). The
// command table says what makes a command long (Effort); the sizes are known in O(1) for every key.
//
// Thread: the holder of the leases of the keys.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "command_table/command_table.h"
#include "engine/engine.h"

namespace sherd::engine {

/// Steps from which on a command is long. A step (an element looked at, some 500 bytes of a string) costs
/// 30 to 150 ns, so that what stays on the loop takes a millisecond at most, while the way to the runner
/// and back costs some 30 microseconds.
inline constexpr uint64_t kLongEffort = 10'000;

/// About how many steps the command will take. Has no side effects.
uint64_t EffortOf(Engine& engine, const CommandSpec& spec, std::span<const std::string_view> args,
                  std::span<const Key> keys, int db);

}  // namespace sherd::engine
