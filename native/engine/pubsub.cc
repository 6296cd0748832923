// PubSub: see the header.
#include "engine/pubsub.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/glob.h"
#include "engine/counters.h"
#include "engine/keyspace.h"
#include "engine/publication.h"

namespace sherd::engine {

namespace {

// Match::reach.
constexpr uint8_t kReachesChannel = 1;
constexpr uint8_t kReachesPattern = 2;

// A node of an unordered_map with a pointer and a number, and its bucket, about.
constexpr size_t kPlaceBytes = 48;

void ShrinkIfSparse(std::vector<Session*>* sessions) {
  constexpr size_t kKeptMin = 16;
  if (sessions->capacity() > kKeptMin && sessions->size() < sessions->capacity() / 4) sessions->shrink_to_fit();
}

Counter* CellOf(WorkerCounters* counters, TopicKind kind) {
  switch (kind) {
    case TopicKind::kChannel: return &counters->pubsub_channels;
    case TopicKind::kShardChannel: return &counters->pubsubshard_channels;
    case TopicKind::kPattern: return &counters->pubsub_patterns;
  }
  return nullptr;
}

/// A session begins or ends to be a subscriber; its worker's thread.
void SetSubscriber(Session* session, bool is_subscriber) {
  if (session->is_subscriber == is_subscriber) return;
  session->is_subscriber = is_subscriber;
  WorkerCounters* counters = ThisThread().counters;
  if (counters == nullptr) return;
  counters->pubsub_clients.Set(counters->pubsub_clients.Get() + (is_subscriber ? uint64_t{1} : ~uint64_t{0}));
}

}  // namespace

HashedName HashedName::Of(std::string_view text) { return {text, HashKey(text)}; }

// ---- Counts ----

uint32_t Listeners::total() const {
  uint32_t sum = 0;
  for (const ListenerCount& count : workers) sum += count.count;
  return sum;
}

void Listeners::Add(WorkerId worker, int delta) {
  const auto found = std::find_if(workers.begin(), workers.end(),
                                  [worker](const ListenerCount& count) { return count.worker == worker; });
  if (found == workers.end()) {
    CHECK(delta == 1);
    workers.push_back({worker, 1});
    return;
  }
  found->count += static_cast<uint32_t>(delta);
  if (found->count != 0) return;
  *found = workers.back();
  workers.pop_back();
}

PubSub::PubSub(int workers)
    : stripes_(new Stripe[kStripes]),
      workers_(new Home[static_cast<size_t>(workers)]),
      worker_count_(static_cast<size_t>(workers)) {}

PubSub::~PubSub() = default;

void PubSub::Lock(uint64_t stripes) {
  // Ascending, as everybody does.
  for (uint64_t left = stripes; left != 0; left &= left - 1) stripes_[__builtin_ctzll(left)].mutex.lock();
}

void PubSub::Unlock(uint64_t stripes) {
  for (uint64_t left = stripes; left != 0; left &= left - 1) stripes_[__builtin_ctzll(left)].mutex.unlock();
}

void PubSub::CountTopic(TopicKind kind, int delta) {
  counts_[static_cast<size_t>(kind)].fetch_add(static_cast<size_t>(delta), std::memory_order_relaxed);
  // Cells have one writer each: the sum over all workers is what counts, one alone may be negative.
  if (WorkerCounters* counters = ThisThread().counters) {
    CellOf(counters, kind)->Add(static_cast<uint64_t>(static_cast<int64_t>(delta)));
  }
}

void PubSub::AddShared(TopicKind kind, const HashedName& name, WorkerId worker, int delta) {
  if (kind == TopicKind::kPattern) return AddSharedPattern(name, worker, delta);
  SharedTopics& topics = stripes_[StripeOf(name)].topics[static_cast<size_t>(kind)];
  auto found = topics.find(name);
  if (found == topics.end()) {
    auto made = std::make_unique<Listeners>();
    made->text = name.text;
    made->hash = name.hash;
    const HashedName key{made->text, made->hash};
    found = topics.emplace(key, std::move(made)).first;
    CountTopic(kind, 1);
  }
  found->second->Add(worker, delta);
  if (!found->second->workers.empty()) return;
  topics.erase(found);
  CountTopic(kind, -1);
}

void PubSub::AddSharedPattern(const HashedName& name, WorkerId worker, int delta) {
  auto found = pattern_places_.find(name);
  if (found == pattern_places_.end()) {
    auto made = std::make_unique<Listeners>();
    made->text = name.text;
    made->hash = name.hash;
    found = pattern_places_.emplace(HashedName{made->text, made->hash}, patterns_.size()).first;
    patterns_.push_back(std::move(made));
    CountTopic(TopicKind::kPattern, 1);
  }
  const size_t place = found->second;
  patterns_[place]->Add(worker, delta);
  if (!patterns_[place]->workers.empty()) return;
  pattern_places_.erase(found);
  if (place + 1 != patterns_.size()) {
    patterns_[place] = std::move(patterns_.back());
    pattern_places_[HashedName{patterns_[place]->text, patterns_[place]->hash}] = place;
  }
  patterns_.pop_back();
  CountTopic(TopicKind::kPattern, -1);
}

// ---- Publishing ----

void PubSub::AddToMatch(const Listeners& listeners, uint8_t reach, Match* match) {
  for (const ListenerCount& count : listeners.workers) {
    match->receivers += count.count;
    uint8_t& of_worker = match->reach[count.worker];
    if (of_worker == 0) match->target_count++;
    of_worker |= reach;
  }
}

void PubSub::FindMatches(Stripe& stripe, TopicKind kind, const HashedName& channel, Match* match) {
  match->receivers = match->target_count = 0;
  match->reach.assign(worker_count_, 0);
  match->patterns.clear();
  const SharedTopics& topics = stripe.topics[static_cast<size_t>(kind)];
  const auto found = topics.find(channel);
  if (found != topics.end()) AddToMatch(*found->second, kReachesChannel, match);
  if (kind == TopicKind::kShardChannel) return;
  for (const std::unique_ptr<Listeners>& pattern : patterns_) {
    if (!GlobMatch(pattern->text, channel.text)) continue;
    match->patterns.push_back(pattern.get());
    AddToMatch(*pattern, kReachesPattern, match);
  }
}

size_t PubSub::Publish(TopicKind kind, std::string_view channel, std::string_view message) {
  const bool may_match = kind == TopicKind::kChannel ? has_listeners() : topic_count(kind) != 0;
  if (!may_match) return 0;
  PostOffice* office = ThisThread().post_office;
  thread_local Match match;
  const HashedName name = HashedName::Of(channel);
  MessageFrame long_frame;
  if (message.size() >= kLongMessageMin) long_frame = MessageFrame::Encode(kind, channel, message);
  Stripe& stripe = stripes_[StripeOf(name)];
  const std::lock_guard<std::mutex> lock(stripe.mutex);
  FindMatches(stripe, kind, name, &match);
  if (match.target_count == 0 || office == nullptr) {
    std::free(long_frame.data);
    return match.receivers;
  }
  Publication* publication =
      Publication::Create(this, kind, name, message, long_frame, match.patterns, match.target_count);
  size_t next = 0;
  for (size_t worker = 0; next < match.target_count; worker++) {
    if (match.reach[worker] == 0) continue;
    Publication::Delivery* delivery = publication->delivery(next++);
    delivery->to_channel = (match.reach[worker] & kReachesChannel) != 0;
    // The last one may be delivered, and the block freed, as soon as it is posted.
    office->Post(static_cast<WorkerId>(worker), delivery);
  }
  return match.receivers;
}

namespace {

/// The same bytes to every listener, written once per protocol: `first` with the protocol's mark in front,
/// then `second`.
void FanOut(const Topic& topic, std::string_view first, std::string_view second, WorkerPort& port) {
  std::string_view frames[2];  // RESP2, RESP3
  for (Session* session : topic.sessions) {
    if (session->close_after_reply) continue;
    const int resp = session->resp;
    std::string_view& frame = frames[resp == 3 ? 1 : 0];
    if (frame.empty()) {
      char* place = port.TurnMemory(resp, first.size() + second.size());
      std::memcpy(place, first.data(), first.size());
      if (!second.empty()) std::memcpy(place + first.size(), second.data(), second.size());
      if (resp == 3) *place = '>';
      frame = {place, first.size() + second.size()};
    }
    port.PushTurnBytes(session, frame);
  }
}

/// The same for a long message: the head is copied, the rest referred to.
void FanOutLong(const Topic& topic, std::string_view head, Publication* publication, WorkerPort& port) {
  for (Session* session : topic.sessions) {
    if (session->close_after_reply) continue;
    resp::OutputBuffer* out = port.OutputOf(session);
    char* place = out->Reserve(head.size());
    std::memcpy(place, head.data(), head.size());
    if (session->resp == 3) *place = '>';
    out->Commit(head.size());
    out->AppendShared(publication->frame().tail(), publication);
    port.EndPush(session);
  }
}

}  // namespace

void PubSub::Deliver(Publication* publication, bool to_channel, WorkerPort& port) {
  Home& home = workers_[port.index()];
  const MessageFrame& frame = publication->frame();
  if (to_channel) {
    const Topics& topics = home.topics[static_cast<size_t>(publication->kind())];
    const auto found = topics.find({publication->channel(), publication->channel_hash()});
    if (found != topics.end() && publication->is_long()) FanOutLong(*found->second, frame.head(), publication, port);
    if (found != topics.end() && !publication->is_long()) FanOut(*found->second, frame.all(), {}, port);
  }
  const Topics& patterns = home.topics[static_cast<size_t>(TopicKind::kPattern)];
  for (const Publication::PatternHead& head : publication->patterns()) {
    const auto found = patterns.find(head.pattern);
    if (found == patterns.end()) continue;
    if (publication->is_long()) {
      FanOutLong(*found->second, head.head, publication, port);
    } else {
      FanOut(*found->second, head.head, frame.tail(), port);
    }
  }
}

// ---- Questions ----

size_t PubSub::CountListeners(TopicKind kind, std::string_view channel) {
  if (topic_count(kind) == 0) return 0;
  const HashedName name = HashedName::Of(channel);
  Stripe& stripe = stripes_[StripeOf(name)];
  const std::lock_guard<std::mutex> lock(stripe.mutex);
  const SharedTopics& topics = stripe.topics[static_cast<size_t>(kind)];
  const auto found = topics.find(name);
  return found == topics.end() ? 0 : found->second->total();
}

void PubSub::CollectChannels(TopicKind kind, std::string_view pattern, bool has_pattern,
                             std::vector<std::string>* names) {
  for (size_t i = 0; i < kStripes; i++) {
    const std::lock_guard<std::mutex> lock(stripes_[i].mutex);
    for (const auto& [name, listeners] : stripes_[i].topics[static_cast<size_t>(kind)]) {
      if (!has_pattern || GlobMatch(pattern, name.text)) names->emplace_back(name.text);
    }
  }
}

// ---- Sessions that go ----

void PubSub::Remove(Session* session, Topic* topic) {
  const size_t kind = static_cast<size_t>(topic->kind);
  Subscriptions& subscriptions = *session->subscriptions;
  const auto found = subscriptions.topics_[kind].find(topic);
  const uint32_t place = found->second.place;
  subscriptions.topics_[kind].erase(found);
  CHECK(topic->sessions[place] == session);
  Session* last = topic->sessions.back();
  topic->sessions.pop_back();
  if (last != session) {
    topic->sessions[place] = last;
    last->subscriptions->topics_[kind].find(topic)->second.place = place;
  }
  AddShared(topic->kind, topic->name(), subscriptions.worker_, -1);
  if (!topic->sessions.empty()) return ShrinkIfSparse(&topic->sessions);
  Topics& topics = workers_[subscriptions.worker_].topics[kind];
  topics.erase(topics.find(topic->name()));
}

void PubSub::Leave(Session* session) {
  if (session->subscriptions == nullptr) return;
  Home& home = workers_[session->subscriptions->worker_];
  if (home.is_changing) {
    home.leaving.push_back(session);
    return;
  }
  RemoveAll(session, session->subscriptions.get());
  session->subscriptions.reset();
  SetSubscriber(session, false);
}

void PubSub::RemoveAll(Session* session, Subscriptions* subscriptions) {
  for (const TopicKind kind : {TopicKind::kChannel, TopicKind::kShardChannel, TopicKind::kPattern}) {
    Subscriptions::Places& places = subscriptions->topics_[static_cast<size_t>(kind)];
    while (!places.empty()) {
      // One lock at a time; for patterns all of them, so a few patterns at once.
      uint64_t stripes = 0;
      size_t left = kind == TopicKind::kPattern ? PubSubChange::kNamesMax : 1;
      stripes = StripesOf(kind, places.begin()->first->name());
      Lock(stripes);
      while (left-- > 0 && !places.empty()) Remove(session, places.begin()->first);
      Unlock(stripes);
    }
  }
}

void Subscriptions::Leave(Session* session) { pubsub_->Leave(session); }

Subscriptions::~Subscriptions() { CHECK_MSG(empty(), "a session with subscriptions is deleted"); }

size_t Subscriptions::memory() const { return sizeof(Subscriptions) + total() * kPlaceBytes; }

// ---- Changes ----

PubSubChange::PubSubChange(PubSub* pubsub, Session* session, TopicKind kind, std::span<const HashedName> names)
    : pubsub_(pubsub), session_(session), kind_(kind), worker_(ThisThread().worker) {
  DCHECK(names.size() <= kNamesMax);
  if (session->subscriptions == nullptr) {
    session->subscriptions = std::make_unique<Subscriptions>(pubsub, worker_);
  }
  for (const HashedName& name : names) stripes_ |= PubSub::StripesOf(kind, name);
  WorkerPort* port = ThisThread().port;
  pubsub_->workers_[worker_].is_changing = true;
  // Twice: what has piled up is delivered before others are kept waiting.
  if (port != nullptr) port->Drain();
  pubsub_->Lock(stripes_);
  if (port != nullptr) port->Drain();
}

PubSubChange::~PubSubChange() {
  pubsub_->Unlock(stripes_);
  const bool is_subscriber = !session_->subscriptions->empty();
  if (!is_subscriber) session_->subscriptions.reset();
  SetSubscriber(session_, is_subscriber);
  PubSub::Home& home = pubsub_->workers_[worker_];
  home.is_changing = false;
  std::vector<Session*> leaving;
  leaving.swap(home.leaving);
  for (Session* session : leaving) pubsub_->Leave(session);
}

void PubSubChange::Add(const HashedName& name) {
  const size_t kind = static_cast<size_t>(kind_);
  PubSub::Topics& topics = pubsub_->workers_[worker_].topics[kind];
  auto found = topics.find(name);
  if (found == topics.end()) {
    auto made = std::make_unique<Topic>(kind_, name);
    const HashedName key = made->name();
    found = topics.emplace(key, std::move(made)).first;
  }
  Topic* topic = found->second.get();
  Subscriptions& subscriptions = *session_->subscriptions;
  const Subscriptions::Place place{static_cast<uint32_t>(topic->sessions.size()), subscriptions.next_number_};
  if (!subscriptions.topics_[kind].try_emplace(topic, place).second) return;
  subscriptions.next_number_++;
  topic->sessions.push_back(session_);
  pubsub_->AddShared(kind_, name, worker_, 1);
}

/// The topic, if the session listens to it.
Topic* PubSubChange::Find(const HashedName& name) const {
  const size_t kind = static_cast<size_t>(kind_);
  const PubSub::Topics& topics = pubsub_->workers_[worker_].topics[kind];
  const auto found = topics.find(name);
  if (found == topics.end()) return nullptr;
  Topic* topic = found->second.get();
  return session_->subscriptions->topics_[kind].contains(topic) ? topic : nullptr;
}

void PubSubChange::Remove(const HashedName& name) {
  if (Topic* topic = Find(name)) pubsub_->Remove(session_, topic);
}

void CollectTopics(const Session& session, TopicKind kind, std::vector<HashedName>* names) {
  names->clear();
  if (session.subscriptions == nullptr) return;
  std::vector<std::pair<uint64_t, HashedName>> numbered;
  for (const auto& [topic, place] : session.subscriptions->topics_[static_cast<size_t>(kind)]) {
    numbered.push_back({place.number, topic->name()});
  }
  std::sort(numbered.begin(), numbered.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [number, name] : numbered) names->push_back(name);
}

void UnsubscribeAll(PubSub* pubsub, Session* session) {
  std::vector<HashedName> names;
  for (const TopicKind kind : {TopicKind::kChannel, TopicKind::kShardChannel, TopicKind::kPattern}) {
    CollectTopics(*session, kind, &names);
    // The session may be killed by what is delivered on the way; then the names are gone with it.
    for (std::span<const HashedName> left = names; !left.empty() && session->subscriptions != nullptr;) {
      const std::span<const HashedName> some = left.first(std::min(left.size(), PubSubChange::kNamesMax));
      PubSubChange change(pubsub, session, kind, some);
      for (const HashedName& name : some) change.Remove(name);
      left = left.subspan(some.size());
    }
  }
}

}  // namespace sherd::engine
