/**
 * RELIABILITY 7: the disk is full, or writes, syncs and renames fail. Nothing acknowledged is lost, reads go on, writes are refused
 * with Redis's texts and pass again by themselves within two seconds, and the process never ends.
 *
 * `disk-faults` injects errors (disk-shim.c) into a server under load, one fault of FAULTS after another under each
 * policy, with a rewrite, a BGSAVE and a CONFIG REWRITE tried in each; every other time the process is killed while the disk
 * still fails. `disk-full` fills a small tmpfs with the server's own files and gives space back. Faults built in:
 * `isDeaf`, a server that is told of no fault, so that the proof must miss the refusals.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Prng, deriveSeed } from '../../differential/prng.js';
import { Connection, ReplyError, show, type Command } from '../../proofs/connection.js';
import { Violations, type ProofResult } from '../../proofs/proof.js';
import { layoutOptions } from '../../differential/layout.js';
import { startSherd, type RunningServer } from '../../support/oracle.js';
import { DiskShim, type DiskFault } from './disk-shim.js';
import { ProofFolder } from './folder.js';
import { checkRestored, makeLedgers, write, type Ledger } from './ledger.js';

export interface DiskOptions {
  seed: number;
  /** Faults injected, or times that the disk is filled. */
  rounds: number;
  layouts: readonly string[];
  isDeaf?: boolean;
  /** What the machine does not allow is passed over. */
  mayPass?: boolean;
}

const WRITERS = 4;
const RESUME_MS_MAX = 2_000;
const READ_MS_MAX = 1_000;
/** Under everysec a sync may be a second away. */
const REFUSAL_MS_MAX = 2_500;
const POLICIES = ['always', 'everysec', 'no'] as const;
const CONFIG = 'redis.conf';
const FAULT_MS = 450;
const QUIET_MS = 150;

interface FaultCase {
  name: string;
  fault: DiskFault;
  /** Whether writers must be refused meanwhile, under policies that sync and under `no`. */
  refuses: 'always' | 'if synced' | 'never';
  reason: string;
}

const FAULTS: readonly FaultCase[] = [
  { name: 'no space', fault: { write: 'ENOSPC' }, refuses: 'always', reason: 'No space left on device' },
  { name: 'writes fail', fault: { write: 'EIO' }, refuses: 'always', reason: 'Input/output error' },
  { name: 'syncs fail', fault: { sync: 'EIO' }, refuses: 'if synced', reason: 'Input/output error' },
  { name: 'names cannot be changed', fault: { names: 'EIO' }, refuses: 'never', reason: '' },
  { name: 'writes end short, then fail', fault: { bytesMax: 0 }, refuses: 'always', reason: 'No space left on device' },
  { name: 'writes end short', fault: { bytesMax: 37 }, refuses: 'never', reason: '' },
];

/** A server of ours in `dir` with a configuration file, which CONFIG REWRITE needs, and its AOF on. */
function startConfigured(dir: string, layout: string, args: string[], env: NodeJS.ProcessEnv): Promise<RunningServer> {
  const configFile = join(dir, CONFIG);
  if (!existsSync(configFile)) writeFileSync(configFile, 'appendonly yes\n');
  const all = ['--dir', dir, '--appendonly', 'yes', '--auto-aof-rewrite-percentage', '0', ...args];
  return startSherd(layout === 'default' ? all : [...all, ...layoutOptions(layout)], { env, configFile });
}

// ---- What goes on meanwhile ----

/** Readers must be answered whatever the disk does. */
async function readOn(port: number, key: string, isOver: () => boolean, violations: Violations): Promise<number> {
  const connection = await Connection.open(port);
  let msMax = 0;
  try {
    while (!isOver()) {
      const sentAt = performance.now();
      const reply = await connection.call('GET', key);
      msMax = Math.max(msMax, performance.now() - sentAt);
      if (reply instanceof ReplyError) violations.add(`a reader was answered ${show(reply)}`);
      await sleep(2);
    }
  } catch {
    // Killed.
  }
  connection.destroy();
  return msMax;
}

/** Refusals of one load, and when writes passed. */
class Refusals {
  readonly texts = new Set<string>();
  lastAtMs = 0;

  add(text: string): void {
    this.texts.add(text);
    this.lastAtMs = performance.now();
  }
}

/** Waits until a write passes; answers with how long that took. */
async function timeToWrite(port: number, command: Command): Promise<number> {
  const connection = await Connection.open(port);
  const startedAt = performance.now();
  try {
    while ((await connection.call(...command)) instanceof ReplyError) {
      if (performance.now() - startedAt > 10 * RESUME_MS_MAX) break;
      await sleep(5);
    }
    return performance.now() - startedAt;
  } finally {
    connection.destroy();
  }
}

/** Commands that write files, while the disk fails: their failure is told, and nothing else comes of it. */
async function tryFiles(connection: Connection, prng: Prng): Promise<void> {
  const commands: Command[] = [['BGSAVE'], ['BGREWRITEAOF'], ['CONFIG', 'REWRITE'], ['SAVE']];
  for (const command of commands.filter(() => prng.chance(0.7))) await connection.call(...command);
}

interface Trial {
  dir: string;
  shim: DiskShim;
  server: RunningServer;
  ledgers: Ledger[];
  fault: FaultCase;
  policy: (typeof POLICIES)[number];
  isKilled: boolean;
  isDeaf: boolean;
  prng: Prng;
  what: string;
  violations: Violations;
  figures: Record<string, number>;
}

/** Whether PING is refused, which it is while the journal fails; a write of ours might be held instead. */
async function isRefused(admin: Connection): Promise<ReplyError | undefined> {
  const reply = await admin.call('PING');
  return reply instanceof ReplyError ? reply : undefined;
}

async function checkRefusals({ fault, policy, what, violations }: Trial, admin: Connection, refusals: Refusals): Promise<void> {
  const isDue = fault.refuses === 'always' || (fault.refuses === 'if synced' && policy !== 'no');
  const expected = `MISCONF Errors writing to the AOF file: ${fault.reason}`;
  const deadline = performance.now() + REFUSAL_MS_MAX;
  let refusal = await isRefused(admin);
  while (isDue && refusal === undefined && performance.now() < deadline) {
    await sleep(5);
    refusal = await isRefused(admin);
  }
  if (refusal !== undefined) refusals.add(refusal.text);
  if (isDue && refusal === undefined) violations.add(`${what}: nobody was refused`);
  const other = [...refusals.texts].find((text) => text !== expected && !text.startsWith('EXECABORT'));
  if (other !== undefined) violations.add(`${what}: a client was answered ${other}`);
}

/** One fault of one server, and its end. */
async function runTrial(trial: Trial): Promise<void> {
  const { server, shim, ledgers, fault, prng, what, violations, figures } = trial;
  const refusals = new Refusals();
  let isOver = false;
  const seed = prng.next();
  const writing = ledgers.map((ledger) => write(server.port, ledger, { seed, isOver: () => isOver, onError: (text) => refusals.add(text) }));
  const reading = readOn(server.port, (ledgers[0] as Ledger).keys.count, () => isOver, violations);
  const admin = await Connection.open(server.port);
  await sleep(QUIET_MS);
  if (refusals.texts.size > 0) violations.add(`${what}: refused without a fault: ${[...refusals.texts].join()}`);
  const config = readFileSync(join(trial.dir, CONFIG), 'latin1');
  if (!trial.isDeaf) shim.set(fault.fault);
  await sleep(FAULT_MS / 3);
  await tryFiles(admin, prng);
  await sleep(prng.between(FAULT_MS / 3, FAULT_MS));
  await checkRefusals(trial, admin, refusals);
  if (fault.fault.names !== undefined && readFileSync(join(trial.dir, CONFIG), 'latin1') !== config) {
    violations.add(`${what}: redis.conf changed though CONFIG REWRITE could not rename`);
  }
  if (!trial.isKilled) {
    shim.set({});
    const resumeMs = await timeToWrite(server.port, ['SET', 'resumed', 1]);
    figures['resumeMsMax'] = Math.max(figures['resumeMsMax'] ?? 0, resumeMs);
    if (resumeMs > RESUME_MS_MAX) violations.add(`${what}: writes passed again after ${Math.round(resumeMs)} ms`);
    const reply = await admin.call('CONFIG', 'REWRITE');
    if (reply !== 'OK') violations.add(`${what}: CONFIG REWRITE answered ${show(reply)} when the disk was well again`);
    await sleep(QUIET_MS);
  }
  const exit = await Promise.race([server.exited, sleep(0)]);
  if (exit !== undefined) violations.add(`${what}: the server ended: ${JSON.stringify(exit)}: ${server.log().slice(-400)}`);
  else process.kill(server.pid, 'SIGKILL');
  await server.exited;
  isOver = true;
  shim.set({});
  await Promise.all(writing);
  const readMs = await reading;
  figures['readMsMax'] = Math.max(figures['readMsMax'] ?? 0, readMs);
  if (readMs > READ_MS_MAX) violations.add(`${what}: a reader waited ${Math.round(readMs)} ms`);
  figures['refusals'] = (figures['refusals'] ?? 0) + refusals.texts.size;
  admin.destroy();
}

/** Injects faults, one server after the other in one folder. */
export async function proveDiskFaults({ seed, rounds, layouts, isDeaf = false }: DiskOptions): Promise<ProofResult> {
  const violations = new Violations();
  const prng = new Prng(deriveSeed(seed, 0));
  const folder = new ProofFolder();
  const dir = folder.path('data');
  mkdirSync(dir);
  const shim = new DiskShim(folder, dir, false);
  const ledgers = makeLedgers(WRITERS);
  const figures: Record<string, number> = { rounds };
  try {
    for (let round = 0; round <= rounds; round++) {
      const layout = layouts[round % layouts.length] as string;
      const policy = POLICIES[Math.floor(round / FAULTS.length + round) % POLICIES.length] as (typeof POLICIES)[number];
      const fault = FAULTS[round % FAULTS.length] as FaultCase;
      const isKilled = prng.chance(0.4);
      const what = `round ${round}, ${fault.name}, ${policy} on ${layout}${isKilled ? ', killed' : ''}`;
      const server = await startConfigured(dir, layout, ['--appendfsync', policy], shim.env);
      for (const text of await checkRestored(server, ledgers)) violations.add(`${what}, before it: ${text}`);
      if (round < rounds) await runTrial({ dir, shim, server, ledgers, fault, policy, isKilled, isDeaf, prng, what, violations, figures });
      await server.stop();
    }
  } catch (error) {
    violations.add(`broke off: ${error instanceof Error ? String(error.stack) : String(error)}`);
  } finally {
    shim.close();
    folder.remove();
  }
  return violations.result('disk-faults', seed, figures);
}

/** RDB files alone: a save that fails refuses writes, if that is asked for, until one works. */
export async function proveSaveFaults({ seed, rounds, layouts, isDeaf = false }: DiskOptions): Promise<ProofResult> {
  const violations = new Violations();
  const folder = new ProofFolder();
  const dir = folder.path('data');
  mkdirSync(dir);
  const shim = new DiskShim(folder, dir, false);
  const figures: Record<string, number> = { rounds };
  const faults: DiskFault[] = [{ write: 'ENOSPC' }, { sync: 'EIO' }, { names: 'ENOSPC' }];
  try {
    for (let round = 0; round < rounds; round++) {
      const layout = layouts[round % layouts.length] as string;
      const server = await startConfigured(dir, layout, ['--appendonly', 'no', '--save', '3600 1'], shim.env);
      const connection = await Connection.open(server.port);
      const what = `round ${round} on ${layout}`;
      if (round > 0 && Number(await connection.call('GET', 'count')) !== round) violations.add(`${what}: the last save is not there`);
      await connection.must('SET', 'count', round + 1);
      if (!isDeaf) shim.set(faults[round % faults.length] as DiskFault);
      await connection.must('BGSAVE');
      while (/rdb_bgsave_in_progress:1/.test(String(await connection.must('INFO', 'persistence')))) await sleep(2);
      const refusal = await connection.call('SET', 'refused', 1);
      const isRefused = refusal instanceof ReplyError && refusal.text.startsWith('MISCONF Redis is configured to save RDB snapshots');
      if (!isRefused) violations.add(`${what}: a write behind a failed save was answered ${show(refusal)}`);
      if ((await connection.call('GET', 'count')) !== String(round + 1)) violations.add(`${what}: reads do not go on`);
      shim.set({});
      const resumeMs = await timeToWrite(server.port, ['SET', 'resumed', 1]);
      figures['resumeMsMax'] = Math.max(figures['resumeMsMax'] ?? 0, resumeMs);
      if (resumeMs > RESUME_MS_MAX) violations.add(`${what}: writes passed again after ${Math.round(resumeMs)} ms`);
      process.kill(server.pid, 'SIGKILL');
      connection.destroy();
      await server.stop();
    }
  } finally {
    shim.close();
    folder.remove();
  }
  return violations.result('save-faults', seed, figures);
}

// ---- A disk that is full ----

const TMPFS_BYTES = 24 << 20;
const FILLER_BYTES = 6 << 20;
const VALUE_BYTES = 50_000;

/** Mounts a small file system on a folder; false where that is not allowed. */
function mountSmall(dir: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${TMPFS_BYTES}`, 'tmpfs', dir], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Writes until the disk is full, gives space back, and sees writes pass again. */
async function fillOnce(server: RunningServer, dir: string, ledgers: Ledger[], seed: number, what: string, violations: Violations): Promise<number> {
  const filler = join(dir, 'filler');
  writeFileSync(filler, Buffer.alloc(FILLER_BYTES));
  const refusals = new Refusals();
  let isOver = false;
  const writing = ledgers.map((ledger) => write(server.port, ledger, { seed, isOver: () => isOver, onError: (text) => refusals.add(text) }));
  const reading = readOn(server.port, (ledgers[0] as Ledger).keys.count, () => isOver, violations);
  const admin = await Connection.open(server.port);
  const isFull = (reply: unknown): boolean => reply instanceof ReplyError && reply.text === 'MISCONF Errors writing to the AOF file: No space left on device';
  // Under always a reply is held while the disk is full, so the one who fills asks on another connection.
  const value = 'x'.repeat(VALUE_BYTES);
  let isFilling = true;
  void (async () => {
    const connection = await Connection.open(server.port);
    try {
      while (isFilling && !isFull(await connection.call('SET', 'big', value)));
    } catch {
      // Killed meanwhile.
    }
    connection.destroy();
  })();
  const startedAt = performance.now();
  while (!isFull(await admin.call('PING'))) {
    if (performance.now() - startedAt > 20_000) break;
    await sleep(5);
  }
  if (performance.now() - startedAt > 20_000) violations.add(`${what}: the disk was never full`);
  for (const command of [['BGSAVE'], ['BGREWRITEAOF'], ['CONFIG', 'REWRITE']]) await admin.call(...command);
  await sleep(FAULT_MS);
  isFilling = false;
  rmSync(filler);
  const resumeMs = await timeToWrite(server.port, ['SET', 'resumed', 1]);
  if (resumeMs > RESUME_MS_MAX) violations.add(`${what}: writes passed again after ${Math.round(resumeMs)} ms`);
  const info = async (): Promise<string> => String(await admin.must('INFO', 'persistence'));
  while (/aof_rewrite_in_progress:1|rdb_bgsave_in_progress:1/.test(await info())) await sleep(10);
  const rewrite = await admin.call('BGREWRITEAOF');
  if (rewrite instanceof ReplyError) violations.add(`${what}: BGREWRITEAOF answered ${show(rewrite)} when there was space`);
  while (/aof_rewrite_in_progress:1/.test(await info())) await sleep(10);
  if (!/aof_last_bgrewrite_status:ok/.test(await info())) violations.add(`${what}: no rewrite works when there is space`);
  isOver = true;
  await Promise.all(writing);
  await reading;
  admin.destroy();
  return resumeMs;
}

/** Fills a small file system. Without the right to mount one nothing is proved: a violation, unless it may pass. */
export async function proveDiskFull({ seed, rounds, layouts, mayPass = false }: DiskOptions): Promise<ProofResult> {
  const violations = new Violations();
  const folder = new ProofFolder();
  const dir = folder.path('small');
  mkdirSync(dir);
  const figures: Record<string, number> = { rounds, resumeMsMax: 0 };
  const ledgers = makeLedgers(WRITERS);
  if (!mountSmall(dir)) {
    process.stdout.write('disk-full: SKIPPED, mounting a tmpfs is not permitted here\n');
    if (!mayPass) violations.add('skipped: mounting a tmpfs is not permitted here');
    return violations.result('disk-full', seed, figures);
  }
  let server: RunningServer | undefined;
  try {
    for (let round = 0; round <= rounds; round++) {
      const layout = layouts[round % layouts.length] as string;
      const policy = POLICIES[round % POLICIES.length] as string;
      const what = `round ${round}, ${policy} on ${layout}`;
      server = await startConfigured(dir, layout, ['--appendfsync', policy], {});
      for (const text of await checkRestored(server, ledgers)) violations.add(`${what}, before it: ${text}`);
      if (round < rounds) {
        const resumeMs = await fillOnce(server, dir, ledgers, deriveSeed(seed, round), what, violations);
        figures['resumeMsMax'] = Math.max(figures['resumeMsMax'] ?? 0, resumeMs);
      }
      const exit = await Promise.race([server.exited, sleep(0)]);
      if (exit !== undefined) violations.add(`${what}: the server ended: ${server.log().slice(-400)}`);
      else process.kill(server.pid, 'SIGKILL');
      await server.stop();
    }
  } catch (error) {
    violations.add(`broke off: ${error instanceof Error ? String(error.stack) : String(error)}`);
  } finally {
    await server?.stop();
    execFileSync('umount', [dir]);
    folder.remove();
  }
  return violations.result('disk-full', seed, figures);
}
