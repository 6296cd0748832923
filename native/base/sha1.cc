// SHA-1 as in FIPS 180-4, section 6.1.2, with the message schedule in a ring of 16 words. See
// sha1.h.
#include "base/sha1.h"

#include <cstring>

#include "base/bytes.h"

namespace sherd {

namespace {

uint32_t RotateLeft(uint32_t x, int bits) { return (x << bits) | (x >> (32 - bits)); }

}  // namespace

Sha1::Sha1() : state_{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0} {}

void Sha1::Block(const char* block) {
  uint32_t schedule[16];
  for (int i = 0; i < 16; i++) schedule[i] = LoadBig32(block + 4 * i);
  uint32_t a = state_[0], b = state_[1], c = state_[2], d = state_[3], e = state_[4];
  for (int round = 0; round < 80; round++) {
    if (round >= 16) {
      schedule[round & 15] = RotateLeft(schedule[(round + 13) & 15] ^ schedule[(round + 8) & 15] ^
                                            schedule[(round + 2) & 15] ^ schedule[round & 15],
                                        1);
    }
    uint32_t mixed;
    if (round < 20) {
      mixed = ((b & c) | (~b & d)) + 0x5a827999;
    } else if (round < 40) {
      mixed = (b ^ c ^ d) + 0x6ed9eba1;
    } else if (round < 60) {
      mixed = ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    } else {
      mixed = (b ^ c ^ d) + 0xca62c1d6;
    }
    const uint32_t next = RotateLeft(a, 5) + mixed + e + schedule[round & 15];
    e = d;
    d = c;
    c = RotateLeft(b, 30);
    b = a;
    a = next;
  }
  state_[0] += a;
  state_[1] += b;
  state_[2] += c;
  state_[3] += d;
  state_[4] += e;
}

void Sha1::Update(std::string_view bytes) {
  const size_t filled = size_ % sizeof(buffer_);
  size_ += bytes.size();
  if (filled != 0) {
    const size_t room = sizeof(buffer_) - filled;
    const size_t taken = bytes.size() < room ? bytes.size() : room;
    std::memcpy(buffer_ + filled, bytes.data(), taken);
    bytes.remove_prefix(taken);
    if (taken < room) return;
    Block(buffer_);
  }
  for (; bytes.size() >= sizeof(buffer_); bytes.remove_prefix(sizeof(buffer_))) Block(bytes.data());
  if (!bytes.empty()) std::memcpy(buffer_, bytes.data(), bytes.size());
}

void Sha1::Finish(uint8_t digest[kDigestSize]) {
  // A one bit, zeros, and the length in bits as the last eight bytes of a block.
  char padding[72] = {static_cast<char>(0x80)};
  const size_t filled = size_ % sizeof(buffer_);
  const size_t zeros_end = filled < 56 ? 56 - filled : 120 - filled;
  StoreBig64(padding + zeros_end, size_ * 8);
  Update(std::string_view(padding, zeros_end + 8));
  for (int i = 0; i < 5; i++) StoreBig32(digest + 4 * i, state_[i]);
}

std::string Sha1Hex(std::string_view bytes) {
  Sha1 sha;
  sha.Update(bytes);
  uint8_t digest[Sha1::kDigestSize];
  sha.Finish(digest);
  std::string result;
  for (const uint8_t byte : digest) {
    result += "0123456789abcdef"[byte >> 4];
    result += "0123456789abcdef"[byte & 15];
  }
  return result;
}

}  // namespace sherd
