/**
 * The differences between the oracle and Sherd that are meant, as in test/differential/accepted.ts, for what several
 * connections receive. That list holds here as well, for the replies of a step's commands.
 *
 * Three kinds: `free`, where Redis itself does one thing or the other, which holds with the oracle on both sides, too;
 * `redis-7.2`, where the oracle (7.0.15) is older than the behaviour we promise, and `sherd`, where we
 * depart from Redis on purpose (with a twin in docs/DIFFERENCES.md). A row with `ends` is one behind which the two
 * servers hold different data or stand in different states: the script ends there, as if it had passed. One with
 * `isExtra` is about a frame that the subject sends and the oracle does not; everything else is compared on.
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
  /** Names of the step's commands, and of those that its connection had queued. */
  causes: ReadonlySet<string>;
  /** Frames in words (compare.ts), or states; undefined for a frame that did not come. */
  oracle: string | undefined;
  subject: string | undefined;
  oracleState?: State | undefined;
  /** The step's commands and those that its connection had queued. */
  causeLines: readonly Line[];
  /** Keys that the step's commands name and that both servers have found expired in it (expiry.ts). */
  expired: ReadonlySet<string>;
  /** Words that the step's connection has given to CLIENT TRACKING since it was opened. */
  trackingWords: ReadonlySet<string>;
  /** Whether the connection, which gets invalidations for others, has got the same frames in another order. */
  isReorderedTarget: boolean;
}

export interface AcceptedRow {
  id: string;
  kind: 'free' | 'redis-7.2' | 'sherd';
  reason: string;
  ends?: boolean;
  isExtra?: boolean;
  matches: (difference: ScriptDifference) => boolean;
}

/** Commands that the control plane answers, as far as scripts have them in transactions. */
const CONTROL_COMMANDS = ['info', 'client|list', 'config|get', 'config|set', 'command|count', 'client|kill', 'client|unblock'];

const BLOCKING_POPS = new Set(['blpop', 'brpop', 'blmpop', 'bzpopmin', 'bzpopmax', 'bzmpop']);

/** Whether a connection waited in one of the commands when another one's step reached it. */
function isWokenFrom(difference: ScriptDifference, names: ReadonlySet<string>): boolean {
  return !difference.isSender && difference.pending.some((line) => names.has(lineName(line)));
}

/** The key of an invalidation of one, as a push or as a message. */
function invalidatedKey(frame: string): string | undefined {
  const head = /^(?:>2\r\n\$10\r\ninvalidate|\*3\r\n\$7\r\nmessage\r\n\$20\r\n__redis__:invalidate)\r\n\*1\r\n\$\d+\r\n/;
  return head.test(frame) ? frame.replace(head, '').slice(0, -2) : undefined;
}

/** What no key of a script is called. */
const NO_KEY = '(no key)';

export const ACCEPTED_ROWS: readonly AcceptedRow[] = [
  {
    id: 'help-in-transactions',
    kind: 'sherd',
    reason: 'the texts of HELP are our own, also as a part of what EXEC answers',
    matches: ({ causes, isSender, oracle, subject }) =>
      isSender && causes.has('exec') && [...causes].some((name) => name.endsWith('|help')) &&
      /Subcommands are:/.test(oracle ?? '') && /Subcommands are:/.test(subject ?? ''),
  },
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
    id: 'keys-that-a-swap-made-ready',
    kind: 'free',
    reason:
      'SWAPDB finds the keys that somebody waits for in the order of a hash table, and serves them in that order: a ' +
      'client that waits for two of them gets one or the other',
    ends: true,
    matches: (difference) =>
      difference.causes.has('swapdb') && isWokenFrom(difference, new Set([...BLOCKING_POPS, 'blmove', 'brpoplpush'])),
  },
  {
    id: 'first-key-of-the-command',
    kind: 'redis-7.2',
    reason:
      'a command that waits on several keys is executed again when one is ready: it takes the first of its own keys ' +
      'that holds something, the oracle the key that was written first',
    ends: true,
    matches: (difference) =>
      isWokenFrom(difference, new Set([...BLOCKING_POPS, 'xread', 'xreadgroup'])) &&
      /^[*%][1-3]\r\n/.test(difference.oracle ?? '') &&
      /^[*%][1-3]\r\n/.test(difference.subject ?? ''),
  },
  {
    id: 'timeout-beyond-range',
    kind: 'redis-7.2',
    reason: 'a timeout that does not fit 64 bits of milliseconds is out of range; the oracle calls it negative',
    ends: true,
    matches: ({ subject }) => (subject ?? '').includes('-ERR timeout is out of range'),
  },
  {
    id: 'consumer-before-waiting',
    kind: 'redis-7.2',
    reason: 'XREADGROUP makes its consumer before it waits, the oracle when it has something for it',
    ends: true,
    matches: ({ kind, oracle, subject }) =>
      kind === 'keyspace' && /^value of stream/.test(oracle ?? '') && /^value of stream/.test(subject ?? ''),
  },
  {
    id: 'wrong-type-of-another-key',
    kind: 'redis-7.2',
    reason:
      'a waiting command is executed again when one of its keys is ready, and so replies with WRONGTYPE when another ' +
      'has become something else meanwhile; the oracle serves it from the key that is ready',
    ends: true,
    matches: (difference) =>
      isWokenFrom(difference, new Set([...BLOCKING_POPS, 'xread', 'xreadgroup'])) &&
      (difference.subject ?? '').startsWith('-WRONGTYPE '),
  },
  {
    id: 'null-in-the-own-protocol',
    kind: 'sherd',
    reason: 'the null that stands for all keys is written in the protocol of the connection that receives it',
    matches: ({ causes, oracle, subject }) =>
      (causes.has('flushall') || causes.has('flushdb')) &&
      (oracle ?? '').includes('invalidate') &&
      (subject ?? '').replace(/_\r\n|\$-1\r\n/, '') === (oracle ?? '').replace(/_\r\n|\$-1\r\n/, ''),
  },
  {
    id: 'invalidation-of-what-had-expired',
    kind: 'sherd',
    reason:
      'NOLOOP leaves out what the client itself changes; that its command found the key expired is told, so that it ' +
      'keeps no old value',
    isExtra: true,
    matches: ({ kind, subject, expired, trackingWords, isSender }) =>
      kind === 'frame' && trackingWords.has('noloop') && (isSender || trackingWords.has('redirect')) &&
      expired.has(invalidatedKey(subject ?? '') ?? NO_KEY),
  },
  {
    id: 'order-between-trackers',
    kind: 'sherd',
    reason:
      'who is told for itself and, by REDIRECT, for others, gets what is meant for each tracker in order; between trackers ' +
      'the order is free, as the redirected goes by way of the worker of who tracks',
    matches: ({ kind, isReorderedTarget, oracle, subject }) =>
      kind === 'frame' && isReorderedTarget && /invalidate/.test(oracle ?? '') && /invalidate/.test(subject ?? ''),
  },
  {
    id: 'monitor-line-of-a-push',
    kind: 'free',
    reason:
      'who monitors and subscribes at once gets its confirmation, which is a push, and the line of its command; pushes ' +
      'are compared behind replies, and here nothing is a reply',
    matches: ({ isSender, oracle, subject }) =>
      isSender && /^(\(monitor\)|>)/.test(oracle ?? '') && /^(\(monitor\)|>)/.test(subject ?? ''),
  },
  {
    id: 'control-commands-of-transactions',
    kind: 'sherd',
    reason: 'control commands of a transaction are answered in their places, but run behind its data commands',
    ends: true,
    matches: ({ causes, isSender }) =>
      isSender && causes.has('exec') && CONTROL_COMMANDS.some((name) => causes.has(name)),
  },
  {
    id: 'number-of-a-broken-redirection',
    kind: 'free',
    reason: 'clients have other numbers on each server',
    matches: ({ oracle, subject }) =>
      (oracle ?? '').includes('tracking-redir-broken') && (subject ?? '').includes('tracking-redir-broken'),
  },
  {
    id: 'key-miss-behind-a-syntax-error',
    kind: 'redis-7.2',
    reason: 'BITCOUNT and BITPOS look at their arguments first, then at the key',
    ends: true,
    matches: ({ kind, causes }) => kind === 'frame' && (causes.has('bitcount') || causes.has('bitpos')),
  },
  {
    id: 'key-miss-of-the-last-entry',
    kind: 'redis-7.2',
    reason:
      'XREAD looks at a stream when it reads the ID +, as 7.4 does and the oracle for $, and again when it reads; the ' +
      'oracle refuses the ID after the first look',
    ends: true,
    matches: ({ kind, causeLines, subject }) =>
      kind === 'frame' && /:(keymiss|expired)\r\n|\r\n(keymiss|expired)\r\n/.test(subject ?? '') &&
      causeLines.some((line) => lineName(line) === 'xread' && line.some((word) => bytesOf(word).toString('latin1') === '+')),
  },
  {
    id: 'newer-arity',
    kind: 'redis-7.2',
    reason:
      'ZRANK and ZREVRANK take WITHSCORE, so a fourth word is refused by EXEC and not when it is queued, and whether the ' +
      'client is subscribed is asked first; the oracle refuses it at once',
    ends: true,
    matches: ({ isSender, oracle, subject }) =>
      isSender && /^-ERR wrong number of arguments for 'z(rev)?rank' command/.test(oracle ?? '') &&
      /^(\+QUEUED\r\n|-ERR Can't execute 'z(rev)?rank': only )/.test(subject ?? ''),
  },
  {
    id: 'events-shown-behind-all',
    kind: 'sherd',
    reason: 'CONFIG GET notify-keyspace-events shows the n behind an A',
    matches: ({ causes, subject }) => causes.has('config|get') && /AK?E?m?n/.test(subject ?? ''),
  },
  {
    id: 'quit-without-reply',
    kind: 'sherd',
    reason:
      'QUIT whose +OK CLIENT REPLY covers closes the connection, and so does CLIENT KILL of the own one; Redis closes ' +
      'behind the reply, which never goes out, and so keeps a connection that it does not listen to',
    ends: true,
    matches: ({ kind, isSender, causes, oracle, subject }) =>
      kind === 'state' && isSender && (causes.has('quit') || causes.has('client|kill')) && oracle === 'free' && subject === 'closed',
  },
];

/** The row that explains a difference, if one does; with `isSameVersion` only one about what is free. */
export function findRow(difference: ScriptDifference,
  isSameVersion: boolean): { id: string; ends: boolean; isExtra: boolean } | undefined {
  const { oracle, subject } = difference;
  const isLeftOver = difference.kind === 'frame' && oracle === undefined;
  const row = ACCEPTED_ROWS.find((candidate) => (!isSameVersion || candidate.kind === 'free') &&
    (!isLeftOver || candidate.isExtra === true) && candidate.matches(difference));
  if (row !== undefined) return { id: row.id, ends: row.ends === true, isExtra: row.isExtra === true };
  if (isSameVersion || difference.kind !== 'frame' || !difference.isSender) return undefined;
  if (oracle === undefined || subject === undefined) return undefined;
  for (const line of difference.pending) {
    const reply = { name: lineName(line), args: line.map(bytesOf), resp: difference.resp, oracle, subject };
    const known = findAccepted(reply);
    if (known !== undefined) return { id: known.id, ends: false, isExtra: false };
  }
  return undefined;
}
