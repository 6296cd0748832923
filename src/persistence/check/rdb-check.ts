/**
 * The check of an RDB file, with redis-check-rdb's lines.
 *
 *   walk over the records ──► line "Selecting DB…" ─┐
 *     (lengths only)     ──► part of 4 MB ─► pool ──┤ queue ──► printed in the file's order, up to the first fault
 *                        ──► 16 MB ─► pool ► CRC64 ─┘
 *
 * The walk is much faster than the check of the values, so that the pool is always busy and the file may be any size.
 *
 * Invariants:
 * 1. The fault that is reported is the first of the file: parts are taken from the queue in order, and when the walk
 *    itself fails within a value, that entry becomes a last part whose check finds the fault as Redis would.
 * 2. At most `depth` parts are under way.
 */
import type { ByteSource } from '../format/byte-source.js';
import { combineCrc64 } from '../format/crc64.js';
import { RDB_TYPES } from '../format/rdb-format.js';
import { RdbReader, type RdbRecord } from '../format/rdb-reader.js';
import type { CheckPool } from './check-pool.js';
import { addCounts, faultOf, noCounts, type PartResult, type RdbCounts, type RdbFault } from './rdb-check-part.js';

const PART_BYTES = 4 * 1024 * 1024;
const CHECKSUM_PART_BYTES = 16 * 1024 * 1024;

export interface CheckOutput {
  /** One line, without its end, as bytes: keys and aux fields need not be text. */
  line(bytes: Buffer): void;
  /** How much of the file has been walked over, 0 to 1. */
  progress(share: number): void;
}

export interface CheckOptions {
  source: ByteSource;
  pool: CheckPool;
  output: CheckOutput;
  nowMs: bigint;
}

type Queued = { kind: 'line'; bytes: Buffer } | { kind: 'part'; result: Promise<PartResult> };

/** Checks the file and prints everything but the first line ("Checking RDB file"). True: it is sound. */
export async function checkRdb(options: CheckOptions): Promise<boolean> {
  return await new RdbCheck(options).run();
}

/** Text up to its first zero byte: redis-check-rdb prints C strings. */
function printable(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('latin1');
  const zero = text.indexOf('\0');
  return zero < 0 ? text : text.slice(0, zero);
}

class RdbCheck {
  private readonly reader: RdbReader;
  private readonly queue: Queued[] = [];
  private readonly checksums: Promise<{ crc: bigint; size: number }>[] = [];
  /** Counts of the parts that have been taken from the queue. */
  private readonly counts: RdbCounts = noCounts();
  private fault: RdbFault | undefined;
  private partBegin = 0;
  private partEnd = 0;
  private checksumEnd = 0;
  private partsQueued = 0;

  constructor(private readonly options: CheckOptions) {
    this.reader = new RdbReader(options.source);
  }

  async run(): Promise<boolean> {
    const { reader } = this;
    try {
      for (let record = reader.next(); record !== undefined; record = reader.next()) {
        if (record.kind === 'end') return await this.finish(record.checksum);
        if (!(await this.take(record))) return this.reportFault();
      }
    } catch (error) {
      const fault = faultOf(reader, error);
      this.flushPart();
      if (!(await this.drain(0))) return this.reportFault();
      this.fault = fault;
      return this.reportFault();
    }
    throw new Error('an RDB file without end record was read to its end');
  }

  /** Takes one record. False: a fault has been found in what came before it. */
  private async take(record: RdbRecord): Promise<boolean> {
    const { reader } = this;
    if (record.kind === 'entry') {
      if (this.partBegin === this.partEnd) this.partBegin = record.begin;
      try {
        reader.skipValue();
      } catch (error) {
        // Invariant 1: the check of this entry decides what is wrong with it.
        const fault = faultOf(reader, error);
        this.partEnd = this.options.source.size;
        this.flushPart();
        if (await this.drain(0)) this.fault = fault;
        return false;
      }
      this.partEnd = reader.offset;
      if (this.partEnd - this.partBegin < PART_BYTES) return true;
      this.flushPart();
    } else {
      this.describe(record);
    }
    this.queueChecksums(reader.offset, CHECKSUM_PART_BYTES);
    this.options.output.progress(reader.offset / this.options.source.size);
    return await this.drain(this.options.pool.depth);
  }

  private describe(record: RdbRecord): void {
    if (record.kind === 'aux') this.line(`AUX FIELD ${printable(record.name)} = '${printable(record.value)}'`);
    else if (record.kind === 'database') this.line(`Selecting DB ID ${record.db}`);
    else if (record.kind === 'module-aux') this.line(`MODULE AUX for: ${record.module}`, record.offset);
  }

  /** Queues a line that tells about where the reader is, or was. */
  private line(text: string, offset = this.reader.offset): void {
    this.flushPart();
    this.queue.push({ kind: 'line', bytes: Buffer.from(`[offset ${offset}] ${text}`, 'latin1') });
  }

  private flushPart(): void {
    if (this.partBegin === this.partEnd) return;
    const part = { begin: this.partBegin, end: this.partEnd };
    this.partBegin = this.partEnd;
    this.partsQueued++;
    this.queue.push({ kind: 'part', result: this.options.pool.checkValues(part, this.options.nowMs) });
  }

  /** Hands the bytes up to `end` to the checksum's computation, as long as there are `least` of them. */
  private queueChecksums(end: number, least: number): void {
    while (end - this.checksumEnd >= least) {
      const begin = this.checksumEnd;
      const size = Math.min(CHECKSUM_PART_BYTES, end - begin);
      this.checksumEnd = begin + size;
      const piece = this.options.pool.checksum({ begin, end: begin + size }).then((crc) => ({ crc, size }));
      piece.catch(() => undefined);
      this.checksums.push(piece);
    }
  }

  /** Prints and adds up what is done, in order, until at most `most` parts are left. False: there is a fault. */
  private async drain(most: number): Promise<boolean> {
    while (this.queue.length > 0) {
      const first = this.queue[0] as Queued;
      if (first.kind === 'line') {
        this.options.output.line(first.bytes);
      } else {
        if (this.partsQueued <= most) break;
        const { counts, fault } = await first.result;
        this.partsQueued--;
        addCounts(this.counts, counts);
        this.fault = fault;
        if (fault !== undefined) return false;
      }
      this.queue.shift();
    }
    return true;
  }

  private async finish(checksum: bigint | undefined): Promise<boolean> {
    this.flushPart();
    if (!(await this.drain(0))) return this.reportFault();
    const { reader } = this;
    if (checksum !== undefined) {
      if (!(await this.checksumMatches(checksum))) {
        const error = { reason: 'RDB CRC error', offset: reader.offset, isTruncated: false };
        this.fault = { error, activity: 'check-sum', key: undefined, keyType: reader.keyType };
        return this.reportFault();
      }
      this.line('Checksum OK');
    } else if (reader.version >= 5) {
      this.line('RDB file was saved with checksum disabled: no check performed.');
    }
    this.line('\\o/ RDB looks OK! \\o/');
    await this.drain(0);
    this.summary();
    return true;
  }

  private async checksumMatches(expected: bigint): Promise<boolean> {
    // The checksum's own eight bytes are not in it.
    this.queueChecksums(this.reader.offset - 8, 1);
    let sum = 0n;
    for (const { crc, size } of await Promise.all(this.checksums)) sum = combineCrc64(sum, crc, size);
    return sum === expected;
  }

  private summary(): void {
    const { keys, expiries, expired } = this.counts;
    const lines = [`[info] ${keys} keys read`, `[info] ${expiries} expires`, `[info] ${expired} already expired`];
    for (const line of lines) this.options.output.line(Buffer.from(line));
  }

  /** Prints what is wrong; false. */
  private reportFault(): boolean {
    const fault = this.fault;
    if (fault === undefined) throw new Error('no fault to report');
    const print = (text: string): void => this.options.output.line(Buffer.from(text, 'latin1'));
    print('--- RDB ERROR DETECTED ---');
    print(`[offset ${fault.error.offset}] ${faultText(fault)}`);
    print(`[additional info] While doing: ${fault.activity}`);
    if (fault.key !== undefined) print(`[additional info] Reading key '${printable(fault.key)}'`);
    if (fault.keyType !== -1) {
      const name = RDB_TYPES.get(fault.keyType)?.checkName ?? 'unknown';
      print(`[additional info] Reading type ${fault.keyType} (${name})`);
    }
    this.summary();
    return false;
  }
}

/** Faults of the file's frame are told plainly, those within strings and values the way Redis's loader tells them. */
function faultText({ error, activity }: RdbFault): string {
  if (error.isTruncated) return 'Unexpected EOF reading RDB file';
  const isWithin = activity === 'read-object-value' || activity === 'read-key' || /^Unknown /.test(error.reason);
  return isWithin ? `Internal error in RDB reading offset ${error.offset} -> ${error.reason}` : error.reason;
}
