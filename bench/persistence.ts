/**
 * `npm run bench:persistence`: what it costs to lose nothing, in redis-server and in ours.
 *
 * journal    SETs with the AOF on: pipelined under everysec, single ones of 50 clients under always, and GETs of 50
 *            clients beside 8 that SET under always. The append-only files lie in the servers' own folders.
 * snapshot   A dataset of mixed types (--megabytes, by redis-server's used_memory: strings of 100 bytes that do not compress,
 *            hashes, lists, sets, sorted sets, a stream, and some big values) is made once, saved by redis-server, and
 *            loaded by both from that file. Then BGSAVE on the idle servers, and BGSAVE while 50 clients SET as fast as they can:
 *            how long it takes, how much memory the server and its child take beyond what they had (sampled from
 *            /proc, shared pages counted once), and how long single SETs wait, with and without.
 *
 * All figures are ratios of two servers in the same run, medians of --runs; the files are on whatever disk the system's
 * folder for temporary files is (TMPDIR).
 *
 * Options: --what journal,snapshot (default: both)   --runs 3   --seconds 2   --megabytes 1000
 *          --json FILE   --check   --smoke   --ours … (see support/contenders.ts)
 */
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { RunningServer } from '../test/support/oracle.js';
import { runClientLoad, type Sample } from './support/client-load.js';
import { CONTENDER_OPTIONS, startContender } from './support/contenders.js';
import { ask, encode, infoNumber, load } from './support/loader.js';
import { begin, finish, formatTable, isMet, type Verdict } from './support/report.js';
import { median } from './support/statistics.js';

const { values } = parseArgs({
  options: {
    ...CONTENDER_OPTIONS,
    what: { type: 'string', default: 'journal,snapshot' },
    runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    megabytes: { type: 'string', default: '1000' },
    check: { type: 'boolean', default: false },
  },
});
const runs = values.smoke ? 1 : Number(values.runs);
const seconds = values.smoke ? '0.2' : values.seconds;
const megabytes = values.smoke ? 4 : Number(values.megabytes);

const CLIENTS = 50;
const WRITERS = 8;
const VALUE_BYTES = 100;
/** Keys that the journal's cases write: enough that few meet, few enough that the files stay small. */
const JOURNAL_KEYS = 100_000;

const sleep = (timeMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, timeMs));
const names = ['redis', 'ours'] as const;
type Name = (typeof names)[number];

const verdicts: Verdict[] = [];
const results: Record<string, unknown> = {};

function ops(server: RunningServer, words: readonly string[]): Promise<Sample> {
  return runClientLoad(server, ['ops', ...words, '--payload', String(VALUE_BYTES)]);
}

// ---- The journal ----

interface JournalCase {
  name: string;
  appendfsync: 'always' | 'everysec';
  bound: number;
  measure: (server: RunningServer) => Promise<Sample>;
}

const set = (server: RunningServer, clients: number, depth: number, timeSec = seconds): Promise<Sample> =>
  ops(server, ['--verb', 'set', '--connections', String(clients), '--depth', String(depth), '--seconds', timeSec,
    '--range', String(JOURNAL_KEYS)]);

const JOURNAL_CASES: readonly JournalCase[] = [
  {
    name: 'SET, 50 clients, pipeline 16, everysec',
    appendfsync: 'everysec',
    bound: 1.5,
    measure: (server) => set(server, CLIENTS, 16),
  },
  {
    name: 'SET, 50 clients, always',
    appendfsync: 'always',
    bound: 1.5,
    measure: (server) => set(server, CLIENTS, 1),
  },
  {
    name: 'GET, 50 clients, beside 8 that SET, always',
    appendfsync: 'always',
    bound: 5,
    measure: async (server) => {
      const count = String(JOURNAL_KEYS);
      await load(server.port, JOURNAL_KEYS, (index) =>
        encode('SET', `key:${String(index).padStart(8, '0')}`, 'v'.repeat(VALUE_BYTES)));
      const writers = set(server, WRITERS, 1, String(Number(seconds) * 1.5));
      await sleep(Number(seconds) * 200);
      const sample = await ops(server, ['--verb', 'get', '--connections', String(CLIENTS), '--depth', '1',
        '--seconds', seconds, '--range', count]);
      await writers;
      return sample;
    },
  },
];

async function journalSection(): Promise<void> {
  const rows: string[][] = [];
  for (const one of JOURNAL_CASES) {
    const samples: Record<Name, Sample[]> = { redis: [], ours: [] };
    for (let run = 0; run < runs; run++) {
      for (const name of names) {
        const server = await startContender(name, values, ['--appendonly', 'yes', '--appendfsync', one.appendfsync]);
        try {
          samples[name].push(await one.measure(server));
        } finally {
          await server.stop();
        }
      }
    }
    const of = (name: Name, measure: keyof Sample): number => median(samples[name].map((sample) => sample[measure]));
    const ratio = of('ours', 'perSec') / of('redis', 'perSec');
    const cpu = of('ours', 'cpuUs') / of('redis', 'cpuUs');
    verdicts.push({ what: `throughput ÷ redis, ${one.name}`, value: ratio, bound: one.bound, kind: 'at least' });
    rows.push([one.name, of('redis', 'perSec').toFixed(0), of('ours', 'perSec').toFixed(0), ratio.toFixed(2),
      cpu.toFixed(2), of('redis', 'p99Us').toFixed(0), of('ours', 'p99Us').toFixed(0)]);
    results[one.name] = samples;
  }
  console.info(formatTable(['with the AOF on', 'redis/s', 'ours/s', 'ratio', 'CPU ratio', 'redis p99 µs', 'ours p99 µs'], rows));
  console.info('');
}

// ---- Snapshots ----

/** Bytes of text that does not compress much, another one for each index. */
function noise(index: number, bytes: number): string {
  let state = (index * 2_654_435_761) >>> 0;
  let text = '';
  while (text.length < bytes) {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    text += state.toString(36);
  }
  return text.slice(0, bytes);
}

const digits = (index: number): string => String(index).padStart(8, '0');

/** Fills a server up to about so many megabytes of used memory; gives back how many string keys there are. */
async function fill(port: number): Promise<number> {
  const strings = Math.round(megabytes * 4_000);
  const small = Math.round(megabytes * 120);
  const big = Math.round(megabytes * 300);
  await load(port, strings, (index) => encode('SET', `key:${digits(index)}`, noise(index, VALUE_BYTES)));
  const lines = { replyLines: 1 };
  const five = (build: (index: number) => string[], of: number): string[] =>
    Array.from({ length: 5 }, (_, at) => build(of * 5 + at)).flat();
  await load(port, small, (index) => encode('HSET', `hash:${digits(index)}`, ...five((at) => [`f${at}`, noise(at, 20)], index)), lines);
  await load(port, small, (index) => encode('ZADD', `zset:${digits(index)}`, ...five((at) => [String(at % 1000), noise(at, 12)], index)), lines);
  await load(port, small, (index) => encode('RPUSH', `list:${digits(index)}`, ...five((at) => [noise(at, 30)], index)), lines);
  await load(port, small, (index) => encode('SADD', `set:${digits(index)}`, ...five((at) => [noise(at, 16)], index)), lines);
  await load(port, big, (index) => encode('ZADD', `big:zset:${index % 4}`, String(index * 7 % big), `member:${index}`), lines);
  await load(port, big, (index) => encode('HSET', `big:hash:${index % 4}`, `field:${index}`, noise(index, 20)), lines);
  await load(port, big, (index) => encode('RPUSH', `big:list:${index % 4}`, noise(index, 20)), lines);
  await load(port, big, (index) => encode('XADD', 'big:stream', `${index + 1}-0`, 'sensor', String(index % 100), 'value', String(index % 9973)), { replyLines: 2 });
  return strings;
}

/** Proportional set size of a process and its children: what they take together, shared pages once. */
function residentBytes(pid: number): number {
  let bytes = 0;
  for (const one of [pid, ...childrenOf(pid)]) {
    try {
      const rollup = readFileSync(`/proc/${one}/smaps_rollup`, 'utf8');
      bytes += Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0) * 1024;
    } catch {
      // It has ended.
    }
  }
  return bytes;
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter((word) => word !== '').map(Number));
  } catch {
    return [];
  }
}

/** Seconds that a BGSAVE takes, from the command to the new LASTSAVE state. */
async function saveSec(port: number): Promise<number> {
  const startedAt = performance.now();
  await ask(port, 'BGSAVE');
  while ((await infoNumber(port, 'persistence', 'rdb_bgsave_in_progress')) === 1) await sleep(10);
  return (performance.now() - startedAt) / 1000;
}

interface SnapshotResult {
  loadSec: number;
  idleSaveSec: number;
  busySaveSec: number;
  extraShare: number;
  quiet: Sample;
  during: Sample;
}

/** What the ready server says of the time it took to load. */
function loadedSec(server: RunningServer): number {
  const text = /DB loaded from disk: ([0-9.]+) seconds/.exec(server.log())?.[1];
  return text === undefined ? NaN : Number(text);
}

async function snapshotOf(name: Name, file: string, strings: number): Promise<SnapshotResult> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-persistence-'));
  copyFileSync(file, join(folder, 'dump.rdb'));
  const server = await startContender(name, values, ['--dir', folder]);
  try {
    const loadSec = loadedSec(server);
    const idleSaveSec = await saveSec(server.port);
    const writes = (timeSec: number): Promise<Sample> => ops(server, ['--verb', 'set', '--connections', String(CLIENTS),
      '--depth', '1', '--range', String(strings), '--seconds', String(timeSec)]);
    const quiet = await writes(values.smoke ? 0.3 : 5);
    // The writes go on from before the snapshot to about its end, as long as the idle one took and half as much.
    const during = writes(Math.max(0.5, idleSaveSec * 1.5));
    await sleep(Math.max(50, idleSaveSec * 150));
    const before = residentBytes(server.pid);
    let peak = before;
    const timer = setInterval(() => (peak = Math.max(peak, residentBytes(server.pid))), 100);
    const busySaveSec = await saveSec(server.port);
    clearInterval(timer);
    return { loadSec, idleSaveSec, busySaveSec, extraShare: (peak - before) / before, quiet, during: await during };
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function snapshotSection(): Promise<void> {
  const maker = await startContender('redis', values);
  const home = mkdtempSync(join(tmpdir(), 'bench-persistence-file-'));
  const file = join(home, 'dump.rdb');
  try {
    const strings = await fill(maker.port);
    const used = await infoNumber(maker.port, 'memory', 'used_memory');
    await ask(maker.port, 'SAVE');
    copyFileSync(join(maker.dir, 'dump.rdb'), file);
    await maker.stop();
    console.info(`dataset: ${(used / 1e6).toFixed(0)} MB used by redis-server\n`);
    const all: Record<Name, SnapshotResult[]> = { redis: [], ours: [] };
    for (let run = 0; run < runs; run++) {
      for (const name of names) all[name].push(await snapshotOf(name, file, strings));
    }
    reportSnapshots(all);
  } finally {
    await maker.stop();
    rmSync(home, { recursive: true, force: true });
  }
}

function reportSnapshots(all: Record<Name, SnapshotResult[]>): void {
  const of = (name: Name, measure: (result: SnapshotResult) => number): number => median(all[name].map(measure));
  const rows: string[][] = [];
  const row = (what: string, measure: (result: SnapshotResult) => number, show: (value: number) => string): number => {
    const ratio = of('ours', measure) / of('redis', measure);
    rows.push([what, show(of('redis', measure)), show(of('ours', measure)), ratio.toFixed(2)]);
    return ratio;
  };
  const timed = (value: number): string => `${value.toFixed(2)} s`;
  const us = (value: number): string => `${value.toFixed(0)} µs`;
  const atMost = (what: string, value: number, bound: number): number => verdicts.push({ what, value, bound, kind: 'at most' });
  atMost('load time of an RDB ÷ redis', row('load', (result) => result.loadSec, timed), 0.7);
  atMost('BGSAVE time ÷ redis, idle', row('BGSAVE, idle', (result) => result.idleSaveSec, timed), 1);
  atMost('BGSAVE time ÷ redis, under writes', row('BGSAVE, under writes', (result) => result.busySaveSec, timed), 1);
  row('extra memory', (result) => result.extraShare, (value) => `${(value * 100).toFixed(1)} %`);
  atMost('extra memory during BGSAVE under full write load, %', of('ours', (result) => result.extraShare) * 100, 5);
  row('SET/s without snapshot', (result) => result.quiet.perSec, (value) => value.toFixed(0));
  row('SET/s during it', (result) => result.during.perSec, (value) => value.toFixed(0));
  row('p99.9 without', (result) => result.quiet.p999Us, us);
  row('p99.9 during', (result) => result.during.p999Us, us);
  row('longest without', (result) => result.quiet.maxUs, us);
  row('longest during', (result) => result.during.maxUs, us);
  atMost('longest wait of a SET during a snapshot, ms', of('ours', (result) => result.during.maxUs) / 1000, 10);
  atMost('p99.9 of SET during a snapshot ÷ without', of('ours', (result) => result.during.p999Us / result.quiet.p999Us), 2);
  console.info(formatTable(['snapshots', 'redis', 'ours', 'ratio'], rows));
  console.info('');
  results['snapshot'] = all;
}

begin('Persistence');
const chosen = values.what.split(',');
if (chosen.includes('journal')) await journalSection();
if (chosen.includes('snapshot')) await snapshotSection();
finish('persistence', results, verdicts, values.json);
if (values.check && !verdicts.every(isMet)) process.exitCode = 1;
