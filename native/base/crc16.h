// CRC16 of cluster keys (XMODEM: polynomial 0x1021, start 0, most significant bit first) and the
// slot of a key.
//
// Every key of every command passes here once, so it has to cost a few nanoseconds. Two ideas:
//  1. Slicing by eight: table k holds the effect of a byte that k more bytes follow, so eight bytes
//     cost eight independent loads instead of a chain of eight. The tables are 4 KiB together.
//  2. The start value is zero, so zero bytes in front change nothing. A key whose length is not a
//     multiple of eight is treated as if padded in *front*: the odd bytes are one more slice step,
//     not a byte-wise tail.
// A carry-less multiply would win only from about 64 bytes on, where hardly any key is.
//
// Invariant: Crc16("123456789") == 0x31C3. Constant tables; any thread may call anything.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace sherd {

inline constexpr uint32_t kSlotCount = 16384;

namespace internal {

/// table[0] is the classic byte-wise table; table[k][b] is table[0][b] after k more zero bytes,
/// that is the effect of byte b when k more bytes follow.
struct Crc16Tables {
  uint16_t table[8][256];
  constexpr Crc16Tables() : table() {
    for (uint32_t byte = 0; byte < 256; byte++) {
      uint32_t crc = byte << 8;
      for (int bit = 0; bit < 8; bit++) crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
      table[0][byte] = static_cast<uint16_t>(crc);
    }
    for (int k = 1; k < 8; k++) {
      for (uint32_t byte = 0; byte < 256; byte++) {
        const uint32_t crc = table[k - 1][byte];
        table[k][byte] = static_cast<uint16_t>((crc << 8) ^ table[0][(crc >> 8) & 0xff]);
      }
    }
  }
};
inline constexpr Crc16Tables kCrc16Tables;

/// The remainder of the eight bytes of `block`, most significant byte first. The running remainder
/// belongs into the two uppermost bytes.
inline uint16_t Crc16Block(uint64_t block) {
  const auto& t = kCrc16Tables.table;
  const uint32_t high = t[7][block >> 56] ^ t[6][(block >> 48) & 0xff] ^
                        t[5][(block >> 40) & 0xff] ^ t[4][(block >> 32) & 0xff];
  const uint32_t low = t[3][(block >> 24) & 0xff] ^ t[2][(block >> 16) & 0xff] ^
                       t[1][(block >> 8) & 0xff] ^ t[0][block & 0xff];
  return static_cast<uint16_t>(high ^ low);
}

/// The 1 to 7 bytes at `data` as the lower bytes of a word, most significant first.
inline uint64_t LoadPartialBig(const char* data, size_t size) {
  if (size >= 4) {
    // Two loads that overlap; or-ing the same byte into the same place twice does no harm.
    const uint64_t head = LoadBig32(data);
    const uint64_t tail = LoadBig32(data + size - 4);
    return (head << (8 * (size - 4))) | tail;
  }
  const auto byte = [data](size_t i) { return uint64_t{static_cast<unsigned char>(data[i])}; };
  if (size == 1) return byte(0);
  if (size == 2) return (byte(0) << 8) | byte(1);
  return (byte(0) << 16) | (byte(1) << 8) | byte(2);
}

/// Non-zero when one of the eight bytes equals `byte`.
inline uint64_t HasByte(uint64_t word, unsigned char byte) {
  const uint64_t x = word ^ (0x0101010101010101ULL * byte);
  return (x - 0x0101010101010101ULL) & ~x & 0x8080808080808080ULL;
}

/// Whether `byte` occurs in `text`. Keys are short: this beats the call of memchr up to about 32
/// bytes.
inline bool ContainsByte(std::string_view text, unsigned char byte) {
  const char* data = text.data();
  const size_t size = text.size();
  if (size >= 8) {
    if (size > 32) return std::memchr(data, byte, size) != nullptr;
    uint64_t found = HasByte(LoadBig64(data + size - 8), byte);
    for (size_t i = 0; i + 8 < size; i += 8) found |= HasByte(LoadBig64(data + i), byte);
    return found != 0;
  }
  // Padding zeros of a partial word are no match: no caller looks for the zero byte.
  return size != 0 && HasByte(LoadPartialBig(data, size), byte) != 0;
}

/// The part of a key that decides its slot, for keys with a '{'. See KeySlot().
std::string_view HashTagOf(std::string_view key);

}  // namespace internal

/// CRC16-XMODEM of `bytes`.
inline uint16_t Crc16(std::string_view bytes) {
  const char* data = bytes.data();
  size_t size = bytes.size();
  const size_t odd = size & 7;
  uint64_t crc = 0;
  if (odd != 0) {
    crc = internal::Crc16Block(internal::LoadPartialBig(data, odd));
    data += odd;
    size -= odd;
  }
  for (; size != 0; size -= 8, data += 8) {
    crc = internal::Crc16Block(LoadBig64(data) ^ (crc << 48));
  }
  return static_cast<uint16_t>(crc);
}

/// The cluster slot of a key: CRC16 modulo 16384 of the text between the first '{' and the first
/// '}' behind it, if there is one and it is not empty; else of the whole key.
inline uint16_t KeySlot(std::string_view key) {
  if (__builtin_expect(internal::ContainsByte(key, '{'), 0)) key = internal::HashTagOf(key);
  return Crc16(key) & (kSlotCount - 1);
}

}  // namespace sherd
