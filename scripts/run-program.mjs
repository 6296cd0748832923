#!/usr/bin/env node
/**
 * Builds a program of the native half if need be, and runs it: node scripts/run-program.mjs <variant> <target>
 * [argument …]. Exit code and output are the program's.
 */
import { spawn } from 'node:child_process';
import { orExplain } from './setup.mjs';
import { buildNative, programPath, targetExists, VARIANTS, withoutRandomLayout } from './setup/native.mjs';
import { root, SetupError } from './setup/shell.mjs';

const [variant = '', target = '', ...args] = process.argv.slice(2);
await orExplain(async () => {
  const variants = [...VARIANTS.keys()].join('|');
  if (!VARIANTS.has(variant)) throw new SetupError(`usage: run-program.mjs <${variants}> <target>`);
  if (!targetExists(target)) throw new SetupError(`${target} has no sources in this tree`);
  await buildNative(variant, [target]);
});
const path = programPath(variant, target);
const [file, words] = variant === 'tsan' ? withoutRandomLayout(path, args) : [path, args];
const child = spawn(file, words, { cwd: root, stdio: 'inherit' });
child.once('close', (code, signal) => {
  if (signal !== null) process.stderr.write(`${target} was ended by ${signal}\n`);
  process.exitCode = code ?? 1;
});
