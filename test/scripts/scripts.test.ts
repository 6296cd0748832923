/**
 * The short form of the test with several connections, for the gate: random scripts to a real redis-server and to us;
 * and the checks of the tester itself, which must stay silent when the oracle meets itself and must speak when the
 * subject loses, doubles, swaps, delays or invents something.
 *
 * SHERD_SEED=n repeats a run; the seed stands in every failure. The long form is `npm run soak:scripts`.
 */
import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { layoutOptions } from '../differential/layout.js';
import { startRedis, startSherd, type RunningServer } from '../support/oracle.js';
import { COMMANDS } from '../differential/grammar.js';
import { ACCEPTED_ROWS, findRow, type ScriptDifference } from './accepted.js';
import { runCampaign, type CampaignResult } from './campaign.js';
import { inNewerOrder, isSameReply, namesOf, normalise, sortFreeRuns, type Names } from './compare.js';
import { startDoctored, type Doctor } from './doctor.js';
import { EXISTING, FAMILY_NAMES, makeScript } from './families.js';
import { commandsOf, compareTimes, Driver } from './driver.js';
import { Expiry } from './expiry.js';
import { send, type Line, type Step } from './script.js';
import type { Lead } from './side.js';
import { takeFrame } from './wire.js';

const SEED = Number(process.env['SHERD_SEED'] ?? randomInt(2 ** 31));
const TIMEOUT_MS = 180_000;

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

function failures(result: CampaignResult): string {
  return result.differences.map((difference) => `${difference.text}\n(${difference.count} scripts)`).join('\n\n');
}

describe(`against redis-server, seed ${SEED}`, () => {
  const layouts = ['1x1', '8x2', '8x2o'];
  const cases = EXISTING.flatMap((family) => layouts.map((layout) => [family, layout] as const));
  it.each(cases)('%s on %s: every connection receives the same', { timeout: TIMEOUT_MS }, async (family, layout) => {
    const result = await runCampaign({
      startOracle: () => startRedis(),
      startSubject: () => startSherd(layoutOptions(layout)),
      families: [family],
      seed: SEED,
      scripts: 40,
      timeMs: 8_000,
      differencesMax: 3,
    });
    expect(failures(result)).toBe('');
  });

  it('has families that exist', () => {
    expect(EXISTING.filter((family) => !FAMILY_NAMES.includes(family))).toEqual([]);
  });
});

describe('the tester', () => {
  it.each(FAMILY_NAMES)('finds nothing between the oracle and itself: %s', { timeout: TIMEOUT_MS }, async (family) => {
    const result = await runCampaign({
      startOracle: () => startRedis(),
      startSubject: () => startRedis(),
      isStrict: true,
      families: [family],
      seed: SEED,
      scripts: 15,
      timeMs: 8_000,
      differencesMax: 3,
    });
    expect(failures(result)).toBe('');
    expect(result.scripts).toBeGreaterThan(0);
  });

  const findsIn = async (family: string, doctor: Doctor,
    options: { isEager?: boolean; scripts?: number; differences?: number } = {}): Promise<string> => {
    const result = await runCampaign({
      startOracle: () => startRedis(),
      // The control connection is the first one; a tester that is lied to about states proves nothing.
      startSubject: () => startDoctored((frame, connection) =>
        (connection.index === 0 ? [frame] : doctor(frame, connection))),
      isStrict: true,
      patienceMs: 300,
      families: [family],
      seed: SEED,
      scripts: options.scripts ?? 60,
      differencesMax: options.differences ?? 1,
      isEager: options.isEager ?? false,
    });
    return result.differences.map((difference) => difference.text).join('\n');
  };

  it('finds a reply that is lost', { timeout: TIMEOUT_MS }, async () => {
    const text = await findsIn('transactions', (frame) => (frame.toString() === '+QUEUED\r\n' ? [] : [frame]));
    expect(text).toContain('DIFFERENCE transactions: frame');
    expect(text).toMatch(/replay: npm run soak:scripts -- --families=transactions --replay=\d+/);
    expect(text.match(/^ {2}\[\d\] /gm)?.length).toBeLessThanOrEqual(2);
  });

  it('finds a transaction that runs although a key has changed', { timeout: TIMEOUT_MS }, async () => {
    const text = await findsIn('transactions', (frame) =>
      (/^(\*-1|_)\r\n$/.test(frame.toString()) ? [latin1('*0\r\n')] : [frame]));
    // The doctor takes every null for an EXEC that was refused.
    expect(text).toContain('DIFFERENCE transactions: frame: ');
    expect(text).toMatch(/subject: \*0\\r\\n/);
  });

  it('finds a waiter that is answered twice', { timeout: TIMEOUT_MS }, async () => {
    const text = await findsIn('blocking', (frame) =>
      /^\*2\r\n\$\d+\r\n[lx{]/.test(frame.toString('latin1')) ? [frame, frame] : [frame],
    );
    expect(text).toContain('DIFFERENCE blocking: frame');
  });

  it('finds a waiter that is never answered', { timeout: TIMEOUT_MS }, async () => {
    const text = await findsIn('blocking', (frame) => (/^(\*-1|_)\r\n$/.test(frame.toString()) ? [] : [frame]));
    expect(text).toContain('DIFFERENCE blocking: frame');
  });

  const message = /^(>|\*)[34]\r\n\$\d+\r\n[ps]?message\r\n/;
  it('finds a message that is lost', { timeout: TIMEOUT_MS }, async () => {
    let count = 0;
    const text = await findsIn('pubsub', (frame) =>
      (message.test(frame.toString('latin1')) && ++count % 5 === 0 ? [] : [frame]));
    expect(text).toContain('DIFFERENCE pubsub: frame');
  });

  it('finds messages in another order', { timeout: TIMEOUT_MS }, async () => {
    // A message is kept until the next one, or the fence, has gone before it.
    const text = await findsIn('pubsub', (frame, connection) => {
      if (connection.kept.length === 0 && message.test(frame.toString('latin1'))) {
        connection.kept.push(frame);
        return [];
      }
      return [frame, ...connection.kept.splice(0)];
    });
    expect(text).toContain('DIFFERENCE pubsub: frame');
  });

  it('finds a message behind the answer to a later PING, but only when it is eager', { timeout: TIMEOUT_MS },
    async () => {
    // Messages to RESP2 connections only: such a one is never the writer, whose own order is looked at in any case.
    const late: Doctor = (frame, connection) => {
      if (!/^\*4\r\n\$8\r\npmessage/.test(frame.toString('latin1'))) return [frame];
      connection.later(frame, 15);
      return [];
    };
    const eager = await findsIn('notifications', late, { isEager: true });
    expect(eager).toContain('DIFFERENCE notifications: frame');
    expect(eager).toMatch(/replay: .* --eager/);
    expect(await findsIn('notifications', late, { scripts: 5 })).toBe('');
  });

  it('finds an event too much', { timeout: TIMEOUT_MS }, async () => {
    const text = await findsIn('notifications', (frame) => (frame.includes('__:expired') ? [frame, frame] : [frame]));
    expect(text).toContain('DIFFERENCE notifications: frame');
  });

  it('finds an invalidation that is lost', { timeout: TIMEOUT_MS }, async () => {
    const text = await findsIn('tracking', (frame) =>
      (frame.toString('latin1').startsWith('>2\r\n$10\r\ninvalidate') ? [] : [frame]));
    expect(text).toContain('DIFFERENCE tracking: frame');
  });

  it('finds a password that a MONITOR shows', { timeout: TIMEOUT_MS }, async () => {
    const text = await findsIn('clients', (frame) =>
      [Buffer.from(frame.toString('latin1').replace('(redacted)', 'secret'), 'latin1')],
      // These scripts have times in them, which a busy machine may miss, with the oracle on both sides, too.
      { differences: 3 });
    expect(text).toContain('(redacted)');
  });

  it('finds a command that the subject lacks', { timeout: TIMEOUT_MS }, async () => {
    const result = await runCampaign({
      startOracle: () => startRedis(),
      startSubject: () => startRedis(['--rename-command', 'SWAPDB', '']),
      isStrict: true,
      patienceMs: 300,
      families: ['transactions'],
      seed: SEED,
      scripts: 100,
      differencesMax: 1,
    });
    expect(result.differences[0]?.text).toContain('SWAPDB');
  });
});

describe('what a NOLOOP client is told of keys that it finds expired', () => {
  const invalidation = (name: string): Buffer => latin1(`>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\n${name}\r\n`);
  const nameOf = (frame: Buffer): string | undefined => /invalidate\r\n\*1\r\n\$1\r\n(.)/.exec(frame.toString('latin1'))?.[1];
  const later = (connection: number, ...lines: Line[]): Step => ({ ...send(connection, ...lines), beforeMs: 50 });
  const begin = send(0, ['CLIENT', 'TRACKING', 'ON', 'NOLOOP']);
  const mortal = send(0, ['SET', 'a', 'v', 'PX', '30'], ['GET', 'a']);

  const run = async (steps: Step[], startSubject: () => Promise<RunningServer>): Promise<[string | undefined, number]> => {
    const driver = new Driver({ startOracle: () => startRedis(), startSubject, patienceMs: 500 });
    try {
      const { difference } = await driver.run({ family: 'tracking', seed: 0, resp: [3, 3], options: {}, steps });
      return [difference?.kind, driver.acceptedUses.get('invalidation-of-what-had-expired') ?? 0];
    } finally {
      await driver.stop();
    }
  };

  it.each(['1x1', '8x2', '8x2o'])('is accepted from us, %s, and the script goes on', { timeout: TIMEOUT_MS }, async (layout) => {
    const steps = [begin, mortal, later(0, ['GET', 'a']), mortal, later(0, ['MULTI'], ['TYPE', 'a'], ['EXEC'])];
    expect(await run(steps, () => startSherd(layoutOptions(layout)))).toEqual([undefined, 2]);
  });

  // Behind the null that GET answers for the key that has expired, and behind w, comes something that is wrong.
  const live = send(0, ['SET', 'b', 'v', 'PX', '60000'], ['GET', 'b']);
  const cases: [what: string, steps: Step[], behindNull: Buffer[], behindW: Buffer[], kind: string | undefined, uses: number][] = [
    ['the key', [begin, mortal, later(0, ['GET', 'a'])], [invalidation('a')], [], undefined, 1],
    ['the key, behind a command that did not look', [begin, mortal, later(1, ['GET', 'a', 'a']), send(0, ['GET', 'a'])],
      [invalidation('a')], [], undefined, 1],
    ['the key twice', [begin, mortal, later(0, ['GET', 'a'])], [invalidation('a'), invalidation('a')], [], 'frame', 2],
    ['another key', [begin, mortal, live, later(0, ['GET', 'a'])], [invalidation('b')], [], 'frame', 0],
    ['a key that lives', [begin, live, later(0, ['GETSET', 'b', 'w']), send(0, ['GET', 'b'])], [], [invalidation('b')], 'frame', 0],
    ['the key without NOLOOP', [send(0, ['CLIENT', 'TRACKING', 'ON']), mortal, later(0, ['GET', 'a'])], [invalidation('a')], [],
      'frame', 0],
    ['the key, alive again', [begin, mortal, later(0, ['SET', 'a', 'w']), later(0, ['GET', 'a'])], [], [invalidation('a')],
      'frame', 0],
  ];
  it.each(cases)('is accepted for no more than that: %s', { timeout: TIMEOUT_MS }, async (_, steps, behindNull, behindW, kind, uses) => {
    const doctor: Doctor = (frame, { index }) => {
      const text = frame.toString('latin1');
      return index === 0 ? [frame] : [frame, ...(text === '_\r\n' ? behindNull : text === '$1\r\nw\r\n' ? behindW : [])];
    };
    expect(await run(steps, () => startDoctored(doctor))).toEqual([kind, uses]);
  });

  it('does not hide that one of a key that lives is missing', { timeout: TIMEOUT_MS }, async () => {
    const doctor: Doctor = (frame) => (nameOf(frame) === 'b' ? [] : [frame]);
    const steps = [begin, mortal, live, later(1, ['GET', 'a'], ['SET', 'b', 'w'])];
    expect(await run(steps, () => startDoctored(doctor))).toEqual(['frame', 0]);
  });

  it('concerns keys whose time is over when they are named again', () => {
    const expiry = new Expiry();
    expiry.note([['SET', 'a', 'v', 'px', '30'], ['GET', 'a'], ['PEXPIRE', 'b', '10'], ['SET', 'c', 'v']], 100, false);
    const named = (nowMs: number, ...line: string[]): string[] => [...expiry.namedIn([line], nowMs)];
    expect([named(129, 'GET', 'a'), named(130, 'GET', 'a'), named(130, 'MGET', 'c', 'b', 'a')]).toEqual([[], ['a'], ['a', 'b']]);
    expiry.note([['APPEND', 'b', 'x']], 105, false);
    expect(named(200, 'MGET', 'a', 'b')).toEqual(['a']);
    expiry.note([['TYPE', 'a']], 200, false);
    expect(named(200, 'GET', 'a')).toEqual(['a']);
    expiry.note([['TYPE', 'a']], 200, true);
    expect(named(200, 'GET', 'a')).toEqual([]);
    expiry.note([['SET', 'a', 'v', 'PX', '5'], ['FLUSHALL']], 200, false);
    expect(named(300, 'GET', 'a')).toEqual([]);
  });
});

describe('a watched key that has expired', () => {
  const set = send(0, ['SET', 'c', 'v', 'PX', '30']);
  const watch = send(0, ['WATCH', 'c']);
  const late = { ...watch, beforeMs: 50 };
  const exec = send(0, ['MULTI'], ['PING'], ['EXEC']);
  const swap = send(1, ['SWAPDB', '0', '1']);
  const flush = send(1, ['FLUSHALL']);
  const cases: [what: string, steps: Step[]][] = [
    ['before WATCH, swapped away', [set, late, swap, exec]],
    ['before WATCH, swapped away and back', [set, late, swap, swap, exec]],
    ['before WATCH, for one that lives', [send(0, ['SELECT', '1'], ['SET', 'c', 'w'], ['SELECT', '0']), set, late, swap, exec]],
    ['before WATCH, flushed', [set, late, flush, exec]],
    ['after WATCH, swapped away', [set, watch, { ...swap, beforeMs: 50 }, exec]],
    ['after WATCH, flushed', [set, watch, { ...flush, beforeMs: 50 }, exec]],
    ['swapped in where there was none', [set, send(0, ['SELECT', '1'], ['WATCH', 'c']), { ...swap, beforeMs: 50 }, exec]],
  ];
  it.each(cases)('has changed, or not, as for redis-server: %s', { timeout: TIMEOUT_MS }, async (_, steps) => {
    const driver = new Driver({ startOracle: () => startRedis(), startSubject: () => startSherd(layoutOptions('8x2')) });
    try {
      const { difference } = await driver.run({ family: 'transactions', seed: 0, resp: [2, 2], options: {}, steps });
      expect(difference).toBeUndefined();
    } finally {
      await driver.stop();
    }
  });
});

describe('scripts', () => {
  it.each(FAMILY_NAMES)('are a function of their seed: %s', (family) => {
    expect(JSON.stringify(makeScript(family, SEED))).toBe(JSON.stringify(makeScript(family, SEED)));
  });

  it('have the commands they are about', () => {
    const seen = new Set<string>();
    for (let seed = SEED; seed < SEED + 100; seed++) {
      for (const family of FAMILY_NAMES) for (const name of commandsOf(makeScript(family, seed))) seen.add(name);
    }
    const due = [...COMMANDS.values()].filter((spec) => spec.group === 'transactions' || spec.group === 'pubsub');
    const blocking = ['blpop', 'brpop', 'blmove', 'brpoplpush', 'blmpop', 'bzpopmin', 'bzpopmax', 'bzmpop', 'xread',
      'xreadgroup', 'wait'];
    const clients = [
      'tracking', 'caching', 'getredir', 'trackinginfo', 'pause', 'unpause', 'kill', 'list', 'info', 'no-evict',
        'reply', 'setname',
      'getname', 'unblock', 'id',
    ];
    const names = [...due.map((spec) => spec.name), ...blocking, ...clients.map((name) => `client|${name}`),
      'monitor', 'reset', 'quit'];
    // Containers and their HELP have nothing that another connection could see.
    const isQuiet = (name: string): boolean => name === 'pubsub' || name === 'pubsub|help';
    expect(names.filter((name) => !seen.has(name) && !isQuiet(name))).toEqual([]);
  });

  it('give each accepted difference an id of its own and a reason', () => {
    expect(new Set(ACCEPTED_ROWS.map((row) => row.id)).size).toBe(ACCEPTED_ROWS.length);
    for (const row of ACCEPTED_ROWS) expect(row.reason.length, row.id).toBeGreaterThan(20);
  });
});

describe('rows of accepted differences', () => {
  const none: ScriptDifference = {
    kind: 'frame', connection: 0, isSender: true, pending: [], resp: 2, causes: new Set(), oracle: '+OK\r\n', subject: '+OK\r\n',
    causeLines: [], expired: new Set(), trackingWords: new Set(), isReorderedTarget: false,
  };
  const arity = (name: string): string => `-ERR wrong number of arguments for '${name}' command\r\n`;
  const told = (name: string): string => `>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\n${name}\r\n`;
  const missed = '*3\r\n$7\r\nmessage\r\n$22\r\n__keyevent@0__:keymiss\r\n$1\r\na\r\n';
  const plus: Line[] = [['XREAD', 'STREAMS', 'a', '+']];
  it.each<[string | undefined, Partial<ScriptDifference>]>([
    ['newer-arity', { oracle: arity('zrank'), subject: '+QUEUED\r\n' }],
    ['newer-arity', { oracle: arity('zrevrank'), subject: "-ERR Can't execute 'zrevrank': only PING …\r\n" }],
    [undefined, { oracle: arity('zscore'), subject: '+QUEUED\r\n' }],
    [undefined, { oracle: arity('zrank'), subject: '*0\r\n' }],
    ['key-miss-of-the-last-entry', { isSender: false, causeLines: plus, subject: missed }],
    [undefined, { isSender: false, causeLines: [['XREAD', 'STREAMS', 'a', '$']], subject: missed }],
    ['order-between-trackers', { isSender: false, isReorderedTarget: true, oracle: told('a'), subject: told('b') }],
    [undefined, { isSender: false, oracle: told('a'), subject: told('b') }],
    ['invalidation-of-what-had-expired', { subject: told('a'), expired: new Set(['a']), trackingWords: new Set(['noloop']) }],
    [undefined, { subject: told('b'), expired: new Set(['a']), trackingWords: new Set(['noloop']) }],
    [undefined, { isSender: false, subject: told('a'), expired: new Set(['a']), trackingWords: new Set(['noloop']) }],
    // A frame too many is only for rows that are about one.
    [undefined, { oracle: undefined, subject: missed, causeLines: plus }],
  ])('explain %s: %j', (id, difference) => {
    expect(findRow({ ...none, ...difference }, false)?.id).toBe(id);
  });
});

describe('times', () => {
  const step: Step = { connection: 0, act: 'send', lines: [], untilFree: true, timeoutMs: 40 };
  const lead: Lead = { states: [], counts: [], fenced: [], answered: [], firstFrameMs: 41 };
  it.each([
    ['a timeout that passed on both', step, 41, 40, undefined],
    ['one that ended too early', step, 41, 5, 'early'],
    ['one that was not waited for, as there was something', step, 3, 1, undefined],
    ['one that is too short to tell', { ...step, timeoutMs: 1 }, 41, 0, undefined],
    ['a step without one', { ...step, untilFree: false }, 41, 1, undefined],
  ] as const)('are compared: %s', (_, of, oracleMs, subjectMs, kind) => {
    expect(compareTimes(of, 0, { ...lead, firstFrameMs: oracleMs }, subjectMs)?.kind).toBe(kind);
  });
});

describe('frames', () => {
  it('are cut where they end, and pushes within them are lifted out', () => {
    const push = '>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n';
    const confirmation = '>3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n';
    const taken = takeFrame(latin1(`*2\r\n:1\r\n${push}$2\r\nab\r\n+next\r\n`));
    expect(taken?.frame.toString()).toBe('*2\r\n:1\r\n$2\r\nab\r\n');
    expect(taken?.lifted.map(String)).toEqual([push]);
    expect(takeFrame(latin1(`*1\r\n${confirmation}+next\r\n`))?.frame.toString()).toBe(`*1\r\n${confirmation}`);
    expect(takeFrame(latin1('%1\r\n+a\r\n*1\r\n$3\r\nab'))).toBeUndefined();
    expect(takeFrame(latin1('*-1\r\n'))?.end).toBe(5);
    expect(() => takeFrame(latin1('?1\r\n'))).toThrow('unknown frame type');
  });

  it('of the sender are put into the order that 7.2 has', () => {
    const frames = ['>1\r\n+a\r\n', ':1\r\n', '>1\r\n+b\r\n', '$1\r\nt\r\n', '>1\r\n+c\r\n'].map(latin1);
    expect(inNewerOrder(frames, 't').map((frame) => frame.toString()[1])).toEqual(['1', '1', '1', '1', '1']);
    expect(inNewerOrder(frames, 't').map((frame) => frame.toString()[0])).toEqual([':', '>', '>', '$', '>']);
  });

  const names: Names = { connectionOfId: new Map([['7', 0], ['9', 1]]),
    connectionOfAddr: new Map([['127.0.0.1:5', 1]]) };
  const none: ReadonlySet<string> = new Set();
  it.each([
    ['+1700000000.123456 [2 127.0.0.1:5] "get" "a"\r\n', '(monitor) [2 1] "get" "a"'],
    ['+1700000000.123456 [0 127.0.0.1:6] "get" "a"\r\n', '(monitor) [0 other] "get" "a"'],
    ['*2\r\n$2\r\nid\r\n:9\r\n', '*2\r\n$2\r\nid\r\n:<id 1>\r\n'],
    [':9\r\n', ':9\r\n'],
    ['$36\r\nid=9 addr=x laddr=y name=n age=3 db=1\n\r\n', '(clients) <1: id addr laddr name=n age db=1>'],
    ['$36\r\nid=8 addr=x laddr=y name=n age=3 db=1\n\r\n', '(clients)'],
  ])('say what they mean: %j', (frame, words) => {
    expect(normalise(latin1(frame), names, none)).toBe(words);
  });

  it('hold ids where the command says so', () => {
    expect(normalise(latin1('*2\r\n:9\r\n:5\r\n'), names, new Set(['client|id']))).toBe('*2\r\n:<id 1>\r\n:5\r\n');
  });

  it('are compared by the rules of their commands, within EXEC too', () => {
    const sets = new Set(['exec', 'smembers']);
    expect(isSameReply(latin1('*1\r\n*2\r\n+a\r\n+b\r\n'), latin1('*1\r\n*2\r\n+b\r\n+a\r\n'), sets)).toBe(true);
    expect(isSameReply(latin1('*1\r\n*2\r\n+a\r\n+b\r\n'), latin1('*1\r\n*2\r\n+b\r\n+c\r\n'), sets)).toBe(false);
    expect(isSameReply(latin1(':1\r\n'), latin1(':2\r\n'), new Set(['incr']))).toBe(false);
  });

  it('may come in any order where a hash table decides it, and only there', () => {
    const gone = (name: string, left: number): string => `*3\r\n$11\r\nunsubscribe\r\n$1\r\n${name}\r\n:${left}\r\n`;
    const all = namesOf([['UNSUBSCRIBE']]);
    expect(sortFreeRuns([gone('b', 1), gone('a', 0)], all, none)).toEqual([gone('a', 1), gone('b', 0)]);
    expect(sortFreeRuns([gone('b', 1), gone('a', 0)], namesOf([['UNSUBSCRIBE', 'b', 'a']]), none)[0]).toBe(gone('b',
      1));
    const found = (pattern: string, text: string): string =>
      `>4\r\n$8\r\npmessage\r\n$1\r\n${pattern}\r\n$1\r\nc\r\n$1\r\n${text}\r\n`;
    expect(sortFreeRuns([found('b', 'x'), found('a', 'x'), found('a', 'y')], none, none)).toEqual([
      found('a', 'x'),
      found('b', 'x'),
      found('a', 'y'),
    ]);
    expect(sortFreeRuns([found('b', 'x'), found('a', 'y')], none, none)[0]).toBe(found('b', 'x'));
    const miss = (key: string): string => `*3\r\n$7\r\nmessage\r\n$22\r\n__keyevent@0__:keymiss\r\n$1\r\n${key}\r\n`;
    expect(sortFreeRuns([miss('b'), miss('a')], none, new Set(['sort']))).toEqual([miss('a'), miss('b')]);
    expect(sortFreeRuns([miss('b'), miss('a')], none, new Set(['mget']))).toEqual([miss('b'), miss('a')]);
  });
});
