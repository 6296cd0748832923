/**
 * Two servers, the oracle and the subject, that get the same bytes and must give the same replies.
 *
 * A stream runs on fresh data (FLUSHALL) over a few connections per server. Each batch is written to both servers
 * at once and closed by an ECHO of a token that occurs nowhere else, so that a server that answers too much or too
 * little is found out in the same batch. Connections take turns: a batch is answered before another connection
 * sends, so that the order of effects is the stream's order on both servers, whatever thread serves a connection.
 * After the last batch the whole keyspace is read from both and compared (dump.ts).
 *
 * The first difference ends the run: what follows it compares two different histories.
 */
import type { RunningServer } from '../support/oracle.js';
import { ConnectionEnded, encodeCommand, ReplyTimeout, RespClient, type Reply } from '../support/resp-client.js';
import { findAccepted, type ReplyDifference } from './accepted.js';
import { isSame } from './compare.js';
import { compareKeyspace, compareScans } from './dump.js';
import { fullName } from './grammar.js';
import type { Step, Stream } from './generator.js';
import { Prng } from './prng.js';
import { ruleOf, SAFE_OPTIONS } from './rules.js';

/** The two servers disagree. */
export interface Difference {
  kind: 'reply' | 'push' | 'count' | 'keyspace' | 'scan' | 'ended';
  /** Index of the step in its stream; for what is found after the stream, the last step. */
  stepIndex: number;
  /** Full command name, or what was compared. */
  subjectOf: string;
  oracle: string;
  subject: string;
}

export interface RunResult {
  difference?: Difference;
  /** Commands that both servers answered. */
  commands: number;
}

type Side = 'oracle' | 'subject';
const SIDES: readonly Side[] = ['oracle', 'subject'];

const REPLY_TIMEOUT_MS = 30_000;
const LOG_TAIL_BYTES = 3_000;
const EXIT_NEWS_MS = 300;
const NO_REPLY = '(no reply)';
const NO_DUMP = Buffer.alloc(0);
const RESTORE_PAYLOAD_AT = 3;

interface Batch {
  steps: Step[];
  /** Index of the first step in the stream. */
  from: number;
}

export class Pair {
  /** How often each accepted difference was met, by id. */
  readonly acceptedUses = new Map<string, number>();
  private readonly start: Record<Side, () => Promise<RunningServer>>;
  private readonly servers: Partial<Record<Side, RunningServer>> = {};
  private readonly alive = new Set<RunningServer>();
  private readonly clients: Record<Side, RespClient[]> = { oracle: [], subject: [] };
  private isConfigDirty = false;
  private batchCount = 0;
  /** What each server gave to the stream's last DUMP; empty for a key that was none. */
  private readonly dumps: Record<Side, Buffer> = { oracle: NO_DUMP, subject: NO_DUMP };

  constructor(startOracle: () => Promise<RunningServer>, startSubject: () => Promise<RunningServer>) {
    this.start = { oracle: startOracle, subject: startSubject };
  }

  /** Port of the subject's present process. Starts it when needed. */
  async subjectPort(): Promise<number> {
    await this.ensureAlive();
    return (this.servers.subject as RunningServer).port;
  }

  async stop(): Promise<void> {
    for (const side of SIDES) {
      for (const client of this.clients[side]) client.close();
      await this.servers[side]?.stop();
    }
  }

  /** Runs one stream; never throws for what a server does. */
  async run(stream: Stream): Promise<RunResult> {
    await this.ensureAlive();
    let commands = 0;
    let lastStep = 0;
    try {
      await this.prepare(stream);
      const split = new Prng(stream.seed ^ 0x5bd1e995);
      for (const batch of batchesOf(stream)) {
        lastStep = batch.from + batch.steps.length - 1;
        const difference = await this.runBatch(stream, batch, split);
        commands += batch.steps.length;
        if (difference) return { difference, commands };
        if (this.bothEnded()) return { commands };
      }
      const difference = await this.compareData(stream, lastStep);
      return difference ? { difference, commands } : { commands };
    } catch (error) {
      if (!(error instanceof Error) || !isServersDoing(error)) throw error;
      return {
        difference: await this.endedDifference(lastStep, 'after the stream', error.message, error.message),
        commands,
      };
    }
  }

  // ---- Preparation ----

  private async ensureAlive(): Promise<void> {
    for (const side of SIDES) {
      const server = this.servers[side];
      if (server && this.alive.has(server)) continue;
      const started = await this.start[side]();
      this.servers[side] = started;
      this.alive.add(started);
      void started.exited.then(() => this.alive.delete(started));
      for (const client of this.clients[side].splice(0)) client.close();
      this.isConfigDirty = true;
    }
  }

  /** Fresh data and connections in their first state. */
  private async prepare(stream: Stream): Promise<void> {
    for (const side of SIDES) this.dumps[side] = NO_DUMP;
    const setUp: (string | Buffer)[][] = [['RESET'], ['FLUSHALL'], ['DEBUG', 'SET-ACTIVE-EXPIRE', '1']];
    if (this.isConfigDirty) {
      for (const [name, option] of Object.entries(SAFE_OPTIONS)) setUp.push(['CONFIG', 'SET', name, option.initial]);
    }
    this.isConfigDirty = stream.steps.some((step) => fullName(step.args) === 'config|set');
    for (const side of SIDES) {
      const port = (this.servers[side] as RunningServer).port;
      const clients = this.clients[side];
      for (let index = 0; index < stream.connections; index++) {
        if (clients[index]?.isEnded !== false) clients[index] = await RespClient.connect({ port });
        const client = clients[index] as RespClient;
        const hello: string[][] = stream.resp === 3 ? [['HELLO', '3']] : [];
        const first = index === 0 ? setUp : [['RESET']];
        await client.pipeline([...first, ...hello], REPLY_TIMEOUT_MS);
        client.pushes.length = 0;
      }
    }
  }

  private client(side: Side, connection: number): RespClient {
    return this.clients[side][connection] as RespClient;
  }

  private bothEnded(): boolean {
    return SIDES.every((side) => this.clients[side].some((client) => client.isEnded));
  }

  // ---- Batches ----

  private async runBatch(stream: Stream, batch: Batch, split: Prng): Promise<Difference | undefined> {
    const token = Buffer.from(`end-of-batch-${this.batchCount++}`);
    const answered = answeredSteps(batch.steps);
    const usesReply = batch.steps.some((step) => fullName(step.args) === 'client|reply');
    const closing = usesReply ? [['CLIENT', 'REPLY', 'ON'], ['ECHO', token]] : [['ECHO', token]];
    const bytesFor = (side: Side): Buffer =>
      Buffer.concat([...batch.steps.map((step) => this.argumentsFor(side, step)), ...closing].map(encodeCommand));
    const last = Buffer.concat([Buffer.from(`$${token.length}\r\n`), token, Buffer.from('\r\n')]);

    const connection = (batch.steps[0] as Step).connection;
    const isSplit = stream.delivery === 'split';
    const chunksOf = Object.fromEntries(
      SIDES.map((side) => [side, isSplit ? splitRandomly(bytesFor(side), split) : [bytesFor(side)]]),
    ) as Record<Side, Buffer[]>;
    const outcomes = await Promise.all(
      SIDES.map(async (side): Promise<Reply[] | Error> => {
        const client = this.client(side, connection);
        const chunks = chunksOf[side];
        for (const chunk of chunks) {
          client.write(chunk);
          if (chunks.length > 1) await new Promise((resolve) => setImmediate(resolve));
        }
        return client.readUntil(last, REPLY_TIMEOUT_MS).catch((error: Error) => error);
      }),
    );
    const [oracle, subject] = outcomes;
    if (!Array.isArray(oracle) || !Array.isArray(subject)) {
      if (oracle instanceof ConnectionEnded && subject instanceof ConnectionEnded) return undefined;
      const describe = (outcome: Reply[] | Error | undefined): string =>
        Array.isArray(outcome) ? `${outcome.length} replies` : (outcome?.message ?? 'nothing');
      return this.endedDifference(batch.from + batch.steps.length - 1, 'batch', describe(oracle), describe(subject));
    }
    this.keepDumps(batch, answered, { oracle, subject });
    const pauseMs = batch.steps[batch.steps.length - 1]?.pauseMs;
    if (pauseMs !== undefined) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    return this.compareReplies(stream, batch, answered, oracle, subject) ?? this.comparePushes(batch, connection);
  }

  private argumentsFor(side: Side, step: Step): Buffer[] {
    return step.dump === 'takes' ? step.args.with(RESTORE_PAYLOAD_AT, this.dumps[side]) : step.args;
  }

  private keepDumps(batch: Batch, answered: number[], replies: Record<Side, Reply[]>): void {
    for (const [index, offset] of answered.entries()) {
      if (batch.steps[offset]?.dump !== 'gives') continue;
      for (const side of SIDES) {
        const value = replies[side][index]?.value;
        this.dumps[side] = value?.kind === 'bulk' ? value.bytes : NO_DUMP;
      }
    }
  }

  private compareReplies(
    stream: Stream,
    batch: Batch,
    answered: number[],
    oracle: Reply[],
    subject: Reply[],
  ): Difference | undefined {
    const count = Math.max(oracle.length, subject.length);
    for (let index = 0; index < count; index++) {
      const left = oracle[index]?.raw;
      const right = subject[index]?.raw;
      if (left && right && left.equals(right)) continue;
      const offset = answered[index];
      const step = batch.steps[offset ?? batch.steps.length - 1] as Step;
      const stepIndex = batch.from + (offset ?? batch.steps.length - 1);
      const name = fullName(step.args);
      if (left && right) {
        if (isSame(ruleOf(name).compare ?? 'exact', left, right)) continue;
        const difference = {
          name,
          args: step.args,
          resp: stream.resp,
          oracle: left.toString('latin1'),
          subject: right.toString('latin1'),
        };
        if (this.isAccepted(difference)) continue;
        return {
          kind: 'reply',
          stepIndex,
          subjectOf: describeCommand(name, step.args),
          oracle: difference.oracle,
          subject: difference.subject,
        };
      }
      return {
        kind: 'count',
        stepIndex,
        subjectOf: name,
        oracle: left?.toString('latin1') ?? NO_REPLY,
        subject: right?.toString('latin1') ?? NO_REPLY,
      };
    }
    return undefined;
  }

  private comparePushes(batch: Batch, connection: number): Difference | undefined {
    const [oracle, subject] = SIDES.map((side) => {
      const pushes = this.client(side, connection).pushes.splice(0);
      return pushes.map((push) => push.text).join('');
    });
    if (oracle === subject) return undefined;
    const stepIndex = batch.from + batch.steps.length - 1;
    return {
      kind: 'push',
      stepIndex,
      subjectOf: 'push frames of the batch',
      oracle: oracle ?? '',
      subject: subject ?? '',
    };
  }

  private isAccepted(difference: ReplyDifference): boolean {
    const row = findAccepted(difference);
    if (!row) return false;
    this.acceptedUses.set(row.id, (this.acceptedUses.get(row.id) ?? 0) + 1);
    return true;
  }

  private async endedDifference(stepIndex: number, what: string, oracle: string, subject: string): Promise<Difference> {
    // The end of a process is told a moment after the end of its connections.
    await new Promise((resolve) => setTimeout(resolve, EXIT_NEWS_MS));
    const tails = SIDES.map((side) => {
      const server = this.servers[side];
      return server && !this.alive.has(server) ? ` (process gone; log: …${server.log().slice(-LOG_TAIL_BYTES)})` : '';
    });
    // A server that hangs is of no use to the next stream.
    for (const side of SIDES) for (const client of this.clients[side].splice(0)) client.close();
    return {
      kind: 'ended',
      stepIndex,
      subjectOf: what,
      oracle: oracle + (tails[0] ?? ''),
      subject: subject + (tails[1] ?? ''),
    };
  }

  // ---- Data ----

  private async compareData(stream: Stream, stepIndex: number): Promise<Difference | undefined> {
    const oracle = this.client('oracle', 0);
    const subject = this.client('subject', 0);
    const data = await compareKeyspace(oracle, subject);
    if (data) return { kind: 'keyspace', stepIndex, ...data };
    const prng = new Prng(stream.seed ^ 0x2545f491);
    if (!prng.chance(0.1)) return undefined;
    const scan = await compareScans(oracle, subject, prng);
    return scan ? { kind: 'scan', stepIndex, ...scan } : undefined;
  }
}

/** The command's name; DEBUG has no subcommands in the table, but it has different bugs. */
function describeCommand(name: string, args: readonly Buffer[]): string {
  return name === 'debug' ? `debug ${(args[1] ?? Buffer.alloc(0)).toString('latin1').toLowerCase()}` : name;
}

/** A server that hung up, is silent, or has gone; all else is a mistake of the harness. */
function isServersDoing(error: Error): boolean {
  return (
    error instanceof ConnectionEnded ||
    error instanceof ReplyTimeout ||
    ('code' in error && error.code === 'ECONNREFUSED')
  );
}

/** Cuts a stream into batches: same connection, at most `batchMax`, ended by a pause or a DUMP whose reply is needed. */
function* batchesOf(stream: Stream): Generator<Batch> {
  const max = stream.delivery === 'single' ? 1 : stream.batchMax;
  let steps: Step[] = [];
  let from = 0;
  for (const [index, step] of stream.steps.entries()) {
    if (steps.length > 0 && (steps.length >= max || steps[0]?.connection !== step.connection)) {
      yield { steps, from };
      steps = [];
    }
    if (steps.length === 0) from = index;
    steps.push(step);
    if (step.pauseMs !== undefined || step.dump === 'gives') {
      yield { steps, from };
      steps = [];
    }
  }
  if (steps.length > 0) yield { steps, from };
}

/** Indexes of the steps that get a reply, by the rules of CLIENT REPLY. Every batch begins with replies on. */
export function answeredSteps(steps: readonly Step[]): number[] {
  const answered: number[] = [];
  let isOff = false;
  let isSkipping = false;
  for (const [index, step] of steps.entries()) {
    const name = fullName(step.args);
    const mode =
      name === 'client|reply' && step.args.length === 3
        ? (step.args[2] as Buffer).toString('latin1').toLowerCase()
        : '';
    if (mode === 'off') {
      isOff = true;
      isSkipping = false;
    } else if (mode === 'skip') {
      if (!isOff) isSkipping = true;
    } else if (mode === 'on') {
      isOff = isSkipping = false;
      answered.push(index);
    } else if (isSkipping) {
      // RESET too: it lifts OFF, but the skip has been decided before it runs.
      isSkipping = false;
    } else if (name === 'reset' && step.args.length === 1) {
      isOff = false;
      answered.push(index);
    } else if (!isOff) {
      answered.push(index);
    }
  }
  return answered;
}

function splitRandomly(payload: Buffer, prng: Prng): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  while (at < payload.length && chunks.length < 500) {
    const size = prng.chance(0.5) ? prng.between(1, 3) : prng.between(1, 200);
    chunks.push(payload.subarray(at, at + size));
    at += size;
  }
  if (at < payload.length) chunks.push(payload.subarray(at));
  return chunks;
}
