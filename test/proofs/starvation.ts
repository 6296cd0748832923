/**
 * Proof 6, starvation.
 *   (a) A command on all shards (MSET) comes through full pipelined load of commands on single shards (redis-benchmark in a
 *       process of its own): 5 ms at p99.9.
 *   (b) A command that takes some 200 ms on one shard (ZUNIONSTORE of keys with one hash tag) delays only that shard:
 *       commands on others, from connections of every worker, keep p99 under 2 ms while it runs.
 *
 * Probes ask at a fixed rate whether or not earlier questions have been answered: a server that stands still for 200 ms leaves
 * 200 slow answers, not one. What the machine adds by itself is measured beside it, in the same moments and by
 * the same loop: PINGs to an idle server. Bounds are held against `excess`, an answer's time less that of the PING sent
 * with it; the plain times are figures (`p99`), and so are those of the PINGs (`noise`) and how long the server's busiest
 * thread was ready to run without a core to run on (`queued`, per second). The load runs at a lower priority: it
 * takes what cores are left, so that its own hunger for them is not measured in the server's place.
 *
 * redis-server, with its one thread, meets (a) and cannot meet (b): that is how (b) shows that it finds what it looks for.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { oracleProgram } from '../support/project.js';
import { Connection, openAll, type Command } from './connection.js';
import { Violations, keyInPart, partOf, sleep, waitFor, type ProofOptions, type ProofResult } from './proof.js';

/** Sizes of a run. */
export interface StarvationOptions extends ProofOptions {
  /** A server that does nothing else, for the noise. */
  idlePort: number;
  /** The process of the server, for the time it has waited for a core. */
  pid: number;
  milliseconds: number;
  /** The bounds to hold; infinite for figures alone. */
  multiShardP999MsMax?: number;
  otherShardP99MsMax?: number;
}

const PARTS = 8;
const PROBE_EACH_MS = 1;
const LOAD_CONNECTIONS = 16;
const LOAD_DEPTH = 16;
const LOAD_NICENESS = 10;
/** Probing connections, spread over workers by whatever spreads connections. */
const PROBES = 8;
const SLOW_MS = 200;
const PAUSE_BETWEEN_SLOW_MS = 50;

/** The value that `fraction` of the values do not exceed (nearest rank). */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(1, Math.ceil(fraction * sorted.length)) - 1] ?? NaN;
}

/** One answered question. */
interface Sample {
  sentAt: number;
  tookMs: number;
}

/** Asks one command on one connection again and again, and keeps when and how long. */
class Probe {
  readonly samples: Sample[] = [];
  failed: unknown;

  private readonly connection: Connection;
  private readonly next: () => Command;

  constructor(connection: Connection, next: () => Command) {
    this.connection = connection;
    this.next = next;
  }

  ask(): void {
    const sentAt = performance.now();
    this.connection
      .batch([this.next()], (_, __, receivedAt) => this.samples.push({ sentAt, tookMs: receivedAt - sentAt }))
      .catch((error: unknown) => (this.failed = error));
  }

  get times(): number[] {
    return this.samples.map((sample) => sample.tookMs);
  }

  close(): void {
    this.connection.destroy();
  }
}

/** How much longer each answer took than the one of the PING asked in the same moment. */
function excess(probe: Probe, noise: Probe): Sample[] {
  return probe.samples.map(({ sentAt, tookMs }, index) => {
    return { sentAt, tookMs: Math.max(0, tookMs - (noise.samples[index]?.tookMs ?? 0)) };
  });
}

/** For each thread of a process, how long it has been ready to run without a core, in milliseconds. */
function queuedMs(pid: number): Map<string, number> {
  const folder = `/proc/${pid}/task`;
  return new Map(
    readdirSync(folder).map((thread) => {
      // "time-on-core time-in-queue turns", both times in nanoseconds.
      return [thread, Number(readFileSync(`${folder}/${thread}/schedstat`, 'latin1').split(' ')[1]) / 1e6];
    }),
  );
}

/** Asks, and answers with how long a second the thread that waited most waited for a core. */
async function askAllMeasured(probes: readonly Probe[], { pid, milliseconds }: StarvationOptions): Promise<number> {
  const before = queuedMs(pid);
  await askAll(probes, milliseconds);
  const waits = [...queuedMs(pid)].map(([thread, total]) => total - (before.get(thread) ?? 0));
  return Math.max(...waits) / (milliseconds / 1000);
}

/** Lets all probes ask, at the fixed rate, until the time is over and all have their answers. */
async function askAll(probes: readonly Probe[], milliseconds: number): Promise<void> {
  const deadline = performance.now() + milliseconds;
  let asked = 0;
  while (performance.now() < deadline) {
    for (const probe of probes) probe.ask();
    asked++;
    await sleep(PROBE_EACH_MS);
    const failed = probes.find((probe) => probe.failed !== undefined)?.failed;
    if (failed !== undefined) throw failed;
  }
  await waitFor('the last answers', async () => probes.every((probe) => probe.samples.length === asked));
}

const openProbe = async (port: number, next: () => Command): Promise<Probe> => new Probe(await Connection.open(port), next);

// ---- (a) ----

/** Starts redis-benchmark with SET on keys of all shards; answers with how to end it. */
function startLoad(port: number): () => Promise<void> {
  const { file, env } = oracleProgram('redis-benchmark');
  const sizes = ['-c', LOAD_CONNECTIONS, '-P', LOAD_DEPTH, '-r', 100_000, '-n', 1_000_000_000].map(String);
  const words = ['-p', String(port), ...sizes, '-q', 'SET', 'load:__rand_int__', 'some value of twenty'];
  const child = spawn(file, words, { env, stdio: 'ignore' });
  if (child.pid !== undefined) setPriority(child.pid, LOAD_NICENESS);
  return async () => {
    const ended = once(child, 'exit');
    if (child.exitCode !== null) throw new Error(`redis-benchmark ended with ${child.exitCode}`);
    child.kill('SIGKILL');
    await ended;
  };
}

const commandCount = async (connection: Connection): Promise<number> =>
  Number(/total_commands_processed:(\d+)/.exec(String(await connection.must('INFO', 'stats')))?.[1]);

/** Runs (a). */
export async function proveMultiShardComesThrough(options: StarvationOptions): Promise<ProofResult> {
  const { port, idlePort, seed, multiShardP999MsMax = Infinity } = options;
  const violations = new Violations();
  const admin = await Connection.open(port);
  await admin.must('FLUSHALL');
  const keys = Array.from({ length: PARTS }, (_, part) => keyInPart('wide', part, PARTS));
  let value = 0;
  const wide = await openProbe(port, () => ['MSET', ...keys.flatMap((key) => [key, value++])]);
  const single = await openProbe(port, () => ['SET', keys[0] as string, value++]);
  const noise = await openProbe(idlePort, () => ['PING']);
  const endLoad = startLoad(port);
  const before = await commandCount(admin);
  await waitFor('the load to begin', async () => (await commandCount(admin)) > before + 10_000);
  const countedFrom = performance.now();
  const counted = await commandCount(admin);
  const queuedMsPerSec = await askAllMeasured([wide, single, noise], options);
  const perSec = ((await commandCount(admin)) - counted) / ((performance.now() - countedFrom) / 1000);
  await endLoad();
  const excessP999Ms = percentile(excess(wide, noise).map((sample) => sample.tookMs), 0.999);
  if (!(excessP999Ms <= multiShardP999MsMax)) violations.add(`MSET on all shards took ${excessP999Ms} ms at p99.9`);
  for (const probe of [wide, single, noise]) probe.close();
  admin.destroy();
  return violations.result('starvation, multi-shard', seed, {
    samples: wide.samples.length,
    loadPerSec: perSec,
    p50Ms: percentile(wide.times, 0.5),
    p99Ms: percentile(wide.times, 0.99),
    p999Ms: percentile(wide.times, 0.999),
    maxMs: percentile(wide.times, 1),
    excessP999Ms,
    singleP999Ms: percentile(single.times, 0.999),
    noiseP99Ms: percentile(noise.times, 0.99),
    noiseP999Ms: percentile(noise.times, 0.999),
    queuedMsPerSec,
  });
}

// ---- (b) ----

const SLOW_TAG = '{slow}';
const FILL_BATCH = 500;
const FILL_FIRST = 20_000;
const SLOW_MEMBERS_MAX = 2_000_000;

const SLOW_COMMAND: Command = ['ZUNIONSTORE', `${SLOW_TAG}out`, 2, `${SLOW_TAG}a`, `${SLOW_TAG}b`, 'WEIGHTS', 1, 3];

async function fillSlow(connection: Connection, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += FILL_BATCH) {
    const indexes = Array.from({ length: Math.min(FILL_BATCH, to - at) }, (_, offset) => at + offset);
    const commands = ['a', 'b'].map((name): Command => {
      const pairs = indexes.flatMap((index) => [(index * 7919) % 1_000_003, `member:${name === 'a' ? index : index + 7}`]);
      return ['ZADD', `${SLOW_TAG}${name}`, ...pairs];
    });
    await connection.batch(commands);
  }
}

/** Runs the slow command once. */
async function timeSlow(connection: Connection): Promise<Sample> {
  const sentAt = performance.now();
  await connection.must(...SLOW_COMMAND);
  return { sentAt, tookMs: performance.now() - sentAt };
}

/** Makes the sets so big that the slow command takes about SLOW_MS. */
async function calibrate(connection: Connection): Promise<number> {
  let members = FILL_FIRST;
  await fillSlow(connection, 0, members);
  // In small steps: beyond the caches the time grows faster than the sets.
  for (let attempt = 0; attempt < 6; attempt++) {
    const { tookMs } = await timeSlow(connection);
    const wanted = Math.min(SLOW_MEMBERS_MAX, Math.round(members * Math.min(3, SLOW_MS / tookMs)));
    if (wanted < members * 1.15) break;
    await fillSlow(connection, members, wanted);
    members = wanted;
  }
  return members;
}

/** The samples sent while one of the slow commands ran. */
export function during(samples: readonly Sample[], slow: readonly Sample[]): number[] {
  const runs = (at: number): boolean => slow.some((one) => at >= one.sentAt && at <= one.sentAt + one.tookMs);
  return samples.filter((sample) => runs(sample.sentAt)).map((sample) => sample.tookMs);
}

/** Runs (b). */
export async function proveSlowShardStaysAlone(options: StarvationOptions): Promise<ProofResult> {
  const { port, idlePort, seed, otherShardP99MsMax = Infinity } = options;
  const violations = new Violations();
  const slowConnection = await Connection.open(port);
  await slowConnection.must('FLUSHALL');
  const members = await calibrate(slowConnection);
  const avoided = partOf(SLOW_TAG, PARTS);
  const connections = await openAll(port, PROBES);
  const probes = connections.map((connection, index) => {
    const part = (avoided + 1 + (index % (PARTS - 1))) % PARTS;
    const key = keyInPart(`quick:${index}`, part, PARTS);
    let turn = 0;
    return new Probe(connection, () => (turn++ % 2 === 0 ? ['SET', key, turn] : ['GET', key]));
  });
  const noise = await openProbe(idlePort, () => ['PING']);
  const slow: Sample[] = [];
  let isOver = false;
  const running = (async (): Promise<void> => {
    while (!isOver) {
      slow.push(await timeSlow(slowConnection));
      await sleep(PAUSE_BETWEEN_SLOW_MS);
    }
  })();
  const queuedMsPerSec = await askAllMeasured([...probes, noise], options).finally(() => (isOver = true));
  await running;
  const excessP99s = probes.map((probe) => percentile(during(excess(probe, noise), slow), 0.99));
  for (const [index, p99] of excessP99s.entries()) {
    if (!(p99 <= otherShardP99MsMax)) violations.add(`connection ${index}: ${p99} ms at p99 while a command ran on another shard`);
  }
  const all = probes.flatMap((probe) => during(probe.samples, slow));
  for (const connection of [slowConnection, ...connections]) connection.destroy();
  noise.close();
  return violations.result('starvation, slow shard', seed, {
    members,
    slowRuns: slow.length,
    slowMs: percentile(slow.map((one) => one.tookMs), 0.5),
    samples: all.length,
    p50Ms: percentile(all, 0.5),
    p99Ms: percentile(all, 0.99),
    maxMs: percentile(all, 1),
    bestExcessP99Ms: Math.min(...excessP99s),
    worstExcessP99Ms: Math.max(...excessP99s),
    noiseP99Ms: percentile(during(noise.samples, slow), 0.99),
    noiseMaxMs: percentile(during(noise.samples, slow), 1),
    queuedMsPerSec,
  });
}
