/**
 * What clients on several sockets may see of each other, against two workers and sixteen shards.
 *
 * Goal: commands on several shards are atomic (R4), and a connection's commands take effect in the order sent, also
 * across shards and pipelined (R3). The same rules are stressed inside one process, with far more collisions, by
 * native/stress/engine_stress.cc; here they are held over sockets, the acceptor and both I/O workers.
 *
 * Method: writers and readers run side by side for a short while (SHERD_SOAK=1: ten minutes in all); every reply of a reader
 * is checked, not a sample at the end. Failures print the seed.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Prng } from '../differential/prng.js';
import { startSherd, type RunningServer } from '../support/oracle.js';
import { RespClient, toPlain, type Reply } from '../support/resp-client.js';

const IS_SOAK = process.env['SHERD_SOAK'] === '1';
const DURATION_MS = IS_SOAK ? 150_000 : 1_500;
const TIMEOUT_MS = DURATION_MS + 30_000;

const PAIRS = 8;
const PAIR_SUM = 1_000;
const ORDERED = 16;

const seed = Number(process.env['SHERD_SEED'] ?? Date.now() % 1_000_000_007);

const account = (pair: number, side: 'left' | 'right'): string => `${side}:${pair}`;
const numbers = (reply: Reply): number[] =>
  (toPlain(reply.value) as (string | null)[]).map((text) => (text === null ? 0 : Number(text)));

/** Runs `step` until the time is over; answers how often. */
async function repeat(step: () => Promise<void>): Promise<number> {
  const deadline = Date.now() + DURATION_MS;
  let steps = 0;
  while (Date.now() < deadline) {
    await step();
    steps++;
  }
  return steps;
}

describe.each([
  ['in place', []],
  ['on the owner', ['--execution-layout', 'owner']],
])('two workers, sixteen shards, %s', (_, extra) => {
  let server: RunningServer;
  const clients: RespClient[] = [];

  const connect = async (): Promise<RespClient> => {
    const client = await RespClient.connect({ port: server.port });
    clients.push(client);
    return client;
  };

  beforeAll(async () => {
    server = await startSherd(['--worker-threads', '2', '--shards', '16', ...extra]);
  });

  afterAll(async () => {
    for (const client of clients) client.close();
    await server?.stop();
  });

  it(
    'readers see every transfer between two accounts as a whole',
    async () => {
      const setup = await connect();
      for (let pair = 0; pair < PAIRS; pair++) {
        await setup.send('MSET', account(pair, 'left'), '0', account(pair, 'right'), String(PAIR_SUM));
      }
      const all = Array.from({ length: PAIRS }, (_unused, pair) => [account(pair, 'left'), account(pair, 'right')]).flat();

      // Each writer has pairs of its own: what it reads is what it wrote.
      const write = async (index: number): Promise<number> => {
        const client = await connect();
        const prng = new Prng(seed + index);
        return repeat(async () => {
          const pair = index + 4 * prng.below(PAIRS / 4);
          const keys = [account(pair, 'left'), account(pair, 'right')] as const;
          const [left = 0, right = 0] = numbers(await client.send('MGET', ...keys));
          expect(left + right, `seed ${seed}`).toBe(PAIR_SUM);
          const amount = prng.below(100) - 50;
          const transfers = [1, 2, 3].map((times) => [
            'MSET', keys[0], String(left + times * amount), keys[1], String(right - times * amount),
          ]);
          const replies = await client.pipeline([...transfers, ['MGET', ...keys]]);
          expect(numbers(replies[3] as Reply), `seed ${seed}`).toEqual([left + 3 * amount, right - 3 * amount]);
        });
      };
      const read = async (): Promise<number> => {
        const client = await connect();
        const look = ['MGET', ...all];
        return repeat(async () => {
          for (const reply of await client.pipeline([look, look, look, look])) {
            const balances = numbers(reply);
            const sums = Array.from({ length: PAIRS }, (_unused, i) => (balances[2 * i] ?? 0) + (balances[2 * i + 1] ?? 0));
            expect(sums, `seed ${seed}`).toEqual(new Array(PAIRS).fill(PAIR_SUM));
          }
        });
      };
      const steps = await Promise.all([write(0), write(1), write(2), write(3), read(), read()]);
      for (const count of steps) expect(count).toBeGreaterThan(10);
    },
    TIMEOUT_MS,
  );

  it(
    'nobody sees the second of two pipelined writes without the first',
    async () => {
      const writer = await connect();
      const prng = new Prng(seed);
      let value = 0;
      const write = (): Promise<number> =>
        repeat(async () => {
          const commands: string[][] = [];
          for (let i = 0; i < 40; i++) {
            const which = prng.below(ORDERED);
            value++;
            commands.push(['SET', `first:${which}`, String(value)], ['SET', `second:${which}`, String(value)]);
          }
          for (const reply of await writer.pipeline(commands)) expect(reply.text).toBe('+OK\r\n');
        });
      const read = async (index: number): Promise<number> => {
        const reader = await connect();
        const choice = new Prng(seed + index);
        return repeat(async () => {
          const commands = Array.from({ length: 20 }, () => {
            const which = choice.below(ORDERED);
            return ['MGET', `second:${which}`, `first:${which}`];
          });
          for (const reply of await reader.pipeline(commands)) {
            const [second = 0, first = 0] = numbers(reply);
            expect(first, `seed ${seed}`).toBeGreaterThanOrEqual(second);
          }
        });
      };
      const steps = await Promise.all([write(), read(1), read(2)]);
      for (const count of steps) expect(count).toBeGreaterThan(10);
      expect(value).toBeGreaterThan(400);
    },
    TIMEOUT_MS,
  );
});
