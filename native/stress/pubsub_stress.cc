// Publish and subscribe under many threads: everybody publishes to everybody, while all of them come and go.
//
// Each thread has a worker and some detached RESP3 connections, which publish, subscribe and unsubscribe at
// random, by channel, shard channel and pattern, also within transactions. Some connections vanish without
// a word; they listen to channels of their own.
//
// Checked
//   - exact counts: what all PUBLISHes were told is what all subscribers got; with connections that vanish,
//     at least that;
//   - exact moments: a message comes behind the confirmation of its subscription and not behind that of its
//     end;
//   - order: a subscriber gets what one publisher sent to one channel in the order of sending;
//   - nothing left: no channel, pattern or message when all have gone (messages: ASan).
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/numbers.h"
#include "engine/pubsub.h"
#include "net/test_rig.h"
#include "stress/stress.h"

namespace sherd::stress {
namespace {

using test::DetachedClient;
using test::Line;
using test::ServerRig;

constexpr int kClientsPerThread = 5;
constexpr int kChannels = 6;
// The number of a message has this many digits, so that numbers compare as texts.
constexpr size_t kNumberDigits = 9;

/// The texts in a frame of bulks: "message", "c1", …
std::vector<std::string> Texts(std::string_view frame) {
  std::vector<std::string> texts;
  size_t at = frame.find("\r\n") + 2;
  while (at < frame.size()) {
    const size_t end = frame.find("\r\n", at);
    int64_t size;
    if (frame[at] != '$' || !ParseInt64(frame.substr(at + 1, end - at - 1), &size)) break;
    texts.emplace_back(frame.substr(end + 2, static_cast<size_t>(size)));
    at = end + 2 + static_cast<size_t>(size) + 2;
  }
  return texts;
}

struct Totals {
  uint64_t counted = 0;   // by publishers
  uint64_t received = 0;  // by subscribers
};

/// One connection with what is known of it.
class Peer {
 public:
  Peer(ServerRig& rig, int worker, int id, bool vanishes)
      : rig_(rig), worker_(worker), id_(id), vanishes_(vanishes) {
    Connect();
  }

  void Act(Random* random) {
    if (vanishes_ && OneIn(random, 20)) Connect();
    std::string bytes;
    const bool is_transaction = OneIn(random, 5);
    if (is_transaction) bytes += Line({"MULTI"});
    for (uint64_t left = 1 + random->Below(6); left > 0; left--) bytes += NextCommand(random, !is_transaction);
    if (is_transaction) bytes += Line({"EXEC"});
    client_->Send(bytes);
    Look();
  }

  /// Takes what has come and checks it.
  void Look() {
    while (client_->Serve()) {
    }
    unread_ += client_->Take();
    size_t at = 0;
    while (at < unread_.size()) {
      const std::string_view rest = std::string_view(unread_).substr(at);
      // The elements of EXEC's reply are looked at one by one, like everything else.
      const size_t size = rest[0] == '*' ? rest.find("\r\n") + 2 : test::ReplySize(rest);
      if (size == 0 || size == std::string_view::npos) break;
      Check(rest.substr(0, size));
      at += size;
    }
    unread_.erase(0, at);
  }

  bool is_quiet() const { return !client_->is_parked() && unread_.empty(); }
  bool vanishes() const { return vanishes_; }
  const Totals& totals() const { return totals_; }
  void Disconnect() { client_.reset(); }

 private:
  void Connect() {
    client_.reset();
    client_ = std::make_unique<DetachedClient>(rig_, worker_);
    client_->Send(Line({"HELLO", "3"}));
    client_->Take();
    unread_.clear();
    for (auto& set : listens_) set.clear();
    last_.clear();
  }

  /// `may_end`: whether it may be UNSUBSCRIBE. Within a transaction the messages that the client sends
  /// itself come behind the whole reply, so behind the end as well.
  std::string NextCommand(Random* random, bool may_end) {
    // Those who vanish have channels of their own, so that what is lost with them can be told apart.
    const std::string prefix = vanishes_ ? "v" : "c";
    const std::string channel = prefix + std::to_string(random->Below(kChannels));
    const bool is_shard = OneIn(random, 4);
    if (OneIn(random, 2)) {
      std::string number = std::to_string(next_number_++);
      number.insert(0, kNumberDigits - number.size(), '0');
      std::string text = std::to_string(id_) + ":" + number;
      if (OneIn(random, 50)) text += ":" + std::string(10'000, 'x');
      return Line({is_shard ? "SPUBLISH" : "PUBLISH", channel, text});
    }
    const bool is_pattern = !is_shard && OneIn(random, 4);
    const std::string name = is_pattern ? channel.substr(0, 1) + "[" + channel.substr(1) + "a]" : channel;
    const bool is_end = may_end && OneIn(random, 2);
    std::vector<std::string> words = {std::string(is_shard ? "S" : is_pattern ? "P" : "") +
                                      (is_end ? "UNSUBSCRIBE" : "SUBSCRIBE")};
    if (!is_end || !OneIn(random, 4)) words.push_back(name);
    if (!is_pattern && words.size() > 1 && OneIn(random, 4)) words.push_back(prefix + "0");
    return Line(words);
  }

  void Check(std::string_view frame) {
    int64_t count;
    if (frame[0] == ':' && ParseInt64(frame.substr(1, frame.size() - 3), &count)) {
      totals_.counted += static_cast<uint64_t>(count);
      return;
    }
    // The one refusal there is: SSUBSCRIBE in a transaction.
    STRESS_EXPECT(frame[0] != '-' || frame.starts_with("-ERR SSUBSCRIBE isn't allowed"));
    if (frame[0] != '>') return;
    const std::vector<std::string> texts = Texts(frame);
    const std::string& word = texts[0];
    const std::string name = texts.size() > 1 ? texts[1] : "";
    const bool is_shard = word == "smessage" || word == "ssubscribe" || word == "sunsubscribe";
    const size_t kind = is_shard ? 1 : word[0] == 'p' ? 2 : 0;
    if (word.ends_with("unsubscribe")) {
      listens_[kind].erase(name);
    } else if (word.ends_with("subscribe")) {
      listens_[kind].insert(name);
    } else {
      CheckMessage(kind, name, texts.back());
    }
  }

  void CheckMessage(size_t kind, const std::string& name, const std::string& text) {
    totals_.received++;
    STRESS_EXPECT(listens_[kind].contains(name), static_cast<int64_t>(kind));
    const size_t colon = text.find(':');
    const std::string number = text.substr(colon + 1, kNumberDigits);
    // By publisher and way: a pattern's messages come beside those of the channel.
    std::string& last = last_[{kind, name + "<" + text.substr(0, colon)}];
    STRESS_EXPECT(last < number, static_cast<int64_t>(kind));
    last = number;
  }

  ServerRig& rig_;
  const int worker_;
  const int id_;
  const bool vanishes_;
  std::unique_ptr<DetachedClient> client_;
  std::string unread_;
  uint64_t next_number_ = 1;
  std::set<std::string> listens_[engine::kTopicKinds];
  std::map<std::pair<size_t, std::string>, std::string> last_;
  Totals totals_;
};

struct Party {
  explicit Party(const Options& options, bool in_place)
      : threads(options.threads > 0 ? options.threads : 3),
        rig({.workers = threads, .shards = 8, .in_place = in_place}),
        peers(static_cast<size_t>(threads)) {
    int id = 0;
    for (int thread = 0; thread < threads; thread++) {
      for (int i = 0; i < kClientsPerThread; i++) {
        peers[static_cast<size_t>(thread)].push_back(
            std::make_unique<Peer>(rig, thread, id++, i == kClientsPerThread - 1));
      }
    }
  }

  void Drive(int index, uint64_t seed) {
    Random random(seed);
    std::vector<std::unique_ptr<Peer>>& mine = peers[static_cast<size_t>(index)];
    for (uint64_t turn = 1; !must_stop.load(std::memory_order_relaxed); turn++) {
      mine[random.Below(mine.size())]->Act(&random);
      if (turn % 4 == 0) rig.worker(index).RunOnce();
      if (turn % 64 == 0) std::this_thread::yield();
    }
    // Nobody publishes any more once all have come here; then what is under way arrives.
    stopped.fetch_add(1);
    SpinUntil([this] { return stopped.load() == threads; });
    for (int turn = 0; turn < 4; turn++) {
      rig.worker(index).RunOnce();
      for (const auto& peer : mine) peer->Look();
    }
  }

  const int threads;
  ServerRig rig;
  std::vector<std::vector<std::unique_ptr<Peer>>> peers;  // by thread
  std::atomic<bool> must_stop{false};
  std::atomic<int> stopped{0};
};

void RunParty(const Options& options, bool in_place) {
  Party party(options, in_place);
  std::vector<std::thread> threads;
  for (int i = 0; i < party.threads; i++) {
    threads.emplace_back([&party, &options, i] { party.Drive(i, options.seed * 31 + static_cast<uint64_t>(i)); });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds));
  party.must_stop.store(true);
  for (std::thread& thread : threads) thread.join();

  Totals faithful, vanishing;
  for (const auto& mine : party.peers) {
    for (const auto& peer : mine) {
      STRESS_EXPECT(peer->is_quiet());
      Totals& totals = peer->vanishes() ? vanishing : faithful;
      totals.counted += peer->totals().counted;
      totals.received += peer->totals().received;
      peer->Disconnect();
    }
  }
  std::printf("  threads %d: %llu messages counted, %llu with listeners that vanish\n", party.threads,
              static_cast<unsigned long long>(faithful.counted), static_cast<unsigned long long>(vanishing.counted));
  STRESS_EXPECT(faithful.counted > 0);
  STRESS_EXPECT(faithful.counted == faithful.received, static_cast<int64_t>(faithful.counted),
                static_cast<int64_t>(faithful.received));
  STRESS_EXPECT(vanishing.counted >= vanishing.received, static_cast<int64_t>(vanishing.counted),
                static_cast<int64_t>(vanishing.received));
  using engine::TopicKind;
  for (const TopicKind kind : {TopicKind::kChannel, TopicKind::kShardChannel, TopicKind::kPattern}) {
    STRESS_EXPECT(party.rig.engine().pubsub().topic_count(kind) == 0, static_cast<int64_t>(kind));
  }
}

}  // namespace

STRESS(pubsub_in_place) { RunParty(options, true); }
STRESS(pubsub_on_owner) { RunParty(options, false); }

}  // namespace sherd::stress
