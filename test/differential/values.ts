/**
 * The values that random commands are made of: few keys, so that they collide; many edges, because that is where
 * servers differ.
 *
 * All values are Buffers. Nothing here depends on the clock: absolute times are near the year 2100 or long past, so
 * that a seed replays the same on another day.
 */
import type { Prng } from './prng.js';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const list = (...texts: string[]): Buffer[] => texts.map(latin1);

/** Keys. Hash tags put some on one shard; names of JavaScript's own prototype are traps of our platform. */
export const KEYS: readonly Buffer[] = [
  ...list('a', 'b', 'key:1', 'key:2', '{tag}1', '{tag}2', 'x{tag}y', '{}z', '{a}{b}', '10', ''),
  ...list('__proto__', 'constructor', 'toString', 'key with space', '\x00\xff\r\n\x80', 'caf\xc3\xa9'),
  Buffer.alloc(300, 'k'),
];

/** RELIABILITY's edge integers: what every numeric argument must be tried with. */
export const EDGE_INTEGERS: readonly Buffer[] = list(
  '0',
  '-0',
  '1',
  '-1',
  '+5',
  ' 5',
  '5 ',
  '05',
  '-05',
  '1e3',
  '1.0',
  '0x10',
  'nan',
  'inf',
  '-inf',
  '',
  ' ',
  '-',
  '+',
  '2147483647',
  '2147483648',
  '-2147483648',
  '-2147483649',
  '4294967295',
  '4294967296',
  '9007199254740991',
  '9007199254740992',
  '9007199254740993',
  '-9007199254740993',
  '9223372036854775807',
  '9223372036854775808',
  '-9223372036854775808',
  '-9223372036854775809',
  '9223372036854775',
  '9223372036854776',
  '18446744073709551615',
  '18446744073709551616',
  '18446744073709551617',
  '99999999999999999999999999',
  '\x005',
  '5\x00',
  '5\r\n',
  'abc',
  '\xff',
);

const EDGE_DOUBLES: readonly Buffer[] = list(
  '0',
  '-0',
  '0.0',
  '1.5',
  '-1.5',
  '3.14159265358979',
  '0.1',
  '1e10',
  '1e-10',
  '5.0e3',
  '1e17',
  '1e308',
  '-1e308',
  '1e309',
  '1e400',
  '1e4932',
  '1e-400',
  '.5',
  '5.',
  '1.0000000000000002',
  '123456789012345678',
  '17179869184.5',
  '0x1p3',
  '0x10',
  'infinity',
  'Inf',
  '-INF',
  '+inf',
  'NaN',
  'nan(1)',
  '1e',
  'e5',
  '1.2.3',
  '1,5',
);

const EDGE_STRINGS: readonly Buffer[] = [
  ...list(
    '',
    ' ',
    'foo',
    'bar',
    'foobar',
    'hello world',
    '0',
    '1',
    '-1',
    '00',
    '3.0',
    'a\r\nb',
    '\r\n',
    '\x00',
    '\xff\xfe',
  ),
  ...list('GET', 'NX', 'EX', '*', '?', '[', '{tag}', '__proto__', 'ohmytext', 'mynewtext', '"quoted"', "it's", '\\'),
  Buffer.alloc(43, 'e'),
  Buffer.alloc(44, 'e'),
  Buffer.alloc(45, 'r'),
  Buffer.alloc(64, 's'),
  Buffer.alloc(127, 't'),
  Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
];

const PATTERNS: readonly Buffer[] = list(
  '*',
  '**',
  '?',
  'a',
  'key:*',
  '*tag*',
  '{*',
  '[a-k]*',
  '[^a]*',
  '[^a-c',
  '[',
  '[]',
  '[]a',
  '[a-',
  '[z-a]*',
  '[\\]]',
  '\\*',
  '\\',
  'a\\',
  '*\\',
  '*[12]',
  'k?y*',
  '',
  'x{tag}?',
  '\x00*',
  '*\xff*',
  '__*__',
  'KEY:*',
  '?*?',
  '[a]',
  '*a',
  'a*b*c',
);

const UNIX_TIMES_MS = 4_102_444_800_000;

export function randomKey(prng: Prng): Buffer {
  // The first keys are likelier: deep states need many commands on the same key.
  return prng.chance(0.6) ? (KEYS[prng.below(6)] as Buffer) : prng.pick(KEYS);
}

export function edgeInteger(prng: Prng): Buffer {
  return prng.pick(EDGE_INTEGERS);
}

export function randomString(prng: Prng): Buffer {
  const kind = prng.real();
  if (kind < 0.2) return latin1(String(prng.between(-20, 12_000)));
  if (kind < 0.7) return prng.pick(EDGE_STRINGS);
  if (kind < 0.8) return prng.pick(EDGE_INTEGERS);
  if (kind < 0.85) return prng.pick(EDGE_DOUBLES);
  if (kind < 0.97) return prng.bytes(prng.below(40));
  return Buffer.alloc(prng.between(200, 2_000), prng.pick(['x', 'abc', '01']));
}

export function randomDouble(prng: Prng): Buffer {
  const kind = prng.real();
  if (kind < 0.4) return latin1(String(prng.between(-1000, 1000) / prng.pick([1, 2, 3, 7, 10, 1e5])));
  if (kind < 0.9) return prng.pick(EDGE_DOUBLES);
  return edgeInteger(prng);
}

export function randomPattern(prng: Prng): Buffer {
  return prng.chance(0.9) ? prng.pick(PATTERNS) : randomKey(prng);
}

/** Absolute time in seconds or milliseconds: near 2100 (each one different), long past, or an edge. */
export function randomUnixTime(prng: Prng, unit: 'seconds' | 'milliseconds'): Buffer {
  const kind = prng.real();
  if (kind < 0.75) {
    const timeMs = UNIX_TIMES_MS + prng.below(1_000_000) * 60_000 + prng.below(1000);
    return latin1(String(unit === 'seconds' ? Math.floor(timeMs / 1000) : timeMs));
  }
  if (kind < 0.85) return latin1(String(prng.between(1, 100_000)));
  return edgeInteger(prng);
}

/** Time to live: long enough not to end during a stream; seldom an edge. */
export function randomTtl(prng: Prng, unit: 'seconds' | 'milliseconds'): Buffer {
  if (prng.chance(0.2)) return edgeInteger(prng);
  const seconds = prng.between(100, 50_000_000);
  return latin1(String(unit === 'seconds' ? seconds : seconds * 1000 + prng.below(1000)));
}

/** An integer argument, by what its name in the grammar says. */
export function randomInteger(prng: Prng, name: string): Buffer {
  if (name === 'seconds' || name === 'milliseconds') return randomTtl(prng, name);
  if (prng.chance(0.2)) return edgeInteger(prng);
  if (/db$|^index[12]?$/.test(name)) return latin1(String(prng.chance(0.8) ? prng.below(4) : prng.between(-1, 17)));
  if (name === 'cursor') return latin1(prng.chance(0.7) ? '0' : String(prng.below(64)));
  if (name === 'count') return latin1(String(prng.between(-1, 20)));
  if (name === 'increment' || name === 'decrement') return latin1(String(prng.between(-100_000, 100_000)));
  return latin1(String(prng.between(-6, 24)));
}

/** The same letters in random case: names and tokens are case-insensitive. */
export function randomCase(prng: Prng, text: string): Buffer {
  const kind = prng.real();
  if (kind < 0.6) return latin1(text);
  if (kind < 0.8) return latin1(text.toLowerCase());
  return latin1([...text].map((letter) => (prng.chance(0.5) ? letter.toLowerCase() : letter.toUpperCase())).join(''));
}
