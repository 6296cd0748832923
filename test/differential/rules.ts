/**
 * What the grammar does not say about a command: how to make its arguments when random ones would end the test, how
 * to compare its reply when it is not a function of the data, and which commands stay out of streams and why.
 *
 * A command without a row here is generated from the grammar, mutated, and compared byte by byte.
 */
import type { Prng } from './prng.js';
import { setRows } from './set-rules.js';
import { sortRows } from './sort-rules.js';
import { sortedSetRows } from './sorted-set-rules.js';
import { streamRows } from './stream-rules.js';
import { edgeInteger, randomKey, randomPattern, randomString } from './values.js';

/**
 * How replies are compared.
 * - exact: equal bytes.
 * - sorted: arrays and sets whose order is free; equal as multisets.
 * - sorted-pairs: the same for names followed by values (a map in RESP3, a flat array in RESP2).
 * - doubles: numbers may be written differently: 7.0 prints all 17 digits of a double, 7.2 the shortest text.
 * - distances: the same, and texts with four digits behind the point may differ by the last one's rounding.
 * - stream-info: what streams and groups tell: times and idle times may be apart, fields newer than 7.0 are left out.
 * - kind: errors equal byte by byte; otherwise only the frame's own type is compared.
 * - shape: errors equal byte by byte; otherwise the same types, whatever the values and lengths.
 * - ttl-ms, ttl-sec: integers that the two servers read from their clocks at different moments.
 * - hello, client-line, keyspace-info, debug-object: texts with some fields masked (normalise.ts).
 */
export type Comparison =
  | 'exact'
  | 'sorted'
  | 'sorted-pairs'
  | 'doubles'
  | 'distances'
  | 'stream-info'
  | 'kind'
  | 'shape'
  | 'ttl-ms'
  | 'ttl-sec'
  | 'hello'
  | 'client-line'
  | 'keyspace-info'
  | 'debug-object';

export interface Rule {
  compare?: Comparison;
  /** How often it is drawn relative to others (default 1). */
  weight?: number;
  /** Makes the arguments behind the command's words in place of the grammar. */
  generate?: (prng: Prng, context: GenerateContext) => (Buffer | string)[];
  /** False when a random change of arguments could do harm (default true). */
  mutate?: boolean;
  /** Why the command is in no stream. */
  excluded?: string;
}

/** What a custom generator may ask for. */
export interface GenerateContext {
  /** Another random command of the stream's families, words included. */
  nested: () => Buffer[];
}

const BLOCKS = 'blocks its connection: the blocking harness covers it';

/** Ids that no client has: small random ones could hit the harness's own connections. */
const NO_CLIENT_IDS = ['0', '-1', '999999999', '9223372036854775807', '9223372036854775808', 'abc', '', '1e3'];

/** Options whose change disturbs nothing, with values to try. Every name is put back to its default after a stream. */
export const SAFE_OPTIONS: Record<string, { initial: string; values: string[] }> = {
  'maxmemory-samples': { initial: '5', values: ['1', '10', '0', '64', '65', '-1', 'abc', ''] },
  'lfu-log-factor': { initial: '10', values: ['0', '100', '-1', '2147483647', '2147483648', '1e3'] },
  'lfu-decay-time': { initial: '1', values: ['0', '5', '-1', '9223372036854775808'] },
  'hash-max-listpack-entries': { initial: '128', values: ['0', '512', '-1', '1kb', '9223372036854775807'] },
  'hash-max-listpack-value': { initial: '64', values: ['0', '4', '16', '-1', '1mb'] },
  'set-max-intset-entries': { initial: '512', values: ['1', '8', '30', '0', '-5', 'nan'] },
  'hll-sparse-max-bytes': { initial: '3000', values: ['0', '40', '300', '1kb', '16000', '-1', 'abc'] },
  'zset-max-listpack-entries': { initial: '128', values: ['8', '9', '20', '1kb', '-1'] },
  'zset-max-listpack-value': { initial: '64', values: ['1', '4mb', '-1'] },
  'list-max-listpack-size': { initial: '-2', values: ['-5', '-6', '-1', '128', '0', '1', '2', '4', '9', 'x'] },
  'stream-node-max-bytes': { initial: '4096', values: ['0', '1', '60', '200', '500', '1kb', '-1', 'x'] },
  'stream-node-max-entries': { initial: '100', values: ['0', '1', '2', '3', '7', '20', '-1', 'abc'] },
  'list-compress-depth': { initial: '0', values: ['1', '2', '-1', '3', '2147483648'] },
  'slowlog-max-len': { initial: '128', values: ['0', '1', '-1', '9223372036854775808'] },
  'latency-monitor-threshold': { initial: '0', values: ['100', '-1', ' 5'] },
  'lazyfree-lazy-user-del': { initial: 'no', values: ['yes', 'no', 'YES', 'true', '1', ''] },
  'lazyfree-lazy-expire': { initial: 'no', values: ['yes', 'maybe'] },
  'notify-keyspace-events': { initial: '', values: ['KEA', 'Ex', 'g$lshzxedtmn', 'AKE', 'q', 'K', ''] },
  appendfsync: { initial: 'everysec', values: ['always', 'no', 'ALWAYS', 'sometimes'] },
  'maxmemory-policy': { initial: 'noeviction', values: ['allkeys-lru', 'volatile-ttl', 'allkeys', ''] },
  'tcp-keepalive': { initial: '300', values: ['0', '60', '-1', '2147483648'] },
  'active-expire-effort': { initial: '1', values: ['10', '11', '0'] },
  'client-query-buffer-limit': { initial: '1073741824', values: ['1mb', '2097152', '1', '1048575', '1gb', '1tb', 'x'] },
  'proto-max-bulk-len': { initial: '536870912', values: ['1mb', '1048575', '1gb', '0', '9223372036854775808'] },
  'client-output-buffer-limit': {
    initial: 'normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60',
    values: ['normal 100mb 50mb 60', 'pubsub 32mb 8mb', 'slave 1 2 x', 'other 0 0 0', 'replica 64mb 16mb 30', ''],
  },
  save: { initial: '', values: ['3600 1', '3600 1 300 100', '1', '-1 1', 'a b'] },
};

const OPTION_NAMES = Object.keys(SAFE_OPTIONS);

function pick<T>(prng: Prng, ...choices: T[]): T {
  return prng.pick(choices);
}

function debugArguments(prng: Prng): (Buffer | string)[] {
  const bit = (): string => pick(prng, '0', '1');
  switch (prng.below(11)) {
    case 10:
      return pick(
        prng,
        ['QUICKLIST-PACKED-THRESHOLD', pick(prng, '100b', '30', '1kb', '0', '0', '4gb', '-1', 'abc', '1GB', '')],
        ['LISTPACK'],
        ['QUICKLIST'],
        ['LISTPACK', 'nosuchkey'],
        ['QUICKLIST', 'nosuchkey', pick(prng, '0', '1', 'x')],
        ['QUICKLIST', 'nosuchkey', '1', '2'],
      );
    case 0:
      return ['DIGEST'];
    case 1:
      return ['DIGEST-VALUE', ...Array.from({ length: prng.below(4) }, () => randomKey(prng))];
    case 2:
      return ['OBJECT', randomKey(prng)];
    case 3: {
      const type = pick(
        prng,
        'string',
        'integer',
        'double',
        'bignum',
        'null',
        'array',
        'set',
        'map',
        'attrib',
        'push',
        'verbatim',
        'true',
        'false',
        'TRUE',
        'other',
      );
      return ['PROTOCOL', type];
    }
    case 4:
      return [
        'POPULATE',
        pick(prng, '0', '1', '7', 'abc', '1.5', ''),
        ...(prng.chance(0.5) ? [pick(prng, 'pop', '{tag}', 'key')] : []),
      ];
    case 5:
      return ['POPULATE', String(prng.below(9)), pick(prng, 'pop', 'a b'), pick(prng, '0', '1', '9', '50', 'abc')];
    case 6:
      return ['SET-ACTIVE-EXPIRE', bit()];
    case 7:
      return ['SLEEP', pick(prng, '0', '0.001', '0.0')];
    case 8:
      return pick(
        prng,
        ['OBJECT'],
        ['DIGEST', 'x'],
        ['SLEEP'],
        ['POPULATE'],
        ['NONSENSE'],
        ['NONSENSE', 'x', 'y'],
        ['PROTOCOL'],
      );
    default:
      return ['REPLYBUFFER', 'RESIZING', bit()];
  }
}

function clientKillArguments(prng: Prng): string[] {
  return pick(
    prng,
    ['127.0.0.1:1'],
    ['nonsense'],
    [''],
    ['ID', prng.pick(NO_CLIENT_IDS)],
    ['id', prng.pick(NO_CLIENT_IDS), 'SKIPME', pick(prng, 'yes', 'no', 'YES', 'maybe')],
    ['ADDR', '127.0.0.1:1'],
    ['LADDR', '127.0.0.1:1'],
    ['ADDR', '127.0.0.1:1', 'LADDR', '10.0.0.1:1'],
    ['USER', 'nobody'],
    ['TYPE', pick(prng, 'pubsub', 'replica', 'slave', 'master', 'PubSub', 'other')],
    ['TYPE'],
    ['SKIPME', 'perhaps'],
    ['FOO', 'bar'],
    ['ID', '999999999', 'FOO'],
    [],
  );
}

function helloArguments(prng: Prng): (Buffer | string)[] {
  return pick(
    prng,
    [],
    ['2'],
    ['3'],
    ['4'],
    ['1'],
    ['0'],
    ['03'],
    ['abc'],
    [''],
    ['3', 'SETNAME', pick(prng, 'conn', '', 'two words', 'caf\xe9', 'a\nb')],
    ['2', 'setname', 'other'],
    ['3', 'AUTH', 'default', 'whatever'],
    ['3', 'AUTH', 'nobody', 'pass'],
    ['2', 'AUTH', 'default', 'x', 'SETNAME', 'n'],
    ['3', 'AUTH', 'default'],
    ['3', 'SETNAME'],
    ['3', 'FOO'],
    ['3', 'SETNAME', 'first', 'SETNAME', 'second'],
  );
}

function infoArguments(prng: Prng): string[] {
  return pick(
    prng,
    ['keyspace'],
    ['KEYSPACE'],
    ['keyspace'],
    ['server'],
    ['nosuchsection'],
    ['clients', 'memory'],
    ['commandstats'],
  );
}

function configGetArguments(prng: Prng): string[] {
  const name = prng.pick(OPTION_NAMES);
  return pick(
    prng,
    [name],
    [name.toUpperCase()],
    [name, prng.pick(OPTION_NAMES)],
    [name, name],
    ['nosuchoption'],
    ['lfu-*'],
    ['zset-max-listpack-*'],
    [],
  );
}

function configSetArguments(prng: Prng): string[] {
  const one = (): string[] => {
    const name = prng.pick(OPTION_NAMES);
    const option = SAFE_OPTIONS[name];
    return [name, prng.pick(option === undefined ? [''] : [...option.values, option.initial])];
  };
  switch (prng.below(8)) {
    case 0:
      return [...one(), ...one()];
    case 1:
      return ['nosuchoption', 'x'];
    case 2:
      return [...one(), 'lfu-log-factor'];
    case 3:
      return [...one(), 'nosuchoption', '1'];
    default:
      return one();
  }
}

function randomFieldArguments(prng: Prng): (Buffer | string)[] {
  const key = randomKey(prng);
  if (prng.chance(0.2)) return [key];
  const counts = ['0', '1', '-1', '3', '-3', '50', '-50', '9223372036854775807', '-9223372036854775808', '1.0', 'abc', ''];
  const count = prng.pick(counts);
  const option = pick(prng, 'WITHVALUES', 'withvalues', 'WITHVALUE');
  if (prng.chance(0.05)) return [key, count, option, 'x'];
  return prng.chance(0.5) ? [key, count] : [key, count, option];
}

/** Without NOVALUES, which is younger than the oracle. */
function hashScanArguments(prng: Prng): (Buffer | string)[] {
  const line: (Buffer | string)[] = [randomKey(prng), prng.chance(0.7) ? '0' : edgeInteger(prng)];
  if (prng.chance(0.4)) line.push('MATCH', randomPattern(prng));
  if (prng.chance(0.4)) line.push('COUNT', prng.chance(0.6) ? pick(prng, '1', '10', '1000') : edgeInteger(prng));
  if (prng.chance(0.05)) line.push(pick(prng, 'MATCH', 'COUNT', 'TYPE', 'x'));
  return line;
}

function commandGetKeys(prng: Prng, context: GenerateContext): (Buffer | string)[] {
  return prng.chance(0.95) ? context.nested() : [pick(prng, 'nosuchcommand', 'GET', '', 'client', 'SET')];
}

function commandNames(prng: Prng): string[] {
  return Array.from({ length: prng.between(1, 3) }, () =>
    prng.pick(['get', 'GET', 'set', 'nosuch', 'client|id', 'client', '']),
  );
}

function clientListArguments(prng: Prng): string[] {
  return pick(
    prng,
    [],
    [],
    ['TYPE', pick(prng, 'normal', 'pubsub', 'master', 'replica', 'slave', 'other')],
    ['ID', prng.pick(NO_CLIENT_IDS)],
    ['ID', '999999999', '888888888'],
    ['ID'],
    ['TYPE'],
    ['FOO'],
    ['TYPE', 'normal', 'x'],
  );
}

/** Near bits mostly, so that commands meet; the generator keeps the far ones out that cost memory. */
function bitOffset(prng: Prng, mayCountFields: boolean): string | Buffer {
  if (prng.chance(0.08)) return edgeInteger(prng);
  const offset = String(prng.chance(0.8) ? prng.below(100) : prng.below(20_000));
  return mayCountFields && prng.chance(0.3) ? `#${prng.chance(0.9) ? prng.below(30) : edgeInteger(prng).toString()}` : offset;
}

function bitValue(prng: Prng): string | Buffer {
  return prng.chance(0.95) ? pick(prng, '0', '1', '1') : edgeInteger(prng);
}

function bitPosArguments(prng: Prng): (Buffer | string)[] {
  const place = (): string | Buffer => (prng.chance(0.9) ? String(prng.between(-30, 60)) : edgeInteger(prng));
  const range = [place(), place(), pick(prng, 'BYTE', 'BIT', 'bit', 'bits')].slice(0, prng.below(4));
  return [randomKey(prng), bitValue(prng), ...range];
}

function bitFieldArguments(prng: Prng, operations: string[]): (Buffer | string)[] {
  const type = (): string => {
    if (prng.chance(0.05)) return pick(prng, 'u64', 'i65', 'u0', 'i0', 'U8', 'i', '8', '', 'u-1', 'i08', 'i64 ');
    return pick(prng, 'i', 'u') + String(prng.pick([1, 2, 3, 4, 5, 7, 8, 8, 9, 13, 16, 31, 32, 33, 57, 62, 63]));
  };
  const operand = (): string | Buffer => {
    if (prng.chance(0.25)) return edgeInteger(prng);
    return String(prng.chance(0.7) ? prng.between(-200, 200) : prng.between(-(2 ** 40), 2 ** 40));
  };
  const line: (Buffer | string)[] = [randomKey(prng)];
  for (let left = prng.below(6); left > 0; left--) {
    const operation = prng.pick(operations);
    line.push(prng.chance(0.8) ? operation : operation.toLowerCase());
    if (operation === 'OVERFLOW') line.push(pick(prng, 'WRAP', 'SAT', 'FAIL', 'sat', prng.chance(0.1) ? 'never' : 'fail'));
    else line.push(prng.chance(0.1) ? 'i64' : type(), bitOffset(prng, true));
    if (operation === 'SET' || operation === 'INCRBY') line.push(operand());
  }
  return line;
}

/** Numbers from a small and a large range: registers are hit again, and sketches grow until they are dense. */
function pfAddArguments(prng: Prng): (Buffer | string)[] {
  const bound = prng.pick([50, 5_000, 1_000_000]);
  const count = prng.pick([0, 1, 2, 5, 30, 30]);
  const element = (): string | Buffer => (prng.chance(0.05) ? randomString(prng) : String(prng.below(bound)));
  return [randomKey(prng), ...Array.from({ length: count }, element)];
}

/** Mostly from a few, so that searches and removals find something. */
function listElement(prng: Prng): string | Buffer {
  return prng.chance(0.6) ? pick(prng, 'a', 'b', 'c', '1', '2', '-5', '4096', 'xx', '') : randomString(prng);
}

function listElements(prng: Prng): (Buffer | string)[] {
  return Array.from({ length: prng.pick([1, 1, 2, 3, 5, 12, 30]) }, () => listElement(prng));
}

function listIndex(prng: Prng): string | Buffer {
  return prng.chance(0.9) ? String(prng.between(-25, 40)) : edgeInteger(prng);
}

/** Less often towards the middle than to an end, so that lists live on. */
function trimArguments(prng: Prng): (Buffer | string)[] {
  if (prng.chance(0.3)) return [randomKey(prng), listIndex(prng), listIndex(prng)];
  return [randomKey(prng), String(prng.below(4)), String(-1 - prng.below(4))];
}

function removeArguments(prng: Prng): (Buffer | string)[] {
  const count = prng.chance(0.9) ? String(prng.between(-3, 3)) : edgeInteger(prng);
  return [randomKey(prng), count, listElement(prng)];
}

function multiPopArguments(prng: Prng): (Buffer | string)[] {
  const keys = Array.from({ length: prng.between(1, 4) }, () => randomKey(prng));
  const count = prng.chance(0.9) ? String(keys.length) : edgeInteger(prng);
  const end = pick(prng, 'LEFT', 'RIGHT', 'left', 'Right');
  return [count, ...keys, end, ...(prng.chance(0.5) ? ['COUNT', prng.chance(0.8) ? String(prng.between(1, 9)) : edgeInteger(prng)] : [])];
}

function positionArguments(prng: Prng): (Buffer | string)[] {
  const line = [randomKey(prng), listElement(prng)];
  const number = (low: number): string | Buffer => (prng.chance(0.9) ? String(prng.between(low, 4)) : edgeInteger(prng));
  if (prng.chance(0.5)) line.push(pick(prng, 'RANK', 'rank'), number(-4));
  if (prng.chance(0.5)) line.push('COUNT', number(0));
  if (prng.chance(0.3)) line.push('MAXLEN', number(0));
  return line;
}

const rows: Record<string, Rule> = {
  // ---- Data commands whose reply is not a function of the data alone ----
  keys: { compare: 'sorted', generate: (prng) => [randomPattern(prng)] },
  scan: { compare: 'shape' },
  randomkey: { compare: 'shape' },
  ttl: { compare: 'ttl-sec', weight: 2 },
  pttl: { compare: 'ttl-ms', weight: 2 },
  expiretime: { compare: 'ttl-sec' },
  pexpiretime: { compare: 'ttl-ms' },
  'object|idletime': { compare: 'shape' },
  'object|freq': { compare: 'shape' },
  'memory|usage': { compare: 'shape' },
  // Real payloads come by the generator's pairs of DUMP and RESTORE; these are refused.
  dump: { compare: 'shape', weight: 0.3 },
  restore: { weight: 0.3 },
  set: { weight: 5 },
  get: { weight: 2 },
  mset: { weight: 2 },
  incr: { weight: 2 },
  lcs: { weight: 0.5 },
  flushall: { weight: 0.05 },
  flushdb: { weight: 0.1 },
  swapdb: { weight: 0.3 },
  dbsize: { weight: 0.5 },

  // ---- Connection ----
  auth: { weight: 0.3 },
  hello: { compare: 'hello', generate: helloArguments, mutate: false, weight: 0.5 },
  select: { weight: 0.7 },
  reset: { weight: 0.2 },
  'client|id': { compare: 'shape', weight: 0.3 },
  'client|list': { compare: 'client-line', generate: clientListArguments, mutate: false, weight: 0.2 },
  'client|info': { compare: 'client-line', weight: 0.2 },
  'client|kill': { generate: clientKillArguments, mutate: false, weight: 0.3 },
  'client|reply': {
    generate: (prng) => [pick(prng, 'ON', 'OFF', 'SKIP', 'off', 'Skip', 'perhaps', '')],
    mutate: false,
    weight: 0.3,
  },
  'client|setname': {
    generate: (prng) => [prng.chance(0.5) ? pick(prng, 'name', 'n2', '', 'two words', 'a\nb') : randomString(prng)],
  },
  'client|no-evict': { generate: (prng) => [pick(prng, 'ON', 'OFF', 'on', 'x')], mutate: false, weight: 0.3 },
  'client|help': { weight: 0.02 },
  quit: { excluded: 'ends the connection: test/limits covers it' },

  // ---- Server ----
  info: { compare: 'keyspace-info', generate: infoArguments, mutate: false, weight: 0.2 },
  'config|get': { compare: 'sorted-pairs', generate: configGetArguments, mutate: false, weight: 0.4 },
  'config|set': { generate: configSetArguments, mutate: false, weight: 0.3 },
  'config|resetstat': { weight: 0.1 },
  'config|help': { weight: 0.02 },
  command: { compare: 'kind', weight: 0.01, mutate: false },
  'command|count': { compare: 'shape', weight: 0.05 },
  'command|docs': { compare: 'kind', generate: commandNames, mutate: false, weight: 0.05 },
  'command|info': { compare: 'kind', generate: commandNames, mutate: false, weight: 0.05 },
  'command|list': {
    compare: 'kind',
    weight: 0.02,
    generate: (prng) => pick(prng, [], ['FILTERBY'], ['FILTERBY', 'MODULE', 'x'], ['X', 'Y', 'z']),
  },
  'command|getkeys': { generate: commandGetKeys, mutate: false },
  'command|getkeysandflags': { generate: commandGetKeys, mutate: false, weight: 0.5 },
  'command|help': { weight: 0.02 },
  'object|help': { weight: 0.02 },
  time: { compare: 'shape', weight: 0.1 },
  debug: { compare: 'debug-object', generate: debugArguments, mutate: false, weight: 0.8 },
  lolwut: {
    compare: 'kind',
    generate: (prng) => pick(prng, [], ['VERSION', '5', '1', '1', '1'], ['VERSION', edgeInteger(prng)], ['x']),
    weight: 0.02,
    mutate: false,
  },

  // ---- Lists ----
  lpush: { generate: (prng) => [randomKey(prng), ...listElements(prng)], weight: 4 },
  rpush: { generate: (prng) => [randomKey(prng), ...listElements(prng)], weight: 4 },
  lpushx: { generate: (prng) => [randomKey(prng), ...listElements(prng)] },
  rpushx: { generate: (prng) => [randomKey(prng), ...listElements(prng)] },
  linsert: {
    generate: (prng) => [randomKey(prng), pick(prng, 'BEFORE', 'AFTER', 'after'), listElement(prng), listElement(prng)],
    weight: 2,
  },
  lset: { generate: (prng) => [randomKey(prng), listIndex(prng), listElement(prng)], weight: 2 },
  lindex: { generate: (prng) => [randomKey(prng), listIndex(prng)] },
  lrange: { generate: (prng) => [randomKey(prng), listIndex(prng), listIndex(prng)], weight: 2 },
  lrem: { generate: removeArguments },
  ltrim: { generate: trimArguments, weight: 0.6 },
  lpos: { generate: positionArguments, weight: 2 },
  lmpop: { generate: multiPopArguments },
  lmove: { weight: 2 },

  // ---- Families to come ----
  blpop: { excluded: BLOCKS },
  brpop: { excluded: BLOCKS },
  blmove: { excluded: BLOCKS },
  blmpop: { excluded: BLOCKS },
  brpoplpush: { excluded: BLOCKS },
  bzpopmin: { excluded: BLOCKS },
  bzpopmax: { excluded: BLOCKS },
  bzmpop: { excluded: BLOCKS },
  // Counts far below zero would never end, on either server.
  hrandfield: { compare: 'shape', generate: randomFieldArguments, mutate: false },
  hscan: { compare: 'shape', generate: hashScanArguments },
  hkeys: { compare: 'sorted' },
  hvals: { compare: 'sorted' },
  hgetall: { compare: 'sorted-pairs' },

  // ---- Bitmaps and HyperLogLog ----
  setbit: { generate: (prng) => [randomKey(prng), bitOffset(prng, false), bitValue(prng)], weight: 3 },
  getbit: { generate: (prng) => [randomKey(prng), bitOffset(prng, false)] },
  bitpos: { generate: bitPosArguments, weight: 2 },
  bitcount: { weight: 2 },
  bitop: { weight: 3 },
  bitfield: { generate: (prng) => bitFieldArguments(prng, ['GET', 'SET', 'INCRBY', 'INCRBY', 'OVERFLOW']), weight: 4 },
  bitfield_ro: { generate: (prng) => bitFieldArguments(prng, ['GET', 'GET', 'GET', 'GET', 'SET', 'OVERFLOW']) },
  pfadd: { generate: pfAddArguments, weight: 5 },
  pfcount: { weight: 2 },
  pfmerge: { weight: 2 },
  pfdebug: {
    generate: (prng) => [pick(prng, 'GETREG', 'decode', 'DECODE', 'Encoding', 'TODENSE', 'other', ''), randomKey(prng)],
    weight: 0.5,
  },
  pfselftest: { excluded: 'takes seconds' },
};

const RULES = new Map(Object.entries({ ...rows, ...setRows, ...sortRows, ...sortedSetRows, ...streamRows }));
const NO_RULE: Rule = {};

export function ruleOf(name: string): Rule {
  return RULES.get(name) ?? NO_RULE;
}

/** Names of all rows, so that a test can check that each is a command. */
export const RULE_NAMES = [...RULES.keys()];
