// RdbWriter: the primitives of the RDB format, appended to a string.
//
// The sink is the caller's std::string: a DUMP payload is one anyway, and a file writer empties it
// whenever it has grown large enough. Strings are written as Redis writes them: as a small integer when
// they read as one, compressed when that is asked for and pays, plain otherwise.
//
// Values may be longer than what is good to hold at once: a writer with a sink hands its bytes over whenever
// they have become many, between any two of its calls.
//
// Thread: the caller's; nothing is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "persistence/rdb_format.h"

namespace sherd::persistence {

/// Where the bytes of a long value go while it is being written.
class RdbSink {
 public:
  /// Takes all bytes and leaves `out` empty. False: nothing more is wanted.
  virtual bool Take(std::string* out) = 0;

 protected:
  ~RdbSink() = default;
};

class RdbWriter {
 public:
  /// Appends to `out`, which outlives the writer. `compress`: strings by LZF (rdbcompression). `sink` gets the
  /// bytes when there are kSinkMin of them, but for the last ones; null: nobody does.
  RdbWriter(std::string* out, bool compress, RdbSink* sink = nullptr)
      : out_(out), sink_(sink), sink_at_(sink == nullptr ? SIZE_MAX : kSinkMin), compress_(compress) {}

  static constexpr size_t kSinkMin = 64 * 1024;
  /// A sink wants no more: what is written from now on is lost.
  bool stopped() const { return stopped_; }

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
  void Raw(std::string_view bytes) {
    if (__builtin_expect(bytes.size() + out_->size() >= sink_at_, 0)) return RawInPieces(bytes);
    out_->append(bytes);
  }

 private:
  void RawInPieces(std::string_view bytes);
  /// Writes `value` in its short form; false if it has none.
  bool ShortInteger(int64_t value);
  bool Compressed(std::string_view text);

  std::string* out_;
  RdbSink* sink_;
  size_t sink_at_;
  bool compress_;
  bool stopped_ = false;
};

}  // namespace sherd::persistence
