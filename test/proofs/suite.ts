/**
 * The proofs as one list, with the sizes of their short and long forms, and the servers that they run against.
 *
 * proofs.test.ts and soak.ts take both from here, so that a proof cannot be in one and missing in the other.
 */
import { startRedis, startSherd, type RunningServer } from '../support/oracle.js';
import { layoutOptions } from '../differential/layout.js';
import { proveBank } from './bank.js';
import { proveBlockingOrder } from './blocking-order.js';
import { proveBlockingTokens } from './blocking-tokens.js';
import { proveBlocking } from './blocking.js';
import { proveLinearizability } from './linearizability.js';
import { proveOrder } from './order.js';
import type { ProofResult } from './proof.js';
import { proveMultiShardComesThrough, proveSlowShardStaysAlone } from './starvation.js';
import { proveWatch } from './watch.js';

/** How much of everything. */
export interface Sizes {
  /** Sums of the bank, and of its tokens (a tenth). */
  reads: number;
  increments: number;
  messages: number;
  operations: number;
  elements: number;
  rounds: number;
  /** Of each of the two starvation proofs. */
  seconds: number;
  /** Bounds of starvation. */
  multiShardP999MsMax: number;
  otherShardP99MsMax: number;
}

/** The figures, and as much as a soak can bear where it names none. */
export const LONG: Sizes = {
  reads: 1_000_000,
  increments: 100_000,
  messages: 200_000,
  operations: 200_000,
  elements: 100_000,
  rounds: 3_000,
  seconds: 20,
  multiShardP999MsMax: 5,
  otherShardP99MsMax: 2,
};

/**
 * A second or two each. The bounds of starvation are generous, because tests run beside each other on few cores: a command
 * that waits for the whole load, or a shard that waits for a slow one (200 ms and more), is still found.
 */
export const SHORT: Sizes = {
  reads: 10_000,
  increments: 3_000,
  messages: 4_000,
  operations: 20_000,
  elements: 4_000,
  rounds: 60,
  seconds: 1.5,
  multiShardP999MsMax: 150,
  otherShardP99MsMax: 100,
};

/** The server under proof, and an idle one beside it. */
export interface Servers {
  subject: RunningServer;
  idle: RunningServer;
}

/** One proof. */
export interface Proof {
  name: string;
  run: (servers: Servers, seed: number, sizes: Sizes) => Promise<ProofResult>;
}

const starvation = ({ subject, idle }: Servers, seed: number, sizes: Sizes): Parameters<typeof proveMultiShardComesThrough>[0] => ({
  port: subject.port,
  pid: subject.pid,
  idlePort: idle.port,
  seed,
  milliseconds: sizes.seconds * 1000,
  multiShardP999MsMax: sizes.multiShardP999MsMax,
  // One thread cannot keep a slow command to itself: of redis-server there are figures, and no bound.
  otherShardP99MsMax: subject.name === 'redis' ? Infinity : sizes.otherShardP99MsMax,
});

/** All proofs, in the order. */
export const PROOFS: readonly Proof[] = [
  { name: 'bank', run: ({ subject: { port } }, seed, { reads }) => proveBank({ port, seed, reads }) },
  { name: 'watch', run: ({ subject: { port } }, seed, { increments }) => proveWatch({ port, seed, increments }) },
  { name: 'order', run: ({ subject: { port } }, seed, { messages }) => proveOrder({ port, seed, messages }) },
  {
    name: 'linearizability',
    run: ({ subject: { port } }, seed, { operations }) => proveLinearizability({ port, seed, operations }),
  },
  { name: 'blocking', run: ({ subject: { port } }, seed, { elements }) => proveBlocking({ port, seed, elements }) },
  { name: 'blocking-order', run: ({ subject: { port } }, seed, { rounds }) => proveBlockingOrder({ port, seed, rounds }) },
  {
    name: 'blocking-tokens',
    run: ({ subject: { port } }, seed, { reads }) => proveBlockingTokens({ port, seed, reads: reads / 10 }),
  },
  {
    name: 'starvation-multi-shard',
    run: (servers, seed, sizes) => proveMultiShardComesThrough(starvation(servers, seed, sizes)),
  },
  {
    name: 'starvation-slow-shard',
    run: (servers, seed, sizes) => proveSlowShardStaysAlone(starvation(servers, seed, sizes)),
  },
];

/** Starts what a name says: `redis`, `default` (ours as it comes), or a layout of ours such as 8x2 or 8x2o. */
export function startSubject(name: string): Promise<RunningServer> {
  if (name === 'redis') return startRedis();
  return startSherd(name === 'default' ? [] : layoutOptions(name));
}
