// Lists in their RDB form: plain elements, a ziplist, nodes of ziplists (before version 10), or nodes that
// are listpacks or plain (kListQuicklist2).
#include <vector>

#include "ds/quicklist.h"
#include "engine/list_value.h"
#include "persistence/old_packs.h"
#include "persistence/value_reader_types.h"
#include "persistence/value_writer_types.h"

namespace sherd::persistence {

using ds::Listpack;
using ds::ListEnd;
using ds::Quicklist;
using engine::Encoding;
using engine::Entry;

namespace {

/// A quicklist in the making; frees what was not taken.
class ListLoader {
 public:
  explicit ListLoader(const ReadContext& context)
      : heap_(context.heap),
        fill_{static_cast<int>(context.options.list_max_listpack_size.Get())},
        list_(Quicklist::Create(heap_, fill_, static_cast<int>(context.options.list_compress_depth.Get()))) {}
  ~ListLoader() {
    if (list_ != nullptr) Quicklist::Free(heap_, list_);
  }
  ListLoader(const ListLoader&) = delete;
  ListLoader& operator=(const ListLoader&) = delete;

  void Push(std::string_view element) { list_->Push(heap_, ListEnd::kTail, element); }
  void AppendPack(std::string_view bytes) {
    list_->AppendPack(heap_, Listpack::CreateFrom(heap_, bytes));
  }
  void AppendPlain(std::string_view bytes) { list_->AppendPlain(heap_, bytes); }

  /// A list that fits one listpack is one. False: there is no element.
  bool Finish(LoadedValue* value) {
    if (list_->count() == 0) return false;
    value->type = engine::Type::kList;
    const Quicklist::Node& head = *list_->head();
    const bool fits = list_->node_count() == 1 && !head.is_plain && !fill_.IsExceeded(head.size, head.count);
    if (fits) {
      value->encoding = Encoding::kListPack;
      value->payload = reinterpret_cast<uint64_t>(Quicklist::TakeOnlyPack(heap_, list_).data());
    } else {
      value->encoding = Encoding::kQuickList;
      value->payload = reinterpret_cast<uint64_t>(list_);
    }
    list_ = nullptr;
    return true;
  }

 private:
  SlabHeap& heap_;
  ds::ListFill fill_;
  Quicklist* list_;
};

bool LoadZiplist(std::string_view bytes, ListLoader* loader) {
  std::vector<ds::PackedValue> values;
  if (!ReadZiplist(bytes, &values)) return false;
  char buffer[kInt64CharsMax];
  for (const ds::PackedValue& value : values) loader->Push(value.View(buffer));
  return true;
}

bool LoadPackedNode(std::string_view bytes, ListLoader* loader) {
  size_t count;
  if (!ds::Listpack::Validate(bytes, &count)) return false;
  if (count == 0) return true;  // Redis skips nodes without elements
  if (Listpack(reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()))).IsCanonical()) {
    loader->AppendPack(bytes);
    return true;
  }
  return ForEachPacked(bytes, [&](std::string_view element) {
    loader->Push(element);
    return true;
  });
}

/// One node of a kListQuicklist2.
bool LoadNode(RdbReader* reader, ListLoader* loader) {
  const uint64_t container = reader->Length();
  RdbString bytes;
  if (!reader->String(&bytes)) return false;
  if (container == kNodePacked) return LoadPackedNode(bytes.view, loader);
  if (container != kNodePlain || bytes.view.empty()) return false;
  loader->AppendPlain(bytes.view);
  return true;
}

}  // namespace

bool ReadListValue(const ReadContext& context, RdbType type, LoadedValue* value) {
  RdbReader* reader = context.reader;
  ListLoader loader(context);
  RdbString bytes;
  if (type == RdbType::kListZiplist) {
    return reader->String(&bytes) && LoadZiplist(bytes.view, &loader) && loader.Finish(value);
  }
  const uint64_t count = reader->Count(type == RdbType::kListQuicklist2 ? 2 : 1);
  for (uint64_t i = 0; i < count; i++) {
    if (type == RdbType::kListQuicklist2) {
      if (!LoadNode(reader, &loader)) return false;
      continue;
    }
    if (!reader->String(&bytes)) return false;
    if (type == RdbType::kList) {
      loader.Push(bytes.view);
    } else if (!LoadZiplist(bytes.view, &loader)) {
      return false;
    }
  }
  return reader->ok() && loader.Finish(value);
}

RdbType TypeOfList(const Entry&, uint32_t version) {
  return version >= 10 ? RdbType::kListQuicklist2 : RdbType::kList;
}

void WriteListValue(const Entry& entry, RdbType type, RdbWriter* writer) {
  if (type == RdbType::kList) {
    writer->Length(engine::ListLength(entry));
    engine::ForEachListElement(entry, [&](std::string_view element) {
      writer->String(element);
      return true;
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
  for (const Quicklist::Node* node = list.head(); node != nullptr; node = node->next) {
    writer->Length(node->is_plain ? kNodePlain : kNodePacked);
    writer->String(reader.Bytes(*node));
  }
}

}  // namespace sherd::persistence
