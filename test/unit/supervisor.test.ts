/**
 * The supervisor with a fake engine and fake workers: control commands, INFO, CLIENT over several workers, CONFIG SET
 * that reaches the engine, shutdown, and death of a worker.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { ConfigStore } from '../../src/config/config-store.js';
import type { EngineOptions, NativeAddon } from '../../src/native/addon.js';
import { Logger } from '../../src/observability/logger.js';
import type { FromWorker, ToWorker } from '../../src/runtime/messages.js';
import { Supervisor } from '../../src/runtime/supervisor.js';
import type { WorkerLike } from '../../src/runtime/worker-pool.js';
import { FakePersistence, MemoryFiles, surfaceOf } from '../support/fake-persistence.js';
import { projectRoot } from '../support/project.js';

const fakeAddon = createRequire(import.meta.url)(
  join(projectRoot, 'test', 'fixtures', 'fake-addon.cjs'),
) as NativeAddon;

/** Answers as a worker does; holds one client whose id is its index plus 10. */
class FakeWorker implements WorkerLike {
  readonly replies: string[] = [];
  /** What came after `stop`, which a worker cannot serve any more. */
  readonly late: ToWorker[] = [];
  private isStopped = false;
  private listeners = new Map<string, (value: never) => void>();
  onReply: () => void = () => undefined;

  constructor(private readonly index: number) {}

  on(event: string, listener: (value: never) => void): void {
    this.listeners.set(event, listener);
    if (event === 'message') queueMicrotask(() => this.emit('message', { kind: 'ready' }));
  }

  emit(event: string, value: unknown): void {
    this.listeners.get(event)?.(value as never);
  }

  postMessage(message: ToWorker): void {
    if (this.isStopped) {
      this.late.push(message);
      return;
    }
    this.isStopped = message.kind === 'stop';
    const answer = (value: FromWorker): void => queueMicrotask(() => this.emit('message', value));
    if (message.kind === 'listClients') {
      // Highest id first, so that the order of the result is not by chance.
      answer({ kind: 'clients', id: message.id, text: `id=${20 - this.index} addr=1.1.1.1:1\n` });
    } else if (message.kind === 'killClients') answer({ kind: 'killed', id: message.id, count: 1 });
    else if (message.kind === 'stop') answer({ kind: 'stopped', id: message.id });
    else if (message.kind === 'controlReply') {
      this.replies.push(Buffer.from(message.bytes).toString('latin1'));
      this.onReply();
    }
  }
}

let workers: FakeWorker[];
let log: string[];
let exits: number[];
let options: [string, unknown][];
let listens: number[];

class ListLogger extends Logger {
  override log(_level: string, text: string): void {
    log.push(text);
  }
  override signal(text: string): void {
    log.push(text);
  }
}

async function start(settings: Record<string, string> = {}): Promise<Supervisor> {
  const { supervisor } = create(settings);
  expect(await supervisor.start()).toBe(true);
  return supervisor;
}

function create(
  settings: Record<string, string>,
  native = new FakePersistence(new MemoryFiles()),
): { supervisor: Supervisor; created: EngineOptions[] } {
  const config = new ConfigStore('/');
  config.overwrite('worker-threads', '2');
  config.overwrite('set-proc-title', 'no');
  for (const [name, value] of Object.entries(settings)) config.overwrite(name, value);
  const created: EngineOptions[] = [];
  const addon: NativeAddon = {
    ...fakeAddon,
    ...surfaceOf(native),
    createEngine: (engineOptions) => created.push(engineOptions),
    setOption: (_engine, name, value) => void options.push([name, value]),
    listen: (_engine, address) => {
      if (address.kind !== 'tcp') throw Object.assign(new Error('no'), { code: 'ENOENT' });
      if (address.address === '192.0.2.1') throw Object.assign(new Error('none'), { code: 'EADDRNOTAVAIL' });
      if (address.port === 7777) throw Object.assign(new Error('used'), { code: 'EADDRINUSE' });
      listens.push(address.port);
      return address.port;
    },
  };
  const supervisor = new Supervisor({
    addon,
    config,
    logger: new ListLogger(),
    version: '0',
    files: native.files,
    exit: (code) => void exits.push(code),
    spawn: ({ index }) => {
      const worker = new FakeWorker(index);
      workers.push(worker);
      return worker;
    },
  });
  return { supervisor, created };
}

/** Sends a control command as worker 1 would and gives the reply bytes. */
function ask(command: string, ...words: string[]): Promise<string> {
  const worker = workers[1]!;
  return new Promise((resolve) => {
    worker.onReply = () => resolve(worker.replies.at(-1)!);
    const args = words.map((word) => Buffer.from(word, 'latin1'));
    worker.emit('message', { kind: 'control', token: 7n, command, args, resp: 2, clientId: 19n });
  });
}

beforeEach(() => {
  workers = [];
  log = [];
  exits = [];
  options = [];
  listens = [];
});

describe('supervisor of a server with files', () => {
  const born = (settings: Record<string, string> = {}): { native: FakePersistence; supervisor: Supervisor } => {
    const native = new FakePersistence(new MemoryFiles());
    return { native, supervisor: create({ dir: '/data', save: '', ...settings }, native).supervisor };
  };

  it('listens before it loads, refuses commands meanwhile, and is ready only then', async () => {
    const { native, supervisor } = born();
    native.files.content.set('/data/dump.rdb', 'RDB 5\n');
    let release = (): void => undefined;
    native.loadGate = new Promise((resolve) => (release = resolve));
    const started = supervisor.start();
    await expect.poll(() => listens.length).toBe(2);
    expect(native.isLoading).toBe(true);
    expect(log).not.toContain('Ready to accept connections tcp');
    expect(supervisor.info(['persistence'])).toContain('loading:1\r\n');
    release();
    expect(await started).toBe(true);
    expect(native.isLoading).toBe(false);
    expect(native.effects).toBe(5);
    expect(log.at(-2)).toMatch(/^DB loaded from disk: 0\.\d{3} seconds$/);
    expect(log.at(-1)).toBe('Ready to accept connections tcp');
    await supervisor.end(0);
  });

  it('ends with code 1 when the files cannot be loaded', async () => {
    const { native, supervisor } = born();
    native.files.content.set('/data/dump.rdb', 'nonsense');
    expect(await supervisor.start()).toBe(false);
    expect(exits).toEqual([1]);
    expect(log.at(-1)).toBe('Fatal error loading the DB, check server logs. Exiting.');
    await supervisor.end(1);
  });

  it.each([
    [['save'], '+OK'],
    [['bgsave'], '+Background saving started'],
    [['bgsave', 'SCHEDULE'], '+Background saving started'],
    [['bgsave', 'later'], '-ERR syntax error'],
    [['lastsave'], /^:\d{10}/],
    [['bgrewriteaof'], '+Background append only file rewriting started'],
    [['debug', 'reload'], '+OK'],
    [['debug', 'RELOAD', 'nosave', 'noflush', 'merge'], '-ERR Error trying to load the RDB dump, check server logs.'],
    [['debug', 'reload', 'x'], '-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.'],
    [['debug', 'loadaof'], '+OK'],
  ])('answers %j', async (words, expected) => {
    const { supervisor } = born({ appendonly: 'yes' });
    expect(await supervisor.start()).toBe(true);
    const reply = await ask(words[0]!, ...words);
    if (typeof expected === 'string') expect(reply).toBe(`${expected}\r\n`);
    else expect(reply).toMatch(expected);
    expect(exits).toEqual([]);
    await supervisor.end(0);
  });

  it('takes options of persistence over at once', async () => {
    const { native, supervisor } = born({ appendonly: 'yes' });
    expect(await supervisor.start()).toBe(true);
    expect(native.policy).toBe('everysec false');
    expect(await ask('config|set', 'config', 'set', 'appendfsync', 'always')).toBe('+OK\r\n');
    expect(native.policy).toBe('always false');
    await ask('config|set', 'config', 'set', 'appendonly', 'no');
    await expect.poll(() => native.journal).toBe(undefined);
    await supervisor.end(0);
  });

  it('saves when a signal ends it, once, and does not end when that fails', async () => {
    const { native, supervisor } = born({ save: '3600 1' });
    expect(await supervisor.start()).toBe(true);
    native.files.fails = (operation) => (operation === 'rename' ? 'EIO' : undefined);
    supervisor.onSignal('SIGTERM');
    await expect.poll(() => log.at(-1)).toMatch(/^SIGTERM received but errors trying to shut down the server/);
    expect(await ask('shutdown', 'shutdown')).toBe('-ERR Errors trying to SHUTDOWN. Check logs.\r\n');
    expect(exits).toEqual([]);
    expect(native.write()).toBe(undefined);
    native.files.fails = () => undefined;
    supervisor.onSignal('SIGTERM');
    supervisor.onSignal('SIGTERM');
    await expect.poll(() => exits).toEqual([0]);
    expect(native.requests.length).toBe(3);
    expect(log).toContain('Saving the final RDB snapshot before exiting.');
  });

  it('saves nothing when the signal says so, and exits at once on a second SIGINT', async () => {
    const { native, supervisor } = born({ save: '3600 1', 'shutdown-on-sigint': 'nosave' });
    expect(await supervisor.start()).toBe(true);
    native.waitsForEnd = true;
    supervisor.onSignal('SIGTERM');
    await expect.poll(() => native.requests.length).toBe(1);
    supervisor.onSignal('SIGINT');
    expect(exits).toEqual([1]);
    expect(log.at(-1)).toBe('You insist... exiting now.');
    native.end();
    await expect.poll(() => exits).toEqual([1, 0]);
    const other = born({ save: '3600 1', 'shutdown-on-sigint': 'nosave' });
    expect(await other.supervisor.start()).toBe(true);
    other.supervisor.onSignal('SIGINT');
    await expect.poll(() => exits).toEqual([1, 0, 0]);
    expect(other.native.requests).toEqual([]);
  });

  it('ends at once while it loads, and saves nothing', async () => {
    const { native, supervisor } = born({ save: '3600 1' });
    native.files.content.set('/data/dump.rdb', 'RDB 5\n');
    native.loadGate = new Promise(() => undefined);
    void supervisor.start();
    await expect.poll(() => listens.length).toBe(2);
    supervisor.onSignal('SIGTERM');
    await expect.poll(() => exits).toEqual([0]);
    expect(native.requests).toEqual([]);
  });

  it('writes the journal out at the end', async () => {
    const { native, supervisor } = born({ appendonly: 'yes' });
    expect(await supervisor.start()).toBe(true);
    native.write();
    void ask('shutdown', 'shutdown', 'nosave');
    await expect.poll(() => exits).toEqual([0]);
    expect(native.journal).toBe(undefined);
    expect(log).toContain('Calling fsync() on the AOF file.');
  });
});

describe('supervisor', () => {
  it('starts the workers, gives the engine its options, listens, and says so', async () => {
    const supervisor = await start();
    expect(workers.length).toBe(2);
    expect(new Map(options).get('maxclients')).toBe(10000);
    expect(listens).toEqual([6379, 6379]);
    expect(log.at(-1)).toBe('Ready to accept connections tcp');
    await supervisor.end(0);
  });

  it('answers CONFIG and hands new values to the engine, or puts them back', async () => {
    const supervisor = await start();
    options.length = 0;
    expect(await ask('config|set', 'config', 'set', 'timeout', '5', 'hz', '9999')).toBe('+OK\r\n');
    expect(options).toEqual([['timeout', 5], ['hz', 500]]);
    expect(await ask('config|get', 'config', 'get', 'hz')).toBe('*2\r\n$2\r\nhz\r\n$3\r\n500\r\n');
    listens.length = 0;
    expect(await ask('config|set', 'config', 'set', 'timeout', '8', 'port', '7777')).toBe(
      "-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs.\r\n",
    );
    expect(listens).toEqual([6379, 6379]);
    expect(options.at(-1)).toEqual(['timeout', 5]);
    expect(await ask('config|rewrite', 'config', 'rewrite')).toBe(
      '-ERR The server is running without a config file\r\n',
    );
    await supervisor.end(0);
  });

  it('sums and sorts clients over all workers', async () => {
    const supervisor = await start();
    const list = 'id=19 addr=1.1.1.1:1\nid=20 addr=1.1.1.1:1\n';
    expect(await ask('client|list', 'client', 'list')).toBe(`$${list.length}\r\n${list}\r\n`);
    const byId = 'id=20 addr=1.1.1.1:1\nid=20 addr=1.1.1.1:1\n';
    const asked = ['client', 'list', 'id', '20', '5', '20'];
    expect(await ask('client|list', ...asked)).toBe(`$${byId.length}\r\n${byId}\r\n`);
    expect(await ask('client|kill', 'client', 'kill', '1.1.1.1:1')).toBe('+OK\r\n');
    expect(await ask('client|kill', 'client', 'kill', 'id', '5', 'skipme', 'no')).toBe(':2\r\n');
    await supervisor.end(0);
  });

  it.each([
    [['client', 'kill', 'id', 'x'], 'ERR client-id should be greater than 0'],
    [['client', 'kill', 'id', '0'], 'ERR client-id should be greater than 0'],
    [['client', 'kill', 'type', 'foo'], "ERR Unknown client type 'foo'"],
    [['client', 'kill', 'user', 'nosuch'], "ERR No such user 'nosuch'"],
    [['client', 'kill', 'skipme', 'maybe'], 'ERR syntax error'],
    [['client', 'kill', 'id', '1', 'addr'], 'ERR syntax error'],
    [['client', 'kill', 'maxage', '0'], 'ERR maxage should be greater than 0'],
    [['client', 'list', 'foo'], 'ERR syntax error'],
    [['client', 'list', 'type', 'foo'], "ERR Unknown client type 'foo'"],
    [['client', 'list', 'id', 'x'], 'ERR Invalid client ID'],
    [['client', 'list', 'type', 'normal', 'id', '1'], 'ERR syntax error'],
    [['shutdown', 'foo'], 'ERR syntax error'],
    [['shutdown', 'save', 'nosave'], 'ERR syntax error'],
    [['shutdown', 'abort', 'now'], 'ERR syntax error'],
    [['shutdown', 'abort'], 'ERR No shutdown in progress.'],
    [['config', 'set', 'timeout', '1', 'hz'], 'ERR syntax error'],
  ])('answers %j with %j', async (words, expected) => {
    const supervisor = await start();
    const command = words[0] === 'shutdown' ? 'shutdown' : `${words[0]}|${words[1]}`;
    expect(await ask(command, ...words)).toBe(`-${expected}\r\n`);
    expect(exits).toEqual([]);
    await supervisor.end(0);
  });

  it('prints the sections of INFO that were asked for, in their order', async () => {
    const supervisor = await start();
    const titles = (text: string): string[] => [...text.matchAll(/^# (\w+)/gm)].map(([, title]) => title!);
    expect(titles(supervisor.info([]))).toEqual([
      'Server', 'Clients', 'Memory', 'Persistence', 'Stats', 'Replication', 'CPU', 'Modules', 'Errorstats', 'Cluster',
      'Keyspace',
    ]);
    expect(titles(supervisor.info(['CPU', 'foo', 'server', 'cpu']))).toEqual(['Server', 'CPU']);
    expect(titles(supervisor.info(['everything'])).length).toBe(13);
    expect(supervisor.info(['foo'])).toBe('');
    expect(supervisor.info(['server'])).toMatch(/^# Server\r\nredis_version:7\.2\.0\r\n/);
    await supervisor.end(0);
  });

  it('ends cleanly on SIGTERM, and at once on the second signal', async () => {
    const supervisor = await start({ save: '' });
    supervisor.onSignal('SIGTERM');
    await expect.poll(() => exits).toEqual([0]);
    expect(log.slice(-3)).toEqual([
      'Received SIGTERM scheduling shutdown...',
      'User requested shutdown...',
      'Sherd is now ready to exit, bye bye...',
    ]);
    supervisor.onSignal('SIGINT');
    expect(exits).toEqual([0, 1]);
  });

  it('asks nothing of the workers once they are told to stop', async () => {
    const supervisor = await start();
    const worker = workers[1]!;
    const say = (command: string, ...words: string[]): void => {
      const args = words.map((word) => Buffer.from(word, 'latin1'));
      worker.emit('message', { kind: 'control', token: 7n, command, args, resp: 2, clientId: 19n });
    };
    // Its reply (none) and those of what stands behind it on other connections are made after the stop.
    say('shutdown', 'shutdown', 'nosave');
    say('config|get', 'config', 'get', 'hz');
    say('client|list', 'client', 'list');
    say('client|kill', 'client', 'kill', 'id', '5');
    await expect.poll(() => exits).toEqual([0]);
    expect(await supervisor.listClients({})).toBe('');
    expect(workers.map(({ late }) => late)).toEqual([[], []]);
    expect(exits).toEqual([0]);
  });

  it('ends when a signal comes before the workers are ready, without listening', async () => {
    const { supervisor } = create({});
    const started = supervisor.start();
    supervisor.onSignal('SIGTERM');
    expect(await started).toBe(true);
    await expect.poll(() => exits).toEqual([0]);
    expect(listens).toEqual([]);
    expect(log).not.toContain('Ready to accept connections tcp');
  });

  it.each([
    [{ port: '0' }, ['Configured to not listen anywhere, exiting.']],
    [{ port: '0', unixsocket: '/nosuch/s' }, ['Failed opening Unix socket: bind: No such file or directory']],
    [{ bind: '' }, ['Configured to not listen anywhere, exiting.']],
    [
      { bind: '-192.0.2.1' },
      [
        'Warning: Could not create server TCP listening socket 192.0.2.1:6379: bind: Cannot assign requested address',
        'Configured to not listen anywhere, exiting.',
      ],
    ],
    [
      { port: '7777' },
      [
        'Warning: Could not create server TCP listening socket *:7777: bind: Address already in use',
        'Failed listening on port 7777 (tcp), aborting.',
      ],
    ],
    [
      { port: '7777', bind: '-::1' },
      [
        'Warning: Could not create server TCP listening socket ::1:7777: bind: Address already in use',
        'Failed listening on port 7777 (tcp), aborting.',
      ],
    ],
  ])('refuses to serve with %j', async (settings, lines) => {
    const { supervisor } = create(settings);
    expect(await supervisor.start()).toBe(false);
    expect(log).toEqual(lines);
  });

  it('tells the engine where to run commands', () => {
    const inPlace = (settings: Record<string, string>): unknown => create(settings).created[0]?.inPlace;
    expect(inPlace({})).toBe(true);
    expect(inPlace({ 'execution-layout': 'owner' })).toBe(false);
  });

  it('logs what a worker says', async () => {
    const supervisor = await start();
    workers[0]!.emit('message', { kind: 'log', level: 'warning', text: 'from below' });
    expect(log.at(-1)).toBe('from below');
    await supervisor.end(0);
  });

  it('prints times of commands in microseconds', async () => {
    const { supervisor, created } = create({});
    const { stats } = created[0]!;
    const cells = new BigInt64Array(stats.buffer);
    // The last record is `config|get` on the last worker: calls, nanoseconds, rejected, failed.
    cells.set([4n, 10_999n, 1n, 2n], cells.length - 4);
    expect(supervisor.info(['commandstats'])).toBe(
      '# Commandstats\r\ncmdstat_config|get:calls=4,usec=10,usec_per_call=2.50,rejected_calls=1,failed_calls=2\r\n',
    );
  });

  it('ends the process when a worker dies', async () => {
    await start();
    workers[0]!.emit('error', new Error('broke'));
    workers[0]!.emit('exit', 1);
    expect(exits).toEqual([1]);
    expect(log.at(-1)).toContain('worker 0 failed: Error: broke');
  });
});
