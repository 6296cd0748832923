// CommandContext: what lookups, writes and effects mean for the clients.
#include "engine/command_context.h"

#include <climits>
#include <cmath>
#include <utility>

#include "base/clock.h"
#include "base/numbers.h"
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

AccessClock MakeAccessClock(const Options& options, int64_t now_ms) {
  const int64_t seconds = now_ms / 1000;
  AccessClock clock;
  clock.is_lfu = IsLfuPolicy(options.maxmemory_policy.Get());
  clock.lru_seconds = static_cast<uint32_t>(seconds) & 0xffffff;
  clock.lfu_minutes = static_cast<uint32_t>(seconds / 60) & 0xffff;
  clock.lfu_log_factor = static_cast<int>(options.lfu_log_factor.Get());
  clock.lfu_decay_minutes = static_cast<int>(options.lfu_decay_time_minutes.Get());
  return clock;
}

void ExpireKey(Engine& engine, WorkerCounters* counters, int db, const Key& key, Handle handle) {
  Keyspace& space = engine.keyspace(key.shard);
  space.Erase(db, handle, static_cast<bool>(engine.options().lazyfree_lazy_expire));
  space.PublishMemory();
  if (engine.HasListeners(space)) KeyChanged(engine, db, key, 0);
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
  // What deletes an expired key is a part of what is being loaded, as is what was done to the key before.
  if (__builtin_expect(engine.is_loading.load(std::memory_order_relaxed), 0)) return handle;
  Keyspace& space = keyspace(key);
  const Entry& entry = *handle.entry();
  if (space.IsExpired(entry, now_ms)) {
    // While CLIENT PAUSE holds writes back nothing is deleted: it is only not seen. A command that may write
    // is not held back (EXEC that has paused), and needs the place.
    const bool may_write = spec == nullptr || (spec->flags & kFlagWrite) != 0;
    if (__builtin_expect(engine.IsPaused(now_ms), 0) && !may_write) return {};
    ExpireKey(engine, counters, db_index, key, handle);
    return {};
  }
  if (!entry.has_field_expiry() || NextFieldExpiry(entry) >= now_ms) return handle;
  ExpireHashFields(engine, db_index, key, handle, now_ms);
  space.PublishMemory();
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

// ---- Who wants to know ----

namespace {

/// Those who wait for a key are looked at when the command has run.
void MarkReady(int db, const Key& key, KeyInterest* interest) {
  if (interest->waiters.empty() || interest->is_ready) return;
  interest->is_ready = true;
  ThisThread().ready_keys.push_back({db, key.shard, key.slot, key.hash, std::string(key.name)});
}

/// A key that had expired before it was watched and is deleted now has not changed for its watcher.
void MarkWatchers(Keyspace& space, int db, const Key& key, KeyInterest* interest) {
  for (WatchedKey* watched = interest->watchers.first(); watched != nullptr; watched = watched->next) {
    if (watched->was_expired && !space.Find(db, key)) {
      watched->was_expired = false;
      continue;
    }
    watched->set->is_dirty.store(true, std::memory_order_relaxed);
  }
}

/// All keys of a database come or go at once. `is_changed(key, watched)`: whether this one does for this watcher.
template <class IsChanged>
void SignalDatabase(Engine& engine, ShardId shard, int db, IsChanged&& is_changed) {
  engine.keyspace(shard).interests(db).ForEach([&](std::string_view name, KeyInterest& interest) {
    const Key key = engine.MakeKey(name);
    MarkReady(db, key, &interest);
    for (WatchedKey* watched = interest.watchers.first(); watched != nullptr; watched = watched->next) {
      if (is_changed(key, watched)) watched->set->is_dirty.store(true, std::memory_order_relaxed);
    }
  });
}

}  // namespace

void KeyChanged(Engine& engine, int db, const Key& key, uint64_t client_id) {
  Keyspace& space = engine.keyspace(key.shard);
  InvalidateKey(engine, space, key, client_id);
  KeyInterest* interest = space.interests(db).Find(key.name);
  if (interest == nullptr) return;
  MarkWatchers(space, db, key, interest);
  MarkReady(db, key, interest);
}

void CommandContext::SignalModifiedIn(int db_index, const Key& key) {
  Keyspace& space = keyspace(key);
  space.PublishMemory();
  if (__builtin_expect(engine.HasListeners(space), 0)) KeyChanged(engine, db_index, key, client_id);
}

void CommandContext::WakeWaiters(const Key& key) {
  Keyspace& space = keyspace(key);
  if (!space.has_interests()) return;
  if (KeyInterest* interest = space.interests(db).Find(key.name)) MarkReady(db, key, interest);
}

void CommandContext::SignalFlushed(int db_index) {
  InvalidateAll(engine);
  for (int shard = 0; shard < engine.shard_count(); shard++) {
    Keyspace& space = engine.keyspace(static_cast<ShardId>(shard));
    if (!space.has_interests()) continue;
    for (int db = 0; db < engine.database_count(); db++) {
      if (db_index != -1 && db != db_index) continue;
      SignalDatabase(engine, static_cast<ShardId>(shard), db, [&](const Key& key, WatchedKey* watched) {
        // A key that expired since it was watched has changed, found or not.
        return !std::exchange(watched->was_expired, false) && space.Find(db, key);
      });
    }
  }
}

void CommandContext::SignalSwapped(int a, int b) {
  for (int shard = 0; shard < engine.shard_count(); shard++) {
    Keyspace& space = engine.keyspace(static_cast<ShardId>(shard));
    if (!space.has_interests()) continue;
    // They have been swapped: what a key of one was lies in the other. As in Redis, a key that had expired when it was
    // watched and is gone or expired now has not changed, nor has one that was not there and is an expired one now.
    const auto swapped = [&](int db, int other) {
      SignalDatabase(engine, static_cast<ShardId>(shard), db, [&](const Key& key, WatchedKey* watched) {
        const bool had_key = static_cast<bool>(space.Find(other, key));
        const Handle present = space.Find(db, key);
        if (!present) return !std::exchange(watched->was_expired, false) && had_key;
        if ((had_key && !watched->was_expired) || !space.IsExpired(*present.entry(), now_ms)) return true;
        watched->was_expired = true;
        return false;
      });
    };
    swapped(a, b);
    swapped(b, a);
  }
}

// ---- Waiting ----

bool CommandContext::Block(Type type, size_t key_count, int64_t deadline_ms, TimeoutReply timeout_reply,
                           bool wakes_without_key) {
  if (block == nullptr) return false;
  block->is_set = true;
  block->type = type;
  block->key_count = key_count;
  block->deadline_ms = deadline_ms;
  block->timeout_reply = timeout_reply;
  block->wakes_without_key = wakes_without_key;
  return true;
}

// From a time to wait to when it is over.
bool CommandContext::SetDeadline(int64_t wait_ms, int64_t* deadline_ms) {
  if (wait_ms < 0) {
    reply.Error("ERR timeout is negative");
    return false;
  }
  if (wait_ms > INT64_MAX - now_ms) {
    reply.Error("ERR timeout is out of range");
    return false;
  }
  *deadline_ms = wait_ms == 0 ? 0 : now_ms + wait_ms;
  return true;
}

bool CommandContext::ParseTimeoutSeconds(size_t index, int64_t* deadline_ms) {
  *deadline_ms = 0;
  if (is_retry) return true;  // was parsed when it began to wait, and counts from then
  long double seconds;
  if (!ParseLongDouble(args[index], &seconds)) {
    reply.Error("ERR timeout is not a float or out of range");
    return false;
  }
  // Rounded up: what is a little above 0 is not for ever, but what is a little below 0 is.
  const long double ms = std::ceil(seconds * 1000);
  if (ms > static_cast<long double>(INT64_MAX)) {
    reply.Error("ERR timeout is out of range");
    return false;
  }
  return SetDeadline(ms < 0 ? -1 : static_cast<int64_t>(ms), deadline_ms);
}

bool CommandContext::ParseTimeoutMs(size_t index, int64_t* deadline_ms) {
  *deadline_ms = 0;
  if (is_retry) return true;
  int64_t ms;
  if (!ParseInteger(index, &ms, "ERR timeout is not an integer or out of range")) return false;
  return SetDeadline(ms, deadline_ms);
}

// ---- Execution ----

void RunCommand(CommandContext& ctx, Handler handler, uint64_t* tick) {
  const uint32_t errors_before = ctx.reply.errors();
  handler(ctx);
  if (__builtin_expect(ctx.engine.monitors.any(), 0) && !ctx.is_retry) FeedMonitors(ctx);
  if (__builtin_expect(ctx.tracker != 0, 0)) RememberKeys(ctx);
  if (__builtin_expect(ctx.block != nullptr && ctx.block->is_set, 0)) {
    // XREADGROUP makes its consumer before it waits.
    ctx.counters->dirty.Add(static_cast<uint64_t>(ctx.dirty()));
    return;
  }
  const uint64_t end = CycleClock::Now();
  CommandCounters& counters = ctx.engine.command_counters(ctx.worker, static_cast<size_t>(ctx.spec->id));
  counters.calls.Increment();
  counters.nanoseconds.Add(CycleClock::ToNs(end - *tick));
  *tick = end;
  ctx.counters->commands_processed.Increment();
  if (__builtin_expect(ctx.reply.errors() != errors_before, 0)) {
    counters.failed_calls.Increment();
    ctx.counters->error_replies.Add(ctx.reply.errors() - errors_before);
  }
  if (ctx.dirty() == 0) return;
  ctx.counters->dirty.Add(static_cast<uint64_t>(ctx.dirty()));
  if (__builtin_expect(ctx.is_propagating(), 0) && !ctx.has_propagated()) ctx.Propagate(ctx.db, ctx.args);
}

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

void CommandContext::RefuseArity() {
  reply.Error("ERR wrong number of arguments for '" + std::string(spec->full_name) + "' command");
}

bool CommandContext::ArgIs(size_t index, std::string_view word) const {
  return index < args.size() && EqualsIgnoreCase(args[index], word);
}

}  // namespace sherd::engine
