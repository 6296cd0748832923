/**
 * One command again and again over several pipelined connections, with replies counted by bytes and thrown away.
 *
 * For replies of hundreds of kilobytes a client that parses them would be what is measured. The replies of one command to
 * unchanged data are all equally long, so that their length is found once (a PING behind the command marks its end)
 * and from then on bytes are replies. All connections read into one buffer that nobody looks into: nothing
 * is allocated per read. What the client itself costs is reported beside the figures; when it is busy all the
 * time, it and not the server is what limits the throughput, and only processor time still tells the servers apart.
 *
 * Invariant: received ≤ sent × length of a reply, on every connection; at the end they are equal.
 */
import { connect, type Socket } from 'node:net';
import { encode, openSocket } from './loader.js';

const READ_BUFFER_BYTES = 1 << 20;
/** A server that says nothing for so long will not say anything any more. */
const SILENCE_MS_MAX = 60_000;
const PONG = '+PONG\r\n';

/** What to send. */
export interface Flood {
  words: readonly string[];
  /** Length of every reply. */
  replyBytes: number;
  count: number;
  connections: number;
  /** Commands under way on each connection. */
  depth: number;
}

/** How it went. */
export interface FloodResult {
  wallMs: number;
  /** Processor time of this process as a share of the time that passed: 1 is a core that never rested. */
  clientShare: number;
}

/** The length of a command's reply. Throws when it is an error. */
export async function measureReply(port: number, words: readonly string[]): Promise<number> {
  const socket = await openSocket(port);
  return new Promise<number>((resolve, reject) => {
    let bytes = 0;
    let tail = '';
    socket.on('data', (chunk: Buffer) => {
      if (bytes === 0 && chunk[0] === 0x2d) {
        reject(new Error(`${words.slice(0, 3).join(' ')}: ${chunk.toString('latin1', 0, 200).split('\r\n')[0]}`));
        socket.destroy();
        return;
      }
      bytes += chunk.length;
      tail = (tail + chunk.toString('latin1', Math.max(0, chunk.length - PONG.length))).slice(-PONG.length);
      if (tail !== PONG) return;
      socket.destroy();
      resolve(bytes - PONG.length);
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`${words[0]}: the server closed the connection`)));
    socket.write(encode(...words) + encode('PING'), 'latin1');
  });
}

/** A connection whose incoming bytes are only counted. */
interface Drain {
  socket: Socket;
  sent: number;
  received: number;
}

/** Connects; `onBytes` runs after `received` has grown. */
function openDrain(port: number, buffer: Buffer, onBytes: (drain: Drain) => void): Promise<Drain> {
  return new Promise((resolve, reject) => {
    const callback = (bytes: number): boolean => {
      drain.received += bytes;
      onBytes(drain);
      return true;
    };
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer, callback } });
    const drain: Drain = { socket, sent: 0, received: 0 };
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(drain);
    });
  });
}

/** The state of one flood. */
class FloodRun {
  private readonly drains: Drain[] = [];
  private readonly command: Buffer;
  /** As many commands as a connection may have under way; shorter bursts are pieces of it. */
  private readonly burst: Buffer;
  private unsent: number;
  private missingBytes: number;
  private finish = (): void => undefined;
  private fail = (_: Error): void => undefined;

  constructor(private readonly flood: Flood) {
    this.command = Buffer.from(encode(...flood.words), 'latin1');
    this.burst = Buffer.alloc(this.command.length * flood.depth, this.command);
    this.unsent = flood.count;
    this.missingBytes = flood.count * flood.replyBytes;
  }

  async connect(port: number): Promise<void> {
    const buffer = Buffer.allocUnsafe(READ_BUFFER_BYTES);
    const onBytes = (drain: Drain): void => this.take(drain);
    for (let index = 0; index < this.flood.connections; index++) {
      this.drains.push(await openDrain(port, buffer, onBytes));
    }
  }

  /** Settles when all replies are in. */
  run(): Promise<void> {
    let before = NaN;
    const watch = setInterval(() => {
      if (this.missingBytes === before) this.fail(new Error(`${this.missingBytes} bytes of replies are missing`));
      before = this.missingBytes;
    }, SILENCE_MS_MAX);
    return new Promise<void>((resolve, reject) => {
      this.finish = resolve;
      this.fail = reject;
      for (const { socket } of this.drains) {
        socket.once('error', reject);
        socket.once('close', () => reject(new Error('the server closed a connection')));
      }
      for (const drain of this.drains) this.topUp(drain);
    }).finally(() => clearInterval(watch));
  }

  close(): void {
    for (const { socket } of this.drains) socket.removeAllListeners('close').destroy();
  }

  private take(drain: Drain): void {
    const { count, replyBytes, words } = this.flood;
    if (drain.received > drain.sent * replyBytes) this.fail(new Error(`${words[0]}: replies of another length`));
    this.topUp(drain);
    this.missingBytes = count * replyBytes - this.drains.reduce((sum, { received }) => sum + received, 0);
    if (this.missingBytes === 0) this.finish();
  }

  private topUp(drain: Drain): void {
    const { depth, replyBytes } = this.flood;
    const underWay = drain.sent - Math.floor(drain.received / replyBytes);
    const room = Math.min(this.unsent, depth - underWay);
    // Half of the room at least: otherwise a system call per command would be what is measured.
    if (room === 0 || (room < depth / 2 && room < this.unsent)) return;
    drain.sent += room;
    this.unsent -= room;
    drain.socket.write(this.burst.subarray(0, room * this.command.length));
  }
}

/** Sends `flood.count` commands and waits for all replies. */
export async function runFlood(port: number, flood: Flood): Promise<FloodResult> {
  const run = new FloodRun(flood);
  try {
    await run.connect(port);
    const usage = process.cpuUsage();
    const startedAt = performance.now();
    await run.run();
    const wallMs = performance.now() - startedAt;
    const { user, system } = process.cpuUsage(usage);
    return { wallMs, clientShare: (user + system) / 1000 / wallMs };
  } finally {
    run.close();
  }
}
