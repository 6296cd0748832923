// Server: commands that wait for keys, and what they ask of the commands that wake them.
//
// A command that finds nothing to take is linked to its keys' shards as a waiter (engine/interests.h). The
// command that changes such a key notes it; when it has run, and before its leases are given up, the
// waiters are tried again in the order of their arrival, each as the whole command that it is, with the
// leases that are held just now. So a waiter is served in the same instant in which the key appears, and
// nobody can come between.
//
// A waiter that takes from one key and puts into another (BLMOVE) needs the second key's shard too, which
// the pusher would not hold. Therefore, while such a waiter waits, every write command on its key is
// widened: the gate sends it back to take the leases of both shards, in ascending order as always, and
// only then does it run. That goes on until nothing more is needed: the second key may have such waiters
// itself. Commands on other keys, and servers without such waiters, pay one look at a word.
#include <algorithm>

#include "base/clock.h"
#include "net/server.h"
#include "net/worker.h"

namespace sherd::net {

using engine::Key;
using engine::WaitNode;

namespace {

bool Contains(const std::vector<shard::ShardId>& shards, shard::ShardId shard) {
  return std::binary_search(shards.begin(), shards.end(), shard);
}

}  // namespace

// ---- Waiting ----

void Server::RegisterWaiter(QueuedRequest* request) {
  engine::BlockRequest& block = request->block;
  for (auto& [index, text] : block.rewrites) {
    // The texts live in the request from now on.
    request->rewritten.push_back(std::make_unique<std::string>(std::move(text)));
    request->args[index] = *request->rewritten.back();
  }
  block.rewrites.clear();
  block.is_set = false;
  request->type = block.type;
  request->wakes_without_key = block.wakes_without_key;
  request->node_count = static_cast<uint32_t>(block.key_count);
  request->nodes = std::make_unique<WaitNode[]>(block.key_count);
  for (size_t i = 0; i < block.key_count; i++) {
    const Key& key = request->keys[i];
    WaitNode& node = request->nodes[i];
    node.waiter = request;
    node.db = request->db;
    node.shard = key.shard;
    engine_.keyspace(key.shard).interests(request->db).Wait(&node, key.name);
  }
  request->needs_more_shards = block.key_count < request->keys.size() && request->shard_list.size() > 1;
  if (request->needs_more_shards) engine_.gate.fetch_add(engine::kGateWaiter, std::memory_order_relaxed);
  // release: whoever claims it sees all of the above.
  request->state.store(engine::WaitState::kWaiting, std::memory_order_release);
}

/// Unlinks a waiter that is done from the keys whose shards are held.
void Server::UnlinkHeld(QueuedRequest* request) {
  for (uint32_t i = 0; i < request->node_count; i++) {
    WaitNode& node = request->nodes[i];
    if (node.interest == nullptr || !Holds(node.shard)) continue;
    engine_.keyspace(node.shard).interests(node.db).StopWaiting(&node, request->keys[i].name);
  }
  if (request->needs_more_shards) {
    request->needs_more_shards = false;
    engine_.gate.fetch_sub(engine::kGateWaiter, std::memory_order_relaxed);
  }
}

// ---- Serving ----

void Server::ServeReadyKeys(engine::ThreadState& thread) {
  std::vector<engine::ReadyKey>& ready = thread.ready_keys;
  // Those served may make more keys ready: by index, and out of the vector, which may move.
  for (size_t i = 0; i < ready.size(); i++) {
    const engine::ReadyKey key = std::move(ready[i]);
    ServeKey(key, thread.worker);
  }
  ready.clear();
  constexpr size_t kKeptMax = 1024;
  if (ready.capacity() > kKeptMax) ready.shrink_to_fit();
}

void Server::ServeKey(const engine::ReadyKey& ready, engine::WorkerId self) {
  engine::Keyspace& space = engine_.keyspace(ready.shard);
  const Key key{ready.name, ready.hash, ready.slot, ready.shard};
  engine::KeyInterest* interest = space.interests(ready.db).Find(ready.name);
  if (interest == nullptr) return;
  interest->is_ready = false;
  const int64_t now_ms = Clock::WallMs();
  // Who comes later than this waits for the next change.
  const WaitNode* last = interest->waiters.last();
  WaitNode* node = interest->waiters.first();
  while (node != nullptr) {
    const engine::Handle handle = space.Find(ready.db, key);
    const bool exists = handle && !space.IsExpired(*handle.entry(), now_ms);
    if (!exists && interest->waiters_without_key == 0) return;
    WaitNode* next = node == last ? nullptr : node->next;
    engine::Waiter* waiter = node->waiter;
    const bool fits = exists && handle.entry()->type() == waiter->type;
    if ((fits || waiter->wakes_without_key) && waiter->TryClaim()) {
      Serve(static_cast<QueuedRequest*>(waiter), self);
    }
    node = next;  // after the last one the interest may be gone
  }
}

/// Runs a waiting command, which is claimed, again, and sends it home if it is served.
void Server::Serve(QueuedRequest* request, engine::WorkerId self) {
  resp::ReplyBuilder reply(&request->reply, request->resp);
  engine::CommandContext ctx(engine_, reply);
  FillContext(request, &ctx, self);
  ctx.block = &request->block;
  ctx.is_retry = true;
  uint64_t tick = CycleClock::Now();
  RunCommand(ctx, request->handler, &tick);
  NoteUnit(request);
  if (!request->block.is_set) {
    request->Finish();
    UnlinkHeld(request);
    request->outcome = QueuedRequest::Outcome::kAnswered;
    return Post(request->origin, request);
  }
  request->block.is_set = false;
  request->block.rewrites.clear();
  // The gate lets nobody in who lacks what waiters need, but for what it cannot foresee.
  const bool lacks_shards = request->needs_more_shards && !HoldsAll(*request);
  const engine::WaitState state = request->Unclaim(lacks_shards);
  if (state == engine::WaitState::kWaiting) return;
  if (state == engine::WaitState::kDone) return SendCancelled(request);
  request->phase = QueuedRequest::Phase::kRetry;
  request->outcome = QueuedRequest::Outcome::kWiden;
  Post(request->origin, request);
}

/// A waiting command that is still claimed, with all its shards.
void Server::ExecuteRetry(QueuedRequest* request, engine::WorkerId self) {
  request->phase = QueuedRequest::Phase::kCommand;
  if (!request->Reclaim()) return SendCancelled(request);
  Serve(request, self);
}

/// Its worker has asked for it while somebody had it.
void Server::SendCancelled(QueuedRequest* request) {
  UnlinkHeld(request);
  request->outcome = QueuedRequest::Outcome::kCancelled;
  Post(request->origin, request);
}

bool Server::HoldsAll(const QueuedRequest& request) {
  return std::all_of(request.keys.begin(), request.keys.end(), [this](const Key& key) { return Holds(key.shard); });
}

// ---- The gate ----

bool Server::IsPaused(const CommandSpec& spec, const engine::Transaction* transaction) const {
  const uint32_t gate = engine_.gate.load(std::memory_order_relaxed);
  if ((gate & engine::kGatePause) == 0) return false;
  if (engine_.pause_until_ms.load(std::memory_order_relaxed) <= Clock::WallMs()) return false;
  if ((gate & engine::kGatePauseAll) != 0) return true;
  const bool is_exec = transaction != nullptr && spec.id == CommandId::kExec;
  const uint64_t flags = is_exec ? transaction->flags() : spec.flags;
  return (flags & (kFlagWrite | kFlagMayReplicate)) != 0;
}

/// Adds the shards that the first `waiters_max` waiters of `key` need, and those keys they would write that
/// somebody waits for in turn.
void Server::CollectWaiterShards(const Key& key, size_t waiters_max, std::vector<Key>* reached,
                                 std::vector<shard::ShardId>* shards) {
  engine::Keyspace& space = engine_.keyspace(key.shard);
  if (!space.has_interests()) return;
  for (int db = 0; db < engine_.database_count(); db++) {
    engine::Interests& interests = space.interests(db);
    engine::KeyInterest* interest = interests.empty() ? nullptr : interests.Find(key.name);
    if (interest == nullptr) continue;
    size_t waiters = 0;
    for (WaitNode* node = interest->waiters.first(); node != nullptr && waiters < waiters_max; node = node->next) {
      const QueuedRequest* request = static_cast<QueuedRequest*>(node->waiter);
      // relaxed: one that is taken back meanwhile leaves its place to somebody whom we do not foresee.
      if (request->state.load(std::memory_order_relaxed) == engine::WaitState::kDone) continue;
      waiters++;
      // Constant while it is linked, which it is while we hold the key's shard.
      for (size_t i = request->node_count; i < request->keys.size(); i++) {
        Reach(request->keys[i], reached, shards);
      }
    }
  }
}

/// A waiter may write `key`.
void Server::Reach(const Key& key, std::vector<Key>* reached, std::vector<shard::ShardId>* shards) {
  if (!Contains(*shards, key.shard)) {
    shards->insert(std::upper_bound(shards->begin(), shards->end(), key.shard), key.shard);
    return;  // not held: who waits for it is looked at when it is
  }
  if (!Holds(key.shard) || !engine_.keyspace(key.shard).has_interests()) return;
  if (std::none_of(reached->begin(), reached->end(), [&](const Key& seen) { return seen.name == key.name; })) {
    reached->push_back(key);
  }
}

/// Whether a command would change a value that must be saved first. The snapshot is told which.
bool Server::AwaitsSnapshot(const CommandSpec& spec, const engine::Transaction* transaction, int db,
                            std::span<const Key> keys) {
  bool awaits = false;
  const auto look = [&](const Key& key, bool writes) {
    if (!writes || !Holds(key.shard) || !IsHeldBySnapshot(db, key)) return;
    engine_.keyspace(key.shard).snapshot()->Want(key.shard, db, key);
    awaits = true;
  };
  if (transaction != nullptr && spec.runs == Runs::kTransaction) transaction->ForEachKey(look);
  for (const Key& key : keys) look(key, (spec.flags & kFlagWrite) != 0);
  return awaits;
}

Server::Verdict Server::CheckGate(const CommandSpec& spec, const engine::Transaction* transaction, int db,
                                  std::span<const Key> keys, size_t arg_count,
                                  std::vector<shard::ShardId>* shards) {
  if (IsPaused(spec, transaction)) return Verdict::kPostpone;
  const uint32_t gate = engine_.gate.load(std::memory_order_relaxed);
  if ((gate & engine::kGateSnapshot) != 0 && AwaitsSnapshot(spec, transaction, db, keys)) {
    return Verdict::kAwaitSnapshot;
  }
  if ((gate & ~engine::kGateSnapshot) < engine::kGateWaiter) return Verdict::kRun;
  std::vector<Key> reached;
  const auto reach = [&](const Key& key, bool writes) {
    if (writes && engine_.keyspace(key.shard).has_interests()) reached.push_back(key);
  };
  const bool is_exec = transaction != nullptr && spec.runs == Runs::kTransaction;
  if (is_exec) transaction->ForEachKey(reach);
  for (const Key& key : keys) reach(key, (spec.flags & kFlagWrite) != 0);
  if (reached.empty()) return Verdict::kRun;
  // A command on lists brings no more elements than it has words, and each of them serves one waiter.
  const size_t waiters_max = !is_exec && spec.group == list_group_ ? arg_count : SIZE_MAX;
  const size_t held = shards->size();
  for (size_t i = 0; i < reached.size(); i++) {
    const Key key = reached[i];
    if (Holds(key.shard)) CollectWaiterShards(key, waiters_max, &reached, shards);
  }
  return shards->size() > held ? Verdict::kWiden : Verdict::kRun;
}

}  // namespace sherd::net
