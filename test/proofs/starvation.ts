/**
 * Proof 6, starvation.
 *   (a) A command on all shards (MSET) comes through full pipelined load of commands on single shards (redis-benchmark in a
 *       process of its own): 5 ms at p99.9.
 *   (b) A command that takes some 200 ms on one shard (ZUNIONSTORE of keys with one hash tag) delays only that shard:
 *       commands on others, from connections of every worker, keep p99 under 2 ms while it runs. Probes ask for keys of
 *       other shards only, however few there are: INFO says how many. With one shard (b) claims nothing, and the proof
 *       refuses to run.
 *
 * Probes ask at a fixed rate whether or not earlier questions have been answered: a server that stands still for 200 ms leaves
 * 200 slow answers, not one.
 *
 * What the machine adds by itself is measured beside it, and bounds are held against what is left of an answer's time, its
 * `excess`. Taken off are the time of a PING to an idle server, sent in the same moment and by the same loop, or how long
 * our own thread was ready to run meanwhile and got no core, if that is more; and how long the busiest of the server's serving
 * threads got none. (The PING alone does not do on a machine with fewer cores than threads: schedulers favour who
 * sleeps.) A command that waits for a shard, a lease or another command adds to none of these. Figures beside these: the plain times (`p99`), those of the PINGs (`noise`), those of the same
 * probes before the load or the slow command began (`quiet`), and how long a second the busiest serving thread was without a
 * core (`queued`). The load runs at a lower priority: it takes what cores are left, so that its own hunger for them is not
 * measured in the server's place.
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
  /** The process of the server, for the time that its threads have waited for a core. */
  pid: number;
  milliseconds: number;
  /** The bounds to hold; infinite for figures alone. */
  multiShardP999MsMax?: number;
  otherShardP99MsMax?: number;
}

/** Parts of the slots where a server has no shards. */
const PARTS_OF_REDIS = 8;
const PROBE_EACH_MS = 1;
/** How much of the time goes to the probes alone, before load or slow commands begin. */
const QUIET_FRACTION = 0.2;
const LOAD_CONNECTIONS = 16;
const LOAD_DEPTH = 16;
const LOAD_NICENESS = 10;
/** Probing connections, spread over workers by whatever spreads connections. */
const PROBES = 8;
const SLOW_MS = 200;
/** How often the threads are looked at, in rounds of the probes. */
const LOOK_EACH_ROUNDS = 2;
/** A thread serves if it is woken at least this part as often as the one that is woken most while probes ask. */
const SERVING_FRACTION = 0.2;
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

  close(): void {
    this.connection.destroy();
  }
}

const timesOf = (samples: readonly Sample[]): number[] => samples.map(({ tookMs }) => tookMs);

/** How many shards a server cuts the slots into, which are runs of neighbouring slots. */
async function shardsOf(connection: Connection): Promise<number> {
  const told = /sherd_shards:(\d+)/.exec(String(await connection.must('INFO', 'server')))?.[1];
  return told === undefined ? PARTS_OF_REDIS : Number(told);
}

// ---- What the machine adds ----

/** Of one thread: how long it has been ready to run without a core, and how often it came to run. */
interface Turns {
  queuedMs: number;
  count: number;
}

function turnsOf(pid: number, threads = readdirSync(`/proc/${pid}/task`)): Map<string, Turns> {
  return new Map(
    threads.map((thread) => {
      // "time-on-core time-in-queue turns", both times in nanoseconds.
      const [, queued, count] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ').map(Number);
      return [thread, { queuedMs: (queued ?? 0) / 1e6, count: count ?? 0 }];
    }),
  );
}

/** How long threads have been without a core, from look to look. */
export class CoreWaits {
  /** Moments of the looks, and for each how long every thread has waited until then; the first is our own. */
  private readonly looks: { at: number; queuedMs: number[] }[] = [];

  add(at: number, queuedMs: number[]): void {
    this.looks.push({ at, queuedMs });
  }

  /** How long we and, at most, one serving thread waited between the last look before a moment and the first behind another. */
  between(from: number, to: number): { ownMs: number; servingMs: number } {
    const before = this.looks[Math.max(0, this.countUntil(from) - 1)];
    const behind = this.looks[Math.min(this.looks.length - 1, this.countUntil(to))];
    const [ownMs = 0, ...servingMs] = behind?.queuedMs.map((queuedMs, index) => queuedMs - (before?.queuedMs[index] ?? 0)) ?? [];
    return { ownMs, servingMs: Math.max(0, ...servingMs) };
  }

  /** How many looks came no later than a moment. */
  private countUntil(moment: number): number {
    let [low, high] = [0, this.looks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.looks[middle]?.at ?? Infinity) <= moment) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The most that one serving thread waited in a second. */
  perSec(): number {
    const [first, last] = [this.looks[0]?.at ?? 0, this.looks.at(-1)?.at ?? 0];
    return this.between(first, last).servingMs / ((last - first) / 1000);
  }
}

/** What is left of each answer's time without what the machine added; see the header. */
export function excess(samples: readonly Sample[], noise: readonly Sample[], waits: CoreWaits): Sample[] {
  return samples.map(({ sentAt, tookMs }, index) => {
    const { ownMs, servingMs } = waits.between(sentAt, sentAt + tookMs);
    const machineMs = Math.max(noise[index]?.tookMs ?? 0, ownMs) + servingMs;
    return { sentAt, tookMs: Math.max(0, tookMs - machineMs) };
  });
}

/** Lets the probes ask while nobody else does; answers with their times, which it forgets, and who served them. */
async function askQuietly(
  probes: readonly Probe[],
  { pid, milliseconds }: StarvationOptions,
): Promise<{ times: number[]; serving: string[] }> {
  const before = turnsOf(pid);
  await askAll(probes, milliseconds * QUIET_FRACTION);
  const counts = [...turnsOf(pid)].map(([thread, { count }]) => [thread, count - (before.get(thread)?.count ?? 0)] as const);
  const least = Math.max(...counts.map(([, count]) => count)) * SERVING_FRACTION;
  return {
    times: probes.flatMap((probe) => timesOf(probe.samples.splice(0))),
    serving: counts.filter(([, count]) => count >= least).map(([thread]) => thread),
  };
}

/** Asks, and answers with how long we and the serving threads were without a core. */
async function askMeasured(probes: readonly Probe[], { pid, milliseconds }: StarvationOptions,
  serving: string[]): Promise<CoreWaits> {
  const waits = new CoreWaits();
  const look = (): void => {
    const at = performance.now();
    const threads = [...turnsOf(process.pid, [String(process.pid)]).values(), ...turnsOf(pid, serving).values()];
    waits.add(at, threads.map(({ queuedMs }) => queuedMs));
  };
  await askAll(probes, milliseconds, (round) => {
    if (round % LOOK_EACH_ROUNDS === 0) look();
  });
  look();
  return waits;
}

/** Lets all probes ask, at the fixed rate, until the time is over and all have their answers. */
async function askAll(probes: readonly Probe[], milliseconds: number,
  onRound: (round: number) => void = () => undefined): Promise<void> {
  const deadline = performance.now() + milliseconds;
  let asked = 0;
  while (performance.now() < deadline) {
    onRound(asked);
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
  const shards = await shardsOf(admin);
  const keys = Array.from({ length: shards }, (_, shard) => keyInPart('wide', shard, shards));
  let value = 0;
  const wide = await openProbe(port, () => ['MSET', ...keys.flatMap((key) => [key, value++])]);
  const single = await openProbe(port, () => ['SET', keys[0] as string, value++]);
  const noise = await openProbe(idlePort, () => ['PING']);
  const quiet = await askQuietly([wide], options);
  const endLoad = startLoad(port);
  const before = await commandCount(admin);
  await waitFor('the load to begin', async () => (await commandCount(admin)) > before + 10_000);
  const countedFrom = performance.now();
  const counted = await commandCount(admin);
  const waits = await askMeasured([wide, single, noise], options, quiet.serving);
  const perSec = ((await commandCount(admin)) - counted) / ((performance.now() - countedFrom) / 1000);
  await endLoad();
  const excessP999Of = (probe: Probe): number => percentile(timesOf(excess(probe.samples, noise.samples, waits)), 0.999);
  const excessP999Ms = excessP999Of(wide);
  if (!(excessP999Ms <= multiShardP999MsMax)) violations.add(`MSET on all shards took ${excessP999Ms} ms at p99.9`);
  for (const probe of [wide, single, noise]) probe.close();
  admin.destroy();
  return violations.result('starvation, multi-shard', seed, {
    shards,
    samples: wide.samples.length,
    loadPerSec: perSec,
    excessP999Ms,
    excessSingleP999Ms: excessP999Of(single),
    p50Ms: percentile(timesOf(wide.samples), 0.5),
    p99Ms: percentile(timesOf(wide.samples), 0.99),
    p999Ms: percentile(timesOf(wide.samples), 0.999),
    maxMs: percentile(timesOf(wide.samples), 1),
    singleP999Ms: percentile(timesOf(single.samples), 0.999),
    noiseP99Ms: percentile(timesOf(noise.samples), 0.99),
    noiseP999Ms: percentile(timesOf(noise.samples), 0.999),
    quietP999Ms: percentile(quiet.times, 0.999),
    queuedMsPerSec: waits.perSec(),
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
    // The shorter of two: a machine that is busy for a moment must not pass for a set that is big enough.
    const tookMs = Math.min((await timeSlow(connection)).tookMs, (await timeSlow(connection)).tookMs);
    const wanted = Math.min(SLOW_MEMBERS_MAX, Math.round(members * Math.min(3, SLOW_MS / tookMs)));
    if (wanted < members * 1.15) break;
    await fillSlow(connection, members, wanted);
    members = wanted;
  }
  return members;
}

/** The samples sent while one of the slow commands ran. */
export function during(samples: readonly Sample[], slow: readonly Sample[]): Sample[] {
  const runs = (at: number): boolean => slow.some((one) => at >= one.sentAt && at <= one.sentAt + one.tookMs);
  return samples.filter((sample) => runs(sample.sentAt));
}

/** Opens probes for keys of all shards but the slow one. */
async function openProbes(port: number, shards: number): Promise<Probe[]> {
  const slowShard = partOf(SLOW_TAG, shards);
  const connections = await openAll(port, PROBES);
  return connections.map((connection, index) => {
    const shard = (slowShard + 1 + (index % (shards - 1))) % shards;
    const key = keyInPart(`quick:${index}`, shard, shards);
    let turn = 0;
    return new Probe(connection, () => (turn++ % 2 === 0 ? ['SET', key, turn] : ['GET', key]));
  });
}

/** Runs the slow command again and again, with pauses; answers with how to end it, which tells when it ran. */
function repeatSlow(connection: Connection): () => Promise<Sample[]> {
  let isOver = false;
  const running = (async (): Promise<Sample[]> => {
    const slow: Sample[] = [];
    while (!isOver) {
      slow.push(await timeSlow(connection));
      await sleep(PAUSE_BETWEEN_SLOW_MS);
    }
    return slow;
  })();
  // Whoever ends it hears of a failure; until then it has been heard by nobody, which would end the process.
  running.catch(() => undefined);
  return () => {
    isOver = true;
    return running;
  };
}

/** Runs (b). */
export async function proveSlowShardStaysAlone(options: StarvationOptions): Promise<ProofResult> {
  const { port, idlePort, seed, otherShardP99MsMax = Infinity } = options;
  const violations = new Violations();
  const slowConnection = await Connection.open(port);
  const shards = await shardsOf(slowConnection);
  if (shards < 2) throw new Error('one shard: there are no others that a slow command could delay');
  await slowConnection.must('FLUSHALL');
  const members = await calibrate(slowConnection);
  const probes = await openProbes(port, shards);
  const noise = await openProbe(idlePort, () => ['PING']);
  const quiet = await askQuietly(probes, options);
  const endSlow = repeatSlow(slowConnection);
  let slow: Sample[] = [];
  const waits = await askMeasured([...probes, noise], options, quiet.serving).finally(async () => (slow = await endSlow()));
  const excessP99s = probes.map((probe) =>
    percentile(timesOf(during(excess(probe.samples, noise.samples, waits), slow)), 0.99));
  for (const [index, p99] of excessP99s.entries()) {
    if (!(p99 <= otherShardP99MsMax)) violations.add(`connection ${index}: ${p99} ms at p99 while a command ran on another shard`);
  }
  slowConnection.destroy();
  for (const probe of [...probes, noise]) probe.close();
  const all = timesOf(probes.flatMap((probe) => during(probe.samples, slow)));
  const noiseTimes = timesOf(during(noise.samples, slow));
  return violations.result('starvation, slow shard', seed, {
    shards,
    members,
    slowRuns: slow.length,
    slowMs: percentile(timesOf(slow), 0.5),
    samples: all.length,
    bestExcessP99Ms: Math.min(...excessP99s),
    worstExcessP99Ms: Math.max(...excessP99s),
    p50Ms: percentile(all, 0.5),
    p99Ms: percentile(all, 0.99),
    maxMs: percentile(all, 1),
    noiseP99Ms: percentile(noiseTimes, 0.99),
    noiseMaxMs: percentile(noiseTimes, 1),
    quietP99Ms: percentile(quiet.times, 0.99),
    queuedMsPerSec: waits.perSec(),
  });
}
