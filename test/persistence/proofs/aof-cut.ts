/**
 * RELIABILITY 3: our AOF cut at every byte. Each cut is started on, holds exactly the commands in front of it (a transaction
 * as a whole or not at all), takes writes, and a second start has both.
 *
 * What must be there after each step of the file is learnt by running its commands, one step after the other, on an empty
 * dataset. Starts are those of restarter.ts; a sample is started by server processes. `isShifted` expects one step
 * too many, which must be found at once.
 */
import { mkdirSync } from 'node:fs';
import { Prng, deriveSeed } from '../../differential/prng.js';
import { Violations, type ProofResult } from '../../proofs/proof.js';
import { RespClient } from '../../support/resp-client.js';
import { ProofFolder } from './folder.js';
import { startIn } from './kill.js';
import { copyFiles, cutIncremental, fingerprintOf, makeOwnFiles, sizeOf, unitsOf, type OwnFiles, type Unit } from './own-files.js';
import { Restarter } from './restarter.js';

export interface DamageOptions {
  seed: number;
  /** How many places are tried at most. */
  rounds: number;
  layouts: readonly string[];
  isShifted?: boolean;
}

const BATCHES = 40;
const SERVER_EVERY = 400;
const AOF_ON = { appendonly: 'yes', appendfsync: 'no' };

/** All places of a file, or as many of them at random. */
export function choosePlaces(size: number, most: number, prng: Prng): number[] {
  if (most >= size) return Array.from({ length: size }, (_, at) => at);
  return Array.from({ length: most }, () => prng.below(size)).sort((a, b) => a - b);
}

/** Fingerprints of the dataset behind the base alone, and behind each step. */
async function expectedStates(restarter: Restarter, files: OwnFiles, units: readonly Unit[], target: string): Promise<string[]> {
  copyFiles(files, target);
  cutIncremental(files, target, 0);
  await restarter.start(target, AOF_ON);
  const { client } = restarter.native;
  const states = [await fingerprintOf(client)];
  let database = '0';
  for (const { commands } of units) {
    await client.pipeline([['SELECT', database], ...commands]);
    for (const [name, db] of commands) if (name?.toString() === 'SELECT') database = String(db);
    states.push(await fingerprintOf(client));
  }
  return states;
}

/** One cut: a start, a write, and another start. */
async function tryCut(restarter: Restarter, target: string, expected: string, at: number): Promise<string | undefined> {
  const { client } = restarter.native;
  const outcome = await restarter.start(target, AOF_ON);
  if (!outcome.isServing) return `refused: ${outcome.log.slice(-3).join(' / ')}`;
  if ((await fingerprintOf(client)) !== expected) return 'another dataset than that of the commands in front of it';
  await client.pipeline([['MULTI'], ['RPUSH', 'written', at], ['SET', 'behind', at], ['EXEC']]);
  const both = await fingerprintOf(client);
  const next = await restarter.start(target, AOF_ON);
  if (!next.isServing) return `refused at the second start: ${next.log.slice(-3).join(' / ')}`;
  return (await fingerprintOf(client)) === both ? undefined : 'the second start has not what the first one had and was written';
}

async function tryServer(target: string, layout: string, expected: string): Promise<string | undefined> {
  try {
    const server = await startIn(target, layout, []);
    const client = await RespClient.connect({ port: server.port });
    const found = await fingerprintOf(client);
    client.close();
    await server.stop();
    return found === expected ? undefined : 'a server has another dataset';
  } catch (error) {
    return `a server did not start: ${String(error)}`;
  }
}

/** Runs the proof. */
export async function proveAofCut({ seed, rounds, layouts, isShifted = false }: DamageOptions): Promise<ProofResult> {
  const violations = new Violations();
  const prng = new Prng(seed);
  const folder = new ProofFolder(true);
  const restarter = await Restarter.make();
  const target = folder.path('target');
  let servers = 0;
  mkdirSync(target);
  try {
    const layout = layouts[0] as string;
    const files = await makeOwnFiles(folder, layout, deriveSeed(seed, 1), BATCHES);
    const units = unitsOf(files.incremental);
    const states = await expectedStates(restarter, files, units, target);
    const size = sizeOf(files.incremental);
    const places = choosePlaces(size + 1, rounds, prng);
    for (const [index, at] of places.entries()) {
      const whole = units.filter(({ end }) => end <= at).length;
      const expected = states[isShifted ? Math.min(whole + 1, states.length - 1) : whole] as string;
      copyFiles(files, target);
      cutIncremental(files, target, at);
      if (index % SERVER_EVERY === 0) {
        servers++;
        const fault = await tryServer(target, layouts[servers % layouts.length] as string, expected);
        if (fault !== undefined) violations.add(`cut at ${at} of ${size}: ${fault}`);
        copyFiles(files, target);
        cutIncremental(files, target, at);
      }
      const fault = await tryCut(restarter, target, expected, at);
      if (fault !== undefined) violations.add(`cut at ${at} of ${size}: ${fault}`);
    }
    return violations.result('aof-cut', seed, { cuts: places.length, bytes: size, steps: units.length, servers });
  } finally {
    await restarter.end();
    folder.remove();
  }
}
