/**
 * What the file tools print with: the progress bar and the collected output.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Output } from '../../src/cli/output.js';
import { ProgressBar } from '../../src/cli/progress-bar.js';

it('a progress bar draws whole percents on a terminal, and goes away', () => {
  let drawn = '';
  const stream = { isTTY: true, write: (text: string) => ((drawn += text), true) };
  const bar = new ProgressBar('Checking', stream as never);
  bar.clear();
  for (const share of [0.5, 0.501, 0.502, 2]) bar.show(share);
  bar.clear();
  bar.clear();
  const half = `\rChecking [${'#'.repeat(20)}${'.'.repeat(20)}] 50 %`;
  expect(drawn).toBe(`${half}\rChecking [${'#'.repeat(40)}] 100 %\r\x1b[K`);
});

it('a progress bar is silent where there is no terminal', () => {
  let drawn = '';
  const bar = new ProgressBar('Checking', { isTTY: false, write: (text: string) => ((drawn += text), true) } as never);
  bar.show(0.5);
  bar.clear();
  expect(drawn).toBe('');
});

it('collected output comes out whole and in order, whatever the sizes', () => {
  const dir = mkdtempSync(join(tmpdir(), 'sherd-test-output-'));
  const path = join(dir, 'out');
  const fd = openSync(path, 'w');
  const output = new Output(fd);
  const parts: Buffer[] = [];
  for (const size of [1, 0, 100_000, 50_000, 300_000, 262_144, 7, 90_000, 90_000]) {
    const text = 'ü'.repeat(size);
    output.text(text);
    output.text(text, 'latin1');
    output.bytes(Buffer.alloc(size, 'x'));
    parts.push(Buffer.from(text), Buffer.from(text, 'latin1'), Buffer.alloc(size, 'x'));
  }
  output.flush();
  expect(output.isAtLineStart).toBe(false);
  output.text('\n');
  output.flush();
  expect(output.isAtLineStart).toBe(true);
  closeSync(fd);
  expect(readFileSync(path).equals(Buffer.concat([...parts, Buffer.from('\n')]))).toBe(true);
  rmSync(dir, { recursive: true, force: true });
});
