/**
 * The state machine of the multi-part AOF: thousands of random lives in a simulated world, cut off at every kind of
 * boundary; and the very names, manifests and files that redis-server makes out of the same story.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AofOptions } from '../../src/persistence/aof-state.js';
import { randomOf, World } from './aof-simulator.js';

const OPTIONS: AofOptions = {
  filename: 'appendonly.aof',
  dirname: 'appendonlydir',
  useRdbPreamble: true,
  keepsHistory: false,
  processId: 1,
};

/** Lets everything come to rest. */
function settle(world: World): void {
  for (let round = 0; round < 20; round++) {
    while (world.isBusy) world.runOne();
    if (world.hasSnapshot) world.endSnapshot(true);
    world.send({ type: 'tick' });
  }
}

function started(options: AofOptions = OPTIONS, isOn = true): World {
  const world = new World(options, randomOf(1));
  world.restart(false, isOn);
  settle(world);
  return world;
}

function manifestOf(world: World): string[] {
  const text = world.files.names.get('appendonlydir/appendonly.aof.manifest')?.text ?? '';
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

function isStarting(world: World): boolean {
  return ['upgrade', 'load', 'open'].includes(world.state.batch?.phase.name ?? '');
}

function tellPromise(world: World): void {
  // While it is off or not yet on, nothing is promised.
  if (world.state.mode !== 'on') world.acknowledged = 0;
}

/** One random thing. */
function live(world: World, random: (below: number) => number): void {
  const dice = random(100);
  if (dice < 45) world.runOne();
  else if (dice < 70) {
    // Nobody is served before the load is through.
    if (!isStarting(world)) world.emit();
  } else if (dice < 80) world.syncJournal();
  else if (dice < 86) world.endSnapshot(random(5) !== 0);
  else if (dice < 92) world.send({ type: 'rewrite' });
  else if (dice < 96) world.send({ type: 'tick' });
  else if (dice < 98) world.send({ type: 'appendonly', isOn: true });
  else if (random(4) === 0) world.send({ type: 'appendonly', isOn: false });
  tellPromise(world);
}

function simulate(seed: number, failsOneIn: number): void {
  const random = randomOf(seed);
  const world = new World({ ...OPTIONS, useRdbPreamble: random(2) === 0, keepsHistory: random(4) === 0 }, random);
  try {
    if (random(3) === 0) {
      // An old single file, with a torn end or not.
      const old = world.files.create('appendonly.aof');
      old.effects = [1, 2, 3];
      old.isTorn = random(2) === 0;
      world.issued = 3;
      world.files.syncNames();
      old.syncedEffects = 3;
    }
    world.restart(false, true);
    for (let life = 0; life < 6; life++) {
      const length = random(120);
      for (let moment = 0; moment < length; moment++) {
        // The start must succeed: there a failing disk ends the process, which is another story.
        world.failsOneIn = isStarting(world) ? 0 : failsOneIn;
        live(world, random);
      }
      world.failsOneIn = 0;
      tellPromise(world);
      world.restart(random(3) !== 0, true);
    }
    settle(world);
    world.restart(true, true);
    settle(world);
  } catch (error) {
    const trace = world.trace.slice(-60).join('\n');
    throw new Error(`seed ${seed}: ${(error as Error).message}\n${trace}`, { cause: error });
  }
}

describe('any life', () => {
  const seeds = fc.integer({ min: 1, max: 0x7fffffff });

  it('keeps what was acknowledged, stopped anywhere', () => {
    fc.assert(fc.property(seeds, (seed) => simulate(seed, 0)), { numRuns: 1500, endOnFailure: true });
  });

  it('keeps it on a disk that fails now and then', () => {
    fc.assert(fc.property(seeds, (seed) => simulate(seed, 12)), { numRuns: 1500, endOnFailure: true });
  });

  it('keeps it stopped at each single boundary of a rewrite, with and without power', () => {
    for (const hasPowerLoss of [false, true]) {
      for (let boundary = 0; boundary < 40; boundary++) {
        const world = started();
        for (let count = 0; count < 5; count++) world.emit();
        world.syncJournal();
        world.send({ type: 'rewrite' });
        for (let done = 0; done < boundary; done++) {
          if (world.isBusy) world.runOne();
          else world.endSnapshot(true);
          world.emit();
          world.syncJournal();
        }
        world.restart(hasPowerLoss, true);
        settle(world);
        expect(world.state.mode).toBe('on');
      }
    }
  });

  it('leaves no file behind that nobody names', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const world = started();
        const random = randomOf(seed);
        for (let moment = 0; moment < 150; moment++) {
          world.failsOneIn = isStarting(world) ? 0 : 15;
          // A rewrite without the AOF lets numbers begin anew, below that of a stray from before.
          if (world.state.mode === 'off') world.send({ type: 'appendonly', isOn: true });
          live(world, random);
        }
        world.failsOneIn = 0;
        world.send({ type: 'appendonly', isOn: true });
        settle(world);
        world.restart(false, true);
        settle(world);
        world.send({ type: 'rewrite' });
        settle(world);
        // A base or incremental file of a failed attempt has the next number, which the rewrite has used.
        expect([seed, world.strays()]).toEqual([seed, []]);
      }),
      { numRuns: 300, endOnFailure: true },
    );
  });
});

describe('names and numbers', () => {
  it('are those of Redis over starts and rewrites', () => {
    const world = started();
    expect(manifestOf(world)).toEqual([
      'file appendonly.aof.1.base.rdb seq 1 type b',
      'file appendonly.aof.1.incr.aof seq 1 type i',
    ]);
    world.send({ type: 'rewrite' });
    while (world.isBusy) world.runOne();
    expect(manifestOf(world)).toEqual([
      'file appendonly.aof.1.base.rdb seq 1 type b',
      'file appendonly.aof.1.incr.aof seq 1 type i',
      'file appendonly.aof.2.incr.aof seq 2 type i',
    ]);
    settle(world);
    expect(manifestOf(world)).toEqual([
      'file appendonly.aof.2.base.rdb seq 2 type b',
      'file appendonly.aof.2.incr.aof seq 2 type i',
    ]);
  });

  it('are not used up by rewrites that cannot cut the journal', () => {
    const world = started();
    for (let attempt = 0; attempt < 3; attempt++) {
      world.send({ type: 'rewrite' });
      while (!world.nextIs('cut-journal')) world.runOne();
      expect(manifestOf(world)).toContain('file appendonly.aof.2.incr.aof seq 2 type i');
      world.failsOneIn = 1;
      world.runOne();
      world.failsOneIn = 0;
      world.emit();
      settle(world);
    }
    expect(manifestOf(world)).toEqual([
      'file appendonly.aof.1.base.rdb seq 1 type b',
      'file appendonly.aof.1.incr.aof seq 1 type i',
      'file appendonly.aof.2.incr.aof seq 2 type i',
    ]);
    world.send({ type: 'rewrite' });
    settle(world);
    expect(manifestOf(world)).toEqual([
      'file appendonly.aof.2.base.rdb seq 2 type b',
      'file appendonly.aof.2.incr.aof seq 2 type i',
    ]);
  });

  it('keep the order of history as Redis does, with aof-disable-auto-gc', () => {
    const world = started({ ...OPTIONS, keepsHistory: true });
    world.send({ type: 'rewrite' });
    while (world.isBusy) world.runOne();
    world.endSnapshot(false);
    settle(world);
    world.send({ type: 'rewrite' });
    settle(world);
    expect(manifestOf(world)).toEqual([
      'file appendonly.aof.2.base.rdb seq 2 type b',
      'file appendonly.aof.1.incr.aof seq 1 type h',
      'file appendonly.aof.2.incr.aof seq 2 type h',
      'file appendonly.aof.1.base.rdb seq 1 type h',
      'file appendonly.aof.3.incr.aof seq 3 type i',
    ]);
  });

  it('are those of Redis when switched on at run time', () => {
    const world = started(OPTIONS, false);
    expect(world.files.names.size).toBe(0);
    world.emit();
    world.send({ type: 'appendonly', isOn: true });
    while (world.isBusy) world.runOne();
    expect([...world.files.names.keys()]).toEqual(['appendonlydir/temp-appendonly.aof.incr']);
    world.emit();
    settle(world);
    expect(manifestOf(world)).toEqual([
      'file appendonly.aof.1.base.rdb seq 1 type b',
      'file appendonly.aof.1.incr.aof seq 1 type i',
    ]);
    world.send({ type: 'appendonly', isOn: false });
    settle(world);
    world.send({ type: 'appendonly', isOn: true });
    settle(world);
    expect(manifestOf(world)).toEqual([
      'file appendonly.aof.2.base.rdb seq 2 type b',
      'file appendonly.aof.2.incr.aof seq 2 type i',
    ]);
  });

  it('take over the old single file', () => {
    const world = new World(OPTIONS, randomOf(1));
    world.files.create('appendonly.aof').effects = [1, 2];
    world.issued = 2;
    world.restart(false, true);
    settle(world);
    expect(manifestOf(world)).toEqual([
      'file appendonly.aof seq 1 type b',
      'file appendonly.aof.1.incr.aof seq 1 type i',
    ]);
    expect(world.issued).toBe(2);
  });

  it('refuse a manifest that Redis refuses', () => {
    const world = new World(OPTIONS, randomOf(1));
    world.files.create('appendonlydir/appendonly.aof.manifest', 'file a seq 1 type b\nfile b seq 2 type b\n');
    expect(() => world.restart(false, true)).toThrow(/Found duplicate base file information/);
  });
});
