/**
 * How many workers and shards an engine gets. Pure functions.
 */
import { availableParallelism } from 'node:os';
import type { ConfigStore } from '../config/config-store.js';

export const WORKERS_MAX = 128;
export const SHARDS_MAX = 1024;
/** Each costs a table per shard and its counters; Redis's bound (2^31) would only exhaust memory. */
export const DATABASES_MAX = 16384;
/**
 * Measured with 2 workers: 16 shards for each scale 1.72 to 1.80 times, 32 scale 1.84, 64 scale 1.86 to 1.93. More
 * shards mean fewer leases found taken and fewer lease lines wanted by two workers at a time; they cost some 35 KB
 * each, and 12 ns each in commands on all shards.
 */
const SHARDS_PER_WORKER = 32;

/**
 * `worker-threads`, else `io-threads` when more than one was asked for, else all cores but one, which is left to the
 * kernel's network work, the clients on this machine and the main thread. Measured on two cores with the load beside
 * the server: a second worker makes three busy threads share two cores, and p99 at pipeline 1 rises from 0.65 to 1.8
 * times redis-server's.
 */
export function workerCount(config: ConfigStore, cores = availableParallelism()): number {
  const asked = config.number('worker-threads');
  const ioThreads = config.number('io-threads');
  const count = asked > 0 ? asked : ioThreads > 1 ? ioThreads : cores - 1;
  return Math.min(Math.max(count, 1), WORKERS_MAX);
}

/** `shards`, else a power of two near SHARDS_PER_WORKER for each worker. */
export function shardCount(config: ConfigStore, workers: number): number {
  const asked = config.number('shards');
  if (asked > 0) return asked;
  return Math.min(2 ** Math.ceil(Math.log2(workers * SHARDS_PER_WORKER)), SHARDS_MAX);
}

/** An error text when the configuration asks for an engine that cannot be. */
export function checkSizes(config: ConfigStore): string | undefined {
  const shards = config.number('shards');
  if (shards > 0 && !Number.isInteger(Math.log2(shards))) return 'shards must be a power of two';
  if (config.number('databases') > DATABASES_MAX) return `databases must be at most ${DATABASES_MAX}`;
  return undefined;
}
