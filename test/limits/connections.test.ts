/**
 * Limits on connections: maxclients, timeout, protected mode, unix socket, many idle and half-sent ones. Each test runs
 * on redis-server too. SHERD_SOAK=1 raises the crowd to 10,000.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { startRedis, startSherd, type RunningServer } from '../support/oracle.js';
import { RespClient, toPlain } from '../support/resp-client.js';
import { mapParallel } from './exchange.js';

const WAIT_MS = 15_000;
const MAXCLIENTS_ERROR = '-ERR max number of clients reached\r\n';
// Both halves of the crowd are descriptors of this process too; where it may have fewer, the crowd is smaller.
const DESCRIPTORS = Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).trim()) || 1_000_000;
const CROWD = process.env['SHERD_SOAK'] ? Math.min(10_000, Math.floor((DESCRIPTORS - 1000) / 2)) : 1000;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function waitFor(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${WAIT_MS} ms in vain: ${what}`);
    await sleep(20);
  }
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** An address of this machine that is not loopback, if it has one. */
function outerAddress(): string | undefined {
  for (const list of Object.values(networkInterfaces())) {
    for (const entry of list ?? []) if (!entry.internal && entry.family === 'IPv4') return entry.address;
  }
  return undefined;
}

describe.each([
  ['redis', startRedis],
  ['sherd', startSherd],
] as const)('%s', (_, start) => {
  async function withServer(
    args: string[],
    body: (server: RunningServer) => Promise<void>,
    plain = false,
  ): Promise<void> {
    const server = await start(args, { plain });
    try {
      await body(server);
    } finally {
      await server.stop();
    }
  }

  const connect = (server: RunningServer): Promise<RespClient> => RespClient.connect({ port: server.port });

  /** Connects until `count` stand; tells how many were accepted by their answers. */
  async function isServed(client: RespClient): Promise<boolean> {
    client.write('PING\r\n');
    const [reply] = await client.read(1).catch(() => []);
    return reply?.text === '+PONG\r\n';
  }

  it('serves exactly maxclients', async () => {
    await withServer(['--maxclients', '10'], async (server) => {
      const clients: RespClient[] = [];
      for (let index = 0; index < 10; index++) {
        const client = await connect(server);
        expect(await isServed(client), `client ${index}`).toBe(true);
        clients.push(client);
      }
      for (let index = 0; index < 3; index++) {
        const refused = await connect(server);
        expect((await refused.readToEnd(WAIT_MS)).toString()).toBe(MAXCLIENTS_ERROR);
      }
      for (const client of clients) expect(await isServed(client)).toBe(true);
      expect(String(toPlain((await clients[0]!.send('INFO', 'clients')).value))).toMatch(/connected_clients:10\r\n/);
      expect(String(toPlain((await clients[0]!.send('INFO', 'stats')).value))).toMatch(/rejected_connections:3\r\n/);

      clients.pop()?.close();
      let next: RespClient | undefined;
      await waitFor('a place to come free', async () => {
        next = await connect(server);
        return isServed(next);
      });
      const over = await connect(server);
      expect((await over.readToEnd(WAIT_MS)).toString()).toBe(MAXCLIENTS_ERROR);

      // At run time: more, and less than there are (nobody is cut).
      expect((await clients[0]!.send('CONFIG', 'SET', 'maxclients', '12')).text).toBe('+OK\r\n');
      const eleventh = await connect(server);
      expect(await isServed(eleventh)).toBe(true);
      expect((await clients[0]!.send('CONFIG', 'SET', 'maxclients', '5')).text).toBe('+OK\r\n');
      expect(await isServed(eleventh)).toBe(true);
      const late = await connect(server);
      expect((await late.readToEnd(WAIT_MS)).toString()).toBe(MAXCLIENTS_ERROR);
      for (const client of [...clients, eleventh, next]) client?.close();
    });
  });

  it('closes idle connections after timeout, and only those', async () => {
    await withServer(['--timeout', '1'], async (server) => {
      const idle = await connect(server);
      const half = await connect(server);
      half.write('*2\r\n$3\r\nGET\r\n$10\r\nab');
      const busy = await connect(server);
      const startedAt = Date.now();
      while (!idle.isEnded || !half.isEnded) {
        expect((await busy.send('PING')).text).toBe('+PONG\r\n');
        await sleep(100);
        expect(Date.now() - startedAt, 'idle connection still open').toBeLessThan(8_000);
      }
      expect(Date.now() - startedAt).toBeGreaterThan(900);
      expect((await idle.readToEnd()).toString()).toBe('');
      expect((await busy.send('CONFIG', 'SET', 'timeout', '0')).text).toBe('+OK\r\n');
      await sleep(2_300);
      expect((await busy.send('PING')).text).toBe('+PONG\r\n');
      busy.close();
    });
  });

  it('refuses others than loopback in protected mode', async (context) => {
    const outer = outerAddress();
    if (outer === undefined) context.skip('this machine has no address but loopback');
    await withServer(
      ['--save', ''],
      async (server) => {
        /** Connects to the loopback port from the machine's outer address: the server sees a stranger. */
        const fromOutside = (): Promise<string> =>
          new Promise((resolve, reject) => {
            const socket = createConnection({ port: server.port, host: '127.0.0.1', localAddress: outer! });
            let text = '';
            const finish = (): void => resolve(text);
            // Not at once: a reset for unread bytes could overtake the error's text.
            socket.on('connect', () => setTimeout(() => socket.write('PING\r\n'), 100));
            socket.on('data', (chunk) => {
              text += chunk.toString('latin1');
              if (text.includes('PONG') || text.includes('NOAUTH')) socket.destroy();
            });
            socket.on('close', finish);
            socket.on('error', (error) => ('code' in error && error.code === 'ECONNRESET' ? finish() : reject(error)));
          });
        expect(spell(await fromOutside())).toBe(PROTECTED_MODE_ERROR);
        const inner = await connect(server);
        expect((await inner.send('PING')).text).toBe('+PONG\r\n');
        expect((await inner.send('CONFIG', 'SET', 'protected-mode', 'no')).text).toBe('+OK\r\n');
        expect(await fromOutside()).toBe('+PONG\r\n');
        await inner.send('CONFIG', 'SET', 'protected-mode', 'yes');
        expect(spell(await fromOutside())).toBe(PROTECTED_MODE_ERROR);
        // With a password the mode lets everybody knock.
        await inner.send('CONFIG', 'SET', 'requirepass', 'secret');
        expect(await fromOutside()).toBe('-NOAUTH Authentication required.\r\n');
        inner.close();
      },
      true,
    );
  });

  it(`serves others beside ${CROWD} idle and ${CROWD} half-sent connections`, { timeout: 180_000 }, async () => {
    await withServer(['--maxclients', String(2 * CROWD + 100)], async (server) => {
      const admin = await connect(server);
      const measure = async (
        what: string,
        prepare: (client: RespClient) => void,
        bytesMax: number,
      ): Promise<RespClient[]> => {
        const before = residentBytes(server.pid);
        const clients = await mapParallel(Array.from({ length: CROWD }), 100, async () => {
          const client = await connect(server);
          await client.send('PING');
          prepare(client);
          return client;
        });
        await admin.send('PING');
        const perConnection = (residentBytes(server.pid) - before) / CROWD;
        const pings = await pingPercentile(admin);
        process.stdout.write(
          `${server.name}: ${CROWD} ${what}: ${Math.round(perConnection)} bytes each, PING p99 ${pings.toFixed(2)} ms\n`,
        );
        expect(perConnection).toBeLessThan(bytesMax);
        return clients;
      };
      const idle = await measure('idle', () => undefined, 40 * 1024);
      const half = await measure(
        'half-sent',
        (client) => client.write(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000\r\n${'x'.repeat(1000)}`),
        60 * 1024,
      );
      expect([...idle, ...half].filter((client) => client.isEnded)).toHaveLength(0);
      expect(String(toPlain((await admin.send('INFO', 'clients')).value))).toContain(
        `connected_clients:${2 * CROWD + 1}\r\n`,
      );
      for (const client of half) client.write(`${'y'.repeat(1000)}\r\n`);
      const replies = await Promise.all(half.map((client) => client.read(1)));
      expect(replies.every(([reply]) => reply?.text === '+OK\r\n')).toBe(true);
      for (const client of [...idle, ...half]) client.close();
      await waitFor('all to be gone', async () =>
        String(toPlain((await admin.send('INFO', 'clients')).value)).includes('connected_clients:1\r\n'),
      );
      admin.close();
    });
  });

  async function pingPercentile(client: RespClient): Promise<number> {
    const times: number[] = [];
    for (let index = 0; index < 500; index++) {
      const startedAt = performance.now();
      await client.send('PING');
      times.push(performance.now() - startedAt);
    }
    times.sort((one, two) => one - two);
    return times[Math.floor(times.length * 0.99)] as number;
  }
});

/** The oracle's text with a slip of its pen mended, so that either spelling passes. */
const spell = (text: string): string => text.replace('Setup a an authentication', 'Set up an authentication');

/** As Redis says it. */
const PROTECTED_MODE_ERROR =
  '-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the ' +
  'default user. In this mode connections are only accepted from the loopback interface. If you want to connect from ' +
  'external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode sending ' +
  "the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same host " +
  'the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG ' +
  'REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the ' +
  "Redis configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If " +
  "you started the server manually just for testing, restart it with the '--protected-mode no' option. 4) Set up an " +
  'authentication password for the default user. NOTE: You only need to do one of the above things in order for the ' +
  'server to start accepting connections from the outside.\r\n';
