// IdMap against std::map: random inserts and erases in phases that grow and shrink, ids in order
// and out of it, and the walk in both directions.
#include "ds/id_map.h"

#include <map>
#include <utility>
#include <vector>

#include "base/random.h"
#include "test/test.h"

namespace sherd::ds {
namespace {

using Model = std::map<std::pair<uint64_t, uint64_t>, uintptr_t>;
using Map = IdMap<void>;

void* AsPointer(uintptr_t value) { return reinterpret_cast<void*>(value); }
StreamId IdOf(const Model::value_type& element) {
  return {element.first.first, element.first.second};
}

// Few distinct ids near each other, or far ones whose high bits matter.
StreamId RandomId(Random& random, uint64_t spread) {
  if (random.OneIn(50)) return {UINT64_MAX - random.Below(3), UINT64_MAX - random.Below(3)};
  return {random.Below(spread), random.Below(8)};
}

void CompareAll(const Map& map, const Model& model) {
  map.Validate();
  ASSERT_EQ(map.size(), model.size());
  Map::Position at = map.First();
  for (const auto& element : model) {
    ASSERT_TRUE(static_cast<bool>(at));
    EXPECT_TRUE(map.IdAt(at) == IdOf(element));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(map.ValueAt(at)), element.second);
    at = map.Next(at);
  }
  EXPECT_FALSE(static_cast<bool>(at));
  at = map.Last();
  for (auto element = model.rbegin(); element != model.rend(); ++element) {
    ASSERT_TRUE(static_cast<bool>(at));
    EXPECT_TRUE(map.IdAt(at) == IdOf(*element));
    at = map.Previous(at);
  }
  EXPECT_FALSE(static_cast<bool>(at));
}

void CompareLookups(const Map& map, const Model& model, StreamId id) {
  const auto at = model.lower_bound({id.ms, id.seq});
  const bool is_there = at != model.end() && IdOf(*at) == id;
  EXPECT_EQ(static_cast<bool>(map.Find(id)), is_there);
  const Map::Position ceiling = map.Ceiling(id);
  EXPECT_EQ(static_cast<bool>(ceiling), at != model.end());
  if (ceiling) EXPECT_TRUE(map.IdAt(ceiling) == IdOf(*at));
  const Map::Position floor = map.Floor(id);
  if (is_there) {
    EXPECT_TRUE(floor && map.IdAt(floor) == id);
  } else {
    EXPECT_EQ(static_cast<bool>(floor), at != model.begin());
    if (floor) EXPECT_TRUE(map.IdAt(floor) == IdOf(*std::prev(at)));
  }
}

TEST(id_map_behaves_like_a_map) {
  Random random(test::Seed());
  for (int round = 0; round < 12; round++) {
    SlabHeap heap;
    Map map;
    Model model;
    const uint64_t spread = uint64_t{1} << (4 + random.Below(12));
    for (int phase = 0; phase < 6; phase++) {
      const uint64_t insert_weight = phase % 2 == 0 ? 8 : 2;
      const bool is_in_order = random.OneIn(3);
      for (int i = 0; i < 3000; i++) {
        StreamId id = RandomId(random, spread);
        if (random.Below(10) < insert_weight) {
          if (is_in_order && map.Last()) {
            id = map.IdAt(map.Last());
            if (!id.Increment()) continue;
          }
          const uintptr_t value = 1 + random.Below(1000000);
          const bool is_new = model.emplace(std::pair{id.ms, id.seq}, value).second;
          EXPECT_EQ(map.Insert(heap, id, AsPointer(value)), is_new);
        } else {
          if (random.OneIn(2) && !model.empty()) {  // from the front, as trimming and XACK do
            id = IdOf(*model.begin());
          }
          EXPECT_EQ(map.Erase(heap, id), model.erase({id.ms, id.seq}) == 1);
        }
        if (i % 64 == 0) CompareLookups(map, model, RandomId(random, spread));
      }
      CompareAll(map, model);
    }
    map.Clear(heap);
    EXPECT_EQ(heap.used_bytes(), 0u);
    map.Validate();
  }
}

TEST(id_map_in_order_fills_its_leaves) {
  SlabHeap heap;
  Map map;
  constexpr uint64_t kCount = 100000;
  for (uint64_t i = 0; i < kCount; i++) map.Insert(heap, {i, 0}, AsPointer(i + 1));
  map.Validate();
  EXPECT_LT(map.memory(), kCount * 25);
  EXPECT_EQ(heap.used_bytes(), map.memory());
  // Everything but every hundredth goes: neighbours join, so that the rest does not keep the whole.
  for (uint64_t i = 0; i < kCount; i++) {
    if (i % 100 != 0) EXPECT_TRUE(map.Erase(heap, {i, 0}));
  }
  map.Validate();
  EXPECT_LT(map.memory(), kCount / 100 * 100);
  map.Clear(heap);
  EXPECT_EQ(heap.used_bytes(), 0u);
}

TEST(id_map_small_ones_are_small) {
  SlabHeap heap;
  Map map;
  map.Insert(heap, {1, 0}, AsPointer(1));
  EXPECT_EQ(map.memory(), 48u);
  for (uint64_t i = 2; i <= 63; i++) map.Insert(heap, {i, 0}, AsPointer(i));
  EXPECT_EQ(map.memory(), 1536u);
  for (uint64_t i = 63; i > 1; i--) map.Erase(heap, {i, 0});
  EXPECT_LT(map.memory(), 200u);
  map.Erase(heap, {1, 0});
  EXPECT_EQ(map.memory(), 0u);
}

TEST(id_map_dismantles_leaf_by_leaf) {
  SlabHeap heap;
  Map map;
  for (uint64_t i = 0; i < 5000; i++) map.Insert(heap, {i * 7 % 5000, 1}, AsPointer(i + 1));
  size_t seen = 0;
  size_t steps = 0;
  while (map.DismantleLeaf(heap, [&](void* value) { seen += value != nullptr ? 1 : 0; })) steps++;
  EXPECT_EQ(seen, 5000u);
  EXPECT_LT(70u, steps);
  EXPECT_EQ(heap.used_bytes(), 0u);
  map.Validate();
}

TEST(stream_id_steps_over_the_edges) {
  StreamId id = {1, UINT64_MAX};
  EXPECT_TRUE(id.Increment());
  EXPECT_TRUE((id == StreamId{2, 0}));
  EXPECT_TRUE(id.Decrement());
  EXPECT_TRUE((id == StreamId{1, UINT64_MAX}));
  id = StreamId::Max();
  EXPECT_FALSE(id.Increment());
  EXPECT_TRUE((id == StreamId::Min()));
  EXPECT_FALSE(id.Decrement());
  EXPECT_TRUE((id == StreamId::Max()));
  char text[StreamId::kCharsMax];
  EXPECT_EQ(std::string_view(text, id.Format(text)), "18446744073709551615-18446744073709551615");
}

}  // namespace
}  // namespace sherd::ds
