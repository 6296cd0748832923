/**
 * Streams in RDB files.
 *
 *   node count, (16 bytes of id as a string, listpack as a string) …
 *   length, last id; from streamListpacks2 on first id, max deleted id, entries added
 *   group count, groups: name, last id, [entries read, from streamListpacks2 on]
 *     pending count, (16 bytes of id, i64 delivery time, delivery count) …
 *     consumer count, consumers: name, i64 seen time, [i64 active time, from streamListpacks3 on]
 *       pending count, (16 bytes of id) …
 *
 *   node (a listpack): count | deleted | fields | name … | 0, then entries:
 *     flags | ms - node's | sequence - node's | values …                      | elements     flags & 2
 *     flags | ms - node's | sequence - node's | fields | name, value …        | elements     else
 *
 * Ids are two lengths, except where they are said to be 16 bytes (two big-endian numbers). Differences of ids wrap at
 * 64 bits; flags & 1 marks a deleted entry. `elements` is how many elements the entry has before this one.
 */
import { PackError } from './format-error.js';
import { ListpackCursor } from './listpack.js';
import { RdbType } from './rdb-format.js';
import type { RdbInput } from './rdb-input.js';
import { streamId, type StreamDetails, type ValueVisitor } from './value-visitor.js';

const RAW_ID_BYTES = 16;
const FLAG_DELETED = 1;
const FLAG_NODE_FIELDS = 2;
/** Pending entries of one group that are compared with the consumers'; beyond that the file is believed. */
const PENDING_CHECKED_MAX = 1 << 20;

const hasDetails = (type: number): boolean => type !== RdbType.streamListpacks;
const hasActiveTime = (type: number): boolean => type === RdbType.streamListpacks3;

/** Reads a stream. The reasons of its errors, ends of file included, are Redis's. */
export function readStream(input: RdbInput, type: number, visitor: ValueVisitor): void {
  try {
    const nodeCount = readNodes(input, visitor);
    input.shortRead = 'Stream object metadata loading failed.';
    const details = readDetails(input, type);
    if (nodeCount === 0 && details.length > 0n) input.corrupt('Stream length inconsistent with rax entries');
    visitor.streamDetails(details);
    input.shortRead = 'Stream cgroup count loading failed.';
    const groupCount = input.length();
    const names = new Set<string>();
    for (let index = 0; index < groupCount; index++) readGroup(input, type, visitor, names);
  } finally {
    input.shortRead = undefined;
  }
}

/** Steps over a stream. */
export function skipStream(input: RdbInput, type: number): void {
  const nodeCount = input.length();
  for (let index = 0; index < nodeCount * 2; index++) input.skipString();
  readDetails(input, type);
  const groupCount = input.length();
  for (let group = 0; group < groupCount; group++) {
    input.skipString();
    for (let count = hasDetails(type) ? 3 : 2; count > 0; count--) input.lengthBig();
    const pendingCount = input.length();
    for (let index = 0; index < pendingCount; index++) {
      input.skip(RAW_ID_BYTES + 8);
      input.lengthBig();
    }
    const consumerCount = input.length();
    for (let index = 0; index < consumerCount; index++) {
      input.skipString();
      input.skip(hasActiveTime(type) ? 16 : 8);
      input.skip(input.length() * RAW_ID_BYTES);
    }
  }
}

function readDetails(input: RdbInput, type: number): StreamDetails {
  const details: StreamDetails = { length: input.lengthBig(), lastId: readId(input) };
  if (!hasDetails(type)) return details;
  details.firstId = readId(input);
  details.maxDeletedId = readId(input);
  details.entriesAdded = input.lengthBig();
  return details;
}

function readId(input: RdbInput): bigint {
  const ms = input.lengthBig();
  return streamId(ms, input.lengthBig());
}

function readRawId(input: RdbInput): bigint {
  const bytes = input.view(RAW_ID_BYTES);
  return streamId(bytes.readBigUInt64BE(0), bytes.readBigUInt64BE(8));
}

// ---- Entries ----

function readNodes(input: RdbInput, visitor: ValueVisitor): number {
  input.shortRead = 'Stream listpacks len loading failed.';
  const count = input.length();
  let previous = -1n;
  for (let index = 0; index < count; index++) {
    input.shortRead = 'Stream master ID loading failed: invalid encoding or I/O error.';
    const key = input.string();
    if (key.length !== RAW_ID_BYTES) input.corrupt('Stream node key entry is not the size of a stream ID');
    const id = streamId(key.readBigUInt64BE(0), key.readBigUInt64BE(8));
    input.shortRead = 'Stream listpacks loading failed.';
    const pack = input.string();
    if (id === previous) input.corrupt('Listpack re-added with existing key');
    if (id < previous) input.corrupt('Stream nodes out of order');
    previous = id;
    input.within('Stream listpack integrity check failed.', () => readNode(id, pack, visitor));
  }
  return count;
}

/** The next element, which must be an integer. */
function nextInteger(cursor: ListpackCursor): number | bigint {
  if (!cursor.next() || cursor.text !== undefined) throw new PackError('stream node: integer expected');
  return cursor.integer;
}

/** A count, which needs no more elements than the pack can hold. */
function nextCount(cursor: ListpackCursor, most: number): number {
  const count = Number(nextInteger(cursor));
  if (count < 0 || count > most) throw new PackError('stream node: count');
  return count;
}

function nextBytes(cursor: ListpackCursor): Buffer {
  if (!cursor.next()) throw new PackError('stream node: value expected');
  return cursor.bytes;
}

function readNode(node: bigint, pack: Buffer, visitor: ValueVisitor): void {
  const cursor = new ListpackCursor(pack);
  const living = nextCount(cursor, pack.length);
  const deleted = nextCount(cursor, pack.length);
  const names: Buffer[] = [];
  for (let count = nextCount(cursor, pack.length); count > 0; count--) names.push(nextBytes(cursor));
  if (nextInteger(cursor) !== 0) throw new PackError('stream node: end of master entry');
  let livingSeen = 0;
  let deletedSeen = 0;
  while (cursor.next()) {
    if (cursor.text !== undefined) throw new PackError('stream node: flags');
    const flags = Number(cursor.integer);
    const entry = readEntry(node, cursor, (flags & FLAG_NODE_FIELDS) !== 0 ? names : undefined, pack.length);
    if ((flags & FLAG_DELETED) !== 0) {
      deletedSeen++;
    } else {
      livingSeen++;
      visitor.streamEntry(entry.id, entry.words);
    }
  }
  cursor.finish();
  if (livingSeen !== living || deletedSeen !== deleted) throw new PackError('stream node: counts');
}

/** An entry behind its flags; `names` are the node's, if the entry has those. */
function readEntry(
  node: bigint,
  cursor: ListpackCursor,
  names: readonly Buffer[] | undefined,
  countMax: number,
): { id: bigint; words: Buffer[] } {
  const first = cursor.index - 1;
  const ms = BigInt.asUintN(64, (node >> 64n) + BigInt(nextInteger(cursor)));
  const sequence = BigInt.asUintN(64, node + BigInt(nextInteger(cursor)));
  const words: Buffer[] = [];
  if (names !== undefined) {
    for (const name of names) words.push(name, nextBytes(cursor));
  } else {
    for (let count = nextCount(cursor, countMax); count > 0; count--) words.push(nextBytes(cursor), nextBytes(cursor));
  }
  const elements = cursor.index - first;
  if (nextInteger(cursor) !== elements) throw new PackError('stream node: elements of an entry');
  return { id: streamId(ms, sequence), words };
}

// ---- Groups ----

/** Pending entries of a group that no consumer has claimed yet. */
class PendingCheck {
  private readonly unclaimed = new Set<bigint>();
  private readonly claimed = new Set<bigint>();
  private isComplete = true;

  constructor(private readonly input: RdbInput) {}

  add(id: bigint): void {
    if (this.unclaimed.has(id)) this.input.corrupt('Duplicated global PEL entry loading stream consumer group');
    if (this.unclaimed.size < PENDING_CHECKED_MAX) this.unclaimed.add(id);
    else this.isComplete = false;
  }

  claim(id: bigint): void {
    if (this.unclaimed.delete(id)) {
      this.claimed.add(id);
    } else if (this.claimed.has(id)) {
      this.input.corrupt('Stream consumer PEL entry already has a consumer assigned');
    } else if (this.isComplete) {
      this.input.corrupt('Consumer entry not found in group global PEL');
    }
  }

  finish(): void {
    if (this.isComplete && this.unclaimed.size > 0) this.input.corrupt('Stream CG PEL entry without consumer');
  }
}

function readGroup(input: RdbInput, type: number, visitor: ValueVisitor, names: Set<string>): void {
  input.shortRead = 'Error reading the consumer group name from Stream';
  const name = input.string();
  input.shortRead = 'Stream cgroup ID loading failed.';
  const lastId = readId(input);
  input.shortRead = 'Stream cgroup offset loading failed.';
  const entriesRead = hasDetails(type) ? BigInt.asIntN(64, input.lengthBig()) : undefined;
  const key = name.toString('latin1');
  if (names.has(key)) input.corrupt(`Duplicated consumer group name ${key}`);
  names.add(key);
  visitor.group(name, lastId, entriesRead);
  const pending = new PendingCheck(input);
  input.shortRead = 'Stream PEL size loading failed.';
  const pendingCount = input.length();
  for (let index = 0; index < pendingCount; index++) {
    input.shortRead = 'Stream PEL ID loading failed.';
    const id = readRawId(input);
    input.shortRead = 'Stream PEL NACK loading failed.';
    const deliveredAtMs = input.i64();
    const deliveries = input.lengthBig();
    pending.add(id);
    visitor.pending(id, deliveredAtMs, deliveries);
  }
  input.shortRead = 'Stream consumers num loading failed.';
  const consumerCount = input.length();
  const consumers = new Set<string>();
  for (let index = 0; index < consumerCount; index++) readConsumer(input, type, visitor, consumers, pending);
  pending.finish();
}

function readConsumer(
  input: RdbInput,
  type: number,
  visitor: ValueVisitor,
  names: Set<string>,
  pending: PendingCheck,
): void {
  input.shortRead = 'Error reading the consumer name from Stream group.';
  const name = input.string();
  const key = name.toString('latin1');
  if (names.has(key)) input.corrupt('Duplicate stream consumer detected.');
  names.add(key);
  input.shortRead = 'Stream short read reading seen time.';
  const seenAtMs = input.i64();
  input.shortRead = 'Stream short read reading active time.';
  const activeAtMs = hasActiveTime(type) ? input.i64() : undefined;
  visitor.consumer(name, seenAtMs, activeAtMs);
  input.shortRead = 'Stream consumer PEL num loading failed.';
  const count = input.length();
  for (let index = 0; index < count; index++) {
    input.shortRead = 'Stream short read reading PEL streamID.';
    const id = readRawId(input);
    pending.claim(id);
    visitor.consumerPending(id);
  }
}
