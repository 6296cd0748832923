/**
 * `npm run bench:memory`: what a million keys cost, in redis-server and in ours.
 *
 * Each case starts both servers afresh, notes used_memory (INFO) and resident memory (/proc), loads the keys
 * over one pipelined connection, and takes the differences: what an empty server weighs is another question.
 * used_memory is what maxmemory counts; resident memory is what the machine is short of. Both are judged.
 *
 * Options: --keys 1000000   --json FILE   --check   --smoke   --ours … (see support/contenders.ts)
 */
import { parseArgs } from 'node:util';
import type { RunningServer } from '../test/support/oracle.js';
import { CONTENDER_OPTIONS, startContenders } from './support/contenders.js';
import { ask, encode, infoNumber, load } from './support/loader.js';
import { residentBytes } from './support/process-facts.js';
import { begin, finish, formatTable, isMet, type Verdict } from './support/report.js';

const { values } = parseArgs({
  options: {
    ...CONTENDER_OPTIONS,
    keys: { type: 'string', default: '1000000' },
    check: { type: 'boolean', default: false },
  },
});
const keys = values.smoke ? 20_000 : Number(values.keys);

/** The bound and aim. */
const BOUND = 0.6;
const AIM = 0.5;

/** Time for a server's counters to catch up after a load: both refresh theirs ten times a second or more. */
const SETTLE_MS = 300;

const CASES = [
  { valueBytes: 10, withTtl: false },
  { valueBytes: 10, withTtl: true },
  { valueBytes: 100, withTtl: false },
  { valueBytes: 100, withTtl: true },
];

/** Bytes per key that a load has added. */
interface Weight {
  used: number;
  resident: number;
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, SETTLE_MS));

async function weigh(server: RunningServer, valueBytes: number, withTtl: boolean): Promise<Weight> {
  const { port, pid } = server;
  await settle();
  const usedBefore = await infoNumber(port, 'memory', 'used_memory');
  const residentBefore = residentBytes(pid);
  await load(port, keys, (index) => {
    // Ten bytes each; a value that differs from key to key cannot be shared, and is no number.
    const key = `k${String(index).padStart(9, '0')}`;
    const value = `v${String(index).padStart(9, '0')}`.padEnd(valueBytes, 'x');
    return withTtl ? encode('SET', key, value, 'EX', String(100_000 + (index % 1000))) : encode('SET', key, value);
  });
  await settle();
  const size = Number(await ask(port, 'DBSIZE'));
  if (size !== keys) throw new Error(`${server.name} holds ${size} keys of ${keys}`);
  const used = ((await infoNumber(port, 'memory', 'used_memory')) - usedBefore) / keys;
  return { used, resident: (residentBytes(pid) - residentBefore) / keys };
}

async function main(): Promise<void> {
  begin(`memory of ${keys} keys of 10 bytes, bytes per key`);
  const rows: string[][] = [];
  const results: unknown[] = [];
  const verdicts: Verdict[] = [];
  for (const { valueBytes, withTtl } of CASES) {
    const servers = await startContenders(values);
    try {
      const redis = await weigh(servers.redis, valueBytes, withTtl);
      const ours = await weigh(servers.ours, valueBytes, withTtl);
      const what = `${valueBytes}-byte values${withTtl ? ', TTL' : ''}`;
      results.push({ valueBytes, withTtl, redis, ours });
      const cells = [redis.used, ours.used, ours.used / redis.used, redis.resident, ours.resident];
      rows.push([what, ...[...cells, ours.resident / redis.resident].map((cell) => cell.toFixed(2))]);
      // The bound is for small keys; a hundred bytes of value are a hundred bytes in any layout.
      if (valueBytes > 10) continue;
      const judged = { bound: BOUND, aim: AIM, kind: 'at most' as const };
      verdicts.push({ what: `used_memory ÷ redis, ${what}`, value: ours.used / redis.used, ...judged });
      verdicts.push({ what: `resident ÷ redis, ${what}`, value: ours.resident / redis.resident, ...judged });
    } finally {
      await servers.stop();
    }
  }
  const header = ['case', 'redis used', 'ours used', 'ratio', 'redis RSS', 'ours RSS', 'ratio'];
  console.info(`${formatTable(header, rows)}\n`);
  finish('memory', results, values.smoke ? [] : verdicts, values.json);
  if (values.check && verdicts.some((verdict) => !isMet(verdict))) process.exitCode = 1;
}

await main();
