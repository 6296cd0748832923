/**
 * Arguments of control commands as byte strings, and the replies that several of them give. Pure functions.
 */
import { reply } from '../../resp/reply.js';
import type { Reply } from '../../resp/reply.js';
import { toBytes, toByteString } from '../../util/bytes.js';
import type { ControlCall } from './context.js';

/** Arguments after the command's own words (`CONFIG GET` has two). */
export function wordsOf(call: ControlCall, skip: number): string[] {
  return call.args.slice(skip).map(toByteString);
}

export const syntaxError = (): Reply => reply.error('ERR syntax error');

/** An error whose text holds bytes of the user's. */
export function errorReply(text: string): Reply {
  // A raw reply, as bytes beyond ASCII would otherwise be written as UTF-8.
  const line = text.replace(/[\r\n]/g, ' ');
  return reply.raw(toBytes(`-ERR ${line}\r\n`));
}

/** A byte string as a bulk string. */
export function byteBulk(text: string): Reply {
  return reply.bulk(toBytes(text));
}

export function helpReply(lines: readonly string[]): Reply {
  return reply.array(lines.map((line) => reply.simple(line)));
}
