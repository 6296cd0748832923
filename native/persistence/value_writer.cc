// Values in their RDB form: see the header.
#include "persistence/value_writer.h"

#include "base/check.h"
#include "engine/keyspace.h"
#include "persistence/value_writer_types.h"

namespace sherd::persistence {

using engine::Entry;
using engine::Type;

namespace {

void WriteStringValue(const Entry& entry, RdbWriter* writer) {
  if (entry.encoding() == engine::Encoding::kInt) {
    return writer->IntegerString(static_cast<int64_t>(entry.payload()));
  }
  engine::IntegerText text;
  writer->String(engine::StringBytes(entry, &text));
}

RdbType TypeOf(const Entry& entry, uint32_t version) {
  switch (entry.type()) {
    case Type::kString: return RdbType::kString;
    case Type::kList: return TypeOfList(entry, version);
    case Type::kSet: return TypeOfSet(entry, version);
    case Type::kSortedSet: return TypeOfSortedSet(entry, version);
    case Type::kHash: return TypeOfHash(entry, version);
    case Type::kStream: return TypeOfStream(entry, version);
    case Type::kModule: break;
  }
  CHECK_MSG(false, "a type without an RDB form");
  return RdbType::kString;
}

}  // namespace

uint32_t WriterVersion(const Entry& entry, uint32_t version) {
  CHECK(version >= kRdbVersionMin);
  CHECK(version <= kRdbVersionMax);
  return entry.has_field_expiry() ? kRdbVersionMax : version;
}

void WriteType(const Entry& entry, uint32_t version, RdbWriter* writer) {
  writer->Type(TypeOf(entry, version));
}

void WriteValue(const Entry& entry, uint32_t version, RdbWriter* writer) {
  WriteType(entry, version, writer);
  WriteBody(entry, version, writer);
}

void WriteBody(const Entry& entry, uint32_t version, RdbWriter* writer) {
  const RdbType type = TypeOf(entry, version);
  switch (entry.type()) {
    case Type::kString: return WriteStringValue(entry, writer);
    case Type::kList: return WriteListValue(entry, type, writer);
    case Type::kSet: return WriteSetValue(entry, type, writer);
    case Type::kSortedSet: return WriteSortedSetValue(entry, type, writer);
    case Type::kHash: return WriteHashValue(entry, type, writer);
    case Type::kStream: return WriteStreamValue(entry, type, writer);
    case Type::kModule: break;
  }
}

}  // namespace sherd::persistence
