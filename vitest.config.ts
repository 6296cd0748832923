/**
 * One configuration for every vitest suite.
 *
 * Suites start servers, so files run in forked processes (a crash of one is not the end of all) and at most
 * three at a time: the gate's smallest machine has two cores, and a third of the tests' time is waiting for
 * something to expire or not to come; with more, a test that waits for the scheduler is a test that fails by
 * chance. Times are generous for the same reason; suites wait for conditions, not times.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'bench/**/*.test.ts', 'scripts/**/*.test.mjs'],
    pool: 'forks',
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    reporters: ['default'],
  },
});
