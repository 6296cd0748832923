/**
 * The native half of persistence and the file system, in memory: for tests of what is above them.
 *
 * The dataset is a number: how many effects it has taken in. A base or RDB file says `RDB <n>` (`AOF <n>` as
 * commands), a journal one effect a line; so a load is right when the numbers follow each other without a gap. It
 * keeps the contract's rules and throws where they are broken: one snapshot at a time, no journal opened twice, no
 * resume without a cut. `fails` lets any operation fail as a disk does.
 */
import type {
  JournalFile,
  JournalStatus,
  LoadAofRequest,
  LoadAofResult,
  LoadProgress,
  LoadRdbRequest,
  LoadResult,
  PersistenceAddon,
  SnapshotProgress,
  SnapshotRequest,
  SnapshotResult,
} from '../../src/native/persistence.js';
import type { Files } from '../../src/persistence/files.js';

/** What fails: the name of the operation and its path; gives the errno's name. */
export type FailureRule = (operation: string, path: string) => string | undefined;

const later = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function diskError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code, syscall: 'injected', errno: -1 });
}

export class MemoryFiles implements Files {
  readonly content = new Map<string, string>();
  readonly directories = new Set<string>(['/data']);
  fails: FailureRule = () => undefined;
  onRename: (from: string, to: string) => void = () => undefined;
  /** What was done, as `rename /data/a /data/b`. */
  readonly trace: string[] = [];

  /** The same files, as they are now, for a server that comes after one that was killed. */
  copy(): MemoryFiles {
    const copied = new MemoryFiles();
    for (const [path, content] of this.content) copied.content.set(path, content);
    for (const path of this.directories) copied.directories.add(path);
    return copied;
  }

  private async begin(operation: string, path: string): Promise<void> {
    await later();
    const code = this.fails(operation, path);
    this.trace.push(`${code === undefined ? '' : `${code} `}${operation} ${path}`);
    if (code !== undefined) throw diskError(code);
  }

  private get(path: string): string {
    const content = this.content.get(path);
    if (content === undefined) throw diskError('ENOENT');
    return content;
  }

  async makeDirectory(path: string): Promise<void> {
    await this.begin('mkdir', path);
    this.directories.add(path);
  }

  async write(path: string, text: string): Promise<void> {
    await this.begin('write', path);
    this.content.set(path, text);
  }

  async sync(path: string): Promise<void> {
    await this.begin('sync', path);
    this.get(path);
  }

  syncDirectory(path: string): Promise<void> {
    return this.begin('syncdir', path);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.begin('rename', from);
    const content = this.get(from);
    this.content.delete(from);
    this.content.set(to, content);
    this.onRename(from, to);
  }

  async unlink(path: string): Promise<void> {
    await this.begin('unlink', path);
    this.content.delete(path);
  }

  async truncate(path: string, size: bigint): Promise<void> {
    await this.begin('truncate', path);
    this.content.set(path, this.get(path).slice(0, Number(size)));
  }

  async size(path: string): Promise<bigint | undefined> {
    await this.begin('size', path);
    const content = this.content.get(path);
    return content === undefined ? undefined : BigInt(content.length);
  }

  async read(path: string): Promise<string | undefined> {
    await this.begin('read', path);
    return this.content.get(path);
  }

  async list(path: string): Promise<string[] | undefined> {
    await this.begin('list', path);
    if (!this.directories.has(path)) return undefined;
    const names = [...this.content.keys()].filter((name) => name.startsWith(`${path}/`));
    return names.map((name) => name.slice(path.length + 1)).filter((name) => !name.includes('/'));
  }
}

const NO_LOAD: LoadResult = { keysLoaded: 0n, keysExpired: 0n, rdbVersion: 0, aux: [] };

export class FakePersistence implements PersistenceAddon {
  /** The dataset. */
  effects = 0;
  /** FLUSHALLs. */
  flushes = 0;
  /** Effects that a client was told of. */
  acknowledged = 0;
  refusal = '';
  isLoading = false;
  holdsSync = false;
  policy = '';
  readonly requests: SnapshotRequest[] = [];
  snapshotsRunning = 0;
  /** Loading begins when this has been settled. */
  loadGate: Promise<void> = Promise.resolve();
  /** Snapshots end only when this is called; undefined: by themselves. */
  waitsForEnd = false;
  private endSnapshot: (() => void) | undefined;
  private isCancelled = false;
  /** File of the journal, and what a cut holds back. */
  journal: { path: string } | undefined;
  private held: number[] | undefined;
  private progress: SnapshotProgress = { isRunning: false, keysDone: 0n, keysTotal: 0n, bytesWritten: 0n };

  constructor(readonly files: MemoryFiles) {
    // A descriptor stays with its file when that gets another name.
    files.onRename = (from, to) => {
      if (this.journal?.path === from) this.journal = { path: to };
    };
  }

  // ---- Clients ----

  /** A write: undefined when it was done, else why not. */
  write(): string | undefined {
    if (this.isLoading) return 'LOADING';
    if (this.refusal !== '') return this.refusal;
    this.effects++;
    if (this.held !== undefined) this.held.push(this.effects);
    else if (this.journal !== undefined) this.append([this.effects]);
    return undefined;
  }

  private append(effects: readonly number[]): void {
    if (this.journal === undefined) return;
    const { path } = this.journal;
    if (!this.files.content.has(path)) throw new Error(`the journal ${path} is gone`);
    this.files.content.set(path, (this.files.content.get(path) ?? '') + effects.map((n) => `${n}\n`).join(''));
    this.acknowledged = this.effects;
  }

  // ---- Snapshots ----

  async snapshot(_engine: number, request: SnapshotRequest, onInstant: () => void): Promise<SnapshotResult> {
    if (this.snapshotsRunning++ > 0) throw new TypeError('one snapshot at a time');
    this.requests.push(request);
    this.isCancelled = false;
    try {
      await later();
      this.fail('snapshot-begin', request.path);
      const upTo = this.instant(request);
      this.files.content.set(request.path, 'torn');
      onInstant();
      this.progress = { isRunning: true, keysDone: 1n, keysTotal: 4n, bytesWritten: 9n };
      await this.waitForEnd();
      this.fail('snapshot-end', request.path);
      this.files.content.set(request.path, `${request.format.toUpperCase()} ${upTo}\n`);
      const offset = BigInt(upTo);
      return { keys: 1n, bytes: 9n, version: request.version, extraBytesPeak: 77n, longestStayUs: 50, instantUs: 100, offset };
    } finally {
      this.snapshotsRunning--;
      this.progress = { ...this.progress, isRunning: false };
    }
  }

  private instant(request: SnapshotRequest): number {
    if (request.journal === 'cut') {
      if (this.journal === undefined || this.held !== undefined) throw new TypeError('nothing to cut');
      if (request.journalPath === undefined) this.held = [];
      else if (this.files.content.get(request.journalPath) !== '') throw new TypeError('no new file to go on in');
      else this.journal = { path: request.journalPath };
    } else if (request.journal === 'begin') {
      if (this.journal !== undefined || request.journalPath === undefined) throw new TypeError('the journal is on');
      this.journal = { path: request.journalPath };
    }
    return this.effects;
  }

  private fail(operation: string, path: string): void {
    if (this.isCancelled) throw new Error('cancelled');
    const code = this.files.fails(operation, path);
    if (code !== undefined) throw Object.assign(new Error('No space left on device'), { code });
  }

  private async waitForEnd(): Promise<void> {
    if (this.waitsForEnd && !this.isCancelled) await new Promise<void>((resolve) => (this.endSnapshot = resolve));
    await later();
  }

  /** Lets the snapshot that waits end. */
  end(): void {
    this.endSnapshot?.();
    this.endSnapshot = undefined;
  }

  cancelSnapshot(): void {
    this.isCancelled = true;
    this.end();
  }

  snapshotProgress(): SnapshotProgress {
    return this.progress;
  }

  // ---- Loading ----

  setLoading(_engine: number, isLoading: boolean): void {
    this.isLoading = isLoading;
  }

  async loadRdb(_engine: number, { path }: LoadRdbRequest): Promise<LoadResult> {
    await this.loadGate;
    await later();
    const match = /^RDB (\d+)\n$/.exec(this.files.content.get(path) ?? '');
    if (match === null) throw new Error(`Wrong signature trying to load DB from file ${path}`);
    this.effects = Number(match[1]);
    return { keysLoaded: BigInt(this.effects), keysExpired: 2n, rdbVersion: 11, aux: [['redis-ver', '7.2.0']] };
  }

  async loadAof(_engine: number, { path, mayBeTorn }: LoadAofRequest): Promise<LoadAofResult> {
    await later();
    const text = this.files.content.get(path) ?? '';
    const validBytes = text.lastIndexOf('\n') + 1;
    if (validBytes < text.length && !mayBeTorn) throw new Error(`Unexpected end of file reading ${path}`);
    for (const line of text.slice(0, validBytes).split('\n').slice(0, -1)) {
      const base = /^(?:RDB|AOF) (\d+)$/.exec(line);
      const next = Number(base?.[1] ?? line);
      if (base === null && next !== this.effects + 1) throw new Error(`Bad file format reading ${path}: ${line}`);
      this.effects = next;
    }
    const sizes = { validBytes: BigInt(validBytes), fileBytes: BigInt(text.length) };
    return { ...NO_LOAD, ...sizes, commands: 0n, crc: 5n, coveredBytes: 0n };
  }

  loadProgress(): LoadProgress {
    const { isLoading } = this;
    return { isLoading, startedAtMs: 5_000, loadedBytes: 25n, totalBytes: 100n, loadedKeys: 3n };
  }

  async emptyDataset(): Promise<void> {
    await later();
    this.effects = 0;
  }

  // ---- Journal ----

  async openJournal(_engine: number, { path, offset }: JournalFile): Promise<void> {
    await later();
    this.fail('journal-open', path);
    const text = this.files.content.get(path);
    if (text === undefined || BigInt(text.length) < offset) throw new TypeError(`no such journal: ${path}`);
    this.files.content.set(path, text.slice(0, Number(offset)));
    this.journal = { path };
    this.release();
  }

  private release(): void {
    const held = this.held ?? [];
    this.held = undefined;
    if (held.length > 0) this.append(held);
  }

  async resumeJournal(): Promise<void> {
    await later();
    this.release();
  }

  async syncJournal(): Promise<void> {
    await later();
    this.fail('journal-sync', this.journal?.path ?? '');
  }

  async closeJournal(): Promise<void> {
    await later();
    this.release();
    this.journal = undefined;
  }

  journalStatus(): JournalStatus {
    const text = this.journal === undefined ? '' : (this.files.content.get(this.journal.path) ?? '');
    return {
      isOn: this.journal !== undefined,
      fileBytes: BigInt(text.length),
      pendingBytes: 0n,
      writeError: '',
      syncError: '',
      syncStartedAtMs: 0,
      delayedSyncs: 0n,
      offset: BigInt(this.effects),
    };
  }

  setJournalPolicy(_engine: number, appendFsync: string, hasTimestamps: boolean): void {
    this.policy = `${appendFsync} ${hasTimestamps}`;
  }

  holdJournalSync(_engine: number, holds: boolean): void {
    this.holdsSync = holds;
  }

  refuseWrites(_engine: number, error: string): void {
    this.refusal = error;
  }
}

/** A fake as the functions of an addon, for objects that are put together with spreads. */
export function surfaceOf(fake: FakePersistence): PersistenceAddon {
  return {
    snapshot: (...args) => fake.snapshot(...args),
    cancelSnapshot: () => fake.cancelSnapshot(),
    snapshotProgress: () => fake.snapshotProgress(),
    setLoading: (engine, isLoading) => fake.setLoading(engine, isLoading),
    loadRdb: (...args) => fake.loadRdb(...args),
    loadAof: (...args) => fake.loadAof(...args),
    loadProgress: () => fake.loadProgress(),
    emptyDataset: () => fake.emptyDataset(),
    openJournal: (...args) => fake.openJournal(...args),
    resumeJournal: () => fake.resumeJournal(),
    syncJournal: () => fake.syncJournal(),
    closeJournal: () => fake.closeJournal(),
    journalStatus: () => fake.journalStatus(),
    setJournalPolicy: (...args) => fake.setJournalPolicy(...args),
    holdJournalSync: (...args) => fake.holdJournalSync(...args),
    refuseWrites: (...args) => fake.refuseWrites(...args),
  };
}
