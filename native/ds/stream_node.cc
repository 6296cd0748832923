// Stream nodes: see the header for the format.
#include "ds/stream_node.h"

#include <cstring>

namespace sherd::ds {

namespace {

// Elements of an entry besides fields and values: flags and the two parts of the id; and the number
// of fields, if it has its own.
constexpr uint64_t kOwnElements = 3;

uint64_t ElementCount(uint64_t field_count, bool has_master_fields) {
  return has_master_fields ? kOwnElements + field_count : kOwnElements + 1 + 2 * field_count;
}

StreamId Add(StreamId master, int64_t ms, int64_t seq) {
  return {master.ms + static_cast<uint64_t>(ms), master.seq + static_cast<uint64_t>(seq)};
}

uint8_t* WriteEntry(uint8_t* p, StreamId difference, bool has_master_fields,
                    std::span<const std::string_view> pairs) {
  const size_t field_count = pairs.size() / 2;
  p = Listpack::WriteIntegerElement(p, has_master_fields ? kEntryHasMasterFields : 0);
  p = Listpack::WriteIntegerElement(p, static_cast<int64_t>(difference.ms));
  p = Listpack::WriteIntegerElement(p, static_cast<int64_t>(difference.seq));
  if (has_master_fields) {
    for (size_t i = 1; i < pairs.size(); i += 2) p = Listpack::WriteElement(p, pairs[i]);
  } else {
    p = Listpack::WriteIntegerElement(p, static_cast<int64_t>(field_count));
    for (const std::string_view text : pairs) p = Listpack::WriteElement(p, text);
  }
  return Listpack::WriteIntegerElement(
      p, static_cast<int64_t>(ElementCount(field_count, has_master_fields)));
}

// Ends the block at `end` and counts `added` more elements.
void FinishBlock(uint8_t* data, uint8_t* end, size_t added) {
  *end = 0xFF;
  StoreLittle32(data, static_cast<uint32_t>(end + 1 - data));
  const size_t count = LoadLittle16(data + 4);
  if (count == Listpack::kCountUnknown) return;
  const size_t total = count + added;
  StoreLittle16(data + 4, static_cast<uint16_t>(
                              total < Listpack::kCountUnknown ? total : Listpack::kCountUnknown));
}

bool IsText(PackedValue value, std::string_view text) {
  if (!value.is_integer()) return std::string_view(value.text, value.size) == text;
  char digits[kInt64CharsMax];
  return value.View(digits) == text;
}

}  // namespace

// ---- Reading ----

StreamNodeHeader StreamNodeHeader::Read(const uint8_t* data) {
  StreamNodeHeader header;
  size_t at = Listpack::kHeaderSize;
  header.count = static_cast<uint64_t>(ReadInteger(data, &at));
  header.deleted_at = at;
  header.deleted = static_cast<uint64_t>(ReadInteger(data, &at));
  header.field_count = static_cast<uint64_t>(ReadInteger(data, &at));
  header.fields_at = at;
  SkipElements(data, &at, header.field_count + 1);
  header.entries_at = at;
  return header;
}

StreamEntry StreamEntry::Read(const uint8_t* data, const StreamNodeHeader& header, StreamId master,
                              size_t at) {
  StreamEntry entry;
  entry.at = at;
  const int64_t flags = ReadInteger(data, &at);
  const int64_t ms = ReadInteger(data, &at);
  const int64_t seq = ReadInteger(data, &at);
  entry.id = Add(master, ms, seq);
  entry.is_deleted = (flags & kEntryDeleted) != 0;
  entry.has_master_fields = (flags & kEntryHasMasterFields) != 0;
  entry.field_count =
      entry.has_master_fields ? header.field_count : static_cast<uint64_t>(ReadInteger(data, &at));
  entry.values_at = at;
  return entry;
}

size_t PreviousStreamEntry(const uint8_t* data, const StreamNodeHeader& header, size_t at) {
  if (at == header.entries_at) return 0;
  const Listpack pack(const_cast<uint8_t*>(data));
  size_t position = pack.Previous(at);
  size_t after = position;
  for (int64_t count = ReadInteger(data, &after); count > 0; count--)
    position = pack.Previous(position);
  return position;
}

bool HasMasterFields(const uint8_t* data, const StreamNodeHeader& header,
                     std::span<const std::string_view> pairs) {
  if (header.field_count != pairs.size() / 2) return false;
  size_t at = header.fields_at;
  for (size_t i = 0; i < pairs.size(); i += 2) {
    if (!IsText(ReadElement(data, &at), pairs[i])) return false;
  }
  return true;
}

// ---- Writing ----

size_t NewStreamNodeSize(std::span<const std::string_view> pairs) {
  const size_t field_count = pairs.size() / 2;
  size_t size = Listpack::kEmptySize + 3 * Listpack::ElementSizeOfInteger(0) +
                Listpack::ElementSizeOfInteger(static_cast<int64_t>(field_count));
  for (size_t i = 0; i < pairs.size(); i += 2) size += Listpack::ElementSize(pairs[i]);
  return size + StreamEntrySize({}, true, pairs);
}

void WriteNewStreamNode(uint8_t* data, std::span<const std::string_view> pairs) {
  const size_t field_count = pairs.size() / 2;
  uint8_t* p = data + Listpack::kHeaderSize;
  p = Listpack::WriteIntegerElement(p, 1);
  p = Listpack::WriteIntegerElement(p, 0);
  p = Listpack::WriteIntegerElement(p, static_cast<int64_t>(field_count));
  for (size_t i = 0; i < pairs.size(); i += 2) p = Listpack::WriteElement(p, pairs[i]);
  p = Listpack::WriteIntegerElement(p, 0);
  p = WriteEntry(p, {}, true, pairs);
  StoreLittle16(data + 4, 0);
  FinishBlock(data, p, 4 + field_count + ElementCount(field_count, true) + 1);
}

size_t StreamEntrySize(StreamId difference, bool has_master_fields,
                       std::span<const std::string_view> pairs) {
  const size_t field_count = pairs.size() / 2;
  const auto integer_size = [](uint64_t value) {
    return Listpack::ElementSizeOfInteger(static_cast<int64_t>(value));
  };
  size_t size = integer_size(0) + integer_size(difference.ms) + integer_size(difference.seq) +
                integer_size(ElementCount(field_count, has_master_fields));
  if (!has_master_fields) size += integer_size(field_count);
  for (size_t i = has_master_fields ? 1 : 0; i < pairs.size(); i += has_master_fields ? 2 : 1) {
    size += Listpack::ElementSize(pairs[i]);
  }
  return size;
}

void AppendStreamEntry(uint8_t* data, StreamId difference, bool has_master_fields,
                       std::span<const std::string_view> pairs) {
  uint8_t* end = data + LoadLittle32(data) - 1;
  end = WriteEntry(end, difference, has_master_fields, pairs);
  FinishBlock(data, end, ElementCount(pairs.size() / 2, has_master_fields) + 1);
}

// ---- Hostile bytes ----

namespace {

// Reads elements of a listpack that is known to be well-formed, but may end anywhere. After the end
// all reads fail.
class CheckedReader {
 public:
  explicit CheckedReader(const uint8_t* data) : data_(data) {}

  bool AtEnd() const { return IsNodeEnd(data_, at_); }
  bool ok() const { return is_ok_; }
  int64_t Integer() {
    if (!Expect()) return 0;
    const PackedValue value = ReadElement(data_, &at_);
    if (!value.is_integer()) is_ok_ = false;
    return value.integer;
  }
  // An integer that must be stored in one byte: flags are changed in place.
  int64_t SmallInteger() {
    if (!Expect() || data_[at_] >= 0x80) is_ok_ = false;
    return is_ok_ ? Integer() : 0;
  }
  uint64_t Count() {
    const int64_t value = Integer();
    if (value < 0) is_ok_ = false;
    return is_ok_ ? static_cast<uint64_t>(value) : 0;
  }
  void Skip(uint64_t count) {
    for (; count > 0 && Expect(); count--) SkipElements(data_, &at_, 1);
  }

 private:
  bool Expect() {
    if (AtEnd()) is_ok_ = false;
    return is_ok_;
  }

  const uint8_t* data_;
  size_t at_ = Listpack::kHeaderSize;
  bool is_ok_ = true;
};

// Reads one entry. False: something is wrong with it.
bool CheckEntry(CheckedReader& reader, uint64_t master_fields, StreamId master,
                StreamNodeFacts* facts) {
  const int64_t flags = reader.SmallInteger();
  const int64_t ms = reader.Integer();
  const int64_t seq = reader.Integer();
  if (!reader.ok() || flags > (kEntryDeleted | kEntryHasMasterFields)) return false;
  const bool has_master_fields = (flags & kEntryHasMasterFields) != 0;
  const uint64_t fields = has_master_fields ? master_fields : reader.Count();
  reader.Skip(fields);
  if (!has_master_fields) reader.Skip(fields);
  if (!reader.ok()) return false;  // from here on `fields` is known to be a small number
  if (reader.Count() != ElementCount(fields, has_master_fields) || !reader.ok()) return false;

  const StreamId id = Add(master, ms, seq);
  const bool is_first = facts->count + facts->deleted == 0;
  if (is_first ? id < master : id <= facts->last) return false;
  if (is_first) facts->first = id;
  facts->last = id;
  ((flags & kEntryDeleted) != 0 ? facts->deleted : facts->count)++;
  return true;
}

}  // namespace

bool ValidateStreamNode(std::string_view bytes, StreamId master, StreamNodeFacts* facts) {
  if (!Listpack::Validate(bytes)) return false;
  CheckedReader reader(reinterpret_cast<const uint8_t*>(bytes.data()));
  const uint64_t count = reader.Count();
  const uint64_t deleted = reader.Count();
  const uint64_t field_count = reader.Count();
  reader.Skip(field_count);
  if (reader.Integer() != 0 || !reader.ok()) return false;
  StreamNodeFacts found;
  while (!reader.AtEnd()) {
    if (!CheckEntry(reader, field_count, master, &found)) return false;
  }
  if (found.count != count || found.deleted != deleted || count + deleted == 0) return false;
  if (facts != nullptr) *facts = found;
  return true;
}

}  // namespace sherd::ds
