/**
 * redis-cli in all the forms that people and scripts use it in, against redis-server (does the expectation hold?) and
 * against us.
 */
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startRedis, startSherd, type RunningServer } from '../support/oracle.js';
import { oracleProgram } from '../support/project.js';
import { encodeCommand } from '../support/resp-client.js';

interface CliResult {
  code: number | null;
  out: string;
  err: string;
}

const CLI_TIMEOUT_MS = 20_000;

/** Runs a program of the oracle's package to its end. */
function run(program: string, args: string[], input?: Buffer | string, timeoutMs = CLI_TIMEOUT_MS): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const command = oracleProgram(program);
    const child = spawn(command.file, args, { env: command.env, stdio: ['pipe', 'pipe', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString('latin1')));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString('latin1')));
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, out, err });
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input ?? '');
  });
}

describe.each([
  ['redis', startRedis],
  ['sherd', startSherd],
] as const)('redis-cli with %s', (_, start) => {
  let server: RunningServer;

  beforeAll(async () => {
    server = await start();
  });

  afterAll(async () => {
    await server?.stop();
  });

  const cli = (args: string[], input?: Buffer | string): Promise<CliResult> =>
    run('redis-cli', ['-p', String(server.port), ...args], input);

  beforeEach(async () => {
    await cli(['FLUSHALL']);
  });

  it('one command', async () => {
    expect(await cli(['SET', 'k', 'a b"c'])).toEqual({ code: 0, out: 'OK\n', err: '' });
    expect((await cli(['GET', 'k'])).out).toBe('a b"c\n');
    expect((await cli(['--no-raw', 'GET', 'k'])).out).toBe('"a b\\"c"\n');
    expect((await cli(['--no-raw', 'MGET', 'k', 'nokey'])).out).toBe('1) "a b\\"c"\n2) (nil)\n');
    expect((await cli(['--csv', 'MGET', 'k', 'nokey'])).out).toBe('"a b\\"c",NULL\n');
    expect((await cli(['--json', 'MGET', 'k', 'nokey'])).out).toContain('["a b\\"c",null]');
    expect((await cli(['-e', 'INCR', 'k'])).code).toBe(1);
    expect((await cli(['INCR', 'k'])).out).toBe('ERR value is not an integer or out of range\n\n');
  });

  it('a value from standard input (-x), repeats (-r) and another database (-n)', async () => {
    expect((await cli(['-x', 'SET', 'bin'], Buffer.from([0, 1, 255, 13, 10]))).out).toBe('OK\n');
    expect((await cli(['STRLEN', 'bin'])).out).toBe('5\n');
    expect((await cli(['-r', '3', 'INCR', 'n'])).out).toBe('1\n2\n3\n');
    expect((await cli(['-n', '5', 'SET', 'k', 'five'])).out).toBe('OK\n');
    expect((await cli(['EXISTS', 'k'])).out).toBe('0\n');
    expect((await cli(['-n', '5', '-2', 'GET', 'k'])).out).toBe('five\n');
  });

  it('RESP3 (-3)', async () => {
    expect((await cli(['-3', '--no-raw', 'GET', 'nokey'])).out).toBe('(nil)\n');
    expect((await cli(['-3', '--no-raw', 'CONFIG', 'GET', 'maxclients'])).out).toBe('1# "maxclients" => "10000"\n');
    expect((await cli(['-3', '--no-raw', 'DEBUG', 'PROTOCOL', 'double'])).out).toBe('(double) 3.141\n');
    expect((await cli(['-3', 'HELLO'])).out).toContain('proto');
  });

  it('commands from standard input', async () => {
    const script = 'SET a 1\nINCR a\n\nGET a\nNOSUCH x y\nSELECT 3\nDBSIZE\nSET "q\\x00q" "\\xff"\nSTRLEN "q\\x00q"\n';
    const result = await cli([], script);
    expect(result.out).toBe(
      "OK\n2\n2\nERR unknown command 'NOSUCH', with args beginning with: 'x' 'y' \n\nOK\n0\nOK\n1\n",
    );
  });

  it('mass insertion (--pipe)', async () => {
    const count = 20_000;
    const protocol = Buffer.concat(
      Array.from({ length: count }, (_unused, index) => encodeCommand(['SET', `key:${index}`, `v${index}`])),
    );
    const result = await cli(['--pipe'], protocol);
    expect(result.out).toContain(`errors: 0, replies: ${count}`);
    expect((await cli(['DBSIZE'])).out).toBe(`${count}\n`);
    const wrong = await cli(
      ['--pipe'],
      Buffer.concat([encodeCommand(['INCR', 'key:1']), encodeCommand(['SET', 'x', 'y'])]),
    );
    expect(wrong.out).toContain('errors: 1, replies: 2');
  });

  it('--scan with and without --pattern, --bigkeys, --memkeys', async () => {
    const lines = Array.from({ length: 500 }, (_unused, index) => `SET user:${index} ${'x'.repeat(index + 1)}\n`).join(
      '',
    );
    await cli([], lines + 'SET other 1\n');
    const all = (await cli(['--scan'])).out.trim().split('\n');
    expect(new Set(all).size).toBe(501);
    const some = (await cli(['--scan', '--pattern', 'user:1*'])).out.trim().split('\n').sort();
    expect(new Set(some).size).toBe(111);
    const big = (await cli(['--bigkeys'])).out;
    expect(big).toContain('Sampled 501 keys in the keyspace!');
    expect(big).toMatch(/Biggest string found '"?user:499"?' has 500 bytes/);
    expect((await cli(['--memkeys'])).out).toContain('Sampled 501 keys in the keyspace!');
  });

  it('--latency, --stat and --raw', async () => {
    const latency = await cli(['--latency', '--raw', '-i', '1']);
    expect(latency.out.trim()).toMatch(/^\d+ \d+ [\d.]+ \d+$/);
    // It has no end of its own, and writes to a pipe by whole blocks: many short lines fill the first one soon.
    const stat = await run('redis-cli', ['-p', String(server.port), '--stat', '-i', '0.005'], undefined, 2_000);
    expect(stat.out).toContain('keys       mem');
    expect(stat.out.trim().split('\n').length).toBeGreaterThanOrEqual(4);
    await cli(['SET', 'raw', 'a\nb']);
    expect((await cli(['--raw', 'GET', 'raw'])).out).toBe('a\nb\n');
  });

  it('INFO and CLIENT LIST', async () => {
    const info = (await cli(['INFO'])).out;
    for (const field of [
      'redis_version:',
      'process_id:',
      'tcp_port:',
      'connected_clients:',
      'used_memory:',
      'total_commands_processed:',
      'used_cpu_sys:',
      'role:master',
    ]) {
      expect(info).toContain(field);
    }
    expect(info).toContain(`process_id:${server.pid}\r\n`);
    expect(info).toContain(`tcp_port:${server.port}\r\n`);
    const list = (await cli(['CLIENT', 'LIST'])).out;
    expect(list).toMatch(
      /^id=\d+ addr=127\.0\.0\.1:\d+ laddr=127\.0\.0\.1:\d+ fd=\d+ name= age=\d+ idle=\d+ flags=N db=0 /,
    );
    expect(list).toMatch(/ cmd=client\|list user=default /);
  });

  it('a password (-a, --user, REDISCLI_AUTH, redis:// URL)', async () => {
    const guarded = await start(['--requirepass', 'se:cret']);
    try {
      const at = ['-p', String(guarded.port)];
      expect((await run('redis-cli', [...at, 'GET', 'a'])).out).toBe('NOAUTH Authentication required.\n\n');
      expect((await run('redis-cli', [...at, '--no-auth-warning', '-a', 'se:cret', 'PING'])).out).toBe('PONG\n');
      expect((await run('redis-cli', [...at, '--user', 'default', '--pass', 'se:cret', 'PING'])).out).toBe('PONG\n');
      expect(
        (await run('redis-cli', ['-u', `redis://se%3Acret@127.0.0.1:${guarded.port}/3`, 'SET', 'a', 'b'])).out,
      ).toBe('OK\n');
      expect(
        (await run('redis-cli', ['-u', `redis://default:se%3Acret@127.0.0.1:${guarded.port}/3`, 'GET', 'a'])).out,
      ).toBe('b\n');
      const wrong = await run('redis-cli', [...at, '-a', 'wrong', 'PING']);
      expect(wrong.err).toContain('WRONGPASS');
    } finally {
      await guarded.stop();
    }
  });

  it('redis-benchmark runs through', { timeout: 60_000 }, async () => {
    const args = ['-p', String(server.port), '-t', 'ping,set,get,incr,mset', '-q', '-n', '20000'];
    // Fewer requests may be over within the millisecond that redis-benchmark counts in: "inf requests per second".
    for (const more of [
      ['-P', '16'],
      ['-P', '1', '-c', '10'],
      ['-P', '4', '-r', '1000', '-d', '512'],
      ['-P', '4', '--threads', '2'],
      ['-P', '2', '-3'],
    ]) {
      const result = await run('redis-benchmark', [...args, ...more], undefined, 50_000);
      expect(result.code, result.err).toBe(0);
      for (const test of ['PING_INLINE', 'PING_MBULK', 'SET', 'GET', 'INCR', 'MSET (10 keys)']) {
        expect(result.out).toMatch(new RegExp(`${test.replace(/[()]/g, '\\$&')}: [\\d.]+ requests per second`));
      }
      expect(result.err).not.toMatch(/error/i);
    }
    const csv = await run('redis-benchmark', ['-p', String(server.port), '-n', '500', '--csv', 'LCS', 'a', 'b']);
    expect(csv.out).toContain('"LCS a b"');
  });
});
