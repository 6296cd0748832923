/**
 * Runs a server program with a command line of the test's own, to its end or until it says something.
 *
 * startRedis/startSherd always give port, bind and dir; these tests are about what the program makes of its command
 * line, so nothing is added here but a private working folder. Every process is killed when its test ends.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { ServerExit } from '../support/oracle.js';
import { oracleProgram, sherdProgram } from '../support/project.js';

export type ProgramName = 'redis' | 'sherd';

export interface Program {
  pid: number;
  /** stdout and stderr together, in the order they came. */
  output: () => string;
  exited: Promise<ServerExit>;
  kill: (signal: NodeJS.Signals) => void;
  /** Waits until the output matches; throws with the output when the program ends first, or after 10 s. */
  waitFor: (pattern: RegExp) => Promise<void>;
}

const WAIT_MS = 15_000;

const children = new Set<ChildProcess>();
const folders = new Set<string>();

afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  folders.clear();
});

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sherd-lifecycle-'));
  folders.add(folder);
  return folder;
}

/** Starts the program; `input` goes to its standard input. */
export function launch(name: ProgramName, args: string[], options: { cwd: string; input?: string }): Program {
  const command = name === 'redis' ? oracleProgram('redis-server') : sherdProgram();
  const child = spawn(command.file, [...command.args, ...args], {
    cwd: options.cwd,
    env: command.env,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  children.add(child);
  let output = '';
  const listeners = new Set<() => void>();
  const tell = (): void => listeners.forEach((listener) => listener());
  const collect = (chunk: Buffer): void => {
    output += chunk.toString('latin1');
    tell();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  let ended: ServerExit | undefined;
  const exited = new Promise<ServerExit>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      ended = { code, signal };
      children.delete(child);
      resolve(ended);
      tell();
    });
  });
  const waitFor = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const finish = (error?: Error): void => {
        listeners.delete(look);
        clearTimeout(timer);
        if (error) reject(error);
        else resolve();
      };
      const look = (): void => {
        if (pattern.test(output)) finish();
        else if (ended) finish(new Error(`ended (${JSON.stringify(ended)}) before ${pattern}:\n${output}`));
      };
      const timer = setTimeout(() => finish(new Error(`no ${pattern} after ${WAIT_MS} ms:\n${output}`)), WAIT_MS);
      listeners.add(look);
      look();
    });
  return { pid: child.pid ?? 0, output: () => output, exited, kill: (signal) => void child.kill(signal), waitFor };
}

/** Runs the program to its end. */
export async function runToEnd(
  name: ProgramName,
  args: string[],
  options: { cwd: string; input?: string },
): Promise<ServerExit & { output: string }> {
  const program = launch(name, args, options);
  const timer = setTimeout(() => program.kill('SIGKILL'), WAIT_MS);
  const exit = await program.exited;
  clearTimeout(timer);
  return { ...exit, output: program.output() };
}

export const READY = /Ready to accept connections/;
