/**
 * What the tests of a server's persistence share: a folder that outlives servers, and starts and kills in it.
 *
 * With SHERD_COMMAND naming a redis-server they run on that, which is how the tests themselves are tested.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRedis, startSherd, type RunningServer } from '../support/oracle.js';
import { RespClient, toPlain, type Argument } from '../support/resp-client.js';
import { datasetCommands } from './rdb-dataset.js';

/** A server with one connection. */
export interface Host {
  server: RunningServer;
  client: RespClient;
}

/** A folder and the servers in it. */
export class Home {
  readonly dir = mkdtempSync(join(tmpdir(), 'sherd-test-files-'));
  private readonly hosts: Host[] = [];

  async sherd(...args: string[]): Promise<Host> {
    const server = await startSherd(['--dir', this.dir, ...args]);
    const ownPort = args.indexOf('--port');
    return this.add(server, ownPort === -1 ? server.port : Number(args[ownPort + 1]));
  }

  async redis(...args: string[]): Promise<Host> {
    return this.add(await startRedis(['--dir', this.dir, ...args]));
  }

  private async add(server: RunningServer, port = server.port): Promise<Host> {
    const host = { server, client: await RespClient.connect({ port }) };
    this.hosts.push(host);
    return host;
  }

  /** Ends a server as `SHUTDOWN` does. */
  async shutDown({ server, client }: Host, ...words: string[]): Promise<number | null> {
    client.write(`SHUTDOWN ${words.join(' ')}\r\n`);
    return (await server.exited).code;
  }

  async kill({ server }: Host): Promise<void> {
    process.kill(server.pid, 'SIGKILL');
    await server.exited;
  }

  async remove(): Promise<void> {
    for (const { server, client } of this.hosts) {
      client.close();
      await server.stop();
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** The reply as plain data; errors are thrown. */
export async function ask(client: RespClient, ...args: Argument[]): Promise<unknown> {
  const value = toPlain((await client.send(...args)).value);
  if (value instanceof Error) throw new Error(`${args.map(String).join(' ')}: ${value.message}`);
  return value;
}

export async function info(client: RespClient, field: string): Promise<string | undefined> {
  const text = String(await ask(client, 'INFO', 'persistence'));
  return new RegExp(`^${field}:(.*)$`, 'm').exec(text)?.[1]?.trim();
}

/** Every type and encoding, as far as both servers have the commands. */
export function portableDataset(): Argument[][] {
  return datasetCommands().filter(([name]) => String(name).toUpperCase() !== 'FUNCTION');
}

/** Waits until an INFO field has this value. */
export async function until(client: RespClient, field: string, value: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while ((await info(client, field)) !== value) {
    if (Date.now() > deadline) throw new Error(`${field} is ${String(await info(client, field))}, not ${value}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
