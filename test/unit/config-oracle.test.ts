/**
 * CONFIG GET and SET of every option with good and bad values: the same words go to a redis-server and to our handlers
 * (in this process, no engine needed), and the replies must be the same bytes.
 *
 * The oracle at hand is 7.0, so options of 7.2 are left out, and so are those that would take the server from under
 * the test (port, bind) or that depend on its machine (maxclients).
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CONTROL_HANDLERS } from '../../src/commands/control/index.js';
import type { ControlContext } from '../../src/commands/control/context.js';
import { clampHz } from '../../src/config/config-file.js';
import { ConfigStore } from '../../src/config/config-store.js';
import { OPTIONS } from '../../src/config/option-table.js';
import { encodeReply } from '../../src/resp/reply.js';
import { startRedis, type RunningServer } from '../support/oracle.js';
import { RespClient } from '../support/resp-client.js';

const LEFT_OUT = new Set([
  // Not in 7.0, or hidden there in another way.
  'set-max-listpack-entries', 'set-max-listpack-value', 'locale-collate', 'cluster-announce-human-nodename',
  'max-new-connections-per-cycle', 'max-new-tls-connections-per-cycle', 'worker-threads', 'shards', 'execution-layout',
  'rdb-compat-version',
  // Would disturb the oracle, or depend on its build and machine.
  'port', 'bind', 'tls-port', 'maxclients', 'activedefrag', 'watchdog-period', 'requirepass', 'maxmemory',
  'oom-score-adj', 'oom-score-adj-values', 'rdb-key-save-delay', 'key-load-delay', 'server-cpulist', 'bio-cpulist',
  'aof-rewrite-cpulist', 'bgsave-cpulist', 'maxmemory-clients', 'crash-log-enabled', 'jemalloc-bg-thread',
  'appendonly', 'aof-disable-auto-gc', 'client-query-buffer-limit', 'tls-protocols', 'tls-ciphers',
  'repl-backlog-size', 'cluster-announce-ip', 'proto-max-bulk-len',
]);

const VALUES = [
  '', ' ', '0', '1', '-1', '-2', '10', '99', '101', '+5', ' 5', '5 ', '05', '1e3', '0x10', '2147483648',
  '-2147483649', '9223372036854775807', '9223372036854775808', '1kb', '1mb', '1MB', '1zb', '50%', '101%', 'yes',
  'NO', 'on', 'always', 'x', 'allkeys-lru', 'local', 'KEA', 'f', 'a/b', 'a b', '900 1', '900 1 60', '50 99.9', 'nan',
  'normal 0 0 0', 'pubsub 1mb 1k 5', 'slave 1 2', 'save now', 'nosave save', '{title}', '{nope}', '__proto__', '\xff',
];

let server: RunningServer;
let client: RespClient;

beforeAll(async () => {
  server = await startRedis(['--save', '']);
  client = await RespClient.connect({ port: server.port });
});
afterAll(async () => {
  client.close();
  await server.stop();
});

function contextOf(config: ConfigStore): ControlContext {
  const setConfig: ControlContext['setConfig'] = async (pairs, mayChangeProtected) =>
    config.set(pairs, { mayChangeProtected }, (row) => {
      if (row.name === 'hz') clampHz(config);
      return undefined;
    });
  return { config, setConfig } as unknown as ControlContext;
}

async function ours(context: ControlContext, words: string[], resp: 2 | 3): Promise<string> {
  const command = `${words[0]}|${words[1]}`.toLowerCase();
  const args = words.map((word) => Buffer.from(word, 'latin1'));
  const reply = await CONTROL_HANDLERS.get(command)!({ command, args, clientId: 1n }, context);
  return encodeReply(reply!, resp).toString('latin1');
}

it('answers as redis-server does for every option and value', async () => {
  const config = new ConfigStore(server.dir);
  config.overwrite('save', '');
  config.overwrite('enable-debug-command', 'yes');
  const context = contextOf(config);
  const differences: string[] = [];
  const rows = OPTIONS.filter((row) => !LEFT_OUT.has(row.name) && !row.name.startsWith('tls-'));
  for (const row of rows) {
    for (const name of row.alias === undefined ? [row.name] : [row.name, row.alias]) {
      for (const value of VALUES) {
        for (const words of [['config', 'set', name, value], ['config', 'get', name]]) {
          const theirs = (await client.send(...words.map((word) => Buffer.from(word, 'latin1')))).text;
          const own = await ours(context, words, 2);
          if (own !== theirs) differences.push(`${words.join(' ')}: ${JSON.stringify(own)} instead of ${JSON.stringify(theirs)}`);
        }
      }
    }
  }
  expect(rows.length).toBeGreaterThan(90);
  expect(differences).toEqual([]);
});

it('answers as redis-server does for several pairs, and in RESP3', async () => {
  const context = contextOf(new ConfigStore(server.dir));
  await client.send('HELLO', '3');
  for (const words of [
    ['config', 'set', 'timeout', '7'],
    ['config', 'set', 'timeout', '1', 'TIMEOUT', '2'],
    ['config', 'set', 'timeout', '1', 'databases', '2'],
    ['config', 'set', 'databases', '2', 'nosuch', '2'],
    ['config', 'set', 'dir', '/'],
    ['config', 'set', 'timeout', '1', 'hz'],
    ['config', 'set', 'timeout', '3', 'lfu-log-factor', 'x'],
    ['config', 'set', 'slave-priority', '3', 'replica-priority', '4'],
    ['config', 'get', 'timeout'],
    ['config', 'get', 'TimeOut', 'timeout', 'tim[e]out'],
    ['config', 'get', 'nosuch'],
    ['config', 'help'],
  ]) {
    const theirs = (await client.send(...words)).text;
    expect([words, await ours(context, words, 3)]).toEqual([words, theirs]);
  }
});
