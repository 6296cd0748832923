/**
 * Numbers as RDB files write them in text, and integers as the text that Redis shows for them.
 *
 * Scores are read by rules of our own instead of Number(), which takes "", " 1" and "0x1". Pure functions.
 */

const DECIMAL = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;
const INFINITE = /^[+-]?inf(?:inity)?$/i;
/** No number that Redis writes is longer; the bound keeps the patterns cheap. */
const TEXT_BYTES_MAX = 400;

/** The double a text means; undefined when it means none. "nan" is NaN. */
export function parseDouble(text: Buffer): number | undefined {
  if (text.length === 0 || text.length > TEXT_BYTES_MAX) return undefined;
  const word = text.toString('latin1');
  if (DECIMAL.test(word)) return Number(word);
  if (INFINITE.test(word)) return word.startsWith('-') ? -Infinity : Infinity;
  return /^[+-]?nan$/i.test(word) ? NaN : undefined;
}

/** A double in the shortest text that means exactly it; with a sign for minus zero. */
export function formatDouble(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  return Object.is(value, -0) ? '-0' : String(value);
}

/** The decimal text of an integer, as bytes. */
export function integerBytes(value: number | bigint): Buffer {
  return Buffer.from(value.toString(), 'latin1');
}
