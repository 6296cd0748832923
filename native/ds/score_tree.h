// ScoreTree: members in the order of their scores: a counted B+ tree. What OBJECT ENCODING calls
// "skiplist" keeps its order here.
//
// WHY NOT A SKIP LIST. A skip list of n members makes about log2(n) steps to a place, and each step reads
// another node somewhere in memory. Here a step reads one of 62 ways' worth of scores that lie side by
// side: a million members are four nodes deep, the upper ones always in cache. A member costs one
// pointer and its score in a leaf, 23 bytes at the fill that random inserts leave, where a skip list
// spends 37 on its links and spans. The counts beside the children do what spans do.
//
//                    +--------------------------------------+
//   inner node       | first score, first node, child, count| x 63     first: of the child's members
//                    +--------------------------------------+
//                         |                          |
//   leaves   <-> +--------------------+ <-> +--------------------+ <->
//                | score, node   x 62 |     | score, node   x 62 |
//                +--------------------+     +--------------------+
//                     |
//   a node           +--------------+------------+----------------+
//                    | score double | length u32 | member's bytes |    one allocation, never moves
//                    +--------------+------------+----------------+
//
// Scores stand beside the pointers, so that a search touches nodes only where scores are equal. Nodes
// belong to the owner of the tree, who also finds them by their member in a HashTable.
//
// Order: score (as doubles compare: -0 equals 0), then the member's bytes, then its length. No NaN.
//
// Invariants: every child's first score and node in an inner node are those of the child's first member,
// every count is the number of members under the child; no node of the tree is empty; size() is the sum.
// A leaf falls below a quarter only when it has no sibling under the same parent.
//
// Cost: insert, erase, rank and select in O(log n); members in ascending order fill leaves to the brim
// (Append, which is also how a sorted result is built), random ones to about 69 %.
//
// Functions that allocate take the heap. Positions are valid until the next change.
// Thread: the holder of the lease of the heap's shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "base/slab_heap.h"

namespace sherd::ds {

/// A member and its score.
struct ScoreNode {
  double score;
  uint32_t length;
  char bytes[4];  // `length` of them

  std::string_view member() const { return {bytes, length}; }

  static size_t SizeFor(size_t length) { return kHeaderSize + (length > 4 ? length : 4); }
  static ScoreNode* Create(SlabHeap& heap, double score, std::string_view member) {
    CHECK(member.size() <= UINT32_MAX);
    ScoreNode* node = static_cast<ScoreNode*>(heap.Allocate(SizeFor(member.size())));
    node->score = score;
    node->length = static_cast<uint32_t>(member.size());
    char* bytes = reinterpret_cast<char*>(node) + kHeaderSize;
    if (!member.empty()) std::memcpy(bytes, member.data(), member.size());
    return node;
  }
  void Free(SlabHeap& heap) { heap.Free(this, SizeFor(length)); }

  static constexpr size_t kHeaderSize = 12;
};
static_assert(sizeof(ScoreNode) == 16);
static_assert(offsetof(ScoreNode, bytes) == ScoreNode::kHeaderSize);

// ---- Cuts: each says of a member whether it comes before a place in the order ----

/// Everything before (score, member), or (with `and_equal`) that itself too.
struct BeforeMember {
  double score;
  std::string_view member;
  bool and_equal = false;
  size_t Count(const double* scores, ScoreNode* const* nodes, size_t count) const;
};

/// Everything with a lower score, or (with `and_equal`) with a lower or the same one.
struct BeforeScore {
  double score;
  bool and_equal;
  size_t Count(const double* scores, ScoreNode* const* nodes, size_t count) const;
};

/// Everything whose member is less than `member`, or (with `and_equal`) not greater. Says something
/// where all scores are equal.
struct BeforeText {
  std::string_view member;
  bool and_equal;
  size_t Count(const double* scores, ScoreNode* const* nodes, size_t count) const;
};

class ScoreTree {
 public:
  static constexpr size_t kLeafMax = 62;
  static constexpr size_t kInnerMax = 63;

 private:
  struct Leaf {
    Leaf* previous;
    Leaf* next;
    uint64_t count;
    double scores[kLeafMax];
    ScoreNode* nodes[kLeafMax];
  };
  // Both fill a class of the heap.
  static_assert(sizeof(Leaf) <= 1024 && sizeof(Leaf) > 1024 - 16);

  struct Inner {
    uint64_t count;
    double scores[kInnerMax];
    ScoreNode* nodes[kInnerMax];
    void* children[kInnerMax];  // leaves at height 1, else inner nodes
    uint64_t counts[kInnerMax];
  };
  static_assert(sizeof(Inner) <= 2048 && sizeof(Inner) > 2048 - 32);

 public:
  /// Where a member stands.
  class Position {
   public:
    Position() = default;
    explicit operator bool() const { return leaf_ != nullptr; }
    ScoreNode* node() const { return leaf_->nodes[index_]; }
    double score() const { return leaf_->scores[index_]; }
    std::string_view member() const { return node()->member(); }
    /// The neighbours; empty at the ends.
    Position Next() const {
      if (index_ + 1 < leaf_->count) return {leaf_, index_ + 1};
      return leaf_->next == nullptr ? Position() : Position(leaf_->next, 0);
    }
    Position Previous() const {
      if (index_ > 0) return {leaf_, index_ - 1};
      return leaf_->previous == nullptr ? Position()
                                        : Position(leaf_->previous, leaf_->previous->count - 1);
    }
    bool operator==(const Position&) const = default;

   private:
    friend class ScoreTree;
    Position(const Leaf* leaf, size_t index) : leaf_(leaf), index_(index) {}
    const Leaf* leaf_ = nullptr;
    size_t index_ = 0;
  };

  ScoreTree() = default;
  ScoreTree(const ScoreTree&) = delete;
  ScoreTree& operator=(const ScoreTree&) = delete;
  /// The tree must be empty: Dismantle() it first.
  ~ScoreTree() { CHECK(root_ == nullptr); }

  size_t size() const { return size_; }
  /// Bytes of the tree without its nodes.
  size_t memory() const {
    return leaves_ * SlabHeap::GoodSize(sizeof(Leaf)) + inners_ * SlabHeap::GoodSize(sizeof(Inner));
  }

  // ---- Changing ----

  /// Adds a node that is not in the tree, at its place.
  void Insert(SlabHeap& heap, ScoreNode* node);
  /// Adds a node that comes after all others.
  void Append(SlabHeap& heap, ScoreNode* node);
  /// Takes a node of the tree out; the caller frees it.
  void Erase(SlabHeap& heap, const ScoreNode* node);
  /// Gives a node of the tree another score and place.
  void ChangeScore(SlabHeap& heap, ScoreNode* node, double score);
  /// Takes `count` members from rank `start` on out and hands each to release(ScoreNode*).
  template <class Release>
  void EraseRange(SlabHeap& heap, size_t start, size_t count, Release&& release);
  /// Takes the last leaf off with its members, at most 62; for freeing a tree in slices. Returns false
  /// when nothing is left. The tree must not be used otherwise any more.
  template <class Release>
  bool DismantleLeaf(SlabHeap& heap, Release&& release);

  // ---- Looking ----

  Position First() const { return size_ == 0 ? Position() : Position(FirstLeaf(), 0); }
  Position Last() const;
  /// The member with `rank` others before it; rank < size().
  Position Select(size_t rank) const;
  /// How many members come before the cut.
  template <class Before>
  size_t Rank(const Before& before) const;
  /// The first member that does not come before the cut; empty when all do.
  template <class Before>
  Position Find(const Before& before) const;
  /// Calls visit(member, score) for `count` members from rank `start` on, in ascending order, or (in
  /// `reverse`) backwards from the last one of them.
  template <class Visit>
  void VisitRange(size_t start, size_t count, bool reverse, Visit&& visit) const;

  /// Deep check of the structure. O(n).
  void Validate() const;

 private:
  // 15 ways at least: more than memory can hold.
  static constexpr int kHeightMax = 16;
  static constexpr size_t kLeafMin = kLeafMax / 4;
  static constexpr size_t kInnerMin = kInnerMax / 4;
  // How far ahead of a walk nodes are fetched.
  static constexpr size_t kPrefetchDistance = 12;

  /// The way from the root to a place in a leaf: levels[0] is the leaf's parent.
  struct Path {
    struct Level {
      Inner* inner;
      size_t index;
    };
    Level levels[kHeightMax];
    Leaf* leaf;
    size_t index;
  };

  const Leaf* FirstLeaf() const;
  template <class Before>
  void Descend(const Before& before, Path* path) const;
  void DescendToRank(size_t rank, Path* path) const;
  void DescendToEnd(Path* path) const;
  void DescendToNode(const ScoreNode* node, Path* path) const;

  Leaf* NewLeaf(SlabHeap& heap);
  Inner* NewInner(SlabHeap& heap);
  void FreeLeaf(SlabHeap& heap, Leaf* leaf);
  void FreeInner(SlabHeap& heap, Inner* inner);

  void InsertAt(SlabHeap& heap, Path* path, ScoreNode* node);
  void SplitLeaf(SlabHeap& heap, Path* path);
  void EnsureRoom(SlabHeap& heap, Path* path, int level, bool is_appending);
  void EraseAt(SlabHeap& heap, Path* path, size_t count);
  void RemoveChild(SlabHeap& heap, Path* path, int level);
  void Rebalance(SlabHeap& heap, Path* path, int level);
  void UpdateFirst(Path* path, int from_level);
  void LowerRoot(SlabHeap& heap);

  static void MoveItems(Leaf* to, size_t to_index, Leaf* from, size_t from_index, size_t count);
  static void MoveItems(Inner* to, size_t to_index, Inner* from, size_t from_index, size_t count);
  template <class NodeType>
  static void Join(NodeType* left, NodeType* right);
  template <class NodeType>
  static void Even(NodeType* left, NodeType* right);
  static size_t Total(const Leaf* leaf) { return leaf->count; }
  static size_t Total(const Inner* inner);
  template <class NodeType>
  static void DescribeChild(Inner* parent, size_t index, NodeType* child);
  void ValidateNode(const void* node, int height, const ScoreNode** last, size_t* count) const;

  void* root_ = nullptr;  // a leaf when height_ is 0
  size_t size_ = 0;
  size_t leaves_ = 0;
  size_t inners_ = 0;
  int height_ = 0;  // levels of inner nodes
};

// ---- Templates ----

template <class Before>
void ScoreTree::Descend(const Before& before, Path* path) const {
  void* at = root_;
  for (int level = height_; level-- > 0;) {
    Inner* inner = static_cast<Inner*>(at);
    // The last child that begins before the cut; the first child when none does.
    const size_t index = before.Count(inner->scores + 1, inner->nodes + 1, inner->count - 1);
    path->levels[level] = {inner, index};
    at = inner->children[index];
  }
  path->leaf = static_cast<Leaf*>(at);
  path->index = before.Count(path->leaf->scores, path->leaf->nodes, path->leaf->count);
}

template <class Before>
size_t ScoreTree::Rank(const Before& before) const {
  if (size_ == 0) return 0;
  Path path;
  Descend(before, &path);
  size_t rank = path.index;
  for (int level = 0; level < height_; level++) {
    const auto [inner, index] = path.levels[level];
    for (size_t i = 0; i < index; i++) rank += inner->counts[i];
  }
  return rank;
}

template <class Before>
ScoreTree::Position ScoreTree::Find(const Before& before) const {
  if (size_ == 0) return {};
  Path path;
  Descend(before, &path);
  if (path.index < path.leaf->count) return {path.leaf, path.index};
  return path.leaf->next == nullptr ? Position() : Position(path.leaf->next, 0);
}

template <class Visit>
void ScoreTree::VisitRange(size_t start, size_t count, bool reverse, Visit&& visit) const {
  if (count == 0) return;
  CHECK(start < size_ && count <= size_ - start);
  const Position from = Select(reverse ? start + count - 1 : start);
  const Leaf* leaf = from.leaf_;
  size_t index = from.index_;
  while (!reverse) {
    for (; index < leaf->count; index++) {
      if (index + kPrefetchDistance < leaf->count)
        __builtin_prefetch(leaf->nodes[index + kPrefetchDistance]);
      visit(leaf->nodes[index]->member(), leaf->scores[index]);
      if (--count == 0) return;
    }
    leaf = leaf->next;
    for (size_t i = 0; i < kPrefetchDistance && i < leaf->count; i++)
      __builtin_prefetch(leaf->nodes[i]);
    index = 0;
  }
  for (;;) {
    for (size_t left = index + 1; left-- > 0;) {
      if (left >= kPrefetchDistance) __builtin_prefetch(leaf->nodes[left - kPrefetchDistance]);
      visit(leaf->nodes[left]->member(), leaf->scores[left]);
      if (--count == 0) return;
    }
    leaf = leaf->previous;
    index = leaf->count - 1;
  }
}

template <class Release>
void ScoreTree::EraseRange(SlabHeap& heap, size_t start, size_t count, Release&& release) {
  CHECK(start <= size_ && count <= size_ - start);
  while (count > 0) {
    Path path;
    DescendToRank(start, &path);
    const size_t here = path.leaf->count - path.index;
    const size_t taken = here < count ? here : count;
    ScoreNode* nodes[kLeafMax];
    std::memcpy(nodes, path.leaf->nodes + path.index, taken * sizeof nodes[0]);
    EraseAt(heap, &path, taken);
    for (size_t i = 0; i < taken; i++) release(nodes[i]);
    count -= taken;
  }
}

template <class Release>
bool ScoreTree::DismantleLeaf(SlabHeap& heap, Release&& release) {
  if (root_ == nullptr) return false;
  Path path;
  DescendToEnd(&path);
  for (size_t i = 0; i < path.leaf->count; i++) release(path.leaf->nodes[i]);
  size_ -= path.leaf->count;
  FreeLeaf(heap, path.leaf);
  for (int level = 0; level < height_; level++) {
    Inner* inner = path.levels[level].inner;
    if (--inner->count > 0) return true;
    FreeInner(heap, inner);
  }
  root_ = nullptr;
  height_ = 0;
  return false;
}

}  // namespace sherd::ds
