/**
 * Values of RDB files, all types and encodings but streams (stream-value.ts).
 *
 * `readValue` checks as deeply as Redis does with sanitize-dump-payload: every packed structure element by element,
 * duplicates, sizes, order, scores that are no numbers, values without elements. The reasons are Redis's words.
 * `skipValue` steps over a value and looks at nothing but lengths.
 */
import { Distinct } from './distinct.js';
import { ListpackCursor, forEachInListpack } from './listpack.js';
import { forEachInIntset, forEachInZiplist, forEachInZipmap } from './old-packs.js';
import { PackError } from './format-error.js';
import { RdbType, moduleName } from './rdb-format.js';
import type { RdbInput } from './rdb-input.js';
import { readStream, skipStream } from './stream-value.js';
import { integerBytes, parseDouble } from './text-numbers.js';
import type { ValueVisitor } from './value-visitor.js';

/** Redis keeps 48 bits of a field's expiry. */
const FIELD_TIME_MAX = 2 ** 48 - 1;
const NODE_PLAIN = 1;
const NODE_PACKED = 2;
const EMPTY = 'a value without elements';

/** Reads the value of the given type and shows it to `visitor`. Throws FormatError. */
export function readValue(input: RdbInput, type: number, visitor: ValueVisitor): void {
  switch (type) {
    case RdbType.string: {
      const value = input.string();
      return visitor.string(value, input.wasInteger);
    }
    case RdbType.list:
    case RdbType.listZiplist:
    case RdbType.listQuicklist:
    case RdbType.listQuicklist2:
      return readList(input, type, visitor);
    case RdbType.set:
    case RdbType.setIntset:
    case RdbType.setListpack:
      return readSet(input, type, visitor);
    case RdbType.sortedSet:
    case RdbType.sortedSet2:
    case RdbType.sortedSetZiplist:
    case RdbType.sortedSetListpack:
      return readSortedSet(input, type, visitor);
    case RdbType.hash:
    case RdbType.hashMetadata:
    case RdbType.hashMetadataPreRelease:
      return readHash(input, type, visitor);
    case RdbType.hashZipmap:
    case RdbType.hashZiplist:
    case RdbType.hashListpack:
    case RdbType.hashListpackEx:
    case RdbType.hashListpackExPreRelease:
      return readPackedHash(input, type, visitor);
    case RdbType.streamListpacks:
    case RdbType.streamListpacks2:
    case RdbType.streamListpacks3:
      return readStream(input, type, visitor);
    case RdbType.module:
    case RdbType.module2:
      return readModule(input, type, visitor);
  }
  input.corrupt(`Unknown RDB encoding type ${type}`);
}

// ---- Lists and sets ----

function readList(input: RdbInput, type: number, visitor: ValueVisitor): void {
  let seen = 0;
  const visit = (element: Buffer): void => {
    seen++;
    visitor.listElement(element);
  };
  if (type === RdbType.listZiplist) {
    const pack = input.string();
    input.within('List ziplist integrity check failed.', () => forEachInZiplist(pack, visit));
  } else {
    const count = input.length();
    for (let index = 0; index < count; index++) {
      if (type === RdbType.list) visit(input.string());
      else readNode(input, type, visit);
    }
  }
  if (seen === 0) input.corrupt(EMPTY);
}

function readNode(input: RdbInput, type: number, visit: (element: Buffer) => void): void {
  if (type === RdbType.listQuicklist) {
    const pack = input.string();
    return input.within('Ziplist integrity check failed.', () => forEachInZiplist(pack, visit));
  }
  const container = input.length();
  if (container !== NODE_PLAIN && container !== NODE_PACKED) input.corrupt('Quicklist integrity check failed.');
  const bytes = input.string();
  if (container === NODE_PLAIN) return visit(bytes);
  input.within('Listpack integrity check failed.', () => forEachInListpack(bytes, visit));
}

function readSet(input: RdbInput, type: number, visitor: ValueVisitor): void {
  if (type === RdbType.setIntset) {
    const pack = input.string();
    return input.within('Intset integrity check failed.', () =>
      forEachInIntset(pack, (value) => visitor.setMember(integerBytes(value))),
    );
  }
  const distinct = new Distinct();
  let seen = 0;
  if (type === RdbType.setListpack) {
    const pack = input.string();
    input.within('Set listpack integrity check failed.', () =>
      forEachInListpack(pack, (member) => {
        if (!distinct.add(member)) throw new PackError('duplicate');
        seen++;
        visitor.setMember(member);
      }),
    );
  } else {
    const count = input.length();
    for (; seen < count; seen++) {
      const member = input.string();
      if (!distinct.add(member)) input.corrupt('Duplicate set members detected');
      visitor.setMember(member);
    }
  }
  if (seen === 0) input.corrupt(EMPTY);
}

// ---- Sorted sets ----

function readSortedSet(input: RdbInput, type: number, visitor: ValueVisitor): void {
  const distinct = new Distinct();
  if (type === RdbType.sortedSetZiplist || type === RdbType.sortedSetListpack) {
    return readPackedScores(input, type, distinct, visitor);
  }
  const count = input.length();
  for (let index = 0; index < count; index++) {
    const member = input.string();
    const score = type === RdbType.sortedSet2 ? input.f64() : input.textDouble();
    if (Number.isNaN(score)) input.corrupt('Zset with NAN score detected');
    if (!distinct.add(member)) input.corrupt('Duplicate zset fields detected');
    visitor.scoredMember(member, score);
  }
  if (count === 0) input.corrupt(EMPTY);
}

function readPackedScores(input: RdbInput, type: number, distinct: Distinct, visitor: ValueVisitor): void {
  const pack = input.string();
  const isListpack = type === RdbType.sortedSetListpack;
  const reason = `Zset ${isListpack ? 'listpack' : 'ziplist'} integrity check failed.`;
  let member: Buffer | undefined;
  let seen = 0;
  const visit = (element: Buffer): void => {
    seen++;
    if (member === undefined) {
      member = element;
      return;
    }
    const score = parseDouble(element);
    if (score === undefined || Number.isNaN(score) || !distinct.add(member)) throw new PackError('zset pair');
    visitor.scoredMember(member, score);
    member = undefined;
  };
  input.within(reason, () => (isListpack ? forEachInListpack : forEachInZiplist)(pack, visit));
  if (member !== undefined) input.corrupt(reason);
  if (seen === 0) input.corrupt(EMPTY);
}

// ---- Hashes ----

function readHash(input: RdbInput, type: number, visitor: ValueVisitor): void {
  const distinct = new Distinct();
  const firstExpiry = type === RdbType.hashMetadata ? input.i64() : 1n;
  if (firstExpiry < 0n || firstExpiry > FIELD_TIME_MAX) input.corrupt('Hash read invalid minExpire value');
  const count = input.length();
  for (let index = 0; index < count; index++) {
    let expiresAtMs: number | undefined;
    if (type !== RdbType.hash) {
      // Distance from the first expiry plus one; before the release it was the time itself. 0 is none.
      const distance = input.length();
      if (distance > 0) expiresAtMs = Number(firstExpiry) + distance - 1;
      if (expiresAtMs !== undefined && expiresAtMs > FIELD_TIME_MAX) input.corrupt('invalid expireAt time');
    }
    const name = input.string();
    const value = input.string();
    if (!distinct.add(name))
      input.corrupt(type === RdbType.hash ? 'Hash with dup elements' : 'Duplicate hash fields detected');
    visitor.field(name, value, expiresAtMs);
  }
  if (count === 0) input.corrupt(EMPTY);
}

function readPackedHash(input: RdbInput, type: number, visitor: ValueVisitor): void {
  const distinct = new Distinct();
  // The first expiry is said once more before the pack.
  if (type === RdbType.hashListpackEx) input.i64();
  const pack = input.string();
  let seen = 0;
  const add = (name: Buffer, value: Buffer, expiresAtMs?: number): void => {
    if (!distinct.add(name)) throw new PackError('duplicate');
    seen++;
    visitor.field(name, value, expiresAtMs);
  };
  if (type === RdbType.hashZipmap) {
    input.within('Zipmap integrity check failed.', () => forEachInZipmap(pack, add));
  } else if (type === RdbType.hashZiplist) {
    input.within('Hash ziplist integrity check failed.', () => forEachPair(pack, add));
  } else {
    const hasTimes = type !== RdbType.hashListpack;
    input.within('Hash listpack integrity check failed.', () => forEachPackedField(pack, hasTimes, add));
  }
  if (seen === 0) input.corrupt(EMPTY);
}

function forEachPair(pack: Buffer, add: (name: Buffer, value: Buffer) => void): void {
  let name: Buffer | undefined;
  forEachInZiplist(pack, (element) => {
    if (name === undefined) {
      name = element;
      return;
    }
    add(name, element);
    name = undefined;
  });
  if (name !== undefined) throw new PackError('field without value');
}

function forEachPackedField(
  pack: Buffer,
  hasTimes: boolean,
  add: (name: Buffer, value: Buffer, expiresAtMs?: number) => void,
): void {
  const cursor = new ListpackCursor(pack);
  while (cursor.next()) {
    const name = cursor.bytes;
    if (!cursor.next()) throw new PackError('field without value');
    const value = cursor.bytes;
    if (hasTimes && !cursor.next()) throw new PackError('field without time');
    add(name, value, hasTimes ? fieldTime(cursor) : undefined);
  }
  cursor.finish();
}

function fieldTime(cursor: ListpackCursor): number | undefined {
  const time = Number(cursor.integer);
  if (cursor.text !== undefined || time < 0 || time > FIELD_TIME_MAX) throw new PackError('field time');
  return time === 0 ? undefined : time;
}

// ---- Modules ----

const ModuleOpcode = { end: 0, signed: 1, unsigned: 2, float: 3, double: 4, string: 5 } as const;

/** Values of modules: what is in them is the module's secret, but where they end is not (from type 7 on). */
function readModule(input: RdbInput, type: number, visitor: ValueVisitor): void {
  const name = moduleName(input.lengthBig());
  if (type === RdbType.module) {
    input.corrupt(`The RDB file contains module data I can't load: no matching module type '${name}'`);
  }
  visitor.module(name);
  readModuleItems(input, visitor);
}

/** The data of a module up to its end mark. */
export function readModuleItems(input: RdbInput, visitor: ValueVisitor): void {
  for (;;) {
    const opcode = input.length();
    switch (opcode) {
      case ModuleOpcode.end:
        return;
      case ModuleOpcode.signed:
        visitor.moduleItem(BigInt.asIntN(64, input.lengthBig()));
        break;
      case ModuleOpcode.unsigned:
        visitor.moduleItem(input.lengthBig());
        break;
      case ModuleOpcode.float:
        visitor.moduleItem(input.f32());
        break;
      case ModuleOpcode.double:
        visitor.moduleItem(input.f64());
        break;
      case ModuleOpcode.string:
        visitor.moduleItem(input.string());
        break;
      default:
        input.corrupt(`unknown opcode ${opcode} in a module's value`);
    }
  }
}

// ---- Skipping ----

/** Steps over the value of the given type. Throws FormatError when the file ends within it. */
export function skipValue(input: RdbInput, type: number, visitor: ValueVisitor): void {
  switch (type) {
    case RdbType.streamListpacks:
    case RdbType.streamListpacks2:
    case RdbType.streamListpacks3:
      return skipStream(input, type);
    case RdbType.module:
    case RdbType.module2:
      return readModule(input, type, visitor);
    case RdbType.list:
    case RdbType.set:
    case RdbType.listQuicklist:
      return skipStrings(input, input.length());
    case RdbType.hash:
      return skipStrings(input, input.length() * 2);
    case RdbType.listQuicklist2:
    case RdbType.hashMetadata:
    case RdbType.hashMetadataPreRelease:
    case RdbType.sortedSet:
    case RdbType.sortedSet2:
      return skipElements(input, type);
    case RdbType.hashListpackEx:
      input.skip(8);
  }
  input.skipString();
}

function skipStrings(input: RdbInput, count: number): void {
  for (let index = 0; index < count; index++) input.skipString();
}

function skipElements(input: RdbInput, type: number): void {
  if (type === RdbType.hashMetadata) input.skip(8);
  const count = input.length();
  const isScored = type === RdbType.sortedSet || type === RdbType.sortedSet2;
  for (let index = 0; index < count; index++) {
    if (!isScored) input.length();
    input.skipString();
    if (type === RdbType.sortedSet) input.skipTextDouble();
    else if (type === RdbType.sortedSet2) input.skip(8);
    else if (type !== RdbType.listQuicklist2) input.skipString();
  }
}
