/**
 * The packed forms of old versions: ziplists, zipmaps, and intsets (which are still in use).
 *
 *   ziplist   u32 size | u32 offset of the last entry | u16 count (0xFFFF unknown) | entry … | 0xFF
 *     entry   previous entry's size (u8, or 0xFE and u32) | encoding | data
 *             00xxxxxx  01xxxxxx u8  10…… u32 (big endian)   string sizes
 *             0xC0 i16  0xD0 i32  0xE0 i64  0xF0 i24  0xFE i8  0xF1 … 0xFD: 0 … 12
 *   zipmap    u8 count (254 and more: unknown) | (size key size free value free-bytes) … | 0xFF, size as u8 or 0xFE u32
 *   intset    u32 2, 4 or 8 | u32 count | signed integers of that many bytes, ascending
 *
 * All little endian but where said. Each function visits what it reads and throws PackError at the first thing that
 * Redis's deep check would refuse; what was visited before is then not to be used.
 */
import { PackError } from './format-error.js';
import { integerBytes } from './text-numbers.js';

const END = 0xff;
const LONG = 0xfe;
const ZIPLIST_HEADER_BYTES = 10;
const COUNT_UNKNOWN = 0xffff;

/** A cursor that never leaves its bytes. */
class PackCursor {
  at = 0;

  constructor(readonly pack: Buffer) {}

  take(size: number): number {
    const at = this.at;
    if (size > this.pack.length - at) throw new PackError('pack ends too early');
    this.at += size;
    return at;
  }

  u8(): number {
    return this.pack[this.take(1)] as number;
  }

  bytes(size: number): Buffer {
    const at = this.take(size);
    return this.pack.subarray(at, at + size);
  }
}

function ziplistInteger(cursor: PackCursor, encoding: number): number | bigint {
  const { pack } = cursor;
  switch (encoding) {
    case 0xc0:
      return pack.readInt16LE(cursor.take(2));
    case 0xd0:
      return pack.readInt32LE(cursor.take(4));
    case 0xe0:
      return pack.readBigInt64LE(cursor.take(8));
    case 0xf0:
      return pack.readIntLE(cursor.take(3), 3);
    case 0xfe:
      return pack.readInt8(cursor.take(1));
  }
  if (encoding < 0xf1 || encoding > 0xfd) throw new PackError('ziplist encoding');
  return (encoding & 0x0f) - 1;
}

function ziplistValue(cursor: PackCursor): Buffer {
  const encoding = cursor.u8();
  if (encoding >= 0xc0) return integerBytes(ziplistInteger(cursor, encoding));
  if (encoding < 0x40) return cursor.bytes(encoding);
  if (encoding < 0x80) return cursor.bytes(((encoding & 0x3f) << 8) | cursor.u8());
  return cursor.bytes(cursor.pack.readUInt32BE(cursor.take(4)));
}

/** Calls `visit` with every element of a ziplist. */
export function forEachInZiplist(pack: Buffer, visit: (element: Buffer) => void): void {
  if (pack.length <= ZIPLIST_HEADER_BYTES || pack.readUInt32LE(0) !== pack.length) throw new PackError('ziplist size');
  const tail = pack.readUInt32LE(4);
  const count = pack.readUInt16LE(8);
  const cursor = new PackCursor(pack);
  cursor.at = ZIPLIST_HEADER_BYTES;
  let last = cursor.at;
  let previousSize = 0;
  let seen = 0;
  for (;;) {
    const start = cursor.at;
    const head = cursor.u8();
    if (head === END) break;
    const stated = head === LONG ? pack.readUInt32LE(cursor.take(4)) : head;
    if (stated !== previousSize) throw new PackError('ziplist previous size');
    visit(ziplistValue(cursor));
    previousSize = cursor.at - start;
    last = start;
    seen++;
  }
  const isCounted = count === COUNT_UNKNOWN || count === seen;
  if (cursor.at !== pack.length || tail !== last || !isCounted) throw new PackError('ziplist end');
}

/** Calls `visit` with every field of a zipmap and its value. */
export function forEachInZipmap(pack: Buffer, visit: (name: Buffer, value: Buffer) => void): void {
  const cursor = new PackCursor(pack);
  const count = cursor.u8();
  const size = (head: number): number => (head === LONG ? pack.readUInt32LE(cursor.take(4)) : head);
  let seen = 0;
  for (;;) {
    const head = cursor.u8();
    if (head === END) break;
    const name = cursor.bytes(size(head));
    const valueHead = cursor.u8();
    if (valueHead === END) throw new PackError('zipmap field without value');
    const valueSize = size(valueHead);
    const free = cursor.u8();
    visit(name, cursor.bytes(valueSize));
    cursor.take(free);
    seen++;
  }
  if (cursor.at !== pack.length || (count < LONG && count !== seen)) throw new PackError('zipmap end');
}

/** Calls `visit` with every integer of an intset. */
export function forEachInIntset(pack: Buffer, visit: (value: number | bigint) => void): void {
  if (pack.length < 8) throw new PackError('intset size');
  const width = pack.readUInt32LE(0);
  const count = pack.readUInt32LE(4);
  if (width !== 2 && width !== 4 && width !== 8) throw new PackError('intset encoding');
  if (count === 0 || pack.length !== 8 + count * width) throw new PackError('intset size');
  let previous: number | bigint | undefined;
  for (let at = 8; at < pack.length; at += width) {
    const value = width === 8 ? pack.readBigInt64LE(at) : pack.readIntLE(at, width);
    if (previous !== undefined && value <= previous) throw new PackError('intset order');
    previous = value;
    visit(value);
  }
}
