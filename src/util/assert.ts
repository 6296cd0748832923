/**
 * Assertions for programmer errors.
 *
 * A failed assertion means that the program is wrong, not the user and not the machine: it is never caught and
 * answered politely, it ends the process (an uncaught exception is a crash in every thread of the server).
 * Any thread; no state.
 */

/** A broken invariant of the program itself. */
export class InvariantError extends Error {
  readonly code = 'SHERD_INVARIANT';

  constructor(message: string) {
    super(`invariant broken: ${message}`);
    this.name = 'InvariantError';
  }
}

/** Throws InvariantError unless `claim` holds. */
export function assert(claim: boolean, message: string): asserts claim {
  if (!claim) throw new InvariantError(message);
}

/** Gives `value` back, or throws when there is none. */
export function assertPresent<T>(value: T | undefined | null, message: string): T {
  if (value === undefined || value === null) throw new InvariantError(message);
  return value;
}

/** The `default` of a switch that covers all cases: does not compile when one is forgotten. */
export function assertNever(value: never): never {
  throw new InvariantError(`unexpected case ${JSON.stringify(value)}`);
}
