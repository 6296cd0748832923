/**
 * `npm run bench:collections`: commands that read whole collections, redis-server and ours in one run.
 *
 * Method. Both servers hold the same data. For each command, one short flood of each server (support/flood.ts: pipelined
 * connections, replies counted and thrown away) tells how many commands fill the time of a run; then the servers take
 * turns, the first of a pair changing from pair to pair. Each pair gives one ratio of throughput and one of processor
 * time per command (all threads of the server); the figures are medians over the pairs. Replies must be equally long on
 * both sides: a server that answers less is faster and wrong.
 *
 * How to read it. Throughput is judged, since that is what the table names. "client" is the part of a core that
 * this program itself used, at the faster server: near 1 it was the limit, the ratio of throughput says little, and the
 * ratio of processor time is the figure to look at. The latter counts in ticks of 10 ms, hence runs of a second.
 * Where a command changes a key (…STORE, BITOP) it replaces the same result each time.
 *
 * Options: --only smembers,sort   --runs 5   --seconds 1 (per run)   --connections 4   --json FILE   --check
 *          --smoke   --ours … (see support/contenders.ts)
 */
import { parseArgs } from 'node:util';
import type { RunningServer } from '../test/support/oracle.js';
import { fillCollection, missingCommands, scatter, twelveDigits, waitForRest } from './support/collections.js';
import { CONTENDER_OPTIONS, startContenders, type Contenders } from './support/contenders.js';
import { measureReply, runFlood, type Flood } from './support/flood.js';
import { encode, load } from './support/loader.js';
import { cpuTimeUs } from './support/process-facts.js';
import { begin, finish, formatTable, isMet, type Verdict } from './support/report.js';
import { median } from './support/statistics.js';

const { values } = parseArgs({
  options: {
    ...CONTENDER_OPTIONS,
    only: { type: 'string' },
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1' },
    connections: { type: 'string', default: '4' },
    check: { type: 'boolean', default: false },
  },
});
if (values.smoke) Object.assign(values, { runs: '1', seconds: '0.02' });
const runs = Number(values.runs);

/** Sizes of the table. */
const SMALL = values.smoke ? 500 : 10_000;
const LARGE = values.smoke ? 1000 : 100_000;
const BITMAP_BYTES = (values.smoke ? 1 : 64) * 2 ** 20;
const BITMAP_PIECE_BYTES = 2 ** 20;
/** The content repeats after so many bytes: which bits are set makes no difference to any of the commands. */
const PATTERN_BYTES = 4096;
const SKETCHES = 8;
/** Enough for the dense form, which has 16,384 registers. */
const SKETCH_ELEMENTS = 50_000;

/** Bounds of the table, throughput ÷ redis. */
const READS_BOUND = 1.3;
const ALGEBRA_BOUND = 1.2;
const BITS_BOUND = 1.0;

/** Commands under way on each connection: many of the short ones, few of those that take milliseconds. */
const READS_DEPTH = 16;
const LONG_DEPTH = 2;
/** A client that uses more of a core than this is the limit. */
const CLIENT_SHARE_MAX = 0.9;

/** A key's content. */
interface Data {
  command: string;
  fill: (port: number) => Promise<void>;
}

/** One line of the report to be. */
interface Case {
  name: string;
  words: readonly string[];
  /** Keys of DATA that it reads. */
  reads: readonly string[];
  bound: number;
  depth: number;
}

function collection(key: string, command: string, count: number, element: (index: number) => string[]): [string, Data] {
  return [key, { command, fill: (port) => fillCollection(port, { command, key, count, element }) }];
}

const member = (index: number): string => `element:${twelveDigits(index)}`;

/** A string of BITMAP_BYTES with some of every bit set and clear; in pieces, so that no command is huge. */
function bitmap(key: string, seed: number): [string, Data] {
  const letters = Array.from({ length: PATTERN_BYTES }, (_, at) => 32 + ((at * 31 + (at >> 7) * seed) % 95));
  const piece = String.fromCharCode(...letters).repeat(BITMAP_PIECE_BYTES / PATTERN_BYTES);
  const pieces = BITMAP_BYTES / BITMAP_PIECE_BYTES;
  const command = (index: number): string => encode('SETRANGE', key, String(index * BITMAP_PIECE_BYTES), piece);
  return [key, { command: 'SETRANGE', fill: (port) => load(port, pieces, command, { replyLines: 1 }) }];
}

/** The second operand of each pair shares half of its members with the first. */
const shifted = (index: number): number => index + LARGE / 2;
const SKETCH_KEYS = Array.from({ length: SKETCHES }, (_, index) => `sketch:${index}`);

const DATA = new Map<string, Data>([
  collection('list', 'RPUSH', LARGE, () => ['xxx']),
  collection('set', 'SADD', SMALL, (index) => [member(index)]),
  collection('hash', 'HSET', SMALL, (index) => [member(index), `value:${twelveDigits(index)}`]),
  collection('zset', 'ZADD', SMALL, (index) => [String(scatter(index, SMALL)), member(index)]),
  collection('set:a', 'SADD', LARGE, (index) => [member(index)]),
  collection('set:b', 'SADD', LARGE, (index) => [member(shifted(index))]),
  collection('zset:a', 'ZADD', LARGE, (index) => [String(scatter(index, LARGE)), member(index)]),
  collection('zset:b', 'ZADD', LARGE, (index) => [String(scatter(index, LARGE)), member(shifted(index))]),
  collection('numbers', 'SADD', LARGE, (index) => [String(scatter(index, LARGE))]),
  bitmap('bits:a', 1),
  bitmap('bits:b', 7),
  ...SKETCH_KEYS.map((key, number) =>
    collection(key, 'PFADD', SKETCH_ELEMENTS, (index) => [member(index + (number * SKETCH_ELEMENTS) / 2)]),
  ),
]);

const read = (name: string, words: string[]): Case => {
  return { name, words, reads: [words[1] ?? ''], bound: READS_BOUND, depth: READS_DEPTH };
};
const algebra = (name: string, words: string[], reads: string[]): Case => {
  return { name, words, reads, bound: ALGEBRA_BOUND, depth: LONG_DEPTH };
};
const bits = (name: string, words: string[], reads: string[]): Case => {
  return { name, words, reads, bound: BITS_BOUND, depth: LONG_DEPTH };
};

const lrange = (count: number): Case => read(`lrange_${count}`, ['LRANGE', 'list', '0', String(count - 1)]);

const CASES: readonly Case[] = [
  ...[100, 300, 500, 600].map(lrange),
  read('smembers', ['SMEMBERS', 'set']),
  read('hgetall', ['HGETALL', 'hash']),
  read('zrange', ['ZRANGE', 'zset', '0', '-1']),
  algebra('sinter', ['SINTER', 'set:a', 'set:b'], ['set:a', 'set:b']),
  algebra('sunion', ['SUNION', 'set:a', 'set:b'], ['set:a', 'set:b']),
  algebra('zunionstore', ['ZUNIONSTORE', 'zset:out', '2', 'zset:a', 'zset:b'], ['zset:a', 'zset:b']),
  algebra('sort', ['SORT', 'numbers'], ['numbers']),
  algebra('sort_alpha', ['SORT', 'set:a', 'ALPHA'], ['set:a']),
  bits('bitcount', ['BITCOUNT', 'bits:a'], ['bits:a']),
  ...['AND', 'OR', 'XOR'].map((operation) =>
    bits(`bitop_${operation.toLowerCase()}`, ['BITOP', operation, 'bits:out', 'bits:a', 'bits:b'], ['bits:a', 'bits:b']),
  ),
  bits('bitop_not', ['BITOP', 'NOT', 'bits:out', 'bits:a'], ['bits:a']),
  bits('pfcount', ['PFCOUNT', ...SKETCH_KEYS], SKETCH_KEYS),
];

/** What one server showed in one run. */
interface Sample {
  perSec: number;
  cpuUs: number;
  clientShare: number;
}

/** One line of the report. */
interface Row {
  name: string;
  count: number;
  replyBytes: number;
  redis: Sample;
  ours: Sample;
  throughputRatio: number;
  cpuRatio: number;
  bound: number;
}

async function sample(server: RunningServer, flood: Flood): Promise<Sample> {
  const before = cpuTimeUs(server.pid);
  const { wallMs, clientShare } = await runFlood(server.port, flood);
  const cpuUs = (cpuTimeUs(server.pid) - before) / flood.count;
  return { perSec: (flood.count * 1000) / wallMs, cpuUs, clientShare };
}

/** The reply's length, which must be the same on both sides; the command's own result key comes to be on the way. */
async function agreeOnReply(servers: Contenders, one: Case): Promise<number> {
  const redis = await measureReply(servers.redis.port, one.words);
  const ours = await measureReply(servers.ours.port, one.words);
  if (redis !== ours) throw new Error(`${one.name}: redis answers ${redis} bytes, ours ${ours}`);
  return redis;
}

/** How many commands fill a run at the faster server: from one round of each, then from a tenth of a run. */
async function chooseCount(servers: Contenders, flood: Flood): Promise<number> {
  const seconds = Number(values.seconds);
  let count = flood.connections;
  for (const share of [0.1, 1]) {
    let perSec = 0;
    for (const server of [servers.redis, servers.ours]) {
      perSec = Math.max(perSec, (await sample(server, { ...flood, count })).perSec);
    }
    count = Math.max(flood.connections, Math.ceil(perSec * seconds * share));
  }
  return count;
}

async function measure(servers: Contenders, one: Case): Promise<Row> {
  const replyBytes = await agreeOnReply(servers, one);
  const shape = { words: one.words, replyBytes, connections: Number(values.connections), depth: one.depth };
  const count = await chooseCount(servers, { ...shape, count: 0 });
  const samples = { redis: [] as Sample[], ours: [] as Sample[] };
  for (let run = 0; run < runs; run++) {
    const order = run % 2 === 0 ? (['redis', 'ours'] as const) : (['ours', 'redis'] as const);
    for (const which of order) samples[which].push(await sample(servers[which], { ...shape, count }));
  }
  const ratio = (field: keyof Sample): number =>
    median(samples.ours.map((mine, run) => mine[field] / (samples.redis[run] as Sample)[field]));
  const medians = (list: Sample[]): Sample => ({
    perSec: median(list.map(({ perSec }) => perSec)),
    cpuUs: median(list.map(({ cpuUs }) => cpuUs)),
    clientShare: median(list.map(({ clientShare }) => clientShare)),
  });
  const [redis, ours] = [medians(samples.redis), medians(samples.ours)];
  const ratios = { throughputRatio: ratio('perSec'), cpuRatio: ratio('cpuUs') };
  return { name: one.name, count, replyBytes, redis, ours, ...ratios, bound: one.bound };
}

const HEADER = ['command', 'redis/s', 'ours/s', 'ratio', 'redis µs', 'ours µs', 'CPU ratio', 'client', 'target', ''];

function printRow(row: Row): string[] {
  const { redis, ours } = row;
  const rate = (perSec: number): string => perSec.toFixed(perSec < 1000 ? 1 : 0);
  const cells = [row.name, rate(redis.perSec), rate(ours.perSec), row.throughputRatio.toFixed(2)];
  cells.push(redis.cpuUs.toFixed(1), ours.cpuUs.toFixed(1), row.cpuRatio.toFixed(2));
  cells.push(Math.max(redis.clientShare, ours.clientShare).toFixed(2), row.bound.toFixed(2));
  return [...cells, isMet(judge(row)) ? 'MET' : 'MISSED'];
}

function judge(row: Row): Verdict {
  const busy = Math.max(row.redis.clientShare, row.ours.clientShare) > CLIENT_SHARE_MAX;
  const remark = busy ? '; the client was the limit, mind the CPU ratio' : '';
  const what = `throughput ÷ redis, ${row.name} (CPU ÷ redis ${row.cpuRatio.toFixed(2)}${remark})`;
  return { what, value: row.throughputRatio, bound: row.bound, kind: 'at least' };
}

/** Measures the chosen cases one after the other; null for one whose commands are not there. */
async function runCases(servers: Contenders, cases: readonly Case[]): Promise<(Row | null)[]> {
  const both = [servers.redis, servers.ours];
  const filled = new Set<string>();
  const rows: (Row | null)[] = [];
  for (const one of cases) {
    const data = one.reads.map((key) => ({ key, ...(DATA.get(key) as Data) }));
    const needed = [one.words[0] ?? '', ...data.map(({ command }) => command)];
    const lacks = await Promise.all(both.map((server) => missingCommands(server.port, needed)));
    if (lacks.flat().length > 0) {
      rows.push(null);
      continue;
    }
    for (const { key, fill } of data) {
      if (!filled.has(key)) for (const server of both) await fill(server.port);
      filled.add(key);
    }
    if (!values.smoke) for (const server of both) await waitForRest(server);
    const row = await measure(servers, one);
    rows.push(row);
    process.stderr.write(`${printRow(row).join('  ')}\n`);
  }
  return rows;
}

async function main(): Promise<void> {
  const only = values.only?.split(',');
  const cases = CASES.filter((one) => only === undefined || only.some((word) => one.name.startsWith(word)));
  if (cases.length === 0) throw new Error(`no command begins with ${values.only}`);
  begin(`whole collections, ${values.connections} pipelined connections, medians of ${runs} pairs`);
  const servers = await startContenders(values);
  let rows: (Row | null)[];
  try {
    rows = await runCases(servers, cases);
  } finally {
    await servers.stop();
  }
  const lines = cases.map((one, index) => {
    const row = rows[index];
    return row ? printRow(row) : [one.name, 'not there', ...Array<string>(6).fill(''), one.bound.toFixed(2), 'MISSED'];
  });
  console.info(`\n${formatTable(HEADER, lines)}\n`);
  const judged = cases.map((one, index): Verdict => {
    const row = rows[index];
    const absent = { what: `throughput ÷ redis, ${one.name}: not there`, value: NaN, bound: one.bound };
    return row ? judge(row) : { ...absent, kind: 'at least' };
  });
  const verdicts = values.smoke ? [] : judged;
  finish('collections', rows, verdicts, values.json);
  if (values.check && verdicts.some((verdict) => !isMet(verdict))) process.exitCode = 1;
}

await main();
