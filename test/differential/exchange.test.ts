/**
 * Values go from redis-server to us and from us to redis-server by DUMP and RESTORE, and are the same there.
 *
 * SHERD_SEED=n repeats a run. SHERD_EXCHANGE_ROUNDS=n makes it long (default 8 rounds of 40 keys each way).
 */
import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, startSherd, type RunningServer } from '../support/oracle.js';
import { RespClient, type Argument, type Reply } from '../support/resp-client.js';
import { differenceOf, makeRecipe, payloadOf, randomThresholds, TYPES, type Recipe } from './exchange.js';
import { deriveSeed, Prng } from './prng.js';

const SEED = Number(process.env['SHERD_SEED'] ?? randomInt(2 ** 31));
const ROUNDS = Number(process.env['SHERD_EXCHANGE_ROUNDS'] ?? 8);
const KEYS = 40;
const TIMEOUT_MS = 30_000 + ROUNDS * 5_000;

let servers: RunningServer[] = [];
let oracle: RespClient;
let subject: RespClient;

beforeAll(async () => {
  servers = [await startRedis(), await startSherd(['--shards', '4', '--worker-threads', '2'])];
  oracle = await RespClient.connect({ port: (servers[0] as RunningServer).port });
  subject = await RespClient.connect({ port: (servers[1] as RunningServer).port });
});

afterAll(async () => {
  oracle?.close();
  subject?.close();
  await Promise.all(servers.map((server) => server.stop()));
});

/** Sends the same to both; the replies are `+OK`. */
async function configure(commands: Argument[][]): Promise<void> {
  for (const client of [oracle, subject]) {
    for (const reply of await client.pipeline(commands)) expect(reply.text).toBe('+OK\r\n');
  }
}

/** One round: values are made here, dumped, restored there, and compared. Returns what differs. */
async function exchange(from: RespClient, to: RespClient, seed: number): Promise<string[]> {
  const prng = new Prng(seed);
  await configure([['FLUSHALL'], ...randomThresholds(prng)]);
  const recipes: Recipe[] = Array.from({ length: KEYS }, (_, index) => makeRecipe(prng, `key:${index}`));
  for (const reply of await from.pipeline(recipes.flatMap((recipe) => recipe.commands))) {
    // A stream's new last ID may be too small; all else must work.
    if (reply.text.startsWith('-') && !reply.text.includes('XSETID')) throw new Error(reply.text);
  }
  const dumps = (await from.pipeline(recipes.map(({ key }) => ['DUMP', key]))).map(payloadOf);
  // Other thresholds where the value arrives, as another server has; the maker then takes its own dump back, so that
  // both have seen the same.
  if (prng.chance(0.5)) await configure(randomThresholds(prng));
  const commands = recipes.map(({ key }, index): Argument[] => {
    const ttl = index % 5 === 0 ? '1000000' : '0';
    return ['RESTORE', key, ttl, dumps[index] as Buffer, 'REPLACE'];
  });
  const differences: string[] = [];
  const there = await to.pipeline(commands);
  await from.pipeline(commands);
  for (const [index, recipe] of recipes.entries()) {
    const reply = (there[index] as Reply).text;
    const difference = reply === '+OK\r\n' ? await differenceOf(from, to, recipe) : `${recipe.type} refused: ${reply}`;
    if (difference !== undefined) differences.push(`${difference}\n  payload ${(dumps[index] as Buffer).toString('hex')}`);
  }
  return differences;
}

describe(`DUMP and RESTORE between redis-server and us, seed ${SEED}`, () => {
  it('makes values of every type', () => {
    const prng = new Prng(SEED);
    const types = new Set(Array.from({ length: 200 }, (_, index) => makeRecipe(prng, String(index)).type));
    expect([...types].sort()).toEqual([...TYPES].sort());
  });

  it('what redis-server dumps is the same here', { timeout: TIMEOUT_MS }, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const version = String(9 + (round % 4));
      await subject.send('CONFIG', 'SET', 'rdb-compat-version', version);
      const seed = deriveSeed(SEED, round);
      expect(await exchange(oracle, subject, seed), `seed ${seed}`).toEqual([]);
    }
  });

  it.each(['9', '10'])('what we dump as RDB %s is the same there', { timeout: TIMEOUT_MS }, async (version) => {
    expect((await subject.send('CONFIG', 'SET', 'rdb-compat-version', version)).text).toBe('+OK\r\n');
    for (let round = 0; round < ROUNDS; round++) {
      const seed = deriveSeed(SEED, 1_000 * Number(version) + round);
      expect(await exchange(subject, oracle, seed), `seed ${seed}`).toEqual([]);
    }
  });
});

// ---- Options and errors ----

/** CRC-64 of Jones, bit by bit. */
function crc64(bytes: Buffer): bigint {
  let crc = 0n;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x95ac9329ac4bc9b5n : crc >> 1n;
  }
  return crc;
}

/** A payload of these bytes (type and value) with a version and a checksum that is right. */
function sealed(body: Buffer, version: number): Buffer {
  const footer = Buffer.alloc(10);
  footer.writeUInt16LE(version);
  const head = Buffer.concat([body, footer.subarray(0, 2)]);
  footer.writeBigUInt64LE(crc64(head), 2);
  return Buffer.concat([body, footer]);
}

const HELLO = Buffer.from('\x00\x05hello', 'latin1');
const GOOD = sealed(HELLO, 9);
const flipped = (payload: Buffer, at: number): Buffer => {
  const copy = Buffer.from(payload);
  copy[at < 0 ? copy.length + at : at]! ^= 1;
  return copy;
};

/**
 * Bodies with a right checksum that are no values. None ends in the middle of its last string or element: there Redis
 * reads on into version and checksum, and may find what it looks for.
 */
const BAD_BODIES = [
  '0028',
  '002868656c6c',
  '00c4',
  '00c3050568656c6c6f',
  '06',
  '07',
  '08',
  '1700',
  'ff0568656c6c6f',
  '0100',
  '0200',
  '0400',
  '0500',
  '0301017803666f6f',
  '02020161' + '0161',
  '0402' + '01610131' + '01610132',
  '0501' + '0161' + '000000000000f87f',
  '0b00',
  '0b080200000000000000',
  '0b0c02000000020000000200' + '0100',
  '0a0b0b000000000000000000ff',
  '0e00',
  '1000',
  '1007070000000000ff',
  '1009' + '0900000001000101ff',
  '1101' + '00',
  '120102' + '07' + '07000000' + '0000ff',
  '120103' + '0161',
  '13',
].map((hex) => Buffer.from(hex, 'hex'));

describe('RESTORE against redis-server', () => {
  const both = async (...args: Argument[]): Promise<void> => {
    const [one, two] = await Promise.all([oracle.send(...args), subject.send(...args)]);
    const words = args.map((argument) => (Buffer.isBuffer(argument) ? argument.toString('hex') : String(argument)));
    expect(two.text, words.join(' ')).toBe(one.text);
  };

  it('has the same options and errors', { timeout: TIMEOUT_MS }, async () => {
    await configure([['FLUSHALL']]);
    const late = String(Date.now() + 1_000_000);
    const lines: Argument[][] = [
      ['RESTORE'],
      ['RESTORE', 'k', '0'],
      ['RESTORE', 'k', '0', GOOD],
      ['RESTORE', 'k', '0', GOOD],
      ['RESTORE', 'k', '-1', GOOD],
      ['RESTORE', 'k', '0', 'garbage'],
      ['RESTORE', 'k', '0', GOOD, 'REPLACE'],
      ['RESTORE', 'k', '0', GOOD, 'replace', 'REPLACE'],
      ['RESTORE', 'k', '-1', GOOD, 'REPLACE'],
      ['RESTORE', 'k', '-1', 'garbage', 'REPLACE'],
      ['RESTORE', 'k', 'abc', GOOD, 'REPLACE'],
      ['RESTORE', 'k', '9223372036854775808', GOOD, 'REPLACE'],
      ['RESTORE', 'k', '9223372036854775807', GOOD, 'REPLACE'],
      ['PEXPIRETIME', 'k'],
      ['RESTORE', 'k', '9223372036854775807', GOOD, 'REPLACE', 'ABSTTL'],
      ['PEXPIRETIME', 'k'],
      ['RESTORE', 'k', '1000000', GOOD, 'REPLACE'],
      ['TTL', 'k'],
      ['RESTORE', 'k', late, GOOD, 'REPLACE', 'ABSTTL'],
      ['PEXPIRETIME', 'k'],
      ['RESTORE', 'k', '0', GOOD, 'REPLACE', 'ABSTTL'],
      ['PEXPIRETIME', 'k'],
      ['RESTORE', 'k', '1', GOOD, 'REPLACE', 'ABSTTL'],
      ['EXISTS', 'k'],
      ['RESTORE', 'k', '1', GOOD, 'ABSTTL'],
      ['EXISTS', 'k'],
      ['RESTORE', 'k', '0', GOOD, 'IDLETIME'],
      ['RESTORE', 'k', '0', GOOD, 'IDLETIME', '-1'],
      ['RESTORE', 'k', '0', GOOD, 'IDLETIME', 'abc'],
      ['RESTORE', 'k', '0', GOOD, 'FREQ'],
      ['RESTORE', 'k', '0', GOOD, 'FREQ', '-1'],
      ['RESTORE', 'k', '0', GOOD, 'FREQ', '256'],
      ['RESTORE', 'k', '0', GOOD, 'FREQ', 'x'],
      ['RESTORE', 'k', '0', GOOD, 'FREQ', '1', 'IDLETIME', '1'],
      ['RESTORE', 'k', '0', GOOD, 'IDLETIME', '1', 'FREQ', '1'],
      ['RESTORE', 'k', '0', GOOD, 'WHATEVER'],
      ['RESTORE', 'k', '0', GOOD, 'REPLACE', 'WHATEVER'],
      ['RESTORE', 'k', 'abc', 'garbage', 'WHATEVER'],
      ['RESTORE', 'k', '0', GOOD, 'IDLETIME', '1000', 'REPLACE'],
      ['OBJECT', 'IDLETIME', 'k'],
      ['RESTORE', 'k', '0', GOOD, 'FREQ', '77', 'REPLACE'],
      ['OBJECT', 'FREQ', 'k'],
      ['CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lfu'],
      ['RESTORE', 'k', '0', GOOD, 'FREQ', '77', 'REPLACE'],
      ['OBJECT', 'FREQ', 'k'],
      ['RESTORE', 'k', '0', GOOD, 'IDLETIME', '1000', 'REPLACE'],
      ['CONFIG', 'SET', 'maxmemory-policy', 'noeviction'],
      ['DUMP'],
      ['DUMP', 'nosuchkey'],
      ['DUMP', 'k', 'x'],
    ];
    for (const line of lines) {
      await both(...line);
      // Our workers take a new policy over with the next second.
      if (line[2] === 'maxmemory-policy') await new Promise((resolve) => setTimeout(resolve, 1_200));
    }
  });

  it('refuses the same payloads', { timeout: TIMEOUT_MS }, async () => {
    // What we always do, Redis does when it is told.
    expect((await oracle.send('CONFIG', 'SET', 'sanitize-dump-payload', 'yes')).text).toBe('+OK\r\n');
    const payloads = [
      Buffer.alloc(0),
      Buffer.from('x'),
      GOOD.subarray(1),
      GOOD.subarray(0, -1),
      Buffer.concat([GOOD, Buffer.from('x')]),
      Buffer.concat([GOOD.subarray(0, -8), Buffer.alloc(8)]),
      ...GOOD.map((_, at) => at).reduce<Buffer[]>((list, at) => [...list, flipped(GOOD, at)], []),
      ...[0, 1, 6, 8, 10, 13, 255, 65535].map((version) => sealed(HELLO, version)),
      sealed(Buffer.from('\x00\x05hello and more', 'latin1'), 9),
      ...BAD_BODIES.map((body) => sealed(body, 9)),
    ];
    for (const payload of payloads) {
      await both('RESTORE', 'k', '0', payload, 'REPLACE');
      await both('GET', 'k');
    }
  });

  it('reads RDB 11 and 12, which are newer than the oracle, and nothing newer', async () => {
    for (const version of [11, 12]) {
      expect((await subject.send('RESTORE', 'new', '0', sealed(HELLO, version), 'REPLACE')).text).toBe('+OK\r\n');
    }
    expect((await subject.send('RESTORE', 'new', '0', sealed(HELLO, 13), 'REPLACE')).text).toBe(
      '-ERR DUMP payload version or checksum are wrong\r\n',
    );
  });
});
