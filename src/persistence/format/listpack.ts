/**
 * Listpacks, read element by element and checked on the way.
 *
 *   u32 size | u16 count (0xFFFF unknown) | element … | 0xFF            little endian
 *   element = encoding, data, size of both backwards (1 to 5 bytes)
 *
 *   0xxxxxxx                 integer 0 … 127          1111 0000 u32   string up to 4 GB
 *   10xxxxxx                 string up to 63 bytes    1111 0001 i16   1111 0010 i24
 *   110xxxxx xxxxxxxx        13-bit signed integer    1111 0011 i32   1111 0100 i64
 *   1110xxxx xxxxxxxx        string up to 4095 bytes
 *
 * A cursor never reads outside its bytes. Whoever walks to the end (`finish`) has checked everything that Redis's
 * deep check does: size, count, each element's backward size, the end mark.
 */
import { PackError } from './format-error.js';
import { integerBytes } from './text-numbers.js';

const HEADER_BYTES = 6;
const END = 0xff;
const COUNT_UNKNOWN = 0xffff;

/** Bytes that the backward size of an element of so many bytes takes. The bounds are Redis's (one less than fits). */
function backwardBytes(size: number): number {
  if (size <= 127) return 1;
  if (size < 16383) return 2;
  if (size < 2097151) return 3;
  return size < 268435455 ? 4 : 5;
}

export class ListpackCursor {
  /** Value of the element that `next` has read, if it is an integer. */
  integer: number | bigint = 0;
  /** Its bytes, if it is a string. */
  text: Buffer | undefined;

  private at = HEADER_BYTES;
  private seen = 0;

  constructor(private readonly pack: Buffer) {
    if (pack.length < HEADER_BYTES + 1 || pack.readUInt32LE(0) !== pack.length) throw new PackError('listpack size');
  }

  /** Number of elements read so far. */
  get index(): number {
    return this.seen;
  }

  /** Reads the next element; false at the end mark. */
  next(): boolean {
    const head = this.pack[this.at];
    if (head === undefined) throw new PackError('listpack without end');
    if (head === END) return false;
    const start = this.at;
    this.decode(head);
    const size = this.at - start;
    let stated = 0;
    const count = backwardBytes(size);
    // The last byte holds the lowest seven bits; all bytes but the first say that one more is to their left.
    for (let index = 0; index < count; index++) {
      const byte = this.byte();
      if (byte >= 0x80 !== index > 0) throw new PackError('listpack element size');
      stated = stated * 128 + (byte & 127);
    }
    if (stated !== size) throw new PackError('listpack element size');
    this.seen++;
    return true;
  }

  /** To be called after the last element: the end mark must be the last byte, and the count right. */
  finish(): void {
    const count = this.pack.readUInt16LE(4);
    const isAtEnd = this.at === this.pack.length - 1 && this.pack[this.at] === END;
    if (!isAtEnd || (count !== COUNT_UNKNOWN && count !== this.seen)) throw new PackError('listpack end');
  }

  /** The element as Redis shows it. */
  get bytes(): Buffer {
    return this.text ?? integerBytes(this.integer);
  }

  private decode(head: number): void {
    this.at++;
    this.text = undefined;
    if (head < 0x80) this.integer = head;
    else if (head < 0xc0) this.string(head & 0x3f);
    else if (head < 0xe0) this.integer = ((((head & 0x1f) << 8) | this.byte()) << 19) >> 19;
    else if (head < 0xf0) this.string(((head & 0x0f) << 8) | this.byte());
    else this.decodeLong(head);
  }

  private decodeLong(head: number): void {
    switch (head) {
      case 0xf0:
        return this.string(this.pack.readUInt32LE(this.take(4)));
      case 0xf1:
        this.integer = this.pack.readInt16LE(this.take(2));
        return;
      case 0xf2:
        this.integer = this.pack.readIntLE(this.take(3), 3);
        return;
      case 0xf3:
        this.integer = this.pack.readInt32LE(this.take(4));
        return;
      case 0xf4: {
        const value = this.pack.readBigInt64LE(this.take(8));
        this.integer = BigInt(Number(value)) === value && Number.isSafeInteger(Number(value)) ? Number(value) : value;
        return;
      }
      default:
        throw new PackError('listpack encoding');
    }
  }

  private string(size: number): void {
    const at = this.take(size);
    this.text = this.pack.subarray(at, at + size);
  }

  private byte(): number {
    return this.pack[this.take(1)] as number;
  }

  /** Place of the next `size` bytes, which must end before the pack does. */
  private take(size: number): number {
    const at = this.at;
    if (size > this.pack.length - at) throw new PackError('listpack element');
    this.at += size;
    return at;
  }
}

/** Calls `visit` with every element. Throws PackError before or after, for a pack that is not sound. */
export function forEachInListpack(pack: Buffer, visit: (element: Buffer) => void): void {
  const cursor = new ListpackCursor(pack);
  while (cursor.next()) visit(cursor.bytes);
  cursor.finish();
}
