/**
 * Writes RDB files by hand: what no server at hand writes any more (old versions and encodings), does not write yet
 * (versions 11 and 12), or would never write (broken files). Small and literal; the test says what is in each byte.
 */
import { crc64 } from '../../src/persistence/format/crc64.js';

export type Bytes = Buffer | string;

const bytesOf = (value: Bytes): Buffer => (typeof value === 'string' ? Buffer.from(value, 'latin1') : value);

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

export function i64(value: bigint | number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
}

export function f64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

/** A length prefix in its shortest form. */
export function length(value: number | bigint): Buffer {
  const number = BigInt(value);
  if (number < 64n) return Buffer.of(Number(number));
  if (number < 16384n) return Buffer.of(0x40 | Number(number >> 8n), Number(number & 255n));
  const wide = Buffer.alloc(number < 1n << 32n ? 5 : 9);
  wide[0] = wide.length === 5 ? 0x80 : 0x81;
  if (wide.length === 5) wide.writeUInt32BE(Number(number), 1);
  else wide.writeBigUInt64BE(number, 1);
  return wide;
}

export const text = (value: Bytes): Buffer => Buffer.concat([length(bytesOf(value).length), bytesOf(value)]);

export const concat = (...parts: (Bytes | number)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.of(part) : bytesOf(part))));

/** A whole file. `checksum` 'none' writes eight zeros. */
export function rdbFile(version: number, records: readonly Buffer[], checksum: 'right' | 'none' = 'right'): Buffer {
  const body = concat(`REDIS${String(version).padStart(4, '0')}`, ...records, 0xff);
  if (version < 5) return body;
  const sum = Buffer.alloc(8);
  if (checksum === 'right') sum.writeBigUInt64LE(crc64(body));
  return Buffer.concat([body, sum]);
}

/** Gives a file whose bytes have been changed the right checksum again. */
export function resealed(file: Buffer): Buffer {
  const copy = Buffer.from(file);
  copy.writeBigUInt64LE(crc64(copy.subarray(0, -8)), copy.length - 8);
  return copy;
}

export const entry = (type: number, key: Bytes, ...value: (Bytes | number)[]): Buffer =>
  concat(type, text(key), ...value);

// ---- Packs ----

/** A ziplist; numbers are packed as integers of the least width. */
export function ziplist(...elements: (Bytes | number | bigint)[]): Buffer {
  const parts: Buffer[] = [];
  let previous = 0;
  for (const element of elements) {
    const head = previous < 254 ? Buffer.of(previous) : concat(0xfe, u32(previous));
    const body =
      typeof element === 'string' || Buffer.isBuffer(element) ? ziplistText(bytesOf(element)) : ziplistInteger(element);
    parts.push(Buffer.concat([head, body]));
    previous = head.length + body.length;
  }
  const size = 11 + parts.reduce((sum, part) => sum + part.length, 0);
  return concat(u32(size), u32(parts.length === 0 ? 10 : size - 1 - previous), u16(elements.length), ...parts, 0xff);
}

function ziplistText(value: Buffer): Buffer {
  if (value.length < 64) return concat(value.length, value);
  if (value.length < 16384) return concat(0x40 | (value.length >> 8), value.length & 255, value);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(value.length);
  return concat(0x80, size, value);
}

function ziplistInteger(value: number | bigint): Buffer {
  const number = BigInt(value);
  const wide = i64(number);
  const fits = (bits: number): boolean => BigInt.asIntN(bits, number) === number;
  if (number >= 0n && number <= 12n) return Buffer.of(0xf1 + Number(number));
  if (fits(8)) return concat(0xfe, wide.subarray(0, 1));
  if (fits(16)) return concat(0xc0, wide.subarray(0, 2));
  if (fits(24)) return concat(0xf0, wide.subarray(0, 3));
  return fits(32) ? concat(0xd0, wide.subarray(0, 4)) : concat(0xe0, wide);
}

/** A zipmap of names and values in turn; each value is followed by `free` unused bytes. */
export function zipmap(words: readonly Bytes[], free = 0): Buffer {
  const size = (value: Buffer): Buffer =>
    value.length < 254 ? Buffer.of(value.length) : concat(0xfe, u32(value.length));
  const parts = words.map((word, index) => {
    const bytes = bytesOf(word);
    return index % 2 === 0 ? concat(size(bytes), bytes) : concat(size(bytes), free, bytes, Buffer.alloc(free));
  });
  return concat(Math.min(words.length / 2, 254), ...parts, 0xff);
}

export function intset(width: 2 | 4 | 8, ...values: (number | bigint)[]): Buffer {
  return concat(u32(width), u32(values.length), ...values.map((value) => i64(value).subarray(0, width)));
}

/** A listpack; numbers are packed as integers. */
export function listpack(...elements: (Bytes | number | bigint)[]): Buffer {
  const parts = elements.map((element) => {
    const isText = typeof element === 'string' || Buffer.isBuffer(element);
    const body = isText ? listpackText(bytesOf(element)) : listpackInteger(BigInt(element));
    return concat(body, backwardSize(body.length));
  });
  const size = 7 + parts.reduce((sum, part) => sum + part.length, 0);
  return concat(u32(size), u16(elements.length), ...parts, 0xff);
}

function listpackText(value: Buffer): Buffer {
  if (value.length < 64) return concat(0x80 | value.length, value);
  if (value.length < 4096) return concat(0xe0 | (value.length >> 8), value.length & 255, value);
  return concat(0xf0, u32(value.length), value);
}

function listpackInteger(number: bigint): Buffer {
  const wide = i64(number);
  const fits = (bits: number): boolean => BigInt.asIntN(bits, number) === number;
  if (number >= 0n && number < 128n) return Buffer.of(Number(number));
  if (fits(13)) {
    const low = Number(BigInt.asUintN(13, number));
    return Buffer.of(0xc0 | (low >> 8), low & 255);
  }
  if (fits(16)) return concat(0xf1, wide.subarray(0, 2));
  if (fits(24)) return concat(0xf2, wide.subarray(0, 3));
  return fits(32) ? concat(0xf3, wide.subarray(0, 4)) : concat(0xf4, wide);
}

function backwardSize(size: number): Buffer {
  const groups = size <= 127 ? 1 : size < 16383 ? 2 : size < 2097151 ? 3 : size < 268435455 ? 4 : 5;
  const bytes: number[] = [];
  for (let group = groups - 1; group >= 0; group--) {
    const bits = Math.floor(size / 128 ** group) % 128;
    bytes.push(group === groups - 1 ? bits : bits | 128);
  }
  return Buffer.from(bytes);
}

/** A stream id in sixteen bytes. */
export function rawId(ms: number, sequence: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64BE(BigInt(ms), 0);
  bytes.writeBigUInt64BE(BigInt(sequence), 8);
  return bytes;
}
