/**
 * The counters of the native engine, read without asking anybody.
 *
 * The engine writes plain 64-bit cells into a SharedArrayBuffer (picture in native/engine/counters.h): a group of
 * cells per worker, per shard, per shard and database, per worker and command. Each cell has one writer; a reader
 * sees a value that may be a moment old, never a torn one.
 *
 * Always true: nothing is written here; CONFIG RESETSTAT is the engine's (resetStats). The field names, their order
 * and the strides come from the engine (statsLayout). Main thread.
 */
import type { StatsLayout } from '../native/addon.js';
import { assertPresent } from '../util/assert.js';

/** How many groups there are. */
export interface CounterSizes {
  workers: number;
  shards: number;
  databases: number;
}

export interface CommandStat {
  name: string;
  calls: bigint;
  usec: bigint;
  rejectedCalls: bigint;
  failedCalls: bigint;
}

export interface DatabaseStat {
  index: number;
  keys: bigint;
  expires: bigint;
  averageTtlMs: bigint;
}

/** What INFO and the metrics read. */
export interface Counters {
  /** Sum of a worker cell over all workers. */
  worker(field: string): bigint;
  /** The largest value of a worker cell. */
  workerMax(field: string): bigint;
  /** Sum of a shard cell over all shards. */
  shard(field: string): bigint;
  /** Commands that were called or refused. */
  commandStats(): CommandStat[];
  /** Databases that hold keys. */
  databaseStats(): DatabaseStat[];
}

const CELL_BYTES = 8;
/** The engine counts command time in nanoseconds, INFO in microseconds. */
const NS_PER_USEC = 1000n;

interface Group {
  /** Index of the first cell. */
  start: number;
  /** Cells from one record to the next. */
  stride: number;
  count: number;
  fieldIndex: ReadonlyMap<string, number>;
}

function groupsOf(
  layout: StatsLayout,
  sizes: CounterSizes,
): Record<'workers' | 'shards' | 'databases' | 'commands', Group> {
  const group = (start: number, { fields, stride }: StatsLayout['worker'], count: number): Group => ({
    start,
    stride: stride / CELL_BYTES,
    count,
    fieldIndex: new Map(fields.map((name, index) => [name, index])),
  });
  const end = (before: Group): number => before.start + before.stride * before.count;
  const workers = group(0, layout.worker, sizes.workers + layout.runners);
  const shards = group(end(workers), layout.shard, sizes.shards);
  const databases = group(end(shards), layout.database, sizes.shards * sizes.databases);
  const commands = group(end(databases), layout.command, (sizes.workers + layout.runners) * layout.commands.length);
  return { workers, shards, databases, commands };
}

/** Counters in shared memory. */
export class SharedCounters implements Counters {
  private readonly cells: BigInt64Array;
  private readonly groups: ReturnType<typeof groupsOf>;

  constructor(
    stats: Uint8Array,
    private readonly layout: StatsLayout,
    private readonly sizes: CounterSizes,
  ) {
    this.cells = new BigInt64Array(stats.buffer, stats.byteOffset, stats.byteLength / CELL_BYTES);
    this.groups = groupsOf(layout, sizes);
  }

  worker(field: string): bigint {
    let sum = 0n;
    for (let index = 0; index < this.groups.workers.count; index++) {
      sum += this.read(this.groups.workers, index, field);
    }
    return sum;
  }

  workerMax(field: string): bigint {
    let max = 0n;
    for (let index = 0; index < this.groups.workers.count; index++) {
      const value = this.read(this.groups.workers, index, field);
      if (value > max) max = value;
    }
    return max;
  }

  shard(field: string): bigint {
    let sum = 0n;
    for (let index = 0; index < this.groups.shards.count; index++) {
      sum += this.read(this.groups.shards, index, field);
    }
    return sum;
  }

  commandStats(): CommandStat[] {
    const stats: CommandStat[] = [];
    const commandCount = this.layout.commands.length;
    for (const [id, name] of this.layout.commands.entries()) {
      const sum = (field: string): bigint => {
        let total = 0n;
        for (let worker = 0; worker < this.groups.workers.count; worker++) {
          total += this.read(this.groups.commands, worker * commandCount + id, field);
        }
        return total;
      };
      const stat = {
        name,
        calls: sum('calls'),
        usec: sum('nanoseconds') / NS_PER_USEC,
        rejectedCalls: sum('rejected_calls'),
        failedCalls: sum('failed_calls'),
      };
      if (stat.calls + stat.rejectedCalls + stat.failedCalls > 0n) stats.push(stat);
    }
    return stats;
  }

  databaseStats(): DatabaseStat[] {
    const stats: DatabaseStat[] = [];
    for (let index = 0; index < this.sizes.databases; index++) {
      let keys = 0n;
      let expires = 0n;
      let weightedTtlMs = 0n;
      for (let shard = 0; shard < this.sizes.shards; shard++) {
        const member = shard * this.sizes.databases + index;
        const shardExpires = this.read(this.groups.databases, member, 'expires');
        keys += this.read(this.groups.databases, member, 'keys');
        expires += shardExpires;
        weightedTtlMs += shardExpires * this.read(this.groups.databases, member, 'average_ttl_ms');
      }
      if (keys > 0n) stats.push({ index, keys, expires, averageTtlMs: expires > 0n ? weightedTtlMs / expires : 0n });
    }
    return stats;
  }

  private read(group: Group, member: number, field: string): bigint {
    const fieldIndex = assertPresent(group.fieldIndex.get(field), `counter ${field}`);
    return Atomics.load(this.cells, group.start + member * group.stride + fieldIndex);
  }
}
