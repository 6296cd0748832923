/**
 * ValueVisitor: who wants to see values gets them element by element, so that a set of a hundred million members costs
 * no more memory than one of three.
 *
 * Every method does nothing by default. Buffers are the visitor's to keep. The order is that of the file; for a stream
 * it is entries, details, then each group with its pending entries and its consumers with theirs.
 *
 * A stream id is one number of 128 bits, milliseconds above, sequence below; `formatStreamId` prints it.
 */

export interface StreamDetails {
  length: bigint;
  lastId: bigint;
  /** The rest is there from RDB version 10 on. */
  firstId?: bigint;
  maxDeletedId?: bigint;
  entriesAdded?: bigint;
}

/** One datum of a module's value. */
export type ModuleItem = bigint | number | Buffer;

export class ValueVisitor {
  /** A string; `isInteger` tells that the file holds it as an integer. */
  string(_value: Buffer, _isInteger: boolean): void {}
  listElement(_element: Buffer): void {}
  setMember(_member: Buffer): void {}
  scoredMember(_member: Buffer, _score: number): void {}
  /** A field of a hash; `expiresAtMs` is undefined when it does not expire. */
  field(_name: Buffer, _value: Buffer, _expiresAtMs: number | undefined): void {}
  /** A living entry; `words` are names and values in turn. */
  streamEntry(_id: bigint, _words: Buffer[]): void {}
  streamDetails(_details: StreamDetails): void {}
  /** `entriesRead` is -1 when unknown, undefined before version 10. */
  group(_name: Buffer, _lastId: bigint, _entriesRead: bigint | undefined): void {}
  pending(_id: bigint, _deliveredAtMs: bigint, _deliveries: bigint): void {}
  /** `activeAtMs` is -1 for never, undefined before version 11. */
  consumer(_name: Buffer, _seenAtMs: bigint, _activeAtMs: bigint | undefined): void {}
  consumerPending(_id: bigint): void {}
  module(_name: string): void {}
  moduleItem(_item: ModuleItem): void {}
}

const WORD_BITS = 64n;

export function streamId(ms: bigint, sequence: bigint): bigint {
  return (ms << WORD_BITS) | sequence;
}

export function formatStreamId(id: bigint): string {
  return `${id >> WORD_BITS}-${BigInt.asUintN(64, id)}`;
}
