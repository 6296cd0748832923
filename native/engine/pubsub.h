// PubSub: who listens to which channel, shard channel or pattern, and the way of a message to them.
//
// TWO LEVELS. A connection belongs to one worker, so each worker knows its own listeners and nobody
// else's; what all threads share is how many listeners each worker has. A publisher counts in the shared
// part and sends one message to each worker with listeners; the worker fans it out.
//
//   stripes_[hash]                                workers_[w] (worker w's thread only)
//     "news" -> 3 on worker 0, 1 on worker 2        "news" -> session, session, session
//     (mutex)                                       session -> "news" at place 0, "sport" at place 4
//   patterns_ (changed under all stripes' locks, read under any)
//     "n*" -> 1 on worker 1
//
// EXACT COUNTS (PUBLISH must say how many got the message). A publisher posts its messages while it holds
// the lock of the channel's stripe. Whoever starts or stops listening takes the same lock (a pattern: all
// of them), then drains its worker's inbox, and only then changes its worker's table and the count. So
// what was counted before the change is delivered before it, to exactly those who were counted. Readers of
// patterns hold any one lock: PUBLISH takes one mutex, whatever it finds, and PSUBSCRIBE, which is rare,
// takes all.
//
// ORDER. Messages travel through the workers' inboxes (ring/inbox.h), so what one publisher sends comes in
// its order, and what happened because of a message comes after it.
//
// A MESSAGE (Publication) is one block for all workers: the frame as it goes to RESP2 clients, encoded
// once; RESP3 differs in the first byte only. Fan-out is one copy per listener; long payloads are not even
// copied, they are referenced.
//
//   | counts, a Delivery for each worker | matched patterns | *3 $7 message | $4 news $5 hello |
//                                                              frame ------------------------->
//                                                                            tail ----------->
//   A pattern's listeners get a head of their own (*4 $8 pmessage $2 n*) and the same tail.
//
// Always true: the count of (channel, worker) is the number of sessions in that worker's table; a session
// is in the table of its own worker only, and stands in topic->sessions at the place that its
// Subscriptions remember; nothing is kept for a channel without listeners.
//
// Locks: short, and the last to be taken (a publisher may hold leases). Under them nothing is executed;
// messages are delivered, which only appends to outputs.
//
// Thread: Publish and the questions from any; PubSubChange and Leave on the worker of the session.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/session.h"
#include "engine/thread_state.h"

namespace sherd::engine {

enum class TopicKind : uint8_t { kChannel = 0, kShardChannel = 1, kPattern = 2 };
inline constexpr size_t kTopicKinds = 3;

/// A name with its hash, which is computed once per command.
struct HashedName {
  std::string_view text;
  uint64_t hash;

  static HashedName Of(std::string_view text);
  bool operator==(const HashedName& other) const { return hash == other.hash && text == other.text; }
};
struct NameHash {
  size_t operator()(const HashedName& name) const { return static_cast<size_t>(name.hash); }
};

/// What listeners of one worker listen to.
struct Topic {
  Topic(TopicKind kind_in, const HashedName& name_in) : text(name_in.text), hash(name_in.hash), kind(kind_in) {}
  HashedName name() const { return {text, hash}; }

  std::string text;
  uint64_t hash;
  TopicKind kind;
  std::vector<Session*> sessions;
};

class PubSub;

/// What one session listens to; made with its first subscription, gone with its last.
class Subscriptions {
 public:
  Subscriptions(PubSub* pubsub, WorkerId worker) : pubsub_(pubsub), worker_(worker) {}
  ~Subscriptions();
  Subscriptions(const Subscriptions&) = delete;
  Subscriptions& operator=(const Subscriptions&) = delete;

  size_t count(TopicKind kind) const { return topics_[static_cast<size_t>(kind)].size(); }
  bool empty() const { return total() == 0; }
  size_t total() const { return topics_[0].size() + topics_[1].size() + topics_[2].size(); }
  /// PubSub::Leave, for a session that is deleted as it is.
  void Leave(Session* session);
  /// Bytes held for this session, about.
  size_t memory() const;

 private:
  friend class PubSub;
  friend class PubSubChange;
  friend void CollectTopics(const Session& session, TopicKind kind, std::vector<HashedName>* names);
  struct Place {
    uint32_t place;   // in topic->sessions
    uint64_t number;  // ascending in the order of subscription
  };
  using Places = std::unordered_map<Topic*, Place>;

  PubSub* pubsub_;
  WorkerId worker_;
  uint64_t next_number_ = 0;
  Places topics_[kTopicKinds];
};

/// Number of listeners of one worker.
struct ListenerCount {
  WorkerId worker;
  uint32_t count;
};

/// What all threads know of a channel or pattern.
struct Listeners {
  std::string text;
  uint64_t hash = 0;
  std::vector<ListenerCount> workers;  // those with any

  uint32_t total() const;
  /// `delta` is +1 or -1.
  void Add(WorkerId worker, int delta);
};

class Publication;

class PubSub {
 public:
  explicit PubSub(int workers);
  ~PubSub();
  PubSub(const PubSub&) = delete;
  PubSub& operator=(const PubSub&) = delete;

  // ---- Any thread ----

  /// Sends a message to all listeners of a channel or shard channel; returns their number, each pattern
  /// counted for itself. Takes no lock when nobody listens to anything.
  size_t Publish(TopicKind kind, std::string_view channel, std::string_view message);
  /// Whether a message on any channel could find a listener. relaxed: who has been told that he listens
  /// was counted before; more is not promised.
  bool has_listeners() const {
    return counts_[0].load(std::memory_order_relaxed) + counts_[2].load(std::memory_order_relaxed) != 0;
  }
  /// Channels (shard channels, patterns) with listeners.
  size_t topic_count(TopicKind kind) const {
    return counts_[static_cast<size_t>(kind)].load(std::memory_order_relaxed);
  }
  /// Listeners of a channel, those by pattern left out.
  size_t CountListeners(TopicKind kind, std::string_view channel);
  /// Names of all channels with listeners that match; an empty pattern matches all.
  void CollectChannels(TopicKind kind, std::string_view pattern, bool has_pattern, std::vector<std::string>* names);

  // ---- The session's worker ----

  /// The session is closing: it listens to nothing any more. What was counted for it and is still on its
  /// way is lost, as what its socket had not taken is. Also possible while messages are delivered.
  void Leave(Session* session);

 private:
  friend class PubSubChange;
  friend class Publication;
  friend class Subscriptions;

  static constexpr size_t kStripes = 64;
  using Topics = std::unordered_map<HashedName, std::unique_ptr<Topic>, NameHash>;
  using SharedTopics = std::unordered_map<HashedName, std::unique_ptr<Listeners>, NameHash>;

  struct alignas(64) Stripe {
    std::mutex mutex;
    SharedTopics topics[2];  // channels, shard channels
  };
  /// One worker's own table.
  struct alignas(64) Home {
    Topics topics[kTopicKinds];
    bool is_changing = false;          // a PubSubChange holds locks: sessions that close must wait for it
    std::vector<Session*> leaving;     // those who did
  };
  /// What a publisher finds.
  struct Match {
    size_t receivers = 0;
    size_t target_count = 0;                  // workers
    std::vector<uint8_t> reach;               // by worker: kReaches…
    std::vector<const Listeners*> patterns;   // that match
  };

  static size_t StripeOf(const HashedName& name) { return static_cast<size_t>(name.hash >> 58); }
  static_assert(kStripes == 64);
  static uint64_t StripesOf(TopicKind kind, const HashedName& name) {
    return kind == TopicKind::kPattern ? ~uint64_t{0} : uint64_t{1} << StripeOf(name);
  }
  void Lock(uint64_t stripes);
  void Unlock(uint64_t stripes);
  /// Changes the shared count; the stripes are locked.
  void AddShared(TopicKind kind, const HashedName& name, WorkerId worker, int delta);
  void AddSharedPattern(const HashedName& name, WorkerId worker, int delta);
  void CountTopic(TopicKind kind, int delta);
  void FindMatches(Stripe& stripe, TopicKind kind, const HashedName& channel, Match* match);
  static void AddToMatch(const Listeners& listeners, uint8_t reach, Match* match);
  /// Takes a session off one topic of its worker and off the shared count; the stripes are locked.
  void Remove(Session* session, Topic* topic);
  void Deliver(Publication* publication, bool to_channel, WorkerPort& port);
  void RemoveAll(Session* session, Subscriptions* subscriptions);

  std::unique_ptr<Stripe[]> stripes_;
  std::unique_ptr<Home[]> workers_;
  const size_t worker_count_;
  // Guarded by all stripes' locks for changing, by any for reading.
  std::vector<std::unique_ptr<Listeners>> patterns_;
  std::unordered_map<HashedName, size_t, NameHash> pattern_places_;
  // By TopicKind. Changed under locks by different threads.
  std::atomic<size_t> counts_[kTopicKinds] = {0, 0, 0};
};

/// Changes what one session listens to, a bounded number of names at a time:
///
///   PubSubChange change(&pubsub, session, kind, names);   // at most kNamesMax; locks, drains
///   for (name : names) change.Add(name) or Remove(name);
///
/// The constructor delivers what is on its way to the worker, to the session too: mark the reply
/// (ReplyBuilder::KeepWritten) before anything else is written to it.
class PubSubChange {
 public:
  static constexpr size_t kNamesMax = 64;

  PubSubChange(PubSub* pubsub, Session* session, TopicKind kind, std::span<const HashedName> names);
  ~PubSubChange();
  PubSubChange(const PubSubChange&) = delete;
  PubSubChange& operator=(const PubSubChange&) = delete;

  void Add(const HashedName& name);
  void Remove(const HashedName& name);
  bool Has(const HashedName& name) const { return Find(name) != nullptr; }

 private:
  Topic* Find(const HashedName& name) const;

  PubSub* const pubsub_;
  Session* const session_;
  const TopicKind kind_;
  const WorkerId worker_;
  uint64_t stripes_ = 0;
};

/// The names of what a session listens to, in the order of subscription. Valid until they are removed.
void CollectTopics(const Session& session, TopicKind kind, std::vector<HashedName>* names);

/// The session listens to nothing any more, without confirmations; what is on its way comes first.
void UnsubscribeAll(PubSub* pubsub, Session* session);

/// How many things of this kind a session listens to.
inline size_t TopicCount(const Session& session, TopicKind kind) {
  return session.subscriptions == nullptr ? 0 : session.subscriptions->count(kind);
}

}  // namespace sherd::engine
