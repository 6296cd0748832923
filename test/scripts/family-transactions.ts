/**
 * Scripts about MULTI, EXEC, DISCARD, WATCH and UNWATCH: two to four connections write the same few keys, in and out of
 * transactions, some of which are watched; what one queues may fail when it is queued or when it is run.
 *
 * Keys that expire are written and watched in one write and looked at well after their time, so that no script depends
 * on how fast it runs.
 */
import type { Prng } from '../differential/prng.js';
import { anyWrite, choose, other, protocols, several } from './draw.js';
import { send, type Draft, type Line, type Step } from './script.js';

const KEYS = ['a', 'b', 'c', '{t}1', '{t}2', 'k5', 'k6', ''];
const TTL_MS = '30';
const BEHIND_TTL_MS = 50;

const key = (prng: Prng): string => (prng.chance(0.7) ? (KEYS[prng.below(4)] as string) : prng.pick(KEYS));

const write = (prng: Prng): Line => anyWrite(prng, key(prng), key(prng));

/** Commands that fail when they are queued. */
function refused(prng: Prng): Line {
  return prng.pick<Line>([
    ['NOSUCH'],
    ['NOSUCH', 'x', 'y'],
    ['GET'],
    ['SET', 'a'],
    ['MSET', 'a', '1', 'b'],
    ['CLIENT', 'NOSUCH'],
    ['CONFIG', 'NOSUCH', 'x'],
    ['WATCH', 'a'],
    ['WATCH'],
    ['MULTI'],
    ['MULTI', 'x'],
    ['EXEC', 'x'],
    ['DISCARD', 'x'],
    ['EXPIRE', 'a'],
    ['XGROUP', 'CREATE', 'a'],
    ['BLPOP', 'a'],
  ]);
}

/** Commands that would wait outside a transaction: for ever, should they get there, since no moment may matter. */
function waiting(prng: Prng): Line {
  const words = [
    'BLPOP nothing 0', 'BRPOP a b 0', 'BLMOVE nothing a LEFT LEFT 0', 'BRPOPLPUSH a b 0', 'BLMPOP 0 2 a b LEFT',
    'BZPOPMIN nothing 0', 'BZMPOP 0 1 a MAX', 'XREAD BLOCK 0 STREAMS s 0', 'XREAD BLOCK 0 STREAMS a $', 'WAIT 1 0',
  ];
  return prng.pick(words).split(' ');
}

/** Commands of the server and of the connection that a transaction may hold as well. */
function control(prng: Prng): Line {
  const words = [
    'PING', 'PING hello', 'ECHO hi', 'TIME', 'DBSIZE', 'CLIENT ID', 'CLIENT GETNAME', 'CLIENT SETNAME n1', 'CLIENT INFO',
    'CLIENT LIST', 'CLIENT NO-EVICT off', 'CONFIG GET maxmemory-samples', 'CONFIG GET nosuch', 'CONFIG SET lfu-log-factor 10',
    'CONFIG SET lfu-log-factor x', 'CONFIG SET nosuch 1', 'INFO keyspace', 'COMMAND COUNT', 'DEBUG SLEEP 0', 'SELECT 0', 'SELECT 1',
    'SELECT 99', 'SELECT x', 'SWAPDB 0 1', 'SWAPDB 0 99', 'AUTH secret', 'AUTH default whatever', 'HELLO', 'HELLO 2', 'HELLO 3',
    'HELLO 9', 'WAIT 0 0', 'PUBLISH ch hello', 'PUBSUB NUMSUB ch', 'UNWATCH', 'CLIENT UNPAUSE', 'MONITOR',
    'OBJECT REFCOUNT nothing', 'KEYS nothing*', 'TTL a', 'TYPE a', 'CLIENT GETREDIR',
  ];
  return prng.pick(words).split(' ');
}

/** A change behind all keys: nothing that is watched may survive it unnoticed. */
function sweep(prng: Prng): Line {
  return prng.pick(['FLUSHALL', 'FLUSHDB', 'FLUSHALL SYNC', 'FLUSHALL ASYNC', 'SWAPDB 0 1', 'SWAPDB 1 2', 'SWAPDB 0 2']).split(' ');
}

function queueable(prng: Prng): Line {
  return choose<Line>(prng, [
    [14, () => write(prng)],
    [5, () => control(prng)],
    [1, () => waiting(prng)],
    [1, () => refused(prng)],
    [0.5, () => sweep(prng)],
    [0.15, () => ['QUIT']],
    [0.3, () => ['RESET']],
  ]);
}

/** A whole transaction in one write. */
function transaction(prng: Prng): Line[] {
  const end: Line = prng.chance(0.9) ? ['EXEC'] : ['DISCARD'];
  const watch: Line[] = prng.chance(0.3) ? [['WATCH', ...several(prng, 1, 3, () => key(prng))]] : [];
  return [...watch, ['MULTI'], ...several(prng, 0, 6, () => queueable(prng)), end];
}

/** A key that has expired by the time of the EXEC, before or behind the WATCH. */
function expiring(prng: Prng, connection: number, count: number): Step[] {
  const name = key(prng);
  const away = other(prng, connection, count);
  const exec = { ...send(connection, ['MULTI'], ['GET', name], ['INCR', 'n'], ['EXEC']), beforeMs: BEHIND_TTL_MS };
  const birth: Line = prng.chance(0.5) ? ['SET', name, 'v', 'PX', TTL_MS] : ['PSETEX', name, TTL_MS, 'v'];
  return prng.pick<Step[]>([
    [send(connection, birth, ['WATCH', name]), exec],
    [send(connection, birth, ['WATCH', name, 'other']), { ...send(away, ['GET', name]), beforeMs: BEHIND_TTL_MS }, { ...exec, beforeMs: 0 }],
    [send(connection, birth), { ...send(connection, ['WATCH', name]), beforeMs: BEHIND_TTL_MS }, { ...exec, beforeMs: 0 }],
    [send(connection, birth), { ...send(connection, ['WATCH', name]), beforeMs: BEHIND_TTL_MS }, send(away, ['GET', name]), { ...exec, beforeMs: 0 }],
    [send(connection, birth), { ...send(connection, ['WATCH', name]), beforeMs: BEHIND_TTL_MS }, send(away, ['SET', name, 'new']), { ...exec, beforeMs: 0 }],
    [send(connection, ['SET', name, 'v'], ['WATCH', name]), send(away, ['PEXPIRE', name, TTL_MS]), exec],
    [send(connection, ['MULTI'], birth, ['GET', name], ['EXEC']), { ...send(away, ['TYPE', name]), beforeMs: BEHIND_TTL_MS }],
  ]);
}

export function transactions(prng: Prng): Draft {
  const resp = protocols(prng, 2, prng.pick([2, 3, 4]));
  const steps: Step[] = [];
  const isQueueing = resp.map(() => false);
  const end = (connection: number, line: Line): Step => {
    isQueueing[connection] = false;
    return send(connection, line);
  };
  const total = prng.between(15, 50);
  while (steps.length < total) {
    const connection = prng.below(resp.length);
    const begin = (): Step => {
      isQueueing[connection] = true;
      return send(connection, ['MULTI']);
    };
    const anything = (): Step[] => [send(connection, ...several(prng, 1, prng.pick([1, 1, 1, 5]), () => write(prng)))];
    const make = isQueueing[connection]
      ? choose<Step[]>(prng, [
          [12, () => [send(connection, ...several(prng, 1, prng.pick([1, 1, 4]), () => queueable(prng)))]],
          [5, () => [end(connection, ['EXEC'])]],
          [1, () => [end(connection, ['DISCARD'])]],
          [0.3, () => [end(connection, ['RESET'])]],
          [0.2, () => [end(connection, ['QUIT'])]],
          [0.2, () => [{ connection, act: 'close', lines: [] }]],
        ])
      : choose<Step[]>(prng, [
          [6, anything],
          [6, () => [send(connection, ['WATCH', ...several(prng, 1, 3, () => key(prng))])]],
          [7, () => [begin()]],
          [4, () => [send(connection, ...transaction(prng))]],
          [1, () => [send(connection, ['UNWATCH'])]],
          [2, () => [send(connection, control(prng))]],
          [1, () => [send(connection, sweep(prng))]],
          [0.5, () => [send(connection, ['EXEC'])]],
          [0.3, () => [send(connection, ['DISCARD'])]],
          [0.5, () => [send(connection, refused(prng))]],
          [1, () => expiring(prng, connection, resp.length)],
          [0.3, () => [{ connection, act: 'open', lines: [] }]],
        ]);
    steps.push(...make);
  }
  return { resp, options: {}, spacer: prng.chance(0.3), steps };
}
