#!/usr/bin/env node
/**
 * sherd-rdb-to-json: looks inside an RDB file. One JSON object per key and line, as rdb-json.ts describes them.
 *
 *   sherd-rdb-to-json [--pretty] [--match glob] [--db n] [--keys-only] [--all] <rdb-file-name>
 *
 * A file that is not sound is written up to where it breaks; then the program says where and why, and exits with 1.
 */
import { parseArgs } from 'node:util';
import { FileSource } from '../persistence/format/byte-source.js';
import { FormatError } from '../persistence/format/format-error.js';
import { JsonWriter } from '../persistence/format/json-writer.js';
import { writeRdbAsJson, type JsonOptions } from '../persistence/format/rdb-json.js';
import { RdbReader, checksumFault, type EntryRecord } from '../persistence/format/rdb-reader.js';
import { globMatches } from '../util/glob.js';
import { Output } from './output.js';

const STDOUT = 1;
const USAGE = `Usage: sherd-rdb-to-json [options] <rdb-file-name>
  --pretty      indented, over many lines
  --match glob  only keys that match, by KEYS's rules
  --db n        only this database
  --keys-only   no values
  --all         aux fields and functions too
One object per key: {"db":0,"key":"k","type":"string","encoding":"embstr","value":"v"}
Bytes that are not UTF-8 appear as \\udc80 to \\udcff (Python: errors="surrogateescape").
`;

interface CommandLine extends JsonOptions {
  path: string;
  isPretty: boolean;
}

function parse(words: string[]): CommandLine | undefined {
  const options = {
    pretty: { type: 'boolean' },
    match: { type: 'string' },
    db: { type: 'string' },
    'keys-only': { type: 'boolean' },
    all: { type: 'boolean' },
  } as const;
  let parsed;
  try {
    parsed = parseArgs({ args: words, options, allowPositionals: true });
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return undefined;
  }
  const { values, positionals } = parsed;
  const [path] = positionals;
  if (path === undefined || positionals.length > 1) return undefined;
  if (values.db !== undefined && !/^[0-9]{1,9}$/.test(values.db)) return undefined;
  return {
    path,
    isPretty: values.pretty === true,
    keysOnly: values['keys-only'] === true,
    withFrame: values.all === true,
    matches: filter(values.match, values.db === undefined ? undefined : Number(values.db)),
  };
}

function filter(match: string | undefined, db: number | undefined): (entry: EntryRecord) => boolean {
  // "*" is everything, the empty key included.
  const pattern = match === undefined || match === '*' ? undefined : Buffer.from(match);
  return (entry) => (db === undefined || entry.db === db) && (pattern === undefined || globMatches(pattern, entry.key));
}

/** Writes the file; throws FormatError, or what the system says about the file. */
function write(line: CommandLine, output: Output): void {
  const source = new FileSource(line.path);
  try {
    const reader = new RdbReader(source);
    const json = new JsonWriter((text) => output.text(text), line.isPretty);
    const checksum = writeRdbAsJson(reader, json, line);
    output.flush();
    if (checksumFault(source, 0, reader.offset, checksum)) throw new FormatError('RDB CRC error', reader.offset);
  } finally {
    source.close();
  }
}

function main(words: string[]): number {
  const line = parse(words);
  if (line === undefined) {
    process.stderr.write(USAGE);
    return 1;
  }
  const output = new Output(STDOUT);
  try {
    write(line, output);
    return 0;
  } catch (error) {
    const isForeseen = error instanceof FormatError || (error as NodeJS.ErrnoException).syscall !== undefined;
    if (!isForeseen) throw error;
    // A line that was begun is ended, so that what follows in the same stream is not taken for a part of it.
    output.flush();
    if (!output.isAtLineStart) output.text('\n');
    output.flush();
    process.stderr.write(`${line.path}: ${(error as Error).message}\n`);
    return 1;
  }
}

process.exitCode = main(process.argv.slice(2));
