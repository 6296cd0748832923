/**
 * Scripts about keyspace notifications: one connection listens, another runs commands of all data families, drawn by
 * the one-connection test's generator. Every event must come, no other, in the same order.
 *
 * Which events are wanted is drawn at the start and changes in between. The listener may be the writer itself (RESP3),
 * and a third connection may wait for lists, so that events come from commands that were woken. Keys expire only when
 * they are looked at: the generator waits and then looks.
 */
import { Generator } from '../differential/generator.js';
import type { Prng } from '../differential/prng.js';
import { choose } from './draw.js';
import { send, wordOf, type Draft, type Line, type Step } from './script.js';

const FAMILIES = [
  'strings', 'keys', 'lists', 'sets', 'hashes', 'zsets', 'geo', 'streams', 'bitmaps', 'hyperloglogs', 'sort',
];
const CLASSES = ['g', '$', 'l', 's', 'h', 'z', 'x', 'e', 't', 'd', 'm', 'n'];
const PATTERNS = [
  ['__key*__:*'], ['__keyevent@*__:*'], ['__keyspace@*__:*'], ['__keyevent@0__:*'],
    ['__keyspace@0__:a', '__keyevent@*__:*'],
];
const LINES_MAX = 5;
const TTL_MS = '5';
const BEHIND_TTL_MS = 20;
const NOTHING_MISSING: ReadonlySet<string> = new Set();

function flags(prng: Prng): string {
  return choose<string>(prng, [
    [5, () => 'KEA'],
    [3, () => 'KEAmn'],
    [2, () => 'EA'],
    [1, () => 'KA'],
    [4, () => prng.pick(['K', 'E', 'KE']) + CLASSES.filter(() => prng.chance(0.4)).join('')],
    [0.5, () => ''],
    [0.5, () => CLASSES.join('')],
  ]);
}

/** The generator's commands in steps of one or several, with its pauses before the step that looks. */
function writes(prng: Prng, writer: number, count: number, linesMax: number): Step[] {
  const seed = prng.next();
  const stream = new Generator(seed, { families: FAMILIES, missing: NOTHING_MISSING, steps: count }).stream(seed,
    count);
  const steps: Step[] = [];
  let lines: Line[] = [];
  let beforeMs: number | undefined;
  const flush = (): void => {
    if (lines.length === 0) return;
    const isWaiting = lines.some((line) => line.some((word) => wordOf(word) === 'block'));
    const extra = { ...(beforeMs === undefined ? {} : { beforeMs }), ...(isWaiting ? { untilFree: true } : {}) };
    steps.push({ ...send(writer, ...lines), ...extra });
    lines = [];
    beforeMs = undefined;
  };
  for (const step of stream.steps) {
    // Payloads of DUMP are each server's own; RESTORE is in other families.
    if (step.dump !== undefined) continue;
    lines.push(step.args);
    if (step.pauseMs !== undefined) {
      flush();
      beforeMs = 2 * step.pauseMs;
    } else if (lines.length >= prng.between(1, linesMax)) {
      flush();
    }
  }
  flush();
  return steps;
}

/** A key of some type that expires, then a command that finds it so. The generator does this too, but seldom. */
function expiring(prng: Prng, writer: number): Step[] {
  const name = prng.pick(['a', 'b', 'key:1', '{tag}1']);
  const make = prng.pick<Line[]>([
    [['SET', name, 'v', 'PX', TTL_MS]],
    [['PSETEX', name, TTL_MS, '5']],
    [['DEL', name], ['RPUSH', name, 'x', 'y'], ['PEXPIRE', name, TTL_MS]],
    [['DEL', name], ['ZADD', name, '1', 'm'], ['PEXPIRE', name, TTL_MS]],
    [['DEL', name], ['HSET', name, 'f', 'v'], ['PEXPIRE', name, TTL_MS]],
    [['DEL', name], ['SADD', name, 'm'], ['PEXPIRE', name, TTL_MS]],
    [['PEXPIRE', name, TTL_MS]],
    [['GETEX', name, 'PX', TTL_MS]],
  ]);
  const look = prng.pick([
    'GET', 'TYPE', 'INCR', 'DEL', 'UNLINK', 'EXISTS', 'MGET other', 'TOUCH', 'TTL', 'PERSIST', 'LPUSH 1', 'LPUSHX 1',
    'LPOP', 'LLEN', 'SADD m',
    'SPOP', 'SINTER other', 'HSET f v', 'HGETALL', 'ZADD 1 m', 'ZPOPMIN', 'ZRANGE 0 -1', 'APPEND x', 'SETRANGE 1 x',
    'GETSET n', 'GETDEL',
    'SET n', 'SET n NX', 'SET n XX', 'SETNX n', 'RENAME other', 'RENAMENX other', 'COPY other', 'MOVE 3',
    'EXPIRE 100', 'PFADD x', 'XADD 1-1 f v',
    'SORT', 'BITCOUNT', 'SETBIT 1 1', 'LMOVE other LEFT LEFT', 'SMOVE other m', 'SUNIONSTORE other',
  ]).split(' ');
  const [command, ...rest] = look as [string, ...string[]];
  return [send(writer, ...make), { ...send(writer, [command, name, ...rest]), beforeMs: BEHIND_TTL_MS }];
}

export function notifications(prng: Prng): Draft {
  const isOwn = prng.chance(0.2);
  const resp: (2 | 3)[] = isOwn ? [3] : [prng.pick([2, 3]), prng.pick([2, 3])];
  const writer = isOwn ? 0 : 1;
  const hasWaiter = prng.chance(0.4);
  if (hasWaiter) resp.push(prng.pick([2, 3]));
  const waiter = resp.length - 1;
  const steps: Step[] = [send(0, ['PSUBSCRIBE', ...prng.pick(PATTERNS)])];
  // A writer that listens gets its events one command a step, so that it can be said which belongs to which.
  for (const step of writes(prng, writer, prng.between(20, 90), isOwn ? 1 : LINES_MAX)) {
    const extra = choose<Step[]>(prng, [
      [40, () => []],
      [1, () => [send(writer, ['CONFIG', 'SET', 'notify-keyspace-events', flags(prng)])]],
      [0.3, () => [send(writer, ['CONFIG', 'GET', 'notify-keyspace-events'])]],
      [0.7, () => [send(writer, ['SELECT', prng.pick(['0', '0', '1', '2'])])]],
      [0.5, () => [send(writer, prng.pick<Line>([['FLUSHALL'], ['FLUSHDB'], ['SWAPDB', '0', '1']]))]],
      [hasWaiter ? 5 : 0, () => [send(waiter, waiting(prng))]],
      [1, () => [send(writer, ['MULTI'], ...step.lines, ['EXEC'])]],
      [1.5, () => expiring(prng, writer)],
    ]);
    // Nothing may come between a command and the look at what it made expire.
    if (step.beforeMs === undefined) steps.push(...extra);
    steps.push(step);
  }
  return { resp, options: { 'notify-keyspace-events': flags(prng) }, spacer: prng.chance(0.3), steps };
}

function waiting(prng: Prng): Line {
  const words = ['BLPOP a b 0', 'BRPOP key:1 a 0', 'BLMOVE a b LEFT RIGHT 0', 'BZPOPMIN a b key:2 0',
    'BLMPOP 0 2 a b LEFT', 'BRPOPLPUSH b {tag}1 0'];
  return prng.pick(words).split(' ');
}
