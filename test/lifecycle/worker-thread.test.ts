/**
 * One worker thread of the built program on an engine that holds no data: what arrives after it was told to stop is
 * dropped, and the native side's log lines reach the log of the main thread.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { projectRoot, sherdProgram } from '../support/project.js';
import { temporaryFolder } from './program.js';

const FAKE_ADDON = join(projectRoot, 'test', 'fixtures', 'fake-addon.cjs');

describe('a worker thread', () => {
  it('drops replies and questions that come after stop, and ends with 0', async () => {
    const worker = new Worker(join(projectRoot, 'dist', 'runtime', 'worker.js'), {
      workerData: { engine: 1, index: 0 },
      env: { ...process.env, SHERD_ADDON: FAKE_ADDON },
    });
    const said: unknown[] = [];
    const failures: string[] = [];
    worker.on('message', (message) => said.push(message));
    worker.on('error', (error) => failures.push(error.message));
    const ended = new Promise<number>((resolve) => worker.on('exit', resolve));
    worker.postMessage({ kind: 'listClients', id: 1, filter: {} });
    worker.postMessage({ kind: 'stop', id: 2 });
    worker.postMessage({ kind: 'controlReply', token: 7n, bytes: new Uint8Array(0) });
    worker.postMessage({ kind: 'listClients', id: 3, filter: {} });
    worker.postMessage({ kind: 'killClients', id: 4, filter: {} });
    expect(await ended).toBe(0);
    expect(failures).toEqual([]);
    expect(said).toEqual([{ kind: 'ready' }, { kind: 'clients', id: 1, text: '' }, { kind: 'stopped', id: 2 }]);
  });

  it("passes the engine's log lines on", async () => {
    const { file, args, env } = sherdProgram();
    const child = spawn(file, [...args, '--port', '0', '--worker-threads', '1'], {
      cwd: temporaryFolder(),
      env: { ...env, SHERD_ADDON: FAKE_ADDON, FAKE_ADDON_LOG: 'a line from below' },
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
    await new Promise((resolve) => child.on('close', resolve));
    expect(output).toMatch(/ # a line from below\n/);
  });
});
