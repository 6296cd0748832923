// What the bitmap and the bitfield commands share: offsets of bits, and strings made long enough to
// hold one.
//
// Thread: the one that holds the lease of the key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/numbers.h"
#include "engine/command_context.h"

namespace sherd {

/// Parses args[index] as the offset of a bit. With `field_bits` > 0 also "#n", n fields of that
/// width. A bit beyond proto-max-bulk-len bytes is refused. Replies with the error itself.
inline bool ParseBitOffset(engine::CommandContext& ctx, size_t index, uint64_t field_bits,
                           uint64_t* offset) {
  std::string_view text = ctx.args[index];
  const bool counts_fields = field_bits > 0 && !text.empty() && text[0] == '#';
  if (counts_fields) text.remove_prefix(1);
  int64_t parsed;
  bool is_valid = ParseInt64(text, &parsed);
  // The product wraps, as Redis's does: "#2305843009213693952" of u8 is offset 0 there too.
  if (is_valid && counts_fields) {
    parsed = static_cast<int64_t>(static_cast<uint64_t>(parsed) * field_bits);
  }
  is_valid = is_valid && parsed >= 0 && parsed >> 3 < ctx.options().proto_max_bulk_len.Get();
  if (!is_valid) {
    ctx.reply.Error("ERR bit offset is not an integer or out of range");
    return false;
  }
  *offset = static_cast<uint64_t>(parsed);
  return true;
}

/// A string opened for writing.
struct WritableBits {
  unsigned char* bytes = nullptr;
  size_t size = 0;
  bool has_grown = false;  // created, or made longer

  std::string_view view() const { return {reinterpret_cast<const char*>(bytes), size}; }
};

/// Makes the key a raw string that has the bit `last_bit`, creating it or filling up with zeros.
/// The expiry stays. False: replied WRONGTYPE. `out->bytes` is valid until the entry changes.
inline bool OpenForBits(engine::CommandContext& ctx, const engine::Key& key, uint64_t last_bit,
                        WritableBits* out) {
  engine::Handle handle = ctx.LookupWrite(key);
  const bool existed = static_cast<bool>(handle);
  if (existed && !ctx.ExpectType(handle, engine::Type::kString)) return false;
  const size_t old_length = existed ? engine::StringLength(*handle.entry()) : 0;
  const size_t needed = static_cast<size_t>(last_bit >> 3) + 1;
  out->has_grown = needed > old_length;
  if (!existed) {
    handle = ctx.SetString(key, handle, "", engine::StringForm::kRaw, engine::kNoExpiry);
  }
  out->size = out->has_grown ? needed : old_length;
  char* bytes = ctx.MutableString(key, handle, out->size);
  out->bytes = reinterpret_cast<unsigned char*>(bytes);
  if (!existed) ctx.Notify(engine::kEventNew, "new", key);
  return true;
}

}  // namespace sherd
