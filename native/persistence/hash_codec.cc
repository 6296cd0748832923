// Hashes in their RDB form.
//
//   kHash             count, (name, value) …
//   kHashListpack     the listpack as one string (from version 10)
//   kHashMetadata     u64 first expiry, count, (time, name, value) …         (version 12)
//   kHashListpackEx   u64 first expiry, the listpack of triplets as one string (version 12)
//   kHashMetadataPreRelease, kHashListpackExPreRelease: the same without the first expiry; times as they are
//   kHashZipmap, kHashZiplist: old packs, read only
//
// A time in kHashMetadata is 0 for none, else the distance from the first expiry plus one; in the listpack
// it is a unix time in ms. Redis keeps 48 bits of a time.
#include <vector>

#include "engine/hash_value.h"
#include "persistence/old_packs.h"
#include "persistence/value_reader_types.h"
#include "persistence/value_writer_types.h"

namespace sherd::persistence {

using ds::Listpack;
using engine::Encoding;
using engine::Entry;
using engine::HashBuilder;
using engine::HashLimits;
using engine::HashValue;
using engine::kNoExpiry;

namespace {

constexpr uint64_t kTimeMax = (uint64_t{1} << 48) - 1;

bool Finish(const HashValue& hash, LoadedValue* value) {
  value->type = engine::Type::kHash;
  value->encoding = hash.encoding();
  value->payload = hash.payload();
  value->has_field_expiry = hash.next_expiry_ms() != kNoExpiry;
  return true;
}

bool Finish(HashBuilder* builder, LoadedValue* value) {
  return builder->size() > 0 && Finish(builder->Take(), value);
}

/// The expiry of a field as kHashMetadata states it. False: it makes no sense.
bool ReadFieldTime(RdbReader* reader, uint64_t first_expiry, int64_t* at_ms) {
  const uint64_t distance = reader->Length();
  *at_ms = kNoExpiry;
  if (distance == 0) return reader->ok();
  if (first_expiry > kTimeMax || distance - 1 > kTimeMax - first_expiry) return false;
  *at_ms = static_cast<int64_t>(first_expiry + distance - 1);
  // In a listpack 0 is no time at all.
  return reader->ok() && *at_ms > 0;
}

bool ReadFields(const ReadContext& context, RdbType type, LoadedValue* value) {
  RdbReader* reader = context.reader;
  const bool has_times = type != RdbType::kHash;
  // Before the release a time stood for itself, as if the first one was 1.
  const uint64_t first_expiry = type == RdbType::kHashMetadata ? reader->Little64() : 1;
  const uint64_t count = reader->Count(has_times ? 3 : 2);
  HashBuilder builder(context.heap, HashLimits(context.options));
  builder.Expect(count);
  RdbString name;
  RdbString text;
  for (uint64_t i = 0; i < count; i++) {
    int64_t at_ms = kNoExpiry;
    if (has_times && !ReadFieldTime(reader, first_expiry, &at_ms)) return false;
    if (!reader->String(&name) || !reader->String(&text)) return false;
    if (!builder.Add(name.view, text.view, at_ms)) return false;
  }
  return Finish(&builder, value);
}

bool ReadOldPack(const ReadContext& context, RdbType type, std::string_view bytes, LoadedValue* value) {
  std::vector<ds::PackedValue> values;
  const bool is_sound =
      type == RdbType::kHashZipmap ? ReadZipmap(bytes, &values) : ReadZiplist(bytes, &values);
  if (!is_sound || values.size() % 2 != 0) return false;
  HashBuilder builder(context.heap, HashLimits(context.options));
  builder.Expect(values.size() / 2);
  char name[kInt64CharsMax];
  char text[kInt64CharsMax];
  for (size_t i = 0; i < values.size(); i += 2) {
    if (!builder.Add(values[i].View(name), values[i + 1].View(text))) return false;
  }
  return Finish(&builder, value);
}

/// The time of a triplet; 0 is none.
bool ParseTime(const ds::PackedValue& time, int64_t* at_ms) {
  if (!time.is_integer() || time.integer < 0 || static_cast<uint64_t>(time.integer) > kTimeMax) return false;
  *at_ms = time.integer == 0 ? kNoExpiry : time.integer;
  return true;
}

bool HaveTimes(Listpack pack) {
  for (auto at = pack.First(); at != Listpack::kNone; at = pack.Next(at)) {
    at = pack.Next(pack.Next(at));
    int64_t at_ms;
    if (!ParseTime(pack.Get(at), &at_ms)) return false;
  }
  return true;
}

/// Field by field: for packs that we would not have written like this.
bool RebuildPack(const ReadContext& context, Listpack pack, bool has_times, LoadedValue* value) {
  HashBuilder builder(context.heap, HashLimits(context.options));
  char name[kInt64CharsMax];
  char text[kInt64CharsMax];
  for (auto at = pack.First(); at != Listpack::kNone; at = pack.Next(at)) {
    const auto value_at = pack.Next(at);
    int64_t at_ms = kNoExpiry;
    if (has_times && !ParseTime(pack.Get(pack.Next(value_at)), &at_ms)) return false;
    if (!builder.Add(pack.Get(at).View(name), pack.Get(value_at).View(text), at_ms)) return false;
    at = has_times ? pack.Next(value_at) : value_at;
  }
  return Finish(&builder, value);
}

bool ReadPackedFields(const ReadContext& context, std::string_view bytes, bool has_times,
                      LoadedValue* value) {
  const size_t group = has_times ? 3 : 2;
  size_t count;
  if (!CheckPack(bytes, group, &count)) return false;
  const Listpack pack(reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data())));
  if (has_times && !HaveTimes(pack)) return false;
  const bool fits = count / group <= HashLimits(context.options).max_entries;
  if (!fits || !IsAdoptable(bytes, group) || !engine::IsHashListpack(pack, has_times)) {
    return RebuildPack(context, pack, has_times, value);
  }
  const auto payload = reinterpret_cast<uint64_t>(pack.Clone(context.heap).data());
  return Finish(HashValue(has_times ? Encoding::kListPackEx : Encoding::kListPack, payload,
                          HashValue::kSeeAll),
                value);
}

}  // namespace

bool ReadHashValue(const ReadContext& context, RdbType type, LoadedValue* value) {
  if (type == RdbType::kHash || type == RdbType::kHashMetadata || type == RdbType::kHashMetadataPreRelease) {
    return ReadFields(context, type, value);
  }
  const bool has_times = type == RdbType::kHashListpackEx || type == RdbType::kHashListpackExPreRelease;
  if (type == RdbType::kHashListpackEx) context.reader->Little64();  // the first expiry; the pack says it, too
  RdbString bytes;
  if (!context.reader->String(&bytes)) return false;
  if (type == RdbType::kHashZipmap || type == RdbType::kHashZiplist) {
    return ReadOldPack(context, type, bytes.view, value);
  }
  return ReadPackedFields(context, bytes.view, has_times, value);
}

RdbType TypeOfHash(const Entry& entry, uint32_t version) {
  if (entry.encoding() == Encoding::kListPackEx && version >= 12) return RdbType::kHashListpackEx;
  if (entry.has_field_expiry() && version >= 12) return RdbType::kHashMetadata;
  return entry.encoding() == Encoding::kListPack && version >= 10 ? RdbType::kHashListpack : RdbType::kHash;
}

void WriteHashValue(const Entry& entry, RdbType type, RdbWriter* writer) {
  const HashValue hash(entry);
  const int64_t first_expiry_ms = hash.next_expiry_ms();
  const bool has_times = type == RdbType::kHashMetadata || type == RdbType::kHashListpackEx;
  if (has_times) writer->Milliseconds(first_expiry_ms == kNoExpiry ? 0 : first_expiry_ms);
  if (type == RdbType::kHashListpack || type == RdbType::kHashListpackEx) {
    return writer->String(entry.listpack().view());
  }
  writer->Length(hash.stored_size());
  engine::ForEachHashField(entry, [&](std::string_view name, std::string_view value, int64_t at_ms) {
    if (has_times) {
      writer->Length(at_ms == kNoExpiry ? 0 : static_cast<uint64_t>(at_ms - first_expiry_ms) + 1);
    }
    writer->String(name);
    writer->String(value);
    return !writer->stopped();
  });
}

}  // namespace sherd::persistence
