// ReplyBuilder: the shapes of RESP2 and RESP3 replies. See reply_builder.h.
//
// Each reply reserves its longest form once and writes straight into the output; what a pipelined
// GET or INCR needs (Bulk, Integer, Header) is one bounds test, a few stores and one copy.
#include "resp/reply_builder.h"

#include <algorithm>

namespace sherd::resp {

namespace {

// A prefix, a 64-bit number and CRLF.
constexpr size_t kHeaderCharsMax = 1 + kInt64CharsMax + 2;

inline char* WriteCrlf(char* out) {
  std::memcpy(out, "\r\n", 2);
  return out + 2;
}

// Writes `prefix`, the number and CRLF; lengths below 100 without a division chain.
inline char* WriteHeader(char prefix, size_t value, char* out) {
  *out++ = prefix;
  if (value < 10) {
    *out++ = static_cast<char>('0' + value);
  } else {
    out += FormatUint64(value, out);
  }
  return WriteCrlf(out);
}

inline char* WriteBytes(std::string_view bytes, char* out) {
  if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}

}  // namespace

void ReplyBuilder::Header(char prefix, size_t count) {
  char* const start = out_->Reserve(kHeaderCharsMax);
  out_->Commit(static_cast<size_t>(WriteHeader(prefix, count, start) - start));
}

void ReplyBuilder::EndDeferred(char prefix, size_t count) {
  char header[kHeaderCharsMax];
  out_->FillPiece(deferred_, {header, static_cast<size_t>(WriteHeader(prefix, count, header) - header)});
}

void ReplyBuilder::Line(char prefix, std::string_view text) {
  char* const start = out_->Reserve(text.size() + 3);
  start[0] = prefix;
  char* cursor = WriteBytes(text, start + 1);
  for (char* c = start + 1; c < cursor; c++) {
    if (*c == '\r' || *c == '\n') *c = ' ';
  }
  cursor = WriteCrlf(cursor);
  out_->Commit(static_cast<size_t>(cursor - start));
}

// ---- Both protocols ----

void ReplyBuilder::SimpleString(std::string_view text) { Line('+', text); }

void ReplyBuilder::Error(std::string_view text) {
  while (!text.empty() && (text.back() == '\r' || text.back() == '\n')) text.remove_suffix(1);
  Line('-', text);
  errors_++;
  const size_t code_size = std::min({text.find(' '), text.size(), sizeof(last_error_code_)});
  last_error_code_size_ = static_cast<uint8_t>(code_size);
  if (code_size != 0) std::memcpy(last_error_code_, text.data(), code_size);
}

void ReplyBuilder::Integer(int64_t value) {
  char* const start = out_->Reserve(kHeaderCharsMax);
  start[0] = ':';
  char* const end = WriteCrlf(start + 1 + FormatInt64(value, start + 1));
  out_->Commit(static_cast<size_t>(end - start));
}

void ReplyBuilder::Bulk(std::string_view bytes) {
  char* const start = out_->Reserve(kHeaderCharsMax + bytes.size() + 2);
  char* cursor = WriteHeader('$', bytes.size(), start);
  cursor = WriteCrlf(WriteBytes(bytes, cursor));
  out_->Commit(static_cast<size_t>(cursor - start));
}

void ReplyBuilder::BulkInteger(int64_t value) {
  char text[kInt64CharsMax];
  Bulk({text, FormatInt64(value, text)});
}

void ReplyBuilder::BulkShared(std::string_view bytes, SharedBlock* block) {
  Header('$', bytes.size());
  out_->AppendShared(bytes, block);
  out_->Append("\r\n");
}

void ReplyBuilder::Array(size_t count) { Header('*', count); }

// ---- Different in RESP2 and RESP3 ----

void ReplyBuilder::Null() { out_->Append(resp_ == 2 ? "$-1\r\n" : "_\r\n"); }

void ReplyBuilder::NullArray() { out_->Append(resp_ == 2 ? "*-1\r\n" : "_\r\n"); }

void ReplyBuilder::Map(size_t pairs) {
  if (resp_ == 2) {
    Header('*', 2 * pairs);
  } else {
    Header('%', pairs);
  }
}

void ReplyBuilder::Set(size_t count) { Header(resp_ == 2 ? '*' : '~', count); }

void ReplyBuilder::Push(size_t count) { Header(resp_ == 2 ? '*' : '>', count); }

void ReplyBuilder::Attribute(size_t pairs) {
  CHECK(resp_ == 3);
  Header('|', pairs);
}

void ReplyBuilder::Double(double value) {
  char text[kDoubleCharsMax];
  const std::string_view digits(text, FormatDouble(value, text));
  if (resp_ == 2) return Bulk(digits);
  Line(',', digits);
}

void ReplyBuilder::Bool(bool value) {
  if (resp_ == 2) {
    out_->Append(value ? ":1\r\n" : ":0\r\n");
  } else {
    out_->Append(value ? "#t\r\n" : "#f\r\n");
  }
}

void ReplyBuilder::BigNumber(std::string_view digits) {
  if (resp_ == 2) return Bulk(digits);
  Line('(', digits);
}

void ReplyBuilder::Verbatim(std::string_view text, const char* format3) {
  if (resp_ == 2) return Bulk(text);
  CHECK(std::strlen(format3) == 3);
  Header('=', text.size() + 4);
  out_->Append(format3);
  out_->Append(":");
  out_->Append(text);
  out_->Append("\r\n");
}

}  // namespace sherd::resp
