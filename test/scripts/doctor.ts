/**
 * A server with a mistake, for tests of the tester: a proxy before a redis-server that changes what some connections
 * receive. A tester that finds nothing in such a server would find nothing in ours.
 *
 * The doctor sees every frame that the server sends to a connection, and says which frames go on instead. Bytes to the
 * server pass as they are.
 */
import { createConnection, createServer, type Socket } from 'node:net';
import { startRedis, type RunningServer } from '../support/oracle.js';
import { takeFrame } from './wire.js';

/** Frames in place of one frame; it may keep some back and give them with a later one. */
export type Doctor = (frame: Buffer, connection: DoctoredConnection) => Buffer[];

/** What a doctor may remember of a connection. */
export interface DoctoredConnection {
  /** Number of the connection, from 0, in the order of accepting. */
  index: number;
  kept: Buffer[];
  /** Sends something later, whatever comes meanwhile. */
  later: (frame: Buffer, afterMs: number) => void;
}

function serve(client: Socket, port: number, index: number, doctor: Doctor): void {
  const upstream = createConnection(port, '127.0.0.1');
  client.setNoDelay(true);
  upstream.setNoDelay(true);
  const later = (frame: Buffer, afterMs: number): void => {
    setTimeout(() => client.writable && client.write(frame), afterMs);
  };
  const connection: DoctoredConnection = { index, kept: [], later };
  let rest: Buffer = Buffer.alloc(0);
  upstream.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    const out: Buffer[] = [];
    for (let taken = takeFrame(rest); taken !== undefined; taken = rest.length > 0 ? takeFrame(rest) : undefined) {
      for (const frame of [taken.frame, ...taken.lifted]) out.push(...doctor(frame, connection));
      rest = rest.subarray(taken.end);
      if (rest.length === 0) break;
    }
    if (out.length > 0) client.write(Buffer.concat(out));
  });
  client.on('data', (chunk) => upstream.write(chunk));
  const end = (): void => {
    client.destroy();
    upstream.destroy();
  };
  for (const socket of [client, upstream]) {
    socket.on('error', end);
    socket.on('close', end);
  }
}

/** A redis-server behind the doctor. */
export async function startDoctored(doctor: Doctor, args: string[] = []): Promise<RunningServer> {
  const redis = await startRedis(args);
  let count = 0;
  const proxy = createServer((client) => serve(client, redis.port, count++, doctor));
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const address = proxy.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    name: 'redis',
    port,
    pid: redis.pid,
    dir: redis.dir,
    exited: redis.exited,
    readyAfterMs: redis.readyAfterMs,
    log: () => redis.log(),
    stop: async () => {
      proxy.close();
      return redis.stop();
    },
  };
}
