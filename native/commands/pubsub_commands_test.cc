// Publish and subscribe through workers: what each client gets, byte for byte, and what PUBLISH counts.
//
// Method: dialogues whose bytes are Redis's (7.2: messages that a client sets off itself follow its reply);
// a random run over several workers and clients against a naive model that knows who listens to what; and
// the corners where messages meet replies under way: transactions, commands executed elsewhere, CLIENT
// REPLY, clients that go.
#include "engine/pubsub.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/glob.h"
#include "base/random.h"
#include "net/test_rig.h"
#include "test/test.h"

namespace sherd {
namespace {

using engine::TopicKind;
using test::CutReplies;
using test::DetachedClient;
using test::Line;
using test::RigOptions;
using test::ServerRig;

constexpr RigOptions kOne = {.workers = 1, .shards = 1};
constexpr RigOptions kSeveral = {.workers = 3, .shards = 8};
constexpr RigOptions kOnOwner = {.workers = 3, .shards = 8, .in_place = false};

std::string Bulk(std::string_view text) {
  return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
}
std::string Confirmation(char mark, std::string_view word, std::string_view name, int count) {
  return std::string(1, mark) + "3\r\n" + Bulk(word) + Bulk(name) + ":" + std::to_string(count) + "\r\n";
}
std::string Message(char mark, std::string_view channel, std::string_view text,
                    std::string_view word = "message") {
  return std::string(1, mark) + "3\r\n" + Bulk(word) + Bulk(channel) + Bulk(text);
}
std::string PatternMessage(char mark, std::string_view pattern, std::string_view channel, std::string_view text) {
  return std::string(1, mark) + "4\r\n" + Bulk("pmessage") + Bulk(pattern) + Bulk(channel) + Bulk(text);
}

void SpeakResp3(DetachedClient& client) { client.Run(Line({"HELLO", "3"})); }

/// What has arrived for a client that sent nothing.
std::string Arrived(ServerRig& rig, DetachedClient& client) {
  rig.Pump();
  return client.Take();
}

// ---- Dialogues ----

TEST(pubsub_confirms_each_name_with_the_count_of_channels_and_patterns) {
  ServerRig rig(kOne);
  DetachedClient client(rig, 0);
  EXPECT_EQ(client.Run(Line({"SUBSCRIBE", "a", "a", "b"})),
            Confirmation('*', "subscribe", "a", 1) + Confirmation('*', "subscribe", "a", 1) +
                Confirmation('*', "subscribe", "b", 2));
  EXPECT_EQ(client.Run(Line({"PSUBSCRIBE", "a*"})), Confirmation('*', "psubscribe", "a*", 3));
  EXPECT_EQ(client.Run(Line({"SSUBSCRIBE", "a"})), Confirmation('*', "ssubscribe", "a", 1));
  EXPECT_EQ(client.Run(Line({"UNSUBSCRIBE", "zz"})), Confirmation('*', "unsubscribe", "zz", 3));
  EXPECT_EQ(client.Run(Line({"UNSUBSCRIBE"})),
            Confirmation('*', "unsubscribe", "a", 2) + Confirmation('*', "unsubscribe", "b", 1));
  EXPECT_EQ(client.Run(Line({"UNSUBSCRIBE"})), "*3\r\n" + Bulk("unsubscribe") + "$-1\r\n:1\r\n");
  EXPECT_EQ(client.Run(Line({"PUNSUBSCRIBE"})), Confirmation('*', "punsubscribe", "a*", 0));
  EXPECT_TRUE(client.connection().session.is_subscriber);
  EXPECT_EQ(client.Run(Line({"SUNSUBSCRIBE"})), Confirmation('*', "sunsubscribe", "a", 0));
  EXPECT_FALSE(client.connection().session.is_subscriber);
  EXPECT_TRUE(client.connection().session.subscriptions == nullptr);
  SpeakResp3(client);
  EXPECT_EQ(client.Run(Line({"SUBSCRIBE", "a"})), Confirmation('>', "subscribe", "a", 1));
  EXPECT_EQ(client.Run(Line({"SUNSUBSCRIBE"})), ">3\r\n" + Bulk("sunsubscribe") + "_\r\n:0\r\n");
}

TEST(pubsub_resp2_subscriber_may_do_little) {
  ServerRig rig(kOne);
  DetachedClient client(rig, 0);
  const std::string refused =
      "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n";
  client.Run(Line({"PSUBSCRIBE", "x"}));
  EXPECT_EQ(client.Run(Line({"GET", "x"})), "-ERR Can't execute 'get" + refused);
  EXPECT_EQ(client.Run(Line({"CONFIG", "GET", "x"})), "-ERR Can't execute 'config|get" + refused);
  EXPECT_EQ(client.Run(Line({"MULTI"})), "-ERR Can't execute 'multi" + refused);
  EXPECT_EQ(client.Run(Line({"PING"})), "*2\r\n" + Bulk("pong") + Bulk(""));
  EXPECT_EQ(client.Run(Line({"PING", "x"})), "*2\r\n" + Bulk("pong") + Bulk("x"));
  EXPECT_EQ(client.Run(Line({"PING", "x", "y"})), "-ERR wrong number of arguments for 'ping' command\r\n");
  EXPECT_EQ(client.Run(Line({"RESET"}) + Line({"GET", "x"}) + Line({"PUBSUB", "NUMPAT"})),
            "+RESET\r\n$-1\r\n:0\r\n");
  SpeakResp3(client);
  client.Run(Line({"SUBSCRIBE", "x"}));
  EXPECT_EQ(client.Run(Line({"GET", "x"}) + Line({"PING"})), "_\r\n+PONG\r\n");
  client.Run(Line({"HELLO", "2"}));
  EXPECT_EQ(client.Run(Line({"HELLO", "3"})), "-ERR Can't execute 'hello" + refused);
}

TEST(pubsub_messages_follow_the_reply_of_the_command_that_set_them_off) {
  for (const RigOptions& layout : {kOne, kSeveral, kOnOwner}) {
    ServerRig rig(layout);
    DetachedClient client(rig, 0);
    SpeakResp3(client);
    client.Run(Line({"SUBSCRIBE", "a"}) + Line({"PSUBSCRIBE", "a*"}));
    EXPECT_EQ(client.Run(Line({"PUBLISH", "a", "1"}) + Line({"PUBLISH", "ab", "2"}) + Line({"PING"})),
              ":2\r\n" + Message('>', "a", "1") + PatternMessage('>', "a*", "a", "1") + ":1\r\n" +
                  PatternMessage('>', "a*", "ab", "2") + "+PONG\r\n");
    // Within EXEC they follow the whole reply, wherever it is executed.
    client.Run(Line({"UNSUBSCRIBE"}) + Line({"PUNSUBSCRIBE"}));
    const std::string exec =
        Line({"MULTI"}) + Line({"SUBSCRIBE", "a"}) + Line({"PUBLISH", "a", "x"}) + Line({"SET", "k", "v"}) +
        Line({"SUBSCRIBE", "b"}) + Line({"PUBLISH", "b", "y"}) + Line({"CONFIG", "GET", "port"}) +
        Line({"UNSUBSCRIBE"}) + Line({"EXEC"}) + Line({"PING"});
    EXPECT_EQ(client.Run(exec), "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*7\r\n" +
                                    Confirmation('>', "subscribe", "a", 1) + ":1\r\n+OK\r\n" +
                                    Confirmation('>', "subscribe", "b", 2) + ":1\r\n+OK\r\n" +
                                    Confirmation('>', "unsubscribe", "a", 1) +
                                    Confirmation('>', "unsubscribe", "b", 0) + Message('>', "a", "x") +
                                    Message('>', "b", "y") + "+PONG\r\n");
    EXPECT_FALSE(client.connection().session.holds_pushes);
  }
}

// A command that waits at a busy shard is executed by whoever holds it.
TEST(pubsub_events_follow_the_reply_of_a_command_executed_elsewhere) {
  ServerRig rig({.workers = 2, .shards = 4});
  rig.engine().options().notify_flags.Set(engine::kEventKeyevent | engine::kEventString);
  rig.engine().ApplyNotifyFlags();
  DetachedClient client(rig, 0);
  DetachedClient other(rig, 0);
  SpeakResp3(client);
  client.Run(Line({"PSUBSCRIBE", "*"}));
  const std::string key = rig.KeyOn(1);
  engine::ThreadState* const thread = &rig.worker(1).thread();
  CHECK(rig.server().leases().TryAcquire(1, 1));
  client.Send(Line({"SET", key, "v"}));
  EXPECT_TRUE(client.is_parked());
  // What others send waits as well: it must not be lost.
  EXPECT_EQ(other.Run(Line({"PUBLISH", "c", "m"})), ":1\r\n");
  engine::SetThisThread(thread);
  rig.server().leases().Release(1, 1);
  client.Settle();
  EXPECT_EQ(client.Take(),
            "+OK\r\n" + PatternMessage('>', "*", "c", "m") + PatternMessage('>', "*", "__keyevent@0__:set", key));
  // A command that waits for a key lets messages through.
  const std::string queue = rig.KeyOn(2, 7);
  client.Send(Line({"BLPOP", queue, "0"}));
  EXPECT_EQ(other.Run(Line({"PUBLISH", "c", "n"})), ":1\r\n");
  EXPECT_TRUE(client.is_parked());
  EXPECT_EQ(Arrived(rig, client), PatternMessage('>', "*", "c", "n"));
  EXPECT_EQ(other.Run(Line({"RPUSH", queue, "x"})), ":1\r\n");
  client.Settle();
}

TEST(pubsub_client_reply_off_covers_replies_and_no_messages) {
  ServerRig rig(kOne);
  for (const char mark : {'*', '>'}) {
    DetachedClient client(rig, 0);
    DetachedClient other(rig, 0);
    if (mark == '>') SpeakResp3(client);
    EXPECT_EQ(client.Run(Line({"CLIENT", "REPLY", "OFF"}) + Line({"SUBSCRIBE", "a", "b"}) + Line({"PING"})),
              Confirmation(mark, "subscribe", "a", 1) + Confirmation(mark, "subscribe", "b", 2));
    EXPECT_EQ(other.Run(Line({"PUBLISH", "a", "x"})), ":1\r\n");
    EXPECT_EQ(client.Run(Line({"PING"}) + Line({"SUBSCRIBE"}) + Line({"UNSUBSCRIBE", "a"})),
              Message(mark, "a", "x") + Confirmation(mark, "unsubscribe", "a", 1));
    EXPECT_EQ(client.Run(Line({"RESET"})), "+RESET\r\n");
    EXPECT_EQ(client.Run(Line({"CLIENT", "REPLY", "SKIP"}) + Line({"SUBSCRIBE", "a"}) + Line({"RESET"})),
              Confirmation('*', "subscribe", "a", 1) + "+RESET\r\n");
  }
}

TEST(pubsub_questions) {
  ServerRig rig(kSeveral);
  DetachedClient first(rig, 0);
  DetachedClient second(rig, 1);
  DetachedClient third(rig, 2);
  first.Run(Line({"SUBSCRIBE", "news.a", "sport"}) + Line({"SSUBSCRIBE", "shard"}));
  second.Run(Line({"SUBSCRIBE", "news.a"}) + Line({"PSUBSCRIBE", "n*", "*"}));
  third.Run(Line({"PSUBSCRIBE", "n*"}) + Line({"RESET"}));
  EXPECT_EQ(third.Run(Line({"PUBSUB", "NUMSUB", "news.a", "sport", "shard", "none"})),
            "*8\r\n" + Bulk("news.a") + ":2\r\n" + Bulk("sport") + ":1\r\n" + Bulk("shard") + ":0\r\n" +
                Bulk("none") + ":0\r\n");
  EXPECT_EQ(third.Run(Line({"PUBSUB", "NUMSUB"})), "*0\r\n");
  EXPECT_EQ(third.Run(Line({"PUBSUB", "SHARDNUMSUB", "shard"})), "*2\r\n" + Bulk("shard") + ":1\r\n");
  EXPECT_EQ(third.Run(Line({"PUBSUB", "NUMPAT"})), ":2\r\n");
  EXPECT_EQ(third.Run(Line({"PUBSUB", "CHANNELS", "n*"})), "*1\r\n" + Bulk("news.a"));
  EXPECT_EQ(third.Run(Line({"PUBSUB", "CHANNELS", ""})), "*0\r\n");
  EXPECT_EQ(third.Run(Line({"PUBSUB", "SHARDCHANNELS"})), "*1\r\n" + Bulk("shard"));
  EXPECT_EQ(third.Run(Line({"PUBSUB", "CHANNELS", "a", "b"})),
            "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.\r\n");
  EXPECT_EQ(CutReplies(third.Run(Line({"PUBSUB", "CHANNELS"}))).size(), size_t{1});
  uint64_t clients = 0, channels = 0, patterns = 0, shard_channels = 0;
  for (int worker = 0; worker < 3; worker++) {
    clients += rig.counters(worker).pubsub_clients.Get();
    channels += rig.counters(worker).pubsub_channels.Get();
    patterns += rig.counters(worker).pubsub_patterns.Get();
    shard_channels += rig.counters(worker).pubsubshard_channels.Get();
  }
  EXPECT_EQ(clients, uint64_t{2});
  EXPECT_EQ(channels, uint64_t{2});
  EXPECT_EQ(patterns, uint64_t{2});
  EXPECT_EQ(shard_channels, uint64_t{1});
}

TEST(pubsub_long_payloads_and_odd_names) {
  ServerRig rig(kSeveral);
  DetachedClient two(rig, 0);
  DetachedClient three(rig, 1);
  DetachedClient publisher(rig, 2);
  SpeakResp3(three);
  const std::string binary("\0\r\n\xff*", 5);
  two.Run(Line({"SUBSCRIBE", binary, ""}) + Line({"PSUBSCRIBE", "*"}) + Line({"SSUBSCRIBE", ""}));
  three.Run(Line({"SUBSCRIBE", binary, ""}) + Line({"SSUBSCRIBE", ""}));
  for (const size_t size : {size_t{0}, size_t{1}, size_t{8191}, size_t{8192}, size_t{100'000}}) {
    const std::string text(size, 'x');
    EXPECT_EQ(publisher.Run(Line({"PUBLISH", binary, text}) + Line({"PUBLISH", "", text})), ":3\r\n:2\r\n");
    EXPECT_EQ(publisher.Run(Line({"SPUBLISH", "", text})), ":2\r\n");
    EXPECT_EQ(Arrived(rig, two), Message('*', binary, text) + PatternMessage('*', "*", binary, text) +
                                     Message('*', "", text) + Message('*', "", text, "smessage"));
    EXPECT_EQ(Arrived(rig, three),
              Message('>', binary, text) + Message('>', "", text) + Message('>', "", text, "smessage"));
  }
}

TEST(pubsub_takes_many_names_in_one_command) {
  ServerRig rig(kSeveral);
  for (const char* word : {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"}) {
    DetachedClient client(rig, 1);
    std::vector<std::string> words = {word};
    for (int i = 0; i < 1000; i++) words.push_back("c" + std::to_string(i));
    const std::vector<std::string> replies = CutReplies(client.Run(Line(words)));
    ASSERT_EQ(replies.size(), size_t{1000});
    std::string lower(word);
    for (char& c : lower) c = static_cast<char>(c + 32);
    EXPECT_EQ(replies[999], Confirmation('*', lower, "c999", 1000));
    const std::string opposite = lower.substr(0, lower.find("sub")) + "unsub" + lower.substr(lower.find("sub") + 3);
    const std::vector<std::string> ends = CutReplies(client.Run(Line({opposite})));
    ASSERT_EQ(ends.size(), size_t{1000});
    EXPECT_EQ(ends[0], Confirmation('*', opposite, "c0", 999));  // in the order of subscription
    EXPECT_EQ(ends[999], Confirmation('*', opposite, "c999", 0));
  }
  for (const TopicKind kind : {TopicKind::kChannel, TopicKind::kPattern, TopicKind::kShardChannel}) {
    EXPECT_EQ(rig.engine().pubsub().topic_count(kind), size_t{0});
  }
}

// A subscriber that does not read is cut off at the limit of its class, and is counted no more.
TEST(pubsub_output_limit_of_class_pubsub) {
  ServerRig rig(kSeveral);
  ASSERT_TRUE(rig.engine().SetOutputLimits("normal 0 0 0 pubsub 100000 0 0"));
  DetachedClient lazy(rig, 0);
  DetachedClient normal(rig, 0);
  DetachedClient publisher(rig, 1);
  lazy.Run(Line({"SUBSCRIBE", "c"}));
  int sent = 0;
  while (publisher.Run(Line({"PUBLISH", "c", std::string(1000, 'x')})) == ":1\r\n") {
    rig.Pump();
    ASSERT_TRUE(++sent < 200);
  }
  EXPECT_TRUE(sent >= 90 && sent <= 101);
  EXPECT_TRUE(lazy.connection().state == net::ConnectionState::kClosing);
  EXPECT_EQ(rig.counters(0).output_buffer_limit_disconnections.Get(), uint64_t{1});
  // Others have no limit here.
  normal.Run(Line({"SET", "k", std::string(200'000, 'x')}));
  EXPECT_EQ(normal.Run(Line({"GET", "k"})).size(), size_t{200'011});
}

// ---- Against a model ----

struct ModelClient {
  std::unique_ptr<DetachedClient> client;
  char mark = '*';
  std::set<std::string> topics[engine::kTopicKinds];
  std::string expected;  // messages that must have come since the last look

  bool is_subscriber() const { return !topics[0].empty() || !topics[1].empty() || !topics[2].empty(); }
};

constexpr const char* kSubscribeWords[] = {"SUBSCRIBE", "SSUBSCRIBE", "PSUBSCRIBE"};
constexpr const char* kUnsubscribeWords[] = {"UNSUBSCRIBE", "SUNSUBSCRIBE", "PUNSUBSCRIBE"};

/// Some publication, counted and expected where the model says.
std::string PublishTo(std::vector<ModelClient>& clients, Random& random, size_t kind, int number, int* count) {
  const std::string channel = "c" + std::to_string(random.Below(4));
  const std::string text = "m" + std::to_string(number);
  *count = 0;
  for (ModelClient& client : clients) {
    if (client.topics[kind].contains(channel)) {
      client.expected += Message(client.mark, channel, text, kind == 1 ? "smessage" : "message");
      (*count)++;
    }
    for (const std::string& pattern : client.topics[2]) {
      if (kind != 0 || !GlobMatch(pattern, channel)) continue;
      client.expected += PatternMessage(client.mark, pattern, channel, text);
      (*count)++;
    }
  }
  return Line({kind == 0 ? "PUBLISH" : "SPUBLISH", channel, text});
}

void ExpectArrivals(ServerRig& rig, std::vector<ModelClient>& clients) {
  rig.Pump();
  for (ModelClient& client : clients) {
    if (client.client == nullptr) continue;
    // Patterns of one client come in any order.
    std::vector<std::string> got = CutReplies(client.client->Take());
    std::vector<std::string> expected = CutReplies(client.expected);
    if (client.topics[2].size() > 1) {
      std::sort(got.begin(), got.end());
      std::sort(expected.begin(), expected.end());
    }
    ASSERT_TRUE(got == expected);
    client.expected.clear();
  }
}

TEST(pubsub_random_runs_against_a_model) {
  Random random(test::Seed());
  for (const RigOptions& layout : {kOne, kSeveral}) {
    ServerRig rig(layout);
    std::vector<ModelClient> clients(9);
    DetachedClient publisher(rig, layout.workers - 1);
    for (int step = 0; step < 4000; step++) {
      const size_t at = random.Below(clients.size());
      ModelClient& client = clients[at];
      if (client.client == nullptr || random.OneIn(60)) {
        // The old one goes without a word.
        client = ModelClient();
        client.client = std::make_unique<DetachedClient>(rig, static_cast<int>(at) % layout.workers);
        if (random.OneIn(2)) {
          SpeakResp3(*client.client);
          client.mark = '>';
        }
      }
      const size_t kind = random.Below(3);
      const std::string name = kind == 2 ? "c" + std::to_string(random.Below(3)) + "*"
                                         : "c" + std::to_string(random.Below(4));
      ExpectArrivals(rig, clients);
      if (random.OneIn(3)) {
        client.client->Run(Line({kSubscribeWords[kind], name}));
        client.topics[kind].insert(name);
      } else if (random.OneIn(3)) {
        client.client->Run(Line({kUnsubscribeWords[kind], name}));
        client.topics[kind].erase(name);
      } else if (random.OneIn(10)) {
        client.client->Run(Line({kUnsubscribeWords[kind]}));
        client.topics[kind].clear();
      } else {
        int count;
        const std::string line = PublishTo(clients, random, random.Below(2), step, &count);
        ASSERT_EQ(publisher.Run(line), ":" + std::to_string(count) + "\r\n");
      }
      ASSERT_EQ(client.client->connection().session.is_subscriber, client.is_subscriber());
    }
    clients.clear();
    for (const TopicKind kind : {TopicKind::kChannel, TopicKind::kPattern, TopicKind::kShardChannel}) {
      EXPECT_EQ(rig.engine().pubsub().topic_count(kind), size_t{0});
    }
  }
}

// ---- Keyspace notifications ----

TEST(pubsub_keyspace_events_by_class_and_form) {
  ServerRig rig(kSeveral);
  DetachedClient listener(rig, 0);
  DetachedClient writer(rig, 1);
  SpeakResp3(listener);
  listener.Run(Line({"PSUBSCRIBE", "__key*"}));
  const auto set_flags = [&](int64_t flags) {
    rig.engine().options().notify_flags.Set(flags);
    rig.engine().ApplyNotifyFlags();
  };
  const std::string keyspace = PatternMessage('>', "__key*", "__keyspace@3__:k", "set");
  const std::string keyevent = PatternMessage('>', "__key*", "__keyevent@3__:set", "k");
  writer.Run(Line({"SELECT", "3"}));
  const auto events = [&](int64_t flags) {
    set_flags(flags);
    writer.Run(Line({"SET", "k", "v"}));
    return Arrived(rig, listener);
  };
  EXPECT_EQ(events(0), "");
  EXPECT_EQ(events(engine::kEventString), "");  // neither K nor E
  EXPECT_EQ(events(engine::kEventKeyspace | engine::kEventKeyevent), "");
  EXPECT_EQ(events(engine::kEventKeyspace | engine::kEventString), keyspace);
  EXPECT_EQ(events(engine::kEventKeyevent | engine::kEventString), keyevent);
  EXPECT_EQ(events(engine::kEventKeyspace | engine::kEventKeyevent | engine::kEventString), keyspace + keyevent);
  EXPECT_EQ(events(engine::kEventKeyspace | engine::kEventKeyevent | engine::kEventList), "");
  // Names too long for the stack.
  set_flags(engine::kEventKeyspace | engine::kEventString);
  const std::string long_key(5000, 'k');
  writer.Run(Line({"SET", long_key, "v"}));
  EXPECT_EQ(Arrived(rig, listener), PatternMessage('>', "__key*", "__keyspace@3__:" + long_key, "set"));
}

}  // namespace
}  // namespace sherd
