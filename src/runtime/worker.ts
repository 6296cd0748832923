/**
 * A worker thread: attaches itself to the native engine, and carries control commands and questions back and forth.
 *
 * All data commands are served inside the engine by callbacks of this thread's event loop; what is seen here is
 * control only. COMMAND and LOLWUT need nothing of the server and are answered here (their tables are loaded when
 * first asked for, so that the start stays fast); all other control commands go to the main thread.
 *
 * A failure here is a programmer error: it is thrown, ends this thread, and the supervisor ends the process.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { loadAddon } from '../native/addon.js';
import type { ControlRequest } from '../native/addon.js';
import { assertNever, assertPresent } from '../util/assert.js';
import type { FromWorker, ToWorker, WorkerSetup } from './messages.js';

const port = assertPresent(parentPort, 'this module runs in a worker thread');
const { engine, index } = workerData as WorkerSetup;
const addon = loadAddon();
/** After this nothing may be asked of the engine on this thread: what still arrives came too late and is dropped. */
let isStopped = false;

function send(message: FromWorker): void {
  port.postMessage(message);
}

async function runLocally(request: ControlRequest): Promise<void> {
  const { encodeReply } = await import('../resp/reply.js');
  const reply = assertPresent(await localReply(request), `a handler for ${request.command}`);
  if (!isStopped) addon.replyControl(engine, request.token, encodeReply(reply, request.resp === 3 ? 3 : 2));
}

async function localReply(request: ControlRequest): Promise<import('../resp/reply.js').Reply | undefined> {
  if (request.command === 'lolwut') {
    const { runLolwut } = await import('../commands/control/lolwut-command.js');
    return runLolwut(request.args);
  }
  const { runCommandCommand } = await import('../commands/command-command.js');
  return runCommandCommand(request.command, request.args);
}

function isLocal(command: string): boolean {
  return command === 'lolwut' || command === 'command' || command.startsWith('command|');
}

function onControl(request: ControlRequest): void {
  if (isLocal(request.command)) {
    // A rejection is unhandled on purpose: it ends the thread, and with it the process.
    void runLocally(request);
    return;
  }
  const { token, command, clientId } = request;
  // Copied: the engine's buffers are its own again when this call returns.
  const args = request.args.map((arg) => new Uint8Array(arg));
  send({ kind: 'control', token, command, args, resp: request.resp === 3 ? 3 : 2, clientId });
}

function unblock(question: Extract<ToWorker, { kind: 'unblockClient' }>): void {
  if (isStopped) return;
  const wasBlocked = addon.unblockClient(engine, question.clientId, question.withError);
  if (wasBlocked === undefined) setImmediate(unblock, question);
  else send({ kind: 'unblocked', id: question.id, wasBlocked });
}

function onMessage(message: ToWorker): void {
  if (isStopped) return;
  switch (message.kind) {
    case 'listClients':
      return send({ kind: 'clients', id: message.id, text: addon.listClients(engine, message.filter) });
    case 'killClients':
      return send({ kind: 'killed', id: message.id, count: addon.killClients(engine, message.filter) });
    case 'unblockClient':
      return unblock(message);
    case 'controlReply':
      return addon.replyControl(engine, message.token, message.bytes);
    case 'stop':
      isStopped = true;
      addon.stopWorker(engine);
      send({ kind: 'stopped', id: message.id });
      port.close();
      return;
    default:
      assertNever(message);
  }
}

port.on('message', onMessage);
addon.startWorker(engine, index, onControl, (level, text) => send({ kind: 'log', level, text }));
send({ kind: 'ready' });
