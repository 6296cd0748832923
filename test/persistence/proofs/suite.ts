/**
 * The proofs of persistence as one list, with the sizes of their short and long forms.
 *
 * proofs.test.ts and soak.ts take both from here, so that a proof cannot be in one and missing in the other.
 */
import type { ProofResult } from '../../proofs/proof.js';
import { proveBankInSnapshots } from './bank-snapshots.js';
import { proveKill, proveWorkerDeath } from './kill.js';
import { provePowerLoss } from './power-loss.js';

/** How much of everything. */
export interface Sizes {
  kills: number;
  workerDeaths: number;
  /** Power losses for each policy, and how long is written. */
  powerLosses: number;
  powerLoadMs: number;
  snapshots: number;
}

/** The figures of the issue. */
export const LONG: Sizes = { kills: 100, workerDeaths: 12, powerLosses: 400, powerLoadMs: 20_000, snapshots: 51 };

/** A few seconds each. */
export const SHORT: Sizes = { kills: 4, workerDeaths: 2, powerLosses: 16, powerLoadMs: 1_200, snapshots: 9 };

export interface ProofRun {
  seed: number;
  sizes: Sizes;
  layouts: readonly string[];
}

export interface PersistenceProof {
  name: string;
  run: (run: ProofRun) => Promise<ProofResult>;
}

export const PROOFS: readonly PersistenceProof[] = [
  { name: 'kill', run: ({ seed, layouts, sizes }) => proveKill({ seed, layouts, rounds: sizes.kills }) },
  { name: 'worker-death', run: ({ seed, layouts, sizes }) => proveWorkerDeath({ seed, layouts, rounds: sizes.workerDeaths }) },
  {
    name: 'power-loss',
    run: ({ seed, layouts, sizes }) =>
      provePowerLoss({ seed, layouts, cuts: sizes.powerLosses, loadMs: sizes.powerLoadMs, serverEvery: 20 }),
  },
  { name: 'bank-snapshots', run: ({ seed, layouts, sizes }) => proveBankInSnapshots({ seed, layouts, rounds: sizes.snapshots }) },
];
