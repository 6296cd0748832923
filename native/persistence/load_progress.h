// LoadProgress: how far a load has come, for INFO.
//
// Written by the threads that load, read by anybody at any time: relaxed, each figure stands for itself.
#pragma once

#include <atomic>
#include <cstdint>

namespace sherd::persistence {

struct LoadProgress {
  /// Of all files of the load; those in front of the present one end at file_start.
  std::atomic<uint64_t> loaded_bytes{0};
  std::atomic<uint64_t> file_start{0};
  std::atomic<uint64_t> total_bytes{0};
  std::atomic<uint64_t> loaded_keys{0};
  std::atomic<int64_t> started_at_ms{0};

  /// Another file begins.
  void NextFile() { file_start.store(loaded_bytes.load(std::memory_order_relaxed), std::memory_order_relaxed); }
  /// The present one has been read up to here.
  void SetFileOffset(uint64_t offset) {
    loaded_bytes.store(file_start.load(std::memory_order_relaxed) + offset, std::memory_order_relaxed);
  }
};

}  // namespace sherd::persistence
