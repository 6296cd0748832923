// Leases: how commands enter shards (R1, R2, R4).
//
// A shard is entered only by the thread that holds its lease. A request that finds the lease taken
// waits in the shard's queue, and its worker goes on with other connections. Whoever gives a lease
// up works the queue off first, a bounded batch at a time. A request on several shards takes its
// leases in ascending order; where one is taken, it waits in that shard's queue, and the holder
// that meets it there hands the lease over to it and carries it on: the thread that completes the
// set executes it. No thread ever waits for a lease.
//
// The idea: lease and queue of a shard are one atomic word.
//
//      63          48 47                                        3  2   1   0
//     +--------------+-------------------------------------------+---+---+---+
//     | holder       | inbox: the request pushed last, or null   | 0 | 0 | B |   ShardState::word
//     +--------------+-------------------------------------------+---+---+---+
//       0      nobody            the rest of the inbox hangs on Request::queue_next, newest first
//       w + 1  worker w's call chain
//       65535  a waiting request that spans several shards
//       B      backlog: requests that a former holder took out of the inbox and left behind
//
// Why one word. With a lease and a queue side by side, two places need store-load order: push, then
// look at the lease again; let go, then look at the queue again. A request pushed between another
// thread's last look and its letting go would wait for ever. With one word there is nothing
// between: "push if held, else take" and "let go if the inbox is empty" are each one
// compare-and-swap, and all changes of a word are totally ordered. No fence and no second look is
// needed; acquire and release suffice, and the uncontended path is two exchanges on one line.
//
//            TryAcquire, Submit                    Release: inbox and backlog empty
//     IDLE ----------------------> HELD -----------------------------------------------> IDLE
//     word = 0                   holder != 0 --+
//                                  ^   ^       | Submit by others: inbox grows
//       Poll, or Submit by anybody |   +-------+ holder takes the inbox, executes, hands over
//       (pushes and takes in one)  |   |
//                                  |   | batch used up: let go with work queued, then RingOwner
//                                  +- LEFT <-+
//                                     holder = 0, inbox != null or B
//
// Invariants
//   L1  While holder = w + 1, exactly one call chain, on worker w, owns the shard's engine and the
//       plain fields of its ShardState. While holder = 65535, nobody executes in the shard; the
//       request that has the lease is in the queue of a shard with a higher number, or on its way
//       there, or has all its leases and is on its way to who must execute it
//       (Grant).
//   L2  word = 0 means nothing is queued: TryAcquire needs a look at nothing else, and can never
//       overtake a queued request. Hence a queued request waits for those before it and for nobody
//       else.
//   L3  B set  =>  holder = 0. (While held, the holder knows its backlog; the bit speaks to
//       strangers.)
//   L4  Every path out of HELD leads to IDLE, to a new holder, or to LEFT followed by RingOwner.
//       From LEFT, whoever next submits to or polls the shard takes it. So nothing queued depends
//       on one thread.
//   L5  The queue is first in, first out in the order of the pushes; so requests of one worker on
//       one shard keep their order. (A request on several shards has its place in each of its
//       queues only when it gets there: R3 asks that its connection sends nothing else before it is
//       answered.)
//   L6  A request holds shards[0 .. granted) and waits only for shards[granted], which is higher.
//       So the waits-for relation follows the order of shard numbers and has no cycle.
//   L7  Execute, and the serving around it, never recurse: requests met on the way go through one
//       loop whose list of held shards is threaded through the ShardStates themselves. Constant
//       stack, no allocation.
//   L8  One call of Submit, Release, ReleaseAll or Poll executes at most serve_batch_max requests
//       from queues, plus the submitted one.
//
// Explored exhaustively by native/shard/model/lease.pml, driven under TSan by
// native/stress/lease_stress.cc.
//
// Threads: every function from any thread that passes a worker number of its own as `self`; two
// threads may not use one number at a time. Ownership: requests belong to their sender until
// Submit; then to the table until Execute; in Execute the executor answers, and from then on the
// sender may free them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/check.h"
#include "base/prefetch.h"

namespace sherd::shard {

using ShardId = uint16_t;
using WorkerId = uint16_t;

/// Requests from queues that one call executes before it lets go and rings the owner. 64 short
/// commands are some 30-60 us: long enough to make a hand-over rare under load, short enough that
/// the worker's own sockets do not notice.
inline constexpr int kServeBatchMax = 64;

/// Request::runs_on of a request that anybody may execute.
inline constexpr WorkerId kAnyWorker = 0xFFFF;

/// What waits in a shard's queue; the engine derives from it. Plain fields: a request is published
/// to other threads by the compare-and-swap that pushes it.
struct Request {
  Request* queue_next = nullptr;    // private to the table
  const ShardId* shards = nullptr;  // ascending, distinct; must live as long as the request
  uint16_t shard_count = 0;
  uint16_t granted = 0;             // leases held so far: shards[0 .. granted); set by Submit
  WorkerId origin = 0;              // worker whose connection sent it; for the executor's use
  WorkerId runs_on = kAnyWorker;    // who must execute it, if not whoever has its leases
};

/// Implemented by the engine.
class Executor {
 public:
  /// Executes and answers `request`; called on worker `self` with all its leases held by self's
  /// call chain. Its sender may free the request as soon as it is answered; the table does not
  /// touch it after this call. Must not call the table, but for HeldBy.
  virtual void Execute(Request* request, WorkerId self) = 0;

  /// All leases of a request are held in its name, and `self` is not who must execute it (runs_on): tells
  /// that worker, which then calls RunGranted. Must not call the table.
  virtual void Grant(Request*, WorkerId) { CHECK_MSG(false, "this executor has no homes"); }

  /// `shard` was let go with requests queued, because the batch is used up. Must see to it that
  /// Poll(shard) is called soon, on a thread that may be expected to have time: ring the owner, and
  /// have `self` poll it as well at the end of its turn, in case the owner is busy elsewhere.
  /// Anybody who submits to the shard meanwhile takes it too; polling a shard that needs nothing
  /// costs one load. Must not call the table from inside.
  virtual void RingOwner(ShardId shard, WorkerId self) = 0;

 protected:
  ~Executor() = default;
};

/// A shard's counters, as read at some moment.
struct LeaseCounters {
  uint64_t in_place;         // leases taken without queueing
  uint64_t queued;           // requests that went through the queue, counted when taken out
  uint64_t handed_over;      // leases given to a request that spans several shards
  uint64_t left_with_queue;  // batches used up
  uint64_t queue_length_max; // longest inbox + backlog that a holder has met
};

namespace lease_internal {

inline constexpr int kHolderShift = 48;
inline constexpr uint64_t kHolderOne = uint64_t{1} << kHolderShift;
inline constexpr uint64_t kHolderMask = uint64_t{0xFFFF} << kHolderShift;
inline constexpr uint64_t kBacklogBit = 1;
inline constexpr uint64_t kInboxMask = ~kHolderMask & ~uint64_t{7};
inline constexpr uint16_t kHolderRequest = 0xFFFF;
inline constexpr ShardId kNoShard = 0xFFFF;

constexpr uint64_t HeldWord(WorkerId worker) { return (uint64_t{worker} + 1) << kHolderShift; }
constexpr uint64_t HolderOf(uint64_t word) { return word >> kHolderShift; }
inline Request* InboxOf(uint64_t word) {
  return reinterpret_cast<Request*>(static_cast<uintptr_t>(word & kInboxMask));
}

/// Adds one to a counter that only the holder of the lease writes: no RMW needed. Readers may see
/// an older value: relaxed, nothing hangs on it.
inline void Bump(std::atomic<uint64_t>* counter, uint64_t by = 1) {
  counter->store(counter->load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

/// A shard's place in the table: two lines of its own, and a pair of lines since the prefetcher of
/// x86 fetches lines in pairs.
///
///   line 0  | word | backlog | next_held | in_place |    all that an uncontended command touches
///   line 1  | queued | handed_over | left | length_max |  written once per contended batch
struct alignas(128) ShardState {
  std::atomic<uint64_t> word{0};  // the only field that a thread without the lease may write

  // Plain fields: the holder's (L1).
  Request* backlog = nullptr;     // taken out of the inbox, oldest first
  uint64_t backlog_length = 0;
  ShardId next_held = kNoShard;   // next in the list of shards that this call chain has to give up
  std::atomic<uint64_t> in_place{0};

  alignas(64) std::atomic<uint64_t> queued{0};
  std::atomic<uint64_t> handed_over{0};
  std::atomic<uint64_t> left_with_queue{0};
  std::atomic<uint64_t> queue_length_max{0};
};
static_assert(sizeof(ShardState) == 128);
static_assert(offsetof(ShardState, word) == 0);
static_assert(offsetof(ShardState, in_place) + sizeof(uint64_t) <= 64);
static_assert(offsetof(ShardState, queued) == 64);
static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(alignof(Request) >= 8, "the low three bits of the word are flags");

}  // namespace lease_internal

class LeaseTable {
 public:
  /// `serve_batch_max` is kServeBatchMax but for tests. The executor must outlive the table.
  LeaseTable(uint16_t shards, uint16_t workers, Executor* executor,
             int serve_batch_max = kServeBatchMax);
  ~LeaseTable();
  LeaseTable(const LeaseTable&) = delete;
  LeaseTable& operator=(const LeaseTable&) = delete;

  // ---- In place: the caller runs its command itself ----

  /// True if the lease was free and nothing queued: `self` holds it now and must Release it.
  bool TryAcquire(ShardId shard, WorkerId self) {
    lease_internal::ShardState& state = shards_[shard];
    // relaxed: a guess that spares the line's owner a write attempt; the exchange below decides.
    if (state.word.load(std::memory_order_relaxed) != 0) return false;
    uint64_t idle = 0;
    // acquire: pairs with the release of the holder that let go (Release, LetGo); makes its work in
    // the shard visible to ours.
    if (!state.word.compare_exchange_strong(idle, lease_internal::HeldWord(self),
                                            std::memory_order_acquire,
                                            std::memory_order_relaxed)) {
      return false;
    }
    lease_internal::Bump(&state.in_place);
    return true;
  }

  /// Asks for the lease's line in a state that can be written, ahead of TryAcquire: with several
  /// workers it was last held elsewhere as often as not, and fetching it then costs more than the
  /// command. A hint; changes nothing.
  void Prefetch(ShardId shard) const { PrefetchForWrite(&shards_[shard]); }

  /// Gives a lease up that self holds from TryAcquire or TryAcquireAll. Requests that came
  /// meanwhile are executed first, at most serve_batch_max of them.
  void Release(ShardId shard, WorkerId self) {
    if (!TryRelease(shard, self)) ReleaseSlow(&shard, 1, self);
  }

  /// All of `shards` (ascending, distinct), or nothing. On failure, those taken for a moment are
  /// given up again as by Release, so requests of others may be executed inside.
  bool TryAcquireAll(const ShardId* shards, uint16_t count, WorkerId self);

  /// As Release for each, but with one batch for all.
  void ReleaseAll(const ShardId* shards, uint16_t count, WorkerId self);

  // ---- Queued: somebody runs the request ----

  /// Executes `request` here and now if all its leases are free, else leaves it where its next
  /// lease is taken. Returns at once either way, perhaps after a batch of requests of others. The
  /// request may be answered and gone on return. One worker's single-shard requests on one shard
  /// are executed in the order submitted.
  void Submit(Request* request, WorkerId self);

  /// Executes a request that was granted to `self`, and gives its leases up as Submit does.
  void RunGranted(Request* request, WorkerId self);

  /// Takes the shard if it was left with work queued, and serves a batch. The owner's duty when
  /// rung, and anybody's right.
  void Poll(ShardId shard, WorkerId self);

  // ---- Looking ----

  /// True if worker's call chain holds the lease. For CHECKs by that worker itself; seen from
  /// another thread it may be out of date.
  bool HeldBy(ShardId shard, WorkerId worker) const {
    // relaxed: a thread sees its own writes, and nobody else writes the holder while we hold.
    const uint64_t word = shards_[shard].word.load(std::memory_order_relaxed);
    return (word & lease_internal::kHolderMask) == lease_internal::HeldWord(worker);
  }

  /// True if somebody has queued since the shard was acquired: a hint to give it up soon.
  bool HasQueue(ShardId shard) const {
    const uint64_t word = shards_[shard].word.load(std::memory_order_relaxed);
    return (word & ~lease_internal::kHolderMask) != 0;
  }

  /// True if the shard needs a Poll: work queued, nobody has it. Cheap enough for a timer to ask
  /// all.
  bool IsLeft(ShardId shard) const {
    const uint64_t word = shards_[shard].word.load(std::memory_order_relaxed);
    return word != 0 && lease_internal::HolderOf(word) == 0;
  }

  uint16_t shard_count() const { return shard_count_; }
  uint16_t worker_count() const { return worker_count_; }
  LeaseCounters counters(ShardId shard) const;

 private:
  /// One call of Submit, Release, ReleaseAll or Poll: what it holds and how much it may still do.
  struct Shift {
    WorkerId self;
    int budget;     // requests it may still take from queues
    ShardId held;   // list through ShardState::next_held of the shards to serve and give up
  };
  enum class Claim { kTaken, kParked, kAdopted };

  /// HELD with nothing queued -> IDLE.
  bool TryRelease(ShardId shard, WorkerId self) {
    uint64_t held = lease_internal::HeldWord(self);
    // release: pairs with the acquire of whoever takes the lease next. relaxed on failure: the slow
    // path looks again.
    return shards_[shard].word.compare_exchange_strong(
        held, 0, std::memory_order_release, std::memory_order_relaxed);
  }

  void ReleaseSlow(const ShardId* shards, uint16_t count, WorkerId self);
  void Work(Shift* shift, Request* carried);
  void ServeTop(Shift* shift);
  void Carry(Request* request, Shift* shift);
  void Complete(Request* request, Shift* shift);
  Claim ClaimOrPark(ShardId shard, Request* request, WorkerId self);
  void NameHolder(const Request& request, uint16_t holder);
  Request* PopQueue(ShardId shard, WorkerId self);
  bool TakeInbox(ShardId shard, WorkerId self);
  void LetGo(Shift* shift);
  void DropIdle(Shift* shift);
  void Link(ShardId shard, Shift* shift);

  struct WorkerState;

  const uint16_t shard_count_;
  const uint16_t worker_count_;
  const int serve_batch_max_;
  Executor* const executor_;
  const std::unique_ptr<lease_internal::ShardState[]> shards_;
  const std::unique_ptr<WorkerState[]> workers_;
};

}  // namespace sherd::shard
