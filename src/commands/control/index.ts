/**
 * The control commands that run on the main thread, by full name. COMMAND and LOLWUT need nothing of the server and
 * run on the worker that received them (src/runtime/worker.ts).
 */
import { CLIENT_HANDLERS } from './client-command.js';
import { CONFIG_HANDLERS } from './config-command.js';
import type { ControlHandler } from './context.js';
import { PERSISTENCE_HANDLERS } from './persistence-commands.js';
import { SERVER_HANDLERS } from './server-commands.js';

export const CONTROL_HANDLERS: ReadonlyMap<string, ControlHandler> = new Map([
  ...CONFIG_HANDLERS,
  ...CLIENT_HANDLERS,
  ...PERSISTENCE_HANDLERS,
  ...SERVER_HANDLERS,
]);
