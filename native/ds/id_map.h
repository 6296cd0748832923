// IdMap: an ordered map from stream ids to pointers: the nodes of a stream by their first id, and
// the entries that wait for an acknowledgement.
//
// A B+ tree whose leaves form a list. Redis keeps these in radix trees; their 128-bit keys share
// long prefixes, but a node of a radix tree with its header, its pointers and its allocation costs
// more than the 16 bytes that it saves. Here an element costs 24 bytes, and ids that come in order
// (they nearly always do) fill the leaves completely: a leaf that is full at its end is left alone
// and a new one begun.
//
//            inner  [ id 0 | id 1 | … ][ child 0 | child 1 | … ]    id i <= every id below child i
//          /                \                                         (id 0 is not used)
//   leaf  [ids][values]  <->  leaf  [ids][values]  <-> …            all leaves at the same depth
//
// Leaves hold 63 elements (1536 bytes, a class of the heap); the only leaf of a small map holds 1,
// 3, 7, 15 or 31, so that a map of one element is 48 bytes. A leaf or inner node that falls below a
// quarter is joined with a neighbour when both fit into three quarters of one node; without a
// fitting neighbour it stays, which keeps any two neighbours of one parent at an average above a
// third.
//
// Invariants: ids ascend strictly along the list of leaves; every leaf and inner node holds at
// least one element (an empty map has no root); last_leaf_ is the end of the list; size_ counts the
// elements.
//
// Cost: lookups O(log n) with one cache miss or two per level; appending and looking at the ends
// O(1). A Position is valid until the next change of the map.
//
// Thread: the owner's. Memory: nodes from the heap that every changing function is given (always
// the same one); the pointers are the caller's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/slab_heap.h"
#include "ds/stream_id.h"

namespace sherd::ds {

/// The tree, over untyped pointers. See IdMap below.
class IdTree {
 public:
  struct Leaf;
  struct Inner;

  struct Position {
    Leaf* leaf = nullptr;
    uint32_t index = 0;
    explicit operator bool() const { return leaf != nullptr; }
  };

  size_t size() const { return size_; }
  bool is_empty() const { return size_ == 0; }

  StreamId IdAt(Position at) const;
  void* ValueAt(Position at) const;
  void SetValueAt(Position at, void* value);

  Position First() const;
  Position Last() const;
  Position Next(Position at) const;
  Position Previous(Position at) const;
  /// The first element whose id is `id` or higher, and the last one whose id is `id` or lower.
  Position Ceiling(StreamId id) const;
  Position Floor(StreamId id) const;
  /// The element with this id.
  Position Find(StreamId id) const;

  /// False: the id is there already, with another value.
  bool Insert(SlabHeap& heap, StreamId id, void* value);
  /// False: there is no such id.
  bool Erase(SlabHeap& heap, StreamId id);
  /// Empties the map in O(n / 63).
  void Clear(SlabHeap& heap);
  /// Frees the first leaf after showing its values to `f(void*)`; false when the map is empty. For
  /// freeing in slices: the map may be used no more.
  template <class F>
  bool DismantleLeaf(SlabHeap& heap, F&& f);

  /// Bytes of the nodes. O(1), counted as they are allocated.
  size_t memory() const { return memory_; }
  /// Checks the structure; CHECKs. O(n).
  void Validate() const;

 private:
  static constexpr uint32_t kFanout = 63;
  static constexpr uint32_t kFewElements = 16;  // below: look for a neighbour to join
  static constexpr uint32_t kJoinedMax = 48;    // and join if this many or fewer come together
  static constexpr int kHeightMax = 24;

  struct Step {
    Inner* inner;
    uint32_t index;
  };

  Leaf* NewLeaf(SlabHeap& heap, uint32_t capacity);
  void FreeLeaf(SlabHeap& heap, Leaf* leaf);
  Inner* NewInner(SlabHeap& heap);
  void FreeInner(SlabHeap& heap, Inner* inner);
  Leaf* Descend(StreamId id, Step* path) const;
  void GrowRoot(SlabHeap& heap);
  Leaf* SplitLeaf(SlabHeap& heap, Leaf* leaf, uint32_t at);
  void InsertChild(SlabHeap& heap, Step* path, int level, StreamId id, void* child);
  void EraseChild(SlabHeap& heap, Step* path, int level);
  void UnlinkLeaf(Leaf* leaf);
  void Shrink(SlabHeap& heap, Leaf* leaf, Step* path);
  bool JoinLeaves(SlabHeap& heap, Step* path, uint32_t left);
  bool JoinInners(SlabHeap& heap, Step* path, int level, uint32_t left);
  void LowerRoot(SlabHeap& heap);
  size_t ValidateSubtree(const void* node, int height, StreamId low, const Leaf** previous,
                         size_t* memory) const;
  /// Takes the first leaf out of the tree, without balancing.
  void DropFirstLeaf(SlabHeap& heap);

  void* root_ = nullptr;  // a Leaf when height_ is 0, an Inner above
  Leaf* last_leaf_ = nullptr;
  size_t size_ = 0;
  size_t memory_ = 0;
  int height_ = 0;
};

struct IdTree::Leaf {
  Leaf* next;
  Leaf* previous;
  uint32_t count;
  uint32_t capacity;
  // capacity ids, then capacity values.

  StreamId* ids() { return reinterpret_cast<StreamId*>(this + 1); }
  const StreamId* ids() const { return reinterpret_cast<const StreamId*>(this + 1); }
  void** values() { return reinterpret_cast<void**>(ids() + capacity); }
  static constexpr size_t SizeFor(uint32_t capacity) {
    return sizeof(Leaf) + capacity * (sizeof(StreamId) + sizeof(void*));
  }
};
static_assert(sizeof(IdTree::Leaf) == 24);

inline StreamId IdTree::IdAt(Position at) const {
  DCHECK(at.index < at.leaf->count);
  return at.leaf->ids()[at.index];
}
inline void* IdTree::ValueAt(Position at) const {
  DCHECK(at.index < at.leaf->count);
  return at.leaf->values()[at.index];
}
inline void IdTree::SetValueAt(Position at, void* value) {
  DCHECK(at.index < at.leaf->count);
  at.leaf->values()[at.index] = value;
}
inline IdTree::Position IdTree::Last() const {
  if (last_leaf_ == nullptr) return {};
  return {last_leaf_, last_leaf_->count - 1};
}
inline IdTree::Position IdTree::Next(Position at) const {
  if (++at.index < at.leaf->count) return at;
  return {at.leaf->next, 0};
}
inline IdTree::Position IdTree::Previous(Position at) const {
  if (at.index > 0) return {at.leaf, at.index - 1};
  Leaf* leaf = at.leaf->previous;
  return {leaf, leaf == nullptr ? 0 : leaf->count - 1};
}

template <class F>
bool IdTree::DismantleLeaf(SlabHeap& heap, F&& f) {
  const Position first = First();
  if (!first) return false;
  for (uint32_t i = 0; i < first.leaf->count; i++) f(first.leaf->values()[i]);
  DropFirstLeaf(heap);
  return true;
}

/// The map with its type of pointer.
template <class T>
class IdMap {
 public:
  using Position = IdTree::Position;

  size_t size() const { return tree_.size(); }
  bool is_empty() const { return tree_.is_empty(); }
  size_t memory() const { return tree_.memory(); }
  StreamId IdAt(Position at) const { return tree_.IdAt(at); }
  T* ValueAt(Position at) const { return static_cast<T*>(tree_.ValueAt(at)); }
  void SetValueAt(Position at, T* value) { tree_.SetValueAt(at, value); }
  Position First() const { return tree_.First(); }
  Position Last() const { return tree_.Last(); }
  Position Next(Position at) const { return tree_.Next(at); }
  Position Previous(Position at) const { return tree_.Previous(at); }
  Position Ceiling(StreamId id) const { return tree_.Ceiling(id); }
  Position Floor(StreamId id) const { return tree_.Floor(id); }
  Position Find(StreamId id) const { return tree_.Find(id); }
  /// The value with this id, or null.
  T* Get(StreamId id) const {
    const Position at = Find(id);
    return at ? ValueAt(at) : nullptr;
  }
  bool Insert(SlabHeap& heap, StreamId id, T* value) { return tree_.Insert(heap, id, value); }
  bool Erase(SlabHeap& heap, StreamId id) { return tree_.Erase(heap, id); }
  void Clear(SlabHeap& heap) { tree_.Clear(heap); }
  template <class F>
  bool DismantleLeaf(SlabHeap& heap, F&& f) {
    return tree_.DismantleLeaf(heap, [&](void* value) { f(static_cast<T*>(value)); });
  }
  void Validate() const { tree_.Validate(); }

 private:
  IdTree tree_;
};

}  // namespace sherd::ds
