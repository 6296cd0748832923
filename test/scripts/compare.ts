/**
 * What one connection received in a step on the two servers, and whether that is the same.
 *
 * First each frame is put into words in which the two servers can agree: client ids, addresses, moments and ages are
 * replaced by what they stand for (`normalise`). Then the lists are compared one by one. Where texts still differ, the
 * comparison rules that the one-connection test has for the step's commands are asked (order of a set's members, times
 * to live, digits of doubles), element by element within EXEC.
 *
 * One order is the newer one's: since 7.2 pushes that a command causes to its own client come behind its reply, while
 * the oracle sends some before it (a published message, a keyspace event) and some behind (an invalidation). The
 * oracle's frames of a step with one command are put into 7.2's order; with several commands in a step nobody can tell
 * which push belongs to which, and replies and pushes are compared apart.
 */
import { isSame } from '../differential/compare.js';
import { fullName } from '../differential/grammar.js';
import { ruleOf, type Comparison } from '../differential/rules.js';
import { FrameError } from '../support/resp-frames.js';
import { bytesOf, type Line } from './script.js';
import { isFence } from './side.js';
import { takeFrame } from './wire.js';

/** Who is who on one server. */
export interface Names {
  connectionOfId: ReadonlyMap<string, number>;
  connectionOfAddr: ReadonlyMap<string, number>;
}

/** Fields of a client's line whose values the two servers share. */
const SHARED_FIELDS = new Set(['name', 'db', 'sub', 'psub', 'ssub', 'multi', 'flags', 'cmd', 'user', 'resp']);
/** Fields that are younger than the oracle. */
const NEWER_FIELDS = new Set(['lib-name', 'lib-ver', 'watch', 'tot-net-in', 'tot-net-out', 'tot-cmds']);
/** Rules for commands that the one-connection test does not have. */
const OTHER_RULES: ReadonlyMap<string, Comparison> = new Map([
  ['pubsub|channels', 'sorted'],
  ['pubsub|shardchannels', 'sorted'],
  ['bzpopmin', 'doubles'],
  ['bzpopmax', 'doubles'],
  ['bzmpop', 'doubles'],
]);
const NAMES_WITH_IDS = new Set(['client|id', 'client|getredir']);

/** A line of MONITOR, alone or (a client that monitors itself in a transaction) within an array. */
const MONITOR_LINE = /(^|\n)\+\d+\.\d{6} \[\d+ [^\]]*\] /;
const MONITOR_LINES = /(^|\n)\+\d+\.\d{6} \[(\d+) ([^\]]*)\] ([^\r]*)\r\n/g;

export function lineName(line: Line): string {
  return fullName(line.map(bytesOf));
}

/** The names of the commands whose replies a frame may be: those of the step and those queued before it. */
export function namesOf(lines: readonly Line[]): Set<string> {
  const names = new Set(lines.map(lineName));
  for (const line of lines) if (line.length === 1 &&
    /unsubscribe$/.test(lineName(line))) names.add(`${lineName(line)} (all)`);
  return names;
}

// ---- One frame in words ----

function clientLines(text: string, names: Names): string {
  const rows: { connection: number; words: string }[] = [];
  for (const line of text.split('\n')) {
    const id = /^id=(\d+) /.exec(line)?.[1] ?? '';
    const connection = names.connectionOfId.get(id);
    if (connection === undefined) continue;
    const fields = line.trimEnd().split(/ (?=[a-z-]+=)/).map((field) => {
      const name = field.split('=', 1)[0] as string;
      if (name === 'redir') return redirection(field, names);
      return SHARED_FIELDS.has(name) ? field : name;
    });
    const kept = fields.filter((field) => !NEWER_FIELDS.has(field));
    rows.push({ connection, words: kept.join(' ') });
  }
  rows.sort((a, b) => a.connection - b.connection);
  return `(clients)${rows.map((row) => ` <${row.connection}: ${row.words}>`).join('')}`;
}

function redirection(field: string, names: Names): string {
  const id = field.slice('redir='.length);
  return `redir=${nameOfId(id, names)}`;
}

function nameOfId(id: string, names: Names): string {
  const connection = names.connectionOfId.get(id);
  return connection === undefined ? id : `<id ${connection}>`;
}

/** A frame in words that do not depend on the server. */
export function normalise(frame: Buffer, names: Names, commands: ReadonlySet<string>): string {
  const text = frame.toString('latin1');
  if (MONITOR_LINE.test(text)) {
    return text.replace(MONITOR_LINES, (_, head: string, db: string, address: string, line: string) => {
      return `${head}(monitor) [${db} ${names.connectionOfAddr.get(address) ?? 'other'}] ${maskAddresses(line, names)}`;
    });
  }
  if (/id=\d+ addr=\S* laddr=/.test(text)) {
    // Within EXEC, too: the text's length would differ.
    return text.replace(/(?:\$|=)\d+\r\n(?:txt:)?((?:id=\d+ [^\n]*\n)+)\r?\n?/g, (_, lines: string) =>
      clientLines(lines, names));
  }
  let words = text
    .replace(/\$\d+\r\ncrowd:[\d:]+\r\n/g, '(a key that was forgotten)\r\n')
    .replace(/(\$2\r\nid\r\n:)(\d+)\r\n/g, (_, head: string, id: string) => `${head}${nameOfId(id, names)}\r\n`)
    .replace(/(\$8\r\nredirect\r\n:)(\d+)\r\n/g, (_, head: string, id: string) => `${head}${nameOfId(id, names)}\r\n`)
    .replace(/(\$7\r\nversion\r\n)\$\d+\r\n[^\r]*\r\n/g, '$1(version)\r\n');
  if ([...commands].some((name) => NAMES_WITH_IDS.has(name))) {
    words = words.replace(/(^|\n):(\d+)\r\n/g, (_, head: string, id: string) => `${head}:${nameOfId(id, names)}\r\n`);
  }
  return words;
}

/** Ids and addresses within the words of a command that MONITOR shows. A 3 of HELLO is no id, whoever has that. */
function maskAddresses(text: string, names: Names): string {
  const hasIds = /^"client/i.test(text);
  return text.replace(/"([^"\\]*)"/g, (whole, word: string) => {
    const connection = names.connectionOfAddr.get(word) ?? (hasIds ? names.connectionOfId.get(word) : undefined);
    return connection === undefined ? whole : `"<${connection}>"`;
  });
}

// ---- The rules of the one-connection test ----

const isPush = (frame: Buffer): boolean => frame[0] === 0x3e;

function elementsOf(frame: Buffer): Buffer[] | undefined {
  const head = /^\*(\d+)\r\n/.exec(frame.subarray(0, 16).toString('latin1'));
  if (head === null) return undefined;
  const elements: Buffer[] = [];
  let rest = frame.subarray(head[0].length);
  for (let count = Number(head[1]); count > 0; count--) {
    const taken = takeFrame(rest);
    if (taken === undefined) return undefined;
    elements.push(taken.frame);
    rest = rest.subarray(taken.end);
  }
  return elements;
}

function isSameByRules(left: Buffer, right: Buffer, rules: readonly Comparison[]): boolean {
  if (left.equals(right)) return true;
  try {
    return rules.some((rule) => isSame(rule, left, right));
  } catch (error) {
    if (error instanceof FrameError) return false;
    throw error;
  }
}

/** Whether the two frames may both be the reply to one of the commands. */
export function isSameReply(left: Buffer, right: Buffer, commands: ReadonlySet<string>): boolean {
  if (isPush(left) || isPush(right)) return false;
  const rules = [...commands].map((name) => OTHER_RULES.get(name) ?? ruleOf(name).compare ?? 'exact').filter((rule) =>
    rule !== 'exact');
  if (rules.length === 0) return false;
  if (isSameByRules(left, right, rules)) return true;
  if (!commands.has('exec')) return false;
  const [ours, theirs] = [elementsOf(left), elementsOf(right)];
  if (ours === undefined || theirs === undefined || ours.length !== theirs.length) return false;
  return ours.every((element, at) => isSameByRules(element, theirs[at] as Buffer, rules));
}

// ---- Lists of frames ----

/** The step's own frames come first, then the fence and what is behind it. */
function splitAtFence(frames: Buffer[], token: string): [Buffer[], Buffer[]] {
  const at = frames.findIndex((frame) => isFence(frame, token));
  return at < 0 ? [frames, []] : [frames.slice(0, at), frames.slice(at)];
}

/** The oracle's frames of the sender in 7.2's order; see the header. */
export function inNewerOrder(frames: Buffer[], token: string): Buffer[] {
  const [own, rest] = splitAtFence(frames, token);
  return [...own.filter((frame) => !isPush(frame)), ...own.filter(isPush), ...rest];
}

// ---- Orders that are free ----

/** Kind, name, and what else tells runs apart, of a frame about a subscription. */
interface About {
  kind: string;
  /** The frame without the name, so that two frames of one run have the same. */
  rest: string;
  name: string;
}

function aboutSubscription(words: string): About | undefined {
  const match = /^([>*]\d\r\n)\$\d+\r\n(pmessage|[ps]?unsubscribe)\r\n(\$\d+\r\n.*?\r\n)(\$.*|:\d+\r\n)$/s.exec(words);
  if (match === null) return undefined;
  const [, head, kind, name, rest] = match as unknown as [string, string, string, string, string];
  return { kind, name, rest: kind === 'pmessage' ? head + rest : head };
}

function sortMisses(words: readonly string[]): string[] {
  const sorted: string[] = [];
  let run: string[] = [];
  for (const text of words) {
    if (text.includes('keymiss\r\n')) {
      run.push(text);
      continue;
    }
    sorted.push(...run.sort(), text);
    run = [];
  }
  return [...sorted, ...run.sort()];
}

/**
 * Orders that follow from the seed of a hash table: a message that comes by several patterns, and what UNSUBSCRIBE and
 * its kin without a name give up. The names of such a run are sorted; the counts stay where they are. And SORT looks up
 * its patterns in the order of the set, so that misses come in that order.
 */
export function sortFreeRuns(
  words: readonly string[],
  commands: ReadonlySet<string>,
  causes: ReadonlySet<string>,
): string[] {
  const sorted = causes.has('sort') || causes.has('sort_ro') ? sortMisses(words) : [...words];
  const isNameless = (kind: string): boolean => commands.has(`${kind} (all)`);
  for (let from = 0; from < sorted.length; from++) {
    const first = aboutSubscription(sorted[from] as string);
    if (first === undefined || (first.kind !== 'pmessage' && !isNameless(first.kind))) continue;
    const names = [first.name];
    for (let next = aboutSubscription(sorted[from + names.length] ?? ''); next?.kind === first.kind &&
      next.rest === first.rest;) {
      names.push(next.name);
      next = aboutSubscription(sorted[from + names.length] ?? '');
    }
    for (const [at, name] of [...names].sort().entries()) {
      const place = from + at;
      sorted[place] = (sorted[place] as string).replace(names[at] as string, () => name);
    }
    from += names.length - 1;
  }
  return sorted;
}

/** What a comparison of two lists needs to know. */
export interface Context {
  token: string;
  isSender: boolean;
  /** The subject is as old as the oracle, so that the orders of both are the same. */
  isSameVersion: boolean;
  /** Commands in the step. */
  lineCount: number;
  commands: ReadonlySet<string>;
  /** Commands of the step's connection, which caused what came to others. */
  causes: ReadonlySet<string>;
  oracleNames: Names;
  subjectNames: Names;
}

/** A place where two lists differ; undefined stands for no frame. */
export interface FrameDifference {
  at: number;
  oracle: string | undefined;
  subject: string | undefined;
}

/** What is said for a difference: the frames may stand for each other, or the subject's is one more than the oracle has. */
export type Excuse = 'instead' | 'extra' | undefined;

/** The first place where the lists differ and `excuseFor` does not say that it is meant. */
export function compareFrames(
  oracle: Buffer[],
  subject: Buffer[],
  context: Context,
  excuseFor: (difference: FrameDifference) => Excuse,
): FrameDifference | undefined {
  const [left, unmatched] = !context.isSender || context.isSameVersion
    ? [oracle, subject]
    : context.lineCount === 1
      ? [inNewerOrder(oracle, context.token), subject]
      : [inNewerOrder(oracle, context.token), inNewerOrder(subject, context.token)];
  const right = [...unmatched];
  const inWords = (frames: Buffer[], names: Names): string[] =>
    sortFreeRuns(frames.map((frame) => normalise(frame, names, context.commands)), context.commands, context.causes);
  const [ours, theirs] = [inWords(left, context.oracleNames), inWords(right, context.subjectNames)];
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const [a, b] = [left[at], right[at]];
    if (a !== undefined && b !== undefined && (ours[at] === theirs[at] ||
      isSameReply(a, b, context.commands))) continue;
    const difference = { at, oracle: ours[at], subject: theirs[at] };
    // A frame too few cannot be excused: all that follow are compared with the wrong ones. One too many is taken out.
    const excuse = b === undefined ? undefined : excuseFor(difference);
    if (excuse === undefined || (excuse === 'instead' && a === undefined)) return difference;
    if (excuse === 'instead') continue;
    right.splice(at, 1);
    theirs.splice(at, 1);
    at--;
  }
  return undefined;
}
