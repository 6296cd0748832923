// RdbReader: see the header; the format is drawn in rdb_format.h.
#include "persistence/rdb_reader.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "base/lzf.h"

namespace sherd::persistence {

uint64_t RdbReader::Prefix(bool* is_special) {
  const uint8_t head = Byte();
  *is_special = (head & 0xC0) == 0xC0;
  if (*is_special) return head & 0x3F;
  if ((head & 0xC0) == 0) return head;
  if ((head & 0xC0) == 0x40) return static_cast<uint64_t>(head & 0x3F) << 8 | Byte();
  if (head == 0x80) return bytes_.Big32();
  if (head == 0x81) return bytes_.Big64();
  Fail();
  return 0;
}

uint64_t RdbReader::Length() {
  bool is_special;
  const uint64_t length = Prefix(&is_special);
  if (is_special) Fail();
  return ok() ? length : 0;
}

uint64_t RdbReader::Count(size_t size) {
  const uint64_t count = Length();
  if (count > remaining() / size) Fail();
  return ok() ? count : 0;
}

bool RdbReader::String(RdbString* text) {
  text->view = {};
  if (!ok()) return false;
  bool is_special;
  const uint64_t length = Prefix(&is_special);
  if (is_special) return SpecialString(length, text);
  text->view = bytes_.Bytes(length);
  return ok();
}

bool RdbReader::SpecialString(uint64_t form, RdbString* text) {
  int64_t integer = 0;
  switch (static_cast<StringForm>(form)) {
    case StringForm::kInt8: integer = static_cast<int8_t>(Byte()); break;
    case StringForm::kInt16: integer = static_cast<int16_t>(bytes_.Little16()); break;
    case StringForm::kInt32: integer = static_cast<int32_t>(bytes_.Little32()); break;
    case StringForm::kLzf: return CompressedString(text);
    default: Fail(); return false;
  }
  text->view = {text->digits, FormatInt64(integer, text->digits)};
  return ok();
}

bool RdbReader::CompressedString(RdbString* text) {
  const uint64_t packed_size = Length();
  const uint64_t size = Length();
  const std::string_view packed = bytes_.Bytes(packed_size);
  // Three bytes of LZF stand for at most 264: what claims more is lying about its size.
  constexpr uint64_t kExpansionMax = 264 / 3 + 1;
  if (!ok() || size == 0 || size > packed.size() * kExpansionMax) {
    Fail();
    return false;
  }
  text->unpacked.resize(static_cast<size_t>(size));
  if (!LzfDecompress(packed, text->unpacked.data(), text->unpacked.size())) {
    Fail();
    return false;
  }
  text->view = text->unpacked;
  return true;
}

double RdbReader::BinaryDouble() {
  const uint64_t bits = Little64();
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

double RdbReader::TextDouble() {
  const uint8_t size = Byte();
  if (size == 255) return -std::numeric_limits<double>::infinity();
  if (size == 254) return std::numeric_limits<double>::infinity();
  if (size == 253) return std::nan("");
  double value = 0;
  if (!ParseDouble(bytes_.Bytes(size), &value)) Fail();
  return value;
}

}  // namespace sherd::persistence
