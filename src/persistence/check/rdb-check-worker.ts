/**
 * The pool's side of the check of RDB files: one task in, plain data out. Runs on a thread of piscina's.
 */
import { FileSource } from '../format/byte-source.js';
import { crc64Of } from '../format/crc64.js';
import type { RdbPart } from '../format/rdb-reader.js';
import { checkPart, type PartResult } from './rdb-check-part.js';

/** A part of the file to check, or one to compute the checksum of. */
export type CheckTask = { path: string; part: RdbPart } & ({ kind: 'values'; nowMs: bigint } | { kind: 'checksum' });

/** What comes back: of `values` the result, of `checksum` the number. */
export type CheckTaskResult = PartResult | bigint;

export default function run(task: CheckTask): CheckTaskResult {
  const source = new FileSource(task.path);
  try {
    if (task.kind === 'values') return checkPart(source, task.part, task.nowMs);
    return crc64Of(source, task.part.begin, task.part.end);
  } finally {
    source.close();
  }
}
