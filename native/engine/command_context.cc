// CommandContext: what lookups, writes and effects mean for the clients.
#include "engine/command_context.h"

#include "base/strings.h"
#include "engine/field_expiry.h"

namespace sherd::engine {

namespace {

// A cheap per-thread random number for LFU; quality does not matter there.
uint32_t NextRandom() {
  thread_local uint32_t state = 0x9e3779b9;
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

// Values above this are referenced by output queues instead of being copied: about where a memcpy
// costs more than the reference's two atomic operations and an iovec.
constexpr size_t kShareMin = 16 * 1024;

}  // namespace

void ExpireKey(Engine& engine, WorkerCounters* counters, int db, const Key& key, Handle handle) {
  engine.keyspace(key.shard).Erase(db, handle, static_cast<bool>(engine.options().lazyfree_lazy_expire));
  if (counters != nullptr) counters->expired_keys.Increment();
  if (PropagationSink* sink = engine.propagation_sink.load(std::memory_order_relaxed)) {
    const std::string_view effect[] = {engine.options().lazyfree_lazy_expire ? "UNLINK" : "DEL", key.name};
    sink->OnEffect(db, effect);
  }
  if (EventSink* sink = engine.event_sink.load(std::memory_order_relaxed)) {
    sink->OnKeyEvent(kEventExpired, "expired", db, key.name);
  }
}

Handle CommandContext::ExpireDue(int db_index, const Key& key, Handle handle) {
  Keyspace& space = keyspace(key);
  const Entry& entry = *handle.entry();
  if (space.IsExpired(entry, now_ms)) {
    ExpireKey(engine, counters, db_index, key, handle);
    SignalModifiedIn(db_index, key);
    return {};
  }
  if (!entry.has_field_expiry() || NextFieldExpiry(entry) >= now_ms) return handle;
  ExpireHashFields(engine, db_index, key, handle, now_ms);
  SignalModifiedIn(db_index, key);
  return space.Find(db_index, key);
}

Handle CommandContext::LookupIn(int db_index, const Key& key, uint32_t flags) {
  Keyspace& space = keyspace(key);
  Handle handle = space.Find(db_index, key);
  if (handle && handle.mark()) handle = ExpireDue(db_index, key, handle);
  if (!handle) {
    if ((flags & kNoStats) == 0) {
      counters->keyspace_misses.Increment();
      NotifyIn(db_index, kEventKeyMiss, "keymiss", key.name);
    }
    return handle;
  }
  if ((flags & kNoStats) == 0) counters->keyspace_hits.Increment();
  if ((flags & kNoTouch) == 0 && !no_touch) {
    Keyspace::Touch(handle.entry(), clock, clock.is_lfu ? NextRandom() : 0);
  }
  return handle;
}

Handle CommandContext::SetString(const Key& key, Handle existing, std::string_view value,
                                 StringForm form, int64_t expiry_ms) {
  Keyspace& space = keyspace(key);
  LargeString* block = large_argument == nullptr ? nullptr : *large_argument;
  if (__builtin_expect(block != nullptr, 0) && value.data() == block->data() &&
      value.size() > Entry::kInlineMax) {
    *large_argument = nullptr;
    block->size = value.size();
    return space.SetLarge(db, key, existing, block, expiry_ms);
  }
  return space.SetString(db, key, existing, value, form, expiry_ms);
}

void CommandContext::ReplyString(const Entry& entry) {
  IntegerText text;
  ReplyStringBytes(entry, StringBytes(entry, &text));
}

void CommandContext::ReplyStringBytes(const Entry& entry, std::string_view bytes) {
  // Whatever is that long does not fit into an entry, so it lies in a block that can be shared.
  static_assert(kShareMin > Entry::kInlineMax);
  if (bytes.size() >= kShareMin) {
    reply.BulkShared(bytes, entry.large());
  } else {
    reply.Bulk(bytes);
  }
}

// Watching and tracking listen here once they exist; until then there is nobody to tell.
void CommandContext::SignalModifiedIn(int, const Key& key) { keyspace(key).PublishMemory(); }
void CommandContext::SignalFlushed(int) {}

void CommandContext::Propagate(int db_index, std::span<const std::string_view> effect) {
  propagated_ = true;
  if (PropagationSink* sink = engine.propagation_sink.load(std::memory_order_relaxed)) {
    sink->OnEffect(db_index, effect);
  }
}

bool CommandContext::ParseInteger(size_t index, int64_t* value, std::string_view error) {
  if (index < args.size() && ParseInt64(args[index], value)) return true;
  reply.Error(error);
  return false;
}

bool CommandContext::ParseIntegerIn(size_t index, int64_t low, int64_t high, int64_t* value,
                                    std::string_view error) {
  if (index < args.size() && ParseInt64(args[index], value) && *value >= low && *value <= high) return true;
  reply.Error(error);
  return false;
}

bool CommandContext::ArgIs(size_t index, std::string_view word) const {
  return index < args.size() && EqualsIgnoreCase(args[index], word);
}

}  // namespace sherd::engine
