// CRC64 (Jones), slicing by eight. See crc64.h.
#include "base/crc64.h"

#include "base/bytes.h"

namespace sherd {

namespace {

// table[0] is the byte-wise table of the reflected polynomial; table[k][b] is the effect of byte b
// when k more bytes follow. 16 KiB, computed by the compiler.
struct Crc64Tables {
  uint64_t table[8][256];
  constexpr Crc64Tables() : table() {
    constexpr uint64_t kReflectedPolynomial = 0x95ac9329ac4bc9b5ULL;
    for (uint64_t byte = 0; byte < 256; byte++) {
      uint64_t crc = byte;
      for (int bit = 0; bit < 8; bit++) {
        crc = (crc & 1) != 0 ? (crc >> 1) ^ kReflectedPolynomial : crc >> 1;
      }
      table[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++) {
      for (uint64_t byte = 0; byte < 256; byte++) {
        const uint64_t crc = table[k - 1][byte];
        table[k][byte] = (crc >> 8) ^ table[0][crc & 0xff];
      }
    }
  }
};
constexpr Crc64Tables kTables;

}  // namespace

uint64_t Crc64(uint64_t crc, std::string_view bytes) {
  const auto& t = kTables.table;
  const char* data = bytes.data();
  size_t size = bytes.size();
  for (; size >= 8; size -= 8, data += 8) {
    const uint64_t x = crc ^ LoadLittle64(data);
    crc = t[7][x & 0xff] ^ t[6][(x >> 8) & 0xff] ^ t[5][(x >> 16) & 0xff] ^ t[4][(x >> 24) & 0xff] ^
          t[3][(x >> 32) & 0xff] ^ t[2][(x >> 40) & 0xff] ^ t[1][(x >> 48) & 0xff] ^ t[0][x >> 56];
  }
  for (; size != 0; size--, data++) {
    crc = (crc >> 8) ^ t[0][(crc ^ static_cast<unsigned char>(*data)) & 0xff];
  }
  return crc;
}

}  // namespace sherd
