// HashEdit: a hash while a command changes it: opened once, changed field by field, closed once.
//
//   HashEdit edit(ctx, key, handle);            // handle: empty when the key is to be created
//   const bool is_new = edit.Set(name, value);
//   edit.Close();                               // the value is in the keyspace, marks are right
//
// It joins what every change needs: the hash's heap and thresholds, the snapshot's due before the first
// change, the entry's encoding and payload and its mark of fields that expire after the last one, and the
// deletion of a key whose last field went. Events and effects are the command's business, except for "new".
//
// Must hold: Close() or CloseOrDelete() is called exactly once; between the two nothing else changes the
// keyspace.
//
// Thread: the one that runs the command, which holds the lease of the key's shard.
#pragma once

#include <span>
#include <string_view>

#include "engine/command_context.h"
#include "engine/field_expiry.h"
#include "engine/hash_value.h"

namespace sherd {

class HashEdit {
 public:
  HashEdit(engine::CommandContext& ctx, const engine::Key& key, engine::Handle handle)
      : ctx_(ctx),
        key_(key),
        handle_(handle),
        heap_(ctx.heap(key)),
        limits_(ctx.options()),
        value_(handle ? engine::HashValue(ctx.Mutate(key, handle), ctx.now_ms)
                      : engine::HashValue::Create(heap_)) {}

  const engine::HashValue& value() const { return value_; }

  /// See HashValue.
  void PrepareFor(std::span<const std::string_view> pairs) { value_.PrepareFor(heap_, limits_, pairs); }
  bool Set(std::string_view name, std::string_view value,
           engine::FieldTtl ttl = engine::FieldTtl::kDrop) {
    return value_.Set(heap_, limits_, name, value, ttl);
  }
  bool Erase(std::string_view name) { return value_.Erase(heap_, name); }
  void SetExpiry(const engine::HashValue::Place& place, int64_t at_ms) {
    value_.SetExpiry(heap_, place, at_ms);
  }

  /// Stores the value; the hash has fields.
  void Close() {
    if (!handle_) {
      handle_ = ctx_.SetValue(key_, {}, engine::Type::kHash, value_.encoding(), value_.object());
      ctx_.Notify(engine::kEventNew, "new", key_);
    } else {
      value_.StoreTo(handle_.entry());
    }
    engine::SyncFieldExpiry(ctx_.keyspace(key_), ctx_.db, handle_);
  }
  /// The same for changes that may leave none: the key is deleted then. True: it was; the caller notifies
  /// "del" after its own event.
  bool CloseOrDelete() {
    Close();
    if (value_.stored_size() != 0) return false;
    ctx_.Delete(key_, handle_, false);
    return true;
  }

 private:
  engine::CommandContext& ctx_;
  const engine::Key& key_;
  engine::Handle handle_;
  SlabHeap& heap_;
  engine::HashLimits limits_;
  engine::HashValue value_;
};

/// Replies with a field's value (or name) as a bulk string.
inline void ReplyPacked(engine::CommandContext& ctx, const ds::PackedValue& value) {
  char text[kInt64CharsMax];
  ctx.reply.Bulk(value.View(text));
}

}  // namespace sherd
