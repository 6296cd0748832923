/**
 * What is checked, opened and said before the engine is created. Main thread, at start.
 */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { ConfigFileError, REDIS_VERSION, systemErrorText } from '../config/config-file.js';
import type { Directives } from '../config/config-file.js';
import type { ConfigStore } from '../config/config-store.js';
import { OPTIONS } from '../config/option-table.js';
import type { Logger, LogLevel } from '../observability/logger.js';
import { uselessText } from '../runtime/config-applier.js';
import { maxClientsPossible, openFilesMax, RESERVED_DESCRIPTORS } from '../runtime/descriptors.js';
import { checkSizes } from '../runtime/sizing.js';
import { toBytes } from '../util/bytes.js';

/** Where a daemon without `pidfile` writes its id, as Redis. */
const DEFAULT_PIDFILE = '/var/run/redis.pid';

/** Tests that the log can be written, and switches to it. */
export function openLog(config: ConfigStore, logger: Logger): void {
  const path = config.text('logfile');
  if (path !== '') {
    try {
      closeSync(openSync(toBytes(path), 'a'));
    } catch (error) {
      const banner = `\n*** FATAL CONFIG FILE ERROR (Redis ${REDIS_VERSION}) ***\n`;
      throw new ConfigFileError(`${banner}Can't open the log file: ${systemErrorText(error)}\n`);
    }
  }
  logger.setFile(path);
  logger.setLevel(config.text('loglevel') as LogLevel);
}

/** Why this configuration cannot be served at all, as log lines; going on without would be dangerous or pointless. */
export function refusal(config: ConfigStore, directives: Directives): string[] {
  const [module] = directives.modules;
  if (module) return [`Can't load module from ${module[0] ?? ''}: server aborting`];
  if (directives.moduleOptions.length > 0) {
    return ['Module Configuration detected without loadmodule directive or no ApplyConfig call: aborting'];
  }
  if (config.number('tls-port') !== 0) return ['Failed to configure TLS. Check logs for more info.'];
  if (directives.users.length > 0 && config.text('aclfile') !== '') {
    return [
      'Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. ' +
        'This setup is very likely to lead to configuration errors and security holes, please define either an ACL ' +
        'file or declare users directly in your redis.conf, but not both.',
    ];
  }
  if (directives.users.some(([name = '']) => /[\s\0]/.test(name))) {
    return ['Spaces not allowed in ACL usernames', 'Critical error while loading ACLs. Exiting.'];
  }
  const wrongSize = checkSizes(config);
  return wrongSize === undefined ? [] : [wrongSize];
}

/** Lowers maxclients to what the process has descriptors for, and says so. */
export function fitMaxClients(config: ConfigStore, logger: Logger): void {
  const asked = config.number('maxclients');
  const possible = maxClientsPossible();
  if (asked <= possible) return;
  config.overwrite('maxclients', String(possible));
  logger.log(
    'warning',
    `You requested maxclients of ${asked} requiring at least ${asked + RESERVED_DESCRIPTORS} max file descriptors.`,
  );
  logger.log(
    'warning',
    `Current maximum open files is ${openFilesMax()}. maxclients has been reduced to ${possible} to compensate for ` +
      "low ulimit. If you need higher maxclients increase 'ulimit -n'.",
  );
}

export function writePidFile(config: ConfigStore, logger: Logger): void {
  if (config.text('pidfile') === '') {
    if (!config.isOn('daemonize')) return;
    config.overwrite('pidfile', DEFAULT_PIDFILE);
  }
  try {
    writeFileSync(toBytes(config.text('pidfile')), `${process.pid}\n`);
  } catch (error) {
    logger.log('warning', `Failed to write PID file: ${systemErrorText(error)}`);
  }
}

/** Every option that was set and does nothing is named: silence would be a promise. */
export function warnUseless(config: ConfigStore, directives: Directives, logger: Logger): void {
  for (const row of OPTIONS) {
    if (row.notHonoured !== undefined && !config.isDefault(row)) logger.log('warning', uselessText(row));
  }
  if (directives.users.length > 0) {
    logger.log('warning', "WARNING directive 'user' is accepted but has no effect: there are no ACLs yet");
  }
  for (const { from } of directives.renamedCommands) {
    logger.log('warning', `WARNING directive 'rename-command ${from}' is accepted but has no effect yet`);
  }
}
