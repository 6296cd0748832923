// SaverPace: how the thread that writes a snapshot gives way to those who serve clients.
//
// A snapshot that takes whatever the processor gives is done sooner than anybody needs, and its clients pay: on a machine
// whose cores are all busy each of its stays in a shard may be interrupted by the scheduler, with the lease held. So for
// work that is done in the background there is a rest of three quarters of its length behind it, as long as commands
// are being executed; without them nobody would notice, and there is none. What counts is the thread's processor time:
// where cores are short already, the rest does not grow with them. And a thread that has slept has a whole turn before it
// when it wakes, so that its short stays are over before the scheduler ends it.
//
// Off, the thread yields instead, which gives the same, but on a busy machine costs a turn for each stay: Linux takes it
// that whoever yields wants nothing for as long as a turn is.
//
// A lower priority (nice) was not taken: it holds under leases, too, and a thread without privileges cannot take it back.
//
// Thread: the saver's. Leases are not held.
#pragma once

#include <cstdint>

#include "engine/engine.h"

namespace sherd::persistence {

class SaverPace {
 public:
  /// Off: it yields, and nothing rests (SAVE, the last save of a shutdown).
  SaverPace(engine::Engine& engine, bool is_on) : engine_(engine), is_on_(is_on) {}

  /// The work begins here.
  void Begin();
  /// Between two pieces of work: rests if it is time to. True if that took place.
  bool GiveWay();
  /// Commands have been executed lately, and the pace is on.
  bool has_clients() const { return has_clients_; }

 private:
  void LookForClients(int64_t now_ns);

  engine::Engine& engine_;
  const bool is_on_;
  bool has_clients_ = false;
  uint64_t commands_seen_ = 0;
  int64_t looked_at_ns_ = 0;
  int64_t cpu_ns_ = 0;   // of this thread, up to here
  int64_t owed_ns_ = 0;  // rest; below zero: one was longer than asked for
};

}  // namespace sherd::persistence
