/** Counters in shared memory, rates, and the small pure parts of the control plane: sizes, addresses, numbers, quoting. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { NativeAddon, StatsLayout } from '../../src/native/addon.js';
import { SharedCounters } from '../../src/observability/counters.js';
import { mainThreadCpu, parseThreadStat } from '../../src/observability/main-thread-cpu.js';
import { formatLogTime } from '../../src/observability/logger.js';
import { Rates } from '../../src/observability/rates.js';
import { parseBindAddresses } from '../../src/runtime/listeners.js';
import { shardCount, workerCount } from '../../src/runtime/sizing.js';
import { ConfigStore } from '../../src/config/config-store.js';
import { formatBytesHuman, parseInteger64, parseMemorySize } from '../../src/util/numbers.js';
import { quoteArg, splitArgs } from '../../src/util/split-args.js';
import { projectRoot } from '../support/project.js';
import fc from 'fast-check';

const layout: StatsLayout = {
  worker: { fields: ['commands_processed', 'net_input_bytes', 'net_output_bytes', 'loop_iterations'], stride: 64 },
  shard: { fields: ['used_memory'], stride: 64 },
  database: { fields: ['keys', 'expires', 'average_ttl_ms'], stride: 24 },
  command: { fields: ['calls', 'nanoseconds', 'rejected_calls', 'failed_calls'], stride: 32 },
  commands: ['get', 'set'],
  runners: 1,
};
const sizes = { workers: 2, shards: 2, databases: 2 };

/** Two workers and the runner of 8 cells, two shards of 8, four databases of 3, two commands of 4 on three threads. */
function cellsAndCounters(): { cells: BigInt64Array; counters: SharedCounters } {
  const shared = new SharedArrayBuffer((24 + 16 + 12 + 24) * 8);
  return { cells: new BigInt64Array(shared), counters: new SharedCounters(new Uint8Array(shared), layout, sizes) };
}

describe('counters', () => {
  it('sums workers, shards, databases and commands from their cells', () => {
    const { cells, counters } = cellsAndCounters();
    cells[0] = 5n;
    cells[8] = 7n;
    cells[16] = 1n; // the runner
    cells[24] = 100n;
    cells[32] = 11n;
    // Database 1 of shard 0 and of shard 1: keys, expires, mean TTL.
    cells.set([3n, 1n, 100n], 40 + 3);
    cells.set([4n, 3n, 200n], 40 + 9);
    // `set` on worker 0 and on the runner.
    cells.set([2n, 4096n, 1n, 0n], 52 + 4); // nanoseconds: 4096 and 1904 are 6 µs
    cells.set([1n, 1904n, 0n, 1n], 52 + 20);
    expect(counters.worker('commands_processed')).toBe(13n);
    expect(counters.workerMax('commands_processed')).toBe(7n);
    expect(counters.shard('used_memory')).toBe(111n);
    expect(counters.databaseStats()).toEqual([{ index: 1, keys: 7n, expires: 4n, averageTtlMs: 175n }]);
    expect(counters.commandStats()).toEqual([
      { name: 'set', calls: 3n, usec: 6n, rejectedCalls: 1n, failedCalls: 1n },
    ]);
    expect(() => counters.worker('nosuch')).toThrow(/counter nosuch/);
  });

  it('gives rates over the last samples', () => {
    const { cells, counters } = cellsAndCounters();
    const rates = new Rates();
    expect(rates.perSecond('commands_processed')).toBe(0);
    rates.sample(counters, 1000);
    cells[0] = 50n;
    rates.sample(counters, 1100);
    expect(rates.perSecond('commands_processed')).toBe(500);
  });
});

describe('cells named in tests', () => {
  it('are cells of the engine', () => {
    const header = readFileSync(join(projectRoot, 'native', 'engine', 'counters.h'), 'utf8');
    const cells = new Set([...header.matchAll(/\bX\((\w+)\)/g)].map(([, name]) => name));
    const fake = createRequire(import.meta.url)(
      join(projectRoot, 'test', 'fixtures', 'fake-addon.cjs'),
    ) as NativeAddon;
    const groups = [layout, fake.statsLayout()].flatMap(({ worker, shard, database, command }) => [
      ...worker.fields,
      ...shard.fields,
      ...database.fields,
      ...command.fields,
    ]);
    expect(groups.filter((name) => !cells.has(name))).toEqual([]);
    expect(cells.size).toBeGreaterThan(20);
  });
});

describe('small parts', () => {
  it("reads a thread's times, whatever its name", () => {
    const stat = '7 (a ) b) S 1 7 7 0 -1 4194560 6 0 0 0 123 45 0 0 20 0 1 0 100 0 0';
    expect(parseThreadStat(stat)).toEqual({ userUsec: 1_230_000, systemUsec: 450_000 });
    const startedAt = process.cpuUsage();
    while (process.cpuUsage(startedAt).user < 30_000);
    expect(mainThreadCpu().userUsec).toBeGreaterThan(0);
  });

  it('prints the time of a log line', () => {
    expect(formatLogTime(new Date(2026, 10, 1, 9, 5, 7, 42))).toBe('01 Nov 2026 09:05:07.042');
  });

  it('reads bind addresses', () => {
    expect(parseBindAddresses('* -::* 10.0.0.1')).toEqual([
      { address: '0.0.0.0', shown: '*', isOptional: false },
      { address: '::', shown: '::*', isOptional: true },
      { address: '10.0.0.1', shown: '10.0.0.1', isOptional: false },
    ]);
    expect(parseBindAddresses('')).toEqual([]);
  });

  it('chooses workers and shards', () => {
    const config = new ConfigStore('/');
    expect(workerCount(config, 6)).toBe(5);
    expect(workerCount(config, 1)).toBe(1);
    config.overwrite('io-threads', '4');
    expect(workerCount(config, 6)).toBe(4);
    config.overwrite('worker-threads', '3');
    expect(workerCount(config, 6)).toBe(3);
    expect(shardCount(config, 3)).toBe(128);
    config.overwrite('shards', '8');
    expect(shardCount(config, 3)).toBe(8);
  });

  it('reads numbers as Redis does', () => {
    expect(['0', '-1', '9223372036854775807'].map(parseInteger64)).toEqual([0n, -1n, 9223372036854775807n]);
    for (const bad of ['', '+5', ' 5', '05', '-0', '1e3', '9223372036854775808']) {
      expect([bad, parseInteger64(bad)]).toEqual([bad, undefined]);
    }
    expect(parseMemorySize('10Mb')).toBe(10485760n);
    expect(parseMemorySize('1k')).toBe(1000n);
    expect(parseMemorySize('1 mb')).toBeUndefined();
    expect([0, 200, 940864, 12300288].map(formatBytesHuman)).toEqual(['0B', '200B', '918.81K', '11.73M']);
  });

  it('splits what it quotes into the same argument', () => {
    const byteString = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
    fc.assert(
      fc.property(fc.array(byteString, { minLength: 1, maxLength: 4 }), (args) => {
        expect(splitArgs(args.map(quoteArg).join(' '))).toEqual(args);
      }),
    );
    expect(splitArgs('a "b')).toBeUndefined();
    expect(splitArgs('"a"b')).toBeUndefined();
  });
});
