// `npm run model`: explores the protocol models beside the code with spin, exhaustively for small sizes, and
// demands that every mutant (a plausible mistake, switched on by a #define) is found.
//
//   node scripts/model.mjs [filter] [--quick]
//
// A configuration passes if spin finishes the whole state space within its memory and finds no error; a
// mutant passes if spin finds one. Each run is a child in a folder of its own under the system's temporary
// folder; two run at a time. --quick leaves the largest configurations out (a few seconds in all).
// The last line is `N passed, N failed`.
import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const modelFolder = join(dirname(fileURLToPath(import.meta.url)), '../native/shard/model');

/** Two at a time, at most 2 GB each: the whole run stays below 4 GB. */
const parallelRuns = 2;
const memoryLimitMb = 2000;
/** Far deeper than any run has needed (below 1,000); reaching it is reported as a failure, not passed over. */
const depthLimit = 200_000;
const timeLimitMs = 600_000;

/**
 * `model` is a file's stem, `flags` its parameters. The largest come first, so that the run ends evenly.
 * State counts beside them are those of the last change of the models; a count that jumps says that the
 * protocol has become richer than meant, or poorer.
 */
const configurations = [
  // Three workers on two shards: every mixture of single- and multi-shard commands. 31 M states.
  { model: 'lease', flags: 'WORKERS=3', isLarge: true },
  // Pipelines of three: order, the kept lease, batches that are used up with work left. 1.6 M.
  { model: 'lease', flags: 'WORKERS=2 PIPE=3' },
  { model: 'lease', flags: 'WORKERS=2 PIPE=3 BATCH=2' },
  // Two bursts, one after the other: a lease that was let go is taken again.
  { model: 'lease', flags: 'WORKERS=2 PIPE=2 ROUNDS=2', isLarge: true },
  // Three shards: commands on any two or on all, hand-over in the middle of the set.
  { model: 'lease', flags: 'WORKERS=2 SHARDS=3 ROUNDS=2', isLarge: true },
  { model: 'lease', flags: 'WORKERS=2 SHARDS=3' },
  // Only multi-shard commands: chains of hand-over.
  { model: 'lease', flags: 'WORKERS=3 MULTI_ONLY' },
  // Requests that only their own worker may execute: granted to it by whoever completes their leases.
  { model: 'lease', flags: 'WORKERS=3 BOUND', isLarge: true },
  { model: 'lease', flags: 'WORKERS=2 ROUNDS=2 BOUND' },
  // The owner of all shards never looks up: those who let go must do.
  { model: 'lease', flags: 'WORKERS=3 PIPE=2 BUSY_OWNER' },
  // Rings and bells with store buffers.
  { model: 'doorbell', flags: 'FRAMES=3 CAPACITY=1' },
  { model: 'doorbell', flags: 'FRAMES=4 CAPACITY=2' },
  { model: 'doorbell', flags: 'PRODUCERS=2 FRAMES=2' },
];

const leaseMutants = {
  'WORKERS=2 PIPE=2': [
    ['M_PUSH_BLIND', 'pushes without a second look at the lease'],
    ['M_RELEASE_BLIND', 'lets go without a second look at the queue'],
    ['M_NO_BACKLOG_BIT', 'leaves a backlog behind that nobody can see'],
    ['M_KEEP_AT_HAND_OVER', 'hands a lease over and keeps it'],
    ['M_FORGET_LEASE', 'does not give up one lease of a multi-shard command'],
    ['M_NAME_AFTER_PARK', 'touches a request after it was queued'],
    ['M_POLL_HELD', 'polls a shard that somebody holds'],
    ['M_DESCENDING', 'takes leases in another order: two commands wait for each other'],
    ['M_NO_RECHECK', 'sleeps without a second look at the rings'],
    ['M_RING_BEFORE_PUSH', 'rings the bell before the frame is in the ring'],
    ['M_NO_FLUSH', 'sends frames and sleeps without ringing'],
  ],
  'WORKERS=2 PIPE=3': [
    ['M_NO_RING_OWNER', 'uses up a batch and tells nobody'],
    ['M_OWNER_FORGETS_ITSELF', 'uses up a batch as the owner and does not come back'],
    ['M_BARGE', 'takes a free lease past those who are queued'],
  ],
  'WORKERS=2 BOUND': [
    ['M_GRANT_IN_OWN_NAME', 'grants a request whose leases still bear the name of who took them'],
    ['M_KEEP_GRANTED', 'grants a request and gives its leases up all the same'],
  ],
  'WORKERS=3 PIPE=2 BUSY_OWNER': [['M_NO_SELF_POLL', 'relies on an owner who is busy elsewhere']],
};
const doorbellMutants = {
  'FRAMES=3 CAPACITY=1': [
    ['M_NO_PRODUCER_FENCE', 'no fence between push and the look at `sleeping`'],
    ['M_NO_CONSUMER_FENCE', 'no fence between `sleeping` and the look at the rings'],
    ['M_NO_PRODUCER_SLEEP_FENCE', 'no fence between a stalled `sleeping` and the look for room'],
    ['M_NO_DRAIN_FENCE', 'no fence between freeing slots and the look at `stalled`'],
    ['M_NO_RECHECK', 'sleeps without a second look at the rings'],
    ['M_NO_ROOM_RECHECK', 'sleeps with frames left over without a second look for room'],
    ['M_NO_STALLED_LOOK', 'frees slots and does not tell who waits for them'],
  ],
};

function mutantRuns(model, bySize) {
  return Object.entries(bySize).flatMap(([flags, mutants]) =>
    mutants.map(([name, meaning]) => ({ model, flags: `${flags} ${name}`, meaning, isMutant: true })),
  );
}

/** Runs a program; resolves with its exit code and all its output, never rejects. */
function run(program, args, folder) {
  return new Promise((resolve) => {
    const options = { cwd: folder, maxBuffer: 1 << 26, timeout: timeLimitMs };
    execFile(program, args, options, (error, stdout, stderr) =>
      resolve({ isOk: error === null, output: stdout + stderr }),
    );
  });
}

/** What spin's verifier said, or null if it did not get to the end. */
function parseVerdict(output) {
  const states = /^\s*([\d.e+]+) states, stored/m.exec(output);
  const errors = /errors: (\d+)/.exec(output);
  if (states === null || errors === null) return null;
  const isTruncated = /max search depth too small|out of memory|memory limit|Search not completed/.test(output);
  const found = /^pan:\d+: (.*?)(?: \(at depth (\d+)\))?$/m.exec(output);
  return { states: Number(states[1]), errors: Number(errors[1]), isTruncated, found: found?.[1] ?? null };
}

async function explore(job) {
  const folder = await mkdtemp(join(tmpdir(), 'sherd-model-'));
  const started = Date.now();
  try {
    const defines = job.flags.split(' ').map((flag) => `-D${flag}`);
    const generated = await run('spin', ['-a', ...defines, join(modelFolder, `${job.model}.pml`)], folder);
    if (!generated.isOk || /Error/.test(generated.output)) return { isPassed: false, text: generated.output };
    // A mutant's search is short: compiling it fast matters more than running it fast.
    const level = job.isMutant ? '-O0' : '-O2';
    const kind = ['-DSAFETY', '-DCOLLAPSE', `-DMEMLIM=${memoryLimitMb}`];
    const compiled = await run('gcc', ['-w', level, ...kind, '-o', 'pan', 'pan.c'], folder);
    if (!compiled.isOk) return { isPassed: false, text: compiled.output };
    const searched = await run('./pan', ['-n', `-m${depthLimit}`], folder);
    return judge(job, parseVerdict(searched.output), searched.output, (Date.now() - started) / 1000);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function judge(job, verdict, output, seconds) {
  if (verdict === null) return { isPassed: false, text: `no verdict:\n${output.slice(-2000)}` };
  const states = `${verdict.states.toLocaleString('en-US')} states`;
  if (job.isMutant) {
    const isFound = verdict.errors > 0 && verdict.found !== null;
    return { isPassed: isFound, text: isFound ? `found: ${verdict.found}` : `NOT FOUND in ${states}` };
  }
  // An error stops the search, so "not completed" is looked at second.
  if (verdict.errors > 0) return { isPassed: false, text: `error: ${verdict.found}` };
  if (verdict.isTruncated) return { isPassed: false, text: `not exhaustive: ${states}` };
  return { isPassed: true, text: `${states}, all of them, in ${seconds.toFixed(1)} s` };
}

async function main() {
  for (const program of ['spin', 'gcc']) {
    if (spawnSync(program, [program === 'spin' ? '-V' : '--version']).error === undefined) continue;
    console.error(`${program} is missing: apt-get install -y spin gcc`);
    process.exit(1);
  }
  const isQuick = process.argv.includes('--quick');
  const filter = process.argv.slice(2).find((argument) => !argument.startsWith('--'));
  const jobs = [...configurations, ...mutantRuns('lease', leaseMutants), ...mutantRuns('doorbell', doorbellMutants)]
    .filter((job) => !(isQuick && job.isLarge))
    .filter((job) => filter === undefined || `${job.model} ${job.flags}`.includes(filter));
  let passed = 0;
  let failed = 0;
  const queue = [...jobs];
  const work = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      const { isPassed, text } = await explore(job);
      isPassed ? passed++ : failed++;
      const meaning = job.meaning === undefined ? '' : ` (${job.meaning})`;
      console.log(`${isPassed ? 'ok  ' : 'FAIL'} ${job.model} ${job.flags}${meaning}: ${text}`);
    }
  };
  await Promise.all(Array.from({ length: parallelRuns }, work));
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}

await main();
