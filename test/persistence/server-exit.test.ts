/**
 * The end of a server in the middle of something: SHUTDOWN, signals and kill -9 while a snapshot, a rewrite or a load
 * runs. It ends soon and with Redis's exit code, and the next start finds whole files.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RespClient } from '../support/resp-client.js';
import { launch } from '../lifecycle/program.js';
import { freePort } from '../support/oracle.js';
import { ask, Home, info, until, type Host } from './server-support.js';

const AOF = ['--appendonly', 'yes'];
const SLOW = ['--rdb-key-save-delay', '10000'];
const isSherd = (process.env['SHERD_COMMAND'] ?? '') === '';
/** Far below what the rest of a slow snapshot would take. */
const SOON_MS = 4000;

let home: Home;
beforeEach(() => {
  home = new Home();
});
afterEach(() => home.remove());

const temporaries = (): string[] =>
  (readdirSync(home.dir, { recursive: true }) as string[]).filter((name) => /(^|\/)temp/.test(name));

/** A server with keys whose snapshot would take ten seconds. */
async function slow(...args: string[]): Promise<Host> {
  const host = await home.sherd(...SLOW, ...args);
  await ask(host.client, 'DEBUG', 'POPULATE', '1000', 'key', '10');
  await ask(host.client, 'SET', 'mark', 'here');
  return host;
}

async function endsSoon(host: Host, end: () => void): Promise<number | null> {
  const began = performance.now();
  end();
  const { code } = await host.server.exited;
  expect(performance.now() - began).toBeLessThan(SOON_MS);
  return code;
}

describe('the end of a server', () => {
  it.each([['SHUTDOWN NOSAVE'], ['SHUTDOWN NOW'], ['SIGTERM'], ['SIGINT']])('%s calls a background save off', async (how) => {
    const host = await slow();
    await ask(host.client, 'BGSAVE');
    await until(host.client, 'rdb_bgsave_in_progress', '1');
    const end = (): void => {
      if (how.startsWith('SIG')) process.kill(host.server.pid, how as 'SIGTERM');
      else host.client.write(`${how}\r\n`);
    };
    expect(await endsSoon(host, end)).toBe(0);
    expect(host.server.log()).toMatch(/There is a (background save|child saving an .rdb)/);
    expect(readdirSync(home.dir)).toEqual([]);
  });

  it('SHUTDOWN SAVE calls a background save off, and saves', async () => {
    const host = await slow();
    await ask(host.client, 'BGSAVE');
    await ask(host.client, 'CONFIG', 'SET', 'rdb-key-save-delay', '0');
    expect(await endsSoon(host, () => host.client.write('SHUTDOWN SAVE\r\n'))).toBe(0);
    expect(readdirSync(home.dir)).toEqual(['dump.rdb']);
    const next = await home.sherd();
    expect(await ask(next.client, 'DBSIZE')).toBe(1001);
  });

  it('SHUTDOWN calls a rewrite of the AOF off and closes the journal', async () => {
    const host = await slow(...AOF);
    await ask(host.client, 'BGREWRITEAOF');
    await until(host.client, 'aof_rewrite_in_progress', '1');
    await ask(host.client, 'SET', 'later', 'too');
    expect(await endsSoon(host, () => host.client.write('SHUTDOWN\r\n'))).toBe(0);
    expect(temporaries()).toEqual([]);
    const next = await home.sherd(...AOF);
    expect(await ask(next.client, 'MGET', 'mark', 'later')).toEqual(['here', 'too']);
  });

  it.each(['BGSAVE', 'BGREWRITEAOF'])('kill -9 during %s leaves nothing that the next start minds', async (command) => {
    const host = await slow(...AOF);
    await ask(host.client, command);
    const field = command === 'BGSAVE' ? 'rdb_bgsave_in_progress' : 'aof_rewrite_in_progress';
    await until(host.client, field, '1');
    await ask(host.client, 'SET', 'later', 'too');
    await home.kill(host);
    for (let round = 0; round < 2; round++) {
      const next = await home.sherd(...AOF);
      expect(await ask(next.client, 'MGET', 'mark', 'later')).toEqual(['here', 'too']);
      await ask(next.client, 'SAVE');
      await ask(next.client, 'BGREWRITEAOF');
      await until(next.client, 'aof_rewrite_in_progress', '0');
      expect(await info(next.client, 'aof_last_bgrewrite_status')).toBe('ok');
      await home.kill(next);
    }
  });

  it.each(['always', 'everysec'])('SHUTDOWN on a full disk does not wait for space, under %s', async (policy) => {
    const mount = join(home.dir, 'small');
    mkdirSync(mount);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', mount], { stdio: 'ignore' });
    } catch {
      return;
    }
    try {
      const host = await home.sherd(...AOF, '--dir', mount, '--appendfsync', policy);
      await ask(host.client, 'SET', 'mark', 'here');
      writeFileSync(join(mount, 'ballast'), Buffer.alloc(900 * 1024, 1));
      const other = await RespClient.connect({ port: host.server.port });
      other.write(`*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$400000\r\n${'x'.repeat(400_000)}\r\n`);
      await until(host.client, 'aof_last_write_status', 'err');
      await expect(ask(host.client, 'SET', 'a', 'b')).rejects.toThrow('MISCONF Errors writing to the AOF file');
      expect(await endsSoon(host, () => host.client.write('SHUTDOWN\r\n'))).toBe(0);
      other.close();
      unlinkSync(join(mount, 'ballast'));
      const next = await home.sherd(...AOF, '--dir', mount);
      expect(await ask(next.client, 'GET', 'mark')).toBe('here');
      await home.kill(next);
    } finally {
      execFileSync('umount', [mount]);
    }
  });

  it('a second SIGINT ends it at once, though the last save is being written', async () => {
    const host = await slow('--save', '3600 1');
    process.kill(host.server.pid, 'SIGINT');
    await expect.poll(() => host.server.log()).toContain('Saving the final RDB snapshot before exiting.');
    expect(await endsSoon(host, () => process.kill(host.server.pid, 'SIGINT'))).toBe(1);
    expect(temporaries()).toEqual([]);
  });

  it.runIf(isSherd).each(['SIGTERM', 'SIGINT', 'SHUTDOWN NOSAVE'])('%s ends a load that takes for ever', async (how) => {
    // Nobody writes into this pipe, so whoever opens it waits.
    const path = join(home.dir, 'dump.rdb');
    execFileSync('mkfifo', [path]);
    const port = await freePort();
    const words = ['--port', String(port), '--bind', '127.0.0.1', '--dir', home.dir, '--save', '3600 1'];
    const program = launch('sherd', words, { cwd: home.dir });
    await program.waitFor(/Server initialized/);
    let client: RespClient | undefined;
    while (client === undefined) client = await RespClient.connect({ port }).catch(() => undefined);
    expect((await client.send('GET', 'key')).text).toMatch(/^-LOADING /);
    const began = performance.now();
    if (how.startsWith('SIG')) program.kill(how as 'SIGTERM');
    else client.write(`${how}\r\n`);
    expect(await program.exited).toEqual({ code: 0, signal: null });
    expect(performance.now() - began).toBeLessThan(SOON_MS);
    client.close();
    unlinkSync(path);
  });
});
