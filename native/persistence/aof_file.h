// AofFile: the file that the journal appends to: what is to be written, what is written, what is synced.
//
// Bytes are built in memory, checksum lines included (docs/internals/aof.md), and leave it only when a sync
// covers them: a failed sync may have dropped pages that are never written again, so they must be at hand.
//
//        base_            written_         end()
//   file ──┴── synced? ──────┴───────────────┘
//              [ buffer_:  unsynced | pending ]
//
// Invariants
// 1. buffer_ is the file from base_ to end(); bytes below written_ have been taken by the kernel.
// 2. written_ stands behind a checksum line or where the file was opened. After a failed write the file is cut
//    back to it, before anything else is written.
// 3. synced_ ≤ written_; without kept bytes (appendfsync no, or more than kKeptMax under everysec) base_ may be
//    above synced_, and then a failed sync can only be tried again.
//
// Threads: the journal's, but for Disk::Sync, which may run on another at the same time as a write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace sherd::persistence {

/// An open file. Calls return 0 or an errno.
class DiskFile {
 public:
  virtual ~DiskFile() = default;
  /// Writes all of `bytes` at `offset`; on an error some may have been written.
  virtual int WriteAt(uint64_t offset, std::string_view bytes) = 0;
  virtual int Truncate(uint64_t size) = 0;
  /// fdatasync. Any thread.
  virtual int Sync() = 0;
};

/// Opens (or creates) a file for writing; null, and an errno, if that fails.
using OpenFile = std::function<std::unique_ptr<DiskFile>(const std::string& path, int* error)>;
std::unique_ptr<DiskFile> OpenDiskFile(const std::string& path, int* error);

class AofFile {
 public:
  /// What is kept of written bytes until they are synced: everything, a bounded amount, nothing.
  enum class Keep : uint8_t { kAll, kSome, kNone };

  /// Goes on at `offset`; `crc` as the checksum lines count it up to there.
  AofFile(std::unique_ptr<DiskFile> file, uint64_t offset, uint64_t crc);

  /// Cuts the file to where it goes on.
  int Open();

  // ---- Building ----

  /// Appends a command. A checksum line comes in front of it if enough stands behind the last.
  void AddCommand(std::string_view command);
  /// Appends an annotation, a line that begins with '#'.
  void AddAnnotation(std::string_view line);

  // ---- Writing ----

  /// Writes what is pending, with a checksum line at its end. After a failure nothing of it is in the file, or
  /// the next call cuts it off first.
  int Write(Keep keep);
  /// Writes what is written but not surely synced once more, in its place.
  int WriteAgain();
  /// Syncs on the calling thread.
  int Sync();
  /// For a sync by another thread: it covers what is written when it begins; EndSync is called when it is over
  /// without an error.
  DiskFile* disk() { return file_.get(); }
  void EndSync(uint64_t covered);

  uint64_t end() const { return base_ + buffer_.size(); }
  uint64_t written() const { return written_; }
  uint64_t synced() const { return synced_; }
  size_t pending_bytes() const { return static_cast<size_t>(end() - written_); }
  size_t memory() const { return buffer_.size(); }

 private:
  void Add(std::string_view bytes);
  void AddChecksumLine();
  void Forget(uint64_t offset);

  const std::unique_ptr<DiskFile> file_;
  std::string buffer_;
  uint64_t base_;
  uint64_t written_;
  uint64_t synced_;
  uint64_t line_end_;   // behind the last checksum line
  uint64_t crc_;        // of the file up to end()
  bool must_cut_ = false;
};

}  // namespace sherd::persistence
