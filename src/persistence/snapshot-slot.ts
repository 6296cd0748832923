/**
 * Snapshots one at a time: the engine writes one, and RDB files, bases of the AOF and DEBUG RELOAD all want one.
 *
 * Whoever wants one waits for its turn, in the order of asking, and gives the turn back when the snapshot has ended,
 * however that came about. A turn that has not been given yet is taken back by `close` (the shutdown). Main thread.
 */
import { assert } from '../util/assert.js';

export class SnapshotSlot {
  private isHeld = false;
  private isClosed = false;
  private readonly waiting: { give: () => void; refuse: (error: Error) => void }[] = [];

  /** Resolves when it is the caller's turn; rejects when there will be none. */
  async take(): Promise<void> {
    if (this.isClosed) throw new Error('the server is shutting down');
    if (!this.isHeld) {
      this.isHeld = true;
      return;
    }
    await new Promise<void>((give, refuse) => this.waiting.push({ give, refuse }));
  }

  release(): void {
    assert(this.isHeld, 'only who has the turn gives it back');
    const next = this.waiting.shift();
    if (next === undefined) this.isHeld = false;
    else next.give();
  }

  get isBusy(): boolean {
    return this.isHeld;
  }

  /** Nobody who waits gets a turn any more, until `open`. */
  close(): void {
    this.isClosed = true;
    for (const { refuse } of this.waiting.splice(0)) refuse(new Error('the server is shutting down'));
  }

  open(): void {
    this.isClosed = false;
  }
}
