// LZF: the checks around liblzf. See lzf.h.
#include "base/lzf.h"

#include <lzf.h>

#include <algorithm>
#include <cstdint>

namespace sherd {

namespace {

// Shorter texts have nothing that could repeat; liblzf would read behind those of one byte.
constexpr size_t kInputMin = 4;

}  // namespace

size_t LzfCompress(std::string_view input, char* out, size_t capacity) {
  if (input.size() < kInputMin || input.size() > UINT32_MAX || capacity == 0) return 0;
  const size_t room = std::min<size_t>(capacity, UINT32_MAX);
  return lzf_compress(input.data(), static_cast<unsigned>(input.size()), out,
                      static_cast<unsigned>(room));
}

bool LzfDecompress(std::string_view input, char* out, size_t size) {
  if (input.empty() || input.size() > UINT32_MAX) return false;
  if (size == 0 || size > UINT32_MAX) return false;
  return lzf_decompress(input.data(), static_cast<unsigned>(input.size()), out,
                        static_cast<unsigned>(size)) == size;
}

}  // namespace sherd
