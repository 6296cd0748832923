/**
 * How many clients the process has file descriptors for. Node raises the soft limit to the hard one at start, so
 * there is nothing to raise here, only to read. Main thread.
 */
import { readFileSync } from 'node:fs';

/** Kept for listeners, logs, epoll and event descriptors, as Redis keeps 32; ours has more threads. */
export const RESERVED_DESCRIPTORS = 128;

/** The largest number of open files. */
export function openFilesMax(): number {
  const limits = readFileSync('/proc/self/limits', 'latin1');
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return soft === undefined || soft === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(soft);
}

export function maxClientsPossible(openFiles = openFilesMax()): number {
  return Math.max(openFiles - RESERVED_DESCRIPTORS, 1);
}
