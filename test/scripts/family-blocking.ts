/**
 * Scripts about commands that wait: blockers on several keys, and others that push, make, rename, copy, restore, sort,
 * move and delete what they wait for, in and out of transactions; CLIENT UNBLOCK, timeouts, chains of BLMOVE, and
 * connections that go away while they wait.
 *
 * A timeout is either far away (0, or minutes to weeks) or meant to pass, and then the step waits for it: no script
 * depends on which of two things comes first. What is sent to a connection that waits is left out, but for a few
 * commands on keys of its own that are meant to queue up behind.
 */
import type { Prng } from '../differential/prng.js';
import { anyWrite, choose, PAYLOADS, protocols, sample, several } from './draw.js';
import { send, type Draft, type Line, type Step } from './script.js';

const LISTS = ['l1', 'l2', '{t}l', 'x'];
const ZSETS = ['z1', 'z2', '{t}z', 'x'];
const STREAMS = ['s1', 's2', 'x'];
const GROUPS = ['g', 'h'];

/** Makes one script; holds what the lines depend on: entries of streams have rising IDs. */
class Maker {
  private entries = 0;
  private values = 0;
  private readonly prng: Prng;

  constructor(prng: Prng) {
    this.prng = prng;
  }

  private value(): string {
    return `v${this.values++}`;
  }

  private entryId(): string {
    return `${++this.entries}-${this.prng.below(3)}`;
  }

  /** Far away, past 2^31 and 2^32 ms too, or an error. */
  private farTimeout(): string {
    return this.prng.chance(0.97)
      ? this.prng.pick(['0', '0', '0', '0.0', '100', '60.5', '3000000', '5000000', '1e5'])
      : this.prng.pick(['-1', 'abc', '', '1e400', 'nan', '-0.5', '9223372036854775807', '99999999999999999999', 'inf',
        '-0']);
  }

  private farMilliseconds(): string {
    return this.prng.chance(0.97)
      ? this.prng.pick(['0', '0', '0', '100000', '3000000000', '5000000000'])
      // Not 2^63 - 1: a time that ends behind the last millisecond there is, is refused since 7.2 only.
      : this.prng.pick(['-1', 'abc', '', '1.5', '9223372036854775808']);
  }

  private end(): string {
    return this.prng.pick(['LEFT', 'RIGHT', 'left']);
  }

  private lists(): string[] {
    return sample(this.prng, LISTS, this.prng.pick([1, 1, 1, 2, 3]));
  }

  private zsets(): string[] {
    return sample(this.prng, ZSETS, this.prng.pick([1, 1, 1, 2, 3]));
  }

  /** A command that waits, with a timeout in seconds and one in milliseconds for those that take these. */
  blocker(seconds: string, milliseconds: string): Line {
    const { prng } = this;
    const list = (): string => prng.pick(LISTS);
    const streams = sample(prng, STREAMS, prng.pick([1, 1, 2]));
    const count = prng.chance(0.5) ? ['COUNT', prng.pick(['1', '2', '10', '0', '-1'])] : [];
    const group = prng.pick(GROUPS);
    const ids = streams.map(() => (prng.chance(0.85) ? '$' : prng.pick(['0', '1', '5-0', 'x'])));
    const news = streams.map(() => (prng.chance(0.95) ? '>' : prng.pick(['0', '$'])));
    const noAck = prng.chance(0.2) ? ['NOACK'] : [];
    return choose<Line>(prng, [
      [6, () => ['BLPOP', ...this.lists(), seconds]],
      [4, () => ['BRPOP', ...this.lists(), seconds]],
      [5, () => ['BLMOVE', list(), list(), this.end(), this.end(), seconds]],
      [2, () => ['BRPOPLPUSH', list(), list(), seconds]],
      [4, () => this.multiPop('BLMPOP', this.lists(), this.end(), seconds)],
      [3, () => ['BZPOPMIN', ...this.zsets(), seconds]],
      [2, () => ['BZPOPMAX', ...this.zsets(), seconds]],
      [3, () => this.multiPop('BZMPOP', this.zsets(), prng.pick(['MIN', 'MAX', 'max']), seconds)],
      [4, () => ['XREAD', ...count, 'BLOCK', milliseconds, 'STREAMS', ...streams, ...ids]],
      [4, () => ['XREADGROUP', 'GROUP', group, prng.pick(['alice', 'bob']), ...count, 'BLOCK', milliseconds, ...noAck,
        'STREAMS', ...streams, ...news]],
      [0.5, () => ['WAIT', prng.pick(['1', '2']), milliseconds]],
    ]);
  }

  private multiPop(name: string, keys: string[], where: string, seconds: string): Line {
    const count = this.prng.chance(0.5) ? ['COUNT', this.prng.pick(['1', '2', '5', '0'])] : [];
    return [name, seconds, String(keys.length), ...keys, where, ...count];
  }

  farBlocker(): Line {
    return this.blocker(this.farTimeout(), this.farMilliseconds());
  }

  /** A timeout that passes, unless there is something at once. */
  shortBlocker(connection: number): Step {
    const timeoutMs = this.prng.pick([1, 20, 40, 60]);
    return { ...send(connection, this.blocker(String(timeoutMs / 1000), String(timeoutMs))), untilFree: true,
      timeoutMs };
  }

  /** A command that may wake somebody, or take away what would have. */
  pusher(): Line {
    const { prng } = this;
    const [list, zset, stream] = [prng.pick(LISTS), prng.pick(ZSETS), prng.pick(STREAMS)];
    const values = (): string[] => several(prng, 1, prng.pick([1, 2, 4]), () => this.value());
    return choose<Line>(prng, [
      [8, () => [prng.pick(['LPUSH', 'RPUSH']), list, ...values()]],
      [1, () => ['LINSERT', list, 'BEFORE', 'v1', this.value()]],
      [1, () => [prng.pick(['LPUSHX', 'RPUSHX']), list, this.value()]],
      [6, () => ['ZADD', zset, ...several(prng, 1, 2, () => [String(prng.below(5)), `m${prng.below(4)}`]).flat()]],
      [1, () => ['ZINCRBY', zset, '1', 'm1']],
      [6, () => ['XADD', stream, this.entryId(), 'f', this.value()]],
      [3, () => this.maker(list, zset, stream)],
      [3, () => this.mover()],
      [2, () => this.remover()],
      [2, () => ['XGROUP', 'CREATE', stream, prng.pick(GROUPS), prng.pick(['$', '0']), 'MKSTREAM']],
      [0.7, () => ['XGROUP', 'DESTROY', stream, prng.pick(GROUPS)]],
      [0.3, () => ['XGROUP', 'SETID', stream, prng.pick(GROUPS), prng.pick(['0', '$'])]],
      [0.5, () => ['XGROUP', 'DELCONSUMER', stream, prng.pick(GROUPS), 'alice']],
      [0.3, () => ['XSETID', stream, '500-0']],
      [1, () => prng.pick<Line>([['LPOP', list], ['RPOP', list, '2'], ['ZPOPMIN', zset], ['LRANGE', list, '0', '-1'],
        ['XLEN', stream]])],
      [1, () => anyWrite(prng, 'x', prng.pick(LISTS))],
    ]);
  }

  /** Makes a key in a roundabout way. */
  private maker(list: string, zset: string, stream: string): Line {
    return this.prng.pick<Line>([
      ['RESTORE', list, '0', PAYLOADS.list],
      ['RESTORE', list, '0', PAYLOADS.list, 'REPLACE'],
      ['RESTORE', zset, '0', PAYLOADS.zset, 'REPLACE'],
      ['RESTORE', stream, '0', PAYLOADS.stream],
      ['SORT', 'src', 'ALPHA', 'STORE', list],
      ['SADD', 'src', 'p', 'q'],
      ['ZUNIONSTORE', zset, '2', 'srcz', zset],
      ['ZRANGESTORE', zset, 'srcz', '0', '-1'],
      ['ZADD', 'srcz', '1', 'm1', '2', 'm2'],
      ['GEOADD', zset, '13.4', '52.5', 'berlin'],
      ['SUNIONSTORE', 'x', 'src'],
      ['SET', 'x', 'text'],
      ['LMPOP', '1', list, 'LEFT'],
    ]);
  }

  private mover(): Line {
    const { prng } = this;
    const [list, to, zset, stream] = [prng.pick(LISTS), prng.pick(LISTS), prng.pick(ZSETS), prng.pick(STREAMS)];
    return prng.pick<Line>([
      ['RENAME', list, to],
      ['RENAME', zset, 'z1'],
      ['RENAME', stream, 's1'],
      ['RENAMENX', list, to],
      ['COPY', list, to, 'REPLACE'],
      ['COPY', zset, 'z2', 'REPLACE'],
      ['COPY', stream, 's2'],
      ['COPY', list, to, 'DB', '1'],
      ['LMOVE', list, to, 'LEFT', 'RIGHT'],
      ['RPOPLPUSH', list, to],
      ['MOVE', list, '1'],
      ['MOVE', zset, '1'],
      ['SWAPDB', '0', '1'],
      ['SWAPDB', '0', '1'],
    ]);
  }

  private remover(): Line {
    const { prng } = this;
    return prng.pick<Line>([
      ['DEL', prng.pick(LISTS)],
      ['DEL', prng.pick(STREAMS)],
      ['DEL', prng.pick(ZSETS), prng.pick(STREAMS)],
      ['UNLINK', prng.pick(STREAMS)],
      ['FLUSHALL'],
      ['FLUSHDB'],
      ['EXPIREAT', prng.pick(STREAMS), '1'],
      ['SET', prng.pick(STREAMS), 'text'],
    ]);
  }

  /** Writes in a transaction, now and then also blocking commands, which do not block there. */
  transaction(): Line[] {
    const { prng } = this;
    const body = several(prng, 1, 5, () => (prng.chance(0.12) ? this.farBlocker() : this.pusher()));
    return [['MULTI'], ...body, prng.chance(0.95) ? ['EXEC'] : ['DISCARD']];
  }

  /** CLIENT UNBLOCK of a connection that may wait, with every form. */
  unblock(target: number): Line {
    const how = this.prng.pick([[], [], ['TIMEOUT'], ['ERROR'], ['error'], ['nonsense']]);
    const who = this.prng.chance(0.95) ? `{id:${target}}` : this.prng.pick(['0', '-1', 'abc', '999999']);
    return ['CLIENT', 'UNBLOCK', who, ...how];
  }
}

/** A few waiters in a row that hand a value on: it goes through all of them within one step. */
function chain(prng: Prng, count: number): Step[] {
  const names = sample(prng, ['l1', 'l2', '{t}l', 'x', 'c1', 'c2'], count);
  const links = sample(prng, names.slice(1).map((to, at): Step => {
    const from = names[at] as string;
    return send(at + 1, ['BLMOVE', from, to, prng.pick(['LEFT', 'RIGHT']), prng.pick(['LEFT', 'RIGHT']), '0']);
  }), count);
  return [...links, send(0, ['RPUSH', names[0] as string, 'one', 'two']),
    send(0, ['LRANGE', names[names.length - 1] as string, '0', '-1'])];
}

export function blocking(prng: Prng): Draft {
  const resp = protocols(prng, 2, 4);
  const maker = new Maker(prng);
  const steps: Step[] = [];
  const total = prng.between(15, 50);
  for (const stream of STREAMS.slice(0, 2)) {
    for (const group of GROUPS) if (prng.chance(0.7)) steps.push(send(0,
      ['XGROUP', 'CREATE', stream, group, '$', 'MKSTREAM']));
  }
  if (prng.chance(0.2)) steps.push(send(prng.below(resp.length), ['SELECT', '1']));
  // Only one connection has commands behind a blocking one: two of them would run in an order that nobody promises.
  const talker = prng.between(1, resp.length - 1);
  while (steps.length < total) {
    const connection = prng.chance(0.4) ? 0 : prng.below(resp.length);
    const blockerOf = 1 + prng.below(resp.length - 1);
    const made = choose<Step[]>(prng, [
      [9, () => [send(blockerOf, maker.farBlocker())]],
      [1, () => [maker.shortBlocker(blockerOf)]],
      [9, () => [send(connection, ...several(prng, 1, prng.pick([1, 1, 3]), () => maker.pusher()))]],
      [2, () => [send(connection, ...maker.transaction())]],
      [1.5, () => [send(0, maker.unblock(blockerOf))]],
      [0.7, () => [{ ...send(talker, ['SET', 'own', 'v'], ['INCR', 'own:n'], ['ECHO', 'behind']), evenBlocked: true }]],
      [0.6, () => [{ connection: blockerOf, act: 'close', lines: [] }]],
      [1, () => [{ connection: blockerOf, act: 'open', lines: [] }]],
      [0.3, () => [send(0, ['CLIENT', 'KILL', 'ID', `{id:${blockerOf}}`])]],
      [0.3, () => chain(prng, resp.length)],
      [0.2, () => [send(connection, ['SELECT', prng.pick(['0', '1'])])]],
    ]);
    steps.push(...made);
  }
  return { resp, options: {}, spacer: prng.chance(0.3), steps };
}
