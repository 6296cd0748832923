/**
 * The shape of the command table, which is the only place where Sherd says what a command is.
 *
 * Every other part derives from it: the native lookup and key extraction (`npm run gen` writes
 * native/command_table/*.inc), arity errors, routing, the COMMAND replies, ACL categories, docs/commands.md and the
 * random streams of the differential test. The facts are those of Redis 7.2; the texts are our own.
 *
 * Words: a *container* is a command with subcommands; a *full name* is `get` or `client|getname`; a *key spec* says
 * where keys stand in a command line, as COMMAND INFO shows it.
 *
 * These files hold data and types only and import nothing but each other, so that scripts/gen.mjs can load them
 * without building the project.
 */

/** Command flags, in the order in which Redis lists them. The position is the bit in native CommandFlag. */
export const COMMAND_FLAGS = [
  'write',
  'readonly',
  'denyoom',
  'admin',
  'pubsub',
  'noscript',
  'blocking',
  'loading',
  'stale',
  'skip_monitor',
  'skip_slowlog',
  'asking',
  'fast',
  'no_auth',
  'may_replicate',
  'no_mandatory_keys',
  'movablekeys',
  'allow_busy',
  'no_multi',
  'no_async_loading',
  'sentinel',
  'only_sentinel',
] as const;
export type CommandFlag = (typeof COMMAND_FLAGS)[number];

/** Flags that COMMAND does not tell, as in Redis: they are for CLIENT PAUSE and MONITOR. */
export const HIDDEN_FLAGS: readonly CommandFlag[] = ['may_replicate'];

/** ACL categories without "@", in Redis's order. The position is the bit in CommandSpec::acl_categories. */
export const ACL_CATEGORIES = [
  'keyspace',
  'read',
  'write',
  'set',
  'sortedset',
  'list',
  'hash',
  'string',
  'bitmap',
  'hyperloglog',
  'geo',
  'stream',
  'pubsub',
  'admin',
  'fast',
  'slow',
  'blocking',
  'dangerous',
  'connection',
  'transaction',
  'scripting',
] as const;
export type AclCategory = (typeof ACL_CATEGORIES)[number];

/** What a command does to a key, in the order in which Redis lists it. The position is the bit in KeySpecFlag. */
export const KEY_FLAGS = [
  'RO',
  'RW',
  'OW',
  'RM',
  'access',
  'update',
  'insert',
  'delete',
  'not_key',
  'incomplete',
  'variable_flags',
] as const;
export type KeyFlag = (typeof KEY_FLAGS)[number];

/** Command groups with their titles, in the order of the documentation. */
export const COMMAND_GROUPS = {
  connection: 'Connection',
  string: 'Strings',
  list: 'Lists',
  set: 'Sets',
  hash: 'Hashes',
  'sorted-set': 'Sorted sets',
  stream: 'Streams',
  geo: 'Places',
  bitmap: 'Bitmaps',
  hyperloglog: 'HyperLogLog',
  generic: 'Keys',
  transactions: 'Transactions',
  pubsub: 'Publish and subscribe',
  server: 'Server',
} as const;
export type CommandGroup = keyof typeof COMMAND_GROUPS;

/**
 * What makes a command take long: all elements of its keys; those of the smallest key for each key; the elements
 * between two indexes (words 2 and 3); the bytes of one key times those of another; all keys.
 */
export type Effort = 'elements' | 'smallest' | 'range' | 'product' | 'allKeys';

/**
 * Where a command runs (native enum Runs):
 * - `connection`: on the I/O worker, touches only its session;
 * - `keys`: on the shards of its keys;
 * - `all-shards`: on all shards;
 * - `control`: handed to TypeScript;
 * - `routed`: a function registered beside the native handler decides;
 * - `transaction`: on the shards that the connection's own transaction names (EXEC, DISCARD, UNWATCH).
 */
export const RUNS = ['connection', 'keys', 'all-shards', 'control', 'routed', 'transaction'] as const;
export type Runs = (typeof RUNS)[number];

/** Where the search for keys begins. */
export type BeginSearch =
  | { readonly type: 'index'; readonly index: number }
  | { readonly type: 'keyword'; readonly keyword: string; readonly startFrom: number }
  | { readonly type: 'unknown' };

/** How keys are found from there. */
export type FindKeys =
  | { readonly type: 'range'; readonly lastKey: number; readonly keyStep: number; readonly limit: number }
  | { readonly type: 'keynum'; readonly keyNumIndex: number; readonly firstKey: number; readonly keyStep: number }
  | { readonly type: 'unknown' };

export interface KeySpec {
  readonly flags: readonly KeyFlag[];
  readonly begin: BeginSearch;
  readonly find: FindKeys;
  /** Why the flags are what they are; shown by COMMAND INFO. */
  readonly notes?: string;
}

export type ArgumentType =
  | 'string'
  | 'integer'
  | 'double'
  | 'key'
  | 'pattern'
  | 'unix-time'
  | 'pure-token'
  | 'oneof'
  | 'block';

/** One node of a command's argument grammar, as COMMAND DOCS shows it. */
export interface Argument {
  readonly name: string;
  readonly type: ArgumentType;
  /** Name to display, when it is not `name`. Never on `oneof` and `block`. */
  readonly display?: string;
  /** Position of its key spec; of a `key`, or of a `pattern` that names keys (SORT). */
  readonly keySpec?: number;
  /** The word that comes before the value, or is the argument (`pure-token`). */
  readonly token?: string;
  readonly since?: string;
  readonly deprecatedSince?: string;
  readonly optional?: true;
  readonly multiple?: true;
  /** With `multiple`: the token is repeated before each value. */
  readonly multipleToken?: true;
  /** `oneof` and `block` only. */
  readonly args?: readonly Argument[];
}

/** One command or subcommand. */
export interface Command {
  /** Lower case; of a subcommand only its own part. */
  readonly name: string;
  readonly summary: string;
  readonly since: string;
  readonly group: CommandGroup;
  readonly complexity?: string;
  /** Number of words with the name (and the container's); negative: at least. */
  readonly arity: number;
  readonly runs: Runs;
  /** How to tell before it starts whether it takes long; absent: it never does. */
  readonly effort?: Effort;
  readonly flags: readonly CommandFlag[];
  readonly categories: readonly AclCategory[];
  readonly docFlags?: readonly ('deprecated' | 'syscmd')[];
  readonly deprecatedSince?: string;
  readonly replacedBy?: string;
  readonly tips?: readonly string[];
  readonly keySpecs?: readonly KeySpec[];
  readonly args?: readonly Argument[];
  /** Version and what changed in it. */
  readonly history?: readonly (readonly [version: string, change: string])[];
  readonly subcommands?: readonly Command[];
}

/** A spec whose keys begin at a fixed word: `lastKey` counts from the first one (negative: from the line's end). */
export function keysAt(
  index: number,
  lastKey: number,
  keyStep: number,
  flags: readonly KeyFlag[],
  notes?: string,
): KeySpec {
  const spec = { flags, begin: { type: 'index', index }, find: { type: 'range', lastKey, keyStep, limit: 0 } } as const;
  return notes === undefined ? spec : { ...spec, notes };
}

/** A spec of exactly one key at a fixed word. */
export function keyAt(index: number, flags: readonly KeyFlag[], notes?: string): KeySpec {
  return keysAt(index, 0, 1, flags, notes);
}

/** A spec of keys that follow their number, which stands at a fixed word. */
export function countedKeysAt(index: number, flags: readonly KeyFlag[], notes?: string): KeySpec {
  const find = { type: 'keynum', keyNumIndex: 0, firstKey: 1, keyStep: 1 } as const;
  const spec = { flags, begin: { type: 'index', index }, find } as const;
  return notes === undefined ? spec : { ...spec, notes };
}
