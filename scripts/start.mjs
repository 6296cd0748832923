#!/usr/bin/env node
/**
 * `npm start`: set up what is missing, then be the server.
 *
 * The server is loaded into this process instead of started as a child: its signals, its exit code and its
 * memory are then simply this process's, with nothing in between that could lose one of them. All arguments
 * go to the server: `npm start -- --port 7000`.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { orExplain, setUp } from './setup.mjs';
import { root } from './setup/shell.mjs';

await orExplain(() => setUp());
const server = join(root, 'dist', 'cli', 'sherd-server.js');
process.argv = [process.argv[0], server, ...process.argv.slice(2)];
await import(pathToFileURL(server).href);
