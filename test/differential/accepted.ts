/**
 * The differences between the oracle and Sherd that are meant, each as narrow as it can be said.
 *
 * Two kinds: `redis-7.2`, where the oracle (7.0.15) is older than the behaviour we promise, and `sherd`, where we
 * depart from Redis on purpose; every row of the second kind has its twin in docs/DIFFERENCES.md. A row says for one
 * command what the oracle says and what we say; a difference that no row explains is a bug.
 *
 * A row that explains nothing in a long run is dead and should go: the soak prints how often each was used.
 */

/** One reply that differs. */
export interface ReplyDifference {
  /** Full command name, `client|list`. */
  name: string;
  args: readonly Buffer[];
  resp: 2 | 3;
  /** The oracle's frame and ours, as Latin-1. */
  oracle: string;
  subject: string;
}

export interface Accepted {
  id: string;
  kind: 'redis-7.2' | 'sherd';
  reason: string;
  /** Full command names that the row is for. */
  commands: readonly string[];
  matches: (difference: ReplyDifference) => boolean;
}

export const ACCEPTED: readonly Accepted[] = [];

/** The row that explains this difference, if one does. */
export function findAccepted(difference: ReplyDifference): Accepted | undefined {
  return ACCEPTED.find((row) => row.commands.includes(difference.name) && row.matches(difference));
}
