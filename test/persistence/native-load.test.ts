/**
 * The native loader against the readers in TypeScript and redis-server: files of the server in every encoding, old
 * encodings made by hand, files cut and damaged anywhere, append-only files.
 */
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AofReader } from '../../src/persistence/format/aof-reader.js';
import { MemorySource } from '../../src/persistence/format/byte-source.js';
import { canonicalLines } from '../../src/persistence/format/canonical.js';
import { startRedis } from '../support/oracle.js';
import { RespClient } from '../support/resp-client.js';
import { checksummed, command, GOOD } from './aof-files.js';
import { NativeEngine } from './native-engine.js';
import { oldRecords } from './old-records.js';
import { concat, entry, i64, length, listpack, rdbFile, resealed, text } from './rdb-builder.js';
import { datasetCommands, fill, savedFile, startFilled, thresholds } from './rdb-dataset.js';
import { serverLines } from './server-content.js';

let native: NativeEngine;
beforeAll(async () => {
  native = await NativeEngine.start();
});
afterAll(() => {
  native.close();
});

/** What the TypeScript reader makes of a file; undefined if it refuses it. */
function linesOf(file: Buffer): string[] | undefined {
  try {
    return canonicalLines(new MemorySource(file), { withoutActiveTimes: true });
  } catch {
    return undefined;
  }
}

/** Keys and values; no functions, which the engine cannot show, and no idle times. */
const dataLines = (lines: string[]): string[] => lines.filter((line) => line.startsWith('db'));

describe('files of redis-server', () => {
  const settings: [string, string[]][] = [
    ['default thresholds', []],
    ['lowest thresholds', thresholds(0)],
    ['highest thresholds', [...thresholds(100000), '--hash-max-listpack-value', '100000']],
    ['no compression', ['--rdbcompression', 'no']],
    ['no checksum', ['--rdbchecksum', 'no']],
    ['compressed list nodes', ['--list-compress-depth', '1', '--list-max-listpack-size', '5']],
    ['small list nodes', ['--list-max-listpack-size', '1']],
    ['idle times', ['--maxmemory-policy', 'allkeys-lru']],
    ['frequencies', ['--maxmemory-policy', 'allkeys-lfu']],
  ];

  it.each(settings)('give the same dataset: %s', async (_name, args) => {
    const { server, client } = await startFilled(args);
    // A listpack of 7.2 has no score of -0, which DEBUG DIGEST tells from 0.
    const entries = args.includes('--zset-max-listpack-entries') ? Number(args[args.length - 1]) || 0 : 128;
    native.addon.setOption(native.engine, 'zset-max-listpack-entries', entries);
    try {
      const file = await savedFile(server, client);
      const result = await native.loadRdb(file);
      expect(result.rdbVersion).toBe(10);
      expect(result.aux.map(([name]) => name)).toContain('redis-ver');
      expect(await native.digest()).toBe((await client.send('DEBUG', 'DIGEST')).text);
      expect(dataLines(await serverLines(native.client))).toEqual(dataLines(await serverLines(client)));
    } finally {
      native.addon.setOption(native.engine, 'zset-max-listpack-entries', 128);
      client.close();
      await server.stop();
    }
  });

  it.each(['yes', 'no'])('replays append-only directories, preamble: %s', async (preamble) => {
    const server = await startRedis(['--appendonly', 'yes', '--aof-use-rdb-preamble', preamble]);
    const client = await RespClient.connect({ port: server.port });
    try {
      await fill(client, datasetCommands());
      await client.send('BGREWRITEAOF');
      const done = async (): Promise<boolean> =>
        (await client.send('INFO', 'persistence')).text.includes('aof_rewrite_in_progress:0');
      while (!(await done())) await new Promise((resolve) => setTimeout(resolve, 20));
      await fill(client, [['APPEND', 'text:20', 'more'], ['MULTI'], ['SET', 'm', 1], ['DEL', 'list:one'], ['EXEC']]);
      const dir = join(server.dir, 'appendonlydir');
      mkdirSync(dir, { recursive: true });
      const names = readdirSync(dir).filter((name) => !name.endsWith('.manifest'));
      expect(names.length).toBe(2);
      // One file after the other, as the manifest says; the second goes on where the first one has stopped.
      const base = readFileSync(join(dir, names.find((name) => name.includes('.base.')) as string));
      const incr = readFileSync(join(dir, names.find((name) => name.includes('.incr.')) as string));
      const result = await native.loadAof(Buffer.concat([base, incr]));
      expect([result.rdbVersion, result.validBytes]).toEqual([preamble === 'yes' ? 10 : 0, result.fileBytes]);
      expect(await native.digest()).toBe((await client.send('DEBUG', 'DIGEST')).text);
    } finally {
      client.close();
      await server.stop();
    }
  });
});

describe('files made by hand', () => {
  it('of old encodings, at every version', async () => {
    for (let version = 1; version <= 12; version++) {
      const file = rdbFile(version, oldRecords());
      await native.loadRdb(file);
      expect(await serverLines(native.client)).toEqual(linesOf(file));
    }
    await expect(native.loadRdb(rdbFile(13, oldRecords()))).rejects.toThrow("Can't handle RDB format version 13");
  });

  it('of versions 11 and 12', async () => {
    const at = 4102444800005;
    const file = rdbFile(12, [
      entry(20, 's', text(listpack('a', 5, -3000))),
      entry(24, 'h24', i64(at - 3), length(2), length(4), text('a'), text('1'), length(0), text('b'), text('2')),
      entry(22, 'h22', length(2), length(at), text('a'), text('1'), length(0), text('b'), text('2')),
      entry(25, 'h25', i64(at), text(listpack('a', 1, at, 'b', '2', 0))),
      entry(23, 'h23', text(listpack('a', 1, at, 'b', '2', 0))),
    ]);
    await native.loadRdb(file);
    for (const key of ['h22', 'h23', 'h24', 'h25']) {
      const reply = await native.client.send('HPEXPIRETIME', key, 'FIELDS', 2, 'a', 'b');
      expect([key, reply.text]).toEqual([key, `*2\r\n:${at}\r\n:-1\r\n`]);
    }
    const expected = linesOf(file)?.map((line) => line.replace(/ expires [0-9]+$/, ''));
    expect(await serverLines(native.client)).toEqual(expected);
  });

  it('that are damaged are judged alike, or give the same', async () => {
    // Small entries, since every bit of each is tried.
    const records = oldRecords().filter((record) => record.length < 120);
    const file = rdbFile(9, [concat(0xfe, 0), ...records]);
    let refused = 0;
    let loaded = 0;
    for (let at = 9; at < file.length - 8; at += 3) {
      const flipped = Buffer.from(file);
      flipped[at] = (flipped[at] as number) ^ (1 << at % 8);
      const damaged = resealed(flipped);
      const expected = linesOf(damaged);
      const result = await native.loadRdb(damaged).catch((error: unknown) => (error as Error).message);
      if (typeof result === 'string') {
        refused++;
        // Keys that come twice, and databases that there are not, are the engine's to refuse.
        if (expected !== undefined) expect([at, result]).toEqual([at, expect.stringMatching(/duplicated|more databases/)]);
        continue;
      }
      loaded++;
      // What is empty or expired is left out, whatever is in it.
      if (expected === undefined) {
        expect([at, result.keysExpired > 0n || result.keysLoaded < BigInt(records.length)]).toEqual([at, true]);
        continue;
      }
      const lines = await serverLines(native.client);
      expect([at, expected]).toEqual([at, expect.arrayContaining(lines)]);
    }
    expect(loaded).toBeGreaterThan(50);
    expect(refused).toBeGreaterThan(50);
  });
});

describe('append-only files', () => {
  const file = checksummed([
    Buffer.concat([command('SELECT', '0'), command('SET', 'a', '1')]),
    Buffer.concat([command('MULTI'), command('INCR', 'n'), command('SET', 'b', 'x'.repeat(30)), command('EXEC')]),
    Buffer.concat([Buffer.from('#TS:1700000000\r\n'), command('LPUSH', 'l', '1', '2')]),
  ]);

  /** The native verdict beside the reader's: [whole or torn, good up to]; or damaged. */
  async function compare(bytes: Buffer, verifyChecksums: boolean): Promise<void> {
    const reader = new AofReader(new MemorySource(bytes), { verifyChecksums });
    while (reader.next() !== undefined);
    const isFine = reader.failure === undefined || reader.failure.isTorn;
    const result = await native.loadAof(bytes, true, verifyChecksums).catch((error: unknown) => (error as Error).message);
    // The engine also refuses commands that there are not.
    if (typeof result === 'string' && /Unknown command|Wrong number/.test(result)) return;
    expect([typeof result === 'string' ? result : '', typeof result !== 'string']).toEqual([expect.anything(), isFine]);
    if (typeof result === 'string') return;
    expect(Number(result.validBytes)).toBe(reader.lastGoodOffset);
    const covered = reader.checksums.lineCount === 0 ? 0 : reader.checksums.verifiedUpTo;
    if (verifyChecksums) expect(Number(result.coveredBytes)).toBe(covered);
    if (verifyChecksums && reader.failure === undefined) {
      expect(result.crc.toString(16).padStart(16, '0')).toBe(reader.crcHex);
    }
  }

  it.each([true, false])('are judged alike at every cut; checksums: %s', async (verifies) => {
    for (let size = 0; size <= file.length; size++) await compare(file.subarray(0, size), verifies);
  });

  it.each([true, false])('are judged alike with any byte changed; checksums: %s', async (verifies) => {
    for (let at = 0; at < file.length; at++) {
      const flipped = Buffer.from(file);
      flipped[at] = (flipped[at] as number) ^ (1 << at % 7);
      await compare(flipped, verifies);
      await compare(Buffer.concat([file.subarray(0, at), file.subarray(at + 1)]), verifies);
      await compare(Buffer.concat([file.subarray(0, at), Buffer.alloc(3000)]), verifies);
    }
  });

  it('are judged alike where numbers are odd', async () => {
    const tails = ['*0\r\n', '*-1\r\n', '*+1\r\n$4\r\nPING\r\n', '* 1\r\n$4\r\nPING\r\n', '*1\r\n$\r\n\r\n', '*\r\n'];
    tails.push('*1\r\n$00000000000000000000004\r\nPING\r\n', '*1\r\n$99999999999999999999\r\nPING\r\n', '*1x\r\n', '*1\n');
    tails.push(`*1\r\n$4\r\nPING\r\n${'#'.repeat(1100)}`, `#${'x'.repeat(1022)}`, `#${'x'.repeat(1021)}\n`, '*1\r\n$-0\r\n');
    tails.push('*2\r\n$5\r\nMULTI\r\n', '*1\r\n$7\r\nmulti\x00x\r\n', '*1\r\n$4\r\nexec\r\n', `*${'1'.repeat(140)}\r\n`, 'x');
    for (const tail of tails) {
      await compare(Buffer.concat([GOOD, Buffer.from(tail, 'latin1')]), false);
      await compare(Buffer.concat([GOOD, command('MULTI'), Buffer.from(tail, 'latin1')]), true);
    }
  });
});

describe('errors', () => {
  it('have the code of the system', async () => {
    const { addon, engine } = native;
    const request = { path: join(native.dir, 'not there'), verifiesChecksum: true };
    await expect(addon.loadRdb(engine, request)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(addon.loadRdb(engine, { ...request, path: native.dir })).rejects.toMatchObject({ code: 'EISDIR' });
  });

  it('refuse clients while loading, and tell how far it is', async () => {
    const { addon, engine, client } = native;
    addon.setLoading(engine, true, 1000n);
    expect((await client.send('GET', 'x')).text).toBe('-LOADING Redis is loading the dataset in memory\r\n');
    expect(addon.loadProgress(engine)).toMatchObject({ isLoading: true, totalBytes: 1000n, loadedKeys: 0n });
    addon.setLoading(engine, false, 0n);
    expect((await client.send('GET', 'x')).text).toBe('$-1\r\n');
  });
});
