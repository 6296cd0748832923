// Quicklist: a long list of short strings: a doubly linked list of listpacks.
//
//   Quicklist            Node              Node              Node
//   +----------+  head  +--------+  next  +--------+  next  +--------+
//   | count    |------->| packed |<------>| plain  |<------>| packed |
//   | nodes    |        | 680 el.|  prev  | 1 el.  |  prev  | 3 el.  |<-- tail
//   +----------+        +--------+        +--------+        +--------+
//                           |                 |                 |
//     block:  [headroom | listpack | tailroom]  [bytes]     [LZF of a listpack]
//
// Nodes fill up to list-max-listpack-size (8 KB by default), so that a million elements of ten bytes are
// 1500 nodes, and every operation inside a node is bounded. An element that is too big for any node lies
// alone in a plain one, as bare bytes.
//
// *Room on both sides.* A packed node keeps free bytes before and behind its listpack. Pushing to the
// head moves the six bytes of the header, pushing to the tail none, and so do pops; a change in the
// middle moves the shorter side. (Redis moves the whole listpack for LPUSH and LPOP: on average 4 KB.)
// Only the first and the last node keep spare room; others fit their memory's size class.
//
// *Which node splits, merges and takes a new element* is Redis's choice, rule for rule, because
// OBJECT ENCODING (one packed node may become a bare listpack again) and DUMP show it: pushes fill the
// end node or begin another; an insertion goes into its node, or to a neighbour's near end, or splits the
// node and then merges neighbours that fit together; deletions never merge.
//
// *Compression.* With a depth of d > 0, all nodes but the d at either end are LZF'd, if they have 48
// bytes or more and it saves more than 8. A read unpacks into a buffer of its own (NodeReader) and
// leaves the node as it is; a change unpacks the node and packs it again. The ends are never packed.
//
// Invariants: count == sum of node counts; no node is empty; a packed node's size is its listpack's
// total, and headroom + size <= capacity; a plain node has count 1; a compressed node has nodes before and
// behind it; capacity is what the heap was asked for (or a size of the same class).
//
// Costs: push, pop O(1); access by index O(distance to the nearer end in nodes + elements of one node).
//
// Elements are named by Place (node, index in it), valid until the next change. Texts that are passed in
// must not lie inside the list. Memory is the SlabHeap's that is passed in, always the same one.
// Thread: the owner's. The threshold of plain nodes is one for the process, set at any time (DEBUG).
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string_view>

#include "base/check.h"
#include "base/slab_heap.h"
#include "ds/listpack.h"

namespace sherd::ds {

enum class ListEnd : uint8_t { kHead, kTail };

/// list-max-listpack-size: what fits into one node, or into a list of one listpack. From 0 up a number of
/// elements (0 counts as 1), with at most 8 KB; -1 … -5 (and below) 4 … 64 KB.
struct ListFill {
  int value = -2;

  static constexpr size_t kNoLimit = ~size_t{0};
  static constexpr size_t kSafeBytes = 8192;

  size_t bytes_max() const {
    if (value >= 0) return kNoLimit;
    return size_t{4096} << (value < -5 ? 4 : -value - 1);
  }
  size_t count_max() const {
    if (value < 0) return kNoLimit;
    return value == 0 ? 1 : static_cast<size_t>(value);
  }
  /// Whether a listpack of this size and number of elements is too big.
  bool IsExceeded(size_t bytes, size_t count) const {
    if (value < 0) return bytes > bytes_max();
    return bytes > kSafeBytes || count > count_max();
  }
  /// Whether an element of this size gets a node of its own.
  bool IsLarge(size_t element_size) const;
};

/// From this size on elements lie in plain nodes; 0: from what exceeds a node (DEBUG
/// QUICKLIST-PACKED-THRESHOLD). False: beyond what Redis takes.
bool SetPlainThreshold(size_t bytes);

/// A text to compare elements with: read as an integer once.
class ListNeedle {
 public:
  explicit ListNeedle(std::string_view text)
      : text_(text), is_integer_(text.size() < kInt64CharsMax && ParseInt64(text, &integer_)) {}
  bool Equals(PackedValue value) const {
    if (value.is_integer()) return is_integer_ && integer_ == value.integer;
    return value.size == text_.size() && std::string_view(value.text, value.size) == text_;
  }

 private:
  std::string_view text_;
  int64_t integer_ = 0;
  bool is_integer_;
};

struct QuicklistNode {
  QuicklistNode* previous;
  QuicklistNode* next;
  uint8_t* block;
  size_t size;        // bytes of the listpack or of the plain element, uncompressed
  uint32_t capacity;  // bytes of the block; of a plain one `size` says it
  uint32_t headroom;  // free bytes before the listpack
  uint32_t count : 30;
  uint32_t is_plain : 1;
  uint32_t is_compressed : 1;

  size_t block_size() const { return is_plain && !is_compressed ? size : capacity; }
  uint8_t* data() const { return block + headroom; }
  /// The listpack of a packed node that is not compressed.
  Listpack pack() const {
    DCHECK(!is_plain && !is_compressed);
    return Listpack(data());
  }
};
static_assert(sizeof(QuicklistNode) == 48);

/// Bytes of nodes for reading; those of a compressed node are unpacked into a buffer that the next call
/// reuses.
class NodeReader {
 public:
  std::string_view Bytes(const QuicklistNode& node) {
    if (__builtin_expect(node.is_compressed, 0)) return Unpack(node);
    return {reinterpret_cast<const char*>(node.data()), node.size};
  }

 private:
  std::string_view Unpack(const QuicklistNode& node);

  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
};

class Quicklist {
 public:
  using Node = QuicklistNode;

  /// An element: the node it is in, and which one of it. An empty one: no such element.
  struct Place {
    Node* node = nullptr;
    size_t index = 0;
    explicit operator bool() const { return node != nullptr; }
  };

  /// An empty one, to be filled at once. `fill` and depth stay with it, whatever is configured later.
  static Quicklist* Create(SlabHeap& heap, ListFill fill, int compress_depth);
  /// Frees up to `max_nodes` nodes from the head, and the list itself after the last; true when that is done.
  static bool FreeSlice(SlabHeap& heap, Quicklist* list, size_t max_nodes);
  static void Free(SlabHeap& heap, Quicklist* list) { FreeSlice(heap, list, ~size_t{0}); }
  /// A copy in another heap (or this), node by node.
  Quicklist* Clone(SlabHeap& heap) const;

  size_t count() const { return count_; }
  size_t node_count() const { return node_count_; }
  int compress_depth() const { return compress_depth_; }
  ListFill fill() const { return {fill_}; }
  const Node* head() const { return head_; }
  const Node* tail() const { return tail_; }

  // ---- Reading ----

  /// The element with this index < count(), looked for from the nearer end.
  Place Locate(size_t index) const;
  /// The first or last element; the list is not empty. Valid until the next change.
  PackedValue Peek(ListEnd end) const;
  /// Calls f(PackedValue) -> bool for `count` elements from `start` on, until one says false.
  template <class F>
  void Visit(size_t start, size_t count, F&& f) const;
  /// The same towards the head: `start` first, then the one before it.
  template <class F>
  void VisitBackward(size_t start, size_t count, F&& f) const;

  // ---- Changing ----

  void Push(SlabHeap& heap, ListEnd end, std::string_view text);
  void Pop(SlabHeap& heap, ListEnd end);
  /// Inserts before or after the element.
  void Insert(SlabHeap& heap, Place place, std::string_view text, bool is_after);
  /// Puts another value in the element's place.
  void Replace(SlabHeap& heap, Place place, std::string_view text);
  /// Removes `count` elements (or as many as there are) from `start` on.
  void EraseRange(SlabHeap& heap, size_t start, size_t count);
  /// Removes up to `limit` elements that equal `text`, from this end on. Returns how many.
  size_t EraseMatches(SlabHeap& heap, std::string_view text, size_t limit, ListEnd from);

  // ---- Whole nodes ----

  /// Appends a node that takes over a listpack of this heap; empty ones are freed instead.
  void AppendPack(SlabHeap& heap, Listpack pack);
  /// Appends a plain node with a copy of these bytes, at least one.
  void AppendPlain(SlabHeap& heap, std::string_view bytes);
  /// Gives up the listpack of the one packed node and frees the list.
  static Listpack TakeOnlyPack(SlabHeap& heap, Quicklist* list);

  /// Bytes held. With `samples` > 0 from the average of that many nodes.
  size_t Memory(size_t samples) const;
  /// CHECKs the invariants. O(n).
  void Validate() const;

 private:
  static constexpr int kFillMax = 32767;

  static size_t BlockCapacity(size_t size) { return SlabHeap::GoodSize(size); }

  // Links and memory of nodes.
  static Node* NewNode(SlabHeap& heap, size_t capacity);
  static Node* NewPacked(SlabHeap& heap, std::string_view text);
  static Node* NewPlain(SlabHeap& heap, std::string_view bytes);
  static Node* CopyNode(SlabHeap& heap, const Node& node);
  static void FreeNode(SlabHeap& heap, Node* node);
  void Link(Node* beside, Node* node, bool is_after);
  void Unlink(Node* node);
  void Remove(SlabHeap& heap, Node* node);
  bool IsEnd(const Node* node) const { return node == head_ || node == tail_; }

  // Bytes of one packed node.
  void Splice(SlabHeap& heap, Node* node, size_t at, size_t old_size, size_t new_size);
  static void Reallocate(SlabHeap& heap, Node* node, size_t capacity);
  void Grow(SlabHeap& heap, Node* node, size_t at, size_t old_size, size_t new_size);
  void Fit(SlabHeap& heap, Node* node);
  static void SetCount(Node* node, size_t count);
  void InsertText(SlabHeap& heap, Node* node, size_t at, std::string_view text);
  void EraseAt(SlabHeap& heap, Node* node, size_t at, size_t bytes, size_t count);

  // Redis's choices.
  bool HasRoom(const Node* node, size_t element_size) const;
  bool CanMerge(const Node* a, const Node* b) const;
  Node* Merge(SlabHeap& heap, Node* a, Node* b);
  Node* MergeNeighbours(SlabHeap& heap, Node* centre);
  Node* Split(SlabHeap& heap, Node* node, size_t index, bool is_after);
  void InsertLarge(SlabHeap& heap, Place place, std::string_view text, bool is_after);
  void InsertBeside(SlabHeap& heap, Place place, std::string_view text, bool is_after);
  void ReplaceBySplitting(SlabHeap& heap, Place place, std::string_view text);

  // Compression.
  static void Thaw(SlabHeap& heap, Node* node);
  static void Freeze(SlabHeap& heap, Node* node);
  void Settle(SlabHeap& heap, std::initializer_list<Node*> touched);

  Node* head_ = nullptr;
  Node* tail_ = nullptr;
  size_t count_ = 0;
  uint32_t node_count_ = 0;
  int16_t fill_ = -2;
  uint16_t compress_depth_ = 0;
};
static_assert(sizeof(Quicklist) == 32);

// ---- Inline part ----

template <class F>
void Quicklist::Visit(size_t start, size_t count, F&& f) const {
  if (start >= count_ || count == 0) return;
  NodeReader reader;
  Place place = Locate(start);
  for (const Node* node = place.node; node != nullptr && count > 0; node = node->next) {
    const std::string_view bytes = reader.Bytes(*node);
    const size_t run = count < node->count - place.index ? count : node->count - place.index;
    if (node->is_plain) {
      if (!f(PackedValue{bytes.data(), bytes.size(), 0})) return;
    } else {
      const Listpack pack(reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data())));
      if (!pack.Visit(pack.Seek(static_cast<int64_t>(place.index)), run, f)) return;
    }
    count -= run;
    place.index = 0;
  }
}

template <class F>
void Quicklist::VisitBackward(size_t start, size_t count, F&& f) const {
  if (start >= count_ || count == 0) return;
  NodeReader reader;
  const Place place = Locate(start);
  size_t index = place.index;
  for (const Node* node = place.node; node != nullptr && count > 0;) {
    const std::string_view bytes = reader.Bytes(*node);
    const size_t run = count < index + 1 ? count : index + 1;
    if (node->is_plain) {
      if (!f(PackedValue{bytes.data(), bytes.size(), 0})) return;
    } else {
      const Listpack pack(reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data())));
      if (!pack.VisitBackward(pack.Seek(static_cast<int64_t>(index)), run, f)) return;
    }
    count -= run;
    node = node->previous;
    if (node != nullptr) index = node->count - 1;
  }
}

}  // namespace sherd::ds
