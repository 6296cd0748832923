/**
 * Persistence of a running server as the supervisor sees it: load at start, commands, the clock, the end.
 *
 * It holds the two state machines (RDB files, multi-part AOF) with their executors, and keeps what concerns both:
 * only one snapshot at a time, who waits for whom, when the AOF is rewritten by itself, and the order of a shutdown.
 *
 * At the end of a server nothing that was acknowledged may be missing in the files, and commands go on until the
 * last moment. So writes are refused first; then the journal is synced and the last RDB file written, and written
 * once more if a command that had passed the refusal was still on its way.
 *
 * Main thread. Every promise that fails for a reason that is not the disk's ends the process (parts.crash).
 */
import { AofExecutor } from './aof-executor.js';
import { DatasetLoader, secondsBetween } from './dataset-loader.js';
import { failureReason } from './files.js';
import type { PersistenceParts } from './parts.js';
import { RdbExecutor } from './rdb-executor.js';
import { currentSaveSec, isSavingInBackground, type RdbPlace, type SavePoint } from './rdb-state.js';
import { afterRewrite, checkLimit, dueGrowth, NO_LIMIT, type RewriteLimit } from './rewrite-trigger.js';
import { Snapshots } from './snapshots.js';
import type { PersistenceStatus } from './status.js';

/** What BGSAVE and BGREWRITEAOF are answered. */
export interface CommandReply {
  isError: boolean;
  text: string;
}

export interface ShutdownWish {
  /** Undefined: as the save points say. */
  saves: boolean | undefined;
  isForced: boolean;
}

export interface ReloadWish {
  saves: boolean;
  flushes: boolean;
  merges: boolean;
}

/** What has failed is tried again this often. */
const RETRY_MS = 1000;
/** Writes that were on their way when a shutdown began to refuse them are caught by one more save. */
const FINAL_SAVES_MAX = 3;
const SWITCH_ON_FAILURE =
  "Redis needs to enable the AOF but can't trigger a background AOF rewrite operation. Check the above logs for more " +
  'info about the error.';
const ENDING_REFUSAL = 'ERR The server is shutting down';
export const LOADING_ERROR = 'LOADING Redis is loading the dataset in memory';

/** How preparing a shutdown has ended. */
export type ShutdownOutcome = 'ready' | 'refused' | 'aborted';

type Phase = 'new' | 'loading' | 'serving' | 'reloading' | 'ending';

export class Persistence {
  private phase: Phase = 'new';
  private readonly snapshots: Snapshots;
  private readonly loader: DatasetLoader;
  private readonly rdb: RdbExecutor;
  private readonly aof: AofExecutor;
  private limit: RewriteLimit = NO_LIMIT;
  /** A switch that is refused is no failure of a rewrite, as in Redis. */
  private limitBeforeSwitchOn: RewriteLimit = NO_LIMIT;
  private isRewriteScheduled = false;
  /** CONFIG SET appendonly yes that waits for a snapshot to end. */
  private isSwitchOnScheduled = false;
  /** CONFIG SET appendonly yes that has been applied and not yet answered. */
  private isSwitchingOn = false;
  private hasExited = false;
  private isShutdownAborted = false;
  private retriedAtMs = 0;
  private flushesSeen = 0n;

  constructor(private readonly parts: PersistenceParts) {
    const guarded: PersistenceParts = { ...parts, exit: (messages) => this.exit(messages) };
    this.snapshots = new Snapshots(guarded);
    this.loader = new DatasetLoader(guarded);
    this.rdb = new RdbExecutor(guarded, this.snapshots, (text) => {
      // A last save that works is no reason to let writes pass behind it.
      if (this.phase !== 'ending') parts.addon.refuseWrites(parts.engine, text);
    });
    this.aof = new AofExecutor(guarded, this.snapshots, this.loader, parts.settings.text('dir'), (isOk) => {
      this.limit = afterRewrite(this.limit, isOk);
    });
  }

  private exit(messages: readonly string[]): void {
    this.hasExited = true;
    this.parts.exit(messages);
  }

  // ---- Start ----

  /** To be called before anybody listens: from here on commands that need the dataset are refused with LOADING. */
  beginLoading(): void {
    this.phase = 'loading';
    this.parts.addon.setLoading(this.parts.engine, true, 0n);
    this.applyOptions();
  }

  /** Loads what there is. False when the process has been told to exit. */
  async load(): Promise<boolean> {
    const { addon, engine, settings, dirty } = this.parts;
    const isAofOn = settings.isOn('appendonly');
    try {
      await this.aof.start(isAofOn);
      if (!isAofOn && !this.hasExited) await this.loadDump();
    } catch (error) {
      this.exit([failureReason(error)]);
    }
    if (this.hasExited) return false;
    addon.setLoading(engine, false, 0n);
    this.rdb.send({ type: 'loaded', dirty: dirty() });
    this.flushesSeen = this.parts.flushes();
    if (this.phase === 'loading') this.phase = 'serving';
    return true;
  }

  private async loadDump(): Promise<void> {
    const { addon, engine, files, log, now } = this.parts;
    const { directory, filename } = this.place();
    const path = `${directory}/${filename}`;
    try {
      const size = await files.size(path);
      if (size === undefined) return;
      addon.setLoading(engine, true, size);
      const beganAtMs = now();
      await this.loader.loadRdb(path);
      log('notice', `DB loaded from disk: ${secondsBetween(beganAtMs, now())} seconds`);
    } catch (error) {
      this.exit([failureReason(error), 'Fatal error loading the DB, check server logs. Exiting.']);
    }
  }

  // ---- Options ----

  /** Hands all options on that are not read where they are used. */
  private applyOptions(): void {
    const { addon, engine, settings } = this.parts;
    const stopsWrites = settings.isOn('stop-writes-on-bgsave-error');
    this.rdb.send({ type: 'options', savePoints: parseSavePoints(settings.text('save')), stopsWrites });
    addon.setJournalPolicy(engine, journalPolicy(settings.text('appendfsync')), settings.isOn('aof-timestamp-enabled'));
    this.snapshots.applyHold();
  }

  /** CONFIG SET of an option of persistence. */
  optionChanged(name: string): void {
    if (this.phase === 'new') return;
    const { settings } = this.parts;
    if (name === 'appendonly') return this.setAppendOnly(settings.isOn('appendonly'));
    if (name === 'aof-use-rdb-preamble' || name === 'aof-disable-auto-gc') {
      const useRdbPreamble = settings.isOn('aof-use-rdb-preamble');
      this.aof.send({ type: 'options', useRdbPreamble, keepsHistory: settings.isOn('aof-disable-auto-gc') });
      return;
    }
    this.applyOptions();
  }

  /**
   * CONFIG SET has changed these: resolves when what they promise holds for what is there already, with an error text
   * when the AOF cannot be switched on; the option is to be set back then.
   */
  async optionsSettled(names: readonly string[]): Promise<string | undefined> {
    // Switched on: effects are journaled from now on. Off: none is any more.
    if (names.includes('appendonly') && this.phase === 'serving') {
      const { isSwitchingOn } = this;
      this.isSwitchingOn = false;
      await this.aof.drain();
      if (isSwitchingOn && this.hasFailedToSwitchOn()) {
        this.parts.log('warning', SWITCH_ON_FAILURE);
        this.limit = this.limitBeforeSwitchOn;
        return 'Unable to turn on AOF. Check server logs.';
      }
    }
    if (names.includes('appendfsync') && this.parts.settings.text('appendfsync') === 'always') await this.syncJournal();
    return undefined;
  }

  private hasFailedToSwitchOn(): boolean {
    const isWanted = this.parts.settings.isOn('appendonly') && !this.isSwitchOnScheduled;
    return isWanted && this.aof.state.mode !== 'on' && this.aof.hasFailedToBegin;
  }

  private setAppendOnly(isOn: boolean): void {
    this.isSwitchOnScheduled = false;
    if (!isOn) {
      this.isRewriteScheduled = false;
      this.aof.send({ type: 'appendonly', isOn: false });
      return;
    }
    if (!this.snapshots.slot.isBusy && this.phase === 'serving') {
      this.isSwitchingOn = true;
      return this.switchOn();
    }
    this.isSwitchOnScheduled = true;
    this.parts.log(
      'notice',
      'AOF was enabled but there is already another background operation. An AOF background was scheduled to start ' +
        'when possible.',
    );
  }

  private switchOn(): void {
    this.isSwitchOnScheduled = false;
    this.limitBeforeSwitchOn = this.limit;
    this.aof.hasFailedToBegin = false;
    this.aof.switchOn(this.parts.settings.text('dir'));
  }

  // ---- Commands ----

  /** SAVE. Returns an error text; '' when the disk has failed, of which Redis tells the log alone. */
  async save(): Promise<string | undefined> {
    if (isSavingInBackground(this.rdb.state)) return 'Background save already in progress';
    return (await this.rdb.save(this.place())) ? undefined : '';
  }

  bgsave(isScheduling: boolean): CommandReply {
    const isOtherRunning = this.isOtherRunning();
    const next = this.rdb.send({
      type: 'bgsave',
      isScheduling,
      isOtherRunning,
      dirty: this.parts.dirty(),
      place: this.place(),
    });
    return next.reply ?? { isError: true, text: '' };
  }

  bgrewriteaof(): CommandReply {
    if (this.aof.isRewriting) {
      return { isError: true, text: 'Background append only file rewriting already in progress' };
    }
    // As in Redis: who asks does not wait for the delay behind failures.
    this.limit = { ...this.limit, failuresInRow: 0 };
    if (this.snapshots.slot.isBusy || this.phase !== 'serving' || this.aof.state.batch !== undefined) {
      this.isRewriteScheduled = true;
      return { isError: false, text: 'Background append only file rewriting scheduled' };
    }
    this.rewrite();
    return { isError: false, text: 'Background append only file rewriting started' };
  }

  lastSaveSec(): number {
    return this.rdb.state.lastSaveSec;
  }

  resetStats(): void {
    this.rdb.send({ type: 'reset-stats' });
    this.aof.rewrites = 0;
    this.limit = NO_LIMIT;
  }

  // ---- The clock ----

  /** Several times a second. */
  tick(): void {
    if (this.phase !== 'serving') return;
    const { now, dirty, settings } = this.parts;
    if (this.isSwitchOnScheduled && !this.snapshots.slot.isBusy && this.aof.state.batch === undefined) this.switchOn();
    if (this.isRewriteScheduled && this.mayRewrite()) {
      this.isRewriteScheduled = false;
      this.rewrite();
    }
    this.saveWhatIsFlushed();
    this.rdb.send({ type: 'tick', isOtherRunning: this.isOtherRunning(), dirty: dirty(), place: this.place() });
    if (this.aof.state.mode === 'on' && this.aof.state.batch === undefined && !this.snapshots.slot.isBusy) {
      const growth = dueGrowth({
        currentBytes: this.aof.currentBytes(),
        baseBytes: this.aof.baseBytes,
        percentage: settings.number('auto-aof-rewrite-percentage'),
        minBytes: settings.bigint('auto-aof-rewrite-min-size'),
      });
      if (growth !== undefined && this.mayRewrite()) {
        this.parts.log('notice', `Starting automatic rewriting of AOF on ${growth}% growth`);
        this.rewrite();
      }
    }
    if (now() - this.retriedAtMs < RETRY_MS) return;
    this.retriedAtMs = now();
    // A tick lets a first base that has failed begin anew, which is a rewrite like any other.
    if (this.aof.state.mode !== 'waiting' || this.mayRewrite()) this.aof.send({ type: 'tick' });
  }

  private saveWhatIsFlushed(): void {
    const flushes = this.parts.flushes();
    if (flushes === this.flushesSeen) return;
    this.flushesSeen = flushes;
    this.rdb.send({ type: 'flushed', dirty: this.parts.dirty(), place: this.place() });
  }

  private rewrite(): void {
    this.aof.rewrite(this.parts.settings.text('dir'));
  }

  private mayRewrite(): boolean {
    if (this.snapshots.slot.isBusy || this.aof.isRewriting || this.aof.state.batch !== undefined) return false;
    const { isLimited, limit, log } = checkLimit(this.limit, this.parts.now());
    this.limit = limit;
    if (log !== undefined) this.parts.log('warning', log);
    return !isLimited;
  }

  private isOtherRunning(): boolean {
    return this.aof.isRewriting || this.phase === 'reloading';
  }

  private place(): RdbPlace {
    const { settings } = this.parts;
    return { directory: settings.text('dir'), filename: settings.text('dbfilename') };
  }

  // ---- DEBUG ----

  /** DEBUG RELOAD. Returns an error text. */
  async reload({ saves, flushes, merges }: ReloadWish): Promise<string | undefined> {
    const { addon, engine, files, log } = this.parts;
    const { directory, filename } = this.place();
    const path = `${directory}/${filename}`;
    return this.whileRefusing(async () => {
      if (saves && !(await this.rdb.save({ directory, filename }))) return 'ERR';
      try {
        addon.setLoading(engine, true, (await files.size(path)) ?? 0n);
        if (flushes) await addon.emptyDataset(engine);
        await this.loader.loadRdb(path, merges);
      } catch (error) {
        log('warning', failureReason(error));
        return 'ERR Error trying to load the RDB dump, check server logs.';
      }
      // Emptying and loading are no changes.
      if (saves) this.rdb.send({ type: 'loaded', dirty: this.parts.dirty() });
      log('warning', 'DB reloaded by DEBUG RELOAD');
      return undefined;
    });
  }

  /** DEBUG LOADAOF. Returns an error text. */
  async loadAof(): Promise<string | undefined> {
    const { addon, engine, log } = this.parts;
    return this.whileRefusing(async () => {
      await this.aof.drain();
      try {
        if (this.aof.state.journal !== undefined) await addon.syncJournal(engine);
        await addon.emptyDataset(engine);
        await this.loader.loadAof(this.aof.filesOfManifest());
      } catch (error) {
        log('warning', failureReason(error));
        return 'ERR Error trying to load the AOF files, check server logs.';
      }
      this.rdb.send({ type: 'loaded', dirty: this.parts.dirty() });
      log('notice', 'Append Only File loaded by DEBUG LOADAOF');
      return undefined;
    });
  }

  private async whileRefusing(task: () => Promise<string | undefined>): Promise<string | undefined> {
    if (this.phase !== 'serving') return LOADING_ERROR;
    const { addon, engine } = this.parts;
    this.phase = 'reloading';
    addon.setLoading(engine, true, 0n);
    try {
      return await task();
    } finally {
      addon.setLoading(engine, false, 0n);
      if (this.phase === 'reloading') this.phase = 'serving';
    }
  }

  // ---- The end ----

  /** Before the workers stop. When the server may not end, or the shutdown was aborted, all goes on as before. */
  async prepareShutdown({ saves, isForced }: ShutdownWish): Promise<ShutdownOutcome> {
    const { addon, engine, log } = this.parts;
    // What is being loaded is in its files.
    if (this.phase !== 'serving') return 'ready';
    if (this.aof.state.mode === 'waiting') {
      if (!isForced) {
        log('warning', "Writing initial AOF, can't exit.");
        return 'refused';
      }
      log('warning', 'Writing initial AOF. Exit anyway.');
    }
    this.phase = 'ending';
    this.isShutdownAborted = false;
    this.snapshots.slot.close();
    addon.refuseWrites(engine, ENDING_REFUSAL);
    await this.endBackground();
    if (this.aof.state.journal !== undefined) log('notice', 'Calling fsync() on the AOF file.');
    await this.syncJournal();
    const isSaving = saves ?? this.rdb.state.options.savePoints.length > 0;
    const isSaved = !isSaving || (await this.finalSave());
    if (!this.isShutdownAborted && (isSaved || isForced)) {
      if (!isSaved) log('warning', 'Error trying to save the DB. Exit anyway.');
      return 'ready';
    }
    log('warning', this.isShutdownAborted ? 'Shutdown manually aborted.' : "Error trying to save the DB, can't exit.");
    addon.refuseWrites(engine, this.rdb.state.refusal);
    this.phase = 'serving';
    return this.isShutdownAborted ? 'aborted' : 'refused';
  }

  /** SHUTDOWN ABORT: false when there is no shutdown, or none that can be called off any more. */
  abortShutdown(): boolean {
    if (this.phase !== 'ending') return false;
    this.isShutdownAborted = true;
    this.rdb.cancelSnapshot();
    return true;
  }

  private async endBackground(): Promise<void> {
    const { log } = this.parts;
    if (isSavingInBackground(this.rdb.state)) log('warning', 'There is a background save. Cancelling it!');
    this.rdb.send({ type: 'cancel' });
    if (this.aof.isRewriting) log('warning', 'There is a rewrite of the AOF. Cancelling it!');
    await this.aof.cancelRewrite();
    await this.rdb.drain();
    this.snapshots.slot.open();
  }

  private async syncJournal(): Promise<void> {
    const { addon, engine, log } = this.parts;
    if (this.aof.state.journal === undefined) return;
    try {
      await addon.syncJournal(engine);
    } catch (error) {
      log('warning', `Fail to fsync the AOF file: ${failureReason(error)}.`);
    }
  }

  private async finalSave(): Promise<boolean> {
    const { dirty, log } = this.parts;
    log('notice', 'Saving the final RDB snapshot before exiting.');
    for (let count = 0; count < FINAL_SAVES_MAX; count++) {
      const before = dirty();
      if (this.isShutdownAborted || !(await this.rdb.save(this.place()))) return false;
      if (dirty() === before) break;
    }
    return true;
  }

  /** Behind the workers' end: nobody writes any more. */
  async close(): Promise<void> {
    const { addon, engine, log } = this.parts;
    // A load may take long, and there is no journal yet.
    if (this.isLoading) return;
    await this.aof.drain();
    if (this.aof.state.journal === undefined) return;
    try {
      await addon.closeJournal(engine);
    } catch (error) {
      log('warning', `Fail to fsync the AOF file: ${failureReason(error)}.`);
    }
  }

  // ---- What INFO asks ----

  get isLoading(): boolean {
    return this.phase === 'new' || this.phase === 'loading';
  }

  status(): PersistenceStatus {
    const { addon, engine, dirty, now } = this.parts;
    const { rdb, aof, limit } = this;
    const seconds = (ms: number): number => Math.floor(ms / 1000);
    const began = aof.rewriteBeganAtMs;
    return {
      loading: addon.loadProgress(engine),
      snapshot: addon.snapshotProgress(engine),
      rdb: {
        changesSinceSave: dirty() - rdb.state.dirtySaved,
        isSavingInBackground: isSavingInBackground(rdb.state),
        lastSaveSec: rdb.state.lastSaveSec,
        isLastOk: rdb.state.isLastOk,
        lastTookSec: rdb.state.lastTookSec,
        currentSec: currentSaveSec(rdb.state, now()),
        saves: rdb.state.saves,
        lastExtraBytes: rdb.state.lastExtraBytes,
        keysExpiredAtLoad: this.loader.keysExpired,
        keysLoaded: this.loader.keysLoaded,
      },
      aof: {
        isEnabled: aof.state.mode !== 'off' || this.isSwitchOnScheduled,
        isRewriting: aof.isRewriting,
        isRewriteScheduled: this.isRewriteScheduled || this.isSwitchOnScheduled,
        lastRewriteSec: aof.lastRewriteMs < 0 ? -1 : seconds(aof.lastRewriteMs),
        currentRewriteSec: began === undefined ? -1 : seconds(now() - began),
        isLastRewriteOk: aof.isLastRewriteOk,
        rewrites: aof.rewrites,
        failuresInRow: limit.failuresInRow,
        lastExtraBytes: aof.lastExtraBytes,
        currentBytes: aof.currentBytes(),
        baseBytes: aof.baseBytes,
        journal: addon.journalStatus(engine),
      },
    };
  }
}

/** The value of `save` as the store keeps it. */
export function parseSavePoints(text: string): SavePoint[] {
  const words = text.split(' ').filter((word) => word !== '');
  const points: SavePoint[] = [];
  for (let index = 0; index + 1 < words.length; index += 2) {
    points.push({ seconds: Number(words[index]), changes: BigInt(words[index + 1] as string) });
  }
  return points;
}

function journalPolicy(word: string): 'always' | 'everysec' | 'no' {
  return word === 'always' || word === 'no' ? word : 'everysec';
}
