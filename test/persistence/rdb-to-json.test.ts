/**
 * sherd-rdb-to-json: every type in its JSON form, options, and what happens with broken files.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jsonTextBytes } from '../../src/persistence/format/json-text.js';
import { ourTool, run } from './programs.js';
import { concat, entry, f64, i64, length, listpack, rawId, rdbFile, text, u32 } from './rdb-builder.js';
import { savedFile, startFilled } from './rdb-dataset.js';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'sherd-test-to-json-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const toJson = (...args: string[]): ReturnType<typeof run> => run(ourTool('sherd-rdb-to-json'), args, dir);
/** Lines of UTF-8. */
const linesOf = (stdout: string): string[] => Buffer.from(stdout, 'latin1').toString().trimEnd().split('\n');

function sample(): Buffer {
  const node = listpack(2, 0, 1, 'f', 0, 2, 0, 0, 'v', 4, 0, 0, 1, 2, 'f', 5, 'f', -6, 8);
  const pending = [length(1), rawId(5, 1), i64(9), length(3)];
  const consumer = [length(1), text('c'), i64(9), i64(-1), length(1), rawId(5, 1)];
  return rdbFile(12, [
    concat(0xfa, text('redis-ver'), text('7.4.1')),
    concat(0xf5, text('#!lua name=x\n')),
    concat(0xfe, 0, 0xfb, 9, 1),
    concat(0xfc, i64(2n ** 60n), 0xf8, 5, entry(0, 's\xff"', text(Buffer.from('grün')))),
    concat(0xf9, 7, entry(0, 'n', concat(0xc0, 5))),
    entry(1, 'list', length(2), text('a'), text('7')),
    entry(2, 'set', length(1), text('a')),
    entry(
      5,
      'z',
      length(4),
      text('a'),
      f64(0.1),
      text('b'),
      f64(-Infinity),
      text('c'),
      f64(2 ** 53),
      text('d'),
      f64(-0),
    ),
    entry(16, 'h', text(listpack('f', 'v', '__proto__', 1))),
    entry(25, 'he', i64(5), text(listpack('f', 'v', 1700000000000, 'g', 'w', 0))),
    concat(0xfe, 2),
    entry(
      21,
      'x',
      length(1),
      text(rawId(5, 1)),
      text(node),
      length(2),
      length(5),
      length(2),
      length(5),
      length(1),
      length(0),
      length(0),
      length(2n ** 60n + 1n),
      length(2),
      text('g'),
      length(5),
      length(1),
      length(2n ** 64n - 1n),
      ...pending,
      ...consumer,
      text('empty'),
      length(0),
      length(0),
      length(0),
      length(0),
      length(0),
    ),
    entry(
      7,
      'm',
      concat(0x81, Buffer.from('0c5d0f0b2a0a2c01', 'hex'), 1, 5, 3),
      u32(0x3fc00000),
      concat(5, text('x'), 0),
    ),
  ]);
}

const EXPECTED = [
  '{"db":0,"key":"s\\udcff\\"","type":"string","expiresAt":1152921504606846976,"idle":5,"encoding":"embstr","value":"grün"}',
  '{"db":0,"key":"n","type":"string","freq":7,"encoding":"int","value":"5"}',
  '{"db":0,"key":"list","type":"list","encoding":"linkedlist","value":["a","7"]}',
  '{"db":0,"key":"set","type":"set","encoding":"hashtable","value":["a"]}',
  '{"db":0,"key":"z","type":"zset","encoding":"skiplist","value":[["a",0.1],["b","-inf"],["c",9007199254740992],["d",-0]]}',
  '{"db":0,"key":"h","type":"hash","encoding":"listpack","value":{"f":"v","__proto__":"1"}}',
  '{"db":0,"key":"he","type":"hash","encoding":"listpackex","value":{"f":"v","g":"w"},"fieldExpiresAt":{"f":1700000000000}}',
  '{"db":2,"key":"x","type":"stream","encoding":"stream","value":{"entries":[["5-1",["f","v"]],["5-2",["f","5","f","-6"]]],' +
    '"length":2,"lastId":"5-2","firstId":"5-1","maxDeletedId":"0-0","entriesAdded":1152921504606846977,' +
    '"groups":[{"name":"g","lastId":"5-1","entriesRead":-1,"pending":[["5-1",9,3]],' +
    '"consumers":[{"name":"c","seenAt":9,"activeAt":-1,"pending":["5-1"]}]},' +
    '{"name":"empty","lastId":"0-0","entriesRead":0,"pending":[],"consumers":[]}]}}',
  '{"db":2,"key":"m","type":"module","encoding":"module","value":{"module":"DF0PCyoKL","items":[5,1.5,"x"]}}',
];

describe('sherd-rdb-to-json', () => {
  it('writes every type', async () => {
    writeFileSync(join(dir, 'sample.rdb'), sample());
    const { code, stdout, stderr } = await toJson('sample.rdb');
    expect({ code, lines: linesOf(stdout), stderr }).toEqual({ code: 0, lines: EXPECTED, stderr: '' });
    const pretty = await toJson('--pretty', '--db', '0', 'sample.rdb');
    const documents = pretty.stdout.replace(/^}$/gm, '}\0').split('\0').slice(0, -1);
    expect(documents.map((one) => JSON.parse(one) as unknown)).toEqual(
      EXPECTED.slice(0, 7).map((line) => JSON.parse(Buffer.from(line).toString('latin1')) as unknown),
    );
    expect(pretty.stdout).toContain('\n  "value": [\n    "a",\n    "7"\n  ]\n}\n');
  });

  it('selects keys, databases and parts', async () => {
    writeFileSync(join(dir, 'sample.rdb'), sample());
    const keysOf = async (...args: string[]): Promise<unknown[]> =>
      linesOf((await toJson(...args, 'sample.rdb')).stdout).map((line) => (JSON.parse(line) as { key: string }).key);
    expect(await keysOf('--match', 'h*')).toEqual(['h', 'he']);
    expect(await keysOf('--match', '*')).toHaveLength(9);
    expect(await keysOf('--db', '2', '--match', '[xyz]')).toEqual(['x']);
    const { stdout } = await toJson('--keys-only', '--all', '--match', 'list', 'sample.rdb');
    expect(linesOf(stdout)).toEqual([
      '{"aux":"redis-ver","value":"7.4.1"}',
      '{"function":"#!lua name=x\\n"}',
      '{"db":0,"key":"list","type":"list"}',
    ]);
  });

  it('says how it is used, and where a file breaks', async () => {
    for (const args of [[], ['a', 'b'], ['--nonsense', 'a'], ['--db', 'x', 'a']]) {
      const wrong = await toJson(...args);
      expect(wrong).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('Usage: sherd-rdb-to-json') });
    }
    expect(await toJson('none.rdb')).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('ENOENT') });
    const file = rdbFile(11, [entry(0, 'k', text('v')), entry(1, 'l', length(3), text('a'), text('b'))]);
    writeFileSync(join(dir, 'cut.rdb'), file.subarray(0, -9));
    const cut = await toJson('cut.rdb');
    expect(linesOf(cut.stdout)[0]).toBe('{"db":0,"key":"k","type":"string","encoding":"embstr","value":"v"}');
    expect(cut).toMatchObject({ code: 1, stderr: `cut.rdb: at offset ${file.length - 9}: Unexpected EOF\n` });
    expect(cut.stdout.endsWith('\n')).toBe(true);
    const sum = rdbFile(11, [entry(0, 'k', text('v'))]);
    sum[sum.length - 1]! ^= 1;
    writeFileSync(join(dir, 'sum.rdb'), sum);
    expect(await toJson('sum.rdb')).toMatchObject({
      code: 1,
      stdout: linesOf(cut.stdout)[0] + '\n',
      stderr: expect.stringContaining('RDB CRC error'),
    });
  });

  it('gives back every string of a real file', async () => {
    const { server, client } = await startFilled([]);
    writeFileSync(join(dir, 'real.rdb'), await savedFile(server, client));
    const { code, stdout } = await toJson('--db', '0', '--match', '[nti][oen][itx]*:*', 'real.rdb');
    expect(code).toBe(0);
    const rows = linesOf(stdout).map((line) => JSON.parse(line) as { key: string; value: string });
    expect(rows.length).toBeGreaterThan(90);
    for (const { key, value } of rows) {
      const reply = await client.send('GET', jsonTextBytes(key));
      expect(
        reply.raw.equals(
          Buffer.concat([
            Buffer.from(`$${jsonTextBytes(value).length}\r\n`),
            jsonTextBytes(value),
            Buffer.from('\r\n'),
          ]),
        ),
      ).toBe(true);
    }
    client.close();
    await server.stop();
  });
});
