/**
 * Raw exchanges: bytes in, bytes out, closed or not. The unit in which protocol errors are compared.
 *
 * "Not closed" cannot be observed, only waited for. An exchange without expectation waits until the server has been
 * silent for a while; one with an expectation ends as soon as that is met, and looks a moment longer for what should
 * not come. Nothing is parsed: what comes back need not be RESP.
 */
import { createConnection, type Socket } from 'node:net';

/** What a server did with some bytes. */
export interface Outcome {
  /** All it sent, as Latin-1. */
  sent: string;
  /** Whether it hung up. */
  isClosed: boolean;
  /** Whether the hang-up came as a reset: bytes of ours were unread, and the kernel may have dropped the last reply. */
  isReset?: boolean;
}

/** The same bytes and the same end, as far as a reset lets one see. */
export function isSameOutcome(expected: Outcome, actual: Outcome): boolean {
  if (expected.isClosed !== actual.isClosed) return false;
  if (expected.sent === actual.sent) return true;
  if (actual.isReset === true && expected.sent.startsWith(actual.sent)) return true;
  return expected.isReset === true && actual.sent.startsWith(expected.sent);
}

const QUIET_MS = 200;
const AFTERGLOW_MS = 10;
const GIVE_UP_MS = 3_000;

/** Sends the chunks, one packet each as far as the kernel plays along, and reports what the server does. */
export function exchange(
  port: number,
  chunks: readonly Buffer[],
  expected?: Outcome,
  quietMs = QUIET_MS,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, '127.0.0.1');
    socket.setNoDelay(true);
    let sent = '';
    let isClosed = false;
    let isReset = false;
    let timer: NodeJS.Timeout | undefined;
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ sent, isClosed, isReset });
    };
    const isMet = (): boolean => expected !== undefined && sent === expected.sent && isClosed === expected.isClosed;
    const wait = (): void => {
      clearTimeout(timer);
      if (isClosed) return finish();
      const ms = expected === undefined ? quietMs : isMet() ? AFTERGLOW_MS : GIVE_UP_MS;
      timer = setTimeout(finish, ms);
    };
    const closed = (): void => {
      isClosed = true;
      finish();
    };
    socket.on('data', (chunk) => {
      sent += chunk.toString('latin1');
      wait();
    });
    socket.on('end', closed);
    // A reset after an error reply is how a close looks when bytes of ours were still unread.
    socket.on('error', (error) => {
      if (!('code' in error) || (error.code !== 'ECONNRESET' && error.code !== 'EPIPE')) return reject(error);
      isReset = true;
      closed();
    });
    socket.once('connect', () => {
      writeAll(socket, chunks).then(wait, reject);
    });
  });
}

async function writeAll(socket: Socket, chunks: readonly Buffer[]): Promise<void> {
  for (const [index, chunk] of chunks.entries()) {
    if (socket.destroyed) return;
    socket.write(chunk);
    // A millisecond apart, so that the server reads them apart. More packets than that would take too long.
    if (index + 1 < chunks.length) await new Promise((resolve) => setTimeout(resolve, chunks.length > 20 ? 0 : 2));
  }
}

/** Runs `task` over all items, at most `width` at a time; results in order. */
export async function mapParallel<T, R>(
  items: readonly T[],
  width: number,
  task: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = new Array<R>(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) results[index] = await task(items[index] as T);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  return results;
}

/** The bytes in one piece, in two at every place, and one by one (only when they are few). */
export function splittings(bytes: Buffer): Buffer[][] {
  const all: Buffer[][] = [[bytes]];
  if (bytes.length > 200) {
    for (const at of [1, 5, bytes.length >> 1, bytes.length - 2, bytes.length - 1])
      all.push([bytes.subarray(0, at), bytes.subarray(at)]);
    return all;
  }
  for (let at = 1; at < bytes.length; at++) all.push([bytes.subarray(0, at), bytes.subarray(at)]);
  all.push([...bytes].map((byte) => Buffer.from([byte])));
  return all;
}
