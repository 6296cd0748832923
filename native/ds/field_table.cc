// FieldTable: fields and their timers; see the header.
#include "ds/field_table.h"

#include <algorithm>

namespace sherd::ds {

// ---- Fields ----

void Field::SetLengths(size_t name_length, size_t value_length) {
  if (!is_wide()) {
    name_length8 = static_cast<uint8_t>(name_length);
    value_length8 = static_cast<uint8_t>(value_length);
    return;
  }
  const uint32_t lengths[] = {static_cast<uint32_t>(name_length), static_cast<uint32_t>(value_length)};
  std::memcpy(bytes() + 1, lengths, sizeof lengths);
}

Field* Field::Create(SlabHeap& heap, std::string_view name, std::string_view value, bool is_timed) {
  Field* field =
      static_cast<Field*>(heap.Allocate(SizeFor(name.size(), value.size(), is_timed)));
  field->flags = static_cast<uint8_t>((NeedsWide(name.size(), value.size()) ? kWide : 0) |
                                      (is_timed ? kTimed : 0));
  field->SetLengths(name.size(), value.size());
  char* out = field->bytes() + field->NameOffset();
  if (!name.empty()) std::memcpy(out, name.data(), name.size());
  if (!value.empty()) std::memcpy(out + name.size(), value.data(), value.size());
  return field;
}

bool Field::Overwrite(std::string_view value) {
  const size_t name_length = this->name_length();
  if (NeedsWide(name_length, value.size()) != is_wide()) return false;
  const size_t old_size = AllocationSize();
  const size_t new_size = old_size - value_length() + value.size();
  if (SlabHeap::GoodSize(old_size) != SlabHeap::GoodSize(new_size)) return false;
  SetLengths(name_length, value.size());
  if (!value.empty()) std::memmove(bytes() + NameOffset() + name_length, value.data(), value.size());
  return true;
}

// ---- Timers ----

void FieldTimers::SiftUp(size_t index, Node node) {
  while (index > kRoot) {
    const size_t parent = Parent(index);
    if (At(parent).at_ms <= node.at_ms) break;
    Put(index, At(parent));
    index = parent;
  }
  Put(index, node);
}

void FieldTimers::SiftDown(size_t index, Node node) {
  for (;;) {
    const size_t first = FirstChild(index);
    if (first >= end()) break;
    const size_t last = std::min(first + 4, end());
    size_t least = first;
    for (size_t child = first + 1; child < last; child++) {
      if (At(child).at_ms < At(least).at_ms) least = child;
    }
    if (At(least).at_ms >= node.at_ms) break;
    Put(index, At(least));
    index = least;
  }
  Put(index, node);
}

void FieldTimers::Settle(size_t index, const Node& node) {
  if (index > kRoot && At(Parent(index)).at_ms > node.at_ms) {
    SiftUp(index, node);
  } else {
    SiftDown(index, node);
  }
}

void FieldTimers::Add(SlabHeap& heap, Field* field, int64_t at_ms) {
  CHECK(end() < UINT32_MAX);
  Reserve(heap);
  size_++;
  SiftUp(end() - 1, {at_ms, field});
}

void FieldTimers::Remove(SlabHeap& heap, uint32_t timer) {
  const Node last = At(end() - 1);
  size_--;
  if (timer != end()) Settle(timer, last);
  Trim(heap);
}

void FieldTimers::Change(uint32_t timer, int64_t at_ms) { Settle(timer, {at_ms, At(timer).field}); }

// As deep as the heap: 16 levels at 2^32 timers.
size_t FieldTimers::CountBelow(size_t index, int64_t now_ms) const {
  if (At(index).at_ms >= now_ms) return 0;
  size_t count = 1;
  const size_t first = FirstChild(index);
  for (size_t child = first; child < first + 4 && child < end(); child++) {
    count += CountBelow(child, now_ms);
  }
  return count;
}

// ---- Memory of timers ----

void FieldTimers::ResizeFirstChunk(SlabHeap& heap, size_t nodes) {
  Node* resized = static_cast<Node*>(heap.Allocate(nodes * sizeof(Node)));
  Node* old = chunks_[0];
  if (old != nullptr) {
    std::memcpy(resized, old, std::min<size_t>(nodes, first_capacity_) * sizeof(Node));
    heap.Free(old, first_capacity_ * sizeof(Node));
  }
  chunks_[0] = resized;
  first_capacity_ = static_cast<uint32_t>(nodes);
}

void FieldTimers::GrowDirectory(SlabHeap& heap) {
  const size_t capacity = directory_capacity_ == 0 ? 1 : size_t{directory_capacity_} * 2;
  Node** grown = static_cast<Node**>(heap.Allocate(capacity * sizeof(Node*)));
  if (chunks_ != nullptr) {
    std::memcpy(grown, chunks_, chunk_count_ * sizeof(Node*));
    heap.Free(chunks_, directory_capacity_ * sizeof(Node*));
  }
  chunks_ = grown;
  directory_capacity_ = static_cast<uint32_t>(capacity);
}

/// Makes room for one more.
void FieldTimers::Reserve(SlabHeap& heap) {
  const size_t chunk = end() >> kChunkShift;
  if (chunk < chunk_count_ && (chunk > 0 || end() < first_capacity_)) return;
  if (chunk == 0 && chunk_count_ == 1) return ResizeFirstChunk(heap, size_t{first_capacity_} * 2);
  if (chunk == directory_capacity_) GrowDirectory(heap);
  chunk_count_++;
  if (chunk == 0) {
    chunks_[0] = nullptr;
    return ResizeFirstChunk(heap, kFirstNodes);
  }
  chunks_[chunk] = static_cast<Node*>(heap.Allocate(kChunkNodes * sizeof(Node)));
}

void FieldTimers::FreeLastChunk(SlabHeap& heap) {
  chunk_count_--;
  heap.Free(chunks_[chunk_count_], ChunkCapacity(chunk_count_) * sizeof(Node));
}

/// Gives back what is far from being needed: half a chunk of slack, so that a size that swings about a
/// border does not allocate each time.
void FieldTimers::Trim(SlabHeap& heap) {
  if (size_ == 0) {
    while (!FreeSlice(heap, kChunkNodes)) {
    }
    return;
  }
  if (chunk_count_ > 1) {
    if (end() + kChunkNodes / 2 <= (size_t{chunk_count_} - 1) << kChunkShift) FreeLastChunk(heap);
  } else if (first_capacity_ > kFirstNodes && end() * 4 <= first_capacity_) {
    ResizeFirstChunk(heap, first_capacity_ / 2);
  }
}

bool FieldTimers::FreeSlice(SlabHeap& heap, size_t max_nodes) {
  size_ = 0;
  for (size_t freed = 0; chunk_count_ > 0; freed += kChunkNodes) {
    if (freed >= max_nodes) return false;
    FreeLastChunk(heap);
  }
  if (chunks_ != nullptr) heap.Free(chunks_, directory_capacity_ * sizeof(Node*));
  chunks_ = nullptr;
  directory_capacity_ = 0;
  first_capacity_ = 0;
  return true;
}

size_t FieldTimers::memory() const {
  if (chunks_ == nullptr) return 0;
  return SlabHeap::GoodSize(directory_capacity_ * sizeof(Node*)) +
         SlabHeap::GoodSize(first_capacity_ * sizeof(Node)) +
         (chunk_count_ - 1) * SlabHeap::GoodSize(kChunkNodes * sizeof(Node));
}

void FieldTimers::Validate() const {
  CHECK((size_ == 0) == (chunks_ == nullptr));
  for (size_t index = kRoot; index < end(); index++) {
    const Node& node = At(index);
    CHECK(node.field->is_timed());
    CHECK(node.field->timer() == index);
    if (index > kRoot) CHECK(At(Parent(index)).at_ms <= node.at_ms);
  }
}

}  // namespace sherd::ds
