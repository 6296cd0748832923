/**
 * `npm run bench:stall`: how long a server answers nobody while ten million keys are inserted, while one hash grows to ten
 * million fields, and while a sorted set of ten million members is deleted.
 *
 * A hash table that grows in one step stops the world for as long as it takes, and so does freeing a big value where the
 * command runs; this looks for such steps from outside. A loader in a process of its own inserts at a steady rate (so that
 * a core stays idle and waiting for the scheduler is not mistaken for a stall), or one DEL is sent, while this
 * process asks PING and GET on a connection of its own, one question at a time, and keeps the slowest answers. After
 * DEL the questions go on for some seconds: memory may be given back later, and that may not stop anybody either;
 * whether it has been given back by then is said.
 *
 * What this process adds by itself is taken out: the time of its own garbage collections, and the time it was ready to run
 * without a core, are subtracted from an answer; unless what remains is a stall nevertheless, such an answer is
 * dropped and counted. What cannot be taken out is the rest of the machine: loader and server, with its threads, share
 * the cores with this process, and the kernel's work is done there too. Hence the case "idle", the same questions to
 * a server that does nothing else, and the same cases on redis-server in the same run: a longest wait that idle
 * servers show too says nothing about the work. (About 4 ms is one turn of Linux's scheduler at 250 Hz: the server
 * was woken on a core that somebody else, this process as likely as not, was using.)
 *
 * Options: --what keys,grow-hash,del-zset (default: all)   --keys 10000000   --members 10000000 (of the hash, the set)
 *          --rate 300000 (keys or fields a second; 0 = as fast as it goes)   --json FILE   --check
 *          --smoke   --ours … (see support/contenders.ts)
 */
import { fork } from 'node:child_process';
import { PerformanceObserver } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { RunningServer } from '../test/support/oracle.js';
import { fillCollection, missingCommands, scatter, waitForRest } from './support/collections.js';
import { CONTENDER_OPTIONS, startContender } from './support/contenders.js';
import { ask, encode, infoNumber, load, openSocket } from './support/loader.js';
import { RunQueueDelay } from './support/process-facts.js';
import { begin, finish, formatTable, isMet, type Verdict } from './support/report.js';
import { percentile } from './support/statistics.js';

const { values } = parseArgs({
  options: {
    ...CONTENDER_OPTIONS,
    what: { type: 'string' },
    keys: { type: 'string', default: '10000000' },
    members: { type: 'string', default: '10000000' },
    rate: { type: 'string', default: '300000' },
    check: { type: 'boolean', default: false },
    // Set for the loader process only: the port to load, and the work to do there.
    'load-port': { type: 'string' },
    'load-work': { type: 'string' },
  },
});
const keys = values.smoke ? 50_000 : Number(values.keys);
const members = values.smoke ? 50_000 : Number(values.members);

/** The bound, on an otherwise idle core. */
const BOUND_MS = 1;
/** Waits from here on are looked into for what this process has added. */
const OWN_MS_MIN = BOUND_MS / 4;
/** Pause between two questions: many a millisecond, and yet the server is idle in between. */
const PAUSE_MS = 0.2;
/** Room for answers; a run of ten million keys at the default rate asks some 100,000 questions. */
const SAMPLES_MAX = 4_000_000;

/** How long the case "idle" asks, and how long the questions go on after DEL. */
const IDLE_MS = values.smoke ? 100 : 5_000;
const BIG_KEY = 'stall-big';

const sleep = (timeMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, timeMs));

/** What can be going on while the questions are asked, or before. */
const WORK: Readonly<Record<string, (port: number) => Promise<unknown>>> = {
  idle: () => sleep(IDLE_MS),
  keys: (port) => {
    const command = (index: number): string => encode('SET', `stall:${index}`, 'v'.repeat(10));
    return load(port, keys, command, { commandsPerSec: Number(values.rate) });
  },
  'grow-hash': (port) => {
    const command = (index: number): string => encode('HSET', BIG_KEY, `field:${index}`, 'v'.repeat(10));
    return load(port, members, command, { commandsPerSec: Number(values.rate), replyLines: 1 });
  },
  'fill-zset': (port) => {
    const element = (index: number): string[] => [String(scatter(index, members)), `member:${index}`];
    return fillCollection(port, { command: 'ZADD', key: BIG_KEY, count: members, element });
  },
  'del-zset': (port) => ask(port, 'DEL', BIG_KEY),
};

/** One line of the report to be: work under which waits are measured. */
interface Case {
  work: string;
  title: string;
  commands: readonly string[];
  /** Work of before, unmeasured. */
  before?: string;
  /** Done by the loader process; what is one command or none is done here. */
  isHeavy: boolean;
  isJudged: boolean;
}

const CASES: readonly Case[] = [
  { work: 'idle', title: 'idle', commands: [], isHeavy: false, isJudged: false },
  { work: 'keys', title: `${keys} keys are inserted`, commands: ['SET'], isHeavy: true, isJudged: true },
  { work: 'grow-hash', title: `a hash grows to ${members} fields`, commands: ['HSET'], isHeavy: true, isJudged: true },
  {
    work: 'del-zset',
    title: `DEL of a sorted set of ${members}`,
    commands: ['ZADD'],
    before: 'fill-zset',
    isHeavy: false,
    isJudged: true,
  },
];

/** What the probe saw. */
interface Stalls {
  answers: number;
  dropped: number;
  medianMs: number;
  p999Ms: number;
  longestMs: number;
  /** Answers over the bound: one may be the machine's doing, a tenfold of the idle server's is not. */
  overBound: number;
  /** How long the work took, until its last reply. */
  workMs: number;
}

/** Times of this process's own collections, to be told apart from the server's stalls. */
function watchCollections(): { overlapMs(from: number, to: number): number; stop(): void } {
  const pauses: { from: number; to: number }[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) pauses.push({ from: entry.startTime, to: entry.startTime + entry.duration });
  });
  observer.observe({ entryTypes: ['gc'] });
  return {
    overlapMs: (from, to) =>
      pauses.reduce((sum, pause) => sum + Math.max(0, Math.min(to, pause.to) - Math.max(from, pause.from)), 0),
    stop: () => observer.disconnect(),
  };
}

/** What the probe has written down, one entry per answer. */
interface Answers {
  starts: Float64Array;
  waits: Float64Array;
  /** The part of a longer wait in which this process had no core. */
  queued: Float64Array;
}

/** Asks until `isDone`. */
async function probe(port: number, isDone: () => boolean): Promise<Answers> {
  const starts = new Float64Array(SAMPLES_MAX);
  const waits = new Float64Array(SAMPLES_MAX);
  const queued = new Float64Array(SAMPLES_MAX);
  const delay = new RunQueueDelay();
  let queuedBefore = 0;
  let count = 0;
  const socket = await openSocket(port);
  const questions = [Buffer.from(encode('PING')), Buffer.from(encode('GET', 'stall:absent'))];
  await new Promise<void>((resolve, reject) => {
    const askNext = (): void => {
      if (isDone() || count === SAMPLES_MAX) {
        resolve();
        return;
      }
      queuedBefore = delay.readMs();
      starts[count] = performance.now();
      socket.write(questions[count % 2] as Buffer);
    };
    const pause = (from: number): void => {
      if (performance.now() - from >= PAUSE_MS) askNext();
      else setImmediate(pause, from);
    };
    socket.on('data', () => {
      const now = performance.now();
      const wait = now - (starts[count] as number);
      waits[count] = wait;
      if (wait >= OWN_MS_MIN) queued[count] = delay.readMs() - queuedBefore;
      count++;
      pause(now);
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the server closed the probe')));
    askNext();
  }).finally(() => socket.removeAllListeners('close').destroy());
  delay.close();
  return { starts: starts.subarray(0, count), waits: waits.subarray(0, count), queued };
}

/** Does a piece of work in a process of its own; settles when it has ended. */
function runElsewhere(port: number, work: string): Promise<void> {
  const told = ['--keys', String(keys), '--members', String(members), '--rate', values.rate];
  const args = ['--load-port', String(port), '--load-work', work, ...told];
  const child = fork(fileURLToPath(import.meta.url), args);
  return new Promise<void>((resolve, reject) => {
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`the loader ended with ${code}`));
    });
  });
}

/** Probes while the work of a case is done and, if that may leave something to do, for some time after. */
async function measure(server: RunningServer, one: Case): Promise<Stalls> {
  const collections = watchCollections();
  const startedAt = performance.now();
  let workMs = NaN;
  let isOver = false;
  const doWork = async (): Promise<void> => {
    if (one.isHeavy) await runElsewhere(server.port, one.work);
    else await WORK[one.work]?.(server.port);
    workMs = performance.now() - startedAt;
    if (one.before !== undefined) await sleep(IDLE_MS);
  };
  const working = doWork().finally(() => (isOver = true));
  const [{ starts, waits, queued }] = await Promise.all([probe(server.port, () => isOver), working]);
  // Observers hear of a collection a turn of the event loop later.
  await sleep(50);
  collections.stop();
  const kept: number[] = [];
  for (const [index, wait] of waits.entries()) {
    const from = starts[index] as number;
    const ownMs = wait < OWN_MS_MIN ? 0 : collections.overlapMs(from, from + wait) + (queued[index] as number);
    // What this process cannot have caused was a stall; whether what it has covered was one too is not known.
    if (ownMs < OWN_MS_MIN || wait - ownMs > BOUND_MS) kept.push(wait - ownMs);
  }
  const sorted = Float64Array.from(kept).sort();
  return {
    answers: sorted.length,
    dropped: waits.length - sorted.length,
    medianMs: percentile(sorted, 0.5),
    p999Ms: percentile(sorted, 0.999),
    longestMs: percentile(sorted, 1),
    overBound: sorted.filter((wait) => wait > BOUND_MS).length,
    workMs,
  };
}

/** One case on one server, started afresh; undefined when the server lacks a command. */
async function measureCase(which: 'redis' | 'ours', one: Case): Promise<Stalls | undefined> {
  const server = await startContender(which, values);
  try {
    if ((await missingCommands(server.port, one.commands)).length > 0) return undefined;
    if (one.before === undefined) return await measure(server, one);
    const emptyBytes = await infoNumber(server.port, 'memory', 'used_memory');
    await runElsewhere(server.port, one.before);
    await waitForRest(server);
    const fullBytes = await infoNumber(server.port, 'memory', 'used_memory');
    const stalls = await measure(server, one);
    const left = ((await infoNumber(server.port, 'memory', 'used_memory')) - emptyBytes) / (fullBytes - emptyBytes);
    const share = `${Math.max(0, left * 100).toFixed(1)} % of its memory is still used ${IDLE_MS} ms later`;
    console.info(`${which}, ${one.title}: replied after ${stalls.workMs.toFixed(2)} ms, ${share}`);
    return stalls;
  } finally {
    await server.stop();
  }
}

function printStalls(title: string, which: string, stalls: Stalls | undefined): string[] {
  if (stalls === undefined) return [title, which, 'not there'];
  const { answers, dropped, medianMs, p999Ms, longestMs, overBound } = stalls;
  const times = [medianMs, p999Ms, longestMs].map((time) => time.toFixed(3));
  return [title, which, String(answers), String(dropped), ...times, String(overBound)];
}

async function main(): Promise<void> {
  const wanted = values.what?.split(',');
  const unknown = wanted?.filter((word) => !CASES.some((one) => one.work === word)) ?? [];
  if (unknown.length > 0) throw new Error(`--what does not know ${unknown.join(', ')}`);
  begin(`waits for PING and GET while a server works; insertions at ${values.rate} a second`);
  const results: { work: string; which: string; stalls: Stalls | undefined }[] = [];
  const rows: string[][] = [];
  const verdicts: Verdict[] = [];
  for (const one of CASES.filter(({ work }) => work === 'idle' || (wanted?.includes(work) ?? true))) {
    for (const which of ['redis', 'ours'] as const) {
      const stalls = await measureCase(which, one);
      results.push({ work: one.work, which, stalls });
      rows.push(printStalls(one.title, which, stalls));
      if (which === 'redis' || !one.isJudged) continue;
      const idleMs = results.find((result) => result.work === 'idle' && result.which === which)?.stalls?.longestMs;
      const remark = stalls === undefined ? 'not there' : `idle it was ${idleMs?.toFixed(2)}`;
      const what = `longest stall, ms, ${one.title} (${remark})`;
      verdicts.push({ what, value: stalls?.longestMs ?? NaN, bound: BOUND_MS, kind: 'at most' });
    }
  }
  const header = ['while', 'server', 'answers', 'dropped', 'median ms', 'p99.9 ms', 'longest ms', `over ${BOUND_MS} ms`];
  console.info(`\n${formatTable(header, rows)}\n`);
  const judged = values.smoke ? [] : verdicts;
  finish('stall', results, judged, values.json);
  if (values.check && judged.some((verdict) => !isMet(verdict))) process.exitCode = 1;
}

if (values['load-port'] !== undefined) {
  await WORK[values['load-work'] ?? '']?.(Number(values['load-port']));
} else {
  await main();
}
