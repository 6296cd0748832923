/**
 * The commands' argument grammar, as COMMAND DOCS of a Redis 7.4 tells it (test/fixtures/commands-7.4.json).
 *
 * The grammar is what makes the stream generator generic: a family joins by its name in `FAMILIES`. What is newer
 * than the oracle (7.0) is cut away here, token by token, because the oracle cannot judge it; the recorded replies
 * of test/recorded cover that part.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../support/project.js';

export interface ArgumentSpec {
  name: string;
  type: 'key' | 'string' | 'integer' | 'double' | 'pattern' | 'unix-time' | 'pure-token' | 'oneof' | 'block';
  token?: string;
  flags?: ('optional' | 'multiple' | 'multiple_token')[];
  since?: string;
  arguments?: ArgumentSpec[];
}

interface CommandJson {
  arity: number;
  group: string;
  since: string;
  arguments?: ArgumentSpec[];
  subcommands?: Record<string, CommandJson>;
}

/** One command or subcommand. */
export interface CommandSpec {
  /** `get` or `client|list`. */
  name: string;
  /** The words that start it: [`client`, `list`]. */
  words: string[];
  arity: number;
  group: string;
  arguments: ArgumentSpec[];
}

/** Newest version that the oracle speaks. */
const ORACLE_VERSION = [7, 0, 15];

function isWithinOracle(since: string | undefined): boolean {
  if (since === undefined) return true;
  const parts = since.split('.').map(Number);
  for (let index = 0; index < 3; index++) {
    const part = parts[index] ?? 0;
    const limit = ORACLE_VERSION[index] as number;
    if (part !== limit) return part < limit;
  }
  return true;
}

function cut(list: ArgumentSpec[] | undefined): ArgumentSpec[] {
  return (list ?? [])
    .filter((argument) => isWithinOracle(argument.since))
    .map((argument) => (argument.arguments ? { ...argument, arguments: cut(argument.arguments) } : argument));
}

function load(): Map<string, CommandSpec> {
  const path = join(projectRoot, 'test', 'fixtures', 'commands-7.4.json');
  const commands = new Map<string, CommandSpec>();
  const add = (words: string[], command: CommandJson): void => {
    if (!isWithinOracle(command.since)) return;
    const name = words.join('|');
    const { arity, group } = command;
    commands.set(name, { name, words, arity, group, arguments: cut(command.arguments) });
    for (const [word, sub] of Object.entries(command.subcommands ?? {})) add([...words, word], sub);
  };
  const json = JSON.parse(readFileSync(path, 'utf8')) as Record<string, CommandJson>;
  for (const [word, command] of Object.entries(json)) add([word], command);
  return commands;
}

/** Every command and subcommand of the oracle by full name. */
export const COMMANDS: ReadonlyMap<string, CommandSpec> = load();

const names = (text: string): string[] => text.split(/\s+/).filter((name) => name !== '');

/**
 * The families that streams can be made of. `group` takes all of a group's commands that the rules do not exclude.
 */
const FAMILY_SOURCES: Record<string, { group: string } | { names: string[] }> = {
  strings: { group: 'string' },
  keys: {
    names: names(`del unlink exists type touch rename renamenx copy move randomkey keys scan dbsize expire pexpire
      expireat pexpireat ttl pttl expiretime pexpiretime persist object|encoding object|freq object|idletime
      object|refcount object|help memory|usage dump restore`),
  },
  connection: {
    names: names(`auth hello ping echo select reset client|id client|getname client|setname client|list client|info
      client|kill client|reply client|no-evict client|help`),
  },
  server: {
    names: names(`flushdb flushall swapdb info config|get config|set config|resetstat config|help command command|count
      command|docs command|getkeys command|getkeysandflags command|help command|info command|list time debug lolwut`),
  },
  lists: { group: 'list' },
  sets: { group: 'set' },
  hashes: { group: 'hash' },
  zsets: { group: 'sorted-set' },
  geo: { group: 'geo' },
  streams: { group: 'stream' },
  bitmaps: { group: 'bitmap' },
  hyperloglogs: { group: 'hyperloglog' },
  sort: { names: names('sort sort_ro') },
};

/** Families that Sherd has now. A new family joins the gate and the soak by its name here. */
export const EXISTING_FAMILIES = [
  'strings', 'keys', 'connection', 'server', 'bitmaps', 'hyperloglogs', 'sets', 'zsets', 'geo', 'lists', 'hashes',
  'streams', 'sort',
];

export const FAMILIES: ReadonlyMap<string, string[]> = new Map(
  Object.entries(FAMILY_SOURCES).map(([family, source]) => [
    family,
    'names' in source
      ? source.names
      : [...COMMANDS.values()].filter((command) => command.group === source.group).map((command) => command.name),
  ]),
);

const containers = new Set([...COMMANDS.values()].filter((spec) => spec.words.length > 1).map((spec) => spec.words[0]));

/** Full name (`client|list`) of the command that these arguments call; unknown subcommands give the container. */
export function fullName(args: readonly Buffer[]): string {
  const first = (args[0] ?? Buffer.alloc(0)).toString('latin1').toLowerCase();
  if (!containers.has(first) || args.length < 2) return first;
  const full = `${first}|${(args[1] as Buffer).toString('latin1').toLowerCase()}`;
  return COMMANDS.has(full) ? full : first;
}
