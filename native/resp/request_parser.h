// RequestParser: incremental parser of client requests (RESP arrays of bulk strings, inline
// commands).
//
// The parser is pointed at the unread bytes of a connection and yields one command at a time as
// views into those bytes: nothing is copied. It keeps enough state to go on where it stopped when a
// command is split over reads, without scanning bytes twice: after kNeedMore the caller reads more
// bytes *behind* the ones it has (they may have moved: views are offsets from the command's start)
// and calls again with the longer span.
//
// Two paths. A command that lies complete in the input, which is nearly every command, fills args_
// directly (ParseWhole). At the first thing that is missing or odd, what was read so far is turned
// into offsets and the resumable path (ParseMultibulk) takes over; only that one knows how to wait
// and how to word an error.
//
// Limits and error texts are Redis 7.2's ("Protocol error: invalid multibulk length" ...). A
// protocol error is final: the caller replies with error() and closes the connection. Nothing is
// allocated in proportion to a length that the client merely claims. Redis's own answer to an
// overlong line depends on how the bytes were split over reads; ours does not: it is the one that
// Redis gives when they come one by one.
//
// Thread: one parser per connection, used by its I/O worker only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sherd::resp {

struct ParserLimits {
  int64_t max_bulk_length = 512LL * 1024 * 1024;  // proto-max-bulk-len
  int64_t max_multibulk_length = 2147483647;      // Redis 7: INT_MAX
  bool authenticated = true;  // false: at most 10 arguments of at most 16384 bytes
};

/// Longest inline command and longest length header, as Redis (PROTO_INLINE_MAX_SIZE).
inline constexpr size_t kInlineBytesMax = 64 * 1024;

enum class ParseStatus : uint8_t {
  kCommand,   // args() holds one command; consumed() bytes may be dropped once it has been executed
  kNeedMore,  // incomplete; bytes_wanted() says how many more at least when a bulk is being read
  kEmpty,     // nothing but an empty line or an empty array ("*0"): consumed(), call again
  kError,     // protocol error, see error()
};

class RequestParser {
 public:
  /// Parses the command that starts at input[0]. `input` always starts at the first byte of the
  /// current command, also on the calls after kNeedMore.
  ParseStatus Parse(std::string_view input, const ParserLimits& limits);

  /// Valid after kCommand until the next Parse()/Reset(); views into the last `input`, except for
  /// inline commands with quotes, whose unescaped bytes live in the parser.
  const std::vector<std::string_view>& args() const { return args_; }
  size_t consumed() const { return consumed_; }

  /// After kNeedMore inside a bulk: how many bytes input.size() must reach for the current bulk and
  /// its CRLF to be complete; else 0. Lets the connection size its buffer once for a big value.
  size_t bytes_wanted() const { return bytes_wanted_; }

  /// After kNeedMore: whether all that is missing is (the rest of) the command's last bulk; then where
  /// its bytes begin in the input and how many they are. The caller may read them into memory of their
  /// own and call FinishWithBulk().
  bool AwaitsLastBulk(size_t* offset, size_t* length) const {
    *offset = position_;
    *length = static_cast<size_t>(bulk_length_);
    return in_multibulk_ && remaining_ == 1 && bulk_length_ >= 0;
  }
  /// Completes such a command: `head` is the input up to the bulk, `bulk` its bytes without CRLF, which
  /// may lie anywhere. args() are valid as after kCommand; consumed() is head.size().
  void FinishWithBulk(std::string_view head, std::string_view bulk);

  /// After kError: the text behind "-ERR ", e.g. "Protocol error: expected '$', got 'x'".
  std::string_view error() const { return error_; }

  /// Forgets a half-parsed command.
  void Reset();

 private:
  ParseStatus ParseInline(std::string_view input);
  ParseStatus ParseWhole(std::string_view input, const ParserLimits& limits);
  ParseStatus ParseMultibulk(std::string_view input, const ParserLimits& limits);
  // Steps of ParseMultibulk: kCommand means "done, go on".
  ParseStatus ReadArrayHeader(std::string_view input, const ParserLimits& limits);
  ParseStatus ReadBulkHeader(std::string_view input, const ParserLimits& limits);
  bool FindLineEnd(std::string_view input, char terminator, size_t* line_end);
  ParseStatus WaitForLine(std::string_view input, const char* error_if_too_long);
  ParseStatus NeedMore(size_t bytes_wanted);
  ParseStatus Finish(ParseStatus status, size_t consumed);
  ParseStatus Fail(std::string text);

  struct Range {
    size_t offset;
    size_t size;
  };
  std::vector<std::string_view> args_;
  std::vector<Range> ranges_;  // arguments complete so far, as offsets from the command's start
  std::string unquoted_;       // bytes of inline arguments that had quotes
  size_t position_ = 0;        // start of the part being read, offset from the command's start
  size_t scanned_ = 0;         // up to here no line end was found; at least position_ when used
  int64_t remaining_ = 0;      // bulks still to come in this command
  int64_t bulk_length_ = -1;   // length of the bulk being read, -1 when its header is due
  bool in_multibulk_ = false;  // the array header has been read
  size_t consumed_ = 0;
  size_t bytes_wanted_ = 0;
  std::string error_;
};

}  // namespace sherd::resp
