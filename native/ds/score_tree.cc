// ScoreTree: see the header for the picture. Counts and firsts on the way from the root are kept right
// at every step, so that a half-done operation never needs to look at anything but its path.
#include "ds/score_tree.h"

namespace sherd::ds {

namespace {

// How many of `count` ascending scores are below `score` (or not above it). Without branches: which half
// holds the place is anybody's guess.
size_t CountBelow(const double* scores, size_t count, double score) {
  const double* base = scores;
  while (count > 1) {
    const size_t half = count / 2;
    base += base[half - 1] < score ? half : 0;
    count -= half;
  }
  return static_cast<size_t>(base - scores) + (count == 1 && *base < score ? 1 : 0);
}

size_t CountNotAbove(const double* scores, size_t count, double score) {
  const double* base = scores;
  while (count > 1) {
    const size_t half = count / 2;
    base += base[half - 1] <= score ? half : 0;
    count -= half;
  }
  return static_cast<size_t>(base - scores) + (count == 1 && *base <= score ? 1 : 0);
}

// The same over members, from `low` to `high`.
size_t CountTexts(ScoreNode* const* nodes, size_t low, size_t high, std::string_view text,
                  bool and_equal) {
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const int order = nodes[middle]->member().compare(text);
    if (order < 0 || (and_equal && order == 0)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace

// ---- Cuts ----

size_t BeforeMember::Count(const double* scores, ScoreNode* const* nodes, size_t count) const {
  const size_t below = CountBelow(scores, count, score);
  if (below == count || scores[below] != score) return below;
  const size_t equal = CountNotAbove(scores + below, count - below, score);
  return CountTexts(nodes, below, below + equal, member, and_equal);
}

size_t BeforeScore::Count(const double* scores, ScoreNode* const*, size_t count) const {
  return and_equal ? CountNotAbove(scores, count, score) : CountBelow(scores, count, score);
}

size_t BeforeText::Count(const double*, ScoreNode* const* nodes, size_t count) const {
  return CountTexts(nodes, 0, count, member, and_equal);
}

// ---- Nodes ----

ScoreTree::Leaf* ScoreTree::NewLeaf(SlabHeap& heap) {
  Leaf* leaf = static_cast<Leaf*>(heap.Allocate(sizeof(Leaf)));
  leaf->previous = nullptr;
  leaf->next = nullptr;
  leaf->count = 0;
  leaves_++;
  return leaf;
}

ScoreTree::Inner* ScoreTree::NewInner(SlabHeap& heap) {
  Inner* inner = static_cast<Inner*>(heap.Allocate(sizeof(Inner)));
  inner->count = 0;
  inners_++;
  return inner;
}

void ScoreTree::FreeLeaf(SlabHeap& heap, Leaf* leaf) {
  if (leaf->previous != nullptr) leaf->previous->next = leaf->next;
  if (leaf->next != nullptr) leaf->next->previous = leaf->previous;
  heap.Free(leaf, sizeof(Leaf));
  leaves_--;
}

void ScoreTree::FreeInner(SlabHeap& heap, Inner* inner) {
  heap.Free(inner, sizeof(Inner));
  inners_--;
}

// The ranges may overlap when both are in one node.
void ScoreTree::MoveItems(Leaf* to, size_t to_index, Leaf* from, size_t from_index, size_t count) {
  std::memmove(to->scores + to_index, from->scores + from_index, count * sizeof to->scores[0]);
  std::memmove(to->nodes + to_index, from->nodes + from_index, count * sizeof to->nodes[0]);
}

void ScoreTree::MoveItems(Inner* to, size_t to_index, Inner* from, size_t from_index,
                          size_t count) {
  std::memmove(to->scores + to_index, from->scores + from_index, count * sizeof to->scores[0]);
  std::memmove(to->nodes + to_index, from->nodes + from_index, count * sizeof to->nodes[0]);
  std::memmove(to->children + to_index, from->children + from_index,
               count * sizeof to->children[0]);
  std::memmove(to->counts + to_index, from->counts + from_index, count * sizeof to->counts[0]);
}

size_t ScoreTree::Total(const Inner* inner) {
  size_t total = 0;
  for (size_t i = 0; i < inner->count; i++) total += inner->counts[i];
  return total;
}

// Fills in what a parent says of a child: it must have members.
template <class NodeType>
void ScoreTree::DescribeChild(Inner* parent, size_t index, NodeType* child) {
  parent->scores[index] = child->scores[0];
  parent->nodes[index] = child->nodes[0];
  parent->children[index] = child;
  parent->counts[index] = Total(child);
}

// ---- Ways down ----

const ScoreTree::Leaf* ScoreTree::FirstLeaf() const {
  const void* at = root_;
  for (int level = height_; level-- > 0;) at = static_cast<const Inner*>(at)->children[0];
  return static_cast<const Leaf*>(at);
}

ScoreTree::Position ScoreTree::Last() const {
  if (size_ == 0) return {};
  const void* at = root_;
  for (int level = height_; level-- > 0;) {
    const Inner* inner = static_cast<const Inner*>(at);
    at = inner->children[inner->count - 1];
  }
  const Leaf* leaf = static_cast<const Leaf*>(at);
  return {leaf, leaf->count - 1};
}

void ScoreTree::DescendToRank(size_t rank, Path* path) const {
  CHECK(rank < size_);
  void* at = root_;
  for (int level = height_; level-- > 0;) {
    Inner* inner = static_cast<Inner*>(at);
    size_t index = 0;
    while (rank >= inner->counts[index]) rank -= inner->counts[index++];
    path->levels[level] = {inner, index};
    at = inner->children[index];
  }
  path->leaf = static_cast<Leaf*>(at);
  path->index = rank;
}

void ScoreTree::DescendToEnd(Path* path) const {
  void* at = root_;
  for (int level = height_; level-- > 0;) {
    Inner* inner = static_cast<Inner*>(at);
    path->levels[level] = {inner, inner->count - 1};
    at = inner->children[inner->count - 1];
  }
  path->leaf = static_cast<Leaf*>(at);
  path->index = path->leaf->count;
}

// The cut behind a member is the one that surely lies in the member's own leaf: the cut before it may be
// the end of the leaf to the left.
void ScoreTree::DescendToNode(const ScoreNode* node, Path* path) const {
  CHECK(size_ > 0);
  Descend(BeforeMember{node->score, node->member(), true}, path);
  CHECK(path->index > 0 && path->leaf->nodes[path->index - 1] == node);
  path->index--;
}

ScoreTree::Position ScoreTree::Select(size_t rank) const {
  Path path;
  DescendToRank(rank, &path);
  return {path.leaf, path.index};
}

// ---- Insert ----

void ScoreTree::Insert(SlabHeap& heap, ScoreNode* node) {
  DCHECK(node->score == node->score);
  Path path;
  if (root_ == nullptr) root_ = NewLeaf(heap);
  Descend(BeforeMember{node->score, node->member()}, &path);
  InsertAt(heap, &path, node);
}

void ScoreTree::Append(SlabHeap& heap, ScoreNode* node) {
  DCHECK(node->score == node->score);
  Path path;
  if (root_ == nullptr) root_ = NewLeaf(heap);
  DescendToEnd(&path);
  InsertAt(heap, &path, node);
}

void ScoreTree::InsertAt(SlabHeap& heap, Path* path, ScoreNode* node) {
  if (path->leaf->count == kLeafMax) SplitLeaf(heap, path);
  Leaf* leaf = path->leaf;
  MoveItems(leaf, path->index + 1, leaf, path->index, leaf->count - path->index);
  leaf->scores[path->index] = node->score;
  leaf->nodes[path->index] = node;
  leaf->count++;
  size_++;
  for (int level = 0; level < height_; level++) {
    path->levels[level].inner->counts[path->levels[level].index]++;
  }
  if (path->index == 0) UpdateFirst(path, 0);
}

// Divides a full leaf; the path then leads to the same place in the half that holds it. At either end of
// the tree nothing moves: the new leaf begins with the new member alone, so that ascending members leave
// full leaves behind them, and descending ones too.
void ScoreTree::SplitLeaf(SlabHeap& heap, Path* path) {
  Leaf* left = path->leaf;
  const bool is_appending = left->next == nullptr && path->index == left->count;
  const bool is_prepending = left->previous == nullptr && path->index == 0;
  const size_t kept = is_appending ? left->count : is_prepending ? 0 : left->count / 2;
  EnsureRoom(heap, path, 0, is_appending);

  Leaf* right = NewLeaf(heap);
  right->count = left->count - kept;
  MoveItems(right, 0, left, kept, right->count);
  left->count = kept;
  right->previous = left;
  right->next = left->next;
  if (right->next != nullptr) right->next->previous = right;
  left->next = right;

  auto& [parent, index] = path->levels[0];
  MoveItems(parent, index + 2, parent, index + 1, parent->count - index - 1);
  parent->count++;
  parent->counts[index] = kept;
  parent->children[index + 1] = right;
  parent->counts[index + 1] = right->count;
  // An empty half has no first member yet: the insert that follows says which.
  parent->scores[index + 1] = right->scores[0];
  parent->nodes[index + 1] = right->nodes[0];
  if (path->index > kept || is_appending) {
    path->leaf = right;
    path->index -= kept;
    index++;
  }
}

// Makes room for one more child in the inner node of a level of the path, which may change to the half
// that holds the path.
void ScoreTree::EnsureRoom(SlabHeap& heap, Path* path, int level, bool is_appending) {
  if (level == height_) {
    CHECK(height_ < kHeightMax);
    Inner* root = NewInner(heap);
    root->count = 1;
    if (height_ == 0) {
      DescribeChild(root, 0, static_cast<Leaf*>(root_));
    } else {
      DescribeChild(root, 0, static_cast<Inner*>(root_));
    }
    root_ = root;
    height_++;
    path->levels[level] = {root, 0};
    return;
  }
  auto& [inner, index] = path->levels[level];
  if (inner->count < kInnerMax) return;
  EnsureRoom(heap, path, level + 1, is_appending);
  const size_t kept = is_appending ? inner->count - 1 : inner->count / 2;
  Inner* right = NewInner(heap);
  right->count = inner->count - kept;
  MoveItems(right, 0, inner, kept, right->count);
  inner->count = kept;
  auto& [parent, parent_index] = path->levels[level + 1];
  MoveItems(parent, parent_index + 2, parent, parent_index + 1, parent->count - parent_index - 1);
  parent->count++;
  parent->counts[parent_index] = Total(inner);
  DescribeChild(parent, parent_index + 1, right);
  if (index >= kept) {
    inner = right;
    index -= kept;
    parent_index++;
  }
}

// The first member under the path's child of `from_level` changed: its ancestors say so, as far as it
// is their first as well. Level 0 takes it from the leaf, others from the level below.
void ScoreTree::UpdateFirst(Path* path, int from_level) {
  double score;
  ScoreNode* node;
  if (from_level == 0) {
    score = path->leaf->scores[0];
    node = path->leaf->nodes[0];
  } else {
    score = path->levels[from_level - 1].inner->scores[0];
    node = path->levels[from_level - 1].inner->nodes[0];
  }
  for (int level = from_level; level < height_; level++) {
    auto& [inner, index] = path->levels[level];
    inner->scores[index] = score;
    inner->nodes[index] = node;
    if (index != 0) return;
  }
}

// ---- Erase ----

void ScoreTree::Erase(SlabHeap& heap, const ScoreNode* node) {
  Path path;
  DescendToNode(node, &path);
  EraseAt(heap, &path, 1);
}

void ScoreTree::ChangeScore(SlabHeap& heap, ScoreNode* node, double score) {
  Path path;
  DescendToNode(node, &path);
  // A place inside a leaf is often kept, and then nothing moves. (The first of a leaf has its score in
  // the nodes above as well, and the last one's neighbour is in another leaf.)
  double* at = path.leaf->scores + path.index;
  if (path.index > 0 && path.index + 1 < path.leaf->count && at[-1] < score && score < at[1]) {
    *at = score;
    node->score = score;
    return;
  }
  EraseAt(heap, &path, 1);
  node->score = score;
  Insert(heap, node);
}

// Takes `count` members from the path's place on out of its leaf. The path is not valid afterwards.
void ScoreTree::EraseAt(SlabHeap& heap, Path* path, size_t count) {
  Leaf* leaf = path->leaf;
  DCHECK(path->index + count <= leaf->count);
  MoveItems(leaf, path->index, leaf, path->index + count, leaf->count - path->index - count);
  leaf->count -= count;
  size_ -= count;
  for (int level = 0; level < height_; level++) {
    path->levels[level].inner->counts[path->levels[level].index] -= count;
  }
  if (leaf->count == 0) {
    FreeLeaf(heap, leaf);
    if (height_ == 0) {
      root_ = nullptr;
    } else {
      RemoveChild(heap, path, 0);
    }
  } else {
    if (path->index == 0) UpdateFirst(path, 0);
    if (leaf->count < kLeafMin && height_ > 0) Rebalance(heap, path, 0);
  }
  LowerRoot(heap);
}

// Forgets the path's child of a level, which has been freed.
void ScoreTree::RemoveChild(SlabHeap& heap, Path* path, int level) {
  const auto [inner, index] = path->levels[level];
  MoveItems(inner, index, inner, index + 1, inner->count - index - 1);
  inner->count--;
  const bool is_root = level + 1 == height_;
  if (inner->count == 0) {
    FreeInner(heap, inner);
    if (!is_root) return RemoveChild(heap, path, level + 1);
    root_ = nullptr;
    height_ = 0;
    return;
  }
  if (is_root) return;
  if (index == 0) UpdateFirst(path, level + 1);
  if (inner->count < kInnerMin) Rebalance(heap, path, level + 1);
}

// Puts all of `right` behind `left`.
template <class NodeType>
void ScoreTree::Join(NodeType* left, NodeType* right) {
  MoveItems(left, left->count, right, 0, right->count);
  left->count += right->count;
}

// Moves items so that both have the same number.
template <class NodeType>
void ScoreTree::Even(NodeType* left, NodeType* right) {
  const size_t half = (left->count + right->count) / 2;
  if (left->count < half) {
    const size_t moved = half - left->count;
    MoveItems(left, left->count, right, 0, moved);
    MoveItems(right, 0, right, moved, right->count - moved);
    right->count -= moved;
  } else {
    const size_t moved = left->count - half;
    MoveItems(right, moved, right, 0, right->count);
    MoveItems(right, 0, left, half, moved);
    right->count += moved;
  }
  left->count = half;
}

// The path's child of a level has become small: joins it with a sibling, or shares the sibling's items
// where both are too many for one node. Joining leaves a quarter free, so that the next insert does not
// split again.
void ScoreTree::Rebalance(SlabHeap& heap, Path* path, int level) {
  auto& [parent, index] = path->levels[level];
  if (parent->count < 2) return;
  const size_t left = index > 0 ? index - 1 : 0;
  const size_t right = left + 1;
  if (level == 0) {
    Leaf* first = static_cast<Leaf*>(parent->children[left]);
    Leaf* second = static_cast<Leaf*>(parent->children[right]);
    if (first->count + second->count > kLeafMax * 3 / 4) {
      Even(first, second);
      parent->counts[left] = first->count;
      return DescribeChild(parent, right, second);
    }
    Join(first, second);
    parent->counts[left] = first->count;
    FreeLeaf(heap, second);
  } else {
    Inner* first = static_cast<Inner*>(parent->children[left]);
    Inner* second = static_cast<Inner*>(parent->children[right]);
    if (first->count + second->count > kInnerMax * 3 / 4) {
      Even(first, second);
      parent->counts[left] = Total(first);
      return DescribeChild(parent, right, second);
    }
    Join(first, second);
    parent->counts[left] = Total(first);
    FreeInner(heap, second);
  }
  index = right;
  RemoveChild(heap, path, level);
}

// A root with a single child is not needed.
void ScoreTree::LowerRoot(SlabHeap& heap) {
  while (height_ > 0) {
    Inner* root = static_cast<Inner*>(root_);
    if (root->count > 1) return;
    root_ = root->children[0];
    FreeInner(heap, root);
    height_--;
  }
}

// ---- Checks ----

void ScoreTree::ValidateNode(const void* node, int height, const ScoreNode** last,
                             size_t* count) const {
  if (height == 0) {
    const Leaf* leaf = static_cast<const Leaf*>(node);
    CHECK(leaf->count > 0 && leaf->count <= kLeafMax);
    for (size_t i = 0; i < leaf->count; i++) {
      const ScoreNode* item = leaf->nodes[i];
      CHECK(item->score == leaf->scores[i]);
      if (*last != nullptr) {
        CHECK((*last)->score < item->score ||
              ((*last)->score == item->score && (*last)->member() < item->member()));
      }
      *last = item;
    }
    *count += leaf->count;
    return;
  }
  const Inner* inner = static_cast<const Inner*>(node);
  CHECK(inner->count > 0 && inner->count <= kInnerMax);
  for (size_t i = 0; i < inner->count; i++) {
    const void* child = inner->children[i];
    const ScoreNode* first = height == 1 ? static_cast<const Leaf*>(child)->nodes[0]
                                         : static_cast<const Inner*>(child)->nodes[0];
    CHECK(inner->nodes[i] == first && inner->scores[i] == first->score);
    size_t below = 0;
    ValidateNode(child, height - 1, last, &below);
    CHECK(below == inner->counts[i]);
    *count += below;
  }
}

void ScoreTree::Validate() const {
  size_t count = 0;
  const ScoreNode* last = nullptr;
  if (root_ != nullptr) ValidateNode(root_, height_, &last, &count);
  CHECK(count == size_);
  // The chain of leaves tells the same members.
  size_t chained = 0;
  size_t leaves = 0;
  const Leaf* previous = nullptr;
  for (const Leaf* leaf = size_ == 0 ? nullptr : FirstLeaf(); leaf != nullptr; leaf = leaf->next) {
    CHECK(leaf->previous == previous);
    chained += leaf->count;
    leaves++;
    previous = leaf;
  }
  CHECK(chained == size_ && leaves == leaves_);
}

}  // namespace sherd::ds
