/**
 * The short forms of the proofs, and what makes them proofs: each must find the fault that it is about.
 *
 * Every proof runs against redis-server as well: a violation there is a mistake of the checker. Runs with a fault built in
 * (writers without transactions, announcements before payloads, answers falsified …) must end in violations. Long
 * forms: `npm run soak:proofs`. SHERD_SEED=n repeats a run.
 */
import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, type RunningServer } from '../support/oracle.js';
import { proveBank } from './bank.js';
import { proveBlockingOrder } from './blocking-order.js';
import { proveBlockingTokens } from './blocking-tokens.js';
import { proveBlocking } from './blocking.js';
import { proveLinearizability } from './linearizability.js';
import { proveOrder } from './order.js';
import { describeResult, type ProofResult } from './proof.js';
import { proveSlowShardStaysAlone } from './starvation.js';
import { PROOFS, SHORT, startSubject, type Servers } from './suite.js';
import { proveWatch } from './watch.js';

const SEED = Number(process.env['SHERD_SEED'] ?? randomInt(2 ** 31));
const TIMEOUT_MS = 60_000;
/** Our layouts; redis-server passes all proofs as well, so that a wrong checker shows. */
const LAYOUTS = ['8x2', '8x2o', 'default'];
const SUBJECTS = ['redis', ...LAYOUTS].map((name) => ({ name, proofs: PROOFS }));

describe.each(SUBJECTS)(`$name, seed ${SEED}`, ({ name, proofs }) => {
  let servers: Servers;

  beforeAll(async () => {
    servers = { subject: await startSubject(name), idle: await startRedis() };
  });

  afterAll(async () => {
    await servers?.subject.stop();
    await servers?.idle.stop();
  });

  it.each(proofs)('$name', { timeout: TIMEOUT_MS }, async ({ run }) => {
    const result = await run(servers, SEED, SHORT);
    expect(result.violationCount, describeResult(result)).toBe(0);
  });
});

describe(`with a fault built in, seed ${SEED}`, () => {
  let redis: RunningServer;

  beforeAll(async () => {
    redis = await startRedis();
  });

  afterAll(async () => {
    await redis?.stop();
  });

  const faulty: [what: string, run: (port: number) => Promise<ProofResult>][] = [
    ['the bank finds money moved without a transaction', (port) => proveBank({ port, seed: SEED, reads: 2_000, isTorn: true })],
    ['updates are lost without WATCH', (port) => proveWatch({ port, seed: SEED, increments: 500, isBlind: true })],
    ['an announcement before its payload is found', (port) => proveOrder({ port, seed: SEED, messages: 400, isReversed: true })],
    ['elements pushed twice or never are found', (port) => proveBlocking({ port, seed: SEED, elements: 2_000, isCareless: true })],
    ['another order of waiters is found', (port) => proveBlockingOrder({ port, seed: SEED, rounds: 30, isReversed: true })],
    ['tokens moved in two steps are missed', (port) => proveBlockingTokens({ port, seed: SEED, reads: 1_000, isTorn: true })],
  ];
  it.each(faulty)('%s', { timeout: TIMEOUT_MS }, async (_, run) => {
    expect((await run(redis.port)).violationCount).toBeGreaterThan(0);
  });

  it('one old answer in each history is found', { timeout: TIMEOUT_MS }, async () => {
    const result = await proveLinearizability({ port: redis.port, seed: SEED, operations: 4_000, isFalsified: true });
    expect(result.violationCount, describeResult(result)).toBe(8);
  });

  it('one thread does not keep a slow command to itself', { timeout: TIMEOUT_MS }, async () => {
    const { port, pid } = redis;
    const idle = await startRedis();
    // On a busy machine the slow command turns out shorter than it should be: a bound that what is left of it exceeds.
    const options = { port, pid, idlePort: idle.port, seed: SEED, milliseconds: 1_000, otherShardP99MsMax: 20 };
    const result = await proveSlowShardStaysAlone(options);
    await idle.stop();
    expect(result.violationCount, describeResult(result)).toBeGreaterThan(0);
  });
});
