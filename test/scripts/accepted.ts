/**
 * The differences between the oracle and Sherd that are meant, as in test/differential/accepted.ts, for what several
 * connections receive. That list holds here as well, for the replies of a step's commands.
 *
 * Two kinds: `redis-7.2`, where the oracle (7.0.15) is older than the behaviour we promise, and `sherd`, where we
 * depart from Redis on purpose (with a twin in docs/DIFFERENCES.md). A row with `ends` is one behind which the two
 * servers hold different data or stand in different states: the script ends there, as if it had passed.
 */
import { findAccepted } from '../differential/accepted.js';
import { bytesOf, type Line, type State } from './script.js';
import { lineName } from './compare.js';

/** One place at which the servers differ. */
export interface ScriptDifference {
  kind: 'frame' | 'state' | 'early' | 'keyspace' | 'ended';
  /** The step's commands, then those that its connection has queued or is blocked in. */
  lines: readonly Line[];
  /** The connection that differs, and whether it is the step's own. */
  connection: number;
  isSender: boolean;
  /** The last command that the connection sent before this step. */
  pending: Line | undefined;
  resp: 2 | 3;
  /** Frames in words (compare.ts), or states; undefined for a frame that did not come. */
  oracle: string | undefined;
  subject: string | undefined;
  oracleState?: State | undefined;
}

export interface AcceptedRow {
  id: string;
  kind: 'redis-7.2' | 'sherd';
  reason: string;
  ends?: boolean;
  matches: (difference: ScriptDifference) => boolean;
}

const BLOCKING_POPS = new Set(['blpop', 'brpop', 'blmpop', 'bzpopmin', 'bzpopmax', 'bzmpop']);

/** The command in which a connection was blocked when another one's step reached it. */
function wokenName(difference: ScriptDifference): string {
  return difference.isSender || difference.pending === undefined ? '' : lineName(difference.pending);
}

export const ACCEPTED_ROWS: readonly AcceptedRow[] = [
  {
    id: 'group-gone-while-waiting',
    kind: 'redis-7.2',
    reason:
      'a waiting XREADGROUP is executed again when its key changes, and so gets the error that it would get now; the ' +
      'oracle tells UNBLOCKED, and NOGROUP with other words',
    matches: ({ oracle, subject, ...rest }) =>
      wokenName({ oracle, subject, ...rest }) === 'xreadgroup' &&
      /^-(UNBLOCKED|NOGROUP) /.test(oracle ?? '') &&
      /^-(NOGROUP|WRONGTYPE|UNBLOCKED) /.test(subject ?? ''),
  },
  {
    id: 'first-key-of-the-command',
    kind: 'redis-7.2',
    reason:
      'a command that waits on several keys is executed again when one is ready: it takes the first of its own keys ' +
      'that holds something, the oracle the key that was written first',
    ends: true,
    matches: (difference) =>
      BLOCKING_POPS.has(wokenName(difference)) &&
      /^\*[23]\r\n/.test(difference.oracle ?? '') &&
      /^\*[23]\r\n/.test(difference.subject ?? ''),
  },
];

/** The row that explains a difference, if one does. */
export function findRow(difference: ScriptDifference): { id: string; ends: boolean } | undefined {
  const row = ACCEPTED_ROWS.find((candidate) => candidate.matches(difference));
  if (row !== undefined) return { id: row.id, ends: row.ends === true };
  const { oracle, subject } = difference;
  if (difference.kind !== 'frame' || !difference.isSender || oracle === undefined || subject === undefined) return undefined;
  for (const line of difference.lines) {
    const reply = { name: lineName(line), args: line.map(bytesOf), resp: difference.resp, oracle, subject };
    const known = findAccepted(reply);
    if (known !== undefined) return { id: known.id, ends: false };
  }
  return undefined;
}
