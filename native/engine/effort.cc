// Effort of commands: see the header.
#include "engine/effort.h"

#include <algorithm>

#include "base/numbers.h"
#include "engine/value_ops.h"

namespace sherd::engine {

namespace {

// Bytes of a string that cost as much as an element.
constexpr uint64_t kBytesPerStep = 512;

size_t BytesOf(Engine& engine, const Key& key, int db) {
  const Handle handle = engine.keyspace(key.shard).Find(db, key);
  return handle && handle.entry()->type() == Type::kString ? StringLength(*handle.entry()) : 0;
}

uint64_t StepsOf(Engine& engine, const Key& key, int db) {
  const Handle handle = engine.keyspace(key.shard).Find(db, key);
  if (!handle) return 0;
  const Entry& entry = *handle.entry();
  if (entry.type() == Type::kString) return StringLength(entry) / kBytesPerStep;
  return OpsOf(entry.type()).length(entry.encoding(), entry.payload());
}

/// Elements between two indexes as LRANGE counts them. What is no index (ZRANGE BYSCORE) counts as all.
uint64_t StepsOfRange(uint64_t length, std::span<const std::string_view> args) {
  int64_t first;
  int64_t last;
  if (args.size() < 4 || !ParseInt64(args[2], &first) || !ParseInt64(args[3], &last)) return length;
  const int64_t size = static_cast<int64_t>(length);
  if (first < 0) first = std::max<int64_t>(first + size, 0);
  if (last < 0) last += size;
  last = std::min(last, size - 1);
  return first > last ? 0 : static_cast<uint64_t>(last - first) + 1;
}

uint64_t KeysOf(Engine& engine) {
  uint64_t keys = 0;
  for (int shard = 0; shard < engine.shard_count(); shard++) {
    for (int db = 0; db < engine.database_count(); db++) {
      keys += engine.database_counters(static_cast<ShardId>(shard), db).keys.Get();
    }
  }
  return keys;
}

}  // namespace

uint64_t EffortOf(Engine& engine, const CommandSpec& spec, std::span<const std::string_view> args,
                  std::span<const Key> keys, int db) {
  uint64_t steps = 0;
  switch (spec.effort) {
    case Effort::kNone:
      return 0;
    case Effort::kElements:
      for (const Key& key : keys) steps += StepsOf(engine, key, db);
      return steps;
    case Effort::kSmallest:
      steps = UINT64_MAX;
      for (const Key& key : keys) steps = std::min(steps, StepsOf(engine, key, db));
      return keys.empty() || steps > UINT64_MAX / keys.size() ? 0 : steps * keys.size();
    case Effort::kRange:
      return keys.empty() ? 0 : StepsOfRange(StepsOf(engine, keys[0], db), args);
    case Effort::kProduct:
      if (keys.size() < 2) return 0;
      return static_cast<uint64_t>(BytesOf(engine, keys[0], db)) / 16 * (BytesOf(engine, keys[1], db) / 16);
    case Effort::kAllKeys:
      return KeysOf(engine);
  }
  return 0;
}

}  // namespace sherd::engine
