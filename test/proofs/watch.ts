/**
 * Proof 2, WATCH: optimistic increments of two counters on two shards lose no update.
 *
 * Clients watch both counters of a pair, read them, and write both plus one in a transaction; others increment blindly in
 * a transaction, and one disturbs: it renames counters away and back, or opens transactions that it discards. The
 * counters begin as keys that do not exist, which can be watched as well.
 *
 * What must hold: a transaction that succeeded has read what no other has changed since, so that the values written by
 * successful transactions of a pair are all different and end at the number of successes, in both counters. Values of the
 * two counters that differ within one look must end in a refused transaction.
 * With `isBlind` the clients leave WATCH out: updates must then be lost, and be found to be.
 */
import { Prng, deriveSeed } from '../differential/prng.js';
import { Connection, openAll, show, type Command, type Reply } from './connection.js';
import { Violations, keyInPart, type ProofOptions, type ProofResult } from './proof.js';

/** Sizes of a run. */
export interface WatchOptions extends ProofOptions {
  /** Successful increments to reach in all. */
  increments: number;
  isBlind?: boolean;
}

const OPTIMISTS = 8;
const INCREMENTERS = 2;
const PAIRS = 2;
const PARTS = 8;

const PAIR_KEYS = Array.from({ length: PAIRS }, (_, pair) => [
  keyInPart(`counter:${pair}:left`, pair, PARTS),
  keyInPart(`counter:${pair}:right`, pair + 5, PARTS),
] as const);

/** What successful transactions of one pair have written, and what is wrong with that. */
export class IncrementLog {
  private readonly written = new Set<number>();
  private readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  /** Notes a transaction that read these values and succeeded in writing each plus one. */
  addOptimistic(left: number, right: number): string | undefined {
    if (left !== right) return `${this.name}: a transaction that had read ${left} and ${right} succeeded`;
    return this.add(left + 1);
  }

  /** Notes the results of a transaction that incremented both. */
  addBlind(left: number, right: number): string | undefined {
    if (left !== right) return `${this.name}: INCR in one transaction answered ${left} and ${right}`;
    return this.add(left);
  }

  /** Compares the counters at the end with what was done. */
  settle(left: number, right: number): string | undefined {
    const wanted = this.written.size;
    if (left === wanted && right === wanted) return undefined;
    return `${this.name}: ${wanted} increments succeeded, the counters are ${left} and ${right}`;
  }

  private add(value: number): string | undefined {
    if (this.written.has(value)) return `${this.name}: ${value} was written twice, an update is lost`;
    this.written.add(value);
    return undefined;
  }
}

/** What the clients of a run share. */
interface Run {
  logs: IncrementLog[];
  violations: Violations;
  succeeded: number;
  refused: number;
  target: number;
  isBlind: boolean;
}

const last = (replies: Reply[]): Reply => replies[replies.length - 1] as Reply;

async function incrementOptimistically(connection: Connection, prng: Prng, run: Run): Promise<void> {
  while (run.succeeded < run.target) {
    const pair = prng.below(PAIRS);
    const [left, right] = PAIR_KEYS[pair] as readonly [string, string];
    const looks: Command[] = prng.chance(0.5) ? [['MGET', left, right]] : [['GET', right], ['GET', left]];
    const isMget = looks.length === 1;
    const watch: Command[] = run.isBlind
      ? []
      : prng.chance(0.5) ? [['WATCH', left, right]] : [['WATCH', right], ['WATCH', left]];
    const replies = await connection.batch([...watch, ...looks]);
    const values = isMget ? (last(replies) as Reply[]) : replies.slice(-2).reverse();
    const [x, y] = values.map(Number) as [number, number];
    if (prng.chance(0.05)) {
      await connection.batch([['UNWATCH']]);
      continue;
    }
    const body: Command[] = prng.chance(0.5)
      ? [['SET', left, x + 1], ['SET', right, y + 1]]
      : [['MSET', left, x + 1, right, y + 1]];
    const results = last(await connection.batch([['MULTI'], ...body, ['EXEC']]));
    if (results === null) {
      run.refused++;
    } else if (Array.isArray(results) && results.every((one) => one === 'OK')) {
      run.succeeded++;
      run.violations.add(run.logs[pair]?.addOptimistic(x, y));
    } else {
      run.violations.add(`EXEC answered ${show(results)}`);
    }
  }
}

async function incrementBlindly(connection: Connection, prng: Prng, run: Run): Promise<void> {
  while (run.succeeded < run.target) {
    const pair = prng.below(PAIRS);
    const [left, right] = PAIR_KEYS[pair] as readonly [string, string];
    const results = last(await connection.batch([['MULTI'], ['INCR', left], ['INCR', right], ['EXEC']]));
    if (!Array.isArray(results)) {
      run.violations.add(`EXEC of two INCR answered ${show(results)}`);
      continue;
    }
    run.succeeded++;
    run.violations.add(run.logs[pair]?.addBlind(Number(results[0]), Number(results[1])));
    // Leaves the optimists room to succeed.
    for (let turn = 0; turn < 4; turn++) await connection.call('PING');
  }
}

/** Touches the counters without changing them. A RENAME of a counter that does not exist yet fails, and that is all. */
async function disturb(connection: Connection, prng: Prng, run: Run): Promise<void> {
  const spare = keyInPart('counter:spare', 6, PARTS);
  while (run.succeeded < run.target) {
    const [left, right] = PAIR_KEYS[prng.below(PAIRS)] as readonly [string, string];
    const bodies: Command[][] = [
      [['MULTI'], ['RENAME', left, spare], ['RENAME', spare, left], ['EXEC']],
      [['MULTI'], ['INCR', left], ['INCR', right], ['DISCARD']],
      [['WATCH', left], ['MULTI'], ['COPY', right, spare, 'REPLACE'], ['DEL', spare], ['EXEC']],
    ];
    await connection.batch(prng.pick(bodies));
    for (let turn = 0; turn < 10; turn++) await connection.call('PING');
  }
}

/** Runs the counters. */
export async function proveWatch({ port, seed, increments, isBlind = false }: WatchOptions): Promise<ProofResult> {
  const violations = new Violations();
  const logs = PAIR_KEYS.map((_, pair) => new IncrementLog(`pair ${pair}`));
  const run: Run = { logs, violations, succeeded: 0, refused: 0, target: increments, isBlind };
  const startedAt = performance.now();
  const connections = await openAll(port, OPTIMISTS + INCREMENTERS + 1);
  const setup = await Connection.open(port);
  await setup.must('FLUSHALL');
  await Promise.all(
    connections.map((connection, index) => {
      const prng = new Prng(deriveSeed(seed, index));
      if (index < OPTIMISTS) return incrementOptimistically(connection, prng, run);
      return (index < OPTIMISTS + INCREMENTERS ? incrementBlindly : disturb)(connection, prng, run);
    }),
  );
  for (const [pair, keys] of PAIR_KEYS.entries()) {
    const values = (await setup.must('MGET', ...keys)) as Reply[];
    violations.add(logs[pair]?.settle(Number(values[0]), Number(values[1])));
  }
  for (const connection of [...connections, setup]) connection.destroy();
  const seconds = (performance.now() - startedAt) / 1000;
  return violations.result('watch', seed, { increments: run.succeeded, refused: run.refused, seconds });
}
