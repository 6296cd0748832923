/**
 * What one client does to others, and what the server does to clients that take too much: CLIENT PAUSE, KILL and
 * UNBLOCK, MONITOR, maxmemory-clients. Each test runs on redis-server too; what is newer than the 7.0 that is at hand
 * runs on ours alone. Ours has two workers, so that most of it goes from one to the other.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, startSherd, type RunningServer } from '../support/oracle.js';
import { RespClient, toPlain } from '../support/resp-client.js';

const MB = 1024 * 1024;
const WAIT_MS = 10_000;
/** Long enough for a server to answer what it does not hold back. */
const QUIET_MS = 120;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function waitFor(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${WAIT_MS} ms in vain: ${what}`);
    await sleep(20);
  }
}

const SERVERS = [
  ['redis', () => startRedis()],
  ['sherd', () => startSherd(['--worker-threads', '2'])],
] as const;

describe.each(SERVERS)('%s', (name, start) => {
  let server: RunningServer;
  let admin: RespClient;
  const clients: RespClient[] = [];

  beforeAll(async () => {
    server = await start();
    admin = await RespClient.connect({ port: server.port });
    // Nothing that a test does to clients is to hit this one.
    await admin.send('CLIENT', 'NO-EVICT', 'ON');
  });

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await admin.send('CLIENT', 'UNPAUSE');
    await admin.send('CONFIG', 'SET', 'maxmemory-clients', '0', 'maxmemory', '0', 'timeout', '0');
    await admin.send('CONFIG', 'SET', 'client-query-buffer-limit', '1gb');
    await admin.send('FLUSHALL');
    await waitFor('all to be gone', async () => (await infoNumber('connected_clients')) === 1);
    await admin.send('CONFIG', 'RESETSTAT');
  });

  afterAll(async () => {
    admin?.close();
    await server?.stop();
  });

  const connect = async (): Promise<RespClient> => {
    const client = await RespClient.connect({ port: server.port });
    clients.push(client);
    expect((await client.send('PING')).text).toBe('+PONG\r\n');
    return client;
  };
  const text = async (client: RespClient, ...args: string[]): Promise<string> => (await client.send(...args)).text;
  const idOf = async (client: RespClient): Promise<string> => String(toPlain((await client.send('CLIENT', 'ID')).value));
  const addressOf = (client: RespClient): string => `127.0.0.1:${client.localPort}`;
  const info = async (): Promise<string> => String(toPlain((await admin.send('INFO', 'all')).value));
  const infoNumber = async (field: string): Promise<number> =>
    Number(new RegExp(`^${field}:(\\d+)\r$`, 'm').exec(await info())?.[1] ?? NaN);
  const lineOf = async (client: RespClient): Promise<string> =>
    String(toPlain((await admin.send('CLIENT', 'LIST')).value))
      .split('\n')
      .find((line) => line.includes(` addr=${addressOf(client)} `)) ?? '';
  const flagsOf = async (client: RespClient): Promise<string> => / flags=(\w+) /.exec(await lineOf(client))?.[1] ?? '';

  /** Sends a command and tells whether its reply came soon; the reply is then left to `read`. */
  async function isHeld(client: RespClient, ...args: string[]): Promise<boolean> {
    client.write(`*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join('')}`);
    const [reply] = await client.read(1, QUIET_MS).catch(() => []);
    return reply === undefined;
  }

  // ---- CLIENT PAUSE ----

  describe('CLIENT PAUSE', () => {
    it('WRITE holds back what writes, and UNPAUSE lets it go', async () => {
      await text(admin, 'SET', 'k', 'v');
      const queued = await connect();
      await queued.pipeline([['MULTI'], ['SET', 'k', 'queued']]);
      const dropped = await connect();
      await dropped.pipeline([['MULTI'], ['SET', 'k', 'dropped']]);
      const reading = await connect();
      await reading.pipeline([['MULTI'], ['GET', 'k']]);
      expect(await text(admin, 'CLIENT', 'PAUSE', '100000', 'WRITE')).toBe('+OK\r\n');

      const held: [RespClient, string[], string][] = [
        [await connect(), ['SET', 'a', '1'], '+OK\r\n'],
        [await connect(), ['PUBLISH', 'c', 'm'], ':0\r\n'],
        [await connect(), ['PFCOUNT', 'nosuch'], ':0\r\n'],
        [await connect(), ['DEL', 'nosuch', 'neither'], ':0\r\n'],
        [await connect(), ['FLUSHDB'], '+OK\r\n'],
        [queued, ['EXEC'], '*1\r\n+OK\r\n'],
      ];
      for (const [client, args] of held) expect(await isHeld(client, ...args), args.join(' ')).toBe(true);
      expect(await infoNumber('blocked_clients')).toBe(held.length);
      expect(await flagsOf(held[0]![0])).toBe('b');

      const free = await connect();
      expect(await text(free, 'GET', 'k')).toBe('$1\r\nv\r\n');
      expect(await text(free, 'DBSIZE')).toBe(':1\r\n');
      expect(await text(dropped, 'DISCARD')).toBe('+OK\r\n');
      expect(await text(reading, 'EXEC')).toBe('*1\r\n$1\r\nv\r\n');
      // What fails before it would run is answered.
      expect(await text(free, 'SET', 'k')).toMatch(/^-ERR wrong number/);
      // MULTI queues no write now.
      expect(await text(free, 'MULTI')).toBe('+OK\r\n');
      expect(await isHeld(free, 'SET', 'k', 'x')).toBe(true);

      expect(await text(admin, 'CLIENT', 'UNPAUSE')).toBe('+OK\r\n');
      for (const [client, args, reply] of held) {
        expect((await client.read(1))[0]?.text, args.join(' ')).toBe(reply);
      }
      expect((await free.read(1))[0]?.text).toBe('+QUEUED\r\n');
      await waitFor('nobody to be blocked', async () => (await infoNumber('blocked_clients')) === 0);
    });

    it('ALL holds back everything, pipelines go on in order, and it ends by itself', async () => {
      const one = await connect();
      const other = await connect();
      const startedAt = Date.now();
      expect(await text(admin, 'CLIENT', 'PAUSE', '400')).toBe('+OK\r\n');
      one.write('SET p 1\r\nINCR p\r\nGET p\r\n');
      expect(await isHeld(other, 'PING')).toBe(true);
      expect((await one.read(3)).map((reply) => reply.text)).toEqual(['+OK\r\n', ':2\r\n', '$1\r\n2\r\n']);
      expect((await other.read(1))[0]?.text).toBe('+PONG\r\n');
      expect(Date.now() - startedAt).toBeGreaterThan(380);
      expect(Date.now() - startedAt).toBeLessThan(2_000);
    });

    it('of a client that leaves or is killed, what was held back never runs', async () => {
      const [leaver, killed] = [await connect(), await connect()];
      const inTransaction = await connect();
      await inTransaction.pipeline([['MULTI'], ['SET', 'c', '1']]);
      await text(admin, 'CLIENT', 'PAUSE', '100000', 'WRITE');
      expect(await isHeld(leaver, 'SET', 'a', '1')).toBe(true);
      expect(await isHeld(killed, 'SET', 'b', '1')).toBe(true);
      expect(await isHeld(inTransaction, 'EXEC')).toBe(true);
      expect(await infoNumber('blocked_clients')).toBe(3);
      leaver.close();
      expect(await text(admin, 'CLIENT', 'KILL', 'ADDR', addressOf(killed))).toBe(':1\r\n');
      expect(await text(admin, 'CLIENT', 'KILL', 'ADDR', addressOf(inTransaction))).toBe(':1\r\n');
      await Promise.all([killed.ended, inTransaction.ended]);
      await waitFor('all to be forgotten', async () => (await infoNumber('blocked_clients')) === 0);
      await text(admin, 'CLIENT', 'UNPAUSE');
      expect(await text(await connect(), 'EXISTS', 'a', 'b', 'c')).toBe(':0\r\n');
    });

    it('stops expiry: keys are not seen, but stay', async () => {
      await text(admin, 'SET', 'e', 'v', 'PX', '50');
      await text(admin, 'CLIENT', 'PAUSE', '100000', 'WRITE');
      await sleep(300);
      expect(await text(admin, 'GET', 'e')).toBe('$-1\r\n');
      expect(await text(admin, 'TTL', 'e')).toBe(':-2\r\n');
      expect(await text(admin, 'DBSIZE')).toBe(':1\r\n');
      expect(await infoNumber('expired_keys')).toBe(0);
      await text(admin, 'CLIENT', 'UNPAUSE');
      await waitFor('the key to go', async () => (await text(admin, 'DBSIZE')) === ':0\r\n');
      expect(await infoNumber('expired_keys')).toBe(1);
    });

    it('in EXEC holds back what comes after it', async () => {
      const client = await connect();
      const replies = await client.pipeline([['MULTI'], ['CLIENT', 'PAUSE', '100000', 'WRITE'], ['SET', 'a', '1'], ['EXEC']]);
      expect(replies.at(-1)?.text).toBe('*2\r\n+OK\r\n+OK\r\n');
      expect(await text(client, 'GET', 'a')).toBe('$1\r\n1\r\n');
      expect(await isHeld(client, 'SET', 'a', '2')).toBe(true);
    });
  });

  // ---- CLIENT KILL ----

  describe('CLIENT KILL', () => {
    it('closes those that match all filters', async () => {
      const [byAddress, byId, byBoth, spared] = [await connect(), await connect(), await connect(), await connect()];
      expect(await text(admin, 'CLIENT', 'KILL', addressOf(byAddress))).toBe('+OK\r\n');
      await byAddress.ended;
      expect(await text(admin, 'CLIENT', 'KILL', addressOf(byAddress))).toBe('-ERR No such client\r\n');
      expect(await text(admin, 'CLIENT', 'KILL', 'ID', await idOf(byId))).toBe(':1\r\n');
      await byId.ended;
      const id = await idOf(byBoth);
      expect(await text(admin, 'CLIENT', 'KILL', 'ID', id, 'ADDR', addressOf(spared))).toBe(':0\r\n');
      expect(await text(admin, 'CLIENT', 'KILL', 'ID', id, 'TYPE', 'pubsub')).toBe(':0\r\n');
      expect(await text(admin, 'CLIENT', 'KILL', 'id', id, 'addr', addressOf(byBoth), 'user', 'default')).toBe(':1\r\n');
      await byBoth.ended;
      expect(await text(spared, 'PING')).toBe('+PONG\r\n');
      expect(await text(admin, 'CLIENT', 'KILL', 'TYPE', 'replica', 'LADDR', `127.0.0.1:${server.port}`)).toBe(':0\r\n');
      expect(await text(admin, 'CLIENT', 'KILL', 'LADDR', `127.0.0.1:${server.port}`)).toBe(':1\r\n');
      await spared.ended;
    });

    it('closes those that wait or have half sent a command', async () => {
      const half = await connect();
      half.write('*2\r\n$3\r\nGET\r\n$10\r\nab');
      const large = await connect();
      large.write(`*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1000000\r\n${'x'.repeat(100_000)}`);
      const monitor = await connect();
      await text(monitor, 'MONITOR');
      await sleep(50);
      expect(await text(admin, 'CLIENT', 'KILL', 'TYPE', 'normal')).toBe(':3\r\n');
      await Promise.all([half.ended, large.ended, monitor.ended]);
      expect(await text(admin, 'PING')).toBe('+PONG\r\n');
    });

    it('answers before it closes its own connection, and nothing after', async () => {
      const self = await connect();
      expect(await text(self, 'CLIENT', 'KILL', 'ID', await idOf(self))).toBe(':0\r\n');
      self.write(`PING\r\nCLIENT KILL ID ${toPlain((await self.send('CLIENT', 'ID')).value)} SKIPME no\r\nSET after 1\r\n`);
      expect((await self.readToEnd()).toString()).toBe('+PONG\r\n:1\r\n');
      const old = await connect();
      old.write(`CLIENT KILL ${addressOf(old)}\r\n`);
      expect((await old.readToEnd()).toString()).toBe('+OK\r\n');
      const inExec = await connect();
      const id = await idOf(inExec);
      await inExec.pipeline([['MULTI'], ['SET', 'within', '1'], ['CLIENT', 'KILL', 'ID', id, 'SKIPME', 'no'], ['PING']]);
      inExec.write('EXEC\r\n');
      expect((await inExec.readToEnd()).toString()).toBe('*3\r\n+OK\r\n:1\r\n');
      expect(await text(admin, 'EXISTS', 'after', 'within')).toBe(':1\r\n');
    });

    it('in MULTI kills others when EXEC runs', async () => {
      const [killer, victim] = [await connect(), await connect()];
      await killer.pipeline([['MULTI'], ['CLIENT', 'KILL', 'ID', await idOf(victim)], ['PING']]);
      expect(await text(victim, 'PING')).toBe('+PONG\r\n');
      expect(await text(killer, 'EXEC')).toBe('*2\r\n:1\r\n+PONG\r\n');
      await victim.ended;
    });

    it.each([
      ['X', '-ERR No such client\r\n'],
      ['ID', '-ERR No such client\r\n'],
      ['ID x', '-ERR client-id should be greater than 0\r\n'],
      ['ID 0', '-ERR client-id should be greater than 0\r\n'],
      ['ID 9223372036854775808', '-ERR client-id should be greater than 0\r\n'],
      ['TYPE x', "-ERR Unknown client type 'x'\r\n"],
      ['USER x', "-ERR No such user 'x'\r\n"],
      ['SKIPME x', '-ERR syntax error\r\n'],
      ['ID 1 X', '-ERR syntax error\r\n'],
      ['ID 999999 TYPE', '-ERR syntax error\r\n'],
      ['ID 999999 TYPE normal ADDR a LADDR b USER default SKIPME no SKIPME YES', ':0\r\n'],
    ])('%s: %s', async (words, reply) => {
      expect(await text(admin, 'CLIENT', 'KILL', ...words.split(' '))).toBe(reply);
    });
  });

  // ---- CLIENT UNBLOCK ----

  it.each([
    ['x', '-ERR value is not an integer or out of range\r\n'],
    ['x y', '-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n'],
    ['1 error x', "-ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.\r\n"],
    ['-1', ':0\r\n'],
    ['0', ':0\r\n'],
    ['999999 ERROR', ':0\r\n'],
    ['999999 timeout', ':0\r\n'],
  ])('CLIENT UNBLOCK %s: %s', async (words, reply) => {
    expect(await text(admin, 'CLIENT', 'UNBLOCK', ...words.split(' '))).toBe(reply);
  });

  it('CLIENT UNBLOCK ends the waiting of clients, also in MULTI', async () => {
    const waiting = [await connect(), await connect(), await connect(), await connect()];
    const lines = [['BLPOP', 'q1', 'q2', '0'], ['BZPOPMIN', 'z', '100'], ['XREAD', 'BLOCK', '0', 'STREAMS', 's', '$'], ['BLMOVE', 'q1', 'q2', 'LEFT', 'LEFT', '0']];
    for (const [index, client] of waiting.entries()) expect(await isHeld(client, ...(lines[index] as string[]))).toBe(true);
    expect(await infoNumber('blocked_clients')).toBe(4);
    expect(await infoNumber('clients_in_timeout_table')).toBe(1);
    if (name === 'sherd') expect(await infoNumber('total_blocking_keys')).toBe(4); // newer than 7.0
    const ids = await Promise.all(waiting.map(async (client) => / ?id=(\d+) /.exec(await lineOf(client))?.[1] ?? ''));
    expect(await text(admin, 'CLIENT', 'UNBLOCK', ids[0] as string)).toBe(':1\r\n');
    expect(await text(admin, 'CLIENT', 'UNBLOCK', ids[0] as string)).toBe(':0\r\n');
    expect(await text(admin, 'CLIENT', 'UNBLOCK', ids[1] as string, 'error')).toBe(':1\r\n');
    const other = await connect();
    await other.pipeline([['MULTI'], ['CLIENT', 'UNBLOCK', ids[2] as string, 'TIMEOUT'], ['SET', 'a', '1']]);
    expect(await infoNumber('blocked_clients')).toBe(2);
    expect(await text(other, 'EXEC')).toBe('*2\r\n:1\r\n+OK\r\n');
    expect(await text(admin, 'CLIENT', 'UNBLOCK', ids[3] as string, 'ERROR')).toBe(':1\r\n');
    const replies = await Promise.all(waiting.map(async (client) => (await client.read(1))[0]?.text));
    const unblocked = '-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n';
    expect(replies).toEqual(['*-1\r\n', unblocked, '*-1\r\n', unblocked]);
    expect(await infoNumber('blocked_clients')).toBe(0);
  });

  it('CLIENT UNBLOCK and a pusher: each element once, and the answers tell who was first', async () => {
    const [waiter, pusher] = [await connect(), await connect()];
    const id = await idOf(waiter);
    for (let round = 0; round < 200; round++) {
      waiter.write('BLPOP q 0\r\n');
      pusher.write(`RPUSH q ${round}\r\n`);
      admin.write(`CLIENT UNBLOCK ${id} ERROR\r\n`);
      const [[popped], [pushed], [answer]] = await Promise.all([waiter.read(1), pusher.read(1), admin.read(1)]);
      const wasServed = popped?.text === `*2\r\n$1\r\nq\r\n$${String(round).length}\r\n${round}\r\n`;
      expect(pushed?.text).toBe(':1\r\n');
      if (!wasServed) expect(popped?.text).toMatch(/^-UNBLOCKED/);
      expect(answer?.text, `round ${round}`).toBe(wasServed ? ':0\r\n' : ':1\r\n');
      expect(await text(pusher, 'DEL', 'q')).toBe(wasServed ? ':0\r\n' : ':1\r\n');
    }
  });

  it('CLIENT KILL closes who waits, and what comes later is for others', async () => {
    const [killed, other] = [await connect(), await connect()];
    expect(await isHeld(killed, 'BLPOP', 'q', '0')).toBe(true);
    expect(await isHeld(other, 'BLPOP', 'q', '0')).toBe(true);
    expect(await text(admin, 'CLIENT', 'KILL', 'ADDR', addressOf(killed))).toBe(':1\r\n');
    await killed.ended;
    expect(await text(admin, 'RPUSH', 'q', 'x')).toBe(':1\r\n');
    expect((await other.read(1))[0]?.text).toBe('*2\r\n$1\r\nq\r\n$1\r\nx\r\n');
  });

  it('CLIENT UNBLOCK lets nobody go whom CLIENT PAUSE holds', async () => {
    const client = await connect();
    const id = await idOf(client);
    expect(await text(admin, 'CLIENT', 'UNBLOCK', id)).toBe(':0\r\n');
    if (name === 'redis') return; // 7.0 does, and then has no reply for it
    await text(admin, 'CLIENT', 'PAUSE', '100000', 'WRITE');
    expect(await isHeld(client, 'SET', 'a', '1')).toBe(true);
    expect(await text(admin, 'CLIENT', 'UNBLOCK', id, 'ERROR')).toBe(':0\r\n');
  });

  // ---- MONITOR ----

  describe('MONITOR', () => {
    /** The lines of a monitor so far, without time, and with names for the addresses. */
    async function linesOf(monitor: RespClient, names: Map<RespClient, string>): Promise<string[]> {
      const mark = `mark ${Math.random()}`;
      await admin.send('ECHO', mark);
      const lines: string[] = [];
      for (;;) {
        const line = (await monitor.read(1))[0]?.text ?? '';
        if (line.includes(mark)) return lines;
        if (line.includes('"mark 0.')) continue; // another monitor's
        const parts = /^\+\d{10}\.\d{6} \[(\d+) ([^\]]*)\] (.*)\r\n$/s.exec(line);
        const sender = [...names].find(([client]) => addressOf(client) === parts?.[2])?.[1];
        lines.push(parts === null ? line : `${parts[1]} ${sender ?? parts[2]}: ${parts[3]}`);
      }
    }

    it('shows each command once, after it has run, to all monitors', async () => {
      const monitors = [await connect(), await connect(), await connect()];
      for (const monitor of monitors) expect(await text(monitor, 'MONITOR')).toBe('+OK\r\n');
      const [one, two] = [await connect(), await connect()];
      const names = new Map([[one, 'one'], [two, 'two']]);
      for (const monitor of monitors) await linesOf(monitor, names);
      await one.send('SET', 'k', 'a b\r\n\t"\\\x01\xff');
      await two.send('GET', 'k');
      await one.send('SELECT', '3');
      await one.send('GET'); // refused: not shown
      await one.send('NOSUCH');
      await one.send('CONFIG', 'GET', 'port'); // administration
      await two.pipeline([['MULTI'], ['SET', 'k', '1'], ['INCR', 'k'], ['NOSUCH']]);
      await two.send('EXEC');
      await two.pipeline([['MULTI'], ['SET', 'k', '1'], ['CONFIG', 'GET', 'port'], ['SELECT', '1'], ['EXEC']]);
      await one.send('AUTH', 'secret');
      await one.send('HELLO', '2', 'AUTH', 'default', 'secret', 'SETNAME', 'x');
      await one.send('INFO', 'server');
      await one.send('RESET');
      const expected = [
        '0 one: "SET" "k" "a b\\r\\n\\t\\"\\\\\\x01\\xc3\\xbf"',
        '0 two: "GET" "k"',
        '3 one: "SELECT" "3"',
        '0 two: "MULTI"',
        '0 two: "EXEC"',
        '0 two: "MULTI"',
        '0 two: "SET" "k" "1"',
        '1 two: "SELECT" "1"',
        '1 two: "EXEC"',
        '3 one: "AUTH" "(redacted)"',
        '3 one: "HELLO" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "x"',
        '3 one: "INFO" "server"',
        '0 one: "RESET"',
      ];
      for (const monitor of monitors) expect(await linesOf(monitor, names)).toEqual(expected);
      expect(await flagsOf(monitors[0]!)).toBe('O');
    });

    it('leaves little else to do, until RESET', async () => {
      const monitor = await connect();
      expect(await text(monitor, 'MONITOR')).toBe('+OK\r\n');
      const replies = async (count: number, line: string): Promise<string[]> => {
        monitor.write(line);
        const got = await monitor.read(count);
        return got.map((reply) => reply.text.replace(/^\+\d+\.\d+ \[(\d) [^\]]*\]/, '$1'));
      };
      expect(await replies(1, 'GET k\r\n')).toEqual(["-ERR Replica can't interact with the keyspace\r\n"]);
      expect(await replies(1, 'PUBLISH c m\r\n')).toEqual(["-ERR Replica can't interact with the keyspace\r\n"]);
      expect(await replies(2, 'PING\r\n')).toEqual(['+PONG\r\n', '0 "PING"\r\n']);
      expect(await replies(2, 'INFO nosuch\r\n')).toEqual(['$0\r\n\r\n', '0 "INFO" "nosuch"\r\n']);
      expect(await replies(2, 'SELECT 2\r\n')).toEqual(['+OK\r\n', '2 "SELECT" "2"\r\n']);
      // A second MONITOR is not answered at all.
      expect(await replies(2, 'MONITOR\r\nPING\r\n')).toEqual(['+PONG\r\n', '2 "PING"\r\n']);
      expect(await replies(1, 'RESET\r\n')).toEqual(['+RESET\r\n']);
      await text(admin, 'PING');
      expect(await text(monitor, 'GET', 'k')).toBe('$-1\r\n');
    });

    it('is not ended by timeout, as subscribers and those who wait, nor held back by CLIENT PAUSE', async () => {
      const [monitor, subscriber, waiting] = [await connect(), await connect(), await connect()];
      await text(subscriber, 'SUBSCRIBE', 'c');
      expect(await isHeld(waiting, 'BLPOP', 'q', '0')).toBe(true);
      await text(monitor, 'MONITOR');
      const idle = await connect();
      expect((await monitor.read(1))[0]?.text).toContain('"PING"');
      await text(admin, 'CONFIG', 'SET', 'timeout', '1');
      await text(admin, 'CLIENT', 'PAUSE', '500', 'ALL');
      monitor.write('PING\r\n');
      expect((await monitor.read(1, 400))[0]?.text).toBe('+PONG\r\n');
      await waitFor('the idle client to go', async () => {
        await admin.send('PING');
        return idle.isEnded;
      });
      expect([monitor, subscriber, waiting].map((client) => client.isEnded)).toEqual([false, false, false]);
      monitor.write('QUIT\r\n');
      await monitor.ended;
    });
  });

  // ---- Limits ----

  it('counts what MULTI has queued for client-query-buffer-limit', async () => {
    if (name === 'redis') return; // newer than 7.0
    await text(admin, 'CONFIG', 'SET', 'client-query-buffer-limit', '1mb');
    const client = await connect();
    await text(client, 'MULTI');
    for (let index = 0; index < 50; index++) {
      expect(await text(client, 'SET', 'k', 'x'.repeat(20_000)), `${index}`).toBe('+QUEUED\r\n');
    }
    client.write(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$60000\r\n${'x'.repeat(60_000)}\r\n`);
    await client.ended;
    expect(await infoNumber('client_query_buffer_limit_disconnections')).toBe(1);
    await waitFor('its log line', () => server.log().includes('Closing client that reached max query buffer length'));
    // Executed, it counts no more.
    const patient = await connect();
    for (let round = 0; round < 3; round++) {
      await text(patient, 'MULTI');
      for (let index = 0; index < 40; index++) await text(patient, 'SET', 'k', 'x'.repeat(20_000));
      expect(await text(patient, 'EXEC')).toMatch(/^\*40/);
    }
  });

  describe('maxmemory-clients', () => {
    const claimed = `*2\r\n$3\r\nGET\r\n$${64 * MB}\r\n`;

    it('evicts clients with large query buffers, the largest first, and no others', async () => {
      const small = [];
      for (let index = 0; index < 10; index++) small.push(await connect());
      const middle = await connect();
      middle.write(`*2\r\n$3\r\nGET\r\n$${6 * MB}\r\n${'m'.repeat(MB)}`);
      await text(admin, 'CONFIG', 'SET', 'maxmemory-clients', '20mb');
      const large = await connect();
      large.write(claimed + 'q'.repeat(30 * MB));
      await large.ended;
      expect(await infoNumber('evicted_clients')).toBe(1);
      await waitFor('its log line', () => /Evicting client: id=\d+ addr=/.test(server.log()));
      expect(middle.isEnded).toBe(false);
      for (const client of small) expect(await text(client, 'PING')).toBe('+PONG\r\n');
    });

    it('evicts clients with large outputs', { timeout: 30_000 }, async () => {
      await text(admin, 'SET', 'big', 'v'.repeat(100_000));
      const small = [];
      for (let index = 0; index < 10; index++) small.push(await connect());
      await text(admin, 'CONFIG', 'SET', 'maxmemory-clients', '10mb');
      const slow = await connect();
      slow.pause();
      // 60 MB, of which the kernel's buffers take a part.
      for (let index = 0; index < 600; index++) slow.write('GET big\r\n');
      await waitFor('the slow reader to go', async () => (await infoNumber('evicted_clients')) === 1);
      for (const client of small) expect(await text(client, 'PING')).toBe('+PONG\r\n');
      expect(await infoNumber('connected_clients')).toBe(11);
    });

    it('evicts clients with large transactions', async () => {
      await text(admin, 'CONFIG', 'SET', 'maxmemory-clients', '10mb');
      const client = await connect();
      client.write('MULTI\r\n');
      for (let index = 0; index < 80 && !client.isEnded; index++) {
        client.write(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$200000\r\n${'x'.repeat(200_000)}\r\n`);
        await sleep(2);
      }
      await client.ended;
      expect(await infoNumber('evicted_clients')).toBe(1);
    });

    it('spares NO-EVICT clients as long as they want', async () => {
      const spared = await connect();
      await text(spared, 'CLIENT', 'NO-EVICT', 'ON');
      expect(await flagsOf(spared)).toBe('e');
      await text(admin, 'CONFIG', 'SET', 'maxmemory-clients', '1mb');
      spared.write(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${4 * MB}\r\n${'x'.repeat(2 * MB)}`);
      await sleep(300);
      expect(spared.isEnded).toBe(false);
      await waitFor('its log line', () => server.log().includes('Over client maxmemory after evicting all evictable clients'));
      spared.write(`${'x'.repeat(2 * MB)}\r\n`);
      expect((await spared.read(1))[0]?.text).toBe('+OK\r\n');
      await text(spared, 'CLIENT', 'NO-EVICT', 'OFF');
      spared.write(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${4 * MB}\r\n${'x'.repeat(2 * MB)}`);
      await spared.ended;
    });

    it('may be a percentage of maxmemory, and changes at run time', async () => {
      const client = await connect();
      expect(await text(admin, 'CONFIG', 'SET', 'maxmemory-clients', '5%')).toBe('+OK\r\n');
      expect(await text(admin, 'CONFIG', 'GET', 'maxmemory-clients')).toContain('5%');
      client.write(`*2\r\n$3\r\nGET\r\n$${8 * MB}\r\n${'q'.repeat(4 * MB)}`);
      await sleep(300);
      expect(client.isEnded).toBe(false); // of no maxmemory
      await text(admin, 'CONFIG', 'SET', 'maxmemory', '1000mb');
      await sleep(300);
      expect(client.isEnded).toBe(false);
      await text(admin, 'CONFIG', 'SET', 'maxmemory', '40mb');
      await client.ended;
      expect(await infoNumber('evicted_clients')).toBe(1);
    });
  });

  it('tells the largest buffers of the last seconds, and who watches', async () => {
    const client = await connect();
    client.write(`*2\r\n$3\r\nGET\r\n$${3 * MB}\r\n${'q'.repeat(2 * MB)}`);
    await waitFor('a large input', async () => (await infoNumber('client_recent_max_input_buffer')) > MB);
    const watcher = await connect();
    await watcher.send('WATCH', 'a', 'b', 'c', 'a');
    if (name === 'sherd') {
      // Fields of 7.4.
      expect(await infoNumber('watching_clients')).toBe(1);
      expect(await infoNumber('total_watched_keys')).toBe(3);
      await watcher.send('UNWATCH');
      expect(await infoNumber('watching_clients')).toBe(0);
      expect(await infoNumber('total_watched_keys')).toBe(0);
    }
    await watcher.send('WATCH', 'a');
    await admin.send('SET', 'a', '1');
    expect(await flagsOf(watcher)).toBe('d');
    await watcher.send('MULTI');
    expect(await flagsOf(watcher)).toBe('xd');
  });
});
