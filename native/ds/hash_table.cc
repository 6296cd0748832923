// HashTable: the part that does not depend on the entry's type.
#include "ds/hash_table.h"

namespace sherd::ds::hash_table_detail {

namespace {
uint64_t ReverseBits(uint64_t value) {
  value = __builtin_bswap64(value);
  value = (value >> 4 & 0x0f0f0f0f0f0f0f0full) | (value & 0x0f0f0f0f0f0f0f0full) << 4;
  value = (value >> 2 & 0x3333333333333333ull) | (value & 0x3333333333333333ull) << 2;
  value = (value >> 1 & 0x5555555555555555ull) | (value & 0x5555555555555555ull) << 1;
  return value;
}
}  // namespace

// The cursor is a bucket address of `bits` bits, counted from its highest bit down: the successor is
// found by adding one in bit-reversed order. All higher bits are set first, so that the carry runs from
// the highest bit of the address on and the sum becomes zero after the last bucket.
uint64_t NextScanCursor(uint64_t cursor, int bits) {
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  return ReverseBits(ReverseBits(cursor | ~mask) + 1);
}

}  // namespace sherd::ds::hash_table_detail
