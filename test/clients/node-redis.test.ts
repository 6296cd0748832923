/**
 * node-redis (npm `redis`, RESP2 and RESP3) against redis-server and against us.
 */
import { createClient, ErrorReply, RESP_TYPES } from 'redis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, startSherd, type RunningServer } from '../support/oracle.js';

const BIG_BYTES = 20 * 1024 * 1024;

const servers = [
  ['redis', startRedis],
  ['sherd', startSherd],
] as const;
const cases = servers.flatMap(([name, start]) => ([2, 3] as const).map((resp) => [name, resp, start] as const));

describe.each(cases)('node-redis with %s, RESP%i', (_, resp, start) => {
  let server: RunningServer;

  beforeAll(async () => {
    server = await start(['--requirepass', 'secret']);
  });

  afterAll(async () => {
    await server?.stop();
  });

  const make = (database = 1) =>
    createClient({ RESP: resp, url: `redis://default:secret@127.0.0.1:${server.port}/${database}`, name: 'nr-test' });

  /** Runs a test on a connected client with empty data, and closes it in the end. */
  async function withClient(body: (client: ReturnType<typeof make>) => Promise<void>): Promise<void> {
    const client = make();
    client.on('error', () => undefined);
    await client.connect();
    try {
      await client.flushAll();
      await body(client);
    } finally {
      client.destroy();
    }
  }

  it('connects with user, password, database and name', () =>
    withClient(async (client) => {
      expect(await client.ping()).toBe('PONG');
      expect(await client.clientGetName()).toBe('nr-test');
      await client.set('here', '1');
      expect(await client.info('keyspace')).toMatch(/db1:keys=1/);
      const info = await client.clientInfo();
      expect(info.db).toBe(1);
      expect(info.name).toBe('nr-test');
      const stranger = createClient({
        RESP: resp,
        url: `redis://:wrong@127.0.0.1:${server.port}`,
        socket: { reconnectStrategy: false },
      });
      stranger.on('error', () => undefined);
      await expect(stranger.connect()).rejects.toThrow('WRONGPASS invalid username-password pair or user is disabled.');
    }));

  it('sets and gets, binary too', () =>
    withClient(async (client) => {
      const value = Buffer.from(Array.from({ length: 256 }, (_unused, byte) => byte));
      expect(await client.set('bin', value)).toBe('OK');
      const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      expect((await buffers.get('bin'))?.equals(value)).toBe(true);
      expect(await client.get('nokey')).toBeNull();
      expect(await client.set('k', 'v', { condition: 'NX', expiration: { type: 'EX', value: 100 } })).toBe('OK');
      expect(await client.set('k', 'w', { condition: 'NX' })).toBeNull();
      expect(await client.getEx('k', { type: 'PERSIST' })).toBe('v');
      expect(await client.ttl('k')).toBe(-1);
      expect(
        await client.mSet([
          ['m1', '1'],
          ['m2', '2'],
        ]),
      ).toBe('OK');
      expect(await client.mGet(['m1', 'nokey', 'm2'])).toEqual(['1', null, '2']);
      expect(await client.incrByFloat('f', 1.5)).toBe('1.5');
      await client.mSet([
        ['x', 'ohmytext'],
        ['y', 'mynewtext'],
      ]);
      expect(await client.lcs('x', 'y')).toBe('mytext');
      expect((await client.lcsIdx('x', 'y')).matches).toHaveLength(2);
      expect(await client.configGet('maxclients')).toEqual({ maxclients: '10000' });
    }));

  it('pipelines what is sent in one turn', () =>
    withClient(async (client) => {
      const sets = await Promise.all(
        Array.from({ length: 3_000 }, (_unused, index) => client.set(`key:${index}`, `value:${index}`)),
      );
      expect(sets.every((reply) => reply === 'OK')).toBe(true);
      const gets = await Promise.allSettled([client.get('key:0'), client.incr('key:0'), client.get('key:2999')]);
      expect(gets[0]).toMatchObject({ status: 'fulfilled', value: 'value:0' });
      expect(gets[1].status).toBe('rejected');
      expect(gets[2]).toMatchObject({ status: 'fulfilled', value: 'value:2999' });
    }));

  it('scans everything exactly through scanIterator', () =>
    withClient(async (client) => {
      await Promise.all(Array.from({ length: 2_000 }, (_unused, index) => client.set(`scan:${index}`, '1')));
      const seen = new Set<string>();
      for await (const page of client.scanIterator({ MATCH: 'scan:*', COUNT: 50 }))
        for (const key of page) seen.add(key);
      expect(seen.size).toBe(2_000);
    }));

  it('carries 20 MB values', { timeout: 60_000 }, () =>
    withClient(async (client) => {
      const value = Buffer.alloc(BIG_BYTES);
      for (let at = 0; at < value.length; at += 4096) value.writeUInt32LE(at, at);
      await client.set('huge', value);
      const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      expect((await buffers.get('huge'))?.equals(value)).toBe(true);
      await client.del('huge');
    }),
  );

  it('expires keys', () =>
    withClient(async (client) => {
      await client.set('short', '1', { expiration: { type: 'PX', value: 30 } });
      await client.set('long', '1', { expiration: { type: 'EX', value: 100 } });
      expect(await client.ttl('long')).toBeGreaterThan(98);
      await expect.poll(() => client.exists('short'), { timeout: 3_000, interval: 10 }).toBe(0);
      expect(await client.pTTL('short')).toBe(-2);
      expect(await client.expire('long', 50, 'GT')).toBe(0);
      expect(await client.expire('long', 500, 'GT')).toBe(1);
    }));

  it('gets errors as errors and goes on', () =>
    withClient(async (client) => {
      await expect(client.sendCommand(['NOSUCH', 'a'])).rejects.toThrow(
        "ERR unknown command 'NOSUCH', with args beginning with: 'a' ",
      );
      await expect(client.sendCommand(['GET'])).rejects.toBeInstanceOf(ErrorReply);
      expect(await client.ping()).toBe('PONG');
    }));

  it('reconnects by itself after CLIENT KILL and finds its database again', () =>
    withClient(async (client) => {
      await client.set('before', '1');
      const id = await client.clientId();
      const killer = make(0);
      await killer.connect();
      const reconnected = new Promise((resolve) => client.once('ready', resolve));
      expect(await killer.sendCommand(['CLIENT', 'KILL', 'ID', String(id)])).toBe(1);
      await reconnected;
      expect(await client.get('before')).toBe('1');
      expect(await client.clientId()).not.toBe(id);
      killer.destroy();
    }));
});
