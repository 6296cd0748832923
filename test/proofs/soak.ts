/**
 * The long forms of the proofs: `npm run soak:proofs -- --seed 7 --only bank,watch --layouts 8x2`.
 *
 * Options:
 *   --seed N                 seed of all proofs (default: random, printed)
 *   --only a,b               proofs by name or by how it begins (default: all; see suite.ts)
 *   --layouts a,b            redis, default, SHARDSxWORKERS, or that with an o for execution on the owner
 *   --repeat N               how often, each time with another seed (default 1)
 *   --reads N --increments N --messages N --operations N --elements N --rounds N --seconds N
 *                            sizes (defaults: the issue's figures; see suite.ts)
 *   --short                  the sizes of the short forms instead
 *
 * Every proof gets a server of its own. Exit status 0 when no proof is violated, 1 otherwise; the last line is the summary.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { deriveSeed } from '../differential/prng.js';
import { startRedis } from '../support/oracle.js';
import { chosenProofs, countOption, print } from '../support/soak-options.js';
import { describeResult, sleep } from './proof.js';
import { LONG, PROOFS, SHORT, startSubject, type Proof, type Servers, type Sizes } from './suite.js';

const LAYOUTS_DEFAULT = 'redis,default,2x2,8x2,8x2o';
const SIZE_NAMES = ['reads', 'increments', 'messages', 'operations', 'elements', 'rounds', 'seconds'] as const;

/** How long a server that broke off a proof may take to be seen dead. */
const SETTLE_MS = 500;
const LOG_LINES = 12;

const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: {
    seed: text, only: text, layouts: text, repeat: text, short: { type: 'boolean', default: false },
    reads: text, increments: text, messages: text, operations: text, elements: text, rounds: text, seconds: text,
  },
});

function chosenSizes(): Sizes {
  const sizes = { ...(values.short ? SHORT : LONG) };
  for (const name of SIZE_NAMES) sizes[name] = countOption(name, values[name], sizes[name]);
  return sizes;
}

/** Runs one proof on servers of its own; answers whether it holds. A server that has ended by itself is told of. */
async function runProof(layout: string, proof: Proof, seed: number, sizes: Sizes): Promise<boolean> {
  const servers: Servers = { subject: await startSubject(layout), idle: await startRedis() };
  const { subject, idle } = servers;
  let isHeld = false;
  try {
    const result = await proof.run(servers, seed, sizes);
    print(`[${layout}] ${describeResult(result)}`);
    isHeld = result.violationCount === 0;
  } catch (error) {
    print(`[${layout}] ${proof.name}: broke off, seed ${seed}: ${error instanceof Error ? String(error.stack) : String(error)}`);
  }
  const exit = await Promise.race([subject.exited, sleep(isHeld ? 0 : SETTLE_MS)]);
  if (exit !== undefined) {
    isHeld = false;
    const tail = subject.log().trimEnd().split('\n').slice(-LOG_LINES).join('\n  ');
    print(`[${layout}] the server has ended with ${exit.signal ?? `status ${exit.code}`}\n  ${tail}`);
  }
  await Promise.all([subject.stop(), idle.stop()]);
  return isHeld;
}

async function main(): Promise<number> {
  const seed = values.seed === undefined ? randomInt(2 ** 31) : countOption('seed', values.seed, 1);
  const sizes = chosenSizes();
  const proofs = chosenProofs(values.only, PROOFS);
  const layouts = (values.layouts ?? LAYOUTS_DEFAULT).split(',');
  const repeat = countOption('repeat', values.repeat, 1);
  print(`proofs: seed ${seed}, ${proofs.map((proof) => proof.name).join(', ')} on ${layouts.join(', ')}`);
  const violated: string[] = [];
  for (let turn = 0; turn < repeat; turn++) {
    // The first turn takes the seed as told, so that a seed from a violation's line repeats it.
    const turnSeed = turn === 0 ? seed : deriveSeed(seed, turn);
    for (const layout of layouts) {
      for (const proof of proofs) {
        if (!(await runProof(layout, proof, turnSeed, sizes))) violated.push(`${proof.name} on ${layout}`);
      }
    }
  }
  print(`proofs: ${violated.length === 0 ? 'all hold' : `VIOLATED: ${violated.join(', ')}`}; seed ${seed}`);
  return violated.length === 0 ? 0 : 1;
}

process.exitCode = await main();
