/**
 * Fills a server with keys, as fast as one pipelined connection goes, and asks single questions.
 *
 * Every command the loader sends answers "+OK\r\n", so replies are counted by bytes and compared by content, without a
 * parser; or, for commands that answer with numbers or names, a fixed number of lines, which are counted. Anything else,
 * an error above all, ends the load with what the server said. At most WINDOW batches are under way, so neither
 * side's buffers grow.
 */
import { connect, type Socket } from 'node:net';

const OK = Buffer.from('+OK\r\n');
const LF = 0x0a;
const MINUS = 0x2d;
/** Commands written at once. A paced load wants to be smooth: 500 commands are half a millisecond of work. */
const BATCH_COMMANDS = 500;
const PACED_BATCH_COMMANDS = 100;
const WINDOW_BATCHES = 4;

/** Encodes one command. */
export function encode(...words: string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
}

/** Where in the endless stream of OKs a chunk must stand; throws when it differs. */
export function checkAcknowledged(chunk: Buffer, bytesBefore: number): void {
  const phase = bytesBefore % OK.length;
  const wanted = Buffer.alloc(chunk.length + phase, OK).subarray(phase);
  if (!chunk.equals(wanted)) throw new Error(`the server answered ${JSON.stringify(chunk.toString('latin1', 0, 200))}`);
}

/**
 * Counts the lines of a stream of replies and throws at an error. Fit for replies whose data cannot begin with a minus
 * after a line's end: statuses, counts, and the IDs of streams (two lines each).
 */
export class LineCounter {
  lines = 0;
  private isAtStart = true;

  take(chunk: Buffer): void {
    if (this.isAtStart) LineCounter.refuseError(chunk, 0);
    for (let at = chunk.indexOf(LF); at !== -1; at = chunk.indexOf(LF, at + 1)) {
      this.lines++;
      LineCounter.refuseError(chunk, at + 1);
    }
    this.isAtStart = chunk[chunk.length - 1] === LF;
  }

  private static refuseError(chunk: Buffer, at: number): void {
    if (chunk[at] !== MINUS) return;
    throw new Error(`the server answered ${JSON.stringify(chunk.toString('latin1', at, at + 200))}`);
  }
}

/** How a load is paced, and what its commands answer. */
export interface LoadPace {
  /** Commands a second; 0 for as fast as it goes. */
  commandsPerSec?: number;
  /** Lines of each reply; 0 for "+OK\r\n" and nothing else. */
  replyLines?: number;
}

/** Takes in replies and gives back how many commands have been answered so far. Throws at a reply out of place. */
function acknowledger(replyLines: number): (chunk: Buffer) => number {
  if (replyLines > 0) {
    const counter = new LineCounter();
    return (chunk) => {
      counter.take(chunk);
      return Math.floor(counter.lines / replyLines);
    };
  }
  let bytes = 0;
  return (chunk) => {
    checkAcknowledged(chunk, bytes);
    bytes += chunk.length;
    return Math.floor(bytes / OK.length);
  };
}

/** Connects to a loopback port. */
export function openSocket(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

/** Sends `count` commands that answer as `pace` says; `command(i)` gives the encoded command number i. */
export async function load(
  port: number,
  count: number,
  command: (index: number) => string,
  pace: LoadPace = {},
): Promise<void> {
  const socket = await openSocket(port);
  const commandsPerSec = pace.commandsPerSec ?? 0;
  const batchCommands = commandsPerSec === 0 ? BATCH_COMMANDS : PACED_BATCH_COMMANDS;
  const startedAt = performance.now();
  let sent = 0;
  const acknowledge = acknowledger(pace.replyLines ?? 0);
  let acknowledged = 0;
  await new Promise<void>((resolve, reject) => {
    const sendBatch = (): void => {
      const end = Math.min(count, sent + batchCommands);
      let text = '';
      for (; sent < end; sent++) text += command(sent);
      socket.write(text, 'latin1');
    };
    let timer: NodeJS.Timeout | undefined;
    const pump = (): void => {
      // A pending timer means that the pace, not the window, holds the load back.
      if (timer !== undefined) return;
      while (sent < count && sent - acknowledged < batchCommands * WINDOW_BATCHES) {
        const aheadMs = commandsPerSec === 0 ? 0 : (sent / commandsPerSec) * 1000 - (performance.now() - startedAt);
        if (aheadMs > 1) {
          timer = setTimeout(() => {
            timer = undefined;
            pump();
          }, aheadMs);
          return;
        }
        sendBatch();
      }
    };
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`the server closed the connection after ${acknowledged} replies`)));
    socket.on('data', (chunk: Buffer) => {
      try {
        acknowledged = acknowledge(chunk);
      } catch (error) {
        reject(error as Error);
        return;
      }
      if (acknowledged >= count) resolve();
      else pump();
    });
    if (count === 0) resolve();
    else pump();
  }).finally(() => socket.removeAllListeners('close').destroy());
}

/** Sends one command and gives back its reply, raw, for replies of one line or one bulk string. */
export async function ask(port: number, ...words: string[]): Promise<string> {
  const socket = await openSocket(port);
  return new Promise<string>((resolve, reject) => {
    let reply = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      reply += chunk;
      const header = /^\$(\d+)\r\n/.exec(reply);
      const whole = header === null ? reply.indexOf('\r\n') + 2 : header[0].length + Number(header[1]) + 2;
      if (whole < 2 || reply.length < whole) return;
      socket.destroy();
      if (reply.startsWith('-')) reject(new Error(`${words.join(' ')}: ${reply.trim()}`));
      else resolve(header === null ? reply.slice(1, -2) : reply.slice(header[0].length, -2));
    });
    socket.once('error', reject);
    socket.write(encode(...words));
  });
}

/** One field of INFO as a number. */
export async function infoNumber(port: number, section: string, field: string): Promise<number> {
  const text = await ask(port, 'INFO', section);
  const value = new RegExp(`^${field}:(\\d+)`, 'm').exec(text)?.[1];
  if (value === undefined) throw new Error(`INFO ${section} has no ${field}:\n${text}`);
  return Number(value);
}
