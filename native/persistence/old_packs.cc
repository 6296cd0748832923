// Ziplists and zipmaps: see the header for the formats.
#include "persistence/old_packs.h"

#include "base/bytes.h"

namespace sherd::persistence {

namespace {

using ds::PackedValue;

constexpr uint8_t kEnd = 0xFF;
constexpr uint8_t kLong = 0xFE;

PackedValue Text(std::string_view text) {
  // An empty string is not an integer: its pointer must not be null.
  PackedValue value;
  value.text = text.data() == nullptr ? "" : text.data();
  value.size = text.size();
  return value;
}

PackedValue Integer(int64_t integer) {
  PackedValue value;
  value.integer = integer;
  return value;
}

/// The integer that the encoding byte announces; false for an unknown one.
bool ReadInteger(ByteReader* reader, uint8_t encoding, PackedValue* value) {
  switch (encoding) {
    case 0xC0: *value = Integer(static_cast<int16_t>(reader->Little16())); return true;
    case 0xD0: *value = Integer(static_cast<int32_t>(reader->Little32())); return true;
    case 0xE0: *value = Integer(static_cast<int64_t>(reader->Little64())); return true;
    case 0xFE: *value = Integer(static_cast<int8_t>(reader->Byte())); return true;
    case 0xF0: {
      const uint32_t low = reader->Little16();
      const uint32_t bits = low | static_cast<uint32_t>(reader->Byte()) << 16;
      *value = Integer(static_cast<int32_t>(bits << 8) >> 8);
      return true;
    }
    default: break;
  }
  if (encoding < 0xF1 || encoding > 0xFD) return false;
  *value = Integer((encoding & 0x0F) - 1);
  return true;
}

bool ReadValue(ByteReader* reader, PackedValue* value) {
  const uint8_t encoding = reader->Byte();
  if (encoding >= 0xC0) return ReadInteger(reader, encoding, value) && reader->ok();
  uint64_t length = encoding & 0x3F;
  if ((encoding & 0xC0) == 0x40) length = length << 8 | reader->Byte();
  if ((encoding & 0xC0) == 0x80) length = reader->Big32();
  *value = Text(reader->Bytes(length));
  return reader->ok();
}

}  // namespace

bool ReadZiplist(std::string_view bytes, std::vector<PackedValue>* values) {
  ByteReader reader(bytes);
  const uint32_t size = reader.Little32();
  const uint32_t tail = reader.Little32();
  const uint16_t count = reader.Little16();
  if (!reader.ok() || size != bytes.size()) return false;
  size_t last = reader.offset();
  size_t previous_size = 0;
  for (;;) {
    const size_t start = reader.offset();
    const uint8_t head = reader.Byte();
    if (!reader.ok()) return false;
    if (head == kEnd) break;
    const size_t stated = head == kLong ? reader.Little32() : head;
    PackedValue value;
    if (stated != previous_size || !ReadValue(&reader, &value)) return false;
    values->push_back(value);
    previous_size = reader.offset() - start;
    last = start;
  }
  constexpr uint16_t kCountUnknown = 0xFFFF;
  return reader.AtEnd() && tail == last && (count == kCountUnknown || count == values->size());
}

bool ReadZipmap(std::string_view bytes, std::vector<PackedValue>* values) {
  ByteReader reader(bytes);
  const uint8_t count = reader.Byte();
  for (bool is_key = true;; is_key = !is_key) {
    const uint8_t head = reader.Byte();
    if (!reader.ok()) return false;
    if (head == kEnd) {
      if (!is_key) return false;
      break;
    }
    const uint64_t length = head == kLong ? reader.Little32() : head;
    const uint8_t free = is_key ? 0 : reader.Byte();
    values->push_back(Text(reader.Bytes(length)));
    reader.Bytes(free);
    if (!reader.ok()) return false;
  }
  return reader.AtEnd() && (count >= kLong || count == values->size() / 2);
}

}  // namespace sherd::persistence
