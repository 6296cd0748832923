// Bits of long strings against twins that look at one bit at a time.
#include <cstring>
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/random.h"
#include "test/test.h"

namespace sherd {
namespace {

bool BitAt(std::string_view bytes, uint64_t index) {
  if (index / 8 >= bytes.size()) return false;
  return (static_cast<unsigned char>(bytes[index / 8]) >> (7 - index % 8) & 1) != 0;
}

// Mostly uniform runs, so that searches go far and words are mixed only now and then.
std::string RandomBits(Random& random, size_t size_max) {
  std::string bytes(random.Below(size_max + 1), '\0');
  size_t i = 0;
  while (i < bytes.size()) {
    const uint64_t kind = random.Below(3);
    for (uint64_t run = 1 + random.Below(100); run > 0 && i < bytes.size(); run--) {
      bytes[i++] = kind == 0 ? '\0' : kind == 1 ? '\xff' : static_cast<char>(random.Next());
    }
  }
  return bytes;
}

bool Expected(BitOperation operation, const std::vector<std::string>& sources, uint64_t index) {
  size_t count = 0;
  for (const std::string& source : sources) count += BitAt(source, index) ? 1 : 0;
  const bool first = BitAt(sources[0], index);
  const bool others = count > (first ? 1u : 0u);
  switch (operation) {
    case BitOperation::kAnd:
      return count == sources.size();
    case BitOperation::kOr:
      return count > 0;
    case BitOperation::kXor:
      return count % 2 == 1;
    case BitOperation::kNot:
      return !first;
    case BitOperation::kDiff:
      return first && !others;
    case BitOperation::kDiff1:
      return !first && others;
    case BitOperation::kAndOr:
      return first && others;
    case BitOperation::kOne:
      return count == 1;
  }
  return false;
}

TEST(bits_count_and_find_like_a_loop) {
  Random random(test::Seed());
  for (int round = 0; round < 300; round++) {
    const std::string all = RandomBits(random, 400);
    const std::string_view bytes = std::string_view(all).substr(random.Below(all.size() + 1));
    uint64_t ones = 0;
    uint64_t first[2] = {bytes.size() * 8, bytes.size() * 8};
    for (uint64_t i = bytes.size() * 8; i-- > 0;) {
      const bool bit = BitAt(bytes, i);
      ones += bit ? 1 : 0;
      first[bit ? 1 : 0] = i;
    }
    EXPECT_EQ(CountOnes(bytes), ones);
    EXPECT_EQ(FindBit(bytes, false), first[0]);
    EXPECT_EQ(FindBit(bytes, true), first[1]);
  }
}

TEST(bits_find_at_every_place) {
  for (size_t place = 0; place < 200 * 8; place += 3) {
    std::string zeros(200, '\0');
    std::string ones(200, '\xff');
    zeros[place / 8] = static_cast<char>(0x80 >> place % 8);
    ones[place / 8] = static_cast<char>(~(0x80 >> place % 8));
    EXPECT_EQ(FindBit(zeros, true), place);
    EXPECT_EQ(FindBit(ones, false), place);
    EXPECT_EQ(CountOnes(zeros), 1u);
    EXPECT_EQ(CountOnes(ones), 1599u);
  }
  EXPECT_EQ(FindBit("", true), 0u);
  EXPECT_EQ(FindBit("", false), 0u);
}

TEST(bits_combine_like_a_loop) {
  Random random(test::Seed());
  for (int round = 0; round < 200; round++) {
    const auto operation = static_cast<BitOperation>(random.Below(8));
    std::vector<std::string> sources;
    const uint64_t count = operation == BitOperation::kNot ? 1 : 2 + random.Below(5);
    // Some longer than two blocks, some empty.
    for (uint64_t i = 0; i < count; i++) {
      sources.push_back(RandomBits(random, random.OneIn(4) ? 9000 : 150));
    }
    std::vector<std::string_view> views(sources.begin(), sources.end());
    size_t length = 0;
    for (const std::string& source : sources) length = std::max(length, source.size());
    std::string out(length + 1, 'x');
    CombineBits(operation, views, out.data());
    EXPECT_EQ(out.back(), 'x');
    bool is_same = true;
    for (uint64_t i = 0; i < length * 8; i++) {
      is_same &= BitAt(out, i) == Expected(operation, sources, i);
    }
    EXPECT_MSG(is_same, "operation " + std::to_string(static_cast<int>(operation)) + " of " +
                            std::to_string(count) + " sources");
  }
}

TEST(bits_combine_in_place) {
  Random random(test::Seed());
  for (const BitOperation operation : {BitOperation::kAnd, BitOperation::kDiff1, BitOperation::kOne}) {
    for (size_t target = 0; target < 3; target++) {
      std::vector<std::string> sources(3);
      for (std::string& source : sources) {
        source.assign(10'000, '\0');
        for (char& c : source) c = static_cast<char>(random.Next());
      }
      std::vector<std::string_view> views(sources.begin(), sources.end());
      std::string apart(10'000, '\0');
      CombineBits(operation, views, apart.data());
      CombineBits(operation, views, sources[target].data());
      EXPECT_TRUE(sources[target] == apart);
    }
  }
}

}  // namespace
}  // namespace sherd
