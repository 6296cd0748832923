/**
 * RELIABILITY 6: the bank of test/proofs/bank.ts, with eight writers, while RDB files are saved and the AOF is rewritten.
 * Every file is loaded and must hold what the bank holds: a snapshot is one instant over all shards.
 *
 * Three things are loaded in turn: the RDB file of a BGSAVE; the base of a rewrite alone; and the AOF as it is while
 * writers go on, base and whatever of the incremental file was written when it was copied. Ballast in another database makes
 * snapshots last. With `isTorn` money moves without transactions, and the proof must find sums that differ.
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BANK_TOTAL, LOOK_KEYS, checkLook, proveBank } from '../../proofs/bank.js';
import { Connection, type Reply } from '../../proofs/connection.js';
import { Violations, waitFor, type ProofResult } from '../../proofs/proof.js';
import { copyJournal, journalFiles, ProofFolder } from './folder.js';
import { startIn } from './kill.js';
import { Restarter } from './restarter.js';

export interface BankSnapshotsOptions {
  seed: number;
  /** Snapshots, of each kind a third. */
  rounds: number;
  layouts: readonly string[];
  isTorn?: boolean;
}

const BALLAST_KEYS = 20_000;
const BALLAST_DB = 2;
const PAUSE_MS = 20;

type Kind = 'dump' | 'base' | 'aof';
const KINDS: readonly Kind[] = ['dump', 'base', 'aof'];

/** Lets the server make a snapshot of a kind, and copies its files to `target`, a folder to start on. */
async function takeSnapshot(admin: Connection, dir: string, target: string, kind: Kind): Promise<void> {
  const [command, field] = kind === 'dump' ? ['BGSAVE', 'rdb_bgsave_in_progress'] : ['BGREWRITEAOF', 'aof_rewrite_in_progress'];
  await admin.must(command);
  const isDone = async (): Promise<boolean> => String(await admin.must('INFO', 'persistence')).includes(`${field}:0`);
  await waitFor(`the end of ${command}`, isDone);
  if (kind === 'dump') return copyFileSync(join(dir, 'dump.rdb'), join(target, 'dump.rdb'));
  // Only we ask for rewrites, so the files stay; the last one grows, and ends in the middle of a command.
  if (kind === 'base') return copyFileSync(journalFiles(dir)[0] as string, join(target, 'dump.rdb'));
  copyJournal(dir, target);
}

/** Loads what was copied; answers with what is wrong. */
async function judge(restarter: Restarter, target: string, kind: Kind): Promise<string | undefined> {
  const outcome = await restarter.start(target, { appendonly: kind === 'aof' ? 'yes' : 'no' });
  if (!outcome.isServing) return `refused: ${outcome.log.slice(-3).join(' / ')}`;
  const { connection } = restarter;
  const values = (await connection.must('MGET', ...LOOK_KEYS)) as Reply[];
  const fault = checkLook(values.map((value) => (typeof value === 'string' ? Number(value) : value)));
  if (fault !== undefined) return fault;
  await connection.must('SELECT', BALLAST_DB);
  const ballast = await connection.must('DBSIZE');
  await connection.must('SELECT', 0);
  if (ballast !== BALLAST_KEYS) return `${String(ballast)} keys of ballast instead of ${BALLAST_KEYS}`;
  const size = await connection.must('DBSIZE');
  const accounts = values.filter((value) => value !== null).length;
  return size === accounts ? undefined : `${String(size)} keys instead of ${accounts}`;
}

/** Snapshots of one server, while its bank goes on. */
async function runOn(layout: string, rounds: number, options: BankSnapshotsOptions, violations: Violations): Promise<Record<string, number>> {
  const folder = new ProofFolder();
  const target = folder.path('copy');
  const dir = folder.path('data');
  mkdirSync(dir);
  const restarter = await Restarter.make();
  const server = await startIn(dir, layout, ['--appendfsync', 'everysec']);
  let isOver = false;
  let bytes = 0;
  try {
    const { seed, isTorn = false } = options;
    const banking = proveBank({ port: server.port, seed, reads: Infinity, isTorn, isOver: () => isOver });
    const admin = await Connection.open(server.port);
    await waitFor('the opening of the bank', async () => Number(await admin.must('DBSIZE')) > 0);
    await admin.must('SELECT', BALLAST_DB);
    await admin.must('DEBUG', 'POPULATE', BALLAST_KEYS, 'ballast', 60);
    // What DEBUG POPULATE makes is in no journal, only in bases.
    for (let round = 0; round < rounds; round++) {
      mkdirSync(target);
      const kind = KINDS[round % KINDS.length] as Kind;
      await takeSnapshot(admin, dir, target, kind);
      bytes += kind === 'aof' ? readFileSync(journalFiles(target).at(-1) as string).length : 0;
      const fault = await judge(restarter, target, kind);
      if (fault !== undefined) violations.add(`${layout}, snapshot ${round}, ${kind}: ${fault}`);
      rmSync(target, { recursive: true });
      await sleep(PAUSE_MS);
    }
    isOver = true;
    const bank = await banking;
    for (const text of bank.violations) violations.add(`${layout}, live: ${text}`);
    admin.destroy();
    return { moves: bank.figures['moves'] ?? 0, incrementalBytes: bytes };
  } finally {
    isOver = true;
    await server.stop();
    await restarter.end();
    folder.remove();
  }
}

/** Runs the proof on each layout in turn. */
export async function proveBankInSnapshots(options: BankSnapshotsOptions): Promise<ProofResult> {
  const violations = new Violations();
  const { rounds, layouts, seed } = options;
  const each = Math.ceil(rounds / layouts.length);
  const figures: Record<string, number> = { snapshots: each * layouts.length, total: BANK_TOTAL };
  for (const layout of layouts) {
    for (const [name, value] of Object.entries(await runOn(layout, each, options, violations))) {
      figures[name] = (figures[name] ?? 0) + value;
    }
  }
  return violations.result('bank-snapshots', seed, figures);
}
