// HyperLogLog: PFADD, PFCOUNT, PFMERGE, and what looks inside.
//
// A sketch is a string value; its bytes and their changes are ds/hyperloglog.h's. A dense sketch is
// changed where it lies. A sparse one is small and its size changes, so it is changed in a copy on
// the stack and written back if anything changed.
//
// Whatever a client SET may be taken for a sketch. Bytes that cannot be one are refused before
// anything is touched, opcodes that do not add up when they are met.
//
// PFCOUNT of one key stores its estimate in the value and reports that as a change, as in Redis.
//
// Thread: the one that holds the leases of the keys.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/numbers.h"
#include "base/strings.h"
#include "commands/families.h"
#include "ds/hyperloglog.h"
#include "engine/command_context.h"

namespace sherd {
namespace {

using ds::HllChange;
using ds::HllElement;
using ds::HllRegisters;
using ds::HllSketch;
using engine::CommandContext;
using engine::Handle;
using engine::HandlerRow;
using engine::Key;
using engine::kNoExpiry;
using engine::StringForm;
using engine::Type;

constexpr std::string_view kCorrupt = "INVALIDOBJ Corrupted HLL object detected";

// ---- Values ----

// The sketch at `handle`. False: replied that there is none.
bool ReadSketch(CommandContext& ctx, Handle handle, std::string_view* sketch) {
  if (!ctx.ExpectType(handle, Type::kString)) return false;
  // No integer is a sketch, so its text is not needed.
  if (handle.entry()->encoding() != engine::Encoding::kInt) {
    *sketch = engine::StringBytes(*handle.entry(), nullptr);
    if (ds::IsHll(*sketch)) return true;
  }
  ctx.reply.Error("WRONGTYPE Key is not a valid HyperLogLog string value.");
  return false;
}

// The sketch's bytes for changes that keep its length.
char* OpenSketch(CommandContext& ctx, const Key& key, Handle& handle, std::string_view sketch) {
  return ctx.MutableString(key, handle, sketch.size());
}

// Stores a sketch that was changed apart. `handle`: the key's, or empty.
void StoreSketch(CommandContext& ctx, const Key& key, Handle handle, const HllSketch& sketch) {
  const std::string_view bytes = sketch.bytes();
  // A dense sketch never grows again, so it gets a block of just its size.
  if (!handle || sketch.is_dense()) {
    const int64_t expiry_ms = handle ? handle.entry()->expiry_ms() : kNoExpiry;
    ctx.SetString(key, handle, bytes, StringForm::kRaw, expiry_ms);
    return;
  }
  std::memcpy(ctx.MutableString(key, handle, bytes.size()), bytes.data(), bytes.size());
}

size_t SparseSizeMax(CommandContext& ctx) {
  return static_cast<size_t>(ctx.options().hll_sparse_max_bytes.Get());
}

// ---- PFADD ----

struct Added {
  int64_t changed = 0;  // elements that raised a register, and the key if it is new
  bool is_corrupt = false;
};

// Adds the elements of the line, up to the first that finds the sketch corrupt.
Added AddToSparse(CommandContext& ctx, HllSketch* sketch) {
  const size_t size_max = SparseSizeMax(ctx);
  Added added;
  for (size_t i = 2; i < ctx.args.size() && !added.is_corrupt; i++) {
    const HllChange change = sketch->Set(ds::HllHash(ctx.args[i]), size_max);
    if (change == HllChange::kRaised) added.changed++;
    added.is_corrupt = change == HllChange::kCorrupt;
  }
  return added;
}

Added OpAddNew(CommandContext& ctx, const Key& key) {
  HllSketch sketch;
  Added added = AddToSparse(ctx, &sketch);
  added.changed++;
  ds::HllInvalidateCount(sketch.data());
  StoreSketch(ctx, key, {}, sketch);
  ctx.Notify(engine::kEventNew, "new", key);
  return added;
}

Added OpAddDense(CommandContext& ctx, char* bytes) {
  Added added;
  for (size_t i = 2; i < ctx.args.size(); i++) {
    if (ds::HllDenseSet(bytes, ds::HllHash(ctx.args[i]))) added.changed++;
  }
  if (added.changed > 0) ds::HllInvalidateCount(bytes);
  return added;
}

Added OpAddSparse(CommandContext& ctx, const Key& key, Handle handle, std::string_view bytes) {
  HllSketch sketch(bytes);
  const Added added = AddToSparse(ctx, &sketch);
  if (added.changed > 0) {
    ds::HllInvalidateCount(sketch.data());
    StoreSketch(ctx, key, handle, sketch);
  } else {
    OpenSketch(ctx, key, handle, bytes);  // the encoding becomes raw, changed or not
  }
  return added;
}

void CmdPfAdd(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle = ctx.LookupWrite(key);
  Added added;
  if (!handle) {
    added = OpAddNew(ctx, key);
  } else {
    std::string_view bytes;
    if (!ReadSketch(ctx, handle, &bytes)) return;
    added = ds::IsHllDense(bytes) ? OpAddDense(ctx, OpenSketch(ctx, key, handle, bytes))
                                  : OpAddSparse(ctx, key, handle, bytes);
  }
  if (added.changed > 0) {
    ctx.SignalModified(key);
    if (!added.is_corrupt) ctx.Notify(engine::kEventString, "pfadd", key);
    ctx.AddDirty(added.changed);
  }
  // What was added before the corruption was met stays, as in Redis, and is replayed: the same line
  // stops at the same element everywhere.
  if (added.is_corrupt) return ctx.reply.Error(kCorrupt);
  ctx.reply.Integer(added.changed > 0 ? 1 : 0);
}

// ---- PFCOUNT ----

void CountOne(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle = ctx.LookupRead(key);
  if (!handle) return ctx.reply.Integer(0);
  std::string_view sketch;
  if (!ReadSketch(ctx, handle, &sketch)) return;
  uint64_t count = 0;
  if (ds::HllCachedCount(sketch, &count)) {
    // Redis makes the value raw here too.
    if (handle.entry()->encoding() != engine::Encoding::kRaw) OpenSketch(ctx, key, handle, sketch);
    return ctx.reply.Integer(static_cast<int64_t>(count));
  }
  if (!ds::HllCount(sketch, &count)) return ctx.reply.Error(kCorrupt);
  ds::HllStoreCount(OpenSketch(ctx, key, handle, sketch), count);
  ctx.SignalModified(key);
  ctx.AddDirty(1);
  ctx.reply.Integer(static_cast<int64_t>(count));
}

void CmdPfCount(CommandContext& ctx) {
  if (ctx.keys.size() == 1) return CountOne(ctx);
  HllRegisters registers{};
  for (const Key& key : ctx.keys) {
    const Handle handle = ctx.LookupRead(key);
    if (!handle) continue;
    std::string_view sketch;
    if (!ReadSketch(ctx, handle, &sketch)) return;
    if (!ds::HllMerge(sketch, &registers)) return ctx.reply.Error(kCorrupt);
  }
  ctx.reply.Integer(static_cast<int64_t>(ds::HllCountRegisters(registers)));
}

// ---- PFMERGE ----

// Makes the target hold exactly `registers`, of which its own are part.
void OpMergeInto(CommandContext& ctx, const Key& target, const HllRegisters& registers,
                 bool is_dense) {
  Handle handle = ctx.LookupWrite(target);
  std::string_view old;
  if (handle) old = engine::StringBytes(*handle.entry(), nullptr);
  if (handle && ds::IsHllDense(old)) {
    char* bytes = OpenSketch(ctx, target, handle, old);
    ds::HllDenseStore(bytes, registers);
    ds::HllInvalidateCount(bytes);
    return;
  }
  HllSketch empty;
  HllSketch sketch(handle ? old : empty.bytes());
  // The sources were whole, and the target is one of them.
  if (is_dense) {
    CHECK(sketch.MakeDense());
    ds::HllDenseStore(sketch.data(), registers);
  } else {
    CHECK(sketch.SetAll(registers, SparseSizeMax(ctx)));
  }
  ds::HllInvalidateCount(sketch.data());
  StoreSketch(ctx, target, handle, sketch);
  if (!handle) ctx.Notify(engine::kEventNew, "new", target);
}

void CmdPfMerge(CommandContext& ctx) {
  HllRegisters registers{};
  bool is_dense = false;
  for (const Key& key : ctx.keys) {
    const Handle handle = ctx.LookupRead(key);
    if (!handle) continue;
    std::string_view sketch;
    if (!ReadSketch(ctx, handle, &sketch)) return;
    is_dense = is_dense || ds::IsHllDense(sketch);
    if (!ds::HllMerge(sketch, &registers)) return ctx.reply.Error(kCorrupt);
  }
  const Key& target = ctx.key(0);
  OpMergeInto(ctx, target, registers, is_dense);
  ctx.SignalModified(target);
  ctx.Notify(engine::kEventString, "pfadd", target);  // a merge is the adding of many elements
  ctx.AddDirty(1);
  ctx.reply.Ok();
}

// ---- PFDEBUG ----

// Makes the sketch at the key dense. False: replied that it is corrupt.
bool OpMakeDense(CommandContext& ctx, const Key& key, Handle handle, std::string_view bytes) {
  HllSketch sketch(bytes);
  if (!sketch.MakeDense()) {
    ctx.reply.Error(kCorrupt);
    return false;
  }
  StoreSketch(ctx, key, handle, sketch);
  ctx.AddDirty(1);  // the encoding is to change everywhere
  return true;
}

void DebugGetReg(CommandContext& ctx, const Key& key, Handle handle, std::string_view bytes) {
  HllRegisters registers{};
  if (!ds::HllMerge(bytes, &registers)) return ctx.reply.Error(kCorrupt);
  if (!ds::IsHllDense(bytes) && !OpMakeDense(ctx, key, handle, bytes)) return;
  ctx.reply.Array(registers.size());
  for (const uint8_t value : registers) ctx.reply.Integer(value);
}

// The opcodes in words: "Z:8436 v:1,1 z:12": XZERO, VAL (value, length) and ZERO.
void DebugDecode(CommandContext& ctx, std::string_view bytes) {
  if (ds::IsHllDense(bytes)) return ctx.reply.Error("ERR HLL encoding is not sparse");
  std::string text;
  ds::HllRun run;
  // Half an opcode at the end is shown as if a zero followed: what Redis finds behind its strings.
  const std::string padded = std::string(bytes) + '\0';
  for (size_t offset = ds::kHllHeaderSize; offset < bytes.size(); offset += run.size) {
    CHECK(ds::HllReadRun(padded, offset, &run));
    if (!text.empty()) text += ' ';
    if (run.value == 0) {
      text += run.is_long ? "Z:" : "z:";
    } else {
      text += "v:" + std::to_string(run.value) + ',';
    }
    text += std::to_string(run.length);
  }
  ctx.reply.Bulk(text);
}

void CmdPfDebug(CommandContext& ctx) {
  const Key& key = ctx.key(0);
  Handle handle = ctx.LookupWrite(key);
  if (!handle) return ctx.reply.Error("ERR The specified key does not exist");
  std::string_view bytes;
  if (!ReadSketch(ctx, handle, &bytes)) return;
  bytes = {OpenSketch(ctx, key, handle, bytes), bytes.size()};
  if (ctx.ArgIs(1, "getreg")) return DebugGetReg(ctx, key, handle, bytes);
  if (ctx.ArgIs(1, "decode")) return DebugDecode(ctx, bytes);
  const bool is_dense = ds::IsHllDense(bytes);
  if (ctx.ArgIs(1, "encoding")) return ctx.reply.SimpleString(is_dense ? "dense" : "sparse");
  if (ctx.ArgIs(1, "todense")) {
    if (is_dense) return ctx.reply.Integer(0);
    if (OpMakeDense(ctx, key, handle, bytes)) ctx.reply.Integer(1);
    return;
  }
  ctx.reply.Error("ERR Unknown PFDEBUG subcommand '" + std::string(ctx.args[1]) + "'");
}

// ---- PFSELFTEST ----

// Adds 1 … 100,000 as texts to a sketch that starts sparse and to plain registers, and compares.
// Redis goes on to ten million, which stops the server for seconds; how many elements there are
// changes nothing in the code that is tested.
std::string_view SelfTest() {
  constexpr uint64_t kElements = 100'000;
  constexpr double kErrorMax = 0.0081 * 5;  // five standard deviations
  HllSketch sketch;
  HllRegisters registers{};
  uint64_t check_at = 1;
  for (uint64_t i = 1; i <= kElements; i++) {
    char digits[kInt64CharsMax];
    const HllElement element = ds::HllHash({digits, FormatUint64(i, digits)});
    if (registers[element.index] < element.value) registers[element.index] = element.value;
    if (sketch.Set(element, 3000) == HllChange::kCorrupt) return "a sparse sketch is corrupt";
    if (i != check_at) continue;
    check_at *= 10;
    uint64_t count = 0;
    if (!ds::HllCount(sketch.bytes(), &count)) return "a sketch is corrupt";
    if (count != ds::HllCountRegisters(registers)) return "two encodings disagree";
    const double error = static_cast<double>(count) - static_cast<double>(i);
    if (std::abs(error) > kErrorMax * static_cast<double>(i) + 1) return "an estimate is far off";
  }
  HllRegisters merged{};
  if (!ds::HllMerge(sketch.bytes(), &merged) || merged != registers) return "registers are wrong";
  return {};
}

void CmdPfSelfTest(CommandContext& ctx) {
  const std::string_view failure = SelfTest();
  if (failure.empty()) return ctx.reply.Ok();
  ctx.reply.Error("ERR TESTFAILED " + std::string(failure));
}

// ---- Registration ----

constexpr HandlerRow kHandlers[] = {
    {"pfadd", CmdPfAdd},     {"pfcount", CmdPfCount},       {"pfdebug", CmdPfDebug},
    {"pfmerge", CmdPfMerge}, {"pfselftest", CmdPfSelfTest},
};

}  // namespace

std::span<const HandlerRow> HyperLogLogHandlers() { return kHandlers; }

}  // namespace sherd
