// Glob patterns of KEYS, SCAN MATCH, PSUBSCRIBE, CONFIG GET and ACL, with Redis's meaning.
//
//   *        any bytes, also none        ?        one byte
//   [abc]    one of these                [a-z]    one of a range (either order)
//   [^abc]   none of these               \x       the byte x, also inside a class
//
// Corners that are Redis's and kept: an unterminated class ends at the pattern's end; "[a-]" is the
// unterminated range from 'a' to ']'; a trailing '\' stands for itself; ranges compare signed
// bytes; an escaped byte in a class does not fold case; the empty text matches the empty pattern
// only, not "*" (KEYS and SCAN never ask about "*": they take it as "no pattern").
//
// The matcher does not recurse. Between two stars every element takes exactly one byte, so the
// leftmost place where the text between them fits is as good as any other, and only the last star
// ever has to be tried again: the time is O(pattern * text) at worst, where trying all stars again
// is exponential on "a*a*a*a*b". The space is constant. (Redis cuts the same search short with a
// flag.)
//
// Any thread; nothing allocates.
#pragma once

#include <string_view>

namespace sherd {

/// Whether the whole of `text` matches `pattern`. `ignore_case` folds A–Z.
bool GlobMatch(std::string_view pattern, std::string_view text, bool ignore_case = false);

}  // namespace sherd
