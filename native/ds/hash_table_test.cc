// HashTable against std::map, over growth and shrinkage; SCAN's guarantee while the table changes.
#include "ds/hash_table.h"

#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/random.h"
#include "test/test.h"

namespace sherd::ds {
namespace {

struct Item {
  uint64_t key;
  uint64_t value;
};

// A weak hash on purpose in some tests: many equal low bits make long chains.
uint64_t g_hash_mask = ~uint64_t{0};

uint64_t Mix(uint64_t key) {
  key ^= key >> 31;
  key *= 0x9e3779b97f4a7c15ull;
  key ^= key >> 29;
  key *= 0xbf58476d1ce4e5b9ull;
  return (key ^ key >> 32) & g_hash_mask;
}

struct ItemPolicy {
  using Entry = Item;
  using Key = uint64_t;
  static uint64_t Hash(const Item* item) { return Mix(item->key); }
  static bool Equals(const Item* item, uint64_t key) { return item->key == key; }
};
using ItemTable = HashTable<ItemPolicy>;

class Fixture {
 public:
  ~Fixture() {
    table.Clear([this](Item* item) { heap.Free(item, sizeof(Item)); });
    EXPECT_EQ(heap.used_bytes(), 0u);
  }
  void Add(uint64_t key, uint64_t value) {
    Item* item = static_cast<Item*>(heap.Allocate(sizeof(Item)));
    *item = {key, value};
    table.Insert(Mix(key), item);
  }
  bool Remove(uint64_t key) {
    const auto position = table.Find(Mix(key), key);
    if (!position) return false;
    heap.Free(table.Erase(position), sizeof(Item));
    return true;
  }
  SlabHeap heap;
  ItemTable table{&heap};
};

void RunModel(uint64_t seed, uint64_t key_space, int steps) {
  Random random(seed);
  Fixture fixture;
  std::map<uint64_t, uint64_t> model;
  for (int step = 0; step < steps; step++) {
    // Phases of growth and of decline, so that both directions cross chunk borders.
    const bool grows = (step / (steps / 6 + 1)) % 2 == 0;
    const uint64_t key = random.Next() % key_space;
    const bool exists = model.count(key) != 0;
    const auto position = fixture.table.Find(Mix(key), key);
    EXPECT_EQ(static_cast<bool>(position), exists);
    if (exists) EXPECT_EQ(position.entry()->value, model[key]);
    if (!exists && random.Next() % 4 < (grows ? 3u : 1u)) {
      const uint64_t value = random.Next();
      fixture.Add(key, value);
      model[key] = value;
    } else if (exists && random.Next() % 4 < (grows ? 1u : 3u)) {
      EXPECT_TRUE(fixture.Remove(key));
      model.erase(key);
    }
    EXPECT_EQ(fixture.table.size(), model.size());
    if (step % (steps / 8 + 1) == 0) fixture.table.Validate();
  }
  fixture.table.Validate();
  size_t seen = 0;
  fixture.table.VisitBuckets(0, fixture.table.bucket_count(), [&](ItemTable::Position p) {
    EXPECT_EQ(model.count(p.entry()->key), 1u);
    seen++;
  });
  EXPECT_EQ(seen, model.size());
  for (const auto& [key, value] : model) EXPECT_TRUE(fixture.Remove(key));
  EXPECT_EQ(fixture.table.size(), 0u);
  EXPECT_EQ(fixture.table.memory(), 0u);
}

TEST(hash_table_behaves_like_a_map) { RunModel(test::Seed(), 20000, 200000); }
TEST(hash_table_small_behaves_like_a_map) { RunModel(test::Seed() + 1, 40, 50000); }
TEST(hash_table_with_colliding_hashes_behaves_like_a_map) {
  g_hash_mask = 0xff0000000000003full;  // 64 buckets at most share everything: chains of many links
  RunModel(test::Seed() + 2, 3000, 30000);
  g_hash_mask = ~uint64_t{0};
}

TEST(hash_table_scan_returns_what_stays) {
  Random random(test::Seed());
  for (int round = 0; round < 30; round++) {
    Fixture fixture;
    std::set<uint64_t> stays;
    const size_t count = 1 + random.Next() % 3000;
    for (uint64_t key = 0; key < count; key++) {
      fixture.Add(key, 0);
      stays.insert(key);
    }
    // Others come and go during the scan, enough to grow and shrink the table many times over.
    std::set<uint64_t> seen;
    std::vector<uint64_t> passing;
    uint64_t cursor = 0;
    uint64_t next_key = 1000000;
    do {
      cursor = fixture.table.Scan(cursor, [&](ItemTable::Position p) { seen.insert(p.entry()->key); });
      const bool grows = random.Next() % 2 == 0;
      for (int i = 0; i < 40; i++) {
        if (grows) {
          fixture.Add(next_key, 0);
          passing.push_back(next_key++);
        } else if (!passing.empty()) {
          fixture.Remove(passing.back());
          passing.pop_back();
        }
      }
    } while (cursor != 0);
    for (uint64_t key : stays) EXPECT_EQ(seen.count(key), 1u);
  }
}

TEST(hash_table_random_position_reaches_all) {
  Random random(test::Seed());
  Fixture fixture;
  for (uint64_t key = 0; key < 200; key++) fixture.Add(key, 0);
  std::map<uint64_t, int> hits;
  for (int i = 0; i < 200000; i++) {
    const auto position = fixture.table.RandomPosition([&] { return random.Next(); });
    ASSERT_TRUE(static_cast<bool>(position));
    hits[position.entry()->key]++;
  }
  EXPECT_EQ(hits.size(), 200u);
  // 1000 expected each; six sigma is about 190.
  for (const auto& [key, count] : hits) EXPECT_TRUE(count > 700 && count < 1300);
}

TEST(hash_table_walk_meets_every_entry_once_and_stops) {
  Fixture fixture;
  for (uint64_t key = 0; key < 5000; key++) fixture.Add(key, 0);
  std::set<uint64_t> seen;
  fixture.table.ForEach([&](const Item* item) { return seen.insert(item->key).second; });
  EXPECT_EQ(seen.size(), 5000u);
  size_t visits = 0;
  fixture.table.ForEach([&](const Item*) { return ++visits < 100; });
  EXPECT_EQ(visits, 100u);
}

TEST(hash_table_marks_survive_splits_and_moves) {
  Fixture fixture;
  for (uint64_t key = 0; key < 20000; key++) {
    fixture.Add(key, 0);
    if (key % 3 == 0) fixture.table.Find(Mix(key), key).SetMark(true);
  }
  for (uint64_t key = 0; key < 20000; key += 2) fixture.Remove(key);
  for (uint64_t key = 1; key < 20000; key += 2) {
    EXPECT_EQ(fixture.table.Find(Mix(key), key).mark(), key % 3 == 0);
  }
}

TEST(hash_table_dismantles_in_slices) {
  SlabHeap heap;
  ItemTable table(&heap);
  for (uint64_t key = 0; key < 5000; key++) {
    Item* item = static_cast<Item*>(heap.Allocate(sizeof(Item)));
    *item = {key, 0};
    table.Insert(Mix(key), item);
  }
  size_t freed = 0;
  while (table.DismantleBucket([&](Item* item) {
    heap.Free(item, sizeof(Item));
    freed++;
  })) {
  }
  EXPECT_EQ(freed, 5000u);
  EXPECT_EQ(heap.used_bytes(), 0u);
}

}  // namespace
}  // namespace sherd::ds
