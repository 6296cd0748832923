// Commands that wait, from many threads: elements are pushed, moved and taken over queues on all shards,
// while those who wait give up, are unblocked, and go away without a word.
//
// Each worker has a thread of its own; the clients are threads with real sockets, so that a connection can
// end in the middle of anything.
//
//   producers   push numbered elements: alone, several at once, in EXEC, by RENAME, by LMOVE
//   consumers   BLPOP, BRPOP, BLMPOP of several queues, with short times or none
//   movers      BLMOVE and BRPOPLPUSH from queue to queue, chains and circles as they fall
//   leavers     wait in BLMOVE and close at a random moment: what was moved for them is still there
//   writers     XADD to streams of several shards
//   readers     XREAD BLOCK of several streams behind ids of which some lie ahead
//   a caller    CLIENT UNBLOCK for whoever waits
//
// Checked: each element exactly once (with a consumer, or in a queue at the end); each reader sees each
// stream's entries in order and to the last one, so no wake-up is lost; nobody waits longer than a lost
// wake-up takes to be called one; at the end no key has anybody waiting, the gate is open, no client is
// counted as blocked, leases are free and structures valid.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/test_rig.h"
#include "stress/stress.h"
#include "test/loopback_socket.h"

namespace sherd::stress {
namespace {

using test::Line;
using test::ReplySize;
using test::ServerRig;

constexpr int kQueues = 6;
constexpr int kStreams = 4;
constexpr uint64_t kEach = 3;  // actors of each kind

// ---- A client with a socket ----

class Client {
 public:
  explicit Client(int port) : socket_(port) {}

  void Send(std::string_view bytes) { socket_.Send(bytes); }
  /// The next reply; empty, and a failure, when none comes.
  std::string Receive() {
    for (;;) {
      const size_t size = ReplySize(input_);
      CHECK(size != std::string::npos);
      if (size > 0) {
        std::string reply = input_.substr(0, size);
        input_.erase(0, size);
        return reply;
      }
      pollfd wait{socket_.fd(), POLLIN, 0};
      if (poll(&wait, 1, kLostAfterMs) == 0) {
        Fail("nobody wakes a client that waits");
        return "";
      }
      CHECK(socket_.Receive(&input_) > 0);
    }
  }
  std::string Run(const std::vector<std::string>& words) {
    Send(Line(words));
    return Receive();
  }
  uint64_t Id() {
    const std::string reply = Run({"CLIENT", "ID"});
    return std::stoull(reply.substr(1));
  }

 private:
  test::LoopbackSocket socket_;
  std::string input_;
};

/// The bulk strings of a reply, whatever they are nested in.
std::vector<std::string> BulksOf(const std::string& reply) {
  std::vector<std::string> bulks;
  for (size_t at = 0; at < reply.size();) {
    const size_t line = reply.find("\r\n", at);
    if (reply[at] == '$' && reply[at + 1] != '-') {
      const size_t size = std::stoull(reply.substr(at + 1, line - at - 1));
      bulks.push_back(reply.substr(line + 2, size));
      at = line + 4 + size;
    } else {
      at = line + 2;
    }
  }
  return bulks;
}

bool IsNothing(const std::string& reply) {
  return reply == "*-1\r\n" || reply == "$-1\r\n" || reply.starts_with("-UNBLOCKED");
}

/// CLIENT UNBLOCK, as the control plane does it.
class UnblockMessage final : public engine::Message {
 public:
  UnblockMessage(uint64_t client_id, bool with_error) : client_id_(client_id), with_error_(with_error) {}
  void Deliver(engine::WorkerPort& port) override {
    static_cast<net::Worker&>(port).UnblockClient(client_id_, with_error_);
    delete this;
  }

 private:
  const uint64_t client_id_;
  const bool with_error_;
};

// ---- The stage ----

class Stage {
 public:
  Stage(const Options& options, bool in_place)
      : options_(options),
        workers_(options.threads > 0 ? options.threads : 3),
        rig_({.workers = workers_, .shards = options.shards > 0 ? options.shards : 8, .in_place = in_place}) {
    for (int i = 0; i < kQueues; i++) queues_.push_back(KeyFor(i, "q"));
    for (int i = 0; i < kStreams; i++) streams_.push_back(KeyFor(i, "s"));
  }

  void Run();

 private:
  using Elements = std::vector<uint64_t>;

  std::string KeyFor(int index, const std::string& prefix) {
    const int shard = index % rig_.engine().shard_count();
    for (int i = 0;; i++) {
      std::string name = prefix + std::to_string(index) + ":" + std::to_string(i);
      if (rig_.engine().MakeKey(name).shard == shard) return name;
    }
  }
  bool is_over() const { return is_over_.load(std::memory_order_relaxed); }
  const std::string& AnyQueue(Random* random) const { return queues_[random->Below(kQueues)]; }
  std::string ShortTime(Random* random) const { return "0.0" + std::to_string(10 + random->Below(40)); }

  void DriveWorker(int index);
  void Produce(uint64_t actor);
  void Consume(uint64_t actor, Elements* taken);
  void Move(uint64_t actor);
  void Leave(uint64_t actor);
  void WriteStreams(uint64_t actor);
  void ReadStreams(uint64_t actor);
  void CallBack(uint64_t actor);
  void Enter(uint64_t client_id) {
    const std::lock_guard<std::mutex> lock(waiting_mutex_);
    waiting_.push_back(client_id);
  }
  void CheckElements();
  void CheckEnd();

  const Options options_;
  const int workers_;
  ServerRig rig_;
  int port_ = 0;
  std::vector<std::string> queues_;
  std::vector<std::string> streams_;
  std::atomic<bool> is_over_{false};
  std::atomic<bool> must_stop_workers_{false};
  std::atomic<int> busy_actors_{0};
  std::atomic<uint64_t> next_element_{1};
  std::atomic<uint64_t> last_entries_[kStreams] = {};  // of each stream, when its writer has stopped
  std::mutex waiting_mutex_;
  std::vector<uint64_t> waiting_;  // clients that may be unblocked
  std::vector<Elements> taken_;    // by consumer
};

void Stage::DriveWorker(int index) {
  net::Worker& worker = rig_.worker(index);
  for (uint64_t turn = 0; !must_stop_workers_.load(); turn++) {
    turn % 16 == 0 ? worker.Cron() : worker.RunOnce();
    pollfd wait{worker.epoll_fd(), POLLIN, 0};
    poll(&wait, 1, 20);
  }
}

void Stage::Produce(uint64_t actor) {
  Random random(options_.seed * 31 + actor);
  Client client(port_);
  const std::string own = "own:" + std::to_string(actor);
  while (!is_over()) {
    const std::string queue = AnyQueue(&random);
    const auto element = [this] { return std::to_string(next_element_.fetch_add(1)); };
    switch (random.Below(5)) {
      case 0: client.Run({"LPUSH", queue, element()}); break;
      case 1: client.Run({"RPUSH", queue, element(), element(), element()}); break;
      case 2: {
        client.Send(Line({"MULTI"}) + Line({"RPUSH", queue, element()}) +
                    Line({"LPUSH", AnyQueue(&random), element(), element()}) + Line({"EXEC"}));
        for (int i = 0; i < 4; i++) client.Receive();
        break;
      }
      case 3:
        // RENAMENX, since what lay in the queue would be lost.
        client.Run({"RPUSH", own, element(), element()});
        while (client.Run({"RENAMENX", own, AnyQueue(&random)}) != ":1\r\n" && !is_over()) Waste(1000);
        if (is_over()) client.Run({"RENAME", own, "left:" + std::to_string(actor)});
        break;
      default:
        client.Run({"RPUSH", own, element()});
        client.Run({"LMOVE", own, queue, "LEFT", random.OneIn(2) ? "LEFT" : "RIGHT"});
    }
    if (random.OneIn(4)) std::this_thread::sleep_for(std::chrono::microseconds(random.Below(300)));
  }
}

void Stage::Consume(uint64_t actor, Elements* taken) {
  Random random(options_.seed * 37 + actor);
  Client client(port_);
  Enter(client.Id());
  while (!is_over()) {
    std::vector<std::string> words = {random.OneIn(2) ? "BLPOP" : "BRPOP"};
    for (uint64_t i = 0; i <= random.Below(3); i++) words.push_back(AnyQueue(&random));
    const std::string time = random.OneIn(3) ? "0" : ShortTime(&random);
    if (random.OneIn(3)) {
      words.insert(words.begin() + 1, {time, std::to_string(words.size() - 1)});
      words[0] = "BLMPOP";
      words.insert(words.end(), {"LEFT", "COUNT", "3"});
    } else {
      words.push_back(time);
    }
    const std::string reply = client.Run(words);
    if (reply.empty()) return;
    if (IsNothing(reply)) continue;
    const std::vector<std::string> bulks = BulksOf(reply);
    STRESS_EXPECT(bulks.size() >= 2);
    for (size_t i = 1; i < bulks.size(); i++) taken->push_back(std::stoull(bulks[i]));
  }
}

void Stage::Move(uint64_t actor) {
  Random random(options_.seed * 41 + actor);
  Client client(port_);
  Enter(client.Id());
  while (!is_over()) {
    const std::string time = random.OneIn(3) ? "0" : ShortTime(&random);
    const std::string from = AnyQueue(&random), to = AnyQueue(&random);
    const std::string reply = random.OneIn(2) ? client.Run({"BLMOVE", from, to, "LEFT", "RIGHT", time})
                                              : client.Run({"BRPOPLPUSH", from, to, time});
    if (reply.empty()) return;
    STRESS_EXPECT(IsNothing(reply) || reply[0] == '$');
  }
}

void Stage::Leave(uint64_t actor) {
  Random random(options_.seed * 43 + actor);
  while (!is_over()) {
    Client client(port_);
    client.Send(Line({"BLMOVE", AnyQueue(&random), AnyQueue(&random), "LEFT", "RIGHT", "0"}));
    if (random.OneIn(2)) client.Send(Line({"BRPOPLPUSH", AnyQueue(&random), AnyQueue(&random), "0.001"}));
    Waste(random.Below(100'000));
  }
}

void Stage::WriteStreams(uint64_t actor) {
  Random random(options_.seed * 47 + actor);
  Client client(port_);
  uint64_t entries[kStreams] = {};
  const auto add = [&](size_t stream) {
    client.Run({"XADD", streams_[stream], std::to_string(++entries[stream]) + "-0", "f", "v"});
  };
  while (!is_over()) {
    add(random.Below(kStreams));
    if (random.OneIn(3)) std::this_thread::sleep_for(std::chrono::microseconds(random.Below(200)));
  }
  // In the end every stream gets one that says so.
  for (size_t stream = 0; stream < kStreams; stream++) last_entries_[stream].store(entries[stream] + 1);
  for (size_t stream = 0; stream < kStreams; stream++) add(stream);
}

void Stage::ReadStreams(uint64_t actor) {
  Random random(options_.seed * 53 + actor);
  Client client(port_);
  uint64_t seen[kStreams] = {};
  const auto is_done = [&] {
    for (size_t i = 0; i < kStreams; i++) {
      if (last_entries_[i].load() == 0 || seen[i] < last_entries_[i].load()) return false;
    }
    return true;
  };
  while (!is_done()) {
    std::vector<std::string> words = {"XREAD", "COUNT", "10", "BLOCK", "0", "STREAMS"};
    words.insert(words.end(), streams_.begin(), streams_.end());
    size_t ahead = random.Below(kStreams * 2);
    if (is_over()) ahead = kStreams;  // none, or the last one might lie behind it
    for (size_t i = 0; i < kStreams; i++) {
      // What lies ahead wakes too, and has nothing for us: that is where a change of another can be missed.
      words.push_back(std::to_string(seen[i] + (i == ahead ? 1 : 0)) + "-0");
    }
    const std::string reply = client.Run(words);
    if (reply.empty()) return;
    size_t stream = kStreams;
    for (const std::string& bulk : BulksOf(reply)) {
      const auto name = std::find(streams_.begin(), streams_.end(), bulk);
      if (name != streams_.end()) {
        stream = static_cast<size_t>(name - streams_.begin());
      } else if (bulk.ends_with("-0")) {
        const uint64_t id = std::stoull(bulk);
        STRESS_EXPECT(id == seen[stream] + 1 || (stream == ahead && id == seen[stream] + 2),
                      static_cast<int64_t>(id), static_cast<int64_t>(seen[stream]));
        seen[stream] = id;
      }
    }
  }
}

void Stage::CallBack(uint64_t actor) {
  Random random(options_.seed * 59 + actor);
  // To the end of the actors: those who wait for ever leave by this alone.
  while (busy_actors_.load() > 0) {
    uint64_t client_id = 0;
    {
      const std::lock_guard<std::mutex> lock(waiting_mutex_);
      if (!waiting_.empty()) client_id = waiting_[random.Below(waiting_.size())];
    }
    engine::WorkerId worker;
    if (client_id != 0 && rig_.server().FindClient(client_id, &worker)) {
      rig_.server().Post(worker, new UnblockMessage(client_id, random.OneIn(2)));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200 + random.Below(400)));
  }
}

void Stage::Run() {
  const net::Server::ListenResult listening = rig_.server().ListenTcp("127.0.0.1", 0, 128);
  CHECK(listening.error == 0);
  port_ = listening.port;
  std::vector<std::thread> workers;
  for (int i = 0; i < workers_; i++) workers.emplace_back([this, i] { DriveWorker(i); });

  taken_.resize(kEach);
  std::vector<std::thread> actors;
  const auto start = [&](auto&& act) {
    busy_actors_.fetch_add(1);
    actors.emplace_back([this, act] {
      act();
      busy_actors_.fetch_sub(1);
    });
  };
  for (uint64_t i = 0; i < kEach; i++) {
    start([this, i] { Produce(i); });
    start([this, i] { Consume(i, &taken_[i]); });
    start([this, i] { Move(i); });
    start([this, i] { Leave(i); });
    start([this, i] { ReadStreams(i); });
  }
  start([this] { WriteStreams(0); });
  std::thread caller([this] { CallBack(0); });
  std::this_thread::sleep_for(std::chrono::duration<double>(options_.seconds));
  is_over_.store(true);
  for (std::thread& actor : actors) actor.join();
  caller.join();
  CheckElements();
  must_stop_workers_.store(true);
  for (std::thread& worker : workers) worker.join();
  CheckEnd();
}

/// Every element that was ever pushed is with one consumer or in one list.
void Stage::CheckElements() {
  Elements all;
  for (const Elements& taken : taken_) all.insert(all.end(), taken.begin(), taken.end());
  const size_t taken = all.size();
  // In one EXEC: those who left did not wait for what they had sent, so elements are still being moved.
  std::vector<std::string> lists = queues_;
  for (size_t producer = 0; producer < kEach; producer++) {
    lists.push_back("own:" + std::to_string(producer));
    lists.push_back("left:" + std::to_string(producer));
  }
  Client client(port_);
  client.Run({"MULTI"});
  for (const std::string& key : lists) client.Run({"LRANGE", key, "0", "-1"});
  for (const std::string& element : BulksOf(client.Run({"EXEC"}))) all.push_back(std::stoull(element));
  std::sort(all.begin(), all.end());
  STRESS_EXPECT(all.size() == next_element_.load() - 1, static_cast<int64_t>(all.size()),
                static_cast<int64_t>(next_element_.load() - 1));
  for (size_t i = 0; i < all.size(); i++) {
    if (all[i] == i + 1) continue;
    Fail("an element is lost, or was given twice", static_cast<int64_t>(all[i]), static_cast<int64_t>(i + 1));
    break;
  }
  std::printf("  %llu elements, %zu taken; %llu entries\n", static_cast<unsigned long long>(next_element_.load() - 1),
              taken, static_cast<unsigned long long>(last_entries_[0].load()));
}

void Stage::CheckEnd() {
  for (int turn = 0; turn < 50; turn++) rig_.Pump();
  uint64_t blocked = 0;
  for (int i = 0; i < workers_; i++) blocked += rig_.counters(i).blocked_clients.Get();
  STRESS_EXPECT(blocked == 0, static_cast<int64_t>(blocked));
  STRESS_EXPECT(rig_.engine().gate.load() == 0, rig_.engine().gate.load());
  for (int shard = 0; shard < rig_.engine().shard_count(); shard++) {
    const auto id = static_cast<engine::ShardId>(shard);
    STRESS_EXPECT(!rig_.engine().keyspace(id).has_interests(), shard);
    const bool is_free = rig_.server().leases().TryAcquire(id, 0);
    STRESS_EXPECT(is_free, shard);
    if (is_free) rig_.server().leases().Release(id, 0);
  }
  rig_.Validate();
}

}  // namespace

STRESS(blocking_in_place) { Stage(options, true).Run(); }
STRESS(blocking_on_owner) { Stage(options, false).Run(); }

}  // namespace sherd::stress
