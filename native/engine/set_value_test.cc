// Sets against a naive twin over all encodings and tiny thresholds: contents, conversions, random
// picks (a chi-square test for each way to pick and each encoding), hostile payloads, memory.
#include "engine/set_value.h"

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/numbers.h"
#include "base/random.h"
#include "engine/value_ops.h"
#include "test/test.h"

namespace sherd::engine {
namespace {

using Model = std::set<std::string>;

SetLimits Limits(size_t intset_entries, size_t listpack_entries, size_t listpack_value) {
  Options options;
  options.set_max_intset_entries.Set(static_cast<int64_t>(intset_entries));
  options.set_max_listpack_entries.Set(static_cast<int64_t>(listpack_entries));
  options.set_max_listpack_value.Set(static_cast<int64_t>(listpack_value));
  return SetLimits(options);
}

bool IsInteger(const std::string& text) {
  int64_t value;
  return ParseInt64(text, &value);
}

/// The rules of conversions once more, from the member that is added and what was there before.
Encoding EncodingAfter(Encoding before, const Model& model, const std::string& added,
                       const SetLimits& limits) {
  if (model.count(added) != 0 || before == Encoding::kHashTable) return before;
  const size_t size = model.size();
  if (before == Encoding::kIntSet && IsInteger(added)) {
    return size + 1 > limits.intset_entries ? Encoding::kHashTable : before;
  }
  size_t longest = added.size();
  if (before == Encoding::kIntSet) {
    for (const std::string& member : model) longest = std::max(longest, member.size());
  }
  return size < limits.listpack_entries && longest <= limits.listpack_value ? Encoding::kListPack
                                                                            : Encoding::kHashTable;
}

std::string RandomMemberText(Random& random) {
  if (random.OneIn(8)) return "text" + std::to_string(random.Below(50));
  if (random.OneIn(30)) return std::string(random.Below(80), 'l');
  if (random.OneIn(30)) return "9223372036854775807";
  return std::to_string(random.Between(-100, 100));
}

struct Fixture {
  ~Fixture() {
    set.Free(heap);
    EXPECT_EQ(heap.used_bytes(), 0u);
  }
  Model All() const {
    Model all;
    set.ForEach([&](std::string_view member) {
      EXPECT_TRUE(all.emplace(member).second);
      return true;
    });
    return all;
  }
  SlabHeap heap;
  SetObject set = SetObject::CreateIntSet(heap);
};

void RunModel(Random& random, const SetLimits& limits, bool mostly_integers) {
  Fixture fixture;
  Model model;
  Encoding encoding = Encoding::kIntSet;
  for (int step = 0; step < 1500; step++) {
    const bool grows = (step / 300) % 2 == 0;
    const std::string text = mostly_integers && !random.OneIn(400)
                                 ? std::to_string(random.Between(-100, 100))
                                 : RandomMemberText(random);
    EXPECT_EQ(fixture.set.Contains(text), model.count(text) != 0);
    if (random.Below(4) < (grows ? 3u : 1u)) {
      encoding = EncodingAfter(encoding, model, text, limits);
      EXPECT_EQ(fixture.set.Add(fixture.heap, limits, text), model.insert(text).second);
    } else {
      EXPECT_EQ(fixture.set.Remove(fixture.heap, text), model.erase(text) != 0);
    }
    ASSERT_EQ(fixture.set.encoding(), encoding);
    ASSERT_EQ(fixture.set.size(), model.size());
    if (step % 50 == 0) {
      EXPECT_TRUE(fixture.All() == model);
      if (!model.empty()) fixture.set.Validate();
      EXPECT_EQ(fixture.set.memory(), fixture.heap.used_bytes());
    }
  }
  SetObject copy = fixture.set.Clone(fixture.heap);
  EXPECT_EQ(copy.encoding(), fixture.set.encoding());
  EXPECT_EQ(copy.size(), model.size());
  copy.ForEach([&](std::string_view member) {
    EXPECT_EQ(model.count(std::string(member)), 1u);
    return true;
  });
  copy.Free(fixture.heap);
}

TEST(set_value_behaves_like_a_set) {
  Random random(test::Seed());
  for (const bool mostly_integers : {false, true}) {
    RunModel(random, Limits(512, 128, 64), mostly_integers);
    RunModel(random, Limits(20, 10, 6), mostly_integers);
    RunModel(random, Limits(3, 40, 64), mostly_integers);
    RunModel(random, Limits(0, 0, 0), mostly_integers);
    RunModel(random, Limits(200, 200, 2), mostly_integers);
  }
}

TEST(set_value_first_encoding_follows_first_member_and_hint) {
  SlabHeap heap;
  const SetLimits limits = Limits(4, 2, 64);
  const auto encoding = [&](std::string_view first, size_t hint) {
    SetObject set = SetObject::CreateFor(heap, limits, first, hint);
    const Encoding made = set.encoding();
    set.Free(heap);
    return made;
  };
  EXPECT_EQ(encoding("1", 4), Encoding::kIntSet);
  EXPECT_EQ(encoding("1", 5), Encoding::kHashTable);
  EXPECT_EQ(encoding("a", 2), Encoding::kListPack);
  EXPECT_EQ(encoding("a", 3), Encoding::kHashTable);
  EXPECT_EQ(encoding("01", 1), Encoding::kListPack);
  EXPECT_EQ(encoding("9223372036854775808", 1), Encoding::kListPack);
  EXPECT_EQ(heap.used_bytes(), 0u);
}

TEST(set_value_announced_members_convert_at_once) {
  const SetLimits limits = Limits(4, 2, 64);
  Fixture fixture;
  fixture.set.Add(fixture.heap, limits, "1");
  fixture.set.ExpectMore(fixture.heap, limits, 4);
  EXPECT_EQ(fixture.set.encoding(), Encoding::kIntSet);
  fixture.set.ExpectMore(fixture.heap, limits, 5);
  EXPECT_EQ(fixture.set.encoding(), Encoding::kHashTable);
  EXPECT_TRUE(fixture.set.Contains("1"));
  fixture.set.CompactIntegers(fixture.heap, limits);
  EXPECT_EQ(fixture.set.encoding(), Encoding::kIntSet);
  fixture.set.Add(fixture.heap, limits, "x");
  EXPECT_EQ(fixture.set.encoding(), Encoding::kListPack);
  fixture.set.ExpectMore(fixture.heap, limits, 2);
  EXPECT_EQ(fixture.set.encoding(), Encoding::kListPack);
  fixture.set.ExpectMore(fixture.heap, limits, 3);
  EXPECT_EQ(fixture.set.encoding(), Encoding::kHashTable);
}

TEST(set_value_adds_many_at_once) {
  Random random(test::Seed());
  for (int round = 0; round < 30; round++) {
    Fixture fixture;
    Model model;
    const SetLimits limits = Limits(random.Below(100), random.Below(100), 64);
    for (int i = 0; i < 3; i++) {
      std::vector<std::string> texts(random.Below(300));
      for (std::string& text : texts) text = RandomMemberText(random);
      const std::vector<std::string_view> views(texts.begin(), texts.end());
      const size_t before = model.size();
      model.insert(texts.begin(), texts.end());
      EXPECT_EQ(fixture.set.AddAll(fixture.heap, limits, views), model.size() - before);
    }
    EXPECT_TRUE(fixture.All() == model);
  }
}

TEST(set_value_adds_distinct_members_by_the_same_rules) {
  Random random(test::Seed());
  for (int round = 0; round < 60; round++) {
    Fixture all;
    Fixture distinct;
    const SetLimits limits = Limits(random.Below(60), random.Below(60), random.OneIn(2) ? 64 : 3);
    Model model;
    for (int i = 0; i < 4; i++) {
      std::vector<std::string> texts(random.Below(40));
      for (std::string& text : texts) text = RandomMemberText(random);
      std::erase_if(texts, [&](const std::string& text) { return !model.insert(text).second; });
      const std::vector<std::string_view> views(texts.begin(), texts.end());
      EXPECT_EQ(all.set.AddAll(all.heap, limits, views), views.size());
      distinct.set.AddDistinct(distinct.heap, limits, views);
      EXPECT_EQ(distinct.set.encoding(), all.set.encoding());
      EXPECT_TRUE(distinct.All() == model);
      if (!model.empty()) distinct.set.Validate();
    }
  }
}

// ---- Fairness ----

constexpr size_t kClasses = 60;

/// A set of kClasses integers in each encoding.
SetObject Sample(SlabHeap& heap, Encoding encoding) {
  SetObject set = encoding == Encoding::kIntSet     ? SetObject::CreateIntSet(heap)
                  : encoding == Encoding::kListPack ? SetObject::CreateListpack(heap)
                                                    : SetObject::CreateTable(heap);
  for (size_t i = 0; i < kClasses; i++) set.Add(heap, Limits(512, 128, 64), std::to_string(i * 7));
  EXPECT_EQ(set.encoding(), encoding);
  return set;
}

/// Counts of members in many picks must be near each other: six standard deviations of the
/// statistic. Picks of several members at once are correlated, which makes the statistic smaller,
/// never larger.
struct Counts {
  void Add(std::string_view member) {
    counts[std::string(member)]++;
    total++;
  }
  void ExpectFair(const std::string& what) const {
    const double expected = static_cast<double>(total) / kClasses;
    double chi_square = 0;
    for (const auto& [member, count] : counts) {
      chi_square += (count - expected) * (count - expected) / expected;
    }
    EXPECT_EQ(counts.size(), kClasses);
    const double limit = (kClasses - 1) + 6 * std::sqrt(2.0 * (kClasses - 1));
    EXPECT_MSG(chi_square <= limit, what + ": chi-square " + std::to_string(chi_square));
  }
  std::map<std::string, int> counts;
  size_t total = 0;
};

TEST(set_value_random_picks_are_fair) {
  Random random(test::Seed());
  const SetLimits limits = Limits(512, 128, 64);
  for (const Encoding encoding : {Encoding::kIntSet, Encoding::kListPack, Encoding::kHashTable}) {
    const std::string name = EncodingName(encoding);
    SlabHeap heap;
    SetObject set = Sample(heap, encoding);
    Counts single;
    SetObject::Text text;
    for (size_t i = 0; i < kClasses * 300; i++) single.Add(set.RandomMember(random, text));
    single.ExpectFair(name + " RandomMember");
    for (const size_t count : {size_t{1}, size_t{2}, size_t{20}, kClasses - 1}) {
      Counts sampled;
      Counts popped;
      Counts stayed;
      for (size_t i = 0; i < kClasses * 100 / count + 2000; i++) {
        Model picked;
        set.SampleRandom(random, count, [&](std::string_view member) {
          sampled.Add(member);
          EXPECT_TRUE(picked.emplace(member).second);
        });
        EXPECT_EQ(picked.size(), count);
        if (i >= 2000) continue;
        SetObject copy = set.Clone(heap);
        if (i % 2 == 0) {
          copy.PopRandom(heap, random, count, [&](std::string_view member) { popped.Add(member); });
        } else {
          SetObject taken = copy.ExtractRandom(heap, limits, random, count);
          taken.ForEach([&](std::string_view member) {
            popped.Add(member);
            return true;
          });
          EXPECT_EQ(taken.size(), count);
          taken.Free(heap);
        }
        EXPECT_EQ(copy.size(), kClasses - count);
        copy.Validate();
        copy.ForEach([&](std::string_view member) {
          stayed.Add(member);
          return true;
        });
        copy.Free(heap);
      }
      sampled.ExpectFair(name + " SampleRandom " + std::to_string(count));
      popped.ExpectFair(name + " PopRandom " + std::to_string(count));
      if (count < kClasses / 2) stayed.ExpectFair(name + " stayed " + std::to_string(count));
    }
    set.Free(heap);
    EXPECT_EQ(heap.used_bytes(), 0u);
  }
}

TEST(set_value_extracted_part_chooses_its_encoding_again) {
  Random random(test::Seed());
  SlabHeap heap;
  SetObject set = Sample(heap, Encoding::kHashTable);
  SetObject taken = set.ExtractRandom(heap, Limits(512, 128, 64), random, 5);
  EXPECT_EQ(taken.encoding(), Encoding::kListPack);
  taken.Free(heap);
  taken = set.ExtractRandom(heap, Limits(512, 3, 64), random, 5);
  EXPECT_EQ(taken.encoding(), Encoding::kHashTable);
  taken.Free(heap);
  set.Free(heap);
  set = Sample(heap, Encoding::kIntSet);
  taken = set.ExtractRandom(heap, Limits(512, 3, 64), random, 5);
  EXPECT_EQ(taken.encoding(), Encoding::kIntSet);
  taken.Free(heap);
  set.Free(heap);
}

// ---- Bytes from outside ----

TEST(set_value_adopts_valid_payloads_only) {
  SlabHeap heap;
  const SetLimits limits = Limits(4, 3, 64);
  SetObject set(Encoding::kIntSet, 0);
  const auto try_listpack = [&](std::initializer_list<std::string_view> members) {
    ds::Listpack pack = ds::Listpack::Create(heap);
    for (const std::string_view member : members) pack.Append(heap, member);
    const bool is_taken = SetObject::AdoptListpack(heap, limits, pack.view(), &set);
    pack.Free(heap);
    return is_taken;
  };
  EXPECT_TRUE(try_listpack({"a", "5", "b"}));
  EXPECT_EQ(set.encoding(), Encoding::kListPack);
  EXPECT_TRUE(set.Contains("5"));
  set.Free(heap);
  EXPECT_TRUE(try_listpack({"a", "5", "b", "c"}));
  EXPECT_EQ(set.encoding(), Encoding::kHashTable);
  EXPECT_EQ(set.size(), 4u);
  set.Free(heap);
  EXPECT_FALSE(try_listpack({}));
  EXPECT_FALSE(try_listpack({"a", "b", "a"}));
  EXPECT_FALSE(try_listpack({"a", "b", "c", "d", "a"}));
  // An integer written as a text by another writer: equal to the integer, and stored as one.
  const std::string foreign(
      "\x0a\0\0\0\1\0\x81"
      "7\2\xff",
      10);
  ASSERT_TRUE(ds::Listpack::Validate(foreign));
  ASSERT_TRUE(SetObject::AdoptListpack(heap, limits, foreign, &set));
  EXPECT_TRUE(set.Contains("7"));
  set.Free(heap);
  const std::string twice(
      "\x0c\0\0\0\2\0\7\1\x81"
      "7\2\xff",
      12);
  ASSERT_TRUE(ds::Listpack::Validate(twice));
  EXPECT_FALSE(SetObject::AdoptListpack(heap, limits, twice, &set));
  EXPECT_FALSE(SetObject::AdoptListpack(heap, limits, "broken", &set));

  SetObject integers = SetObject::CreateIntSet(heap);
  for (const char* text : {"1", "2", "3", "4", "70000"}) {
    integers.Add(heap, Limits(100, 0, 0), text);
    ASSERT_TRUE(SetObject::AdoptIntSet(heap, limits, integers.intset().view(), &set));
    EXPECT_EQ(set.encoding(), integers.size() <= 4 ? Encoding::kIntSet : Encoding::kHashTable);
    EXPECT_EQ(set.size(), integers.size());
    set.Free(heap);
  }
  integers.Free(heap);
  EXPECT_FALSE(SetObject::AdoptIntSet(heap, limits, "", &set));
  EXPECT_EQ(heap.used_bytes(), 0u);
}

}  // namespace
}  // namespace sherd::engine
