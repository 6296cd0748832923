// IdTree: see the header for the picture.
#include "ds/id_map.h"

#include <cstring>

namespace sherd::ds {

struct IdTree::Inner {
  uint32_t count;
  uint32_t reserved;
  StreamId ids[kFanout];  // ids[0] is whatever it was; nobody looks at it
  void* children[kFanout];

  // The child in whose range `id` lies.
  uint32_t IndexOf(StreamId id) const {
    uint32_t low = 0;
    uint32_t high = count;
    while (high - low > 1) {
      const uint32_t middle = (low + high) / 2;
      if (ids[middle] <= id) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return low;
  }
  void InsertAt(uint32_t at, StreamId id, void* child) {
    std::memmove(ids + at + 1, ids + at, (count - at) * sizeof(StreamId));
    std::memmove(children + at + 1, children + at, (count - at) * sizeof(void*));
    ids[at] = id;
    children[at] = child;
    count++;
  }
  void EraseAt(uint32_t at) {
    count--;
    std::memmove(ids + at, ids + at + 1, (count - at) * sizeof(StreamId));
    std::memmove(children + at, children + at + 1, (count - at) * sizeof(void*));
  }
  // Moves the elements from `from` on to the end of `other`.
  void MoveTail(uint32_t from, Inner* other) {
    std::memcpy(other->ids + other->count, ids + from, (count - from) * sizeof(StreamId));
    std::memcpy(other->children + other->count, children + from, (count - from) * sizeof(void*));
    other->count += count - from;
    count = from;
  }
};

namespace {

using Leaf = IdTree::Leaf;

// The first index whose id is `id` or higher.
uint32_t LowerBound(const Leaf* leaf, StreamId id) {
  const StreamId* ids = leaf->ids();
  uint32_t low = 0;
  uint32_t size = leaf->count;
  while (size > 0) {
    const uint32_t half = size / 2;
    const bool is_above = ids[low + half] < id;
    low = is_above ? low + half + 1 : low;
    size = is_above ? size - half - 1 : half;
  }
  return low;
}

void InsertInLeaf(Leaf* leaf, uint32_t at, StreamId id, void* value) {
  StreamId* ids = leaf->ids();
  void** values = leaf->values();
  std::memmove(ids + at + 1, ids + at, (leaf->count - at) * sizeof(StreamId));
  std::memmove(values + at + 1, values + at, (leaf->count - at) * sizeof(void*));
  ids[at] = id;
  values[at] = value;
  leaf->count++;
}

void EraseInLeaf(Leaf* leaf, uint32_t at) {
  leaf->count--;
  const uint32_t rest = leaf->count - at;
  std::memmove(leaf->ids() + at, leaf->ids() + at + 1, rest * sizeof(StreamId));
  std::memmove(leaf->values() + at, leaf->values() + at + 1, rest * sizeof(void*));
}

void MoveTail(Leaf* leaf, uint32_t from, Leaf* other) {
  const uint32_t moved = leaf->count - from;
  std::memcpy(other->ids() + other->count, leaf->ids() + from, moved * sizeof(StreamId));
  std::memcpy(other->values() + other->count, leaf->values() + from, moved * sizeof(void*));
  other->count += moved;
  leaf->count = from;
}

}  // namespace

// ---- Nodes ----

IdTree::Leaf* IdTree::NewLeaf(SlabHeap& heap, uint32_t capacity) {
  const size_t size = Leaf::SizeFor(capacity);
  Leaf* leaf = static_cast<Leaf*>(heap.Allocate(size));
  memory_ += SlabHeap::GoodSize(size);
  *leaf = {nullptr, nullptr, 0, capacity};
  return leaf;
}

void IdTree::FreeLeaf(SlabHeap& heap, Leaf* leaf) {
  const size_t size = Leaf::SizeFor(leaf->capacity);
  memory_ -= SlabHeap::GoodSize(size);
  heap.Free(leaf, size);
}

IdTree::Inner* IdTree::NewInner(SlabHeap& heap) {
  static_assert(Leaf::SizeFor(kFanout) == 1536);
  static_assert(sizeof(Inner) <= 1536);
  Inner* inner = static_cast<Inner*>(heap.Allocate(sizeof(Inner)));
  memory_ += SlabHeap::GoodSize(sizeof(Inner));
  inner->count = 0;
  return inner;
}

void IdTree::FreeInner(SlabHeap& heap, Inner* inner) {
  memory_ -= SlabHeap::GoodSize(sizeof(Inner));
  heap.Free(inner, sizeof(Inner));
}

void IdTree::UnlinkLeaf(Leaf* leaf) {
  if (leaf->previous != nullptr) leaf->previous->next = leaf->next;
  if (leaf->next != nullptr) {
    leaf->next->previous = leaf->previous;
  } else {
    last_leaf_ = leaf->previous;
  }
}

// ---- Looking ----

IdTree::Leaf* IdTree::Descend(StreamId id, Step* path) const {
  void* node = root_;
  for (int level = 0; level < height_; level++) {
    Inner* inner = static_cast<Inner*>(node);
    const uint32_t index = inner->IndexOf(id);
    if (path != nullptr) path[level] = {inner, index};
    node = inner->children[index];
  }
  return static_cast<Leaf*>(node);
}

IdTree::Position IdTree::First() const {
  if (root_ == nullptr) return {};
  return {Descend(StreamId::Min(), nullptr), 0};
}

IdTree::Position IdTree::Ceiling(StreamId id) const {
  if (root_ == nullptr) return {};
  Leaf* leaf = Descend(id, nullptr);
  const uint32_t index = LowerBound(leaf, id);
  if (index < leaf->count) return {leaf, index};
  return {leaf->next, 0};
}

IdTree::Position IdTree::Floor(StreamId id) const {
  if (root_ == nullptr) return {};
  Leaf* leaf = Descend(id, nullptr);
  const uint32_t index = LowerBound(leaf, id);
  if (index < leaf->count && leaf->ids()[index] == id) return {leaf, index};
  return Previous({leaf, index});
}

IdTree::Position IdTree::Find(StreamId id) const {
  const Position at = Ceiling(id);
  if (at && IdAt(at) == id) return at;
  return {};
}

// ---- Inserting ----

// The only leaf is full: the next of the small sizes.
void IdTree::GrowRoot(SlabHeap& heap) {
  Leaf* old = last_leaf_;
  Leaf* leaf = NewLeaf(heap, 2 * old->capacity + 1);
  MoveTail(old, 0, leaf);
  FreeLeaf(heap, old);
  root_ = last_leaf_ = leaf;
}

void IdTree::InsertChild(SlabHeap& heap, Step* path, int level, StreamId id, void* child) {
  if (level < 0) {
    CHECK(height_ < kHeightMax);
    Inner* root = NewInner(heap);
    root->InsertAt(0, StreamId::Min(), root_);
    root->InsertAt(1, id, child);
    root_ = root;
    height_++;
    return;
  }
  Inner* inner = path[level].inner;
  const uint32_t at = path[level].index + 1;
  if (inner->count < kFanout) return inner->InsertAt(at, id, child);
  Inner* right = NewInner(heap);
  if (at == inner->count) {  // ids that come in order leave full nodes behind
    right->InsertAt(0, id, child);
    return InsertChild(heap, path, level - 1, id, right);
  }
  const uint32_t kept = (kFanout + 1) / 2;
  inner->MoveTail(kept, right);
  const StreamId separator = right->ids[0];
  if (at <= kept) {
    inner->InsertAt(at, id, child);
  } else {
    right->InsertAt(at - kept, id, child);
  }
  InsertChild(heap, path, level - 1, separator, right);
}

// Makes room in a full leaf and returns the new leaf behind it. An empty one when the new element
// comes last of all that are in the old leaf.
IdTree::Leaf* IdTree::SplitLeaf(SlabHeap& heap, Leaf* leaf, uint32_t at) {
  Leaf* right = NewLeaf(heap, kFanout);
  right->next = leaf->next;
  right->previous = leaf;
  if (leaf->next != nullptr) {
    leaf->next->previous = right;
  } else {
    last_leaf_ = right;
  }
  leaf->next = right;
  if (at < leaf->count) MoveTail(leaf, (kFanout + 1) / 2, right);
  return right;
}

bool IdTree::Insert(SlabHeap& heap, StreamId id, void* value) {
  if (root_ == nullptr) root_ = last_leaf_ = NewLeaf(heap, 1);
  Leaf* last = last_leaf_;
  if (last->count < last->capacity && (last->count == 0 || last->ids()[last->count - 1] < id)) {
    last->ids()[last->count] = id;
    last->values()[last->count++] = value;
    size_++;
    return true;
  }
  Step path[kHeightMax];
  Leaf* leaf = Descend(id, path);
  uint32_t at = LowerBound(leaf, id);
  if (at < leaf->count && leaf->ids()[at] == id) return false;
  size_++;
  if (leaf->count == leaf->capacity && leaf->capacity < kFanout) {
    GrowRoot(heap);
    leaf = last_leaf_;
  }
  if (leaf->count < leaf->capacity) {
    InsertInLeaf(leaf, at, id, value);
    return true;
  }
  Leaf* right = SplitLeaf(heap, leaf, at);
  if (at > leaf->count || right->count == 0) {
    InsertInLeaf(right, at - leaf->count, id, value);
  } else {
    InsertInLeaf(leaf, at, id, value);
  }
  InsertChild(heap, path, height_ - 1, right->ids()[0], right);
  return true;
}

// ---- Erasing ----

void IdTree::LowerRoot(SlabHeap& heap) {
  while (height_ > 0 && static_cast<Inner*>(root_)->count == 1) {
    Inner* root = static_cast<Inner*>(root_);
    root_ = root->children[0];
    FreeInner(heap, root);
    height_--;
  }
}

bool IdTree::JoinInners(SlabHeap& heap, Step* path, int level, uint32_t left) {
  Inner* parent = path[level - 1].inner;
  if (left + 1 >= parent->count) return false;
  Inner* into = static_cast<Inner*>(parent->children[left]);
  Inner* from = static_cast<Inner*>(parent->children[left + 1]);
  if (into->count + from->count > kJoinedMax) return false;
  from->ids[0] = parent->ids[left + 1];
  from->MoveTail(0, into);
  FreeInner(heap, from);
  path[level - 1].index = left + 1;
  EraseChild(heap, path, level - 1);
  return true;
}

void IdTree::EraseChild(SlabHeap& heap, Step* path, int level) {
  if (level < 0) {  // the root itself has gone
    root_ = nullptr;
    height_ = 0;
    return;
  }
  Inner* inner = path[level].inner;
  inner->EraseAt(path[level].index);
  if (inner->count == 0) {
    FreeInner(heap, inner);
    return EraseChild(heap, path, level - 1);
  }
  if (level == 0 || inner->count >= kFewElements) return;
  const uint32_t index = path[level - 1].index;
  if (JoinInners(heap, path, level, index)) return;
  if (index > 0) JoinInners(heap, path, level, index - 1);
}

bool IdTree::JoinLeaves(SlabHeap& heap, Step* path, uint32_t left) {
  Inner* parent = path[height_ - 1].inner;
  if (left + 1 >= parent->count) return false;
  Leaf* into = static_cast<Leaf*>(parent->children[left]);
  Leaf* from = static_cast<Leaf*>(parent->children[left + 1]);
  if (into->count + from->count > kJoinedMax) return false;
  MoveTail(from, 0, into);
  UnlinkLeaf(from);
  FreeLeaf(heap, from);
  path[height_ - 1].index = left + 1;
  EraseChild(heap, path, height_ - 1);
  return true;
}

// A leaf has lost an element: gives back what it no longer needs.
void IdTree::Shrink(SlabHeap& heap, Leaf* leaf, Step* path) {
  if (leaf->count == 0) {
    UnlinkLeaf(leaf);
    FreeLeaf(heap, leaf);
    EraseChild(heap, path, height_ - 1);
    return LowerRoot(heap);
  }
  if (height_ == 0) {
    if (leaf->capacity < 7 || leaf->count > leaf->capacity / 4) return;
    Leaf* smaller = NewLeaf(heap, leaf->capacity / 2);
    MoveTail(leaf, 0, smaller);
    FreeLeaf(heap, leaf);
    root_ = last_leaf_ = smaller;
    return;
  }
  if (leaf->count >= kFewElements) return;
  const uint32_t index = path[height_ - 1].index;
  if (!JoinLeaves(heap, path, index) && (index == 0 || !JoinLeaves(heap, path, index - 1))) return;
  LowerRoot(heap);
}

bool IdTree::Erase(SlabHeap& heap, StreamId id) {
  if (root_ == nullptr) return false;
  Step path[kHeightMax];
  Leaf* leaf = Descend(id, path);
  const uint32_t at = LowerBound(leaf, id);
  if (at == leaf->count || !(leaf->ids()[at] == id)) return false;
  EraseInLeaf(leaf, at);
  size_--;
  Shrink(heap, leaf, path);
  return true;
}

void IdTree::DropFirstLeaf(SlabHeap& heap) {
  Step path[kHeightMax];
  Leaf* leaf = Descend(StreamId::Min(), path);
  size_ -= leaf->count;
  UnlinkLeaf(leaf);
  FreeLeaf(heap, leaf);
  for (int level = height_ - 1; level >= 0; level--) {
    Inner* inner = path[level].inner;
    inner->EraseAt(0);
    if (inner->count > 0) return;
    FreeInner(heap, inner);
  }
  root_ = nullptr;
  height_ = 0;
}

void IdTree::Clear(SlabHeap& heap) {
  while (root_ != nullptr) DropFirstLeaf(heap);
}

// ---- Checking ----

size_t IdTree::ValidateSubtree(const void* node, int height, StreamId low, const Leaf** previous,
                               size_t* memory) const {
  if (height == 0) {
    const Leaf* leaf = static_cast<const Leaf*>(node);
    *memory += SlabHeap::GoodSize(Leaf::SizeFor(leaf->capacity));
    CHECK(leaf->count > 0);
    CHECK(leaf->count <= leaf->capacity);
    CHECK(leaf->capacity <= kFanout);
    CHECK(leaf->previous == *previous);
    CHECK(leaf->ids()[0] >= low);
    for (uint32_t i = 1; i < leaf->count; i++) CHECK(leaf->ids()[i - 1] < leaf->ids()[i]);
    if (*previous != nullptr) {
      CHECK((*previous)->next == leaf);
      CHECK((*previous)->ids()[(*previous)->count - 1] < leaf->ids()[0]);
    }
    *previous = leaf;
    return leaf->count;
  }
  const Inner* inner = static_cast<const Inner*>(node);
  *memory += SlabHeap::GoodSize(sizeof(Inner));
  CHECK(inner->count > 0);
  CHECK(inner->count <= kFanout);
  size_t size = 0;
  for (uint32_t i = 0; i < inner->count; i++) {
    const StreamId child_low = i == 0 ? low : inner->ids[i];
    if (i > 0 && *previous != nullptr)
      CHECK((*previous)->ids()[(*previous)->count - 1] < child_low);
    size += ValidateSubtree(inner->children[i], height - 1, child_low, previous, memory);
  }
  return size;
}

void IdTree::Validate() const {
  if (root_ == nullptr) {
    CHECK(size_ == 0);
    CHECK(height_ == 0);
    CHECK(memory_ == 0);
    CHECK(last_leaf_ == nullptr);
    return;
  }
  const Leaf* previous = nullptr;
  size_t memory = 0;
  CHECK(ValidateSubtree(root_, height_, StreamId::Min(), &previous, &memory) == size_);
  CHECK(previous == last_leaf_);
  CHECK(previous->next == nullptr);
  CHECK(memory == memory_);
}

}  // namespace sherd::ds
