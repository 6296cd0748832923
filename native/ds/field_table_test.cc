// FieldTable against std::map: values of every length class, times to live that come, change and go.
#include "ds/field_table.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/siphash.h"
#include "test/test.h"

namespace sherd::ds {
namespace {

struct TestHasher {
  static uint64_t Hash(std::string_view name) { return SipHash(name, SipKey{1, 2}); }
};
using Fields = FieldTable<TestHasher>;

struct Expected {
  std::string value;
  int64_t expiry_ms = Fields::kNoExpiry;
};
using Model = std::map<std::string, Expected>;

// Lengths about the borders of heap classes and of the short form.
std::string RandomValue(Random& random) {
  static constexpr size_t kLengths[] = {0, 1, 9, 10, 11, 17, 40, 254, 255, 256, 257, 700, 5000};
  const size_t length = kLengths[random.Below(std::size(kLengths))];
  return std::string(length, static_cast<char>('a' + random.Below(26)));
}

std::string NameOf(uint64_t number) {
  std::string name = "field:" + std::to_string(number);
  if (number % 50 == 7) name.append(300, 'n');  // wide names
  return name;
}

void FreeAll(Fields* fields, size_t slice) {
  while (!Fields::FreeSlice(fields, slice)) {
  }
}

void ExpectSame(const Fields& fields, const Model& model) {
  fields.Validate();
  EXPECT_EQ(fields.size(), model.size());
  size_t seen = 0;
  fields.table().ForEach([&](const Field* field) {
    const auto found = model.find(std::string(field->name()));
    EXPECT_TRUE(found != model.end());
    if (found == model.end()) return true;
    EXPECT_EQ(field->value(), found->second.value);
    EXPECT_EQ(fields.ExpiryOf(*field), found->second.expiry_ms);
    seen++;
    return true;
  });
  EXPECT_EQ(seen, model.size());
}

void ExpectSameTimes(const Fields& fields, const Model& model, int64_t now_ms) {
  int64_t next = Fields::kNoExpiry;
  size_t expired = 0;
  for (const auto& [name, expected] : model) {
    if (expected.expiry_ms == Fields::kNoExpiry) continue;
    if (next == Fields::kNoExpiry || expected.expiry_ms < next) next = expected.expiry_ms;
    if (expected.expiry_ms < now_ms) expired++;
  }
  EXPECT_EQ(fields.next_expiry_ms(), next);
  EXPECT_EQ(fields.CountExpired(now_ms), expired);
}

void Step(Random& random, Fields* fields, Model* model, uint64_t name_space, bool grows) {
  const std::string name = NameOf(random.Below(name_space));
  const auto position = fields->Find(name);
  EXPECT_EQ(static_cast<bool>(position), model->count(name) != 0);
  if (!position) {
    if (!grows && random.Below(4) != 0) return;
    const std::string value = RandomValue(random);
    EXPECT_EQ(fields->Insert(name, TestHasher::Hash(name), value).entry()->value(), value);
    (*model)[name] = {value};
    return;
  }
  Expected& expected = (*model)[name];
  switch (random.Below(grows ? 4 : 6)) {
    case 0:
      expected.value = RandomValue(random);
      return fields->SetValue(position, expected.value);
    case 1:
      expected.expiry_ms = Fields::kNoExpiry;
      return fields->SetExpiry(position, Fields::kNoExpiry);
    case 2:
    case 3:
      expected.expiry_ms = static_cast<int64_t>(random.Below(1000));
      return fields->SetExpiry(position, expected.expiry_ms);
    default:
      model->erase(name);
      fields->Erase(position);
  }
}

void RunModel(uint64_t seed, uint64_t name_space, int steps) {
  Random random(seed);
  SlabHeap heap;
  SlabHeap other_heap;
  Fields* fields = Fields::Create(heap);
  Model model;
  for (int step = 0; step < steps; step++) {
    Step(random, fields, &model, name_space, (step / (steps / 5 + 1)) % 2 == 0);
    if (step % (steps / 10 + 1) != 0) continue;
    ExpectSame(*fields, model);
    ExpectSameTimes(*fields, model, static_cast<int64_t>(random.Below(1100)));
    EXPECT_EQ(fields->memory(0), heap.used_bytes());
    Fields* copy = fields->Clone(other_heap);
    ExpectSame(*copy, model);
    FreeAll(copy, 1 + random.Below(500));
    EXPECT_EQ(other_heap.used_bytes(), 0u);
  }
  // Fields leave in the order of their times.
  int64_t last_ms = -1;
  while (fields->timed_fields() > 0) {
    const Field* first = fields->FirstToExpire();
    EXPECT_TRUE(fields->ExpiryOf(*first) >= last_ms);
    last_ms = fields->ExpiryOf(*first);
    model.erase(std::string(first->name()));
    fields->Erase(fields->Find(first->name()));
  }
  ExpectSame(*fields, model);
  FreeAll(fields, 1 + random.Below(100));
  EXPECT_EQ(heap.used_bytes(), 0u);
}

TEST(field_table_behaves_like_a_map) { RunModel(test::Seed(), 8000, 100000); }
TEST(field_table_small_behaves_like_a_map) { RunModel(test::Seed() + 1, 12, 20000); }

TEST(field_table_ten_byte_fields_take_24_bytes) {
  EXPECT_EQ(SlabHeap::GoodSize(Field::SizeFor(10, 10, false)), 24u);
  EXPECT_EQ(SlabHeap::GoodSize(Field::SizeFor(10, 10, true)), 32u);
}

TEST(field_table_overwrites_in_place_within_a_heap_class) {
  SlabHeap heap;
  Fields* fields = Fields::Create(heap);
  const auto position = fields->Insert("0123456789", TestHasher::Hash("0123456789"), "abcdefghij");
  const Field* before = position.entry();
  fields->SetValue(position, "ABCDEFGHIJK");  // 24 bytes: the class is full
  EXPECT_TRUE(position.entry() == before);
  EXPECT_EQ(position.entry()->value(), "ABCDEFGHIJK");
  fields->SetValue(position, "ABCDEFGHIJKL");
  EXPECT_EQ(position.entry()->value(), "ABCDEFGHIJKL");
  fields->SetValue(position, std::string(300, 'w'));
  EXPECT_EQ(position.entry()->value(), std::string(300, 'w'));
  EXPECT_EQ(fields->memory(0), heap.used_bytes());
  FreeAll(fields, 1);
  EXPECT_EQ(heap.used_bytes(), 0u);
}

TEST(field_table_many_timers_grow_and_shrink_by_chunks) {
  Random random(test::Seed());
  SlabHeap heap;
  Fields* fields = Fields::Create(heap);
  constexpr int64_t kCount = 20000;
  for (int64_t i = 0; i < kCount; i++) {
    const std::string name = NameOf(static_cast<uint64_t>(i));
    const auto position = fields->Insert(name, TestHasher::Hash(name), "v");
    fields->SetExpiry(position, random.Between(0, 1 << 20));
  }
  fields->Validate();
  EXPECT_EQ(fields->CountExpired(1 << 21), static_cast<size_t>(kCount));
  for (int64_t i = 0; i < kCount; i++) {
    if (i % 100 != 0) fields->SetExpiry(fields->Find(NameOf(static_cast<uint64_t>(i))), Fields::kNoExpiry);
    if (i % 4000 == 0) fields->Validate();
  }
  EXPECT_EQ(fields->timed_fields(), static_cast<size_t>(kCount) / 100);
  EXPECT_EQ(fields->memory(0), heap.used_bytes());
  FreeAll(fields, 64);
  EXPECT_EQ(heap.used_bytes(), 0u);
}

}  // namespace
}  // namespace sherd::ds
