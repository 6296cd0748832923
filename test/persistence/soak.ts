/**
 * The long forms of the proofs of persistence: `npm run soak:persistence -- --only kill --seed 7 --rounds 20`.
 *
 * Options:
 *   --only a,b      proofs by name or by how it begins (default: all; see proofs/suite.ts)
 *   --seed N        seed of all proofs (default: random, printed)
 *   --short         the sizes of the short forms
 *   --rounds N      the rounds of every chosen proof, whatever a round is to it
 *   --layouts a,b   default, SHARDSxWORKERS, or that with an o for execution on the owner; rounds take turns
 *
 * Exit status 0 when no proof is violated, 1 otherwise; the last line is the summary.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { describeResult } from '../proofs/proof.js';
import { chosenProofs, countOption, print } from '../support/soak-options.js';
import { LONG, PROOFS, SHORT, type PersistenceProof, type ProofRun, type Sizes } from './proofs/suite.js';

const LAYOUTS_DEFAULT = 'default,8x2,8x2o';

const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: { only: text, seed: text, short: { type: 'boolean', default: false }, rounds: text, layouts: text },
});

function chosenSizes(): Sizes {
  const sizes = { ...(values.short ? SHORT : LONG) };
  if (values.rounds === undefined) return sizes;
  const rounds = countOption('rounds', values.rounds, 1);
  const entries = Object.entries(sizes) as [string, number][];
  return Object.fromEntries(entries.map(([name, size]) => [name, name.endsWith('Ms') ? size : rounds])) as unknown as Sizes;
}

async function runProof(proof: PersistenceProof, run: ProofRun): Promise<boolean> {
  const startedAtMs = performance.now();
  try {
    const result = await proof.run(run);
    print(`${describeResult(result)} (${Math.round((performance.now() - startedAtMs) / 1000)} s)`);
    return result.violationCount === 0;
  } catch (error) {
    print(`${proof.name}: broke off, seed ${run.seed}: ${error instanceof Error ? String(error.stack) : String(error)}`);
    return false;
  }
}

async function main(): Promise<number> {
  const seed = values.seed === undefined ? randomInt(2 ** 31) : countOption('seed', values.seed, 1);
  const layouts = (values.layouts ?? LAYOUTS_DEFAULT).split(',');
  const proofs = chosenProofs(values.only, PROOFS);
  print(`persistence: seed ${seed}, ${proofs.map((proof) => proof.name).join(', ')} on ${layouts.join(', ')}`);
  const violated: string[] = [];
  for (const proof of proofs) {
    if (!(await runProof(proof, { seed, layouts, sizes: chosenSizes(), isShort: values.short }))) violated.push(proof.name);
  }
  print(`persistence: ${violated.length === 0 ? 'all hold' : `VIOLATED: ${violated.join(', ')}`}; seed ${seed}`);
  return violated.length === 0 ? 0 : 1;
}

process.exitCode = await main();
