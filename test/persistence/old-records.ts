/**
 * Entries in the encodings that files of versions 1 to 10 may hold and no server writes any more.
 */
import { concat, entry, f64, i64, intset, length, listpack, rawId, text, u32, ziplist, zipmap } from './rdb-builder.js';
import { noise } from './rdb-dataset.js';

/** As they are. */
function plainRecords(): Buffer[] {
  const long = noise(300);
  return [
    concat(0xfe, 0),
    concat(0xfb, length(100), length(50)),
    concat(0xfd, u32(2000000000), entry(0, 'seconds', text('v'))),
    concat(0xfc, i64(4102444800001), entry(0, 'ms', concat(0xc1, 0x39, 0x05))),
    entry(0, 'int8', concat(0xc0, 0x85)),
    entry(0, 'int32', concat(0xc2, u32(-70000))),
    entry(0, 'wide length', concat(0x81, 0, 0, 0, 0, 0, 0, 0, 3), 'abc'),
    entry(1, 'list', length(3), text('a'), concat(0xc0, 7), text(long)),
    entry(2, 'set', length(2), text('a'), text('b')),
    entry(
      3,
      'zset',
      length(5),
      text('a'),
      concat(3, '1.5'),
      text('b'),
      0xff,
      text('c'),
      0xfe,
      text('d'),
      concat(22, '3.14159265358979311600'),
      text('e'),
      concat(2, '-0'),
    ),
    entry(4, 'hash', length(2), text('f'), text('v'), text('g'), text('')),
    entry(5, 'zset2', length(2), text('a'), f64(0.1), text('b'), f64(-Infinity)),
  ];
}

/** Packed. */
function packedRecords(): Buffer[] {
  const long = noise(300);
  const ids = [length(2), rawId(5, 1), i64(1700000000000), length(3), rawId(5, 2), i64(1700000000001), length(1)];
  const node = listpack(2, 1, 1, 'f', 0, 2, 0, 0, 'v', 4, 0, 0, 1, 2, 'f', 5, 'g', -6, 8, 3, 0, 2, 'gone', 4);
  return [
    entry(9, 'zipmap', text(zipmap(['f', 'v', 'g', long, 'h', '']))),
    entry(9, 'zipmap free', text(zipmap(['f', 'v', 'g', 'w'], 3))),
    entry(
      10,
      'ziplist',
      text(
        ziplist(
          'a',
          long,
          'b',
          0,
          12,
          13,
          -1,
          127,
          -129,
          70000,
          -70000,
          9000000,
          2n ** 40n,
          -(2n ** 63n),
          noise(17000),
        ),
      ),
    ),
    entry(11, 'intset', text(intset(2, -5, 0, 7))),
    entry(11, 'intset32', text(intset(4, -70000, 70000))),
    entry(11, 'intset64', text(intset(8, -(2n ** 63n), 2n ** 60n))),
    entry(12, 'zset ziplist', text(ziplist('a', 1, 'b', '1.5', 'c', 'inf'))),
    entry(13, 'hash ziplist', text(ziplist('f', 1, 'g', long))),
    entry(14, 'quicklist', length(2), text(ziplist('a', 1)), text(ziplist('b'))),
    entry(
      15,
      'stream',
      length(1),
      text(rawId(5, 1)),
      text(node),
      length(2),
      length(5),
      length(9),
      length(1),
      text('g'),
      length(5),
      length(2),
      ...ids,
      length(1),
      text('alice'),
      i64(1700000000005),
      length(2),
      rawId(5, 1),
      rawId(5, 2),
    ),
  ];
}

/** All of them. */
export const oldRecords = (): Buffer[] => [...plainRecords(), ...packedRecords()];
