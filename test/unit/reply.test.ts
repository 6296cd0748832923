/**
 * RESP encoding of reply values. The expected bytes are written out by hand from the RESP specifications, so that
 * the test does not share a mistake with the encoder.
 */
import { describe, expect, it } from 'vitest';
import { encodeReply, formatDouble, reply, type Reply } from '../../src/resp/reply.js';

const both = (value: Reply): [string, string] => [
  encodeReply(value, 2).toString('latin1'),
  encodeReply(value, 3).toString('latin1'),
];

describe('encodeReply', () => {
  it.each<[string, Reply, string, string]>([
    ['simple string', reply.ok(), '+OK\r\n', '+OK\r\n'],
    ['error', reply.error('ERR no'), '-ERR no\r\n', '-ERR no\r\n'],
    ['bulk text', reply.bulk('héllo'), '$6\r\nh\xc3\xa9llo\r\n', '$6\r\nh\xc3\xa9llo\r\n'],
    ['bulk bytes', reply.bulk(Buffer.from([0, 255, 13, 10])), '$4\r\n\0\xff\r\n\r\n', '$4\r\n\0\xff\r\n\r\n'],
    ['empty bulk', reply.bulk(''), '$0\r\n\r\n', '$0\r\n\r\n'],
    ['integer', reply.integer(-7), ':-7\r\n', ':-7\r\n'],
    ['minus zero', reply.integer(-0), ':0\r\n', ':0\r\n'],
    ['bigint', reply.integer(2n ** 63n - 1n), ':9223372036854775807\r\n', ':9223372036854775807\r\n'],
    ['null', reply.null(), '$-1\r\n', '_\r\n'],
    ['null array', reply.nullArray(), '*-1\r\n', '_\r\n'],
    ['array', reply.array([reply.integer(1), reply.null()]), '*2\r\n:1\r\n$-1\r\n', '*2\r\n:1\r\n_\r\n'],
    ['empty array', reply.array([]), '*0\r\n', '*0\r\n'],
    ['set', reply.set([reply.bulk('a')]), '*1\r\n$1\r\na\r\n', '~1\r\n$1\r\na\r\n'],
    ['push', reply.push([reply.bulk('a')]), '*1\r\n$1\r\na\r\n', '>1\r\n$1\r\na\r\n'],
    ['map', reply.map([[reply.bulk('k'), reply.integer(1)]]), '*2\r\n$1\r\nk\r\n:1\r\n', '%1\r\n$1\r\nk\r\n:1\r\n'],
    ['double', reply.double(1.5), '$3\r\n1.5\r\n', ',1.5\r\n'],
    ['infinite', reply.double(-Infinity), '$4\r\n-inf\r\n', ',-inf\r\n'],
    ['true', reply.boolean(true), ':1\r\n', '#t\r\n'],
    ['false', reply.boolean(false), ':0\r\n', '#f\r\n'],
    ['big number', reply.bigNumber('12345678901234567'), '$17\r\n12345678901234567\r\n', '(12345678901234567\r\n'],
    ['verbatim', reply.verbatim('txt', 'hé'), '$3\r\nh\xc3\xa9\r\n', '=7\r\ntxt:h\xc3\xa9\r\n'],
    ['raw', reply.raw(Buffer.from('+x\r\n')), '+x\r\n', '+x\r\n'],
  ])('encodes %s', (_name, value, resp2, resp3) => {
    expect(both(value)).toEqual([resp2, resp3]);
  });

  it('keeps line types on one line', () => {
    expect(both(reply.simple('a\r\nb'))[0]).toBe('+a  b\r\n');
    expect(both(reply.error("ERR bad 'x\r\n+OK'\r\n\n"))[0]).toBe("-ERR bad 'x  +OK'\r\n");
  });

  it('refuses numbers it cannot print exactly', () => {
    expect(() => encodeReply(reply.integer(2 ** 53), 2)).toThrow(RangeError);
    expect(() => encodeReply(reply.integer(1.5), 2)).toThrow(RangeError);
    expect(() => encodeReply(reply.integer(2n ** 63n), 2)).toThrow(RangeError);
    expect(() => encodeReply(reply.verbatim('text', 'x'), 3)).toThrow(RangeError);
  });

  it('grows over many parts and nests', () => {
    const inner = reply.map([[reply.bulk('k'.repeat(300)), reply.array([reply.set([reply.boolean(true)])])]]);
    const text = encodeReply(reply.array(Array<Reply>(500).fill(inner)), 3).toString();
    expect(text).toBe(`*500\r\n${`%1\r\n$300\r\n${'k'.repeat(300)}\r\n*1\r\n~1\r\n#t\r\n`.repeat(500)}`);
  });
});

describe('formatDouble', () => {
  it.each<[number, string]>([
    [0, '0'],
    [-0, '-0'],
    [3, '3'],
    [3.14, '3.14'],
    [-0.5, '-0.5'],
    [0.1, '0.1'],
    [0.30000000000000004, '0.30000000000000004'],
    [1e7, '10000000'],
    [1e8, '100000000'],
    [-1700000000, '-1700000000'],
    [1e15, '1000000000000000'],
    [1e17, '100000000000000000'],
    [1e19, '1e+19'],
    [1e20, '1e+20'],
    [2 ** 60, '1152921504606846976'],
    [-(2 ** 62), '-4611686018427387904'],
    [2 ** 63, '9223372036854776000'],
    [1.5e8, '150000000'],
    [123456789012, '123456789012'],
    [1.5e300, '1.5e+300'],
    [1e-5, '0.00001'],
    [1e-7, '1e-7'],
    [1.234e-7, '1.234e-7'],
    [5e-324, '5e-324'],
    [NaN, 'nan'],
    [Infinity, 'inf'],
  ])('%d is %s', (value, text) => {
    expect(formatDouble(value)).toBe(text);
  });
});
