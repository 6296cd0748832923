// Random: a small seedable generator (xoshiro256**, Blackman and Vigna 2018).
//
// For sampling (RANDOMKEY, eviction), probabilistic counters, skiplist levels and tests. Not for
// secrets: hash keys and node ids come from the system. The same seed gives the same sequence on
// every machine, which is what lets a failed random test be replayed.
//
// Not thread-safe: one generator per shard, worker or test.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/check.h"

namespace sherd {

class Random {
 public:
  explicit Random(uint64_t seed) {
    // SplitMix64 spreads the seed, so that neighbouring seeds give unrelated sequences and the
    // state is never all zeros.
    for (uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15ULL;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
      word = z ^ (z >> 31);
    }
  }

  /// 64 random bits.
  uint64_t Next() {
    const uint64_t result = Rotate(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }

  /// Uniform in [0, bound), bound > 0, without bias (Lemire 2019).
  uint64_t Below(uint64_t bound) {
    CHECK(bound > 0);
    auto product = static_cast<unsigned __int128>(Next()) * bound;
    if (static_cast<uint64_t>(product) < bound) {
      const uint64_t threshold = (uint64_t{0} - bound) % bound;
      while (static_cast<uint64_t>(product) < threshold) {
        product = static_cast<unsigned __int128>(Next()) * bound;
      }
    }
    return static_cast<uint64_t>(product >> 64);
  }

  /// Uniform in [low, high], low <= high.
  int64_t Between(int64_t low, int64_t high) {
    CHECK(low <= high);
    const uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
    const uint64_t offset = span == UINT64_MAX ? Next() : Below(span + 1);
    return static_cast<int64_t>(static_cast<uint64_t>(low) + offset);
  }

  /// Uniform in [0, 1) with 53 bits.
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

  /// True once in `n` on average.
  bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  static uint64_t Rotate(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

  uint64_t state_[4];
};

}  // namespace sherd
