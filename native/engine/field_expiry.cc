// Expiry of hash fields: see the header.
#include "engine/field_expiry.h"

#include <string>
#include <string_view>
#include <vector>

#include "engine/command_context.h"
#include "engine/hash_value.h"

namespace sherd::engine {

int64_t NextFieldExpiry(const Entry& entry) {
  return entry.type() == Type::kHash ? HashValue(entry).next_expiry_ms() : kNoExpiry;
}

void SyncFieldExpiry(Keyspace& space, int db, Handle handle) {
  const bool has_field_expiry = NextFieldExpiry(*handle.entry()) != kNoExpiry;
  if (handle.entry()->has_field_expiry() != has_field_expiry) {
    space.SetFieldExpiry(db, handle, has_field_expiry);
  }
}

namespace {

void PropagateDeletion(PropagationSink* sink, int db, std::string_view key,
                       const std::vector<std::string>& names) {
  std::vector<std::string_view> effect = {"HDEL", key};
  effect.insert(effect.end(), names.begin(), names.end());
  sink->OnEffect(db, effect);
}

}  // namespace

bool ExpireHashFields(Engine& engine, int db, const Key& key, Handle handle, int64_t now_ms) {
  Keyspace& space = engine.keyspace(key.shard);
  Entry* entry = handle.entry();
  if (!entry->has_field_expiry()) return false;
  HashValue hash(*entry);
  if (hash.next_expiry_ms() >= now_ms) return false;
  // Nobody sees those fields; they can wait until the snapshot has the hash.
  if (space.IsHeld(*entry)) return false;

  PropagationSink* propagation = engine.propagation_sink.load(std::memory_order_relaxed);
  std::vector<std::string> names;
  space.Preserve(db, entry);
  hash.EraseExpired(space.heap(), now_ms, kExpiredFieldsMax, [&](std::string_view name) {
    if (propagation != nullptr) names.emplace_back(name);
  });
  hash.StoreTo(entry);
  if (propagation != nullptr) PropagateDeletion(propagation, db, key.name, names);

  const bool is_empty = hash.stored_size() == 0;
  const bool has_more = !is_empty && hash.next_expiry_ms() != kNoExpiry && hash.next_expiry_ms() < now_ms;
  if (is_empty) {
    space.Erase(db, handle, false);
  } else {
    SyncFieldExpiry(space, db, handle);
    space.PublishMemory();
  }
  if (engine.HasListeners(space)) KeyChanged(engine, db, key, 0);
  if (EventSink* sink = engine.event_sink.load(std::memory_order_relaxed)) {
    sink->OnKeyEvent(kEventHash, "hexpired", db, key.name);
    if (is_empty) sink->OnKeyEvent(kEventGeneric, "del", db, key.name);
  }
  return has_more;
}

}  // namespace sherd::engine
