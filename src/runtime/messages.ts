/**
 * Messages between the main thread and the workers, as types.
 *
 * A question carries an `id` of the asker's, and its answer carries the same; a control command is named by the
 * engine's token. Nothing per data command ever comes this way.
 */
import type { ClientFilter, NativeLogLevel } from '../native/addon.js';

/** What a worker is started with. */
export interface WorkerSetup {
  engine: number;
  index: number;
}

export type ToWorker =
  | { kind: 'listClients'; id: number; filter: ClientFilter }
  | { kind: 'killClients'; id: number; filter: ClientFilter }
  | { kind: 'unblockClient'; id: number; clientId: bigint; withError: boolean }
  /** The reply to a control command; empty: none. */
  | { kind: 'controlReply'; token: bigint; bytes: Uint8Array }
  | { kind: 'stop'; id: number };

export type FromWorker =
  | { kind: 'ready' }
  | { kind: 'clients'; id: number; text: string }
  | { kind: 'killed'; id: number; count: number }
  | { kind: 'unblocked'; id: number; wasBlocked: boolean }
  | { kind: 'stopped'; id: number }
  /** A line for the log; whether it is written is the main thread's `loglevel` to say. */
  | { kind: 'log'; level: NativeLogLevel; text: string }
  | {
      kind: 'control';
      token: bigint;
      command: string;
      args: Uint8Array[];
      resp: 2 | 3;
      clientId: bigint;
    };

/** Answers to questions: those with an id. */
export type WorkerAnswer = Extract<FromWorker, { id: number }>;
