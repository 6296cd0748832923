// Effects: what a unit of work has changed, collected until the unit ends; and what waits for it to be on disk.
//
// A UNIT is what others see as one step: a command; an EXEC with all in it; one waiter that is served; a key
// that expires by itself. Its effects, in the form in which they are to be replayed, gather in a buffer of
// the thread that runs it. When it ends, and while its leases are still held, the buffer goes to the journal
// as one frame with one number (persistence/journal.h).
//
//   EffectBuffer:  [head | RESP command] [head | RESP command] …          head: EffectHead
//
// Invariant: between two units a thread's buffer is empty. While no journal is on nothing is ever added, and
// the end of a unit costs one predicted branch.
//
// Thread: a buffer is its thread's own; Durability is written by the journal and read by all.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace sherd::engine {

struct ThreadState;

/// In front of each effect of a buffer and of a frame; native byte order, unaligned.
struct EffectHead {
  uint64_t bytes;  // of the RESP command behind it
  int64_t db;
};

/// Where units go.
class UnitSink {
 public:
  virtual ~UnitSink() = default;
  /// Takes the effects of the calling thread, whose buffer is empty afterwards. The leases of all shards
  /// concerned are held. Returns the unit's number, above those of all units before it.
  virtual uint64_t EndUnit(ThreadState& thread) = 0;
  /// Units of the calling thread wait to be written. To be called now and then, at the latest before a thread
  /// sleeps or sends their replies.
  virtual void Wake() = 0;
};

class EffectBuffer {
 public:
  bool empty() const { return count_ == 0; }
  uint32_t count() const { return count_; }
  std::string_view bytes() const { return {data_.get(), size_}; }
  UnitSink* sink() const { return sink_; }

  /// Adds a command; `sink` gets the unit when it ends.
  void Add(UnitSink* sink, int db, std::span<const std::string_view> args);
  void Clear();

  /// Set by the sink when it has units that it has not been woken for.
  bool must_wake = false;

 private:
  char* Reserve(size_t size);

  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
  size_t capacity_ = 0;
  uint32_t count_ = 0;
  UnitSink* sink_ = nullptr;
};

/// Which units may be acknowledged. Journal's to write.
struct Durability {
  /// A journal is on: a reply to a unit's own client waits until the unit is acknowledged.
  std::atomic<bool> holds_replies{false};
  /// All units up to this may be acknowledged. release by the journal, when they are synced
  /// (appendfsync always) or written.
  std::atomic<uint64_t> acknowledged{0};
  /// errno of the journal's last write or sync if it failed, else 0: writes are refused. relaxed: who sees it
  /// late has a write that waits for its acknowledgement, or is within the second that everysec may lose.
  std::atomic<int> error{0};
};

}  // namespace sherd::engine
