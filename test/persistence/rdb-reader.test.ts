/**
 * The reader of RDB files against a real redis-server: what a file holds is what the server says through commands, for
 * every type and encoding the server writes or still reads.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MemorySource } from '../../src/persistence/format/byte-source.js';
import { canonicalLines } from '../../src/persistence/format/canonical.js';
import { RdbReader } from '../../src/persistence/format/rdb-reader.js';
import { ValueVisitor } from '../../src/persistence/format/value-visitor.js';
import { startRedis } from '../support/oracle.js';
import { RespClient } from '../support/resp-client.js';
import { oldRecords } from './old-records.js';
import { concat, entry, f64, i64, length, listpack, rdbFile, text, u32 } from './rdb-builder.js';
import { savedFile, startFilled, thresholds } from './rdb-dataset.js';
import { serverLines } from './server-content.js';

/** Files of redis-server 7.0 have no active times, and XINFO does not show them. */
const options = { withoutActiveTimes: true };

const typesOf = (file: Buffer): Set<number> => {
  const reader = new RdbReader(new MemorySource(file));
  const types = new Set<number>();
  for (let record = reader.next(); record !== undefined; record = reader.next()) {
    if (record.kind === 'entry') types.add(record.type);
  }
  return types;
};

describe('files of redis-server', () => {
  const settings: [string, string[], number[]][] = [
    ['default thresholds', [], [0, 2, 4, 5, 11, 16, 17, 18, 19]],
    ['lowest thresholds', thresholds(0), [0, 2, 4, 5, 18, 19]],
    ['highest thresholds', [...thresholds(100000), '--hash-max-listpack-value', '100000'], [0, 2, 11, 16, 17, 18, 19]],
    ['no compression', ['--rdbcompression', 'no'], [0, 2, 4, 5, 11, 16, 17, 18, 19]],
    ['no checksum', ['--rdbchecksum', 'no'], [0, 2, 4, 5, 11, 16, 17, 18, 19]],
    ['compressed list nodes', ['--list-compress-depth', '1', '--list-max-listpack-size', '5'], [18]],
    ['small list nodes', ['--list-max-listpack-size', '1'], [18]],
    ['large list nodes', ['--list-max-listpack-size', '-5'], [18]],
  ];

  it.each(settings)('hold what the server says: %s', async (_name, args, types) => {
    const { server, client } = await startFilled(args);
    try {
      const file = await savedFile(server, client);
      const lines = canonicalLines(new MemorySource(file), options);
      expect(lines).toEqual(await serverLines(client));
      expect(lines.length).toBeGreaterThan(2000);
      expect([...typesOf(file)]).toEqual(expect.arrayContaining(types));
    } finally {
      client.close();
      await server.stop();
    }
  });

  it('hold idle times and frequencies as the policy says', async () => {
    for (const [policy, word] of [
      ['allkeys-lru', 'idle'],
      ['allkeys-lfu', 'frequency'],
    ] as const) {
      const { server, client } = await startFilled(['--maxmemory-policy', policy]);
      const file = await savedFile(server, client);
      client.close();
      await server.stop();
      const lines = canonicalLines(new MemorySource(file), { withAccess: true });
      expect(lines.find((line) => line.startsWith(`db9 "other" ${word} `))).toMatch(/ (0|[1-9][0-9]*)$/);
    }
  });
});

describe('old encodings', () => {
  it('are read as redis-server reads them', async () => {
    const file = rdbFile(9, oldRecords());
    const dir = mkdtempSync(join(tmpdir(), 'sherd-test-rdb-'));
    writeFileSync(join(dir, 'old.rdb'), file);
    const server = await startRedis(['--dir', dir, '--dbfilename', 'old.rdb', '--list-max-listpack-size', '-2']);
    const client = await RespClient.connect({ port: server.port });
    try {
      const lines = canonicalLines(new MemorySource(file), options);
      expect(lines).toEqual(await serverLines(client));
      // The server writes it anew, in its own encodings, and nothing changes.
      await client.send('SAVE');
      expect(canonicalLines(new MemorySource(readFileSync(join(dir, 'old.rdb'))), options)).toEqual(lines);
    } finally {
      client.close();
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('are read at every version from 1 on, without checksum before 5', () => {
    const at = (version: number): string[] => canonicalLines(new MemorySource(rdbFile(version, oldRecords())));
    for (let version = 1; version <= 12; version++) expect(at(version)).toEqual(at(9));
    expect(() => at(13)).toThrow("Can't handle RDB format version 13");
  });
});

describe('encodings of versions 11 and 12', () => {
  const lines = (...records: Buffer[]): string[] => canonicalLines(new MemorySource(rdbFile(12, records)));

  it('sets as listpacks', () => {
    expect(lines(entry(20, 's', text(listpack('a', 5, -3000))))).toEqual([
      'db0 "s" set "-3000"',
      'db0 "s" set "5"',
      'db0 "s" set "a"',
    ]);
  });

  it('hashes with times of their fields, released and before', () => {
    const expected = ['db0 "h" hash "a" = "1" expires 1700000000005', 'db0 "h" hash "b" = "2"'];
    const at = 1700000000005;
    const first = i64(at - 3);
    expect(
      lines(entry(24, 'h', first, length(2), length(4), text('a'), text('1'), length(0), text('b'), text('2'))),
    ).toEqual(expected);
    expect(lines(entry(22, 'h', length(2), length(at), text('a'), text('1'), length(0), text('b'), text('2')))).toEqual(
      expected,
    );
    expect(lines(entry(25, 'h', i64(at), text(listpack('a', 1, at, 'b', '2', 0))))).toEqual(expected);
    expect(lines(entry(23, 'h', text(listpack('a', 1, at, 'b', '2', 0))))).toEqual(expected);
  });

  it('streams with active times, functions of both kinds, slots and modules', () => {
    const stream = entry(
      21,
      'x',
      length(0),
      length(0),
      length(7),
      length(1),
      length(0),
      length(0),
      length(7),
      length(1),
      length(3),
      length(1),
      text('g'),
      length(7),
      length(1),
      length(2n ** 64n - 1n),
      length(0),
      length(1),
      text('c'),
      i64(10),
      i64(-1),
      length(0),
    );
    const moduleId = concat(0x81, Buffer.from('0c5d0f0b2a0a2c01', 'hex'));
    const module = entry(
      7,
      'm',
      moduleId,
      concat(1, length(2n ** 64n - 5n), 2, length(5), 3, u32(0x3fc00000), 4),
      f64(2.5),
      5,
      text('t'),
      0,
    );
    expect(
      lines(
        concat(0xf4, length(5), length(1), length(0)),
        concat(0xf7, moduleId, 2, 1, 5, text('x'), 0),
        stream,
        module,
        concat(0xf5, text('code')),
        concat(0xf6, text('lib'), text('LUA'), 1, text('described'), text('body')),
      ),
    ).toEqual([
      'db0 "m" module 0000000000 -5',
      'db0 "m" module 0000000001 5',
      'db0 "m" module 0000000002 1.5',
      'db0 "m" module 0000000003 2.5',
      'db0 "m" module 0000000004 "t"',
      'db0 "m" module DF0PCyoKL',
      'db0 "x" stream group "g" consumer "c" seen 10 active -1',
      'db0 "x" stream group "g" last 7-1 read -1',
      'db0 "x" stream length 0 last 7-1 first 0-0 deleted 7-1 added 3',
      'function "#!LUA name=lib\\x0abody"',
      'function "code"',
    ]);
  });

  it('steps over values that nobody reads, to the same records', () => {
    const records = [
      ...oldRecords(),
      entry(24, 'h', i64(5), length(1), length(1), text('a'), text('1')),
      entry(25, 'x', i64(5), text(listpack('a', 1, 5))),
    ];
    const file = rdbFile(12, records);
    const keys = (isRead: boolean): string[] => {
      const reader = new RdbReader(new MemorySource(file));
      const found: string[] = [];
      for (let record = reader.next(); record !== undefined; record = reader.next()) {
        if (record.kind !== 'entry') continue;
        if (isRead) reader.readValue(new ValueVisitor());
        found.push(`${record.begin} ${record.key.toString('latin1')}`);
      }
      expect(reader.offset).toBe(file.length);
      return found;
    };
    expect(keys(false)).toHaveLength(22);
    expect(keys(false)).toEqual(keys(true));
  });
});
