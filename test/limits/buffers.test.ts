/**
 * Memory limits of a connection: query buffer, output buffer, lengths that are claimed and never sent. Each test runs
 * on redis-server too, so that a wrong expectation shows.
 */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, startSherd, type RunningServer } from '../support/oracle.js';
import { RespClient, toPlain } from '../support/resp-client.js';
import { request } from './sequences.js';

const MB = 1024 * 1024;
const WAIT_MS = 10_000;

/** Resident memory of a process in bytes. */
function residentBytes(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (!match) throw new Error(`no VmRSS of ${pid}`);
  return Number(match[1]) * 1024;
}

async function waitFor(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${WAIT_MS} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe.each([
  ['redis', startRedis],
  ['sherd', startSherd],
] as const)('%s', (_, start) => {
  let server: RunningServer;
  let admin: RespClient;

  beforeAll(async () => {
    server = await start();
    admin = await RespClient.connect({ port: server.port });
  });

  afterAll(async () => {
    admin?.close();
    await server?.stop();
  });

  // Whatever a test has set, also when it failed.
  afterEach(async () => {
    await admin.send('CONFIG', 'SET', 'client-query-buffer-limit', '1gb', 'client-output-buffer-limit', 'normal 0 0 0');
  });

  /** Connects, and waits until the server has taken the connection. */
  const connect = async (): Promise<RespClient> => {
    const client = await RespClient.connect({ port: server.port });
    expect((await client.send('PING')).text).toBe('+PONG\r\n');
    return client;
  };

  const clientCount = async (): Promise<number> => {
    const list = toPlain((await admin.send('CLIENT', 'LIST')).value);
    return String(list).trim().split('\n').length;
  };

  it('cuts a client whose query buffer grows over client-query-buffer-limit', async () => {
    expect((await admin.send('CONFIG', 'SET', 'client-query-buffer-limit', '1mb')).text).toBe('+OK\r\n');
    const client = await connect();
    client.write(`*2\r\n$3\r\nGET\r\n$${8 * MB}\r\n`);
    const piece = Buffer.alloc(256 * 1024, 'q');
    for (let sent = 0; sent < 4 * MB && !client.isEnded; sent += piece.length) {
      client.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect((await client.readToEnd(WAIT_MS)).toString()).toBe('');
    await waitFor('its log line', () => server.log().includes('query buffer'));

    // A request that stays below is served.
    const small = await connect();
    expect((await small.send('SET', 'half', Buffer.alloc(512 * 1024, 'h'))).text).toBe('+OK\r\n');
    small.close();
  });

  it('cuts a slow reader at the hard output limit, and gives its memory back', { timeout: 60_000 }, async () => {
    await admin.send('CONFIG', 'SET', 'client-output-buffer-limit', 'normal 4mb 0 0');
    await admin.send('SET', 'big', Buffer.alloc(100 * 1024, 'b'));
    const before = await clientCount();
    const client = await connect();
    client.pause();
    const residentBefore = residentBytes(server.pid);
    // 200 MB of replies, of which the kernel's socket buffers may take a few.
    for (let index = 0; index < 2_000; index++) client.write(request('GET', 'big'));
    await waitFor('the slow reader to be cut', async () => (await clientCount()) === before);
    expect(residentBytes(server.pid) - residentBefore).toBeLessThan(64 * MB);
    expect(server.log()).toMatch(/output buffer limits/);
    client.resume();
    await client.ended;

    // A fast reader of the same replies is not cut.
    const fast = await connect();
    for (let index = 0; index < 50; index++)
      expect((await fast.send('GET', 'big')).raw.length).toBeGreaterThan(100 * 1024);
    fast.close();
  });

  it('cuts a slow reader that stays over the soft output limit for its time', { timeout: 60_000 }, async () => {
    await admin.send('CONFIG', 'SET', 'client-output-buffer-limit', 'normal 0 1mb 1');
    await admin.send('SET', 'big', Buffer.alloc(100 * 1024, 'b'));
    const before = await clientCount();
    const client = await connect();
    client.pause();
    const startedAt = Date.now();
    for (let index = 0; index < 400; index++) client.write(request('GET', 'big'));
    await waitFor('the slow reader to be cut', async () => {
      // The limit is looked at when replies are added, or by the server's clock.
      if (!client.isEnded) client.write(request('PING'));
      return (await clientCount()) === before;
    });
    expect(Date.now() - startedAt).toBeGreaterThan(900);
    client.close();
  });

  it('allocates nothing for lengths that are only claimed', async () => {
    const claims = [
      '*2147483647\r\n',
      '*2\r\n$3\r\nGET\r\n$536870912\r\n',
      '*1000000000\r\n$3\r\nDEL\r\n',
      '*3\r\n$3\r\nSET\r\n$1\r\na\r\n$500000000\r\nabc',
    ];
    const before = residentBytes(server.pid);
    const clients: RespClient[] = [];
    for (let round = 0; round < 20; round++) {
      for (const claim of claims) {
        const client = await connect();
        client.write(claim);
        clients.push(client);
      }
    }
    // Nobody answers a half request: the admin's round trips show that all have been read.
    for (let round = 0; round < 20; round++) expect((await admin.send('PING')).text).toBe('+PONG\r\n');
    expect(clients.filter((client) => client.isEnded)).toHaveLength(0);
    expect(residentBytes(server.pid) - before).toBeLessThan(32 * MB);
    for (const client of clients) client.close();
  });

  it('allocates nothing for arguments that claim much', async () => {
    const before = residentBytes(server.pid);
    const refused = [
      ['SETRANGE', 'far', '536870912', 'x'],
      ['SETRANGE', 'far', '4294967295', 'x'],
      ['SETRANGE', 'far', '9223372036854775807', 'x'],
      ['COMMAND', 'GETKEYS', 'EVAL', 'x', '2147483647', 'a'],
      ['GETRANGE', 'far', '-9223372036854775808', '9223372036854775807'],
      ['SCAN', '0', 'COUNT', '9223372036854775807'],
    ];
    for (const args of refused) await admin.send(...args);
    expect((await admin.send('EXISTS', 'far')).text).toBe(':0\r\n');
    expect(residentBytes(server.pid) - before).toBeLessThan(64 * MB);
  });

  it('takes and returns a value of 100 MB', { timeout: 60_000 }, async () => {
    const value = Buffer.alloc(100 * MB, 'v');
    expect((await admin.send('SET', 'huge', value)).text).toBe('+OK\r\n');
    const reply = (await admin.send('GET', 'huge')).value;
    expect(reply.kind === 'bulk' && reply.bytes.equals(value)).toBe(true);
    expect((await admin.send('DEL', 'huge', 'big', 'half')).text).toMatch(/^:\d\r\n$/);
  });
});
