/**
 * Proof 1, the bank: writers move money between accounts on all shards, readers sum all accounts in one look, and
 * the sum never differs (R4: commands on several shards, and transactions, are atomic).
 *
 * Three kinds of accounts, because each way to move money needs another kind of knowledge:
 *   shared   any writer changes them, with commands that need not know the balance, or under WATCH;
 *   owned    one writer alone changes them and so knows the balances: plain MSET without a transaction;
 *   purses   exist under one of two names on different shards; the owner RENAMEs them to and fro. Exactly one of
 *            the names exists at any time.
 *
 * Every way leaves the sum as it was, the failing ones too: DISCARD, EXECABORT, a transaction that meets a
 * run-time error in the middle. Readers look by MGET and by MULTI with a GET for each account; each single look is
 * checked, not a sample. With `isTorn` writers move money without transactions: the proof must then find violations,
 * or it proves nothing.
 */
import { Prng, deriveSeed } from '../differential/prng.js';
import { Connection, ReplyError, openAll, show, type Command, type Reply } from './connection.js';
import { Violations, keyInPart, type ProofOptions, type ProofResult } from './proof.js';

/** Sizes of a run; what is left out is the figure. */
export interface BankOptions extends ProofOptions {
  /** How many sums the readers take in all. */
  reads: number;
  isTorn?: boolean;
  /** Ends the run before the reads are done. */
  isOver?: () => boolean;
}

const WRITERS = 8;
const READERS = 4;
const ACCOUNTS = 100;
const OWNED_EACH = 5;
const SHARED = ACCOUNTS - WRITERS * OWNED_EACH;
const PURSES = 4;
const PARTS = 8;
const BALANCE = 1_000;
/** What the bank holds, always. */
export const BANK_TOTAL = (ACCOUNTS + PURSES) * BALANCE;
/** Looks that a reader has under way. */
const READ_DEPTH = 8;
/** Moves that a writer sends at once. */
const MOVE_DEPTH = 4;

const ACCOUNT_KEYS = Array.from({ length: ACCOUNTS }, (_, index) => keyInPart(`account:${index}`, index, PARTS));
const PURSE_KEYS = Array.from({ length: PURSES }, (_, index) => [
  keyInPart(`purse:${index}:left`, index, PARTS),
  keyInPart(`purse:${index}:right`, index + 3, PARTS),
] as const);
/** What a look reads, in this order. */
export const LOOK_KEYS = [...ACCOUNT_KEYS, ...PURSE_KEYS.flat()];

/** What is wrong with one look (the values of all accounts, then both names of each purse), if anything. */
export function checkLook(values: Reply): string | undefined {
  if (!Array.isArray(values) || values.length !== LOOK_KEYS.length) return `a look answered ${show(values)}`;
  let sum = 0;
  for (let index = 0; index < ACCOUNTS; index++) {
    const balance = values[index];
    if (typeof balance !== 'number') return `account ${index} holds ${show(balance)}`;
    sum += balance;
  }
  for (let index = ACCOUNTS; index < values.length; index += 2) {
    const left = values[index];
    const right = values[index + 1];
    if ((left === null) === (right === null)) return `purse ${(index - ACCOUNTS) / 2} is at ${show([left, right] as Reply)}`;
    sum += Number(left ?? right);
  }
  return sum === BANK_TOTAL ? undefined : `the sum is ${sum} instead of ${BANK_TOTAL}`;
}

/** Commands sent together, and what is wrong with their replies. */
interface Move {
  commands: Command[];
  check: (replies: Reply[]) => string | undefined;
}

/** A transaction in which exactly the commands of `errorsAt` fail. */
function transaction(body: Command[], errorsAt: readonly number[] = []): Move {
  return {
    commands: [['MULTI'], ...body, ['EXEC']],
    check: (replies) => {
      const results = replies[replies.length - 1];
      if (!Array.isArray(results) || results.length !== body.length) return `EXEC answered ${show(results)}`;
      const wrong = results.findIndex((one, index) => one instanceof ReplyError !== errorsAt.includes(index));
      return wrong < 0 ? undefined : `${String(body[wrong]?.join(' '))} in MULTI answered ${show(results[wrong])}`;
    },
  };
}

/** Two different shared accounts and an amount. */
function pickPair(prng: Prng): [from: string, to: string, amount: number] {
  const from = prng.below(SHARED);
  const to = (from + 1 + prng.below(SHARED - 1)) % SHARED;
  return [ACCOUNT_KEYS[from] as string, ACCOUNT_KEYS[to] as string, prng.between(1, 50)];
}

/** Moves between shared accounts that need not know a balance. `spare` is a key of this writer's own. */
const BLIND_MOVES: readonly ((prng: Prng, spare: string) => Move)[] = [
  (prng) => {
    const [from, to, amount] = pickPair(prng);
    return transaction([['DECRBY', from, amount], ['INCRBY', to, amount]]);
  },
  (prng) => {
    const [from, to, amount] = pickPair(prng);
    return transaction([['INCRBYFLOAT', from, -amount], ['PING'], ['INCRBYFLOAT', to, amount]]);
  },
  // Balances change places by RENAME, by COPY, and by way of another database.
  (prng, spare) => {
    const [from, to] = pickPair(prng);
    return transaction([['RENAME', from, spare], ['RENAME', to, from], ['RENAME', spare, to]]);
  },
  (prng, spare) => {
    const [from, to] = pickPair(prng);
    return transaction([['COPY', from, spare, 'REPLACE'], ['COPY', to, from, 'REPLACE'], ['RENAME', spare, to]]);
  },
  (prng) => {
    const [from, to, amount] = pickPair(prng);
    const away: Command[] = [['MOVE', from, 1], ['SELECT', 1], ['DECRBY', from, amount], ['MOVE', from, 0]];
    return transaction([...away, ['SELECT', 0], ['INCRBY', to, amount]]);
  },
  // A run-time error in the middle undoes nothing and stops nothing.
  (prng) => {
    const [from, to, amount] = pickPair(prng);
    return transaction([['DECRBY', from, amount], ['LPUSH', from, 'no list'], ['INCRBY', to, amount]], [1]);
  },
  (prng) => {
    const [from, , amount] = pickPair(prng);
    const check = (replies: Reply[]): string | undefined =>
      replies[2] === 'OK' ? undefined : `DISCARD answered ${show(replies[2])}`;
    return { commands: [['MULTI'], ['DECRBY', from, amount], ['DISCARD']], check };
  },
  (prng) => {
    const [from, to, amount] = pickPair(prng);
    const check = (replies: Reply[]): string | undefined => {
      const last = replies[4];
      return last instanceof ReplyError && last.text.startsWith('EXECABORT') ? undefined : `EXEC answered ${show(last)}`;
    };
    const body: Command[] = [['DECRBY', from, amount], ['NOSUCHCOMMAND'], ['INCRBY', to, amount]];
    return { commands: [['MULTI'], ...body, ['EXEC']], check };
  },
];

/** One writer: its connection, its owned accounts and its purse. */
class Writer {
  moves = 0;
  conflicts = 0;

  private readonly connection: Connection;
  private readonly prng: Prng;
  private readonly index: number;
  private readonly violations: Violations;
  private readonly spare: string;
  private readonly balances: number[] = new Array<number>(OWNED_EACH).fill(BALANCE);
  private isPurseLeft = true;

  constructor(connection: Connection, index: number, seed: number, violations: Violations) {
    this.connection = connection;
    this.index = index;
    this.prng = new Prng(deriveSeed(seed, index));
    this.violations = violations;
    this.spare = keyInPart(`spare:${index}`, index + 1, PARTS);
  }

  async run(isOver: () => boolean, isTorn: boolean): Promise<void> {
    while (!isOver()) {
      if (isTorn) {
        const [from, to, amount] = pickPair(this.prng);
        await this.connection.batch([['DECRBY', from, amount]]);
        await this.connection.batch([['INCRBY', to, amount]]);
      } else if (this.prng.chance(0.2)) {
        await this.moveUnderWatch();
      } else {
        await this.moveTogether();
      }
    }
  }

  /** Several moves in one write, of all kinds that need no answer in between. */
  private async moveTogether(): Promise<void> {
    const moves = Array.from({ length: this.prng.between(1, MOVE_DEPTH) }, () => this.nextMove());
    const replies = await this.connection.batch(moves.flatMap((move) => move.commands));
    let at = 0;
    for (const move of moves) {
      this.violations.add(move.check(replies.slice(at, at + move.commands.length)));
      at += move.commands.length;
    }
    this.moves += moves.length;
  }

  private nextMove(): Move {
    const kind = this.prng.below(BLIND_MOVES.length + 3);
    const blind = BLIND_MOVES[kind];
    if (blind !== undefined) return blind(this.prng, this.spare);
    if (kind === BLIND_MOVES.length && this.index < PURSES) return this.movePurse();
    return kind === BLIND_MOVES.length + 1 ? this.moveOwnedToShared() : this.moveOwned();
  }

  private ownedKey(which: number): string {
    return ACCOUNT_KEYS[SHARED + this.index * OWNED_EACH + which] as string;
  }

  private takeOwned(which: number, amount: number): number {
    const balance = (this.balances[which] as number) - amount;
    this.balances[which] = balance;
    return balance;
  }

  /** Plain MSET, no transaction: one command on several shards. */
  private moveOwned(): Move {
    const from = this.prng.below(OWNED_EACH);
    const to = (from + 1 + this.prng.below(OWNED_EACH - 1)) % OWNED_EACH;
    const amount = this.prng.between(1, 50);
    const words: Command = ['MSET', this.ownedKey(from), this.takeOwned(from, amount), this.ownedKey(to), this.takeOwned(to, -amount)];
    return { commands: [words], check: ([reply]) => (reply === 'OK' ? undefined : `MSET answered ${show(reply)}`) };
  }

  private moveOwnedToShared(): Move {
    const which = this.prng.below(OWNED_EACH);
    const [shared, , amount] = pickPair(this.prng);
    const balance = this.takeOwned(which, amount);
    return transaction([['GETDEL', this.ownedKey(which)], ['INCRBY', shared, amount], ['SET', this.ownedKey(which), balance]]);
  }

  /** One RENAME between two shards. */
  private movePurse(): Move {
    const [left, right] = PURSE_KEYS[this.index] as readonly [string, string];
    const words: Command = this.isPurseLeft ? ['RENAME', left, right] : ['RENAME', right, left];
    this.isPurseLeft = !this.isPurseLeft;
    return { commands: [words], check: ([reply]) => (reply === 'OK' ? undefined : `RENAME answered ${show(reply)}`) };
  }

  private async moveUnderWatch(): Promise<void> {
    const [from, to, amount] = pickPair(this.prng);
    const [, read] = await this.connection.batch([['WATCH', from, to], ['MGET', from, to]]);
    const [left, right] = Array.isArray(read) ? read.map(Number) : [];
    if (left === undefined || right === undefined || Number.isNaN(left + right)) {
      this.violations.add(`MGET under WATCH answered ${show(read)}`);
      return;
    }
    const body: Command[] = this.prng.chance(0.5)
      ? [['MSET', from, left - amount, to, right + amount]]
      : [['GETDEL', from], ['GETSET', to, right + amount], ['SETNX', from, left - amount]];
    const replies = await this.connection.batch([['MULTI'], ...body, ['EXEC']]);
    const results = replies[replies.length - 1];
    if (results === null) this.conflicts++;
    else if (Array.isArray(results)) this.moves++;
    else this.violations.add(`EXEC under WATCH answered ${show(results)}`);
  }
}

/** Takes sums until `reads` of them are done; every one is checked. */
async function read(
  connection: Connection,
  reads: number,
  isByMulti: boolean,
  violations: Violations,
  isOver = (): boolean => false,
): Promise<void> {
  const look: Command[] = isByMulti
    ? [['MULTI'], ...LOOK_KEYS.map((key): Command => ['GET', key]), ['EXEC']]
    : [['MGET', ...LOOK_KEYS]];
  let left = reads;
  while (left > 0 && !isOver()) {
    const depth = Math.min(left, READ_DEPTH);
    const commands = Array.from({ length: depth }, () => look).flat();
    const replies = await connection.batch(commands);
    for (let at = look.length - 1; at < replies.length; at += look.length) {
      const fault = checkLook(replies[at] as Reply);
      if (fault !== undefined) violations.add(`by ${isByMulti ? 'MULTI' : 'MGET'}: ${fault}`);
    }
    left -= depth;
  }
}

/** Runs the bank. */
export async function proveBank({ port, seed, reads, isTorn = false, isOver: isEnded }: BankOptions): Promise<ProofResult> {
  const violations = new Violations();
  const startedAt = performance.now();
  const readers = await openAll(port, READERS, { readsNumbers: true });
  const writers = (await openAll(port, WRITERS)).map(
    (connection, index) => ({ connection, writer: new Writer(connection, index, seed, violations) }),
  );
  const setup = readers[0] as Connection;
  await setup.must('FLUSHALL');
  const purses = PURSE_KEYS.map(([left]) => left);
  await setup.must('MSET', ...[...ACCOUNT_KEYS, ...purses].flatMap((key) => [key, BALANCE]));

  let isOver = false;
  const writing = Promise.all(writers.map(({ writer }) => writer.run(() => isOver, isTorn)));
  const readsEach = Math.ceil(reads / READERS);
  const reading = Promise.all(readers.map((reader, index) => read(reader, readsEach, index % 2 === 1, violations, isEnded)));
  await Promise.race([reading, writing]).finally(() => (isOver = true));
  await Promise.all([reading, writing]);

  await read(setup, 1, false, violations);
  const size = await setup.must('DBSIZE');
  if (size !== ACCOUNTS + PURSES) violations.add(`${show(size)} keys are left instead of ${ACCOUNTS + PURSES}`);
  for (const connection of [...readers, ...writers.map((one) => one.connection)]) connection.destroy();
  const sum = (count: (writer: Writer) => number): number =>
    writers.reduce((total, one) => total + count(one.writer), 0);
  return violations.result('bank', seed, {
    reads: readsEach * READERS,
    moves: sum((writer) => writer.moves),
    conflicts: sum((writer) => writer.conflicts),
    seconds: (performance.now() - startedAt) / 1000,
  });
}
