/**
 * The checkers of the proofs fed with doctored observations: a torn sum, a lost update, an element that came twice or
 * not at all, a stale payload. (The deciders of linearizability have a test of their own.) And the tools that all proofs stand
 * on: the reader of replies, the place of keys, the quantiles.
 */
import { describe, expect, it } from 'vitest';
import { BANK_TOTAL, checkLook } from './bank.js';
import { checkCount, checkTokens } from './blocking-tokens.js';
import { ReplyError, ReplyReader, encode, type Reply } from './connection.js';
import { ElementLedger } from './element-ledger.js';
import { checkOnce, checkPayload } from './order.js';
import { keyInPart, partOf, slotOf } from './proof.js';
import { CoreWaits, during, excess, percentile } from './starvation.js';
import { WaitingModel } from './waiting-model.js';
import { IncrementLog } from './watch.js';

describe('the bank', () => {
  const right = (): (number | null)[] => [...new Array<number>(100).fill(1000), 1000, null, null, 1000, 1000, null, null, 1000];

  it('accepts the right sum, wherever the money is', () => {
    expect(BANK_TOTAL).toBe(104_000);
    expect(checkLook(right())).toBeUndefined();
    const moved = right();
    moved[0] = 900;
    moved[99] = 1100;
    expect(checkLook(moved)).toBeUndefined();
  });

  it('finds a torn sum, a missing account, a purse in two places or none, an error', () => {
    const change = (at: number, value: number | null): Reply => right().with(at, value);
    expect(checkLook(change(3, 999))).toMatch(/sum is 103999/);
    expect(checkLook(change(3, null))).toMatch(/account 3 holds null/);
    expect(checkLook(change(101, 0))).toMatch(/purse 0/);
    expect(checkLook(change(100, null))).toMatch(/purse 0/);
    expect(checkLook(new ReplyError('ERR'))).toMatch(/answered/);
  });
});

describe('increments', () => {
  it('finds a lost update at once and at the end, and a transaction on two looks', () => {
    const log = new IncrementLog('pair');
    expect(log.addOptimistic(0, 0)).toBeUndefined();
    expect(log.addBlind(2, 2)).toBeUndefined();
    expect(log.settle(2, 2)).toBeUndefined();
    expect(log.addOptimistic(1, 1)).toMatch(/2 was written twice/);
    expect(log.addOptimistic(2, 3)).toMatch(/read 2 and 3/);
    expect(log.addBlind(4, 5)).toMatch(/4 and 5/);
    expect(log.settle(2, 1)).toMatch(/counters are 2 and 1/);
  });
});

describe('announcements', () => {
  it('finds one that came twice, never, or from nowhere, and a stale payload', () => {
    expect(checkOnce(new Set(['a', 'b']), ['b', 'a'])).toEqual([]);
    expect(checkOnce(new Set(['a', 'b']), ['a', 'a', 'c'])).toEqual(['a came twice', 'c came and was never announced', 'b never came']);
    expect(checkPayload('1-2', 'content of 1-2')).toBeUndefined();
    expect(checkPayload('1-2', null)).toMatch(/payload is null/);
    expect(checkPayload('1-2', 'content of 1-1')).toMatch(/payload is/);
  });
});

describe('the account of elements', () => {
  it('finds a doubled, a foreign and a lost element, and one that is not where it was moved', () => {
    const ledger = new ElementLedger();
    for (const name of ['a', 'b', 'c', 'd']) ledger.push(name, 'lane');
    ledger.receive('a', 'BLPOP');
    ledger.receive('a', 'BRPOP');
    ledger.receive('x', 'BLPOP');
    ledger.noteMoved('b', 'list');
    ledger.keep('list', ['c']);
    expect(ledger.settle()).toEqual([
      'a came 2 times: BLPOP, BRPOP',
      'x came and was never pushed',
      'b was moved to list and is not there',
      '2 elements of lane never came, 0 may be lost: b d',
    ]);
  });

  it('lets a lane lose what was granted to it, and no more', () => {
    const ledger = new ElementLedger();
    for (const name of ['a', 'b']) ledger.push(name, 'racing');
    ledger.push('c', 'popped');
    ledger.mayLose('racing', 2);
    expect(ledger.settle()).toEqual(['1 elements of popped never came, 0 may be lost: c']);
    expect(ledger.lost).toBe(2);
    ledger.push('d', 'racing');
    expect(ledger.settle()).toHaveLength(2);
  });
});

describe('waiters', () => {
  it('serves in order of arrival, as much as each wants, and then those behind a move', () => {
    const model = new WaitingModel(false);
    model.arrive({ id: 0, keys: ['other', 'queue'], end: 'RIGHT', count: 1 });
    model.arrive({ id: 1, keys: ['to'], end: 'LEFT', count: 1 });
    model.arrive({ id: 2, keys: ['queue'], end: 'LEFT', count: 1, to: { key: 'to', end: 'LEFT' } });
    model.arrive({ id: 3, keys: ['queue'], end: 'LEFT', count: 2 });
    const names = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ name, score: 0 }));
    model.push('queue', 'RIGHT', names);
    model.serve();
    const got = [0, 1, 2, 3].map((id) => model.served.get(id)?.elements.map((element) => element.name).join(''));
    expect(got).toEqual(['e', 'a', 'a', 'bc']);
    expect(model.lengthOf('queue')).toBe(1);
  });

  it('counts tokens', () => {
    expect(checkCount([2, 2, 2, 2, 2, 2])).toBeUndefined();
    expect(checkCount([2, 2, 2, 2, 2, 1])).toMatch(/11 tokens/);
    const all = Array.from({ length: 12 }, (_, index) => `token:${index}`);
    expect(checkTokens(all)).toBeUndefined();
    expect(checkTokens([...all.slice(1), 'token:3'])).toMatch(/the tokens are/);
  });
});

describe('tools', () => {
  it('reads replies whatever pieces they come in', () => {
    const bytes = Buffer.from('+OK\r\n$5\r\n12\r\n3\r\n*3\r\n:-7\r\n$-1\r\n*1\r\n$2\r\n42\r\n-ERR no\r\n*-1\r\n', 'latin1');
    const wanted = ['OK', '12\r\n3', [-7, null, [42]], new ReplyError('ERR no'), null];
    for (let cut = 0; cut <= bytes.length; cut++) {
      const reader = new ReplyReader(true);
      const replies: Reply[] = [];
      for (const part of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
        reader.append(part);
        for (let reply = reader.take(); reply !== undefined; reply = reader.take()) replies.push(reply);
      }
      expect(replies).toEqual(wanted);
    }
    expect(encode([['GET', 'a'], ['SET', 'b', 12]])).toBe('*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$2\r\n12\r\n');
  });

  it('knows slots and finds keys in every part of them', () => {
    expect([slotOf('foo'), slotOf('123456789'), slotOf('x{foo}y')]).toEqual([12182, 12739, 12182]);
    for (let part = 0; part < 8; part++) expect(partOf(keyInPart('key', part, 8), 8)).toBe(part);
  });

  it('takes quantiles, and samples of the right moments', () => {
    const values = Array.from({ length: 1000 }, (_, index) => index + 1);
    expect([percentile(values, 0.5), percentile(values, 0.999), percentile(values, 1)]).toEqual([500, 999, 1000]);
    const slow = [{ sentAt: 10, tookMs: 5 }];
    const samples = [9, 10, 15, 16].map((sentAt) => ({ sentAt, tookMs: sentAt }));
    expect(during(samples, slow).map(({ tookMs }) => tookMs)).toEqual([10, 15]);
  });

  it('takes off an answer what the machine added, and nothing else', () => {
    const waits = new CoreWaits();
    // We wait 4 ms for a core between 0 and 20, the first serving thread 30 ms until 40, the second 5 ms until 60.
    const looks = [[0, 1, 7, 1], [20, 5, 7, 1], [40, 5, 37, 1], [60, 5, 37, 6]] as const;
    for (const [at, ...queuedMs] of looks) waits.add(at, queuedMs);
    expect(waits.between(5, 10)).toEqual({ ownMs: 4, servingMs: 0 });
    expect([waits.between(5, 20), waits.between(25, 26), waits.between(45, 500)].map(({ servingMs }) => servingMs)).toEqual([30, 30, 5]);
    expect([waits.between(-5, -1).servingMs, waits.perSec()]).toEqual([0, 500]);
    const samples = [{ sentAt: 2, tookMs: 10 }, { sentAt: 25, tookMs: 34 }, { sentAt: 45, tookMs: 8 }, { sentAt: 50, tookMs: 1 }];
    const noise = samples.map(({ sentAt }) => ({ sentAt, tookMs: 1 }));
    expect(excess(samples, noise, waits).map(({ tookMs }) => tookMs)).toEqual([6, 3, 2, 0]);
  });
});
