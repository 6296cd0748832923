/**
 * The two servers of a comparison: the reference (a real redis-server) and ours, started alike.
 *
 * `--ours redis` puts the oracle on both sides (what the harness itself adds can then be seen: all ratios
 * should be 1); any other `--ours` is a command line. Both run with their default configuration and without
 * saving, unless words are given for one of them.
 */
import { startRedis, startSherd, type RunningServer } from '../../test/support/oracle.js';

/** Options every benchmark understands, for node:util's parseArgs. */
export const CONTENDER_OPTIONS = {
  ours: { type: 'string' },
  'ours-args': { type: 'string', default: '' },
  'redis-args': { type: 'string', default: '' },
  json: { type: 'string' },
  smoke: { type: 'boolean', default: false },
} as const;

/** Values of CONTENDER_OPTIONS. */
export interface ContenderValues {
  ours?: string | undefined;
  'ours-args': string;
  'redis-args': string;
  json?: string | undefined;
  smoke: boolean;
}

/** Both servers, reference first. */
export interface Contenders {
  redis: RunningServer;
  ours: RunningServer;
  stop(): Promise<void>;
}

/** Gigabytes may have to be loaded first, on a machine that others use too. */
const START_TIMEOUT_MS = 900_000;

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

/** Starts one server in its default configuration, without saving. */
export async function startContender(
  which: 'redis' | 'ours',
  values: ContenderValues,
  extra: string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<RunningServer> {
  const told = words(which === 'redis' ? values['redis-args'] : values['ours-args']);
  const args = ['--save', '', ...extra, ...told];
  const options = { plain: true, timeoutMs: START_TIMEOUT_MS, env };
  if (which === 'redis' || values.ours === 'redis') return startRedis(args, options);
  if (values.ours !== undefined) process.env['SHERD_COMMAND'] = values.ours;
  return startSherd(args, options);
}

/** Starts both. */
export async function startContenders(values: ContenderValues, extra: string[] = []): Promise<Contenders> {
  const redis = await startContender('redis', values, extra);
  try {
    const ours = await startContender('ours', values, extra);
    return {
      redis,
      ours,
      stop: async () => {
        await Promise.all([redis.stop(), ours.stop()]);
      },
    };
  } catch (error) {
    await redis.stop();
    throw error;
  }
}
