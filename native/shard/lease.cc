// The slow half of the lease protocol: queues, hand-over, requests on several shards. See lease.h
// for the idea, the word, the states and the invariants L1-L8.
//
// Every entry (Submit, Release with a queue, ReleaseAll, Poll) is a "shift": a loop that holds a
// list of leases and works until the list is empty. Each round takes the shard on top, pops one
// request and executes it, or hands the lease over and carries the request on, or gives the lease
// up. What is met on the way only changes the list, so the stack never grows.
#include "shard/lease.h"

namespace sherd::shard {

using lease_internal::Bump;
using lease_internal::HeldWord;
using lease_internal::HolderOf;
using lease_internal::InboxOf;
using lease_internal::kBacklogBit;
using lease_internal::kHolderMask;
using lease_internal::kHolderOne;
using lease_internal::kHolderRequest;
using lease_internal::kInboxMask;
using lease_internal::kNoShard;
using lease_internal::ShardState;

/// Touched by the worker's own thread only.
struct alignas(64) LeaseTable::WorkerState {
  bool is_on_shift = false;  // guards against the executor calling back into the table
};

namespace {

uint64_t InboxWord(const Request* request) {
  const uint64_t word = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(request));
  // User space addresses have 47 or 48 bits on x86-64 and arm64 unless a program asks for more.
  CHECK_MSG((word & ~kInboxMask) == 0, "a request's address does not fit the lease word");
  return word;
}

void CheckShards(const ShardId* shards, uint16_t count, uint16_t limit) {
  CHECK(count > 0);
  for (uint16_t i = 0; i + 1 < count; i++) CHECK(shards[i] < shards[i + 1]);
  CHECK(shards[count - 1] < limit);
}

}  // namespace

// ---- Entries ----

LeaseTable::LeaseTable(uint16_t shards, uint16_t workers, Executor* executor, int serve_batch_max)
    : shard_count_(shards),
      worker_count_(workers),
      serve_batch_max_(serve_batch_max),
      executor_(executor),
      shards_(new ShardState[shards]),
      workers_(new WorkerState[workers]) {
  CHECK(shards > 0);
  CHECK(shards < kNoShard);
  CHECK(workers > 0);
  CHECK(workers < kHolderRequest - 1);  // holder = worker + 1, and 65535 is the waiting request's
  CHECK(serve_batch_max > 0);
}

LeaseTable::~LeaseTable() = default;

void LeaseTable::Submit(Request* request, WorkerId self) {
  CheckShards(request->shards, request->shard_count, shard_count_);
  request->granted = 0;
  Shift shift{self, serve_batch_max_, kNoShard};
  Work(&shift, request);
}

void LeaseTable::RunGranted(Request* request, WorkerId self) {
  CHECK(request->runs_on == self && request->granted == request->shard_count);
  NameHolder(*request, static_cast<uint16_t>(self + 1));
  Shift shift{self, serve_batch_max_, kNoShard};
  Work(&shift, request);
}

void LeaseTable::Poll(ShardId shard, WorkerId self) {
  CHECK(shard < shard_count_);
  std::atomic<uint64_t>& word = shards_[shard].word;
  uint64_t seen = word.load(std::memory_order_relaxed);  // relaxed: the exchange decides
  do {
    if (seen == 0 || HolderOf(seen) != 0) return;  // nothing queued, or its holder serves the queue
    // LEFT -> HELD, without B (L3). acquire: pairs with the release of LetGo and with the pushers'.
  } while (!word.compare_exchange_weak(seen, HeldWord(self) | (seen & kInboxMask),
                                       std::memory_order_acquire, std::memory_order_relaxed));
  Shift shift{self, serve_batch_max_, kNoShard};
  Link(shard, &shift);
  Work(&shift, nullptr);
}

bool LeaseTable::TryAcquireAll(const ShardId* shards, uint16_t count, WorkerId self) {
  // A look first, so that a set which cannot be had disturbs nobody. relaxed: TryAcquire decides.
  for (uint16_t i = 0; i < count; i++) {
    if (shards_[shards[i]].word.load(std::memory_order_relaxed) != 0) return false;
  }
  for (uint16_t i = 0; i < count; i++) {
    if (TryAcquire(shards[i], self)) continue;
    ReleaseAll(shards, i, self);
    return false;
  }
  return true;
}

void LeaseTable::ReleaseAll(const ShardId* shards, uint16_t count, WorkerId self) {
  for (uint16_t i = 0; i < count; i++) {
    if (TryRelease(shards[i], self)) continue;
    ReleaseSlow(shards + i, static_cast<uint16_t>(count - i), self);
    return;
  }
}

void LeaseTable::ReleaseSlow(const ShardId* shards, uint16_t count, WorkerId self) {
  Shift shift{self, serve_batch_max_, kNoShard};
  for (uint16_t i = 0; i < count; i++) {
    CHECK_MSG(HeldBy(shards[i], self), "released a lease that the worker does not hold");
    Link(shards[i], &shift);
  }
  if (count > 1) DropIdle(&shift);  // nobody shall wait for a free shard while we serve another
  Work(&shift, nullptr);
}

// ---- The shift ----

void LeaseTable::Work(Shift* shift, Request* carried) {
  CHECK(shift->self < worker_count_);
  WorkerState& worker = workers_[shift->self];
  CHECK_MSG(!worker.is_on_shift, "the executor called the lease table");
  worker.is_on_shift = true;
  if (carried != nullptr) Carry(carried, shift);
  while (shift->held != kNoShard) ServeTop(shift);
  worker.is_on_shift = false;
}

/// One step for the shard on top of the list: a request from its queue, or its release.
void LeaseTable::ServeTop(Shift* shift) {
  const ShardId shard = shift->held;
  Request* request = shift->budget > 0 ? PopQueue(shard, shift->self) : nullptr;
  if (request == nullptr) {
    LetGo(shift);
    return;
  }
  shift->budget--;
  DCHECK(request->shards[request->granted] == shard);
  request->granted++;
  const bool is_bound = request->runs_on != kAnyWorker && request->runs_on != shift->self;
  if (request->shard_count == 1 && !is_bound) {
    executor_->Execute(request, shift->self);  // the shard stays on top, its queue goes on
    return;
  }
  // Hand-over: the lease is the request's now and leaves our list; we carry the request on.
  ShardState& state = shards_[shard];
  Bump(&state.handed_over);
  shift->held = state.next_held;
  NameHolder(*request, static_cast<uint16_t>(shift->self + 1));
  Carry(request, shift);
}

/// Takes the request's remaining leases in ascending order and executes it, or parks it at the
/// first one that is taken. After parking the request is not ours to touch: another thread may be
/// executing it.
void LeaseTable::Carry(Request* request, Shift* shift) {
  while (request->granted < request->shard_count) {
    const ShardId shard = request->shards[request->granted];
    if (TryAcquire(shard, shift->self)) {
      request->granted++;
      continue;
    }
    // While it waits, its leases are held in its own name (L1).
    NameHolder(*request, kHolderRequest);
    switch (ClaimOrPark(shard, request, shift->self)) {
      case Claim::kTaken:
        request->granted++;
        NameHolder(*request, static_cast<uint16_t>(shift->self + 1));
        continue;
      case Claim::kParked:
        return;
      case Claim::kAdopted:
        Link(shard, shift);
        return;
    }
  }
  Complete(request, shift);
}

/// Executes a request whose leases are all held, and puts them on the list to be given up.
void LeaseTable::Complete(Request* request, Shift* shift) {
  const uint16_t count = request->shard_count;
  if (request->runs_on != kAnyWorker && request->runs_on != shift->self) {
    NameHolder(*request, kHolderRequest);
    executor_->Grant(request, shift->self);
    return;
  }
  // Before Execute, since the request and its list of shards may be gone after it.
  for (uint16_t i = 0; i < count; i++) {
    DCHECK(HeldBy(request->shards[i], shift->self));
    Link(request->shards[i], shift);
  }
  executor_->Execute(request, shift->self);
  if (count > 1) DropIdle(shift);  // nobody shall wait for a free shard while we serve another
}

// ---- One shard's word ----

/// The lease was found taken. In one step: take it if it has become idle; if it is held, push; if
/// it was left with a queue, push and take it, to serve the queue up to and beyond the request.
LeaseTable::Claim LeaseTable::ClaimOrPark(ShardId shard, Request* request, WorkerId self) {
  ShardState& state = shards_[shard];
  const uint64_t pushed = InboxWord(request);
  uint64_t seen = state.word.load(std::memory_order_relaxed);  // relaxed: the exchanges decide
  for (;;) {
    if (seen == 0) {
      // IDLE -> HELD. acquire: as in TryAcquire.
      if (state.word.compare_exchange_weak(seen, HeldWord(self), std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
        Bump(&state.in_place);
        return Claim::kTaken;
      }
      continue;
    }
    request->queue_next = InboxOf(seen);
    if (HolderOf(seen) == 0) {
      // LEFT -> HELD, the request pushed, B cleared (L3): the backlog is ours now. acquire: pairs
      // with the release of LetGo and of the pushers before us. No release needed for our own push:
      // we are its next reader; but those below us in the inbox were released by their own pushes.
      if (state.word.compare_exchange_weak(seen, HeldWord(self) | pushed,
                                           std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
        return Claim::kAdopted;
      }
      continue;
    }
    // HELD -> HELD, the request pushed. release: pairs with the acquire in TakeInbox, or in Poll
    // and above where the holder leaves it behind; publishes the request. The holder cannot let go
    // unseen: its exchange expects an empty inbox, and fails after ours.
    if (state.word.compare_exchange_weak(seen, (seen & kHolderMask) | pushed,
                                         std::memory_order_release,
                                         std::memory_order_relaxed)) {
      return Claim::kParked;
    }
  }
}

/// Writes `holder` into the words of all leases that the request holds. The holder's part of a word
/// that is held is written by nobody else, so an addition changes it and leaves concurrent pushes
/// alone.
void LeaseTable::NameHolder(const Request& request, uint16_t holder) {
  for (uint16_t i = 0; i < request.granted; i++) {
    std::atomic<uint64_t>& word = shards_[request.shards[i]].word;
    // relaxed, both: the name decides nothing between threads. The request itself passes through a
    // queue with release and acquire, and that orders all that its carriers do.
    const uint64_t named = HolderOf(word.load(std::memory_order_relaxed));
    DCHECK(named != 0);
    if (named == holder) continue;
    word.fetch_add((uint64_t{holder} - named) * kHolderOne, std::memory_order_relaxed);
  }
}

/// The oldest queued request of a shard that self holds, or null.
Request* LeaseTable::PopQueue(ShardId shard, WorkerId self) {
  ShardState& state = shards_[shard];
  if (state.backlog == nullptr && !TakeInbox(shard, self)) return nullptr;
  Request* request = state.backlog;
  state.backlog = request->queue_next;
  state.backlog_length--;
  return request;
}

/// Moves the inbox into the empty backlog, oldest first. False if there was none.
bool LeaseTable::TakeInbox(ShardId shard, WorkerId self) {
  ShardState& state = shards_[shard];
  DCHECK(state.backlog == nullptr);
  if (InboxOf(state.word.load(std::memory_order_relaxed)) == nullptr) return false;
  // HELD -> HELD with the inbox empty. acquire: pairs with the releases of all pushers in the
  // inbox; each later push continues the release sequence of the earlier ones.
  const uint64_t seen = state.word.exchange(HeldWord(self), std::memory_order_acquire);
  DCHECK((seen & kHolderMask) == HeldWord(self));
  Request* oldest_first = nullptr;
  uint64_t length = 0;
  for (Request* request = InboxOf(seen); request != nullptr; length++) {
    Request* next = request->queue_next;
    request->queue_next = oldest_first;
    oldest_first = request;
    request = next;
  }
  state.backlog = oldest_first;
  state.backlog_length = length;
  Bump(&state.queued, length);
  if (length > state.queue_length_max.load(std::memory_order_relaxed)) {
    state.queue_length_max.store(length, std::memory_order_relaxed);
  }
  return true;
}

/// Gives up the shard on top of the list: to IDLE if nothing is queued, to LEFT if the batch is
/// used up. Does nothing if a request has come and the batch is not used up.
void LeaseTable::LetGo(Shift* shift) {
  const ShardId shard = shift->held;
  ShardState& state = shards_[shard];
  // Our last look at the plain fields: after the exchange they are somebody else's.
  const ShardId next_held = state.next_held;
  const bool has_backlog = state.backlog != nullptr;
  uint64_t seen = state.word.load(std::memory_order_relaxed);  // relaxed: the exchange decides
  uint64_t left;
  do {
    left = (seen & kInboxMask) | (has_backlog ? kBacklogBit : 0);
    if (left != 0 && shift->budget > 0) return;
    // release: pairs with the acquire of whoever takes the lease next.
  } while (!state.word.compare_exchange_weak(seen, left, std::memory_order_release,
                                             std::memory_order_relaxed));
  shift->held = next_held;
  if (left == 0) return;
  // Not Bump: the lease is gone.
  state.left_with_queue.fetch_add(1, std::memory_order_relaxed);
  executor_->RingOwner(shard, shift->self);
}

/// Gives up all shards of the list that have nothing queued.
void LeaseTable::DropIdle(Shift* shift) {
  ShardId rest = shift->held;
  shift->held = kNoShard;
  while (rest != kNoShard) {
    const ShardId shard = rest;
    ShardState& state = shards_[shard];
    rest = state.next_held;  // before the release: after it the field is somebody else's
    if (state.backlog != nullptr || !TryRelease(shard, shift->self)) Link(shard, shift);
  }
}

void LeaseTable::Link(ShardId shard, Shift* shift) {
  shards_[shard].next_held = shift->held;
  shift->held = shard;
}

LeaseCounters LeaseTable::counters(ShardId shard) const {
  CHECK(shard < shard_count_);
  const ShardState& state = shards_[shard];
  const auto read = [](const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return LeaseCounters{read(state.in_place), read(state.queued), read(state.handed_over),
                       read(state.left_with_queue), read(state.queue_length_max)};
}

}  // namespace sherd::shard
