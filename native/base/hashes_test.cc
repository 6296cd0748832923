// CRC16, CRC64, SipHash and SHA-1: published check values, naive twins, every length and alignment.
#include <string>
#include <vector>

#include "base/crc16.h"
#include "base/crc64.h"
#include "base/random.h"
#include "base/sha1.h"
#include "base/siphash.h"
#include "base/strings.h"
#include "test/test.h"

namespace sherd {

namespace {

using std::string_view_literals::operator""sv;

uint16_t Crc16Naive(std::string_view bytes) {
  unsigned crc = 0;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned>(static_cast<unsigned char>(c)) << 8;
    for (int bit = 0; bit < 8; bit++) crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
    crc &= 0xffff;
  }
  return static_cast<uint16_t>(crc);
}

// Most significant bit first over reflected bytes: the definition, without any reflected table.
uint64_t Crc64Naive(std::string_view bytes) {
  uint64_t crc = 0;
  for (const char c : bytes) {
    for (int bit = 0; bit < 8; bit++) {
      // Not as `if (in != out)` on two bools: g++ 12.2 makes wrong code of that at -O1 and -O2.
      crc ^= static_cast<uint64_t>((static_cast<unsigned char>(c) >> bit) & 1) << 63;
      crc = (crc >> 63) != 0 ? (crc << 1) ^ 0xad93d23594c935a9ULL : crc << 1;
    }
  }
  uint64_t reflected = 0;
  for (int bit = 0; bit < 64; bit++) reflected |= ((crc >> bit) & 1) << (63 - bit);
  return reflected;
}

// SipHash-c-d as in the paper, with c = 1 and d = 3, byte by byte.
uint64_t SipHashNaive(std::string_view text, uint64_t k0, uint64_t k1) {
  uint64_t v[4] = {k0 ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL,
                   k0 ^ 0x6c7967656e657261ULL, k1 ^ 0x7465646279746573ULL};
  const auto rotate = [](uint64_t x, int b) { return (x << b) | (x >> (64 - b)); };
  const auto round = [&v, rotate] {
    v[0] += v[1], v[2] += v[3];
    v[1] = rotate(v[1], 13), v[3] = rotate(v[3], 16);
    v[1] ^= v[0], v[3] ^= v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1], v[0] += v[3];
    v[1] = rotate(v[1], 17), v[3] = rotate(v[3], 21);
    v[1] ^= v[2], v[3] ^= v[0];
    v[2] = rotate(v[2], 32);
  };
  std::string padded(text);
  padded.append(7 - text.size() % 8, '\0');
  padded += static_cast<char>(text.size());
  for (size_t i = 0; i < padded.size(); i += 8) {
    uint64_t word = 0;
    for (size_t j = 8; j > 0; j--)
      word = (word << 8) | static_cast<unsigned char>(padded[i + j - 1]);
    v[3] ^= word;
    round();
    v[0] ^= word;
  }
  v[2] ^= 0xff;
  for (int i = 0; i < 3; i++) round();
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

// Calls `check` with random texts of every length to 100, each in a heap block of exactly its size,
// so that a sanitizer sees a byte too many.
template <typename Check>
void ForEveryLength(Check check) {
  Random random(test::Seed());
  for (size_t size = 0; size <= 100; size++) {
    for (int i = 0; i < 20; i++) {
      std::vector<char> bytes(size);
      for (char& c : bytes) c = static_cast<char>(random.Next());
      check(std::string_view(bytes.data(), size));
    }
  }
}

}  // namespace

TEST(crc16_check_value) {
  EXPECT_EQ(Crc16("123456789"), 0x31c3);
  EXPECT_EQ(Crc16(""), 0);
}

TEST(crc16_equals_its_definition) {
  ForEveryLength([](std::string_view bytes) { EXPECT_EQ(Crc16(bytes), Crc16Naive(bytes)); });
}

TEST(key_slot_of_known_keys) {
  EXPECT_EQ(KeySlot("foo"), 12182);
  EXPECT_EQ(KeySlot("somekey"), 11058);
  EXPECT_EQ(KeySlot(""), 0);
  EXPECT_EQ(KeySlot("{user1000}.following"), 3443);
  EXPECT_EQ(KeySlot("foo{hash_tag}"), 2515);
}

TEST(key_slot_hash_tag_rule) {
  const auto whole = [](std::string_view key) {
    return static_cast<uint16_t>(Crc16Naive(key) % 16384);
  };
  EXPECT_EQ(KeySlot("{a}b"), whole("a"));
  EXPECT_EQ(KeySlot("x{a}{b}"), whole("a"));
  EXPECT_EQ(KeySlot("{}{b}"), whole("{}{b}"));
  EXPECT_EQ(KeySlot("x{}b"), whole("x{}b"));
  EXPECT_EQ(KeySlot("{{a}}"), whole("{a"));
  EXPECT_EQ(KeySlot("}a{b}"), whole("b"));
  EXPECT_EQ(KeySlot("{a"), whole("{a"));
  EXPECT_EQ(KeySlot("a}"), whole("a}"));
  EXPECT_EQ(KeySlot("a{"), whole("a{"));
}

TEST(key_slot_finds_the_brace_anywhere) {
  for (size_t size = 3; size <= 80; size++) {
    for (size_t open = 0; open + 3 <= size; open++) {
      std::string key(size, 'k');
      key[open] = '{';
      key[open + 2] = '}';
      EXPECT_EQ(KeySlot(key), Crc16Naive("k") % 16384);
    }
  }
}

TEST(crc64_check_value) { EXPECT_EQ(Crc64(0, "123456789"), 0xe9c6d914c4b8d9caULL); }

TEST(crc64_equals_its_definition_in_pieces) {
  Random random(test::Seed());
  ForEveryLength([&random](std::string_view bytes) {
    const size_t cut = random.Below(bytes.size() + 1);
    EXPECT_EQ(Crc64(Crc64(0, bytes.substr(0, cut)), bytes.substr(cut)), Crc64Naive(bytes));
  });
}

TEST(siphash_equals_its_definition) {
  Random random(test::Seed());
  ForEveryLength([&random](std::string_view bytes) {
    const SipKey key{random.Next(), random.Next()};
    EXPECT_EQ(SipHash(bytes, key), SipHashNaive(bytes, key.k0, key.k1));
  });
}

TEST(siphash_check_value) {
  // First vector of the SipHash-1-3 reference: key 00 01 ... 0f, empty text.
  const SipKey key{0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
  EXPECT_EQ(SipHash("", key), 0xabac0158050fc4dcULL);
  EXPECT_EQ(SipHash("\0"sv, key), 0xc9f49bf37d57ca93ULL);
}

TEST(siphash_ignores_ascii_case_only) {
  const SipKey key{1, 2};
  ForEveryLength([key](std::string_view bytes) {
    EXPECT_EQ(SipHashIgnoreCase(bytes, key), SipHash(ToAsciiLower(bytes), key));
  });
  // Every byte value, beside neighbours that a carry would disturb.
  for (int byte = 0; byte < 256; byte++) {
    std::string text = "\xff\x80@[`{Zz";
    text[3] = static_cast<char>(byte);
    EXPECT_EQ(SipHashIgnoreCase(text, key), SipHash(ToAsciiLower(text), key));
  }
}

TEST(sha1_published_vectors) {
  EXPECT_EQ(Sha1Hex(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(Sha1Hex("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(Sha1Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT_EQ(Sha1Hex(std::string(1'000'000, 'a')), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

TEST(sha1_does_not_depend_on_the_pieces) {
  Random random(test::Seed());
  for (int i = 0; i < 300; i++) {
    const std::string text(random.Below(300), static_cast<char>(random.Next()));
    Sha1 sha;
    std::string_view rest = text;
    while (!rest.empty()) {
      const size_t piece = 1 + random.Below(rest.size());
      sha.Update(rest.substr(0, piece));
      rest.remove_prefix(piece);
    }
    uint8_t digest[Sha1::kDigestSize];
    sha.Finish(digest);
    std::string hex;
    for (const uint8_t byte : digest) {
      hex += "0123456789abcdef"[byte >> 4];
      hex += "0123456789abcdef"[byte & 15];
    }
    EXPECT_EQ(hex, Sha1Hex(text));
  }
}

}  // namespace sherd
