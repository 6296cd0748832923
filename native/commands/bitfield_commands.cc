// BITFIELD and BITFIELD_RO: integers of 1 to 64 bits anywhere in a string.
//
// The line is parsed as a whole before anything is touched; then the string is made long enough for
// the farthest field that is written, and the operations run in order. A field of up to 64 bits lies
// in at most nine bytes:
//
//   offset 13, width 6:   byte 1: .....fff  byte 2: fff.....
//
// Its value is gathered byte by byte from the highest on, which costs less than the parsing of its
// three words did.
//
// Overflow is decided with 128-bit arithmetic: the exact sum is compared with the range of the type.
//
// Thread: the one that holds the lease of the key.
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/numbers.h"
#include "base/strings.h"
#include "commands/bit_access.h"
#include "commands/families.h"
#include "engine/command_context.h"

namespace sherd {
namespace {

using engine::CommandContext;
using engine::Handle;
using engine::HandlerRow;
using engine::IntegerText;
using engine::Key;
using engine::Type;
namespace errors = engine::errors;
using Wide = __int128;

enum class Operation : uint8_t { kGet, kSet, kIncrBy };
enum class Overflow : uint8_t { kWrap, kSaturate, kFail };

struct FieldType {
  bool is_signed = false;
  unsigned bits = 0;

  Wide low() const { return is_signed ? -(Wide{1} << (bits - 1)) : 0; }
  Wide high() const { return (Wide{1} << (is_signed ? bits - 1 : bits)) - 1; }
};

struct FieldOperation {
  Operation operation = Operation::kGet;
  Overflow overflow = Overflow::kWrap;
  FieldType type;
  uint64_t offset = 0;
  int64_t operand = 0;
};

// ---- Parsing ----

// "i5", "u12"; letters in lower case only, as in Redis.
bool ParseType(CommandContext& ctx, size_t index, FieldType* type) {
  const std::string_view text = ctx.args[index];
  int64_t bits = 0;
  if (!text.empty() && (text[0] == 'i' || text[0] == 'u') && ParseInt64(text.substr(1), &bits)) {
    type->is_signed = text[0] == 'i';
    // Replies are signed integers of 64 bits, hence no u64.
    if (bits >= 1 && bits <= (type->is_signed ? 64 : 63)) {
      type->bits = static_cast<unsigned>(bits);
      return true;
    }
  }
  ctx.reply.Error(
      "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
      "i64 is.");
  return false;
}

bool ParseOverflow(CommandContext& ctx, size_t index, Overflow* overflow) {
  if (ctx.ArgIs(index, "wrap")) {
    *overflow = Overflow::kWrap;
  } else if (ctx.ArgIs(index, "sat")) {
    *overflow = Overflow::kSaturate;
  } else if (ctx.ArgIs(index, "fail")) {
    *overflow = Overflow::kFail;
  } else {
    ctx.reply.Error("ERR Invalid OVERFLOW type specified");
    return false;
  }
  return true;
}

// The operations of a line. Up to eight need no allocation.
class Operations {
 public:
  size_t size() const { return size_; }
  void Add(const FieldOperation& operation) {
    if (size_ < kFewMax) {
      few_[size_] = operation;
    } else {
      more_.push_back(operation);
    }
    size_++;
    if (operation.operation == Operation::kGet) return;
    has_write_ = true;
    const uint64_t last = operation.offset + operation.type.bits - 1;
    if (last > last_written_bit_) last_written_bit_ = last;
  }
  const FieldOperation& operator[](size_t index) const {
    return index < kFewMax ? few_[index] : more_[index - kFewMax];
  }
  bool has_write() const { return has_write_; }
  uint64_t last_written_bit() const { return last_written_bit_; }

 private:
  static constexpr size_t kFewMax = 8;
  size_t size_ = 0;
  bool has_write_ = false;
  uint64_t last_written_bit_ = 0;
  std::array<FieldOperation, kFewMax> few_;
  std::vector<FieldOperation> more_;
};

// Takes one operation whose word stands at args[*index], moving on to its last word.
bool ParseOne(CommandContext& ctx, size_t* index, FieldOperation* operation) {
  const size_t start = *index;
  if (!ParseType(ctx, start + 1, &operation->type) ||
      !ParseBitOffset(ctx, start + 2, operation->type.bits, &operation->offset)) {
    return false;
  }
  *index = start + 2;
  if (operation->operation == Operation::kGet) return true;
  *index = start + 3;
  return ctx.ParseInteger(start + 3, &operation->operand);
}

bool ParseOperations(CommandContext& ctx, Operations* operations) {
  Overflow overflow = Overflow::kWrap;
  for (size_t i = 2; i < ctx.args.size(); i++) {
    const size_t behind = ctx.args.size() - i - 1;
    FieldOperation operation;
    operation.overflow = overflow;
    if (ctx.ArgIs(i, "get") && behind >= 2) {
      operation.operation = Operation::kGet;
    } else if (ctx.ArgIs(i, "set") && behind >= 3) {
      operation.operation = Operation::kSet;
    } else if (ctx.ArgIs(i, "incrby") && behind >= 3) {
      operation.operation = Operation::kIncrBy;
    } else if (ctx.ArgIs(i, "overflow") && behind >= 1) {
      if (!ParseOverflow(ctx, ++i, &overflow)) return false;
      continue;
    } else {
      ctx.reply.Error(errors::kSyntax);
      return false;
    }
    if (!ParseOne(ctx, &i, &operation)) return false;
    operations->Add(operation);
  }
  return true;
}

// ---- Fields ----

int64_t Extended(uint64_t value, FieldType type) {
  if (!type.is_signed) return static_cast<int64_t>(value);
  const unsigned unused = 64 - type.bits;
  return static_cast<int64_t>(value << unused) >> unused;
}

// What lies beyond the string reads as zero.
int64_t ReadField(std::string_view bytes, uint64_t offset, FieldType type) {
  uint64_t value = 0;
  uint64_t position = offset;
  unsigned left = type.bits;
  while (left > 0) {
    const unsigned skipped = position & 7;
    const unsigned taken = left < 8 - skipped ? left : 8 - skipped;
    const size_t index = position >> 3;
    const unsigned byte = index < bytes.size() ? static_cast<unsigned char>(bytes[index]) : 0;
    const unsigned part = byte >> (8 - skipped - taken) & ((1u << taken) - 1);
    value = value << taken | part;
    position += taken;
    left -= taken;
  }
  return Extended(value, type);
}

void WriteField(unsigned char* bytes, uint64_t offset, FieldType type, uint64_t value) {
  uint64_t position = offset;
  unsigned left = type.bits;
  while (left > 0) {
    const unsigned skipped = position & 7;
    const unsigned taken = left < 8 - skipped ? left : 8 - skipped;
    const unsigned shift = 8 - skipped - taken;
    const unsigned mask = (1u << taken) - 1;
    const unsigned part = static_cast<unsigned>(value >> (left - taken)) & mask;
    unsigned char& byte = bytes[position >> 3];
    byte = static_cast<unsigned char>((byte & ~(mask << shift)) | part << shift);
    position += taken;
    left -= taken;
  }
}

// The exact result of a write, and where it goes if it does not fit.
struct Exact {
  Wide value;
  bool saturates_high;
};

Exact Increment(int64_t old, const FieldOperation& operation) {
  const Wide sum = Wide{old} + operation.operand;
  return {sum, sum > operation.type.high()};
}

Exact Assign(const FieldOperation& operation) {
  const FieldType type = operation.type;
  // An unsigned field reads a negative operand as the huge unsigned number of its bits.
  if (!type.is_signed) return {Wide{static_cast<uint64_t>(operation.operand)}, true};
  // Redis computes the distance to the highest value in 64 bits. For operands near the lowest
  // integer it wraps, and they saturate at the wrong end; clients see it, so it is so here.
  const bool wraps = type.bits < 64 && type.high() - operation.operand > INT64_MAX;
  return {Wide{operation.operand}, wraps || operation.operand > type.high()};
}

// Brings an exact result into the range of the type. False: it overflows and must fail.
bool Fit(Exact exact, FieldType type, Overflow overflow, int64_t* value) {
  if (exact.value < type.low() || exact.value > type.high()) {
    if (overflow == Overflow::kFail) return false;
    if (overflow == Overflow::kSaturate) {
      exact.value = exact.saturates_high ? type.high() : type.low();
    } else {
      const unsigned unused = 64 - type.bits;
      exact.value = Extended(static_cast<uint64_t>(exact.value) << unused >> unused, type);
    }
  }
  *value = static_cast<int64_t>(exact.value);
  return true;
}

// Runs one write and replies. True: something changed, if only the length of the string.
bool OpWrite(CommandContext& ctx, const FieldOperation& operation, const WritableBits& target) {
  const int64_t old = ReadField(target.view(), operation.offset, operation.type);
  const bool is_set = operation.operation == Operation::kSet;
  const Exact exact = is_set ? Assign(operation) : Increment(old, operation);
  int64_t value;
  if (!Fit(exact, operation.type, operation.overflow, &value)) {
    ctx.reply.Null();
    return false;
  }
  WriteField(target.bytes, operation.offset, operation.type, static_cast<uint64_t>(value));
  ctx.reply.Integer(is_set ? old : value);
  return target.has_grown || old != value;
}

// ---- Commands ----

void ReadFields(CommandContext& ctx, const Operations& operations) {
  const Handle handle = ctx.LookupRead(ctx.key(0));
  if (handle && !ctx.ExpectType(handle, Type::kString)) return;
  IntegerText text;
  std::string_view bytes;
  if (handle) bytes = engine::StringBytes(*handle.entry(), &text);
  ctx.reply.Array(operations.size());
  for (size_t i = 0; i < operations.size(); i++) {
    ctx.reply.Integer(ReadField(bytes, operations[i].offset, operations[i].type));
  }
}

void WriteFields(CommandContext& ctx, const Operations& operations) {
  const Key& key = ctx.key(0);
  WritableBits target;
  if (!OpenForBits(ctx, key, operations.last_written_bit(), &target)) return;
  int64_t changes = 0;
  ctx.reply.Array(operations.size());
  for (size_t i = 0; i < operations.size(); i++) {
    const FieldOperation& operation = operations[i];
    if (operation.operation == Operation::kGet) {
      ctx.reply.Integer(ReadField(target.view(), operation.offset, operation.type));
    } else if (OpWrite(ctx, operation, target)) {
      changes++;
    }
  }
  if (changes == 0) return;
  ctx.AddDirty(changes);
  ctx.SignalModified(key);
  ctx.Notify(engine::kEventString, "setbit", key);
}

void CmdBitField(CommandContext& ctx) {
  Operations operations;
  if (!ParseOperations(ctx, &operations)) return;
  if (operations.has_write()) return WriteFields(ctx, operations);
  ReadFields(ctx, operations);
}

void CmdBitFieldRo(CommandContext& ctx) {
  Operations operations;
  if (!ParseOperations(ctx, &operations)) return;
  if (operations.has_write()) {
    return ctx.reply.Error("ERR BITFIELD_RO only supports the GET subcommand");
  }
  ReadFields(ctx, operations);
}

// ---- Registration ----

constexpr HandlerRow kHandlers[] = {
    {"bitfield", CmdBitField},
    {"bitfield_ro", CmdBitFieldRo},
};

}  // namespace

std::span<const HandlerRow> BitfieldHandlers() { return kHandlers; }

}  // namespace sherd
