/**
 * The same bytes in, the same bytes out, and the connection closed or not: our server against redis-server, for every
 * sequence of sequences.ts, in one piece, cut in two at every byte, and byte by byte.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, startSherd, type RunningServer } from '../support/oracle.js';
import { show } from '../support/resp-client.js';
import { exchange, isSameOutcome, mapParallel, splittings, type Outcome } from './exchange.js';
import { DROPPING, request, SEQUENCES, UNAUTHENTICATED_SEQUENCES, type Sequence } from './sequences.js';

const WIDTH = 40;
const SLOW_QUIET_MS = 1_500;

const text = (outcome: Outcome): string =>
  `${show(Buffer.from(outcome.sent, 'latin1'), 400)}${outcome.isClosed ? ' <closed>' : ' <open>'}`;

/** Asks both servers; looks again with more patience before it says that they differ. */
async function both(oracle: number, subject: number, bytes: Buffer): Promise<[Outcome, Outcome]> {
  let [expected, actual] = await Promise.all([exchange(oracle, [bytes]), exchange(subject, [bytes])]);
  if (!isSameOutcome(expected, actual)) {
    expected = await exchange(oracle, [bytes], undefined, SLOW_QUIET_MS);
    actual = await exchange(subject, [bytes], undefined, SLOW_QUIET_MS);
  }
  return [expected, actual];
}

function suite(title: string, args: string[], sequences: Sequence[]): void {
  describe(title, () => {
    let oracle: RunningServer;
    let subject: RunningServer;
    const outcomes = new Map<string, [Outcome, Outcome]>();

    beforeAll(async () => {
      [oracle, subject] = await Promise.all([startRedis(args), startSherd(args)]);
      await mapParallel(sequences, WIDTH, async ([name, sequence]) => {
        outcomes.set(name, await both(oracle.port, subject.port, Buffer.from(sequence, 'latin1')));
      });
    });

    afterAll(async () => {
      await Promise.all([oracle?.stop(), subject?.stop()]);
    });

    it.each(sequences)('%s', (name) => {
      const [expected, actual] = outcomes.get(name) as [Outcome, Outcome];
      if (!isSameOutcome(expected, actual)) expect(text(actual)).toBe(text(expected));
      else expect(actual.isClosed).toBe(expected.isClosed);
    });

    it('split at every byte, all of them', { timeout: 180_000 }, async () => {
      const cases = sequences.flatMap(([name, sequence]) =>
        splittings(Buffer.from(sequence, 'latin1')).map((chunks) => ({ name, chunks })),
      );
      const wrong: string[] = [];
      await mapParallel(cases, WIDTH, async ({ name, chunks }) => {
        const [expected] = outcomes.get(name) as [Outcome, Outcome];
        const actual = await exchange(subject.port, chunks, expected);
        const isSame = DROPPING.has(name) ? actual.isClosed === expected.isClosed : isSameOutcome(expected, actual);
        if (isSame) return;
        const cut = chunks.length > 2 ? 'byte by byte' : `cut at ${chunks[0]?.length}`;
        wrong.push(`${name}, ${cut}:\n  redis ${text(expected)}\n  ours  ${text(actual)}`);
      });
      expect(wrong.slice(0, 10).join('\n')).toBe('');
      expect(cases.length).toBeGreaterThan(sequences.length);
    });

    it('is alive and well afterwards', async () => {
      const ping = Buffer.from(request('AUTH', 'secret') + request('PING'));
      const outcome = await exchange(subject.port, [ping]);
      expect(outcome.sent.endsWith('+PONG\r\n')).toBe(true);
    });
  });
}

suite('protocol', [], SEQUENCES);
suite('protocol before AUTH', ['--requirepass', 'secret'], UNAUTHENTICATED_SEQUENCES);
suite('protocol with proto-max-bulk-len 1mb', ['--proto-max-bulk-len', '1mb'], [
  ['bulk of 1 MB claimed', '*2\r\n$4\r\nECHO\r\n$1048576\r\nab'],
  ['bulk of 1 MB and one claimed', '*2\r\n$4\r\nECHO\r\n$1048577\r\n'],
  ['bulk of 1 MB', request('STRLEN', 'z'.repeat(1_048_576))],
  ['SETRANGE beyond', request('SETRANGE', 'far', '1048576', 'x')],
  ['SETRANGE within', request('SETRANGE', 'near', '1048575', 'x') + request('STRLEN', 'near')],
  ['APPEND beyond', request('SETRANGE', 'full', '1048575', 'x') + request('APPEND', 'full', 'y') + request('STRLEN', 'full')],
]);
