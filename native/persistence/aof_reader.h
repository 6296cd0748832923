// AofReader: one AOF file from front to end: commands, lines that start with '#', and exactly what is wrong
// where. Its verdicts are those of src/persistence/format/aof-reader.ts as a server judges; the reasons are in
// docs/internals/aof.md.
//
//   [RDB preamble] { "#" annotation "\n" | "*" count CRLF { "$" length CRLF bytes CRLF } }
//
//   file    |  dropped  |  kept  |    parsed    |   read ahead   |   not yet read   |
//                       ^ keep   ^ command      ^ at             ^ filled
//                       +------- window ------------------------+
//
// Arguments are views into the window, where each command lies in one piece. From a MULTI to its EXEC nothing
// is dropped, so that a transaction can be executed as a whole once its end has been seen, without a copy of
// it. A length is compared with what the file has left before there is room made for it, so the window is at
// most twice as large as the largest command or transaction.
//
// The checksum runs over every byte from `start` on, lines that state it included, and is summed behind the
// parser: where bytes leave the window, and where somebody wants to know.
//
// Thread: the caller's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "persistence/byte_source.h"

namespace sherd::persistence {

/// Why a file is not good beyond last_good_offset().
struct AofFailure {
  std::string text;
  uint64_t offset = 0;
  /// The file only ends too early, as after a crash.
  bool is_torn = false;
  /// A checksum line tells of it.
  bool is_checksum = false;
};

class AofReader {
 public:
  enum class Item : uint8_t {
    kCommand,     // args(); `place` says where it stands
    kAnnotation,  // a line that starts with '#'
    kEnd,
    kFailure,     // failure()
    kIoError,     // io_error(), an errno
    kWouldRead,   // more must be read from the file first, and the caller does not want that now
  };
  enum class Place : uint8_t { kAlone, kMulti, kInside, kExec };

  /// `start`: offset of the first command, behind an RDB preamble.
  AofReader(ByteSource* source, uint64_t start, bool verifies_checksums);
  AofReader(const AofReader&) = delete;
  AofReader& operator=(const AofReader&) = delete;

  /// The next item. With `may_read` false the window stays where it is, so that arguments of earlier commands
  /// remain valid.
  Item Next(bool may_read = true);

  const std::vector<std::string_view>& args() const { return args_; }
  Place place() const { return place_; }
  uint64_t command_offset() const { return command_offset_; }
  /// Where in the file a view of args() lies, and the bytes there: for those of a transaction, until its EXEC.
  uint64_t OffsetOf(std::string_view arg) const {
    return window_offset_ + static_cast<uint64_t>(arg.data() - window_.get());
  }
  std::string_view BytesAt(uint64_t offset, size_t size) const {
    return {window_.get() + (offset - window_offset_), size};
  }

  const AofFailure& failure() const { return failure_; }
  int io_error() const { return io_error_; }
  uint64_t offset() const { return window_offset_ + at_; }
  /// Everything in front of it is good, transactions whole.
  uint64_t last_good_offset() const { return last_good_; }
  /// Where the last checksum line that held ends; the start without one.
  uint64_t verified_offset() const { return verified_; }
  bool has_verified() const { return line_count_ > 0; }
  /// The checksum at last_good_offset(). At the end, or after a torn one.
  uint64_t CrcAtLastGood();

 private:
  enum class Parse : uint8_t { kDone, kNeedMore, kFailed };

  Parse ParseItem(Item* item);
  Parse ParseAnnotation();
  Parse ParseCommand();
  Parse ParseArgument(size_t* at, std::string_view* arg);
  Parse ParseNumber(char prefix, size_t* at, int64_t* number);
  Parse ReadOddNumber(std::string_view line, char prefix, bool has_newline, size_t at, int64_t* number);
  bool EnterTransaction(std::string_view name, size_t at);
  bool HoldsChecksum(std::string_view line);
  Parse NeedMore(uint64_t end) {
    wanted_ = end;
    return Parse::kNeedMore;
  }
  Parse Fail(std::string text, size_t at, size_t named, bool is_torn);
  bool JudgeTorn(bool is_torn, uint64_t offset);
  bool EndsInZeros(uint64_t offset);
  bool HasLineBehind(uint64_t from);
  bool Refill();
  void SumTo(uint64_t offset);
  bool at_file_end() const { return window_offset_ + filled_ >= size_; }

  ByteSource* const source_;
  const uint64_t size_;
  const bool verifies_checksums_;
  std::unique_ptr<char[]> window_;
  size_t capacity_ = 0;
  uint64_t window_offset_;
  size_t filled_ = 0;
  size_t at_ = 0;
  uint64_t wanted_ = 0;     // after kNeedMore: index in the window up to which there must be bytes
  bool has_failed_ = false;

  std::vector<std::string_view> args_;
  Place place_ = Place::kAlone;
  uint64_t command_offset_ = 0;
  bool is_in_multi_ = false;
  uint64_t multi_offset_ = 0;
  uint64_t multi_crc_ = 0;  // in front of it

  uint64_t crc_ = 0;
  uint64_t summed_;         // offset up to which crc_ has taken bytes in
  uint64_t last_good_;
  uint64_t verified_;
  uint64_t verified_good_;  // last place outside of transactions that a line vouches for
  uint64_t line_count_ = 0;
  AofFailure failure_;
  int io_error_ = 0;
};

}  // namespace sherd::persistence
