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
  while (!thread.ready_keys.empty()) {
    std::vector<engine::ReadyKey> ready;
    ready.swap(thread.ready_keys);
    for (const engine::ReadyKey& key : ready) ServeKey(key, thread.worker);
  }
}

void Server::ServeKey(const engine::ReadyKey& ready, engine::WorkerId self) {
  engine::Keyspace& space = engine_.keyspace(ready.shard);
  const Key key = engine_.MakeKey(ready.name);
  engine::KeyInterest* interest = space.interests(ready.db).Find(ready.name);
  if (interest == nullptr) return;
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
    const bool is_last_of_all = next == nullptr;
    if (fits || waiter->wakes_without_key) TryServe(static_cast<QueuedRequest*>(waiter), self);
    if (is_last_of_all) return;  // the interest may be gone with its last waiter
    node = next;
  }
}

/// Runs a waiting command again. True: it was served, and is on its way home.
bool Server::TryServe(QueuedRequest* request, engine::WorkerId self) {
  if (!request->TryClaim()) return false;
  resp::ReplyBuilder reply(&request->reply, request->resp);
  engine::CommandContext ctx(engine_, reply);
  FillContext(request, &ctx, self);
  ctx.block = &request->block;
  ctx.is_retry = true;
  uint64_t tick = CycleClock::Now();
  RunCommand(ctx, request->handler, &tick);
  if (request->block.is_set) {
    request->block.is_set = false;
    request->block.rewrites.clear();
    if (request->Unclaim()) return false;
    request->outcome = QueuedRequest::Outcome::kCancelled;
  } else {
    request->state.store(engine::WaitState::kDone, std::memory_order_release);
    UnlinkHeld(request);
    request->outcome = QueuedRequest::Outcome::kAnswered;
  }
  Post(request->origin, request);
  return request->outcome == QueuedRequest::Outcome::kAnswered;
}

// ---- The gate ----

bool Server::IsPaused(const CommandSpec& spec, const engine::Transaction* transaction) const {
  const uint32_t gate = engine_.gate.load(std::memory_order_relaxed);
  if ((gate & engine::kGatePause) == 0) return false;
  if (engine_.pause_until_ms.load(std::memory_order_relaxed) <= Clock::WallMs()) return false;
  if ((gate & engine::kGatePauseAll) != 0) return true;
  const bool is_exec = transaction != nullptr && spec.runs == Runs::kTransaction;
  const uint64_t flags = is_exec ? transaction->flags() : spec.flags;
  return (flags & (kFlagWrite | kFlagMayReplicate)) != 0;
}

/// Adds the shards that waiters of `key` need, and the keys they would write to `more`.
void Server::CollectWaiterShards(const Key& key, std::vector<Key>* more, std::vector<shard::ShardId>* shards) {
  engine::Keyspace& space = engine_.keyspace(key.shard);
  if (!space.has_interests()) return;
  for (int db = 0; db < engine_.database_count(); db++) {
    engine::KeyInterest* interest = space.interests(db).Find(key.name);
    if (interest == nullptr) continue;
    for (WaitNode* node = interest->waiters.first(); node != nullptr; node = node->next) {
      const QueuedRequest* request = static_cast<QueuedRequest*>(node->waiter);
      // Constant while it is linked, which it is while we hold the key's shard.
      for (size_t i = request->node_count; i < request->keys.size(); i++) {
        const Key& other = request->keys[i];
        if (std::none_of(more->begin(), more->end(), [&](const Key& seen) { return seen.name == other.name; })) {
          more->push_back(other);
        }
        if (!Contains(*shards, other.shard)) {
          shards->insert(std::upper_bound(shards->begin(), shards->end(), other.shard), other.shard);
        }
      }
    }
  }
}

Server::Verdict Server::CheckGate(const CommandSpec& spec, const engine::Transaction* transaction,
                                  std::span<const Key> keys, std::vector<shard::ShardId>* shards) {
  if (IsPaused(spec, transaction)) return Verdict::kPostpone;
  if (engine_.gate.load(std::memory_order_relaxed) < engine::kGateWaiter) return Verdict::kRun;
  const std::vector<shard::ShardId> held = *shards;
  std::vector<Key> reached;
  if ((spec.flags & kFlagWrite) != 0) reached.assign(keys.begin(), keys.end());
  if (transaction != nullptr && spec.runs == Runs::kTransaction) {
    transaction->ForEachKey([&](const Key& key, bool writes) {
      if (writes) reached.push_back(key);
    });
  }
  for (size_t i = 0; i < reached.size(); i++) {
    const Key key = reached[i];
    if (Contains(held, key.shard)) CollectWaiterShards(key, &reached, shards);
  }
  return shards->size() > held.size() ? Verdict::kWiden : Verdict::kRun;
}

}  // namespace sherd::net
