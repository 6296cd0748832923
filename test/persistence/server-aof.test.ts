/**
 * The AOF of a running server: directories to and from redis-server, restarts, kills, rewrites, switching on and off.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RespClient, type Argument } from '../support/resp-client.js';
import { fill } from './rdb-dataset.js';
import { serverLines as allLines } from './server-content.js';
import { ask, Home, info, portableDataset, until } from './server-support.js';

const AOF = ['--appendonly', 'yes'];
const MANIFEST = 'appendonlydir/appendonly.aof.manifest';

/** Effects that are not the commands themselves, and times to live. */
const EFFECTS: Argument[][] = [
  ['SET', 'ttl', 'v', 'EX', '1000'],
  ['SET', 'gone', 'v'],
  ['PEXPIRE', 'gone', '-1'],
  ['INCRBYFLOAT', 'float', '0.1'],
  ['SADD', 'set', 'a', 'b', 'c', 'd'],
  ['SPOP', 'set', '2'],
  ['RPUSH', 'list', '1', '2', '3'],
  ['BLPOP', 'list', '1'],
  ['XADD', 'stream', '*', 'f', 'v'],
  ['HINCRBYFLOAT', 'hash', 'f', '1.5'],
  ['SELECT', '3'],
  ['MSET', 'a', '1', 'b', '2'],
  ['SELECT', '0'],
  ['MULTI'],
  ['SET', 'm1', '1'],
  ['SET', 'm2', '2'],
  ['EXEC'],
];

/** Without what commands do not carry: when a consumer was last seen, and how often an entry was delivered. */
async function serverLines(client: RespClient): Promise<string[]> {
  return (await allLines(client)).map((line) => line.replace(/ (seen|times) [0-9]+$/, '')).sort();
}

describe('the AOF of a server', () => {
  let home: Home;
  const isSherd = (process.env['SHERD_COMMAND'] ?? '') === '';
  const compatible = isSherd ? ['--rdb-compat-version', '10'] : [];
  beforeEach(() => {
    home = new Home();
  });
  afterEach(() => home.remove());

  it.each(['yes', 'no'])('is served by redis-server, with aof-use-rdb-preamble %s', async (preamble) => {
    const ours = await home.sherd(...AOF, ...compatible, '--aof-use-rdb-preamble', preamble);
    await fill(ours.client, portableDataset());
    await ask(ours.client, 'BGREWRITEAOF');
    await fill(ours.client, EFFECTS);
    await until(ours.client, 'aof_rewrite_in_progress', '0');
    expect(await info(ours.client, 'aof_last_bgrewrite_status')).toBe('ok');
    const lines = await serverLines(ours.client);
    expect(await home.shutDown(ours)).toBe(0);
    const theirs = await home.redis(...AOF);
    expect(await serverLines(theirs.client)).toEqual(lines);
  });

  it('of redis-server is served by us, gone on with, and given back', async () => {
    const theirs = await home.redis(...AOF);
    await fill(theirs.client, portableDataset());
    await fill(theirs.client, EFFECTS);
    const lines = await serverLines(theirs.client);
    await home.shutDown(theirs);
    const ours = await home.sherd(...AOF, ...compatible);
    expect(await serverLines(ours.client)).toEqual(lines);
    await fill(ours.client, [['SET', 'ours', '1'], ['FLUSHDB'], ['SET', 'ours', '2']]);
    const digest = await ask(ours.client, 'DEBUG', 'DIGEST');
    expect(await ask(ours.client, 'DEBUG', 'LOADAOF')).toBe('OK');
    expect(await ask(ours.client, 'DEBUG', 'DIGEST')).toBe(digest);
    const after = await serverLines(ours.client);
    await home.shutDown(ours);
    const again = await home.redis(...AOF);
    expect(await serverLines(again.client)).toEqual(after);
  });

  it('takes an old single file over', async () => {
    const theirs = await home.redis(...AOF, '--aof-use-rdb-preamble', 'no');
    await fill(theirs.client, EFFECTS);
    const lines = await serverLines(theirs.client);
    await home.shutDown(theirs);
    const other = new Home();
    copyFileSync(join(home.dir, 'appendonlydir/appendonly.aof.1.incr.aof'), join(other.dir, 'appendonly.aof'));
    const ours = await other.sherd(...AOF);
    expect(await serverLines(ours.client)).toEqual(lines);
    expect(readFileSync(join(other.dir, MANIFEST), 'latin1')).toContain('file appendonly.aof seq 1 type b');
    expect(existsSync(join(other.dir, 'appendonly.aof'))).toBe(false);
    await other.remove();
  });

  it('has all that was acknowledged behind kill -9, rewrites or not', async () => {
    let highest = -1;
    // Under everysec replies do not wait while a rewrite cuts the file; what came before that is safe.
    let promised = -1;
    for (let round = 0; round < 4; round++) {
      const ours = await home.sherd(...AOF, '--appendfsync', round % 2 === 0 ? 'always' : 'everysec');
      const stored = (await ask(ours.client, 'GET', 'counter')) as string | null;
      expect(Number(stored ?? -1)).toBeGreaterThanOrEqual(promised);
      highest = promised = Number(stored ?? -1);
      const killing = new Promise((resolve) => setTimeout(resolve, 300 + 150 * round)).then(() => home.kill(ours));
      try {
        for (let next = highest + 1; ; next++) {
          await ask(ours.client, 'MSET', 'counter', String(next), `k:${next % 100}`, String(next));
          highest = next;
          if (round % 2 === 0) promised = highest;
          if (next % 50 !== 20) continue;
          if ((await ours.client.send('BGREWRITEAOF')).text.startsWith('+')) promised = highest;
        }
      } catch {
        await killing;
      }
    }
    const last = await home.sherd(...AOF);
    const counter = Number(await ask(last.client, 'GET', 'counter'));
    expect(counter).toBeGreaterThanOrEqual(promised);
    // Both halves of the last MSET are there, or none.
    expect(await ask(last.client, 'GET', `k:${counter % 100}`)).toBe(String(counter));
    const strays = readdirSync(join(home.dir, 'appendonlydir')).filter((name) => name.startsWith('temp'));
    expect(strays).toEqual([]);
  });

  it('is switched on and off at run time', async () => {
    const ours = await home.sherd();
    await fill(ours.client, [['SET', 'before', '1']]);
    expect(await info(ours.client, 'aof_enabled')).toBe('0');
    await ask(ours.client, 'CONFIG', 'SET', 'appendonly', 'yes');
    expect(await info(ours.client, 'aof_enabled')).toBe('1');
    await fill(ours.client, [['SET', 'after', '1']]);
    await until(ours.client, 'aof_rewrite_in_progress', '0');
    await until(ours.client, 'aof_last_bgrewrite_status', 'ok');
    await home.kill(ours);
    const next = await home.sherd(...AOF);
    expect(await ask(next.client, 'MGET', 'before', 'after')).toEqual(['1', '1']);
    await ask(next.client, 'CONFIG', 'SET', 'appendonly', 'no');
    await fill(next.client, [['SET', 'later', '1']]);
    expect(await info(next.client, 'aof_current_size')).toBe(undefined);
    await home.kill(next);
    const third = await home.sherd(...AOF);
    expect(await ask(third.client, 'MGET', 'before', 'after', 'later')).toEqual(['1', '1', null]);
  });

  it('is not what is loaded when it is off', async () => {
    const ours = await home.sherd(...AOF);
    await fill(ours.client, [['SET', 'aof', '1']]);
    await home.shutDown(ours);
    mkdirSync(join(home.dir, 'elsewhere'));
    const next = await home.sherd();
    expect(await ask(next.client, 'DBSIZE')).toBe(0);
  });

  it('answers as redis-server does', async () => {
    const other = new Home();
    const hosts = [await home.sherd(), await other.redis()];
    const script = [
      'LASTSAVE x', 'SAVE x', 'BGSAVE x', 'BGSAVE SCHEDULE x', 'BGSAVE', 'BGREWRITEAOF x', 'BGREWRITEAOF', 'SHUTDOWN ABORT',
      'SHUTDOWN FOO', 'SHUTDOWN SAVE NOSAVE', 'DEBUG RELOAD FOO', 'CONFIG SET save foo', 'CONFIG SET appendonly maybe',
      'CONFIG SET appendfsync sometimes', 'CONFIG SET dbfilename x', 'CONFIG SET appendfilename x',
    ];
    const answers = await Promise.all(
      hosts.map(async ({ client }) => {
        const replies: string[] = [];
        for (const line of script) {
          replies.push((await client.send(...line.split(' '))).text);
          await until(client, 'rdb_bgsave_in_progress', '0');
          await until(client, 'aof_rewrite_in_progress', '0');
        }
        return replies;
      }),
    );
    expect(answers[0]).toEqual(answers[1]);
    await other.remove();
  });

  it('tells who connects during the load that it is loading', async () => {
    const ours = await home.sherd(...AOF);
    await ask(ours.client, 'DEBUG', 'POPULATE', '300000', 'key', '100');
    await ask(ours.client, 'BGREWRITEAOF');
    await until(ours.client, 'aof_rewrite_in_progress', '0');
    await home.shutDown(ours, 'NOSAVE');
    const { port } = ours.server;
    const starting = home.sherd(...AOF, '--port', String(port));
    const seen = new Set<string>();
    for (let isOver = false; !isOver; ) {
      try {
        const client = await RespClient.connect({ port });
        const reply = (await client.send('GET', 'key:1')).text;
        seen.add(reply.startsWith('-LOADING') ? 'loading' : 'served');
        isOver = !reply.startsWith('-LOADING');
        client.close();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
    expect([...seen].at(-1)).toBe('served');
    const next = await starting;
    expect(await ask(next.client, 'DBSIZE')).toBe(300000);
  });

  it('refuses to be switched on where its files cannot be made, as redis-server does', async () => {
    const refusal =
      /CONFIG SET failed \(possibly related to argument 'appendonly'\) - Unable to turn on AOF\. Check server logs\./;
    for (const start of ['sherd', 'redis'] as const) {
      const host = await home[start]('--appenddirname', `${start}dir`);
      writeFileSync(join(home.dir, `${start}dir`), 'a file');
      await expect(ask(host.client, 'CONFIG', 'SET', 'hz', '50', 'appendonly', 'yes')).rejects.toThrow(refusal);
      expect(await ask(host.client, 'CONFIG', 'GET', 'appendonly')).toEqual(['appendonly', 'no']);
      expect(await ask(host.client, 'CONFIG', 'GET', 'hz')).toEqual(['hz', '10']);
      expect(await info(host.client, 'aof_enabled')).toBe('0');
      expect(await info(host.client, 'aof_last_bgrewrite_status')).toBe('err');
      expect(await ask(host.client, 'SET', 'key', 'value')).toBe('OK');
      rmSync(join(home.dir, `${start}dir`));
      mkdirSync(join(home.dir, `${start}dir`, 'temp-appendonly.aof.incr'), { recursive: true });
      await expect(ask(host.client, 'CONFIG', 'SET', 'appendonly', 'yes')).rejects.toThrow(refusal);
      rmSync(join(home.dir, `${start}dir`), { recursive: true });
      expect(await ask(host.client, 'CONFIG', 'SET', 'appendonly', 'yes')).toBe('OK');
      await until(host.client, 'aof_rewrite_in_progress', '0');
      expect(await info(host.client, 'aof_enabled')).toBe('1');
      expect(existsSync(join(home.dir, `${start}dir`, 'appendonly.aof.1.base.rdb')), host.server.log()).toBe(true);
    }
  });
});
