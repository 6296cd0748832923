/**
 * execution-layout owner: every command takes the rings to the owner of its shard, and nothing else changes. What the
 * replies must be is checked command by command in the differential test (layout 8x2o); here: that the layout is
 * really in force, and order and atomicity over shards and workers.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSherd, type RunningServer } from '../support/oracle.js';
import { RespClient, toPlain } from '../support/resp-client.js';

const WORKERS = 2;
const KEYS = Array.from({ length: 40 }, (_, index) => `key:${index}`);

describe('execution-layout owner', () => {
  let server: RunningServer;
  let clients: RespClient[];

  beforeAll(async () => {
    server = await startSherd(['--shards', '8', '--worker-threads', String(WORKERS), '--execution-layout', 'owner']);
    // As many as it takes to be on every worker.
    clients = await Promise.all(Array.from({ length: 2 * WORKERS }, () => RespClient.connect({ port: server.port })));
  });

  afterAll(async () => {
    for (const client of clients) client.close();
    await server.stop();
  });

  it('is shown, and cannot be changed while the server runs', async () => {
    const [client] = clients as [RespClient];
    expect((await client.send('CONFIG', 'GET', 'execution-layout')).text).toContain('owner');
    expect((await client.send('CONFIG', 'SET', 'execution-layout', 'in-place')).text).toContain(
      "can't set immutable config",
    );
  });

  it('runs commands of either worker, on keys of all shards, in the order sent', async () => {
    for (const client of clients) {
      const commands = KEYS.flatMap((key, index) => [
        ['SET', key, String(index)],
        ['INCR', key],
        ['GET', key],
      ]);
      const replies = await client.pipeline(commands);
      KEYS.forEach((_, index) => {
        expect(replies.slice(index * 3, index * 3 + 3).map(({ text }) => text)).toEqual([
          '+OK\r\n',
          `:${index + 1}\r\n`,
          `$${String(index + 1).length}\r\n${index + 1}\r\n`,
        ]);
      });
    }
  });

  it('keeps MSET and MGET over shards atomic', async () => {
    const [reader, ...writers] = clients as [RespClient, ...RespClient[]];
    const mset = (value: string): string[] => ['MSET', ...KEYS.flatMap((key) => [key, value])];
    await reader.send(...mset('start'));
    const writing = writers.map((writer, index) =>
      writer.pipeline(Array.from({ length: 100 }, (_, round) => mset(`${index}-${round}`))),
    );
    const reading = reader.pipeline(Array.from({ length: 100 }, () => ['MGET', ...KEYS]));
    for (const reply of await reading) {
      const values = toPlain(reply.value) as string[];
      expect(values.length).toBe(KEYS.length);
      expect(new Set(values).size).toBe(1);
    }
    for (const replies of await Promise.all(writing)) {
      for (const reply of replies) expect(reply.text).toBe('+OK\r\n');
    }
    expect((await reader.send('DEL', ...KEYS)).text).toBe(`:${KEYS.length}\r\n`);
    expect((await reader.send('DBSIZE')).text).toBe(':0\r\n');
  });

  it('takes no shard on a worker that does not own it', async () => {
    const [client] = clients as [RespClient];
    const served = async (): Promise<number> => {
      const rings = toPlain((await client.send('DEBUG', 'RINGS')).value) as (string | number)[][];
      return rings.reduce((sum, figures) => sum + Number(figures[figures.indexOf('commands-for-others') + 1]), 0);
    };
    const before = await served();
    // One at a time, so that no shard is ever busy: in place none of these would travel.
    for (const key of KEYS) await client.send('SET', key, 'x');
    // Half of the shards belong to the other worker.
    expect((await served()) - before).toBeGreaterThan(KEYS.length / 8);
    expect((await served()) - before).toBeLessThan(KEYS.length);
  });
});
