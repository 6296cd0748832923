// Sorted sets in their RDB form: members with scores as text (before RDB 8) or as binary doubles, a
// ziplist, or (from version 10) a listpack.
#include <cmath>
#include <vector>

#include "engine/sorted_set_value.h"
#include "persistence/old_packs.h"
#include "persistence/value_reader_types.h"
#include "persistence/value_writer_types.h"

namespace sherd::persistence {

using ds::Listpack;
using engine::Entry;
using engine::SortedSetBuilder;
using engine::SortedSetLimits;

namespace {

bool AddScore(SortedSetBuilder* builder, std::string_view member, double score) {
  return !std::isnan(score) && builder->Add(member, score);
}

bool AddScoreText(SortedSetBuilder* builder, std::string_view member, std::string_view text) {
  double score;
  return ParseDouble(text, &score) && AddScore(builder, member, score);
}

bool Finish(const ReadContext& context, SortedSetBuilder* builder, LoadedValue* value) {
  if (builder->size() == 0) return false;
  value->type = engine::Type::kSortedSet;
  value->payload = builder->Finish(SortedSetLimits::Of(context.options), &value->encoding);
  return true;
}

bool ReadMembers(const ReadContext& context, RdbType type, LoadedValue* value) {
  // A member and its score take two bytes at least.
  const uint64_t count = context.reader->Count(2);
  SortedSetBuilder builder(context.heap);
  builder.Reserve(count);
  RdbString member;
  for (uint64_t i = 0; i < count; i++) {
    if (!context.reader->String(&member)) return false;
    const double score =
        type == RdbType::kSortedSet2 ? context.reader->BinaryDouble() : context.reader->TextDouble();
    if (!context.reader->ok() || !AddScore(&builder, member.view, score)) return false;
  }
  return Finish(context, &builder, value);
}

bool ReadZiplistMembers(const ReadContext& context, std::string_view bytes, LoadedValue* value) {
  std::vector<ds::PackedValue> values;
  if (!ReadZiplist(bytes, &values) || values.size() % 2 != 0) return false;
  SortedSetBuilder builder(context.heap);
  char member[kInt64CharsMax];
  char score[kInt64CharsMax];
  for (size_t i = 0; i < values.size(); i += 2) {
    if (!AddScoreText(&builder, values[i].View(member), values[i + 1].View(score))) return false;
  }
  return Finish(context, &builder, value);
}

bool ReadPackedMembers(const ReadContext& context, std::string_view bytes, LoadedValue* value) {
  size_t count;
  if (!CheckPack(bytes, 2, &count)) return false;
  const Listpack pack(reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data())));
  // As in Redis, the number of members decides alone: a long one does not unpack what came packed.
  const bool fits = count / 2 <= SortedSetLimits::Of(context.options).max_entries;
  if (fits && IsAdoptable(bytes, 2) && engine::IsSortedSetPack(pack)) {
    value->type = engine::Type::kSortedSet;
    value->encoding = engine::Encoding::kListPack;
    value->payload = reinterpret_cast<uint64_t>(pack.Clone(context.heap).data());
    return true;
  }
  // Too large for a listpack here, or not as we write them: member by member.
  SortedSetBuilder builder(context.heap);
  std::string member;
  bool is_member = true;
  const bool ok = ForEachPacked(bytes, [&](std::string_view element) {
    if (is_member) member = element;
    is_member = !is_member;
    return !is_member || AddScoreText(&builder, member, element);
  });
  return ok && Finish(context, &builder, value);
}

}  // namespace

bool ReadSortedSetValue(const ReadContext& context, RdbType type, LoadedValue* value) {
  if (type == RdbType::kSortedSet || type == RdbType::kSortedSet2) {
    return ReadMembers(context, type, value);
  }
  RdbString bytes;
  if (!context.reader->String(&bytes)) return false;
  return type == RdbType::kSortedSetListpack ? ReadPackedMembers(context, bytes.view, value)
                                             : ReadZiplistMembers(context, bytes.view, value);
}

RdbType TypeOfSortedSet(const Entry& entry, uint32_t version) {
  const bool is_packed = entry.encoding() == engine::Encoding::kListPack;
  return is_packed && version >= 10 ? RdbType::kSortedSetListpack : RdbType::kSortedSet2;
}

void WriteSortedSetValue(const Entry& entry, RdbType type, RdbWriter* writer) {
  if (type == RdbType::kSortedSetListpack) return writer->String(entry.listpack().view());
  const size_t count = engine::SortedSetLength(entry);
  writer->Length(count);
  // Highest first, as Redis: whoever loads a skiplist in this order inserts at its head.
  engine::VisitRange(entry, {0, count}, true, [&](std::string_view member, double score) {
    writer->String(member);
    writer->BinaryDouble(score);
  });
}

}  // namespace sherd::persistence
