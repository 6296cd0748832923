// The request parser. See request_parser.h.
//
// Redis's line search stops at a zero byte and does not look whether LF follows CR, nor what the
// two bytes behind a bulk are. Clients can not tell except with broken input, but then the error
// texts and the moment of the error must be the same, so all of that is kept.
#include "resp/request_parser.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/numbers.h"
#include "resp/inline_arguments.h"

namespace sherd::resp {

namespace {

// Before AUTH, as Redis: enough for AUTH and HELLO.
constexpr int64_t kUnauthenticatedArgsMax = 10;
constexpr int64_t kUnauthenticatedBulkMax = 16384;

// Room for arguments that an array header may claim before any of them has come.
constexpr size_t kClaimedArgsMax = 64;
// A parser that held a longer command gives the memory back with the next one.
constexpr size_t kKeptArgsMax = 1024;

// The shortest bulk: "$0\r\n\r\n".
constexpr ptrdiff_t kBulkBytesMin = 6;

// Reads "<any>digits\r<any>" at `cursor`; returns the place behind it, or nullptr when the number
// is not 1 to 9 plain digits (which may be an error, or only incomplete: the slow path finds out).
// At least kBulkBytesMin bytes lie between `cursor` and `end`.
inline const char* ReadLength(const char* cursor, const char* end, int64_t* length) {
  const unsigned first = static_cast<unsigned char>(cursor[1]) - unsigned{'0'};
  if (first > 9) return nullptr;
  if (cursor[2] == '\r') {
    *length = first;
    return cursor + 4;
  }
  if (first == 0) return nullptr;
  unsigned value = first;
  const char* const limit = end - cursor > 11 ? cursor + 11 : end - 1;
  for (cursor += 2; cursor < limit; cursor++) {
    const unsigned digit = static_cast<unsigned char>(*cursor) - unsigned{'0'};
    if (digit > 9) {
      if (*cursor != '\r') return nullptr;
      *length = value;
      return cursor + 2;
    }
    if (value >= 100'000'000) return nullptr;
    value = value * 10 + digit;
  }
  return nullptr;
}

}  // namespace

ParseStatus RequestParser::Parse(std::string_view input, const ParserLimits& limits) {
  if (in_multibulk_) return ParseMultibulk(input, limits);
  if (input.empty()) return NeedMore(0);
  if (input[0] != '*') return ParseInline(input);
  // scanned_ != 0: a first call has already found the header incomplete.
  return scanned_ == 0 ? ParseWhole(input, limits) : ParseMultibulk(input, limits);
}

void RequestParser::Reset() {
  ranges_.clear();
  position_ = 0;
  scanned_ = 0;
  remaining_ = 0;
  bulk_length_ = -1;
  in_multibulk_ = false;
  bytes_wanted_ = 0;
}

// ---- Complete commands ----

ParseStatus RequestParser::ParseWhole(std::string_view input, const ParserLimits& limits) {
  const char* const begin = input.data();
  const char* const end = begin + input.size();
  int64_t count = 0;
  const char* cursor = end - begin >= kBulkBytesMin ? ReadLength(begin, end, &count) : nullptr;
  if (cursor == nullptr || count == 0 || count > limits.max_multibulk_length ||
      (!limits.authenticated && count > kUnauthenticatedArgsMax)) {
    return ParseMultibulk(input, limits);
  }
  const int64_t bulk_max = limits.authenticated
                               ? limits.max_bulk_length
                               : std::min(limits.max_bulk_length, kUnauthenticatedBulkMax);
  const auto args_count = static_cast<size_t>(count);
  size_t room = std::min(args_count, kClaimedArgsMax);
  if (__builtin_expect(args_.capacity() > kKeptArgsMax, 0)) {
    args_ = std::vector<std::string_view>();
  }
  if (args_.size() != room) args_.resize(room);
  std::string_view* args = args_.data();

  size_t done = 0;
  for (; done < args_count; done++) {
    if (__builtin_expect(end - cursor < kBulkBytesMin || *cursor != '$', 0)) break;
    int64_t length = 0;
    const char* const bytes = ReadLength(cursor, end, &length);
    if (bytes == nullptr || length > bulk_max || end - bytes < length + 2) break;
    if (__builtin_expect(done == room, 0)) {
      room = std::min(args_count, 2 * room);
      args_.resize(room);
      args = args_.data();
    }
    args[done] = std::string_view(bytes, static_cast<size_t>(length));
    cursor = bytes + length + 2;
  }
  if (__builtin_expect(done == args_count, 1)) {
    consumed_ = static_cast<size_t>(cursor - begin);
    return ParseStatus::kCommand;
  }

  // Something is missing or wrong: leave what was read to the resumable path.
  ranges_.clear();
  for (size_t i = 0; i < done; i++) {
    ranges_.push_back({static_cast<size_t>(args[i].data() - begin), args[i].size()});
  }
  in_multibulk_ = true;
  remaining_ = count - static_cast<int64_t>(done);
  bulk_length_ = -1;
  position_ = static_cast<size_t>(cursor - begin);
  scanned_ = position_;
  return ParseMultibulk(input, limits);
}

// ---- Commands that come in pieces ----

ParseStatus RequestParser::ParseMultibulk(std::string_view input, const ParserLimits& limits) {
  if (!in_multibulk_) {
    const ParseStatus status = ReadArrayHeader(input, limits);
    if (status != ParseStatus::kCommand) return status;
  }
  while (remaining_ > 0) {
    if (bulk_length_ < 0) {
      const ParseStatus status = ReadBulkHeader(input, limits);
      if (status != ParseStatus::kCommand) return status;
    }
    const auto length = static_cast<size_t>(bulk_length_);
    if (input.size() - position_ < length + 2) return NeedMore(position_ + length + 2);
    ranges_.push_back({position_, length});
    position_ += length + 2;
    scanned_ = position_;
    bulk_length_ = -1;
    remaining_--;
  }
  args_.clear();
  for (const Range& range : ranges_) args_.push_back(input.substr(range.offset, range.size));
  if (ranges_.capacity() > kKeptArgsMax) ranges_ = std::vector<Range>();
  return Finish(ParseStatus::kCommand, position_);
}

void RequestParser::FinishWithBulk(std::string_view head, std::string_view bulk) {
  CHECK(in_multibulk_ && remaining_ == 1 && head.size() == position_);
  CHECK(static_cast<int64_t>(bulk.size()) == bulk_length_);
  args_.clear();
  for (const Range& range : ranges_) args_.push_back(head.substr(range.offset, range.size));
  args_.push_back(bulk);
  Finish(ParseStatus::kCommand, head.size());
}

ParseStatus RequestParser::ReadArrayHeader(std::string_view input, const ParserLimits& limits) {
  size_t line_end;
  if (!FindLineEnd(input, '\r', &line_end)) {
    return WaitForLine(input, "Protocol error: too big mbulk count string");
  }
  if (line_end + 2 > input.size()) return NeedMore(0);
  int64_t count;
  if (!ParseInt64(input.substr(1, line_end - 1), &count) || count > limits.max_multibulk_length) {
    return Fail("Protocol error: invalid multibulk length");
  }
  if (!limits.authenticated && count > kUnauthenticatedArgsMax) {
    return Fail("Protocol error: unauthenticated multibulk length");
  }
  if (count <= 0) return Finish(ParseStatus::kEmpty, line_end + 2);
  position_ = line_end + 2;
  scanned_ = position_;
  remaining_ = count;
  bulk_length_ = -1;
  in_multibulk_ = true;
  return ParseStatus::kCommand;
}

ParseStatus RequestParser::ReadBulkHeader(std::string_view input, const ParserLimits& limits) {
  size_t line_end;
  if (!FindLineEnd(input, '\r', &line_end)) {
    return WaitForLine(input, "Protocol error: too big bulk count string");
  }
  if (line_end + 2 > input.size()) return NeedMore(0);
  if (input[position_] != '$') {
    return Fail(std::string("Protocol error: expected '$', got '") + input[position_] + "'");
  }
  int64_t length;
  if (!ParseInt64(input.substr(position_ + 1, line_end - position_ - 1), &length) || length < 0 ||
      length > limits.max_bulk_length) {
    return Fail("Protocol error: invalid bulk length");
  }
  if (!limits.authenticated && length > kUnauthenticatedBulkMax) {
    return Fail("Protocol error: unauthenticated bulk length");
  }
  bulk_length_ = length;
  position_ = line_end + 2;
  scanned_ = position_;
  return ParseStatus::kCommand;
}

// ---- Inline commands ----

ParseStatus RequestParser::ParseInline(std::string_view input) {
  size_t line_end;
  if (!FindLineEnd(input, '\n', &line_end)) {
    return WaitForLine(input, "Protocol error: too big inline request");
  }
  if (unquoted_.capacity() > kKeptArgsMax) unquoted_ = std::string();
  size_t line_size = line_end;
  if (line_size > 0 && input[line_size - 1] == '\r') line_size--;
  if (!SplitInlineArguments(input.substr(0, line_size), &args_, &unquoted_)) {
    return Fail("Protocol error: unbalanced quotes in request");
  }
  return Finish(args_.empty() ? ParseStatus::kEmpty : ParseStatus::kCommand, line_end + 1);
}

// ---- Helpers ----

// Looks for `terminator` from scanned_ on, within kInlineBytesMax bytes from position_. A zero byte
// hides everything behind it, for good: scanned_ stays on it.
bool RequestParser::FindLineEnd(std::string_view input, char terminator, size_t* line_end) {
  const size_t window_end = std::min(input.size(), position_ + kInlineBytesMax + 1);
  if (window_end <= scanned_) return false;
  const char* const from = input.data() + scanned_;
  const size_t size = window_end - scanned_;
  const auto* found = static_cast<const char*>(std::memchr(from, terminator, size));
  const size_t clean = found == nullptr ? size : static_cast<size_t>(found - from);
  const auto* zero = static_cast<const char*>(std::memchr(from, '\0', clean));
  if (zero != nullptr) {
    scanned_ += static_cast<size_t>(zero - from);
    return false;
  }
  scanned_ += clean;
  *line_end = scanned_;
  return found != nullptr;
}

ParseStatus RequestParser::WaitForLine(std::string_view input, const char* error_if_too_long) {
  if (input.size() - position_ > kInlineBytesMax) return Fail(error_if_too_long);
  return NeedMore(0);
}

ParseStatus RequestParser::NeedMore(size_t bytes_wanted) {
  bytes_wanted_ = bytes_wanted;
  return ParseStatus::kNeedMore;
}

ParseStatus RequestParser::Finish(ParseStatus status, size_t consumed) {
  Reset();
  consumed_ = consumed;
  return status;
}

ParseStatus RequestParser::Fail(std::string text) {
  Reset();
  consumed_ = 0;
  error_ = std::move(text);
  return ParseStatus::kError;
}

}  // namespace sherd::resp
