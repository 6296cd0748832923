// Doorbell: wakes a thread that sleeps in epoll, at no system call while it is awake.
//
// An eventfd, which the thread has in its epoll set, and a flag `sleeping`. Ringing somebody who is
// awake costs a fence and a load of a line that nobody writes meanwhile.
//
//   consumer (the owner of the bell)             producer (anybody)
//   ---------------------------------            ------------------------------------
//   sleeping = 1                          (a)    push a frame                     (c)
//   fence                                        fence
//   look at all rings, queues             (b)    look at sleeping                 (d)
//     something there: sleeping = 0, work           1: exchange to 0; if it was 1,
//     nothing: epoll_wait                              write the eventfd
//                                                   0: nothing to do
//
// Why no wake-up is lost. Both sides store, fence (seq_cst), then look at the other's store. The
// two fences are ordered one before the other. If the consumer's is first, (d) sees (a) and the
// eventfd is written: epoll_wait returns, now or when it is called, since the eventfd stays
// readable. If the producer's is first, (b) sees (c) and the consumer does not sleep. With plain or
// acquire/release accesses both looks could come before both stores (the store buffer of every x86
// does this), and the frame would lie in the ring of a sleeper. native/shard/model/doorbell.pml
// checks this with store buffers.
//
// Coalesced: among many producers only the one whose exchange finds 1 makes the system call. A
// producer may be interrupted between exchange and write and write late: that is one wake-up too
// many, never too few, since the consumer looks again (b) before each sleep.
//
// The consumer's duties: call PrepareToSleep last before epoll_wait, with a function that looks at
// everything a bell may be rung for; call Awake first after it. With EPOLLET in the epoll set the
// eventfd need never be read: each write is a new edge. Level-triggered, call Drain when it is
// readable.
//
// Threads: Ring from any thread; PrepareToSleep, Awake and Drain from the owner's. Owns the
// eventfd.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "base/check.h"
#include "ring/spsc_ring.h"

namespace sherd::ring {

class alignas(kCacheLineBytes) Doorbell {
 public:
  Doorbell() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    CHECK_MSG(fd_ >= 0, "eventfd failed: too many open files?");
  }
  ~Doorbell() { close(fd_); }
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  /// To be put into the owner's epoll set (EPOLLIN, best with EPOLLET).
  int fd() const { return fd_; }

  // ---- Any thread ----

  /// Wakes the owner if it sleeps. Call after the push that it is to see.
  void Ring() {
    FullFence();
    RingAfterFence();
  }

  /// As Ring, for a caller that has executed FullFence() since its last push: one fence does for
  /// many bells.
  void RingAfterFence() {
    // relaxed: ordered after the push by the fence; pairs with PrepareToSleep's.
    if (__builtin_expect(!sleeping_.load(std::memory_order_relaxed), 1)) return;
    // relaxed: picks one among several ringers, publishes nothing (the rings' own indices do that).
    if (sleeping_.exchange(false, std::memory_order_relaxed)) Wake();
  }

  // ---- The owner ----

  /// `has_work()` looks at everything that bells are rung for. True: nothing there, the flag is up,
  /// go to sleep. False: there is work; the owner stays awake.
  template <class HasWork>
  [[nodiscard]] bool PrepareToSleep(HasWork&& has_work) {
    // relaxed: the fence, which pairs with the one in Ring(), orders it before the look.
    sleeping_.store(true, std::memory_order_relaxed);
    FullFence();
    if (!has_work()) return true;
    Awake();
    return false;
  }

  /// First thing after epoll_wait (or whatever the owner slept in) has returned.
  void Awake() {
    // relaxed: at worst a ringer still sees true and wakes us once too often.
    sleeping_.store(false, std::memory_order_relaxed);
  }

  /// Empties the eventfd; needed only where it is level-triggered.
  void Drain() {
    uint64_t count;
    while (read(fd_, &count, sizeof count) < 0 && errno == EINTR) {
    }
  }

  /// Eventfd writes made so far; any thread.
  uint64_t wakes() const { return wakes_.load(std::memory_order_relaxed); }

 private:
  void Wake() {
    const uint64_t one = 1;
    ssize_t written;
    do {
      written = write(fd_, &one, sizeof one);
    } while (written < 0 && errno == EINTR);
    // EAGAIN would mean 2^64 - 2 unread wake-ups: the descriptor is readable then, which is all we
    // want.
    CHECK(written == static_cast<ssize_t>(sizeof one) || errno == EAGAIN);
    wakes_.fetch_add(1, std::memory_order_relaxed);
  }

  // One line: the flag is read by every ringer and written only around a sleep; wakes_ is written
  // only with a system call.
  std::atomic<bool> sleeping_{false};
  const int fd_;
  std::atomic<uint64_t> wakes_{0};
};
static_assert(sizeof(Doorbell) == kCacheLineBytes);

}  // namespace sherd::ring
