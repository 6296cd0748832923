// SnapshotFile: the file that a snapshot is written to: plain write(2), a running CRC64, and the disk kept busy
// on the way instead of all at once at the end.
//
// With `syncs_on_the_way` every kSyncBytes the kernel is asked to start writing what is new and waited for to
// have written what was new the last time, as Redis does: else the last fsync would have gigabytes to write and
// everybody else's fsync (an AOF's) would wait behind it.
//
// The first error stays: nothing is written after it.
//
// Thread: one at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace sherd::persistence {

class SnapshotFile {
 public:
  SnapshotFile(bool has_checksum, bool syncs_on_the_way)
      : has_checksum_(has_checksum), syncs_on_the_way_(syncs_on_the_way) {}
  ~SnapshotFile();
  SnapshotFile(const SnapshotFile&) = delete;
  SnapshotFile& operator=(const SnapshotFile&) = delete;

  /// Creates or empties the file. False: error() says why.
  bool Open(const std::string& path);
  bool Write(std::string_view bytes);
  /// Syncs and closes.
  bool Finish();

  /// errno of the first failure, 0 without. Any thread; relaxed: it says that work is in vain, no more.
  int error() const { return error_.load(std::memory_order_relaxed); }
  /// CRC64 of everything written; 0 without checksums.
  uint64_t crc() const { return crc_; }
  /// Any thread.
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  bool Fail();
  void SyncSome();

  static constexpr uint64_t kSyncBytes = 4 * 1024 * 1024;

  const bool has_checksum_;
  const bool syncs_on_the_way_;
  int fd_ = -1;
  std::atomic<int> error_{0};
  uint64_t crc_ = 0;
  uint64_t sync_from_ = 0;  // the kernel has been asked to write what is before
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace sherd::persistence
