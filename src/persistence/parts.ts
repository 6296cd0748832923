/**
 * What the executors of this folder are given: the native half, the files, the options, the log, and how the process
 * ends. Tests give fakes of all of them.
 */
import type { PersistenceAddon } from '../native/persistence.js';
import { failureReason, type Files } from './files.js';

export type LogLine = (level: 'verbose' | 'notice' | 'warning', text: string) => void;

/** The options as they are now; a ConfigStore is one. */
export interface Settings {
  text(name: string): string;
  isOn(name: string): boolean;
  number(name: string): number;
  bigint(name: string): bigint;
}

export interface PersistenceParts {
  addon: PersistenceAddon;
  engine: number;
  files: Files;
  settings: Settings;
  log: LogLine;
  now: () => number;
  /** The engine's counter of changes. */
  dirty: () => bigint;
  /** How often everything was flushed (FLUSHALL). */
  flushes: () => bigint;
  usedMemoryBytes: () => number;
  /** redis-ver of the files that are written. */
  redisVersion: string;
  processId: number;
  /** The files cannot be served: says why and ends the process. */
  exit: (messages: readonly string[]) => void;
  /** Something has failed that cannot: ends the process. */
  crash: (error: unknown) => void;
}

/**
 * Carries out actions in order. Resolves with undefined when all are done, else with the index of the first that
 * failed and the reason; what cannot be a reason (files.ts) rejects.
 */
export async function runInOrder<Action>(
  actions: readonly Action[],
  run: (action: Action) => Promise<void> | void,
): Promise<{ index: number; reason: string } | undefined> {
  for (const [index, action] of actions.entries()) {
    try {
      await run(action);
    } catch (error) {
      return { index, reason: failureReason(error) };
    }
  }
  return undefined;
}
