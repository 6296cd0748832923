// CommandContext: what a command handler gets: its arguments, the keyspaces of its keys, and the reply.
//
// A handler is plain single-threaded code, as in Redis: by the time it runs, the leases of all shards of
// its keys are held by the running thread, whichever worker that is. It must reply exactly once, must not
// keep views of the arguments, and must report each effect (AddDirty, SignalModified, Notify).
//
// Shape of a handler (STYLE section 3): parse the arguments into a struct without side effects, then work
// through Op... functions, then reply.
//
//   void CmdGet(CommandContext& ctx) {
//     Handle handle = ctx.LookupRead(ctx.key(0));
//     if (!handle) return ctx.reply.Null();
//     if (!ctx.ExpectType(handle, Type::kString)) return;
//     ctx.ReplyString(*handle.entry());
//   }
//
// Thread: the one that runs the command.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "command_table/command_table.h"
#include "engine/engine.h"
#include "engine/errors.h"
#include "engine/session.h"
#include "engine/thread_state.h"
#include "resp/reply_builder.h"

namespace sherd::engine {

/// Flags of Lookup.
enum LookupFlag : uint32_t {
  kLookupDefault = 0,
  kNoTouch = 1,   // leave the LRU/LFU clock
  kNoStats = 2,   // leave keyspace_hits/misses and the key-miss event
};

class Transaction;

/// What a command that waits is answered with when its time is over.
enum class TimeoutReply : uint8_t { kNullArray, kNull, kZero, kTwoZeros };

/// What a command that cannot be served now waits for. Filled by CommandContext::Block.
struct BlockRequest {
  bool is_set = false;
  bool wakes_without_key = false;
  Type type = Type::kList;
  TimeoutReply timeout_reply = TimeoutReply::kNullArray;
  size_t key_count = 0;      // the first keys of the command; 0: waits for the time alone
  int64_t deadline_ms = 0;   // wall clock; 0: for ever
  /// Arguments to be replaced in the command that is tried again ("$" of XREAD): index and text.
  std::vector<std::pair<size_t, std::string>> rewrites;
};

/// Where in the reply of an EXEC the reply of a control command belongs, and in which protocol.
struct TransactionHole {
  size_t offset;
  int resp;
};

class CommandContext {
 public:
  CommandContext(Engine& engine_in, resp::ReplyBuilder& reply_in) : engine(engine_in), reply(reply_in) {}

  Engine& engine;
  resp::ReplyBuilder& reply;
  const CommandSpec* spec = nullptr;
  std::span<const std::string_view> args;  // args[0] is the command's name, as sent
  std::span<const Key> keys;               // in key-spec order, duplicates included
  int db = 0;                              // selected database; checked against the configuration
  bool no_touch = false;                   // CLIENT NO-TOUCH
  Tracker tracker = 0;                     // CLIENT TRACKING: enter the keys that are read under this, unless 0
  uint64_t client_id = 0;
  int64_t now_ms = 0;                      // wall clock, constant during the command
  WorkerId worker = 0;                     // who runs it
  Session* session = nullptr;              // connection commands only; null for those on shards
  // Whose command it is, or null. Where it runs on another thread, only what never changes may be read:
  // the address.
  const Session* sender = nullptr;
  WorkerCounters* counters = nullptr;      // of the running worker
  AccessClock clock;
  // Where the caller keeps the block of an argument that was read into one of its own, or null.
  // SetString may take the block over instead of copying it, and then sets the place to null.
  LargeString** large_argument = nullptr;
  Transaction* transaction = nullptr;  // WATCH, EXEC, DISCARD and UNWATCH only: the connection's
  std::vector<TransactionHole>* transaction_holes = nullptr;  // EXEC: for the replies of control commands
  BlockRequest* block = nullptr;       // null: the command may not wait (within EXEC)
  bool is_retry = false;               // a command that waited is tried again

  const Key& key(size_t index) const {
    DCHECK(index < keys.size());
    return keys[index];
  }
  Keyspace& keyspace(const Key& key) { return engine.keyspace(key.shard); }
  Keyspace& keyspace(ShardId shard) { return engine.keyspace(shard); }
  Options& options() { return engine.options(); }

  // ---- Lookup. Expired keys are deleted (and reported) and count as missing; so are expired fields of a
  // hash, a bounded number at a time (HashValue hides the rest). ----

  /// For commands that only read. Empty handle: no such key.
  Handle LookupRead(const Key& key, uint32_t flags = kLookupDefault) { return LookupIn(db, key, flags); }
  /// For commands that may change the key: no hit or miss is counted.
  Handle LookupWrite(const Key& key, uint32_t flags = kLookupDefault) {
    return LookupIn(db, key, flags | kNoStats);
  }
  /// In another database than the selected one (COPY, MOVE).
  Handle LookupIn(int db_index, const Key& key, uint32_t flags);

  /// Replies WRONGTYPE and returns false when the entry has another type.
  bool ExpectType(Handle handle, Type type) {
    if (__builtin_expect(handle.entry()->type() == type, 1)) return true;
    reply.Error(errors::kWrongType);
    return false;
  }

  /// Finds a key that must be of `type`, for reading. False: it has another type, and the error is the
  /// reply. `*handle` is empty when there is no such key.
  bool FindRead(const Key& key, Type type, Handle* handle) {
    *handle = LookupRead(key);
    return !*handle || ExpectType(*handle, type);
  }
  /// The same for commands that may change the key.
  bool FindWrite(const Key& key, Type type, Handle* handle) {
    *handle = LookupWrite(key);
    return !*handle || ExpectType(*handle, type);
  }

  // ---- Strings (see Keyspace for the rules of encodings) ----

  Handle SetString(const Key& key, Handle existing, std::string_view value, StringForm form,
                   int64_t expiry_ms);
  Handle SetInteger(const Key& key, Handle existing, int64_t value, int64_t expiry_ms) {
    return keyspace(key).SetInteger(db, key, existing, value, expiry_ms);
  }
  char* MutableString(const Key& key, Handle& handle, size_t size) {
    return keyspace(key).MutableString(db, key, handle, size);
  }
  /// Replies with a string entry as a bulk; large values are referenced, not copied.
  void ReplyString(const Entry& entry);
  /// The same for a part of one: `bytes` are StringBytes(entry) or lie within them.
  void ReplyStringBytes(const Entry& entry, std::string_view bytes);

  // ---- Collections (see value_ops.h) ----

  /// Makes `key` a collection, in place of what `existing` (its handle, or empty) holds.
  Handle SetValue(const Key& key, Handle existing, Type type, Encoding encoding, const void* object,
                  int64_t expiry_ms = kNoExpiry) {
    return keyspace(key).SetValue(db, key, existing, type, encoding, reinterpret_cast<uint64_t>(object),
                                  expiry_ms);
  }
  /// To be called before an existing value is changed in place: whoever needs its present state (a
  /// snapshot) takes it now. Returns the entry.
  Entry& Mutate(const Key& key, Handle handle) {
    keyspace(key).Preserve(db, handle.entry());
    return *handle.entry();
  }
  SlabHeap& heap(const Key& key) { return keyspace(key).heap(); }

  // ---- Any type ----

  void Delete(const Key& key, Handle handle, bool lazy) { keyspace(key).Erase(db, handle, lazy); }
  void SetExpiry(const Key& key, Handle& handle, int64_t expiry_ms) {
    keyspace(key).SetExpiry(db, handle, expiry_ms);
  }

  // ---- Waiting ----

  /// The command waits until one of its first `key_count` keys holds a `type` (0: for the time alone), and
  /// is then run again with the same arguments, before anybody else gets at the key. Must be the last thing
  /// that the handler does, without a reply. False: it may not wait (EXEC), and the handler replies as if
  /// the time was over. `deadline_ms` as parsed by ParseTimeout.
  bool Block(Type type, size_t key_count, int64_t deadline_ms,
             TimeoutReply timeout_reply = TimeoutReply::kNullArray, bool wakes_without_key = false);
  /// Parses a timeout in seconds with a fraction (BLPOP …) into a deadline, 0 for none. When a command is
  /// tried again its time has been running since it began to wait: always 0 then.
  bool ParseTimeoutSeconds(size_t index, int64_t* deadline_ms);
  /// The same in whole milliseconds (XREAD BLOCK, WAIT).
  bool ParseTimeoutMs(size_t index, int64_t* deadline_ms);
  /// Whether the shard of a key is held. Always so, but when a command that waited is tried again: then
  /// only the shards of the command that woke it are, and other keys must be passed over as if missing.
  bool Holds(const Key& key) const {
    if (__builtin_expect(!is_retry, 1)) return true;
    PostOffice* office = ThisThread().post_office;
    return office == nullptr || office->Holds(key.shard);
  }

  // ---- Effects ----

  /// `count` changes happened: the command is propagated if count > 0 in total.
  void AddDirty(int64_t count) { dirty_ += count; }
  int64_t dirty() const { return dirty_; }
  /// The key's value changed: watchers and trackers must know, and the bytes in use are published.
  void SignalModified(const Key& key) { SignalModifiedIn(db, key); }
  void SignalModifiedIn(int db_index, const Key& key);
  /// Those who wait for the key are to be tried again, although it has not changed for anybody else.
  void WakeWaiters(const Key& key);
  /// Every key of a database is about to go (FLUSHDB); -1: of all databases. All shards are held.
  void SignalFlushed(int db_index);
  /// Two databases have changed places. All shards are held.
  void SignalSwapped(int a, int b);
  /// Publishes a keyspace event, if anybody listens to its class.
  void Notify(EventClass event_class, const char* event, const Key& key) {
    NotifyIn(db, event_class, event, key.name);
  }
  void NotifyIn(int db_index, EventClass event_class, const char* event, std::string_view key) {
    EventSink* sink = engine.event_sink.load(std::memory_order_relaxed);
    if (__builtin_expect(sink != nullptr, 0)) sink->OnKeyEvent(event_class, event, db_index, key);
  }
  /// Whether effects must be reported; ask before building arguments for Propagate().
  bool is_propagating() const {
    return engine.propagation_sink.load(std::memory_order_relaxed) != nullptr;
  }
  /// Reports an effect in another form than the command as sent (SET with an absolute expiry, DEL for an
  /// expired key); the command itself is then not propagated.
  void Propagate(int db_index, std::span<const std::string_view> effect);
  void Propagate(std::initializer_list<std::string_view> effect) {
    Propagate(db, std::span<const std::string_view>(effect.begin(), effect.size()));
  }
  /// The command had no effect worth replaying, whatever AddDirty said.
  void PreventPropagation() { propagated_ = true; }
  bool has_propagated() const { return propagated_; }

  // ---- Argument helpers: they reply with the error themselves and return false ----

  /// Parses args[index] as an integer. `error`: another text than Redis's usual one.
  bool ParseInteger(size_t index, int64_t* value, std::string_view error = errors::kNotInteger);
  bool ParseIntegerIn(size_t index, int64_t low, int64_t high, int64_t* value,
                      std::string_view error = errors::kNotInteger);
  /// Wrong number of arguments: for what the table's arity cannot say.
  void RefuseArity();
  bool ArgIs(size_t index, std::string_view word) const;  // letter case ignored

 private:
  bool SetDeadline(int64_t wait_ms, int64_t* deadline_ms);
  /// Deletes the key, or fields of the hash there, if their time has come. Returns the key's handle, empty
  /// when it is gone.
  Handle ExpireDue(int db_index, const Key& key, Handle handle);

  int64_t dirty_ = 0;
  bool propagated_ = false;
};

/// What the clocks of entries mean at this time under the present options.
AccessClock MakeAccessClock(const Options& options, int64_t now_ms);

/// Deletes a key whose time has come and tells everyone (DEL propagated, "expired" event, counters).
/// Used by lookups and by the expiry cycle; the lease of the key's shard is held.
void ExpireKey(Engine& engine, WorkerCounters* counters, int db, const Key& key, Handle handle);

/// Tells watchers, waiters and trackers that a key has changed or is gone; to be called if
/// Engine::HasListeners(). `client_id`: who did it, 0 for the server itself. The shard's lease is held.
void KeyChanged(Engine& engine, int db, const Key& key, uint64_t client_id);

/// Runs a handler with everything around it: call counters, timing, propagation. The leases of the
/// command's shards are held by the calling thread. `tick` is the CycleClock when the last command of
/// this thread ended, and is moved on: commands of a batch are timed with one clock reading each. A
/// command that waits (ctx.block) is not counted yet.
using Handler = void (*)(CommandContext& ctx);
void RunCommand(CommandContext& ctx, Handler handler, uint64_t* tick);

}  // namespace sherd::engine
