/**
 * An engine within the test's own process, and a client of it: for tests of loading, which speak to the addon. One
 * worker, on the test's thread; a keyspace INFO is all that its control plane knows.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAddon, type ControlRequest, type NativeAddon } from '../../src/native/addon.js';
import type { LoadAofResult, LoadResult } from '../../src/native/persistence.js';
import { RespClient } from '../support/resp-client.js';

const SIZES = { workers: 1, shards: 8, databases: 16 };

/** See above. */
export class NativeEngine {
  readonly addon = loadAddon();
  readonly engine: number;
  readonly dir = mkdtempSync(join(tmpdir(), 'sherd-test-load-'));
  client!: RespClient;
  port = 0;

  constructor() {
    const stats = new Uint8Array(this.addon.statsBytes(SIZES.workers, SIZES.shards, SIZES.databases));
    this.engine = this.addon.createEngine({ ...SIZES, inPlace: true, stats, runId: '0'.repeat(40) });
    this.addon.setOption(this.engine, 'enable-debug-command', 1);
  }

  /** Makes one, with its client. */
  static async start(): Promise<NativeEngine> {
    const made = new NativeEngine();
    const answer = ({ token }: ControlRequest): void => {
      const text = Array.from({ length: SIZES.databases }, (_, db) => `db${db}:keys=1`).join('\r\n');
      const reply = Buffer.from(`$${text.length}\r\n${text}\r\n`);
      made.addon.replyControl(made.engine, token, reply);
    };
    made.addon.startWorker(made.engine, 0, answer, () => undefined);
    made.port = made.addon.listen(made.engine, { kind: 'tcp', address: '127.0.0.1', port: 0, backlog: 16 });
    made.client = await RespClient.connect({ port: made.port });
    return made;
  }

  close(): void {
    this.client.close();
    this.addon.closeListeners(this.engine);
    this.addon.stopWorker(this.engine);
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Empties the engine and loads a file of these bytes. */
  async loadRdb(bytes: Buffer): Promise<LoadResult> {
    const path = this.#write(bytes);
    await this.addon.emptyDataset(this.engine);
    return this.#loading(bytes.length, () =>
      this.addon.loadRdb(this.engine, { path, verifiesChecksum: true }),
    );
  }

  async loadAof(bytes: Buffer, mayBeTorn = false, verifiesChecksum = true): Promise<LoadAofResult> {
    const path = this.#write(bytes);
    await this.addon.emptyDataset(this.engine);
    return this.#loading(bytes.length, () => this.addon.loadAof(this.engine, { path, mayBeTorn, verifiesChecksum }));
  }

  async digest(): Promise<string> {
    return (await this.client.send('DEBUG', 'DIGEST')).text;
  }

  #write(bytes: Buffer): string {
    const path = join(this.dir, 'file');
    writeFileSync(path, bytes);
    return path;
  }

  async #loading<Result>(size: number, load: () => Promise<Result>): Promise<Result> {
    this.addon.setLoading(this.engine, true, BigInt(size));
    try {
      return await load();
    } finally {
      this.addon.setLoading(this.engine, false, 0n);
    }
  }
}
