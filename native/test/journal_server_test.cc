// Tests of whole servers with a journal: what it says replays to the same data; replies to writers wait for
// the disk under appendfsync always, those to readers do not; and what happens when the disk fails.
#include "persistence/journal.h"

#include <cerrno>
#include <chrono>
#include <thread>

#include "net/test_rig.h"
#include "persistence/journal_fake.h"
#include "test/loopback_socket.h"
#include "test/test.h"

namespace sherd {
namespace {

using persistence::AppendFsync;
using persistence::Journal;
using test::DetachedClient;
using test::FakeDisk;
using test::Line;
using test::ReadAof;
using test::ServerRig;

Journal& AddJournal(ServerRig& rig, FakeDisk& disk, AppendFsync policy) {
  net::Server& server = rig.server();
  auto owned = std::make_unique<Journal>(rig.engine(), [&server] { server.WakeHolders(); }, disk.Opener());
  Journal& journal = *owned;
  server.SetJournal(std::move(owned));
  EXPECT_EQ(journal.Open("a", 0, 0), 0);
  journal.Begin();
  journal.SetPolicy(policy, false);
  return journal;
}

/// A client with a socket, so that replies go through Worker::Flush.
class SocketClient {
 public:
  SocketClient(ServerRig& rig, int port) : rig_(rig), socket_(port) {}

  void Send(const std::string& bytes) { socket_.Send(bytes); }
  /// What has come after the workers have run for a while; returns at once when `wanted` has come.
  std::string Read(int wait_ms, std::string_view wanted = {}) {
    std::string got;
    for (int i = 0; i < wait_ms; i++) {
      rig_.Pump();
      ssize_t count;
      while ((count = socket_.Receive(&got)) > 0) {
      }
      if (count == 0 || errno != EAGAIN) return got + "(closed)";
      if (!wanted.empty() && got == wanted) return got;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return got;
  }
  std::string Run(const std::string& bytes, std::string_view wanted = {}) {
    Send(bytes);
    return Read(3000, wanted);
  }

 private:
  ServerRig& rig_;
  test::LoopbackSocket socket_;
};

TEST(journal_replays_to_the_same_data) {
  FakeDisk disk(test::Seed());
  ServerRig rig({.workers = 2, .shards = 4});
  Journal& journal = AddJournal(rig, disk, AppendFsync::kEverySec);
  DetachedClient a(rig, 0);
  DetachedClient b(rig, 1);
  Random random(test::Seed());
  const auto key = [&] { return "k" + std::to_string(random.Below(40)); };
  const auto value = [&] { return std::to_string(random.Below(1000)); };
  for (int i = 0; i < 4000; i++) {
    DetachedClient& client = random.Below(2) == 0 ? a : b;
    const std::vector<std::vector<std::string>> choices = {
        {"SET", key(), value()},
        {"MSET", key(), value(), key(), value()},
        {"SADD", "s" + key(), value(), value(), value()},
        {"SPOP", "s" + key(), "2"},
        {"RPUSH", "l" + key(), value(), value()},
        {"LMOVE", "l" + key(), "l" + key(), "LEFT", "RIGHT"},
        {"HINCRBYFLOAT", "h" + key(), value(), "1.25"},
        {"ZADD", "z" + key(), value(), value()},
        {"ZUNIONSTORE", "z" + key(), "2", "z" + key(), "z" + key()},
        {"XADD", "x" + key(), "*", "f", value()},
        {"RENAME", key(), key()},
        // Of their own: a replay comes after their time, and would not find them for anything else.
        {"SET", "t" + key(), value(), "PX", "1"},
        {"GET", "t" + key()},
        {"EXPIRE", key(), "1000"},
        {"DEL", key(), "s" + key(), "l" + key()},
        {"SELECT", random.Below(3) == 0 ? "1" : "0"},
        {"MULTI"},
        {"COPY", key(), key(), "REPLACE"},
        {"SWAPDB", "0", random.Below(20) == 0 ? "1" : "0"},
    };
    const std::vector<std::string>& words = choices[random.Below(choices.size())];
    client.Run(Line(words));
    if (words[0] == "MULTI") {
      for (uint64_t n = random.Below(4); n > 0; n--) client.Run(Line({"INCR", "n" + key()}));
      client.Run(Line({"EXEC"}));
    }
  }
  EXPECT_EQ(journal.SyncAll(), 0);
  const std::string digest = a.Run(Line({"DEBUG", "DIGEST"}));
  EXPECT_EQ(journal.SyncAll(), 0);  // the digest may have found keys expired
  ServerRig copy({.workers = 1, .shards = 8});
  DetachedClient reader(copy, 0);
  std::string errors;
  for (const auto& command : ReadAof(disk.Synced("a"))) {
    const std::string reply = reader.Run(Line(command));
    if (reply[0] == '-') errors += reply;
  }
  EXPECT_EQ(errors, "");
  EXPECT_EQ(reader.Run(Line({"DEBUG", "DIGEST"})), digest);
}

TEST(journal_holds_replies_of_writers_until_they_are_synced) {
  FakeDisk disk(test::Seed());
  ServerRig rig({.workers = 2, .shards = 4});
  const int port = rig.server().ListenTcp("127.0.0.1", 0, 16).port;
  AddJournal(rig, disk, AppendFsync::kAlways);
  SocketClient writer(rig, port);
  SocketClient reader(rig, port);
  EXPECT_EQ(writer.Run(Line({"SET", "a", "1"}), "+OK\r\n"), "+OK\r\n");
  EXPECT_EQ(ReadAof(disk.Synced("a")).size(), size_t{2});
  disk.FailOften(0, 100, 0);
  writer.Send(Line({"SET", "a", "2"}) + Line({"GET", "a"}));
  EXPECT_EQ(writer.Read(250), "");
  EXPECT_EQ(reader.Run(Line({"GET", "a"}), "$1\r\n2\r\n"), "$1\r\n2\r\n");
  const std::string refused = "-MISCONF Errors writing to the AOF file: Input/output error\r\n";
  EXPECT_EQ(reader.Run(Line({"SET", "a", "3"}), refused), refused);
  EXPECT_EQ(reader.Run(Line({"PING"}), refused), refused);
  const std::string queued = "+OK\r\n" + refused + "-EXECABORT Transaction discarded because of previous errors.\r\n";
  EXPECT_EQ(reader.Run(Line({"MULTI"}) + Line({"SET", "a", "4"}) + Line({"EXEC"}), queued), queued);
  EXPECT_EQ(reader.Run(Line({"MULTI"}) + Line({"GET", "a"}) + Line({"EXEC"}), "+OK\r\n+QUEUED\r\n*1\r\n$1\r\n2\r\n"),
            "+OK\r\n+QUEUED\r\n*1\r\n$1\r\n2\r\n");
  disk.FailOften(0, 0, 0);
  EXPECT_EQ(writer.Read(2000, "+OK\r\n$1\r\n2\r\n"), "+OK\r\n$1\r\n2\r\n");
  EXPECT_EQ(reader.Run(Line({"SET", "a", "5"}), "+OK\r\n"), "+OK\r\n");
  EXPECT_EQ(ReadAof(disk.Synced("a")).back()[2], "5");
}

// What is answered while a rewrite's cut holds frames back would be in memory alone, and kill -9 would lose it.
TEST(journal_holds_replies_of_writers_during_a_cut_under_every_policy) {
  for (const AppendFsync policy : {AppendFsync::kAlways, AppendFsync::kEverySec, AppendFsync::kNo}) {
    FakeDisk disk(test::Seed());
    ServerRig rig({.workers = 2, .shards = 4});
    const int port = rig.server().ListenTcp("127.0.0.1", 0, 16).port;
    Journal& journal = AddJournal(rig, disk, policy);
    SocketClient writer(rig, port);
    SocketClient reader(rig, port);
    EXPECT_EQ(writer.Run(Line({"SET", "a", "1"}), "+OK\r\n"), "+OK\r\n");
    journal.Cut();
    EXPECT_EQ(journal.Wait().error, 0);
    writer.Send(Line({"SET", "a", "2"}));
    EXPECT_EQ(writer.Read(100), "");
    EXPECT_EQ(reader.Run(Line({"GET", "a"}), "$1\r\n2\r\n"), "$1\r\n2\r\n");
    EXPECT_EQ(journal.Open("b", 0, 0), 0);
    EXPECT_EQ(writer.Read(2000, "+OK\r\n"), "+OK\r\n");
    EXPECT_EQ(journal.SyncAll(), 0);
    EXPECT_EQ(ReadAof(disk.Synced("b")).back()[2], "2");
  }
}

TEST(journal_holds_transactions_and_served_waiters_too) {
  FakeDisk disk(test::Seed());
  ServerRig rig({.workers = 2, .shards = 4});
  const int port = rig.server().ListenTcp("127.0.0.1", 0, 16).port;
  Journal& journal = AddJournal(rig, disk, AppendFsync::kAlways);
  SocketClient writer(rig, port);
  SocketClient waiter(rig, port);
  SocketClient listener(rig, port);
  waiter.Send(Line({"BLPOP", "q", "0"}));
  EXPECT_EQ(waiter.Read(20), "");
  const std::string subscribed = "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
  EXPECT_EQ(listener.Run(Line({"SUBSCRIBE", "c"}), subscribed), subscribed);
  disk.FailOften(0, 100, 0);
  writer.Send(Line({"MULTI"}) + Line({"RPUSH", "q", "x"}) + Line({"PUBLISH", "c", "m"}) + Line({"EXEC"}));
  EXPECT_EQ(writer.Read(150), "");
  EXPECT_EQ(waiter.Read(50), "");
  // A message to others is not a promise about the data.
  EXPECT_EQ(listener.Read(100), "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
  disk.FailOften(0, 0, 0);
  EXPECT_EQ(waiter.Read(2000, "*2\r\n$1\r\nq\r\n$1\r\nx\r\n"), "*2\r\n$1\r\nq\r\n$1\r\nx\r\n");
  const std::string done = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:1\r\n";
  EXPECT_EQ(writer.Read(2000, done), done);
  // Nobody waits for a disk that nothing is promised of any more.
  disk.FailOften(0, 100, 0);
  writer.Send(Line({"SET", "a", "1"}) + Line({"QUIT"}));
  EXPECT_EQ(writer.Read(100), "");
  journal.SetPolicy(AppendFsync::kEverySec, false);
  EXPECT_EQ(writer.Read(2000, "+OK\r\n+OK\r\n(closed)"), "+OK\r\n+OK\r\n(closed)");
}

TEST(writes_are_refused_for_two_reasons) {
  FakeDisk disk(test::Seed());
  ServerRig rig({.workers = 1, .shards = 1});
  Journal& journal = AddJournal(rig, disk, AppendFsync::kEverySec);
  DetachedClient client(rig, 0);
  EXPECT_EQ(client.Run(Line({"SET", "a", "1"})), "+OK\r\n");
  rig.engine().RefuseWrites("MISCONF snapshots");
  EXPECT_EQ(client.Run(Line({"SET", "a", "1"})), "-MISCONF snapshots\r\n");
  disk.FailOften(100, 0, 0);
  EXPECT_EQ(client.Run(Line({"DEL", "a", "1", "2"})), "-MISCONF snapshots\r\n");
  rig.engine().RefuseWrites("");
  EXPECT_EQ(client.Run(Line({"SET", "a", "1"})), "+OK\r\n");
  for (int i = 0; i < 2000 && rig.engine().durability.error.load() == 0; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    rig.Pump();
  }
  const std::string refused = "-MISCONF Errors writing to the AOF file: No space left on device\r\n";
  EXPECT_EQ(client.Run(Line({"SET", "a", "1"})), refused);
  EXPECT_EQ(client.Run(Line({"SET", "a"})), "-ERR wrong number of arguments for 'set' command\r\n");
  EXPECT_EQ(client.Run(Line({"GET", "a"})), "$1\r\n1\r\n");
  rig.engine().RefuseWrites("MISCONF snapshots");
  EXPECT_EQ(client.Run(Line({"SET", "a", "1"})), "-MISCONF snapshots\r\n");
  rig.engine().RefuseWrites("");
  disk.FailOften(0, 0, 0);
  const auto start = std::chrono::steady_clock::now();
  while (client.Run(Line({"SET", "a", "2"})) == refused) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));
  EXPECT_EQ(journal.SyncAll(), 0);
  EXPECT_EQ(ReadAof(disk.Synced("a")).back()[2], "2");
}

}  // namespace
}  // namespace sherd
