// What a SORT line asks for. Read twice: by the router, which must know whether patterns lead to
// keys that may be anywhere, and by the handler.
//
// Thread: any. Views point into the line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sherd {

/// The pattern of BY or GET, taken apart: "weight_*->field" is the key "weight_" + element, and a
/// field.
///
/// As in Redis, where patterns are C strings, nothing behind a zero byte is looked at for "*" and
/// "->", but what stands there belongs to the names.
struct SortPattern {
  enum class Kind : uint8_t {
    kElement,  // "#": the element itself
    kNothing,  // no "*": never found
    kString,   // the string at a key
    kField,    // a field of the hash at a key
  };
  Kind kind = Kind::kNothing;
  std::string_view prefix;  // before the "*"
  std::string_view suffix;  // behind it, without "->field"
  std::string_view field;

  static SortPattern Parse(std::string_view text);
  bool names_keys() const { return kind == Kind::kString || kind == Kind::kField; }
};

struct SortOptions {
  bool is_descending = false;
  bool is_alpha = false;
  bool is_unsorted = false;  // BY without "*": keep the order that is there
  bool has_by = false;
  SortPattern by;  // the last one
  std::vector<SortPattern> gets;
  int64_t limit_start = 0;
  int64_t limit_count = -1;
  size_t store_index = 0;  // argument that names the destination; 0: none

  /// Whether keys of any shard may be looked up.
  bool names_keys() const;
};

/// Parses the options behind the key. Returns the error to reply with, empty if there is none.
std::string_view ParseSortOptions(std::span<const std::string_view> args, bool may_store,
                                  SortOptions* options);

}  // namespace sherd
