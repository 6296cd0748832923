// RdbWriter: see the header; the format is drawn in rdb_format.h.
#include "persistence/rdb_writer.h"

#include <cstring>
#include <limits>
#include <memory>

#include "base/bytes.h"
#include "base/lzf.h"
#include "base/numbers.h"

namespace sherd::persistence {

namespace {

// What is longer is not compressed: it would take as much memory again, and a tenth of a second.
constexpr size_t kCompressMax = 64 * 1024 * 1024;

/// Room for compressed strings: kept for the usual ones, so that each does not cost an allocation.
class Scratch {
 public:
  explicit Scratch(size_t size) {
    thread_local std::unique_ptr<char[]> kept;
    if (size > kKept) {
      own_.reset(new char[size]);
      bytes_ = own_.get();
      return;
    }
    if (kept == nullptr) kept.reset(new char[kKept]);
    bytes_ = kept.get();
  }
  char* data() { return bytes_; }

 private:
  static constexpr size_t kKept = 16 * 1024;
  std::unique_ptr<char[]> own_;
  char* bytes_;
};

uint8_t FormByte(StringForm form) { return static_cast<uint8_t>(0xC0 | static_cast<uint8_t>(form)); }

}  // namespace

void RdbWriter::Length(uint64_t length) {
  uint8_t bytes[9];
  size_t size = 0;
  if (length < 1 << 6) {
    bytes[size++] = static_cast<uint8_t>(length);
  } else if (length < 1 << 14) {
    bytes[size++] = static_cast<uint8_t>(0x40 | length >> 8);
    bytes[size++] = static_cast<uint8_t>(length);
  } else if (length <= std::numeric_limits<uint32_t>::max()) {
    bytes[0] = 0x80;
    StoreBig32(bytes + 1, static_cast<uint32_t>(length));
    size = 5;
  } else {
    bytes[0] = 0x81;
    StoreBig64(bytes + 1, length);
    size = 9;
  }
  out_->append(reinterpret_cast<const char*>(bytes), size);
}

bool RdbWriter::ShortInteger(int64_t value) {
  const uint64_t bits = static_cast<uint64_t>(value);
  uint8_t bytes[5];
  size_t size;
  if (value >= INT8_MIN && value <= INT8_MAX) {
    bytes[0] = FormByte(StringForm::kInt8);
    bytes[1] = static_cast<uint8_t>(bits);
    size = 2;
  } else if (value >= INT16_MIN && value <= INT16_MAX) {
    bytes[0] = FormByte(StringForm::kInt16);
    StoreLittle16(bytes + 1, static_cast<uint16_t>(bits));
    size = 3;
  } else if (value >= INT32_MIN && value <= INT32_MAX) {
    bytes[0] = FormByte(StringForm::kInt32);
    StoreLittle32(bytes + 1, static_cast<uint32_t>(bits));
    size = 5;
  } else {
    return false;
  }
  out_->append(reinterpret_cast<const char*>(bytes), size);
  return true;
}

bool RdbWriter::Compressed(std::string_view text) {
  // Four bytes must be saved, as in Redis.
  constexpr size_t kSavingMin = 4;
  Scratch packed(text.size() - kSavingMin);
  const size_t size = LzfCompress(text, packed.data(), text.size() - kSavingMin);
  if (size == 0) return false;
  Byte(FormByte(StringForm::kLzf));
  Length(size);
  Length(text.size());
  Raw({packed.data(), size});
  return true;
}

void RdbWriter::RawInPieces(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t room = out_->size() < kSinkMin ? kSinkMin - out_->size() : 0;
    const size_t size = bytes.size() < room ? bytes.size() : room;
    out_->append(bytes.substr(0, size));
    bytes.remove_prefix(size);
    if (out_->size() < kSinkMin) return;
    if (!stopped_) stopped_ = !sink_->Take(out_);
    out_->clear();
  }
}

void RdbWriter::String(std::string_view text) {
  // "-2147483648" is the longest text with a short form.
  constexpr size_t kShortIntegerTextMax = 11;
  int64_t integer;
  if (text.size() <= kShortIntegerTextMax && ParseInt64(text, &integer) && ShortInteger(integer)) return;
  if (compress_ && text.size() >= kCompressMin && text.size() <= kCompressMax && Compressed(text)) return;
  Length(text.size());
  Raw(text);
}

void RdbWriter::IntegerString(int64_t value) {
  if (ShortInteger(value)) return;
  char text[kInt64CharsMax];
  const size_t size = FormatInt64(value, text);
  Length(size);
  Raw({text, size});
}

void RdbWriter::BinaryDouble(double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  Little64(bits);
}

void RdbWriter::Little16(uint16_t value) {
  char bytes[2];
  StoreLittle16(bytes, value);
  out_->append(bytes, sizeof bytes);
}

void RdbWriter::Little64(uint64_t value) {
  char bytes[8];
  StoreLittle64(bytes, value);
  out_->append(bytes, sizeof bytes);
}

}  // namespace sherd::persistence
