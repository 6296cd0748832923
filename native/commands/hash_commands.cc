// Hashes: fields with values. What has to do with the fields' times to live stands in
// hash_field_ttl_commands.cc.
//
// Encodings are listpack, listpackex (some field has a time to live) and hashtable, see
// engine/hash_value.h. Expired fields do not exist for any command.
//
// Cost: O(1) for each field in a table, a short walk in a listpack; replies of many fields are written by
// resp::BulkWriter in one walk.
//
// Effects are replayed as sent, except HINCRBYFLOAT, whose result depends on the 80-bit float: it is HSET,
// or HSETEX with KEEPTTL for a field that has a time to live.
//
// Thread: the one that holds the leases of the keys.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/numbers.h"
#include "base/strings.h"
#include "commands/collection_scan.h"
#include "commands/families.h"
#include "commands/hash_edit.h"
#include "engine/command_context.h"
#include "engine/hash_value.h"
#include "engine/thread_random.h"

namespace sherd {
namespace {

using ds::PackedValue;
using engine::CommandContext;
using engine::FieldTtl;
using engine::Handle;
using engine::HandlerRow;
using engine::HashValue;
using engine::Key;
using engine::kNoExpiry;
using engine::ThreadRandom;
using engine::Type;
using resp::BulkWriter;
namespace errors = engine::errors;

constexpr int64_t kInt64Max = std::numeric_limits<int64_t>::max();

/// What a change of a hash reports.
void ReportChange(CommandContext& ctx, const Key& key, int64_t changes, const char* event) {
  ctx.AddDirty(changes);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventHash, event, key);
}

// ---- Setting ----

/// Sets all fields of the command line; false: the reply was an error.
bool OpSet(CommandContext& ctx, int64_t* created) {
  if (ctx.args.size() % 2 != 0) {
    ctx.RefuseArity();
    return false;
  }
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kHash, &handle)) return false;
  const std::span<const std::string_view> pairs = ctx.args.subspan(2);
  HashEdit edit(ctx, key, handle);
  edit.PrepareFor(pairs);
  *created = 0;
  for (size_t i = 0; i < pairs.size(); i += 2) *created += edit.Set(pairs[i], pairs[i + 1]) ? 1 : 0;
  edit.Close();
  ReportChange(ctx, key, static_cast<int64_t>(pairs.size() / 2), "hset");
  return true;
}

void CmdHSet(CommandContext& ctx) {
  int64_t created;
  if (OpSet(ctx, &created)) ctx.reply.Integer(created);
}

void CmdHMSet(CommandContext& ctx) {
  int64_t created;
  if (OpSet(ctx, &created)) ctx.reply.Ok();
}

void CmdHSetNx(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kHash, &handle)) return;
  if (handle && HashValue(*handle.entry(), ctx.now_ms).Find(ctx.args[2])) return ctx.reply.Integer(0);
  HashEdit edit(ctx, key, handle);
  edit.PrepareFor(ctx.args.subspan(2));
  edit.Set(ctx.args[2], ctx.args[3]);
  edit.Close();
  ReportChange(ctx, key, 1, "hset");
  ctx.reply.Integer(1);
}

// ---- Counters ----

bool ReadInteger(const PackedValue& value, int64_t* integer) {
  if (!value.is_integer()) return ParseInt64({value.text, value.size}, integer);
  *integer = value.integer;
  return true;
}

bool ReadFloat(const PackedValue& value, long double* number) {
  if (!value.is_integer()) return ParseLongDouble({value.text, value.size}, number);
  *number = static_cast<long double>(value.integer);
  return true;
}

void CmdHIncrBy(CommandContext& ctx) {
  int64_t delta;
  if (!ctx.ParseInteger(3, &delta)) return;
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kHash, &handle)) return;
  int64_t value = 0;
  if (handle) {
    const HashValue hash(*handle.entry(), ctx.now_ms);
    const HashValue::Place place = hash.Find(ctx.args[2]);
    if (place && !ReadInteger(hash.ValueAt(place), &value)) {
      return ctx.reply.Error("ERR hash value is not an integer");
    }
  }
  if (__builtin_add_overflow(value, delta, &value)) return ctx.reply.Error(errors::kOverflow);
  char text[kInt64CharsMax];
  HashEdit edit(ctx, key, handle);
  edit.Set(ctx.args[2], {text, FormatInt64(value, text)}, FieldTtl::kKeep);
  edit.Close();
  ReportChange(ctx, key, 1, "hincrby");
  ctx.reply.Integer(value);
}

/// The field's value as a number, 0 without a field. False: the reply was an error.
bool FindFloat(CommandContext& ctx, Handle handle, long double* value, int64_t* expiry_ms) {
  *value = 0;
  *expiry_ms = kNoExpiry;
  if (!handle) return true;
  const HashValue hash(*handle.entry(), ctx.now_ms);
  const HashValue::Place place = hash.Find(ctx.args[2]);
  if (!place) return true;
  *expiry_ms = hash.ExpiryAt(place);
  if (ReadFloat(hash.ValueAt(place), value)) return true;
  ctx.reply.Error("ERR hash value is not a float");
  return false;
}

void CmdHIncrByFloat(CommandContext& ctx) {
  long double delta;
  if (!ParseLongDouble(ctx.args[3], &delta)) return ctx.reply.Error(errors::kNotFloat);
  if (!std::isfinite(delta)) return ctx.reply.Error("ERR value is NaN or Infinity");
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kHash, &handle)) return;
  long double value;
  int64_t expiry_ms;
  if (!FindFloat(ctx, handle, &value, &expiry_ms)) return;
  value += delta;
  if (!std::isfinite(value)) return ctx.reply.Error("ERR increment would produce NaN or Infinity");

  char digits[kLongDoubleCharsMax];
  const std::string_view text(digits, FormatLongDoubleHuman(value, digits));
  HashEdit edit(ctx, key, handle);
  edit.Set(ctx.args[2], text, FieldTtl::kKeep);
  edit.Close();
  ReportChange(ctx, key, 1, "hincrbyfloat");
  if (ctx.is_propagating()) {
    if (expiry_ms == kNoExpiry) {
      ctx.Propagate({"HSET", key.name, ctx.args[2], text});
    } else {
      ctx.Propagate({"HSETEX", key.name, "KEEPTTL", "FIELDS", "1", ctx.args[2], text});
    }
  }
  ctx.reply.Bulk(text);
}

// ---- Deleting ----

void CmdHDel(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kHash, &handle)) return;
  if (!handle) return ctx.reply.Integer(0);
  HashEdit edit(ctx, key, handle);
  int64_t deleted = 0;
  for (size_t i = 2; i < ctx.args.size(); i++) deleted += edit.Erase(ctx.args[i]) ? 1 : 0;
  const bool is_gone = edit.CloseOrDelete();
  if (deleted > 0) ReportChange(ctx, key, deleted, "hdel");
  if (is_gone) ctx.Notify(engine::kEventGeneric, "del", key);
  ctx.reply.Integer(deleted);
}

// ---- Single fields ----

void CmdHGet(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kHash, &handle)) return;
  if (!handle) return ctx.reply.Null();
  const HashValue hash(*handle.entry(), ctx.now_ms);
  const HashValue::Place place = hash.Find(ctx.args[2]);
  if (!place) return ctx.reply.Null();
  ReplyPacked(ctx, hash.ValueAt(place));
}

void CmdHMGet(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kHash, &handle)) return;
  ctx.reply.Array(ctx.args.size() - 2);
  if (!handle) {
    for (size_t i = 2; i < ctx.args.size(); i++) ctx.reply.Null();
    return;
  }
  const HashValue hash(*handle.entry(), ctx.now_ms);
  for (size_t i = 2; i < ctx.args.size(); i++) {
    if (const HashValue::Place place = hash.Find(ctx.args[i])) {
      ReplyPacked(ctx, hash.ValueAt(place));
    } else {
      ctx.reply.Null();
    }
  }
}

void CmdHExists(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kHash, &handle)) return;
  ctx.reply.Integer(handle && HashValue(*handle.entry(), ctx.now_ms).Find(ctx.args[2]) ? 1 : 0);
}

void CmdHStrLen(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kHash, &handle)) return;
  if (!handle) return ctx.reply.Integer(0);
  const HashValue hash(*handle.entry(), ctx.now_ms);
  const HashValue::Place place = hash.Find(ctx.args[2]);
  char text[kInt64CharsMax];
  ctx.reply.Integer(place ? static_cast<int64_t>(hash.ValueAt(place).View(text).size()) : 0);
}

void CmdHLen(CommandContext& ctx) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kHash, &handle)) return;
  ctx.reply.Integer(
      handle ? static_cast<int64_t>(HashValue(*handle.entry(), ctx.now_ms).size()) : 0);
}

// ---- All fields ----

enum class Parts : uint8_t { kNames, kValues, kBoth };

void ReplyAll(CommandContext& ctx, Parts parts) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kHash, &handle)) return;
  if (!handle) return parts == Parts::kBoth ? ctx.reply.Map(0) : ctx.reply.EmptyArray();
  const HashValue hash(*handle.entry(), ctx.now_ms);
  const size_t size = hash.size();
  if (parts == Parts::kBoth) {
    ctx.reply.Map(size);
  } else {
    ctx.reply.Array(size);
  }
  BulkWriter writer(ctx.reply);
  hash.ForEach([&](std::string_view name, std::string_view value) {
    if (parts != Parts::kValues) writer.Add(name);
    if (parts != Parts::kNames) writer.Add(value);
    return true;
  });
}

void CmdHGetAll(CommandContext& ctx) { ReplyAll(ctx, Parts::kBoth); }
void CmdHKeys(CommandContext& ctx) { ReplyAll(ctx, Parts::kNames); }
void CmdHVals(CommandContext& ctx) { ReplyAll(ctx, Parts::kValues); }

// ---- HRANDFIELD ----

using Places = std::vector<HashValue::Place>;

Places AllPlaces(const HashValue& hash) {
  Places places;
  places.reserve(hash.size());
  hash.ForEachPlace([&](const HashValue::Place& place) { places.push_back(place); });
  return places;
}

/// Whether RandomStored() yields existing fields quickly: not in listpacks, where each costs a walk, nor
/// where it may meet many that have expired.
bool DrawsCheaply(const HashValue& hash) { return hash.is_table() && !hash.has_expired(); }

HashValue::Place Draw(const HashValue& hash) {
  return hash.RandomStored([] { return ThreadRandom().Next(); });
}

void ReplyField(CommandContext& ctx, const HashValue& hash, const HashValue::Place& place,
                bool with_values) {
  if (with_values && ctx.reply.resp() > 2) ctx.reply.Array(2);
  ReplyPacked(ctx, hash.NameAt(place));
  if (with_values) ReplyPacked(ctx, hash.ValueAt(place));
}

void ReplyFieldCount(CommandContext& ctx, uint64_t count, bool with_values) {
  ctx.reply.Array(with_values && ctx.reply.resp() == 2 ? count * 2 : count);
}

/// `count` fields, any of them more than once.
void ReplyWithRepeats(CommandContext& ctx, const HashValue& hash, uint64_t count, bool with_values) {
  ReplyFieldCount(ctx, count, with_values);
  if (DrawsCheaply(hash)) {
    while (count-- > 0) ReplyField(ctx, hash, Draw(hash), with_values);
    return;
  }
  const Places places = AllPlaces(hash);
  while (count-- > 0) ReplyField(ctx, hash, places[ThreadRandom().Below(places.size())], with_values);
}

/// `count` different fields, fewer than there are.
void ReplyDistinct(CommandContext& ctx, const HashValue& hash, uint64_t count, bool with_values) {
  ReplyFieldCount(ctx, count, with_values);
  // Up to a third of the fields, two draws in three or more are new ones.
  constexpr uint64_t kDrawShare = 3;
  if (DrawsCheaply(hash) && count * kDrawShare <= hash.size()) {
    std::unordered_set<const char*> drawn;
    while (drawn.size() < count) {
      const HashValue::Place place = Draw(hash);
      if (drawn.insert(hash.NameAt(place).text).second) ReplyField(ctx, hash, place, with_values);
    }
    return;
  }
  Places places = AllPlaces(hash);
  for (size_t i = 0; i < count; i++) {
    std::swap(places[i], places[i + ThreadRandom().Below(places.size() - i)]);
    ReplyField(ctx, hash, places[i], with_values);
  }
}

void ReplyEveryField(CommandContext& ctx, const HashValue& hash, bool with_values) {
  ReplyFieldCount(ctx, hash.size(), with_values);
  hash.ForEach([&](std::string_view name, std::string_view value) {
    if (with_values && ctx.reply.resp() > 2) ctx.reply.Array(2);
    ctx.reply.Bulk(name);
    if (with_values) ctx.reply.Bulk(value);
    return true;
  });
}

struct RandomFieldOptions {
  int64_t count = 0;  // negative: with repeats
  bool with_values = false;
};

bool ParseRandomField(CommandContext& ctx, RandomFieldOptions* options) {
  int64_t& count = options->count;
  if (!ctx.ParseInteger(2, &count)) return false;
  if (count < -kInt64Max) {
    ctx.reply.Error("ERR value is out of range, value must between -9223372036854775807 and "
                    "9223372036854775807");
    return false;
  }
  if (ctx.args.size() > 4 || (ctx.args.size() == 4 && !ctx.ArgIs(3, "withvalues"))) {
    ctx.reply.Error(errors::kSyntax);
    return false;
  }
  options->with_values = ctx.args.size() == 4;
  if (options->with_values && (count < -kInt64Max / 2 || count > kInt64Max / 2)) {
    ctx.reply.Error("ERR value is out of range");
    return false;
  }
  return true;
}

void RandomFields(CommandContext& ctx) {
  RandomFieldOptions options;
  if (!ParseRandomField(ctx, &options)) return;
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kHash, &handle)) return;
  if (!handle || options.count == 0) return ctx.reply.EmptyArray();
  const HashValue hash(*handle.entry(), ctx.now_ms);
  const size_t size = hash.size();
  if (size == 0) return ctx.reply.EmptyArray();
  const uint64_t count = static_cast<uint64_t>(options.count < 0 ? -options.count : options.count);
  if (options.count < 0) {
    ReplyWithRepeats(ctx, hash, count, options.with_values);
  } else if (count >= size) {
    ReplyEveryField(ctx, hash, options.with_values);
  } else {
    ReplyDistinct(ctx, hash, count, options.with_values);
  }
}

void CmdHRandField(CommandContext& ctx) {
  if (ctx.args.size() > 2) return RandomFields(ctx);
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kHash, &handle)) return;
  if (!handle) return ctx.reply.Null();
  const HashValue hash(*handle.entry(), ctx.now_ms);
  if (!hash.has_expired()) return ReplyPacked(ctx, hash.NameAt(Draw(hash)));
  const Places places = AllPlaces(hash);
  if (places.empty()) return ctx.reply.Null();
  ReplyPacked(ctx, hash.NameAt(places[ThreadRandom().Below(places.size())]));
}

// ---- HSCAN ----

struct HashScan : CollectionScan {
  bool with_values = true;
};

bool ParseHashScan(CommandContext& ctx, HashScan* scan) {
  for (size_t i = 3; i < ctx.args.size(); i++) {
    const bool has_value = i + 1 < ctx.args.size();
    if (has_value && ctx.ArgIs(i, "count")) {
      if (!ctx.ParseInteger(++i, &scan->count)) return false;
      if (scan->count >= 1) continue;
    } else if (has_value && ctx.ArgIs(i, "match")) {
      scan->pattern = ctx.args[++i];
      scan->has_pattern = scan->pattern != "*";
      continue;
    } else if (ctx.ArgIs(i, "novalues")) {
      scan->with_values = false;
      continue;
    }
    ctx.reply.Error(errors::kSyntax);
    return false;
  }
  return true;
}

void ReplyScanHeader(CommandContext& ctx, const HashScan& scan, size_t fields) {
  char text[kInt64CharsMax];
  ctx.reply.Array(2);
  ctx.reply.Bulk({text, FormatUint64(scan.cursor, text)});
  ctx.reply.Array(scan.with_values ? fields * 2 : fields);
}

/// A listpack comes whole, whatever COUNT says: counted first, then written.
void ScanPack(CommandContext& ctx, const HashValue& hash, HashScan scan) {
  size_t fields = 0;
  hash.ForEach([&](std::string_view name, std::string_view) {
    fields += scan.Matches(name) ? 1 : 0;
    return true;
  });
  scan.cursor = 0;
  ReplyScanHeader(ctx, scan, fields);
  BulkWriter writer(ctx.reply);
  hash.ForEach([&](std::string_view name, std::string_view value) {
    if (!scan.Matches(name)) return true;
    writer.Add(name);
    if (scan.with_values) writer.Add(value);
    return true;
  });
}

void ScanTable(CommandContext& ctx, const HashValue& hash, HashScan scan) {
  struct Found {
    std::string_view name;
    std::string_view value;
  };
  std::vector<Found> found;
  found.reserve(static_cast<size_t>(std::min<int64_t>(scan.count, 1024)) + 8);
  int64_t seen = 0;
  int64_t buckets = scan.buckets_max();
  do {
    scan.cursor = hash.ScanTable(scan.cursor, [&](std::string_view name, std::string_view value) {
      seen++;
      if (scan.Matches(name)) found.push_back({name, value});
    });
  } while (scan.cursor != 0 && --buckets > 0 && seen < scan.count);
  ReplyScanHeader(ctx, scan, found.size());
  BulkWriter writer(ctx.reply);
  for (const Found& field : found) {
    writer.Add(field.name);
    if (scan.with_values) writer.Add(field.value);
  }
}

void CmdHScan(CommandContext& ctx) {
  HashScan scan;
  if (!ParseCollectionCursor(ctx, &scan)) return;
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kHash, &handle)) return;
  // A missing key is an empty scan, whatever the options say (Redis).
  if (!handle) {
    scan.cursor = 0;
    return ReplyScanHeader(ctx, scan, 0);
  }
  if (!ParseHashScan(ctx, &scan)) return;
  const HashValue hash(*handle.entry(), ctx.now_ms);
  if (hash.is_table()) return ScanTable(ctx, hash, scan);
  ScanPack(ctx, hash, scan);
}

// ---- Registration ----

constexpr HandlerRow kHandlers[] = {
    {"hdel", CmdHDel},       {"hexists", CmdHExists}, {"hget", CmdHGet},
    {"hgetall", CmdHGetAll}, {"hincrby", CmdHIncrBy}, {"hincrbyfloat", CmdHIncrByFloat},
    {"hkeys", CmdHKeys},     {"hlen", CmdHLen},       {"hmget", CmdHMGet},
    {"hmset", CmdHMSet},     {"hrandfield", CmdHRandField}, {"hscan", CmdHScan},
    {"hset", CmdHSet},       {"hsetnx", CmdHSetNx},   {"hstrlen", CmdHStrLen},
    {"hvals", CmdHVals},
};

}  // namespace

std::span<const HandlerRow> HashHandlers() { return kHandlers; }

}  // namespace sherd
