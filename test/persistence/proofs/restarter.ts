/**
 * Restarts without processes: the real start-up code of the control plane (src/persistence) on an engine in this process,
 * so that thousands of damaged folders can be started on. Folders come as they are and stay as the start leaves them.
 */
import { join } from 'node:path';
import { ConfigStore } from '../../../src/config/config-store.js';
import { systemFiles } from '../../../src/persistence/files.js';
import { Persistence } from '../../../src/persistence/persistence.js';
import { utf8ToByteString } from '../../../src/util/bytes.js';
import { Connection } from '../../proofs/connection.js';
import { projectRoot } from '../../support/project.js';
import { NativeEngine } from '../native-engine.js';

/** How a start has ended. */
export interface StartOutcome {
  isServing: boolean;
  /** What it would have logged; the last lines are the reason when it is not serving. */
  log: string[];
}

export class Restarter {
  private current: Persistence | undefined;

  private constructor(
    readonly native: NativeEngine,
    /** To ask what has been restored. */
    readonly connection: Connection,
  ) {}

  static async make(): Promise<Restarter> {
    // Compiled, this module lies elsewhere than the addon.
    process.env['SHERD_ADDON'] ??= join(projectRoot, 'native', 'build', 'Release', 'sherd.node');
    const native = await NativeEngine.start();
    return new Restarter(native, await Connection.open(native.port));
  }

  /** Ends what runs, if anything, and starts on a folder. Options as on the command line, without the dashes. */
  async start(dir: string, options: Record<string, string>): Promise<StartOutcome> {
    await this.stop();
    const { addon, engine } = this.native;
    await addon.emptyDataset(engine);
    const config = new ConfigStore(utf8ToByteString(dir));
    for (const [name, value] of Object.entries({ save: '', ...options })) config.overwrite(name, value);
    const log: string[] = [];
    let failure: unknown;
    const persistence = new Persistence({
      addon,
      engine,
      files: systemFiles,
      settings: config,
      log: (_, text) => log.push(text),
      now: () => Date.now(),
      flushes: () => 0n,
      dirty: () => 0n,
      usedMemoryBytes: () => 0,
      redisVersion: '7.4.0',
      processId: process.pid,
      exit: (messages) => log.push(...messages),
      crash: (error) => (failure = error),
    });
    persistence.beginLoading();
    const isServing = await persistence.load();
    if (failure !== undefined) throw failure;
    this.current = persistence;
    // A start that was refused leaves clients refused, too; the next start sets it again.
    if (!isServing) addon.setLoading(engine, false, 0n);
    return { isServing, log };
  }

  /** Ends the journal; all that was written is in it. */
  async stop(): Promise<void> {
    await this.current?.close();
    this.current = undefined;
  }

  async end(): Promise<void> {
    await this.stop();
    this.connection.destroy();
    this.native.close();
  }
}
