/**
 * Finds the keys of a command line from the key specs of the table: the TypeScript twin of ExtractKeys in
 * native/command_table/command_table.cc, for COMMAND GETKEYS.
 *
 * A line is hostile: no count in it is believed. Every position found is smaller than the number of words, and the
 * work is O(specs × words) whatever numkeys claims.
 */
import { lowerAscii, type Command, type KeyFlag, type KeySpec } from './table/index.js';

/** A key found in a command line. */
export interface FoundKey {
  /** Index of the word. */
  readonly position: number;
  readonly flags: readonly KeyFlag[];
}

interface WordRange {
  readonly first: number;
  readonly last: number;
  readonly step: number;
}

/** True when lines of this command can hold keys. */
export function hasKeys(command: Command): boolean {
  return (command.keySpecs ?? []).some((spec) => !spec.flags.includes('not_key'));
}

/**
 * The keys of a command line (the command's name first, the subcommand's second) in the order of the key specs, or
 * undefined when the line does not fit them or names no key although the command wants one. `fullName` selects the
 * commands whose keys or flags depend on their options.
 */
export function findKeys(fullName: string, command: Command, words: readonly Buffer[]): FoundKey[] | undefined {
  const findSpecially = SPECIAL_LINES.get(fullName);
  if (findSpecially !== undefined) return findSpecially(words);
  return keysOfSpecs(fullName, command, words) ?? keysOfLooseCount(command, words);
}

function keysOfSpecs(fullName: string, command: Command, words: readonly Buffer[]): FoundKey[] | undefined {
  const mayHaveNoKeys = command.flags.includes('no_mandatory_keys');
  const found: FoundKey[] = [];
  for (const spec of command.keySpecs ?? []) {
    if (spec.flags.includes('not_key')) continue;
    const begin = findBegin(spec, words);
    if (begin === undefined) return undefined;
    if (begin === 0) continue; // The keyword is absent, and with it the optional keys (GEORADIUS without STORE).
    const range = findRange(spec, begin, words);
    if (range === undefined) return undefined;
    if (range.last < range.first && !mayHaveNoKeys) return undefined; // ZUNIONSTORE d 0
    const flags = spec.flags.includes('variable_flags') ? flagsOfLine(fullName, spec, words) : spec.flags;
    for (let position = range.first; position <= range.last; position += range.step) found.push({ position, flags });
  }
  return found.length > 0 || mayHaveNoKeys ? found : undefined;
}

/**
 * What Redis falls back to where the specs fail and a count of keys is given: it reads the count as C does (`2x` is 2),
 * knows no flags, and names the keys outside the count last (ZUNIONSTORE's target). COMMAND GETKEYS alone shows it; the
 * command itself refuses such a count.
 */
function keysOfLooseCount(command: Command, words: readonly Buffer[]): FoundKey[] | undefined {
  const counted: FoundKey[] = [];
  const others: FoundKey[] = [];
  for (const { begin, find } of command.keySpecs ?? []) {
    if (begin.type !== 'index') return undefined;
    if (find.type !== 'keynum') {
      others.push({ position: begin.index, flags: [] });
      continue;
    }
    const text = words[begin.index + find.keyNumIndex]?.toString('latin1') ?? '';
    const digits = /^[\t-\r ]*([+-]?\d+)/.exec(text)?.[1] ?? '0';
    const count = Number(BigInt.asIntN(32, BigInt(digits.replace('+', ''))));
    const first = begin.index + find.firstKey;
    if (count < 1 || first + (count - 1) * find.keyStep >= words.length) return undefined;
    for (let index = 0; index < count; index++) counted.push({ position: first + index * find.keyStep, flags: [] });
  }
  return counted.length > 0 ? [...counted, ...others] : undefined;
}

/** Index of the word where the spec's search begins, 0 when its keyword is absent, undefined when it cannot be told. */
function findBegin(spec: KeySpec, words: readonly Buffer[]): number | undefined {
  const { begin } = spec;
  if (begin.type === 'unknown') return undefined;
  if (begin.type === 'index') return begin.index < words.length ? begin.index : undefined;
  const direction = begin.startFrom >= 0 ? 1 : -1;
  const start = begin.startFrom >= 0 ? begin.startFrom : words.length + begin.startFrom;
  const keyword = lowerAscii(begin.keyword);
  for (let index = start; index > 0 && index < words.length; index += direction) {
    const word = words[index];
    if (word?.length === keyword.length && lowerAscii(word.toString('latin1')) === keyword) return index + 1;
  }
  return 0;
}

/** The words of the spec's keys, all inside the line, or undefined when the line is too short or the count is wrong. */
function findRange(spec: KeySpec, begin: number, words: readonly Buffer[]): WordRange | undefined {
  const { find } = spec;
  let first = begin;
  let last: number;
  if (find.type === 'unknown') return undefined;
  if (find.type === 'range') {
    if (find.lastKey >= 0) last = first + find.lastKey;
    else if (find.limit <= 1) last = words.length + find.lastKey;
    else last = first + Math.floor((words.length - first) / find.limit) + find.lastKey;
  } else {
    const keyCount = parseKeyCount(words[first + find.keyNumIndex]);
    if (keyCount === undefined) return undefined;
    first += find.firstKey;
    if (keyCount === 0) return { first, last: first - 1, step: find.keyStep };
    last = first + (keyCount - 1) * find.keyStep;
  }
  if (first >= words.length || last >= words.length || last < first) return undefined;
  return { first, last, step: find.keyStep };
}

/** A count of keys as Redis reads it: plain decimal digits without sign, space or leading zero. */
function parseKeyCount(word: Buffer | undefined): number | undefined {
  if (word === undefined || word.length > 10) return undefined;
  const text = word.toString('latin1');
  return /^(0|[1-9][0-9]*)$/.test(text) ? Number(text) : undefined;
}

/** What the options of a line make of a spec with `variable_flags`. */
function flagsOfLine(fullName: string, spec: KeySpec, words: readonly Buffer[]): readonly KeyFlag[] {
  const resolve = VARIABLE_FLAGS.get(fullName);
  return resolve === undefined ? spec.flags : resolve(words);
}

const VARIABLE_FLAGS: ReadonlyMap<string, (words: readonly Buffer[]) => readonly KeyFlag[]> = new Map([
  [
    'set',
    (words: readonly Buffer[]): readonly KeyFlag[] => {
      const returnsOldValue = words.slice(3).some((word) => lowerAscii(word.toString('latin1')) === 'get');
      return returnsOldValue ? ['RW', 'access', 'update'] : ['OW', 'update'];
    },
  ],
  ['bitfield', flagsOfBitfield],
]);

/** BITFIELD reads only when its line is nothing but well-formed GET and OVERFLOW. */
function flagsOfBitfield(words: readonly Buffer[]): readonly KeyFlag[] {
  const writes: readonly KeyFlag[] = ['RW', 'access', 'update'];
  for (let index = 2; index < words.length; index++) {
    const operation = lowerAscii((words[index] as Buffer).toString('latin1'));
    const remaining = words.length - index - 1;
    if (operation === 'get' && remaining >= 2) index += 2;
    else if (operation === 'overflow' && remaining >= 1) index += 1;
    else return writes;
  }
  return ['RO', 'access'];
}

/** Commands with specs of an unknown place, which only a reader of their options can find. */
const SPECIAL_LINES: ReadonlyMap<string, (words: readonly Buffer[]) => FoundKey[] | undefined> = new Map([
  ['sort', sortKeys],
  ['sort_ro', sortedKey],
]);

/** The key that SORT sorts. The keys that BY and GET make from its elements cannot be told from the line. */
function sortedKey(words: readonly Buffer[]): FoundKey[] | undefined {
  return words.length > 1 ? [{ position: 1, flags: ['RO', 'access'] }] : undefined;
}

const SORT_OPTION_VALUES: ReadonlyMap<string, number> = new Map([['limit', 2], ['get', 1], ['by', 1]]);

/** The keys of SORT: the one that is sorted, and the target of the last STORE. */
function sortKeys(words: readonly Buffer[]): FoundKey[] | undefined {
  const found = sortedKey(words);
  let target = 0;
  for (let index = 2; index < words.length; index++) {
    const option = lowerAscii((words[index] as Buffer).toString('latin1'));
    if (option === 'store' && index + 1 < words.length) target = index + 1;
    index += SORT_OPTION_VALUES.get(option) ?? 0;
  }
  if (target > 0) found?.push({ position: target, flags: ['OW', 'update'] });
  return found;
}
