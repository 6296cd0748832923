/**
 * Scripts about CLIENT TRACKING: connections read and remember, others (or they themselves) write, and who remembered
 * must be told. Every combination of options, errors too; invalidations by redirection to a RESP2 connection that is
 * subscribed to __redis__:invalidate, or that has gone; CLIENT CACHING, which is for the next command alone and
 * therefore stands in one write with it.
 *
 * Writers send one command a step, or one transaction: in BCAST mode Redis gathers keys over a turn of its event loop,
 * so what one frame holds would depend on how the bytes arrive.
 */
import type { Prng } from '../differential/prng.js';
import { anyWrite, choose, other, protocols, sample, several } from './draw.js';
import { send, type Draft, type Line, type Step } from './script.js';

const KEYS = ['a', 'b', 'ab', 'foo:1', 'foo:2', 'food', '{t}1', ''];
const PREFIXES = ['', 'a', 'ab', 'foo', 'foo:', 'x', 'b'];
const TTL_MS = '30';
const BEHIND_TTL_MS = 50;

const key = (prng: Prng): string => (prng.chance(0.6) ? (KEYS[prng.below(4)] as string) : prng.pick(KEYS));

/** CLIENT TRACKING with options that fit each other, or with any. */
function tracking(prng: Prng, connection: number, count: number): Line {
  const on: Line = ['CLIENT', 'TRACKING', 'ON'];
  const redirect = (): string[] => ['REDIRECT', `{id:${other(prng, connection, count)}}`];
  const prefixes = (): string[] => sample(prng, PREFIXES, prng.pick([1, 1, 2])).flatMap((prefix) => ['PREFIX', prefix]);
  const maybe = (words: () => string[], chance: number): string[] => (prng.chance(chance) ? words() : []);
  return choose<Line>(prng, [
    [5, () => [...on, ...maybe(redirect, 0.3), ...maybe(() => ['NOLOOP'], 0.3)]],
    [4, () => [...on, 'BCAST', ...maybe(prefixes, 0.6), ...maybe(redirect, 0.3), ...maybe(() => ['NOLOOP'], 0.3)]],
    [2, () => [...on, 'OPTIN', ...maybe(redirect, 0.3), ...maybe(() => ['NOLOOP'], 0.2)]],
    [2, () => [...on, 'OPTOUT', ...maybe(redirect, 0.3), ...maybe(() => ['NOLOOP'], 0.2)]],
    [3, () => ['CLIENT', 'TRACKING', 'OFF']],
    [2, () => anyTracking(prng, redirect, prefixes)],
  ]);
}

function anyTracking(prng: Prng, redirect: () => string[], prefixes: () => string[]): Line {
  const options = several(prng, 0, 4, () =>
    choose<string[]>(prng, [
      [2, () => ['BCAST']],
      [2, () => ['OPTIN']],
      [2, () => ['OPTOUT']],
      [1, () => ['noloop']],
      [2, prefixes],
      [1, redirect],
      [0.5, () => ['REDIRECT', prng.pick(['0', '-1', '999999', 'abc', '9223372036854775808'])]],
      [0.3, () => [prng.pick(['NOSUCH', 'PREFIX', 'REDIRECT'])]],
    ]),
  );
  return ['CLIENT', 'TRACKING', prng.pick(['ON', 'on', 'OFF', 'off', 'perhaps']), ...options.flat()];
}

/** A command that reads keys, and so remembers them. */
function read(prng: Prng): Line {
  const name = key(prng);
  return prng.pick<Line>([
    ['GET', name],
    ['GET', name],
    ['MGET', name, key(prng)],
    ['EXISTS', name, key(prng)],
    ['STRLEN', name],
    ['TYPE', name],
    ['TTL', name],
    ['LRANGE', name, '0', '-1'],
    ['LLEN', name],
    ['SCARD', name],
    ['SISMEMBER', name, 'm'],
    ['HGET', name, 'f'],
    ['HGETALL', name],
    ['ZSCORE', name, 'm'],
    ['ZRANGE', name, '0', '-1'],
    ['XLEN', name],
    ['SINTERCARD', '2', name, key(prng)],
    ['OBJECT', 'FREQ', name],
    ['TOUCH', name],
    ['LMPOP', '1', name, 'LEFT'],
    ['SORT_RO', name, 'ALPHA'],
    ['BITCOUNT', name],
  ]);
}

/** CLIENT CACHING with what it is for. */
function caching(prng: Prng): Line[] {
  const word: Line = ['CLIENT', 'CACHING', prng.pick(['YES', 'YES', 'NO', 'NO', 'yes', 'perhaps'])];
  return choose<Line[]>(prng, [
    [6, () => [word, read(prng)]],
    [2, () => [word, read(prng), read(prng)]],
    [1, () => [word, ['PING'], read(prng)]],
    [1, () => [word, ['CLIENT', 'ID'], read(prng)]],
    [2, () => [word, ['MULTI'], read(prng), read(prng), ['EXEC'], read(prng)]],
    [1, () => [['MULTI'], word, read(prng), read(prng), ['EXEC']]],
    [1, () => [word, ['NOSUCH'], read(prng)]],
    [1, () => [word]],
  ]);
}

function question(prng: Prng): Line {
  return prng.pick<Line>([
    ['CLIENT', 'TRACKINGINFO'],
    ['CLIENT', 'TRACKINGINFO'],
    ['CLIENT', 'GETREDIR'],
    ['CLIENT', 'INFO'],
    ['CLIENT', 'LIST'],
    ['CLIENT', 'GETREDIR', 'x'],
  ]);
}

function write(prng: Prng): Line {
  return choose<Line>(prng, [
    [12, () => anyWrite(prng, key(prng), key(prng))],
    [3, () => ['SET', key(prng), 'v']],
    [2, () => ['MSET', key(prng), '1', key(prng), '2', key(prng), '3']],
    [2, () => ['DEL', key(prng), key(prng), key(prng)]],
    [0.5, () => prng.pick(['FLUSHALL', 'FLUSHDB', 'SWAPDB 0 1', 'FLUSHALL ASYNC']).split(' ')],
  ]);
}

/** A key that expires while it is remembered; who looks at it first tells all others. */
function expiring(prng: Prng, connection: number, count: number): Step[] {
  const name = key(prng);
  const away = other(prng, connection, count);
  return [
    send(connection, ['SET', name, 'v', 'PX', TTL_MS], ['GET', name]),
    { ...send(prng.chance(0.5) ? away : connection,
      prng.pick<Line>([['GET', name], ['INCR', name], ['DEL', name], ['TYPE', name]])), beforeMs: BEHIND_TTL_MS },
  ];
}

function change(prng: Prng): Line {
  return choose<Line>(prng, [
    [3, () => ['SUBSCRIBE', '__redis__:invalidate']],
    [1, () => ['UNSUBSCRIBE', '__redis__:invalidate']],
    [2, () => ['HELLO', '3']],
    [1, () => ['HELLO', '2']],
    [1.5, () => ['RESET']],
    [0.7, () => ['SELECT', prng.pick(['0', '1'])]],
    [0.2, () => ['QUIT']],
  ]);
}

/**
 * A table of few keys: who reads more makes the server forget some, and tell. Which ones is drawn by the server, so
 * that names are not compared (compare.ts), no key is read twice, and no write tells which are left.
 */
function crowded(prng: Prng): Draft {
  const resp: (2 | 3)[] = prng.chance(0.5) ? [3, 3] : [3, 2];
  const steps: Step[] = [send(0, ['CLIENT', 'TRACKING', 'ON'])];
  if (resp[1] === 2) steps.push(send(1, ['SUBSCRIBE', '__redis__:invalidate']));
  if (resp[1] === 2) steps.push(send(0, ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', '{id:1}']));
  for (let at = 0; at < 12; at++) {
    steps.push(send(0, ...several(prng, 1, 2, (): Line => ['GET', `crowd:${at}:${prng.below(1_000_000)}`])));
  }
  return { resp, options: { 'tracking-table-max-keys': prng.pick(['1', '3', '10']) }, spacer: prng.chance(0.3), steps };
}

export function trackingFamily(prng: Prng): Draft {
  if (prng.chance(0.06)) return crowded(prng);
  const resp = protocols(prng, 2, 4);
  const steps: Step[] = [];
  const total = prng.between(20, 60);
  // A RESP2 connection that listens, as clients without RESP3 do.
  if (prng.chance(0.5)) {
    resp[1] = 2;
    steps.push(send(1, ['SUBSCRIBE', '__redis__:invalidate']));
    steps.push(send(0, ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', '{id:1}', ...(prng.chance(0.3) ? ['BCAST'] : [])]));
  }
  while (steps.length < total) {
    const connection = prng.below(resp.length);
    const away = other(prng, connection, resp.length);
    const made = choose<Step[]>(prng, [
      [4, () => [send(connection, tracking(prng, connection, resp.length))]],
      [9, () => [send(connection, ...several(prng, 1, prng.pick([1, 1, 3]), () => read(prng)))]],
      [9, () => [send(connection, write(prng))]],
      [2, () => [send(connection, ['MULTI'], ...several(prng, 1, 4, () =>
        (prng.chance(0.4) ? read(prng) : write(prng))), ['EXEC'])]],
      [2.5, () => [send(connection, ...caching(prng))]],
      [1.5, () => [send(connection, question(prng))]],
      [1, () => expiring(prng, connection, resp.length)],
      [1.5, () => [send(connection, change(prng))]],
      [0.4, () => [{ connection, act: 'close', lines: [] }]],
      [1, () => [{ connection, act: 'open', lines: [] }]],
      [0.3, () => [send(connection, ['CLIENT', 'KILL', 'ID', `{id:${away}}`])]],
      [0.4, () => [send(connection, ['BLPOP', 'a', 'b', '0']), send(away, ['RPUSH', prng.pick(['a', 'b']), 'x', 'y'])]],
    ]);
    steps.push(...made);
  }
  return { resp, options: {}, spacer: prng.chance(0.3), steps };
}
