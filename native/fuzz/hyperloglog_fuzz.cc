// Fuzz targets of HyperLogLog sketches, whose bytes clients may write themselves.
//
// hyperloglog  any bytes behind a header: no reader or writer leaves them, the readers agree on
//              whether they are whole, and a whole sketch stays one through changes, whose effect
//              is that of the same changes on plain registers
#include <cstring>
#include <string>

#include "base/check.h"
#include "ds/hyperloglog.h"
#include "fuzz/fuzz.h"

namespace sherd::fuzz {

namespace {

constexpr size_t kChanges = 24;

ds::HllElement ElementOf(const uint8_t* data, size_t size, size_t i) {
  const uint32_t a = data[i % size];
  const uint32_t b = data[(i * 7 + 3) % size];
  return {(a << 6 ^ b * 37) % static_cast<uint32_t>(ds::kHllRegisters),
          static_cast<uint8_t>(1 + (a ^ b) % 51)};
}

// Appends the zeros that are missing, so that many inputs are whole.
void Complete(std::string* sketch) {
  size_t covered = 0;
  ds::HllRun run;
  for (size_t at = ds::kHllHeaderSize; ds::HllReadRun(*sketch, at, &run); at += run.size) {
    covered += run.length;
  }
  if (covered >= ds::kHllRegisters) return;
  const size_t stored = ds::kHllRegisters - covered - 1;
  *sketch += static_cast<char>(0x40 | stored >> 8);
  *sketch += static_cast<char>(stored & 0xff);
}

}  // namespace

FUZZ_TARGET(hyperloglog) {
  if (size == 0) return;
  std::string bytes("HYLL\1\0\0\0\0\0\0\0\0\0\0\0", ds::kHllHeaderSize);
  bytes.append(reinterpret_cast<const char*>(data), size);
  if (data[size - 1] % 2 == 1) Complete(&bytes);
  const ExactCopy copy(bytes);
  CHECK(ds::IsHll(copy.view()));

  ds::HllRegisters registers{};
  uint64_t count = 0;
  const bool is_whole = ds::HllMerge(copy.view(), &registers);
  CHECK(ds::HllCount(copy.view(), &count) == is_whole);
  if (is_whole) CHECK(count == ds::HllCountRegisters(registers));
  {
    ds::HllSketch dense(copy.view());
    CHECK(dense.MakeDense() == is_whole);
    ds::HllRegisters unpacked{};
    if (is_whole) CHECK(ds::HllMerge(dense.bytes(), &unpacked) && unpacked == registers);
  }

  ds::HllSketch sketch(copy.view());
  const size_t sparse_size_max = size_t{data[0]} * 16;
  for (size_t i = 0; i < kChanges; i++) {
    const ds::HllElement element = ElementOf(data, size, i);
    const ds::HllChange change = sketch.Set(element, sparse_size_max);
    if (!is_whole) continue;
    const bool raises = registers[element.index] < element.value;
    CHECK(change == (raises ? ds::HllChange::kRaised : ds::HllChange::kNone));
    if (raises) registers[element.index] = element.value;
  }
  if (!is_whole) return;
  ds::HllRegisters changed{};
  CHECK(ds::HllMerge(sketch.bytes(), &changed));
  CHECK(changed == registers);
}
FUZZ_SEEDS(hyperloglog, "\x7f\xff", "\x7f\xfb\x83", "\x7f\xbf\x3f",
           "\x5f\xff\x80\x8b\x3f\x5f\xba", "\x01\x80\x80\x80\x02\x8b\x84\x81");

}  // namespace sherd::fuzz
