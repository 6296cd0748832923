/**
 * Tests of the gate's counting: a wrong count here would call a failing tree healthy.
 */
import { describe, expect, it } from 'vitest';
import { countResult, countVitest, mustFail, runRow } from './gate.mjs';

describe('countResult', () => {
  it('takes the last count a program prints', () => {
    const output = 'base: 3 passed, 0 failed\n12 passed, 1 failed\n';
    expect(countResult({ code: 1, output })).toEqual({ passed: 12, failed: 1 });
  });

  it('counts a part without counts as one test, by its exit code', () => {
    expect(countResult({ code: 0, output: 'fine' })).toEqual({ passed: 1, failed: 0 });
    expect(countResult({ code: 2, output: '' })).toEqual({ passed: 0, failed: 1 });
  });

  it('does not let a crash after the last test pass', () => {
    expect(countResult({ code: 139, output: '7 passed, 0 failed' })).toEqual({ passed: 7, failed: 1 });
    expect(countResult({ code: 1, output: '', counts: { passed: 4, failed: 0 } })).toEqual({ passed: 4, failed: 1 });
  });

  it('prefers counts from a report to those in the output', () => {
    const counts = { passed: 2, failed: 0 };
    expect(countResult({ code: 0, output: '9 passed, 9 failed', counts })).toEqual(counts);
  });
});

describe('mustFail', () => {
  it('turns success into failure and failure into success, whatever was printed', async () => {
    const ending = (code) => mustFail({ name: 'x', run: async () => ({ code, output: '1 passed, 0 failed' }) }).run();
    expect(countResult(await ending(0))).toEqual({ passed: 0, failed: 1 });
    expect(countResult(await ending(134))).toEqual({ passed: 1, failed: 0 });
  });
});

describe('runRow', () => {
  it('builds one part after the other, runs them at once, and keeps together what each prints', async () => {
    const printed = [];
    const steps = [];
    const part = (name) => ({
      name,
      build: async () => {
        steps.push(`${name} builds`);
        await null;
        steps.push(`${name} is built`);
      },
      run: async (write) => {
        steps.push(`${name} runs`);
        for (let i = 0; i < 3; i++) {
          await null;
          write(`${name}${i} `);
        }
        return { code: 0, output: '' };
      },
    });
    const rows = await runRow([part('a'), part('b')], (text) => printed.push(text));
    expect(steps).toEqual(['a builds', 'a is built', 'b builds', 'b is built', 'a runs', 'b runs']);
    expect(printed.join('')).toContain('a0 a1 a2 b0 b1 b2 ');
    expect(rows.map(({ name, passed, failed }) => [name, passed, failed])).toEqual([['a', 1, 0], ['b', 1, 0]]);
  });

  it('counts a part that does not build as failed, without running it, and runs the others', async () => {
    const build = async () => {
      throw new Error('no compiler');
    };
    const run = async () => ({ code: 0, output: '' });
    const rows = await runRow([{ name: 'x', build, run }, { name: 'y', run }], () => {});
    expect(rows.map(({ passed, failed }) => [passed, failed])).toEqual([[0, 1], [1, 0]]);
  });
});

describe('countVitest', () => {
  it('counts a file that could not be loaded as a failure', () => {
    const broken = { status: 'failed', assertionResults: [] };
    const red = { status: 'failed', assertionResults: [{ status: 'failed' }] };
    const report = { numPassedTests: 5, numFailedTests: 1, testResults: [broken, red] };
    expect(countVitest(report)).toEqual({ passed: 5, failed: 2 });
  });
});
