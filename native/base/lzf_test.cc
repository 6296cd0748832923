// LZF: round trips, the refusal of what does not pay, and hostile input.
#include "base/lzf.h"

#include <string>
#include <vector>

#include "base/random.h"
#include "test/test.h"

namespace sherd {
namespace {

std::string Compressed(std::string_view text, size_t capacity) {
  std::string out(capacity, '\0');
  out.resize(LzfCompress(text, out.data(), capacity));
  return out;
}

// Words that come again, with noise between them: texts from hardly to very compressible.
std::string RandomText(Random& random, size_t size) {
  std::string text;
  const uint64_t noise = 1 + random.Below(8);
  while (text.size() < size) {
    if (random.OneIn(noise)) {
      text += static_cast<char>(random.Next());
    } else if (!text.empty()) {
      text += text.substr(random.Below(text.size()), 1 + random.Below(300));
    } else {
      text += "word";
    }
  }
  text.resize(size);
  return text;
}

TEST(lzf_gives_back_what_it_took) {
  Random random(test::Seed());
  for (int round = 0; round < 2000; round++) {
    const std::string text = RandomText(random, random.Below(round % 50 == 0 ? 100000 : 3000));
    const std::string packed = Compressed(text, text.size() + text.size() / 16 + 64);
    if (packed.empty()) {
      EXPECT_LT(text.size(), 4u);
      continue;
    }
    std::string back(text.size(), '\0');
    ASSERT_TRUE(LzfDecompress(packed, back.data(), back.size()));
    EXPECT_EQ(back, text);
    // Another size than the true one is refused, both ways.
    std::string longer(text.size() + 1, '\0');
    EXPECT_FALSE(LzfDecompress(packed, longer.data(), longer.size()));
    std::string shorter(text.size() - 1, '\0');
    EXPECT_FALSE(LzfDecompress(packed, shorter.data(), shorter.size()));
  }
}

TEST(lzf_says_when_it_does_not_pay) {
  Random random(test::Seed());
  std::string noise(1000, '\0');
  for (char& c : noise) c = static_cast<char>(random.Next());
  EXPECT_TRUE(Compressed(noise, noise.size() - 8).empty());
  const std::string same(1000, 'a');
  const std::string packed = Compressed(same, same.size() - 8);
  EXPECT_FALSE(packed.empty());
  EXPECT_TRUE(Compressed(same, packed.size() - 1).empty());
  for (const char* text : {"", "a", "ab", "abc"}) EXPECT_TRUE(Compressed(text, 100).empty());
}

TEST(lzf_survives_hostile_input) {
  Random random(test::Seed());
  char unused[1];
  EXPECT_FALSE(LzfDecompress("", unused, 1));
  EXPECT_FALSE(LzfDecompress("x", unused, 0));
  for (int round = 0; round < 20000; round++) {
    std::string packed;
    if (round % 2 == 0) {
      packed = Compressed(RandomText(random, 4 + random.Below(500)), 1000);
      if (packed.empty()) continue;
      for (uint64_t i = random.Below(4); i > 0; i--) {
        packed[random.Below(packed.size())] = static_cast<char>(random.Next());
      }
      packed.resize(1 + random.Below(packed.size()));
    } else {
      packed.resize(1 + random.Below(40));
      for (char& c : packed) c = static_cast<char>(random.Next());
    }
    // Exactly the size that is asked for, so that a sanitizer sees any byte beyond it.
    const std::vector<char> exact(packed.begin(), packed.end());
    std::vector<char> out(1 + random.Below(600));
    (void)LzfDecompress({exact.data(), exact.size()}, out.data(), out.size());
  }
}

}  // namespace
}  // namespace sherd
