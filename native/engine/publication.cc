// Publication: see the header.
#include "engine/publication.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "base/check.h"
#include "base/numbers.h"

namespace sherd::engine {

namespace {

constexpr std::string_view kMessageHead = "*3\r\n$7\r\nmessage\r\n";
constexpr std::string_view kShardMessageHead = "*3\r\n$8\r\nsmessage\r\n";
constexpr std::string_view kPatternMessageHead = "*4\r\n$8\r\npmessage\r\n";

// What a bulk string takes beside its bytes.
constexpr size_t kBulkOverhead = 1 + kInt64CharsMax + 2 + 2;

char* Put(char* out, std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}

char* PutBulk(char* out, std::string_view bytes) {
  *out++ = '$';
  out += FormatUint64(bytes.size(), out);
  out = Put(out, "\r\n");
  out = Put(out, bytes);
  return Put(out, "\r\n");
}

}  // namespace

// ---- Frames ----

size_t MessageFrame::CapacityFor(std::string_view channel, std::string_view message) {
  return kShardMessageHead.size() + 2 * kBulkOverhead + channel.size() + message.size();
}

MessageFrame MessageFrame::EncodeTo(char* out, TopicKind kind, std::string_view channel,
                                    std::string_view message) {
  MessageFrame frame;
  frame.data = out;
  char* at = Put(out, kind == TopicKind::kShardChannel ? kShardMessageHead : kMessageHead);
  frame.tail_offset = static_cast<size_t>(at - out);
  at = PutBulk(PutBulk(at, channel), message);
  frame.size = static_cast<size_t>(at - out);
  return frame;
}

MessageFrame MessageFrame::Encode(TopicKind kind, std::string_view channel, std::string_view message) {
  char* memory = static_cast<char*>(std::malloc(CapacityFor(channel, message)));
  CHECK_MSG(memory != nullptr, "out of memory");
  return EncodeTo(memory, kind, channel, message);
}

// ---- Publication ----

Publication* Publication::Create(PubSub* pubsub, TopicKind kind, const HashedName& channel,
                                 std::string_view message, const MessageFrame& long_frame,
                                 std::span<const Listeners* const> patterns, size_t worker_count) {
  static_assert(sizeof(Publication) % alignof(Delivery) == 0 && sizeof(Delivery) % alignof(PatternHead) == 0);
  size_t size = sizeof(Publication) + worker_count * sizeof(Delivery) + patterns.size() * sizeof(PatternHead);
  const size_t heads_offset = size;
  for (const Listeners* pattern : patterns) {
    size += kPatternMessageHead.size() + kBulkOverhead + pattern->text.size();
  }
  const size_t frame_offset = size;
  if (long_frame.data == nullptr) size += MessageFrame::CapacityFor(channel.text, message);
  char* memory = static_cast<char*>(std::malloc(size));
  CHECK_MSG(memory != nullptr, "out of memory");

  Publication* made = new (memory) Publication();
  made->references_.store(static_cast<uint32_t>(worker_count), std::memory_order_relaxed);
  made->kind_ = kind;
  made->pubsub_ = pubsub;
  made->channel_hash_ = channel.hash;
  made->is_long_ = long_frame.data != nullptr;
  made->frame_ = made->is_long_ ? long_frame
                                : MessageFrame::EncodeTo(memory + frame_offset, kind, channel.text, message);
  // "$4 news": the channel's bytes stand behind the first line end of the tail.
  const std::string_view tail = made->frame_.tail();
  made->channel_ = tail.substr(tail.find('\n') + 1, channel.text.size());
  made->deliveries_ = reinterpret_cast<Delivery*>(memory + sizeof(Publication));
  for (size_t i = 0; i < worker_count; i++) new (made->deliveries_ + i) Delivery();
  for (size_t i = 0; i < worker_count; i++) made->deliveries_[i].publication = made;
  made->patterns_ = reinterpret_cast<PatternHead*>(made->deliveries_ + worker_count);
  made->pattern_count_ = patterns.size();
  char* at = memory + heads_offset;
  for (size_t i = 0; i < patterns.size(); i++) {
    const std::string& text = patterns[i]->text;
    char* begin = at;
    at = PutBulk(Put(at, kPatternMessageHead), text);
    const std::string_view head(begin, static_cast<size_t>(at - begin));
    new (made->patterns_ + i)
        PatternHead{{head.substr(head.size() - 2 - text.size(), text.size()), patterns[i]->hash}, head};
  }
  return made;
}

void Publication::Unref() {
  // acq_rel: what others did with the block happens before it is freed.
  if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (is_long_) std::free(frame_.data);
  // Nothing in it needs to be destroyed.
  std::free(this);
}

void Publication::Delivery::Deliver(WorkerPort& port) {
  publication->pubsub_->Deliver(publication, to_channel, port);
  publication->Unref();
}

}  // namespace sherd::engine
