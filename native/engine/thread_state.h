// ThreadState: what the engine knows of the thread that runs a command: who it is, how it reaches the
// other workers, and what the command has set off.
//
// Commands run on I/O workers and on the runner; each has one of these, and every CommandContext points
// to it. Code that has no context at hand (expiry, the publisher of keyspace events) asks ThisThread().
//
// MESSAGES. Whatever must reach a client of another worker (an answer, a published message, an
// invalidation, a line of MONITOR) is a Message. It is posted at once, while the poster still holds the
// lease under which it happened, and delivered by the client's own worker, in the order of cause and
// effect (ring/inbox.h). Delivery only appends to output buffers: it never executes a command, so it may
// happen between any two commands of a worker.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/effects.h"
#include "ring/inbox.h"

namespace sherd::resp {
class OutputBuffer;
}

namespace sherd::engine {

class WorkerTracking;
struct Session;
struct WorkerCounters;
using WorkerId = uint16_t;
using ShardId = uint16_t;

/// What a worker offers to a message that is delivered on it. Worker's thread.
class WorkerPort {
 public:
  /// The session of a connection of this worker, or null when it is gone. Connections that are closing
  /// count as gone.
  virtual Session* FindSession(uint64_t client_id) = 0;
  /// Where to append bytes that are to be sent to this session beside its replies. They are sent at the
  /// end of the turn, whatever CLIENT REPLY says.
  virtual resp::OutputBuffer* OutputOf(Session* session) = 0;
  /// To be called when a message has been appended to OutputOf(): output limits are checked, and the
  /// connection is closed (a little later) if they are passed.
  virtual void EndPush(Session* session) = 0;
  /// Memory for bytes that go to several sessions, as it is until the end of the turn. What is taken one
  /// after the other for the same protocol lies one behind the other, as far as possible.
  virtual char* TurnMemory(int resp, size_t size) = 0;
  /// Appends bytes in TurnMemory to what is sent to a session, as OutputOf() and EndPush() would.
  virtual void PushTurnBytes(Session* session, std::string_view bytes) = 0;
  /// Delivers what is in the worker's inbox now. Not from within Message::Deliver.
  virtual void Drain() = 0;
  virtual WorkerId index() const = 0;
  /// CLIENT PAUSE is over: what it held back may run.
  virtual void LookAtPostponed() = 0;
  /// Which of this worker's clients track keys.
  virtual WorkerTracking& tracking() = 0;

 protected:
  ~WorkerPort() = default;
};

/// Something for one worker. Allocated by the poster with new; Deliver() is called once on the target
/// worker and disposes of it (delete, or a count of references).
class Message : public ring::InboxNode {
 public:
  virtual void Deliver(WorkerPort& port) = 0;

 protected:
  ~Message() = default;
};

/// The way to other workers. Any thread that runs commands.
class PostOffice {
 public:
  /// Puts `message` into the inbox of worker `to` (which may be the caller's own) and wakes it.
  virtual void Post(WorkerId to, Message* message) = 0;
  /// Whether the calling thread holds the lease of `shard`.
  virtual bool Holds(ShardId shard) = 0;
  /// Which worker has this client; false when it is not connected.
  virtual bool FindClient(uint64_t client_id, WorkerId* worker) = 0;

 protected:
  ~PostOffice() = default;
};

/// A key that somebody waits for and that has changed.
struct ReadyKey {
  int db;
  ShardId shard;
  uint16_t slot;
  uint64_t hash;
  std::string name;
};

struct ThreadState {
  PostOffice* post_office = nullptr;   // null in tests of single handlers: there are no other workers
  WorkerPort* port = nullptr;          // null on the runner, which has no connections
  WorkerCounters* counters = nullptr;
  WorkerId worker = 0;                 // the number under which it takes leases
  /// Keys to look at when the command has run and before its leases are given up, in order, each once.
  std::vector<ReadyKey> ready_keys;
  /// What the unit under way has changed, if a journal is on.
  EffectBuffer effects;
};

/// The end of a unit (engine/effects.h), while its leases are held. Returns its number, 0: it had no effects.
inline uint64_t EndUnit(ThreadState& thread) {
  if (__builtin_expect(thread.effects.empty(), 1)) return 0;
  return thread.effects.sink()->EndUnit(thread);
}

/// Of the calling thread: set by whoever runs commands on it; else an empty one.
ThreadState& ThisThread();
void SetThisThread(ThreadState* state);

}  // namespace sherd::engine
