/**
 * Checks the entries of a part of an RDB file, every value to its last byte.
 *
 * A part begins and ends between records and holds no header and no end. What comes back is plain data, since parts
 * are checked on other threads.
 */
import type { ByteSource } from '../format/byte-source.js';
import { FormatError, type PlainFormatError } from '../format/format-error.js';
import { RdbReader, type Activity, type EntryRecord, type RdbPart } from '../format/rdb-reader.js';
import { ValueVisitor } from '../format/value-visitor.js';

/** What redis-check-rdb counts. */
export interface RdbCounts {
  keys: number;
  expiries: number;
  /** Of those, the ones that are past. */
  expired: number;
}

/** What is wrong, and what was being read. */
export interface RdbFault {
  error: PlainFormatError;
  activity: Activity;
  key: Uint8Array | undefined;
  /** -1 for none. */
  keyType: number;
}

/** A part's counts; with a fault they are those up to it. */
export interface PartResult {
  counts: RdbCounts;
  fault: RdbFault | undefined;
}

export const noCounts = (): RdbCounts => ({ keys: 0, expiries: 0, expired: 0 });

export function addCounts(sum: RdbCounts, more: RdbCounts): void {
  sum.keys += more.keys;
  sum.expiries += more.expiries;
  sum.expired += more.expired;
}

/** Counts the expiry of an entry that has been read. */
export function countExpiry(entry: EntryRecord, counts: RdbCounts, nowMs: bigint): void {
  if (entry.expiresAtMs === undefined) return;
  counts.expiries++;
  if (entry.expiresAtMs < nowMs) counts.expired++;
}

/** What `reader` was at when it threw `error`; throws what is no fault of the file. */
export function faultOf(reader: RdbReader, error: unknown): RdbFault {
  if (!(error instanceof FormatError)) throw error;
  return { error: error.toPlain(), activity: reader.activity, key: reader.key, keyType: reader.keyType };
}

/** Checks the values of a part. */
export function checkPart(source: ByteSource, part: RdbPart, nowMs: bigint): PartResult {
  const counts = noCounts();
  const reader = new RdbReader(source, part);
  const visitor = new ValueVisitor();
  try {
    for (let record = reader.next(); record !== undefined; record = reader.next()) {
      if (record.kind !== 'entry') continue;
      counts.keys++;
      reader.readValue(visitor);
      countExpiry(record, counts, nowMs);
    }
  } catch (error) {
    return { counts, fault: faultOf(reader, error) };
  }
  return { counts, fault: undefined };
}
