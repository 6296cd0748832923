// Publication: one published message on its way to the workers that have listeners.
//
// One block of memory for all of them, encoded once by the publisher (picture in pubsub.h):
//
//   | Publication | Delivery x workers | PatternHead x patterns | heads | frame |
//
// A long frame lies in a block of its own, so that it can be copied before the publisher takes a lock.
// Listeners of workers refer to long payloads (resp::SharedBlock) instead of copying them.
//
// Ownership: counted. One reference for each worker, given back when it has fanned out; one for each
// output that refers to the payload. Whoever gives back the last one frees the block.
//
// Thread: made by the publisher; afterwards constant, read by the target workers.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/pubsub.h"
#include "resp/reply_builder.h"

namespace sherd::engine {

/// A channel's or shard channel's message as RESP2 clients get it.
struct MessageFrame {
  static MessageFrame Encode(TopicKind kind, std::string_view channel, std::string_view message);
  /// Bytes that Encode() needs at most.
  static size_t CapacityFor(std::string_view channel, std::string_view message);
  /// Encodes to `out`, which has CapacityFor() bytes.
  static MessageFrame EncodeTo(char* out, TopicKind kind, std::string_view channel, std::string_view message);

  std::string_view all() const { return {data, size}; }
  std::string_view head() const { return {data, tail_offset}; }
  std::string_view tail() const { return {data + tail_offset, size - tail_offset}; }

  char* data = nullptr;
  size_t size = 0;
  size_t tail_offset = 0;   // where channel and payload begin
};

/// Payloads from here on are encoded before the lock and referenced by outputs.
inline constexpr size_t kLongMessageMin = 8 * 1024;

class Publication final : public resp::SharedBlock {
 public:
  /// The message to one worker.
  struct Delivery final : Message {
    void Deliver(WorkerPort& port) override;
    Publication* publication = nullptr;
    bool to_channel = false;       // the worker had listeners of the channel itself
  };
  struct PatternHead {
    HashedName pattern;            // text within the block
    std::string_view head;         // "*4 $8 pmessage $2 n*"
  };

  /// `long_frame`: the frame, if it was encoded before (taken over); else data is null.
  static Publication* Create(PubSub* pubsub, TopicKind kind, const HashedName& channel, std::string_view message,
                             const MessageFrame& long_frame, std::span<const Listeners* const> patterns,
                             size_t worker_count);

  Delivery* delivery(size_t index) { return deliveries_ + index; }
  TopicKind kind() const { return kind_; }
  uint64_t channel_hash() const { return channel_hash_; }
  std::string_view channel() const { return channel_; }
  const MessageFrame& frame() const { return frame_; }
  std::span<const PatternHead> patterns() const { return {patterns_, pattern_count_}; }
  bool is_long() const { return is_long_; }

  void Ref() override { references_.fetch_add(1, std::memory_order_relaxed); }
  void Unref() override;

 private:
  Publication() = default;
  ~Publication() = default;

  std::atomic<uint32_t> references_{0};
  TopicKind kind_ = TopicKind::kChannel;
  bool is_long_ = false;
  PubSub* pubsub_ = nullptr;
  uint64_t channel_hash_ = 0;
  std::string_view channel_;       // within the frame
  MessageFrame frame_;
  Delivery* deliveries_ = nullptr;
  PatternHead* patterns_ = nullptr;
  size_t pattern_count_ = 0;
};

}  // namespace sherd::engine
