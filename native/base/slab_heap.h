// SlabHeap: the allocator of one shard.
//
// Whoever holds a shard's lease is alone in it, so its allocator needs no atomics; a general allocator
// would pay for frees that come from another thread than the allocation, which is the normal case here
// (the lease wanders between workers). It also counts exactly, and its pages never disappear, which lets
// the I/O loop prefetch from tables that another thread may be changing (see HashTable::Prefetch...).
//
//   size               from
//   1 … 2048           size classes: 8-byte steps to 128, then 8 steps to a doubling. A class takes its
//                      objects from 64 KiB slabs; slabs with room form a list per class.
//   blocks (2^k pages) AllocateBlock: page-aligned, zeroed, for bucket chunks and directories. Freed blocks
//                      give their memory back to the system but keep their address.
//   > 2048             mimalloc (any thread may free those, through FreeLarge)
//
//   slab, 64 KiB, aligned to 64 KiB
//   +--------------------+---------+---------+----   ----+---------+-- - -+
//   | SlabHeader 64 B    | object  | object  |    ...    | object  | tail |
//   +--------------------+---------+---------+----   ----+---------+-- - -+
//
// Invariants: live <= bumped <= capacity in every slab; a slab is in its class's list iff live <
// capacity; used_bytes() is the sum of GoodSize() over all live objects and blocks.
//
// Thread: the holder of the shard's lease. Under ASan and TSan every object is a malloc of its own, so
// that the sanitizers see each one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHERD_PLAIN_HEAP 1
#else
#define SHERD_PLAIN_HEAP 0
#endif

namespace sherd {

class SlabHeap {
 public:
  static constexpr size_t kSmallMax = 2048;
  static constexpr size_t kSlabSize = 64 * 1024;
  static constexpr size_t kArenaSize = 1024 * 1024;
  static constexpr int kClassCount = 48;
  static constexpr size_t kPageSize = 4096;

  SlabHeap() = default;
  ~SlabHeap();
  SlabHeap(const SlabHeap&) = delete;
  SlabHeap& operator=(const SlabHeap&) = delete;

  /// Memory for `size` > 0 bytes, aligned to 8 (16 for large ones). Never null: running out of memory
  /// ends the process, as in Redis.
  void* Allocate(size_t size);
  /// Gives back what Allocate(size) returned; any size of the same GoodSize() will do.
  void Free(void* pointer, size_t size);

  /// Bytes that an allocation of `size` occupies.
  static size_t GoodSize(size_t size);

  /// Zeroed, page-aligned memory of 4096 << order bytes whose address stays readable for the life of
  /// the process, also after FreeBlock().
  void* AllocateBlock(int order);
  void FreeBlock(void* block, int order);

  /// Zeroed memory of 64 << order bytes that is only ever used again by AllocateStable() of the same
  /// order, as it was left: for structures that other threads may still be looking at when they are
  /// freed (see HashTable's directories).
  void* AllocateStable(int order);
  void FreeStable(void* memory, int order);

  /// Memory outside this heap that belongs to this shard's data (large values, which any thread may
  /// free): counted here while the keyspace holds it.
  void AccountExternal(int64_t delta) {
    used_bytes_ = static_cast<size_t>(static_cast<int64_t>(used_bytes_) + delta);
  }

  /// Bytes of live objects, blocks and external memory.
  size_t used_bytes() const { return used_bytes_; }
  /// Bytes of slabs and blocks taken from the system (address space that may be resident).
  size_t mapped_bytes() const { return mapped_bytes_; }

  static int ClassOf(size_t size) {
    if (size <= 128) return static_cast<int>((size + 7) / 8) - 1;
    // 8 classes to a doubling: 144, 160 … 256, 288 … 512, …
    const int log2 = 63 - __builtin_clzll(size - 1);  // size in (2^log2, 2^(log2+1)]
    const size_t step = size_t{1} << (log2 - 3);
    const size_t index = (size - 1 - (size_t{1} << log2)) / step;
    return 16 + (log2 - 7) * 8 + static_cast<int>(index);
  }
  static size_t ClassSize(int size_class) {
    if (size_class < 16) return static_cast<size_t>(size_class + 1) * 8;
    const int log2 = 7 + (size_class - 16) / 8;
    return (size_t{1} << log2) + static_cast<size_t>((size_class - 16) % 8 + 1) * (size_t{1} << (log2 - 3));
  }

 private:
  struct Slab;

  Slab* NewSlab(int size_class);
  char* TakeSlabMemory();
  void Link(Slab* slab);
  void Unlink(Slab* slab);
  void RetireSlab(Slab* slab);

  size_t used_bytes_ = 0;
  size_t mapped_bytes_ = 0;
  Slab* partial_[kClassCount] = {};
  std::vector<char*> free_slabs_;      // memory given back to the system, address kept
  char* arena_cursor_ = nullptr;       // unused rest of the newest arena
  char* arena_end_ = nullptr;
  std::vector<void*> free_blocks_[32];  // by order
  std::vector<void*> free_stable_[32];  // by order
  char* stable_cursor_ = nullptr;      // unused rest of the newest slab that stable memory is cut from
  char* stable_end_ = nullptr;
  char* block_cursor_ = nullptr;       // unused rest of the newest slab that small blocks are cut from
  char* block_end_ = nullptr;
};

/// Large memory (values that may be shared with output queues): any thread.
void* AllocateLarge(size_t size);
void FreeLarge(void* pointer);
/// Bytes that AllocateLarge(size) occupies.
size_t LargeGoodSize(size_t size);

}  // namespace sherd
