// Lists in their RDB form: plain elements, a ziplist, nodes of ziplists (before version 10), or nodes that
// are listpacks or plain (kListQuicklist2).
#include <vector>

#include "ds/quicklist.h"
#include "engine/list_value.h"
#include "persistence/old_packs.h"
#include "persistence/value_reader_types.h"
#include "persistence/value_writer_types.h"

namespace sherd::persistence {

using ds::Quicklist;
using engine::Encoding;
using engine::Entry;
using engine::ListBuilder;

namespace {

/// Makes `value` the list that was built. False: there is no element.
bool Finish(ListBuilder* builder, LoadedValue* value) {
  const ListBuilder::Value list = builder->Finish();
  if (list.payload == nullptr) return false;
  value->type = engine::Type::kList;
  value->encoding = list.encoding;
  value->payload = reinterpret_cast<uint64_t>(list.payload);
  return true;
}

bool LoadZiplist(std::string_view bytes, ListBuilder* builder) {
  std::vector<ds::PackedValue> values;
  if (!ReadZiplist(bytes, &values)) return false;
  char buffer[kInt64CharsMax];
  for (const ds::PackedValue& value : values) builder->Append(value.View(buffer));
  return true;
}

/// One node of a kListQuicklist2.
bool LoadNode(RdbReader* reader, ListBuilder* builder) {
  const uint64_t container = reader->Length();
  RdbString bytes;
  if (!reader->String(&bytes)) return false;
  if (container == kNodePacked) {
    if (!ds::Listpack::Validate(bytes.view)) return false;
    builder->AppendPack(bytes.view);
    return true;
  }
  if (container != kNodePlain || bytes.view.empty()) return false;
  builder->AppendPlain(bytes.view);
  return true;
}

}  // namespace

bool ReadListValue(const ReadContext& context, RdbType type, LoadedValue* value) {
  RdbReader* reader = context.reader;
  ListBuilder builder(context.heap, engine::ListLimits::Of(context.options));
  RdbString bytes;
  if (type == RdbType::kListZiplist) {
    return reader->String(&bytes) && LoadZiplist(bytes.view, &builder) && Finish(&builder, value);
  }
  const uint64_t count = reader->Count(type == RdbType::kListQuicklist2 ? 2 : 1);
  for (uint64_t i = 0; i < count; i++) {
    if (type == RdbType::kListQuicklist2) {
      if (!LoadNode(reader, &builder)) return false;
      continue;
    }
    if (!reader->String(&bytes)) return false;
    if (type == RdbType::kList) {
      builder.Append(bytes.view);
    } else if (!LoadZiplist(bytes.view, &builder)) {
      return false;
    }
  }
  return reader->ok() && Finish(&builder, value);
}

RdbType TypeOfList(const Entry&, uint32_t version) {
  return version >= 10 ? RdbType::kListQuicklist2 : RdbType::kList;
}

void WriteListValue(const Entry& entry, RdbType type, RdbWriter* writer) {
  if (type == RdbType::kList) {
    writer->Length(engine::ListLength(entry));
    engine::ForEachListElement(entry, [&](std::string_view element) {
      writer->String(element);
      return !writer->stopped();
    });
    return;
  }
  if (entry.encoding() == Encoding::kListPack) {
    writer->Length(1);
    writer->Length(kNodePacked);
    return writer->String(entry.listpack().view());
  }
  const Quicklist& list = *entry.object<Quicklist>();
  writer->Length(list.node_count());
  ds::NodeReader reader;
  for (const Quicklist::Node* node = list.head(); node != nullptr && !writer->stopped(); node = node->next) {
    writer->Length(node->is_plain ? kNodePlain : kNodePacked);
    writer->String(reader.Bytes(*node));
  }
}

}  // namespace sherd::persistence
