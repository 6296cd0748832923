// KeyEvents: keyspace notifications: what happens to keys, published as messages.
//
// Each event of a class that notify-keyspace-events names is published twice, where K and E ask for it,
// and in this order, as in Redis:
//
//   K   __keyspace@<db>__:<key>      message: the event      "__keyspace@0__:k" -> "set"
//   E   __keyevent@<db>__:<event>    message: the key        "__keyevent@0__:set" -> "k"
//
// Engine::event_sink points here while the option asks for anything, else it is null; while nobody listens
// to any channel an event costs two loads and no name is formatted.
//
// Thread: any that holds the lease of the key's shard. So the messages about one key come in the order of
// its changes, and before the answer of whoever saw them.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/options.h"

namespace sherd::engine {

class PubSub;

/// Classes of keyspace events, as the letters of notify-keyspace-events.
enum EventClass : uint32_t {
  kEventKeyspace = 1u << 0,  // K
  kEventKeyevent = 1u << 1,  // E
  kEventGeneric = 1u << 2,   // g
  kEventString = 1u << 3,    // $
  kEventList = 1u << 4,      // l
  kEventSet = 1u << 5,       // s
  kEventHash = 1u << 6,      // h
  kEventSortedSet = 1u << 7, // z
  kEventExpired = 1u << 8,   // x
  kEventEvicted = 1u << 9,   // e
  kEventStream = 1u << 10,   // t
  kEventKeyMiss = 1u << 11,  // m
  kEventModule = 1u << 13,   // d
  kEventNew = 1u << 14,      // n
};

/// Listens to keyspace events. Called under the lease of the key's shard.
class EventSink {
 public:
  virtual void OnKeyEvent(EventClass event_class, const char* event, int db, std::string_view key) = 0;

 protected:
  ~EventSink() = default;
};

class KeyEvents final : public EventSink {
 public:
  KeyEvents(PubSub* pubsub, const Options* options) : pubsub_(pubsub), options_(options) {}

  /// Whether the option asks for any event of any class.
  bool is_on() const;
  void OnKeyEvent(EventClass event_class, const char* event, int db, std::string_view key) override;

 private:
  PubSub* const pubsub_;
  const Options* const options_;
};

}  // namespace sherd::engine
