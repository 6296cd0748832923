/**
 * The typed surface of the native addon, and the only place that loads it.
 *
 * One process holds one or more engines (a number names each). The main thread creates an engine and its
 * listeners; every worker thread attaches itself with `startWorker`. All data stays on the native side; what
 * crosses here is control: options, counters, control commands and their ready-made RESP replies.
 */
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PersistenceAddon } from './persistence.js';

/** What an engine is made of. Fixed for its lifetime. */
export interface EngineOptions {
  /** Number of worker threads that will call `startWorker` (1…128). */
  workers: number;
  /** Number of shards, a power of two (1…1024). */
  shards: number;
  /** Number of logical databases (`databases`). */
  databases: number;
  /** Run commands where the bytes are (true), or always on the shard's owner (false; measurement layout). */
  inPlace: boolean;
  /** Zero-filled memory of `statsBytes(…)` bytes for counters, wrapped in a Uint8Array; layout: `statsLayout()`. */
  stats: Uint8Array;
  /** 40 lower-case hex digits, as INFO's run_id. */
  runId: string;
}

/** A command that the table marks as `control`, waiting for its reply. */
export interface ControlRequest {
  /** Give this back with `replyControl`. */
  token: bigint;
  /** Full table name: `config|get`, `info`. Containers whose subcommand is unknown never get here. */
  command: string;
  /** All arguments, command name first, as sent. */
  args: Buffer[];
  /** 2 or 3. */
  resp: number;
  clientId: bigint;
  db: number;
}

/** Where a listener is bound. */
export type ListenAddress =
  | { kind: 'tcp'; address: string; port: number; backlog: number }
  | { kind: 'unix'; path: string; permissions: number; backlog: number };

/** Filter of CLIENT KILL and CLIENT LIST; absent fields match all. */
export interface ClientFilter {
  ids?: bigint[];
  addr?: string;
  laddr?: string;
  user?: string;
  type?: 'normal' | 'master' | 'replica' | 'pubsub';
  maxAgeSec?: bigint;
  /** Leave this client out (SKIPME yes). */
  skipId?: bigint;
  /** Who asks: if it is killed too, it gets its reply first. */
  callerId?: bigint;
}

/**
 * Where the counters are: four groups of 64-bit cells behind each other, each an array of records.
 * worker[w], shard[s], database[s * databases + d], command[w * commands + c]. Field names in cell order;
 * `stride` in bytes. `commands` names the records of the command group (full table names, dense ids).
 */
export interface StatsLayout {
  worker: { fields: string[]; stride: number };
  shard: { fields: string[]; stride: number };
  database: { fields: string[]; stride: number };
  command: { fields: string[]; stride: number };
  commands: string[];
  /** Records of the worker and command groups behind those of the workers: threads for long commands. */
  runners: number;
}

/** How urgent a line is that the native side has for the log; the words of `loglevel`. */
export type NativeLogLevel = 'debug' | 'verbose' | 'notice' | 'warning';

/** The native half. */
export interface NativeAddon extends PersistenceAddon {
  /** Bytes of the counter memory an engine of this size wants. */
  statsBytes(workers: number, shards: number, databases: number): number;
  /** Names and strides of all counters. */
  statsLayout(): StatsLayout;
  /** CONFIG RESETSTAT: zeroes the counters that Redis zeroes. */
  resetStats(engine: number): void;
  /** Creates an engine; returns its number. Main thread. */
  createEngine(options: EngineOptions): number;
  /** Sets a run-time option by its redis.conf name (those in ENGINE_OPTIONS). Any thread. Strings are for
   *  `requirepass` and `client-output-buffer-limit` ("normal 0 0 0 slave … pubsub …" as CONFIG GET prints it). */
  setOption(engine: number, name: string, value: number | bigint | string): void;
  /** Binds a listener; returns the bound port (0 for unix). Throws Error with `code` (EADDRINUSE …, ENOTFOUND for a name) and `syscall`. Main thread. */
  listen(engine: number, address: ListenAddress): number;
  /** Closes all listeners (before shutdown or rebind). Main thread. */
  closeListeners(engine: number): void;
  /** Attaches the calling worker thread as worker `index`; both functions are called on this thread. */
  startWorker(
    engine: number,
    index: number,
    onControl: (request: ControlRequest) => void,
    onLog: (level: NativeLogLevel, text: string) => void,
  ): void;
  /** Closes all connections of the calling worker and detaches it. Worker thread. */
  stopWorker(engine: number): void;
  /** Answers a control command with ready RESP bytes (empty: no reply). Worker thread that got it. */
  replyControl(engine: number, token: bigint, reply: Uint8Array): void;
  /** CLIENT LIST lines of the calling worker's connections, each ending in "\n". Worker thread. */
  listClients(engine: number, filter: ClientFilter): string;
  /** Closes matching connections of the calling worker at once (the caller's after its reply); returns how many. */
  killClients(engine: number, filter: ClientFilter): number;
  /** CLIENT UNBLOCK: false when no client of the calling worker with this id waits; undefined when it may be served
   *  just now: ask again in a later turn of the loop. Worker thread. */
  unblockClient(engine: number, id: bigint, withError: boolean): boolean | undefined;
  /** Kills the process the hard way, as DEBUG SEGFAULT and DEBUG ASSERT do. */
  crash(kind: 'segfault' | 'abort'): void;
  /** Ends the process at once; process.exit waits for loads and snapshots that run. Never returns. Main thread. */
  leave(code: number): never;
}

let loaded: NativeAddon | undefined;

/** Loads the addon once per thread. Throws when it has not been built. */
export function loadAddon(): NativeAddon {
  if (loaded) return loaded;
  const require = createRequire(import.meta.url);
  const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
  const variant = process.env['SHERD_ADDON'];
  const path = variant ?? join(root, 'native', 'build', 'Release', 'sherd.node');
  if (!existsSync(path)) throw new Error(`native addon not built: ${path} is missing (run npm start or npm run build)`);
  loaded = require(path) as NativeAddon;
  return loaded;
}

/** Ends the process without waiting for what native threads do. */
export function leaveProcess(code: number): never {
  loaded?.leave(code);
  process.exit(code);
}
