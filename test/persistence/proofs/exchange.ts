/**
 * RELIABILITY 5: files go to redis-server and come from it, and every way to restore gives what was alive.
 *
 * Each seed makes a dataset of every type and encoding under random thresholds, in three databases, with expiries, and then
 * changes it at random (what an AOF holds besides the making). The same is done to a server of ours and to redis-server,
 * a rewrite in the middle of it. Then, by canonical lines (server-content.ts):
 *
 *   ours  live = AOF reload = RDB 11 reload, all by us; = RDB 10, RDB 9 and AOF as redis-server serves them
 *   theirs live = RDB and AOF as we serve them
 *
 * What a format cannot tell is left out where it is compared: RDB 9 of streams' counters and groups' positions; commands
 * of when a consumer was seen, and how often an entry was delivered. With `isAltered` one value is changed before the
 * comparison, which must be found in every file.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Prng, deriveSeed } from '../../differential/prng.js';
import { makeRecipe, randomThresholds, type Recipe } from '../../differential/exchange.js';
import { Violations, waitFor, type ProofResult } from '../../proofs/proof.js';
import { startRedis, type RunningServer } from '../../support/oracle.js';
import { RespClient, type Argument } from '../../support/resp-client.js';
import { serverLines } from '../server-content.js';
import { ask } from '../server-support.js';
import { copyJournal, ProofFolder } from './folder.js';
import { startIn } from './kill.js';
import { Restarter } from './restarter.js';

export interface ExchangeOptions {
  seed: number;
  rounds: number;
  layouts: readonly string[];
  isAltered?: boolean;
}

const KEYS = 40;
const DATABASES = 3;
const CHANGES = 30;
const FAR_MS = 4_000_000_000_000;
const DIFFERENCES_TOLD = 2;

// ---- The dataset ----

/** One random change to one of the keys; many are refused, since the type does not fit. */
function randomChange(prng: Prng, keys: readonly string[]): Argument[] {
  const key = prng.pick(keys);
  const other = prng.pick(keys);
  const changes: Argument[][] = [
    ['DEL', key], ['PEXPIREAT', key, FAR_MS + prng.below(100_000)], ['PERSIST', key], ['RENAME', key, other],
    ['COPY', key, other, 'REPLACE'], ['MOVE', key, prng.below(DATABASES)], ['SPOP', key, prng.between(1, 3)], ['LPOP', key],
    ['INCRBYFLOAT', `float:${key}`, '0.1'], ['HINCRBYFLOAT', `hash:${key}`, 'field', '1.25'], ['ZPOPMIN', key],
    ['APPEND', key, prng.bytes(prng.below(30))], ['SETRANGE', key, prng.below(40), 'xyz'], ['LREM', key, 0, 'element 7'],
    ['XADD', key, '*', 'field', prng.bytes(8)], ['XTRIM', key, 'MAXLEN', prng.below(5)], ['GETEX', key, 'PX', 90_000_000],
    ['SUNIONSTORE', other, key, other], ['ZUNIONSTORE', other, 1, key], ['LMOVE', key, other, 'LEFT', 'RIGHT'],
    ['SET', key, 'v', 'EX', 80_000], ['SWAPDB', 0, prng.below(DATABASES)], ['BITOP', 'NOT', other, key],
  ];
  return prng.pick(changes);
}

/** Commands in two halves: a rewrite comes between them. */
function makeDataset(seed: number): { thresholds: Argument[][]; halves: [Argument[][], Argument[][]] } {
  const prng = new Prng(seed);
  const thresholds = randomThresholds(prng);
  const halves = [0, 1].map((half) => {
    const recipes: Recipe[] = Array.from({ length: KEYS / 2 }, (_, at) => makeRecipe(prng, `key:${half}:${at}`));
    const keys = recipes.map(({ key }) => key);
    const commands: Argument[][] = [];
    for (const { key, commands: making } of recipes) {
      commands.push(['SELECT', prng.below(DATABASES)], ...making);
      if (prng.chance(0.3)) commands.push(['PEXPIREAT', key, FAR_MS + prng.below(1_000_000)]);
    }
    for (let at = 0; at < CHANGES; at++) commands.push(['SELECT', prng.below(DATABASES)], randomChange(prng, keys));
    return commands;
  });
  return { thresholds, halves: halves as [Argument[][], Argument[][]] };
}

/** A long-lived server that datasets come to, and its files. */
class Source {
  private constructor(
    readonly server: RunningServer,
    readonly client: RespClient,
    private readonly dir: string,
  ) {}

  static async start(layout: string, dir: string): Promise<Source> {
    mkdirSync(dir);
    const server = await startIn(dir, layout, []);
    return new Source(server, await RespClient.connect({ port: server.port }), dir);
  }

  /** Refusals are part of it: what a command refuses it does not journal. */
  async fill(seed: number): Promise<void> {
    const { thresholds, halves } = makeDataset(seed);
    await ask(this.client, 'FLUSHALL');
    await this.client.pipeline([...thresholds, ...halves[0]]);
    await ask(this.client, 'BGREWRITEAOF');
    const isDone = async (): Promise<boolean> =>
      /aof_rewrite_in_progress:0[^]*aof_rewrite_scheduled:0/.test(String(await ask(this.client, 'INFO', 'persistence')));
    await this.client.pipeline(halves[1]);
    await waitFor('the rewrite', isDone);
    await ask(this.client, 'SELECT', 0);
  }

  /** Copies the AOF into a folder of its own. */
  copyAof(target: string): void {
    copyJournal(this.dir, target);
  }

  async copyDump(target: string): Promise<void> {
    await ask(this.client, 'SAVE');
    mkdirSync(target);
    copyFileSync(join(this.dir, 'dump.rdb'), join(target, 'dump.rdb'));
  }

  async stop(): Promise<void> {
    this.client.close();
    await this.server.stop();
  }
}

// ---- Comparing ----

/**
 * What commands tell. Redis's propagation, which is ours, says nothing of consumers that were given nothing, of when one was
 * seen and how often an entry was delivered; a base of commands cannot claim entries that are gone. What it says of a group's
 * entries-read is Redis's matter (ours says more).
 */
function toldByCommands(lines: string[]): string[] {
  const entries = new Set(lines.flatMap((line) => /^(db\d+ ".*" stream )entry (\S+) /.exec(line)?.slice(1).join('') ?? []));
  const isTold = (line: string): boolean => {
    const pending = /^(db\d+ ".*" stream )group ".*" (?:consumer ".*" )?pending (\S+)/.exec(line);
    return !/ seen [0-9]+$/.test(line) && (pending === null || entries.has(pending.slice(1, 3).join('')));
  };
  return lines.filter(isTold).map((line) => line.replace(/ times [0-9]+$/, '').replace(/( group ".*" last \S+) read -?\d+$/, '$1')).sort();
}
/** Two readers of the same commands differ in the time at which they read them; and since 7.2 XCLAIM of what is gone
 *  makes a consumer, with 7.0 it does not. */
const readFromCommands = (lines: string[]): string[] => lines.filter((line) => !/ seen [0-9]+$/.test(line));
/** What RDB 9 tells. */
const toldByVersion9 = (lines: string[]): string[] => lines.filter((line) => !/ stream (length|group) /.test(line));
const asIs = (lines: string[]): string[] => lines;

/** The first lines that only one side has. */
function differenceOf(expected: string[], found: string[]): string | undefined {
  const left = new Set(expected);
  const right = new Set(found);
  const missing = expected.filter((line) => !right.has(line));
  const extra = found.filter((line) => !left.has(line));
  if (missing.length + extra.length === 0) return undefined;
  const some = (lines: string[]): string => lines.slice(0, DIFFERENCES_TOLD).map((line) => line.slice(0, 160)).join(' | ');
  return `${missing.length} lines missing (${some(missing)}), ${extra.length} too many (${some(extra)})`;
}

type Filter = (lines: string[]) => string[];

class Comparison {
  files = 0;

  constructor(
    private readonly restarter: Restarter,
    private readonly violations: Violations,
  ) {}

  /** Restored by us. */
  async byUs(what: string, dir: string, appendonly: 'yes' | 'no', live: string[], filter: Filter): Promise<void> {
    this.files++;
    const outcome = await this.restarter.start(dir, { appendonly });
    if (!outcome.isServing) return this.violations.add(`${what}: refused by us: ${outcome.log.slice(-3).join(' / ')}`);
    this.check(`${what}, by us`, live, await serverLines(this.restarter.native.client), filter);
  }

  /** Restored by redis-server. Answers with what it holds then. */
  async byRedis(what: string, dir: string, appendonly: 'yes' | 'no', live: string[], filter: Filter): Promise<string[]> {
    this.files++;
    let redis: RunningServer;
    try {
      redis = await startRedis(['--dir', dir, '--appendonly', appendonly]);
    } catch (error) {
      this.violations.add(`${what}: refused by redis-server: ${String(error).slice(-600)}`);
      return [];
    }
    const client = await RespClient.connect({ port: redis.port });
    const lines = await serverLines(client);
    this.check(`${what}, by redis-server`, live, lines, filter);
    client.close();
    await redis.stop();
    return lines;
  }

  private check(what: string, live: string[], found: string[], filter: Filter): void {
    const difference = differenceOf(filter(live), filter(found));
    if (difference !== undefined) this.violations.add(`${what}: ${difference}`);
  }
}

interface Round {
  ours: Source;
  theirs: Source;
  folder: ProofFolder;
  what: string;
  seed: number;
  isAltered: boolean;
}

async function compareOurs(comparison: Comparison, { ours, folder, what, seed, isAltered }: Round): Promise<void> {
  await ours.fill(seed);
  ours.copyAof(folder.path('aof'));
  for (const version of [9, 10, 11]) {
    await ask(ours.client, 'CONFIG', 'SET', 'rdb-compat-version', version);
    await ours.copyDump(folder.path(`rdb${version}`));
  }
  if (isAltered) await ask(ours.client, 'SET', 'altered', '1');
  const live = await serverLines(ours.client);
  await comparison.byUs(`${what}, our AOF`, folder.path('aof'), 'yes', live, toldByCommands);
  await comparison.byUs(`${what}, our RDB 11`, folder.path('rdb11'), 'no', live, asIs);
  await comparison.byRedis(`${what}, our RDB 10`, folder.path('rdb10'), 'no', live, asIs);
  await comparison.byRedis(`${what}, our RDB 9`, folder.path('rdb9'), 'no', live, toldByVersion9);
}

/** Our AOF has a base in RDB form of the version that was set when it was rewritten: 10, for redis-server. */
async function compareOurAof(comparison: Comparison, { ours, folder, what, seed, isAltered }: Round): Promise<void> {
  await ask(ours.client, 'CONFIG', 'SET', 'rdb-compat-version', 10);
  await ask(ours.client, 'CONFIG', 'SET', 'aof-use-rdb-preamble', seed % 2 === 0 ? 'yes' : 'no');
  await ours.fill(deriveSeed(seed, 1));
  ours.copyAof(folder.path('aof10'));
  if (isAltered) await ask(ours.client, 'SET', 'altered', '1');
  const live = await serverLines(ours.client);
  await comparison.byUs(`${what}, our AOF of 10`, folder.path('aof10'), 'yes', live, toldByCommands);
  const byRedis = await comparison.byRedis(`${what}, our AOF of 10`, folder.path('aof10'), 'yes', live, toldByCommands);
  await comparison.byUs(`${what}, our AOF of 10, by both`, folder.path('aof10'), 'yes', byRedis, readFromCommands);
}

async function compareTheirs(comparison: Comparison, { theirs, folder, what, seed, isAltered }: Round): Promise<void> {
  await ask(theirs.client, 'CONFIG', 'SET', 'aof-use-rdb-preamble', seed % 2 === 0 ? 'no' : 'yes');
  await theirs.fill(deriveSeed(seed, 2));
  theirs.copyAof(folder.path('their-aof'));
  await theirs.copyDump(folder.path('their-rdb'));
  if (isAltered) await ask(theirs.client, 'SET', 'altered', '1');
  const live = await serverLines(theirs.client);
  const byRedis = await comparison.byRedis(`${what}, the AOF of redis-server`, folder.path('their-aof'), 'yes', live, toldByCommands);
  await comparison.byUs(`${what}, the AOF of redis-server, by both`, folder.path('their-aof'), 'yes', byRedis, readFromCommands);
  await comparison.byUs(`${what}, the RDB of redis-server`, folder.path('their-rdb'), 'no', live, asIs);
}

/** Runs the proof; a round is a seed. */
export async function proveExchange({ seed, rounds, layouts, isAltered = false }: ExchangeOptions): Promise<ProofResult> {
  const violations = new Violations();
  const folder = new ProofFolder();
  const restarter = await Restarter.make();
  const comparison = new Comparison(restarter, violations);
  const theirs = await Source.start('redis', folder.path('theirs'));
  let ours: Source | undefined;
  try {
    for (let round = 0; round < rounds; round++) {
      const layout = layouts[Math.floor((round * layouts.length) / rounds)] as string;
      if (ours === undefined || round % Math.ceil(rounds / layouts.length) === 0) {
        await ours?.stop();
        ours = await Source.start(layout, folder.path(`ours-${round}`));
      }
      const roundSeed = deriveSeed(seed, round);
      const what = `seed ${seed}, round ${round} on ${layout}`;
      const files: Round = { ours, theirs, folder, what, seed: roundSeed, isAltered };
      await compareOurs(comparison, files);
      await compareOurAof(comparison, files);
      await compareTheirs(comparison, files);
      for (const name of ['aof', 'aof10', 'rdb9', 'rdb10', 'rdb11', 'their-aof', 'their-rdb']) folder.forget(name);
    }
  } finally {
    await ours?.stop();
    await theirs.stop();
    await restarter.end();
    folder.remove();
  }
  return violations.result('exchange', seed, { rounds, files: comparison.files });
}
