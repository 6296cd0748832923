// RdbBuilders: see the header.
#include "persistence/rdb_builders.h"

#include <algorithm>
#include <utility>

#include "engine/command_context.h"

namespace sherd::persistence {

using engine::Handle;
using engine::Key;
using engine::Keyspace;

namespace {

// Records whose buckets are fetched together before their entries are made.
constexpr size_t kWindow = 16;
// Beyond these, the scanner waits for the builders. The first is a bound of memory, the second one of how far
// it runs ahead.
constexpr size_t kBytesInFlightMax = 8 * 1024 * 1024;
constexpr size_t kBatchesPerLane = 4;
// Larger buffers are not kept for the next batch.
constexpr size_t kKeptMax = 4 * RdbBuilders::kBatchBytes;

/// The elements of one pack, when it is whole and has none.
bool IsEmptyPack(RdbType type, std::string_view bytes) {
  switch (type) {
    case RdbType::kHashZipmap: return bytes.size() == 2 && bytes == std::string_view("\0\xff", 2);
    case RdbType::kListZiplist:
    case RdbType::kSortedSetZiplist:
    case RdbType::kHashZiplist:
    case RdbType::kListQuicklist:
      return bytes == std::string_view("\x0b\0\0\0\x0a\0\0\0\0\0\xff", 11);
    default: return bytes == std::string_view("\x07\0\0\0\0\0\xff", 7);
  }
}

/// Whether a value that ReadValue has refused is a collection without elements, which Redis passes over. All
/// of `bytes` must belong to it.
bool IsEmptyCollection(RdbType type, std::string_view bytes) {
  RdbReader reader(bytes);
  RdbString pack;
  switch (type) {
    case RdbType::kString:
    case RdbType::kSetIntset:  // one without elements is malformed
    case RdbType::kStreamListpacks:
    case RdbType::kStreamListpacks2:
    case RdbType::kStreamListpacks3:
    case RdbType::kModule:
    case RdbType::kModule2: return false;
    case RdbType::kList:
    case RdbType::kSet:
    case RdbType::kSortedSet:
    case RdbType::kSortedSet2:
    case RdbType::kHash:
    case RdbType::kHashMetadataPreRelease: return reader.Length() == 0 && reader.ok() && reader.AtEnd();
    case RdbType::kHashMetadata:
      reader.Little64();
      return reader.Length() == 0 && reader.ok() && reader.AtEnd();
    case RdbType::kListQuicklist:
    case RdbType::kListQuicklist2: {
      const uint64_t count = reader.Length();
      for (uint64_t i = 0; i < count; i++) {
        if (type == RdbType::kListQuicklist2 && reader.Length() != kNodePacked) return false;
        if (!reader.String(&pack) || !IsEmptyPack(type, pack.view)) return false;
      }
      return reader.ok() && reader.AtEnd();
    }
    case RdbType::kHashListpackEx: reader.Little64(); break;
    default: break;
  }
  return reader.String(&pack) && reader.AtEnd() && IsEmptyPack(type, pack.view);
}

/// A key as it may stand in a log.
std::string Printable(std::string_view key) {
  constexpr size_t kShownMax = 64;
  std::string text;
  for (const char c : key.substr(0, kShownMax)) text += c >= 0x20 && c < 0x7f ? c : '?';
  return key.size() > kShownMax ? text + "..." : text;
}

}  // namespace

RdbBuilders::RdbBuilders(engine::Engine* engine, const RdbLoadOptions& options, LoadProgress* progress)
    : engine_(engine),
      is_inline_(options.threads == 0),
      replaces_keys_(options.replaces_keys),
      clock_(engine::MakeAccessClock(engine->options(), options.now_ms)),
      progress_(progress) {
  const size_t lanes = is_inline_ ? 1 : static_cast<size_t>(options.threads);
  for (size_t i = 0; i < lanes; i++) lanes_.push_back(std::make_unique<Lane>());
  if (is_inline_) return;
  for (size_t i = 0; i < lanes; i++) lanes_[i]->thread = std::thread([this, i] { Run(i); });
}

// ---- Batches ----

std::unique_ptr<RdbBatch> RdbBuilders::Take(size_t capacity) {
  std::unique_ptr<RdbBatch> batch;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    has_room_.wait(lock, [&] {
      return batches_out_ == 0 ||
             (bytes_in_flight_ < kBytesInFlightMax && batches_out_ < kBatchesPerLane * lanes_.size());
    });
    if (!free_.empty()) {
      batch = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (batch == nullptr) {
    batch = std::make_unique<RdbBatch>();
    batch->records.resize(lanes_.size());
  }
  if (batch->capacity < capacity) Enlarge(batch.get(), capacity);
  return batch;
}

void RdbBuilders::Enlarge(RdbBatch* batch, size_t capacity) {
  // Not zeroed: pages of a claimed size are touched only as they are read into.
  std::unique_ptr<char[]> bytes(new char[capacity]);
  if (batch->filled != 0) std::memcpy(bytes.get(), batch->bytes.get(), batch->filled);
  batch->bytes = std::move(bytes);
  batch->capacity = capacity;
}

void RdbBuilders::Send(std::unique_ptr<RdbBatch> batch) {
  RdbBatch* sent = batch.release();
  if (is_inline_) {
    Build(lanes_[0].get(), sent->records[0]);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      batches_out_++;
      bytes_in_flight_ += sent->capacity;
    }
    return Recycle(sent);
  }
  sent->users.store(static_cast<int>(lanes_.size()), std::memory_order_relaxed);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    batches_out_++;
    bytes_in_flight_ += sent->capacity;
    for (const auto& lane : lanes_) lane->queue.push_back(sent);
  }
  has_work_.notify_all();
}

void RdbBuilders::Recycle(RdbBatch* sent) {
  std::unique_ptr<RdbBatch> batch(sent);
  const size_t capacity = batch->capacity;
  batch->filled = 0;
  batch->scanned = 0;
  batch->keys.clear();
  for (auto& records : batch->records) records.clear();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    batches_out_--;
    bytes_in_flight_ -= capacity;
    if (capacity <= kKeptMax) free_.push_back(std::move(batch));
  }
  has_room_.notify_one();
}

void RdbBuilders::Finish() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_closing_ = true;
  }
  has_work_.notify_all();
  for (const auto& lane : lanes_) {
    if (lane->thread.joinable()) lane->thread.join();
  }
}

uint64_t RdbBuilders::keys() const {
  uint64_t keys = 0;
  for (const auto& lane : lanes_) keys += lane->keys;
  return keys;
}

uint64_t RdbBuilders::empty_keys() const {
  uint64_t keys = 0;
  for (const auto& lane : lanes_) keys += lane->empty_keys;
  return keys;
}

// ---- Building ----

void RdbBuilders::Run(size_t index) {
  Lane* lane = lanes_[index].get();
  for (;;) {
    RdbBatch* batch;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      has_work_.wait(lock, [&] { return is_closing_ || !lane->queue.empty(); });
      if (lane->queue.empty()) return;
      batch = lane->queue.front();
      lane->queue.pop_front();
    }
    // After a failure batches only go back, so that the scanner is not kept waiting.
    if (!has_failed()) Build(lane, batch->records[index]);
    // acq_rel: whoever is last sees that the others are done with the batch.
    if (batch->users.fetch_sub(1, std::memory_order_acq_rel) == 1) Recycle(batch);
  }
}

void RdbBuilders::Build(Lane* lane, const std::vector<RdbRecord>& records) {
  Key keys[kWindow];
  const uint64_t keys_before = lane->keys;
  for (size_t start = 0; start < records.size(); start += kWindow) {
    const size_t count = std::min(kWindow, records.size() - start);
    for (size_t i = 0; i < count; i++) {
      const RdbRecord& record = records[start + i];
      keys[i] = {record.key, engine::HashKey(record.key), record.slot, engine_->ShardOfSlot(record.slot)};
      engine_->keyspace(keys[i].shard).db(record.db).table.PrefetchBucket(keys[i].hash);
    }
    for (size_t i = 0; i < count; i++) {
      if (!BuildOne(lane, records[start + i], keys[i])) return;
    }
  }
  if (progress_ != nullptr) {
    progress_->loaded_keys.fetch_add(lane->keys - keys_before, std::memory_order_relaxed);
  }
}

bool RdbBuilders::BuildOne(Lane* lane, const RdbRecord& record, const Key& key) {
  Keyspace& space = engine_->keyspace(key.shard);
  const Handle existing = space.Find(record.db, key);
  if (existing && !replaces_keys_) {
    return Fail(record, "RDB has duplicated key '" + Printable(key.name) + "' in DB " + std::to_string(record.db));
  }
  RdbReader reader(record.value);
  const auto type = static_cast<RdbType>(record.type);
  if (!ReadValue(&reader, type, space.heap(), engine_->options(), &lane->value)) {
    if (IsEmptyCollection(type, record.value)) {
      lane->empty_keys++;
      return true;
    }
    return Fail(record, "malformed value of type " + std::to_string(record.type) + ", key '" +
                            Printable(key.name) + "'");
  }
  if (!reader.AtEnd()) {
    DiscardValue(space.heap(), &lane->value);
    return Fail(record, "value of another size than its parts, key '" + Printable(key.name) + "'");
  }
  if (existing) space.Erase(record.db, existing, false);
  const Handle handle = AdoptValue(space, record.db, key, &lane->value, record.expiry_ms);
  lane->value.has_field_expiry = false;
  if (record.idle_sec >= 0 || record.frequency >= 0) SetAccess(record, handle.entry());
  lane->keys++;
  return true;
}

void RdbBuilders::SetAccess(const RdbRecord& record, engine::Entry* entry) const {
  if (clock_.is_lfu) {
    if (record.frequency >= 0) {
      entry->set_clock24(clock_.lfu_minutes << 8 | static_cast<uint32_t>(record.frequency));
    }
    return;
  }
  if (record.idle_sec < 0) return;
  constexpr int64_t kClockMax = 0xffffff;
  int64_t seconds = static_cast<int64_t>(clock_.lru_seconds) - std::min(record.idle_sec, 2 * kClockMax);
  // Idle for longer than the clock can say: for half its range, as Redis has it.
  if (seconds < 0) seconds = (clock_.lru_seconds + kClockMax / 2) % kClockMax;
  entry->set_clock24(static_cast<uint32_t>(seconds));
}

bool RdbBuilders::Fail(const RdbRecord& record, std::string reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!has_failed() || record.offset < fault_offset_) {
    fault_ = std::move(reason);
    fault_offset_ = record.offset;
  }
  has_failed_.store(true, std::memory_order_relaxed);
  return false;
}

}  // namespace sherd::persistence
