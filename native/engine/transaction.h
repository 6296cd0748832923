// Transaction: what MULTI collects and WATCH remembers for one connection.
//
// Commands are queued as plain bytes in one block, with their keys already hashed, so that EXEC knows at
// once which shards it needs and parses nothing a second time. The block's memory is kept from one
// transaction to the next of the same connection, up to kKeepBytes.
//
//   bytes_:    | SET | k1 | v1 | INCR | k2 |          ends_: where each argument ends
//   commands_: | spec, handler, args 0-2, keys 0-0 | spec, handler, args 3-4, keys 1-1 |
//   keys_:     | hash, slot, shard, arg 1 | … |
//
// Thread: the connection's worker, and while EXEC (or WATCH, DISCARD …) runs elsewhere, the thread that
// runs it: the connection is parked then.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/handlers.h"
#include "engine/interests.h"

namespace sherd::engine {

class Transaction {
 public:
  struct Command {
    const CommandSpec* spec;
    Handler handler;
    Runs runs;            // any but kRouted and kTransaction
    ShardId first_shard;  // kAllShards
    uint32_t first_arg, arg_count;
    uint32_t first_key, key_count;
  };

  // ---- MULTI ----

  /// Queues a command line; `key_positions` are its arguments that are keys.
  void Add(const Engine& engine, const CommandSpec* spec, Handler handler, Runs runs, ShardId first_shard,
           std::span<const std::string_view> args, std::span<const uint32_t> key_positions);
  /// The same for the common line with one key, already hashed.
  void Add(const CommandSpec* spec, Handler handler, std::span<const std::string_view> args, uint32_t position,
           const Key& key);
  /// A command could not be queued: EXEC will refuse.
  void Abort() { is_aborted_ = true; }
  bool is_aborted() const { return is_aborted_; }
  std::span<const Command> commands() const { return commands_; }
  size_t command_count() const { return commands_.size(); }
  /// Bytes of all arguments.
  size_t argument_bytes() const { return bytes_.size(); }
  /// Also while EXEC runs elsewhere, which reads the commands only.
  size_t memory() const {
    return bytes_.capacity() + ends_.capacity() * sizeof(ends_[0]) + commands_.capacity() * sizeof(Command) +
           keys_.capacity() * sizeof(StoredKey);
  }
  /// All flags of all queued commands.
  uint64_t flags() const { return flags_; }
  /// Flags that each queued command has.
  uint64_t common_flags() const { return common_flags_; }
  /// A queued command touches the session and must run on its worker.
  bool needs_session() const { return needs_session_; }
  /// A queued command is answered by the control plane.
  bool needs_control() const { return needs_control_; }

  // ---- EXEC ----

  /// Shards of all queued and all watched keys, ascending, distinct.
  void CollectShards(int shard_count, std::vector<ShardId>* shards) const;
  /// The arguments and keys of a command as views; valid until the next Add, Reset or call of this.
  void Load(const Command& command, std::vector<std::string_view>* args, std::vector<Key>* keys) const;
  /// Every key of the queued commands with whether its command writes.
  template <class Visit>
  void ForEachKey(Visit&& visit) const;
  /// Forgets the queued commands, keeps what is watched.
  void Reset();

  // ---- WATCH ----

  WatchSet* watches() { return watches_.get(); }
  bool has_watches() const { return watches_ != nullptr && !watches_->keys.empty(); }
  /// Watches a key that is not watched yet. Its shard's lease is held.
  void Watch(Engine& engine, int db, const Key& key, bool is_expired);
  /// A watched key is known to have changed. A glance, for CLIENT LIST: without the shards.
  bool is_dirty() const { return watches_ != nullptr && watches_->is_dirty.load(std::memory_order_relaxed); }
  bool IsWatched(int db, std::string_view name) const;
  /// Whether EXEC must refuse: a watched key has changed, or its time has come since. All shards of the
  /// watched keys are held.
  bool HasChanged(Engine& engine, int64_t now_ms);
  /// Shards of the watched keys, ascending, distinct.
  void CollectWatchedShards(std::vector<ShardId>* shards) const;
  /// Unlinks all watched keys. Their shards are held.
  void UnwatchAll(Engine& engine);
  /// Hands the watches over, for a request that unlinks them when the connection has gone.
  std::unique_ptr<WatchSet> TakeWatches() { return std::move(watches_); }

 private:
  struct StoredKey {
    uint64_t hash;
    uint32_t arg;   // index into all arguments
    uint16_t slot;
    ShardId shard;
  };
  static constexpr size_t kKeepBytes = 16 * 1024;

  Command& AddArguments(const CommandSpec* spec, Handler handler, Runs runs,
                        std::span<const std::string_view> args);
  std::string_view Argument(size_t index) const {
    const size_t begin = index == 0 ? 0 : ends_[index - 1];
    return {bytes_.data() + begin, ends_[index] - begin};
  }

  std::string bytes_;
  std::vector<size_t> ends_;
  std::vector<StoredKey> keys_;
  std::vector<Command> commands_;
  std::unique_ptr<WatchSet> watches_;
  uint64_t flags_ = 0;
  uint64_t common_flags_ = ~uint64_t{0};
  bool is_aborted_ = false;
  bool needs_session_ = false;
  bool needs_control_ = false;
  bool needs_all_shards_ = false;
  ShardId first_shard_ = 0;  // needs_all_shards_: from here on
};

/// Unlinks all keys of a set; the shards are held.
void Unwatch(Engine& engine, WatchSet* watches);

template <class Visit>
void Transaction::ForEachKey(Visit&& visit) const {
  for (const Command& command : commands_) {
    const bool writes = (command.spec->flags & kFlagWrite) != 0;
    for (uint32_t i = 0; i < command.key_count; i++) {
      const StoredKey& key = keys_[command.first_key + i];
      visit(Key{Argument(key.arg), key.hash, key.slot, key.shard}, writes);
    }
  }
}

}  // namespace sherd::engine
