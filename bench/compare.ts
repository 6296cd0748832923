/**
 * `npm run bench`: redis-benchmark's whole default suite against redis-server and against us, alternately in one run.
 *
 * Method. Both servers run all the time (an idle one costs nothing to speak of) and hold the same keys: every key
 * and counter that redis-benchmark may draw exists beforehand, so each run meets the same state and GET hits; what the
 * tests of lists, hashes and sets begin with stands in support/suite.ts. For each test, value size and pipeline, one
 * short run of each server warms up and tells how many requests fill the time of a run; then the servers take
 * turns, the first of a pair changing from pair to pair (A B, B A, A B), so that a drift of the machine hits both.
 * Figures are medians over the runs. CPU time is that of the whole server process, all threads, divided by commands.
 * "client" is the share of a core that redis-benchmark used, at the server that kept it busier: near 1 it was the
 * limit, servers look alike in throughput, and processor time still tells them apart (--threads gives it more cores).
 *
 * SET, GET, INCR and MSET run at every size and at pipelines 1, 16 and 50; all other tests at the first size and at
 * pipeline 16, where their targets are. A test whose command one of the servers does not have is "not there" and counts
 * as missed.
 *
 * Options: --only set,lrange   --runs 3   --seconds 1.6 (per run)   --requests N (instead of seconds)
 *          --pipelines 1,16,50 (then for all tests)   --sizes 3,512   --clients 50   --keys 1000000
 *          --threads N (of the load)   --json FILE   --check (exit 1 when a target is missed)
 *          --smoke (tiny: does it work at all)   --ours "command" | redis   --ours-args "…"   --redis-args "…"
 */
import { parseArgs } from 'node:util';
import type { RunningServer } from '../test/support/oracle.js';
import { CONTENDER_OPTIONS, startContenders, type Contenders } from './support/contenders.js';
import { missingCommands, twelveDigits, waitForRest } from './support/collections.js';
import { ask, encode, infoNumber, load as loadKeys } from './support/loader.js';
import { cpuTimeUs } from './support/process-facts.js';
import { runLoad, type Load } from './support/redis-benchmark.js';
import { begin, finish, formatTable, isMet, type Verdict } from './support/report.js';
import { geometricMean, median } from './support/statistics.js';
import { commandsOf, prepareTest, SUITE, type SuiteTest } from './support/suite.js';

/** Targets of the foundation (geometric mean of SET, GET, INCR, MSET): throughput and processor time by pipeline. */
const THROUGHPUT_TARGETS = new Map([
  [1, { bound: 1.15 }],
  [16, { bound: 1.5, aim: 1.8 }],
  [50, { bound: 2.0, aim: 2.4 }],
]);
const CPU_TARGETS = new Map([
  [16, 0.65],
  [50, 0.55],
]);
/** Targets of the whole suite, at the pipeline they are for. */
const SUITE_PIPELINE = 16;
const SUITE_TARGETS = { speed: { bound: 1.5, aim: 1.8 }, slowest: 1.2, cpu: 0.65 };

const FOUNDATION_PIPELINES = [1, SUITE_PIPELINE, 50];

const { values } = parseArgs({
  options: {
    ...CONTENDER_OPTIONS,
    only: { type: 'string' },
    runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '1.6' },
    requests: { type: 'string' },
    pipelines: { type: 'string' },
    sizes: { type: 'string', default: '3,512' },
    clients: { type: 'string', default: '50' },
    keys: { type: 'string', default: '1000000' },
    threads: { type: 'string', default: '0' },
    check: { type: 'boolean', default: false },
  },
});
if (values.smoke) Object.assign(values, { runs: '1', requests: '3000', sizes: '3', keys: '2000' });

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
  clientShare: number;
}

/** One line of the report. */
interface Row {
  test: string;
  valueBytes: number;
  pipeline: number;
  requests: number;
  isFoundation: boolean;
  redis: Figures;
  ours: Figures;
}

/** Brings a server into a run's first state; what that has left to free or to rehash is over when the run begins. */
async function prepare(server: RunningServer, test: SuiteTest, requests: number, valueBytes: number): Promise<void> {
  await prepareTest(server.port, test, requests, valueBytes);
  if (test.key !== undefined && !values.smoke) await waitForRest(server);
}

async function measure(server: RunningServer, job: Load): Promise<Figures> {
  const missesBefore = await infoNumber(server.port, 'stats', 'keyspace_misses');
  const before = cpuTimeUs(server.pid);
  const { requestsPerSec, p50Ms, p99Ms, p999Ms, clientShare } = await runLoad(server.port, job);
  const cpuUsPerCommand = (cpuTimeUs(server.pid) - before) / job.requests;
  // A server that looks keys up in the wrong place is fast and worthless.
  const misses = (await infoNumber(server.port, 'stats', 'keyspace_misses')) - missesBefore;
  if (misses !== 0) throw new Error(`${server.name}: ${misses} of ${job.requests} ${job.test} found no key`);
  return { requestsPerSec, cpuUsPerCommand, p50Ms, p99Ms, p999Ms, clientShare };
}

function medians(samples: readonly Figures[]): Figures {
  const of = (field: keyof Figures): number => median(samples.map((sample) => sample[field]));
  return {
    requestsPerSec: of('requestsPerSec'),
    cpuUsPerCommand: of('cpuUsPerCommand'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    p999Ms: of('p999Ms'),
    clientShare: of('clientShare'),
  };
}

/** A short run of each server; the faster one decides how many requests the measured runs have. */
async function chooseRequests(servers: Contenders, test: SuiteTest, job: Load): Promise<number> {
  if (values.requests !== undefined) return Number(values.requests);
  const probe = { ...job, requests: 20_000 * Math.min(job.pipeline, 16) };
  let fastest = 0;
  for (const server of [servers.redis, servers.ours]) {
    await prepare(server, test, probe.requests, job.valueBytes);
    fastest = Math.max(fastest, (await runLoad(server.port, probe)).requestsPerSec);
  }
  return Math.ceil((fastest * Number(values.seconds)) / 10_000) * 10_000;
}

async function compareOnce(servers: Contenders, test: SuiteTest, job: Load): Promise<Row> {
  const requests = await chooseRequests(servers, test, job);
  const samples = { redis: [] as Figures[], ours: [] as Figures[] };
  for (let run = 0; run < runs; run++) {
    const order = run % 2 === 0 ? (['redis', 'ours'] as const) : (['ours', 'redis'] as const);
    for (const which of order) {
      await prepare(servers[which], test, requests, job.valueBytes);
      samples[which].push(await measure(servers[which], { ...job, requests }));
    }
  }
  // The keys of the strings are counted before the next size; nothing else may be left then.
  if (test.key !== undefined) for (const { port } of [servers.redis, servers.ours]) await ask(port, 'DEL', test.key);
  return {
    test: test.name,
    valueBytes: test.carriesValue ? job.valueBytes : 0,
    pipeline: job.pipeline,
    requests,
    isFoundation: test.isFoundation,
    redis: medians(samples.redis),
    ours: medians(samples.ours),
  };
}

/** Gives a server every key and counter that redis-benchmark draws from. */
async function fill(server: RunningServer, valueBytes: number): Promise<void> {
  const value = 'x'.repeat(valueBytes);
  await loadKeys(server.port, keys, (index) => encode('SET', `key:${twelveDigits(index)}`, value));
  await loadKeys(server.port, keys, (index) => encode('SET', `counter:${twelveDigits(index)}`, '1'));
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
  cells.push(Math.max(redis.clientShare, ours.clientShare).toFixed(2));
  if (row.pipeline !== 1) return cells;
  const pairs = [
    [redis.p50Ms, ours.p50Ms],
    [redis.p99Ms, ours.p99Ms],
    [redis.p999Ms, ours.p999Ms],
  ] as const;
  return [...cells, ...pairs.map(([theirs, mine]) => `${theirs.toFixed(2)} / ${mine.toFixed(2)}`)];
}

const HEADER = ['test', 'pipe', 'redis/s', 'ours/s', 'ratio', 'redis µs', 'ours µs', 'CPU ratio', 'client'];
const LATENCY_HEADER = ['p50 ms r/o', 'p99 ms r/o', 'p99.9 ms r/o'];

const speedOf = (row: Row): number => row.ours.requestsPerSec / row.redis.requestsPerSec;
const costOf = (row: Row): number => row.ours.cpuUsPerCommand / row.redis.cpuUsPerCommand;

/** The geometric means over the tests of strings, with the foundation's targets beside them. */
function judgeFoundation(rows: readonly Row[]): Verdict[] {
  const verdicts: Verdict[] = [];
  const foundation = rows.filter((row) => row.isFoundation);
  const mean = (pipeline: number, value: (row: Row) => number): number =>
    geometricMean(foundation.filter((row) => row.pipeline === pipeline).map(value));
  for (const pipeline of new Set(foundation.map((row) => row.pipeline))) {
    const target = THROUGHPUT_TARGETS.get(pipeline);
    const what = `throughput ÷ redis, strings, geometric mean at pipeline ${pipeline}`;
    if (target !== undefined) verdicts.push({ what, value: mean(pipeline, speedOf), kind: 'at least', ...target });
    const bound = CPU_TARGETS.get(pipeline);
    const costs = `CPU per command ÷ redis, strings, geometric mean at pipeline ${pipeline}`;
    if (bound !== undefined) verdicts.push({ what: costs, value: mean(pipeline, costOf), bound, kind: 'at most' });
    if (pipeline !== 1) continue;
    const p99 = mean(1, (row) => row.ours.p99Ms / row.redis.p99Ms);
    const p999 = mean(1, (row) => row.ours.p999Ms / row.redis.p999Ms);
    verdicts.push({ what: 'p99 ÷ redis at pipeline 1', value: p99, bound: 1, kind: 'at most' });
    verdicts.push({ what: 'p99.9 ÷ redis at pipeline 1', value: p999, bound: 1, kind: 'at most' });
  }
  return verdicts;
}

/** The whole suite: every test once, at the first value size. */
function judgeSuite(rows: readonly Row[], chosen: readonly SuiteTest[], missing: readonly SuiteTest[]): Verdict[] {
  const firstSize = numbers(values.sizes)[0] ?? 0;
  const suite = rows.filter(
    ({ pipeline, valueBytes }) => pipeline === SUITE_PIPELINE && (valueBytes === 0 || valueBytes === firstSize),
  );
  if (suite.length + missing.length === 0) return [];
  const over = `${suite.length} of the suite's ${SUITE.length} tests at pipeline ${SUITE_PIPELINE}`;
  const slowest = [...suite].sort((a, b) => speedOf(a) - speedOf(b))[0];
  const verdicts: Verdict[] = [
    {
      what: `throughput ÷ redis, geometric mean over ${over}`,
      value: geometricMean(suite.map(speedOf)),
      kind: 'at least',
      ...SUITE_TARGETS.speed,
    },
    {
      what: `throughput ÷ redis of the slowest test, ${slowest?.test ?? 'none'}, of ${over}`,
      value: slowest === undefined ? NaN : speedOf(slowest),
      bound: SUITE_TARGETS.slowest,
      kind: 'at least',
    },
    {
      what: `CPU per command ÷ redis, geometric mean over ${over}`,
      value: geometricMean(suite.map(costOf)),
      bound: SUITE_TARGETS.cpu,
      kind: 'at most',
    },
  ];
  const names = missing.map((test) => test.name).join(', ');
  const what = `tests that ran${names === '' ? '' : `; not there: ${names}`}`;
  return [...verdicts, { what, value: chosen.length - missing.length, bound: chosen.length, kind: 'at least' }];
}

/** A run that is too small to mean anything must at least have moved data on both sides. */
function checkSmoke(rows: readonly Row[]): void {
  for (const row of rows) {
    const figures = [row.redis.requestsPerSec, row.ours.requestsPerSec, row.redis.p50Ms, row.ours.p50Ms];
    if (figures.some((figure) => !(figure > 0))) throw new Error(`no figures for ${JSON.stringify(row)}`);
  }
  if (rows.length === 0) throw new Error('no test was run');
}

/** The pipelines a test runs at. */
function pipelinesOf(test: SuiteTest): number[] {
  if (values.pipelines !== undefined) return numbers(values.pipelines);
  if (!test.isFoundation) return [SUITE_PIPELINE];
  return values.smoke ? [1, SUITE_PIPELINE] : FOUNDATION_PIPELINES;
}

/** Runs all tests that one value size asks for. */
async function runSize(servers: Contenders, tests: readonly SuiteTest[], valueBytes: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const server of [servers.redis, servers.ours]) await fill(server, valueBytes);
  const pipelines = [...new Set(tests.flatMap(pipelinesOf))].sort((a, b) => a - b);
  for (const pipeline of pipelines) {
    for (const test of tests.filter((one) => pipelinesOf(one).includes(pipeline))) {
      const shape = { clients: Number(values.clients), keyspace: keys, threads: Number(values.threads) };
      const job: Load = { test: test.name, pipeline, valueBytes, requests: 0, ...shape };
      if (test.words !== undefined) job.words = test.words;
      const row = await compareOnce(servers, test, job);
      rows.push(row);
      process.stderr.write(`${printRow(row).join('  ')}\n`);
    }
  }
  return rows;
}

async function main(): Promise<void> {
  const only = values.only?.split(',');
  const chosen = SUITE.filter((test) => only === undefined || only.some((word) => test.name.startsWith(word)));
  begin(`redis-benchmark, ${values.clients} clients, ${keys} keys, medians of ${runs}`);
  const servers = await startContenders(values);
  const rows: Row[] = [];
  const missing: SuiteTest[] = [];
  try {
    for (const test of chosen) {
      const ports = [servers.redis.port, servers.ours.port];
      const lacks = await Promise.all(ports.map((port) => missingCommands(port, commandsOf(test))));
      if (lacks.flat().length > 0) missing.push(test);
    }
    const there = chosen.filter((test) => !missing.includes(test));
    for (const [index, valueBytes] of numbers(values.sizes).entries()) {
      const tests = there.filter((test) => index === 0 || (test.isFoundation && test.carriesValue));
      if (tests.length > 0) rows.push(...(await runSize(servers, tests, valueBytes)));
    }
  } finally {
    await servers.stop();
  }
  const lines = chosen.flatMap((test) => {
    if (missing.includes(test)) return [[test.name, 'not there']];
    return rows.filter((row) => row.test === test.name).map(printRow);
  });
  console.info(`\n${formatTable([...HEADER, ...LATENCY_HEADER], lines)}\n`);
  checkSmoke(rows);
  const verdicts = values.smoke ? [] : [...judgeFoundation(rows), ...judgeSuite(rows, chosen, missing)];
  finish('compare', { rows, missing: missing.map((test) => test.name) }, verdicts, values.json);
  if (values.check && verdicts.some((verdict) => !isMet(verdict))) process.exitCode = 1;
}

await main();
