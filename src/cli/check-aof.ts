/**
 * What sherd-check-aof does: redis-check-aof's arguments, texts, questions and exit codes, and our checksum lines.
 *
 *     sherd-check-aof [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>
 *
 * For a file without checksum lines every byte printed is what redis-check-aof 7.0 prints; a test compares. A file
 * with checksum lines gets one line more, how far they vouch for it, and bytes that do not match are an error like
 * any other: --fix cuts behind the last line that holds. Two of redis-check-aof's own faults are not repeated: it shows
 * bytes from behind its buffer for a line of 127 digits, and it asks for as much memory as a length claims.
 *
 * Names and texts are byte strings (see util/bytes.ts). Programs only: reads and writes are synchronous.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { LocalPool } from '../persistence/check/check-pool.js';
import { checkRdb } from '../persistence/check/rdb-check.js';
import { AofReader, type AofAnnotation } from '../persistence/format/aof-reader.js';
import type { ByteSource } from '../persistence/format/byte-source.js';
import { looksLikeManifest, ManifestError, parseManifest, type Manifest } from '../persistence/format/manifest.js';
import { RdbReader } from '../persistence/format/rdb-reader.js';
import { toBytes, utf8ToByteString } from '../util/bytes.js';

/** Redis reads a log message into this many bytes. */
const LOG_BYTES_MAX = 1023;
/** A manifest is read whole; what is bigger is not one. */
const MANIFEST_BYTES_MAX = 16 * 1024 * 1024;
const RDB_HEADER_BYTES = 8;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const SYSTEM_TEXTS = new Map([
  ['ENOENT', 'No such file or directory'],
  ['EACCES', 'Permission denied'],
  ['EPERM', 'Operation not permitted'],
  ['EISDIR', 'Is a directory'],
  ['ENOTDIR', 'Not a directory'],
  ['EROFS', 'Read-only file system'],
  ['ENOSPC', 'No space left on device'],
  ['EIO', 'Input/output error'],
]);

/** What the program needs of the world. */
export interface CheckAofWorld {
  /** How the program was called, for the usage text. */
  program: string;
  print(bytes: Buffer): void;
  /** A line of the answer to a question, or undefined at the end of the input. */
  readLine(): string | undefined;
}

/** Ends the program with a code. */
class Exit extends Error {
  constructor(readonly exitCode: number) {
    super(`exit ${exitCode}`);
  }
}

interface Job {
  world: CheckAofWorld;
  print(text: string): void;
  fixes: boolean;
  /** Truncate to this; 0 when not asked for, as in redis-check-aof. */
  timestamp: bigint;
  /** Lines of all files so far; redis-check-aof counts from 1 and goes on over files. */
  lineCount: number;
}

/** Name as printed, and path; of the last file of a manifest, or of the only one, the end may be cut off. */
interface Target {
  name: string;
  path: string;
  isLast: boolean;
  hasPreamble: boolean;
}

type Verdict = 'valid' | 'empty' | 'truncated' | 'invalid';

/** Runs the program; gives its exit code. `args` are those behind the program's name. */
export async function checkAof(args: string[], world: CheckAofWorld): Promise<number> {
  try {
    return await run(args, world);
  } catch (error) {
    if (error instanceof Exit) return error.exitCode;
    throw error;
  }
}

async function run(args: string[], world: CheckAofWorld): Promise<number> {
  const print = (text: string): void => world.print(Buffer.from(text, 'latin1'));
  const job: Job = { world, print, fixes: false, timestamp: 0n, lineCount: 1 };
  const last = args.at(-1);
  if (last === undefined || args.length > 3) return usage(job);
  const path = utf8ToByteString(last);
  if (args.length === 2) {
    if (args[0] !== '--fix') return usage(job);
    job.fixes = true;
  } else if (args.length === 3) {
    if (args[0] !== '--truncate-to-timestamp') return usage(job);
    const timestamp = parseLong(args[1] as string);
    if (timestamp === undefined || timestamp.rest !== '') return die(job, 'Invalid timestamp, aborting...\n');
    job.timestamp = timestamp.value;
  }
  if (isManifest(job, path)) await checkMultiPart(job, path);
  else await checkOldStyle(job, path);
  return 0;
}

function usage(job: Job): number {
  job.print(`Usage: ${job.world.program} [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>\n`);
  return 1;
}

function die(job: Job, text: string): never {
  job.print(text);
  throw new Exit(1);
}

/** A number as strtol reads it, and what is behind it; undefined when it does not fit. */
function parseLong(text: string): { value: bigint; rest: string } | undefined {
  const match = /^[ \t\n\v\f\r]*([+-]?[0-9]+)/.exec(text);
  if (match === null) return { value: 0n, rest: text };
  const value = BigInt((match[1] as string).replace(/^\+/, ''));
  if (BigInt.asIntN(64, value) !== value) return undefined;
  return { value, rest: text.slice(match[0].length) };
}

function systemText(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return SYSTEM_TEXTS.get(code) ?? code;
}

// ---- What kind of file it is ----

/** The first bytes of a file; ends the program as redis-check-aof does when there are none to be had. */
function headOf(job: Job, path: string, byteCount: number): Buffer {
  let descriptor: number;
  try {
    descriptor = openSync(toBytes(path), 'r');
  } catch (error) {
    return die(job, `Cannot open file ${path}: ${systemText(error)}\n`);
  }
  try {
    const head = Buffer.alloc(byteCount);
    return head.subarray(0, readSync(descriptor, head, 0, byteCount, 0));
  } catch {
    return die(job, `Cannot read file: ${path}\n`);
  } finally {
    closeSync(descriptor);
  }
}

function isManifest(job: Job, path: string): boolean {
  return looksLikeManifest(headOf(job, path, 64 * 1024).toString('latin1'));
}

function isRdb(job: Job, path: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(toBytes(path), 'r');
  } catch (error) {
    return die(job, `Cannot open file ${path}: ${systemText(error)}\n`);
  }
  try {
    const head = Buffer.alloc(RDB_HEADER_BYTES);
    if (!fstatSync(descriptor).isFile()) return false;
    const count = readSync(descriptor, head, 0, RDB_HEADER_BYTES, 0);
    return count === RDB_HEADER_BYTES && head.toString('latin1', 0, 5) === 'REDIS';
  } finally {
    closeSync(descriptor);
  }
}

// ---- Old style and multi part ----

async function checkOldStyle(job: Job, path: string): Promise<void> {
  const { print } = job;
  print('Start checking Old-Style AOF\n');
  const target = { name: path, path, isLast: true, hasPreamble: isRdb(job, path) };
  tell(job, '', target.name, await checkSingle(job, target));
}

async function checkMultiPart(job: Job, path: string): Promise<void> {
  const { print } = job;
  print('Start checking Multi Part AOF\n');
  const manifest = readManifest(job, path);
  const pathOf = (name: string): string => `${dirname(path)}/${name}`;
  const { base, incrs } = manifest;
  if (base !== undefined) {
    const hasPreamble = isRdb(job, pathOf(base.name));
    print(`Start to check BASE AOF (${hasPreamble ? 'RDB' : 'RESP'} format).\n`);
    const target = { name: base.name, path: pathOf(base.name), isLast: incrs.length === 0, hasPreamble };
    tell(job, 'BASE ', base.name, await checkSingle(job, target));
  }
  if (incrs.length > 0) print('Start to check INCR files.\n');
  for (const [index, { name }] of incrs.entries()) {
    const isLast = index === incrs.length - 1;
    tell(job, 'INCR ', name, await checkSingle(job, { name, path: pathOf(name), isLast, hasPreamble: false }));
  }
  print('All AOF files and manifest are valid\n');
}

function readManifest(job: Job, path: string): Manifest {
  const bytes = readFileSync(toBytes(path));
  if (bytes.length > MANIFEST_BYTES_MAX) return die(job, `Cannot read file: ${path}\n`);
  try {
    return parseManifest(bytes.toString('latin1'));
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    for (const message of error.messages()) job.print(logLine(message));
    throw new Exit(1);
  }
}

/** A message as a server without configuration logs it. */
function logLine(message: string): string {
  const now = new Date();
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${two(now.getDate())} ${MONTHS[now.getMonth()]} ${now.getFullYear()}`;
  const time = `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
  const millis = String(now.getMilliseconds()).padStart(3, '0');
  return `${process.pid}:C ${day} ${time}.${millis} # ${message.slice(0, LOG_BYTES_MAX)}\n`;
}

function tell(job: Job, kind: string, name: string, verdict: Verdict): void {
  const { print } = job;
  switch (verdict) {
    case 'valid':
      print(`${kind}AOF ${name} is valid\n`);
      return;
    case 'empty':
      print(`${kind}AOF ${name} is empty\n`);
      return;
    case 'truncated': {
      const until = job.timestamp === 0n ? '' : ` to timestamp ${job.timestamp}`;
      print(`Successfully truncated AOF ${name}${until}\n`);
      return;
    }
    case 'invalid':
      die(job, `AOF ${name} is not valid. Use the --fix option to try fixing it.\n`);
  }
}

// ---- One file ----

async function checkSingle(job: Job, target: Target): Promise<Verdict> {
  let descriptor: number;
  try {
    descriptor = openSync(toBytes(target.path), 'r+');
  } catch (error) {
    return die(job, `Cannot open file ${target.path}: ${systemText(error)}, aborting...\n`);
  }
  try {
    const { size } = fstatSync(descriptor);
    return size === 0 ? 'empty' : await checkOpen(job, target, descriptor, size);
  } finally {
    closeSync(descriptor);
  }
}

async function checkOpen(job: Job, target: Target, descriptor: number, size: number): Promise<Verdict> {
  const { print } = job;
  const source = openSource(descriptor, size);
  let start = 0;
  if (target.hasPreamble) {
    const end = await checkPreamble(job, source, target.name);
    if (end === undefined) return die(job, 'RDB preamble of AOF file is not sane, aborting.\n');
    print('RDB preamble is OK, proceeding with AOF tail...\n');
    start = end;
  }
  const reader = new AofReader(source, { start, judge: 'checker', keptBytesMax: 0, verifyChecksums: true });
  for (let item = reader.next(); item !== undefined; item = reader.next()) {
    if (item.kind === 'annotation' && job.timestamp !== 0n && isBeyond(job, target, item)) {
      ftruncateSync(descriptor, item.offset);
      return 'truncated';
    }
  }
  job.lineCount += reader.lineCount;
  return judge(job, target, descriptor, reader, size);
}

/** The RDB preamble, with redis-check-rdb's lines; gives the offset behind it, or undefined when it is not sane. */
async function checkPreamble(job: Job, source: ByteSource, name: string): Promise<number | undefined> {
  job.print(`[offset 0] Checking RDB file ${name}\n`);
  const lines = {
    line: (bytes: Buffer): void => job.world.print(Buffer.concat([bytes, Buffer.from('\n')])),
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

/** True for a timestamp after the one to truncate to; ends the program when it may not be truncated there. */
function isBeyond(job: Job, target: Target, line: AofAnnotation): boolean {
  if (!line.text.startsWith('#TS:')) return false;
  const timestamp = parseLong(line.text.slice(4));
  if (timestamp === undefined || !timestamp.rest.startsWith('\r')) {
    return die(job, 'Invalid timestamp annotation\n');
  }
  if (timestamp.value <= job.timestamp) return false;
  if (line.offset === 0) {
    return die(job, `AOF ${target.path} has nothing before timestamp ${job.timestamp}, aborting...\n`);
  }
  if (!target.isLast) {
    job.print(
      `Failed to truncate AOF ${target.path} to timestamp ${job.timestamp} to offset ${line.offset} ` +
        'because it is not the last file.\n',
    );
    return die(
      job,
      'If you insist, please delete all files after this file according to the manifest file and delete the ' +
        'corresponding records in manifest file manually. Then re-run redis-check-aof.\n',
    );
  }
  return true;
}

function judge(job: Job, target: Target, descriptor: number, reader: AofReader, size: number): Verdict {
  const { print } = job;
  const { failure, lastGoodOffset } = reader;
  if (failure?.code === 'format') {
    print(`AOF ${target.name} format error\n`);
  } else if (failure !== undefined && failure.text !== '') {
    const offset = failure.offset.toString(16).padStart(16, ' ');
    print(`0x${offset}: ${failure.text.replace('%f', () => target.path)}\n`);
  }
  const lost = size - lastGoodOffset;
  if (lost === 0 && job.timestamp !== 0n) {
    print(`Truncate nothing in AOF ${target.name} to timestamp ${job.timestamp}\n`);
    return 'valid';
  }
  print(
    `AOF analyzed: filename=${target.name}, size=${size}, ok_up_to=${lastGoodOffset}, ` +
      `ok_up_to_line=${job.lineCount}, diff=${lost}\n`,
  );
  tellChecksums(print, target, reader);
  if (lost === 0) return 'valid';
  if (!job.fixes) return 'invalid';
  if (!target.isLast) return die(job, `Failed to truncate AOF ${target.name} because it is not the last file\n`);
  print(
    `This will shrink the AOF ${target.name} from ${size} bytes, with ${lost} bytes, to ${lastGoodOffset} bytes\n`,
  );
  print('Continue? [y/N]: ');
  if (!/^y/i.test(job.world.readLine() ?? '')) return die(job, 'Aborting...\n');
  ftruncateSync(descriptor, lastGoodOffset);
  return 'truncated';
}

/** How far the checksum lines vouch for the file; nothing for a file that has none. */
function tellChecksums(print: (text: string) => void, target: Target, reader: AofReader): void {
  const { lineCount, verifiedUpTo } = reader.checksums;
  if (lineCount === 0) return;
  const behind = reader.lastGoodOffset - verifiedUpTo;
  print(
    `AOF checksums: filename=${target.name}, lines=${lineCount}, verified_up_to=${verifiedUpTo}, ` +
      `not_covered=${behind}\n`,
  );
}

/** The file as it was opened, whatever its name comes to mean. */
function openSource(descriptor: number, size: number): ByteSource {
  return {
    size,
    readAt(offset, target) {
      const wanted = Math.min(target.length, Math.max(0, size - offset));
      let done = 0;
      while (done < wanted) {
        const count = readSync(descriptor, target, done, wanted - done, offset + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    },
  };
}
