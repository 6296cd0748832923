/**
 * A lean pipelined client for the proofs: replies as plain JavaScript values, a batch at a time.
 *
 * test/support/resp-client.ts keeps every frame's bytes; the proofs read a hundred million values, so this one
 * decodes straight out of what the socket delivered and keeps nothing. RESP2 only: no proof needs pushes.
 *
 * Invariants:
 * 1. Replies answer commands in the order sent; a reply that nobody asked for throws.
 * 2. When the connection has ended, every batch under way is refused with ConnectionClosed, and so is every later one.
 * 3. A reply that stays away for PATIENCE_MS ends the connection with an error, unless the connection is one that blocks.
 *
 * Times: `receivedAt` is taken when the bytes are handed to us, never before they came; who sends notes the time
 * before writing. Between the two lies all that the server did, which is what the linearizability proof rests on.
 */
import { createConnection, type Socket } from 'node:net';

/** An error reply. It is a value: many proofs provoke errors. */
export class ReplyError {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A reply; bulk strings are Latin-1 text, or numbers where the connection was asked for them. */
export type Reply = string | number | null | ReplyError | Reply[];

/** A command's words, ASCII. */
export type Command = readonly (string | number)[];

/** The connection has ended while replies were due, or before. */
export class ConnectionClosed extends Error {
  constructor(why: string) {
    super(`connection closed: ${why}`);
    this.name = 'ConnectionClosed';
  }
}

/** How a connection behaves. */
export interface ConnectionOptions {
  /** Bulk strings of up to 15 digits (with a minus or not) become numbers, without a string in between. */
  readsNumbers?: boolean;
  /** Replies may stay away for ever. */
  blocks?: boolean;
}

/** Called for each reply of a batch as it comes. */
export type OnReply = (reply: Reply, index: number, receivedAt: number) => void;

interface Batch {
  wanted: number;
  replies: Reply[];
  onReply: OnReply | undefined;
  resolve: (replies: Reply[]) => void;
  reject: (error: Error) => void;
}

const PATIENCE_MS = 30_000;
const CR = 13;
const MINUS = 45;
const DIGITS_MAX = 15;

/** Encodes commands one after another. */
export function encode(commands: readonly Command[]): string {
  let text = '';
  for (const command of commands) {
    text += `*${command.length}\r\n`;
    for (const word of command) {
      const bytes = String(word);
      text += `$${bytes.length}\r\n${bytes}\r\n`;
    }
  }
  return text;
}

/** Cuts a stream of bytes into replies. `take` answers undefined while the next reply is not complete. */
export class ReplyReader {
  private readonly readsNumbers: boolean;
  private buffer: Buffer = Buffer.alloc(0);
  private at = 0;

  constructor(readsNumbers: boolean) {
    this.readsNumbers = readsNumbers;
  }

  append(chunk: Buffer): void {
    this.buffer = this.at === this.buffer.length ? chunk : Buffer.concat([this.buffer.subarray(this.at), chunk]);
    this.at = 0;
  }

  take(): Reply | undefined {
    const from = this.at;
    const reply = this.parse();
    if (reply === undefined) this.at = from;
    return reply;
  }

  private parse(): Reply | undefined {
    const buffer = this.buffer;
    const start = this.at + 1;
    const end = buffer.indexOf(CR, start);
    if (this.at >= buffer.length || end < 0 || end + 1 >= buffer.length) return undefined;
    const type = buffer[this.at];
    this.at = end + 2;
    switch (type) {
      case 0x24:
        return this.parseBulk(this.integer(start, end));
      case 0x3a:
        return this.integer(start, end);
      case 0x2b:
        return buffer.toString('latin1', start, end);
      case 0x2d:
        return new ReplyError(buffer.toString('latin1', start, end));
      case 0x2a:
        return this.parseArray(this.integer(start, end));
      default:
        throw new Error(`no RESP2 frame: ${JSON.stringify(buffer.toString('latin1', start - 1, start + 60))}`);
    }
  }

  private parseBulk(length: number): Reply | undefined {
    if (length < 0) return null;
    const from = this.at;
    const end = from + length;
    if (end + 2 > this.buffer.length) return undefined;
    this.at = end + 2;
    if (this.readsNumbers && length > 0 && length <= DIGITS_MAX && this.isInteger(from, end)) {
      return this.integer(from, end);
    }
    return this.buffer.toString('latin1', from, end);
  }

  private parseArray(length: number): Reply | undefined {
    if (length < 0) return null;
    const items: Reply[] = [];
    for (let index = 0; index < length; index++) {
      const item = this.parse();
      if (item === undefined) return undefined;
      items.push(item);
    }
    return items;
  }

  private isInteger(from: number, end: number): boolean {
    const first = this.buffer[from] === MINUS ? from + 1 : from;
    for (let at = first; at < end; at++) {
      const digit = (this.buffer[at] as number) - 48;
      if (digit < 0 || digit > 9) return false;
    }
    return first < end;
  }

  private integer(from: number, end: number): number {
    const isNegative = this.buffer[from] === MINUS;
    let value = 0;
    for (let at = isNegative ? from + 1 : from; at < end; at++) value = value * 10 + (this.buffer[at] as number) - 48;
    return isNegative ? -value : value;
  }
}

export class Connection {
  /** Settles when the connection has ended, whoever ended it. */
  readonly closed: Promise<string>;

  private readonly socket: Socket;
  private readonly reader: ReplyReader;
  private readonly batches: Batch[] = [];
  private closeReason: string | undefined;
  private resolveClosed: (reason: string) => void = () => undefined;

  private constructor(socket: Socket, options: ConnectionOptions) {
    this.socket = socket;
    this.reader = new ReplyReader(options.readsNumbers === true);
    this.closed = new Promise((resolve) => (this.resolveClosed = resolve));
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.onData(chunk));
    socket.on('error', (error) => this.finish(error.message));
    socket.on('close', () => this.finish('by the server'));
    if (options.blocks !== true) {
      socket.setTimeout(PATIENCE_MS, () => {
        if (this.batches.length > 0) this.fail(`no reply for ${PATIENCE_MS} ms`);
      });
    }
  }

  /** Connects to a loopback port. */
  static open(port: number, options: ConnectionOptions = {}): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(port, '127.0.0.1');
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Connection(socket, options));
      });
    });
  }

  get isClosed(): boolean {
    return this.closeReason !== undefined;
  }

  /** Whether replies are due. */
  get isWaiting(): boolean {
    return this.batches.length > 0;
  }

  /** Our address, as CLIENT LIST and CLIENT KILL ADDR write it. */
  get address(): string {
    return `${this.socket.localAddress ?? ''}:${this.socket.localPort ?? 0}`;
  }

  /** Sends all commands in one write; answers with as many replies. */
  batch(commands: readonly Command[], onReply?: OnReply): Promise<Reply[]> {
    if (this.closeReason !== undefined) return Promise.reject(new ConnectionClosed(this.closeReason));
    if (commands.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      this.batches.push({ wanted: commands.length, replies: [], onReply, resolve, reject });
      this.socket.write(encode(commands), 'latin1');
    });
  }

  /** Sends one command. */
  async call(...command: Command): Promise<Reply> {
    return (await this.batch([command]))[0] as Reply;
  }

  /** Sends one command and throws when the answer is an error. */
  async must(...command: Command): Promise<Reply> {
    const reply = await this.call(...command);
    if (reply instanceof ReplyError) throw new Error(`${command.slice(0, 3).join(' ')}: ${reply.text}`);
    return reply;
  }

  /** Hangs up at once; what has come but was not read is gone. */
  destroy(): void {
    this.socket.destroy();
    this.finish('by us');
  }

  private onData(chunk: Buffer): void {
    if (this.closeReason !== undefined) return;
    const receivedAt = performance.now();
    this.reader.append(chunk);
    try {
      for (let reply = this.reader.take(); reply !== undefined; reply = this.reader.take()) {
        this.accept(reply, receivedAt);
      }
    } catch (error) {
      this.fail(error instanceof Error ? error.message : String(error));
    }
  }

  private accept(reply: Reply, receivedAt: number): void {
    const batch = this.batches[0];
    if (batch === undefined) throw new Error(`a reply that nobody asked for: ${show(reply)}`);
    batch.replies.push(reply);
    batch.onReply?.(reply, batch.replies.length - 1, receivedAt);
    if (batch.replies.length < batch.wanted) return;
    this.batches.shift();
    batch.resolve(batch.replies);
  }

  private fail(reason: string): void {
    this.socket.destroy();
    this.finish(reason);
  }

  private finish(reason: string): void {
    if (this.closeReason !== undefined) return;
    this.closeReason = reason;
    this.resolveClosed(reason);
    for (const batch of this.batches.splice(0)) batch.reject(new ConnectionClosed(reason));
  }
}

/** A reply in a message. */
export function show(reply: Reply | undefined): string {
  if (reply instanceof ReplyError) return `(error) ${reply.text}`;
  if (Array.isArray(reply)) return `[${reply.map(show).join(', ')}]`;
  return JSON.stringify(reply) ?? 'nothing';
}

/** Opens several connections. */
export function openAll(port: number, count: number, options: ConnectionOptions = {}): Promise<Connection[]> {
  return Promise.all(Array.from({ length: count }, () => Connection.open(port, options)));
}
