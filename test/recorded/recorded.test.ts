/**
 * Replays short scripts recorded from a redis-server 7.4.1 (test/fixtures/transcripts-7.4.jsonl) and compares every
 * reply: what the 7.0 oracle cannot judge, and a second witness for the rest.
 *
 * A step is replayed when the server has its command (COMMAND INFO decides) and when no earlier step that had to be
 * left out touched one of its keys. What is left out is printed at the end, so that a new family sees its scripts
 * come alive. Replies that hold a time, an id or a free order are compared by the differential test's rules.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMANDS } from '../differential/grammar.js';
import { isSame } from '../differential/compare.js';
import { ruleOf, type Comparison } from '../differential/rules.js';
import { startSherd, type RunningServer } from '../support/oracle.js';
import { projectRoot } from '../support/project.js';
import { parseFrame, RespClient, show, toPlain } from '../support/resp-client.js';

interface Transcript {
  resp: 2 | 3;
  script: string;
  /** Arguments (Latin-1) and the raw reply (Latin-1). */
  steps: [string[], string][];
}

/** Comparisons that are stricter or looser here than in random streams. */
const COMPARE_HERE: ReadonlyMap<string, Comparison> = new Map([['command|list', 'sorted']]);

/** Groups whose commands all exist: COMMAND LIST may not leave one out. */
const PROMISED_GROUPS = ['string'];

const transcripts: Transcript[] = readFileSync(join(projectRoot, 'test/fixtures/transcripts-7.4.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Transcript);

const every = JSON.parse(readFileSync(join(projectRoot, 'test/fixtures/commands-7.4.json'), 'utf8')) as Record<
  string,
  { subcommands?: Record<string, unknown> }
>;

/** Full name of a command that Redis 7.4 has, or undefined (the scripts call unknown ones on purpose). */
function realName(args: readonly string[]): string | undefined {
  const first = (args[0] ?? '').toLowerCase();
  if (!Object.hasOwn(every, first)) return undefined;
  const second = (args[1] ?? '').toLowerCase();
  return Object.hasOwn(every[first]?.subcommands ?? {}, second) ? `${first}|${second}` : first;
}

/** Commands that a step needs: its own, and for COMMAND GETKEYS the one asked about. */
function needs(args: readonly string[]): string[] {
  const own = realName(args);
  if (own === undefined) return [];
  const nested = own.startsWith('command|getkeys') ? realName(args.slice(2)) : undefined;
  return nested === undefined ? [own] : [own, nested];
}

describe('recorded from Redis 7.4.1', () => {
  let server: RunningServer;
  let client: RespClient;
  const missing = new Set<string>();
  const counts = { replayed: 0, leftOut: 0 };

  beforeAll(async () => {
    server = await startSherd();
    client = await RespClient.connect({ port: server.port });
    const names = new Set(transcripts.flatMap((transcript) => transcript.steps.flatMap(([args]) => needs(args))));
    for (const name of names) {
      const value = toPlain((await client.send('COMMAND', 'INFO', name)).value);
      if (!Array.isArray(value) || value[0] === null) missing.add(name);
    }
  });

  afterAll(async () => {
    client.close();
    await server.stop();
    const waiting = missing.size > 0 ? `; waiting for ${[...missing].sort().join(' ')}` : '';
    process.stdout.write(`recorded replies: ${counts.replayed} steps replayed, ${counts.leftOut} left out${waiting}\n`);
  });

  it.each(transcripts.map((transcript) => [transcript.script, transcript.resp, transcript] as const))(
    '%s, RESP%i',
    async (_, resp, transcript) => {
      await client.send('RESET');
      await client.send('FLUSHALL');
      if (resp === 3) await client.send('HELLO', '3');
      const untold = new Set<string>();
      // Without MULTI what follows is another script.
      let isInTransaction = false;
      const wrong: string[] = [];
      for (const [args, recorded] of transcript.steps) {
        const name = realName(args) ?? '';
        if (name === 'multi' && missing.has('multi')) isInTransaction = true;
        const isLeftOut =
          isInTransaction ||
          needs(args).some((name) => missing.has(name)) ||
          args.slice(1).some((word) => untold.has(word));
        if (isLeftOut) {
          counts.leftOut++;
          // Single words of a missing command may be keys: what they would hold is not known from here on.
          for (const word of args.slice(1, 3)) untold.add(word);
          continue;
        }
        counts.replayed++;
        // Recorded with milliseconds between the steps, which GT and LT tell apart.
        if (name.endsWith('expire')) await setTimeout(2);
        const reply = await client.send(...args.map((word) => Buffer.from(word, 'latin1')));
        const expected = Buffer.from(recorded, 'latin1');
        if (!isExpected(args, expected, reply.raw)) {
          wrong.push(`${args.join(' ')}\n  recorded ${show(expected, 600)}\n  ours     ${show(reply.raw, 600)}`);
        }
      }
      expect(wrong.join('\n')).toBe('');
    },
  );

  function isExpected(args: string[], expected: Buffer, actual: Buffer): boolean {
    const name = realName(args) ?? '';
    if (name === 'command|list' && !actual.equals(expected)) {
      // We list what we have: the recorded names without those that are missing here.
      const recordedNames = toPlain(parseFrame(expected));
      const ours = toPlain(parseFrame(actual));
      if (!Array.isArray(recordedNames) || !Array.isArray(ours)) return false;
      const ourSet = new Set(ours as string[]);
      const lacking = (recordedNames as string[]).filter((command) => !ourSet.has(command));
      const extra = ours.filter((command) => !(recordedNames as string[]).includes(command as string));
      return extra.length === 0 && lacking.every((command) => missing.has(command) || !isPromised(command));
    }
    return isSame(COMPARE_HERE.get(name) ?? ruleOf(name).compare ?? 'exact', expected, actual);
  }

  /** Commands of families that exist already must be listed; others may be missing without having been asked for. */
  function isPromised(command: string): boolean {
    const spec = COMMANDS.get(command);
    return spec !== undefined && PROMISED_GROUPS.includes(spec.group);
  }
});
