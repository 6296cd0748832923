/**
 * The multi-part AOF as a pure state machine: which file is written, which are named by the manifest, what happens
 * next, and what to do when it fails. `step(state, event)` gives the next state and actions, which are data; somebody
 * else carries them out, in order, and answers with `done` or `failed`. So a simulator can stop the world between
 * any two actions (test/persistence/aof-state.test.ts does, with power losses and failing disks).
 *
 *        start                          appendonly yes
 *   new ───────► loading ─► opening ─► ┌────────────────── off ◄───────────────┐
 *                  │ (appendonly no)   ▼                    ▲                  │
 *                  └──────────────► waiting ── committing ─►│on ── rewrite ──► on … (appendonly no)
 *
 * A rewrite, and how it differs from Redis: the journal is CUT at one instant, the instant of the snapshot. What came
 * before goes to the old file and is synced; what comes after goes to a new one, which is written to only then, and which
 * the manifest on disk has named before the instant, while it was empty. So the old file can never be torn once one
 * behind it has data, which Redis would refuse at load, nothing is acknowledged out of a file that no manifest names,
 * and writers wait for no more than the sync of the old file's last milliseconds.
 *
 *   create N+1 · sync it and the directory · manifest(…, N, N+1) · cut journal from N to N+1, begin snapshot
 *   … snapshot done (synced temporary file) …
 *   rename to base M+1 · sync directory · manifest(base M+1, N+1, history …) · unlink history · manifest without it
 *
 * Switching on at run time has no file to go on with: the journal goes to temp-<name>.incr, which gets its name when
 * the base is there, as in Redis. A rewrite while the AOF is off makes a base that nothing follows, for a start with it.
 *
 * A manifest is written as temp_<name>.manifest, synced, renamed, and the directory synced. When that last sync fails,
 * nobody knows which of the two manifests a power loss would leave: then only things may happen that are right under
 * both (`isManifestSynced`): no file is unlinked, the journal stays where both have it.
 *
 * Invariants (R8: names, numbers and manifests are those of Redis 7):
 * 1. At every boundary of actions, and after a power loss there, the files that the manifest names load, and hold
 *    every acknowledged effect, each once, in order.
 * 2. A file is unlinked only when the manifest on disk, surely, names it as history or not at all.
 * 3. One batch of actions is in flight at most; what comes meanwhile is remembered and done afterwards.
 *
 * Pure: no clock, no file. Main thread only by custom; the state is plain data.
 */
import { assert, assertNever, assertPresent } from '../util/assert.js';
import { emptyManifest, formatManifest, ManifestError, parseManifest, type Manifest } from './format/manifest.js';

/** What the configuration says. */
export interface AofOptions {
  /** appendfilename */
  filename: string;
  /** appenddirname, inside of dir; also the path that actions use for it. */
  dirname: string;
  /** aof-use-rdb-preamble: whether a base is an RDB file. */
  useRdbPreamble: boolean;
  /** aof-disable-auto-gc: keep history files. */
  keepsHistory: boolean;
  /** Makes temporary names of this process its own; its pid. */
  processId: number;
}

/** What is to be done. Paths are relative to `dir`. */
export type AofAction =
  | { do: 'make-directory'; path: string }
  /** Creates or empties the file, and writes these bytes. */
  | { do: 'write-file'; path: string; text: string }
  | { do: 'sync-file'; path: string }
  | { do: 'sync-directory'; path: string }
  | { do: 'rename'; from: string; to: string }
  /** A file that is not there is fine. */
  | { do: 'unlink'; path: string }
  /** Loads these, in order, and syncs them; only the last that is not empty may have a torn end, which is cut off. */
  | { do: 'load'; files: { path: string; isBase: boolean }[] }
  /** Writes the whole dataset, syncs it; the server does nothing else meanwhile. */
  | { do: 'write-base'; path: string; format: 'rdb' | 'aof' }
  /** From now on effects are appended to this file. It exists. */
  | { do: 'open-journal'; path: string }
  /** At one instant: what came before is written to the journal's file and synced, what comes goes to `journal`, which
   *  exists and is empty, and the dataset of this instant begins to be written in the background, synced at its end.
   *  When that fails, what comes is held back until resume-journal. */
  | { do: 'cut-journal'; journal: string; snapshot: { path: string; format: 'rdb' | 'aof' } }
  /** As cut-journal, while nothing is journaled: `journal` is created or emptied, and gets all effects from here on. */
  | { do: 'begin-journal'; journal: string; snapshot: { path: string; format: 'rdb' | 'aof' } }
  /** The dataset of this instant begins to be written, as cut-journal, while nothing is journaled or will be. */
  | { do: 'begin-snapshot'; snapshot: { path: string; format: 'rdb' | 'aof' } }
  /** After a cut that has failed: the journal goes on in its file; what was held back comes first. */
  | { do: 'resume-journal' }
  /** All effects so far are written and synced. */
  | { do: 'sync-journal' }
  /** The journal's file gets another name; the descriptor stays. */
  | { do: 'rename-journal'; from: string; to: string }
  /** Writes, syncs and closes; effects are not journaled any more. */
  | { do: 'close-journal' }
  /** Stops the snapshot in the background; no snapshot-done or snapshot-failed comes after it. */
  | { do: 'abort-snapshot' }
  | { do: 'log'; level: 'notice' | 'warning'; text: string }
  /** The rewrite is over, for INFO and for the limit on retries. */
  | { do: 'report-rewrite'; isOk: boolean }
  /** The server cannot go on. */
  | { do: 'exit'; messages: string[] };

/** What has been found in `dir` at the start. Texts are byte strings. */
export interface AofFiles {
  /** A file of the old single-file AOF is in `dir` itself. */
  hasOldStyleFile: boolean;
  hasDirectory: boolean;
  /** Text of the manifest, if there is one. */
  manifest: string | undefined;
  /** Names in the directory. */
  names: string[];
}

/** What happens. */
export type AofEvent =
  | { type: 'start'; isOn: boolean; files: AofFiles }
  /** All actions of the batch are done. */
  | { type: 'done'; batch: number }
  /** The action with this index has failed, those behind it have not been tried. */
  | { type: 'failed'; batch: number; index: number; reason: string }
  | { type: 'snapshot-done' }
  | { type: 'snapshot-failed'; reason: string }
  /** BGREWRITEAOF, or the file has grown enough. */
  | { type: 'rewrite' }
  /** CONFIG SET appendonly. */
  | { type: 'appendonly'; isOn: boolean }
  /** CONFIG SET aof-use-rdb-preamble, aof-disable-auto-gc; a rewrite that runs keeps its format. */
  | { type: 'options'; useRdbPreamble: boolean; keepsHistory: boolean }
  /** Now and then (once a second): time to try again what has failed. */
  | { type: 'tick' };

/** Redis's AOF states. `waiting`: switched on, the first base is being written. */
export type AofMode = 'off' | 'waiting' | 'on';

/** What the batch in flight is for. */
type Phase =
  | { name: 'upgrade' }
  | { name: 'load' }
  | { name: 'open'; manifest: Manifest; journal: string }
  | { name: 'begin'; manifest: Manifest; journal: string | undefined; rewrite: Rewrite }
  | { name: 'commit'; manifest: Manifest; renameIndex: number; journal: string | undefined; base: string }
  | { name: 'clean'; manifest: Manifest }
  | { name: 'sync-manifest' }
  | { name: 'undo' };

/** A rewrite whose snapshot runs, or has ended and waits for its turn. */
interface Rewrite {
  base: string;
  format: 'rdb' | 'aof';
  outcome: 'running' | 'done' | { failed: string };
}

/** The state; plain data, replaced by each step, never changed. */
export interface AofState {
  options: AofOptions;
  mode: AofMode;
  /** What the manifest on disk says, as far as it is known (see isManifestSynced). */
  manifest: Manifest;
  isManifestSynced: boolean;
  /** Name of the file that effects go to. */
  journal: string | undefined;
  batch: { id: number; phase: Phase; actions: AofAction[] } | undefined;
  rewrite: Rewrite | undefined;
  /** Set while something waits for the batch in flight to end. */
  wantsRewrite: boolean;
  wantsOn: boolean;
  hasEnded: boolean;
  batchCount: number;
}

/** The result of a step; `batch` is what `done` and `failed` must name when there are actions. */
export interface AofStep {
  state: AofState;
  actions: AofAction[];
  batch: number;
}

export function initialAofState(options: AofOptions): AofState {
  return {
    options,
    mode: 'off',
    manifest: emptyManifest(),
    isManifestSynced: true,
    journal: undefined,
    batch: undefined,
    rewrite: undefined,
    wantsRewrite: false,
    wantsOn: false,
    hasEnded: false,
    batchCount: 0,
  };
}

export function step(state: AofState, event: AofEvent): AofStep {
  if (state.hasEnded) return quiet(state);
  switch (event.type) {
    case 'start':
      return start(state, event.isOn, event.files);
    case 'done':
      assert(state.batch?.id === event.batch, 'only the batch in flight can be done');
      return batchDone(state);
    case 'failed':
      assert(state.batch?.id === event.batch, 'only the batch in flight can fail');
      return batchFailed(state, event.index, event.reason);
    case 'snapshot-done':
      return proceed(withOutcome(state, 'done'));
    case 'snapshot-failed':
      return proceed(withOutcome(state, { failed: event.reason }));
    case 'rewrite':
      return proceed({ ...state, wantsRewrite: state.rewrite === undefined });
    case 'appendonly':
      return proceed({ ...state, wantsOn: event.isOn });
    case 'options': {
      const { useRdbPreamble, keepsHistory } = event;
      return proceed({ ...state, options: { ...state.options, useRdbPreamble, keepsHistory } });
    }
    case 'tick':
      return proceed(state);
    default:
      return assertNever(event);
  }
}

// ---- Names ----

/** Name of the manifest in the directory. */
export const manifestName = (options: AofOptions): string => `${options.filename}.manifest`;
const tempManifestName = (options: AofOptions): string => `temp_${manifestName(options)}`;
const tempIncrName = (options: AofOptions): string => `temp-${options.filename}.incr`;
const tempBaseName = (options: AofOptions): string => `temp-rewriteaof-bg-${options.processId}.aof`;
const baseFormat = (options: AofOptions): 'rdb' | 'aof' => (options.useRdbPreamble ? 'rdb' : 'aof');
const inDirectory = (options: AofOptions, name: string): string => `${options.dirname}/${name}`;

function unlinkActions(options: AofOptions, ...names: string[]): AofAction[] {
  return names.map((name) => ({ do: 'unlink', path: inDirectory(options, name) }));
}

/** True for files that only a process that has died can have left. */
function isLeftover(options: AofOptions, name: string): boolean {
  const isBase = /^temp-rewriteaof(-bg)?-[0-9]+\.aof$/.test(name);
  return isBase || name === tempManifestName(options) || name === tempIncrName(options);
}

function nextBase(state: AofState, format: 'rdb' | 'aof'): { name: string; seq: bigint } {
  const seq = (state.manifest.base?.seq ?? 0n) + 1n;
  return { name: `${state.options.filename}.${seq}.base.${format}`, seq };
}

function nextIncr(state: AofState): { name: string; seq: bigint } {
  // A rewrite while the AOF is off leaves none, but for those of history, whose names are not given twice.
  const old = state.manifest.history.filter(({ name }) => name.endsWith('.incr.aof')).map((part) => part.seq);
  const last = state.manifest.incrs.at(-1)?.seq ?? old.reduce((a, b) => (a > b ? a : b), 0n);
  const seq = last + 1n;
  return { name: `${state.options.filename}.${seq}.incr.aof`, seq };
}

// ---- Steps ----

function quiet(state: AofState): AofStep {
  return { state, actions: [], batch: 0 };
}

function inFlight(state: AofState, phase: Phase, actions: AofAction[]): AofStep {
  assert(state.batch === undefined, 'one batch is in flight at most');
  const id = state.batchCount + 1;
  return { state: { ...state, batch: { id, phase, actions }, batchCount: id }, actions, batch: id };
}

function exit(state: AofState, ...messages: string[]): AofStep {
  const ended = { ...state, hasEnded: true, batch: undefined };
  return { state: ended, actions: [{ do: 'exit', messages }], batch: 0 };
}

const notice = (text: string): AofAction => ({ do: 'log', level: 'notice', text });
const warning = (text: string): AofAction => ({ do: 'log', level: 'warning', text });

/** Writes a manifest so that there is always the old one or the new one.  */
function manifestActions(options: AofOptions, manifest: Manifest): AofAction[] {
  const temporary = inDirectory(options, tempManifestName(options));
  return [
    { do: 'write-file', path: temporary, text: formatManifest(manifest) },
    { do: 'sync-file', path: temporary },
    { do: 'rename', from: temporary, to: inDirectory(options, manifestName(options)) },
    { do: 'sync-directory', path: options.dirname },
  ];
}

/** Index of the action that makes a manifest the one that the running system sees. */
function renameIndexOf(state: AofState, actions: AofAction[]): number {
  const to = inDirectory(state.options, manifestName(state.options));
  return actions.findIndex((action) => action.do === 'rename' && action.to === to);
}

// ---- Start ----

function start(state: AofState, isOn: boolean, files: AofFiles): AofStep {
  assert(state.batchCount === 0, 'a state starts once');
  let manifest = emptyManifest();
  try {
    if (files.manifest !== undefined) manifest = parseManifest(files.manifest);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    return exit(state, ...error.messages());
  }
  const started: AofState = { ...state, manifest, wantsOn: isOn };
  const leftovers: AofAction[] = files.names
    .filter((name) => isLeftover(state.options, name))
    .map((name) => ({ do: 'unlink', path: inDirectory(state.options, name) }));
  // Without the AOF nothing of it is touched; its numbers are known should it be switched on.
  if (!isOn) return quiet(started);
  if (needsUpgrade(started, files)) return upgrade(started, files, leftovers);
  return load(started, leftovers);
}

/** An old file that has not been moved yet: Redis's three cases, the last is a move that was interrupted. */
function needsUpgrade(state: AofState, files: AofFiles): boolean {
  if (!files.hasOldStyleFile) return false;
  if (!files.hasDirectory || files.manifest === undefined) return true;
  const { base, incrs } = state.manifest;
  return incrs.length === 0 && base?.name === state.options.filename && !files.names.includes(base.name);
}

/** The old file becomes the base under its own name: manifest first, then the move. */
function upgrade(state: AofState, files: AofFiles, leftovers: AofAction[]): AofStep {
  const { options } = state;
  const manifest = { ...emptyManifest(), base: { name: options.filename, seq: 1n } };
  const actions: AofAction[] = [
    ...(files.hasDirectory ? [] : ([{ do: 'make-directory', path: options.dirname }] as AofAction[])),
    { do: 'sync-directory', path: '.' },
    ...leftovers,
    ...manifestActions(options, manifest),
    { do: 'rename', from: options.filename, to: inDirectory(options, options.filename) },
    { do: 'sync-directory', path: options.dirname },
    { do: 'sync-directory', path: '.' },
    notice(
      `Successfully migrated an old-style AOF file (${options.filename}) into the AOF directory (${options.dirname}).`,
    ),
  ];
  return inFlight({ ...state, manifest }, { name: 'upgrade' }, actions);
}

function load(state: AofState, before: AofAction[] = []): AofStep {
  const { base, incrs } = state.manifest;
  const files = [
    ...(base === undefined ? [] : [{ path: inDirectory(state.options, base.name), isBase: true }]),
    ...incrs.map((part) => ({ path: inDirectory(state.options, part.name), isBase: false })),
  ];
  return inFlight(state, { name: 'load' }, [...before, { do: 'load', files }]);
}

/** After the load: a base if there is nothing at all, a file to write to, a manifest that names them. */
function open(state: AofState): AofStep {
  const { options, manifest } = state;
  const last = manifest.incrs.at(-1);
  if (last !== undefined) {
    const phase: Phase = { name: 'open', manifest, journal: last.name };
    return inFlight(state, phase, [
      notice(`Opening AOF incr file ${last.name} on server start`),
      // A process that was killed may have renamed the manifest and not synced it: what is acknowledged out of a
      // file that only this manifest names would go with the next power loss.
      { do: 'sync-directory', path: options.dirname },
      { do: 'open-journal', path: inDirectory(options, last.name) },
    ]);
  }
  const actions: AofAction[] = [
    { do: 'make-directory', path: options.dirname },
    { do: 'sync-directory', path: '.' },
  ];
  const next: Manifest = { ...manifest };
  if (manifest.base === undefined) {
    next.base = nextBase(state, baseFormat(options));
    const temporary = inDirectory(options, tempBaseName(options));
    actions.push(
      notice(`Creating AOF base file ${next.base.name} on server start`),
      { do: 'write-base', path: temporary, format: baseFormat(options) },
      { do: 'rename', from: temporary, to: inDirectory(options, next.base.name) },
    );
  }
  const incr = nextIncr(state);
  next.incrs = [incr];
  actions.push(
    notice(`Creating AOF incr file ${incr.name} on server start`),
    ...newFileActions(options, incr.name),
    ...manifestActions(options, next),
    { do: 'open-journal', path: inDirectory(options, incr.name) },
  );
  return inFlight(state, { name: 'open', manifest: next, journal: incr.name }, actions);
}

/** An empty file that a power loss does not take away. Emptied, too: a stray file of that name may have effects. */
function newFileActions(options: AofOptions, name: string): AofAction[] {
  const path = inDirectory(options, name);
  return [
    { do: 'write-file', path, text: '' },
    { do: 'sync-file', path },
    { do: 'sync-directory', path: options.dirname },
  ];
}

// ---- Running ----

function withOutcome(state: AofState, outcome: Rewrite['outcome']): AofState {
  // A snapshot that was aborted may have ended before it heard of it.
  if (state.rewrite === undefined && state.batch?.phase.name !== 'begin') return state;
  if (state.rewrite !== undefined) return { ...state, rewrite: { ...state.rewrite, outcome } };
  const batch = state.batch;
  assert(batch !== undefined && batch.phase.name === 'begin', 'a snapshot belongs to a rewrite');
  const rewrite = { ...batch.phase.rewrite, outcome };
  return { ...state, batch: { ...batch, phase: { ...batch.phase, rewrite } } };
}

/** What comes next, when nothing is in flight. */
function proceed(state: AofState): AofStep {
  if (state.batch !== undefined) return quiet(state);
  if (!state.wantsOn && state.mode !== 'off') return switchOff(state);
  if (state.rewrite !== undefined) {
    const { outcome } = state.rewrite;
    if (outcome === 'running') return quiet(state);
    return outcome === 'done' ? commit(state, state.rewrite) : giveUp(state, outcome.failed);
  }
  if (state.wantsOn && state.mode === 'off') return begin({ ...state, mode: 'waiting' });
  if (state.mode === 'waiting') return begin(state);
  if (!state.isManifestSynced) {
    const actions: AofAction[] = [{ do: 'sync-directory', path: state.options.dirname }];
    return inFlight(state, { name: 'sync-manifest' }, actions);
  }
  if (state.manifest.history.length > 0 && !state.options.keepsHistory && state.mode === 'on') return clean(state);
  if (state.wantsRewrite) return begin({ ...state, wantsRewrite: false });
  return quiet(state);
}

/** Begins a rewrite: a new file for the journal, and the snapshot of the instant at which the journal goes there. */
function begin(state: AofState): AofStep {
  const { options } = state;
  const format = baseFormat(options);
  const base = inDirectory(options, tempBaseName(options));
  const rewrite: Rewrite = { base, format, outcome: 'running' };
  const snapshot = { path: base, format };
  if (state.mode === 'waiting') {
    const journal = tempIncrName(options);
    const actions: AofAction[] = [
      { do: 'make-directory', path: options.dirname },
      { do: 'sync-directory', path: '.' },
      { do: 'begin-journal', journal: inDirectory(options, journal), snapshot },
    ];
    return inFlight(state, { name: 'begin', manifest: state.manifest, journal, rewrite }, actions);
  }
  if (state.mode === 'off') {
    const actions: AofAction[] = [
      { do: 'make-directory', path: options.dirname },
      { do: 'sync-directory', path: '.' },
      { do: 'begin-snapshot', snapshot },
    ];
    return inFlight(state, { name: 'begin', manifest: state.manifest, journal: undefined, rewrite }, actions);
  }
  const { incr, manifest, making } = incrToGoOnIn(state);
  const actions: AofAction[] = [...making, { do: 'cut-journal', journal: inDirectory(options, incr.name), snapshot }];
  return inFlight(state, { name: 'begin', manifest, journal: incr.name, rewrite }, actions);
}

/** Where a rewrite's journal goes: a new file, or the empty one that an attempt has left which failed behind its manifest. */
function incrToGoOnIn(state: AofState): { incr: { name: string; seq: bigint }; manifest: Manifest; making: AofAction[] } {
  const { options } = state;
  const last = state.manifest.incrs.at(-1);
  assert(state.isManifestSynced, 'what the manifest on disk says is known before anything is built upon it');
  if (last !== undefined && last.name !== state.journal) return { incr: last, manifest: state.manifest, making: [] };
  const incr = nextIncr(state);
  const manifest = { ...state.manifest, incrs: [...state.manifest.incrs, incr] };
  const making: AofAction[] = [
    notice(`Creating AOF incr file ${incr.name} on background rewrite`),
    ...newFileActions(options, incr.name),
    ...manifestActions(options, manifest),
  ];
  return { incr, manifest, making };
}

/** The base is written: it gets its name, and the manifest says so. */
function commit(state: AofState, rewrite: Rewrite): AofStep {
  const { options } = state;
  const base = nextBase(state, rewrite.format);
  const history = [...state.manifest.history];
  if (state.manifest.base !== undefined) history.unshift(state.manifest.base);
  let journal = state.journal;
  let incrs = [...state.manifest.incrs];
  const actions: AofAction[] = [{ do: 'rename', from: rewrite.base, to: inDirectory(options, base.name) }];
  actions.push(notice(`Successfully renamed the temporary AOF base file ${tempBaseName(options)} into ${base.name}`));
  if (state.mode === 'waiting') {
    const incr = nextIncr(state);
    history.unshift(...incrs);
    incrs = [incr];
    const path = inDirectory(options, incr.name);
    actions.push({ do: 'sync-journal' });
    const temporary = tempIncrName(options);
    actions.push({ do: 'rename-journal', from: inDirectory(options, temporary), to: path });
    actions.push(notice(`Successfully renamed the temporary AOF incr file ${temporary} into ${incr.name}`));
    journal = incr.name;
  } else if (state.mode === 'off') {
    history.unshift(...incrs);
    incrs = [];
  } else {
    history.unshift(...incrs.slice(0, -1));
    incrs = incrs.slice(-1);
  }
  actions.push({ do: 'sync-directory', path: options.dirname });
  const manifest: Manifest = { base, incrs, history };
  actions.push(...manifestActions(options, manifest));
  const renameIndex = renameIndexOf(state, actions);
  const phase: Phase = { name: 'commit', manifest, renameIndex, journal, base: base.name };
  return inFlight({ ...state, rewrite: undefined }, phase, actions);
}

/** Unlinks what is history, then forgets it. The manifest on disk names it as history, surely (invariant 2). */
function clean(state: AofState): AofStep {
  const { options } = state;
  const manifest: Manifest = { ...state.manifest, history: [] };
  const actions: AofAction[] = state.manifest.history.flatMap((part) => [
    notice(`Removing the history file ${part.name} in the background`),
    { do: 'unlink', path: inDirectory(options, part.name) } as AofAction,
  ]);
  return inFlight(state, { name: 'clean', manifest }, [...actions, ...manifestActions(options, manifest)]);
}

/** The rewrite has failed: what it left goes, and the journal stays where it is. */
function giveUp(state: AofState, reason: string): AofStep {
  const { options } = state;
  const actions: AofAction[] = [
    warning(`Background AOF rewrite terminated with error: ${reason}`),
    { do: 'report-rewrite', isOk: false },
  ];
  // First the journal: an unlink that fails must not keep it open.
  if (state.mode === 'waiting') actions.push({ do: 'close-journal' }, ...unlinkActions(options, tempIncrName(options)));
  actions.push(...unlinkActions(options, tempBaseName(options)));
  const journal = state.mode === 'waiting' ? undefined : state.journal;
  return inFlight({ ...state, journal, rewrite: undefined }, { name: 'undo' }, actions);
}

function switchOff(state: AofState): AofStep {
  const { options } = state;
  const actions: AofAction[] = [];
  if (state.rewrite !== undefined) actions.push({ do: 'abort-snapshot' }, { do: 'report-rewrite', isOk: false });
  if (state.journal !== undefined) actions.push({ do: 'close-journal' });
  if (state.rewrite !== undefined) actions.push(...unlinkActions(options, tempBaseName(options)));
  if (state.mode === 'waiting') actions.push(...unlinkActions(options, tempIncrName(options)));
  const off: AofState = { ...state, mode: 'off', journal: undefined, rewrite: undefined, wantsRewrite: false };
  return inFlight(off, { name: 'undo' }, actions);
}

// ---- Ends of batches ----

function batchDone(state: AofState): AofStep {
  const phase = state.batch?.phase as Phase;
  const idle: AofState = { ...state, batch: undefined };
  switch (phase.name) {
    case 'upgrade':
      return load(idle);
    case 'load':
      return open(idle);
    case 'open':
      return proceed({ ...idle, mode: 'on', manifest: phase.manifest, journal: phase.journal });
    case 'begin':
      return proceed({ ...idle, ...begun(phase), isManifestSynced: true });
    case 'commit': {
      const { manifest, journal } = phase;
      const mode = state.mode === 'off' ? 'off' : 'on';
      const next: AofState = { ...idle, mode, manifest, journal, isManifestSynced: true };
      // While the AOF is off its files are touched by a rewrite alone, so what that leaves goes now or never.
      const isCleaned = mode === 'off' && !next.wantsOn && !next.options.keepsHistory && manifest.history.length > 0;
      const done = isCleaned ? clean(next) : proceed(next);
      const told: AofAction[] = [
        notice('Background AOF rewrite finished successfully'),
        { do: 'report-rewrite', isOk: true },
      ];
      return prepend(done, told);
    }
    case 'clean':
      return proceed({ ...idle, manifest: phase.manifest });
    case 'sync-manifest':
      return proceed({ ...idle, isManifestSynced: true });
    case 'undo':
      return state.mode === 'waiting' ? quiet(idle) : proceed(idle);
    default:
      return assertNever(phase);
  }
}

function begun(phase: Phase & { name: 'begin' }): Pick<AofState, 'manifest' | 'journal' | 'rewrite'> {
  return { manifest: phase.manifest, journal: phase.journal, rewrite: phase.rewrite };
}

/** Puts actions that cannot fail in front of those of a step; without a batch they are told alone. */
function prepend(next: AofStep, actions: AofAction[]): AofStep {
  const all = [...actions, ...next.actions];
  if (next.state.batch === undefined) return { ...next, actions: all };
  const batch = { ...next.state.batch, actions: all };
  return { ...next, state: { ...next.state, batch: shifted(batch, actions.length) }, actions: all };
}

function shifted(batch: NonNullable<AofState['batch']>, count: number): NonNullable<AofState['batch']> {
  if (batch.phase.name !== 'commit') return batch;
  return { ...batch, phase: { ...batch.phase, renameIndex: batch.phase.renameIndex + count } };
}

function batchFailed(state: AofState, index: number, reason: string): AofStep {
  const batch = state.batch as NonNullable<AofState['batch']>;
  const { phase } = batch;
  const idle: AofState = { ...state, batch: undefined };
  const what = (batch.actions[index] as AofAction).do;
  switch (phase.name) {
    case 'upgrade':
    case 'load':
    case 'open':
      return exit(idle, `Cannot start the AOF: ${what}: ${reason}`);
    case 'begin':
      return beginFailed(idle, phase, batch.actions, index, `${what}: ${reason}`);
    case 'commit':
      return commitFailed(idle, phase, index, `${what}: ${reason}`);
    case 'clean': {
      const isSeen = index > renameIndexOf(state, batch.actions);
      const manifest = isSeen ? phase.manifest : state.manifest;
      const next = { ...idle, manifest, isManifestSynced: !isSeen };
      return tell(next, warning(`AOF history clean-up: ${what}: ${reason}`));
    }
    case 'sync-manifest':
      return tell(idle, warning(`Fail to fsync AOF directory ${state.options.dirname}: ${reason}.`));
    case 'undo':
      return tell(idle, warning(`AOF clean-up: ${what}: ${reason}`));
    default:
      return assertNever(phase);
  }
}

/** Only a message; a failure is tried again at the next tick, not at once. */
function tell(state: AofState, ...actions: AofAction[]): AofStep {
  return { state, actions, batch: 0 };
}

/**
 * The beginning of a rewrite has failed. The journal goes on in the old file, which both manifests have; in the new one,
 * if that has been renamed, an empty file stands behind it, and a load takes a torn file in front of empty ones for the
 * last.
 */
function beginFailed(
  state: AofState,
  phase: Phase & { name: 'begin' },
  actions: AofAction[],
  index: number,
  reason: string,
): AofStep {
  const cut = actions.findIndex(({ do: what }) => ['cut-journal', 'begin-journal', 'begin-snapshot'].includes(what));
  const undo: AofAction[] = [
    warning(`Can't begin an AOF rewrite: ${reason}`),
    { do: 'report-rewrite', isOk: false },
  ];
  if (index >= cut) undo.push({ do: 'abort-snapshot' });
  if (state.mode === 'waiting') {
    if (index >= cut) undo.push({ do: 'close-journal' });
    undo.push({ do: 'unlink', path: inDirectory(state.options, tempIncrName(state.options)) });
  } else if (index >= cut && state.mode === 'on') {
    undo.push({ do: 'resume-journal' });
  }
  undo.push({ do: 'unlink', path: phase.rewrite.base });
  // A number that a manifest on disk may name is never given again: the empty file stays in the manifest, and is the
  // next attempt's.
  const isSeen = state.mode === 'on' && index > renameIndexOf(state, actions);
  const kept = isSeen ? { manifest: phase.manifest, isManifestSynced: index >= cut } : {};
  return inFlight({ ...state, ...kept }, { name: 'undo' }, undo);
}

/**
 * The manifest with the new base has not come about. Before its rename nothing has changed but stray names. After it,
 * both manifests are right, and the journal is in both: the rewrite counts, but history stays until a sync succeeds.
 */
function commitFailed(state: AofState, phase: Phase & { name: 'commit' }, index: number, reason: string): AofStep {
  const { manifest, journal } = phase;
  if (index > phase.renameIndex && state.mode !== 'waiting') {
    const unsure: AofState = { ...state, manifest, journal, isManifestSynced: false };
    return tell(unsure, warning(`Fail to fsync AOF directory: ${reason}`), { do: 'report-rewrite', isOk: true });
  }
  const { options } = state;
  const undo: AofAction[] = [
    warning(`Background AOF rewrite terminated with error: ${reason}`),
    { do: 'report-rewrite', isOk: false },
  ];
  if (state.mode === 'waiting') {
    // Nothing counts yet: off again as far as files go, and the next tick tries from the beginning.
    undo.push({ do: 'close-journal' });
    const names = [tempIncrName(options), assertPresent(journal, 'the journal of a first base')];
    if (index <= phase.renameIndex) undo.push(...unlinkActions(options, ...names));
  }
  if (index <= phase.renameIndex) undo.push(...unlinkActions(options, tempBaseName(options), phase.base));
  if (state.mode !== 'waiting') return inFlight(state, { name: 'undo' }, undo);
  const isSeen = index > phase.renameIndex;
  const next = isSeen ? { manifest, isManifestSynced: false } : {};
  return inFlight({ ...state, ...next, journal: undefined }, { name: 'undo' }, undo);
}
