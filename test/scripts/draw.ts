/**
 * What all families draw from: choices with weights, keys, and commands that write a key of each type.
 */
import type { Prng } from '../differential/prng.js';
import type { Line } from './script.js';

/** A weighted choice: [weight, what makes it]. */
export type Choice<T> = readonly [number, () => T];

export function choose<T>(prng: Prng, choices: readonly Choice<T>[]): T {
  let point = prng.real() * choices.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, make] of choices) {
    point -= weight;
    if (point < 0) return make();
  }
  return (choices[choices.length - 1] as Choice<T>)[1]();
}

/** Protocols of the connections. */
export function protocols(prng: Prng, from: number, to: number): (2 | 3)[] {
  const count = prng.between(from, to);
  return Array.from({ length: count }, () => (prng.chance(0.5) ? 2 : 3));
}

export function several<T>(prng: Prng, from: number, to: number, make: () => T): T[] {
  return Array.from({ length: prng.between(from, to) }, make);
}

/** A list of different items, in random order. */
export function sample<T>(prng: Prng, items: readonly T[], count: number): T[] {
  const left = [...items];
  const taken: T[] = [];
  while (taken.length < count && left.length > 0) taken.push(...left.splice(prng.below(left.length), 1));
  return taken;
}

/** Another connection than this one. */
export function other(prng: Prng, connection: number, count: number): number {
  return (connection + 1 + prng.below(Math.max(1, count - 1))) % count;
}

/**
 * Payloads for RESTORE, as the oracle dumps them (RDB version 10): a list of r1 and r2, a sorted set of m with score 1
 * and n with 2, a stream with the entry 7-1 f v.
 */
export const PAYLOADS: Readonly<Record<'list' | 'zset' | 'stream', Buffer>> = {
  list: Buffer.from('1201020f0f00000002008272310382723203ff0a009613fa1917576e40', 'hex'),
  zset: Buffer.from('1111110000000400816d020101816e020201ff0a0028bc0859f66ec959', 'hex'),
  stream: Buffer.from('130110000000000000000700000000000000011d1d0000000a0001010001010181660200010201000100018176020401ff0107010701000001000a001a98f0989b1cea1e', 'hex'),
};

/** A command that changes or makes the key, of any kind; what it does to another type is an error, as it should be. */
export function anyWrite(prng: Prng, key: string, otherKey: string): Line {
  return prng.pick<Line>([
    ['SET', key, String(prng.below(9))],
    ['SET', key, 'v', 'NX'],
    ['SETRANGE', key, '3', 'x'],
    ['APPEND', key, 'a'],
    ['INCR', key],
    ['GETSET', key, 'g'],
    ['GETDEL', key],
    ['GETEX', key, 'PERSIST'],
    ['GETEX', key, 'EX', '100'],
    ['SETBIT', key, '3', '1'],
    ['BITOP', 'NOT', key, otherKey],
    ['MSET', key, '1', otherKey, '2'],
    ['MSETNX', key, '1', otherKey, '2'],
    ['PFADD', key, 'e'],
    ['DEL', key],
    ['DEL', key, otherKey],
    ['UNLINK', key],
    ['EXPIRE', key, '100'],
    ['PERSIST', key],
    ['EXPIREAT', key, '1'],
    ['RENAME', key, otherKey],
    ['RENAME', otherKey, key],
    ['RENAMENX', otherKey, key],
    ['COPY', otherKey, key],
    ['COPY', otherKey, key, 'REPLACE'],
    ['MOVE', key, '1'],
    ['RPUSH', key, 'a', 'b'],
    ['LPUSHX', key, 'c'],
    ['LPOP', key],
    ['LSET', key, '0', 'z'],
    ['LTRIM', key, '1', '0'],
    ['LMOVE', key, otherKey, 'LEFT', 'RIGHT'],
    ['RPOPLPUSH', otherKey, key],
    ['SADD', key, 'm', 'n'],
    ['SREM', key, 'm'],
    ['SMOVE', key, otherKey, 'n'],
    ['SUNIONSTORE', key, otherKey],
    ['HSET', key, 'f', 'v'],
    ['HDEL', key, 'f'],
    ['HINCRBY', key, 'n', '1'],
    ['ZADD', key, '1', 'm'],
    ['ZADD', key, 'XX', '5', 'm'],
    ['ZINCRBY', key, '1', 'n'],
    ['ZPOPMIN', key],
    ['ZREM', key, 'm'],
    ['ZUNIONSTORE', key, '1', otherKey],
    ['ZRANGESTORE', key, otherKey, '0', '-1'],
    ['GEOADD', key, '13', '38', 'p'],
    ['XADD', key, '5-1', 'f', 'v'],
    ['XDEL', key, '5-1'],
    ['XTRIM', key, 'MAXLEN', '0'],
    ['SORT', otherKey, 'ALPHA', 'STORE', key],
    ['RESTORE', key, '0', PAYLOADS.list],
    ['RESTORE', key, '0', PAYLOADS.zset, 'REPLACE'],
    ['GET', key],
    ['EXISTS', key],
    ['TOUCH', key],
  ]);
}
