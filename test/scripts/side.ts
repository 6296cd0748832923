/**
 * One of the two servers during a script: its connections, and a control connection that asks about them.
 *
 * The oracle is single-threaded, and that makes it easy to know when it is quiet: once the control connection has been
 * answered twice after a step's bytes, the step has been executed, whoever it woke has been served, and all frames lie
 * in the sockets. CLIENT LIST, which is what the control connection asks, tells at the same time who is blocked, in a
 * transaction or gone. So the oracle leads (`lead`): what it did says what to wait for. The subject follows (`follow`):
 * it must bring as many frames to each connection and come to the same states within a bounded time. Then a fence (PING
 * with a token) on every connection that answered one on the oracle makes sure that nothing more was under way; of those
 * that answer nothing at all, CLIENT LIST tells whether they have executed it.
 *
 * A connection in a transaction would queue the fence, a blocked one hold it back: neither gets one. What the subject
 * sends too much there shows in a later step. A MONITOR sees the fences; Wire drops those lines.
 */
import type { RunningServer } from '../support/oracle.js';
import { ConnectionEnded, encodeCommand, RespClient, type Reply } from '../support/resp-client.js';
import { fillIn, type Places, type Script, type State, type Step } from './script.js';
import { Wire } from './wire.js';



/** What the oracle did in a step. */
export interface Lead {
  states: State[];
  /** Frames that each connection had got before the fences. */
  counts: number[];
  /** Connections that were sent a fence, and those of them that answered it. */
  fenced: number[];
  answered: number[];
  /** When the step's connection got its first frame, counted from the step's begin. */
  firstFrameMs: number;
}

const ORACLE_PATIENCE_MS = 10_000;
const POLL_MS = 3;
const QUIET_ROUNDS = 2;
const SOCKET_READ_BYTES = 16 * 1024;

/** Options that scripts change, with what they are put back to. */
const INITIAL_OPTIONS: Record<string, string> = {
  'notify-keyspace-events': '',
  'tracking-table-max-keys': '1000000',
  'stream-node-max-entries': '100',
  'stream-node-max-bytes': '4096',
};

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Row {
  flags: string;
  isInMulti: boolean;
  /** The command that it executed last. */
  command: string;
}

export class Side {
  wires: Wire[] = [];
  /** Every client id that belongs to a connection of the script, now or before, and the connection. */
  readonly connectionOfId = new Map<string, number>();
  readonly connectionOfAddr = new Map<string, number>();
  private ids: string[] = [];
  private addrs: string[] = [];
  private laddrs: string[] = [];
  private idle: Wire[] = [];
  private controlClient: RespClient | undefined;
  private server: RunningServer | undefined;
  private isAlive = false;
  private readonly start: () => Promise<RunningServer>;

  constructor(start: () => Promise<RunningServer>) {
    this.start = start;
  }

  async stop(): Promise<void> {
    for (const wire of [...this.wires, ...this.idle]) wire.close();
    this.controlClient?.close();
    await this.server?.stop();
  }

  /** What the server wrote last, when its process has gone. */
  async epitaph(): Promise<string> {
    await sleep(300);
    return this.isAlive ? '' : ` (process gone; log: …${this.server?.log().slice(-3_000) ?? ''})`;
  }

  /** The control connection; a new one when CLIENT KILL has hit it. */
  async control(): Promise<RespClient> {
    if (this.controlClient === undefined || this.controlClient.isEnded) {
      this.controlClient = await RespClient.connect({ port: this.port });
    }
    return this.controlClient;
  }

  /** Asks on a new control connection from now on: on the old one a late answer may still come, and answer something else. */
  renewControl(): void {
    this.controlClient?.close();
    this.controlClient = undefined;
  }

  private get port(): number {
    if (this.server === undefined) throw new Error('the server has not been started');
    return this.server.port;
  }

  /** Starts the process when there is none; only between scripts, so that a crash is not overlooked. */
  private async revive(): Promise<void> {
    if (this.isAlive) return;
    this.controlClient?.close();
    const server = await this.start();
    this.server = server;
    this.isAlive = true;
    void server.exited.then(() => {
      if (this.server === server) this.isAlive = false;
    });
  }

  // ---- Preparation ----

  /** Fresh data, first settings, new connections. */
  async prepare(script: Script): Promise<void> {
    for (const wire of [...this.wires.splice(0), ...this.idle.splice(0)]) wire.close();
    for (const map of [this.connectionOfId, this.connectionOfAddr]) map.clear();
    [this.ids, this.addrs, this.laddrs] = [[], [], []];
    await this.revive();
    const control = await this.control();
    const options = Object.entries({ ...INITIAL_OPTIONS, ...script.options });
    await control.pipeline([['RESET'], ['CLIENT', 'UNPAUSE']]);
    // What the last script's connections still have to execute comes before the data go.
    const deadline = Date.now() + ORACLE_PATIENCE_MS;
    while ((await this.rows()).size > 1 && Date.now() < deadline) await sleep(POLL_MS);
    await control.pipeline([
      ['FLUSHALL'],
      // Keys expire when they are looked at, and at no moment that depends on a timer.
      ['DEBUG', 'SET-ACTIVE-EXPIRE', '0'],
      ...options.map(([name, value]) => ['CONFIG', 'SET', name, value]),
    ]);
    for (const [connection, version] of script.resp.entries()) {
      if (connection === 1 && script.spacer === true) this.idle.push(await Wire.connect(this.port));
      await this.open(connection, version);
    }
  }

  private async open(connection: number, version: 2 | 3): Promise<void> {
    const wire = await Wire.connect(this.port);
    this.wires[connection] = wire;
    const lines = version === 3 ? [['CLIENT', 'INFO'], ['HELLO', '3']] : [['CLIENT', 'INFO']];
    wire.write(Buffer.concat(lines.map(encodeCommand)));
    await wire.until(() => wire.frames.length >= lines.length, ORACLE_PATIENCE_MS);
    const info = wire.frames.splice(0)[0]?.toString('latin1') ?? '';
    const field = (name: string): string => new RegExp(`(?:^|[ \\n])${name}=(\\S*)`).exec(info)?.[1] ?? '';
    this.ids[connection] = field('id');
    this.addrs[connection] = field('addr');
    this.laddrs[connection] = field('laddr');
    this.connectionOfId.set(field('id'), connection);
    this.connectionOfAddr.set(field('addr'), connection);
  }

  // ---- Steps ----

  async perform(script: Script, step: Step): Promise<void> {
    const { connection } = step;
    const wire = this.wires[connection] as Wire;
    if (step.act === 'close') wire.close();
    else if (step.act === 'open') await this.open(connection, script.resp[connection] ?? 2);
    else wire.write(Buffer.concat(step.lines.map((line) => encodeCommand(fillIn(line, this.places)))));
  }

  private readonly places: Places = {
    id: (connection) => this.ids[connection] ?? '0',
    addr: (connection) => this.addrs[connection] ?? '',
    laddr: (connection) => this.laddrs[connection] ?? '',
  };

  private async rows(): Promise<Map<string, Row>> {
    const ask = async (): Promise<Reply> => (await this.control()).send('CLIENT', 'LIST');
    // The script may have killed the control connection.
    const reply = await ask().catch((error: unknown) => {
      if (error instanceof ConnectionEnded) return ask();
      throw error;
    });
    const rows = new Map<string, Row>();
    for (const match of reply.text.matchAll(/(?:^|\n|:)id=(\d+) [^\n]* flags=(\w+) [^\n]* multi=(-?\d+) [^\n]* cmd=(\S+)/g)) {
      const [, id, flags, multi, command] = match as unknown as [string, string, string, string, string];
      rows.set(id, { flags, isInMulti: Number(multi) >= 0, command });
    }
    return rows;
  }

  private async look(): Promise<State[]> {
    const rows = await this.rows();
    return this.wires.map((_, connection): State => {
      const row = rows.get(this.ids[connection] as string);
      if (row === undefined) return 'closed';
      if (row.flags.includes('b')) return 'blocked';
      return row.isInMulti ? 'multi' : 'free';
    });
  }

  /** How many keys the server has found expired so far. The token is for MONITOR, see Wire. */
  async expiredCount(token: string): Promise<number> {
    const reply = await (await this.control()).send('INFO', 'stats', token);
    return Number(/\bexpired_keys:(\d+)/.exec(reply.text)?.[1]);
  }

  /** Asks twice, as the header says, then lets node read what lies in the sockets. */
  private async quiet(bytes = 0): Promise<State[]> {
    const rounds = QUIET_ROUNDS + Math.ceil(bytes / SOCKET_READ_BYTES);
    let seen = await this.look();
    for (let round = 1; round < rounds; round++) seen = await this.look();
    await turn();
    await turn();
    return seen;
  }

  /** The oracle's part of a step: waits until it is quiet and tells what it did. */
  async lead(step: Step, token: string, beganAtMs: number): Promise<Lead> {
    const bytes = step.lines.reduce((sum, line) => line.reduce((part, word) => part + word.length + 16, sum), 0);
    const { connection } = step;
    const deadline = Date.now() + ORACLE_PATIENCE_MS;
    let seen = await this.quiet(bytes);
    const isDue = (): boolean =>
      (step.untilFree === true && seen[connection] === 'blocked') ||
      (step.act === 'close' && seen[connection] !== 'closed');
    while (isDue() && Date.now() < deadline) {
      await sleep(POLL_MS);
      seen = await this.quiet();
    }
    const states = seen;
    for (const [at, wire] of this.wires.entries()) {
      if (states[at] === 'closed') await wire.until(() => wire.isEnded, ORACLE_PATIENCE_MS);
    }
    const counts = this.wires.map((wire) => wire.frames.length);
    const sender = this.wires[connection] as Wire;
    const firstFrameMs = sender.frames.length === 0 ? 0 : sender.firstFrameAtMs - beganAtMs;
    const fenced = [...states.keys()].filter((at) => states[at] === 'free');
    const answered: number[] = [];
    for (const at of fenced) this.writeFence(at, token);
    await this.quiet();
    for (const at of fenced) if (this.hasFence(at, token)) answered.push(at);
    return { states, counts, fenced, answered, firstFrameMs };
  }

  /**
   * The subject's part: waits for what the oracle did, then for its fences. Gives its states at the end; what it did
   * not do in time shows there or in the frames. With `isEager` the fences go out once the sender has been answered: a
   * push to another connection that is still under way then stands behind the fence, and differs.
   */
  async follow(step: Step, lead: Lead, token: string, patienceMs: number, isEager: boolean): Promise<State[]> {
    const deadline = performance.now() + patienceMs;
    const left = (): number => Math.max(1, deadline - performance.now());
    for (const [at, wire] of this.wires.entries()) {
      if (isEager && at !== step.connection && lead.states[at] === 'free') continue;
      const isClosed = lead.states[at] === 'closed';
      const due = lead.counts[at] as number;
      await wire.until(() => (isClosed ? wire.isEnded : wire.frames.length >= due || wire.isEnded), left());
    }
    let states = await this.look();
    while (states.join() !== lead.states.join() && left() > 1) {
      await sleep(POLL_MS);
      states = await this.look();
    }
    for (const at of lead.fenced) this.writeFence(at, token);
    for (const at of lead.answered) await this.awaitFence(at, token, left());
    const silent = lead.fenced.filter((at) => !lead.answered.includes(at));
    while (silent.length > 0 && left() > 1 && !(await this.haveDoneFence(silent))) await sleep(POLL_MS);
    return states;
  }

  /** Whether these connections, which are sent no replies (CLIENT REPLY), have come as far as their fence, or are gone. */
  private async haveDoneFence(connections: readonly number[]): Promise<boolean> {
    const rows = await this.rows();
    return connections.every((at) => (rows.get(this.ids[at] as string)?.command ?? 'ping') === 'ping');
  }

  private awaitFence(at: number, token: string, timeoutMs: number): Promise<boolean> {
    const wire = this.wires[at] as Wire;
    return wire.until(() => this.hasFence(at, token) || wire.isEnded, timeoutMs);
  }

  private writeFence(at: number, token: string): void {
    this.wires[at]?.write(encodeCommand(['PING', token]));
  }

  private hasFence(at: number, token: string): boolean {
    return this.wires[at]?.frames.some((frame) => isFence(frame, token)) ?? false;
  }

  /** Everything that has come since the last call, by connection. */
  takeFrames(): Buffer[][] {
    return this.wires.map((wire) => wire.frames.splice(0));
  }
}

/** Whether a frame answers a fence: PING's reply, also that of a RESP2 connection that is subscribed. */
export function isFence(frame: Buffer, token: string): boolean {
  const text = frame.toString('latin1');
  return text === `$${token.length}\r\n${token}\r\n` || text === `*2\r\n$4\r\npong\r\n$${token.length}\r\n${token}\r\n`;
}
