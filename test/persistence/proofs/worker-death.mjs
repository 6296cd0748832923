/**
 * Loaded into a server's process before anything else (NODE_OPTIONS --import): the first worker thread that sees the
 * file that SHERD_TEST_TRIGGER names dies alone, by an exception ("throw") or by ending itself ("exit").
 */
import { readFileSync, unlinkSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const path = process.env['SHERD_TEST_TRIGGER'];
const POLL_MS = 5;

function look() {
  let how;
  try {
    how = readFileSync(path, 'latin1');
    // Only one thread succeeds in taking the file away.
    unlinkSync(path);
  } catch {
    return;
  }
  if (how === 'exit') process.exit(7);
  throw new Error('a worker dies for a test');
}

if (!isMainThread && path !== undefined) setInterval(look, POLL_MS).unref();
