// AofReader: see the header.
#include "persistence/aof_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>

#include "base/crc64.h"
#include "base/strings.h"

namespace sherd::persistence {

namespace {

// Redis reads annotations and numbers with buffers of 1024 and 128 bytes.
constexpr size_t kAnnotationMax = 1023;
constexpr size_t kNumberLineMax = 127;
constexpr size_t kWindowBytes = 1024 * 1024;

constexpr std::string_view kChecksumPrefix = "#SHERD:";
// "#SHERD:", 16 digits, ':' are covered by the sum that follows in 16 digits and CRLF.
constexpr size_t kCoveredBytes = 24;
constexpr size_t kLineBytes = 42;
constexpr size_t kDigits = 16;
constexpr std::string_view kOpenMulti = "Reached EOF before reading EXEC for MULTI";

bool ParseHex(std::string_view digits, uint64_t* value) {
  *value = 0;
  for (const char c : digits) {
    const bool is_digit = c >= '0' && c <= '9';
    if (!is_digit && (c < 'a' || c > 'f')) return false;
    *value = *value << 4 | static_cast<uint64_t>(is_digit ? c - '0' : c - 'a' + 10);
  }
  return true;
}

/// What a whole checksum line says; false when it is not one.
bool ParseChecksumLine(std::string_view line, uint64_t* offset, uint64_t* crc) {
  return line.size() == kLineBytes && line.starts_with(kChecksumPrefix) && line[kCoveredBytes - 1] == ':' &&
         line.substr(kLineBytes - 2) == "\r\n" && ParseHex(line.substr(kChecksumPrefix.size(), kDigits), offset) &&
         ParseHex(line.substr(kCoveredBytes, kDigits), crc);
}

std::string HexOf(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// A name as redis-check-aof compares it: up to a NUL.
bool IsNamed(std::string_view name, std::string_view word) {
  if (name.size() < word.size() || name.size() < 4) return false;
  return EqualsIgnoreCase(name.substr(0, name.find('\0')), word);
}

}  // namespace

AofReader::AofReader(ByteSource* source, uint64_t start, bool verifies_checksums)
    : source_(source),
      size_(source->size()),
      verifies_checksums_(verifies_checksums),
      window_offset_(start),
      summed_(start),
      last_good_(start),
      verified_(start),
      verified_good_(start) {}

AofReader::Item AofReader::Next(bool may_read) {
  if (has_failed_) return Item::kFailure;
  for (;;) {
    Item item = Item::kEnd;
    const Parse result = ParseItem(&item);
    if (result == Parse::kDone) return item;
    if (result == Parse::kFailed) return Item::kFailure;
    if (!may_read) return Item::kWouldRead;
    if (!Refill()) return io_error_ != 0 ? Item::kIoError : Item::kFailure;
  }
}

AofReader::Parse AofReader::ParseItem(Item* item) {
  if (at_ == filled_) {
    if (!at_file_end()) return NeedMore(at_ + 1);
    if (is_in_multi_) return Fail(std::string(kOpenMulti), at_, at_, true);
    *item = Item::kEnd;
    return Parse::kDone;
  }
  const char first = window_[at_];
  *item = first == '#' ? Item::kAnnotation : Item::kCommand;
  if (first == '#') return ParseAnnotation();
  if (first == '*') return ParseCommand();
  return Fail("Expected a command", at_, at_, false);
}

// ---- Annotations ----

AofReader::Parse AofReader::ParseAnnotation() {
  const std::string_view view(window_.get() + at_, std::min(filled_ - at_, kAnnotationMax));
  const size_t newline = view.find('\n');
  if (newline == std::string_view::npos) {
    if (view.size() < kAnnotationMax && !at_file_end()) return NeedMore(at_ + kAnnotationMax);
    return Fail("Expected an annotation to end", at_, at_, view.size() < kAnnotationMax);
  }
  const std::string_view line = view.substr(0, newline + 1);
  if (line.starts_with(kChecksumPrefix) && !HoldsChecksum(line) && verifies_checksums_) {
    Fail("The bytes from " + HexOf(verified_) + " on do not match their checksum line", at_, at_, false);
    failure_.is_checksum = true;
    // Whatever stands behind: this is damage, and only what a line vouches for is good.
    failure_.is_torn = false;
    last_good_ = verified_good_;
    return Parse::kFailed;
  }
  at_ += line.size();
  if (!is_in_multi_) last_good_ = offset();
  return Parse::kDone;
}

/// Takes a checksum line at at_ in. After one that does not hold, the sum goes on from what it claims.
bool AofReader::HoldsChecksum(std::string_view line) {
  const uint64_t stands_at = offset();
  SumTo(stands_at);
  uint64_t said_offset = 0;
  uint64_t said_crc = 0;
  const bool is_formed = ParseChecksumLine(line, &said_offset, &said_crc);
  bool holds = false;
  if (is_formed) {
    holds = Crc64(crc_, line.substr(0, kCoveredBytes)) == said_crc && said_offset == stands_at;
    crc_ = Crc64(said_crc, line.substr(kCoveredBytes));
  } else {
    crc_ = Crc64(crc_, line);
  }
  summed_ = stands_at + line.size();
  if (!holds) return false;
  line_count_++;
  verified_ = summed_;
  if (!is_in_multi_) verified_good_ = verified_;
  return true;
}

// ---- Commands ----

AofReader::Parse AofReader::ParseCommand() {
  size_t at = at_;
  int64_t count = 0;
  if (const Parse parse = ParseNumber('*', &at, &count); parse != Parse::kDone) return parse;
  if (count < 1) return Fail("Expected one argument at least", at, at_, false);
  args_.clear();
  const bool was_in_multi = is_in_multi_;
  bool changes = false;
  for (int64_t i = 0; i < count; i++) {
    std::string_view arg;
    if (const Parse parse = ParseArgument(&at, &arg); parse != Parse::kDone) return parse;
    if (i == 0) {
      if (!EnterTransaction(arg, at)) return Parse::kFailed;
      changes = IsNamed(arg, "multi") || IsNamed(arg, "exec");
    }
    args_.push_back(arg);
  }
  command_offset_ = window_offset_ + at_;
  place_ = was_in_multi ? Place::kInside : Place::kAlone;
  if (changes && !was_in_multi) {
    SumTo(command_offset_);
    multi_offset_ = command_offset_;
    multi_crc_ = crc_;
    is_in_multi_ = true;
    place_ = Place::kMulti;
  } else if (changes) {
    is_in_multi_ = false;
    place_ = Place::kExec;
  }
  at_ = at;
  if (!is_in_multi_) last_good_ = offset();
  return Parse::kDone;
}

/// Whether a command of this name may stand here.
bool AofReader::EnterTransaction(std::string_view name, size_t at) {
  if (IsNamed(name, "multi") && is_in_multi_) {
    Fail("Unexpected MULTI in AOF", at, at, false);
    return false;
  }
  if (IsNamed(name, "exec") && !is_in_multi_) {
    Fail("Unexpected EXEC in AOF", at, at, false);
    return false;
  }
  return true;
}

AofReader::Parse AofReader::ParseArgument(size_t* at, std::string_view* arg) {
  int64_t length = 0;
  if (const Parse parse = ParseNumber('$', at, &length); parse != Parse::kDone) return parse;
  if (length < 0 || length > std::numeric_limits<int64_t>::max() - 2) {
    return Fail("Expected to read string of " + std::to_string(length) + " bytes, which is not in the suitable range",
                *at, *at, false);
  }
  const uint64_t wanted = static_cast<uint64_t>(length) + 2;
  const uint64_t left = size_ - (window_offset_ + *at);
  if (wanted > left) {
    return Fail("Expected to read " + std::to_string(wanted) + " bytes, got " + std::to_string(left) + " bytes", *at,
                *at, true);
  }
  if (wanted > filled_ - *at) return NeedMore(*at + wanted);
  const char* bytes = window_.get() + *at;
  if (bytes[length] != '\r' || bytes[length + 1] != '\n') {
    const size_t end = *at + static_cast<size_t>(length);
    return Fail("Expected \\r\\n behind an argument", end, end, false);
  }
  *arg = {bytes, static_cast<size_t>(length)};
  *at += static_cast<size_t>(wanted);
  return Parse::kDone;
}

/// A line of prefix, number and CRLF.
AofReader::Parse AofReader::ParseNumber(char prefix, size_t* at, int64_t* number) {
  const char* begin = window_.get() + *at;
  const size_t available = std::min(filled_ - *at, kNumberLineMax);
  // Nearly all of them: a few digits.
  if (__builtin_expect(available >= 4 && begin[0] == prefix && IsDigit(begin[1]), 1)) {
    constexpr size_t kPlainDigits = 17;
    size_t index = 1;
    int64_t value = 0;
    while (index < available && index <= kPlainDigits && IsDigit(begin[index])) {
      value = value * 10 + (begin[index++] - '0');
    }
    if (__builtin_expect(index + 1 < available && begin[index] == '\r' && begin[index + 1] == '\n', 1)) {
      *number = value;
      *at += index + 2;
      return Parse::kDone;
    }
  }
  const std::string_view view(begin, available);
  const size_t newline = view.find('\n');
  const bool has_newline = newline != std::string_view::npos;
  if (!has_newline && available < kNumberLineMax && !at_file_end()) return NeedMore(*at + kNumberLineMax);
  if (available == 0) {
    return Fail(is_in_multi_ ? std::string(kOpenMulti) : "Expected a command to go on", *at, *at, true);
  }
  const std::string_view line = has_newline ? view.substr(0, newline + 1) : view;
  const Parse parse = ReadOddNumber(line, prefix, has_newline, *at, number);
  if (parse == Parse::kDone) *at += line.size();
  return parse;
}

/// As strtol reads: white space and a sign are fine, what is too big is cut.
AofReader::Parse AofReader::ReadOddNumber(std::string_view line, char prefix, bool has_newline, size_t at,
                                          int64_t* number) {
  if (line[0] != prefix) {
    return Fail(std::string("Expected prefix '") + prefix + "', got: '" + line[0] + "'", at, at, false);
  }
  size_t stop = 1;
  while (stop < line.size() && IsSpace(line[stop])) stop++;
  const bool is_negative = stop < line.size() && line[stop] == '-';
  if (stop < line.size() && (line[stop] == '-' || line[stop] == '+')) stop++;
  const size_t first_digit = stop;
  int64_t value = 0;
  for (; stop < line.size() && IsDigit(line[stop]); stop++) {
    const int64_t digit = is_negative ? '0' - line[stop] : line[stop] - '0';
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value)) {
      value = is_negative ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
    }
  }
  if (stop == first_digit) stop = 1;
  if (line.substr(stop, 2) != "\r\n") {
    // A number that the file's end cuts off is no damage.
    const std::string_view rest = line.substr(stop);
    const bool is_cut =
        !has_newline && window_offset_ + at + line.size() == size_ && (rest.empty() || rest == "\r");
    return Fail("Expected \\r\\n behind a number", at, at, is_cut);
  }
  *number = value;
  return Parse::kDone;
}

// ---- Failures ----

/// `at`: how far it was read; `named`: what the message names.
AofReader::Parse AofReader::Fail(std::string text, size_t at, size_t named, bool is_torn) {
  has_failed_ = true;
  failure_.text = std::move(text);
  failure_.offset = window_offset_ + named;
  failure_.is_torn = verifies_checksums_ ? JudgeTorn(is_torn, window_offset_ + at) : is_torn;
  return Parse::kFailed;
}

/// Whether it is a torn end, when checksum lines can be asked.
bool AofReader::JudgeTorn(bool is_torn, uint64_t offset) {
  if (HasLineBehind(verified_)) {
    last_good_ = verified_good_;
    return false;
  }
  return is_torn || (line_count_ > 0 && EndsInZeros(offset));
}

/// Whether there is a line, from `from` on, that stands where it says.
bool AofReader::HasLineBehind(uint64_t from) {
  constexpr size_t kPieceBytes = 64 * 1024;
  const std::unique_ptr<char[]> piece(new char[kPieceBytes]);
  for (uint64_t position = from; position < size_;) {
    const int64_t count = source_->ReadAt(position, piece.get(), kPieceBytes);
    if (count <= 0) return false;
    const std::string_view view(piece.get(), static_cast<size_t>(count));
    for (size_t at = view.find(kChecksumPrefix); at != std::string_view::npos;
         at = view.find(kChecksumPrefix, at + 1)) {
      uint64_t offset = 0;
      uint64_t crc = 0;
      if (ParseChecksumLine(view.substr(at, kLineBytes), &offset, &crc) && offset == position + at) return true;
    }
    if (position + view.size() >= size_ || view.size() < kLineBytes) return false;
    position += view.size() - (kLineBytes - 1);
  }
  return false;
}

/// Whether the line that failed runs into zeros that go on to the end of the file.
bool AofReader::EndsInZeros(uint64_t offset) {
  constexpr size_t kPieceBytes = 64 * 1024;
  const std::unique_ptr<char[]> piece(new char[kPieceBytes]);
  uint64_t start = last_good_;
  for (uint64_t position = last_good_; position < size_;) {
    const int64_t count = source_->ReadAt(position, piece.get(), kPieceBytes);
    if (count <= 0) break;
    const std::string_view view(piece.get(), static_cast<size_t>(count));
    const size_t last = view.find_last_not_of('\0');
    if (last != std::string_view::npos) start = position + last + 1;
    position += view.size();
  }
  return start < size_ && start <= offset + kNumberLineMax;
}

// ---- Bytes ----

/// Reads on, so that the window reaches up to wanted_ if the file does. False: it cannot be read.
bool AofReader::Refill() {
  const uint64_t keep = is_in_multi_ ? multi_offset_ : offset();
  SumTo(keep);
  const size_t dropped = static_cast<size_t>(keep - window_offset_);
  const size_t kept = filled_ - dropped;
  const uint64_t left = size_ - (window_offset_ + filled_);
  const uint64_t wanted = std::min<uint64_t>(wanted_ - dropped, kept + left);
  if (wanted > capacity_ || kept == capacity_) {
    const uint64_t roomy = std::max<uint64_t>({wanted, capacity_ * uint64_t{2}, kWindowBytes});
    capacity_ = static_cast<size_t>(std::min<uint64_t>(roomy, kept + left));
    std::unique_ptr<char[]> bytes(new char[capacity_]);
    if (kept != 0) std::memcpy(bytes.get(), window_.get() + dropped, kept);
    window_ = std::move(bytes);
  } else if (kept != 0) {
    std::memmove(window_.get(), window_.get() + dropped, kept);
  }
  window_offset_ = keep;
  at_ -= dropped;
  filled_ = kept;
  const int64_t count = source_->ReadAt(window_offset_ + filled_, window_.get() + filled_, capacity_ - filled_);
  if (count < 0) {
    io_error_ = errno;
    return false;
  }
  const size_t expected = static_cast<size_t>(std::min<uint64_t>(capacity_ - filled_, left));
  filled_ += static_cast<size_t>(count);
  if (static_cast<size_t>(count) >= expected) return true;
  Fail("The file ends before its size", at_, at_, false);
  failure_.is_torn = false;
  return false;
}

void AofReader::SumTo(uint64_t offset) {
  if (offset <= summed_) return;
  crc_ = Crc64(crc_, BytesAt(summed_, static_cast<size_t>(offset - summed_)));
  summed_ = offset;
}

uint64_t AofReader::CrcAtLastGood() {
  if (is_in_multi_) return multi_crc_;
  SumTo(last_good_);
  return crc_;
}

}  // namespace sherd::persistence
