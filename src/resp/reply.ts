/**
 * Reply values of the control plane, and their encoding as RESP2 or RESP3 bytes.
 *
 * A control command (CONFIG, COMMAND, INFO …) builds a small tree of `Reply` values and does not think about
 * protocol versions; `encodeReply` alone knows what a map, a null or a double looks like for an old client. The
 * native ReplyBuilder (native/resp/reply_builder.h) makes the same choices for data commands; the two must agree.
 *
 * Always true:
 *  1. A line of the protocol is never broken by data: CR and LF inside simple strings, errors and big numbers
 *     become spaces, those at the end of an error are dropped, as Redis does.
 *  2. Text is written as UTF-8; whoever holds arbitrary bytes passes a Buffer.
 *  3. Integers beyond 2^53 are bigint. An unsafe `number` is a mistake of the caller and throws.
 *
 * Pure functions, any thread. The returned Buffer belongs to the caller and shares memory with nothing.
 *
 * Specification: redis.io "RESP protocol description", RESP3 specification.
 */

/** The protocol version of a connection, as HELLO sets it. */
export type RespVersion = 2 | 3;

/** One reply value. Build it with the functions of `reply`. */
export type Reply =
  | { readonly kind: 'simple'; readonly text: string }
  | { readonly kind: 'error'; readonly text: string }
  | { readonly kind: 'bulk'; readonly value: string | Uint8Array }
  | { readonly kind: 'integer'; readonly value: bigint | number }
  | { readonly kind: 'null' }
  | { readonly kind: 'nullArray' }
  | { readonly kind: 'array'; readonly items: readonly Reply[] }
  | { readonly kind: 'set'; readonly items: readonly Reply[] }
  | { readonly kind: 'push'; readonly items: readonly Reply[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [Reply, Reply])[] }
  | { readonly kind: 'double'; readonly value: number }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'bigNumber'; readonly digits: string }
  | { readonly kind: 'verbatim'; readonly format: string; readonly value: string | Uint8Array }
  | { readonly kind: 'raw'; readonly bytes: Uint8Array };

/** Makers of reply values. */
export const reply = {
  /** `+text`. */
  simple: (text: string): Reply => ({ kind: 'simple', text }),
  /** `-text`; the text begins with its code: `ERR …`, `WRONGTYPE …`. */
  error: (text: string): Reply => ({ kind: 'error', text }),
  /** A bulk string. */
  bulk: (value: string | Uint8Array): Reply => ({ kind: 'bulk', value }),
  /** `:value`; 64 bits, signed. */
  integer: (value: bigint | number): Reply => ({ kind: 'integer', value }),
  /** RESP2 `$-1`, RESP3 `_`. */
  null: (): Reply => ({ kind: 'null' }),
  /** RESP2 `*-1`, RESP3 `_`. */
  nullArray: (): Reply => ({ kind: 'nullArray' }),
  array: (items: readonly Reply[]): Reply => ({ kind: 'array', items }),
  /** RESP2: an array. */
  set: (items: readonly Reply[]): Reply => ({ kind: 'set', items }),
  /** RESP2: an array. */
  push: (items: readonly Reply[]): Reply => ({ kind: 'push', items }),
  /** RESP2: an array of keys and values in turn. */
  map: (entries: readonly (readonly [Reply, Reply])[]): Reply => ({ kind: 'map', entries }),
  /** RESP2: a bulk string. */
  double: (value: number): Reply => ({ kind: 'double', value }),
  /** RESP2: `:1` or `:0`. */
  boolean: (value: boolean): Reply => ({ kind: 'boolean', value }),
  /** Decimal digits with an optional sign. RESP2: a bulk string. */
  bigNumber: (digits: string): Reply => ({ kind: 'bigNumber', digits }),
  /** Text with a three-letter format (`txt`, `mkd`). RESP2: a bulk string. */
  verbatim: (format: string, value: string | Uint8Array): Reply => ({ kind: 'verbatim', format, value }),
  /** Bytes that are complete RESP already. */
  raw: (bytes: Uint8Array): Reply => ({ kind: 'raw', bytes }),
  ok: (): Reply => ({ kind: 'simple', text: 'OK' }),
} as const;

const FIRST_CAPACITY_BYTES = 256;

/** A byte buffer that doubles when it is full, so that a reply of n bytes costs O(n) however many parts it has. */
class ReplyWriter {
  private buffer = Buffer.allocUnsafe(FIRST_CAPACITY_BYTES);
  private size = 0;

  text(text: string): void {
    const byteLength = Buffer.byteLength(text);
    this.reserve(byteLength);
    this.size += this.buffer.write(text, this.size);
  }

  bytes(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.size);
    this.size += bytes.length;
  }

  /** `$length`, the bytes and the line end; `prefix` stands before the value and counts as part of it. */
  bulk(value: string | Uint8Array, type = '$', prefix = ''): void {
    const byteLength = typeof value === 'string' ? Buffer.byteLength(value) : value.length;
    this.text(`${type}${byteLength + prefix.length}\r\n${prefix}`);
    if (typeof value === 'string') this.text(value);
    else this.bytes(value);
    this.text('\r\n');
  }

  finish(): Buffer {
    return this.buffer.subarray(0, this.size);
  }

  private reserve(byteCount: number): void {
    if (this.buffer.length - this.size >= byteCount) return;
    const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.size + byteCount));
    this.buffer.copy(grown, 0, 0, this.size);
    this.buffer = grown;
  }
}

/**
 * Encodes a reply for a connection that speaks RESP2 or RESP3.
 *
 * @example
 * encodeReply(reply.map([[reply.bulk('proto'), reply.integer(3)]]), 3); // %1\r\n$5\r\nproto\r\n:3\r\n
 */
export function encodeReply(value: Reply, resp: RespVersion): Buffer {
  const writer = new ReplyWriter();
  write(writer, value, resp);
  return writer.finish();
}

function write(writer: ReplyWriter, value: Reply, resp: RespVersion): void {
  switch (value.kind) {
    case 'simple':
      return writer.text(`+${oneLine(value.text)}\r\n`);
    case 'error':
      return writer.text(`-${oneLine(value.text.replace(/[\r\n]+$/, ''))}\r\n`);
    case 'bulk':
      return writer.bulk(value.value);
    case 'integer':
      return writer.text(`:${integerText(value.value)}\r\n`);
    case 'raw':
      return writer.bytes(value.bytes);
    case 'array':
      return writeItems(writer, '*', value.items, resp);
    case 'set':
      return writeItems(writer, resp === 3 ? '~' : '*', value.items, resp);
    case 'push':
      return writeItems(writer, resp === 3 ? '>' : '*', value.items, resp);
    case 'map':
      writer.text(resp === 3 ? `%${value.entries.length}\r\n` : `*${value.entries.length * 2}\r\n`);
      for (const [key, entry] of value.entries) {
        write(writer, key, resp);
        write(writer, entry, resp);
      }
      return;
    default:
      return resp === 3 ? writeScalar3(writer, value) : writeScalar2(writer, value);
  }
}

/** The kinds that RESP3 has types of its own for and RESP2 has not. */
type TypedScalar = Extract<Reply, { kind: 'null' | 'nullArray' | 'double' | 'boolean' | 'bigNumber' | 'verbatim' }>;

function writeScalar2(writer: ReplyWriter, value: TypedScalar): void {
  switch (value.kind) {
    case 'null':
      return writer.text('$-1\r\n');
    case 'nullArray':
      return writer.text('*-1\r\n');
    case 'double':
      return writer.bulk(formatDouble(value.value));
    case 'boolean':
      return writer.text(value.value ? ':1\r\n' : ':0\r\n');
    case 'bigNumber':
      return writer.bulk(value.digits);
    case 'verbatim':
      return writer.bulk(value.value);
  }
}

function writeScalar3(writer: ReplyWriter, value: TypedScalar): void {
  switch (value.kind) {
    case 'null':
    case 'nullArray':
      return writer.text('_\r\n');
    case 'double':
      return writer.text(`,${formatDouble(value.value)}\r\n`);
    case 'boolean':
      return writer.text(value.value ? '#t\r\n' : '#f\r\n');
    case 'bigNumber':
      return writer.text(`(${oneLine(value.digits)}\r\n`);
    case 'verbatim':
      return writer.bulk(value.value, '=', `${verbatimFormat(value.format)}:`);
  }
}

function writeItems(writer: ReplyWriter, type: string, items: readonly Reply[], resp: RespVersion): void {
  writer.text(`${type}${items.length}\r\n`);
  for (const item of items) write(writer, item, resp);
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]/g, ' ');
}

function verbatimFormat(format: string): string {
  if (!/^[ -~]{3}$/.test(format)) throw new RangeError(`verbatim format must have three characters: ${format}`);
  return format;
}

function integerText(value: bigint | number): string {
  if (typeof value === 'bigint') {
    if (BigInt.asIntN(64, value) !== value) throw new RangeError(`integer reply beyond 64 bits: ${value}`);
    return value.toString();
  }
  if (!Number.isSafeInteger(value)) throw new RangeError(`integer reply is not a safe integer: ${value}`);
  return value === 0 ? '0' : value.toString();
}

/** Whole numbers up to this magnitude are printed as integers, as Redis does (half of the 64-bit range). */
const PLAIN_INTEGER_MAX = 2 ** 62;

/**
 * A double as Redis 7.2 prints it: whole numbers as integers, others with the shortest digits that read back as the
 * same number, plain where that is short and in scientific notation elsewhere. The limits of "short" are those of the
 * fpconv library that Redis uses; they are not JavaScript's, so the digits are JavaScript's and the notation is set
 * here. native/base/numbers.h has the same rules.
 */
export function formatDouble(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  if (Number.isInteger(value) && Math.abs(value) <= PLAIN_INTEGER_MAX) return BigInt(value).toString();
  const sign = value < 0 ? '-' : '';
  const [mantissa = '', exponentText = '0'] = Math.abs(value).toExponential().split('e');
  const digits = mantissa.replace('.', '');
  const exponent = Number(exponentText);
  // The value is `digits` times ten to the power of `scale`.
  const scale = exponent - (digits.length - 1);
  if (scale >= 0 && Math.abs(exponent) < digits.length + 7) return sign + digits + '0'.repeat(scale);
  if (scale < 0 && (scale > -7 || Math.abs(exponent) < 4)) {
    const pointIndex = digits.length + scale;
    if (pointIndex <= 0) return `${sign}0.${'0'.repeat(-pointIndex)}${digits}`;
    return `${sign}${digits.slice(0, pointIndex)}.${digits.slice(pointIndex)}`;
  }
  const point = digits.length > 1 ? '.' : '';
  return `${sign}${digits[0]}${point}${digits.slice(1)}e${exponent < 0 ? '-' : '+'}${Math.abs(exponent)}`;
}
