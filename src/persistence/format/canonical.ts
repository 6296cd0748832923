/**
 * The logical content of an RDB file as sorted lines: equal for equal datasets, whatever the versions, encodings,
 * orders and compression of the files. For tests that compare our files with a real redis-server's.
 *
 *   db0 "key" expires 1700000000000
 *   db0 "key" list 0000000002 "element"          db0 "key" zset "member" 1.5
 *   db0 "key" hash "name" = "value" [expires …]  db0 "key" stream entry 1-1 "name" "value"
 *
 * Left out are what a load does not bring back or what two servers need not agree on: aux fields, size hints, slot
 * infos, idle times and frequencies (`withAccess` keeps these two), encodings. A stream of an older version gets what
 * Redis takes for the missing numbers when it loads it. Text is in double quotes, bytes outside of printable ASCII as
 * \xNN, minus zero is zero. All lines are held in memory: for test datasets, not for gigabytes.
 */
import type { ByteSource } from './byte-source.js';
import { FormatError } from './format-error.js';
import { RdbReader, checksumFault, type EntryRecord } from './rdb-reader.js';
import { formatDouble } from './text-numbers.js';
import { ValueVisitor, formatStreamId, type ModuleItem, type StreamDetails } from './value-visitor.js';

export interface CanonicalOptions {
  /** Tells apart idle times and frequencies of keys too. */
  withAccess?: boolean;
  /** Leaves out when consumers were last active, which files below version 11 do not have. */
  withoutActiveTimes?: boolean;
  /** Leaves out when consumers were last seen, which moves with every read. */
  withoutSeenTimes?: boolean;
}

/** A byte string in quotes, in printable ASCII. */
export function quoteBytes(bytes: Buffer): string {
  const text = bytes.toString('latin1');
  const escape = (one: string): string => `\\x${one.charCodeAt(0).toString(16).padStart(2, '0')}`;
  return `"${text.replace(/[^ !#-[\]-~]/g, escape)}"`;
}

const POSITION_DIGITS = 10;

/** Writes the lines of one value. */
class LineVisitor extends ValueVisitor {
  prefix = '';
  private position = 0;
  private group_ = '';
  private consumer_ = '';
  private firstId = 0n;
  private entryCount = 0;
  private details: StreamDetails = { length: 0n, lastId: 0n };

  constructor(
    private readonly lines: string[],
    private readonly options: CanonicalOptions,
  ) {
    super();
  }

  start(prefix: string): void {
    this.prefix = prefix;
    this.position = 0;
    this.firstId = 0n;
    this.entryCount = 0;
  }

  line(text: string): void {
    this.lines.push(`${this.prefix} ${text}`);
  }

  override string(value: Buffer): void {
    this.line(`string ${quoteBytes(value)}`);
  }

  override listElement(element: Buffer): void {
    this.line(`list ${String(this.position++).padStart(POSITION_DIGITS, '0')} ${quoteBytes(element)}`);
  }

  override setMember(member: Buffer): void {
    this.line(`set ${quoteBytes(member)}`);
  }

  override scoredMember(member: Buffer, score: number): void {
    // Redis forgets the sign of a zero in a listpack and keeps it in a skiplist.
    this.line(`zset ${quoteBytes(member)} ${formatDouble(score === 0 ? 0 : score)}`);
  }

  override field(name: Buffer, value: Buffer, expiresAtMs: number | undefined): void {
    const expiry = expiresAtMs === undefined ? '' : ` expires ${expiresAtMs}`;
    this.line(`hash ${quoteBytes(name)} = ${quoteBytes(value)}${expiry}`);
  }

  override streamEntry(id: bigint, words: Buffer[]): void {
    if (this.entryCount++ === 0) this.firstId = id;
    this.line(`stream entry ${formatStreamId(id)} ${words.map(quoteBytes).join(' ')}`);
  }

  override streamDetails(details: StreamDetails): void {
    // Redis computes the first id from the entries, and takes the length for entries added, when an old file lacks them.
    const { length, lastId, maxDeletedId = 0n, entriesAdded = length } = details;
    this.details = details;
    const [last, first, deleted] = [lastId, this.firstId, maxDeletedId].map(formatStreamId);
    this.line(`stream length ${length} last ${last} first ${first} deleted ${deleted} added ${entriesAdded}`);
  }

  override group(name: Buffer, lastId: bigint, entriesRead: bigint | undefined): void {
    this.group_ = `stream group ${quoteBytes(name)}`;
    const read = entriesRead ?? this.estimateEntriesRead(lastId);
    this.line(`${this.group_} last ${formatStreamId(lastId)} read ${read}`);
  }

  /** How many entries a group has read, as Redis guesses for a stream of before version 10; -1 when it cannot. */
  private estimateEntriesRead(lastId: bigint): bigint {
    const { length, lastId: streamLastId } = this.details;
    if (lastId === streamLastId || (length === 0n && lastId < streamLastId)) return length;
    if (lastId > streamLastId) return -1n;
    if (lastId < this.firstId) return 0n;
    return lastId === this.firstId ? 1n : -1n;
  }

  override pending(id: bigint, deliveredAtMs: bigint, deliveries: bigint): void {
    this.line(`${this.group_} pending ${formatStreamId(id)} delivered ${deliveredAtMs} times ${deliveries}`);
  }

  override consumer(name: Buffer, seenAtMs: bigint, activeAtMs: bigint | undefined): void {
    this.consumer_ = `${this.group_} consumer ${quoteBytes(name)}`;
    const seen = this.options.withoutSeenTimes === true ? '' : ` seen ${seenAtMs}`;
    // Before there were active times, Redis took the last sign of life for one.
    const active = this.options.withoutActiveTimes === true ? '' : ` active ${activeAtMs ?? seenAtMs}`;
    this.line(`${this.consumer_}${seen}${active}`);
  }

  override consumerPending(id: bigint): void {
    this.line(`${this.consumer_} pending ${formatStreamId(id)}`);
  }

  override module(name: string): void {
    this.line(`module ${name}`);
  }

  override moduleItem(item: ModuleItem): void {
    const text = Buffer.isBuffer(item) ? quoteBytes(item) : String(item);
    this.line(`module ${String(this.position++).padStart(POSITION_DIGITS, '0')} ${text}`);
  }
}

function entryLines(entry: EntryRecord, visitor: LineVisitor, options: CanonicalOptions): void {
  visitor.start(`db${entry.db} ${quoteBytes(entry.key)}`);
  if (entry.expiresAtMs !== undefined) visitor.line(`expires ${entry.expiresAtMs}`);
  if (options.withAccess !== true) return;
  if (entry.idleSeconds !== undefined) visitor.line(`idle ${entry.idleSeconds}`);
  if (entry.frequency !== undefined) visitor.line(`frequency ${entry.frequency}`);
}

/** The lines of a file. Throws FormatError for one that is not sound, also when its checksum is wrong. */
export function canonicalLines(source: ByteSource, options: CanonicalOptions = {}): string[] {
  const lines: string[] = [];
  const visitor = new LineVisitor(lines, options);
  const reader = new RdbReader(source);
  for (let record = reader.next(); record !== undefined; record = reader.next()) {
    if (record.kind === 'entry') {
      entryLines(record, visitor, options);
      reader.readValue(visitor);
    } else if (record.kind === 'function') {
      lines.push(`function ${quoteBytes(record.code)}`);
    } else if (record.kind === 'end' && checksumFault(source, 0, reader.offset, record.checksum)) {
      throw new FormatError('RDB CRC error', reader.offset);
    }
  }
  return lines.sort();
}
