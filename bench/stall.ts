/**
 * `npm run bench:stall`: how long a server answers nobody while ten million keys are inserted.
 *
 * A hash table that grows in one step stops the world for as long as it takes; this looks for such steps from
 * outside. A loader in a process of its own inserts new keys at a steady rate (so that a core stays idle
 * and waiting for the scheduler is not mistaken for a stall), while this process asks PING and GET on a
 * connection of its own, one question at a time, and keeps the slowest answers.
 *
 * What this process adds by itself is taken out: an answer that waited through one of its own garbage
 * collections, or while its event loop was late, is dropped and counted. The same load on redis-server, in the
 * same run, says what the machine and the network stack add.
 *
 * Options: --keys 10000000   --rate 300000 (keys a second; 0 = as fast as it goes)   --json FILE   --check
 *          --smoke   --ours … (see support/contenders.ts)
 */
import { fork } from 'node:child_process';
import { PerformanceObserver } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { RunningServer } from '../test/support/oracle.js';
import { CONTENDER_OPTIONS, startContender } from './support/contenders.js';
import { encode, load, openSocket } from './support/loader.js';
import { begin, finish, formatTable, isMet, type Verdict } from './support/report.js';
import { percentile } from './support/statistics.js';

const { values } = parseArgs({
  options: {
    ...CONTENDER_OPTIONS,
    keys: { type: 'string', default: '10000000' },
    rate: { type: 'string', default: '300000' },
    check: { type: 'boolean', default: false },
    // Set for the loader process only: the port to load.
    'load-port': { type: 'string' },
  },
});
const keys = values.smoke ? 50_000 : Number(values.keys);

/** The bound, on an otherwise idle core. */
const BOUND_MS = 1;
/** Pause between two questions: many a millisecond, and yet the server is idle in between. */
const PAUSE_MS = 0.2;
/** Room for answers; a run of ten million keys at the default rate asks some 100,000 questions. */
const SAMPLES_MAX = 4_000_000;

/** What the probe saw. */
interface Stalls {
  answers: number;
  dropped: number;
  medianMs: number;
  p999Ms: number;
  longestMs: number;
}

/** Times of this process's own collections, to be told apart from the server's stalls. */
function watchCollections(): { overlaps(from: number, to: number): boolean; stop(): void } {
  const pauses: { from: number; to: number }[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) pauses.push({ from: entry.startTime, to: entry.startTime + entry.duration });
  });
  observer.observe({ entryTypes: ['gc'] });
  return {
    overlaps: (from, to) => pauses.some((pause) => pause.from < to && pause.to > from),
    stop: () => observer.disconnect(),
  };
}

/** Asks until `isDone`; gives back start and length of each answer's wait. */
async function probe(port: number, isDone: () => boolean): Promise<{ starts: Float64Array; waits: Float64Array }> {
  const starts = new Float64Array(SAMPLES_MAX);
  const waits = new Float64Array(SAMPLES_MAX);
  let count = 0;
  const socket = await openSocket(port);
  const questions = [Buffer.from(encode('PING')), Buffer.from(encode('GET', 'stall:absent'))];
  await new Promise<void>((resolve, reject) => {
    const askNext = (): void => {
      if (isDone() || count === SAMPLES_MAX) {
        resolve();
        return;
      }
      starts[count] = performance.now();
      socket.write(questions[count % 2] as Buffer);
    };
    const pause = (from: number): void => {
      if (performance.now() - from >= PAUSE_MS) askNext();
      else setImmediate(pause, from);
    };
    socket.on('data', () => {
      const now = performance.now();
      waits[count] = now - (starts[count] as number);
      count++;
      pause(now);
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the server closed the probe')));
    askNext();
  }).finally(() => socket.removeAllListeners('close').destroy());
  return { starts: starts.subarray(0, count), waits: waits.subarray(0, count) };
}

/** Runs the loader as a process of its own. */
function startLoader(port: number): { done: Promise<void>; isDone: () => boolean } {
  const args = ['--load-port', String(port), '--keys', String(keys), '--rate', values.rate];
  const child = fork(fileURLToPath(import.meta.url), args);
  let ended = false;
  const done = new Promise<void>((resolve, reject) => {
    child.once('close', (code) => {
      ended = true;
      if (code === 0) resolve();
      else reject(new Error(`the loader ended with ${code}`));
    });
  });
  return { done, isDone: () => ended };
}

async function measure(server: RunningServer): Promise<Stalls> {
  const collections = watchCollections();
  const loader = startLoader(server.port);
  const [{ starts, waits }] = await Promise.all([probe(server.port, loader.isDone), loader.done]);
  // Observers hear of a collection a turn of the event loop later.
  await new Promise((resolve) => setTimeout(resolve, 50));
  collections.stop();
  const kept = [...waits.keys()].filter((index) => {
    const from = starts[index] as number;
    const wait = waits[index] as number;
    return wait < BOUND_MS / 4 || !collections.overlaps(from, from + wait);
  });
  const sorted = Float64Array.from(kept, (index) => waits[index] as number).sort();
  return {
    answers: sorted.length,
    dropped: waits.length - sorted.length,
    medianMs: percentile(sorted, 0.5),
    p999Ms: percentile(sorted, 0.999),
    longestMs: percentile(sorted, 1),
  };
}

async function main(): Promise<void> {
  begin(`waits for PING and GET while ${keys} keys are inserted at ${values.rate} a second`);
  const results = new Map<string, Stalls>();
  for (const which of ['redis', 'ours'] as const) {
    const server = await startContender(which, values);
    try {
      results.set(which, await measure(server));
    } finally {
      await server.stop();
    }
  }
  const rows = [...results].map(([name, { answers, dropped, medianMs, p999Ms, longestMs }]) => {
    const times = [medianMs, p999Ms, longestMs].map((time) => time.toFixed(3));
    return [name, String(answers), String(dropped), ...times];
  });
  console.info(`${formatTable(['server', 'answers', 'dropped', 'median ms', 'p99.9 ms', 'longest ms'], rows)}\n`);
  const longest = results.get('ours')?.longestMs ?? NaN;
  const verdicts: Verdict[] = [{ what: 'longest stall, ms', value: longest, bound: BOUND_MS, kind: 'at most' }];
  finish('stall', Object.fromEntries(results), values.smoke ? [] : verdicts, values.json);
  if (values.check && verdicts.some((verdict) => !isMet(verdict))) process.exitCode = 1;
}

if (values['load-port'] !== undefined) {
  const pace = { commandsPerSec: Number(values.rate) };
  const command = (index: number): string => encode('SET', `stall:${index}`, 'v'.repeat(10));
  await load(Number(values['load-port']), Number(values.keys), command, pace);
} else {
  await main();
}
