// LZF: the compression of quicklist nodes and of long strings in RDB files and DUMP payloads.
//
// A thin layer over liblzf, which takes lengths of 32 bits, reads the first bytes of its input without
// asking whether they exist, and knows errors only as 0. Here both ends are checked: hostile input to
// LzfDecompress is refused, never followed.
//
// liblzf's table of 256 KB lies on the caller's stack and is not cleared, so the compressed bytes of one
// text may differ from run to run; they always decompress to the same.
//
// Any thread. Nothing here allocates.
#pragma once

#include <cstddef>
#include <string_view>

namespace sherd {

/// Compresses `input` to at most `capacity` bytes at `out` and returns how many they are; 0 when it does
/// not fit, which is how to ask for a saving (capacity = size - what must be saved), or when the input is
/// too short to be worth it (or above 4 GB).
size_t LzfCompress(std::string_view input, char* out, size_t capacity);

/// Decompresses `input` to `out`, which it must fill to exactly `size` bytes. False: it is not LZF, or of
/// another size; `out` is then half-written. Safe on any bytes.
[[nodiscard]] bool LzfDecompress(std::string_view input, char* out, size_t size);

}  // namespace sherd
