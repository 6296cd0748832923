// Sorted sets as values against a naive twin, in both encodings and across the conversion; ranges by
// score and by text; clones, slices and the builder.
#include "engine/sorted_set_value.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "engine/value_ops.h"
#include "test/test.h"

namespace sherd::engine {
namespace {

using Pair = std::pair<double, std::string>;

// An entry without a table, and what should be in it.
class Fixture {
 public:
  explicit Fixture(SortedSetLimits limits_in) : limits(limits_in) {
    memory.resize(Entry::SizeFor(1, false, false, 0));
    entry = reinterpret_cast<Entry*>(memory.data());
    entry->Initialize("k", false, false, 0);
    Encoding encoding;
    const uint64_t payload = CreateSortedSet(heap, limits, 1, 1, &encoding);
    entry->SetType(Type::kSortedSet, encoding);
    entry->set_payload(payload);
  }
  ~Fixture() {
    uint64_t payload = entry->payload();
    while (!kSortedSetOps.free_slice(heap, entry->encoding(), &payload, 100)) {
    }
    EXPECT_EQ(heap.used_bytes(), 0u);
  }
  AddOutcome Add(double score, const std::string& member, uint32_t flags = 0) {
    double result = 0;
    return AddMember(heap, *entry, limits, score, member, flags, &result);
  }
  std::vector<Pair> Sorted() const {
    std::vector<Pair> pairs;
    for (const auto& [member, score] : model) pairs.push_back({score, member});
    std::sort(pairs.begin(), pairs.end());
    return pairs;
  }
  void Compare();

  SlabHeap heap;
  SortedSetLimits limits;
  std::vector<char> memory;
  Entry* entry;
  std::map<std::string, double> model;
};

void Fixture::Compare() {
  const std::vector<Pair> expected = Sorted();
  ASSERT_TRUE(SortedSetLength(*entry) == expected.size());
  size_t i = 0;
  ForEachScore(*entry, [&](std::string_view member, double score) {
    EXPECT_TRUE(member == expected[i].second && score == expected[i].first);
    i++;
    return true;
  });
  EXPECT_EQ(i, expected.size());
  VisitRange(*entry, {0, i}, true,
             [&](std::string_view member, double) { EXPECT_TRUE(member == expected[--i].second); });
  for (i = 0; i < expected.size(); i++) {
    size_t rank;
    double score;
    ASSERT_TRUE(FindRank(*entry, expected[i].second, &rank, &score));
    EXPECT_TRUE(rank == i && score == expected[i].first);
    EXPECT_TRUE(FindScore(*entry, expected[i].second, &score) && score == expected[i].first);
  }
  if (!expected.empty()) kSortedSetOps.validate(entry->encoding(), entry->payload());
  uint64_t cursor = 0;
  size_t scanned = 0;
  do {
    cursor = ScanSortedSet(*entry, cursor, [&](std::string_view member, double) {
      scanned += model.count(std::string(member));
    });
  } while (cursor != 0);
  EXPECT_EQ(scanned, expected.size());
}

double RandomScore(Random& random) {
  switch (random.Below(6)) {
    case 0: return static_cast<double>(random.Between(-100, 100)) / 8;
    case 1: return random.Unit() * 1e10;
    case 2: return random.OneIn(2) ? INFINITY : -INFINITY;
    default: return static_cast<double>(random.Between(-3, 12));
  }
}

void RandomStep(Fixture& f, Random& random) {
  const std::string member = random.OneIn(3) ? std::to_string(random.Between(-20, 60))
                                             : "m" + std::to_string(random.Below(60));
  const auto known = f.model.find(member);
  const uint64_t dice = random.Below(10);
  if (dice < 6) {
    const double score = RandomScore(random);
    const AddOutcome outcome = f.Add(score, member);
    EXPECT_TRUE(outcome == (known == f.model.end()   ? AddOutcome::kAdded
                            : known->second == score ? AddOutcome::kUnchanged
                                                     : AddOutcome::kUpdated));
    f.model[member] = score;
  } else if (dice < 9) {
    EXPECT_EQ(RemoveMember(f.heap, *f.entry, member), known != f.model.end());
    f.model.erase(member);
  } else if (!f.model.empty()) {
    const std::vector<Pair> sorted = f.Sorted();
    const size_t start = random.Below(sorted.size());
    const size_t count = random.Below(std::min<size_t>(sorted.size() - start, 5) + 1);
    RemoveRange(f.heap, *f.entry, {start, count});
    for (size_t i = start; i < start + count; i++) f.model.erase(sorted[i].second);
  }
}

void CompareScoreRange(const Fixture& f, Random& random) {
  ScoreRange range{RandomScore(random), RandomScore(random), random.OneIn(2), random.OneIn(2)};
  const std::vector<Pair> sorted = f.Sorted();
  size_t count = 0;
  size_t start = 0;
  for (const Pair& pair : sorted) {
    const bool above = range.excludes_min ? pair.first > range.min : pair.first >= range.min;
    const bool below = range.excludes_max ? pair.first < range.max : pair.first <= range.max;
    count += above && below ? 1 : 0;
    start += above ? 0 : 1;
  }
  const RankRange found = RangeByScore(*f.entry, range);
  EXPECT_EQ(found.count, count);
  if (count > 0) EXPECT_EQ(found.start, start);
}

void RunModel(uint64_t seed, size_t max_entries) {
  Random random(seed);
  Fixture f({max_entries, 64});
  for (int step = 0; step < 3000; step++) {
    RandomStep(f, random);
    CompareScoreRange(f, random);
    if (step % 20 == 0) f.Compare();
  }
  f.Compare();
}

TextBound Bound(std::string_view text) {
  if (text == "-") return {TextBound::kLowest, true, {}};
  if (text == "+") return {TextBound::kHighest, true, {}};
  return {TextBound::kText, text[0] == '(', text.substr(1)};
}

}  // namespace

TEST(sorted_set_listpack_behaves_like_a_map) { RunModel(test::Seed(), 1000); }
TEST(sorted_set_skiplist_behaves_like_a_map) { RunModel(test::Seed() + 1, 0); }
TEST(sorted_set_converts_on_the_way) { RunModel(test::Seed() + 2, 30); }

TEST(sorted_set_converts_by_number_and_length) {
  Fixture f({2, 5});
  f.Add(1, "a");
  f.Add(2, "12345");
  EXPECT_TRUE(f.entry->encoding() == Encoding::kListPack);
  f.Add(3, "12345");
  EXPECT_TRUE(f.entry->encoding() == Encoding::kListPack);
  f.Add(3, "c");
  EXPECT_TRUE(f.entry->encoding() == Encoding::kSkipList);
  Fixture g({100, 5});
  g.Add(1, "123456");
  EXPECT_TRUE(g.entry->encoding() == Encoding::kSkipList);
}

TEST(sorted_set_listpack_has_the_bytes_of_redis) {
  Fixture f({100, 64});
  f.Add(1.5, "b");
  f.Add(-0.0, "a");
  f.Add(300, "7");
  // "a" 0 "b" "1.5" 7 300
  const std::string expected = std::string("\x19\0\0\0\6\0", 6) +
                               "\x81"
                               "a\2" +
                               std::string("\0\1", 2) +
                               "\x81"
                               "b\2"
                               "\x83"
                               "1.5\4"
                               "\7\1"
                               "\xc1\x2c\2"
                               "\xff";
  EXPECT_EQ(f.entry->listpack().view(), std::string_view(expected));
}

TEST(sorted_set_ranges_by_text) {
  for (const size_t max_entries : {size_t{100}, size_t{0}}) {
    Fixture f({max_entries, 64});
    for (const char* member : {"a", "b", "bb", "c", "10", ""}) f.Add(0, member);
    const auto count = [&](std::string_view min, std::string_view max, size_t start) {
      for (const bool reverse : {false, true}) {
        const RankRange range = RangeByText(*f.entry, {Bound(min), Bound(max)}, reverse);
        if (range.count > 0) EXPECT_EQ(range.start, start);
        if (reverse) return range.count;
      }
      return size_t{0};
    };
    EXPECT_EQ(count("-", "+", 0), 6u);
    EXPECT_EQ(count("[b", "+", 3), 3u);
    EXPECT_EQ(count("(b", "[c", 4), 2u);
    EXPECT_EQ(count("(b", "(bb", 4), 0u);
    EXPECT_EQ(count("[", "[1", 0), 1u);
    EXPECT_EQ(count("(", "[a", 1), 2u);
    EXPECT_EQ(count("+", "-", 0), 0u);
    EXPECT_EQ(count("[c", "[a", 0), 0u);
    EXPECT_EQ(count("-", "-", 0), 0u);
  }
}

TEST(sorted_set_conditions_of_adding) {
  for (const size_t max_entries : {size_t{100}, size_t{0}}) {
    Fixture f({max_entries, 64});
    EXPECT_TRUE(f.Add(5, "a", kAddIfExists) == AddOutcome::kSkipped);
    EXPECT_TRUE(f.Add(5, "a", kAddIfGreater) == AddOutcome::kAdded);
    EXPECT_TRUE(f.Add(6, "a", kAddIfMissing) == AddOutcome::kSkipped);
    EXPECT_TRUE(f.Add(5, "a", kAddIfGreater) == AddOutcome::kSkipped);
    EXPECT_TRUE(f.Add(6, "a", kAddIfLess) == AddOutcome::kSkipped);
    EXPECT_TRUE(f.Add(7, "a", kAddIfGreater | kAddIfExists) == AddOutcome::kUpdated);
    EXPECT_TRUE(f.Add(INFINITY, "a", kAddIncrement) == AddOutcome::kUpdated);
    EXPECT_TRUE(f.Add(-INFINITY, "a", kAddIncrement) == AddOutcome::kNotANumber);
    double score = 0;
    EXPECT_TRUE(FindScore(*f.entry, "a", &score) && score == INFINITY);
  }
}

TEST(sorted_set_builder_makes_the_form_that_fits) {
  Random random(test::Seed());
  for (const size_t members : {size_t{1}, size_t{5}, size_t{6}, size_t{1000}}) {
    Fixture f({5, 64});
    SortedSetBuilder builder(f.heap);
    for (size_t i = 0; i < members; i++) {
      const double score = static_cast<double>(random.Below(50));
      EXPECT_TRUE(builder.Add("m" + std::to_string(i), score));
      EXPECT_TRUE(!builder.Add("m" + std::to_string(i), 7));
      f.model["m" + std::to_string(i)] = score;
    }
    Encoding encoding;
    const uint64_t payload = builder.Finish(f.limits, &encoding);
    EXPECT_TRUE(encoding == (members <= 5 ? Encoding::kListPack : Encoding::kSkipList));
    f.entry->listpack().Free(f.heap);
    f.entry->SetType(Type::kSortedSet, encoding);
    f.entry->set_payload(payload);
    f.Compare();
  }
  SlabHeap heap;
  { SortedSetBuilder(heap).Add("dropped", 1); }
  EXPECT_EQ(heap.used_bytes(), 0u);
}

TEST(sorted_set_clone_is_another_value) {
  for (const size_t max_entries : {size_t{1000}, size_t{0}}) {
    Fixture f({max_entries, 64});
    for (int i = 0; i < 300; i++) f.Add(i % 7, std::to_string(i));
    SlabHeap other;
    uint64_t copy = kSortedSetOps.clone(other, f.entry->encoding(), f.entry->payload());
    kSortedSetOps.validate(f.entry->encoding(), copy);
    EXPECT_EQ(kSortedSetOps.length(f.entry->encoding(), copy), 300u);
    EXPECT_EQ(kSortedSetOps.memory(f.entry->encoding(), copy, 0), other.used_bytes());
    while (!kSortedSetOps.free_slice(other, f.entry->encoding(), &copy, 10)) {
    }
    EXPECT_EQ(other.used_bytes(), 0u);
    EXPECT_EQ(SortedSetLength(*f.entry), 300u);
  }
}

TEST(sorted_set_packs_from_outside_are_checked) {
  SlabHeap heap;
  const auto check = [&](std::initializer_list<std::string_view> elements) {
    ds::Listpack pack = ds::Listpack::Create(heap);
    for (const std::string_view element : elements) pack.Append(heap, element);
    const bool is_fine = IsSortedSetPack(pack);
    pack.Free(heap);
    return is_fine;
  };
  EXPECT_TRUE(check({}));
  EXPECT_TRUE(check({"a", "1", "b", "1", "c", "2.5", "d", "inf"}));
  EXPECT_TRUE(!check({"a", "1", "b"}));
  EXPECT_TRUE(!check({"a", "2", "b", "1"}));
  EXPECT_TRUE(!check({"b", "1", "a", "1"}));
  EXPECT_TRUE(!check({"a", "1", "a", "2"}));
  EXPECT_TRUE(!check({"a", "x"}));
  EXPECT_TRUE(!check({"a", "nan"}));
}

}  // namespace sherd::engine
