// SlabHeap: see the header for the picture. The only subtle part is what is kept mapped: arenas are
// never unmapped, memory of empty slabs and freed blocks is returned with MADV_DONTNEED.
#include "base/slab_heap.h"

#include <mimalloc.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace sherd {

struct SlabHeap::Slab {
  Slab* next;        // list of slabs of this class with room
  Slab* previous;
  void* free_list;   // objects freed since, linked through their first word
  uint32_t live;     // objects handed out
  uint32_t bumped;   // objects ever handed out; those behind are untouched memory
  uint32_t capacity;
  uint32_t object_size;
  int32_t size_class;
  uint32_t reserved[3];
  uint64_t reserved2;
};

namespace {

constexpr size_t kHeaderSize = 64;
// Empty slabs kept with their memory, so that a shard that breathes does not call the kernel each time.
constexpr uint32_t kKeepEmptySlabs = 1;

char* MapAligned(size_t size, size_t alignment) {
  // Over-map by the alignment and cut the ends off.
  char* raw = static_cast<char*>(mmap(nullptr, size + alignment, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  CHECK_MSG(raw != MAP_FAILED, "out of memory");
  const uintptr_t start = (reinterpret_cast<uintptr_t>(raw) + alignment - 1) & ~(alignment - 1);
  char* aligned = reinterpret_cast<char*>(start);
  if (aligned > raw) munmap(raw, static_cast<size_t>(aligned - raw));
  char* end = raw + size + alignment;
  if (end > aligned + size) munmap(aligned + size, static_cast<size_t>(end - (aligned + size)));
  return aligned;
}

}  // namespace

SlabHeap::~SlabHeap() = default;  // Arenas outlive the heap on purpose: readers may still prefetch.

size_t SlabHeap::GoodSize(size_t size) {
  return size <= kSmallMax ? ClassSize(ClassOf(size)) : LargeGoodSize(size);
}

void* SlabHeap::Allocate(size_t size) {
  DCHECK(size > 0);
  used_bytes_ += GoodSize(size);
#if SHERD_PLAIN_HEAP
  // The whole of GoodSize(), since callers grow within it. Sizes that are whole cache lines are aligned
  // to them, as in slabs.
  const size_t good = GoodSize(size);
  void* plain = good % 64 == 0 ? std::aligned_alloc(64, good) : std::malloc(good);
  CHECK_MSG(plain != nullptr, "out of memory");
  return plain;
#else
  if (__builtin_expect(size > kSmallMax, 0)) return AllocateLarge(size);
  const int size_class = ClassOf(size);
  Slab* slab = partial_[size_class];
  if (__builtin_expect(slab == nullptr, 0)) slab = NewSlab(size_class);
  void* object = slab->free_list;
  if (object != nullptr) {
    std::memcpy(&slab->free_list, object, sizeof(void*));
  } else {
    object = reinterpret_cast<char*>(slab) + kHeaderSize + size_t{slab->bumped} * slab->object_size;
    slab->bumped++;
  }
  if (++slab->live == slab->capacity) Unlink(slab);
  return object;
#endif
}

void SlabHeap::Free(void* pointer, size_t size) {
  used_bytes_ -= GoodSize(size);
#if SHERD_PLAIN_HEAP
  std::free(pointer);
#else
  if (__builtin_expect(size > kSmallMax, 0)) {
    FreeLarge(pointer);
    return;
  }
  Slab* slab = reinterpret_cast<Slab*>(reinterpret_cast<uintptr_t>(pointer) & ~(kSlabSize - 1));
  CHECK_MSG(slab->size_class == ClassOf(size), "freed with another size than allocated");
  std::memcpy(pointer, &slab->free_list, sizeof(void*));
  slab->free_list = pointer;
  if (slab->live-- == slab->capacity) Link(slab);
  if (slab->live == 0) RetireSlab(slab);
#endif
}

SlabHeap::Slab* SlabHeap::NewSlab(int size_class) {
  static_assert(sizeof(Slab) == kHeaderSize);
  Slab* slab = reinterpret_cast<Slab*>(TakeSlabMemory());
  slab->free_list = nullptr;
  slab->live = 0;
  slab->bumped = 0;
  slab->size_class = size_class;
  slab->object_size = static_cast<uint32_t>(ClassSize(size_class));
  slab->capacity = static_cast<uint32_t>((kSlabSize - kHeaderSize) / slab->object_size);
  Link(slab);
  return slab;
}

char* SlabHeap::TakeSlabMemory() {
  mapped_bytes_ += kSlabSize;
  if (!free_slabs_.empty()) {
    char* memory = free_slabs_.back();
    free_slabs_.pop_back();
    return memory;
  }
  if (arena_cursor_ == arena_end_) {
    arena_cursor_ = MapAligned(kArenaSize, kSlabSize);
    arena_end_ = arena_cursor_ + kArenaSize;
  }
  char* memory = arena_cursor_;
  arena_cursor_ += kSlabSize;
  return memory;
}

void SlabHeap::Link(Slab* slab) {
  slab->previous = nullptr;
  slab->next = partial_[slab->size_class];
  if (slab->next != nullptr) slab->next->previous = slab;
  partial_[slab->size_class] = slab;
}

void SlabHeap::Unlink(Slab* slab) {
  if (slab->previous != nullptr) {
    slab->previous->next = slab->next;
  } else {
    partial_[slab->size_class] = slab->next;
  }
  if (slab->next != nullptr) slab->next->previous = slab->previous;
}

void SlabHeap::RetireSlab(Slab* slab) {
  // Keep one empty slab per class: a key deleted and set again must not map and unmap.
  if (kKeepEmptySlabs > 0 && partial_[slab->size_class] == slab && slab->next == nullptr) return;
  Unlink(slab);
  madvise(slab, kSlabSize, MADV_DONTNEED);
  mapped_bytes_ -= kSlabSize;
  free_slabs_.push_back(reinterpret_cast<char*>(slab));
}

void* SlabHeap::AllocateBlock(int order) {
  CHECK(order >= 0 && order < 32);
  const size_t size = kPageSize << order;
  used_bytes_ += size;
  mapped_bytes_ += size;
#if SHERD_PLAIN_HEAP
  void* plain = std::aligned_alloc(kPageSize, size);
  CHECK_MSG(plain != nullptr, "out of memory");
  std::memset(plain, 0, size);
  return plain;
#else
  if (!free_blocks_[order].empty()) {
    void* block = free_blocks_[order].back();
    free_blocks_[order].pop_back();
    return block;  // zeroed by MADV_DONTNEED
  }
  if (size >= kSlabSize) return MapAligned(size, kPageSize);
  if (static_cast<size_t>(block_end_ - block_cursor_) < size) {
    // What is left of the old slab is a whole number of pages: keep it as blocks of order 0.
    while (block_cursor_ < block_end_) {
      free_blocks_[0].push_back(block_cursor_);
      block_cursor_ += kPageSize;
    }
    block_cursor_ = TakeSlabMemory();
    mapped_bytes_ -= kSlabSize;
    block_end_ = block_cursor_ + kSlabSize;
    // A recycled slab was emptied by MADV_DONTNEED, a fresh one was never touched: both read as zero.
  }
  void* block = block_cursor_;
  block_cursor_ += size;
  return block;
#endif
}

void SlabHeap::FreeBlock(void* block, int order) {
  const size_t size = kPageSize << order;
  used_bytes_ -= size;
  mapped_bytes_ -= size;
#if SHERD_PLAIN_HEAP
  std::free(block);
#else
  CHECK(madvise(block, size, MADV_DONTNEED) == 0);
  free_blocks_[order].push_back(block);
#endif
}

void* SlabHeap::AllocateStable(int order) {
  CHECK(order >= 0 && order < 26);
  const size_t size = size_t{64} << order;
  used_bytes_ += size;
#if SHERD_PLAIN_HEAP
  void* plain = std::aligned_alloc(64, size);
  CHECK_MSG(plain != nullptr, "out of memory");
  std::memset(plain, 0, size);
  return plain;
#else
  if (!free_stable_[order].empty()) {
    void* memory = free_stable_[order].back();
    free_stable_[order].pop_back();
    return memory;
  }
  mapped_bytes_ += size;
  if (size >= kSlabSize) return MapAligned(size, kPageSize);
  if (static_cast<size_t>(stable_end_ - stable_cursor_) < size) {
    // The rest of the old slab is lost: a few kilobytes, a few times in the life of a shard.
    stable_cursor_ = TakeSlabMemory();
    mapped_bytes_ -= kSlabSize;
    stable_end_ = stable_cursor_ + kSlabSize;
  }
  void* memory = stable_cursor_;
  stable_cursor_ += size;
  return memory;
#endif
}

void SlabHeap::FreeStable(void* memory, int order) {
  used_bytes_ -= size_t{64} << order;
#if SHERD_PLAIN_HEAP
  std::free(memory);
#else
  free_stable_[order].push_back(memory);
#endif
}

void* AllocateLarge(size_t size) {
#if SHERD_PLAIN_HEAP
  void* memory = std::malloc(size);
#else
  void* memory = mi_malloc(size);
#endif
  CHECK_MSG(memory != nullptr, "out of memory");
  return memory;
}

void FreeLarge(void* pointer) {
#if SHERD_PLAIN_HEAP
  std::free(pointer);
#else
  mi_free(pointer);
#endif
}

size_t LargeGoodSize(size_t size) {
#if SHERD_PLAIN_HEAP
  return size;  // the sanitizers' builds do without mimalloc
#else
  return mi_good_size(size);
#endif
}

}  // namespace sherd
