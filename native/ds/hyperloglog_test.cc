// HyperLogLog sketches against a plain array of registers, and against themselves in their other
// encoding. That the bytes are Redis's is tested where PFADD is (hyperloglog_commands_test.cc).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "ds/hyperloglog.h"
#include "test/test.h"

namespace sherd::ds {
namespace {

using std::string_view_literals::operator""sv;

HllRegisters RegistersOf(std::string_view sketch) {
  HllRegisters registers{};
  EXPECT_TRUE(HllMerge(sketch, &registers));
  return registers;
}

std::string SparseOf(std::string_view opcodes) {
  return std::string("HYLL\1\0\0\0\0\0\0\0\0\0\0\0"sv).append(opcodes);
}

// Small values and neighbouring registers meet often, so that runs split and join.
HllElement RandomElement(Random& random) {
  const uint64_t spread = random.OneIn(2) ? 64 : kHllRegisters;
  const uint64_t index = (random.Below(4) * 5000 + random.Below(spread)) % kHllRegisters;
  return {static_cast<uint32_t>(index), static_cast<uint8_t>(1 + random.Below(3))};
}

TEST(hyperloglog_sets_like_an_array) {
  Random random(test::Seed());
  for (int round = 0; round < 40; round++) {
    auto sketch = std::make_unique<HllSketch>();
    HllRegisters model{};
    const size_t sparse_size_max = random.Below(6000);
    for (uint64_t left = random.Below(3000); left > 0; left--) {
      HllElement element = RandomElement(random);
      if (random.OneIn(2000)) element.value = static_cast<uint8_t>(30 + random.Below(22));
      const size_t size_before = sketch->bytes().size();
      const HllChange change = sketch->Set(element, sparse_size_max);
      const bool raises = model[element.index] < element.value;
      EXPECT_TRUE(change == (raises ? HllChange::kRaised : HllChange::kNone));
      if (raises) model[element.index] = element.value;
      if (element.value > 32) EXPECT_TRUE(sketch->is_dense());
      if (!sketch->is_dense()) {
        EXPECT_LE(sketch->bytes().size(), std::max(sparse_size_max, size_before));
      }
    }
    EXPECT_TRUE(RegistersOf(sketch->bytes()) == model);
    uint64_t count = 0;
    EXPECT_TRUE(HllCount(sketch->bytes(), &count));
    EXPECT_EQ(count, HllCountRegisters(model));
    EXPECT_TRUE(sketch->MakeDense());
    EXPECT_EQ(sketch->bytes().size(), kHllDenseSize);
    EXPECT_TRUE(RegistersOf(sketch->bytes()) == model);
    EXPECT_TRUE(HllCount(sketch->bytes(), &count));
    EXPECT_EQ(count, HllCountRegisters(model));
  }
}

// SetAll does not walk from the start each time; the bytes may not tell.
TEST(hyperloglog_sets_all_as_one_by_one) {
  Random random(test::Seed());
  for (int round = 0; round < 40; round++) {
    HllSketch one_by_one;
    for (uint64_t left = random.Below(200); left > 0; left--) {
      one_by_one.Set(RandomElement(random), 3000);
    }
    HllSketch at_once(one_by_one.bytes());
    HllRegisters registers{};
    for (uint64_t left = random.Below(1500); left > 0; left--) {
      const HllElement element = RandomElement(random);
      registers[element.index] = element.value;
    }
    const size_t sparse_size_max = 500 + random.Below(3000);
    for (uint32_t i = 0; i < kHllRegisters; i++) {
      if (registers[i] != 0) one_by_one.Set({i, registers[i]}, sparse_size_max);
    }
    EXPECT_TRUE(at_once.SetAll(registers, sparse_size_max));
    EXPECT_TRUE(at_once.bytes() == one_by_one.bytes());
  }
}

TEST(hyperloglog_packs_and_unpacks) {
  Random random(test::Seed());
  HllSketch sketch;
  EXPECT_TRUE(sketch.MakeDense());
  HllRegisters registers;
  for (uint8_t& value : registers) value = static_cast<uint8_t>(random.Below(64));
  HllDenseStore(sketch.data(), registers);
  EXPECT_TRUE(RegistersOf(sketch.bytes()) == registers);
  // Register by register, the slow way: the bits that the picture in the header names.
  for (size_t i = 0; i < kHllRegisters; i++) {
    unsigned value = 0;
    for (size_t bit = 6 * i + 6; bit-- > 6 * i;) {
      const auto byte = static_cast<unsigned char>(sketch.bytes()[kHllHeaderSize + bit / 8]);
      value = value << 1 | (byte >> bit % 8 & 1u);
    }
    if (value != registers[i]) return EXPECT_EQ(value, unsigned{registers[i]});
  }
  for (int i = 0; i < 5000; i++) {
    const HllElement element = {static_cast<uint32_t>(random.Below(kHllRegisters)),
                                static_cast<uint8_t>(1 + random.Below(63))};
    EXPECT_EQ(HllDenseSet(sketch.data(), element), registers[element.index] < element.value);
    registers[element.index] = std::max(registers[element.index], element.value);
  }
  EXPECT_TRUE(HllDenseSet(sketch.data(), {kHllRegisters - 1, 63}) == (registers.back() < 63));
  registers.back() = 63;
  EXPECT_TRUE(RegistersOf(sketch.bytes()) == registers);
}

TEST(hyperloglog_merges_to_the_maximum) {
  Random random(test::Seed());
  HllRegisters model{};
  HllRegisters merged{};
  for (int i = 0; i < 6; i++) {
    HllSketch sketch;
    for (int k = 0; k < 800; k++) {
      const HllElement element = RandomElement(random);
      sketch.Set(element, i % 2 == 0 ? 10'000 : 0);
      model[element.index] = std::max(model[element.index], element.value);
    }
    EXPECT_EQ(sketch.is_dense(), i % 2 == 1);
    EXPECT_TRUE(HllMerge(sketch.bytes(), &merged));
  }
  EXPECT_TRUE(merged == model);
}

TEST(hyperloglog_estimates) {
  HllSketch sketch;
  uint64_t count = 1;
  EXPECT_TRUE(HllCount(sketch.bytes(), &count));
  EXPECT_EQ(count, 0u);
  for (uint64_t i = 1; i <= 1'000'000; i++) {
    const std::string element = "element " + std::to_string(i);
    sketch.Set(HllHash(element), 3000);
    if (i != 10 && i != 1000 && i != 50'000 && i != 1'000'000) continue;
    EXPECT_TRUE(HllCount(sketch.bytes(), &count));
    const double error = std::abs(static_cast<double>(count) / static_cast<double>(i) - 1);
    EXPECT_LT(error, 0.0081 * 4);
  }
}

TEST(hyperloglog_keeps_an_estimate_in_the_header) {
  HllSketch sketch;
  uint64_t count = 1;
  EXPECT_TRUE(HllCachedCount(sketch.bytes(), &count));
  EXPECT_EQ(count, 0u);
  HllInvalidateCount(sketch.data());
  EXPECT_FALSE(HllCachedCount(sketch.bytes(), &count));
  HllStoreCount(sketch.data(), 0x0102030405);
  EXPECT_TRUE(HllCachedCount(sketch.bytes(), &count));
  EXPECT_EQ(count, 0x0102030405u);
  EXPECT_EQ(sketch.bytes().substr(8, 8), "\5\4\3\2\1\0\0\0"sv);
}

TEST(hyperloglog_knows_its_header) {
  const std::string empty(HllSketch().bytes());
  EXPECT_EQ(empty, SparseOf("\x7f\xff"));
  EXPECT_TRUE(IsHll(empty));
  EXPECT_TRUE(IsHll(SparseOf("")));  // corrupt, but only its opcodes say so
  EXPECT_FALSE(IsHll(""));
  EXPECT_FALSE(IsHll(empty.substr(0, 15)));
  EXPECT_FALSE(IsHll("hYLL" + empty.substr(4)));
  EXPECT_FALSE(IsHll("HYLL\2" + empty.substr(5)));
  std::string dense(kHllDenseSize, '\0');
  std::memcpy(dense.data(), "HYLL", 4);
  EXPECT_TRUE(IsHll(dense));
  EXPECT_FALSE(IsHll(dense + '\0'));
  dense.pop_back();
  EXPECT_FALSE(IsHll(dense));
}

TEST(hyperloglog_refuses_broken_opcodes) {
  const std::string broken[] = {
      SparseOf(""),                  // no registers
      SparseOf("\x7f\xfe"),          // one too few
      SparseOf(std::string("\x7f\xff\0", 3)),  // one too many
      SparseOf("\x7f\xfe\x81"),      // a value beyond the last register
      SparseOf("\x7f"),              // half an opcode
      SparseOf("\x7f\xfe\x40"),
      SparseOf(std::string(40'000, '\x80')),  // longer than any sketch
  };
  for (const std::string& bytes : broken) {
    HllRegisters registers{};
    uint64_t count = 0;
    EXPECT_FALSE(HllMerge(bytes, &registers));
    EXPECT_FALSE(HllCount(bytes, &count));
    HllSketch sketch(bytes);
    EXPECT_FALSE(sketch.MakeDense());
    EXPECT_TRUE(sketch.Set({5, 40}, 3000) == HllChange::kCorrupt);
  }
  HllSketch half(broken[5]);
  EXPECT_TRUE(half.Set({kHllRegisters - 1, 1}, 3000) == HllChange::kCorrupt);
}

TEST(hyperloglog_reads_runs) {
  const std::string sketch = SparseOf(std::string("\x00\x3f\x40\x00\x7f\xff\x80\xff", 8));
  const struct {
    uint32_t length;
    uint8_t value;
  } expected[] = {{1, 0}, {64, 0}, {1, 0}, {16384, 0}, {1, 1}, {4, 32}};
  HllRun run;
  size_t offset = kHllHeaderSize;
  for (const auto& [length, value] : expected) {
    ASSERT_TRUE(HllReadRun(sketch, offset, &run));
    EXPECT_EQ(run.length, length);
    EXPECT_EQ(unsigned{run.value}, unsigned{value});
    offset += run.size;
  }
  EXPECT_FALSE(HllReadRun(sketch, offset, &run));
}

}  // namespace
}  // namespace sherd::ds
