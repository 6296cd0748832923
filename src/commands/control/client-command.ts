/**
 * CLIENT LIST, KILL and UNBLOCK: the subcommands that concern the clients of all workers. Texts are Redis 7.2's;
 * MAXAGE is 7.4's. Main thread.
 */
import type { ClientFilter } from '../../native/addon.js';
import { reply } from '../../resp/reply.js';
import type { Reply } from '../../resp/reply.js';
import { parseInteger64 } from '../../util/numbers.js';
import { errorReply, syntaxError, wordsOf } from './arguments.js';
import type { ControlCall, ControlContext, ControlHandler } from './context.js';

type ClientType = NonNullable<ClientFilter['type']>;

const CLIENT_TYPES = new Map<string, ClientType>([
  ['normal', 'normal'],
  ['slave', 'replica'],
  ['replica', 'replica'],
  ['pubsub', 'pubsub'],
  ['master', 'master'],
]);

/** Until there are access control lists this is the only user. */
const DEFAULT_USER = 'default';

// ---- CLIENT LIST ----

async function listHandler(call: ControlCall, context: ControlContext): Promise<Reply> {
  const words = wordsOf(call, 2);
  const option = words[0]?.toLowerCase();
  if (option === undefined) return listReply(await context.listClients({}));
  if (option === 'type' && words.length === 2) {
    const type = CLIENT_TYPES.get((words[1] as string).toLowerCase());
    if (type === undefined) return errorReply(`Unknown client type '${words[1] as string}'`);
    return listReply(await context.listClients({ type }));
  }
  if (option === 'id' && words.length > 1) return listById(words.slice(1), context);
  return syntaxError();
}

/** Clients come in the order asked, and as often as asked, as in Redis. */
async function listById(words: readonly string[], context: ControlContext): Promise<Reply> {
  const ids: bigint[] = [];
  for (const word of words) {
    const id = parseInteger64(word);
    if (id === undefined) return reply.error('ERR Invalid client ID');
    ids.push(id);
  }
  const lines = new Map<string, string>();
  // No client has an id below 1; the engine takes unsigned ids.
  const possible = [...new Set(ids.filter((id) => id > 0n))];
  const text = possible.length === 0 ? '' : await context.listClients({ ids: possible });
  for (const line of text.split('\n')) lines.set(/^id=(\d+)/.exec(line)?.[1] ?? '', line);
  const found = ids.map((id) => lines.get(String(id))).filter((line) => line !== undefined);
  return listReply(found.map((line) => `${line}\n`).join(''));
}

const listReply = (text: string): Reply => reply.verbatim('txt', Buffer.from(text, 'latin1'));

// ---- CLIENT KILL ----

async function killHandler(call: ControlCall, context: ControlContext): Promise<Reply> {
  const words = wordsOf(call, 2);
  const [address] = words;
  if (words.length === 1 && address !== undefined) {
    // The old form: one address, the caller not spared, OK or an error.
    const count = await context.killClients({ addr: address, callerId: call.clientId });
    return count > 0 ? reply.ok() : reply.error('ERR No such client');
  }
  const filter = parseKillFilter(words, call.clientId);
  if ('kind' in filter) return filter;
  return reply.integer(await context.killClients(filter));
}

function parseKillFilter(words: readonly string[], callerId: bigint): ClientFilter | Reply {
  const filter: ClientFilter = { skipId: callerId, callerId };
  for (let index = 0; index < words.length; index += 2) {
    const value = words[index + 1];
    if (value === undefined) return syntaxError();
    const error = addKillOption(filter, (words[index] as string).toLowerCase(), value, callerId);
    if (error) return error;
  }
  return filter;
}

/** Takes one option into the filter, or gives the error. */
function addKillOption(filter: ClientFilter, option: string, value: string, callerId: bigint): Reply | undefined {
  switch (option) {
    case 'id': {
      const id = parseInteger64(value);
      if (id === undefined || id < 1n) return reply.error('ERR client-id should be greater than 0');
      filter.ids = [id];
      return undefined;
    }
    case 'type': {
      const type = CLIENT_TYPES.get(value.toLowerCase());
      if (type === undefined) return errorReply(`Unknown client type '${value}'`);
      filter.type = type;
      return undefined;
    }
    case 'addr':
      filter.addr = value;
      return undefined;
    case 'laddr':
      filter.laddr = value;
      return undefined;
    case 'user':
      if (value !== DEFAULT_USER) return errorReply(`No such user '${value}'`);
      filter.user = value;
      return undefined;
    case 'maxage': {
      const ageSec = parseInteger64(value);
      if (ageSec === undefined) return reply.error('ERR maxage is not an integer or out of range');
      if (ageSec <= 0n) return reply.error('ERR maxage should be greater than 0');
      filter.maxAgeSec = ageSec;
      return undefined;
    }
    case 'skipme':
      return setSkipMe(filter, value.toLowerCase(), callerId);
    default:
      return syntaxError();
  }
}

function setSkipMe(filter: ClientFilter, answer: string, callerId: bigint): Reply | undefined {
  if (answer === 'yes') filter.skipId = callerId;
  else if (answer === 'no') delete filter.skipId;
  else return syntaxError();
  return undefined;
}

// ---- CLIENT UNBLOCK ----

async function unblockHandler(call: ControlCall, context: ControlContext): Promise<Reply> {
  const [idWord = '', reason = 'timeout', ...rest] = wordsOf(call, 2);
  if (rest.length > 0) {
    const name = (wordsOf(call, 1)[0] ?? '').slice(0, 128);
    return errorReply(`unknown subcommand or wrong number of arguments for '${name}'. Try CLIENT HELP.`);
  }
  const withError = reason.toLowerCase() === 'error';
  if (!withError && reason.toLowerCase() !== 'timeout') {
    return reply.error('ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR');
  }
  const id = parseInteger64(idWord);
  if (id === undefined) return reply.error('ERR value is not an integer or out of range');
  // No client has an id below 1; the engine takes unsigned ids.
  return reply.integer(id > 0n && (await context.unblockClient(id, withError)) ? 1 : 0);
}

export const CLIENT_HANDLERS: readonly (readonly [string, ControlHandler])[] = [
  ['client|list', listHandler],
  ['client|kill', killHandler],
  ['client|unblock', unblockHandler],
];
