// Fuzz targets of ds, and of what RESTORE hands to it.
//
// listpack_validate  any bytes: Validate reads nothing outside them; what it accepts can be walked both
//                    ways, searched, and changed at random by the rest of the input, and stays valid
// lzf                any bytes: decompressing never leaves its blocks; the same bytes as a text come back
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/lzf.h"
#include "base/random.h"
#include "base/slab_heap.h"
#include "ds/listpack.h"
#include "fuzz/fuzz.h"

namespace sherd::fuzz {

namespace {

void ChangeAtRandom(Random& random, SlabHeap& heap, ds::Listpack& pack) {
  const size_t count = pack.count();
  const ds::Listpack::Position at =
      count == 0 ? ds::Listpack::kNone : pack.Seek(static_cast<int64_t>(random.Below(count)));
  switch (random.Below(5)) {
    case 0: pack.Append(heap, std::string(random.Below(70), 'z')); break;
    case 1: pack.Prepend(heap, std::to_string(random.Next() >> random.Below(64))); break;
    case 2:
      if (at != ds::Listpack::kNone) pack.Replace(heap, at, "replaced");
      break;
    case 3:
      if (at != ds::Listpack::kNone) pack.Erase(heap, at, 1 + random.Below(3));
      break;
    default: pack.EraseMatches(heap, "replaced", random.Below(2), 1 + random.Below(2)); break;
  }
}

size_t CountForward(const ds::Listpack& pack) {
  size_t count = 0;
  char buffer[kInt64CharsMax];
  pack.Visit(pack.First(), ~size_t{0}, [&](ds::PackedValue value) {
    CHECK(value.View(buffer).size() <= pack.bytes() + kInt64CharsMax);
    count++;
    return true;
  });
  return count;
}

}  // namespace

FUZZ_TARGET(listpack_validate) {
  // The header's total is set right half of the time: else hardly any mutant would get past it.
  if (size < 1) return;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((data[0] & 1) == 0 && bytes.size() >= 4) {
    StoreLittle32(bytes.data(), static_cast<uint32_t>(bytes.size()));
  }
  const ExactCopy copy(bytes);
  size_t count = 0;
  if (!ds::Listpack::Validate(copy.view(), &count)) return;
  SlabHeap heap;
  ds::Listpack pack = ds::Listpack::CreateFrom(heap, copy.view());
  CHECK(pack.count() == count);
  CHECK(CountForward(pack) == count);
  size_t backward = 0;
  for (ds::Listpack::Position at = pack.Last(); at != ds::Listpack::kNone; at = pack.Previous(at)) {
    backward++;
  }
  CHECK(backward == count);
  (void)pack.IsCanonical();
  Random random(data[0]);
  for (int i = data[0] & 31; i > 0; i--) ChangeAtRandom(random, heap, pack);
  CHECK(ds::Listpack::Validate(pack.view(), &count));
  CHECK(CountForward(pack) == count);
  pack.Free(heap);
  CHECK(heap.used_bytes() == 0);
}

namespace {

/// A first byte for the target, and a listpack of these texts.
std::string PackOf(char first, std::initializer_list<std::string_view> texts) {
  SlabHeap heap;
  ds::Listpack pack = ds::Listpack::Create(heap);
  for (const std::string_view text : texts) pack.Append(heap, text);
  std::string bytes = first + std::string(pack.view());
  pack.Free(heap);
  return bytes;
}

const SeedRegistration listpack_validate_seeds(
    "listpack_validate",
    {PackOf('\0', {}), PackOf('\2', {"a", "b"}), PackOf('\6', {"0", "-1", "5000", "100000"}),
     PackOf('\x1E', {"10000000", "5000000000", std::string(64, 'x'), "replaced"}),
     PackOf('\4', {std::string(100, 'y'), "replaced", "replaced", std::string(4096, 'z')})});

}  // namespace

FUZZ_TARGET(lzf) {
  const ExactCopy copy({reinterpret_cast<const char*>(data), size});
  const std::string_view text = copy.view();
  std::vector<char> unpacked(1 + (size > 0 ? data[0] * 8u : 0));
  (void)LzfDecompress(text, unpacked.data(), unpacked.size());
  std::vector<char> packed(size + size / 16 + 64);
  const size_t packed_size = LzfCompress(text, packed.data(), packed.size());
  if (packed_size == 0) {
    CHECK(size < 4);
    return;
  }
  std::vector<char> back(size);
  CHECK(LzfDecompress({packed.data(), packed_size}, back.data(), back.size()));
  CHECK(std::equal(back.begin(), back.end(), text.begin()));
}
FUZZ_SEEDS(lzf, "abcabcabcabcabcabcabcabcabc", "\x04hello\xe0\x10\x04", "\x1f noise and more noise");

}  // namespace sherd::fuzz
