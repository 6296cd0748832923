/**
 * The differences between the oracle and Sherd that are meant, each as narrow as it can be said.
 *
 * Two kinds: `redis-7.2`, where the oracle (7.0.15) is older than the behaviour we promise, and `sherd`, where we
 * depart from Redis on purpose; every row of the second kind has its twin in docs/DIFFERENCES.md. A row says for one
 * command what the oracle says and what we say; a difference that no row explains is a bug.
 *
 * A row that explains nothing in a long run is dead and should go: the soak prints how often each was used.
 */

import { fullName } from './grammar.js';

/** One reply that differs. */
export interface ReplyDifference {
  /** Full command name, `client|list`. */
  name: string;
  args: readonly Buffer[];
  resp: 2 | 3;
  /** The oracle's frame and ours, as Latin-1. */
  oracle: string;
  subject: string;
}

export interface Accepted {
  id: string;
  kind: 'redis-7.2' | 'sherd';
  reason: string;
  /** Full command names that the row is for. */
  commands: readonly string[];
  matches: (difference: ReplyDifference) => boolean;
}

/** COMMAND GETKEYS with one word behind it, also as the command that another COMMAND GETKEYS asks about. */
function asksForKeysOfOneWord(args: readonly Buffer[]): boolean {
  let rest = args;
  while (rest.length > 3 && fullName(rest).startsWith('command|getkeys')) rest = rest.slice(2);
  return rest.length === 3 && fullName(rest).startsWith('command|getkeys');
}

/** DEBUG OBJECT of a list, whatever its encoding, without the figures that depend on it. */
function isDebugListLine(frame: string): boolean {
  return /^\+Value at:0x[0-9a-f]+ refcount:1 encoding:(quicklist|listpack) (serializedlength:\d+ )?lru:\d+ lru_seconds_idle:\d+( ql_nodes:\d+ ql_avg_node:[\d.]+ ql_listpack_max:-?\d+ ql_compressed:[01] ql_uncompressed_size:\d+)?\r\n$/.test(
    frame,
  );
}

/** Whether an encoding (OBJECT ENCODING's frame) is what 7.2 says where the oracle still says another. */
export function isNewerEncoding(oracle: string, subject: string, type: string): boolean {
  const change = [oracle, subject].map((frame) => frame.split('\r\n')[1]).join(' ');
  if (type === 'list') return change === 'quicklist listpack';
  return type === 'set' && ['hashtable listpack', 'intset listpack', 'intset hashtable'].includes(change);
}

/** An array of simple strings that begins with Redis's line and ends with the entry for HELP itself. */
function isHelp(frame: string): boolean {
  return /^\*\d+\r\n\+[A-Z]+ <subcommand> \[<arg> \[value\] \[opt\] \.\.\.\]\. Subcommands are:\r\n(\+[^\r\n]*\r\n)*\+HELP\r\n\+ {4}Prints? this help\.\r\n$/.test(
    frame,
  );
}

/** The flags fields of CLIENT LIST or INFO, without NO-EVICT's. */
function flagsWithoutNoEvict(frame: string): string {
  const flags = [...frame.matchAll(/ flags=([A-Za-z]+) /g)].map((match) => match[1]!.replace('e', ''));
  return flags.map((text) => (text === '' ? 'N' : text)).join(' ');
}

/** `serializedlength` of a DEBUG OBJECT line, and the line without it, without the address and the LRU figures. */
function debugObjectLine(frame: string): { form: string; length: number } | undefined {
  const match = /^\+Value at:0x[0-9a-f]+ (refcount:\d+ encoding:[a-z]+) serializedlength:(\d+) lru:\d+ lru_seconds_idle:\d+\r\n$/.exec(
    frame,
  );
  return match ? { form: match[1] as string, length: Number(match[2]) } : undefined;
}

export const ACCEPTED: readonly Accepted[] = [
  {
    id: 'reset-clears-no-evict',
    kind: 'redis-7.2',
    reason: 'RESET lifts CLIENT NO-EVICT since 7.2; the oracle keeps it and shows flag e',
    commands: ['client|info', 'client|list'],
    matches: ({ oracle, subject }) =>
      / flags=[A-Za-z]*e/.test(oracle) && flagsWithoutNoEvict(oracle) === flagsWithoutNoEvict(subject),
  },
  {
    id: 'getkeys-arity',
    kind: 'redis-7.2',
    reason: 'COMMAND GETKEYS and GETKEYSANDFLAGS take a command without arguments since 7.2: arity -3 in place of -4',
    commands: ['command|getkeys', 'command|getkeysandflags'],
    matches: ({ args, oracle, subject }) =>
      asksForKeysOfOneWord(args) &&
      /^-ERR (wrong number of arguments for|Invalid number of arguments specified for)/.test(oracle) &&
      /^-ERR (The command has no key arguments|Invalid command specified|Invalid number of arguments)/.test(subject),
  },
  {
    id: 'bit-ranges-of-missing-keys',
    kind: 'redis-7.2',
    reason: 'BITCOUNT and BITPOS look at their range before the key since 7.2; the oracle looks at the key first',
    commands: ['bitcount', 'bitpos'],
    matches: ({ oracle, subject }) =>
      /^(:(0|-1)\r\n$|-WRONGTYPE)/.test(oracle) && /^-ERR (syntax error|value is not an integer or out of range)\r\n$/.test(subject),
  },
  {
    id: 'rank-with-score',
    kind: 'redis-7.2',
    reason: 'ZRANK and ZREVRANK take WITHSCORE since 7.2; the oracle knows no third argument',
    commands: ['zrank', 'zrevrank'],
    matches: ({ args, oracle, subject }) =>
      args.length === 4 &&
      oracle.startsWith('-ERR wrong number of arguments') &&
      (/^-(ERR syntax error|WRONGTYPE)/.test(subject) || /^(\*|_)/.test(subject)),
  },
  {
    id: 'encodings-of-small-sets',
    kind: 'redis-7.2',
    reason: 'small sets that hold a text are listpacks since 7.2, and many words at once make no intset',
    commands: ['object|encoding'],
    matches: ({ oracle, subject }) => isNewerEncoding(oracle, subject, 'set'),
  },
  {
    id: 'encodings-of-small-sets-in-debug',
    kind: 'redis-7.2',
    reason: 'the same in DEBUG OBJECT',
    commands: ['debug'],
    matches: ({ oracle, subject }) =>
      / encoding:(hashtable|intset) /.test(oracle) && / encoding:(listpack|hashtable) /.test(subject),
  },
  {
    id: 'lists-of-one-listpack',
    kind: 'redis-7.2',
    reason: 'short lists are a bare listpack since 7.2; in the oracle every list is a quicklist',
    commands: ['object|encoding'],
    matches: ({ oracle, subject }) => isNewerEncoding(oracle, subject, 'list'),
  },
  {
    id: 'lists-of-one-listpack-in-debug',
    kind: 'redis-7.2',
    reason: 'the same in DEBUG OBJECT; and a list that was a listpack first has its nodes cut elsewhere',
    commands: ['debug'],
    matches: ({ oracle, subject }) => isDebugListLine(oracle) && isDebugListLine(subject),
  },
  {
    id: 'lpos-rank-without-twin',
    kind: 'redis-7.2',
    reason: 'LPOS refuses the RANK whose negative does not exist since 7.2, before it looks at later options',
    commands: ['lpos'],
    matches: ({ args, subject }) =>
      subject.startsWith('-ERR value is out of range, value must between -9223372036854775807 and') &&
      args.some((word) => word.toString('latin1') === '-9223372036854775808'),
  },
  {
    id: 'getkeys-of-rank-with-score',
    kind: 'redis-7.2',
    reason: 'the same in COMMAND GETKEYS and GETKEYSANDFLAGS, which look at the arity',
    commands: ['command|getkeys', 'command|getkeysandflags'],
    matches: ({ args, oracle, subject }) =>
      /^z(rev)?rank$/i.test((args[args.length - 4] ?? Buffer.alloc(0)).toString('latin1')) &&
      oracle === '-ERR Invalid number of arguments specified for command\r\n' &&
      subject.startsWith('*1\r\n'),
  },
  {
    id: 'scan-novalues',
    kind: 'redis-7.2',
    reason: 'HSCAN takes NOVALUES since 7.4, and the others have an error of its own for it',
    commands: ['hscan', 'scan', 'sscan', 'zscan'],
    matches: ({ args, oracle }) =>
      oracle === '-ERR syntax error\r\n' && args.some((word) => word.toString('latin1').toLowerCase() === 'novalues'),
  },
  {
    id: 'sinterstore-overwrites',
    kind: 'redis-7.2',
    reason: 'the destination of SINTERSTORE is overwritten, as the newer key specs say; the oracle calls it read and written',
    commands: ['command|getkeysandflags'],
    matches: ({ args, oracle, subject }) =>
      args.some((word) => word.toString('latin1').toLowerCase() === 'sinterstore') &&
      oracle.replace('+RW\r\n+update', '+OW\r\n+update') === subject,
  },
  {
    id: 'sort-after-numbers-beyond-the-range',
    kind: 'sherd',
    reason:
      'once SORT has met a number beyond the range of a double, Redis refuses every number, since nobody resets the ' +
      'errno that it looks at',
    commands: ['sort', 'sort_ro'],
    matches: ({ oracle, subject }) =>
      oracle === "-ERR One or more scores can't be converted into double\r\n" && subject.startsWith('*'),
  },
  {
    id: 'absurd-key-counts',
    kind: 'sherd',
    reason: 'a number of keys beyond 2^31, of which Redis takes the low half: the wrong line gets an error or keys without flags',
    commands: ['command|getkeys', 'command|getkeysandflags'],
    matches: ({ args }) =>
      args.some((word) => /^[-+]?\d{10,}$/.test(word.toString('latin1').trim()) && Math.abs(Number(word.toString('latin1'))) > 2 ** 31),
  },
  {
    id: 'refcount-of-small-integers',
    kind: 'sherd',
    reason:
      'we share no value objects and report 2147483647 for every integer of 0 to 9999; Redis reports 1 for those that ' +
      'COPY, GETSET and their kin made anew',
    commands: ['object|refcount'],
    matches: ({ oracle, subject }) => oracle === ':1\r\n' && subject === ':2147483647\r\n',
  },
  {
    id: 'refcount-of-small-integers-in-debug',
    kind: 'sherd',
    reason: 'the same in DEBUG OBJECT',
    commands: ['debug'],
    matches: ({ oracle, subject }) =>
      / refcount:1 encoding:int /.test(oracle) && / refcount:2147483647 encoding:int /.test(subject),
  },
  {
    id: 'serialized-length-without-lzf',
    kind: 'sherd',
    reason: 'DEBUG OBJECT tells the serialized length without LZF, which Redis tries on strings of more than 20 bytes',
    commands: ['debug'],
    matches: ({ oracle, subject }) => {
      const [theirs, ours] = [debugObjectLine(oracle), debugObjectLine(subject)];
      return theirs !== undefined && ours !== undefined && theirs.form === ours.form && theirs.length < ours.length;
    },
  },
  {
    id: 'half-opcodes-of-hyperloglogs',
    kind: 'sherd',
    reason: 'a sparse HyperLogLog that ends within an opcode is corrupt; Redis reads the zero byte behind it',
    commands: ['pfadd'],
    matches: ({ oracle, subject }) =>
      /^:[01]\r\n$/.test(oracle) && subject === '-INVALIDOBJ Corrupted HLL object detected\r\n',
  },
  {
    id: 'places-stored-twice',
    kind: 'sherd',
    reason:
      'GEORADIUS and GEORADIUSBYMEMBER with STORE or STOREDIST twice, or with a destination of this name: where keys ' +
      'are is told by the key specs, which see the first of each; Redis lets the last one win',
    commands: ['georadius', 'georadiusbymember'],
    matches: ({ args, subject }) =>
      subject === '-ERR syntax error\r\n' &&
      args.filter((argument) => /^store(dist)?$/i.test(argument.toString('latin1'))).length > 1,
  },
  {
    id: 'read-last-entry',
    kind: 'redis-7.2',
    reason: 'XREAD takes "+" for the last entry, as 7.4 does',
    commands: ['xread', 'xreadgroup'],
    matches: ({ args, oracle }) =>
      args.some((argument) => argument.toString('latin1') === '+') && oracle.startsWith('-ERR Invalid stream ID'),
  },
  {
    id: 'unbalanced-streams',
    kind: 'redis-7.2',
    reason: 'the error about keys without IDs names the command in quotes and lower case since 7.2',
    commands: ['xread', 'xreadgroup'],
    matches: ({ oracle, subject }) =>
      /^-ERR Unbalanced XREAD list of streams: for each stream key an ID or '\$' must be specified\.\r\n$/.test(oracle) &&
      /^-ERR Unbalanced '(xread' .* '\$'|xreadgroup' .* '>') must be specified\.\r\n$/.test(subject),
  },
  {
    id: 'help-texts',
    kind: 'sherd',
    reason: 'HELP describes what this server has, in our own words; its first line and its form are the same',
    commands: ['client|help', 'command|help', 'config|help', 'object|help', 'xgroup|help', 'xinfo|help', 'debug'],
    matches: ({ args, oracle, subject }) =>
      args.length === 2 &&
      (args[1] as Buffer).toString('latin1').toLowerCase() === 'help' &&
      isHelp(oracle) &&
      isHelp(subject),
  },
];

/** The row that explains this difference, if one does. */
export function findAccepted(difference: ReplyDifference): Accepted | undefined {
  return ACCEPTED.find((row) => row.commands.includes(difference.name) && row.matches(difference));
}
