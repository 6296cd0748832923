/**
 * Damaged RDB files: refused with a reason or read as if nothing had happened, never a crash, a hang, or memory for
 * what is not there.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { MemorySource } from '../../src/persistence/format/byte-source.js';
import { canonicalLines } from '../../src/persistence/format/canonical.js';
import { FormatError } from '../../src/persistence/format/format-error.js';
import { JsonWriter } from '../../src/persistence/format/json-writer.js';
import { writeRdbAsJson } from '../../src/persistence/format/rdb-json.js';
import { RdbReader, checksumFault } from '../../src/persistence/format/rdb-reader.js';
import { ValueVisitor } from '../../src/persistence/format/value-visitor.js';
import { startRedis } from '../support/oracle.js';
import { RespClient } from '../support/resp-client.js';
import { checkLines } from './check-lines.js';
import {
  concat,
  entry,
  f64,
  i64,
  intset,
  length,
  listpack,
  rawId,
  rdbFile,
  resealed,
  text,
  u32,
  ziplist,
  zipmap,
} from './rdb-builder.js';
import { fill, noise, savedFile } from './rdb-dataset.js';

/** Nothing here takes a millisecond; the rest is what a busy machine may add. */
const HANG_MS = 5000;

/** The content, or why there is none. Anything thrown but a FormatError is a failure of the test. */
function read(file: Buffer): string[] | FormatError {
  try {
    return canonicalLines(new MemorySource(file));
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
}

/** Reads to the end without looking at the values. */
function walk(file: Buffer): FormatError | undefined {
  const reader = new RdbReader(new MemorySource(file));
  try {
    while (reader.next() !== undefined);
    return undefined;
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
}

/** A file of redis-server with all its types, and one with what it does not write. */
async function files(): Promise<Buffer[]> {
  const server = await startRedis([]);
  const client = await RespClient.connect({ port: server.port });
  await fill(client, [
    ['SET', 'k', 'v', 'PXAT', 4102444800000],
    ['SET', 'lzf', Buffer.alloc(100, 'ab')],
    ['RPUSH', 'list', 'a', 1, noise(30)],
    ['SADD', 'ints', 1, 2],
    ['SADD', 'set', 'a', 'b', 3],
    ['ZADD', 'zset', 1, 'a', 2.5, 'b'],
    ['HSET', 'table', 'f', noise(70)],
    ['XADD', 'stream', '1-1', 'a', 'b'],
    ['XGROUP', 'CREATE', 'stream', 'g', 0],
    ['XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'stream', '>'],
  ]);
  const written = await savedFile(server, client);
  client.close();
  await server.stop();
  const node = listpack(2, 0, 1, 'f', 0, 2, 0, 0, 'v', 4, 0, 0, 1, 2, 'f', 5, 'g', -6, 8);
  const built = rdbFile(12, [
    concat(0xfa, text('name'), text('value')),
    concat(0xf4, 5, 1, 0),
    concat(0xfd, u32(2000000000), 0xf9, 7, entry(1, 'list', length(2), text('a'), concat(0xc1, 5, 6))),
    entry(3, 'zset', length(2), text('a'), text('1.5'), text('b'), 255),
    entry(5, 'zset2', length(1), text('a'), f64(2)),
    entry(9, 'zipmap', text(zipmap(['f', 'v'], 2))),
    entry(12, 'zset ziplist', text(ziplist('a', 1, 'b', '1.5'))),
    entry(11, 'intset', text(intset(4, -70000, 70000))),
    entry(14, 'quicklist', length(1), text(ziplist('a', 300))),
    entry(20, 's', text(listpack('a', 5))),
    entry(
      21,
      'x',
      length(1),
      text(rawId(5, 1)),
      text(node),
      length(2),
      length(5),
      length(2),
      length(5),
      length(1),
      length(0),
      length(0),
      length(2),
      length(1),
      text('g'),
      length(5),
      length(1),
      length(1),
      length(1),
      rawId(5, 1),
      i64(9),
      length(1),
      length(1),
      text('c'),
      i64(9),
      i64(9),
      length(1),
      rawId(5, 1),
    ),
    entry(24, 'h', i64(50), length(2), length(1), text('a'), text('1'), length(0), text('b'), text('2')),
    entry(25, 'e', i64(50), text(listpack('a', 1, 50, 'b', 2, 0))),
    entry(7, 'm', concat(0x81, Buffer.from('0c5d0f0b2a0a2c01', 'hex'), 1, 5, 5, text('x'), 0)),
    concat(0xf5, text('code')),
  ]);
  return [written, built];
}

let all: Buffer[] = [];
beforeAll(async () => {
  all = await files();
});

describe('damage', () => {
  it('the files are sound to begin with', () => {
    for (const file of all) expect(read(file)).toBeInstanceOf(Array);
  });

  it('a file cut at any byte is refused as cut', () => {
    for (const file of all) {
      for (let at = 0; at < file.length; at++) {
        const outcome = read(file.subarray(0, at));
        expect(outcome, `cut at ${at}`).toBeInstanceOf(FormatError);
        expect((outcome as FormatError).offset).toBeLessThanOrEqual(at);
        expect(walk(file.subarray(0, at)), `cut at ${at}`).toBeInstanceOf(FormatError);
      }
    }
  });

  it('a bit flipped anywhere is found, or changes nothing', () => {
    for (const file of all) {
      const sound = read(file);
      for (let bit = 0; bit < file.length * 8; bit++) {
        const broken = Buffer.from(file);
        broken[bit >> 3]! ^= 1 << (bit & 7);
        const outcome = read(broken);
        if (!(outcome instanceof FormatError)) expect(outcome, `bit ${bit}`).toEqual(sound);
      }
    }
  }, 60_000);

  it('bytes changed under a right checksum are read or refused, soon and by every reader', async () => {
    const substitutes = [0, 1, 0x7f, 0x80, 0x81, 0xc0, 0xc3, 0xf0, 0xf4, 0xfd, 0xfe, 0xff];
    for (const file of all) {
      for (let at = 9; at < file.length - 8; at++) {
        for (const substitute of substitutes) {
          const broken = Buffer.from(file);
          broken[at] = substitute;
          const sealed = resealed(broken);
          const startedAt = performance.now();
          const outcome = read(sealed);
          // What reads whole can be stepped over, and to-json and check-rdb agree.
          if (!(outcome instanceof FormatError)) expect(walk(sealed)).toBeUndefined();
          if (at % 7 === 0) {
            const isRead = !(outcome instanceof FormatError);
            expect((await checkLines(sealed)).isSound, `${at}: ${substitute}`).toBe(isRead);
            expect(jsonIsRead(sealed)).toBe(isRead);
          }
          expect(performance.now() - startedAt).toBeLessThan(HANG_MS);
        }
      }
    }
  }, 120_000);
});

function jsonIsRead(file: Buffer): boolean {
  try {
    const source = new MemorySource(file);
    const reader = new RdbReader(source);
    const checksum = writeRdbAsJson(reader, new JsonWriter(() => undefined));
    return !checksumFault(source, 0, reader.offset, checksum);
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
}

describe('memory', () => {
  const asked: number[] = [];
  const largest = (sizes: number[]): number => sizes.reduce((most, size) => Math.max(most, size), 0);
  beforeAll(() => {
    for (const name of ['allocUnsafe', 'alloc'] as const) {
      const original = Buffer[name].bind(Buffer);
      vi.spyOn(Buffer, name).mockImplementation((size: number) => {
        asked.push(size);
        return original(size);
      });
    }
  });
  afterAll(() => vi.restoreAllMocks());

  const huge = [length(2n ** 32n - 1n), length(2n ** 40n), length(2n ** 63n), length(2n ** 64n - 1n)];
  const liars: [string, (size: Buffer) => Buffer][] = [
    ['string', (size) => entry(0, 'k', size)],
    ['key', (size) => concat(0, size)],
    ['packed string', (size) => entry(0, 'k', 0xc3, size, length(10))],
    ['unpacked string', (size) => entry(0, 'k', 0xc3, length(4), size, 1, 97, 97, 0x20)],
    ['list', (size) => entry(1, 'k', size)],
    ['set', (size) => entry(2, 'k', size)],
    ['hash', (size) => entry(4, 'k', size)],
    ['zset', (size) => entry(5, 'k', size)],
    ['quicklist', (size) => entry(18, 'k', size)],
    ['stream', (size) => entry(19, 'k', size)],
    [
      'stream groups',
      (size) =>
        entry(
          19,
          'k',
          length(0),
          length(0),
          length(0),
          length(0),
          length(0),
          length(0),
          length(0),
          length(0),
          length(0),
          size,
        ),
    ],
    ['hash with times', (size) => entry(24, 'k', i64(5), size)],
    ['listpack', () => entry(16, 'k', text(concat(u32(30), 2, 0, 0xf0, u32(0xfffffff0), Buffer.alloc(18), 0xff)))],
    [
      'ziplist',
      () => entry(13, 'k', text(concat(u32(30), u32(10), 2, 0, 0, 0x80, u32(0xf0ffffff), Buffer.alloc(13), 0xff))),
    ],
    ['intset', () => entry(11, 'k', text(concat(u32(8), u32(0xffffffff), Buffer.alloc(8))))],
    ['size hints', (size) => concat(0xfb, size, size, entry(2, 'k', size))],
  ];

  it.each(liars)('is not given to a %s that claims more than the file holds', (_name, liar) => {
    for (const size of huge) {
      asked.length = 0;
      const file = rdbFile(12, [liar(size)]);
      expect(file.length).toBeLessThan(1024);
      expect(read(file)).toBeInstanceOf(FormatError);
      expect(asked.length).toBeGreaterThan(0);
      expect(largest(asked)).toBeLessThan(1024 * 1024);
    }
  });

  it('stays at a window for a file of any size, when values are large only by their number of elements', () => {
    const count = 200_000;
    const elements = Buffer.concat(Array.from({ length: count }, (_, index) => text(`element ${index}`)));
    const file = rdbFile(11, [entry(1, 'list', length(count), elements)]);
    asked.length = 0;
    const reader = new RdbReader(new MemorySource(file));
    let seen = 0;
    const counter = new ValueVisitor();
    counter.listElement = () => void seen++;
    for (let record = reader.next(); record !== undefined; record = reader.next()) {
      if (record.kind === 'entry') reader.readValue(counter);
    }
    expect(seen).toBe(count);
    expect(largest(asked)).toBeLessThanOrEqual(256 * 1024);
  });
});
