// DUMP and RESTORE: a value as bytes that another server understands.
//
// The format is persistence's; here is what the commands mean. Payloads come from anywhere: the checksum
// guards against accidents only, so every structure is checked in depth before it becomes a value, always.
//
// RESTORE is replayed with an absolute time (ABSTTL), or as a DEL when the time has passed already.
//
// Thread: the one that holds the leases of the keys.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/numbers.h"
#include "commands/families.h"
#include "engine/command_context.h"
#include "persistence/dump_payload.h"
#include "persistence/rdb_reader.h"
#include "persistence/value_reader.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::Key;
using engine::kNoExpiry;
using persistence::LoadedValue;
namespace errors = engine::errors;

// ---- DUMP ----

void CmdDump(CommandContext& ctx) {
  const Handle handle = ctx.LookupRead(ctx.key(0));
  if (!handle) return ctx.reply.Null();
  // Kept from call to call: migrations dump key after key.
  thread_local std::string payload;
  payload.clear();
  const auto version = static_cast<uint32_t>(ctx.options().rdb_compat_version.Get());
  persistence::WriteDumpPayload(*handle.entry(), version, true, &payload);
  ctx.reply.Bulk(payload);
  constexpr size_t kKeptMax = 1024 * 1024;
  if (payload.capacity() > kKeptMax) std::string().swap(payload);
}

// ---- RESTORE: parsing ----

struct RestoreOptions {
  bool replace = false;
  bool is_absolute = false;
  int64_t idle_sec = -1;
  int64_t frequency = -1;
  int64_t ttl_ms = 0;
};

bool ParseRestoreOption(CommandContext& ctx, size_t* index, RestoreOptions* options) {
  const bool has_value = *index + 1 < ctx.args.size();
  if (ctx.ArgIs(*index, "replace")) return options->replace = true;
  if (ctx.ArgIs(*index, "absttl")) return options->is_absolute = true;
  if (ctx.ArgIs(*index, "idletime") && has_value && options->frequency == -1) {
    if (!ctx.ParseInteger(++*index, &options->idle_sec)) return false;
    if (options->idle_sec >= 0) return true;
    ctx.reply.Error("ERR Invalid IDLETIME value, must be >= 0");
    return false;
  }
  if (ctx.ArgIs(*index, "freq") && has_value && options->idle_sec == -1) {
    if (!ctx.ParseInteger(++*index, &options->frequency)) return false;
    if (options->frequency >= 0 && options->frequency <= 255) return true;
    ctx.reply.Error("ERR Invalid FREQ value, must be >= 0 and <= 255");
    return false;
  }
  ctx.reply.Error(errors::kSyntax);
  return false;
}

bool ParseRestoreOptions(CommandContext& ctx, RestoreOptions* options) {
  for (size_t i = 4; i < ctx.args.size(); i++) {
    if (!ParseRestoreOption(ctx, &i, options)) return false;
  }
  return true;
}

bool ParseTtl(CommandContext& ctx, RestoreOptions* options) {
  if (!ctx.ParseInteger(2, &options->ttl_ms)) return false;
  if (options->ttl_ms >= 0) return true;
  ctx.reply.Error("ERR Invalid TTL value, must be >= 0");
  return false;
}

// ---- RESTORE: work ----

/// Builds the value of args[3] in the heap of the key's shard. Replies with the error itself.
bool LoadPayload(CommandContext& ctx, LoadedValue* value) {
  std::string_view body;
  if (!persistence::CheckDumpPayload(ctx.args[3], &body)) {
    ctx.reply.Error("ERR DUMP payload version or checksum are wrong");
    return false;
  }
  persistence::RdbReader reader(body);
  const auto type = static_cast<persistence::RdbType>(reader.Byte());
  if (persistence::ReadValue(&reader, type, ctx.heap(ctx.key(0)), ctx.options(), value)) return true;
  ctx.reply.Error("ERR Bad data format");
  return false;
}

void SetAccess(CommandContext& ctx, const RestoreOptions& options, Entry* entry) {
  if (ctx.clock.is_lfu) {
    if (options.frequency >= 0) {
      entry->set_clock24(ctx.clock.lfu_minutes << 8 | static_cast<uint32_t>(options.frequency));
    }
  } else if (options.idle_sec >= 0) {
    entry->set_clock24((ctx.clock.lru_seconds - static_cast<uint32_t>(options.idle_sec)) & 0xffffff);
  }
}

/// The effect with its time made absolute, all else as sent.
void PropagateRestore(CommandContext& ctx, int64_t expiry_ms) {
  char digits[kInt64CharsMax];
  std::vector<std::string_view> effect(ctx.args.begin(), ctx.args.end());
  effect[2] = {digits, FormatInt64(expiry_ms, digits)};
  effect.push_back("ABSTTL");
  ctx.Propagate(ctx.db, effect);
}

/// The payload's time has passed: all that remains of it is that the old key is gone.
void RestoreExpired(CommandContext& ctx, bool deleted) {
  if (deleted) {
    ctx.AddDirty(1);
    ctx.SignalModified(ctx.key(0));
    ctx.Notify(engine::kEventGeneric, "del", ctx.key(0));
    const bool is_lazy = static_cast<bool>(ctx.options().lazyfree_lazy_server_del);
    if (ctx.is_propagating()) ctx.Propagate({is_lazy ? "UNLINK" : "DEL", ctx.key(0).name});
  }
  ctx.reply.Ok();
}

void CmdRestore(CommandContext& ctx) {
  RestoreOptions options;
  if (!ParseRestoreOptions(ctx, &options)) return;
  const Key& key = ctx.key(0);
  Handle existing = ctx.LookupWrite(key);
  if (existing && !options.replace) return ctx.reply.Error("BUSYKEY Target key name already exists.");
  LoadedValue value;
  if (!ParseTtl(ctx, &options) || !LoadPayload(ctx, &value)) return;

  const bool deleted = static_cast<bool>(existing);
  if (deleted) ctx.Delete(key, existing, static_cast<bool>(ctx.options().lazyfree_lazy_server_del));
  int64_t expiry_ms = options.ttl_ms == 0 ? kNoExpiry : options.ttl_ms;
  if (expiry_ms != kNoExpiry && !options.is_absolute) {
    // Wraps as in Redis: a time beyond all times is one in the past.
    expiry_ms = static_cast<int64_t>(static_cast<uint64_t>(expiry_ms) + static_cast<uint64_t>(ctx.now_ms));
  }
  if (expiry_ms != kNoExpiry && expiry_ms <= ctx.now_ms) {
    persistence::DiscardValue(ctx.heap(key), &value);
    return RestoreExpired(ctx, deleted);
  }
  Handle handle = persistence::AdoptValue(ctx.keyspace(key), ctx.db, key, &value, expiry_ms);
  SetAccess(ctx, options, handle.entry());
  ctx.AddDirty(1);
  ctx.SignalModified(key);
  // New even in place of another: that one was deleted without a word.
  ctx.Notify(engine::kEventNew, "new", key);
  ctx.Notify(engine::kEventGeneric, "restore", key);
  if (ctx.is_propagating() && expiry_ms != kNoExpiry && !options.is_absolute) PropagateRestore(ctx, expiry_ms);
  ctx.reply.Ok();
}

constexpr HandlerRow kRows[] = {{"dump", CmdDump}, {"restore", CmdRestore}};

}  // namespace

std::span<const HandlerRow> DumpHandlers() { return kRows; }

}  // namespace sherd
