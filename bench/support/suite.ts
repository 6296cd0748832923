/**
 * The default suite of redis-benchmark: its tests, in its order, and what each needs beforehand.
 *
 * redis-benchmark runs its tests one after the other on whatever the ones before have left; here each run starts from a
 * state of its own, the same for both servers and for every repetition:
 * - LPUSH, RPUSH, SADD, HSET, ZADD begin without their key and grow it, as in the suite; with -r, elements
 *   (and the scores of ZADD) are drawn from the keyspace, so that some commands add and some find what is there.
 * - LPOP, RPOP, SPOP, ZPOPMIN begin with as many elements as they will take: every command pops. In the suite the two
 *   latter run dry on the way, and half of their figure is the time of a miss.
 * - LRANGE_… read a list of 100,000 elements, the length they find in the suite. They run as a command given to
 *   redis-benchmark (`LRANGE mylist 0 99`), since `-t lrange_100` would first push a list by itself,
 *   and that would be counted as time of LRANGE.
 */
import { fillCollection, scatter, twelveDigits } from './collections.js';
import { ask } from './loader.js';

/** One test of the suite. */
export interface SuiteTest {
  /** redis-benchmark's name for it, as -t takes it. */
  name: string;
  /** The command it sends. */
  command: string;
  /** Whether -d changes what it sends or what its replies hold. */
  carriesValue: boolean;
  /** Whether it counts in the foundation's geometric mean, which is about strings. */
  isFoundation: boolean;
  /** What to send instead of `-t name`. */
  words?: readonly string[];
  /** Key that belongs to this test alone: absent when a run begins, but for `prepare`. */
  key?: string;
  /** The command with which `prepare` fills the key. */
  fillsBy?: string;
  /** Fills `key` for a run of so many requests. */
  prepare?: (port: number, requests: number, valueBytes: number) => Promise<void>;
}

const LRANGE_LIST_LENGTH = 100_000;

function string(name: string, command: string, carriesValue: boolean): SuiteTest {
  return { name, command, carriesValue, isFoundation: true };
}

function ping(name: string): SuiteTest {
  return { name, command: 'PING', carriesValue: false, isFoundation: false };
}

function grows(name: string, key: string, carriesValue: boolean): SuiteTest {
  return { name, command: name.toUpperCase(), carriesValue, isFoundation: false, key };
}

const fillList = (port: number, count: number, valueBytes: number): Promise<void> =>
  fillCollection(port, { command: 'RPUSH', key: 'mylist', count, element: () => ['x'.repeat(valueBytes)] });

function popsList(name: string): SuiteTest {
  return { ...grows(name, 'mylist', true), fillsBy: 'RPUSH', prepare: fillList };
}

function lrange(count: number): SuiteTest {
  return {
    ...grows(`lrange_${count}`, 'mylist', true),
    command: 'LRANGE',
    fillsBy: 'RPUSH',
    words: ['LRANGE', 'mylist', '0', String(count - 1)],
    prepare: (port, _requests, valueBytes) => fillList(port, LRANGE_LIST_LENGTH, valueBytes),
  };
}

const member = (index: number): string => `element:${twelveDigits(index)}`;

/** All tests, in redis-benchmark's order. */
export const SUITE: readonly SuiteTest[] = [
  ping('ping_inline'),
  ping('ping_mbulk'),
  string('set', 'SET', true),
  string('get', 'GET', true),
  string('incr', 'INCR', false),
  grows('lpush', 'mylist', true),
  grows('rpush', 'mylist', true),
  popsList('lpop'),
  popsList('rpop'),
  grows('sadd', 'myset', false),
  grows('hset', 'myhash', true),
  {
    ...grows('spop', 'myset', false),
    fillsBy: 'SADD',
    prepare: (port, count) =>
      fillCollection(port, { command: 'SADD', key: 'myset', count, element: (index) => [member(index)] }),
  },
  grows('zadd', 'myzset', false),
  {
    ...grows('zpopmin', 'myzset', false),
    fillsBy: 'ZADD',
    prepare: (port, count) => {
      const element = (index: number): string[] => [String(scatter(index, count)), member(index)];
      return fillCollection(port, { command: 'ZADD', key: 'myzset', count, element });
    },
  },
  lrange(100),
  lrange(300),
  lrange(500),
  lrange(600),
  string('mset', 'MSET', true),
];

/** The commands a server must have for a test. */
export function commandsOf(test: SuiteTest): string[] {
  return test.fillsBy === undefined ? [test.command] : [test.command, test.fillsBy];
}

/** Brings a server into the state in which a run of `requests` of this test begins. */
export async function prepareTest(port: number, test: SuiteTest, requests: number, valueBytes: number): Promise<void> {
  if (test.key === undefined) return;
  await ask(port, 'DEL', test.key);
  await test.prepare?.(port, requests, valueBytes);
}
