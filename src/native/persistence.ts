/**
 * The native half of persistence as TypeScript sees it: snapshots, loading, and the journal. A part of NativeAddon.
 *
 * Whatever takes time returns a promise and runs on a thread of its own; nothing here blocks the main thread. A
 * promise that rejects gives an Error whose message is the reason as the log is to show it ("No space left on
 * device"); `code` is the errno's name where there is one.
 * Paths are byte strings (src/util/bytes.ts): the native half reads them as Latin-1, as those of sockets.
 *
 * Main thread only.
 */

/** A dataset of one instant, to be written to a file. */
export interface SnapshotRequest {
  /** Created or emptied. Complete and synced when the promise resolves; whoever asked renames or unlinks it. */
  path: string;
  /** An RDB file, or commands that make the dataset. */
  format: 'rdb' | 'aof';
  /** rdb-compat-version: 9…12. What needs 12 makes the file a 12. */
  version: number;
  /** rdbcompression, rdbchecksum, rdb-save-incremental-fsync (aof-rewrite-incremental-fsync for bases). */
  compresses: boolean;
  hasChecksum: boolean;
  syncsOnTheWay: boolean;
  /** Auxiliary fields of the head, in order. */
  aux: (readonly [string, string])[];
  /** In the background: it rests in between while commands are executed, and takes up to twice as long. */
  givesWay: boolean;
  /** rdb-key-save-delay: microseconds to wait after each key, for tests; 0 for none. */
  keyDelayUs: number;
  /** What happens to the journal in the snapshot's instant. `cut`: what came before goes to its file, which is synced;
   *  what comes later goes to the new file `journalPath`, or without one is held back until resumeJournal or openJournal.
   *  `begin`: it was off and begins in this instant, into `journalPath`. */
  journal: 'none' | 'cut' | 'begin';
  journalPath?: string;
}

export interface SnapshotResult {
  keys: bigint;
  bytes: bigint;
  /** RDB version written; 0 for commands. */
  version: number;
  /** Most bytes that were held beside the dataset at one time, for INFO and the log. */
  extraBytesPeak: bigint;
  /** How long commands can have waited, in processor time of the thread that wrote: for one shard, and for all at the instant. */
  longestStayUs: number;
  instantUs: number;
  /** Offset of the replication stream at the instant. */
  offset: bigint;
}

export interface SnapshotProgress {
  isRunning: boolean;
  keysDone: bigint;
  keysTotal: bigint;
  bytesWritten: bigint;
}

export interface LoadRdbRequest {
  path: string;
  /** rdbchecksum: off means that the checksum at the end is not verified. */
  verifiesChecksum: boolean;
  /** Offset in the file at which the RDB begins; 0 but for files with something in front. */
  offset?: bigint;
  /** Keys that exist are replaced (DEBUG RELOAD MERGE); without it one that exists is an error. */
  replacesKeys?: boolean;
}

export interface LoadResult {
  keysLoaded: bigint;
  /** Left out, since their time was over. */
  keysExpired: bigint;
  /** Version of the RDB file (or preamble), 0 without. */
  rdbVersion: number;
  /** Auxiliary fields of the RDB, in order. */
  aux: (readonly [string, string])[];
}

export interface LoadAofRequest {
  path: string;
  /** Only the last file that is not empty may have a torn end (and only with aof-load-truncated). */
  mayBeTorn: boolean;
  verifiesChecksum: boolean;
}

export interface LoadAofResult extends LoadResult {
  commands: bigint;
  /** Bytes up to the end of the last whole command (and MULTI … EXEC); what is behind has not been executed. */
  validBytes: bigint;
  fileBytes: bigint;
  /** The state of the checksum lines at validBytes, for openJournal. */
  crc: bigint;
  /** Where the last line that vouches for what is before it ends; 0 without. */
  coveredBytes: bigint;
}

export interface LoadProgress {
  isLoading: boolean;
  startedAtMs: number;
  loadedBytes: bigint;
  totalBytes: bigint;
  loadedKeys: bigint;
}

export interface JournalFile {
  path: string;
  /** Where to go on: the file is cut to this. 0 for a new or empty file. */
  offset: bigint;
  /** CRC64 of the file up to `offset` as checksum lines count it (docs/internals/aof.md). */
  crc: bigint;
}

export type AppendFsync = 'always' | 'everysec' | 'no';

export interface JournalStatus {
  isOn: boolean;
  /** Bytes of the present file, written. */
  fileBytes: bigint;
  /** Bytes taken but not yet written. */
  pendingBytes: bigint;
  /** Last outcome of writing: '' or the reason; the same of syncing. */
  writeError: string;
  syncError: string;
  /** An fdatasync is under way since then; 0 for none. */
  syncStartedAtMs: number;
  delayedSyncs: bigint;
  /** Bytes of the stream of effects since the start: the replication offset. */
  offset: bigint;
}

export interface PersistenceAddon {
  /** Begins a snapshot; one at a time. `onInstant` is called when the instant is over and what `journal` asked for has
   *  been done (with `cut`: written and synced). An error has `isPastInstant`: true if that had been so. After one
   *  without it, a journal that was to be cut awaits resumeJournal. */
  snapshot(engine: number, request: SnapshotRequest, onInstant: () => void): Promise<SnapshotResult>;
  /** The promise of the running one rejects with "cancelled". Nothing happens without one. */
  cancelSnapshot(engine: number): void;
  snapshotProgress(engine: number): SnapshotProgress;

  /** While set, commands that may not run during loading are refused with LOADING; expiry and eviction rest. */
  setLoading(engine: number, isLoading: boolean, totalBytes: bigint): void;
  loadRdb(engine: number, request: LoadRdbRequest): Promise<LoadResult>;
  /** An AOF file, with an RDB preamble or without. An RDB file alone is one, too. */
  loadAof(engine: number, request: LoadAofRequest): Promise<LoadAofResult>;
  loadProgress(engine: number): LoadProgress;
  /** Empties all databases (DEBUG RELOAD). */
  emptyDataset(engine: number): Promise<void>;

  /** Effects are appended to this file from now on; with `resumes` what a cut has held back comes first, else the
   *  journal was off. */
  openJournal(engine: number, file: JournalFile): Promise<void>;
  /** The journal goes on in its present file (after a cut whose new file did not come about). */
  resumeJournal(engine: number): Promise<void>;
  /** Everything taken so far is written and synced. */
  syncJournal(engine: number): Promise<void>;
  /** Writes, syncs and closes; effects are not journaled any more. */
  closeJournal(engine: number): Promise<void>;
  journalStatus(engine: number): JournalStatus;
  /** appendfsync; aof-timestamp-enabled. */
  setJournalPolicy(engine: number, appendFsync: AppendFsync, hasTimestamps: boolean): void;
  /** no-appendfsync-on-rewrite, while a snapshot is being written. */
  holdJournalSync(engine: number, holds: boolean): void;

  /** Writes are refused with this error ("MISCONF …") until it is set to ''. The journal's own write errors refuse
   *  writes without being asked. */
  refuseWrites(engine: number, error: string): void;
}
