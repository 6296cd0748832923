// Splitting, changing and joining RDB values: see the header.
#include "fuzz/payload_parts.h"

#include <algorithm>
#include <iterator>

#include "base/bytes.h"
#include "base/numbers.h"
#include "ds/listpack.h"
#include "persistence/old_packs.h"
#include "persistence/rdb_reader.h"
#include "persistence/rdb_writer.h"

namespace sherd::fuzz {

using persistence::RdbReader;
using persistence::RdbString;
using persistence::RdbType;
using persistence::RdbWriter;
using Kind = ValuePart::Kind;

namespace {

// ---- Splitting ----

/// Follows the format and notes the parts that it passes.
class Splitter {
 public:
  Splitter(std::string_view bytes, ValueParts* value)
      : bytes_(bytes), reader_(bytes), value_(value) {}

  void Split(RdbType type) {
    Value(type);
    // What the format does not explain is kept as it is.
    if (end_ < bytes_.size()) Add({Kind::kRaw, 0, std::string(bytes_.substr(end_))});
  }

 private:
  void Add(ValuePart part) { value_->parts.push_back(std::move(part)); }
  void Advance() { end_ = bytes_.size() - reader_.remaining(); }
  uint64_t Length() {
    const uint64_t length = reader_.Length();
    if (!reader_.ok()) return 0;
    Add({Kind::kLength, length, {}});
    Advance();
    return length;
  }
  void String() {
    RdbString text;
    if (!reader_.String(&text)) return;
    Add({Kind::kString, 0, std::string(text.view)});
    Advance();
  }
  void Raw(size_t size) {
    const std::string_view raw = reader_.Raw(size);
    if (!reader_.ok()) return;
    Add({Kind::kRaw, 0, std::string(raw)});
    Advance();
  }
  void TextDouble() {
    constexpr uint8_t kNotNumberFrom = 253;
    const uint8_t head = end_ < bytes_.size() ? static_cast<uint8_t>(bytes_[end_]) : 0;
    Raw(head >= kNotNumberFrom ? 1 : size_t{1} + head);
  }
  template <class Element>
  void Counted(Element&& element) {
    const uint64_t count = Length();
    for (uint64_t i = 0; i < count && reader_.ok(); i++) element();
  }
  void Lengths(int count) {
    for (int i = 0; i < count; i++) Length();
  }

  void Value(RdbType type);
  void Stream(RdbType type);

  std::string_view bytes_;
  RdbReader reader_;
  ValueParts* value_;
  size_t end_ = 0;
};

void Splitter::Value(RdbType type) {
  switch (type) {
    case RdbType::kList:
    case RdbType::kSet:
    case RdbType::kListQuicklist: return Counted([&] { String(); });
    case RdbType::kListQuicklist2: return Counted([&] { Length(), String(); });
    case RdbType::kSortedSet: return Counted([&] { String(), TextDouble(); });
    case RdbType::kSortedSet2: return Counted([&] { String(), Raw(sizeof(double)); });
    case RdbType::kHash: return Counted([&] { String(), String(); });
    case RdbType::kHashMetadata:
      Raw(sizeof(int64_t));
      return Counted([&] { Length(), String(), String(); });
    case RdbType::kHashListpackEx: Raw(sizeof(int64_t)); return String();
    case RdbType::kStreamListpacks:
    case RdbType::kStreamListpacks2:
    case RdbType::kStreamListpacks3: return Stream(type);
    default: return String();
  }
}

void Splitter::Stream(RdbType type) {
  constexpr size_t kIdSize = 16;
  const bool has_counters = type != RdbType::kStreamListpacks;
  const bool has_active_time = type == RdbType::kStreamListpacks3;
  Counted([&] { String(), String(); });
  Lengths(has_counters ? 8 : 3);
  Counted([&] {
    String();
    Lengths(has_counters ? 3 : 2);
    Counted([&] { Raw(kIdSize), Raw(sizeof(int64_t)), Length(); });
    Counted([&] {
      String();
      Raw(sizeof(int64_t));
      if (has_active_time) Raw(sizeof(int64_t));
      Counted([&] { Raw(kIdSize); });
    });
  });
}

// ---- Packs ----

/// Bytes of an element as a string in one of three forms; each must hold its length.
std::string LongString(std::string_view text, uint64_t form) {
  std::string bytes;
  if (form == 0 && text.size() < 64) {
    bytes = {static_cast<char>(0x80 | text.size())};
  } else if (form <= 1 && text.size() < 4096) {
    bytes = {static_cast<char>(0xE0 | text.size() >> 8), static_cast<char>(text.size())};
  } else {
    bytes = std::string(5, '\xF0');
    StoreLittle32(bytes.data() + 1, static_cast<uint32_t>(text.size()));
  }
  return bytes.append(text);
}

std::string WideInteger(int64_t value) {
  std::string bytes(9, '\xF4');
  StoreLittle64(bytes.data() + 1, static_cast<uint64_t>(value));
  return bytes;
}

void AppendBacklen(std::string* bytes, size_t size) {
  // Seven bits each, the high ones first; all but the first byte say that there is more in front.
  char groups[5];
  size_t count = 0;
  for (; count == 0 || size > 0; size >>= 7) groups[count++] = static_cast<char>(size & 0x7F);
  bytes->push_back(groups[--count]);
  while (count > 0) bytes->push_back(static_cast<char>(groups[--count] | 0x80));
}

/// An element without its backlen in a form that Redis would not choose.
std::string OddElement(Random& random, std::string_view text) {
  int64_t value;
  if (ParseInt64(text, &value) && random.OneIn(2)) return WideInteger(value);
  return LongString(text, random.Below(3));
}

void AppendElement(const std::string& element, std::string* bytes) {
  const ds::Listpack::Encoded encoded = ds::Listpack::Encode(element);
  const size_t start = bytes->size();
  bytes->resize(start + encoded.size());
  ds::Listpack::Write(reinterpret_cast<uint8_t*>(bytes->data()) + start, encoded);
}

std::string ZiplistInteger(int64_t value) {
  std::string bytes(9, '\0');
  size_t size = 8;
  char head = '\xE0';
  if (value >= 0 && value <= 12) return {static_cast<char>(0xF1 + value)};
  if (value == static_cast<int8_t>(value)) head = '\xFE', size = 1;
  else if (value == static_cast<int16_t>(value)) head = '\xC0', size = 2;
  else if (value >= -(1 << 23) && value < 1 << 23) head = '\xF0', size = 3;
  else if (value == static_cast<int32_t>(value)) head = '\xD0', size = 4;
  StoreLittle64(bytes.data() + 1, static_cast<uint64_t>(value));
  bytes[0] = head;
  return bytes.substr(0, 1 + size);
}

bool ListpackElements(std::string_view bytes, std::vector<std::string>* elements) {
  if (!ds::Listpack::Validate(bytes)) return false;
  const ds::Listpack pack(reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data())));
  char buffer[kInt64CharsMax];
  pack.Visit(pack.First(), ~size_t{0}, [&](ds::PackedValue value) {
    elements->emplace_back(value.View(buffer));
    return true;
  });
  return true;
}

bool ZiplistElements(std::string_view bytes, std::vector<std::string>* elements) {
  std::vector<ds::PackedValue> values;
  if (!persistence::ReadZiplist(bytes, &values)) return false;
  char buffer[kInt64CharsMax];
  for (const ds::PackedValue& value : values) elements->emplace_back(value.View(buffer));
  return true;
}

// ---- Changes ----

std::string Word(Random& random) {
  static const std::string kWords[] = {
      "",   "a",   "0",    "1",   "-1", "12",  "13",   "127", "128",
      "01", "1.5", "-inf", "nan", "b",  "4095", "32768", "-32769",
      "2147483648", "9223372036854775807", "-9223372036854775808", "18446744073709551615",
      std::string(1, '\0'), std::string(63, 'v'), std::string(64, 'v'), std::string(65, 'v'),
      std::string(300, 'v')};
  return kWords[random.Below(std::size(kWords))];
}

uint64_t OddLength(Random& random, uint64_t length) {
  static constexpr uint64_t kLengths[] = {
      0, 1, 2, 3, 63, 64, 16383, 16384, 1 << 20, INT32_MAX, UINT32_MAX, uint64_t{1} << 32,
      INT64_MAX, uint64_t{1} << 63, UINT64_MAX};
  switch (random.Below(4)) {
    case 0: return length + 1;
    case 1: return length - 1;
    case 2: return random.Below(2 * std::min<uint64_t>(length, 1 << 20) + 2);
    default: return kLengths[random.Below(std::size(kLengths))];
  }
}

void ChangeBytes(Random& random, std::string* bytes) {
  if (bytes->empty() || random.OneIn(8)) {
    bytes->insert(random.Below(bytes->size() + 1), 1, static_cast<char>(random.Next()));
    return;
  }
  char& byte = (*bytes)[random.Below(bytes->size())];
  switch (random.Below(4)) {
    case 0: byte = static_cast<char>(random.Next()); break;
    case 1: byte = static_cast<char>(byte ^ 1 << random.Below(8)); break;
    case 2: byte = static_cast<char>(byte + (random.OneIn(2) ? 1 : -1)); break;
    default: bytes->erase(random.Below(bytes->size()), 1 + random.Below(4)); break;
  }
}

/// Something else in place of a text; an integer often has a neighbour.
std::string OddText(Random& random, const std::string& text) {
  int64_t value;
  if (ParseInt64(text, &value) && random.OneIn(2)) {
    const uint64_t step = random.OneIn(2) ? 1 : ~uint64_t{0};
    return std::to_string(static_cast<int64_t>(static_cast<uint64_t>(value) + step));
  }
  if (random.OneIn(2)) return Word(random);
  std::string changed = text;
  ChangeBytes(random, &changed);
  return changed;
}

void ChangeElements(Random& random, std::vector<std::string>* elements) {
  if (elements->empty()) return elements->push_back(Word(random));
  const size_t at = random.Below(elements->size());
  const std::string another = (*elements)[random.Below(elements->size())];
  switch (random.Below(6)) {
    case 0:
    case 1: (*elements)[at] = OddText(random, (*elements)[at]); break;
    case 2: (*elements)[at] = another; break;
    case 3: elements->insert(elements->begin() + static_cast<ptrdiff_t>(at), another); break;
    case 4: elements->erase(elements->begin() + static_cast<ptrdiff_t>(at)); break;
    default: {
      const size_t count = 1 + random.Below(std::min<size_t>(4, elements->size() - at));
      const std::vector<std::string> copy(elements->begin() + static_cast<ptrdiff_t>(at),
                                          elements->begin() + static_cast<ptrdiff_t>(at + count));
      elements->insert(elements->end(), copy.begin(), copy.end());
      break;
    }
  }
}

/// Changes a string part; one that is a pack mostly by its elements.
void ChangeString(Random& random, std::string* text) {
  std::vector<std::string> elements;
  if (!random.OneIn(4) && ListpackElements(*text, &elements)) {
    if (!random.OneIn(4)) ChangeElements(random, &elements);
    *text = MakeListpack(elements, random.OneIn(2) ? &random : nullptr);
  } else if (!random.OneIn(4) && ZiplistElements(*text, &elements)) {
    ChangeElements(random, &elements);
    *text = MakeZiplist(elements);
  } else if (random.OneIn(3)) {
    *text = OddText(random, *text);
  } else {
    ChangeBytes(random, text);
    // The size in front of listpacks and ziplists.
    if (text->size() > 6 && random.OneIn(2)) {
      StoreLittle32(text->data(), static_cast<uint32_t>(text->size()));
    }
  }
}

void ChangeRaw(Random& random, std::string* bytes) {
  static constexpr uint64_t kWords[] = {0,
                                        uint64_t{1} << 63,
                                        0x7FF0000000000000,
                                        0xFFF0000000000000,
                                        0x7FF8000000000000,
                                        0x3FF0000000000000,
                                        1,
                                        UINT64_MAX,
                                        INT64_MAX};
  if (bytes->size() < 8 || random.OneIn(2)) return ChangeBytes(random, bytes);
  StoreLittle64(bytes->data() + random.Below(bytes->size() / 8) * 8,
                kWords[random.Below(std::size(kWords))]);
}

void ChangePart(Random& random, ValuePart* part) {
  switch (part->kind) {
    case Kind::kLength: part->length = OddLength(random, part->length); break;
    case Kind::kString: ChangeString(random, &part->bytes); break;
    case Kind::kRaw: ChangeRaw(random, &part->bytes); break;
  }
}

/// Doubles or drops a few parts in a row, and mostly tells the first length of it, as if an element had
/// come or gone.
void ChangeCount(Random& random, std::vector<ValuePart>* parts) {
  const size_t at = random.Below(parts->size());
  const size_t count = std::min<size_t>(1 + random.Below(4), parts->size() - at);
  const auto from = parts->begin() + static_cast<ptrdiff_t>(at);
  const auto to = from + static_cast<ptrdiff_t>(count);
  const bool grows = random.OneIn(2);
  if (grows) {
    const std::vector<ValuePart> copy(from, to);
    parts->insert(from, copy.begin(), copy.end());
  } else {
    parts->erase(from, to);
  }
  if (random.OneIn(4)) return;
  // The length that counts them is the nearest one in front, or that of all.
  size_t counter = 0;
  for (size_t i = 0; i < at && random.OneIn(2); i++) {
    if ((*parts)[i].kind == Kind::kLength) counter = i;
  }
  if (counter < parts->size() && (*parts)[counter].kind == Kind::kLength) {
    (*parts)[counter].length += grows ? 1 : ~uint64_t{0};
  }
}

}  // namespace

ValueParts SplitValue(std::string_view body) {
  ValueParts value;
  if (body.empty()) return value;
  value.type = static_cast<uint8_t>(body[0]);
  Splitter(body.substr(1), &value).Split(static_cast<RdbType>(value.type));
  return value;
}

std::string JoinValue(Random* random, const ValueParts& value) {
  std::string bytes(1, static_cast<char>(value.type));
  RdbWriter plain(&bytes, false);
  RdbWriter packed(&bytes, true);
  for (const ValuePart& part : value.parts) {
    if (part.kind == Kind::kLength) {
      plain.Length(part.length);
    } else if (part.kind == Kind::kRaw) {
      plain.Raw(part.bytes);
    } else if (random == nullptr || random->OneIn(2)) {
      plain.Length(part.bytes.size());
      plain.Raw(part.bytes);
    } else {
      (random->OneIn(2) ? packed : plain).String(part.bytes);
    }
  }
  return bytes;
}

void MutateValue(Random& random, ValueParts* value) {
  constexpr uint8_t kTypeEnd = 27;
  std::vector<ValuePart>& parts = value->parts;
  if (parts.empty() || random.OneIn(40)) {
    value->type = static_cast<uint8_t>(random.Below(kTypeEnd));
    return;
  }
  ValuePart& part = parts[random.Below(parts.size())];
  switch (random.Below(8)) {
    case 0: ChangeCount(random, &parts); break;
    case 1: {  // One like another: a member twice, an ID in the wrong place.
      const ValuePart& other = parts[random.Below(parts.size())];
      if (other.kind == part.kind) part = ValuePart(other);
      break;
    }
    case 2: std::swap(part, parts[random.Below(parts.size())]); break;
    default: ChangePart(random, &part); break;
  }
}

std::string MakeListpack(const std::vector<std::string>& elements, Random* random) {
  std::string bytes(ds::Listpack::kHeaderSize, '\0');
  for (const std::string& element : elements) {
    if (random == nullptr || !random->OneIn(4)) {
      AppendElement(element, &bytes);
    } else {
      const std::string odd = OddElement(*random, element);
      bytes += odd;
      AppendBacklen(&bytes, odd.size());
    }
  }
  bytes += '\xFF';
  ds::Listpack::WriteHeader(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size(), elements.size());
  return bytes;
}

std::string MakeZiplist(const std::vector<std::string>& elements) {
  constexpr size_t kHeaderSize = 10;
  constexpr size_t kPreviousShortMax = 253;
  std::string bytes(kHeaderSize, '\0');
  size_t last = kHeaderSize;
  size_t previous_size = 0;
  for (const std::string& element : elements) {
    last = bytes.size();
    if (previous_size <= kPreviousShortMax) {
      bytes += static_cast<char>(previous_size);
    } else {
      bytes += "\xFE    ";
      StoreLittle32(bytes.data() + bytes.size() - 4, static_cast<uint32_t>(previous_size));
    }
    int64_t value;
    if (ParseInt64(element, &value)) {
      bytes += ZiplistInteger(value);
    } else {
      if (element.size() >= 64) bytes += static_cast<char>(0x40 | element.size() >> 8);
      bytes += static_cast<char>(element.size());
      bytes += element;
    }
    previous_size = bytes.size() - last;
  }
  bytes += '\xFF';
  StoreLittle32(bytes.data(), static_cast<uint32_t>(bytes.size()));
  StoreLittle32(bytes.data() + 4, static_cast<uint32_t>(last));
  StoreLittle16(bytes.data() + 8, static_cast<uint16_t>(elements.size()));
  return bytes;
}

}  // namespace sherd::fuzz
