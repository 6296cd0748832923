/**
 * Writers that know what was answered, and what a restored dataset must then hold.
 *
 * Each writer numbers its operations 1, 2, 3 …; all of them move its counter, so a restored counter `c` says that the
 * operations 1 … c have survived. What else must be there follows from `c` and the kinds of the operations:
 *
 *   kind  commands                                                     what it tells
 *   plain INCR count                                                   nothing else
 *   multi MULTI, INCR count, RPUSH log n, LTRIM log -20 -1, EXEC       log: exactly the last multi numbers up to c
 *   mset  MSET count n twin n                                          twin: the last mset number up to c
 *   pool  MULTI, INCR count, SADD pool n, SPOP pool, EXEC              pool: one member (a random effect, as SREM)
 *
 * The keys of a writer lie on different shards, so a torn transaction or MSET shows. Over all writers a restored
 * dataset is a prefix of one history: nothing that was sent after an answer may be there when what was answered is not.
 *
 *   acknowledged ≤ c ≤ sent                     nothing lost, nothing invented
 *   last(multi, c) is the log's end             exact prefix, all or nothing
 *   missing answered before present was sent    never
 */
import { Prng, deriveSeed } from '../../differential/prng.js';
import { Connection, ReplyError, show, type Command, type Reply } from '../../proofs/connection.js';
import { keyInPart } from '../../proofs/proof.js';
import type { RunningServer } from '../../support/oracle.js';

type Kind = 'plain' | 'multi' | 'mset' | 'pool';

const PARTS = 8;
const LOG_MAX = 20;
const KINDS: readonly Kind[] = ['plain', 'plain', 'multi', 'plain', 'mset', 'plain', 'pool', 'plain'];

const kindOf = (operation: number): Kind => KINDS[operation % KINDS.length] as Kind;

/** Replies to the commands of an operation. */
export function replyCount(operation: number): number {
  const kind = kindOf(operation);
  return kind === 'plain' || kind === 'mset' ? 1 : 5;
}

/** What a writer's connection says first, and so is answered first. */
export const markerOf = (index: number): string => `writer ${index}`;

/** The last operation of a kind up to `operation`, 0 for none. */
function lastOf(kind: Kind, operation: number): number {
  for (let at = operation; at > 0; at--) if (kindOf(at) === kind) return at;
  return 0;
}

/** What a restored server says of a writer's keys. */
export interface WriterState {
  counter: number;
  log: number[];
  twin: number;
  poolSize: number;
}

/** One writer's numbers. */
export class Ledger {
  sent = 0;
  acknowledged = 0;
  /** Where the operations of this round begin: what is before them has been checked. */
  readonly sentAtMs = new Map<number, number>();
  readonly answeredAtMs = new Map<number, number>();
  readonly keys: { count: string; log: string; twin: string; pool: string };

  constructor(readonly index: number) {
    const key = (name: string, part: number): string => keyInPart(`${name}:${index}`, index + part, PARTS);
    this.keys = { count: key('count', 0), log: key('log', 1), twin: key('twin', 2), pool: key('pool', 3) };
  }

  /** The commands of the next operation. */
  next(): Command[] {
    const { count, log, twin, pool } = this.keys;
    const operation = ++this.sent;
    this.sentAtMs.set(operation, performance.now());
    switch (kindOf(operation)) {
      case 'plain':
        return [['INCR', count]];
      case 'multi':
        return [['MULTI'], ['INCR', count], ['RPUSH', log, operation], ['LTRIM', log, -LOG_MAX, -1], ['EXEC']];
      case 'mset':
        return [['MSET', count, operation, twin, operation]];
      case 'pool':
        return [['MULTI'], ['INCR', count], ['SADD', pool, operation], ['SPOP', pool], ['EXEC']];
    }
  }

  answered(operation: number): void {
    this.acknowledged = operation;
    this.answeredAtMs.set(operation, performance.now());
  }

  /** A new server holds `counter` operations: what was not acknowledged may or may not have survived. */
  goOnFrom(counter: number): void {
    this.sent = this.acknowledged = counter;
    this.sentAtMs.clear();
    this.answeredAtMs.clear();
  }
}

export function makeLedgers(count: number): Ledger[] {
  return Array.from({ length: count }, (_, index) => new Ledger(index));
}

/** How writers end: the connection was lost, or they were told to stop. */
export interface WriteOptions {
  seed: number;
  isOver: () => boolean;
  /** Operations sent at once, at most. */
  depthMax?: number;
  /** An error reply (MISCONF while a disk is full): the operation has not happened. Without it an error is thrown. */
  onError?: (text: string) => void;
}

/** The commands of a reply list, operation by operation: the reply that ends each operation. */
function lastReplies(operations: Command[][], replies: Reply[]): Reply[] {
  let at = 0;
  return operations.map((commands) => replies[(at += commands.length) - 1] as Reply);
}

/** Writes until told to stop or the server has gone. Answers with how many operations were acknowledged. */
export async function write(port: number, ledger: Ledger, options: WriteOptions): Promise<number> {
  const prng = new Prng(deriveSeed(options.seed, ledger.index));
  const connection = await Connection.open(port).catch(() => undefined);
  const before = ledger.acknowledged;
  try {
    await connection?.must('ECHO', markerOf(ledger.index));
    while (connection !== undefined && !options.isOver()) {
      // An operation that was refused shifts the numbers of those behind it, so one at a time where that may be.
      const depth = options.onError === undefined ? prng.between(1, options.depthMax ?? 4) : 1;
      const first = ledger.sent + 1;
      const operations = Array.from({ length: depth }, () => ledger.next());
      let done = 0;
      let due = operations[0]?.length ?? 0;
      const replies = await connection.batch(operations.flat(), (reply, index) => {
        if (index + 1 < due) return;
        const isError = reply instanceof ReplyError;
        if (!isError) ledger.answered(first + done);
        done++;
        due += operations[done]?.length ?? 0;
      });
      const failed = lastReplies(operations, replies).find((reply) => reply instanceof ReplyError);
      if (failed === undefined) continue;
      if (options.onError === undefined) throw new Error(`writer ${ledger.index} was answered ${show(failed)}`);
      ledger.sent = ledger.acknowledged;
      options.onError((failed as ReplyError).text);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'ConnectionClosed') throw error;
  } finally {
    connection?.destroy();
  }
  return ledger.acknowledged - before;
}

/** Reads what a server holds of a writer's keys. */
export async function readState(connection: Connection, { keys }: Ledger): Promise<WriterState> {
  const commands: Command[] = [['GET', keys.count], ['LRANGE', keys.log, 0, -1], ['GET', keys.twin], ['SCARD', keys.pool]];
  const [count, log, twin, pool] = await connection.batch(commands);
  const wrong = [count, log, twin, pool].find((reply) => reply instanceof ReplyError);
  if (wrong !== undefined) throw new Error(`reading was answered ${show(wrong)}`);
  return { counter: Number(count), log: (log as string[]).map(Number), twin: Number(twin), poolSize: Number(pool) };
}

export function readStates(connection: Connection, ledgers: readonly Ledger[]): Promise<WriterState[]> {
  return Promise.all(ledgers.map((ledger) => readState(connection, ledger)));
}

/** What is wrong with a restored writer; `due` operations must be there (all that were acknowledged, unless told). */
export function faultOf(ledger: Ledger, state: WriterState, due = ledger.acknowledged): string | undefined {
  const { counter, log, twin, poolSize } = state;
  const who = `writer ${ledger.index}`;
  if (counter < due) return `${who} has ${counter} of ${due} acknowledged operations`;
  if (counter > ledger.sent) return `${who} has ${counter} operations, ${ledger.sent} were sent`;
  const expected: number[] = [];
  for (let at = lastOf('multi', counter); at > 0 && expected.length < LOG_MAX; at = lastOf('multi', at - 1)) expected.unshift(at);
  if (log.join() !== expected.join()) return `${who} at ${counter} has the log ${log.join()} instead of ${expected.join()}`;
  if (twin !== lastOf('mset', counter)) return `${who} at ${counter} has the twin ${twin}`;
  const added = lastOf('pool', counter);
  if (poolSize !== 0) return `${who} at ${counter} has ${poolSize} in a pool that gave each member away, the last at ${added}`;
  return undefined;
}

/**
 * Whether the restored states together are a prefix: undefined, or which answered operation is missing though one
 * that was sent after its answer is there.
 */
export function orderFault(ledgers: readonly Ledger[], states: readonly WriterState[]): string | undefined {
  let missing = { atMs: Infinity, text: '' };
  let present = { atMs: -Infinity, text: '' };
  for (const [at, ledger] of ledgers.entries()) {
    const counter = states[at]?.counter ?? 0;
    const answeredAtMs = ledger.answeredAtMs.get(counter + 1) ?? Infinity;
    const sentAtMs = ledger.sentAtMs.get(counter) ?? -Infinity;
    if (answeredAtMs < missing.atMs) missing = { atMs: answeredAtMs, text: `${counter + 1} of writer ${ledger.index}` };
    if (sentAtMs > present.atMs) present = { atMs: sentAtMs, text: `${counter} of writer ${ledger.index}` };
  }
  const isPrefix = missing.atMs >= present.atMs;
  return isPrefix ? undefined : `operation ${missing.text} was answered before ${present.text} was sent, and only that is there`;
}

/** All faults of a restored server. */
export function faultsOf(ledgers: readonly Ledger[], states: readonly WriterState[], due?: readonly number[]): string[] {
  const faults = ledgers.map((ledger, at) => faultOf(ledger, states[at] as WriterState, due?.[at]));
  return [...faults, orderFault(ledgers, states)].filter((fault) => fault !== undefined);
}

/** Checks a fresh server against the ledgers, which go on from what it holds. */
export async function checkRestored(server: RunningServer, ledgers: readonly Ledger[]): Promise<string[]> {
  const connection = await Connection.open(server.port);
  const states = await readStates(connection, ledgers);
  connection.destroy();
  const faults = faultsOf(ledgers, states);
  for (const [at, ledger] of ledgers.entries()) ledger.goOnFrom(states[at]?.counter ?? 0);
  return faults;
}
