// DEBUG: a look under the bonnet, for tests and for people in trouble.
//
// A table gives for each subcommand its arguments' number, where it runs, its function and its
// help. The router and the handler both look the subcommand up there, so they always agree; what is
// not in the table, or has another number of arguments, is answered with Redis's one error for
// both.
//
// Replies are Redis 7.2's where the subcommand is Redis's; figures that have no meaning here are
// the nearest that have one (said beside each). SHARDS, RINGS and VALIDATE are our own.
//
// Must hold: subcommands read raw entries, without expiry, clock or statistics, so that looking
// does not change what is looked at. They make their keys from the arguments themselves; the router
// has seen to the leases.
//
// Thread: the one that runs the command; leases as the row's Place says.
#include "commands/debug_commands.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/glob.h"
#include "base/numbers.h"
#include "base/random.h"
#include "base/strings.h"
#include "commands/dataset_digest.h"
#include "commands/debug_lists.h"
#include "commands/families.h"
#include "commands/help.h"
#include "commands/shared_integers.h"
#include "engine/command_context.h"
#include "engine/handlers.h"
#include "persistence/value_writer.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::Key;
using engine::ShardId;

constexpr std::string_view kWrongProtocolType =
    "ERR Wrong protocol type name. Please use one of the following: "
    "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false";
// Where Redis says that its dictionary cannot grow so far, or tries for ever.
constexpr int64_t kPopulateMax = int64_t{1} << 32;

std::atomic<DebugLog> g_log{nullptr};

// ---- Helpers ----

[[gnu::format(printf, 2, 3)]] void AppendFormat(std::string* out, const char* format, ...) {
  char buffer[512];
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  CHECK(length >= 0 && static_cast<size_t>(length) < sizeof buffer);
  out->append(buffer, static_cast<size_t>(length));
}

/// atoi(): the switches take any text and count it as 0 unless it starts with another number.
bool IsSwitchedOn(std::string_view text) { return std::atoi(std::string(text).c_str()) != 0; }

/// The raw entry of args[2] in the selected database; replies with the error when there is none.
const Entry* FindArgument(CommandContext& ctx) {
  const Key key = ctx.engine.MakeKey(ctx.args[2]);
  const Handle handle = ctx.keyspace(key).Find(ctx.db, key);
  if (handle) return handle.entry();
  ctx.reply.Error(engine::errors::kNoSuchKey);
  return nullptr;
}

bool ParsePositive(CommandContext& ctx, size_t index, int64_t* value) {
  return ctx.ParseIntegerIn(index, 0, INT64_MAX, value, engine::errors::kMustBePositive);
}

// ---- Data ----

/// Bytes of a string in an RDB file that is written without compression: short texts that are
/// integers of up to 32 bits take one byte more than the integer, all else its length and its
/// bytes.
size_t RdbStringSize(const Entry& entry) {
  constexpr size_t kIntegerTextMax = 11;
  engine::IntegerText text;
  const std::string_view bytes = engine::StringBytes(entry, &text);
  int64_t value = 0;
  if (bytes.size() <= kIntegerTextMax && ParseInt64(bytes, &value)) {
    if (value == static_cast<int8_t>(value)) return 2;
    if (value == static_cast<int16_t>(value)) return 3;
    if (value == static_cast<int32_t>(value)) return 5;
  }
  return RdbLengthSize(bytes.size()) + bytes.size();
}

/// The same for a value of any type.
size_t RdbValueSize(CommandContext& ctx, const Entry& entry) {
  if (entry.type() == engine::Type::kString) return RdbStringSize(entry);
  if (entry.type() == engine::Type::kList) return RdbListSize(entry);
  std::string bytes;
  persistence::RdbWriter writer(&bytes, false);
  const uint32_t version = static_cast<uint32_t>(ctx.options().rdb_compat_version.Get());
  persistence::WriteValue(entry, persistence::WriterVersion(entry, version), &writer);
  return bytes.size() - 1;  // without the type
}

// lru is our own business; the line keeps its form because tests parse it.
void DebugObject(CommandContext& ctx) {
  const Entry* entry = FindArgument(ctx);
  if (entry == nullptr) return;
  std::string line;
  AppendFormat(&line, "Value at:%p refcount:%d encoding:%s", static_cast<const void*>(entry),
               ReportedRefCount(ctx, *entry), engine::EncodingName(entry->encoding()));
  const bool is_fast = ctx.ArgIs(3, "fast");
  if (!is_fast) AppendFormat(&line, " serializedlength:%zu", RdbValueSize(ctx, *entry));
  const uint32_t idle_sec = (ctx.clock.lru_seconds - entry->clock24()) & 0xffffff;
  AppendFormat(&line, " lru:%u lru_seconds_idle:%u", entry->clock24(),
               ctx.clock.is_lfu ? 0 : idle_sec);
  if (!is_fast && entry->encoding() == engine::Encoding::kQuickList) line += QuicklistFigures(*entry);
  ctx.reply.SimpleString(line);
}

// Key and small value share one allocation here, so the value has bytes of its own only when it is
// large.
void DebugSdsLen(CommandContext& ctx) {
  const Entry* entry = FindArgument(ctx);
  if (entry == nullptr) return;
  if (entry->type() != engine::Type::kString || entry->encoding() == engine::Encoding::kInt) {
    return ctx.reply.Error("ERR Not an sds encoded string.");
  }
  size_t spare = 0;
  size_t value_bytes = 0;
  if (!entry->is_inline()) {
    const engine::LargeString& large = *entry->large();
    spare = large.capacity - large.size;
    value_bytes = LargeGoodSize(engine::LargeString::AllocationSize(large.capacity));
  }
  std::string line;
  AppendFormat(
      &line,
      "key_sds_len:%zu, key_sds_avail:0, key_zmalloc: %zu, val_sds_len:%zu, val_sds_avail:%zu, "
      "val_zmalloc: %zu",
      entry->key().size(), SlabHeap::GoodSize(entry->AllocationSize()),
      engine::StringLength(*entry), spare, value_bytes);
  ctx.reply.SimpleString(line);
}

void DebugDigest(CommandContext& ctx) {
  ctx.reply.SimpleString(DatasetDigest(ctx.engine, ctx.now_ms).Hex());
}

void DebugDigestValue(CommandContext& ctx) {
  ctx.reply.Array(ctx.args.size() - 2);
  for (size_t i = 2; i < ctx.args.size(); i++) {
    const Key key = ctx.engine.MakeKey(ctx.args[i]);
    const Handle handle = ctx.keyspace(key).Find(ctx.db, key);
    Digest digest;
    if (handle) MixEntry(&digest, *handle.entry(), ctx.now_ms);
    ctx.reply.SimpleString(digest.Hex());
  }
}

/// The value of key number `index`: "value:<index>", cut or filled up with zero bytes to `size` if
/// given.
std::string PopulateValue(int64_t index, int64_t size) {
  std::string value = "value:" + std::to_string(index);
  if (size > 0) value.resize(static_cast<size_t>(size), '\0');
  return value;
}

void DebugPopulate(CommandContext& ctx) {
  int64_t count = 0;
  int64_t size = 0;
  if (!ParsePositive(ctx, 2, &count)) return;
  if (count > kPopulateMax) return ctx.reply.Error("ERR OOM in dictTryExpand");
  if (ctx.args.size() == 5 && !ParsePositive(ctx, 4, &size)) return;
  if (size > ctx.options().proto_max_bulk_len.Get())
    return ctx.reply.Error(engine::errors::kStringTooLong);
  constexpr size_t kNameMax = 127;  // Redis prints the names into a buffer of 128
  const std::string prefix(ctx.args.size() > 3 ? UpToZero(ctx.args[3]) : "key");
  for (int64_t i = 0; i < count; i++) {
    const std::string name = (prefix + ":" + std::to_string(i)).substr(0, kNameMax);
    const Key key = ctx.engine.MakeKey(name);
    if (ctx.LookupWrite(key)) continue;
    ctx.keyspace(key).SetString(ctx.db, key, {}, PopulateValue(i, size), engine::StringForm::kPlain,
                                engine::kNoExpiry);
    ctx.Notify(engine::kEventNew, "new", key);
    ctx.SignalModified(key);
  }
  ctx.reply.Ok();
}

void DebugValidate(CommandContext& ctx) {
  for (int shard = 0; shard < ctx.engine.shard_count(); shard++) {
    ctx.keyspace(static_cast<ShardId>(shard)).Validate();
  }
  ctx.reply.Ok();
}

// ---- Tables ----

constexpr size_t kChainMax = 50;  // longer chains are counted together

/// What HTSTATS says of one database, over all shards. A chain is a bucket with all its overflow.
struct TableStatistics {
  size_t buckets = 0;
  size_t keys = 0;
  size_t expires = 0;
  size_t chains[kChainMax] = {};
};

TableStatistics CollectStatistics(CommandContext& ctx, int db_index, bool full) {
  TableStatistics statistics;
  for (int shard = 0; shard < ctx.engine.shard_count(); shard++) {
    const engine::Database& db = ctx.keyspace(static_cast<ShardId>(shard)).db(db_index);
    statistics.buckets += db.table.bucket_count();
    statistics.keys += db.table.size();
    statistics.expires += db.expires;
    if (full) db.table.ChainHistogram(statistics.chains, kChainMax);
  }
  return statistics;
}

void AppendTableHead(std::string* out, size_t buckets, size_t keys) {
  out->append("Hash table 0 stats (main hash table):\n");
  if (keys == 0) {
    out->append("No stats available for empty dictionaries\n");
  } else {
    AppendFormat(out, " table size: %zu\n number of elements: %zu\n", buckets, keys);
  }
}

void AppendChains(std::string* out, const TableStatistics& statistics) {
  if (statistics.keys == 0) return;
  size_t longest = 0;
  for (size_t length = 0; length < kChainMax; length++) {
    if (statistics.chains[length] > 0) longest = length;
  }
  const size_t used = statistics.buckets - statistics.chains[0];
  const double average =
      used == 0 ? 0 : static_cast<double>(statistics.keys) / static_cast<double>(used);
  AppendFormat(out, " different slots: %zu\n max chain length: %zu\n", used, longest);
  AppendFormat(out, " avg chain length (counted): %.02f\n avg chain length (computed): %.02f\n",
               average, average);
  out->append(" Chain length distribution:\n");
  for (size_t length = 0; length <= longest; length++) {
    if (statistics.chains[length] == 0) continue;
    AppendFormat(out, "   %s%zu: %zu (%.02f%%)\n", length == kChainMax - 1 ? ">= " : "", length,
                 statistics.chains[length],
                 static_cast<double>(statistics.chains[length]) * 100 /
                     static_cast<double>(statistics.buckets));
  }
}

// Expiring keys have no table of their own here: their part tells the main table's buckets.
void DebugHtStats(CommandContext& ctx) {
  int64_t db = 0;
  if (!ctx.ParseInteger(2, &db)) return;
  if (db < 0 || db >= ctx.engine.database_count())
    return ctx.reply.Error("ERR Out of range database");
  const bool full = ctx.ArgIs(3, "full");
  const TableStatistics statistics = CollectStatistics(ctx, static_cast<int>(db), full);
  std::string text = "[Dictionary HT]\n";
  AppendTableHead(&text, statistics.buckets, statistics.keys);
  if (full) AppendChains(&text, statistics);
  text += "[Expires HT]\n";
  AppendTableHead(&text, statistics.buckets, statistics.expires);
  ctx.reply.Verbatim(text, "txt");
}

// Redis looks these keys up as OBJECT does, which counts a hit or a miss. Null: the reply is the error.
const Entry* LookupArgument(CommandContext& ctx) {
  const Key key = ctx.engine.MakeKey(ctx.args[2]);
  const Handle handle = ctx.LookupIn(ctx.db, key, engine::kNoTouch | engine::kNoStats);
  if (!handle) {
    ctx.counters->keyspace_misses.Increment();
    ctx.reply.Error(engine::errors::kNoSuchKey);
    return nullptr;
  }
  ctx.counters->keyspace_hits.Increment();
  return handle.entry();
}

void DebugListpackOf(CommandContext& ctx) {
  if (const Entry* entry = LookupArgument(ctx)) DebugListpack(ctx, *entry);
}

void DebugQuicklistOf(CommandContext& ctx) {
  const bool is_full = ctx.args.size() > 3 && IsSwitchedOn(ctx.args[3]);
  if (const Entry* entry = LookupArgument(ctx)) DebugQuicklist(ctx, *entry, is_full);
}

void DebugHtStatsKey(CommandContext& ctx) {
  if (LookupArgument(ctx) == nullptr) return;
  ctx.reply.Error(
      "ERR The value stored at the specified key is not represented using an hash table");
}

// ---- Protocol ----

void ProtocolMap(CommandContext& ctx) {
  ctx.reply.Map(3);
  for (int i = 0; i < 3; i++) {
    ctx.reply.Integer(i);
    ctx.reply.Bool(i == 1);
  }
}

void ProtocolAttribute(CommandContext& ctx) {
  if (ctx.reply.resp() == 3) {
    ctx.reply.Attribute(1);
    ctx.reply.Bulk("key-popularity");
    ctx.reply.Array(2);
    ctx.reply.Bulk("key:123");
    ctx.reply.Integer(90);
  }
  ctx.reply.Bulk("Some real reply following the attribute");
}

void ProtocolPush(CommandContext& ctx) {
  if (ctx.reply.resp() < 3) return ctx.reply.Error("ERR RESP2 is not supported by this command");
  ctx.reply.Push(2);
  ctx.reply.Bulk("server-cpu-usage");
  ctx.reply.Integer(42);
  ctx.reply.EndPush();
  ctx.reply.Bulk("Some real reply following the push reply");
}

void ProtocolArray(CommandContext& ctx) {
  ctx.reply.Array(3);
  for (int i = 0; i < 3; i++) ctx.reply.Integer(i);
}

void ProtocolSet(CommandContext& ctx) {
  ctx.reply.Set(3);
  for (int i = 0; i < 3; i++) ctx.reply.Integer(i);
}

void DebugProtocol(CommandContext& ctx) {
  struct Sample {
    std::string_view name;
    void (*reply)(CommandContext&);
  };
  static constexpr Sample kSamples[] = {
      {"string", [](CommandContext& c) { c.reply.Bulk("Hello World"); }},
      {"integer", [](CommandContext& c) { c.reply.Integer(12345); }},
      {"double", [](CommandContext& c) { c.reply.Double(3.141); }},
      {"null", [](CommandContext& c) { c.reply.Null(); }},
      {"array", ProtocolArray},
      {"set", ProtocolSet},
      {"map", ProtocolMap},
      {"attrib", ProtocolAttribute},
      {"push", ProtocolPush},
      {"true", [](CommandContext& c) { c.reply.Bool(true); }},
      {"false", [](CommandContext& c) { c.reply.Bool(false); }},
      {"verbatim",
       [](CommandContext& c) { c.reply.Verbatim("This is a verbatim\nstring", "txt"); }},
      {"bignum",
       [](CommandContext& c) { c.reply.BigNumber("1234567999999999999999999999999999999"); }},
  };
  for (const Sample& sample : kSamples) {
    if (ctx.ArgIs(2, sample.name)) return sample.reply(ctx);
  }
  ctx.reply.Error(kWrongProtocolType);
}

void DebugError(CommandContext& ctx) { ctx.reply.Error(ctx.args[2]); }

// ---- Switches ----

void DebugSetActiveExpire(CommandContext& ctx) {
  ctx.engine.active_expire = IsSwitchedOn(ctx.args[2]);
  ctx.reply.Ok();
}

void DebugPauseCron(CommandContext& ctx) {
  ctx.engine.cron_paused = IsSwitchedOn(ctx.args[2]);
  ctx.reply.Ok();
}

// Our tables grow one bucket at a time and need no switch.
void DebugDictResizing(CommandContext& ctx) { ctx.reply.Ok(); }

void ReplyUnknown(CommandContext& ctx) {
  const std::string_view name = UpToZero(ctx.args[1]).substr(0, 128);
  ctx.reply.Error("ERR unknown subcommand or wrong number of arguments for '" + std::string(name) +
                  "'. Try DEBUG HELP.");
}

// Output buffers here have no peak to reset; the arguments are checked as Redis does.
void DebugReplyBuffer(CommandContext& ctx) {
  int64_t time_ms = 0;
  if (ctx.ArgIs(2, "peak-reset-time")) {
    if (!ctx.ArgIs(3, "never") && !ctx.ArgIs(3, "reset") && !ctx.ParseInteger(3, &time_ms)) return;
  } else if (!ctx.ArgIs(2, "resizing")) {
    return ReplyUnknown(ctx);
  }
  ctx.reply.Ok();
}

void DebugLogLine(CommandContext& ctx) {
  // Acquire: pairs with the release in SetDebugLog().
  if (const DebugLog log = g_log.load(std::memory_order_acquire)) {
    log("DEBUG LOG: " + std::string(UpToZero(ctx.args[2])));
  }
  ctx.reply.Ok();
}

void DebugSleep(CommandContext& ctx) {
  constexpr double kSecondsMax = 365.0 * 24 * 3600;
  const double seconds = std::strtod(std::string(ctx.args[2]).c_str(), nullptr);
  if (seconds > 0) {
    const double bounded = seconds < kSecondsMax ? seconds : kSecondsMax;
    const auto microseconds = static_cast<int64_t>(bounded * 1e6);
    timespec left = {static_cast<time_t>(microseconds / 1'000'000),
                     static_cast<long>(microseconds % 1'000'000 * 1000)};
    nanosleep(&left, nullptr);
  }
  ctx.reply.Ok();
}

// ---- Crashes ----

void DebugSegfault(CommandContext&) {
  void* page = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(page != MAP_FAILED);
  *static_cast<volatile char*>(page) = 'x';
}

void DebugAssert(CommandContext& ctx) {
  CHECK_MSG(ctx.args.empty(), "called by the user's DEBUG command");
}

void DebugPanic(CommandContext&) {
  CheckFailed(__FILE__, __LINE__, "panic", "called by the user's DEBUG command");
}

// ---- Glob fuzzing ----

// Random patterns against random texts over few letters, so that stars and classes meet often. The
// time is bounded by construction (GlobMatch does not backtrack more than once); a crash is the
// failure.
void DebugStringMatchTest(CommandContext& ctx) {
  constexpr std::string_view kPatternLetters = "*?[]^-\\ab";
  Random random(static_cast<uint64_t>(Clock::MonotonicNs()));
  uint64_t matches = 0;
  for (int i = 0; i < 100'000; i++) {
    std::string pattern, text;
    for (uint64_t n = random.Below(20); n > 0; n--) pattern += kPatternLetters[random.Below(9)];
    for (uint64_t n = random.Below(20); n > 0; n--)
      text += static_cast<char>('a' + random.Below(3));
    matches += GlobMatch(pattern, text) ? 1 : 0;
  }
  CHECK(matches > 0);
  ctx.reply.SimpleString("Apparently Redis did not crash: test passed");
}

// ---- Shards and rings: from the counters, which any thread may read ----

struct Figure {
  std::string_view name;
  uint64_t value;
};

void ReplyFigures(CommandContext& ctx, std::span<const Figure> figures) {
  ctx.reply.Map(figures.size());
  for (const Figure& figure : figures) {
    ctx.reply.Bulk(figure.name);
    ctx.reply.Integer(static_cast<int64_t>(figure.value));
  }
}

void DebugShards(CommandContext& ctx) {
  const int shards = ctx.engine.shard_count();
  ctx.reply.Array(static_cast<size_t>(shards));
  for (int i = 0; i < shards; i++) {
    const ShardId shard = static_cast<ShardId>(i);
    const engine::ShardCounters& c = ctx.engine.shard_counters(shard);
    uint64_t keys = 0;
    for (int db = 0; db < ctx.engine.database_count(); db++) {
      keys += ctx.engine.database_counters(shard, db).keys.Get();
    }
    const Figure figures[] = {
        {"shard", shard},
        {"owner", ctx.engine.OwnerOf(shard)},
        {"keys", keys},
        {"used-memory", c.used_memory.Get()},
        {"mapped-memory", c.mapped_memory.Get()},
        {"table-memory", c.table_memory.Get()},
        {"leases-in-place", c.leases_in_place.Get()},
        {"leases-queued", c.leases_queued.Get()},
        {"lease-hand-overs", c.lease_hand_overs.Get()},
        {"queue-high-water", c.queue_high_water.Get()},
        {"lazyfree-pending", c.lazyfree_pending_objects.Get()},
    };
    ReplyFigures(ctx, figures);
  }
}

void DebugRings(CommandContext& ctx) {
  const int workers = ctx.engine.config().workers;
  ctx.reply.Array(static_cast<size_t>(workers));
  for (int i = 0; i < workers; i++) {
    const engine::WorkerId worker = static_cast<engine::WorkerId>(i);
    const engine::WorkerCounters& c = ctx.engine.worker_counters(worker);
    const Figure figures[] = {
        {"worker", worker},
        {"pushes", c.ring_pushes.Get()},
        {"stalls", c.ring_stalls.Get()},
        {"high-water", c.ring_high_water.Get()},
        {"doorbells", c.doorbells_rung.Get()},
        {"commands-in-place", c.commands_in_place.Get()},
        {"commands-queued", c.commands_queued.Get()},
        {"commands-for-others", c.commands_served_for_others.Get()},
    };
    ReplyFigures(ctx, figures);
  }
}

// ---- The table ----

enum class Place {
  kConnection,
  kKey,   // on the shard of args[2]
  kKeys,  // on the shards of args[2 …]
  kAllShards,
  kControl,  // answered by the control plane, which reads and writes the files
};

void DebugHelp(CommandContext& ctx);

/// Never called: the route leads past it.
void DebugElsewhere(CommandContext&) { CHECK_MSG(false, "answered by the control plane"); }

struct Subcommand {
  std::string_view name;
  size_t min_args, max_args;  // with DEBUG and the name; 0: no upper bound
  Place place;
  engine::Handler run;
  std::string_view syntax;
  std::string_view help;
};

constexpr Subcommand kSubcommands[] = {
    {"assert", 2, 0, Place::kConnection, DebugAssert, "ASSERT",
     "Fail an assertion, which ends the server."},
    {"dict-resizing", 3, 3, Place::kConnection, DebugDictResizing, "DICT-RESIZING <0|1>",
     "Accepted; our tables grow step by step and need no switch."},
    {"digest", 2, 2, Place::kAllShards, DebugDigest, "DIGEST", "One hash of all data."},
    {"digest-value", 2, 0, Place::kKeys, DebugDigestValue, "DIGEST-VALUE <key> [<key> ...]",
     "A hash of each key's value."},
    {"error", 3, 3, Place::kConnection, DebugError, "ERROR <string>",
     "Reply with <string> as an error."},
    {"htstats", 3, 0, Place::kAllShards, DebugHtStats, "HTSTATS <dbid> [full]",
     "Figures of a database's hash tables, added up over the shards."},
    {"htstats-key", 3, 0, Place::kKey, DebugHtStatsKey, "HTSTATS-KEY <key> [full]",
     "The same for a value that is a hash table."},
    {"listpack", 3, 3, Place::kKey, DebugListpackOf, "LISTPACK <key>",
     "Print the elements of a value that is one listpack to standard output."},
    {"loadaof", 2, 2, Place::kControl, DebugElsewhere, "LOADAOF",
     "Write out the journal, empty all databases and load the append-only file."},
    {"log", 3, 3, Place::kConnection, DebugLogLine, "LOG <message>", "Write <message> to the log."},
    {"object", 3, 4, Place::kKey, DebugObject, "OBJECT <key> [fast]", "How a key is stored."},
    {"panic", 2, 0, Place::kConnection, DebugPanic, "PANIC", "End the server as on a fatal error."},
    {"pause-cron", 3, 3, Place::kConnection, DebugPauseCron, "PAUSE-CRON <0|1>",
     "Stop or resume periodic work."},
    {"populate", 3, 5, Place::kAllShards, DebugPopulate, "POPULATE <count> [<prefix>] [<size>]",
     "Create keys <prefix>:0 ... with values of <size> bytes; not propagated."},
    {"protocol", 3, 3, Place::kConnection, DebugProtocol, "PROTOCOL <type>",
     "A sample reply: string, integer, double, bignum, null, array, set, map, attrib, push, "
     "verbatim, true, false."},
    {"quicklist", 3, 4, Place::kKey, DebugQuicklistOf, "QUICKLIST <key> [<0|1>]",
     "Print the nodes of a quicklist to standard output; with 1 their elements as well."},
    {"quicklist-packed-threshold", 3, 3, Place::kConnection, DebugPackedThreshold,
     "QUICKLIST-PACKED-THRESHOLD <size>",
     "From which size on list elements get a node of their own; 0: when they fit into no other."},
    {"reload", 2, 0, Place::kControl, DebugElsewhere, "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
     "Save the RDB file (not with NOSAVE), empty all databases (not with NOFLUSH), and load it; with "
     "MERGE keys that exist are replaced."},
    {"replybuffer", 4, 0, Place::kConnection, DebugReplyBuffer,
     "REPLYBUFFER <PEAK-RESET-TIME <NEVER|RESET|time> | RESIZING <0|1>>",
     "Accepted; our reply buffers need no tuning."},
    {"rings", 2, 2, Place::kConnection, DebugRings, "RINGS",
     "For each worker: ring pushes, stalls, high-water mark, doorbells."},
    {"sdslen", 3, 3, Place::kKey, DebugSdsLen, "SDSLEN <key>", "Sizes of a key and its string."},
    {"segfault", 2, 0, Place::kConnection, DebugSegfault, "SEGFAULT", "Crash the server."},
    {"set-active-expire", 3, 3, Place::kConnection, DebugSetActiveExpire, "SET-ACTIVE-EXPIRE <0|1>",
     "Switch the deletion of expired keys that nobody asks for."},
    {"shards", 2, 2, Place::kConnection, DebugShards, "SHARDS",
     "For each shard: owner, keys, memory, leases, queue."},
    {"sleep", 3, 3, Place::kAllShards, DebugSleep, "SLEEP <seconds>",
     "Hold all shards for <seconds>; fractions allowed."},
    {"stringmatch-test", 2, 2, Place::kConnection, DebugStringMatchTest, "STRINGMATCH-TEST",
     "Try random patterns on the glob matcher."},
    {"validate", 2, 2, Place::kAllShards, DebugValidate, "VALIDATE",
     "Check the structure of all data; the server ends if it is broken."},
    {"help", 2, 2, Place::kConnection, DebugHelp, "", ""},
};

void DebugHelp(CommandContext& ctx) {
  std::vector<std::string> texts;
  for (const Subcommand& row : kSubcommands) {
    if (row.syntax.empty()) continue;
    texts.emplace_back(row.syntax);
    texts.push_back("    " + std::string(row.help));
  }
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  ReplyHelp(ctx.reply, "DEBUG", views);
}

const Subcommand* FindRow(std::span<const std::string_view> args) {
  if (args.size() < 2) return nullptr;
  for (const Subcommand& row : kSubcommands) {
    if (!EqualsIgnoreCase(args[1], row.name)) continue;
    const bool fits =
        args.size() >= row.min_args && (row.max_args == 0 || args.size() <= row.max_args);
    return fits ? &row : nullptr;
  }
  return nullptr;
}

void CmdDebug(CommandContext& ctx) {
  const Subcommand* row = FindRow(ctx.args);
  if (row == nullptr) return ReplyUnknown(ctx);
  row->run(ctx);
}

void RouteDebug(const engine::Engine&, std::span<const std::string_view> args,
                engine::Route* route) {
  const Subcommand* row = FindRow(args);
  const Place place = row == nullptr ? Place::kConnection : row->place;
  route->key_positions.clear();
  route->first_shard = 0;
  route->runs = place == Place::kAllShards ? Runs::kAllShards : Runs::kConnection;
  if (place == Place::kControl) route->runs = Runs::kControl;
  if (place != Place::kKey && place != Place::kKeys) return;
  const size_t end = place == Place::kKey ? 3 : args.size();
  for (size_t i = 2; i < end; i++) route->key_positions.push_back(static_cast<uint32_t>(i));
  if (!route->key_positions.empty()) route->runs = Runs::kKeys;
}

constexpr HandlerRow kHandlers[] = {
    {"debug", CmdDebug, RouteDebug},
};

}  // namespace

void SetDebugLog(DebugLog log) {
  // Release: pairs with the acquire in DebugLogLine().
  g_log.store(log, std::memory_order_release);
}

std::span<const HandlerRow> DebugHandlers() { return kHandlers; }

}  // namespace sherd
