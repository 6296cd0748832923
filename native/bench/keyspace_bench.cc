// Micro-benchmarks of the keyspace's parts on one thread: the table, and the shard's heap beside the
// general allocator that it was chosen over.
//
// The heap's benchmarks replace objects of 24 to 63 bytes at random among many live ones, which is what a
// keyspace does all day. The "foreign" one frees what another thread has allocated, the normal case where
// a shard's lease wanders: a SlabHeap does not notice, a general allocator sends each object home.
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "base/slab_heap.h"
#include "bench/bench.h"
#include "engine/keyspace.h"
#if !SHERD_PLAIN_HEAP
#include <mimalloc.h>
#endif

namespace sherd {

namespace {

using bench::Keep;

constexpr size_t kLive = 200'000;

struct Object {
  void* memory;
  size_t size;
};

/// A keyspace with `count` keys, and their names and hashes.
struct Filled {
  explicit Filled(size_t count) {
    names.reserve(count);
    for (size_t i = 0; i < count; i++) {
      names.push_back("key:" + std::to_string(1'000'000'000'000 + i));
      keys.push_back({names.back(), engine::HashKey(names.back()), 0, 0});
    }
    // Inserted in another order than the benchmarks ask for them, so that going through `keys` in order
    // meets entries at random while the names themselves come cheap.
    std::vector<size_t> order(count);
    for (size_t i = 0; i < count; i++) order[i] = i;
    Random random(1);
    for (size_t i = count; i > 1; i--) std::swap(order[i - 1], order[random.Below(i)]);
    for (size_t i : order) {
      space.SetString(0, keys[i], {}, "xxx", engine::StringForm::kAuto, engine::kNoExpiry);
    }
  }
  const engine::Key& Next() { return keys[next++ % keys.size()]; }
  size_t next = 0;
  engine::ShardCounters shard_counters{};
  engine::DatabaseCounters database_counters{};
  std::atomic<uint32_t> clock{0};
  engine::Keyspace space{0, 1, &shard_counters, &database_counters, &clock};
  std::vector<std::string> names;
  std::vector<engine::Key> keys;
};

void FindAll(bench::Bench& bench, size_t count) {
  Filled filled(count);
  bench.Run([&](uint64_t) { Keep(static_cast<bool>(filled.space.Find(0, filled.Next()))); });
}

}  // namespace

BENCH(table_find_1000_keys) { FindAll(bench, 1000); }
BENCH(table_find_1000000_keys_no_prefetch) { FindAll(bench, 1'000'000); }

BENCH(table_find_1000000_keys_prefetched_by_16) {
  constexpr size_t kWindow = 16;
  Filled filled(1'000'000);
  const engine::Table& table = filled.space.db(0).table;
  bench.RunBatch(kWindow, [&] {
    const engine::Key* window[kWindow];
    for (const engine::Key*& key : window) {
      key = &filled.Next();
      table.PrefetchBucket(key->hash);
    }
    for (const engine::Key* key : window) table.PrefetchEntry(key->hash);
    for (const engine::Key* key : window) Keep(static_cast<bool>(filled.space.Find(0, *key)));
  });
}

BENCH(table_find_missing) {
  Filled filled(100'000);
  const std::string name = "no such key";
  uint64_t hash = engine::HashKey(name);
  bench.Run([&](uint64_t) {
    hash = hash * 6364136223846793005u + 1442695040888963407u;
    Keep(static_cast<bool>(filled.space.Find(0, {name, hash, 0, 0})));
  });
}

BENCH(table_insert_and_erase_at_100000_keys) {
  Filled filled(100'000);
  const std::string name = "one key more";
  const engine::Key key{name, engine::HashKey(name), 0, 0};
  bench.Run([&](uint64_t) {
    engine::Handle handle = filled.space.SetString(0, key, {}, "x", engine::StringForm::kAuto, engine::kNoExpiry);
    filled.space.Erase(0, handle, false);
  });
}

BENCH(heap_slab_replace) {
  SlabHeap heap;
  Random random(1);
  std::vector<Object> live;
  for (size_t i = 0; i < kLive; i++) live.push_back({heap.Allocate(24 + i % 40), 24 + i % 40});
  bench.Run([&](uint64_t i) {
    Object& object = live[random.Below(kLive)];
    heap.Free(object.memory, object.size);
    object = {heap.Allocate(24 + i % 40), 24 + i % 40};
  });
}

#if !SHERD_PLAIN_HEAP
BENCH(heap_mimalloc_replace) {
  Random random(1);
  std::vector<Object> live;
  for (size_t i = 0; i < kLive; i++) live.push_back({mi_malloc(24 + i % 40), 24 + i % 40});
  bench.Run([&](uint64_t i) {
    Object& object = live[random.Below(kLive)];
    mi_free(object.memory);
    object = {mi_malloc(24 + i % 40), 24 + i % 40};
  });
  for (const Object& object : live) mi_free(object.memory);
}

BENCH(heap_mimalloc_replace_foreign) {
  // Half of the frees meet objects of the other thread, as with two workers.
  Random random(1);
  std::vector<Object> live(kLive);
  std::thread other([&] {
    for (size_t i = 0; i < kLive; i++) live[i] = {mi_malloc(24 + i % 40), 24 + i % 40};
  });
  other.join();
  bench.Run([&](uint64_t i) {
    Object& object = live[random.Below(kLive)];
    mi_free(object.memory);
    object = {mi_malloc(24 + i % 40), 24 + i % 40};
  });
  for (const Object& object : live) mi_free(object.memory);
}
#endif

}  // namespace sherd
