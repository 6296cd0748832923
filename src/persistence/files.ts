/**
 * The file operations that persistence is made of, as a surface that tests replace by one that fails.
 *
 * Nothing here blocks: a sync of a slow disk may take seconds. Paths are byte strings (util/bytes.ts), as all paths
 * of the configuration. Main thread.
 */
import { mkdir, open, readdir, readFile, rename, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { assert, InvariantError } from '../util/assert.js';
import { toBytes, toByteString, utf8ToByteString } from '../util/bytes.js';

export interface Files {
  /** One that is there is fine. */
  makeDirectory(path: string): Promise<void>;
  /** Creates or empties the file, and writes these bytes. */
  write(path: string, text: string): Promise<void>;
  /** fsync of a file. */
  sync(path: string): Promise<void>;
  /** fsync of a directory: names that were made, changed or removed in it are on disk. */
  syncDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** A file that is not there is fine. */
  unlink(path: string): Promise<void>;
  truncate(path: string, size: bigint): Promise<void>;
  /** Bytes of a file; undefined when there is none of that name. */
  size(path: string): Promise<bigint | undefined>;
  /** The whole file, for small ones; undefined when there is none of that name. */
  read(path: string): Promise<string | undefined>;
  /** Names in a directory; undefined when there is none. */
  list(path: string): Promise<string[] | undefined>;
}

const hasCode = (error: unknown, code: string): boolean => (error as NodeJS.ErrnoException).code === code;

async function orAbsent<T>(task: Promise<T>): Promise<T | undefined> {
  try {
    return await task;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(toBytes(path), 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The file system. */
export const systemFiles: Files = {
  makeDirectory: async (path) => {
    try {
      await mkdir(toBytes(path), { mode: 0o755 });
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
  },
  write: (path, text) => writeFile(toBytes(path), toBytes(text)),
  sync: syncPath,
  syncDirectory: syncPath,
  rename: (from, to) => rename(toBytes(from), toBytes(to)),
  unlink: async (path) => void (await orAbsent(unlink(toBytes(path)))),
  truncate: async (path, size) => {
    assert(size <= BigInt(Number.MAX_SAFE_INTEGER), 'a file is smaller than 2^53');
    await truncate(toBytes(path), Number(size));
  },
  size: async (path) => (await orAbsent(stat(toBytes(path), { bigint: true })))?.size,
  read: async (path) => {
    const bytes = await orAbsent(readFile(toBytes(path)));
    return bytes === undefined ? undefined : toByteString(bytes);
  },
  list: async (path) => {
    const names = await orAbsent(readdir(toBytes(path), { encoding: 'buffer' }));
    return names?.map(toByteString);
  },
};

/** The words of strerror(3), where Node has others. */
const STRERROR = new Map([
  ['ENOENT', 'No such file or directory'],
  ['EACCES', 'Permission denied'],
  ['EPERM', 'Operation not permitted'],
  ['EEXIST', 'File exists'],
  ['EISDIR', 'Is a directory'],
  ['ENOTDIR', 'Not a directory'],
  ['EROFS', 'Read-only file system'],
  ['ENOSPC', 'No space left on device'],
  ['EDQUOT', 'Disk quota exceeded'],
  ['EFBIG', 'File too large'],
  ['EIO', 'Input/output error'],
  ['EMFILE', 'Too many open files'],
  ['EBUSY', 'Device or resource busy'],
]);

/**
 * Why an operation on files, or one of the native half's, has failed, as the log shows it. What the disk, a file or a
 * cancellation can cause is a reason; anything else (a wrong argument, a broken invariant) is a fault of the program,
 * and is thrown again: it ends the process.
 */
export function failureReason(error: unknown): string {
  if (!(error instanceof Error) || error instanceof InvariantError) throw error;
  const isFault = error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
  const { code = '', syscall } = error as NodeJS.ErrnoException;
  if (isFault || code.startsWith('ERR_')) throw error;
  if (syscall !== undefined) return STRERROR.get(code) ?? utf8ToByteString(error.message);
  return error.message;
}
