/**
 * Files of our own for the proofs that damage them: an AOF with transactions and checksum lines and an RDB file, written by
 * a server; and what a restored dataset is known by.
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { AofReader } from '../../../src/persistence/format/aof-reader.js';
import { MemorySource } from '../../../src/persistence/format/byte-source.js';
import { Prng } from '../../differential/prng.js';
import { RespClient, type Argument } from '../../support/resp-client.js';
import { ask } from '../server-support.js';
import { copyJournal, journalFiles, type ProofFolder } from './folder.js';
import { startIn } from './kill.js';

const FAR_MS = 4_000_000_000_000;
/** Keys with times to live, which DEBUG DIGEST does not tell. */
const MORTALS = ['mortal:0', 'mortal:1', 'mortal:2'];

/** What a dataset is known by: its content, and when keys expire. Leaves the client in database 0. */
export async function fingerprintOf(client: RespClient): Promise<string> {
  const times = MORTALS.map((key): Argument[] => ['PEXPIRETIME', key]);
  const replies = await client.pipeline([['DEBUG', 'DIGEST'], ['SELECT', 1], ...times, ['SELECT', 0], ...times]);
  return replies.map((reply) => reply.text.trim()).join(' ');
}

function someCommand(prng: Prng, at: number): Argument[] {
  const key = (name: string): string => `${name}:${prng.below(3)}`;
  const commands: Argument[][] = [
    ['INCR', key('count')], ['RPUSH', key('list'), `element ${at}`, prng.bytes(prng.below(20))], ['SADD', key('set'), at, at + 1],
    ['SPOP', key('set')], ['HSET', key('hash'), `field ${at}`, prng.bytes(12)], ['ZADD', key('zset'), at / 3, `member ${at}`],
    ['INCRBYFLOAT', key('float'), '0.1'], ['XADD', key('stream'), `${at + 1}-1`, 'field', `value ${at}`], ['LPOP', key('list')],
    ['SET', prng.pick(MORTALS), at, 'PXAT', FAR_MS + at], ['MSET', key('a'), at, key('b'), prng.bytes(9)], ['DEL', key('a')],
  ];
  return prng.pick(commands);
}

/** Commands with transactions in between, in pipelines that become one write each. */
function randomBatches(prng: Prng, count: number): Argument[][][] {
  return Array.from({ length: count }, (_, at) => {
    const size = prng.between(1, 5);
    const body = Array.from({ length: size }, (_, index) => someCommand(prng, at * 8 + index));
    return prng.chance(0.3) ? [['SELECT', prng.below(2)], ['MULTI'], ...body, ['EXEC']] : body;
  });
}

export interface OwnFiles {
  /** A folder with `appendonlydir` and `dump.rdb`. */
  dir: string;
  incremental: string;
}

/** Lets a server of ours write files. */
export async function makeOwnFiles(folder: ProofFolder, layout: string, seed: number, batches: number): Promise<OwnFiles> {
  const prng = new Prng(seed);
  const data = folder.path('own-data');
  mkdirSync(data);
  const server = await startIn(data, layout, ['--appendfsync', 'always']);
  const client = await RespClient.connect({ port: server.port });
  const write = async (count: number): Promise<void> => {
    for (const batch of randomBatches(prng, count)) await client.pipeline(batch);
  };
  await write(Math.ceil(batches / 4));
  await ask(client, 'BGREWRITEAOF');
  while (!/aof_rewrite_in_progress:0/.test(String(await ask(client, 'INFO', 'persistence'))));
  await write(batches);
  const dir = folder.path('own');
  copyJournal(data, dir);
  await ask(client, 'SAVE');
  copyFileSync(join(data, 'dump.rdb'), join(dir, 'dump.rdb'));
  client.close();
  await server.stop();
  return { dir, incremental: journalFiles(dir).at(-1) as string };
}

/** A copy of the files that a start may change. */
export function copyFiles({ dir }: OwnFiles, target: string): string {
  rmSync(target, { recursive: true, force: true });
  copyJournal(dir, target);
  copyFileSync(join(dir, 'dump.rdb'), join(target, 'dump.rdb'));
  return target;
}

/** The incremental file of a copy, cut. */
export function cutIncremental(files: OwnFiles, target: string, size: number): void {
  truncateSync(join(target, 'appendonlydir', basename(files.incremental)), size);
}

export function sizeOf(path: string): number {
  return statSync(path).size;
}

/** Flips one bit of a file. */
export function flipBit(path: string, at: number, bit: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] as number) ^ (1 << bit);
  writeFileSync(path, bytes);
}

/** One step of an AOF: a command, or a transaction as a whole. `end` is where it ends in the file. */
export interface Unit {
  commands: Buffer[][];
  end: number;
}

/** The steps of a file, by the reader in TypeScript. */
export function unitsOf(path: string): Unit[] {
  const reader = new AofReader(new MemorySource(readFileSync(path)), { keptBytesMax: 1 << 20 });
  const units: Unit[] = [];
  let open: Buffer[][] | undefined;
  for (let item = reader.next(); item !== undefined; item = reader.next()) {
    if (item.kind !== 'command') continue;
    const name = item.args[0]?.toString('latin1').toUpperCase();
    const args = item.args.map((arg) => Buffer.from(arg));
    if (name === 'MULTI') open = [args];
    else if (open === undefined) units.push({ commands: [args], end: reader.offset });
    else open.push(args);
    if (name !== 'EXEC' || open === undefined) continue;
    units.push({ commands: open, end: reader.offset });
    open = undefined;
  }
  return units;
}
