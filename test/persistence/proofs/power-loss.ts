/**
 * RELIABILITY 1: the power fails at any moment. A server writes under load, through rewrites, RDB files and switching the
 * AOF off and on, while disk-shim.c notes all that reaches its disk and its clients. disk-model.ts then builds what may be
 * found after a power loss at many moments, and each is started on:
 *
 *   - it loads, and holds a prefix of the history (ledger.ts);
 *   - under always every write whose answer had been sent is there;
 *   - under everysec nothing is missing that was answered more than a second before;
 *   - dump.rdb, where there is one, loads, and has all that was answered before a SAVE that was answered.
 *
 * What was answered is read from the log itself, so "sent before the power failed" is exact. Of `mixed` states a
 * refusal with its reason is allowed (and counted): there, a file's middle may be missing, with bytes that were not
 * acknowledged behind the hole, and no file system that keeps the order of appended blocks comes to that.
 * Faults built in: `judgedAs` another policy than the server's.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Prng, deriveSeed } from '../../differential/prng.js';
import { Connection, ReplyError, ReplyReader, type Reply } from '../../proofs/connection.js';
import { Violations, type ProofResult } from '../../proofs/proof.js';
import type { RunningServer } from '../../support/oracle.js';
import { DiskModel, Kind, VARIANTS, readDiskLog, type DiskRecord, type Variant } from './disk-model.js';
import { DiskShim } from './disk-shim.js';
import { ProofFolder } from './folder.js';
import { administrate, startIn } from './kill.js';
import { faultsOf, makeLedgers, markerOf, readStates, replyCount, write, type Ledger } from './ledger.js';
import { Restarter } from './restarter.js';

type Policy = 'always' | 'everysec' | 'no';

export interface PowerLossOptions {
  seed: number;
  /** Moments at which the power fails, for each policy. */
  cuts: number;
  /** How long each server writes. */
  loadMs: number;
  policies?: readonly Policy[];
  layouts: readonly string[];
  /** The fault built in. */
  judgedAs?: Policy;
  /** What everysec may lose at most. */
  everysecLossMsMax?: number;
  /** Every how many-th state is started on by a server's process, too. */
  serverEvery?: number;
}

const WRITERS = 6;
/** A sync begins 0.9 s after the last; what a slow disk adds is the disk's. */
const EVERYSEC_LOSS_MS_MAX = 1_000;
const BALLAST_KEYS = 3_000;
const SWITCH_MS = 250;
/** Said by the administrator; the log tells when they were answered. */
const PROMISE_BEGINS = 'from here on';
const PROMISE_ENDS = 'no longer';
const SAVE_BEGINS = 'a save begins';

// ---- The recording ----

/** Switches the AOF off and on again, and saves; what is promised when is said by ECHO. */
async function switchAndSave(port: number, isOver: () => boolean, switches: boolean): Promise<void> {
  const connection = await Connection.open(port);
  const rest = async (): Promise<void> => void (await sleep(SWITCH_MS));
  await connection.must('ECHO', PROMISE_BEGINS);
  while (!isOver()) {
    await rest();
    await connection.must('ECHO', SAVE_BEGINS);
    await connection.call('SAVE');
    await rest();
    if (!switches || isOver()) continue;
    await connection.must('ECHO', PROMISE_ENDS);
    await connection.must('CONFIG', 'SET', 'appendonly', 'no');
    await rest();
    await connection.must('CONFIG', 'SET', 'appendonly', 'yes');
    while (!(await isSwitchedOn(connection))) await sleep(5);
    await connection.must('ECHO', PROMISE_BEGINS);
  }
  connection.destroy();
}

async function isSwitchedOn(connection: Connection): Promise<boolean> {
  const info = String(await connection.must('INFO', 'persistence'));
  return /aof_enabled:1/.test(info) && /aof_rewrite_in_progress:0/.test(info) && /aof_rewrite_scheduled:0/.test(info);
}

interface Recording {
  records: DiskRecord[];
  ledgers: Ledger[];
}

async function record(folder: ProofFolder, policy: Policy, layout: string, seed: number, loadMs: number): Promise<Recording> {
  const dir = folder.path(`data-${policy}`);
  mkdirSync(dir);
  const shim = new DiskShim(folder, dir, true);
  const ledgers = makeLedgers(WRITERS);
  let server: RunningServer | undefined;
  try {
    server = await startIn(dir, layout, ['--appendfsync', policy, '--auto-aof-rewrite-percentage', '0'], shim.env);
    const { port } = server;
    const setup = await Connection.open(port);
    await setup.must('DEBUG', 'POPULATE', BALLAST_KEYS, 'ballast', 20);
    let isOver = false;
    const writing = ledgers.map((ledger) => write(port, ledger, { seed, isOver: () => isOver, depthMax: 3 }));
    // Rewrites all the time in one half, switching in the other.
    const halfAt = performance.now() + loadMs / 2;
    const administrating = administrate(port, seed, () => performance.now() > halfAt);
    const saving = switchAndSave(port, () => performance.now() > halfAt, false);
    await Promise.all([administrating, saving]);
    const endAt = performance.now() + loadMs / 2;
    await switchAndSave(port, () => performance.now() > endAt, true);
    isOver = true;
    await Promise.all(writing);
    setup.destroy();
    process.kill(server.pid, 'SIGKILL');
  } finally {
    await server?.stop();
    shim.close();
  }
  const records = readDiskLog(shim.logPath, dir);
  folder.forget('disk.log');
  return { records, ledgers };
}

// ---- What was answered ----

/** What one client is sent; the speaker is the one whose ECHOs say what is promised. */
class Stream {
  readonly reader = new ReplyReader(false);
  writer: number | undefined;
  replies = 0;
  isSpeaker = false;
}

/** Follows what was sent to clients: who had been answered what, and what was promised. */
class Answers {
  readonly acknowledged: number[];
  /** Times of the answers, by writer and operation. */
  readonly times: Map<number, number>[];
  isPromised = false;
  /** What a SAVE that was answered with OK has in any case; undefined before the first. */
  saved: number[] | undefined;

  private readonly streams = new Map<number, Stream>();
  private saving: number[] | undefined;

  constructor(writers: number) {
    this.acknowledged = new Array<number>(writers).fill(0);
    this.times = Array.from({ length: writers }, () => new Map<number, number>());
  }

  apply({ kind, id, data, atMs }: DiskRecord): void {
    if (kind !== Kind.send) return;
    let stream = this.streams.get(id);
    if (stream === undefined) this.streams.set(id, (stream = new Stream()));
    stream.reader.append(data);
    for (let reply = stream.reader.take(); reply !== undefined; reply = stream.reader.take()) {
      const writer = this.acknowledged.findIndex((_, index) => reply === markerOf(index));
      if (writer >= 0) [stream.writer, stream.replies] = [writer, 0];
      else if (stream.writer !== undefined) this.count(stream, stream.writer, atMs);
      else if (stream.isSpeaker || reply === PROMISE_BEGINS) this.hear(stream, reply);
    }
  }

  private count(stream: Stream, writer: number, atMs: number): void {
    const operation = (this.acknowledged[writer] as number) + 1;
    if (++stream.replies < replyCount(operation)) return;
    stream.replies = 0;
    this.acknowledged[writer] = operation;
    this.times[writer]?.set(operation, atMs);
  }

  private hear(stream: Stream, reply: Reply): void {
    stream.isSpeaker = true;
    if (reply === PROMISE_BEGINS) this.isPromised = true;
    else if (reply === PROMISE_ENDS) this.isPromised = false;
    else if (reply === SAVE_BEGINS) this.saving = [...this.acknowledged];
    else if (this.saving !== undefined) {
      if (reply === 'OK') this.saved = this.saving;
      this.saving = undefined;
      if (reply instanceof ReplyError && !/progress/.test(reply.text)) throw new Error(`SAVE: ${reply.text}`);
    }
  }
}

// ---- The check ----

interface Trial {
  policy: Policy;
  judgedAs: Policy;
  variant: Variant;
  what: string;
  atMs: number;
}

class Judge {
  readonly figures = { states: 0, servers: 0, refusedMixed: 0, lossMsMax: 0, dumps: 0 };

  constructor(
    private readonly restarter: Restarter,
    private readonly violations: Violations,
    private readonly everysecLossMsMax: number,
  ) {}

  /** Starts on a state as a server with its AOF would, then as one with RDB files only. */
  async judge(dir: string, answers: Answers, ledgers: readonly Ledger[], trial: Trial): Promise<void> {
    this.figures.states++;
    await this.judgeDump(dir, answers, ledgers, trial);
    const outcome = await this.restarter.start(dir, { appendonly: 'yes', appendfsync: trial.policy });
    if (!outcome.isServing) {
      if (trial.variant === 'mixed') this.figures.refusedMixed++;
      else this.violations.add(`${trial.what}: refused: ${outcome.log.slice(-3).join(' / ')}`);
      return;
    }
    const states = await readStates(this.restarter.connection, ledgers);
    const due = this.dueOf(answers, trial);
    for (const fault of faultsOf(ledgers, states, due)) this.violations.add(`${trial.what}: ${fault}`);
    if (!answers.isPromised || trial.policy === 'no') return;
    for (const [at, state] of states.entries()) {
      const answeredAtMs = answers.times[at]?.get(state.counter + 1);
      if (answeredAtMs !== undefined) this.figures.lossMsMax = Math.max(this.figures.lossMsMax, trial.atMs - answeredAtMs);
    }
  }

  /** How many operations of each writer the policy owes at this moment. */
  private dueOf(answers: Answers, { judgedAs, atMs }: Trial): number[] {
    if (!answers.isPromised || judgedAs === 'no') return answers.acknowledged.map(() => 0);
    if (judgedAs === 'always') return answers.acknowledged;
    return answers.times.map((times, at) => {
      let operation = answers.acknowledged[at] as number;
      while (operation > 0 && (times.get(operation) ?? 0) > atMs - this.everysecLossMsMax) operation--;
      return operation;
    });
  }

  private async judgeDump(dir: string, answers: Answers, ledgers: readonly Ledger[], trial: Trial): Promise<void> {
    const outcome = await this.restarter.start(dir, { appendonly: 'no' });
    if (!outcome.isServing) {
      this.violations.add(`${trial.what}: dump.rdb refused: ${outcome.log.slice(-3).join(' / ')}`);
      return;
    }
    if (answers.saved !== undefined) this.figures.dumps++;
    const states = await readStates(this.restarter.connection, ledgers);
    const due = answers.saved ?? answers.acknowledged.map(() => 0);
    for (const fault of faultsOf(ledgers, states, due)) this.violations.add(`${trial.what}: dump.rdb: ${fault}`);
  }
}

/** Moments to cut at: half of them where files come, go and are synced, the others anywhere. */
function chooseCuts(records: readonly DiskRecord[], count: number, prng: Prng): number[] {
  const isTurningPoint = ({ kind }: DiskRecord): boolean => kind !== Kind.write && kind !== Kind.send;
  const turning = records.flatMap((record, at) => (isTurningPoint(record) ? [at, at + 1] : []));
  const rare = turning.filter((at) => ![Kind.syncBegin, Kind.syncEnd].includes(records[at]?.kind as Kind));
  const cuts = new Set<number>();
  for (let at = 0; at < count; at++) {
    const kind = prng.below(4);
    const pool = kind === 0 ? rare : turning;
    cuts.add(kind < 2 && pool.length > 0 ? prng.pick(pool) : prng.below(records.length + 1));
  }
  return [...cuts].sort((a, b) => a - b);
}

/** Cuts the power of one recording at many moments. */
async function judgeRecording(
  { records, ledgers }: Recording,
  options: PowerLossOptions & { policy: Policy; layout: string; states: ProofFolder },
  judge: Judge,
  violations: Violations,
): Promise<void> {
  const { policy, seed } = options;
  const prng = new Prng(deriveSeed(seed, records.length));
  const model = new DiskModel();
  const answers = new Answers(ledgers.length);
  let at = 0;
  for (const [index, cut] of chooseCuts(records, options.cuts, prng).entries()) {
    for (; at < cut; at++) {
      model.apply(records[at] as DiskRecord);
      answers.apply(records[at] as DiskRecord);
    }
    const variant = VARIANTS[index % VARIANTS.length] as Variant;
    const dir = mkdtempSync(join(options.states.dir, 'state-'));
    model.write(dir, variant, prng);
    const atMs = records[Math.max(cut - 1, 0)]?.atMs ?? 0;
    const what = `${policy} on ${options.layout}, cut ${cut} of ${records.length}, ${variant}`;
    const trial: Trial = { policy, judgedAs: options.judgedAs ?? policy, variant, what, atMs };
    const isForServer = options.serverEvery !== undefined && index % options.serverEvery === 0;
    await judge.judge(dir, answers, ledgers, trial);
    if (isForServer && variant !== 'mixed') {
      judge.figures.servers++;
      await startServer(dir, options.layout, what, violations);
    }
    rmSync(dir, { recursive: true, force: true });
  }
}

async function startServer(dir: string, layout: string, what: string, violations: Violations): Promise<void> {
  try {
    const server = await startIn(dir, layout, []);
    await server.stop();
  } catch (error) {
    violations.add(`${what}: a server did not start: ${String(error)}`);
  }
}

/** Runs the proof: a recording for each policy. */
export async function provePowerLoss(options: PowerLossOptions): Promise<ProofResult> {
  const { seed, policies = ['always', 'everysec', 'no'], layouts } = options;
  const violations = new Violations();
  const figures: Record<string, number> = {};
  const restarter = await Restarter.make();
  const folder = new ProofFolder();
  const states = new ProofFolder(true);
  try {
    for (const [index, policy] of policies.entries()) {
      const layout = layouts[index % layouts.length] as string;
      const recording = await record(folder, policy, layout, deriveSeed(seed, index), options.loadMs);
      const judge = new Judge(restarter, violations, options.everysecLossMsMax ?? EVERYSEC_LOSS_MS_MAX);
      await judgeRecording(recording, { ...options, policy, layout, states }, judge, violations);
      figures[`${policy}Acknowledged`] = recording.ledgers.reduce((sum, ledger) => sum + ledger.acknowledged, 0);
      for (const [name, value] of Object.entries(judge.figures)) figures[`${policy} ${name}`] = value;
    }
  } finally {
    await restarter.end();
    folder.remove();
    states.remove();
  }
  return violations.result('power-loss', seed, figures);
}
