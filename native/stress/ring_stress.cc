// Rings and doorbells under load: order, nothing lost, and no sleeper forgotten, with rings so
// small that they overflow all the time; and a litmus test of the doorbell's two fences.
#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "ring/mesh.h"
#include "stress/stress.h"

namespace sherd::stress {
namespace {

using ring::Doorbell;
using ring::Frame;
using ring::Mesh;

/// Waits for the bell's eventfd; a wait that lasts is a lost wake-up.
void SleepAtBell(Doorbell* bell, int64_t who) {
  pollfd descriptor{bell->fd(), POLLIN, 0};
  const int ready = poll(&descriptor, 1, kLostAfterMs);
  bell->Awake();
  if (ready == 0) {
    Fail("woken only by the timeout", who);
    std::abort();  // the other threads would wait for this one for ever
  }
  bell->Drain();
}

// ---- Everybody sends to everybody ----

struct alignas(64) Peer {
  std::vector<uint64_t> sent, received;  // by the other worker: last number
  uint64_t sleeps = 0;
};

struct Traffic {
  Traffic(uint16_t threads, size_t capacity, uint64_t frames_per_pair)
      : mesh(threads, capacity), peers(threads), frames_per_pair(frames_per_pair) {}
  Mesh mesh;
  std::vector<Peer> peers;
  const uint64_t frames_per_pair;
};

void SendSome(Traffic* traffic, uint16_t self, Random* random) {
  Peer& peer = traffic->peers[self];
  for (uint16_t to = 0; to < traffic->mesh.workers(); to++) {
    if (to == self || OneIn(random, 3)) continue;
    uint64_t burst = random->Below(12);
    for (; burst > 0 && peer.sent[to] < traffic->frames_per_pair; burst--) {
      // The payload is a fresh allocation: the receiver frees it, so that TSan and ASan see that
      // what a frame points to travels with it.
      auto* number = new uint64_t(++peer.sent[to]);
      traffic->mesh.Send(self, to, Frame::Of(7, *number, number));
    }
  }
}

bool IsAllDone(const Traffic& traffic, uint16_t self) {
  const Peer& peer = traffic.peers[self];
  for (uint16_t w = 0; w < traffic.mesh.workers(); w++) {
    if (w == self) continue;
    if (peer.sent[w] < traffic.frames_per_pair) return false;
    if (peer.received[w] < traffic.frames_per_pair) return false;
    if (traffic.mesh.sender(self, w).overflow_count() > 0) return false;
  }
  return true;
}

void RunPeer(Traffic* traffic, uint16_t self, uint64_t seed) {
  Random random(seed + self);
  Mesh& mesh = traffic->mesh;
  Peer& peer = traffic->peers[self];
  peer.sent.assign(mesh.workers(), 0);
  peer.received.assign(mesh.workers(), 0);
  while (!IsAllDone(*traffic, self)) {
    mesh.Drain(self, [&](uint16_t from, const Frame& frame) {
      auto* number = frame.pointer<uint64_t>();
      STRESS_EXPECT(frame.type() == 7);
      STRESS_EXPECT(frame.payload() == *number);
      STRESS_EXPECT(*number == peer.received[from] + 1, static_cast<int64_t>(*number), from);
      peer.received[from] = *number;
      delete number;
    });
    SendSome(traffic, self, &random);
    mesh.Flush(self);
    // Sometimes sleep although there is more to send: then only the others' frames, or room in a
    // full ring, may wake us. Whoever has sent all sleeps until it has received all.
    bool has_unsent = false;
    bool expects = false;
    for (uint16_t w = 0; w < mesh.workers(); w++) {
      if (w == self) continue;
      has_unsent = has_unsent || peer.sent[w] < traffic->frames_per_pair;
      expects = expects || peer.received[w] < traffic->frames_per_pair ||
                mesh.sender(self, w).HasOverflow();
    }
    const bool overflows = mesh.HasOverflow(self);
    if (!expects || (has_unsent && !(overflows && OneIn(&random, 2)))) continue;
    if (mesh.bell(self).PrepareToSleep([&] { return mesh.HasWork(self); })) {
      peer.sleeps++;
      SleepAtBell(&mesh.bell(self), self);
    }
  }
}

struct Totals {
  uint64_t frames = 0, sleeps = 0, stalls = 0, overflow_max = 0;
};

void RunTraffic(uint16_t threads, size_t capacity, uint64_t seed, Totals* totals) {
  constexpr uint64_t frames_per_pair = 3000;
  Traffic traffic(threads, capacity, frames_per_pair);
  std::vector<std::thread> runners;
  for (uint16_t w = 0; w < threads; w++) {
    runners.emplace_back([&traffic, w, seed] { RunPeer(&traffic, w, seed); });
  }
  for (auto& runner : runners) runner.join();
  for (uint16_t from = 0; from < threads; from++) {
    totals->sleeps += traffic.peers[from].sleeps;
    for (uint16_t to = 0; to < threads; to++) {
      if (from == to) continue;
      const auto& sender = traffic.mesh.sender(from, to);
      totals->frames += traffic.mesh.ring(from, to).popped_total();
      totals->stalls += sender.stalls();
      totals->overflow_max = std::max(totals->overflow_max, sender.overflow_count_max());
      STRESS_EXPECT(traffic.mesh.ring(from, to).popped_total() == frames_per_pair, from, to);
    }
  }
}

STRESS(ring_traffic) {
  const auto threads = static_cast<uint16_t>(options.threads > 0 ? options.threads : 4);
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::duration<double>(options.seconds);
  constexpr size_t capacities[] = {2, 8, 256};
  Totals totals[std::size(capacities)];
  uint64_t seed = options.seed;
  do {
    for (size_t i = 0; i < std::size(capacities); i++) {
      RunTraffic(threads, capacities[i], seed++, &totals[i]);
    }
  } while (std::chrono::steady_clock::now() < end && failures.load() == 0);
  for (size_t i = 0; i < std::size(capacities); i++) {
    std::printf("  threads %d capacity %zu: %llu frames, sleeps %llu, stalls %llu, longest "
                "overflow %llu\n",
                threads, capacities[i], static_cast<unsigned long long>(totals[i].frames),
                static_cast<unsigned long long>(totals[i].sleeps),
                static_cast<unsigned long long>(totals[i].stalls),
                static_cast<unsigned long long>(totals[i].overflow_max));
  }
}

// ---- Litmus: push, fence, look against sleep, fence, look ----

/// The same handshake without its fences, to see that the test can tell: it counts how often both
/// sides miss each other (the sleeper would sleep for ever). Plain stores sit in the store buffer
/// while the loads overtake them.
struct Unfenced {
  alignas(64) std::atomic<uint64_t> pushed{0};
  alignas(64) std::atomic<bool> sleeping{false};
};

/// One frame a round, pushed at the moment when the consumer goes to sleep.
STRESS(doorbell_litmus) {
  ring::SpscRing frames(2);
  Doorbell bell;
  Unfenced unfenced;
  alignas(64) std::atomic<uint64_t> start{0};
  alignas(64) std::atomic<uint64_t> missed_by_producer{0};  // 2 * round, +1: saw nobody asleep
  std::atomic<bool> must_stop{false};
  std::thread producer([&] {
    PinTo(1);
    Random random(options.seed);
    for (uint64_t round = 1;; round++) {
      SpinUntil([&] { return start.load(std::memory_order_acquire) >= round || must_stop.load(); });
      if (must_stop.load()) return;
      Waste(random.Below(100));
      unfenced.pushed.store(round, std::memory_order_relaxed);
      const bool missed = !unfenced.sleeping.load(std::memory_order_relaxed);
      missed_by_producer.store(2 * round + (missed ? 1 : 0), std::memory_order_release);
      frames.TryPush(Frame::Of(1, round & Frame::kPayloadMax, round));
      bell.Ring();
    }
  });
  Random random(options.seed + 1);
  uint64_t rounds = 0, slept = 0, lost_unfenced = 0;
  PinTo(0);
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::duration<double>(options.seconds);
  while (failures.load() == 0 && (rounds % 64 != 0 || std::chrono::steady_clock::now() < end)) {
    rounds++;
    unfenced.sleeping.store(false, std::memory_order_relaxed);
    start.store(rounds, std::memory_order_release);
    Waste(random.Below(250));
    unfenced.sleeping.store(true, std::memory_order_relaxed);
    const bool missed = unfenced.pushed.load(std::memory_order_relaxed) < rounds;
    if (bell.PrepareToSleep([&] { return frames.HasFrames(); })) {
      slept++;
      SleepAtBell(&bell, static_cast<int64_t>(rounds));
    }
    Frame frame{};
    while (!frames.TryPop(&frame)) {
      // A bell rung late, for the round before: sleep again.
      if (bell.PrepareToSleep([&] { return frames.HasFrames(); })) {
        SleepAtBell(&bell, static_cast<int64_t>(rounds));
      }
    }
    STRESS_EXPECT(frame.word1 == rounds, static_cast<int64_t>(frame.word1),
                  static_cast<int64_t>(rounds));
    const uint64_t seen = missed_by_producer.load(std::memory_order_acquire);
    if (missed && seen == 2 * rounds + 1) lost_unfenced++;
  }
  must_stop.store(true);
  producer.join();
  std::printf("  %llu rounds, slept in %llu, none lost; the same without fences would have lost "
              "%llu\n",
              static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(slept),
              static_cast<unsigned long long>(lost_unfenced));
}

}  // namespace
}  // namespace sherd::stress
