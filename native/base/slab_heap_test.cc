// SlabHeap against a model: contents survive, accounting is exact, memory comes back.
#include "base/slab_heap.h"

#include <cstring>
#include <map>

#include "base/random.h"
#include "test/test.h"

namespace sherd {
namespace {

TEST(slab_heap_classes_are_tight_and_ordered) {
  size_t previous = 0;
  for (size_t size = 1; size <= SlabHeap::kSmallMax; size++) {
    const int size_class = SlabHeap::ClassOf(size);
    ASSERT_TRUE(size_class >= 0 && size_class < SlabHeap::kClassCount);
    const size_t good = SlabHeap::ClassSize(size_class);
    EXPECT_TRUE(good >= size);
    // The next smaller class would not do, and at most an eighth is wasted above 128 bytes.
    EXPECT_TRUE(size_class == 0 || SlabHeap::ClassSize(size_class - 1) < size);
    if (size > 128) EXPECT_TRUE((good - size) * 8 <= good);
    EXPECT_TRUE(good >= previous);
    previous = good;
  }
}

TEST(slab_heap_keeps_contents_and_counts_exactly) {
  Random random(test::Seed());
  SlabHeap heap;
  struct Live {
    size_t size;
    unsigned char fill;
  };
  std::map<unsigned char*, Live> live;
  size_t expected = 0;
  for (int step = 0; step < 200000; step++) {
    if (live.empty() || random.Next() % 100 < 55) {
      const size_t size = 1 + random.Next() % (random.Next() % 10 == 0 ? 5000 : 300);
      unsigned char* memory = static_cast<unsigned char*>(heap.Allocate(size));
      const unsigned char fill = static_cast<unsigned char>(random.Next());
      std::memset(memory, fill, size);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 8, 0u);
      ASSERT_TRUE(live.emplace(memory, Live{size, fill}).second);
      expected += SlabHeap::GoodSize(size);
    } else {
      auto chosen = live.lower_bound(reinterpret_cast<unsigned char*>(random.Next()));
      if (chosen == live.end()) chosen = live.begin();
      EXPECT_EQ(chosen->first[0], chosen->second.fill);
      EXPECT_EQ(chosen->first[chosen->second.size - 1], chosen->second.fill);
      heap.Free(chosen->first, chosen->second.size);
      expected -= SlabHeap::GoodSize(chosen->second.size);
      live.erase(chosen);
    }
  }
  EXPECT_EQ(heap.used_bytes(), expected);
  for (const auto& [memory, what] : live) heap.Free(memory, what.size);
  EXPECT_EQ(heap.used_bytes(), 0u);
}

TEST(slab_heap_gives_memory_back) {
  SlabHeap heap;
  std::vector<void*> objects;
  for (int i = 0; i < 100000; i++) objects.push_back(heap.Allocate(64));
  const size_t full = heap.mapped_bytes();
  for (void* object : objects) heap.Free(object, 64);
  EXPECT_EQ(heap.used_bytes(), 0u);
#if !SHERD_PLAIN_HEAP
  EXPECT_TRUE(full >= 6400000);
  EXPECT_TRUE(heap.mapped_bytes() <= SlabHeap::kSlabSize);
#else
  (void)full;
#endif
}

TEST(slab_heap_blocks_are_zeroed_each_time) {
  SlabHeap heap;
  for (int order = 0; order < 6; order++) {
    const size_t size = SlabHeap::kPageSize << order;
    for (int round = 0; round < 3; round++) {
      char* block = static_cast<char*>(heap.AllocateBlock(order));
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % SlabHeap::kPageSize, 0u);
      bool is_zero = true;
      for (size_t i = 0; i < size; i++) is_zero = is_zero && block[i] == 0;
      EXPECT_TRUE(is_zero);
      std::memset(block, 0xff, size);
      heap.FreeBlock(block, order);
    }
  }
  EXPECT_EQ(heap.used_bytes(), 0u);
}

}  // namespace
}  // namespace sherd
