/**
 * RELIABILITY 4: one bit flipped at each byte of our files: the incremental file, the base and the manifest of an AOF, and an
 * RDB file. A start refuses with a reason, or has exactly the same dataset; nothing is silently different, and no signal ends
 * anything (the starts run in this process, which would not survive it).
 *
 * `isBlind` switches the checksums off, so that damage must pass.
 */
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Prng, deriveSeed } from '../../differential/prng.js';
import { Violations, type ProofResult } from '../../proofs/proof.js';
import { choosePlaces, type DamageOptions } from './aof-cut.js';
import { journalFiles, ProofFolder } from './folder.js';
import { copyFiles, fingerprintOf, flipBit, makeOwnFiles, sizeOf, type OwnFiles } from './own-files.js';
import { Restarter } from './restarter.js';

const BATCHES = 25;

interface Target {
  name: string;
  /** Path in the folder. */
  path: string;
  isAof: boolean;
  /** All bits of each byte instead of one: the file is small, and each word of it decides about others. */
  hasAllBits?: boolean;
}

function targetsOf({ dir }: OwnFiles): Target[] {
  const [base, incremental] = journalFiles(dir).map((path) => join('appendonlydir', basename(path)));
  return [
    { name: 'incremental file', path: incremental as string, isAof: true },
    { name: 'base', path: base as string, isAof: true },
    { name: 'RDB file', path: 'dump.rdb', isAof: false },
    { name: 'manifest', path: join('appendonlydir', 'appendonly.aof.manifest'), isAof: true, hasAllBits: true },
  ];
}

/** Runs the proof; `rounds` bytes of each file at most. */
export async function proveBitFlip(options: DamageOptions & { isBlind?: boolean }): Promise<ProofResult> {
  const { seed, rounds, layouts, isBlind = false } = options;
  const violations = new Violations();
  const prng = new Prng(seed);
  const folder = new ProofFolder(true);
  const restarter = await Restarter.make();
  const copy = folder.path('target');
  mkdirSync(copy);
  const figures: Record<string, number> = { flips: 0, refused: 0, same: 0 };
  try {
    const files = await makeOwnFiles(folder, layouts[0] as string, deriveSeed(seed, 1), BATCHES);
    for (const { name, path, isAof, hasAllBits = false } of targetsOf(files)) {
      const settings = { appendonly: isAof ? 'yes' : 'no', appendfsync: 'no', rdbchecksum: isBlind ? 'no' : 'yes' };
      await restarter.start(copyFiles(files, copy), settings);
      const expected = await fingerprintOf(restarter.native.client);
      const size = sizeOf(join(files.dir, path));
      const bits = choosePlaces(hasAllBits ? size * 8 : size, rounds, prng);
      for (const place of bits) {
        const [at, bit] = hasAllBits ? [place >> 3, place & 7] : [place, prng.below(8)];
        flipBit(join(copyFiles(files, copy), path), at, bit);
        const outcome = await restarter.start(copy, settings);
        figures['flips']!++;
        const what = `bit ${bit} of byte ${at} of the ${name}`;
        if (!outcome.isServing) {
          figures['refused']!++;
          if (outcome.log.length === 0) violations.add(`${what}: refused without a reason`);
          continue;
        }
        figures['same']!++;
        if ((await fingerprintOf(restarter.native.client)) !== expected) violations.add(`${what}: another dataset, silently`);
      }
    }
    return violations.result('bit-flip', seed, figures);
  } finally {
    await restarter.end();
    folder.remove();
  }
}
