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
const LOG_TAIL = 2_000;
const SLOW_QUIET_MS = 1_500;

/** Redis 7.2 names the protocol in a text where 7.0 does not. */
const spell = (sent: string): string =>
  sent.replace('otherwise the HELLO AUTH <user>', 'otherwise the HELLO <proto> AUTH <user>');

const text = (outcome: Outcome): string =>
  `${show(Buffer.from(outcome.sent, 'latin1'), 400)}${outcome.isClosed ? ' <closed>' : ' <open>'}`;

/** Asks both servers; looks again with more patience before it says that they differ. */
async function both(oracle: number, subject: number, bytes: Buffer): Promise<[Outcome, Outcome]> {
  const ask = async (port: number, ms?: number): Promise<Outcome> => {
    const outcome = await exchange(port, [bytes], undefined, ms);
    return { ...outcome, sent: spell(outcome.sent) };
  };
  let [expected, actual] = await Promise.all([ask(oracle), ask(subject)]);
  if (!isSameOutcome(expected, actual)) {
    expected = await ask(oracle, SLOW_QUIET_MS);
    actual = await ask(subject, SLOW_QUIET_MS);
  }
  return [expected, actual];
}

async function expectAlive(port: number): Promise<void> {
  const outcome = await exchange(port, [Buffer.from(request('AUTH', 'secret') + request('PING'))]);
  expect(outcome.sent.endsWith('+PONG\r\n')).toBe(true);
}

function suite(title: string, args: string[], sequences: Sequence[]): void {
  describe(title, () => {
    let oracle: RunningServer;
    let subject: RunningServer;
    const outcomes = new Map<string, [Outcome, Outcome]>();
    const crashes = new Map<string, string>();
    let isSubjectAlive = false;

    const startSubject = async (): Promise<void> => {
      const started = await startSherd(args);
      subject = started;
      isSubjectAlive = true;
      void started.exited.then(() => (isSubjectAlive = isSubjectAlive && started !== subject));
    };

    beforeAll(async () => {
      [oracle] = await Promise.all([startRedis(args), startSubject()]);
      const ask = async ([name, sequence]: Sequence): Promise<void> => {
        outcomes.set(name, await both(oracle.port, subject.port, Buffer.from(sequence, 'latin1')));
      };
      await mapParallel(sequences, WIDTH, ask).catch((error: Error) => error);
      // The end of a process is told a moment after the end of its connections.
      await new Promise((resolve) => setTimeout(resolve, 300));
      if (isSubjectAlive) return;
      // Somebody has killed it. One by one, to see who.
      for (const sequence of sequences) {
        if (!isSubjectAlive) await startSubject();
        await ask(sequence).catch((error: Error) => error);
        await new Promise((resolve) => setTimeout(resolve, 100));
        if (!isSubjectAlive) crashes.set(sequence[0], subject.log().slice(-LOG_TAIL));
      }
      if (!isSubjectAlive) await startSubject();
    }, 120_000);

    afterAll(async () => {
      await Promise.all([oracle?.stop(), subject?.stop()]);
    });

    it.each(sequences)('%s', (name) => {
      expect(crashes.get(name), 'the server has ended').toBeUndefined();
      const [expected, actual] = outcomes.get(name) as [Outcome, Outcome];
      expect(isSameOutcome(expected, actual) ? text(expected) : text(actual)).toBe(text(expected));
    });

    it('split at every byte, all of them', { timeout: 180_000 }, async () => {
      const harmless = sequences.filter(([name]) => !crashes.has(name));
      const cases = harmless.flatMap(([name, sequence]) =>
        splittings(Buffer.from(sequence, 'latin1')).map((chunks) => ({ name, chunks })),
      );
      const wrong: string[] = [];
      await mapParallel(cases, WIDTH, async ({ name, chunks }) => {
        if (wrong.length >= 10) return;
        const [expected] = outcomes.get(name) as [Outcome, Outcome];
        const heard = await exchange(subject.port, chunks, expected);
        const actual = { ...heard, sent: spell(heard.sent) };
        const isSame = DROPPING.has(name) ? actual.isClosed === expected.isClosed : isSameOutcome(expected, actual);
        if (isSame) return;
        const cut = chunks.length > 2 ? 'byte by byte' : `cut at ${chunks[0]?.length}`;
        wrong.push(`${name}, ${cut}:\n  redis ${text(expected)}\n  ours  ${text(actual)}`);
      });
      expect(wrong.join('\n')).toBe('');
      expect(cases.length).toBeGreaterThan(sequences.length);
    });

    it('is alive and well afterwards', () => expectAlive(subject.port));
  });
}

suite('protocol', [], SEQUENCES);
suite('protocol before AUTH', ['--requirepass', 'secret'], UNAUTHENTICATED_SEQUENCES);
suite(
  'protocol with proto-max-bulk-len 1mb',
  ['--proto-max-bulk-len', '1mb'],
  [
    ['bulk of 1 MB claimed', '*2\r\n$4\r\nECHO\r\n$1048576\r\nab'],
    ['bulk of 1 MB and one claimed', '*2\r\n$4\r\nECHO\r\n$1048577\r\n'],
    ['bulk of 1 MB', request('STRLEN', 'z'.repeat(1_048_576))],
    ['SETRANGE beyond', request('SETRANGE', 'far', '1048576', 'x')],
    ['SETRANGE within', request('SETRANGE', 'near', '1048575', 'x') + request('STRLEN', 'near')],
    [
      'APPEND beyond',
      request('SETRANGE', 'full', '1048575', 'x') + request('APPEND', 'full', 'y') + request('STRLEN', 'full'),
    ],
  ],
);
