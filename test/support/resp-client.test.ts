/**
 * Tests of the raw client, against a scripted socket (no server): every frame type of RESP2 and RESP3, frames cut
 * at every byte, pushes between replies, hang-ups, broken framing.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import {
  ConnectionEnded,
  encodeCommand,
  FrameError,
  parseFrame,
  ReplyTimeout,
  RespClient,
  show,
  toPlain,
} from './resp-client.js';
import { frameEnd } from './resp-frames.js';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

/** One frame of each type, nested ones included, with what `toPlain` makes of it. */
const FRAMES: [string, unknown][] = [
  ['+OK\r\n', 'OK'],
  ['+\r\n', ''],
  ['-ERR no\r\n', new Error('ERR no')],
  [':0\r\n', 0],
  [':-9223372036854775808\r\n', -9223372036854775808n],
  ['$0\r\n\r\n', ''],
  ['$4\r\n\r\n\xff\x00\r\n', '\r\n\xff\x00'],
  ['$-1\r\n', null],
  ['*-1\r\n', null],
  ['_\r\n', null],
  ['*0\r\n', []],
  ['*2\r\n:1\r\n*1\r\n$1\r\na\r\n', [1, ['a']]],
  [',3.5\r\n', 3.5],
  [',-inf\r\n', -Infinity],
  ['#t\r\n', true],
  ['#f\r\n', false],
  ['(1234567999999999999999999999999999999\r\n', '1234567999999999999999999999999999999'],
  ['!5\r\nERR x\r\n', new Error('ERR x')],
  ['=8\r\ntxt:Some\r\n', 'Some'],
  ['~2\r\n:1\r\n:2\r\n', [1, 2]],
  ['%1\r\n+k\r\n~1\r\n_\r\n', new Map([['k', [null]]])],
  ['%0\r\n', new Map()],
  ['|1\r\n+ttl\r\n:3\r\n*1\r\n+v\r\n', ['v']],
];

describe('frames', () => {
  it.each(FRAMES)('%j is read whole, and only whole', (text, plain) => {
    const bytes = latin1(text);
    expect(frameEnd(bytes, 0)).toBe(bytes.length);
    expect(toPlain(parseFrame(bytes))).toEqual(plain);
    for (let size = 0; size < bytes.length; size++) expect(frameEnd(bytes.subarray(0, size), 0)).toBe(-1);
    expect(frameEnd(Buffer.concat([bytes, latin1('+more\r\n')]), 0)).toBe(bytes.length);
  });

  it.each(['?\r\n', 'x', '$3\r\nabcd\r\n', '$x\r\n', '*-2\r\n', '+a\nb\r\n', '+a\rb\r\n', '$\r\n', '%-1x\r\n'])(
    '%j is refused',
    (text) => {
      expect(() => frameEnd(latin1(text), 0)).toThrow(FrameError);
    },
  );

  it('shows bytes readably', () => {
    expect(show(latin1('a"\\\r\n\x00\xff'))).toBe('a\\"\\\\\\r\\n\\x00\\xff');
    expect(show(Buffer.alloc(1000, 'x'), 10)).toBe('xxxxx…(1000 bytes)…xxxxx');
  });

  it('encodes binary arguments with their byte lengths', () => {
    expect(encodeCommand(['SET', latin1('\xff\r\n'), 5, -7n, 'é']).toString('latin1')).toBe(
      '*5\r\n$3\r\nSET\r\n$3\r\n\xff\r\n\r\n$1\r\n5\r\n$2\r\n-7\r\n$2\r\n\xc3\xa9\r\n',
    );
  });
});

describe('RespClient', () => {
  let server: Server | undefined;

  afterEach(async () => {
    await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
    server = undefined;
  });

  /** A server that runs `script` on each connection. */
  function serve(script: (socket: Socket) => void): Promise<RespClient> {
    return new Promise((resolve, reject) => {
      server = createServer((socket) => {
        socket.on('error', () => undefined);
        script(socket);
      });
      server.listen(0, '127.0.0.1', () => {
        const address = server?.address();
        if (typeof address !== 'object' || address === null) return reject(new Error('no address'));
        RespClient.connect({ port: address.port }).then(resolve, reject);
      });
    });
  }

  it('puts frames together again that come byte by byte', async () => {
    const all = FRAMES.map(([text]) => text).join('');
    const client = await serve((socket) => {
      socket.setNoDelay(true);
      for (const byte of latin1(all)) socket.write(Buffer.from([byte]));
    });
    const replies = await client.read(FRAMES.length);
    expect(replies.map((reply) => reply.text)).toEqual(FRAMES.map(([text]) => text));
    client.close();
  });

  it('keeps pushes apart from replies, in order', async () => {
    const client = await serve((socket) =>
      socket.write('+a\r\n>2\r\n+invalidate\r\n*1\r\n+k\r\n+b\r\n>1\r\n+x\r\n+c\r\n'),
    );
    const replies = await client.read(3);
    expect(replies.map((reply) => reply.text)).toEqual(['+a\r\n', '+b\r\n', '+c\r\n']);
    expect(client.pushes.map((push) => toPlain(push.value))).toEqual([['invalidate', ['k']], ['x']]);
    client.close();
  });

  it('refuses waiting and later readers when the server hangs up, and hands out what came before', async () => {
    const client = await serve((socket) => socket.end('+a\r\n+b\r\n$5\r\nab'));
    const first = client.read(1);
    const second = client.read(2);
    expect((await first)[0]?.text).toBe('+a\r\n');
    await expect(second).rejects.toThrow(ConnectionEnded);
    await expect(client.read(2)).rejects.toThrow('1 of 2 replies had come');
    expect(client.isEnded).toBe(true);
    expect((await client.readToEnd()).toString()).toBe('+b\r\n$5\r\nab');
  });

  it('ends the connection on bytes that are no frame', async () => {
    const client = await serve((socket) => socket.write('+a\r\nHTTP/1.1 200\r\n'));
    await expect(client.read(2)).rejects.toThrow('unknown frame type');
  });

  it('says what it waited for when nothing comes', async () => {
    const client = await serve((socket) => socket.write('+a\r\n'));
    await expect(client.read(2, 50)).rejects.toThrow(ReplyTimeout);
    expect((await client.read(1))[0]?.text).toBe('+a\r\n');
    await expect(client.readToEnd(20)).rejects.toThrow('not closed after 20 ms');
    client.close();
  });

  it('reads a reply of many megabytes and pipelines', async () => {
    const big = Buffer.alloc(20 * 1024 * 1024, 'z');
    const client = await serve((socket) => {
      let seen = 0;
      socket.on('data', (chunk) => {
        seen += chunk.length;
        if (seen === encodeCommand(['GET', 'a']).length * 2) {
          socket.write(Buffer.concat([latin1(`$${big.length}\r\n`), big, latin1('\r\n:2\r\n')]));
        }
      });
    });
    const [first, second] = await client.pipeline([
      ['GET', 'a'],
      ['GET', 'b'],
    ]);
    const value = first?.value;
    expect(value?.kind === 'bulk' && value.bytes.equals(big)).toBe(true);
    expect(second?.text).toBe(':2\r\n');
    client.close();
  });
});
