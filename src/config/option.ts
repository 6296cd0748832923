/**
 * What a configuration option is: one row of data per directive, and the parsing that follows from its kind.
 *
 * Every directive of redis.conf is a row of OPTIONS (option-table.ts); defaults, bounds, texts of errors, CONFIG GET,
 * CONFIG SET, CONFIG REWRITE, the parser of redis.conf and the list of what we do not honour yet all derive from it.
 *
 * Always true:
 *  1. A value is kept as the byte string that CONFIG GET prints; `parse` is the only way to make one.
 *  2. Integers never pass through `number` before their bounds are checked (bigint, 64 bits).
 *  3. `parse` has no effect; what a value does is `AppliedBy`'s matter.
 *
 * Any thread; constant after load. Error texts are Redis 7.2's: clients and tests match them.
 */
import { parseInteger64, parseMemorySize } from '../util/numbers.js';
import { splitArgs } from '../util/split-args.js';

/**
 * Who takes a new value into account.
 * - `start`: read once while the server starts.
 * - `engine`: handed to the native engine with setOption, at start and on CONFIG SET.
 * - `logger`, `listeners`, `title`, `directory`, `persistence`: the part of the control plane that is called on CONFIG SET.
 * - `read`: whoever needs it reads it from the store each time.
 * - `nobody`: kept for CONFIG GET alone.
 */
export type AppliedBy =
  | 'start'
  | 'engine'
  | 'logger'
  | 'listeners'
  | 'title'
  | 'directory'
  | 'persistence'
  | 'read'
  | 'nobody';

/** How a number is spelled in redis.conf and printed by CONFIG GET. */
export type NumberStyle = 'integer' | 'memory' | 'memory-or-percent' | 'octal';

export type OptionKind =
  | { type: 'bool' }
  | { type: 'number'; style: NumberStyle; min: bigint; max: bigint }
  | { type: 'enum'; words: readonly string[]; several: boolean; check?: (value: string) => string | undefined }
  | { type: 'string'; check?: (value: string) => string | undefined }
  | { type: 'special'; multiArg: boolean; parse: SpecialParser };

/** Result of reading a value. */
export type Parsed = { ok: true; value: string } | { ok: false; error: string };

/** `previous` is the value before, for directives that change a part of it (client-output-buffer-limit). */
export type SpecialParser = (args: readonly string[], previous: string, source: 'file' | 'command') => Parsed;

export interface OptionRow {
  readonly name: string;
  /** Older spelling; both are listed by CONFIG GET. */
  readonly alias?: string;
  readonly kind: OptionKind;
  /** As CONFIG GET prints it. */
  readonly default: string;
  readonly isImmutable: boolean;
  /** Needs enable-protected-configs for CONFIG SET. */
  readonly isProtected: boolean;
  /** Not shown to patterns of CONFIG GET, only to its exact name. */
  readonly isHidden: boolean;
  /** Never to be written to a log. */
  readonly isSensitive: boolean;
  readonly appliedBy: AppliedBy;
  /** Why the option has no effect (yet), for docs/DIFFERENCES.md. Always present when appliedBy is `nobody`. */
  readonly notHonoured?: string;
}

const ok = (value: string): Parsed => ({ ok: true, value });
const fail = (error: string): Parsed => ({ ok: false, error });

/** Whether the option takes effect. */
export function isHonoured(row: OptionRow): boolean {
  return row.notHonoured === undefined;
}

/** Whether the directive takes more than one argument in redis.conf. */
export function isMultiArg(row: OptionRow): boolean {
  if (row.kind.type === 'special') return row.kind.multiArg;
  return row.kind.type === 'enum' && row.kind.several;
}

/** Reads the arguments of a directive. Values of CONFIG SET are split at single spaces first (splitSetValue). */
export function parseOption(
  row: OptionRow,
  args: readonly string[],
  previous: string,
  source: 'file' | 'command',
): Parsed {
  const [value = ''] = args;
  switch (row.kind.type) {
    case 'bool':
      return parseBool(value);
    case 'number':
      return parseNumber(row.kind, value);
    case 'enum':
      return checked(parseEnum(row.kind.words, row.kind.several ? args : [value]), row.kind.check);
    case 'string':
      return checked(ok(value), row.kind.check);
    case 'special':
      return row.kind.parse(args, previous, source);
  }
}

function checked(parsed: Parsed, check: ((value: string) => string | undefined) | undefined): Parsed {
  const error = parsed.ok ? check?.(parsed.value) : undefined;
  return error === undefined ? parsed : fail(error);
}

/** The arguments that CONFIG SET's one value stands for. */
export function splitSetValue(row: OptionRow, value: string): string[] {
  if (!isMultiArg(row)) return [value];
  return value === '' ? [] : value.split(' ');
}

/**
 * The arguments of a line of redis.conf: several values in one quoted word (`save "60 1000"`) are split once more, by
 * the same rules; a word whose own quotes are unbalanced counts as none, as in Redis.
 */
export function loadedWords(row: OptionRow, args: readonly string[]): readonly string[] {
  const [only = ''] = args;
  return isMultiArg(row) && args.length === 1 && only !== '' ? (splitArgs(only) ?? []) : args;
}

function parseBool(value: string): Parsed {
  const word = value.toLowerCase();
  return word === 'yes' || word === 'no' ? ok(word) : fail("argument must be 'yes' or 'no'");
}

function parseNumber(kind: Extract<OptionKind, { type: 'number' }>, text: string): Parsed {
  switch (kind.style) {
    case 'integer': {
      const value = parseInteger64(text);
      if (value === undefined) return fail("argument couldn't be parsed into an integer");
      return bounded(value, kind.min, kind.max, String(value));
    }
    case 'octal': {
      if (!/^[0-7]{1,21}$/.test(text)) return fail("argument couldn't be parsed as an octal number");
      const value = BigInt(`0o${text}`);
      return bounded(value, kind.min, kind.max, value.toString(8));
    }
    case 'memory': {
      const size = parseMemorySize(text);
      if (size === undefined) return fail('argument must be a memory value');
      // Redis reads the size as unsigned and keeps it as signed where the bound is signed: beyond 2^63 is negative.
      const value = kind.max > MAX_INT64 ? size : BigInt.asIntN(64, size);
      return bounded(value, kind.min, kind.max, String(value));
    }
    case 'memory-or-percent':
      return parseMemoryOrPercent(text);
  }
}

function bounded(value: bigint, min: bigint, max: bigint, text: string): Parsed {
  if (value >= min && value <= max) return ok(text);
  return fail(`argument must be between ${min} and ${max} inclusive`);
}

/** A percentage is a negative number inside Redis; sizes beyond 2^63 therefore read as percentages, as there. */
function parseMemoryOrPercent(text: string): Parsed {
  const size = parseMemorySize(text);
  let value = size === undefined ? undefined : BigInt.asIntN(64, size);
  if (value === undefined && text.length > 1 && text.endsWith('%')) {
    const percent = parseInteger64(text.slice(0, -1));
    if (percent !== undefined && percent >= 0n) value = -percent;
  }
  if (value === undefined) return fail('argument must be a memory or percent value');
  if (value < -100n) return fail('percentage argument must be less or equal to 100');
  return ok(value < 0n ? `${-value}%` : String(value));
}

function parseEnum(words: readonly string[], args: readonly string[]): Parsed {
  const given = args.map((arg) => words.find((word) => word === arg.toLowerCase()));
  if (given.length === 0 || given.includes(undefined)) {
    return fail(`argument(s) must be one of the following: ${words.join(', ')}`);
  }
  const chosen = words.filter((word) => given.includes(word));
  // "default" stands for no bit at all: beside another word it disappears.
  const printed = chosen.length > 1 ? chosen.filter((word) => word !== 'default') : chosen;
  return ok(printed.join(' '));
}

/** The value of a number as bigint; a percentage is negative. */
export function numberValue(row: OptionRow, text: string): bigint {
  if (row.kind.type === 'number' && row.kind.style === 'octal') return BigInt(`0o${text}`);
  return text.endsWith('%') ? -BigInt(text.slice(0, -1)) : BigInt(text);
}

export const MAX_INT32 = (1n << 31n) - 1n;
export const MIN_INT32 = -(1n << 31n);
export const MAX_UINT32 = (1n << 32n) - 1n;
export const MAX_INT64 = (1n << 63n) - 1n;
export const MAX_UINT64 = (1n << 64n) - 1n;
