/**
 * Commands that read or write values of any type as a whole: DUMP and RESTORE, SORT.
 *
 * Facts as in Redis 7.2 (see types.ts for the fields). Sorted by name.
 */
import { keyAt, type Argument, type Command } from './types.js';

/** Where the weights of the elements are. */
const BY: Argument = {
  name: 'by-pattern',
  type: 'pattern',
  display: 'pattern',
  keySpec: 1,
  token: 'BY',
  optional: true,
};

/** Skips sorted elements and bounds their number. */
const LIMIT: Argument = {
  name: 'limit',
  type: 'block',
  token: 'LIMIT',
  optional: true,
  args: [{ name: 'offset', type: 'integer' }, { name: 'count', type: 'integer' }],
};

/** What to return in place of the elements. */
const GET: Argument = {
  name: 'get-pattern',
  type: 'pattern',
  display: 'pattern',
  keySpec: 1,
  token: 'GET',
  optional: true,
  multiple: true,
  multipleToken: true,
};

/** From low to high or the reverse. */
const ORDER: Argument = {
  name: 'order',
  type: 'oneof',
  optional: true,
  args: [{ name: 'asc', type: 'pure-token', token: 'ASC' }, { name: 'desc', type: 'pure-token', token: 'DESC' }],
};

/** Compares texts instead of numbers. */
const ALPHA: Argument = { name: 'sorting', type: 'pure-token', token: 'ALPHA', optional: true };

export const valueCommands: readonly Command[] = [
  {
    name: 'dump',
    summary: 'Returns the value at a key in the form that RESTORE takes',
    since: '2.6.0',
    group: 'generic',
    complexity: 'O(1) to find the key; O(N*M) for a collection of N elements of M bytes',
    arity: 2,
    runs: 'keys',
    effort: 'elements',
    flags: ['readonly'],
    categories: ['keyspace', 'read', 'slow'],
    tips: ['nondeterministic_output'],
    keySpecs: [keyAt(1, ['RO', 'access'])],
    args: [{ name: 'key', type: 'key', keySpec: 0 }],
  },
  {
    name: 'restore',
    summary: 'Creates a key from what DUMP returned',
    since: '2.6.0',
    group: 'generic',
    complexity: 'O(1) for a string; O(N*M) for a collection of N elements of M bytes, times log(N) if sorted',
    arity: -4,
    runs: 'keys',
    flags: ['write', 'denyoom'],
    categories: ['keyspace', 'write', 'slow', 'dangerous'],
    keySpecs: [keyAt(1, ['OW', 'update'])],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      { name: 'ttl', type: 'integer' },
      { name: 'serialized-value', type: 'string' },
      { name: 'replace', type: 'pure-token', token: 'REPLACE', since: '3.0.0', optional: true },
      { name: 'absttl', type: 'pure-token', token: 'ABSTTL', since: '5.0.0', optional: true },
      { name: 'seconds', type: 'integer', token: 'IDLETIME', since: '5.0.0', optional: true },
      { name: 'frequency', type: 'integer', token: 'FREQ', since: '5.0.0', optional: true },
    ],
    history: [['3.0.0', 'Option `REPLACE`.'], ['5.0.0', 'Option `ABSTTL`.'], ['5.0.0', 'Options `IDLETIME`, `FREQ`.']],
  },
  {
    name: 'sort',
    summary: 'Sorts the elements of a list, set or sorted set and returns or stores them',
    since: '1.0.0',
    group: 'generic',
    complexity: 'O(N+M*log(M)), N being the number of elements and M the number returned; O(N) without sorting',
    arity: -2,
    runs: 'routed',
    effort: 'elements',
    flags: ['write', 'denyoom', 'movablekeys'],
    categories: ['write', 'set', 'sortedset', 'list', 'slow', 'dangerous'],
    keySpecs: [
      keyAt(1, ['RO', 'access']),
      {
        flags: ['RO', 'access'],
        begin: { type: 'unknown' },
        find: { type: 'unknown' },
        notes: 'Keys that `BY` and `GET` make from the sorted elements',
      },
      {
        flags: ['OW', 'update'],
        begin: { type: 'unknown' },
        find: { type: 'unknown' },
        notes: 'The target of `STORE`, which may stand anywhere among the options',
      },
    ],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      BY,
      LIMIT,
      GET,
      ORDER,
      ALPHA,
      { name: 'destination', type: 'key', keySpec: 2, token: 'STORE', optional: true },
    ],
  },
  {
    name: 'sort_ro',
    summary: 'Sorts the elements of a list, set or sorted set',
    since: '7.0.0',
    group: 'generic',
    complexity: 'O(N+M*log(M)), N being the number of elements and M the number returned; O(N) without sorting',
    arity: -2,
    runs: 'routed',
    effort: 'elements',
    flags: ['readonly', 'movablekeys'],
    categories: ['read', 'set', 'sortedset', 'list', 'slow', 'dangerous'],
    keySpecs: [
      keyAt(1, ['RO', 'access']),
      {
        flags: ['RO', 'access'],
        begin: { type: 'unknown' },
        find: { type: 'unknown' },
        notes: 'Keys that `BY` and `GET` make from the sorted elements',
      },
    ],
    args: [{ name: 'key', type: 'key', keySpec: 0 }, BY, LIMIT, GET, ORDER, ALPHA],
  },
];
