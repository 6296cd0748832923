// HashValue against std::map, in all encodings: fields, times to live, conversions, and the order of the
// listpack with times, which is Redis's.
#include "engine/hash_value.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/value_ops.h"
#include "test/test.h"

namespace sherd::engine {
namespace {

struct Expected {
  std::string value;
  int64_t expiry_ms = kNoExpiry;
};
using Model = std::map<std::string, Expected>;

std::string Text(const ds::PackedValue& value) {
  char text[kInt64CharsMax];
  return std::string(value.View(text));
}

void Free(SlabHeap& heap, const HashValue& hash, size_t slice = 100) {
  uint64_t payload = hash.payload();
  while (!kHashOps.free_slice(heap, hash.encoding(), &payload, slice)) {
  }
}

// Names and values that a listpack stores as text and as integers.
std::string RandomText(Random& random, size_t max_length) {
  switch (random.Below(4)) {
    case 0: return std::to_string(random.Between(-200, 200));
    case 1: return std::to_string(static_cast<int64_t>(random.Next()));
    case 2: return "00" + std::to_string(random.Below(50));
    default: return std::string(random.Below(max_length + 1), static_cast<char>('a' + random.Below(26)));
  }
}

void ExpectSame(const HashValue& stored, const Model& model, int64_t now_ms) {
  kHashOps.validate(stored.encoding(), stored.payload());
  const HashValue hash(stored.encoding(), stored.payload(), now_ms);
  std::set<std::string> seen;
  hash.ForEach([&](std::string_view name, std::string_view value) {
    const auto found = model.find(std::string(name));
    EXPECT_TRUE(found != model.end());
    if (found == model.end()) return true;
    EXPECT_EQ(value, found->second.value);
    EXPECT_TRUE(seen.insert(std::string(name)).second);
    return true;
  });
  size_t expected_count = 0;
  int64_t next_ms = kNoExpiry;
  for (const auto& [name, expected] : model) {
    if (expected.expiry_ms != kNoExpiry && (next_ms == kNoExpiry || expected.expiry_ms < next_ms)) {
      next_ms = expected.expiry_ms;
    }
    const bool exists = expected.expiry_ms == kNoExpiry || expected.expiry_ms >= now_ms;
    expected_count += exists ? 1 : 0;
    const HashValue::Place place = hash.Find(name);
    EXPECT_EQ(static_cast<bool>(place), exists);
    EXPECT_EQ(seen.count(name) != 0, exists);
    if (!place) continue;
    EXPECT_EQ(Text(hash.NameAt(place)), name);
    EXPECT_EQ(Text(hash.ValueAt(place)), expected.value);
    EXPECT_EQ(hash.ExpiryAt(place), expected.expiry_ms);
  }
  EXPECT_EQ(hash.size(), expected_count);
  EXPECT_EQ(hash.stored_size(), model.size());
  EXPECT_EQ(hash.next_expiry_ms(), next_ms);
}

void ExpectCloneIsSame(const HashValue& hash, const Model& model, int64_t now_ms) {
  SlabHeap heap;
  const uint64_t payload = kHashOps.clone(heap, hash.encoding(), hash.payload());
  const HashValue copy(hash.encoding(), payload, HashValue::kSeeAll);
  ExpectSame(copy, model, now_ms);
  EXPECT_EQ(kHashOps.memory(copy.encoding(), payload, 0), heap.used_bytes());
  Free(heap, copy, 7);
  EXPECT_EQ(heap.used_bytes(), 0u);
}

struct Runner {
  explicit Runner(uint64_t seed) : random(seed) {}

  HashValue View() const { return HashValue(hash.encoding(), hash.payload(), now_ms); }
  std::string Name() { return RandomText(random, 6); }

  // The twin of Set: an expired field is a new one.
  bool ModelSet(const std::string& name, const std::string& value, FieldTtl ttl) {
    Expected& expected = model.insert({name, {}}).first->second;
    const bool is_new = expected.value.empty() && !known.count(name);
    const bool was_expired = expected.expiry_ms != kNoExpiry && expected.expiry_ms < now_ms;
    if (ttl == FieldTtl::kDrop || was_expired) expected.expiry_ms = kNoExpiry;
    expected.value = value;
    known.insert(name);
    return is_new || was_expired;
  }
  void Remove(const std::string& name) {
    model.erase(name);
    known.erase(name);
  }

  void Set() {
    const std::string name = Name();
    const std::string value = RandomText(random, 12);
    const FieldTtl ttl = random.OneIn(2) ? FieldTtl::kDrop : FieldTtl::kKeep;
    hash = View();
    EXPECT_EQ(hash.Set(heap, limits, name, value, ttl), ModelSet(name, value, ttl));
  }
  void Erase() {
    const std::string name = Name();
    hash = View();
    const auto found = model.find(name);
    const bool exists = found != model.end() &&
                        (found->second.expiry_ms == kNoExpiry || found->second.expiry_ms >= now_ms);
    EXPECT_EQ(hash.Erase(heap, name), exists);
    if (exists) Remove(name);
  }
  void SetExpiry() {
    const std::string name = Name();
    hash = View();
    const HashValue::Place place = hash.Find(name);
    if (!place) return;
    const int64_t at_ms = random.OneIn(4) ? kNoExpiry : now_ms + static_cast<int64_t>(random.Below(500));
    hash.SetExpiry(heap, place, at_ms);
    model[name].expiry_ms = at_ms;
  }
  void Expire() {
    now_ms += static_cast<int64_t>(random.Below(60));
    hash = View();
    const size_t max = 1 + random.Below(10);
    std::vector<std::string> names;
    const size_t count = hash.EraseExpired(
        heap, now_ms, max, [&](std::string_view name) { names.emplace_back(name); });
    EXPECT_EQ(count, names.size());
    EXPECT_TRUE(names.size() <= max);
    for (const std::string& name : names) {
      EXPECT_TRUE(model[name].expiry_ms != kNoExpiry && model[name].expiry_ms < now_ms);
      Remove(name);
    }
    if (names.size() < max) EXPECT_TRUE(hash.next_expiry_ms() == kNoExpiry || hash.next_expiry_ms() >= now_ms);
  }

  void Run(int steps) {
    for (int step = 0; step < steps; step++) {
      const bool grows = (step / (steps / 4 + 1)) % 2 == 0;
      switch (random.Below(grows ? 8 : 12)) {
        case 0: SetExpiry(); break;
        case 1: SetExpiry(); break;
        case 2: Expire(); break;
        default:
          if (random.Below(10) < (grows ? 8u : 3u)) {
            Set();
          } else {
            Erase();
          }
      }
      EXPECT_EQ(kHashOps.memory(hash.encoding(), hash.payload(), 0), heap.used_bytes());
      if (step % (steps / 20 + 1) == 0) {
        ExpectSame(hash, model, now_ms);
        ExpectCloneIsSame(hash, model, now_ms);
      }
    }
    ExpectSame(hash, model, now_ms);
    Free(heap, hash);
    EXPECT_EQ(heap.used_bytes(), 0u);
  }

  Random random;
  SlabHeap heap;
  HashLimits limits{512, 64};
  HashValue hash = HashValue::Create(heap);
  int64_t now_ms = 1000;
  Model model;
  std::set<std::string> known;
};

TEST(hash_value_listpack_behaves_like_a_map) {
  Runner runner(test::Seed());
  runner.limits = HashLimits(100000, 64);
  runner.Run(6000);
}
TEST(hash_value_table_behaves_like_a_map) {
  Runner runner(test::Seed() + 1);
  runner.limits = HashLimits(0, 64);
  runner.Run(20000);
}
TEST(hash_value_that_converts_behaves_like_a_map) {
  for (uint64_t i = 0; i < 20; i++) {
    Runner runner(test::Seed() + 2 + i);
    runner.limits = HashLimits(runner.random.Below(150), 5 + runner.random.Below(10));
    runner.Run(1000);
  }
}

// ---- Encodings ----

TEST(hash_value_converts_by_entries_and_by_value) {
  SlabHeap heap;
  const HashLimits limits(2, 5);
  HashValue hash = HashValue::Create(heap);
  hash.Set(heap, limits, "a", "12345", FieldTtl::kDrop);
  hash.Set(heap, limits, "b", "1", FieldTtl::kDrop);
  hash.Set(heap, limits, "b", "2", FieldTtl::kDrop);
  EXPECT_EQ(hash.encoding(), Encoding::kListPack);
  hash.Set(heap, limits, "c", "1", FieldTtl::kDrop);
  EXPECT_EQ(hash.encoding(), Encoding::kHashTable);
  Free(heap, hash);

  hash = HashValue::Create(heap);
  hash.Set(heap, limits, "a", "123456", FieldTtl::kDrop);
  EXPECT_EQ(hash.encoding(), Encoding::kHashTable);
  Free(heap, hash);

  // All arguments count before the first is set, doubles too.
  hash = HashValue::Create(heap);
  const std::string_view pairs[] = {"a", "1", "a", "2", "a", "3"};
  hash.PrepareFor(heap, limits, {pairs, 4});
  EXPECT_EQ(hash.encoding(), Encoding::kListPack);
  hash.PrepareFor(heap, limits, pairs);
  EXPECT_EQ(hash.encoding(), Encoding::kHashTable);
  Free(heap, hash);
  EXPECT_EQ(heap.used_bytes(), 0u);
}

TEST(hash_value_of_too_many_bytes_is_a_table) {
  SlabHeap heap;
  const HashLimits limits(1 << 20, SIZE_MAX);
  HashValue hash = HashValue::Create(heap);
  // Nobody reads the bytes, so a view of a gigabyte needs no gigabyte.
  const std::string_view huge("x", ds::Listpack::kMaxBytes);
  const std::string_view pairs[] = {"a", huge};
  hash.PrepareFor(heap, limits, pairs);
  EXPECT_EQ(hash.encoding(), Encoding::kHashTable);
  Free(heap, hash);
}

std::vector<std::string> Names(const HashValue& hash) {
  std::vector<std::string> names;
  hash.ForEach([&](std::string_view name, std::string_view) {
    names.emplace_back(name);
    return true;
  });
  return names;
}

TEST(hash_value_with_times_keeps_redis_order) {
  SlabHeap heap;
  const HashLimits limits(512, 64);
  HashValue hash = HashValue::Create(heap);
  for (const char* name : {"a", "b", "c", "d"}) hash.Set(heap, limits, name, "1", FieldTtl::kDrop);
  hash.SetExpiry(heap, hash.Find("c"), 500);
  EXPECT_EQ(hash.encoding(), Encoding::kListPackEx);
  EXPECT_TRUE((Names(hash) == std::vector<std::string>{"c", "a", "b", "d"}));
  hash.SetExpiry(heap, hash.Find("a"), 500);  // behind those of the same time
  hash.SetExpiry(heap, hash.Find("d"), 400);
  EXPECT_TRUE((Names(hash) == std::vector<std::string>{"d", "c", "a", "b"}));
  hash.SetExpiry(heap, hash.Find("c"), kNoExpiry);  // behind all others without one
  EXPECT_TRUE((Names(hash) == std::vector<std::string>{"d", "a", "b", "c"}));
  hash.Set(heap, limits, "d", "2", FieldTtl::kDrop);
  EXPECT_TRUE((Names(hash) == std::vector<std::string>{"a", "b", "c", "d"}));
  hash.Set(heap, limits, "a", "2", FieldTtl::kKeep);
  EXPECT_TRUE((Names(hash) == std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_EQ(hash.next_expiry_ms(), 500);
  Free(heap, hash);
  EXPECT_EQ(heap.used_bytes(), 0u);
}

TEST(hash_value_random_fields_are_equally_likely) {
  for (const size_t max_entries : {size_t{512}, size_t{0}}) {
    Random random(test::Seed());
    SlabHeap heap;
    HashValue hash = HashValue::Create(heap);
    for (int i = 0; i < 50; i++) {
      hash.Set(heap, HashLimits(max_entries, 64), std::to_string(i), "v", FieldTtl::kDrop);
    }
    std::map<std::string, int> hits;
    for (int i = 0; i < 50000; i++) {
      hits[Text(hash.NameAt(hash.RandomStored([&] { return random.Next(); })))]++;
    }
    EXPECT_EQ(hits.size(), 50u);
    // 1000 expected each; six sigma is about 190.
    for (const auto& [name, count] : hits) EXPECT_TRUE(count > 800 && count < 1200);
    Free(heap, hash);
  }
}

// ---- Building and checking ----

TEST(hash_builder_builds_and_refuses_doubles) {
  SlabHeap heap;
  {
    HashBuilder builder(heap, HashLimits(2, 64));
    EXPECT_TRUE(builder.Add("a", "1", 700));
    EXPECT_TRUE(builder.Add("b", "2"));
    EXPECT_FALSE(builder.Add("a", "3"));
    EXPECT_EQ(builder.size(), 2u);
    EXPECT_TRUE(builder.Add("c", "3", 600));
    const HashValue hash = builder.Take();
    EXPECT_EQ(hash.encoding(), Encoding::kHashTable);
    EXPECT_EQ(hash.next_expiry_ms(), 600);
    Free(heap, hash);
  }
  {
    HashBuilder dropped(heap, HashLimits(512, 64));
    dropped.Expect(1000);
    EXPECT_TRUE(dropped.Add("a", "1"));
  }
  EXPECT_EQ(heap.used_bytes(), 0u);
}

bool IsHash(std::initializer_list<std::string_view> elements, bool has_times) {
  SlabHeap heap;
  ds::Listpack pack = ds::Listpack::Create(heap);
  for (const std::string_view element : elements) pack.Append(heap, element);
  const bool result = IsHashListpack(pack, has_times);
  pack.Free(heap);
  return result;
}

TEST(hash_listpacks_of_others_are_checked) {
  EXPECT_TRUE(IsHash({}, false));
  EXPECT_TRUE(IsHash({"a", "1", "b", "2"}, false));
  EXPECT_FALSE(IsHash({"a", "1", "b"}, false));
  EXPECT_FALSE(IsHash({"a", "1", "a", "2"}, false));
  EXPECT_FALSE(IsHash({"7", "1", "7", "2"}, false));
  EXPECT_TRUE(IsHash({"a", "1", "5", "b", "2", "5", "c", "3", "0"}, true));
  EXPECT_FALSE(IsHash({"a", "1", "5", "b", "2", "4"}, true));
  EXPECT_FALSE(IsHash({"a", "1", "0", "b", "2", "4"}, true));
  EXPECT_FALSE(IsHash({"a", "1", "x"}, true));
  EXPECT_FALSE(IsHash({"a", "1", "-5"}, true));
  EXPECT_FALSE(IsHash({"a", "1"}, true));
}

}  // namespace
}  // namespace sherd::engine
