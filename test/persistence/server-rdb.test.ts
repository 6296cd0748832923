/**
 * RDB files of a running server: to and from redis-server, reload, saving under load, at the end of the server, and
 * on a disk that is full.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startSherd } from '../support/oracle.js';
import { fill } from './rdb-dataset.js';
import { serverLines } from './server-content.js';
import { ask, Home, info, portableDataset, until } from './server-support.js';

describe('RDB files of a server', () => {
  let home: Home;
  beforeEach(() => {
    home = new Home();
  });
  afterEach(() => home.remove());

  it('are served by redis-server', async () => {
    // The version that redis-server 7.0 writes itself; it refuses newer ones.
    const isSherd = (process.env['SHERD_COMMAND'] ?? '') === '';
    const ours = await home.sherd(...(isSherd ? ['--rdb-compat-version', '10'] : []));
    await fill(ours.client, portableDataset());
    expect(await ask(ours.client, 'SAVE')).toBe('OK');
    expect(readdirSync(home.dir)).toEqual(['dump.rdb']);
    const theirs = await home.redis();
    expect(await serverLines(theirs.client)).toEqual(await serverLines(ours.client));
    expect(theirs.server.log()).toContain('Done loading RDB');
  });

  it('of redis-server are served by us, and live data equals reloaded data', async () => {
    const theirs = await home.redis();
    await fill(theirs.client, portableDataset());
    await ask(theirs.client, 'SAVE');
    const ours = await home.sherd();
    expect(await serverLines(ours.client)).toEqual(await serverLines(theirs.client));
    const digest = await ask(ours.client, 'DEBUG', 'DIGEST');
    expect(digest).not.toBe('0'.repeat(40));
    expect(await ask(ours.client, 'DEBUG', 'RELOAD')).toBe('OK');
    expect(await ask(ours.client, 'DEBUG', 'DIGEST')).toBe(digest);
    expect(await ask(ours.client, 'DEBUG', 'RELOAD', 'NOSAVE', 'NOFLUSH', 'MERGE')).toBe('OK');
    expect(await ask(ours.client, 'DEBUG', 'DIGEST')).toBe(digest);
    await expect(ask(ours.client, 'DEBUG', 'RELOAD', 'NOSAVE', 'BAD')).rejects.toThrow('only supports the MERGE');
  });

  it('are of one instant while transfers go on', async () => {
    const ours = await home.sherd();
    const keys = Array.from({ length: 64 }, (_, index) => `account:${index}`);
    await fill(ours.client, keys.map((key) => ['SET', key, '100']));
    await ask(ours.client, 'DEBUG', 'POPULATE', '20000', 'filler', '50');
    let isOver = false;
    const transfers = (async () => {
      for (let count = 0; !isOver; count++) {
        const from = keys[count % 64]!;
        const to = keys[(count * 7 + 1) % 64]!;
        const lines = [['MULTI'], ['DECRBY', from, '3'], ['INCRBY', to, '3'], ['EXEC']];
        await ours.client.pipeline(lines);
      }
    })();
    const { RespClient } = await import('../support/resp-client.js');
    const asker = await RespClient.connect({ port: ours.server.port });
    for (let round = 0; round < 3; round++) {
      const saves = Number(await info(asker, 'rdb_saves'));
      expect(await ask(asker, 'BGSAVE')).toBe('Background saving started');
      expect(Number(await info(asker, 'rdb_saves'))).toBe(saves + 1);
      await until(asker, 'rdb_bgsave_in_progress', '0');
      expect(await info(asker, 'rdb_last_bgsave_status')).toBe('ok');
      const copy = new Home();
      writeFileSync(join(copy.dir, 'dump.rdb'), readFileSync(join(home.dir, 'dump.rdb')));
      const loaded = await copy.sherd();
      const balances = (await ask(loaded.client, 'MGET', ...keys)) as string[];
      expect(balances.reduce((sum, balance) => sum + Number(balance), 0)).toBe(6400);
      expect(await ask(loaded.client, 'DBSIZE')).toBe(20064);
      await copy.remove();
    }
    isOver = true;
    await transfers;
    asker.close();
  });

  it('are written at the end if there are save points, and not with NOSAVE', async () => {
    const first = await home.sherd('--save', '3600 1');
    await ask(first.client, 'SET', 'key', 'one');
    expect(await home.shutDown(first)).toBe(0);
    const second = await home.sherd('--save', '3600 1');
    expect(await ask(second.client, 'GET', 'key')).toBe('one');
    await ask(second.client, 'SET', 'key', 'two');
    expect(await home.shutDown(second, 'NOSAVE')).toBe(0);
    const third = await home.sherd('--save', '3600 1');
    expect(await ask(third.client, 'GET', 'key')).toBe('one');
    await ask(third.client, 'SET', 'key', 'three');
    process.kill(third.server.pid, 'SIGTERM');
    expect((await third.server.exited).code).toBe(0);
    expect(third.server.log()).toContain('Saving the final RDB snapshot before exiting.');
    const fourth = await home.sherd();
    expect(await ask(fourth.client, 'GET', 'key')).toBe('three');
    expect(readdirSync(home.dir)).toEqual(['dump.rdb']);
  });

  it('that are broken stop the start', async () => {
    writeFileSync(join(home.dir, 'dump.rdb'), 'REDIS0011 nonsense');
    await expect(startSherd(['--dir', home.dir])).rejects.toThrow(/Fatal error loading the DB.*Exiting/);
  });

  it('fail politely on a full disk: writes are refused, reads go on, and all heals when there is space', async () => {
    const mount = mkdtempSync(join(tmpdir(), 'sherd-test-full-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', mount], { stdio: 'ignore' });
    } catch {
      rmSync(mount, { recursive: true });
      return;
    }
    try {
      const ours = await home.sherd('--dir', mount, '--save', '1 1');
      await ask(ours.client, 'SET', 'key', 'value');
      writeFileSync(join(mount, 'ballast'), Buffer.alloc(900 * 1024, 1));
      await ask(ours.client, 'DEBUG', 'POPULATE', '20000', 'filler', '50');
      await ask(ours.client, 'SET', 'more', 'changes');
      await until(ours.client, 'rdb_last_bgsave_status', 'err');
      await expect(ask(ours.client, 'SET', 'a', 'b')).rejects.toThrow('MISCONF Redis is configured to save RDB');
      expect(await ask(ours.client, 'GET', 'key')).toBe('value');
      await expect(ask(ours.client, 'SAVE')).rejects.toThrow('ERR');
      await expect(ask(ours.client, 'SHUTDOWN')).rejects.toThrow('ERR Errors trying to SHUTDOWN. Check logs.');
      expect(readdirSync(mount).sort()).toEqual(['ballast']);
      await ask(ours.client, 'FLUSHALL').catch(() => undefined);
      await ask(ours.client, 'CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'no');
      await ask(ours.client, 'FLUSHALL');
      await ask(ours.client, 'SET', 'a', 'b');
      await ask(ours.client, 'CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'yes');
      rmSync(join(mount, 'ballast'));
      const began = performance.now();
      await until(ours.client, 'rdb_last_bgsave_status', 'ok');
      await ask(ours.client, 'SET', 'c', 'd');
      // Redis waits for six seconds.
      expect(performance.now() - began).toBeLessThan(4000);
      expect(existsSync(join(mount, 'dump.rdb'))).toBe(true);
      await home.kill(ours);
    } finally {
      execFileSync('umount', [mount]);
      rmSync(mount, { recursive: true });
    }
  });
});
