/**
 * The short forms of the proofs of persistence, and what makes them proofs: each must find a fault that is built in.
 *
 * Long forms: `npm run soak:persistence`. SHERD_SEED=n repeats a run.
 */
import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { describeResult, type ProofResult } from '../../proofs/proof.js';
import { proveAofCut } from './aof-cut.js';
import { proveBankInSnapshots } from './bank-snapshots.js';
import { proveBitFlip } from './bit-flip.js';
import { proveDiskFaults, proveSaveFaults } from './disk-faults.js';
import { proveExchange } from './exchange.js';
import { proveKill } from './kill.js';
import { proveLinearSnapshots } from './linear-snapshots.js';
import { provePowerLoss } from './power-loss.js';
import { PROOFS, SHORT } from './suite.js';

const SEED = Number(process.env['SHERD_SEED'] ?? randomInt(2 ** 31));
const LAYOUTS = ['8x2', 'default', '8x2o'];
const TIMEOUT_MS = 120_000;

describe(`persistence, seed ${SEED}`, () => {
  it.each(PROOFS)('$name', { timeout: TIMEOUT_MS }, async ({ run }) => {
    const result = await run({ seed: SEED, sizes: SHORT, layouts: LAYOUTS, isShort: true });
    expect(result.violationCount, describeResult(result)).toBe(0);
  });
});

describe(`persistence with a fault built in, seed ${SEED}`, () => {
  const faulty: [what: string, run: () => Promise<ProofResult>][] = [
    ['a file that lost its end is found', () => proveKill({ seed: SEED, rounds: 2, layouts: ['8x2'], loses: true })],
    [
      'writes answered before they are synced are found',
      () => provePowerLoss({ seed: SEED, cuts: 8, loadMs: 1_000, layouts: ['8x2'], policies: ['no'], judgedAs: 'always' }),
    ],
    ['money moved in two steps is found in snapshots', () => proveBankInSnapshots({ seed: SEED, rounds: 6, layouts: ['8x2'], isTorn: true })],
    ['a server that is told of no fault is found', () => proveDiskFaults({ seed: SEED, rounds: 1, layouts: ['8x2'], isDeaf: true })],
    ['a save that does not fail is found', () => proveSaveFaults({ seed: SEED, rounds: 1, layouts: ['8x2'], isDeaf: true })],
    ['a step too many behind a cut is found', () => proveAofCut({ seed: SEED, rounds: 20, layouts: ['8x2'], isShifted: true })],
    ['bits that flip where no checksum is looked at are found', () => proveBitFlip({ seed: SEED, rounds: 150, layouts: ['8x2'], isBlind: true })],
    ['a restart that misses the last writes is found', () => proveLinearSnapshots({ seed: SEED, operations: 1_000, layouts: ['8x2'], loses: true })],
  ];
  it.each(faulty)('%s', { timeout: TIMEOUT_MS }, async (_, run) => {
    expect((await run()).violationCount).toBeGreaterThan(0);
  });

  it('a value that is not in the files is found in each of them', { timeout: TIMEOUT_MS }, async () => {
    const result = await proveExchange({ seed: SEED, rounds: 1, layouts: ['8x2'], isAltered: true });
    // Two comparisons are of one file by two readers, which agree.
    expect(result.violationCount, describeResult(result)).toBe((result.figures['files'] ?? 0) - 2);
  });

  it('redis-server loses nothing to kill -9 either', { timeout: TIMEOUT_MS }, async () => {
    const result = await proveKill({ seed: SEED, rounds: 2, layouts: ['redis'] });
    expect(result.violationCount, describeResult(result)).toBe(0);
  });
});
