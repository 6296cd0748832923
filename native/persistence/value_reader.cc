// Values from their RDB form: strings, and what all types share. See the header.
#include "persistence/value_reader.h"

#include <algorithm>
#include <cstring>
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

namespace {

/// Some bits that differ for most elements that differ.
uint64_t MixElement(std::string_view element) {
  uint64_t head = 0;
  uint64_t tail = 0;
  const size_t part = std::min(element.size(), sizeof head);
  std::memcpy(&head, element.data(), part);
  std::memcpy(&tail, element.data() + element.size() - part, part);
  return (head * 0x9e3779b97f4a7c15 ^ (tail + element.size()) * 0xc2b2ae3d27d4eb4f) * 0x165667b19e3779f9;
}

/// The elements that start a group. In a canonical pack equal elements have equal bytes.
template <class Visit>
void ForEachFirst(std::string_view bytes, size_t group, Visit&& visit) {
  const ds::Listpack pack(reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data())));
  size_t index = 0;
  for (auto at = pack.First(); at != ds::Listpack::kNone; at = pack.Next(at)) {
    if (index++ % group == 0) visit(bytes.substr(at, pack.SizeAt(at)));
  }
}

/// A quick look that needs no memory: true if no two are equal for sure.
bool AreDistinctAtAGlance(std::string_view bytes, size_t group) {
  constexpr int kLogBits = 12;
  constexpr size_t kElementsMax = 64;  // beyond, two of them nearly always meet
  uint64_t seen[(1 << kLogBits) / 64] = {};
  size_t count = 0;
  bool is_sure = true;
  ForEachFirst(bytes, group, [&](std::string_view element) {
    const uint64_t bit = MixElement(element) >> (64 - kLogBits);
    uint64_t& word = seen[bit / 64];
    if ((word >> (bit % 64) & 1) != 0) is_sure = false;
    word |= uint64_t{1} << (bit % 64);
    count++;
  });
  return is_sure && count <= kElementsMax;
}

}  // namespace

bool IsAdoptable(std::string_view bytes, size_t group) {
  const ds::Listpack pack(reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data())));
  if (!pack.IsCanonical()) return false;
  if (AreDistinctAtAGlance(bytes, group)) return true;
  std::vector<std::string_view> firsts;
  ForEachFirst(bytes, group, [&](std::string_view element) { firsts.push_back(element); });
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
