/**
 * The lines of a check in this process, and what makes lines of redis-check-rdb comparable with ours.
 */
import { LocalPool } from '../../src/persistence/check/check-pool.js';
import { checkRdb } from '../../src/persistence/check/rdb-check.js';
import { MemorySource } from '../../src/persistence/format/byte-source.js';

/** Checks bytes; the lines behind the first ("Checking RDB file"). */
export async function checkLines(file: Buffer): Promise<{ isSound: boolean; lines: string[] }> {
  const source = new MemorySource(file);
  const lines: string[] = [];
  const output = { line: (bytes: Buffer) => lines.push(bytes.toString('latin1')), progress: () => undefined };
  const isSound = await checkRdb({ source, pool: new LocalPool(source), output, nowMs: BigInt(Date.now()) });
  return { isSound, lines };
}

/**
 * Redis's loader names the line of its source where it gave up, always at "offset 0", and logs that it ends. We name
 * the offset. What is wrong is said in the same words. And Redis 7.0 has no name yet for streams of version 10.
 */
export function comparable(stdout: string): string[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '' && !line.endsWith('# Terminating server after rdb file reading failure.'))
    .map((line) =>
      line.replace(/Internal error in RDB reading offset [0-9]+(, function at \S+)? -> /, 'Internal error: '),
    )
    .map((line) => line.replace('Reading type 19 (unknown)', 'Reading type 19 (stream-v2)'));
}
