// AofFile: see the header.
#include "persistence/aof_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "base/crc64.h"

namespace sherd::persistence {

namespace {

// docs/internals/aof.md: a line after every 64 KiB within a longer write.
constexpr uint64_t kLineEvery = 64 * 1024;
// What everysec keeps in memory for the case that a sync fails: a second of a fast disk's worth.
constexpr size_t kKeptMax = 64 << 20;
// The buffer gives memory back above this when it is empty.
constexpr size_t kCapacityKept = 8 << 20;

class RealFile final : public DiskFile {
 public:
  explicit RealFile(int fd) : fd_(fd) {}
  ~RealFile() override { close(fd_); }

  int WriteAt(uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t wrote = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return errno;
      if (wrote == 0) return ENOSPC;
      offset += static_cast<uint64_t>(wrote);
      bytes.remove_prefix(static_cast<size_t>(wrote));
    }
    return 0;
  }
  int Truncate(uint64_t size) override {
    return ftruncate(fd_, static_cast<off_t>(size)) == 0 ? 0 : errno;
  }
  int Sync() override { return fdatasync(fd_) == 0 ? 0 : errno; }

 private:
  const int fd_;
};

void PutHex(std::string* out, uint64_t value) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) out->push_back(kDigits[value >> shift & 15]);
}

}  // namespace

std::unique_ptr<DiskFile> OpenDiskFile(const std::string& path, int* error) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd >= 0) return std::make_unique<RealFile>(fd);
  *error = errno;
  return nullptr;
}

AofFile::AofFile(std::unique_ptr<DiskFile> file, uint64_t offset, uint64_t crc)
    : file_(std::move(file)), base_(offset), written_(offset), synced_(offset), line_end_(offset), crc_(crc) {}

int AofFile::Open() { return file_->Truncate(written_); }

// ---- Building ----

void AofFile::Add(std::string_view bytes) {
  buffer_.append(bytes);
  crc_ = Crc64(crc_, bytes);
}

void AofFile::AddCommand(std::string_view command) {
  if (end() - line_end_ >= kLineEvery) AddChecksumLine();
  Add(command);
}

void AofFile::AddAnnotation(std::string_view line) { Add(line); }

void AofFile::AddChecksumLine() {
  std::string line = "#SHERD:";
  PutHex(&line, end());
  line.push_back(':');
  Add(line);
  line.clear();
  PutHex(&line, crc_);
  line += "\r\n";
  Add(line);
  line_end_ = end();
}

// ---- Writing ----

/// The bytes in front of `offset` are not needed any more.
void AofFile::Forget(uint64_t offset) {
  if (offset <= base_) return;
  CHECK(offset <= written_);
  if (offset == end()) {
    buffer_.clear();
    if (buffer_.capacity() > kCapacityKept) buffer_.shrink_to_fit();
  } else {
    buffer_.erase(0, static_cast<size_t>(offset - base_));
  }
  base_ = offset;
}

int AofFile::Write(Keep keep) {
  if (must_cut_) {
    if (const int error = file_->Truncate(written_)) return error;
    must_cut_ = false;
  }
  if (end() == written_) return 0;
  if (end() != line_end_) AddChecksumLine();
  const std::string_view pending = std::string_view(buffer_).substr(static_cast<size_t>(written_ - base_));
  if (const int error = file_->WriteAt(written_, pending)) {
    must_cut_ = file_->Truncate(written_) != 0;
    return error;
  }
  written_ = end();
  if (keep == Keep::kNone || (keep == Keep::kSome && buffer_.size() > kKeptMax)) Forget(written_);
  return 0;
}

int AofFile::WriteAgain() {
  return file_->WriteAt(base_, std::string_view(buffer_).substr(0, static_cast<size_t>(written_ - base_)));
}

int AofFile::Sync() {
  if (synced_ == written_) return 0;
  if (const int error = file_->Sync()) return error;
  EndSync(written_);
  return 0;
}

void AofFile::EndSync(uint64_t covered) {
  CHECK(covered <= written_);
  if (covered > synced_) synced_ = covered;
  Forget(covered);
}

}  // namespace sherd::persistence
