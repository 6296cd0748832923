/**
 * Random values of every type and encoding, for handing from one server to another by DUMP and RESTORE.
 *
 * A value is the commands that make it, known to Redis 7.0. Options that decide encodings are drawn small, so that
 * both sides of each threshold occur with few elements.
 *
 * What is compared of a value: DEBUG DIGEST-VALUE (what it holds), OBJECT ENCODING where both servers have the
 * same ones, and of streams what the digest leaves out, their counters, groups and pending entries.
 */
import { toPlain, type Argument, type RespClient, type Reply } from '../support/resp-client.js';
import type { Prng } from './prng.js';
import { EDGE_INTEGERS } from './values.js';

export const TYPES = ['string', 'list', 'set', 'hash', 'zset', 'stream'] as const;
export type ValueType = (typeof TYPES)[number];

/** A key and what makes it. */
export interface Recipe {
  type: ValueType;
  key: string;
  commands: Argument[][];
}

// ---- Values ----

function randomText(prng: Prng): Argument {
  switch (prng.below(7)) {
    case 0:
      return String(prng.between(-200, 200));
    case 1:
      return prng.pick(EDGE_INTEGERS);
    case 2:
      return Buffer.alloc(prng.between(20, 400), prng.pick(['x', 'abc', '\x00', 'lzf packs this well, ']));
    case 3:
      return prng.bytes(prng.below(100));
    case 4:
      return prng.bytes(prng.pick([20, 21, 63, 64, 65, 253, 254, 255]));
    default:
      return `element ${prng.below(1000)}`;
  }
}

function randomScore(prng: Prng): string {
  const edge = ['inf', '-inf', '0', '-0', '1e300', '-1e-300', '0.1', '9007199254740993', '3.0000000000000004'];
  return prng.chance(0.4) ? prng.pick(edge) : String(prng.between(-1000, 1000) / prng.pick([1, 2, 3, 8]));
}

function randomCount(prng: Prng): number {
  return prng.pick([1, 2, 3, 4, 5, 8, 20, 20, 70, prng.between(1, 300)]);
}

function repeat<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

function stringRecipe(prng: Prng, key: string): Argument[][] {
  if (prng.chance(0.15)) return [['PFADD', key, ...repeat(prng.between(1, 2000), () => String(prng.below(5000)))]];
  if (prng.chance(0.1)) return [['SET', key, prng.bytes(prng.between(10_000, 70_000))]];
  return [['SET', key, randomText(prng)]];
}

function setRecipe(prng: Prng, key: string): Argument[][] {
  const widest = prng.pick([100, 2 ** 15, 2 ** 31, 2 ** 52]);
  const integer = (): string => String(prng.between(-widest, widest));
  const isInteger = prng.chance(0.5);
  return [['SADD', key, ...repeat(randomCount(prng), () => (isInteger ? integer() : randomText(prng)))]];
}

/** Entries, then groups that read, acknowledge and claim, with deletions and trims between. */
function streamRecipe(prng: Prng, key: string): Argument[][] {
  const size = randomCount(prng);
  const fields = prng.pick([['a'], ['field', 'other'], ['field', 'other', '12']]);
  const commands: Argument[][] = repeat(size, (index) => {
    const names = prng.chance(0.8) ? fields : [...fields, 'extra'];
    return ['XADD', key, `${index + 1}-${prng.below(3)}`, ...names.flatMap((name) => [name, randomText(prng)])];
  });
  const deletion = (): Argument[] => {
    const first = prng.between(1, size);
    return ['XDEL', key, ...repeat(3, (index) => [0, 1, 2].map((seq) => `${first + index}-${seq}`)).flat()];
  };
  for (const group of ['g1', 'g2', 'g3'].slice(0, prng.below(4))) {
    commands.push(['XGROUP', 'CREATE', key, group, prng.pick(['0', '$', '3-0'])]);
    for (let reads = prng.below(4); reads > 0; reads--) {
      const count = String(prng.between(1, 10));
      commands.push(['XREADGROUP', 'GROUP', group, `c${prng.below(3)}`, 'COUNT', count, 'STREAMS', key, '>']);
    }
    if (prng.chance(0.5)) commands.push(['XGROUP', 'CREATECONSUMER', key, group, 'idle one']);
    if (prng.chance(0.5)) commands.push(['XACK', key, group, '1-0', '1-1', '1-2', '3-0']);
    if (prng.chance(0.3)) commands.push(['XAUTOCLAIM', key, group, 'c9', '0', '0', 'COUNT', '2', 'JUSTID']);
    if (prng.chance(0.3)) commands.push(deletion());
  }
  if (prng.chance(0.4)) commands.push(deletion());
  if (prng.chance(0.2)) commands.push(['XTRIM', key, 'MAXLEN', String(prng.below(size + 1))]);
  if (prng.chance(0.1)) commands.push(['XSETID', key, '9999-9']);
  return commands;
}

export function makeRecipe(prng: Prng, key: string): Recipe {
  const type = prng.pick(TYPES);
  const count = randomCount(prng);
  switch (type) {
    case 'string':
      return { type, key, commands: stringRecipe(prng, key) };
    case 'list':
      return { type, key, commands: [['RPUSH', key, ...repeat(count, () => randomText(prng))]] };
    case 'set':
      return { type, key, commands: setRecipe(prng, key) };
    case 'hash':
      return { type, key, commands: [['HSET', key, ...repeat(2 * count, () => randomText(prng))]] };
    case 'zset': {
      const members = repeat(count, () => [randomScore(prng), randomText(prng)]).flat();
      return { type, key, commands: [['ZADD', key, ...members]] };
    }
    case 'stream':
      return { type, key, commands: streamRecipe(prng, key) };
  }
}

/** CONFIG SET commands that decide encodings; the same for both servers. */
export function randomThresholds(prng: Prng): Argument[][] {
  const entries = (): string => String(prng.pick([0, 2, 4, 20, 128, 512]));
  const bytes = (): string => String(prng.pick([4, 64, 64, 300]));
  const options: [string, string][] = [
    ['hash-max-listpack-entries', entries()],
    ['hash-max-listpack-value', bytes()],
    ['zset-max-listpack-entries', entries()],
    ['zset-max-listpack-value', bytes()],
    ['set-max-intset-entries', entries()],
    ['list-max-listpack-size', String(prng.pick([-2, -1, 1, 3, 20]))],
    ['stream-node-max-entries', String(prng.pick([1, 3, 10, 100]))],
  ];
  return [
    ...options.map(([name, value]) => ['CONFIG', 'SET', name, value]),
    ['DEBUG', 'QUICKLIST-PACKED-THRESHOLD', prng.pick(['0', '50b', '200b'])],
  ];
}

// ---- Comparing ----

/** Reads facts of a key that must be the same wherever the value came from. */
async function factsOf(client: RespClient, recipe: Recipe): Promise<Record<string, unknown>> {
  const { key, type } = recipe;
  const [digest, encoding, ttl] = await client.pipeline([
    ['DEBUG', 'DIGEST-VALUE', key],
    ['OBJECT', 'ENCODING', key],
    ['TTL', key],
  ]);
  const facts: Record<string, unknown> = { digest: (digest as Reply).text, ttl: (ttl as Reply).text };
  facts['encoding'] = comparableEncoding(type, (encoding as Reply).text);
  return type === 'stream' ? { ...facts, ...(await streamFacts(client, key)) } : facts;
}

/** 7.0 has one encoding of lists, and no listpacks for sets. */
function comparableEncoding(type: ValueType, reply: string): string {
  const encoding = reply.split('\r\n')[1] ?? reply;
  if (type === 'list') return 'list';
  return type === 'set' && encoding !== 'intset' ? 'no intset' : encoding;
}

function asMap(flat: unknown): Map<string, unknown> {
  const map = new Map<string, unknown>();
  if (!Array.isArray(flat)) return map;
  for (let at = 0; at + 1 < flat.length; at += 2) map.set(String(flat[at]), flat[at + 1] as unknown);
  return map;
}

const LARGEST_ID = '18446744073709551615-18446744073709551615';
const STREAM_FIELDS = ['length', 'last-generated-id', 'max-deleted-entry-id', 'entries-added', 'recorded-first-entry-id', 'groups'];

/** What a stream has besides its entries; times are left out, since they go on. */
async function streamFacts(client: RespClient, key: string): Promise<Record<string, unknown>> {
  const [stream, groups] = await client.pipeline([
    ['XINFO', 'STREAM', key],
    ['XINFO', 'GROUPS', key],
  ]);
  const counters = asMap(toPlain((stream as Reply).value));
  const facts: Record<string, unknown> = { groups: toPlain((groups as Reply).value) };
  for (const field of STREAM_FIELDS) facts[`stream ${field}`] = counters.get(field);
  // Redis says this of an empty stream that it read from RDB 9; there is no first entry.
  if (counters.get('recorded-first-entry-id') === LARGEST_ID) facts['stream recorded-first-entry-id'] = '0-0';
  for (const group of facts['groups'] as unknown[]) {
    const name = String(asMap(group).get('name'));
    const [pending, consumers] = await client.pipeline([
      ['XPENDING', key, name, '-', '+', '1000'],
      ['XINFO', 'CONSUMERS', key, name],
    ]);
    const entries = toPlain((pending as Reply).value) as unknown[][];
    facts[`pending of ${name}`] = entries.map(([id, consumer, , deliveries]) => [id, consumer, deliveries]);
    const infos = (toPlain((consumers as Reply).value) as unknown[]).map(asMap);
    facts[`consumers of ${name}`] = infos.map((info) => [info.get('name'), info.get('pending')]);
  }
  return facts;
}

/** What differs of one key between two servers, or undefined. */
export async function differenceOf(left: RespClient, right: RespClient, recipe: Recipe): Promise<string | undefined> {
  const [one, two] = await Promise.all([factsOf(left, recipe), factsOf(right, recipe)]);
  for (const name of new Set([...Object.keys(one), ...Object.keys(two)])) {
    const [a, b] = [JSON.stringify(one[name]), JSON.stringify(two[name])];
    if (a !== b) return `${recipe.type} ${recipe.key}: ${name}: ${a} | ${b}`;
  }
  return undefined;
}

/** Bytes of a bulk string; throws with the reply when it is none. */
export function payloadOf(reply: Reply): Buffer {
  if (reply.value.kind !== 'bulk') throw new Error(`no payload: ${reply.text}`);
  return reply.value.bytes;
}
