// Streams in their RDB form.
//
//   node count, (node id as a string of 16 bytes, listpack as a string) …
//   length, last id
//   first id, max deleted id, entries added                                   from kStreamListpacks2 on
//   group count, groups:
//     name, last id
//     entries read                                                            from kStreamListpacks2 on
//     pending count, (id in 16 bytes, u64 delivery time, delivery count) …
//     consumer count, consumers:
//       name, u64 seen time
//       u64 active time                                                       from kStreamListpacks3 on
//       pending count, (id in 16 bytes) …
//
// Ids are two lengths, except where they are said to be 16 bytes: two big-endian numbers. Times are unix ms,
// little endian; an active time of -1 is none, entries read of -1 unknown.
#include "base/bytes.h"
#include "engine/stream_value.h"
#include "persistence/value_reader_types.h"
#include "persistence/value_writer_types.h"

namespace sherd::persistence {

using ds::StreamId;
using engine::Entry;
using engine::Stream;
using engine::StreamBuilder;
using engine::StreamConsumer;
using engine::StreamGroup;
using engine::StreamNack;

namespace {

constexpr size_t kRawIdSize = 16;

StreamId LoadRawId(const char* bytes) { return {LoadBig64(bytes), LoadBig64(bytes + 8)}; }

StreamId ReadRawId(RdbReader* reader) {
  const std::string_view bytes = reader->Raw(kRawIdSize);
  return reader->ok() ? LoadRawId(bytes.data()) : StreamId{};
}

StreamId ReadId(RdbReader* reader) {
  const uint64_t ms = reader->Length();
  return {ms, reader->Length()};
}

bool ReadNodes(RdbReader* reader, StreamBuilder* builder) {
  const uint64_t count = reader->Count(2);
  RdbString id;
  RdbString node;
  for (uint64_t i = 0; i < count; i++) {
    if (!reader->String(&id) || id.view.size() != kRawIdSize || !reader->String(&node)) return false;
    if (!builder->AddNode(LoadRawId(id.view.data()), node.view)) return false;
  }
  return reader->ok();
}

bool ReadIds(RdbReader* reader, RdbType type, StreamBuilder* builder) {
  StreamBuilder::Ids ids;
  ids.length = reader->Length();
  ids.last = ReadId(reader);
  ids.has_details = type != RdbType::kStreamListpacks;
  if (ids.has_details) {
    ids.first = ReadId(reader);
    ids.max_deleted = ReadId(reader);
    ids.entries_added = reader->Length();
  }
  return reader->ok() && builder->SetIds(ids);
}

bool ReadPending(RdbReader* reader, StreamBuilder* builder, StreamGroup* group) {
  const uint64_t count = reader->Count(kRawIdSize + 9);
  for (uint64_t i = 0; i < count; i++) {
    const StreamId id = ReadRawId(reader);
    const auto delivery_time_ms = static_cast<int64_t>(reader->Little64());
    const uint64_t delivery_count = reader->Length();
    if (!reader->ok() || !builder->AddPending(group, id, delivery_time_ms, delivery_count)) return false;
  }
  return reader->ok();
}

bool ReadConsumer(RdbReader* reader, RdbType type, StreamBuilder* builder, StreamGroup* group) {
  RdbString name;
  if (!reader->String(&name)) return false;
  const auto seen_time_ms = static_cast<int64_t>(reader->Little64());
  // Before there were active times, Redis took the last sign of life for one.
  const int64_t active_time_ms =
      type == RdbType::kStreamListpacks3 ? static_cast<int64_t>(reader->Little64()) : seen_time_ms;
  if (!reader->ok()) return false;
  StreamConsumer* consumer = builder->AddConsumer(group, name.view, seen_time_ms, active_time_ms);
  if (consumer == nullptr) return false;
  const uint64_t count = reader->Count(kRawIdSize);
  for (uint64_t i = 0; i < count; i++) {
    const StreamId id = ReadRawId(reader);
    if (!reader->ok() || !builder->AssignPending(group, consumer, id)) return false;
  }
  return reader->ok();
}

bool ReadGroup(RdbReader* reader, RdbType type, StreamBuilder* builder) {
  RdbString name;
  if (!reader->String(&name)) return false;
  const StreamId last_id = ReadId(reader);
  const bool has_entries_read = type != RdbType::kStreamListpacks;
  const auto entries_read = has_entries_read ? static_cast<int64_t>(reader->Length()) : builder->CountUpTo(last_id);
  if (!reader->ok()) return false;
  StreamGroup* group = builder->AddGroup(name.view, last_id, entries_read);
  if (group == nullptr || !ReadPending(reader, builder, group)) return false;
  const uint64_t consumers = reader->Count(2);
  for (uint64_t i = 0; i < consumers; i++) {
    if (!ReadConsumer(reader, type, builder, group)) return false;
  }
  return reader->ok();
}

// ---- Writing ----

void WriteId(StreamId id, RdbWriter* writer) {
  writer->Length(id.ms);
  writer->Length(id.seq);
}

std::string_view StoreRawId(StreamId id, char (&bytes)[kRawIdSize]) {
  StoreBig64(bytes, id.ms);
  StoreBig64(bytes + 8, id.seq);
  return {bytes, sizeof bytes};
}

void WriteConsumer(const StreamConsumer& consumer, RdbType type, RdbWriter* writer) {
  writer->String(consumer.name());
  writer->Milliseconds(consumer.seen_time_ms);
  if (type == RdbType::kStreamListpacks3) writer->Milliseconds(consumer.active_time_ms);
  writer->Length(consumer.pel.size());
  char raw[kRawIdSize];
  for (auto at = consumer.pel.First(); at; at = consumer.pel.Next(at)) {
    writer->Raw(StoreRawId(consumer.pel.IdAt(at), raw));
  }
}

void WriteGroup(const StreamGroup& group, RdbType type, RdbWriter* writer) {
  writer->String(group.name());
  WriteId(group.last_id, writer);
  if (type != RdbType::kStreamListpacks) writer->Length(static_cast<uint64_t>(group.entries_read));
  writer->Length(group.pel.size());
  char raw[kRawIdSize];
  for (auto at = group.pel.First(); at; at = group.pel.Next(at)) {
    const StreamNack& nack = *group.pel.ValueAt(at);
    writer->Raw(StoreRawId(group.pel.IdAt(at), raw));
    writer->Milliseconds(nack.delivery_time_ms);
    writer->Length(nack.delivery_count);
  }
  writer->Length(group.consumers.size());
  for (const StreamConsumer* consumer : group.consumers) WriteConsumer(*consumer, type, writer);
}

}  // namespace

bool ReadStreamValue(const ReadContext& context, RdbType type, LoadedValue* value) {
  RdbReader* reader = context.reader;
  StreamBuilder builder(context.heap);
  if (!ReadNodes(reader, &builder) || !ReadIds(reader, type, &builder)) return false;
  const uint64_t groups = reader->Count(4);
  for (uint64_t i = 0; i < groups; i++) {
    if (!ReadGroup(reader, type, &builder)) return false;
  }
  if (!reader->ok()) return false;
  Stream* stream = builder.Finish();
  if (stream == nullptr) return false;
  value->type = engine::Type::kStream;
  value->encoding = engine::Encoding::kStream;
  value->payload = reinterpret_cast<uint64_t>(stream);
  return true;
}

RdbType TypeOfStream(const Entry&, uint32_t version) {
  if (version >= 11) return RdbType::kStreamListpacks3;
  return version == 10 ? RdbType::kStreamListpacks2 : RdbType::kStreamListpacks;
}

void WriteStreamValue(const Entry& entry, RdbType type, RdbWriter* writer) {
  const Stream& stream = engine::StreamOf(entry);
  writer->Length(stream.log.node_count());
  stream.log.ForEachNode([&](StreamId master, std::string_view bytes) {
    char raw[kRawIdSize];
    writer->String(StoreRawId(master, raw));
    writer->String(bytes);
    return !writer->stopped();
  });
  writer->Length(stream.length());
  WriteId(stream.last_id, writer);
  if (type != RdbType::kStreamListpacks) {
    WriteId(stream.first_id, writer);
    WriteId(stream.max_deleted_id, writer);
    writer->Length(stream.entries_added);
  }
  writer->Length(stream.groups.size());
  for (const StreamGroup* group : stream.groups) WriteGroup(*group, type, writer);
}

}  // namespace sherd::persistence
