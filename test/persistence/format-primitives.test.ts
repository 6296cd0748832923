/**
 * The small readers under the RDB reader, each against a writer of the test's own or a known answer: LZF, CRC64,
 * lengths and numbers, packs, text in JSON.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteReader } from '../../src/persistence/format/byte-reader.js';
import { MemorySource } from '../../src/persistence/format/byte-source.js';
import { combineCrc64, crc64, crc64Of } from '../../src/persistence/format/crc64.js';
import { FormatError, PackError } from '../../src/persistence/format/format-error.js';
import { forEachTextPiece, jsonString, jsonText, jsonTextBytes } from '../../src/persistence/format/json-text.js';
import { JsonWriter } from '../../src/persistence/format/json-writer.js';
import { forEachInListpack } from '../../src/persistence/format/listpack.js';
import { lzfUnpack, lzfUnpackedSize } from '../../src/persistence/format/lzf.js';
import { forEachInIntset, forEachInZiplist, forEachInZipmap } from '../../src/persistence/format/old-packs.js';
import { RdbInput } from '../../src/persistence/format/rdb-input.js';
import { formatDouble, parseDouble } from '../../src/persistence/format/text-numbers.js';
import { concat, intset, length, listpack, text, ziplist, zipmap } from './rdb-builder.js';
import { lzfPack } from './lzf-packer.js';

const bytes = (max = 300): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));
/** Bytes that compress: few letters, or runs. */
const dull = fc.oneof(
  fc.array(fc.integer({ min: 97, max: 99 }), { maxLength: 3000 }).map((array) => Buffer.from(array)),
  fc.tuple(fc.nat(20_000), fc.nat(255)).map(([size, byte]) => Buffer.alloc(size, byte)),
);
const signed64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const integer = fc.oneof(fc.integer({ min: -130, max: 130 }).map(BigInt), fc.integer().map(BigInt), signed64);
const element = fc.oneof(bytes(), bytes(5000), integer);
const shown = (value: Buffer | bigint): string =>
  Buffer.isBuffer(value) ? value.toString('latin1') : value.toString();

describe('LZF', () => {
  it('unpacks what was packed', () => {
    fc.assert(
      fc.property(fc.oneof(bytes(2000), dull), (original) => {
        const packed = lzfPack(original);
        expect(lzfUnpackedSize(packed)).toBe(original.length);
        expect(lzfUnpack(packed, original.length).equals(original)).toBe(true);
      }),
    );
  });

  it('refuses another size, and survives any bytes', () => {
    fc.assert(
      fc.property(bytes(), fc.nat(1000), (packed, size) => {
        try {
          expect(lzfUnpack(packed, size)).toHaveLength(size);
        } catch (error) {
          expect(error).toBeInstanceOf(PackError);
        }
      }),
    );
    expect(() => lzfUnpack(lzfPack(Buffer.from('hello')), 4)).toThrow(PackError);
    expect(() => lzfUnpack(lzfPack(Buffer.from('hello')), 6)).toThrow(PackError);
  });
});

describe('CRC64', () => {
  /** Bit by bit, from the polynomial as it is written in the literature. */
  function slow(message: Buffer): bigint {
    const reversed = BigInt(`0b${0xad93d23594c935a9n.toString(2).padStart(64, '0').split('').reverse().join('')}`);
    let crc = 0n;
    for (const byte of message) {
      crc ^= BigInt(byte);
      for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ reversed : crc >> 1n;
    }
    return crc;
  }

  it('has the known answer', () => {
    expect(crc64(Buffer.from('123456789'))).toBe(0xe9c6d914c4b8d9can);
  });

  it('is the bit by bit one, at every alignment and in parts', () => {
    fc.assert(
      fc.property(bytes(200), fc.nat(200), fc.nat(7), (message, cut, shift) => {
        const home = Buffer.alloc(message.length + 8);
        message.copy(home, shift);
        const moved = home.subarray(shift, shift + message.length);
        const expected = slow(message);
        expect(crc64(moved)).toBe(expected);
        const first = moved.subarray(0, cut);
        const second = moved.subarray(cut);
        expect(crc64(second, crc64(first))).toBe(expected);
        expect(combineCrc64(crc64(first), crc64(second), second.length)).toBe(expected);
        expect(crc64Of(new MemorySource(message), 0, message.length)).toBe(expected);
      }),
    );
  });
});

describe('numbers', () => {
  it('lengths come back in every form', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.bigInt({ min: 0n, max: 70_000n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
        (value) => {
          expect(new RdbInput(new MemorySource(length(value))).lengthBig()).toBe(value);
          if (value <= 2n ** 53n) expect(new RdbInput(new MemorySource(length(value))).length()).toBe(Number(value));
        },
      ),
    );
  });

  it("doubles come back from their text, and from C's", () => {
    fc.assert(
      fc.property(fc.double(), (value) => {
        expect(parseDouble(Buffer.from(formatDouble(value)))).toBe(value);
        // JavaScript's toPrecision forgets the sign of a zero.
        if (Number.isFinite(value) && value !== 0) expect(parseDouble(Buffer.from(value.toPrecision(17)))).toBe(value);
      }),
    );
    for (const wrong of ['', ' 1', '1 ', '0x10', '1e', 'e5', '.', '--1', '1_000', 'in', '١']) {
      expect(parseDouble(Buffer.from(wrong))).toBeUndefined();
    }
    expect(parseDouble(Buffer.from('-INF'))).toBe(-Infinity);
    expect(parseDouble(Buffer.from('5.'))).toBe(5);
  });

  it('strings come back, integers as their text', () => {
    const read = (file: Buffer): string => new RdbInput(new MemorySource(file)).string().toString('latin1');
    fc.assert(
      fc.property(bytes(20_000), (value) => {
        expect(read(text(value))).toBe(value.toString('latin1'));
      }),
    );
    expect(read(concat(0xc0, 0x80))).toBe('-128');
    expect(read(concat(0xc1, 0xff, 0x7f))).toBe('32767');
    expect(read(concat(0xc2, 0, 0, 0, 0x80))).toBe('-2147483648');
    fc.assert(
      fc.property(dull, (value) => {
        fc.pre(value.length > 0);
        const packed = lzfPack(value);
        expect(read(concat(0xc3, length(packed.length), length(value.length), packed))).toBe(value.toString('latin1'));
      }),
    );
  });
});

describe('packs', () => {
  it('give back their elements', () => {
    fc.assert(
      fc.property(fc.array(element, { maxLength: 30 }), (elements) => {
        for (const [write, read] of [
          [listpack, forEachInListpack],
          [ziplist, forEachInZiplist],
        ] as const) {
          const seen: string[] = [];
          read(write(...elements), (one) => seen.push(one.toString('latin1')));
          expect(seen).toEqual(elements.map(shown));
        }
      }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(bytes(), bytes(400))), fc.nat(4), (pairs, free) => {
        const seen: string[] = [];
        forEachInZipmap(zipmap(pairs.flat(), free), (name, value) => seen.push(shown(name), shown(value)));
        expect(seen).toEqual(pairs.flat().map(shown));
      }),
    );
    fc.assert(
      fc.property(fc.uniqueArray(signed64, { minLength: 1 }), (values) => {
        const sorted = values.sort((a, b) => (a < b ? -1 : 1));
        const seen: bigint[] = [];
        forEachInIntset(intset(8, ...sorted), (value) => seen.push(BigInt(value)));
        expect(seen).toEqual(sorted);
      }),
    );
  });

  it('are refused, or read, whatever byte is changed', () => {
    const packs = [
      [listpack('a', 5, noText(130), -3000, 70000), forEachInListpack],
      [ziplist('a', 5, noText(300), -3000, 70000), forEachInZiplist],
      [zipmap(['a', 'b', noText(260), 'd'], 2), forEachInZipmap],
      [intset(2, -5, 6, 7), forEachInIntset],
    ] as const;
    for (const [pack, read] of packs) {
      for (let at = 0; at < pack.length; at++) {
        for (let byte = 0; byte < 256; byte++) {
          const changed = Buffer.from(pack);
          changed[at] = byte;
          try {
            read(changed, () => undefined);
          } catch (error) {
            expect(error).toBeInstanceOf(PackError);
          }
        }
        expect(() => read(pack.subarray(0, at), () => undefined)).toThrow(PackError);
      }
    }
  });
});

const noText = (size: number): Buffer => Buffer.alloc(size, 0xfe);

describe('the window', () => {
  it('gives the same bytes as the source, whatever is read, viewed or skipped', () => {
    const source = Buffer.from(Array.from({ length: 700_000 }, (_, index) => (index * 7919) >> 3));
    const step = fc.tuple(fc.constantFrom('bytes', 'view', 'skip', 'u8', 'u64'), fc.oneof(fc.nat(50), fc.nat(300_000)));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const reader = new ByteReader(new MemorySource(source));
        let at = 0;
        for (const [kind, wanted] of steps) {
          const size = kind === 'u8' ? 1 : kind === 'u64' ? 8 : wanted;
          if (size > source.length - at) {
            expect(() => reader.view(size)).toThrow(FormatError);
            expect(reader.offset).toBe(at);
            continue;
          }
          if (kind === 'bytes' || kind === 'view')
            expect(reader[kind](size).equals(source.subarray(at, at + size))).toBe(true);
          else if (kind === 'u8') expect(reader.u8()).toBe(source[at]);
          else if (kind === 'u64') expect(reader.u64()).toBe(source.readBigUInt64LE(at));
          else reader.skip(size);
          at += size;
          expect(reader.offset).toBe(at);
          expect(reader.remaining).toBe(source.length - at);
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('JSON', () => {
  const mixed = fc
    .array(
      fc.oneof(
        bytes(4),
        fc.string({ unit: 'binary' }).map((one) => Buffer.from(one)),
      ),
    )
    .map((parts) => Buffer.concat(parts));

  it('loses no byte, is legal, and leaves text as it is', () => {
    fc.assert(
      fc.property(mixed, (value) => {
        const line = jsonString(value);
        expect(/^[\x20-\ud7ff\ud800-\udbff\udc00-\udfff\ue000-\uffff]*$/.test(line)).toBe(true);
        expect(jsonTextBytes(JSON.parse(line) as string).equals(value)).toBe(true);
        // No lone surrogate reaches the UTF-8 encoder.
        expect(Buffer.from(line).toString()).toBe(line);
      }),
    );
    expect(jsonString(Buffer.from('grün "x"\n€😀'))).toBe('"grün \\"x\\"\\n€😀"');
    expect(jsonString(Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80]))).toBe(
      '"a\\udcff\\udcc3(\\udced\\udca0\\udc80"',
    );
  });

  it('is the same in pieces', () => {
    fc.assert(
      fc.property(mixed, fc.integer({ min: 4, max: 20 }), (value, size) => {
        const parts: string[] = [];
        forEachTextPiece(value, size, (piece) => parts.push(jsonText(piece)));
        expect(parts.join('')).toBe(jsonText(value));
      }),
    );
  });

  it('writes numbers exactly', () => {
    let out = '';
    const json = new JsonWriter((part) => (out += part));
    json.begin('[');
    for (const value of [2n ** 64n - 1n, 0.1, -0, 1e300, Infinity, -Infinity, NaN]) json.number(value);
    json.end(']');
    expect(out).toBe('[18446744073709551615,0.1,-0,1e+300,"inf","-inf","nan"]');
  });
});
