/**
 * Carries out what the state machine of RDB files (rdb-state.ts) says.
 *
 * Main thread.
 */
import { assertPresent } from '../util/assert.js';
import { runInOrder, type PersistenceParts } from './parts.js';
import { initialRdbState, step, type RdbAction, type RdbEvent, type RdbState, type RdbStep } from './rdb-state.js';
import type { SnapshotOrder, Snapshots } from './snapshots.js';

export class RdbExecutor {
  state: RdbState;
  private order: SnapshotOrder | undefined;
  private extraBytesPeak = 0n;
  private readonly askers = new Map<number, (isOk: boolean) => void>();
  private lastToken = 0;
  private current: Promise<void> | undefined;

  constructor(
    private readonly parts: PersistenceParts,
    private readonly snapshots: Snapshots,
    /** What writes are refused with has changed. */
    private readonly refuseWrites: (text: string) => void,
  ) {
    const options = { savePoints: [], stopsWrites: true, processId: parts.processId };
    this.state = initialRdbState(options, parts.now());
  }

  send(event: RdbEvent): RdbStep {
    const next = step(this.state, event, this.parts.now());
    this.state = next.state;
    if (next.batch === 0) for (const action of next.actions) this.tell(action);
    else this.current = this.runBatch(next.actions, next.batch).catch(this.parts.crash);
    return next;
  }

  /** SAVE: resolves with whether it has worked. */
  save(place: { directory: string; filename: string }): Promise<boolean> {
    const token = ++this.lastToken;
    return new Promise((resolve) => {
      this.askers.set(token, resolve);
      this.send({ type: 'save', token, dirty: this.parts.dirty(), place });
    });
  }

  private async runBatch(actions: readonly RdbAction[], batch: number): Promise<void> {
    const failure = await runInOrder(actions, (action) => this.run(action));
    if (failure !== undefined) this.send({ type: 'failed', batch, ...failure });
    else this.send({ type: 'done', batch, extraBytesPeak: this.extraBytesPeak });
  }

  /** Resolves when nothing is being done. */
  async drain(): Promise<void> {
    for (let last = this.current; last !== undefined; last = this.current === last ? undefined : this.current) {
      await last;
    }
  }

  private async run(action: RdbAction): Promise<void> {
    const { files } = this.parts;
    switch (action.do) {
      case 'snapshot':
        return this.write(action.path);
      case 'rename':
        return files.rename(action.from, action.to);
      case 'sync-directory':
        return files.syncDirectory(action.path);
      case 'unlink':
        return files.unlink(action.path);
      default:
        this.tell(action);
    }
  }

  private async write(path: string): Promise<void> {
    const isInBackground = this.state.job?.isForeground === false;
    const order: SnapshotOrder = { path, format: 'rdb', isAofBase: false, isInBackground, journal: 'none' };
    this.order = order;
    try {
      const isWanted = (): boolean => this.state.job?.isCancelled !== true;
      const result = await this.snapshots.write(order, () => undefined, isWanted);
      this.extraBytesPeak = result.extraBytesPeak;
    } finally {
      this.order = undefined;
    }
  }

  /** The one that runs, if there is one: its save fails. */
  cancelSnapshot(): void {
    if (this.order !== undefined) this.snapshots.cancel(this.order);
  }

  private tell(action: RdbAction): void {
    if (action.do === 'log') this.parts.log(action.level, action.text);
    else if (action.do === 'refuse-writes') this.refuseWrites(action.text);
    else if (action.do === 'cancel-snapshot') this.cancelSnapshot();
    else if (action.do === 'answer') {
      const asker = assertPresent(this.askers.get(action.token), `somebody who waits for SAVE ${action.token}`);
      this.askers.delete(action.token);
      asker(action.isOk);
    }
  }
}
