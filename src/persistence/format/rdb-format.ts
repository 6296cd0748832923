/**
 * The RDB format as data: opcodes, value types, and which kind of value in which encoding a type byte means.
 *
 *   "REDIS" version(4 digits) | record … | 0xFF | u64 CRC64 of all before, little endian, from version 5 on (0: none)
 *
 *   record = opcode, its arguments | [expiry opcode] [idle or frequency opcode] type byte, key, value
 *
 * The native half has the same facts in native/persistence/rdb_format.h. Pre-release types (22, 23, 246) are in files
 * of release candidates only, but such files exist.
 */

export const RDB_VERSION_MIN = 1;
export const RDB_VERSION_MAX = 12;

export const Opcode = {
  slotInfo: 244,
  function: 245,
  functionPreRelease: 246,
  moduleAux: 247,
  idle: 248,
  frequency: 249,
  aux: 250,
  resizeDb: 251,
  expiryMs: 252,
  expirySeconds: 253,
  selectDb: 254,
  end: 255,
} as const;

export const RdbType = {
  string: 0,
  list: 1,
  set: 2,
  sortedSet: 3,
  hash: 4,
  sortedSet2: 5,
  module: 6,
  module2: 7,
  hashZipmap: 9,
  listZiplist: 10,
  setIntset: 11,
  sortedSetZiplist: 12,
  hashZiplist: 13,
  listQuicklist: 14,
  streamListpacks: 15,
  hashListpack: 16,
  sortedSetListpack: 17,
  listQuicklist2: 18,
  streamListpacks2: 19,
  setListpack: 20,
  streamListpacks3: 21,
  hashMetadataPreRelease: 22,
  hashListpackExPreRelease: 23,
  hashMetadata: 24,
  hashListpackEx: 25,
} as const;

/** What a client sees as TYPE. */
export type ValueKind = 'string' | 'list' | 'set' | 'zset' | 'hash' | 'stream' | 'module';

/** A type byte: kind and encoding of the value, and the name that redis-check-rdb prints. */
export interface RdbTypeInfo {
  kind: ValueKind;
  /** How the file holds the value, in OBJECT ENCODING's words where there is one. */
  encoding: string;
  checkName: string;
}

const row = (kind: ValueKind, encoding: string, checkName: string): RdbTypeInfo => ({ kind, encoding, checkName });

export const RDB_TYPES: ReadonlyMap<number, RdbTypeInfo> = new Map([
  [RdbType.string, row('string', 'raw', 'string')],
  [RdbType.list, row('list', 'linkedlist', 'list-linked')],
  [RdbType.set, row('set', 'hashtable', 'set-hashtable')],
  [RdbType.sortedSet, row('zset', 'skiplist', 'zset-v1')],
  [RdbType.hash, row('hash', 'hashtable', 'hash-hashtable')],
  [RdbType.sortedSet2, row('zset', 'skiplist', 'zset-v2')],
  // redis-check-rdb's table lacks the first of the two, so its names are one off here.
  [RdbType.module, row('module', 'module', 'module-value')],
  [RdbType.module2, row('module', 'module', '')],
  [RdbType.hashZipmap, row('hash', 'zipmap', 'hash-zipmap')],
  [RdbType.listZiplist, row('list', 'ziplist', 'list-ziplist')],
  [RdbType.setIntset, row('set', 'intset', 'set-intset')],
  [RdbType.sortedSetZiplist, row('zset', 'ziplist', 'zset-ziplist')],
  [RdbType.hashZiplist, row('hash', 'ziplist', 'hash-ziplist')],
  [RdbType.listQuicklist, row('list', 'quicklist', 'quicklist')],
  [RdbType.streamListpacks, row('stream', 'stream', 'stream')],
  [RdbType.hashListpack, row('hash', 'listpack', 'hash-listpack')],
  [RdbType.sortedSetListpack, row('zset', 'listpack', 'zset-listpack')],
  [RdbType.listQuicklist2, row('list', 'quicklist', 'quicklist-v2')],
  [RdbType.streamListpacks2, row('stream', 'stream', 'stream-v2')],
  [RdbType.setListpack, row('set', 'listpack', 'set-listpack')],
  [RdbType.streamListpacks3, row('stream', 'stream', 'stream-v3')],
  [RdbType.hashMetadataPreRelease, row('hash', 'hashtable', 'hash-hashtable-md-pre-release')],
  [RdbType.hashListpackExPreRelease, row('hash', 'listpackex', 'hash-listpack-md-pre-release')],
  [RdbType.hashMetadata, row('hash', 'hashtable', 'hash-hashtable-md')],
  [RdbType.hashListpackEx, row('hash', 'listpackex', 'hash-listpack-md')],
]);

const MODULE_NAME_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The name in a module id: nine letters of six bits, and ten bits of version below them. */
export function moduleName(id: bigint): string {
  let name = '';
  for (let shift = 58n; shift >= 10n; shift -= 6n) name += MODULE_NAME_LETTERS[Number((id >> shift) & 63n)];
  return name;
}
