/**
 * Proof 4: the history of every key is linearizable, under forced contention (R1 to R4).
 *
 * Sixteen clients send pipelines of random commands to few keys: GET, SET, INCR and GETSET to values, LPUSH and LPOP to
 * lists. Some of these take the ways of commands on several shards, which must be no different for a single key: a SET may
 * be part of an MSET, a GET of an MGET, and a pair of any two may stand in MULTI. Every operation is noted
 * with the times of its sending and of its answer; linearizability-checker.ts decides afterwards, key by key.
 *
 * Values written are unique by construction, as the decider of registers needs: SET and GETSET write multiples of 2^20, and
 * no value is incremented that often. Elements pushed are numbered. With `isFalsified` one answer of each history is replaced
 * by an old one before the decision: each must be found.
 */
import { Prng, deriveSeed } from '../differential/prng.js';
import { Connection, ReplyError, openAll, show, type Command, type Reply } from './connection.js';
import { checkBySearch, checkRegister, stackType, type Operation, type OperationKind } from './linearizability-checker.js';
import { Violations, keyInPart, type ProofOptions, type ProofResult } from './proof.js';

/** Sizes of a run. */
export interface LinearizabilityOptions extends ProofOptions {
  /** Operations in all. */
  operations: number;
  isFalsified?: boolean;
}

const CLIENTS = 16;
const REGISTERS = 4;
const STACKS = 4;
const PARTS = 4;
const DEPTH_MAX = 8;
const VALUE_STEP = 2 ** 20;

const REGISTER_KEYS = Array.from({ length: REGISTERS }, (_, index) => keyInPart(`register:${index}`, index, PARTS));
const STACK_KEYS = Array.from({ length: STACKS }, (_, index) => keyInPart(`stack:${index}`, index, PARTS));
const KEYS = [...REGISTER_KEYS, ...STACK_KEYS];

/** Commands sent as one unit, and what they do to keys. */
interface Unit {
  commands: Command[];
  /** The operations in it: key, kind, argument, and where in the replies of the unit its result stands. */
  parts: { key: number; kind: OperationKind; argument: number; resultOf: (replies: Reply[]) => Reply }[];
}

/** Gives out units of commands; all clients draw values from it, so that they are unique. */
class UnitSource {
  private values = 0;
  private elements = 0;

  next(prng: Prng): Unit {
    const choice = prng.real();
    if (choice < 0.06) return this.several(prng, 'MSET');
    if (choice < 0.12) return this.several(prng, 'MGET');
    return choice < 0.17 ? this.transaction(prng) : this.single(prng);
  }

  private single(prng: Prng): Unit {
    const key = prng.below(KEYS.length);
    const name = KEYS[key] as string;
    const one = (command: Command, kind: OperationKind, argument = 0): Unit => {
      return { commands: [command], parts: [{ key, kind, argument, resultOf: (replies) => replies[0] as Reply }] };
    };
    if (key >= REGISTERS) {
      if (prng.chance(0.5)) return one(['LPOP', name], 'pop');
      const element = ++this.elements;
      return one(['LPUSH', name, element], 'push', element);
    }
    const kind = prng.below(8);
    if (kind < 3) return one(['GET', name], 'read');
    if (kind < 6) return one(['INCR', name], 'increment');
    const value = ++this.values * VALUE_STEP;
    return kind === 6 ? one(['SET', name, value], 'write', value) : one(['GETSET', name, value], 'exchange', value);
  }

  /** One command on some of the values. */
  private several(prng: Prng, command: 'MSET' | 'MGET'): Unit {
    const keys = REGISTER_KEYS.map((_, index) => index).filter(() => prng.chance(0.6));
    if (keys.length === 0) keys.push(prng.below(REGISTERS));
    if (command === 'MGET') {
      const parts = keys.map((key, at): Unit['parts'][number] => {
        return { key, kind: 'read', argument: 0, resultOf: (replies) => (replies[0] as Reply[])[at] as Reply };
      });
      return { commands: [['MGET', ...keys.map((key) => KEYS[key] as string)]], parts };
    }
    const parts = keys.map((key): Unit['parts'][number] => {
      return { key, kind: 'write', argument: ++this.values * VALUE_STEP, resultOf: (replies) => replies[0] as Reply };
    });
    const words = parts.flatMap(({ key, argument }) => [KEYS[key] as string, argument]);
    return { commands: [['MSET', ...words]], parts };
  }

  /** Two single commands in MULTI. */
  private transaction(prng: Prng): Unit {
    const bodies = [this.single(prng), this.single(prng)];
    const parts = bodies.flatMap((body, at) =>
      body.parts.map((part) => ({ ...part, resultOf: (replies: Reply[]) => (replies[3] as Reply[])[at] as Reply })),
    );
    return { commands: [['MULTI'], ...bodies.flatMap((body) => body.commands), ['EXEC']], parts };
  }
}

/** What the clients share. */
interface Run {
  source: UnitSource;
  histories: Operation[][];
  noted: number;
  target: number;
  violations: Violations;
}

/** Notes what a unit has done; answers with what is wrong if a reply is none that the command can give. */
function note(run: Run, unit: Unit, client: number, replies: Reply[], sentAt: number, answeredAt: number): void {
  for (const { key, kind, argument, resultOf } of unit.parts) {
    const reply = resultOf(replies);
    const isWrite = kind === 'write';
    const isFit = isWrite ? reply === 'OK' : typeof reply === 'number' || (reply === null && kind === 'pop');
    if (!isFit || reply instanceof ReplyError) {
      run.violations.add(`${kind} of ${String(KEYS[key])} answered ${show(reply)}`);
      continue;
    }
    const result = isWrite ? null : (reply as number | null);
    run.histories[key]?.push({ kind, client, argument, result, sentAt, answeredAt });
    run.noted++;
  }
}

async function runClient(connection: Connection, client: number, seed: number, run: Run): Promise<void> {
  const prng = new Prng(deriveSeed(seed, client));
  while (run.noted < run.target) {
    const units = Array.from({ length: prng.between(1, DEPTH_MAX) }, () => run.source.next(prng));
    const commands = units.flatMap((unit) => unit.commands);
    const times = new Float64Array(commands.length);
    const sentAt = performance.now();
    const replies = await connection.batch(commands, (_, index, receivedAt) => (times[index] = receivedAt));
    let at = 0;
    for (const unit of units) {
      const end = at + unit.commands.length;
      note(run, unit, client, replies.slice(at, end), sentAt, times[end - 1] as number);
      at = end;
    }
  }
}

/** The most operations on one key that overlap: how much contention there was. */
function greatestOverlap(history: readonly Operation[]): number {
  const events = history.flatMap((one) => [[one.sentAt, 1], [one.answeredAt, -1]] as [number, number][]);
  events.sort((a, b) => a[0] - b[0]);
  let now = 0;
  let most = 0;
  for (const [, change] of events) most = Math.max(most, (now += change));
  return most;
}

/** Gives the last operation that brought a value the value that the first of its kind had brought. */
function falsify(history: readonly Operation[]): void {
  const isFit = (one: Operation): boolean => (one.kind === 'read' || one.kind === 'pop') && one.result !== null;
  const first = history.find(isFit);
  const last = history.filter(isFit).pop();
  if (first === undefined || last === undefined || first.result === last.result) throw new Error('nothing to falsify');
  last.result = first.result;
}

/** Runs the clients and decides. */
export async function proveLinearizability(options: LinearizabilityOptions): Promise<ProofResult> {
  const { port, seed, operations, isFalsified = false } = options;
  const violations = new Violations();
  const histories = KEYS.map((): Operation[] => []);
  const run: Run = { source: new UnitSource(), histories, noted: 0, target: operations, violations };
  const startedAt = performance.now();
  const connections = await openAll(port, CLIENTS, { readsNumbers: true });
  const setup = await Connection.open(port);
  await setup.must('FLUSHALL');
  await setup.must('MSET', ...REGISTER_KEYS.flatMap((key) => [key, 0]));
  await Promise.all(connections.map((connection, client) => runClient(connection, client, seed, run)));
  for (const connection of [...connections, setup]) connection.destroy();
  const checkedFrom = performance.now();
  if (isFalsified) histories.forEach(falsify);
  for (const [key, history] of histories.entries()) {
    const fault = key < REGISTERS ? checkRegister(history, 0) : checkBySearch(history, stackType());
    if (fault !== undefined) violations.add(`${String(KEYS[key])}: ${fault}`);
  }
  return violations.result('linearizability', seed, {
    operations: run.noted,
    overlap: Math.max(...histories.map(greatestOverlap)),
    seconds: (checkedFrom - startedAt) / 1000,
    checkSeconds: (performance.now() - checkedFrom) / 1000,
  });
}
