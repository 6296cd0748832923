/**
 * Where the bytes of a file come from: a file, or memory (tests, DUMP payloads).
 *
 * Reads are synchronous: the readers are plain loops over bytes, millions of steps per second, and a promise per step
 * would cost more than the step. Programs that want to stay responsive run them on a worker.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

export interface ByteSource {
  /** Bytes there are; a file that grows later is read up to here. */
  readonly size: number;
  /** Reads into `target` from `offset` on; gives the number of bytes, which is less only at the end. */
  readAt(offset: number, target: Uint8Array): number;
}

/** Bytes in memory. */
export class MemorySource implements ByteSource {
  readonly size: number;

  constructor(private readonly bytes: Uint8Array) {
    this.size = bytes.length;
  }

  readAt(offset: number, target: Uint8Array): number {
    const part = this.bytes.subarray(offset, offset + target.length);
    target.set(part);
    return part.length;
  }
}

/** An open file; `close` gives the descriptor back. */
export class FileSource implements ByteSource {
  readonly size: number;
  private readonly fd: number;

  /** Throws what the system says when the file cannot be opened. */
  constructor(readonly path: string) {
    this.fd = openSync(path, 'r');
    this.size = fstatSync(this.fd).size;
  }

  readAt(offset: number, target: Uint8Array): number {
    let done = 0;
    while (done < target.length) {
      const count = readSync(this.fd, target, done, target.length - done, offset + done);
      if (count === 0) break; // the file has been cut while we read it
      done += count;
    }
    return done;
  }

  close(): void {
    closeSync(this.fd);
  }
}
