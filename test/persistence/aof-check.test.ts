/**
 * sherd-check-aof beside redis-check-aof: the same files, the same arguments and answers, and then the same bytes
 * printed, the same exit code and the same files left. What is ours alone, checksum lines, is tested below.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkAof } from '../../src/cli/check-aof.js';
import { startRedis } from '../support/oracle.js';
import { oracleProgram, projectRoot } from '../support/project.js';
import { RespClient } from '../support/resp-client.js';
import { checksummed, command, GOOD } from './aof-files.js';

const good = GOOD.toString('latin1');
const folders: string[] = [];

function folderOf(files: Record<string, string | Buffer>): string {
  const folder = mkdtempSync(join(tmpdir(), 'sherd-test-aof-'));
  folders.push(folder);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), Buffer.from(content as string, 'latin1'));
  }
  return folder;
}

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

interface Outcome {
  output: string;
  code: number | null;
  files: Record<string, string>;
}

/** Process ids and dates differ, the program's name, and a byte that redis-check-aof reads from behind its line. */
const plain = (text: string): string =>
  text
    .replace(/got: 00[0-9a-f]+$/gm, 'got: 00..')
    .replace(/^[0-9]+:C [^#]*#/gm, 'P:C#')
    .replace(/^Usage: \S+/gm, 'Usage: program');

function filesIn(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    names.map((entry) => [entry.name, readFileSync(join(entry.parentPath, entry.name), 'latin1')] as const).sort(),
  );
}

function byRedis(files: Record<string, string | Buffer>, args: string[], answer: string): Outcome {
  const folder = folderOf(files);
  const { file, env } = oracleProgram('redis-check-aof');
  const done = spawnSync(file, args, { cwd: folder, env, input: answer, encoding: 'latin1' });
  return { output: plain(done.stdout), code: done.status, files: filesIn(folder) };
}

/** In this process: starting a program for each of some hundred cases would take a minute. */
async function bySherd(files: Record<string, string | Buffer>, args: string[], answer: string): Promise<Outcome> {
  const folder = folderOf(files);
  const before = process.cwd();
  process.chdir(folder);
  try {
    let output = '';
    const world = {
      program: 'sherd-check-aof',
      print: (bytes: Buffer): void => void (output += bytes.toString('latin1')),
      readLine: () => (answer === '' ? undefined : answer),
    };
    const code = await checkAof(args, world);
    return { output: plain(output), code, files: filesIn(folder) };
  } finally {
    process.chdir(before);
  }
}

async function compare(files: Record<string, string | Buffer>, args: string[], answer = ''): Promise<Outcome> {
  const [theirs, ours] = [byRedis(files, args, answer), await bySherd(files, args, answer)];
  expect({ before: files, args, ...ours }).toEqual({ before: files, args, ...theirs });
  return ours;
}

const multi = '*1\r\n$5\r\nMULTI\r\n';
const stamped = `#TS:10\r\n${good}#TS:20\r\n${good}#TS:30\r\n${good}`;

const SINGLE: string[] = [
  '', good, `${good}*`, `${good}*\n`, `${good}*\r\n`, `${good}*0\r\n`, `${good}*-1\r\n`, `${good}*abc\r\n`,
  `${good}*1x\r\n$4\r\nPING\r\n`, `${good}*99999999999999999999\r\n`, `${good}hello world\r\n`,
  `${good}*1\r\n%4\r\nPING\r\n`, `${good}*1\r\n$-1\r\n`, `${good}*1\r\n$600000000\r\nabc`,
  `${good}*1\r\n$99999999999999999999\r\nabc`, `${good}*1\r\n$4\r\nPI`, `${good}*1\r\n$4\r\nPINGxx`,
  `${good}*1\r\n$4\r\nPING\r`, '*1\n$4\nPING\r\n', '*2\r\n$3\r\nGET\r\n$0\r\n\r\n', '*1\r\n$4\r\n\0ING\r\n',
  multi + good, `${multi}*1\r\n$5\r\nmulti\r\n`, `*2\r\n$5\r\nMULTI\r\n$1\r\na\r\n${good}`,
  `${good}*1\r\n$4\r\nEXEC\r\n${good}`, `${good}${multi}${good}*1\r\n$4\r\nEX`, `*1\r\n$7\r\nmulti\0x\r\n${good}`,
  `${multi}${good}*1\r\n$4\r\nexec\r\n${good}`, `*1\r\n$6\r\nMULTIX\r\n`, `${multi}${good}*2\r\n$4\r\nEXEC\r\n`,
  `#hello\r\n${good}#TS:12\r\n${good}# x`, `${good}#T`, `#${'x'.repeat(2000)}\r\n${good}`, '#TS:12', `\n${good}`,
  '* 1\r\n$ 4\r\nPING\r\n', '*+1\r\n$+4\r\nPING\r\n', 'REDIS', 'REDIS00', `${'\0'.repeat(50)}`,
  `${good}*1\r\n$4\r\nPING\r\n\0\0\0`, `*1\r\n$1048576\r\n${'y'.repeat(1048576)}\r\n${good}x`,
]; // prettier-ignore

describe('one file', () => {
  const cases = SINGLE.map((content, index) => [index, content] as const);

  it.each(cases)('case %i, checked and fixed', async (_, content) => {
    await compare({ 'f.aof': content }, ['f.aof']);
    await compare({ 'f.aof': content }, ['--fix', 'f.aof'], 'y\n');
  });

  it('cut at every byte', async () => {
    const transaction = `${multi}#TS:7\r\n${good}*1\r\n$4\r\nEXEC\r\n`;
    const whole = `${good}${transaction}#TS:12345\r\n*2\r\n$3\r\nGET\r\n$12\r\n012345678901\r\n`;
    for (let size = 0; size <= whole.length; size++) await compare({ 'f.aof': whole.slice(0, size) }, ['f.aof']);
  });

  it.each(['', 'n\n', 'yes\n', 'Y\n', ' y\n'])('answers %j to the question', async (answer) => {
    await compare({ 'f.aof': `${good}gar` }, ['--fix', 'f.aof'], answer);
  });

  const timestamps = ['20', '5', '50', '2x', '0', '-5', '', ' 15', '99999999999999999999'];

  it.each(timestamps)('up to timestamp %j', async (timestamp) => {
    const files = [stamped, `${stamped}garbage`, `#TS:10\r\n${good}garbage\n${stamped}`, `${good}${stamped}`, good];
    for (const file of files) await compare({ 'f.aof': file }, ['--truncate-to-timestamp', timestamp, 'f.aof']);
    await compare({ 'f.aof': `#TS:10\r\n${good}#TS:2x0\r\n${good}` }, ['--truncate-to-timestamp', timestamp, 'f.aof']);
  });

  it('other arguments', async () => {
    const files = { 'f.aof': good };
    const lines = [[], ['--fix', 'f.aof', 'a', 'b'], ['--foo', 'f.aof'], ['--truncate-to-timestamp', '5']];
    const more = [['--fox', '5', 'f.aof'], ['--fix', '5', 'f.aof'], ['nothing.aof'], ['--fix'], ['--help'], ['.']];
    for (const args of [...lines, ...more]) await compare(files, args);
  });
});

const base = 'file b.aof seq 1 type b\n';
const incr = (name: string, seq: number | string): string => `file ${name} seq ${seq} type i\n`;
const MANIFESTS: string[] = [
  base, base + incr('i.aof', 1), base + incr('i.aof', 1) + incr('t.aof', 2), base + incr('e.aof', 1),
  base + incr('bad.aof', 1), base + incr('bad.aof', 1) + incr('i.aof', 2), base + incr('none.aof', 1),
  'file none.rdb seq 1 type b\n', 'file bad.aof seq 1 type b\n', 'file e.aof seq 1 type b\n', incr('i.aof', 1),
  incr('i.aof', 1) + base, 'file i.aof seq 3 type h\n', `${base}file gone.aof seq 3 type h\n${incr('i.aof', 4)}`,
  '# x\n', `# x\n${base}# y\n`, `${base}#unterminated`, `${base}\n${incr('i.aof', 1)}`, `${base}   \n`,
  'foo b.aof seq 1 type b\n', 'file b.aof seq 1 type b extra 5\n', 'file b.aof seq 1 type b extra\n',
  'file b.aof type b\n', 'file b.aof seq 0 type b\n', 'file b.aof seq -1 type b\n', 'file b.aof seq 1abc type b\n',
  'file b.aof seq abc type b\n', 'file b.aof seq 1 type z\n', 'file b.aof seq 1 type bx\n', base + base,
  base + incr('i.aof', 2) + incr('t.aof', 1), base + incr('i.aof', 2) + incr('t.aof', 2), 'file b.aof seq 1 type b',
  `${base}file i.aof seq 1 type i`, 'file b.aof seq 1 type b\r\n', 'file ../m/b.aof seq 1 type b\n',
  'file "b.aof" seq 1 type b\n', 'file "\\x62.aof" seq 1 type b\n', 'file "b.aof seq 1 type b\n',
  ...[1020, 1023, 1024, 1025, 1100].map((size) => `${base.trimEnd().padEnd(size - 1)}\n`),
  `#${'x'.repeat(1100)}\n${base}`, '   file   b.aof  seq 1 type b   \n', 'file i.aof file b.aof seq 1 type b\n',
  `${base}\0\0\n`, `${base}FILE i.aof SEQ 1 TYPE i\n`, `${base}file i.aof seq 1 type I\n`, base + incr('"a\\\\b"', 1),
  `${base}  ${incr('i.aof', 1)}`, `${base} #hello\n`, `${base}a b c d\n`, base + incr('i.aof', '99999999999999999999'),
  base + incr('i.aof', '+5'), base + incr('i.aof', '-5'), `${base}file x/i.aof seq 1 type h\n`,
  `${base}file i.aof\0zzz seq 1 type i\n`, `${base}file i.aof seq 1 type ""\n`, `${base}file i.aof seq 1 x i\n`,
  base + incr('..', 1), `${base}file "" seq 1 type i\n`, `${base}file i.aof ${'y'.repeat(990)} i\n`, '', good,
  `${base}file i.aof seq "" type i\n`, `${base}seq 4 type i x y\n`,
]; // prettier-ignore

describe('a manifest and its files', () => {
  const parts = { 'b.aof': good, 'i.aof': good, 't.aof': stamped, 'e.aof': '', 'bad.aof': `${good}gar` };

  it.each(MANIFESTS.map((text, index) => [index, text] as const))('case %i', async (_, text) => {
    await compare({ ...parts, 'a.manifest': text }, ['a.manifest']);
    await compare({ ...parts, 'a.manifest': text }, ['--fix', 'a.manifest'], 'y\n');
    await compare({ ...parts, 'a.manifest': text }, ['--truncate-to-timestamp', '20', 'a.manifest']);
  });

  it('in another folder', async () => {
    const exec = command('EXEC');
    await compare({ 'sub/a.manifest': base, 'sub/b.aof': exec }, ['sub/a.manifest']);
    await compare({ 'sub/a.manifest': base }, ['sub/a.manifest']);
    const late = { 'sub/a.manifest': base, 'sub/b.aof': `#TS:9\r\n${good}` };
    await compare(late, ['--truncate-to-timestamp', '3', 'sub/a.manifest']);
  });
});

describe('what redis-server writes', () => {
  let written: Record<string, string> = {};

  beforeAll(async () => {
    const server = await startRedis(['--appendonly', 'yes', '--aof-timestamp-enabled', 'yes']);
    try {
      const client = await RespClient.connect(server);
      for (let key = 0; key < 20; key++) await client.send('SET', `key:${key}`, 'x'.repeat(key));
      await client.send('BGREWRITEAOF');
      const isDone = /aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/;
      while (!isDone.test((await client.send('INFO', 'persistence')).text));
      await client.send('MULTI');
      await client.send('LPUSH', 'list', 'a', 'b');
      await client.send('SADD', 'set', 'a', 'b');
      await client.send('EXEC');
      written = filesIn(join(server.dir, 'appendonlydir'));
      client.close();
    } finally {
      await server.stop();
    }
  });

  it('is valid to both, and so is an old-style file with an RDB preamble', async () => {
    const names = Object.keys(written);
    expect(names).toContain('appendonly.aof.manifest');
    await compare(written, ['appendonly.aof.manifest']);
    const rdb = written[names.find((name) => name.endsWith('.rdb')) as string] as string;
    const tail = written[names.find((name) => name.endsWith('.incr.aof')) as string] as string;
    expect(tail).toMatch(/MULTI/);
    await compare({ 'appendonly.aof': rdb + tail }, ['appendonly.aof']);
    await compare({ 'appendonly.aof': `${rdb}${tail}*3\r\n` }, ['--fix', 'appendonly.aof'], 'y\n');
    await compare({ 'appendonly.aof': rdb + tail }, ['--truncate-to-timestamp', '10', 'appendonly.aof']);
    for (let size = rdb.length; size < rdb.length + tail.length; size++) {
      await compare({ 'appendonly.aof': (rdb + tail).slice(0, size) }, ['appendonly.aof']);
    }
  });

  it('is refused by both when the preamble is damaged', async () => {
    const rdb = Object.entries(written).find(([name]) => name.endsWith('.rdb'))?.[1] as string;
    const damaged = { 'a.aof': rdb.slice(0, -12) };
    const [theirs, ours] = [byRedis(damaged, ['a.aof'], ''), await bySherd(damaged, ['a.aof'], '')];
    expect([ours.code, ours.output.trim().split('\n').at(-1)]).toEqual([1, theirs.output.trim().split('\n').at(-1)]);
  });
});

describe('checksum lines', () => {
  const file = checksummed([GOOD, Buffer.concat([GOOD, GOOD]), GOOD]);

  it('are told of, and mean nothing to redis-check-aof', async () => {
    const ours = await bySherd({ 'f.aof': file }, ['f.aof'], '');
    const theirs = byRedis({ 'f.aof': file }, ['f.aof'], '');
    const told = `AOF checksums: filename=f.aof, lines=3, verified_up_to=${file.length}, not_covered=0\n`;
    expect(ours.output).toContain(told);
    expect(ours.output.replace(told, '')).toBe(theirs.output);
    expect([ours.code, theirs.code]).toEqual([0, 0]);
  });

  it('let redis-server load the file and append to it, and hold for what was there', async () => {
    const folder = folderOf({
      'appendonlydir/appendonly.aof.manifest': 'file i.aof seq 1 type i\n',
      'appendonlydir/i.aof': file,
    });
    const server = await startRedis(['--appendonly', 'yes', '--dir', folder, '--aof-timestamp-enabled', 'yes']);
    try {
      const client = await RespClient.connect(server);
      expect((await client.send('GET', 'a')).text).toBe('$1\r\n1\r\n');
      await client.send('SET', 'b', '2');
      client.close();
    } finally {
      await server.stop();
    }
    const grown = filesIn(join(folder, 'appendonlydir'))['i.aof'] as string;
    const added = grown.length - file.length;
    expect(added).toBeGreaterThan(0);
    const ours = await bySherd({ 'i.aof': grown }, ['i.aof'], '');
    expect([ours.code, ours.output]).toEqual([
      0,
      expect.stringContaining(`lines=3, verified_up_to=${file.length}, not_covered=${added}\n`),
    ]);
  });

  it('find a flipped bit that redis-check-aof lets pass, and --fix cuts in front of it', async () => {
    const flipped = Buffer.from(file);
    const at = GOOD.length + 42 + GOOD.length - 3;
    flipped[at] = (flipped[at] as number) ^ 1;
    expect(byRedis({ 'f.aof': flipped }, ['f.aof'], '').code).toBe(0);
    const ours = await bySherd({ 'f.aof': flipped }, ['f.aof'], '');
    expect(ours.code).toBe(1);
    expect(ours.output).toContain('do not match their checksum line');
    const fixed = await bySherd({ 'f.aof': flipped }, ['--fix', 'f.aof'], 'y\n');
    expect([fixed.code, fixed.files['f.aof']?.length]).toEqual([0, GOOD.length + 42]);
  });
});

it('a command about a file is no manifest, as redis-check-aof believes', async () => {
  const ours = await bySherd({ 'f.aof': command('GET', 'file') }, ['f.aof'], '');
  expect([ours.code, ours.output]).toEqual([0, expect.stringContaining('AOF f.aof is valid')]);
});

it('the program is built, and asks on its input', () => {
  const folder = folderOf({ 'f.aof': `${good}gar` });
  const program = join(projectRoot, 'dist', 'cli', 'sherd-check-aof.js');
  const args = [program, '--fix', 'f.aof'];
  const done = spawnSync(process.execPath, args, { cwd: folder, input: 'y\n', encoding: 'utf8' });
  expect(done.stdout).toMatch(/Continue\? \[y\/N\]: Successfully truncated AOF f\.aof\n$/);
  expect([done.status, done.stderr]).toEqual([0, '']);
  expect(readFileSync(join(folder, 'f.aof'), 'latin1')).toBe(good);
});
