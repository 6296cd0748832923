/**
 * How random command streams make the arguments of stream commands (XADD and its kin), and what keeps the two servers
 * comparable.
 *
 * - Ids never come from the clock: `9-*` is what lets streams grow, since it works for as long as 9 is the highest
 *   millisecond of the stream, whatever the order of commands. A line with a bare `*` is not sent.
 * - Idle times are 0 or hours, and thresholds between them, so that nothing depends on the milliseconds that pass.
 * - Since 7.2 XREADGROUP and the claims create their consumer in any case, the oracle only when it gets something: so
 *   `XGROUP CREATECONSUMER` goes before each of them (`beforeStreamCommand`).
 * - Since 7.2 XSETID also looks at the highest id that XDEL deleted. It is asked of keys of its own, `SET_KEYS`, of
 *   which nothing is deleted by XDEL.
 * - BLOCK comes with a timeout of 1 or 2 ms only, or with a wrong one.
 */
import { fullName } from './grammar.js';
import type { Prng } from './prng.js';
import type { Rule } from './rules.js';
import { edgeInteger, randomKey, randomString } from './values.js';

type Words = (Buffer | string)[];

const STREAM_KEYS = ['st:1', 'st:2', '{tag}st', 'st{a}'];
const SET_KEYS = ['set-id:1', '{tag}set-id'];
const GROUPS = ['g1', 'g2', 'streams', ''];
const CONSUMERS = ['c1', 'c2', 'c3', 'streams', '', 'a longer name of a consumer'];
const HOUR_MS = 3_600_000;

const deletableKey = (prng: Prng): Buffer | string => (prng.chance(0.9) ? prng.pick(STREAM_KEYS) : randomKey(prng));
const key = (prng: Prng): Buffer | string => (prng.chance(0.92) ? deletableKey(prng) : prng.pick(SET_KEYS));
const group = (prng: Prng): Buffer | string => {
  if (prng.chance(0.8)) return 'g1';
  return prng.chance(0.95) ? prng.pick(GROUPS) : randomString(prng);
};
const consumer = (prng: Prng): string => (prng.chance(0.7) ? prng.pick(['c1', 'c2']) : prng.pick(CONSUMERS));
const number = (prng: Prng, low: number, high: number): Buffer | string =>
  prng.chance(0.93) ? String(prng.between(low, high)) : edgeInteger(prng);

/** Some of these, each with a probability. */
function some(prng: Prng, ...options: [chance: number, ...words: Words][]): Words {
  return options.flatMap(([chance, ...words]) => (prng.chance(chance) ? words : []));
}

const many = (prng: Prng, low: number, high: number, make: () => Buffer | string): Words =>
  Array.from({ length: prng.between(low, high) }, make);

const EDGE_IDS = [
  ...['0-0', '0', '0-1', '-', '+', '5-', '-5', '5-5-5', '5-*', '*', '+5-1', ' 5-1', '05-01', '5- 1', '5--05', '5--1'],
  ...['18446744073709551615-18446744073709551615', '18446744073709551615-18446744073709551614'],
  ...['18446744073709551615', '18446744073709551616-0', '9223372036854775807-9223372036854775808'],
  ...['1-18446744073709551615', '1-+2', '(5-1', '((5', '(', '$', '>', '5-1\x00', '\x005', '5-*x', 'abc', ''],
];

const MAX = '18446744073709551615';
const LAST_IDS = ['10-*', '10-18446744073709551614', `${MAX}-*`, `${MAX}-18446744073709551613`];

/** An id that is likely to be there. */
function id(prng: Prng): Buffer | string {
  const kind = prng.real();
  if (kind < 0.75) return `9-${prng.below(70)}`;
  if (kind < 0.85) return `${prng.below(11)}-${prng.below(8)}`;
  if (kind < 0.9) return String(prng.below(12));
  return kind < 0.99 ? prng.pick(EDGE_IDS) : edgeInteger(prng);
}

function newId(prng: Prng): Buffer | string {
  const kind = prng.real();
  if (kind < 0.75) return '9-*';
  if (kind < 0.85) return `${prng.below(10)}-*`;
  if (kind < 0.93) return `9-${prng.below(100)}`;
  // These end a stream's life, or nearly.
  if (kind < 0.94) return prng.pick(LAST_IDS);
  return prng.chance(0.5) ? id(prng) : `${prng.below(10)}-${prng.below(100)}`;
}

function trim(prng: Prng): Words {
  const byId = prng.chance(0.4);
  const operator = some(prng, [0.25, '='], [0.35, '~']);
  const value = byId ? id(prng) : number(prng, 0, prng.pick([3, 30, 60]));
  const limit = some(prng, [operator.includes('~') ? 0.4 : 0.05, 'LIMIT', number(prng, 0, 40)]);
  return [prng.pick(byId ? ['MINID', 'minid'] : ['MAXLEN', 'maxlen']), ...operator, value, ...limit];
}

/** Mostly the same fields, as in life: entries share their names with the first one of their node. */
function pairs(prng: Prng): Words {
  const value = (): Buffer | string => (prng.chance(0.5) ? String(prng.between(-300, 70_000)) : randomString(prng));
  if (prng.chance(0.6)) return ['temperature', value(), '12', value()];
  if (prng.chance(0.4)) return ['f', value()];
  return many(prng, 1, 4, () => randomString(prng)).flatMap((name) => [name, value()]);
}

function addArguments(prng: Prng): Words {
  const options = prng.chance(0.5)
    ? [...some(prng, [0.06, 'NOMKSTREAM']), ...(prng.chance(0.15) ? trim(prng) : [])]
    : [...(prng.chance(0.15) ? trim(prng) : []), ...some(prng, [0.06, 'nomkstream'])];
  return [key(prng), ...options, newId(prng), ...pairs(prng)];
}

function bound(prng: Prng): Buffer | string {
  if (prng.chance(0.4)) return prng.pick(['-', '+']);
  const text = id(prng);
  return prng.chance(0.2) ? `(${String(text)}` : text;
}

function rangeArguments(prng: Prng, isReverse: boolean): Words {
  const ends = prng.chance(0.4) ? ['-', '+'] : [bound(prng), bound(prng)];
  return [key(prng), ...(isReverse ? ends.reverse() : ends), ...some(prng, [0.5, 'COUNT', number(prng, -1, 20)])];
}

function readOptions(prng: Prng): Words {
  return some(prng, [0.4, 'COUNT', number(prng, 0, 12)], [0.05, 'block', prng.pick(['1', '2', '-1', 'abc', ''])]);
}

function readArguments(prng: Prng): Words {
  const keys = many(prng, 1, prng.chance(0.7) ? 1 : 4, () => key(prng));
  const ids = keys.map(() => (prng.chance(0.15) ? '$' : prng.chance(0.3) ? '0' : id(prng)));
  return [...readOptions(prng), 'STREAMS', ...keys, ...ids];
}

function readGroupArguments(prng: Prng): Words {
  const keys = many(prng, 1, prng.chance(0.8) ? 1 : 3, () => key(prng));
  const ids = keys.map(() => (prng.chance(0.75) ? '>' : prng.chance(0.5) ? '0' : id(prng)));
  const head: Words = ['GROUP', group(prng), consumer(prng)];
  const options = [...readOptions(prng), ...some(prng, [0.12, 'NOACK'])];
  return [...(prng.chance(0.8) ? [...head, ...options] : [...options, ...head]), 'STREAMS', ...keys, ...ids];
}

/** A least idle time between "just now" and "hours ago". */
const minIdle = (prng: Prng): Buffer | string => {
  if (prng.chance(0.5)) return '0';
  return prng.chance(0.9) ? String(HOUR_MS) : edgeInteger(prng);
};

function claimArguments(prng: Prng): Words {
  const options = some(
    prng,
    [0.3, 'IDLE', prng.chance(0.9) ? prng.pick(['0', String(2 * HOUR_MS)]) : edgeInteger(prng)],
    [0.1, 'TIME', prng.chance(0.8) ? prng.pick(['1', '1000000', '4102444800000']) : edgeInteger(prng)],
    [0.15, 'RETRYCOUNT', number(prng, 0, 9)],
    [0.5, 'FORCE'],
    [0.3, 'justid'],
    [0.08, 'LASTID', id(prng)],
    [0.02, 'nonsense'],
  );
  return [key(prng), group(prng), consumer(prng), minIdle(prng), ...many(prng, 1, 5, () => id(prng)), ...options];
}

function autoClaimArguments(prng: Prng): Words {
  const options = some(prng, [0.5, 'COUNT', number(prng, 1, 8)], [0.3, 'JUSTID']);
  return [key(prng), group(prng), consumer(prng), minIdle(prng), prng.chance(0.5) ? '0' : bound(prng), ...options];
}

function pendingArguments(prng: Prng): Words {
  const head = [key(prng), group(prng)];
  if (prng.chance(0.3)) return head;
  const ends = prng.chance(0.5) ? ['-', '+'] : [bound(prng), bound(prng)];
  const idle = some(prng, [0.3, 'IDLE', minIdle(prng)]);
  return [...head, ...idle, ...ends, number(prng, -1, 20), ...some(prng, [0.3, consumer(prng)])];
}

const groupId = (prng: Prng): Buffer | string => (prng.chance(0.3) ? '$' : prng.chance(0.5) ? '0' : id(prng));
const entriesRead = (prng: Prng): Words => some(prng, [0.2, 'ENTRIESREAD', number(prng, -2, 30)]);

function setIdArguments(prng: Prng): Words {
  const to = prng.chance(0.9) ? `9-${prng.below(120)}` : prng.pick(['-', '+', '(9-1', '9', '9-*', '', '9-1-1']);
  return [
    prng.chance(0.95) ? prng.pick(SET_KEYS) : 'nosuchkey',
    to,
    ...some(prng, [0.3, 'ENTRIESADDED', number(prng, 0, 90)]),
    ...some(prng, [0.3, 'maxdeletedid', prng.pick(['0-0', '1-1', '0', 'x', '9-130'])]),
    ...some(prng, [0.03, prng.pick(['MAXDELETEDID', 'x', ''])]),
  ];
}

export const streamRows: Record<string, Rule> = {
  xadd: { generate: addArguments, weight: 14 },
  xlen: { generate: (prng) => [key(prng)], weight: 0.5 },
  xrange: { generate: (prng) => rangeArguments(prng, false), weight: 2 },
  xrevrange: { generate: (prng) => rangeArguments(prng, true), weight: 2 },
  xdel: { generate: (prng) => [deletableKey(prng), ...many(prng, 1, 4, () => id(prng))], weight: 3 },
  xtrim: { generate: (prng) => [key(prng), ...trim(prng)], weight: 0.7 },
  xsetid: { generate: setIdArguments, mutate: false, weight: 0.5 },
  xread: { generate: readArguments, weight: 2 },
  xreadgroup: { compare: 'stream-info', generate: readGroupArguments, weight: 4 },
  xack: { generate: (prng) => [key(prng), group(prng), ...many(prng, 1, 4, () => id(prng))], weight: 2 },
  xpending: { compare: 'stream-info', generate: pendingArguments, weight: 2 },
  xclaim: { generate: claimArguments, weight: 2 },
  xautoclaim: { generate: autoClaimArguments, weight: 2 },
  'xgroup|create': {
    generate: (prng) => [key(prng), group(prng), groupId(prng), ...some(prng, [0.3, 'MKSTREAM']), ...entriesRead(prng)],
    weight: 2.5,
  },
  'xgroup|setid': { generate: (prng) => [key(prng), group(prng), groupId(prng), ...entriesRead(prng)], weight: 0.6 },
  'xgroup|destroy': { generate: (prng) => [key(prng), group(prng)], weight: 0.15 },
  'xgroup|createconsumer': { generate: (prng) => [key(prng), group(prng), consumer(prng)], weight: 0.5 },
  'xgroup|delconsumer': { generate: (prng) => [key(prng), group(prng), consumer(prng)], weight: 0.4 },
  'xgroup|help': { weight: 0.02 },
  'xinfo|stream': {
    compare: 'stream-info',
    generate: (prng) => [key(prng), ...some(prng, [0.7, 'FULL', ...some(prng, [0.5, 'COUNT', number(prng, -1, 20)])])],
    weight: 2,
  },
  'xinfo|groups': { compare: 'stream-info', generate: (prng) => [key(prng)], weight: 0.6 },
  'xinfo|consumers': { compare: 'stream-info', generate: (prng) => [key(prng), group(prng)], weight: 0.6 },
  'xinfo|help': { weight: 0.02 },
};

const lower = (argument: Buffer | undefined): string => (argument ?? Buffer.alloc(0)).toString('latin1').toLowerCase();

/** The number that a plain decimal argument is. */
function plainNumber(argument: Buffer | undefined): bigint | undefined {
  const text = argument?.toString('latin1') ?? '';
  return /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
}

/** A number of ms that may have passed on one server and not on the other. */
function isShortTime(argument: Buffer | undefined): boolean {
  const value = plainNumber(argument);
  return value !== undefined && value > 0n && value < BigInt(HOUR_MS);
}

/** The oracle reserves 16 bytes for each: more than it may have, and less than what it refuses for certain. */
function isDoubtfulCount(argument: Buffer | undefined): boolean {
  const value = plainNumber(argument);
  return value !== undefined && value > 10_000_000n && value < 1n << 44n;
}

/** False for a line whose reply depends on the clock, or that waits. */
export function isStreamCommandSafe(args: readonly Buffer[]): boolean {
  switch (fullName(args)) {
    case 'xadd':
      return !args.some((argument) => argument.toString('latin1') === '*');
    case 'xread':
    case 'xreadgroup':
      return !args.some((argument, at) => {
        const timeout = lower(argument) === 'block' ? plainNumber(args[at + 1]) : undefined;
        return timeout !== undefined && timeout !== 1n && timeout !== 2n;
      });
    case 'xclaim':
      return !isShortTime(args[4]);
    case 'xautoclaim':
      if (args.some((argument, at) => lower(argument) === 'count' && isDoubtfulCount(args[at + 1]))) return false;
      return !isShortTime(args[4]);
    case 'xpending':
      return !isShortTime(args[4]);
    default:
      return true;
  }
}

/** What must be sent before a line so that both servers have the consumer that it may create. */
export function beforeStreamCommand(args: readonly Buffer[]): Buffer[][] {
  const create = (of: Buffer, group: Buffer, consumer: Buffer): Buffer[] => [
    Buffer.from('XGROUP'),
    Buffer.from('CREATECONSUMER'),
    of,
    group,
    consumer,
  ];
  const name = fullName(args);
  if ((name === 'xclaim' || name === 'xautoclaim') && args.length > 3) {
    return [create(args[1] as Buffer, args[2] as Buffer, args[3] as Buffer)];
  }
  if (name !== 'xreadgroup') return [];
  // The last GROUP before STREAMS counts; an argument may be either word as well, so all places are tried.
  const result: Buffer[][] = [];
  const streamsAt = args.flatMap((argument, at) => (lower(argument) === 'streams' ? [at] : []));
  for (let at = 1; at + 2 < args.length; at++) {
    if (lower(args[at]) !== 'group') continue;
    for (const streams of streamsAt) {
      const keys = args.slice(streams + 1, streams + 1 + Math.floor((args.length - streams - 1) / 2));
      for (const of of keys) result.push(create(of, args[at + 1] as Buffer, args[at + 2] as Buffer));
    }
  }
  return result;
}
