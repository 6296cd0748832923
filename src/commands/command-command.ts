/**
 * COMMAND and its subcommands: the command table as clients read it.
 *
 * Pure functions of the table and the arguments. The shapes are those of Redis 7.2: which parts are sets, maps or
 * arrays in RESP3, which words are simple strings (flags and categories) and which bulk strings (names, texts).
 * Arity has been checked by the caller, as for every command.
 *
 * Commands are listed in table order; Redis lists them in the order of a hash table, so clients rely on none.
 *
 * Any thread.
 */
import { globMatches } from '../util/glob.js';
import { reply, type Reply } from '../resp/reply.js';
import { findKeys, hasKeys } from './command-keys.js';
import { legacyKeyRange } from './table/derive.js';
import {
  ACL_CATEGORIES,
  COMMANDS,
  ENTRIES,
  findCommand,
  HIDDEN_FLAGS,
  lowerAscii,
  type Argument,
  type Command,
  type KeySpec,
  type TableEntry,
} from './table/index.js';

const SYNTAX_ERROR = reply.error('ERR syntax error');

const HELP: readonly string[] = [
  'COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  '(no subcommand)',
  '    Describe all commands.',
  'COUNT',
  '    Count the commands.',
  'LIST [FILTERBY (MODULE <name> | ACLCAT <category> | PATTERN <pattern>)]',
  '    List the names of all commands, or of those that pass the filter.',
  'INFO [<command-name> ...]',
  '    Describe the named commands, or all.',
  'DOCS [<command-name> ...]',
  '    Document the named commands, or all.',
  'GETKEYS <full-command>',
  '    List the keys of a command line.',
  'GETKEYSANDFLAGS <full-command>',
  '    List the keys of a command line and what is done to them.',
  'HELP',
  '    Print this help.',
];

type Handler = (args: readonly Buffer[]) => Reply;

const handlers: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ['command', () => reply.array(topEntries().map(infoReply))],
  ['command|count', () => reply.integer(COMMANDS.length)],
  ['command|docs', docsHandler],
  ['command|getkeys', (args) => getKeysReply(args, false)],
  ['command|getkeysandflags', (args) => getKeysReply(args, true)],
  ['command|help', () => reply.array(HELP.map((line) => reply.simple(line)))],
  ['command|info', infoHandler],
  ['command|list', listHandler],
]);

/**
 * Runs a command of this family; `fullName` as in the table, `args` the whole command line. Undefined when the name
 * is not of this family.
 */
export function runCommandCommand(fullName: string, args: readonly Buffer[]): Reply | undefined {
  return handlers.get(fullName)?.(args);
}

function topEntries(): TableEntry[] {
  return ENTRIES.filter((entry) => entry.parent === undefined);
}

/** Finds the command that an argument names. Bytes above 127 can match nothing, so Latin-1 is exact. */
function findByArgument(name: Buffer): TableEntry | undefined {
  return findCommand(name.toString('latin1'));
}

// ---- COMMAND INFO ----

function infoHandler(args: readonly Buffer[]): Reply {
  if (args.length === 2) return reply.array(topEntries().map(infoReply));
  return reply.array(args.slice(2).map((name) => {
    const entry = findByArgument(name);
    return entry === undefined ? reply.null() : infoReply(entry);
  }));
}

function infoReply(entry: TableEntry): Reply {
  const { command } = entry;
  const range = legacyKeyRange(command);
  return reply.array([
    reply.bulk(entry.fullName),
    reply.integer(command.arity),
    simpleSet(command.flags.filter((flag) => !HIDDEN_FLAGS.includes(flag))),
    reply.integer(range.first),
    reply.integer(range.last),
    reply.integer(range.step),
    simpleSet(command.categories.map((category) => `@${category}`)),
    reply.set((command.tips ?? []).map((tip) => reply.bulk(tip))),
    reply.set((command.keySpecs ?? []).map(keySpecReply)),
    entry.subcommands.length > 0 ? reply.array(entry.subcommands.map(infoReply)) : reply.set([]),
  ]);
}

function simpleSet(words: readonly string[]): Reply {
  return reply.set(words.map((word) => reply.simple(word)));
}

/** A map from names to replies; undefined values are left out, in the order given. */
function fields(entries: readonly (readonly [string, Reply | undefined])[]): Reply {
  const present: [Reply, Reply][] = [];
  for (const [name, value] of entries) if (value !== undefined) present.push([reply.bulk(name), value]);
  return reply.map(present);
}

function optionalBulk(text: string | undefined): Reply | undefined {
  return text === undefined ? undefined : reply.bulk(text);
}

function keySpecReply(spec: KeySpec): Reply {
  return fields([
    ['notes', optionalBulk(spec.notes)],
    ['flags', simpleSet(spec.flags)],
    ['begin_search', searchReply(spec.begin.type, beginNumbers(spec))],
    ['find_keys', searchReply(spec.find.type, findNumbers(spec))],
  ]);
}

function searchReply(type: string, spec: readonly (readonly [string, Reply])[]): Reply {
  return fields([
    ['type', reply.bulk(type)],
    ['spec', fields(spec)],
  ]);
}

function beginNumbers({ begin }: KeySpec): [string, Reply][] {
  if (begin.type === 'index') return [['index', reply.integer(begin.index)]];
  if (begin.type === 'unknown') return [];
  return [
    ['keyword', reply.bulk(begin.keyword)],
    ['startfrom', reply.integer(begin.startFrom)],
  ];
}

function findNumbers({ find }: KeySpec): [string, Reply][] {
  if (find.type === 'unknown') return [];
  if (find.type === 'range') {
    return [
      ['lastkey', reply.integer(find.lastKey)],
      ['keystep', reply.integer(find.keyStep)],
      ['limit', reply.integer(find.limit)],
    ];
  }
  return [
    ['keynumidx', reply.integer(find.keyNumIndex)],
    ['firstkey', reply.integer(find.firstKey)],
    ['keystep', reply.integer(find.keyStep)],
  ];
}

// ---- COMMAND DOCS ----

function docsHandler(args: readonly Buffer[]): Reply {
  if (args.length === 2) return docsMap(topEntries());
  // Unknown names are left out, names given twice are documented twice, as in Redis.
  return docsMap(args.slice(2).flatMap((name) => findByArgument(name) ?? []));
}

function docsMap(entries: readonly TableEntry[]): Reply {
  return reply.map(entries.map((entry) => [reply.bulk(entry.fullName), docsReply(entry)]));
}

function docsReply({ command, subcommands }: TableEntry): Reply {
  const { docFlags, history, args } = command;
  return fields([
    ['summary', reply.bulk(command.summary)],
    ['since', reply.bulk(command.since)],
    ['group', reply.bulk(command.group)],
    ['complexity', optionalBulk(command.complexity)],
    ['doc_flags', docFlags && simpleSet(docFlags)],
    ['deprecated_since', optionalBulk(command.deprecatedSince)],
    ['replaced_by', optionalBulk(command.replacedBy)],
    ['history', history && reply.set(history.map((change) => reply.array(change.map((text) => reply.bulk(text)))))],
    ['arguments', args && reply.array(args.map(argumentReply))],
    ['subcommands', subcommands.length > 0 ? docsMap(subcommands) : undefined],
  ]);
}

function argumentReply(argument: Argument): Reply {
  const { args, keySpec } = argument;
  const flags: string[] = [];
  if (argument.optional) flags.push('optional');
  if (argument.multiple) flags.push('multiple');
  if (argument.multipleToken) flags.push('multiple_token');
  return fields([
    ['name', reply.bulk(argument.name)],
    ['type', reply.bulk(argument.type)],
    // Redis 7.2 gives every argument but the containers a display text (7.0 gave none).
    ['display_text', args === undefined ? reply.bulk(argument.display ?? argument.name) : undefined],
    ['key_spec_index', keySpec === undefined ? undefined : reply.integer(keySpec)],
    ['token', optionalBulk(argument.token)],
    ['since', optionalBulk(argument.since)],
    ['deprecated_since', optionalBulk(argument.deprecatedSince)],
    ['flags', flags.length > 0 ? simpleSet(flags) : undefined],
    ['arguments', args && reply.array(args.map(argumentReply))],
  ]);
}

// ---- COMMAND LIST ----

function listHandler(args: readonly Buffer[]): Reply {
  if (args.length === 2) return listReply(() => true);
  const [, , word, kind, value] = args;
  if (args.length !== 5 || word === undefined || kind === undefined || value === undefined) return SYNTAX_ERROR;
  if (lowerAscii(word.toString('latin1')) !== 'filterby') return SYNTAX_ERROR;
  switch (lowerAscii(kind.toString('latin1'))) {
    case 'module':
      return listReply(() => false); // No module adds commands.
    case 'aclcat': {
      const name = lowerAscii(value.toString('latin1'));
      const category = ACL_CATEGORIES.find((known) => known === name);
      return listReply(({ categories }) => category !== undefined && categories.includes(category));
    }
    case 'pattern':
      return listReply((_command, fullName) => globMatches(value, fullName, true));
    default:
      return SYNTAX_ERROR;
  }
}

function listReply(isListed: (command: Command, fullName: string) => boolean): Reply {
  const listed = ENTRIES.filter((entry) => isListed(entry.command, entry.fullName));
  return reply.array(listed.map((entry) => reply.bulk(entry.fullName)));
}

// ---- COMMAND GETKEYS ----

/** Resolves the command of a command line: a container needs a known subcommand as its second word. */
function resolve(words: readonly Buffer[]): TableEntry | undefined {
  const [name, subcommand] = words;
  if (name === undefined || name.includes('|')) return undefined;
  const entry = findByArgument(name);
  if (entry === undefined || entry.subcommands.length === 0 || subcommand === undefined) return entry;
  const subName = lowerAscii(subcommand.toString('latin1'));
  return entry.subcommands.find((child) => child.command.name === subName);
}

function getKeysReply(args: readonly Buffer[], withFlags: boolean): Reply {
  const words = args.slice(2);
  const entry = resolve(words);
  if (entry === undefined) return reply.error('ERR Invalid command specified');
  const { command } = entry;
  if (!hasKeys(command)) return reply.error('ERR The command has no key arguments');
  const { arity } = command;
  if (arity > 0 ? words.length !== arity : words.length < -arity) {
    return reply.error('ERR Invalid number of arguments specified for command');
  }
  const keys = findKeys(entry.fullName, command, words) ?? [];
  if (keys.length === 0 && !command.flags.includes('no_mandatory_keys')) {
    return reply.error('ERR Invalid arguments specified for command');
  }
  return reply.array(keys.map(({ position, flags }) => {
    const key = reply.bulk(words[position] ?? '');
    return withFlags ? reply.array([key, simpleSet(flags)]) : key;
  }));
}
