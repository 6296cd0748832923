// TurnLog: what one turn of a worker sends to many connections, written once.
//
// Messages to fifty subscribers would be copied fifty times, into buffers that nobody has looked at lately.
// Instead they are written here, one behind the other, and the connections' outputs refer to them
// (OutputBuffer::AppendBorrowed): those of a connection that gets them all are a single piece for its
// socket, and the kernel copies from memory that is in the cache.
//
//   log       | m1 | m2 | m3 |        outputs of subscribers   [m1 m2 m3]  [m1 m2 m3]  [m3]
//
// At the end of the turn everybody has been sent what his socket takes, the rest is copied
// (OutputBuffer::OwnBorrowed), and the log starts over. So a slow reader holds his own bytes and no others.
//
// Thread: the worker's own.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace sherd::net {

class TurnLog {
 public:
  /// `size` bytes that stay where they are until Clear().
  char* Take(size_t size) {
    if (__builtin_expect(room_ < size, 0)) AddBlock(size);
    char* place = next_;
    next_ += size;
    room_ -= size;
    return place;
  }

  /// Gives back all but the first block.
  void Clear() {
    if (blocks_.empty()) return;
    blocks_.resize(1);
    next_ = blocks_[0].get();
    room_ = kBlockBytes;
  }

 private:
  // A turn's messages to one group of subscribers seldom come to more; a first block is kept.
  static constexpr size_t kBlockBytes = 64 * 1024;

  void AddBlock(size_t size) {
    // The first one is of the usual size, so that it may stay.
    if (blocks_.empty()) blocks_.emplace_back(new char[kBlockBytes]);
    const size_t block_size = size < kBlockBytes ? kBlockBytes : size;
    const bool is_first = next_ == nullptr && size <= kBlockBytes;
    if (!is_first) blocks_.emplace_back(new char[block_size]);
    next_ = blocks_.back().get();
    room_ = is_first ? kBlockBytes : block_size;
  }

  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  size_t room_ = 0;
};

}  // namespace sherd::net
