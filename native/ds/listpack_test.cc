// Listpack against a vector of strings: every function, every width at its boundaries, random
// histories, more elements than the header can count, and hostile bytes for Validate.
#include "ds/listpack.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "test/test.h"

namespace sherd::ds {
namespace {

using Model = std::vector<std::string>;

/// A listpack and the heap it lives in; gives everything back at the end.
class Fixture {
 public:
  Fixture() : pack(Listpack::Create(heap)) {}
  ~Fixture() {
    pack.Free(heap);
    EXPECT_EQ(heap.used_bytes(), 0u);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  SlabHeap heap;
  Listpack pack;
};

Model Elements(const Listpack& pack) {
  Model elements;
  char buffer[kInt64CharsMax];
  pack.Visit(pack.First(), ~size_t{0}, [&](PackedValue value) {
    elements.emplace_back(value.View(buffer));
    return true;
  });
  return elements;
}

/// Everything that can be asked, in all directions.
void Check(const Fixture& fixture, const Model& model) {
  const Listpack& pack = fixture.pack;
  size_t count = ~size_t{0};
  EXPECT_TRUE(Listpack::Validate(pack.view(), &count));
  EXPECT_EQ(count, model.size());
  EXPECT_EQ(pack.count(), model.size());
  EXPECT_EQ(pack.is_empty(), model.empty());
  EXPECT_TRUE(pack.IsCanonical());
  EXPECT_EQ(fixture.heap.used_bytes(), SlabHeap::GoodSize(pack.bytes()));
  EXPECT_TRUE(Elements(pack) == model);
  char buffer[kInt64CharsMax];
  Model backward;
  pack.VisitBackward(pack.Last(), ~size_t{0}, [&](PackedValue value) {
    backward.emplace_back(value.View(buffer));
    return true;
  });
  std::reverse(backward.begin(), backward.end());
  EXPECT_TRUE(backward == model);
  size_t bytes = Listpack::kEmptySize;
  Listpack::Position at = pack.First();
  for (const std::string& text : model) {
    ASSERT_TRUE(at != Listpack::kNone);
    EXPECT_EQ(pack.SizeAt(at), Listpack::ElementSize(text));
    EXPECT_TRUE(pack.Equals(at, text));
    EXPECT_FALSE(pack.Equals(at, text + "x"));
    bytes += pack.SizeAt(at);
    at = pack.Next(at);
  }
  EXPECT_EQ(at, Listpack::kNone);
  EXPECT_EQ(bytes, pack.bytes());
}

/// Lengths and values around every boundary of the encodings.
Model Edges() {
  Model edges;
  for (const int bits : {0, 6, 7, 12, 13, 15, 16, 23, 24, 31, 32, 53, 62}) {
    const int64_t power = int64_t{1} << bits;
    for (int64_t delta = -2; delta <= 2; delta++) {
      edges.push_back(std::to_string(power + delta));
      edges.push_back(std::to_string(-power + delta));
    }
  }
  edges.push_back("9223372036854775807");
  edges.push_back("9223372036854775806");
  edges.push_back("-9223372036854775808");
  edges.push_back("-9223372036854775807");
  for (const char* text : {"9223372036854775808", "-9223372036854775809", "18446744073709551616", "",
                           "-", "+1", "-0", "00", "01", " 1", "1 ", "1e3", "0x1", "nan", "12345678901234567890123"}) {
    edges.emplace_back(text);
  }
  edges.emplace_back("1\0", 2);
  for (const size_t size : {1, 2, 62, 63, 64, 65, 124, 125, 126, 127, 128, 129, 130, 4090, 4095, 4096, 4097, 16376,
                            16377, 16378, 16379, 16381, 16382, 16383, 16384, 16385, 2097140, 2097145, 2097146, 2097147, 2097151, 2097152}) {
    edges.push_back(std::string(static_cast<size_t>(size), 'a'));
  }
  return edges;
}

TEST(listpack_keeps_every_width_at_its_boundaries) {
  for (const std::string& text : Edges()) {
    Fixture fixture;
    fixture.pack.Append(fixture.heap, "before");
    fixture.pack.Append(fixture.heap, text);
    fixture.pack.Append(fixture.heap, "7");
    Check(fixture, {"before", text, "7"});
    int64_t value;
    const bool is_integer = ParseInt64(text, &value);
    const Listpack::Position at = fixture.pack.Seek(1);
    EXPECT_EQ(fixture.pack.Get(at).is_integer(), is_integer);
    EXPECT_EQ(fixture.pack.Find(fixture.pack.First(), text, 0), text == "7" ? fixture.pack.Seek(2) : at);
    if (!is_integer) continue;
    // The same through the integer's own functions.
    EXPECT_EQ(Listpack::ElementSizeOfInteger(value), Listpack::ElementSize(text));
    Fixture other;
    other.pack.Append(other.heap, "before");
    other.pack.AppendInteger(other.heap, 7);
    other.pack.InsertInteger(other.heap, other.pack.Last(), 1);
    other.pack.ReplaceInteger(other.heap, other.pack.Seek(1), value);
    EXPECT_EQ(other.pack.view(), fixture.pack.view());
  }
}

TEST(listpack_encodes_what_redis_encodes) {
  // Bytes of a real one: DUMP's payload of RPUSH k 1 -1 a 4095 4096 -40000 8388608 2147483648.
  Fixture fixture;
  for (const char* text : {"1", "-1", "a", "4095", "4096", "-40000", "8388608", "2147483648"}) {
    fixture.pack.Append(fixture.heap, text);
  }
  const std::string expected(
      "\x2b\x00\x00\x00\x08\x00"
      "\x01\x01"
      "\xdf\xff\x02"
      "\x81\x61\x02"
      "\xcf\xff\x02"
      "\xf1\x00\x10\x03"
      "\xf2\xc0\x63\xff\x04"
      "\xf3\x00\x00\x80\x00\x05"
      "\xf4\x00\x00\x00\x80\x00\x00\x00\x00\x09"
      "\xff",
      43);
  EXPECT_EQ(fixture.pack.view(), expected);
}

std::string RandomText(Random& random) {
  switch (random.Below(8)) {
    case 0:
    case 1:
    case 2: return std::to_string(static_cast<int64_t>(random.Next()) >> random.Below(64));
    case 3: return std::to_string(random.Below(200));
    case 4: return std::string(random.Below(140), static_cast<char>('a' + random.Below(3)));
    case 5: return random.OneIn(20) ? std::string(4000 + random.Below(200), 'x') : "y";
    default: {
      std::string text(random.Below(12), '\0');
      for (char& c : text) c = static_cast<char>(random.Next());
      return text;
    }
  }
}

/// One random change of both; the position that a function returns is checked against the model.
void ChangeOnce(Random& random, Fixture& fixture, Model& model) {
  Listpack& pack = fixture.pack;
  SlabHeap& heap = fixture.heap;
  const std::string text = RandomText(random);
  const size_t index = model.empty() ? 0 : random.Below(model.size());
  const auto at = model.begin() + static_cast<std::ptrdiff_t>(index);
  const uint64_t choice = model.empty() ? random.Below(4) : random.Below(12);
  if (choice == 0) {
    pack.Append(heap, text);
    model.push_back(text);
  } else if (choice == 1) {
    pack.Prepend(heap, text);
    model.insert(model.begin(), text);
  } else if (choice <= 3) {
    Model more;
    for (uint64_t i = random.Below(5); i > 0; i--) more.push_back(RandomText(random));
    const std::vector<std::string_view> views(more.begin(), more.end());
    if (choice == 2) {
      pack.AppendAll(heap, views);
      model.insert(model.end(), more.begin(), more.end());
    } else {
      pack.PrependAll(heap, views);
      model.insert(model.begin(), more.rbegin(), more.rend());
    }
  } else if (choice <= 5) {
    pack.Insert(heap, pack.Seek(static_cast<int64_t>(index)), text);
    model.insert(at, text);
  } else if (choice <= 7) {
    pack.Replace(heap, pack.Seek(static_cast<int64_t>(index)), text);
    *at = text;
  } else if (choice <= 9) {
    const size_t count = random.Below(4);
    const Listpack::Position next = pack.Erase(heap, pack.Seek(static_cast<int64_t>(index)), count);
    const size_t erased = std::min(count, model.size() - index);
    model.erase(at, at + static_cast<std::ptrdiff_t>(erased));
    const bool has_next = erased > 0 && index < model.size();
    EXPECT_EQ(next, has_next ? pack.Seek(static_cast<int64_t>(index)) : Listpack::kNone);
  } else if (choice == 10) {
    const size_t count = random.Below(6);
    const size_t erased = std::min(count, model.size() - index);
    const bool is_from_end = random.OneIn(2);
    const auto seek = static_cast<int64_t>(index);
    pack.EraseRange(heap, is_from_end ? seek - static_cast<int64_t>(model.size()) : seek, count);
    model.erase(at, at + static_cast<std::ptrdiff_t>(erased));
  } else {
    const std::string victim = model[index];
    const size_t matches = static_cast<size_t>(std::count(model.begin(), model.end(), victim));
    EXPECT_EQ(pack.CountMatches(victim), matches);
    size_t skip = random.Below(3);
    size_t limit = 1 + random.Below(3);
    const size_t removed = pack.EraseMatches(heap, victim, skip, limit);
    EXPECT_EQ(removed, std::min(limit, matches - std::min(skip, matches)));
    for (auto it = model.begin(); it != model.end();) {
      const bool is_match = *it == victim;
      if (is_match && skip > 0) {
        skip--;
      } else if (is_match && limit > 0) {
        limit--;
        it = model.erase(it);
        continue;
      }
      ++it;
    }
  }
}

TEST(listpack_behaves_like_a_vector) {
  Random random(test::Seed());
  for (int round = 0; round < 40; round++) {
    Fixture fixture;
    Model model;
    for (int step = 0; step < 150; step++) {
      ChangeOnce(random, fixture, model);
      Check(fixture, model);
    }
    Fixture other;
    Model more;
    for (int i = 0; i < 20; i++) ChangeOnce(random, other, more);
    fixture.pack.AppendPack(fixture.heap, other.pack);
    model.insert(model.end(), more.begin(), more.end());
    Check(fixture, model);
    Listpack copy = fixture.pack.Clone(fixture.heap);
    EXPECT_EQ(copy.view(), fixture.pack.view());
    copy.Free(fixture.heap);
  }
}

TEST(listpack_seeks_from_both_ends_and_finds_in_steps) {
  for (size_t count = 0; count < 12; count++) {
    Fixture fixture;
    std::vector<Listpack::Position> positions;
    for (size_t i = 0; i < count; i++) {
      positions.push_back(fixture.pack.bytes() - 1);
      fixture.pack.Append(fixture.heap, i % 2 == 0 ? "f" : "v");
    }
    const auto size = static_cast<int64_t>(count);
    for (int64_t index = -size - 3; index < size + 3; index++) {
      const bool exists = index >= -size && index < size;
      const Listpack::Position expected =
          exists ? positions[static_cast<size_t>(index < 0 ? index + size : index)] : Listpack::kNone;
      EXPECT_EQ(fixture.pack.Seek(index), expected);
    }
    EXPECT_EQ(fixture.pack.Seek(INT64_MIN), Listpack::kNone);
    EXPECT_EQ(fixture.pack.Seek(INT64_MAX), Listpack::kNone);
    // With skip 1 only fields are looked at.
    EXPECT_EQ(fixture.pack.Find(fixture.pack.First(), "v", 1), Listpack::kNone);
    EXPECT_EQ(fixture.pack.Find(fixture.pack.First(), "v", 0), count > 1 ? positions[1] : Listpack::kNone);
    EXPECT_EQ(fixture.pack.Find(count > 1 ? positions[1] : 0, "v", 1), count > 1 ? positions[1] : Listpack::kNone);
    EXPECT_EQ(fixture.pack.Find(fixture.pack.Last(), "q", 0), Listpack::kNone);
  }
}

TEST(listpack_counts_more_than_its_header_can_say) {
  Fixture fixture;
  Model model;
  std::vector<std::string_view> views;
  for (int i = 0; i < 65533; i++) model.push_back(std::to_string(i % 100));
  views.assign(model.begin(), model.end());
  fixture.pack.AppendAll(fixture.heap, views);
  for (int i = 0; i < 5; i++) {  // over the edge, one by one
    fixture.pack.Append(fixture.heap, "x");
    model.push_back("x");
    EXPECT_EQ(fixture.pack.count(), model.size());
  }
  Check(fixture, model);
  EXPECT_TRUE(fixture.pack.Equals(fixture.pack.Seek(-1), "x"));
  EXPECT_EQ(fixture.pack.Seek(-65538), Listpack::kHeaderSize);
  EXPECT_EQ(fixture.pack.Seek(-65539), Listpack::kNone);
  EXPECT_EQ(fixture.pack.Seek(65538), Listpack::kNone);
  Listpack doubled = fixture.pack.Clone(fixture.heap);
  doubled.AppendPack(fixture.heap, fixture.pack);
  EXPECT_EQ(doubled.count(), 2 * model.size());
  EXPECT_EQ(doubled.EraseMatches(fixture.heap, "x", 0, ~size_t{0}), 10u);
  EXPECT_EQ(doubled.count(), 2 * size_t{65533});
  EXPECT_EQ(doubled.EraseMatches(fixture.heap, "7", 0, ~size_t{0}), 2 * size_t{656});
  doubled.Erase(fixture.heap, doubled.First(), 65533);
  EXPECT_EQ(doubled.count(), size_t{65533} - 2 * 656);
  EXPECT_TRUE(Listpack::Validate(doubled.view()));
  doubled.Free(fixture.heap);
  fixture.pack.EraseRange(fixture.heap, 0, 65530);  // and back below it
  model.erase(model.begin(), model.begin() + 65530);
  Check(fixture, model);
}

/// A copy in a block of exactly its size, so that a sanitizer sees a read behind it.
bool ValidatesExactly(std::string_view bytes, size_t* count = nullptr) {
  const std::unique_ptr<char[]> block(new char[bytes.size()]);
  if (!bytes.empty()) std::memcpy(block.get(), bytes.data(), bytes.size());
  return Listpack::Validate({block.get(), bytes.size()}, count);
}

TEST(listpack_validate_refuses_what_is_broken) {
  Fixture fixture;
  for (const char* text : {"1", "abc", "70000", "5000000000"}) fixture.pack.Append(fixture.heap, text);
  const std::string good(fixture.pack.view());
  EXPECT_TRUE(ValidatesExactly(good));
  for (size_t size = 0; size < good.size(); size++) EXPECT_FALSE(ValidatesExactly(good.substr(0, size)));
  EXPECT_FALSE(ValidatesExactly(good + '\0'));
  const auto with = [&](size_t at, int byte) {
    std::string changed = good;
    changed[at] = static_cast<char>(byte);
    return changed;
  };
  EXPECT_FALSE(ValidatesExactly(with(4, 3)));                // the count
  EXPECT_TRUE(ValidatesExactly(with(4, 0xFF).replace(5, 1, "\xFF")));  // "walk and count" is fine
  EXPECT_FALSE(ValidatesExactly(with(7, 2)));                // a backlen
  EXPECT_FALSE(ValidatesExactly(with(6, 0xF5)));             // no such encoding
  EXPECT_FALSE(ValidatesExactly(with(6, 0xFF)));             // an end before the end
  EXPECT_FALSE(ValidatesExactly(with(8, 0xBF)));             // longer than the block
  EXPECT_FALSE(ValidatesExactly(with(good.size() - 1, 0)));  // no end
  size_t count = 0;
  EXPECT_TRUE(ValidatesExactly(std::string("\7\0\0\0\0\0\xFF", 7), &count));
  EXPECT_EQ(count, 0u);
}

TEST(listpack_validate_reads_nothing_outside) {
  Random random(test::Seed());
  for (int round = 0; round < 3000; round++) {
    Fixture fixture;
    Model model;
    for (uint64_t i = random.Below(12); i > 0; i--) ChangeOnce(random, fixture, model);
    std::string bytes(fixture.pack.view());
    for (uint64_t i = 1 + random.Below(3); i > 0; i--) {
      const size_t at = random.Below(bytes.size());
      if (random.OneIn(4)) {
        bytes.resize(at);
        if (at >= 4) StoreLittle32(bytes.data(), static_cast<uint32_t>(at));
        if (bytes.empty()) break;
        if (random.OneIn(2)) bytes.back() = '\xFF';
      } else {
        bytes[at] = static_cast<char>(random.OneIn(2) ? 0xF0 + random.Below(16) : random.Next());
      }
    }
    size_t count = 0;
    if (!ValidatesExactly(bytes, &count)) continue;
    // What passes can be walked, both ways, and has as many elements as was said.
    std::string exact = bytes;
    const Listpack pack(reinterpret_cast<uint8_t*>(exact.data()));
    EXPECT_EQ(Elements(pack).size(), count);
    size_t backward = 0;
    for (Listpack::Position at = pack.Last(); at != Listpack::kNone; at = pack.Previous(at)) backward++;
    EXPECT_EQ(backward, count);
  }
}

TEST(listpack_that_is_not_canonical_is_seen) {
  // "5" as text, and 5 in 16 bits: valid, but nobody here would write it.
  const std::string as_text("\xA\0\0\0\1\0\x81\x35\2\xFF", 10);
  EXPECT_TRUE(ValidatesExactly(as_text));
  std::string copy = as_text;
  EXPECT_FALSE(Listpack(reinterpret_cast<uint8_t*>(copy.data())).IsCanonical());
  const std::string as_wide("\xB\0\0\0\1\0\xF1\5\0\3\xFF", 11);
  EXPECT_TRUE(ValidatesExactly(as_wide));
  copy = as_wide;
  EXPECT_FALSE(Listpack(reinterpret_cast<uint8_t*>(copy.data())).IsCanonical());
}

}  // namespace
}  // namespace sherd::ds
