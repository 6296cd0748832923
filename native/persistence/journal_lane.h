// JournalLane: the queue of units from one thread to the journal.
//
// A list of chunks of 64 KiB (more for a larger frame). The producer appends frames to the last chunk and
// publishes each by moving `filled`; the consumer follows and gives a chunk back when it has left it, so that
// in a steady state nothing is allocated. Neither side ever waits for the other.
//
//   first_ ──► [frame|frame|frame] ─next─► [frame|frame|      ] ◄── last_
//                ▲ read_                              ▲ filled
//
//   frame:  FrameHead | effects (engine::EffectHead and RESP each) | padding to 8 bytes
//
// Invariants
// 1. The numbers of a lane's frames rise: a thread ends its units one after the other.
// 2. filled ≤ capacity; bytes below filled never change again; next is set only when filled is final.
//
// Threads: Push by the producer, one at a time; Peek and Pop by the consumer.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/effects.h"

namespace sherd::persistence {

/// One unit, as the consumer sees it; valid until Pop.
struct JournalFrame {
  uint64_t seq;
  uint32_t effect_count;
  std::string_view effects;
};

class JournalLane {
 public:
  JournalLane();
  ~JournalLane();
  JournalLane(const JournalLane&) = delete;
  JournalLane& operator=(const JournalLane&) = delete;

  /// Appends a unit. `queued_bytes` counts the chunks of all lanes. True: a chunk was added, which is often
  /// enough to look whether there are too many.
  bool Push(uint64_t seq, const engine::EffectBuffer& unit, std::atomic<uint64_t>* queued_bytes);

  /// The frame at the front. False: none has been published.
  bool Peek(JournalFrame* frame, std::atomic<uint64_t>* queued_bytes);
  /// Drops the frame at the front, which Peek has shown.
  void Pop();

 private:
  struct FrameHead {
    uint64_t seq;
    uint64_t bytes;  // of the effects
    uint32_t effect_count;
    uint32_t unused;
  };
  static_assert(sizeof(FrameHead) == 24);
  struct Chunk {
    std::atomic<Chunk*> next{nullptr};
    std::atomic<uint64_t> filled{0};
    uint64_t capacity;
    char* data() { return reinterpret_cast<char*>(this + 1); }
  };
  Chunk* NewChunk(size_t capacity);
  static void Free(Chunk* chunk);
  void Leave(Chunk* next, std::atomic<uint64_t>* queued_bytes);

  // The producer's line, then the consumer's.
  alignas(64) Chunk* last_;
  alignas(64) Chunk* first_;
  uint64_t read_ = 0;
  uint64_t seen_ = 0;                      // `filled` of first_ when last looked at
  alignas(64) std::atomic<Chunk*> spare_{nullptr};  // given back, for the producer to use again
};

}  // namespace sherd::persistence
