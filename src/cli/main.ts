/**
 * The life of the server process from its command line to the supervisor. Main thread.
 *
 * Order as in redis-server: command line, configuration, working directory, daemon, log, engine, signals.
 */
import { readFileSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { ConfigFileError, ConfigOpenError, loadConfig, type Directives } from '../config/config-file.js';
import { ConfigStore } from '../config/config-store.js';
import { leaveProcess, loadAddon } from '../native/addon.js';
import { Logger } from '../observability/logger.js';
import { Supervisor } from '../runtime/supervisor.js';
import { utf8ToByteString } from '../util/bytes.js';
import { parseCommandLine, type CommandLine } from './command-line.js';
import { becomeDaemon, isDaemonChild } from './daemon.js';
import { fitMaxClients, openLog, refusal, warnUseless, writePidFile } from './preparation.js';
import { HELP, logo, SHERD_VERSION, versionLine } from './texts.js';

const STDIN = 0;
const STDERR = 2;

/** Runs the program; resolves when clients are served, or ends the process. */
export async function runServer(argv: readonly string[]): Promise<void> {
  const line = parseCommandLine(argv.map(utf8ToByteString));
  const logger = new Logger();
  const fail = (): never => process.exit(1);
  if (line.action === 'version') return void writeSync(1, versionLine());
  if (line.action === 'help') {
    writeSync(STDERR, HELP);
    return fail();
  }
  if (line.action === 'sentinel') {
    writeSync(STDERR, 'Sentinel mode does not exist yet.\n');
    return fail();
  }
  const config = new ConfigStore(utf8ToByteString(process.cwd()));
  const stdin = line.readsStdin ? readStdin(logger) : undefined;
  let directives: Directives;
  try {
    directives = configure(config, line, stdin);
    openLog(config, logger);
  } catch (error) {
    if (error instanceof ConfigFileError) writeSync(STDERR, error.message);
    else if (error instanceof ConfigOpenError) logger.log('warning', error.message);
    else throw error;
    return fail();
  }
  if (config.isOn('daemonize') && !isDaemonChild()) return becomeDaemon(argv, stdin);
  await serve(config, directives, logger, line);
}

function readStdin(logger: Logger): string {
  logger.log('notice', 'Reading config from stdin');
  return readFileSync(STDIN, 'latin1');
}

/** Reads the configuration and enters its directory. */
function configure(config: ConfigStore, line: CommandLine, stdin: string | undefined): Directives {
  if (line.configFile !== undefined) {
    config.configFile = resolve(utf8ToByteString(process.cwd()), line.configFile);
  }
  const file = config.configFile === '' ? undefined : config.configFile;
  const directives = loadConfig(config, { file, stdin, options: line.options });
  process.chdir(Buffer.from(config.text('dir'), 'latin1').toString('utf8'));
  return directives;
}

async function serve(config: ConfigStore, directives: Directives, logger: Logger, line: CommandLine): Promise<void> {
  logger.log('notice', 'oO0OoO0OoO0Oo Sherd is starting oO0OoO0OoO0Oo');
  logger.log('notice', `Sherd version=${SHERD_VERSION}, bits=64, pid=${process.pid}, just started`);
  if (line.configFile !== undefined || line.options !== undefined || line.readsStdin) {
    logger.log('notice', 'Configuration loaded');
  } else {
    const hint = 'In order to specify a config file use sherd-server /path/to/redis.conf';
    logger.log('warning', `Warning: no config file specified, using the default config. ${hint}`);
  }
  logger.role = 'M';
  const refused = refusal(config, directives);
  for (const reason of refused) logger.log('warning', reason);
  if (refused.length > 0) return process.exit(1);
  fitMaxClients(config, logger);
  const supervisor = new Supervisor({
    addon: loadAddon(),
    config,
    logger,
    version: SHERD_VERSION,
    exit: leaveProcess,
  });
  process.on('SIGTERM', () => supervisor.onSignal('SIGTERM'));
  process.on('SIGINT', () => supervisor.onSignal('SIGINT'));
  process.on('SIGHUP', () => undefined);
  supervisor.announce(logo);
  writePidFile(config, logger);
  warnUseless(config, directives, logger);
  if (!(await supervisor.start())) leaveProcess(1);
}
