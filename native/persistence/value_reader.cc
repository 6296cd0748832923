// Values from their RDB form: strings, and what all types share. See the header.
#include "persistence/value_reader.h"

#include <algorithm>
#include <vector>

#include "engine/value_ops.h"
#include "persistence/value_reader_types.h"

namespace sherd::persistence {

using engine::Handle;
using engine::Key;
using engine::Keyspace;
using engine::Type;

bool CheckPack(std::string_view bytes, size_t group, size_t* count) {
  return ds::Listpack::Validate(bytes, count) && *count > 0 && *count % group == 0;
}

bool IsAdoptable(std::string_view bytes, size_t group) {
  const ds::Listpack pack(reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data())));
  if (!pack.IsCanonical()) return false;
  // In a canonical pack equal elements have equal bytes.
  std::vector<std::string_view> firsts;
  size_t index = 0;
  for (auto at = pack.First(); at != ds::Listpack::kNone; at = pack.Next(at)) {
    if (index++ % group == 0) firsts.push_back(bytes.substr(at, pack.SizeAt(at)));
  }
  std::sort(firsts.begin(), firsts.end());
  return std::adjacent_find(firsts.begin(), firsts.end()) == firsts.end();
}

bool ReadValue(RdbReader* reader, RdbType type, SlabHeap& heap, const engine::Options& options,
               LoadedValue* value) {
  if (!reader->ok()) return false;
  const ReadContext context = {reader, heap, options};
  switch (type) {
    case RdbType::kString:
      value->type = Type::kString;
      return reader->String(&value->text);
    case RdbType::kList:
    case RdbType::kListZiplist:
    case RdbType::kListQuicklist:
    case RdbType::kListQuicklist2: return ReadListValue(context, type, value);
    case RdbType::kSet:
    case RdbType::kSetIntset:
    case RdbType::kSetListpack: return ReadSetValue(context, type, value);
    case RdbType::kSortedSet:
    case RdbType::kSortedSet2:
    case RdbType::kSortedSetZiplist:
    case RdbType::kSortedSetListpack: return ReadSortedSetValue(context, type, value);
    case RdbType::kHash:
    case RdbType::kHashZipmap:
    case RdbType::kHashZiplist:
    case RdbType::kHashListpack:
    case RdbType::kHashMetadata:
    case RdbType::kHashListpackEx:
    case RdbType::kHashMetadataPreRelease:
    case RdbType::kHashListpackExPreRelease: return ReadHashValue(context, type, value);
    case RdbType::kStreamListpacks:
    case RdbType::kStreamListpacks2:
    case RdbType::kStreamListpacks3: return ReadStreamValue(context, type, value);
    case RdbType::kModule:
    case RdbType::kModule2: break;
  }
  reader->Fail();
  return false;
}

Handle AdoptValue(Keyspace& keyspace, int db, const Key& key, LoadedValue* value, int64_t expiry_ms) {
  if (value->type == Type::kString) {
    return keyspace.SetString(db, key, {}, value->text.view, engine::StringForm::kAuto, expiry_ms);
  }
  const Handle handle =
      keyspace.SetValue(db, key, {}, value->type, value->encoding, value->payload, expiry_ms);
  keyspace.SetFieldExpiry(db, handle, value->has_field_expiry);
  value->payload = 0;
  return handle;
}

void DiscardValue(SlabHeap& heap, LoadedValue* value) {
  if (value->type == Type::kString || value->payload == 0) return;
  while (!engine::OpsOf(value->type).free_slice(heap, value->encoding, &value->payload, ~size_t{0})) {
  }
  value->payload = 0;
}

}  // namespace sherd::persistence
