// SORT's options. Redis reads them from left to right and stops at the first that is wrong; a later
// BY, LIMIT or STORE replaces an earlier one, but a BY without "*" anywhere means that nothing is
// sorted.
#include "commands/sort_options.h"

#include <algorithm>

#include "base/numbers.h"
#include "base/strings.h"
#include "engine/errors.h"

namespace sherd {

SortPattern SortPattern::Parse(std::string_view text) {
  SortPattern pattern;
  const std::string_view visible = UpToZero(text);
  if (visible == "#") {
    pattern.kind = Kind::kElement;
    return pattern;
  }
  const size_t star = visible.find('*');
  if (star == std::string_view::npos) return pattern;
  pattern.kind = Kind::kString;
  pattern.prefix = text.substr(0, star);
  pattern.suffix = text.substr(star + 1);
  const size_t arrow = visible.find("->", star + 1);
  if (arrow == std::string_view::npos || arrow + 2 >= visible.size()) return pattern;
  pattern.kind = Kind::kField;
  pattern.field = text.substr(arrow + 2);
  pattern.suffix = text.substr(star + 1, arrow - star - 1);
  return pattern;
}

bool SortOptions::names_keys() const {
  if (has_by && !is_unsorted && by.names_keys()) return true;
  return std::any_of(gets.begin(), gets.end(),
                     [](const SortPattern& get) { return get.names_keys(); });
}

std::string_view ParseSortOptions(std::span<const std::string_view> args, bool may_store,
                                  SortOptions* options) {
  for (size_t i = 2; i < args.size(); i++) {
    const size_t left = args.size() - i - 1;
    const auto is = [&](std::string_view word) { return EqualsIgnoreCase(args[i], word); };
    if (is("asc")) {
      options->is_descending = false;
    } else if (is("desc")) {
      options->is_descending = true;
    } else if (is("alpha")) {
      options->is_alpha = true;
    } else if (is("limit") && left >= 2) {
      if (!ParseInt64(args[i + 1], &options->limit_start) ||
          !ParseInt64(args[i + 2], &options->limit_count)) {
        return engine::errors::kNotInteger;
      }
      i += 2;
    } else if (may_store && is("store") && left >= 1) {
      options->store_index = ++i;
    } else if (is("by") && left >= 1) {
      options->has_by = true;
      options->by = SortPattern::Parse(args[++i]);
      if (!options->by.names_keys()) options->is_unsorted = true;
    } else if (is("get") && left >= 1) {
      options->gets.push_back(SortPattern::Parse(args[++i]));
    } else {
      return engine::errors::kSyntax;
    }
  }
  return {};
}

}  // namespace sherd
