// Scan commands: those that walk over the keys of a database: SCAN, KEYS, RANDOMKEY.
//
// SCAN's cursor names a shard and a place in that shard's table:
//
//    63                                          k  k-1         0
//   +----------------------------------------------+-------------+
//   | table cursor (see ds/hash_table.h)           | shard       |    k = log2(shards)
//   +----------------------------------------------+-------------+
//
// Shards are visited in ascending order, so a cursor tells what is left: the rest of its table, and
// the shards above. One call goes on from shard to shard until it has COUNT keys or has looked at
// 10 * COUNT buckets, as Redis does; empty shards cost nothing, so a small database is answered in
// one call with cursor 0, whatever the number of shards.
//
// Guarantee: a key that is in the database from the first call to the one that returns 0 is
// returned at least once. Keys never change shards, and within a table the cursor's order
// (bit-reversed) gives the same guarantee while it grows and shrinks between calls.
//
// Filters are applied while the entries are at hand, but expired keys are deleted after the walk
// only: a visitor must not erase.
//
// Thread: the one that runs the command. SCAN holds the leases from the cursor's shard on, or none
// when the cursor is malformed (it then only replies with the error); the others hold all.
#include "commands/scan_commands.h"

#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/glob.h"
#include "base/numbers.h"
#include "base/strings.h"
#include "commands/families.h"
#include "engine/command_context.h"
#include "engine/handlers.h"
#include "engine/thread_random.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::ShardId;
using engine::Table;
using engine::ThreadRandom;

struct ScanOptions {
  uint64_t cursor = 0;
  int64_t count = 10;
  std::string_view pattern;  // empty: all (an empty pattern is told apart by has_pattern)
  bool has_pattern = false;
  std::string_view type;
  bool has_type = false;
};

/// What a walk has met. Entries stay where they are until something is erased or written.
struct ScanFindings {
  std::vector<const Entry*> keys;
  std::vector<std::string> expired;
  int64_t sampled = 0;  // keys seen, whether they pass the filters or not
  uint64_t typed_hits = 0;
};

// Buckets looked at for each key asked for, so that a sparse table cannot make one call long
// (Redis).
constexpr int64_t kBucketsPerCount = 10;

unsigned ShardBits(const engine::Engine& engine) {
  return static_cast<unsigned>(std::countr_zero(static_cast<unsigned>(engine.shard_count())));
}

// ---- Parsing ----

/// Redis takes "*" for no pattern at all; the difference shows for the empty key.
bool IsPattern(std::string_view pattern) { return pattern != "*"; }

bool ParseScan(CommandContext& ctx, ScanOptions* options) {
  if (!ParseScanCursor(ctx.args[1], &options->cursor)) {
    ctx.reply.Error(engine::errors::kInvalidCursor);
    return false;
  }
  for (size_t i = 2; i < ctx.args.size(); i += 2) {
    const bool has_value = i + 1 < ctx.args.size();
    if (has_value && ctx.ArgIs(i, "count")) {
      if (!ctx.ParseInteger(i + 1, &options->count)) return false;
      if (options->count < 1) {
        ctx.reply.Error(engine::errors::kSyntax);
        return false;
      }
    } else if (has_value && ctx.ArgIs(i, "match")) {
      options->pattern = ctx.args[i + 1];
      options->has_pattern = IsPattern(options->pattern);
    } else if (has_value && ctx.ArgIs(i, "type")) {
      options->type = ctx.args[i + 1];
      options->has_type = true;
    } else {
      ctx.reply.Error(ScanOptionError(ctx.args[i]));
      return false;
    }
  }
  return true;
}

// ---- Work ----

void Consider(const CommandContext& ctx, const ScanOptions& options, const Entry& entry,
              ScanFindings* found) {
  found->sampled++;
  if (options.has_pattern && !GlobMatch(options.pattern, entry.key())) return;
  if (entry.has_expiry() && entry.expiry_ms() < ctx.now_ms) {
    found->expired.emplace_back(entry.key());
    return;
  }
  if (options.has_type) {
    found->typed_hits++;
    if (!EqualsIgnoreCase(options.type, engine::TypeName(entry.type()))) return;
  }
  found->keys.push_back(&entry);
}

/// Walks from options.cursor on and returns the cursor to go on with, 0 at the end.
uint64_t OpScan(CommandContext& ctx, const ScanOptions& options, ScanFindings* found) {
  const unsigned bits = ShardBits(ctx.engine);
  const int shards = ctx.engine.shard_count();
  int shard = static_cast<int>(options.cursor & static_cast<uint64_t>(shards - 1));
  uint64_t table_cursor = options.cursor >> bits;
  int64_t buckets_left =
      options.count > INT64_MAX / kBucketsPerCount ? INT64_MAX : options.count * kBucketsPerCount;
  for (;;) {
    const Table& table = ctx.keyspace(static_cast<ShardId>(shard)).db(ctx.db).table;
    if (table.size() == 0) {
      table_cursor = 0;
    } else if (found->sampled >= options.count || buckets_left-- == 0) {
      return table_cursor << bits | static_cast<uint64_t>(shard);
    } else {
      table_cursor = table.Scan(
          table_cursor, [&](Handle handle) { Consider(ctx, options, *handle.entry(), found); });
    }
    if (table_cursor == 0 && ++shard == shards) return 0;
  }
}

/// Redis looks expired keys up to drop them; with TYPE each key it tests counts as a hit or a miss.
void ExpireFound(CommandContext& ctx, const ScanOptions& options, const ScanFindings& found) {
  for (const std::string& name : found.expired) {
    ctx.LookupIn(ctx.db, ctx.engine.MakeKey(name), engine::kNoTouch | engine::kNoStats);
  }
  if (!options.has_type) return;
  ctx.counters->keyspace_hits.Add(found.typed_hits);
  ctx.counters->keyspace_misses.Add(found.expired.size());
}

/// A random entry of the database, all keys of all shards being equally likely; nullptr when empty.
const Entry* RandomEntry(CommandContext& ctx) {
  size_t total = 0;
  const int shards = ctx.engine.shard_count();
  for (int i = 0; i < shards; i++)
    total += ctx.keyspace(static_cast<ShardId>(i)).db(ctx.db).table.size();
  if (total == 0) return nullptr;
  uint64_t index = ThreadRandom().Below(total);
  for (int i = 0;; i++) {
    const Table& table = ctx.keyspace(static_cast<ShardId>(i)).db(ctx.db).table;
    if (index < table.size()) {
      return table.RandomPosition([] { return ThreadRandom().Next(); }).entry();
    }
    index -= table.size();
  }
}

void ReplyKeys(CommandContext& ctx, const std::vector<const Entry*>& keys) {
  ctx.reply.Array(keys.size());
  for (const Entry* entry : keys) ctx.reply.Bulk(entry->key());
}

// ---- Handlers ----

void CmdScan(CommandContext& ctx) {
  ScanOptions options;
  if (!ParseScan(ctx, &options)) return;
  ScanFindings found;
  const uint64_t cursor = OpScan(ctx, options, &found);
  char text[kInt64CharsMax];
  ctx.reply.Array(2);
  ctx.reply.Bulk({text, FormatUint64(cursor, text)});
  ReplyKeys(ctx, found.keys);
  ExpireFound(ctx, options, found);
}

void RouteScan(const engine::Engine& engine, std::span<const std::string_view> args,
               engine::Route* route) {
  uint64_t cursor = 0;
  route->runs = Runs::kConnection;
  if (args.size() < 2 || !ParseScanCursor(args[1], &cursor)) return;
  route->runs = Runs::kAllShards;
  route->first_shard =
      static_cast<ShardId>(cursor & static_cast<uint64_t>(engine.shard_count() - 1));
}

void CmdKeys(CommandContext& ctx) {
  const std::string_view pattern = ctx.args[1];
  const bool all = !IsPattern(pattern);
  std::vector<const Entry*> keys;
  for (int shard = 0; shard < ctx.engine.shard_count(); shard++) {
    const Table& table = ctx.keyspace(static_cast<ShardId>(shard)).db(ctx.db).table;
    table.VisitBuckets(0, table.bucket_count(), [&](Handle handle) {
      const Entry& entry = *handle.entry();
      if (!all && !GlobMatch(pattern, entry.key())) return;
      // Expired keys are left out but not deleted, as in Redis: KEYS is a read.
      if (entry.has_expiry() && entry.expiry_ms() < ctx.now_ms) return;
      keys.push_back(&entry);
    });
  }
  ReplyKeys(ctx, keys);
}

void CmdRandomKey(CommandContext& ctx) {
  // Ends because each expired key that is met is deleted; while CLIENT PAUSE forbids that, after so many
  // tries with one that is expired, as in Redis.
  constexpr int kTriesMax = 100;
  for (int tries = 1;; tries++) {
    const Entry* entry = RandomEntry(ctx);
    if (entry == nullptr) return ctx.reply.Null();
    if (!entry->has_expiry() || entry->expiry_ms() >= ctx.now_ms)
      return ctx.reply.Bulk(entry->key());
    const std::string name(entry->key());
    if (tries >= kTriesMax && ctx.engine.IsPaused(ctx.now_ms)) return ctx.reply.Bulk(name);
    ctx.LookupIn(ctx.db, ctx.engine.MakeKey(name), engine::kNoTouch | engine::kNoStats);
  }
}

constexpr HandlerRow kHandlers[] = {
    {"keys", CmdKeys},
    {"randomkey", CmdRandomKey},
    {"scan", CmdScan, RouteScan},
};

}  // namespace

// What strtoul takes, without its leading spaces: an optional sign (a negative number wraps),
// digits, or nothing at all, which is 0. The text ends at its first zero byte.
bool ParseScanCursor(std::string_view text, uint64_t* cursor) {
  if (text.empty()) {
    *cursor = 0;
    return true;
  }
  const std::string terminated(text);
  if (IsAsciiSpace(terminated[0])) return false;
  char* end = nullptr;
  errno = 0;
  const unsigned long long value = std::strtoull(terminated.c_str(), &end, 10);
  if (*end != '\0' || errno == ERANGE) return false;
  *cursor = value;
  return true;
}

std::string_view ScanOptionError(std::string_view option) {
  return EqualsIgnoreCase(option, "novalues") ? "ERR NOVALUES option can only be used in HSCAN"
                                              : engine::errors::kSyntax;
}

std::span<const HandlerRow> ScanHandlers() { return kHandlers; }

}  // namespace sherd
