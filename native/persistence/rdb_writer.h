// RdbWriter: the primitives of the RDB format, appended to a string.
//
// The sink is the caller's std::string: a DUMP payload is one anyway, and a file writer empties it
// whenever it has grown large enough. Strings are written as Redis writes them: as a small integer when
// they read as one, compressed when that is asked for and pays, plain otherwise.
//
// Thread: the caller's; nothing is shared.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "persistence/rdb_format.h"

namespace sherd::persistence {

class RdbWriter {
 public:
  /// Appends to `out`, which outlives the writer. `compress`: strings by LZF (rdbcompression).
  RdbWriter(std::string* out, bool compress) : out_(out), compress_(compress) {}

  std::string& out() { return *out_; }

  void Byte(uint8_t byte) { out_->push_back(static_cast<char>(byte)); }
  void Type(RdbType type) { Byte(static_cast<uint8_t>(type)); }
  void Length(uint64_t length);
  void String(std::string_view text);
  /// What String() would write for the decimal text of `value`.
  void IntegerString(int64_t value);
  void BinaryDouble(double value);
  void Little16(uint16_t value);
  void Little64(uint64_t value);
  /// A unix time in ms, as expiries and streams have them.
  void Milliseconds(int64_t at_ms) { Little64(static_cast<uint64_t>(at_ms)); }
  void Raw(std::string_view bytes) { out_->append(bytes); }

 private:
  /// Writes `value` in its short form; false if it has none.
  bool ShortInteger(int64_t value);
  bool Compressed(std::string_view text);

  std::string* out_;
  bool compress_;
};

}  // namespace sherd::persistence
