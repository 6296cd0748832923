// FakeDisk: files in memory that fail on demand and remember what a power loss would leave, for tests of the
// journal; and a reader of what the journal wrote.
//
// Two views of a file: `bytes` is what the process would read back, `synced` what is surely on the disk: the
// content at the last sync that worked. A sync that fails loses what was written since the last one (the kernel
// drops such pages), as far as the power is concerned.
//
// Thread: any; one mutex for all.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/crc64.h"
#include "base/random.h"
#include "persistence/aof_file.h"

namespace sherd::test {

class FakeDisk {
 public:
  explicit FakeDisk(uint64_t seed) : random_(seed) {}

  persistence::OpenFile Opener() {
    return [this](const std::string& path, int* error) { return Open(path, error); };
  }

  /// What outlives the process, or the machine as well.
  enum class Loss { kKill, kPower };

  /// How often in 100 a write or a sync fails, or the cut after a failed write.
  void FailOften(int writes, int syncs, int cuts) {
    const std::lock_guard<std::mutex> lock(mutex_);
    write_failures_ = writes;
    sync_failures_ = syncs;
    cut_failures_ = cuts;
  }
  std::string Bytes(const std::string& path) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return files_[path].bytes;
  }
  /// What is there after a power loss now.
  std::string Synced(const std::string& path) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return files_[path].synced;
  }
  /// What is there after such a loss now: of all these files at one instant.
  std::vector<std::string> Left(const std::vector<std::string>& paths, Loss loss) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::string> left;
    for (const std::string& path : paths) left.push_back(loss == Loss::kPower ? files_[path].synced : files_[path].bytes);
    return left;
  }
  int failures() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return failures_;
  }
  int syncs() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return syncs_;
  }

 private:
  struct Content {
    std::string bytes;
    std::string synced;
    // What has been written since the last attempt to sync: only that is still to reach the disk.
    std::vector<std::pair<size_t, std::string>> dirty;
  };

  class File final : public persistence::DiskFile {
   public:
    File(FakeDisk* disk, Content* content) : disk_(disk), content_(content) {}
    int WriteAt(uint64_t offset, std::string_view bytes) override { return disk_->Write(content_, offset, bytes); }
    int Truncate(uint64_t size) override { return disk_->Truncate(content_, size); }
    int Sync() override { return disk_->Sync(content_); }

   private:
    FakeDisk* const disk_;
    Content* const content_;
  };

  std::unique_ptr<persistence::DiskFile> Open(const std::string& path, int*) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::make_unique<File>(this, &files_[path]);
  }
  bool Fails(int often) {
    if (static_cast<int>(random_.Below(100)) >= often) return false;
    failures_++;
    return true;
  }
  static void Put(std::string* bytes, size_t offset, std::string_view what) {
    if (bytes->size() < offset + what.size()) bytes->resize(offset + what.size(), '\0');
    bytes->replace(offset, what.size(), what);
  }
  int Write(Content* content, uint64_t offset, std::string_view bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    CHECK(offset <= content->bytes.size());  // no holes
    const bool fails = Fails(write_failures_);
    if (fails) bytes = bytes.substr(0, random_.Below(bytes.size() + 1));  // a short write
    Put(&content->bytes, offset, bytes);
    content->dirty.emplace_back(offset, std::string(bytes));
    return fails ? ENOSPC : 0;
  }
  int Truncate(Content* content, uint64_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (Fails(cut_failures_)) return EIO;
    content->bytes.resize(size, '\0');
    for (auto& [offset, bytes] : content->dirty) {
      if (offset >= size) bytes.clear();
      else if (offset + bytes.size() > size) bytes.resize(size - offset);
    }
    return 0;
  }
  int Sync(Content* content) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool fails = Fails(sync_failures_);
    syncs_++;
    if (!fails) {
      for (const auto& [offset, bytes] : content->dirty) {
        if (!bytes.empty()) Put(&content->synced, offset, bytes);
      }
      if (content->synced.size() > content->bytes.size()) content->synced.resize(content->bytes.size());
    }
    content->dirty.clear();
    return fails ? EIO : 0;
  }

  std::mutex mutex_;
  Random random_;
  std::map<std::string, Content> files_;
  int write_failures_ = 0;
  int sync_failures_ = 0;
  int cut_failures_ = 0;
  int failures_ = 0;
  int syncs_ = 0;
};

/// The commands of an AOF; CHECKs the checksum lines on the way, and that commands are whole. Annotations are
/// left out. A torn end is ignored if `may_be_torn`.
inline std::vector<std::vector<std::string>> ReadAof(std::string_view bytes, bool may_be_torn = false) {
  std::vector<std::vector<std::string>> commands;
  uint64_t crc = 0;
  size_t crc_at = 0;
  size_t at = 0;
  const auto line = [&](std::string_view* text) {
    const size_t end = bytes.find("\r\n", at);
    if (end == std::string_view::npos) return false;
    *text = bytes.substr(at, end - at);
    at = end + 2;
    return true;
  };
  while (at < bytes.size()) {
    const size_t start = at;
    std::string_view head;
    if (!line(&head)) break;
    if (head.starts_with("#SHERD:")) {
      CHECK(head.size() == 40);
      CHECK(std::strtoull(std::string(head.substr(7, 16)).c_str(), nullptr, 16) == start);
      crc = Crc64(crc, bytes.substr(crc_at, start + 24 - crc_at));
      CHECK_MSG(std::strtoull(std::string(head.substr(24)).c_str(), nullptr, 16) == crc, "a checksum line lies");
      crc_at = start + 24;
      continue;
    }
    if (head[0] == '#') continue;
    CHECK_MSG(head[0] == '*', "not a command");
    std::vector<std::string> words;
    bool is_whole = true;
    for (int left = std::atoi(head.data() + 1); left > 0 && is_whole; left--) {
      std::string_view size_line;
      is_whole = line(&size_line);
      const size_t size = is_whole ? static_cast<size_t>(std::atoll(size_line.data() + 1)) : 0;
      is_whole = is_whole && at + size + 2 <= bytes.size();
      if (!is_whole) break;
      words.emplace_back(bytes.substr(at, size));
      at += size + 2;
    }
    if (!is_whole) {
      CHECK_MSG(may_be_torn, "a torn command");
      break;
    }
    commands.push_back(std::move(words));
  }
  return commands;
}

}  // namespace sherd::test
