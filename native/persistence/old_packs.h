// Ziplists and zipmaps: the packed forms of files older than RDB 10, which we read and never write.
//
//   ziplist = u32 bytes | u32 offset of the last entry | u16 count | entry … | 0xFF      (little endian)
//   entry   = length of the previous entry (u8, or 0xFE u32) | encoding | data
//
//   00xxxxxx               string, 6-bit length          11000000  i16    11010000  i32
//   01xxxxxx xxxxxxxx      string, 14 bits, big endian   11100000  i64    11110000  i24
//   10000000 u32           string, 32 bits, big endian   11111110  i8     1111xxxx  x - 1: 0 … 12
//
//   zipmap  = u8 count (254: unknown) | (length, key, length, u8 free, value, free bytes) … | 0xFF
//   length  = u8 below 254, or 0xFE u32 (little endian)
//
// Both are read from hostile bytes: every field is checked, as far as Redis's own deep check goes.
//
// Source: Redis's ziplist.c and zipmap.c format notes. Thread: any; views point into the input.
#pragma once

#include <string_view>
#include <vector>

#include "ds/listpack.h"

namespace sherd::persistence {

/// The elements of a ziplist in order; false (and rubbish in `values`) when it is malformed.
bool ReadZiplist(std::string_view bytes, std::vector<ds::PackedValue>* values);

/// Keys and values of a zipmap, alternating.
bool ReadZipmap(std::string_view bytes, std::vector<ds::PackedValue>* values);

}  // namespace sherd::persistence
