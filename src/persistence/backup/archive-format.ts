/**
 * The bytes of a backup archive: frames, each of which can be judged alone, read and written front to back.
 *
 *     "SHERDBAK" version:u16 zero:u16 crc32:u32                                                    16 bytes
 *     frame …                                                                                     until `end`
 *
 *     frame:  kind:u8 method:u8 zero:u16 raw:u32 stored:u32 crc64:u64 crc32:u32  payload           24 bytes + stored
 *             │       │                  │       │          │         └ of the 20 bytes before it
 *             │       │                  │       │          └ of the payload as it is stored
 *             │       │                  │       └ bytes of the payload, at most BLOCK_BYTES + slack
 *             │       │                  └ bytes of the payload when unpacked, at most BLOCK_BYTES
 *             │       └ 0 as it is, 1 LZ4 (block format; length in front)
 *             └ 1 entry · 2 data · 3 entry end · 4 index · 5 end
 *
 * An archive is: for each entry its `entry` (JSON: path, type, mode, mtimeMs), its `data`, its `entry end` (JSON: size,
 * sha256); then the `index` (JSON lines, one for each entry, in as many frames as it takes); then `end` (JSON: offset
 * of the index, count of entries, sha256 of all bytes in front of the end frame), and nothing behind it. All numbers
 * are little-endian.
 *
 * Three checksums, because they answer three questions: CRC32 of a header, before its lengths are believed; CRC64 of a
 * payload, before it is unpacked; SHA-256 of a file and of the archive, against frames that are missing or exchanged.
 * (CRC64 for the payloads, as our own runs at 1 GB/s; the library's CRC32 at 0.1 GB/s would be the slowest part.)
 *
 * Invariant: no length is believed before its header's CRC32 holds, nor beyond its bound. Pure; any thread.
 */
import { crc32 } from 'crc';
import { compress, uncompress } from 'lz4-napi';
import { crc64 } from '../format/crc64.js';

export const ARCHIVE_HEADER_BYTES = 16;
export const FRAME_HEADER_BYTES = 24;
/** Bytes of a file in a data frame: LZ4 gains nothing beyond 64 KiB of window, bigger frames only cost less head. */
export const BLOCK_BYTES = 1024 * 1024;
/** A packed block that is not smaller is stored as it is, so a payload is never bigger than its block. */
const STORED_BYTES_MAX = BLOCK_BYTES;
const LZ4_LENGTH_BYTES = 4;
const MAGIC = 'SHERDBAK';
const VERSION = 1;

export const FRAME_KINDS = { entry: 1, data: 2, entryEnd: 3, index: 4, end: 5 } as const;
export type FrameKind = keyof typeof FRAME_KINDS;
const KIND_NAMES = new Map<number, FrameKind>(
  Object.entries(FRAME_KINDS).map(([name, number]) => [number, name as FrameKind]),
);
const METHODS = { plain: 0, lz4: 1 } as const;

/** What an archive says about a file or folder. Paths are byte strings with '/', relative. */
export interface ArchiveEntry {
  path: string;
  type: 'file' | 'directory';
  /** Permission bits. */
  mode: number;
  mtimeMs: number;
}

/** What stands behind a file's data. */
export interface EntryEnd {
  size: number;
  sha256: string;
}

/** A line of the index. */
export type IndexLine = ArchiveEntry & EntryEnd & { offset: number };

export interface ArchiveEnd {
  indexOffset: number;
  entryCount: number;
  /** SHA-256 of everything in front of the end frame. */
  sha256: string;
}

export interface FrameHeader {
  kind: FrameKind;
  isPacked: boolean;
  rawBytes: number;
  storedBytes: number;
  crc64: bigint;
}

/** Bytes that are no archive, or not any more. */
export class ArchiveError extends Error {
  readonly code = 'SHERD_ARCHIVE';

  constructor(
    readonly reason: string,
    readonly offset: number,
  ) {
    super(`at offset ${offset}: ${reason}`);
    this.name = 'ArchiveError';
  }
}

export function archiveHeader(): Buffer {
  const header = Buffer.alloc(ARCHIVE_HEADER_BYTES);
  header.write(MAGIC, 'latin1');
  header.writeUInt16LE(VERSION, 8);
  header.writeUInt32LE(crc32(header.subarray(0, 12)), 12);
  return header;
}

export function checkArchiveHeader(header: Buffer): void {
  if (header.length < ARCHIVE_HEADER_BYTES || header.toString('latin1', 0, 8) !== MAGIC) {
    throw new ArchiveError('not a backup archive', 0);
  }
  if (header.readUInt32LE(12) !== crc32(header.subarray(0, 12))) throw new ArchiveError('damaged header', 0);
  if (header.readUInt16LE(8) !== VERSION) throw new ArchiveError(`version ${header.readUInt16LE(8)} is unknown`, 0);
}

/** A frame for `raw`, packed when that makes it smaller. The packing runs on a thread of libuv's pool. */
export async function encodeFrame(kind: FrameKind, raw: Buffer): Promise<Buffer> {
  const packed = raw.length === 0 ? undefined : await compress(raw);
  const isPacked = packed !== undefined && packed.length < raw.length;
  const payload = isPacked ? packed : raw;
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUInt8(FRAME_KINDS[kind], 0);
  header.writeUInt8(isPacked ? METHODS.lz4 : METHODS.plain, 1);
  header.writeUInt32LE(raw.length, 4);
  header.writeUInt32LE(payload.length, 8);
  header.writeBigUInt64LE(crc64(payload), 12);
  header.writeUInt32LE(crc32(header.subarray(0, 20)), 20);
  return Buffer.concat([header, payload]);
}

/** What the header at `offset` says; throws ArchiveError unless every field of it can be believed. */
export function decodeFrameHeader(header: Buffer, offset: number): FrameHeader {
  if (header.length < FRAME_HEADER_BYTES) throw new ArchiveError('the archive ends within a frame', offset);
  if (header.readUInt32LE(20) !== crc32(header.subarray(0, 20))) throw new ArchiveError('damaged frame header', offset);
  const kind = KIND_NAMES.get(header.readUInt8(0));
  const method = header.readUInt8(1);
  const [rawBytes, storedBytes] = [header.readUInt32LE(4), header.readUInt32LE(8)];
  const isPacked = method === METHODS.lz4;
  const isBounded = rawBytes <= BLOCK_BYTES && storedBytes <= STORED_BYTES_MAX;
  const isSound = isPacked ? storedBytes > LZ4_LENGTH_BYTES : method === METHODS.plain && storedBytes === rawBytes;
  if (kind === undefined || header.readUInt16LE(2) !== 0 || !isBounded || !isSound) {
    throw new ArchiveError('impossible frame header', offset);
  }
  return { kind, isPacked, rawBytes, storedBytes, crc64: header.readBigUInt64LE(12) };
}

/** The payload of a frame, checked and unpacked. */
export async function decodePayload(header: FrameHeader, payload: Buffer, offset: number): Promise<Buffer> {
  if (payload.length !== header.storedBytes) throw new ArchiveError('the archive ends within a frame', offset);
  if (crc64(payload) !== header.crc64) throw new ArchiveError('damaged frame', offset);
  if (!header.isPacked) return payload;
  // lz4-napi believes the length in front and allocates it, so it is compared before.
  if (payload.readUInt32LE(0) !== header.rawBytes) throw new ArchiveError('impossible packed frame', offset);
  try {
    const raw = await uncompress(payload);
    if (raw.length === header.rawBytes) return raw;
  } catch {
    // Told below: what LZ4 says about it helps nobody.
  }
  throw new ArchiveError('a frame cannot be unpacked', offset);
}
