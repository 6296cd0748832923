/**
 * Puts the contents of an archive into a folder.
 *
 * The archive is read to its end before anything is written. Then every file is written under a temporary name,
 * synced, and given its own; folders are synced at the end. Nothing that exists is replaced unless `replaces` says so,
 * and that is looked at first, for all files. Paths have been judged by the reader; what is left is the folder itself:
 * a symbolic link on the way to a file is refused, since it would lead out of the target.
 *
 * With `replaces`, files that the archive does not have stay where they are; the AOF's manifest decides what counts.
 */
import { chmod, lstat, mkdir, open, rename, unlink, utimes, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ArchiveEntry } from './archive-format.js';
import { readArchive, type ArchiveConsumer, type ArchiveSummary } from './archive-reader.js';
import { syncFolder } from './archive-writer.js';

export interface RestoreOptions {
  archive: string;
  folder: string;
  /** Replace what is there. */
  replaces: boolean;
}

/** The target is not as it should be. */
export class RestoreError extends Error {
  readonly code = 'SHERD_RESTORE';
}

/** Restores everything; throws ArchiveError, RestoreError, or what the system says. */
export async function restoreArchive(options: RestoreOptions): Promise<ArchiveSummary> {
  const entries: ArchiveEntry[] = [];
  const collect: ArchiveConsumer = {
    entry: (entry) => Promise.resolve(void entries.push(entry)),
    data: () => Promise.resolve(),
    entryEnd: () => Promise.resolve(),
  };
  await readArchive(options.archive, collect);
  await mkdir(options.folder, { recursive: true });
  for (const entry of entries) await checkTarget(options, entry);
  const target = new Target(options.folder);
  try {
    const summary = await readArchive(options.archive, target);
    await target.finish();
    return summary;
  } catch (error) {
    await target.abandon();
    throw error;
  }
}

const pathOf = (folder: string, entry: ArchiveEntry): string =>
  join(folder, Buffer.from(entry.path, 'latin1').toString());

async function kindOf(path: string): Promise<'nothing' | 'file' | 'directory' | 'other'> {
  try {
    const stats = await lstat(path);
    if (stats.isFile()) return 'file';
    return stats.isDirectory() ? 'directory' : 'other';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'nothing';
    throw error;
  }
}

async function checkTarget(options: RestoreOptions, entry: ArchiveEntry): Promise<void> {
  const path = pathOf(options.folder, entry);
  for (let parent = dirname(path); parent.length > options.folder.length; parent = dirname(parent)) {
    const kind = await kindOf(parent);
    if (kind !== 'nothing' && kind !== 'directory') throw new RestoreError(`${parent} is not a folder`);
  }
  const kind = await kindOf(path);
  if (kind === 'nothing' || (kind === 'directory' && entry.type === 'directory')) return;
  if (kind !== 'file' || entry.type !== 'file') throw new RestoreError(`${path} is in the way`);
  if (!options.replaces) throw new RestoreError(`${path} exists; use --force to replace it`);
}

class Target implements ArchiveConsumer {
  readonly #folders = new Set<string>();
  #open: { entry: ArchiveEntry; path: string; temporary: string; file: FileHandle; offset: number } | undefined;

  constructor(private readonly folder: string) {}

  async entry(entry: ArchiveEntry): Promise<void> {
    const path = pathOf(this.folder, entry);
    if (entry.type === 'directory') {
      await mkdir(path, { recursive: true });
      await chmod(path, entry.mode | 0o700);
      this.#folders.add(path).add(dirname(path));
      return;
    }
    await mkdir(dirname(path), { recursive: true });
    this.#folders.add(dirname(path)).add(this.folder);
    const temporary = `${path}.restore-${process.pid}`;
    this.#open = { entry, path, temporary, file: await open(temporary, 'wx', 0o600), offset: 0 };
  }

  async data(bytes: Buffer): Promise<void> {
    const current = this.#open;
    if (current === undefined) return;
    for (let done = 0; done < bytes.length; ) {
      done += (await current.file.write(bytes, done, bytes.length - done, current.offset + done)).bytesWritten;
    }
    current.offset += bytes.length;
  }

  async entryEnd(): Promise<void> {
    const current = this.#open;
    if (current === undefined) return;
    const { entry, path, temporary, file } = current;
    await file.chmod(entry.mode);
    await file.sync();
    await file.close();
    await utimes(temporary, entry.mtimeMs / 1000, entry.mtimeMs / 1000);
    await rename(temporary, path);
    this.#open = undefined;
  }

  async finish(): Promise<void> {
    for (const folder of this.#folders) await syncFolder(folder);
  }

  async abandon(): Promise<void> {
    if (this.#open === undefined) return;
    await this.#open.file.close().catch(() => undefined);
    await unlink(this.#open.temporary).catch(() => undefined);
  }
}
