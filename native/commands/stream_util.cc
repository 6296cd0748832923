// What the families of stream commands share: see the header.
#include "commands/stream_util.h"

#include <cctype>
#include <cstring>
#include <string>

#include "base/numbers.h"
#include "base/strings.h"

namespace sherd {

using engine::CommandContext;
using engine::Handle;
using engine::Key;
using engine::Type;

namespace {

constexpr std::string_view kInvalidId =
    "ERR Invalid stream ID specified as stream command argument";
// Redis reads ids in a buffer of 128 bytes with a zero at the end.
constexpr size_t kIdTextMax = 127;

struct IdText {
  char bytes[StreamId::kCharsMax];
  size_t size;
  explicit IdText(StreamId id) : size(id.Format(bytes)) {}
  std::string_view view() const { return {bytes, size}; }
};

struct IntegerText {
  char bytes[kInt64CharsMax];
  size_t size;
  explicit IntegerText(int64_t value) : size(FormatInt64(value, bytes)) {}
  std::string_view view() const { return {bytes, size}; }
};

// What strtoull(text, &end, 10) takes as a whole: white space, a sign, digits. A minus wraps.
bool ReadAsStrtoull(std::string_view text, uint64_t* value) {
  while (!text.empty() && IsAsciiSpace(text[0])) text.remove_prefix(1);
  const bool is_negative = !text.empty() && text[0] == '-';
  if (is_negative || (!text.empty() && text[0] == '+')) text.remove_prefix(1);
  if (text.empty()) return false;
  uint64_t sum = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    if (__builtin_mul_overflow(sum, uint64_t{10}, &sum)) return false;
    if (__builtin_add_overflow(sum, static_cast<uint64_t>(c - '0'), &sum)) return false;
  }
  *value = is_negative ? 0 - sum : sum;
  return true;
}

// One part of an id. A proper integer must not be negative; what is none gets a second chance.
bool ReadIdPart(std::string_view text, uint64_t* value) {
  int64_t integer;
  if (ParseInt64(text, &integer)) {
    *value = static_cast<uint64_t>(integer);
    return integer >= 0;
  }
  return ReadAsStrtoull(text, value);
}

// An id with "(" in front, whose neighbour the caller then takes.
bool ParseInterval(CommandContext& ctx, std::string_view text, uint64_t missing_seq, StreamId* id,
                   bool* is_open) {
  *is_open = text.size() > 1 && text[0] == '(';
  if (*is_open) text.remove_prefix(1);
  return ParseStreamId(ctx, text, {.missing_seq = missing_seq, .allows_ends = !*is_open}, id);
}

}  // namespace

// ---- Ids in arguments ----

bool ReadStreamId(std::string_view text, const StreamIdForm& form, StreamId* id, bool* has_seq) {
  if (text.size() > kIdTextMax) return false;
  text = UpToZero(text);
  if (has_seq != nullptr) *has_seq = true;
  if (text == "-" || text == "+") {
    *id = text == "-" ? StreamId::Min() : StreamId::Max();
    return form.allows_ends;
  }
  const size_t dash = text.find('-');
  if (!ReadIdPart(text.substr(0, dash), &id->ms)) return false;
  if (dash == std::string_view::npos) {
    id->seq = form.missing_seq;
    return true;
  }
  const std::string_view seq = text.substr(dash + 1);
  if (form.allows_any_seq && seq == "*") {
    id->seq = 0;
    *has_seq = false;
    return true;
  }
  return ReadIdPart(seq, &id->seq);
}

bool ParseStreamId(CommandContext& ctx, std::string_view text, const StreamIdForm& form,
                   StreamId* id, bool* has_seq) {
  if (ReadStreamId(text, form, id, has_seq)) return true;
  ctx.reply.Error(kInvalidId);
  return false;
}

bool ParseStreamStart(CommandContext& ctx, std::string_view text, StreamId* id) {
  bool is_open;
  if (!ParseInterval(ctx, text, 0, id, &is_open)) return false;
  if (!is_open || id->Increment()) return true;
  ctx.reply.Error("ERR invalid start ID for the interval");
  return false;
}

bool ParseStreamEnd(CommandContext& ctx, std::string_view text, StreamId* id) {
  bool is_open;
  if (!ParseInterval(ctx, text, UINT64_MAX, id, &is_open)) return false;
  if (!is_open || id->Decrement()) return true;
  ctx.reply.Error("ERR invalid end ID for the interval");
  return false;
}

StreamId* StreamIdList::Reserve(size_t count) {
  if (count <= kFew) return few_;
  many_.resize(count);
  return many_.data();
}

bool StreamIdList::Parse(CommandContext& ctx, size_t from) {
  size_ = ctx.args.size() - from;
  StreamId* ids = Reserve(size_);
  for (size_t i = 0; i < size_; i++) {
    if (!ParseStreamId(ctx, ctx.args[from + i], {}, &ids[i])) return false;
  }
  return true;
}

size_t StreamIdList::ParseSome(CommandContext& ctx, size_t from) {
  StreamId* ids = Reserve(ctx.args.size() - from);
  while (from + size_ < ctx.args.size() && ReadStreamId(ctx.args[from + size_], {}, &ids[size_]))
    size_++;
  return from + size_;
}

// ---- Replies ----

namespace {

char* WriteText(std::string_view text, char* out) {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

// "$<size>\r\n<ms>-<seq>\r\n"
char* WriteIdBulk(StreamId id, char* out) {
  *out++ = '$';
  out += FormatUint64(DigitCount(id.ms) + 1 + DigitCount(id.seq), out);
  out = WriteText("\r\n", out);
  out += id.Format(out);
  return WriteText("\r\n", out);
}

constexpr size_t kIdBulkMax = 8 + StreamId::kCharsMax;

void Add(resp::BulkWriter& writer, ds::PackedValue value) {
  if (value.is_integer()) return writer.AddInteger(value.integer);
  writer.Add({value.text, value.size});
}

}  // namespace

void ReplyStreamId(resp::ReplyBuilder& reply, StreamId id) {
  char* const start = reply.out()->Reserve(kIdBulkMax);
  reply.out()->Commit(static_cast<size_t>(WriteIdBulk(id, start) - start));
}

void ReplyStreamEntry(resp::ReplyBuilder& reply, ds::StreamCursor& cursor) {
  constexpr size_t kHeadMax = 4 + kIdBulkMax + 3 + kInt64CharsMax;
  char* const start = reply.out()->Reserve(kHeadMax);
  char* out = WriteText("*2\r\n", start);
  out = WriteIdBulk(cursor.entry().id, out);
  *out++ = '*';
  out += FormatUint64(2 * cursor.entry().field_count, out);
  out = WriteText("\r\n", out);
  reply.out()->Commit(static_cast<size_t>(out - start));
  resp::BulkWriter writer(reply);
  cursor.ForEachField([&writer](ds::PackedValue field, ds::PackedValue value) {
    Add(writer, field);
    Add(writer, value);
  });
}

bool ReplyStreamEntryWithId(resp::ReplyBuilder& reply, const Stream& stream, StreamId id) {
  ds::StreamCursor cursor(stream.log, id, id, false);
  if (!cursor.Next()) return false;
  ReplyStreamEntry(reply, cursor);
  return true;
}

void ReplyStreamRange(resp::ReplyBuilder& reply, const Stream& stream, StreamId start, StreamId end,
                      bool is_reverse, uint64_t limit) {
  ds::StreamCursor cursor(stream.log, start, end, is_reverse);
  if (!cursor.Next()) return reply.EmptyArray();
  const uint64_t count = cursor.CountRest(limit);
  reply.Array(count);
  for (uint64_t i = 0; i < count; i++) {
    if (i > 0) CHECK(cursor.Next());
    ReplyStreamEntry(reply, cursor);
  }
}

void ReplySubcommandSyntaxError(CommandContext& ctx) {
  constexpr size_t kNameMax = 128;
  ctx.reply.Error("ERR unknown subcommand or wrong number of arguments for '" +
                  std::string(UpToZero(ctx.args[1]).substr(0, kNameMax)) + "'. Try " +
                  ToAsciiUpper(ctx.args[0]) + " HELP.");
}

// ---- Streams at keys ----

ds::StreamNodeLimits StreamLimits(CommandContext& ctx) {
  return {static_cast<size_t>(ctx.options().stream_node_max_bytes.Get()),
          static_cast<size_t>(ctx.options().stream_node_max_entries.Get())};
}

bool FindStreamGroup(CommandContext& ctx, const Key& key, std::string_view group_name,
                     std::string_view context, Handle* handle, StreamGroup** group) {
  if (!ctx.FindRead(key, Type::kStream, handle)) return false;
  *group = *handle ? engine::StreamOf(*handle->entry()).FindGroup(group_name) : nullptr;
  if (*group != nullptr) return true;
  ctx.reply.Error("NOGROUP No such key '" + std::string(UpToZero(key.name)) +
                  "' or consumer group '" + std::string(UpToZero(group_name)) + "'" +
                  std::string(context));
  return false;
}

StreamConsumer* CreateStreamConsumer(CommandContext& ctx, const Key& key, StreamGroup* group,
                                     std::string_view name) {
  StreamConsumer* consumer = group->AddConsumer(ctx.heap(key), name, ctx.now_ms);
  ctx.AddDirty(1);
  ctx.Notify(engine::kEventStream, "xgroup-createconsumer", key);
  return consumer;
}

// ---- Effects ----

void PropagateStreamClaim(CommandContext& ctx, const Key& key, const StreamGroup& group,
                          StreamId id, const StreamNack& nack) {
  const IdText id_text(id);
  const IdText last_id(group.last_id);
  const IntegerText time(nack.delivery_time_ms);
  const IntegerText count(static_cast<int64_t>(nack.delivery_count));
  ctx.Propagate({"XCLAIM", key.name, group.name(), nack.consumer->name(), "0", id_text.view(),
                 "TIME", time.view(), "RETRYCOUNT", count.view(), "FORCE", "JUSTID", "LASTID",
                 last_id.view()});
}

void PropagateStreamGroupId(CommandContext& ctx, const Key& key, const StreamGroup& group) {
  const IdText last_id(group.last_id);
  const IntegerText entries_read(group.entries_read);
  ctx.Propagate({"XGROUP", "SETID", key.name, group.name(), last_id.view(), "ENTRIESREAD",
                 entries_read.view()});
}

void PropagateStreamConsumer(CommandContext& ctx, const Key& key, const StreamGroup& group,
                             const StreamConsumer& consumer) {
  ctx.Propagate({"XGROUP", "CREATECONSUMER", key.name, group.name(), consumer.name()});
}

}  // namespace sherd
