/**
 * Transactions: commands that are queued and run together, if what they depend on has not changed.
 *
 * Facts as in Redis 7.2 (see types.ts for the fields). Sorted by name; subcommands inside their container.
 */
import { keysAt, type Command } from './types.js';

export const transactionCommands: readonly Command[] = [
  {
    name: 'discard',
    summary: 'Drops the commands of the transaction and what is watched',
    since: '2.0.0',
    group: 'transactions',
    complexity: 'O(N), N being the number of queued commands',
    arity: 1,
    runs: 'transaction',
    flags: ['noscript', 'loading', 'stale', 'fast', 'allow_busy'],
    categories: ['fast', 'transaction'],
  },
  {
    name: 'exec',
    summary: 'Runs the commands of the transaction, all or none of them',
    since: '1.2.0',
    group: 'transactions',
    complexity: 'That of the commands in the transaction',
    arity: 1,
    runs: 'transaction',
    flags: ['noscript', 'loading', 'stale', 'skip_slowlog'],
    categories: ['slow', 'transaction'],
  },
  {
    name: 'multi',
    summary: 'Starts a transaction: the commands that follow are queued',
    since: '1.2.0',
    group: 'transactions',
    complexity: 'O(1)',
    arity: 1,
    runs: 'connection',
    flags: ['noscript', 'loading', 'stale', 'fast', 'allow_busy'],
    categories: ['fast', 'transaction'],
  },
  {
    name: 'unwatch',
    summary: 'Forgets all keys that are watched',
    since: '2.2.0',
    group: 'transactions',
    complexity: 'O(1) for each watched key',
    arity: 1,
    runs: 'transaction',
    flags: ['noscript', 'loading', 'stale', 'fast', 'allow_busy'],
    categories: ['fast', 'transaction'],
  },
  {
    name: 'watch',
    summary: 'Makes the next transaction depend on keys staying as they are',
    since: '2.2.0',
    group: 'transactions',
    complexity: 'O(1) for each key',
    arity: -2,
    runs: 'keys',
    flags: ['noscript', 'loading', 'stale', 'fast', 'allow_busy'],
    categories: ['fast', 'transaction'],
    keySpecs: [keysAt(1, -1, 1, ['RO'])],
    args: [{ name: 'key', type: 'key', keySpec: 0, multiple: true }],
  },
];
