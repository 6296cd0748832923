/**
 * RdbInput: the primitives of the RDB format over a ByteReader.
 *
 *   00xxxxxx                      6-bit length            1000 0000 u32   32-bit length (big endian)
 *   01xxxxxx xxxxxxxx             14-bit length           1000 0001 u64   64-bit length (big endian)
 *   11000000 i8 | 11000001 i16 | 11000010 i32             a string that is an integer (little endian)
 *   11000011 packed length, length, LZF bytes             a compressed string
 *
 * Nothing is believed: a string must lie within the file before memory is asked for, a compressed one must make what
 * it claims. A count is only a bound for a loop: each turn takes at least a byte, so the end of the file ends it.
 */
import { constants } from 'node:buffer';
import { ByteReader } from './byte-reader.js';
import { PackError } from './format-error.js';
import { lzfUnpack } from './lzf.js';
import { integerBytes, parseDouble } from './text-numbers.js';

const FORM_LZF = 3;
const LENGTH_32 = 0x80;
const LENGTH_64 = 0x81;

export class RdbInput extends ByteReader {
  /** Whether the last string was stored as an integer. */
  wasInteger = false;
  /** Set by `prefix`: the number is not a length but the form of a string. */
  private isForm = false;

  /** A length. Above 2^53 it is not exact, which no loop can come to see. */
  length(): number {
    const length = this.prefix();
    if (this.isForm) this.corrupt('a string stands where a length must be');
    return length;
  }

  /** A number that is stored as a length, such as half of a stream id: exact. */
  lengthBig(): bigint {
    const head = this.u8();
    if (head === LENGTH_64) return this.bigEndian64();
    return BigInt(this.lengthBehind(head));
  }

  string(): Buffer {
    this.wasInteger = false;
    const length = this.prefix();
    return this.isForm ? this.formedString(length) : this.bytes(length);
  }

  /** Steps over a string without looking into it. */
  skipString(): void {
    const length = this.prefix();
    if (!this.isForm) return this.skip(length);
    if (length !== FORM_LZF) return void this.integer(length);
    const packedLength = this.length();
    this.length();
    this.skip(packedLength);
  }

  /** A double as text, as before version 8. */
  textDouble(): number {
    const size = this.u8();
    if (size === 255) return -Infinity;
    if (size === 254) return Infinity;
    if (size === 253) return NaN;
    const value = parseDouble(this.bytes(size));
    return value ?? this.corrupt('Zset score is not a number');
  }

  skipTextDouble(): void {
    const size = this.u8();
    if (size < 253) this.skip(size);
  }

  /** Runs `read` over the bytes of one string; what is wrong within becomes an error of the file. */
  within<Result>(reason: string, read: () => Result): Result {
    try {
      return read();
    } catch (error) {
      if (error instanceof PackError) this.corrupt(reason);
      throw error;
    }
  }

  private prefix(): number {
    const head = this.u8();
    this.isForm = head >= 0xc0;
    return this.isForm ? head & 0x3f : this.lengthBehind(head);
  }

  private lengthBehind(head: number): number {
    if (head < 0x40) return head;
    if (head < 0x80) return ((head & 0x3f) << 8) | this.u8();
    if (head === LENGTH_32) return this.bigEndian32();
    if (head === LENGTH_64) return Number(this.bigEndian64());
    if (head >= 0xc0) return this.corrupt('a string stands where a length must be');
    // Redis shows the two top bits only.
    return this.corrupt(`Unknown length encoding ${head >> 6} in rdbLoadLen()`);
  }

  private formedString(form: number): Buffer {
    if (form !== FORM_LZF) {
      this.wasInteger = true;
      return integerBytes(this.integer(form));
    }
    const packedLength = this.length();
    const length = this.length();
    const packed = this.view(packedLength);
    if (length === 0 || length > constants.MAX_LENGTH) this.corrupt('Invalid LZF compressed string');
    return this.within('Invalid LZF compressed string', () => lzfUnpack(packed, length));
  }

  private integer(form: number): number {
    if (form === 0) return (this.u8() << 24) >> 24;
    if (form === 1) return (this.u16() << 16) >> 16;
    if (form === 2) return this.u32() | 0;
    return this.corrupt(`Unknown RDB string encoding type ${form}`);
  }
}
