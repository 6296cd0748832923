/**
 * Scripts about publish/subscribe: two to four connections in both protocols subscribe to channels, patterns and shard
 * channels, publish to each other and to themselves, ask PUBSUB, and change what they are (HELLO, RESET, QUIT, CLIENT
 * REPLY), in and out of transactions.
 *
 * Within a transaction a RESP2 connection either subscribes or publishes: confirmations and messages would share EXEC's
 * array, which the oracle miscounts (7.2 keeps messages for the time behind it). And a transaction subscribes to one
 * channel a command, since each confirmation takes the place of one reply.
 */
import type { Prng } from '../differential/prng.js';
import { choose, other, protocols, several } from './draw.js';
import { notQueued, send, type Draft, type Line, type Step } from './script.js';

const CHANNELS = ['ch1', 'ch2', 'news.tech', 'news.art', '{t}c', '', '\x00\xff\r\n', '__proto__'];
const PATTERNS = ['*', 'ch?', 'news.*', '[c]h1', 'n*t*', 'ch1', '\\*', '', '*\xff*', '[', 'h?*[!'];
const PAYLOADS = ['hi', '', '1', 'two words', '\x00\r\n\xff', 'x'.repeat(3000)];

const channel = (prng: Prng): string => (prng.chance(0.7) ? (CHANNELS[prng.below(3)] as string) : prng.pick(CHANNELS));
const pattern = (prng: Prng): string => (prng.chance(0.7) ? (PATTERNS[prng.below(3)] as string) : prng.pick(PATTERNS));

function names(prng: Prng, from: number, pick: (prng: Prng) => string): string[] {
  return several(prng, from, prng.pick([1, 1, 2, 4]), () => pick(prng));
}

function subscription(prng: Prng, count?: number): Line {
  const some = (pick: (prng: Prng) => string, from: number): string[] =>
    count === undefined ? names(prng, from, pick) : [pick(prng)];
  return choose<Line>(prng, [
    [8, () => ['SUBSCRIBE', ...some(channel, 1)]],
    [5, () => ['PSUBSCRIBE', ...some(pattern, 1)]],
    [4, () => ['SSUBSCRIBE', ...some(channel, 1)]],
    [4, () => ['UNSUBSCRIBE', ...some(channel, 0)]],
    [3, () => ['PUNSUBSCRIBE', ...some(pattern, 0)]],
    [3, () => ['SUNSUBSCRIBE', ...some(channel, 0)]],
    [0.2, () => [prng.pick(['SUBSCRIBE', 'PSUBSCRIBE', 'SSUBSCRIBE'])]],
  ]);
}

function publication(prng: Prng): Line {
  return choose<Line>(prng, [
    [10, () => ['PUBLISH', channel(prng), prng.pick(PAYLOADS)]],
    [4, () => ['SPUBLISH', channel(prng), prng.pick(PAYLOADS)]],
    [0.2, () => prng.pick<Line>([['PUBLISH', 'ch1'], ['SPUBLISH'], ['PUBLISH', 'a', 'b', 'c']])],
  ]);
}

function question(prng: Prng): Line {
  return choose<Line>(prng, [
    [3, () => ['PUBSUB', 'CHANNELS', ...(prng.chance(0.5) ? [pattern(prng)] : [])]],
    [2, () => ['PUBSUB', 'NUMPAT']],
    [3, () => ['PUBSUB', 'NUMSUB', ...several(prng, 0, 4, () => channel(prng))]],
    [2, () => ['PUBSUB', 'SHARDCHANNELS', ...(prng.chance(0.5) ? [pattern(prng)] : [])]],
    [2, () => ['PUBSUB', 'SHARDNUMSUB', ...several(prng, 0, 4, () => channel(prng))]],
    [0.4, () => prng.pick<Line>([['PUBSUB'], ['PUBSUB', 'NOSUCH'], ['PUBSUB', 'NUMPAT', 'x'],
      ['PUBSUB', 'CHANNELS', 'a', 'b']])],
    [1, () => ['CLIENT', 'LIST']],
    [0.5, () => ['CLIENT', 'LIST', 'TYPE', prng.pick(['pubsub', 'normal'])]],
    [1, () => ['CLIENT', 'INFO']],
  ]);
}

/** Commands that a RESP2 connection may not send while it is subscribed, and those that it may. */
function plain(prng: Prng): Line {
  const words = [
    'PING', 'PING x', 'PING x y', 'GET a', 'SET a 1', 'ECHO hi', 'MULTI', 'EXEC', 'DISCARD', 'WATCH a', 'SELECT 1',
    'CLIENT ID', 'NOSUCH',
    'MONITOR x', 'HELLO', 'CONFIG GET maxmemory-samples', 'CLIENT GETNAME', 'AUTH x', 'INFO keyspace', 'GET',
  ];
  return prng.pick(words).split(' ');
}

function change(prng: Prng): Line {
  return choose<Line>(prng, [
    [4, () => ['HELLO', '3']],
    [3, () => ['HELLO', '2']],
    [3, () => ['RESET']],
    [1, () => ['QUIT']],
    [2, () => ['CLIENT', 'REPLY', 'ON']],
    [1, () => ['CLIENT', 'REPLY', 'OFF']],
    [1, () => ['CLIENT', 'REPLY', 'SKIP']],
  ]);
}

function transaction(prng: Prng): Line[] {
  const isSubscribing = prng.chance(0.5);
  const body = several(prng, 1, 4, () =>
    choose<Line>(prng, [
      [4, () => (isSubscribing ? subscription(prng, 1) : publication(prng))],
      [1, () => ['SET', 'a', '1']],
      [1, () => ['PUBSUB', 'NUMSUB', 'ch1']],
    ]),
  );
  return [['MULTI'], ...body, ['EXEC']];
}

/** Without replies: messages and confirmations come all the same. */
function muted(prng: Prng, connection: number): Step {
  const lines: Line[] = [publication(prng), subscription(prng), ['CLIENT', 'REPLY', 'ON']];
  return send(connection, ['CLIENT', 'REPLY', prng.pick(['SKIP', 'OFF'])], ...lines);
}

export function pubsub(prng: Prng): Draft {
  const resp = protocols(prng, 2, 4);
  const steps: Step[] = [];
  const total = prng.between(15, 60);
  // Where one connection often publishes, the others have time to subscribe.
  const publisher = prng.below(resp.length);
  while (steps.length < total) {
    const connection = prng.below(resp.length);
    const made = choose<Step[]>(prng, [
      [8, () => notQueued(send(connection, ...several(prng, 1, prng.pick([1, 1, 1, 3]), () => subscription(prng))))],
      [9, () => [send(publisher, ...several(prng, 1, prng.pick([1, 1, 4]), () => publication(prng)))]],
      [3, () => [send(connection, publication(prng))]],
      [2, () => [send(connection, question(prng))]],
      [2, () => [send(connection, plain(prng))]],
      [1.5, () => notQueued(send(connection, change(prng)))],
      [1.5, () => notQueued(send(connection, ...transaction(prng)))],
      [1, () => notQueued(muted(prng, connection))],
      [0.4, () => [{ connection, act: 'close', lines: [] }]],
      [1, () => [{ connection, act: 'open', lines: [] }]],
      [0.2, () => [send(connection, ['CLIENT', 'KILL', 'ID', `{id:${other(prng, connection, resp.length)}}`])]],
      [0.2, () => [send(connection, ['CLIENT', 'KILL', 'TYPE', 'pubsub',
        ...(prng.chance(0.3) ? ['SKIPME', 'no'] : [])])]],
    ]);
    steps.push(...made);
  }
  return { resp, options: {}, spacer: prng.chance(0.3), steps };
}
