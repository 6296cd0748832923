/** Servers with a journal, and what is in an AOF, for the tests of the journal. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startRedis, startSherd, type RunningServer } from '../support/oracle.js';

const PRELOAD = fileURLToPath(new URL('journal-preload.mjs', import.meta.url));

export type Policy = 'always' | 'everysec' | 'no';

/** A server of ours whose journal is `path`. */
export function startWithJournal(path: string, policy: Policy, args: string[] = [], timestamps = false): Promise<RunningServer> {
  const nodeOptions = `${process.env['NODE_OPTIONS'] ?? ''} --import ${PRELOAD}`;
  const env = {
    ...process.env,
    NODE_OPTIONS: nodeOptions,
    SHERD_TEST_JOURNAL: path,
    SHERD_TEST_APPENDFSYNC: policy,
    SHERD_TEST_TIMESTAMPS: timestamps ? 'yes' : 'no',
  };
  // The control plane sets the policy anew when it starts.
  const policyArgs = ['--appendfsync', policy, '--aof-timestamp-enabled', timestamps ? 'yes' : 'no'];
  return startSherd([...policyArgs, ...args], { env });
}

/** A fresh path for a journal; its folder goes with the test process. */
export function journalPath(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sherd-test-journal-'));
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
  return join(dir, 'journal.aof');
}

/** redis-server with its AOF on. */
export function startRedisWithAof(policy: Policy, args: string[] = []): Promise<RunningServer> {
  return startRedis(['--appendonly', 'yes', '--appendfsync', policy, '--auto-aof-rewrite-percentage', '0', ...args]);
}

/** The bytes of the incremental file of a redis-server that has made no rewrite. */
export function readRedisAof(server: RunningServer): Buffer {
  const dir = join(server.dir, 'appendonlydir');
  const name = readdirSync(dir).find((file) => file.endsWith('.incr.aof'));
  return name === undefined ? Buffer.alloc(0) : readFileSync(join(dir, name));
}

export function readJournal(path: string): Buffer {
  return existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
}

/** The commands of an AOF, each a list of Latin-1 words. Lines that begin with '#' are left out. */
export function commandsOf(bytes: Buffer): string[][] {
  const commands: string[][] = [];
  let at = 0;
  const line = (): string => {
    const end = bytes.indexOf('\r\n', at);
    if (end < 0) throw new Error(`no end of line behind ${at}`);
    const text = bytes.toString('latin1', at, end);
    at = end + 2;
    return text;
  };
  while (at < bytes.length) {
    const head = line();
    if (head.startsWith('#')) continue;
    if (!head.startsWith('*')) throw new Error(`not a command at ${at}: ${head}`);
    const words: string[] = [];
    for (let left = Number(head.slice(1)); left > 0; left--) {
      const size = Number(line().slice(1));
      words.push(bytes.toString('latin1', at, at + size));
      at += size + 2;
    }
    commands.push(words);
  }
  return commands;
}
