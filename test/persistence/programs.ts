/**
 * Runs the file tools: ours from dist, and the oracle's beside it.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { oracleProgram, projectRoot, type Command } from '../support/project.js';

export interface ProgramResult {
  code: number;
  /** Bytes as Latin-1. */
  stdout: string;
  stderr: string;
}

const TIMEOUT_MS = 60_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** Runs a program to its end. Throws when it was ended by a signal, its time being up included. */
export function run(command: Command, args: readonly string[], cwd?: string): Promise<ProgramResult> {
  const options = {
    env: command.env,
    cwd,
    encoding: 'latin1',
    timeout: TIMEOUT_MS,
    maxBuffer: OUTPUT_BYTES_MAX,
  } as const;
  return new Promise((resolve, reject) => {
    execFile(command.file, [...command.args, ...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      if (typeof code !== 'number') reject(error ?? new Error('no exit code'));
      else resolve({ code, stdout, stderr });
    });
  });
}

/** One of our programs in dist/cli. Throws when it has not been built. */
export function ourTool(name: string): Command {
  const file = join(projectRoot, 'dist', 'cli', `${name}.js`);
  if (!existsSync(file)) throw new Error(`${file} is missing: run npm run build:ts`);
  return { file: process.execPath, args: [file], env: process.env };
}

export const redisCheckRdb = (): Command => oracleProgram('redis-check-rdb');

/** Calls `work` for every item, a few at a time. */
export async function forEachOf<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: 3 }, worker));
}
