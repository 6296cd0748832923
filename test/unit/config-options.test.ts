/** The option table, its values, the store's transactions, CONFIG REWRITE, and the list in docs/DIFFERENCES.md. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, ConfigStore } from '../../src/config/config-store.js';
import { engineValue } from '../../src/config/engine-options.js';
import { parseOption, splitSetValue } from '../../src/config/option.js';
import { findOption, OPTIONS, optionNames } from '../../src/config/option-table.js';
import { rewriteText } from '../../src/config/config-rewrite.js';
import { projectRoot } from '../support/project.js';

/** The value that CONFIG SET would make of `value`, or the error. */
function parse(name: string, value: string): string {
  const row = findOption(name);
  if (!row) throw new Error(`no option ${name}`);
  const parsed = parseOption(row, splitSetValue(row, value), row.default, 'command');
  return parsed.ok ? parsed.value : `error: ${parsed.error}`;
}

const allowAll = { mayChangeProtected: true };
const applyNothing = (): undefined => undefined;

describe('option table', () => {
  it('has each name once, and defaults that its own parser accepts and prints unchanged', () => {
    const names = OPTIONS.flatMap((row) => [row.name, ...(row.alias === undefined ? [] : [row.alias])]);
    expect(new Set(names).size).toBe(names.length);
    // `replicaof` alone has a default that cannot be written: none.
    for (const row of OPTIONS.filter(({ name }) => name !== 'replicaof')) {
      expect([row.name, parse(row.name, row.default)]).toEqual([row.name, row.default]);
    }
  });

  it('gives a reason exactly where nobody applies an option', () => {
    for (const row of OPTIONS) {
      if (row.appliedBy === 'nobody') expect(row.notHonoured, row.name).toBeTruthy();
    }
  });

  it('has every option of the recorded configuration, with its default', () => {
    const path = join(projectRoot, 'test', 'fixtures', 'config-defaults-7.4.json');
    const recorded = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
    const newer = new Set(['hide-user-data-from-log']);
    for (const [name, value] of Object.entries(recorded)) {
      if (!newer.has(name)) expect([name, findOption(name)?.default]).toEqual([name, value]);
    }
  });

  it('is in step with the list of options that are not honoured in docs/DIFFERENCES.md', () => {
    const text = readFileSync(join(projectRoot, 'docs', 'DIFFERENCES.md'), 'utf8');
    const listed = [...text.matchAll(/^- `([a-z0-9-]+)`: (.+)$/gm)].map(([, name, reason]) => `${name}: ${reason}`);
    const expected = OPTIONS.filter((row) => row.notHonoured !== undefined)
      .map((row) => `${row.name}: ${row.notHonoured}`)
      .sort();
    expect(listed).toEqual(expected);
  });

  it('does not take names of Object.prototype for options', () => {
    for (const name of ['__proto__', 'constructor', 'toString']) expect(findOption(name)).toBeUndefined();
    expect(optionNames().size).toBeGreaterThan(OPTIONS.length);
  });
});

describe('option values', () => {
  it.each([
    ['appendonly', 'YES', 'yes'],
    ['appendonly', '1', "error: argument must be 'yes' or 'no'"],
    ['timeout', '08', "error: argument couldn't be parsed into an integer"],
    ['timeout', '2147483648', 'error: argument must be between 0 and 2147483647 inclusive'],
    ['maxmemory', '1gb', '1073741824'],
    ['maxmemory', '18446744073709551616', '18446744073709551615'],
    ['maxmemory', '-1', 'error: argument must be a memory value'],
    ['maxmemory', '', '0'],
    ['repl-backlog-size', '9223372036854775808', 'error: argument must be between 1 and 9223372036854775807 inclusive'],
    ['maxmemory-clients', '5%', '5%'],
    ['maxmemory-clients', '101%', 'error: percentage argument must be less or equal to 100'],
    ['unixsocketperm', '755', '755'],
    ['unixsocketperm', '999', "error: argument couldn't be parsed as an octal number"],
    ['loglevel', 'Debug', 'debug'],
    ['shutdown-on-sigint', 'force nosave', 'nosave force'],
    ['shutdown-on-sigint', 'default now', 'now'],
    ['notify-keyspace-events', 'KEA', 'AKE'],
    ['notify-keyspace-events', 'f', "error: Invalid event class character. Use 'Ag$lshzxeKEtmdn'."],
    ['save', '900 1 60 10', '900 1 60 10'],
    ['save', '', ''],
    ['save', '0 1', 'error: Invalid save parameters'],
    ['oom-score-adj-values', '+1 2 3', '1 2 3'],
    ['latency-tracking-info-percentiles', '1 99.123456789', '1 99.123457'],
    ['client-output-buffer-limit', 'slave 1mb 1 1', 'normal 0 0 0 slave 1048576 1 1 pubsub 33554432 8388608 60'],
  ])('%s %j gives %j', (name, value, expected) => {
    expect(parse(name, value)).toBe(expected);
  });

  it('hands numbers to the engine exactly', () => {
    const row = findOption('maxmemory')!;
    expect(engineValue(row, '18446744073709551615')).toBe(18446744073709551615n);
    expect(engineValue(row, '100')).toBe(100);
    expect(engineValue(findOption('maxmemory-policy')!, 'volatile-ttl')).toBe(7);
    expect(engineValue(findOption('protected-mode')!, 'yes')).toBe(1);
  });
});

describe('config store', () => {
  it('answers patterns and exact names, the latter in the letters of the question', () => {
    const store = new ConfigStore('/start');
    expect([...store.get(['PORT', 'port', 'por*'])]).toEqual([['PORT', '6379']]);
    expect([...store.get(['maxclient?', 'requirepass'])]).toEqual([['maxclients', '10000'], ['requirepass', '']]);
    expect(store.get(['use-exit*']).size).toBe(0);
    expect(store.get(['use-exit-on-panic']).size).toBe(1);
    expect(store.text('dir')).toBe('/start');
  });

  it('changes all options of a CONFIG SET or none', () => {
    const store = new ConfigStore('/');
    const set = (...pairs: [string, string][]): void => store.set(pairs, allowAll, applyNothing);
    set(['timeout', '5'], ['hz', '20']);
    expect(() => set(['timeout', '6'], ['hz', 'x'])).toThrow(ConfigError);
    expect([store.number('timeout'), store.number('hz')]).toEqual([5, 20]);
    expect(() => set(['timeout', '1'], ['TIMEOUT', '2'])).toThrow(/argument 'TIMEOUT'\) - duplicate parameter/);
    expect(() => set(['databases', '1'])).toThrow(/can't set immutable config/);
    expect(() => set(['nosuch', '1'])).toThrow("Unknown option or number of arguments for CONFIG SET - 'nosuch'");
    expect(() => store.set([['dir', '/']], { mayChangeProtected: false }, applyNothing)).toThrow(/protected config/);
  });

  it('puts applied options back when a later one cannot be applied', () => {
    const store = new ConfigStore('/');
    const applied: string[] = [];
    const apply = (row: { name: string }, value: string): string | undefined => {
      applied.push(`${row.name}=${value}`);
      return value === '7000' ? 'no such port' : undefined;
    };
    const set = (): void => store.set([['timeout', '9'], ['port', '7000']], allowAll, apply);
    expect(set).toThrow("CONFIG SET failed (possibly related to argument 'port') - no such port");
    expect(applied).toEqual(['timeout=9', 'port=7000', 'port=6379', 'timeout=0']);
    expect(store.number('timeout')).toBe(0);
  });
});

describe('config rewrite', () => {
  it('keeps comments and order, replaces lines, removes left-overs and appends what changed', () => {
    const store = new ConfigStore('/d');
    const old = '# hello\nport 1\n\nsave 1 2\nsave 3 4\ninclude other.conf\nmaxmemory 5\n';
    store.overwrite('port', '7000');
    store.overwrite('save', '60 10');
    store.overwrite('maxmemory', '2097152');
    store.overwrite('requirepass', 'a "b"');
    expect(rewriteText(store, old).split('\n')).toEqual([
      '# hello', 'port 7000', '', 'save 60 10', '', 'include other.conf', 'maxmemory 2mb',
      '# Generated by CONFIG REWRITE', 'dir "/d"', 'requirepass "a \\"b\\""', '',
    ]);
    expect(rewriteText(store, rewriteText(store, old))).toBe(rewriteText(store, old));
  });
});
