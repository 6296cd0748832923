// IntSet against std::set, at all widths and their borders; Redis's bytes; hostile bytes.
#include "ds/intset.h"

#include <cstdint>
#include <limits>
#include <set>
#include <string>

#include "base/random.h"
#include "test/test.h"

namespace sherd::ds {
namespace {

constexpr int64_t kMin64 = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax64 = std::numeric_limits<int64_t>::max();

struct Fixture {
  ~Fixture() {
    set.Free(heap);
    EXPECT_EQ(heap.used_bytes(), 0u);
  }
  SlabHeap heap;
  IntSet set = IntSet::Create(heap);
};

/// An integer that is near a border of a width as often as not.
int64_t RandomInteger(Random& random, int width_max) {
  static constexpr int64_t kEdges[] = {0,         INT16_MIN, INT16_MAX, INT32_MIN,
                                       INT32_MAX, kMin64,    kMax64,    1'000'000};
  if (width_max == 2) return random.Between(-300, 300);
  if (width_max == 4) return random.Between(-40000, 40000);
  const int64_t edge = kEdges[random.Below(8)];
  const int64_t step = random.Between(0, 40);
  return edge > 0 ? edge - step : edge + step;
}

void ExpectSame(const IntSet& set, const std::set<int64_t>& model) {
  ASSERT_EQ(set.count(), model.size());
  size_t index = 0;
  for (const int64_t value : model) EXPECT_EQ(set.Get(index++), value);
  if (!model.empty()) {
    EXPECT_EQ(set.Min(), *model.begin());
    EXPECT_EQ(set.Max(), *model.rbegin());
    EXPECT_TRUE(IntSet::Validate(set.view()));
  }
}

void RunModel(uint64_t seed, int width_max) {
  Random random(seed);
  Fixture fixture;
  std::set<int64_t> model;
  constexpr int kSteps = 4000;
  for (int step = 0; step < kSteps; step++) {
    const bool grows = (step / (kSteps / 4)) % 2 == 0;
    const int64_t value = RandomInteger(random, width_max);
    EXPECT_EQ(fixture.set.Contains(value), model.count(value) != 0);
    if (random.Below(4) < (grows ? 3u : 1u)) {
      EXPECT_EQ(fixture.set.Add(fixture.heap, value), model.insert(value).second);
    } else {
      EXPECT_EQ(fixture.set.Remove(fixture.heap, value), model.erase(value) != 0);
    }
    EXPECT_EQ(fixture.heap.used_bytes(), SlabHeap::GoodSize(fixture.set.bytes()));
    if (step % 100 == 0) ExpectSame(fixture.set, model);
  }
  while (!model.empty()) {
    auto at = model.begin();
    const size_t index = random.Below(model.size());
    std::advance(at, index);
    fixture.set.RemoveAt(fixture.heap, index);
    model.erase(at);
    if (model.size() % 50 == 0) ExpectSame(fixture.set, model);
  }
}

TEST(intset_behaves_like_a_sorted_set) {
  for (const int width : {2, 4, 8}) RunModel(test::Seed() + static_cast<uint64_t>(width), width);
}

TEST(intset_has_redis_bytes) {
  Fixture fixture;
  for (const int64_t value : {5, -1, 300}) fixture.set.Add(fixture.heap, value);
  EXPECT_EQ(fixture.set.view(), std::string_view("\2\0\0\0\3\0\0\0\xff\xff\5\0\x2c\1", 14));
  fixture.set.Add(fixture.heap, 32768);
  EXPECT_EQ(fixture.set.view(),
            std::string_view("\4\0\0\0\4\0\0\0\xff\xff\xff\xff\5\0\0\0\x2c\1\0\0\0\x80\0\0", 24));
  // The width stays when the integer that needed it has gone.
  fixture.set.Remove(fixture.heap, 32768);
  EXPECT_EQ(fixture.set.width(), 4u);
  fixture.set.Add(fixture.heap, kMin64);
  EXPECT_EQ(fixture.set.width(), 8u);
  EXPECT_EQ(fixture.set.Min(), kMin64);
  EXPECT_EQ(fixture.set.Max(), 300);
}

TEST(intset_seek_is_a_lower_bound_from_anywhere) {
  Random random(test::Seed());
  Fixture fixture;
  for (int i = 0; i < 300; i++) fixture.set.Add(fixture.heap, random.Between(-1000, 1000));
  for (int i = 0; i < 2000; i++) {
    const int64_t value = random.Between(-1100, 1100);
    const size_t bound = fixture.set.LowerBound(value);
    EXPECT_EQ(fixture.set.Seek(random.Below(bound + 1), value), bound);
  }
}

TEST(intset_removes_many_in_one_pass) {
  Random random(test::Seed());
  for (const int width : {2, 4, 8}) {
    Fixture fixture;
    std::set<int64_t> model;
    for (int i = 0; i < 500; i++) {
      const int64_t value = RandomInteger(random, width);
      fixture.set.Add(fixture.heap, value);
      model.insert(value);
    }
    std::set<int64_t> left;
    int64_t previous = kMin64;
    fixture.set.RemoveIf(fixture.heap, [&](int64_t value) {
      EXPECT_GE(value, previous);
      previous = value;
      const bool goes = random.OneIn(3);
      if (!goes) left.insert(value);
      return goes;
    });
    ExpectSame(fixture.set, left);
    EXPECT_EQ(fixture.heap.used_bytes(), SlabHeap::GoodSize(fixture.set.bytes()));
  }
}

TEST(intset_clone_is_equal_and_apart) {
  Fixture fixture;
  for (int64_t value = 0; value < 100; value++) fixture.set.Add(fixture.heap, value * 1000);
  IntSet copy = fixture.set.Clone(fixture.heap);
  EXPECT_EQ(copy.view(), fixture.set.view());
  copy.Add(fixture.heap, 1);
  EXPECT_FALSE(fixture.set.Contains(1));
  copy.Free(fixture.heap);
}

std::string Packed(uint32_t width, uint32_t count, std::initializer_list<int64_t> values) {
  std::string bytes(8, '\0');
  StoreLittle32(bytes.data(), width);
  StoreLittle32(bytes.data() + 4, count);
  for (const int64_t value : values) {
    char buffer[8];
    StoreLittle64(buffer, static_cast<uint64_t>(value));
    bytes.append(buffer, width <= 8 ? width : 8);
  }
  return bytes;
}

TEST(intset_validate_refuses_hostile_bytes) {
  EXPECT_TRUE(IntSet::Validate(Packed(2, 2, {1, 2})));
  EXPECT_TRUE(IntSet::Validate(Packed(8, 3, {-5, 0, 9})));  // wider than needed: Redis takes it
  EXPECT_FALSE(IntSet::Validate(""));
  EXPECT_FALSE(IntSet::Validate(Packed(2, 0, {})));
  EXPECT_FALSE(IntSet::Validate(Packed(2, 1, {1}).substr(0, 7)));
  EXPECT_FALSE(IntSet::Validate(Packed(2, 2, {2, 1})));
  EXPECT_FALSE(IntSet::Validate(Packed(2, 2, {1, 1})));
  EXPECT_FALSE(IntSet::Validate(Packed(4, 2, {1, -1})));
  EXPECT_FALSE(IntSet::Validate(Packed(2, 3, {1, 2})));
  EXPECT_FALSE(IntSet::Validate(Packed(2, 1, {1, 2})));
  EXPECT_FALSE(IntSet::Validate(Packed(3, 1, {1})));
  EXPECT_FALSE(IntSet::Validate(Packed(0, 1, {})));
  EXPECT_FALSE(IntSet::Validate(Packed(8, 0x20000001, {1})));  // the product of 32 bits would be 8
  EXPECT_FALSE(IntSet::Validate(Packed(8, 0xffffffff, {1})));
  Random random(test::Seed());
  for (int i = 0; i < 20000; i++) {
    std::string bytes = Packed(2, 4, {1, 5, 9, 12});
    bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
    if (random.OneIn(3)) bytes.resize(random.Below(bytes.size() + 1));
    if (!IntSet::Validate(bytes)) continue;
    SlabHeap heap;
    IntSet set = IntSet::CreateFrom(heap, bytes);
    for (size_t index = 0; index < set.count(); index++) EXPECT_TRUE(set.Contains(set.Get(index)));
    set.Free(heap);
  }
}

}  // namespace
}  // namespace sherd::ds
