#!/usr/bin/env node
/**
 * sherd-check-aof: the program. It takes redis-check-aof's command line; what it does is in check-aof.ts.
 */
import { readSync } from 'node:fs';
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

const output = new Output(1);
process.exitCode = await checkAof(process.argv.slice(2), {
  program: 'sherd-check-aof',
  print: (bytes) => {
    output.bytes(bytes);
    output.flush();
  },
  readLine,
});
output.flush();
