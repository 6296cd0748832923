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
  /** The connection that differs, and whether it is the step's own. */
  connection: number;
  isSender: boolean;
  /** What the connection has sent and may be answered for: in this step, queued before, or waiting. */
  pending: readonly Line[];
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

/** Whether a connection waited in one of the commands when another one's step reached it. */
function isWokenFrom(difference: ScriptDifference, names: ReadonlySet<string>): boolean {
  return !difference.isSender && difference.pending.some((line) => names.has(lineName(line)));
}

export const ACCEPTED_ROWS: readonly AcceptedRow[] = [
  {
    id: 'group-gone-while-waiting',
    kind: 'redis-7.2',
    reason:
      'a waiting XREADGROUP is executed again when its key changes, and so gets the error that it would get now; the ' +
      'oracle tells UNBLOCKED, and NOGROUP with other words',
    matches: (difference) =>
      isWokenFrom(difference, new Set(['xreadgroup'])) &&
      /^-(UNBLOCKED|NOGROUP) /.test(difference.oracle ?? '') &&
      /^-(NOGROUP|WRONGTYPE|UNBLOCKED) /.test(difference.subject ?? ''),
  },
  {
    id: 'first-key-of-the-command',
    kind: 'redis-7.2',
    reason:
      'a command that waits on several keys is executed again when one is ready: it takes the first of its own keys ' +
      'that holds something, the oracle the key that was written first',
    ends: true,
    matches: (difference) =>
      isWokenFrom(difference, BLOCKING_POPS) &&
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
  for (const line of difference.pending) {
    const reply = { name: lineName(line), args: line.map(bytesOf), resp: difference.resp, oracle, subject };
    const known = findAccepted(reply);
    if (known !== undefined) return { id: known.id, ends: false };
  }
  return undefined;
}
