#!/usr/bin/env node
/**
 * Everything a fresh clone needs, in order, saying what it does; what is done is skipped.
 *
 *   node scripts/setup.mjs          what `npm start` needs
 *   node scripts/setup.mjs --test   what `npm test` needs as well
 *
 * It imports no package, since it runs before there are any. The parts live in scripts/setup/. Exit code 1
 * with one clear message when something needs the user, for example packages without the right to install.
 */
import { pathToFileURL } from 'node:url';
import { buildTools, buildTypeScript, installNodePackages } from './setup/javascript.mjs';
import { buildNative } from './setup/native.mjs';
import { setUpOracle } from './setup/oracle.mjs';
import { SetupError } from './setup/shell.mjs';
import { installSystemPackages } from './setup/system-packages.mjs';

const NODE_MAJOR_MIN = 20;

/** What only the tests need, by variant. The sanitizers' programs are built by the gate's own parts. */
const TEST_TARGETS = ['sherd_native_tests', 'sherd_micro', 'sherd_fuzz', 'sherd_stress', 'sherd_scale', 'sherd_load'];

/** Sets everything up. Throws SetupError when the user has to act. */
export async function setUp({ forTests = false } = {}) {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < NODE_MAJOR_MIN) throw new SetupError(`node ${process.version} is too old: version 20 or newer is needed`);
  await installSystemPackages({ forTests });
  await installNodePackages();
  await buildNative('release', ['sherd']);
  await buildTypeScript();
  if (!forTests) return;
  await setUpOracle();
  await buildNative('release', TEST_TARGETS);
  await buildTools();
}

/** Runs `work` and turns a SetupError into its message and exit code 1. */
export async function orExplain(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`[set-up] ${error.message}\n`);
    process.exit(1);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await orExplain(() => setUp({ forTests: process.argv.includes('--test') }));
}
