/**
 * The directives whose value is more than one word, number or yes/no: how each is read and printed.
 *
 * Each parser takes the arguments (from a line of redis.conf, or the value of CONFIG SET split at spaces) and the
 * value before, and gives the new value as CONFIG GET prints it, or Redis's error text. No effects; any thread.
 */
import { parseInteger64, parseMemorySize } from '../util/numbers.js';
import type { Parsed, SpecialParser } from './option.js';

const ok = (value: string): Parsed => ({ ok: true, value });
const fail = (error: string): Parsed => ({ ok: false, error });

/** A number as C's strtoll reads a whole word: white space and a plus sign in front are accepted, nothing is 0. */
function parseLoose(text: string): bigint | undefined {
  if (text === '') return 0n;
  return /^\s*[+-]?[0-9]{1,19}$/.test(text) ? BigInt(text.trim().replace(/^\+/, '')) : undefined;
}

// ---- save ----

/**
 * `save <seconds> <changes>…`. In redis.conf each line adds to the list, and `save ""` empties it; CONFIG SET
 * replaces the whole. The store clears the default before the first `save` line, see ConfigStore.
 */
export const parseSave: SpecialParser = (args, previous, source) => {
  // No words at all (`save " "`) add nothing to a file's points, and are all of a CONFIG SET's.
  if (args.length === 0) return ok(source === 'file' ? previous : '');
  if (source === 'file' && args.length === 1 && args[0] === '') return ok('');
  if (args.length % 2 !== 0) return fail('Invalid save parameters');
  for (let index = 0; index < args.length; index += 2) {
    const seconds = parseLoose(args[index] as string);
    const changes = parseLoose(args[index + 1] as string);
    if (seconds === undefined || changes === undefined || seconds < 1n || changes < 0n) {
      return fail('Invalid save parameters');
    }
  }
  const points = args.map((arg) => String(parseLoose(arg))).join(' ');
  return ok(source === 'file' && previous !== '' ? `${previous} ${points}` : points);
};

// ---- client-output-buffer-limit ----

const CLIENT_CLASSES = new Map([['normal', 0], ['slave', 1], ['replica', 1], ['pubsub', 2]]);

/** `<class> <hard> <soft> <soft seconds>`, repeated; classes not named keep their limits. */
export const parseClientOutputBufferLimit: SpecialParser = (args, previous) => {
  if (args.length % 4 !== 0) return fail('Wrong number of arguments in buffer limit configuration.');
  const words = previous.split(' ');
  for (let index = 0; index < args.length; index += 4) {
    const classIndex = CLIENT_CLASSES.get((args[index] as string).toLowerCase());
    if (classIndex === undefined) return fail('Invalid client class specified in buffer limit configuration.');
    const hard = parseMemorySize(args[index + 1] as string);
    const soft = parseMemorySize(args[index + 2] as string);
    const softSec = parseLoose(args[index + 3] as string);
    if (hard === undefined || soft === undefined || softSec === undefined || softSec < 0n) {
      return fail('Error in hard, soft or soft_seconds setting in buffer limit configuration.');
    }
    words.splice(classIndex * 4 + 1, 3, String(hard), String(soft), String(softSec));
  }
  return ok(words.join(' '));
};

// ---- bind ----

/** More addresses than this are refused, as in Redis. */
const BIND_ADDRESSES_MAX = 16;

/** `bind <address>…`; a single empty argument means: listen on no TCP address. */
export const parseBind: SpecialParser = (args) => {
  if (args.length > BIND_ADDRESSES_MAX) return fail('Too many bind addresses specified.');
  return ok(args.length === 1 && args[0] === '' ? '' : args.join(' '));
};

// ---- oom-score-adj-values ----

export const parseOomScoreAdjValues: SpecialParser = (args) => {
  if (args.length !== 3) return fail('wrong number of arguments');
  const values = args.map(parseLoose);
  if (values.some((value) => value === undefined || value < -2000n || value > 2000n)) {
    return fail('Invalid oom-score-adj-values, elements must be between -2000 and 2000.');
  }
  return ok(values.join(' '));
};

// ---- notify-keyspace-events ----

const EVENT_CLASSES = 'Ag$lshzxeKEtmdn';
/** Order in which Redis prints the classes that are not all set. */
const EVENT_CLASSES_PRINTED = 'g$lshzxetdn';
/** What A stands for: key misses (m) and new keys (n) are not among it. */
const EVENT_CLASSES_ALL = 'g$lshzxetd';

export const parseNotifyKeyspaceEvents: SpecialParser = ([flags = '']) => {
  for (const flag of flags) {
    if (!EVENT_CLASSES.includes(flag)) return fail(`Invalid event class character. Use '${EVENT_CLASSES}'.`);
  }
  const has = (flag: string): boolean =>
    flags.includes(flag) || (flags.includes('A') && EVENT_CLASSES_ALL.includes(flag));
  const isAll = [...EVENT_CLASSES_ALL].every(has);
  const classes = isAll ? 'A' : [...EVENT_CLASSES_PRINTED].filter(has).join('');
  // Redis leaves the n out behind an A, though it holds; a rewritten configuration would lose it.
  return ok(classes + [...(isAll ? 'KEmn' : 'KEm')].filter(has).join(''));
};

/** Bits of the classes inside the engine (native/engine/key_events.h). */
const EVENT_CLASS_BITS = new Map(
  Object.entries({ K: 0, E: 1, g: 2, $: 3, l: 4, s: 5, h: 6, z: 7, x: 8, e: 9, t: 10, m: 11, d: 13, n: 14 }),
);

/** The classes of a text that was parsed, as the engine takes them. */
export function eventClassBits(text: string): number {
  let bits = 0;
  for (const flag of text.replace('A', EVENT_CLASSES_ALL)) bits |= 1 << (EVENT_CLASS_BITS.get(flag) ?? 0);
  return bits;
}

// ---- replicaof ----

export const parseReplicaOf: SpecialParser = (args) => {
  if (args.length !== 2) return fail('wrong number of arguments');
  const [host = '', portText = ''] = args;
  if (host.toLowerCase() === 'no' && portText.toLowerCase() === 'one') return ok('');
  const port = parseInteger64(portText);
  if (port === undefined || port < 0n || port > 65535n) return fail('Invalid master port');
  return ok(`${host} ${port}`);
};

// ---- latency-tracking-info-percentiles ----

/** A floating-point word as C's strtod reads it, as far as configuration can hold it. */
function parseFloatWord(text: string): number | undefined {
  if (/^[+-]?0x[0-9a-f]+$/i.test(text)) return Number(text.replace(/^[+-]/, '')) * (text.startsWith('-') ? -1 : 1);
  if (/^[+-]?inf(inity)?$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  return /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$/i.test(text) ? Number(text) : undefined;
}

export const parseLatencyPercentiles: SpecialParser = (args) => {
  const name = 'latency-tracking-info-percentiles';
  if (args.length === 1 && args[0] === '') return ok('');
  const printed: string[] = [];
  for (const arg of args) {
    const percentile = parseFloatWord(arg);
    if (percentile === undefined) return fail(`Invalid ${name} parameters`);
    if (percentile < 0 || percentile > 100) return fail(`${name} parameters should sit between [0.0,100.0]`);
    printed.push(String(Number(percentile.toFixed(6))));
  }
  return ok(printed.join(' '));
};

// ---- Checks of plain strings ----

/** Variables of the title, and what stands for each in the test that the title will not be empty. */
const TITLE_VARIABLES = new Map([
  ['title', ''],
  ['listen-addr', 'x'],
  ['server-mode', ''],
  ['port', 'x'],
  ['tls-port', 'x'],
  ['unixsocket', ''],
  ['config-file', ''],
]);

/** A template is good when every opened brace names a variable, and the result is not blank. */
export function checkTitleTemplate(template: string): string | undefined {
  const rest = template.replace(/\{([^}]*)\}/g, (whole, name: string) => TITLE_VARIABLES.get(name) ?? whole);
  const isGood = !rest.includes('{') && rest.trim() !== '';
  return isGood ? undefined : 'template format is invalid or contains unknown variables';
}

/** The words of shutdown-on-sigint and shutdown-on-sigterm that exclude each other. */
export function checkShutdownWords(value: string): string | undefined {
  const words = value.split(' ');
  const isContradictory = words.includes('save') && words.includes('nosave');
  return isContradictory ? "shutdown options SAVE and NOSAVE can't be used simultaneously" : undefined;
}

export function checkHostname(hostname: string): string | undefined {
  if (hostname.length >= 256) return 'Hostnames must be less than 256 characters';
  if (!/^[a-z0-9.-]*$/i.test(hostname)) return 'Hostnames may only contain alphanumeric characters, hyphens or dots';
  return undefined;
}

export function checkNodeName(name: string): string | undefined {
  if (name.length >= 256) return 'Nodenames must be less than 256 characters';
  if (!/^[a-z0-9._-]*$/i.test(name)) {
    return 'Nodenames may only contain alphanumeric characters, hyphens, underscores or dots';
  }
  return undefined;
}

/** A file option may not lead out of its directory. */
export function checkBaseName(option: string): (value: string) => string | undefined {
  return (value) => {
    if (!value.includes('/')) return undefined;
    return option === 'appenddirname'
      ? "appenddirname can't be a path, just a dirname"
      : `${option} can't be a path, just a filename`;
  };
}

/** As `checkBaseName`; the append-only file and its directory must also have a name. */
export function checkAppendName(option: string): (value: string) => string | undefined {
  const base = checkBaseName(option);
  return (value) => (value === '' ? `${option} can't be empty` : base(value));
}
