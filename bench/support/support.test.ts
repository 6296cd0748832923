/**
 * Tests of what the benchmarks compute with: a wrong median or a misread report would be believed.
 */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parseSample } from './client-load.js';
import { scatter } from './collections.js';
import { checkAcknowledged, encode, LineCounter } from './loader.js';
import { cpuTimeUs, residentBytes, RunQueueDelay } from './process-facts.js';
import { loadArguments, parseReport } from './redis-benchmark.js';
import { formatTable, formatVerdict, isMet } from './report.js';
import { SlowSync } from './slow-sync.js';
import { geometricMean, median, percentile } from './statistics.js';
import { SUITE } from './suite.js';

describe('statistics', () => {
  it('takes the middle of odd and even lists, by number and not by text', () => {
    expect(median([100, 9, 20])).toBe(20);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  it('averages ratios so that twice and half cancel out', () => {
    expect(geometricMean([2, 0.5])).toBeCloseTo(1);
    expect(geometricMean([8, 2])).toBeCloseTo(4);
  });

  it('takes percentiles by nearest rank', () => {
    const values = Array.from({ length: 100 }, (_, index) => index + 1);
    expect(percentile(values, 0.99)).toBe(99);
    expect(percentile(values, 1)).toBe(100);
    expect(percentile([7], 0.5)).toBe(7);
  });
});

describe('parseReport', () => {
  const report = [
    '====== SET ======',
    '99.805% <= 1.199 milliseconds (cumulative count 99805)',
    '99.902% <= 1.503 milliseconds (cumulative count 99903)',
    '100.000% <= 5.135 milliseconds (cumulative count 100000)',
    'Cumulative distribution of latencies:',
    '99.893% <= 1.407 milliseconds (cumulative count 99893)',
    '  throughput summary: 134228.19 requests per second',
    '  latency summary (msec):',
    '          avg       min       p50       p95       p99       max',
    '        0.231     0.056     0.191     0.439     0.647     5.135',
  ].join('\n');

  it('reads rate, p50, p99 and the first latency at or above 99.9 %', () => {
    expect(parseReport(report)).toEqual({ requestsPerSec: 134228.19, p50Ms: 0.191, p99Ms: 0.647, p999Ms: 1.503 });
  });

  it('refuses what is no report', () => {
    expect(() => parseReport('Could not connect to Redis')).toThrow('Could not connect');
  });
});

describe('what sherd_load prints', () => {
  const line = '{"operations":1000,"seconds":0.5,"serverCpuSec":0.4,"clientCpuSec":0.1,"machineSec":0.75,"p50Us":12.5}';

  it('becomes a rate, a price, and shares of a core', () => {
    const { othersShare, ...sample } = parseSample(line);
    expect(sample).toEqual({ perSec: 2000, cpuUs: 400, clientShare: 0.2, p50Us: 12.5, p99Us: NaN, p999Us: NaN, maxUs: NaN });
    expect(othersShare).toBeCloseTo(0.5);
  });

  it('is refused when nothing was done', () => {
    expect(() => parseSample(line.replace('1000', '0'))).toThrow('nothing');
  });
});

describe('loadArguments', () => {
  it('names threads only when told', () => {
    const load = { test: 'set', pipeline: 16, clients: 50, requests: 9, valueBytes: 3, keyspace: 7, threads: 0 };
    expect(loadArguments(1234, load)).not.toContain('--threads');
    expect(loadArguments(1234, { ...load, threads: 2 }).slice(-2)).toEqual(['--threads', '2']);
  });
});

describe('the suite', () => {
  it('sends a command of its own in place of a test, behind all options', () => {
    const load = { test: 'x', pipeline: 16, clients: 50, requests: 9, valueBytes: 3, keyspace: 7, threads: 2 };
    const words = loadArguments(1234, { ...load, words: ['LRANGE', 'mylist', '0', '99'] });
    expect(words).not.toContain('-t');
    expect(words.slice(-5)).toEqual(['2', 'LRANGE', 'mylist', '0', '99']);
  });

  it('has every test of redis-benchmark once, and fills what will be taken away', () => {
    expect(new Set(SUITE.map((test) => test.name)).size).toBe(19);
    const filled = SUITE.filter((test) => test.prepare !== undefined);
    expect(filled.every((test) => test.key !== undefined && test.fillsBy !== undefined)).toBe(true);
    expect(filled.map((test) => test.name)).toEqual(expect.arrayContaining(['lpop', 'rpop', 'spop', 'zpopmin']));
  });
});

describe('collections', () => {
  it('scatter indices without repeating one', () => {
    for (const count of [1, 100, 10_000]) {
      const seen = new Set(Array.from({ length: count }, (_, index) => scatter(index, count)));
      expect(seen.size).toBe(count);
    }
  });
});

describe('the loader', () => {
  it('counts lines cut anywhere and notices an error wherever it begins', () => {
    const counter = new LineCounter();
    for (const piece of [':1', '00\r', '\n:-5\r\n', '$3\r\n1-1\r\n']) counter.take(Buffer.from(piece));
    expect(counter.lines).toBe(4);
    expect(() => counter.take(Buffer.from('-ERR no\r\n'))).toThrow('-ERR no');
    expect(() => new LineCounter().take(Buffer.from(':1\r\n-WRONGTYPE'))).toThrow('-WRONGTYPE');
  });

  it('encodes by bytes, not characters', () => {
    expect(encode('GET', 'é')).toBe('*2\r\n$3\r\nGET\r\n$2\r\né\r\n');
  });

  it('accepts OKs cut anywhere and nothing else', () => {
    expect(() => checkAcknowledged(Buffer.from('K\r\n+OK\r\n+'), 2)).not.toThrow();
    expect(() => checkAcknowledged(Buffer.from('+OK\r\n-ERR no'), 0)).toThrow('-ERR no');
    expect(() => checkAcknowledged(Buffer.from('+OK\r\n'), 1)).toThrow();
  });
});

describe('process facts', () => {
  it('see this process use time and memory', () => {
    const before = cpuTimeUs(process.pid);
    // Burn processor time, not wall time: on a busy machine the two have little in common.
    const usage = process.cpuUsage();
    for (let used = 0; used < 60_000; ) {
      const { user, system } = process.cpuUsage(usage);
      used = user + system;
    }
    const seenUs = cpuTimeUs(process.pid) - before;
    expect(seenUs).toBeGreaterThanOrEqual(40_000);
    expect(seenUs).toBeLessThan(10_000_000);
    expect(residentBytes(process.pid)).toBeGreaterThan(10_000_000);
  });
});

describe('the time without a core', () => {
  it('is read again and again from one open file, and never shrinks', () => {
    const delay = new RunQueueDelay();
    const first = delay.readMs();
    const second = delay.readMs();
    delay.close();
    expect(first).toBeGreaterThanOrEqual(0);
    expect(second).toBeGreaterThanOrEqual(first);
  });
});

describe('reports', () => {
  it('line columns up', () => {
    expect(formatTable(['test', 'n'], [['set', '1'], ['ping', '10']])).toBe('test   n\n----  --\nset    1\nping  10');
  });

  it('judge in both directions, and never call NaN met', () => {
    const verdict = { what: 'x', value: 1.2, bound: 1.15, kind: 'at least' as const };
    expect(isMet(verdict)).toBe(true);
    expect(isMet({ ...verdict, kind: 'at most' })).toBe(false);
    expect(isMet({ ...verdict, value: NaN })).toBe(false);
    expect(formatVerdict({ ...verdict, value: 1, aim: 2 })).toBe('MISSED    1.00  (at least 1.15, aim 2.00)  x');
  });
});

describe('a slow disk', () => {
  const program = `
    const { closeSync, fdatasyncSync, fsyncSync, openSync, unlinkSync } = require('node:fs');
    const file = require('node:path').join(require('node:os').tmpdir(), 'sherd-slow-sync-' + process.pid);
    const fd = openSync(file, 'w');
    unlinkSync(file);
    const took = [fsyncSync, fdatasyncSync].map((sync) => {
      const startedAt = performance.now();
      sync(fd);
      return performance.now() - startedAt;
    });
    closeSync(fd);
    process.stdout.write(JSON.stringify(took));`;

  it('makes both kinds of sync take longer, and does nothing for a delay of 0', () => {
    const slowSync = new SlowSync();
    try {
      expect(slowSync.env(0)).toEqual({});
      const env = { ...process.env, ...slowSync.env(150.5) };
      const took = JSON.parse(execFileSync(process.execPath, ['-e', program], { env, encoding: 'utf8' })) as number[];
      expect(took).toHaveLength(2);
      for (const timeMs of took) expect(timeMs).toBeGreaterThanOrEqual(150);
    } finally {
      slowSync.close();
    }
  });
});
