/**
 * Proof 5, blocking: a hundred producers and consumers, kills, timeouts and CLIENT UNBLOCK; each element arrives exactly
 * once. Order of arrival is blocking-order.ts's, conservation under BLMOVE is blocking-tokens.ts's.
 *
 * An element whose reply was under way when its consumer was killed may go down with it, in Redis too, and nobody can
 * tell afterwards. So consumers work in lanes that are told apart by what may be lost:
 *   popped   consumers pop from lists; they time out and are unblocked, never killed: nothing may be lost;
 *   scored   the same with sorted sets;
 *   moved    consumers move elements (BLMOVE, BRPOPLPUSH) to lists of their own and are killed: an element is in the queue
 *            or in such a list, whatever happens to its consumer: nothing may be lost;
 *   racing   consumers pop and are killed: at most what the commands under way at kills could take may be missing.
 * Nothing may arrive twice anywhere. While consumers wait, nothing may stay in a queue: that would be a lost wake-up.
 * Kills are a socket destroyed, CLIENT KILL ID, CLIENT KILL ADDR; after CLIENT KILL what had been sent is still read.
 * With `isCareless` producers push some elements twice and drop some: both must be found.
 */
import { Prng, deriveSeed } from '../differential/prng.js';
import { Connection, ConnectionClosed, ReplyError, show, type Command, type Reply } from './connection.js';
import { ElementLedger } from './element-ledger.js';
import { Violations, keyInPart, sleep, waitFor, type ProofOptions, type ProofResult } from './proof.js';

/** Sizes of a run. */
export interface BlockingOptions extends ProofOptions {
  /** Elements in all. */
  elements: number;
  isCareless?: boolean;
}

const PRODUCERS = 50;
/** The lanes with how many of the fifty consumers each has; queues of every lane lie in all parts. */
const LANES = [
  { name: 'popped', consumers: 14, isKilled: false },
  { name: 'scored', consumers: 12, isKilled: false },
  { name: 'moved', consumers: 12, isKilled: true },
  { name: 'racing', consumers: 12, isKilled: true },
] as const;
type Lane = (typeof LANES)[number];

const QUEUES = 4;
const PARTS = 8;
const TIMEOUT_SEC_MAX = 0.05;
/** How much earlier than asked a timeout may come: clocks of the server are whole milliseconds. */
const TIMEOUT_SLACK_MS = 3;
/** Producers' databases for MOVE are 1 to 15. */
const DATABASES = 16;

const queuesOf = (lane: Lane): string[] =>
  Array.from({ length: QUEUES }, (_, index) => keyInPart(`${lane.name}:${index}`, 2 * index + (lane.name.length % 2), PARTS));
const laneQueues = new Map(LANES.map((lane) => [lane.name, queuesOf(lane)]));
const keepKey = (index: number): string => keyInPart(`kept:${index}`, index, PARTS);

// ---- Consumers ----

/** A blocking command, how many elements it may take, and when it must be back. */
interface Wait {
  command: Command;
  capacity: number;
  timeoutSec: number;
}

class Consumer {
  received = 0;
  timeouts = 0;
  connection: Connection | undefined;
  clientId = 0;
  /** What the connection waits for now. */
  wait: Wait | undefined;
  /** CLIENT UNBLOCKs under way, and when the last was answered: a null or an UNBLOCKED error may then come early. */
  private unblocksUnderWay = 0;
  private unblockedAt = -Infinity;
  /** Set by who kills it: the end of the connection is then no fault. */
  wasKilled = false;

  readonly lane: Lane;
  private readonly index: number;
  private readonly prng: Prng;
  private readonly run: Run;

  constructor(run: Run, lane: Lane, index: number) {
    this.run = run;
    this.lane = lane;
    this.index = index;
    this.prng = new Prng(deriveSeed(run.seed, 1000 + index));
  }

  /** Sends CLIENT UNBLOCK for it. It may hit a later command than the one that it was meant for. */
  async unblock(admin: Connection, how: string): Promise<number> {
    this.unblocksUnderWay++;
    const count = Number(await admin.must('CLIENT', 'UNBLOCK', this.clientId, how));
    this.unblocksUnderWay--;
    this.unblockedAt = performance.now();
    return count;
  }

  async work(): Promise<void> {
    while (!this.run.isOver) {
      try {
        await this.waitOnce();
      } catch (error) {
        if (!(error instanceof ConnectionClosed)) throw error;
        if (!this.wasKilled) this.run.violations.add(`a consumer of ${this.lane.name} lost its connection: ${error.message}`);
        // Whatever the command could take may be lost with it, unless it moves elements instead of bringing them.
        if (this.wait !== undefined && this.lane.name !== 'moved') this.run.ledger.mayLose(this.lane.name, this.wait.capacity);
        this.connection = undefined;
      }
      this.wait = undefined;
    }
    this.connection?.destroy();
  }

  private async waitOnce(): Promise<void> {
    if (this.connection === undefined) {
      this.wasKilled = false;
      const connection = await Connection.open(this.run.port, { blocks: true });
      this.clientId = Number(await connection.must('CLIENT', 'ID'));
      this.connection = connection;
    }
    const wait = this.nextWait();
    const sentAt = performance.now();
    this.wait = wait;
    this.take(wait, await this.connection.call(...wait.command), sentAt);
  }

  private nextWait(): Wait {
    const { prng, lane } = this;
    const all = laneQueues.get(lane.name) as string[];
    const first = prng.below(QUEUES);
    const queues = Array.from({ length: prng.between(1, QUEUES) }, (_, at) => all[(first + at) % QUEUES] as string);
    const timeoutSec = prng.chance(0.2) ? 0 : prng.between(1, TIMEOUT_SEC_MAX * 1000) / 1000;
    const capacity = prng.between(1, 3);
    const many = ['COUNT', capacity];
    const one = (command: Command): Wait => ({ command, capacity: 1, timeoutSec });
    const several = (command: Command): Wait => ({ command, capacity, timeoutSec });
    const end = prng.pick(['LEFT', 'RIGHT']);
    const source = queues[0] as string;
    if (lane.name === 'moved') {
      const keep = keepKey(this.index);
      return one(prng.chance(0.5) ? ['BRPOPLPUSH', source, keep, timeoutSec] : ['BLMOVE', source, keep, end, end, timeoutSec]);
    }
    const choice = prng.below(3);
    if (lane.name === 'scored') {
      if (choice < 2) return one([choice === 0 ? 'BZPOPMIN' : 'BZPOPMAX', ...queues, timeoutSec]);
      return several(['BZMPOP', timeoutSec, queues.length, ...queues, prng.pick(['MIN', 'MAX']), ...many]);
    }
    if (choice < 2) return one([choice === 0 ? 'BLPOP' : 'BRPOP', ...queues, timeoutSec]);
    return several(['BLMPOP', timeoutSec, queues.length, ...queues, end, ...many]);
  }

  /** Notes what a command brought. Moved elements are counted where they lie, at the end. */
  private take(wait: Wait, reply: Reply, sentAt: number): void {
    const { run, lane } = this;
    const wasUnblocked = this.unblocksUnderWay > 0 || this.unblockedAt >= sentAt;
    if (reply === null || (reply instanceof ReplyError && reply.text.startsWith('UNBLOCKED') && wasUnblocked)) {
      this.timeouts++;
      const elapsedMs = performance.now() - sentAt;
      const isEarly = wait.timeoutSec === 0 || elapsedMs < wait.timeoutSec * 1000 - TIMEOUT_SLACK_MS;
      if (isEarly && !wasUnblocked) run.violations.add(`${wait.command.join(' ')} gave up after ${elapsedMs} ms`);
      return;
    }
    const name = String(wait.command[0]);
    let elements: string[] | undefined;
    if (typeof reply === 'string' && lane.name === 'moved') elements = [reply];
    else if (Array.isArray(reply) && Array.isArray(reply[1])) elements = reply[1].map((one) => String(Array.isArray(one) ? one[0] : one));
    else if (Array.isArray(reply)) elements = [String(reply[1])];
    if (elements === undefined || elements.length === 0 || elements.length > wait.capacity) {
      run.violations.add(`${name} answered ${show(reply)}`);
      return;
    }
    this.received += elements.length;
    for (const element of elements) {
      if (lane.name === 'moved') run.ledger.noteMoved(element, keepKey(this.index));
      else run.ledger.receive(element, `${name} of ${lane.name}`);
    }
  }
}

// ---- Producers ----

/** Pushes a few elements in one of many ways; each waits until the elements are in the queue, or repeats. */
class Producer {
  private readonly connection: Connection;
  private readonly prng: Prng;
  private readonly index: number;
  private readonly run: Run;
  private readonly database: number;
  private count = 0;

  constructor(run: Run, index: number, connection: Connection) {
    this.run = run;
    this.index = index;
    this.connection = connection;
    this.prng = new Prng(deriveSeed(run.seed, index));
    this.database = 1 + index;
  }

  async work(elements: number): Promise<void> {
    while (this.count < elements && !this.run.isOver) {
      const lane = this.prng.pick(LANES);
      const queue = this.prng.pick(laneQueues.get(lane.name) as string[]);
      const names = Array.from({ length: this.prng.between(1, 3) }, () => `e-${this.index}-${this.count++}`);
      for (const name of names) this.run.ledger.push(name, lane.name);
      if (this.run.isCareless && this.prng.chance(0.04)) names.push(names[0] as string);
      else if (this.run.isCareless && this.prng.chance(0.04)) names.pop();
      if (names.length > 0) await (lane.name === 'scored' ? this.addScored(queue, names) : this.pushToList(queue, names, lane));
      if (this.prng.chance(0.5)) await sleep(this.prng.below(4));
    }
  }

  private async must(...commands: Command[]): Promise<Reply> {
    const replies = await this.connection.batch(commands);
    const fault = replies.find((reply) => reply instanceof ReplyError);
    if (fault !== undefined) this.run.violations.add(`a producer's ${show(commands as Reply)} answered ${show(replies)}`);
    return replies[replies.length - 1] as Reply;
  }

  /** Repeats a command that refuses to overwrite, until the queue is gone. */
  private async untilDone(command: Command, before: Command[], after: Command[]): Promise<void> {
    while (!this.run.isOver) {
      const replies = await this.connection.batch([...before, command, ...after]);
      if (Number(replies[before.length]) === 1) return;
      if (replies.some((reply) => reply instanceof ReplyError)) {
        this.run.violations.add(`${command.join(' ')} answered ${show(replies)}`);
        return;
      }
      await sleep(1);
    }
  }

  private async pushToList(queue: string, names: string[], lane: Lane): Promise<void> {
    const { prng } = this;
    const push: Command = [prng.pick(['LPUSH', 'RPUSH']), queue, ...names];
    const spare = keyInPart(`spare:${this.index}`, prng.below(PARTS), PARTS);
    const fill: Command = ['RPUSH', spare, ...names];
    switch (prng.below(8)) {
      case 0:
        // One transaction on several queues.
        await this.must(['MULTI'], ...names.map((name): Command => ['RPUSH', prng.pick(laneQueues.get(lane.name) as string[]), name]), ['EXEC']);
        break;
      case 1:
        await this.must(fill);
        await this.untilDone(['RENAMENX', spare, queue], [], []);
        break;
      case 2:
        await this.must(fill);
        await this.untilDone(['COPY', spare, queue], [], []);
        await this.must(['DEL', spare]);
        break;
      case 3:
        await this.must(fill);
        await this.must(...names.map((): Command => ['LMOVE', spare, queue, 'LEFT', 'RIGHT']));
        break;
      case 4:
        if (this.database >= DATABASES) return void (await this.must(push));
        await this.must(['SELECT', this.database], ['RPUSH', queue, ...names]);
        await this.untilDone(['MOVE', queue, 0], [], []);
        await this.must(['SELECT', 0]);
        break;
      default:
        await this.must(push);
    }
  }

  private async addScored(queue: string, names: string[]): Promise<void> {
    const { prng } = this;
    const pairs = names.flatMap((name) => [prng.below(100), name]);
    const spare = keyInPart(`scored-spare:${this.index}`, prng.below(PARTS), PARTS);
    switch (prng.below(5)) {
      case 0:
        await this.must(['ZADD', spare, ...pairs]);
        await this.untilDone(['RENAMENX', spare, queue], [], []);
        break;
      case 1:
        await this.must(['MULTI'], ['ZADD', queue, ...pairs], ['PING'], ['EXEC']);
        break;
      case 2:
        await this.must(...names.map((name): Command => ['ZINCRBY', queue, prng.below(100), name]));
        break;
      default:
        await this.must(['ZADD', queue, ...pairs]);
    }
  }
}

// ---- The run ----

interface Run {
  port: number;
  seed: number;
  isOver: boolean;
  isCareless: boolean;
  ledger: ElementLedger;
  violations: Violations;
}

/** Kills and unblocks consumers until the run is over; answers with how often. */
async function disturb(run: Run, consumers: readonly Consumer[]): Promise<{ kills: number; unblocks: number }> {
  const prng = new Prng(deriveSeed(run.seed, 5000));
  const admin = await Connection.open(run.port);
  let kills = 0;
  let unblocks = 0;
  while (!run.isOver) {
    const victim = prng.pick(consumers);
    const connection = victim.connection;
    const isKill = victim.lane.isKilled && prng.chance(0.7);
    if (connection === undefined || victim.wasKilled || victim.wait === undefined) {
      await sleep(0);
    } else if (isKill) {
      kills++;
      victim.wasKilled = true;
      const way = prng.below(3);
      if (way === 0) connection.destroy();
      else await admin.call('CLIENT', 'KILL', ...(way === 1 ? ['ID', victim.clientId] : ['ADDR', connection.address]));
    } else {
      unblocks += await victim.unblock(admin, prng.pick(['TIMEOUT', 'ERROR']));
    }
    await sleep(prng.below(3));
  }
  admin.destroy();
  return { kills, unblocks };
}

/** Waits until consumers have emptied all queues. What stays is a wake-up that was lost. */
async function waitUntilEmpty(admin: Connection, violations: Violations): Promise<void> {
  const queues = [...laneQueues].flatMap(([lane, keys]) => keys.map((key): Command => [lane === 'scored' ? 'ZCARD' : 'LLEN', key]));
  let lengths: Reply[] = [];
  const isEmpty = async (): Promise<boolean> => (lengths = await admin.batch(queues)).every((length) => length === 0);
  await waitFor('empty queues', isEmpty).catch(() => violations.add(`consumers wait, and queues hold ${show(lengths)}`));
}

/** Runs producers, consumers and their disturber, and settles the account. */
export async function proveBlocking(options: BlockingOptions): Promise<ProofResult> {
  const { port, seed, elements, isCareless = false } = options;
  const violations = new Violations();
  const run: Run = { port, seed, isOver: false, isCareless, ledger: new ElementLedger(), violations };
  const startedAt = performance.now();
  const admin = await Connection.open(port);
  await admin.must('FLUSHALL');
  const producers = await Promise.all(
    Array.from({ length: PRODUCERS }, async (_, index) => new Producer(run, index, await Connection.open(port))),
  );
  const lanes = LANES.flatMap((lane) => new Array<Lane>(lane.consumers).fill(lane));
  const consumers = lanes.map((lane, index) => new Consumer(run, lane, index));
  const consuming = Promise.all(consumers.map((consumer) => consumer.work()));
  const disturbing = disturb(run, consumers);
  const producing = Promise.all(producers.map((producer) => producer.work(Math.ceil(elements / PRODUCERS))));
  await Promise.race([producing, consuming]);
  await producing;
  await waitUntilEmpty(admin, violations);
  run.isOver = true;
  const { kills, unblocks } = await disturbing;
  // Those that wait without a timeout.
  const isAwake = consuming.then(() => true);
  while (!(await Promise.race([isAwake, sleep(20).then(() => false)]))) {
    for (const consumer of consumers) {
      if (consumer.connection?.isWaiting === true) await consumer.unblock(admin, 'TIMEOUT');
    }
  }
  for (const index of consumers.keys()) {
    run.ledger.keep(keepKey(index), ((await admin.must('LRANGE', keepKey(index), 0, -1)) as Reply[]).map(String));
  }
  for (const fault of run.ledger.settle()) violations.add(fault);
  admin.destroy();
  const sum = (count: (consumer: Consumer) => number): number => consumers.reduce((total, one) => total + count(one), 0);
  return violations.result('blocking', seed, {
    elements: run.ledger.pushed,
    received: sum((consumer) => consumer.received),
    lostWithConsumers: run.ledger.lost,
    timeouts: sum((consumer) => consumer.timeouts),
    kills,
    unblocks,
    seconds: (performance.now() - startedAt) / 1000,
  });
}
