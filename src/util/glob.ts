/**
 * Glob matching with Redis's rules, for patterns that reach the control plane (CONFIG GET, COMMAND LIST). KEYS and
 * SCAN match on the native side.
 *
 * `*` any bytes, `?` one byte, `[abc]` `[^abc]` `[a-z]` one byte of a set, `\x` the byte x itself. An open set
 * reaches to the end of the pattern, a range may be written backwards, a lone backslash at the end is a backslash.
 *
 * Why not recursion: a pattern of n stars would take exponential time. A star never needs to be looked at again once
 * a later star has matched, so it is enough to remember the last one: O(pattern × text) steps, no allocation.
 */

const STAR = 0x2a;
const QUESTION = 0x3f;
const BACKSLASH = 0x5c;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const CARET = 0x5e;
const DASH = 0x2d;

/** Tells whether the whole of `text` matches `pattern`. With `ignoreCase` ASCII letters match in either case. */
export function globMatches(pattern: Uint8Array | string, text: Uint8Array | string, ignoreCase = false): boolean {
  const patternBytes = typeof pattern === 'string' ? Buffer.from(pattern) : pattern;
  const textBytes = typeof text === 'string' ? Buffer.from(text) : text;
  // Redis 7 looks at no pattern byte when there is no text: "**" does not match the empty string (util.c). For KEYS
  // the pattern "*" alone means everything and never comes here.
  if (textBytes.length === 0) return patternBytes.length === 0;
  let patternIndex = 0;
  let textIndex = 0;
  // Where to go on when the bytes after the last star do not match: the star then takes one byte more.
  let starPatternIndex = -1;
  let starTextIndex = 0;
  while (textIndex < textBytes.length) {
    if (patternBytes[patternIndex] === STAR) {
      starPatternIndex = ++patternIndex;
      starTextIndex = textIndex;
      continue;
    }
    const next = matchOne(patternBytes, patternIndex, textBytes[textIndex] ?? 0, ignoreCase);
    if (next >= 0) {
      patternIndex = next;
      textIndex++;
    } else if (starPatternIndex >= 0) {
      patternIndex = starPatternIndex;
      textIndex = ++starTextIndex;
    } else {
      return false;
    }
  }
  while (patternBytes[patternIndex] === STAR) patternIndex++;
  return patternIndex === patternBytes.length;
}

/** Index behind the pattern element at `index` if it matches the byte, else -1. */
function matchOne(pattern: Uint8Array, index: number, byte: number, ignoreCase: boolean): number {
  const element = pattern[index];
  if (element === undefined) return -1;
  if (element === QUESTION) return index + 1;
  if (element === OPEN) return matchSet(pattern, index + 1, byte, ignoreCase);
  if (element === BACKSLASH && index + 1 < pattern.length) {
    return sameByte(pattern[index + 1] ?? 0, byte, ignoreCase) ? index + 2 : -1;
  }
  return sameByte(element, byte, ignoreCase) ? index + 1 : -1;
}

function matchSet(pattern: Uint8Array, begin: number, byte: number, ignoreCase: boolean): number {
  let index = begin;
  const isNegated = pattern[index] === CARET;
  if (isNegated) index++;
  let isMatched = false;
  while (index < pattern.length && pattern[index] !== CLOSE) {
    const first = pattern[index] ?? 0;
    if (first === BACKSLASH && index + 1 < pattern.length) {
      if (pattern[index + 1] === byte) isMatched = true; // Redis compares an escaped byte of a set exactly.
      index += 2;
    } else if (pattern[index + 1] === DASH && index + 2 < pattern.length) {
      if (inRange(first, pattern[index + 2] ?? 0, byte, ignoreCase)) isMatched = true;
      index += 3;
    } else {
      if (sameByte(first, byte, ignoreCase)) isMatched = true;
      index++;
    }
  }
  if (isMatched === isNegated) return -1;
  return Math.min(index + 1, pattern.length);
}

function inRange(first: number, last: number, byte: number, ignoreCase: boolean): boolean {
  let low = Math.min(first, last);
  let high = Math.max(first, last);
  let value = byte;
  if (ignoreCase) {
    low = lower(low);
    high = lower(high);
    value = lower(value);
  }
  return value >= low && value <= high;
}

function sameByte(a: number, b: number, ignoreCase: boolean): boolean {
  return a === b || (ignoreCase && lower(a) === lower(b));
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}
