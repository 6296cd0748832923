/**
 * Runs a script on two servers at once, step by step, and says where they first differ.
 *
 * Each step is written to both at the same moment. Then the oracle is asked what it did (side.ts), the subject must do
 * the same within `patienceMs`, and every connection's frames of this step are compared, and the states (free, in a
 * transaction, blocked, closed) of all. What the servers say must be the same even where nobody was addressed: a frame
 * too much on any connection is a difference. After the last step the data of both are compared, key by key.
 *
 * The first difference ends the run: what follows it compares two histories.
 */
import { compareKeyspace } from '../differential/dump.js';
import { ConnectionEnded, ReplyTimeout } from '../support/resp-client.js';
import type { RunningServer } from '../support/oracle.js';
import { findRow, type ScriptDifference } from './accepted.js';
import { Expiry } from './expiry.js';
import { compareFrames, lineName, namesOf, normalise, type Names } from './compare.js';
import { bytesOf, wordOf, type Line, type Script, type State, type Step } from './script.js';
import { Side, sleep, type Lead } from './side.js';

/** The two servers disagree. */
export interface Difference {
  kind: ScriptDifference['kind'];
  stepIndex: number;
  /** Connection that received something else; -1 for data. */
  connection: number;
  /** The first difference, in words. */
  oracle: string;
  subject: string;
  /** All frames of that connection in that step, in words. */
  transcripts: { oracle: string[]; subject: string[] };
}

export interface RunResult {
  difference?: Difference;
  /** Steps that both servers did. */
  steps: number;
  frames: number;
}

export interface DriverOptions {
  startOracle: () => Promise<RunningServer>;
  startSubject: () => Promise<RunningServer>;
  /** How long the subject may need for what the oracle has done (default 2 s). */
  patienceMs?: number;
  /** Whether a push may come after the sender's reply and before an answer to a later PING (side.ts). */
  isEager?: boolean;
  /** The subject is a redis-server like the oracle: no difference is accepted, no order put straight. */
  isStrict?: boolean;
}

/** What a difference is told of the step, whatever differs in it. */
type Circumstances = Pick<ScriptDifference, 'causeLines' | 'expired' | 'trackingWords' | 'isReorderedTarget'>;

const PATIENCE_MS = 2_000;
/** A step that waited for its timeout on the oracle may not end earlier than this part of it on the subject. */
const TIMEOUT_PART = 0.9;
/** Shorter ones prove nothing: the machine alone may take so long. */
const TIMEOUT_LEAST_MS = 20;
const NOTHING = '(nothing)';

export class Driver {
  /** How often each accepted difference was met, by id. */
  readonly acceptedUses = new Map<string, number>();
  patienceMs: number;
  private readonly isEager: boolean;
  private readonly isStrict: boolean;
  private readonly oracle: Side;
  private readonly subject: Side;
  private states: State[] = [];
  /** What each connection has sent and may still be answered: queued in a transaction, or waiting. */
  private pending: Line[][] = [];
  /** What each has said to CLIENT TRACKING since it was opened. */
  private trackingWords: Set<string>[] = [];
  private expiry = new Expiry();
  /** Keys that this step's commands have found expired, and frames about them that only the subject has sent. */
  private expired: ReadonlySet<string> = new Set();
  private extras = new Set<string>();
  private tokenCount = 0;
  private frames = 0;

  constructor(options: DriverOptions) {
    this.oracle = new Side(options.startOracle);
    this.subject = new Side(options.startSubject);
    this.patienceMs = options.patienceMs ?? PATIENCE_MS;
    this.isEager = options.isEager ?? false;
    this.isStrict = options.isStrict ?? false;
  }

  async stop(): Promise<void> {
    await Promise.all([this.oracle.stop(), this.subject.stop()]);
  }

  /** Runs one script; never throws for what a server does. */
  async run(script: Script): Promise<RunResult> {
    let stepIndex = 0;
    this.frames = 0;
    const done = (difference?: Difference): RunResult => {
      const counts = { steps: stepIndex, frames: this.frames };
      return difference === undefined ? counts : { difference, ...counts };
    };
    try {
      await this.prepare(script);
      for (; stepIndex < script.steps.length; stepIndex++) {
        const outcome = await this.runStep(script, script.steps[stepIndex] as Step, stepIndex);
        if (outcome === 'over') return done();
        if (outcome !== undefined) return done(outcome);
      }
      return done(await this.compareData(stepIndex - 1));
    } catch (error) {
      if (!isServersDoing(error)) throw error;
      for (const side of [this.oracle, this.subject]) side.renewControl();
      const [oracle, subject] = [await this.oracle.epitaph(), await this.subject.epitaph()];
      const why = (error as Error).message;
      return done({ kind: 'ended', stepIndex, connection: -1, oracle: `${why}${oracle}`, subject: `${why}${subject}`,
        transcripts: { oracle: [], subject: [] } });
    }
  }

  private async prepare(script: Script): Promise<void> {
    await Promise.all([this.oracle.prepare(script), this.subject.prepare(script)]);
    this.states = script.resp.map(() => 'free');
    this.pending = script.resp.map(() => []);
    this.trackingWords = script.resp.map(() => new Set());
    this.expiry = new Expiry();
  }

  /** Whether the step has no meaning in the present state, which is the same on both servers. */
  private isIdle(step: Step): boolean {
    const state = this.states[step.connection];
    if (step.act === 'open') return state !== 'closed';
    if (state === 'closed' || (state === 'multi' && step.notQueued === true)) return true;
    return step.act === 'send' && state === 'blocked' && step.evenBlocked !== true;
  }

  private async runStep(script: Script, step: Step, stepIndex: number): Promise<Difference | 'over' | undefined> {
    if (step.beforeMs !== undefined) await sleep(step.beforeMs);
    if (this.isIdle(step)) return undefined;
    const token = `fence-${this.tokenCount++}`;
    this.pending[step.connection]?.push(...step.lines);
    this.noteTracking(step);
    const beganAtMs = performance.now();
    const named = this.expiry.namedIn(this.pending[step.connection] ?? [], beganAtMs);
    const countsBefore = named.size > 0 ? await this.expiredCounts(token) : [];
    await Promise.all([this.oracle.perform(script, step), this.subject.perform(script, step)]);
    const lead = await this.oracle.lead(step, token, beganAtMs);
    const states = await this.subject.follow(step, lead, token, this.patienceMs, this.isEager);
    const sender = this.subject.wires[step.connection];
    const subjectMs = sender === undefined || sender.frames.length === 0 ? 0 : sender.firstFrameAtMs - beganAtMs;
    this.states = lead.states;
    const counts = named.size > 0 ? await this.expiredCounts(token) : [];
    const hasExpired = counts.length > 0 && counts.every((count, at) => count > (countsBefore[at] as number));
    this.expiry.note(step.lines, performance.now(), hasExpired);
    this.expired = hasExpired ? named : new Set();
    this.extras.clear();
    const outcome =
      this.compareStep(script, step, stepIndex, token) ??
      this.compareStates(script, step, stepIndex, lead, states) ??
      compareTimes(step, stepIndex, lead, subjectMs);
    for (const [at, state] of lead.states.entries()) if (state === 'free' || state === 'closed') this.pending[at] = [];
    return outcome;
  }

  private noteTracking({ connection, act, lines }: Step): void {
    const words = this.trackingWords[connection] as Set<string>;
    if (act === 'open') words.clear();
    for (const line of lines) {
      if (lineName(line) === 'client|tracking') for (const word of line) words.add(wordOf(word));
    }
  }

  private expiredCounts(token: string): Promise<number[]> {
    return Promise.all([this.oracle.expiredCount(token), this.subject.expiredCount(token)]);
  }

  private compareStep(script: Script, step: Step, stepIndex: number, token: string): Difference | 'over' | undefined {
    const oracleFrames = this.oracle.takeFrames();
    const subjectFrames = this.subject.takeFrames();
    const causes = namesOf(this.pending[step.connection] ?? []);
    let isOver = false;
    let first: Difference | undefined;
    for (const connection of script.resp.keys()) {
      const [left, right] = [oracleFrames[connection] ?? [], subjectFrames[connection] ?? []];
      this.frames += left.length;
      const isSender = connection === step.connection;
      // A connection that was woken is answered for what it had sent before; the sender's own are the step's, too.
      const pending = this.pending[connection] ?? [];
      const commands = namesOf(pending);
      const words = (frames: Buffer[], names: Names): string[] =>
        frames.map((frame) => normalise(frame, names, commands));
      const context = {
        token, isSender, isSameVersion: this.isStrict, lineCount: step.lines.length, commands, causes,
          oracleNames: this.oracle, subjectNames: this.subject,
      };
      const difference = compareFrames(left, right, context, ({ oracle, subject }) => {
        const row = this.accept({
          ...this.circumstances(step), kind: 'frame', pending, causes, connection, isSender,
          resp: script.resp[connection] ?? 2, oracle, subject,
          isReorderedTarget: this.isTarget(connection) && isReordered(words(left, this.oracle), words(right, this.subject)),
        });
        isOver ||= row?.ends === true;
        if (row?.isExtra !== true) return row === undefined ? undefined : 'instead';
        const isRepeated = this.extras.has(subject ?? '');
        this.extras.add(subject ?? '');
        return isRepeated ? undefined : 'extra';
      });
      // What makes the servers' data differ shows with those who look on as well, who may come before whom it is about.
      if (isOver) return 'over';
      if (difference === undefined || first !== undefined) continue;
      first = {
        kind: 'frame',
        stepIndex,
        connection,
        oracle: difference.oracle ?? NOTHING,
        subject: difference.subject ?? NOTHING,
        transcripts: { oracle: words(left, this.oracle), subject: words(right, this.subject) },
      };
    }
    return first;
  }

  /** Whether invalidations for other connections go to this one. */
  private isTarget(connection: number): boolean {
    return this.trackingWords.some((words) => words.has(`{id:${connection}}`));
  }

  /** What rows may ask about a step, whatever differs in it. */
  private circumstances(step: Step): Circumstances {
    const { connection } = step;
    return {
      isReorderedTarget: false,
      causeLines: this.pending[connection] ?? [],
      expired: this.expired,
      trackingWords: this.trackingWords[connection] ?? new Set(),
    };
  }

  private compareStates(
    script: Script,
    step: Step,
    stepIndex: number,
    lead: Lead,
    states: State[],
  ): Difference | 'over' | undefined {
    const causes = namesOf(this.pending[step.connection] ?? []);
    for (const [connection, oracle] of lead.states.entries()) {
      const subject = states[connection] as State;
      if (oracle === subject) continue;
      const row = this.accept({
        ...this.circumstances(step), kind: 'state', pending: this.pending[connection] ?? [], causes, connection,
          isSender: connection === step.connection, resp: script.resp[connection] ?? 2, oracle, subject,
      });
      if (row !== undefined) return 'over';
      return { kind: 'state', stepIndex, connection, oracle, subject, transcripts: { oracle: [], subject: [] } };
    }
    return undefined;
  }

  private accept(difference: ScriptDifference): ReturnType<typeof findRow> {
    const row = findRow(difference, this.isStrict);
    if (row !== undefined) this.acceptedUses.set(row.id, (this.acceptedUses.get(row.id) ?? 0) + 1);
    return row;
  }

  private async compareData(stepIndex: number): Promise<Difference | undefined> {
    const [oracle, subject] = [await this.oracle.control(), await this.subject.control()];
    const data = await compareKeyspace(oracle, subject);
    if (data === undefined) return undefined;
    const row = this.accept({ kind: 'keyspace', connection: -1, isSender: false, pending: [], resp: 2, causes: new Set(),
      causeLines: [], expired: new Set(), trackingWords: new Set(), isReorderedTarget: false, oracle: data.subjectOf, subject: data.subjectOf });
    if (row !== undefined) return undefined;
    const transcripts = { oracle: [data.oracle], subject: [data.subject] };
    return { kind: 'keyspace', stepIndex, connection: -1, oracle: data.subjectOf, subject: data.subjectOf,
      transcripts };
  }
}

/** Whether two lists hold the same frames; a null is one in either protocol. */
function isReordered(oracle: readonly string[], subject: readonly string[]): boolean {
  const sorted = (words: readonly string[]): string => words.map((text) => text.replace(/\$-1\r\n/g, '_\r\n')).sort().join();
  return sorted(oracle) === sorted(subject);
}

/** Says when the subject gave up a wait before its time, which the oracle kept. */
export function compareTimes(step: Step, stepIndex: number, lead: Lead, subjectMs: number): Difference | undefined {
  const timeoutMs = step.untilFree === true ? (step.timeoutMs ?? 0) : 0;
  if (timeoutMs < TIMEOUT_LEAST_MS || lead.firstFrameMs < timeoutMs ||
    subjectMs >= timeoutMs * TIMEOUT_PART) return undefined;
  const [oracle, subject] = [`answered after ${lead.firstFrameMs} ms`, `answered after ${subjectMs} ms`];
  return { kind: 'early', stepIndex, connection: step.connection, oracle, subject,
    transcripts: { oracle: [], subject: [] } };
}

/** A server that hung up, is silent, or has gone; all else is a mistake of the tester. */
function isServersDoing(error: unknown): boolean {
  if (error instanceof ConnectionEnded || error instanceof ReplyTimeout) return true;
  return error instanceof Error && 'code' in error &&
    ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(String(error.code));
}

/** Names of the script's commands, for counting what was covered. */
export function commandsOf(script: Script): string[] {
  return script.steps.flatMap((step) => step.lines.map((line) => lineName(line.map(bytesOf))));
}
