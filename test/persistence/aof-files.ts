/**
 * AOF files made by hand for the tests of their readers.
 */
import { encodeChecksumLine, RunningCrc64 } from '../../src/persistence/format/aof-checksum.js';
import { AofReader } from '../../src/persistence/format/aof-reader.js';
import { MemorySource } from '../../src/persistence/format/byte-source.js';

/** A command as an AOF holds it. */
export function command(...args: (string | Buffer)[]): Buffer {
  const parts = args.map((arg) => {
    const bytes = Buffer.from(arg as string, 'latin1');
    return Buffer.concat([Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]);
  });
  return Buffer.concat([Buffer.from(`*${args.length}\r\n`), ...parts]);
}

/** A good command of 27 bytes. */
export const GOOD = command('set', 'a', '1');

/** Blocks, each followed by its checksum line. */
export function checksummed(blocks: Buffer[]): Buffer {
  const crc = new RunningCrc64();
  const parts: Buffer[] = [];
  let offset = 0;
  for (const block of blocks) {
    crc.update(block);
    offset += block.length;
    const line = encodeChecksumLine(crc, offset);
    offset += line.length;
    parts.push(block, line);
  }
  return Buffer.concat(parts);
}

/** The commands of a file as text, as far as it is good. */
export function commandsOf(file: Buffer): string[] {
  const reader = new AofReader(new MemorySource(file), { keptBytesMax: 1 << 20 });
  const commands: string[] = [];
  for (let item = reader.next(); item !== undefined; item = reader.next()) {
    if (item.kind === 'command') commands.push(item.args.map((arg) => arg.toString('latin1')).join(' '));
  }
  return commands;
}
