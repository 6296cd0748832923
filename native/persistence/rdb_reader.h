// RdbReader: the primitives of the RDB format, read from bytes that nobody vouches for.
//
//   RdbReader reader(payload);
//   const uint64_t count = reader.Length();
//   RdbString field;
//   while (reader.ok() && i++ < count) reader.String(&field);
//   if (!reader.ok()) …
//
// After the first thing that is not as it should be, ok() stays false and every read gives nothing. No
// length is believed: a plain string must lie within the bytes, a compressed one may not claim more than
// LZF can have made of what is there. So memory is bounded by a small multiple of the input.
//
// Thread: the caller's. Views point into the input, or into the RdbString when the text was packed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/numbers.h"
#include "persistence/rdb_format.h"

namespace sherd::persistence {

/// A string as it was read: a view into the input, or its own bytes. Reused from read to read, so that
/// unpacking costs no allocation each time.
struct RdbString {
  std::string_view view;
  std::string unpacked;
  char digits[kInt64CharsMax];
};

class RdbReader {
 public:
  explicit RdbReader(std::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return is_ok_ && bytes_.ok(); }
  size_t remaining() const { return bytes_.remaining(); }
  bool AtEnd() const { return bytes_.AtEnd(); }
  /// To be called by whoever finds that what was read makes no sense.
  void Fail() { is_ok_ = false; }

  uint8_t Byte() { return bytes_.Byte(); }
  /// A plain length; a string's special form is a failure here.
  uint64_t Length();
  /// A length that counts things of at least `size` bytes each: more than the input can hold is a
  /// failure.
  uint64_t Count(size_t size = 1);
  bool String(RdbString* text);
  double BinaryDouble();
  /// A double as text, the form before RDB 8.
  double TextDouble();
  uint64_t Little64() { return bytes_.Little64(); }
  std::string_view Raw(size_t size) { return bytes_.Bytes(size); }

 private:
  /// Reads a prefix: a length, or (`*is_special`) the form of a string.
  uint64_t Prefix(bool* is_special);
  bool SpecialString(uint64_t form, RdbString* text);
  bool CompressedString(RdbString* text);

  ByteReader bytes_;
  bool is_ok_ = true;
};

}  // namespace sherd::persistence
