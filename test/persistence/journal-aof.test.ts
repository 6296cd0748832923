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
