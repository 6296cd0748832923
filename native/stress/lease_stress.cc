// Leases under many threads: an engine in miniature, with everything around the lease table that
// the real one has: workers with connections, rings, doorbells, owners, sleep.
//
// The data is a bank. Each shard holds one account and some bookkeeping in plain, non-atomic
// fields: if two threads were ever in one shard, TSan would see it, and without TSan the sums would
// be wrong sooner or later. A request on one shard changes the account of that shard and is
// answered with a number that the sender checks; a request on several moves money between them.
//
// Checked
//   - one thread at a time in a shard (R1): plain `inside` flag, plain counters, TSan;
//   - exactly once: each request counts its executions, its sender frees it when answered (ASan);
//   - order: single-shard requests of one worker on one shard carry consecutive numbers;
//   - conservation: the sum of all accounts is zero, and a request on all shards sees it so (R4);
//   - no lost wake-up: no sleep outlasts kLostAfterMs;
//   - nothing left: at the end all leases are free and all queues empty.
#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "ring/mesh.h"
#include "shard/lease.h"
#include "stress/stress.h"

namespace sherd::stress {
namespace {

using ring::Frame;
using shard::LeaseTable;
using shard::ShardId;
using shard::WorkerId;

constexpr int kShardsMax = 64;
constexpr int kThreadsMax = 64;

enum FrameType : uint8_t { kAnswer = 1, kPollShard = 2 };

/// What R1 protects. All plain.
struct Account {
  bool is_entered = false;
  int64_t balance = 0;
  uint64_t executed = 0;
  uint64_t last_number[kThreadsMax] = {};  // by origin: of its single-shard requests here
};

struct BankRequest : shard::Request {
  ShardId shard_list[kShardsMax];
  uint64_t number = 0;       // single-shard: consecutive by origin and shard
  int64_t amount = 0;
  int executions = 0;
  uint32_t connection = 0;
  uint64_t work = 0;         // iterations to waste inside, to make holders meet queues
};

struct Plan {
  int threads;
  int shards;
  int serve_batch_max;
  int connections;           // per worker
  size_t ring_capacity;
  uint32_t multi_one_in;     // one burst in so many spans several shards
};

class Bank final : public shard::Executor {
 public:
  Bank(const Plan& plan, const Options& options)
      : plan_(plan),
        options_(options),
        table_(static_cast<uint16_t>(plan.shards), static_cast<uint16_t>(plan.threads), this,
               plan.serve_batch_max),
        mesh_(static_cast<uint16_t>(plan.threads), plan.ring_capacity),
        accounts_(new Account[plan.shards]),
        workers_(new Worker[plan.threads]) {}

  void Run();
  void Execute(shard::Request* request, WorkerId self) override;
  void RingOwner(ShardId shard, WorkerId self) override;

 private:
  struct Connection {
    uint32_t unanswered = 0;  // parked while not zero
  };
  struct alignas(64) Worker {
    std::vector<Connection> connections;
    std::vector<BankRequest*> answered;  // by this worker itself
    std::vector<ShardId> to_poll;
    uint64_t numbers[kShardsMax] = {};   // last number sent to each shard
    uint64_t issued = 0;
    uint64_t in_place = 0;
    uint64_t unanswered = 0;
    uint64_t sleeps = 0;
    bool is_done = false;
  };

  WorkerId OwnerOf(ShardId shard) const { return static_cast<WorkerId>(shard % plan_.threads); }
  void RunWorker(WorkerId self);
  void Turn(WorkerId self, Random* random, bool is_issuing);
  void Sleep(WorkerId self);
  void IssueBurst(WorkerId self, uint32_t connection, Random* random);
  void IssueSingles(WorkerId self, uint32_t connection, Random* random);
  void IssueMulti(WorkerId self, uint32_t connection, Random* random);
  void ApplyInPlace(WorkerId self, ShardId shard, Random* random);
  void Apply(BankRequest* request, WorkerId self);
  void Answer(BankRequest* request, WorkerId self);
  void CheckEnd();

  const Plan plan_;
  const Options options_;
  LeaseTable table_;
  ring::Mesh mesh_;
  std::unique_ptr<Account[]> accounts_;
  std::unique_ptr<Worker[]> workers_;
  std::atomic<int> busy_workers_{0};   // that still issue or wait for answers
  std::atomic<bool> must_stop_{false};
};

// ---- The engine's side ----

void Bank::Apply(BankRequest* request, WorkerId self) {
  const uint16_t count = request->shard_count;
  int64_t sum = 0;
  for (uint16_t i = 0; i < count; i++) {
    Account& account = accounts_[request->shards[i]];
    STRESS_EXPECT(table_.HeldBy(request->shards[i], self), request->shards[i], self);
    STRESS_EXPECT(!account.is_entered, request->shards[i], self);
    account.is_entered = true;
    account.executed++;
    sum += account.balance;
  }
  if (count == plan_.shards) STRESS_EXPECT(sum == 0, sum);
  Waste(request->work);
  if (count == 1) {
    Account& account = accounts_[request->shards[0]];
    uint64_t& last = account.last_number[request->origin];
    STRESS_EXPECT(request->number == last + 1, static_cast<int64_t>(request->number),
                  static_cast<int64_t>(last));
    last = request->number;
  } else {
    accounts_[request->shards[0]].balance -= request->amount;
    accounts_[request->shards[count - 1]].balance += request->amount;
  }
  for (uint16_t i = 0; i < count; i++) accounts_[request->shards[i]].is_entered = false;
  request->executions++;
}

void Bank::Execute(shard::Request* request, WorkerId self) {
  auto* bank_request = static_cast<BankRequest*>(request);
  Apply(bank_request, self);
  if (request->origin == self) {
    workers_[self].answered.push_back(bank_request);
  } else {
    mesh_.Send(self, request->origin, Frame::Of(kAnswer, 0, bank_request));
  }
}

void Bank::RingOwner(ShardId shard, WorkerId self) {
  workers_[self].to_poll.push_back(shard);
  if (OwnerOf(shard) != self) {
    mesh_.Send(self, OwnerOf(shard), Frame::Of(kPollShard, shard, nullptr));
  }
}

void Bank::Answer(BankRequest* request, WorkerId self) {
  Worker& worker = workers_[self];
  STRESS_EXPECT(request->origin == self);
  STRESS_EXPECT(request->executions == 1, request->executions);
  worker.connections[request->connection].unanswered--;
  worker.unanswered--;
  delete request;
}

// ---- Connections ----

void Bank::ApplyInPlace(WorkerId self, ShardId shard, Random* random) {
  BankRequest request;
  request.shard_list[0] = shard;
  request.shards = request.shard_list;
  request.shard_count = 1;
  request.origin = self;
  request.number = ++workers_[self].numbers[shard];
  request.work = random->Below(40);
  Apply(&request, self);
  workers_[self].in_place++;
}

/// A pipeline on one shard: in place as long as the lease can be had, and kept for the next
/// command.
void Bank::IssueSingles(WorkerId self, uint32_t connection, Random* random) {
  Worker& worker = workers_[self];
  const auto shard = static_cast<ShardId>(random->Below(static_cast<uint64_t>(plan_.shards)));
  const uint64_t burst = 1 + random->Below(8);
  bool holds = false;
  for (uint64_t i = 0; i < burst; i++) {
    worker.issued++;
    const bool must_queue = !holds && OneIn(random, 4);
    if (holds || (!must_queue && table_.TryAcquire(shard, self))) {
      ApplyInPlace(self, shard, random);
      holds = !OneIn(random, 3);
      if (OneIn(random, 64)) sched_yield();  // let others find the lease taken
      if (!holds) table_.Release(shard, self);
      continue;
    }
    auto* request = new BankRequest;
    request->shard_list[0] = shard;
    request->shards = request->shard_list;
    request->shard_count = 1;
    request->origin = self;
    request->connection = connection;
    request->number = ++worker.numbers[shard];
    request->work = random->Below(40);
    worker.connections[connection].unanswered++;
    worker.unanswered++;
    table_.Submit(request, self);
  }
  if (holds) table_.Release(shard, self);
}

void Bank::IssueMulti(WorkerId self, uint32_t connection, Random* random) {
  Worker& worker = workers_[self];
  auto* request = new BankRequest;
  const bool is_all = OneIn(random, 4);
  for (int shard = 0; shard < plan_.shards; shard++) {
    if (!is_all && OneIn(random, 2)) continue;
    request->shard_list[request->shard_count++] = static_cast<ShardId>(shard);
  }
  if (request->shard_count < 2) {
    delete request;
    return IssueSingles(self, connection, random);
  }
  worker.issued++;
  request->shards = request->shard_list;
  request->origin = self;
  request->connection = connection;
  request->amount = static_cast<int64_t>(random->Below(1000));
  request->work = random->Below(100);
  worker.connections[connection].unanswered++;
  worker.unanswered++;
  if (OneIn(random, 2) && table_.TryAcquireAll(request->shards, request->shard_count, self)) {
    Apply(request, self);
    table_.ReleaseAll(request->shards, request->shard_count, self);
    Answer(request, self);
    worker.in_place++;
    return;
  }
  table_.Submit(request, self);
}

void Bank::IssueBurst(WorkerId self, uint32_t connection, Random* random) {
  if (OneIn(random, plan_.multi_one_in)) {
    IssueMulti(self, connection, random);
  } else {
    IssueSingles(self, connection, random);
  }
}

// ---- Workers ----

void Bank::Turn(WorkerId self, Random* random, bool is_issuing) {
  Worker& worker = workers_[self];
  mesh_.Drain(self, [&](uint16_t, const Frame& frame) {
    if (frame.type() == kAnswer) {
      Answer(frame.pointer<BankRequest>(), self);
    } else {
      table_.Poll(static_cast<ShardId>(frame.payload()), self);
    }
  });
  for (uint32_t c = 0; is_issuing && c < worker.connections.size(); c++) {
    if (worker.connections[c].unanswered == 0 && !OneIn(random, 4)) IssueBurst(self, c, random);
  }
  // Shards that we left with a queue: once more each; those left again wait for the next turn.
  std::vector<ShardId> to_poll;
  to_poll.swap(worker.to_poll);
  for (const ShardId shard : to_poll) table_.Poll(shard, self);
  for (BankRequest* request : worker.answered) Answer(request, self);
  worker.answered.clear();
  mesh_.Flush(self);
}

void Bank::Sleep(WorkerId self) {
  ring::Doorbell& bell = mesh_.bell(self);
  const bool may_sleep = bell.PrepareToSleep([&] {
    return mesh_.HasWork(self) || !workers_[self].to_poll.empty() ||
           busy_workers_.load(std::memory_order_seq_cst) == 0;
  });
  if (!may_sleep) return;
  workers_[self].sleeps++;
  pollfd descriptor{bell.fd(), POLLIN, 0};
  const int ready = poll(&descriptor, 1, kLostAfterMs);
  bell.Awake();
  if (ready == 0) {
    Fail("woken only by the timeout", self);
    std::abort();  // the other workers would wait for this one for ever
  }
  bell.Drain();
}

void Bank::RunWorker(WorkerId self) {
  Worker& worker = workers_[self];
  Random random(options_.seed + uint64_t{self} * 7919);
  worker.connections.resize(static_cast<size_t>(plan_.connections));
  while (busy_workers_.load(std::memory_order_seq_cst) > 0) {
    const bool is_issuing = !must_stop_.load(std::memory_order_relaxed);
    Turn(self, &random, is_issuing);
    if (!is_issuing && !worker.is_done && worker.unanswered == 0) {
      worker.is_done = true;
      if (busy_workers_.fetch_sub(1) == 1) {
        for (int w = 0; w < plan_.threads; w++) mesh_.bell(static_cast<uint16_t>(w)).Ring();
      }
    }
    // Sleep when all connections wait; sometimes also when one could go on, as if no client sent.
    const bool is_parked = worker.unanswered > 0 && worker.answered.empty();
    if ((!is_issuing || is_parked) && (worker.unanswered > 0 || worker.is_done)) Sleep(self);
  }
}

void Bank::CheckEnd() {
  int64_t sum = 0;
  uint64_t queued = 0, handed_over = 0, left = 0, length_max = 0, sleeps = 0, issued = 0;
  uint64_t in_place = 0, stalls = 0;
  for (int s = 0; s < plan_.shards; s++) {
    const auto shard = static_cast<ShardId>(s);
    const auto counters = table_.counters(shard);
    sum += accounts_[s].balance;
    queued += counters.queued;
    handed_over += counters.handed_over;
    left += counters.left_with_queue;
    length_max = std::max(length_max, counters.queue_length_max);
    STRESS_EXPECT(!table_.HasQueue(shard), s);
    STRESS_EXPECT(table_.TryAcquire(shard, 0), s);
    for (int w = 0; w < plan_.threads; w++) {
      STRESS_EXPECT(accounts_[s].last_number[w] == workers_[w].numbers[s], s, w);
    }
  }
  for (int w = 0; w < plan_.threads; w++) {
    sleeps += workers_[w].sleeps;
    issued += workers_[w].issued;
    in_place += workers_[w].in_place;
    for (int to = 0; to < plan_.threads; to++) {
      if (w != to) {
        stalls += mesh_.sender(static_cast<uint16_t>(w), static_cast<uint16_t>(to)).stalls();
      }
    }
  }
  STRESS_EXPECT(sum == 0, sum);
  std::printf("  threads %d shards %d batch %d: issued %llu, in place %llu, queued %llu, "
              "handed over %llu, batches used up %llu, longest queue %llu, sleeps %llu, "
              "ring stalls %llu\n",
              plan_.threads, plan_.shards, plan_.serve_batch_max,
              static_cast<unsigned long long>(issued), static_cast<unsigned long long>(in_place),
              static_cast<unsigned long long>(queued), static_cast<unsigned long long>(handed_over),
              static_cast<unsigned long long>(left), static_cast<unsigned long long>(length_max),
              static_cast<unsigned long long>(sleeps), static_cast<unsigned long long>(stalls));
}

void Bank::Run() {
  busy_workers_.store(plan_.threads);
  std::vector<std::thread> threads;
  for (int w = 0; w < plan_.threads; w++) {
    threads.emplace_back([this, w] { RunWorker(static_cast<WorkerId>(w)); });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(options_.seconds));
  must_stop_.store(true);
  for (int w = 0; w < plan_.threads; w++) mesh_.bell(static_cast<uint16_t>(w)).Ring();
  for (auto& thread : threads) thread.join();
  CheckEnd();
}

void RunPlan(Plan plan, const Options& options) {
  if (options.threads > 0) plan.threads = options.threads;
  if (options.shards > 0) plan.shards = options.shards;
  CHECK(plan.threads <= kThreadsMax);
  CHECK(plan.shards <= kShardsMax);
  Bank(plan, options).Run();
}

STRESS(lease_few_shards) { RunPlan({4, 2, 3, 8, 8, 4}, options); }
STRESS(lease_one_shard) { RunPlan({4, 1, 2, 8, 4, 1000}, options); }
STRESS(lease_many_multi) { RunPlan({6, 5, 1, 4, 16, 1}, options); }
STRESS(lease_default_batch) { RunPlan({8, 16, shard::kServeBatchMax, 32, 256, 6}, options); }

// ---- Litmus: push and look against release and look ----

/// Counts what it executes; in the rounds below nobody polls, so a request that both threads miss
/// stays.
class Counter final : public shard::Executor {
 public:
  void Execute(shard::Request*, WorkerId) override { executed_++; }
  void RingOwner(ShardId, WorkerId) override { Fail("one request used up a batch of 64"); }
  uint64_t executed() const { return executed_; }

 private:
  uint64_t executed_ = 0;  // under the lease, and read between rounds
};

/// Thread 0 holds the lease and gives it up while thread 1 submits: when both have returned, the
/// request has been executed and the lease is free, whoever won.
STRESS(lease_litmus) {
  Counter counter;
  LeaseTable table(1, 2, &counter);
  std::atomic<uint64_t> start{0}, finished{0};
  std::atomic<bool> must_stop{false};
  const ShardId shards[1] = {0};
  std::thread submitter([&] {
    PinTo(1);
    shard::Request request;
    request.shards = shards;
    request.shard_count = 1;
    Random random(options.seed);
    for (uint64_t round = 1;; round++) {
      SpinUntil([&] { return start.load(std::memory_order_acquire) >= round || must_stop.load(); });
      if (must_stop.load()) return;
      Waste(random.Below(100));
      table.Submit(&request, 1);
      finished.store(round, std::memory_order_release);
    }
  });
  Random random(options.seed + 1);
  uint64_t rounds = 0;
  PinTo(0);
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::duration<double>(options.seconds);
  while (std::chrono::steady_clock::now() < end && failures.load() == 0) {
    STRESS_EXPECT(table.TryAcquire(0, 0), static_cast<int64_t>(rounds));
    rounds++;
    start.store(rounds, std::memory_order_release);
    Waste(random.Below(250));
    table.Release(0, 0);
    SpinUntil([&] { return finished.load(std::memory_order_acquire) >= rounds; });
    STRESS_EXPECT(counter.executed() == rounds, static_cast<int64_t>(counter.executed()),
                  static_cast<int64_t>(rounds));
  }
  must_stop.store(true);
  submitter.join();
  std::printf("  %llu rounds, queued in %llu\n", static_cast<unsigned long long>(rounds),
              static_cast<unsigned long long>(table.counters(0).queued));
}

}  // namespace
}  // namespace sherd::stress
