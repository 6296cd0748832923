/**
 * Manifests: what is written is read again, and what redis-server writes is what we would write, byte for byte.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AofOptions } from '../../src/persistence/aof-state.js';
import { formatManifest, ManifestError, parseManifest } from '../../src/persistence/format/manifest.js';
import { startRedis, type RunningServer } from '../support/oracle.js';
import { RespClient } from '../support/resp-client.js';
import { randomOf, World } from './aof-simulator.js';

const character = fc.integer({ min: 1, max: 255 }).filter((code) => code !== 0x2f && code !== 0x5c);
const part = fc.record({
  name: fc
    .array(character, { minLength: 1, maxLength: 20 })
    .map((codes) => String.fromCharCode(...codes)),
  seq: fc.bigInt({ min: 1n, max: (1n << 62n) - 1n }),
});

describe('a manifest', () => {
  it('is read as it was written', () => {
    const base = fc.option(part, { nil: undefined });
    const incrs = fc.uniqueArray(part, { selector: (one) => one.seq });
    fc.assert(
      fc.property(base, fc.array(part), incrs, (base, history, incrs) => {
        incrs.sort((a, b) => (a.seq < b.seq ? -1 : 1));
        fc.pre(base !== undefined || history.length > 0 || incrs.length > 0);
        const manifest = { base, history, incrs };
        expect(parseManifest(formatManifest(manifest))).toEqual(manifest);
      }),
    );
  });

  it('is refused wherever a bit of it flips, or says the same', () => {
    const manifest = { base: { name: 'a.base.rdb', seq: 2n }, history: [], incrs: [{ name: 'a.incr.aof', seq: 7n }] };
    const text = formatManifest(manifest);
    let refused = 0;
    for (let bit = 0; bit < text.length * 8; bit++) {
      const bytes = Buffer.from(text, 'latin1');
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      try {
        expect(parseManifest(bytes.toString('latin1')), `bit ${bit}`).toEqual(manifest);
      } catch (error) {
        if (!(error instanceof ManifestError)) throw error;
        refused++;
      }
    }
    // What passes is a comment that is no checksum any more.
    expect(refused).toBeGreaterThan(text.indexOf('#') * 8);
  });
});

/** Redis writes no checksum. */
const withoutComments = (text: string): string => text.replace(/^#.*\n/gm, '');

const manifestOf = (server: RunningServer): string =>
  readFileSync(join(server.dir, 'appendonlydir', 'appendonly.aof.manifest'), 'latin1');

async function rewrite(client: RespClient): Promise<void> {
  await client.send('BGREWRITEAOF');
  while (!/aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/.test((await client.send('INFO', 'persistence')).text));
}

describe('beside redis-server', () => {
  it.each(['yes', 'no'])('is the same over rewrites and switching, history kept, preamble %s', async (preamble) => {
    const options: AofOptions = {
      filename: 'appendonly.aof',
      dirname: 'appendonlydir',
      useRdbPreamble: preamble === 'yes',
      keepsHistory: true,
      processId: 1,
    };
    const world = new World(options, randomOf(1));
    const settle = (): void => {
      for (let round = 0; round < 5; round++) {
        while (world.isBusy) world.runOne();
        if (world.hasSnapshot) world.endSnapshot(true);
      }
    };
    const ours = (): string => withoutComments(world.files.names.get('appendonlydir/appendonly.aof.manifest')?.text ?? '');
    const kept = ['--aof-disable-auto-gc', 'yes', '--aof-use-rdb-preamble', preamble];
    const server = await startRedis(['--appendonly', 'yes', ...kept]);
    try {
      const client = await RespClient.connect(server);
      world.restart(false, true);
      settle();
      expect(ours()).toBe(manifestOf(server));
      for (let round = 0; round < 3; round++) {
        await rewrite(client);
        world.send({ type: 'rewrite' });
        settle();
        expect(ours()).toBe(manifestOf(server));
      }
      await client.send('CONFIG', 'SET', 'appendonly', 'no');
      await client.send('CONFIG', 'SET', 'appendonly', 'yes');
      while (!/aof_enabled:1\r\naof_rewrite_in_progress:0/.test((await client.send('INFO', 'persistence')).text));
      world.send({ type: 'appendonly', isOn: false });
      settle();
      world.send({ type: 'appendonly', isOn: true });
      settle();
      expect(ours()).toBe(manifestOf(server));
      client.close();
    } finally {
      await server.stop();
    }
  });
});
