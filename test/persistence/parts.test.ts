/**
 * The small parts of the control half of persistence: the real file system, reasons and faults, turns of snapshots,
 * and when the AOF is rewritten by itself.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { failureReason, systemFiles } from '../../src/persistence/files.js';
import { parseSavePoints } from '../../src/persistence/persistence.js';
import { afterRewrite, checkLimit, dueGrowth, NO_LIMIT } from '../../src/persistence/rewrite-trigger.js';
import { SnapshotSlot } from '../../src/persistence/snapshot-slot.js';
import { InvariantError } from '../../src/util/assert.js';

describe('the file system', () => {
  it('does what the executors ask for, with names that are bytes', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'sherd-test-parts-'));
    const folder = `${dir}/d\xff`;
    await systemFiles.makeDirectory(folder);
    await systemFiles.makeDirectory(folder);
    await systemFiles.write(`${folder}/a`, 'bytes \xfe');
    await systemFiles.sync(`${folder}/a`);
    await systemFiles.rename(`${folder}/a`, `${folder}/b\xe9`);
    await systemFiles.syncDirectory(folder);
    expect(await systemFiles.list(folder)).toEqual(['b\xe9']);
    expect(await systemFiles.size(`${folder}/b\xe9`)).toBe(7n);
    expect(await systemFiles.read(`${folder}/b\xe9`)).toBe('bytes \xfe');
    await systemFiles.truncate(`${folder}/b\xe9`, 2n);
    expect(await systemFiles.read(`${folder}/b\xe9`)).toBe('by');
    await systemFiles.unlink(`${folder}/b\xe9`);
    await systemFiles.unlink(`${folder}/b\xe9`);
    expect(await systemFiles.size(`${folder}/a`)).toBe(undefined);
    expect(await systemFiles.read(`${folder}/a`)).toBe(undefined);
    expect(await systemFiles.list(`${dir}/none`)).toBe(undefined);
    const reason = await systemFiles.rename(`${folder}/x`, `${folder}/y`).catch(failureReason);
    expect(reason).toBe('No such file or directory');
    rmSync(dir, { recursive: true });
  });
});

describe('a failure', () => {
  it('is a reason when a disk can cause it, and else a fault that is thrown on', () => {
    const disk = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' });
    expect(failureReason(disk)).toBe('No space left on device');
    expect(failureReason(Object.assign(new Error('No space left on device'), { code: 'ENOSPC' }))).toBe(
      'No space left on device',
    );
    expect(failureReason(new Error('cancelled'))).toBe('cancelled');
    const faults = [
      new TypeError('x'),
      new RangeError('x'),
      new InvariantError('x'),
      Object.assign(new Error('x'), { code: 'ERR_INVALID_ARG_TYPE' }),
      'text',
    ];
    for (const fault of faults) expect(() => failureReason(fault)).toThrow();
  });
});

describe('turns of snapshots', () => {
  it('are given in the order of asking, and refused when the server ends', async () => {
    const slot = new SnapshotSlot();
    const order: string[] = [];
    await slot.take();
    const second = slot.take().then(() => order.push('second'));
    const third = slot.take().then(
      () => order.push('third'),
      (error: Error) => order.push(error.message),
    );
    expect(slot.isBusy).toBe(true);
    slot.release();
    await second;
    slot.close();
    await third;
    expect(order).toEqual(['second', 'the server is shutting down']);
    await expect(slot.take()).rejects.toThrow('shutting down');
    slot.release();
    slot.open();
    await slot.take();
    slot.release();
    expect(slot.isBusy).toBe(false);
    expect(() => slot.release()).toThrow(InvariantError);
  });
});

describe('rewrites by themselves', () => {
  it('come when the file has grown by the percentage, beyond the least size', () => {
    const growth = { currentBytes: 200n, baseBytes: 100n, percentage: 100, minBytes: 100n };
    expect(dueGrowth(growth)).toBe(100n);
    expect(dueGrowth({ ...growth, currentBytes: 199n })).toBe(undefined);
    expect(dueGrowth({ ...growth, minBytes: 200n })).toBe(undefined);
    expect(dueGrowth({ ...growth, percentage: 0 })).toBe(undefined);
    expect(dueGrowth({ ...growth, baseBytes: 0n })).toBe(19900n);
  });

  it('rest behind three failures: a minute, then twice as long, an hour at most', () => {
    let limit = NO_LIMIT;
    let nowMs = 1_000_000;
    for (let failure = 0; failure < 2; failure++) limit = afterRewrite(limit, false);
    expect(checkLimit(limit, nowMs).isLimited).toBe(false);
    const minutes: number[] = [];
    for (let round = 0; round < 9; round++) {
      limit = afterRewrite(limit, false);
      const begun = checkLimit(limit, nowMs);
      expect(begun.isLimited).toBe(true);
      expect(begun.log).toMatch(/will retry in \d+ minutes$/);
      limit = begun.limit;
      minutes.push(limit.delayMinutes);
      expect(checkLimit(limit, limit.nextAtMs - 1)).toMatchObject({ isLimited: true });
      nowMs = limit.nextAtMs;
      const over = checkLimit(limit, nowMs);
      expect(over.isLimited).toBe(false);
      limit = over.limit;
    }
    expect(minutes).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
    expect(afterRewrite(limit, true)).toEqual(NO_LIMIT);
  });
});

describe('save points', () => {
  it('are read from the option as the store keeps it', () => {
    expect(parseSavePoints('')).toEqual([]);
    expect(parseSavePoints('3600 1 60 9223372036854775807')).toEqual([
      { seconds: 3600, changes: 1n },
      { seconds: 60, changes: 9223372036854775807n },
    ]);
  });
});
