/**
 * Runs many streams against one pair of servers and gathers what differs, once per bug.
 *
 * The short form (differential.test.ts) and the long one (soak.ts) are both this loop with other limits.
 */
import { EXISTING_FAMILIES, fullName } from './grammar.js';
import { drawableCommands, Generator, type Stream } from './generator.js';
import type { RunningServer } from '../support/oracle.js';
import { RespClient, show } from '../support/resp-client.js';
import { Pair, type Difference } from './pair.js';
import { deriveSeed } from './prng.js';
import { printScript, shrink, signature } from './shrink.js';

export interface CampaignOptions {
  startOracle: () => Promise<RunningServer>;
  startSubject: () => Promise<RunningServer>;
  /** Seed of the whole campaign; stream n has deriveSeed(seed, n). */
  seed: number;
  /** Stop after this many commands … */
  commands: number;
  /** … or this many milliseconds. */
  timeMs?: number;
  /** Steps in a stream. */
  steps?: number;
  families?: readonly string[];
  /** Commands to leave out by full name, while a known bug in them hides others. */
  without?: readonly string[];
  /** Replays the one stream with this seed instead. */
  replaySeed?: number;
  /** Stop after so many different differences. */
  differencesMax?: number;
  /** Told every ten seconds, and of each new difference. */
  report?: (line: string) => void;
}

export interface FoundDifference {
  signature: string;
  /** Streams that ended in it. */
  count: number;
  /** Seed, minimal script and both replies. */
  text: string;
}

export interface CampaignResult {
  commands: number;
  streams: number;
  elapsedMs: number;
  differences: FoundDifference[];
  acceptedUses: Map<string, number>;
  /** Commands of the families that the subject lacks, and so were not sent. */
  missing: string[];
  /** Commands that were in at least one stream. */
  used: Set<string>;
}

const STEPS_DEFAULT = 600;
const PROGRESS_EVERY_MS = 10_000;
const DIFFERENCES_MAX = 25;

/** Which of the families' commands the subject does not know. */
export async function missingCommands(port: number, families: readonly string[]): Promise<Set<string>> {
  const names = drawableCommands(families, new Set()).map((spec) => spec.name);
  const client = await RespClient.connect({ port });
  const replies = await client.pipeline(names.map((name) => ['COMMAND', 'INFO', name]));
  client.close();
  const missing = new Set<string>();
  for (const [index, name] of names.entries()) {
    const value = replies[index]?.value;
    const isKnown = value?.kind === 'array' && value.items[0]?.kind === 'array';
    if (!isKnown) missing.add(name);
  }
  return missing;
}

export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const families = options.families ?? EXISTING_FAMILIES;
  const steps = options.steps ?? STEPS_DEFAULT;
  const startedAt = Date.now();
  const pair = new Pair(options.startOracle, options.startSubject);
  const found = new Map<string, FoundDifference>();
  const result: CampaignResult = {
    commands: 0,
    streams: 0,
    elapsedMs: 0,
    differences: [],
    acceptedUses: pair.acceptedUses,
    missing: [],
    used: new Set(),
  };
  try {
    const missing = await missingCommands(await pair.subjectPort(), families);
    result.missing = [...missing];
    for (const name of options.without ?? []) missing.add(name);
    let nextProgressAt = startedAt + PROGRESS_EVERY_MS;
    const limitMs = options.timeMs ?? Infinity;
    for (let index = 0; result.commands < options.commands && Date.now() - startedAt < limitMs; index++) {
      const seed = options.replaySeed ?? deriveSeed(options.seed, index);
      const stream = new Generator(seed, { families, missing, steps }).stream(seed, steps);
      for (const step of stream.steps) result.used.add(fullName(step.args));
      const run = await pair.run(stream);
      result.commands += run.commands;
      result.streams++;
      if (run.difference) await note(pair, stream, run.difference, found, options);
      if (
        options.replaySeed !== undefined ||
        new Set(found.values()).size >= (options.differencesMax ?? DIFFERENCES_MAX)
      )
        break;
      if (Date.now() > nextProgressAt) {
        nextProgressAt = Date.now() + PROGRESS_EVERY_MS;
        options.report?.(progress(result, startedAt, new Set(found.values()).size));
      }
    }
  } finally {
    await pair.stop();
  }
  result.elapsedMs = Date.now() - startedAt;
  result.differences = [...new Set(found.values())];
  return result;
}

function progress(result: CampaignResult, startedAt: number, differences: number): string {
  const seconds = (Date.now() - startedAt) / 1000;
  const rate = Math.round(result.commands / seconds);
  return `${result.commands} commands in ${result.streams} streams, ${Math.round(seconds)} s, ${rate}/s, ${differences} differences`;
}

async function note(
  pair: Pair,
  stream: Stream,
  difference: Difference,
  found: Map<string, FoundDifference>,
  options: CampaignOptions,
): Promise<void> {
  // The raw signature saves shrinking the same bug a hundred times.
  const raw = signature(difference);
  const known = found.get(raw);
  if (known) {
    known.count++;
    return;
  }
  const shrunk = await shrink(pair, stream, difference);
  const key = signature(shrunk.difference);
  const same = found.get(key);
  if (same) {
    same.count++;
    found.set(raw, same);
    return;
  }
  const entry: FoundDifference = { signature: key, count: 1, text: '' };
  const limit = 1_000;
  const replies = [
    `oracle:  ${show(Buffer.from(shrunk.difference.oracle, 'latin1'), limit)}`,
    `subject: ${show(Buffer.from(shrunk.difference.subject, 'latin1'), limit)}`,
  ];
  entry.text = [
    `DIFFERENCE ${key}`,
    `stream seed ${stream.seed}, RESP${shrunk.stream.resp}, ${shrunk.stream.delivery}, ${shrunk.stream.connections} connection(s)` +
      (shrunk.isReproducible ? '' : '; DID NOT DIFFER AGAIN on a second run'),
    `replay: npm run soak -- --replay=${stream.seed} --steps=${options.steps ?? STEPS_DEFAULT}` +
      (options.families ? ` --families=${options.families.join(',')}` : '') +
      (options.without ? ` --without=${options.without.join(',')}` : ''),
    shrunk.isReproducible
      ? printScript(shrunk.stream)
      : printScript({ ...stream, steps: stream.steps.slice(0, difference.stepIndex + 1).slice(-10) }),
    `at ${shrunk.difference.kind} of ${shrunk.difference.subjectOf}`,
    ...replies,
  ].join('\n');
  found.set(key, entry);
  if (raw !== key) found.set(raw, entry);
  options.report?.(entry.text);
}
