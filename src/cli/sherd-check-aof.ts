#!/usr/bin/env node
/**
 * sherd-check-aof: the program. It takes redis-check-aof's command line; what it does is in check-aof.ts.
 */
import { readSync } from 'node:fs';
import { LocalPool } from '../persistence/check/check-pool.js';
import { checkRdb } from '../persistence/check/rdb-check.js';
import type { ByteSource } from '../persistence/format/byte-source.js';
import { RdbReader } from '../persistence/format/rdb-reader.js';
import { utf8ToByteString } from '../util/bytes.js';
import { checkAof } from './check-aof.js';
import { Output } from './output.js';

/** One line from the input, read byte by byte so that nothing behind it is lost. */
function readLine(): string | undefined {
  const byte = Buffer.alloc(1);
  let line = '';
  for (;;) {
    let count = 0;
    try {
      count = readSync(0, byte, 0, 1, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EAGAIN') {
        // A terminal that another program has made non-blocking: wait a little.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
        continue;
      }
      if (code !== 'EOF') throw error;
    }
    if (count === 0) return line === '' ? undefined : line;
    line += byte.toString('latin1');
    if (line.endsWith('\n')) return line;
  }
}

/** The RDB preamble, with redis-check-rdb's lines; gives the offset behind it. */
async function checkPreamble(source: ByteSource, filename: string): Promise<number | undefined> {
  output.text(`[offset 0] Checking RDB file ${utf8ToByteString(filename)}\n`, 'latin1');
  const lines = {
    line: (bytes: Buffer): void => {
      output.bytes(bytes);
      output.text('\n');
    },
    progress: () => undefined,
  };
  const nowMs = BigInt(Date.now());
  if (!(await checkRdb({ source, pool: new LocalPool(source), output: lines, nowMs }))) return undefined;
  const reader = new RdbReader(source);
  for (let record = reader.next(); record !== undefined && record.kind !== 'end'; record = reader.next()) {
    if (record.kind === 'entry') reader.skipValue();
  }
  return reader.offset;
}

const output = new Output(1);
process.exitCode = await checkAof(process.argv.slice(2), {
  program: 'sherd-check-aof',
  print: (text) => {
    output.text(text, 'latin1');
    output.flush();
  },
  readLine,
  checkPreamble,
});
output.flush();
