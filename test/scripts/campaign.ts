/**
 * Runs many scripts against one pair of servers and gathers what differs, once per bug. The short form
 * (scripts.test.ts) and the long one (soak.ts) are both this loop with other limits.
 */
import { deriveSeed } from '../differential/prng.js';
import { commandsOf, Driver, type DriverOptions } from './driver.js';
import { makeScript } from './families.js';
import { describe, shrink, signature } from './shrink.js';

export interface CampaignOptions extends DriverOptions {
  families: readonly string[];
  /** Seed of the whole campaign; script n has deriveSeed(seed, n). */
  seed: number;
  /** Scripts of each family. */
  scripts: number;
  timeMs?: number;
  /** Replays the one script with this seed in each family instead. */
  replaySeed?: number;
  differencesMax?: number;
  /** Told every ten seconds, and of each new difference. */
  report?: (line: string) => void;
}

export interface Found {
  signature: string;
  /** Scripts that ended in it. */
  count: number;
  text: string;
}

export interface CampaignResult {
  scripts: number;
  steps: number;
  frames: number;
  elapsedMs: number;
  differences: Found[];
  acceptedUses: Map<string, number>;
  /** Commands that were in at least one script. */
  used: Set<string>;
}

const PROGRESS_EVERY_MS = 10_000;
const DIFFERENCES_MAX = 20;

export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const startedAt = Date.now();
  const driver = new Driver(options);
  const found = new Map<string, Found>();
  const distinct = (): Found[] => [...new Set(found.values())];
  const result: CampaignResult = {
    scripts: 0, steps: 0, frames: 0, elapsedMs: 0, differences: [], acceptedUses: driver.acceptedUses, used: new Set(),
  };
  const max = options.differencesMax ?? DIFFERENCES_MAX;
  const isDone = (): boolean => distinct().length >= max || Date.now() - startedAt > (options.timeMs ?? Infinity);
  let nextProgressAt = startedAt + PROGRESS_EVERY_MS;
  try {
    const rounds = options.replaySeed === undefined ? options.scripts : 1;
    for (let index = 0; index < rounds && !isDone(); index++) {
      for (const family of options.families) {
        if (isDone()) break;
        await runOne(driver, family, options.replaySeed ?? deriveSeed(options.seed, index), found, result, options);
      }
      if (Date.now() < nextProgressAt) continue;
      nextProgressAt = Date.now() + PROGRESS_EVERY_MS;
      const seconds = Math.round((Date.now() - startedAt) / 1000);
      options.report?.(`${result.scripts} scripts, ${result.steps} steps, ${result.frames} frames, ${seconds} s, ${distinct().length} differences`);
    }
  } finally {
    await driver.stop();
  }
  result.elapsedMs = Date.now() - startedAt;
  result.differences = distinct();
  return result;
}

async function runOne(
  driver: Driver,
  family: string,
  seed: number,
  found: Map<string, Found>,
  result: CampaignResult,
  options: CampaignOptions,
): Promise<void> {
  const script = makeScript(family, seed);
  for (const name of commandsOf(script)) result.used.add(name);
  const run = await driver.run(script);
  result.scripts++;
  result.steps += run.steps;
  result.frames += run.frames;
  if (run.difference === undefined) return;
  // The raw signature saves shrinking the same bug a hundred times.
  const raw = signature(script, run.difference);
  const known = found.get(raw);
  if (known !== undefined) {
    known.count++;
    return;
  }
  const shrunk = await shrink(driver, script, run.difference);
  const key = signature(shrunk.script, shrunk.difference);
  const same = found.get(key);
  if (same !== undefined) {
    same.count++;
    found.set(raw, same);
    return;
  }
  const replay = `npm run soak:scripts -- --families=${family} --replay=${seed}${options.isEager === true ? ' --eager' : ''}`;
  const entry: Found = { signature: key, count: 1, text: describe(shrunk, script, replay) };
  found.set(key, entry);
  found.set(raw, entry);
  options.report?.(entry.text);
}
