/**
 * The short form of the differential test, for the gate: random command streams to a real redis-server and to us,
 * on one shard and one worker and on several of both; and the checks of the harness itself, which must stay silent
 * when the oracle meets itself and must speak when the subject is wrong.
 *
 * SHERD_SEED=n repeats a run; the seed stands in every failure. The long form is `npm run soak`.
 */
import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { startRedis, startSherd } from '../support/oracle.js';
import { ACCEPTED } from './accepted.js';
import { runCampaign, type CampaignResult } from './campaign.js';
import { isSame } from './compare.js';
import { Generator, parseInteger } from './generator.js';
import { COMMANDS, EXISTING_FAMILIES, FAMILIES, fullName } from './grammar.js';
import { layoutOptions } from './layout.js';
import { answeredSteps } from './pair.js';
import { RULE_NAMES, ruleOf } from './rules.js';

const SEED = Number(process.env['SHERD_SEED'] ?? randomInt(2 ** 31));
const TIMEOUT_MS = 180_000;
const NOTHING_MISSING: ReadonlySet<string> = new Set();

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

function failures(result: CampaignResult): string {
  return result.differences.map((difference) => `${difference.text}\n(${difference.count} streams)`).join('\n\n');
}

describe(`against redis-server, seed ${SEED}`, () => {
  const layouts = [
    ['1 shard, 1 worker', '1x1', 15_000],
    ['8 shards, 2 workers', '8x2', 15_000],
    ["8 shards, 2 workers, always on the shard's owner", '8x2o', 8_000],
  ] as const;
  it.each(layouts)(
    '%s: no reply and no data differ, and no command is missing',
    { timeout: TIMEOUT_MS },
    async (_, layout, timeMs) => {
      const result = await runCampaign({
        startOracle: () => startRedis(),
        startSubject: () => startSherd(layoutOptions(layout)),
        seed: SEED,
        commands: 100_000,
        timeMs,
        differencesMax: 10,
      });
      expect(failures(result)).toBe('');
      expect(result.missing).toEqual([]);
      expect(result.commands).toBeGreaterThan(5_000);
    },
  );
});

describe('the harness', () => {
  it('finds nothing between the oracle and itself', { timeout: TIMEOUT_MS }, async () => {
    const result = await runCampaign({
      startOracle: () => startRedis(),
      startSubject: () => startRedis(),
      seed: SEED,
      commands: 20_000,
    });
    expect(failures(result)).toBe('');
    expect(result.missing).toEqual([]);
  });

  it('finds a subject with fewer databases and gives a script of one command', { timeout: TIMEOUT_MS }, async () => {
    const result = await runCampaign({
      startOracle: () => startRedis(),
      startSubject: () => startRedis(['--databases', '10']),
      seed: 5,
      commands: 50_000,
      families: ['connection'],
      differencesMax: 1,
    });
    expect(result.differences).toHaveLength(1);
    const text = result.differences[0]?.text ?? '';
    expect(text).toContain('DIFFERENCE reply: select');
    expect(text.match(/^ {2}(\[connection|")/gm)).toHaveLength(1);
    expect(text).toMatch(/replay: npm run soak -- --replay=\d+/);
  });

  it('finds data that differs though all replies agree', { timeout: TIMEOUT_MS }, async () => {
    // The thresholds decide an encoding, which only the comparison of the keyspace looks at in these families.
    // Without CONFIG the set-up of the streams cannot put them back; on neither side, since streams may name it.
    const noConfig = ['--rename-command', 'CONFIG', ''];
    const options = ['--zset-max-listpack-entries', '0', '--set-max-intset-entries', '0', ...noConfig];
    const result = await runCampaign({
      startOracle: () => startRedis(noConfig),
      startSubject: () => startRedis(options),
      seed: SEED,
      commands: 50_000,
      families: ['zsets', 'sets'],
      differencesMax: 1,
    });
    expect(result.differences[0]?.text).toContain('keyspace: OBJECT ENCODING');
  });

  it('notices commands that the subject lacks', { timeout: TIMEOUT_MS }, async () => {
    const result = await runCampaign({
      startOracle: () => startRedis(),
      startSubject: () => startRedis(['--rename-command', 'SUBSTR', '']),
      seed: SEED,
      commands: 1_000,
      families: ['strings'],
    });
    expect(result.missing).toEqual(['substr']);
  });
});

describe('streams', () => {
  it('are a function of their seed', () => {
    const make = (): string => {
      const stream = new Generator(SEED, { families: EXISTING_FAMILIES, missing: NOTHING_MISSING, steps: 300 }).stream(
        SEED,
        300,
      );
      return JSON.stringify(stream);
    };
    expect(make()).toBe(make());
  });

  it('reach every command of their families', () => {
    const seen = new Set<string>();
    for (let seed = SEED; seed < SEED + 240; seed++) {
      const generator = new Generator(seed, { families: EXISTING_FAMILIES, missing: NOTHING_MISSING, steps: 600 });
      for (const step of generator.stream(seed, 600).steps) seen.add(fullName(step.args));
    }
    const due = EXISTING_FAMILIES.flatMap((family) => FAMILIES.get(family) ?? []).filter(
      (name) => !ruleOf(name).excluded,
    );
    expect(due.filter((name) => !seen.has(name))).toEqual([]);
  });

  it('have rules and families for real commands only', () => {
    expect(RULE_NAMES.filter((name) => !COMMANDS.has(name))).toEqual([]);
    expect([...FAMILIES.values()].flat().filter((name) => !COMMANDS.has(name))).toEqual([]);
  });

  it('give each accepted difference an id of its own and a reason', () => {
    expect(new Set(ACCEPTED.map((row) => row.id)).size).toBe(ACCEPTED.length);
    for (const row of ACCEPTED) {
      expect(row.reason.length, row.id).toBeGreaterThan(20);
      for (const name of row.commands) expect(COMMANDS.has(name), `${row.id}: ${name}`).toBe(true);
    }
  });

  it('parse integers as Redis does', () => {
    const parse = (text: string): bigint | undefined => parseInteger(latin1(text));
    expect(['0', '-1', '9223372036854775807', '-9223372036854775808'].map(parse)).toEqual([
      0n,
      -1n,
      2n ** 63n - 1n,
      -(2n ** 63n),
    ]);
    expect(['', '-0', '+5', ' 5', '05', '1e3', '9223372036854775808'].map(parse)).toEqual(Array(7).fill(undefined));
  });
});

describe('comparison rules', () => {
  it.each([
    ['exact', ':1\r\n', ':1\r\n', true],
    ['exact', '$1\r\n1\r\n', ':1\r\n', false],
    ['sorted', '*2\r\n+a\r\n+b\r\n', '*2\r\n+b\r\n+a\r\n', true],
    ['sorted', '*2\r\n+a\r\n+b\r\n', '*2\r\n+b\r\n+b\r\n', false],
    ['sorted', '*1\r\n+a\r\n', '~1\r\n+a\r\n', false],
    ['sorted-pairs', '*4\r\n+a\r\n+1\r\n+b\r\n+2\r\n', '*4\r\n+b\r\n+2\r\n+a\r\n+1\r\n', true],
    ['sorted-pairs', '*4\r\n+a\r\n+1\r\n+b\r\n+2\r\n', '*4\r\n+a\r\n+2\r\n+b\r\n+1\r\n', false],
    ['kind', '*0\r\n', '*1\r\n:1\r\n', true],
    ['kind', '-ERR a\r\n', '-ERR b\r\n', false],
    ['shape', '*2\r\n$1\r\n0\r\n*0\r\n', '*2\r\n$2\r\n17\r\n*1\r\n$1\r\na\r\n', true],
    ['shape', '*2\r\n$1\r\n0\r\n*0\r\n', '*2\r\n:0\r\n*0\r\n', false],
    ['shape', '$-1\r\n', '*-1\r\n', false],
    ['ttl-ms', ':100000\r\n', ':99990\r\n', true],
    ['ttl-ms', ':100000\r\n', ':90000\r\n', false],
    ['ttl-ms', ':-1\r\n', ':-2\r\n', false],
    ['ttl-ms', ':0\r\n', ':-1\r\n', false],
    ['hello', '%1\r\n$2\r\nid\r\n:3\r\n', '%1\r\n$2\r\nid\r\n:4\r\n', true],
    ['hello', '%1\r\n$4\r\nmode\r\n$1\r\na\r\n', '%1\r\n$4\r\nmode\r\n$1\r\nb\r\n', false],
    ['client-line', '$15\r\nid=3 name= db=0\r\n', '$15\r\nid=4 name= db=0\r\n', true],
    ['client-line', '$15\r\nid=3 name= db=0\r\n', '$15\r\nid=3 name= db=1\r\n', false],
    ['keyspace-info', '$31\r\ndb0:keys=1,expires=1,avg_ttl=12\r\n', '$31\r\ndb0:keys=1,expires=1,avg_ttl=13\r\n', true],
    [
      'keyspace-info',
      '$31\r\ndb0:keys=1,expires=1,avg_ttl=12\r\n',
      '$31\r\ndb0:keys=1,expires=0,avg_ttl=12\r\n',
      false,
    ],
  ] as const)('%s %j %j: %s', (rule, left, right, same) => {
    expect(isSame(rule, latin1(left), latin1(right))).toBe(same);
  });

  it('knows which commands CLIENT REPLY leaves without an answer', () => {
    const steps = (...lines: string[]): Parameters<typeof answeredSteps>[0] =>
      lines.map((line) => ({ args: line.split(' ').map((word) => latin1(word)), connection: 0 }));
    expect(
      answeredSteps(steps('GET a', 'CLIENT REPLY OFF', 'GET a', 'CLIENT REPLY SKIP', 'CLIENT REPLY ON', 'GET a')),
    ).toEqual([0, 4, 5]);
    expect(answeredSteps(steps('CLIENT REPLY SKIP', 'GET a', 'GET b', 'client reply perhaps'))).toEqual([2, 3]);
    expect(answeredSteps(steps('CLIENT REPLY OFF', 'RESET', 'GET b'))).toEqual([1, 2]);
    expect(answeredSteps(steps('CLIENT REPLY SKIP', 'RESET', 'GET b'))).toEqual([2]);
  });
});
