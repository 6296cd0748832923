// Micro-benchmarks of base: checksums, hashes, numbers, globs, clocks.
#include <algorithm>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/crc16.h"
#include "base/crc64.h"
#include "base/glob.h"
#include "base/numbers.h"
#include "base/random.h"
#include "base/siphash.h"
#include "bench/bench.h"

namespace sherd {

namespace {

using bench::Keep;

// redis-benchmark's key.
constexpr std::string_view kKey = "key:000000123456";

// Copies of a key with changing digits, so that nothing is a constant to the compiler or the
// predictor.
std::vector<std::string> SomeKeys(size_t size) {
  std::vector<std::string> keys;
  for (int i = 0; i < 64; i++) {
    std::string key(size, 'k');
    const std::string digits = std::to_string(100000 + i);
    key.replace(size > 6 ? size - 6 : 0, 6, digits.substr(0, std::min<size_t>(6, size)));
    keys.push_back(key.substr(0, size));
  }
  return keys;
}

void SlotOf(bench::Bench& bench, size_t size) {
  const auto keys = SomeKeys(size);
  bench.Run([&](uint64_t i) { Keep(KeySlot(keys[i & 63])); });
}

void HashOf(bench::Bench& bench, size_t size) {
  const auto keys = SomeKeys(size);
  const SipKey key{123, 456};
  bench.Run([&](uint64_t i) { Keep(SipHash(keys[i & 63], key)); });
}

}  // namespace

BENCH(key_slot_8_bytes) { SlotOf(bench, 8); }
BENCH(key_slot_10_bytes) { SlotOf(bench, 10); }
BENCH(key_slot_16_bytes) { SlotOf(bench, 16); }
BENCH(key_slot_32_bytes) { SlotOf(bench, 32); }
BENCH(key_slot_hash_tag) {
  const std::string key = "{user1000}.following";
  bench.Run([&](uint64_t) { Keep(KeySlot(key)); });
}

BENCH(siphash_4_bytes) { HashOf(bench, 4); }
BENCH(siphash_10_bytes) { HashOf(bench, 10); }
BENCH(siphash_16_bytes) { HashOf(bench, 16); }
BENCH(siphash_32_bytes) { HashOf(bench, 32); }
BENCH(siphash_ignore_case_8_bytes) {
  const std::string name = "EXPIREAT";
  bench.Run([&](uint64_t i) { Keep(SipHashIgnoreCase(name, SipKey{i, 2})); });
}

BENCH(crc64_per_kib) {
  const std::string block(1024, 'x');
  uint64_t crc = 0;
  bench.Run([&](uint64_t) { crc = Crc64(crc, block); });
  Keep(crc);
}

BENCH(format_int64_random_length) {
  Random random(1);
  uint64_t values[64];
  for (uint64_t& value : values) value = random.Next() >> random.Below(64);
  char out[kInt64CharsMax];
  bench.Run([&](uint64_t i) { Keep(FormatInt64(static_cast<int64_t>(values[i & 63]), out)); });
}
BENCH(format_int64_6_digits) {
  char out[kInt64CharsMax];
  bench.Run(
      [&](uint64_t i) { Keep(FormatInt64(static_cast<int64_t>(100'000 + (i & 0xffff)), out)); });
}
BENCH(parse_int64_6_digits) {
  const auto keys = SomeKeys(6);
  bench.Run([&](uint64_t i) {
    int64_t value = 0;
    Keep(ParseInt64(keys[i & 63], &value));
    Keep(value);
  });
}
BENCH(parse_int64_refuses_text) {
  bench.Run([&](uint64_t) {
    int64_t value = 0;
    Keep(ParseInt64(kKey, &value));
  });
}
BENCH(format_double_shortest) {
  char out[kDoubleCharsMax];
  bench.Run([&](uint64_t i) { Keep(FormatDouble(static_cast<double>(i) * 0.37, out)); });
}
BENCH(parse_double) {
  const std::string text = "12345.6789";
  bench.Run([&](uint64_t) {
    double value = 0;
    Keep(ParseDouble(text, &value));
    Keep(value);
  });
}

BENCH(glob_prefix_star) {
  const std::string pattern = "key:0000*";
  bench.Run([&](uint64_t) { Keep(GlobMatch(pattern, kKey)); });
}

BENCH(clock_monotonic) {
  bench.Run([](uint64_t) { Keep(Clock::MonotonicNs()); });
}
BENCH(clock_cycles) {
  CycleClock::Calibrate();
  bench.Run([](uint64_t) { Keep(CycleClock::Now()); });
}

}  // namespace sherd
