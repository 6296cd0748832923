/**
 * Snapshots as the executors order them: the request with all that the options say, one at a time, and the journal's
 * syncs held back meanwhile if the options say so (no-appendfsync-on-rewrite).
 *
 * Main thread.
 */
import type { SnapshotRequest, SnapshotResult } from '../native/persistence.js';
import type { PersistenceParts } from './parts.js';
import { SnapshotSlot } from './snapshot-slot.js';

export interface SnapshotOrder {
  /** Absolute. */
  path: string;
  format: 'rdb' | 'aof';
  isAofBase: boolean;
  /** Nobody waits for it. */
  isInBackground: boolean;
  journal: SnapshotRequest['journal'];
  journalPath?: string;
}

export class Snapshots {
  readonly slot = new SnapshotSlot();
  private running: SnapshotOrder | undefined;

  constructor(private readonly parts: PersistenceParts) {}

  /** Waits for its turn, then writes. `isWanted` is asked when the turn has come. */
  async write(order: SnapshotOrder, onInstant: () => void, isWanted: () => boolean): Promise<SnapshotResult> {
    const { addon, engine } = this.parts;
    await this.slot.take();
    try {
      if (!isWanted()) throw new Error('cancelled');
      this.running = order;
      this.applyHold();
      const result = await addon.snapshot(engine, this.request(order), onInstant);
      const [stayMs, instantMs] = [result.longestStayUs, result.instantUs].map((timeUs) => (timeUs / 1000).toFixed(2));
      this.parts.log('verbose', `Snapshot: longest stay in a shard ${stayMs} ms, in all of them ${instantMs} ms`);
      return result;
    } finally {
      this.running = undefined;
      this.applyHold();
      this.slot.release();
    }
  }

  /** Stops the snapshot if it is this one; its promise then rejects. */
  cancel(order: SnapshotOrder): void {
    if (this.running === order) this.parts.addon.cancelSnapshot(this.parts.engine);
  }

  /** After a change of no-appendfsync-on-rewrite, and at both ends of a snapshot. */
  applyHold(): void {
    const { addon, engine, settings } = this.parts;
    addon.holdJournalSync(engine, this.running !== undefined && settings.isOn('no-appendfsync-on-rewrite'));
  }

  private request({ path, format, isAofBase, isInBackground, journal, journalPath }: SnapshotOrder): SnapshotRequest {
    const { settings } = this.parts;
    return {
      path,
      format,
      version: settings.number('rdb-compat-version'),
      compresses: settings.isOn('rdbcompression'),
      hasChecksum: settings.isOn('rdbchecksum'),
      syncsOnTheWay: settings.isOn(isAofBase ? 'aof-rewrite-incremental-fsync' : 'rdb-save-incremental-fsync'),
      aux: this.auxFields(isAofBase),
      givesWay: isInBackground,
      // Below zero Redis waits after so many keys together; nobody can tell the difference here.
      keyDelayUs: Math.max(settings.number('rdb-key-save-delay'), 0),
      journal,
      ...(journalPath === undefined ? {} : { journalPath }),
    };
  }

  /** Redis's fields, in its order. */
  private auxFields(isAofBase: boolean): [string, string][] {
    const { redisVersion, now, usedMemoryBytes } = this.parts;
    return [
      ['redis-ver', redisVersion],
      ['redis-bits', '64'],
      ['ctime', String(Math.floor(now() / 1000))],
      ['used-mem', String(usedMemoryBytes())],
      ['aof-base', isAofBase ? '1' : '0'],
    ];
  }
}
