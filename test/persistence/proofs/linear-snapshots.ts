/**
 * RELIABILITY 9: histories of keys stay linearizable while snapshots and rewrites follow each other without a pause, under
 * appendfsync always, where replies are held until a sync covers them. And what stands at the end is what a restart finds.
 *
 * The clients and the decision are those of test/proofs/linearizability.ts. With `loses` the
 * restart must be found to miss something.
 */
import { statSync, truncateSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { proveLinearizability } from '../../proofs/linearizability.js';
import { Connection } from '../../proofs/connection.js';
import { Violations, type ProofResult } from '../../proofs/proof.js';
import { RespClient } from '../../support/resp-client.js';
import { journalFiles, ProofFolder } from './folder.js';
import { administrate, startIn } from './kill.js';

export interface LinearSnapshotsOptions {
  seed: number;
  operations: number;
  layouts: readonly string[];
  /** The fault built in: the end of the AOF is cut off before the restart. That an old answer is found
   *  test/proofs shows. */
  loses?: boolean;
}

const BALLAST_KEYS = 30_000;
const BALLAST_DB = 1;
const TAIL = 100;
const LOST_BYTES = 500;

async function digestOf(port: number): Promise<string> {
  const client = await RespClient.connect({ port });
  const digest = (await client.send('DEBUG', 'DIGEST')).text;
  client.close();
  return digest;
}

/** Ballast, so that snapshots last; when the clients have emptied the server and begun. */
async function fillBallast(port: number): Promise<void> {
  const connection = await Connection.open(port);
  while (Number(await connection.must('DBSIZE')) === 0);
  await connection.must('SELECT', BALLAST_DB);
  await connection.must('DEBUG', 'POPULATE', BALLAST_KEYS, 'ballast', 60);
  // Only a rewrite brings it into the AOF.
  await connection.must('BGREWRITEAOF');
  connection.destroy();
}

/** Until no rewrite runs and one has been whole: only then is the ballast in the files. */
async function awaitRewrite(port: number): Promise<void> {
  const client = await RespClient.connect({ port });
  const isDone = /aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0[^]*aof_last_bgrewrite_status:ok[^]*aof_rewrites:[1-9]/;
  while (!isDone.test((await client.send('INFO', 'persistence')).text)) await sleep(20);
  client.close();
}

/** Writes that surely stand in the last file. */
async function writeTail(port: number): Promise<void> {
  const connection = await Connection.open(port);
  await connection.batch(Array.from({ length: TAIL }, () => ['INCR', 'tail']));
  connection.destroy();
}

const loseEnd = (path: string): void => truncateSync(path, statSync(path).size - LOST_BYTES);

/** Runs the proof on each layout, with a share of the operations. */
export async function proveLinearSnapshots(options: LinearSnapshotsOptions): Promise<ProofResult> {
  const { seed, layouts, loses = false } = options;
  const violations = new Violations();
  const figures: Record<string, number> = { operations: 0, snapshots: 0 };
  const operations = Math.ceil(options.operations / layouts.length);
  for (const layout of layouts) {
    const folder = new ProofFolder();
    const server = await startIn(folder.dir, layout, ['--appendfsync', 'always']);
    let isOver = false;
    try {
      const running = proveLinearizability({ port: server.port, seed, operations });
      await fillBallast(server.port);
      const administrating = administrate(server.port, seed, () => isOver, 5);
      const result = await running.finally(() => (isOver = true));
      figures['snapshots']! += await administrating;
      figures['operations']! += result.figures['operations'] ?? 0;
      for (const text of result.violations) violations.add(`${layout}: ${text}`);
      await awaitRewrite(server.port);
      await writeTail(server.port);
      const before = await digestOf(server.port);
      process.kill(server.pid, 'SIGKILL');
      await server.stop();
      if (loses) loseEnd(journalFiles(folder.dir).at(-1) as string);
      const next = await startIn(folder.dir, layout, []);
      if ((await digestOf(next.port)) !== before) violations.add(`${layout}: a restart has another dataset`);
      await next.stop();
    } finally {
      await server.stop();
      folder.remove();
    }
  }
  return violations.result('linear-snapshots', seed, figures);
}
