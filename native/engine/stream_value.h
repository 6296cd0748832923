// Streams: what a key of type stream holds, without a word of commands.
//
//   Stream ── log: the entries (ds/stream_log.h)
//          ├─ ids and counters that outlive entries
//          └─ groups by name ── StreamGroup ── pel: id -> StreamNack, all that is not acknowledged
//                                           └─ consumers by name ── StreamConsumer ── pel: the same
//
// A StreamNack is an entry that was delivered and not acknowledged; the group's list and its
// consumer's list share it, and it knows its consumer.
//
// Invariants: every nack is in its group's pel and in the pel of exactly the consumer it names; a
// consumer's pel holds nothing else. first_id is the id of the first living entry, 0-0 without one;
// last_id is at or above the id of every living entry. entries_read of a group is -1 when unknown.
//
// All counters and rules of "lag" and "entries-read" are Redis 7.2's.
//
// Thread: the holder of the lease of the key's shard. Memory: everything from the shard's heap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/slab_heap.h"
#include "ds/id_map.h"
#include "ds/name_index.h"
#include "ds/stream_id.h"
#include "ds/stream_log.h"
#include "engine/entry.h"

namespace sherd::engine {

using ds::StreamId;

struct StreamConsumer;

/// An entry that waits for its acknowledgement.
struct StreamNack {
  int64_t delivery_time_ms;
  uint64_t delivery_count;
  StreamConsumer* consumer;
};

/// A consumer; its name follows it in memory.
struct StreamConsumer {
  int64_t seen_time_ms = 0;     // last time it asked for anything
  int64_t active_time_ms = -1;  // last time it got something; -1: never
  ds::IdMap<StreamNack> pel;    // does not own the nacks
  size_t name_size = 0;

  std::string_view name() const { return {reinterpret_cast<const char*>(this + 1), name_size}; }
};

/// A consumer group; its name follows it in memory.
struct StreamGroup {
  static constexpr int64_t kUnknown = -1;

  StreamId last_id;                 // last entry delivered to anybody
  int64_t entries_read = kUnknown;  // entries of the stream's life up to last_id
  ds::IdMap<StreamNack> pel;        // owns the nacks
  ds::NameIndex<StreamConsumer> consumers;
  size_t name_size = 0;

  std::string_view name() const { return {reinterpret_cast<const char*>(this + 1), name_size}; }

  StreamConsumer* FindConsumer(std::string_view consumer_name) const {
    return consumers.Find(consumer_name);
  }
  /// Adds a consumer whose name is new, seen now.
  StreamConsumer* AddConsumer(SlabHeap& heap, std::string_view consumer_name, int64_t now_ms);
  /// Deletes a consumer with all that it has not acknowledged.
  void DeleteConsumer(SlabHeap& heap, StreamConsumer* consumer);

  /// Notes that an entry was delivered to a consumer: for the first time, whoever had it before.
  StreamNack* Deliver(SlabHeap& heap, StreamConsumer* consumer, StreamId id, int64_t now_ms);
  /// Makes a nack that no consumer has yet: the caller assigns it.
  StreamNack* AddNack(SlabHeap& heap, StreamId id, int64_t delivery_time_ms,
                      uint64_t delivery_count);
  /// Gives a nack of this group to another consumer.
  void Assign(SlabHeap& heap, StreamId id, StreamNack* nack, StreamConsumer* consumer);
  /// Forgets an entry. False: it was not pending.
  bool Acknowledge(SlabHeap& heap, StreamId id);
};

struct Stream {
  ds::StreamLog log;
  StreamId last_id;  // of the newest entry there ever was
  StreamId first_id;
  StreamId max_deleted_id;  // highest id that XDEL deleted
  uint64_t entries_added = 0;
  ds::NameIndex<StreamGroup> groups;

  static Stream* Create(SlabHeap& heap);
  /// Frees about `max_elements` of what is left; true when all is gone, the stream included.
  static bool FreeSlice(SlabHeap& heap, Stream* stream, size_t max_elements);
  static void Free(SlabHeap& heap, Stream* stream);
  Stream* Clone(SlabHeap& heap) const;

  uint64_t length() const { return log.length(); }

  void Append(SlabHeap& heap, StreamId id, std::span<const std::string_view> pairs,
              const ds::StreamNodeLimits& limits);
  /// Deletes entries; returns how many there were.
  uint64_t Delete(SlabHeap& heap, std::span<const StreamId> ids);
  uint64_t Trim(SlabHeap& heap, const ds::StreamTrim& trim);

  StreamGroup* FindGroup(std::string_view name) const { return groups.Find(name); }
  /// Adds a group whose name is new.
  StreamGroup* AddGroup(SlabHeap& heap, std::string_view name, StreamId id, int64_t entries_read);
  void DeleteGroup(SlabHeap& heap, StreamGroup* group);

  /// Notes that the group was given the entry with this id, which is above the group's last one.
  void Advance(StreamGroup* group, StreamId id) const;
  /// Entries of the stream's life up to `id`, or -1 where that cannot be said.
  int64_t CountUpTo(StreamId id) const;
  /// Entries that the group has not been given yet. False: unknown.
  bool Lag(const StreamGroup& group, int64_t* lag) const;

  /// Bytes in use; of each group's consumers at most `samples` are looked at and the rest is
  /// estimated from them, 0: all.
  size_t Memory(size_t samples) const;
  void Validate() const;

 private:
  bool HasDeletedFrom(StreamId id) const;
};

/// The stream of an entry of type stream.
inline Stream& StreamOf(const Entry& entry) {
  DCHECK(entry.type() == Type::kStream);
  return *reinterpret_cast<Stream*>(entry.payload());
}

/// Calls f(StreamId id, ds::StreamCursor& cursor) for each living entry in order, until it returns
/// false; cursor.ForEachField(f) gives fields and values.
template <class F>
bool ForEachStreamEntry(const Entry& entry, F&& f) {
  ds::StreamCursor cursor(StreamOf(entry).log, StreamId::Min(), StreamId::Max(), false);
  while (cursor.Next()) {
    if (!f(cursor.entry().id, cursor)) return false;
  }
  return true;
}

/// Builds a stream from what somebody else says it is (RESTORE, RDB). Every function refuses what
/// would make no sound stream and returns false or null; the caller then gives up, and all is
/// freed. Safe on any bytes.
///
///   StreamBuilder builder(heap);
///   if (!builder.AddNode(id, bytes)) return …        for each node, in order
///   if (!builder.SetIds(ids)) return …
///   StreamGroup* group = builder.AddGroup(…)         for each group
///     builder.AddPending(group, …)                   first everything that is pending,
///     StreamConsumer* consumer = builder.AddConsumer(group, …)
///       builder.AssignPending(group, consumer, id)   then who has it
///   Stream* stream = builder.Finish();               the caller's, or null
class StreamBuilder {
 public:
  struct Ids {
    uint64_t length = 0;
    StreamId last;
    // Older formats lack the rest, which is then what follows from the entries.
    bool has_details = true;
    StreamId first;
    StreamId max_deleted;
    uint64_t entries_added = 0;
  };

  explicit StreamBuilder(SlabHeap& heap) : heap_(heap), stream_(Stream::Create(heap)) {}
  ~StreamBuilder() {
    if (stream_ != nullptr) Stream::Free(heap_, stream_);
  }
  StreamBuilder(const StreamBuilder&) = delete;
  StreamBuilder& operator=(const StreamBuilder&) = delete;

  bool AddNode(StreamId master, std::string_view bytes) {
    return stream_->log.AppendNode(heap_, master, bytes);
  }
  bool SetIds(const Ids& ids);
  /// As Stream::CountUpTo, for formats that do not say how far a group has read.
  int64_t CountUpTo(StreamId id) const { return stream_->CountUpTo(id); }
  /// `entries_read` -1: unknown. Null: the name is taken.
  StreamGroup* AddGroup(std::string_view name, StreamId last_id, int64_t entries_read);
  bool AddPending(StreamGroup* group, StreamId id, int64_t delivery_time_ms,
                  uint64_t delivery_count);
  StreamConsumer* AddConsumer(StreamGroup* group, std::string_view name, int64_t seen_time_ms,
                              int64_t active_time_ms);
  bool AssignPending(StreamGroup* group, StreamConsumer* consumer, StreamId id);
  /// The stream, which is the caller's from now on. Null: something pending has no consumer.
  Stream* Finish();

 private:
  SlabHeap& heap_;
  Stream* stream_;
  size_t unassigned_ = 0;  // pending entries without a consumer
};

}  // namespace sherd::engine
