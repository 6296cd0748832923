// Strings: SET and its kin, ranges, counters.
//
// Encodings are int (a text that prints back from an int64), embstr (up to 44 bytes) and raw; the
// keyspace chooses by the StringForm that we name here, so that OBJECT ENCODING shows Redis's
// history rules: what APPEND and SETRANGE touched is raw, what INCRBYFLOAT wrote is never int.
//
// Cost of the hot ones (SET without options, GET, INCR, MSET): one lookup whose handle is passed on
// to the store, no allocation but the entry's own, and one relaxed load for each hook that nobody
// uses.
//
// Effects are replayed in a form that does not depend on the clock or on the 80-bit float: expiries
// as PXAT, GETEX as PEXPIREAT or PERSIST, GETDEL as DEL, INCRBYFLOAT as SET with KEEPTTL.
//
// Thread: the one that holds the leases of the keys.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/numbers.h"
#include "base/strings.h"
#include "commands/families.h"
#include "engine/command_context.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Encoding;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::IntegerText;
using engine::Key;
using engine::kNoExpiry;
using engine::StringForm;
using engine::Type;
namespace errors = engine::errors;

// ---- Options of SET and GETEX ----

enum class Ttl : uint8_t { kNone, kKeep, kPersist, kEx, kPx, kExAt, kPxAt };

enum class TtlUser : uint8_t { kSet, kGetEx, kBoth };

struct TtlWord {
  std::string_view word;
  Ttl ttl;
  TtlUser user;
};
constexpr TtlWord kTtlWords[] = {
    {"ex", Ttl::kEx, TtlUser::kBoth},       {"px", Ttl::kPx, TtlUser::kBoth},
    {"exat", Ttl::kExAt, TtlUser::kBoth},   {"pxat", Ttl::kPxAt, TtlUser::kBoth},
    {"keepttl", Ttl::kKeep, TtlUser::kSet}, {"persist", Ttl::kPersist, TtlUser::kGetEx},
};

struct SetOptions {
  bool if_missing = false;
  bool if_exists = false;
  bool is_get = false;
  Ttl ttl = Ttl::kNone;
  size_t ttl_index = 0;  // argument that holds the time; 0: none
};

// Takes the TTL option at args[*index], moving on to its last word. A second TTL option is accepted
// only if it is the same word again, and then the last one counts: as Redis.
bool ParseTtlOption(const CommandContext& ctx, TtlUser user, size_t* index, SetOptions* options) {
  for (const TtlWord& row : kTtlWords) {
    if (!EqualsIgnoreCase(ctx.args[*index], row.word)) continue;
    if (row.user != TtlUser::kBoth && row.user != user) return false;
    if (options->ttl != Ttl::kNone && options->ttl != row.ttl) return false;
    if (row.ttl >= Ttl::kEx) {
      if (*index + 1 == ctx.args.size()) return false;
      options->ttl_index = ++*index;
    }
    options->ttl = row.ttl;
    return true;
  }
  return false;
}

bool ParseSetOption(const CommandContext& ctx, size_t* index, SetOptions* options) {
  if (ctx.ArgIs(*index, "nx")) {
    options->if_missing = true;
    return !options->if_exists;
  }
  if (ctx.ArgIs(*index, "xx")) {
    options->if_exists = true;
    return !options->if_missing;
  }
  if (ctx.ArgIs(*index, "get")) return options->is_get = true;
  return ParseTtlOption(ctx, TtlUser::kSet, index, options);
}

bool ParseSetOptions(CommandContext& ctx, SetOptions* options) {
  for (size_t i = 3; i < ctx.args.size(); i++) {
    if (ParseSetOption(ctx, &i, options)) continue;
    ctx.reply.Error(errors::kSyntax);
    return false;
  }
  return true;
}

bool ParseGetExOptions(CommandContext& ctx, SetOptions* options) {
  for (size_t i = 2; i < ctx.args.size(); i++) {
    if (ParseTtlOption(ctx, TtlUser::kGetEx, &i, options)) continue;
    ctx.reply.Error(errors::kSyntax);
    return false;
  }
  return true;
}

bool RefuseExpiry(CommandContext& ctx) {
  ctx.reply.Error(std::string("ERR invalid expire time in '") + ctx.spec->full_name + "' command");
  return false;
}

// Turns args[index] into unix time in ms. Replies with the error itself.
bool ParseExpiry(CommandContext& ctx, size_t index, Ttl ttl, int64_t* at_ms) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  int64_t value;
  if (!ctx.ParseInteger(index, &value)) return false;
  const bool is_seconds = ttl == Ttl::kEx || ttl == Ttl::kExAt;
  if (value <= 0 || (is_seconds && value > kMax / 1000)) return RefuseExpiry(ctx);
  if (is_seconds) value *= 1000;
  if (ttl == Ttl::kEx || ttl == Ttl::kPx) {
    if (value > kMax - ctx.now_ms) return RefuseExpiry(ctx);
    value += ctx.now_ms;
  }
  *at_ms = value;
  return true;
}

// ---- Storing and reporting ----

int64_t ExpiryOf(Handle handle) { return handle ? handle.entry()->expiry_ms() : kNoExpiry; }

// What every change of one key reports. `existed` tells whether the key was there before.
void ReportChange(CommandContext& ctx, const Key& key, bool existed, const char* event) {
  if (!existed) ctx.Notify(engine::kEventNew, "new", key);
  ctx.AddDirty(1);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventString, event, key);
}

void OpSet(CommandContext& ctx, const Key& key, Handle existing, std::string_view value,
           int64_t expiry_ms) {
  ctx.SetString(key, existing, value, StringForm::kAuto, expiry_ms);
  ReportChange(ctx, key, static_cast<bool>(existing), "set");
}

// Sets the key to expire at a moment, as SET EX and SETEX do.
void OpSetExpiring(CommandContext& ctx, const Key& key, Handle existing, std::string_view value,
                   int64_t at_ms) {
  OpSet(ctx, key, existing, value, at_ms);
  ctx.Notify(engine::kEventGeneric, "expire", key);
  if (!ctx.is_propagating()) return;
  IntegerText text;
  ctx.Propagate({"SET", key.name, value, "PXAT", {text.bytes, FormatInt64(at_ms, text.bytes)}});
}

// Replies with the old value, as GET would. False: the reply was an error.
bool ReplyOld(CommandContext& ctx, Handle handle) {
  if (!handle) {
    ctx.reply.Null();
    return true;
  }
  if (!ctx.ExpectType(handle, Type::kString)) return false;
  ctx.ReplyString(*handle.entry());
  return true;
}

// ---- SET and its kin ----

// The effect of SET … GET without an expiry: the same line without GET, which replies only.
void PropagateWithoutGet(CommandContext& ctx) {
  if (!ctx.is_propagating()) return;
  std::vector<std::string_view> effect(ctx.args.begin(), ctx.args.begin() + 3);
  for (size_t i = 3; i < ctx.args.size(); i++) {
    if (!ctx.ArgIs(i, "get")) effect.push_back(ctx.args[i]);
  }
  ctx.Propagate(ctx.db, effect);
}

void SetWithOptions(CommandContext& ctx) {
  SetOptions options;
  if (!ParseSetOptions(ctx, &options)) return;
  int64_t at_ms = kNoExpiry;
  if (options.ttl_index != 0 && !ParseExpiry(ctx, options.ttl_index, options.ttl, &at_ms)) return;

  const Key& key = ctx.key(0);
  // GET makes it a read as well: hits and misses count.
  const Handle existing = options.is_get ? ctx.LookupRead(key) : ctx.LookupWrite(key);
  if (options.is_get && !ReplyOld(ctx, existing)) return;
  if (existing ? options.if_missing : options.if_exists) {
    if (!options.is_get) ctx.reply.Null();
    return;
  }
  if (options.ttl_index != 0) {
    OpSetExpiring(ctx, key, existing, ctx.args[2], at_ms);
  } else {
    OpSet(ctx, key, existing, ctx.args[2],
          options.ttl == Ttl::kKeep ? ExpiryOf(existing) : kNoExpiry);
    if (options.is_get) PropagateWithoutGet(ctx);
  }
  if (!options.is_get) ctx.reply.Ok();
}

void CmdSet(CommandContext& ctx) {
  if (ctx.args.size() != 3) return SetWithOptions(ctx);
  const Key& key = ctx.key(0);
  OpSet(ctx, key, ctx.LookupWrite(key), ctx.args[2], kNoExpiry);
  ctx.reply.Ok();
}

void CmdSetNx(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  if (ctx.LookupWrite(key)) return ctx.reply.Integer(0);
  OpSet(ctx, key, {}, ctx.args[2], kNoExpiry);
  ctx.reply.Integer(1);
}

void SetFor(CommandContext& ctx, Ttl ttl) {
  int64_t at_ms;
  if (!ParseExpiry(ctx, 2, ttl, &at_ms)) return;
  const Key& key = ctx.key(0);
  OpSetExpiring(ctx, key, ctx.LookupWrite(key), ctx.args[3], at_ms);
  ctx.reply.Ok();
}
void CmdSetEx(CommandContext& ctx) { SetFor(ctx, Ttl::kEx); }
void CmdPSetEx(CommandContext& ctx) { SetFor(ctx, Ttl::kPx); }

void CmdGet(CommandContext& ctx) {
  const Handle handle = ctx.LookupRead(ctx.key(0));
  if (!handle) return ctx.reply.Null();
  if (!ctx.ExpectType(handle, Type::kString)) return;
  ctx.ReplyString(*handle.entry());
}

void CmdGetSet(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  const Handle existing = ctx.LookupRead(key);
  if (!ReplyOld(ctx, existing)) return;
  OpSet(ctx, key, existing, ctx.args[2], kNoExpiry);
  if (ctx.is_propagating()) ctx.Propagate({"SET", key.name, ctx.args[2]});
}

void CmdGetDel(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  const Handle handle = ctx.LookupRead(key);
  if (!ReplyOld(ctx, handle) || !handle) return;
  const bool is_lazy = static_cast<bool>(ctx.options().lazyfree_lazy_user_del);
  ctx.Delete(key, handle, is_lazy);
  ctx.AddDirty(1);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventGeneric, "del", key);
  if (ctx.is_propagating()) ctx.Propagate({is_lazy ? "UNLINK" : "DEL", key.name});
}

// ---- GETEX ----

// An absolute time that has passed deletes the key at once.
void OpExpireNow(CommandContext& ctx, const Key& key, Handle handle) {
  const bool is_lazy = static_cast<bool>(ctx.options().lazyfree_lazy_expire);
  ctx.Delete(key, handle, is_lazy);
  ctx.AddDirty(1);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventGeneric, "del", key);
  if (ctx.is_propagating()) ctx.Propagate({is_lazy ? "UNLINK" : "DEL", key.name});
}

void OpExpireAt(CommandContext& ctx, const Key& key, Handle handle, int64_t at_ms) {
  ctx.SetExpiry(key, handle, at_ms);
  ctx.AddDirty(1);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventGeneric, "expire", key);
  if (!ctx.is_propagating()) return;
  IntegerText text;
  ctx.Propagate({"PEXPIREAT", key.name, {text.bytes, FormatInt64(at_ms, text.bytes)}});
}

void OpPersist(CommandContext& ctx, const Key& key, Handle handle) {
  if (!handle.entry()->has_expiry()) return;
  ctx.SetExpiry(key, handle, kNoExpiry);
  ctx.AddDirty(1);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventGeneric, "persist", key);
  if (ctx.is_propagating()) ctx.Propagate({"PERSIST", key.name});
}

void CmdGetEx(CommandContext& ctx) {
  SetOptions options;
  if (!ParseGetExOptions(ctx, &options)) return;
  const Key& key = ctx.key(0);
  const Handle handle = ctx.LookupRead(key);
  if (!handle) return ctx.reply.Null();
  if (!ctx.ExpectType(handle, Type::kString)) return;
  // Redis looks at the time only now: a missing key gets nil even with a malformed time.
  int64_t at_ms = kNoExpiry;
  if (options.ttl_index != 0 && !ParseExpiry(ctx, options.ttl_index, options.ttl, &at_ms)) return;
  ctx.ReplyString(*handle.entry());
  if (options.ttl_index != 0) {
    if (at_ms <= ctx.now_ms) return OpExpireNow(ctx, key, handle);
    OpExpireAt(ctx, key, handle, at_ms);
  } else if (options.ttl == Ttl::kPersist) {
    OpPersist(ctx, key, handle);
  }
}

// ---- Several keys ----

void CmdMGet(CommandContext& ctx) {
  ctx.reply.Array(ctx.keys.size());
  for (const Key& key : ctx.keys) {
    const Handle handle = ctx.LookupRead(key);
    if (!handle || handle.entry()->type() != Type::kString) {
      ctx.reply.Null();
    } else {
      ctx.ReplyString(*handle.entry());
    }
  }
}

// Names and values must pair up; the arity in the command table cannot say so.
bool ExpectPairs(CommandContext& ctx) {
  if (ctx.args.size() % 2 == 1) return true;
  ctx.RefuseArity();
  return false;
}

void OpSetAll(CommandContext& ctx) {
  for (size_t i = 0; i < ctx.keys.size(); i++) {
    const Key& key = ctx.keys[i];
    OpSet(ctx, key, ctx.LookupWrite(key), ctx.args[2 + 2 * i], kNoExpiry);
  }
}

void CmdMSet(CommandContext& ctx) {
  if (!ExpectPairs(ctx)) return;
  OpSetAll(ctx);
  ctx.reply.Ok();
}

void CmdMSetNx(CommandContext& ctx) {
  if (!ExpectPairs(ctx)) return;
  for (const Key& key : ctx.keys) {
    if (ctx.LookupWrite(key)) return ctx.reply.Integer(0);
  }
  OpSetAll(ctx);  // a name that stands twice exists the second time, so each is looked up again
  ctx.reply.Integer(1);
}

// ---- Parts of a string ----

bool ExpectLength(CommandContext& ctx, uint64_t size, uint64_t added) {
  // Both are below 2^63, so that the sum cannot wrap.
  if (size + added <= static_cast<uint64_t>(ctx.options().proto_max_bulk_len.Get())) return true;
  ctx.reply.Error(errors::kStringTooLong);
  return false;
}

void CmdAppend(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  const std::string_view added = ctx.args[2];
  Handle handle = ctx.LookupWrite(key);
  const bool existed = static_cast<bool>(handle);
  size_t length = added.size();
  if (!existed) {
    ctx.SetString(key, handle, added, StringForm::kAuto, kNoExpiry);
  } else {
    if (!ctx.ExpectType(handle, Type::kString)) return;
    const size_t old_length = engine::StringLength(*handle.entry());
    if (!ExpectLength(ctx, old_length, added.size())) return;
    length += old_length;
    char* bytes = ctx.MutableString(key, handle, length);
    if (!added.empty()) std::memcpy(bytes + old_length, added.data(), added.size());
  }
  ReportChange(ctx, key, existed, "append");
  ctx.reply.Integer(static_cast<int64_t>(length));
}

void CmdStrLen(CommandContext& ctx) {
  const Handle handle = ctx.LookupRead(ctx.key(0));
  if (!handle) return ctx.reply.Integer(0);
  if (!ctx.ExpectType(handle, Type::kString)) return;
  ctx.reply.Integer(static_cast<int64_t>(engine::StringLength(*handle.entry())));
}

// The bytes from `start` to `end`, both inclusive, negative ones counted from the end of the
// string.
std::string_view Range(std::string_view bytes, int64_t start, int64_t end) {
  const int64_t length = static_cast<int64_t>(bytes.size());
  if (start < 0 && end < 0 && start > end) return bytes.substr(0, 0);
  if (start < 0) start += length;
  if (end < 0) end += length;
  if (start < 0) start = 0;
  if (end < 0) end = 0;
  if (end >= length) end = length - 1;
  if (start > end) return bytes.substr(0, 0);
  return bytes.substr(static_cast<size_t>(start), static_cast<size_t>(end - start + 1));
}

void CmdGetRange(CommandContext& ctx) {
  int64_t start;
  int64_t end;
  if (!ctx.ParseInteger(2, &start) || !ctx.ParseInteger(3, &end)) return;
  const Handle handle = ctx.LookupRead(ctx.key(0));
  if (!handle) return ctx.reply.Bulk("");
  if (!ctx.ExpectType(handle, Type::kString)) return;
  IntegerText text;
  ctx.ReplyStringBytes(*handle.entry(), Range(engine::StringBytes(*handle.entry(), &text), start, end));
}

void CmdSetRange(CommandContext& ctx) {
  int64_t offset;
  if (!ctx.ParseInteger(2, &offset)) return;
  if (offset < 0) return ctx.reply.Error("ERR offset is out of range");
  const Key& key = ctx.key(0);
  const std::string_view value = ctx.args[3];
  Handle handle = ctx.LookupWrite(key);
  const bool existed = static_cast<bool>(handle);
  if (existed && !ctx.ExpectType(handle, Type::kString)) return;
  const size_t old_length = existed ? engine::StringLength(*handle.entry()) : 0;
  // Nothing to write: neither is the key created nor its encoding changed.
  if (value.empty()) return ctx.reply.Integer(static_cast<int64_t>(old_length));
  const size_t start = static_cast<size_t>(offset);
  if (!ExpectLength(ctx, start, value.size())) return;

  const size_t end = start + value.size();
  const size_t length = end > old_length ? end : old_length;
  if (!existed) handle = ctx.SetString(key, handle, "", StringForm::kRaw, kNoExpiry);
  char* bytes = ctx.MutableString(key, handle, length);
  std::memcpy(bytes + start, value.data(), value.size());
  ReportChange(ctx, key, existed, "setrange");
  ctx.reply.Integer(static_cast<int64_t>(length));
}

// ---- Counters ----

// The integer that a string entry holds, whatever its encoding.
bool ReadInteger(const Entry& entry, int64_t* value) {
  if (entry.encoding() == Encoding::kInt) {
    *value = static_cast<int64_t>(entry.payload());
    return true;
  }
  IntegerText unused;
  return ParseInt64(engine::StringBytes(entry, &unused), value);
}

void Increment(CommandContext& ctx, int64_t delta) {
  const Key& key = ctx.key(0);
  const Handle handle = ctx.LookupWrite(key);
  int64_t value = 0;
  if (handle) {
    if (!ctx.ExpectType(handle, Type::kString)) return;
    if (!ReadInteger(*handle.entry(), &value)) return ctx.reply.Error(errors::kNotInteger);
  }
  if (__builtin_add_overflow(value, delta, &value)) return ctx.reply.Error(errors::kOverflow);
  ctx.SetInteger(key, handle, value, ExpiryOf(handle));
  ReportChange(ctx, key, static_cast<bool>(handle), "incrby");
  ctx.reply.Integer(value);
}

void CmdIncr(CommandContext& ctx) { Increment(ctx, 1); }
void CmdDecr(CommandContext& ctx) { Increment(ctx, -1); }

void CmdIncrBy(CommandContext& ctx) {
  int64_t delta;
  if (ctx.ParseInteger(2, &delta)) Increment(ctx, delta);
}

void CmdDecrBy(CommandContext& ctx) {
  int64_t delta;
  if (!ctx.ParseInteger(2, &delta)) return;
  if (delta == std::numeric_limits<int64_t>::min())
    return ctx.reply.Error("ERR decrement would overflow");
  Increment(ctx, -delta);
}

void CmdIncrByFloat(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  const Handle handle = ctx.LookupWrite(key);
  long double value = 0;
  long double delta = 0;
  if (handle) {
    if (!ctx.ExpectType(handle, Type::kString)) return;
    IntegerText text;
    const std::string_view old = engine::StringBytes(*handle.entry(), &text);
    if (!ParseLongDouble(old, &value)) return ctx.reply.Error(errors::kNotFloat);
  }
  if (!ParseLongDouble(ctx.args[2], &delta)) return ctx.reply.Error(errors::kNotFloat);
  value += delta;
  if (!std::isfinite(value)) return ctx.reply.Error("ERR increment would produce NaN or Infinity");

  char digits[kLongDoubleCharsMax];
  const std::string_view text(digits, FormatLongDoubleHuman(value, digits));
  ctx.SetString(key, handle, text, StringForm::kPlain, ExpiryOf(handle));
  ReportChange(ctx, key, static_cast<bool>(handle), "incrbyfloat");
  if (ctx.is_propagating()) ctx.Propagate({"SET", key.name, text, "KEEPTTL"});
  ctx.reply.Bulk(text);
}

// ---- Registration ----

constexpr HandlerRow kHandlers[] = {
    {"append", CmdAppend},
    {"decr", CmdDecr},
    {"decrby", CmdDecrBy},
    {"get", CmdGet},
    {"getdel", CmdGetDel},
    {"getex", CmdGetEx},
    {"getrange", CmdGetRange},
    {"getset", CmdGetSet},
    {"incr", CmdIncr},
    {"incrby", CmdIncrBy},
    {"incrbyfloat", CmdIncrByFloat},
    {"mget", CmdMGet},
    {"mset", CmdMSet},
    {"msetnx", CmdMSetNx},
    {"psetex", CmdPSetEx},
    {"set", CmdSet},
    {"setex", CmdSetEx},
    {"setnx", CmdSetNx},
    {"setrange", CmdSetRange},
    {"strlen", CmdStrLen},
    {"substr", CmdGetRange},
};

}  // namespace

std::span<const HandlerRow> StringHandlers() { return kHandlers; }

}  // namespace sherd
