/**
 * The manifest of the multi-part AOF: which files there are, in which order they load, which only wait to be deleted.
 *
 *     file appendonly.aof.2.base.rdb seq 2 type b        b: base, at most one
 *     file appendonly.aof.1.incr.aof seq 1 type h        h: history, replaced, to be deleted
 *     file appendonly.aof.2.incr.aof seq 2 type i        i: incremental, seq strictly growing
 *
 * A line is keys and values in any order, split and quoted as in redis.conf; keys nobody knows are passed over, lines
 * that start with '#' are comments. Verdicts and their order are those of Redis 7 (aofLoadManifestFromFile), asked of
 * the original: 1024 bytes a line with its newline, which the last one must have; sequence numbers as atoll takes
 * them; a name may not have '/' or '\'.
 *
 * Ours end in a comment with the CRC64 of all bytes in front of it, `#SHERD:` and 16 digits: one flipped bit makes history
 * of an incremental file ('i' and 'h' differ in one), which would then be deleted as such. Where the comment is missing
 * (Redis has written the manifest) nothing is verified; whoever edits a manifest by hand takes it out.
 *
 * Invariant: parseManifest(formatManifest(m)) is m, for names without a NUL.
 *
 * Text is a byte string (see util/bytes.ts). Pure; any thread.
 */
import { toBytes } from '../../util/bytes.js';
import { quoteArg, splitArgs } from '../../util/split-args.js';
import { crc64 } from './crc64.js';

/** Bytes of a line with its newline; as Redis. */
const LINE_BYTES_MAX = 1024;
const LLONG_MAX = (1n << 63n) - 1n;

const CHECKSUM_PREFIX = '#SHERD:';

/** The comment behind `text` that vouches for it. */
function checksumLine(text: string): string {
  return `${CHECKSUM_PREFIX}${crc64(toBytes(text)).toString(16).padStart(16, '0')}\n`;
}

/** One file. */
export interface AofPart {
  name: string;
  /** Its sequence number; of bases and of incremental files each their own. */
  seq: bigint;
}

/** Everything a manifest says. */
export interface Manifest {
  base: AofPart | undefined;
  /** In the order in which they load. */
  incrs: AofPart[];
  /** In the order in which they became history. */
  history: AofPart[];
}

/** A manifest that Redis would refuse. */
export class ManifestError extends Error {
  readonly code = 'SHERD_MANIFEST';

  constructor(
    /** As Redis logs it. */
    readonly reason: string,
    /** Line number, from 1, and its trimmed text, when Redis names them. */
    readonly line?: { number: number; text: string },
  ) {
    super(line === undefined ? reason : `${reason} (line ${line.number}: '${line.text}')`);
    this.name = 'ManifestError';
  }

  /** The messages Redis logs before it ends, one each. */
  messages(): string[] {
    const where =
      this.line === undefined
        ? []
        : [`Reading the manifest file, at line ${this.line.number}\n`, `>>> '${this.line.text}'\n`];
    return ['\n*** FATAL AOF MANIFEST FILE ERROR ***\n', ...where, `${this.reason}\n`];
  }
}

/** What there is before there is a manifest. */
export function emptyManifest(): Manifest {
  return { base: undefined, incrs: [], history: [] };
}

/** Reads a manifest; throws ManifestError where Redis refuses. */
export function parseManifest(text: string): Manifest {
  const manifest = emptyManifest();
  let number = 0;
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at);
    const end = Math.min(newline === -1 ? text.length : newline + 1, at + LINE_BYTES_MAX);
    const raw = text.slice(at, end);
    const front = text.slice(0, at);
    at = end;
    number++;
    if (raw.startsWith(CHECKSUM_PREFIX) && raw !== checksumLine(front)) {
      throw new ManifestError('The checksum of the AOF manifest does not match', { number, text: raw.trim() });
    }
    // Redis looks for comments first, and so takes any piece of a long one that starts with '#'.
    if (raw.startsWith('#')) continue;
    // It searches the newline in a C string: what stands behind a NUL is not there.
    if (!raw.split('\0', 1)[0]?.includes('\n')) throw new ManifestError('The AOF manifest file contains too long line');
    const line = raw.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '');
    parseLine(manifest, { number, text: line });
  }
  if (number === 0) throw new ManifestError('Found an empty AOF manifest');
  return manifest;
}

function parseLine(manifest: Manifest, line: { number: number; text: string }): void {
  const args = line.text === '' ? undefined : splitArgs(line.text);
  if (args === undefined || args.length < 6 || args.length % 2 !== 0) {
    throw new ManifestError('Invalid AOF manifest file format', line);
  }
  const part: AofPart = { name: '', seq: 0n };
  let type = '';
  for (let index = 0; index < args.length; index += 2) {
    const [key, value] = [(args[index] as string).toLowerCase(), args[index + 1] as string];
    if (key === 'file') {
      if (/[/\\]/.test(value)) throw new ManifestError("File can't be a path, just a filename", line);
      part.name = value;
    } else if (key === 'seq') {
      part.seq = readSeq(value);
    } else if (key === 'type') {
      type = value.slice(0, 1);
    }
  }
  const isComplete = args.some((arg, index) => index % 2 === 0 && arg.toLowerCase() === 'file');
  if (!isComplete || part.seq === 0n || type === '') throw new ManifestError('Invalid AOF manifest file format', line);
  addPart(manifest, part, type, line);
}

function addPart(manifest: Manifest, part: AofPart, type: string, line: { number: number; text: string }): void {
  switch (type) {
    case 'b':
      if (manifest.base !== undefined) throw new ManifestError('Found duplicate base file information', line);
      manifest.base = part;
      return;
    case 'h':
      manifest.history.push(part);
      return;
    case 'i': {
      // Redis compares with 0 before the first, so that a negative number is refused here, and only here.
      const last = manifest.incrs.at(-1)?.seq ?? 0n;
      if (part.seq <= last) throw new ManifestError('Found a non-monotonic sequence number', line);
      manifest.incrs.push(part);
      return;
    }
    default:
      throw new ManifestError('Unknown AOF file type', line);
  }
}

/** A number as atoll reads it: white space, a sign, digits up to the first other character, cut to 64 bits. */
function readSeq(text: string): bigint {
  const digits = /^[ \t\n\v\f\r]*([+-]?[0-9]+)/.exec(text)?.[1] ?? '0';
  const value = BigInt(digits.replace(/^\+/, ''));
  if (value > LLONG_MAX) return LLONG_MAX;
  return value < -LLONG_MAX - 1n ? -LLONG_MAX - 1n : value;
}

/** The manifest as Redis writes it: base, history, incremental files; and the comment with its checksum. */
export function formatManifest(manifest: Manifest): string {
  const line = (part: AofPart, type: string): string =>
    `file ${needsQuotes(part.name) ? quoteArg(part.name) : part.name} seq ${part.seq} type ${type}\n`;
  const text = [
    ...(manifest.base === undefined ? [] : [line(manifest.base, 'b')]),
    ...manifest.history.map((part) => line(part, 'h')),
    ...manifest.incrs.map((part) => line(part, 'i')),
  ].join('');
  return text === '' ? '' : text + checksumLine(text);
}

/** True when a line without quotes would give another name. */
function needsQuotes(name: string): boolean {
  return name === '' || /[^\x21-\x7e]|[\\"'#]/.test(name);
}

/**
 * True for the front of a file that is to be taken for a manifest: a line that starts with "file", as redis-check-aof
 * has it. It looks at commands, too, and takes any AOF with a value of that kind for a manifest; we do not.
 */
export function looksLikeManifest(head: string): boolean {
  for (let at = 0; at < head.length; ) {
    const newline = head.indexOf('\n', at);
    if (head.startsWith('file', at)) return true;
    if (head.startsWith('*', at) || head.startsWith('REDIS', at)) return false;
    at = Math.min(newline === -1 ? head.length : newline + 1, at + LINE_BYTES_MAX);
  }
  return false;
}
