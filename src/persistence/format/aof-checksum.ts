/**
 * Checksum lines inside our AOF files: encoding, and the running CRC64 they carry.
 *
 * Redis skips every line of an AOF that starts with '#'. A line of ours says where it stands and what all bytes in
 * front of it sum up to:
 *
 *     #SHERD:00000000000a1f3c:9f3b6f2f5b0c4d11\r\n          42 bytes, always
 *     │      │                └ CRC64 (Jones, as in RDB files) of every byte from the start of the commands (0, or
 *     │      │                  the end of an RDB preamble) to the ':' in front of these digits, 16 lower-case hex
 *     │      └ offset of the '#' in the file, 16 lower-case hex
 *     └ nothing else of Redis starts so
 *
 * The CRC runs on over the line itself, so each line vouches for all lines before it: what is flipped, cut out,
 * inserted, repeated or reordered between two lines shows at the second. When a line does not match, a checker goes
 * on from what the line claims (`claim`), and so tells which blocks are damaged and which are whole.
 * docs/internals/aof.md has the rules for writers and for the load.
 *
 * Invariants:
 * 1. encode(running CRC, offset) and RunningCrc64.update over the same bytes agree: a line that has just been
 *    written verifies.
 *
 * Pure; any thread.
 */
import { assert } from '../../util/assert.js';
import type { ByteSource } from './byte-source.js';
import { crc64 } from './crc64.js';

/** Bytes of a whole line, with its CRLF. */
export const CHECKSUM_LINE_BYTES = 42;
const PREFIX = '#SHERD:';
/** Bytes of a line that its own CRC covers: all up to the last ':'. */
const COVERED_BYTES = 24;
const FORM = /^#SHERD:([0-9a-f]{16}):([0-9a-f]{16})\r\n$/;

/** CRC64 over a stream of bytes. */
export class RunningCrc64 {
  #crc = 0n;

  /** Takes in `bytes` from `start` up to `end`. */
  update(bytes: Uint8Array, start = 0, end = bytes.length): void {
    if (end > start) this.#crc = crc64(bytes.subarray(start, end), this.#crc);
  }

  /** The sum so far, 16 lower-case hex digits. */
  get hex(): string {
    return this.#crc.toString(16).padStart(16, '0');
  }

  /** Goes on from a sum that somebody claims, 16 hex digits. */
  set hex(digits: string) {
    assert(/^[0-9a-f]{16}$/.test(digits), 'a CRC64 has 16 hex digits');
    this.#crc = BigInt(`0x${digits}`);
  }
}

/** What a checksum line says. */
export interface ChecksumLine {
  /** Where the line says it stands. */
  offset: number;
  /** CRC64 of all bytes up to its digits, 16 hex digits. */
  crc: string;
}

/** True for a line that wants to be one of ours, well formed or not. */
export function isChecksumLine(line: Uint8Array): boolean {
  return line.length >= PREFIX.length && Buffer.from(line.buffer, line.byteOffset, PREFIX.length).equals(PREFIX_BYTES);
}
const PREFIX_BYTES = Buffer.from(PREFIX, 'latin1');

/** What a whole line (with its CRLF) says, or undefined when it is damaged. */
export function parseChecksumLine(line: Uint8Array): ChecksumLine | undefined {
  if (line.length !== CHECKSUM_LINE_BYTES) return undefined;
  const match = FORM.exec(Buffer.from(line.buffer, line.byteOffset, line.length).toString('latin1'));
  if (match === null) return undefined;
  const offset = Number.parseInt(match[1] as string, 16);
  if (!Number.isSafeInteger(offset)) return undefined;
  return { offset, crc: match[2] as string };
}

/**
 * The line to append at `offset` of a file whose bytes `crc` has taken in so far; `crc` takes in the line too, and is
 * ready for what follows it.
 */
export function encodeChecksumLine(crc: RunningCrc64, offset: number): Buffer {
  assert(Number.isSafeInteger(offset) && offset >= 0, 'an offset in a file');
  const line = Buffer.alloc(CHECKSUM_LINE_BYTES, `${PREFIX}${offset.toString(16).padStart(16, '0')}:`, 'latin1');
  crc.update(line, 0, COVERED_BYTES);
  line.write(`${crc.hex}\r\n`, COVERED_BYTES, 'latin1');
  crc.update(line, COVERED_BYTES);
  return line;
}

/**
 * Takes in a line that was read at `offset`; `crc` must have taken in all bytes before it. Tells whether it holds.
 * After a mismatch `crc` goes on from what the line claims, so that the next block is judged by itself.
 */
export function verifyChecksumLine(crc: RunningCrc64, line: Uint8Array, offset: number): boolean {
  const said = parseChecksumLine(line);
  if (said === undefined) {
    crc.update(line);
    return false;
  }
  crc.update(line, 0, COVERED_BYTES);
  const holds = crc.hex === said.crc && said.offset === offset;
  crc.hex = said.crc;
  crc.update(line, COVERED_BYTES);
  return holds;
}

/** Bytes of the widest thing that locateChecksumLine must see at once. */
const OVERLAP_BYTES = CHECKSUM_LINE_BYTES - 1;

/**
 * Finds the first line in [from, size) that stands where it says it does, reading in pieces; undefined if none.
 *
 * Whoever finds one behind a place where the commands end too early knows that the file was written on beyond that
 * place: what looks like a torn tail is damage in the middle.
 */
export function locateChecksumLine(source: ByteSource, from: number): number | undefined {
  const piece = Buffer.alloc(64 * 1024);
  let position = from;
  while (position < source.size) {
    const count = source.readAt(position, piece);
    if (count === 0) return undefined;
    const found = locateIn(piece.subarray(0, count), position);
    if (found !== undefined) return found;
    if (position + count >= source.size || count <= OVERLAP_BYTES) return undefined;
    position += count - OVERLAP_BYTES;
  }
  return undefined;
}

function locateIn(piece: Buffer, position: number): number | undefined {
  for (let at = piece.indexOf(PREFIX_BYTES); at !== -1; at = piece.indexOf(PREFIX_BYTES, at + 1)) {
    const said = parseChecksumLine(piece.subarray(at, at + CHECKSUM_LINE_BYTES));
    if (said?.offset === position + at) return said.offset;
  }
  return undefined;
}
