/**
 * Carries out what the AOF's state machine (aof-state.ts) says, with the file system and the native half's promises.
 *
 * Actions of a batch run one behind the other; the machine hears `done`, or `failed` with the first that did not
 * work. A snapshot that a batch has begun goes on behind it and tells the machine of its end by itself. Events that
 * come while a batch runs are the machine's to remember.
 *
 * The directory is fixed while the AOF is on: `CONFIG SET dir` moves it the next time that it is switched on (or
 * rewritten while it is off), when what is there is read anew. (In Redis it moves at once, and the manifest is then in one directory and its files in
 * another.)
 *
 * Main thread.
 */
import { assert } from '../util/assert.js';
import {
  initialAofState,
  manifestName,
  step,
  type AofAction,
  type AofEvent,
  type AofFiles,
  type AofOptions,
  type AofState,
  type AofStep,
} from './aof-state.js';
import { DatasetLoader, type AofFile, type JournalPoint } from './dataset-loader.js';
import { failureReason } from './files.js';
import { runInOrder, type PersistenceParts } from './parts.js';
import type { SnapshotOrder, Snapshots } from './snapshots.js';

/** A snapshot that runs for the machine. */
interface RunningSnapshot {
  order: SnapshotOrder;
  isAborted: boolean;
  settled: Promise<void>;
}

export class AofExecutor {
  state: AofState;
  /** Figures of rewrites for INFO. */
  rewrites = 0;
  lastRewriteMs = -1;
  isLastRewriteOk = true;
  rewriteBeganAtMs: number | undefined;
  lastExtraBytes = 0n;
  /** Size after the last rewrite, or at the start. */
  baseBytes = 0n;
  /** Bytes of the manifest's files but for the one that is written to. */
  private otherBytes = 0n;
  /** Set at the start and by rewrites: what is there then is what growth is counted from. */
  private isBaseOutdated = true;
  private points = new Map<string, JournalPoint>();
  private snapshot: RunningSnapshot | undefined;
  private current: Promise<void> | undefined;
  /** The last attempt to begin with a first base or a rewrite has failed, before its instant. */
  hasFailedToBegin = false;
  /** The files of another directory are being looked at; what happens meanwhile comes afterwards. */
  private isEntering = false;
  private readonly laterEvents: AofEvent[] = [];

  constructor(
    private readonly parts: PersistenceParts,
    private readonly snapshots: Snapshots,
    private readonly loader: DatasetLoader,
    /** `dir`, absolute. */
    private root: string,
    private readonly onRewriteEnd: (isOk: boolean) => void,
  ) {
    this.state = initialAofState(this.options());
  }

  // ---- The machine ----

  private options(): AofOptions {
    const { settings, processId } = this.parts;
    return {
      filename: settings.text('appendfilename'),
      dirname: settings.text('appenddirname'),
      useRdbPreamble: settings.isOn('aof-use-rdb-preamble'),
      keepsHistory: settings.isOn('aof-disable-auto-gc'),
      processId,
    };
  }

  send(event: AofEvent): void {
    if (this.isEntering) this.laterEvents.push(event);
    else this.take(step(this.state, event));
  }

  private take(next: AofStep): void {
    this.state = next.state;
    if (next.batch === 0) {
      for (const action of next.actions) this.tell(action);
      return;
    }
    this.current = this.runBatch(next.actions, next.batch).catch(this.parts.crash);
  }

  private async runBatch(actions: readonly AofAction[], batch: number): Promise<void> {
    const isBeginning = this.state.batch?.phase.name === 'begin';
    const failure = await runInOrder(actions, (action) => this.run(action));
    if (isBeginning) this.hasFailedToBegin = failure !== undefined;
    this.send(failure === undefined ? { type: 'done', batch } : { type: 'failed', batch, ...failure });
    if (this.state.batch === undefined && this.state.journal !== undefined) await this.measure();
  }

  /** Resolves when no batch is in flight. */
  async drain(): Promise<void> {
    for (let last = this.current; last !== undefined; last = this.current === last ? undefined : this.current) {
      await last;
    }
  }

  /** True from the cut until the new base counts. */
  get isRewriting(): boolean {
    if (this.isEntering) return true;
    const phase = this.state.batch?.phase.name;
    return this.state.rewrite !== undefined || phase === 'begin' || phase === 'commit';
  }

  // ---- Start and switching ----

  /** Reads what is in the directory, and loads it if the AOF is on. Resolves when that is over. */
  async start(isOn: boolean): Promise<void> {
    this.send({ type: 'start', isOn, files: await this.findFiles() });
    await this.drain();
  }

  /** Switched on at run time, in `root`. */
  switchOn(root: string): void {
    this.sendIn(root, { type: 'appendonly', isOn: true });
  }

  /** BGREWRITEAOF, or growth; in `root` if the AOF is off. */
  rewrite(root: string): void {
    this.sendIn(root, { type: 'rewrite' });
  }

  /** What the machine knows of another directory is worth nothing in this one. */
  private sendIn(root: string, event: AofEvent): void {
    const { mode, batch, rewrite } = this.state;
    if (root === this.root || mode !== 'off' || batch !== undefined || rewrite !== undefined) return this.send(event);
    this.isEntering = true;
    this.laterEvents.push(event);
    this.current = this.enter(root, this.root).catch(this.parts.crash);
  }

  private async enter(root: string, oldRoot: string): Promise<void> {
    this.root = root;
    const fresh = initialAofState(this.options());
    let refusal: string[] = [];
    try {
      const started = step(fresh, { type: 'start', isOn: false, files: await this.findFiles() });
      if (started.state.hasEnded) refusal = started.actions.flatMap((action) => (action.do === 'exit' ? action.messages : []));
      else this.state = started.state;
    } catch (error) {
      refusal = [failureReason(error)];
    }
    this.isEntering = false;
    const events = this.laterEvents.splice(0);
    if (refusal.length === 0) {
      for (const event of events) this.send(event);
      return;
    }
    // What a server exits for at its start is no reason to end one that runs.
    for (const line of refusal) this.parts.log('warning', line);
    this.parts.log('warning', `Can't use the AOF in ${root}`);
    this.hasFailedToBegin = true;
    this.root = oldRoot;
    this.endRewrite(false);
  }

  private async findFiles(): Promise<AofFiles> {
    const { files } = this.parts;
    const { filename, dirname } = this.state.options;
    const names = await files.list(`${this.root}/${dirname}`);
    return {
      hasOldStyleFile: (await files.size(`${this.root}/${filename}`)) !== undefined,
      hasDirectory: names !== undefined,
      manifest: await files.read(`${this.root}/${dirname}/${manifestName(this.state.options)}`),
      names: names ?? [],
    };
  }

  /** The files that the manifest names, for DEBUG LOADAOF. */
  filesOfManifest(): AofFile[] {
    const { manifest, options } = this.state;
    const file = (name: string, isBase: boolean): AofFile => ({ path: this.inRoot(`${options.dirname}/${name}`), isBase });
    const base = manifest.base === undefined ? [] : [file(manifest.base.name, true)];
    return [...base, ...manifest.incrs.map(({ name }) => file(name, false))];
  }

  // ---- Actions ----

  private inRoot(path: string): string {
    return path === '.' ? this.root : `${this.root}/${path}`;
  }

  private async run(action: AofAction): Promise<void> {
    const { files } = this.parts;
    switch (action.do) {
      case 'make-directory':
        return files.makeDirectory(this.inRoot(action.path));
      case 'write-file':
        return files.write(this.inRoot(action.path), action.text);
      case 'sync-file':
        return files.sync(this.inRoot(action.path));
      case 'sync-directory':
        return files.syncDirectory(this.inRoot(action.path));
      case 'rename':
      case 'rename-journal':
        return files.rename(this.inRoot(action.from), this.inRoot(action.to));
      case 'unlink':
        return files.unlink(this.inRoot(action.path));
      case 'load': {
        const paths = action.files.map(({ path, isBase }) => ({ path: this.inRoot(path), isBase }));
        this.points = await this.loader.loadAof(paths);
        return;
      }
      default:
        return this.runNative(action);
    }
  }

  private async runNative(action: AofAction): Promise<void> {
    const { addon, engine, files } = this.parts;
    switch (action.do) {
      case 'write-base':
        return this.writeBase(action.path, action.format);
      case 'open-journal': {
        const path = this.inRoot(action.path);
        const { offset, crc } = this.points.get(path) ?? { offset: 0n, crc: 0n };
        this.points.clear();
        return addon.openJournal(engine, { path, offset, crc });
      }
      case 'cut-journal':
        return this.beginSnapshot(action.snapshot, 'cut', this.inRoot(action.journal));
      case 'begin-journal':
        await files.write(this.inRoot(action.journal), '');
        return this.beginSnapshot(action.snapshot, 'begin', this.inRoot(action.journal));
      case 'begin-snapshot':
        return this.beginSnapshot(action.snapshot, 'none');
      case 'resume-journal':
        return addon.resumeJournal(engine);
      case 'sync-journal':
        return addon.syncJournal(engine);
      case 'close-journal':
        return addon.closeJournal(engine);
      case 'abort-snapshot':
        return this.abortSnapshot();
      default:
        this.tell(action);
    }
  }

  /** What cannot fail, and needs no time. */
  private tell(action: AofAction): void {
    if (action.do === 'log') this.parts.log(action.level, action.text);
    else if (action.do === 'report-rewrite') this.endRewrite(action.isOk);
    else if (action.do === 'exit') this.parts.exit(action.messages);
    else assert(false, `${action.do} belongs to a batch`);
  }

  // ---- Snapshots ----

  private async writeBase(path: string, format: 'rdb' | 'aof'): Promise<void> {
    const order = { path: this.inRoot(path), format, isAofBase: true, isInBackground: false, journal: 'none' } as const;
    await this.snapshots.write(order, () => undefined, () => true);
  }

  /** Resolves at the snapshot's instant; rejects when it does not get there. */
  private async beginSnapshot(
    { path, format }: { path: string; format: 'rdb' | 'aof' },
    journal: SnapshotOrder['journal'],
    journalPath?: string,
  ): Promise<void> {
    const order: SnapshotOrder = {
      path: this.inRoot(path),
      format,
      isAofBase: true,
      isInBackground: true,
      journal,
      ...(journalPath === undefined ? {} : { journalPath }),
    };
    const running: RunningSnapshot = { order, isAborted: false, settled: Promise.resolve() };
    this.snapshot = running;
    await new Promise<void>((resolve, reject) => {
      let isPast = false;
      const onInstant = (): void => {
        isPast = true;
        resolve();
      };
      const isWanted = (): boolean => {
        if (running.isAborted) return false;
        this.rewrites++;
        this.rewriteBeganAtMs = this.parts.now();
        return true;
      };
      const ended = (event: AofEvent): void => {
        if (this.snapshot === running) this.snapshot = undefined;
        if (!running.isAborted && isPast) this.send(event);
      };
      running.settled = this.snapshots
        .write(order, onInstant, isWanted)
        .then(
          (result) => {
            this.lastExtraBytes = result.extraBytesPeak;
            // The end may be heard of before the instant is.
            onInstant();
            ended({ type: 'snapshot-done' });
          },
          (error: unknown) => {
            // So may this: the journal has gone on to its new file then, and the machine must know it there.
            if ((error as { isPastInstant?: boolean }).isPastInstant === true) onInstant();
            ended({ type: 'snapshot-failed', reason: isPast ? failureReason(error) : '' });
            reject(error);
          },
        )
        .catch(this.parts.crash);
    });
  }

  private async abortSnapshot(): Promise<void> {
    const running = this.snapshot;
    if (running === undefined) return;
    running.isAborted = true;
    this.snapshots.cancel(running.order);
    await running.settled;
  }

  /** For a shutdown: a rewrite that runs is called off, and the machine cleans up behind it. */
  async cancelRewrite(): Promise<void> {
    const running = this.snapshot;
    if (running !== undefined) {
      this.snapshots.cancel(running.order);
      await running.settled;
    }
    await this.drain();
  }

  private endRewrite(isOk: boolean): void {
    if (this.rewriteBeganAtMs !== undefined) this.lastRewriteMs = this.parts.now() - this.rewriteBeganAtMs;
    this.rewriteBeganAtMs = undefined;
    this.isLastRewriteOk = isOk;
    this.isBaseOutdated = isOk || this.isBaseOutdated;
    this.onRewriteEnd(isOk);
  }

  // ---- Sizes ----

  /** Bytes of all files of the manifest. */
  currentBytes(): bigint {
    if (this.state.journal === undefined) return 0n;
    return this.otherBytes + this.parts.addon.journalStatus(this.parts.engine).fileBytes;
  }

  private async measure(): Promise<void> {
    const journal = this.inRoot(`${this.state.options.dirname}/${this.state.journal ?? ''}`);
    let sum = 0n;
    try {
      for (const { path } of this.filesOfManifest()) {
        if (path !== journal) sum += (await this.parts.files.size(path)) ?? 0n;
      }
    } catch (error) {
      // Only a figure: the rewrite that it is for comes a little later.
      this.parts.log('warning', `Unable to obtain the AOF's size: ${failureReason(error)}`);
      return;
    }
    this.otherBytes = sum;
    if (!this.isBaseOutdated || this.state.mode !== 'on') return;
    this.isBaseOutdated = false;
    this.baseBytes = this.currentBytes();
  }
}
