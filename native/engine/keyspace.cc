// Keyspace: see the header. The one idea to keep in mind while reading: an entry's allocation size is a
// function of its header, so every change of shape (value length, expiry, key) either stays within the
// same heap class, and happens in place, or builds a new entry and puts it in the old one's slot.
#include "engine/keyspace.h"

#include <cmath>

#include "base/siphash.h"
#include "engine/value_ops.h"

namespace sherd::engine {

namespace {

SipKey g_hash_key;  // written once before any table exists

Encoding EncodingFor(std::string_view value, StringForm form, int64_t* integer) {
  // 20 digits are the longest int64; longer texts cannot be one.
  if (form == StringForm::kAuto && value.size() <= 20 && ParseInt64(value, integer)) {
    return Encoding::kInt;
  }
  if (form == StringForm::kRaw) return Encoding::kRaw;
  return value.size() <= Entry::kEmbStrMax ? Encoding::kEmbStr : Encoding::kRaw;
}

bool OwnsBlock(const Entry& entry) {
  return entry.type() == Type::kString && !entry.is_inline() && entry.encoding() != Encoding::kInt;
}

bool IsCollection(const Entry& entry) { return entry.type() != Type::kString; }

// Freeing this many bytes takes long enough to be done apart from the command.
constexpr size_t kLazyFreeMinBytes = 1024 * 1024;
// The same for this many allocations (as Redis's LAZYFREE_THRESHOLD).
constexpr size_t kLazyFreeMinEffort = 64;

}  // namespace

void SeedKeyHash(const uint8_t seed[16]) { std::memcpy(&g_hash_key, seed, sizeof g_hash_key); }
uint64_t HashKey(std::string_view key) { return SipHash(key, g_hash_key); }

Keyspace::Keyspace(ShardId id, int databases, ShardCounters* counters,
                   DatabaseCounters* database_counters, const std::atomic<uint32_t>* initial_clock)
    : id_(id),
      initial_clock_(initial_clock),
      tracking_(&heap_, &interest_keys_, counters),
      counters_(counters),
      database_counters_(database_counters) {
  for (int i = 0; i < databases; i++) {
    interests_.emplace_back(&interest_keys_);
    databases_.push_back(new Database(&heap_));
    databases_.back()->counters = &database_counters_[i];
  }
}

Keyspace::~Keyspace() {
  CHECK(snapshot_ == nullptr);
  for (int i = 0; i < database_count(); i++) Flush(i, false);
  ForgetTrackedKeys();
  while (FreeDeferred(1 << 20)) {
  }
  for (Database* database : databases_) delete database;
}

// ---- Entries ----

Entry* Keyspace::AllocateEntry(std::string_view key, bool has_expiry, bool is_inline,
                               size_t value_length) {
  const size_t size = Entry::SizeFor(key.size(), has_expiry, is_inline, value_length);
  Entry* entry = static_cast<Entry*>(heap_.Allocate(size));
  entry->Initialize(key, has_expiry, is_inline, value_length);
  entry->epoch = epoch_;
  entry->set_clock24(initial_clock_->load(std::memory_order_relaxed));
  return entry;
}

void Keyspace::FreeValue(Entry* entry) {
  if (IsCollection(*entry)) {
    uint64_t payload = entry->payload();
    while (!OpsOf(entry->type()).free_slice(heap_, entry->encoding(), &payload, ~size_t{0})) {
    }
    return;
  }
  if (!OwnsBlock(*entry)) return;
  LargeString* block = entry->large();
  heap_.AccountExternal(-static_cast<int64_t>(LargeGoodSize(LargeString::AllocationSize(block->capacity))));
  block->Unref();
}

void Keyspace::FreeEntry(Entry* entry) {
  FreeValue(entry);
  heap_.Free(entry, entry->AllocationSize());
}

void Keyspace::RetireEntry(Entry* entry, bool lazy) {
  bool is_big = false;
  if (IsCollection(*entry)) {
    is_big = OpsOf(entry->type()).free_effort(entry->encoding(), entry->payload()) > kLazyFreeMinEffort;
  } else {
    is_big = lazy && OwnsBlock(*entry) && entry->large()->capacity >= kLazyFreeMinBytes;
  }
  if (!is_big) return FreeEntry(entry);
  deferred_values_.push_back(entry);
  deferred_objects_++;
  counters_->lazyfree_pending_objects.Set(deferred_objects_);
}

void Keyspace::Discard(int db_index, Entry* entry, bool lazy) {
  if (__builtin_expect(IsUnsaved(*entry), 0) && snapshot_->Retire(id_, db(db_index).db_at_instant, entry)) return;
  RetireEntry(entry, lazy);
}

void Keyspace::CountFieldExpiry(int db_index, bool before, bool after) {
  if (before == after) return;
  db(db_index).field_expires += after ? 1 : static_cast<size_t>(-1);
  PublishExpires(db(db_index));
}

void Keyspace::CountExpiry(int db_index, bool before, bool after) {
  if (before == after) return;
  Database& database = db(db_index);
  database.expires += after ? 1 : static_cast<size_t>(-1);
  PublishExpires(database);
}

void Keyspace::PublishExpires(Database& database) {
  database.counters->expires.Set(database.expires);
  database.counters->field_expires.Set(database.field_expires);
}

void Keyspace::UpdateCounters(Database& database) {
  database.counters->keys.Set(database.table.size());
  counters_->used_memory.Set(heap_.used_bytes());
}

Handle Keyspace::Place(int db_index, const Key& key, Handle existing, Entry* entry) {
  Database& database = db(db_index);
  if (!existing) {
    existing = database.table.Insert(key.hash, entry);
    CountExpiry(db_index, false, entry->has_expiry());
  } else {
    Entry* old = existing.entry();
    CountExpiry(db_index, old->has_expiry(), entry->has_expiry());
    CountFieldExpiry(db_index, old->has_field_expiry(), false);
    entry->set_clock24(old->clock24());
    existing.Replace(entry);
    Discard(db_index, old, false);
  }
  existing.SetMark(entry->may_expire());
  UpdateCounters(database);
  return existing;
}

// ---- Strings ----

bool Keyspace::OverwriteInline(int db_index, Entry* entry, std::string_view value, Encoding encoding,
                               int64_t expiry_ms) {
  if (!entry->is_inline() || entry->has_expiry() != (expiry_ms != kNoExpiry)) return false;
  const size_t key_length = entry->key_length();
  const bool was_wide = (entry->flags & Entry::kWide) != 0;
  if (Entry::NeedsWide(key_length, value.size(), true) != was_wide) return false;
  const size_t old_size = entry->AllocationSize();
  const size_t new_size = old_size - entry->value_length() + value.size();
  if (SlabHeap::GoodSize(old_size) != SlabHeap::GoodSize(new_size)) return false;
  Preserve(db_index, entry);
  entry->SetInlineLength(value.size());
  std::memmove(entry->inline_value(), value.data(), value.size());
  entry->SetType(Type::kString, encoding);
  if (expiry_ms != kNoExpiry) entry->set_expiry_ms(expiry_ms);
  return true;
}

Handle Keyspace::SetString(int db_index, const Key& key, Handle existing, std::string_view value,
                           StringForm form, int64_t expiry_ms) {
  int64_t integer = 0;
  const Encoding encoding = EncodingFor(value, form, &integer);
  if (encoding == Encoding::kInt) return SetInteger(db_index, key, existing, integer, expiry_ms);
  if (value.size() > Entry::kInlineMax) {
    LargeString* block = LargeString::Create(value.size());
    block->size = value.size();
    std::memcpy(block->data(), value.data(), value.size());
    return SetLarge(db_index, key, existing, block, expiry_ms);
  }
  if (existing && OverwriteInline(db_index, existing.entry(), value, encoding, expiry_ms)) return existing;
  Entry* entry = AllocateEntry(key.name, expiry_ms != kNoExpiry, true, value.size());
  entry->SetType(Type::kString, encoding);
  std::memcpy(entry->inline_value(), value.data(), value.size());
  if (expiry_ms != kNoExpiry) entry->set_expiry_ms(expiry_ms);
  return Place(db_index, key, existing, entry);
}

Handle Keyspace::SetInteger(int db_index, const Key& key, Handle existing, int64_t value,
                            int64_t expiry_ms) {
  if (existing) {
    Entry* entry = existing.entry();
    if (entry->type() == Type::kString && entry->encoding() == Encoding::kInt &&
        entry->has_expiry() == (expiry_ms != kNoExpiry)) {
      Preserve(db_index, entry);
      entry->set_payload(static_cast<uint64_t>(value));
      if (expiry_ms != kNoExpiry) entry->set_expiry_ms(expiry_ms);
      return existing;
    }
  }
  Entry* entry = AllocateEntry(key.name, expiry_ms != kNoExpiry, false, 0);
  entry->SetType(Type::kString, Encoding::kInt);
  if (expiry_ms != kNoExpiry) entry->set_expiry_ms(expiry_ms);
  entry->set_payload(static_cast<uint64_t>(value));
  return Place(db_index, key, existing, entry);
}

Handle Keyspace::SetLarge(int db_index, const Key& key, Handle existing, LargeString* block,
                          int64_t expiry_ms) {
  heap_.AccountExternal(static_cast<int64_t>(LargeGoodSize(LargeString::AllocationSize(block->capacity))));
  Entry* entry = AllocateEntry(key.name, expiry_ms != kNoExpiry, false, 0);
  entry->SetType(Type::kString, Encoding::kRaw);
  if (expiry_ms != kNoExpiry) entry->set_expiry_ms(expiry_ms);
  entry->set_payload(reinterpret_cast<uint64_t>(block));
  return Place(db_index, key, existing, entry);
}

char* Keyspace::MutableString(int db_index, const Key& key, Handle& handle, size_t size) {
  CHECK(handle && handle.entry()->type() == Type::kString);
  Entry* entry = handle.entry();
  IntegerText text;
  const std::string_view old = StringBytes(*entry, &text);
  const size_t kept = old.size() < size ? old.size() : size;
  const int64_t expiry_ms = entry->expiry_ms();

  if (OwnsBlock(*entry) && !entry->large()->IsShared() && entry->large()->capacity >= size) {
    Preserve(db_index, entry);
    LargeString* block = entry->large();
    if (size > block->size) std::memset(block->data() + block->size, 0, size - block->size);
    block->size = size;
    entry->SetType(Type::kString, Encoding::kRaw);
    return block->data();
  }
  if (entry->is_inline() && size <= Entry::kInlineMax &&
      Entry::NeedsWide(key.name.size(), size, true) == ((entry->flags & Entry::kWide) != 0) &&
      SlabHeap::GoodSize(entry->AllocationSize()) ==
          SlabHeap::GoodSize(entry->AllocationSize() - old.size() + size)) {
    Preserve(db_index, entry);
    if (size > kept) std::memset(entry->inline_value() + kept, 0, size - kept);
    entry->SetInlineLength(size);
    entry->SetType(Type::kString, Encoding::kRaw);
    return entry->inline_value();
  }
  Preserve(db_index, entry);  // its bytes are read on: the snapshot shall not take them away
  if (size <= Entry::kInlineMax) {
    Entry* grown = AllocateEntry(key.name, expiry_ms != kNoExpiry, true, size);
    grown->SetType(Type::kString, Encoding::kRaw);
    if (expiry_ms != kNoExpiry) grown->set_expiry_ms(expiry_ms);
    std::memcpy(grown->inline_value(), old.data(), kept);
    std::memset(grown->inline_value() + kept, 0, size - kept);
    handle = Place(db_index, key, handle, grown);
    return grown->inline_value();
  }
  // Growth doubles up to a megabyte, then adds one: appends cost O(1) each, as in Redis.
  constexpr size_t kPreallocateMax = 1024 * 1024;
  const size_t capacity = size > old.size() && !old.empty() ? size + (size < kPreallocateMax ? size : kPreallocateMax)
                                                            : size;
  LargeString* block = LargeString::Create(capacity);
  block->size = size;
  std::memcpy(block->data(), old.data(), kept);
  std::memset(block->data() + kept, 0, size - kept);
  handle = SetLarge(db_index, key, handle, block, expiry_ms);
  return block->data();
}

// ---- Collections ----

Handle Keyspace::SetValue(int db_index, const Key& key, Handle existing, Type type, Encoding encoding,
                          uint64_t payload, int64_t expiry_ms) {
  Entry* entry = AllocateEntry(key.name, expiry_ms != kNoExpiry, false, 0);
  entry->SetType(type, encoding);
  if (expiry_ms != kNoExpiry) entry->set_expiry_ms(expiry_ms);
  entry->set_payload(payload);
  return Place(db_index, key, existing, entry);
}

void Keyspace::SetFieldExpiry(int db_index, Handle handle, bool has_field_expiry) {
  Entry* entry = handle.entry();
  CountFieldExpiry(db_index, entry->has_field_expiry(), has_field_expiry);
  entry->flags = static_cast<uint8_t>((entry->flags & ~Entry::kHasFieldExpiry) |
                                      (has_field_expiry ? Entry::kHasFieldExpiry : 0));
  handle.SetMark(entry->may_expire());
}

// ---- Any type ----

void Keyspace::Erase(int db_index, Handle handle, bool lazy) {
  Database& database = db(db_index);
  Entry* entry = database.table.Erase(handle);
  CountExpiry(db_index, entry->has_expiry(), false);
  CountFieldExpiry(db_index, entry->has_field_expiry(), false);
  Discard(db_index, entry, lazy);
  UpdateCounters(database);
}

void Keyspace::EraseShell(int db_index, Handle handle) {
  Database& database = db(db_index);
  Entry* entry = database.table.Erase(handle);
  CountExpiry(db_index, entry->has_expiry(), false);
  CountFieldExpiry(db_index, entry->has_field_expiry(), false);
  heap_.Free(entry, entry->AllocationSize());
  UpdateCounters(database);
}

void Keyspace::SetExpiry(int db_index, Handle& handle, int64_t expiry_ms) {
  Entry* entry = handle.entry();
  const bool has_expiry = expiry_ms != kNoExpiry;
  Preserve(db_index, entry);
  if (entry->has_expiry() == has_expiry) {
    if (has_expiry) entry->set_expiry_ms(expiry_ms);
    return;
  }
  const bool is_inline = entry->is_inline();
  Entry* moved = AllocateEntry(entry->key(), has_expiry, is_inline, entry->value_length());
  moved->type_encoding = entry->type_encoding;
  moved->flags |= entry->flags & Entry::kHasFieldExpiry;
  moved->set_clock24(entry->clock24());
  if (has_expiry) moved->set_expiry_ms(expiry_ms);
  if (is_inline) {
    std::memcpy(moved->inline_value(), entry->inline_value(), entry->value_length());
  } else {
    moved->set_payload(entry->payload());
  }
  CountExpiry(db_index, entry->has_expiry(), has_expiry);
  heap_.Free(entry, entry->AllocationSize());  // the value moved along
  handle.Replace(moved);
  handle.SetMark(moved->may_expire());
  UpdateCounters(db(db_index));
}

Handle Keyspace::InsertCopy(int db_index, const Key& key, const Entry& source, int64_t expiry_ms) {
  if (IsCollection(source)) {
    const uint64_t payload = OpsOf(source.type()).clone(heap_, source.encoding(), source.payload());
    const Handle copy =
        SetValue(db_index, key, {}, source.type(), source.encoding(), payload, expiry_ms);
    SetFieldExpiry(db_index, copy, source.has_field_expiry());
    return copy;
  }
  if (OwnsBlock(source)) {
    const std::string_view bytes = source.large()->view();
    LargeString* block = LargeString::Create(bytes.size());
    block->size = bytes.size();
    std::memcpy(block->data(), bytes.data(), bytes.size());
    return SetLarge(db_index, key, {}, block, expiry_ms);
  }
  Entry* entry = AllocateEntry(key.name, expiry_ms != kNoExpiry, source.is_inline(), source.value_length());
  entry->type_encoding = source.type_encoding;
  if (expiry_ms != kNoExpiry) entry->set_expiry_ms(expiry_ms);
  if (source.is_inline()) {
    std::memcpy(entry->inline_value(), source.inline_value(), source.value_length());
  } else {
    entry->set_payload(source.payload());
  }
  return Place(db_index, key, {}, entry);
}

Handle Keyspace::MoveEntry(int db_index, Handle handle, Keyspace& target, int target_db,
                           const Key& target_key) {
  Entry* entry = handle.entry();
  Preserve(db_index, entry);
  const int64_t expiry_ms = entry->expiry_ms();
  const bool stays = &target == this;
  Handle placed;
  if (stays && IsCollection(*entry)) {
    placed = target.SetValue(target_db, target_key, {}, entry->type(), entry->encoding(),
                             entry->payload(), expiry_ms);
    target.SetFieldExpiry(target_db, placed, entry->has_field_expiry());
  } else if (OwnsBlock(*entry)) {
    // The block belongs to no heap: only its accounting moves.
    LargeString* block = entry->large();
    block->Ref();
    placed = target.SetLarge(target_db, target_key, {}, block, expiry_ms);
  } else {
    placed = target.InsertCopy(target_db, target_key, *entry, expiry_ms);
  }
  Entry* moved = placed.entry();
  moved->set_clock24(entry->clock24());
  // The insert may have split the bucket that `handle` points into: look the source up again.
  const std::string name(entry->key());
  Handle source = db(db_index).table.Find(HashKey(name), name);
  if (stays && IsCollection(*entry)) {
    EraseShell(db_index, source);
  } else {
    Erase(db_index, source, false);
  }
  // And the erase may have merged the target's bucket, where both are in one table.
  return target.Find(target_db, target_key);
}

void Keyspace::Flush(int db_index, bool lazy) {
  Database& database = db(db_index);
  if (snapshot_ != nullptr && snapshot_->TakeTable(id_, database)) {
    // It comes back through RetireTable.
  } else if (lazy && database.table.size() > 0) {
    deferred_objects_ += database.table.size();
    deferred_tables_.push_back(std::make_unique<Table>(std::move(database.table)));
    counters_->lazyfree_pending_objects.Set(deferred_objects_);
  } else {
    database.table.Clear([this](Entry* entry) { FreeEntry(entry); });
  }
  database.expires = 0;
  database.field_expires = 0;
  database.expire_bucket = 0;
  database.average_ttl_ms = 0;
  PublishExpires(database);
  UpdateCounters(database);
}

// ---- Snapshots ----

void Keyspace::PreserveOld(int db_index, Entry* entry) {
  if (snapshot_ != nullptr) snapshot_->Save(id_, db(db_index).db_at_instant, entry);
  entry->epoch = epoch_;
}

void Keyspace::BeginSnapshot(SnapshotHook* hook) {
  CHECK(snapshot_ == nullptr);
  snapshot_ = hook;
  epoch_++;
  for (int i = 0; i < database_count(); i++) {
    db(i).db_at_instant = i;
    db(i).table.KeepBuckets(true);
  }
}

void Keyspace::EndSnapshot() {
  snapshot_ = nullptr;
  for (Database* database : databases_) database->table.KeepBuckets(false);
}

void Keyspace::RetireTable(std::unique_ptr<Table> table) {
  deferred_objects_ += table->size();
  if (table->size() > 0) {
    deferred_tables_.push_back(std::move(table));
    counters_->lazyfree_pending_objects.Set(deferred_objects_);
  } else {
    table->Clear([](Entry*) {});
  }
}

void Keyspace::ForgetTrackedKeys() {
  deferred_objects_ += tracking_.Retire();
  counters_->lazyfree_pending_objects.Set(deferred_objects_);
  PublishMemory();
}

void Keyspace::SwapDatabases(int a, int b) {
  if (a == b) return;
  std::swap(databases_[static_cast<size_t>(a)], databases_[static_cast<size_t>(b)]);
  for (int index : {a, b}) {
    Database& database = db(index);
    database.counters = &database_counters_[index];
    PublishExpires(database);
    UpdateCounters(database);
  }
}

size_t Keyspace::FreeSlice(Entry* entry, size_t max_elements) {
  if (!IsCollection(*entry)) {
    FreeEntry(entry);
    return 1;
  }
  uint64_t payload = entry->payload();
  const size_t before = OpsOf(entry->type()).free_effort(entry->encoding(), payload);
  if (!OpsOf(entry->type()).free_slice(heap_, entry->encoding(), &payload, max_elements)) {
    entry->set_payload(payload);
    return 0;
  }
  heap_.Free(entry, entry->AllocationSize());
  return before < max_elements ? before + 1 : max_elements;
}

bool Keyspace::FreeDeferred(size_t max_objects) {
  size_t work = 0;
  while (work < max_objects && !deferred_values_.empty()) {
    const size_t done = FreeSlice(deferred_values_.front(), max_objects - work);
    work += done == 0 ? max_objects : done;
    if (done == 0) break;
    deferred_values_.pop_front();
    deferred_objects_--;
  }
  while (work < max_objects && !deferred_tables_.empty()) {
    const bool more = deferred_tables_.front()->DismantleBucket([&](Entry* entry) {
      work++;
      // A big value within a flushed database waits its turn as an object of its own.
      deferred_objects_--;
      RetireEntry(entry, true);
    });
    if (!more) deferred_tables_.pop_front();
  }
  while (work < max_objects && tracking_.has_retired()) {
    const size_t freed = tracking_.FreeRetired(max_objects - work);
    work += freed;
    deferred_objects_ -= freed;
  }
  counters_->lazyfree_pending_objects.Set(deferred_objects_);
  counters_->used_memory.Set(heap_.used_bytes());
  return has_deferred_frees();
}

size_t Keyspace::MemoryUsage(const Entry& entry, size_t samples) const {
  constexpr size_t kSlotBytes = 14;  // a table's memory per entry at its usual load, rounded
  size_t bytes = SlabHeap::GoodSize(entry.AllocationSize()) + kSlotBytes;
  if (IsCollection(entry)) return bytes + OpsOf(entry.type()).memory(entry.encoding(), entry.payload(), samples);
  if (OwnsBlock(entry)) bytes += LargeGoodSize(LargeString::AllocationSize(entry.large()->capacity));
  return bytes;
}

// ---- Clocks ----

// LFU as Redis documents it: a logarithmic 8-bit counter, incremented with probability
// 1 / ((counter - 5) * factor + 1), that loses one for each decay period without access.
uint8_t Keyspace::LfuFrequency(const Entry& entry, const AccessClock& clock) {
  const uint32_t value = entry.clock24();
  const uint32_t counter = value & 0xff;
  if (clock.lfu_decay_minutes == 0) return static_cast<uint8_t>(counter);
  const uint32_t elapsed = (clock.lfu_minutes - (value >> 8)) & 0xffff;
  const uint32_t periods = elapsed / static_cast<uint32_t>(clock.lfu_decay_minutes);
  return static_cast<uint8_t>(periods > counter ? 0 : counter - periods);
}

void Keyspace::Touch(Entry* entry, const AccessClock& clock, uint32_t random) {
  if (!clock.is_lfu) {
    // Written only when it changes, so that reads of hot keys do not dirty their cache line.
    if (entry->clock24() != clock.lru_seconds) entry->set_clock24(clock.lru_seconds);
    return;
  }
  constexpr uint32_t kLfuInitial = 5;
  uint32_t counter = LfuFrequency(*entry, clock);
  if (counter < 255) {
    const double base = counter > kLfuInitial ? counter - kLfuInitial : 0;
    const double chance = 1.0 / (base * clock.lfu_log_factor + 1);
    if (random < chance * 4294967296.0) counter++;
  }
  entry->set_clock24(clock.lfu_minutes << 8 | counter);
}

void Keyspace::Validate() {
  tracking_.Validate();
  for (int i = 0; i < database_count(); i++) {
    Database& database = db(i);
    database.table.Validate();
    size_t expires = 0;
    size_t field_expires = 0;
    database.table.VisitBuckets(0, database.table.bucket_count(), [&](Handle handle) {
      const Entry& entry = *handle.entry();
      CHECK(handle.mark() == entry.may_expire());
      CHECK(entry.has_field_expiry() == (NextFieldExpiry(entry) != kNoExpiry));
      expires += entry.has_expiry() ? 1 : 0;
      field_expires += entry.has_field_expiry() ? 1 : 0;
      if (IsCollection(entry)) OpsOf(entry.type()).validate(entry.encoding(), entry.payload());
    });
    CHECK(expires == database.expires);
    CHECK(field_expires == database.field_expires);
  }
}

// ---- String bytes ----

std::string_view StringBytes(const Entry& entry, IntegerText* text) {
  if (entry.is_inline()) return {entry.inline_value(), entry.value_length()};
  if (entry.encoding() == Encoding::kInt) {
    return {text->bytes, FormatInt64(static_cast<int64_t>(entry.payload()), text->bytes)};
  }
  return entry.large()->view();
}

size_t StringLength(const Entry& entry) {
  IntegerText text;
  return StringBytes(entry, &text).size();
}

}  // namespace sherd::engine
