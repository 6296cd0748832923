/**
 * What INFO and the metrics are told about persistence, as plain data. Units last in the names. Main thread.
 */
import type { JournalStatus, LoadProgress, SnapshotProgress } from '../native/persistence.js';

export interface RdbStatus {
  changesSinceSave: bigint;
  isSavingInBackground: boolean;
  lastSaveSec: number;
  isLastOk: boolean;
  /** -1: there was none, or none is running. */
  lastTookSec: number;
  currentSec: number;
  saves: number;
  lastExtraBytes: bigint;
  /** Of the last RDB file (or preamble) that was loaded. */
  keysExpiredAtLoad: bigint;
  keysLoaded: bigint;
}

export interface AofStatus {
  isEnabled: boolean;
  isRewriting: boolean;
  isRewriteScheduled: boolean;
  /** -1 as above. */
  lastRewriteSec: number;
  currentRewriteSec: number;
  isLastRewriteOk: boolean;
  rewrites: number;
  failuresInRow: number;
  lastExtraBytes: bigint;
  currentBytes: bigint;
  baseBytes: bigint;
  journal: JournalStatus;
}

export interface PersistenceStatus {
  loading: LoadProgress;
  snapshot: SnapshotProgress;
  rdb: RdbStatus;
  aof: AofStatus;
}
