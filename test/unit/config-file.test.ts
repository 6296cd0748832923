/** Reading redis.conf: syntax, includes, directives that are not options, and the errors that stop the start. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigFileError, ConfigOpenError, loadConfig } from '../../src/config/config-file.js';
import { ConfigStore } from '../../src/config/config-store.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sherd-conf-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text, 'latin1');
  return join(folder, name);
}

function load(text: string, options?: string): ConfigStore {
  const store = new ConfigStore(folder);
  loadConfig(store, { file: write('main.conf', text), options });
  return store;
}

function errorOf(text: string, options?: string): string {
  try {
    load(text, options);
  } catch (error) {
    if (error instanceof ConfigFileError || error instanceof ConfigOpenError) return error.message;
    throw error;
  }
  return 'no error';
}

describe('redis.conf', () => {
  it('reads quotes, comments, blank lines, any letter case and CRLF', () => {
    const store = load('# c\r\n\r\n  PORT 7000\r\nrequirepass "a\\x41\\n\\""\nlogfile \'it\\\'s\'\nsave ""\n');
    expect(store.number('port')).toBe(7000);
    expect(store.text('requirepass')).toBe('aA\n"');
    expect(store.text('logfile')).toBe("it's");
    expect(store.text('save')).toBe('');
  });

  it('adds up save lines, and lets options of the command line come last', () => {
    expect(load('save 1 2\nsave 3 4\n').text('save')).toBe('1 2 3 4');
    expect(load('port 1\n', 'port "2" ').number('port')).toBe(2);
    expect(load('hz 100000\n').number('hz')).toBe(500);
  });

  it('splits several values in one quoted word', () => {
    const store = load(
      [
        'save "60 1000 10  1"',
        "save '1 2'",
        'save " "',
        'client-output-buffer-limit "pubsub 1mb 1k 5"',
        'oom-score-adj-values "1 2 3"',
        'shutdown-on-sigterm "nosave force"',
        'latency-tracking-info-percentiles "50 99"',
        'replicaof "h 1"',
        'bind "127.0.0.1 ::1"',
      ].join('\n'),
    );
    expect(store.text('save')).toBe('60 1000 10 1 1 2');
    expect(store.text('client-output-buffer-limit')).toContain(' pubsub 1048576 1000 5');
    expect(store.text('oom-score-adj-values')).toBe('1 2 3');
    expect(store.text('shutdown-on-sigterm')).toBe('nosave force');
    expect(store.text('latency-tracking-info-percentiles')).toBe('50 99');
    expect(store.text('replicaof')).toBe('h 1');
    expect(store.text('bind')).toBe('127.0.0.1 ::1');
    expect(load('', 'save "60 1000" ').text('save')).toBe('60 1000');
  });

  it('names line, text, file and directive of an error in the format of Redis', () => {
    expect(errorOf('port 1\nmaxmemory lots\n')).toBe(
      '\n*** FATAL CONFIG FILE ERROR (Redis 7.2.0) ***\nReading the configuration file, at line 2\n' +
        ">>> 'maxmemory lots'\nargument must be a memory value\n" +
        `(file '${join(folder, 'main.conf')}', directive 'maxmemory')\n`,
    );
    expect(errorOf('', 'port "x" ')).toContain("at line 2\n>>> 'port \"x\"'\n");
    expect(errorOf('', 'port "x" ')).toContain("(command line or standard input, directive 'port')");
  });

  it.each([
    ['foo "a', 'Unbalanced quotes in configuration line'],
    ['nosuch 1', 'Bad directive or wrong number of arguments'],
    ['__proto__ 1', 'Bad directive or wrong number of arguments'],
    ['port', 'wrong number of arguments'],
    ['port 1 2', 'wrong number of arguments'],
    ['rename-command a', 'Bad directive or wrong number of arguments'],
    ['user a on\nuser a on', "Error in user declaration 'a': Duplicate user found. A user can only be defined once in config files"],
    ['replicaof "h"', 'wrong number of arguments'],
    ['replicaof ""', 'wrong number of arguments'],
    ['port "1 2"', "argument couldn't be parsed into an integer"],
    ['save "60 1" "10 1"', 'Invalid save parameters'],
    ['a.b', 'Module config specified without value'],
    ['sentinel x', 'sentinel directive while not in sentinel mode'],
    ['dir /no/such/dir', 'No such file or directory'],
    ['dbfilename a/b', "dbfilename can't be a path, just a filename"],
    ['appendfilename ""', "appendfilename can't be empty"],
    ['cluster-enabled yes\nreplicaof h 1', 'replicaof directive not allowed in cluster mode'],
  ])('refuses %j', (text, expected) => {
    expect(errorOf(`${text}\n`).split('\n')).toContain(expected);
  });

  it('includes files and patterns, relative to where the server was started or to dir', () => {
    mkdirSync(join(folder, 'sub', 'conf.d'), { recursive: true });
    write('sub/one.conf', 'port 1111\n');
    write('sub/conf.d/b.conf', 'hz 22\n');
    write('sub/conf.d/a.conf', 'hz 11\ntimeout 5\n');
    const store = load(`dir ${folder}\ninclude sub/one.conf\ninclude sub/conf.d/*.conf\ninclude sub/none/*.conf\n`);
    expect([store.number('port'), store.number('hz'), store.number('timeout')]).toEqual([1111, 22, 5]);
    expect(load(`dir ${folder}/sub\ninclude one.conf\n`).number('port')).toBe(1111);
    write('sub/bad.conf', '\nport y\n');
    expect(errorOf(`include ${folder}/sub/bad.conf\n`)).toContain(`at line 2\n>>> 'port y'`);
    expect(errorOf(`include ${folder}/nosuch.conf\n`)).toBe(
      `Fatal error, can't open config file '${folder}/nosuch.conf': No such file or directory`,
    );
  });

  it('ends the start when files include each other', () => {
    write('loop.conf', `include ${folder}/loop.conf\n`);
    expect(errorOf(`include ${folder}/loop.conf\n`)).toContain('config files include each other');
  });

  it('keeps the directives that are not options', () => {
    const store = new ConfigStore(folder);
    const file = write('main.conf', 'user joe on\nrename-command get x\nloadmodule /m a\nm.x 1\n');
    expect(loadConfig(store, { file })).toEqual({
      users: [['joe', 'on']],
      renamedCommands: [{ from: 'get', to: 'x' }],
      modules: [['/m', 'a']],
      moduleOptions: [{ name: 'm.x', value: '1' }],
    });
  });
});
