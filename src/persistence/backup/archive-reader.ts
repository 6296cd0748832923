/**
 * Reads an archive front to back, checking everything that can be checked, one frame in memory at a time.
 *
 * Whoever consumes it gets data that a CRC64 vouches for, and hears of `entryEnd` only when the file's SHA-256 holds;
 * only when `readArchive` returns does the whole archive hold (its own SHA-256, its index, nothing behind its end). A
 * restore therefore reads it twice, the first time without writing anything.
 *
 * Paths come from outside: one that could lead out of the target, or means two things, is refused here, for everybody.
 */
import { createHash, type Hash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import {
  ARCHIVE_HEADER_BYTES,
  ArchiveError,
  checkArchiveHeader,
  decodeFrameHeader,
  decodePayload,
  FRAME_HEADER_BYTES,
  type ArchiveEnd,
  type ArchiveEntry,
  type EntryEnd,
  type FrameKind,
} from './archive-format.js';

const PATH_BYTES_MAX = 4096;
const MODE_MAX = 0o777;

/** What becomes of the contents. */
export interface ArchiveConsumer {
  entry(entry: ArchiveEntry): Promise<void>;
  data(bytes: Buffer): Promise<void>;
  /** The entry is whole. */
  entryEnd(end: EntryEnd): Promise<void>;
}

/** What an archive holds. */
export interface ArchiveSummary {
  entryCount: number;
  fileBytes: number;
  archiveBytes: number;
}

/** Reads the archive at `path`; throws ArchiveError where it is damaged. */
export async function readArchive(path: string, consumer?: ArchiveConsumer): Promise<ArchiveSummary> {
  const file = await open(path, 'r');
  try {
    return await new ArchiveReader(file, consumer).run();
  } finally {
    await file.close();
  }
}

/** True for a path that stays below where it is put, and is spelled in the one way there is. */
export function isSafePath(path: string): boolean {
  if (path === '' || path.length > PATH_BYTES_MAX || /[\0\\]|[^\0-\xff]/.test(path)) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

class ArchiveReader {
  readonly #hash: Hash = createHash('sha256');
  /** Of the index as it has to be; of the index as it is. */
  readonly #indexDue = createHash('sha256');
  readonly #indexIs = createHash('sha256');
  readonly #paths = new Set<string>();
  #offset = 0;
  #entry: { entry: ArchiveEntry; offset: number; hash: Hash; size: number } | undefined;
  #indexOffset: number | undefined;
  #fileBytes = 0;

  constructor(
    private readonly file: FileHandle,
    private readonly consumer: ArchiveConsumer | undefined,
  ) {}

  async run(): Promise<ArchiveSummary> {
    const header = await this.#read(ARCHIVE_HEADER_BYTES);
    checkArchiveHeader(header);
    this.#hash.update(header);
    for (;;) {
      const offset = this.#offset;
      const head = await this.#read(FRAME_HEADER_BYTES);
      const frame = decodeFrameHeader(head, offset);
      const stored = await this.#read(frame.storedBytes);
      const payload = await decodePayload(frame, stored, offset);
      if (frame.kind === 'end') {
        await this.#end(payload, offset);
        return { entryCount: this.#paths.size, fileBytes: this.#fileBytes, archiveBytes: this.#offset };
      }
      this.#hash.update(head).update(stored);
      await this.#take(frame.kind, payload, offset);
    }
  }

  async #read(byteCount: number): Promise<Buffer> {
    const bytes = Buffer.alloc(byteCount);
    let done = 0;
    while (done < byteCount) {
      const { bytesRead } = await this.file.read(bytes, done, byteCount - done, this.#offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    this.#offset += done;
    return bytes.subarray(0, done);
  }

  async #take(kind: Exclude<FrameKind, 'end'>, payload: Buffer, offset: number): Promise<void> {
    const current = this.#entry;
    const isInPlace = kind === 'data' || kind === 'entryEnd' ? current !== undefined : current === undefined;
    if (!isInPlace || (kind === 'entry' && this.#indexOffset !== undefined)) {
      throw new ArchiveError(`a frame of kind ${kind} is out of place`, offset);
    }
    switch (kind) {
      case 'entry': {
        const entry = parseEntry(payload, offset);
        if (this.#paths.has(entry.path)) throw new ArchiveError('an entry is there twice', offset);
        this.#paths.add(entry.path);
        this.#entry = { entry, offset, hash: createHash('sha256'), size: 0 };
        await this.consumer?.entry(entry);
        return;
      }
      case 'data':
        if (current?.entry.type !== 'file') throw new ArchiveError('data without a file', offset);
        current.hash.update(payload);
        current.size += payload.length;
        await this.consumer?.data(payload);
        return;
      case 'entryEnd':
        await this.#endEntry(payload, offset);
        return;
      case 'index':
        this.#indexOffset ??= offset;
        this.#indexIs.update(payload);
    }
  }

  async #endEntry(payload: Buffer, offset: number): Promise<void> {
    const current = this.#entry;
    if (current === undefined) return;
    const due: EntryEnd = { size: current.size, sha256: current.hash.digest('hex') };
    const is = parseJson(payload, offset) as Partial<EntryEnd>;
    if (is.size !== due.size || is.sha256 !== due.sha256) {
      throw new ArchiveError(`${JSON.stringify(current.entry.path)} is not what was saved`, offset);
    }
    this.#indexDue.update(`${JSON.stringify({ ...current.entry, ...due, offset: current.offset })}\n`);
    this.#fileBytes += due.size;
    this.#entry = undefined;
    await this.consumer?.entryEnd(due);
  }

  async #end(payload: Buffer, offset: number): Promise<void> {
    const is = parseJson(payload, offset) as Partial<ArchiveEnd>;
    const indexOffset = this.#indexOffset ?? offset;
    const isWhole =
      this.#entry === undefined && is.indexOffset === indexOffset && is.entryCount === this.#paths.size &&
      is.sha256 === this.#hash.digest('hex'); // prettier-ignore
    if (!isWhole) throw new ArchiveError('the archive is not what its end says', offset);
    if (this.#indexIs.digest('hex') !== this.#indexDue.digest('hex')) {
      throw new ArchiveError('the index is not that of the entries', indexOffset);
    }
    if ((await this.#read(1)).length > 0) throw new ArchiveError('there is something behind the end', this.#offset - 1);
  }
}

function parseJson(payload: Buffer, offset: number): object {
  try {
    const value: unknown = JSON.parse(payload.toString('utf8'));
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Told below.
  }
  throw new ArchiveError('a frame does not say what it should', offset);
}

function parseEntry(payload: Buffer, offset: number): ArchiveEntry {
  const { path, type, mode, mtimeMs } = parseJson(payload, offset) as Partial<ArchiveEntry>;
  if (typeof path !== 'string' || !isSafePath(path)) {
    throw new ArchiveError(`the path ${JSON.stringify(path)} is not allowed`, offset);
  }
  const isSound =
    (type === 'file' || type === 'directory') && Number.isInteger(mode) && Number.isFinite(mtimeMs) &&
    (mode as number) >= 0 && (mode as number) <= MODE_MAX; // prettier-ignore
  if (!isSound) throw new ArchiveError('an entry does not say what it should', offset);
  return { path, type, mode: mode as number, mtimeMs: mtimeMs as number };
}
