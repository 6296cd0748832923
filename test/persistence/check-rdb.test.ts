/**
 * sherd-check-rdb against redis-check-rdb: the same lines and exit codes for good files, for files cut anywhere, and
 * for files that are broken in one place; on one thread and on a pool.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../support/oracle.js';
import { RespClient } from '../support/resp-client.js';
import { checkLines, comparable } from './check-lines.js';
import { forEachOf, ourTool, redisCheckRdb, run } from './programs.js';
import {
  concat,
  entry,
  f64,
  i64,
  intset,
  length,
  listpack,
  rdbFile,
  text,
  u32,
  ziplist,
  zipmap,
} from './rdb-builder.js';
import { fill, noise, savedFile, startFilled } from './rdb-dataset.js';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'sherd-test-check-rdb-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Writes a file, and gives redis-check-rdb's word on it. */
async function oracleSays(name: string, file: Buffer): Promise<{ code: number; lines: string[] }> {
  writeFileSync(join(dir, name), file);
  const { code, stdout } = await run(redisCheckRdb(), [name], dir);
  return { code, lines: comparable(stdout) };
}

/** Expects that both say the same of a file. */
async function expectSame(name: string, file: Buffer): Promise<void> {
  const oracle = await oracleSays(name, file);
  const ours = await checkLines(file);
  const lines = comparable([`[offset 0] Checking RDB file ${name}`, ...ours.lines].join('\n'));
  expect({ name, code: ours.isSound ? 0 : 1, lines }).toEqual({ name, ...oracle });
}

describe('the same lines as redis-check-rdb', () => {
  it('for files of redis-server, with expired keys and functions', async () => {
    const { server, client } = await startFilled(['--enable-debug-command', 'yes']);
    await fill(client, [
      ['DEBUG', 'SET-ACTIVE-EXPIRE', 0],
      ['SET', 'past', 'v', 'PX', 1],
      ['SELECT', 5],
      ['SET', 'x', 'y'],
    ]);
    const file = await savedFile(server, client);
    client.close();
    await server.stop();
    await expectSame('good.rdb', file);
    await expectSame('unsummed.rdb', Buffer.concat([file.subarray(0, -8), Buffer.alloc(8)]));
    await expectSame('tail.rdb', Buffer.concat([file, Buffer.from('*1\r\n$4\r\nPING\r\n')]));
    const broken = Buffer.from(file);
    broken[broken.length - 3]! ^= 16;
    await expectSame('sum.rdb', broken);
  });

  it('for a small file of every type, cut anywhere', async () => {
    const server = await startRedis(['--set-max-intset-entries', '2', '--list-max-listpack-size', '2']);
    const client = await RespClient.connect({ port: server.port });
    await fill(client, [
      ['SET', 'k', 'v', 'PXAT', 1],
      ['SET', 'k2', 'v', 'PXAT', 4102444800000],
      ['SET', 'n', 12345],
      ['SET', 'lzf', Buffer.alloc(200, 'ab')],
      ['RPUSH', 'list', 'a', 1, noise(70)],
      ['SADD', 'ints', 1, 2],
      ['SADD', 'set', 'a', 'b', 3],
      ['ZADD', 'zset', 1, 'a', 2.5, 'b'],
      ['ZADD', 'skiplist', 1, noise(70)],
      ['HSET', 'hash', 'f', 'v'],
      ['HSET', 'table', 'f', noise(70)],
      ['XADD', 'stream', '1-1', 'a', 'b'],
      ['XGROUP', 'CREATE', 'stream', 'g', 0],
      ['XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'stream', '>'],
      ['SELECT', 3],
      ['SET', 'k', 'v'],
    ]);
    const file = await savedFile(server, client);
    client.close();
    await server.stop();
    // Every third byte: a process per cut is what this test costs. (rdb-damage.test.ts cuts at every byte.)
    const cuts = Array.from({ length: Math.ceil(file.length / 3) }, (_, index) => file.length - 1 - 3 * index);
    await forEachOf(cuts, (at) => expectSame(`cut-${at}.rdb`, file.subarray(0, at)));
  }, 120_000);

  const faults: [string, ...Buffer[]][] = [
    ['signature', Buffer.from('REDOS0010')],
    ['version', Buffer.from('REDIS0013')],
    ['type', Buffer.of(8, 1, 97, 0)],
    ['type in the middle', entry(0, 'a', text('b')), Buffer.of(30)],
    ['set with a member twice', entry(2, 's', length(3), text('a'), text('b'), text('a'))],
    ['hash with a field twice', entry(4, 'h', length(2), text('a'), text('b'), text('a'), text('c'))],
    ['zset with a member twice', entry(5, 'z', length(2), text('a'), f64(1), text('a'), f64(2))],
    ['score that is no number', entry(5, 'z', length(1), text('a'), f64(NaN))],
    ['text score that is no number', entry(3, 'z', length(1), text('a'), 253)],
    ['intset out of order', entry(11, 'i', text(intset(2, 5, 4)))],
    ['intset of a strange width', entry(11, 'i', text(Buffer.concat([u32(3), u32(1), Buffer.alloc(3)])))],
    ['intset that is too short', entry(11, 'i', text(intset(2, 5, 6).subarray(0, -1)))],
    ['zipmap without end', entry(9, 'm', text(zipmap(['a', 'b']).subarray(0, -1)))],
    ['ziplist with a wrong size', entry(10, 'l', text(Buffer.concat([ziplist('a'), Buffer.of(0)])))],
    ['ziplist with odd elements in a hash', entry(13, 'h', text(ziplist('a', 'b', 'c')))],
    ['ziplist with a field twice', entry(13, 'h', text(ziplist('a', 'b', 'a', 'c')))],
    ['quicklist with a broken ziplist', entry(14, 'l', length(2), text(ziplist('a')), text(ziplist('a').subarray(1)))],
    ['quicklist node of a strange kind', entry(18, 'l', length(1), length(3), text(listpack('a')))],
    [
      'quicklist node with a broken listpack',
      entry(18, 'l', length(1), length(2), text(listpack('a').subarray(0, -1))),
    ],
    ['listpack with a field twice', entry(16, 'h', text(listpack('a', 'b', 'a', 'c')))],
    ['listpack with odd elements', entry(17, 'z', text(listpack('a', 1, 'c')))],
    ['integer of a strange width', entry(0, 'k', Buffer.of(0xc7))],
    ['length of a strange form', entry(2, 's', Buffer.of(0x85))],
    ['compressed string that refers before its start', entry(0, 'k', Buffer.of(0xc3, 3, 20, 0x20, 0x20, 0x20))],
    [
      'stream without nodes and with a length',
      entry(
        19,
        'x',
        length(0),
        length(5),
        length(1),
        length(1),
        length(0),
        length(0),
        length(0),
        length(0),
        length(5),
        length(0),
      ),
    ],
    ['stream node key of a wrong size', entry(19, 'x', length(1), text('short'), text(listpack(0, 0, 0, 0)))],
    ['stream node that is no listpack', entry(19, 'x', length(1), text(Buffer.alloc(16)), text('short'))],
    ['module of the old kind', entry(6, 'm', concat(0x81, Buffer.from('0c5d0f0b2a0a2c01', 'hex')))],
    ['module aux with a strange time', concat(0xf7, 0x81, Buffer.from('0c5d0f0b2a0a2c01', 'hex'), 1, 1, 0)],
  ];

  it.each(faults)('for a broken file: %s', async (name, ...records) => {
    const isHeader = records[0]?.subarray(0, 3).toString() === 'RED';
    const body = [concat(0xfe, 0), entry(0, 'before', text('v')), ...records, entry(0, 'behind', text('v'))];
    const file = isHeader ? Buffer.concat([records[0] as Buffer, Buffer.of(0xff)]) : rdbFile(10, body);
    await expectSame(`${name}.rdb`, file);
  });
});

describe('stricter than redis-check-rdb', () => {
  const cases: [string, string, Buffer][] = [
    ['Zset score is not a number', 'score', entry(3, 'z', length(1), text('a'), text('abc'))],
    ['a value without elements', 'list', entry(1, 'l', length(0))],
    ['unknown opcode 9', 'module', entry(7, 'm', concat(0x81, Buffer.from('0c5d0f0b2a0a2c01', 'hex'), 9, 0))],
    ['a string stands where a length must be', 'length', entry(1, 'l', Buffer.of(0xc0, 1))],
    ['Zset listpack integrity check failed.', 'packed score', entry(17, 'z', text(listpack('a', 'word')))],
  ];

  it.each(cases)('says "%s"', async (reason, _name, record) => {
    const { isSound, lines } = await checkLines(rdbFile(10, [record]));
    expect(isSound).toBe(false);
    expect(lines[1]).toContain(reason);
  });
});

describe('the program', () => {
  const check = (...args: string[]): ReturnType<typeof run> => run(ourTool('sherd-check-rdb'), args, dir);

  it("takes redis-check-rdb's command line", async () => {
    writeFileSync(join(dir, 'ok.rdb'), rdbFile(11, [entry(0, 'k', text('v'))]));
    const good = await check('ok.rdb');
    expect(good).toEqual({
      code: 0,
      stdout: expect.stringContaining('[offset 0] Checking RDB file ok.rdb\n'),
      stderr: '',
    });
    expect(
      good.stdout.endsWith('\\o/ RDB looks OK! \\o/\n[info] 1 keys read\n[info] 0 expires\n[info] 0 already expired\n'),
    ).toBe(true);
    expect(await check()).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^Usage: /) });
    expect(await check('a', 'b')).toMatchObject({ code: 1, stderr: expect.stringMatching(/^Usage: /) });
    expect(await check('--threads', '0', 'ok.rdb')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^Usage: /),
    });
    expect(await check('--version')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^sherd-check-rdb [0-9.]+\n$/),
    });
    const missing = await check('none.rdb');
    expect(missing).toMatchObject({
      code: 1,
      stdout: '[offset 0] Checking RDB file none.rdb\n',
      stderr: expect.stringContaining('ENOENT'),
    });
  });

  /** A file of some 20 MB, large enough for a pool, with broken values at `faultAt`. */
  function largeFile(faultAt: number[]): Buffer {
    const good = listpack(...Array.from({ length: 40 }, (_, index) => noise(100, index + 1)));
    const bad = Buffer.from(good);
    bad[200]! ^= 0x80;
    const records = Array.from({ length: 5000 }, (_, index) =>
      concat(
        index % 1000 === 0 ? concat(0xfe, index / 1000) : '',
        index % 10 === 0 ? concat(0xfc, i64(index)) : '',
        entry(16, `key:${index}`, text(faultAt.includes(index) ? bad : good)),
      ),
    );
    return rdbFile(10, records);
  }

  it('says the same on a pool as on one thread, and as redis-check-rdb', async () => {
    for (const [name, faults] of [
      ['large.rdb', []],
      ['two-faults.rdb', [3456, 3999]],
    ] as const) {
      const oracle = await oracleSays(name, largeFile([...faults]));
      for (const threads of [[], ['--threads', '1'], ['--threads', '3']]) {
        const { code, stdout } = await check(...threads, name);
        expect({ code, lines: comparable(stdout) }).toEqual(oracle);
      }
    }
    const sum = largeFile([]);
    sum[sum.length - 1]! ^= 1;
    const oracle = await oracleSays('large-sum.rdb', sum);
    expect(oracle.lines).toContain('[additional info] While doing: check-sum');
    expect(comparable((await check('large-sum.rdb')).stdout)).toEqual(oracle.lines);
    // Cut within a value: the walk meets the end of the file, and the check of that value says where.
    const cut = largeFile([]).subarray(0, 19_000_001);
    const cutOracle = await oracleSays('large-cut.rdb', cut);
    expect(comparable((await check('large-cut.rdb')).stdout)).toEqual(cutOracle.lines);
  }, 120_000);
});
