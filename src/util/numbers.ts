/**
 * Numbers as Redis reads and prints them in commands and in redis.conf.
 *
 * JavaScript's Number() accepts " 5", "1e3", "0x10" and "", and forgets everything beyond 2^53; a Redis client
 * expects an error or the exact value. So text becomes a bigint here, by Redis's own rules, and only the caller
 * narrows it. Pure functions, any thread.
 */

const INTEGER = /^(?:0|-?[1-9][0-9]*)$/;
const UNSIGNED_MAX = (1n << 64n) - 1n;
/** Longest digit run that is looked at, as Redis does; it also bounds the cost of BigInt(). */
const DIGITS_MAX = 127;

const MEMORY_UNITS = new Map<string, bigint>([
  ['', 1n],
  ['b', 1n],
  ['k', 1000n],
  ['kb', 1024n],
  ['m', 1000n * 1000n],
  ['mb', 1024n * 1024n],
  ['g', 1000n * 1000n * 1000n],
  ['gb', 1024n * 1024n * 1024n],
]);

/** A signed 64-bit decimal in its one canonical spelling (no spaces, plus sign, leading zeros), else undefined. */
export function parseInteger64(text: string): bigint | undefined {
  if (text.length > 20 || !INTEGER.test(text)) return undefined;
  const value = BigInt(text);
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

/**
 * A size such as `100mb` (powers of 1024) or `1k` (1000) as unsigned 64 bits, else undefined.
 *
 * Two oddities are Redis's and configuration files may rest on them: no digits at all mean 0, and digits beyond
 * 64 bits mean the largest value.
 */
export function parseMemorySize(text: string): bigint | undefined {
  const match = /^([0-9]*)([a-z]*)$/i.exec(text);
  if (!match) return undefined;
  const [, digits = '', unit = ''] = match;
  const factor = MEMORY_UNITS.get(unit.toLowerCase());
  if (factor === undefined || digits.length > DIGITS_MAX) return undefined;
  const count = digits === '' ? 0n : BigInt(digits);
  return BigInt.asUintN(64, (count > UNSIGNED_MAX ? UNSIGNED_MAX : count) * factor);
}

/** Bytes for people, as INFO prints them: `918.81K`, `11.73M`, `200B`. */
export function formatBytesHuman(byteCount: number): string {
  const units = ['K', 'M', 'G', 'T', 'P'];
  if (byteCount < 1024) return `${Math.trunc(byteCount)}B`;
  let scaled = byteCount;
  let unit = '';
  for (const next of units) {
    scaled /= 1024;
    unit = next;
    if (scaled < 1024) break;
  }
  return `${scaled.toFixed(2)}${unit}`;
}
