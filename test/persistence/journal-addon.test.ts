/** The journal's functions as the control plane calls them: promises, errors, status. No worker runs here. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadAddon } from '../../src/native/addon.js';

const addon = loadAddon();
const dir = mkdtempSync(join(tmpdir(), 'sherd-test-journal-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function newEngine(): number {
  const sizes = { workers: 1, shards: 2, databases: 16 };
  const stats = new Uint8Array(new SharedArrayBuffer(addon.statsBytes(sizes.workers, sizes.shards, sizes.databases)));
  return addon.createEngine({ ...sizes, inPlace: true, stats, runId: 'a'.repeat(40) });
}

describe('the journal through the addon', () => {
  it('opens, tells, syncs, closes and opens again', async () => {
    const engine = newEngine();
    expect(addon.journalStatus(engine)).toMatchObject({ isOn: false, offset: 0n, writeError: '', syncError: '' });
    addon.setJournalPolicy(engine, 'always', false);
    const path = join(dir, 'a.aof');
    await addon.openJournal(engine, { path, offset: 0n, crc: 0n });
    expect(addon.journalStatus(engine)).toMatchObject({ isOn: true, fileBytes: 0n, delayedSyncs: 0n });
    await addon.syncJournal(engine);
    await addon.resumeJournal(engine);
    await addon.closeJournal(engine);
    expect(addon.journalStatus(engine).isOn).toBe(false);
    expect(readFileSync(path)).toHaveLength(0);
    await addon.closeJournal(engine);
    await addon.syncJournal(engine);
    await addon.openJournal(engine, { path, offset: 0n, crc: 0n });
    expect(addon.journalStatus(engine).isOn).toBe(true);
    addon.holdJournalSync(engine, true);
    addon.holdJournalSync(engine, false);
    addon.refuseWrites(engine, 'MISCONF no');
    addon.refuseWrites(engine, '');
    await addon.closeJournal(engine);
  });

  it('rejects with the reason and the name of the error', async () => {
    const engine = newEngine();
    const open = addon.openJournal(engine, { path: join(dir, 'none', 'a.aof'), offset: 0n, crc: 0n });
    await expect(open).rejects.toMatchObject({ message: 'No such file or directory', code: 'ENOENT' });
    expect(addon.journalStatus(engine).isOn).toBe(false);
    await expect(addon.resumeJournal(engine)).rejects.toMatchObject({ code: 'EBADF' });
    await addon.openJournal(engine, { path: join(dir, 'b.aof'), offset: 0n, crc: 0n });
    const second = addon.openJournal(engine, { path: join(dir, 'c.aof'), offset: 0n, crc: 0n });
    await expect(second).rejects.toMatchObject({ code: 'EBUSY' });
    await addon.closeJournal(engine);
  });
});
