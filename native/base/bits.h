// Bits of long byte strings: counting, searching, and combining several strings bit by bit.
//
// Bit 0 is the highest bit of the first byte, as in Redis's bitmaps:
//
//   byte      0                 1
//   bit       0 1 2 3 4 5 6 7 | 8 9 …
//   weight  128 …           1 | 128 …
//
// How fast, and why so: all three are meant to run as fast as memory delivers. CountOnes uses the
// POPCNT instruction where the processor has it (asked once; the program itself needs only plain
// x86-64, and aarch64 always has one). FindBit looks at 64 bytes a step. CombineBits works in
// blocks that stay in the first-level cache: each source is read from memory once and the result
// written once, however many sources there are.
//
// Any thread. Nothing allocates; all bytes are the caller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sherd {

/// Number of bits that are set.
uint64_t CountOnes(std::string_view bytes);

/// Index of the first bit that equals `bit`, or 8 * bytes.size() if there is none.
uint64_t FindBit(std::string_view bytes, bool bit);

enum class BitOperation : uint8_t {
  kAnd,    // set in all sources
  kOr,     // set in any
  kXor,    // set in an odd number of them
  kNot,    // not set in the only one
  kDiff,   // set in the first and in none of the others
  kDiff1,  // set in any of the others and not in the first
  kAndOr,  // set in the first and in any of the others
  kOne,    // set in exactly one
};

/// Writes the combination of `sources` to `out`, which has room for the longest of them; shorter
/// ones count as padded with zeros. `out` may be the start of a source itself, since each block is
/// read before it is written. There is at least one source (kNot: exactly one).
void CombineBits(BitOperation operation, std::span<const std::string_view> sources, char* out);

}  // namespace sherd
