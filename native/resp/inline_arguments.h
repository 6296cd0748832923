// Splitting of an inline command line ("SET key \"a b\"") into arguments, by Redis's rules.
//
//   plain      ends at a space, tab, CR or LF; VT and FF separate only in front of a token
//   "double"   knows \n \r \t \b \a \xHH; any other \c is c
//   'single'   knows only \'
//
// A quote may open in the middle of a token (a"b c" is `ab c`); behind a closing quote white space
// or the end must follow. Anything else is "unbalanced quotes".
//
// Thread: any; the result borrows from `line` and `storage`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sherd::resp {

/// Replaces `args` by the arguments of `line`. Tokens without quotes are views into `line`; the
/// bytes of the others are written to `storage` (its old content is dropped) and viewed there.
/// Returns false on unbalanced quotes. `line` holds no zero byte: the caller's search for the line
/// end stops at one.
bool SplitInlineArguments(std::string_view line, std::vector<std::string_view>* args,
                          std::string* storage);

}  // namespace sherd::resp
