#!/usr/bin/env node
/**
 * sherd-server: the program. It takes redis-server's command line; what it does is in main.ts, this file only starts
 * it and makes sure that no failure leaves half a server behind.
 */
import { leaveProcess } from '../native/addon.js';
import { runServer } from './main.js';

function crash(error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`\n=== SHERD CRASH: ${text}\n`);
  leaveProcess(1);
}

process.on('uncaughtException', crash);
process.on('unhandledRejection', crash);
void runServer(process.argv.slice(2));
