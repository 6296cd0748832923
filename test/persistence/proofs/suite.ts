/**
 * The proofs of persistence as one list, with the sizes of their short and long forms.
 *
 * proofs.test.ts and soak.ts take both from here, so that a proof cannot be in one and missing in the other.
 */
import type { ProofResult } from '../../proofs/proof.js';
import { proveAofCut } from './aof-cut.js';
import { proveBankInSnapshots } from './bank-snapshots.js';
import { proveBitFlip } from './bit-flip.js';
import { proveDiskFaults, proveDiskFull, proveSaveFaults } from './disk-faults.js';
import { proveExchange } from './exchange.js';
import { proveKill, proveWorkerDeath } from './kill.js';
import { proveLinearSnapshots } from './linear-snapshots.js';
import { provePowerLoss } from './power-loss.js';

/** How much of everything. */
export interface Sizes {
  kills: number;
  workerDeaths: number;
  /** Power losses for each policy, and how long is written. */
  powerLosses: number;
  powerLoadMs: number;
  snapshots: number;
  diskFaults: number;
  saveFaults: number;
  fullDisks: number;
  exchanges: number;
  /** Places in a file, at most. */
  cuts: number;
  flips: number;
  operations: number;
}

/** The figures of the issue. */
export const LONG: Sizes = { kills: 100, workerDeaths: 12, powerLosses: 400, powerLoadMs: 20_000, snapshots: 51, diskFaults: 54, saveFaults: 9, fullDisks: 6, exchanges: 200, cuts: 1_000_000, flips: 1_000_000, operations: 200_000 };

/** A few seconds each. */
export const SHORT: Sizes = { kills: 4, workerDeaths: 2, powerLosses: 12, powerLoadMs: 1_000, snapshots: 9, diskFaults: 4, saveFaults: 1, fullDisks: 1, exchanges: 3, cuts: 120, flips: 200, operations: 6_000 };

export interface ProofRun {
  seed: number;
  /** The gate's form: what the machine does not allow is passed over instead of being a violation. */
  isShort: boolean;
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
    run: ({ seed, layouts, sizes, isShort }) => {
      const options = { seed, layouts, cuts: sizes.powerLosses, loadMs: sizes.powerLoadMs, serverEvery: 20 };
      // In the gate other tests use the same disk, and a sync may take long.
      return provePowerLoss(isShort ? { ...options, everysecLossMsMax: 3_000 } : options);
    },
  },
  { name: 'bank-snapshots', run: ({ seed, layouts, sizes }) => proveBankInSnapshots({ seed, layouts, rounds: sizes.snapshots }) },
  { name: 'disk-faults', run: ({ seed, layouts, sizes }) => proveDiskFaults({ seed, layouts, rounds: sizes.diskFaults }) },
  { name: 'save-faults', run: ({ seed, layouts, sizes }) => proveSaveFaults({ seed, layouts, rounds: sizes.saveFaults }) },
  { name: 'disk-full', run: ({ seed, layouts, sizes, isShort }) => proveDiskFull({ seed, layouts, rounds: sizes.fullDisks, mayPass: isShort }) },
  { name: 'exchange', run: ({ seed, layouts, sizes }) => proveExchange({ seed, layouts, rounds: sizes.exchanges }) },
  { name: 'aof-cut', run: ({ seed, layouts, sizes }) => proveAofCut({ seed, layouts, rounds: sizes.cuts }) },
  { name: 'bit-flip', run: ({ seed, layouts, sizes }) => proveBitFlip({ seed, layouts, rounds: sizes.flips }) },
  { name: 'linear-snapshots', run: ({ seed, layouts, sizes }) => proveLinearSnapshots({ seed, layouts, operations: sizes.operations }) },
];
