// Interests: who wants to know that a key changes: clients that WATCH it, and clients that wait for it
// (BLPOP and its kin). One table per database of a shard, empty nearly always.
//
// They hang on the index of a database, not on its data: SWAPDB moves the data under them, as in Redis.
//
//   Keyspace -- interests(db) --> "q" --> watchers: WatchedKey <-> WatchedKey      (any order)
//                                         waiters:  WaitNode <-> WaitNode          (order of arrival)
//
// A WATCHED key marks its WatchSet when it changes; EXEC looks at the mark while it holds the shards of
// all watched keys, so that nobody can set it in between.
//
// A WAITER may be linked to several keys of several shards. Its state decides who may serve it:
//
//            registered, leases held               claimed under the lease of one of its keys
//   kRunning ----------------------> kWaiting <--------------------------> kServing
//                                       |        not served after all       |  |  |
//                 time is over, client  |                 another key of it |  |  | served
//                 gone: by its worker   |                 changed meanwhile |  |  |
//                                       |                 kServingMissed <--+  |  |
//                                       v                   |  not served      |  |
//                                     kDone             kRetrying --> kServing |  |
//                                       ^                   |                  v  |
//                                       +------------- kCancelled <- its worker   |
//                                       +<--- wants it back; home, not served     |
//                                       +<----------------------------------------+
//
// Every change away from kWaiting is one compare-and-swap: an element is never given twice, and a client
// that has gone is never given one. Nodes of a waiter that is done are skipped by those who meet them and
// unlinked under the leases of their shards, by whoever served it or by a request of its worker.
//
// Who finds a waiter being served under another of its keys leaves a note (kServingMissed) and goes on: if
// that key has nothing for it after all (XREAD behind a later id), the server sees the note and has it tried
// again with all its shards (kRetrying); otherwise the change of this key would be lost on it.
//
// Thread: under the lease of the shard, but for Waiter::state and WatchSet::is_dirty.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/linked_list.h"
#include "engine/entry.h"

namespace sherd::engine {

using ShardId = uint16_t;
struct KeyInterest;
struct WatchSet;

/// One key that one client watches.
struct WatchedKey {
  WatchSet* set = nullptr;
  std::string name;
  int db = 0;
  ShardId shard = 0;
  bool was_expired = false;       // past its time when WATCH was called: its removal changes nothing
  KeyInterest* interest = nullptr;  // null: not linked
  WatchedKey* prev = nullptr;
  WatchedKey* next = nullptr;
};

/// All keys that one client watches.
struct WatchSet {
  /// One of them has changed. Written under the lease of the key's shard, read under the leases of all:
  /// relaxed.
  std::atomic<bool> is_dirty{false};
  std::deque<WatchedKey> keys;  // addresses are stable
};

enum class WaitState : uint8_t {
  kRunning,        // not linked yet
  kWaiting,
  kServing,        // somebody tries whether it can be served
  kServingMissed,  // and another of its keys has changed meanwhile
  kRetrying,       // on its way to be tried with all its shards
  kCancelled,      // its worker wants it back: it comes home, served or not
  kDone
};

struct Waiter;

/// A waiter's place at one key.
struct WaitNode {
  Waiter* waiter = nullptr;
  int db = 0;
  ShardId shard = 0;
  KeyInterest* interest = nullptr;  // null: not linked
  WaitNode* prev = nullptr;
  WaitNode* next = nullptr;
};

/// A client that waits. The network layer derives its request from it.
struct Waiter {
  std::atomic<WaitState> state{WaitState::kRunning};
  Type type = Type::kList;        // serves only when the key holds this
  bool wakes_without_key = false;  // also when the key is deleted or changes its type (XREADGROUP)
  std::unique_ptr<WaitNode[]> nodes;
  uint32_t node_count = 0;

  /// kWaiting -> kServing. False: somebody else has it, and knows now that he has missed something.
  bool TryClaim() {
    // relaxed: the exchanges decide.
    WaitState seen = state.load(std::memory_order_relaxed);
    for (;;) {
      if (seen == WaitState::kWaiting) {
        // acq_rel: what its last server did is seen.
        if (Change(&seen, WaitState::kServing)) return true;
      } else if (seen == WaitState::kServing) {
        if (Change(&seen, WaitState::kServingMissed)) return false;
      } else {
        return false;
      }
    }
  }
  /// It was not served: kServing -> kWaiting. `must_retry`, or a note: kRetrying, and it stays claimed. Wanted
  /// back by its worker: kDone, and to be sent home. Returns the new state.
  WaitState Unclaim(bool must_retry) {
    WaitState seen = WaitState::kServing;
    for (;;) {
      if (seen == WaitState::kCancelled) {
        Finish();
        return WaitState::kDone;
      }
      const bool retries = must_retry || seen == WaitState::kServingMissed;
      const WaitState to = retries ? WaitState::kRetrying : WaitState::kWaiting;
      if (Change(&seen, to)) return to;
    }
  }
  /// kRetrying -> kServing: it is about to be tried with all its shards held. False: its worker has asked for
  /// it; it is kDone and to be sent home.
  bool Reclaim() {
    WaitState seen = WaitState::kRetrying;
    if (Change(&seen, WaitState::kServing)) return true;
    Finish();
    return false;
  }
  /// A claimed one has been served, or is not going to be. release: whoever sees it sees what was done.
  void Finish() { state.store(WaitState::kDone, std::memory_order_release); }
  /// Its worker takes it back. True: it is kDone and nobody else's. False: it is being served, and will
  /// come home by itself, served or not.
  bool TryCancel() {
    // relaxed: the exchanges decide.
    WaitState seen = state.load(std::memory_order_relaxed);
    for (;;) {
      if (seen == WaitState::kDone || seen == WaitState::kCancelled) return false;
      const bool is_free = seen == WaitState::kWaiting;
      if (Change(&seen, is_free ? WaitState::kDone : WaitState::kCancelled)) return is_free;
    }
  }

  enum class TakenBack { kTaken, kComes, kTooLate, kNotYet };
  /// The same for who must know what becomes of it: it is kDone (kTaken), or comes home and is not served
  /// (kComes), or comes home, perhaps served (kTooLate), or somebody just tries to serve it: ask again.
  TakenBack TryTakeBack() {
    WaitState seen = WaitState::kWaiting;
    if (Change(&seen, WaitState::kDone)) return TakenBack::kTaken;
    if (seen == WaitState::kRetrying && Change(&seen, WaitState::kCancelled)) return TakenBack::kComes;
    return seen == WaitState::kDone || seen == WaitState::kCancelled ? TakenBack::kTooLate : TakenBack::kNotYet;
  }

 private:
  bool Change(WaitState* seen, WaitState to) {
    // relaxed on failure: it is not ours.
    return state.compare_exchange_strong(*seen, to, std::memory_order_acq_rel, std::memory_order_relaxed);
  }
};

/// What is known of one key.
struct KeyInterest {
  LinkedList<WatchedKey> watchers;
  LinkedList<WaitNode> waiters;
  uint32_t waiters_without_key = 0;  // those with wakes_without_key
  bool is_ready = false;             // among ThreadState::ready_keys
};

/// The keys of one database of one shard that somebody is interested in.
class Interests {
 public:
  /// `total` counts the keys of all databases of the shard.
  explicit Interests(uint32_t* total) : total_(total) {}
  bool empty() const { return keys_.empty(); }
  size_t size() const { return keys_.size(); }
  KeyInterest* Find(std::string_view name) {
    const auto found = keys_.find(name);
    return found == keys_.end() ? nullptr : &found->second;
  }
  void Watch(WatchedKey* watched);
  void Unwatch(WatchedKey* watched, std::string_view name);
  /// Links `node` behind those who wait already. Does nothing if its waiter is the last of them (a key
  /// named twice).
  void Wait(WaitNode* node, std::string_view name);
  void StopWaiting(WaitNode* node, std::string_view name);
  /// Calls visit(name, interest) for every key; visit may not add or remove any.
  template <class Visit>
  void ForEach(Visit&& visit) {
    for (auto& [name, interest] : keys_) visit(std::string_view(name), interest);
  }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  void DropIfEmpty(const KeyInterest& interest, std::string_view name);
  KeyInterest& FindOrAdd(std::string_view name);

  uint32_t* total_;
  std::unordered_map<std::string, KeyInterest, Hash, std::equal_to<>> keys_;
};

}  // namespace sherd::engine
