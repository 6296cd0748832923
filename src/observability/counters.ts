/**
 * The counters of the native engine, read without asking anybody.
 *
 * The engine writes plain 64-bit cells into a SharedArrayBuffer (picture in native/engine/counters.h): a group of
 * cells per worker, per shard, per shard and database, per worker and command. Each cell has one writer; a reader
 * sees a value that may be a moment old, never a torn one.
 *
 * Always true: reading changes nothing; CONFIG RESETSTAT keeps a copy of the cells and subtracts it from then on, so
 * that the engine is never written to from here. Gauges (connected clients, memory, keys) are never subtracted.
 *
 * Main thread. The field names and their order come from the engine (statsFields), not from here.
 */
import { assertPresent } from '../util/assert.js';

/** Names of the cells, as the engine declares them. */
export interface CounterFields {
  worker: readonly string[];
  shard: readonly string[];
  database: readonly string[];
  command: readonly string[];
  /** Full names of commands by their dense id. */
  commandNames: readonly string[];
}

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
  /** Sum of a worker cell over all workers, since the last reset unless it is a gauge. */
  worker(field: string): bigint;
  /** The largest value of a worker cell. */
  workerMax(field: string): bigint;
  /** Sum of a shard cell over all shards. */
  shard(field: string): bigint;
  /** Commands that were called or refused since the last reset. */
  commandStats(): CommandStat[];
  /** Databases that hold keys. */
  databaseStats(): DatabaseStat[];
  reset(): void;
}

const CELL_BYTES = 8;
/** Worker and shard groups begin on cache lines of their own. */
const LINE_BYTES = 64;
/** The engine counts command time in 1/1024 of a microsecond. */
const USEC_SHIFT = 10n;
/** Worker cells that say how things are, not what has happened. */
const WORKER_GAUGES = new Set(['connected_clients', 'client_memory_bytes', 'max_input_buffer', 'max_output_buffer']);

interface Group {
  /** Index of the first cell. */
  start: number;
  /** Cells from one member to the next. */
  stride: number;
  count: number;
  fieldIndex: ReadonlyMap<string, number>;
}

/** Bytes that the counters of an engine of this size take. */
export function counterBytes(fields: CounterFields, sizes: CounterSizes): number {
  const { commands } = groupsOf(fields, sizes);
  return (commands.start + commands.stride * commands.count) * CELL_BYTES;
}

function groupsOf(fields: CounterFields, sizes: CounterSizes): Record<'workers' | 'shards' | 'databases' | 'commands', Group> {
  const group = (start: number, names: readonly string[], count: number, isAligned: boolean): Group => {
    const cellsPerLine = LINE_BYTES / CELL_BYTES;
    const stride = isAligned ? Math.ceil(names.length / cellsPerLine) * cellsPerLine : names.length;
    return { start, stride, count, fieldIndex: new Map(names.map((name, index) => [name, index])) };
  };
  const end = (before: Group): number => before.start + before.stride * before.count;
  const workers = group(0, fields.worker, sizes.workers, true);
  const shards = group(end(workers), fields.shard, sizes.shards, true);
  const databases = group(end(shards), fields.database, sizes.shards * sizes.databases, false);
  const commands = group(end(databases), fields.command, sizes.workers * fields.commandNames.length, false);
  return { workers, shards, databases, commands };
}

/** Counters in shared memory. */
export class SharedCounters implements Counters {
  private readonly cells: BigInt64Array;
  private readonly baseline: BigInt64Array;
  private readonly groups: ReturnType<typeof groupsOf>;

  constructor(
    stats: SharedArrayBuffer,
    private readonly fields: CounterFields,
    private readonly sizes: CounterSizes,
  ) {
    this.cells = new BigInt64Array(stats);
    this.baseline = new BigInt64Array(this.cells.length);
    this.groups = groupsOf(fields, sizes);
  }

  worker(field: string): bigint {
    let sum = 0n;
    for (let index = 0; index < this.groups.workers.count; index++) {
      sum += this.read(this.groups.workers, index, field, !WORKER_GAUGES.has(field));
    }
    return sum;
  }

  workerMax(field: string): bigint {
    let max = 0n;
    for (let index = 0; index < this.groups.workers.count; index++) {
      const value = this.read(this.groups.workers, index, field, false);
      if (value > max) max = value;
    }
    return max;
  }

  shard(field: string): bigint {
    let sum = 0n;
    for (let index = 0; index < this.groups.shards.count; index++) {
      sum += this.read(this.groups.shards, index, field, false);
    }
    return sum;
  }

  commandStats(): CommandStat[] {
    const stats: CommandStat[] = [];
    const commandCount = this.fields.commandNames.length;
    for (const [id, name] of this.fields.commandNames.entries()) {
      const sum = (field: string): bigint => {
        let total = 0n;
        for (let worker = 0; worker < this.sizes.workers; worker++) {
          total += this.read(this.groups.commands, worker * commandCount + id, field, true);
        }
        return total;
      };
      const stat = {
        name,
        calls: sum('calls'),
        usec: sum('microseconds_x1024') >> USEC_SHIFT,
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
        const shardExpires = this.read(this.groups.databases, member, 'expires', false);
        keys += this.read(this.groups.databases, member, 'keys', false);
        expires += shardExpires;
        weightedTtlMs += shardExpires * this.read(this.groups.databases, member, 'average_ttl_ms', false);
      }
      if (keys > 0n) stats.push({ index, keys, expires, averageTtlMs: expires > 0n ? weightedTtlMs / expires : 0n });
    }
    return stats;
  }

  reset(): void {
    for (let index = 0; index < this.cells.length; index++) this.baseline[index] = Atomics.load(this.cells, index);
  }

  private read(group: Group, member: number, field: string, sinceReset: boolean): bigint {
    const fieldIndex = assertPresent(group.fieldIndex.get(field), `counter ${field}`);
    const index = group.start + member * group.stride + fieldIndex;
    const value = Atomics.load(this.cells, index);
    return sinceReset ? value - (this.baseline[index] ?? 0n) : value;
  }
}
