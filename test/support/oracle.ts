/**
 * Starts and stops servers for tests and benchmarks: the oracle (a real redis-server) and ours, alike.
 *
 * Each server gets a free loopback port that the OS gives, a fresh folder as its `dir`, and no saving; it
 * counts as started once it has logged "Ready to accept connections". Between asking the OS for a port and
 * the server's bind another process may take the port; then the start is tried again with another one.
 *
 * Invariants:
 * 1. Only processes started here are ever signalled, and by their pid.
 * 2. No server outlives the test process: what is still running when it exits is killed.
 * 3. A start that fails throws with the server's whole log in the message.
 *
 * @example
 * const redis = await startRedis(['--maxmemory', '10mb']);
 * // … connect to 127.0.0.1:redis.port …
 * await redis.stop();
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { oracleProgram, sherdProgram, type Command } from './project.js';

/** How a server ended: exit code, or the signal that ended it. */
export interface ServerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A running server. */
export interface RunningServer {
  /** What it is, for messages. */
  readonly name: 'redis' | 'sherd';
  /** Loopback port it listens on. */
  readonly port: number;
  readonly pid: number;
  /** Its working folder; removed by `stop`. */
  readonly dir: string;
  /** Settles when the process has ended, however that came about. */
  readonly exited: Promise<ServerExit>;
  /** Milliseconds from exec to the ready line. */
  readonly readyAfterMs: number;
  /** Everything it has written to stdout and stderr so far. */
  log(): string;
  /** SIGTERM, SIGKILL after 5 s, wait, remove the folder. May be called twice. */
  stop(): Promise<ServerExit>;
}

/** What a start may change. */
export interface StartOptions {
  /** Leave out the test defaults (`--save "" --enable-debug-command yes`); port, bind and dir are always given. */
  plain?: boolean;
  /** Environment variables on top of those of this process. */
  env?: NodeJS.ProcessEnv;
  /** Port to take instead of one from the OS (no second try then). */
  port?: number;
  /** A configuration file: the first argument. */
  configFile?: string;
  /** How long to wait for the ready line. */
  timeoutMs?: number;
}

const READY_LINE = 'Ready to accept connections';
const PORT_TAKEN = /Address already in use|Failed listening on port/;
const START_TRIES_MAX = 5;
const READY_TIMEOUT_MS = 15_000;
const KILL_AFTER_MS = 5_000;

const running = new Set<ChildProcess>();

// Invariant 2. An exit handler can only act synchronously, and a kill is.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Asks the OS for a loopback port that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

/** Starts a real redis-server; `args` follow the test defaults and so override them. */
export function startRedis(args: string[] = [], options: StartOptions = {}): Promise<RunningServer> {
  return start('redis', oracleProgram('redis-server'), args, options);
}

/** Starts our server; `args` follow the test defaults and so override them. */
export function startSherd(args: string[] = [], options: StartOptions = {}): Promise<RunningServer> {
  return start('sherd', sherdProgram(), args, options);
}

async function start(
  name: RunningServer['name'],
  command: Command,
  args: string[],
  options: StartOptions,
): Promise<RunningServer> {
  const tries = options.port === undefined ? START_TRIES_MAX : 1;
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    try {
      return await startOnce(name, command, args, options, port);
    } catch (error) {
      const taken = error instanceof Error && PORT_TAKEN.test(error.message);
      if (!taken || attempt >= tries) throw error;
    }
  }
}

async function startOnce(
  name: RunningServer['name'],
  command: Command,
  args: string[],
  options: StartOptions,
  port: number,
): Promise<RunningServer> {
  const dir = mkdtempSync(join(tmpdir(), `sherd-test-${name}-`));
  const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir];
  const defaults = options.plain === true ? [] : ['--save', '', '--enable-debug-command', 'yes'];
  const config = options.configFile === undefined ? [] : [options.configFile];
  const startedAt = performance.now();
  const child = spawn(command.file, [...command.args, ...config, ...fixed, ...defaults, ...args], {
    cwd: dir,
    env: { ...command.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let output = '';
  const exited = new Promise<ServerExit>((resolve) => {
    const ended = (code: number | null, signal: NodeJS.Signals | null): void => {
      running.delete(child);
      resolve({ code, signal });
    };
    child.once('close', ended);
    child.once('error', (error) => {
      output += `${error.message}\n`;
      ended(null, null);
    });
  });
  const stop = async (): Promise<ServerExit> => {
    const killer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
    if (running.has(child)) child.kill('SIGTERM');
    const exit = await exited;
    clearTimeout(killer);
    rmSync(dir, { recursive: true, force: true });
    return exit;
  };

  const ready = new Promise<boolean>((resolve) => {
    const collect = (chunk: string): void => {
      output += chunk;
      if (output.includes(READY_LINE)) resolve(true);
    };
    child.stdout.setEncoding('utf8').on('data', collect);
    child.stderr.setEncoding('utf8').on('data', collect);
  });
  const timeoutMs = options.timeoutMs ?? READY_TIMEOUT_MS;
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`was not ready after ${timeoutMs} ms`), timeoutMs);
  });
  const outcome = await Promise.race([ready, timeout, exited.then((exit) => `ended: ${JSON.stringify(exit)}`)]);
  clearTimeout(timer);
  if (outcome !== true || child.pid === undefined) {
    await stop();
    throw new Error(`${name} on port ${port} ${String(outcome)}\n${command.file}\n${output}`);
  }
  const readyAfterMs = performance.now() - startedAt;
  return { name, port, pid: child.pid, dir, exited, readyAfterMs, log: () => output, stop };
}
