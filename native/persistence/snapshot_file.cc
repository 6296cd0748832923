// SnapshotFile: see the header.
#include "persistence/snapshot_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "base/crc64.h"

namespace sherd::persistence {

SnapshotFile::~SnapshotFile() {
  if (fd_ >= 0) close(fd_);
}

bool SnapshotFile::Fail() {
  if (error() == 0) error_.store(errno == 0 ? EIO : errno, std::memory_order_relaxed);
  return false;
}

bool SnapshotFile::Open(const std::string& path) {
  CHECK(fd_ < 0);
  fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  return fd_ >= 0 || Fail();
}

bool SnapshotFile::Write(std::string_view bytes) {
  if (error() != 0) return false;
  if (has_checksum_) crc_ = Crc64(crc_, bytes);
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Fail();
    bytes.remove_prefix(static_cast<size_t>(written));
    bytes_.store(this->bytes() + static_cast<uint64_t>(written), std::memory_order_relaxed);
  }
  if (syncs_on_the_way_ && this->bytes() - sync_from_ >= kSyncBytes) SyncSome();
  return error() == 0;
}

void SnapshotFile::SyncSome() {
  const uint64_t end = bytes();
  // Not every file system can; those that cannot are left to the last fsync.
  sync_file_range(fd_, static_cast<off64_t>(sync_from_), static_cast<off64_t>(end - sync_from_),
                  SYNC_FILE_RANGE_WRITE);
  const uint64_t window = end - sync_from_;
  if (sync_from_ >= window) {
    sync_file_range(fd_, static_cast<off64_t>(sync_from_ - window), static_cast<off64_t>(window),
                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    // Nobody reads it soon, and a page cache that fills up costs everybody's memory (as Redis since 7.2).
    posix_fadvise(fd_, static_cast<off_t>(sync_from_ - window), static_cast<off_t>(window), POSIX_FADV_DONTNEED);
  }
  sync_from_ = end;
}

bool SnapshotFile::Finish() {
  if (error() != 0) return false;
  if (fsync(fd_) != 0) return Fail();
  if (syncs_on_the_way_) posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
  const int fd = fd_;
  fd_ = -1;
  return close(fd) == 0 || Fail();
}

}  // namespace sherd::persistence
