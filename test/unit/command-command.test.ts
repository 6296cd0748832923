/**
 * COMMAND and its subcommands against replies of redis-server 7.0.15 (test/fixtures/command-replies-7.0.json).
 *
 * Replies are compared as frames of RESP2 and RESP3 turned into text, with three liberties: sets are sorted, texts
 * that we word ourselves (summaries and their like) are masked, and so are subcommand lists (each subcommand is
 * compared by itself). What 7.2 says otherwise than 7.0 is listed below; an entry there that no longer differs fails.
 *
 * SHERD_RECORD=1 records the fixture anew from the oracle.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCommandCommand } from '../../src/commands/command-command.js';
import { findKeys } from '../../src/commands/command-keys.js';
import { countedKeysAt, ENTRIES, findCommand, type Command, type KeySpec } from '../../src/commands/table/index.js';
import { encodeReply, type RespVersion } from '../../src/resp/reply.js';
import { startRedis } from '../support/oracle.js';
import { projectRoot } from '../support/project.js';
import { parseFrame, RespClient, type RespValue } from '../support/resp-client.js';

const fixturePath = join(projectRoot, 'test/fixtures/command-replies-7.0.json');

/** Not in 7.0.15 at all. */
const NEWER_COMMANDS = new Set([
  'client|no-touch',
  'client|setinfo',
  'hexpire',
  'hexpireat',
  'hexpiretime',
  'hgetdel',
  'hgetex',
  'hpersist',
  'hpexpire',
  'hpexpireat',
  'hpexpiretime',
  'hpttl',
  'hsetex',
  'httl',
]);

/** Where 7.2 (or 7.4, from which our facts come) changed what 7.0 said, and what. */
const CHANGED_SINCE_7_0 = new Map([
  ['INFO client|setname', 'tips for proxies'],
  ['INFO config|resetstat', 'tips for proxies'],
  ['INFO config|rewrite', 'tips for proxies'],
  ['INFO msetnx', 'no tips: it is atomic'],
  ['INFO randomkey', 'tip response_policy'],
  ['INFO scan', 'tip response_policy'],
  ['INFO command|getkeys', 'arity -3'],
  ['INFO command|getkeysandflags', 'arity -3'],
  ['DOCS command|getkeys', 'arguments described'],
  ['DOCS command|getkeysandflags', 'arguments described'],
  ['DOCS bitcount', 'argument names'],
  ['DOCS bitfield', 'argument names'],
  ['DOCS bitfield_ro', 'argument names'],
  ['DOCS bitop', 'operations as tokens'],
  ['DOCS bitpos', 'argument names'],
  ['DOCS pfmerge', 'sourcekey is optional'],
  ['DOCS hello', 'argument names'],
  ['DOCS client|list', 'argument names'],
  ['DOCS client|kill', 'argument names'],
  ['DOCS client|reply', 'argument names'],
  ['DOCS lcs', 'argument names'],
  ['DOCS mset', 'argument names'],
  ['DOCS msetnx', 'argument names'],
  ['DOCS config|get', 'argument names'],
  ['DOCS config|set', 'argument names'],
  ['DOCS flushall', 'argument names'],
  ['DOCS flushdb', 'argument names'],
  ['DOCS shutdown', 'argument names'],
  ['DOCS quit', 'deprecated'],
  ['DOCS setnx', 'deprecated'],
  ['DOCS setex', 'deprecated'],
  ['DOCS psetex', 'deprecated'],
  ['INFO sinterstore', 'key specs in the order of their words; OW'],
  ['INFO zrank', 'arity -3'],
  ['INFO zrevrank', 'arity -3'],
  ['DOCS zrank', 'option WITHSCORE'],
  ['DOCS zrevrank', 'option WITHSCORE'],
  ['DOCS hscan', 'option NOVALUES (7.4)'],
  ['DOCS geohash', 'members optional'],
  ['DOCS geopos', 'members optional'],
  ['DOCS hmset', 'argument names'],
  ['DOCS hset', 'argument names'],
  ['DOCS zadd', 'argument names'],
  ['DOCS zrange', 'argument names'],
  ['DOCS zrangebylex', 'argument names'],
  ['DOCS zrangebyscore', 'argument names'],
  ['DOCS zrangestore', 'argument names'],
  ['DOCS zrevrangebylex', 'argument names'],
  ['DOCS zrevrangebyscore', 'argument names'],
  ['DOCS xadd', 'argument names'],
  ['DOCS xclaim', 'argument names'],
  ['DOCS xgroup|create', 'argument names'],
  ['DOCS xgroup|createconsumer', 'argument names'],
  ['DOCS xgroup|delconsumer', 'argument names'],
  ['DOCS xgroup|destroy', 'argument names'],
  ['DOCS xgroup|setid', 'argument names'],
  ['DOCS xinfo|consumers', 'argument names'],
  ['DOCS xinfo|stream', 'argument names'],
  ['DOCS xreadgroup', 'argument names'],
  ['DOCS xsetid', 'argument names'],
  ['DOCS geoadd', 'argument names'],
  ['DOCS georadius', 'argument names'],
  ['DOCS georadius_ro', 'argument names'],
  ['DOCS georadiusbymember', 'argument names'],
  ['DOCS georadiusbymember_ro', 'argument names'],
  ['DOCS geosearch', 'argument names'],
  ['DOCS geosearchstore', 'argument names'],
  ['DOCS sort', 'argument names'],
  ['DOCS client|pause', 'argument names'],
  ['DOCS client|unblock', 'argument names'],
  ['INFO blmove', 'allowed in scripts, where it does not wait'],
  ['INFO blpop', 'allowed in scripts, where it does not wait'],
  ['INFO brpop', 'allowed in scripts, where it does not wait'],
  ['INFO brpoplpush', 'allowed in scripts, where it does not wait'],
  ['INFO bzpopmax', 'allowed in scripts, where it does not wait'],
  ['INFO bzpopmin', 'allowed in scripts, where it does not wait'],
  ['INFO wait', 'allowed in scripts, where it does not wait'],
  ['INFO waitaof', 'new in 7.2'],
  ['DOCS waitaof', 'new in 7.2'],
  ['DOCS psubscribe', 'argument names'],
  ['DOCS pubsub', 'argument names'],
  ['DOCS sort_ro', 'argument names'],
]);

/** Lines whose replies hold no text of ours. */
const EXACT_LINES = [
  'COMMAND INFO nosuch get|foo client|nosuch client| |',
  'COMMAND DOCS nosuch get|foo',
  'COMMAND LIST FILTERBY PATTERN OBJ*',
  'COMMAND LIST FILTERBY PATTERN *[s-q]etrang[e]',
  'COMMAND LIST FILTERBY ACLCAT @connection',
  'COMMAND LIST FILTERBY ACLCAT nosuch',
  'COMMAND LIST filterby module x',
  'COMMAND LIST FILTERBY',
  'COMMAND LIST FILTERBY PATTERN',
  'COMMAND LIST FOO PATTERN x',
  'COMMAND LIST FILTERBY FOO x',
  'COMMAND LIST FILTERBY PATTERN x y',
  'COMMAND GETKEYS get a',
  'COMMAND GETKEYS GET a b',
  'COMMAND GETKEYS nosuch a',
  'COMMAND GETKEYS ping a',
  'COMMAND GETKEYS mset a 1 b',
  'COMMAND GETKEYS mset a 1 b 2',
  'COMMAND GETKEYS mget a b a',
  'COMMAND GETKEYS object encoding a',
  'COMMAND GETKEYS object foo a',
  'COMMAND GETKEYS object help',
  'COMMAND GETKEYS object|encoding a b',
  'COMMAND GETKEYS memory usage a SAMPLES 5',
  'COMMAND GETKEYS memory usage',
  'COMMAND GETKEYS rename a b',
  'COMMAND GETKEYS copy a b DB 1',
  'COMMAND GETKEYSANDFLAGS set a b',
  'COMMAND GETKEYSANDFLAGS set a b EX gEt',
  'COMMAND GETKEYSANDFLAGS set get get',
  'COMMAND GETKEYSANDFLAGS copy a b',
  'COMMAND GETKEYSANDFLAGS getex a',
  'COMMAND GETKEYSANDFLAGS nosuch x y',
];

const described = ENTRIES.map(({ fullName }) => fullName).filter((name) => !NEWER_COMMANDS.has(name));

/** The reply to a line as comparable text; `args[1]` picks the subcommand, as the native dispatcher does. */
function ours(line: string, resp: RespVersion): string {
  const args = line.split(' ');
  const result = runCommandCommand(`command|${(args[1] as string).toLowerCase()}`, args.map((arg) => Buffer.from(arg)));
  if (result === undefined) throw new Error(`no handler for ${line}`);
  return render(parseFrame(encodeReply(result, resp)));
}

// ---- Frames as text ----

const MASKED_FIELDS = new Set(['summary', 'complexity', 'replaced_by', 'notes']);
const mask = '…';

function render(value: RespValue): string {
  switch (value.kind) {
    case 'integer':
      return `:${value.value}`;
    case 'null':
      return value.form;
    case 'simple':
      return `+${value.bytes.toString()}`;
    case 'error':
      return `-${value.bytes.toString()}`;
    case 'bulk':
      return `$${value.bytes.toString()}`;
    case 'map':
      return `%{${value.pairs.map(([key, entry]) => renderField(render(key), entry)).join(' ')}}`;
    case 'set':
      return `~${value.items.map(render).sort().join(',')}~`;
    case 'array':
      return `[${value.items.map(render).join(' ')}]`;
    default:
      throw new Error(`COMMAND has no ${value.kind} in its replies`);
  }
}

function renderField(key: string, value: RespValue): string {
  const name = key.slice(1);
  if (MASKED_FIELDS.has(name) && value.kind === 'bulk') return `${key}=${mask}`;
  if (name === 'subcommands' && value.kind === 'map') return `${key}=%${mask}`;
  if (name === 'history' && value.kind === 'set') {
    const versions = value.items.map((item) => (item.kind === 'array' ? `${render(item.items[0] as RespValue)}` : '?'));
    return `${key}=~${versions.sort().join(',')}~`;
  }
  return `${key}=${render(value)}`;
}

/** INFO of a container: its list of subcommands is masked. */
function maskSubcommands(value: RespValue): RespValue {
  if (value.kind !== 'array') return value;
  const items = value.items.map((item) => {
    const last = item.kind === 'array' ? item.items[9] : undefined;
    if (item.kind !== 'array' || last?.kind !== 'array' || last.items.length === 0) return item;
    const masked: RespValue = { kind: 'array', items: [{ kind: 'simple', bytes: Buffer.from(mask) }] };
    return { ...item, items: [...item.items.slice(0, 9), masked] };
  });
  return { ...value, items };
}

/** Drops what 7.0 does not have: the display text of arguments. */
function asOldDocs(text: string): string {
  return text.replace(/ \$display_text=\$[^ }]+/g, '');
}

/** Encodes our reply and renders it as the fixture does. */
function oursComparable(line: string, resp: RespVersion): string {
  const args = line.split(' ').map((arg) => Buffer.from(arg));
  const kind = (line.split(' ')[1] as string).toLowerCase();
  const result = runCommandCommand(`command|${kind}`, args);
  if (result === undefined) throw new Error(`no handler for ${line}`);
  return asOldDocs(render(maskSubcommands(parseFrame(encodeReply(result, resp)))));
}

// ---- The fixture ----

/** Line → rendered reply, for RESP3 and, where the line holds no maps of texts, for RESP2. */
type Fixture = Record<'2' | '3', Record<string, string>>;

const RESP2_INFO = ['COMMAND INFO get', 'COMMAND INFO rename', 'COMMAND INFO object|freq', 'COMMAND INFO client'];

function linesOf(resp: RespVersion): string[] {
  if (resp === 2) return [...EXACT_LINES, ...RESP2_INFO];
  return [...EXACT_LINES, ...described.flatMap((name) => [`COMMAND INFO ${name}`, `COMMAND DOCS ${name}`])];
}

async function record(): Promise<void> {
  const server = await startRedis();
  const fixture: Fixture = { 2: {}, 3: {} };
  try {
    for (const resp of [2, 3] as const) {
      const client = await RespClient.connect({ port: server.port });
      await client.send('HELLO', resp);
      for (const line of linesOf(resp)) {
        const answer = await client.send(...line.split(' '));
        fixture[resp][line] = render(maskSubcommands(answer.value));
      }
      client.close();
    }
  } finally {
    await server.stop();
  }
  writeFileSync(fixturePath, `${JSON.stringify(fixture, null, 1)}\n`);
}

if (process.env['SHERD_RECORD'] === '1') await record();
const fixture = JSON.parse(readFileSync(fixturePath, 'utf8')) as Fixture;

describe.each([2, 3] as const)('in RESP%i, as recorded', (resp) => {
  it.each(linesOf(resp))('%s', (line) => {
    const recorded = fixture[resp][line];
    expect(recorded).toBeDefined();
    const [, kind, name] = line.split(' ');
    if (CHANGED_SINCE_7_0.has(`${kind} ${name}`)) expect(oursComparable(line, resp)).not.toBe(recorded);
    else expect(sortedList(line, oursComparable(line, resp))).toBe(sortedList(line, recorded as string));
  });
});

/** COMMAND LIST has no order; everything else is compared as it comes. */
function sortedList(line: string, text: string): string {
  return line.startsWith('COMMAND LIST') && text.startsWith('[') ? text.slice(1, -1).split(' ').sort().join(' ') : text;
}

describe('what the fixture cannot show', () => {
  it('counts and lists the commands of the table', () => {
    const top = ENTRIES.filter((entry) => entry.parent === undefined).length;
    expect(ours('COMMAND COUNT', 3)).toBe(`:${top}`);
    expect(ours('COMMAND LIST', 3).split(' ')).toHaveLength(ENTRIES.length);
    const whole = runCommandCommand('command', [Buffer.from('COMMAND')]);
    expect(whole?.kind === 'array' && whole.items).toHaveLength(top);
    expect(ours('COMMAND INFO', 3)).toBe(render(parseFrame(encodeReply(whole as never, 3))));
  });

  it('shows a subcommand in its container as it shows it alone', () => {
    const container = ours('COMMAND INFO client', 3);
    expect(container).toContain(ours('COMMAND INFO client|no-touch', 3).slice(1, -1));
    const docs = runCommandCommand('command|docs', ['command', 'docs', 'CLIENT'].map((word) => Buffer.from(word)));
    expect(encodeReply(docs as never, 2).toString()).toContain('client|setinfo');
  });

  it('names an argument for display, but not a container of arguments', () => {
    const docs = ours('COMMAND DOCS set', 3);
    expect(docs).toContain('$name=$key $type=$key $display_text=$key $key_spec_index=:0');
    expect(docs).toContain('$name=$condition $type=$oneof $since');
    expect(docs).toContain('$name=$nx $type=$pure-token $display_text=$nx $token=$NX');
  });

  it('documents a command as often as it is named', () => {
    expect(ours('COMMAND DOCS get get', 3).match(/\$get=/g)).toHaveLength(2);
  });

  it('answers in whole frames whatever bytes a name has', () => {
    const args = ['COMMAND', 'GETKEYS', '\r\n+OK', '__proto__', 'constructor'].map((word) => Buffer.from(word));
    const reply = runCommandCommand('command|getkeys', args);
    expect(encodeReply(reply as never, 2).toString()).toBe('-ERR Invalid command specified\r\n');
    expect(runCommandCommand('command|nosuch', args)).toBeUndefined();
  });

  it('keeps binary keys', () => {
    const key = Buffer.from([0, 255, 13, 10]);
    const words = ['command', 'getkeys', 'get'].map((word) => Buffer.from(word));
    const reply = runCommandCommand('command|getkeys', [...words, key]);
    expect(encodeReply(reply as never, 2).toString('latin1')).toBe('*1\r\n$4\r\n\0\xff\r\n\r\n');
  });
});

// Specs of families that come later; the expected results are those of COMMAND GETKEYS of redis-server 7.0.15.
describe('findKeys', () => {
  const keynum = countedKeysAt(1, ['RO']);
  const keyword = (word: string, startFrom: number, lastKey: number, limit: number): KeySpec => ({
    flags: ['RO'],
    begin: { type: 'keyword', keyword: word, startFrom },
    find: { type: 'range', lastKey, keyStep: 1, limit },
  });
  const first: KeySpec = {
    flags: ['RW'],
    begin: { type: 'index', index: 1 },
    find: { type: 'range', lastKey: 0, keyStep: 1, limit: 0 },
  };
  const unknown: KeySpec = { flags: ['RO'], begin: { type: 'unknown' }, find: { type: 'unknown' } };
  const streams = keyword('STREAMS', 1, -1, 2);
  const template = findCommand('get')?.command as Command;

  it.each<[string, KeySpec[], number[] | undefined]>([
    ['zunion 2 a b', [keynum], [2, 3]],
    ['zunion 3 a b', [keynum], undefined],
    ['zunion 0 a', [keynum], undefined],
    ['zunion -1 a', [keynum], undefined],
    ['zunion 01 a', [keynum], [2]],
    ['zunion 100000000 a', [keynum], undefined],
    ['zunion 99999999999999999999999 a', [keynum], undefined],
    ['zunion', [keynum], undefined],
    ['xread COUNT 2 streams a b 0 0', [streams], [4, 5]],
    ['xread STREAMS a b 0', [streams], [2]],
    ['xread STREAMS', [streams], undefined],
    ['xread COUNT 2 x', [streams], undefined],
    ['georadius k 1 2 3 km', [first, keyword('STORE', 6, 0, 0)], [1]],
    ['georadius k 1 2 3 km STORE d', [first, keyword('STORE', 6, 0, 0)], [1, 7]],
    ['georadius k 1 2 3 km STORE', [first, keyword('STORE', 6, 0, 0)], undefined],
    ['migrate h p e 0 9 KEYS a b', [keyword('KEYS', -2, -1, 0)], [7, 8]],
    ['nosuch k', [first, unknown], undefined],
    ['zunionstore d 2 a b', [first, countedKeysAt(2, ['RO'])], [1, 3, 4]],
    ['zunionstore d 0 a', [first, countedKeysAt(2, ['RO'])], undefined],
    ['sort', [first, unknown, unknown], undefined],
    ['sort k', [first, unknown, unknown], [1]],
    ['sort k STORE d', [first, unknown, unknown], [1, 3]],
    ['sort k store a BY x GET y sTore b', [first, unknown, unknown], [1, 9]],
    ['sort k BY store STORE d', [first, unknown, unknown], [1, 5]],
    ['sort k BY store GET store LIMIT store store', [first, unknown, unknown], [1]],
    ['sort k STORE STORE d', [first, unknown, unknown], [1, 4]],
    ['sort k STORE', [first, unknown, unknown], [1]],
    ['sort_ro k STORE d', [first, unknown], [1]],
  ])('%s', (line, keySpecs, positions) => {
    const words = line.split(' ').map((word) => Buffer.from(word));
    const found = findKeys(words[0]?.toString() ?? '', { ...template, keySpecs }, words);
    expect(found?.map(({ position }) => position)).toEqual(positions);
  });

  it('allows no keys where none are mandatory', () => {
    const command: Command = { ...template, keySpecs: [keynum], flags: ['no_mandatory_keys'] };
    expect(findKeys('eval', command, ['eval', '0', 'x'].map((word) => Buffer.from(word)))).toEqual([]);
  });
});
