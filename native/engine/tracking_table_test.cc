// TrackingTable against a map of sets: names of all lengths, few and many trackers, random keys, flushes
// freed in slices, figures, memory.
#include "engine/tracking_table.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/keyspace.h"
#include "test/test.h"

namespace sherd::engine {
namespace {

std::set<Tracker> TrackersOf(const TrackedKey& key) {
  std::set<Tracker> trackers;
  for (const Trackers word : key.trackers()) {
    ForEachClient(word, [&](uint64_t client_id) { trackers.insert(MakeTracker(WorkerOf(word), client_id)); });
  }
  EXPECT_EQ(CountTrackers(key.trackers()), trackers.size());
  return trackers;
}

struct Fixture {
  Fixture() : table(new TrackingTable(&heap, &interests, &counters)) {}
  ~Fixture() {
    table.reset();
    EXPECT_EQ(heap.used_bytes(), 0u);
  }
  bool Remember(const std::string& name, Tracker tracker) {
    return table->Remember(HashKey(name), name, tracker);
  }
  std::set<Tracker> Take(const std::string& name) {
    TrackedKey* key = table->Take(HashKey(name), name);
    if (key == nullptr) return {};
    EXPECT_EQ(key->name(), name);
    const std::set<Tracker> trackers = TrackersOf(*key);
    table->Release(key);
    return trackers;
  }

  SlabHeap heap;
  uint32_t interests = 0;
  ShardCounters counters{};
  std::unique_ptr<TrackingTable> table;
};

using Model = std::map<std::string, std::set<Tracker>>;

std::string RandomName(Random& random, uint64_t space) {
  std::string name = std::to_string(random.Below(space));
  // All alignments of the trackers behind the name.
  name.resize(name.size() + static_cast<size_t>(name[0] % 9), 'x');
  if (name[0] == '7') name.resize(3000, 'y');
  if (name[0] == '8' && name.size() < 4) name.clear();
  return name;
}

void ExpectSame(Fixture& fixture, const Model& model) {
  fixture.table->Validate();
  size_t items = 0;
  for (const auto& [name, trackers] : model) {
    items += trackers.size();
    for (const Tracker tracker : trackers) EXPECT_TRUE(fixture.table->Has(HashKey(name), name, tracker));
  }
  EXPECT_EQ(fixture.table->size(), model.size());
  EXPECT_EQ(fixture.table->items(), items);
  EXPECT_EQ(fixture.interests, model.empty() ? 0u : 1u);
}

void Step(Fixture& fixture, Model& model, Random& random, uint64_t space, uint64_t clients) {
  const std::string name = RandomName(random, space);
  const uint64_t action = random.Below(100);
  if (action < 80) {
    const Tracker tracker = MakeTracker(static_cast<uint16_t>(random.Below(3)), 1 + random.Below(clients));
    const bool is_new = model.count(name) == 0;
    EXPECT_EQ(fixture.Remember(name, tracker), is_new);
    model[name].insert(tracker);
  } else if (action < 97) {
    const auto found = model.find(name);
    EXPECT_TRUE(fixture.Take(name) == (found == model.end() ? std::set<Tracker>() : found->second));
    if (found != model.end()) model.erase(found);
  } else if (!model.empty()) {
    TrackedKey* key = fixture.table->TakeRandom([&] { return random.Next(); });
    const auto found = model.find(std::string(key->name()));
    ASSERT_TRUE(found != model.end());
    EXPECT_TRUE(found->second == TrackersOf(*key));
    model.erase(found);
    fixture.table->Release(key);
  }
}

TEST(tracking_table_behaves_like_a_map_of_sets) {
  Random random(test::Seed());
  for (const uint64_t space : {4, 300, 5000}) {
    for (const uint64_t clients : {1, 5, 200}) {
      Fixture fixture;
      Model model;
      for (int i = 0; i < 6000; i++) {
        Step(fixture, model, random, space, clients);
        if (i % 1000 == 0) ExpectSame(fixture, model);
      }
      ExpectSame(fixture, model);
    }
  }
}

TEST(tracking_table_trackers_of_one_worker_stand_together) {
  Random random(test::Seed());
  Fixture fixture;
  for (int i = 0; i < 500; i++) {
    fixture.Remember("k", MakeTracker(static_cast<uint16_t>(random.Below(8)), 1 + random.Below(1000)));
  }
  TrackedKey* key = fixture.table->Take(HashKey("k"), "k");
  for (size_t i = 1; i < key->trackers().size(); i++) {
    EXPECT_TRUE(WorkerOf(key->trackers()[i - 1]) <= WorkerOf(key->trackers()[i]));
  }
  fixture.table->Release(key);
}

TEST(tracking_table_words_keep_workers_and_clients) {
  constexpr uint64_t kClientMax = (uint64_t{1} << 40) - 1;
  for (const uint16_t worker : {0, 1, 7, 4095}) {
    for (const uint64_t id : {uint64_t{0}, uint64_t{1}, uint64_t{15}, uint64_t{16}, uint64_t{123456789}, kClientMax}) {
      const Tracker tracker = MakeTracker(worker, id);
      EXPECT_EQ(WorkerOf(tracker), worker);
      size_t visits = 0;
      ForEachClient(tracker, [&](uint64_t client_id) {
        EXPECT_EQ(client_id, id);
        visits++;
      });
      EXPECT_EQ(visits, 1u);
    }
  }
}

TEST(tracking_table_neighbours_share_a_word) {
  Fixture fixture;
  fixture.Remember("k", MakeTracker(1, 16));
  const size_t used = fixture.heap.used_bytes();
  for (uint64_t client = 31; client > 16; client--) EXPECT_TRUE(!fixture.Remember("k", MakeTracker(1, client)));
  EXPECT_EQ(fixture.heap.used_bytes(), used);
  EXPECT_EQ(fixture.table->items(), 16u);
  EXPECT_TRUE(!fixture.table->Has(HashKey("k"), "k", MakeTracker(1, 32)));
  EXPECT_TRUE(!fixture.table->Has(HashKey("k"), "k", MakeTracker(2, 20)));
}

// What RecentReads answers must go with the key, whatever it was asked before.
TEST(tracking_table_a_key_that_was_taken_is_entered_anew) {
  Random random(test::Seed());
  Fixture fixture;
  for (int keys = 0; keys < 3000; keys += 50) {
    for (int i = 0; i < 20'000 / (keys + 1); i++) {
      const std::string name = std::string(random.Below(30), 'n') + std::to_string(random.Below(keys + 1));
      const Tracker tracker = MakeTracker(static_cast<uint16_t>(random.Below(2)), 1 + random.Below(40));
      fixture.Remember(name, tracker);
      EXPECT_TRUE(!fixture.Remember(name, tracker));
      if (random.OneIn(3)) {
        EXPECT_TRUE(fixture.Take(name).contains(tracker));
        EXPECT_TRUE(fixture.Remember(name, tracker));
      }
    }
    fixture.table->Validate();
    if (random.OneIn(8)) {
      fixture.table->Retire();
      EXPECT_TRUE(fixture.Remember("after", 1));
    }
  }
}

TEST(tracking_table_a_key_read_again_allocates_nothing) {
  Fixture fixture;
  for (uint64_t client = 1; client <= 40; client++) fixture.Remember("some key", MakeTracker(1, client));
  const size_t used = fixture.heap.used_bytes();
  for (uint64_t client = 1; client <= 40; client++) {
    EXPECT_TRUE(!fixture.Remember("some key", MakeTracker(1, client)));
  }
  EXPECT_EQ(fixture.heap.used_bytes(), used);
}

TEST(tracking_table_retires_and_frees_in_slices) {
  Random random(test::Seed());
  Fixture fixture;
  for (int round = 0; round < 3; round++) {
    const int keys = round == 0 ? 20 : 3000;  // few are freed at once
    for (int i = 0; i < keys; i++) {
      for (uint64_t n = 0; n <= random.Below(4); n++) fixture.Remember("k" + std::to_string(i), MakeTracker(0, n + 1));
    }
    const size_t left = fixture.table->Retire();
    EXPECT_EQ(left, round == 0 ? 0u : 3000u);
    EXPECT_TRUE(fixture.table->empty());
    ExpectSame(fixture, {});
    // It is used while the old one is freed.
    fixture.Remember("new", MakeTracker(0, 9));
    size_t freed = 0;
    while (fixture.table->has_retired()) {
      const size_t slice = fixture.table->FreeRetired(100);
      EXPECT_TRUE(slice <= 200);
      freed += slice;
    }
    EXPECT_EQ(freed, left);
    EXPECT_EQ(fixture.Take("new").size(), 1u);
    EXPECT_EQ(fixture.heap.used_bytes(), 0u);
  }
  fixture.Remember("left to the destructor", MakeTracker(0, 1));
  for (int i = 0; i < 100; i++) fixture.Remember(std::to_string(i), MakeTracker(0, 1));
  EXPECT_EQ(fixture.table->Retire(), 101u);
}

TEST(tracking_table_publishes_its_keys_in_steps) {
  Fixture fixture;
  std::atomic<int64_t> total{100};
  for (int i = 0; i < 10; i++) fixture.Remember(std::to_string(i), 1);
  fixture.table->Publish(&total, 11);
  EXPECT_EQ(total.load(), 100);
  fixture.table->Publish(&total, 10);
  EXPECT_EQ(total.load(), 110);
  fixture.table->Retire();
  fixture.table->Publish(&total, 11);
  EXPECT_EQ(total.load(), 110);
  fixture.table->Publish(&total, 1);
  EXPECT_EQ(total.load(), 100);
}

}  // namespace
}  // namespace sherd::engine
