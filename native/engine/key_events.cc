// KeyEvents: see the header.
#include "engine/key_events.h"

#include <cstring>
#include <string>

#include "base/numbers.h"
#include "engine/pubsub.h"

namespace sherd::engine {

namespace {

// Names of channels up to here are formatted on the stack.
constexpr size_t kStackNameMax = 512;

/// "__keyspace@0__:" or "__keyevent@0__:" with what follows; calls `use` with the name.
template <class Use>
void WithChannel(std::string_view prefix, int db, std::string_view rest, Use&& use) {
  char on_stack[kStackNameMax];
  std::string on_heap;
  char* name = on_stack;
  const size_t size_max = prefix.size() + kInt64CharsMax + 3 + rest.size();
  if (size_max > kStackNameMax) {
    on_heap.resize(size_max);
    name = on_heap.data();
  }
  char* at = name;
  std::memcpy(at, prefix.data(), prefix.size());
  at += prefix.size();
  at += FormatInt64(db, at);
  std::memcpy(at, "__:", 3);
  at += 3;
  if (!rest.empty()) std::memcpy(at, rest.data(), rest.size());
  at += rest.size();
  use(std::string_view(name, static_cast<size_t>(at - name)));
}

}  // namespace

bool KeyEvents::is_on() const {
  const int64_t flags = options_->notify_flags.Get();
  constexpr int64_t kForms = kEventKeyspace | kEventKeyevent;
  return (flags & kForms) != 0 && (flags & ~kForms) != 0;
}

void KeyEvents::OnKeyEvent(EventClass event_class, const char* event, int db, std::string_view key) {
  const int64_t flags = options_->notify_flags.Get();
  if ((flags & event_class) == 0 || !pubsub_->has_listeners()) return;
  const std::string_view name(event);
  if ((flags & kEventKeyspace) != 0) {
    WithChannel("__keyspace@", db, key, [&](std::string_view channel) {
      pubsub_->Publish(TopicKind::kChannel, channel, name);
    });
  }
  if ((flags & kEventKeyevent) != 0) {
    WithChannel("__keyevent@", db, name, [&](std::string_view channel) {
      pubsub_->Publish(TopicKind::kChannel, channel, key);
    });
  }
}

}  // namespace sherd::engine
