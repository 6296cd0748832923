// Sets in their RDB form: plain members, an intset, or (from version 11) a listpack.
#include "ds/intset.h"
#include "engine/set_value.h"
#include "persistence/value_reader_types.h"
#include "persistence/value_writer_types.h"

namespace sherd::persistence {

using engine::Entry;
using engine::SetLimits;
using engine::SetObject;

namespace {

/// Adds members one by one; false when one comes twice.
class SetLoader {
 public:
  SetLoader(const ReadContext& context, size_t count)
      : heap_(context.heap),
        limits_(context.options),
        set_(SetObject::CreateForLoad(heap_, limits_, count)) {}

  bool Add(std::string_view member) { return set_.Add(heap_, limits_, member); }
  SetObject& set() { return set_; }

 private:
  SlabHeap& heap_;
  SetLimits limits_;
  SetObject set_;
};

bool Finish(const SetObject& set, LoadedValue* value) {
  value->type = engine::Type::kSet;
  value->encoding = set.encoding();
  value->payload = set.payload();
  return true;
}

bool ReadMembers(const ReadContext& context, LoadedValue* value) {
  const uint64_t count = context.reader->Count();
  if (count == 0) return false;
  SetLoader loader(context, count);
  RdbString member;
  for (uint64_t i = 0; i < count; i++) {
    if (context.reader->String(&member) && loader.Add(member.view)) continue;
    loader.set().Free(context.heap);
    return false;
  }
  return Finish(loader.set(), value);
}

bool ReadPackedMembers(const ReadContext& context, std::string_view bytes, LoadedValue* value) {
  size_t count;
  if (!CheckPack(bytes, 1, &count)) return false;
  SetObject set(engine::Encoding::kListPack, 0);
  const SetLimits limits(context.options);
  if (IsAdoptable(bytes, 1)) {
    return SetObject::AdoptListpack(context.heap, limits, bytes, &set) && Finish(set, value);
  }
  SetLoader loader(context, count);
  const bool ok = ForEachPacked(bytes, [&](std::string_view member) { return loader.Add(member); });
  if (ok) return Finish(loader.set(), value);
  loader.set().Free(context.heap);
  return false;
}

}  // namespace

bool ReadSetValue(const ReadContext& context, RdbType type, LoadedValue* value) {
  if (type == RdbType::kSet) return ReadMembers(context, value);
  RdbString bytes;
  if (!context.reader->String(&bytes)) return false;
  if (type == RdbType::kSetListpack) return ReadPackedMembers(context, bytes.view, value);
  SetObject set(engine::Encoding::kIntSet, 0);
  const SetLimits limits(context.options);
  return SetObject::AdoptIntSet(context.heap, limits, bytes.view, &set) && Finish(set, value);
}

RdbType TypeOfSet(const Entry& entry, uint32_t version) {
  const SetObject set(entry);
  if (set.is_intset()) return RdbType::kSetIntset;
  return set.is_listpack() && version >= 11 ? RdbType::kSetListpack : RdbType::kSet;
}

void WriteSetValue(const Entry& entry, RdbType type, RdbWriter* writer) {
  const SetObject set(entry);
  if (type == RdbType::kSetIntset) return writer->String(set.intset().view());
  if (type == RdbType::kSetListpack) return writer->String(set.listpack().view());
  writer->Length(set.size());
  engine::ForEachSetMember(entry, [&](std::string_view member) {
    writer->String(member);
    return !writer->stopped();
  });
}

}  // namespace sherd::persistence
