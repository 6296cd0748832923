/**
 * ByteReader: a cursor over a ByteSource of any size through a window of fixed size.
 *
 *   file    ------------[window.............]---------------
 *                        ^start   ^position ^filled          `offset` = start + position
 *
 * Invariants:
 * 1. A read that cannot be satisfied moves nothing and throws a FormatError with `isTruncated`: `offset` stays behind
 *    the last thing that was read whole.
 * 2. Memory is asked for only after the source has been seen to hold that many bytes.
 * 3. What `bytes` gives is the caller's; what `view` gives is gone with the next read.
 *
 * `shortRead`, when set, is the reason of the error instead of "Unexpected EOF": formats name some ends of file.
 */
import { constants } from 'node:buffer';
import type { ByteSource } from './byte-source.js';
import { FormatError } from './format-error.js';

const WINDOW_BYTES = 256 * 1024;

export class ByteReader {
  /** Reason of the next short reads; undefined for the common one. */
  shortRead: string | undefined;

  private readonly window: Buffer;
  private readonly dataView: DataView;
  /** Offset in the source of the window's first byte. */
  private start: number;
  private position = 0;
  private filled = 0;
  private readonly end: number;

  constructor(
    private readonly source: ByteSource,
    begin = 0,
    end = source.size,
  ) {
    this.start = begin;
    this.end = Math.min(end, source.size);
    this.window = Buffer.alloc(Math.max(8, Math.min(WINDOW_BYTES, this.end - begin)));
    this.dataView = new DataView(this.window.buffer, this.window.byteOffset, this.window.length);
  }

  /** Offset in the source of the next byte. */
  get offset(): number {
    return this.start + this.position;
  }

  get remaining(): number {
    return this.end - this.offset;
  }

  u8(): number {
    if (this.position >= this.filled) this.need(1);
    return this.window[this.position++] as number;
  }

  u16(): number {
    return this.dataView.getUint16(this.advance(2), true);
  }

  u32(): number {
    return this.dataView.getUint32(this.advance(4), true);
  }

  u64(): bigint {
    return this.dataView.getBigUint64(this.advance(8), true);
  }

  i64(): bigint {
    return this.dataView.getBigInt64(this.advance(8), true);
  }

  f32(): number {
    return this.dataView.getFloat32(this.advance(4), true);
  }

  f64(): number {
    return this.dataView.getFloat64(this.advance(8), true);
  }

  bigEndian32(): number {
    return this.dataView.getUint32(this.advance(4), false);
  }

  bigEndian64(): bigint {
    return this.dataView.getBigUint64(this.advance(8), false);
  }

  /** The next `count` bytes, as the caller's own. */
  bytes(count: number): Buffer {
    if (count > WINDOW_BYTES) return this.large(count);
    const at = this.advance(count);
    const copy = Buffer.allocUnsafe(count);
    copy.set(this.window.subarray(at, at + count));
    return copy;
  }

  /** The next `count` bytes, until the next read. */
  view(count: number): Buffer {
    if (count > WINDOW_BYTES) return this.large(count);
    const at = this.advance(count);
    return this.window.subarray(at, at + count);
  }

  /** Steps over bytes, which are not even read. */
  skip(count: number): void {
    if (count <= this.filled - this.position) {
      this.position += count;
      return;
    }
    if (count > this.remaining) this.short();
    this.start = this.offset + count;
    this.position = this.filled = 0;
  }

  /** Throws: the bytes do not make sense. */
  corrupt(reason: string): never {
    throw new FormatError(reason, this.offset);
  }

  /** Throws: the bytes end too early, or claim to go on behind the end. */
  short(): never {
    if (this.shortRead !== undefined) throw new FormatError(this.shortRead, this.offset);
    throw new FormatError('Unexpected EOF', this.offset, true);
  }

  /** Makes `count` bytes (at most a window) available; gives their place in the window and steps behind them. */
  private advance(count: number): number {
    if (count > this.filled - this.position) this.need(count);
    const at = this.position;
    this.position += count;
    return at;
  }

  private need(count: number): void {
    if (count > this.remaining) this.short();
    this.window.copy(this.window, 0, this.position, this.filled);
    this.start += this.position;
    this.filled -= this.position;
    this.position = 0;
    const room = Math.min(this.window.length, this.end - this.start);
    this.filled += this.source.readAt(this.start + this.filled, this.window.subarray(this.filled, room));
    if (this.filled < count) this.short();
  }

  private large(count: number): Buffer {
    if (count > this.remaining) this.short();
    if (count > constants.MAX_LENGTH) this.corrupt(`a string of ${count} bytes is more than this program can hold`);
    const target = Buffer.allocUnsafe(count);
    if (this.source.readAt(this.offset, target) < count) this.short();
    this.skip(count);
    return target;
  }
}
