// StreamLog: the entries of a stream: nodes (stream_node.h) in an IdMap by their first id.
//
//   IdMap   1-0 -> [ master | entry | entry | … ]  closed: a block as large as its bytes
//          57-3 -> [ master | entry | … ]
//          99-0 -> [ master | entry | free ]       the tail: grows in steps, cut to size when closed
//
// Appending writes behind the last entry of the tail, whose address and id are at hand, so that it
// costs the bytes written and a few of the master entry. A new tail begins with room for about as
// many bytes as its predecessor came to hold, so that a long stream copies nothing; the tail of a
// young stream doubles, so that a million small streams do not pay 4 KiB each.
//
// Deleting marks an entry, and frees a node when its last living entry is marked; trimming frees
// whole nodes and then, if it is to be exact, marks. Both are Redis's way to the letter, since the
// bytes of nodes (and thereby what XINFO and DUMP show) are a function of the history. So a node
// may be left with no living entry: trimming marks the rest of a node whose last entry was deleted
// before.
//
// There is one difference. XSETID can lead Redis to append an id that a marked entry at the end
// still has, or a lower one, and its nodes then hold ids twice or out of order. Here such remains
// go first.
//
// Invariants: length_ is the sum of the nodes' counts; ids ascend strictly through all nodes; tail_
// is the block of the last node, tail_capacity_ the size of that block (a size that the heap's
// classes know), last_stored_ the id of its last entry, every other block occupies
// heap.Allocate(its bytes); block_bytes_ is the sum of all these.
//
// Cursors and positions are valid until the next change.
//
// Thread: the owner's. Memory: from the heap given to each changing function, always the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/slab_heap.h"
#include "ds/id_map.h"
#include "ds/stream_id.h"
#include "ds/stream_node.h"

namespace sherd::ds {

/// When a node is full: stream-node-max-bytes and stream-node-max-entries, 0 for no limit.
struct StreamNodeLimits {
  size_t bytes_max = 4096;
  size_t entries_max = 100;
};

/// What to trim.
struct StreamTrim {
  bool by_id = false;    // drop ids below `min_id`, or all but the last `length_max`
  bool is_exact = true;  // or whole nodes only
  uint64_t length_max = 0;
  StreamId min_id;
  uint64_t limit = 0;  // give up before more than so many are gone; 0: no limit
};

class StreamLog {
 public:
  /// No entry may hold more bytes of fields and values, as in Redis.
  static constexpr size_t kEntryBytesMax = size_t{1} << 30;

  uint64_t length() const { return length_; }
  size_t node_count() const { return nodes_.size(); }
  /// Nodes that Redis's radix tree over the same nodes would have, the root included: XINFO shows
  /// it. O(nodes).
  size_t RadixNodeCount() const;
  /// Bytes in use. O(1).
  size_t memory() const { return block_bytes_ + nodes_.memory(); }

  /// Appends an entry. `id` is above the ids of all living entries; `pairs` are fields and values
  /// in turn, of at most kEntryBytesMax bytes together.
  void Append(SlabHeap& heap, StreamId id, std::span<const std::string_view> pairs,
              const StreamNodeLimits& limits);
  /// Deletes an entry. False: there is none with this id.
  bool Delete(SlabHeap& heap, StreamId id);
  /// Deletes from the front. Returns how many entries are gone.
  uint64_t Trim(SlabHeap& heap, const StreamTrim& trim);

  bool Contains(StreamId id) const;
  /// Id of the first or last living entry. False: there is none.
  bool FirstId(StreamId* id) const;
  bool LastId(StreamId* id) const;
  /// Id of the first or last entry, deleted or not. False: there are no nodes.
  bool FirstStoredId(StreamId* id) const;
  bool LastStoredId(StreamId* id) const {
    *id = last_stored_;
    return tail_ != nullptr;
  }

  // ---- Whole nodes, for RDB ----

  /// Calls f(StreamId master, std::string_view bytes) for each node in order, until it returns
  /// false.
  template <class F>
  bool ForEachNode(F&& f) const {
    for (NodeMap::Position at = nodes_.First(); at; at = nodes_.Next(at)) {
      const Listpack pack(nodes_.ValueAt(at));
      if (!f(nodes_.IdAt(at), pack.view())) return false;
    }
    return true;
  }
  /// Adds a copy of a node behind all others. False, and nothing happens: the bytes are no node, or
  /// it does not belong there. Safe on any bytes.
  bool AppendNode(SlabHeap& heap, StreamId master, std::string_view bytes);

  // ---- The whole ----

  void CloneFrom(SlabHeap& heap, const StreamLog& other);
  /// Frees some nodes; true when none are left. For a log that is used no more.
  bool FreeSlice(SlabHeap& heap);
  /// Checks everything; CHECKs. O(n).
  void Validate() const;

 private:
  friend class StreamCursor;
  using NodeMap = IdMap<uint8_t>;

  // A node while it is being changed: what it says may move.
  struct Block {
    NodeMap::Position at;
    uint8_t* data;
    size_t capacity;
  };

  Block BlockAt(NodeMap::Position at) const;
  uint8_t* AllocateBlock(SlabHeap& heap, size_t capacity);
  void FreeBlock(SlabHeap& heap, uint8_t* data, size_t capacity);
  /// Moves a block's `bytes` bytes to another of `capacity` bytes.
  void MoveBlock(SlabHeap& heap, Block* block, size_t bytes, size_t capacity);
  void ReplaceInteger(SlabHeap& heap, Block* block, size_t at, int64_t value);
  void SetCounts(SlabHeap& heap, Block* block, uint64_t count, uint64_t deleted);
  void AddNode(SlabHeap& heap, StreamId id, std::span<const std::string_view> pairs);
  bool IsTailFull(const StreamNodeHeader& header, size_t added_bytes,
                  const StreamNodeLimits& limits) const;
  void GrowTail(SlabHeap& heap, size_t bytes);
  void CloseTail(SlabHeap& heap);
  void EraseNode(SlabHeap& heap, NodeMap::Position at);
  void SetTail();
  void ReadLastStored();
  void DropDeletedFrom(SlabHeap& heap, StreamId id);
  uint64_t TrimWithin(SlabHeap& heap, NodeMap::Position at, const StreamTrim& trim);

  NodeMap nodes_;
  uint8_t* tail_ = nullptr;
  StreamId tail_id_;
  StreamId last_stored_;
  size_t tail_capacity_ = 0;
  size_t block_bytes_ = 0;
  uint64_t length_ = 0;
};

/// A walk over the living entries of a range, in either direction.
///
///   for (StreamCursor cursor(log, start, end, false); cursor.Next();) {
///     cursor.entry().id …
///     cursor.ForEachField([](PackedValue field, PackedValue value) { … });
///   }
///
/// Copies are independent cursors.
class StreamCursor {
 public:
  /// Entries from `start` to `end`, both included; `is_reverse`: from `end` to `start`.
  StreamCursor(const StreamLog& log, StreamId start, StreamId end, bool is_reverse);

  /// Moves to the first or next entry. False: there is none.
  bool Next();
  const StreamEntry& entry() const { return entry_; }
  /// Calls f(field, value) for each field of the entry, in order; at most once for each Next().
  template <class F>
  void ForEachField(F&& f);
  /// How many entries there are from this one on (after a Next() that was true), counting no
  /// further than to `limit`, if not 0. Nodes that lie within the range as a whole are not looked
  /// into.
  uint64_t CountRest(uint64_t limit) const;

 private:
  using NodeMap = StreamLog::NodeMap;

  void EnterNode(NodeMap::Position at);
  bool NextForward();
  bool NextReverse();
  /// Whether what the node has beyond the present entry, seen in the walk's direction, is in the
  /// range.
  bool IsRestInRange(NodeMap::Position at) const;
  NodeMap::Position NodeAfter(NodeMap::Position at) const {
    return is_reverse_ ? log_.nodes_.Previous(at) : log_.nodes_.Next(at);
  }
  uint64_t CountByWalking(uint64_t limit) const;

  const StreamLog& log_;
  StreamId start_;
  StreamId end_;
  bool is_reverse_;
  NodeMap::Position node_;  // none: the end
  const uint8_t* data_ = nullptr;
  StreamId master_;
  StreamNodeHeader header_;
  StreamEntry entry_;
  size_t at_ =
      0;  // forward: where the next entry starts, 0: behind entry_; reverse: end of the next
  uint64_t passed_ = 0;  // living entries of the node that the walk has come past, entry_ included
};

template <class F>
void StreamCursor::ForEachField(F&& f) {
  size_t at = entry_.values_at;
  if (entry_.has_master_fields) {
    size_t field_at = header_.fields_at;
    for (uint64_t i = 0; i < entry_.field_count; i++) {
      const PackedValue field = ReadElement(data_, &field_at);
      f(field, ReadElement(data_, &at));
    }
  } else {
    for (uint64_t i = 0; i < entry_.field_count; i++) {
      const PackedValue field = ReadElement(data_, &at);
      f(field, ReadElement(data_, &at));
    }
  }
  if (!is_reverse_) at_ = StreamEntry::EndFrom(data_, at);
}

}  // namespace sherd::ds
