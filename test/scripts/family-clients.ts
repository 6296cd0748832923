/**
 * Scripts about what clients do to each other through the server: CLIENT KILL with every filter, PAUSE and UNPAUSE,
 * LIST and INFO, UNBLOCK, REPLY, names, RESET, and MONITOR, which shows what all of them send, but no passwords.
 *
 * A script pauses in one of two ways. Either writes for a long time: who writes is blocked until somebody lifts it. Or
 * all clients for a moment: then every answer, also to the tester's own questions, waits until it is over. Writes touch
 * a key of their connection's own, since several of them go on at once when a pause ends.
 */
import type { Prng } from '../differential/prng.js';
import { choose, other, protocols, sample, several } from './draw.js';
import { notQueued, send, type Draft, type Line, type Step } from './script.js';

const LONG_MS = '100000';
const SHORT_MS = 60;

function filters(prng: Prng, connection: number, count: number): string[] {
  const target = prng.chance(0.85) ? other(prng, connection, count) : connection;
  const kinds: string[][] = [
    ['ID', prng.chance(0.9) ? `{id:${target}}` : prng.pick(['0', '-1', 'abc', '999999'])],
    ['ADDR', prng.chance(0.9) ? `{addr:${target}}` : '127.0.0.1:1'],
    ['LADDR', prng.chance(0.5) ? `{laddr:${target}}` : '127.0.0.1:1'],
    ['TYPE', prng.pick(['normal', 'pubsub', 'pubsub', 'master', 'replica', 'slave', 'nosuch'])],
    ['USER', prng.pick(['default', 'nobody'])],
    ['SKIPME', prng.pick(['yes', 'yes', 'no', 'perhaps'])],
  ];
  // What hits everybody ends the script, so it is seldom alone.
  const chosen = sample(prng, kinds, prng.pick([1, 1, 2, 3]));
  if (!chosen.some((filter) => ['ID', 'ADDR'].includes(filter[0] as string)) &&
    prng.chance(0.7)) chosen.unshift(kinds[0] as string[]);
  return chosen.flat();
}

function kill(prng: Prng, connection: number, count: number): Line {
  return choose<Line>(prng, [
    [8, () => ['CLIENT', 'KILL', ...filters(prng, connection, count)]],
    [2, () => ['CLIENT', 'KILL', `{addr:${other(prng, connection, count)}}`]],
    [0.3, () => ['CLIENT', 'KILL', `{addr:${connection}}`]],
    [0.5, () => prng.pick<Line>([['CLIENT', 'KILL'], ['CLIENT', 'KILL', 'nonsense'], ['CLIENT', 'KILL', 'ID'],
      ['CLIENT', 'KILL', 'FOO', 'x']])],
  ]);
}

function question(prng: Prng, count: number): Line {
  const id = (): string => `{id:${prng.below(count)}}`;
  return choose<Line>(prng, [
    [4, () => ['CLIENT', 'LIST']],
    [2, () => ['CLIENT', 'LIST', 'ID', ...several(prng, 1, 3, id)]],
    [2, () => ['CLIENT', 'LIST', 'TYPE', prng.pick(['normal', 'pubsub', 'master', 'replica', 'NORMAL'])]],
    [2, () => ['CLIENT', 'INFO']],
    [1, () => ['CLIENT', 'ID']],
    [1, () => ['CLIENT', 'GETNAME']],
    [0.5, () => prng.pick<Line>([['CLIENT', 'LIST', 'ID'], ['CLIENT', 'LIST', 'TYPE'],
      ['CLIENT', 'LIST', 'TYPE', 'nosuch'], ['CLIENT', 'LIST', 'ID', 'abc'], ['CLIENT']])],
  ]);
}

/** Changes that a transaction may not hold, since their replies are none or several. */
function loud(prng: Prng): Line {
  const words = [
    'SUBSCRIBE ch', 'PSUBSCRIBE c*', 'SSUBSCRIBE sc', 'UNSUBSCRIBE', 'CLIENT REPLY ON', 'CLIENT REPLY ON',
    'CLIENT REPLY OFF',
    'CLIENT REPLY SKIP',
  ];
  return prng.pick(words).split(' ');
}

function change(prng: Prng): Line {
  const words = [
    'CLIENT SETNAME one', 'CLIENT SETNAME two', 'CLIENT SETNAME', 'CLIENT NO-EVICT on', 'CLIENT NO-EVICT off',
    'CLIENT NO-EVICT perhaps',
    'SELECT 1', 'SELECT 0', 'HELLO 3', 'HELLO 2', 'HELLO 3 SETNAME three', 'EXEC', 'DISCARD', 'WATCH a', 'RESET',
    'RESET', 'QUIT', 'CLIENT TRACKING ON',
  ];
  const line = prng.pick(words).split(' ');
  return line.length === 2 && line[1] === 'SETNAME' ? [...line, prng.pick(['', 'two words', 'caf\xe9'])] : line;
}

/** What a MONITOR shows, and what it must not. */
function shown(prng: Prng, own: string): Line {
  return choose<Line>(prng, [
    [4, () => ['SET', own, prng.pick(['v', '', 'a "quoted" \\ word', '\x00\r\n\t\x07\x08\xff', 'two words'])]],
    [3, () => ['GET', own]],
    [1, () => ['get', own]],
    [1, () => ['AUTH', 'secret']],
    [1, () => ['AUTH', 'default', 'secret']],
    [1, () => ['HELLO', prng.pick(['2', '3']), 'AUTH', 'default', 'secret']],
    [0.5, () => ['HELLO', '3', 'AUTH', 'nobody', 'secret', 'SETNAME', 'n']],
    [1, () => ['CONFIG', 'GET', 'maxmemory-samples']],
    [0.5, () => ['NOSUCH', 'x']],
    [0.5, () => ['GET']],
    [1, () => ['ECHO', 'x'.repeat(300)]],
    [1, () => ['PUBLISH', 'ch', 'hello']],
    [1, () => ['INCR', own]],
    [0.5, () => ['DEBUG', 'SLEEP', '0']],
    [0.5, () => ['COMMAND', 'COUNT']],
  ]);
}

function waiting(prng: Prng, own: string): Line {
  return prng.pick<Line>([['BLPOP', `${own}:list`, '0'], ['BLPOP', `${own}:list`, 'other', '100'],
    ['XREAD', 'BLOCK', '0', 'STREAMS', `${own}:s`, '$']]);
}

/** Steps about pauses of this script's way. */
function pausing(prng: Prng, connection: number, isLong: boolean, isMonitor: boolean): Step[] {
  const own = `own:${connection}`;
  if (isLong) {
    return choose<Step[]>(prng, [
      [3, () => [send(connection, ['CLIENT', 'PAUSE', LONG_MS, 'WRITE'])]],
      [3, () => [send(connection, ['CLIENT', 'UNPAUSE'])]],
      [isMonitor ? 0 : 1, () => [send(connection, ['MULTI'], ['GET', own], ['EXEC'])]],
      [isMonitor ? 0 : 1, () => [send(connection, ['MULTI'], ['SET', own, 'v'], ['EXEC'])]],
      [1, () => [send(connection, prng.pick<Line>([['PUBLISH', 'ch', 'paused'], ['PFCOUNT', own],
        ['SPUBLISH', 'sc', 'x'], ['DEL', own]]))]],
    ]);
  }
  const mode = prng.pick([['ALL'], ['WRITE'], [], ['all']]);
  const next = prng.pick<Line>([['GET', own], ['SET', own, 'v'], ['PING'], ['PUBLISH', 'ch', 'x']]);
  return choose<Step[]>(prng, [
    [3, () => [{ ...send(connection, ['CLIENT', 'PAUSE', String(SHORT_MS), ...mode], next), untilFree: true }]],
    [1, () => [{ ...send(connection, ['CLIENT', 'PAUSE', prng.pick(['0', '1', '-1', 'abc', '1.5', '']), ...mode]),
      untilFree: true }]],
    [1, () => [send(connection, ['CLIENT', 'PAUSE', '1', 'SOME'])]],
    [0.5, () => [send(connection, ['CLIENT', 'PAUSE'])]],
    [0.5, () => [send(connection, ['CLIENT', 'UNPAUSE'])]],
  ]);
}

export function clients(prng: Prng): Draft {
  const resp = protocols(prng, 2, 4);
  const isLong = prng.chance(0.5);
  const hasPauses = prng.chance(0.5);
  const isBrief = hasPauses && !isLong;
  const steps: Step[] = [];
  const total = prng.between(15, 50);
  // Who monitors has no transactions: the lines about its own commands would stand within EXEC's array.
  const monitor = prng.chance(0.5) ? resp.length - 1 : -1;
  if (monitor >= 0) steps.push(send(monitor, ['MONITOR']));
  while (steps.length < total) {
    const connection = prng.below(resp.length);
    const own = `own:${connection}`;
    const away = other(prng, connection, resp.length);
    const made = choose<Step[]>(prng, [
      [8, () => [send(connection, ...several(prng, 1, prng.pick([1, 1, 3]), () => shown(prng, own)))]],
      [5, () => [send(connection, question(prng, resp.length))]],
      [3, () => [send(connection, change(prng))]],
      [2, () => notQueued(send(connection, loud(prng)))],
      [1.5, () => [send(connection, kill(prng, connection, resp.length))]],
      [hasPauses ? 4 : 0, () => pausing(prng, connection, isLong, connection === monitor)],
      [connection === monitor ? 0 : 1, () => [send(connection, ['MULTI'],
        ...several(prng, 1, 3, () => shown(prng, own)), ['EXEC'])]],
      [connection === monitor ? 0 : 0.4, () => [send(connection, ['MULTI'])]],
      [monitor >= 0 ? 0.5 : 0, () => [send(monitor, ['MONITOR'])]],
      [isBrief ? 0 : 1.5, () => [send(connection, waiting(prng, own))]],
      // A client that waits for the end of a pause must not be unblocked: that ends the oracle's process.
      [hasPauses ? 0 : 1, () => [send(connection, ['CLIENT', 'UNBLOCK', `{id:${away}}`,
        ...prng.pick([[], ['ERROR'], ['TIMEOUT']])])]],
      [1, () => [send(connection, ['RPUSH', `own:${away}:list`, 'x'])]],
      [0.5, () => [{ connection, act: 'close', lines: [] }]],
      [2, () => [{ connection, act: 'open', lines: [] }]],
    ]);
    steps.push(...made);
  }
  // A pause of a moment may end anywhere: every step lasts until its connection is free again, and none waits for more.
  const due = isBrief ? steps.map((step) => ({ ...step, untilFree: true })) : steps;
  return { resp, options: {}, spacer: prng.chance(0.3), steps: due };
}
