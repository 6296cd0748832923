// Messages to many subscribers over real sockets: their outputs refer to bytes that are written once a turn
// (net/turn_log.h), and who reads late must get the same bytes as who reads at once.
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "net/test_rig.h"
#include "test/loopback_socket.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Line;
using test::LoopbackSocket;
using test::ServerRig;

std::string Bulk(std::string_view text) {
  return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
}

// Twelve subscribers of one channel, two of them also by a pattern, a third in RESP3. Some read every turn,
// some now and then, some not before the end, all with small buffers in the kernel.
TEST(subscribers_that_read_late_get_every_byte) {
  ServerRig rig({.workers = 1, .shards = 1});
  const net::Server::ListenResult listening = rig.server().ListenTcp("127.0.0.1", 0, 64);
  ASSERT_EQ(listening.error, 0);
  constexpr size_t kSubscribers = 12;
  std::vector<std::unique_ptr<LoopbackSocket>> subscribers;
  std::vector<std::string> inputs(kSubscribers);
  std::vector<std::string> expected(kSubscribers);
  const auto is_resp3 = [](size_t i) { return i % 3 == 0; };
  const auto has_pattern = [](size_t i) { return i < 2; };
  for (size_t i = 0; i < kSubscribers; i++) {
    subscribers.push_back(std::make_unique<LoopbackSocket>(listening.port, i % 4 == 3 ? 0 : 4096));
    if (is_resp3(i)) subscribers[i]->Send(Line({"HELLO", "3"}));
    subscribers[i]->Send(Line({"SUBSCRIBE", "news"}));
    if (has_pattern(i)) subscribers[i]->Send(Line({"PSUBSCRIBE", "n*"}));
    for (int turn = 0; turn < 5; turn++) rig.Pump();
    while (subscribers[i]->Receive(&inputs[i]) > 0) inputs[i].clear();
  }
  LoopbackSocket publisher(listening.port);
  std::string replies;
  Random random(test::Seed());
  for (int turn = 0; turn < 400; turn++) {
    for (uint64_t left = random.Below(6); left > 0; left--) {
      const size_t size = random.OneIn(20) ? 8000 + random.Below(4000) : random.Below(random.OneIn(3) ? 3000 : 60);
      const std::string text(size, static_cast<char>('a' + turn % 26));
      publisher.Send(Line({"PUBLISH", "news", text}));
      for (size_t i = 0; i < kSubscribers; i++) {
        const std::string mark = is_resp3(i) ? ">" : "*";
        expected[i] += mark + "3\r\n" + Bulk("message") + Bulk("news") + Bulk(text);
        if (has_pattern(i)) expected[i] += mark + "4\r\n" + Bulk("pmessage") + Bulk("n*") + Bulk("news") + Bulk(text);
      }
    }
    rig.Pump();
    publisher.Receive(&replies);
    for (size_t i = 0; i < kSubscribers; i++) {
      if (i % 4 == 0 || (i % 4 == 1 && random.OneIn(10))) subscribers[i]->Receive(&inputs[i], random.Below(20'000));
    }
  }
  // To the end: a turn for the server between any two reads.
  for (int idle = 0; idle < 50; idle++) {
    rig.Pump();
    publisher.Receive(&replies);
    for (size_t i = 0; i < kSubscribers; i++) {
      if (subscribers[i]->Receive(&inputs[i]) > 0) idle = 0;
    }
    if (idle > 10) usleep(1000);
  }
  for (size_t i = 0; i < kSubscribers; i++) {
    EXPECT_EQ(inputs[i].size(), expected[i].size());
    EXPECT_TRUE(inputs[i] == expected[i]);
  }
}

}  // namespace
}  // namespace sherd
