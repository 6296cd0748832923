#!/usr/bin/env node
/**
 * sherd-backup: backup archives of a server's data folder, compressed and checksummed, taken while it runs.
 *
 *   sherd-backup create [--force] [--with FILE]... <folder> <archive>
 *   sherd-backup verify <archive>
 *   sherd-backup restore [--force] <archive> <folder>
 *
 * Exit codes: 0 done, 1 not done or not whole (a reason on stderr), 2 wrong arguments.
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ArchiveError } from '../persistence/backup/archive-format.js';
import { readArchive, type ArchiveSummary } from '../persistence/backup/archive-reader.js';
import { ArchiveWriter } from '../persistence/backup/archive-writer.js';
import { addServerFiles } from '../persistence/backup/create.js';
import { restoreArchive } from '../persistence/backup/restore.js';
import { SHERD_VERSION } from './texts.js';

const USAGE = `Usage: sherd-backup create [--force] [--with FILE]... <folder> <archive>
       sherd-backup verify <archive>
       sherd-backup restore [--force] <archive> <folder>
       sherd-backup --version

create   takes RDB, AOF, configuration and user files of a data folder (and FILEs from elsewhere);
         the server may be running
verify   reads an archive to its end and checks every byte
restore  puts the contents of a whole archive into a folder; replaces files only with --force
`;

const print = (text: string): void => void process.stdout.write(text);

async function create(folder: string, archive: string, isForced: boolean, extraFiles: string[]): Promise<void> {
  if (!isForced && existsSync(archive)) throw new Error(`${archive} exists; use --force to replace it`);
  const writer = await ArchiveWriter.create(archive);
  try {
    let fileBytes = 0;
    const onEntry = (path: string, size: number): void => {
      fileBytes += size;
      print(`${path} (${size} bytes)\n`);
    };
    await addServerFiles(writer, { folder, extraFiles, onEntry });
    await writer.finish();
    print(`${archive}: ${fileBytes} bytes in ${writer.size}\n`);
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

function tell(archive: string, verb: string, summary: ArchiveSummary): void {
  const { entryCount, fileBytes, archiveBytes } = summary;
  print(`${archive}: ${verb}, ${entryCount} entries, ${fileBytes} bytes in ${archiveBytes}\n`);
}

async function run(words: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: words,
    allowPositionals: true,
    options: {
      force: { type: 'boolean', default: false },
      with: { type: 'string', multiple: true, default: [] },
      version: { type: 'boolean', short: 'v', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const [verb, first, second, ...rest] = positionals;
  if (values.version) print(`sherd-backup ${SHERD_VERSION}\n`);
  else if (values.help) print(USAGE);
  else if (rest.length > 0 || (verb !== 'create' && values.with.length > 0)) return usage();
  else if (verb === 'create' && first !== undefined && second !== undefined) {
    await create(first, second, values.force, values.with);
  } else if (verb === 'verify' && first !== undefined && second === undefined && !values.force) {
    tell(first, 'whole', await readArchive(first));
  } else if (verb === 'restore' && first !== undefined && second !== undefined) {
    tell(first, 'restored', await restoreArchive({ archive: first, folder: second, replaces: values.force }));
  } else return usage();
  return 0;
}

function usage(): number {
  process.stderr.write(USAGE);
  return 2;
}

async function main(words: string[]): Promise<number> {
  try {
    return await run(words);
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (code.startsWith('ERR_PARSE_ARGS')) return usage();
    const what = error instanceof ArchiveError ? `the archive is damaged: ${message}` : message;
    process.stderr.write(`sherd-backup: ${what}\n`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
