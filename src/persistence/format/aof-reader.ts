/**
 * Streaming reader of one AOF file: commands, lines that start with '#', and exactly what is wrong where.
 *
 *     [RDB preamble] { "#" annotation "\n" | "*" count CRLF { "$" length CRLF bytes CRLF } }
 *
 * There are two judges of such a file, and they differ. redis-check-aof (`judge: 'checker'`) takes "*0", and an
 * annotation without an end, be it cut off by the end of the file or too long; the server at load (`judge: 'server'`)
 * takes neither: a cut annotation would swallow the first command written behind it. Everything else is as
 * redis-check-aof has it, which is stricter than Redis's own load (that one skips the CRLF behind an argument without
 * a look): what passes here loads.
 *
 * The end of a file is where a crash leaves its mark, so a failure says whether it is one (`isTorn`: the end of the
 * file came too early, and the rest may be cut off at `lastGoodOffset`) or damage in the middle. Checksum lines
 * (aof-checksum.ts) sharpen that: one that stands behind the failure proves that the file was whole up to there once,
 * so it is damage, however much it looks like a cut; and zeros up to the end, behind a line that holds, are pages
 * that a power loss left unwritten.
 *
 * Invariants:
 * 1. Memory is bounded by WINDOW_BYTES plus the arguments kept (`keptBytesMax` per command), whatever lengths the file
 *    claims.
 * 2. lastGoodOffset stands outside of any MULTI … EXEC, and cutting the file there gives one that has no failure.
 *    It follows the commands; only when a checksum line tells of damage it goes back to the last line that holds.
 * 3. Every byte from `start` on is read once and, with `verifyChecksums`, summed once.
 *
 * One reader per thread; synchronous (see byte-source.ts).
 */
import { assert } from '../../util/assert.js';
import {
  CHECKSUM_LINE_BYTES,
  isChecksumLine,
  locateChecksumLine,
  RunningCrc64,
  verifyChecksumLine,
} from './aof-checksum.js';
import type { ByteSource } from './byte-source.js';

/** Redis reads annotations with a buffer of 1024 bytes; what is longer goes on as if it were the next line. */
export const ANNOTATION_BYTES_MAX = 1023;
/** redis-check-aof reads counts and lengths with a buffer of 128 bytes. */
const NUMBER_LINE_BYTES_MAX = 127;
const WINDOW_BYTES = 256 * 1024;
/** One more than "multi" has, so that a longer name is not taken for it. */
const NAME_BYTES_KEPT = 6;
/** What an argument costs beside its bytes; bounds how many empty ones are kept. */
const ARGUMENT_OVERHEAD_BYTES = 16;
const OPEN_MULTI = 'Reached EOF before reading EXEC for MULTI';
const LONG_MAX = (1n << 63n) - 1n;
const [HASH, STAR, DOLLAR, CR, LF] = [0x23, 0x2a, 0x24, 0x0d, 0x0a];

/** A command, or the part of it that was to be kept. */
export interface AofCommand {
  kind: 'command';
  offset: number;
  /** Offset behind its last CRLF. */
  end: number;
  /** What the count says; may be 0 or less for the checker. */
  argCount: number;
  /** The arguments from the front, as far as keptBytesMax allows; copies. */
  args: Buffer[];
  /** True when `args` has them all, in full. */
  isWhole: boolean;
  /** Where the command stands in a transaction. */
  place: 'alone' | 'multi' | 'inside' | 'exec';
}

/** A line that starts with '#'. */
export interface AofAnnotation {
  kind: 'annotation';
  offset: number;
  end: number;
  /** The bytes of the line with its line end, as Latin-1. */
  text: string;
  /** For a checksum line, whether it holds; absent for other lines and without verifyChecksums. */
  holds?: boolean;
}

/** Something that stands in an AOF. */
export type AofItem = AofCommand | AofAnnotation;

/** What can be wrong. `end` is the end of the file where a line should begin. */
export type AofFailureCode =
  | 'format'
  | 'prefix'
  | 'newline'
  | 'range'
  | 'short'
  | 'end'
  | 'count'
  | 'cut-annotation'
  | 'nested-multi'
  | 'lone-exec'
  | 'open-multi'
  | 'checksum';

/** Why a file is not good beyond lastGoodOffset. */
export interface AofFailure {
  code: AofFailureCode;
  /** Where; for redis-check-aof the offset in its message. */
  offset: number;
  /** What redis-check-aof says behind the offset; empty when it says nothing. `%f` stands for the file's name. */
  text: string;
  /** True when the file only ends too early, as after a crash: cut at lastGoodOffset, it is whole. */
  isTorn: boolean;
}

/** How to read; everything may be left out. */
export interface AofReaderOptions {
  /** Offset of the first command: the end of the RDB preamble. */
  start?: number;
  judge?: 'checker' | 'server';
  /** How many bytes of arguments a command gives; 0 keeps only what MULTI and EXEC need. */
  keptBytesMax?: number;
  /** Verify our checksum lines; a line that does not hold is a failure. */
  verifyChecksums?: boolean;
}

/** What the checksum lines have told so far. */
export interface ChecksumState {
  /** Lines that held. */
  lineCount: number;
  /** Everything from the start up to here is covered by lines that hold. */
  verifiedUpTo: number;
}

/** Reads one file from front to end. */
export class AofReader {
  /** Why `next` ended, if not with the file. */
  failure: AofFailure | undefined;
  /** Everything in front of it is good, transactions whole. */
  lastGoodOffset: number;
  /** Lines read, as redis-check-aof counts them (annotations are not lines to it). */
  lineCount = 0;
  readonly checksums: ChecksumState;

  readonly #source: ByteSource;
  readonly #judge: 'checker' | 'server';
  readonly #keptBytesMax: number;
  readonly #crc: RunningCrc64 | undefined;
  readonly #window: Buffer;
  /** Offset in the file of the window's first byte, bytes in it, and the next byte to read in it. */
  #windowOffset: number;
  #filled = 0;
  #at = 0;
  /** Index in the window up to which the checksum has taken bytes in. */
  #summed = 0;
  #isInMulti = false;
  /** Last place outside of transactions that a checksum line vouches for. */
  #verifiedGoodOffset: number;
  /** Offset that a message about the last thing read names. */
  #namedOffset = 0;

  constructor(source: ByteSource, options: AofReaderOptions = {}) {
    const start = options.start ?? 0;
    this.#source = source;
    this.#judge = options.judge ?? 'server';
    this.#keptBytesMax = options.keptBytesMax ?? 64 * 1024;
    this.#crc = options.verifyChecksums === true ? new RunningCrc64() : undefined;
    this.#window = Buffer.alloc(Math.min(WINDOW_BYTES, Math.max(2048, source.size)));
    this.#windowOffset = start;
    this.lastGoodOffset = start;
    this.#verifiedGoodOffset = start;
    this.checksums = { lineCount: 0, verifiedUpTo: start };
  }

  /** Offset of the next byte. */
  get offset(): number {
    return this.#windowOffset + this.#at;
  }

  /** The sum of everything read, when checksums are verified: what a writer that appends goes on from. */
  get crcHex(): string | undefined {
    this.#sumUpTo(this.#at);
    return this.#crc?.hex;
  }

  /** True between a MULTI and its EXEC. */
  get isInMulti(): boolean {
    return this.#isInMulti;
  }

  /** The next item, or undefined at the end or at a failure. */
  next(): AofItem | undefined {
    if (this.failure !== undefined) return undefined;
    if (this.#need(1) === 0) {
      if (this.#isInMulti) this.#fail('open-multi', OPEN_MULTI, true);
      return undefined;
    }
    const first = this.#window[this.#at];
    if (first === HASH) return this.#annotation();
    if (first === STAR) return this.#command();
    this.#namedOffset = this.offset;
    this.#fail('format', '', false);
    return undefined;
  }

  // ---- Items ----

  #annotation(): AofAnnotation | undefined {
    const offset = this.offset;
    this.#namedOffset = offset;
    const available = Math.min(this.#need(ANNOTATION_BYTES_MAX), ANNOTATION_BYTES_MAX);
    const view = this.#window.subarray(this.#at, this.#at + available);
    const newline = view.indexOf(LF);
    if (newline === -1 && this.#judge === 'server') {
      this.#fail('cut-annotation', 'Expected an annotation to end', available < ANNOTATION_BYTES_MAX);
      return undefined;
    }
    const line = newline === -1 ? view : view.subarray(0, newline + 1);
    const text = line.toString('latin1');
    const item: AofAnnotation = { kind: 'annotation', offset, end: offset + line.length, text };
    if (this.#crc !== undefined && isChecksumLine(line)) {
      item.holds = this.#verify(this.#crc, line, offset);
      if (!item.holds) {
        const from = `0x${this.checksums.verifiedUpTo.toString(16)}`;
        this.#fail('checksum', `The bytes from ${from} on do not match their checksum line`, false);
        return undefined;
      }
    }
    this.#at += line.length;
    if (!this.#isInMulti) this.lastGoodOffset = this.offset;
    return item;
  }

  #verify(crc: RunningCrc64, line: Uint8Array, offset: number): boolean {
    this.#sumUpTo(this.#at);
    const holds = verifyChecksumLine(crc, line, offset);
    this.#summed = this.#at + line.length;
    if (holds) {
      this.checksums.lineCount++;
      this.checksums.verifiedUpTo = offset + CHECKSUM_LINE_BYTES;
      if (!this.#isInMulti) this.#verifiedGoodOffset = this.checksums.verifiedUpTo;
    }
    return holds;
  }

  #command(): AofCommand | undefined {
    const offset = this.offset;
    const count = this.#number(STAR);
    if (count === undefined) return undefined;
    if (count < 1n && this.#judge === 'server') {
      this.#fail('count', `Expected one argument at least, got ${count}`, false);
      return undefined;
    }
    const command: AofCommand = {
      kind: 'command',
      offset,
      end: offset,
      argCount: Number(count),
      args: [],
      isWhole: true,
      place: this.#isInMulti ? 'inside' : 'alone',
    };
    let keptBytes = 0;
    for (let index = 0n; index < count; index++) {
      const leftBytes = this.#keptBytesMax - keptBytes;
      const arg = this.#argument(index === 0n ? Math.max(leftBytes, NAME_BYTES_KEPT) : leftBytes);
      if (arg === undefined) return undefined;
      if (index === 0n && !this.#transaction(arg.bytes, command)) return undefined;
      keptBytes += arg.bytes.length + ARGUMENT_OVERHEAD_BYTES;
      command.isWhole &&= arg.isWhole;
      if (command.isWhole) command.args.push(arg.bytes);
    }
    command.end = this.offset;
    if (!this.#isInMulti) this.lastGoodOffset = command.end;
    return command;
  }

  /** Opens and closes transactions by a command's name, which to redis-check-aof ends at a NUL. */
  #transaction(name: Buffer, command: AofCommand): boolean {
    if (name.length < 4) return true;
    const nul = name.indexOf(0);
    const text = name.toString('latin1', 0, nul === -1 ? name.length : nul).toLowerCase();
    if (text === 'multi') {
      if (this.#isInMulti) return this.#fail('nested-multi', 'Unexpected MULTI in AOF %f', false);
      this.#isInMulti = true;
      command.place = 'multi';
    } else if (text === 'exec') {
      if (!this.#isInMulti) return this.#fail('lone-exec', 'Unexpected EXEC in AOF %f', false);
      this.#isInMulti = false;
      command.place = 'exec';
    }
    return true;
  }

  // ---- Parts of a command ----

  /** A line "<prefix><number>CRLF", read as strtol reads: white space and a sign are fine, what is too big is cut. */
  #number(prefix: number): bigint | undefined {
    this.#namedOffset = this.offset;
    const available = Math.min(this.#need(NUMBER_LINE_BYTES_MAX), NUMBER_LINE_BYTES_MAX);
    if (available === 0) {
      this.#fail('end', this.#isInMulti ? OPEN_MULTI : '', true);
      return undefined;
    }
    const view = this.#window.subarray(this.#at, this.#at + available);
    const newline = view.indexOf(LF);
    const line = newline === -1 ? view : view.subarray(0, newline + 1);
    const got = line[0] as number;
    if (got !== prefix) {
      const [expected, actual] = [String.fromCharCode(prefix), String.fromCharCode(got)];
      this.#fail('prefix', `Expected prefix '${expected}', got: '${actual}'`, false);
      return undefined;
    }
    const digits = /^[ \t\n\v\f\r]*[+-]?[0-9]+/.exec(line.toString('latin1', 1))?.[0] ?? '';
    const stop = 1 + digits.length;
    if (line[stop] !== CR || line[stop + 1] !== LF) {
      // A number that the file's end cuts off is no damage.
      const isCut = newline === -1 && this.offset + line.length === this.#source.size && /^\r?$/.test(rest(line, stop));
      // Behind the line redis-check-aof sees a zero, and behind that whatever its stack held; that is zero here.
      this.#fail('newline', `Expected \\r\\n, got: ${hexOf(line[stop])}${hexOf(line[stop + 1])}`, isCut);
      return undefined;
    }
    this.#at += line.length;
    this.lineCount++;
    return clampToLong(BigInt(digits.trim().replace(/^\+/, '') || 0));
  }

  /** One argument; up to `keepBytesMax` bytes of it are copied, the rest is passed over in pieces. */
  #argument(keepBytesMax: number): { bytes: Buffer; isWhole: boolean } | undefined {
    const length = this.#number(DOLLAR);
    if (length === undefined) return undefined;
    if (length < 0n || length > LONG_MAX - 2n) {
      const text = `Expected to read string of ${length} bytes, which is not in the suitable range`;
      this.#fail('range', text, false);
      return undefined;
    }
    this.#namedOffset = this.offset;
    const left = this.#source.size - this.offset;
    if (length + 2n > BigInt(left)) {
      this.#fail('short', `Expected to read ${length + 2n} bytes, got ${left} bytes`, true);
      return undefined;
    }
    const size = Number(length);
    const kept = Buffer.allocUnsafe(Math.min(size, Math.max(0, keepBytesMax)));
    let done = 0;
    while (done < size) {
      const available = Math.min(this.#need(1), size - done);
      if (available === 0) return this.#shrunk();
      if (done < kept.length) this.#window.copy(kept, done, this.#at, this.#at + available);
      this.#at += available;
      done += available;
    }
    if (this.#need(2) < 2) return this.#shrunk();
    if (this.#window[this.#at] !== CR || this.#window[this.#at + 1] !== LF) {
      const got = hexOf(this.#window[this.#at]) + hexOf(this.#window[this.#at + 1]);
      this.#fail('newline', `Expected \\r\\n, got: ${got}`, false);
      return undefined;
    }
    this.#at += 2;
    this.lineCount++;
    return { bytes: kept, isWhole: kept.length === size };
  }

  /** The file has become shorter than it was at the start. */
  #shrunk(): undefined {
    this.#fail('short', 'The file ends before its size', false);
    return undefined;
  }

  // ---- Bytes ----

  /** Bytes at hand from #at on, after trying to have `wanted`; fewer only at the end of the file. */
  #need(wanted: number): number {
    if (this.#filled - this.#at >= wanted) return this.#filled - this.#at;
    this.#sumUpTo(this.#at);
    this.#window.copyWithin(0, this.#at, this.#filled);
    this.#windowOffset += this.#at;
    this.#filled -= this.#at;
    this.#at = 0;
    this.#summed = 0;
    this.#filled += this.#source.readAt(this.#windowOffset + this.#filled, this.#window.subarray(this.#filled));
    return this.#filled;
  }

  #sumUpTo(index: number): void {
    if (index <= this.#summed) return;
    this.#crc?.update(this.#window, this.#summed, index);
    this.#summed = index;
  }

  /** Gives false, for callers that answer with it. */
  #fail(code: AofFailureCode, text: string, isTorn: boolean): false {
    assert(this.failure === undefined, 'a reader fails once');
    const verdict = this.#crc === undefined ? isTorn : this.#judgeByChecksums(code, isTorn);
    this.failure = { code, offset: this.#namedOffset, text, isTorn: verdict };
    return false;
  }

  /** Whether it is a torn end, when checksum lines can be asked; goes back to what they vouch for if it is not. */
  #judgeByChecksums(code: AofFailureCode, isTorn: boolean): boolean {
    const isWrittenOn =
      code === 'checksum' || locateChecksumLine(this.#source, this.checksums.verifiedUpTo) !== undefined;
    if (isWrittenOn) {
      this.lastGoodOffset = this.#verifiedGoodOffset;
      return false;
    }
    return isTorn || (this.checksums.lineCount > 0 && this.#endsInZeros());
  }

  /** True when the line that failed runs into zeros that go on to the end of the file. */
  #endsInZeros(): boolean {
    const zeros = startOfZeros(this.#source, this.lastGoodOffset);
    return zeros < this.#source.size && zeros <= this.offset + NUMBER_LINE_BYTES_MAX;
  }
}

/** A byte as C prints a char with %02x: signed, so that 0x85 becomes ffffff85. */
function hexOf(byte = 0): string {
  return (byte < 0x80 ? byte : byte + 0xffffff00).toString(16).padStart(2, '0');
}

const rest = (line: Buffer, from: number): string => line.toString('latin1', from);

function clampToLong(value: bigint): bigint {
  if (value > LONG_MAX) return LONG_MAX;
  return value < -LONG_MAX - 1n ? -LONG_MAX - 1n : value;
}

/** Where the zeros begin that reach to the end of the file; its size when it does not end in zeros. */
function startOfZeros(source: ByteSource, from: number): number {
  const piece = Buffer.alloc(64 * 1024);
  let start = from;
  for (let position = from; position < source.size; ) {
    const count = source.readAt(position, piece);
    if (count === 0) break;
    const last = piece.subarray(0, count).findLastIndex((byte) => byte !== 0);
    if (last !== -1) start = position + last + 1;
    position += count;
  }
  return start;
}
