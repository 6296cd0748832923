/**
 * Where parts of a file are checked: on a piscina pool, or right here.
 *
 * A pool costs some 50 ms and memory per thread, so files of a few megabytes are checked by the calling thread. Either
 * way at most a few parts are under way, and results are promises.
 */
import { Piscina } from 'piscina';
import type { ByteSource } from '../format/byte-source.js';
import { crc64Of } from '../format/crc64.js';
import type { RdbPart } from '../format/rdb-reader.js';
import { checkPart, type PartResult } from './rdb-check-part.js';
import type { CheckTask, CheckTaskResult } from './rdb-check-worker.js';

export interface CheckPool {
  /** Parts that may be under way before the caller should wait for one. */
  readonly depth: number;
  checkValues(part: RdbPart, nowMs: bigint): Promise<PartResult>;
  checksum(part: RdbPart): Promise<bigint>;
  close(): Promise<void>;
}

/** Everything on the calling thread. */
export class LocalPool implements CheckPool {
  readonly depth = 1;

  constructor(private readonly source: ByteSource) {}

  checkValues(part: RdbPart, nowMs: bigint): Promise<PartResult> {
    return Promise.resolve(checkPart(this.source, part, nowMs));
  }

  checksum(part: RdbPart): Promise<bigint> {
    return Promise.resolve(crc64Of(this.source, part.begin, part.end));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A pool of threads, each of which opens the file itself. */
export class ThreadPool implements CheckPool {
  readonly depth: number;
  private readonly pool: Piscina<CheckTask, CheckTaskResult>;

  constructor(
    private readonly path: string,
    threads: number,
  ) {
    this.depth = threads * 3;
    const filename = new URL('./rdb-check-worker.js', import.meta.url).href;
    this.pool = new Piscina({ filename, minThreads: threads, maxThreads: threads });
  }

  checkValues(part: RdbPart, nowMs: bigint): Promise<PartResult> {
    return this.run({ kind: 'values', path: this.path, part, nowMs }) as Promise<PartResult>;
  }

  checksum(part: RdbPart): Promise<bigint> {
    return this.run({ kind: 'checksum', path: this.path, part }) as Promise<bigint>;
  }

  close(): Promise<void> {
    return this.pool.destroy();
  }

  private run(task: CheckTask): Promise<CheckTaskResult> {
    const result = this.pool.run(task);
    // The caller may have left before it is done (a fault in an earlier part); that is no unhandled rejection.
    result.catch(() => undefined);
    return result;
  }
}
