// Streams: see the header.
#include "engine/stream_value.h"

#include <cstring>
#include <new>

#include "base/check.h"
#include "engine/value_ops.h"

namespace sherd::engine {

namespace {

// Groups and consumers: the struct, and its name behind it.
template <class T>
T* NewNamed(SlabHeap& heap, std::string_view name) {
  T* item = new (heap.Allocate(sizeof(T) + name.size())) T();
  item->name_size = name.size();
  if (!name.empty()) std::memcpy(reinterpret_cast<char*>(item + 1), name.data(), name.size());
  return item;
}

template <class T>
void FreeNamed(SlabHeap& heap, T* item) {
  heap.Free(item, sizeof(T) + item->name_size);
}

template <class T>
size_t SizeOfNamed(const T* item) {
  return SlabHeap::GoodSize(sizeof(T) + item->name_size);
}

void FreeNack(SlabHeap& heap, StreamNack* nack) { heap.Free(nack, sizeof(StreamNack)); }

// Frees a part of a group that is used no more; true when all is gone, the group included.
bool FreeGroupSlice(SlabHeap& heap, StreamGroup* group, size_t max_elements) {
  size_t freed = 0;
  while (freed < max_elements) {
    const bool more = group->pel.DismantleLeaf(heap, [&](StreamNack* nack) {
      FreeNack(heap, nack);
      freed++;
    });
    if (!more) break;
  }
  while (freed < max_elements && !group->consumers.is_empty()) {
    StreamConsumer* consumer = group->consumers.last();
    while (freed < max_elements && consumer->pel.DismantleLeaf(heap, [](StreamNack*) {}))
      freed += 8;
    if (!consumer->pel.is_empty()) break;
    group->consumers.Erase(heap, consumer);
    FreeNamed(heap, consumer);
    freed++;
  }
  if (!group->pel.is_empty() || !group->consumers.is_empty()) return false;
  FreeNamed(heap, group);
  return true;
}

void CloneGroup(SlabHeap& heap, const StreamGroup& from, Stream* to) {
  StreamGroup* group = to->AddGroup(heap, from.name(), from.last_id, from.entries_read);
  for (const StreamConsumer* other : from.consumers) {
    StreamConsumer* consumer = group->AddConsumer(heap, other->name(), other->seen_time_ms);
    consumer->active_time_ms = other->active_time_ms;
  }
  for (auto at = from.pel.First(); at; at = from.pel.Next(at)) {
    const StreamNack* other = from.pel.ValueAt(at);
    const StreamId id = from.pel.IdAt(at);
    StreamNack* nack = group->AddNack(heap, id, other->delivery_time_ms, other->delivery_count);
    group->Assign(heap, id, nack, group->FindConsumer(other->consumer->name()));
  }
}

size_t GroupMemory(const StreamGroup& group, size_t samples) {
  size_t bytes = SizeOfNamed(&group) + group.pel.memory() + group.consumers.memory() +
                 group.pel.size() * SlabHeap::GoodSize(sizeof(StreamNack));
  size_t looked = 0;
  size_t sampled = 0;
  for (const StreamConsumer* consumer : group.consumers) {
    if (samples != 0 && looked == samples) break;
    sampled += SizeOfNamed(consumer) + consumer->pel.memory();
    looked++;
  }
  return looked == 0 ? bytes : bytes + sampled * group.consumers.size() / looked;
}

void ValidateGroup(const StreamGroup& group) {
  group.pel.Validate();
  group.consumers.Validate();
  size_t pending = 0;
  for (const StreamConsumer* consumer : group.consumers) {
    consumer->pel.Validate();
    pending += consumer->pel.size();
    for (auto at = consumer->pel.First(); at; at = consumer->pel.Next(at)) {
      const StreamNack* nack = consumer->pel.ValueAt(at);
      CHECK(nack->consumer == consumer);
      CHECK(group.pel.Get(consumer->pel.IdAt(at)) == nack);
    }
  }
  CHECK(pending == group.pel.size());
}

}  // namespace

// ---- Groups ----

StreamConsumer* StreamGroup::AddConsumer(SlabHeap& heap, std::string_view consumer_name,
                                         int64_t now_ms) {
  StreamConsumer* consumer = NewNamed<StreamConsumer>(heap, consumer_name);
  consumer->seen_time_ms = now_ms;
  consumers.Insert(heap, consumer);
  return consumer;
}

void StreamGroup::DeleteConsumer(SlabHeap& heap, StreamConsumer* consumer) {
  for (auto at = consumer->pel.First(); at; at = consumer->pel.Next(at)) {
    pel.Erase(heap, consumer->pel.IdAt(at));
    FreeNack(heap, consumer->pel.ValueAt(at));
  }
  consumer->pel.Clear(heap);
  consumers.Erase(heap, consumer);
  FreeNamed(heap, consumer);
}

StreamNack* StreamGroup::AddNack(SlabHeap& heap, StreamId id, int64_t delivery_time_ms,
                                 uint64_t delivery_count) {
  StreamNack* nack = static_cast<StreamNack*>(heap.Allocate(sizeof(StreamNack)));
  *nack = {delivery_time_ms, delivery_count, nullptr};
  if (pel.Insert(heap, id, nack)) return nack;
  FreeNack(heap, nack);
  return nullptr;
}

void StreamGroup::Assign(SlabHeap& heap, StreamId id, StreamNack* nack, StreamConsumer* consumer) {
  if (nack->consumer == consumer) return;
  if (nack->consumer != nullptr) CHECK(nack->consumer->pel.Erase(heap, id));
  nack->consumer = consumer;
  CHECK(consumer->pel.Insert(heap, id, nack));
}

StreamNack* StreamGroup::Deliver(SlabHeap& heap, StreamConsumer* consumer, StreamId id,
                                 int64_t now_ms) {
  StreamNack* nack = AddNack(heap, id, now_ms, 1);
  if (nack == nullptr) {  // XGROUP SETID went back: somebody has it already
    nack = pel.Get(id);
    nack->delivery_time_ms = now_ms;
    nack->delivery_count = 1;
  }
  Assign(heap, id, nack, consumer);
  return nack;
}

bool StreamGroup::Acknowledge(SlabHeap& heap, StreamId id) {
  StreamNack* nack = pel.Get(id);
  if (nack == nullptr) return false;
  pel.Erase(heap, id);
  nack->consumer->pel.Erase(heap, id);
  FreeNack(heap, nack);
  return true;
}

StreamGroup* Stream::AddGroup(SlabHeap& heap, std::string_view name, StreamId id,
                              int64_t entries_read) {
  StreamGroup* group = NewNamed<StreamGroup>(heap, name);
  group->last_id = id;
  group->entries_read = entries_read;
  groups.Insert(heap, group);
  return group;
}

void Stream::DeleteGroup(SlabHeap& heap, StreamGroup* group) {
  groups.Erase(heap, group);
  while (!FreeGroupSlice(heap, group, SIZE_MAX)) {
  }
}

// ---- Entries ----

void Stream::Append(SlabHeap& heap, StreamId id, std::span<const std::string_view> pairs,
                    const ds::StreamNodeLimits& limits) {
  log.Append(heap, id, pairs, limits);
  entries_added++;
  last_id = id;
  if (log.length() == 1) first_id = id;
}

uint64_t Stream::Delete(SlabHeap& heap, std::span<const StreamId> ids) {
  uint64_t deleted = 0;
  bool is_first_gone = false;
  for (const StreamId id : ids) {
    if (!log.Delete(heap, id)) continue;
    if (id == first_id) is_first_gone = true;
    if (id > max_deleted_id) max_deleted_id = id;
    deleted++;
  }
  if (log.length() == 0) {
    if (deleted > 0) first_id = {};
  } else if (is_first_gone) {
    log.FirstId(&first_id);
  }
  return deleted;
}

uint64_t Stream::Trim(SlabHeap& heap, const ds::StreamTrim& trim) {
  const uint64_t deleted = log.Trim(heap, trim);
  if (log.length() == 0) {
    first_id = {};
  } else if (deleted > 0) {
    log.FirstId(&first_id);
  }
  return deleted;
}

// ---- Counters ----

// Whether XDEL may have deleted an entry with an id of `id` or above that is not before the first
// one.
bool Stream::HasDeletedFrom(StreamId id) const {
  if (log.length() == 0 || max_deleted_id.is_zero()) return false;
  return first_id <= max_deleted_id && id <= max_deleted_id;
}

int64_t Stream::CountUpTo(StreamId id) const {
  // Unsigned, since XSETID takes any number and sums may wrap, as they do in Redis.
  const int64_t added = static_cast<int64_t>(entries_added);
  if (entries_added == 0) return 0;
  if (log.length() == 0 && id <= last_id) return added;
  if (id == last_id) return added;
  if (id > last_id) return StreamGroup::kUnknown;
  const uint64_t before_first = entries_added - log.length();
  if (max_deleted_id.is_zero() || max_deleted_id < first_id) {
    if (id < first_id) return static_cast<int64_t>(before_first);
    if (id == first_id) return static_cast<int64_t>(before_first + 1);
  }
  return StreamGroup::kUnknown;
}

void Stream::Advance(StreamGroup* group, StreamId id) const {
  if (group->entries_read != StreamGroup::kUnknown && !HasDeletedFrom(id)) {
    group->entries_read = static_cast<int64_t>(static_cast<uint64_t>(group->entries_read) + 1);
  } else if (entries_added != 0) {
    group->entries_read = CountUpTo(id);
  }
  group->last_id = id;
}

bool Stream::Lag(const StreamGroup& group, int64_t* lag) const {
  *lag = 0;
  if (entries_added == 0) return true;
  int64_t read = group.entries_read;
  if (read == StreamGroup::kUnknown || HasDeletedFrom(group.last_id))
    read = CountUpTo(group.last_id);
  *lag = static_cast<int64_t>(entries_added - static_cast<uint64_t>(read));
  return read != StreamGroup::kUnknown;
}

// ---- The whole ----

Stream* Stream::Create(SlabHeap& heap) { return new (heap.Allocate(sizeof(Stream))) Stream(); }

bool Stream::FreeSlice(SlabHeap& heap, Stream* stream, size_t max_elements) {
  if (!stream->groups.is_empty()) {
    StreamGroup* group = stream->groups.last();
    // Out of the index before its name goes.
    const bool is_small = group->pel.size() + group->consumers.size() < max_elements;
    if (is_small) {
      stream->DeleteGroup(heap, group);
    } else {
      // A group that is taken apart keeps at least itself until its last slice.
      stream->groups.Erase(heap, group);
      if (!FreeGroupSlice(heap, group, max_elements)) stream->groups.Insert(heap, group);
    }
    return false;
  }
  if (!stream->log.FreeSlice(heap)) return false;
  stream->groups.Clear(heap);
  heap.Free(stream, sizeof(Stream));
  return true;
}

void Stream::Free(SlabHeap& heap, Stream* stream) {
  while (!FreeSlice(heap, stream, SIZE_MAX)) {
  }
}

Stream* Stream::Clone(SlabHeap& heap) const {
  Stream* copy = Create(heap);
  copy->log.CloneFrom(heap, log);
  copy->last_id = last_id;
  copy->first_id = first_id;
  copy->max_deleted_id = max_deleted_id;
  copy->entries_added = entries_added;
  for (const StreamGroup* group : groups) CloneGroup(heap, *group, copy);
  return copy;
}

size_t Stream::Memory(size_t samples) const {
  size_t bytes = SlabHeap::GoodSize(sizeof(Stream)) + log.memory() + groups.memory();
  for (const StreamGroup* group : groups) bytes += GroupMemory(*group, samples);
  return bytes;
}

void Stream::Validate() const {
  log.Validate();
  StreamId id;
  if (log.FirstId(&id)) {
    CHECK(id == first_id);
    log.LastId(&id);
    CHECK(id <= last_id);
  } else {
    CHECK(first_id.is_zero());
  }
  groups.Validate();
  for (const StreamGroup* group : groups) ValidateGroup(*group);
}

// ---- Builder ----

bool StreamBuilder::SetIds(const Ids& ids) {
  if (ids.length != stream_->log.length()) return false;
  StreamId last;
  if (stream_->log.LastId(&last) && ids.last < last) return false;
  if (ids.has_details && ids.entries_added > static_cast<uint64_t>(INT64_MAX)) return false;
  stream_->last_id = ids.last;
  // The first id follows from the entries, whatever is said.
  if (!stream_->log.FirstId(&stream_->first_id)) stream_->first_id = {};
  stream_->max_deleted_id = ids.has_details ? ids.max_deleted : StreamId{};
  stream_->entries_added = ids.has_details ? ids.entries_added : ids.length;
  return true;
}

StreamGroup* StreamBuilder::AddGroup(std::string_view name, StreamId last_id,
                                     int64_t entries_read) {
  if (stream_->FindGroup(name) != nullptr || entries_read < StreamGroup::kUnknown) return nullptr;
  return stream_->AddGroup(heap_, name, last_id, entries_read);
}

bool StreamBuilder::AddPending(StreamGroup* group, StreamId id, int64_t delivery_time_ms,
                               uint64_t delivery_count) {
  if (group->AddNack(heap_, id, delivery_time_ms, delivery_count) == nullptr) return false;
  unassigned_++;
  return true;
}

StreamConsumer* StreamBuilder::AddConsumer(StreamGroup* group, std::string_view name,
                                           int64_t seen_time_ms, int64_t active_time_ms) {
  if (group->FindConsumer(name) != nullptr) return nullptr;
  StreamConsumer* consumer = group->AddConsumer(heap_, name, seen_time_ms);
  consumer->active_time_ms = active_time_ms;
  return consumer;
}

bool StreamBuilder::AssignPending(StreamGroup* group, StreamConsumer* consumer, StreamId id) {
  StreamNack* nack = group->pel.Get(id);
  if (nack == nullptr || nack->consumer != nullptr) return false;
  group->Assign(heap_, id, nack, consumer);
  unassigned_--;
  return true;
}

Stream* StreamBuilder::Finish() {
  if (unassigned_ > 0) return nullptr;
  Stream* stream = stream_;
  stream_ = nullptr;
  return stream;
}

// ---- What the keyspace does with streams ----

namespace {

Stream* FromPayload(uint64_t payload) { return reinterpret_cast<Stream*>(payload); }

bool FreeStreamSlice(SlabHeap& heap, Encoding, uint64_t* payload, size_t max_elements) {
  return Stream::FreeSlice(heap, FromPayload(*payload), max_elements);
}

size_t StreamFreeEffort(Encoding, uint64_t payload) {
  const Stream* stream = FromPayload(payload);
  // As in Redis, the first group stands for all.
  constexpr size_t kGroupEffort = 2;
  size_t effort = stream->log.node_count();
  if (!stream->groups.is_empty()) {
    const StreamGroup* group = *stream->groups.begin();
    effort += stream->groups.size() * (kGroupEffort + group->pel.size() + group->consumers.size());
  }
  return effort;
}

uint64_t CloneStream(SlabHeap& heap, Encoding, uint64_t payload) {
  return reinterpret_cast<uint64_t>(FromPayload(payload)->Clone(heap));
}

size_t StreamMemory(Encoding, uint64_t payload, size_t samples) {
  return FromPayload(payload)->Memory(samples);
}
size_t StreamLength(Encoding, uint64_t payload) { return FromPayload(payload)->length(); }
void ValidateStream(Encoding, uint64_t payload) { FromPayload(payload)->Validate(); }

}  // namespace

const ValueOps kStreamOps = {FreeStreamSlice, StreamFreeEffort, CloneStream,
                             StreamMemory,    StreamLength,     ValidateStream};

}  // namespace sherd::engine
