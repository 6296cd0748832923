// Client-side caching with several workers: who is told what, in which order, over one worker's connections
// and over those of others, with commands run in place and sent to their owners.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/test_rig.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::DetachedClient;
using test::Line;
using test::RigOptions;
using test::ServerRig;

constexpr RigOptions kInPlace = {.workers = 2, .shards = 4};
constexpr RigOptions kOwner = {.workers = 2, .shards = 4, .in_place = false};

std::string Bulk(const std::string& text) { return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n"; }
std::string Keys(const std::vector<std::string>& names) {
  std::string bytes = "*" + std::to_string(names.size()) + "\r\n";
  for (const std::string& name : names) bytes += Bulk(name);
  return bytes;
}
std::string Push(const std::vector<std::string>& names) { return ">2\r\n" + Bulk("invalidate") + Keys(names); }
const std::string kPushNull = ">2\r\n$10\r\ninvalidate\r\n_\r\n";

/// A connection that others find by its number.
class Client : public DetachedClient {
 public:
  Client(ServerRig& rig, int worker, int resp = 3) : DetachedClient(rig, worker), rig_(rig) {
    connection().session.resp = resp;
    rig.server().AddClient(id(), static_cast<engine::WorkerId>(worker), &connection());
  }
  ~Client() { Leave(); }
  void Leave() { rig_.server().RemoveClient(id()); }
  uint64_t id() { return connection().session.id; }
  /// Runs one command and returns all that came, messages included.
  std::string Do(const std::vector<std::string>& words) {
    std::string bytes = Run(Line(words));
    for (int i = 0; i < 3; i++) rig_.Pump();
    return bytes + Take();
  }
  /// What has come without a command.
  std::string Got() {
    for (int i = 0; i < 3; i++) rig_.Pump();
    return Take();
  }

 private:
  ServerRig& rig_;
};

TEST(tracking_tells_a_reader_once_that_its_key_has_changed) {
  for (const RigOptions& options : {kInPlace, kOwner}) {
    ServerRig rig(options);
    for (const int writer_worker : {0, 1}) {
      for (int shard = 0; shard < 4; shard++) {
        const std::string key = rig.KeyOn(shard);
        Client reader(rig, 0);
        Client writer(rig, writer_worker);
        EXPECT_EQ(reader.Do({"CLIENT", "TRACKING", "on"}), "+OK\r\n");
        EXPECT_EQ(reader.Do({"SET", key, "1"}), "+OK\r\n");
        EXPECT_EQ(reader.Do({"GET", key}), Bulk("1"));
        EXPECT_EQ(writer.Do({"SET", key, "2"}), "+OK\r\n");
        EXPECT_EQ(reader.Got(), Push({key}));
        EXPECT_EQ(writer.Do({"SET", key, "3"}), "+OK\r\n");
        EXPECT_EQ(reader.Got(), "");
        // By name, whatever the database; and a key that does not exist can be read as well.
        EXPECT_EQ(reader.Do({"GET", key + "?"}), "_\r\n");
        writer.connection().session.db = 3;
        EXPECT_EQ(writer.Do({"SET", key + "?", "3"}), "+OK\r\n");
        EXPECT_EQ(reader.Got(), Push({key + "?"}));
        EXPECT_EQ(reader.Do({"CLIENT", "TRACKING", "off"}), "+OK\r\n");
      }
    }
    rig.Validate();
  }
}

TEST(tracking_many_readers_of_a_key_are_all_told) {
  ServerRig rig({.workers = 3, .shards = 4});
  std::vector<std::unique_ptr<Client>> readers;
  for (int i = 0; i < 60; i++) {
    readers.push_back(std::make_unique<Client>(rig, i % 3, i % 10 == 9 ? 2 : 3));
    readers.back()->Do({"CLIENT", "TRACKING", "on"});
    EXPECT_TRUE(readers.back()->Do({"MGET", "a", "b"}).size() > 0);
  }
  Client writer(rig, 1);
  EXPECT_EQ(writer.Do({"MSET", "a", "1", "c", "2"}), "+OK\r\n");
  // RESP2 has no pushes: those clients are told nothing.
  for (int i = 0; i < 60; i++) EXPECT_EQ(readers[static_cast<size_t>(i)]->Got(), i % 10 == 9 ? "" : Push({"a"}));
  size_t items = 0;
  for (uint16_t shard = 0; shard < 4; shard++) items += rig.engine().shard_counters(shard).tracking_items.Get();
  EXPECT_EQ(items, 60u);
  rig.Validate();
}

TEST(tracking_tells_the_writer_behind_its_own_reply) {
  for (const RigOptions& options : {kInPlace, kOwner}) {
    ServerRig rig(options);
    for (int shard = 0; shard < 4; shard++) {
      const std::string key = rig.KeyOn(shard);
      Client client(rig, 0);
      client.Do({"CLIENT", "TRACKING", "on"});
      EXPECT_EQ(client.Run(Line({"GET", key}) + Line({"SET", key, "1"}) + Line({"GET", key}) + Line({"PING"})),
                "_\r\n+OK\r\n" + Push({key}) + Bulk("1") + "+PONG\r\n");
      EXPECT_EQ(client.Do({"MSET", key, "2", rig.KeyOn(3 - shard, 5), "3"}), "+OK\r\n" + Push({key}));
      client.Do({"CLIENT", "TRACKING", "on", "NOLOOP"});
      EXPECT_EQ(client.Run(Line({"GET", key}) + Line({"SET", key, "4"})), Bulk("2") + "+OK\r\n");
      EXPECT_EQ(client.Got(), "");
      client.Do({"DEL", key});
    }
  }
}

TEST(tracking_tells_the_writer_behind_its_transaction) {
  for (const RigOptions& options : {kInPlace, kOwner}) {
    ServerRig rig(options);
    Client client(rig, 0);
    client.Do({"CLIENT", "TRACKING", "on"});
    const std::string reply = client.Run(Line({"MULTI"}) + Line({"GET", "a"}) + Line({"SET", "a", "1"}) +
                                         Line({"GET", "b"}) + Line({"EXEC"}) + Line({"PING"}));
    EXPECT_EQ(reply, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n_\r\n+OK\r\n_\r\n" + Push({"a"}) + "+PONG\r\n");
    // The reads of a transaction count.
    Client writer(rig, 1);
    writer.Do({"SET", "b", "1"});
    EXPECT_EQ(client.Got(), Push({"b"}));
  }
}

TEST(tracking_messages_wait_while_a_transaction_is_put_together) {
  // EXEC has read the old value, and its reply waits for the control plane: the invalidation may not
  // overtake it, or the client would keep the old value.
  ServerRig rig(kInPlace);
  std::vector<std::pair<int, uint64_t>> calls;
  rig.on_control = [&](int worker, net::ControlCall&& call) { calls.emplace_back(worker, call.token); };
  Client reader(rig, 0);
  Client writer(rig, 1);
  writer.Do({"SET", "k", "old"});
  reader.Do({"CLIENT", "TRACKING", "on"});
  reader.Send(Line({"MULTI"}) + Line({"GET", "k"}) + Line({"CONFIG", "GET", "x"}) + Line({"EXEC"}));
  rig.Pump();
  ASSERT_TRUE(calls.size() == 1);
  EXPECT_EQ(writer.Do({"SET", "k", "new"}), "+OK\r\n");
  EXPECT_EQ(reader.Got(), "+OK\r\n+QUEUED\r\n+QUEUED\r\n");
  rig.worker(calls[0].first).AnswerControl(calls[0].second, "%0\r\n");
  EXPECT_EQ(reader.Got(), "*2\r\n" + Bulk("old") + "%0\r\n" + Push({"k"}));
}

TEST(tracking_optin_and_optout_go_by_the_next_command) {
  for (const RigOptions& options : {kInPlace, kOwner}) {
    ServerRig rig(options);
    Client reader(rig, 0);
    Client writer(rig, 1);
    const auto told = [&] {
      writer.Do({"MSET", "a", "1", "b", "2", "c", "3"});
      const std::vector<std::string> pushes = test::CutReplies(reader.Got());
      std::string names;
      for (const std::string& push : pushes) names += push.substr(push.size() - 3, 1);
      std::sort(names.begin(), names.end());
      return names;
    };
    reader.Do({"CLIENT", "TRACKING", "on", "OPTIN"});
    reader.Run(Line({"GET", "a"}) + Line({"CLIENT", "CACHING", "yes"}) + Line({"CLIENT", "ID"}) + Line({"GET", "b"}) +
               Line({"GET", "c"}));
    EXPECT_EQ(told(), "b");
    reader.Run(Line({"CLIENT", "CACHING", "yes"}) + Line({"MULTI"}) + Line({"GET", "a"}) + Line({"GET", "b"}) +
               Line({"EXEC"}) + Line({"GET", "c"}));
    EXPECT_EQ(told(), "ab");
    // Within a transaction it goes for what stands behind it.
    reader.Run(Line({"MULTI"}) + Line({"GET", "a"}) + Line({"CLIENT", "CACHING", "yes"}) + Line({"GET", "b"}) +
               Line({"EXEC"}) + Line({"GET", "c"}));
    EXPECT_EQ(told(), "b");
    // Any command uses it up, also one that fails.
    reader.Run(Line({"CLIENT", "CACHING", "yes"}) + Line({"NOSUCH"}) + Line({"GET", "a"}));
    EXPECT_EQ(told(), "");
    reader.Run(Line({"CLIENT", "CACHING", "yes"}) + Line({"MULTI"}) + Line({"DISCARD"}) + Line({"GET", "a"}));
    EXPECT_EQ(told(), "");
    reader.Do({"CLIENT", "TRACKING", "off"});
    reader.Do({"CLIENT", "TRACKING", "on", "OPTOUT"});
    reader.Run(Line({"GET", "a"}) + Line({"CLIENT", "CACHING", "no"}) + Line({"GET", "b"}) + Line({"GET", "c"}));
    EXPECT_EQ(told(), "ac");
  }
}

TEST(tracking_redirects_to_another_connection) {
  for (const int redirect_worker : {0, 1}) {
    ServerRig rig(kInPlace);
    Client reader(rig, 0, 2);
    Client writer(rig, 1);
    auto target = std::make_unique<Client>(rig, redirect_worker, 2);
    reader.Do({"CLIENT", "TRACKING", "on", "REDIRECT", std::to_string(target->id())});
    const auto change = [&] {
      reader.Do({"GET", "k"});
      writer.Do({"SET", "k", "1"});
      EXPECT_EQ(reader.Got(), "");
      return target->Got();
    };
    EXPECT_EQ(change(), "");  // it does not subscribe to anything
    target->connection().session.is_subscriber = true;
    const std::string head = "*3\r\n" + Bulk("message") + Bulk("__redis__:invalidate");
    EXPECT_EQ(change(), head + Keys({"k"}));
    reader.Do({"GET", "k"});
    writer.Do({"FLUSHALL"});
    EXPECT_EQ(target->Got(), head + "$-1\r\n");
    target->connection().session.resp = 3;
    EXPECT_EQ(change(), Push({"k"}));
    // It goes: the reader is told, if its protocol can tell it.
    const std::string broken = ">2\r\n" + Bulk("tracking-redir-broken") + ":" + std::to_string(target->id()) + "\r\n";
    target.reset();
    reader.Do({"GET", "k"});
    writer.Do({"SET", "k", "2"});
    EXPECT_EQ(reader.Got(), "");
    EXPECT_TRUE(reader.Do({"CLIENT", "TRACKINGINFO"}).find("broken_redirect") != std::string::npos);
    reader.connection().session.resp = 3;
    reader.Do({"GET", "k"});
    writer.Do({"SET", "k", "3"});
    EXPECT_EQ(reader.Got(), broken);
    reader.Do({"CLIENT", "TRACKING", "on"});
    EXPECT_TRUE(reader.Do({"CLIENT", "TRACKINGINFO"}).find("broken_redirect") == std::string::npos);
  }
}

TEST(tracking_redirect_that_breaks_under_way_is_noticed) {
  ServerRig rig(kInPlace);
  Client reader(rig, 0);
  Client writer(rig, 0);
  auto target = std::make_unique<Client>(rig, 1);
  const uint64_t target_id = target->id();
  reader.Do({"CLIENT", "TRACKING", "on", "REDIRECT", std::to_string(target_id)});
  reader.Do({"GET", "k"});
  writer.Send(Line({"SET", "k", "1"}));
  rig.worker(0).RunOnce();  // the message has left for worker 1
  target.reset();
  EXPECT_EQ(reader.Got(),
            ">2\r\n" + Bulk("tracking-redir-broken") + ":" + std::to_string(target_id) + "\r\n");
}

TEST(tracking_broadcasts_one_message_for_each_prefix) {
  for (const RigOptions& options : {kInPlace, kOwner}) {
    ServerRig rig(options);
    Client all(rig, 0);
    Client some(rig, 1);
    Client quiet(rig, 0);
    Client writer(rig, 1);
    all.Do({"CLIENT", "TRACKING", "on", "BCAST"});
    some.Do({"CLIENT", "TRACKING", "on", "BCAST", "PREFIX", "b:", "PREFIX", "a:"});
    quiet.Do({"CLIENT", "TRACKING", "on", "BCAST", "NOLOOP"});
    EXPECT_EQ(writer.Do({"MSET", "b:1", "1", "a:2", "2", "a:1", "3", "c", "4"}), "+OK\r\n");
    EXPECT_EQ(some.Got(), Push({"a:1", "a:2"}) + Push({"b:1"}));
    EXPECT_EQ(all.Got(), Push({"a:1", "a:2", "b:1", "c"}));
    EXPECT_EQ(quiet.Got(), Push({"a:1", "a:2", "b:1", "c"}));
    EXPECT_EQ(rig.counters(0).tracking_prefixes.Get(), 3u);
    EXPECT_EQ(rig.counters(0).tracking_clients.Get() + rig.counters(1).tracking_clients.Get(), 3u);
    // Its own changes come behind the replies; NOLOOP leaves them out.
    EXPECT_EQ(some.Do({"SET", "a:1", "5"}), "+OK\r\n" + Push({"a:1"}));
    all.Got();
    quiet.Got();
    EXPECT_EQ(quiet.Do({"MSET", "a:1", "5", "x", "6"}), "+OK\r\n");
    EXPECT_EQ(all.Got(), Push({"a:1", "x"}));
    EXPECT_EQ(some.Got(), Push({"a:1"}));
    // Whoever stops, or resets, hears no more; the last one takes the prefix along.
    some.Do({"RESET"});
    quiet.Do({"CLIENT", "TRACKING", "off"});
    EXPECT_EQ(rig.counters(0).tracking_prefixes.Get(), 1u);
    writer.Do({"SET", "a:1", "7"});
    EXPECT_EQ(some.Got() + quiet.Got(), "");
    EXPECT_EQ(all.Got(), Push({"a:1"}));
    all.Do({"CLIENT", "TRACKING", "off"});
    EXPECT_EQ(rig.counters(0).tracking_prefixes.Get(), 0u);
    EXPECT_TRUE(!rig.engine().tracking.has_broadcasts());
  }
}

TEST(tracking_forgets_all_when_all_keys_go) {
  for (const RigOptions& options : {kInPlace, kOwner}) {
    ServerRig rig(options);
    const size_t used = rig.UsedBytes();
    Client reader(rig, 0);
    Client bcast(rig, 1);
    Client none(rig, 1);
    reader.Do({"CLIENT", "TRACKING", "on", "NOLOOP"});
    bcast.Do({"CLIENT", "TRACKING", "on", "BCAST"});
    for (int i = 0; i < 1000; i++) reader.Do({"GET", "k" + std::to_string(i)});
    EXPECT_TRUE(rig.UsedBytes() > used);
    EXPECT_EQ(none.Do({"FLUSHDB"}), "+OK\r\n");
    EXPECT_EQ(reader.Got(), kPushNull);
    EXPECT_EQ(bcast.Got(), kPushNull);
    EXPECT_EQ(rig.engine().tracking.keys.load(), 0);
    rig.FreeDeferred();
    EXPECT_EQ(rig.UsedBytes(), used);
    // The one who did it is told behind its reply, NOLOOP or not.
    EXPECT_EQ(reader.Run(Line({"FLUSHALL"}) + Line({"PING"})), "+OK\r\n" + kPushNull + "+PONG\r\n");
    EXPECT_EQ(bcast.Got(), kPushNull);
    EXPECT_EQ(none.Got(), "");
    rig.Validate();
  }
}

TEST(tracking_expiry_invalidates_lazily_and_by_the_cycle) {
  for (const RigOptions& options : {kInPlace, kOwner}) {
    FakeClock clock;
    ServerRig rig(options);
    Client reader(rig, 0);
    Client other(rig, 1);
    reader.Do({"CLIENT", "TRACKING", "on"});
    other.Do({"SET", "k", "v", "PX", "10"});
    other.Do({"SET", "l", "v", "PX", "10"});
    reader.Do({"MGET", "k", "l"});
    clock.AdvanceMs(20);
    EXPECT_EQ(other.Do({"GET", "k"}), "_\r\n");
    EXPECT_EQ(reader.Got(), Push({"k"}));
    for (int tick = 0; tick < 20; tick++) {
      for (int i = 0; i < 2; i++) rig.worker(i).Cron();
    }
    EXPECT_EQ(reader.Got(), Push({"l"}));
    // Found by the reader itself: its reply comes first.
    other.Do({"SET", "k", "v", "PX", "10"});
    reader.Got();
    reader.Do({"GET", "k"});
    clock.AdvanceMs(20);
    EXPECT_EQ(reader.Run(Line({"GET", "k"}) + Line({"PING"})), "_\r\n" + Push({"k"}) + "+PONG\r\n");
    // Fields of hashes, too.
    other.Do({"HSET", "h", "f", "v", "g", "w"});
    other.Do({"HPEXPIRE", "h", "10", "FIELDS", "1", "f"});
    reader.Do({"HGET", "h", "g"});
    clock.AdvanceMs(20);
    for (int tick = 0; tick < 20; tick++) {
      for (int i = 0; i < 2; i++) rig.worker(i).Cron();
    }
    EXPECT_EQ(reader.Got(), Push({"h"}));
  }
}

TEST(tracking_table_stays_within_its_limit) {
  ServerRig rig(kInPlace);
  Client reader(rig, 0);
  reader.Do({"CLIENT", "TRACKING", "on"});
  rig.engine().options().tracking_table_max_keys.Set(10);
  const auto keys = [&] {
    uint64_t count = 0;
    for (uint16_t shard = 0; shard < 4; shard++) count += rig.engine().shard_counters(shard).tracking_keys.Get();
    return count;
  };
  size_t dropped = 0;
  for (int i = 0; i < 200; i++) {
    const std::vector<std::string> replies = test::CutReplies(reader.Do({"GET", "k" + std::to_string(i)}));
    EXPECT_EQ(replies[0], "_\r\n");
    dropped += replies.size() - 1;
    EXPECT_TRUE(keys() <= 10);
  }
  EXPECT_EQ(dropped + keys(), 200u);
  // Lowered: the workers see to it that shards without reads shrink as well.
  rig.engine().options().tracking_table_max_keys.Set(0);
  for (int i = 0; i < 2000; i++) reader.Do({"GET", "k" + std::to_string(i)});
  EXPECT_EQ(keys(), 2000u);
  rig.engine().options().tracking_table_max_keys.Set(100);
  for (int tick = 0; tick < 20; tick++) {
    for (int i = 0; i < 2; i++) rig.worker(i).Cron();
  }
  EXPECT_TRUE(keys() <= 100);
  EXPECT_EQ(test::CutReplies(reader.Got()).size(), 2000 - keys());
  EXPECT_EQ(rig.engine().tracking.keys.load(), static_cast<int64_t>(keys()));
  rig.Validate();
}

TEST(tracking_enters_the_keys_of_all_reading_commands) {
  ServerRig rig(kInPlace);
  Client reader(rig, 0);
  Client writer(rig, 1);
  reader.Do({"CLIENT", "TRACKING", "on"});
  const std::vector<std::vector<std::string>> reads = {
      {"GET", "k"}, {"MGET", "x", "k"}, {"EXISTS", "y", "k"}, {"TTL", "k"}, {"XREAD", "STREAMS", "s", "k", "0", "0"},
      {"SORT_RO", "k", "BY", "w_*", "GET", "p_*"}, {"SORT_RO", "k"}, {"OBJECT", "ENCODING", "k"}, {"LCS", "k", "z"},
      {"SINTERCARD", "2", "q", "k"}, {"PFCOUNT", "k"}, {"TOUCH", "k"}, {"MEMORY", "USAGE", "k"}};
  for (const std::vector<std::string>& read : reads) {
    reader.Do(read);
    writer.Do({"SET", "k", "1"});
    EXPECT_EQ(reader.Got(), Push({"k"}));
    writer.Do({"DEL", "k"});
  }
  // Commands that write, and those without keys, enter nothing.
  for (const std::vector<std::string>& other : std::vector<std::vector<std::string>>{
           {"GETEX", "k"}, {"SORT", "k"}, {"WATCH", "k"}, {"KEYS", "*"}, {"SCAN", "0"}, {"RANDOMKEY"}, {"GETDEL", "k"}}) {
    reader.Do(other);
    writer.Do({"SET", "k", "1"});
    EXPECT_EQ(reader.Got(), "");
    writer.Do({"DEL", "k"});
  }
}

TEST(tracking_of_a_connection_ends_with_it) {
  ServerRig rig(kInPlace);
  const int port = rig.server().ListenTcp("127.0.0.1", 0, 16).port;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_TRUE(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const std::string lines = Line({"CLIENT", "TRACKING", "on", "BCAST", "PREFIX", "a", "PREFIX", "b"});
  ASSERT_TRUE(send(fd, lines.data(), lines.size(), 0) == static_cast<ssize_t>(lines.size()));
  const auto clients = [&] { return rig.counters(0).tracking_clients.Get() + rig.counters(1).tracking_clients.Get(); };
  for (int i = 0; i < 1000 && clients() == 0; i++) rig.Pump();
  EXPECT_EQ(clients(), 1u);
  EXPECT_EQ(rig.counters(0).tracking_prefixes.Get(), 2u);
  close(fd);
  for (int i = 0; i < 1000 && clients() != 0; i++) rig.Pump();
  EXPECT_EQ(clients(), 0u);
  EXPECT_EQ(rig.counters(0).tracking_prefixes.Get(), 0u);
  EXPECT_TRUE(!rig.engine().tracking.has_broadcasts());
}

}  // namespace
}  // namespace sherd
