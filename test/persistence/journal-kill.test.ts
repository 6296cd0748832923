/**
 * kill -9 under load: every write that was answered is in the file, and the file loads into a
 * redis-server, up to its torn end. The same stream with annotations of time.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startRedis } from '../support/oracle.js';
import { layoutOptions } from '../differential/layout.js';
import { RespClient } from '../support/resp-client.js';
import { commandsOf, journalPath, readJournal, startWithJournal } from './journal-server.js';

const CLIENTS = 8;
const LOAD_MS = 700;

/** INCRs one counter over and over, several at a time; returns the last answer before the end. */
async function countUntilTheEnd(port: number, name: string): Promise<number> {
  const client = await RespClient.connect({ port });
  let last = 0;
  try {
    for (;;) {
      const replies = await client.pipeline([1, 2, 3].map(() => ['INCR', name]));
      last = Number(replies.at(-1)?.text.slice(1));
    }
  } catch {
    return last;
  } finally {
    client.close();
  }
}

describe('the journal under appendfsync', () => {
  it.each(['always', 'everysec', 'no'] as const)('%s: has everything that was answered before kill -9', { timeout: 60_000 }, async (policy) => {
    const path = journalPath();
    const server = await startWithJournal(path, policy, [...layoutOptions('8x2'), '--aof-timestamp-enabled', 'yes']);
    const counts = Array.from({ length: CLIENTS }, (_, index) => countUntilTheEnd(server.port, `counter:${index}`));
    await new Promise((resolve) => setTimeout(resolve, LOAD_MS));
    process.kill(server.pid, 'SIGKILL');
    await server.exited;
    const answered = await Promise.all(counts);
    await server.stop();
    const bytes = readJournal(path);
    const end = bytes.lastIndexOf('#SHERD:') + 42;
    expect(bytes.includes('#TS:')).toBe(true);
    const written = new Map<string, number>();
    for (const [command, name] of commandsOf(bytes.subarray(0, end))) {
      if (command === 'INCR') written.set(name as string, (written.get(name as string) ?? 0) + 1);
    }
    for (const [index, last] of answered.entries()) {
      expect(last).toBeGreaterThan(0);
      expect(written.get(`counter:${index}`)).toBeGreaterThanOrEqual(last);
    }
    // redis-server reads it, checksum lines, annotations and all.
    const redis = await startRedis(['--appendonly', 'no']);
    const dir = join(redis.dir, 'appendonlydir');
    mkdirSync(dir);
    writeFileSync(join(dir, 'appendonly.aof.manifest'), 'file appendonly.aof.1.incr.aof seq 1 type i\n');
    copyFileSync(path, join(dir, 'appendonly.aof.1.incr.aof'));
    const client = await RespClient.connect({ port: redis.port });
    try {
      await client.send('CONFIG', 'SET', 'appendonly', 'no');
      expect((await client.send('DEBUG', 'LOADAOF')).text).toBe('+OK\r\n');
      for (const name of written.keys()) {
        const value = (await client.send('GET', name)).text;
        expect(Number(value.split('\r\n')[1])).toBeGreaterThanOrEqual(answered[Number(name.slice(8))] as number);
      }
    } finally {
      client.close();
      await redis.stop();
    }
  });
});
