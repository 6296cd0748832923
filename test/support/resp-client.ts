/**
 * A small raw RESP client for tests: exact bytes out, exact frames in.
 *
 * Client libraries hide what these tests are about (frame bytes, order, pushes, when the server hangs up), so
 * this one does next to nothing: it writes what it is told, cuts what arrives into frames, and keeps every
 * frame's bytes. Replies are matched to requests by order alone; nothing is sent on the caller's behalf.
 *
 * Invariants:
 * 1. Frames are handed out in the order they came; push frames ('>') go to `pushes` and never answer a request.
 * 2. Once the connection has ended, every waiting reader is refused with ConnectionEnded, and so is every later one.
 * 3. No wait is endless: each has a timeout (default 20 s) that says what it waited for.
 */
import { createConnection, type Socket } from 'node:net';
import { encodeCommand, frameEnd, parseFrame, type Argument, type RespValue } from './resp-frames.js';

export { encodeCommand, parseFrame, show, toPlain, FrameError } from './resp-frames.js';
export type { Argument, RespValue } from './resp-frames.js';

/** One reply frame: its bytes, and its tree when somebody asks. */
export class Reply {
  readonly raw: Buffer;
  #value: RespValue | undefined;

  constructor(raw: Buffer) {
    this.raw = raw;
  }

  get value(): RespValue {
    this.#value ??= parseFrame(this.raw);
    return this.#value;
  }

  /** The frame's bytes as Latin-1, for `expect(reply.text).toBe('+OK\r\n')`. */
  get text(): string {
    return this.raw.toString('latin1');
  }
}

/** The server (or the network) ended the connection while a reply was due. */
export class ConnectionEnded extends Error {
  constructor(why: string) {
    super(`connection ended: ${why}`);
    this.name = 'ConnectionEnded';
  }
}

/** No reply within the time. */
export class ReplyTimeout extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ReplyTimeout';
  }
}

/** Where to connect to. */
export type Address = { port: number; host?: string } | { path: string };

interface Waiter {
  /** Frames wanted; they are handed out together. */
  count: number;
  resolve: (replies: Reply[]) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

const TIMEOUT_MS = 20_000;
const BUFFER_BYTES_MIN = 64 * 1024;

/** A growing buffer that is read from the front: appends are amortised O(1), also for a reply of many megabytes. */
class Inbox {
  private buffer = Buffer.alloc(BUFFER_BYTES_MIN);
  private start = 0;
  private end = 0;

  append(chunk: Buffer): void {
    if (this.end + chunk.length > this.buffer.length) {
      const used = this.end - this.start;
      let capacity = this.buffer.length;
      while (capacity < 2 * (used + chunk.length)) capacity *= 2;
      const grown = Buffer.alloc(capacity);
      this.buffer.copy(grown, 0, this.start, this.end);
      this.buffer = grown;
      this.end = used;
      this.start = 0;
    }
    chunk.copy(this.buffer, this.end);
    this.end += chunk.length;
  }

  /** Takes one complete frame off the front, as bytes of its own. */
  takeFrame(): Buffer | undefined {
    if (this.start === this.end) return undefined;
    const end = frameEnd(this.buffer, this.start, this.end);
    if (end < 0) return undefined;
    const frame = Buffer.from(this.buffer.subarray(this.start, end));
    this.start = end;
    if (this.start === this.end) this.start = this.end = 0;
    return frame;
  }

  /** Bytes that no frame has claimed. */
  rest(): Buffer {
    return Buffer.from(this.buffer.subarray(this.start, this.end));
  }
}

export class RespClient {
  /** Push frames that have come, oldest first; the test may empty it. */
  readonly pushes: Reply[] = [];
  /** Settles with a reason when the connection has ended, whoever ended it. */
  readonly ended: Promise<string>;

  private readonly socket: Socket;
  private readonly inbox = new Inbox();
  private readonly ready: Reply[] = [];
  private readonly waiters: Waiter[] = [];
  private endReason: string | undefined;
  private resolveEnded: (reason: string) => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.ended = new Promise((resolve) => (this.resolveEnded = resolve));
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.onData(chunk));
    socket.on('error', (error) => this.finish(error.message));
    socket.on('end', () => this.finish('closed by the server'));
    socket.on('close', () => this.finish('closed'));
  }

  /** Connects; throws what the socket throws. */
  static connect(address: Address): Promise<RespClient> {
    return new Promise((resolve, reject) => {
      const socket =
        'path' in address
          ? createConnection(address.path)
          : createConnection(address.port, address.host ?? '127.0.0.1');
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new RespClient(socket));
      });
    });
  }

  get isEnded(): boolean {
    return this.endReason !== undefined;
  }

  /** Port on our side, as CLIENT LIST's addr shows it. */
  get localPort(): number {
    return this.socket.localPort ?? 0;
  }

  /** Sends one command and waits for its one reply. */
  async send(...args: Argument[]): Promise<Reply> {
    const [reply] = await this.pipeline([args]);
    return reply as Reply;
  }

  /** Sends all commands in one write and waits for as many replies. */
  pipeline(commands: readonly (readonly Argument[])[], timeoutMs = TIMEOUT_MS): Promise<Reply[]> {
    this.write(Buffer.concat(commands.map(encodeCommand)));
    return this.read(commands.length, timeoutMs);
  }

  /** Writes bytes as they are. */
  write(bytes: Buffer | string): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Waits for the next `count` replies. */
  read(count: number, timeoutMs = TIMEOUT_MS): Promise<Reply[]> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const index = this.waiters.findIndex((waiter) => waiter.timer === timer);
        if (index >= 0) this.waiters.splice(index, 1);
        reject(new ReplyTimeout(`${this.ready.length} of ${count} replies after ${timeoutMs} ms`));
      }, timeoutMs);
      this.waiters.push({ count, resolve, reject, timer });
      this.settle();
    });
  }

  /**
   * The replies before the one whose bytes are `last`, which is taken too. For callers that cannot know how many replies
   * will come (CLIENT REPLY): they send a command with an unmistakable answer at the end.
   */
  async readUntil(last: Buffer, timeoutMs = TIMEOUT_MS): Promise<Reply[]> {
    const deadline = Date.now() + timeoutMs;
    const replies: Reply[] = [];
    for (;;) {
      const next = this.ready.shift() ?? (await this.read(1, Math.max(1, deadline - Date.now())))[0];
      if (next === undefined || next.raw.equals(last)) return replies;
      replies.push(next);
    }
  }

  /**
   * Everything that comes until the server hangs up, as bytes (frames or not). Rejects when it does not hang up in
   * time. For protocol errors, where the last bytes need not be a frame.
   */
  async readToEnd(timeoutMs = TIMEOUT_MS): Promise<Buffer> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new ReplyTimeout(`not closed after ${timeoutMs} ms`)), timeoutMs);
    });
    await Promise.race([this.ended, timeout]).finally(() => clearTimeout(timer));
    return Buffer.concat([...this.ready.splice(0).map((reply) => reply.raw), this.inbox.rest()]);
  }

  /** Stops reading from the socket, as a slow reader does. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Bytes handed to the socket that the kernel has not taken yet: grows when the server stops reading. */
  get unsentBytes(): number {
    return this.socket.writableLength;
  }

  /** Closes our half only: the server sees end of file and may still answer. */
  endWriting(): void {
    this.socket.end();
  }

  /** Hangs up at once. */
  close(): void {
    this.socket.destroy();
    this.finish('closed by the test');
  }

  private onData(chunk: Buffer): void {
    this.inbox.append(chunk);
    try {
      for (let frame = this.inbox.takeFrame(); frame !== undefined; frame = this.inbox.takeFrame()) {
        (frame[0] === 0x3e ? this.pushes : this.ready).push(new Reply(frame));
      }
    } catch (error) {
      this.socket.destroy();
      this.finish(error instanceof Error ? error.message : String(error));
    }
    this.settle();
  }

  private settle(): void {
    for (let waiter = this.waiters[0]; waiter !== undefined; waiter = this.waiters[0]) {
      if (this.ready.length >= waiter.count) {
        this.waiters.shift();
        clearTimeout(waiter.timer);
        waiter.resolve(this.ready.splice(0, waiter.count));
      } else if (this.endReason !== undefined) {
        this.waiters.shift();
        clearTimeout(waiter.timer);
        waiter.reject(
          new ConnectionEnded(`${this.endReason}, ${this.ready.length} of ${waiter.count} replies had come`),
        );
      } else {
        return;
      }
    }
  }

  private finish(reason: string): void {
    if (this.endReason !== undefined) return;
    this.endReason = reason;
    this.resolveEnded(reason);
    this.settle();
  }
}
