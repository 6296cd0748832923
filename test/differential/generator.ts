/**
 * Makes a random command stream from a seed.
 *
 * A stream is a list of steps; each step is a command for one of a few connections. Commands come from the grammar,
 * then one in eight is spoiled (an argument dropped, doubled, swapped, replaced by an edge value, a stray token), so
 * that error paths are met with deep state behind them.
 *
 * What must hold:
 * 1. A stream is a function of its seed, its families and the commands left out; never of the clock.
 * 2. Both servers must be able to agree: a time to live never ends during a stream unless the stream waits for it
 *    (`pauseMs`), and no two relative ones are so close that EXPIRE's GT and LT depend on the millisecond.
 * 3. No command may end the server, its own connection, or the other's patience (see `isSafe`).
 */
import { COMMANDS, FAMILIES, fullName, type ArgumentSpec, type CommandSpec } from './grammar.js';
import { Prng } from './prng.js';
import { ruleOf } from './rules.js';
import { beforeStreamCommand, isStreamCommandSafe, streamOptions } from './stream-rules.js';
import {
  edgeInteger,
  randomCase,
  randomDouble,
  randomInteger,
  randomKey,
  randomPattern,
  randomString,
  randomTtl,
  randomUnixTime,
} from './values.js';

/** One command of a stream. */
export interface Step {
  args: Buffer[];
  /** Which of the stream's connections sends it. */
  connection: number;
  /** Wait this long after the reply (for keys that expire). Ends a batch. */
  pauseMs?: number;
  /**
   * DUMP whose payload is kept, each server's own, and RESTORE that takes it in place of its payload. Payloads of two
   * versions differ in bytes, so none of them can be part of a stream. The first ends a batch.
   */
  dump?: 'gives' | 'takes';
}

/** How the bytes travel. */
export type Delivery = 'pipelined' | 'single' | 'split';

export interface Stream {
  seed: number;
  resp: 2 | 3;
  delivery: Delivery;
  connections: number;
  steps: Step[];
  /** Commands per batch (pipelined and split). */
  batchMax: number;
}

export interface StreamOptions {
  families: readonly string[];
  /** Full names that the subject does not have. */
  missing: ReadonlySet<string>;
  steps: number;
}

const ARGUMENTS_MAX = 40;
/** Stands for the payload in scripts. */
const RESTORED = Buffer.from('(what DUMP gave)');
const TTL_SAFE_MS = 60_000n;
const TTL_BUCKET_MS = 30_000n;
const SETRANGE_OFFSET_MAX = 4_096n;
const BIT_OFFSET_MAX = 32_768n;
const MIN_INT64 = -(1n << 63n);
const BULK_LENGTH_DEFAULT = 536_870_912n;
/** Absolute times near now would be a race: 2000-01-01 to 2035-01-01 is left out. */
const NEAR_NOW_MS: [bigint, bigint] = [946_684_800_000n, 2_051_222_400_000n];

const RELATIVE_TTL_AT: ReadonlyMap<string, [number, bigint]> = new Map([
  ['expire', [2, 1000n]],
  ['setex', [2, 1000n]],
  ['hexpire', [2, 1000n]],
  ['pexpire', [2, 1n]],
  ['psetex', [2, 1n]],
  ['hpexpire', [2, 1n]],
]);
const ABSOLUTE_TTL_AT: ReadonlyMap<string, [number, bigint]> = new Map([
  ['expireat', [2, 1000n]],
  ['hexpireat', [2, 1000n]],
  ['pexpireat', [2, 1n]],
  ['hpexpireat', [2, 1n]],
]);
const RELATIVE_TTL_TOKENS: ReadonlyMap<string, bigint> = new Map([
  ['ex', 1000n],
  ['px', 1n],
]);
const ABSOLUTE_TTL_TOKENS: ReadonlyMap<string, bigint> = new Map([
  ['exat', 1000n],
  ['pxat', 1n],
]);

/** Parses as Redis does: canonical decimal of 64 bits, else undefined. */
export function parseInteger(bytes: Buffer | undefined): bigint | undefined {
  const text = bytes?.toString('latin1') ?? '';
  if (!/^(0|-?[1-9]\d*)$/.test(text)) return undefined;
  const value = BigInt(text);
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

/** The commands that a stream of these families may use, with their weights. */
export function drawableCommands(families: readonly string[], missing: ReadonlySet<string>): CommandSpec[] {
  const drawable: CommandSpec[] = [];
  for (const family of families) {
    const names = FAMILIES.get(family);
    if (names === undefined) throw new Error(`no family ${family}; there are ${[...FAMILIES.keys()].join(', ')}`);
    for (const name of names) {
      const spec = COMMANDS.get(name);
      if (spec !== undefined && ruleOf(name).excluded === undefined && !missing.has(name)) drawable.push(spec);
    }
  }
  return drawable;
}

export class Generator {
  private readonly prng: Prng;
  private readonly drawable: CommandSpec[];
  private readonly cumulative: number[] = [];
  private readonly ttlBuckets = new Set<bigint>();
  private readonly canRestore: boolean;

  constructor(seed: number, options: StreamOptions) {
    this.prng = new Prng(seed);
    this.drawable = drawableCommands(options.families, options.missing);
    if (this.drawable.length === 0) throw new Error(`no commands in ${options.families.join(', ')}`);
    this.canRestore = ['dump', 'restore'].every((name) => this.drawable.some((spec) => spec.name === name));
    let sum = 0;
    for (const spec of this.drawable) this.cumulative.push((sum += ruleOf(spec.name).weight ?? 1));
  }

  stream(seed: number, steps: number): Stream {
    const { prng } = this;
    const resp = prng.chance(0.5) ? 2 : 3;
    const kind = prng.real();
    const delivery: Delivery = kind < 0.9 ? 'pipelined' : kind < 0.95 ? 'single' : 'split';
    const connections = prng.chance(0.5) ? 1 : prng.between(2, 4);
    const batchMax = prng.pick([10, 50, 200, 200]);
    const list: Step[] = [];
    // Serial exchanges cost a round trip each, so those streams are short.
    const count = delivery === 'single' ? Math.min(steps, 60) : steps;
    let connection = 0;
    if (this.drawable.some((spec) => spec.name === 'xadd')) {
      for (const args of streamOptions(prng)) list.push({ args, connection });
    }
    while (list.length < count) {
      if (prng.chance(1 / 25)) connection = prng.below(connections);
      if (prng.chance(1 / 2000)) list.push(...this.shortLived(connection));
      if (this.canRestore && prng.chance(1 / 60)) list.push(...this.handOver(connection));
      const args = this.command();
      for (const before of beforeStreamCommand(args)) list.push({ args: before, connection });
      list.push({ args, connection });
      if (bornExpired(args)) list.push({ args: this.look(args[1] as Buffer), connection });
    }
    return { seed, resp, delivery, connections, steps: list, batchMax };
  }

  /**
   * A key that expires while the stream waits, then a look at it: until somebody looks, DBSIZE and its kin may count it
   * or not.
   */
  private shortLived(connection: number): Step[] {
    const { prng } = this;
    const key = randomKey(prng);
    const ttl = Buffer.from(String(prng.between(1, 3)));
    const forms: (string | Buffer)[][] = [
      ['SET', key, 'short', 'PX', ttl],
      ['PSETEX', key, ttl, 'short'],
      ['PEXPIRE', key, ttl],
      ['GETEX', key, 'PX', ttl],
    ];
    const command = prng.pick(forms).map((part) => (typeof part === 'string' ? Buffer.from(part) : part));
    return [
      { args: command, connection, pauseMs: 15 },
      { args: [Buffer.from('TYPE'), key], connection },
    ];
  }

  /** A value that goes through its serialized form, to the same key or to another one. */
  private handOver(connection: number): Step[] {
    const { prng } = this;
    const [from, to] = [randomKey(prng), randomKey(prng)];
    const isAbsolute = prng.chance(0.2);
    let ttl: Buffer = Buffer.from('0');
    if (isAbsolute) ttl = randomUnixTime(prng, 'milliseconds');
    else if (prng.chance(0.3)) ttl = randomTtl(prng, 'milliseconds');
    const isFree = isAbsolute ? isFarFromNow(ttl, 1n) : this.claimTtl(ttl, 1n);
    const options: Buffer[] = [];
    if (prng.chance(0.8)) options.push(randomCase(prng, 'REPLACE'));
    if (isAbsolute) options.push(randomCase(prng, 'ABSTTL'));
    if (prng.chance(0.1)) options.push(Buffer.from(prng.pick(['IDLETIME', 'FREQ'])), edgeInteger(prng));
    const args = [Buffer.from('RESTORE'), to, isFree ? ttl : Buffer.from('0'), RESTORED, ...options];
    return [
      { args: [Buffer.from('DUMP'), from], connection, dump: 'gives' },
      { args, connection, dump: 'takes' },
      { args: [Buffer.from('TYPE'), to], connection },
    ];
  }

  /**
   * A command that makes the server notice that this key has expired. SET with a time in the past leaves a dead key
   * behind, which DBSIZE counts until a lookup or the active cycle removes it: the moment must not be left to chance.
   */
  private look(key: Buffer): Buffer[] {
    const forms: (string | Buffer)[][] = [
      ['TYPE', key],
      ['GET', key],
      ['EXISTS', key],
      ['INCR', key],
      ['APPEND', key, 'x'],
      ['TTL', key],
      ['SET', key, 'x', 'NX'],
      ['GETDEL', key],
      ['RENAME', key, 'b'],
    ];
    return this.prng.pick(forms).map((part) => (typeof part === 'string' ? Buffer.from(part) : part));
  }

  private command(): Buffer[] {
    for (;;) {
      const args = this.candidate(0);
      if (this.isSafe(args)) return args;
    }
  }

  private candidate(depth: number): Buffer[] {
    const { prng } = this;
    if (prng.chance(0.004)) return this.unknownCommand();
    const spec = this.draw();
    const rule = ruleOf(spec.name);
    const words = spec.words.map((word) => randomCase(prng, word.toUpperCase()));
    let tail: Buffer[] = [];
    if (rule.generate) {
      // COMMAND GETKEYS COMMAND GETKEYS … is legal; two levels are enough.
      const nested = (): Buffer[] => (depth < 2 ? this.candidate(depth + 1) : [Buffer.from('GET'), randomKey(prng)]);
      tail = rule
        .generate(prng, { nested })
        .map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part));
    } else {
      for (const argument of spec.arguments) this.argument(argument, tail);
    }
    const args = [...words, ...tail.slice(0, ARGUMENTS_MAX)];
    if (rule.mutate === false || !prng.chance(0.125)) return args;
    return this.mutate(args, spec);
  }

  private draw(): CommandSpec {
    const total = this.cumulative[this.cumulative.length - 1] as number;
    const point = this.prng.real() * total;
    let low = 0;
    let high = this.cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.cumulative[middle] as number) > point) high = middle;
      else low = middle + 1;
    }
    return this.drawable[low] as CommandSpec;
  }

  private unknownCommand(): Buffer[] {
    const { prng } = this;
    const name = prng.pick([
      'FOO',
      'foo\r\nbar',
      '',
      'GETT',
      '\x00',
      '__proto__',
      'constructor',
      'X'.repeat(300),
      "q'uote",
    ]);
    const first = prng.chance(0.3)
      ? [prng.pick(['CLIENT', 'OBJECT', 'config', 'MEMORY', 'COMMAND']), prng.pick(['FOO', '', '\r\n'])]
      : [name];
    return [
      ...first.map((word) => Buffer.from(word, 'latin1')),
      ...Array.from({ length: prng.below(5) }, () => randomString(prng)),
    ];
  }

  private argument(spec: ArgumentSpec, out: Buffer[]): void {
    const { prng } = this;
    const flags = spec.flags ?? [];
    if (flags.includes('optional') && !prng.chance(0.35)) return;
    const count = flags.includes('multiple') ? prng.pick([1, 1, 2, 2, 3, 5]) : 1;
    for (let index = 0; index < count; index++) {
      const isTokenDue = index === 0 || flags.includes('multiple_token');
      if (spec.token !== undefined && isTokenDue) out.push(randomCase(prng, spec.token));
      this.value(spec, out);
    }
  }

  private value(spec: ArgumentSpec, out: Buffer[]): void {
    const { prng } = this;
    switch (spec.type) {
      case 'pure-token':
        return;
      case 'key':
        out.push(randomKey(prng));
        return;
      case 'string':
        out.push(randomString(prng));
        return;
      case 'integer':
        out.push(randomInteger(prng, spec.name));
        return;
      case 'double':
        out.push(randomDouble(prng));
        return;
      case 'pattern':
        out.push(randomPattern(prng));
        return;
      case 'unix-time':
        out.push(randomUnixTime(prng, spec.name.includes('milli') ? 'milliseconds' : 'seconds'));
        return;
      case 'oneof': {
        const choices = spec.arguments ?? [];
        if (choices.length > 0) this.argument(required(prng.pick(choices)), out);
        return;
      }
      case 'block':
        for (const part of spec.arguments ?? []) this.argument(part, out);
    }
  }

  private mutate(args: Buffer[], spec: CommandSpec): Buffer[] {
    const { prng } = this;
    const first = spec.words.length;
    const at = prng.between(Math.min(first, args.length), args.length);
    const result = [...args];
    switch (prng.below(7)) {
      case 0:
        result.splice(at, 1);
        break;
      case 1:
        result.splice(at, 0, randomString(prng));
        break;
      case 2:
      case 3:
        if (at < result.length) result[at] = edgeInteger(prng);
        break;
      case 4:
        if (at < result.length) result.splice(at, 0, result[at] as Buffer);
        break;
      case 5: {
        const other = prng.between(Math.min(first, args.length), args.length);
        if (at < result.length && other < result.length) [result[at], result[other]] = [result[other]!, result[at]!];
        break;
      }
      default: {
        const tokens = tokensOf(spec.arguments);
        if (tokens.length > 0) result.splice(at, 0, randomCase(prng, prng.pick(tokens)));
        else result.splice(first);
      }
    }
    return result;
  }

  /** Invariants 2 and 3. Looks at the finished arguments, because a mutation may have moved a number anywhere. */
  private isSafe(args: Buffer[]): boolean {
    const name = fullName(args);
    if (name === 'setrange') {
      const offset = parseInteger(args[2]);
      if (offset !== undefined && offset > SETRANGE_OFFSET_MAX && offset < BULK_LENGTH_DEFAULT) return false;
    }
    if (!isStreamCommandSafe(args)) return false;
    if (name === 'setbit' && isFarBit(parseInteger(args[2]))) return false;
    if (name === 'bitfield' && args.some((argument, at) => isFarField(argument, args[at + 1]))) return false;
    // Two destinations: a syntax error here, while the oracle takes the last one (docs/DIFFERENCES.md).
    if (name.startsWith('georadius') && args.filter((word) => /^store(dist)?$/i.test(word.toString('latin1'))).length > 1) {
      return false;
    }
    // The oracle takes a count without a positive twin, and removes everything; since 7.2 it is an error.
    if (name === 'lrem' && parseInteger(args[2]) === MIN_INT64) return false;
    const relative = RELATIVE_TTL_AT.get(name);
    if (relative && !this.claimTtl(args[relative[0]], relative[1])) return false;
    const absolute = ABSOLUTE_TTL_AT.get(name);
    if (absolute && !isFarFromNow(args[absolute[0]], absolute[1])) return false;
    if (name === 'set' || name === 'getex') {
      for (let at = 2; at + 1 < args.length; at++) {
        const token = (args[at] as Buffer).toString('latin1').toLowerCase();
        const unit = RELATIVE_TTL_TOKENS.get(token);
        if (unit !== undefined && !this.claimTtl(args[at + 1], unit)) return false;
        const unitAt = ABSOLUTE_TTL_TOKENS.get(token);
        if (unitAt !== undefined && !isFarFromNow(args[at + 1], unitAt)) return false;
      }
    }
    return true;
  }

  /** Says whether a relative time to live is far from its end and from all others of the stream, and notes it. */
  private claimTtl(argument: Buffer | undefined, unit: bigint): boolean {
    const value = parseInteger(argument);
    if (value === undefined || value <= 0n) return true;
    const ms = value * unit;
    if (ms < TTL_SAFE_MS) return false;
    const bucket = ms / TTL_BUCKET_MS;
    for (const near of [bucket - 1n, bucket, bucket + 1n]) if (this.ttlBuckets.has(near)) return false;
    this.ttlBuckets.add(bucket);
    return true;
  }
}

/** True for SET with EXAT or PXAT in the past. */
function bornExpired(args: Buffer[]): boolean {
  if (fullName(args) !== 'set') return false;
  return args.some((argument, at) => {
    const unit = at > 2 ? ABSOLUTE_TTL_TOKENS.get(argument.toString('latin1').toLowerCase()) : undefined;
    const value = unit === undefined ? undefined : parseInteger(args[at + 1]);
    return unit !== undefined && value !== undefined && value * unit < NEAR_NOW_MS[0];
  });
}

/** True for a bit that exists only in a string of hundreds of megabytes. */
function isFarBit(offset: bigint | undefined): boolean {
  return offset !== undefined && offset > BIT_OFFSET_MAX && offset < BULK_LENGTH_DEFAULT * 8n;
}

/** The same for the offset behind a BITFIELD type; `#n` counts fields, with a product that wraps. */
function isFarField(type: Buffer, offset: Buffer | undefined): boolean {
  const match = /^[iu](\d{1,2})$/.exec(type.toString('latin1'));
  if (match === null || offset === undefined) return false;
  if (offset[0] !== 0x23) return isFarBit(parseInteger(offset));
  const count = parseInteger(offset.subarray(1));
  return count !== undefined && isFarBit(BigInt.asIntN(64, count * BigInt(match[1] as string)));
}

function isFarFromNow(argument: Buffer | undefined, unit: bigint): boolean {
  const value = parseInteger(argument);
  if (value === undefined) return true;
  const ms = value * unit;
  return ms < NEAR_NOW_MS[0] || ms > NEAR_NOW_MS[1];
}

/** The same argument without `optional`: the choice of a oneof has already been made. */
function required(spec: ArgumentSpec): ArgumentSpec {
  if (spec.flags?.includes('optional') !== true) return spec;
  return { ...spec, flags: spec.flags.filter((flag) => flag !== 'optional') };
}

const tokenCache = new WeakMap<ArgumentSpec[], string[]>();

function tokensOf(list: ArgumentSpec[]): string[] {
  const known = tokenCache.get(list);
  if (known) return known;
  const tokens: string[] = [];
  for (const spec of list) {
    if (spec.token !== undefined) tokens.push(spec.token);
    if (spec.arguments) tokens.push(...tokensOf(spec.arguments));
  }
  tokenCache.set(list, tokens);
  return tokens;
}
