/**
 * HyperLogLog commands: how many different elements were seen, in at most 12 KB, within about 0.8 %.
 *
 * Facts as in Redis 7.2 (see types.ts for the fields). Sorted by name.
 */
import { keyAt, keysAt, type Command } from './types.js';

export const hyperloglogCommands: readonly Command[] = [
  {
    name: 'pfadd',
    summary: 'Adds elements to a HyperLogLog, creating it if need be',
    since: '2.8.9',
    group: 'hyperloglog',
    complexity: 'O(1) for each element',
    arity: -2,
    runs: 'keys',
    flags: ['write', 'denyoom', 'fast'],
    categories: ['write', 'hyperloglog', 'fast'],
    keySpecs: [keyAt(1, ['RW', 'insert'])],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      { name: 'element', type: 'string', optional: true, multiple: true },
    ],
  },
  {
    name: 'pfcount',
    summary: 'Estimates how many different elements were added to one HyperLogLog or to several together',
    since: '2.8.9',
    group: 'hyperloglog',
    complexity: 'O(1) for one key whose estimate is cached; O(N) with a large constant for N keys',
    arity: -2,
    runs: 'keys',
    flags: ['readonly', 'may_replicate'],
    categories: ['read', 'hyperloglog', 'slow'],
    keySpecs: [keysAt(1, -1, 1, ['RW', 'access'], 'The estimate is cached inside the value, hence RW')],
    args: [{ name: 'key', type: 'key', keySpec: 0, multiple: true }],
  },
  {
    name: 'pfdebug',
    summary: 'Shows the inside of a HyperLogLog',
    since: '2.8.9',
    group: 'hyperloglog',
    complexity: 'O(N), N being the number of registers',
    arity: 3,
    runs: 'keys',
    flags: ['write', 'denyoom', 'admin'],
    categories: ['write', 'hyperloglog', 'admin', 'slow', 'dangerous'],
    docFlags: ['syscmd'],
    keySpecs: [keyAt(2, ['RW', 'access'])],
    args: [{ name: 'subcommand', type: 'string' }, { name: 'key', type: 'key', keySpec: 0 }],
  },
  {
    name: 'pfmerge',
    summary: 'Makes a HyperLogLog the union of itself and others',
    since: '2.8.9',
    group: 'hyperloglog',
    complexity: 'O(N) with a large constant, N being the number of keys',
    arity: -2,
    runs: 'keys',
    flags: ['write', 'denyoom'],
    categories: ['write', 'hyperloglog', 'slow'],
    keySpecs: [keyAt(1, ['RW', 'access', 'insert']), keysAt(2, -1, 1, ['RO', 'access'])],
    args: [
      { name: 'destkey', type: 'key', keySpec: 0 },
      { name: 'sourcekey', type: 'key', keySpec: 1, optional: true, multiple: true },
    ],
  },
  {
    name: 'pfselftest',
    summary: 'Checks the HyperLogLog arithmetic of the server against known answers',
    since: '2.8.9',
    group: 'hyperloglog',
    complexity: 'O(1): a fixed number of elements',
    arity: 1,
    runs: 'connection',
    flags: ['admin'],
    categories: ['hyperloglog', 'admin', 'slow', 'dangerous'],
    docFlags: ['syscmd'],
  },
];
