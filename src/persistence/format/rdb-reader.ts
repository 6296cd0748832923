/**
 * RdbReader: an RDB file, version 1 to 12, record by record, in bounded memory at any size.
 *
 *   const reader = new RdbReader(new FileSource(path));
 *   for (let record = reader.next(); record !== undefined; record = reader.next()) {
 *     if (record.kind === 'entry') reader.readValue(visitor);
 *   }
 *
 * An entry's value is read (`readValue`) or not, before the next record; what was not read is stepped over. The last
 * record is `end`; `offset` is behind the file's checksum then, where the AOF tail of an old preamble would begin. The
 * checksum itself is not computed here (crc64Of; `checksumFault` does both).
 *
 * Errors are FormatErrors. After one, `activity`, `key` and `keyType` tell what was being read, in
 * redis-check-rdb's words; the reader is of no use then.
 */
import type { ByteSource } from './byte-source.js';
import { crc64Of } from './crc64.js';
import { Opcode, RDB_TYPES, RDB_VERSION_MAX, RDB_VERSION_MIN, moduleName, type RdbTypeInfo } from './rdb-format.js';
import { RdbInput } from './rdb-input.js';
import { readModuleItems, readValue, skipValue } from './value-reader.js';
import { ValueVisitor } from './value-visitor.js';

/** What the reader is at, in redis-check-rdb's words. */
export type Activity =
  | 'start'
  | 'read-type'
  | 'read-expire'
  | 'read-key'
  | 'read-object-value'
  | 'check-sum'
  | 'read-len'
  | 'read-aux'
  | 'read-module-aux'
  | 'read-functions';

/** A key; its value is still to be read. */
export interface EntryRecord {
  kind: 'entry';
  db: number;
  key: Buffer;
  /** The type byte, and what it means. */
  type: number;
  info: RdbTypeInfo;
  /** Where the entry begins, with its expiry if it has one. */
  begin: number;
  expiresAtMs: bigint | undefined;
  idleSeconds: bigint | undefined;
  frequency: number | undefined;
}

export type RdbRecord =
  | EntryRecord
  | { kind: 'header'; version: number }
  | { kind: 'aux'; name: Buffer; value: Buffer }
  | { kind: 'database'; db: number }
  /** Numbers of keys and of expiries: hints, not to be believed. */
  | { kind: 'sizes'; keys: bigint; expiries: bigint }
  | { kind: 'slot'; slot: bigint; keys: bigint; expiries: bigint }
  | { kind: 'function'; code: Buffer }
  /** A module's own data; `offset` is where they begin. */
  | { kind: 'module-aux'; module: string; offset: number }
  /** The end; `checksum` is undefined before version 5 and where it was switched off. */
  | { kind: 'end'; checksum: bigint | undefined };

/** A part of a file that holds whole records, for readers that share a file. */
export interface RdbPart {
  begin: number;
  end: number;
}

const SIGNATURE = 'REDIS';
const HEADER_BYTES = 9;
const CHECKSUM_VERSION_MIN = 5;
/** Redis takes this time for none. */
const NO_EXPIRY = -1n;

/** Expiry, idle time and frequency of the entry that follows. */
type Prelude = Pick<EntryRecord, 'begin' | 'expiresAtMs' | 'idleSeconds' | 'frequency'>;

export class RdbReader {
  activity: Activity = 'start';
  /** The key whose value is being read. */
  key: Buffer | undefined;
  /** Type byte of the value being read; -1 between entries. 0 before the first, as in redis-check-rdb. */
  keyType = 0;
  /** 0 while the header is still to come. */
  version = 0;

  private readonly input: RdbInput;
  private readonly isPart: boolean;
  private readonly end: number;
  private readonly silent = new ValueVisitor();
  private db = 0;
  private isValuePending = false;
  private isAtEnd = false;

  /** Reads the whole source from `begin` on, or only the records of a part. */
  constructor(source: ByteSource, part?: RdbPart | { begin: number }) {
    this.isPart = part !== undefined && 'end' in part;
    this.end = part !== undefined && 'end' in part ? part.end : source.size;
    this.input = new RdbInput(source, part?.begin ?? 0, this.end);
  }

  /** Offset in the source behind what has been read. */
  get offset(): number {
    return this.input.offset;
  }

  /** The next record; undefined behind the last. */
  next(): RdbRecord | undefined {
    if (this.isAtEnd) return undefined;
    if (this.version === 0 && !this.isPart) return this.readHeader();
    if (this.isValuePending) this.skipValue();
    if (this.isPart && this.input.offset === this.end) return undefined;
    const prelude: Prelude = {
      begin: this.input.offset,
      expiresAtMs: undefined,
      idleSeconds: undefined,
      frequency: undefined,
    };
    for (;;) {
      this.activity = 'read-type';
      const opcode = this.input.u8();
      if (!this.readPrelude(opcode, prelude)) return this.readRecord(opcode, prelude);
    }
  }

  /** Reads and checks the value of the entry that `next` gave last. */
  readValue(visitor: ValueVisitor): void {
    readValue(this.input, this.keyType, visitor);
    this.finishValue();
  }

  /** Steps over that value and looks at nothing but lengths. */
  skipValue(): void {
    skipValue(this.input, this.keyType, this.silent);
    this.finishValue();
  }

  private finishValue(): void {
    this.isValuePending = false;
    this.key = undefined;
    this.keyType = -1;
  }

  private readHeader(): RdbRecord {
    const header = this.input.bytes(HEADER_BYTES).toString('latin1');
    if (!header.startsWith(SIGNATURE)) this.input.corrupt('Wrong signature trying to load DB from file');
    const digits = header.slice(SIGNATURE.length);
    const version = /^[0-9]{4}$/.test(digits) ? Number(digits) : 0;
    if (version < RDB_VERSION_MIN || version > RDB_VERSION_MAX) {
      this.input.corrupt(`Can't handle RDB format version ${version === 0 ? digits.replace(/^0+(?=.)/, '') : version}`);
    }
    this.version = version;
    return { kind: 'header', version };
  }

  /** Reads what comes before an entry's type byte. False when `opcode` is something else. */
  private readPrelude(opcode: number, prelude: Prelude): boolean {
    switch (opcode) {
      case Opcode.expirySeconds:
        this.activity = 'read-expire';
        prelude.expiresAtMs = BigInt(this.input.u32() | 0) * 1000n;
        return true;
      case Opcode.expiryMs:
        this.activity = 'read-expire';
        prelude.expiresAtMs = this.input.i64();
        if (prelude.expiresAtMs === NO_EXPIRY) prelude.expiresAtMs = undefined;
        return true;
      case Opcode.frequency:
        prelude.frequency = this.input.u8();
        return true;
      case Opcode.idle:
        prelude.idleSeconds = this.input.lengthBig();
        return true;
    }
    return false;
  }

  private readRecord(opcode: number, prelude: Prelude): RdbRecord {
    const { input } = this;
    switch (opcode) {
      case Opcode.end:
        return this.readEnd();
      case Opcode.selectDb:
        this.activity = 'read-len';
        this.db = input.length();
        if (!Number.isSafeInteger(this.db)) input.corrupt('database number out of range');
        return { kind: 'database', db: this.db };
      case Opcode.resizeDb:
        this.activity = 'read-len';
        return { kind: 'sizes', keys: input.lengthBig(), expiries: input.lengthBig() };
      case Opcode.slotInfo:
        this.activity = 'read-len';
        return { kind: 'slot', slot: input.lengthBig(), keys: input.lengthBig(), expiries: input.lengthBig() };
      case Opcode.aux:
        this.activity = 'read-aux';
        return { kind: 'aux', name: input.string(), value: input.string() };
      case Opcode.moduleAux:
        return this.readModuleAux();
      case Opcode.function:
      case Opcode.functionPreRelease:
        return this.readFunction(opcode);
    }
    return this.readEntry(opcode, prelude);
  }

  private readEntry(type: number, prelude: Prelude): EntryRecord {
    const info = RDB_TYPES.get(type);
    if (info === undefined) return this.input.corrupt(`Invalid object type: ${type}`);
    this.keyType = type;
    this.activity = 'read-key';
    const key = this.input.string();
    this.key = key;
    this.activity = 'read-object-value';
    this.isValuePending = true;
    return { kind: 'entry', db: this.db, key, type, info, ...prelude };
  }

  private readFunction(opcode: number): RdbRecord {
    const { input } = this;
    this.activity = 'read-functions';
    input.shortRead = 'Failed loading library, Failed loading library payload';
    if (opcode === Opcode.functionPreRelease) {
      // Name and engine stood apart then; today the first line of the code says both.
      const name = input.string();
      const engine = input.string();
      if (input.length() !== 0) input.skipString();
      const code = input.string();
      input.shortRead = undefined;
      const first = Buffer.concat([Buffer.from('#!'), engine, Buffer.from(' name='), name, Buffer.from('\n')]);
      return { kind: 'function', code: Buffer.concat([first, code]) };
    }
    const code = input.string();
    input.shortRead = undefined;
    return { kind: 'function', code };
  }

  private readModuleAux(): RdbRecord {
    const { input } = this;
    this.activity = 'read-module-aux';
    const module = moduleName(input.lengthBig());
    const whenOpcode = input.length();
    input.lengthBig();
    if (whenOpcode !== 2) input.corrupt('bad when_opcode');
    const offset = input.offset;
    readModuleItems(input, this.silent);
    return { kind: 'module-aux', module, offset };
  }

  private readEnd(): RdbRecord {
    this.isAtEnd = true;
    if (this.version < CHECKSUM_VERSION_MIN) return { kind: 'end', checksum: undefined };
    this.activity = 'check-sum';
    const checksum = this.input.u64();
    return { kind: 'end', checksum: checksum === 0n ? undefined : checksum };
  }
}

/** Whether the bytes from `begin` to the end record's checksum (at `offset`, behind it) have another checksum. */
export function checksumFault(
  source: ByteSource,
  begin: number,
  offset: number,
  checksum: bigint | undefined,
): boolean {
  return checksum !== undefined && crc64Of(source, begin, offset - 8) !== checksum;
}
