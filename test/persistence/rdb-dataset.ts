/**
 * A dataset with every type in every encoding, at the edges of the formats' widths; and files that redis-server saves
 * of it. Which encodings come out is decided by the thresholds the server is started with.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startRedis, type RunningServer } from '../support/oracle.js';
import { RespClient, type Argument } from '../support/resp-client.js';

/** Lengths around the bounds of LZF, embstr, listpack and ziplist forms. */
const LENGTHS = [0, 1, 20, 21, 44, 45, 63, 64, 120, 124, 125, 126, 127, 128, 250, 253, 254, 255, 4095, 4096];
const LONG_LENGTHS = [16375, 16376, 16377, 16378, 16379, 16380, 16381, 16382, 16383, 16384, 16385, 70000];
const INTEGERS = [0, 1, 12, 13, 127, 128, 4095, 4096, 32767, 32768, 8388607, 8388608, 2147483647, 2147483648].flatMap(
  (value) => [BigInt(value), BigInt(-value - 1)],
);
const WIDE_INTEGERS = [2n ** 53n, 2n ** 53n + 1n, -(2n ** 53n) - 1n, 2n ** 63n - 1n, -(2n ** 63n)];
const SCORES = [
  '0',
  '-0',
  '1',
  '-1.5',
  '3.141592653589793',
  '1e300',
  '-1e-300',
  'inf',
  '-inf',
  '9007199254740993',
  '0.1',
  '5e-324',
];

/** Text that does not compress, the same at every run: from a linear congruential generator. */
export function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[index] = state >>> 16;
  }
  return bytes;
}

const repeated = (length: number): Buffer => Buffer.alloc(length, 'abcabd');

function strings(): Argument[][] {
  const lengths = [...LENGTHS, ...LONG_LENGTHS].flatMap((length) => [
    ['SET', `noise:${length}`, noise(length)],
    ['SET', `text:${length}`, repeated(length)],
  ]);
  const integers = [...INTEGERS, ...WIDE_INTEGERS].map((value) => ['SET', `int:${value}`, value]);
  const expiring = ['SET', Buffer.from('expiring\xff\x00"\\', 'latin1'), 'v', 'PXAT', 4102444800123];
  return [...lengths, ...integers, expiring, ['SET', '', 'empty key'], ['SET', 'seconds', 'v', 'EXAT', 4102444800]];
}

function lists(): Argument[][] {
  const elements = [...LENGTHS.map((length) => noise(length)), ...INTEGERS, ...WIDE_INTEGERS];
  return [
    ['RPUSH', 'list:one', 'x'],
    ['RPUSH', 'list:mixed', ...elements],
    ...LONG_LENGTHS.map((length) => ['RPUSH', 'list:long', noise(length), repeated(length), 'small']),
    ['RPUSH', 'list:many', ...Array.from({ length: 1000 }, (_, index) => `element ${index}`)],
  ];
}

function sets(): Argument[][] {
  return [
    ['SADD', 'set:16', ...INTEGERS.filter((value) => BigInt.asIntN(16, value) === value)],
    ['SADD', 'set:32', ...INTEGERS.filter((value) => BigInt.asIntN(32, value) === value)],
    ['SADD', 'set:64', ...INTEGERS, ...WIDE_INTEGERS],
    ['SADD', 'set:text', ...LENGTHS.map((length) => noise(length))],
    ['SADD', 'set:large', ...Array.from({ length: 600 }, (_, index) => `member ${index}`)],
  ];
}

function sortedSets(): Argument[][] {
  return [
    ['ZADD', 'zset:scores', ...SCORES.flatMap((score, index) => [score, `member ${index}`])],
    ['ZADD', 'zset:integers', ...INTEGERS.flatMap((value) => [value, value])],
    ['ZADD', 'zset:lengths', ...LENGTHS.flatMap((length) => [length, noise(length)])],
    ['ZADD', 'zset:large', ...Array.from({ length: 300 }, (_, index) => [index / 7, `m${index}`]).flat()],
  ];
}

function hashes(): Argument[][] {
  return [
    ['HSET', 'hash:integers', ...INTEGERS.flatMap((value) => [value, -value])],
    ['HSET', 'hash:lengths', ...LENGTHS.flatMap((length) => [noise(length), repeated(length)])],
    ['HSET', 'hash:large', ...Array.from({ length: 600 }, (_, index) => [`field ${index}`, `value ${index}`]).flat()],
  ];
}

function streams(): Argument[][] {
  const adds = Array.from({ length: 250 }, (_, index) =>
    ['XADD', 'stream', `${1000 + Math.floor(index / 3)}-${index}`, 'name', `v${index}`, 'number', index * 1000].slice(
      0,
      index % 50 === 7 ? 5 : 7,
    ),
  );
  const deletes = [3, 4, 150].map((index) => ['XDEL', 'stream', `${1000 + Math.floor(index / 3)}-${index}`]);
  return [
    ...adds,
    ...deletes,
    ['XGROUP', 'CREATE', 'stream', 'g1', '0'],
    ['XGROUP', 'CREATE', 'stream', Buffer.from('g\x002', 'latin1'), '$'],
    ['XREADGROUP', 'GROUP', 'g1', 'alice', 'COUNT', 20, 'STREAMS', 'stream', '>'],
    ['XREADGROUP', 'GROUP', 'g1', 'bob', 'COUNT', 5, 'STREAMS', 'stream', '>'],
    ['XREADGROUP', 'GROUP', 'g1', 'bob', 'COUNT', 5, 'STREAMS', 'stream', 0],
    ['XACK', 'stream', 'g1', '1000-0', '1000-1'],
    ['XGROUP', 'CREATECONSUMER', 'stream', 'g1', 'idle one'],
    ['XADD', 'stream:empty', '18446744073709551615-18446744073709551614', 'a', 'b'],
    ['XDEL', 'stream:empty', '18446744073709551615-18446744073709551614'],
  ];
}

const FUNCTION = '#!lua name=lib\nredis.register_function("f", function() return 1 end)';

/** Everything. */
export function datasetCommands(): Argument[][] {
  return [
    ...strings(),
    ...lists(),
    ...sets(),
    ...sortedSets(),
    ...hashes(),
    ...streams(),
    ['FUNCTION', 'LOAD', FUNCTION],
    ['SELECT', 9],
    ['SET', 'other', 'database'],
    ['SELECT', 0],
  ];
}

/** Runs commands; throws at the first error reply. */
export async function fill(client: RespClient, commands: Argument[][]): Promise<void> {
  for (const reply of await client.pipeline(commands)) {
    if (reply.text.startsWith('-')) throw new Error(reply.text);
  }
}

/** Sets every threshold that decides about encodings. */
export function thresholds(entries: number): string[] {
  const names = [
    'hash-max-listpack-entries',
    'zset-max-listpack-entries',
    'set-max-intset-entries',
    'stream-node-max-entries',
  ];
  return names.flatMap((name) => [`--${name}`, String(entries)]);
}

/** A server with the dataset in it. */
export async function startFilled(args: string[]): Promise<{ server: RunningServer; client: RespClient }> {
  const server = await startRedis(args);
  const client = await RespClient.connect({ port: server.port });
  await fill(client, datasetCommands());
  return { server, client };
}

/** SAVEs and gives the file's bytes. */
export async function savedFile(server: RunningServer, client: RespClient): Promise<Buffer> {
  await fill(client, [['SAVE']]);
  return readFileSync(join(server.dir, 'dump.rdb'));
}
