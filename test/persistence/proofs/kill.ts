/**
 * RELIABILITY 2: kill -9 under load, and the death of one worker alone. What was acknowledged is a part of what is
 * restored, under every appendfsync policy, while the AOF is rewritten and RDB files are saved.
 *
 * Rounds go on in one folder: each round starts a server on what the last one has left, checks every writer
 * (ledger.ts), lets writers and an administrator work for a random time, and kills. With `loses` some bytes of the last file
 * are cut off behind the server's back: the proof must find that.
 */
import { statSync, truncateSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { Prng } from '../../differential/prng.js';
import { startRedis, startSherd, type RunningServer } from '../../support/oracle.js';
import { projectRoot } from '../../support/project.js';
import { layoutOptions } from '../../differential/layout.js';
import { Connection, ReplyError } from '../../proofs/connection.js';
import { Violations, type ProofResult } from '../../proofs/proof.js';
import { journalFiles, ProofFolder } from './folder.js';
import { checkRestored, makeLedgers, write, type Ledger } from './ledger.js';

export interface KillOptions {
  seed: number;
  rounds: number;
  /** `redis`, `default`, or a layout's name; several take turns. */
  layouts: readonly string[];
  /** The fault built in. */
  loses?: boolean;
}

const WRITERS = 8;
const POLICIES = ['always', 'everysec', 'no'] as const;
const LOAD_MS_MIN = 60;
const LOAD_MS_MAX = 500;
const BALLAST_KEYS = 20_000;
const LOST_BYTES = 4_000;
const WORKER_END_MS_MAX = 5_000;
const PRELOAD = join(projectRoot, 'test', 'persistence', 'proofs', 'worker-death.mjs');

/** Starts what a layout's name says in a folder, with the AOF on. */
export function startIn(dir: string, layout: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<RunningServer> {
  const all = ['--dir', dir, '--appendonly', 'yes', '--auto-aof-rewrite-percentage', '0', ...args];
  if (layout === 'redis') return startRedis(all, { env });
  return startSherd(layout === 'default' ? all : [...all, ...layoutOptions(layout)], { env });
}

/** Rewrites and saves, one after the other at random times, until the server has gone. */
export async function administrate(port: number, seed: number, isOver: () => boolean, restMsMax = 80): Promise<number> {
  const prng = new Prng(seed);
  let begun = 0;
  try {
    const connection = await Connection.open(port);
    while (!isOver()) {
      const reply = await connection.call(prng.chance(0.6) ? 'BGREWRITEAOF' : 'BGSAVE');
      if (!(reply instanceof ReplyError)) begun++;
      await sleep(prng.between(Math.min(5, restMsMax), restMsMax));
    }
    connection.destroy();
  } catch {
    // The server was killed.
  }
  return begun;
}

interface Round {
  server: RunningServer;
  ledgers: Ledger[];
  seed: number;
  loadMs: number;
  kill: (server: RunningServer) => Promise<void>;
}

/** One load that ends with the server. */
async function loadUntilKilled({ server, ledgers, seed, loadMs, kill }: Round): Promise<{ operations: number; snapshots: number }> {
  let isOver = false;
  const writing = ledgers.map((ledger) => write(server.port, ledger, { seed, isOver: () => isOver, depthMax: 8 }));
  const administrating = administrate(server.port, seed, () => isOver);
  await sleep(loadMs);
  await kill(server);
  isOver = true;
  const counts = await Promise.all(writing);
  return { operations: counts.reduce((sum, count) => sum + count, 0), snapshots: await administrating };
}

async function killAtOnce(server: RunningServer): Promise<void> {
  process.kill(server.pid, 'SIGKILL');
  await server.exited;
}

/** Cuts the end of the newest file that is long enough, as if the server had not written it. */
function loseEnd(dir: string): void {
  const path = journalFiles(dir).findLast((file) => statSync(file).size > LOST_BYTES);
  if (path !== undefined) truncateSync(path, statSync(path).size - LOST_BYTES);
}

/** Kills the process, round after round. */
export async function proveKill({ seed, rounds, layouts, loses = false }: KillOptions): Promise<ProofResult> {
  const violations = new Violations();
  const prng = new Prng(seed);
  const folder = new ProofFolder();
  const ledgers = makeLedgers(WRITERS);
  const total = { operations: 0, snapshots: 0 };
  try {
    for (let round = 0; round <= rounds; round++) {
      const layout = layouts[round % layouts.length] as string;
      const policy = POLICIES[round % POLICIES.length] as string;
      const what = `round ${round} on ${layout} behind ${String(POLICIES[(round + 2) % POLICIES.length])}`;
      let server: RunningServer;
      try {
        server = await startIn(folder.dir, layout, ['--appendfsync', policy]);
      } catch (error) {
        violations.add(`${what}: no start: ${String(error)}`);
        break;
      }
      for (const fault of await checkRestored(server, ledgers)) violations.add(`${what}: ${fault}`);
      if (round === 0) await fillBallast(server.port);
      const loadMs = round === rounds ? 0 : prng.between(LOAD_MS_MIN, LOAD_MS_MAX);
      const done = await loadUntilKilled({ server, ledgers, seed: prng.next(), loadMs, kill: killAtOnce });
      total.operations += done.operations;
      total.snapshots += done.snapshots;
      await server.stop();
      if (loses) loseEnd(folder.dir);
    }
  } finally {
    folder.remove();
  }
  return violations.result('kill', seed, { rounds, ...total });
}

async function fillBallast(port: number): Promise<void> {
  const connection = await Connection.open(port);
  await connection.must('DEBUG', 'POPULATE', BALLAST_KEYS, 'ballast', 50);
  connection.destroy();
}

/**
 * One worker dies alone, by an exception or by leaving: the process ends soon and not with 0, and nothing that
 * was acknowledged is lost.
 */
export async function proveWorkerDeath({ seed, rounds, layouts }: KillOptions): Promise<ProofResult> {
  const violations = new Violations();
  const prng = new Prng(seed);
  const folder = new ProofFolder();
  const ledgers = makeLedgers(WRITERS);
  const figures = { rounds, operations: 0, endMsMax: 0 };
  const trigger = join(folder.dir, 'trigger');
  const env = {
    NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import ${PRELOAD}`,
    SHERD_TEST_TRIGGER: trigger,
  };
  const killWorker = async (server: RunningServer): Promise<void> => {
    const startedAtMs = performance.now();
    writeFileSync(trigger, prng.pick(['throw', 'exit']));
    const exit = await Promise.race([server.exited, sleep(WORKER_END_MS_MAX)]);
    figures.endMsMax = Math.max(figures.endMsMax, performance.now() - startedAtMs);
    if (exit === undefined) violations.add(`the server lives on ${WORKER_END_MS_MAX} ms after the death of a worker`);
    else if (exit.code === 0) violations.add('the server ended with status 0 after the death of a worker');
    if (exit === undefined) process.kill(server.pid, 'SIGKILL');
    await server.exited;
  };
  try {
    for (let round = 0; round <= rounds; round++) {
      const layout = layouts[round % layouts.length] as string;
      const server = await startIn(folder.dir, layout, ['--appendfsync', POLICIES[round % POLICIES.length] as string], env);
      for (const fault of await checkRestored(server, ledgers)) violations.add(`round ${round} on ${layout}: ${fault}`);
      const isLast = round === rounds;
      const loadMs = isLast ? 0 : prng.between(LOAD_MS_MIN, LOAD_MS_MAX);
      const kill = isLast ? killAtOnce : killWorker;
      figures.operations += (await loadUntilKilled({ server, ledgers, seed: prng.next(), loadMs, kill })).operations;
      folder.forget('trigger');
      await server.stop();
    }
  } finally {
    folder.remove();
  }
  return violations.result('worker-death', seed, figures);
}
