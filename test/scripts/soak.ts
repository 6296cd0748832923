/**
 * The long form of the test with several connections: `npm run soak:scripts -- --scripts=2000`.
 *
 * Options (all `--name=value`):
 *   families  comma-separated (default: those of EXISTING in families.ts; `all` for all)
 *   scripts   scripts of each family and layout (default 1000)
 *   seconds   stop after this time for each layout
 *   seed      seed of the campaign (default: random, printed)
 *   replay    seed of one script to run again
 *   layout    SHARDSxWORKERS, comma-separated (default 1x1,8x2,8x2o); an o behind it runs every command on the owner
 *             of its shard
 *   patience  milliseconds that the subject may need for what the oracle has done (default 2000)
 *   max       stop after so many different differences (default 20)
 *   eager     do not wait for pushes under way: one that comes behind the answer to a later PING is a difference
 *   self      compare the oracle with itself: finds mistakes of the tester
 *
 * Exit status 0 when nothing differs, 1 otherwise. The last line is the summary.
 */
import { randomInt } from 'node:crypto';
import { layoutOptions } from '../differential/layout.js';
import { deriveSeed } from '../differential/prng.js';
import { startRedis, startSherd } from '../support/oracle.js';
import { runCampaign } from './campaign.js';
import { EXISTING, FAMILY_NAMES } from './families.js';

const SCRIPTS_DEFAULT = 1000;
const LAYOUTS_DEFAULT = '1x1,8x2,8x2o';
const OPTION_NAMES = ['families', 'scripts', 'seconds', 'seed', 'replay', 'layout', 'patience', 'max', 'eager', 'self'];

function parseOptions(args: string[]): Map<string, string> {
  const options = new Map<string, string>();
  for (const argument of args) {
    const match = /^--([a-z]+)(?:=(.*))?$/.exec(argument);
    if (!match || !OPTION_NAMES.includes(match[1] as string))
      throw new Error(`unknown option ${argument}; there are ${OPTION_NAMES.join(', ')}`);
    options.set(match[1] as string, match[2] ?? 'yes');
  }
  return options;
}

function numberOption(options: Map<string, string>, name: string): number | undefined {
  const text = options.get(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name}=${text} is no count`);
  return value;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  const number = (name: string): number | undefined => numberOption(options, name);
  const [replaySeed, seconds, patienceMs, differencesMax] = [number('replay'), number('seconds'), number('patience'), number('max')];
  const seed = number('seed') ?? randomInt(2 ** 31);
  const scripts = number('scripts') ?? SCRIPTS_DEFAULT;
  const isSelf = options.has('self');
  const named = options.get('families') ?? (isSelf ? 'all' : '');
  const families = named === 'all' ? FAMILY_NAMES : named === '' ? EXISTING : named.split(',');
  if (families.length === 0) throw new Error(`no family is enabled yet; --families=${FAMILY_NAMES.join(',')}`);
  const layouts = isSelf ? ['self'] : (options.get('layout') ?? LAYOUTS_DEFAULT).split(',');
  print(`scripts: seed ${seed}, ${scripts} scripts each of ${families.join(', ')} on ${layouts.join(', ')}`);
  let total = 0;
  let different = 0;
  for (const [index, layout] of layouts.entries()) {
    const result = await runCampaign({
      startOracle: () => startRedis(),
      startSubject: () => (isSelf ? startRedis() : startSherd(layoutOptions(layout))),
      families,
      seed: deriveSeed(seed, index),
      scripts,
      isEager: options.has('eager'),
      isStrict: isSelf,
      report: (line) => print(`[${layout}] ${line}`),
      ...(seconds === undefined ? {} : { timeMs: seconds * 1000 }),
      ...(patienceMs === undefined ? {} : { patienceMs }),
      ...(differencesMax === undefined ? {} : { differencesMax }),
      ...(replaySeed === undefined ? {} : { replaySeed }),
    });
    total += result.scripts;
    different += result.differences.length;
    for (const [id, uses] of result.acceptedUses) print(`[${layout}] accepted ${id}: ${uses} times`);
    for (const difference of result.differences) print(`[${layout}] ${difference.count} x ${difference.signature}`);
    print(
      `[${layout}] ${result.scripts} scripts, ${result.steps} steps, ${result.frames} frames, ` +
        `${result.used.size} different commands, ${Math.round(result.elapsedMs / 1000)} s`,
    );
  }
  print(`scripts: ${total} scripts, ${different} differences, seed ${seed}`);
  return different === 0 ? 0 : 1;
}

process.exitCode = await main();
