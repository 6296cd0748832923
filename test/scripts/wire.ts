/**
 * A connection that keeps every frame in the order it came, replies and pushes alike.
 *
 * RespClient sorts pushes away from replies, which is right for tests that ask; here the order between the two is what
 * is tested.
 *
 * One thing is put straight. The oracle writes a push to the client that is running a transaction into the middle of
 * EXEC's array, which breaks the array for every reader (repaired in 7.2, where such pushes come behind the reply).
 * Such a push is lifted out and stands behind the frame it was found in, as 7.2 has it. Confirmations of SUBSCRIBE and
 * its kin are their command's reply, and stay elements.
 */
import { createConnection, type Socket } from 'node:net';
import { FrameError, frameEnd } from '../support/resp-frames.js';

const CRLF = Buffer.from('\r\n');
const PUSH = 0x3e;
/** A MONITOR's line about one of the driver's fences or questions: the driver's doing, and no part of the script. */
const FENCE_SEEN = /^\+\d+\.\d+ \[[^\]]*\] ("PING"|"INFO" "stats") "fence-\d+"\r\n$/;

/** A frame, and the pushes that were found inside it. */
export interface Taken {
  frame: Buffer;
  lifted: Buffer[];
  end: number;
}

function isConfirmation(push: Buffer): boolean {
  return /^>\d+\r\n\$\d+\r\n[ps]?(un)?subscribe\r\n/.test(push.subarray(0, 40).toString('latin1'));
}

/** What a frame's head line says: how many frames and how many bytes follow it. */
function following(type: number, count: string, at: Buffer): { frames: number; bytes: number } {
  const length = Number(count);
  switch (String.fromCharCode(type)) {
    case '+': case '-': case ':': case ',': case '#': case '(': case '_':
      return { frames: 0, bytes: 0 };
    case '$': case '!': case '=':
      return { frames: 0, bytes: length < 0 ? 0 : length + 2 };
    case '*': case '~': case '>':
      return { frames: Math.max(0, length), bytes: 0 };
    case '%':
      return { frames: 2 * length, bytes: 0 };
    case '|':
      return { frames: 2 * length + 1, bytes: 0 };
    default:
      throw new FrameError('unknown frame type', at, 0);
  }
}

/** Takes the frame at the front; undefined when it is not complete yet. Throws FrameError when it is none. */
export function takeFrame(bytes: Buffer): Taken | undefined {
  const lifted: Buffer[] = [];
  const kept: Buffer[] = [];
  let due = 1;
  let at = 0;
  let keptFrom = 0;
  while (due > 0) {
    if (at > 0 && bytes[at] === PUSH) {
      const end = frameEnd(bytes, at);
      if (end < 0) return undefined;
      const push = bytes.subarray(at, end);
      if (!isConfirmation(push)) {
        kept.push(bytes.subarray(keptFrom, at));
        lifted.push(Buffer.from(push));
        at = keptFrom = end;
        continue;
      }
    }
    const lineEnd = bytes.indexOf(CRLF, at);
    if (lineEnd < 0) return undefined;
    const type = bytes[at] as number;
    const { frames, bytes: payload } = following(type, bytes.toString('latin1', at + 1, lineEnd), bytes.subarray(at));
    if (Number.isNaN(frames + payload)) throw new FrameError('not a length', bytes, at);
    due += frames - 1;
    at = lineEnd + 2 + payload;
    if (at > bytes.length) return undefined;
  }
  kept.push(bytes.subarray(keptFrom, at));
  return { frame: Buffer.concat(kept), lifted, end: at };
}

export class Wire {
  /** Frames that have come and were not taken yet, oldest first. */
  readonly frames: Buffer[] = [];
  /** When the oldest of them came (performance.now()). */
  firstFrameAtMs = 0;
  isEnded = false;
  private readonly socket: Socket;
  private rest: Buffer = Buffer.alloc(0);
  private readonly listeners = new Set<() => void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.onData(chunk));
    socket.on('error', () => this.finish());
    socket.on('close', () => this.finish());
    socket.on('end', () => this.finish());
  }

  static connect(port: number): Promise<Wire> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(port, '127.0.0.1');
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Wire(socket));
      });
    });
  }

  write(bytes: Buffer): void {
    if (!this.isEnded) this.socket.write(bytes);
  }

  close(): void {
    this.socket.destroy();
    this.finish();
  }

  /** Waits until the condition holds, looking whenever something comes; says whether it did in time. */
  until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    if (condition()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (isMet: boolean): void => {
        clearTimeout(timer);
        this.listeners.delete(look);
        resolve(isMet);
      };
      const look = (): void => {
        if (condition()) end(true);
      };
      const timer = setTimeout(() => end(condition()), timeoutMs);
      this.listeners.add(look);
    });
  }

  private onData(chunk: Buffer): void {
    this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    try {
      while (this.rest.length > 0) {
        const taken = takeFrame(this.rest);
        if (taken === undefined) break;
        this.rest = this.rest.subarray(taken.end);
        if (FENCE_SEEN.test(taken.frame.toString('latin1'))) continue;
        if (this.frames.length === 0) this.firstFrameAtMs = performance.now();
        this.frames.push(taken.frame, ...taken.lifted);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      // Bytes that are no frame are compared like one, and nothing behind them can be read.
      this.frames.push(Buffer.from(`(no frame: ${this.rest.toString('latin1')})`, 'latin1'));
      this.rest = Buffer.alloc(0);
      this.close();
    }
    this.tell();
  }

  private finish(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    if (this.rest.length > 0) this.frames.push(Buffer.from(`(half a frame: ${this.rest.toString('latin1')})`,
      'latin1'));
    this.tell();
  }

  private tell(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
