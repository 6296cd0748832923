/**
 * What goes into a backup, taken while the server may be running.
 *
 * Files that are replaced by rename (RDB, configuration, users, nodes) are whole whenever they are opened. The
 * multi-part AOF is several files, so it is taken thus: read the manifest; open every file it names; note their sizes,
 * in the order of the files; read the manifest again. If it still says the same, the open files are one consistent
 * set, and stay so, whatever is unlinked afterwards; the last one is taken up to the size noted. If not, a rewrite has
 * come between, and it is tried again. The manifest in the archive is without history: it would only be deleted.
 *
 * A last file cut at the size noted may end within a command, as after a crash; a load cuts that off.
 */
import type { Stats } from 'node:fs';
import { lstat, open, readdir, type FileHandle } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { utf8ToByteString } from '../../util/bytes.js';
import { formatManifest, parseManifest, type Manifest } from '../format/manifest.js';
import type { ArchiveEntry } from './archive-format.js';
import type { ArchiveWriter } from './archive-writer.js';

const SNAPSHOT_TRIES_MAX = 50;
const RETRY_AFTER_MS = 50;
const MANIFEST_SUFFIX = '.manifest';
/** What belongs to a server in its `dir`; the folder may hold other people's files, too. */
const SERVER_FILES = /\.(rdb|aof|conf|acl)$/;
const TEMPORARY_FILES = /^temp[-_]/;

export interface CreateOptions {
  /** The server's `dir`. */
  folder: string;
  /** Files from elsewhere (redis.conf, users.acl); they are kept under `extra/`. */
  extraFiles: string[];
  /** Called with each entry's path when it is in. */
  onEntry?: (path: string, size: number) => void;
}

/** The AOF has been rewritten faster than it could be opened. */
export class BackupError extends Error {
  readonly code = 'SHERD_BACKUP';
}

/** Adds a server's files to an archive. */
export async function addServerFiles(writer: ArchiveWriter, options: CreateOptions): Promise<void> {
  const { folder } = options;
  for (const item of await readdir(folder, { withFileTypes: true })) {
    if (item.isDirectory()) {
      const manifest = await manifestIn(join(folder, item.name));
      if (manifest !== undefined) await addAofFolder(writer, options, item.name, manifest);
    } else if (item.isFile() && SERVER_FILES.test(item.name) && !TEMPORARY_FILES.test(item.name)) {
      await addByName(writer, options, join(folder, item.name), item.name);
    }
  }
  for (const path of options.extraFiles) {
    if (!(await addByName(writer, options, path, `extra/${basename(path)}`))) {
      throw new BackupError(`${path} is not there`);
    }
  }
}

/** Name of the manifest in a folder, which is what makes it the AOF's. */
async function manifestIn(folder: string): Promise<string | undefined> {
  const names = await readdir(folder).catch(() => []);
  return names.find((name) => name.endsWith(MANIFEST_SUFFIX) && !TEMPORARY_FILES.test(name));
}

const entryOf = (path: string, stats: Stats, type: ArchiveEntry['type']): ArchiveEntry => ({
  path: utf8ToByteString(path),
  type,
  mode: stats.mode & 0o777,
  mtimeMs: stats.mtimeMs,
});

/** False when the file has gone meanwhile, which for a file of the folder is no fault. */
async function addByName(writer: ArchiveWriter, options: CreateOptions, path: string, name: string): Promise<boolean> {
  const file = await openIfThere(path);
  if (file === undefined) return false;
  try {
    await addOpen(writer, options, file, name, (await file.stat()).size);
    return true;
  } finally {
    await file.close();
  }
}

async function addOpen(
  writer: ArchiveWriter,
  options: CreateOptions,
  file: FileHandle,
  name: string,
  sizeMax: number,
): Promise<void> {
  const { size } = await writer.addFile(entryOf(name, await file.stat(), 'file'), file, sizeMax);
  options.onEntry?.(name, size);
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

// ---- The multi-part AOF ----

/** Files that belong together, open. */
interface AofSet {
  manifest: Manifest;
  parts: { name: string; file: FileHandle; size: number }[];
}

async function addAofFolder(
  writer: ArchiveWriter,
  options: CreateOptions,
  folder: string,
  manifestName: string,
): Promise<void> {
  const path = join(options.folder, folder);
  await writer.addDirectory(entryOf(folder, await lstat(path), 'directory'));
  const set = await openSet(path, manifestName);
  try {
    for (const part of set.parts) await addOpen(writer, options, part.file, `${folder}/${part.name}`, part.size);
    const stats = await lstat(join(path, manifestName));
    const text = formatManifest({ ...set.manifest, history: [] });
    const name = `${folder}/${manifestName}`;
    await writer.addBytes(entryOf(name, stats, 'file'), Buffer.from(text, 'latin1'));
    options.onEntry?.(name, text.length);
  } finally {
    for (const part of set.parts) await part.file.close();
  }
}

async function openSet(folder: string, manifestName: string): Promise<AofSet> {
  for (let attempt = 0; attempt < SNAPSHOT_TRIES_MAX; attempt++) {
    const before = await readText(join(folder, manifestName));
    const manifest = parseManifest(before);
    const parts = await openParts(folder, manifest);
    const after = await readText(join(folder, manifestName)).catch(() => undefined);
    if (parts !== undefined && after === before) return { manifest, parts };
    for (const part of parts ?? []) await part.file.close();
    await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
  }
  throw new BackupError(`the files of ${folder} do not come to rest, or are not all there`);
}

/** Opens the files in the order in which they load; undefined when one is not there (any more). */
async function openParts(folder: string, manifest: Manifest): Promise<AofSet['parts'] | undefined> {
  const parts: AofSet['parts'] = [];
  for (const { name } of [...(manifest.base === undefined ? [] : [manifest.base]), ...manifest.incrs]) {
    const file = await openIfThere(join(folder, Buffer.from(name, 'latin1').toString()));
    if (file === undefined) {
      for (const part of parts) await part.file.close();
      return undefined;
    }
    parts.push({ name: Buffer.from(name, 'latin1').toString(), file, size: (await file.stat()).size });
  }
  return parts;
}

async function readText(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    return (await file.readFile()).toString('latin1');
  } finally {
    await file.close();
  }
}
