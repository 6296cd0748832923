// TrackingTable: what happens seldom. See the header.
#include "engine/tracking_table.h"

#include <algorithm>

#include "base/check.h"

namespace sherd::engine {

// ---- Keys ----

TrackedKey* TrackedKey::Create(SlabHeap& heap, std::string_view name, Tracker tracker) {
  TrackedKey* key = static_cast<TrackedKey*>(heap.Allocate(SizeFor(name.size(), 1)));
  key->name_size_ = static_cast<uint32_t>(name.size());
  key->count_ = 1;
  std::memcpy(reinterpret_cast<char*>(key) + kHeader, name.data(), name.size());
  *key->first() = tracker;
  return key;
}

Trackers TrackedKey::WordOf(Tracker tracker) const {
  const Trackers* const end = first() + count_;
  const Trackers* const place = std::lower_bound(first(), end, tracker & ~kTrackerBits);
  return place != end && AreNeighbours(*place, tracker) ? *place : 0;
}

TrackedKey* TrackedKey::Add(SlabHeap& heap, Tracker tracker) {
  const size_t index =
      static_cast<size_t>(std::lower_bound(first(), first() + count_, tracker & ~kTrackerBits) - first());
  if (index < count_ && AreNeighbours(first()[index], tracker)) {
    first()[index] |= tracker;
    return this;
  }
  TrackedKey* key = this;
  if (Capacity(count_ + 1) != Capacity(count_)) {
    key = static_cast<TrackedKey*>(heap.Allocate(SizeFor(name_size_, count_ + 1)));
    std::memcpy(static_cast<void*>(key), this, PlaceOfTrackers(name_size_) + count_ * sizeof(Trackers));
    Free(heap);
  }
  Trackers* const place = key->first() + index;
  std::memmove(place + 1, place, (key->count_ - index) * sizeof(Trackers));
  *place = tracker;
  key->count_++;
  return key;
}

// ---- Recent reads ----

void RecentReads::Clear() {
  if (block_ == 0) return;
  heap_->FreeBlock(LinesOf(block_), static_cast<int>((block_ & 0xff) - 1));
  SetBlock(0);
}

void RecentReads::Grow(size_t keys) {
  Clear();
  int order = 0;
  while ((kPlacesPerPage << order) < kPlacesMax && (kPlacesPerPage << order) < keys * kPlacesPerKey * 2) order++;
  SetBlock(reinterpret_cast<uint64_t>(heap_->AllocateBlock(order)) | static_cast<uint64_t>(order + 1));
}

// ---- Table ----

TrackingTable::~TrackingTable() {
  table_.Clear([this](TrackedKey* key) { Release(key); });
  while (has_retired()) FreeRetired(~size_t{0});
}

/// The figures after every change of the number of keys.
void TrackingTable::Count() {
  counters_->tracking_keys.Set(table_.size());
  counters_->tracking_items.Set(items_);
  is_large_.store(!RecentReads::Covers(table_.size()), std::memory_order_relaxed);
  const bool is_counted = table_.size() > 0;
  if (is_counted != is_counted_) *interests_ += is_counted ? 1 : static_cast<uint32_t>(-1);
  is_counted_ = is_counted;
}

bool TrackingTable::RememberInTable(uint64_t hash, std::string_view name, Tracker tracker) {
  const Table::Position at = table_.Find(hash, name);
  if (at && at.entry()->Has(tracker)) {
    recent_.Note(hash, name, at.entry()->WordOf(tracker));
    return false;
  }
  return Enter(at, hash, name, tracker);
}

bool TrackingTable::Enter(Table::Position at, uint64_t hash, std::string_view name, Tracker tracker) {
  items_++;
  if (at) {
    TrackedKey* key = at.entry();
    TrackedKey* const grown = key->Add(*heap_, tracker);
    if (grown != key) at.Replace(grown);
    counters_->tracking_items.Set(items_);
    recent_.Note(hash, name, grown->WordOf(tracker));
    return false;
  }
  table_.Insert(hash, TrackedKey::Create(*heap_, name, tracker));
  Count();
  recent_.FitTo(table_.size());
  recent_.Note(hash, name, tracker);
  return true;
}

TrackedKey* TrackingTable::TakeAt(uint64_t hash, Table::Position at) {
  TrackedKey* key = table_.Erase(at);
  for (const Trackers word : key->trackers()) recent_.Forget(hash, word);
  items_ -= CountTrackers(key->trackers());
  Count();
  return key;
}

size_t TrackingTable::Retire() {
  // Fewer are freed faster than set aside.
  constexpr size_t kFew = 64;
  size_t left = 0;
  recent_.Clear();
  if (table_.size() <= kFew) {
    table_.Clear([this](TrackedKey* key) { Release(key); });
  } else {
    left = table_.size();
    retired_.push_back(std::make_unique<Table>(std::move(table_)));
  }
  items_ = 0;
  Count();
  return left;
}

size_t TrackingTable::FreeRetired(size_t max) {
  size_t freed = 0;
  while (freed < max && !retired_.empty()) {
    const bool has_more = retired_.front()->DismantleBucket([&](TrackedKey* key) {
      freed++;
      Release(key);
    });
    if (!has_more) retired_.pop_front();
  }
  return freed;
}

void TrackingTable::Validate() const {
  table_.Validate();
  size_t items = 0;
  table_.ForEach([&](TrackedKey* key) {
    const std::span<const Trackers> words = key->trackers();
    CHECK(!words.empty());
    for (size_t i = 0; i < words.size(); i++) {
      CHECK((words[i] & kTrackerBits) != 0);
      if (i > 0) CHECK(words[i - 1] < words[i] && !AreNeighbours(words[i - 1], words[i]));
    }
    items += CountTrackers(words);
    return true;
  });
  CHECK(items == items_);
  CHECK(counters_->tracking_keys.Get() == table_.size());
  CHECK(counters_->tracking_items.Get() == items_);
  CHECK(is_counted_ == (table_.size() > 0));
  CHECK(is_large_.load(std::memory_order_relaxed) == !RecentReads::Covers(table_.size()));
  recent_.ForEach([&](std::string_view name, Trackers trackers) {
    const Table::Position at = table_.Find(HashKey(name), name);
    CHECK(at);
    CHECK((trackers & kTrackerBits & ~at.entry()->WordOf(trackers)) == 0);
  });
}

}  // namespace sherd::engine
