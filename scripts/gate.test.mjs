/**
 * Tests of the gate's counting: a wrong count here would call a failing tree healthy.
 */
import { describe, expect, it } from 'vitest';
import { countResult, countVitest, mustFail } from './gate.mjs';

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

describe('countVitest', () => {
  it('counts a file that could not be loaded as a failure', () => {
    const broken = { status: 'failed', assertionResults: [] };
    const red = { status: 'failed', assertionResults: [{ status: 'failed' }] };
    const report = { numPassedTests: 5, numFailedTests: 1, testResults: [broken, red] };
    expect(countVitest(report)).toEqual({ passed: 5, failed: 2 });
  });
});
