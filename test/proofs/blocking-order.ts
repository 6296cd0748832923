/**
 * Proof 5, second part: waiters are served in the order of their arrival, across connections of all workers.
 *
 * Rounds, each on keys of its own shards. Clients begin to wait one after another, each seen in INFO's blocked_clients
 * before the next begins, so that their order is certain. Some then go away (CLIENT UNBLOCK, CLIENT KILL, a destroyed
 * socket), which is seen in the same figure, so that it is certain that they were gone before the push: what is
 * pushed later may not be lost with them. Then elements are created in all ways there are, and waiting-model.ts says who
 * must get which. Behind each push, in the same write, stands a look at the length: waiters come before later commands.
 * Timeouts are for ever, or far away on either side of 2^31 ms.
 *
 * With `isReversed` the model takes waiters in the opposite order of arrival: violations must be found.
 */
import { Prng, deriveSeed } from '../differential/prng.js';
import { Connection, ReplyError, show, type Command, type Reply } from './connection.js';
import { Violations, keyInPart, sleep, waitFor, type ProofOptions, type ProofResult } from './proof.js';
import { WaitingModel, type Element, type End, type Served, type WaiterPlan } from './waiting-model.js';

/** Sizes of a run. */
export interface BlockingOrderOptions extends ProofOptions {
  rounds: number;
  isReversed?: boolean;
}

const POOL = 24;
const WAITERS_MIN = 3;
const WAITERS_MAX = 14;
const PARTS = 8;
const TIMEOUTS_SEC = ['0', '60', '2147483.5', '4294968', '99999999'];
const SERVED_MS_MAX = 5_000;

/** A client of the pool. */
interface PoolClient {
  connection: Connection;
  id: number;
}

/** A client that waits in a round: the plan for the model, and its reply to come. */
interface Waiter {
  plan: WaiterPlan;
  client: PoolClient;
  command: Command;
  /** How the elements it gets look in its reply. */
  form: (served: Served) => Reply;
  reply: Promise<Reply>;
  isGone: boolean;
}

class Rounds {
  served = 0;
  gone = 0;
  chained = 0;

  private readonly port: number;
  private readonly prng: Prng;
  private readonly violations: Violations;
  private readonly isReversed: boolean;
  private readonly pool: PoolClient[] = [];
  private pushers: Connection[] = [];
  private admin!: Connection;
  private round = 0;
  private elements = 0;

  constructor({ port, seed, isReversed = false }: BlockingOrderOptions, violations: Violations) {
    this.port = port;
    this.prng = new Prng(deriveSeed(seed, 0));
    this.violations = violations;
    this.isReversed = isReversed;
  }

  async open(): Promise<void> {
    this.admin = await Connection.open(this.port);
    this.pushers = [await Connection.open(this.port), await Connection.open(this.port)];
    await this.admin.must('FLUSHALL');
    await this.fillPool();
  }

  close(): void {
    for (const connection of [this.admin, ...this.pushers, ...this.pool.map((one) => one.connection)]) connection.destroy();
  }

  async runRound(): Promise<void> {
    this.round++;
    await this.fillPool();
    const { prng } = this;
    const isSorted = prng.chance(0.35);
    const model = new WaitingModel(isSorted);
    const part = prng.below(PARTS);
    const key = keyInPart(`r${this.round}:queue`, part, PARTS);
    const to = keyInPart(`r${this.round}:to`, part + prng.below(3), PARTS);
    const waiters = await this.gather(model, isSorted, key, to);
    await this.sendAway(model, waiters);
    if (this.isReversed) for (const waiter of [...model.waiting].reverse()) this.requeue(model, waiter);
    let pushes = prng.between(1, waiters.length + 2);
    while (pushes-- > 0) await this.push(model, key, isSorted);
    await this.compare(model, waiters);
    await this.admin.must('DEL', key, to);
  }

  private requeue(model: WaitingModel, waiter: WaiterPlan): void {
    model.leave(waiter.id);
    model.arrive(waiter);
  }

  private async fillPool(): Promise<void> {
    for (let index = this.pool.length - 1; index >= 0; index--) {
      if (this.pool[index]?.connection.isClosed === true) this.pool.splice(index, 1);
    }
    while (this.pool.length < POOL) {
      const connection = await Connection.open(this.port, { blocks: true });
      this.pool.push({ connection, id: Number(await connection.must('CLIENT', 'ID')) });
    }
  }

  private async waitForBlocked(count: number, what: string): Promise<void> {
    const seen = async (): Promise<number> => {
      return Number(/blocked_clients:(\d+)/.exec(String(await this.admin.must('INFO', 'clients')))?.[1] ?? NaN);
    };
    await waitFor(`${count} blocked clients (${what}), ${await seen()} seen`, async () => (await seen()) === count);
  }

  /** Clients begin to wait, one after another. Now and then one waits where others move their elements to. */
  private async gather(model: WaitingModel, isSorted: boolean, key: string, to: string): Promise<Waiter[]> {
    const { prng } = this;
    const waiters: Waiter[] = [];
    const free = [...this.pool];
    const count = prng.between(WAITERS_MIN, WAITERS_MAX);
    for (let id = 0; id < count; id++) {
      const client = free.splice(prng.below(free.length), 1)[0] as PoolClient;
      const isBehind = !isSorted && prng.chance(0.2);
      if (isBehind) this.chained++;
      const planned = isSorted ? this.planSorted(id, key) : this.planList(id, isBehind ? to : key, isBehind ? undefined : to);
      const reply = client.connection.call(...planned.command);
      reply.catch(() => undefined);
      waiters.push({ ...planned, client, reply, isGone: false });
      model.arrive(planned.plan);
      await this.waitForBlocked(waiters.length, 'one more waits');
    }
    return waiters;
  }

  /** The queue's key among others on which nothing happens. */
  private amongIdle(key: string): string[] {
    const keys = Array.from({ length: this.prng.below(3) }, (_, index) => keyInPart(`idle:${index}`, this.prng.below(PARTS), PARTS));
    keys.splice(this.prng.below(keys.length + 1), 0, key);
    return keys;
  }

  private planList(id: number, key: string, to: string | undefined): Pick<Waiter, 'plan' | 'command' | 'form'> {
    const { prng } = this;
    const timeout = prng.pick(TIMEOUTS_SEC);
    const end: End = prng.pick(['LEFT', 'RIGHT']);
    const toEnd: End = prng.pick(['LEFT', 'RIGHT']);
    const only = ({ elements }: Served): Reply => (elements[0] as Element).name;
    const choice = prng.below(to === undefined ? 3 : 5);
    if (choice === 4) {
      const plan: WaiterPlan = { id, keys: [key], end: 'RIGHT', count: 1, to: { key: to as string, end: 'LEFT' } };
      return { plan, command: ['BRPOPLPUSH', key, to as string, timeout], form: only };
    }
    if (choice === 3) {
      const plan: WaiterPlan = { id, keys: [key], end, count: 1, to: { key: to as string, end: toEnd } };
      return { plan, command: ['BLMOVE', key, to as string, end, toEnd, timeout], form: only };
    }
    const keys = this.amongIdle(key);
    if (choice === 2) {
      const count = prng.between(1, 3);
      const form = (served: Served): Reply => [served.key, served.elements.map((element) => element.name)];
      return { plan: { id, keys, end, count }, command: ['BLMPOP', timeout, keys.length, ...keys, end, 'COUNT', count], form };
    }
    const form = (served: Served): Reply => [served.key, (served.elements[0] as Element).name];
    return { plan: { id, keys, end, count: 1 }, command: [end === 'LEFT' ? 'BLPOP' : 'BRPOP', ...keys, timeout], form };
  }

  private planSorted(id: number, key: string): Pick<Waiter, 'plan' | 'command' | 'form'> {
    const { prng } = this;
    const timeout = prng.pick(TIMEOUTS_SEC);
    const end: End = prng.pick(['LEFT', 'RIGHT']);
    const keys = this.amongIdle(key);
    if (prng.chance(0.4)) {
      const count = prng.between(1, 3);
      const form = ({ key: from, elements }: Served): Reply => [from, elements.map(({ name, score }) => [name, String(score)])];
      const which = end === 'LEFT' ? 'MIN' : 'MAX';
      return { plan: { id, keys, end, count }, command: ['BZMPOP', timeout, keys.length, ...keys, which, 'COUNT', count], form };
    }
    const form = ({ key: from, elements: [first] }: Served): Reply => [from, first?.name ?? '', String(first?.score)];
    return { plan: { id, keys, end, count: 1 }, command: [end === 'LEFT' ? 'BZPOPMIN' : 'BZPOPMAX', ...keys, timeout], form };
  }

  /** Some waiters go away before anything is pushed. */
  private async sendAway(model: WaitingModel, waiters: Waiter[]): Promise<void> {
    const { prng } = this;
    for (const waiter of waiters) {
      if (!prng.chance(0.2)) continue;
      const { connection, id } = waiter.client;
      const way = prng.below(4);
      if (way === 0) connection.destroy();
      else if (way === 1) await this.admin.must('CLIENT', 'KILL', 'ID', id);
      else await this.admin.must('CLIENT', 'UNBLOCK', id, way === 2 ? 'TIMEOUT' : 'ERROR');
      waiter.isGone = true;
      model.leave(waiter.plan.id);
      this.gone++;
      if (way >= 2) {
        const reply = await waiter.reply;
        const isRight = way === 2 ? reply === null : reply instanceof ReplyError && reply.text.startsWith('UNBLOCKED');
        if (!isRight) this.violations.add(`CLIENT UNBLOCK of ${waiter.command.join(' ')} brought ${show(reply)}`);
      }
    }
    await this.waitForBlocked(model.waiting.length, 'some have gone');
  }

  private newElements(count: number): Element[] {
    return Array.from({ length: count }, () => {
      const index = this.elements++;
      // Scores of a round are all different, and their order has nothing to do with that of creation.
      return { name: `e${index}`, score: (index * 7919) % 10007 };
    });
  }

  /** One creation of elements with a look at the length behind it, compared with what the model says. */
  private async push(model: WaitingModel, key: string, isSorted: boolean): Promise<void> {
    const { prng } = this;
    const pusher = prng.pick(this.pushers);
    const elements = this.newElements(prng.between(1, 3));
    const commands = isSorted ? this.createSorted(model, key, elements) : this.createList(model, key, elements);
    model.serve();
    const length: Command = [isSorted ? 'ZCARD' : 'LLEN', key];
    const replies = await pusher.batch([...commands, length]);
    const fault = replies.find((reply) => reply instanceof ReplyError);
    if (fault !== undefined) this.violations.add(`round ${this.round}: ${show(commands as Reply)} answered ${show(replies)}`);
    const seen = replies[replies.length - 1];
    if (seen === model.lengthOf(key)) return;
    this.violations.add(
      `round ${this.round}: behind ${show(commands as Reply)} the length is ${show(seen)} instead of ${model.lengthOf(key)}`,
    );
  }

  private createList(model: WaitingModel, key: string, elements: Element[]): Command[] {
    const { prng } = this;
    const names = elements.map((element) => element.name);
    const spare = keyInPart(`spare:${this.round}`, prng.below(PARTS), PARTS);
    const fill: Command = ['RPUSH', spare, ...names];
    const end: End = prng.pick(['LEFT', 'RIGHT']);
    const push: Command = [end === 'LEFT' ? 'LPUSH' : 'RPUSH', key, ...names];
    const create = (...commands: Command[]): Command[] => {
      model.replace(key, elements);
      return [fill, ...commands];
    };
    switch (prng.below(11)) {
      case 0:
        return create(['RENAME', spare, key]);
      case 1:
        return create(['COPY', spare, key, 'REPLACE'], ['DEL', spare]);
      case 2:
        return create(['SORT', spare, 'BY', 'nosort', 'STORE', key], ['DEL', spare]);
      case 3:
        model.push(key, end, elements.slice(0, 1));
        return [fill, ['LMOVE', spare, key, 'LEFT', end], ['DEL', spare]];
      case 4: {
        if (model.lengthOf(key) > 0) break;
        const [first, ...others] = create(['MOVE', key, 0], ['SELECT', 0]);
        return [['SELECT', 1], ['RPUSH', key, ...(first as Command).slice(2)], ...others];
      }
      case 5:
      case 6: {
        // In a transaction: waiters are served behind it, so a pop in it comes before them.
        const more = this.newElements(1);
        model.push(key, end, elements);
        model.push(key, 'RIGHT', more);
        const pops: Command[] = prng.chance(0.5) ? [['LPOP', key]] : [];
        if (pops.length > 0) model.pop(key, 'LEFT');
        return [['MULTI'], push, ['RPUSH', key, ...more.map((element) => element.name)], ...pops, ['EXEC']];
      }
      case 7: {
        // A pop that is already behind the push in the same write, and yet comes after the waiters.
        model.push(key, end, elements);
        model.serve();
        model.pop(key, 'LEFT');
        return [push, ['LPOP', key]];
      }
      default:
    }
    model.push(key, end, elements);
    return [push];
  }

  private createSorted(model: WaitingModel, key: string, elements: Element[]): Command[] {
    const { prng } = this;
    const pairs = elements.flatMap(({ name, score }) => [String(score), name]);
    const spare = keyInPart(`spare:${this.round}`, prng.below(PARTS), PARTS);
    const fill: Command = ['ZADD', spare, ...pairs];
    const create = (...commands: Command[]): Command[] => {
      model.replace(key, elements);
      return [fill, ...commands];
    };
    switch (prng.below(8)) {
      case 0:
        return create(['RENAME', spare, key]);
      case 1:
        return create(['ZUNIONSTORE', key, 1, spare], ['DEL', spare]);
      case 2:
        return create(['ZRANGESTORE', key, spare, 0, -1], ['DEL', spare]);
      case 3:
        model.push(key, 'RIGHT', elements);
        return [['MULTI'], ['ZADD', key, ...pairs], ['PING'], ['EXEC']];
      case 4: {
        const [element] = elements as [Element];
        model.push(key, 'RIGHT', [element]);
        return [['ZINCRBY', key, element.score, element.name]];
      }
      default:
        model.push(key, 'RIGHT', elements);
        return [['ZADD', key, ...pairs]];
    }
  }

  /** Each waiter has what the model says; those with nothing are still waiting, and are let go. */
  private async compare(model: WaitingModel, waiters: readonly Waiter[]): Promise<void> {
    const late = new Error('late');
    for (const { plan, client, command, form, reply, isGone } of waiters) {
      if (isGone) continue;
      const served = model.served.get(plan.id);
      if (served === undefined) continue;
      this.served++;
      const came = await Promise.race([reply, sleep(SERVED_MS_MAX, undefined, { ref: false }).then(() => late)]).catch((error: Error) => error);
      const wanted = show(form(served));
      if (!(came instanceof Error) && show(came) === wanted) continue;
      const what = came instanceof Error ? came.message : show(came);
      this.violations.add(`round ${this.round}: waiter ${plan.id}, ${command.join(' ')}, got ${what} instead of ${wanted}`);
      client.connection.destroy();
    }
    for (const { plan, client, command, reply, isGone } of waiters) {
      if (isGone || model.served.has(plan.id)) continue;
      await this.admin.must('CLIENT', 'UNBLOCK', client.id);
      const came = await reply;
      if (came === null) continue;
      this.violations.add(`round ${this.round}: waiter ${plan.id}, ${command.join(' ')}, got ${show(came)} instead of nothing`);
    }
    await this.waitForBlocked(0, 'all are back');
  }
}

/** Runs the rounds. Stops at the first one that goes wrong: what follows it would say little. */
export async function proveBlockingOrder(options: BlockingOrderOptions): Promise<ProofResult> {
  const violations = new Violations();
  const startedAt = performance.now();
  const rounds = new Rounds(options, violations);
  await rounds.open();
  let done = 0;
  try {
    while (done < options.rounds && violations.count === 0) {
      await rounds.runRound();
      done++;
    }
  } catch (error) {
    violations.add(error instanceof Error ? error.message : String(error));
  } finally {
    rounds.close();
  }
  const { served, gone, chained } = rounds;
  const seconds = (performance.now() - startedAt) / 1000;
  return violations.result('blocking order', options.seed, { rounds: done, served, gone, chained, seconds });
}
