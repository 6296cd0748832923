/**
 * The workers as seen from the main thread: starting them side by side, asking all of them, stopping them.
 *
 * Always true: a worker that ends or fails before `stop` was called is reported to `onDeath` once, and the caller
 * ends the process; there is no going on with a part of the shards. After `stop` was called nothing is sent to the
 * workers any more: replies and questions that come then are dropped, their clients are being disconnected. Main thread.
 */
import { Worker } from 'node:worker_threads';
import type { ClientFilter, NativeLogLevel } from '../native/addon.js';
import { assert, assertPresent } from '../util/assert.js';
import type { FromWorker, ToWorker, WorkerAnswer, WorkerSetup } from './messages.js';

export type ControlMessage = Extract<FromWorker, { kind: 'control' }>;

export interface WorkerPoolEvents {
  /** A control command; the answer goes to `reply` with the worker's index. */
  onControl: (workerIndex: number, message: ControlMessage) => void;
  /** A line of the native side's for the log. */
  onLog: (level: NativeLogLevel, text: string) => void;
  onDeath: (reason: string) => void;
}

/** Anything that speaks like a worker thread; tests give a fake. */
export interface WorkerLike {
  postMessage(message: ToWorker): void;
  on(event: 'message', listener: (message: FromWorker) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: (code: number) => void): unknown;
}

export type SpawnWorker = (setup: WorkerSetup) => WorkerLike;

export const spawnThread: SpawnWorker = (setup) =>
  new Worker(new URL('./worker.js', import.meta.url), { workerData: setup, name: `sherd-${setup.index}` });

type Waiting = (answer: WorkerAnswer) => void;

export class WorkerPool {
  private readonly workers: WorkerLike[] = [];
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private isStopping = false;
  private isDead = false;

  constructor(
    private readonly events: WorkerPoolEvents,
    private readonly spawn: SpawnWorker = spawnThread,
  ) {}

  get size(): number {
    return this.workers.length;
  }

  /** Starts `count` workers at once; resolves when all are ready. */
  async start(engine: number, count: number): Promise<void> {
    assert(this.workers.length === 0, 'a pool starts once');
    const ready: Promise<void>[] = [];
    for (let index = 0; index < count; index++) {
      const worker = this.spawn({ engine, index });
      this.workers.push(worker);
      ready.push(new Promise((resolve) => this.listen(worker, index, resolve)));
    }
    await Promise.all(ready);
  }

  private listen(worker: WorkerLike, index: number, onReady: () => void): void {
    worker.on('message', (message) => {
      if (message.kind === 'ready') onReady();
      else if (message.kind === 'control') this.events.onControl(index, message);
      else if (message.kind === 'log') this.events.onLog(message.level, message.text);
      else this.answer(message);
    });
    worker.on('error', (error) => this.die(`worker ${index} failed: ${error.stack ?? error.message}`));
    worker.on('exit', (code) => {
      if (!this.isStopping) this.die(`worker ${index} ended with code ${code}`);
    });
  }

  private die(reason: string): void {
    if (this.isDead) return;
    this.isDead = true;
    this.events.onDeath(reason);
  }

  private answer(message: WorkerAnswer): void {
    const waiting = assertPresent(this.waiting.get(message.id), `an asker for answer ${message.id}`);
    this.waiting.delete(message.id);
    waiting(message);
  }

  /** Sends one question to every worker; answers in the order of the workers. */
  private async askAll(question: (id: number) => ToWorker): Promise<WorkerAnswer[]> {
    if (this.isStopping) return [];
    return Promise.all(
      this.workers.map(
        (worker) =>
          new Promise<WorkerAnswer>((resolve) => {
            const id = this.nextId++;
            this.waiting.set(id, resolve);
            worker.postMessage(question(id));
          }),
      ),
    );
  }

  /** CLIENT LIST lines, by client id. */
  async listClients(filter: ClientFilter): Promise<string> {
    const answers = await this.askAll((id) => ({ kind: 'listClients', id, filter }));
    const lines = answers.flatMap((answer) => (answer.kind === 'clients' ? answer.text.split('\n') : []));
    const idOf = (line: string): number => Number(/^id=(\d+)/.exec(line)?.[1] ?? 0);
    return lines
      .filter((line) => line !== '')
      .sort((left, right) => idOf(left) - idOf(right))
      .map((line) => `${line}\n`)
      .join('');
  }

  async killClients(filter: ClientFilter): Promise<number> {
    const answers = await this.askAll((id) => ({ kind: 'killClients', id, filter }));
    return answers.reduce((sum, answer) => sum + (answer.kind === 'killed' ? answer.count : 0), 0);
  }

  /** CLIENT UNBLOCK; whether the client was waiting. */
  async unblockClient(clientId: bigint, withError: boolean): Promise<boolean> {
    const answers = await this.askAll((id) => ({ kind: 'unblockClient', id, clientId, withError }));
    return answers.some((answer) => answer.kind === 'unblocked' && answer.wasBlocked);
  }

  reply(workerIndex: number, token: bigint, bytes: Uint8Array): void {
    if (this.isStopping) return;
    assertPresent(this.workers[workerIndex], 'the worker').postMessage({ kind: 'controlReply', token, bytes });
  }

  /** Closes all connections of all workers; resolves when all have detached. */
  async stop(): Promise<void> {
    const stopped = this.askAll((id) => ({ kind: 'stop', id }));
    this.isStopping = true;
    await stopped;
  }
}
