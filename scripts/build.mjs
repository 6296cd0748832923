#!/usr/bin/env node
/**
 * Builds one thing by name, for the npm scripts; skips what is up to date.
 *
 *   node scripts/build.mjs addon | typescript | tools | all
 *   node scripts/build.mjs <release|debug|asan|tsan> [target …]     programs of the native half
 */
import { orExplain } from './setup.mjs';
import { buildTools, buildTypeScript } from './setup/javascript.mjs';
import { buildNative, VARIANTS } from './setup/native.mjs';
import { SetupError } from './setup/shell.mjs';

const PROGRAMS = ['sherd_native_tests', 'sherd_micro', 'sherd_fuzz', 'sherd_stress', 'sherd_scale', 'sherd_load'];

const WORK = new Map([
  ['addon', () => buildNative('release', ['sherd'])],
  ['typescript', buildTypeScript],
  ['tools', buildTools],
  [
    'all',
    async () => {
      await buildNative('release', ['sherd']);
      await buildTypeScript();
    },
  ],
]);
for (const variant of VARIANTS.keys()) {
  WORK.set(variant, (targets) => buildNative(variant, targets.length > 0 ? targets : PROGRAMS));
}

const [name = 'all', ...targets] = process.argv.slice(2);
await orExplain(async () => {
  const work = WORK.get(name);
  if (work === undefined) throw new SetupError(`usage: build.mjs <${[...WORK.keys()].join('|')}>`);
  await work(targets);
});
