/**
 * `npm run bench:connections`: what an idle connection costs, and whether maxclients is exact.
 *
 * Opens 10,000 connections to each server, lets each answer one PING (so that buffers a server makes on
 * first use are counted), and divides the growth of resident memory. Then, with a small maxclients, opens
 * exactly that many, expects the next ones to be told so and closed, and one more to be let in after one has left.
 *
 * Options: --connections 10000   --json FILE   --check   --smoke   --ours … (see support/contenders.ts)
 */
import type { Socket } from 'node:net';
import { parseArgs } from 'node:util';
import type { RunningServer } from '../test/support/oracle.js';
import { CONTENDER_OPTIONS, startContender } from './support/contenders.js';
import { openSocket } from './support/loader.js';
import { residentBytes } from './support/process-facts.js';
import { begin, finish, formatTable, isMet, type Verdict } from './support/report.js';

const { values } = parseArgs({
  options: {
    ...CONTENDER_OPTIONS,
    connections: { type: 'string', default: '10000' },
    check: { type: 'boolean', default: false },
  },
});
const connections = values.smoke ? 200 : Number(values.connections);

/** The bound. */
const BOUND_BYTES = 10 * 1024;
/** Connections opened at once: below every listen backlog in use. */
const OPEN_BATCH = 100;
const MAXCLIENTS = 50;
const REFUSAL = '-ERR max number of clients reached\r\n';
const PATIENCE_MS = 5_000;

/** Everything a fresh connection is told until `until` holds or the server closes it. */
function hear(socket: Socket, until: (text: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => reject(new Error(`no answer in ${PATIENCE_MS} ms, only "${text}"`)), PATIENCE_MS);
    const done = (): void => {
      clearTimeout(timer);
      resolve(text);
    };
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      if (until(text)) done();
    });
    socket.once('close', done);
    socket.once('error', done);
  });
}

async function openPinged(port: number): Promise<Socket> {
  const socket = await openSocket(port);
  const answer = hear(socket, (text) => text.endsWith('\r\n'));
  socket.write('*1\r\n$4\r\nPING\r\n');
  const text = await answer;
  if (text === '+PONG\r\n') return socket.removeAllListeners('data');
  socket.destroy();
  throw new Error(`a connection was told ${JSON.stringify(text)}`);
}

async function weighConnections(server: RunningServer): Promise<number> {
  const before = residentBytes(server.pid);
  const sockets: Socket[] = [];
  while (sockets.length < connections) {
    const batch = Math.min(OPEN_BATCH, connections - sockets.length);
    sockets.push(...(await Promise.all(Array.from({ length: batch }, () => openPinged(server.port)))));
  }
  const bytes = (residentBytes(server.pid) - before) / connections;
  for (const socket of sockets) socket.destroy();
  return bytes;
}

/** Throws when the server lets in more or fewer than maxclients. */
async function checkMaxclients(server: RunningServer): Promise<void> {
  const sockets = await Promise.all(Array.from({ length: MAXCLIENTS }, () => openPinged(server.port)));
  for (let extra = 0; extra < 5; extra++) {
    const socket = await openSocket(server.port);
    const text = await hear(socket, () => false);
    if (text === REFUSAL) continue;
    throw new Error(`${server.name}: connection ${MAXCLIENTS + 1} was told ${JSON.stringify(text)}`);
  }
  sockets.pop()?.destroy();
  const giveUpAt = performance.now() + PATIENCE_MS;
  for (;;) {
    // The server learns of the departure in its own time; refused until then.
    const next = await openPinged(server.port).catch(() => undefined);
    if (next !== undefined) {
      sockets.push(next);
      break;
    }
    if (performance.now() > giveUpAt) throw new Error(`${server.name}: nobody is let in after one has left`);
  }
  for (const socket of sockets) socket.destroy();
}

async function measure(which: 'redis' | 'ours'): Promise<number> {
  const roomy = await startContender(which, values, ['--maxclients', String(connections + 10)]);
  let bytes: number;
  try {
    bytes = await weighConnections(roomy);
  } finally {
    await roomy.stop();
  }
  const tight = await startContender(which, values, ['--maxclients', String(MAXCLIENTS)]);
  try {
    await checkMaxclients(tight);
  } finally {
    await tight.stop();
  }
  return bytes;
}

async function main(): Promise<void> {
  begin(`${connections} idle connections, resident bytes each; maxclients`);
  const redis = await measure('redis');
  const ours = await measure('ours');
  const rows = [
    ['redis', redis.toFixed(0), 'exact'],
    ['ours', ours.toFixed(0), 'exact'],
  ];
  console.info(`${formatTable(['server', 'bytes each', 'maxclients'], rows)}\n`);
  const what = `bytes of an idle connection (${connections} open)`;
  const verdicts: Verdict[] = [{ what, value: ours, bound: BOUND_BYTES, kind: 'at most' }];
  finish('connections', { redis, ours }, values.smoke ? [] : verdicts, values.json);
  if (values.check && verdicts.some((verdict) => !isMet(verdict))) process.exitCode = 1;
}

await main();
