/**
 * SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF, and the subcommands of DEBUG that load. Texts are Redis 7.2's. Main thread.
 */
import type { CommandReply, Persistence } from '../../persistence/persistence.js';
import { reply } from '../../resp/reply.js';
import type { Reply } from '../../resp/reply.js';
import { errorReply, syntaxError, wordsOf } from './arguments.js';
import type { ControlCall, ControlContext, ControlHandler } from './context.js';

type Handler = (persistence: Persistence, call: ControlCall) => Reply | Promise<Reply>;

const withPersistence =
  (handler: Handler): ControlHandler =>
  (call: ControlCall, { persistence }: ControlContext) =>
    handler(persistence, call);

const told = ({ isError, text }: CommandReply): Reply => (isError ? errorReply(text) : reply.simple(text));

async function saveHandler(persistence: Persistence): Promise<Reply> {
  const error = await persistence.save();
  if (error === undefined) return reply.ok();
  return error === '' ? reply.error('ERR') : errorReply(error);
}

function bgsaveHandler(persistence: Persistence, call: ControlCall): Reply {
  const words = wordsOf(call, 1);
  const isScheduling = words.length === 1 && words[0]?.toLowerCase() === 'schedule';
  if (words.length > 0 && !isScheduling) return syntaxError();
  return told(persistence.bgsave(isScheduling));
}

/** DEBUG: the native half answers all other subcommands. */
async function debugHandler(persistence: Persistence, call: ControlCall): Promise<Reply> {
  const [subcommand = '', ...options] = wordsOf(call, 1).map((word) => word.toLowerCase());
  if (subcommand === 'loadaof') return debugReply(await persistence.loadAof());
  const has = new Set(options);
  if (options.some((option) => !['merge', 'noflush', 'nosave'].includes(option))) {
    return reply.error('ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.');
  }
  const wish = { saves: !has.has('nosave'), flushes: !has.has('noflush'), merges: has.has('merge') };
  return debugReply(await persistence.reload(wish));
}

function debugReply(error: string | undefined): Reply {
  return error === undefined ? reply.ok() : reply.error(error);
}

export const PERSISTENCE_HANDLERS: readonly (readonly [string, ControlHandler])[] = [
  ['save', withPersistence(saveHandler)],
  ['bgsave', withPersistence(bgsaveHandler)],
  ['bgrewriteaof', withPersistence((persistence) => told(persistence.bgrewriteaof()))],
  ['lastsave', withPersistence((persistence) => reply.integer(persistence.lastSaveSec()))],
  ['debug', withPersistence(debugHandler)],
];
