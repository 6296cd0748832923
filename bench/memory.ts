/**
 * `npm run bench:memory`: what a million keys or elements cost, in redis-server and in ours.
 *
 * Each case starts both servers afresh, notes used_memory (INFO) and resident memory (/proc), loads the data
 * over one pipelined connection, and takes the differences: what an empty server weighs is another question.
 * used_memory is what maxmemory counts; resident memory is what the machine is short of. Both are judged for
 * strings, the small keys of which have a bound in both; the bounds of collections are on used_memory, and resident
 * memory is shown beside it. Keys, members, fields and items of the strings and the big collections have ten bytes, are no
 * numbers (which may be stored shorter) and differ (what repeats may be shared); the small hashes and the stream hold
 * what an application would: short names, small numbers, values that come again.
 *
 * Options: --what strings,zset,hash,set,small-hashes,list,stream (default: all)   --keys 1000000 (or elements)
 *          --json FILE   --check   --smoke   --ours … (see support/contenders.ts)
 */
import { parseArgs } from 'node:util';
import type { RunningServer } from '../test/support/oracle.js';
import { fillCollection, missingCommands, scatter } from './support/collections.js';
import { CONTENDER_OPTIONS, startContenders, type Contenders } from './support/contenders.js';
import { ask, encode, infoNumber, load } from './support/loader.js';
import { residentBytes } from './support/process-facts.js';
import { begin, finish, formatTable, isMet, type Verdict } from './support/report.js';

const { values } = parseArgs({
  options: {
    ...CONTENDER_OPTIONS,
    what: { type: 'string' },
    keys: { type: 'string', default: '1000000' },
    check: { type: 'boolean', default: false },
  },
});
const keys = values.smoke ? 20_000 : Number(values.keys);

/** Bound and aim for small strings, used and resident. */
const STRING_TARGET = { bound: 0.6, aim: 0.5 };

/** Time for a server's counters to catch up after a load: both refresh theirs ten times a second or more. */
const SETTLE_MS = 300;

/** One line of the report to be. */
interface Case {
  /** Its word for --what. */
  group: string;
  what: string;
  /** The commands that fill it. */
  command: string;
  /** Used memory ÷ redis; a case without bound is only shown. */
  target?: { bound: number; aim?: number };
  isResidentJudged: boolean;
  fill: (port: number) => Promise<void>;
  /** Asks how much there is; must be `keys`. */
  size: readonly string[];
}

const tenBytes = (letter: string, index: number): string => `${letter}${String(index).padStart(9, '0')}`;

function strings(valueBytes: number, withTtl: boolean): Case {
  const build = (index: number): string => {
    const key = tenBytes('k', index);
    const value = tenBytes('v', index).padEnd(valueBytes, 'x');
    return withTtl ? encode('SET', key, value, 'EX', String(100_000 + (index % 1000))) : encode('SET', key, value);
  };
  const what = `${valueBytes}-byte values${withTtl ? ', TTL' : ''}`;
  const fill = (port: number): Promise<void> => load(port, keys, build);
  const one: Case = { group: 'strings', what, command: 'SET', isResidentJudged: true, fill, size: ['DBSIZE'] };
  // The bound is for small keys; a hundred bytes of value are a hundred bytes in any layout.
  return valueBytes > 10 ? one : { ...one, target: STRING_TARGET };
}

/** One key that holds all elements. */
function collection(
  group: string,
  what: string,
  bound: number,
  words: { command: string; size: string; element: (index: number) => string[] },
): Case {
  const { command, size, element } = words;
  const fill = (port: number): Promise<void> => fillCollection(port, { command, key: group, count: keys, element });
  return { group, what, command, target: { bound }, isResidentJudged: false, fill, size: [size, group] };
}

/** A hash of five short fields as an application would keep a user: about 40 bytes of names and values. */
function smallHash(index: number): string {
  const person = ['name', `user${index % 10_007}`, 'city', `c${index % 1009}`, 'age', String(index % 90)];
  return encode('HSET', tenBytes('h', index), ...person, 'score', String(index % 5000), 'seen', tenBytes('t', index));
}

/** An entry of two fields every millisecond, as of some sensors. */
function streamEntry(index: number): string {
  const fields = ['sensor', String(index % 1000), 'value', `${index % 100}.${index % 7}`];
  return encode('XADD', 'stream', `${1_700_000_000_000 + index}-0`, ...fields);
}

const CASES: readonly Case[] = [
  strings(10, false),
  strings(10, true),
  strings(100, false),
  strings(100, true),
  collection('zset', 'one sorted set', 0.7, {
    command: 'ZADD',
    size: 'ZCARD',
    element: (index) => [String(scatter(index, keys)), tenBytes('m', index)],
  }),
  collection('hash', 'one hash', 0.7, {
    command: 'HSET',
    size: 'HLEN',
    element: (index) => [tenBytes('f', index), tenBytes('v', index)],
  }),
  collection('set', 'one set', 0.7, { command: 'SADD', size: 'SCARD', element: (index) => [tenBytes('m', index)] }),
  {
    group: 'small-hashes',
    what: 'hashes of 5 fields',
    command: 'HSET',
    target: { bound: 0.8 },
    isResidentJudged: false,
    fill: (port) => load(port, keys, smallHash, { replyLines: 1 }),
    size: ['DBSIZE'],
  },
  collection('list', 'one list', 1, { command: 'RPUSH', size: 'LLEN', element: (index) => [tenBytes('i', index)] }),
  {
    group: 'stream',
    what: 'one stream, 2 fields',
    command: 'XADD',
    target: { bound: 1 },
    isResidentJudged: false,
    // The reply is the ID: its length, and itself.
    fill: (port) => load(port, keys, streamEntry, { replyLines: 2 }),
    size: ['XLEN', 'stream'],
  },
];

/** Bytes per key or element that a load has added. */
interface Weight {
  used: number;
  resident: number;
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, SETTLE_MS));

async function weigh(server: RunningServer, one: Case): Promise<Weight> {
  const { port, pid } = server;
  await settle();
  const usedBefore = await infoNumber(port, 'memory', 'used_memory');
  const residentBefore = residentBytes(pid);
  await one.fill(port);
  await settle();
  const size = Number(await ask(port, ...one.size));
  if (size !== keys) throw new Error(`${server.name} holds ${size} of ${keys} after filling ${one.what}`);
  const used = ((await infoNumber(port, 'memory', 'used_memory')) - usedBefore) / keys;
  return { used, resident: (residentBytes(pid) - residentBefore) / keys };
}

/** What a case has shown; without figures when a server lacks the command. */
interface Result {
  one: Case;
  redis?: Weight;
  ours?: Weight;
}

async function compareCase(servers: Contenders, one: Case): Promise<Result> {
  for (const { port } of [servers.redis, servers.ours]) {
    if ((await missingCommands(port, [one.command])).length > 0) return { one };
  }
  return { one, redis: await weigh(servers.redis, one), ours: await weigh(servers.ours, one) };
}

function printResult({ one, redis, ours }: Result): string[] {
  if (redis === undefined || ours === undefined) return [one.what, 'not there'];
  const cells = [redis.used, ours.used, ours.used / redis.used, redis.resident, ours.resident];
  return [one.what, ...[...cells, ours.resident / redis.resident].map((cell) => cell.toFixed(2))];
}

function judge({ one, redis, ours }: Result): Verdict[] {
  const { target, what } = one;
  if (target === undefined) return [];
  const judged = { ...target, kind: 'at most' as const };
  if (redis === undefined || ours === undefined) {
    return [{ what: `used_memory ÷ redis, ${what}: not there`, value: NaN, ...judged }];
  }
  const used: Verdict = { what: `used_memory ÷ redis, ${what}`, value: ours.used / redis.used, ...judged };
  if (!one.isResidentJudged) return [used];
  return [used, { what: `resident ÷ redis, ${what}`, value: ours.resident / redis.resident, ...judged }];
}

async function main(): Promise<void> {
  const wanted = values.what?.split(',');
  const unknown = wanted?.filter((word) => !CASES.some((one) => one.group === word)) ?? [];
  if (unknown.length > 0) throw new Error(`--what does not know ${unknown.join(', ')}`);
  begin(`memory of ${keys} keys or elements, bytes each`);
  const results: Result[] = [];
  for (const one of CASES.filter(({ group }) => wanted?.includes(group) ?? true)) {
    const servers = await startContenders(values);
    try {
      results.push(await compareCase(servers, one));
    } finally {
      await servers.stop();
    }
  }
  const header = ['case', 'redis used', 'ours used', 'ratio', 'redis RSS', 'ours RSS', 'ratio'];
  console.info(`${formatTable(header, results.map(printResult))}\n`);
  const verdicts = values.smoke ? [] : results.flatMap(judge);
  const figures = results.map(({ one, redis, ours }) => ({ case: one.what, group: one.group, redis, ours }));
  finish('memory', figures, verdicts, values.json);
  if (values.check && verdicts.some((verdict) => !isMet(verdict))) process.exitCode = 1;
}

await main();
