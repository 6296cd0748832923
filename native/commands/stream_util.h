// What the families of stream commands share: ids in arguments and replies, entries in replies, the
// stream at a key, and the effects of consumer groups in the form in which they are replayed.
//
// Thread: the one that runs the command.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/command_context.h"
#include "engine/stream_value.h"
#include "resp/reply_builder.h"

namespace sherd {

using engine::Stream;
using engine::StreamConsumer;
using engine::StreamGroup;
using engine::StreamId;
using engine::StreamNack;

/// Milliseconds since `then_ms`, which a payload may have brought and so may be any number: wraps, as in
/// Redis, instead of overflowing.
inline int64_t ElapsedMs(int64_t now_ms, int64_t then_ms) {
  return static_cast<int64_t>(static_cast<uint64_t>(now_ms) - static_cast<uint64_t>(then_ms));
}

// ---- Ids in arguments ----

/// Which forms of an id are allowed.
struct StreamIdForm {
  uint64_t missing_seq = 0;     // sequence of an id that has none
  bool allows_ends = false;     // "-" and "+"
  bool allows_any_seq = false;  // "ms-*"
};

/// Reads an id as Redis does, strtoull and all. `*has_seq` is false for "ms-*".
bool ReadStreamId(std::string_view text, const StreamIdForm& form, StreamId* id,
                  bool* has_seq = nullptr);
/// The same; replies with the error.
bool ParseStreamId(engine::CommandContext& ctx, std::string_view text, const StreamIdForm& form,
                   StreamId* id, bool* has_seq = nullptr);
/// Start or end of a range: "(" in front excludes the id itself. Replies with the error.
bool ParseStreamStart(engine::CommandContext& ctx, std::string_view text, StreamId* id);
bool ParseStreamEnd(engine::CommandContext& ctx, std::string_view text, StreamId* id);

/// The ids at the end of a command line, all or none. Replies with the error. Few live on the
/// stack.
class StreamIdList {
 public:
  bool Parse(engine::CommandContext& ctx, size_t from);
  /// As many as are ids; returns the index of the first argument that is none.
  size_t ParseSome(engine::CommandContext& ctx, size_t from);
  std::span<const StreamId> view() const { return {many_.empty() ? few_ : many_.data(), size_}; }

 private:
  StreamId* Reserve(size_t count);

  static constexpr size_t kFew = 16;
  StreamId few_[kFew];
  std::vector<StreamId> many_;
  size_t size_ = 0;
};

// ---- Replies ----

void ReplyStreamId(resp::ReplyBuilder& reply, StreamId id);
/// [id, [field, value, …]] of the entry that the cursor stands on.
void ReplyStreamEntry(resp::ReplyBuilder& reply, ds::StreamCursor& cursor);
/// The same for one id. False, and no reply: there is no such entry.
bool ReplyStreamEntryWithId(resp::ReplyBuilder& reply, const Stream& stream, StreamId id);
/// An array of at most `limit` (0: all) entries of a range.
void ReplyStreamRange(resp::ReplyBuilder& reply, const Stream& stream, StreamId start, StreamId end,
                      bool is_reverse, uint64_t limit);
/// "unknown subcommand or wrong number of arguments", in the words of Redis.
void ReplySubcommandSyntaxError(engine::CommandContext& ctx);

// ---- Streams at keys ----

/// The options that say when a node is full.
ds::StreamNodeLimits StreamLimits(engine::CommandContext& ctx);

/// Finds the group that a command names. False: "NOGROUP No such key '…' or consumer group '…'"
/// (with `context` behind it) or WRONGTYPE is the reply.
bool FindStreamGroup(engine::CommandContext& ctx, const engine::Key& key,
                     std::string_view group_name, std::string_view context, engine::Handle* handle,
                     StreamGroup** group);

/// Adds a consumer, and reports it.
StreamConsumer* CreateStreamConsumer(engine::CommandContext& ctx, const engine::Key& key,
                                     StreamGroup* group, std::string_view name);

// ---- Effects. To be called only while ctx.is_propagating(). ----

/// XCLAIM key group consumer 0 id TIME … RETRYCOUNT … FORCE JUSTID LASTID …
void PropagateStreamClaim(engine::CommandContext& ctx, const engine::Key& key,
                          const StreamGroup& group, StreamId id, const StreamNack& nack);
/// XGROUP SETID key group id ENTRIESREAD …
void PropagateStreamGroupId(engine::CommandContext& ctx, const engine::Key& key,
                            const StreamGroup& group);
/// XGROUP CREATECONSUMER key group consumer
void PropagateStreamConsumer(engine::CommandContext& ctx, const engine::Key& key,
                             const StreamGroup& group, const StreamConsumer& consumer);

}  // namespace sherd
