/**
 * CONFIG GET, SET, RESETSTAT, REWRITE, HELP. Texts and shapes are Redis 7.2's. Main thread.
 */
import { ConfigError } from '../../config/config-store.js';
import { reply } from '../../resp/reply.js';
import type { Reply } from '../../resp/reply.js';
import { byteBulk, errorReply, helpReply, syntaxError, wordsOf } from './arguments.js';
import type { ControlCall, ControlContext, ControlHandler } from './context.js';

const HELP = [
  'CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  'GET <pattern>',
  '    Return parameters matching the glob-like <pattern> and their values.',
  'SET <directive> <value>',
  '    Set the configuration <directive> to <value>.',
  'RESETSTAT',
  '    Reset statistics reported by the INFO command.',
  'REWRITE',
  '    Rewrite the configuration file.',
  'HELP',
  '    Prints this help.',
];

function getHandler(call: ControlCall, { config }: ControlContext): Reply {
  const found = config.get(wordsOf(call, 2));
  return reply.map([...found].map(([name, value]) => [byteBulk(name), byteBulk(value)] as const));
}

async function setHandler(call: ControlCall, context: ControlContext): Promise<Reply> {
  const words = wordsOf(call, 2);
  if (words.length % 2 !== 0) return syntaxError();
  const pairs: [string, string][] = [];
  for (let index = 0; index < words.length; index += 2) {
    pairs.push([words[index] as string, words[index + 1] as string]);
  }
  const mayChangeProtected = await mayUse(context, 'enable-protected-configs', call.clientId);
  try {
    await context.setConfig(pairs, mayChangeProtected);
  } catch (error) {
    if (error instanceof ConfigError) return errorReply(error.message);
    throw error;
  }
  return reply.ok();
}

/** Whether a `no | yes | local` option lets this client do it. */
async function mayUse(context: ControlContext, option: string, clientId: bigint): Promise<boolean> {
  const setting = context.config.text(option);
  if (setting !== 'local') return setting === 'yes';
  const line = await context.listClients({ ids: [clientId] });
  return / addr=(127\.|\[::1\]|::1:|\/)/.test(line);
}

function rewriteHandler(_call: ControlCall, context: ControlContext): Reply {
  const error = context.rewriteConfig();
  return error === undefined ? reply.ok() : errorReply(error);
}

export const CONFIG_HANDLERS: readonly (readonly [string, ControlHandler])[] = [
  ['config|get', getHandler],
  ['config|set', setHandler],
  ['config|rewrite', rewriteHandler],
  [
    'config|resetstat',
    (_call, context) => {
      context.resetStats();
      return reply.ok();
    },
  ],
  ['config|help', () => helpReply(HELP)],
];
