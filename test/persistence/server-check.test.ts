/**
 * The files that a server really writes, judged by both pairs of programs: sherd-check-rdb and sherd-check-aof, and
 * redis-server's own.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { oracleProgram } from '../support/project.js';
import { ourTool, run } from './programs.js';
import { fill } from './rdb-dataset.js';
import { ask, Home, info, portableDataset, until, type Host } from './server-support.js';

const MANIFEST = 'appendonlydir/appendonly.aof.manifest';
/** The version that redis-server 7.0 knows. */
const COMPATIBLE = ['--rdb-compat-version', '10'];

let home: Home;
beforeEach(() => {
  home = new Home();
});
afterEach(() => home.remove());

/** All say that it is sound, and say so in words. */
async function expectSound(path: string, programs: [string, RegExp][]): Promise<void> {
  for (const [name, word] of programs) {
    const command = name.startsWith('sherd') ? ourTool(name) : oracleProgram(name);
    const { code, stdout } = await run(command, [join(home.dir, path)]);
    expect(stdout, name).toMatch(word);
    expect(code, name).toBe(0);
  }
}

const checkRdb = (path: string): Promise<void> =>
  expectSound(path, [['sherd-check-rdb', /RDB looks OK/], ['redis-check-rdb', /RDB looks OK/]]);
const checkAof = (path: string): Promise<void> =>
  expectSound(path, [['sherd-check-aof', /valid/], ['redis-check-aof', /valid/]]);

async function rewrite({ client, server }: Host, count: number): Promise<void> {
  await ask(client, 'BGREWRITEAOF');
  await fill(client, [['SET', 'meanwhile', '1'], ['INCR', 'counter'], ['MULTI'], ['INCR', 'counter'], ['EXEC']]);
  // While the last one's history is being removed it is only scheduled.
  await until(client, 'aof_rewrite_scheduled', '0');
  await until(client, 'aof_rewrite_in_progress', '0');
  expect(await info(client, 'aof_last_bgrewrite_status'), server.log()).toBe('ok');
  expect(await info(client, 'aof_rewrites'), server.log()).toBe(String(count));
}

describe('files of a server', () => {
  it.each([['yes', 'always'], ['no', 'everysec']])('are sound to all programs, with aof-use-rdb-preamble %s and appendfsync %s', async (preamble, policy) => {
    const options = ['--appendonly', 'yes', '--appendfsync', policy, '--aof-use-rdb-preamble', preamble];
    const ours = await home.sherd(...options, ...COMPATIBLE, '--aof-timestamp-enabled', 'yes');
    await fill(ours.client, portableDataset());
    for (let count = 1; count <= 3; count++) await rewrite(ours, count);
    await fill(ours.client, portableDataset().slice(0, 40));
    await ask(ours.client, 'SAVE');
    const base = `appendonly.aof.4.base.${preamble === 'yes' ? 'rdb' : 'aof'}`;
    const names = (): string[] => readdirSync(join(home.dir, 'appendonlydir')).sort();
    // What is history goes behind the rewrite, on whatever time the disk leaves; why not is in the log and the manifest.
    await expect
      .poll(names, { timeout: 30_000 })
      .toEqual([base, 'appendonly.aof.4.incr.aof', 'appendonly.aof.manifest'])
      .catch((error: unknown) => {
        throw new Error(`${ours.server.log()}\n${readFileSync(join(home.dir, MANIFEST), 'latin1')}`, { cause: error });
      });
    await home.kill(ours);
    await checkRdb('dump.rdb');
    await checkAof(MANIFEST);
    // All of it is vouched for by checksum lines, but for the base that is an RDB file.
    const text = (await run(ourTool('sherd-check-aof'), [join(home.dir, MANIFEST)])).stdout;
    expect(text).toMatch(/checksum/i);
    const incr = readFileSync(join(home.dir, 'appendonlydir', 'appendonly.aof.4.incr.aof'), 'latin1');
    expect(incr).toMatch(/#SHERD:[0-9a-f]{16}:[0-9a-f]{16}\r\n$/);
  }, 60_000);

  it('of FLUSHALL: with save points the file is empty soon, without them it stays', async () => {
    const ours = await home.sherd('--save', '3600 1', ...COMPATIBLE);
    await fill(ours.client, [['SET', 'key', 'gone'], ['SAVE'], ['FLUSHALL']]);
    const dump = (): string => readFileSync(join(home.dir, 'dump.rdb'), 'latin1');
    await expect.poll(dump, { timeout: 10_000 }).not.toContain('gone');
    await home.kill(ours);
    await checkRdb('dump.rdb');
    const next = await home.sherd();
    expect(await ask(next.client, 'DBSIZE')).toBe(0);
    await fill(next.client, [['SET', 'key', 'kept'], ['SAVE'], ['FLUSHALL']]);
    await new Promise((resolve) => setTimeout(resolve, 400));
    await home.kill(next);
    expect(readFileSync(join(home.dir, 'dump.rdb'), 'latin1')).toContain('kept');
  });
});
