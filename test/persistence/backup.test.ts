/**
 * Backup archives: what goes in comes out, no flipped bit and no cut passes, hostile archives do nothing, and a
 * redis-server that is writing and rewriting its AOF can be backed up, restored and started from the copy.
 */
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'crc';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import {
  ARCHIVE_HEADER_BYTES,
  archiveHeader,
  BLOCK_BYTES,
  encodeFrame,
  FRAME_HEADER_BYTES,
  type ArchiveEntry,
} from '../../src/persistence/backup/archive-format.js';
import { formatManifest, parseManifest } from '../../src/persistence/format/manifest.js';
import { isSafePath, readArchive } from '../../src/persistence/backup/archive-reader.js';
import { ArchiveWriter } from '../../src/persistence/backup/archive-writer.js';
import { addServerFiles } from '../../src/persistence/backup/create.js';
import { restoreArchive } from '../../src/persistence/backup/restore.js';
import { startRedis } from '../support/oracle.js';
import { projectRoot } from '../support/project.js';
import { RespClient } from '../support/resp-client.js';

const folders: string[] = [];
let folder = '';

function newFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'sherd-test-backup-'));
  folders.push(path);
  return path;
}

beforeEach(() => {
  folder = newFolder();
});

afterAll(() => {
  for (const path of folders) rmSync(path, { recursive: true, force: true });
});

const FILE: ArchiveEntry = { path: 'dump.rdb', type: 'file', mode: 0o600, mtimeMs: 1_700_000_000_000 };

async function archiveOf(contents: Record<string, Buffer>): Promise<string> {
  const path = join(newFolder(), 'archive');
  const writer = await ArchiveWriter.create(path);
  for (const [name, bytes] of Object.entries(contents)) await writer.addBytes({ ...FILE, path: name }, bytes);
  await writer.finish();
  return path;
}

async function backUp(source: string, extraFiles: string[] = []): Promise<string> {
  const path = join(newFolder(), 'archive');
  const writer = await ArchiveWriter.create(path);
  try {
    await addServerFiles(writer, { folder: source, extraFiles });
    await writer.finish();
  } catch (error) {
    await writer.abandon();
    throw error;
  }
  return path;
}

const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

function contentsOf(path: string): Record<string, string> {
  const items = readdirSync(path, { recursive: true, withFileTypes: true }).filter((item) => item.isFile());
  return Object.fromEntries(
    items
      .map((item) => join(item.parentPath, item.name))
      .map((name) => [name.slice(path.length + 1), sha256(readFileSync(name))] as const)
      .sort(),
  );
}

const MANIFEST = 'file a.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\n';

function fillServerFolder(): void {
  mkdirSync(join(folder, 'appendonlydir'));
  const files: Record<string, Buffer | string> = {
    'dump.rdb': randomBytes(3 * BLOCK_BYTES + 17),
    'redis.conf': 'port 7777\n'.repeat(100),
    'users.acl': 'user default on nopass ~* +@all\n',
    'empty.rdb': '',
    'appendonlydir/appendonly.aof.manifest': `${MANIFEST}file gone.aof seq 1 type h\n`,
    'appendonlydir/a.base.rdb': randomBytes(1000),
    'appendonlydir/a.1.incr.aof': '*1\r\n$4\r\nPING\r\n'.repeat(200_000),
    'appendonlydir/temp-appendonly.aof.incr': 'not wanted',
    'temp-123.rdb': 'not wanted',
    'holiday.jpg': 'not ours',
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
}

describe('round trip', () => {
  it('gives back files, modes and times, and leaves out what is not the server’s', async () => {
    fillServerFolder();
    chmodSync(join(folder, 'users.acl'), 0o600);
    utimesSync(join(folder, 'dump.rdb'), 1_600_000_000, 1_600_000_000);
    const elsewhere = join(newFolder(), 'sentinel.conf');
    writeFileSync(elsewhere, 'port 1\n');
    const archive = await backUp(folder, [elsewhere]);
    const target = join(newFolder(), 'new');
    const summary = await restoreArchive({ archive, folder: target, replaces: false });
    const expected = contentsOf(folder);
    for (const name of ['appendonlydir/temp-appendonly.aof.incr', 'temp-123.rdb', 'holiday.jpg']) delete expected[name];
    expected['appendonlydir/appendonly.aof.manifest'] = sha256(formatManifest(parseManifest(MANIFEST)));
    expected['extra/sentinel.conf'] = sha256('port 1\n');
    expect(contentsOf(target)).toEqual(Object.fromEntries(Object.entries(expected).sort()));
    expect(statSync(join(target, 'users.acl')).mode & 0o777).toBe(0o600);
    expect(statSync(join(target, 'dump.rdb')).mtimeMs).toBe(1_600_000_000_000);
    expect(summary.entryCount).toBe(9);
    // The incremental file packs well, the rest does not.
    expect(summary.archiveBytes).toBeLessThan(summary.fileBytes * 0.7);
  });

  it('leaves nothing when it is abandoned', async () => {
    writeFileSync(join(folder, 'dump.rdb'), randomBytes(2 * BLOCK_BYTES));
    const path = join(newFolder(), 'archive');
    const writer = await ArchiveWriter.create(path);
    await addServerFiles(writer, { folder, extraFiles: [] });
    await writer.abandon();
    expect(readdirSync(join(path, '..'))).toEqual([]);
  });

  it('refuses when a file of the manifest is missing', async () => {
    fillServerFolder();
    rmSync(join(folder, 'appendonlydir', 'a.base.rdb'));
    await expect(backUp(folder)).rejects.toThrow(/not all there/);
  });
});

describe('damage', () => {
  it('is found wherever a bit flips', async () => {
    const archive = await archiveOf({ a: Buffer.from('hello '.repeat(30)), b: randomBytes(90), c: Buffer.alloc(0) });
    const whole = readFileSync(archive);
    const passed: string[] = [];
    const headers = ARCHIVE_HEADER_BYTES + FRAME_HEADER_BYTES;
    for (let at = 0; at < whole.length; at++) {
      // Every bit of the first headers; of the rest one bit of each byte, another one from byte to byte.
      for (let bit = at < headers ? 0 : at % 8; bit < (at < headers ? 8 : (at % 8) + 1); bit++) {
        const flipped = Buffer.from(whole);
        flipped[at] = (flipped[at] as number) ^ (1 << bit);
        writeFileSync(archive, flipped);
        await readArchive(archive).then(
          () => passed.push(`${at}.${bit}`),
          (error: Error) => expect(error.name).toBe('ArchiveError'),
        );
      }
    }
    expect(passed).toEqual([]);
  }, 120_000);

  it('is found at every cut, and behind the end', async () => {
    const archive = await archiveOf({ a: Buffer.from('hello '.repeat(30)), b: randomBytes(90) });
    const whole = readFileSync(archive);
    for (let size = 0; size < whole.length; size++) {
      writeFileSync(archive, whole.subarray(0, size));
      await expect(readArchive(archive)).rejects.toThrow(/at offset/);
    }
    writeFileSync(archive, Buffer.concat([whole, Buffer.from('x')]));
    await expect(readArchive(archive)).rejects.toThrow(/behind the end/);
    writeFileSync(archive, whole);
    expect(await readArchive(archive)).toMatchObject({ entryCount: 2, archiveBytes: whole.length });
  });

  it('is found when whole frames are exchanged', async () => {
    const [one, other] = [await archiveOf({ a: Buffer.from('first') }), await archiveOf({ a: Buffer.from('other') })];
    const bytes = readFileSync(one);
    const foreign = readFileSync(other);
    const at = bytes.indexOf('first') - FRAME_HEADER_BYTES;
    foreign.copy(bytes, at, at, at + FRAME_HEADER_BYTES + 5);
    writeFileSync(one, bytes);
    await expect(readArchive(one)).rejects.toThrow(/not what was saved/);
  });

  it('writes nothing', async () => {
    const archive = await archiveOf({ a: Buffer.from('first'), b: randomBytes(100) });
    const bytes = readFileSync(archive);
    writeFileSync(archive, bytes.subarray(0, -1));
    const restored = restoreArchive({ archive, folder: join(folder, 'new'), replaces: true });
    await expect(restored).rejects.toThrow(/ends within/);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('hostile archives', () => {
  const paths = ['../x', '/etc/x', 'a/../../x', 'a//b', '.', 'a/.', '', 'a\\b', 'a\0b', 'a/', '\u{1f600}'];

  it.each(paths)('path %j', async (path) => {
    expect(isSafePath(path)).toBe(false);
    const archive = await archiveOf({ [path]: Buffer.from('evil') });
    const restored = restoreArchive({ archive, folder: join(folder, 'new'), replaces: true });
    await expect(restored).rejects.toThrow(/not allowed/);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('claim no memory', async () => {
    const header = Buffer.alloc(FRAME_HEADER_BYTES);
    header.writeUInt8(2, 0);
    header.writeUInt32LE(0xffffffff, 4);
    header.writeUInt32LE(0xffffffff, 8);
    header.writeUInt32LE(crc32(header.subarray(0, 20)), 20);
    const path = join(folder, 'archive');
    writeFileSync(path, Buffer.concat([archiveHeader(), header]));
    await expect(readArchive(path)).rejects.toThrow(`at offset ${ARCHIVE_HEADER_BYTES}: impossible frame header`);
  });

  it('have their frames in order', async () => {
    const path = join(folder, 'archive');
    writeFileSync(path, Buffer.concat([archiveHeader(), await encodeFrame('data', Buffer.from('x'))]));
    await expect(readArchive(path)).rejects.toThrow(/out of place/);
    const entry = await encodeFrame('entry', Buffer.from(JSON.stringify({ ...FILE, mode: 0o4755 })));
    writeFileSync(path, Buffer.concat([archiveHeader(), entry]));
    await expect(readArchive(path)).rejects.toThrow(/does not say what it should/);
    const twice = await archiveOf({ a: Buffer.from('1') });
    const whole = readFileSync(twice).subarray(ARCHIVE_HEADER_BYTES);
    const line = JSON.stringify({ ...FILE, path: 'a' }).slice(0, -1);
    const first = whole.subarray(0, whole.indexOf(`${line},"size"`) - FRAME_HEADER_BYTES);
    writeFileSync(path, Buffer.concat([archiveHeader(), first, first]));
    await expect(readArchive(path)).rejects.toThrow(/twice/);
  });

  it('do not follow links out of the target', async () => {
    const outside = newFolder();
    symlinkSync(outside, join(folder, 'sub'));
    const archive = await archiveOf({ 'sub/x': Buffer.from('evil') });
    await expect(restoreArchive({ archive, folder, replaces: true })).rejects.toThrow(/not a folder/);
    symlinkSync(join(outside, 'y'), join(folder, 'y'));
    const other = await archiveOf({ y: Buffer.from('evil') });
    await expect(restoreArchive({ archive: other, folder, replaces: true })).rejects.toThrow(/in the way/);
    expect(readdirSync(outside)).toEqual([]);
  });
});

describe('the program', () => {
  const program = join(projectRoot, 'dist', 'cli', 'sherd-backup.js');
  const run = (...args: string[]): [number | null, string] => {
    const done = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
    return [done.status, done.stdout + done.stderr];
  };

  it('creates, verifies and restores, and replaces only when told', () => {
    writeFileSync(join(folder, 'dump.rdb'), 'REDIS');
    const archive = join(folder, 'backup');
    const told = /^dump\.rdb \(5 bytes\)\n.*: 5 bytes in \d+\n$/;
    expect(run('create', folder, archive)).toEqual([0, expect.stringMatching(told)]);
    expect(run('create', folder, archive)).toEqual([1, expect.stringContaining('exists; use --force')]);
    expect(run('create', '--force', folder, archive)[0]).toBe(0);
    expect(run('verify', archive)).toEqual([0, expect.stringContaining('whole, 1 entries, 5 bytes')]);
    expect(run('restore', archive, folder)).toEqual([1, expect.stringContaining('exists; use --force')]);
    writeFileSync(join(folder, 'dump.rdb'), 'changed');
    expect(run('restore', '--force', archive, folder)[0]).toBe(0);
    expect(readFileSync(join(folder, 'dump.rdb'), 'latin1')).toBe('REDIS');
    writeFileSync(archive, 'SHERDBAK but not really');
    expect(run('verify', archive)).toEqual([1, expect.stringContaining('the archive is damaged: at offset 0')]);
    expect(run('verify', join(folder, 'nothing'))).toEqual([1, expect.stringContaining('ENOENT')]);
  });

  it('explains itself', () => {
    const lines = [[], ['create', 'x'], ['verify'], ['restore', 'x'], ['verify', '--foo', 'x'], ['burn', 'x', 'y']];
    for (const args of lines) expect(run(...args)).toEqual([2, expect.stringContaining('Usage: sherd-backup create')]);
  });
});

describe('a redis-server at work', () => {
  it('is backed up between rewrites, and starts from the copy with a prefix of its writes', async () => {
    const server = await startRedis(['--appendonly', 'yes', '--auto-aof-rewrite-percentage', '0']);
    let isOver = false;
    try {
      const client = await RespClient.connect(server);
      let counter = 0;
      const writer = (async () => {
        while (!isOver) {
          const increments = Array.from({ length: 50 }, () => ['INCR', 'counter']);
          const replies = await client.pipeline([...increments, ['BGREWRITEAOF']]);
          counter = Number(/\d+/.exec(replies[49]?.text ?? '')?.[0]);
        }
      })();
      for (let round = 0; round < 5; round++) {
        const before = counter;
        const archive = await backUp(server.dir);
        const copy = join(newFolder(), 'copy');
        await restoreArchive({ archive, folder: copy, replaces: false });
        const second = await startRedis(['--appendonly', 'yes', '--dir', copy]);
        const reader = await RespClient.connect(second);
        const text = (await reader.send('GET', 'counter')).text;
        const loaded = Number(/\r\n(\d+)/.exec(text)?.[1] ?? 0);
        reader.close();
        await second.stop();
        expect(loaded).toBeLessThanOrEqual(counter);
        // A server that has its AOF in the page cache loses nothing that it answered before the copy began.
        expect(loaded).toBeGreaterThanOrEqual(before);
      }
      isOver = true;
      await writer;
      client.close();
    } finally {
      isOver = true;
      await server.stop();
    }
  }, 60_000);
});
