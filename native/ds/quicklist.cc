// Quicklist: see the header for the picture and the rules.
//
// From the bottom up: nodes and their links, bytes of one node, compression, Redis's choices of split
// and merge, and the operations.
#include "ds/quicklist.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include "base/lzf.h"

namespace sherd::ds {

namespace {

// Set by DEBUG on any thread, read by all; nothing else depends on it, so relaxed is enough.
std::atomic<size_t> g_plain_threshold{0};

// An element is never packed from here on, whatever the threshold: a listpack must stay below 2 GB.
constexpr size_t kPackedElementMax = size_t{1} << 30;
// What a listpack's bytes for one element are estimated at, beside its text (as Redis).
constexpr size_t kElementOverhead = 8;
// Header and end mark, of which a merged listpack has one less than its parts.
constexpr size_t kEmptyPack = Listpack::kEmptySize;
// Nodes below this are not compressed, and it must save more than that (as Redis).
constexpr size_t kCompressMin = 48;
constexpr size_t kCompressSavedMin = 8;
// One operation adds at most this many nodes at one end's side: how many behind the depth may have to
// be packed anew.
constexpr size_t kSettleBeyond = 3;
// Blocks of end nodes up to this size keep their spare room for ever.
constexpr size_t kSpareMin = 128;

}  // namespace

bool ListFill::IsLarge(size_t element_size) const {
  if (element_size >= kPackedElementMax) return true;
  const size_t threshold = g_plain_threshold.load(std::memory_order_relaxed);
  if (__builtin_expect(threshold != 0, 0)) return element_size >= threshold;
  return element_size > (value >= 0 ? kSafeBytes : bytes_max());
}

bool SetPlainThreshold(size_t bytes) {
  // Redis: neither above nor even slightly below 4 GB.
  if (bytes > (uint64_t{1} << 32) - (uint64_t{1} << 20)) return false;
  g_plain_threshold.store(bytes, std::memory_order_relaxed);
  return true;
}

std::string_view NodeReader::Unpack(const QuicklistNode& node) {
  if (capacity_ < node.size) {
    buffer_.reset(new char[node.size]);
    capacity_ = node.size;
  }
  const std::string_view packed(reinterpret_cast<const char*>(node.block), node.capacity);
  CHECK_MSG(LzfDecompress(packed, buffer_.get(), node.size), "quicklist: broken compressed node");
  return {buffer_.get(), node.size};
}

// ---- Nodes and links ----

Quicklist* Quicklist::Create(SlabHeap& heap, ListFill fill, int compress_depth) {
  auto* list = new (heap.Allocate(sizeof(Quicklist))) Quicklist();
  list->fill_ = static_cast<int16_t>(std::clamp(fill.value, -5, kFillMax));
  list->compress_depth_ = static_cast<uint16_t>(std::clamp(compress_depth, 0, 65535));
  return list;
}

bool Quicklist::FreeSlice(SlabHeap& heap, Quicklist* list, size_t max_nodes) {
  while (list->head_ != nullptr) {
    if (max_nodes-- == 0) return false;
    list->Remove(heap, list->head_);
  }
  heap.Free(list, sizeof(Quicklist));
  return true;
}

QuicklistNode* Quicklist::NewNode(SlabHeap& heap, size_t capacity) {
  CHECK(capacity <= UINT32_MAX);
  auto* node = static_cast<Node*>(heap.Allocate(sizeof(Node)));
  *node = Node{};
  node->block = static_cast<uint8_t*>(heap.Allocate(capacity));
  node->capacity = static_cast<uint32_t>(capacity);
  return node;
}

QuicklistNode* Quicklist::NewPacked(SlabHeap& heap, std::string_view text) {
  const Listpack::Encoded element = Listpack::Encode(text);
  const size_t size = kEmptyPack + element.size();
  Node* node = NewNode(heap, BlockCapacity(size));
  node->size = size;
  node->count = 1;
  Listpack::WriteHeader(node->block, size, 1);
  Listpack::Write(node->block + Listpack::kHeaderSize, element);
  node->block[size - 1] = 0xFF;
  return node;
}

QuicklistNode* Quicklist::NewPlain(SlabHeap& heap, std::string_view bytes) {
  CHECK(!bytes.empty());
  auto* node = static_cast<Node*>(heap.Allocate(sizeof(Node)));
  *node = Node{};
  node->block = static_cast<uint8_t*>(heap.Allocate(bytes.size()));
  std::memcpy(node->block, bytes.data(), bytes.size());
  node->size = bytes.size();
  node->count = 1;
  node->is_plain = 1;
  return node;
}

QuicklistNode* Quicklist::CopyNode(SlabHeap& heap, const Node& source) {
  auto* node = static_cast<Node*>(heap.Allocate(sizeof(Node)));
  *node = source;
  node->previous = node->next = nullptr;
  node->headroom = 0;
  size_t bytes = source.size;
  if (source.is_compressed) {
    bytes = source.capacity;
  } else if (!source.is_plain) {
    node->capacity = static_cast<uint32_t>(BlockCapacity(bytes));
  }
  node->block = static_cast<uint8_t*>(heap.Allocate(node->block_size()));
  std::memcpy(node->block, source.data(), bytes);
  return node;
}

void Quicklist::FreeNode(SlabHeap& heap, Node* node) {
  heap.Free(node->block, node->block_size());
  heap.Free(node, sizeof(Node));
}

// Puts `node` before or after `beside`, which is null only in an empty list.
void Quicklist::Link(Node* beside, Node* node, bool is_after) {
  node_count_++;
  if (beside == nullptr) {
    DCHECK(head_ == nullptr);
    head_ = tail_ = node;
    return;
  }
  node->previous = is_after ? beside : beside->previous;
  node->next = is_after ? beside->next : beside;
  (node->previous == nullptr ? head_ : node->previous->next) = node;
  (node->next == nullptr ? tail_ : node->next->previous) = node;
}

void Quicklist::Unlink(Node* node) {
  node_count_--;
  (node->previous == nullptr ? head_ : node->previous->next) = node->next;
  (node->next == nullptr ? tail_ : node->next->previous) = node->previous;
}

void Quicklist::Remove(SlabHeap& heap, Node* node) {
  count_ -= node->count;
  Unlink(node);
  FreeNode(heap, node);
}

Quicklist* Quicklist::Clone(SlabHeap& heap) const {
  Quicklist* copy = Create(heap, fill(), compress_depth_);
  for (const Node* node = head_; node != nullptr; node = node->next) {
    copy->Link(copy->tail_, CopyNode(heap, *node), true);
  }
  copy->count_ = count_;
  return copy;
}

// ---- Bytes of one packed node ----

void Quicklist::SetCount(Node* node, size_t count) {
  node->count = static_cast<uint32_t>(count) & 0x3FFFFFFFu;
  Listpack::WriteHeader(node->data(), node->size, count);
}

// Turns `old_size` bytes at `at` into room for `new_size`, moving the shorter side where there is room for
// it. Offsets into the listpack stay what they were. The caller fills the room and sets the count.
void Quicklist::Splice(SlabHeap& heap, Node* node, size_t at, size_t old_size, size_t new_size) {
  uint8_t* const pack = node->data();
  const size_t rest = node->size - at - old_size;
  if (new_size > old_size) {
    const size_t more = new_size - old_size;
    const size_t tailroom = node->capacity - node->headroom - node->size;
    const bool is_near_front = at <= rest;
    if (is_near_front && node->headroom >= more) {
      std::memmove(pack - more, pack, at);
      node->headroom -= static_cast<uint32_t>(more);
    } else if (!is_near_front && tailroom >= more) {
      std::memmove(pack + at + new_size, pack + at + old_size, rest);
    } else {
      Grow(heap, node, at, old_size, new_size);
    }
    node->size += more;
  } else if (new_size < old_size) {
    const size_t less = old_size - new_size;
    if (at < rest) {
      std::memmove(pack + less, pack, at);
      node->headroom += static_cast<uint32_t>(less);
    } else {
      std::memmove(pack + at + new_size, pack + at + old_size, rest);
    }
    node->size -= less;
    Fit(heap, node);
  }
}

// The side that should move has no room: gives it all the room that is there, or a larger block.
void Quicklist::Grow(SlabHeap& heap, Node* node, size_t at, size_t old_size, size_t new_size) {
  const size_t rest = node->size - at - old_size;
  const size_t total = node->size - old_size + new_size;
  const bool is_near_front = at <= rest;
  const size_t node_max = fill_ >= 0 ? ListFill::kSafeBytes : fill().bytes_max();
  size_t wanted = total;
  // An end node will be pushed to again: half as much in reserve, but no more than it may ever hold.
  if (IsEnd(node)) wanted = std::max(total, std::min(total + total / 2, node_max));
  uint8_t* const from = node->data();
  if (node->capacity >= total && (node->capacity - total >= total / 4 || wanted <= node->capacity)) {
    const size_t headroom = is_near_front ? node->capacity - total : 0;
    uint8_t* const to = node->block + headroom;
    // The side that moves away goes first, so that neither runs over the other.
    if (to <= from) std::memmove(to, from, at);
    std::memmove(to + at + new_size, from + at + old_size, rest);
    if (to > from) std::memmove(to, from, at);
    node->headroom = static_cast<uint32_t>(headroom);
    return;
  }
  const size_t capacity = BlockCapacity(wanted);
  CHECK(capacity <= UINT32_MAX);
  const size_t headroom = is_near_front ? capacity - total : 0;
  auto* block = static_cast<uint8_t*>(heap.Allocate(capacity));
  std::memcpy(block + headroom, from, at);
  std::memcpy(block + headroom + at + new_size, from + at + old_size, rest);
  heap.Free(node->block, node->capacity);
  node->block = block;
  node->capacity = static_cast<uint32_t>(capacity);
  node->headroom = static_cast<uint32_t>(headroom);
}

// Moves the listpack to the front of a block of this capacity.
void Quicklist::Reallocate(SlabHeap& heap, Node* node, size_t capacity) {
  auto* block = static_cast<uint8_t*>(heap.Allocate(capacity));
  std::memcpy(block, node->data(), node->size);
  heap.Free(node->block, node->capacity);
  node->block = block;
  node->capacity = static_cast<uint32_t>(capacity);
  node->headroom = 0;
}

// Gives spare memory back: all of it inside the list, at its ends what pushes will hardly need soon.
void Quicklist::Fit(SlabHeap& heap, Node* node) {
  if (node->is_plain || node->is_compressed) return;
  size_t wanted = node->size;
  if (IsEnd(node)) {
    if (node->capacity <= kSpareMin || node->size > node->capacity / 4) return;
    wanted += wanted / 2;
  }
  const size_t capacity = BlockCapacity(wanted);
  if (capacity < node->capacity) Reallocate(heap, node, capacity);
}

void Quicklist::InsertText(SlabHeap& heap, Node* node, size_t at, std::string_view text) {
  const Listpack::Encoded element = Listpack::Encode(text);
  Splice(heap, node, at, 0, element.size());
  Listpack::Write(node->data() + at, element);
  SetCount(node, node->count + 1);
  count_++;
}

// Removes `count` elements, fewer than the node has, which are these bytes.
void Quicklist::EraseAt(SlabHeap& heap, Node* node, size_t at, size_t bytes, size_t count) {
  DCHECK(count < node->count);
  // The new count goes in first: Fit may move the node.
  Splice(heap, node, at, bytes, 0);
  SetCount(node, node->count - count);
  count_ -= count;
}

// ---- Compression ----

void Quicklist::Thaw(SlabHeap& heap, Node* node) {
  if (__builtin_expect(!node->is_compressed, 1)) return;
  const size_t capacity = node->is_plain ? node->size : BlockCapacity(node->size);
  auto* block = static_cast<uint8_t*>(heap.Allocate(capacity));
  const std::string_view packed(reinterpret_cast<const char*>(node->block), node->capacity);
  CHECK_MSG(LzfDecompress(packed, reinterpret_cast<char*>(block), node->size),
            "quicklist: broken compressed node");
  heap.Free(node->block, node->capacity);
  node->block = block;
  node->capacity = node->is_plain ? 0 : static_cast<uint32_t>(capacity);
  node->is_compressed = 0;
}

void Quicklist::Freeze(SlabHeap& heap, Node* node) {
  if (node->is_compressed || node->size < kCompressMin) return;
  const size_t room = node->size - kCompressSavedMin - 1;
  const std::unique_ptr<char[]> buffer(new char[room]);
  const std::string_view bytes(reinterpret_cast<const char*>(node->data()), node->size);
  const size_t packed = LzfCompress(bytes, buffer.get(), room);
  if (packed == 0) return;
  auto* block = static_cast<uint8_t*>(heap.Allocate(packed));
  std::memcpy(block, buffer.get(), packed);
  heap.Free(node->block, node->block_size());
  node->block = block;
  node->capacity = static_cast<uint32_t>(packed);
  node->headroom = 0;
  node->is_compressed = 1;
}

// After a change: nodes within the depth are unpacked, those just beyond it and those that the operation
// unpacked (`touched`; null is none) are packed.
void Quicklist::Settle(SlabHeap& heap, std::initializer_list<Node*> touched) {
  if (__builtin_expect(compress_depth_ == 0, 1)) return;
  const size_t depth = compress_depth_;
  Node* front = head_;
  Node* back = tail_;
  uint32_t is_near_end = 0;  // a bit for each touched node
  for (size_t i = 0; i < depth && front != nullptr; i++) {
    Thaw(heap, front);
    Thaw(heap, back);
    uint32_t bit = 1;
    for (const Node* node : touched) {
      if (node == front || node == back) is_near_end |= bit;
      bit <<= 1;
    }
    front = front->next;
    back = back->previous;
  }
  for (size_t i = depth; i < depth + kSettleBeyond && i + depth < node_count_; i++) {
    Freeze(heap, front);
    Freeze(heap, back);
    front = front->next;
    back = back->previous;
  }
  uint32_t bit = 1;
  for (Node* node : touched) {
    if (node != nullptr && (is_near_end & bit) == 0) Freeze(heap, node);
    bit <<= 1;
  }
}

// ---- Redis's choices ----

bool Quicklist::HasRoom(const Node* node, size_t element_size) const {
  if (node == nullptr || node->is_plain || fill().IsLarge(element_size)) return false;
  return !fill().IsExceeded(node->size + element_size + kElementOverhead, node->count + size_t{1});
}

bool Quicklist::CanMerge(const Node* a, const Node* b) const {
  if (a == nullptr || b == nullptr || a->is_plain || b->is_plain) return false;
  return !fill().IsExceeded(a->size + b->size - kEmptyPack, size_t{a->count} + b->count);
}

// Appends b's elements to a, its neighbour before it, and frees b. Returns a.
QuicklistNode* Quicklist::Merge(SlabHeap& heap, Node* a, Node* b) {
  Thaw(heap, a);
  Thaw(heap, b);
  const size_t added = b->size - kEmptyPack;
  const size_t at = a->size - 1;
  Splice(heap, a, at, 0, added);
  std::memcpy(a->data() + at, b->data() + Listpack::kHeaderSize, added);
  SetCount(a, size_t{a->count} + b->count);
  Unlink(b);
  FreeNode(heap, b);
  return a;
}

// Merges the two nodes before `centre`, the two after it, then `centre` with what is beside it, as far
// as they fit. Returns the node that has centre's elements.
QuicklistNode* Quicklist::MergeNeighbours(SlabHeap& heap, Node* centre) {
  Node* const previous = centre->previous;
  Node* const next = centre->next;
  if (previous != nullptr && CanMerge(previous->previous, previous)) {
    Merge(heap, previous->previous, previous);
  }
  if (next != nullptr && CanMerge(next, next->next)) Merge(heap, next, next->next);
  if (CanMerge(centre->previous, centre)) centre = Merge(heap, centre->previous, centre);
  if (CanMerge(centre, centre->next)) centre = Merge(heap, centre, centre->next);
  return centre;
}

// Cuts a packed node after or before an element and returns a new node, not yet linked, with the other
// part: what came after (is_after) or before the cut. Neither part may be empty.
QuicklistNode* Quicklist::Split(SlabHeap& heap, Node* node, size_t index, bool is_after) {
  Thaw(heap, node);
  const Listpack pack = node->pack();
  const size_t element = pack.Seek(static_cast<int64_t>(index));
  const size_t cut = is_after ? element + pack.SizeAt(element) : element;
  const size_t at = is_after ? cut : Listpack::kHeaderSize;
  const size_t bytes = is_after ? node->size - 1 - cut : cut - Listpack::kHeaderSize;
  const size_t count = is_after ? node->count - index - 1 : index;
  CHECK(count > 0);
  CHECK(count < node->count);

  Node* other = NewNode(heap, BlockCapacity(kEmptyPack + bytes));
  other->size = kEmptyPack + bytes;
  std::memcpy(other->block + Listpack::kHeaderSize, node->data() + at, bytes);
  other->block[other->size - 1] = 0xFF;
  SetCount(other, count);
  Splice(heap, node, at, bytes, 0);
  SetCount(node, node->count - count);
  return other;
}

// ---- Reading ----

Quicklist::Place Quicklist::Locate(size_t index) const {
  DCHECK(index < count_);
  if (index < count_ / 2) {
    Node* node = head_;
    for (; index >= node->count; node = node->next) index -= node->count;
    return {node, index};
  }
  size_t from_end = count_ - 1 - index;
  Node* node = tail_;
  for (; from_end >= node->count; node = node->previous) from_end -= node->count;
  return {node, node->count - 1 - from_end};
}

PackedValue Quicklist::Peek(ListEnd end) const {
  const Node* node = end == ListEnd::kHead ? head_ : tail_;
  if (node->is_plain) return {reinterpret_cast<const char*>(node->block), node->size, 0};
  const Listpack pack = node->pack();
  return pack.Get(end == ListEnd::kHead ? Listpack::kHeaderSize : pack.Last());
}

// ---- Changing ----

void Quicklist::Push(SlabHeap& heap, ListEnd end, std::string_view text) {
  const bool is_tail = end == ListEnd::kTail;
  Node* const last = is_tail ? tail_ : head_;
  if (HasRoom(last, text.size())) {
    InsertText(heap, last, is_tail ? last->size - 1 : Listpack::kHeaderSize, text);
    return;
  }
  Node* node = fill().IsLarge(text.size()) ? NewPlain(heap, text) : NewPacked(heap, text);
  Link(last, node, is_tail);
  count_++;
  if (last != nullptr) Fit(heap, last);
  Settle(heap, {});
}

void Quicklist::Pop(SlabHeap& heap, ListEnd end) {
  Node* node = end == ListEnd::kTail ? tail_ : head_;
  if (node->count == 1) {
    Remove(heap, node);
    Settle(heap, {});
    return;
  }
  const Listpack pack = node->pack();
  const size_t at = end == ListEnd::kTail ? pack.Last() : Listpack::kHeaderSize;
  EraseAt(heap, node, at, pack.SizeAt(at), 1);
}

void Quicklist::Insert(SlabHeap& heap, Place place, std::string_view text, bool is_after) {
  Node* const node = place.node;
  if (fill().IsLarge(text.size())) return InsertLarge(heap, place, text, is_after);
  if (!HasRoom(node, text.size())) return InsertBeside(heap, place, text, is_after);
  Thaw(heap, node);
  const Listpack pack = node->pack();
  const size_t at = pack.Seek(static_cast<int64_t>(place.index));
  InsertText(heap, node, is_after ? at + pack.SizeAt(at) : at, text);
  Settle(heap, {node});
}

void Quicklist::InsertLarge(SlabHeap& heap, Place place, std::string_view text, bool is_after) {
  Node* const node = place.node;
  Node* const plain = NewPlain(heap, text);
  const bool is_at_edge = place.index == (is_after ? node->count - size_t{1} : 0);
  Node* const other = is_at_edge ? nullptr : Split(heap, node, place.index, is_after);
  Link(node, plain, is_after);
  if (other != nullptr) Link(plain, other, is_after);
  count_++;
  Fit(heap, node);
  Settle(heap, {node, plain, other});
}

// The node is full (or plain): into the near end of its neighbour, into a new node beside it, or into
// one of its halves.
void Quicklist::InsertBeside(SlabHeap& heap, Place place, std::string_view text, bool is_after) {
  Node* const node = place.node;
  if (place.index == (is_after ? node->count - size_t{1} : 0)) {
    Node* const neighbour = is_after ? node->next : node->previous;
    if (HasRoom(neighbour, text.size())) {
      Thaw(heap, neighbour);
      InsertText(heap, neighbour, is_after ? Listpack::kHeaderSize : neighbour->size - 1, text);
      return Settle(heap, {neighbour});
    }
    Node* const added = NewPacked(heap, text);
    Link(node, added, is_after);
    count_++;
    Fit(heap, node);
    return Settle(heap, {node, added});
  }
  Node* const half = Split(heap, node, place.index, is_after);
  InsertText(heap, half, is_after ? Listpack::kHeaderSize : half->size - 1, text);
  Link(node, half, is_after);
  Node* const merged = MergeNeighbours(heap, node);
  Settle(heap, {merged, merged->previous, merged->next});
}

void Quicklist::Replace(SlabHeap& heap, Place place, std::string_view text) {
  Node* const node = place.node;
  const bool is_large = fill().IsLarge(text.size());
  if (!node->is_plain) {
    if (is_large || node->size + text.size() > Listpack::kMaxBytes) {
      return ReplaceBySplitting(heap, place, text);
    }
    Thaw(heap, node);
    const Listpack::Encoded element = Listpack::Encode(text);
    const size_t at = node->pack().Seek(static_cast<int64_t>(place.index));
    Splice(heap, node, at, node->pack().SizeAt(at), element.size());
    Listpack::Write(node->data() + at, element);
    SetCount(node, node->count);
    return Settle(heap, {node});
  }
  if (!is_large) {
    Insert(heap, place, text, true);
    Remove(heap, node);
    return Settle(heap, {});
  }
  Node* const other = NewPlain(heap, text);
  Link(node, other, true);
  count_++;
  Remove(heap, node);
  Settle(heap, {other});
}

// The element's new value does not fit into its node: it gets one of its own between the two halves.
void Quicklist::ReplaceBySplitting(SlabHeap& heap, Place place, std::string_view text) {
  Node* const node = place.node;
  Thaw(heap, node);
  Node* half = nullptr;
  if (place.index + 1 < node->count) half = Split(heap, node, place.index, true);
  Node* added = fill().IsLarge(text.size()) ? NewPlain(heap, text) : NewPacked(heap, text);
  Link(node, added, true);
  if (half != nullptr) Link(added, half, true);
  count_++;
  if (node->count == 1) {
    Remove(heap, node);
  } else {
    const size_t at = node->pack().Last();
    EraseAt(heap, node, at, node->pack().SizeAt(at), 1);
    added = MergeNeighbours(heap, added);
  }
  Settle(heap, {added, added->previous, added->next});
}

void Quicklist::EraseRange(SlabHeap& heap, size_t start, size_t count) {
  if (start >= count_) return;
  count = std::min(count, count_ - start);
  if (count == 0) return;
  Place place = Locate(start);
  Node* cut[2] = {nullptr, nullptr};  // nodes of which a part stays: the first and the last
  while (count > 0) {
    Node* const node = place.node;
    Node* const next = node->next;
    const size_t here = std::min<size_t>(count, node->count - place.index);
    if (here == node->count) {
      Remove(heap, node);
    } else {
      Thaw(heap, node);
      const Listpack pack = node->pack();
      const size_t at = pack.Seek(static_cast<int64_t>(place.index));
      const size_t behind = place.index + here;
      const size_t end = behind == node->count ? node->size - 1 : pack.Seek(static_cast<int64_t>(behind));
      EraseAt(heap, node, at, end - at, here);
      cut[cut[0] == nullptr ? 0 : 1] = node;
    }
    count -= here;
    place = {next, 0};
  }
  Settle(heap, {cut[0], cut[1]});
}

size_t Quicklist::EraseMatches(SlabHeap& heap, std::string_view text, size_t limit, ListEnd from) {
  NodeReader reader;
  size_t removed = 0;
  const bool is_from_tail = from == ListEnd::kTail;
  for (Node* node = is_from_tail ? tail_ : head_; node != nullptr && removed < limit;) {
    Node* const following = is_from_tail ? node->previous : node->next;
    const std::string_view bytes = reader.Bytes(*node);
    const Listpack pack(reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data())));
    const size_t matches = node->is_plain ? (bytes == text ? 1 : 0) : pack.CountMatches(text);
    const size_t victims = std::min(matches, limit - removed);
    if (victims == node->count) {
      Remove(heap, node);
    } else if (victims > 0) {
      const bool was_compressed = node->is_compressed;
      Thaw(heap, node);
      size_t gone = 0;
      node->size = Listpack::CompactMatches(node->data(), text, is_from_tail ? matches - victims : 0,
                                            victims, &gone);
      CHECK(gone == victims);
      SetCount(node, node->count - gone);
      count_ -= gone;
      Fit(heap, node);
      if (was_compressed) Freeze(heap, node);
    }
    removed += victims;
    node = following;
  }
  if (removed > 0) Settle(heap, {});
  return removed;
}

// ---- Whole nodes ----

void Quicklist::AppendPack(SlabHeap& heap, Listpack pack) {
  if (pack.is_empty()) return pack.Free(heap);
  auto* node = static_cast<Node*>(heap.Allocate(sizeof(Node)));
  *node = Node{};
  node->block = pack.data();
  node->size = pack.bytes();
  node->capacity = static_cast<uint32_t>(BlockCapacity(node->size));
  const size_t count = pack.count();
  node->count = static_cast<uint32_t>(count) & 0x3FFFFFFFu;
  Node* const last = tail_;
  Link(last, node, true);
  count_ += count;
  if (last != nullptr) Fit(heap, last);
  Settle(heap, {});
}

void Quicklist::AppendPlain(SlabHeap& heap, std::string_view bytes) {
  Node* const last = tail_;
  Link(last, NewPlain(heap, bytes), true);
  count_++;
  if (last != nullptr) Fit(heap, last);
  Settle(heap, {});
}

Listpack Quicklist::TakeOnlyPack(SlabHeap& heap, Quicklist* list) {
  Node* const node = list->head_;
  CHECK(list->node_count_ == 1);
  CHECK(!node->is_plain);
  Thaw(heap, node);
  const size_t capacity = BlockCapacity(node->size);
  if (node->headroom != 0 || node->capacity != capacity) Reallocate(heap, node, capacity);
  const Listpack pack(node->block);
  heap.Free(node, sizeof(Node));
  heap.Free(list, sizeof(Quicklist));
  return pack;
}

size_t Quicklist::Memory(size_t samples) const {
  const size_t own = SlabHeap::GoodSize(sizeof(Quicklist));
  size_t bytes = 0;
  size_t seen = 0;
  for (const Node* node = head_; node != nullptr && (samples == 0 || seen < samples); node = node->next) {
    bytes += SlabHeap::GoodSize(sizeof(Node)) + SlabHeap::GoodSize(node->block_size());
    seen++;
  }
  if (seen == 0 || seen == node_count_) return own + bytes;
  return own + static_cast<size_t>(static_cast<double>(bytes) / static_cast<double>(seen) * node_count_);
}

void Quicklist::Validate() const {
  NodeReader reader;
  size_t elements = 0;
  size_t nodes = 0;
  const Node* previous = nullptr;
  for (const Node* node = head_; node != nullptr; previous = node, node = node->next) {
    CHECK(node->previous == previous);
    const bool is_near_end = nodes < compress_depth_ || nodes + compress_depth_ >= node_count_;
    CHECK(!node->is_compressed || (compress_depth_ > 0 && !is_near_end));
    CHECK(node->is_compressed || node->is_plain || node->headroom + node->size <= node->capacity);
    CHECK(!node->is_compressed || (node->headroom == 0 && node->capacity + kCompressSavedMin < node->size));
    const std::string_view bytes = reader.Bytes(*node);
    size_t count = 1;
    if (!node->is_plain) CHECK(Listpack::Validate(bytes, &count));
    CHECK(count == node->count);
    CHECK(count > 0);
    elements += count;
    nodes++;
  }
  CHECK(tail_ == previous);
  CHECK(nodes == node_count_);
  CHECK(elements == count_);
}

}  // namespace sherd::ds
