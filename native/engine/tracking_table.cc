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

bool TrackedKey::HasAmongMany(Tracker tracker) const {
  return std::binary_search(first(), first() + count_, tracker);
}

TrackedKey* TrackedKey::Add(SlabHeap& heap, Tracker tracker) {
  TrackedKey* key = this;
  if (Capacity(count_ + 1) != Capacity(count_)) {
    key = static_cast<TrackedKey*>(heap.Allocate(SizeFor(name_size_, count_ + 1)));
    std::memcpy(static_cast<void*>(key), this, PlaceOfTrackers(name_size_) + count_ * sizeof(Tracker));
    Free(heap);
  }
  Tracker* const begin = key->first();
  Tracker* const end = begin + key->count_;
  Tracker* const place = std::lower_bound(begin, end, tracker);
  std::memmove(place + 1, place, static_cast<size_t>(end - place) * sizeof(Tracker));
  *place = tracker;
  key->count_++;
  return key;
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
  const bool is_counted = table_.size() > 0;
  if (is_counted != is_counted_) *interests_ += is_counted ? 1 : static_cast<uint32_t>(-1);
  is_counted_ = is_counted;
}

bool TrackingTable::Enter(Table::Position at, uint64_t hash, std::string_view name, Tracker tracker) {
  items_++;
  if (at) {
    TrackedKey* key = at.entry();
    TrackedKey* const grown = key->Add(*heap_, tracker);
    if (grown != key) at.Replace(grown);
    counters_->tracking_items.Set(items_);
    return false;
  }
  table_.Insert(hash, TrackedKey::Create(*heap_, name, tracker));
  Count();
  return true;
}

TrackedKey* TrackingTable::TakeAt(Table::Position at) {
  TrackedKey* key = table_.Erase(at);
  items_ -= key->trackers().size();
  Count();
  return key;
}

size_t TrackingTable::Retire() {
  // Fewer are freed faster than set aside.
  constexpr size_t kFew = 64;
  size_t left = 0;
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
    const std::span<const Tracker> trackers = key->trackers();
    CHECK(!trackers.empty());
    for (size_t i = 1; i < trackers.size(); i++) CHECK(trackers[i - 1] < trackers[i]);
    items += trackers.size();
    return true;
  });
  CHECK(items == items_);
  CHECK(counters_->tracking_keys.Get() == table_.size());
  CHECK(counters_->tracking_items.Get() == items_);
  CHECK(is_counted_ == (table_.size() > 0));
}

}  // namespace sherd::engine
