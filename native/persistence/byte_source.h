// ByteSource: a file, or bytes in memory that stand for one (tests, fuzzing).
//
// Files are read with pread into buffers of the reader's own and not mapped: a disk that fails gives an error
// here, where a mapping would end the process.
//
// Thread: one reader at a time. The size is that of the moment of opening; who reads finds out when the file
// has become shorter.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sherd::persistence {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size() const = 0;
  /// Reads up to `size` bytes at `offset`; fewer only at the end. -1: errno says why.
  virtual int64_t ReadAt(uint64_t offset, char* out, size_t size) = 0;
};

class FileSource final : public ByteSource {
 public:
  static Result<std::unique_ptr<FileSource>> Open(const std::string& path);
  ~FileSource() override;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  uint64_t size() const override { return size_; }
  int64_t ReadAt(uint64_t offset, char* out, size_t size) override;

 private:
  FileSource(int fd, uint64_t size) : fd_(fd), size_(size) {}
  const int fd_;
  const uint64_t size_;
};

class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::string_view bytes) : bytes_(bytes) {}
  /// A string that goes at the end of the statement.
  explicit MemorySource(std::same_as<std::string> auto&& bytes) = delete;
  uint64_t size() const override { return bytes_.size(); }
  int64_t ReadAt(uint64_t offset, char* out, size_t size) override {
    if (offset >= bytes_.size()) return 0;
    const size_t count = std::min<size_t>(size, bytes_.size() - static_cast<size_t>(offset));
    std::memcpy(out, bytes_.data() + offset, count);
    return static_cast<int64_t>(count);
  }

 private:
  const std::string_view bytes_;
};

}  // namespace sherd::persistence
