/**
 * RDB files as JSON, one object per key:
 *
 *   {"db":0,"key":"k","type":"hash","encoding":"listpack","expiresAt":1700000000000,"value":{"f":"v"}}
 *
 *   string   "text"                                list, set   ["a","b"]
 *   zset     [["member",1.5],["other","inf"]]      hash        {"field":"value"}; with field expiries, after the value,
 *   module   {"module":"name","items":[…]}                     "fieldExpiresAt":{"field":1700000000000}
 *   stream   {"entries":[["1-1",["name","value"]]],"length":1,"lastId":"1-1","firstId":…,"maxDeletedId":…,
 *             "entriesAdded":1,"groups":[{"name":"g","lastId":"1-1","entriesRead":1,
 *               "pending":[["1-1",delivered at,times]],"consumers":[{"name":"c","seenAt":…,"activeAt":…,
 *               "pending":["1-1"]}]}]}
 *
 * Times are unix times in milliseconds. "expiresAt", "idle" (seconds) and "freq" are there when the file has them.
 * Redis's strings are always JSON strings, also those that look like numbers (json-text.ts says how bytes that are not
 * text appear). Numbers are exact, so that a reader needs more than doubles for those beyond 2^53.
 */
import type { JsonWriter } from './json-writer.js';
import { RdbReader, type EntryRecord } from './rdb-reader.js';
import type { ValueKind } from './rdb-format.js';
import { ValueVisitor, formatStreamId, type ModuleItem, type StreamDetails } from './value-visitor.js';

/** Longest string that OBJECT ENCODING calls embstr. */
const EMBSTR_BYTES_MAX = 44;

/** Which keys to write, and what of them. */
export interface JsonOptions {
  /** Undefined: all. */
  matches?: (entry: EntryRecord) => boolean;
  keysOnly?: boolean;
  /** Aux fields, functions and modules' own data too, each as an object of its own. */
  withFrame?: boolean;
}

/** Writes the value of one key, behind `"encoding":`, up to its last member. */
class JsonValueVisitor extends ValueVisitor {
  private kind: ValueKind = 'string';
  private encoding = '';
  private isStarted = false;
  private expiries: [Buffer, number][] = [];
  /** What is open within a stream. */
  private isInGroup = false;
  private isInConsumer = false;
  private hasGroups = false;

  constructor(private readonly json: JsonWriter) {
    super();
  }

  /** To be called before a value. The entry's object is open. */
  start(entry: EntryRecord): void {
    this.kind = entry.info.kind;
    this.encoding = entry.info.encoding;
    this.isStarted = this.isInGroup = this.isInConsumer = this.hasGroups = false;
    this.expiries = [];
  }

  /** To be called behind it. */
  finish(): void {
    const { json } = this;
    this.ensureStarted();
    switch (this.kind) {
      case 'hash':
        json.end('}');
        this.writeExpiries();
        break;
      case 'stream':
        this.endGroup();
        if (!this.hasGroups) this.beginGroups();
        json.end(']');
        json.end('}');
        break;
      case 'module':
        json.end(']');
        json.end('}');
        break;
      case 'string':
        break;
      default:
        json.end(']');
    }
  }

  override string(value: Buffer, isInteger: boolean): void {
    const encoding = isInteger || isInteger64(value) ? 'int' : value.length <= EMBSTR_BYTES_MAX ? 'embstr' : 'raw';
    this.isStarted = true;
    this.writeEncoding(encoding);
    this.json.string(value);
  }

  override listElement(element: Buffer): void {
    this.ensureStarted();
    this.json.string(element);
  }

  override setMember(member: Buffer): void {
    this.ensureStarted();
    this.json.string(member);
  }

  override scoredMember(member: Buffer, score: number): void {
    this.ensureStarted();
    this.json.begin('[');
    this.json.string(member);
    this.json.number(score);
    this.json.end(']');
  }

  override field(name: Buffer, value: Buffer, expiresAtMs: number | undefined): void {
    this.ensureStarted();
    this.json.name(name);
    this.json.string(value);
    if (expiresAtMs !== undefined) this.expiries.push([name, expiresAtMs]);
  }

  override streamEntry(id: bigint, words: Buffer[]): void {
    this.ensureStarted();
    this.json.begin('[');
    this.json.string(formatStreamId(id));
    this.json.begin('[');
    for (const word of words) this.json.string(word);
    this.json.end(']');
    this.json.end(']');
  }

  override streamDetails(details: StreamDetails): void {
    const { json } = this;
    this.ensureStarted();
    json.end(']');
    this.member('length', details.length);
    this.idMember('lastId', details.lastId);
    if (details.firstId !== undefined) this.idMember('firstId', details.firstId);
    if (details.maxDeletedId !== undefined) this.idMember('maxDeletedId', details.maxDeletedId);
    if (details.entriesAdded !== undefined) this.member('entriesAdded', details.entriesAdded);
  }

  override group(name: Buffer, lastId: bigint, entriesRead: bigint | undefined): void {
    const { json } = this;
    this.endGroup();
    if (!this.hasGroups) this.beginGroups();
    this.isInGroup = true;
    json.begin('{');
    json.name('name');
    json.string(name);
    this.idMember('lastId', lastId);
    if (entriesRead !== undefined) this.member('entriesRead', entriesRead);
    json.name('pending');
    json.begin('[');
  }

  override pending(id: bigint, deliveredAtMs: bigint, deliveries: bigint): void {
    this.json.begin('[');
    this.json.string(formatStreamId(id));
    this.json.number(deliveredAtMs);
    this.json.number(deliveries);
    this.json.end(']');
  }

  override consumer(name: Buffer, seenAtMs: bigint, activeAtMs: bigint | undefined): void {
    const { json } = this;
    if (this.isInConsumer) this.endConsumer();
    else this.beginConsumers();
    this.isInConsumer = true;
    json.begin('{');
    json.name('name');
    json.string(name);
    this.member('seenAt', seenAtMs);
    if (activeAtMs !== undefined) this.member('activeAt', activeAtMs);
    json.name('pending');
    json.begin('[');
  }

  override consumerPending(id: bigint): void {
    this.json.string(formatStreamId(id));
  }

  override module(name: string): void {
    const { json } = this;
    this.isStarted = true;
    this.writeEncoding(this.encoding);
    json.begin('{');
    json.name('module');
    json.string(name);
    json.name('items');
    json.begin('[');
  }

  override moduleItem(item: ModuleItem): void {
    if (Buffer.isBuffer(item)) this.json.string(item);
    else this.json.number(item);
  }

  private member(name: string, value: bigint | number): void {
    this.json.name(name);
    this.json.number(value);
  }

  private idMember(name: string, id: bigint): void {
    this.json.name(name);
    this.json.string(formatStreamId(id));
  }

  private writeEncoding(encoding: string): void {
    this.json.name('encoding');
    this.json.string(encoding);
    this.json.name('value');
  }

  /** Opens the value's brackets before its first element. */
  private ensureStarted(): void {
    if (this.isStarted) return;
    this.isStarted = true;
    this.writeEncoding(this.encoding);
    if (this.kind === 'hash') return this.json.begin('{');
    if (this.kind === 'stream') {
      this.json.begin('{');
      this.json.name('entries');
    }
    this.json.begin('[');
  }

  private writeExpiries(): void {
    if (this.expiries.length === 0) return;
    this.json.name('fieldExpiresAt');
    this.json.begin('{');
    for (const [name, expiresAtMs] of this.expiries) {
      this.json.name(name);
      this.json.number(expiresAtMs);
    }
    this.json.end('}');
  }

  private beginGroups(): void {
    this.hasGroups = true;
    this.json.name('groups');
    this.json.begin('[');
  }

  private beginConsumers(): void {
    this.json.end(']'); // the group's pending entries
    this.json.name('consumers');
    this.json.begin('[');
  }

  private endConsumer(): void {
    this.json.end(']');
    this.json.end('}');
  }

  private endGroup(): void {
    if (!this.isInGroup) return;
    if (this.isInConsumer) this.endConsumer();
    else this.beginConsumers();
    this.json.end(']');
    this.json.end('}');
    this.isInGroup = this.isInConsumer = false;
  }
}

function isInteger64(value: Buffer): boolean {
  if (value.length > 20) return false;
  const text = value.toString('latin1');
  return /^(?:0|-?[1-9][0-9]*)$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
}

/** Writes one object per key. Gives the end record's checksum; throws FormatError. */
export function writeRdbAsJson(reader: RdbReader, json: JsonWriter, options: JsonOptions = {}): bigint | undefined {
  const visitor = new JsonValueVisitor(json);
  for (let record = reader.next(); record !== undefined; record = reader.next()) {
    switch (record.kind) {
      case 'entry':
        if (options.matches === undefined || options.matches(record)) {
          writeEntry(reader, record, json, options.keysOnly === true ? undefined : visitor);
        }
        break;
      case 'aux':
        if (options.withFrame === true) writeMembers(json, { aux: record.name, value: record.value });
        break;
      case 'function':
        if (options.withFrame === true) writeMembers(json, { function: record.code });
        break;
      case 'module-aux':
        if (options.withFrame === true) writeMembers(json, { moduleAux: Buffer.from(record.module) });
        break;
      case 'end':
        return record.checksum;
    }
  }
  return undefined;
}

function writeMembers(json: JsonWriter, members: Record<string, Buffer>): void {
  json.begin('{');
  for (const [name, value] of Object.entries(members)) {
    json.name(name);
    json.string(value);
  }
  json.end('}');
  json.newLine();
}

function writeEntry(
  reader: RdbReader,
  entry: EntryRecord,
  json: JsonWriter,
  visitor: JsonValueVisitor | undefined,
): void {
  json.begin('{');
  json.name('db');
  json.number(entry.db);
  json.name('key');
  json.string(entry.key);
  json.name('type');
  json.string(entry.info.kind);
  const numbers = { expiresAt: entry.expiresAtMs, idle: entry.idleSeconds, freq: entry.frequency };
  for (const [name, value] of Object.entries(numbers)) {
    if (value === undefined) continue;
    json.name(name);
    json.number(value);
  }
  if (visitor !== undefined) {
    visitor.start(entry);
    reader.readValue(visitor);
    visitor.finish();
  }
  json.end('}');
  json.newLine();
}
