// Transaction: see the header.
#include "engine/transaction.h"

#include <algorithm>

#include "engine/engine.h"
#include "engine/pubsub.h"
#include "engine/session.h"
#include "engine/thread_state.h"

namespace sherd::engine {

namespace {

void SortDistinct(std::vector<ShardId>* shards) {
  std::sort(shards->begin(), shards->end());
  shards->erase(std::unique(shards->begin(), shards->end()), shards->end());
}

bool IsPast(Engine& engine, const WatchedKey& watched, int64_t now_ms) {
  Keyspace& space = engine.keyspace(watched.shard);
  const Handle handle = space.Find(watched.db, engine.MakeKey(watched.name));
  return handle && space.IsExpired(*handle.entry(), now_ms);
}

}  // namespace

// Here, where Transaction and Subscriptions are complete.
Session::Session() = default;
Session::~Session() {
  if (subscriptions != nullptr) subscriptions->Leave(this);
}

// ---- MULTI ----

Transaction::Command& Transaction::AddArguments(const CommandSpec* spec, Handler handler, Runs runs,
                                                std::span<const std::string_view> args) {
  const uint32_t first_arg = static_cast<uint32_t>(ends_.size());
  for (const std::string_view arg : args) {
    bytes_.append(arg);
    ends_.push_back(bytes_.size());
  }
  flags_ |= spec->flags;
  common_flags_ &= spec->flags;
  commands_.push_back({spec, handler, runs, 0, first_arg, static_cast<uint32_t>(args.size()),
                       static_cast<uint32_t>(keys_.size()), 0});
  return commands_.back();
}

void Transaction::Add(const Engine& engine, const CommandSpec* spec, Handler handler, Runs runs,
                      ShardId first_shard, std::span<const std::string_view> args,
                      std::span<const uint32_t> key_positions) {
  Command& command = AddArguments(spec, handler, runs, args);
  command.first_shard = first_shard;
  for (const uint32_t position : key_positions) {
    const Key key = engine.MakeKey(args[position]);
    keys_.push_back({key.hash, command.first_arg + position, key.slot, key.shard});
  }
  command.key_count = static_cast<uint32_t>(key_positions.size());
  needs_control_ = needs_control_ || runs == Runs::kControl;
  // Of the commands of pub/sub, those that scripts may not call are those that change the connection.
  const bool is_publishing = (spec->flags & kFlagPubsub) != 0 && (spec->flags & kFlagNoScript) == 0;
  needs_session_ = needs_session_ || (runs == Runs::kConnection && !is_publishing);
  if (runs == Runs::kAllShards) {
    first_shard_ = needs_all_shards_ ? std::min(first_shard_, first_shard) : first_shard;
    needs_all_shards_ = true;
  }
}

void Transaction::Add(const CommandSpec* spec, Handler handler, std::span<const std::string_view> args,
                      uint32_t position, const Key& key) {
  Command& command = AddArguments(spec, handler, Runs::kKeys, args);
  keys_.push_back({key.hash, command.first_arg + position, key.slot, key.shard});
  command.key_count = 1;
}

void Transaction::Reset() {
  bytes_.clear();
  ends_.clear();
  keys_.clear();
  commands_.clear();
  if (memory() > kKeepBytes) {
    bytes_.shrink_to_fit();
    ends_.shrink_to_fit();
    keys_.shrink_to_fit();
    commands_.shrink_to_fit();
  }
  flags_ = 0;
  common_flags_ = ~uint64_t{0};
  is_aborted_ = needs_session_ = needs_control_ = needs_all_shards_ = false;
}

// ---- EXEC ----

void Transaction::CollectShards(int shard_count, std::vector<ShardId>* shards) const {
  if (is_aborted_) return CollectWatchedShards(shards);
  shards->clear();
  for (const StoredKey& key : keys_) {
    if (shards->empty() || shards->back() != key.shard) shards->push_back(key.shard);
  }
  if (watches_ != nullptr) {
    for (const WatchedKey& watched : watches_->keys) shards->push_back(watched.shard);
  }
  if (needs_all_shards_) {
    for (int shard = first_shard_; shard < shard_count; shard++) shards->push_back(static_cast<ShardId>(shard));
  }
  if (shards->size() > 1) SortDistinct(shards);
}

void Transaction::Load(const Command& command, std::vector<std::string_view>* args,
                       std::vector<Key>* keys) const {
  args->clear();
  keys->clear();
  for (uint32_t i = 0; i < command.arg_count; i++) args->push_back(Argument(command.first_arg + i));
  for (uint32_t i = 0; i < command.key_count; i++) {
    const StoredKey& key = keys_[command.first_key + i];
    keys->push_back(Key{(*args)[key.arg - command.first_arg], key.hash, key.slot, key.shard});
  }
}

// ---- WATCH ----

bool Transaction::IsWatched(int db, std::string_view name) const {
  if (watches_ == nullptr) return false;
  return std::any_of(watches_->keys.begin(), watches_->keys.end(), [&](const WatchedKey& watched) {
    return watched.db == db && watched.name == name;
  });
}

void Transaction::Watch(Engine& engine, int db, const Key& key, bool is_expired) {
  if (watches_ == nullptr) watches_ = std::make_unique<WatchSet>();
  if (WorkerCounters* counters = ThisThread().counters) {
    if (watches_->keys.empty()) counters->watching_clients.Add(1);
    counters->watched_keys.Add(1);
  }
  WatchedKey& watched = watches_->keys.emplace_back();
  watched.set = watches_.get();
  watched.name = key.name;
  watched.db = db;
  watched.shard = key.shard;
  watched.was_expired = is_expired;
  engine.keyspace(key.shard).interests(db).Watch(&watched);
}

bool Transaction::HasChanged(Engine& engine, int64_t now_ms) {
  if (watches_ == nullptr) return false;
  // relaxed: written under leases that we hold now.
  if (watches_->is_dirty.load(std::memory_order_relaxed)) return true;
  return std::any_of(watches_->keys.begin(), watches_->keys.end(), [&](const WatchedKey& watched) {
    return !watched.was_expired && IsPast(engine, watched, now_ms);
  });
}

void Transaction::CollectWatchedShards(std::vector<ShardId>* shards) const {
  shards->clear();
  if (watches_ == nullptr) return;
  for (const WatchedKey& watched : watches_->keys) shards->push_back(watched.shard);
  SortDistinct(shards);
}

void Unwatch(Engine& engine, WatchSet* watches) {
  // Perhaps on another worker than the one that counted them: the sums over all are what is meant.
  if (WorkerCounters* counters = ThisThread().counters; counters != nullptr && !watches->keys.empty()) {
    counters->watching_clients.Add(~uint64_t{0});
    counters->watched_keys.Add(uint64_t{0} - watches->keys.size());
  }
  for (WatchedKey& watched : watches->keys) {
    engine.keyspace(watched.shard).interests(watched.db).Unwatch(&watched, watched.name);
  }
}

void Transaction::UnwatchAll(Engine& engine) {
  if (watches_ == nullptr) return;
  Unwatch(engine, watches_.get());
  watches_.reset();
}

}  // namespace sherd::engine
