// StreamLog: see the header.
#include "ds/stream_log.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"

namespace sherd::ds {

namespace {

// What Redis gives a new node at once (STREAM_LISTPACK_MAX_PRE_ALLOCATE); more is never useful up
// front.
constexpr size_t kTailRoomMax = 4096;
// Leaves of the map whose nodes are freed in one slice.
constexpr int kSliceLeaves = 1;

size_t BytesOf(const uint8_t* data) { return LoadLittle32(data); }

size_t SumOfSizes(std::span<const std::string_view> pairs) {
  size_t size = 0;
  for (const std::string_view text : pairs) size += text.size();
  return size;
}

// Writes an integer over the element at `at`, which takes as many bytes. False: it does not.
bool OverwriteInteger(uint8_t* data, size_t at, int64_t value) {
  if (Listpack(data).SizeAt(at) != Listpack::ElementSizeOfInteger(value)) return false;
  Listpack::WriteIntegerElement(data + at, value);
  return true;
}

// Ends a node at `end`, where an entry begins.
void TruncateNode(uint8_t* data, size_t end) {
  size_t elements = 0;
  for (size_t at = end; !IsNodeEnd(data, at); elements++) SkipElements(data, &at, 1);
  data[end] = 0xFF;
  StoreLittle32(data, static_cast<uint32_t>(end + 1));
  const size_t count = LoadLittle16(data + 4);
  // A count that was too large to say stays so: walkers then count for themselves.
  if (count != Listpack::kCountUnknown)
    StoreLittle16(data + 4, static_cast<uint16_t>(count - elements));
}

// Number of bytes that two ids have in common at the front, as Redis writes them into keys.
int CommonBytes(StreamId a, StreamId b) {
  if (a.ms != b.ms) return __builtin_clzll(a.ms ^ b.ms) / 8;
  return a.seq != b.seq ? 8 + __builtin_clzll(a.seq ^ b.seq) / 8 : 16;
}

}  // namespace

// ---- Blocks ----

StreamLog::Block StreamLog::BlockAt(NodeMap::Position at) const {
  uint8_t* data = nodes_.ValueAt(at);
  return {at, data, data == tail_ ? tail_capacity_ : SlabHeap::GoodSize(BytesOf(data))};
}

uint8_t* StreamLog::AllocateBlock(SlabHeap& heap, size_t capacity) {
  block_bytes_ += capacity;
  return static_cast<uint8_t*>(heap.Allocate(capacity));
}

void StreamLog::FreeBlock(SlabHeap& heap, uint8_t* data, size_t capacity) {
  block_bytes_ -= capacity;
  heap.Free(data, capacity);
}

void StreamLog::MoveBlock(SlabHeap& heap, Block* block, size_t bytes, size_t capacity) {
  uint8_t* moved = AllocateBlock(heap, capacity);
  std::memcpy(moved, block->data, bytes);
  FreeBlock(heap, block->data, block->capacity);
  if (block->data == tail_) {
    tail_ = moved;
    tail_capacity_ = capacity;
  }
  block->data = moved;
  block->capacity = capacity;
  nodes_.SetValueAt(block->at, moved);
}

// Puts another integer in the place of the one at `at`; what is behind it moves by the difference.
void StreamLog::ReplaceInteger(SlabHeap& heap, Block* block, size_t at, int64_t value) {
  if (OverwriteInteger(block->data, at, value)) return;
  const bool is_tail = block->data == tail_;
  const size_t old_bytes = BytesOf(block->data);
  const size_t old_size = Listpack(block->data).SizeAt(at);
  const size_t new_size = Listpack::ElementSizeOfInteger(value);
  const size_t new_bytes = old_bytes - old_size + new_size;
  if (new_bytes > block->capacity) MoveBlock(heap, block, old_bytes, SlabHeap::GoodSize(new_bytes));
  std::memmove(block->data + at + new_size, block->data + at + old_size, old_bytes - at - old_size);
  Listpack::WriteIntegerElement(block->data + at, value);
  StoreLittle32(block->data, static_cast<uint32_t>(new_bytes));
  // A closed block is exactly as large as its bytes say, the tail may be larger.
  const size_t exact = SlabHeap::GoodSize(new_bytes);
  if (!is_tail && exact != block->capacity) MoveBlock(heap, block, new_bytes, exact);
}

void StreamLog::SetCounts(SlabHeap& heap, Block* block, uint64_t count, uint64_t deleted) {
  ReplaceInteger(heap, block, Listpack::kHeaderSize, static_cast<int64_t>(count));
  const size_t deleted_at =
      Listpack::kHeaderSize + Listpack(block->data).SizeAt(Listpack::kHeaderSize);
  ReplaceInteger(heap, block, deleted_at, static_cast<int64_t>(deleted));
}

void StreamLog::SetTail() {
  const NodeMap::Position last = nodes_.Last();
  tail_ = last ? nodes_.ValueAt(last) : nullptr;
  tail_id_ = last ? nodes_.IdAt(last) : StreamId{};
  tail_capacity_ = tail_ == nullptr ? 0 : SlabHeap::GoodSize(BytesOf(tail_));
  ReadLastStored();
}

void StreamLog::ReadLastStored() {
  last_stored_ = {};
  if (tail_ == nullptr) return;
  const StreamNodeHeader header = StreamNodeHeader::Read(tail_);
  const size_t at = PreviousStreamEntry(tail_, header, BytesOf(tail_) - 1);
  last_stored_ = StreamEntry::Read(tail_, header, tail_id_, at).id;
}

void StreamLog::EraseNode(SlabHeap& heap, NodeMap::Position at) {
  const Block block = BlockAt(at);
  const bool is_tail = block.data == tail_;
  nodes_.Erase(heap, nodes_.IdAt(at));
  FreeBlock(heap, block.data, block.capacity);
  if (is_tail) SetTail();
}

// ---- Appending ----

// As Redis decides: by the bytes of the texts, not by what they will take, and counting deleted
// entries.
bool StreamLog::IsTailFull(const StreamNodeHeader& header, size_t added_bytes,
                           const StreamNodeLimits& limits) const {
  const bool is_bounded = limits.bytes_max != 0 && limits.bytes_max <= kEntryBytesMax;
  const size_t bytes_max = is_bounded ? limits.bytes_max : kEntryBytesMax;
  if (BytesOf(tail_) + added_bytes >= bytes_max) return true;
  return limits.entries_max != 0 && header.count + header.deleted >= limits.entries_max;
}

void StreamLog::AddNode(SlabHeap& heap, StreamId id, std::span<const std::string_view> pairs) {
  const size_t bytes = NewStreamNodeSize(pairs);
  size_t room = bytes;
  // The stream is longer than a node, so this one will fill up as the one before did.
  if (tail_ != nullptr) room = std::max(bytes, std::min(BytesOf(tail_), kTailRoomMax));
  const size_t capacity = SlabHeap::GoodSize(room);
  tail_ = AllocateBlock(heap, capacity);
  tail_capacity_ = capacity;
  tail_id_ = id;
  WriteNewStreamNode(tail_, pairs);
  CHECK(nodes_.Insert(heap, id, tail_));
}

void StreamLog::CloseTail(SlabHeap& heap) {
  const size_t bytes = BytesOf(tail_);
  const size_t exact = SlabHeap::GoodSize(bytes);
  if (exact == tail_capacity_) return;
  Block block = BlockAt(nodes_.Last());
  MoveBlock(heap, &block, bytes, exact);
}

// Makes room for `bytes` in the tail: twice what it has, while that is little.
void StreamLog::GrowTail(SlabHeap& heap, size_t bytes) {
  const size_t doubled = std::min(2 * tail_capacity_, kTailRoomMax);
  Block block = BlockAt(nodes_.Last());
  MoveBlock(heap, &block, BytesOf(tail_), SlabHeap::GoodSize(std::max(bytes, doubled)));
}

void StreamLog::Append(SlabHeap& heap, StreamId id, std::span<const std::string_view> pairs,
                       const StreamNodeLimits& limits) {
  DCHECK(pairs.size() >= 2 && pairs.size() % 2 == 0);
  if (__builtin_expect(tail_ != nullptr && id <= last_stored_, 0)) DropDeletedFrom(heap, id);
  length_++;
  last_stored_ = id;
  if (tail_ == nullptr) return AddNode(heap, id, pairs);
  const StreamNodeHeader header = StreamNodeHeader::Read(tail_);
  if (IsTailFull(header, SumOfSizes(pairs), limits)) {
    CloseTail(heap);
    return AddNode(heap, id, pairs);
  }
  const StreamId difference = {id.ms - tail_id_.ms, id.seq - tail_id_.seq};
  const bool has_master_fields = HasMasterFields(tail_, header, pairs);
  // `count` may take one element size more, eight bytes at the most.
  constexpr size_t kCountGrowthMax = 8;
  const size_t used = BytesOf(tail_) + kCountGrowthMax;
  if (used + StreamEntrySizeMax(pairs) > tail_capacity_) {
    const size_t needed = used + StreamEntrySize(difference, has_master_fields, pairs);
    if (needed > tail_capacity_) GrowTail(heap, needed);
  }
  const int64_t count = static_cast<int64_t>(header.count) + 1;
  if (!OverwriteInteger(tail_, Listpack::kHeaderSize, count)) {
    Block block = BlockAt(nodes_.Last());
    ReplaceInteger(heap, &block, Listpack::kHeaderSize, count);
  }
  AppendStreamEntry(tail_, difference, has_master_fields, pairs);
}

// ---- Deleting ----

// Takes marked entries off the end until the last one is below `id`.
void StreamLog::DropDeletedFrom(SlabHeap& heap, StreamId id) {
  while (tail_ != nullptr && last_stored_ >= id) {
    const NodeMap::Position at = nodes_.Last();
    Block block = BlockAt(at);
    const StreamNodeHeader header = StreamNodeHeader::Read(block.data);
    const size_t position = PreviousStreamEntry(block.data, header, BytesOf(block.data) - 1);
    CHECK(StreamEntry::Read(block.data, header, tail_id_, position).is_deleted);
    if (position == header.entries_at) {
      EraseNode(heap, at);
      continue;
    }
    TruncateNode(block.data, position);
    SetCounts(heap, &block, header.count, header.deleted - 1);
    ReadLastStored();
  }
}

bool StreamLog::Delete(SlabHeap& heap, StreamId id) {
  const NodeMap::Position at = nodes_.Floor(id);
  if (!at) return false;
  Block block = BlockAt(at);
  const StreamNodeHeader header = StreamNodeHeader::Read(block.data);
  const StreamId master = nodes_.IdAt(at);
  for (size_t position = header.entries_at; !IsNodeEnd(block.data, position);) {
    const StreamEntry entry = StreamEntry::Read(block.data, header, master, position);
    if (entry.id > id) return false;
    if (entry.id == id) {
      if (entry.is_deleted) return false;
      length_--;
      if (header.count == 1) {
        EraseNode(heap, at);
        return true;
      }
      block.data[entry.at] |= kEntryDeleted;  // flags are below 128: one byte and a backlen
      SetCounts(heap, &block, header.count - 1, header.deleted + 1);
      return true;
    }
    position = entry.End(block.data);
  }
  return false;
}

uint64_t StreamLog::TrimWithin(SlabHeap& heap, NodeMap::Position at, const StreamTrim& trim) {
  Block block = BlockAt(at);
  const StreamNodeHeader header = StreamNodeHeader::Read(block.data);
  const StreamId master = nodes_.IdAt(at);
  uint64_t marked = 0;
  for (size_t position = header.entries_at; !IsNodeEnd(block.data, position);) {
    const StreamEntry entry = StreamEntry::Read(block.data, header, master, position);
    if (trim.by_id ? entry.id >= trim.min_id : length_ <= trim.length_max) break;
    if (!entry.is_deleted) {
      block.data[entry.at] |= kEntryDeleted;
      marked++;
      length_--;
    }
    position = entry.End(block.data);
  }
  SetCounts(heap, &block, header.count - marked, header.deleted + marked);
  return marked;
}

uint64_t StreamLog::Trim(SlabHeap& heap, const StreamTrim& trim) {
  uint64_t gone = 0;
  for (NodeMap::Position at = nodes_.First(); at; at = nodes_.First()) {
    if (!trim.by_id && length_ <= trim.length_max) break;
    const uint8_t* data = nodes_.ValueAt(at);
    const StreamNodeHeader header = StreamNodeHeader::Read(data);
    if (trim.limit != 0 && gone + header.count > trim.limit) break;
    bool is_whole;
    if (trim.by_id) {
      const size_t last = PreviousStreamEntry(data, header, BytesOf(data) - 1);
      is_whole = StreamEntry::Read(data, header, nodes_.IdAt(at), last).id < trim.min_id;
    } else {
      is_whole = length_ - header.count >= trim.length_max;
    }
    if (!is_whole) return trim.is_exact ? gone + TrimWithin(heap, at, trim) : gone;
    EraseNode(heap, at);
    length_ -= header.count;
    gone += header.count;
  }
  return gone;
}

// ---- Looking ----

bool StreamLog::Contains(StreamId id) const { return StreamCursor(*this, id, id, false).Next(); }

bool StreamLog::FirstId(StreamId* id) const {
  StreamCursor cursor(*this, StreamId::Min(), StreamId::Max(), false);
  if (!cursor.Next()) return false;
  *id = cursor.entry().id;
  return true;
}

bool StreamLog::LastId(StreamId* id) const {
  StreamCursor cursor(*this, StreamId::Min(), StreamId::Max(), true);
  if (!cursor.Next()) return false;
  *id = cursor.entry().id;
  return true;
}

bool StreamLog::FirstStoredId(StreamId* id) const {
  const NodeMap::Position at = nodes_.First();
  if (!at) return false;
  const uint8_t* data = nodes_.ValueAt(at);
  const StreamNodeHeader header = StreamNodeHeader::Read(data);
  *id = StreamEntry::Read(data, header, nodes_.IdAt(at), header.entries_at).id;
  return true;
}

// Such a tree holds one node for each key (at its end), one for each place where keys part, and one
// for each run of bytes between those. Keys come in order, so the path from the root to the last
// key, as the set of depths where it parts from earlier keys, is all that has to be remembered.
size_t StreamLog::RadixNodeCount() const {
  constexpr int kKeyBytes = 16;
  NodeMap::Position at = nodes_.First();
  if (!at) return 1;
  size_t nodes = 2;    // one run of 16 bytes and the end of the first key
  uint32_t parts = 0;  // bit d: the path of the last key parts at depth d
  for (StreamId previous = nodes_.IdAt(at); (at = nodes_.Next(at)); previous = nodes_.IdAt(at)) {
    const int depth = CommonBytes(previous, nodes_.IdAt(at));
    const uint32_t above = parts & ((1u << depth) - 1);
    if ((parts >> depth & 1) == 0) {
      // A run from the byte behind the next part above to the next part below (or the end) is cut
      // in two.
      const uint32_t below = parts >> depth;
      const int from = above == 0 ? 0 : 32 - __builtin_clz(above);
      const int to = below == 0 ? kKeyBytes : depth + __builtin_ctz(below);
      nodes -= from < to ? 1 : 0;
      nodes += (from < depth ? 1u : 0u) + 1u + (depth + 1 < to ? 1u : 0u);
    }
    nodes += depth + 1 < kKeyBytes ? 2 : 1;  // the rest of the new key, and its end
    parts = above | 1u << depth;
  }
  return nodes;
}

// ---- Whole nodes ----

bool StreamLog::AppendNode(SlabHeap& heap, StreamId master, std::string_view bytes) {
  StreamNodeFacts facts;
  if (!ValidateStreamNode(bytes, master, &facts)) return false;
  StreamId last;
  if (LastStoredId(&last) && master <= last) return false;
  if (tail_ != nullptr) CloseTail(heap);
  tail_capacity_ = SlabHeap::GoodSize(bytes.size());
  tail_ = AllocateBlock(heap, tail_capacity_);
  tail_id_ = master;
  last_stored_ = facts.last;
  std::memcpy(tail_, bytes.data(), bytes.size());
  CHECK(nodes_.Insert(heap, master, tail_));
  length_ += facts.count;
  return true;
}

void StreamLog::CloneFrom(SlabHeap& heap, const StreamLog& other) {
  DCHECK(tail_ == nullptr);
  other.ForEachNode([&](StreamId master, std::string_view bytes) {
    uint8_t* copy = AllocateBlock(heap, SlabHeap::GoodSize(bytes.size()));
    std::memcpy(copy, bytes.data(), bytes.size());
    return nodes_.Insert(heap, master, copy);
  });
  length_ = other.length_;
  SetTail();
}

bool StreamLog::FreeSlice(SlabHeap& heap) {
  for (int i = 0; i < kSliceLeaves; i++) {
    const bool more = nodes_.DismantleLeaf(heap, [&](uint8_t* data) {
      FreeBlock(heap, data, data == tail_ ? tail_capacity_ : SlabHeap::GoodSize(BytesOf(data)));
    });
    if (!more) return true;
  }
  return nodes_.is_empty();
}

void StreamLog::Validate() const {
  nodes_.Validate();
  uint64_t length = 0;
  size_t bytes = 0;
  bool is_first = true;
  StreamId last;
  for (NodeMap::Position at = nodes_.First(); at; at = nodes_.Next(at)) {
    const Block block = BlockAt(at);
    StreamNodeFacts facts;
    CHECK(ValidateStreamNode(Listpack(block.data).view(), nodes_.IdAt(at), &facts));
    if (!is_first) CHECK(nodes_.IdAt(at) > last);
    CHECK(BytesOf(block.data) <= block.capacity);
    is_first = false;
    last = facts.last;
    length += facts.count;
    bytes += block.capacity;
  }
  CHECK(nodes_.is_empty() || last == last_stored_);
  CHECK(length == length_);
  CHECK(bytes == block_bytes_);
  if (nodes_.is_empty()) {
    CHECK(tail_ == nullptr);
    return;
  }
  CHECK(nodes_.ValueAt(nodes_.Last()) == tail_);
  CHECK(nodes_.IdAt(nodes_.Last()) == tail_id_);
}

// ---- Walking ----

StreamCursor::StreamCursor(const StreamLog& log, StreamId start, StreamId end, bool is_reverse)
    : log_(log), start_(start), end_(end), is_reverse_(is_reverse) {
  if (start > end) return;
  NodeMap::Position at = log.nodes_.Floor(is_reverse ? end : start);
  if (!at && !is_reverse) at = log.nodes_.First();
  EnterNode(at);
}

void StreamCursor::EnterNode(NodeMap::Position at) {
  node_ = at;
  if (!at) return;
  data_ = log_.nodes_.ValueAt(at);
  master_ = log_.nodes_.IdAt(at);
  header_ = StreamNodeHeader::Read(data_);
  at_ = is_reverse_ ? BytesOf(data_) - 1 : header_.entries_at;
  passed_ = 0;
}

bool StreamCursor::Next() { return is_reverse_ ? NextReverse() : NextForward(); }

bool StreamCursor::NextForward() {
  while (node_) {
    if (at_ == 0) at_ = entry_.End(data_);
    while (!IsNodeEnd(data_, at_)) {
      entry_ = StreamEntry::Read(data_, header_, master_, at_);
      if (entry_.id > end_) {
        node_ = {};
        return false;
      }
      if (!entry_.is_deleted) {
        passed_++;
        if (entry_.id >= start_) {
          at_ = 0;  // ForEachField or the next call will know
          return true;
        }
      }
      at_ = entry_.End(data_);
    }
    EnterNode(log_.nodes_.Next(node_));
  }
  return false;
}

bool StreamCursor::NextReverse() {
  while (node_) {
    while (size_t at = PreviousStreamEntry(data_, header_, at_)) {
      at_ = at;
      entry_ = StreamEntry::Read(data_, header_, master_, at);
      if (entry_.id < start_) {
        node_ = {};
        return false;
      }
      if (entry_.is_deleted) continue;
      passed_++;
      if (entry_.id <= end_) return true;
    }
    EnterNode(log_.nodes_.Previous(node_));
  }
  return false;
}

bool StreamCursor::IsRestInRange(NodeMap::Position at) const {
  if (is_reverse_) return log_.nodes_.IdAt(at) >= start_;
  if (end_ == StreamId::Max()) return true;
  const NodeMap::Position next = log_.nodes_.Next(at);
  return next && log_.nodes_.IdAt(next) <= end_;
}

uint64_t StreamCursor::CountByWalking(uint64_t limit) const {
  StreamCursor walk = *this;
  uint64_t count = 1;  // the present entry
  while ((limit == 0 || count < limit) && walk.Next()) count++;
  return count;
}

uint64_t StreamCursor::CountRest(uint64_t limit) const {
  uint64_t count = 0;
  StreamCursor walk = *this;
  while (true) {
    // `walk` stands on an entry; the node says how many living ones it has in all.
    if (!walk.IsRestInRange(walk.node_)) {
      return count + walk.CountByWalking(limit == 0 ? 0 : limit - count);
    }
    count += walk.header_.count - walk.passed_ + 1;
    if (limit != 0 && count >= limit) return limit;
    walk.EnterNode(walk.NodeAfter(walk.node_));
    if (!walk.Next()) return count;
  }
}

}  // namespace sherd::ds
