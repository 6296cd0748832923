/**
 * ioredis (callback-style pipelines, its own RESP2 parser) against redis-server and against us.
 */
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startRedis, startSherd, type RunningServer } from '../support/oracle.js';

const BIG_BYTES = 20 * 1024 * 1024;

describe.each([
  ['redis', startRedis],
  ['sherd', startSherd],
] as const)('ioredis with %s', (_, start) => {
  let server: RunningServer;
  let redis: Redis;

  beforeAll(async () => {
    server = await start(['--requirepass', 'secret']);
  });

  afterAll(async () => {
    await server?.stop();
  });

  beforeEach(async () => {
    redis = new Redis({ port: server.port, host: '127.0.0.1', password: 'secret', db: 2, connectionName: 'io-test' });
    await redis.flushall();
  });

  afterEach(() => {
    redis.disconnect();
  });

  it('connects with password, database and name', async () => {
    expect(await redis.ping()).toBe('PONG');
    expect(await redis.client('GETNAME')).toBe('io-test');
    await redis.set('here', '1');
    expect(await redis.info('keyspace')).toMatch(/db2:keys=1/);
    await redis.select(3);
    expect(await redis.exists('here')).toBe(0);
    const stranger = new Redis({ port: server.port, password: 'wrong', retryStrategy: () => null });
    const refusal = new Promise<string>((resolve) => stranger.once('error', (error: Error) => resolve(error.message)));
    expect(await refusal).toBe('WRONGPASS invalid username-password pair or user is disabled.');
    stranger.disconnect();
  });

  it('sets and gets, binary too', async () => {
    const key = Buffer.from([0, 255, 13, 10, 42]);
    const value = Buffer.from(Array.from({ length: 256 }, (_unused, byte) => byte));
    expect(await redis.set(key, value)).toBe('OK');
    expect((await redis.getBuffer(key))?.equals(value)).toBe(true);
    expect(await redis.get('nokey')).toBeNull();
    expect(await redis.set('k', 'v', 'EX', 100, 'NX')).toBe('OK');
    expect(await redis.set('k', 'w', 'NX')).toBeNull();
    expect(await redis.set('k', 'w', 'GET')).toBe('v');
    expect(
      await redis.mset(
        new Map([
          ['m1', '1'],
          ['m2', '2'],
        ]),
      ),
    ).toBe('OK');
    expect(await redis.mget('m1', 'nokey', 'm2')).toEqual(['1', null, '2']);
    for (const name of ['__proto__', 'constructor', 'toString']) {
      await redis.set(name, name);
      expect(await redis.get(name)).toBe(name);
    }
    expect(await redis.incrby('big', '9007199254740993')).toBe(9007199254740992);
    expect(await redis.get('big')).toBe('9007199254740993');
  });

  it('pipelines thousands of commands with errors among them', async () => {
    const pipeline = redis.pipeline();
    for (let index = 0; index < 5_000; index++) pipeline.set(`key:${index}`, `value:${index}`);
    pipeline.incr('key:7').get('key:4999');
    const results = (await pipeline.exec()) ?? [];
    expect(results).toHaveLength(5_002);
    expect(results.slice(0, 5_000).every(([error, reply]) => error === null && reply === 'OK')).toBe(true);
    expect(results[5_000]?.[0]?.message).toBe('ERR value is not an integer or out of range');
    expect(results[5_001]).toEqual([null, 'value:4999']);
    const auto = new Redis({ port: server.port, password: 'secret', db: 2, enableAutoPipelining: true });
    const values = await Promise.all(Array.from({ length: 300 }, (_unused, index) => auto.get(`key:${index}`)));
    expect(values[299]).toBe('value:299');
    auto.disconnect();
  });

  it('scans everything exactly through scanStream', async () => {
    const pipeline = redis.pipeline();
    for (let index = 0; index < 3_000; index++) pipeline.set(`scan:${index}`, '1');
    pipeline.set('other', '1');
    await pipeline.exec();
    const seen = new Set<string>();
    for await (const page of redis.scanStream({ match: 'scan:*', count: 100 }))
      for (const key of page as string[]) seen.add(key);
    expect(seen.size).toBe(3_000);
  });

  it('carries 20 MB values', { timeout: 60_000 }, async () => {
    const value = Buffer.alloc(BIG_BYTES);
    for (let at = 0; at < value.length; at += 4096) value.writeUInt32LE(at, at);
    await redis.set('huge', value);
    const [one, two] = await Promise.all([redis.getBuffer('huge'), redis.getBuffer('huge')]);
    expect(one?.equals(value)).toBe(true);
    expect(two?.equals(value)).toBe(true);
    expect(await redis.append('huge', 'x')).toBe(BIG_BYTES + 1);
    expect((await redis.getrangeBuffer('huge', -2, -1)).toString('latin1')).toBe('\x00x');
    await redis.del('huge');
  });

  it('expires keys', async () => {
    await redis.set('short', '1', 'PX', 30);
    await redis.set('long', '1', 'EX', 100);
    expect(await redis.ttl('long')).toBeGreaterThan(98);
    await expect.poll(() => redis.exists('short'), { timeout: 3_000, interval: 10 }).toBe(0);
    expect(await redis.persist('long')).toBe(1);
    expect(await redis.pttl('long')).toBe(-1);
    expect(await redis.pttl('short')).toBe(-2);
  });

  it('gets errors as errors and goes on', async () => {
    await expect(redis.call('NOSUCH', 'a')).rejects.toThrow(
      "ERR unknown command 'NOSUCH', with args beginning with: 'a' ",
    );
    await expect(redis.call('GET')).rejects.toThrow("ERR wrong number of arguments for 'get' command");
    await redis.set('s', 'text');
    await expect(redis.incr('s')).rejects.toThrow('not an integer');
    expect(await redis.get('s')).toBe('text');
  });

  it('reconnects by itself after CLIENT KILL and finds its database again', async () => {
    await redis.set('before', '1');
    const id = await redis.client('ID');
    const killer = new Redis({ port: server.port, password: 'secret' });
    const reconnected = new Promise((resolve) => redis.once('ready', resolve));
    expect(await killer.client('KILL', 'ID', id)).toBe(1);
    await reconnected;
    expect(await redis.get('before')).toBe('1');
    expect(await redis.client('ID')).not.toBe(id);
    expect(await redis.client('GETNAME')).toBe('io-test');
    killer.disconnect();
  });
});
