/**
 * RDB files as a pure state machine: when the dataset is saved, what is answered, what happens when a save fails.
 * `step(state, event, now)` gives the next state and actions, which are data; somebody else carries them out, in
 * order, and answers with `done` or `failed`, as with aof-state.ts beside this file.
 *
 *            SAVE · BGSAVE · save point · tick with something scheduled
 *   idle ──────────────────────────────────────────────────────────────► saving ── done ──► idle
 *     ▲                                                                     │ failed (disk, cancelled)
 *     └───────────── temporary file gone ◄── unlink, tried again each tick ◄┘
 *
 * A save is: the dataset of one instant into temp-<pid>.rdb, synced · rename to its name · sync of the directory. So
 * the file of that name is always a whole one, the old or the new.
 *
 * Which changes a save has taken in is told by the counter of changes as it was when the save was asked for. The
 * instant is a little later, so changes in between are counted as unsaved although they are in the file: a save
 * point can come too early by these, never too late.
 *
 * Differences from Redis that follow from not stopping the world: SAVE does not hold up others; a SAVE that comes
 * while another one runs waits for a save of its own; what a foreground save keeps waiting (BGSAVE) is begun behind
 * it.
 *
 * Invariants:
 * 1. One save at a time; none is begun while the AOF is being rewritten, but SAVE, which waits for its turn.
 * 2. A save point that is due is saved at the next tick, but for 5 s behind a failure, as Redis. Unlike there, a save
 *    is due as well while writes are refused, so that they are let pass again without anybody's help.
 * 3. Every SAVE is answered once. A temporary file is unlinked, or remembered until it is.
 *
 * Pure: no clock, no file. Main thread only by custom; the state is plain data.
 */
import { assert, assertNever, assertPresent } from '../util/assert.js';

/** `save <seconds> <changes>`. */
export interface SavePoint {
  seconds: number;
  changes: bigint;
}

export interface RdbOptions {
  savePoints: readonly SavePoint[];
  /** stop-writes-on-bgsave-error */
  stopsWrites: boolean;
  /** Makes the temporary name this process's own; its pid. */
  processId: number;
}

/** Where a save goes; a running save does not move when the options change. */
export interface RdbPlace {
  /** Absolute. */
  directory: string;
  /** dbfilename */
  filename: string;
}

/** What is to be done. Those of the second group cannot fail and come first. */
export type RdbAction =
  /** Writes the dataset of one instant and syncs it. Waits for its turn when another snapshot is running. */
  | { do: 'snapshot'; path: string }
  | { do: 'rename'; from: string; to: string }
  | { do: 'sync-directory'; path: string }
  /** A file that is not there is fine. */
  | { do: 'unlink'; path: string }
  | { do: 'log'; level: 'notice' | 'warning'; text: string }
  /** Stops the snapshot; its batch fails. */
  | { do: 'cancel-snapshot' }
  /** '' lets writes pass again. */
  | { do: 'refuse-writes'; text: string }
  /** The SAVE with this token is over. */
  | { do: 'answer'; token: number; isOk: boolean };

export type RdbEvent =
  | { type: 'options'; savePoints: readonly SavePoint[]; stopsWrites: boolean }
  /** The dataset is what is in the files; counting begins here. */
  | { type: 'loaded'; dirty: bigint }
  /** SAVE, or the last save of a shutdown. */
  | { type: 'save'; token: number; dirty: bigint; place: RdbPlace }
  /** `isOtherRunning`: the AOF is being rewritten. */
  | { type: 'bgsave'; isScheduling: boolean; isOtherRunning: boolean; dirty: bigint; place: RdbPlace }
  | { type: 'tick'; isOtherRunning: boolean; dirty: bigint; place: RdbPlace }
  /** The shutdown does not wait for a save in the background. */
  | { type: 'cancel' }
  | { type: 'done'; batch: number; extraBytesPeak: bigint }
  | { type: 'failed'; batch: number; index: number; reason: string }
  | { type: 'reset-stats' };

interface Job {
  batch: number;
  isForeground: boolean;
  startedAtMs: number;
  /** The counter of changes when the save was asked for. */
  dirty: bigint;
  /** SAVEs that wait for this one. */
  tokens: readonly number[];
  isCancelled: boolean;
  temporary: string;
  /** Index of the first action that can fail. */
  firstIndex: number;
}

/** The state; plain data, replaced by each step, never changed. */
export interface RdbState {
  options: RdbOptions;
  job: Job | undefined;
  /** SAVEs that came while another one ran. */
  waiting: { tokens: readonly number[]; dirty: bigint; place: RdbPlace } | undefined;
  /** BGSAVE that waits for the AOF's rewrite (SCHEDULE), or for a SAVE. */
  isScheduled: boolean;
  /** Temporary files that are still there. */
  leftovers: readonly string[];
  /** Batch that unlinks them. */
  cleaning: number;
  /** The counter of changes at the last save that has worked. */
  dirtySaved: bigint;
  lastSaveSec: number;
  lastTrySec: number;
  isLastOk: boolean;
  /** Of the last save in the background; -1: none. */
  lastTookSec: number;
  lastExtraBytes: bigint;
  saves: number;
  /** What writes are refused with, '' for nothing. */
  refusal: string;
  batchCount: number;
}

/** The result of a step. `batch` is what `done` and `failed` must name; 0: nobody waits for an answer. */
export interface RdbStep {
  state: RdbState;
  actions: RdbAction[];
  batch: number;
  /** What BGSAVE is answered. */
  reply?: { isError: boolean; text: string };
}

/** Seconds between a save that has failed and the next one that nobody asked for: as in Redis, but soon while writes
 *  are refused for it, since nothing else lets them pass again. */
const RETRY_SEC = 5;
const HEALING_RETRY_SEC = 0;
/** Clients know this text. */
export const SAVE_ERROR_REFUSAL =
  "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. " +
  'Commands that may modify the data set are disabled, because this instance is configured to report errors during ' +
  'writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details ' +
  'about the RDB error.';
const IN_PROGRESS = 'Background save already in progress';
const OTHER_RUNNING =
  "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a " +
  'BGSAVE whenever possible.';

export function initialRdbState(options: RdbOptions, nowMs: number): RdbState {
  return {
    options,
    job: undefined,
    waiting: undefined,
    isScheduled: false,
    leftovers: [],
    cleaning: 0,
    dirtySaved: 0n,
    lastSaveSec: seconds(nowMs),
    lastTrySec: 0,
    isLastOk: true,
    lastTookSec: -1,
    lastExtraBytes: 0n,
    saves: 0,
    refusal: '',
    batchCount: 0,
  };
}

export function step(state: RdbState, event: RdbEvent, nowMs: number): RdbStep {
  return withRefusal(stepWithout(state, event, nowMs));
}

function stepWithout(state: RdbState, event: RdbEvent, nowMs: number): RdbStep {
  switch (event.type) {
    case 'options': {
      const { savePoints, stopsWrites } = event;
      return quiet({ ...state, options: { ...state.options, savePoints, stopsWrites } });
    }
    case 'loaded':
      return quiet({ ...state, dirtySaved: event.dirty });
    case 'save':
      return save(state, event, nowMs);
    case 'bgsave':
      return bgsave(state, event, nowMs);
    case 'tick':
      return tick(state, event, nowMs);
    case 'cancel':
      return cancel(state);
    case 'done':
      return done(state, event.batch, event.extraBytesPeak, nowMs);
    case 'failed':
      return failed(state, event, nowMs);
    case 'reset-stats':
      return quiet({ ...state, saves: 0 });
    default:
      return assertNever(event);
  }
}

// ---- What INFO and others ask ----

export const isSavingInBackground = (state: RdbState): boolean => state.job !== undefined && !state.job.isForeground;

/** Seconds that the save in the background runs; -1 without. */
export function currentSaveSec(state: RdbState, nowMs: number): number {
  return isSavingInBackground(state) ? seconds(nowMs) - seconds(state.job?.startedAtMs ?? 0) : -1;
}

// ---- Beginning ----

const seconds = (ms: number): number => Math.floor(ms / 1000);
const notice = (text: string): RdbAction => ({ do: 'log', level: 'notice', text });
const warning = (text: string): RdbAction => ({ do: 'log', level: 'warning', text });

function quiet(state: RdbState): RdbStep {
  return { state, actions: [], batch: 0 };
}

/** Tells the engine whenever what writes are refused with has changed. */
function withRefusal(next: RdbStep): RdbStep {
  const { options, isLastOk, refusal } = next.state;
  const wanted = options.stopsWrites && options.savePoints.length > 0 && !isLastOk ? SAVE_ERROR_REFUSAL : '';
  if (wanted === refusal) return next;
  // The actions of a batch are counted from its first one, so this one goes in front of it only with its count.
  const state = { ...next.state, refusal: wanted };
  if (state.job !== undefined && state.job.batch === next.batch) {
    state.job = { ...state.job, firstIndex: state.job.firstIndex + 1 };
  }
  return { ...next, state, actions: [{ do: 'refuse-writes', text: wanted }, ...next.actions] };
}

interface Begin {
  isForeground: boolean;
  tokens: readonly number[];
  dirty: bigint;
  place: RdbPlace;
  notes: RdbAction[];
}

function begin(state: RdbState, { isForeground, tokens, dirty, place, notes }: Begin, nowMs: number): RdbStep {
  assert(state.job === undefined, 'one save at a time');
  const batch = state.batchCount + 1;
  const temporary = `${place.directory}/temp-${state.options.processId}.rdb`;
  const told = isForeground ? notes : [...notes, notice('Background saving started')];
  const actions: RdbAction[] = [
    ...told,
    { do: 'snapshot', path: temporary },
    { do: 'rename', from: temporary, to: `${place.directory}/${place.filename}` },
    { do: 'sync-directory', path: place.directory },
  ];
  const job: Job = {
    batch,
    isForeground,
    startedAtMs: nowMs,
    dirty,
    tokens,
    isCancelled: false,
    temporary,
    firstIndex: told.length,
  };
  const next: RdbState = {
    ...state,
    job,
    // The name is this save's from here on; it empties what an earlier one has left there.
    leftovers: state.leftovers.filter((path) => path !== temporary),
    saves: state.saves + 1,
    batchCount: batch,
    lastTrySec: isForeground ? state.lastTrySec : seconds(nowMs),
  };
  return { state: next, actions, batch };
}

function save(state: RdbState, event: RdbEvent & { type: 'save' }, nowMs: number): RdbStep {
  const { token, dirty, place } = event;
  // A file that is being unlinked must not be the one that is being written: the save begins behind that.
  if (state.job === undefined && state.cleaning === 0) {
    return begin(state, { isForeground: true, tokens: [token], dirty, place, notes: [] }, nowMs);
  }
  const tokens = [...(state.waiting?.tokens ?? []), token];
  return quiet({ ...state, waiting: { tokens, dirty, place } });
}

function bgsave(state: RdbState, event: RdbEvent & { type: 'bgsave' }, nowMs: number): RdbStep {
  const { isScheduling, isOtherRunning, dirty, place } = event;
  const started = { isError: false, text: 'Background saving started' };
  if (isSavingInBackground(state)) return { ...quiet(state), reply: { isError: true, text: IN_PROGRESS } };
  if (isOtherRunning) {
    if (!isScheduling) return { ...quiet(state), reply: { isError: true, text: OTHER_RUNNING } };
    return { ...quiet({ ...state, isScheduled: true }), reply: { isError: false, text: 'Background saving scheduled' } };
  }
  // Redis would not have heard of it before the SAVE is over; then it would begin.
  if (state.job !== undefined || state.cleaning !== 0) return { ...quiet({ ...state, isScheduled: true }), reply: started };
  const next = begin(state, { isForeground: false, tokens: [], dirty, place, notes: [] }, nowMs);
  return { ...next, reply: started };
}

function tick(state: RdbState, event: RdbEvent & { type: 'tick' }, nowMs: number): RdbStep {
  if (state.job !== undefined || state.cleaning !== 0) return quiet(state);
  if (state.leftovers.length > 0) return clean(state, []);
  if (state.waiting !== undefined) return beginWaiting(state, nowMs);
  if (event.isOtherRunning) return quiet(state);
  const nowSec = seconds(nowMs);
  // While writes are refused there may be no change that a save point could wait for; only a save lets them pass.
  const isHealing = state.refusal !== '';
  const mayTry = state.isLastOk || nowSec - state.lastTrySec > (isHealing ? HEALING_RETRY_SEC : RETRY_SEC);
  if (!mayTry) return quiet(state);
  const { dirty, place } = event;
  const changes = dirty - state.dirtySaved;
  const due = state.options.savePoints.find(
    (point) => changes >= point.changes && nowSec - state.lastSaveSec > point.seconds,
  );
  if (due === undefined && !state.isScheduled && !isHealing) return quiet(state);
  const notes = due === undefined ? [] : [notice(`${due.changes} changes in ${due.seconds} seconds. Saving...`)];
  const next = { ...state, isScheduled: due === undefined ? false : state.isScheduled };
  return begin(next, { isForeground: false, tokens: [], dirty, place, notes }, nowMs);
}

function beginWaiting(state: RdbState, nowMs: number): RdbStep {
  const { tokens, dirty, place } = assertPresent(state.waiting, 'a SAVE that waits');
  const rest = { ...state, waiting: undefined };
  return begin(rest, { isForeground: true, tokens, dirty, place, notes: [] }, nowMs);
}

function cancel(state: RdbState): RdbStep {
  if (!isSavingInBackground(state) || state.job === undefined) return quiet({ ...state, isScheduled: false });
  const job = { ...state.job, isCancelled: true };
  return { state: { ...state, job, isScheduled: false }, actions: [{ do: 'cancel-snapshot' }], batch: 0 };
}

// ---- Ends ----

/** Behind a save or a clean-up: the SAVE that has waited for it comes next. */
function proceed(state: RdbState, notes: RdbAction[], nowMs: number): RdbStep {
  if (state.leftovers.length > 0) return clean(state, notes);
  if (state.waiting === undefined) return { state, actions: notes, batch: 0 };
  const next = beginWaiting(state, nowMs);
  const job = assertPresent(next.state.job, 'a save that has begun');
  const shifted = { ...job, firstIndex: job.firstIndex + notes.length };
  return { ...next, state: { ...next.state, job: shifted }, actions: [...notes, ...next.actions] };
}

function clean(state: RdbState, notes: RdbAction[]): RdbStep {
  const batch = state.batchCount + 1;
  const unlinks = state.leftovers.map((path): RdbAction => ({ do: 'unlink', path }));
  return { state: { ...state, cleaning: batch, batchCount: batch }, actions: [...notes, ...unlinks], batch };
}

function answers(job: Job, isOk: boolean): RdbAction[] {
  return job.tokens.map((token) => ({ do: 'answer', token, isOk }));
}

function done(state: RdbState, batch: number, extraBytesPeak: bigint, nowMs: number): RdbStep {
  if (state.cleaning !== 0 && batch === state.cleaning) {
    return proceed({ ...state, cleaning: 0, leftovers: [] }, [], nowMs);
  }
  const job = assertPresent(state.job, 'a save that is done');
  assert(job.batch === batch, 'only the save in flight can be done');
  const nowSec = seconds(nowMs);
  const next: RdbState = {
    ...state,
    job: undefined,
    dirtySaved: job.dirty > state.dirtySaved ? job.dirty : state.dirtySaved,
    lastSaveSec: nowSec,
    isLastOk: true,
    lastExtraBytes: extraBytesPeak,
    lastTookSec: job.isForeground ? state.lastTookSec : nowSec - seconds(job.startedAtMs),
  };
  const notes = [notice('DB saved on disk'), ...answers(job, true)];
  if (!job.isForeground) notes.push(notice('Background saving terminated with success'));
  return proceed(next, notes, nowMs);
}

function failed(state: RdbState, event: RdbEvent & { type: 'failed' }, nowMs: number): RdbStep {
  if (state.cleaning !== 0 && event.batch === state.cleaning) {
    // Not at once again, but at the next tick. A SAVE that waits uses the same name, or takes another directory.
    const idle = { ...state, cleaning: 0 };
    const notes = [warning(`Error removing the temporary RDB file: ${event.reason}`)];
    if (idle.waiting === undefined) return { state: idle, actions: notes, batch: 0 };
    const next = proceed({ ...idle, leftovers: [] }, notes, nowMs);
    const own = next.state.job?.temporary;
    return { ...next, state: { ...next.state, leftovers: state.leftovers.filter((path) => path !== own) } };
  }
  const job = assertPresent(state.job, 'a save that has failed');
  assert(job.batch === event.batch, 'only the save in flight can fail');
  const notes = [failureText(job, event), ...answers(job, false)];
  if (!job.isForeground) notes.push(warning(job.isCancelled ? 'Background saving cancelled' : 'Background saving error'));
  const next: RdbState = { ...state, job: undefined };
  // As in Redis: a SAVE that fails says so itself, and one that was called off is no error.
  if (!job.isForeground && !job.isCancelled) {
    next.isLastOk = false;
    next.lastTookSec = seconds(nowMs) - seconds(job.startedAtMs);
  }
  const isRenamed = event.index > job.firstIndex + 1;
  if (!isRenamed) next.leftovers = [...state.leftovers, job.temporary];
  return proceed(next, notes, nowMs);
}

function failureText(job: Job, { index, reason }: RdbEvent & { type: 'failed' }): RdbAction {
  const what = ['Write error saving DB on disk', 'Error moving temp DB file on the final destination'];
  const text = what[index - job.firstIndex] ?? 'Fail to fsync the directory of the RDB file';
  return job.isCancelled ? notice(`The snapshot has ended: ${reason}`) : warning(`${text}: ${reason}`);
}
