// Tracking: who is told what, and how it gets there. See the header.
#include "engine/tracking.h"

#include <algorithm>
#include <new>
#include <span>

#include "base/check.h"
#include "base/numbers.h"
#include "engine/command_context.h"
#include "engine/session.h"
#include "engine/thread_random.h"
#include "resp/reply_builder.h"

namespace sherd::engine {

namespace {

// ---- From an invalidation to a client's output ----

/// What has changed, as the last element of the message: an array of keys, which looks the same in both
/// protocols, or nothing for "everything".
using KeyArray = std::string_view;

void AppendArrayHeader(size_t count, std::string* array) {
  array->append("*").append(std::to_string(count)).append("\r\n");
}
void AppendBulk(std::string_view text, std::string* array) {
  array->append("$").append(std::to_string(text.size())).append("\r\n").append(text).append("\r\n");
}

/// Appends to the output of the client that is told. RESP2 knows no pushes: there only one that others
/// redirect to can be told, while it subscribes to something.
void Tell(WorkerPort& port, Session* session, bool is_redirected, KeyArray keys) {
  const bool is_push = session->resp > 2;
  if (!is_push && !(is_redirected && session->is_subscriber)) return;
  resp::OutputBuffer* out = port.OutputOf(session);
  out->Append(is_push ? ">2\r\n$10\r\ninvalidate\r\n" : "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n");
  if (!keys.empty()) {
    out->Append(keys);
  } else {
    out->Append(is_push ? "_\r\n" : "$-1\r\n");
  }
  port.EndPush(session);
}

/// The client that invalidations were redirected to has gone.
void NoteBrokenRedirect(WorkerPort& port, Session* session) {
  session->tracking |= kTrackingBroken;
  if (session->resp < 3) return;
  resp::ReplyBuilder reply(port.OutputOf(session), session->resp);
  reply.Push(2);
  reply.Bulk("tracking-redir-broken");
  reply.Integer(static_cast<int64_t>(session->tracking_details->redirect_id));
  port.EndPush(session);
}

class BrokenRedirect final : public Message {
 public:
  BrokenRedirect(uint64_t client_id, uint64_t redirect_id) : client_id_(client_id), redirect_id_(redirect_id) {}
  void Deliver(WorkerPort& port) override {
    Session* session = port.FindSession(client_id_);
    const bool is_meant = session != nullptr && (session->tracking & kTrackingOn) != 0 &&
                          session->tracking_details->redirect_id == redirect_id_;
    if (is_meant) NoteBrokenRedirect(port, session);
    delete this;
  }

 private:
  const uint64_t client_id_, redirect_id_;
};

/// An invalidation on its way to the client that another one, `client_id` of `worker`, redirects to.
class Redirected final : public Message {
 public:
  Redirected(uint64_t redirect_id, WorkerId worker, uint64_t client_id, KeyArray keys)
      : redirect_id_(redirect_id), client_id_(client_id), worker_(worker), keys_(keys) {}
  void Deliver(WorkerPort& port) override {
    Session* session = port.FindSession(redirect_id_);
    if (session != nullptr) {
      Tell(port, session, true, keys_);
    } else {
      ThisThread().post_office->Post(worker_, new BrokenRedirect(client_id_, redirect_id_));
    }
    delete this;
  }

 private:
  const uint64_t redirect_id_, client_id_;
  const WorkerId worker_;
  const std::string keys_;
};

/// Sends an invalidation where a tracking client wants it.
void Send(WorkerPort& port, Session* session, KeyArray keys) {
  const uint64_t redirect_id = session->tracking_details->redirect_id;
  if (redirect_id == 0) return Tell(port, session, false, keys);
  PostOffice* office = ThisThread().post_office;
  WorkerId worker;
  if (!office->FindClient(redirect_id, &worker)) return NoteBrokenRedirect(port, session);
  if (worker != port.index()) {
    office->Post(worker, new Redirected(redirect_id, port.index(), session->id, keys));
    return;
  }
  Session* target = port.FindSession(redirect_id);
  if (target == nullptr) return NoteBrokenRedirect(port, session);
  Tell(port, target, true, keys);
}

// ---- Messages: from a change to the clients' workers ----

/// A key that clients of one worker have read has changed. One allocation:
///
///   | Invalidation | trackers | name |
class Invalidation final : public Message {
 public:
  static Invalidation* Create(std::span<const Trackers> trackers, std::string_view name, uint64_t writer_id) {
    const size_t size = sizeof(Invalidation) + trackers.size_bytes() + name.size();
    return new (::operator new(size)) Invalidation(trackers, name, writer_id);
  }
  void Deliver(WorkerPort& port) override {
    thread_local std::string keys;
    keys.clear();
    AppendArrayHeader(1, &keys);
    AppendBulk({reinterpret_cast<const char*>(trackers() + count_), name_size_}, &keys);
    for (size_t i = 0; i < count_; i++) {
      ForEachClient(trackers()[i], [&](uint64_t client_id) { TellClient(port, client_id, keys); });
    }
    this->~Invalidation();
    ::operator delete(this);
  }

 private:
  Invalidation(std::span<const Trackers> trackers, std::string_view name, uint64_t writer_id)
      : count_(trackers.size()), name_size_(name.size()), writer_id_(writer_id) {
    std::memcpy(this->trackers(), trackers.data(), trackers.size_bytes());
    std::memcpy(this->trackers() + count_, name.data(), name.size());
  }
  ~Invalidation() = default;

  void TellClient(WorkerPort& port, uint64_t client_id, KeyArray keys) const {
    Session* session = port.FindSession(client_id);
    if (session == nullptr) return;
    // Entered before it went over to BCAST, perhaps.
    if ((session->tracking & (kTrackingOn | kTrackingBcast)) != kTrackingOn) return;
    if (session->id == writer_id_ && (session->tracking & kTrackingNoLoop) != 0) return;
    Send(port, session, keys);
  }
  Trackers* trackers() { return reinterpret_cast<Trackers*>(this + 1); }

  const size_t count_, name_size_;
  const uint64_t writer_id_;  // 0: the server
};

/// All keys have gone: every tracking client of a worker gets a null, as in Redis those of BCAST mode too,
/// and the one who did it whatever NOLOOP says.
class AllInvalidated final : public Message {
 public:
  void Deliver(WorkerPort& port) override {
    for (const uint64_t client_id : port.tracking().clients()) {
      Session* session = port.FindSession(client_id);
      if (session != nullptr) Send(port, session, {});
    }
    delete this;
  }
};

/// A key has changed that clients of a worker may have prefixes for.
class Broadcast final : public Message {
 public:
  Broadcast(std::string_view name, uint64_t writer_id) : name_(name), writer_id_(writer_id) {}
  void Deliver(WorkerPort& port) override {
    port.tracking().Collect(name_, writer_id_);
    delete this;
  }

 private:
  const std::string name_;
  const uint64_t writer_id_;
};

/// Tells the trackers of a key, which stand in the order of their workers.
void PostInvalidations(const TrackedKey& key, uint64_t writer_id) {
  PostOffice* office = ThisThread().post_office;
  if (office == nullptr) return;
  std::span<const Trackers> left = key.trackers();
  while (!left.empty()) {
    const WorkerId worker = WorkerOf(left[0]);
    size_t count = 1;
    while (count < left.size() && WorkerOf(left[count]) == worker) count++;
    office->Post(worker, Invalidation::Create(left.first(count), key.name(), writer_id));
    left = left.subspan(count);
  }
}

void PostBroadcasts(Engine& engine, std::string_view name, uint64_t writer_id) {
  PostOffice* office = ThisThread().post_office;
  if (office == nullptr) return;
  thread_local std::vector<WorkerId> targets;
  engine.tracking.FindTargets(name, &targets);
  for (const WorkerId worker : targets) office->Post(worker, new Broadcast(name, writer_id));
}

/// How many keys may come or go in a shard before the others hear of it: few where few are allowed.
int64_t PublishStep(Engine& engine) {
  constexpr int64_t kStepMax = 64;
  const int64_t max = engine.options().tracking_table_max_keys.Get();
  const int64_t step = max / (16 * int64_t{engine.shard_count()});
  return step < 1 ? 1 : step > kStepMax ? kStepMax : step;
}

/// The keys of a read-only command whose router could not name them: it runs on all shards (SORT_RO with
/// patterns).
void RememberSearched(CommandContext& ctx) {
  thread_local std::vector<uint32_t> positions;
  ExtractKeys(*ctx.spec, ctx.args, &positions);
  for (const uint32_t position : positions) {
    const Key key = ctx.engine.MakeKey(ctx.args[position]);
    Keyspace& space = ctx.keyspace(key);
    if (space.tracking().Remember(key.hash, key.name, ctx.tracker)) LimitTracking(ctx.engine, space);
  }
}

}  // namespace

// ---- TrackingHub ----

namespace {
/// Versions of routes: no two hubs that a thread meets, one after the other in tests, share one.
uint64_t NextVersion() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}
}  // namespace

TrackingHub::TrackingHub(size_t workers, Counter* prefix_count)
    : version_(NextVersion()), clients_(new std::atomic<int64_t>[workers]), prefix_count_(prefix_count) {
  CHECK(workers <= kTrackingWorkersMax);
  for (size_t i = 0; i < workers; i++) clients_[i].store(0, std::memory_order_relaxed);
}

/// mutex_ is held.
void TrackingHub::Changed() {
  prefix_count_->Set(prefixes_.size());
  // relaxed: whoever must see it has synchronised by a lease (see has_broadcasts).
  version_.store(NextVersion(), std::memory_order_relaxed);
  has_broadcasts_.store(!prefixes_.empty(), std::memory_order_relaxed);
}

void TrackingHub::AddPrefix(std::string_view prefix, WorkerId worker) {
  const std::lock_guard<std::mutex> lock(mutex_);
  prefixes_[std::string(prefix)].insert(worker);
  Changed();
}

void TrackingHub::RemovePrefix(std::string_view prefix, WorkerId worker) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = prefixes_.find(prefix);
  CHECK(found != prefixes_.end());
  found->second.erase(worker);
  if (found->second.empty()) prefixes_.erase(found);
  Changed();
}

void TrackingHub::FindTargets(std::string_view name, std::vector<WorkerId>* targets) {
  thread_local Routes copy;
  if (copy.version != version_.load(std::memory_order_relaxed)) {
    const std::lock_guard<std::mutex> lock(mutex_);
    copy.version = version_.load(std::memory_order_relaxed);
    copy.routes.clear();
    for (const auto& [prefix, workers] : prefixes_) {
      copy.routes.push_back({prefix, {workers.begin(), workers.end()}});
    }
  }
  targets->clear();
  for (const Route& route : copy.routes) {
    if (!name.starts_with(route.prefix)) continue;
    targets->insert(targets->end(), route.workers.begin(), route.workers.end());
  }
  std::sort(targets->begin(), targets->end());
  targets->erase(std::unique(targets->begin(), targets->end()), targets->end());
}

// ---- WorkerTracking ----

void WorkerTracking::AddClient(uint64_t client_id) {
  clients_.insert(client_id);
  hub_->AddClient(worker_);
  counters_->tracking_clients.Set(clients_.size());
}

void WorkerTracking::RemoveClient(uint64_t client_id) {
  clients_.erase(client_id);
  hub_->RemoveClient(worker_);
  counters_->tracking_clients.Set(clients_.size());
}

void WorkerTracking::AddPrefix(std::string_view prefix, uint64_t client_id) {
  const auto [place, is_new] = prefixes_.try_emplace(std::string(prefix));
  place->second.clients.push_back(client_id);
  if (is_new) hub_->AddPrefix(prefix, worker_);
}

void WorkerTracking::RemovePrefix(std::string_view prefix, uint64_t client_id) {
  const auto found = prefixes_.find(prefix);
  CHECK(found != prefixes_.end());
  std::erase(found->second.clients, client_id);
  if (!found->second.clients.empty()) return;
  prefixes_.erase(found);
  hub_->RemovePrefix(prefix, worker_);
}

void WorkerTracking::Collect(std::string_view name, uint64_t writer_id) {
  for (auto& [prefix, state] : prefixes_) {
    if (!name.starts_with(prefix)) continue;
    state.keys[std::string(name)] = writer_id;
    has_collected_ = true;
  }
}

/// The keys that were last changed by others than `but_of`. False: there are none.
bool WorkerTracking::AppendKeys(const Prefix& prefix, uint64_t but_of, std::string* array) {
  size_t count = 0;
  for (const auto& [name, writer_id] : prefix.keys) count += but_of == 0 || writer_id != but_of ? 1 : 0;
  if (count == 0) return false;
  AppendArrayHeader(count, array);
  for (const auto& [name, writer_id] : prefix.keys) {
    if (but_of == 0 || writer_id != but_of) AppendBulk(name, array);
  }
  return true;
}

void WorkerTracking::SendCollected(WorkerPort& port) {
  if (!has_collected_) return;
  has_collected_ = false;
  for (auto& [prefix, state] : prefixes_) {
    if (state.keys.empty()) continue;
    std::string for_all;
    AppendKeys(state, 0, &for_all);
    for (const uint64_t client_id : state.clients) {
      Session* session = port.FindSession(client_id);
      if (session == nullptr) continue;
      if ((session->tracking & kTrackingNoLoop) == 0) {
        Send(port, session, for_all);
        continue;
      }
      std::string of_others;
      if (AppendKeys(state, client_id, &of_others)) Send(port, session, of_others);
    }
    state.keys.clear();
  }
}

// ---- Sessions ----

namespace {

/// Recomputes under which tracker the session's commands enter their keys.
void UpdateTracker(Session* session, WorkerTracking* worker) {
  const uint8_t flags = session->tracking;
  const bool is_given = (flags & kTrackingCaching) != 0;
  const bool remembers = (flags & kTrackingOn) != 0 && (flags & kTrackingBcast) == 0 &&
                         ((flags & kTrackingOptIn) == 0 || is_given) &&
                         ((flags & kTrackingOptOut) == 0 || !is_given);
  CHECK(session->id < kTrackingClientsMax);
  session->tracker = remembers && worker != nullptr ? MakeTracker(worker->worker(), session->id) : 0;
}

}  // namespace

void StartTracking(Session* session, WorkerTracking* worker, const TrackingOptions& options) {
  if ((session->tracking & kTrackingOn) == 0) {
    session->tracking_details = std::make_unique<TrackingDetails>();
    if (worker != nullptr) worker->AddClient(session->id);
  }
  // CLIENT CACHING stays as it was given, as in Redis.
  session->tracking = static_cast<uint8_t>((session->tracking & kTrackingCaching) | kTrackingOn | options.flags);
  TrackingDetails& details = *session->tracking_details;
  details.redirect_id = options.redirect_id;
  UpdateTracker(session, worker);
  if ((options.flags & kTrackingBcast) == 0) return;
  const auto add = [&](std::string_view prefix) {
    const auto place = std::lower_bound(details.prefixes.begin(), details.prefixes.end(), prefix);
    if (place != details.prefixes.end() && *place == prefix) return;
    details.prefixes.insert(place, std::string(prefix));
    if (worker != nullptr) worker->AddPrefix(prefix, session->id);
  };
  if (options.prefixes.empty()) add("");
  for (const std::string_view prefix : options.prefixes) add(prefix);
}

void StopTracking(Session* session, WorkerTracking* worker) {
  if ((session->tracking & kTrackingOn) == 0) return;
  if (worker != nullptr) {
    for (const std::string& prefix : session->tracking_details->prefixes) worker->RemovePrefix(prefix, session->id);
    worker->RemoveClient(session->id);
  }
  session->tracking = 0;
  session->tracker = 0;
  session->tracking_details.reset();
}

void SetCaching(Session* session, WorkerTracking* worker, bool is_given) {
  const uint8_t others = session->tracking & static_cast<uint8_t>(~kTrackingCaching);
  session->tracking = static_cast<uint8_t>(others | (is_given ? kTrackingCaching : 0));
  UpdateTracker(session, worker);
}

// ---- Commands ----

void RememberKeys(CommandContext& ctx) {
  if ((ctx.spec->flags & kFlagReadonly) == 0) return;
  if (ctx.keys.empty()) {
    if (ctx.spec->key_spec_count > 0 && ctx.spec->runs == Runs::kRouted) RememberSearched(ctx);
    return;
  }
  for (const Key& key : ctx.keys) {
    // XREAD that is tried again: the keys of other shards were entered when it began to wait.
    if (!ctx.Holds(key)) continue;
    Keyspace& space = ctx.keyspace(key);
    if (space.tracking().Remember(key.hash, key.name, ctx.tracker)) LimitTracking(ctx.engine, space);
  }
}

void InvalidateKey(Engine& engine, Keyspace& space, const Key& key, uint64_t client_id) {
  TrackingTable& table = space.tracking();
  if (!table.empty()) {
    TrackedKey* tracked = table.Take(key.hash, key.name);
    if (tracked != nullptr) {
      PostInvalidations(*tracked, client_id);
      table.Release(tracked);
      table.Publish(&engine.tracking.keys, PublishStep(engine));
    }
  }
  if (engine.tracking.has_broadcasts()) PostBroadcasts(engine, key.name, client_id);
}

void InvalidateAll(Engine& engine) {
  for (int shard = 0; shard < engine.shard_count(); shard++) {
    Keyspace& space = engine.keyspace(static_cast<ShardId>(shard));
    space.ForgetTrackedKeys();
    space.tracking().Publish(&engine.tracking.keys, 1);
  }
  PostOffice* office = ThisThread().post_office;
  if (office == nullptr) return;
  for (int i = 0; i < engine.config().workers; i++) {
    const WorkerId worker = static_cast<WorkerId>(i);
    if (engine.tracking.has_clients(worker)) office->Post(worker, new AllInvalidated());
  }
}

void LimitTracking(Engine& engine, Keyspace& space) {
  // As many as Redis drops at once.
  constexpr int kDropsMax = 100;
  TrackingTable& table = space.tracking();
  space.PublishMemory();
  table.Publish(&engine.tracking.keys, PublishStep(engine));
  const int64_t max = engine.options().tracking_table_max_keys.Get();
  if (max == 0) return;
  for (int i = 0; i < kDropsMax && !table.empty(); i++) {
    if (engine.tracking.keys.load(std::memory_order_relaxed) <= max) return;
    TrackedKey* dropped = table.TakeRandom([] { return ThreadRandom().Next(); });
    PostInvalidations(*dropped, 0);
    table.Release(dropped);
    table.Publish(&engine.tracking.keys, 1);
  }
}

}  // namespace sherd::engine
