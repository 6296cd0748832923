/**
 * `npm run bench:micro`: the small parts alone, native and TypeScript.
 *
 * The native ones (parser, dict, CRC16, SipHash, ring, lease) are the program sherd_micro, whose table comes
 * first. The TypeScript ones are what the control plane does per control command or per option; none of it runs
 * per data command, so these figures are to notice accidents, not to tune.
 *
 * Options: --smoke (tiny: does it work at all); all other words go to sherd_micro as filters.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Bench } from 'tinybench';
import { encodeReply, reply } from '../src/resp/reply.js';
import { globMatches } from '../src/util/glob.js';
import { parseInteger64 } from '../src/util/numbers.js';
import { splitArgs } from '../src/util/split-args.js';
import { projectRoot } from '../test/support/project.js';
import { begin, formatTable } from './support/report.js';

const words = process.argv.slice(2);
const smoke = words.includes('--smoke');
const filters = words.filter((word) => word !== '--smoke');

/** Runs the native half; its exit code counts. Without sources of it there is nothing to run. */
function runNative(): void {
  const program = join(projectRoot, 'native', 'build', 'bin', 'sherd_micro');
  if (!existsSync(program)) {
    console.info(`${program} has not been built; only the TypeScript half runs\n`);
    return;
  }
  const result = spawnSync(program, filters, { stdio: 'inherit' });
  if (result.status !== 0) throw new Error(`sherd_micro ended with ${result.signal ?? result.status}`);
}

/** Keeps results alive, so that the optimiser cannot drop the work. */
let sink = 0;

async function runTypeScript(): Promise<void> {
  const bench = new Bench({ time: smoke ? 2 : 300, warmupTime: smoke ? 1 : 100 });
  const pairs = reply.map(Array.from({ length: 200 }, (_, i) => [reply.bulk(`option-${i}`), reply.bulk('no')]));
  bench.add('encode a map of 200 pairs, RESP3', () => {
    sink += encodeReply(pairs, 3).length;
  });
  bench.add('glob *max*bytes*', () => {
    sink += Number(globMatches('*max*bytes*', 'list-max-listpack-bytes-and-more', true));
  });
  bench.add('parse a 64-bit integer', () => {
    sink += parseInteger64('-9223372036854775808') === undefined ? 0 : 1;
  });
  bench.add('split a line of redis.conf', () => {
    sink += splitArgs('client-output-buffer-limit "normal" 0 0 \\x30')?.length ?? 0;
  });
  await bench.run();
  const rows = bench.tasks.map((task) => {
    const result = task.result;
    if (!('latency' in result)) throw new Error(`${task.name} did not run: ${JSON.stringify(result)}`);
    return [task.name, (result.latency.p50 * 1e6).toFixed(0), result.throughput.mean.toFixed(0)];
  });
  console.info(formatTable(['TypeScript', 'median ns', 'a second'], rows));
  if (sink === 0) throw new Error('nothing was computed');
}

begin('micro-benchmarks');
runNative();
await runTypeScript();
