/**
 * A world for the state machine of the AOF: a file system that can lose power, a disk that can fail, a dataset that is
 * the number of effects so far, and an executor that can be stopped between any two actions.
 *
 * Effects are numbered 1, 2, 3 …; a base holds the number of the last effect it has taken in, an incremental file holds
 * effects. So a load is right when it gives 1 … m without a gap, m at least what was acknowledged and at most what was
 * issued. What is not synced survives a power loss up to a random point: data file by file, names in the order of
 * their changes.
 */
import {
  initialAofState,
  step,
  type AofAction,
  type AofEvent,
  type AofOptions,
  type AofState,
  type AofStep,
} from '../../src/persistence/aof-state.js';
import { emptyManifest, parseManifest } from '../../src/persistence/format/manifest.js';

/** Small generator with a seed (xorshift32). */
export function randomOf(seed: number): (below: number) => number {
  let state = (seed | 0) === 0 ? 1 : seed | 0;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

interface Inode {
  /** Manifest text, or the number in a base as text. */
  text: string;
  effects: number[];
  isBase: boolean;
  isTorn: boolean;
  /** How much of text and effects is on disk. */
  syncedText: number;
  syncedEffects: number;
}

type NameChange = { path: string; inode: Inode | undefined };

export class SimulatedFiles {
  names = new Map<string, Inode>();
  #durable = new Map<string, Inode>();
  /** Changes of names that are not on disk yet; a rename is one change of two names. */
  #pending: NameChange[][] = [];

  create(path: string, text = ''): Inode {
    const inode = { text, effects: [], isBase: false, isTorn: false, syncedText: 0, syncedEffects: 0 };
    const known = this.names.get(path);
    if (known !== undefined) return Object.assign(known, inode);
    this.#change([{ path, inode }]);
    return inode;
  }

  rename(from: string, to: string): void {
    const inode = this.names.get(from);
    if (inode === undefined) throw new Error(`rename: ${from} is not there`);
    this.#change([
      { path: from, inode: undefined },
      { path: to, inode },
    ]);
  }

  unlink(path: string): void {
    if (this.names.has(path)) this.#change([{ path, inode: undefined }]);
  }

  #change(changes: NameChange[]): void {
    this.#pending.push(changes);
    apply(this.names, changes);
  }

  syncNames(): void {
    for (const changes of this.#pending) apply(this.#durable, changes);
    this.#pending = [];
  }

  /** What a power loss leaves. */
  losePower(random: (below: number) => number): void {
    for (const changes of this.#pending.slice(0, random(this.#pending.length + 1))) apply(this.#durable, changes);
    this.#pending = [];
    this.names = new Map(this.#durable);
    for (const inode of new Set(this.names.values())) {
      const textEnd = inode.syncedText + random(inode.text.length - inode.syncedText + 1);
      inode.text = inode.text.slice(0, textEnd);
      const lost = inode.effects.length - inode.syncedEffects;
      const end = inode.syncedEffects + random(lost + 1);
      inode.isTorn = end < inode.effects.length && random(2) === 0;
      inode.effects.length = end;
      sync(inode);
    }
  }
}

function apply(names: Map<string, Inode>, changes: NameChange[]): void {
  for (const { path, inode } of changes) {
    if (inode === undefined) names.delete(path);
    else names.set(path, inode);
  }
}

function sync(inode: Inode): void {
  inode.syncedText = inode.text.length;
  inode.syncedEffects = inode.effects.length;
}

/** What a simulation reports when something is wrong. */
export class SimulationError extends Error {}

export class World {
  readonly files = new SimulatedFiles();
  readonly trace: string[] = [];
  state: AofState;
  /** Effects applied to the dataset; the last one that somebody was told is durable. */
  issued = 0;
  acknowledged = 0;
  failsOneIn = 0;
  #queue: AofAction[] = [];
  #batch = 0;
  #index = 0;
  #journal: Inode | undefined;
  #held: number[] | undefined;
  #snapshot: { path: string; upTo: number } | undefined;
  #exited: string[] | undefined;

  constructor(
    readonly options: AofOptions,
    readonly random: (below: number) => number,
  ) {
    this.state = initialAofState(options);
  }

  get isBusy(): boolean {
    return this.#queue.length > 0;
  }

  nextIs(what: AofAction['do']): boolean {
    return this.#queue[0]?.do === what;
  }

  send(event: AofEvent): void {
    this.trace.push(`event ${JSON.stringify(event)}`);
    this.#take(step(this.state, event));
  }

  #take(next: AofStep): void {
    this.state = next.state;
    if (next.batch === 0) {
      for (const action of next.actions) this.#run(action);
      return;
    }
    this.#queue = [...next.actions];
    this.#batch = next.batch;
    this.#index = 0;
  }

  /** Runs the next action, or tells that the batch is done. */
  runOne(): void {
    const action = this.#queue[0];
    if (action === undefined) return;
    const reason = this.#try(action);
    if (reason !== undefined) {
      this.#queue = [];
      this.send({ type: 'failed', batch: this.#batch, index: this.#index, reason });
      return;
    }
    this.#queue.shift();
    this.#index++;
    if (this.#queue.length === 0) this.send({ type: 'done', batch: this.#batch });
  }

  #try(action: AofAction): string | undefined {
    const canFail = !['log', 'report-rewrite', 'exit', 'load', 'abort-snapshot', 'resume-journal'].includes(action.do);
    const fails = canFail && this.failsOneIn > 0 && this.random(this.failsOneIn) === 0;
    // A sync that fails may have done its work; everything else that fails has done nothing.
    if (!fails || (action.do === 'sync-directory' && this.random(2) === 0)) this.#run(action);
    if (fails && action.do === 'close-journal') this.#journal = undefined;
    // The old file could not be synced: what comes waits for resume-journal.
    if (fails && action.do === 'cut-journal') this.#held = [];
    this.trace.push(`${fails ? 'FAILED ' : ''}${JSON.stringify(action)}`);
    return fails ? 'injected' : undefined;
  }

  #run(action: AofAction): void {
    switch (action.do) {
      case 'write-file':
        this.files.create(action.path, action.text);
        return;
      case 'sync-file':
        sync(this.#inode(action.path));
        return;
      case 'sync-directory':
        this.files.syncNames();
        return;
      case 'rename':
      case 'rename-journal':
        this.files.rename(action.from, action.to);
        return;
      case 'unlink':
        this.files.unlink(action.path);
        return;
      case 'load':
        this.load(action.files.map((file) => file.path));
        return;
      case 'write-base':
        this.#writeBase(action.path, this.issued);
        return;
      case 'exit':
        this.#exited = action.messages;
        throw new SimulationError(`exit: ${action.messages.join(' ')}`);
      case 'make-directory':
      case 'log':
      case 'report-rewrite':
        return;
      default:
        this.#runJournal(action);
    }
  }

  #runJournal(action: AofAction): void {
    switch (action.do) {
      case 'open-journal':
        this.#journal = this.#inode(action.path);
        this.#release();
        return;
      case 'cut-journal':
        if (this.#journal === undefined) throw new SimulationError('cut without a journal');
        this.syncJournal();
        this.#journal = this.#inode(action.journal);
        if (this.#journal.effects.length > 0) throw new SimulationError(`${action.journal} is not new`);
        this.#snapshot = { path: action.snapshot.path, upTo: this.issued };
        return;
      case 'begin-journal':
        this.#journal = this.files.create(action.journal);
        this.#snapshot = { path: action.snapshot.path, upTo: this.issued };
        return;
      case 'begin-snapshot':
        if (this.#journal !== undefined) throw new SimulationError('a journal while the AOF is off');
        this.#snapshot = { path: action.snapshot.path, upTo: this.issued };
        return;
      case 'resume-journal':
        this.#release();
        return;
      case 'sync-journal':
        this.syncJournal();
        return;
      case 'close-journal':
        this.#release();
        this.syncJournal();
        this.#journal = undefined;
        return;
      case 'abort-snapshot':
        this.#snapshot = undefined;
        return;
      default:
        throw new SimulationError(`no such action: ${action.do}`);
    }
  }

  #inode(path: string): Inode {
    const inode = this.files.names.get(path);
    if (inode === undefined) throw new SimulationError(`${path} is not there`);
    return inode;
  }

  #release(): void {
    this.#journal?.effects.push(...(this.#held ?? []));
    this.#held = undefined;
  }

  #writeBase(path: string, upTo: number): void {
    const inode = this.files.create(path, String(upTo).padStart(8, '0'));
    inode.isBase = true;
    sync(inode);
  }

  /** A write of a client. */
  emit(): void {
    this.issued++;
    if (this.#held !== undefined) this.#held.push(this.issued);
    else this.#journal?.effects.push(this.issued);
  }

  /** A group commit: what is in the file is synced, and acknowledged when the AOF is on. */
  syncJournal(): void {
    if (this.#journal === undefined) return;
    sync(this.#journal);
    const last = this.#journal.effects.at(-1);
    if (this.state.mode === 'on' && last !== undefined) this.acknowledged = Math.max(this.acknowledged, last);
  }

  get hasSnapshot(): boolean {
    return this.#snapshot !== undefined;
  }

  endSnapshot(isOk: boolean): void {
    const snapshot = this.#snapshot;
    if (snapshot === undefined) return;
    this.#snapshot = undefined;
    if (isOk) this.#writeBase(snapshot.path, snapshot.upTo);
    this.send(isOk ? { type: 'snapshot-done' } : { type: 'snapshot-failed', reason: 'injected' });
  }

  /** The process dies; with the power, what was not synced is lost too. A new one starts, with `isOn`. */
  restart(hasPowerLoss: boolean, isOn: boolean): void {
    this.trace.push(hasPowerLoss ? 'POWER LOSS' : 'KILL');
    if (hasPowerLoss) this.files.losePower(this.random);
    this.#queue = [];
    this.#journal = undefined;
    this.#held = undefined;
    this.#snapshot = undefined;
    this.state = initialAofState(this.options);
    const prefix = `${this.options.dirname}/`;
    const names = [...this.files.names.keys()].filter((path) => path.startsWith(prefix));
    const manifest = this.files.names.get(`${prefix}${this.options.filename}.manifest`)?.text;
    const files = {
      hasOldStyleFile: this.files.names.has(this.options.filename),
      hasDirectory: names.length > 0,
      manifest,
      names: names.map((path) => path.slice(prefix.length)),
    };
    this.send({ type: 'start', isOn, files });
  }

  /** Loads as the server does, and compares with what was promised. */
  load(paths: string[]): void {
    let last = 0;
    let torn: string | undefined;
    for (const path of paths) {
      const inode = this.#inode(path);
      const isEmpty = !inode.isBase && inode.effects.length === 0 && !inode.isTorn;
      if (torn !== undefined && !isEmpty) throw new SimulationError(`${torn} is torn, and not the last with data`);
      if (inode.isBase) {
        if (inode.text.length !== 8) throw new SimulationError(`${path} is not whole`);
        last = Number(inode.text);
      }
      for (const effect of inode.effects) {
        if (effect !== last + 1) throw new SimulationError(`${path} has effect ${effect} behind ${last}`);
        last = effect;
      }
      if (inode.isTorn) torn = path;
      inode.isTorn = false;
      sync(inode);
    }
    if (last < this.acknowledged) throw new SimulationError(`${this.acknowledged} acknowledged, ${last} loaded`);
    if (last > this.issued) throw new SimulationError(`${last} loaded, ${this.issued} issued`);
    this.issued = last;
    this.acknowledged = last;
  }

  /** Files in the directory that the manifest does not name. */
  strays(): string[] {
    const prefix = `${this.options.dirname}/`;
    const text = this.files.names.get(`${prefix}${this.options.filename}.manifest`)?.text;
    const manifest = text === undefined ? emptyManifest() : parseManifest(text);
    const named = [manifest.base, ...manifest.incrs, ...manifest.history].map((part) => part?.name);
    return [...this.files.names.keys()]
      .filter((path) => path.startsWith(prefix))
      .map((path) => path.slice(prefix.length))
      .filter((name) => !named.includes(name) && !name.endsWith('.manifest'));
  }
}
