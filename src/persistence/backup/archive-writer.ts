/**
 * Writes an archive: entries are added one after the other, blocks are packed side by side and written in order.
 *
 * At most BLOCKS_UNDER_WAY blocks are in memory. Packing runs on libuv's threads (lz4-napi sees to that), reading and
 * writing too; the main thread only sums. There is nothing left that a piscina pool could take over with profit: one
 * SHA-256, which is sequential, and one checksum at 1 GB/s.
 *
 * The archive grows under a temporary name; `finish` syncs it and gives it its own, `abandon` removes it.
 */
import { createHash, type Hash } from 'node:crypto';
import { open, rename, unlink, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  archiveHeader,
  BLOCK_BYTES,
  encodeFrame,
  type ArchiveEnd,
  type ArchiveEntry,
  type EntryEnd,
  type FrameKind,
  type IndexLine,
} from './archive-format.js';

const BLOCKS_UNDER_WAY = 8;
const INDEX_FRAME_BYTES = 256 * 1024;

/** Makes changes of names in a folder survive a power loss. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export class ArchiveWriter {
  readonly #hash: Hash = createHash('sha256');
  readonly #index: string[] = [];
  #offset = 0;
  #entryCount = 0;

  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    private readonly temporary: string,
  ) {}

  /** Begins an archive that will be at `path`. */
  static async create(path: string): Promise<ArchiveWriter> {
    const temporary = `${path}.tmp-${process.pid}`;
    const writer = new ArchiveWriter(await open(temporary, 'wx', 0o600), path, temporary);
    await writer.#write(archiveHeader());
    return writer;
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#offset;
  }

  async addDirectory(entry: ArchiveEntry): Promise<void> {
    await this.#add(entry, async () => ({ size: 0, sha256: createHash('sha256').digest('hex') }));
  }

  /** Adds what `file` holds now, up to `sizeMax`: what is appended meanwhile does not belong to the backup. */
  async addFile(entry: ArchiveEntry, file: FileHandle, sizeMax: number): Promise<EntryEnd> {
    return await this.#add(entry, async () => await this.#addData(file, sizeMax));
  }

  async addBytes(entry: ArchiveEntry, bytes: Buffer): Promise<EntryEnd> {
    return await this.#add(entry, async () => {
      for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
        await this.#write(await encodeFrame('data', bytes.subarray(at, at + BLOCK_BYTES)));
      }
      return { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
    });
  }

  async #add(entry: ArchiveEntry, data: () => Promise<EntryEnd>): Promise<EntryEnd> {
    const offset = this.#offset;
    await this.#writeJson('entry', entry);
    const end = await data();
    await this.#writeJson('entryEnd', end);
    const line: IndexLine = { ...entry, ...end, offset };
    this.#index.push(`${JSON.stringify(line)}\n`);
    return end;
  }

  async #addData(file: FileHandle, sizeMax: number): Promise<EntryEnd> {
    const hash = createHash('sha256');
    const underWay: Promise<Buffer>[] = [];
    let size = 0;
    try {
      while (size < sizeMax) {
        const block = Buffer.allocUnsafe(Math.min(BLOCK_BYTES, sizeMax - size));
        const { bytesRead } = await file.read(block, 0, block.length, size);
        if (bytesRead === 0) break;
        const raw = block.subarray(0, bytesRead);
        hash.update(raw);
        size += bytesRead;
        underWay.push(encodeFrame('data', raw));
        if (underWay.length >= BLOCKS_UNDER_WAY) await this.#write(await (underWay.shift() as Promise<Buffer>));
      }
      for (const frame of underWay) await this.#write(await frame);
    } finally {
      await Promise.allSettled(underWay);
    }
    return { size, sha256: hash.digest('hex') };
  }

  async #writeJson(kind: FrameKind, value: object): Promise<void> {
    await this.#write(await encodeFrame(kind, Buffer.from(JSON.stringify(value))));
  }

  async #write(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes);
    for (let done = 0; done < bytes.length; ) {
      done += (await this.file.write(bytes, done, bytes.length - done, this.#offset + done)).bytesWritten;
    }
    this.#offset += bytes.length;
  }

  /** Writes index and end; then the archive is there, on disk, under its name. */
  async finish(): Promise<void> {
    const indexOffset = this.#offset;
    for (let piece = this.#takeIndex(); piece !== ''; piece = this.#takeIndex()) {
      await this.#write(await encodeFrame('index', Buffer.from(piece)));
    }
    const end: ArchiveEnd = { indexOffset, entryCount: this.#entryCount, sha256: this.#hash.copy().digest('hex') };
    await this.#writeJson('end', end);
    await this.file.sync();
    await this.file.close();
    await rename(this.temporary, this.path);
    await syncFolder(dirname(this.path));
  }

  #takeIndex(): string {
    let piece = '';
    while (this.#index.length > 0 && piece.length < INDEX_FRAME_BYTES) {
      piece += this.#index.shift();
      this.#entryCount++;
    }
    return piece;
  }

  /** Leaves no trace. */
  async abandon(): Promise<void> {
    await this.file.close().catch(() => undefined);
    await unlink(this.temporary).catch(() => undefined);
  }
}
