// MemberTable against std::set: growth and shrinkage, long members, batches, filters, freeing in
// slices, memory; and that a random member is a fair choice.
#include "ds/member_table.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/siphash.h"
#include "test/test.h"

namespace sherd::ds {
namespace {

uint64_t HashOf(std::string_view text) { return SipHash(text, {1, 2}); }
using Members = MemberTable<HashOf>;

struct Fixture {
  ~Fixture() {
    while (!table.FreeSlice(heap, 1000)) {
    }
    EXPECT_EQ(heap.used_bytes(), 0u);
  }
  SlabHeap heap;
  Members table{&heap};
};

/// Lengths around the border of the two header forms, and the empty text.
std::string RandomText(Random& random, uint64_t space) {
  std::string text = std::to_string(random.Below(space));
  static constexpr size_t kLengths[] = {254, 255, 256, 3000};
  if (random.OneIn(20)) text.resize(kLengths[random.Below(4)], 'x');
  if (random.OneIn(space)) text.clear();
  return text;
}

std::multiset<std::string> All(const Members& table) {
  std::multiset<std::string> all;
  table.ForEachBatch([&](std::span<std::string_view> batch) {
    for (const std::string_view member : batch) all.emplace(member);
    return true;
  });
  return all;
}

void ExpectSame(const Members& table, const std::set<std::string>& model) {
  table.Validate();
  EXPECT_EQ(table.size(), model.size());
  EXPECT_TRUE(All(table) == std::multiset<std::string>(model.begin(), model.end()));
}

TEST(member_table_behaves_like_a_set) {
  Random random(test::Seed());
  for (const uint64_t space : {3, 60, 3000}) {
    Fixture fixture;
    std::set<std::string> model;
    constexpr int kSteps = 12000;
    for (int step = 0; step < kSteps; step++) {
      const bool grows = (step / (kSteps / 4)) % 2 == 0;
      const std::string text = RandomText(random, space);
      EXPECT_EQ(fixture.table.Contains(text), model.count(text) != 0);
      if (random.Below(4) < (grows ? 3u : 1u)) {
        EXPECT_EQ(fixture.table.Add(fixture.heap, text), model.insert(text).second);
      } else {
        EXPECT_EQ(fixture.table.Remove(fixture.heap, text), model.erase(text) != 0);
      }
      if (step % 1000 == 0) ExpectSame(fixture.table, model);
    }
    ExpectSame(fixture.table, model);
    EXPECT_EQ(fixture.heap.used_bytes(), fixture.table.memory());
  }
}

TEST(member_table_filters_and_adds_batches) {
  Random random(test::Seed());
  Fixture fixture;
  std::set<std::string> model;
  for (int round = 0; round < 200; round++) {
    std::vector<std::string> texts(random.Below(Members::kBatchMax + 1));
    for (std::string& text : texts) text = RandomText(random, 2000);
    for (const bool keep_members : {true, false}) {
      std::vector<std::string_view> views(texts.begin(), texts.end());
      std::vector<uint64_t> hashes;
      for (const std::string_view view : views) hashes.push_back(HashOf(view));
      std::vector<std::string> expected;
      for (const std::string& text : texts) {
        if ((model.count(text) != 0) == keep_members) expected.push_back(text);
      }
      const size_t kept =
          fixture.table.Filter(views.data(), hashes.data(), views.size(), keep_members);
      ASSERT_EQ(kept, expected.size());
      for (size_t i = 0; i < kept; i++) {
        EXPECT_EQ(views[i], expected[i]);
        EXPECT_EQ(hashes[i], HashOf(expected[i]));
      }
    }
    std::vector<std::string_view> views(texts.begin(), texts.end());
    std::vector<uint64_t> hashes;
    for (const std::string_view view : views) hashes.push_back(HashOf(view));
    const size_t size_before = model.size();
    model.insert(texts.begin(), texts.end());
    EXPECT_EQ(fixture.table.AddBatch(fixture.heap, views.data(), hashes.data(), views.size()),
              model.size() - size_before);
  }
  ExpectSame(fixture.table, model);
}

TEST(member_table_walk_stops_when_told) {
  Fixture fixture;
  for (int i = 0; i < 1000; i++) fixture.table.Add(fixture.heap, std::to_string(i));
  size_t batches = 0;
  EXPECT_FALSE(fixture.table.ForEachBatch([&](std::span<std::string_view> batch) {
    EXPECT_LE(batch.size(), Members::kBatchMax);
    return ++batches < 3;
  }));
  EXPECT_EQ(batches, 3u);
}

TEST(member_table_scan_meets_all) {
  Fixture fixture;
  for (int i = 0; i < 500; i++) fixture.table.Add(fixture.heap, std::to_string(i));
  std::set<std::string> seen;
  uint64_t cursor = 0;
  do {
    cursor = fixture.table.Scan(cursor, [&](std::string_view member) { seen.emplace(member); });
  } while (cursor != 0);
  EXPECT_EQ(seen.size(), 500u);
}

TEST(member_table_is_freed_in_slices) {
  Fixture fixture;
  for (int i = 0; i < 5000; i++) fixture.table.Add(fixture.heap, std::to_string(i));
  size_t slices = 1;
  size_t before = fixture.table.size();
  while (!fixture.table.FreeSlice(fixture.heap, 100)) {
    const size_t freed = before - fixture.table.size();
    EXPECT_GE(freed, 100u);
    EXPECT_LE(freed, 200u);  // at most one bucket too much
    before = fixture.table.size();
    slices++;
  }
  EXPECT_GE(slices, 40u);
  EXPECT_EQ(fixture.heap.used_bytes(), 0u);
}

#if !SHERD_PLAIN_HEAP
// Redis 7.0.15 needs 16 + 32 bytes and 8.4 of the array for a 10-byte member.
TEST(member_table_needs_at_most_seven_tenths_of_redis) {
  Fixture fixture;
  constexpr size_t kMembers = 200000;
  for (size_t i = 0; i < kMembers; i++) {
    fixture.table.Add(fixture.heap, std::to_string(1000000000 + i));
  }
  EXPECT_LE(fixture.heap.used_bytes(), kMembers * 56 * 7 / 10);
}
#endif

/// The chi-square statistic of draws over n equally likely classes must be near n - 1: its standard
/// deviation is sqrt(2(n - 1)), and six of them hardly ever happen.
TEST(member_table_random_is_fair) {
  Random random(test::Seed());
  // Sizes with all buckets split alike, and in the middle of a round of splits.
  for (const int size : {1, 3, 40, 700, 1500, 2200, 2900, 4200, 5200}) {
    Fixture fixture;
    std::map<std::string, int> counts;
    for (int i = 0; i < size; i++) {
      fixture.table.Add(fixture.heap, std::to_string(i));
      counts[std::to_string(i)] = 0;
    }
    const int draws = size * 100;
    for (int i = 0; i < draws; i++) {
      const auto position = fixture.table.RandomPosition([&] { return random.Next(); });
      counts[std::string(position.entry()->view())]++;
    }
    double chi_square = 0;
    for (const auto& [member, count] : counts)
      chi_square += (count - 100.0) * (count - 100.0) / 100.0;
    const double freedom = size - 1;
    EXPECT_EQ(counts.size(), static_cast<size_t>(size));
    EXPECT_LE(chi_square, freedom + 6 * __builtin_sqrt(2 * freedom) + 1e-9);
  }
}

}  // namespace
}  // namespace sherd::ds
