/**
 * `npm run bench`: redis-benchmark against redis-server and against us, alternately in one run.
 *
 * Method. Both servers run all the time (an idle one costs nothing to speak of) and hold the same keys: every key
 * and counter that redis-benchmark may draw exists beforehand, so each run meets the same state and GET hits. For
 * each test, value size and pipeline, one short run of each server warms up and tells how many requests fill
 * the time of a run; then the servers take turns, the first of a pair changing from pair to pair (A B, B A,
 * A B), so that a drift of the machine hits both. Figures are medians over the runs. CPU time is that of the
 * whole server process, all threads, divided by commands.
 *
 * Options: --only set,get   --runs 3   --seconds 1.6 (per run)   --requests N (instead of seconds)
 *          --pipelines 1,16,50   --sizes 3,512   --clients 50   --keys 1000000   --threads N (of the load)
 *          --json FILE   --check (exit 1 when a target is missed)   --smoke (tiny: does it work at all)
 *          --ours "command" | redis   --ours-args "…"   --redis-args "…"
 */
import { parseArgs } from 'node:util';
import type { RunningServer } from '../test/support/oracle.js';
import { CONTENDER_OPTIONS, startContenders, type Contenders } from './support/contenders.js';
import { ask, encode, infoNumber, load as loadKeys } from './support/loader.js';
import { cpuTimeUs } from './support/process-facts.js';
import { runLoad, type Load } from './support/redis-benchmark.js';
import { begin, finish, formatTable, isMet, type Verdict } from './support/report.js';
import { geometricMean, median } from './support/statistics.js';

/** redis-benchmark's tests; which of them carry a value, and which count in the geometric mean. */
const TESTS = [
  { name: 'set', carriesValue: true, counts: true },
  { name: 'get', carriesValue: true, counts: true },
  { name: 'incr', carriesValue: false, counts: true },
  { name: 'mset', carriesValue: true, counts: true },
  { name: 'ping_mbulk', carriesValue: false, counts: false },
] as const;

/** The targets: throughput by pipeline, processor time by pipeline. */
const THROUGHPUT_TARGETS = new Map([
  [1, { bound: 1.15 }],
  [16, { bound: 1.5, aim: 1.8 }],
  [50, { bound: 2.0, aim: 2.4 }],
]);
const CPU_TARGETS = new Map([
  [16, 0.65],
  [50, 0.55],
]);

const { values } = parseArgs({
  options: {
    ...CONTENDER_OPTIONS,
    only: { type: 'string' },
    runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '1.6' },
    requests: { type: 'string' },
    pipelines: { type: 'string', default: '1,16,50' },
    sizes: { type: 'string', default: '3,512' },
    clients: { type: 'string', default: '50' },
    keys: { type: 'string', default: '1000000' },
    threads: { type: 'string', default: '0' },
    check: { type: 'boolean', default: false },
  },
});
if (values.smoke) Object.assign(values, { runs: '1', requests: '3000', pipelines: '1,16', sizes: '3', keys: '2000' });

const numbers = (text: string): number[] => text.split(',').map(Number);
const keys = Number(values.keys);
const runs = Number(values.runs);

/** What one server showed in one test: medians over the runs. */
interface Figures {
  requestsPerSec: number;
  cpuUsPerCommand: number;
  p50Ms: number;
  p99Ms: number;
  p999Ms: number;
}

/** One line of the report. */
interface Row {
  test: string;
  valueBytes: number;
  pipeline: number;
  requests: number;
  counts: boolean;
  redis: Figures;
  ours: Figures;
}

async function measure(server: RunningServer, job: Load): Promise<Figures> {
  const missesBefore = await infoNumber(server.port, 'stats', 'keyspace_misses');
  const before = cpuTimeUs(server.pid);
  const { requestsPerSec, p50Ms, p99Ms, p999Ms } = await runLoad(server.port, job);
  const cpuUsPerCommand = (cpuTimeUs(server.pid) - before) / job.requests;
  // A server that looks keys up in the wrong place is fast and worthless.
  const misses = (await infoNumber(server.port, 'stats', 'keyspace_misses')) - missesBefore;
  if (misses !== 0) throw new Error(`${server.name}: ${misses} of ${job.requests} ${job.test} found no key`);
  return { requestsPerSec, cpuUsPerCommand, p50Ms, p99Ms, p999Ms };
}

function medians(samples: readonly Figures[]): Figures {
  const of = (field: keyof Figures): number => median(samples.map((sample) => sample[field]));
  return {
    requestsPerSec: of('requestsPerSec'),
    cpuUsPerCommand: of('cpuUsPerCommand'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    p999Ms: of('p999Ms'),
  };
}

/** A short run of each server; the faster one decides how many requests the measured runs have. */
async function chooseRequests(servers: Contenders, job: Load): Promise<number> {
  if (values.requests !== undefined) return Number(values.requests);
  const probe = { ...job, requests: 20_000 * Math.min(job.pipeline, 16) };
  const first = await runLoad(servers.redis.port, probe);
  const second = await runLoad(servers.ours.port, probe);
  const fastest = Math.max(first.requestsPerSec, second.requestsPerSec);
  return Math.ceil((fastest * Number(values.seconds)) / 10_000) * 10_000;
}

async function compareOnce(servers: Contenders, test: (typeof TESTS)[number], job: Load): Promise<Row> {
  const requests = await chooseRequests(servers, job);
  const samples = { redis: [] as Figures[], ours: [] as Figures[] };
  for (let run = 0; run < runs; run++) {
    const order = run % 2 === 0 ? (['redis', 'ours'] as const) : (['ours', 'redis'] as const);
    for (const which of order) samples[which].push(await measure(servers[which], { ...job, requests }));
  }
  return {
    test: test.name,
    valueBytes: test.carriesValue ? job.valueBytes : 0,
    pipeline: job.pipeline,
    requests,
    counts: test.counts,
    redis: medians(samples.redis),
    ours: medians(samples.ours),
  };
}

/** Gives a server every key and counter that redis-benchmark draws from. */
async function fill(server: RunningServer, valueBytes: number): Promise<void> {
  const value = 'x'.repeat(valueBytes);
  const digits = (index: number): string => String(index).padStart(12, '0');
  await loadKeys(server.port, keys, (index) => encode('SET', `key:${digits(index)}`, value));
  await loadKeys(server.port, keys, (index) => encode('SET', `counter:${digits(index)}`, '1'));
  const size = Number(await ask(server.port, 'DBSIZE'));
  if (size !== 2 * keys) throw new Error(`${server.name} holds ${size} keys of ${2 * keys}`);
}

const ratio = (a: number, b: number): string => (a / b).toFixed(2);

function printRow(row: Row): string[] {
  const { redis, ours } = row;
  const cells = [row.test + (row.valueBytes > 0 ? ` ${row.valueBytes} B` : ''), String(row.pipeline)];
  cells.push(redis.requestsPerSec.toFixed(0), ours.requestsPerSec.toFixed(0));
  cells.push(ratio(ours.requestsPerSec, redis.requestsPerSec));
  cells.push(redis.cpuUsPerCommand.toFixed(2), ours.cpuUsPerCommand.toFixed(2));
  cells.push(ratio(ours.cpuUsPerCommand, redis.cpuUsPerCommand));
  if (row.pipeline !== 1) return cells;
  const pairs = [
    [redis.p50Ms, ours.p50Ms],
    [redis.p99Ms, ours.p99Ms],
    [redis.p999Ms, ours.p999Ms],
  ] as const;
  return [...cells, ...pairs.map(([theirs, mine]) => `${theirs.toFixed(2)} / ${mine.toFixed(2)}`)];
}

const HEADER = ['test', 'pipe', 'redis/s', 'ours/s', 'ratio', 'redis µs', 'ours µs', 'CPU ratio'];
const LATENCY_HEADER = ['p50 ms r/o', 'p99 ms r/o', 'p99.9 ms r/o'];

/** The geometric means over the counting tests, with the targets beside them. */
function judge(rows: readonly Row[]): Verdict[] {
  const verdicts: Verdict[] = [];
  const mean = (pipeline: number, value: (row: Row) => number): number =>
    geometricMean(rows.filter((row) => row.counts && row.pipeline === pipeline).map(value));
  for (const pipeline of new Set(rows.map((row) => row.pipeline))) {
    const speed = mean(pipeline, (row) => row.ours.requestsPerSec / row.redis.requestsPerSec);
    const target = THROUGHPUT_TARGETS.get(pipeline);
    const what = `throughput ÷ redis, geometric mean at pipeline ${pipeline}`;
    if (target !== undefined) verdicts.push({ what, value: speed, kind: 'at least', ...target });
    const bound = CPU_TARGETS.get(pipeline);
    const cost = mean(pipeline, (row) => row.ours.cpuUsPerCommand / row.redis.cpuUsPerCommand);
    const costs = `CPU per command ÷ redis, geometric mean at pipeline ${pipeline}`;
    if (bound !== undefined) verdicts.push({ what: costs, value: cost, bound, kind: 'at most' });
    if (pipeline !== 1) continue;
    const p99 = mean(1, (row) => row.ours.p99Ms / row.redis.p99Ms);
    const p999 = mean(1, (row) => row.ours.p999Ms / row.redis.p999Ms);
    verdicts.push({ what: 'p99 ÷ redis at pipeline 1', value: p99, bound: 1, kind: 'at most' });
    verdicts.push({ what: 'p99.9 ÷ redis at pipeline 1', value: p999, bound: 1, kind: 'at most' });
  }
  return verdicts;
}

/** A run that is too small to mean anything must at least have moved data on both sides. */
function checkSmoke(rows: readonly Row[]): void {
  for (const row of rows) {
    const figures = [row.redis.requestsPerSec, row.ours.requestsPerSec, row.redis.p50Ms, row.ours.p50Ms];
    if (figures.some((figure) => !(figure > 0))) throw new Error(`no figures for ${JSON.stringify(row)}`);
  }
  if (rows.length === 0) throw new Error('no test was run');
}

async function main(): Promise<void> {
  const only = values.only?.split(',');
  const chosen = TESTS.filter((test) => only === undefined || only.some((word) => test.name.startsWith(word)));
  begin(`redis-benchmark, ${values.clients} clients, ${keys} keys, medians of ${runs}`);
  const servers = await startContenders(values);
  const rows: Row[] = [];
  try {
    for (const [index, valueBytes] of numbers(values.sizes).entries()) {
      for (const server of [servers.redis, servers.ours]) await fill(server, valueBytes);
      const tests = chosen.filter((test) => test.carriesValue || index === 0);
      for (const pipeline of numbers(values.pipelines)) {
        for (const test of tests) {
          const shape = { clients: Number(values.clients), keyspace: keys, threads: Number(values.threads) };
          const job = { test: test.name, pipeline, valueBytes, requests: 0, ...shape };
          const row = await compareOnce(servers, test, job);
          rows.push(row);
          process.stderr.write(`${printRow(row).join('  ')}\n`);
        }
      }
    }
  } finally {
    await servers.stop();
  }
  const sorted = TESTS.flatMap((test) => rows.filter((row) => row.test === test.name));
  console.info(`\n${formatTable([...HEADER, ...LATENCY_HEADER], sorted.map(printRow))}\n`);
  checkSmoke(rows);
  const verdicts = values.smoke ? [] : judge(rows);
  finish('compare', rows, verdicts, values.json);
  if (values.check && verdicts.some((verdict) => !isMet(verdict))) process.exitCode = 1;
}

await main();
