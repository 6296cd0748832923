// Expire commands: setting, reading and removing the moment at which a key ceases to exist.
//
// Four commands set it (relative or absolute, seconds or milliseconds) and are one function here;
// all of them are turned into an absolute time in milliseconds at once, which is also the only form
// that is propagated, so that a replica or a replay at another time comes to the same result.
//
// Must hold: a stored expiry lies after the command's time; a time that has passed already deletes
// the key instead, and is propagated as that deletion. Arithmetic is checked before it is done:
// each request either fits int64 milliseconds or is refused.
//
// Cost: O(1). Thread: the one that runs the command; the lease of the key is held.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/numbers.h"
#include "base/strings.h"
#include "commands/families.h"
#include "engine/command_context.h"
#include "engine/handlers.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Handle;
using engine::HandlerRow;
using engine::Key;

enum class Unit { kSeconds, kMilliseconds };
enum class Base { kNow, kEpoch };

/// What EXPIRE and its kin ask for: conditions on the present expiry, and the new one.
struct ExpireOptions {
  bool nx = false;  // only without expiry
  bool xx = false;  // only with one
  bool gt = false;  // only later than now; no expiry counts as infinitely late
  bool lt = false;  // only earlier
  int64_t at_ms = 0;
};

// ---- Parsing ----

/// Redis prints the option with %s, so a text with a zero byte ends there.
std::string UnsupportedOption(std::string_view option) {
  return "ERR Unsupported option " + std::string(option.substr(0, option.find('\0')));
}

bool ParseConditions(CommandContext& ctx, ExpireOptions* options) {
  for (size_t i = 3; i < ctx.args.size(); i++) {
    if (ctx.ArgIs(i, "nx")) {
      options->nx = true;
    } else if (ctx.ArgIs(i, "xx")) {
      options->xx = true;
    } else if (ctx.ArgIs(i, "gt")) {
      options->gt = true;
    } else if (ctx.ArgIs(i, "lt")) {
      options->lt = true;
    } else {
      ctx.reply.Error(UnsupportedOption(ctx.args[i]));
      return false;
    }
  }
  if (options->nx && (options->xx || options->gt || options->lt)) {
    ctx.reply.Error("ERR NX and XX, GT or LT options at the same time are not compatible");
    return false;
  }
  if (options->gt && options->lt) {
    ctx.reply.Error("ERR GT and LT options at the same time are not compatible");
    return false;
  }
  return true;
}

bool ParseExpiry(CommandContext& ctx, Unit unit, Base base, int64_t* at_ms) {
  int64_t value = 0;
  if (!ctx.ParseInteger(2, &value)) return false;
  // Negative times are legal (they delete the key); only what int64 cannot hold is refused.
  const bool fits = (unit == Unit::kMilliseconds || !__builtin_mul_overflow(value, 1000, &value)) &&
                    (base == Base::kEpoch || !__builtin_add_overflow(value, ctx.now_ms, &value));
  if (!fits) {
    ctx.reply.Error("ERR invalid expire time in '" + std::string(ctx.spec->full_name) +
                    "' command");
    return false;
  }
  *at_ms = value;
  return true;
}

// ---- Work ----

bool AllowsExpiry(const ExpireOptions& options, int64_t present_ms) {
  const bool has_expiry = present_ms != engine::kNoExpiry;
  if (options.nx && has_expiry) return false;
  if (options.xx && !has_expiry) return false;
  if (options.gt && (!has_expiry || options.at_ms <= present_ms)) return false;
  if (options.lt && has_expiry && options.at_ms >= present_ms) return false;
  return true;
}

/// The moment has passed: the key goes now.
void DeletePast(CommandContext& ctx, const Key& key, Handle handle) {
  const bool lazy = static_cast<bool>(ctx.options().lazyfree_lazy_expire);
  ctx.Delete(key, handle, lazy);
  ctx.AddDirty(1);
  if (ctx.is_propagating()) ctx.Propagate({lazy ? "UNLINK" : "DEL", key.name});
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventGeneric, "del", key);
}

/// PEXPIREAT with the conditions as sent: they hold wherever the effect is replayed.
void PropagateExpiry(CommandContext& ctx, int64_t at_ms) {
  char text[kInt64CharsMax];
  const std::string_view at(text, FormatInt64(at_ms, text));
  std::vector<std::string_view> effect = {"PEXPIREAT", ctx.args[1], at};
  effect.insert(effect.end(), ctx.args.begin() + 3, ctx.args.end());
  ctx.Propagate(ctx.db, effect);
}

bool OpExpire(CommandContext& ctx, const Key& key, const ExpireOptions& options) {
  Handle handle = ctx.LookupWrite(key);
  if (!handle || !AllowsExpiry(options, handle.entry()->expiry_ms())) return false;
  if (options.at_ms <= ctx.now_ms) {
    DeletePast(ctx, key, handle);
    return true;
  }
  ctx.SetExpiry(key, handle, options.at_ms);
  ctx.AddDirty(1);
  if (ctx.is_propagating()) PropagateExpiry(ctx, options.at_ms);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventGeneric, "expire", key);
  return true;
}

/// False: no such key, or it has no expiry.
bool OpPersist(CommandContext& ctx, const Key& key) {
  Handle handle = ctx.LookupWrite(key);
  if (!handle || !handle.entry()->has_expiry()) return false;
  ctx.SetExpiry(key, handle, engine::kNoExpiry);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventGeneric, "persist", key);
  ctx.AddDirty(1);
  return true;
}

// ---- Handlers ----

void ExpireGeneric(CommandContext& ctx, Unit unit, Base base) {
  ExpireOptions options;
  if (!ParseConditions(ctx, &options)) return;
  if (!ParseExpiry(ctx, unit, base, &options.at_ms)) return;
  ctx.reply.Integer(OpExpire(ctx, ctx.key(0), options) ? 1 : 0);
}

void CmdExpire(CommandContext& ctx) { ExpireGeneric(ctx, Unit::kSeconds, Base::kNow); }
void CmdExpireAt(CommandContext& ctx) { ExpireGeneric(ctx, Unit::kSeconds, Base::kEpoch); }
void CmdPExpire(CommandContext& ctx) { ExpireGeneric(ctx, Unit::kMilliseconds, Base::kNow); }
void CmdPExpireAt(CommandContext& ctx) { ExpireGeneric(ctx, Unit::kMilliseconds, Base::kEpoch); }

void TtlGeneric(CommandContext& ctx, Unit unit, Base base) {
  const Handle handle = ctx.LookupRead(ctx.key(0), engine::kNoTouch);
  if (!handle) return ctx.reply.Integer(-2);
  const int64_t at_ms = handle.entry()->expiry_ms();
  if (at_ms == engine::kNoExpiry) return ctx.reply.Integer(-1);
  int64_t value = base == Base::kEpoch ? at_ms : at_ms - ctx.now_ms;
  if (value < 0) value = 0;
  if (unit == Unit::kMilliseconds) return ctx.reply.Integer(value);
  // Rounded to the nearest second; unsigned, because the sum may pass the end of int64.
  ctx.reply.Integer(static_cast<int64_t>((static_cast<uint64_t>(value) + 500) / 1000));
}

void CmdTtl(CommandContext& ctx) { TtlGeneric(ctx, Unit::kSeconds, Base::kNow); }
void CmdPTtl(CommandContext& ctx) { TtlGeneric(ctx, Unit::kMilliseconds, Base::kNow); }
void CmdExpireTime(CommandContext& ctx) { TtlGeneric(ctx, Unit::kSeconds, Base::kEpoch); }
void CmdPExpireTime(CommandContext& ctx) { TtlGeneric(ctx, Unit::kMilliseconds, Base::kEpoch); }

void CmdPersist(CommandContext& ctx) { ctx.reply.Integer(OpPersist(ctx, ctx.key(0)) ? 1 : 0); }

constexpr HandlerRow kHandlers[] = {
    {"expire", CmdExpire},           {"expireat", CmdExpireAt}, {"expiretime", CmdExpireTime},
    {"persist", CmdPersist},         {"pexpire", CmdPExpire},   {"pexpireat", CmdPExpireAt},
    {"pexpiretime", CmdPExpireTime}, {"pttl", CmdPTtl},         {"ttl", CmdTtl},
};

}  // namespace

std::span<const HandlerRow> ExpireHandlers() { return kHandlers; }

}  // namespace sherd
