/**
 * `npm run bench:clients`: what happens between clients, redis-server and ours in one run: messages to subscribers,
 * elements handed to blocked consumers, transactions, and what tracking costs.
 *
 * Method. Each line is a duel of two sides, alternately (A B, B A, A B), so that a drift of the machine hits both;
 * each pair of runs gives one ratio, and the figures are medians over the pairs. The sides are redis-server and ours
 * with the same load; for tracking, the same server with tracking off and on, ours (judged) and redis-server (for
 * comparison).
 * The load is sherd_load (native/load), whose files say what it sends and what it checks.
 *
 * publish    1 and 4 publishers, 32 PUBLISHes under way on each, 50 subscribers that read; 16 and 512 bytes. Counted is
 *            what has arrived at subscribers: 50 for each PUBLISH.
 * handover   a consumer blocked in BRPOP, a producer that pushes 0.3 to 0.7 ms later: from LPUSH to the element; 1 and
 *            8 pairs, each on connections that are made anew ten times a run.
 * multi      MULTI, ten SETs, EXEC, 16 transactions under way on each of 8 and 50 connections; keys with a hash tag per
 *            transaction (one shard each), without hash tags (across shards), and, not judged, with one and the same
 *            hash tag for everybody: the most that can be asked of one shard.
 * tracking   GETs in RESP3 of 8192 keys by 16 connections, every key tracked by every connection before the clock
 *            starts: a cache that is read and hardly written, where all that tracking can cost is finding that a key
 *            is tracked already. With nobody else, and with a writer that sets 1000 keys a second, on both sides, so
 *            that up to 16 invalidations follow each write and the keys are tracked anew; pipelined with 16 under way,
 *            and one at a time, as most clients ask. A second table sets what tracking costs ours beside what it
 *            costs redis-server.
 *
 * How to read it. On a machine with two cores the load has to share them with a server that would use both: the ratio
 * of throughput is then less than what the server gained, and the ratio of processor time per message or command is
 * what is robust. "client" is the part of a core that the load used, at the side that kept it busier; near 1 it was the
 * limit. "others" is how many cores everybody else kept busy meanwhile: where it is not small, take the figures again.
 *
 * Options: --what publish,handover,multi,tracking (default: all)   --runs 5   --seconds 1 (per run)   --json FILE
 *          --check (exit 1 when a target is missed)   --smoke   --ours … (see support/contenders.ts)
 */
import { parseArgs } from 'node:util';
import type { RunningServer } from '../test/support/oracle.js';
import { runClientLoad, type Sample } from './support/client-load.js';
import { missingCommands } from './support/collections.js';
import { CONTENDER_OPTIONS, startContenders, type Contenders } from './support/contenders.js';
import { begin, finish, formatTable, isMet, type Verdict } from './support/report.js';
import { median } from './support/statistics.js';

const { values } = parseArgs({
  options: {
    ...CONTENDER_OPTIONS,
    what: { type: 'string' },
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1' },
    check: { type: 'boolean', default: false },
  },
});
if (values.smoke) Object.assign(values, { runs: '1', seconds: '0.1' });

/** The bounds: ÷ redis-server, but for tracking, where it is on ÷ off. */
const PUBLISH_BOUND = 1.5;
const HANDOVER_BOUND = 1.0;
const ONE_SHARD_BOUND = 1.8;
const ACROSS_SHARDS_BOUND = 1.0;
const TRACKING_SPEED_BOUND = 0.9;
const TRACKING_CPU_BOUND = 1.1;

const SUBSCRIBERS = 50;
/** One publisher is to keep a server busy, so more is under way than elsewhere. */
const PUBLISH_DEPTH = 32;
const DEPTH = 16;
const READERS = 16;
/** A load that uses more of a core than this is the limit. */
const CLIENT_SHARE_MAX = 0.9;

/** What can be compared between the two sides of a duel. */
type Measure = 'perSec' | 'cpuUs' | 'p50Us' | 'p99Us';

/** A ratio with a bound. */
interface Target {
  measure: Measure;
  title: string;
  bound: number;
  kind: Verdict['kind'];
}

/** One line of the report to be. */
interface Case {
  name: string;
  commands: readonly string[];
  /** The scenario of sherd_load and its options. */
  words: readonly string[];
  targets: readonly Target[];
  /** Not the servers are compared, but each with itself, with and without these options. */
  options?: { base: readonly string[]; subject: readonly string[] };
}

/** A table of the report. */
interface Section {
  title: string;
  isTimed: boolean;
  cases: readonly Case[];
}

const speed = (bound: number): Target => {
  return { measure: 'perSec', title: 'throughput ÷ redis', bound, kind: 'at least' };
};

const publish = (publishers: number, payloadBytes: number): Case => ({
  name: `${publishers} publisher${publishers === 1 ? '' : 's'}, ${payloadBytes} B`,
  commands: ['SUBSCRIBE', 'PUBLISH'],
  words: [
    ...['publish', '--subscribers', String(SUBSCRIBERS), '--depth', String(PUBLISH_DEPTH)],
    ...['--publishers', String(publishers), '--payload', String(payloadBytes)],
  ],
  targets: [speed(PUBLISH_BOUND)],
});

const handover = (pairs: number): Case => ({
  name: `${pairs} pair${pairs === 1 ? '' : 's'}`,
  commands: ['BRPOP', 'LPUSH'],
  words: ['handover', '--pairs', String(pairs)],
  targets: [{ measure: 'p50Us', title: 'p50 ÷ redis', bound: HANDOVER_BOUND, kind: 'at most' }],
});

const multi = (name: string, keys: string, bound: number | undefined): Case[] =>
  [8, 50].map((connections) => ({
    name: `${name}, ${connections} connections`,
    commands: ['MULTI', 'EXEC', 'SET'],
    words: ['exec', '--keys', keys, '--connections', String(connections), '--depth', String(DEPTH)],
    targets: bound === undefined ? [] : [speed(bound)],
  }));

const tracking = (name: string, depth: number, writesPerSec: number): Case => ({
  name,
  commands: ['HELLO', 'CLIENT TRACKING', 'GET', 'SET'],
  words: ['get', '--connections', String(READERS), '--depth', String(depth), '--writes', String(writesPerSec)],
  targets: [
    { measure: 'perSec', title: 'GETs, tracking on ÷ off', bound: TRACKING_SPEED_BOUND, kind: 'at least' },
    { measure: 'cpuUs', title: 'CPU per GET, tracking on ÷ off', bound: TRACKING_CPU_BOUND, kind: 'at most' },
  ],
  options: { base: ['--tracking', 'off'], subject: ['--tracking', 'on'] },
});

const SECTIONS = new Map<string, Section>([
  [
    'publish',
    {
      title: `PUBLISH to ${SUBSCRIBERS} subscribers, messages delivered`,
      isTimed: false,
      cases: [publish(1, 16), publish(4, 16), publish(1, 512), publish(4, 512)],
    },
  ],
  ['handover', { title: 'from LPUSH to a client in BRPOP', isTimed: true, cases: [handover(1), handover(8)] }],
  [
    'multi',
    {
      title: 'MULTI of ten SETs, transactions',
      isTimed: false,
      cases: [
        ...multi('on one shard', 'tags', ONE_SHARD_BOUND),
        ...multi('across shards', 'any', ACROSS_SHARDS_BOUND),
        ...multi('all on the same shard', 'one-tag', undefined),
      ],
    },
  ],
  [
    'tracking',
    {
      title: 'GET with tracking off and on',
      isTimed: false,
      cases: [
        tracking('all keys tracked', DEPTH, 0),
        tracking('1000 writes a second', DEPTH, 1000),
        tracking('all keys tracked, one at a time', 1, 0),
        tracking('1000 writes a second, one at a time', 1, 1000),
      ],
    },
  ],
]);

/** One side of a duel. */
interface Side {
  server: RunningServer;
  words: readonly string[];
}

/** Medians over the runs of a duel; `ratios` are of the subject to the base. */
interface Result {
  base: Sample;
  subject: Sample;
  ratios: Record<Measure, number>;
}

/** One line of the report: what was measured, or which commands are not there. */
interface Row {
  name: string;
  sides: readonly [string, string];
  targets: readonly Target[];
  result: Result | undefined;
  missing: readonly string[];
}

function medians(samples: readonly Sample[]): Sample {
  const of = (field: keyof Sample): number => median(samples.map((sample) => sample[field]));
  const shares = { clientShare: of('clientShare'), othersShare: of('othersShare') };
  const times = { p50Us: of('p50Us'), p99Us: of('p99Us'), p999Us: of('p999Us'), maxUs: of('maxUs') };
  return { perSec: of('perSec'), cpuUs: of('cpuUs'), ...shares, ...times };
}

async function duel(base: Side, subject: Side): Promise<Result> {
  const samples = { base: [] as Sample[], subject: [] as Sample[] };
  const sides = { base, subject };
  for (let run = 0; run < Number(values.runs); run++) {
    const order = run % 2 === 0 ? (['base', 'subject'] as const) : (['subject', 'base'] as const);
    for (const which of order) {
      const { server, words } = sides[which];
      const told = [...words, '--seconds', values.seconds, '--seed', String(run + 1)];
      samples[which].push(await runClientLoad(server, told));
    }
  }
  const ratio = (field: Measure): number =>
    median(samples.subject.map((mine, run) => mine[field] / (samples.base[run] as Sample)[field]));
  const times = { p50Us: ratio('p50Us'), p99Us: ratio('p99Us') };
  const ratios = { perSec: ratio('perSec'), cpuUs: ratio('cpuUs'), ...times };
  return { base: medians(samples.base), subject: medians(samples.subject), ratios };
}

/** The duels of a case: redis against ours; or redis with and without the options, then ours, which is judged. */
function duelsOf(servers: Contenders, one: Case): { row: Omit<Row, 'result' | 'missing'>; sides: [Side, Side] }[] {
  const { redis, ours } = servers;
  const { words, options, targets, name } = one;
  if (options === undefined) {
    const sides: [Side, Side] = [
      { server: redis, words },
      { server: ours, words },
    ];
    return [{ row: { name, sides: ['redis', 'ours'], targets }, sides }];
  }
  const withItself = (server: RunningServer): [Side, Side] => [
    { server, words: [...words, ...options.base] },
    { server, words: [...words, ...options.subject] },
  ];
  return [
    { row: { name: `redis, ${name}`, sides: ['off', 'on'], targets: [] }, sides: withItself(redis) },
    { row: { name: `ours, ${name}`, sides: ['off', 'on'], targets }, sides: withItself(ours) },
  ];
}

async function runCase(servers: Contenders, one: Case): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { row, sides } of duelsOf(servers, one)) {
    const lacks = await Promise.all(sides.map(({ server }) => missingCommands(server.port, one.commands)));
    const missing = [...new Set(lacks.flat())];
    rows.push({ ...row, missing, result: missing.length > 0 ? undefined : await duel(...sides) });
  }
  return rows;
}

function judge(row: Row): Verdict[] {
  const { result, targets, missing, name } = row;
  return targets.map(({ measure, title, bound, kind }) => {
    if (result === undefined) {
      return { what: `${title}, ${name}: not there (${missing.join(', ')})`, value: NaN, bound, kind };
    }
    const isBusy = Math.max(result.base.clientShare, result.subject.clientShare) > CLIENT_SHARE_MAX;
    const limit = isBusy ? '; the client was the limit, mind the CPU' : '';
    const remark = measure === 'perSec' ? ` (CPU ${result.ratios.cpuUs.toFixed(2)}${limit})` : '';
    return { what: `${title}, ${name}${remark}`, value: result.ratios[measure], bound, kind };
  });
}

/** What the options cost redis-server and ours, side by side; undefined where servers are compared. */
function printCosts(section: Section, rows: readonly Row[]): string | undefined {
  const cases = section.cases.filter((one) => one.options !== undefined);
  if (cases.length === 0) return undefined;
  const measures = ['perSec', 'cpuUs'] as const;
  const lines = cases.map(({ name }) => {
    const [redis, ours] = ['redis', 'ours'].map((who) => rows.find((row) => row.name === `${who}, ${name}`)?.result);
    const ratios = measures.flatMap((measure) => [redis, ours].map((result) => result?.ratios[measure] ?? NaN));
    return [name, ...ratios.map((ratio) => ratio.toFixed(2))];
  });
  const title = `${section.title}, on ÷ off`;
  return formatTable([title, 'redis speed', 'ours speed', 'redis CPU', 'ours CPU'], lines);
}

/** What stands at the end of a line: the bounds, and whether they are kept. */
function printTargets(row: Row): string[] {
  if (row.targets.length === 0) return ['', ''];
  const bounds = row.targets.map(({ bound, kind }) => `${kind === 'at least' ? '≥' : '≤'} ${bound.toFixed(2)}`);
  return [bounds.join(', '), judge(row).every(isMet) ? 'MET' : 'MISSED'];
}

function printRow(row: Row, isTimed: boolean): string[] {
  const { result, name, missing } = row;
  if (result === undefined) {
    return [name, `no ${missing.join(', ')}`, ...Array<string>(isTimed ? 9 : 7).fill(''), ...printTargets(row)];
  }
  const { base, subject, ratios } = result;
  const triple = (field: Measure, digits: number): string[] => {
    return [base[field].toFixed(digits), subject[field].toFixed(digits), ratios[field].toFixed(2)];
  };
  const first = isTimed ? [...triple('p50Us', 1), ...triple('p99Us', 1)] : triple('perSec', 0);
  const fields = ['clientShare', 'othersShare'] as const;
  const shares = fields.map((field) => Math.max(base[field], subject[field]).toFixed(2));
  const cpu = triple('cpuUs', isTimed ? 1 : 3);
  return [name, ...first, ...(isTimed ? cpu.slice(0, 2) : cpu), ...shares, ...printTargets(row)];
}

function headerOf(section: Section, [base, subject]: readonly [string, string]): string[] {
  const cpu = [`${base} CPU µs`, `${subject} CPU µs`];
  if (!section.isTimed) {
    return [section.title, `${base}/s`, `${subject}/s`, 'ratio', ...cpu, 'CPU ratio', 'client', 'others', 'target', ''];
  }
  const times = ['p50', 'p99'].flatMap((name) => [`${base} ${name} µs`, `${subject} ${name} µs`, 'ratio']);
  return [section.title, ...times, ...cpu, 'client', 'others', 'target', ''];
}

async function runSection(servers: Contenders, section: Section): Promise<Row[]> {
  const rows: Row[] = [];
  for (const one of section.cases) {
    for (const row of await runCase(servers, one)) {
      rows.push(row);
      process.stderr.write(`${printRow(row, section.isTimed).join('  ')}\n`);
    }
  }
  return rows;
}

async function main(): Promise<void> {
  const wanted = values.what?.split(',') ?? [...SECTIONS.keys()];
  const unknown = wanted.filter((word) => !SECTIONS.has(word));
  if (unknown.length > 0) throw new Error(`--what does not know ${unknown.join(', ')}`);
  begin(`between clients, runs of ${values.seconds} s, medians of ${values.runs} pairs`);
  const sections = wanted.map((word) => SECTIONS.get(word) as Section);
  const tables: Row[][] = [];
  const servers = await startContenders(values);
  try {
    for (const section of sections) tables.push(await runSection(servers, section));
  } finally {
    await servers.stop();
  }
  for (const [index, section] of sections.entries()) {
    const rows = tables[index] ?? [];
    const lines = rows.map((row) => printRow(row, section.isTimed));
    console.info(`\n${formatTable(headerOf(section, rows[0]?.sides ?? ['', '']), lines)}`);
    const costs = printCosts(section, rows);
    if (costs !== undefined) console.info(`\n${costs}`);
  }
  console.info('');
  const rows = tables.flat();
  const verdicts = values.smoke ? [] : rows.flatMap(judge);
  finish('clients', rows, verdicts, values.json);
  if (values.check && verdicts.some((verdict) => !isMet(verdict))) process.exitCode = 1;
}

await main();
