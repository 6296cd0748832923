// Tests of rings, doorbells and the mesh on one thread; threads are the business of
// stress/ring_stress.cc.
#include <poll.h>

#include <deque>
#include <utility>
#include <vector>

#include "base/random.h"
#include "ring/doorbell.h"
#include "ring/mesh.h"
#include "ring/spsc_ring.h"
#include "test/test.h"

namespace sherd::ring {
namespace {

Frame Number(uint64_t number) { return Frame::Of(1, number, number * 3); }

bool IsReadable(const Doorbell& bell) {
  pollfd descriptor{bell.fd(), POLLIN, 0};
  return poll(&descriptor, 1, 0) == 1;
}

TEST(frame_keeps_type_payload_and_pointer) {
  int target = 0;
  const Frame frame = Frame::Of(0xFE, Frame::kPayloadMax, &target);
  EXPECT_EQ(frame.type(), 0xFE);
  EXPECT_EQ(frame.payload(), Frame::kPayloadMax);
  EXPECT_TRUE(frame.pointer<int>() == &target);
}

TEST(ring_is_bounded_and_first_in_first_out) {
  SpscRing ring(4);
  EXPECT_FALSE(ring.HasFrames());
  for (uint64_t i = 0; i < 4; i++) EXPECT_TRUE(ring.TryPush(Number(i)));
  EXPECT_FALSE(ring.TryPush(Number(4)));
  EXPECT_EQ(ring.size(), 4u);
  Frame frame{};
  for (uint64_t i = 0; i < 4; i++) {
    EXPECT_TRUE(ring.TryPop(&frame));
    EXPECT_EQ(frame.payload(), i);
    EXPECT_EQ(frame.word1, i * 3);
  }
  EXPECT_FALSE(ring.TryPop(&frame));
  EXPECT_FALSE(ring.HasFrames());
}

TEST(ring_batches_behave_like_a_deque) {
  Random random(test::Seed());
  SpscRing ring(8);
  std::deque<uint64_t> model;
  uint64_t next = 0;
  Frame frames[12];
  for (int step = 0; step < 20000; step++) {
    const size_t count = random.Below(12);
    if (random.Below(2) == 0) {
      for (size_t i = 0; i < count; i++) frames[i] = Number(next + i);
      const size_t pushed = ring.PushBatch(frames, count);
      EXPECT_EQ(pushed, std::min(count, 8 - model.size()));
      for (size_t i = 0; i < pushed; i++) model.push_back(next++);
    } else {
      const size_t popped = ring.PopBatch(frames, count);
      EXPECT_EQ(popped, std::min(count, model.size()));
      for (size_t i = 0; i < popped; i++) {
        EXPECT_EQ(frames[i].payload(), model.front());
        model.pop_front();
      }
    }
    EXPECT_EQ(ring.size(), model.size());
  }
}

TEST(sender_overflows_and_keeps_the_order) {
  SpscRing ring(2);
  RingSender sender(&ring);
  for (uint64_t i = 0; i < 7; i++) sender.Push(Number(i));
  EXPECT_EQ(sender.overflow_count(), 5u);
  EXPECT_EQ(sender.stalls(), 1u);
  EXPECT_FALSE(sender.Flush());
  EXPECT_TRUE(ring.IsProducerStalled());
  Frame frame{};
  EXPECT_TRUE(ring.TryPop(&frame));
  sender.Push(Number(7));  // there is room, but it must not overtake
  for (uint64_t i = 1; i < 8; i++) {
    sender.Flush();
    EXPECT_TRUE(ring.TryPop(&frame));
    EXPECT_EQ(frame.payload(), i);
  }
  EXPECT_TRUE(sender.Flush());
  EXPECT_FALSE(ring.IsProducerStalled());
  EXPECT_EQ(sender.overflow_count_max(), 6u);
}

TEST(doorbell_costs_no_system_call_while_awake) {
  Doorbell bell;
  bell.Ring();
  EXPECT_EQ(bell.wakes(), 0u);
  EXPECT_FALSE(IsReadable(bell));
  EXPECT_FALSE(bell.PrepareToSleep([] { return true; }));  // work was there: still awake
  bell.Ring();
  EXPECT_EQ(bell.wakes(), 0u);
}

TEST(doorbell_wakes_a_sleeper_once) {
  Doorbell bell;
  EXPECT_TRUE(bell.PrepareToSleep([] { return false; }));
  bell.Ring();
  bell.Ring();
  EXPECT_EQ(bell.wakes(), 1u);
  EXPECT_TRUE(IsReadable(bell));
  bell.Awake();
  bell.Drain();
  EXPECT_FALSE(IsReadable(bell));
  EXPECT_TRUE(bell.PrepareToSleep([] { return false; }));
  bell.Ring();
  EXPECT_EQ(bell.wakes(), 2u);
}

TEST(doorbell_rung_during_the_look_is_not_lost) {
  Doorbell bell;
  EXPECT_TRUE(bell.PrepareToSleep([&] {
    bell.Ring();  // after the look would have found nothing
    return false;
  }));
  EXPECT_TRUE(IsReadable(bell));
}

TEST(mesh_delivers_by_pair_in_order_and_rings_once) {
  Mesh mesh(3, 4);
  EXPECT_TRUE(mesh.bell(2).PrepareToSleep([&] { return mesh.HasWork(2); }));
  for (uint64_t i = 0; i < 3; i++) mesh.Send(0, 2, Number(i));
  mesh.Send(1, 2, Number(100));
  EXPECT_FALSE(IsReadable(mesh.bell(2)));  // nobody is woken before Flush
  EXPECT_TRUE(mesh.HasWork(0));            // and the sender may not sleep: it owes a bell
  mesh.Flush(0);
  mesh.Flush(1);
  EXPECT_EQ(mesh.bell(2).wakes(), 1u);
  EXPECT_FALSE(mesh.HasWork(0));
  EXPECT_TRUE(mesh.HasWork(2));
  std::vector<std::pair<uint16_t, uint64_t>> got;
  const auto note = [&](uint16_t from, const Frame& frame) {
    got.emplace_back(from, frame.payload());
  };
  EXPECT_EQ(mesh.Drain(2, note), 4u);
  EXPECT_TRUE(got == (std::vector<std::pair<uint16_t, uint64_t>>{
                         {0, 0}, {0, 1}, {0, 2}, {1, 100}}));
  EXPECT_EQ(mesh.Drain(2, note), 0u);
}

TEST(mesh_rings_a_sender_that_waits_for_room) {
  Mesh mesh(2, 2);
  for (uint64_t i = 0; i < 5; i++) mesh.Send(0, 1, Number(i));
  mesh.Flush(0);
  EXPECT_TRUE(mesh.HasOverflow(0));
  EXPECT_TRUE(mesh.bell(0).PrepareToSleep([&] { return mesh.HasWork(0); }));
  uint64_t expected = 0;
  const auto check = [&](uint16_t, const Frame& frame) { EXPECT_EQ(frame.payload(), expected++); };
  EXPECT_EQ(mesh.Drain(1, check), 2u);
  EXPECT_EQ(mesh.bell(0).wakes(), 1u);
  mesh.bell(0).Awake();
  EXPECT_TRUE(mesh.HasWork(0));  // there is room now
  mesh.Flush(0);
  EXPECT_EQ(mesh.Drain(1, check), 2u);
  mesh.Flush(0);
  EXPECT_FALSE(mesh.HasOverflow(0));
  EXPECT_EQ(mesh.Drain(1, check), 1u);
  EXPECT_EQ(expected, 5u);
}

TEST(mesh_drain_takes_at_most_one_lap_from_a_sender) {
  Mesh mesh(2, 2);
  mesh.Send(0, 1, Number(0));
  mesh.Flush(0);
  uint64_t received = 0;
  // A sender that answers every frame at once would otherwise keep the drain going for ever.
  mesh.Drain(1, [&](uint16_t, const Frame&) {
    received++;
    if (received > 100) return;
    mesh.Send(0, 1, Number(received));
    mesh.Flush(0);
  });
  EXPECT_LE(received, 64u);
}

}  // namespace
}  // namespace sherd::ring
