/**
 * The long form of the differential test: `npm run soak -- --commands=1000000`.
 *
 * Options (all `--name=value`):
 *   commands  how many commands in all (default 1,000,000), shared between the layouts
 *   seed      seed of the campaign (default: random, printed)
 *   replay    seed of one stream to run again
 *   steps     commands in a stream (default 600)
 *   families  comma-separated (default: those that exist; see grammar.ts)
 *   without   commands to leave out by full name (client|reply), comma-separated
 *   layouts   SHARDSxWORKERS, comma-separated (default 1x1,8x2); an o behind it (8x2o) runs every command on the owner
 *             of its shard
 *   self      compare the oracle with itself: finds mistakes of the harness
 *
 * Exit status 0 when nothing differs, 1 otherwise. The last line is the summary.
 */
import { randomInt } from 'node:crypto';
import { startRedis, startSherd } from '../support/oracle.js';
import { runCampaign } from './campaign.js';
import { layoutOptions } from './layout.js';
import { deriveSeed } from './prng.js';

const COMMANDS_DEFAULT = 1_000_000;
const LAYOUTS_DEFAULT = '1x1,8x2';

const OPTION_NAMES = ['commands', 'seed', 'replay', 'steps', 'families', 'without', 'layouts', 'self'];

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
  const seed = numberOption(options, 'seed') ?? randomInt(2 ** 31);
  const replaySeed = numberOption(options, 'replay');
  const steps = numberOption(options, 'steps');
  const families = options.get('families')?.split(',');
  const without = options.get('without')?.split(',');
  const isSelf = options.has('self');
  const layouts = isSelf ? ['self'] : (options.get('layouts') ?? LAYOUTS_DEFAULT).split(',');
  const commands = Math.ceil((numberOption(options, 'commands') ?? COMMANDS_DEFAULT) / layouts.length);
  print(`differential soak: seed ${seed}, ${commands} commands for each of ${layouts.join(', ')}`);
  let total = 0;
  let different = 0;
  for (const [index, layout] of layouts.entries()) {
    const result = await runCampaign({
      startOracle: () => startRedis(),
      startSubject: () => (isSelf ? startRedis() : startSherd(layoutOptions(layout))),
      // Each layout sees streams of its own.
      seed: deriveSeed(seed, index),
      commands,
      report: (line) => print(`[${layout}] ${line}`),
      ...(steps === undefined ? {} : { steps }),
      ...(families === undefined ? {} : { families }),
      ...(without === undefined ? {} : { without }),
      ...(replaySeed === undefined ? {} : { replaySeed }),
    });
    total += result.commands;
    different += result.differences.length;
    if (result.missing.length > 0) print(`[${layout}] not sent, the subject lacks them: ${result.missing.join(' ')}`);
    for (const [id, uses] of result.acceptedUses) print(`[${layout}] accepted ${id}: ${uses} times`);
    for (const difference of result.differences) print(`[${layout}] ${difference.count} x ${difference.signature}`);
    print(
      `[${layout}] ${result.commands} commands, ${result.used.size} different ones, ${Math.round(result.elapsedMs / 1000)} s`,
    );
  }
  print(`differential soak: ${total} commands, ${different} differences, seed ${seed}`);
  return different === 0 ? 0 : 1;
}

process.exitCode = await main();
