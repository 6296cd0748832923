/**
 * `npm run bench:persistence`: what it costs to lose nothing, in redis-server and in ours.
 *
 * journal    SETs with the AOF on: pipelined under everysec, single ones of 50 clients under always, and GETs of 50
 *            clients beside 8 that SET under always. The append-only files lie in the servers' own folders. What waits
 *            for a sync depends on the disk: --sync-ms 0,2,5 takes the section with the disk as it is, and with 2 and 5
 *            milliseconds on top of every fsync and fdatasync of both servers (support/slow-sync.c), as on disks
 *            behind a network. The GETs are judged for each delay by itself, the SETs with the disk as it is: behind
 *            a slow one 50 clients that wait cannot write more than 50 commands a sync, whatever serves them.
 * snapshot   A dataset of mixed types (--megabytes, by redis-server's used_memory: strings of 100 bytes that do not
 *            compress, hashes, lists, sets, sorted sets, a stream, and some big values; native/load/fill.cc) is made
 *            once, saved by redis-server, and loaded by both from that file, one server at a time. Then BGSAVE on the
 *            idle servers, and BGSAVE while 50 clients SET as fast as they can: how long it takes, how much memory the
 *            server and its child take beyond what they had (sampled from /proc, shared pages counted once), and how
 *            long single SETs wait, without it, during it, and while another process copies the file, which shows
 *            what the machine makes of writing to the disk; and, for ours, the longest that the snapshot's thread
 *            held a shard in processor time. Where the disk takes processors away from the machine (virtual ones do),
 *            that is in both: a folder in memory (TMPDIR) shows what is the snapshot's. --cases load,bgsave,busy
 *            leaves out what it does not name (all must load, and "busy" takes the length of its writes from an idle
 *            BGSAVE, whose row it does not print).
 *
 * All figures are ratios of two servers in the same run, medians of --runs; the files are on whatever disk the system's
 * folder for temporary files is (TMPDIR). For --megabytes 5000 use --runs 1, and let 15 GB of it be free.
 *
 * Options: --what journal,snapshot (default: both)   --runs 3   --seconds 2   --megabytes 1000   --sync-ms 0
 *          --cases load,bgsave,busy   --json FILE   --check   --smoke   --ours … (see support/contenders.ts)
 */
import { execFile } from 'node:child_process';
import { linkSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import type { RunningServer } from '../test/support/oracle.js';
import { runClientLoad, type Sample } from './support/client-load.js';
import { CONTENDER_OPTIONS, startContender } from './support/contenders.js';
import { ask, encode, infoNumber, load } from './support/loader.js';
import { begin, finish, formatTable, isMet, type Verdict } from './support/report.js';
import { SlowSync } from './support/slow-sync.js';
import { median } from './support/statistics.js';

const execute = promisify(execFile);

const { values } = parseArgs({
  options: {
    ...CONTENDER_OPTIONS,
    what: { type: 'string', default: 'journal,snapshot' },
    cases: { type: 'string', default: 'load,bgsave,busy' },
    'sync-ms': { type: 'string', default: '0' },
    runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    megabytes: { type: 'string', default: '1000' },
    check: { type: 'boolean', default: false },
  },
});
const runs = values.smoke ? 1 : Number(values.runs);
const seconds = values.smoke ? '0.2' : values.seconds;
const megabytes = values.smoke ? 4 : Number(values.megabytes);

/** Delays on top of what a sync takes. */
const syncDelaysMs = values['sync-ms'].split(',').map(Number);
if (syncDelaysMs.some((delayMs) => !(delayMs >= 0))) throw new Error(`--sync-ms ${values['sync-ms']}: milliseconds`);

const CLIENTS = 50;
const WRITERS = 8;
const VALUE_BYTES = 100;
/** Keys that the journal's cases write: enough that few meet, few enough that the files stay small. */
const JOURNAL_KEYS = 100_000;

/** String keys of the snapshots' dataset: with everything else about a megabyte for 4000 of them. */
const strings = Math.round(megabytes * 4_000);
const cases = values.cases.split(',');
const unknownCases = cases.filter((word) => !['load', 'bgsave', 'busy'].includes(word));
if (unknownCases.length > 0) throw new Error(`--cases does not know ${unknownCases.join(', ')}`);
const withCase = (word: 'load' | 'bgsave' | 'busy'): boolean => cases.includes(word);

/** So fast, about, a disk takes a copy; it decides for how long a server is looked at beside one. */
const COPY_BYTES_PER_SEC = 300e6;

const digits = (index: number): string => String(index).padStart(8, '0');
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
  /** Its bound is one of the server alone, however slow the disk. */
  isJudgedWhenSlow: boolean;
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
    isJudgedWhenSlow: false,
    measure: (server) => set(server, CLIENTS, 16),
  },
  {
    name: 'SET, 50 clients, always',
    appendfsync: 'always',
    bound: 1.5,
    isJudgedWhenSlow: false,
    measure: (server) => set(server, CLIENTS, 1),
  },
  {
    name: 'GET, 50 clients, beside 8 that SET, always',
    appendfsync: 'always',
    bound: 5,
    isJudgedWhenSlow: true,
    measure: async (server) => {
      const count = String(JOURNAL_KEYS);
      await load(server.port, JOURNAL_KEYS, (index) =>
        encode('SET', `key:${digits(index)}`, 'v'.repeat(VALUE_BYTES)));
      const writers = set(server, WRITERS, 1, String(Number(seconds) * 1.5));
      await sleep(Number(seconds) * 200);
      const sample = await ops(server, ['--verb', 'get', '--connections', String(CLIENTS), '--depth', '1',
        '--seconds', seconds, '--range', count]);
      await writers;
      return sample;
    },
  },
];

/** Runs a case on both servers, alternately, each run on a server of its own. */
async function runJournalCase(one: JournalCase, env: NodeJS.ProcessEnv): Promise<Record<Name, Sample[]>> {
  const samples: Record<Name, Sample[]> = { redis: [], ours: [] };
  for (let run = 0; run < runs; run++) {
    for (const name of names) {
      const words = ['--appendonly', 'yes', '--appendfsync', one.appendfsync];
      const server = await startContender(name, values, words, env);
      try {
        samples[name].push(await one.measure(server));
      } finally {
        await server.stop();
      }
    }
  }
  return samples;
}

async function journalSection(delayMs: number, env: NodeJS.ProcessEnv): Promise<void> {
  const disk = delayMs === 0 ? '' : `, syncs + ${delayMs} ms`;
  const rows: string[][] = [];
  for (const one of JOURNAL_CASES) {
    const samples = await runJournalCase(one, env);
    const of = (name: Name, measure: keyof Sample): number => median(samples[name].map((sample) => sample[measure]));
    const ratio = of('ours', 'perSec') / of('redis', 'perSec');
    const cpu = of('ours', 'cpuUs') / of('redis', 'cpuUs');
    const name = one.name + disk;
    if (delayMs === 0 || one.isJudgedWhenSlow) {
      verdicts.push({ what: `throughput ÷ redis, ${name}`, value: ratio, bound: one.bound, kind: 'at least' });
    }
    rows.push([name, of('redis', 'perSec').toFixed(0), of('ours', 'perSec').toFixed(0), ratio.toFixed(2),
      cpu.toFixed(2), of('redis', 'p99Us').toFixed(0), of('ours', 'p99Us').toFixed(0)]);
    results[name] = samples;
  }
  const title = `with the AOF on${disk === '' ? ', the disk as it is' : disk}`;
  console.info(formatTable([title, 'redis/s', 'ours/s', 'ratio', 'CPU ratio', 'redis p99 µs', 'ours p99 µs'], rows));
  console.info('');
}

async function journalSections(): Promise<void> {
  const slowSync = new SlowSync();
  try {
    for (const delayMs of syncDelaysMs) await journalSection(delayMs, slowSync.env(delayMs));
  } finally {
    slowSync.close();
  }
}

// ---- Snapshots ----

/**
 * Memory of a process and its children: what they take together, shared pages once. Proportional set sizes are asked
 * for only where there is a child: to find them the kernel walks all pages of a process, which that process feels.
 */
function residentBytes(pid: number): number {
  const children = childrenOf(pid);
  if (children.length === 0) return kilobytes(`/proc/${pid}/status`, 'VmRSS') * 1024;
  let sum = 0;
  for (const one of [pid, ...children]) sum += kilobytes(`/proc/${one}/smaps_rollup`, 'Pss') * 1024;
  return sum;
}

/** A line of a /proc file; 0 when the process has ended. */
function kilobytes(file: string, name: string): number {
  try {
    return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(file, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
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
  /** NaN and undefined where --cases leaves a part out. */
  idleSaveSec: number;
  busy: BusySave | undefined;
}

interface BusySave {
  saveSec: number;
  /** The longest that the snapshot's thread held a shard, or all of them; NaN: the server does not say. */
  heldMs: number;
  extraShare: number;
  quiet: Sample;
  during: Sample;
  /** While another process writes a file as large: what the machine makes of that by itself. */
  copying: Sample;
}

/** What the ready server says of the time it took to load. */
function loadedSec(server: RunningServer): number {
  const text = /DB loaded from disk: ([0-9.]+) seconds/.exec(server.log())?.[1];
  return text === undefined ? NaN : Number(text);
}

/** Notes how much memory a server takes at most, until it is stopped. Looking costs time, so it looks less at much. */
function watchMemory(pid: number): () => number {
  let peak = 0;
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    const startedAt = performance.now();
    peak = Math.max(peak, residentBytes(pid));
    timer = setTimeout(look, Math.max(100, 20 * (performance.now() - startedAt)));
  };
  look();
  return () => {
    clearTimeout(timer);
    return peak;
  };
}

async function saveUnderWrites(server: RunningServer, folder: string, idleSaveSec: number): Promise<BusySave> {
  const writes = (timeSec: number): Promise<Sample> => ops(server, ['--verb', 'set', '--connections', String(CLIENTS),
    '--depth', '1', '--range', String(strings), '--seconds', String(timeSec)]);
  const quiet = await writes(values.smoke ? 0.3 : 5);
  // The writes go on from before the snapshot to about its end, as long as the idle one took and half as much.
  const during = writes(Math.max(0.5, idleSaveSec * 1.5));
  await sleep(Math.max(50, idleSaveSec * 150));
  const before = residentBytes(server.pid);
  const stopWatching = watchMemory(server.pid);
  const busySaveSec = await saveSec(server.port);
  const peak = stopWatching();
  const held = /Snapshot: longest stay in a shard ([\d.]+) ms, in all of them ([\d.]+) ms/g;
  const [, inShardMs, inAllMs] = [...server.log().matchAll(held)].at(-1) ?? [];
  const heldMs = Math.max(Number(inShardMs), Number(inAllMs));
  const sample = await during;
  const copying = await writesBesideCopy(writes, join(folder, 'dump.rdb'));
  return { saveSec: busySaveSec, heldMs, extraShare: (peak - before) / before, quiet, during: sample, copying };
}

/** The same writes for as long as another process takes to make a copy of the snapshot's file and sync it. */
async function writesBesideCopy(writes: (timeSec: number) => Promise<Sample>, file: string): Promise<Sample> {
  const copy = `${file}.copy`;
  const words = [`if=${file}`, `of=${copy}`, 'bs=64k', 'conv=fsync', 'status=none'];
  const isCopied = execute('dd', words);
  try {
    return await writes(Math.max(0.5, statSync(file).size / COPY_BYTES_PER_SEC));
  } finally {
    await isCopied;
    rmSync(copy, { force: true });
  }
}

async function snapshotOf(name: Name, file: string): Promise<SnapshotResult> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-persistence-'));
  // A second name instead of a copy: servers replace the file and never write into it.
  linkSync(file, join(folder, 'dump.rdb'));
  // ours says at this level how long a snapshot held shards
  const server = await startContender(name, values, ['--dir', folder, '--loglevel', 'verbose']);
  try {
    const loadSec = loadedSec(server);
    const idleSaveSec = withCase('bgsave') || withCase('busy') ? await saveSec(server.port) : NaN;
    const busy = withCase('busy') ? await saveUnderWrites(server, folder, idleSaveSec) : undefined;
    return { loadSec, idleSaveSec, busy };
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs a part of the section and says how long it took, for those who wait for gigabytes. */
async function timed<T>(what: string, part: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const result = await part();
  process.stderr.write(`${what}: ${((performance.now() - startedAt) / 1000).toFixed(1)} s\n`);
  return result;
}

/** Makes the dataset in a redis-server, which saves it to `file`. */
async function makeFile(file: string): Promise<void> {
  const maker = await startContender('redis', values);
  try {
    const words = ['fill', '--range', String(strings), '--payload', String(VALUE_BYTES)];
    await timed('fill', () => runClientLoad(maker, words));
    const used = await infoNumber(maker.port, 'memory', 'used_memory');
    await timed('SAVE by redis', () => ask(maker.port, 'SAVE'));
    renameSync(join(maker.dir, 'dump.rdb'), file);
    console.info(`dataset: ${(used / 1e6).toFixed(0)} MB used by redis-server\n`);
  } finally {
    await maker.stop();
  }
}

async function snapshotSection(): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'bench-persistence-file-'));
  const file = join(home, 'dump.rdb');
  try {
    await makeFile(file);
    const all: Record<Name, SnapshotResult[]> = { redis: [], ours: [] };
    for (let run = 0; run < runs; run++) {
      // One after the other: the machine need not hold both.
      for (const name of names) {
        const result = await timed(`${name}, run ${run + 1}`, () => snapshotOf(name, file));
        const times = [result.loadSec, result.idleSaveSec, result.busy?.saveSec ?? NaN].map(showSec);
        process.stderr.write(`  load ${times[0]}, BGSAVE ${times[1]}, under writes ${times[2]}\n`);
        all[name].push(result);
      }
    }
    reportSnapshots(all);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** The table of the snapshots, row by row. */
class SnapshotReport {
  readonly rows: string[][] = [];
  constructor(private readonly all: Record<Name, SnapshotResult[]>) {}

  of(name: Name, measure: (result: SnapshotResult) => number): number {
    return median(this.all[name].map(measure));
  }

  /** Adds a row and gives back its ratio. */
  add(what: string, measure: (result: SnapshotResult) => number, show: (value: number) => string): number {
    const ratio = this.of('ours', measure) / this.of('redis', measure);
    this.rows.push([what, show(this.of('redis', measure)), show(this.of('ours', measure)), ratio.toFixed(2)]);
    return ratio;
  }
}

const showSec = (value: number): string => (Number.isNaN(value) ? '-' : `${value.toFixed(2)} s`);
const showUs = (value: number): string => `${value.toFixed(0)} µs`;
const showCount = (value: number): string => value.toFixed(0);
const judgeAtMost = (what: string, value: number, bound: number): number =>
  verdicts.push({ what, value, bound, kind: 'at most' });

function reportSnapshots(all: Record<Name, SnapshotResult[]>): void {
  const report = new SnapshotReport(all);
  if (withCase('load')) {
    judgeAtMost('load time of an RDB ÷ redis', report.add('load', (result) => result.loadSec, showSec), 0.7);
  }
  if (withCase('bgsave')) {
    const ratio = report.add('BGSAVE, idle', (result) => result.idleSaveSec, showSec);
    judgeAtMost('BGSAVE time ÷ redis, idle', ratio, 1);
  }
  if (withCase('busy')) reportBusySaves(report);
  console.info(formatTable(['snapshots', 'redis', 'ours', 'ratio'], report.rows));
  console.info('');
  results['snapshot'] = all;
}

function reportBusySaves(report: SnapshotReport): void {
  const busy = (measure: (save: BusySave) => number) => (result: SnapshotResult): number =>
    result.busy === undefined ? NaN : measure(result.busy);
  const ratio = report.add('BGSAVE, under writes', busy((save) => save.saveSec), showSec);
  judgeAtMost('BGSAVE time ÷ redis, under writes', ratio, 1);
  report.add('extra memory', busy((save) => save.extraShare), (value) => `${(value * 100).toFixed(1)} %`);
  const extraShare = report.of('ours', busy((save) => save.extraShare));
  judgeAtMost('extra memory during BGSAVE under full write load, %', extraShare * 100, 5);
  report.add('SET/s without snapshot', busy((save) => save.quiet.perSec), showCount);
  report.add('SET/s during it', busy((save) => save.during.perSec), showCount);
  report.add('p99.9 without', busy((save) => save.quiet.p999Us), showUs);
  report.add('p99.9 during', busy((save) => save.during.p999Us), showUs);
  report.add('p99.9 beside a copy', busy((save) => save.copying.p999Us), showUs);
  report.add('longest without', busy((save) => save.quiet.maxUs), showUs);
  report.add('longest during', busy((save) => save.during.maxUs), showUs);
  report.add('longest beside a copy', busy((save) => save.copying.maxUs), showUs);
  report.add('shards held', busy((save) => save.heldMs), (heldMs) => `${heldMs.toFixed(2)} ms`);
  judgeAtMost('longest that a snapshot held a shard, ms of processor time', report.of('ours', busy((save) => save.heldMs)), 10);
  const longestMs = report.of('ours', busy((save) => save.during.maxUs)) / 1000;
  judgeAtMost('longest wait of a SET during a snapshot, ms', longestMs, 10);
  const share = report.of('ours', busy((save) => save.during.p999Us / save.quiet.p999Us));
  judgeAtMost('p99.9 of SET during a snapshot ÷ without', share, 2);
}

begin('Persistence');
const chosen = values.what.split(',');
if (chosen.includes('journal')) await journalSections();
if (chosen.includes('snapshot')) await snapshotSection();
finish('persistence', results, verdicts, values.json);
if (values.check && !verdicts.every(isMet)) process.exitCode = 1;
