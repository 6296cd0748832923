#!/usr/bin/env node
/**
 * `npm test`: the whole gate. Sets up everything, runs every part, and ends in one line:
 *
 *   N passed, N failed
 *
 * A part is a name and steps to run, a build first if it needs one. PARTS has a row for each; parts of one thread
 * each may share a row, and run side by side. What counts as one test is the part's own affair: a part whose output
 * holds "N passed, N failed" (native programs) or vitest's JSON report is counted by that, any other is one test, by
 * its exit code. All parts run even when one fails, so one run tells everything.
 *
 *   node scripts/gate.mjs [--only part,part] [--list]
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { orExplain, setUp } from './setup.mjs';
import { buildNative, programPath, targetExists, withoutRandomLayout } from './setup/native.mjs';
import { root } from './setup/shell.mjs';

const node = process.execPath;
const bin = (...path) => join(root, 'node_modules', ...path);

/** A part that runs a native program of some variant, building it first. */
function program(name, variant, target, args) {
  return {
    name,
    exists: () => targetExists(target),
    build: () => buildNative(variant, [target]),
    run: (write) => {
      const path = programPath(variant, target);
      const [file, words] = variant === 'tsan' ? withoutRandomLayout(path, args) : [path, args];
      return execute(file, words, write);
    },
  };
}

/** The same part, which passes when the program fails: a check that cannot fail checks nothing. */
export function mustFail(part) {
  const run = async (write) => {
    const { code } = await part.run(write);
    return { code: code === 0 ? 1 : 0, output: '' };
  };
  return { ...part, run };
}

/** A part that runs a command, if the file it is about exists. */
function command(name, file, args, about) {
  return { name, exists: () => existsSync(join(root, about)), run: (write) => execute(file, args, write) };
}

const PARTS = [
  command('generated files are fresh', node, ['scripts/gen.mjs', '--check'], 'scripts/gen.mjs'),
  command('types of tests and benchmarks', node, [bin('typescript', 'bin', 'tsc'), '-p', 'test/tsconfig.json'], 'test'),
  program('native tests', 'release', 'sherd_native_tests', []),
  [
    program('native tests, ASan and UBSan', 'asan', 'sherd_native_tests', []),
    program('fuzz, ASan and UBSan', 'asan', 'sherd_fuzz', []),
  ],
  mustFail(program('fuzz notices its canary', 'asan', 'sherd_fuzz', ['canary'])),
  program('threads, TSan', 'tsan', 'sherd_stress', ['--seconds=2']),
  command('model of leases and queues', node, ['scripts/model.mjs', '--quick'], 'scripts/model.mjs'),
  { name: 'vitest', exists: () => existsSync(join(root, 'vitest.config.ts')), run: runVitest },
  command('micro-benchmarks run', node, ['build/tools/bench/micro.js', '--smoke'], 'bench/micro.ts'),
  command('benchmark runs', node, ['build/tools/bench/compare.js', '--smoke'], 'bench/compare.ts'),
  command('benchmark between clients runs', node, ['build/tools/bench/clients.js', '--smoke'], 'bench/clients.ts'),
];

/** Runs a program with its output passed to `write`; gives back exit code and output. */
function execute(file, args, write) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const pass = (chunk) => {
      output += chunk;
      write(chunk);
    };
    child.stdout.setEncoding('utf8').on('data', pass);
    child.stderr.setEncoding('utf8').on('data', pass);
    child.once('error', (error) => resolve({ code: 1, output: `${output}${error.message}` }));
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

async function runVitest(write) {
  const folder = mkdtempSync(join(tmpdir(), 'sherd-gate-'));
  const report = join(folder, 'vitest.json');
  try {
    const words = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const result = await execute(node, [bin('vitest', 'vitest.mjs'), ...words], write);
    if (!existsSync(report)) return result;
    return { ...result, counts: countVitest(JSON.parse(readFileSync(report, 'utf8'))) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Counts of vitest's JSON report. A file that failed to load holds no tests and is one failure itself. */
export function countVitest(report) {
  const broken = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
  return { passed: report.numPassedTests, failed: report.numFailedTests + broken.length };
}

/**
 * What a part's result counts for: the last "N passed, N failed" of its output, else one test. A part that ends
 * badly after counting no failure (a crash, a leak report at exit) has failed once all the same.
 */
export function countResult({ code, output, counts }) {
  const lines = [...output.matchAll(/(\d+) passed, (\d+) failed/g)];
  const last = lines.at(-1);
  const counted = counts ?? (last === undefined ? undefined : { passed: Number(last[1]), failed: Number(last[2]) });
  if (counted === undefined) return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  if (code !== 0 && counted.failed === 0) return { passed: counted.passed, failed: 1 };
  return counted;
}

const toTerminal = (text) => process.stdout.write(text);

/** One step of a part: result and seconds. What it throws is a failure; other parts still have something to tell. */
async function timed(step, write) {
  const startedAt = performance.now();
  let result;
  try {
    result = await step();
  } catch (error) {
    write(`${error.stack ?? error}\n`);
    result = { code: 1, output: '' };
  }
  return { result, seconds: (performance.now() - startedAt) / 1000 };
}

/** Builds the parts of a row one after the other, and runs them at the same time; what they print stays together. */
export async function runRow(parts, print = toTerminal) {
  const built = [];
  for (const part of parts) {
    print(`\n==== ${part.name}\n`);
    built.push(part.build === undefined ? { seconds: 0 } : await timed(part.build, print));
  }
  const held = parts.map(() => []);
  const runs = parts.map(async (part, index) => {
    const { result: failure, seconds: buildSeconds } = built[index];
    const write = index === 0 ? print : (text) => held[index].push(text);
    const run = () => failure ?? part.run(write);
    const { result, seconds } = await timed(run, write);
    return { ...countResult(result), name: part.name, seconds: buildSeconds + seconds };
  });
  const rows = await Promise.all(runs);
  for (const texts of held) for (const text of texts) print(text);
  return rows;
}

async function main() {
  const print = toTerminal;
  const options = { only: { type: 'string' }, list: { type: 'boolean' } };
  const { values } = parseArgs({ options });
  const only = values.only?.split(',');
  const isChosen = (part) => only === undefined || only.some((word) => part.name.includes(word));
  const chosen = PARTS.map((row) => [row].flat().filter(isChosen));
  if (values.list === true) {
    for (const part of chosen.flat()) print(`${part.name}\n`);
    return;
  }
  await orExplain(() => setUp({ forTests: true }));
  const rows = [];
  for (const parts of chosen) {
    for (const part of parts) if (!part.exists()) print(`\n==== ${part.name}: nothing to run\n`);
    rows.push(...(await runRow(parts.filter((part) => part.exists()))));
  }
  print('\n');
  for (const row of rows) {
    const counts = `${String(row.passed).padStart(6)} passed ${String(row.failed).padStart(4)} failed`;
    print(`${counts} ${row.seconds.toFixed(1).padStart(7)} s  ${row.name}\n`);
  }
  const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
  print(`${sum('passed')} passed, ${sum('failed')} failed\n`);
  process.exitCode = sum('failed') === 0 && sum('passed') > 0 ? 0 : 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
