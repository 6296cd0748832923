#!/usr/bin/env node
/**
 * Runs one of the benchmarks in bench/ after setting up what it needs: node scripts/bench.mjs <name> [option …].
 * What a benchmark is and which options it takes stands in its own header.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { orExplain, setUp } from './setup.mjs';
import { root, SetupError } from './setup/shell.mjs';

const [name = '', ...args] = process.argv.slice(2);
const program = join(root, 'build', 'tools', 'bench', `${name}.js`);
await orExplain(async () => {
  await setUp({ forTests: true });
  if (name === '' || !existsSync(program)) throw new SetupError(`there is no benchmark "${name}" in bench/`);
});
process.argv = [process.argv[0], program, ...args];
await import(pathToFileURL(program).href);
