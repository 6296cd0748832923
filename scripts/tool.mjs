#!/usr/bin/env node
/**
 * Runs a compiled TypeScript tool after setting up what it needs: node scripts/tool.mjs <path> [option …], with
 * the path of its source without ending, such as bench/compare or test/differential/soak. What the tool is and
 * which options it takes stands in its own header.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { orExplain, setUp } from './setup.mjs';
import { root, SetupError } from './setup/shell.mjs';

const [name = '', ...args] = process.argv.slice(2);
const program = join(root, 'build', 'tools', `${name}.js`);
await orExplain(async () => {
  await setUp({ forTests: true });
  if (name === '' || !existsSync(program)) throw new SetupError(`there is no tool "${name}" in this tree`);
});
process.argv = [process.argv[0], program, ...args];
await import(pathToFileURL(program).href);
