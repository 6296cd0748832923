// Bitmaps: strings as rows of bits. BITFIELD has a file of its own, bitfield_commands.cc.
//
// A bitmap is a string like any other; what these commands wrote has encoding raw. The loops over
// long strings are base/bits.h's. BITOP's result goes straight into the block that becomes the
// value: the destination's own one if it is long enough and nobody else reads it, else a new one,
// so that nothing is cleared before it is written.
//
// BITOP knows DIFF, DIFF1, ANDOR and ONE besides the operations of Redis 7.2, as Redis 8.2 does.
//
// Thread: the one that holds the leases of the keys.
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bits.h"
#include "base/strings.h"
#include "commands/bit_access.h"
#include "commands/families.h"
#include "engine/command_context.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Entry;
using engine::Handle;
using engine::HandlerRow;
using engine::IntegerText;
using engine::Key;
using engine::kNoExpiry;
using engine::LargeString;
using engine::StringForm;
using engine::Type;
namespace errors = engine::errors;

// ---- One bit ----

void CmdSetBit(CommandContext& ctx) {
  constexpr std::string_view kNotBit = "ERR bit is not an integer or out of range";
  uint64_t offset;
  int64_t bit;
  if (!ParseBitOffset(ctx, 2, 0, &offset) || !ctx.ParseIntegerIn(3, 0, 1, &bit, kNotBit)) return;
  const Key& key = ctx.key(0);
  WritableBits target;
  if (!OpenForBits(ctx, key, offset, &target)) return;

  unsigned char& byte = target.bytes[offset >> 3];
  const int shift = 7 - static_cast<int>(offset & 7);
  const int old = byte >> shift & 1;
  if (target.has_grown || old != bit) {
    byte = static_cast<unsigned char>((byte & ~(1 << shift)) | static_cast<int>(bit) << shift);
    ctx.AddDirty(1);
    ctx.SignalModified(key);
    ctx.Notify(engine::kEventString, "setbit", key);
  }
  ctx.reply.Integer(old);
}

void CmdGetBit(CommandContext& ctx) {
  uint64_t offset;
  if (!ParseBitOffset(ctx, 2, 0, &offset)) return;
  const Handle handle = ctx.LookupRead(ctx.key(0));
  if (!handle) return ctx.reply.Integer(0);
  if (!ctx.ExpectType(handle, Type::kString)) return;
  IntegerText text;
  const std::string_view bytes = engine::StringBytes(*handle.entry(), &text);
  if (offset >> 3 >= bytes.size()) return ctx.reply.Integer(0);
  ctx.reply.Integer(static_cast<unsigned char>(bytes[offset >> 3]) >> (7 - (offset & 7)) & 1);
}

// ---- Ranges ----

// A range as a client writes it: both ends inclusive, negative ones counted from the end.
struct Range {
  int64_t start = 0;
  int64_t end = -1;
  bool is_in_bits = false;

  bool ParseUnit(CommandContext& ctx, size_t index) {
    is_in_bits = ctx.ArgIs(index, "bit");
    if (is_in_bits || ctx.ArgIs(index, "byte")) return true;
    ctx.reply.Error(errors::kSyntax);
    return false;
  }

  // The bits it means in a string of `size` bytes. False: none.
  bool Resolve(size_t size, uint64_t* first_bit, uint64_t* last_bit) const {
    const int64_t length = static_cast<int64_t>(size) * (is_in_bits ? 8 : 1);
    int64_t from = start < 0 ? start + length : start;
    int64_t to = end < 0 ? end + length : end;
    if (from < 0) from = 0;
    if (to < 0) to = 0;
    if (to >= length) to = length - 1;
    if (from > to) return false;
    *first_bit = static_cast<uint64_t>(is_in_bits ? from : from * 8);
    *last_bit = static_cast<uint64_t>(is_in_bits ? to : to * 8 + 7);
    return true;
  }
};

uint64_t CountRange(std::string_view bytes, uint64_t first_bit, uint64_t last_bit) {
  const size_t first = first_bit >> 3;
  const size_t last = last_bit >> 3;
  const unsigned before = static_cast<unsigned char>(bytes[first]) & ~(0xffu >> (first_bit & 7));
  const unsigned behind = static_cast<unsigned char>(bytes[last]) & (0x7fu >> (last_bit & 7));
  return CountOnes(bytes.substr(first, last - first + 1)) -
         static_cast<uint64_t>(__builtin_popcount(before) + __builtin_popcount(behind));
}

// Index of the first bit equal to `bit`, last_bit + 1 if there is none.
uint64_t FindInRange(std::string_view bytes, bool bit, uint64_t first_bit, uint64_t last_bit) {
  uint64_t position = first_bit;
  for (; (position & 7) != 0 && position <= last_bit; position++) {
    const bool here = (static_cast<unsigned char>(bytes[position >> 3]) >> (7 - (position & 7)) & 1) != 0;
    if (here == bit) return position;
  }
  if (position > last_bit) return last_bit + 1;
  const size_t first = position >> 3;
  position += FindBit(bytes.substr(first, (last_bit >> 3) - first + 1), bit);
  return position > last_bit ? last_bit + 1 : position;
}

void CmdBitCount(CommandContext& ctx) {
  Range range;
  const size_t words = ctx.args.size();
  if (words == 4 || words == 5) {
    if (!ctx.ParseInteger(2, &range.start) || !ctx.ParseInteger(3, &range.end)) return;
    if (words == 5 && !range.ParseUnit(ctx, 4)) return;
  } else if (words != 2) {
    return ctx.reply.Error(errors::kSyntax);
  }
  const Handle handle = ctx.LookupRead(ctx.key(0));
  if (!handle) return ctx.reply.Integer(0);
  if (!ctx.ExpectType(handle, Type::kString)) return;
  // Redis looks at this before the length, so that -10 -20 is empty in a string of any length.
  if (range.start < 0 && range.end < 0 && range.start > range.end) return ctx.reply.Integer(0);
  IntegerText text;
  const std::string_view bytes = engine::StringBytes(*handle.entry(), &text);
  uint64_t first;
  uint64_t last;
  if (!range.Resolve(bytes.size(), &first, &last)) return ctx.reply.Integer(0);
  ctx.reply.Integer(static_cast<int64_t>(CountRange(bytes, first, last)));
}

void CmdBitPos(CommandContext& ctx) {
  int64_t bit;
  if (!ctx.ParseInteger(2, &bit)) return;
  if (bit != 0 && bit != 1) return ctx.reply.Error("ERR The bit argument must be 1 or 0.");
  Range range;
  const size_t words = ctx.args.size();
  if (words > 6) return ctx.reply.Error(errors::kSyntax);
  if (words >= 4 && !ctx.ParseInteger(3, &range.start)) return;
  if (words == 6 && !range.ParseUnit(ctx, 5)) return;
  if (words >= 5 && !ctx.ParseInteger(4, &range.end)) return;

  const Handle handle = ctx.LookupRead(ctx.key(0));
  // A missing key is an endless row of zeros.
  if (!handle) return ctx.reply.Integer(bit == 1 ? -1 : 0);
  if (!ctx.ExpectType(handle, Type::kString)) return;
  IntegerText text;
  const std::string_view bytes = engine::StringBytes(*handle.entry(), &text);
  uint64_t first;
  uint64_t last;
  if (!range.Resolve(bytes.size(), &first, &last)) return ctx.reply.Integer(-1);
  const uint64_t position = FindInRange(bytes, bit == 1, first, last);
  // Without an end, zeros follow the string; with one, nothing outside counts.
  const bool is_found = position <= last || (bit == 0 && words < 5);
  ctx.reply.Integer(is_found ? static_cast<int64_t>(position) : -1);
}

// ---- BITOP ----

struct OperationName {
  std::string_view name;
  BitOperation operation;
  bool needs_two_sources;
};
constexpr OperationName kOperations[] = {
    {"AND", BitOperation::kAnd, false},    {"OR", BitOperation::kOr, false},
    {"XOR", BitOperation::kXor, false},    {"NOT", BitOperation::kNot, false},
    {"DIFF", BitOperation::kDiff, true},   {"DIFF1", BitOperation::kDiff1, true},
    {"ANDOR", BitOperation::kAndOr, true}, {"ONE", BitOperation::kOne, false},
};

bool ParseOperation(CommandContext& ctx, BitOperation* operation) {
  for (const OperationName& row : kOperations) {
    if (!EqualsIgnoreCase(ctx.args[1], row.name)) continue;
    *operation = row.operation;
    const size_t sources = ctx.args.size() - 3;
    if (row.operation == BitOperation::kNot && sources != 1) {
      ctx.reply.Error("ERR BITOP NOT must be called with a single source key.");
      return false;
    }
    if (!row.needs_two_sources || sources >= 2) return true;
    ctx.reply.Error("ERR BITOP " + std::string(row.name) +
                    " must be called with at least two source keys.");
    return false;
  }
  ctx.reply.Error(errors::kSyntax);
  return false;
}

// The bytes of the sources; few of them need no allocation.
class Sources {
 public:
  explicit Sources(size_t count) : count_(count) {
    if (count <= kFewMax) return;
    many_views_.resize(count);
    many_texts_.resize(count);
  }
  void Set(size_t index, const Entry& entry) {
    view(index) = engine::StringBytes(
        entry, count_ <= kFewMax ? &few_texts_[index] : &many_texts_[index]);
    if (view(index).size() > length_) length_ = view(index).size();
  }
  std::span<const std::string_view> views() const {
    return {count_ <= kFewMax ? few_views_.data() : many_views_.data(), count_};
  }
  /// Of the longest one.
  size_t length() const { return length_; }

 private:
  static constexpr size_t kFewMax = 8;
  std::string_view& view(size_t index) {
    return count_ <= kFewMax ? few_views_[index] : many_views_[index];
  }

  size_t count_;
  size_t length_ = 0;
  std::array<std::string_view, kFewMax> few_views_;
  std::array<IntegerText, kFewMax> few_texts_;
  std::vector<std::string_view> many_views_;
  std::vector<IntegerText> many_texts_;
};

// Whether a result of `size` bytes may be written over the value of `entry`: a block that nobody
// else reads, not much larger than needed.
bool CanOverwrite(const Entry& entry, size_t size) {
  if (entry.type() != Type::kString || entry.is_inline()) return false;
  if (entry.encoding() != engine::Encoding::kRaw) return false;
  const LargeString* block = entry.large();
  return !block->IsShared() && block->capacity >= size && block->capacity / 2 <= size;
}

// Stores the combination of the sources. Sources may be the target's own value.
void StoreCombination(CommandContext& ctx, const Key& target, Handle existing,
                      BitOperation operation, const Sources& sources) {
  const size_t size = sources.length();
  if (existing && CanOverwrite(*existing.entry(), size)) {
    char* bytes = ctx.MutableString(target, existing, size);
    CombineBits(operation, sources.views(), bytes);
    return ctx.SetExpiry(target, existing, kNoExpiry);
  }
  if (size > Entry::kInlineMax) {
    LargeString* block = LargeString::Create(size);
    block->size = size;
    CombineBits(operation, sources.views(), block->data());
    ctx.keyspace(target).SetLarge(ctx.db, target, existing, block, kNoExpiry);
    return;
  }
  char result[Entry::kInlineMax];
  CombineBits(operation, sources.views(), result);
  ctx.SetString(target, existing, {result, size}, StringForm::kRaw, kNoExpiry);
}

void CmdBitOp(CommandContext& ctx) {
  BitOperation operation;
  if (!ParseOperation(ctx, &operation)) return;
  Sources sources(ctx.keys.size() - 1);
  for (size_t i = 1; i < ctx.keys.size(); i++) {
    const Handle handle = ctx.LookupRead(ctx.key(i));
    if (!handle) continue;
    if (!ctx.ExpectType(handle, Type::kString)) return;
    sources.Set(i - 1, *handle.entry());
  }
  const Key& target = ctx.key(0);
  const Handle existing = ctx.LookupWrite(target);
  if (sources.length() > 0) {
    StoreCombination(ctx, target, existing, operation, sources);
    if (!existing) ctx.Notify(engine::kEventNew, "new", target);
    ctx.SignalModified(target);
    ctx.Notify(engine::kEventString, "set", target);
    ctx.AddDirty(1);
  } else if (existing) {
    ctx.Delete(target, existing, static_cast<bool>(ctx.options().lazyfree_lazy_server_del));
    ctx.SignalModified(target);
    ctx.Notify(engine::kEventGeneric, "del", target);
    ctx.AddDirty(1);
  }
  ctx.reply.Integer(static_cast<int64_t>(sources.length()));
}

// ---- Registration ----

constexpr HandlerRow kHandlers[] = {
    {"bitcount", CmdBitCount}, {"bitop", CmdBitOp},   {"bitpos", CmdBitPos},
    {"getbit", CmdGetBit},     {"setbit", CmdSetBit},
};

}  // namespace

std::span<const HandlerRow> BitmapHandlers() { return kHandlers; }

}  // namespace sherd
