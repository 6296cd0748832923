/**
 * Fills lists, hashes, sets, sorted sets and streams, asks whether a server has a command at all, and waits for a server
 * to come to rest.
 *
 * Elements travel in commands of a hundred, so that a fill costs a tenth of what single commands would. Both servers get
 * the same elements in the same order: any difference in time or memory is theirs.
 */
import type { RunningServer } from '../../test/support/oracle.js';
import { ask, encode, load } from './loader.js';
import { cpuTimeUs } from './process-facts.js';

/** Elements in one command of a fill. */
const ELEMENTS_PER_COMMAND = 100;
/** A server rests when it spent at most two ticks of processor time in so many milliseconds. */
const REST_WINDOW_MS = 150;
const REST_CPU_US_MAX = 20_000;
const REST_PATIENCE_MS = 60_000;

/** A collection to make. */
export interface Collection {
  /** What adds elements: RPUSH, SADD, HSET, ZADD, PFADD. */
  command: string;
  key: string;
  count: number;
  /** The words that add element number `index`: member, or field and value, or score and member. */
  element: (index: number) => readonly string[];
}

/** Adds a collection's elements to a key, which need not be absent. */
export async function fillCollection(port: number, collection: Collection): Promise<void> {
  const { command, key, count, element } = collection;
  const commands = Math.ceil(count / ELEMENTS_PER_COMMAND);
  const build = (number: number): string => {
    const first = number * ELEMENTS_PER_COMMAND;
    const size = Math.min(ELEMENTS_PER_COMMAND, count - first);
    return encode(command, key, ...Array.from({ length: size }, (_, at) => element(first + at)).flat());
  };
  await load(port, commands, build, { replyLines: 1 });
}

/** A number as redis-benchmark writes it into keys and elements: twelve digits. */
export function twelveDigits(index: number): string {
  return String(index).padStart(12, '0');
}

/**
 * Number `index` of a fixed order that looks random, each of 0 … count - 1 once if `count` is no multiple of the
 * prime. Sorted sets filled in the order of their scores would meet only their best case.
 */
export function scatter(index: number, count: number): number {
  return (index * 7_368_787) % count;
}

/** Those of the commands, or of the subcommands such as "CLIENT TRACKING", that a server does not know. */
export async function missingCommands(port: number, names: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const name of new Set(names)) {
    // The bare name: whoever knows the command finds arguments missing, or is harmless (PING).
    const complaint = await ask(port, ...name.split(' ')).then(
      () => '',
      (error: Error) => error.message,
    );
    if (/unknown (sub)?command/i.test(complaint)) missing.push(name);
  }
  return missing;
}

/** Waits until a server has nothing left to do, so that freeing or rehashing of before is not counted as work of now. */
export async function waitForRest(server: RunningServer): Promise<void> {
  const giveUpAt = performance.now() + REST_PATIENCE_MS;
  let before = cpuTimeUs(server.pid);
  while (performance.now() < giveUpAt) {
    await new Promise((resolve) => setTimeout(resolve, REST_WINDOW_MS));
    const now = cpuTimeUs(server.pid);
    if (now - before <= REST_CPU_US_MAX) return;
    before = now;
  }
  throw new Error(`${server.name} is still busy after ${REST_PATIENCE_MS} ms without clients`);
}
