/**
 * The journal says what redis-server's AOF says: long random command streams go to both, and the commands in the two
 * files are compared one by one, MULTI, EXEC and SELECT included.
 *
 * SHERD_SEED=n repeats a run.
 */
import { randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { EXISTING_FAMILIES } from '../differential/grammar.js';
import { missingCommands } from '../differential/campaign.js';
import { Generator } from '../differential/generator.js';
import { layoutOptions } from '../differential/layout.js';
import { Pair } from '../differential/pair.js';
import { deriveSeed } from '../differential/prng.js';
import type { RunningServer } from '../support/oracle.js';
import { RespClient } from '../support/resp-client.js';
import { waitFor } from '../proofs/proof.js';
import { describeDifference, firstDifference, splitAtFlush, withoutEntriesRead } from './journal-compare.js';
import { commandsOf, journalPath, readJournal, readRedisAof, startRedisWithAof, startWithJournal } from './journal-server.js';

const SEED = Number(process.env['SHERD_SEED'] ?? randomInt(2 ** 31));
const STREAMS = Number(process.env['SHERD_STREAMS'] ?? 25);
const STEPS = 400;

const MARK = 'the end of the stream';

/** Both files up to a mark that is written to both servers last. */
async function filesUpToMark(redis: RunningServer, sherd: RunningServer, path: string): Promise<[Buffer, Buffer]> {
  for (const server of [redis, sherd]) {
    const client = await RespClient.connect({ port: server.port });
    await client.send('SET', MARK, '1');
    client.close();
  }
  const isThere = async (): Promise<boolean> => readJournal(path).includes(MARK) && readRedisAof(redis).includes(MARK);
  await waitFor('the mark in both files', isThere, 10_000);
  return [readRedisAof(redis), readJournal(path)];
}

describe(`the journal beside redis-server's AOF, seed ${SEED}`, () => {
  it.each([
    ['1 shard, 1 worker', '1x1'],
    ['8 shards, 2 workers', '8x2'],
  ])('%s: the same commands in the same order', { timeout: 180_000 }, async (_, layout) => {
    const path = journalPath();
    let redis: RunningServer | undefined;
    let sherd: RunningServer | undefined;
    const pair = new Pair(
      async () => (redis = await startRedisWithAof('no')),
      async () => (sherd = await startWithJournal(path, 'no', layoutOptions(layout))),
    );
    const differences: string[] = [];
    let commands = 0;
    try {
      const missing = await missingCommands(await pair.subjectPort(), EXISTING_FAMILIES);
      for (let index = 0; index < STREAMS; index++) {
        const seed = deriveSeed(SEED, index);
        await pair.run(new Generator(seed, { families: EXISTING_FAMILIES, missing, steps: STEPS }).stream(seed, STEPS));
      }
      const [theirs, ours] = await filesUpToMark(redis as RunningServer, sherd as RunningServer, path);
      const left = splitAtFlush(withoutEntriesRead(commandsOf(theirs)));
      const right = splitAtFlush(withoutEntriesRead(commandsOf(ours)));
      expect(right.length).toBe(left.length);
      for (const [index, part] of left.entries()) {
        const other = right[index] as string[][];
        commands += part.length;
        const at = firstDifference(part, other);
        if (at !== undefined) differences.push(describeDifference(part, other, at));
      }
    } finally {
      await pair.stop();
    }
    expect(differences.join('\n\n')).toBe('');
    expect(commands).toBeGreaterThan(STREAMS * 50);
  });
});

/** One step of the script: which client, and what it sends. `waits`: its reply comes later. */
interface Move {
  client: number;
  args: string[];
  waits?: boolean;
  pauseMs?: number;
}

const say = (client: number, line: string): Move => ({ client, args: line.split(' ') });
const wait = (client: number, line: string): Move => ({ ...say(client, line), waits: true });
const pause = (client: number, line: string, pauseMs: number): Move => ({ ...say(client, line), pauseMs });

/** What is wrapped, and where SELECT stands; everything here is the same in each run. */
const SCRIPT: Move[] = [
  ...['select 3', 'multi', 'set a 1', 'select 5', 'incr b', 'get a', 'select 3', 'del a', 'exec'].map((line) => say(0, line)),
  ...['multi', 'get a', 'exec', 'multi', 'set x 1', 'exec', 'multi', 'set x 1 XX', 'exec'].map((line) => say(0, line)),
  ...['multi', 'set y 1', 'discard', 'watch x', 'multi', 'set y 2', 'exec'].map((line) => say(0, line)),
  say(0, 'debug set-active-expire 0'),
  pause(0, 'set k v px 5', 30),
  ...['multi', 'get k', 'incr n', 'exec'].map((line) => say(0, line)),
  pause(0, 'set k v px 5', 30),
  say(0, 'set k w'),
  pause(0, 'set k v px 5', 30),
  say(0, 'get k'),
  pause(0, 'psetex k 5 7', 30),
  say(0, 'incr k'),
  pause(0, 'set k v px 5', 30),
  ...['mget k x', 'mset k 1 {k}2 2 x 3', 'getex k ex 1000', 'getex k persist', 'getdel k', 'getex k ex 10'].map((line) => say(0, line)),
  ...['sadd s 1 2 3', 'spop s 3', 'sadd s 1', 'spop s', 'sadd s 1 2', 'smove s s2 1', 'spop none'].map((line) => say(0, line)),
  ...['set e 1 ex 100', 'expire e 200 GT', 'pexpire e 1000 LT', 'setex e 50 2', 'expire e -1', 'incrbyfloat f 1.5'].map((line) => say(0, line)),
  ...['hset h f 1 g 2', 'hincrbyfloat h f 1.5', 'hdel h f g', 'append z 1', 'copy z z2 db 7', 'move z 9'].map((line) => say(0, line)),
  // Clients that wait: each that is served is a unit of its own, behind the one that served it.
  say(1, 'select 3'),
  wait(1, 'blpop l1 0'),
  wait(2, 'blmove l1 l2 left right 0'),
  wait(3, 'blpop l1 l2 0'),
  say(0, 'select 0'),
  say(0, 'rpush l1 a b c'),
  say(0, 'select 3'),
  say(0, 'rpush l1 a b c'),
  wait(1, 'bzpopmin zs 0'),
  wait(2, 'brpop l9 0'),
  ...['multi', 'rpush l9 1', 'zadd zs 1 a 2 b', 'select 0', 'rpush l9 2', 'exec', 'rpush l9 3'].map((line) => say(0, line)),
  ...['select 0', 'xgroup create st g $ mkstream', 'xgroup createconsumer st g c'].map((line) => say(0, line)),
  wait(2, 'xreadgroup group g c noack block 0 streams st >'),
  say(0, 'xadd st 1-1 f v'),
  ...['xadd st 2-* f v', 'xadd st maxlen ~ 1 3-1 f v', 'xtrim st maxlen 1', 'sort s2 store sorted', 'rename sorted sorted2'].map((line) => say(0, line)),
  ...['swapdb 0 3', 'flushdb', 'select 3', 'set last 1', 'unlink last', 'lpush q a', 'rpoplpush q q2', 'lmpop 1 q2 left'].map((line) => say(0, line)),
  say(0, 'debug set-active-expire 1'),
  pause(0, 'set k v px 5', 700),
  say(0, 'select 11'),
  pause(0, 'set k v px 5', 700),
  pause(0, 'set end 1', 100),
];

async function play(port: number): Promise<void> {
  const clients = await Promise.all([0, 1, 2, 3].map(() => RespClient.connect({ port })));
  try {
    for (const { client, args, waits, pauseMs } of SCRIPT) {
      const sender = clients[client] as RespClient;
      const reply = sender.send(...args);
      if (waits) {
        reply.catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, 30));
      } else await reply;
      if (pauseMs !== undefined) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  } finally {
    for (const client of clients) client.close();
  }
}

describe('units', () => {
  it.each(['1x1', '8x2'])('%s: are wrapped, ordered and selected as in redis-server', { timeout: 60_000 }, async (layout) => {
    const path = journalPath();
    const redis = await startRedisWithAof('no');
    const sherd = await startWithJournal(path, 'no', layoutOptions(layout));
    try {
      await Promise.all([play(redis.port), play(sherd.port)]);
      const [theirs, ours] = await filesUpToMark(redis, sherd, path);
      const [left, right] = [commandsOf(theirs), commandsOf(ours)];
      const at = firstDifference(left, right);
      expect(at === undefined ? '' : describeDifference(left, right, at)).toBe('');
      expect(left.length).toBeGreaterThan(60);
    } finally {
      await redis.stop();
      await sherd.stop();
    }
  });
});
