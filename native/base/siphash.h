// SipHash-1-3: the keyed hash of every dictionary (Aumasson, Bernstein: "SipHash: a fast
// short-input PRF", 2012).
//
// Clients choose the keys, so an unkeyed hash would let them build a table in which every key
// collides. One compression round and three final ones are what Rust and Ruby use for hash tables
// as well: enough against flooding, and about a third faster on short keys than 2-4.
//
// Everything is inline: the hash of a 16-byte key is some 40 instructions, and a call plus the loss
// of registers would show. The variant without case folds A–Z on eight bytes at a time.
//
// Any thread; the key is the caller's, usually drawn once at start.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace sherd {

/// The secret of a hash: 128 bits.
struct SipKey {
  uint64_t k0;
  uint64_t k1;
};

namespace internal {

struct SipState {
  uint64_t v0, v1, v2, v3;

  explicit SipState(const SipKey& key)
      : v0(key.k0 ^ 0x736f6d6570736575ULL),
        v1(key.k1 ^ 0x646f72616e646f6dULL),
        v2(key.k0 ^ 0x6c7967656e657261ULL),
        v3(key.k1 ^ 0x7465646279746573ULL) {}

  static uint64_t Rotate(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

  void Round() {
    v0 += v1;
    v1 = Rotate(v1, 13) ^ v0;
    v0 = Rotate(v0, 32);
    v2 += v3;
    v3 = Rotate(v3, 16) ^ v2;
    v0 += v3;
    v3 = Rotate(v3, 21) ^ v0;
    v2 += v1;
    v1 = Rotate(v1, 17) ^ v2;
    v2 = Rotate(v2, 32);
  }
  void Absorb(uint64_t word) {
    v3 ^= word;
    Round();
    v0 ^= word;
  }
  uint64_t Finish() {
    v2 ^= 0xff;
    Round();
    Round();
    Round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

/// The 0 to 7 bytes at `data` as the low bytes of a little-endian word, without reading past them.
inline uint64_t LoadPartialLittle(const char* data, size_t size) {
  if (size >= 4) {
    const uint64_t head = LoadLittle32(data);
    const uint64_t tail = LoadLittle32(data + size - 4);
    return head | (tail << (8 * (size - 4)));
  }
  if (size == 0) return 0;
  const auto byte = [data](size_t i) { return uint64_t{static_cast<unsigned char>(data[i])}; };
  return byte(0) | (byte(size >> 1) << (8 * (size >> 1))) | (byte(size - 1) << (8 * (size - 1)));
}

/// Makes the ASCII letters A–Z among eight bytes lower case.
inline uint64_t LowerWord(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101ULL;
  const uint64_t low_bits = word & (0x7f * kOnes);
  const uint64_t from_a = low_bits + (0x80 - 'A') * kOnes;        // bit 7: byte >= 'A'
  const uint64_t beyond_z = low_bits + (0x80 - 'Z' - 1) * kOnes;  // bit 7: byte > 'Z'
  const uint64_t is_upper = (from_a & ~beyond_z & ~word) & (0x80 * kOnes);
  return word | (is_upper >> 2);
}

template <bool kFoldCase>
inline uint64_t SipHashImpl(std::string_view text, const SipKey& key) {
  SipState state(key);
  const char* data = text.data();
  size_t size = text.size();
  for (; size >= 8; size -= 8, data += 8) {
    const uint64_t word = LoadLittle64(data);
    state.Absorb(kFoldCase ? LowerWord(word) : word);
  }
  uint64_t last = LoadPartialLittle(data, size);
  if (kFoldCase) last = LowerWord(last);
  state.Absorb(last | (uint64_t{text.size()} << 56));
  return state.Finish();
}

}  // namespace internal

/// SipHash-1-3 of `text` under `key`.
inline uint64_t SipHash(std::string_view text, const SipKey& key) {
  return internal::SipHashImpl<false>(text, key);
}

/// The same for `text` with A–Z as a–z: equal for texts that EqualsIgnoreCase().
inline uint64_t SipHashIgnoreCase(std::string_view text, const SipKey& key) {
  return internal::SipHashImpl<true>(text, key);
}

}  // namespace sherd
