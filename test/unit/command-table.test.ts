/**
 * The command table: every entry is well-formed, says what a real server says (test/fixtures/commands-7.4.json,
 * recorded from redis-server 7.4.1), and the generated files are fresh.
 *
 * We follow 7.2; what it is known to do otherwise than 7.4 stands in DIFFERENCES_FROM_7_4, and nowhere else.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hasSimpleKeys, legacyKeyRange } from '../../src/commands/table/derive.js';
import {
  ACL_CATEGORIES,
  COMMAND_FLAGS,
  COMMAND_GROUPS,
  ENTRIES,
  findCommand,
  HIDDEN_FLAGS,
  KEY_FLAGS,
  type Argument,
  type KeySpec,
  type TableEntry,
} from '../../src/commands/table/index.js';
import { projectRoot } from '../support/project.js';

interface ReferenceArgument {
  name: string;
  type: string;
  flags?: string[];
  arguments?: ReferenceArgument[];
  [field: string]: unknown;
}

interface ReferenceCommand {
  arity: number;
  flags: string[];
  acl_categories: string[];
  tips: string[];
  key_specs: unknown[];
  since: string;
  group: string;
  complexity?: string;
  arguments?: ReferenceArgument[];
  doc_flags?: string[];
  deprecated_since?: string;
  subcommands?: Record<string, ReferenceCommand>;
}

const reference = new Map(
  Object.entries(
    JSON.parse(readFileSync(join(projectRoot, 'test/fixtures/commands-7.4.json'), 'utf8')) as Record<
      string,
      ReferenceCommand
    >,
  ),
);

function referenceOf(entry: TableEntry): ReferenceCommand {
  const [name = '', subcommand] = entry.fullName.split('|');
  const command = reference.get(name);
  const found = subcommand === undefined ? command : command?.subcommands?.[subcommand];
  if (found === undefined) throw new Error(`${entry.fullName} is not in the reference`);
  return found;
}

/** Full name → what changes the 7.4 entry into the 7.2 one. */
const DIFFERENCES_FROM_7_4 = new Map<string, (command: ReferenceCommand) => ReferenceCommand>([
  ['client|kill', (command) => ({ ...command, arguments: withoutArgument(command.arguments, 'maxage') })],
]);

/** Redis has them since 8.0, after the reference. */
const NEWER_THAN_REFERENCE = new Set(['hgetdel', 'hgetex', 'hsetex']);

function withoutArgument(list: ReferenceArgument[] | undefined, name: string): ReferenceArgument[] {
  return (list ?? [])
    .filter((argument) => argument.name !== name)
    .map((argument) =>
      argument.arguments ? { ...argument, arguments: withoutArgument(argument.arguments, name) } : argument,
    );
}

/** An argument in the words of the reference. */
function asReference(argument: Argument): ReferenceArgument {
  const flags = [
    ...(argument.optional ? ['optional'] : []),
    ...(argument.multiple ? ['multiple'] : []),
    ...(argument.multipleToken ? ['multiple_token'] : []),
  ];
  return {
    name: argument.name,
    type: argument.type,
    ...(argument.keySpec === undefined ? {} : { key_spec_index: argument.keySpec }),
    ...(argument.token === undefined ? {} : { token: argument.token }),
    ...(argument.since === undefined ? {} : { since: argument.since }),
    ...(argument.deprecatedSince === undefined ? {} : { deprecated_since: argument.deprecatedSince }),
    ...(flags.length === 0 ? {} : { flags }),
    ...(argument.args === undefined ? {} : { arguments: argument.args.map(asReference) }),
  };
}

function keySpecAsReference({ flags, begin, find }: KeySpec): unknown {
  const search =
    begin.type === 'keyword' ? { type: begin.type, keyword: begin.keyword, startfrom: begin.startFrom } : begin;
  const keys =
    find.type === 'range'
      ? { type: find.type, lastkey: find.lastKey, keystep: find.keyStep, limit: find.limit }
      : find.type === 'keynum'
        ? { type: find.type, keynumidx: find.keyNumIndex, firstkey: find.firstKey, keystep: find.keyStep }
        : find;
  return { flags: new Set(flags), begin_search: search, find_keys: keys };
}

describe.each(ENTRIES.map((entry) => [entry.fullName, entry] as const))('%s', (fullName, entry) => {
  const { command } = entry;

  it.skipIf(NEWER_THAN_REFERENCE.has(fullName))('has the facts of the reference', () => {
    const recorded = referenceOf(entry);
    const expected = DIFFERENCES_FROM_7_4.get(fullName)?.(recorded) ?? recorded;
    expect(command.arity).toBe(expected.arity);
    expect(command.since).toBe(expected.since);
    expect(command.group).toBe(expected.group);
    const shown = command.flags.filter((flag) => !HIDDEN_FLAGS.includes(flag));
    expect(new Set(shown)).toEqual(new Set(expected.flags));
    expect(new Set(command.categories.map((name) => `@${name}`))).toEqual(new Set(expected.acl_categories));
    expect(command.tips ?? []).toEqual(expected.tips);
    expect(command.docFlags ?? []).toEqual(expected.doc_flags ?? []);
    expect(command.deprecatedSince).toBe(expected.deprecated_since);
    if (expected.complexity) expect(command.complexity?.startsWith(expected.complexity)).toBe(true);
    expect((command.args ?? []).map(asReference)).toEqual(expected.arguments ?? []);
    const keySpecs = expected.key_specs.map((spec) => {
      const { flags, ...rest } = spec as { flags: string[] };
      return { flags: new Set(flags), ...rest };
    });
    expect((command.keySpecs ?? []).map(keySpecAsReference)).toEqual(keySpecs);
  });

  it('is well-formed', () => {
    expect(command.name).toMatch(/^[a-z][a-z0-9_-]*$/);
    expect(command.summary).toMatch(/^[A-Z][^\n]*[^.\n]$/);
    expect(Object.keys(COMMAND_GROUPS)).toContain(command.group);
    expect(inOrder(command.flags, COMMAND_FLAGS)).toBe(true);
    expect(inOrder(command.categories, ACL_CATEGORIES)).toBe(true);
    expect(command.categories.includes('fast')).toBe(command.flags.includes('fast'));
    expect(command.categories.includes('slow')).toBe(!command.flags.includes('fast'));
    expect(command.replacedBy === undefined).toBe(command.deprecatedSince === undefined);
    for (const spec of command.keySpecs ?? []) expect(inOrder(spec.flags, KEY_FLAGS)).toBe(true);
    expectArguments(command.args ?? [], command.keySpecs?.length ?? 0);
    expect(findCommand(fullName.toUpperCase())).toBe(entry);
  });

  it('runs where its keys are', () => {
    // Channels of a shard stand where keys stand, but are none.
    const keySpecs = (command.keySpecs ?? []).filter(({ flags }) => !flags.includes('not_key'));
    const hasKeys = keySpecs.length > 0;
    // SORT, whose keys are anywhere, and XREAD, where all of them stand behind a word that may be another's argument.
    const begins = keySpecs.map(({ begin }) => begin.type);
    const isSearchedByOptions = begins.includes('unknown') || begins.every((type) => type === 'keyword');
    if (hasKeys) expect(command.runs).toBe(isSearchedByOptions ? 'routed' : 'keys');
    if (command.runs === 'keys' && entry.subcommands.length === 0) expect(hasKeys).toBe(true);
    // The router relies on it: a line of legal length has the first and the last word of simple keys.
    if (hasKeys && hasSimpleKeys(command)) {
      const { first, last } = legacyKeyRange(command);
      expect(Math.abs(command.arity)).toBeGreaterThan(Math.max(first, last));
    }
  });
});

function inOrder<T>(part: readonly T[], whole: readonly T[]): boolean {
  const positions = part.map((item) => whole.indexOf(item));
  return positions.every((position, index) => position >= 0 && (index === 0 || position > (positions[index - 1] ?? 0)));
}

function expectArguments(args: readonly Argument[], keySpecCount: number): void {
  expect(new Set(args.map(({ name }) => name)).size).toBe(args.length);
  for (const argument of args) {
    const isContainer = argument.type === 'oneof' || argument.type === 'block';
    expect(argument.args !== undefined).toBe(isContainer);
    if (argument.type === 'key') expect(argument.keySpec).toBeDefined();
    else if (argument.type !== 'pattern') expect(argument.keySpec).toBeUndefined();
    if (argument.keySpec !== undefined) expect(argument.keySpec).toBeLessThan(keySpecCount);
    if (argument.type === 'pure-token') expect(argument.token).toBeDefined();
    if (argument.multipleToken) expect(argument.multiple).toBe(true);
    expectArguments(argument.args ?? [], keySpecCount);
  }
}

describe('the table as a whole', () => {
  it('has dense ids, containers before their subcommands, and no name twice', () => {
    expect(ENTRIES.map(({ id }) => id)).toEqual(ENTRIES.map((_, index) => index));
    expect(new Set(ENTRIES.map(({ fullName }) => fullName)).size).toBe(ENTRIES.length);
    for (const entry of ENTRIES) {
      expect(entry.subcommands.map(({ id }) => id)).toEqual(entry.subcommands.map((_, index) => entry.id + 1 + index));
    }
  });

  it('finds names in any ASCII case and nothing else', () => {
    expect(findCommand('ClIeNt|GeTnAmE')?.fullName).toBe('client|getname');
    for (const name of ['', '|', 'get|', 'client|', '__proto__', 'constructor', 'get\0', '\u212Aeys', 'client|id|x']) {
      expect(findCommand(name)).toBeUndefined();
    }
  });

  it.each([
    ['rename', { first: 1, last: 2, step: 1 }, true],
    ['copy', { first: 1, last: 2, step: 1 }, true],
    ['mset', { first: 1, last: -1, step: 2 }, true],
    ['lcs', { first: 1, last: 2, step: 1 }, true],
    ['object|encoding', { first: 2, last: 2, step: 1 }, true],
    ['ping', { first: 0, last: 0, step: 0 }, true],
  ])('knows the key range of %s', (name, range, isSimple) => {
    const { command } = findCommand(name) as TableEntry;
    expect(legacyKeyRange(command)).toEqual(range);
    expect(hasSimpleKeys(command)).toBe(isSimple);
  });

  it('has fresh generated files', () => {
    expect(() => execFileSync('node', ['scripts/gen.mjs', '--check'], { cwd: projectRoot })).not.toThrow();
  });
});
