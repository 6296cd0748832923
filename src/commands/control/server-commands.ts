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
async function shutdownHandler(call: ControlCall, context: ControlContext): Promise<Reply | undefined> {
  const words = new Set(wordsOf(call, 1).map((word) => word.toLowerCase()));
  for (const word of words) if (!SHUTDOWN_WORDS.has(word)) return syntaxError();
  const isAbort = words.has('abort');
  if ((isAbort && words.size > 1) || (words.has('save') && words.has('nosave'))) return syntaxError();
  if (isAbort) return context.abortShutdown() ? reply.ok() : reply.error('ERR No shutdown in progress.');
  const saves = words.has('save') ? true : words.has('nosave') ? false : undefined;
  // NOW is about replicas that lag, which nobody waits for yet.
  const error = await context.shutdown({ saves, isForced: words.has('force') });
  return error === undefined ? undefined : errorReply(error);
}

export const SERVER_HANDLERS: readonly (readonly [string, ControlHandler])[] = [
  ['info', infoHandler],
  ['shutdown', shutdownHandler],
];
