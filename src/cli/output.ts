/**
 * Output of programs that print much: collected, and written synchronously when there is enough of it.
 *
 * process.stdout.write() would keep everything in memory as long as a program does not return to its event loop, and a
 * dump of gigabytes does not. A reader that has gone away (`| head`) ends the program quietly, as it would a C program.
 */
import { writeSync } from 'node:fs';

const BUFFER_BYTES = 256 * 1024;
const RETRY_AFTER_MS = 2;

export class Output {
  private readonly buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  private used = 0;
  private lastByte = 0x0a;

  constructor(private readonly fd: number) {}

  /** Adds text, in UTF-8 or, for bytes that are not text, in Latin-1. */
  text(text: string, encoding: 'utf8' | 'latin1' = 'utf8'): void {
    // A character takes at most three bytes of UTF-8.
    if (text.length * 3 > BUFFER_BYTES) return this.bytes(Buffer.from(text, encoding));
    if (this.used + text.length * 3 > BUFFER_BYTES) this.flush();
    this.used += this.buffer.write(text, this.used, encoding);
  }

  bytes(bytes: Uint8Array): void {
    if (this.used + bytes.length > BUFFER_BYTES) this.flush();
    if (bytes.length > BUFFER_BYTES) return this.write(bytes);
    this.buffer.set(bytes, this.used);
    this.used += bytes.length;
  }

  /** Whether what has been flushed ends with a line. */
  get isAtLineStart(): boolean {
    return this.lastByte === 0x0a;
  }

  /** Writes what has been collected. */
  flush(): void {
    this.write(this.buffer.subarray(0, this.used));
    this.used = 0;
  }

  private write(bytes: Uint8Array): void {
    this.lastByte = bytes[bytes.length - 1] ?? this.lastByte;
    for (let done = 0; done < bytes.length;) {
      try {
        done += writeSync(this.fd, bytes, done);
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'EPIPE') process.exit(0);
        if (code !== 'EAGAIN') throw error;
        // A pipe that somebody made non-blocking is full.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_AFTER_MS);
      }
    }
  }
}
