// The common part of HSCAN, SSCAN and ZSCAN: the cursor, MATCH and COUNT.
//
// Redis looks at them in this order, and so must a handler: the cursor, the key (missing: an empty page
// whatever follows), its type, the options.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/glob.h"
#include "commands/scan_commands.h"
#include "engine/command_context.h"

namespace sherd {

struct CollectionScan {
  // Buckets looked at for each element asked for, so that a sparse table cannot make one call long (Redis).
  static constexpr int64_t kBucketsPerCount = 10;

  uint64_t cursor = 0;
  int64_t count = 10;
  std::string_view pattern;
  bool has_pattern = false;

  bool Matches(std::string_view element) const { return !has_pattern || GlobMatch(pattern, element); }
  int64_t buckets_max() const {
    return count > INT64_MAX / kBucketsPerCount ? INT64_MAX : count * kBucketsPerCount;
  }
};

/// Parses args[2]; replies with the error and returns false.
inline bool ParseCollectionCursor(engine::CommandContext& ctx, CollectionScan* scan) {
  if (ParseScanCursor(ctx.args[2], &scan->cursor)) return true;
  ctx.reply.Error(engine::errors::kInvalidCursor);
  return false;
}

/// Parses the options from args[3] on; replies with the error and returns false.
inline bool ParseCollectionScan(engine::CommandContext& ctx, CollectionScan* scan) {
  for (size_t i = 3; i < ctx.args.size(); i += 2) {
    const bool has_value = i + 1 < ctx.args.size();
    if (has_value && ctx.ArgIs(i, "count")) {
      if (!ctx.ParseInteger(i + 1, &scan->count)) return false;
      if (scan->count >= 1) continue;
    } else if (has_value && ctx.ArgIs(i, "match")) {
      scan->pattern = ctx.args[i + 1];
      scan->has_pattern = scan->pattern != "*";
      continue;
    }
    ctx.reply.Error(ScanOptionError(ctx.args[i]));
    return false;
  }
  return true;
}

}  // namespace sherd
