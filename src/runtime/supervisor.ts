/**
 * The main thread of a running server: creates the engine, starts the workers, listens, answers control commands, and
 * ends the process.
 *
 * Always true:
 *  1. There is no half a server: when a worker fails, or anything here throws, the process ends at once, non-zero.
 *  2. A control command gets its one reply, or the process ends; a handler that throws is a programmer error.
 *  3. Data commands never come here.
 *
 * The order at start is: engine, options, workers (side by side), listeners, files loaded, "Ready to accept connections".
 * At the end: last save and sync of the files, listeners, connections, journal, process.
 */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { CONTROL_HANDLERS } from '../commands/control/index.js';
import type { ControlContext, ShutdownRequest } from '../commands/control/context.js';
import { REDIS_VERSION, systemErrorText } from '../config/config-file.js';
import type { Applier, ConfigStore } from '../config/config-store.js';
import { rewriteConfigFile } from '../config/config-rewrite.js';
import { applyAllToEngine } from '../config/engine-options.js';
import type { ClientFilter, NativeAddon } from '../native/addon.js';
import { systemFiles, type Files } from '../persistence/files.js';
import { Persistence } from '../persistence/persistence.js';
import { SharedCounters } from '../observability/counters.js';
import { infoText } from '../observability/info.js';
import type { Logger } from '../observability/logger.js';
import { Rates, SAMPLE_MS } from '../observability/rates.js';
import { encodeReply } from '../resp/reply.js';
import { toBytes } from '../util/bytes.js';
import { assertPresent } from '../util/assert.js';
import { createApplier } from './config-applier.js';
import { describeListeners, listenTcp, listenUnix } from './listeners.js';
import { processTitle } from './process-title.js';
import { shardCount, workerCount } from './sizing.js';
import { spawnThread, WorkerPool } from './worker-pool.js';
import type { ControlMessage, SpawnWorker } from './worker-pool.js';

export interface SupervisorParts {
  addon: NativeAddon;
  config: ConfigStore;
  logger: Logger;
  version: string;
  /** Ends the process; never returns. Injected for tests. */
  exit: (code: number) => void;
  spawn?: SpawnWorker;
  files?: Files;
}

/** Workers that do not detach in this time are left behind when the process ends. */
const STOP_TIMEOUT_MS = 2000;

const SETTINGS_RESTORED =
  'Failed applying new configuration. Possibly related to new appendonly setting. Restoring previous settings.';

export class Supervisor implements ControlContext {
  readonly config: ConfigStore;
  readonly persistence: Persistence;
  private readonly pool: WorkerPool;
  private readonly rates = new Rates();
  private readonly runId = randomBytes(20).toString('hex');
  private readonly replicationId = randomBytes(20).toString('hex');
  private readonly startedAtMs = Date.now();
  private readonly workers: number;
  private readonly shards: number;
  private readonly counters: SharedCounters;
  private readonly engine: number;
  private readonly applier: Applier;
  private isShuttingDown = false;
  /** A shutdown that saves, or syncs: undefined when none is under way. */
  private preparation: Promise<boolean> | undefined;
  private memoryStartupBytes = 0;
  private memoryPeakBytes = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly parts: SupervisorParts) {
    const { addon, config, logger } = parts;
    this.config = config;
    this.workers = workerCount(config);
    this.shards = shardCount(config, this.workers);
    const sizes = { workers: this.workers, shards: this.shards, databases: config.number('databases') };
    const bytes = addon.statsBytes(sizes.workers, sizes.shards, sizes.databases);
    // The engine keeps the pointer; `counters` keeps the memory alive as long as the supervisor lives.
    const stats = new Uint8Array(new SharedArrayBuffer(bytes));
    this.counters = new SharedCounters(stats, addon.statsLayout(), sizes);
    this.engine = addon.createEngine({ ...sizes, inPlace: config.text('execution-layout') === 'in-place', stats, runId: this.runId });
    applyAllToEngine(addon, this.engine, config);
    this.applier = createApplier({
      addon,
      engine: this.engine,
      config,
      logger,
      relisten: () => this.relisten(),
      updateTitle: () => this.updateTitle(),
      persistenceChanged: (name) => this.persistence.optionChanged(name),
    });
    this.persistence = this.createPersistence();
    this.pool = new WorkerPool(
      {
        onControl: (workerIndex, message) => void this.answerControl(workerIndex, message),
        onLog: (level, text) => logger.log(level, text),
        onDeath: (reason) => this.crash(reason),
      },
      parts.spawn ?? spawnThread,
    );
  }

  private createPersistence(): Persistence {
    const { addon, config, logger, files } = this.parts;
    return new Persistence({
      addon,
      engine: this.engine,
      files: files ?? systemFiles,
      settings: config,
      log: (level, text) => logger.log(level, text),
      now: () => Date.now(),
      dirty: () => this.counters.worker('dirty'),
      flushes: () => this.counters.worker('flushes_of_all'),
      usedMemoryBytes: () => this.usedMemory(),
      redisVersion: REDIS_VERSION,
      processId: process.pid,
      exit: (messages) => {
        for (const message of messages) logger.log('warning', message);
        this.parts.exit(1);
      },
      crash: (error) => this.crash(error instanceof Error ? (error.stack ?? error.message) : String(error)),
    });
  }

  // ---- Start ----

  /** The lines that programs wait for before the server is ready. `logo` is asked for when it is to be shown. */
  announce(logo: (port: number, workers: number, shards: number) => string): void {
    const { config, logger } = this.parts;
    const port = config.number('port');
    const showsLogo = config.isOn('always-show-logo') || (logger.isStdout && process.stdout.isTTY);
    logger.log('notice', 'monotonic clock: POSIX clock_gettime');
    if (showsLogo) logger.raw(logo(port, this.workers, this.shards));
    else logger.log('notice', `Running mode=standalone, port=${port}.`);
    logger.log('notice', 'Server initialized');
  }

  /**
   * Resolves when clients are served. False when a listener could not be bound, or the files cannot be loaded. Who
   * connects while they are being loaded is told so.
   */
  async start(): Promise<boolean> {
    const { logger, config, addon } = this.parts;
    await this.pool.start(this.engine, this.workers);
    // A signal that came while the workers started has ended the server already.
    if (this.isShuttingDown) return true;
    this.persistence.beginLoading();
    const tcpCount = listenTcp(addon, this.engine, config, logger);
    if (tcpCount < 0) {
      logger.log('warning', `Failed listening on port ${config.number('port')} (tcp), aborting.`);
      return false;
    }
    const unixCount = listenUnix(addon, this.engine, config, logger);
    if (unixCount < 0) return false;
    if (tcpCount + unixCount === 0) {
      logger.log('warning', 'Configured to not listen anywhere, exiting.');
      return false;
    }
    this.updateTitle();
    this.memoryStartupBytes = this.usedMemory();
    this.timer = setInterval(() => this.tick(), SAMPLE_MS);
    if (!(await this.persistence.load())) return false;
    if (this.isShuttingDown) return true;
    if (tcpCount > 0) logger.log('notice', 'Ready to accept connections tcp');
    if (unixCount > 0) logger.log('notice', 'Ready to accept connections unix');
    return true;
  }

  private tick(): void {
    this.rates.sample(this.counters, Date.now());
    this.memoryPeakBytes = Math.max(this.memoryPeakBytes, this.usedMemory());
    this.persistence.tick();
  }

  private usedMemory(): number {
    return Number(this.counters.shard('used_memory') + this.counters.worker('client_memory_bytes'));
  }

  private relisten(): boolean {
    const { addon, config, logger } = this.parts;
    addon.closeListeners(this.engine);
    // Without an address there is nothing to bind (`port 0`); with one, at least one must be bound.
    const wantsTcp = config.number('port') > 0 && config.text('bind') !== '';
    const isTcpBound = listenTcp(addon, this.engine, config, logger) >= (wantsTcp ? 1 : 0);
    const isUnixBound = listenUnix(addon, this.engine, config, logger) >= 0;
    this.updateTitle();
    return isTcpBound && isUnixBound;
  }

  private updateTitle(): void {
    if (this.config.isOn('set-proc-title')) process.title = processTitle(this.config);
  }

  // ---- Control commands ----

  private async answerControl(workerIndex: number, message: ControlMessage): Promise<void> {
    const handler = assertPresent(CONTROL_HANDLERS.get(message.command), `a handler for ${message.command}`);
    const reply = await handler(message, this);
    const bytes = reply === undefined ? new Uint8Array(0) : encodeReply(reply, message.resp);
    this.pool.reply(workerIndex, message.token, bytes);
  }

  async setConfig(pairs: readonly (readonly [string, string])[], mayChangeProtected: boolean): Promise<void> {
    const takeBack = this.config.setRevocably(pairs, { mayChangeProtected }, this.applier);
    const error = await this.persistence.optionsSettled(pairs.map(([name]) => name.toLowerCase()));
    if (error === undefined) return;
    this.parts.logger.log('warning', SETTINGS_RESTORED);
    throw takeBack('appendonly', error);
  }

  rewriteConfig(): string | undefined {
    return rewrite(this.parts);
  }

  resetStats(): void {
    this.parts.addon.resetStats(this.engine);
    this.rates.reset();
    this.persistence.resetStats();
    this.memoryPeakBytes = this.usedMemory();
  }

  info(sections: readonly string[]): string {
    return infoText(
      {
        config: this.config,
        counters: this.counters,
        rates: this.rates,
        runId: this.runId,
        replicationId: this.replicationId,
        version: this.parts.version,
        executable: process.argv[1] ?? '',
        startedAtMs: this.startedAtMs,
        nowMs: Date.now(),
        tcpPort: this.config.number('port'),
        listeners: describeListeners(this.config),
        workers: this.workers,
        shards: this.shards,
        memoryStartupBytes: this.memoryStartupBytes,
        memoryPeakBytes: this.memoryPeakBytes,
        errorStats: new Map(),
        rssBytes: process.memoryUsage.rss(),
        persistence: this.persistence.status(),
      },
      sections,
    );
  }

  listClients(filter: ClientFilter): Promise<string> {
    return this.pool.listClients(filter);
  }

  killClients(filter: ClientFilter): Promise<number> {
    return this.pool.killClients(filter);
  }

  unblockClient(clientId: bigint, withError: boolean): Promise<boolean> {
    return this.pool.unblockClient(clientId, withError);
  }

  // ---- End ----

  async shutdown(request: ShutdownRequest): Promise<string | undefined> {
    this.parts.logger.log('notice', 'User requested shutdown...');
    if (await this.prepareAndEnd(request)) return undefined;
    return 'Errors trying to SHUTDOWN. Check logs.';
  }

  abortShutdown(): boolean {
    return this.persistence.abortShutdown();
  }

  /** Saves and syncs what is to be, and ends; false when the server goes on. One who comes meanwhile joins in. */
  private prepareAndEnd(request: ShutdownRequest): Promise<boolean> {
    this.preparation ??= this.prepare(request).finally(() => (this.preparation = undefined));
    return this.preparation;
  }

  private async prepare(request: ShutdownRequest): Promise<boolean> {
    const { logger } = this.parts;
    if ((await this.persistence.prepareShutdown(request)) === 'ready') {
      void this.end(0);
      return true;
    }
    logger.log('warning', 'Errors trying to shut down the server. Check the logs for more information.');
    return false;
  }

  /** SIGTERM or SIGINT; a SIGINT while the server is ending ends the process at once, as in Redis. */
  onSignal(name: 'SIGTERM' | 'SIGINT'): void {
    const { logger } = this.parts;
    const isEnding = this.isShuttingDown || this.preparation !== undefined;
    if (isEnding && name === 'SIGINT') {
      logger.signal('You insist... exiting now.');
      this.removeFiles();
      rmSync(toBytes(`${this.config.text('dir')}/temp-${process.pid}.rdb`), { force: true });
      this.parts.exit(1);
      return;
    }
    logger.signal(`Received ${name} scheduling shutdown...`);
    if (isEnding) return;
    logger.log('notice', 'User requested shutdown...');
    const words = this.config.text(`shutdown-on-${name.toLowerCase()}`).split(' ');
    const saves = words.includes('save') ? true : words.includes('nosave') ? false : undefined;
    void this.prepareAndEnd({ saves, isForced: words.includes('force') }).then((isEndingNow) => {
      if (isEndingNow) return;
      logger.log('warning', `${name} received but errors trying to shut down the server, check the logs for more information`);
    });
  }

  /** Ends cleanly: no new connections, all connections closed, files of this process removed. */
  async end(code: number): Promise<void> {
    if (this.isShuttingDown) return;
    this.isShuttingDown = true;
    clearInterval(this.timer);
    this.parts.addon.closeListeners(this.engine);
    const timeout = new Promise<void>((resolve) => setTimeout(resolve, STOP_TIMEOUT_MS).unref());
    await Promise.race([this.pool.stop().then(() => this.persistence.close()), timeout]);
    this.removeFiles();
    this.parts.logger.log('notice', 'Sherd is now ready to exit, bye bye...');
    this.parts.exit(code);
  }

  private removeFiles(): void {
    const pidfile = this.config.text('pidfile');
    const unixsocket = this.config.text('unixsocket');
    if (pidfile !== '') {
      this.parts.logger.log('notice', 'Removing the pid file.');
      rmSync(toBytes(pidfile), { force: true });
    }
    if (unixsocket !== '') {
      this.parts.logger.log('notice', 'Removing the unix socket file.');
      rmSync(toBytes(unixsocket), { force: true });
    }
  }

  private crash(reason: string): void {
    this.parts.logger.log('warning', `=== SHERD CRASH: ${reason}`);
    this.parts.exit(1);
  }
}

/** CONFIG REWRITE; returns an error text. */
function rewrite({ config, logger }: SupervisorParts): string | undefined {
  if (config.configFile === '') return 'The server is running without a config file';
  try {
    rewriteConfigFile(config);
  } catch (error) {
    logger.log('warning', `CONFIG REWRITE failed: ${systemErrorText(error)}`);
    return `Rewriting config file: ${systemErrorText(error)}`;
  }
  logger.log('notice', 'CONFIG REWRITE executed with success.');
  return undefined;
}
