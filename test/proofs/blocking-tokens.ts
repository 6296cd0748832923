/**
 * Proof 5, third part: tokens that circulate by BLMOVE between lists on all shards are neither lost nor doubled, whatever
 * happens to those who move them.
 *
 * Movers wait at one list and move a token to another; they time out, and their sockets are destroyed at any moment.
 * Readers count all lists in one transaction: the count never differs, since a move that serves a waiter is one step on both
 * shards. At the end the tokens are the same ones.
 * With `isTorn` movers pop and push in two commands: violations must be found.
 */
import { Prng, deriveSeed } from '../differential/prng.js';
import { Connection, ConnectionClosed, ReplyError, show, type Command, type Reply } from './connection.js';
import { Violations, keyInPart, sleep, type ProofOptions, type ProofResult } from './proof.js';

/** Sizes of a run. */
export interface BlockingTokensOptions extends ProofOptions {
  /** Counts that the readers take. */
  reads: number;
  isTorn?: boolean;
}

const LISTS = 6;
const PARTS = 8;
const TOKENS = 12;
const MOVERS = 20;
const READERS = 2;

const LIST_KEYS = Array.from({ length: LISTS }, (_, index) => keyInPart(`ring:${index}`, index, PARTS));

/** What is wrong with one count of all lists. */
export function checkCount(lengths: Reply): string | undefined {
  const sum = Array.isArray(lengths) ? lengths.reduce<number>((total, length) => total + Number(length), 0) : NaN;
  return sum === TOKENS ? undefined : `${show(lengths)} are ${sum} tokens instead of ${TOKENS}`;
}

/** What is wrong with the tokens found at the end. */
export function checkTokens(found: readonly string[]): string | undefined {
  const sorted = [...found].sort().join(' ');
  const wanted = tokens().sort().join(' ');
  return sorted === wanted ? undefined : `the tokens are ${sorted} instead of ${wanted}`;
}

const tokens = (): string[] => Array.from({ length: TOKENS }, (_, index) => `token:${index}`);

class Mover {
  moves = 0;
  kills = 0;
  private connection: Connection | undefined;
  private readonly port: number;
  private readonly prng: Prng;

  constructor(port: number, prng: Prng) {
    this.port = port;
    this.prng = prng;
  }

  async run(isOver: () => boolean, isTorn: boolean, violations: Violations): Promise<void> {
    while (!isOver()) {
      const connection = (this.connection ??= await Connection.open(this.port, { blocks: true }));
      // Some movers die in the middle of a wait, or of being served.
      const isDoomed = !isTorn && this.prng.chance(0.05);
      const killing = isDoomed ? sleep(this.prng.below(3)).then(() => connection.destroy()) : undefined;
      try {
        const reply = await this.move(connection, isTorn);
        if (reply instanceof ReplyError) violations.add(`a move answered ${show(reply)}`);
        if (reply !== null) this.moves++;
      } catch (error) {
        if (!(error instanceof ConnectionClosed) || !isDoomed) throw error;
      }
      await killing;
      if (!isDoomed) continue;
      this.kills++;
      this.connection = undefined;
    }
    this.connection?.destroy();
  }

  private async move(connection: Connection, isTorn: boolean): Promise<Reply> {
    const { prng } = this;
    const from = prng.below(LISTS);
    const source = LIST_KEYS[from] as string;
    const to = LIST_KEYS[(from + 1 + prng.below(LISTS - 1)) % LISTS] as string;
    const timeoutSec = prng.between(1, 20) / 1000;
    if (isTorn) {
      const popped = await connection.call('BLPOP', source, timeoutSec);
      return Array.isArray(popped) ? connection.call('RPUSH', to, String(popped[1])) : null;
    }
    const end = prng.pick(['LEFT', 'RIGHT']);
    return connection.call('BLMOVE', source, to, end, prng.pick(['LEFT', 'RIGHT']), timeoutSec);
  }
}

async function count(port: number, reads: number, violations: Violations): Promise<void> {
  const connection = await Connection.open(port);
  const look: Command[] = [['MULTI'], ...LIST_KEYS.map((key): Command => ['LLEN', key]), ['EXEC']];
  for (let index = 0; index < reads; index++) {
    const replies = await connection.batch(look);
    violations.add(checkCount(replies[replies.length - 1] as Reply));
  }
  connection.destroy();
}

/** Runs movers and readers. */
export async function proveBlockingTokens(options: BlockingTokensOptions): Promise<ProofResult> {
  const { port, seed, reads, isTorn = false } = options;
  const violations = new Violations();
  const startedAt = performance.now();
  const admin = await Connection.open(port);
  await admin.must('FLUSHALL');
  const fill = tokens().map((token, index): Command => ['RPUSH', LIST_KEYS[index % LISTS] as string, token]);
  await admin.batch([['MULTI'], ...fill, ['EXEC']]);
  let isOver = false;
  const movers = Array.from({ length: MOVERS }, (_, index) => new Mover(port, new Prng(deriveSeed(seed, index))));
  const moving = Promise.all(movers.map((mover) => mover.run(() => isOver, isTorn, violations)));
  const reading = Promise.all(Array.from({ length: READERS }, () => count(port, Math.ceil(reads / READERS), violations)));
  await Promise.race([reading, moving]).finally(() => (isOver = true));
  await Promise.all([reading, moving]);
  const left = await admin.batch(LIST_KEYS.map((key): Command => ['LRANGE', key, 0, -1]));
  violations.add(checkTokens(left.flat().map(String)));
  admin.destroy();
  const sum = (what: (mover: Mover) => number): number => movers.reduce((total, mover) => total + what(mover), 0);
  return violations.result('blocking tokens', seed, {
    reads: READERS * Math.ceil(reads / READERS),
    moves: sum((mover) => mover.moves),
    kills: sum((mover) => mover.kills),
    seconds: (performance.now() - startedAt) / 1000,
  });
}
