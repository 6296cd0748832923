/**
 * The deciders of linearizability, decided themselves: histories doctored by hand, and random small histories on which
 * both of them must agree with the plain definition, which tries all orders.
 *
 * Random histories come from a simulated server (so they are linearizable) of which half are then falsified in one
 * result; both verdicts occur often, and the test says so.
 */
import { describe, expect, it } from 'vitest';
import { Prng } from '../differential/prng.js';
import {
  checkBySearch, checkRegister, registerType, stackType, type Operation, type OperationKind, type SequentialType,
} from './linearizability-checker.js';

const SEED = Number(process.env['SHERD_SEED'] ?? Date.now() % 1_000_000_007);

type Row = [kind: OperationKind, client: number, argument: number, result: number | null, sentAt: number, answeredAt: number];

const history = (...rows: Row[]): Operation[] =>
  rows.map(([kind, client, argument, result, sentAt, answeredAt]) => ({ kind, client, argument, result, sentAt, answeredAt }));

/** The definition: some order of all operations explains all results, keeps real time and each client's order. */
function isLinearizable(operations: readonly Operation[], type: SequentialType, state = type.initial): boolean {
  if (operations.length === 0) return true;
  return operations.some((one, index) => {
    const isNext = operations.every(
      (other, at) => at === index || (other.answeredAt >= one.sentAt && !(at < index && other.client === one.client)),
    );
    const after = isNext ? type.step(state, one) : undefined;
    return after !== undefined && isLinearizable(operations.filter((_, at) => at !== index), type, after);
  });
}

/** A history of a few overlapping operations on a simulated key. `kinds` says which; values are all different. */
function simulate(prng: Prng, kinds: readonly OperationKind[]): Operation[] {
  const operations: Operation[] = [];
  const clock = new Array<number>(3).fill(0);
  let value = 0;
  const stack: number[] = [];
  // Operations take effect in the order of this loop; times are stretched to both sides, so that others overlap.
  for (let turn = 1; turn <= 7; turn++) {
    const client = prng.below(3);
    const kind = prng.pick(kinds);
    const argument = 100 * turn;
    let result: number | null = null;
    if (kind === 'read' || kind === 'exchange') result = value;
    if (kind === 'write' || kind === 'exchange') value = argument;
    if (kind === 'increment') result = ++value;
    if (kind === 'push') result = stack.push(argument);
    if (kind === 'pop') result = stack.pop() ?? null;
    // A pipelining client may send before its previous answer has come.
    const sentAt = Math.max(clock[client] as number, 10 * turn - prng.below(25));
    clock[client] = sentAt;
    operations.push({ kind, client, argument, result, sentAt, answeredAt: 10 * turn + prng.below(25) });
  }
  return operations;
}

/** Changes one result into another one that occurs, so that the lie is not too plain. */
function falsify(prng: Prng, operations: Operation[]): Operation[] {
  const chosen = prng.below(operations.length);
  const other = prng.pick(operations);
  return operations.map((one, index) => {
    if (index !== chosen || one.kind === 'write') return one;
    return { ...one, result: other.result ?? (one.kind === 'pop' ? null : 0) };
  });
}

describe('registers', () => {
  it('accepts reads that overlap a write and see either value', () => {
    const rows = history(['write', 0, 5, null, 0, 10], ['read', 1, 0, 0, 1, 2], ['read', 2, 0, 5, 3, 4]);
    expect(checkRegister(rows, 0)).toBeUndefined();
  });

  it('finds a lost update', () => {
    const rows = history(['increment', 0, 0, 1, 0, 10], ['increment', 1, 0, 1, 0, 10]);
    expect(checkRegister(rows, 0)).toMatch(/1 was written twice/);
    const swapped = history(['exchange', 0, 7, 0, 0, 10], ['exchange', 1, 8, 0, 0, 10]);
    expect(checkRegister(swapped, 0)).toMatch(/0 was replaced twice/);
  });

  it('finds a stale read: the old value after the new one was seen', () => {
    const rows = history(['write', 0, 5, null, 0, 10], ['read', 1, 0, 5, 1, 2], ['read', 2, 0, 0, 3, 4]);
    expect(checkRegister(rows, 0)).toMatch(/no order explains/);
    const later = history(['write', 0, 5, null, 0, 1], ['read', 1, 0, 0, 2, 3]);
    expect(checkRegister(later, 0)).toMatch(/no order explains/);
  });

  it('finds values from nowhere and from the future', () => {
    expect(checkRegister(history(['read', 0, 0, 9, 0, 1]), 0)).toMatch(/nobody wrote/);
    expect(checkRegister(history(['read', 0, 0, null, 0, 1]), 0)).toMatch(/nobody wrote/);
    const future = history(['read', 0, 0, 5, 0, 1], ['write', 1, 5, null, 2, 3]);
    expect(checkRegister(future, 0)).toMatch(/out of order/);
    const circle = history(['exchange', 0, 6, 7, 0, 1], ['exchange', 1, 7, 6, 0, 1]);
    expect(checkRegister(circle, 0)).toMatch(/without a beginning/);
  });

  it("finds a client's pipeline that took effect in another order", () => {
    const inside = history(['increment', 0, 0, 2, 0, 10], ['increment', 0, 0, 1, 0, 10]);
    expect(checkRegister(inside, 0)).toMatch(/client's order/);
    const between = history(['write', 0, 5, null, 0, 10], ['write', 0, 6, null, 0, 10], ['read', 1, 0, 6, 0, 2], ['read', 1, 0, 5, 0, 3]);
    expect(checkRegister(between, 0)).toMatch(/no order explains/);
  });
});

describe('stacks', () => {
  it('accepts overlapping pushes and pops in any order that fits', () => {
    const rows = history(['push', 0, 1, 2, 0, 10], ['push', 1, 2, 1, 0, 10], ['pop', 2, 0, 1, 1, 12], ['pop', 2, 0, 2, 11, 12]);
    expect(checkBySearch(rows, stackType())).toBeUndefined();
  });

  it('finds an element popped twice, a lost one, and one popped in the wrong order', () => {
    const twice = history(['push', 0, 1, 1, 0, 1], ['pop', 1, 0, 1, 2, 5], ['pop', 2, 0, 1, 2, 5]);
    expect(checkBySearch(twice, stackType())).toMatch(/no order explains/);
    const lost = history(['push', 0, 1, 1, 0, 1], ['pop', 1, 0, null, 2, 5]);
    expect(checkBySearch(lost, stackType())).toMatch(/no order explains/);
    const order = history(['push', 0, 1, 1, 0, 1], ['push', 0, 2, 2, 2, 3], ['pop', 1, 0, 1, 4, 5], ['pop', 1, 0, 2, 6, 7]);
    expect(checkBySearch(order, stackType())).toMatch(/no order explains/);
  });

  it("finds a client's pipeline that took effect in another order", () => {
    const rows = history(['push', 0, 1, 2, 0, 9], ['push', 0, 2, 1, 0, 9]);
    expect(checkBySearch(rows, stackType())).toMatch(/no order explains/);
  });
});

describe(`against the definition, seed ${SEED}`, () => {
  it('both deciders agree with it on registers', () => {
    const prng = new Prng(SEED);
    const verdicts = { yes: 0, no: 0 };
    for (let round = 0; round < 4000; round++) {
      const honest = simulate(prng, ['read', 'read', 'write', 'increment', 'exchange']);
      const operations = prng.chance(0.5) ? honest : falsify(prng, honest);
      const wanted = isLinearizable(operations, registerType(0));
      verdicts[wanted ? 'yes' : 'no']++;
      const told = JSON.stringify(operations);
      expect(checkBySearch(operations, registerType(0)) === undefined, told).toBe(wanted);
      // Two increments may write the same value only if the history is a lie, or was written in between.
      const values = operations.flatMap((one) => (one.kind === 'increment' ? [one.result] : []));
      if (new Set(values).size === values.length) expect(checkRegister(operations, 0) === undefined, told).toBe(wanted);
    }
    expect(Math.min(verdicts.yes, verdicts.no)).toBeGreaterThan(500);
  });

  it('the search agrees with it on stacks', () => {
    const prng = new Prng(SEED + 1);
    const verdicts = { yes: 0, no: 0 };
    for (let round = 0; round < 3000; round++) {
      const honest = simulate(prng, ['push', 'pop']);
      const operations = prng.chance(0.5) ? honest : falsify(prng, honest);
      const wanted = isLinearizable(operations, stackType());
      verdicts[wanted ? 'yes' : 'no']++;
      expect(checkBySearch(operations, stackType()) === undefined, JSON.stringify(operations)).toBe(wanted);
    }
    expect(Math.min(verdicts.yes, verdicts.no)).toBeGreaterThan(300);
  });
});
