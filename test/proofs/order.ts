/**
 * Proof 3, order: what a pipeline stores before it announces it is there for whoever hears the announcement (R3).
 *
 * Producers pipeline a payload and then its number on a queue; payload and queue lie on different shards. Consumers
 * pop the number, blocking, and read the payload, over the same connection or over another one, which may belong to
 * another worker. A second form has the consumer pipeline BLPOP and GET, so that the GET is already waiting behind the
 * blocked command when the announcement comes: it must not be answered from before.
 *
 * Each number arrives exactly once. With `isReversed` producers announce first and store when that has been answered (one
 * thread would run a reversed pipeline to its end before anybody hears of it): violations must be found.
 */
import { Prng, deriveSeed } from '../differential/prng.js';
import { Connection, openAll, show, type Command, type Reply } from './connection.js';
import { Violations, keyInPart, type ProofOptions, type ProofResult } from './proof.js';

/** Sizes of a run. */
export interface OrderOptions extends ProofOptions {
  /** Announcements in all. */
  messages: number;
  isReversed?: boolean;
}

const PRODUCERS = 4;
const CONSUMERS = 8;
/** Lanes of the second form, each a producer and a consumer. */
const LANES = 4;
const QUEUES = 4;
const PARTS = 8;
const PAIRS_MAX = 20;
const BLOCK_SEC = '0.2';

const QUEUE_KEYS = Array.from({ length: QUEUES }, (_, index) => keyInPart(`queue:${index}`, 2 * index, PARTS));

const payloadKey = (id: string): string => `payload:${id}`;
const payloadOf = (id: string): string => `content of ${id}`;

/** Commands that store the payload of a number in one of several ways. All of them are read by GET. */
function storing(prng: Prng, id: string): Command {
  const key = payloadKey(id);
  const value = payloadOf(id);
  return prng.pick<Command>([
    ['SET', key, value],
    ['SET', key, value, 'EX', 1000],
    ['APPEND', key, value],
    ['MSET', `also:${id}`, value, key, value],
  ]);
}

/** What is wrong with the numbers that came, given those announced. */
export function checkOnce(announced: ReadonlySet<string>, came: readonly string[]): string[] {
  const seen = new Set<string>();
  const faults: string[] = [];
  for (const id of came) {
    if (seen.has(id)) faults.push(`${id} came twice`);
    if (!announced.has(id)) faults.push(`${id} came and was never announced`);
    seen.add(id);
  }
  for (const id of announced) if (!seen.has(id)) faults.push(`${id} never came`);
  return faults;
}

/** What is wrong with the payload read for a number. */
export function checkPayload(id: string, payload: Reply): string | undefined {
  return payload === payloadOf(id) ? undefined : `${id} was announced, and its payload is ${show(payload)}`;
}

/** Sends each store before its announcement, all in one write; or the wrong way round. */
async function storeAndAnnounce(
  connection: Connection,
  stores: Command[],
  announcements: Command[],
  isReversed: boolean,
): Promise<void> {
  if (isReversed) {
    await connection.batch(announcements);
    await connection.batch(stores);
  } else {
    await connection.batch(stores.flatMap((store, index) => [store, announcements[index] as Command]));
  }
}

/** Announces `count` numbers; answers with them. */
async function produce(
  port: number,
  index: number,
  count: number,
  { seed, isReversed }: { seed: number; isReversed: boolean },
): Promise<string[]> {
  const connection = await Connection.open(port);
  const prng = new Prng(deriveSeed(seed, index));
  const ids: string[] = [];
  while (ids.length < count) {
    const stores: Command[] = [];
    const announcements: Command[] = [];
    for (let pairs = Math.min(prng.between(1, PAIRS_MAX), count - ids.length); pairs > 0; pairs--) {
      const id = `${index}-${ids.length}`;
      ids.push(id);
      stores.push(storing(prng, id));
      announcements.push([prng.pick(['LPUSH', 'RPUSH']), prng.pick(QUEUE_KEYS), id]);
    }
    await storeAndAnnounce(connection, stores, announcements, isReversed);
  }
  connection.destroy();
  return ids;
}

/** Pops until told to stop and nothing is left; answers with the numbers that came. */
async function consume(port: number, index: number, isOver: () => boolean, violations: Violations): Promise<string[]> {
  const [popper, other] = (await openAll(port, 2)) as [Connection, Connection];
  const reader = index % 2 === 0 ? popper : other;
  const ids: string[] = [];
  for (;;) {
    const wasOver = isOver();
    const popped = await popper.call(index % 3 === 0 ? 'BRPOP' : 'BLPOP', ...QUEUE_KEYS, BLOCK_SEC);
    if (popped === null && wasOver) break;
    if (popped === null) continue;
    const id = Array.isArray(popped) ? String(popped[1]) : show(popped);
    ids.push(id);
    const [payload] = await reader.batch([['GET', payloadKey(id)], ['DEL', payloadKey(id), `also:${id}`]]);
    violations.add(checkPayload(id, payload as Reply));
  }
  popper.destroy();
  other.destroy();
  return ids;
}

/** The second form: numbers that grow, stored in one place; the GET waits behind the BLPOP. */
async function proveLane(
  port: number,
  lane: number,
  count: number,
  { isReversed, violations }: { isReversed: boolean; violations: Violations },
): Promise<void> {
  const [producer, consumer] = (await openAll(port, 2)) as [Connection, Connection];
  const queue = keyInPart(`lane:${lane}:queue`, lane, PARTS);
  const store = keyInPart(`lane:${lane}:store`, lane + 3, PARTS);
  const producing = async (): Promise<void> => {
    for (let value = 1; value <= count; value++) {
      await storeAndAnnounce(producer, [['SET', store, value]], [['RPUSH', queue, value]], isReversed);
    }
  };
  const consuming = async (): Promise<void> => {
    for (let value = 1; value <= count; value++) {
      const [popped, stored] = await consumer.batch([['BLPOP', queue, 20], ['GET', store]]);
      const came = Array.isArray(popped) ? Number(popped[1]) : NaN;
      if (came !== value) violations.add(`lane ${lane}: ${value} was due and ${show(popped)} came`);
      if (!(Number(stored) >= came)) violations.add(`lane ${lane}: ${came} came, and ${show(stored)} was stored`);
    }
  };
  await Promise.all([producing(), consuming()]);
  producer.destroy();
  consumer.destroy();
}

/** Runs producers, consumers and lanes. */
export async function proveOrder({ port, seed, messages, isReversed = false }: OrderOptions): Promise<ProofResult> {
  const violations = new Violations();
  const startedAt = performance.now();
  const setup = await Connection.open(port);
  await setup.must('FLUSHALL');
  let isOver = false;
  const laneMessages = Math.ceil(messages / 8 / LANES);
  const lanes = Array.from({ length: LANES }, (_, lane) => proveLane(port, lane, laneMessages, { isReversed, violations }));
  const consuming = Promise.all(
    Array.from({ length: CONSUMERS }, (_, index) => consume(port, index, () => isOver, violations)),
  );
  const each = Math.ceil(messages / PRODUCERS);
  const producing = Promise.all(
    Array.from({ length: PRODUCERS }, (_, index) => produce(port, index, each, { seed, isReversed })),
  );
  const announced = new Set((await producing.finally(() => (isOver = true))).flat());
  const came = (await consuming).flat();
  await Promise.all(lanes);
  for (const fault of checkOnce(announced, came)) violations.add(fault);
  setup.destroy();
  const seconds = (performance.now() - startedAt) / 1000;
  return violations.result('order', seed, { messages: came.length, laneMessages: laneMessages * LANES, seconds });
}
