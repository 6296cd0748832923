// Times to live of hash fields: HEXPIRE, HTTL, HPERSIST and their like as in Redis 7.4; HGETEX, HSETEX and
// HGETDEL as in Redis 8.0.
//
// Every time becomes unix milliseconds at once, which is also the only form that is propagated:
//
//   HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT, HGETEX with a time   HPEXPIREAT, of the fields that changed
//   the same with a time that has passed                           HDEL, of the fields that went
//   HSETEX with a time                                             HSETEX with PXAT, or HDEL as above
//   HGETEX PERSIST, HGETDEL                                        HPERSIST, HDEL
//
// Must hold: a time that has passed deletes the fields at once; times fit kFieldTimeMax. Each command's
// checks come in Redis's order, which differs from command to command, as do their texts.
//
// Cost: O(1) for each field in a table (O(log n) where a time changes), a walk in a listpack.
//
// Thread: the one that holds the lease of the key.
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/numbers.h"
#include "base/strings.h"
#include "commands/families.h"
#include "commands/hash_edit.h"
#include "engine/command_context.h"
#include "engine/hash_value.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::FieldTtl;
using engine::Handle;
using engine::HandlerRow;
using engine::HashValue;
using engine::Key;
using engine::kNoExpiry;
using engine::Type;
using Names = std::span<const std::string_view>;
using Line = std::vector<std::string_view>;
namespace errors = engine::errors;

// Redis keeps two of the 48 bits of its times for later: 2^46 - 1 ms, the year 4199.
constexpr int64_t kFieldTimeMax = (int64_t{1} << 46) - 1;

enum class Unit : uint8_t { kSeconds, kMilliseconds };
enum class Base : uint8_t { kNow, kEpoch };

// What is said of each field.
constexpr int64_t kNoField = -2;
constexpr int64_t kNoTime = -1;
constexpr int64_t kNotMet = 0;
constexpr int64_t kDone = 1;
constexpr int64_t kDeleted = 2;

// ---- Parsing ----

/// Parses args[index] as a time. Replies with the error itself.
bool ParseTime(CommandContext& ctx, size_t index, Unit unit, Base base, int64_t* at_ms) {
  int64_t value;
  if (!ctx.ParseInteger(index, &value)) return false;
  if (value < 0) {
    ctx.reply.Error("ERR invalid expire time, must be >= 0");
    return false;
  }
  const int64_t from_ms = base == Base::kNow ? ctx.now_ms : 0;
  const bool fits = unit == Unit::kMilliseconds || value <= kFieldTimeMax / 1000;
  if (fits && unit == Unit::kSeconds) value *= 1000;
  if (!fits || value > kFieldTimeMax - from_ms) {
    ctx.reply.Error(std::string("ERR invalid expire time in '") + ctx.spec->full_name + "' command");
    return false;
  }
  *at_ms = from_ms + value;
  return true;
}

constexpr std::string_view kPositiveNumFields = "ERR Parameter `numFields` should be greater than 0";
constexpr std::string_view kPositiveFieldCount = "ERR Number of fields must be a positive integer";

/// FIELDS at args[index], their number and then exactly that many. `count_error`: what is said of a number
/// that is none.
bool ParseFields(CommandContext& ctx, size_t index, std::string_view count_error, Names* names) {
  if (!ctx.ArgIs(index, "fields")) {
    ctx.reply.Error("ERR Mandatory argument FIELDS is missing or not at the right position");
    return false;
  }
  // Only HGETEX can end here, where its arity counts the words of an option.
  if (index + 1 >= ctx.args.size()) {
    ctx.RefuseArity();
    return false;
  }
  int64_t count;
  if (!ctx.ParseIntegerIn(index + 1, 1, std::numeric_limits<int64_t>::max(), &count, count_error)) {
    return false;
  }
  *names = ctx.args.subspan(index + 2);
  if (static_cast<uint64_t>(count) == names->size()) return true;
  ctx.reply.Error("ERR The `numfields` parameter must match the number of arguments");
  return false;
}

void ReplyEach(CommandContext& ctx, size_t count, int64_t code) {
  ctx.reply.Array(count);
  while (count-- > 0) ctx.reply.Integer(code);
}

// ---- Effects ----

/// The words of an effect with the fields it is about, kept only while somebody listens.
class Effect {
 public:
  explicit Effect(const CommandContext& ctx) : is_wanted_(ctx.is_propagating()) {}
  void Add(std::string_view name) {
    count_++;
    if (is_wanted_) names_.push_back(name);
  }
  int64_t count() const { return count_; }

  /// HDEL key name …
  void PropagateDeletion(CommandContext& ctx, const Key& key) const {
    if (!is_wanted_) return;
    Line line = {"HDEL", key.name};
    line.insert(line.end(), names_.begin(), names_.end());
    ctx.Propagate(ctx.db, line);
  }
  /// `line` and FIELDS count name …
  void PropagateWithFields(CommandContext& ctx, Line line) const {
    if (!is_wanted_) return;
    char text[kInt64CharsMax];
    line.push_back("FIELDS");
    line.push_back({text, FormatInt64(count_, text)});
    line.insert(line.end(), names_.begin(), names_.end());
    ctx.Propagate(ctx.db, line);
  }

 private:
  bool is_wanted_;
  int64_t count_ = 0;
  Line names_;
};

/// Fields were deleted, and with the last one the key.
void ReportDeletion(CommandContext& ctx, const Key& key, const Effect& deleted, bool is_gone) {
  ctx.AddDirty(deleted.count());
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventHash, "hdel", key);
  if (is_gone) ctx.Notify(engine::kEventGeneric, "del", key);
  deleted.PropagateDeletion(ctx, key);
}

void ReportChange(CommandContext& ctx, const Key& key, const Effect& changed, const char* event) {
  ctx.AddDirty(changed.count());
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventHash, event, key);
}

/// The fields got another time. `condition`: a word to repeat, or none.
void ReportTime(CommandContext& ctx, const Key& key, const Effect& changed, int64_t at_ms,
                std::string_view condition) {
  ReportChange(ctx, key, changed, "hexpire");
  if (!ctx.is_propagating()) return;
  char text[kInt64CharsMax];
  Line line = {"HPEXPIREAT", key.name, {text, FormatInt64(at_ms, text)}};
  if (!condition.empty()) line.push_back(condition);
  changed.PropagateWithFields(ctx, line);
}

// ---- HEXPIRE and its like ----

enum class Condition : uint8_t { kAlways, kNx, kXx, kGt, kLt };

Condition ParseCondition(const CommandContext& ctx, size_t index) {
  if (ctx.ArgIs(index, "nx")) return Condition::kNx;
  if (ctx.ArgIs(index, "xx")) return Condition::kXx;
  if (ctx.ArgIs(index, "gt")) return Condition::kGt;
  return ctx.ArgIs(index, "lt") ? Condition::kLt : Condition::kAlways;
}

/// Without a time a field counts as living for ever.
bool Allows(Condition condition, int64_t present_ms, int64_t at_ms) {
  const bool has_time = present_ms != kNoExpiry;
  switch (condition) {
    case Condition::kAlways: return true;
    case Condition::kNx: return !has_time;
    case Condition::kXx: return has_time;
    case Condition::kGt: return has_time && at_ms > present_ms;
    case Condition::kLt: return !has_time || at_ms < present_ms;
  }
  return false;
}

/// What became of one field, which has its reply code.
int64_t ExpireField(HashEdit& edit, std::string_view name, Condition condition, int64_t at_ms,
                    bool is_past) {
  const HashValue::Place place = edit.value().Find(name);
  if (!place) return kNoField;
  if (!Allows(condition, edit.value().ExpiryAt(place), at_ms)) return kNotMet;
  if (is_past) {
    edit.Erase(name);
    return kDeleted;
  }
  edit.SetExpiry(place, at_ms);
  return kDone;
}

void ExpireFields(CommandContext& ctx, Unit unit, Base base) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kHash, &handle)) return;
  int64_t at_ms;
  if (!ParseTime(ctx, 2, unit, base, &at_ms)) return;
  const Condition condition = ParseCondition(ctx, 3);
  const size_t fields_index = condition == Condition::kAlways ? 3 : 4;
  Names names;
  if (!ParseFields(ctx, fields_index, kPositiveNumFields, &names)) return;
  if (!handle) return ReplyEach(ctx, names.size(), kNoField);

  const bool is_past = at_ms <= ctx.now_ms;
  HashEdit edit(ctx, key, handle);
  Effect changed(ctx);
  ctx.reply.Array(names.size());
  for (const std::string_view name : names) {
    const int64_t code = ExpireField(edit, name, condition, at_ms, is_past);
    if (code > kNotMet) changed.Add(name);
    ctx.reply.Integer(code);
  }
  const bool is_gone = edit.CloseOrDelete();
  if (changed.count() == 0) return;
  if (is_past) return ReportDeletion(ctx, key, changed, is_gone);
  ReportTime(ctx, key, changed, at_ms, condition == Condition::kAlways ? "" : ctx.args[3]);
}

void CmdHExpire(CommandContext& ctx) { ExpireFields(ctx, Unit::kSeconds, Base::kNow); }
void CmdHPExpire(CommandContext& ctx) { ExpireFields(ctx, Unit::kMilliseconds, Base::kNow); }
void CmdHExpireAt(CommandContext& ctx) { ExpireFields(ctx, Unit::kSeconds, Base::kEpoch); }
void CmdHPExpireAt(CommandContext& ctx) { ExpireFields(ctx, Unit::kMilliseconds, Base::kEpoch); }

// ---- HTTL and its like, HPERSIST ----

/// The field's time as the command tells it; seconds are rounded up.
int64_t ShownTime(int64_t at_ms, int64_t now_ms, Unit unit, Base base) {
  const int64_t value_ms = base == Base::kNow ? at_ms - now_ms : at_ms;
  return unit == Unit::kSeconds ? (value_ms + 999) / 1000 : value_ms;
}

void ReplyTimes(CommandContext& ctx, Unit unit, Base base) {
  Handle handle;
  if (!ctx.FindRead(ctx.key(0), Type::kHash, &handle)) return;
  Names names;
  if (!ParseFields(ctx, 2, kPositiveFieldCount, &names)) return;
  if (!handle) return ReplyEach(ctx, names.size(), kNoField);
  const HashValue hash(*handle.entry(), ctx.now_ms);
  ctx.reply.Array(names.size());
  for (const std::string_view name : names) {
    const HashValue::Place place = hash.Find(name);
    const int64_t at_ms = place ? hash.ExpiryAt(place) : kNoExpiry;
    if (at_ms == kNoExpiry) {
      ctx.reply.Integer(place ? kNoTime : kNoField);
    } else {
      ctx.reply.Integer(ShownTime(at_ms, ctx.now_ms, unit, base));
    }
  }
}

void CmdHTtl(CommandContext& ctx) { ReplyTimes(ctx, Unit::kSeconds, Base::kNow); }
void CmdHPTtl(CommandContext& ctx) { ReplyTimes(ctx, Unit::kMilliseconds, Base::kNow); }
void CmdHExpireTime(CommandContext& ctx) { ReplyTimes(ctx, Unit::kSeconds, Base::kEpoch); }
void CmdHPExpireTime(CommandContext& ctx) { ReplyTimes(ctx, Unit::kMilliseconds, Base::kEpoch); }

int64_t PersistField(HashEdit& edit, std::string_view name) {
  const HashValue::Place place = edit.value().Find(name);
  if (!place) return kNoField;
  if (edit.value().ExpiryAt(place) == kNoExpiry) return kNoTime;
  edit.SetExpiry(place, kNoExpiry);
  return kDone;
}

void CmdHPersist(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kHash, &handle)) return;
  Names names;
  if (!ParseFields(ctx, 2, kPositiveFieldCount, &names)) return;
  if (!handle) return ReplyEach(ctx, names.size(), kNoField);
  HashEdit edit(ctx, key, handle);
  Effect changed(ctx);
  ctx.reply.Array(names.size());
  for (const std::string_view name : names) {
    const int64_t code = PersistField(edit, name);
    if (code == kDone) changed.Add(name);
    ctx.reply.Integer(code);
  }
  edit.Close();
  if (changed.count() > 0) ReportChange(ctx, key, changed, "hpersist");
}

// ---- HGETDEL ----

/// Replies with the field's value, or nil.
HashValue::Place ReplyValue(CommandContext& ctx, const HashValue& hash, std::string_view name) {
  const HashValue::Place place = hash.Find(name);
  if (place) {
    ReplyPacked(ctx, hash.ValueAt(place));
  } else {
    ctx.reply.Null();
  }
  return place;
}

void ReplyNulls(CommandContext& ctx, size_t count) {
  ctx.reply.Array(count);
  while (count-- > 0) ctx.reply.Null();
}

void CmdHGetDel(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kHash, &handle)) return;
  Names names;
  if (!ParseFields(ctx, 2, kPositiveFieldCount, &names)) return;
  if (!handle) return ReplyNulls(ctx, names.size());
  HashEdit edit(ctx, key, handle);
  Effect deleted(ctx);
  ctx.reply.Array(names.size());
  for (const std::string_view name : names) {
    if (!ReplyValue(ctx, edit.value(), name)) continue;
    edit.Erase(name);
    deleted.Add(name);
  }
  const bool is_gone = edit.CloseOrDelete();
  if (deleted.count() > 0) ReportDeletion(ctx, key, deleted, is_gone);
}

// ---- Times as options: HGETEX and HSETEX ----

struct TimeWord {
  std::string_view word;
  Unit unit;
  Base base;
};
constexpr TimeWord kTimeWords[] = {
    {"ex", Unit::kSeconds, Base::kNow},
    {"px", Unit::kMilliseconds, Base::kNow},
    {"exat", Unit::kSeconds, Base::kEpoch},
    {"pxat", Unit::kMilliseconds, Base::kEpoch},
};

const TimeWord* FindTimeWord(const CommandContext& ctx, size_t index) {
  for (const TimeWord& row : kTimeWords) {
    if (ctx.ArgIs(index, row.word)) return &row;
  }
  return nullptr;
}

enum class GetExTtl : uint8_t { kNone, kTime, kPersist };

struct GetExOptions {
  GetExTtl ttl = GetExTtl::kNone;
  int64_t at_ms = 0;
  Names names;
};

/// At most one option, right behind the key.
bool ParseGetEx(CommandContext& ctx, GetExOptions* options) {
  size_t fields_index = 2;
  if (const TimeWord* row = FindTimeWord(ctx, 2)) {
    options->ttl = GetExTtl::kTime;
    if (!ParseTime(ctx, 3, row->unit, row->base, &options->at_ms)) return false;
    fields_index = 4;
  } else if (ctx.ArgIs(2, "persist")) {
    options->ttl = GetExTtl::kPersist;
    fields_index = 3;
  }
  return ParseFields(ctx, fields_index, kPositiveFieldCount, &options->names);
}

/// Does to one field, which exists, what the option says. False: nothing was to do.
bool OpGetExField(HashEdit& edit, std::string_view name, const HashValue::Place& place,
                  const GetExOptions& options, bool is_past) {
  if (options.ttl == GetExTtl::kNone) return false;
  if (options.ttl == GetExTtl::kPersist) return PersistField(edit, name) == kDone;
  if (is_past) return edit.Erase(name);
  edit.SetExpiry(place, options.at_ms);
  return true;
}

void CmdHGetEx(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kHash, &handle)) return;
  GetExOptions options;
  if (!ParseGetEx(ctx, &options)) return;
  if (!handle) return ReplyNulls(ctx, options.names.size());

  const bool is_past = options.ttl == GetExTtl::kTime && options.at_ms <= ctx.now_ms;
  HashEdit edit(ctx, key, handle);
  Effect changed(ctx);
  ctx.reply.Array(options.names.size());
  for (const std::string_view name : options.names) {
    const HashValue::Place place = ReplyValue(ctx, edit.value(), name);
    if (place && OpGetExField(edit, name, place, options, is_past)) changed.Add(name);
  }
  const bool is_gone = edit.CloseOrDelete();
  if (changed.count() == 0) return;
  if (is_past) return ReportDeletion(ctx, key, changed, is_gone);
  if (options.ttl == GetExTtl::kTime) return ReportTime(ctx, key, changed, options.at_ms, "");
  ReportChange(ctx, key, changed, "hpersist");
  changed.PropagateWithFields(ctx, {"HPERSIST", key.name});
}

// ---- HSETEX ----

struct SetExOptions {
  bool if_missing = false;  // FNX
  bool if_exists = false;   // FXX
  bool keeps_ttl = false;
  size_t time_index = 0;    // of the word before the time; 0: none
  int64_t at_ms = 0;
  Names pairs;

  FieldTtl ttl() const { return keeps_ttl ? FieldTtl::kKeep : FieldTtl::kDrop; }
};

bool RefuseOption(CommandContext& ctx, std::string_view error) {
  ctx.reply.Error(error);
  return false;
}

/// FIELDS at args[index] with as many pairs as it says.
bool ParsePairs(CommandContext& ctx, size_t index, SetExOptions* options) {
  constexpr int64_t kCountMax = std::numeric_limits<int32_t>::max();
  if (index + 3 >= ctx.args.size()) {
    ctx.RefuseArity();
    return false;
  }
  int64_t count;
  if (!ctx.ParseIntegerIn(index + 1, 1, kCountMax, &count, "ERR invalid number of fields")) {
    return false;
  }
  options->pairs = ctx.args.subspan(index + 2);
  if (options->pairs.size() == static_cast<uint64_t>(count) * 2) return true;
  ctx.RefuseArity();
  return false;
}

/// Takes the option at args[*index], moving on to its last word.
bool ParseSetExOption(CommandContext& ctx, size_t* index, SetExOptions* options) {
  const TimeWord* row = FindTimeWord(ctx, *index);
  if (row != nullptr || ctx.ArgIs(*index, "keepttl")) {
    if (options->keeps_ttl || options->time_index != 0) {
      return RefuseOption(ctx, "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified");
    }
    if (row == nullptr) return options->keeps_ttl = true;
    if (*index + 1 >= ctx.args.size()) return RefuseOption(ctx, "ERR missing expire time");
    options->time_index = *index;
    return ParseTime(ctx, ++*index, row->unit, row->base, &options->at_ms);
  }
  bool* condition = ctx.ArgIs(*index, "fxx")   ? &options->if_exists
                    : ctx.ArgIs(*index, "fnx") ? &options->if_missing
                                               : nullptr;
  if (condition == nullptr) {
    return RefuseOption(ctx, "ERR unknown argument: " +
                                 std::string(ctx.args[*index].substr(0, ctx.args[*index].find('\0'))));
  }
  if (options->if_exists || options->if_missing) {
    return RefuseOption(ctx, "ERR Only one of FXX or FNX arguments can be specified");
  }
  return *condition = true;
}

bool ParseSetEx(CommandContext& ctx, SetExOptions* options) {
  for (size_t i = 2; i < ctx.args.size(); i++) {
    if (ctx.ArgIs(i, "fields")) return ParsePairs(ctx, i, options);
    if (!ParseSetExOption(ctx, &i, options)) return false;
  }
  // A line without FIELDS: Redis's documents and tests do not say what it answers.
  return RefuseOption(ctx, "ERR missing FIELDS argument");
}

/// Whether all fields are there (FXX), or none (FNX), or nobody asks.
bool MeetsCondition(CommandContext& ctx, Handle handle, const SetExOptions& options) {
  if (!options.if_exists && !options.if_missing) return true;
  if (!handle) return options.if_missing;
  const HashValue hash(*handle.entry(), ctx.now_ms);
  for (size_t i = 0; i < options.pairs.size(); i += 2) {
    if (static_cast<bool>(hash.Find(options.pairs[i])) != options.if_exists) return false;
  }
  return true;
}

void PropagateSetEx(CommandContext& ctx, const SetExOptions& options) {
  if (!ctx.is_propagating()) return;
  char text[kInt64CharsMax];
  Line line(ctx.args.begin(), ctx.args.end());
  line[options.time_index] = "PXAT";
  line[options.time_index + 1] = {text, FormatInt64(options.at_ms, text)};
  ctx.Propagate(ctx.db, line);
}

/// The fields were set with a time that has passed: they go again.
void DeletePast(CommandContext& ctx, const Key& key, const SetExOptions& options) {
  HashEdit edit(ctx, key, ctx.keyspace(key).Find(ctx.db, key));
  Effect deleted(ctx);
  for (size_t i = 0; i < options.pairs.size(); i += 2) {
    if (edit.Erase(options.pairs[i])) deleted.Add(options.pairs[i]);
  }
  const bool is_gone = edit.CloseOrDelete();
  ReportDeletion(ctx, key, deleted, is_gone);
}

void OpSetEx(CommandContext& ctx, const Key& key, Handle handle, const SetExOptions& options) {
  const bool has_time = options.time_index != 0;
  const bool is_past = has_time && options.at_ms <= ctx.now_ms;
  HashEdit edit(ctx, key, handle);
  edit.PrepareFor(options.pairs);
  for (size_t i = 0; i < options.pairs.size(); i += 2) {
    edit.Set(options.pairs[i], options.pairs[i + 1], options.ttl());
    if (has_time && !is_past) edit.SetExpiry(edit.value().Find(options.pairs[i]), options.at_ms);
  }
  edit.Close();
  ctx.AddDirty(static_cast<int64_t>(options.pairs.size() / 2));
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventHash, "hset", key);
  if (is_past) return DeletePast(ctx, key, options);
  if (!has_time) return;
  ctx.Notify(engine::kEventHash, "hexpire", key);
  PropagateSetEx(ctx, options);
}

void CmdHSetEx(CommandContext& ctx) {
  SetExOptions options;
  if (!ParseSetEx(ctx, &options)) return;
  const Key& key = ctx.key(0);
  Handle handle;
  if (!ctx.FindWrite(key, Type::kHash, &handle)) return;
  if (!MeetsCondition(ctx, handle, options)) return ctx.reply.Integer(0);
  OpSetEx(ctx, key, handle, options);
  ctx.reply.Integer(1);
}

// ---- Registration ----

constexpr HandlerRow kHandlers[] = {
    {"hexpire", CmdHExpire},
    {"hexpireat", CmdHExpireAt},
    {"hexpiretime", CmdHExpireTime},
    {"hgetdel", CmdHGetDel},
    {"hgetex", CmdHGetEx},
    {"hpersist", CmdHPersist},
    {"hpexpire", CmdHPExpire},
    {"hpexpireat", CmdHPExpireAt},
    {"hpexpiretime", CmdHPExpireTime},
    {"hpttl", CmdHPTtl},
    {"hsetex", CmdHSetEx},
    {"httl", CmdHTtl},
};

}  // namespace

std::span<const HandlerRow> HashFieldTtlHandlers() { return kHandlers; }

}  // namespace sherd
