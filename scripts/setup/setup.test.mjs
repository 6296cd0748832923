/**
 * Tests of the set-up's own memory: what counts as done, and what makes it undone.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { capture, findProgram, fingerprint, isStamped, listFiles, root, run, stamp } from './shell.mjs';

let folder;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sherd-setup-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const write = (name, text) => {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
  return path;
};

describe('fingerprint and stamp', () => {
  it('changes with time, size, absence, and the extra words, and with nothing else', () => {
    const file = write('a.cc', 'int a;');
    utimesSync(file, 1000, 1000);
    const first = fingerprint([file], ['x']);
    expect(fingerprint([file], ['x'])).toBe(first);
    expect(fingerprint([file], ['y'])).not.toBe(first);
    utimesSync(file, 1000, 1001);
    const touched = fingerprint([file], ['x']);
    expect(touched).not.toBe(first);
    rmSync(file);
    expect(fingerprint([file], ['x'])).not.toBe(touched);
  });

  it('is remembered in the folder it is about and forgotten with it', () => {
    const mark = join(folder, 'out', '.stamp');
    expect(isStamped(mark, 'v')).toBe(false);
    stamp(mark, 'v');
    expect(isStamped(mark, 'v')).toBe(true);
    expect(isStamped(mark, 'w')).toBe(false);
    rmSync(join(folder, 'out'), { recursive: true });
    expect(isStamped(mark, 'v')).toBe(false);
  });
});

describe('listFiles', () => {
  it('finds files of a kind at any depth, but nothing in build folders', () => {
    write('a.cc', '');
    write('sub/b.cc', '');
    write('sub/b.txt', '');
    write('build-asan/c.cc', '');
    const names = listFiles(folder, (name) => name.endsWith('.cc')).map((path) => path.slice(folder.length + 1));
    expect(names).toEqual(['a.cc', 'sub/b.cc']);
  });

  it('finds nothing in a folder that is not there', () => {
    expect(listFiles(join(folder, 'none'), () => true)).toEqual([]);
  });
});

describe('npm start', () => {
  it('replaces the shell that npm puts in between: it would die of a signal and leave the server alone', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(scripts.start).toMatch(/^exec node /);
    const child = capture('sh', ['-c', "exec node -p 'process.ppid'"]);
    expect(Number(child.stdout)).toBe(process.pid);
  });
});

describe('programs', () => {
  it('are found on PATH or not at all', () => {
    expect(findProgram('sh')).toMatch(/\/sh$/);
    expect(findProgram('no-such-program-here')).toBeUndefined();
  });

  it('that fail give a code when captured, and an error when run', async () => {
    expect(capture('sh', ['-c', 'echo out; exit 3'])).toMatchObject({ code: 3, stdout: 'out\n' });
    await expect(run('sh', ['-c', 'exit 3'])).rejects.toThrow('exit code 3');
    await expect(run('no-such-program-here', [])).rejects.toThrow('no-such-program-here');
  });
});
