// Server: listeners, and the execution of commands that came through a queue.
#include "net/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "engine/effort.h"
#include "net/lease_guest.h"
#include "net/runner.h"
#include "net/snapshot_access.h"
#include "net/worker.h"

namespace sherd::net {

Server::Server(const engine::EngineConfig& config, const engine::HandlerTable* handlers)
    : engine_(config),
      client_memory_(engine_),
      handlers_(handlers),
      list_group_(FindCommand("lpush")->group),
      leases_(static_cast<uint16_t>(config.shards), static_cast<uint16_t>(engine_.layout().threads()), this),
      mesh_(static_cast<uint16_t>(config.workers)),
      connection_counts_(new std::atomic<int>[static_cast<size_t>(config.workers)]),
      inboxes_(new ring::Inbox[static_cast<size_t>(config.workers)]),
      stripes_(new Stripe[kStripes]) {
  for (int i = 0; i < config.workers; i++) {
    connection_counts_[static_cast<size_t>(i)].store(0, std::memory_order_relaxed);
    workers_.push_back(std::make_unique<Worker>(this, static_cast<engine::WorkerId>(i)));
  }
  runner_ = std::make_unique<Runner>(this, static_cast<engine::WorkerId>(config.workers));
  for (int i = 1; i < static_cast<int>(engine::kRunners); i++) {
    guests_.push_back(std::make_unique<LeaseGuest>(this, static_cast<engine::WorkerId>(config.workers + i)));
  }
  snapshot_access_ = std::make_unique<SnapshotAccess>(this);
}

Server::~Server() {
  runner_.reset();
  guests_.clear();
  journal_.reset();
  CloseListeners();
}

// ---- Listeners ----

Server::ListenResult Server::AddListener(std::unique_ptr<Listener> listener) {
  ListenResult result;
  result.port = listener->port;
  for (auto& worker : workers_) worker->AddListener(listener.get());
  listeners_.push_back(std::move(listener));
  return result;
}

Server::ListenResult Server::ListenTcp(const std::string& address, int port, int backlog) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  const bool is_any6 = address == "::*";
  const bool is_any4 = address == "*";
  if (is_any4) hints.ai_family = AF_INET;
  if (is_any6) hints.ai_family = AF_INET6;
  addrinfo* found = nullptr;
  const std::string port_text = std::to_string(port);
  if (getaddrinfo(is_any4 || is_any6 ? nullptr : address.c_str(), port_text.c_str(), &hints, &found) != 0) {
    return {0, ENOENT, "getaddrinfo"};
  }
  ListenResult result{0, EADDRNOTAVAIL};
  for (addrinfo* at = found; at != nullptr; at = at->ai_next) {
    const int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      result = {0, errno, "socket"};
      continue;
    }
    const int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (at->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    const bool is_bound = bind(fd, at->ai_addr, at->ai_addrlen) == 0;
    if (!is_bound || listen(fd, backlog) != 0) {
      result = {0, errno, is_bound ? "listen" : "bind"};
      close(fd);
      continue;
    }
    sockaddr_storage bound{};
    socklen_t length = sizeof bound;
    getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length);
    auto listener = std::make_unique<Listener>();
    listener->fd = fd;
    listener->port = ntohs(bound.ss_family == AF_INET6
                               ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                               : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
    result = AddListener(std::move(listener));
    break;
  }
  freeaddrinfo(found);
  return result;
}

Server::ListenResult Server::ListenUnix(const std::string& path, int permissions, int backlog) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return {0, ENAMETOOLONG};
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return {0, errno};
  unlink(path.c_str());  // as Redis: a stale socket of a dead server must not stop the start
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, backlog) != 0) {
    const int error = errno;
    close(fd);
    return {0, error};
  }
  if (permissions != 0) chmod(path.c_str(), static_cast<mode_t>(permissions));
  auto listener = std::make_unique<Listener>();
  listener->fd = fd;
  listener->is_unix = true;
  listener->path = path;
  return AddListener(std::move(listener));
}

void Server::CloseListeners() {
  for (auto& listener : listeners_) {
    for (auto& worker : workers_) worker->RemoveListener(listener.get());
    close(listener->fd);
    listener->fd = -1;
    if (listener->is_unix) unlink(listener->path.c_str());
  }
  // The objects stay: a worker may still hold an event that names one.
}

engine::WorkerId Server::AssignConnection() {
  size_t best = 0;
  for (size_t i = 1; i < workers_.size(); i++) {
    // relaxed: a guess is enough to spread load.
    if (connection_counts_[i].load(std::memory_order_relaxed) <
        connection_counts_[best].load(std::memory_order_relaxed)) {
      best = i;
    }
  }
  connection_counts_[best].fetch_add(1, std::memory_order_relaxed);
  return static_cast<engine::WorkerId>(best);
}

void Server::UnassignConnection(engine::WorkerId worker) {
  connection_counts_[worker].fetch_sub(1, std::memory_order_relaxed);
}

// ---- Execution ----

void Server::Execute(shard::Request* base, shard::WorkerId self) {
  QueuedRequest* request = static_cast<QueuedRequest*>(base);
  if (request->phase == QueuedRequest::Phase::kGuest) return guest(self).Enter();
  if (request->phase > QueuedRequest::Phase::kRetry) return ExecuteCleanup(request);
  if (__builtin_expect(engine_.gate.load(std::memory_order_relaxed) != 0, 0)) {
    const Verdict verdict = CheckGate(*request->spec, request->transaction, request->db, request->keys,
                                      request->args.size(), &request->shard_list);
    request->awaits_snapshot = verdict == Verdict::kAwaitSnapshot;
    // relaxed: it is raised when the lease that we hold has been given up.
    request->snapshot_releases = engine_.snapshot_releases.load(std::memory_order_relaxed);
    if (verdict != Verdict::kRun) {
      request->outcome = verdict == Verdict::kWiden ? QueuedRequest::Outcome::kWiden
                                                    : QueuedRequest::Outcome::kPostponed;
      return Post(request->origin, request);
    }
  }
  if (IsForRunner(*request->spec, request->args, request->keys, request->db) && self != runner_->id()) {
    request->runs_on = runner_->id();
    return runner_->Run(request);
  }
  request->phase == QueuedRequest::Phase::kRetry ? ExecuteRetry(request, self) : ExecuteCommand(request, self);
  ServeReady(engine::ThisThread());
}

void Server::ExecuteCommand(QueuedRequest* request, engine::WorkerId self) {
  resp::ReplyBuilder reply(&request->reply, request->resp);
  engine::CommandContext ctx(engine_, reply);
  FillContext(request, &ctx, self);
  ctx.transaction_holes = &request->holes;
  if ((request->spec->flags & kFlagBlocking) != 0) ctx.block = &request->block;
  uint64_t tick = CycleClock::Now();
  RunCommand(ctx, request->handler, &tick);
  NoteUnit(request);
  if (self != request->origin) ctx.counters->commands_served_for_others.Increment();
  if (!request->block.is_set) {
    request->outcome = QueuedRequest::Outcome::kAnswered;
    return Post(request->origin, request);
  }
  request->deadline_ms = request->block.deadline_ms;
  // First linked, then told, so that its worker can take it back as soon as it knows of it. It cannot come
  // home before the notice: nobody else gets at its keys before we give up their leases.
  const engine::WorkerId origin = request->origin;
  RegisterWaiter(request);
  Post(origin, new BlockedNotice(request));
}

/// Ends the unit of a request that has run; its number goes home with the answer.
void Server::NoteUnit(QueuedRequest* request) {
  const uint64_t seq = engine::EndUnit(engine::ThisThread());
  if (__builtin_expect(seq != 0, 0) && (request->spec->flags & kFlagReadonly) == 0) request->written_seq = seq;
}

void Server::WakeHolders() {
  ring::FullFence();  // between what the journal has published and the look at who waits for it
  for (const auto& worker : workers_) {
    if (worker->holds_replies()) mesh_.bell(worker->index()).RingAfterFence();
  }
}

void Server::FillContext(QueuedRequest* request, engine::CommandContext* ctx, engine::WorkerId self) {
  if (self >= engine_.config().workers) {
    PrepareGuestContext(self, ctx);
  } else {
    workers_[self]->PrepareContext(ctx);
  }
  ctx->spec = request->spec;
  ctx->args = request->args;
  ctx->keys = request->keys;
  ctx->db = request->db;
  ctx->no_touch = request->no_touch;
  ctx->tracker = request->tracker;
  ctx->client_id = request->client_id;
  ctx->large_argument = &request->large;
  ctx->transaction = request->transaction;
  ctx->session = request->session;
  ctx->sender = &request->connection->session;
}

bool Server::IsForRunner(const CommandSpec& spec, std::span<const std::string_view> args,
                         std::span<const engine::Key> keys, int db) {
  return __builtin_expect(spec.effort != Effort::kNone, 0) &&
         engine::EffortOf(engine_, spec, args, keys, db) >= engine::kLongEffort;
}

void Server::ExecuteCleanup(QueuedRequest* request) {
  if (request->phase == QueuedRequest::Phase::kUnwatch) {
    engine::Unwatch(engine_, request->watches.get());
    delete request;
    return;
  }
  UnlinkHeld(request);
  request->outcome = QueuedRequest::Outcome::kUnlinked;
  Post(request->origin, request);
}

void Server::Grant(shard::Request* base, shard::WorkerId) {
  QueuedRequest* request = static_cast<QueuedRequest*>(base);
  request->outcome = QueuedRequest::Outcome::kGranted;
  if (request->runs_on == runner_->id()) return runner_->Run(request);
  if (request->phase == QueuedRequest::Phase::kGuest) return guest(request->runs_on).NoteGranted();
  Post(request->runs_on, request);
}

void Server::PrepareGuestContext(engine::WorkerId id, engine::CommandContext* ctx) {
  ctx->now_ms = Clock::WallMs();
  ctx->worker = id;
  ctx->counters = &engine_.worker_counters(id);
  ctx->clock = engine::MakeAccessClock(engine_.options(), ctx->now_ms);
}

// ---- Messages ----

void QueuedRequest::Deliver(engine::WorkerPort& port) { static_cast<Worker&>(port).ComeHome(this); }

void PollNotice::Deliver(engine::WorkerPort& port) {
  static_cast<Worker&>(port).PollLater(shard_);
  delete this;
}

void BlockedNotice::Deliver(engine::WorkerPort& port) {
  static_cast<Worker&>(port).NoteBlocked(request_);
  delete this;
}

void Server::Post(engine::WorkerId to, engine::Message* message) {
  inboxes_[to].Push(message);
  const engine::ThreadState& thread = engine::ThisThread();
  if (thread.port == nullptr) {
    mesh_.bell(to).Ring();
  } else if (to != thread.worker) {
    workers_[thread.worker]->RingLater(to);
  }
}

bool Server::Holds(engine::ShardId shard) { return leases_.HeldBy(shard, engine::ThisThread().worker); }

void Server::AddClient(uint64_t client_id, engine::WorkerId worker, Connection* connection) {
  Stripe& stripe = StripeOf(client_id);
  const std::lock_guard<std::mutex> lock(stripe.mutex);
  stripe.clients[client_id] = {worker, connection};
}

void Server::RemoveClient(uint64_t client_id) {
  Stripe& stripe = StripeOf(client_id);
  const std::lock_guard<std::mutex> lock(stripe.mutex);
  stripe.clients.erase(client_id);
}

bool Server::FindClient(uint64_t client_id, engine::WorkerId* worker) {
  Stripe& stripe = StripeOf(client_id);
  const std::lock_guard<std::mutex> lock(stripe.mutex);
  const auto found = stripe.clients.find(client_id);
  if (found == stripe.clients.end()) return false;
  *worker = found->second.worker;
  return true;
}

Connection* Server::FindConnection(uint64_t client_id, engine::WorkerId worker) {
  Stripe& stripe = StripeOf(client_id);
  const std::lock_guard<std::mutex> lock(stripe.mutex);
  const auto found = stripe.clients.find(client_id);
  return found == stripe.clients.end() || found->second.worker != worker ? nullptr : found->second.connection;
}

void Server::RingOwner(shard::ShardId shard, shard::WorkerId self) {
  if (self >= engine_.config().workers) return Post(engine_.OwnerOf(shard), new PollNotice(shard));
  workers_[self]->PollLater(shard);
  const engine::WorkerId owner = engine_.OwnerOf(shard);
  if (owner == self) return;
  mesh_.Send(self, owner, ring::Frame::Of(static_cast<uint8_t>(FrameType::kPollShard), shard, uint64_t{0}));
}

}  // namespace sherd::net
