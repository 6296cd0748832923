// Kernels over 64-bit words and 16-byte vectors. The vectors are the compiler's own (SSE2 on
// x86-64, NEON on aarch64), so that nothing here depends on the optimiser's mood at -O2; wider ones
// gained nothing, because long strings wait for memory and short ones are done anyway.
#include "base/bits.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"

namespace sherd {

namespace {

inline uint64_t LoadWord(const char* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

typedef uint64_t Vector __attribute__((vector_size(16)));

inline Vector LoadVector(const char* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

// ---- Counting ----

// Four sums, because POPCNT takes three cycles and can start one each cycle.
template <class Count>
__attribute__((always_inline)) inline uint64_t CountWith(std::string_view bytes, Count count) {
  const char* p = bytes.data();
  size_t left = bytes.size();
  uint64_t a = 0;
  uint64_t b = 0;
  uint64_t c = 0;
  uint64_t d = 0;
  for (; left >= 32; left -= 32, p += 32) {
    a += count(LoadWord(p));
    b += count(LoadWord(p + 8));
    c += count(LoadWord(p + 16));
    d += count(LoadWord(p + 24));
  }
  for (; left >= 8; left -= 8, p += 8) a += count(LoadWord(p));
  uint64_t rest = 0;
  if (left > 0) std::memcpy(&rest, p, left);
  return a + b + c + d + count(rest);
}

#if defined(__x86_64__)

// Sums of 2, 4 and 8 neighbouring bits, then of all bytes by a multiplication.
inline uint64_t CountInWord(uint64_t word) {
  word -= (word >> 1) & 0x5555555555555555;
  word = (word & 0x3333333333333333) + ((word >> 2) & 0x3333333333333333);
  word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return (word * 0x0101010101010101) >> 56;
}

uint64_t CountPlain(std::string_view bytes) { return CountWith(bytes, CountInWord); }

// A loop of its own, since a lambda would not inherit the target of its function.
__attribute__((target("popcnt"))) uint64_t CountPopcnt(std::string_view bytes) {
  const char* p = bytes.data();
  size_t left = bytes.size();
  uint64_t sums[4] = {};
  for (; left >= 32; left -= 32, p += 32) {
    sums[0] += static_cast<uint64_t>(__builtin_popcountll(LoadWord(p)));
    sums[1] += static_cast<uint64_t>(__builtin_popcountll(LoadWord(p + 8)));
    sums[2] += static_cast<uint64_t>(__builtin_popcountll(LoadWord(p + 16)));
    sums[3] += static_cast<uint64_t>(__builtin_popcountll(LoadWord(p + 24)));
  }
  return sums[0] + sums[1] + sums[2] + sums[3] + CountPlain({p, left});
}

#endif

}  // namespace

uint64_t CountOnes(std::string_view bytes) {
#if defined(__x86_64__)
  static const bool has_popcnt = __builtin_cpu_supports("popcnt") != 0;
  return has_popcnt ? CountPopcnt(bytes) : CountPlain(bytes);
#else
  return CountWith(bytes, [](uint64_t word) {
    return static_cast<uint64_t>(__builtin_popcountll(word));
  });
#endif
}

// ---- Searching ----

uint64_t FindBit(std::string_view bytes, bool bit) {
  // Looking for a zero is looking for a one in the inverted bytes.
  const uint64_t flip = bit ? 0 : ~uint64_t{0};
  const char* const start = bytes.data();
  const char* p = start;
  const char* const end = p + bytes.size();
  const Vector flips = {flip, flip};
  for (; end - p >= 64; p += 64) {
    const Vector found = ((LoadVector(p) ^ flips) | (LoadVector(p + 16) ^ flips)) |
                         ((LoadVector(p + 32) ^ flips) | (LoadVector(p + 48) ^ flips));
    if ((found[0] | found[1]) != 0) break;
  }
  for (; end - p >= 8; p += 8) {
    const uint64_t word = LoadBig64(p) ^ flip;
    if (word == 0) continue;
    return static_cast<uint64_t>(p - start) * 8 + static_cast<uint64_t>(std::countl_zero(word));
  }
  for (; p < end; p++) {
    const uint8_t byte = static_cast<uint8_t>(static_cast<uint8_t>(*p) ^ flip);
    if (byte == 0) continue;
    return static_cast<uint64_t>(p - start) * 8 + static_cast<uint64_t>(std::countl_zero(byte));
  }
  return uint64_t{bytes.size()} * 8;
}

// ---- Combining ----

namespace {

// Three blocks (result and two for kOne) and a stretch of a source fit into 32 KiB.
constexpr size_t kBlockSize = 4096;

struct alignas(64) Block {
  char bytes[kBlockSize];
};

// into[i] = function(into[i], from[i]) for the first `size` bytes. The function works on any
// unsigned or vector type.
template <class Function>
__attribute__((always_inline)) inline void Apply(char* into, const char* from, size_t size,
                                                 Function function) {
  constexpr size_t kStep = 4 * sizeof(Vector);
  size_t i = 0;
  for (; i + kStep <= size; i += kStep) {
    for (size_t k = i; k < i + kStep; k += sizeof(Vector)) {
      const Vector result = function(LoadVector(into + k), LoadVector(from + k));
      std::memcpy(into + k, &result, sizeof result);
    }
  }
  for (; i < size; i++) {
    into[i] = static_cast<char>(
        function(static_cast<uint8_t>(into[i]), static_cast<uint8_t>(from[i])));
  }
}

void AndInto(char* into, const char* from, size_t size) {
  Apply(into, from, size, [](auto a, auto b) { return a & b; });
}
void OrInto(char* into, const char* from, size_t size) {
  Apply(into, from, size, [](auto a, auto b) { return a | b; });
}
void XorInto(char* into, const char* from, size_t size) {
  Apply(into, from, size, [](auto a, auto b) { return a ^ b; });
}
void ClearIn(char* into, const char* from, size_t size) {
  Apply(into, from, size, [](auto a, auto b) { return a & ~b; });
}

// The part of a source that lies in a block; empty when the source ends before.
std::string_view Part(std::string_view source, size_t offset, size_t size) {
  return offset < source.size() ? source.substr(offset, size) : std::string_view();
}

// One block of the result: sources[*] from `offset` on, into `result`, `size` bytes.
class BlockCombiner {
 public:
  BlockCombiner(std::span<const std::string_view> sources, size_t offset, size_t size, char* result)
      : sources_(sources), offset_(offset), size_(size), result_(result) {}

  void Run(BitOperation operation) {
    switch (operation) {
      case BitOperation::kAnd:
        Fill(0);
        for (size_t i = 1; i < sources_.size(); i++) And(i);
        return;
      case BitOperation::kOr:
        return Unite(0);
      case BitOperation::kXor:
        Fill(0);
        for (size_t i = 1; i < sources_.size(); i++) With(i, XorInto);
        return;
      case BitOperation::kNot:
        std::memset(result_, 0xff, size_);
        return With(0, ClearIn);
      case BitOperation::kDiff:
        Fill(0);
        for (size_t i = 1; i < sources_.size(); i++) With(i, ClearIn);
        return;
      case BitOperation::kDiff1:
        Unite(1);
        return With(0, ClearIn);
      case BitOperation::kAndOr:
        Unite(1);
        return And(0);
      case BitOperation::kOne:
        return KeepSingles();
    }
  }

 private:
  std::string_view PartOf(size_t i) const { return Part(sources_[i], offset_, size_); }
  void Fill(size_t i) {
    const std::string_view part = PartOf(i);
    if (!part.empty()) std::memcpy(result_, part.data(), part.size());
    std::memset(result_ + part.size(), 0, size_ - part.size());
  }
  void With(size_t i, void (*function)(char*, const char*, size_t)) {
    const std::string_view part = PartOf(i);
    function(result_, part.data(), part.size());
  }
  void And(size_t i) {
    With(i, AndInto);
    const size_t covered = PartOf(i).size();
    std::memset(result_ + covered, 0, size_ - covered);
  }
  void Unite(size_t first) {
    Fill(first);
    for (size_t i = first + 1; i < sources_.size(); i++) With(i, OrInto);
  }
  // `result_` has what was seen at all, `twice` what was seen again.
  void KeepSingles() {
    Block twice;
    Block again;
    std::memset(twice.bytes, 0, size_);
    Fill(0);
    for (size_t i = 1; i < sources_.size(); i++) {
      const std::string_view part = PartOf(i);
      if (part.empty()) continue;
      std::memcpy(again.bytes, part.data(), part.size());
      AndInto(again.bytes, result_, part.size());
      OrInto(twice.bytes, again.bytes, part.size());
      OrInto(result_, part.data(), part.size());
    }
    ClearIn(result_, twice.bytes, size_);
  }

  std::span<const std::string_view> sources_;
  size_t offset_;
  size_t size_;
  char* result_;
};

}  // namespace

void CombineBits(BitOperation operation, std::span<const std::string_view> sources, char* out) {
  CHECK(!sources.empty());
  CHECK(operation != BitOperation::kNot || sources.size() == 1);
  // DIFF, DIFF1 and ANDOR speak of "the others": there must be one.
  CHECK(sources.size() > 1 || (operation != BitOperation::kDiff1 && operation != BitOperation::kAndOr));
  size_t length = 0;
  for (const std::string_view source : sources) length = std::max(length, source.size());
  Block block;
  for (size_t offset = 0; offset < length; offset += kBlockSize) {
    const size_t size = std::min(kBlockSize, length - offset);
    BlockCombiner(sources, offset, size, block.bytes).Run(operation);
    std::memcpy(out + offset, block.bytes, size);
  }
}

}  // namespace sherd
