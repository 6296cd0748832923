// LoadProgress: how far a load has come, for INFO.
//
// Written by the threads that load, read by anybody at any time: relaxed, each figure stands for itself.
#pragma once

#include <atomic>
#include <cstdint>

namespace sherd::persistence {

struct LoadProgress {
  std::atomic<uint64_t> loaded_bytes{0};
  std::atomic<uint64_t> total_bytes{0};
  std::atomic<uint64_t> loaded_keys{0};
  std::atomic<int64_t> started_at_ms{0};
};

}  // namespace sherd::persistence
