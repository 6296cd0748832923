/**
 * `daemonize yes`: the process starts itself again, detached, and ends.
 *
 * Node cannot fork, so the child reads the configuration once more; the parent has read it first, so that errors are
 * still seen on the terminal. Standard input, once read, is handed on through a pipe. Main thread, at start.
 */
import { spawn } from 'node:child_process';

const MARK = 'SHERD_DAEMON_CHILD';

/** Whether this process is the one that stays. */
export function isDaemonChild(): boolean {
  return process.env[MARK] === '1';
}

/** Starts the child and ends this process with 0. Resolves never, as far as the caller can tell. */
export function becomeDaemon(argv: readonly string[], stdin: string | undefined): Promise<void> {
  const program = process.argv[1] as string;
  const child = spawn(process.execPath, [...process.execArgv, program, ...argv], {
    cwd: startDirectory,
    detached: true,
    stdio: [stdin === undefined ? 'ignore' : 'pipe', 'ignore', 'ignore'],
    env: { ...process.env, [MARK]: '1' },
  });
  return new Promise((_resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => {
      if (child.stdin) child.stdin.end(Buffer.from(stdin ?? '', 'latin1'), () => process.exit(0));
      else process.exit(0);
    });
  });
}

/** Relative paths on the command line mean this directory, which `dir` has left by then. */
const startDirectory = process.cwd();
