/**
 * Tests of the test support itself: a server starts on a port of its own, answers, and is gone after stop;
 * a start that cannot work fails soon and says why.
 */
import { createConnection } from 'node:net';
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { freePort, startRedis, type RunningServer } from './oracle.js';

/** Sends one inline command and gives back what comes in answer, up to the first line's end. */
function ask(server: RunningServer, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(server.port, '127.0.0.1', () => socket.write(`${line}\r\n`));
    let reply = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      reply += chunk;
      if (reply.includes('\r\n')) {
        socket.destroy();
        resolve(reply);
      }
    });
    socket.once('error', reject);
  });
}

describe('startRedis', () => {
  it('starts two servers side by side, which answer, and takes them away again', async () => {
    const [one, two] = await Promise.all([startRedis(), startRedis(['--requirepass', 'secret'])]);
    expect(one.port).not.toBe(two.port);
    expect(await ask(one, 'PING')).toBe('+PONG\r\n');
    expect(await ask(two, 'PING')).toBe('-NOAUTH Authentication required.\r\n');
    expect(one.log()).toContain('Ready to accept connections');
    expect(existsSync(one.dir)).toBe(true);
    const exits = await Promise.all([one.stop(), two.stop()]);
    expect(exits).toEqual([
      { code: 0, signal: null },
      { code: 0, signal: null },
    ]);
    expect(existsSync(one.dir)).toBe(false);
    await expect(ask(one, 'PING')).rejects.toThrow('ECONNREFUSED');
    expect(await one.stop()).toEqual({ code: 0, signal: null });
  });

  it('fails with the log of a server that refuses its configuration', async () => {
    await expect(startRedis(['--maxmemory-policy', 'nonsense'])).rejects.toThrow(/ended: .*"code":1.*maxmemory-policy/s);
  });

  it('does not move to another port when one was asked for', async () => {
    const holder = await startRedis();
    await expect(startRedis([], { port: holder.port })).rejects.toThrow('Address already in use');
    await holder.stop();
  });
});

describe('freePort', () => {
  it('gives ports above the reserved range', async () => {
    expect(await freePort()).toBeGreaterThan(1023);
  });
});
