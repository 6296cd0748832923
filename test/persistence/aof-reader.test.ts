/**
 * The reader of AOF files and the checksum lines: verdicts on hand-made files, every cut and every flipped bit of a
 * file with checksum lines, and the same on a file that redis-server wrote.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CHECKSUM_LINE_BYTES,
  encodeChecksumLine,
  locateChecksumLine,
  RunningCrc64,
} from '../../src/persistence/format/aof-checksum.js';
import { AofReader, type AofReaderOptions } from '../../src/persistence/format/aof-reader.js';
import { MemorySource } from '../../src/persistence/format/byte-source.js';
import { checksummed, command, commandsOf, GOOD } from './aof-files.js';

function read(bytes: Buffer, options: AofReaderOptions = {}): AofReader {
  const reader = new AofReader(new MemorySource(bytes), options);
  while (reader.next() !== undefined);
  return reader;
}

describe('CRC64', () => {
  it('is the one of RDB files', () => {
    const crc = new RunningCrc64();
    crc.update(Buffer.from('123456789'));
    expect(crc.hex).toBe('e9c6d914c4b8d9ca');
  });

  it('does not depend on how the bytes come', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, cut) => {
        const whole = new RunningCrc64();
        whole.update(bytes);
        const pieces = new RunningCrc64();
        pieces.update(bytes, 0, Math.min(cut, bytes.length));
        const resumed = new RunningCrc64();
        resumed.hex = pieces.hex;
        resumed.update(bytes, Math.min(cut, bytes.length));
        expect(resumed.hex).toBe(whole.hex);
      }),
    );
  });
});

describe('verdicts', () => {
  const torn = (text: string): void => {
    const reader = read(Buffer.concat([GOOD, Buffer.from(text)]));
    expect([text, reader.failure?.isTorn, reader.lastGoodOffset]).toEqual([text, true, GOOD.length]);
  };
  const damaged = (text: string, code: string): void => {
    const reader = read(Buffer.concat([GOOD, Buffer.from(text)]));
    expect([text, reader.failure?.isTorn, reader.failure?.code]).toEqual([text, false, code]);
    expect(reader.lastGoodOffset).toBe(GOOD.length);
  };

  it('tells a torn end from damage', () => {
    const whole = '*2\r\n$5\r\nMULTI\r\n$0\r\n\r\n';
    for (let size = 1; size <= whole.length; size++) torn(whole.slice(0, size));
    torn('#TS:1234');
    torn('#SHERD:0000');
    damaged('hello\r\n', 'format');
    damaged('*0\r\n', 'count');
    damaged('*-1\r\n', 'count');
    damaged('*1\r\n%4\r\nPING\r\n', 'prefix');
    damaged('*1x\r\n', 'newline');
    damaged('*1\r\n$4\r\nPINGxx*1\r\n', 'newline');
    damaged('*1\r\n$-1\r\n', 'range');
    damaged('*1\r\n$4\r\nEXEC\r\n', 'lone-exec');
    damaged('*1\r\n$5\r\nmulti\r\n*1\r\n$5\r\nMULTI\r\n', 'nested-multi');
  });

  it('never trusts a length', () => {
    torn('*1\r\n$9000000000000000000\r\nabc');
    torn('*9000000000000000000\r\n$1\r\na\r\n');
  });

  it('keeps no more of the arguments than it was told to', () => {
    const reader = new AofReader(new MemorySource(command('SET', 'key', 'x'.repeat(1e6))), { keptBytesMax: 100 });
    const item = reader.next();
    expect(item).toMatchObject({ kind: 'command', argCount: 3, isWhole: false });
    expect(item?.kind === 'command' && item.args.map(String)).toEqual(['SET', 'key']);
    expect(reader.next()).toBeUndefined();
    expect(reader.failure).toBeUndefined();
  });

  it('says where in a transaction a command stands', () => {
    const file = Buffer.concat([GOOD, command('multi'), GOOD, command('EXEC'), GOOD]);
    const reader = new AofReader(new MemorySource(file));
    const places: string[] = [];
    for (let item = reader.next(); item !== undefined; item = reader.next()) {
      if (item.kind === 'command') places.push(item.place);
    }
    expect(places).toEqual(['alone', 'multi', 'inside', 'exec', 'alone']);
  });
});

describe('checksum lines', () => {
  const blocks = [
    [command('SELECT', '0'), command('SET', 'a', '1')],
    [command('MULTI'), command('INCR', 'n'), command('SET', 'b', 'x'.repeat(300)), command('EXEC')],
    [Buffer.from('#TS:1700000000\r\n'), command('LPUSH', 'l', '1', '2')],
    [command('SET', 'z', '*1\r\n$4\r\nPING\r\n')],
  ].map((parts) => Buffer.concat(parts));
  const file = checksummed(blocks);
  const expected = commandsOf(file);

  it('hold on the file as it was written, and the writer can go on', () => {
    const reader = read(file, { verifyChecksums: true });
    expect(reader.failure).toBeUndefined();
    expect(reader.checksums).toEqual({ lineCount: blocks.length, verifiedUpTo: file.length });
    const foreign = command('SET', 'redis', 'wrote this');
    const tail = read(Buffer.concat([file, foreign]), { verifyChecksums: true });
    expect(tail.failure).toBeUndefined();
    const crc = new RunningCrc64();
    crc.hex = tail.crcHex as string;
    const adopted = Buffer.concat([file, foreign, encodeChecksumLine(crc, file.length + foreign.length)]);
    const again = read(adopted, { verifyChecksums: true });
    expect([again.failure, again.checksums.verifiedUpTo]).toEqual([undefined, adopted.length]);
  });

  it('let no flipped bit pass: refused, or not a byte of data differs', () => {
    for (let at = 0; at < file.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = Buffer.from(file);
        flipped[at] = (flipped[at] as number) ^ (1 << bit);
        const reader = read(flipped, { verifyChecksums: true });
        if (reader.failure !== undefined && !reader.failure.isTorn) continue;
        // What is left counts: a torn end is cut off, and then all commands must be there.
        const left = commandsOf(flipped.subarray(0, reader.lastGoodOffset));
        expect([at, bit, left]).toEqual([at, bit, expected]);
      }
    }
  });

  it('let every cut load, with the commands in front of it', () => {
    for (let size = 0; size < file.length; size++) {
      const reader = read(file.subarray(0, size), { verifyChecksums: true });
      expect([size, reader.failure?.isTorn ?? true]).toEqual([size, true]);
      const left = commandsOf(file.subarray(0, reader.lastGoodOffset));
      expect(expected.slice(0, left.length)).toEqual(left);
      const again = read(file.subarray(0, reader.lastGoodOffset), { verifyChecksums: true });
      expect(again.failure).toBeUndefined();
    }
  });

  it('let a tail of zeros be cut off, as a power loss leaves it', () => {
    const first = checksummed(blocks.slice(0, 2));
    for (let size = first.length; size < file.length; size++) {
      const zeroed = Buffer.alloc(file.length + 4096);
      file.copy(zeroed, 0, 0, size);
      const reader = read(zeroed, { verifyChecksums: true });
      expect([size, reader.failure?.isTorn]).toEqual([size, true]);
      expect(reader.lastGoodOffset).toBeGreaterThanOrEqual(first.length);
      expect(reader.lastGoodOffset).toBeLessThanOrEqual(size);
    }
  });

  it('find blocks that are reordered, repeated, left out or cut in the middle', () => {
    const ends = [0];
    for (const block of blocks) ends.push((ends.at(-1) as number) + block.length + CHECKSUM_LINE_BYTES);
    const part = (index: number): Buffer => file.subarray(ends[index], ends[index + 1]);
    const orders = [[1, 0, 2, 3], [0, 0, 1, 2, 3], [0, 2, 3], [1, 2, 3], [0, 1, 3, 2]];
    for (const order of orders) {
      const reader = read(Buffer.concat(order.map(part)), { verifyChecksums: true });
      expect([order, reader.failure?.code, reader.failure?.isTorn]).toEqual([order, 'checksum', false]);
    }
    for (let from = 1; from < (ends[4] as number) - CHECKSUM_LINE_BYTES; from += 7) {
      const hole = Buffer.concat([file.subarray(0, from), file.subarray(from + 5)]);
      const reader = read(hole, { verifyChecksums: true });
      expect([from, reader.failure === undefined]).toEqual([from, false]);
      const left = commandsOf(hole.subarray(0, reader.lastGoodOffset));
      expect([from, left]).toEqual([from, expected.slice(0, left.length)]);
    }
  });

  it('are found by position across pieces', () => {
    const crc = new RunningCrc64();
    const offset = 64 * 1024 - 20;
    const line = encodeChecksumLine(crc, offset);
    const bytes = Buffer.concat([Buffer.alloc(offset, 'x'), line, Buffer.alloc(100_000, 'y')]);
    expect(locateChecksumLine(new MemorySource(bytes), 0)).toBe(offset);
    expect(locateChecksumLine(new MemorySource(bytes), offset + 1)).toBeUndefined();
    expect(locateChecksumLine(new MemorySource(bytes.subarray(1)), 0)).toBeUndefined();
  });
});
