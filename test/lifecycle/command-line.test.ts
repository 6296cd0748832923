/**
 * The command line and configuration file of redis-server, on the real one and on ours: what starts, with which
 * settings, and what is refused with which words.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { freePort, startRedis } from '../support/oracle.js';
import { RespClient, toPlain } from '../support/resp-client.js';
import { launch, READY, runToEnd, temporaryFolder, type ProgramName } from './program.js';

const PROGRAMS: ProgramName[] = ['redis', 'sherd'];

async function configOf(port: number, ...names: string[]): Promise<Record<string, string>> {
  const client = await RespClient.connect({ port });
  const values: Record<string, string> = {};
  for (const name of names) {
    const reply = toPlain((await client.send('CONFIG', 'GET', name)).value) as string[];
    values[name] = reply[1] ?? '(none)';
  }
  client.close();
  return values;
}

describe.each(PROGRAMS)('%s: what starts', (name) => {
  /** Starts, reads the settings, stops by SIGTERM. */
  async function settings(
    args: string[],
    options: { cwd: string; input?: string; port: number },
    ...names: string[]
  ): Promise<Record<string, string>> {
    const program = launch(name, args, options);
    await program.waitFor(READY);
    const values = await configOf(options.port, ...names);
    program.kill('SIGTERM');
    expect(await program.exited).toEqual({ code: 0, signal: null });
    return values;
  }

  it('options alone, several values, the last one wins', async () => {
    const port = await freePort();
    const args = [
      '--port',
      '1',
      '--bind',
      '127.0.0.1',
      '127.0.0.2',
      '--save',
      '3600',
      '1',
      '300',
      '100',
      '--maxclients',
      '77',
    ];
    args.push(
      '--client-output-buffer-limit',
      'pubsub',
      '64mb',
      '16mb',
      '90',
      '--requirepass',
      '',
      '--port',
      String(port),
    );
    expect(
      await settings(
        args,
        { cwd: temporaryFolder(), port },
        'bind',
        'save',
        'maxclients',
        'client-output-buffer-limit',
        'port',
      ),
    ).toEqual({
      bind: '127.0.0.1 127.0.0.2',
      save: '3600 1 300 100',
      maxclients: '77',
      'client-output-buffer-limit': 'normal 0 0 0 slave 268435456 67108864 60 pubsub 67108864 16777216 90',
      port: String(port),
    });
  });

  it('a file first, options behind it', async () => {
    const port = await freePort();
    const cwd = temporaryFolder();
    writeFileSync(
      join(cwd, 'server.conf'),
      [
        '# a comment',
        '',
        '   \t  ',
        'port 1',
        'BIND 127.0.0.1',
        'save ""',
        '  hz   50  ',
        'requirepass ""',
        'timeout 30',
        'maxmemory 100mb',
        'notify-keyspace-events "Ex"',
        "proc-title-template '{title} {listen-addr}'",
        'masterauth "a\\x41\\"b c"',
        'appendfilename "my file.aof"',
      ].join('\n') + '\r\n',
    );
    const args = ['server.conf', '--port', String(port), '--timeout', '40'];
    expect(
      await settings(
        args,
        { cwd, port },
        'port',
        'timeout',
        'hz',
        'maxmemory',
        'notify-keyspace-events',
        'masterauth',
        'appendfilename',
      ),
    ).toEqual({
      port: String(port),
      timeout: '40',
      hz: '50',
      maxmemory: '104857600',
      'notify-keyspace-events': 'xE',
      masterauth: 'aA"b c',
      appendfilename: 'my file.aof',
    });
  });

  it('a file on standard input (-), options behind it', async () => {
    const port = await freePort();
    const cwd = temporaryFolder();
    const input = 'bind 127.0.0.1\nport 1\nsave ""\nmaxclients 99\n';
    expect(await settings(['-', '--port', String(port)], { cwd, input, port }, 'maxclients', 'save')).toEqual({
      maxclients: '99',
      save: '',
    });
  });

  it('include, also twice and with a pattern, in order', async () => {
    const port = await freePort();
    const cwd = temporaryFolder();
    mkdirSync(join(cwd, 'parts'));
    writeFileSync(join(cwd, 'parts', 'a.conf'), 'maxclients 50\ntimeout 5\n');
    writeFileSync(join(cwd, 'parts', 'b.conf'), 'maxclients 60\n');
    writeFileSync(
      join(cwd, 'main.conf'),
      `bind 127.0.0.1\nport ${port}\nsave ""\ntimeout 1\ninclude parts/*.conf\nhz 20\n`,
    );
    expect(await settings(['main.conf'], { cwd, port }, 'maxclients', 'timeout', 'hz')).toEqual({
      maxclients: '60',
      timeout: '5',
      hz: '20',
    });
  });

  it('a relative file and a dir: the path shown is absolute', async () => {
    const port = await freePort();
    const cwd = temporaryFolder();
    mkdirSync(join(cwd, 'conf'));
    mkdirSync(join(cwd, 'data'));
    writeFileSync(join(cwd, 'conf', 'x.conf'), `bind 127.0.0.1\nport ${port}\nsave ""\ndir data\n`);
    const program = launch(name, ['conf/x.conf'], { cwd });
    await program.waitFor(READY);
    expect(await configOf(port, 'dir')).toEqual({ dir: join(cwd, 'data') });
    const client = await RespClient.connect({ port });
    const info = String(toPlain((await client.send('INFO', 'server')).value));
    expect(info).toContain(`config_file:${join(cwd, 'conf', 'x.conf')}\r\n`);
    expect(info).toContain(`executable:`);
    client.close();
    program.kill('SIGTERM');
    await program.exited;
  });

  it('--save with one empty value, with nothing, and quoted pairs', async () => {
    for (const [save, expected] of [
      [[''], ''],
      [[], ''],
      [['60 1000'], '60 1000'],
      [['60 1000 10 1'], '60 1000 10 1'],
    ] as const) {
      const port = await freePort();
      const args = ['--bind', '127.0.0.1', '--port', String(port), '--save', ...save];
      expect(await settings(args, { cwd: temporaryFolder(), port }, 'save')).toEqual({ save: expected });
    }
  });

  it('a value that begins with dashes is told from an option as redis-server does', async () => {
    const port = await freePort();
    const args = [
      '--bind',
      '127.0.0.1',
      '--port',
      String(port),
      '--save',
      '',
      '--shutdown-on-sigterm',
      'nosave',
      'force',
      '--masterauth',
      'x --y',
    ];
    expect(await settings(args, { cwd: temporaryFolder(), port }, 'shutdown-on-sigterm')).toEqual({
      'shutdown-on-sigterm': 'nosave force',
    });
  });

  it('every directive of a running redis-server, given back as a file', async () => {
    const oracle = await startRedis();
    const client = await RespClient.connect({ port: oracle.port });
    const all = toPlain((await client.send('CONFIG', 'GET', '*')).value) as string[];
    client.close();
    await oracle.stop();
    const port = await freePort();
    const cwd = temporaryFolder();
    const lines: string[] = [];
    const own = new Set(['port', 'dir', 'bind', 'logfile', 'pidfile', 'save', 'oom-score-adj-values']);
    for (let at = 0; at < all.length; at += 2) {
      const directive = all[at] as string;
      const value = all[at + 1] as string;
      if (own.has(directive) || /^(replicaof|slaveof|user|aclfile|socket-mark-id|cluster-.*port)$/.test(directive))
        continue;
      // In quotes throughout: a directive of several values takes them in one word too.
      lines.push(value === '' ? `# ${directive}` : `${directive} "${value}"`);
    }
    writeFileSync(join(cwd, 'all.conf'), `${lines.join('\n')}\nbind 127.0.0.1\nport ${port}\nsave ""\ndir ${cwd}\n`);
    expect(await settings(['all.conf'], { cwd, port }, 'maxmemory-policy', 'repl-backlog-size')).toEqual({
      'maxmemory-policy': 'noeviction',
      'repl-backlog-size': '1048576',
    });
    expect(lines.length).toBeGreaterThan(150);
  });
});

describe('--version and --help', () => {
  it.each(['--version', '-v'])('%s says name, version and width, and ends with 0', async (option) => {
    const cwd = temporaryFolder();
    const [redis, sherd] = await Promise.all(PROGRAMS.map((name) => runToEnd(name, [option], { cwd })));
    const form = / server v=(\d+\.\d+\.\d+) sha=\S+ malloc=\S+ bits=64 build=\S+\n$/;
    for (const end of [redis, sherd])
      expect(end).toMatchObject({ code: 0, output: expect.stringMatching(form) as string });
    if (process.env['SHERD_COMMAND'] === undefined) expect(form.exec(sherd?.output ?? '')?.[1]).toMatch(/^7\.2\./);
  });

  it.each(['--help', '-h'])('%s shows the forms, and ends as redis-server does', async (option) => {
    const cwd = temporaryFolder();
    const [redis, sherd] = await Promise.all(PROGRAMS.map((name) => runToEnd(name, [option], { cwd })));
    expect(sherd?.code).toBe(redis?.code);
    for (const end of [redis, sherd]) expect(end?.output).toMatch(/Usage: .*\[\/path\/to\/.*\.conf\] \[options\]/);
  });
});

/** Command lines and files that must be refused: name, arguments, file. */
const REFUSED: [what: string, args: string[], file: string | undefined][] = [
  ['an unknown directive', ['x.conf'], 'port 0\nnosuchdirective 1\n'],
  ['an unknown option', ['--nosuchoption', '1'], undefined],
  ['too few values', ['x.conf'], 'port\n'],
  ['too many values', ['x.conf'], 'timeout 1 2\n'],
  ['a number out of range', ['x.conf'], '\n\ntimeout -1\n'],
  ['a port out of range', ['--port', '65536'], undefined],
  ['a port of letters', ['--port', 'abc'], undefined],
  ['a number with rubbish', ['x.conf'], 'hz 10x\n'],
  ['a bad memory size', ['x.conf'], 'maxmemory 10zb\n'],
  ['a bad boolean', ['x.conf'], 'daemonize maybe\n'],
  ['a bad enum', ['x.conf'], 'loglevel loud\n'],
  ['a bad enum value among several', ['x.conf'], 'maxmemory-policy allkeys\n'],
  ['unbalanced quotes', ['x.conf'], 'port 0\nrequirepass "abc\n'],
  ['a bad class of client-output-buffer-limit', ['x.conf'], 'client-output-buffer-limit other 0 0 0\n'],
  ['too few numbers of client-output-buffer-limit', ['x.conf'], 'client-output-buffer-limit normal 0 0\n'],
  ['a bad save point', ['x.conf'], 'save 10\n'],
  ['a bad save point, letters', ['x.conf'], 'save a b\n'],
  ['bad notify-keyspace-events', ['x.conf'], 'notify-keyspace-events Q\n'],
  ['maxclients of 0', ['--maxclients', '0'], undefined],
  ['databases of 0', ['--databases', '0'], undefined],
  ['a dir that is not there', ['--dir', 'no/such/folder'], undefined],
  ['an include that is not there', ['x.conf'], 'include missing.conf\n'],
  ['bad unixsocketperm', ['x.conf'], 'unixsocketperm 9999\n'],
  ['unixsocketperm that is not octal', ['x.conf'], 'unixsocketperm abc\n'],
  ['proto-max-bulk-len too small', ['--proto-max-bulk-len', '1'], undefined],
  ['client-query-buffer-limit too small', ['--client-query-buffer-limit', '1'], undefined],
  ['a file that is not there', ['missing.conf'], undefined],
  ['an option without value at the end', ['--port'], undefined],
  ['port twice as one word', ['x.conf'], 'port "1 2"\n'],
  ['a directive in quotes', ['x.conf'], '"nosuch" 1\n'],
  ['tcp-backlog of letters', ['--tcp-backlog', 'x'], undefined],
  ['enable-debug-command maybe', ['--enable-debug-command', 'maybe'], undefined],
  ['a user twice', ['x.conf'], 'user joe on\nuser joe off\n'],
  ['replicaof with half a value', ['x.conf'], 'replicaof "h"\n'],
  ['an error in an included file', ['y.conf'], undefined],
];

describe('what is refused', () => {
  /** The line that we add to Redis's words: which file and which directive. */
  const PLACE = /^\((?:file '([^']*)'|command line or standard input), directive '[^']*'\)\n/m;

  /** Without version, folder, name of the program and time stamps. */
  function plain(output: string, cwd: string): string {
    return output
      .replace(PLACE, '')
      .replaceAll(cwd, '<dir>')
      .replace(/\(\S+ \d+\.\d+\.\d+\)/g, '(version)')
      .replace(/^\d+:[A-Z] \d+ \w+ \d+ [\d:.]+ [#*.-] /gm, '')
      .split('\n')
      .filter((line) => !/oO0OoO0OoO0Oo|just started|version=|^WARNING|monotonic clock|Configuration loaded/.test(line))
      .join('\n');
  }

  it.each(REFUSED)('%s, in the same words', async (_, args, file) => {
    const ends = await Promise.all(
      PROGRAMS.map(async (name) => {
        const cwd = temporaryFolder();
        if (file !== undefined) writeFileSync(join(cwd, 'x.conf'), file);
        writeFileSync(join(cwd, 'y.conf'), 'port 0\ninclude z.conf\n');
        writeFileSync(join(cwd, 'z.conf'), '# fine\n\ntimeout x\n');
        // With nothing to listen on, what is wrongly accepted ends too, and never opens a port.
        const [first, ...rest] = args;
        const silent = ['--port', '0'];
        const all = first?.endsWith('.conf') ? [first, ...silent, ...rest] : [...silent, ...args];
        const end = await runToEnd(name, all, { cwd });
        const names =
          file !== undefined || args[0] === 'y.conf'
            ? join(cwd, args[0] === 'y.conf' ? 'z.conf' : 'x.conf')
            : undefined;
        const isOurs = name === 'sherd' && process.env['SHERD_COMMAND'] === undefined;
        if (isOurs && end.output.includes('Reading the configuration file, at line')) {
          const place = PLACE.exec(end.output);
          expect(place?.[1], end.output).toBe(names);
        }
        return { code: end.code, signal: end.signal, output: plain(end.output, cwd) };
      }),
    );
    expect(ends[0]?.code).toBe(1);
    expect(ends[1]).toEqual(ends[0]);
  });
});
