// The RDB format as data: type bytes, length prefixes, string encodings, and which version brought what.
//
//   length prefix (first byte, two top bits)
//   00xxxxxx                      6-bit length
//   01xxxxxx xxxxxxxx             14-bit length, big endian
//   10000000 u32 big endian       32-bit length
//   10000001 u64 big endian       64-bit length
//   11xxxxxx                      not a length: a string in the encoding xxxxxx (StringForm)
//
//   string = length, bytes | 11000000 i8 | 11000001 i16 | 11000010 i32 (little endian)
//          | 11000011 compressed-length original-length LZF-bytes
//
//   DUMP payload = type byte, value, u16 version (little), u64 CRC64 of all before (little)
//
// A server refuses payloads of a version above its own: Redis 7.0 reads up to 10, 7.2 up to 11, 7.4 up to
// 12. What we write is decided by the option rdb-compat-version.
//
// Source: Redis's rdb.h of the versions named, and files that they wrote.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sherd::persistence {

enum class RdbType : uint8_t {
  kString = 0,
  kList = 1,
  kSet = 2,
  kSortedSet = 3,            // scores as text
  kHash = 4,
  kSortedSet2 = 5,           // RDB 8: scores as binary doubles
  kModule = 6,
  kModule2 = 7,
  kHashZipmap = 9,
  kListZiplist = 10,
  kSetIntset = 11,
  kSortedSetZiplist = 12,
  kHashZiplist = 13,
  kListQuicklist = 14,       // RDB 7: nodes of ziplists
  kStreamListpacks = 15,     // RDB 9
  kHashListpack = 16,        // RDB 10
  kSortedSetListpack = 17,   // RDB 10
  kListQuicklist2 = 18,      // RDB 10: nodes of listpacks, or plain
  kStreamListpacks2 = 19,    // RDB 10: first ID, max deleted ID, entries added, entries read
  kSetListpack = 20,         // RDB 11
  kStreamListpacks3 = 21,    // RDB 11: active time of consumers
  kHashMetadata = 24,        // RDB 12: field expiries
  kHashListpackEx = 25,      // RDB 12: the same in a listpack
};

inline constexpr uint32_t kRdbVersionMin = 9;
inline constexpr uint32_t kRdbVersionMax = 12;

/// Versions of files that are read; DUMP payloads and what we write have the narrower bounds above.
inline constexpr uint32_t kRdbFileVersionMin = 1;
/// Files from this version on end with a checksum.
inline constexpr uint32_t kRdbChecksumVersionMin = 5;

/// What stands where an entry's type byte could: everything in a file that is no entry, and what may precede
/// one.
enum class RdbOpcode : uint8_t {
  kSlotInfo = 244,            // slot, keys, keys with an expiry: hints
  kFunction = 245,            // a library's code
  kFunctionPreRelease = 246,
  kModuleAux = 247,
  kIdle = 248,                // seconds since the last access of the entry that follows
  kFrequency = 249,           // its LFU counter
  kAux = 250,                 // name, value
  kResizeDb = 251,            // keys, keys with an expiry: hints
  kExpiryMs = 252,
  kExpirySeconds = 253,
  kSelectDb = 254,
  kEnd = 255,
};

/// The six low bits of a string's first byte when the top two are set.
enum class StringForm : uint8_t { kInt8 = 0, kInt16 = 1, kInt32 = 2, kLzf = 3 };

/// Containers of a kListQuicklist2 node.
inline constexpr uint64_t kNodePlain = 1;
inline constexpr uint64_t kNodePacked = 2;

/// u16 version and u64 checksum behind a DUMP payload.
inline constexpr size_t kDumpFooterSize = 10;

/// Strings up to this length are not worth compressing (Redis).
inline constexpr size_t kCompressMin = 21;

}  // namespace sherd::persistence
