/**
 * INFO and SHUTDOWN. Main thread.
 */
import { reply } from '../../resp/reply.js';
import type { Reply } from '../../resp/reply.js';
import { errorReply, syntaxError, wordsOf } from './arguments.js';
import type { ControlCall, ControlContext, ControlHandler } from './context.js';

function infoHandler(call: ControlCall, context: ControlContext): Reply {
  return reply.verbatim('txt', Buffer.from(context.info(wordsOf(call, 1)), 'latin1'));
}

const SHUTDOWN_WORDS = new Set(['nosave', 'save', 'now', 'force', 'abort']);

/** A shutdown that begins gives no reply: the connection closes. */
function shutdownHandler(call: ControlCall, context: ControlContext): Reply | undefined {
  const words = new Set(wordsOf(call, 1).map((word) => word.toLowerCase()));
  for (const word of words) if (!SHUTDOWN_WORDS.has(word)) return syntaxError();
  const isAbort = words.has('abort');
  if ((isAbort && words.size > 1) || (words.has('save') && words.has('nosave'))) return syntaxError();
  // Nothing here waits for replicas, so a shutdown is never in progress while a command is served.
  if (isAbort) return reply.error('ERR No shutdown in progress.');
  const error = context.shutdown({ wantsSave: words.has('save'), isForced: words.has('force') });
  return error === undefined ? undefined : errorReply(error);
}

export const SERVER_HANDLERS: readonly (readonly [string, ControlHandler])[] = [
  ['info', infoHandler],
  ['shutdown', shutdownHandler],
];
