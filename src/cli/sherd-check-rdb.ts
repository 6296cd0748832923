#!/usr/bin/env node
/**
 * sherd-check-rdb: redis-check-rdb's command line, lines and exit codes (0 sound, 1 not), on all cores.
 *
 *   sherd-check-rdb [--threads n] <rdb-file-name>
 *
 * Values and checksum of larger files are checked on a pool; on a terminal a bar shows how far it is. There is no
 * `--fix`: a broken RDB file cannot be mended without guessing.
 */
import { availableParallelism } from 'node:os';
import { LocalPool, ThreadPool } from '../persistence/check/check-pool.js';
import { checkRdb } from '../persistence/check/rdb-check.js';
import { FileSource } from '../persistence/format/byte-source.js';
import { utf8ToByteString } from '../util/bytes.js';
import { Output } from './output.js';
import { ProgressBar } from './progress-bar.js';
import { SHERD_VERSION } from './texts.js';

const STDOUT = 1;
/** Below this size a pool costs more than it brings. */
const POOL_FILE_BYTES_MIN = 16 * 1024 * 1024;
const THREADS_MAX = 64;
const USAGE = 'Usage: sherd-check-rdb [--threads n] <rdb-file-name>\n';

interface CommandLine {
  path: string;
  /** What the user wants; undefined: what is good for the file. */
  threads: number | undefined;
}

function parse(words: readonly string[]): CommandLine | undefined {
  if (words.length === 1) return { path: words[0] as string, threads: undefined };
  const threads = Number(words[1]);
  const isSound = words.length === 3 && words[0] === '--threads' && Number.isInteger(threads) && threads >= 1;
  return isSound ? { path: words[2] as string, threads: Math.min(threads, THREADS_MAX) } : undefined;
}

async function check({ path, threads }: CommandLine, output: Output): Promise<boolean> {
  output.text(`[offset 0] Checking RDB file ${utf8ToByteString(path)}\n`, 'latin1');
  const source = new FileSource(path);
  const bar = new ProgressBar('Checking');
  const isLarge = source.size >= POOL_FILE_BYTES_MIN;
  const count = threads ?? (isLarge ? Math.min(availableParallelism(), THREADS_MAX) : 1);
  const pool = count > 1 || (threads !== undefined && isLarge) ? new ThreadPool(path, count) : new LocalPool(source);
  const newline = Buffer.from('\n');
  const print = {
    line: (bytes: Buffer): void => {
      bar.clear();
      output.bytes(bytes);
      output.bytes(newline);
      output.flush();
    },
    progress: (share: number): void => bar.show(share),
  };
  try {
    return await checkRdb({ source, pool, output: print, nowMs: BigInt(Date.now()) });
  } finally {
    bar.clear();
    await pool.close();
    source.close();
  }
}

async function main(words: readonly string[]): Promise<number> {
  if (words.length === 1 && (words[0] === '-v' || words[0] === '--version')) {
    process.stdout.write(`sherd-check-rdb ${SHERD_VERSION}\n`);
    return 0;
  }
  const line = parse(words);
  if (line === undefined) {
    process.stderr.write(USAGE);
    return 1;
  }
  const output = new Output(STDOUT);
  try {
    return (await check(line, output)) ? 0 : 1;
  } catch (error) {
    const { syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    // The file cannot be opened or read.
    output.flush();
    process.stderr.write(`${(error as Error).message}\n`);
    return 1;
  } finally {
    output.flush();
  }
}

process.exitCode = await main(process.argv.slice(2));
