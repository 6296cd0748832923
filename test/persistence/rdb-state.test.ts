/**
 * The state machine of RDB files: the examples that Redis's behaviour gives, and random sequences of events against
 * a small world of files, in which no due save is lost, no two run at once, every SAVE is answered once, the file of
 * the final name is always whole, and no temporary file stays.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  currentSaveSec,
  initialRdbState,
  isSavingInBackground,
  SAVE_ERROR_REFUSAL,
  step,
  type RdbAction,
  type RdbEvent,
  type RdbState,
  type RdbStep,
} from '../../src/persistence/rdb-state.js';

const PLACE = { directory: '/d', filename: 'dump.rdb' };
const TEMPORARY = '/d/temp-7.rdb';
const FINAL = '/d/dump.rdb';

/** Executes actions one by one on files that are numbers of changes; any of them can fail. */
class World {
  state: RdbState;
  nowMs = 1_000_000_000;
  dirty = 0n;
  /** Contents: changes taken in, or 'torn'. */
  files = new Map<string, bigint | 'torn'>();
  refusal = '';
  asked = new Set<number>();
  answered = new Map<number, boolean>();
  log: string[] = [];
  private queue: RdbAction[] = [];
  private batch = 0;
  private index = 0;

  constructor(points: { seconds: number; changes: bigint }[] = [{ seconds: 1, changes: 1n }]) {
    this.state = initialRdbState({ savePoints: points, stopsWrites: true, processId: 7 }, this.nowMs);
  }

  send(event: RdbEvent): RdbStep {
    const next = step(this.state, event, this.nowMs);
    this.state = next.state;
    if (next.batch === 0) {
      for (const action of next.actions) this.run(action);
      return next;
    }
    expect(this.queue, 'one batch in flight').toEqual([]);
    this.queue = [...next.actions];
    this.batch = next.batch;
    this.index = 0;
    return next;
  }

  tick(isOtherRunning = false): RdbStep {
    return this.send({ type: 'tick', isOtherRunning, dirty: this.dirty, place: PLACE });
  }

  bgsave(isScheduling = false, isOtherRunning = false): { isError: boolean; text: string } | undefined {
    const { dirty } = this;
    return this.send({ type: 'bgsave', isScheduling, isOtherRunning, dirty, place: PLACE }).reply;
  }

  save(token: number): void {
    this.asked.add(token);
    this.send({ type: 'save', token, dirty: this.dirty, place: PLACE });
  }

  get isBusy(): boolean {
    return this.queue.length > 0;
  }

  /** The next action; `fails` those that can. */
  runOne(fails = false): void {
    const action = this.queue[0];
    if (action === undefined) return;
    const canFail = ['snapshot', 'rename', 'sync-directory', 'unlink'].includes(action.do);
    if (canFail && fails) {
      if (action.do === 'snapshot') this.files.set(action.path, 'torn');
      const { batch, index } = this;
      this.queue = [];
      this.send({ type: 'failed', batch, index, reason: 'No space left on device' });
      return;
    }
    this.run(action);
    this.queue.shift();
    this.index++;
    if (this.queue.length === 0) this.send({ type: 'done', batch: this.batch, extraBytesPeak: 5n });
  }

  runAll(): void {
    while (this.isBusy) this.runOne();
  }

  private run(action: RdbAction): void {
    if (action.do === 'snapshot') this.files.set(action.path, this.dirty);
    else if (action.do === 'rename') {
      const content = this.files.get(action.from);
      expect(content, 'a whole file is renamed').toBeTypeOf('bigint');
      this.files.delete(action.from);
      this.files.set(action.to, content as bigint);
    } else if (action.do === 'unlink') {
      expect(action.path).not.toBe(FINAL);
      this.files.delete(action.path);
    } else if (action.do === 'refuse-writes') this.refusal = action.text;
    else if (action.do === 'answer') {
      expect(this.answered.has(action.token), 'answered once').toBe(false);
      this.answered.set(action.token, action.isOk);
    } else if (action.do === 'log') this.log.push(action.text);
  }
}

describe('RDB state', () => {
  it('saves when a save point is due, not before, and counts from the moment of the save', () => {
    const world = new World([{ seconds: 60, changes: 10n }, { seconds: 5, changes: 100n }]);
    world.dirty = 100n;
    world.nowMs += 5000;
    expect(world.tick().batch).toBe(0);
    world.nowMs += 1000;
    expect(world.tick().batch).toBe(1);
    expect(isSavingInBackground(world.state)).toBe(true);
    world.dirty = 103n;
    world.nowMs += 2000;
    expect(currentSaveSec(world.state, world.nowMs)).toBe(2);
    world.runAll();
    expect(world.log).toEqual([
      '100 changes in 5 seconds. Saving...',
      'Background saving started',
      'DB saved on disk',
      'Background saving terminated with success',
    ]);
    expect(world.state).toMatchObject({ dirtySaved: 100n, lastTookSec: 2, saves: 1, lastExtraBytes: 5n });
    expect(world.files).toEqual(new Map([[FINAL, 103n]]));
    expect(currentSaveSec(world.state, world.nowMs)).toBe(-1);
  });

  it('saves nothing without save points', () => {
    const world = new World([]);
    world.dirty = 1_000_000n;
    world.nowMs += 1e9;
    expect(world.tick().actions).toEqual([]);
  });

  it('answers BGSAVE as Redis does', () => {
    const world = new World([]);
    expect(world.bgsave(false, true)).toEqual({
      isError: true,
      text:
        "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a " +
        'BGSAVE whenever possible.',
    });
    expect(world.bgsave(true, true)).toEqual({ isError: false, text: 'Background saving scheduled' });
    expect(world.tick(true).batch).toBe(0);
    expect(world.tick().batch).toBe(1);
    expect(world.bgsave()).toEqual({ isError: true, text: 'Background save already in progress' });
    expect(world.bgsave(true)).toEqual({ isError: true, text: 'Background save already in progress' });
    world.runAll();
    expect(world.bgsave()).toEqual({ isError: false, text: 'Background saving started' });
  });

  it('refuses writes behind a failed background save, saves each second, and lets them pass when one has worked', () => {
    const world = new World();
    world.dirty = 1n;
    world.nowMs += 2000;
    world.tick();
    while (world.isBusy && world.state.job !== undefined) world.runOne(world.log.length === 2);
    world.runAll();
    expect(world.refusal).toBe(SAVE_ERROR_REFUSAL);
    expect(world.state.isLastOk).toBe(false);
    expect(world.files.size).toBe(0);
    expect(world.log).toContain('Background saving error');
    expect(world.tick().batch).toBe(0);
    world.nowMs += 1000;
    expect(world.tick().batch).not.toBe(0);
    world.runAll();
    expect(world.refusal).toBe('');
    // Without save points, or with the option off, nothing is refused.
    world.dirty = 5n;
    world.bgsave();
    while (world.state.job !== undefined) world.runOne(true);
    world.runAll();
    expect(world.refusal).toBe(SAVE_ERROR_REFUSAL);
    world.send({ type: 'options', savePoints: [], stopsWrites: true });
    expect(world.refusal).toBe('');
    world.send({ type: 'options', savePoints: [{ seconds: 1, changes: 1n }], stopsWrites: true });
    expect(world.refusal).toBe(SAVE_ERROR_REFUSAL);
    world.send({ type: 'options', savePoints: [{ seconds: 1, changes: 1n }], stopsWrites: false });
    expect(world.refusal).toBe('');
    // Then a failed save is followed by the next one as late as in Redis.
    world.nowMs += 5000;
    expect(world.tick().batch).toBe(0);
    world.nowMs += 1000;
    expect(world.tick().batch).not.toBe(0);
  });

  it('gives a SAVE that comes during another one a save of its own', () => {
    const world = new World([]);
    world.save(1);
    world.runOne();
    world.dirty = 9n;
    world.save(2);
    world.save(3);
    while (!world.answered.has(1)) world.runOne();
    expect(world.files.get(FINAL)).toBe(0n);
    world.runAll();
    expect([...world.answered]).toEqual([[1, true], [2, true], [3, true]]);
    expect(world.files).toEqual(new Map([[FINAL, 9n]]));
  });

  it('does not count a save that was called off as failed', () => {
    const world = new World();
    world.bgsave();
    world.runOne();
    expect(world.send({ type: 'cancel' }).actions).toEqual([{ do: 'cancel-snapshot' }]);
    world.runOne(true);
    world.runAll();
    expect(world.state.isLastOk).toBe(true);
    expect(world.refusal).toBe('');
    expect(world.files.size).toBe(0);
  });

  it('keeps its promises under any sequence of events and failures', () => {
    const event = fc.oneof(
      { weight: 6, arbitrary: fc.constant('run' as const) },
      { weight: 2, arbitrary: fc.constant('run-failing' as const) },
      fc.constantFrom('tick' as const, 'tick-other' as const, 'save' as const, 'bgsave' as const, 'schedule' as const),
      fc.constantFrom('cancel' as const, 'write' as const, 'second' as const),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 120 }), (events) => {
        const world = new World();
        let token = 0;
        for (const what of events) {
          if (what === 'run') world.runOne();
          else if (what === 'run-failing') world.runOne(true);
          else if (what === 'tick') world.tick();
          else if (what === 'tick-other') {
            const wasIdle = world.state.job === undefined && world.state.waiting === undefined;
            world.tick(true);
            if (wasIdle) expect(world.state.job, 'none begins beside a rewrite').toBe(undefined);
          } else if (what === 'save') world.save(++token);
          else if (what === 'bgsave') world.bgsave();
          else if (what === 'schedule') world.bgsave(true, true);
          else if (what === 'cancel') world.send({ type: 'cancel' });
          else if (what === 'write') world.dirty++;
          else world.nowMs += 1000;
          expect(world.files.get(FINAL)).not.toBe('torn');
        }
        // The disk works again, and time goes by: all that was due happens.
        for (let count = 0; count < 12; count++) {
          world.runAll();
          world.nowMs += 2000;
          world.tick();
        }
        world.runAll();
        expect([...world.answered.keys()].sort()).toEqual([...world.asked].sort());
        expect([...world.files.keys()].filter((path) => path !== FINAL)).toEqual([]);
        if (world.dirty > 0n) expect(world.files.get(FINAL)).toBe(world.dirty);
        expect(world.refusal).toBe('');
        expect(world.files.has(TEMPORARY)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });
});
