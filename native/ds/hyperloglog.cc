// HyperLogLog: hashing, packing and estimating. Changes of sparse sketches are in
// hyperloglog_sparse.cc.
#include "ds/hyperloglog.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/bytes.h"
#include "base/check.h"

namespace sherd::ds {

namespace {

constexpr unsigned kIndexBits = 14;
constexpr unsigned kHashBits = 64 - kIndexBits;  // that are left for the run of zeros
static_assert(1u << kIndexBits == kHllRegisters);

constexpr size_t kGroup = 8;  // registers that make 48 bits, six whole bytes
constexpr size_t kGroupSize = 6;
static_assert(kHllHeaderSize + kHllRegisters / kGroup * kGroupSize == kHllDenseSize);

constexpr uint8_t kOutdated = 0x80;

// MurmurHash64A (A. Appleby, public domain), reading words as little-endian.
uint64_t Murmur64A(std::string_view bytes, uint64_t seed) {
  constexpr uint64_t kMultiplier = 0xc6a4a7935bd1e995;
  const char* p = bytes.data();
  size_t left = bytes.size();
  uint64_t hash = seed ^ (bytes.size() * kMultiplier);
  for (; left >= 8; left -= 8, p += 8) {
    uint64_t word = LoadLittle64(p) * kMultiplier;
    word = (word ^ word >> 47) * kMultiplier;
    hash = (hash ^ word) * kMultiplier;
  }
  if (left > 0) {
    uint64_t word = 0;
    for (size_t i = 0; i < left; i++) word |= uint64_t{static_cast<uint8_t>(p[i])} << (8 * i);
    hash = (hash ^ word) * kMultiplier;
  }
  hash = (hash ^ hash >> 47) * kMultiplier;
  return hash ^ hash >> 47;
}

// ---- Eight registers at a time ----

// 48 bits to eight bytes: halves to 32-bit lanes, quarters to 16-bit lanes, eighths to bytes.
inline uint64_t Spread(uint64_t packed) {
  packed = (packed & 0x0000000000ffffff) | (packed & 0x0000ffffff000000) << 8;
  packed = (packed & 0x00000fff00000fff) | (packed & 0x00fff00000fff000) << 4;
  return (packed & 0x003f003f003f003f) | (packed & 0x0fc00fc00fc00fc0) << 2;
}

inline uint64_t Gather(uint64_t spread) {
  spread = (spread & 0x003f003f003f003f) | (spread & 0x3f003f003f003f00) >> 2;
  spread = (spread & 0x00000fff00000fff) | (spread & 0x0fff00000fff0000) >> 4;
  return (spread & 0x0000000000ffffff) | (spread & 0x00ffffff00000000) >> 8;
}

typedef uint8_t Bytes16 __attribute__((vector_size(16)));
typedef uint64_t Words2 __attribute__((vector_size(16)));

void MergeDense(const char* packed, HllRegisters* registers) {
  uint8_t* to = registers->data();
  for (size_t i = 0; i < kHllRegisters; i += 2 * kGroup, packed += 2 * kGroupSize) {
    // The second load ends with the group and not behind it: the last one ends with the sketch.
    uint64_t low = Spread(LoadLittle64(packed));
    uint64_t high = Spread(LoadLittle64(packed + 4) >> 16);
    if constexpr (std::endian::native == std::endian::big) {
      low = __builtin_bswap64(low);
      high = __builtin_bswap64(high);
    }
    // Put together in registers: two stores and one wide load would wait for each other.
    const Words2 words = {low, high};
    const auto more = reinterpret_cast<Bytes16>(words);
    Bytes16 old;
    std::memcpy(&old, to + i, sizeof old);
    const Bytes16 result = old > more ? old : more;
    std::memcpy(to + i, &result, sizeof result);
  }
}

// ---- Estimating ----

// How many registers hold each value. Values above 51 come from clients' own bytes only.
using Histogram = std::array<uint32_t, 64>;

void CountValues(const HllRegisters& registers, Histogram* histogram) {
  uint32_t counts[4][64] = {};
  for (size_t i = 0; i < kHllRegisters; i += kGroup) {
    uint64_t word;
    std::memcpy(&word, registers.data() + i, sizeof word);
    for (size_t k = 0; k < kGroup; k++) counts[k % 4][word >> (8 * k) & 63]++;
  }
  for (size_t v = 0; v < 64; v++) {
    (*histogram)[v] = counts[0][v] + counts[1][v] + counts[2][v] + counts[3][v];
  }
}

// σ and τ of Ertl's paper: power series summed until they no longer change.
double Sigma(double x) {
  if (x == 1.0) return std::numeric_limits<double>::infinity();
  double sum = x;
  double before;
  double factor = 1;
  do {
    x *= x;
    before = sum;
    sum += x * factor;
    factor += factor;
  } while (before != sum);
  return sum;
}

double Tau(double x) {
  if (x == 0.0 || x == 1.0) return 0.0;
  double sum = 1 - x;
  double before;
  double factor = 1;
  do {
    x = std::sqrt(x);
    before = sum;
    factor *= 0.5;
    sum -= (1 - x) * (1 - x) * factor;
  } while (before != sum);
  return sum / 3;
}

uint64_t Estimate(const Histogram& histogram) {
  constexpr double kAlphaInfinity = 0.721347520444481703680;  // 1 / (2 ln 2)
  constexpr double kCount = kHllRegisters;
  double z = kCount * Tau((kCount - histogram[kHashBits + 1]) / kCount);
  for (size_t value = kHashBits; value >= 1; value--) z = (z + histogram[value]) * 0.5;
  z += kCount * Sigma(histogram[0] / kCount);
  return static_cast<uint64_t>(std::llround(kAlphaInfinity * kCount * kCount / z));
}

// Calls visit(first register, length, value) for all runs. False: they do not cover the registers
// exactly. A loop of its own beside HllReadRun, because this is where sparse merges spend their time.
template <class Visit>
bool VisitRuns(std::string_view sketch, Visit visit) {
  const auto* p = reinterpret_cast<const uint8_t*>(sketch.data()) + kHllHeaderSize;
  const auto* const end = reinterpret_cast<const uint8_t*>(sketch.data()) + sketch.size();
  uint32_t first = 0;
  while (p < end) {
    const uint32_t opcode = *p++;
    uint32_t length;
    uint32_t value = 0;
    if ((opcode & 0x80) != 0) {
      length = (opcode & 3) + 1;
      value = (opcode >> 2 & 31) + 1;
    } else if ((opcode & 0x40) == 0) {
      length = (opcode & 63) + 1;
    } else {
      if (p == end) return false;
      length = ((opcode & 63) << 8 | *p++) + 1;
    }
    if (first + length > kHllRegisters) return false;
    visit(first, length, value);
    first += length;
  }
  return first == kHllRegisters;
}

}  // namespace

HllElement HllHash(std::string_view element) {
  constexpr uint64_t kSeed = 0xadc83b19;
  const uint64_t hash = Murmur64A(element, kSeed);
  // The bit on top ends the run of a hash whose other bits are all zero.
  const uint64_t rest = hash >> kIndexBits | uint64_t{1} << kHashBits;
  return {static_cast<uint32_t>(hash & (kHllRegisters - 1)),
          static_cast<uint8_t>(std::countr_zero(rest) + 1)};
}

// ---- Headers ----

bool IsHll(std::string_view bytes) {
  if (bytes.size() < kHllHeaderSize || bytes.substr(0, 4) != "HYLL") return false;
  const auto encoding = static_cast<uint8_t>(bytes[4]);
  return encoding == 0 ? bytes.size() == kHllDenseSize : encoding == 1;
}

bool HllCachedCount(std::string_view sketch, uint64_t* count) {
  if ((static_cast<uint8_t>(sketch[15]) & kOutdated) != 0) return false;
  *count = LoadLittle64(sketch.data() + 8);
  return true;
}

void HllStoreCount(char* sketch, uint64_t count) { StoreLittle64(sketch + 8, count); }

void HllInvalidateCount(char* sketch) {
  sketch[15] = static_cast<char>(static_cast<uint8_t>(sketch[15]) | kOutdated);
}

// ---- Reading ----

bool HllReadRun(std::string_view sketch, size_t offset, HllRun* run) {
  if (offset >= sketch.size()) return false;
  const uint32_t opcode = static_cast<uint8_t>(sketch[offset]);
  *run = {.offset = offset, .size = 1, .length = 0, .value = 0, .is_long = false};
  if ((opcode & 0x80) != 0) {
    run->length = (opcode & 3) + 1;
    run->value = static_cast<uint8_t>((opcode >> 2 & 31) + 1);
  } else if ((opcode & 0x40) == 0) {
    run->length = (opcode & 63) + 1;
  } else {
    if (offset + 1 >= sketch.size()) return false;
    run->size = 2;
    run->is_long = true;
    run->length = ((opcode & 63) << 8 | static_cast<uint8_t>(sketch[offset + 1])) + 1;
  }
  return true;
}

bool HllCount(std::string_view sketch, uint64_t* count) {
  DCHECK(IsHll(sketch));
  if (IsHllDense(sketch)) {
    HllRegisters registers{};
    MergeDense(sketch.data() + kHllHeaderSize, &registers);
    *count = HllCountRegisters(registers);
    return true;
  }
  Histogram histogram{};
  const bool is_whole = VisitRuns(
      sketch, [&](uint32_t, uint32_t length, uint32_t value) { histogram[value] += length; });
  if (is_whole) *count = Estimate(histogram);
  return is_whole;
}

bool HllMerge(std::string_view sketch, HllRegisters* registers) {
  DCHECK(IsHll(sketch));
  if (IsHllDense(sketch)) {
    MergeDense(sketch.data() + kHllHeaderSize, registers);
    return true;
  }
  uint8_t* const to = registers->data();
  return VisitRuns(sketch, [to](uint32_t first, uint32_t length, uint32_t value) {
    if (value == 0) return;
    for (uint32_t i = first; i < first + length; i++) {
      to[i] = to[i] < value ? static_cast<uint8_t>(value) : to[i];
    }
  });
}

uint64_t HllCountRegisters(const HllRegisters& registers) {
  Histogram histogram;
  CountValues(registers, &histogram);
  return Estimate(histogram);
}

// ---- Changing ----

bool HllDenseSet(char* sketch, HllElement element) {
  DCHECK(element.index < kHllRegisters && element.value < 64);
  // A register lies in two neighbouring bytes at most; the last one in the last byte alone.
  char* at = sketch + kHllHeaderSize + element.index * 6 / 8;
  const unsigned shift = element.index * 6 % 8;
  const bool is_split = shift > 2;
  uint32_t bytes = static_cast<uint8_t>(at[0]);
  if (is_split) bytes |= uint32_t{static_cast<uint8_t>(at[1])} << 8;
  if ((bytes >> shift & 63) >= element.value) return false;
  bytes = (bytes & ~(63u << shift)) | uint32_t{element.value} << shift;
  at[0] = static_cast<char>(bytes);
  if (is_split) at[1] = static_cast<char>(bytes >> 8);
  return true;
}

void HllDenseStore(char* sketch, const HllRegisters& registers) {
  char* to = sketch + kHllHeaderSize;
  for (size_t i = 0; i < kHllRegisters; i += kGroup, to += kGroupSize) {
    char group[8];
    StoreLittle64(group, Gather(LoadLittle64(registers.data() + i)));
    std::memcpy(to, group, kGroupSize);
  }
}

}  // namespace sherd::ds
