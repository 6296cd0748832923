/**
 * RESP2 and RESP3 reply frames as tests see them: where one ends, and what it says.
 *
 * Two readers are kept apart on purpose. `frameEnd` only finds the last byte of a frame, so that a million
 * replies can be compared as bytes without building a tree; `parseFrame` builds the tree, and is asked for only
 * where the bytes differ or a test looks inside. Both are binary-safe: nothing passes through a string.
 *
 * Invariants:
 * 1. `parseFrame(buffer, 0)` consumes exactly the bytes up to `frameEnd(buffer, 0)`.
 * 2. Bytes that are no frame throw FrameError at once instead of waiting for more: a server that loses the
 *    framing must show as that, not as a timeout.
 *
 * Specification: RESP3 (github.com/redis/redis-specifications) with RESP2 as its subset.
 */

/** A reply's tree. Text stays a Buffer because replies are binary. */
export type RespValue =
  | { kind: 'simple' | 'error' | 'bulk' | 'bulk-error' | 'verbatim' | 'big-number'; bytes: Buffer }
  | { kind: 'integer'; value: bigint }
  | { kind: 'double'; text: string }
  | { kind: 'boolean'; value: boolean }
  | { kind: 'null'; form: '$-1' | '*-1' | '_' }
  | { kind: 'array' | 'set' | 'push'; items: RespValue[] }
  | { kind: 'map'; pairs: [RespValue, RespValue][] }
  | { kind: 'attribute'; pairs: [RespValue, RespValue][]; of: RespValue };

/** Bytes that are no RESP frame. */
export class FrameError extends Error {
  constructor(message: string, buffer: Buffer, at: number) {
    const near = buffer.subarray(Math.max(0, at - 20), at + 60).toString('latin1');
    super(`${message} at byte ${at}, near ${JSON.stringify(near)}`);
    this.name = 'FrameError';
  }
}

const CR = 13;
const LF = 10;
const DEPTH_MAX = 64;

/** Index of the CR of the line that starts at `from`, or -1 when the line is not complete. */
function lineEnd(buffer: Buffer, from: number, limit: number): number {
  for (let at = from; at + 1 < limit; at++) {
    if (buffer[at] === CR) {
      if (buffer[at + 1] !== LF) throw new FrameError('CR without LF in a line', buffer, at);
      return at;
    }
    if (buffer[at] === LF) throw new FrameError('LF without CR in a line', buffer, at);
  }
  return -1;
}

/** The decimal length in [from, to); -1 is a null of RESP2. */
function parseLength(buffer: Buffer, from: number, to: number): number {
  if (to - from === 2 && buffer[from] === 0x2d && buffer[from + 1] === 0x31) return -1;
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = (buffer[at] as number) - 48;
    if (digit < 0 || digit > 9) throw new FrameError('not a length', buffer, from);
    value = value * 10 + digit;
  }
  if (to === from || to - from > 15) throw new FrameError('not a length', buffer, from);
  return value;
}

/**
 * Finds the end of the frame that starts at `from`. Returns the index behind it, or -1 when more bytes are
 * needed. An attribute counts as part of the frame that it precedes.
 */
export function frameEnd(buffer: Buffer, from: number, limit = buffer.length): number {
  // Number of frames still to pass over: aggregates add their children, so that no recursion is needed.
  let due = 1;
  let at = from;
  while (due > 0) {
    if (at >= limit) return -1;
    const type = buffer[at] as number;
    const end = lineEnd(buffer, at + 1, limit);
    if (end < 0) {
      checkType(buffer, at);
      return -1;
    }
    const next = end + 2;
    due--;
    switch (type) {
      case 0x2b: // +
      case 0x2d: // -
      case 0x3a: // :
      case 0x2c: // ,
      case 0x23: // #
      case 0x28: // (
      case 0x5f: // _
        at = next;
        break;
      case 0x24: // $
      case 0x21: // !
      case 0x3d: {
        // =
        const length = parseLength(buffer, at + 1, end);
        if (length < 0) {
          at = next;
          break;
        }
        if (next + length + 2 > limit) return -1;
        if (buffer[next + length] !== CR || buffer[next + length + 1] !== LF) {
          throw new FrameError('bulk not closed by CR LF', buffer, next + length);
        }
        at = next + length + 2;
        break;
      }
      case 0x2a: // *
      case 0x7e: // ~
      case 0x3e: // >
        due += Math.max(0, parseLength(buffer, at + 1, end));
        at = next;
        break;
      case 0x25: // %
        due += 2 * parseLength(buffer, at + 1, end);
        at = next;
        break;
      case 0x7c: // |
        due += 2 * parseLength(buffer, at + 1, end) + 1;
        at = next;
        break;
      default:
        throw new FrameError('unknown frame type', buffer, at);
    }
  }
  return at;
}

function checkType(buffer: Buffer, at: number): void {
  if (!'+-:,#(_$!=*~>%|'.includes(String.fromCharCode(buffer[at] as number))) {
    throw new FrameError('unknown frame type', buffer, at);
  }
}

/** Builds the tree of one complete frame. Throws FrameError when the bytes are not exactly one. */
export function parseFrame(buffer: Buffer): RespValue {
  const cursor = { at: 0 };
  const value = parseAt(buffer, cursor, 0);
  if (cursor.at !== buffer.length) throw new FrameError('bytes behind the frame', buffer, cursor.at);
  return value;
}

function parseAt(buffer: Buffer, cursor: { at: number }, depth: number): RespValue {
  if (depth > DEPTH_MAX) throw new FrameError('nested too deep', buffer, cursor.at);
  const from = cursor.at;
  const end = from < buffer.length ? lineEnd(buffer, from + 1, buffer.length) : -1;
  if (end < 0) throw new FrameError('incomplete frame', buffer, from);
  const line = buffer.subarray(from + 1, end);
  cursor.at = end + 2;
  const type = String.fromCharCode(buffer[from] as number);
  switch (type) {
    case '+':
      return { kind: 'simple', bytes: line };
    case '-':
      return { kind: 'error', bytes: line };
    case '(':
      return { kind: 'big-number', bytes: line };
    case ':':
      if (!/^[+-]?\d+$/.test(line.toString('latin1'))) throw new FrameError('not an integer', buffer, from);
      return { kind: 'integer', value: BigInt(line.toString('latin1')) };
    case ',':
      return { kind: 'double', text: line.toString('latin1') };
    case '#':
      if (line.length !== 1 || (line[0] !== 0x74 && line[0] !== 0x66)) throw new FrameError('no boolean', buffer, from);
      return { kind: 'boolean', value: line[0] === 0x74 };
    case '_':
      if (line.length !== 0) throw new FrameError('null with a text', buffer, from);
      return { kind: 'null', form: '_' };
    case '$':
    case '!':
    case '=':
      return parseBulk(buffer, cursor, type, parseLength(buffer, from + 1, end));
    default:
      return parseAggregate(buffer, cursor, type, parseLength(buffer, from + 1, end), depth);
  }
}

function parseBulk(buffer: Buffer, cursor: { at: number }, type: string, length: number): RespValue {
  if (length < 0) return { kind: 'null', form: '$-1' };
  const bytes = buffer.subarray(cursor.at, cursor.at + length);
  cursor.at += length + 2;
  if (cursor.at > buffer.length) throw new FrameError('incomplete bulk', buffer, buffer.length);
  return { kind: type === '$' ? 'bulk' : type === '!' ? 'bulk-error' : 'verbatim', bytes };
}

function parseAggregate(
  buffer: Buffer,
  cursor: { at: number },
  type: string,
  length: number,
  depth: number,
): RespValue {
  if (type === '%' || type === '|') {
    const pairs: [RespValue, RespValue][] = [];
    for (let index = 0; index < length; index++) {
      pairs.push([parseAt(buffer, cursor, depth + 1), parseAt(buffer, cursor, depth + 1)]);
    }
    if (type === '%') return { kind: 'map', pairs };
    return { kind: 'attribute', pairs, of: parseAt(buffer, cursor, depth + 1) };
  }
  const kind = type === '*' ? 'array' : type === '~' ? 'set' : type === '>' ? 'push' : undefined;
  if (kind === undefined) throw new FrameError('unknown frame type', buffer, cursor.at);
  if (length < 0) return { kind: 'null', form: '*-1' };
  const items: RespValue[] = [];
  for (let index = 0; index < length; index++) items.push(parseAt(buffer, cursor, depth + 1));
  return { kind, items };
}

/** What a command's argument may be written as. Strings are UTF-8. */
export type Argument = Buffer | string | number | bigint;

/** Encodes one request as a RESP array of bulk strings. */
export function encodeCommand(args: readonly Argument[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const argument of args) {
    const bytes = Buffer.isBuffer(argument) ? argument : Buffer.from(String(argument));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, CRLF);
  }
  return Buffer.concat(parts);
}

const CRLF = Buffer.from('\r\n');

/** Bytes for a message: printable ASCII as it is, all else escaped; long ones cut in the middle. */
export function show(bytes: Buffer, max = 200): string {
  if (bytes.length > max) {
    const half = max >> 1;
    return `${show(bytes.subarray(0, half))}…(${bytes.length} bytes)…${show(bytes.subarray(bytes.length - half))}`;
  }
  let text = '';
  for (const byte of bytes) {
    if (byte === 0x5c) text += '\\\\';
    else if (byte === 0x22) text += '\\"';
    else if (byte === CR) text += '\\r';
    else if (byte === LF) text += '\\n';
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

/** The tree as plain JavaScript for `expect`: text as Latin-1, integers as bigint or number when it is safe. */
export function toPlain(value: RespValue): unknown {
  switch (value.kind) {
    case 'integer':
      return value.value >= -(2n ** 53n) && value.value <= 2n ** 53n ? Number(value.value) : value.value;
    case 'double':
      return value.text === 'inf' ? Infinity : value.text === '-inf' ? -Infinity : Number(value.text);
    case 'boolean':
      return value.value;
    case 'null':
      return null;
    case 'error':
    case 'bulk-error':
      return new Error(value.bytes.toString('latin1'));
    case 'verbatim':
      return value.bytes.subarray(4).toString('latin1');
    case 'array':
    case 'set':
    case 'push':
      return value.items.map(toPlain);
    case 'map':
      return new Map(value.pairs.map(([key, item]) => [toPlain(key), toPlain(item)]));
    case 'attribute':
      return toPlain(value.of);
    default:
      return value.bytes.toString('latin1');
  }
}
