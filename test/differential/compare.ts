/**
 * Decides whether two replies to the same command are the same, by the command's comparison rule (rules.ts).
 *
 * Equal bytes are always the same. Otherwise an error is only ever equal to the same error, and a type only to the
 * same type; the rules loosen values, never kinds.
 */
import { FrameError, parseFrame, type RespValue } from '../support/resp-frames.js';
import type { Comparison } from './rules.js';

/** Two clocks read one after the other, on a machine that may be busy. */
const CLOCK_TOLERANCE_MS = 3_000n;
const CLOCK_TOLERANCE_SEC = 4n;
/** Twice the last digit of a distance. */
const DISTANCE_TOLERANCE = 0.0002;

export function isSame(rule: Comparison, left: Buffer, right: Buffer): boolean {
  if (left.equals(right)) return true;
  if (rule === 'exact') return false;
  let a: RespValue;
  let b: RespValue;
  try {
    a = parseFrame(left);
    b = parseFrame(right);
  } catch (error) {
    // A frame that is whole and yet says nothing (":+OK") is a difference, not an accident of the test.
    if (error instanceof FrameError) return false;
    throw error;
  }
  if (a.kind !== b.kind || a.kind === 'error') return false;
  switch (rule) {
    case 'sorted':
      return isSortedSame(a, b, 1);
    case 'sorted-pairs':
      return isSortedSame(a, b, 2);
    case 'doubles':
      return isNumberSame(a, b, 0);
    case 'distances':
      return isNumberSame(a, b, DISTANCE_TOLERANCE);
    case 'stream-info':
      return isStreamInfoSame(a, b);
    case 'kind':
      return true;
    case 'shape':
      return isShapeSame(a, b);
    case 'ttl-ms':
      return isNear(a, b, CLOCK_TOLERANCE_MS);
    case 'ttl-sec':
      return isNear(a, b, CLOCK_TOLERANCE_SEC);
    case 'hello':
      return isHelloSame(a, b);
    case 'client-line':
      return isTextSame(a, b, clientFacts);
    case 'keyspace-info':
      return isTextSame(a, b, keyspaceFacts);
    case 'debug-object':
      return isTextSame(a, b, debugObjectFacts);
  }
}

/** A string that is equal for equal trees. Sets and arrays keep their order. */
function canonical(value: RespValue): string {
  switch (value.kind) {
    case 'integer':
      return `:${value.value}`;
    case 'double':
      return `,${value.text}`;
    case 'boolean':
      return `#${value.value}`;
    case 'null':
      return value.form;
    case 'array':
    case 'set':
    case 'push':
      return `${value.kind}[${value.items.map(canonical).join(' ')}]`;
    case 'map':
      return `map{${value.pairs.map(([key, item]) => `${canonical(key)}=${canonical(item)}`).join(' ')}}`;
    case 'attribute':
      return `attribute{${value.pairs.map(([key, item]) => `${canonical(key)}=${canonical(item)}`).join(' ')}}${canonical(value.of)}`;
    default:
      return `${value.kind}"${value.bytes.toString('latin1').replaceAll('"', '\\"')}"`;
  }
}

/** Equal as multisets of groups of `size` items. */
function isSortedSame(a: RespValue, b: RespValue, size: number): boolean {
  const parts = (value: RespValue): string[] | undefined => {
    if (value.kind === 'map') return value.pairs.map(([key, item]) => `${canonical(key)}=${canonical(item)}`);
    if (value.kind !== 'array' && value.kind !== 'set') return undefined;
    const groups: string[] = [];
    for (let at = 0; at < value.items.length; at += size) {
      groups.push(
        value.items
          .slice(at, at + size)
          .map(canonical)
          .join('='),
      );
    }
    return groups;
  };
  const left = parts(a)?.sort();
  const right = parts(b)?.sort();
  return left !== undefined && right !== undefined && left.join('\n') === right.join('\n');
}

/** The number that a text is, if it is a finite one in decimal. */
function numberOf(value: RespValue): number | undefined {
  const text = value.kind === 'double' ? value.text : value.kind === 'bulk' ? value.bytes.toString('latin1') : '';
  return /^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(text) ? Number(text) : undefined;
}

/** Equal trees, but for how numbers are written and how far they may be apart. */
function isNumberSame(a: RespValue, b: RespValue, tolerance: number): boolean {
  if (a.kind === 'array' && b.kind === 'array') {
    const isItemSame = (item: RespValue, at: number): boolean => isNumberSame(item, b.items[at] as RespValue, tolerance);
    return a.items.length === b.items.length && a.items.every(isItemSame);
  }
  if (a.kind !== b.kind) return false;
  if (canonical(a) === canonical(b)) return true;
  const [left, right] = [numberOf(a), numberOf(b)];
  return left !== undefined && right !== undefined && Math.abs(left - right) <= tolerance;
}

/** Fields of XINFO that the oracle does not know, and those that hold a time. */
const NEWER_STREAM_FIELDS = new Set(['inactive', 'active-time']);
const STREAM_TIME_FIELDS = new Set(['idle', 'seen-time']);

const textOf = (value: RespValue | undefined): string =>
  value?.kind === 'bulk' ? value.bytes.toString('latin1') : '';

/**
 * The items of an array, or names and values of a map in turn (names have even places, also where RESP2 makes an array
 * of the map), without fields that are newer than the oracle.
 */
function streamItems(value: RespValue): RespValue[] | undefined {
  const items = value.kind === 'map' ? value.pairs.flat() : value.kind === 'array' ? value.items : undefined;
  return items?.filter((_, at) => !NEWER_STREAM_FIELDS.has(textOf(items[at - (at % 2)])));
}

/** [id, consumer, time, count] or [id, time, count]: where the time of a pending entry stands. */
function pendingTimeAt(items: readonly RespValue[]): number | undefined {
  const kinds = items.map((item) => item.kind).join(' ');
  if (kinds === 'bulk bulk integer integer') return 2;
  return kinds === 'bulk integer integer' ? 1 : undefined;
}

/** Equal trees, but for moments and times that are near each other. */
function isStreamInfoSame(a: RespValue, b: RespValue): boolean {
  if (a.kind !== b.kind) return false;
  const [left, right] = [streamItems(a), streamItems(b)];
  if (left === undefined || right === undefined) return canonical(a) === canonical(b);
  if (left.length !== right.length) return false;
  const timeAt = pendingTimeAt(left);
  return left.every((item, at) => {
    const isTime = at === timeAt || (at % 2 === 1 && STREAM_TIME_FIELDS.has(textOf(left[at - 1])));
    const other = right[at] as RespValue;
    return isTime ? isNear(item, other, CLOCK_TOLERANCE_MS) : isStreamInfoSame(item, other);
  });
}

function isShapeSame(a: RespValue, b: RespValue): boolean {
  if (a.kind !== b.kind) return false;
  if (a.kind === 'null' && b.kind === 'null') return a.form === b.form;
  if ((a.kind === 'array' || a.kind === 'set') && (b.kind === 'array' || b.kind === 'set')) {
    // Lengths may differ (a page of SCAN), the type of each place that both have may not.
    const count = Math.min(a.items.length, b.items.length);
    for (let index = 0; index < count; index++) {
      if (!isShapeSame(a.items[index] as RespValue, b.items[index] as RespValue)) return false;
    }
  }
  return true;
}

function isNear(a: RespValue, b: RespValue, tolerance: bigint): boolean {
  if (a.kind !== 'integer' || b.kind !== 'integer') return false;
  // -1 (no expiry) and -2 (no key) are answers, not times.
  if (a.value < 0n || b.value < 0n) return a.value === b.value;
  const distance = a.value > b.value ? a.value - b.value : b.value - a.value;
  return distance <= tolerance;
}

function isHelloSame(a: RespValue, b: RespValue): boolean {
  const masked = (value: RespValue): string => {
    const items = value.kind === 'map' ? value.pairs.flat() : value.kind === 'array' ? value.items : [];
    const fields: string[] = [];
    for (let index = 0; index + 1 < items.length; index += 2) {
      const name = canonical(items[index] as RespValue);
      const item = items[index + 1] as RespValue;
      fields.push(`${name}=${name.includes('"id"') || name.includes('"version"') ? item.kind : canonical(item)}`);
    }
    return `${value.kind} ${fields.join(' ')}`;
  };
  return masked(a) === masked(b);
}

function isTextSame(a: RespValue, b: RespValue, facts: (text: string) => string): boolean {
  if (!('bytes' in a) || !('bytes' in b)) return false;
  return facts(a.bytes.toString('latin1')) === facts(b.bytes.toString('latin1'));
}

/** CLIENT LIST: number of lines; each line's field names in order and the values that do not depend on the machine. */
function clientFacts(text: string): string {
  const kept = new Set(['name', 'flags', 'db', 'sub', 'psub', 'ssub', 'multi', 'cmd', 'user', 'redir', 'resp']);
  const newer = new Set(['lib-name', 'lib-ver']);
  const lines = text
    .replace(/^txt:/, '')
    .split('\n')
    .map((line) =>
      line
        .split(/ (?=[a-z-]+=)/)
        .map((field) => field.split('=', 1)[0] as string)
        .filter((name) => !newer.has(name))
        .map((name) => (kept.has(name) ? (line.match(new RegExp(`(?:^| )${name}=([^ ]*)`))?.[0] ?? name) : name))
        .join(' '),
    );
  return lines.sort().join('\n');
}

/** INFO: the keyspace section without its averages; of other sections only the headings. */
function keyspaceFacts(text: string): string {
  return text
    .replace(/^txt:/, '')
    .split('\r\n')
    .filter((line) => line.startsWith('#') || /^db\d+:/.test(line))
    .map((line) => line.replace(/avg_ttl=\d+/, 'avg_ttl').replace(/,subexpiry=\d+/, ''))
    .join('\n');
}

/** DEBUG OBJECT: address, lru clock and idle time are the server's own; other DEBUG replies are compared whole. */
function debugObjectFacts(text: string): string {
  if (!text.startsWith('Value at:')) return text;
  return text
    .replace(/Value at:0x[0-9a-f]+/, 'Value at')
    .replace(/lru:\d+/, 'lru')
    .replace(/lru_seconds_idle:\d+/, 'idle');
}
